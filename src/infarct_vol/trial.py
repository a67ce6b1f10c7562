"""The main job: every participant of a study, then the tables and the report."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from infarct_vol.audit import AuditTrail
from infarct_vol.batch import ExecutorName, output_lock, run_batch
from infarct_vol.derivatives import write_dataset_description, write_protocol
from infarct_vol.errors import InfarctVolError, StudyError
from infarct_vol.external import unused_masks
from infarct_vol.ledger import (
    changed_inputs,
    finished_record,
    save_participants,
    save_passed_over,
    save_record,
    save_study,
)
from infarct_vol.pipeline import failed_record, process_participant
from infarct_vol.protocol import Protocol, load_protocol
from infarct_vol.qa import figure_paths, render_participant
from infarct_vol.records import ParticipantRecord, VisitRecord
from infarct_vol.registration import BaselineScan
from infarct_vol.results import reported, tabulated
from infarct_vol.review.freeze import require_unlocked
from infarct_vol.review.store import ReviewedStore
from infarct_vol.study import PassedOver, Study, open_study
from infarct_vol.tables import (
    TablePaths,
    measured_against_truth,
    randomized_arms,
    read_tables,
)
from infarct_vol.tables.stated_texts import text_remarks
from infarct_vol.visits import assign_visits, protocol_with_visits
from infarct_vol.work import Case

State = Literal["done", "kept", "failed"]
Progress = Callable[[str, State, int], None]
"""Called with participant id, what became of it, and its number of visits that were measured."""


@dataclass(frozen=True)
class RunSummary:
    """What a run did, in numbers of visits of the protocol, and where its results are."""

    out: Path
    tables: TablePaths
    report: Path
    records: tuple[ParticipantRecord, ...]
    redone: int
    kept: int
    unused_masks: tuple[str, ...] = ()
    changed_inputs: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    """What the pictures of the report lack."""
    passed_over: tuple[PassedOver, ...] = ()
    """Files of the study that were not used, and why."""
    text_remarks: tuple[str, ...] = ()
    """What the formats of the tables cannot hold of participants as the study states them."""

    def visits(self, status: str) -> tuple[tuple[ParticipantRecord, VisitRecord], ...]:
        """Return the visits with one status, or those flagged for a reader (``"flagged"``)."""
        pairs = ((record, visit) for record in self.records for visit in record.visits)
        if status == "flagged":
            return tuple((r, v) for r, v in pairs if v.flags and v.status == "measured")
        return tuple((r, v) for r, v in pairs if v.status == status)

    @property
    def problems(self) -> tuple[tuple[str, str, str, str], ...]:
        """(participant, visit, status, reason) of every value refused or failed, one line a reason."""
        found = {
            (row.participant_id, row.visit, row.status, row.reason)
            for record in self.records
            for row in record.rows
            if row.status == "failed"
            or (row.status == "not_measurable" and row.parameter.startswith("infarct"))
        }
        return tuple(sorted(found))

    @property
    def partly_measured(self) -> int:
        """Number of values that were refused at visits whose primary value was measured."""
        measured = {(r.participant_id, v.visit, v.session_id) for r, v in self.visits("measured")}
        return len(
            {
                (row.participant_id, row.visit, row.parameter)
                for record in self.records
                for row in record.rows
                if row.status in ("failed", "not_measurable")
                and row.parameter.startswith("infarct")
                and (row.participant_id, row.visit, row.session_id) in measured
            }
        )

    @property
    def excluded(self) -> tuple[tuple[str, str, str], ...]:
        """(participant, session, reason) of every session that counts as no visit, one line a session."""
        return tuple((r.participant_id, v.session_id or "", v.reason) for r, v in self.visits("excluded"))

    @property
    def exit_code(self) -> int:
        """0 when everything asked for was measured or is rightly missing; 1 when something was refused.

        A run in which nothing was measured is none that did what was asked for.

        A mask made elsewhere that belongs to nobody counts as refused, and so does a file of the tables that
        could not hold a text.
        """
        refused = self.problems or self.unused_masks or self.tables.left_out
        return 1 if refused or not self.visits("measured") else 0


def run_study(
    study: Study | Path | str,
    out: Path | str,
    *,
    protocol: Protocol | Path | str | None = None,
    participant_labels: Iterable[str] = (),
    jobs: int = 1,
    executor: ExecutorName = "local",
    scheduler: str | None = None,
    randomization: Path | None = None,
    masks: Path | None = None,
    truth: Path | None = None,
    visits: Iterable[str] = (),
    on_progress: Progress | None = None,
    on_note: Callable[[str], None] | None = None,
) -> RunSummary:
    """Measure a study and write masks, transforms, tables, figures and the report below ``out``.

    May be repeated: a participant whose inputs, protocol and version are unchanged, and whose outputs are
    intact, is kept as it is. The same inputs give the same bytes on any number of workers.

    Parameters
    ----------
    study
        BIDS folder, manifest, or an opened study.
    out
        Output folder; one run at a time.
    protocol
        The imaging charter, or the path of its TOML file; default: the default protocol.
    participant_labels
        Only these participants; default: all.
    jobs, executor, scheduler
        See `infarct_vol.batch.run_batch`.
    randomization
        CSV of participant_id and arm; without it the tables are pooled and BLINDED.
    masks
        Folder of masks made elsewhere, named ``<sub>_<ses>_*mask.nii.gz``; they count in place of the
        automatic masks, which are made and kept beside them.
    truth
        ``truth.csv`` of a simulated trial: measured and true volumes stand side by side in the report.
    visits
        Which session is which visit where neither dates nor labels tell, such as ``ses-01=baseline``; added
        to the protocol's map.
    on_progress
        Called as each participant ends.
    on_note
        Called before the work begins with each text of a participant that a table cannot hold as stated.

    Raises
    ------
    UsageError
        If study, protocol or output folder cannot be used; nothing is run then.
    LockedStudyError
        If the results in ``out`` are locked.
    """
    out = Path(out)
    require_unlocked(out)
    protocol = (
        protocol if isinstance(protocol, Protocol) else load_protocol(Path(protocol) if protocol else None)
    )
    study = study if isinstance(study, Study) else open_study(study, images=protocol.images)
    protocol = protocol_with_visits(protocol, visits, study)
    labels = tuple(participant_labels)
    chosen = study.select(labels) if labels else study
    if masks is not None and not masks.is_dir():
        msg = f"no folder of masks at {masks}"
        raise StudyError(msg)
    known = [p.participant_id for p in study.participants]
    if randomization is not None:
        # a list that does not fit is refused before the night's work, not after it
        randomized_arms(randomization, participants=known)
    remarks = tuple(each.sentence for each in text_remarks(chosen.participants, study_id=protocol.study_id))
    if on_note is not None:
        for remark in remarks:
            on_note(remark)
    with output_lock(out):
        require_unlocked(out)  # a lock may have been signed since
        write_dataset_description(out)
        write_protocol(protocol.to_toml(), out)
        save_participants(known, out)
        save_study(study.root, out)
        baselines = _baseline_scans(study, protocol)
        cases = [Case(p, study.root, out, protocol, masks, baselines) for p in chosen.participants]
        passed_over = save_passed_over(_passed_over(chosen), out)
        todo, kept = _split(cases, on_progress)
        changed = _noted_changes(todo, out)
        for done in run_batch(todo, run_case, jobs=jobs, executor=executor, scheduler=scheduler):
            record = done.result or _fault(done.task, done.error)
            if on_progress is not None:
                state: State = "failed" if done.error else "done"
                on_progress(record.participant_id, state, _measured_count(record))
        store = ReviewedStore(out, protocol)
        records = tuple(store)
        tables = tabulated(store, protocol, records=records, randomization=randomization)
        compared = measured_against_truth(read_tables(out).volumes, truth) if truth else None
        report = reported(records, out, protocol, study=study.root, truth=compared)
    unused = unused_masks(masks, study.participants) if masks is not None else ()
    counts = len(todo), kept
    return RunSummary(
        out, tables, report.path, records, *counts, unused, changed, report.notes, passed_over, remarks
    )


def _baseline_scans(study: Study, protocol: Protocol) -> tuple[BaselineScan, ...]:
    """Return the baseline FLAIR of every participant who has one."""
    sessions = ((p, assign_visits(p, protocol.visits)[0].session) for p in study.participants)
    return tuple(
        BaselineScan(p.participant_id, session.files["flair"].path)
        for p, session in sessions
        if session is not None and "flair" in session.files
    )


def _passed_over(study: Study) -> tuple[PassedOver, ...]:
    """Return every file of a study that is not used."""
    own = (passed for participant in study.participants for passed in participant.passed_over)
    return (*own, *study.passed_over)


def _measured_count(record: ParticipantRecord) -> int:
    return sum(visit.status == "measured" for visit in record.visits)


def _noted_changes(todo: Iterable[CaseTask], out: Path) -> tuple[str, ...]:
    """Return, and put into the audit trail, every input that changed since it was measured."""
    told = []
    for task in todo:
        participant = task.case.participant
        for name, old, new in changed_inputs(out, label=participant.label, inputs=task.inputs):
            subject = f"{participant.participant_id} {name}"
            reason = "the input changed since the last run, so the participant is measured again"
            AuditTrail(out).append("input changed", subject=subject, reason=reason, old=old, new=new)
            told.append(f"{participant.participant_id}: {name} changed since the last run; measured again")
    return tuple(told)


def _split(cases: Iterable[Case], on_progress: Progress | None) -> tuple[list[CaseTask], int]:
    """Return the cases to work on, and how many are finished and current."""
    todo: list[CaseTask] = []
    kept = 0
    for case in cases:
        inputs = case.inputs()
        label = case.participant.label
        record = finished_record(case.out, label=label, fingerprint=case.fingerprint(inputs))
        if record is None or not all(path.is_file() for path in figure_paths(record, case.out)):
            todo.append(CaseTask(case, inputs))
            continue
        kept += 1
        if on_progress is not None:
            on_progress(record.participant_id, "kept", _measured_count(record))
    return todo, kept


@dataclass(frozen=True)
class CaseTask:
    """One participant's work as it is sent to a worker."""

    case: Case
    inputs: dict[str, str]


def run_case(task: CaseTask) -> ParticipantRecord:
    """Measure one participant, draw its figures, and write its record last."""
    case = task.case
    record = process_participant(case, inputs=task.inputs)
    render_participant(record, study_root=case.root, out=case.out, protocol=case.protocol)
    save_record(record, case.out, label=case.participant.label)
    return record


def _fault(task: CaseTask, error: Exception | None) -> ParticipantRecord:
    """Return, and keep, the record of a participant whose processing ended with a fault.

    Its fingerprint is empty, so that a rerun tries again.
    """
    case = task.case
    kind = "" if isinstance(error, InfarctVolError) else f"unexpected {type(error).__name__}: "
    told = " ".join(str(error).split())  # a cell of the tables is one line
    reason = f"{case.participant.participant_id}: {kind}{told}; run again with -v, and report it if it stays"
    record = failed_record(case, reason=reason)
    save_record(record, case.out, label=case.participant.label)
    return record

"""The main job: every participant of a study, then the tables and the report."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pandas as pd

from infarct_vol.audit import AuditTrail
from infarct_vol.batch import ExecutorName, output_lock, run_batch
from infarct_vol.derivatives import write_dataset_description, write_protocol
from infarct_vol.errors import InfarctVolError, StudyError
from infarct_vol.external import unused_masks
from infarct_vol.files import file_sha256
from infarct_vol.ledger import (
    changed_inputs,
    finished_record,
    heads_of,
    load_participants,
    save_participants,
    save_record,
    save_study,
    save_table_hashes,
    study_of,
    tables_file,
)
from infarct_vol.pipeline import failed_record, process_participant
from infarct_vol.protocol import Protocol, load_protocol
from infarct_vol.qa import figure_paths, render_participant, write_report
from infarct_vol.qa.endpoint import report_run
from infarct_vol.qa.review.pages import write_review_pages
from infarct_vol.records import ParticipantRecord, VisitRecord
from infarct_vol.repeatability import RepeatabilityLimit, read_repeatability
from infarct_vol.review.freeze import note_tables, require_unlocked
from infarct_vol.review.model import UNBLINDING
from infarct_vol.review.store import ReviewedStore
from infarct_vol.study import Study, open_study
from infarct_vol.tables import (
    Outcomes,
    TablePaths,
    measured_against_truth,
    randomized_arms,
    read_outcomes,
    read_tables,
    write_tables,
)
from infarct_vol.work import Case

State = Literal["done", "kept", "failed"]
Progress = Callable[[str, State, int], None]
"""Called with participant id, what became of it, and its number of visits."""


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
    def exit_code(self) -> int:
        """0 when everything asked for was measured or is rightly missing; 1 when something was refused.

        A mask made elsewhere that belongs to nobody counts as refused.
        """
        return 1 if self.problems or self.unused_masks else 0


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
    on_progress: Progress | None = None,
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
    on_progress
        Called as each participant ends.

    Raises
    ------
    UsageError
        If study, protocol or output folder cannot be used; nothing is run then.
    LockedStudyError
        If the results in ``out`` are locked.
    """
    out = Path(out)
    require_unlocked(out)
    study = study if isinstance(study, Study) else open_study(study)
    labels = tuple(participant_labels)
    chosen = study.select(labels) if labels else study
    protocol = (
        protocol if isinstance(protocol, Protocol) else load_protocol(Path(protocol) if protocol else None)
    )
    if masks is not None and not masks.is_dir():
        msg = f"no folder of masks at {masks}"
        raise StudyError(msg)
    known = [p.participant_id for p in study.participants]
    if randomization is not None:
        # a list that does not fit is refused before the night's work, not after it
        randomized_arms(randomization, participants=known)
    with output_lock(out):
        write_dataset_description(out)
        write_protocol(protocol.to_toml(), out)
        save_participants(known, out)
        save_study(study.root, out)
        cases = [Case(p, study.root, out, protocol, masks) for p in chosen.participants]
        todo, kept = _split(cases, on_progress)
        changed = _noted_changes(todo, out)
        for done in run_batch(todo, run_case, jobs=jobs, executor=executor, scheduler=scheduler):
            record = done.result or _fault(done.task, done.error)
            if on_progress is not None:
                on_progress(record.participant_id, "failed" if done.error else "done", len(record.visits))
        store = ReviewedStore(out, protocol)
        records = tuple(store)
        tables = _tabulated(store, protocol, records=records, randomization=randomization)
        compared = measured_against_truth(read_tables(out).volumes, truth) if truth else None
        report = _reported(records, out, protocol, study=study.root, truth=compared)
    unused = unused_masks(masks, study.participants) if masks is not None else ()
    counts = len(todo), kept
    return RunSummary(out, tables, report.path, records, *counts, unused, changed, report.notes)


def _tabulated(
    store: ReviewedStore,
    protocol: Protocol,
    *,
    records: Sequence[ParticipantRecord] | None = None,
    randomization: Path | None,
    outcomes: Outcomes | None = None,
    limit: RepeatabilityLimit | None = None,
) -> TablePaths:
    """Write tables, datasets, pictures and the summary to hand over; note an unblinding before it happens.

    Parameters
    ----------
    records
        The records of the store, where they were read already.
    """
    out, arms = store.out, None
    if randomization is not None:
        names = [head.participant_id for head in heads_of(store)]
        arms = randomized_arms(randomization, participants=names, known=load_participants(out))
        AuditTrail(out).append(
            UNBLINDING,
            subject="tables",
            reason="a randomisation list was given",
            new=f"SHA-256 {file_sha256(randomization)}",
        )
    tables_file(out).unlink(missing_ok=True)  # hashes of other tables would call these altered
    counted = store if records is None else records
    paths = write_tables(
        counted, out, protocol=protocol, arms=arms, outcomes=outcomes, limit=limit, reads=store.reads
    )
    save_table_hashes(out)
    note_tables(out, as_of=store.sequence)
    report_run(out, protocol=protocol, arms=arms, outcomes=outcomes)
    return paths


@dataclass(frozen=True)
class Report:
    """The static report: its first page, which leads to all others, and what its pictures lack."""

    path: Path
    notes: tuple[str, ...] = ()


def _reported(
    records: Sequence[ParticipantRecord],
    out: Path,
    protocol: Protocol,
    *,
    study: Path | None,
    truth: pd.DataFrame | None = None,
) -> Report:
    """Write the pages of the participants, then the page that leads to them."""
    pages = write_review_pages(out, records, protocol=protocol, study_root=study)
    return Report(write_report(out, records=records, protocol=protocol, truth=truth), pages.notes)


def _study_if_there(out: Path) -> Path | None:
    """Return the study folder of a run, or None where the pictures must do without it."""
    try:
        return study_of(out)
    except StudyError:
        return None


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
            on_progress(record.participant_id, "kept", len(record.visits))
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
    reason = f"{case.participant.participant_id}: {kind}{error}; run again with -v, and report it if it stays"
    record = failed_record(case, reason=reason)
    save_record(record, case.out, label=case.participant.label)
    return record


@dataclass(frozen=True)
class RemadeTables:
    """Tables written again, and what was refused on the way."""

    paths: TablePaths
    problems: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        """1 when a mask changed since it was measured, or a value of the measures file was refused."""
        return 1 if self.problems else 0


def remake_tables(
    out: Path | str,
    *,
    randomization: Path | None = None,
    measures: Path | None = None,
    verification: Path | None = None,
) -> RemadeTables:
    """Write the tables, datasets, pictures and, where there is one, the report of a run again.

    What readers decided counts. Every mask is held against its hash: the volume of a mask that changed since
    is left empty, and named.

    Parameters
    ----------
    out
        Output folder of a run.
    randomization
        CSV of participant_id and arm; without it everything is pooled and BLINDED.
    measures
        The trial's other outcomes, as `infarct_vol.tables.read_outcomes` describes the file.
    verification
        ``verification.json`` of ``infarct-vol verify``: its repeatability coefficient takes the place of
        the protocol's limit.

    Raises
    ------
    StudyError
        If ``out`` holds no run, or a list does not fit its participants.
    MixedOutputError
        If its records were made by different protocols or versions.
    LockedStudyError
        If the results are locked and no randomisation list is given: a locked study may be unblinded.
    """
    out = Path(out)
    protocol = _protocol_in(out)
    if randomization is None:
        require_unlocked(out)
    with output_lock(out):
        store = ReviewedStore(out, protocol)
        doses = {head.participant_id: head.first_dose_time for head in store.heads}
        outcomes = read_outcomes(measures, first_doses=doses, protocol=protocol) if measures else None
        limit = read_repeatability(verification) if verification else None
        paths = _tabulated(store, protocol, randomization=randomization, outcomes=outcomes, limit=limit)
        problems = tuple(store.problems)
        if (out / "report" / "index.html").is_file():
            # a page that shows arms must not stay beside blinded tables, nor the other way round
            _reported(tuple(store), out, protocol, study=_study_if_there(out))
    refused = outcomes.problems if outcomes is not None else ()
    return RemadeTables(paths, (*problems, *refused))


def remake_report(out: Path | str, *, study: Path | None = None) -> Report:
    """Write the static report of a run again from its records, tables, figures and what readers decided.

    Pictures of a mask that was corrected are drawn again where the study folder is there.

    Parameters
    ----------
    out
        Output folder of a run.
    study
        Study folder that holds the scans; default: where the run found them.

    Raises
    ------
    StudyError
        If ``out`` holds no run, or ``study`` is no folder.
    """
    out = Path(out)
    protocol = _protocol_in(out)
    scans = study_of(out, stated=study) if study is not None else _study_if_there(out)
    with output_lock(out):
        return _reported(tuple(ReviewedStore(out, protocol)), out, protocol, study=scans)


def _protocol_in(out: Path) -> Protocol:
    """Return the protocol of the run in an output folder."""
    if not any((out / "provenance").glob("sub-*.json")):
        msg = f"{out} holds no results; make some with 'infarct-vol run STUDY {out}'"
        raise StudyError(msg)
    return load_protocol(out / "protocol.toml")

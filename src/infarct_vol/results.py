"""Tables and report of a run: written when it ends, and again from its records and what readers decided."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from infarct_vol.audit import AuditTrail
from infarct_vol.batch import output_lock
from infarct_vol.errors import StudyError
from infarct_vol.files import file_sha256
from infarct_vol.ledger import heads_of, load_participants, save_table_hashes, study_of, tables_file
from infarct_vol.protocol import Protocol, load_protocol
from infarct_vol.qa import write_report
from infarct_vol.qa.endpoint import report_run
from infarct_vol.qa.review.pages import write_review_pages
from infarct_vol.records import ParticipantRecord
from infarct_vol.repeatability import RepeatabilityLimit, read_repeatability
from infarct_vol.review.freeze import newer_than_tables, note_tables, require_unlocked
from infarct_vol.review.model import UNBLINDING
from infarct_vol.review.store import ReviewedStore
from infarct_vol.tables import (
    Outcomes,
    TablePaths,
    randomized_arms,
    read_outcomes,
    read_tables,
    write_tables,
)


def tabulated(
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


def reported(
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


@dataclass(frozen=True)
class RemadeTables:
    """Tables written again, and what was refused on the way."""

    paths: TablePaths
    problems: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        """1 when a mask changed, a value of the measures file was refused, or a file could not be written."""
        return 1 if self.problems or self.paths.left_out else 0


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
    protocol = protocol_of(out)
    with output_lock(out):
        if randomization is None:
            require_unlocked(out)
        store = ReviewedStore(out, protocol)
        doses = {head.participant_id: head.first_dose_time for head in store.heads}
        outcomes = read_outcomes(measures, first_doses=doses, protocol=protocol) if measures else None
        limit = read_repeatability(verification) if verification else None
        paths = tabulated(store, protocol, randomization=randomization, outcomes=outcomes, limit=limit)
        problems = tuple(store.problems)
        if (out / "report" / "index.html").is_file():
            # a page that shows arms must not stay beside blinded tables, nor the other way round
            reported(tuple(store), out, protocol, study=_study_if_there(out))
    refused = outcomes.problems if outcomes is not None else ()
    return RemadeTables(paths, (*problems, *refused))


def update_tables(out: Path) -> str:
    """Write the tables again where a reader decided after they were made.

    Tables that were made with a list, measures or a limit of their own need those again, and stay.

    Returns
    -------
    str
        Why they are still older than the latest decision; empty where they are not.
    """
    if newer_than_tables(AuditTrail(out)) is None:
        return ""
    tables = read_tables(out)
    options = [
        option
        for option, is_used in (
            ("--randomization", set(tables.volumes["blinding"]) == {"UNBLINDED"}),
            ("--measures", (out / "tables" / "outcomes.csv").is_file()),
            ("--verification", set(tables.change["repeatability_source"]) - {"protocol"}),
        )
        if is_used
    ]
    if options:
        return (
            "the tables are older than the latest decision: make them again with 'infarct-vol tables' and "
            f"the {', '.join(options)} they were made with"
        )
    remake_tables(out)
    return ""


def remake_report(out: Path | str, *, study: Path | None = None) -> Report:
    """Write the static report of a run again from its records, tables, figures and what readers decided.

    Pictures of a mask that was corrected are drawn again where the study folder is there, and the tables are
    made again where a decision came after them.

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
    protocol = protocol_of(out)
    scans = study_of(out, stated=study) if study is not None else _study_if_there(out)
    old = update_tables(out)
    with output_lock(out):
        report = reported(tuple(ReviewedStore(out, protocol)), out, protocol, study=scans)
    return replace(report, notes=(*([old] if old else []), *report.notes))


def protocol_of(out: Path) -> Protocol:
    """Return the protocol of the run in an output folder."""
    if not any((out / "provenance").glob("sub-*.json")):
        msg = f"{out} holds no results; make some with 'infarct-vol run STUDY {out}'"
        raise StudyError(msg)
    return load_protocol(out / "protocol.toml")

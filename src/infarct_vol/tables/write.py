"""Every table of a run, written whole: equal records give equal bytes, whatever their order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path

import pandas as pd

from infarct_vol.cdisc import Dataset
from infarct_vol.change import FOLLOW_UPS, ChangeRow, participant_changes
from infarct_vol.dates import newest
from infarct_vol.errors import MixedOutputError, UsageError
from infarct_vol.ledger import RecordHead, RecordStore, heads_of
from infarct_vol.protocol import Protocol
from infarct_vol.records import ParticipantRecord, VolumeRow
from infarct_vol.repeatability import RepeatabilityLimit
from infarct_vol.review.standing import Read
from infarct_vol.statistics.models import ModelRow, model_rows
from infarct_vol.tables import adam, bds, correlations, sdtm
from infarct_vol.tables.components import ComponentRow, component_rows
from infarct_vol.tables.datasets import stamped, write_datasets, write_programs
from infarct_vol.tables.dictionary import DictionaryRow, dictionary_rows
from infarct_vol.tables.measurements import Measurements
from infarct_vol.tables.order import parameter_rank, visit_rank
from infarct_vol.tables.outcomes import OutcomeChangeRow, OutcomeRow, Outcomes
from infarct_vol.tables.randomization import blinding_of
from infarct_vol.tables.reads import FOLDER as READS
from infarct_vol.tables.reads import ReadRow, ReadRows
from infarct_vol.tables.store import CsvTable, TableFiles
from infarct_vol.tables.subjects import SubjectRows, Subjects, adsl
from infarct_vol.tables.summary import (
    OutcomeSummaryRow,
    Summary,
    SummaryRow,
    outcome_summary_rows,
)
from infarct_vol.tables.wide import LONG_COLUMNS, WIDE_COLUMNS, long_rows, wide_rows

MODELLED = ("infarct", "infarct_flair")
"""Parameters whose change is modelled where arms are known: the primary one and the like-for-like series."""
_UNDATED = datetime(1960, 1, 1)
_OPTIONAL = ("models", "outcomes", "outcomes_change", "outcomes_summary", "correlations", "reads")


@dataclass(frozen=True)
class TablePaths:
    """Where the tables of a run are; its datasets are below ``adam`` and ``sdtm`` beside them."""

    volumes: Path
    change: Path
    change_wide: Path
    summary: Path
    summary_long: Path
    components: Path
    dictionary: Path
    left_out: tuple[str, ...] = ()
    """Files that could not hold the data, each with the reason."""

    @property
    def folder(self) -> Path:
        """Folder of all of them."""
        return self.volumes.parent


def write_tables(
    records: Sequence[ParticipantRecord] | RecordStore,
    out: Path,
    *,
    protocol: Protocol,
    arms: Mapping[str, str] | None = None,
    outcomes: Outcomes | None = None,
    limit: RepeatabilityLimit | None = None,
    reads: Iterable[Read] = (),
) -> TablePaths:
    """Write ``OUT/tables/``; equal records give equal bytes, whatever their order.

    Parameters
    ----------
    records
        One record per participant.
    out
        The output folder.
    protocol
        The protocol the records were made by.
    arms
        Participant -> arm, as `infarct_vol.tables.randomized_arms` reads the list. Without it everything is
        pooled and BLINDED; with it, arms are in the summary, the models, the correlations and the analysis
        datasets.
    outcomes
        The trial's other outcomes. Tables of other outcomes that lie there from an earlier call are removed
        when there are none, as are those of models when there is no list: the folder holds one set.
    limit
        What a change must exceed, where it is not the protocol's.
    reads
        Every read of an infarct; tables of reads that lie there are removed when there are none.

    Raises
    ------
    MixedOutputError
        If the records, or their rows, are of different protocols or versions.
    UsageError
        If two records are of one participant.
    """
    _require_one_source(heads_of(records), protocol=protocol)
    ordered = (
        records
        if isinstance(records, RecordStore)
        else sorted(records, key=lambda record: record.participant_id)
    )
    folder = out / "tables"
    trial = _Trial(protocol, arms, outcomes, limit, ReadRows(reads))
    with TableFiles(folder) as files:
        trial.write_volumes(ordered, files)
        trial.write_summaries(files)
        trial.write_outcomes(files)
        trial.write_reads(files)
        # the tables of single readers have columns of the table of all
        meanings = dictionary_rows({name: of for name, of in files.columns.items() if "/" not in name})
        files.open("data_dictionary", tuple(DictionaryRow.model_fields)).write(meanings)
        left_out = trial.write_datasets(folder)
    for name in (*_OPTIONAL, *(f"{READS}/{path.stem}" for path in (folder / READS).glob("*.csv"))):
        if name not in files.columns:
            (folder / f"{name}.csv").unlink(missing_ok=True)
    return TablePaths(
        volumes=folder / "volumes.csv",
        change=folder / "change_from_baseline.csv",
        change_wide=folder / "change_from_baseline_wide.csv",
        summary=folder / "summary.csv",
        summary_long=folder / "summary_long.csv",
        components=folder / "components.csv",
        dictionary=folder / "data_dictionary.csv",
        left_out=left_out,
    )


class _Trial:
    """Gathers one participant after the other, and writes what can be written at once."""

    def __init__(
        self,
        protocol: Protocol,
        arms: Mapping[str, str] | None,
        outcomes: Outcomes | None,
        limit: RepeatabilityLimit | None,
        reads: ReadRows,
    ) -> None:
        self.limit = limit
        self.reads = reads
        self.protocol = protocol
        self.arms = arms
        self.outcomes = outcomes
        self.constants = {"blinding": blinding_of(arms), "protocol_sha256": protocol.sha256}
        self.measurements = Measurements()
        self.subjects = SubjectRows()
        self.summary = Summary(arms)
        self.paired: dict[str, list[tuple[str, str, float, float]]] = {name: [] for name in MODELLED}
        self.version = ""
        self.times: set[str] = set()

    @cached_property
    def measured(self) -> pd.DataFrame:
        """Every volume, once all participants were taken over."""
        return self.measurements.frame()

    def write_volumes(self, records: Iterable[ParticipantRecord], files: TableFiles) -> None:
        """Write the tables with a row a measurement."""
        volumes = self._table(files, "volumes", tuple(VolumeRow.model_fields))
        changes = self._table(files, "change_from_baseline", tuple(ChangeRow.model_fields))
        wide = self._table(files, "change_from_baseline_wide", WIDE_COLUMNS)
        components = self._table(files, "components", tuple(ComponentRow.model_fields))
        for record in records:
            own = _ordered(record.rows)
            changed = participant_changes(record, protocol=self.protocol, limit=self.limit)
            volumes.write(own)
            changes.write(changed)
            wide.write(wide_rows(changed))
            components.write(component_rows(record))
            self._take(record, own, changed)

    def _take(
        self, record: ParticipantRecord, volumes: Sequence[VolumeRow], changes: Sequence[ChangeRow]
    ) -> None:
        self.version = record.version
        self.measurements.add(record, volumes, changes)
        self.subjects.add(record)
        self.reads.add(record)
        self.summary.add(volumes, changes)
        self.times.update(row.acq_time for row in volumes if row.acq_time)
        for row in changes:
            if row.parameter in self.paired and row.change_ml is not None:
                assert row.baseline_volume_ml is not None
                assert row.volume_ml is not None
                pair = (record.participant_id, row.visit, row.baseline_volume_ml, row.volume_ml)
                self.paired[row.parameter].append(pair)

    def write_summaries(self, files: TableFiles) -> None:
        """Write the summary in both shapes and, where arms are known, the models."""
        rows = self.summary.rows()
        self._table(files, "summary", tuple(SummaryRow.model_fields)).write(rows)
        self._table(files, "summary_long", LONG_COLUMNS).write(long_rows(rows))
        if self.arms is None:
            return
        models = self._table(files, "models", tuple(ModelRow.model_fields))
        for parameter, pairs in self.paired.items():
            frame = pd.DataFrame(pairs, columns=["participant_id", "visit", "baseline", "value"])
            frame["arm"] = [self.arms[name] for name in frame["participant_id"]]
            models.write(model_rows(frame, parameter=parameter, visits=FOLLOW_UPS))

    def write_outcomes(self, files: TableFiles) -> None:
        """Write the tables of the trial's other outcomes, if there are any."""
        if self.outcomes is None:
            return
        visits = self.outcomes.visits()
        self._table(files, "outcomes", tuple(OutcomeRow._fields)).write(self.outcomes.rows())
        changes = self._table(files, "outcomes_change", tuple(OutcomeChangeRow._fields))
        changes.write(self.outcomes.change_rows())
        summarised = outcome_summary_rows(
            visits, arms=self.arms, protocol_sha256=self.protocol.sha256, version=self.version
        )
        self._table(files, "outcomes_summary", tuple(OutcomeSummaryRow.model_fields)).write(summarised)
        table = self._table(files, "correlations", correlations.COLUMNS)
        table.write(correlations.rows(self.measured, visits, arms=self.arms))

    def write_reads(self, files: TableFiles) -> None:
        """Write the table of reads and one a reader and read, if anything was read."""
        if not self.reads.rows:
            return
        columns = tuple(ReadRow.model_fields)
        self._table(files, "reads", columns).write(self.reads.rows)
        for name, rows in self.reads.tables():
            self._table(files, name, columns).write(rows)

    def write_datasets(self, folder: Path) -> tuple[str, ...]:
        """Write listings, analysis datasets and the programs that read them; return what was left out."""
        subjects = self.subjects.subjects(study_id=self.protocol.study_id, arms=self.arms)
        windows = self.protocol.visits.windows()
        measured = self.measured
        keys = ("participant_id", "parameter", "visit", "session_id", "acq_time")
        derived = bds.derive(measured, windows=windows, keys=keys)
        tabulated = [sdtm.nv(measured, subjects)]
        analysed = [_adsl(derived, subjects), adam.adinfvol(derived, subjects, windows)]
        if self.outcomes is not None:
            records, parameters = self.outcomes.records, self.outcomes.parameters
            tabulated.append(sdtm.xm(records, subjects, parameters))
            later = self.protocol.outcome_windows()
            analysed.append(adam.adoutc(records, subjects, later, parameters))
        times = self.times.union(self.outcomes.records["acq_time"] if self.outcomes is not None else ())
        # the newest time in the data stands in every dataset as its own
        created = newest(times) or _UNDATED
        left_out: tuple[str, ...] = ()
        written = set(write_programs(folder / "adam" / "programs"))
        for name, datasets in (("sdtm", tabulated), ("adam", analysed)):
            made = [stamped(dataset, protocol_sha256=self.protocol.sha256) for dataset in datasets]
            files = write_datasets(made, folder / name, study_id=self.protocol.study_id, created=created)
            written |= set(files.written)
            left_out += files.left_out
            for stale in set((folder / name).glob("*.*")) - written:
                stale.unlink()
        return left_out

    def _table(self, files: TableFiles, name: str, columns: Sequence[str]) -> CsvTable:
        constants = {key: value for key, value in self.constants.items() if key not in columns}
        return files.open(name, columns, constants)


def _adsl(derived: pd.DataFrame, subjects: Subjects) -> Dataset:
    primary = derived[derived["parameter"] == "infarct"]
    follow_up = primary["is_analysed"] & ~primary["is_baseline"]
    return adsl(
        subjects,
        with_baseline=list(primary.loc[primary["is_baseline"], "participant_id"]),
        with_follow_up=list(primary.loc[follow_up, "participant_id"]),
    )


def _ordered(rows: Sequence[VolumeRow]) -> list[VolumeRow]:
    return sorted(rows, key=lambda row: (visit_rank(row.visit), parameter_rank(row.parameter)))


def _require_one_source(heads: Iterable[RecordHead], *, protocol: Protocol) -> None:
    names = Counter(head.participant_id for head in heads)
    twice = sorted(name for name, count in names.items() if count > 1)
    if twice:
        msg = f"two records of {', '.join(twice)}; one record a participant is expected"
        raise UsageError(msg)
    hashes = {protocol.sha256: "the protocol given"}
    versions: dict[str, str] = {}
    for head in heads:
        for protocol_sha256, version in sorted(head.made_by):
            hashes.setdefault(protocol_sha256, head.participant_id)
            versions.setdefault(version, head.participant_id)
    _require_one("protocols", {value[:12]: name for value, name in hashes.items()})
    _require_one("versions", versions)


def _require_one(what: str, found: dict[str, str]) -> None:
    if len(found) > 1:
        named = ", ".join(f"{value} ({name})" for value, name in found.items())
        msg = f"results of different {what} in one table: {named}; run again so that all are of one"
        raise MixedOutputError(msg)

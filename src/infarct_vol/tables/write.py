"""Tables of a run, written whole: volumes, change, summary, components and the data dictionary."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from infarct_vol import files
from infarct_vol.change import ChangeRow, participant_changes
from infarct_vol.errors import MixedOutputError, UsageError
from infarct_vol.protocol import Protocol
from infarct_vol.records import ParticipantRecord, Record, VolumeRow
from infarct_vol.tables.components import ComponentRow, component_rows
from infarct_vol.tables.csvtext import csv_text
from infarct_vol.tables.dictionary import DictionaryRow, dictionary_rows
from infarct_vol.tables.order import parameter_rank, visit_rank
from infarct_vol.tables.randomization import read_randomization
from infarct_vol.tables.summary import SummaryRow, summary_rows

RowT = TypeVar("RowT", VolumeRow, ChangeRow)


@dataclass(frozen=True)
class TablePaths:
    """Where the tables of a run are."""

    volumes: Path
    change: Path
    summary: Path
    components: Path
    dictionary: Path


def write_tables(
    records: Sequence[ParticipantRecord],
    out: Path,
    *,
    protocol: Protocol,
    randomization: Path | None = None,
    known_participants: Iterable[str] = (),
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
    randomization
        Randomisation list (CSV: participant_id, arm). Without one the summary is pooled and BLINDED;
        the arm appears in no other table.
    known_participants
        Participants of the study without a record here, who may be on the randomisation list.

    Raises
    ------
    MixedOutputError
        If the records, or their rows, are of different protocols or versions.
    StudyError
        If the randomisation list does not fit the participants.
    UsageError
        If two records are of one participant.
    """
    _require_one_source(records, protocol=protocol)
    names = [record.participant_id for record in records]
    arms = None
    if randomization is not None:
        arms = read_randomization(randomization, participants=names, known=known_participants)
    volumes = _ordered([row for record in records for row in record.rows])
    changes = _ordered([row for record in records for row in participant_changes(record, protocol=protocol)])
    folder = out / "tables"
    paths = TablePaths(
        volumes=folder / "volumes.csv",
        change=folder / "change_from_baseline.csv",
        summary=folder / "summary.csv",
        components=folder / "components.csv",
        dictionary=folder / "data_dictionary.csv",
    )
    _write(volumes, VolumeRow, paths.volumes)
    _write(changes, ChangeRow, paths.change)
    _write(summary_rows(volumes, changes, arms=arms), SummaryRow, paths.summary)
    people = sorted(records, key=lambda record: record.participant_id)
    _write([row for record in people for row in component_rows(record)], ComponentRow, paths.components)
    _write(dictionary_rows(), DictionaryRow, paths.dictionary)
    return paths


def _write(rows: Iterable[Record], kind: type[Record], path: Path) -> None:
    files.write_text(csv_text(rows, columns=tuple(kind.model_fields)), path)


def _ordered(rows: Sequence[RowT]) -> list[RowT]:
    return sorted(
        rows, key=lambda row: (row.participant_id, visit_rank(row.visit), parameter_rank(row.parameter))
    )


def _require_one_source(records: Sequence[ParticipantRecord], *, protocol: Protocol) -> None:
    names = Counter(record.participant_id for record in records)
    twice = sorted(name for name, count in names.items() if count > 1)
    if twice:
        msg = f"two records of {', '.join(twice)}; one record a participant is expected"
        raise UsageError(msg)
    hashes = {protocol.sha256: "the protocol given"}
    versions: dict[str, str] = {}
    for record in records:
        hashes.setdefault(record.protocol_sha256, record.participant_id)
        versions.setdefault(record.version, record.participant_id)
        for row in record.rows:
            hashes.setdefault(row.protocol_sha256 or record.protocol_sha256, record.participant_id)
            versions.setdefault(row.version or record.version, record.participant_id)
    _require_one("protocols", {value[:12]: name for value, name in hashes.items()})
    _require_one("versions", versions)


def _require_one(what: str, found: dict[str, str]) -> None:
    if len(found) > 1:
        named = ", ".join(f"{value} ({name})" for value, name in found.items())
        msg = f"results of different {what} in one table: {named}; run again so that all are of one"
        raise MixedOutputError(msg)

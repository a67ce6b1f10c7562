"""Every read of an infarct as a row, and one table a reader and read for the agreement of readers.

Readers have numbers, by the order in which they were enrolled; names are in the audit trail.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from infarct_vol.records import Parameter, ParticipantRecord, Record, VisitRecord
from infarct_vol.review.model import ReadKind, Verdict
from infarct_vol.review.standing import Read
from infarct_vol.tables.components import PARAMETER_OF_MASK
from infarct_vol.tables.order import visit_rank

FOLDER = "reads"
"""Folder of the tables a reader, below that of the tables."""


class ReadRow(Record):
    """One read of one infarct: a row of ``reads.csv`` (its columns, in its order)."""

    participant_id: str
    session_id: str
    visit: str
    parameter: Parameter
    reader: str
    kind: ReadKind
    read_number: int
    verdict: Verdict
    volume_ml: float | None
    mask_path: str
    mask_sha256: str


class ReadRows:
    """The rows of all reads, taken over participant by participant.

    Parameters
    ----------
    reads
        Every read, in any order; one of a registration has no volume and is no row.
    """

    def __init__(self, reads: Iterable[Read]) -> None:
        self.rows: list[ReadRow] = []
        self._reads: dict[str, list[Read]] = defaultdict(list)
        for read in reads:
            if read.item.image in PARAMETER_OF_MASK:
                self._reads[read.item.participant_id].append(read)

    def add(self, record: ParticipantRecord) -> None:
        """Take over one participant's reads; a read of a visit that is no longer there is left out."""
        visits = {visit.session_id: visit for visit in record.visits}
        rows = [
            _row(read, visits[read.item.session_id], record)
            for read in self._reads.get(record.participant_id, ())
            if read.item.session_id in visits
        ]
        self.rows += sorted(rows, key=_place)

    def tables(self) -> Iterator[tuple[str, Sequence[ReadRow]]]:
        """Yield name and rows of every reader's every read, such as ``reads/reader-1_read-2``."""
        by_reader = sorted(self.rows, key=lambda row: (row.reader, row.read_number))
        for (reader, number), rows in groupby(by_reader, key=lambda row: (row.reader, row.read_number)):
            yield f"{FOLDER}/{reader.lower().replace(' ', '-')}_read-{number}", list(rows)


def _row(read: Read, visit: VisitRecord, record: ParticipantRecord) -> ReadRow:
    paths = (path for path in visit.masks.values() if record.outputs.get(path) == read.mask_sha256)
    return ReadRow(
        participant_id=record.participant_id,
        session_id=read.item.session_id,
        visit=visit.visit,
        parameter=PARAMETER_OF_MASK[read.item.image],
        reader=f"{read.role.capitalize()} {read.reader}",
        kind=read.kind,
        read_number=read.number,
        verdict=read.verdict,
        volume_ml=read.volume_ml,
        mask_path=read.mask_path or next(paths, ""),
        mask_sha256=read.mask_sha256,
    )


def _place(row: ReadRow) -> tuple[object, ...]:
    return (visit_rank(row.visit), row.session_id, row.parameter, row.reader, row.read_number)

"""The records of an output folder with everything that was decided on them."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from infarct_vol.audit import AuditTrail
from infarct_vol.ledger import VerifiedStore
from infarct_vol.protocol import Protocol
from infarct_vol.records import ParticipantRecord
from infarct_vol.review.effects import reviewed_record
from infarct_vol.review.model import Item
from infarct_vol.review.standing import Read, Standing
from infarct_vol.review.state import Reading


class ReviewedStore(VerifiedStore):
    """Records as they count: reviews taken over from the audit trail, then every mask held against its hash.

    Without a decision, records are those of `VerifiedStore`.

    Parameters
    ----------
    out
        Output folder of a run.
    protocol
        Says how masks are read, and which of two reads counts.
    """

    def __init__(self, out: Path, protocol: Protocol) -> None:
        super().__init__(out)
        reading = Reading(protocol.review, AuditTrail(out).entries())
        self.sequence = reading.sequence
        """Sequence number of the last entry that was looked at."""
        kinds = ("open",) if protocol.review.reads == 1 else ("read", "reread", "adjudication")
        self.reads: tuple[Read, ...] = tuple(read for read in reading.reads() if read.kind in kinds)
        """Every read of an infarct, in the order of the trail."""
        self._standings: dict[str, dict[Item, Standing]] = defaultdict(dict)
        for item, standing in reading.standings().items():
            self._standings[item.participant_id][item] = standing

    def counted(self, record: ParticipantRecord) -> ParticipantRecord:
        """Return a record with its reviews; the same object where there are none."""
        own = self._standings.get(record.participant_id)
        return reviewed_record(record, own, out=self.out) if own else record

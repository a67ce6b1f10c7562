"""Where the pages' decisions come from: the audit trail, read once, and every record beside what it says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from infarct_vol.audit import AuditTrail, Entry
from infarct_vol.protocol import Protocol
from infarct_vol.qa.review.decisions import Reviewed
from infarct_vol.qa.review.figures import unreviewed
from infarct_vol.qa.review.history import Trail, read_trail
from infarct_vol.records import ParticipantRecord
from infarct_vol.review.model import Item
from infarct_vol.review.standing import Standing
from infarct_vol.review.state import Reading


@dataclass(frozen=True)
class ReviewSource:
    """The audit trail of an output folder, by participant.

    Parameters
    ----------
    out
        Output folder.
    trail
        Entries by participant.
    standings
        Participant -> what counts, by item.
    chain
        What the check of the chain of entries gave, in words.
    """

    out: Path
    trail: Trail
    standings: Mapping[str, Mapping[Item, Standing]]
    chain: str

    def of(self, record: ParticipantRecord) -> Reviewed:
        """Return a participant with what readers made of it."""
        history = self.trail.of(record.participant_id)
        # a participant about whom nothing was entered is as the run left it
        before = unreviewed(record, self.out) if history.entries else record
        return Reviewed(record, before, history, self.standings.get(record.participant_id, {}))


def open_source(out: Path, *, protocol: Protocol) -> ReviewSource:
    """Read the audit trail of an output folder.

    Raises
    ------
    UsageError
        If the file is no audit trail.
    """
    trail = AuditTrail(out)
    entries = trail.entries()
    standings: dict[str, dict[Item, Standing]] = {}
    for item, standing in Reading(protocol.review, entries).standings().items():
        standings.setdefault(item.participant_id, {})[item] = standing
    return ReviewSource(out, read_trail(entries), standings, _chain(trail, entries))


def _chain(trail: AuditTrail, entries: Sequence[Entry]) -> str:
    faults = trail.faults()
    if not faults:
        return f"{len(entries)} entries, chain whole" if entries else "nobody has reviewed anything yet"
    more = f", and {len(faults) - 1} more" if len(faults) > 1 else ""
    return f"CHAIN BROKEN: {faults[0]}{more}; see 'infarct-vol audit'"

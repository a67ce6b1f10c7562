"""What the audit trail says of each participant: decisions, versions of masks, and everything in order."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from pydantic import ValidationError

from infarct_vol.audit import Entry
from infarct_vol.review.model import (
    DECISION,
    EDIT,
    LATE_DECISION,
    LATE_EDIT,
    Decision,
    Item,
    MaskVersion,
)


@dataclass(frozen=True)
class Decided:
    """A decision with the entry it was read from."""

    entry: Entry
    item: Item
    decision: Decision

    @property
    def taken_over(self) -> bool:
        """False where somebody else had decided meanwhile."""
        return self.entry.action == DECISION


@dataclass(frozen=True)
class Version:
    """A corrected mask with the entry it was read from."""

    entry: Entry
    item: Item
    mask: MaskVersion

    @property
    def taken_over(self) -> bool:
        """False where somebody else had saved another version meanwhile."""
        return self.entry.action == EDIT


@dataclass
class History:
    """What happened to one participant, in the order of the trail."""

    decisions: list[Decided] = field(default_factory=list)
    versions: list[Version] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    unreadable: list[int] = field(default_factory=list)
    """Sequence numbers of entries about reading that this version cannot read."""

    def superseded(self, decided: Decided) -> bool:
        """Tell whether a later decision on the same item stands in its place.

        Openly read, anybody's later one does; blinded, only a later one of the same reader and kind.
        """
        return any(
            later.taken_over
            and later.item == decided.item
            and later.decision.kind == decided.decision.kind
            and (later.decision.kind == "open" or later.entry.who == decided.entry.who)
            and later.entry.sequence > decided.entry.sequence
            for later in self.decisions
        )


@dataclass(frozen=True)
class Trail:
    """The audit trail by participant.

    Parameters
    ----------
    people
        Participant -> what happened.
    study
        Entries about no single participant, such as a lock.
    head
        The last entry; None where there is no trail.
    """

    people: dict[str, History]
    study: tuple[Entry, ...]
    head: Entry | None

    def of(self, participant_id: str) -> History:
        """Return one participant's history; an empty one where nothing happened."""
        return self.people.get(participant_id, History())


def read_trail(entries: Iterable[Entry]) -> Trail:
    """Return the entries of an audit trail by participant."""
    people: dict[str, History] = {}
    study: list[Entry] = []
    head = None
    for entry in entries:
        head = entry
        item = Item.of(entry.subject)
        person = item.participant_id if item is not None else _concerned(entry)
        if person is None:
            study.append(entry)
            continue
        history = people.setdefault(person, History())
        history.entries.append(entry)
        if item is not None:
            _sort_in(history, entry, item)
    return Trail(people, tuple(study), head)


def _concerned(entry: Entry) -> str | None:
    """Return the participant of an entry about an input file; its subject is id and file."""
    return entry.subject.split(" ", 1)[0] if entry.action == "input changed" else None


def _sort_in(history: History, entry: Entry, item: Item) -> None:
    try:
        if entry.action in (DECISION, LATE_DECISION):
            history.decisions.append(Decided(entry, item, Decision.model_validate_json(entry.new)))
        elif entry.action in (EDIT, LATE_EDIT):
            history.versions.append(Version(entry, item, MaskVersion.model_validate_json(entry.new)))
    except ValidationError:
        history.unreadable.append(entry.sequence)

"""What was read so far: the entries of the audit trail gone through in order.

Nothing else holds a decision. Going through the trail again gives the same state, entry by entry.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from pydantic import ValidationError

from infarct_vol.audit import Entry
from infarct_vol.errors import AuditError, ConflictError
from infarct_vol.review.model import (
    DECISION,
    EDIT,
    ENROLMENT,
    KEYS_OF,
    LATE_EDIT,
    LOCK,
    READING_OPENED,
    UNLOCK,
    Decision,
    Item,
    MaskKey,
    MaskVersion,
    Reader,
    ReadKind,
)
from infarct_vol.review.readers import Enrolment
from infarct_vol.review.reads import Draw, disagree
from infarct_vol.review.standing import Read, Standing
from infarct_vol.settings import ReviewSettings


class Decided(NamedTuple):
    """A decision with the entry that signs it."""

    entry: Entry
    decision: Decision


class Saved(NamedTuple):
    """A corrected mask with the entry that signs it; ``counts`` is False where somebody else was faster."""

    entry: Entry
    version: MaskVersion
    counts: bool


@dataclass
class Stream:
    """What was done to an item in one reading: by everybody in an open one, by one reader in a blinded one.

    Parameters
    ----------
    revision
        Number of its entries. It does not count those of others, so it says nothing of what they do.
    decision
        The latest decision.
    current
        SHA-256 of the mask that is in work, by key; a key that is not in it has its automatic mask.
    edited
        Sequence number of the latest corrected mask.
    """

    revision: int = 0
    decision: Decided | None = None
    current: dict[MaskKey, str] = field(default_factory=dict)
    edited: int = 0

    @property
    def waiting(self) -> bool:
        """Whether a mask was corrected after the latest decision."""
        return self.edited > (self.decision.entry.sequence if self.decision else 0)

    def expect(self, revision: int, *, where: str) -> None:
        """Raise `ConflictError` unless nothing was entered since the reader looked.

        Parameters
        ----------
        revision
            What the reader saw.
        where
            The case, for the message.
        """
        if self.revision != revision:
            msg = (
                "it was decided or edited meanwhile; what you sent is kept in the trail and does not count: "
                "look at the case again"
            )
            raise ConflictError(msg, where=where)


StreamName = tuple[Item, ReadKind, str]


def stream_name(item: Item, kind: ReadKind, who: str) -> StreamName:
    """Return the stream an entry belongs to; open reading has one stream for everybody."""
    return item, kind, "" if kind == "open" else who


class Reading:
    """Everything that was read, up to an entry of the trail.

    Parameters
    ----------
    settings
        How masks are read.
    entries
        The entries so far, in order.
    """

    def __init__(self, settings: ReviewSettings, entries: Iterable[Entry] = ()) -> None:
        self.settings = settings
        self.sequence = 0
        self.key = ""
        self.lock: Entry | None = None
        self.readers: dict[str, Reader] = {}
        self._streams: dict[StreamName, Stream] = {}
        self._versions: dict[Item, dict[str, list[Saved]]] = defaultdict(lambda: defaultdict(list))
        self._claims: dict[str, list[str]] = defaultdict(list)
        self._readers_of: dict[Item, dict[ReadKind, list[str]]] = defaultdict(lambda: defaultdict(list))
        self._history: dict[str, list[Entry]] = defaultdict(list)
        self.take(entries)

    def take(self, entries: Iterable[Entry]) -> None:
        """Go on with the entries that follow.

        Raises
        ------
        AuditError
            If an entry does not hold what such an entry holds; it and all after it are not taken over.
        """
        for entry in entries:
            try:
                self._take(entry)
            except ValidationError:
                msg = (
                    f"entry {entry.sequence} ({entry.action}) of the audit trail does not hold what such an "
                    "entry holds; nothing is read past it, see 'infarct-vol audit'"
                )
                raise AuditError(msg) from None
            self.sequence = entry.sequence

    def _take(self, entry: Entry) -> None:
        """Take one entry over, or leave everything as it is and raise."""
        if entry.action == READING_OPENED:
            self.key = self.key or entry.new
        elif entry.action in (LOCK, UNLOCK):
            self.lock = entry if entry.action == LOCK else None
        elif entry.action == ENROLMENT:
            reader = Enrolment.model_validate_json(entry.new).reader
            self.readers[reader.name] = reader
        elif (item := Item.of(entry.subject)) is not None:
            self._about(item, entry)

    def _about(self, item: Item, entry: Entry) -> None:
        if entry.action == DECISION:
            self._decided(item, entry, Decision.model_validate_json(entry.new))
        elif entry.action in (EDIT, LATE_EDIT):
            self._edited(item, entry, MaskVersion.model_validate_json(entry.new))
        self._history[item.participant_id].append(entry)

    def _decided(self, item: Item, entry: Entry, decision: Decision) -> None:
        stream = self._entered(item, decision.kind, entry)
        stream.decision = Decided(entry, decision)
        stream.current = dict(decision.masks)
        names = self._readers_of[item][decision.kind]
        if entry.who not in names:
            names.append(entry.who)

    def _edited(self, item: Item, entry: Entry, version: MaskVersion) -> None:
        counts = entry.action == EDIT
        self._versions[item][version.sha256].append(Saved(entry, version, counts))
        if counts:
            stream = self._entered(item, version.kind, entry)
            stream.current[version.key] = version.sha256
            stream.edited = entry.sequence

    def _entered(self, item: Item, kind: ReadKind, entry: Entry) -> Stream:
        stream = self._streams.setdefault(stream_name(item, kind, entry.who), Stream())
        stream.revision += 1
        claims = self._claims[item.participant_id]
        if kind == "read" and entry.who not in claims:
            claims.append(entry.who)
        return stream

    # ---- questions ---------------------------------------------------------------------------------------

    @property
    def draw(self) -> Draw:
        """Codes and orders of this reading."""
        return Draw(self.key)

    @property
    def kind(self) -> ReadKind:
        """How items are read first."""
        return "open" if self.settings.reads == 1 else "read"

    def stream(self, item: Item, kind: ReadKind, who: str) -> Stream:
        """Return what was done to an item in one reading; an empty stream where nothing was."""
        return self._streams.get(stream_name(item, kind, who), Stream())

    def versions(self, item: Item, kind: ReadKind | None = None, who: str = "") -> dict[str, Saved]:
        """Return corrected masks of an item by their SHA-256, in the order they were saved first.

        Two readers may draw the same mask, voxel by voxel: each has an entry of their own for it.

        Parameters
        ----------
        kind, who
            Only those that one reader saved in one way of reading; default: all of them.
        """
        found = {}
        for sha256, saved in self._versions.get(item, {}).items():
            own = [s for s in saved if kind is None or (s.version.kind, s.entry.who) == (kind, who)]
            counting = [s for s in own if s.counts]
            if own:
                found[sha256] = (counting or own)[-1]
        return found

    def version(self, item: Item, sha256: str, *, before: int) -> MaskVersion | None:
        """Return a corrected mask as it was saved last before an entry; None for a mask of the run."""
        saved = self._versions.get(item, {}).get(sha256, ())
        return next((s.version for s in reversed(saved) if s.entry.sequence < before), None)

    def may_read(self, participant_id: str, who: str) -> bool:
        """Tell whether a case is one reader's to read blinded: it is that of the first two who begin it."""
        claims = self._claims.get(participant_id, [])[:2]
        return who in claims or len(claims) < 2

    def history(self, participant_id: str) -> tuple[Entry, ...]:
        """Return every entry about a participant's items."""
        return tuple(self._history.get(participant_id, ()))

    def blinded(self, item: Item) -> list[Decided]:
        """Return the blinded reads of an item by the first two readers, the one that counts first."""
        have_read = self._readers_of.get(item, {}).get("read", [])
        names = [name for name in self._claims.get(item.participant_id, [])[:2] if name in have_read]
        if not names:
            return []
        first = self.draw.first(names, participant_id=item.participant_id)
        ordered = sorted(names, key=lambda name: name != first)
        return [found for name in ordered if (found := self.stream(item, "read", name).decision)]

    def adjudicated(self, item: Item) -> Decided | None:
        """Return the latest decision of an adjudicator; a query decides nothing."""
        found = [
            self.stream(item, "adjudication", name).decision
            for name in self._readers_of.get(item, {}).get("adjudication", [])
        ]
        decided = [one for one in found if one is not None]
        return max(decided, key=lambda one: one.entry.sequence) if decided else None

    def must_adjudicate(self, item: Item) -> bool:
        """Tell whether two blinded reads of an item are complete and disagree."""
        reads = self.blinded(item)
        return (
            len(reads) == 2
            and not _asked(reads)
            and self.base(item, reads[0]) == self.base(item, reads[1])
            and _differ(item, reads, self.settings)
        )

    def base(self, item: Item, decided: Decided) -> tuple[str, dict[MaskKey, str]]:
        """Return what a decision rests on: SHA-256 of the scan, and of the masks the run made, by key."""
        decision, before = decided.decision, decided.entry.sequence
        known = {key: self.version(item, sha, before=before) for key, sha in decision.masks.items()}
        masks = {key: v.automatic_sha256 if v else decision.masks[key] for key, v in known.items()}
        return decision.scan_sha256, masks

    def standing(self, item: Item) -> Standing:
        """Return what counts for an item."""
        if self.settings.reads == 1:
            stream = self.stream(item, "open", "")
            found = [stream.decision] if stream.decision else []
            return self._standing(item, found, waiting=stream.waiting)
        reads = self.blinded(item)
        if len(reads) < 2 or _asked(reads):
            asked = [one for one in reads if one.decision.verdict == "query"]
            return self._standing(item, asked[:1])
        if self.base(item, reads[0]) != self.base(item, reads[1]):
            return Standing(item=item, state="stale", kind="read")
        if not _differ(item, reads, self.settings):
            return self._agreed(item, reads)
        third = self.adjudicated(item)
        if third is None:
            return Standing(item=item, state="disagreement", kind="read")
        return self._standing(item, [third], rule="adjudicated")

    def _standing(
        self, item: Item, found: list[Decided], *, waiting: bool = False, rule: str = ""
    ) -> Standing:
        if not found:
            return Standing(item=item, kind=self.kind, waiting=waiting)
        entry, decision = found[0]
        known = {key: self.version(item, s, before=entry.sequence) for key, s in decision.masks.items()}
        return Standing(
            item=item,
            state="query" if decision.verdict == "query" else "settled",
            verdict=decision.verdict,
            kind=decision.kind,
            readers=tuple(one.entry.who for one in found),
            utc=max(one.entry.utc for one in found),
            reason=entry.reason,
            # a version whose voxels are those of the automatic mask is none
            masks={k: v for k, v in known.items() if v is not None and v.sha256 != v.automatic_sha256},
            judged=decision.masks,
            scan_sha256=decision.scan_sha256,
            rule=rule,
            waiting=waiting,
        )

    def _agreed(self, item: Item, reads: list[Decided]) -> Standing:
        """Return the value of two reads that agree: that of the reader drawn first, or the mean."""
        volumes = [one.decision.volume_ml for one in reads]
        if self.settings.endpoint_rule == "first" or item.image == "registration" or None in volumes:
            return self._standing(item, reads[:1], rule="first")
        mean_ml = sum(volume for volume in volumes if volume is not None) / 2
        paths = tuple(self._infarct_path(item, one.decision) for one in reads)
        standing = self._standing(item, reads, rule="mean")
        return standing.model_copy(update={"volume_ml": mean_ml, "sources": paths})

    def _infarct_path(self, item: Item, decision: Decision) -> str:
        saved = self.versions(item).get(decision.masks.get(KEYS_OF[item.image][0], ""))
        return saved.version.path if saved else "the automatic mask"

    def standings(self) -> dict[Item, Standing]:
        """Return what counts for every item about which anything was entered."""
        items = dict.fromkeys(name[0] for name in self._streams)
        return {item: self.standing(item) for item in items}

    def reads(self) -> Iterator[Read]:
        """Yield every read of an infarct that gave a verdict, by item and reader."""
        numbers = _numbers(self.readers.values())
        for item, kinds in self._readers_of.items():
            if item.image == "registration":
                continue
            for kind, names in kinds.items():
                for name in names:
                    decided = self._last_of(item, kind, name)
                    if decided is not None and name in numbers:
                        yield self._read(item, kind, decided, self.readers[name], numbers[name])

    def _last_of(self, item: Item, kind: ReadKind, name: str) -> Decided | None:
        if kind != "open":
            return self.stream(item, kind, name).decision
        entries = [
            entry
            for entry in self._history[item.participant_id]
            if entry.subject == item.subject and entry.action == DECISION and entry.who == name
        ]
        return Decided(entries[-1], Decision.model_validate_json(entries[-1].new)) if entries else None

    def _read(self, item: Item, kind: ReadKind, decided: Decided, reader: Reader, number: int) -> Read:
        decision = decided.decision
        sha256 = decision.masks.get(KEYS_OF[item.image][0], "")
        saved = self.versions(item).get(sha256)
        return Read(
            item=item,
            kind=kind,
            role=reader.role,
            reader=number,
            number=2 if kind == "reread" else 1,
            verdict=decision.verdict,
            volume_ml=decision.volume_ml if decision.verdict == "accept" else None,
            mask_path=saved.version.path if saved else "",
            mask_sha256=sha256,
        )


def _numbers(readers: Iterable[Reader]) -> dict[str, int]:
    """Return every reader's number among those of their role, by order of enrolment."""
    found: dict[str, int] = {}
    counts: dict[str, int] = defaultdict(int)
    for reader in readers:
        counts[reader.role] += 1
        found[reader.name] = counts[reader.role]
    return found


def _asked(reads: Iterable[Decided]) -> bool:
    return any(one.decision.verdict == "query" for one in reads)


def _differ(item: Item, reads: list[Decided], settings: ReviewSettings) -> bool:
    first, second = (one.decision for one in reads)
    if first.verdict != second.verdict:
        return True
    if item.image == "registration" or first.verdict != "accept":
        return False
    return disagree(first.volume_ml, second.volume_ml, settings)

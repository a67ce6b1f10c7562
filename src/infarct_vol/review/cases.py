"""What there is to read: participants, their visits and items, as one reader sees them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from infarct_vol.errors import ReviewError
from infarct_vol.ledger import RecordStore, read_record
from infarct_vol.records import ParticipantRecord, RegistrationRecord, VisitRecord
from infarct_vol.review.model import KEYS_OF, Item, MaskKey, Reader, ReadKind
from infarct_vol.review.state import Decided, Reading, Saved, Stream
from infarct_vol.settings import ANALYSED_VISITS

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}(T[\d:.+Z-]*)?")
_DAY = re.compile(r"\bstudy day -?\d+")


class UnknownCaseError(ReviewError):
    """A reader asked for a case, an image or a mask that is not theirs to read."""


@dataclass(frozen=True, eq=False)
class Facts:
    """One item as the run left it.

    Parameters
    ----------
    item
        What is judged.
    visit
        Its visit.
    masks
        SHA-256 of the run's masks, by key; empty for a registration.
    paths
        Their paths relative to the output folder.
    scan_sha256
        SHA-256 of the scan they lie on; of the transform's file for a registration.
    registration
        The registration, where it is one.
    """

    item: Item
    visit: VisitRecord
    masks: Mapping[MaskKey, str]
    paths: Mapping[MaskKey, str]
    scan_sha256: str
    registration: RegistrationRecord | None = None

    def fits(self, reading: Reading, stream: Stream) -> bool:
        """Tell whether a stream's latest decision is on what is there now; True where there is none."""
        return stream.decision is None or self.is_of(reading, stream.decision)

    def is_of(self, reading: Reading, decided: Decided) -> bool:
        """Tell whether a decision is on the scan and the masks of the run that are there now."""
        scan_sha256, masks = reading.base(self.item, decided)
        return scan_sha256 == self.scan_sha256 and masks == self.masks

    def is_due(self, reading: Reading, who: str) -> bool:
        """Tell whether it is an adjudicator's: two blinded reads of what is there now, and they differ.

        What another adjudicator decided is theirs.
        """
        reads, third = reading.blinded(self.item), reading.adjudicated(self.item)
        others = third is not None and third.entry.who != who and third.decision.verdict != "query"
        if third is not None and others and self.is_of(reading, third):
            return False
        return reading.must_adjudicate(self.item) and all(self.is_of(reading, one) for one in reads)


def items_of(record: ParticipantRecord) -> tuple[Facts, ...]:
    """Return a participant's items, in the order of visits."""
    found = []
    for visit in record.visits:
        if visit.visit not in ANALYSED_VISITS or visit.session_id is None:
            continue
        for registration in visit.registrations[:1]:
            found.append(_registration(record, visit, registration))
        for image in ("dwi", "flair"):
            if image in visit.masks:
                item = Item(record.participant_id, visit.session_id, image)
                paths = {key: visit.masks[key] for key in KEYS_OF[item.image] if key in visit.masks}
                hashes = {key: record.outputs.get(path, "") for key, path in paths.items()}
                scan = visit.scan(image)
                found.append(Facts(item, visit, hashes, paths, scan.sha256 if scan else ""))
    return tuple(found)


def _registration(record: ParticipantRecord, visit: VisitRecord, registration: RegistrationRecord) -> Facts:
    item = Item(record.participant_id, visit.session_id or "", "registration")
    sha256 = record.outputs.get(registration.path or "", "")
    return Facts(item, visit, {}, {}, sha256, registration)


@dataclass(frozen=True, eq=False)
class Case:
    """A participant as one reader reads them.

    Parameters
    ----------
    record
        The participant as the run left it.
    reader
        Who reads.
    kind
        How it is read.
    code
        Name of the case in addresses and, where the reading is blinded, on the page.
    sessions
        The sessions in the order they are shown; a name on the page goes by this order, never by the session.
    """

    record: ParticipantRecord
    reader: Reader
    kind: ReadKind
    code: str
    sessions: tuple[str, ...]
    hides_order: bool = False

    @property
    def title(self) -> str:
        """What the case is called on the page."""
        return self.record.participant_id if self.kind == "open" else f"Case {self.code[:4]}-{self.code[4:]}"

    def told(self, text: str) -> str:
        """Return a sentence as this reader may see it: no identity, session or date in a blinded reading."""
        if self.kind == "open":
            return text
        for pattern, name in self._names:
            text = pattern.sub(name, text)
        if self.hides_order:
            text = _DAY.sub("a study day", text)
        return _DATE.sub("a date", text)

    @cached_property
    def _names(self) -> list[tuple[re.Pattern[str], str]]:
        """What a reader must not see, longest first, and what stands in its place."""
        names = {self.record.participant_id: self.title, f"sub-{self.record.participant_id}": self.title}
        for at, session in enumerate(self.sessions, start=1):
            names |= {session: f"visit {at}", session.removeprefix("ses-"): f"visit {at}"}
        if self.hides_order:
            names |= {visit: "a visit" for visit in (*ANALYSED_VISITS, "Baseline", "follow-up")}
        ordered = sorted(names.items(), key=lambda pair: -len(pair[0]))
        return [(_word(word), name) for word, name in ordered]

    @cached_property
    def facts(self) -> dict[str, Facts]:
        """The items by their names on the page, such as ``v2.flair``."""
        places = {session: at for at, session in enumerate(self.sessions, start=1)}
        found = {f"v{places[f.item.session_id]}.{f.item.image}": f for f in items_of(self.record)}
        return dict(sorted(found.items()))

    @cached_property
    def visits(self) -> dict[str, VisitRecord]:
        """The analysed visits by their names on the page, such as ``v2``, in the order they are shown."""
        visits = analysed(self.record)
        sessions = [*self.sessions, *(visit.visit for visit in visits if visit.session_id is None)]
        names = {session: f"v{at}" for at, session in enumerate(sessions, start=1)}
        named = [(names[visit.session_id or visit.visit], visit) for visit in visits]
        return dict(
            sorted(named, key=lambda pair: sessions.index(pair[1].session_id or pair[1].visit))
            if self.hides_order
            else named
        )

    def found(self, name: str) -> Facts:
        """Return an item by its name on the page.

        Raises
        ------
        UnknownCaseError
            If there is none.
        """
        try:
            return self.facts[name]
        except KeyError:
            msg = f"there is no item '{name}' in {self.title}"
            raise UnknownCaseError(msg) from None

    def stream(self, reading: Reading, facts: Facts) -> Stream:
        """Return what was done to an item in this reading."""
        return reading.stream(facts.item, self.kind, self.reader.name)

    def visible(self, reading: Reading, facts: Facts) -> dict[str, Saved]:
        """Return the versions this reader may see, by their SHA-256.

        In an open reading all of them, else the reader's own of this reading, and for the adjudicator
        those of the reads that differ.
        """
        versions = reading.versions(facts.item)
        if self.kind == "open":
            return versions
        own = reading.versions(facts.item, self.kind, self.reader.name)
        if self.kind == "adjudication" and facts.is_due(reading, self.reader.name):
            judged = (one.decision.masks.values() for one in reading.blinded(facts.item))
            shown = {sha: versions[sha] for masks in judged for sha in masks if sha in versions}
            return shown | own
        return own

    def in_work(self, reading: Reading, facts: Facts) -> dict[MaskKey, str]:
        """Return the SHA-256 of the masks a reader goes on with: their latest, or those of the run.

        What was corrected from a mask that the run has since made anew is not gone on with.
        """
        current, visible = self.stream(reading, facts).current, self.visible(reading, facts)
        return {
            key: current[key] if fits_mask(visible.get(current.get(key, "")), automatic) else automatic
            for key, automatic in facts.masks.items()
        }

    def mask(self, reading: Reading, name: str, key: str, sha256: str | None = None) -> tuple[str, str]:
        """Return path and hash of a mask this reader may see; without a hash the one in work.

        Raises
        ------
        UnknownCaseError
            If there is none.
        """
        facts = self.found(name)
        paths = {str(known): (path, facts.masks[known]) for known, path in facts.paths.items()}
        if key not in paths:
            msg = f"'{name}' has no mask '{key[:20]}'"
            raise UnknownCaseError(msg)
        in_work = {str(known): digest for known, digest in self.in_work(reading, facts).items()}
        digest = sha256 or in_work[key]
        if digest == paths[key][1]:
            return paths[key]
        saved = self.visible(reading, facts).get(digest)
        if saved is None or saved.version.key != key:
            msg = f"'{name}' has no mask '{key}' with SHA-256 {digest[:12]}"
            raise UnknownCaseError(msg)
        return saved.version.path, digest

    def volume_ml(self, reading: Reading, facts: Facts, sha256: str) -> float | None:
        """Return the mL of an infarct by its mask's hash."""
        saved = reading.versions(facts.item).get(sha256)
        if saved is not None:
            return saved.version.volume_ml
        path = next((facts.paths[key] for key, known in facts.masks.items() if known == sha256), None)
        row = next((row for row in self.record.rows if row.mask_path == path), None)
        return row.volume_ml if row else None


def fits_mask(saved: Saved | None, automatic_sha256: str) -> bool:
    """Tell whether a version was corrected from the mask the run has now, or from one made of it."""
    return saved is not None and saved.version.automatic_sha256 == automatic_sha256


def _word(word: str) -> re.Pattern[str]:
    """Return what finds a name in a sentence; a bare number only where a registration names a session."""
    if word.isdigit():
        return re.compile(rf"(?<=registration of ){word}(?= to )|(?<= to ){word}(?= is )")
    return re.compile(rf"(?<![A-Za-z0-9]){re.escape(word)}(?![A-Za-z0-9])")


def analysed(record: ParticipantRecord) -> list[VisitRecord]:
    """Return the visits at which the infarct is measured."""
    return [visit for visit in record.visits if visit.visit in ANALYSED_VISITS]


class CaseBook:
    """The participants of an output folder, and which of them a reader reads, in which order.

    Parameters
    ----------
    out
        Output folder of a run. A record that a later run wrote anew is read anew.
    """

    def __init__(self, out: Path) -> None:
        self._store = RecordStore(out)
        self._records: dict[str, tuple[int, ParticipantRecord]] = {}

    @property
    def participant_ids(self) -> tuple[str, ...]:
        """Every participant with a record."""
        return tuple(head.participant_id for head in self._store.heads)

    def record(self, participant_id: str) -> ParticipantRecord:
        """Return a participant's record as it is now."""
        path = self._store.path_of(participant_id)
        stamp = path.stat().st_mtime_ns
        known = self._records.get(participant_id)
        if known is not None and known[0] == stamp:
            return known[1]
        record = read_record(path)
        if record is None:
            msg = f"the record of {participant_id} cannot be read; run again"
            raise ReviewError(msg)
        self._records[participant_id] = stamp, record
        return record

    def cases(self, reading: Reading, reader: Reader) -> list[tuple[ReadKind, str]]:
        """Return kind and participant of every case of one reader, in the order they are read."""
        names = [name for name in self.participant_ids if items_of(self.record(name))]
        if reading.settings.reads == 1:
            return [("open", name) for name in names]
        if reader.role == "adjudicator":
            due = [n for n in names if self._is_due(reading, n, reader)]
            ordered = reading.draw.order(due, reader=reader.name, kind="adjudication")
            return [("adjudication", name) for name in ordered]
        own = [name for name in names if reading.may_read(name, reader.name)]
        ordered = reading.draw.order(own, reader=reader.name, kind="read")
        found: list[tuple[ReadKind, str]] = [("read", name) for name in ordered]
        if not all(self._is_read(reading, name, reader) for name in own):
            return found
        percent = reading.settings.reread_percent
        again = reading.draw.reread(own, reader=reader.name, percent=percent)
        ordered = reading.draw.order(again, reader=reader.name, kind="reread")
        return [*found, *(("reread", name) for name in ordered)]

    def case(self, reading: Reading, reader: Reader, kind: ReadKind, participant_id: str) -> Case:
        """Return a participant as one reader reads them."""
        record = self.record(participant_id)
        sessions: Sequence[str] = [v.session_id for v in analysed(record) if v.session_id is not None]
        hides_order = kind != "open" and reading.settings.mask_visit_order
        if hides_order:
            name = f"{reader.name} {kind}"
            sessions = reading.draw.visit_order(sessions, participant_id=participant_id, reader=name)
        who = "" if kind == "open" else reader.name
        code = reading.draw.code(participant_id, reader=who, kind=kind)
        return Case(record, reader, kind, code, tuple(sessions), hides_order)

    def _is_due(self, reading: Reading, name: str, reader: Reader) -> bool:
        return any(facts.is_due(reading, reader.name) for facts in items_of(self.record(name)))

    def _is_read(self, reading: Reading, name: str, reader: Reader) -> bool:
        """Tell whether a reader is through with a participant; a query, or a read of what changed, is not."""
        for facts in items_of(self.record(name)):
            stream = reading.stream(facts.item, "read", reader.name)
            asked = stream.decision is None or stream.decision.decision.verdict == "query"
            if asked or not facts.fits(reading, stream):
                return False
        return True

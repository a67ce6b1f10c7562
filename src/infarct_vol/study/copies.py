"""Images that lie in two places of a study: at least one of them is not what its place says."""

from __future__ import annotations

import gzip
import hashlib
import os
import zlib
from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from infarct_vol.dates import in_order
from infarct_vol.images import MODALITY_LABELS, Modality
from infarct_vol.study.model import Participant, Session, Study

_KINDS: tuple[Modality, ...] = ("dwi", "adc", "b0", "flair")
"""Images a volume comes from. A T1w may be given for all visits of a participant."""
_GZIP = b"\x1f\x8b"
_LEAST_BYTES = 18
"""A gzip file without content: header and trailer."""
_SAMPLE_BYTES = 1 << 16


@dataclass(frozen=True, eq=False)
class _Place:
    """Where an image lies."""

    participant: Participant
    session: Session
    modality: Modality

    @property
    def key(self) -> tuple[str, str]:
        """Participant and session."""
        return self.participant.participant_id, self.session.session_id

    @property
    def path(self) -> Path:
        """The file."""
        return self.session.files[self.modality].path

    def seen_from(self, other: _Place) -> str:
        """Return the place in words: the session, and whose it is where that is somebody else."""
        theirs = self.participant.participant_id != other.participant.participant_id
        whose = f"{self.participant.participant_id} " if theirs else ""
        return f"{whose}{self.session.session_id} {MODALITY_LABELS[self.modality]}"


def with_copies_named(study: Study) -> Study:
    """Refuse, or flag, an image that lies in two sessions.

    One image is not of two persons or two visits. Of one participant, where the times are stated and differ,
    the earliest is flagged and the others are refused. Otherwise all are flagged: which participant an image
    is of, the other images tell. Files are compared by what they hold, compressed again or not; those that
    cannot be read are told elsewhere.
    """
    found: dict[tuple[str, str], _Told] = defaultdict(_Told)
    for places in _copies(study.participants):
        refused = _proven_wrong(places)
        for place in places:
            elsewhere = (other.seen_from(place) for other in places if other.session is not place.session)
            said = f"the same image as {', '.join(dict.fromkeys(elsewhere))}"
            if place in refused:
                reason = f"{place.path.name}: {said}, of another time; put the right file in its place"
                found[place.key].problems[place.modality] = reason
            else:
                label = MODALITY_LABELS[place.modality]
                found[place.key].remarks.append(f"{label}: {said}; one of them is not what its place says")
    return replace(study, participants=tuple(_with_told(each, found) for each in study.participants))


@dataclass
class _Told:
    """What is said of a session."""

    problems: dict[Modality, str] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)


def _with_told(participant: Participant, found: Mapping[tuple[str, str], _Told]) -> Participant:
    sessions = []
    for session in participant.sessions:
        told = found.get((participant.participant_id, session.session_id), _Told())
        sessions.append(
            replace(
                session,
                files={kind: file for kind, file in session.files.items() if kind not in told.problems},
                problems={**session.problems, **told.problems},
                remarks=(*session.remarks, *told.remarks),
            )
        )
    return replace(participant, sessions=tuple(sessions))


def _proven_wrong(places: Sequence[_Place]) -> list[_Place]:
    """Return the later visits of every participant, where the times are stated."""
    wrong: list[_Place] = []
    for one in {place.participant.participant_id for place in places}:
        own = [place for place in places if place.participant.participant_id == one]
        wrong.extend(_later_visits(own))
    return wrong


def _later_visits(places: Sequence[_Place]) -> list[_Place]:
    times = [place.session.acq_time for place in places]
    if None in times:
        return []
    order = in_order({time for time in times if time is not None})
    earliest = min(order.values())
    return [place for place in places if order[place.session.acq_time or ""] > earliest]


def _copies(participants: Iterable[Participant]) -> Iterator[list[_Place]]:
    """Yield the places of every image that lies in several sessions."""
    alike: dict[Hashable, list[_Place]] = defaultdict(list)
    for participant in participants:
        for session in participant.sessions:
            for modality in _KINDS:
                if modality in session.files:
                    place = _Place(participant, session, modality)
                    alike[_glance(place.path)].append(place)
    alike.pop(None, None)
    for places in alike.values():
        if _in_several_sessions(places):
            same: dict[Hashable, list[_Place]] = defaultdict(list)
            for place in places:
                same[_content(place.path)].append(place)
            same.pop(None, None)
            yield from filter(_in_several_sessions, same.values())


def _in_several_sessions(places: Sequence[_Place]) -> bool:
    return len({place.key for place in places}) > 1


def _glance(path: Path) -> Hashable:
    """Return what equal images have in common and others hardly ever, without reading all; None: not read."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            if size < _LEAST_BYTES:
                return None
            if file.read(len(_GZIP)) == _GZIP:
                file.seek(-8, os.SEEK_END)
                return file.read(8)  # CRC-32 and length of the content
            sampled = hashlib.sha256()
            for start in (0, size // 2):
                file.seek(start)
                sampled.update(file.read(_SAMPLE_BYTES))
            return size, sampled.digest()
    except OSError:
        return None


def _content(path: Path) -> str | None:
    """Return the SHA-256 of what an image file holds, uncompressed; None where it cannot be read."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as raw:
            is_gzip = raw.read(len(_GZIP)) == _GZIP
        with gzip.open(path) if is_gzip else path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except (OSError, EOFError, zlib.error):
        return None
    return digest.hexdigest()

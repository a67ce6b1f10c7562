"""Entries in a chain: each holds the SHA-256 of the one before, and a look along it finds what was altered.

Nothing here opens a file; `infarct_vol.audit` keeps the chain on disk.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

_MOST_REMARKS = 200
"""Faults and notes that are told one by one; a trail with more of them is lost anyway."""
_TYPES: Mapping[str, type] = {"sequence": int}
_encoded = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode


@dataclass(frozen=True)
class Entry:
    """One thing done.

    Parameters
    ----------
    sequence
        1, 2, 3, ...: the order, whatever the clock did.
    utc
        ISO 8601, UTC.
    who
        The reader, or the account the command ran under.
    action
        What was done, such as ``unblinding``.
    subject
        What it was done to.
    reason, old, new
        Why, and what was there before and after; SHA-256 where it is a file.
    previous_sha256, sha256
        Hash of the entry before, and of this one with that.
    """

    sequence: int
    utc: str
    who: str
    action: str
    subject: str
    reason: str
    old: str
    new: str
    previous_sha256: str
    sha256: str = ""

    def digest(self) -> str:
        """Return the SHA-256 of everything but itself."""
        facts = dict(self.__dict__)
        del facts["sha256"]
        return hashlib.sha256(_encoded(facts).encode()).hexdigest()


class Head(NamedTuple):
    """The last entry of a trail: whoever knows it notices that the entries up to it were changed or cut."""

    sequence: int = 0
    """0 where there is no entry, or where only the hash is known."""
    sha256: str = ""

    @classmethod
    def of(cls, text: str) -> Head | None:
        """Return the head that a JSON text or a bare SHA-256 states; None where it states none."""
        if re.fullmatch(r"[0-9a-f]{64}", text.strip().lower()):
            return cls(0, text.strip().lower())
        try:
            value = json.loads(text)
            head = cls(value["sequence"], value["sha256"])
        except (ValueError, TypeError, KeyError, RecursionError):
            return None
        # a head without a hash stands for a trail without entries
        known = re.fullmatch(r"[0-9a-f]{64}" if head.sequence else "", str(head.sha256))
        return head if type(head.sequence) is int and head.sequence >= 0 and known else None


class Chain(NamedTuple):
    """What a look at every entry found."""

    entries: int
    head: Head
    faults: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class Look:
    """Goes along a chain once, and remembers the last entry only.

    Parameters
    ----------
    heads
        Heads that must be in the chain, by what they are called in a message.
    """

    def __init__(self, heads: Mapping[str, Head | None]) -> None:
        self.count = 0
        self._heads = {name: head for name, head in heads.items() if head is not None and head.sha256}
        self._found: set[str] = set()
        self._last = Entry(0, "", "", "", "", "", "", "", "")
        self._faults: list[str] = []
        self._notes: list[str] = []

    def fault(self, text: str) -> None:
        """Remember a fault."""
        if len(self._faults) <= _MOST_REMARKS:
            self._faults.append(text[:400])

    def take(self, row: tuple[object, ...]) -> None:
        """Hold one entry against the one before it."""
        self.count += 1
        entry = Entry(*row)  # type: ignore[arg-type]
        name = f"entry {entry.sequence} ({str(entry.action)[:60]})"
        wrong = [key for key, value in entry.__dict__.items() if type(value) is not _TYPES.get(key, str)]
        if wrong:
            self.fault(f"{name} was altered: {', '.join(wrong)} of the wrong type")
            return
        self._numbered(entry, name)
        if entry.previous_sha256 != self._last.sha256:
            self.fault(f"{name} does not follow the entry before it")
        if entry.sha256 != entry.digest():
            self.fault(f"{name} was altered")
        if entry.utc < self._last.utc and len(self._notes) < _MOST_REMARKS:
            step = f"{self._last.utc} to {entry.utc}"
            self._notes.append(
                f"the clock stepped back before {name}, {step}; the order is that of the numbers"
            )
        for key, head in self._heads.items():
            if head.sha256 == entry.sha256 and head.sequence in (0, entry.sequence):
                self._found.add(key)
        self._last = entry

    def _numbered(self, entry: Entry, name: str) -> None:
        before = max(self._last.sequence, 0)
        if entry.sequence == before + 1:
            return
        if entry.sequence <= before:
            self.fault(f"{name} stands where entry {before + 1} is expected")
            return
        gone = f"{before + 1}" if entry.sequence == before + 2 else f"{before + 1} to {entry.sequence - 1}"
        self.fault(f"missing before {name}: {gone}")

    def chain(self) -> Chain:
        """Return what was found, the heads included."""
        for name, head in self._heads.items():
            if name not in self._found:
                self.fault(_not_found(name, head, self._last.sequence))
            elif 0 < head.sequence < self._last.sequence and name.endswith(".json"):
                self._notes.append(f"{name} is behind: it vouches for the entries up to {head.sequence} only")
        if len(self._faults) > _MOST_REMARKS:
            self._faults[_MOST_REMARKS:] = ["and more"]
        return Chain(
            self.count, Head(self._last.sequence, self._last.sha256), tuple(self._faults), tuple(self._notes)
        )


def _not_found(name: str, head: Head, last: int) -> str:
    if head.sequence > last:
        cut = "1 entry was" if head.sequence == last + 1 else f"{head.sequence - last} entries were"
        return f"{cut} cut from the end: {name} vouches for entry {head.sequence}"
    which = (
        f"entry {head.sequence} is not what {name} vouches for" if head.sequence else f"{name} is not in it"
    )
    return f"{which} ({head.sha256[:12]}): the trail was cut, exchanged or written anew"

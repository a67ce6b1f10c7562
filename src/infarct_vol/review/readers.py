"""Who may sign: readers, their passphrases, and how both are bound to the audit trail.

A passphrase is never kept; a credential is what scrypt makes of it. Credentials are in a file that only the
account of the product can read, each bound to the trail by the SHA-256 in the entry that enrolled it.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import math
import secrets
import threading
import time
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import get_args

from pydantic import Field, TypeAdapter, ValidationError

from infarct_vol.audit import AuditTrail, Entry
from infarct_vol.errors import NotAllowedError, ReviewError
from infarct_vol.files import whole_file
from infarct_vol.records import Record
from infarct_vol.review.model import ENROLMENT, SIGNED_IN, Reader, Role

PASSPHRASE_CHANGED = "passphrase changed"
SIGN_IN_BLOCKED = "sign-in blocked"
"""Several wrong passphrases in a row for one name."""
SHORTEST_PASSPHRASE = 12
_LONGEST_PASSPHRASE = 1024
_LONGEST_NAME = 60
_MOST_FAILURES = 5
_PAUSE_S = 60.0
_MOST_NAMES = 1000
"""Names whose failures are remembered; the oldest is forgotten first."""
_WRONG = "name or passphrase is wrong; a reader who is not enrolled yet must be enrolled first"


class Enrolment(Reader):
    """A reader with the hash of their credential; ``new`` of an enrolment or a change of passphrase."""

    credential_sha256: str

    @property
    def reader(self) -> Reader:
        """The reader alone."""
        return Reader(name=self.name, role=self.role)


class Credential(Record):
    """What is kept of a passphrase: a line of ``readers.json``."""

    name: str
    role: Role
    n: int = Field(1 << 15, ge=1 << 14, le=1 << 20, description="cost of scrypt in memory and time")
    r: int = Field(8, ge=1, le=32)
    p: int = Field(1, ge=1, le=16)
    salt: str
    key: str = ""

    @property
    def sha256(self) -> str:
        """SHA-256 of the line; with its random salt in it, nothing can be guessed from it."""
        text = json.dumps(self.model_dump(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def of(self, passphrase: str) -> str:
        """Return what scrypt makes of a passphrase with this salt and cost."""
        secret = unicodedata.normalize("NFKC", passphrase).encode("utf-8", "replace")
        room = 256 * self.n * self.r + (1 << 20)
        salt = bytes.fromhex(self.salt)
        return hashlib.scrypt(secret, salt=salt, n=self.n, r=self.r, p=self.p, maxmem=room, dklen=32).hex()

    def fits(self, passphrase: str) -> bool:
        """Tell whether a passphrase is the one."""
        return hmac.compare_digest(self.of(passphrase), self.key)


_Lines = TypeAdapter(tuple[Credential, ...])


class Readers:
    """The readers of one output folder.

    Parameters
    ----------
    out
        Output folder of a run.
    trail
        Its audit trail: it alone says who is enrolled.
    clock
        Seconds that only go forward.
    """

    def __init__(self, out: Path, trail: AuditTrail, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.path = out / "provenance" / "readers.json"
        self._trail = trail
        self._gate = _Gate(clock)
        self._enrolled: dict[str, Enrolment] = {}
        self._sequence = 0
        self._reading = threading.Lock()
        self._nobody = _credential("nobody", "reader", secrets.token_hex(16))

    def enrol(self, name: str, passphrase: str, *, role: Role = "reader") -> Reader:
        """Add a reader who may sign from now on.

        Raises
        ------
        ReviewError
            If the name or role cannot be taken, or the passphrase is too short.
        """
        name = readable_name(name)
        if role not in get_args(Role):
            msg = f"the role is {role!r}; expected one of {', '.join(get_args(Role))}"
            raise ReviewError(msg)
        credential = _credential(name, role, _strong(passphrase))

        def unique(after: Callable[[int], tuple[Entry, ...]]) -> None:
            known = self._updated(after(self._sequence))
            if (twin := known.get(_key(name))) is not None:
                msg = (
                    f"the name {name!r} is taken by {twin.name!r}; choose one that differs in more than case"
                )
                raise ReviewError(msg)
            self._write(credential)

        enrolment = Enrolment(name=name, role=role, credential_sha256=credential.sha256)
        self._trail.append(
            ENROLMENT, subject=name, reason=role, new=enrolment.model_dump_json(), guard=unique
        )
        return enrolment.reader

    def sign_in(self, name: str, passphrase: str, *, noted: bool = True) -> Reader:
        """Return the reader if the passphrase is theirs; the trail notes it.

        Parameters
        ----------
        noted
            False where the entry that follows is itself signed, such as a lock.

        Raises
        ------
        NotAllowedError
            If name and passphrase do not belong together, after too many failures, or where the credential
            is not the one that was enrolled.
        """
        key = _key(name)
        with self._gate.attempt(key) as attempt:
            enrolment = self._known().get(key)
            try:
                credential = self._credential_of(enrolment) if enrolment else self._nobody
            except NotAllowedError:
                # as slow as any other answer
                self._nobody.fits(passphrase)
                raise
            # the passphrase is worked on in any case: an unknown name takes as long as a wrong passphrase
            attempt.passed = credential.fits(passphrase) and enrolment is not None
        if enrolment is None or not attempt.passed:
            if attempt.blocked:
                subject, failures = key[:_LONGEST_NAME], f"{_MOST_FAILURES} wrong passphrases in a row"
                self._trail.append(SIGN_IN_BLOCKED, subject=subject, reason=failures)
            raise NotAllowedError(_WRONG)
        if noted:
            self._trail.append(SIGNED_IN, subject=enrolment.name, who=enrolment.name)
        return enrolment.reader

    def change_passphrase(self, name: str, old: str, new: str) -> None:
        """Give a reader another passphrase; the trail notes that, not the passphrase.

        Raises
        ------
        NotAllowedError
            If the old passphrase is wrong.
        ReviewError
            If the new one is too short, or is the old one.
        """
        reader = self.sign_in(name, old, noted=False)
        if _strong(new) == old:
            msg = "the new passphrase is the old one; choose another"
            raise ReviewError(msg)
        before = self._known()[_key(name)].credential_sha256
        credential = _credential(reader.name, reader.role, new)

        def unchanged(after: Callable[[int], tuple[Entry, ...]]) -> None:
            if self._updated(after(self._sequence))[_key(name)].credential_sha256 != before:
                msg = f"the passphrase of {reader.name} was changed meanwhile; sign in with the new one"
                raise ReviewError(msg)
            self._write(credential)

        now = Enrolment(name=reader.name, role=reader.role, credential_sha256=credential.sha256)
        self._trail.append(
            PASSPHRASE_CHANGED,
            subject=reader.name,
            who=reader.name,
            old=before,
            new=now.model_dump_json(),
            guard=unchanged,
        )

    def get(self, name: str) -> Reader:
        """Return a reader by name.

        Raises
        ------
        ReviewError
            If nobody of that name is enrolled.
        """
        enrolment = self._known().get(_key(name))
        if enrolment is None:
            msg = f"no reader {name!r} is enrolled"
            raise ReviewError(msg)
        return enrolment.reader

    def names(self) -> tuple[str, ...]:
        """Return the names of all readers in order of enrolment."""
        return tuple(one.name for one in self._known().values())

    def faults(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return faults and notes: every enrolled reader has a credential, every credential a reader."""
        try:
            lines = {line.sha256: line.name for line in self._lines()}
        except ReviewError as error:
            return (str(error),), ()
        enrolled = self._known().values()
        bound = {one.credential_sha256 for one in enrolled}
        return (
            tuple(_exchanged(one.name) for one in enrolled if one.credential_sha256 not in lines),
            tuple(
                f"{self.path.name} holds a line for {name!r} that the trail does not know; it has no effect"
                for digest, name in lines.items()
                if digest not in bound
            ),
        )

    def _known(self) -> dict[str, Enrolment]:
        return self._updated(self._trail.entries(after=self._sequence))

    def _updated(self, entries: Iterable[Entry]) -> dict[str, Enrolment]:
        """Go on with the entries that are new, and return who is enrolled."""
        with self._reading:
            for entry in entries:
                if entry.sequence > self._sequence:
                    self._sequence = entry.sequence
                    self._take(entry)
            return dict(self._enrolled)

    def _take(self, entry: Entry) -> None:
        if entry.action not in (ENROLMENT, PASSPHRASE_CHANGED):
            return
        # an entry that was altered enrols nobody; the look along the chain names it
        with suppress(ValidationError):
            enrolment = Enrolment.model_validate_json(entry.new)
            known = _key(enrolment.name) in self._enrolled
            if known == (entry.action == PASSPHRASE_CHANGED):
                self._enrolled[_key(enrolment.name)] = enrolment

    def _credential_of(self, enrolment: Enrolment) -> Credential:
        found = next((c for c in self._lines() if c.sha256 == enrolment.credential_sha256), None)
        if found is None:
            raise NotAllowedError(_exchanged(enrolment.name))
        return found

    def _lines(self) -> tuple[Credential, ...]:
        try:
            return _Lines.validate_json(self.path.read_bytes())
        except FileNotFoundError:
            return ()
        except ValidationError:
            msg = f"{self.path.name} cannot be read; put back a copy, the trail knows which lines are right"
            raise NotAllowedError(msg) from None

    def _write(self, credential: Credential) -> None:
        """Add a line; the old line of the name stays until the entry that replaces it is on disk."""
        bound = {one.credential_sha256 for one in self._enrolled.values()}
        lines = [*(line for line in self._lines() if line.sha256 in bound), credential]
        with whole_file(self.path, mode=0o600) as file:
            file.write(_Lines.dump_json(tuple(lines), indent=1) + b"\n")


class _Attempt:
    """One try to sign in."""

    passed = False
    blocked = False
    """This failure was the one that stopped further tries."""


class _Gate:
    """Lets one try at a time through, and none for a while after several failures in a row for a name.

    One at a time also bounds the memory that scrypt takes, and what can be guessed in parallel.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._failures: dict[str, tuple[int, float]] = {}
        self._turn = threading.Lock()

    @contextmanager
    def attempt(self, key: str) -> Iterator[_Attempt]:
        """Wait for a turn, and count how the try ended.

        Raises
        ------
        NotAllowedError
            While the name is blocked.
        """
        with self._turn:
            count, since = self._failures.get(key, (0, 0.0))
            left_s = _PAUSE_S - (self._clock() - since)
            if count >= _MOST_FAILURES and left_s > 0:
                msg = f"too many wrong passphrases for this name; try again in {math.ceil(left_s)} s"
                raise NotAllowedError(msg)
            attempt = _Attempt()
            try:
                yield attempt
            finally:
                self._failures.pop(key, None)
                if not attempt.passed:
                    self._failures[key] = (count + 1, self._clock())
                    attempt.blocked = count + 1 == _MOST_FAILURES
                if len(self._failures) > _MOST_NAMES:
                    self._failures.pop(next(iter(self._failures)))


def readable_name(name: str) -> str:
    """Return a name as it is kept: compatible forms made one, blanks at its ends and doubled ones removed.

    Raises
    ------
    ReviewError
        If it is blank, too long, or has characters that cannot be seen.
    """
    found = " ".join(unicodedata.normalize("NFKC", name).split(" ")).strip()
    found = (
        " ".join(found.split(" "))
        if "  " not in found
        else " ".join(part for part in found.split(" ") if part)
    )
    if not found or len(found) > _LONGEST_NAME:
        msg = f"a reader's name has 1 to {_LONGEST_NAME} characters, and this one has {len(found)}"
        raise ReviewError(msg)
    if not found.isprintable():
        msg = f"a reader's name has printable characters only; {ascii(found)} has others"
        raise ReviewError(msg)
    return found


def _key(name: str) -> str:
    """Return what two names share that a person would take for one."""
    parts = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold()).split()
    return " ".join(parts).encode("utf-8", "backslashreplace").decode()


def _strong(passphrase: str) -> str:
    length = len(unicodedata.normalize("NFKC", passphrase).strip())
    if not SHORTEST_PASSPHRASE <= length <= _LONGEST_PASSPHRASE:
        msg = f"a passphrase has at least {SHORTEST_PASSPHRASE} characters, and this one has {length}"
        raise ReviewError(msg)
    return passphrase


def _credential(name: str, role: Role, passphrase: str) -> Credential:
    empty = Credential(name=name, role=role, salt=secrets.token_hex(16))
    return empty.model_copy(update={"key": empty.of(passphrase)})


def _exchanged(name: str) -> str:
    return (
        f"the credential of {name!r} in readers.json is not the one the trail says was enrolled; put back a "
        "copy of the file"
    )

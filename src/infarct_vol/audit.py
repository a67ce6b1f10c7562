"""The audit trail of an output folder: who did what, when and why, in a chain nobody can edit unseen.

One SQLite file, append-only by trigger. Each entry holds the SHA-256 of the one before it, so that an entry
changed, removed or moved breaks the chain from there on.
"""

from __future__ import annotations

import getpass
import hashlib
import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from infarct_vol.errors import UsageError

_SCHEMA = """
CREATE TABLE IF NOT EXISTS entries (
  sequence INTEGER PRIMARY KEY, utc TEXT NOT NULL, who TEXT NOT NULL, action TEXT NOT NULL,
  subject TEXT NOT NULL, reason TEXT NOT NULL, old TEXT NOT NULL, new TEXT NOT NULL,
  previous_sha256 TEXT NOT NULL, sha256 TEXT NOT NULL);
CREATE TRIGGER IF NOT EXISTS no_update BEFORE UPDATE ON entries
  BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END;
CREATE TRIGGER IF NOT EXISTS no_delete BEFORE DELETE ON entries
  BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END;
"""
_COLUMNS = "sequence, utc, who, action, subject, reason, old, new, previous_sha256, sha256"


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
        facts = {name: value for name, value in asdict(self).items() if name != "sha256"}
        text = json.dumps(facts, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        return hashlib.sha256(text.encode()).hexdigest()


Guard = Callable[[Callable[[int], tuple[Entry, ...]]], None]
"""Takes a function that returns the entries after a sequence number, as nobody else can change them now."""


class AuditTrail:
    """The trail of one output folder; the file is made with the first entry.

    Parameters
    ----------
    out
        Output folder of a run.
    """

    def __init__(self, out: Path) -> None:
        self.path = out / "provenance" / "audit.sqlite"

    def append(
        self,
        action: str,
        *,
        subject: str,
        reason: str = "",
        old: str = "",
        new: str = "",
        who: str = "",
        guard: Guard | None = None,
    ) -> Entry:
        """Add an entry and return it once it is on disk.

        Parameters
        ----------
        guard
            Called while nobody else can add an entry; what it raises is raised, and nothing is added.

        Raises
        ------
        UsageError
            If the file is no audit trail.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self._connected() as connection:
            connection.executescript(_SCHEMA)
            # nobody else may add an entry between the look at the last one and the one that follows it
            connection.execute("BEGIN IMMEDIATE")
            if guard is not None:
                guard(
                    lambda after: tuple(self._rows(connection, "WHERE sequence > ? ORDER BY sequence", after))
                )
            last = next(self._rows(connection, "ORDER BY sequence DESC LIMIT 1"), None)
            entry = Entry(
                sequence=last.sequence + 1 if last else 1,
                utc=datetime.now(UTC).isoformat(timespec="milliseconds"),
                who=who or account(),
                action=action,
                subject=subject,
                reason=reason,
                old=old,
                new=new,
                previous_sha256=last.sha256 if last else "",
            )
            entry = replace(entry, sha256=entry.digest())
            values = tuple(asdict(entry).values())
            connection.execute(f"INSERT INTO entries ({_COLUMNS}) VALUES ({','.join('?' * 10)})", values)
            connection.execute("COMMIT")
        return entry

    def entries(self, *, after: int = 0) -> tuple[Entry, ...]:
        """Return the entries after a sequence number, in order; none where there is no file.

        Raises
        ------
        UsageError
            If the file is no audit trail.
        """
        if not self.path.is_file():
            return ()
        with self._connected() as connection:
            return tuple(self._rows(connection, "WHERE sequence > ? ORDER BY sequence", after))

    def faults(self) -> tuple[str, ...]:
        """Return what is wrong with the chain, entry by entry; nothing where it is whole."""
        found = []
        previous = ""
        for expected, entry in enumerate(self.entries(), start=1):
            if entry.sequence != expected:
                found.append(f"entry {entry.sequence} stands where {expected} is expected")
            if entry.previous_sha256 != previous:
                found.append(f"entry {entry.sequence} does not follow the one before it")
            if entry.sha256 != entry.digest():
                found.append(f"entry {entry.sequence} ({entry.action}) was altered")
            previous = entry.sha256
        return tuple(found)

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        try:
            with closing(sqlite3.connect(self.path, isolation_level=None, timeout=30)) as connection:
                connection.execute("PRAGMA synchronous = FULL")
                yield connection
        except sqlite3.DatabaseError as error:
            msg = f"{self.path.name} cannot be used as an audit trail: {error}"
            raise UsageError(msg) from None

    @staticmethod
    def _rows(connection: sqlite3.Connection, which: str, *values: object) -> Iterator[Entry]:
        for row in connection.execute(f"SELECT {_COLUMNS} FROM entries {which}", values):
            yield Entry(*row)


def account() -> str:
    """Return the account the command runs under."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown account"

"""The audit trail of an output folder: who did what, when and why, in a chain nobody can edit unseen.

One SQLite file, append-only by trigger. Each entry holds the SHA-256 of the one before it, so that an entry
changed, removed or moved breaks the chain from there on. A small file beside it names the last entry, so
that entries cut from the end are missed. Whoever can write to the disk can make all of it anew; only a head
that was kept elsewhere shows that.
"""

from __future__ import annotations

import getpass
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import KW_ONLY, asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from infarct_vol.chain import Chain, Entry, Head, Look
from infarct_vol.errors import UsageError
from infarct_vol.files import sync_folder, write_json

_SCHEMA: Mapping[str, str] = {
    "table entries": """CREATE TABLE entries (
  sequence INTEGER PRIMARY KEY, utc TEXT NOT NULL, who TEXT NOT NULL, action TEXT NOT NULL,
  subject TEXT NOT NULL, reason TEXT NOT NULL, old TEXT NOT NULL, new TEXT NOT NULL,
  previous_sha256 TEXT NOT NULL, sha256 TEXT NOT NULL)""",
    "trigger no_update": """CREATE TRIGGER no_update BEFORE UPDATE ON entries
  BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END""",
    "trigger no_delete": """CREATE TRIGGER no_delete BEFORE DELETE ON entries
  BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END""",
}
_COLUMNS = "sequence, utc, who, action, subject, reason, old, new, previous_sha256, sha256"
_PAGE = 1000

__all__ = ["AuditTrail", "Chain", "Draft", "Entry", "Guard", "Head", "account"]

Guard = Callable[[Callable[[int], tuple[Entry, ...]]], None]
"""Takes a function that returns the entries after a sequence number, as nobody else can change them now."""


@dataclass(frozen=True)
class Draft:
    """An entry that is to be added; parameters as those of `Entry`."""

    action: str
    _: KW_ONLY
    subject: str
    reason: str = ""
    old: str = ""
    new: str = ""
    who: str = ""

    def entry(self) -> Entry:
        """Return the entry but for its place in the chain."""
        who = self.who or account()
        return Entry(0, "", who, self.action, self.subject, self.reason, self.old, self.new, "")

    def renamed(self, action: str) -> Draft:
        """Return the same with another action."""
        return replace(self, action=action)


class AuditTrail:
    """The trail of one output folder; the file is made with the first entry.

    It is kept in one file with a rollback journal and SQLite's strictest syncing: an entry that was returned
    is on disk after a kill or a power cut, and a copy of the file is a copy of the trail.

    Parameters
    ----------
    out
        Output folder of a run.
    """

    def __init__(self, out: Path) -> None:
        self.path = out / "provenance" / "audit.sqlite"
        self.head_path = out / "provenance" / "audit_head.json"

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
            Called while nobody else can add an entry; what it raises is raised, and nothing is added. It
            may read the trail, and must not add to it.

        Raises
        ------
        UsageError
            If the file is no audit trail.
        """
        draft = Draft(action, subject=subject, reason=reason, old=old, new=new, who=who)
        return self.extend([draft], guard=guard)[0]

    def extend(self, drafts: Sequence[Draft], *, guard: Guard | None = None) -> tuple[Entry, ...]:
        """Add several entries, all or none, and return them once they are on disk; see `append`."""
        entries = [_storable(draft.entry()) for draft in drafts]
        self._make_folder()
        with self._connected() as connection:
            # nobody else may add an entry between the look at the last one and the one that follows it
            connection.execute("BEGIN IMMEDIATE")
            self._prepare(connection)
            if guard is not None:
                guard(
                    lambda after: tuple(self._rows(connection, "WHERE sequence > ? ORDER BY sequence", after))
                )
            last = self._last(connection)
            utc = datetime.now(UTC).isoformat(timespec="milliseconds")
            for at, entry in enumerate(entries):
                follows = replace(entry, sequence=last.sequence + 1, utc=utc, previous_sha256=last.sha256)
                entries[at] = replace(follows, sha256=follows.digest())
                last = Head(entries[at].sequence, entries[at].sha256)
                values = tuple(asdict(entries[at]).values())
                connection.execute(f"INSERT INTO entries ({_COLUMNS}) VALUES ({','.join('?' * 10)})", values)
            connection.execute("COMMIT")
            self._keep_head(connection)
        return tuple(entries)

    def entries(self, *, after: int = 0) -> tuple[Entry, ...]:
        """Return the entries after a sequence number, in order; none where there is no file.

        Raises
        ------
        UsageError
            If the file is no audit trail.
        """
        with self._reading() as connection:
            if connection is None:
                return ()
            return tuple(self._rows(connection, "WHERE sequence > ? ORDER BY sequence", after))

    def stream(self) -> Iterator[Entry]:
        """Yield every entry in order, in little memory; nobody who adds one waits for it.

        Raises
        ------
        UsageError
            If the file is no audit trail.
        """
        after = 0
        while page := self._page(after):
            yield from page
            after = page[-1].sequence

    def _page(self, after: int) -> tuple[Entry, ...]:
        with self._reading() as connection:
            which = f"WHERE sequence > ? ORDER BY sequence LIMIT {_PAGE}"
            return () if connection is None else tuple(self._rows(connection, which, after))

    def last(self, *actions: str) -> Entry | None:
        """Return the last entry with one of some actions, without going through all the others."""
        which = f"WHERE action IN ({','.join('?' * len(actions))}) ORDER BY sequence DESC LIMIT 1"
        with self._reading() as connection:
            return None if connection is None else next(self._rows(connection, which, *actions), None)

    def head(self) -> Head:
        """Return sequence number and hash of the last entry; 0 and nothing where there is none."""
        with self._reading() as connection:
            return Head() if connection is None else self._last(connection)

    def faults(self) -> tuple[str, ...]:
        """Return what is wrong with the chain, entry by entry; nothing where it is whole."""
        return self.verify().faults

    def verify(self, *, head: Head | None = None) -> Chain:
        """Go through every entry, in little memory, and return what was found.

        Parameters
        ----------
        head
            A head that was kept elsewhere; it must be in the chain.
        """
        # read before the chain: entries that are added meanwhile only put it behind
        kept, remark = self._kept_head()
        look = Look({self.head_path.name: kept, "the head given": head or Head()})
        if not self.path.is_file():
            if kept and kept.sequence:
                look.fault(
                    f"{self.path.name} is gone; {self.head_path.name} vouches for {kept.sequence} entries"
                )
            return look.chain()
        try:
            with closing(self._opened()) as connection:
                connection.execute("BEGIN")
                found = _schema_faults(connection)
                for fault in found or _damage(connection):
                    look.fault(fault)
                if "table entries is gone" not in found:
                    for row in connection.execute(f"SELECT {_COLUMNS} FROM entries ORDER BY sequence"):
                        look.take(row)
        except sqlite3.DatabaseError as error:
            look.fault(f"{self.path.name} is damaged: {error}; put back a copy that holds")
        if remark and look.count:
            look.fault(remark)
        return look.chain()

    def _make_folder(self) -> None:
        if not self.path.parent.is_dir():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            sync_folder(self.path.parent.parent)

    def _prepare(self, connection: sqlite3.Connection) -> None:
        """Make the table with the first entry; what was taken away from an old one is not put back unseen."""
        if not _has_table(connection):
            if not self.head_path.is_file():
                write_json(Head()._asdict(), self.head_path)
            for statement in _SCHEMA.values():
                connection.execute(statement)

    def _keep_head(self, connection: sqlite3.Connection) -> None:
        """Write the last entry's hash beside the trail.

        The entry is on disk by now, so a failure only leaves the head behind. A head that is not in the
        chain is evidence, and stays.
        """
        with suppress(sqlite3.OperationalError, OSError):
            connection.execute("PRAGMA busy_timeout = 2000")
            connection.execute("BEGIN IMMEDIATE")
            kept, _ = self._kept_head()
            if kept is None:
                return
            vouched = next(self._rows(connection, "WHERE sequence = ?", kept.sequence), None)
            if kept.sequence == 0 or (vouched is not None and vouched.sha256 == kept.sha256):
                write_json(self._last(connection)._asdict(), self.head_path)

    def _kept_head(self) -> tuple[Head | None, str]:
        """Return the head beside the trail, or None and what is wrong with it."""
        name, remedy = self.head_path.name, "hold the trail against a sealed head"
        try:
            text = self.head_path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return None, f"{name} is gone: entries may have been cut from the end; {remedy}"
        except (OSError, UnicodeDecodeError):
            text = ""
        head = Head.of(text)
        return head, "" if head else f"{name} cannot be read as a head; {remedy}"

    def _opened(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, isolation_level=None, timeout=30)
        connection.text_factory = lambda raw: raw.decode("utf-8", "surrogateescape")
        return connection

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        try:
            with closing(self._opened()) as connection:
                with suppress(sqlite3.OperationalError):
                    connection.execute("PRAGMA journal_mode = DELETE")
                # also syncs the folder once the journal is removed: a power cut cannot bring it back
                connection.execute("PRAGMA synchronous = EXTRA")
                yield connection
        except sqlite3.DatabaseError as error:
            msg = f"{self.path.name} cannot be used as an audit trail: {error}; see 'infarct-vol audit'"
            raise UsageError(msg) from None

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection | None]:
        """Give a connection to read from, or None where there is no entry yet."""
        if not self.path.is_file():
            yield None
            return
        with self._connected() as connection:
            yield connection if _has_table(connection) else None

    def _last(self, connection: sqlite3.Connection) -> Head:
        last = next(self._rows(connection, "ORDER BY sequence DESC LIMIT 1"), None)
        return Head(last.sequence, last.sha256) if last else Head()

    @staticmethod
    def _rows(connection: sqlite3.Connection, which: str, *values: object) -> Iterator[Entry]:
        for row in connection.execute(f"SELECT {_COLUMNS} FROM entries {which}", values):
            if type(row[0]) is not int or not all(type(value) is str for value in row[1:]):
                msg = f"entry {row[0]} holds a value of the wrong type"
                raise sqlite3.DataError(msg)
            yield Entry(*row)


def _has_table(connection: sqlite3.Connection) -> bool:
    return connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'entries'").fetchone() is not None


def _schema_faults(connection: sqlite3.Connection) -> list[str]:
    """Return what differs from the table and triggers a trail is made with; an empty file has none yet."""
    rows = connection.execute(
        "SELECT type || ' ' || name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite!_%' ESCAPE '!'"
    )
    found = dict(rows.fetchall())
    gone = [f"{name} is gone" for name in _SCHEMA if name not in found]
    changed = [f"{name} was changed" for name in _SCHEMA if found.get(name, _SCHEMA[name]) != _SCHEMA[name]]
    added = [f"{name} was added" for name in found if name not in _SCHEMA]
    return gone + changed + added


def _damage(connection: sqlite3.Connection) -> list[str]:
    lines = [str(line) for (line,) in connection.execute("PRAGMA integrity_check(20)")]
    return [] if lines == ["ok"] else [f"audit.sqlite is damaged: {line}" for line in lines]


def _storable(entry: Entry) -> Entry:
    """Write bytes of file names that are no text as escapes, which every reader of the trail can show."""
    texts = (entry.who, entry.action, entry.subject, entry.reason, entry.old, entry.new)
    who, action, subject, reason, old, new = (t.encode("utf-8", "backslashreplace").decode() for t in texts)
    return replace(entry, who=who, action=action, subject=subject, reason=reason, old=old, new=new)


def account() -> str:
    """Return the account the command runs under."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown account"

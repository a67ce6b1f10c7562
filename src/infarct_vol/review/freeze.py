"""Freezing a study: a signature over every file an endpoint is made of, until somebody unlocks it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

from infarct_vol.audit import AuditTrail, Entry, Head
from infarct_vol.batch import output_lock
from infarct_vol.errors import AuditError, ConflictError, LockedStudyError, ReviewError, StudyError
from infarct_vol.files import file_sha256, write_json
from infarct_vol.review.manifest import (
    TABLES,
    Lock,
    Manifest,
    Signature,
    hash_of,
    lock_of,
    study_hashes,
)
from infarct_vol.review.model import DECISION, EDIT, LOCK, UNLOCK, Reader
from infarct_vol.review.readers import Readers
from infarct_vol.review.verification import TABLES_MADE, audit_study

__all__ = [
    "MEANING",
    "Lock",
    "lock_of",
    "lock_study",
    "note_tables",
    "require_results",
    "require_unlocked",
    "study_hashes",
    "unlock_study",
]

MEANING = "I have reviewed these masks and volumes and freeze them as the endpoint"
"""What a lock states where nothing else is said."""
_UP_TO = "entries up to "
_LONGEST_MEANING = 200
_LONGEST_REASON = 1000


def lock_study(out: Path, *, reader: Reader, trail: AuditTrail, meaning: str = MEANING) -> Entry:
    """Sign every file an endpoint is made of, and return the entry; its hash is to be kept elsewhere.

    Parameters
    ----------
    out
        Output folder of a run.
    reader
        Who signs; their passphrase was asked for just now.
    trail
        Audit trail of ``out``.
    meaning
        What the signature states, at most 200 characters.

    Raises
    ------
    StudyError
        If ``out`` holds no results.
    AuditError
        If the trail, or a file it vouches for, is not what it was.
    ReviewError
        If the study is locked, the tables are older than the last decision, or nothing is stated.
    ConflictError
        If something was entered meanwhile.
    """
    require_results(out)
    meaning = _said(meaning, "meaning", longest=_LONGEST_MEANING)
    reader = Readers(out, trail).get(reader.name)
    with output_lock(out):
        if (lock := lock_of(trail)) is not None:
            msg = f"the study is locked already, by {lock.who} at {lock.utc}; unlock it first"
            raise ReviewError(msg)
        report = audit_study(out)
        if report.faults:
            count = _counted(report.faults)
            msg = f"nothing is locked while the audit has {count}; the first: {report.faults[0]}"
            raise AuditError(msg)
        _require_current_tables(trail)
        return _signed(out, reader, meaning, trail=trail, head=report.head)


def _signed(out: Path, reader: Reader, meaning: str, *, trail: AuditTrail, head: Head) -> Entry:
    facts = {"meaning": meaning, "reader": reader.name}
    chain = {"head_sequence": head.sequence, "head_sha256": head.sha256}
    manifest = Manifest.model_validate(facts | chain | {"files": study_hashes(out)})
    path = out / "provenance" / f"lock-{head.sequence + 1}.json"
    write_json(manifest.model_dump(), path)
    actions = Counter(entry.action for entry in trail.stream())
    counts = {"files": len(manifest.files), "entries": head.sequence}
    counts |= {"decisions": actions[DECISION], "edits": actions[EDIT]}
    where = {"manifest": path.relative_to(out).as_posix(), "manifest_sha256": file_sha256(path)}
    signature = Signature.model_validate(facts | chain | where | {"role": reader.role, "counts": counts})

    def unchanged(after: Callable[[int], tuple[Entry, ...]]) -> None:
        if after(head.sequence):
            path.unlink(missing_ok=True)
            msg = "something was entered while the files were hashed; look at it, then lock again"
            raise ConflictError(msg)

    return trail.append(
        LOCK,
        subject="study",
        who=reader.name,
        reason=meaning,
        old=head.sha256,
        new=signature.model_dump_json(),
        guard=unchanged,
    )


def unlock_study(out: Path, *, reader: Reader, reason: str, trail: AuditTrail) -> Entry:
    """Take the lock off, so that the study may change again; the lock and the reason stay in the trail.

    Raises
    ------
    ReviewError
        If the study is not locked, or no reason is given.
    """
    reason = _said(reason, "reason", longest=_LONGEST_REASON)
    reader = Readers(out, trail).get(reader.name)
    lock = lock_of(trail)
    if lock is None:
        msg = "the study is not locked"
        raise ReviewError(msg)

    def locked(after: Callable[[int], tuple[Entry, ...]]) -> None:
        if any(entry.action in (LOCK, UNLOCK) for entry in after(lock.sequence)):
            msg = "somebody else took the lock off meanwhile"
            raise ConflictError(msg)

    old = f"lock of entry {lock.sequence}, {lock.manifest_sha256}"
    return trail.append(UNLOCK, subject="study", who=reader.name, reason=reason, old=old, guard=locked)


def require_results(out: Path) -> None:
    """Refuse a folder there is nothing to sign in.

    Raises
    ------
    StudyError
        If it holds no results of a run.
    """
    if not any((out / "provenance").glob("sub-*.json")):
        msg = f"{out} holds no results; make some with 'infarct-vol run STUDY {out}'"
        raise StudyError(msg)


def require_unlocked(out: Path) -> None:
    """Refuse whatever would change a locked study.

    Raises
    ------
    LockedStudyError
        If it is locked; the message says by whom, when and how to unlock it.
    """
    lock = lock_of(AuditTrail(out))
    if lock is not None:
        msg = (
            f"the study is locked: {lock.who} signed at {lock.utc}, stating '{lock.meaning}'; before "
            "anything changes, unlock it with 'infarct-vol unlock OUT --reader NAME --reason TEXT'"
        )
        raise LockedStudyError(msg)


def note_tables(out: Path, *, as_of: int) -> None:
    """Enter which tables were made, where the study was read; without a reading there is no entry.

    Parameters
    ----------
    out
        Output folder whose tables and their list of hashes were just written.
    as_of
        Sequence number of the last entry that was looked at for them.
    """
    trail = AuditTrail(out)
    read, made = trail.last(DECISION, EDIT, LOCK), trail.last(TABLES_MADE)
    if read is None:
        return
    sha256 = hash_of(out / TABLES)
    if made is None or made.new != sha256 or _looked_at(made) < read.sequence:
        trail.append(TABLES_MADE, subject="tables", old=f"{_UP_TO}{as_of}", new=sha256)


def _looked_at(made: Entry) -> int:
    """Return the last entry that tables were made from."""
    number = made.old.removeprefix(_UP_TO)
    return int(number) if number.isdigit() else 0


def newer_than_tables(trail: AuditTrail) -> Entry | None:
    """Return the last decision or edit if the tables are older than it."""
    last, made = trail.last(DECISION, EDIT), trail.last(TABLES_MADE)
    return last if last is not None and (made is None or _looked_at(made) < last.sequence) else None


def _require_current_tables(trail: AuditTrail) -> None:
    last = newer_than_tables(trail)
    if last is not None:
        entry = f"entry {last.sequence} ({last.action} of {last.who} on {last.subject})"
        msg = f"the tables are older than {entry}; make them again with 'infarct-vol tables OUT', then lock"
        raise ReviewError(msg)


def _said(text: str, what: str, *, longest: int) -> str:
    found = " ".join(text.split())
    if not found or len(found) > longest or not found.isprintable():
        msg = f"a {what} has 1 to {longest} printable characters, and this one has {len(found)}"
        raise ReviewError(msg)
    return found


def _counted(faults: tuple[str, ...]) -> str:
    return "1 fault" if len(faults) == 1 else f"{len(faults)} faults"

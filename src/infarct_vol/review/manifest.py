"""What a lock binds: every file an endpoint is made of, by its SHA-256, and the entry that signs them."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import Field, ValidationError

from infarct_vol.audit import AuditTrail, Entry, Head
from infarct_vol.errors import AuditError
from infarct_vol.files import file_sha256
from infarct_vol.ledger import read_record
from infarct_vol.records import Record
from infarct_vol.review.model import LOCK, UNLOCK

TABLES = "provenance/tables.json"
"""SHA-256 of every table, by path; written with the tables."""


class Signature(Record):
    """What is signed with a lock; ``new`` of its entry."""

    meaning: str = Field(description="what the signer states")
    reader: str
    role: str
    manifest: str = Field(description="path of the list of files, relative to the output folder")
    manifest_sha256: str
    head_sequence: int = Field(description="last entry before the lock")
    head_sha256: str
    counts: dict[str, int] = Field(description="files, entries, decisions and edits when it was signed")


class Manifest(Record):
    """The list of files of a lock."""

    meaning: str
    reader: str
    head_sequence: int
    head_sha256: str
    files: dict[str, str] = Field(description="path relative to the output folder -> SHA-256")


class Lock(Record):
    """A lock that stands."""

    who: str
    utc: str
    meaning: str
    sequence: int
    manifest: str
    manifest_sha256: str


def study_hashes(out: Path) -> dict[str, str]:
    """Return the SHA-256 of every file that an endpoint is made of, by path relative to ``out``.

    Records of the participants, the masks, sidecars and transforms they name, corrected masks, the protocol
    and the tables. Reports are left out: they are made from these, and may be made again.
    """
    return {path: hash_of(out / path) for path in sorted(_bound(out))}


def _bound(out: Path) -> set[str]:
    found = {"protocol.toml", "provenance/participants.json", TABLES}
    for path in (out / "provenance").glob("sub-*.json"):
        found.add(path.relative_to(out).as_posix())
        record = read_record(path)
        found |= set(record.outputs) if record is not None else set()
    found |= set(edited_files(out))
    found |= {path.relative_to(out).as_posix() for path in (out / "tables").rglob("*") if path.is_file()}
    return {path for path in found if (out / path).is_file()}


def edited_files(out: Path) -> tuple[str, ...]:
    """Return the paths of all corrected masks and their sidecars, relative to ``out``."""
    return tuple(sorted(path.relative_to(out).as_posix() for path in out.glob("sub-*/*/*/*_desc-edit*")))


def hash_of(path: Path) -> str:
    """Return a file's SHA-256; nothing where it is gone or cannot be read."""
    try:
        return file_sha256(path)
    except OSError:
        return ""


def lock_of(trail: AuditTrail) -> Lock | None:
    """Return the lock that stands; None where there is none, or it was taken off.

    Raises
    ------
    AuditError
        If the entry of the lock cannot be read; what was locked then stays so.
    """
    entry = trail.last(LOCK, UNLOCK)
    return None if entry is None or entry.action == UNLOCK else lock_from(entry)


def lock_from(entry: Entry) -> Lock:
    """Return the lock of its entry.

    Raises
    ------
    AuditError
        If the entry cannot be read.
    """
    signed = signature_of(entry)
    return Lock(
        who=entry.who,
        utc=entry.utc,
        meaning=signed.meaning,
        sequence=entry.sequence,
        manifest=signed.manifest,
        manifest_sha256=signed.manifest_sha256,
    )


def signature_of(entry: Entry) -> Signature:
    """Return what was signed with an entry.

    Raises
    ------
    AuditError
        If the entry cannot be read.
    """
    try:
        return Signature.model_validate_json(entry.new)
    except ValidationError:
        msg = (
            f"entry {entry.sequence} ({entry.action}) cannot be read as a signature; run 'infarct-vol audit'"
        )
        raise AuditError(msg) from None


def signed_files(out: Path, entry: Entry) -> dict[str, str]:
    """Return the files an entry signs, held against its hash.

    Raises
    ------
    AuditError
        If the list is gone, was changed, or belongs to another signature.
    """
    signed = signature_of(entry)
    path = out / "provenance" / f"lock-{entry.sequence}.json"
    if hash_of(path) != signed.manifest_sha256:
        state = "was changed" if path.is_file() else "is gone"
        msg = f"{signed.manifest}, which entry {entry.sequence} signs, {state}; put back a copy"
        raise AuditError(msg)
    try:
        listed = Manifest.model_validate_json(path.read_bytes())
    except ValidationError:
        msg = f"{signed.manifest} cannot be read as a list of files"
        raise AuditError(msg) from None
    ours = (entry.who, signed.meaning, signed.head_sequence, signed.head_sha256)
    if ours != (listed.reader, listed.meaning, listed.head_sequence, listed.head_sha256):
        msg = f"{signed.manifest} belongs to another signature than entry {entry.sequence}"
        raise AuditError(msg)
    if Head(listed.head_sequence, listed.head_sha256) != Head(entry.sequence - 1, entry.previous_sha256):
        msg = f"entry {entry.sequence} ({entry.action}) was signed in another trail"
        raise AuditError(msg)
    return listed.files


def table_hashes(out: Path) -> dict[str, str] | None:
    """Return the SHA-256 of every table as it was written, by path relative to ``out``; None without a list.

    Raises
    ------
    AuditError
        If the list cannot be read.
    """
    try:
        listed = json.loads((out / TABLES).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError):
        listed = None
    if not isinstance(listed, dict) or not all(isinstance(value, str) for value in listed.values()):
        msg = f"{TABLES} cannot be read; make the tables again with 'infarct-vol tables'"
        raise AuditError(msg)
    return listed

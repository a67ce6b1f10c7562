"""Holding an output folder against its audit trail: the chain, and the SHA-256 of every mask and table."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from infarct_vol.audit import AuditTrail, Entry, Head
from infarct_vol.errors import AuditError, InfarctVolError, ProtocolError, StudyError, UsageError
from infarct_vol.files import nifti_stem, write_json
from infarct_vol.ledger import read_record
from infarct_vol.nifti import load_grid
from infarct_vol.protocol import load_protocol
from infarct_vol.records import ParticipantRecord, VisitRecord
from infarct_vol.review.manifest import (
    TABLES,
    edited_files,
    hash_of,
    signed_files,
    study_hashes,
    table_hashes,
)
from infarct_vol.review.model import (
    DECISION,
    EDIT,
    KEYS_OF,
    LATE_DECISION,
    LATE_EDIT,
    LOCK,
    UNLOCK,
    Decision,
    Item,
    MaskVersion,
)
from infarct_vol.review.readers import Readers

TABLES_MADE = "tables made"
"""Tables were made of a study that was read: ``new`` is the SHA-256 of the list of their hashes."""
_REMEDY = "put back a copy"
_SAME = 1e-9
"""Share, or mL, that equal volumes may differ by."""


@dataclass(frozen=True)
class AuditReport:
    """What an audit found; without faults everything is as the trail says.

    Parameters
    ----------
    entries
        Entries of the trail.
    head
        The last of them.
    faults
        What is not as it was, with the file and what to do.
    notes
        What an inspector should know and is no fault.
    files
        Files that were held against a hash.
    """

    entries: int
    head: Head
    faults: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    files: int = 0


@dataclass
class _Audit:
    """One audit under way."""

    out: Path
    faults: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    files: int = 0
    masks: dict[tuple[str, str], set[str]] = field(default_factory=lambda: defaultdict(set))
    """(subject, key) -> SHA-256 of the masks that exist for it."""
    volumes: dict[tuple[str, str], set[float]] = field(default_factory=lambda: defaultdict(set))
    """(subject, SHA-256 of an infarct) -> mL that record or trail give it."""

    def hold(self, path: str, sha256: str, *, where: str = "", remedy: str = _REMEDY) -> bool:
        """Hold a file against its hash; tell whether it is what it was."""
        self.files += 1
        found = hash_of(self.out / path)
        if found != sha256:
            state = f"was changed (SHA-256 {found[:12]}, was {sha256[:12]})" if found else "is gone"
            self.faults.append(f"{where + ': ' if where else ''}{path} {state}; {remedy}")
        return found == sha256


def audit_study(out: Path, *, head: Head | None = None) -> AuditReport:
    """Hold an output folder against its audit trail and records.

    Parameters
    ----------
    out
        Output folder of a run.
    head
        A head that was kept elsewhere; it must be in the trail.

    Raises
    ------
    StudyError
        If ``out`` holds neither results nor a trail.
    """
    trail = AuditTrail(out)
    labels = sorted((out / "provenance").glob("sub-*.json"))
    if not labels and not trail.path.is_file() and not trail.head_path.is_file():
        msg = f"{out} holds no results and no audit trail; name the output folder of a run"
        raise StudyError(msg)
    chain = trail.verify(head=head)
    audit = _Audit(out, list(chain.faults), list(chain.notes))
    for path in labels:
        _hold_record(audit, path)
    _hold_protocol(audit, labels)
    try:
        ends = _hold_entries(audit, trail)
        faults, notes = Readers(out, trail).faults()
        audit.faults += faults
        audit.notes += notes
        _hold_tables(audit, ends.get(TABLES_MADE))
        _hold_lock(audit, ends)
    except UsageError as error:
        # the chain names what is wrong with a trail that cannot be read
        if not chain.faults:
            audit.faults.append(str(error))
    return AuditReport(chain.entries, chain.head, tuple(audit.faults), tuple(audit.notes), audit.files)


def seal_head(report: AuditReport, path: Path) -> None:
    """Write the head of a trail to a file that is to be kept elsewhere.

    Raises
    ------
    AuditError
        If the audit found a fault: what is not whole is not sealed.
    UsageError
        If there is no entry yet.
    """
    if report.faults:
        msg = f"a trail with faults is not sealed; the first: {report.faults[0]}"
        raise AuditError(msg)
    if not report.head.sequence:
        msg = "there is no entry to seal yet; the trail begins with the first reader or decision"
        raise UsageError(msg)
    utc = datetime.now(UTC).isoformat(timespec="seconds")
    write_json({**report.head._asdict(), "utc": utc}, path)


def read_head(text: str) -> Head:
    """Return a head from a file written by `seal_head`, or from a SHA-256.

    Raises
    ------
    UsageError
        If it is neither.
    """
    try:
        content = Path(text).read_text(encoding="utf-8-sig") if Path(text).is_file() else text
    except (OSError, UnicodeDecodeError):
        content = ""
    head = Head.of(content)
    if head is None or not head.sha256:
        msg = f"--head: '{text}' is neither a file of a sealed head nor a SHA-256 of 64 hexadecimal digits"
        raise UsageError(msg)
    return head


def _hold_record(audit: _Audit, path: Path) -> None:
    record = read_record(path)
    if record is None:
        audit.faults.append(f"provenance/{path.name} cannot be read as a record; {_REMEDY}, or run again")
        return
    for output, sha256 in record.outputs.items():
        where = f"{record.participant_id} {_visit_of(record, output)}".rstrip()
        audit.hold(output, sha256, where=where, remedy=f"{_REMEDY}, or run again")
    for visit in record.visits:
        for key, mask in visit.masks.items():
            subject, sha256 = _subject(record, visit, key), record.outputs.get(mask, "")
            audit.masks[subject, key].add(sha256)
            rows = (row for row in record.rows if row.mask_path == mask and row.volume_ml is not None)
            audit.volumes[subject, sha256].update(row.volume_ml for row in rows if row.volume_ml is not None)


def _subject(record: ParticipantRecord, visit: VisitRecord, key: str) -> str:
    image = "dwi" if key == "dwi" else "flair"
    return f"{record.participant_id}/{visit.session_id}/{image}"


def _visit_of(record: ParticipantRecord, path: str) -> str:
    parts = path.split("/")
    return next((v.visit for v in record.visits if v.session_id in parts), "")


def _hold_protocol(audit: _Audit, labels: list[Path]) -> None:
    if not labels:
        return
    try:
        sha256 = load_protocol(audit.out / "protocol.toml").sha256
    except ProtocolError as error:
        audit.faults.append(f"protocol.toml cannot be read: {error}; {_REMEDY}")
        return
    records = (record for path in labels if (record := read_record(path)) is not None)
    other = [record.participant_id for record in records if record.protocol_sha256 != sha256]
    if other:
        names = ", ".join(other[:5]) + (f" and {len(other) - 5} more" if len(other) > 5 else "")
        audit.faults.append(f"protocol.toml is not the protocol of {names}; {_REMEDY}, or run again")


def _hold_entries(audit: _Audit, trail: AuditTrail) -> dict[str, Entry]:
    """Hold the files that entries name; return the last entry of every action."""
    ends: dict[str, Entry] = {}
    known: set[str] = set()
    latest: dict[tuple[str, str, str], tuple[Entry, Decision]] = {}
    for entry in trail.stream():
        ends[entry.action] = entry
        try:
            if entry.action in (EDIT, LATE_EDIT):
                known |= _hold_version(audit, entry)
            elif entry.action in (DECISION, LATE_DECISION):
                decision = Decision.model_validate_json(entry.new)
                if entry.action == DECISION:
                    latest[entry.subject, decision.kind, entry.who] = entry, decision
        except ValidationError:
            name = f"entry {entry.sequence} ({entry.action})"
            audit.faults.append(
                f"{name} does not hold what such an entry holds; the trail is not this product's"
            )
    _hold_decisions(audit, latest.values())
    unknown = [path for path in edited_files(audit.out) if path not in known]
    audit.notes += [f"{path} has no entry: a save was interrupted; it counts for nothing" for path in unknown]
    return ends


def _hold_version(audit: _Audit, entry: Entry) -> set[str]:
    version = MaskVersion.model_validate_json(entry.new)
    where = f"{entry.subject}, saved by {entry.who} in entry {entry.sequence}"
    if audit.hold(version.path, version.sha256, where=where):
        _hold_counted(audit, version, where)
    sidecar = Path(version.path).with_name(nifti_stem(Path(version.path)) + ".json").as_posix()
    if version.sidecar_sha256:
        audit.hold(sidecar, version.sidecar_sha256, where=where)
    elif not (audit.out / sidecar).is_file():
        audit.faults.append(f"{where}: {sidecar} is gone; {_REMEDY}")
    audit.masks[entry.subject, version.key].add(version.sha256)
    audit.volumes[entry.subject, version.sha256].add(version.volume_ml)
    return {version.path, sidecar}


def _hold_counted(audit: _Audit, version: MaskVersion, where: str) -> None:
    """Hold the mL of an entry against its voxels, on the grid of the file it names."""
    try:
        grid = load_grid(audit.out / version.path)
    except InfarctVolError:
        audit.notes.append(f"{where}: {version.path} is what was saved, and cannot be read as a mask")
        return
    counted_ml = version.voxel_count * grid.voxel_volume_ml
    if not math.isclose(version.volume_ml, counted_ml, rel_tol=_SAME, abs_tol=_SAME):
        said = f"says {version.volume_ml:.6g} mL, its voxels are {counted_ml:.6g} mL"
        audit.faults.append(f"{where}: the entry {said}; {_REMEDY} of the trail")


def _hold_decisions(audit: _Audit, latest: Iterable[tuple[Entry, Decision]]) -> None:
    owners = defaultdict(set)
    for (subject, _), masks in audit.masks.items():
        for sha256 in masks:
            owners[sha256].add(subject)
    for entry, decision in latest:
        what = f"decision of {entry.who} on {entry.subject} (entry {entry.sequence})"
        gone = [s for key, s in decision.masks.items() if s not in audit.masks[entry.subject, key]]
        strange = [sha256 for sha256 in gone if owners[sha256] - {entry.subject}]
        if strange:
            whose = ", ".join(sorted(owners[strange[0]]))
            audit.faults.append(f"the {what} names a mask of {whose}: it was signed for another one")
        elif gone or Item.of(entry.subject) is None:
            audit.notes.append(f"the {what} is about a mask that was measured again since; review again")
        else:
            _hold_volume(audit, entry, decision, what)


def _hold_volume(audit: _Audit, entry: Entry, decision: Decision, what: str) -> None:
    """Hold the mL that were signed against those that record or trail give the same mask."""
    item = Item.of(entry.subject)
    infarct = decision.masks.get(KEYS_OF[item.image][0]) if item and KEYS_OF[item.image] else None
    known = audit.volumes.get((entry.subject, infarct or ""), set())
    signed_ml = decision.volume_ml
    if signed_ml is None or not known:
        return
    if not any(math.isclose(signed_ml, each, rel_tol=_SAME, abs_tol=_SAME) for each in known):
        found = ", ".join(f"{each:.6g}" for each in sorted(known))
        audit.faults.append(f"the {what} signs {signed_ml:.6g} mL, the mask has {found} mL; {_REMEDY}")


def _hold_tables(audit: _Audit, made: Entry | None) -> None:
    try:
        listed = table_hashes(audit.out)
    except AuditError as error:
        audit.faults.append(str(error))
        return
    if listed is None:
        audit.notes.append(f"{TABLES} is not there: the tables are not held against a hash")
    for path, sha256 in (listed or {}).items():
        audit.hold(path, sha256, remedy="make the tables again with 'infarct-vol tables'")
    if made is not None and made.new != hash_of(audit.out / TABLES):
        listing = f"{TABLES} is not the list that entry {made.sequence} ({made.action}) vouches for"
        audit.faults.append(f"{listing}; make the tables again")
    found = (path.relative_to(audit.out).as_posix() for path in (audit.out / "tables").rglob("*"))
    extra = sorted(path for path in found if (audit.out / path).is_file() and path not in (listed or {}))
    audit.notes += [f"{path} was not made with the tables" for path in extra] if listed is not None else []


def _hold_lock(audit: _Audit, ends: dict[str, Entry]) -> None:
    lock, unlock = ends.get(LOCK), ends.get(UNLOCK)
    if lock is None or (unlock is not None and unlock.sequence > lock.sequence):
        return
    try:
        signed = signed_files(audit.out, lock)
    except InfarctVolError as error:
        audit.faults.append(str(error))
        return
    found = study_hashes(audit.out)
    differ = {path for path in signed.keys() | found.keys() if signed.get(path) != found.get(path)}
    made = ends.get(TABLES_MADE)
    if made is not None and made.sequence > lock.sequence:
        tables = {path for path in differ if path == TABLES or path.startswith("tables/")}
        differ -= tables
        if tables:
            audit.notes.append(
                f"{len(tables)} tables were made again after the lock, by {made.who} in entry {made.sequence}"
            )
    by = f"{lock.who} locked (entry {lock.sequence})"
    for path in sorted(differ):
        state = "is gone" if path not in found else "was changed" if path in signed else "is new"
        remedy = "remove it" if path not in signed else _REMEDY
        audit.faults.append(f"{path} {state} since {by}; {remedy}, or unlock with a reason")

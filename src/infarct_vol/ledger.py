"""What was done already: fingerprints of inputs and settings, and records kept from run to run."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel, ValidationError

from infarct_vol._version import __version__
from infarct_vol.errors import MixedOutputError, StudyError
from infarct_vol.files import file_sha256, nifti_stem, write_json, write_text
from infarct_vol.records import ParticipantRecord, VisitRecord, VolumeRow
from infarct_vol.study import Participant, PassedOver

_LIBRARIES = ("numpy", "scipy", "scikit-image", "SimpleITK", "nibabel")


def input_hashes(
    participant: Participant, *, root: Path, masks: Path | None = None, given: Iterable[Path] = ()
) -> dict[str, str]:
    """Return the SHA-256 of every file that bears on one participant, by path relative to the study.

    A file that cannot be read has the hash ``"unreadable"``; the reader refuses it later, by name.

    Parameters
    ----------
    masks, given
        Folder of masks made elsewhere, and the files in it that bear on the participant.
    """
    paths = [p for s in participant.sessions for f in s.files.values() for p in f.all_paths]
    paths += [p for s in participant.sessions if s.mask is not None for p in with_sidecar(s.mask)]
    hashes = {relative_to(path, root): _hash(path) for path in sorted(set(paths))}
    return hashes | {mask_name(path, masks): _hash(path) for path in sorted(set(given))}


def mask_name(path: Path, folder: Path | None) -> str:
    """Return a mask made elsewhere as the records name it.

    Equal names in two folders stay apart.
    """
    inside = folder is not None and path.is_relative_to(folder)
    return f"masks/{path.relative_to(folder).as_posix()}" if folder and inside else path.name


def with_sidecar(path: Path) -> tuple[Path, ...]:
    """Return an image file and the JSON beside it, if there is one."""
    sidecar = path.with_name(nifti_stem(path) + ".json")
    return (path, sidecar) if sidecar.is_file() else (path,)


def relative_to(path: Path, root: Path) -> str:
    """Return a path as the records name it: relative to the study where it lies inside it."""
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name


def _hash(path: Path) -> str:
    try:
        return file_sha256(path)
    except OSError:
        return "unreadable"


def fingerprint(participant: Participant, *, inputs: dict[str, str], protocol_sha256: str) -> str:
    """Return a SHA-256 over all that decides a participant's result: inputs, dates, protocol, version."""
    sessions = [
        [
            s.session_id,
            s.acq_time,
            s.bvalue,
            s.adc_unit,
            s.problem,
            sorted(s.files),
            sorted(s.problems.items()),
            s.remarks,
            s.comes_after,
            s.is_expected,
        ]
        for s in participant.sessions
    ]
    facts = {
        "id": participant.participant_id,
        "site": participant.site,
        "age": participant.age,
        "sex": participant.sex,
        "dose": participant.first_dose_time,
        "sessions": sessions,
        "inputs": inputs,
        "protocol": protocol_sha256,
        "version": __version__,
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def participant_record(
    participant: Participant,
    *,
    visits: Iterable[VisitRecord],
    rows: Iterable[VolumeRow],
    inputs: dict[str, str],
    outputs: Mapping[str, str],
    fingerprint: str,
    protocol_sha256: str,
) -> ParticipantRecord:
    """Return the record of a participant, with the versions its numbers depend on."""
    return ParticipantRecord(
        participant_id=participant.participant_id,
        site=participant.site,
        age=participant.age,
        sex=participant.sex,
        first_dose_time=participant.first_dose_time,
        fingerprint=fingerprint,
        version=__version__,
        protocol_sha256=protocol_sha256,
        visits=tuple(visits),
        rows=tuple(rows),
        inputs=inputs,
        outputs=dict(sorted(outputs.items())),
        versions=library_versions(),
    )


def library_versions() -> dict[str, str]:
    """Return the versions of the interpreter and of the libraries numbers depend on."""
    return {"python": platform.python_version(), **{name: version(name) for name in _LIBRARIES}}


def record_path(out: Path, label: str) -> Path:
    """Return where a participant's record is kept."""
    return out / "provenance" / f"{label}.json"


def save_record(record: ParticipantRecord, out: Path, *, label: str) -> None:
    """Write a participant's record; written last, it says that everything before it is complete."""
    write_text(record.model_dump_json(indent=1) + "\n", record_path(out, label))


class RecordStore:
    """The records kept in an output folder, in order of participant, read one at a time.

    Parameters
    ----------
    out
        Output folder of a run.
    """

    def __init__(self, out: Path) -> None:
        self.out = out
        heads = {_read_head(path): path for path in sorted((out / "provenance").glob("sub-*.json"))}
        self._paths = {head.participant_id: path for head, path in heads.items()}
        self.heads = tuple(sorted(heads, key=lambda head: head.participant_id))

    def __len__(self) -> int:
        return len(self.heads)

    def __iter__(self) -> Iterator[ParticipantRecord]:
        for head in self.heads:
            yield self._read(self._paths[head.participant_id])

    def path_of(self, participant_id: str) -> Path:
        """Return the file of a participant's record."""
        return self._paths[participant_id]

    @staticmethod
    def _read(path: Path) -> ParticipantRecord:
        record = read_record(path)
        if record is None:
            raise _unreadable(path)
        return record


class VerifiedStore(RecordStore):
    """The records of an output folder with every mask held against its hash.

    A volume whose mask changed, or is gone, since it was measured is no longer a value: its row is
    ``failed``, with the reason, and so is named among the problems.
    """

    def __init__(self, out: Path) -> None:
        super().__init__(out)
        self.problems: list[str] = []
        """Participant, visit and reason of every volume whose mask changed, once the records were read."""

    def __iter__(self) -> Iterator[ParticipantRecord]:
        self.problems.clear()
        for kept in super().__iter__():
            record = self.counted(kept)
            verified = _without_changed_masks(record, self.out)
            for before, row in zip(record.rows, verified.rows, strict=True):
                if row is not before:
                    self.problems.append(f"{row.participant_id} {row.visit} {row.parameter}: {row.reason}")
            yield verified

    def counted(self, record: ParticipantRecord) -> ParticipantRecord:
        """Return what counts of a record before its masks are looked at: all of it."""
        return record


def _without_changed_masks(record: ParticipantRecord, out: Path) -> ParticipantRecord:
    paths = {row.mask_path for row in record.rows if row.mask_path} & set(record.outputs)
    paths |= {path for visit in record.visits for path in visit.masks.values()} & set(record.outputs)
    found = {path: _hash(out / path) for path in sorted(paths)}
    changed = {path: digest for path, digest in found.items() if digest != record.outputs[path]}
    if not changed:
        return record
    rows = tuple(
        _no_longer_valued(row, expected=record.outputs[row.mask_path], found=changed[row.mask_path])
        if row.mask_path in changed
        else row
        for row in record.rows
    )
    visits = tuple(_no_longer_accounted(visit, changed) for visit in record.visits)
    return record.model_copy(update={"rows": rows, "visits": visits})


def _no_longer_valued(row: VolumeRow, *, expected: str, found: str) -> VolumeRow:
    is_now = "it is gone or unreadable" if found == "unreadable" else f"found {found[:12]}"
    remedy = "put it back, or run again with --masks"
    if row.source.startswith("edited: "):
        remedy = "put it back from a copy, or review again"
    reason = (
        f"the mask changed since it was measured: {row.mask_path} had SHA-256 {expected[:12]}, {is_now}; "
        f"{remedy}"
    )
    numbers = ("volume_ml", "voxel_count", "voxel_volume_mm3", "lesion_count", "volume_ml_low")
    empty = dict.fromkeys(
        (*numbers, "volume_ml_high", "partial_volume_ml", "edit_difference_ml", "edit_dice")
    )
    return row.model_copy(update={**empty, "status": "failed", "reason": reason})


def _no_longer_accounted(visit: VisitRecord, changed: Mapping[str, str]) -> VisitRecord:
    keys = {key for key, path in visit.masks.items() if path in changed}
    if not keys:
        return visit
    components = {key: parts for key, parts in visit.components.items() if key not in keys}
    accounting = (
        dict.fromkeys(("persistent_ml", "resolved_ml", "new_ml")) if {"flair", "change"} & keys else {}
    )
    return visit.model_copy(update={"components": components, **accounting})


class RecordHead(NamedTuple):
    """What must be known of every participant before the first is tabulated."""

    participant_id: str
    first_dose_time: str | None
    made_by: frozenset[tuple[str, str]]
    """Protocol hash and version of the record and of each of its rows."""


class _Source(BaseModel):
    """What a row or record says of where it comes from; everything else is passed over."""

    protocol_sha256: str
    version: str


class _Head(_Source):
    participant_id: str
    first_dose_time: str | None
    rows: tuple[_Source, ...]


def _read_head(path: Path) -> RecordHead:
    """Return the head of a record without taking in the rest of it."""
    try:
        return head_of(_Head.model_validate_json(path.read_bytes()))
    except ValidationError:
        raise _unreadable(path) from None


def _unreadable(path: Path) -> MixedOutputError:
    msg = f"{path} was written by another version; run again, or use an empty output folder"
    return MixedOutputError(msg)


def heads_of(records: Iterable[ParticipantRecord]) -> tuple[RecordHead, ...]:
    """Return the heads of records, in order of participant where they are kept in a folder."""
    return records.heads if isinstance(records, RecordStore) else tuple(head_of(each) for each in records)


def head_of(record: ParticipantRecord | _Head) -> RecordHead:
    """Return the head of one record."""
    own = record.protocol_sha256, record.version
    made_by = {(row.protocol_sha256 or own[0], row.version or own[1]) for row in record.rows}
    return RecordHead(record.participant_id, record.first_dose_time, frozenset({own, *made_by}))


def save_participants(participant_ids: Iterable[str], out: Path) -> None:
    """Write down every participant of the study, whether they were measured or not."""
    write_json(sorted(participant_ids), out / "provenance" / "participants.json")


def save_passed_over(passed_over: tuple[PassedOver, ...], out: Path) -> tuple[PassedOver, ...]:
    """Write down every file of the study that was not used, and why; return them."""
    write_json({each.path: each.reason for each in passed_over}, out / "provenance" / "passed_over.json")
    return passed_over


def load_participants(out: Path) -> tuple[str, ...]:
    """Return every participant of the study; none where that was not written down."""
    try:
        return tuple(json.loads((out / "provenance" / "participants.json").read_text(encoding="utf-8")))
    except FileNotFoundError:
        return ()


def save_study(root: Path, out: Path) -> None:
    """Write down where the study lies, as seen from the output folder: both may be moved together."""
    relative = Path(os.path.relpath(root.resolve(), out.resolve())).as_posix()
    write_json({"study": relative}, _study_file(out))


def study_of(out: Path, *, stated: Path | None = None) -> Path:
    """Return the study folder a run was made from.

    Parameters
    ----------
    out
        Output folder of a run.
    stated
        The folder as somebody gives it, which counts before what the run wrote down.

    Raises
    ------
    StudyError
        If there is no such folder, or the run did not write it down.
    """
    if stated is None:
        try:
            stated = out / str(json.loads(_study_file(out).read_text(encoding="utf-8"))["study"])
        except (OSError, ValueError, LookupError, TypeError):
            msg = f"{out} does not say where its study is; name it with --study, or run again"
            raise StudyError(msg) from None
    if not stated.is_dir():
        msg = f"no study folder at {stated}; name it with --study"
        raise StudyError(msg)
    return stated


def _study_file(out: Path) -> Path:
    return out / "provenance" / "study.json"


def save_table_hashes(out: Path) -> None:
    """Write down the SHA-256 of every file below the tables, by path relative to the output folder."""
    files = sorted(path for path in (out / "tables").rglob("*") if path.is_file())
    write_json({path.relative_to(out).as_posix(): _hash(path) for path in files}, tables_file(out))


def tables_file(out: Path) -> Path:
    """Return where the hashes of the tables are kept."""
    return out / "provenance" / "tables.json"


def read_record(path: Path) -> ParticipantRecord | None:
    """Return one record, or ``None`` where there is none that this version can read."""
    try:
        return ParticipantRecord.model_validate_json(path.read_bytes())
    except (FileNotFoundError, ValidationError):
        return None


def changed_inputs(out: Path, *, label: str, inputs: Mapping[str, str]) -> tuple[tuple[str, str, str], ...]:
    """Return name, old and new hash of every input that changed since a participant was measured.

    An input that was not there before, or is gone, has an empty hash on that side. Nothing is returned for
    a participant who was not measured before.
    """
    record = read_record(record_path(out, label))
    before = record.inputs if record is not None else {}
    names = sorted({*before, *inputs}) if before else []
    return tuple(
        (name, before.get(name, ""), inputs.get(name, ""))
        for name in names
        if before.get(name) != inputs.get(name)
    )


def finished_record(out: Path, *, label: str, fingerprint: str) -> ParticipantRecord | None:
    """Return the record of finished work that is still current: same fingerprint, all outputs intact."""
    record = read_record(record_path(out, label))
    if record is None or record.fingerprint != fingerprint:
        return None
    intact = all(_hash(out / path) == digest for path, digest in record.outputs.items())
    return record if intact else None

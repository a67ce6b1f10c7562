"""What was done already: fingerprints of inputs and settings, and records kept from run to run."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path

from pydantic import ValidationError

from infarct_vol._version import __version__
from infarct_vol.errors import MixedOutputError
from infarct_vol.files import file_sha256, nifti_stem, write_text
from infarct_vol.records import ParticipantRecord
from infarct_vol.study import Participant

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
        [s.session_id, s.acq_time, s.bvalue, s.adc_unit, s.problem, sorted(s.files)]
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


def library_versions() -> dict[str, str]:
    """Return the versions of the interpreter and of the libraries numbers depend on."""
    return {"python": platform.python_version(), **{name: version(name) for name in _LIBRARIES}}


def record_path(out: Path, label: str) -> Path:
    """Return where a participant's record is kept."""
    return out / "provenance" / f"{label}.json"


def save_record(record: ParticipantRecord, out: Path, *, label: str) -> None:
    """Write a participant's record; written last, it says that everything before it is complete."""
    write_text(record.model_dump_json(indent=1) + "\n", record_path(out, label))


def load_records(out: Path) -> tuple[ParticipantRecord, ...]:
    """Return every participant's record kept in an output folder, in order of participant.

    Raises
    ------
    MixedOutputError
        If a record cannot be read by this version.
    """
    records = []
    for path in sorted((out / "provenance").glob("sub-*.json")):
        record = read_record(path)
        if record is None:
            msg = f"{path} was written by another version; run again, or use an empty output folder"
            raise MixedOutputError(msg)
        records.append(record)
    return tuple(sorted(records, key=lambda record: record.participant_id))


def read_record(path: Path) -> ParticipantRecord | None:
    """Return one record, or ``None`` where there is none that this version can read."""
    try:
        return ParticipantRecord.model_validate_json(path.read_bytes())
    except (FileNotFoundError, ValidationError):
        return None


def finished_record(out: Path, *, label: str, fingerprint: str) -> ParticipantRecord | None:
    """Return the record of finished work that is still current: same fingerprint, all outputs intact."""
    record = read_record(record_path(out, label))
    if record is None or record.fingerprint != fingerprint:
        return None
    intact = all(_hash(out / path) == digest for path, digest in record.outputs.items())
    return record if intact else None

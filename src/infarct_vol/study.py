"""A study as it lies on disk: participants, their visits, and the files of each visit.

Found from a BIDS dataset or from a manifest. Nothing is opened here but the small text files; which
session is which visit is settled in `infarct_vol.visits`.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from infarct_vol.dates import is_whole_date
from infarct_vol.errors import StudyError
from infarct_vol.files import nifti_stem
from infarct_vol.images import MODALITY_LABELS, Identity, Modality

MANIFEST_COLUMNS = (
    *("participant_id", "visit", "acq_time", "dwi", "adc", "b0", "flair", "t1w"),
    *("bvalue", "adc_unit", "mask"),
)
_SUFFIXES: dict[str, Modality] = {
    "trace": "dwi",
    "dwi": "dwi",
    "adc": "adc",
    "s0map": "b0",
    "b0": "b0",
    "flair": "flair",
    "t1w": "t1w",
    "t2w": "t2w",
}
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True)
class ScanFile:
    """One image file of a session; a diffusion series has its ``.bval`` (and ``.bvec``) with it."""

    modality: Modality
    path: Path
    bval: Path | None = None
    bvec: Path | None = None

    @property
    def all_paths(self) -> tuple[Path, ...]:
        """Every file that bears on this image, the sidecar included."""
        sidecar = self.path.with_name(nifti_stem(self.path) + ".json")
        extra = (sidecar if sidecar.is_file() else None, self.bval, self.bvec)
        return (self.path, *(path for path in extra if path is not None))


@dataclass(frozen=True)
class Session:
    """The files of one scanning session.

    ``bvalue`` (s/mm2), ``adc_unit`` and ``mask`` are what a manifest states; ``problem`` says why the
    session cannot be used as it lies on disk.
    """

    session_id: str
    acq_time: str | None = None
    files: Mapping[Modality, ScanFile] = field(default_factory=dict)
    bvalue: float | None = None
    adc_unit: str | None = None
    mask: Path | None = None
    problem: str = ""


@dataclass(frozen=True)
class Participant:
    """One participant: identity as written by the study, and the sessions found."""

    participant_id: str
    first_dose_time: str | None = None
    onset_time: str | None = None
    site: str | None = None
    age: str | None = None
    sex: str | None = None
    sessions: tuple[Session, ...] = ()

    @property
    def label(self) -> str:
        """BIDS label with its key, such as ``sub-01007`` for the id ``01-007``."""
        return "sub-" + re.sub(r"[._-]", "", self.participant_id.removeprefix("sub-"))

    def identity(self, session: Session, modality: Modality) -> Identity:
        """Return who an image of this session belongs to."""
        return Identity(participant_id=self.participant_id, session_id=session.session_id, modality=modality)


@dataclass(frozen=True)
class Study:
    """A study on disk; ``root`` is the folder every recorded path is relative to."""

    root: Path
    participants: tuple[Participant, ...]

    def select(self, labels: Iterable[str]) -> Study:
        """Keep the participants named, with or without ``sub-``.

        Raises
        ------
        StudyError
            If a label names nobody.
        """
        wanted = {"sub-" + re.sub(r"[._-]", "", label.removeprefix("sub-")) for label in labels}
        unknown = wanted - {p.label for p in self.participants}
        if unknown:
            msg = f"no participant {', '.join(sorted(unknown))} in {self.root}"
            raise StudyError(msg)
        return Study(self.root, tuple(p for p in self.participants if p.label in wanted))


def open_study(path: Path | str) -> Study:
    """Find the participants, sessions and images of a BIDS dataset or a manifest (CSV).

    Raises
    ------
    StudyError
        If the path is neither, holds no participants, or names two participants alike.
    """
    path = Path(path)
    if path.is_file():
        study = _from_manifest(path)
    elif path.is_dir():
        study = _from_bids(path)
    else:
        msg = f"no study at {path}; expected a BIDS folder or a manifest (CSV)"
        raise StudyError(msg)
    if not study.participants:
        msg = f"no participants in {path}; expected folders sub-<label>, or a manifest with rows"
        raise StudyError(msg)
    _require_distinct(study.participants)
    return study


def _require_distinct(participants: Iterable[Participant]) -> None:
    seen: dict[str, str] = {}
    for participant in participants:
        key = participant.label.casefold()
        if key in seen:
            msg = (
                f"participants {seen[key]!r} and {participant.participant_id!r} cannot be told apart in file "
                "names; rename one"
            )
            raise StudyError(msg)
        seen[key] = participant.participant_id


def _checked_id(value: str, *, where: str) -> str:
    if not _ID.fullmatch(value):
        msg = f"{where}: {value[:40]!r} is not a participant id; use 1-64 letters, digits, '-', '_' or '.'"
        raise StudyError(msg)
    return value


# ---- BIDS ------------------------------------------------------------------------------------------------


def _from_bids(root: Path) -> Study:
    described = {row["participant_id"]: row for row in _read_table(root / "participants.tsv")}
    folders = {p.name: p for p in sorted(root.glob("sub-*")) if p.is_dir()}
    participants = []
    for name in sorted({*folders, *described}):
        _checked_id(name, where="participants.tsv" if name in described else str(root))
        row = described.get(name, {})
        sessions = _bids_sessions(folders[name], root=root) if name in folders else ()
        participants.append(
            Participant(
                participant_id=name,
                first_dose_time=_checked_time(row.get("first_dose_time"), where=f"{name} first_dose_time"),
                onset_time=_checked_time(row.get("onset_time"), where=f"{name} onset_time"),
                site=row.get("site"),
                age=row.get("age"),
                sex=row.get("sex"),
                sessions=sessions,
            )
        )
    return Study(root, tuple(participants))


def _bids_sessions(folder: Path, *, root: Path) -> tuple[Session, ...]:
    times = {
        row["session_id"]: row.get("acq_time") for row in _read_table(folder / f"{folder.name}_sessions.tsv")
    }
    folders = {p.name: p for p in sorted(folder.glob("ses-*")) if p.is_dir()}
    sessions = []
    for name in sorted({*folders, *times}):
        files, problem = _session_files(folders[name], root=root) if name in folders else ({}, "")
        acq_time = _checked_time(times.get(name), where=f"{folder.name} {name} acq_time")
        sessions.append(Session(session_id=name, acq_time=acq_time, files=files, problem=problem))
    return tuple(sessions)


def _session_files(folder: Path, *, root: Path) -> tuple[dict[Modality, ScanFile], str]:
    found: dict[Modality, ScanFile] = {}
    for path in sorted([*folder.rglob("*.nii"), *folder.rglob("*.nii.gz")]):
        modality = _SUFFIXES.get(nifti_stem(path).rpartition("_")[2].lower())
        if modality is None:
            continue
        if not path.resolve().is_relative_to(root.resolve()):
            return {}, f"{path.name} is a link to outside the study folder; copy the file in"
        scan = scan_file(modality, path)
        other = found.get(modality)
        if other is not None and (other.bval is None) == (scan.bval is None):
            label = MODALITY_LABELS[modality]
            return {}, f"two {label} images ({other.path.name}, {path.name}); leave one, or use a manifest"
        if other is None or other.bval is not None:
            # a scanner-made trace image is preferred to the series it was made from
            found[modality] = scan
    return found, ""


def scan_file(modality: Modality, path: Path) -> ScanFile:
    """Return an image with the ``.bval`` and ``.bvec`` that lie beside it."""
    stem = nifti_stem(path)
    bval, bvec = path.with_name(stem + ".bval"), path.with_name(stem + ".bvec")
    return ScanFile(
        modality=modality,
        path=path,
        bval=bval if bval.is_file() else None,
        bvec=bvec if bvec.is_file() else None,
    )


# ---- manifest --------------------------------------------------------------------------------------------


def _from_manifest(path: Path) -> Study:
    rows = _read_table(path)
    unknown = {key for row in rows for key in row} - {
        *MANIFEST_COLUMNS,
        "first_dose_time",
        "onset_time",
        "site",
    }
    if unknown:
        known = ", ".join(MANIFEST_COLUMNS)
        msg = f"{path.name} has unknown columns {', '.join(sorted(unknown))}; known: {known}"
        raise StudyError(msg)
    grouped: dict[str, list[dict[str, str]]] = {}
    for number, row in enumerate(rows, start=2):
        if "participant_id" not in row or "visit" not in row:
            msg = f"{path.name} line {number}: participant_id and visit must be filled"
            raise StudyError(msg)
        grouped.setdefault(_checked_id(row["participant_id"], where=f"{path.name} line {number}"), []).append(
            row
        )
    return Study(
        path.parent, tuple(_manifest_participant(k, v, manifest=path) for k, v in sorted(grouped.items()))
    )


def _manifest_participant(participant_id: str, rows: list[dict[str, str]], *, manifest: Path) -> Participant:
    sessions = tuple(_manifest_session(row, manifest=manifest) for row in rows)
    names = [s.session_id for s in sessions]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        msg = f"{manifest.name}: {participant_id} has two rows for {', '.join(sorted(twice))}; leave one"
        raise StudyError(msg)
    stated = {
        key: {row[key] for row in rows if key in row} for key in ("first_dose_time", "onset_time", "site")
    }
    for key, values in stated.items():
        if len(values) > 1:
            msg = f"{manifest.name}: {participant_id} has {len(values)} different values of {key}"
            raise StudyError(msg)
    where = f"{manifest.name} {participant_id}"
    return Participant(
        participant_id=participant_id,
        first_dose_time=_checked_time(next(iter(stated["first_dose_time"]), None), where=where),
        onset_time=_checked_time(next(iter(stated["onset_time"]), None), where=where),
        site=next(iter(stated["site"]), None),
        sessions=sessions,
    )


def _manifest_session(row: dict[str, str], *, manifest: Path) -> Session:
    where = f"{manifest.name}: {row['participant_id']} {row['visit']}"
    label = re.sub(r"[^A-Za-z0-9]", "", row["visit"].removeprefix("ses-"))
    if not label:
        msg = f"{where}: the visit needs letters or digits"
        raise StudyError(msg)
    files: dict[Modality, ScanFile] = {}
    for column, modality in (
        ("dwi", "dwi"),
        ("adc", "adc"),
        ("b0", "b0"),
        ("flair", "flair"),
        ("t1w", "t1w"),
    ):
        if column in row:
            files[_SUFFIXES[modality]] = scan_file(_SUFFIXES[modality], _inside(row[column], manifest, where))
    try:
        bvalue = float(row["bvalue"]) if "bvalue" in row else None
    except ValueError:
        msg = f"{where}: bvalue {row['bvalue']!r} is not a number (s/mm2)"
        raise StudyError(msg) from None
    return Session(
        session_id=f"ses-{label}",
        acq_time=_checked_time(row.get("acq_time"), where=where),
        files=files,
        bvalue=bvalue,
        adc_unit=row.get("adc_unit"),
        mask=_inside(row["mask"], manifest, where) if "mask" in row else None,
    )


def _inside(name: str, manifest: Path, where: str) -> Path:
    path = manifest.parent / name
    if not path.resolve().is_relative_to(manifest.parent.resolve()):
        msg = f"{where}: {name!r} lies outside the manifest's folder; paths are relative to the manifest"
        raise StudyError(msg)
    return path


# ---- text tables -----------------------------------------------------------------------------------------


def _read_table(path: Path) -> list[dict[str, str]]:
    """Return the rows of a TSV or CSV as text; empty fields and ``n/a`` are left out."""
    if not path.is_file():
        return []
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        msg = f"{path.name} is not UTF-8 text; save it as UTF-8"
        raise StudyError(msg) from None
    header = text.partition("\n")[0]
    delimiter = "\t" if "\t" in header else ";" if header.count(";") > header.count(",") else ","
    reader = csv.DictReader(text.splitlines(), delimiter=delimiter)
    if len(set(reader.fieldnames or ())) != len(reader.fieldnames or ()):
        msg = f"{path.name} has a column twice: {', '.join(reader.fieldnames or ())}"
        raise StudyError(msg)
    rows = [_filled(row, path=path, line=reader.line_num) for row in reader]
    key = "session_id" if path.name.endswith("_sessions.tsv") else "participant_id"
    if rows and any(key not in row for row in rows):
        msg = f"{path.name} needs a column {key}, filled on every line"
        raise StudyError(msg)
    if path.suffix == ".tsv" and len({row[key] for row in rows}) != len(rows):
        msg = f"{path.name} has two lines for one {key}"
        raise StudyError(msg)
    return rows


def _filled(row: dict[str | None, str | list[str] | None], *, path: Path, line: int) -> dict[str, str]:
    if None in row or None in row.values():
        msg = f"{path.name} line {line} has more or fewer fields than its header"
        raise StudyError(msg)
    cells = {str(key).strip(): str(value).strip() for key, value in row.items()}
    return {key: value for key, value in cells.items() if value not in ("", "n/a")}


def _checked_time(value: str | None, *, where: str) -> str | None:
    """Return a date or time as it is written; a partial one is refused later, where a day is needed."""
    if value is None:
        return None
    try:
        is_whole_date(value)
    except ValueError:
        msg = f"{where}: {value!r} is not an ISO 8601 date or time, such as 2026-03-01 or 2026-03-01T09:30:00"
        raise StudyError(msg) from None
    return value

"""A manifest (CSV, one row a scan set) as a study."""

from __future__ import annotations

import re
from pathlib import Path

from infarct_vol.errors import StudyError
from infarct_vol.images import Modality
from infarct_vol.study.model import SUFFIXES, Participant, ScanFile, Session, Study, scan_file
from infarct_vol.study.stated import checked_id, checked_time, read_table

MANIFEST_COLUMNS = (
    *("participant_id", "visit", "acq_time", "dwi", "adc", "b0", "flair", "t1w"),
    *("bvalue", "adc_unit", "mask"),
)


def study_from_manifest(path: Path) -> Study:
    """Return the study of a manifest; paths in it are relative to its folder."""
    rows = read_table(path)
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
        grouped.setdefault(checked_id(row["participant_id"], where=f"{path.name} line {number}"), []).append(
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
        first_dose_time=checked_time(next(iter(stated["first_dose_time"]), None), where=where),
        onset_time=checked_time(next(iter(stated["onset_time"]), None), where=where),
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
            files[SUFFIXES[modality]] = scan_file(SUFFIXES[modality], _inside(row[column], manifest, where))
    try:
        bvalue = float(row["bvalue"]) if "bvalue" in row else None
    except ValueError:
        msg = f"{where}: bvalue {row['bvalue']!r} is not a number (s/mm2)"
        raise StudyError(msg) from None
    return Session(
        session_id=f"ses-{label}",
        acq_time=checked_time(row.get("acq_time"), where=where),
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

"""A manifest (CSV, one row a scan set) as a study."""

from __future__ import annotations

import re
from pathlib import Path

from infarct_vol.errors import StudyError
from infarct_vol.files import has_decimal_commas, read_text_table, stated_number
from infarct_vol.images import Modality
from infarct_vol.study.model import Participant, ScanFile, Session, Study, scan_file
from infarct_vol.study.stated import checked_id, checked_time

_IMAGES: tuple[Modality, ...] = ("dwi", "adc", "b0", "flair", "t1w")
MANIFEST_COLUMNS = (
    *("participant_id", "visit", "acq_time", "dwi", "adc", "b0", "flair", "t1w"),
    *("bvalue", "adc_unit", "mask"),
)


_OF_PARTICIPANT = ("first_dose_time", "onset_time", "site")
"""Columns that say the same on every line of a participant."""


def study_from_manifest(path: Path) -> Study:
    """Return the study of a manifest; paths in it are relative to its folder."""
    keys = ("participant_id", "visit")
    known = (*MANIFEST_COLUMNS, *_OF_PARTICIPANT)
    table = read_text_table(path, needed=keys, known=known, keys=keys, what="manifest")
    unknown = set(table.columns) - set(known)
    if unknown:
        msg = (
            f"{path.name} has unknown columns {', '.join(sorted(unknown))}; known: "
            f"{', '.join(MANIFEST_COLUMNS)}"
        )
        raise StudyError(msg)
    decimal_commas = has_decimal_commas(row.cells.get("bvalue", "") for row in table.rows)
    grouped: dict[str, list[dict[str, str]]] = {}
    for line in table.rows:
        row = line.filled()
        if "bvalue" in row:
            row["bvalue"] = repr(_bvalue(row["bvalue"], decimal_commas, where=table.where(line)))
        participant_id = checked_id(row["participant_id"], where=table.where(line))
        grouped.setdefault(participant_id, []).append(row)
    return Study(
        path.parent, tuple(_manifest_participant(k, v, manifest=path) for k, v in sorted(grouped.items()))
    )


def _bvalue(text: str, decimal_commas: bool, *, where: str) -> float:  # noqa: FBT001
    try:
        bvalue = stated_number(text, decimal_commas=decimal_commas)
    except StudyError as error:
        msg = f"bvalue {error.message} (s/mm2)"
        raise StudyError(msg, where=where) from None
    if bvalue <= 0:
        msg = f"bvalue is {text}, expected that of the diffusion-weighted image, above 0 s/mm2"
        raise StudyError(msg, where=where)
    return bvalue


def _manifest_participant(participant_id: str, rows: list[dict[str, str]], *, manifest: Path) -> Participant:
    sessions = tuple(_manifest_session(row, manifest=manifest) for row in rows)
    names = [s.session_id for s in sessions]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        msg = f"{manifest.name}: {participant_id} has two rows for {', '.join(sorted(twice))}; leave one"
        raise StudyError(msg)
    stated = {key: {row[key] for row in rows if key in row} for key in _OF_PARTICIPANT}
    for key, values in stated.items():
        if len(values) > 1:
            msg = f"{manifest.name}: {participant_id} has {len(values)} different values of {key}"
            raise StudyError(msg)
    where = f"{manifest.name} {participant_id}"
    return Participant(
        participant_id=participant_id,
        first_dose_time=_time_of(stated, "first_dose_time", where),
        onset_time=_time_of(stated, "onset_time", where),
        site=next(iter(stated["site"]), None),
        sessions=sessions,
    )


def _time_of(stated: dict[str, set[str]], column: str, where: str) -> str | None:
    return checked_time(next(iter(stated[column]), None), where=f"{where} {column}")


def _manifest_session(row: dict[str, str], *, manifest: Path) -> Session:
    where = f"{manifest.name}: {row['participant_id']} {row['visit']}"
    label = re.sub(r"[^A-Za-z0-9]", "", row["visit"].removeprefix("ses-"))
    if not label:
        msg = f"{where}: the visit needs letters or digits"
        raise StudyError(msg)
    files: dict[Modality, ScanFile] = {}
    for modality in _IMAGES:
        if modality in row:
            files[modality] = scan_file(modality, _inside(row[modality], manifest, where))
    return Session(
        session_id=f"ses-{label}",
        acq_time=checked_time(row.get("acq_time"), where=f"{where} acq_time"),
        files=files,
        bvalue=float(row["bvalue"]) if "bvalue" in row else None,
        adc_unit=row.get("adc_unit"),
        mask=_inside(row["mask"], manifest, where) if "mask" in row else None,
    )


def _inside(name: str, manifest: Path, where: str) -> Path:
    path = manifest.parent / name
    if not path.resolve().is_relative_to(manifest.parent.resolve()):
        msg = f"{where}: {name!r} lies outside the manifest's folder; paths are relative to the manifest"
        raise StudyError(msg)
    return path

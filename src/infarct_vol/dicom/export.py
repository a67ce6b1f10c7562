"""From a mask, or from a finished run, to files for a PACS."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from infarct_vol.dicom.headers import read_folder, require_dicom
from infarct_vol.dicom.overlays import overlays_of
from infarct_vol.dicom.segmentation import Algorithm, segmentation_of
from infarct_vol.dicom.series import source_of
from infarct_vol.errors import StudyError, UsageError
from infarct_vol.files import nifti_stem, require_target, write_bytes
from infarct_vol.images import LesionMask
from infarct_vol.nifti import load_mask
from infarct_vol.records import VALUED_STATUSES

_OVERLAY_NAME = re.compile(r"overlay_\d{4,}\.dcm")
_LABELS = {"cavity": "Cavity", "new_lesion": "New lesion"}


@dataclass(frozen=True)
class Exported:
    """What was written, and what a reader should know of it."""

    segmentation: Path
    overlays: tuple[Path, ...]
    source: str
    sop_instance_uid: str
    series_instance_uid: str
    frame_count: int
    volume_ml: float
    voxel_count: int
    remarks: tuple[str, ...]


class CountedMask(NamedTuple):
    """The mask whose volume stands in the tables."""

    path: Path
    label: str
    algorithm: Algorithm


def export_segmentation(
    mask: Path | str | LesionMask,
    dicom_dir: Path,
    output: Path,
    *,
    overlays: Path | None = None,
    label: str = "Infarct",
    algorithm: Algorithm = "automatic",
    series: str | None = None,
) -> Exported:
    """Write a mask as DICOM SEG, and on wish one colour image per slice with lesion.

    Parameters
    ----------
    mask
        A mask, or its NIfTI file.
    dicom_dir
        Folder with the series the mask was drawn on, and any others.
    output
        The SEG file to write, outside ``dicom_dir``.
    overlays
        Folder for the colour images; ``overlay_NNNN.dcm`` of an earlier export there are replaced.
    series
        UID or number of the source series, where several have the mask's grid.

    Raises
    ------
    UsageError
        If highdicom is not installed, the source is ambiguous, or the SEG file cannot be written.
    StudyError
        If the folder holds no DICOM image.
    GridMismatchError
        If no series has the mask's grid.
    HeaderError, DamagedFileError
        If the source cannot be carried over.
    """
    require_dicom()
    for path in filter(None, (output, overlays)):
        if path.resolve().is_relative_to(dicom_dir.resolve()):
            msg = (
                f"{path} lies in the folder of the source series; write elsewhere, the source stays as it is"
            )
            raise UsageError(msg)
    if output.suffix.lower() != ".dcm":
        msg = f"'{output.name}' is not the name of a DICOM file; name it '{nifti_stem(output)}.dcm'"
        raise UsageError(msg)
    require_target(output, inputs=() if isinstance(mask, LesionMask) else (Path(mask),))
    lesion = mask if isinstance(mask, LesionMask) else load_mask(mask)
    folder = read_folder(dicom_dir)
    stack, data = source_of(lesion, folder, series=series)
    written = segmentation_of(data, stack, label=label, algorithm=algorithm)
    pictures = [] if overlays is None else list(overlays_of(data, stack, label=label))
    write_bytes(written.content, output)
    paths = [] if overlays is None else _write_overlays(pictures, overlays)
    return Exported(
        segmentation=output,
        overlays=tuple(paths),
        source=stack.name,
        sop_instance_uid=written.sop_instance_uid,
        series_instance_uid=written.series_instance_uid,
        frame_count=written.frame_count,
        volume_ml=lesion.voxel_count * stack.grid.voxel_volume_ml,
        voxel_count=lesion.voxel_count,
        remarks=(*lesion.flags, *written.remarks, *folder.remarks()),
    )


def _write_overlays(pictures: list[tuple[int, bytes]], folder: Path) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        if _OVERLAY_NAME.fullmatch(old.name):
            old.unlink()
    paths = []
    for number, content in pictures:
        path = folder / f"overlay_{number:04d}.dcm"
        write_bytes(content, path)
        paths.append(path)
    return paths


def counted_mask(out: Path, *, participant: str, session: str, parameter: str = "infarct") -> CountedMask:
    """Find the mask that counts in a finished run: the ``mask_path`` of its row in ``volumes.csv``.

    Raises
    ------
    StudyError
        If there is no such row, or it has no volume; with the reason the table gives.
    """
    table = out / "tables" / "volumes.csv"
    if not table.is_file():
        msg = f"no {table}; give the output folder of a finished run, or a mask file"
        raise StudyError(msg)
    wanted = {"participant_id": participant, "session_id": session, "parameter": parameter}
    with table.open(encoding="utf-8", newline="") as stream:
        rows = [r for r in csv.DictReader(stream) if all(r.get(k) == v for k, v in wanted.items())]
    if len(rows) != 1:
        msg = f"{table} has {len(rows)} rows of {participant} {session} {parameter}, expected one"
        raise StudyError(msg)
    row = rows[0]
    if row["status"] not in VALUED_STATUSES or not row["mask_path"]:
        msg = f"{participant} {session} {parameter} has no mask that counts: {row['status']}, {row['reason']}"
        raise StudyError(msg)
    path = (out / row["mask_path"]).resolve()
    if not path.is_relative_to(out.resolve()):
        msg = f"{table}: mask_path of {participant} {session} leads out of the folder"
        raise StudyError(msg)
    return CountedMask(path, _LABELS.get(parameter, "Infarct"), _algorithm(row))


def _algorithm(row: dict[str, str]) -> Algorithm:
    if row["status"] == "edited" or row["source"].startswith("edited"):
        return "semiautomatic"
    return "automatic" if row["source"] in ("", "automatic") else "manual"


def segmentation_name(mask: Path) -> str:
    """Return the file name of a mask's SEG: its own with ``_seg.dcm``."""
    return nifti_stem(mask).removesuffix("_mask") + "_seg.dcm"

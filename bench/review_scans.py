"""Runs to be read, of any voxel grid, made from a finished run: its scans and masks on other grids."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from infarct_vol.files import file_sha256
from infarct_vol.geometry import Grid
from infarct_vol.images import LesionMask
from infarct_vol.ledger import save_participants, study_of
from infarct_vol.nifti import load_mask, load_scan, save_array, save_mask

Shape = tuple[int, int, int]


def point_to_study(out: Path, study: Path) -> None:
    """Tell a run where its study is; a copied run looks in a place relative to itself."""
    place = os.path.relpath(study.resolve(), out.resolve())
    (out / "provenance" / "study.json").write_text(json.dumps({"study": place}), encoding="utf-8")


def regridded(source: Path, root: Path, *, shape: Shape, participants: int) -> Path:
    """Make a run whose images all have one shape, and return its output folder.

    Every image keeps its field of view. Registrations and what was measured are those of the source; the
    masks shown are the source's, read at the nearest voxel. Nothing is measured again.

    Parameters
    ----------
    source
        Output folder of a finished run.
    root
        Folder for the new study and its output folder.
    shape
        Voxels along right, front and up.
    participants
        How many; those of the source again and again, under other names.
    """
    out, study = root / "out", root / "study"
    names = [f"sub-{number:03d}" for number in range(1, participants + 1)]
    for name, path in zip(names, cycle(_records(source)), strict=False):
        _participant(path, source, out, study, name, shape)
    save_participants(names, out)
    shutil.copyfile(source / "protocol.toml", out / "protocol.toml")
    point_to_study(out, study)
    return out


def _records(source: Path) -> list[Path]:
    """Return the records of participants with every visit measured."""
    found = []
    for path in sorted((source / "provenance").glob("sub-*.json")):
        visits = json.loads(path.read_text(encoding="utf-8"))["visits"]
        if sum(visit["status"] in ("measured", "flagged") for visit in visits) >= 3:
            found.append(path)
    return found


def _participant(path: Path, source: Path, out: Path, study: Path, name: str, shape: Shape) -> None:
    text = path.read_text(encoding="utf-8")
    old = json.loads(text)
    record = json.loads(text.replace(path.stem, name))
    for before, visit in zip(old["visits"], record["visits"], strict=True):
        for was, scan in zip(before["scans"], visit["scans"], strict=True):
            scan |= _scan(study_of(source) / was["path"], study / scan["path"], shape)
    for was, kept in zip(old["outputs"], list(record["outputs"]), strict=True):
        _output(source / was, out / kept, shape)
        record["outputs"][kept] = file_sha256(out / kept)
    target = out / "provenance" / f"{name}.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(record, indent=1), encoding="utf-8")


def _scan(source: Path, target: Path, shape: Shape) -> dict[str, Any]:
    """Write a scan on its new grid; return what its record says of it."""
    scan = load_scan(source)
    grid = _grid(scan.grid, shape)
    data = _resampled(scan.data, grid.shape, order=1)
    # noise of a scanner, so that the file packs as a scan does
    data += np.random.default_rng(1).normal(0, 0.01 * float(np.ptp(data)), data.shape).astype(np.float32)
    most = float(np.abs(data).max()) or 1.0
    save_array(data, grid, target, dtype="int16", slope=most / 4095)
    return {
        "sha256": file_sha256(target),
        "shape": grid.shape,
        "spacing_mm": [float(mm) for mm in grid.spacing_mm],
        "axis_codes": grid.axis_codes,
    }


def _output(source: Path, target: Path, shape: Shape) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if not source.name.endswith("_mask.nii.gz"):
        target.write_bytes(source.read_bytes())
        return
    mask = load_mask(source)
    grid = _grid(mask.grid, shape)
    data = _resampled(mask.data.view(np.uint8), grid.shape, order=0) > 0
    save_mask(LesionMask(data, grid), target)


def _grid(grid: Grid, shape: Shape) -> Grid:
    """Return a grid of the same field of view with other voxels; ``shape`` is right, front, up."""
    axes = ["RLAPSI".index(code) // 2 for code in grid.axis_codes]
    new = tuple(shape[axis] for axis in axes)
    steps = np.array(grid.shape) / np.array(new)
    affine = np.array(grid.affine)
    affine[:3, :3] *= steps
    affine[:3, 3] = grid.to_world(steps / 2 - 0.5)
    return Grid((new[0], new[1], new[2]), affine)


def _resampled(data: NDArray[Any], shape: Shape, *, order: int) -> NDArray[Any]:
    factors = [n / m for n, m in zip(shape, data.shape, strict=True)]
    found: NDArray[Any] = ndimage.zoom(data, factors, order=order, mode="nearest", grid_mode=True)
    return found


def sizes(out: Path) -> Iterator[str]:
    """Yield the shapes of the images of a run's first participant, for the head of a report."""
    for path in islice(sorted((out / "provenance").glob("sub-*.json")), 1):
        for visit in json.loads(path.read_text(encoding="utf-8"))["visits"]:
            for scan in visit["scans"]:
                yield f"{scan['modality']} {'x'.join(map(str, scan['shape']))}"

"""Masks as files: which voxels are labelled, and what is kept beside the file.

A JSON sidecar holds what the voxels cannot: the method, its own range of volumes, and what a reader should
know. It names the voxels it belongs to by their hash, so that one left beside an edited mask is not believed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from infarct_vol._version import __version__
from infarct_vol.errors import MaskError, UsageError
from infarct_vol.files import gzip_bytes, nifti_stem, read_sidecar, require_target, write_json
from infarct_vol.images import Identity, LesionMask, label_voxels
from infarct_vol.nifti.names import require_nifti_name
from infarct_vol.nifti.reading import load_stored, scaled_voxels, where_of
from infarct_vol.nifti.writing import nifti_bytes, save_array
from infarct_vol.protocol import GeometrySettings

CONFIRMED = "Confirmed"
"""Field of a mask's sidecar by which a person says that the mask is meant as it is."""
_TYPE = "Lesion"


# ---- reading ---------------------------------------------------------------------------------------------


def load_mask(
    path: Path | str,
    *,
    identity: Identity | None = None,
    geometry: GeometrySettings | None = None,
    label: int | None = None,
    sidecar: bool = True,
    full: bool = False,
) -> LesionMask:
    """Read a mask: voxels of 0 and one label (1, 255, ...).

    Parameters
    ----------
    path
        A ``.nii`` or ``.nii.gz`` file.
    identity
        Whose mask it is; path and SHA-256 are filled in here.
    geometry
        What to believe when sform and qform differ. Default: refuse.
    label
        The label to take where the file has several. Default: the only one.
    sidecar
        Whether method, flags and range are taken from the JSON that `save_mask` wrote beside the file. They
        are only where it belongs to these voxels; where it does not, a flag says so.

    full
        Whether a mask of which no voxel is 0 is read.

    Raises
    ------
    DamagedFileError, HeaderError
        As `load_scan`.
    MaskError
        If the values are no label (several labels, fractions, negative values, NaN), or no voxel is 0.
    """
    path = Path(path)
    identity = replace(identity or Identity(), path=path)
    where = where_of(identity)
    stored = load_stored(path, geometry=geometry, where=where)
    try:
        step = 0.0 if stored.slope == 1 else stored.slope
        data = label_voxels(scaled_voxels(stored, path, where=where), label=label, step=step)
    except MaskError as error:
        msg = f"{path.name} {error.message}"
        raise MaskError(msg, where=where) from None
    identity = replace(identity, sha256=stored.sha256)
    mask = LesionMask(data, stored.grid, identity, method=f"file:{path.name}", flags=stored.remarks)
    if not full:
        _require_background(mask, path, where=where)
    return _with_sidecar(mask, path) if sidecar else mask


def _require_background(mask: LesionMask, path: Path, *, where: str) -> None:
    """Raise where no voxel is background, unless a person or the program that wrote the mask says so."""
    if not mask.data.all() or is_confirmed(path) or _belongs(read_sidecar(path), mask):
        return
    msg = (
        f"{path.name} labels every voxel of its grid: that is no lesion; export the lesion's label alone as "
        f"1 and the background as 0, or, if it is meant, {how_to_confirm(path)}"
    )
    raise MaskError(msg, where=where)


def is_confirmed(path: Path) -> bool:
    """Tell whether a mask's sidecar says that an unlikely mask is meant as it is."""
    return read_sidecar(path).get(CONFIRMED) is True


def how_to_confirm(path: Path) -> str:
    """Return what to do with a mask that is unlikely and right."""
    return f'write "{CONFIRMED}": true into {nifti_stem(path)}.json beside it'


def _with_sidecar(mask: LesionMask, path: Path) -> LesionMask:
    """Return the mask with what its own sidecar says of it."""
    facts = read_sidecar(path)
    if not _is_ours(facts):
        return mask
    if not _belongs(facts, mask):
        remark = (
            f"{nifti_stem(path)}.json describes other voxels than {path.name} has: its method, flags and "
            "range are not used"
        )
        return replace(mask, flags=(*mask.flags, remark))
    flags = [flag for flag in _texts(facts.get("Flags")) if flag not in mask.flags]
    return replace(
        mask,
        method=str(facts.get("Method") or mask.method),
        flags=(*mask.flags, *flags),
        evidence=_numbers(facts.get("Evidence")),
    )


def _is_ours(facts: Mapping[str, object]) -> bool:
    return facts.get("Type") == _TYPE and "VolumeML" in facts


def _belongs(facts: Mapping[str, object], mask: LesionMask) -> bool:
    """Tell whether a sidecar was written with these voxels; older ones have counts and no hash."""
    volume_ml = facts.get("VolumeML")
    alike = isinstance(volume_ml, (int, float)) and math.isclose(volume_ml, mask.volume_ml, rel_tol=1e-4)
    if "VoxelSHA256" in facts:
        return alike and facts["VoxelSHA256"] == mask.voxel_sha256
    return alike and facts.get("VoxelCount") == mask.voxel_count


def _texts(value: object) -> list[str]:
    return [text for text in value if isinstance(text, str)] if isinstance(value, list) else []


def _numbers(value: object) -> dict[str, float]:
    pairs = value.items() if isinstance(value, dict) else ()
    return {str(k): float(v) for k, v in pairs if isinstance(v, (int, float)) and not isinstance(v, bool)}


# ---- writing ---------------------------------------------------------------------------------------------


def save_mask(mask: LesionMask, path: Path | str, *, sidecar: bool = True) -> None:
    """Write a mask as uint8 0/1 on its native grid, and beside it what `load_mask` reads again.

    Parameters
    ----------
    mask
        The mask.
    path
        A ``.nii`` or ``.nii.gz`` file.
    sidecar
        Whether the JSON of `mask_facts` is written beside it.

    Raises
    ------
    UsageError
        If the name is not that of a NIfTI file, or the JSON beside it belongs to something else.
    """
    path = Path(path)
    if sidecar:
        require_free_sidecar(path)
    save_array(mask.data.view(np.uint8), mask.grid, path, dtype="uint8")
    if sidecar:
        write_json({**mask_facts(mask), "Version": __version__}, _sidecar_path(path))


def mask_facts(mask: LesionMask) -> dict[str, object]:
    """Return the fields of a mask's sidecar: what it was drawn on, how, its volume, and its voxels' hash."""
    source = mask.identity.path.name if mask.identity.path else ""
    return {
        "Type": _TYPE,
        "Sources": [source] if source else [],
        "SourceSHA256": mask.identity.sha256,
        "Method": mask.method,
        "Flags": list(mask.flags),
        "Evidence": {key: float(value) for key, value in sorted(mask.evidence.items())},
        "VolumeML": mask.volume_ml,
        "VoxelCount": mask.voxel_count,
        "VoxelSHA256": mask.voxel_sha256,
    }


def require_free_sidecar(path: Path) -> None:
    """Raise if the JSON that would be written beside a mask is there and is not that of a mask.

    Raises
    ------
    UsageError
        With the file's name.
    """
    beside = _sidecar_path(path)
    if beside.exists() and not _is_ours(_readable(path)):
        msg = (
            f"{beside.name} is there and belongs to something else; it would be written over. Give the mask "
            "another name"
        )
        raise UsageError(msg)


def _readable(path: Path) -> Mapping[str, object]:
    try:
        return read_sidecar(path)
    except ValueError:
        return {}


def _sidecar_path(path: Path) -> Path:
    return path.with_name(nifti_stem(path) + ".json")


def require_mask_target(path: Path, *, inputs: Iterable[Path | None] = ()) -> None:
    """Raise unless `save_mask` can write a mask under this name; called before the work is done.

    Raises
    ------
    UsageError
        As `save_mask`; also if the place is a folder, an input, or cannot be written to.
    """
    require_nifti_name(path)
    require_target(path, inputs=inputs)
    require_free_sidecar(path)


def mask_bytes(mask: LesionMask) -> bytes:
    """Return what `save_mask` writes into a ``.nii.gz`` file."""
    return gzip_bytes(nifti_bytes(mask.data.view(np.uint8), mask.grid, dtype="uint8"))

"""Scans and masks: voxels that never travel without their grid and their identity."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from infarct_vol.errors import GridMismatchError, MaskError
from infarct_vol.geometry import SAME_GRID_MM, Grid

Modality = Literal["dwi", "adc", "b0", "flair", "t1w", "t2w", "unknown"]
MODALITY_LABELS: dict[str, str] = {
    "dwi": "DWI",
    "adc": "ADC",
    "b0": "b0",
    "flair": "FLAIR",
    "t1w": "T1w",
    "t2w": "T2w",
    "unknown": "scan",
}


@dataclass(frozen=True)
class Identity:
    """Whose image it is and where it came from; used in every message about it."""

    participant_id: str = ""
    session_id: str = ""
    visit: str = ""
    modality: Modality = "unknown"
    path: Path | None = None
    sha256: str = ""

    def __str__(self) -> str:
        label = MODALITY_LABELS[self.modality]
        named = [part for part in (self.participant_id, self.session_id) if part]
        if not named and self.path is not None:
            return self.path.name
        return " ".join([*named, label])

    @property
    def file_name(self) -> str:
        """Name of the file, or the kind of image where it has none, for messages about two images."""
        return self.path.name if self.path is not None else f"the {MODALITY_LABELS[self.modality]} image"


def _own(data: ArrayLike, dtype: type[np.generic], grid: Grid) -> NDArray[Any]:
    array = np.array(data, dtype=dtype, order="C", copy=None)
    if array.shape != grid.shape:
        msg = f"voxel array of shape {array.shape} does not fit a grid of shape {grid.shape}"
        raise GridMismatchError(msg)
    if array.flags.writeable:
        array = array.view()
        array.setflags(write=False)
    return array


# ---- labels ----------------------------------------------------------------------------------------------

_LABEL_ROUNDING = 1e-4
"""What single precision and a header's slope make of a label: 255 with slope 1/255 is 1 within 1e-7."""
_LARGEST_STEP_ROUNDING = 0.004
"""Half a step of a 0/1 mask stored as 8-bit integers is 1/510; a coarser one could hide a fraction."""
_SHOWN_LABELS = 5


def label_voxels(data: ArrayLike, *, label: int | None = None, step: float = 0.0) -> NDArray[np.bool_]:
    """Return which voxels of an array carry a label.

    Parameters
    ----------
    data
        Booleans, or numbers that are 0 and one label, a whole number from 1 on, within rounding.
    label
        The label to take where there are several. Default: the only one.
    step
        Distance of neighbouring values that the file could hold, where its integers were scaled; background
        and label may be off by half of it.

    Raises
    ------
    MaskError
        If values are not numbers, are negative or fractions, or there are several labels and none is named.
    """
    array = np.asarray(data)
    if array.dtype == np.bool_ and label in (None, 1):
        return array
    if array.dtype.kind not in "biuf":
        msg = f"is not a binary mask: its values are of type {array.dtype}; expected 0 and one label"
        raise MaskError(msg)
    if array.dtype.kind == "f":
        _require_numbers(array)
    rounding = max(_LABEL_ROUNDING, min(abs(step) / 2, _LARGEST_STEP_ROUNDING))
    values, counts = np.unique(array[(array > rounding) | (array < -rounding)], return_counts=True)
    found = _labels(values.astype(np.float64), counts, rounding)
    if label is None and len(found) > 1:
        msg = (
            f"is not a binary mask: it holds {len(found)} labels{_background(found, array.size)} "
            f"({_listed(found)}); export one label as 0/1, or name the one to take ('measure --label N')"
        )
        raise MaskError(msg)
    if label is not None and label not in found:
        msg = f"holds no label {label}; it holds {_listed(found) or 'none: every voxel is 0'}"
        raise MaskError(msg)
    wanted = label if label is not None else next(iter(found), 1)
    return np.asarray(np.abs(array - float(wanted)) <= _tolerance(wanted, rounding))


def _tolerance(value: float, rounding: float) -> float:
    # single precision keeps seven digits
    return rounding + 1e-6 * abs(value)


def _require_numbers(array: NDArray[Any]) -> None:
    bad = int(array.size - np.count_nonzero(np.isfinite(array)))
    if bad:
        msg = f"is not a binary mask: {bad} of its voxels are NaN or infinite; set the background to 0"
        raise MaskError(msg)


def _labels(values: NDArray[np.float64], counts: NDArray[np.intp], rounding: float) -> dict[int, int]:
    """Return the number of voxels of every label; ``values`` are those that are not 0."""
    if values.size and values[0] < 0:
        msg = (
            f"is not a binary mask: its lowest value is {values[0]:g} (in {int(counts[0])} voxels); expected "
            "0 for the background and one label; export one label as 0/1"
        )
        raise MaskError(msg)
    nearest = np.rint(values)
    off = np.abs(values - nearest) > rounding + 1e-6 * values
    if off.any():
        msg = (
            f"is not a binary mask: {int(counts[off].sum())} of its voxels hold fractions, from "
            f"{values[off].min():.6g} to {values[off].max():.6g}, as a map of probabilities does; "
            "threshold it, at 0.5 for example, and export one label as 0/1"
        )
        raise MaskError(msg)
    found: dict[int, int] = {}
    for value, count in zip(nearest, counts, strict=True):
        found[int(value)] = found.get(int(value), 0) + int(count)
    return found


def _listed(found: Mapping[int, int]) -> str:
    shown = [f"{value} in {count} voxels" for value, count in list(found.items())[:_SHOWN_LABELS]]
    return ", ".join([*shown, *(["..."] if len(found) > _SHOWN_LABELS else [])])


def _background(found: Mapping[int, int], size: int) -> str:
    return " and no voxel of 0" if sum(found.values()) == size else " besides 0"


def _own_mask(data: ArrayLike, grid: Grid) -> NDArray[Any]:
    """Return a mask's voxels; numbers that are no labels do not pass for a lesion."""
    try:
        return _own(label_voxels(data), np.bool_, grid)
    except MaskError as error:
        msg = f"the array given as a mask {error.message}"
        raise MaskError(msg) from None


# ---- scans and masks -------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Scan:
    """One three-dimensional image.

    Parameters
    ----------
    data
        (I, J, K) float32 intensities; ADC maps in 1e-6 mm2/s once their unit is settled. Read-only.
    grid
        Voxel grid in scanner RAS+ mm.
    identity
        Participant, session, modality, file and its SHA-256.
    sidecar
        Fields of the BIDS JSON beside the file.
    remarks
        Things noticed about the image that a reader should know (unit factors, unknown units ...).
    """

    data: NDArray[np.float32]
    grid: Grid
    identity: Identity = field(default_factory=Identity)
    sidecar: Mapping[str, object] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "data", _own(self.data, np.float32, self.grid))

    @property
    def modality(self) -> Modality:
        """Kind of image, such as ``"flair"``."""
        return self.identity.modality

    def with_data(self, data: ArrayLike, *, remark: str = "") -> Scan:
        """Return the same scan with other intensities on the same grid."""
        remarks = (*self.remarks, remark) if remark else self.remarks
        return replace(self, data=np.asarray(data, dtype=np.float32), remarks=remarks)


@dataclass(frozen=True, eq=False)
class BrainMask:
    """The brain of one scan: (I, J, K) bool on the scan's grid."""

    data: NDArray[np.bool_]
    grid: Grid
    method: str = ""
    remarks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "data", _own_mask(self.data, self.grid))

    @property
    def volume_ml(self) -> float:
        """Brain volume in mL."""
        return int(np.count_nonzero(self.data)) * self.grid.voxel_volume_ml


@dataclass(frozen=True, eq=False)
class LesionMask:
    """A lesion on the native grid of the image it was drawn on.

    Parameters
    ----------
    data
        (I, J, K) bool, or 0 and one label. Read-only.
    grid
        Native voxel grid in scanner RAS+ mm.
    identity
        The image the mask belongs to.
    method
        Name and version of the method, or the source of a mask made elsewhere.
    flags
        Sentences for the reader who reviews the mask.
    evidence
        Numbers behind the mask (thresholds, counts, ``volume_ml_low`` and ``volume_ml_high``).
    parts
        Named sub-masks on the same grid, such as ``cavity``, ``rim`` and ``new_lesion``.

    Raises
    ------
    MaskError
        If the values are no label, see `label_voxels`.
    GridMismatchError
        If the array does not fit the grid.
    """

    data: NDArray[np.bool_]
    grid: Grid
    identity: Identity = field(default_factory=Identity)
    method: str = ""
    flags: tuple[str, ...] = ()
    evidence: Mapping[str, float] = field(default_factory=dict)
    parts: Mapping[str, LesionMask] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "data", _own_mask(self.data, self.grid))

    @property
    def voxel_count(self) -> int:
        """Number of voxels in the mask."""
        return int(np.count_nonzero(self.data))

    @property
    def volume_ml(self) -> float:
        """Volume in mL: voxels times ``|det(affine[:3, :3])|`` of the native grid."""
        return self.voxel_count * self.grid.voxel_volume_ml

    @property
    def voxel_sha256(self) -> str:
        """SHA-256 of shape and voxels, whatever file they are in."""
        packed = np.packbits(np.ascontiguousarray(self.data))
        return hashlib.sha256(repr(self.data.shape).encode() + packed.tobytes()).hexdigest()

    def with_data(self, data: ArrayLike) -> LesionMask:
        """Return a mask of the same image with other voxels; what was known about the old ones is dropped."""
        return replace(self, data=label_voxels(data), evidence={}, parts={})


def require_same_grid(
    first: Scan | LesionMask | BrainMask, second: Scan | LesionMask | BrainMask, *, what: str
) -> None:
    """Raise unless two images share one voxel grid, within what a header loses by rounding.

    Raises
    ------
    GridMismatchError
        With both grids and their difference in the message.
    """
    if not first.grid.matches(second.grid):
        msg = (
            f"{what} must share one voxel grid, got {first.grid.describe()} and {second.grid.describe()}: "
            f"{first.grid.difference(second.grid)}"
        )
        raise GridMismatchError(msg)


def mask_on(
    mask: LesionMask,
    grid: Grid,
    *,
    name: str = "the mask",
    image: str = "its image",
    limit_mm: float = SAME_GRID_MM,
    where: str = "",
) -> LesionMask:
    """Return a mask on the grid of the image it belongs to; its volume is then that of the image's voxels.

    Parameters
    ----------
    mask
        The mask as it was read.
    grid
        Grid of the image. Nothing is resampled: only what a header loses by rounding is overlooked.
    name, image
        What both are called in the message.
    limit_mm
        See `Grid.matches`.
    where
        Whose image it is.

    Raises
    ------
    GridMismatchError
        With both grids, their difference and the remedy.
    """
    if not mask.grid.matches(grid, limit_mm=limit_mm):
        msg = (
            f"{name} has {mask.grid.describe()}, {image} has {grid.describe()}: "
            f"{mask.grid.difference(grid, limit_mm=limit_mm)}; save the mask on the grid of the image "
            "(3D Slicer: with the image as reference volume)"
        )
        raise GridMismatchError(msg, where=where)
    return replace(mask, grid=grid)

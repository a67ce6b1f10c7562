"""Scans and masks: voxels that never travel without their grid and their identity."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from infarct_vol.errors import GridMismatchError
from infarct_vol.geometry import Grid

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
        object.__setattr__(self, "data", _own(self.data, np.bool_, self.grid))

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
        (I, J, K) bool. Read-only.
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
    """

    data: NDArray[np.bool_]
    grid: Grid
    identity: Identity = field(default_factory=Identity)
    method: str = ""
    flags: tuple[str, ...] = ()
    evidence: Mapping[str, float] = field(default_factory=dict)
    parts: Mapping[str, LesionMask] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "data", _own(self.data, np.bool_, self.grid))

    @property
    def voxel_count(self) -> int:
        """Number of voxels in the mask."""
        return int(np.count_nonzero(self.data))

    @property
    def volume_ml(self) -> float:
        """Volume in mL: voxels times ``|det(affine[:3, :3])|`` of the native grid."""
        return self.voxel_count * self.grid.voxel_volume_ml

    def with_data(self, data: ArrayLike) -> LesionMask:
        """Return a mask of the same image with other voxels; what was known about the old ones is dropped."""
        return replace(self, data=np.asarray(data, dtype=np.bool_), evidence={}, parts={})


def require_same_grid(
    first: Scan | LesionMask | BrainMask, second: Scan | LesionMask | BrainMask, *, what: str
) -> None:
    """Raise unless two images share one voxel grid.

    Raises
    ------
    GridMismatchError
        With both grids in the message.
    """
    if not first.grid.is_same_as(second.grid):
        msg = f"{what} must share one voxel grid, got {first.grid.describe()} and {second.grid.describe()}"
        raise GridMismatchError(msg)

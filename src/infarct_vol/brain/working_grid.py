"""A coarse, nearly isotropic copy of a scan in one fixed voxel order, and the way back.

Brain extraction asks about millimetres, not voxels: thin pixels are averaged and thick slices interpolated
to one spacing. Axes are first brought to the order closest to right-anterior-superior, so that the same
anatomy gives the same answer, bit by bit, however its voxels are stored.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from infarct_vol.geometry import Grid

Kind = TypeVar("Kind", bound=np.generic)


@dataclass(frozen=True, eq=False)
class WorkingGrid:
    """How the working copy relates to the native voxels.

    Parameters
    ----------
    order
        Native axis that runs closest to right, to anterior and to superior.
    reversed_axes
        Which of those run the other way (left, posterior, inferior).
    native_shape
        Shape in the fixed voxel order.
    averaged, split
        Per axis: native voxels averaged into one, and pieces each was then interpolated into.
    spacing_mm
        (3,) spacing of the working grid.
    """

    order: tuple[int, int, int]
    reversed_axes: tuple[bool, bool, bool]
    native_shape: tuple[int, int, int]
    averaged: tuple[int, int, int]
    split: tuple[int, int, int]
    spacing_mm: NDArray[np.float64]

    @classmethod
    def of(cls, grid: Grid, *, target_mm: float) -> WorkingGrid:
        """Choose the working grid of about ``target_mm`` for a native grid."""
        codes = grid.axis_codes
        order = [next(a for a in range(3) if codes[a] in pair) for pair in ("RL", "AP", "SI")]
        spacing = [float(grid.spacing_mm[axis]) for axis in order]
        shape = [grid.shape[axis] for axis in order]
        averaged = [max(1, round(target_mm / s)) for s in spacing]
        split = [max(1, round(s / target_mm)) for s in spacing]
        return cls(
            order=(order[0], order[1], order[2]),
            reversed_axes=(codes[order[0]] == "L", codes[order[1]] == "P", codes[order[2]] == "I"),
            native_shape=(shape[0], shape[1], shape[2]),
            averaged=(averaged[0], averaged[1], averaged[2]),
            split=(split[0], split[1], split[2]),
            spacing_mm=np.array([s * a / u for s, a, u in zip(spacing, averaged, split, strict=True)]),
        )

    def ordered(self, native: NDArray[Kind]) -> NDArray[Kind]:
        """Return a native array in the fixed voxel order."""
        return np.ascontiguousarray(np.transpose(native, self.order)[self._flips()])

    def restored(self, ordered: NDArray[Kind]) -> NDArray[Kind]:
        """Undo `ordered`."""
        back = np.argsort(self.order)
        return np.ascontiguousarray(np.transpose(ordered[self._flips()], back))

    def _flips(self) -> tuple[slice, ...]:
        return tuple(slice(None, None, -1 if flip else 1) for flip in self.reversed_axes)

    def reduced(self, ordered: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the working copy of an array in the fixed voxel order."""
        padding = [(0, -n % a) for n, a in zip(self.native_shape, self.averaged, strict=True)]
        volume = np.pad(ordered, padding, mode="edge") if any(p for _, p in padding) else ordered
        for axis, factor in enumerate(self.averaged):
            if factor > 1:
                shape = (*volume.shape[:axis], -1, factor, *volume.shape[axis + 1 :])
                volume = volume.reshape(shape).mean(axis=axis + 1, dtype=np.float32)
        for axis, pieces in enumerate(self.split):
            if pieces > 1:
                positions = (np.arange(volume.shape[axis] * pieces) + 0.5) / pieces - 0.5
                volume = _interpolated(volume, positions, axis=axis)
        return np.asarray(volume, dtype=np.float32)

    def enlarged(self, working: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return a working array at the native voxel centres, in the fixed voxel order."""
        volume = working
        for axis, count in enumerate(self.native_shape):
            scale = self.split[axis] / self.averaged[axis]
            positions = (np.arange(count) + 0.5) * scale - 0.5
            volume = _interpolated(volume, positions, axis=axis)
        return volume


def _interpolated(
    volume: NDArray[np.float32], positions: NDArray[np.floating], *, axis: int
) -> NDArray[np.float32]:
    """Interpolate linearly along one axis; positions beyond the ends take the end value."""
    last = volume.shape[axis] - 1
    positions = np.clip(positions, 0, last)
    lower = np.minimum(positions.astype(np.intp), max(last - 1, 0))
    shape = [1] * volume.ndim
    shape[axis] = -1
    weight = (positions - lower).astype(np.float32).reshape(shape)
    if not weight.any():
        return np.take(volume, lower, axis=axis)
    below = np.take(volume, lower, axis=axis)
    rise: NDArray[np.float32] = np.take(volume, np.minimum(lower + 1, last), axis=axis)
    rise -= below
    rise *= weight
    rise += below
    return rise

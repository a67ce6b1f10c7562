"""Voxel grids: where voxels are and how large they are, apart from what is in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import ArrayLike, NDArray

from infarct_vol.errors import HeaderError

MM3_PER_ML = 1000.0
SAME_GRID_MM = 0.5
"""Largest distance in mm of a voxel from its twin on what counts as one grid: a header in single precision
moves corners by about 0.2 mm. Where voxels are small, a quarter of the smallest edge is the limit."""
_SAME_GRID_SHARE = 0.25


@dataclass(frozen=True)
class AxisOrder:
    """The order and direction of array axes closest to Right, Anterior, Superior.

    Parameters
    ----------
    order
        Source axis of each canonical axis.
    flip
        Whether the canonical axis runs against its source axis.
    """

    order: tuple[int, int, int]
    flip: tuple[bool, bool, bool]

    @classmethod
    def of(cls, grid: Grid) -> AxisOrder:
        """Return the order of a grid's axes."""
        codes = nib.io_orientation(grid.affine)
        i, j, k = (int(np.flatnonzero(codes[:, 0] == axis)[0]) for axis in range(3))
        return cls((i, j, k), tuple(bool(codes[axis, 1] < 0) for axis in (i, j, k)))  # type: ignore[arg-type]

    def canonical(self, data: NDArray[Any]) -> NDArray[Any]:
        """Return a view of a native (I, J, K) array with its axes to the right, to the front and up."""
        return np.transpose(data, self.order)[self._steps]

    def native(self, data: NDArray[Any]) -> NDArray[Any]:
        """Return a view of a canonical array with its axes as in the file; undoes `canonical`."""
        inverse = tuple(self.order.index(axis) for axis in range(3))
        return np.transpose(data[self._steps], inverse)

    @property
    def _steps(self) -> tuple[slice, ...]:
        return tuple(slice(None, None, -1 if flip else 1) for flip in self.flip)


@dataclass(frozen=True, eq=False)
class Grid:
    """A regular three-dimensional voxel grid in scanner space.

    Parameters
    ----------
    shape
        Number of voxels along the three array axes.
    affine
        (4, 4) matrix from voxel index (i, j, k) to scanner RAS+ millimetres, as in nibabel.

    Raises
    ------
    HeaderError
        If the shape is not three positive numbers, or the affine is not finite and invertible.
    """

    shape: tuple[int, int, int]
    affine: NDArray[np.float64]

    def __post_init__(self) -> None:
        shape = tuple(int(n) for n in self.shape)
        affine = np.array(self.affine, dtype=np.float64)
        if len(shape) != 3 or min(shape) < 1:
            msg = f"a grid needs three positive dimensions, got {shape}"
            raise HeaderError(msg)
        if affine.shape != (4, 4) or not np.isfinite(affine).all():
            msg = "the affine is not a finite 4x4 matrix; repair the header with the scanner's export"
            raise HeaderError(msg)
        if abs(np.linalg.det(affine[:3, :3])) < 1e-9:
            msg = "the affine is singular: voxels have no volume; repair the header with the scanner's export"
            raise HeaderError(msg)
        affine.setflags(write=False)
        object.__setattr__(self, "shape", shape)
        object.__setattr__(self, "affine", affine)

    def __reduce__(self) -> tuple[Any, ...]:
        # rebuilding through the constructor keeps the affine read-only after unpickling
        return (Grid, (self.shape, np.array(self.affine)))

    @property
    def spacing_mm(self) -> NDArray[np.float64]:
        """(3,) distance between neighbouring voxel centres along each array axis, in mm."""
        return np.asarray(np.linalg.norm(self.affine[:3, :3], axis=0))

    @property
    def voxel_volume_mm3(self) -> float:
        """Volume of one voxel in mm3, ``|det(affine[:3, :3])|``."""
        # exact on axis-aligned grids, where a general determinant gives 4.999999999999999
        first, second, third = self.affine[:3, :3].T
        return float(abs(first @ np.cross(second, third)))

    @property
    def voxel_volume_ml(self) -> float:
        """Volume of one voxel in mL."""
        return self.voxel_volume_mm3 / MM3_PER_ML

    @property
    def middle_mm(self) -> NDArray[np.float64]:
        """(3,) middle of the grid, in scanner RAS+ mm."""
        return self.to_world((np.array(self.shape) - 1) / 2)

    @property
    def axis_codes(self) -> str:
        """Closest anatomical direction of each array axis, such as ``"LPS"``."""
        return "".join(nib.aff2axcodes(self.affine))

    @property
    def slice_axis(self) -> int:
        """Array axis with the largest spacing; the last one among equals (5 % tolerance)."""
        spacing = self.spacing_mm
        return int(max(axis for axis in range(3) if spacing[axis] >= 0.95 * spacing.max()))

    def is_same_as(self, other: Grid, *, tol_mm: float = 1e-3) -> bool:
        """Tell whether both grids have one shape and every voxel within ``tol_mm`` of its twin."""
        if self.shape != other.shape:
            return False
        corners = self._corners()
        return bool(np.abs(self.to_world(corners) - other.to_world(corners)).max() <= tol_mm)

    def matches(self, other: Grid, *, limit_mm: float = SAME_GRID_MM) -> bool:
        """Tell whether two headers mean one grid: the one rule for masks and the images they belong to.

        Parameters
        ----------
        other
            The other grid.
        limit_mm
            Largest distance of a voxel from its twin in mm; a quarter of the smallest voxel edge at most.
        """
        return self.is_same_as(other, tol_mm=self._rounding_mm(other, limit_mm))

    def difference(self, other: Grid, *, limit_mm: float = SAME_GRID_MM) -> str:
        """One line for messages: in what two grids differ, and how far apart their corners are."""
        parts = []
        if self.shape != other.shape:
            parts.append(f"shape {_times(self.shape)} against {_times(other.shape)}")
        if np.abs(self.spacing_mm / other.spacing_mm - 1).max() > 1e-3:
            spacings = (_times([f"{s:.4g}" for s in grid.spacing_mm]) for grid in (self, other))
            parts.append(" against ".join(spacings) + " mm voxels")
        if self.axis_codes != other.axis_codes:
            parts.append(f"axes {self.axis_codes} against {other.axis_codes}")
        elif (degrees := self._turned_degrees(other)) > 0.01:
            parts.append(f"axes turned by {degrees:.2g} degrees")
        moved_mm = float(np.linalg.norm(self.affine[:3, 3] - other.affine[:3, 3]))
        if moved_mm > 1e-3:
            parts.append(f"first voxel {moved_mm:.3g} mm away")
        if self.shape == other.shape:
            corners = self._corners()
            apart_mm = np.linalg.norm(self.to_world(corners) - other.to_world(corners), axis=1).max()
            allowed_mm = self._rounding_mm(other, limit_mm)
            parts.append(f"corners up to {apart_mm:.3g} mm apart (at most {allowed_mm:.3g} mm is rounding)")
        return "; ".join(parts)

    def _rounding_mm(self, other: Grid, limit_mm: float) -> float:
        smallest_mm = min(float(self.spacing_mm.min()), float(other.spacing_mm.min()))
        return min(limit_mm, _SAME_GRID_SHARE * smallest_mm)

    def _turned_degrees(self, other: Grid) -> float:
        """Return the largest angle between array axes of the same number, in degrees."""
        mine, theirs = self.affine[:3, :3] / self.spacing_mm, other.affine[:3, :3] / other.spacing_mm
        # by the chord: a cosine near 1 loses small angles
        chord = np.linalg.norm(mine - theirs, axis=0).max()
        return float(np.degrees(2 * np.arcsin(min(1.0, chord / 2))))

    def _corners(self) -> NDArray[np.float64]:
        i, j, k = (n - 1 for n in self.shape)
        return np.array([[a, b, c] for a in (0, i) for b in (0, j) for c in (0, k)], dtype=np.float64)

    def to_world(self, ijk: ArrayLike) -> NDArray[np.float64]:
        """Map (..., 3) voxel indices to scanner RAS+ mm."""
        return np.asarray(np.asarray(ijk, dtype=np.float64) @ self.affine[:3, :3].T + self.affine[:3, 3])

    def to_index(self, xyz: ArrayLike) -> NDArray[np.float64]:
        """Map (..., 3) points in scanner RAS+ mm to continuous voxel indices."""
        inverse = np.linalg.inv(self.affine)
        return np.asarray(np.asarray(xyz, dtype=np.float64) @ inverse[:3, :3].T + inverse[:3, 3])

    def crop(self, slices: Sequence[slice]) -> Grid:
        """Return the grid of ``array[slices]``; slices must have step 1 and stated limits."""
        start = [int(s.start or 0) for s in slices]
        stop = [int(s.stop if s.stop is not None else n) for s, n in zip(slices, self.shape, strict=True)]
        affine = np.array(self.affine)
        affine[:3, 3] = self.to_world(start)
        shape = (stop[0] - start[0], stop[1] - start[1], stop[2] - start[2])
        return Grid(shape, affine)

    def describe(self) -> str:
        """One line for messages: shape, spacing, orientation and origin."""
        spacing = "x".join(f"{s:.4g}" for s in self.spacing_mm)
        origin = ", ".join(f"{x:.2f}" for x in self.affine[:3, 3])
        return f"{_times(self.shape)} voxels of {spacing} mm, {self.axis_codes}, origin ({origin}) mm"


def _times(values: Sequence[object]) -> str:
    return "x".join(str(value) for value in values)

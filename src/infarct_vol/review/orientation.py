"""A scan as the page shows it: axes permuted and flipped to the right, to the front and up; no resampling."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infarct_vol.geometry import AxisOrder, Grid


@dataclass(frozen=True, eq=False)
class Display:
    """How a native array is turned to be shown, and back.

    Parameters
    ----------
    axes
        Order and direction of the axes shown.
    grid
        Grid of the array as shown: every voxel stays where it is in scanner space.
    """

    axes: AxisOrder
    grid: Grid

    def shown(self, data: NDArray[Any]) -> NDArray[Any]:
        """Return a native (I, J, K) array as it is shown."""
        return np.ascontiguousarray(self.axes.canonical(data))

    def native(self, data: NDArray[Any]) -> NDArray[Any]:
        """Return a shown array as it lies in the file; undoes `shown` to the voxel."""
        return np.ascontiguousarray(self.axes.native(data))


def canonical(grid: Grid) -> Display:
    """Return how images of a grid are shown: array axes closest to Right, Anterior, Superior."""
    axes = AxisOrder.of(grid)
    affine = np.array(grid.affine)
    last = np.array(grid.shape) - 1
    start = np.zeros(3)
    for shown, (source, flip) in enumerate(zip(axes.order, axes.flip, strict=True)):
        affine[:3, shown] = grid.affine[:3, source] * (-1 if flip else 1)
        start[source] = last[source] if flip else 0
    affine[:3, 3] = grid.to_world(start)
    i, j, k = (grid.shape[axis] for axis in axes.order)
    return Display(axes, Grid((i, j, k), affine))

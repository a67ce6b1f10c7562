"""The same anatomy in the same array order, whatever the order and direction of the file's axes.

Sums of floating-point numbers depend on their order; working in one orientation makes a mask independent
of how a scanner or converter happened to store the volume.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from infarct_vol.geometry import MM3_PER_ML, AxisOrder, Grid
from infarct_vol.segmentation.cleanup import bounding_box

MARGIN_VOXELS = (2, 2, 2)
Value = TypeVar("Value", bound=np.generic)


@dataclass(frozen=True, eq=False)
class Frame:
    """A box of a scan with axes closest to Right, Anterior, Superior.

    Parameters
    ----------
    axes
        Order and direction of the canonical axes.
    box
        Slices of the working box in the canonical array.
    full_shape
        Shape of the whole canonical array.
    spacing_mm
        (3,) voxel spacing along canonical axes.
    """

    axes: AxisOrder
    box: tuple[slice, slice, slice]
    full_shape: tuple[int, int, int]
    spacing_mm: NDArray[np.float64]

    @property
    def voxel_volume_ml(self) -> float:
        """Voxel volume in mL from the spacing; independent of axis order to the last bit."""
        x, y, z = (float(s) for s in self.spacing_mm)
        return x * y * z / MM3_PER_ML

    def take(self, data: NDArray[Any]) -> NDArray[Any]:
        """Copy the working box of a native (I, J, K) array in canonical axis order."""
        return np.ascontiguousarray(self.axes.canonical(data)[self.box])

    def put_back(self, values: NDArray[Value], *, outside: float = 0) -> NDArray[Value]:
        """Return values of the working box as a native (I, J, K) array; ``outside`` fills the rest."""
        full = np.full(self.full_shape, outside, dtype=values.dtype)
        full[self.box] = values
        return np.ascontiguousarray(self.axes.native(full))


def canonical_frame(grid: Grid, brain: NDArray[np.bool_]) -> Frame:
    """Choose the canonical frame of a grid and the working box round its brain.

    Raises
    ------
    ValueError
        If the brain mask is empty.
    """
    axes = AxisOrder.of(grid)
    turned = axes.canonical(brain)
    shape = turned.shape
    return Frame(
        axes=axes,
        box=bounding_box(turned, margin=MARGIN_VOXELS),
        full_shape=(shape[0], shape[1], shape[2]),
        spacing_mm=grid.spacing_mm[list(axes.order)],
    )

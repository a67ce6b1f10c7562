"""What a rigid transform leaves: how alike the images are, and where the brain is still displaced.

Echo-planar images are stretched where the field is uneven, brains swell and shrink: no rigid transform
mends that. The displacement that remains is measured block by block, to be reported and allowed for.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from infarct_vol.registration.engine import Sides, directed, read
from infarct_vol.registration.motion import Matrix

_BLOCK_MM = 36.0
_LEAST_POINTS = 100
# a displacement along which a block shows no structure is not measured but taken as none
_PRIOR_MM = 4.0
_ROUNDS = 3


class LocalShifts(NamedTuple):
    """Displacements in mm that remain after a rigid fit: root mean square over the blocks, and largest."""

    typical: float
    largest: float


def local_shifts_mm(sides: Sides, matrix: Matrix) -> LocalShifts:
    """Measure the displacement that remains in blocks of 36 mm of the fixed brain.

    Every block is shifted by itself, by Gauss-Newton steps on the same residual as the rigid fit.
    """
    fixed, moving = sides
    blocks, counts = _blocks(fixed.level.points)
    shifts = np.zeros((len(counts), 3))
    for _ in range(_ROUNDS):
        system = directed(fixed, moving.level, matrix, shifts[blocks].T.astype(np.float32))
        curvature, slope = _summed(system.jacobian, system.information, system.residual, blocks, len(counts))
        # information is in units of the residual's variance: an unseen direction has the prior's
        curvature += np.eye(3) / _PRIOR_MM**2
        slope += shifts / _PRIOR_MM**2
        shifts -= np.linalg.solve(curvature, slope[..., None])[..., 0]
    found = np.linalg.norm(shifts[counts >= _LEAST_POINTS], axis=1)
    if not found.size:
        return LocalShifts(0.0, 0.0)
    return LocalShifts(float(np.sqrt(np.mean(found**2))), float(found.max()))


def _blocks(points: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the number of the block of every point, and points per block."""
    cell = np.floor(points / np.float32(_BLOCK_MM)).astype(np.int64)
    cell -= cell.min(axis=1, keepdims=True)
    extent = cell.max(axis=1) + 1
    flat = np.ravel_multi_index(tuple(cell), tuple(extent))
    _, block, counts = np.unique(flat, return_inverse=True, return_counts=True)
    return block.astype(np.int64), counts.astype(np.int64)


def _summed(
    jacobian: NDArray[np.float32],
    information: NDArray[np.float32],
    residual: NDArray[np.float32],
    blocks: NDArray[np.int64],
    count: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the normal equations of every block: (B, 3, 3) and (B, 3)."""
    curvature, slope = np.zeros((count, 3, 3)), np.zeros((count, 3))
    for i in range(3):
        weighted = jacobian[i] * information
        slope[:, i] = np.bincount(blocks, weighted * residual, count)
        for j in range(i + 1):
            curvature[:, i, j] = curvature[:, j, i] = np.bincount(blocks, weighted * jacobian[j], count)
    return curvature, slope


def correlation(sides: Sides, matrix: Matrix) -> float:
    """Pearson correlation of the intensities of both scans where they overlap; -1 to 1."""
    fixed, moving = sides
    found = read(fixed, moving.level, matrix[None], gradient=False)
    first, second = fixed.level.intensities[found.inside], found.values[found.inside]
    if first.size < 2 or not (first.std() > 0 and second.std() > 0):
        return 0.0
    return float(np.corrcoef(first, second)[0, 1])

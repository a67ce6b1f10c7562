"""What coil shading does to the partner's values, removed before the two images are compared.

Each scan's own shading is flattened by itself. What remains of it differs between visits, is slow, and
pulls a fit by a tenth of a voxel; so once the scans are nearly aligned, the remaining slow factor between
them is fitted too (differential bias correction, Lewis and Fox 2004).
"""

from __future__ import annotations

from itertools import product

import numpy as np
from numpy.typing import NDArray

from infarct_vol.registration.engine import TUKEY, Side, Sides, bisquare, read
from infarct_vol.registration.motion import Matrix, inverted
from infarct_vol.registration.pyramid import Level

_DEGREE = 3
_POINTS = 8192
_KNOTS = 48
_ROUNDS = 4
_SD_OVER_MEDIAN = 1.4826
_HALF_HEAD_MM = 80.0
_RIDGE = 1e-4
_LARGEST_FACTOR = 2.0


def flattened_sides(fixed: Level, moving: Level, matrix: Matrix, *, knots: int) -> Sides:
    """Return both sides with the gain that makes their partner's values comparable.

    Parameters
    ----------
    fixed, moving
        One level of both scans.
    matrix
        (4, 4) points of fixed -> points of moving, within a few mm.
    knots
        Intensity knots of the sides.
    """
    return (
        Side(fixed, knots, _gain(fixed, moving, matrix)),
        Side(moving, knots, _gain(moving, fixed, inverted(matrix))),
    )


def _gain(level: Level, other: Level, matrix: Matrix) -> NDArray[np.float32] | None:
    """(N,) factors for the values of ``other`` read at the points of ``level``."""
    if other.shading is None:
        return None
    own = np.reciprocal(other.shading.at(level.points, through=matrix))
    few = Side(level.thinned(_POINTS), _KNOTS, own[level.evenly(_POINTS)])
    coefficients = _differential(few, other, matrix)
    return np.asarray(own / coil_factor(coefficients, polynomial(level.points)))


def coil_factor(coefficients: NDArray[np.float32], slow: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the (N,) factor at points of (19, N) monomials, within what coils do.

    A fit to scans with blank slices passes through zero.
    """
    return np.asarray(np.clip(1 + coefficients @ slow, 1 / _LARGEST_FACTOR, _LARGEST_FACTOR))


def _differential(side: Side, other: Level, matrix: Matrix) -> NDArray[np.float32]:
    """Fit the slow factor between values read and values expected: 1 + polynomial of position."""
    found = read(side, other, matrix[None], gradient=False)
    slow = polynomial(side.level.points)
    read_values, is_inside = found.values[0], found.inside[0]
    inside = is_inside.astype(np.float32)
    weights, coefficients = inside, np.zeros(len(slow), dtype=np.float32)
    for _ in range(_ROUNDS):
        values = read_values / coil_factor(coefficients, slow)
        expected = side.knots.expected(weights[None], values[None])[0]
        residual = values - expected
        spread = _SD_OVER_MEDIAN * float(np.median(np.abs(residual[is_inside]))) if inside.any() else 1.0
        ratio = residual / np.float32(TUKEY * max(spread, 1e-6))
        weights = bisquare(ratio) * inside
        columns = slow * expected
        weighted = columns * weights
        system = (weighted @ columns.T).astype(np.float64)
        system[np.diag_indices_from(system)] *= 1 + _RIDGE
        system += 1e-9 * max(float(np.trace(system)), 1e-9) * np.eye(len(system))
        slope = (weighted @ (read_values - expected)).astype(np.float64)
        coefficients = np.linalg.solve(system, slope).astype(np.float32)
    return coefficients


def polynomial(points: NDArray[np.float32]) -> NDArray[np.float32]:
    """(19, N) monomials of position up to the third degree, without the constant."""
    powers = [(p := points / np.float32(_HALF_HEAD_MM)) * 0 + 1, p, p * p, p * p * p]
    degrees = [d for d in product(range(_DEGREE + 1), repeat=3) if 0 < sum(d) <= _DEGREE]
    return np.stack([powers[i][0] * powers[j][1] * powers[k][2] for i, j, k in degrees])

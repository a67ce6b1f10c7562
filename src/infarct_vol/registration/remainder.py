"""What a rigid transform leaves: how alike the images are, and where the brain is still displaced.

Echo-planar images are stretched where the field is uneven, brains swell and shrink: no rigid transform
mends that. The displacement that remains is measured as a smooth field, to be reported and allowed for.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from infarct_vol.registration.acceleration import Accelerator
from infarct_vol.registration.coarse import share_below
from infarct_vol.registration.engine import Directed, Sides, directed, read
from infarct_vol.registration.motion import Matrix
from infarct_vol.registration.shading import polynomial

# displacements are taken to be of this size where the images do not tell
_PRIOR_MM = 3.0
_ROUNDS = 5
_SHARE = 0.1
_HIGH = 0.95


class Remainder(NamedTuple):
    """Displacement in mm that remains over the brain after a rigid fit: root mean square, 95th percentile."""

    typical: float
    high: float


def remaining_displacement(sides: Sides, matrix: Matrix) -> Remainder:
    """Fit what remains after a rigid transform by a displacement that is cubic in position.

    Gauss-Newton steps on the residual of the rigid fit, fixed points only. The field is fitted twice,
    with either half of the points: in the product of both fields the noise of either drops out.
    """
    fixed, moving = sides
    points = fixed.level.points
    basis = np.concatenate((np.ones((1, points.shape[1]), np.float32), polynomial(points)))
    half = np.arange(points.shape[1]) % 2 == 0
    fits = [_fitted(sides, matrix, basis, used) for used in (half, ~half)]
    # where the scans show nothing of each other, the field is a guess
    seen = fits[0].seen & fits[1].seen
    if not seen.any():
        return Remainder(0.0, 0.0)
    squared = (fits[0].field * fits[1].field).sum(axis=0, dtype=np.float64)[seen]
    typical, high = float(squared.mean()), share_below(squared, _HIGH)
    return Remainder(max(typical, 0.0) ** 0.5, max(high, 0.0) ** 0.5)


class _Fit(NamedTuple):
    """(3, N) displacement at all points, (N,) whether the scans agree enough there to tell."""

    field: NDArray[np.float32]
    seen: NDArray[np.bool_]


def _fitted(sides: Sides, matrix: Matrix, basis: NDArray[np.float32], used: NDArray[np.bool_]) -> _Fit:
    """Fit the displacement to the points used."""
    terms, count = basis.shape
    field = np.zeros((3, terms))
    accelerator = Accelerator(np.full(3 * terms, _SHARE))
    shifts, seen = np.zeros((3, count), dtype=np.float32), np.ones(count, dtype=bool)
    basis_used = basis[:, used]
    for _ in range(_ROUNDS):
        system = directed(sides[0], sides[1].level, matrix, shifts)
        seen = system.information > 0
        curvature, slope = _normal(system, basis_used, used)
        curvature += np.eye(3 * terms) / _PRIOR_MM**2
        slope += field.ravel() / _PRIOR_MM**2
        step = -np.linalg.solve(curvature, slope)
        field += accelerator.improved(np.asarray(step, dtype=np.float64)).reshape(3, terms)
        shifts = np.asarray(field.astype(np.float32) @ basis)
    return _Fit(shifts, seen)


def _normal(
    system: Directed, basis_used: NDArray[np.float32], used: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    root = np.sqrt(system.information[used])
    columns = np.concatenate([(root * row[used]) * basis_used for row in system.jacobian])
    curvature = (columns @ columns.T).astype(np.float64)
    return curvature, (columns @ (root * system.residual[used])).astype(np.float64)


def correlation(sides: Sides, matrix: Matrix) -> float:
    """Pearson correlation of the intensities of both scans where they overlap; -1 to 1."""
    fixed, moving = sides
    found = read(fixed, moving.level, matrix[None], gradient=False)
    inside = found.inside[0]
    first, second = fixed.level.intensities[inside], found.values[0][inside]
    if first.size < 2 or not (first.std() > 0 and second.std() > 0):
        return 0.0
    return float(np.corrcoef(first, second)[0, 1])

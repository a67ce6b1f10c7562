"""Rigid alignment by what one image predicts of the other.

At points of one image its partner is read through the transform. For every intensity of the first the
partner's expected intensity is learned from the points themselves (a conditional mean, piecewise linear
over intensity knots, with its own spread at every knot); what is left is the residual that a
Gauss-Newton step makes smaller. One rule serves equal and different contrasts: nothing but "equal here,
equal there" is assumed (the correlation ratio of Roche 1998, made robust). Tukey weights let changed
tissue fall out. Both directions count alike, so that exchanging the scans inverts the answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.linalg import expm, solveh_banded

from infarct_vol.registration.pyramid import Level
from infarct_vol.registration.sampling import sample
from infarct_vol.registration.transform import orthonormal

Matrix = NDArray[np.float64]
# Tukey's constant for 95 % efficiency under normal noise
_TUKEY = 4.685
# standard deviation over mean absolute deviation of a normal distribution
_SD_OVER_MAD = 1.2533
_SPREAD_FLOOR = 0.25
_PRIOR_POINTS = 20.0
_LEAST_INSIDE = 200
_LONGEST_STEP_MM = 15.0
# reweighting alone makes steps too short by about a third
_RELAXATION = 1.4


class Knots:
    """Linear hat functions over the intensities of N points, at knots of equal population.

    A function of intensity is a line between each two neighbouring knots: every point has a share in the
    knot below it and the rest in the knot above.
    """

    def __init__(self, intensities: NDArray[np.float32], *, knots: int) -> None:
        places = np.unique(np.quantile(intensities, np.linspace(0.0, 1.0, knots)))
        if places.size < 2:
            places = np.array([places[0], places[0] + 1.0])
        low = np.clip(np.searchsorted(places, intensities, side="right") - 1, 0, places.size - 2)
        above = ((intensities - places[low]) / (places[low + 1] - places[low])).astype(np.float32)
        self.count = int(places.size)
        self._low, self._below, self._above = low, np.float32(1.0) - above, above
        columns = np.stack((low, low + 1), axis=1).ravel()
        shares = np.stack((self._below, above), axis=1).ravel()
        rows = np.arange(0, columns.size + 1, 2)
        self._spread = sp.csr_array((shares, columns, rows), shape=(intensities.size, self.count))
        self._gather = self._spread.T

    def totals(self, values: NDArray[np.float32]) -> NDArray[np.float64]:
        """Sum (N,) or (N, C) values into the knots by their shares."""
        return np.asarray(self._gather @ values, dtype=np.float64)

    def at_points(self, coefficients: NDArray[np.float64]) -> NDArray[np.float32]:
        """Evaluate knot values (K,) or (K, C) at the points."""
        return np.asarray(self._spread @ coefficients.astype(np.float32))

    def expected(self, weights: NDArray[np.float32], targets: NDArray[np.float32]) -> NDArray[np.float32]:
        """Weighted least-squares fit of (N, C) targets by a function of intensity, at the points."""
        below, beside = weights * self._below, weights * self._above
        first, second = below * self._below, beside * self._above
        size = self.count
        diagonal = np.bincount(self._low, first, size) + np.bincount(self._low + 1, second, size)
        off = np.bincount(self._low, below * self._above, size)
        # a knot without points is tied to zero instead of making the system singular
        bands = np.zeros((2, size))
        bands[0, 1:], bands[1] = off[:-1], diagonal + 1e-6 * max(float(diagonal.mean()), 1e-12)
        return self.at_points(solveh_banded(bands, self.totals(weights[:, None] * targets)))


@dataclass(frozen=True)
class Side:
    """One image at one resolution with the intensity knots of its points."""

    level: Level
    knots: Knots

    @classmethod
    def of(cls, level: Level, *, knots: int, count: int | None = None) -> Side:
        """Place knots at equal numbers of points; ``count`` thins the points evenly."""
        if count is not None and len(level.points) > count:
            keep = np.linspace(0, len(level.points) - 1, count).astype(np.int64)
            level = Level(level.values, level.affine, level.points[keep], level.intensities[keep])
        return cls(level, Knots(level.intensities, knots=knots))


Sides = tuple[Side, Side]


class Normal(NamedTuple):
    """Normal equations of one direction: curvature (6, 6), slope (6,), weights to carry over (N,)."""

    curvature: Matrix
    slope: NDArray[np.float64]
    weights: NDArray[np.float32]


class Refined(NamedTuple):
    """A transform after refinement, whether it converged, and how many steps it took."""

    matrix: Matrix
    converged: bool
    steps: int


def _spread(knots: Knots, weights: NDArray[np.float32], residual: NDArray[np.float32]) -> NDArray[np.float32]:
    """Spread of the residual at every point, learned per knot from mean absolute deviations."""
    mass = knots.totals(weights)
    size = knots.totals(weights * np.abs(residual))
    overall = float(size.sum()) / max(float(mass.sum()), 1e-12)
    # knots with few points borrow from all points
    deviation = (size + _PRIOR_POINTS * overall) / (mass + _PRIOR_POINTS)
    floor = max(_SPREAD_FLOOR * overall, 1e-6)
    return knots.at_points(_SD_OVER_MAD * np.maximum(deviation, floor))


def normal_equations(
    side: Side,
    other: Level,
    matrix: Matrix,
    *,
    weights: NDArray[np.float32] | None,
    keep: NDArray[np.bool_] | None = None,
) -> Normal:
    """Linearise one direction about a transform.

    Parameters
    ----------
    side
        The image whose points are used.
    other
        The image read at ``matrix @ point``.
    matrix
        (4, 4) points of ``side`` -> points of ``other``, RAS+ mm.
    weights
        (N,) robust weights of the previous step; ``None`` to begin.
    keep
        (N,) points to use; all by default.

    Returns
    -------
    Normal
        For a small motion (shift, rotation about the origin of ``other``'s world) applied after
        ``matrix``.
    """
    points = side.level.points @ matrix[:3, :3].T + matrix[:3, 3]
    found = sample(other.values, other.affine, points)
    used = found.inside if keep is None else found.inside & keep
    if np.count_nonzero(used) < _LEAST_INSIDE:
        return Normal(np.zeros((6, 6)), np.zeros(6), used.astype(np.float32))
    weights = used.astype(np.float32) if weights is None else weights * used
    residual = found.values - side.knots.expected(weights, found.values[:, None])[:, 0]
    spread = _spread(side.knots, weights, residual)
    ratio = residual / (np.float32(_TUKEY) * spread)
    robust = np.square(np.clip(1.0 - np.square(ratio), 0.0, None)) * used
    jacobian = np.empty((points.shape[0], 7), dtype=np.float32)
    (gx, gy, gz), (x, y, z) = found.gradient, points.astype(np.float32).T
    for column, values in enumerate((gx, gy, gz, y * gz - z * gy, z * gx - x * gz, x * gy - y * gx)):
        jacobian[:, column] = values
    jacobian[:, 6] = found.values
    # the expected intensity moves along with the transform: only what it cannot follow counts
    jacobian -= side.knots.expected(robust, jacobian)
    information = (robust / np.square(spread)).astype(np.float64)
    system = jacobian.astype(np.float64)
    weighted = system[:, :6] * information[:, None]
    return Normal(weighted.T @ system[:, :6], weighted.T @ system[:, 6], robust)


def _seen_from_fixed(normal: Normal, matrix: Matrix) -> Normal:
    """Express the backward direction's equations for the same motion as the forward direction's.

    The backward direction is linearised for a motion applied to fixed points; the motion sought acts on
    moving points, the other way round. A twist travels between frames by the adjoint of the transform.
    """
    rotation, shift = matrix[:3, :3], matrix[:3, 3]
    inverse = rotation.T
    cross = np.array([[0, -shift[2], shift[1]], [shift[2], 0, -shift[0]], [-shift[1], shift[0], 0]])
    handed = np.linalg.det(rotation)
    adjoint = np.zeros((6, 6))
    adjoint[:3, :3] = inverse
    adjoint[:3, 3:] = -inverse @ cross
    # the axis of a rotation is a pseudo-vector: a mirror turns it over
    adjoint[3:, 3:] = handed * inverse
    adjoint = -adjoint
    return Normal(adjoint.T @ normal.curvature @ adjoint, adjoint.T @ normal.slope, normal.weights)


def inverted(matrix: Matrix) -> Matrix:
    """Return the inverse of a transform."""
    return np.asarray(np.linalg.inv(matrix), dtype=np.float64)


def moved(matrix: Matrix, motion: NDArray[np.float64]) -> Matrix:
    """Apply a motion (shift, rotation vector; about the world origin) after a transform."""
    x, y, z = motion[3:]
    twist = np.zeros((4, 4))
    twist[:3, :3] = [[0, -z, y], [z, 0, -x], [-y, x, 0]]
    twist[:3, 3] = motion[:3]
    return orthonormal(np.asarray(expm(twist)) @ matrix)


def refine(
    sides: Sides,
    start: Matrix,
    *,
    tolerance_mm: float,
    max_steps: int,
    keep: tuple[NDArray[np.bool_], NDArray[np.bool_]] | None = None,
) -> Refined:
    """Improve a transform (points of fixed -> points of moving) by symmetric robust Gauss-Newton steps.

    Stops when a step moves no compared point by more than ``tolerance_mm``. Works for mirrors too: a
    start with negative determinant stays one.
    """
    matrix = start
    carried: list[NDArray[np.float32] | None] = [None, None]
    corners = _extent(sides[1].level.points)
    for step in range(1, max_steps + 1):
        forward, backward = both_directions(sides, matrix, weights=carried, keep=keep)
        carried = [forward.weights, backward.weights]
        motion = _solved(forward.curvature + backward.curvature, forward.slope + backward.slope)
        motion *= _RELAXATION
        length = _largest_move(motion, corners)
        if length > _LONGEST_STEP_MM:
            motion *= _LONGEST_STEP_MM / length
        matrix = moved(matrix, motion)
        if length < tolerance_mm:
            return Refined(matrix, converged=True, steps=step)
    return Refined(matrix, converged=False, steps=max_steps)


def both_directions(
    sides: Sides,
    matrix: Matrix,
    *,
    weights: list[NDArray[np.float32] | None],
    keep: tuple[NDArray[np.bool_], NDArray[np.bool_]] | None = None,
) -> tuple[Normal, Normal]:
    """Linearise both directions for one motion of moving points applied after ``matrix``."""
    fixed, moving = sides
    inverse = inverted(matrix)
    chosen = keep if keep is not None else (None, None)
    forward = normal_equations(fixed, moving.level, matrix, weights=weights[0], keep=chosen[0])
    backward = normal_equations(moving, fixed.level, inverse, weights=weights[1], keep=chosen[1])
    return forward, _seen_from_fixed(backward, matrix)


def _solved(curvature: Matrix, slope: NDArray[np.float64]) -> NDArray[np.float64]:
    """Gauss-Newton motion; no motion where nothing is compared."""
    diagonal = np.diag(curvature)
    if not (diagonal > 0).all():
        return np.zeros(6)
    scale = 1.0 / np.sqrt(diagonal)
    system = curvature * np.outer(scale, scale) + 1e-9 * np.eye(6)
    return np.asarray(-scale * np.linalg.solve(system, scale * slope))


def _extent(points: NDArray[np.float64]) -> NDArray[np.float64]:
    ends = np.stack((points.min(axis=0), points.max(axis=0)), axis=1)
    return np.array(list(product(*ends)))


def _largest_move(motion: NDArray[np.float64], points: NDArray[np.float64]) -> float:
    return float(np.linalg.norm(motion[:3] + np.cross(motion[3:], points), axis=1).max())


class Likeness(NamedTuple):
    """How much one image says about the other: nats per point, and share of points inside."""

    nats: float
    inside: float


def likeness(side: Side, other: Level, matrix: Matrix) -> Likeness:
    """Information that ``side`` gives about ``other`` through a transform.

    Logarithm of the spread of all read intensities over their spread given the partner's intensity, both
    as mean absolute deviations: 0 when they are unrelated.
    """
    points = side.level.points @ matrix[:3, :3].T + matrix[:3, 3]
    found = sample(other.values, other.affine, points)
    count = int(np.count_nonzero(found.inside))
    if count < _LEAST_INSIDE:
        return Likeness(0.0, count / len(points))
    weights = found.inside.astype(np.float32)
    residual = found.values - side.knots.expected(weights, found.values[:, None])[:, 0]
    values = found.values[found.inside]
    total = float(np.abs(values - np.median(values)).mean(dtype=np.float64))
    mass, size = side.knots.totals(weights), side.knots.totals(weights * np.abs(residual))
    floor = 1e-3 * total + 1e-9
    logs = np.log(np.maximum(size / np.maximum(mass, 1e-9), floor))
    nats = np.log(total + 1e-9) - float((mass * logs).sum() / mass.sum())
    return Likeness(max(nats, 0.0), count / len(points))


def likenesses(sides: Sides, matrix: Matrix) -> tuple[Likeness, Likeness]:
    """Likeness in both directions, fixed points first."""
    fixed, moving = sides
    return likeness(fixed, moving.level, matrix), likeness(moving, fixed.level, inverted(matrix))


def score(sides: Sides, matrix: Matrix) -> float:
    """Symmetric likeness, each direction counted by its share of points inside the partner."""
    forward, backward = likenesses(sides, matrix)
    return forward.nats * forward.inside + backward.nats * backward.inside

"""Rigid alignment by what one image predicts of the other.

At points of one image its partner is read through the transform. For every intensity of the first the
partner's expected intensity is learned from the points themselves (a conditional mean, piecewise linear
over intensity knots, with its own spread at every knot); what is left is the residual that a
Gauss-Newton step makes smaller. One rule serves equal and different contrasts: nothing but "equal here,
equal there" is assumed (the correlation ratio of Roche 1998, made robust). Tukey weights let changed
tissue fall out. Both directions count alike, so that exchanging the scans inverts the answer.

Many transforms are refined side by side (C of them, compared at the same N points): a search over small
images would otherwise spend its time on overhead. Points and transforms are in the frames of the
pyramids, mm from each head's centre.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from infarct_vol.registration.acceleration import Accelerator
from infarct_vol.registration.knots import Knots
from infarct_vol.registration.motion import Matrix, adjoint, applied, crossing, inverted, moved
from infarct_vol.registration.pyramid import Level
from infarct_vol.registration.sampling import Samples, sample

# Tukey's constant for 95 % efficiency under normal noise
TUKEY = 4.685
# standard deviation over mean absolute deviation of a normal distribution
_SD_OVER_MAD = 1.2533
# at coarser levels more has to count: rejecting early locks a fit onto whatever tissue happens to agree
TUKEY_WIDE = 6.0
# displaced tissue is what is sought here, and must not fall out
_TUKEY_DISPLACED = 3 * TUKEY
_SPREAD_FLOOR = 0.25
_PRIOR_POINTS = 20.0
_LEAST_INSIDE = 200
_LONGEST_STEP_MM = 15.0

Values = NDArray[np.float32]


@dataclass(frozen=True)
class Side:
    """One image at one resolution, how many intensity knots it gets, and what its partner's values need.

    Parameters
    ----------
    level
        The image and its points.
    knot_count
        Intensity knots wanted.
    gain
        (N,) factor for the partner's values read at this side's points; 1 where ``None``.
    """

    level: Level
    knot_count: int
    gain: Values | None = None

    @cached_property
    def knots(self) -> Knots:
        """Functions of this side's intensities."""
        return Knots(self.level.intensities, knots=self.knot_count)


Sides = tuple[Side, Side]


class Normal(NamedTuple):
    """Normal equations of one direction: (C, 6, 6), (C, 6), and (C, N) weights to carry over."""

    curvature: Matrix
    slope: Matrix
    weights: Values


class Refined(NamedTuple):
    """(C, 4, 4) transforms after refinement and (C,) whether each converged."""

    matrices: Matrix
    converged: NDArray[np.bool_]


def read(side: Side, other: Level, matrices: Matrix, *, gradient: bool) -> Samples:
    """Read ``other`` at ``matrices @ points``; (C, N) values and inside, (3, C, N) gradient."""
    to_index = inverted(other.affine) @ matrices
    found = sample(other.values, applied(to_index, side.level.points), gradient=gradient)
    shape = len(matrices), side.level.intensities.size
    values = found.values.reshape(shape)
    slopes = found.gradient.reshape(3, *shape) if gradient else found.gradient
    if side.gain is not None:
        values *= side.gain
        if gradient:
            slopes *= side.gain
    return Samples(values, slopes, found.inside.reshape(shape))


def _spread(knots: Knots, weights: Values, residual: Values) -> Values:
    """Spread of the (C, N) residual at every point, learned per knot from mean absolute deviations."""
    mass = knots.totals(weights).astype(np.float64)
    size = knots.totals(weights * np.abs(residual)).astype(np.float64)
    overall = size.sum(axis=1, keepdims=True) / np.maximum(mass.sum(axis=1, keepdims=True), 1e-12)
    # knots with few points borrow from all points
    deviation = (size + _PRIOR_POINTS * overall) / (mass + _PRIOR_POINTS)
    floor = np.maximum(_SPREAD_FLOOR * overall, 1e-6)
    return knots.at_points(_SD_OVER_MAD * np.maximum(deviation, floor))


def _normal_equations(
    side: Side, other: Level, matrices: Matrix, weights: Values, *, steady: bool, tukey: float
) -> Normal:
    """Linearise one direction about transforms.

    For a small motion (shift, rotation about the origin of ``other``'s frame) applied after each matrix.
    ``weights`` are those of the previous step; ``steady`` ones are what is to be used at all.
    """
    knots = side.knots
    found = read(side, other, matrices, gradient=True)
    weights = weights * found.inside
    residual, robust, spread = _judged(knots, found.values, weights, tukey=tukey)
    robust *= found.inside if steady else weights > 0
    information = np.asarray(robust / np.square(spread), dtype=np.float32)
    jacobian = _jacobian(found, other, applied(matrices, side.level.points), residual)
    # the expected intensity moves along with the transform: only what it cannot follow counts
    weighted = jacobian * information[:, None]
    totals = knots.totals(weighted)
    followed = knots.solved(information, totals)
    system = (jacobian @ weighted.transpose(0, 2, 1)).astype(np.float64)
    system -= totals @ followed.transpose(0, 2, 1)
    enough = np.count_nonzero(robust > 0, axis=1) >= _LEAST_INSIDE
    system *= enough[:, None, None]
    return Normal(system[:, :6, :6], system[:, :6, 6], robust)


def _judged(knots: Knots, values: Values, weights: Values, *, tukey: float) -> tuple[Values, Values, Values]:
    """Return the residual of what was read, its Tukey weights and its spread; all (C, N)."""
    residual = values - knots.expected(weights, values)
    spread = _spread(knots, weights, residual)
    ratio = residual / (np.float32(tukey) * spread)
    return residual, bisquare(ratio), spread


def bisquare(ratio: Values) -> Values:
    """Tukey's weight of a residual, given as its ratio to the size from which it counts nothing."""
    return np.asarray(np.square(np.clip(1 - np.square(ratio), 0, None)), dtype=np.float32)


class Directed(NamedTuple):
    """One direction's residual: (3, N) change per mm of shift, (N,) inverse variance, (N,) residual."""

    jacobian: Values
    information: Values
    residual: Values


def directed(side: Side, other: Level, matrix: Matrix, shifts: Values) -> Directed:
    """Linearise one direction about a (4, 4) transform followed by a (3, N) shift of every point."""
    to_index = inverted(other.affine)
    places = applied(matrix[None], side.level.points) + shifts
    found = sample(other.values, applied(to_index[None], places), gradient=True)
    gain = np.float32(1) if side.gain is None else side.gain
    values, slopes = np.asarray(found.values * gain)[None], np.asarray(found.gradient * gain)
    robust = found.inside.astype(np.float32)[None]
    for _ in range(2):
        residual, robust, spread = _judged(side.knots, values, robust, tukey=_TUKEY_DISPLACED)
        robust *= found.inside
    jacobian = to_index[:3, :3].T.astype(np.float32) @ slopes
    information = np.asarray(robust / np.square(spread), dtype=np.float32)
    return Directed(np.asarray(jacobian), information[0], residual[0])


def _jacobian(found: Samples, other: Level, points: Values, residual: Values) -> Values:
    """(C, 7, N): change of the value read for a motion of the place it is read at, and the residual."""
    to_world = inverted(other.affine)[:3, :3].T.astype(np.float32)
    count, size = residual.shape
    slopes = to_world @ found.gradient.reshape(3, -1)
    jacobian = np.empty((count, 7, size), dtype=np.float32)
    for axis in range(3):
        after, last = (axis + 1) % 3, (axis + 2) % 3
        jacobian[:, axis] = slopes[axis].reshape(count, size)
        turn = points[after] * slopes[last]
        turn -= points[last] * slopes[after]
        jacobian[:, 3 + axis] = turn.reshape(count, size)
    jacobian[:, 6] = residual
    return jacobian


def refine(
    sides: Sides,
    starts: Matrix,
    *,
    tolerance_mm: float,
    max_steps: int,
    keep: tuple[NDArray[np.bool_], NDArray[np.bool_]] | None = None,
    tukey: float = TUKEY,
) -> Refined:
    """Improve transforms by symmetric robust Gauss-Newton steps.

    Works for mirrors too: a start with negative determinant stays one.

    Parameters
    ----------
    sides
        Both images; fixed first.
    starts
        (C, 4, 4) points of fixed -> points of moving.
    tolerance_mm
        A transform is done when its step moves no compared point by more.
    max_steps
        Most steps taken.
    keep
        (C, N) points of fixed and of moving that each transform may use; all by default.
    tukey
        Residual, in standard deviations, from which a point counts nothing.
    """
    matrices = np.array(starts, dtype=np.float64)
    count = len(matrices)
    weights = [np.ones((count, side.level.intensities.size), dtype=np.float32) for side in sides]
    if keep is not None:
        weights = [used.astype(np.float32) for used in keep]
    reach = _extent(sides[1].level.points)
    radius_mm = float(np.abs(reach).max())
    accelerators = [Accelerator(np.array([1.0] * 3 + [radius_mm] * 3)) for _ in range(count)]
    converged = np.zeros(count, dtype=bool)
    for _ in range(max_steps):
        left = np.flatnonzero(~converged)
        if not left.size:
            break
        before = [carried[left] for carried in weights]
        curvature, slope, after = _both(sides, matrices[left], before, steady=keep is None, tukey=tukey)
        for carried, new in zip(weights, after, strict=True):
            carried[left] = new
        motions = _solved(curvature, slope)
        converged[left] = _largest_moves(motions, reach) < tolerance_mm
        for place, c in enumerate(left):
            motions[place] = accelerators[c].improved(motions[place])
        lengths = np.maximum(_largest_moves(motions, reach), 1e-12)
        motions *= np.minimum(1.0, _LONGEST_STEP_MM / lengths)[:, None]
        matrices[left] = moved(matrices[left], motions)
    return Refined(matrices, converged)


def _both(
    sides: Sides, matrices: Matrix, weights: list[Values], *, steady: bool, tukey: float
) -> tuple[Matrix, Matrix, list[Values]]:
    """Sum of both directions' equations for motions of moving points, and the weights to carry over."""
    fixed, moving = sides
    forward = _normal_equations(fixed, moving.level, matrices, weights[0], steady=steady, tukey=tukey)
    inverse = inverted(matrices)
    backward = _normal_equations(moving, fixed.level, inverse, weights[1], steady=steady, tukey=tukey)
    # the backward direction is linearised for a motion of fixed points, the other way round
    turn = -adjoint(matrices)
    back = turn.swapaxes(1, 2)
    curvature = forward.curvature + back @ backward.curvature @ turn
    slope = forward.slope + (back @ backward.slope[..., None])[..., 0]
    return curvature, slope, [forward.weights, backward.weights]


def _solved(curvature: Matrix, slope: Matrix) -> Matrix:
    """(C, 6) Gauss-Newton motions; no motion where nothing is compared."""
    diagonal = np.diagonal(curvature, axis1=1, axis2=2)
    known = np.asarray((diagonal > 0).all(axis=1))
    scale = known[:, None] / np.sqrt(np.where(known[:, None], diagonal, 1.0))
    system = curvature * scale[:, :, None] * scale[:, None, :]
    system += np.where(known, 1e-9, 1.0)[:, None, None] * np.eye(6)
    return np.asarray(-scale * np.linalg.solve(system, (scale * slope)[..., None])[..., 0])


def _extent(points: Values) -> NDArray[np.float64]:
    ends = np.stack((points.min(axis=1), points.max(axis=1)), axis=1).astype(np.float64)
    return np.array(list(product(*ends)))


def _largest_moves(motions: Matrix, points: NDArray[np.float64]) -> NDArray[np.float64]:
    """(C,) largest move of (P, 3) points by each of (C, 6) motions."""
    moves = points @ crossing(motions[:, 3:]).swapaxes(1, 2) + motions[:, None, :3]
    return np.asarray(np.sqrt(np.square(moves).sum(axis=-1).max(axis=-1)))


class Likeness(NamedTuple):
    """How much one image says about the other: (C,) nats per point, (C,) share of points inside."""

    nats: NDArray[np.float64]
    inside: NDArray[np.float64]


def likeness(side: Side, other: Level, matrices: Matrix) -> Likeness:
    """Information that ``side`` gives about ``other`` through (C, 4, 4) transforms.

    Logarithm of the spread of all read intensities over their spread given the partner's intensity, both
    as mean absolute deviations: 0 when they are unrelated.
    """
    values, _, is_inside = read(side, other, matrices, gradient=False)
    used = is_inside.astype(np.float32)
    residual = np.abs(values - side.knots.expected(used, values))
    mass, size = side.knots.totals(np.stack((used, used * residual))).astype(np.float64)
    inside = used.sum(axis=1, dtype=np.float64)
    least = np.maximum(inside, 1.0)
    mean = (values * used).sum(axis=1, dtype=np.float64) / least
    total = (np.abs(values - mean[:, None].astype(np.float32)) * used).sum(axis=1, dtype=np.float64) / least
    floor = (1e-3 * total + 1e-9)[:, None]
    logs = np.log(np.maximum(size / np.maximum(mass, 1e-9), floor))
    nats = np.log(total + 1e-9) - (mass * logs).sum(axis=1) / np.maximum(mass.sum(axis=1), 1e-9)
    nats = np.where(inside >= _LEAST_INSIDE, np.maximum(nats, 0.0), 0.0)
    return Likeness(nats, inside / side.level.intensities.size)


def likenesses(sides: Sides, matrices: Matrix) -> tuple[Likeness, Likeness]:
    """Likeness in both directions, fixed points first."""
    fixed, moving = sides
    forward = likeness(fixed, moving.level, matrices)
    return forward, likeness(moving, fixed.level, inverted(matrices))


def score(sides: Sides, matrices: Matrix) -> NDArray[np.float64]:
    """(C,) symmetric likeness, each direction counted by its share of points inside the partner."""
    forward, backward = likenesses(sides, matrices)
    return forward.nats * forward.inside + backward.nats * backward.inside

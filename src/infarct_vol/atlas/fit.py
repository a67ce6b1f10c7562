"""Affine fit of a scan to the MNI template: it says where a lesion lies, never how large it is.

At points of the template's brain and a rim around it the scan is read through the transform. Two things
are explained there: the scan's brain mask by the template's brain, and the scan's intensities, whatever its
contrast, as a sum of the template's grey matter, white matter and CSF, each with a brightness learned from
the points themselves. Gauss-Newton steps from several starts make what is left small; Tukey weights let
lesions fall out. Turns, sizes and shears are held to what adult heads in scanners are.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from threadpoolctl import threadpool_limits

from infarct_vol.atlas.template import Template, load_template
from infarct_vol.brain.working_grid import WorkingGrid
from infarct_vol.geometry import Grid
from infarct_vol.images import BrainMask, Scan, require_same_grid
from infarct_vol.registration.engine import TUKEY, bisquare
from infarct_vol.registration.motion import about, applied, inverted, turned
from infarct_vol.registration.sampling import Samples, sample

_WORKING_MM = 4.0
_RIM_MM = 12.0
_BRIGHTEST = 4.0
LEAST_OVERLAP, LEAST_LIKENESS = 0.90, 0.60
"""Limits below which no location is given. Good fits had an overlap of 0.945-0.976 and a likeness of 0.64
(an infarct of 124 mL put in) to 0.91; a wrong one, to a 64 mm slab of b0, 0.954 and 0.57; a brain upside down
0.89 and 0.60."""
_BLURS_MM = (8.0, 3.0)
_POINTS = (1500, 6000)
_FIRST_STEPS, _STEPS = 3, 25
_TURNS_DEG = (-25.0, 0.0, 25.0)
_SHIFTS_MM = (-25.0, 0.0, 25.0)
_BEST_STARTS = 3
_ROBUST_ROUNDS = 3
_SD_OVER_MEDIAN_DEVIATION = 1.4826
_LEAST_SPREAD = 0.05
_NUDGE = 1e-5
_TOLERANCE = 2e-3
_LONGEST_STEP = np.array([10.0] * 3 + [0.15] * 3 + [0.1] * 6)
# neighbours err alike: so much brain tells as much as one independent point would
_INDEPENDENT_ML = 64.0
# shift, turn, logarithm of size, shear: what adult heads show against the template, which is large
_EXPECTED = np.array([0.0] * 3 + [0.0] * 3 + [0.06] * 3 + [0.0] * 3)
_SPREAD = np.array([1e3] * 3 + [0.3] * 3 + [0.06] * 3 + [0.03] * 3)

Matrix = NDArray[np.float64]
Values = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class BrainMap:
    """Where points of one scan lie in MNI space.

    Parameters
    ----------
    matrix
        (4, 4): points of the scan (RAS+ mm) -> points of the template (MNI, RAS+ mm). Affine: for
        locations, never for volumes.
    overlap
        Dice of the scan's and the template's brain, where the scan has voxels.
    likeness
        Correlation, inside the template's brain, of the scan's intensities with what its tissues explain,
        lesions down-weighted.
    """

    matrix: Matrix
    overlap: float
    likeness: float

    @property
    def reason(self) -> str:
        """Why the map must not be used; empty where it may."""
        if self.overlap >= LEAST_OVERLAP and self.likeness >= LEAST_LIKENESS:
            return ""
        return (
            f"the fit to the MNI template is poor: overlap of the brains {self.overlap:.2f} (at least "
            f"{LEAST_OVERLAP:.2f}), likeness {self.likeness:.2f} (at least {LEAST_LIKENESS:.2f})"
        )

    def apply(self, points: Matrix) -> Matrix:
        """Map (..., 3) points of the scan to MNI, both RAS+ mm."""
        return np.asarray(points @ self.matrix[:3, :3].T + self.matrix[:3, 3])

    def of_moved(self, matrix: Matrix) -> BrainMap:
        """Return the map of another scan of the same head.

        Parameters
        ----------
        matrix
            (4, 4): points of this map's scan -> points of the other scan.
        """
        return replace(self, matrix=np.asarray(self.matrix @ inverted(matrix)))


class _Level(NamedTuple):
    """One resolution: the scan's (2, I, J, K) intensities and brain, and the template's points.

    ``points`` (3, N) MNI mm; ``basis`` (N, 3) tissue shares; ``brain`` (N,) share of brain there.
    """

    images: tuple[Values, Values]
    grid: Grid
    points: Values
    basis: Values
    brain: Values
    volume_ml: float


class _Read(NamedTuple):
    """Residuals (N,), their derivatives (12, N) and weights (N,) of one kind of evidence."""

    residual: Matrix
    jacobian: Matrix
    weights: Matrix


def fit_to_template(scan: Scan, *, brain: BrainMask) -> BrainMap:
    """Find where the points of a scan lie in MNI space.

    The same scan gives the same answer on any number of threads.

    Parameters
    ----------
    scan
        Any MR contrast, with or without skull; its orientation as the header says.
    brain
        The brain on the scan's grid.

    Raises
    ------
    GridMismatchError
        If the brain mask lies on another grid.
    """
    require_same_grid(scan, brain, what="scan and brain mask")
    working = WorkingGrid.of(scan.grid, target_mm=_WORKING_MM)
    mask = working.reduced(working.ordered(brain.data).astype(np.float32))
    if min(mask.shape) < 2 or not (mask > 0.5).any():
        return BrainMap(np.eye(4), 0.0, 0.0)
    template = load_template()
    with threadpool_limits(limits=1, user_api="blas"):
        images = _intensities(scan, brain, working, mask), mask
        grid = _working_grid(scan.grid, working, mask.shape)
        coarse, fine = (
            _level(images, grid, template, blur_mm=blur, count=count)
            for blur, count in zip(_BLURS_MM, _POINTS, strict=True)
        )
        frame = _frame(coarse, template)
        best = min(_good_starts(coarse, frame), key=lambda p: _cost(coarse, frame.matrix(p)))
        matrix = frame.matrix(_refined(fine, best, frame, steps=_STEPS))
        return BrainMap(inverted(matrix), *_agreement(fine, matrix))


# ---- what is compared ------------------------------------------------------------------------------------


def _intensities(scan: Scan, brain: BrainMask, working: WorkingGrid, mask: Values) -> Values:
    """Return the working copy of the scan inside its brain, 1 at the median."""
    inside = np.nan_to_num(scan.data, nan=0.0, posinf=0.0, neginf=0.0) * brain.data
    values = working.reduced(working.ordered(inside))
    level = float(np.median(values[mask > 0.5]))
    return np.clip(values / max(level, 1e-6), 0.0, _BRIGHTEST) if level > 0 else np.zeros_like(values)


def _working_grid(grid: Grid, working: WorkingGrid, shape: tuple[int, ...]) -> Grid:
    """Return where the voxels of a scan's working copy lie."""
    to_native = np.zeros((4, 4))
    to_native[3, 3] = 1.0
    for axis, source in enumerate(working.order):
        scale = working.averaged[axis] / working.split[axis]
        first, last = (scale - 1) / 2, working.native_shape[axis] - 1
        runs_back = working.reversed_axes[axis]
        to_native[source, axis] = -scale if runs_back else scale
        to_native[source, 3] = last - first if runs_back else first
    return Grid((shape[0], shape[1], shape[2]), grid.affine @ to_native)


def _level(
    images: tuple[Values, Values], grid: Grid, template: Template, *, blur_mm: float, count: int
) -> _Level:
    sigma = blur_mm / grid.spacing_mm
    smooth = [ndimage.gaussian_filter(image, sigma, mode="nearest", truncate=3.0) for image in images]
    spacing = template.coarse_grid.spacing_mm
    shares = [ndimage.gaussian_filter(part, blur_mm / spacing, truncate=3.0) for part in template.coarse]
    near = ndimage.distance_transform_edt(~template.brain, sampling=spacing) <= _RIM_MM
    places = np.argwhere(near)
    kept = places[np.linspace(0, len(places) - 1, min(count, len(places))).astype(np.intp)]
    basis = np.stack([share[tuple(kept.T)] for share in shares], axis=1)
    points = template.coarse_grid.to_world(kept).T.astype(np.float32)
    return _Level(
        (smooth[0], smooth[1]),
        grid,
        points,
        basis,
        basis.sum(axis=1),
        len(places) * template.coarse_grid.voxel_volume_ml,
    )


class _Frame(NamedTuple):
    """Middle of the template's brain (MNI) and of the scan's (RAS+ mm): what turns and sizes are about."""

    template: Matrix
    scan: Matrix

    def matrix(self, parameters: Matrix) -> Matrix:
        """(4, 4) points of the template -> points of the scan.

        Of (12,) parameters: shift in mm, rotation vector, logarithm of the template's size against the
        scan's along three axes, and shears.
        """
        shift, turn, size, shear = parameters.reshape(4, 3)
        slant = np.eye(3)
        slant[0, 1], slant[0, 2], slant[1, 2] = shear
        linear = turned(turn) @ np.diag(np.exp(-size)) @ slant
        return about(linear, self.template, self.scan + shift)


def _frame(level: _Level, template: Template) -> _Frame:
    mask = level.images[1]
    middle = template.coarse_grid.to_world(np.argwhere(template.brain).mean(axis=0))
    return _Frame(middle, level.grid.to_world(np.argwhere(mask > 0.5 * mask.max()).mean(axis=0)))


# ---- the search ------------------------------------------------------------------------------------------


def _good_starts(level: _Level, frame: _Frame) -> list[Matrix]:
    """Return the fits that a few steps made best, from heads nodding and brains cut at either end."""
    starts = []
    for pitch, rise in product(_TURNS_DEG, _SHIFTS_MM):
        start = _EXPECTED.copy()
        start[2], start[3] = rise, np.radians(pitch)
        starts.append(_refined(level, start, frame, steps=_FIRST_STEPS))
    costs = [_cost(level, frame.matrix(p)) for p in starts]
    best = np.argsort(costs, kind="stable")[:_BEST_STARTS]
    return [_refined(level, starts[int(n)], frame, steps=_STEPS) for n in best]


def _refined(level: _Level, start: Matrix, frame: _Frame, *, steps: int) -> Matrix:
    """Gauss-Newton steps from (12,) parameters."""
    parameters = start.copy()
    precision = 1.0 / np.square(_SPREAD)
    share = level.volume_ml / _INDEPENDENT_ML / level.points.shape[1]
    for _ in range(steps):
        system, slope = np.diag(precision), precision * (parameters - _EXPECTED)
        for part in _evidence(level, parameters, frame):
            weighted = part.jacobian * part.weights
            system = system + share * (weighted @ part.jacobian.T)
            slope = slope + share * (weighted @ part.residual)
        step = np.clip(-np.linalg.solve(system, slope), -_LONGEST_STEP, _LONGEST_STEP)
        parameters = parameters + step
        if np.abs(step / _LONGEST_STEP).max() < _TOLERANCE:
            break
    return parameters


def _evidence(level: _Level, parameters: Matrix, frame: _Frame) -> tuple[_Read, _Read]:
    """Linearise both kinds of evidence about the parameters: intensities and the brain mask."""
    matrix = frame.matrix(parameters)
    steps = np.eye(12) * _NUDGE
    slopes = np.stack(
        [frame.matrix(parameters + nudge) - frame.matrix(parameters - nudge) for nudge in steps]
    )
    moves = applied(slopes / (2 * _NUDGE), level.points).reshape(3, 12, -1)
    to_index = inverted(level.grid.affine)
    places = applied((to_index @ matrix)[None], level.points)
    reads = []
    for image in level.images:
        found = sample(image, places, gradient=True)
        gradient = to_index[:3, :3].T.astype(np.float32) @ found.gradient
        reads.append((found.values, np.einsum("an,akn->kn", gradient, moves), found.inside))
    return _intensity(level, *reads[0]), _outline(level, *reads[1])


def _intensity(level: _Level, found: Values, jacobian: Values, inside: NDArray[np.bool_]) -> _Read:
    basis = level.basis.astype(np.float64)
    residual, weights, spread = _robust(basis, found, inside)
    followed = jacobian - (basis @ _explained(basis, weights, jacobian.T)).T
    return _Read(residual, followed, weights / spread**2)


def _robust(basis: Matrix, found: Values, used: NDArray[np.bool_]) -> tuple[Matrix, Matrix, float]:
    """Return what tissues leave of (N,) intensities, Tukey weights of it, and its spread."""
    values, weights = found.astype(np.float64), used.astype(np.float64)
    residual, spread = values, 1.0
    for _ in range(_ROBUST_ROUNDS):
        residual = values - basis @ _explained(basis, weights, values)
        typical = float(np.median(np.abs(residual[used]))) if used.any() else 1.0
        spread = max(_SD_OVER_MEDIAN_DEVIATION * typical, _LEAST_SPREAD)
        robust = bisquare((residual / (TUKEY * spread)).astype(np.float32))
        weights = robust.astype(np.float64) * used
    return residual, weights, spread


def _explained(basis: Matrix, weights: Matrix, values: Matrix | Values) -> Matrix:
    """Least-squares brightness of every tissue."""
    weighted = basis * weights[:, None]
    system = weighted.T @ basis + 1e-6 * np.eye(basis.shape[1])
    return np.asarray(np.linalg.solve(system, weighted.T @ values))


def _outline(level: _Level, values: Values, jacobian: Values, inside: NDArray[np.bool_]) -> _Read:
    residual = (values - level.brain).astype(np.float64)
    variance = max(float(np.mean(np.square(residual[inside]))) if inside.any() else 1.0, _LEAST_SPREAD**2)
    return _Read(residual, jacobian.astype(np.float64), inside / variance)


def _read(level: _Level, matrix: Matrix) -> tuple[Samples, Samples]:
    """Read intensities and brain mask at the template's points."""
    places = applied((inverted(level.grid.affine) @ matrix)[None], level.points)
    intensity, mask = (sample(image, places, gradient=False) for image in level.images)
    return intensity, mask


def _expected(level: _Level, values: Values, used: NDArray[np.bool_]) -> Matrix:
    """(N,) what the template's tissues explain of intensities."""
    basis = level.basis.astype(np.float64)
    return np.asarray(basis @ _explained(basis, used.astype(np.float64), values))


def _cost(level: _Level, matrix: Matrix) -> float:
    """Share of both images left unexplained, summed: lower is better."""
    intensity, mask = _read(level, matrix)
    pairs = (intensity, _expected(level, intensity.values, intensity.inside)), (mask, level.brain)
    total = 0.0
    for found, expected in pairs:
        left = np.abs(found.values - expected)[found.inside].sum(dtype=np.float64)
        total += float(left / max(np.abs(found.values)[found.inside].sum(dtype=np.float64), 1e-6))
    return total


def _agreement(level: _Level, matrix: Matrix) -> tuple[float, float]:
    """Return overlap and likeness as in `BrainMap`."""
    intensity, mask = _read(level, matrix)
    theirs = (level.brain > 0.5) & mask.inside
    ours = (mask.values > 0.5) & mask.inside
    both = 2 * int(np.count_nonzero(ours & theirs))
    overlap = both / max(int(np.count_nonzero(ours) + np.count_nonzero(theirs)), 1)
    residual, weights, _ = _robust(level.basis.astype(np.float64), intensity.values, theirs)
    values = intensity.values.astype(np.float64)
    return overlap, _correlation(values, values - residual, weights)


def _correlation(first: Matrix, second: Matrix, weights: Matrix) -> float:
    """Return the weighted correlation of (N,) numbers; 0 where one of them does not vary."""
    share = weights / max(float(weights.sum()), 1e-12)
    first, second = first - share @ first, second - share @ second
    size = float((share @ first**2) * (share @ second**2))
    return float(share @ (first * second)) / size**0.5 if size > 0 else 0.0

"""A scan made ready for registration: coarse to fine copies, flattened shading, points to compare at.

Everything here depends on one scan alone, never on its partner, so that registering A to B and B to A
compare the same points.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from infarct_vol.errors import RegistrationError
from infarct_vol.images import BrainMask, LesionMask, Scan, require_same_grid
from infarct_vol.registration.coarse import along, blurred, near
from infarct_vol.registration.head import HEAD_LEVEL_MM, Head, find_head, inner_head
from infarct_vol.registration.motion import Matrix, applied, inverted
from infarct_vol.registration.sampling import sample
from infarct_vol.settings import RegistrationSettings

# slices needed along every axis for a gradient and a head mask to mean anything
_MINIMUM_EXTENT = 4
_RIM_MM = 8.0
_LESION_MARGIN_MM = 5.0
_SCATTER_VOXELS = 0.25
_CROP_MARGIN_MM = 12.0
_MOST_SLICES = 4
# from 15 mm and 15 degrees off, an 8 mm blur led 16 of 16 fits home across contrasts, no blur none of 16
_BLUR_MM, _BLUR_POINTS = 8.0, 800


@dataclass(frozen=True)
class Field:
    """Slowly varying factor on a coarse grid: (I, J, K) float32 values, affine index -> frame."""

    values: NDArray[np.float32]
    affine: NDArray[np.float64]

    def at(self, points: NDArray[np.float32], *, through: Matrix | None = None) -> NDArray[np.float32]:
        """Read the field at (3, N) points, or at the places a (4, 4) transform takes them to."""
        to_index = inverted(self.affine) if through is None else inverted(self.affine) @ through
        return sample(self.values, applied(to_index[None], points), gradient=False).values


@dataclass(frozen=True)
class Level:
    """One resolution of one scan, in the frame of its pyramid (mm from the head's centre, RAS+ axes).

    Parameters
    ----------
    values
        (I, J, K) float32 intensities.
    affine
        (4, 4) voxel index -> frame.
    points
        (3, N) float32 places to compare at: near voxel centres.
    intensities
        (N,) float32 values at ``points``, free of shading, in units of the head's median.
    shading
        What ``values`` are to be divided by; ``None`` where that has been done.
    """

    values: NDArray[np.float32]
    affine: NDArray[np.float64]
    points: NDArray[np.float32]
    intensities: NDArray[np.float32]
    shading: Field | None = None

    def evenly(self, count: int) -> NDArray[np.int64]:
        """Return the numbers of at most ``count`` points, evenly chosen."""
        total = self.intensities.size
        if total <= count:
            return np.arange(total, dtype=np.int64)
        return np.linspace(0, total - 1, count).astype(np.int64)

    def thinned(self, count: int) -> Level:
        """Return the level with at most ``count`` of its points, evenly chosen."""
        if self.intensities.size <= count:
            return self
        keep = self.evenly(count)
        return replace(self, points=self.points[:, keep], intensities=self.intensities[keep])


@dataclass(frozen=True)
class Pyramid:
    """All resolutions of one scan, coarse to fine, in a frame of its own.

    Parameters
    ----------
    levels
        Level by nominal spacing in mm; 8 and 4 mm with points in the head and a rim of air, finer ones
        with points inside the brain or, without a brain mask, deep inside the head.
    smooth
        The 8 mm level blurred by 8 mm: less to see and therefore less to get caught in.
    centre
        (3,) origin of the frame in the scan's world (RAS+ mm): the head's centre of mass on square-root
        intensities.
    radius_mm
        Root mean square distance of head points from the centre.
    region
        1 in the brain (or deep inside the head), 0 elsewhere.
    """

    levels: dict[float, Level]
    smooth: Level
    centre: NDArray[np.float64]
    radius_mm: float
    region: Field

    @property
    def order(self) -> tuple[bytes, ...]:
        """Sets two scans in an order that does not depend on which of them is named first."""
        coarsest = self.levels[max(self.levels)]
        return coarsest.values.tobytes(), coarsest.affine.tobytes(), self.centre.tobytes()


@dataclass(frozen=True)
class _Blocks:
    """Block means of the scan's voxels: values, and blocks of ``factor`` voxels along each axis."""

    values: NDArray[np.float32]
    factor: tuple[int, int, int]

    def affine(self, native: NDArray[np.float64]) -> NDArray[np.float64]:
        factor = np.array(self.factor, dtype=np.float64)
        result = native.copy()
        result[:3, :3] = native[:3, :3] * factor
        result[:3, 3] = native[:3, :3] @ ((factor - 1) / 2) + native[:3, 3]
        return result


def prepare(
    scan: Scan,
    *,
    settings: RegistrationSettings,
    brain: BrainMask | None = None,
    lesion: LesionMask | None = None,
) -> Pyramid:
    """Make the pyramid of one scan.

    Parameters
    ----------
    scan
        Any MR contrast, with or without skull. Non-finite voxels count as air.
    settings
        Levels and numbers of points.
    brain
        Where fine levels compare; on the scan's grid. Without it, what lies deep inside the head.
    lesion
        Left out of the comparison with a margin of 5 mm; on the scan's grid.

    Raises
    ------
    RegistrationError
        If the scan has fewer than 4 voxels along an axis, is constant, or shows no head.
    GridMismatchError
        If a mask lies on another grid than the scan.
    """
    for mask, name in ((brain, "brain mask"), (lesion, "lesion mask")):
        if mask is not None:
            require_same_grid(scan, mask, what=f"scan and {name}")
    blocks = _block_levels(scan, settings)
    coarse = blocks[HEAD_LEVEL_MM]
    head = find_head(coarse.values, coarse.affine(scan.grid.affine), where=str(scan.identity))
    wide, inner = _regions(head, coarse, brain=brain, lesion=lesion)
    framed = scan.grid.affine.copy()
    framed[:3, 3] -= head.centre
    affine = coarse.affine(framed)
    slow = Field(head.shading, affine)
    levels = {}
    for level_mm in settings.levels_mm:
        factor = blocks[level_mm].factor
        if level_mm >= HEAD_LEVEL_MM:
            step = np.array(factor) // np.array(coarse.factor)
            flat = _Blocks(_block_mean(head.flat, step), factor)
            levels[level_mm] = _coarse_level(flat, coarse, wide, framed, settings.points_coarse)
        else:
            finest = level_mm == min(settings.levels_mm)
            count = settings.points_finest if finest else settings.points_fine
            levels[level_mm] = _fine_level(blocks[level_mm], coarse, inner, framed, slow, count)
    smooth = _blurred(levels[2 * HEAD_LEVEL_MM])
    region = Field(inner.astype(np.float32), affine)
    return Pyramid(levels, smooth, head.centre, head.radius_mm, region)


def _regions(
    head: Head, coarse: _Blocks, *, brain: BrainMask | None, lesion: LesionMask | None
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Where coarse levels compare (head and a rim of air) and where fine ones do, without the lesion."""
    inner = inner_head(head) if brain is None else _coarse_mask(brain.data, coarse)
    if not inner.any():
        inner = head.mask
    spacing = np.linalg.norm(head.affine[:3, :3], axis=0)
    wide = near(head.mask, _RIM_MM, spacing)
    if lesion is not None and lesion.data.any():
        changed = _coarse_mask(lesion.data, coarse, share=0.0)
        changed = near(changed, _LESION_MARGIN_MM, spacing)
        wide, inner = wide & ~changed, inner & ~changed
    return wide, inner


def _block_levels(scan: Scan, settings: RegistrationSettings) -> dict[float, _Blocks]:
    """Average blocks of voxels until the spacing is about that of each level, fine to coarse."""
    if min(scan.grid.shape) < _MINIMUM_EXTENT:
        msg = (
            f"registration needs at least {_MINIMUM_EXTENT} voxels along every axis, "
            f"got {scan.grid.describe()}"
        )
        raise RegistrationError(msg, where=str(scan.identity))
    values = scan.data
    if not np.isfinite(values).all():
        values = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
    factor, levels = np.ones(3, dtype=int), {}
    for level_mm in sorted({*settings.levels_mm, HEAD_LEVEL_MM}):
        wanted = np.rint(level_mm / (scan.grid.spacing_mm * factor)).astype(int)
        step = np.clip(wanted, 1, np.maximum(1, np.array(values.shape) // _MINIMUM_EXTENT))
        values = _block_mean(values, step)
        factor = factor * step
        levels[level_mm] = _Blocks(values, (int(factor[0]), int(factor[1]), int(factor[2])))
    return levels


def _block_mean(values: NDArray[np.float32], step: NDArray[np.int_]) -> NDArray[np.float32]:
    """Mean over blocks of ``step`` voxels; voxels that fill no block at the far end are left out."""
    for axis in range(3):
        n = int(step[axis])
        if n > 1:
            end = (values.shape[axis] // n) * n
            parts = [values[(slice(None),) * axis + (slice(k, end, n),)] for k in range(n)]
            total = parts[0] + parts[1]
            for part in parts[2:]:
                total += part
            total *= np.float32(1.0 / n)
            values = total
    return values


def _coarse_mask(data: NDArray[np.bool_], blocks: _Blocks, *, share: float = 0.5) -> NDArray[np.bool_]:
    """Reduce a mask to blocks of which more than ``share`` is covered."""
    mean = _block_mean(data.astype(np.float32), np.array(blocks.factor))
    limits = tuple(slice(0, n) for n in blocks.values.shape)
    return np.asarray(mean[limits] > share)


def _coarse_level(
    blocks: _Blocks, coarse: _Blocks, region: NDArray[np.bool_], framed: NDArray[np.float64], count: int
) -> Level:
    affine = blocks.affine(framed)
    index = _places(blocks, coarse, region, count)
    points = (affine[:3, :3] @ index + affine[:3, 3:]).astype(np.float32)
    read = sample(blocks.values, index.astype(np.float32), gradient=False)
    return Level(blocks.values, affine, points, read.values)


def _fine_level(
    blocks: _Blocks,
    coarse: _Blocks,
    region: NDArray[np.bool_],
    framed: NDArray[np.float64],
    shading: Field,
    count: int,
) -> Level:
    """Take the part of the image around its points, with slices in between where they are thick."""
    affine = blocks.affine(framed)
    index = _places(blocks, coarse, region, count)
    points = (affine[:3, :3] @ index + affine[:3, 3:]).astype(np.float32)
    values, affine = _cropped(blocks.values, affine, index)
    values, affine = _thinner_slices(values, affine)
    read = sample(values, applied(inverted(affine)[None], points), gradient=False).values
    read /= shading.at(points)
    return Level(values, affine, points, read, shading)


def _places(blocks: _Blocks, coarse: _Blocks, region: NDArray[np.bool_], count: int) -> NDArray[np.float64]:
    """Choose ``count`` voxels of a level, spread evenly over a region of the 4 mm level; (3, N) indices.

    One place out of each of ``count`` equal runs through the region's blocks. The places are scattered
    about the voxel's centre: where both grids run parallel, all points would read the partner at one
    place between its voxels, and the smoothing of interpolation there would pull the fit.
    """
    generator = np.random.default_rng(0)
    cells = np.stack(np.nonzero(region))
    inside = np.array(coarse.factor) / np.array(blocks.factor)
    voxels = cells.shape[1] * float(np.prod(inside))
    count = int(min(count, voxels))
    run = (np.arange(count) + generator.random(count)) * (cells.shape[1] / count)
    corner = cells[:, run.astype(np.int64)] * inside[:, None]
    last = np.array(blocks.values.shape)[:, None] - 1
    voxel = np.minimum(np.floor(corner + generator.random(corner.shape) * inside[:, None]), last)
    scattered = voxel + generator.uniform(-_SCATTER_VOXELS, _SCATTER_VOXELS, voxel.shape)
    return np.asarray(np.clip(scattered, 0, last))


def _cropped(
    values: NDArray[np.float32], affine: NDArray[np.float64], index: NDArray[np.float64]
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Cut the image to its points and a margin; a view where nothing is gained by a copy."""
    margin = np.ceil(_CROP_MARGIN_MM / np.linalg.norm(affine[:3, :3], axis=0))
    low = np.maximum(np.floor(index.min(axis=1) - margin), 0).astype(int)
    high = np.minimum(np.ceil(index.max(axis=1) + margin) + 1, values.shape).astype(int)
    part = values[low[0] : high[0], low[1] : high[1], low[2] : high[2]]
    moved_affine = affine.copy()
    moved_affine[:3, 3] += affine[:3, :3] @ low
    return np.ascontiguousarray(part), moved_affine


def _thinner_slices(
    values: NDArray[np.float32], affine: NDArray[np.float64]
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Insert cubic B-spline slices between thick ones, so that trilinear reading does not blur them."""
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    axis = int(np.argmax(spacing))
    factor = min(int(spacing[axis] / np.median(spacing)), _MOST_SLICES)
    if factor < 2:
        return values, affine
    finer = affine.copy()
    finer[:3, axis] /= factor
    return along(values, _spline_weights(values.shape[axis], factor), axis), finer


def _spline_weights(count: int, factor: int) -> NDArray[np.float32]:
    """(N, count) weights of ``count`` slices in each of the slices a factor closer."""
    # the spline through one bright slice, for every slice: it must read 1 there and 0 at all others
    slices = np.arange(count)
    reading = np.diag(np.full(count, 4.0))
    for neighbour in (_mirrored(slices - 1, count), _mirrored(slices + 1, count)):
        reading[slices, neighbour] += 1
    coefficients = np.linalg.inv(reading / 6)
    places = np.arange((count - 1) * factor + 1) / factor
    low = np.floor(places).astype(int)
    t = (places - low)[:, None]
    parts = (1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3
    around = (_mirrored(low + k, count) for k in range(-1, 3))
    rows = sum(coefficients[where] * part / 6 for where, part in zip(around, parts, strict=True))
    return np.asarray(rows, dtype=np.float32)


def _mirrored(index: NDArray[np.int_], count: int) -> NDArray[np.int_]:
    period = 2 * (count - 1)
    folded = np.abs(index) % period
    return np.asarray(np.minimum(folded, period - folded))


def _blurred(level: Level) -> Level:
    """Blur a level by a Gaussian and thin its points."""
    sigma = _BLUR_MM / np.linalg.norm(level.affine[:3, :3], axis=0)
    values = blurred(level.values, sigma)
    few = level.thinned(_BLUR_POINTS)
    index = applied(inverted(level.affine)[None], few.points)
    return replace(few, values=values, intensities=sample(values, index, gradient=False).values)

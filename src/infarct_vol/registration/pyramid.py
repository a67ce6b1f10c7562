"""A scan made ready for registration: coarse to fine copies, flattened shading, points to compare at.

Everything here depends on one scan alone, never on its partner, so that registering A to B and B to A
compare the same points.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage as ndi

from infarct_vol.errors import RegistrationError
from infarct_vol.geometry import MM3_PER_ML
from infarct_vol.images import BrainMask, LesionMask, Scan, require_same_grid
from infarct_vol.registration.sampling import sample
from infarct_vol.settings import RegistrationSettings

HEAD_LEVEL_MM = 4.0
# slices needed along every axis for a gradient and a head mask to mean anything
_MINIMUM_EXTENT = 4
_SHADING_SIGMA_MM = 25.0
_RIM_MM = 8.0
_LESION_MARGIN_MM = 5.0
_SCATTER_VOXELS = 0.25
# from 15 mm and 15 degrees off, an 8 mm blur led 16 of 16 fits home across contrasts, no blur none of 16
_BLUR_MM, _BLUR_POINTS = 8.0, 2500


@dataclass(frozen=True)
class Level:
    """One resolution of one scan.

    Parameters
    ----------
    values
        (I, J, K) float32 intensities in units of the head's median.
    affine
        (4, 4) voxel index -> RAS+ mm.
    points
        (N, 3) float64 places to compare at, RAS+ mm: near voxel centres.
    intensities
        (N,) float32 values at ``points``.
    """

    values: NDArray[np.float32]
    affine: NDArray[np.float64]
    points: NDArray[np.float64]
    intensities: NDArray[np.float32]


@dataclass(frozen=True)
class Pyramid:
    """All resolutions of one scan, coarse to fine.

    Parameters
    ----------
    levels
        Level by nominal spacing in mm; 8 and 4 mm with points in the head and a rim of air, finer ones
        with points inside the brain or, without a brain mask, deep inside the head.
    smooth
        The 8 mm level blurred by 8 mm: less to see and therefore less to get caught in.
    centre
        (3,) centre of mass of the head on square-root intensities, RAS+ mm.
    radius_mm
        Root mean square distance of head points from the centre.
    head_ml
        Volume of the rough head mask.
    """

    levels: dict[float, Level]
    smooth: Level
    centre: NDArray[np.float64]
    radius_mm: float
    head_ml: float


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
    affine = coarse.affine(scan.grid.affine)
    head = head_mask(coarse.values, affine, where=str(scan.identity))
    flat, shading = _flattened(coarse.values, head, affine)
    scale = float(np.median(flat[head]))
    inner = _inner_mask(head, affine) if brain is None else _coarse_mask(brain.data, coarse)
    if not inner.any():
        inner = head
    wide = ndi.binary_dilation(head, iterations=int(round(_RIM_MM / HEAD_LEVEL_MM)))
    if lesion is not None and lesion.data.any():
        changed = _near(_coarse_mask(lesion.data, coarse, share=0.0), affine, _LESION_MARGIN_MM)
        wide, inner = wide & ~changed, inner & ~changed
    centre, radius_mm = _centre_of_mass(flat, head, affine)
    levels = {}
    for level_mm in settings.levels_mm:
        region = wide if level_mm >= HEAD_LEVEL_MM else inner
        count = settings.points_coarse if level_mm >= 2 * HEAD_LEVEL_MM else settings.points_fine
        levels[level_mm] = _level(
            blocks[level_mm], coarse, shading * scale, region, native=scan.grid.affine, count=count
        )
    voxel_ml = abs(np.linalg.det(affine[:3, :3])) / MM3_PER_ML
    smooth = _blurred(levels[2 * HEAD_LEVEL_MM])
    return Pyramid(levels, smooth, centre, radius_mm, float(np.count_nonzero(head) * voxel_ml))


def head_mask(
    values: NDArray[np.float32], affine: NDArray[np.float64], *, where: str = ""
) -> NDArray[np.bool_]:
    """Return a rough mask of the head: the largest bright body, holes filled.

    Square-root intensities keep a very bright lesion from lifting the threshold over the brain.

    Raises
    ------
    RegistrationError
        If the image is constant or nothing stands out from the air.
    """
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    root = np.sqrt(np.clip(values, 0, None))
    smooth = ndi.gaussian_filter(root, HEAD_LEVEL_MM / spacing, mode="nearest")
    if not float(smooth.max()) > float(smooth.min()):
        msg = "the image is constant; there is nothing to register"
        raise RegistrationError(msg, where=where)
    mask = smooth > _otsu(smooth)
    labels, count = ndi.label(mask)
    sizes = np.bincount(labels.ravel())[1:]
    body = ndi.binary_fill_holes(labels == 1 + int(np.argmax(sizes))) if count else mask
    volume_ml = np.count_nonzero(body) * abs(np.linalg.det(affine[:3, :3])) / MM3_PER_ML
    if volume_ml < 50.0:
        msg = f"no head found: the largest bright body measures {volume_ml:.0f} mL; expected a brain or head"
        raise RegistrationError(msg, where=where)
    return np.asarray(body, dtype=np.bool_)


def _otsu(values: NDArray[np.float32]) -> float:
    """Threshold that best separates two classes (Otsu 1979), on 128 bins up to the 99.5th percentile."""
    top = float(np.percentile(values, 99.5))
    counts, edges = np.histogram(np.minimum(values, top), bins=128)
    middle = 0.5 * (edges[1:] + edges[:-1])
    below = np.cumsum(counts)[:-1].astype(np.float64)
    above = counts.sum() - below
    mass = np.cumsum(counts * middle)
    contrast = mass[:-1] / np.maximum(below, 1) - (mass[-1] - mass[:-1]) / np.maximum(above, 1)
    return float(edges[1 + int(np.argmax(below * above * contrast**2))])


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


def _near(mask: NDArray[np.bool_], affine: NDArray[np.float64], margin_mm: float) -> NDArray[np.bool_]:
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    distance = ndi.distance_transform_edt(~mask, sampling=spacing)
    return np.asarray(distance <= margin_mm)


def _inner_mask(head: NDArray[np.bool_], affine: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Head without scalp, face and neck: deep inside, and not far below the vertex.

    Scalp, jaw and neck move against the brain. A brain is about 140 mm high with its cerebellum.
    """
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    padded = np.pad(head, 1)
    depth = ndi.distance_transform_edt(padded, sampling=spacing)[1:-1, 1:-1, 1:-1]
    index = np.stack(np.nonzero(head), axis=1)
    height = index @ affine[2, :3] + affine[2, 3]
    keep = (depth[head] > 9.0) & (height > height.max() - 150.0)
    inner = np.zeros_like(head)
    inner[tuple(index[keep].T)] = True
    # a slab of few slices has no depth of 9 mm along its short axis
    return inner if np.count_nonzero(inner) > 0.2 * np.count_nonzero(head) else head


def _flattened(
    values: NDArray[np.float32], head: NDArray[np.bool_], affine: NDArray[np.float64]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Divide by slow shading; return the flattened values and the shading.

    The shading is the local geometric mean inside the head (normalised convolution of log intensities).
    """
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    floor = 0.1 * float(np.median(values[head]))
    bright = head & (values > max(floor, 1e-12))
    logs = np.zeros_like(values)
    logs[bright] = np.log(values[bright])
    mean = float(logs[bright].mean(dtype=np.float64))
    logs[bright] -= np.float32(mean)
    sigma = _SHADING_SIGMA_MM / spacing
    weight = ndi.gaussian_filter(bright.astype(np.float32), sigma, mode="constant", truncate=3.0)
    slow = ndi.gaussian_filter(logs, sigma, mode="constant", truncate=3.0)
    shading = np.exp(slow / (weight + np.float32(1e-3)))
    return np.asarray(values / shading, dtype=np.float32), np.asarray(shading, dtype=np.float32)


def _centre_of_mass(
    values: NDArray[np.float32], head: NDArray[np.bool_], affine: NDArray[np.float64]
) -> tuple[NDArray[np.float64], float]:
    weight = np.sqrt(np.clip(values[head], 0, None)).astype(np.float64)
    points = np.stack(np.nonzero(head), axis=1) @ affine[:3, :3].T + affine[:3, 3]
    centre = (points * weight[:, None]).sum(axis=0) / weight.sum()
    radius = float(np.sqrt(((points - centre) ** 2).sum(axis=1).mean()))
    return centre, radius


def _level(
    blocks: _Blocks,
    coarse: _Blocks,
    shading: NDArray[np.float32],
    region: NDArray[np.bool_],
    *,
    native: NDArray[np.float64],
    count: int,
) -> Level:
    """Flatten one level and choose its points: one voxel at random out of each of ``count`` equal runs."""
    where = [_positions(blocks, coarse, axis) for axis in range(3)]
    divisor = _stretched(shading, where)
    values = blocks.values / divisor
    nearest = [np.clip(np.rint(w).astype(int), 0, n - 1) for w, n in zip(where, region.shape, strict=True)]
    inside = np.flatnonzero(region[np.ix_(*nearest)])
    if inside.size > count:
        jitter = np.random.default_rng(0).random(count)
        inside = inside[((np.arange(count) + jitter) * (inside.size / count)).astype(np.int64)]
    index = np.stack(np.unravel_index(inside, values.shape), axis=1)
    # where both grids run parallel, all points would read the partner at one place between its voxels,
    # and the smoothing of interpolation there would pull the fit; scattered points read it everywhere
    scatter = np.random.default_rng(1).uniform(-_SCATTER_VOXELS, _SCATTER_VOXELS, index.shape)
    index = np.clip(index + scatter, 0, np.array(values.shape) - 1)
    affine = blocks.affine(native)
    points = index @ affine[:3, :3].T + affine[:3, 3]
    return Level(values, affine, points, sample(values, affine, points).values)


def _blurred(level: Level) -> Level:
    """Blur a level by a Gaussian and thin its points."""
    sigma = _BLUR_MM / np.linalg.norm(level.affine[:3, :3], axis=0)
    values = ndi.gaussian_filter(level.values, sigma, mode="nearest")
    count = min(len(level.points), _BLUR_POINTS)
    points = level.points[np.linspace(0, len(level.points) - 1, count).astype(np.int64)]
    return Level(values, level.affine, points, sample(values, level.affine, points).values)


def _positions(blocks: _Blocks, coarse: _Blocks, axis: int) -> NDArray[np.float64]:
    """Continuous coarse index of every index of a level along one axis."""
    here, there = blocks.factor[axis], coarse.factor[axis]
    native = np.arange(blocks.values.shape[axis]) * here + (here - 1) / 2
    return np.asarray((native - (there - 1) / 2) / there)


def _stretched(field: NDArray[np.float32], where: Sequence[NDArray[np.float64]]) -> NDArray[np.float32]:
    """Interpolate a smooth field linearly, one axis after the other; beyond its ends it is constant."""
    for axis, position in enumerate(where):
        last = field.shape[axis] - 1
        clipped = np.clip(position, 0, last)
        low = np.minimum(clipped.astype(int), max(last - 1, 0))
        shape = [-1 if a == axis else 1 for a in range(3)]
        part = (clipped - low).astype(np.float32).reshape(shape)
        first = field.take(low, axis=axis)
        field = first + (field.take(np.minimum(low + 1, last), axis=axis) - first) * part
    return field

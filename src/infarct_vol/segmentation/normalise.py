"""Make two FLAIR scans of one person comparable: one grid, one intensity scale, a known noise.

The follow-up scan stays as it was acquired; the baseline is brought to it, because the lesion is
measured on the follow-up's native voxels.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from infarct_vol.errors import SegmentationError
from infarct_vol.geometry import Grid
from infarct_vol.images import Scan
from infarct_vol.intake.background import with_dark_background
from infarct_vol.segmentation.canonical import Frame
from infarct_vol.segmentation.reference import zero_level

Volume = NDArray[np.float32]
Mask = NDArray[np.bool_]

# Enough voxels for stable robust fits; more only cost time.
FIT_VOXELS = 20_000
QUANTILE_VOXELS = 200_000
# Block side for fields that vary over centimetres: finer blocks change nothing but the cost.
BLOCK_MM = 3.0
# Coil shading varies over more than this; anatomy averages out over it.
SHADING_SIGMA_MM = 25.0
# Log-ratio beyond which a voxel has changed and is not shaded.
WIDE_LIMIT = 0.4


def without_offset(scan: Scan) -> Scan:
    """Return a scan whose level of no signal is 0; see `zero_level`."""
    data = with_dark_background(scan.data)
    dark = zero_level(data)
    return scan if dark == 0 else scan.with_data(data - dark)


def frame_grid(grid: Grid, frame: Frame) -> Grid:
    """Return the grid of a frame's working box in scanner RAS+ mm; ``grid`` is the scan's native one."""
    turn = np.zeros((4, 4))
    turn[3, 3] = 1.0
    for canonical, (source, flipped) in enumerate(zip(frame.axes.order, frame.axes.flip, strict=True)):
        turn[source, canonical] = -1.0 if flipped else 1.0
        turn[source, 3] = grid.shape[source] - 1 if flipped else 0.0
    return Grid(frame.full_shape, grid.affine @ turn).crop(frame.box)


def project(
    data: NDArray[np.generic], source: Grid, target: Grid, *, source_to_target: NDArray[np.float64]
) -> Volume:
    """Bring an image onto another grid, averaging over the extent of each target voxel.

    Parameters
    ----------
    data
        (I, J, K) values on ``source``.
    source, target
        Grids in scanner RAS+ mm.
    source_to_target
        (4, 4) matrix: points of the source (RAS+ mm) to points of the target (RAS+ mm).

    Returns
    -------
    NDArray[np.float32]
        Values on ``target``; 0 outside the source's field of view. A mask gives covered fractions.
    """
    matrix = np.linalg.inv(source.affine) @ np.linalg.inv(source_to_target) @ target.affine
    values = np.asarray(data, dtype=np.float32)
    counts = [max(1, int(round(float(np.abs(matrix[:3, axis]).max())))) for axis in range(3)]
    total = np.zeros(target.shape, dtype=np.float32)
    for number in np.ndindex(counts[0], counts[1], counts[2]):
        shift = (np.array(number) + 0.5) / counts - 0.5
        offset = matrix[:3, 3] + matrix[:3, :3] @ shift
        total += ndimage.affine_transform(
            values, matrix[:3, :3], offset, output_shape=target.shape, output=np.float32, order=1
        )
    total /= np.float32(np.prod(counts))
    return total


def tissue_level(data: Volume, brain: Mask) -> float:
    """Median FLAIR intensity of brain tissue (image units), CSF left out; 0 where there is no signal.

    Tissue is what exceeds half of the brain's 75th percentile: CSF is suppressed in FLAIR and lies
    far below it.
    """
    inside = data[brain]
    if not inside.size or inside.max() <= 0:
        return 0.0
    return float(np.median(inside[inside > 0.5 * np.percentile(inside, 75)]))


class Blocks:
    """Averages over blocks of about 3 mm, for fields that vary slowly, and the way back to voxels.

    Parameters
    ----------
    shape
        Shape of the voxel arrays.
    spacing_mm
        Voxel spacing along each axis in mm.
    """

    def __init__(self, shape: tuple[int, ...], spacing_mm: NDArray[np.float64]) -> None:
        self._shape = shape
        self._factor = [max(1, int(round(BLOCK_MM / float(s)))) for s in spacing_mm]
        self.spacing_mm = np.array([float(s) * f for s, f in zip(spacing_mm, self._factor, strict=True)])

    def mean(self, data: NDArray[Any]) -> Volume:
        """Mean of each block; beyond the array's end counts as 0."""
        padded = np.pad(data, [(0, -n % f) for n, f in zip(data.shape, self._factor, strict=True)])
        (i, j, k), (a, b, c) = padded.shape, self._factor
        blocks = padded.reshape(i // a, a, j // b, b, k // c, c)
        return np.asarray(blocks.mean(axis=(1, 3, 5), dtype=np.float32))

    def smooth(self, total: Volume, weight: Volume, *, sigma_mm: float) -> tuple[Volume, Volume]:
        """Weighted Gaussian average, from block means of weighted values and of weights.

        Returns the average (0 without support) and the averaged weight behind it, as blocks.
        """
        sigma = [sigma_mm / side for side in self.spacing_mm]
        top = ndimage.gaussian_filter(total, sigma, mode="constant")
        support = ndimage.gaussian_filter(weight, sigma, mode="constant")
        # below this the Gaussian's tail is rounding noise
        return np.where(support > 1e-6, top / np.maximum(support, 1e-6), 0).astype(np.float32), support

    def average(self, values: Volume, weights: Mask, *, sigma_mm: float) -> tuple[Volume, Volume]:
        """Weighted Gaussian average of voxels, as blocks; see `smooth`."""
        return self.smooth(self.mean(np.where(weights, values, 0)), self.mean(weights), sigma_mm=sigma_mm)

    def expand(self, blocks: Volume) -> Volume:
        """Interpolate block values back to voxels, linearly."""
        values = blocks
        # the first axis last: most of the work is on the whole volume then, whose rows are contiguous
        for axis in (2, 1, 0):
            factor, length = self._factor[axis], self._shape[axis]
            position = np.clip((np.arange(length) + 0.5) / factor - 0.5, 0, values.shape[axis] - 1)
            low = np.minimum(position.astype(np.intp), max(values.shape[axis] - 2, 0))
            along = [1, 1, 1]
            along[axis] = length
            share = (position - low).astype(np.float32).reshape(along)
            start = np.take(values, low, axis=axis)
            step = np.take(np.diff(values, axis=axis, append=values[_last(axis)]), low, axis=axis)
            values = start + share * step
        return np.asarray(values, dtype=np.float32)


def _last(axis: int) -> tuple[slice, ...]:
    return tuple(slice(-1, None) if a == axis else slice(None) for a in range(3))


def flatten(data: Volume, normal: Mask, *, spacing_mm: NDArray[np.float64]) -> Volume:
    """Divide a scan by its local tissue level, so that tissue reads about 1 everywhere.

    Parameters
    ----------
    data
        (I, J, K) FLAIR in scanner units.
    normal
        Brain away from the lesion.
    spacing_mm
        Voxel spacing in mm.

    Raises
    ------
    SegmentationError
        If there is no signal in ``normal``, or no voxel.
    """
    level = tissue_level(data, normal)
    if level <= 0:
        msg = (
            "there is no FLAIR signal in the brain away from the lesion; check the scan, its overlap with "
            "the baseline and the size of the lesion mask"
        )
        raise SegmentationError(msg)
    scaled = data / np.float32(level)
    tissue = normal & (scaled > 0.6) & (scaled < 1.5)
    blocks = Blocks(data.shape, spacing_mm)
    local, support = blocks.average(scaled, tissue, sigma_mm=SHADING_SIGMA_MM)
    # far from any tissue the local level fades into the overall one
    local = (local * support + np.float32(0.02)) / (support + np.float32(0.02))
    return np.asarray(scaled / np.maximum(blocks.expand(local), np.float32(0.2)))


def match_intensity(
    base: Volume, follow: Volume, usable: Mask, *, spacing_mm: NDArray[np.float64], local_sigma_mm: float
) -> Volume:
    """Rescale the baseline so that unchanged tissue reads as it does in the follow-up.

    Coil shading is removed by a robust quadratic in the log-ratio and then its local average; differences
    of contrast (inversion and echo times) by mapping the quantiles of the voxels in ``usable``.

    Parameters
    ----------
    base, follow
        (I, J, K) FLAIR intensities on one grid, tissue at about 1.
    usable
        Voxels of brain seen by both scans, away from the lesion.
    spacing_mm
        Voxel spacing in mm.
    local_sigma_mm
        Width of the local average in mm.

    Returns
    -------
    NDArray[np.float32]
        (I, J, K) baseline on the follow-up's intensity scale.
    """
    tissue = usable & (base > 0.5) & (follow > 0.5)
    ratio = np.zeros_like(base)
    ratio[tissue] = np.log(follow[tissue] / base[tissue])
    trend = _robust_quadratic(ratio, tissue)
    ratio -= trend
    blocks = Blocks(base.shape, spacing_mm)
    # wide first: shading that the quadratic misses must not pass for change
    for sigma_mm, limit in ((2 * local_sigma_mm, WIDE_LIMIT), (local_sigma_mm, 0.0)):
        spread = 1.4826 * float(np.median(np.abs(ratio[tissue]))) if tissue.any() else 0.0
        steady = tissue & (np.abs(ratio) < max(limit, 3 * spread))
        local, support = blocks.average(ratio, steady, sigma_mm=sigma_mm)
        # where little unchanged tissue is near, the local average fades out
        shading = blocks.expand(local * support / (support + np.float32(0.05)))
        trend += shading
        ratio -= shading
    matched = base * np.exp(trend)
    return _match_quantiles(matched, follow, usable)


def _robust_quadratic(ratio: Volume, tissue: Mask) -> Volume:
    where = np.argwhere(tissue)
    if len(where) < 1000:
        return np.full(ratio.shape, np.median(ratio[tissue]) if len(where) else 0.0, dtype=np.float32)
    where = where[:: max(1, len(where) // FIT_VOXELS)]
    values = ratio[tuple(where.T)].astype(np.float64)
    centre, half = np.array(ratio.shape) / 2.0, np.array(ratio.shape) / 2.0
    design = _quadratic_terms(*((where - centre) / half).T)
    weights = np.ones(len(values))
    for _ in range(6):
        weighted = design * weights[:, None]
        coefficients = np.linalg.lstsq(weighted.T @ design, weighted.T @ values, rcond=None)[0]
        residual = values - design @ coefficients
        scale = 4.685 * 1.4826 * np.median(np.abs(residual)) + 1e-9
        weights = np.clip(1 - (residual / scale) ** 2, 0, None) ** 2
    axes = [
        ((np.arange(n) - c) / h).astype(np.float32) for n, c, h in zip(ratio.shape, centre, half, strict=True)
    ]
    x, y, z = np.meshgrid(*axes, indexing="ij", sparse=True)
    c = coefficients.astype(np.float32)
    linear = c[0] + c[1] * x + c[2] * y + c[3] * z
    return np.asarray(
        linear + c[4] * x * x + c[5] * y * y + c[6] * z * z + c[7] * x * y + c[8] * x * z + c[9] * y * z
    )


def _quadratic_terms(
    x: NDArray[np.float64], y: NDArray[np.float64], z: NDArray[np.float64]
) -> NDArray[np.float64]:
    return np.stack([np.ones_like(x), x, y, z, x * x, y * y, z * z, x * y, x * z, y * z], axis=1)


def _match_quantiles(base: Volume, follow: Volume, usable: Mask) -> Volume:
    """Map the distribution of ``base`` in the usable voxels onto that of ``follow`` there.

    Quantiles, not regression: noise in the baseline would flatten a regression and lower the expected
    brightness of white-matter hyperintensity, which would then look new.
    """
    if np.count_nonzero(usable) < 1000:
        return base
    levels = np.linspace(1, 99, 50)
    some = slice(None, None, max(1, np.count_nonzero(usable) // QUANTILE_VOXELS))
    # equal knots would make the interpolation ambiguous (a background of zeros)
    knots, first = np.unique(np.percentile(base[usable][some], levels), return_index=True)
    goal = np.percentile(follow[usable][some], levels)[first]
    shift = np.interp(base, knots, goal - knots).astype(np.float32)
    return np.asarray(base + shift, dtype=np.float32)


def noise_level(residual: Volume, base: Volume, usable: Mask, *, bins: int = 12) -> Volume:
    """Estimate the SD of follow-up minus baseline in unchanged brain, voxel by voxel.

    Noise is estimated in classes of the baseline's gradient, so that edges, where a small
    misregistration shows, need a larger difference than flat tissue does.

    Parameters
    ----------
    residual
        (I, J, K) follow-up minus matched baseline.
    base
        (I, J, K) matched baseline.
    usable
        Voxels of unchanged brain.
    bins
        Number of gradient classes with equal voxel counts.

    Returns
    -------
    NDArray[np.float32]
        (I, J, K) robust SD (1.4826 x median absolute deviation) in the units of ``residual``.
    """
    slope = np.sqrt(sum(np.square(part) for part in np.gradient(base)))
    inside_slope, inside_residual = slope[usable], np.abs(residual[usable])
    if inside_slope.size < 100 * bins:
        value = 1.4826 * float(np.median(inside_residual)) if inside_slope.size else 1.0
        return np.full(residual.shape, value, dtype=np.float32)
    edges = np.quantile(inside_slope, np.linspace(0, 1, bins + 1))
    index = np.clip(np.searchsorted(edges, inside_slope, side="right") - 1, 0, bins - 1)
    centres = [float(np.median(inside_slope[index == b])) for b in range(bins) if (index == b).any()]
    spread = [
        1.4826 * float(np.median(inside_residual[index == b])) for b in range(bins) if (index == b).any()
    ]
    return np.asarray(np.interp(slope, centres, np.maximum.accumulate(spread)), dtype=np.float32)

"""What the tissue around a voxel normally looks like: smooth trends, local means and local spread.

Everything here works on canonical (X, Y, Z) float32 boxes with a weight of 0 outside the reference tissue,
so that cerebrospinal fluid, air and the lesion itself do not enter the mean (normalised convolution,
Knutsson and Westin 1993).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from infarct_vol.intake.background import with_dark_background
from infarct_vol.segmentation.symmetry import MirrorPlane, centred_axes_mm

Volume = NDArray[np.float32]
Mask = NDArray[np.bool_]

ZERO_PERCENT = 1.0
FIT_SAMPLES = 20_000
FIT_ROUNDS = 8
# share of the kernel that must be reference tissue before a scale is trusted by half
HALF_TRUST = 0.03
# Gaussian kernels are cut at three standard deviations
TRUNCATE = 3.0


def robust_centre_and_spread(values: NDArray[np.float32]) -> tuple[float, float]:
    """Median, and the median absolute deviation scaled to the SD of a normal distribution."""
    centre = float(np.median(values))
    return centre, 1.4826 * float(np.median(np.abs(values - centre))) + 1e-6


def zero_level(data: Volume) -> np.float32:
    """Intensity that stands for no signal: the darkest hundredth, air or stripped background.

    Contrast is counted from here, so that an offset of scanner or converter changes nothing. The level is
    that of a voxel, not between two: it moves with gain and offset exactly. A background amid the
    intensities, as normalisation leaves it, is none; the darkest voxels of the head are.
    """
    data = with_dark_background(data)
    finite = data if np.isfinite(data).all() else data[np.isfinite(data)]
    return np.float32(np.percentile(finite, ZERO_PERCENT, method="lower")) if finite.size else np.float32(0)


def histogram_mode(values: NDArray[np.float32], *, low: float, high: float, width: float) -> float:
    """Most frequent value between two limits, from a histogram smoothed over four bins.

    Unlike a median it stays with normal tissue when an infarct fills a fifth of the brain.
    """
    counts, edges = np.histogram(values, np.arange(low, high + width, width))
    smooth = ndimage.gaussian_filter1d(counts.astype(np.float64), 4.0)
    peak = int(np.argmax(smooth))
    return float(edges[peak] + 0.5 * width)


def weighted_sums(
    values: Volume, weight: Volume, *, sigma_mm: float, spacing_mm: NDArray[np.float64]
) -> tuple[Volume, Volume]:
    """Gaussian-weighted sum of ``values * weight`` and of ``weight``.

    Parameters
    ----------
    values, weight
        (X, Y, Z); values where the weight is 0 are ignored.
    sigma_mm
        Standard deviation of the kernel in mm.
    spacing_mm
        (3,) voxel spacing.
    """
    return (
        smoothed(values * weight, sigma_mm=sigma_mm, spacing_mm=spacing_mm),
        smoothed(weight, sigma_mm=sigma_mm, spacing_mm=spacing_mm),
    )


def smoothed(volume: Volume, *, sigma_mm: float, spacing_mm: NDArray[np.float64]) -> Volume:
    """Gaussian mean with zeros outside the box; of block means where the kernel is many voxels wide.

    That costs little and changes nothing that a kernel of that width could resolve.
    """
    blocks = [max(1, int(sigma_mm / 3.0 / s)) for s in spacing_mm]
    sigma = [sigma_mm / (s * n) for s, n in zip(spacing_mm, blocks, strict=True)]
    coarse = _block_mean(volume, blocks)
    coarse = ndimage.gaussian_filter(coarse, sigma, mode="constant", truncate=TRUNCATE)
    return _spread_blocks(coarse, blocks, volume.shape)


def weighted_mean(
    values: Volume, weight: Volume, *, sigma_mm: float, spacing_mm: NDArray[np.float64]
) -> Volume:
    """Normalised convolution; 0 where no reference tissue is in reach."""
    total, share = weighted_sums(values, weight, sigma_mm=sigma_mm, spacing_mm=spacing_mm)
    return np.where(share > 1e-6, total / np.maximum(share, 1e-6), 0).astype(np.float32)


def smooth_in_tissue(
    values: Volume, tissue: Mask, *, sigma_mm: float, spacing_mm: NDArray[np.float64]
) -> Volume:
    """Gaussian smoothing that neither takes from nor gives to voxels outside the tissue, which become 0."""
    if sigma_mm == 0:
        return np.where(tissue, values, 0).astype(np.float32)
    total, share = weighted_sums(values, tissue.astype(np.float32), sigma_mm=sigma_mm, spacing_mm=spacing_mm)
    return np.where(tissue, total / np.maximum(share, 1e-3), 0).astype(np.float32)


def local_reference(
    values: Volume, reference: Mask, *, sigmas_mm: Sequence[float], spacing_mm: NDArray[np.float64]
) -> Volume:
    """Local mean of the reference tissue, coarse to fine.

    Each finer scale corrects the coarser one by as much as reference tissue is in its reach. Deep inside a
    territorial infarct there is none, and the mean of far tissue and the other hemisphere stands.
    """
    weight = reference.astype(np.float32)
    mean = np.zeros_like(values)
    for sigma_mm in sigmas_mm:
        total, share = weighted_sums(values - mean, weight, sigma_mm=sigma_mm, spacing_mm=spacing_mm)
        trust = share / (share + HALF_TRUST)
        mean += np.where(share > 1e-6, total / np.maximum(share, 1e-6), 0) * trust
    return mean


def local_spread(
    values: Volume, reference: Mask, *, sigma_mm: float | None, spacing_mm: NDArray[np.float64]
) -> Volume:
    """Local standard deviation of values centred on 0, drawn towards the whole brain's where tissue is thin.

    Deviations beyond four robust SD count as four. The result is never below 0.7 of the whole brain's
    spread, so that an unusually even region does not turn noise into evidence. ``sigma_mm = None`` gives
    the whole brain's robust spread everywhere.
    """
    _, spread = robust_centre_and_spread(values[reference])
    if sigma_mm is None:
        return np.full(values.shape, spread, dtype=np.float32)
    square = np.clip(values, -4 * spread, 4 * spread) ** 2
    total, share = weighted_sums(
        square, reference.astype(np.float32), sigma_mm=sigma_mm, spacing_mm=spacing_mm
    )
    local = np.sqrt((total + spread * spread * HALF_TRUST) / (share + HALF_TRUST))
    return np.maximum(local, 0.7 * spread).astype(np.float32)


def smooth_trend(
    values: Volume, reference: Mask, *, plane: MirrorPlane, spacing_mm: NDArray[np.float64]
) -> Volume:
    """Fit the coil's shading as a robust low-order polynomial of position.

    Across the midline only a linear term is free and the others are even, so that a bright hemisphere is
    not taken for shading.
    """
    terms = _trend_terms(values.shape, plane=plane, spacing_mm=spacing_mm)
    trend = np.zeros(values.shape, dtype=np.float32)
    for coefficient, term in zip(robust_fit(values, terms, where=reference), terms, strict=True):
        trend += np.float32(coefficient) * term
    return trend


def robust_fit(values: Volume, terms: Sequence[Volume], *, where: Mask) -> NDArray[np.float64]:
    """Fit a volume as a robust linear combination of others, on voxels spread evenly over a mask.

    Parameters
    ----------
    values
        (X, Y, Z).
    terms
        M volumes that broadcast to (X, Y, Z).
    where
        (X, Y, Z) voxels to fit; about 20 000 of them are used.

    Returns
    -------
    numpy.ndarray
        (M,) coefficients; least squares with Tukey's biweight.
    """
    chosen = np.flatnonzero(where)
    chosen = chosen[:: max(1, len(chosen) // FIT_SAMPLES)]
    design = np.stack([np.broadcast_to(t, values.shape).ravel()[chosen] for t in terms], axis=1)
    return _biweight(design.astype(np.float64), values.ravel()[chosen].astype(np.float64))


def _biweight(design: NDArray[np.float64], wanted: NDArray[np.float64]) -> NDArray[np.float64]:
    """Least squares with Tukey's biweight; einsum sums in one order whatever the number of threads."""
    weight: NDArray[np.float64] = np.ones(len(wanted))
    coefficients: NDArray[np.float64] = np.zeros(design.shape[1])
    # a slight pull to 0 keeps a term that one thin slab cannot tell from another from running away
    ridge = 1e-6 * len(wanted) * np.eye(design.shape[1])
    for _ in range(FIT_ROUNDS):
        weighted = design * weight[:, None]
        normal = np.einsum("ni,nj->ij", weighted, design) + ridge
        coefficients = np.linalg.solve(normal, np.einsum("ni,n->i", weighted, wanted))
        residual = wanted - np.einsum("ni,i->n", design, coefficients)
        _, spread = robust_centre_and_spread(residual.astype(np.float32))
        weight = np.asarray(np.clip(1.0 - (residual / (4.0 * spread)) ** 2, 0.0, None) ** 2)
    return coefficients


def _trend_terms(
    shape: tuple[int, ...], *, plane: MirrorPlane, spacing_mm: NDArray[np.float64]
) -> list[Volume]:
    x, y, z = centred_axes_mm(shape, spacing_mm)
    normal = plane.normal
    # coordinates scaled to about -1..1 over a head
    u = ((normal[0] * x + normal[1] * y + normal[2] * z - plane.offset_mm) / 70.0).astype(np.float32)
    v = (y / 80.0).astype(np.float32)
    w = (z / 60.0).astype(np.float32)
    one = np.ones((1, 1, 1), dtype=np.float32)
    return [one, u, v, w, u * u, v * v, w * w, v * w, u * u * w, v**3, w**3]


def _block_mean(volume: Volume, blocks: Sequence[int]) -> Volume:
    if max(blocks) == 1:
        return volume.astype(np.float32)
    padding = [(0, (-n) % b) for n, b in zip(volume.shape, blocks, strict=True)]
    padded = np.pad(volume, padding)
    x, y, z = (n // b for n, b in zip(padded.shape, blocks, strict=True))
    split = padded.reshape(x, blocks[0], y, blocks[1], z, blocks[2])
    return np.asarray(split.mean(axis=(1, 3, 5)), dtype=np.float32)


def _spread_blocks(coarse: Volume, blocks: Sequence[int], shape: tuple[int, ...]) -> Volume:
    for axis, (block, length) in enumerate(zip(blocks, shape, strict=True)):
        if block == 1:
            continue
        last = coarse.shape[axis] - 1
        position = np.clip((np.arange(length) + 0.5) / block - 0.5, 0, last)
        lower = np.floor(position).astype(np.intp)
        share = (position - lower).astype(np.float32).reshape([-1 if a == axis else 1 for a in range(3)])
        upper = np.minimum(lower + 1, last)
        coarse = np.take(coarse, lower, axis) * (1 - share) + np.take(coarse, upper, axis) * share
    return coarse

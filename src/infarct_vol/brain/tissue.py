"""Shading of intensities, and the level and spread of normal-appearing tissue."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from infarct_vol.brain.morphology import Mask, Volume, smoothed
from infarct_vol.brain.working_grid import WorkingGrid
from infarct_vol.errors import BrainMaskError
from infarct_vol.images import BrainMask, LesionMask, Scan, require_same_grid

MAD_TO_SD = 1.4826
"""Median absolute deviation to standard deviation, for a normal distribution."""
_TISSUE_MADS = 3.0
_PASSES = 4


def flatten_bias(
    scan: Scan,
    brain: BrainMask,
    *,
    exclude: LesionMask | None = None,
    sigma_mm: float = 30.0,
    working_mm: float = 4.0,
) -> Scan:
    """Divide a scan by the smooth shading of its normal tissue.

    The shading is the normalised Gaussian convolution of log intensity over voxels of normal level; after
    each pass the voxels that differ from their surroundings leave, so that lesions, CSF and vessels do not
    count. The median of normal tissue is unchanged.

    Parameters
    ----------
    scan, brain
        Image and brain mask on one grid.
    exclude
        A lesion on the same grid whose voxels do not count.
    sigma_mm
        Width of the Gaussian; shading finer than this stays.
    working_mm
        Spacing the shading is estimated at.

    Returns
    -------
    Scan
        Intensities divided by the shading, on the same grid.

    Raises
    ------
    GridMismatchError
        If mask or lesion are on another grid.
    BrainMaskError
        If the mask holds no positive voxel.

    Notes
    -----
    A plain numpy estimate instead of N4 (Tustison 2010, IEEE TMI 29:1310), whose ITK implementation
    differs with the number of threads.
    """
    allowed = _allowed(scan, brain, exclude)
    working = WorkingGrid.of(scan.grid, target_mm=working_mm)
    share = working.reduced(working.ordered(allowed).astype(np.float32))
    values = np.where(allowed, scan.data, 0).astype(np.float32)
    sums = working.reduced(working.ordered(values))
    usable = share > 0.5
    level = np.divide(sums, share, out=np.zeros_like(sums), where=usable)
    usable &= level > 0
    if not usable.any():
        msg = "the brain mask holds no positive intensity to estimate the shading from"
        raise BrainMaskError(msg, where=str(scan.identity))
    shading = working.enlarged(_log_shading(level, usable, sigma_mm=sigma_mm, spacing_mm=working.spacing_mm))
    np.exp(shading, out=shading)
    return scan.with_data(scan.data / working.restored(shading), remark="shading removed")


def tissue_reference(
    scan: Scan, brain: BrainMask, *, exclude: LesionMask | None = None
) -> tuple[float, float]:
    """Return median and robust SD of normal-appearing tissue.

    Voxels further than three robust SD from the median (CSF, lesions, vessels) are left out and both are
    taken again, at most four times.

    Parameters
    ----------
    scan, brain
        Image and brain mask on one grid.
    exclude
        A lesion on the same grid whose voxels do not count.

    Returns
    -------
    median, sd
        In the scan's intensity units; sd is 1.4826 times the median absolute deviation.

    Raises
    ------
    GridMismatchError
        If mask or lesion are on another grid.
    BrainMaskError
        If no finite voxel is left.
    """
    values = scan.data[_allowed(scan, brain, exclude)]
    if values.size == 0:
        msg = "no finite voxel is left in the brain mask outside the lesion: there is no tissue to refer to"
        raise BrainMaskError(msg, where=str(scan.identity))
    for _ in range(_PASSES):
        median, sd = _median_and_sd(values)
        kept = np.abs(values - median) <= _TISSUE_MADS * sd
        if kept.all():
            break
        values = values[kept]
    return _median_and_sd(values)


def _allowed(scan: Scan, brain: BrainMask, exclude: LesionMask | None) -> Mask:
    require_same_grid(scan, brain, what="scan and brain mask")
    allowed = brain.data & np.isfinite(scan.data)
    if exclude is not None:
        require_same_grid(scan, exclude, what="scan and excluded lesion")
        allowed &= ~exclude.data
    return np.asarray(allowed)


def _median_and_sd(values: NDArray[np.float32]) -> tuple[float, float]:
    median = float(np.median(values))
    return median, MAD_TO_SD * float(np.median(np.abs(values - median)))


def _log_shading(level: Volume, usable: Mask, *, sigma_mm: float, spacing_mm: NDArray[np.float64]) -> Volume:
    """Return the smooth log shading of normal tissue, with median 0 over it."""
    logs = np.log(np.where(usable, level, 1)).astype(np.float32)
    shading = np.full(level.shape, np.median(logs[usable]), dtype=np.float32)
    tissue = usable
    for _ in range(_PASSES):
        rest = logs - shading
        middle, sd = _median_and_sd(rest[tissue])
        tissue = usable & (np.abs(rest - middle) <= max(_TISSUE_MADS * sd, 1e-3))
        weight = smoothed(tissue.astype(np.float32), sigma_mm, spacing_mm=spacing_mm)
        total = smoothed(np.where(tissue, rest, 0).astype(np.float32), sigma_mm, spacing_mm=spacing_mm)
        # smoothing what is left, again and again, undoes the flattening at the edge of the brain
        shading += np.where(weight > 1e-4, total / np.maximum(weight, 1e-4), 0).astype(np.float32)
    return np.asarray(shading - np.median(shading[tissue]), dtype=np.float32)

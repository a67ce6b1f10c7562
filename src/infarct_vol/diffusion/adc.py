"""ADC from two diffusion weightings, and agreement of two ADC maps."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from scipy import ndimage

from infarct_vol.errors import DiffusionError
from infarct_vol.geometry import Grid
from infarct_vol.images import BrainMask, Scan, require_same_grid

MM2_TO_UM2 = 1e6
INVALID_ADC_UM2_PER_S = 50.0
"""At or below this an ADC is invalid, not restricted."""


def adc_from_dwi(b0: Scan, dwi: Scan, *, bvalue: float, b0_bvalue: float = 0.0) -> Scan:
    """Compute ``ADC = ln(S0 / Sb) / (b - b0)`` in 1e-6 mm2/s.

    Parameters
    ----------
    b0, dwi
        Image without diffusion weighting and trace image, on one grid.
    bvalue
        Diffusion weighting of ``dwi`` in s/mm2.
    b0_bvalue
        That of ``b0``, which scanners make with 0 to 50.

    Returns
    -------
    Scan
        ADC map on the same grid; NaN, never clipped, where either signal is zero or less.

    Raises
    ------
    GridMismatchError
        If the two images are on different grids.
    DiffusionError
        If the b-value is not a positive number, and larger than that of ``b0``.
    """
    require_same_grid(b0, dwi, what="b0 and DWI")
    if not (math.isfinite(bvalue) and bvalue > 0):
        msg = f"the b-value must be a positive number in s/mm2, got {bvalue:g}"
        raise DiffusionError(msg, where=str(dwi.identity))
    if not 0 <= b0_bvalue < bvalue:
        msg = f"the b-value of b0 must lie between 0 and {bvalue:g} s/mm2, got {b0_bvalue:g}"
        raise DiffusionError(msg, where=str(b0.identity))
    valid = (b0.data > 0) & (dwi.data > 0)
    ratio = np.divide(b0.data, dwi.data, out=np.ones_like(dwi.data), where=valid)
    adc = np.log(ratio) * np.float32(MM2_TO_UM2 / (bvalue - b0_bvalue))
    adc[~valid] = np.nan
    identity = replace(dwi.identity, modality="adc", path=None, sha256="")
    remark = f"computed from b0 and DWI at b = {bvalue:g} s/mm2"
    return Scan(data=adc, grid=dwi.grid, identity=identity, remarks=(remark,))


def compare_adc(supplied: Scan, computed: Scan, brain: BrainMask | None = None) -> float:
    """Return the median relative difference of two ADC maps over the brain, in percent.

    Voxels at or below 50e-6 mm2/s in either map do not count.

    Raises
    ------
    GridMismatchError
        If maps and brain mask are not on one grid.
    DiffusionError
        If no voxel is valid in both maps.
    """
    require_same_grid(supplied, computed, what="the two ADC maps")
    valid = (supplied.data > INVALID_ADC_UM2_PER_S) & (computed.data > INVALID_ADC_UM2_PER_S)
    if brain is not None:
        require_same_grid(supplied, brain, what="ADC map and brain mask")
        valid &= brain.data
    if not valid.any():
        msg = "the supplied and the recomputed ADC map have no valid voxel in common"
        raise DiffusionError(msg, where=str(supplied.identity))
    return float(np.median(supplied.data[valid] / computed.data[valid] - 1)) * 100


def onto_grid(scan: Scan, grid: Grid) -> Scan:
    """Resample a scan linearly onto another grid by the two affines; NaN where it does not reach."""
    to_source = np.linalg.inv(scan.grid.affine) @ grid.affine
    rows, columns = np.meshgrid(*(np.arange(n) for n in grid.shape[1:]), indexing="ij")
    out = np.empty(grid.shape, dtype=np.float32)
    for plane in range(grid.shape[0]):  # plane by plane: coordinates of a whole volume are large
        index = np.stack([np.full(rows.shape, plane), rows, columns])
        points = np.tensordot(to_source[:3, :3], index, axes=1) + to_source[:3, 3, np.newaxis, np.newaxis]
        # positions that differ from a voxel centre by rounding alone are at the centre
        np.round(points, 6, out=points)
        out[plane] = ndimage.map_coordinates(scan.data, points, order=1, mode="constant", cval=np.nan)
    remark = f"resampled linearly from {scan.grid.describe()}"
    return Scan(out, grid, scan.identity, scan.sidecar, (*scan.remarks, remark))

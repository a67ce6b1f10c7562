"""A DWI and its ADC map, prepared for comparison: canonical box, tissue, usual ADC, midplane."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from infarct_vol.errors import SegmentationError
from infarct_vol.images import BrainMask, Scan
from infarct_vol.segmentation.canonical import Frame, canonical_frame
from infarct_vol.segmentation.reference import (
    histogram_mode,
    robust_centre_and_spread,
    smooth_in_tissue,
    smooth_trend,
    zero_level,
)
from infarct_vol.segmentation.symmetry import MirrorPlane, find_midplane, sagittal_plane_through_centroid
from infarct_vol.settings import AcuteSettings

Volume = NDArray[np.float32]
Mask = NDArray[np.bool_]

# at or below this an ADC is invalid (signal lost in noise), not restricted diffusion
INVALID_ADC_UM2_PER_S = 50.0
# the usual ADC of a living brain is looked for, and must lie, between these
USUAL_ADC_LIMITS_UM2_PER_S = (350.0, 1400.0)
# reference tissue has an ADC within a factor of 1.57 of the usual one
REFERENCE_LOG_ADC = 0.45
# share of the CSF limit (log units) that the mean round a CSF voxel must reach
AROUND_CSF = 0.8
# CSF is not brighter on DWI than this (log units over the trend); oedema and damaged cortex may be
CSF_LOG_DWI = 0.1
# without an ADC map, CSF is what is darker on DWI than this (log units under the trend)
DARK_LOG_DWI = -0.5
MINIMUM_TISSUE_VOXELS = 500
# share of the brain's median DWI at or below which a voxel shows no signal
LEAST_SIGNAL = 1e-3


@dataclass(frozen=True, eq=False)
class PreparedCase:
    """One case in its canonical working box; all arrays (X, Y, Z).

    Parameters
    ----------
    frame
        Way back to the native grid.
    flat_dwi
        Log DWI with the coil's shading removed and smoothed inside tissue; 0 outside tissue.
    adc_change
        Log of ADC over the usual ADC, smoothed likewise; ``None`` without an ADC map.
    tissue
        Brain that is neither CSF nor without valid signal.
    reference
        Tissue with an ordinary ADC: what a voxel may be compared with.
    csf
        Voxels a mask is never filled into.
    plane
        Mid-sagittal plane.
    usual_adc_um2_per_s
        Most frequent ADC of the brain; NaN without an ADC map.
    """

    frame: Frame
    flat_dwi: Volume
    adc_change: Volume | None
    brain: Mask
    tissue: Mask
    reference: Mask
    csf: Mask
    plane: MirrorPlane
    usual_adc_um2_per_s: float


def usual_adc(adc_um2_per_s: NDArray[np.float32], *, where: str) -> float:
    """Most frequent ADC of brain voxels in 1e-6 mm2/s.

    Raises
    ------
    SegmentationError
        If fewer than half the voxels lie in the range of living tissue and CSF: the unit is wrong, or the
        map does not belong to the brain mask.
    """
    low, high = USUAL_ADC_LIMITS_UM2_PER_S
    share = float(np.mean((adc_um2_per_s > low) & (adc_um2_per_s < 4000.0))) if adc_um2_per_s.size else 0.0
    inside = adc_um2_per_s[(adc_um2_per_s > low) & (adc_um2_per_s < high)]
    if share < 0.5 or inside.size < MINIMUM_TISSUE_VOXELS:
        median = float(np.median(adc_um2_per_s)) if adc_um2_per_s.size else float("nan")
        msg = (
            f"the ADC map does not look like a brain in 1e-6 mm2/s: expected most of it between {low:.0f} "
            f"and 4000, found a median of {median:.4g}; convert it with 'to_um2_per_s' or state its unit"
        )
        raise SegmentationError(msg, where=where)
    return histogram_mode(inside, low=low, high=high, width=10.0)


def prepare_case(dwi: Scan, adc: Scan | None, *, brain: BrainMask, settings: AcuteSettings) -> PreparedCase:
    """Bring one case into its canonical box and find its tissue, usual ADC and midplane.

    Raises
    ------
    SegmentationError
        If the brain mask is empty, or too little of it is tissue with signal.
    """
    where = str(dwi.identity)
    if not brain.data.any():
        msg = "the brain mask is empty: expected brain voxels to look for an infarct in; check the brain mask"
        raise SegmentationError(msg, where=where)
    frame = canonical_frame(dwi.grid, brain.data)
    inside = frame.take(brain.data)
    signal = frame.take(dwi.data) - zero_level(dwi.data)
    # relative to the brain's own level: the same result for any gain of the scanner
    seen = inside & np.isfinite(signal)
    level = float(np.median(signal[seen])) if seen.any() else 0.0
    valid = seen & (signal > LEAST_SIGNAL * max(level, 0.0))
    usual = float("nan")
    change: Volume | None = None
    if adc is not None:
        values = frame.take(adc.data)
        valid &= np.isfinite(values) & (values > INVALID_ADC_UM2_PER_S)
        usual = usual_adc(values[valid], where=where)
        change = np.where(valid, np.log(np.where(valid, values, 1.0) / usual), 0).astype(np.float32)
    if int(valid.sum()) < MINIMUM_TISSUE_VOXELS:
        msg = (
            f"only {int(valid.sum())} brain voxels have signal: expected at least {MINIMUM_TISSUE_VOXELS}; "
            "check that the image is a DWI and that the brain mask belongs to it"
        )
        raise SegmentationError(msg, where=where)
    log_dwi = np.log(np.where(valid, signal, np.float32(level)) / np.float32(level)).astype(np.float32)
    return _compare_ready(frame, log_dwi, change, inside, valid, usual, settings=settings)


def _compare_ready(
    frame: Frame,
    log_dwi: Volume,
    change: Volume | None,
    brain: Mask,
    valid: Mask,
    usual: float,
    *,
    settings: AcuteSettings,
) -> PreparedCase:
    spacing_mm = frame.spacing_mm
    rough = sagittal_plane_through_centroid(brain, spacing_mm)
    ordinary = valid & (np.abs(log_dwi) < 1.2 if change is None else np.abs(change) < REFERENCE_LOG_ADC)
    trend = smooth_trend(log_dwi, ordinary, plane=rough, spacing_mm=spacing_mm)
    tissue = valid & ~_csf(log_dwi - trend, change, valid, spacing_mm=spacing_mm, settings=settings)
    reference = tissue if change is None else tissue & ordinary
    plane = find_midplane(_symmetry_image(log_dwi - trend, change, tissue), brain, spacing_mm)
    trend = smooth_trend(log_dwi, reference, plane=plane, spacing_mm=spacing_mm)
    flat = smooth_in_tissue(log_dwi - trend, tissue, sigma_mm=settings.smoothing_mm, spacing_mm=spacing_mm)
    if change is not None:
        change = smooth_in_tissue(change, tissue, sigma_mm=settings.smoothing_mm, spacing_mm=spacing_mm)
        centre, _ = robust_centre_and_spread(change[reference])
        change = np.where(tissue, change - np.float32(centre), 0).astype(np.float32)
    return PreparedCase(frame, flat, change, brain, tissue, reference, valid & ~tissue, plane, usual)


def _csf(
    flat: Volume,
    change: Volume | None,
    valid: Mask,
    *,
    spacing_mm: NDArray[np.float64],
    settings: AcuteSettings,
) -> Mask:
    """Voxels of cerebrospinal fluid: watery, with watery surroundings, and not bright on DWI."""
    if change is None:
        return np.asarray(valid & (flat <= DARK_LOG_DWI), dtype=np.bool_)
    limit = np.log(settings.csf_adc_ratio)
    # one noisy voxel is not CSF: its surroundings must be watery too
    around = smooth_in_tissue(change, valid, sigma_mm=settings.smoothing_mm, spacing_mm=spacing_mm)
    watery = (change >= limit) & (around >= AROUND_CSF * limit)
    return np.asarray(valid & watery & (flat < CSF_LOG_DWI), dtype=np.bool_)


def _symmetry_image(flat: Volume, change: Volume | None, tissue: Mask) -> Volume:
    """Contrast of DWI and ADC together, clipped so that lesions and artefacts weigh no more than tissue."""
    image = 2.0 * np.where(tissue, np.clip(flat, -1, 1), -1.0)
    if change is not None:
        image = image - np.where(tissue, np.clip(change, -0.5, 0.5), 0.7)
    return np.asarray(image, dtype=np.float32)

"""Evidence for an acute infarct, voxel by voxel: local references, spread, and the mirrored hemisphere."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from infarct_vol.segmentation.cleanup import keep_touching, neighbourhood
from infarct_vol.segmentation.evidence import Features, LesionModel, log_likelihood_ratio
from infarct_vol.segmentation.expectation import without_expected
from infarct_vol.segmentation.reference import (
    local_reference,
    local_spread,
    robust_centre_and_spread,
    smooth_in_tissue,
)
from infarct_vol.segmentation.symmetry import brightest_nearby, reflect
from infarct_vol.segmentation.tissue import PreparedCase
from infarct_vol.settings import AcuteSettings

Volume = NDArray[np.float32]
Mask = NDArray[np.bool_]

NO_EVIDENCE = np.float32(-10.0)
# an ADC more than 10 percent above usual speaks against an acute infarct whatever the DWI shows
ADC_RISE_LIMIT = 0.1
ADC_RISE_EVIDENCE = np.float32(-2.0)
SPREAD_MM = 16.0
# single voxels count no more than this in the evidence of a region
REGIONAL_LIMITS = (-6.0, 8.0)
# a mirrored voxel darker than this (log DWI) is CSF or outside and says nothing
MIRROR_FLOOR = -0.1


@dataclass(frozen=True, eq=False)
class Contrast:
    """How far voxels differ from what they are compared with, arrays (X, Y, Z) in the canonical box.

    Parameters
    ----------
    brightness, brightness_sd
        Log DWI over its reference, and its local spread in normal tissue.
    adc_change, adc_change_sd
        The same of log ADC over the brain's usual ADC; ``None`` without an ADC map.
    """

    brightness: Volume
    brightness_sd: Volume
    adc_change: Volume | None
    adc_change_sd: Volume | None


@dataclass(frozen=True, eq=False)
class Evidence:
    """Evidence of one pass, arrays (X, Y, Z) in the canonical box.

    Parameters
    ----------
    plain
        Contrast to the tissue nearby.
    unexpected
        What is left of it without the healthy look that the mirrored hemisphere foretells.
    own
        Log likelihood ratio of the voxel's own plain contrast.
    total
        The same with what the mirrored hemisphere adds or takes.
    residual
        Log likelihood ratio of the unexpected contrast.
    regional
        Mean of ``residual`` over the tissue nearby: what a large faint infarct shows and a noisy voxel does
        not.
    reference
        Tissue the voxels were compared with, without the provisional lesion of the pass before.
    """

    plain: Contrast
    unexpected: Contrast
    own: Volume
    total: Volume
    residual: Volume
    regional: Volume
    reference: Mask

    @property
    def unvetoed(self) -> Volume:
        """Evidence that a bright mirror image cannot take away: for regions that are sure by themselves."""
        return np.maximum(np.maximum(self.total, self.own), self.residual)


def gather_evidence(case: PreparedCase, *, model: LesionModel, settings: AcuteSettings) -> Evidence:
    """Compare every voxel with its surroundings and its mirror, in passes from coarse to fine.

    After each pass the provisional lesion, one voxel wider, is taken out of the reference tissue.
    """
    reference = case.reference
    found: Evidence | None = None
    for count in range(1, len(settings.reference_mm) + 1):
        found = _one_pass(
            case, reference, sigmas=settings.reference_mm[:count], model=model, settings=settings
        )
        lesion = lesion_core(found, settings=settings, seed=settings.grow_evidence)
        wider = ndimage.binary_dilation(lesion, neighbourhood(26))
        reference = _enough(case.reference & ~wider, fallback=case.reference)
    if found is None:
        msg = "reference_mm must name at least one scale"
        raise ValueError(msg)
    return found


def lesion_core(found: Evidence, *, settings: AcuteSettings, seed: float) -> Mask:
    """Voxels with evidence of at least ``seed`` that are sure, by themselves or as a region.

    A voxel is sure by itself where it is connected to evidence of ``seed_evidence``; a region is where the
    evidence of all its tissue together favours infarct.
    """
    strong = found.total > settings.seed_evidence
    sure = keep_touching(found.total > settings.grow_evidence, strong, connectivity=26)
    region = (found.regional > settings.regional_evidence) & (found.unvetoed > settings.grow_evidence)
    return np.asarray((sure & (found.total > seed)) | region, dtype=np.bool_)


def _enough(reference: Mask, *, fallback: Mask) -> Mask:
    # with nearly all tissue provisional lesion there is nothing left to compare with
    return reference if reference.sum() > 0.2 * fallback.sum() else fallback


def _one_pass(
    case: PreparedCase,
    reference: Mask,
    *,
    sigmas: tuple[float, ...],
    model: LesionModel,
    settings: AcuteSettings,
) -> Evidence:
    spacing_mm, tissue, change = case.frame.spacing_mm, case.tissue, case.adc_change
    bright = case.flat_dwi - local_reference(
        case.flat_dwi, reference, sigmas_mm=sigmas, spacing_mm=spacing_mm
    )
    centre, _ = robust_centre_and_spread(bright[reference])
    bright = np.where(tissue, bright - np.float32(centre), 0).astype(np.float32)
    # the first pass knows no lesion yet, and a large one would pass for local spread, or for healthy
    first = len(sigmas) == 1
    plain = _contrast(case, bright, change, reference, spread_mm=None if first else SPREAD_MM)
    unexpected = plain
    if change is not None and not first:
        left = without_expected((bright, change), tissue, reference, plane=case.plane, spacing_mm=spacing_mm)
        unexpected = _contrast(case, left[0], left[1], reference, spread_mm=SPREAD_MM)
    own = _log_ratio(case, plain, reference, model=model)
    residual = own if unexpected is plain else _log_ratio(case, unexpected, reference, model=model)
    asymmetry = _asymmetry(case, plain, settings)
    total = np.where(
        tissue, own + np.clip(asymmetry, -settings.mirror_veto, settings.mirror_support), NO_EVIDENCE
    )
    regional = smooth_in_tissue(
        np.clip(residual, *REGIONAL_LIMITS), tissue, sigma_mm=settings.regional_mm, spacing_mm=spacing_mm
    )
    return Evidence(plain, unexpected, own, total.astype(np.float32), residual, regional, reference)


def _contrast(
    case: PreparedCase, bright: Volume, change: Volume | None, reference: Mask, *, spread_mm: float | None
) -> Contrast:
    spacing_mm = case.frame.spacing_mm
    bright_sd = local_spread(bright, reference, sigma_mm=spread_mm, spacing_mm=spacing_mm)
    if change is None:
        return Contrast(bright, bright_sd, None, None)
    change_sd = local_spread(change, reference, sigma_mm=spread_mm, spacing_mm=spacing_mm)
    return Contrast(bright, bright_sd, change, change_sd)


def _log_ratio(case: PreparedCase, seen: Contrast, reference: Mask, *, model: LesionModel) -> Volume:
    """Log likelihood ratio of every tissue voxel; `NO_EVIDENCE` where it is dark or not tissue."""
    tissue = case.tissue
    features = Features(
        brightness=seen.brightness[tissue],
        brightness_sd=seen.brightness_sd[tissue],
        adc_change=None if seen.adc_change is None else seen.adc_change[tissue],
        adc_change_sd=None if seen.adc_change_sd is None else seen.adc_change_sd[tissue],
        correlation=_correlation(seen, reference),
    )
    ratio = log_likelihood_ratio(features, model)
    ratio[features.brightness < 0] = NO_EVIDENCE
    if case.adc_change is not None:
        raised = case.adc_change[tissue] > ADC_RISE_LIMIT
        ratio[raised] = np.minimum(ratio[raised], ADC_RISE_EVIDENCE)
    everywhere = np.full(tissue.shape, NO_EVIDENCE, dtype=np.float32)
    everywhere[tissue] = ratio
    return everywhere


def _correlation(seen: Contrast, reference: Mask) -> float:
    if seen.adc_change is None or seen.adc_change_sd is None:
        return 0.0
    a = seen.brightness[reference] / seen.brightness_sd[reference]
    c = seen.adc_change[reference] / seen.adc_change_sd[reference]
    usual = (np.abs(a) < 3) & (np.abs(c) < 3)
    a, c = a[usual].astype(np.float64), c[usual].astype(np.float64)
    scale = np.sqrt((a * a).sum() * (c * c).sum())
    return float(np.clip((a * c).sum() / scale, -0.9, 0.9)) if scale > 0 else 0.0


def _asymmetry(case: PreparedCase, plain: Contrast, settings: AcuteSettings) -> Volume:
    """How many local SD a voxel is brighter than anything near its mirror image."""
    spacing_mm = case.frame.spacing_mm
    seen = np.where(case.tissue, plain.brightness, np.float32(-0.5))
    twin = reflect(seen, case.plane, spacing_mm, outside=-0.5)
    twin = brightest_nearby(twin, spacing_mm, reach_mm=settings.mirror_reach_mm)
    above = plain.brightness - np.maximum(twin, MIRROR_FLOOR)
    return np.asarray(above / plain.brightness_sd, dtype=np.float32)

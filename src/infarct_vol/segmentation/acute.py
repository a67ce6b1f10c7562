"""Acute infarct from DWI and ADC by per-patient local evidence (method ``local``).

The steps, top to bottom in `segment_acute`: prepare the case (`tissue`), gather evidence in passes in which
the provisional lesion leaves its own reference (`evidence`, `reference`, `symmetry`), draw the boundary at
half of the lesion's own contrast (`boundary`), judge components, and say what a reader should look at
(`reader_flags`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from infarct_vol._version import __version__
from infarct_vol.brain import brain_mask
from infarct_vol.images import BrainMask, LesionMask, Scan, require_same_grid
from infarct_vol.segmentation.boundary import lesion_fraction
from infarct_vol.segmentation.cleanup import (
    component_sizes,
    drop_small,
    fill_holes,
    keep_touching,
    label_components,
    neighbourhood,
    select_components,
)
from infarct_vol.segmentation.evidence import Features, LesionModel, log_likelihood_ratio
from infarct_vol.segmentation.reader_flags import reader_flags
from infarct_vol.segmentation.reference import local_reference, local_spread, robust_centre_and_spread
from infarct_vol.segmentation.symmetry import brightest_nearby, reflect
from infarct_vol.segmentation.tissue import PreparedCase, prepare_case
from infarct_vol.settings import AcuteSettings

Volume = NDArray[np.float32]
Mask = NDArray[np.bool_]

METHOD = f"local {__version__}"
NO_EVIDENCE = np.float32(-10.0)
# an ADC more than 10 percent above usual speaks against an acute infarct whatever the DWI shows
ADC_RISE_LIMIT = 0.1
ADC_RISE_EVIDENCE = np.float32(-2.0)
SPREAD_MM = 16.0
# component volume at which exactly `component_evidence` is asked for
SIZE_OF_FULL_EVIDENCE_ML = 0.1
# a component this large that misses its evidence by no more than this is named to the reader
DOUBT_FROM_ML = 1.0
NARROW_MISS = 1.0
# b-value the lesion's expected brightness is computed with where no sidecar states one; no ADC is computed
TYPICAL_BVALUE = 1000.0
TYPICAL_ADC_UM2_PER_S = 800.0
# a mirrored voxel darker than this (log DWI) is CSF or outside and says nothing
MIRROR_FLOOR = -0.1


@dataclass(frozen=True, eq=False)
class Evidence:
    """Evidence of one pass, arrays (X, Y, Z) in the canonical box.

    Parameters
    ----------
    brightness, brightness_sd
        Log DWI over its local reference, and its local spread.
    adc_change_sd
        Local spread of the log ADC; ``None`` without an ADC map.
    own
        Log likelihood ratio of the voxel's own DWI and ADC.
    total
        The same with what the mirrored hemisphere adds or takes.
    """

    brightness: Volume
    brightness_sd: Volume
    adc_change_sd: Volume | None
    own: Volume
    total: Volume


@dataclass(frozen=True, eq=False)
class Drawing:
    """A mask in the canonical box with what led to it."""

    mask: Mask
    low: Mask
    high: Mask
    fraction: Volume
    seeds: int
    rejected: int
    doubtful_ml: tuple[float, ...]


def segment_acute(
    dwi: Scan,
    adc: Scan | None = None,
    *,
    brain: BrainMask | None = None,
    settings: AcuteSettings | None = None,
) -> LesionMask:
    """Segment the acute infarct on a DWI.

    Parameters
    ----------
    dwi
        Trace (b about 1000 s/mm2) image.
    adc
        ADC map in 1e-6 mm2/s on the DWI's grid; without it the DWI alone is used and a flag says so.
    brain
        Brain mask on the DWI's grid; default: `brain_mask` of the DWI.
    settings
        Acute section of the protocol.

    Returns
    -------
    LesionMask
        On the DWI's grid. ``evidence`` holds ``volume_ml_low`` and ``volume_ml_high`` (the boundary at a
        higher and a lower share of the lesion contrast) and the numbers behind the mask.

    Raises
    ------
    GridMismatchError
        If the images do not share one grid.
    SegmentationError
        If the brain mask is empty, or the images do not look like DWI and ADC of a brain.
    """
    settings = settings or AcuteSettings()
    brain = brain if brain is not None else brain_mask(dwi)
    require_same_grid(dwi, brain, what="DWI and brain mask")
    if adc is not None:
        require_same_grid(dwi, adc, what="DWI and ADC")
    case = prepare_case(dwi, adc, brain=brain, settings=settings)
    found = gather_evidence(case, model=_lesion_model(dwi, case, settings), settings=settings)
    drawing = draw(case, found, settings=settings)
    return LesionMask(
        data=case.frame.put_back(drawing.mask),
        grid=dwi.grid,
        identity=dwi.identity,
        method=METHOD,
        flags=reader_flags(
            drawing.mask, case, slice_axis=dwi.grid.slice_axis, doubtful_ml=drawing.doubtful_ml
        ),
        evidence=_numbers(case, found, drawing, settings=settings),
    )


def _lesion_model(dwi: Scan, case: PreparedCase, settings: AcuteSettings) -> LesionModel:
    stated = dwi.sidecar.get("DiffusionBValue", dwi.sidecar.get("b-value"))
    usable = isinstance(stated, (int, float)) and np.isfinite(stated) and stated > 0
    bvalue = float(stated) if isinstance(stated, (int, float)) and usable else TYPICAL_BVALUE
    usual = case.usual_adc_um2_per_s if case.adc_change is not None else TYPICAL_ADC_UM2_PER_S
    return LesionModel(
        adc_ratios=settings.adc_ratios,
        t2_effects=settings.t2_effects,
        shine_through_share=settings.shine_through_share,
        tail_freedom=settings.tail_freedom,
        diffusion_weight=bvalue * usual * 1e-6,
    )


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
        candidate = found.total > settings.grow_evidence
        lesion = keep_touching(candidate, found.total > settings.seed_evidence, connectivity=26)
        wider = ndimage.binary_dilation(lesion, neighbourhood(26))
        reference = _enough(case.reference & ~wider, fallback=case.reference)
    if found is None:
        msg = "reference_mm must name at least one scale"
        raise ValueError(msg)
    return found


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
    # the first pass knows no lesion yet, and a large one would pass for local spread
    spread_mm = SPREAD_MM if len(sigmas) > 1 else None
    bright_sd = local_spread(bright, reference, sigma_mm=spread_mm, spacing_mm=spacing_mm)
    change_sd = None
    if change is not None:
        change_sd = local_spread(change, reference, sigma_mm=spread_mm, spacing_mm=spacing_mm)
    features = Features(
        brightness=bright[tissue],
        brightness_sd=bright_sd[tissue],
        adc_change=None if change is None else change[tissue],
        adc_change_sd=None if change_sd is None else change_sd[tissue],
        correlation=_correlation(bright, bright_sd, change, change_sd, reference),
    )
    ratio = log_likelihood_ratio(features, model)
    ratio[features.brightness < 0] = NO_EVIDENCE
    if features.adc_change is not None:
        raised = features.adc_change > ADC_RISE_LIMIT
        ratio[raised] = np.minimum(ratio[raised], ADC_RISE_EVIDENCE)
    own = np.full(tissue.shape, NO_EVIDENCE, dtype=np.float32)
    own[tissue] = ratio
    total = own.copy()
    asymmetry = _asymmetry(case, bright, bright_sd, settings)[tissue]
    total[tissue] = ratio + np.clip(asymmetry, -settings.mirror_veto, settings.mirror_support)
    return Evidence(bright, bright_sd, change_sd, own, total)


def _correlation(
    bright: Volume, bright_sd: Volume, change: Volume | None, change_sd: Volume | None, reference: Mask
) -> float:
    if change is None or change_sd is None:
        return 0.0
    a, c = bright[reference] / bright_sd[reference], change[reference] / change_sd[reference]
    usual = (np.abs(a) < 3) & (np.abs(c) < 3)
    a, c = a[usual].astype(np.float64), c[usual].astype(np.float64)
    scale = np.sqrt((a * a).sum() * (c * c).sum())
    return float(np.clip((a * c).sum() / scale, -0.9, 0.9)) if scale > 0 else 0.0


def _asymmetry(case: PreparedCase, bright: Volume, bright_sd: Volume, settings: AcuteSettings) -> Volume:
    """How many local SD a voxel is brighter than anything near its mirror image."""
    spacing_mm = case.frame.spacing_mm
    seen = np.where(case.tissue, bright, np.float32(-0.5))
    twin = reflect(seen, case.plane, spacing_mm, outside=-0.5)
    twin = brightest_nearby(twin, spacing_mm, reach_mm=settings.mirror_reach_mm)
    return np.asarray((bright - np.maximum(twin, MIRROR_FLOOR)) / bright_sd, dtype=np.float32)


def draw(case: PreparedCase, found: Evidence, *, settings: AcuteSettings) -> Drawing:
    """Draw the boundary round strong evidence and keep the components that deserve it."""
    frame = case.frame
    strong = found.total > settings.seed_evidence
    core = keep_touching(found.total > settings.grow_evidence, strong, connectivity=26) & strong
    fraction = _fraction(case, found, core, settings=settings)
    minimum_voxels = settings.minimum_lesion_ml / frame.voxel_volume_ml
    middle = keep_touching(fraction > settings.boundary_fraction, core, connectivity=settings.connectivity)
    labels, count = label_components(middle, connectivity=settings.connectivity)
    keep, doubtful_ml = _judge(found, labels, count, voxel_ml=frame.voxel_volume_ml, settings=settings)
    kept = select_components(labels, keep)
    core = core & kept

    def at(share: float) -> Mask:
        grown = keep_touching(fraction > share, core, connectivity=settings.connectivity)
        return drop_small(
            fill_holes(grown, forbidden=case.csf),
            minimum_voxels=minimum_voxels,
            connectivity=settings.connectivity,
        )

    margin = settings.boundary_margin
    mask = at(settings.boundary_fraction)
    final = label_components(mask, connectivity=settings.connectivity)[1]
    return Drawing(
        mask=mask,
        low=at(min(settings.boundary_fraction + margin, 0.99)),
        high=at(max(settings.boundary_fraction - margin, 0.01)),
        fraction=fraction,
        seeds=label_components(strong, connectivity=26)[1],
        rejected=count - final,
        doubtful_ml=doubtful_ml,
    )


def _fraction(case: PreparedCase, found: Evidence, core: Mask, *, settings: AcuteSettings) -> Volume:
    fraction = lesion_fraction(
        found.brightness,
        case.adc_change,
        brightness_sd=found.brightness_sd,
        adc_change_sd=found.adc_change_sd,
        core=core,
        core_weight=found.total - settings.grow_evidence,
        level_mm=settings.level_mm,
        reach_mm=settings.growth_mm,
        spacing_mm=case.frame.spacing_mm,
    )
    return np.where(case.tissue, fraction, 0).astype(np.float32)


def _judge(
    found: Evidence, labels: NDArray[np.int32], count: int, *, voxel_ml: float, settings: AcuteSettings
) -> tuple[NDArray[np.bool_], tuple[float, ...]]:
    """Tell which components are bright enough and have the evidence their size asks for.

    Asymmetry alone does not make an infarct, T2 shine-through is asymmetric too: on average the
    component's own DWI and ADC must favour infarct.

    Returns
    -------
    keep
        (count,) bool.
    doubtful_ml
        Volumes of larger components that were left out narrowly, for the reader.
    """
    if count == 0:
        return np.zeros(0, dtype=np.bool_), ()
    index = np.arange(1, count + 1)
    volume_ml = component_sizes(labels, count) * voxel_ml
    peak = np.asarray(ndimage.maximum(found.total, labels, index))
    mean = np.asarray(ndimage.mean(found.brightness, labels, index))
    own = np.asarray(ndimage.mean(found.own, labels, index))
    alone = found.adc_change_sd is None
    evidence = settings.component_evidence + (settings.without_adc_evidence if alone else 0.0)
    brightness = settings.without_adc_brightness if alone else settings.component_brightness
    relief = settings.size_relief * np.log10(volume_ml / SIZE_OF_FULL_EVIDENCE_ML)
    needed = np.maximum(evidence - relief, settings.seed_evidence)
    likely = (mean >= brightness) & (own > 0)
    narrowly = likely & (peak < needed) & (peak >= needed - NARROW_MISS) & (volume_ml >= DOUBT_FROM_ML)
    return np.asarray(likely & (peak >= needed)), tuple(float(v) for v in volume_ml[narrowly])


def _numbers(
    case: PreparedCase, found: Evidence, drawing: Drawing, *, settings: AcuteSettings
) -> dict[str, float]:
    voxel_ml = case.frame.voxel_volume_ml
    numbers = {
        "volume_ml_low": int(drawing.low.sum()) * voxel_ml,
        "volume_ml_high": int(drawing.high.sum()) * voxel_ml,
        "partial_volume_ml": _partial_volume_ml(drawing, voxel_ml),
        "seeds": float(drawing.seeds),
        "rejected_components": float(drawing.rejected),
        "seed_evidence": settings.seed_evidence,
        "component_evidence": settings.component_evidence,
        "boundary_fraction": settings.boundary_fraction,
        "midplane_asymmetry": case.plane.asymmetry,
        "normal_log_dwi_sd": float(np.median(found.brightness_sd[case.tissue])),
    }
    if case.adc_change is not None:
        numbers["usual_adc_um2_per_s"] = case.usual_adc_um2_per_s
    if drawing.mask.any():
        numbers["mean_log_dwi_contrast"] = float(found.brightness[drawing.mask].mean(dtype=np.float64))
        if case.adc_change is not None:
            change = float(case.adc_change[drawing.mask].mean(dtype=np.float64))
            numbers["mean_adc_ratio"] = float(np.exp(change))
    return numbers


def _partial_volume_ml(drawing: Drawing, voxel_ml: float) -> float:
    """Volume with the voxels on both sides of the boundary counted by their lesion fraction."""
    mask = drawing.mask
    if not mask.any():
        return 0.0
    inner = ndimage.binary_erosion(mask, neighbourhood(6))
    shell = ndimage.binary_dilation(mask, neighbourhood(6)) & ~inner
    share = np.clip(drawing.fraction[shell], 0, 1).sum(dtype=np.float64)
    return float((int(inner.sum()) + share) * voxel_ml)

"""Acute infarct from DWI and ADC by per-patient local evidence (method ``local``).

The steps, top to bottom in `trace_acute`: prepare the case (`tissue`), gather evidence in passes in which
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
from infarct_vol.diffusion import sidecar_bvalue
from infarct_vol.images import BrainMask, LesionMask, Scan, require_same_grid
from infarct_vol.segmentation.boundary import SettledShare, lesion_share, settled_share
from infarct_vol.segmentation.cleanup import (
    distance_to_mm,
    drop_small,
    fill_holes,
    half_voxel_range,
    keep_touching,
    label_components,
    neighbourhood,
    select_components,
)
from infarct_vol.segmentation.components import Component, judge_components, shine_through_areas
from infarct_vol.segmentation.evidence import LesionModel
from infarct_vol.segmentation.gathering import Evidence, gather_evidence, lesion_core
from infarct_vol.segmentation.reader_flags import reader_flags
from infarct_vol.segmentation.tissue import PreparedCase, prepare_case
from infarct_vol.settings import AcuteSettings

Volume = NDArray[np.float32]
Mask = NDArray[np.bool_]

METHOD = f"local {__version__}"
METHOD_DWI_ALONE = f"local, DWI alone {__version__}"
# b-value the lesion's expected brightness is computed with where no sidecar states one; no ADC is computed
TYPICAL_BVALUE = 1000.0
TYPICAL_ADC_UM2_PER_S = 800.0
# lesion contrast, in squared spreads of normal tissue, at which as much is missed as found: with it the range
# holds the volumes of the tuning shapes of bench/segmentation.py
FAINT_STRENGTH = 8.0


@dataclass(frozen=True, eq=False)
class Drawing:
    """A mask in the canonical box with what led to it."""

    mask: Mask
    low: Mask
    high: Mask
    share: SettledShare
    core: Mask
    shine_through: Mask
    components: tuple[Component, ...]
    labels: NDArray[np.int32]

    @property
    def doubtful_ml(self) -> tuple[float, ...]:
        """Volumes of the larger components that were left out narrowly."""
        return tuple(c.volume_ml for c in self.components if c.doubtful)


@dataclass(frozen=True, eq=False)
class AcuteTrace:
    """An acute mask with what every step found on the way to it, for a reader who asks why.

    Parameters
    ----------
    mask
        The result, on the DWI's grid.
    case, found, drawing
        What was compared, the evidence of the last pass, and the boundary drawn; in the canonical box.
    settings
        Acute section of the protocol.
    """

    mask: LesionMask
    case: PreparedCase
    found: Evidence
    drawing: Drawing
    settings: AcuteSettings


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
    return trace_acute(dwi, adc, brain=brain, settings=settings).mask


def trace_acute(
    dwi: Scan,
    adc: Scan | None = None,
    *,
    brain: BrainMask | None = None,
    settings: AcuteSettings | None = None,
) -> AcuteTrace:
    """Segment as `segment_acute` does, and keep what led to the mask."""
    settings = settings or AcuteSettings()
    brain = brain if brain is not None else brain_mask(dwi)
    require_same_grid(dwi, brain, what="DWI and brain mask")
    if adc is not None:
        require_same_grid(dwi, adc, what="DWI and ADC")
    case = prepare_case(dwi, adc, brain=brain, settings=settings)
    found = gather_evidence(case, model=_lesion_model(dwi, case, settings), settings=settings)
    drawing = draw(case, found, settings=settings)
    flags = reader_flags(drawing.mask, case, slice_axis=dwi.grid.slice_axis, doubtful_ml=drawing.doubtful_ml)
    mask = LesionMask(
        data=case.frame.put_back(drawing.mask),
        grid=dwi.grid,
        identity=dwi.identity,
        method=METHOD if adc is not None else METHOD_DWI_ALONE,
        flags=flags,
        evidence=_numbers(case, found, drawing, settings=settings),
    )
    return AcuteTrace(mask, case, found, drawing, settings)


def _lesion_model(dwi: Scan, case: PreparedCase, settings: AcuteSettings) -> LesionModel:
    bvalue = sidecar_bvalue(dwi.sidecar, where=str(dwi.identity)) or TYPICAL_BVALUE
    usual = case.usual_adc_um2_per_s if case.adc_change is not None else TYPICAL_ADC_UM2_PER_S
    return LesionModel(
        adc_ratios=settings.adc_ratios,
        t2_effects=settings.t2_effects,
        shine_through_share=settings.shine_through_share,
        tail_freedom=settings.tail_freedom,
        diffusion_weight=bvalue * usual * 1e-6,
    )


def draw(case: PreparedCase, found: Evidence, *, settings: AcuteSettings) -> Drawing:
    """Draw the boundary round strong evidence and keep the components that deserve it."""
    core = lesion_core(found, settings=settings, seed=settings.seed_evidence)
    first = keep_touching(
        _first_boundary(case, found, core, settings=settings), core, connectivity=settings.connectivity
    )
    through = shine_through_areas(case, found, first, settings=settings)
    core &= ~through
    first = keep_touching(first & ~through, core, connectivity=settings.connectivity)
    labels, count = label_components(first, connectivity=settings.connectivity)
    components = judge_components(case, found, labels, count, settings=settings)
    kept = select_components(labels, np.array([c.kept for c in components], dtype=np.bool_))
    core &= kept
    share = settled_share(
        found.unexpected,
        core,
        kept,
        tissue=case.tissue & ~through,
        gain=_softness(core, labels, components, case=case, settings=settings),
        settings=settings,
        spacing_mm=case.frame.spacing_mm,
    )
    margin = settings.boundary_margin

    def at(fraction: float) -> Mask:
        return _within(share.settled > fraction, core, case=case, settings=settings)

    return Drawing(
        mask=at(settings.boundary_fraction),
        low=at(min(settings.boundary_fraction + margin, 0.99)),
        high=at(max(settings.boundary_fraction - margin, 0.01)),
        share=share,
        core=core,
        shine_through=through,
        components=tuple(components),
        labels=labels,
    )


def _within(candidate: Mask, core: Mask, *, case: PreparedCase, settings: AcuteSettings) -> Mask:
    """Keep what touches the core, fill its holes (never with CSF), drop what is too small."""
    return drop_small(
        fill_holes(keep_touching(candidate, core, connectivity=settings.connectivity), forbidden=case.csf),
        minimum_voxels=settings.minimum_lesion_ml / case.frame.voxel_volume_ml,
        connectivity=settings.connectivity,
    )


def _softness(
    core: Mask,
    labels: NDArray[np.int32],
    components: list[Component],
    *,
    case: PreparedCase,
    settings: AcuteSettings,
) -> Volume:
    """Say what a share counts for: more near components whose ADC is hardly lowered.

    Their brightness is T2 effect and fades into the tissue without an edge; experts draw all of it.
    """
    soft = [0.0] + [float(c.kept and c.adc_ratio > settings.soft_adc_ratio) for c in components]
    is_soft = np.array(soft, dtype=np.bool_)[labels] & core
    if not is_soft.any():
        return np.ones(core.shape, dtype=np.float32)
    spacing_mm = case.frame.spacing_mm
    nearer = distance_to_mm(is_soft, spacing_mm) < distance_to_mm(core & ~is_soft, spacing_mm)
    gain = np.float32(settings.boundary_fraction / settings.soft_boundary_fraction)
    return np.where(nearer, gain, 1).astype(np.float32)


def _first_boundary(case: PreparedCase, found: Evidence, core: Mask, *, settings: AcuteSettings) -> Mask:
    """Return the candidates: what shows half of the contrast of the strong evidence nearby."""
    if not core.any():
        return core
    spacing_mm = case.frame.spacing_mm
    # full voxels have the stronger evidence and weigh more than partial ones
    weight = np.where(core, found.unvetoed - settings.grow_evidence, 0).astype(np.float32)
    share = lesion_share(found.unexpected, weight, level_mm=settings.level_mm, spacing_mm=spacing_mm)
    near = case.tissue & (distance_to_mm(core, spacing_mm) <= settings.growth_mm)
    bright = found.unexpected.brightness > 0
    return np.asarray(near & bright & (share.fraction > settings.boundary_fraction), dtype=np.bool_)


def _numbers(
    case: PreparedCase, found: Evidence, drawing: Drawing, *, settings: AcuteSettings
) -> dict[str, float]:
    voxel_ml = case.frame.voxel_volume_ml
    numbers = {
        **_limits_ml(case, drawing),
        "partial_volume_ml": _partial_volume_ml(drawing, voxel_ml),
        "candidates": float(len(drawing.components)),
        "rejected_components": float(sum(not c.kept for c in drawing.components)),
        "seed_evidence": settings.seed_evidence,
        "component_evidence": settings.component_evidence,
        "boundary_fraction": settings.boundary_fraction,
        "midplane_asymmetry": case.plane.asymmetry,
        "normal_log_dwi_sd": float(np.median(found.plain.brightness_sd[case.tissue])),
    }
    if case.adc_change is not None:
        numbers["usual_adc_um2_per_s"] = case.usual_adc_um2_per_s
    if drawing.mask.any():
        numbers["mean_log_dwi_contrast"] = float(found.plain.brightness[drawing.mask].mean(dtype=np.float64))
        if case.adc_change is not None:
            change = float(case.adc_change[drawing.mask].mean(dtype=np.float64))
            numbers["mean_adc_ratio"] = float(np.exp(change))
    return numbers


def _limits_ml(case: PreparedCase, drawing: Drawing) -> dict[str, float]:
    """Range of the volume: boundary at other shares of the contrast, its own blur, components in doubt.

    Half of a half-voxel shift of the boundary in plane is added on either side, and components that were
    kept or left out narrowly count on one side only. What is found of a faint infarct is the more visible
    part: the weaker its contrast, the more is missed. bench/segmentation.py prints how often the true volume
    lies inside.
    """
    voxel_ml = case.frame.voxel_volume_ml
    drawn_ml = int(drawing.mask.sum()) * voxel_ml
    spacing = [round(float(s), 3) for s in case.frame.spacing_mm]
    thickest = max(range(3), key=lambda axis: (spacing[axis], axis))
    inner, outer = (
        0.5 * (n * voxel_ml - drawn_ml) for n in half_voxel_range(drawing.mask, slice_axis=thickest)
    )
    unsure_ml = sum(c.volume_ml for c in drawing.components if c.kept and c.unsure)
    possible_ml = sum(c.volume_ml for c in drawing.components if not c.kept and c.unsure)
    low_ml = int(drawing.low.sum()) * voxel_ml + inner - unsure_ml
    missed = np.minimum(FAINT_STRENGTH / drawing.share.strength[drawing.mask], 1)
    missed_ml = float(missed.sum(dtype=np.float64)) * voxel_ml
    high_ml = int(drawing.high.sum()) * voxel_ml + outer + possible_ml + missed_ml
    return {
        "volume_ml_low": min(max(low_ml, 0.0), drawn_ml),
        "volume_ml_high": max(high_ml, drawn_ml),
    }


def _partial_volume_ml(drawing: Drawing, voxel_ml: float) -> float:
    """Volume with the voxels on both sides of the boundary counted by their lesion fraction."""
    mask = drawing.mask
    if not mask.any():
        return 0.0
    inner = ndimage.binary_erosion(mask, neighbourhood(6))
    shell = ndimage.binary_dilation(mask, neighbourhood(6)) & ~inner
    share = np.clip(drawing.share.fraction[shell], 0, 1).sum(dtype=np.float64)
    return float((int(inner.sum()) + share) * voxel_ml)

"""FLAIR without an earlier FLAIR to compare with: the baseline visit, or a follow-up without baseline."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from infarct_vol.brain import brain_mask
from infarct_vol.errors import SegmentationError
from infarct_vol.images import BrainMask, LesionMask, Scan, require_same_grid
from infarct_vol.segmentation.canonical import Frame, canonical_frame
from infarct_vol.segmentation.chronic_evidence import Evidence, fill_lesion, lesion_core
from infarct_vol.segmentation.chronic_lesion import find_infarct, lesion_level
from infarct_vol.segmentation.cleanup import (
    Mask,
    distance_to_mm,
    drop_small,
    erode_mm,
    fill_holes,
    keep_touching,
)
from infarct_vol.segmentation.normalise import Volume, frame_grid, smooth_average, tissue_level
from infarct_vol.settings import FollowUpSettings

METHOD_ALONE = "flair_alone 1"
METHOD_BASELINE = "flair_at_baseline 1"
NO_BASELINE = (
    "segmented from the FLAIR alone, without a baseline: white-matter hyperintensity and older infarcts "
    "cannot be told apart from this infarct; a reader must decide"
)
# Width (mm) of the local tissue level that stands in for the missing baseline.
LOCAL_LEVEL_MM = 20.0
# Without a baseline a lesion must be this much brighter than tissue (share of the tissue level): grey matter
# and hyperintense borders of the ventricles reach about 0.2.
ALONE_CONTRAST = 0.3
# Tissue near a lesion's edge is mixed with CSF; brightness there is not judged.
EDGE_MM = 2.0


def segment_baseline_flair(
    flair: Scan,
    *,
    prior_mask: LesionMask,
    brain: BrainMask | None = None,
    settings: FollowUpSettings | None = None,
) -> LesionMask:
    """Segment the part of the acute infarct that the baseline FLAIR already shows.

    FLAIR turns bright hours after the diffusion image does, so an empty mask is a legitimate 0.0 mL. The
    healthy tissue to expect comes from the mirrored hemisphere and the surroundings of the acute lesion.

    Parameters
    ----------
    flair
        Baseline FLAIR; the mask lies on its native grid.
    prior_mask
        Acute infarct (from DWI) on the grid of ``flair``.
    brain
        Brain of ``flair`` on its grid. ``None``: extracted here.
    settings
        Follow-up section of the protocol.

    Raises
    ------
    GridMismatchError
        If the prior or the brain does not lie on the grid of ``flair``.
    SegmentationError
        If the brain mask is empty.
    """
    settings = settings or FollowUpSettings()
    require_same_grid(flair, prior_mask, what="the baseline FLAIR and the acute mask")
    frame, brain = _prepare(flair, brain)
    evidence = _baseline_evidence(flair, prior_mask, brain, frame, settings)
    level = lesion_level(evidence, settings)
    limits = {}
    masks = []
    for shift in (0.0, -settings.boundary_uncertainty, settings.boundary_uncertainty):
        boundary = settings.boundary_fraction + shift
        masks.append(find_infarct(evidence, settings, level=level, boundary=boundary).rim)
    volumes = [int(np.count_nonzero(m)) * flair.grid.voxel_volume_ml for m in masks]
    limits = {"volume_ml_low": min(volumes), "volume_ml_high": max(volumes)}
    flags = () if masks[0].any() else ("the infarct is not visible on this FLAIR (yet): 0 mL",)
    return LesionMask(
        frame.put_back(masks[0]), flair.grid, flair.identity, METHOD_BASELINE, flags=flags, evidence=limits
    )


def segment_flair_alone(
    flair: Scan, *, brain: BrainMask | None = None, settings: FollowUpSettings | None = None
) -> LesionMask:
    """Segment bright lesions, and dark cavities they enclose, from one FLAIR without a baseline.

    Parameters
    ----------
    flair
        FLAIR; the mask lies on its native grid.
    brain
        Brain of ``flair`` on its grid. ``None``: extracted here.
    settings
        Follow-up section of the protocol.

    Returns
    -------
    LesionMask
        All bright lesions, with a flag that says that pre-existing ones cannot be told apart; ``parts``
        has ``rim`` and ``cavity``.

    Raises
    ------
    GridMismatchError
        If the brain does not lie on the grid of ``flair``.
    SegmentationError
        If the brain mask is empty.
    """
    settings = settings or FollowUpSettings()
    frame, brain = _prepare(flair, brain)
    inside = frame.take(brain.data)
    data = frame.take(flair.data)
    data = data / np.float32(tissue_level(data, inside))
    excess = _local_excess(data, inside, frame)
    masks = [
        _bright_alone(excess, inside, frame, settings, boundary=settings.boundary_fraction + shift)
        for shift in (0.0, -settings.boundary_uncertainty, settings.boundary_uncertainty)
    ]
    wholes = [fill_holes(mask) for mask in masks]
    volumes = [int(np.count_nonzero(m)) * flair.grid.voxel_volume_ml for m in wholes]
    cavity = wholes[0] & ~masks[0]
    mask = LesionMask(
        frame.put_back(wholes[0]),
        flair.grid,
        flair.identity,
        METHOD_ALONE,
        flags=(NO_BASELINE,),
        evidence={"volume_ml_low": min(volumes), "volume_ml_high": max(volumes)},
    )
    return replace(
        mask,
        parts={
            name: LesionMask(frame.put_back(part), flair.grid, flair.identity, METHOD_ALONE)
            for name, part in (("rim", masks[0]), ("cavity", cavity))
        },
    )


def _prepare(flair: Scan, brain: BrainMask | None) -> tuple[Frame, BrainMask]:
    brain = brain or brain_mask(flair)
    require_same_grid(flair, brain, what="the FLAIR and its brain mask")
    if not brain.data.any():
        msg = "the brain mask is empty; check the scan and the brain extraction"
        raise SegmentationError(msg, where=str(flair.identity))
    return canonical_frame(flair.grid, brain.data), brain


def _baseline_evidence(
    flair: Scan, prior_mask: LesionMask, brain: BrainMask, frame: Frame, settings: FollowUpSettings
) -> Evidence:
    grid = frame_grid(flair.grid, frame)
    inside = frame.take(brain.data)
    core = lesion_core(frame.take(prior_mask.data).astype(np.float32), inside)
    distance = distance_to_mm(core, grid.spacing_mm)
    near = inside & (distance <= settings.baseline_growth_mm)
    data = frame.take(flair.data)
    data = data / np.float32(tissue_level(data, inside & ~near))
    fill = fill_lesion(data, near, inside, grid=grid)
    # where the scan is darker than the fill it shows CSF; nothing there is lesion
    healthy = np.minimum(fill, data) if not near.any() else np.where(near, fill, data)
    noise = _texture(data, inside & ~near, grid.spacing_mm)
    noise_map = np.full(data.shape, noise, dtype=np.float32)
    return Evidence(data, healthy, noise_map, near, core, near, distance, 0.0, grid)


def _texture(data: Volume, normal: Mask, spacing_mm: np.ndarray) -> float:
    """SD of normal tissue about its local average: noise and the contrast of grey and white matter."""
    tissue = normal & (data > 0.75) & (data < 1.3)
    average, _ = smooth_average(data, tissue, sigma_mm=4.0, spacing_mm=spacing_mm)
    rest = data[tissue] - average[tissue]
    return float(1.4826 * np.median(np.abs(rest))) if rest.size else 1.0


def _local_excess(data: Volume, inside: Mask, frame: Frame) -> Volume:
    tissue = inside & (data > 0.75) & (data < 1.3)
    average, support = smooth_average(data, tissue, sigma_mm=LOCAL_LEVEL_MM, spacing_mm=frame.spacing_mm)
    return np.where(support > 0.01, data - average, 0).astype(np.float32)


def _bright_alone(
    excess: Volume, inside: Mask, frame: Frame, settings: FollowUpSettings, *, boundary: float
) -> Mask:
    deep = erode_mm(inside, radius_mm=EDGE_MM, spacing_mm=frame.spacing_mm)
    seeds = deep & (excess > ALONE_CONTRAST)
    if not seeds.any():
        return seeds
    level = max(float(np.percentile(excess[seeds], 50)), ALONE_CONTRAST)
    mask = keep_touching(deep & (excess > max(boundary * level, 0.5 * ALONE_CONTRAST)), seeds)
    minimum = settings.minimum_lesion_ml / frame.voxel_volume_ml
    return drop_small(mask, minimum_voxels=minimum, connectivity=settings.connectivity)

"""FLAIR without an earlier FLAIR to compare with: the baseline visit, or a follow-up without baseline."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from infarct_vol.brain import brain_mask
from infarct_vol.errors import SegmentationError
from infarct_vol.images import BrainMask, LesionMask, Scan, require_same_grid
from infarct_vol.segmentation.canonical import Frame, canonical_frame
from infarct_vol.segmentation.chronic_evidence import Evidence, fill_lesion, lesion_core
from infarct_vol.segmentation.chronic_lesion import METHOD, find_gliosis, find_infarct, limits_ml
from infarct_vol.segmentation.cleanup import (
    Mask,
    distance_to_mm,
    drop_small,
    erode_mm,
    keep_touching,
    select_components,
)
from infarct_vol.segmentation.normalise import Blocks, Volume, flatten, frame_grid, without_offset
from infarct_vol.settings import FollowUpSettings

METHOD_ALONE = "flair_alone 2"
NO_BASELINE = (
    "segmented from the FLAIR alone, without a baseline: white-matter hyperintensity and older infarcts "
    "cannot be told apart from this infarct; a reader must decide"
)
# Without a baseline a lesion must be this much brighter than tissue (share of the tissue level), and this
# many robust SDs of tissue, grey and white matter together: cortex and ventricle borders reach 2 to 3.
ALONE_CONTRAST = 0.3
ALONE_SEED_Z = 4.0
ALONE_EDGE_Z = 2.5
# What a bright rim encloses is cavity when it is darker than this on average (tissue = 1).
ENCLOSED_DARK = 0.75
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
    flair = without_offset(flair)
    frame, brain = _prepare(flair, brain)
    evidence = _baseline_evidence(flair, prior_mask, brain, frame, settings)
    gliosis = find_gliosis(evidence, settings)
    masks = []
    for shift in (0.0, -settings.boundary_uncertainty, settings.boundary_uncertainty):
        boundary = settings.boundary_fraction + shift
        masks.append(find_infarct(evidence, settings, gliosis=gliosis, boundary=boundary).rim)
    limits = limits_ml(masks[0], masks[1:], evidence.grid)
    flags = () if masks[0].any() else ("the infarct is not visible on this FLAIR (yet): 0 mL",)
    return LesionMask(
        frame.put_back(masks[0]), flair.grid, flair.identity, METHOD, flags=flags, evidence=limits
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
        has ``rim``, and ``cavity`` where a rim encloses one: a cavity that is open to the cortex looks as CSF
        does, so that finding none is not a volume of 0.

    Raises
    ------
    GridMismatchError
        If the brain does not lie on the grid of ``flair``.
    SegmentationError
        If the brain mask is empty.
    """
    settings = settings or FollowUpSettings()
    flair = without_offset(flair)
    frame, brain = _prepare(flair, brain)
    inside = frame.take(brain.data)
    data = flatten(frame.take(flair.data), inside, spacing_mm=frame.spacing_mm)
    masks = [
        _bright_alone(data, inside, frame, settings, boundary=settings.boundary_fraction + shift)
        for shift in (0.0, -settings.boundary_uncertainty, settings.boundary_uncertainty)
    ]
    wholes = [_with_enclosed(mask, data, frame) for mask in masks]
    cavity = wholes[0] & ~masks[0]
    mask = LesionMask(
        frame.put_back(wholes[0]),
        flair.grid,
        flair.identity,
        METHOD_ALONE,
        flags=(NO_BASELINE,),
        evidence=limits_ml(wholes[0], wholes[1:], frame_grid(flair.grid, frame)),
    )
    found = {"rim": masks[0], "cavity": cavity} if cavity.any() else {"rim": masks[0]}
    return replace(
        mask,
        parts={
            name: LesionMask(frame.put_back(part), flair.grid, flair.identity, METHOD_ALONE)
            for name, part in found.items()
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
    data: Volume = frame.take(flair.data)
    data = flatten(data, inside & ~near, spacing_mm=grid.spacing_mm)
    blocks = Blocks(data.shape, grid.spacing_mm)
    fill = blocks.expand(fill_lesion(data, near, inside, blocks=blocks))
    healthy = np.where(near, fill, data)
    noise = _texture(data, inside & ~near, grid.spacing_mm)
    noise_map = np.full(data.shape, noise, dtype=np.float32)
    return Evidence(data, healthy, noise_map, near, core, near, distance, noise, 0.0, grid)


def _texture(data: Volume, normal: Mask, spacing_mm: NDArray[np.float64]) -> float:
    """SD of normal tissue about its local average: noise and the contrast of grey and white matter."""
    tissue = normal & (data > 0.75) & (data < 1.3)
    blocks = Blocks(data.shape, spacing_mm)
    average, _ = blocks.average(data, tissue, sigma_mm=4.0)
    rest = data[tissue] - blocks.expand(average)[tissue]
    return float(1.4826 * np.median(np.abs(rest))) if rest.size else 1.0


def _with_enclosed(rim: Mask, data: Volume, frame: Frame) -> Mask:
    """Add what the rim encloses slice by slice, where it is dark: the cavity.

    In three dimensions a cavity is hardly ever closed off: its rim is open where it meets cortex.
    """
    axis = max(range(3), key=lambda a: (round(float(frame.spacing_mm[a]), 2), a))
    whole = rim.copy()
    for position in range(rim.shape[axis]):
        plane = tuple(position if a == axis else slice(None) for a in range(3))
        holes = ndimage.binary_fill_holes(rim[plane]) & ~rim[plane]
        labels, count = ndimage.label(holes)
        if count:
            level = ndimage.mean(data[plane], labels=labels, index=np.arange(1, count + 1))
            whole[plane] |= select_components(labels.astype(np.int32), np.asarray(level) < ENCLOSED_DARK)
    return whole


def _bright_alone(
    data: Volume, inside: Mask, frame: Frame, settings: FollowUpSettings, *, boundary: float
) -> Mask:
    """Voxels brighter than tissue ever is in this brain, and their surroundings to the edge of the lesion."""
    excess = data - 1
    spread = 1.4826 * float(np.median(np.abs(excess[inside & (data > 0.6) & (data < 1.5)])))
    deep = erode_mm(inside, radius_mm=EDGE_MM, spacing_mm=frame.spacing_mm)
    seeds = deep & (excess > max(ALONE_CONTRAST, ALONE_SEED_Z * spread))
    if not seeds.any():
        return seeds
    level = float(np.median(excess[seeds]))
    mask = keep_touching(
        deep & (excess > max(boundary * level, ALONE_EDGE_Z * spread)), seeds, connectivity=6
    )
    minimum = settings.minimum_lesion_ml / frame.voxel_volume_ml
    return drop_small(mask, minimum_voxels=minimum, connectivity=settings.connectivity)

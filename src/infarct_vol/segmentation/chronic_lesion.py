"""From evidence to a follow-up infarct: lesion level, rim, cavity, and what is new elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from infarct_vol.geometry import Grid
from infarct_vol.segmentation.cavity import find_cavity, tissue_at_baseline
from infarct_vol.segmentation.chronic_evidence import Evidence
from infarct_vol.segmentation.cleanup import (
    Mask,
    bounding_box,
    close_mm,
    component_sizes,
    dilate_mm,
    drop_small,
    enclosed_in_slices,
    erode_mm,
    half_voxel_range,
    keep_touching,
    label_components,
    neighbourhood,
    select_components,
)
from infarct_vol.settings import FollowUpSettings

METHOD = "flair_prior 3"
"""One method at every visit: tissue brighter, or lost, against what is expected where the infarct was."""

# The edge of a lesion may lie within the noise where its core is sure: half of the seed's z.
EDGE_SHARE_OF_SEED_Z = 0.5
# Fewer voxels than this inside the lesion say too little about its level.
LEVEL_VOXELS = 20
LEVEL_ROUNDS = 4
# In thick slices a large inside within the slices says it: its brighter voxels are the less mixed.
SLICE_VOXELS = 60
SLICE_PERCENTILE = 75
# A lesion without any inside in thick slices is taken as bright as gliosis commonly is (tissue = 1).
THIN_PERCENTILE = 90
THIN_LEVEL = 1.4
# Gaps up to twice this in thick slices, and holes of a slice up to this, are hidden lesion where the baseline
# lesion was.
BRIDGE_MM = 2.0
HOLE_MM2 = 60.0
# A piece of infarct has this many seeds and this many times the smallest contrast. The brighter it is, the
# smaller a share of its sure voxels may be seeds: the product of both is at least this. From a volume on that
# misfits do not reach, the share does not matter: faint gliosis has few seeds.
PIECE_SEEDS = 5
PIECE_CONTRAST = 1.4
PIECE_EVIDENCE = 0.4
SURE_PIECE_ML = 0.5
# Pieces that are all smaller than this share of the baseline lesion are misfits of the expectation.
SPECK_SHARE = 0.01
# A new lesion's seeds lie this deep in the brain, and make up this share of it.
NEW_DEPTH_MM = 2.0
NEW_SEED_SHARE = 0.2


@dataclass(frozen=True, eq=False)
class Gliosis:
    """What is known of the gliosis before its edge is drawn.

    Parameters
    ----------
    level
        Its FLAIR level (tissue = 1).
    seeds
        (I, J, K) voxels that are surely gliosis; see `infarct_seeds`.
    """

    level: float
    seeds: Mask


@dataclass(frozen=True)
class Infarct:
    """A follow-up infarct on the evidence's grid, (I, J, K) bool arrays.

    ``whole`` is the union of the disjoint ``rim`` and ``cavity``.
    """

    whole: Mask
    cavity: Mask

    @property
    def rim(self) -> Mask:
        """Infarct that is not cavity."""
        return self.whole & ~self.cavity

    @property
    def parts(self) -> dict[str, Mask]:
        """Rim and cavity by name."""
        return {"rim": self.rim, "cavity": self.cavity}


def find_infarct(
    evidence: Evidence, settings: FollowUpSettings, *, gliosis: Gliosis | None, boundary: float
) -> Infarct:
    """Delineate the infarct with its edge at a given share of the contrast.

    Parameters
    ----------
    evidence
        Follow-up against expectation.
    settings
        Follow-up settings of the protocol.
    gliosis
        From `find_gliosis`; ``None`` where there is no bright lesion.
    boundary
        Where the edge lies between healthy (0) and lesion (1).
    """
    cavity = find_cavity(evidence, boundary=boundary, seed_z=settings.seed_z)
    rim = np.zeros_like(cavity)
    if gliosis is not None:
        rim = _bright(evidence, settings, level=gliosis.level, boundary=boundary) & ~cavity
        rim = keep_touching(rim, gliosis.seeds)
    whole = _bridge(evidence, rim | cavity, cavity)
    whole = keep_touching(whole, (rim | cavity) & evidence.near, connectivity=settings.connectivity)
    minimum = settings.minimum_lesion_ml / evidence.grid.voxel_volume_ml
    whole = drop_small(whole, minimum_voxels=minimum, connectivity=settings.connectivity)
    return Infarct(whole, cavity & whole)


def without_specks(infarct: Infarct, evidence: Evidence, settings: FollowUpSettings) -> Infarct:
    """Return nothing where no piece is larger than misfits of the expectation at a vanished infarct.

    A piece as large as the smallest new lesion that is reported is more, whatever the baseline lesion was.
    """
    labels, count = label_components(infarct.whole, connectivity=settings.connectivity)
    largest = int(component_sizes(labels, count).max(initial=0))
    baseline = int(np.count_nonzero(evidence.core))
    reported = settings.minimum_new_lesion_ml / evidence.grid.voxel_volume_ml
    if largest >= min(SPECK_SHARE * baseline, reported):
        return infarct
    return Infarct(np.zeros_like(infarct.whole), np.zeros_like(infarct.cavity))


def limits_ml(drawn: Mask, others: Sequence[Mask], grid: Grid) -> dict[str, float]:
    """Range of the volume: the edge at other shares of the contrast, and half of a half-voxel shift in plane.

    Parameters
    ----------
    drawn
        (I, J, K) the lesion as it counts.
    others
        The same with its edge at other shares of the contrast.
    grid
        Grid of all masks.
    """
    voxel_ml = grid.voxel_volume_ml
    volumes = [int(np.count_nonzero(mask)) * voxel_ml for mask in (drawn, *others)]
    spacing = [round(float(s), 3) for s in grid.spacing_mm]
    thickest = max(range(3), key=lambda axis: (spacing[axis], axis))
    inner, outer = (
        0.5 * (voxels * voxel_ml - volumes[0]) for voxels in half_voxel_range(drawn, slice_axis=thickest)
    )
    return {"volume_ml_low": max(min(volumes) + inner, 0.0), "volume_ml_high": max(volumes) + outer}


def region_box(evidence: Evidence, settings: FollowUpSettings) -> tuple[slice, slice, slice]:
    """Box of the region in which the infarct is looked for; a single voxel if there is no baseline lesion."""
    region = evidence.distance_mm <= settings.region_mm
    if not region.any():
        return slice(0, 1), slice(0, 1), slice(0, 1)
    return bounding_box(region, margin=(1, 1, 1))


def sure_bright(evidence: Evidence, settings: FollowUpSettings) -> Mask:
    """Voxels surely brighter than expected, and brighter than ordinary tissue."""
    e, excess = evidence, evidence.excess
    return (
        e.brain
        & (excess > settings.seed_z * e.noise)
        & (excess > settings.minimum_contrast)
        & (e.follow > 1 + 0.5 * settings.minimum_contrast)
    )


def bright_seeds(evidence: Evidence, settings: FollowUpSettings) -> Mask:
    """Surely bright voxels that are brighter than anything expected one voxel around them.

    Neither a small misregistration nor the partial volume of thick slices makes such a voxel.
    """
    e = evidence
    margin = max(settings.seed_z * e.noise_sd, settings.minimum_contrast)
    around = ndimage.maximum_filter(e.healthy, size=3)
    return sure_bright(e, settings) & (e.follow > around + np.float32(margin))


def infarct_seeds(evidence: Evidence, settings: FollowUpSettings) -> Mask:
    """Seeds at the baseline lesion, of pieces that are gliosis rather than an expectation a little too dark.

    Whatever the boundary, the same pieces count: more than a few of the sure voxels of a piece and, unless it
    is large, a fair share of them are seeds, and they are brighter than expected by more than the smallest
    contrast.
    """
    e = evidence
    seeds = bright_seeds(e, settings) & e.near
    sure = sure_bright(e, settings) & (e.distance_mm <= settings.region_mm)
    labels, count = label_components(sure)
    if not seeds.any():
        return seeds
    seeded = np.bincount(labels[seeds], minlength=count + 1)[1:]
    sizes = component_sizes(labels, count)
    share = seeded / sizes
    excess = ndimage.median(e.excess, labels=labels, index=np.arange(1, count + 1))
    contrast = np.asarray(excess) / settings.minimum_contrast
    large = sizes * e.grid.voxel_volume_ml >= SURE_PIECE_ML
    fair = (share * contrast >= PIECE_EVIDENCE) | large
    counts = (seeded >= PIECE_SEEDS) & (contrast > PIECE_CONTRAST) & fair
    return seeds & select_components(labels, counts)


def find_gliosis(evidence: Evidence, settings: FollowUpSettings) -> Gliosis | None:
    """Seeds of the gliosis and its FLAIR level, from the inside of the bright lesion.

    The lesion and its level are found in turn, so that voxels mixed with healthy tissue leave the level.
    ``None`` where nothing at the baseline lesion is surely brighter than expected.
    """
    e = evidence
    seeds = infarct_seeds(e, settings)
    lesion = keep_touching(sure_bright(e, settings) & (e.distance_mm <= settings.region_mm), seeds)
    if np.count_nonzero(lesion) < 3:
        return None
    for _ in range(LEVEL_ROUNDS):
        level = _inner_level(e, lesion)
        found = keep_touching(_bright(e, settings, level=level, boundary=settings.boundary_fraction), seeds)
        if not found.any() or np.array_equal(found, lesion):
            break
        lesion = found
    return Gliosis(level, seeds) if level > 1 + settings.minimum_contrast else None


def _inner_level(evidence: Evidence, lesion: Mask) -> float:
    inside = ndimage.binary_erosion(lesion)
    if np.count_nonzero(inside) >= LEVEL_VOXELS:
        return float(np.median(evidence.follow[inside]))
    # too thin to have an inside: its brightest voxels are the least mixed, in thick slices mixed all the same
    level = float(np.percentile(evidence.follow[lesion], THIN_PERCENTILE))
    if not _has_thick_slices(evidence):
        return level
    inside = erode_mm(lesion, radius_mm=_one_voxel_mm(evidence), spacing_mm=evidence.grid.spacing_mm)
    if np.count_nonzero(inside) >= SLICE_VOXELS:
        return float(np.percentile(evidence.follow[inside], SLICE_PERCENTILE))
    return max(level, THIN_LEVEL)


def _has_thick_slices(evidence: Evidence) -> bool:
    spacing_mm = evidence.grid.spacing_mm
    return bool(spacing_mm.max() > 2 * spacing_mm.min())


def _one_voxel_mm(evidence: Evidence) -> float:
    """Reach of one voxel in plane; never across thick slices."""
    return 1.05 * float(evidence.grid.spacing_mm.min())


def _bright(evidence: Evidence, settings: FollowUpSettings, *, level: float, boundary: float) -> Mask:
    """Voxels at least ``boundary`` of which is gliosis.

    Gliosis takes the place of tissue; fluid in the same voxel stays, so that the contrast to the tissue
    counts, not that to the mixture. Where half of a voxel is fluid, no half of it is gliosis.
    """
    e, excess = evidence, evidence.excess
    contrast = level - np.maximum(e.healthy, 1)
    bright = e.near | (e.follow > 1 + 0.3 * settings.minimum_contrast)
    return (
        e.brain
        & (e.distance_mm <= settings.region_mm)
        & bright
        & tissue_at_baseline(e)
        & (contrast > 0)
        & (excess > boundary * contrast)
        & (excess > EDGE_SHARE_OF_SEED_Z * settings.seed_z * e.noise)
    )


def _bridge(evidence: Evidence, lesion: Mask, cavity: Mask) -> Mask:
    """Add what bright rim and dark cavity hide by sharing voxels, inside the baseline lesion only.

    Together they can add up to the look of healthy tissue: in the seam around a cavity, and in thick slices
    wherever a rim lies over a cavity. So the seam, narrow gaps and small holes within a slice count.
    """
    if not lesion.any():
        return lesion
    e, spacing = evidence, evidence.grid.spacing_mm
    tissue = tissue_at_baseline(e)
    # a cavity without a rim has no seam
    rim = dilate_mm(lesion & ~cavity, radius_mm=2 * _one_voxel_mm(e), spacing_mm=spacing)
    wall = dilate_mm(cavity, radius_mm=_one_voxel_mm(e), spacing_mm=spacing) & e.near
    if _has_thick_slices(e):
        wall |= ndimage.binary_dilation(cavity, neighbourhood(26)) & e.core
    joined = lesion | (wall & rim & tissue)
    reach = BRIDGE_MM if _has_thick_slices(e) else _one_voxel_mm(e)
    box = bounding_box(joined, margin=[int(reach / s) + 2 for s in spacing])
    part = joined[box]
    hidden = close_mm(part, radius_mm=reach, spacing_mm=spacing)
    hidden |= enclosed_in_slices(part, spacing, largest_mm2=HOLE_MM2)
    joined[box] |= hidden & (e.core & tissue)[box]
    return joined


def find_new_lesions(evidence: Evidence, settings: FollowUpSettings) -> Mask:
    """Bright lesions beyond the region that were not there at baseline.

    Seeds must make up a fair share of a new lesion, whose place is not known beforehand. Its edge lies at
    half of its own contrast.
    """
    e, excess = evidence, evidence.excess
    outside = e.brain & (e.distance_mm > settings.region_mm)
    seeds = _deep(bright_seeds(e, settings) & outside, e.brain, e.grid.spacing_mm)
    if not seeds.any():
        return seeds
    low = outside & (excess > settings.boundary_fraction * settings.minimum_contrast)
    low &= excess > EDGE_SHARE_OF_SEED_Z * settings.seed_z * e.noise
    labels, count = label_components(keep_touching(low, seeds), connectivity=6)
    level = np.zeros(count + 1, dtype=np.float32)
    level[1:] = ndimage.median(excess[seeds], labels=labels[seeds], index=np.arange(1, count + 1))
    grown = (labels > 0) & (excess > settings.boundary_fraction * level[labels])
    labels, count = label_components(grown, connectivity=settings.connectivity)
    sizes = component_sizes(labels, count)
    seeded = np.bincount(labels[seeds], minlength=count + 1)[1:]
    large = sizes * e.grid.voxel_volume_ml >= settings.minimum_new_lesion_ml
    return select_components(labels, large & (seeded >= NEW_SEED_SHARE * sizes))


def _deep(mask: Mask, brain: Mask, spacing_mm: NDArray[np.float64]) -> Mask:
    """Drop voxels of ``mask`` at the brain's edge in plane, where scalp and skull-stripping shine."""
    size = [2 * round(NEW_DEPTH_MM / s) + 1 for s in spacing_mm]
    return mask & ndimage.minimum_filter(brain, size=size, mode="constant")

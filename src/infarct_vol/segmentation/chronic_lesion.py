"""From evidence to a follow-up infarct: lesion level, rim, cavity, and what is new elsewhere."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from infarct_vol.segmentation.cavity import find_cavity, tissue_at_baseline
from infarct_vol.segmentation.chronic_evidence import Evidence
from infarct_vol.segmentation.cleanup import (
    Mask,
    ball,
    bounding_box,
    close_mm,
    component_sizes,
    dilate_mm,
    drop_small,
    erode_mm,
    keep_touching,
    label_components,
    select_components,
)
from infarct_vol.settings import FollowUpSettings

# The edge of a lesion may lie within the noise where its core is sure: two thirds of the seed's z.
EDGE_SHARE_OF_SEED_Z = 0.67
# Fewer voxels than this inside the lesion say too little about its level.
LEVEL_VOXELS = 20
LEVEL_ROUNDS = 4
# New lesions must stand out more than the old one, whose place is known.
NEW_SEED_Z = 4.0
NEW_CONTRAST = 0.25
NEW_DEPTH_MM = 3.0
# Share of a compact component that survives losing one voxel in plane; a film along an edge keeps none.
NEW_INNER_SHARE = 0.15


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


def find_infarct(
    evidence: Evidence, settings: FollowUpSettings, *, level: float | None, boundary: float
) -> Infarct:
    """Delineate the infarct at a given lesion level.

    Parameters
    ----------
    evidence
        Follow-up against expectation.
    settings
        Follow-up settings of the protocol.
    level
        FLAIR level of gliosis (tissue = 1) from `lesion_level`; ``None`` where there is no bright lesion.
    boundary
        Where the edge lies between healthy (0) and lesion (1).
    """
    cavity = find_cavity(evidence, boundary=boundary, seed_z=settings.seed_z)
    rim = np.zeros_like(cavity)
    if level is not None:
        rim = _bright(evidence, settings, level=level, boundary=boundary) & ~cavity
        rim = keep_touching(rim, sure_bright(evidence, settings) & evidence.near)
    whole = _bridge(evidence, rim | cavity, cavity)
    whole = keep_touching(whole, (rim | cavity) & evidence.near, connectivity=settings.connectivity)
    minimum = settings.minimum_lesion_ml / evidence.grid.voxel_volume_ml
    whole = drop_small(whole, minimum_voxels=minimum, connectivity=settings.connectivity)
    return Infarct(whole, cavity & whole)


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


def lesion_level(evidence: Evidence, settings: FollowUpSettings) -> float | None:
    """FLAIR level of the gliosis (tissue = 1), from the inside of the bright lesion.

    The lesion and its level are found in turn, so that voxels mixed with healthy tissue leave the level.
    ``None`` where nothing at the baseline lesion is surely brighter than expected.
    """
    e = evidence
    lesion = sure_bright(e, settings) & (e.distance_mm <= settings.region_mm)
    seeds = lesion & e.near
    lesion = keep_touching(lesion, seeds)
    if np.count_nonzero(lesion) < 3:
        return None
    for _ in range(LEVEL_ROUNDS):
        level = _inner_level(e, lesion)
        found = keep_touching(_bright(e, settings, level=level, boundary=settings.boundary_fraction), seeds)
        if not found.any() or np.array_equal(found, lesion):
            break
        lesion = found
    return level


def _inner_level(evidence: Evidence, lesion: Mask) -> float:
    inside = erode_mm(lesion, radius_mm=_one_voxel_mm(evidence), spacing_mm=evidence.grid.spacing_mm)
    if np.count_nonzero(inside) >= LEVEL_VOXELS:
        return float(np.median(evidence.follow[inside]))
    # a rim too thin to have an inside: its brighter voxels are the least mixed
    return float(np.percentile(evidence.follow[lesion], 75))


def _one_voxel_mm(evidence: Evidence) -> float:
    """Reach of one voxel in plane; never across thick slices."""
    return 1.05 * float(evidence.grid.spacing_mm.min())


def _bright(evidence: Evidence, settings: FollowUpSettings, *, level: float, boundary: float) -> Mask:
    e, excess = evidence, evidence.excess
    contrast = level - e.healthy
    return (
        e.brain
        & (e.distance_mm <= settings.region_mm)
        & (contrast > 0)
        & (excess > boundary * contrast)
        & (excess > EDGE_SHARE_OF_SEED_Z * settings.seed_z * e.noise)
        & (e.follow > 1 + 0.3 * settings.minimum_contrast)
    )


def _bridge(evidence: Evidence, lesion: Mask, cavity: Mask) -> Mask:
    """Close the seam between rim and cavity, inside the baseline lesion only.

    Where bright rim and dark cavity share a voxel they can add up to the look of healthy tissue.
    """
    if not cavity.any():
        return lesion
    reach = _one_voxel_mm(evidence)
    spacing = evidence.grid.spacing_mm
    inside = evidence.near & tissue_at_baseline(evidence)
    wall = dilate_mm(cavity, radius_mm=reach, spacing_mm=spacing) & inside
    joined = lesion | wall
    box = bounding_box(joined, margin=(2, 2, 2))
    closed = joined.copy()
    closed[box] |= close_mm(joined[box], radius_mm=reach, spacing_mm=spacing) & inside[box]
    return closed


def find_new_lesions(evidence: Evidence, settings: FollowUpSettings) -> Mask:
    """Bright lesions beyond the region that were not there at baseline.

    A component counts from the protocol's minimum volume on, and when it is more than a film along the brain's
    edge or along a baseline edge, where a small misregistration looks like new lesion.
    """
    e, excess = evidence, evidence.excess
    outside = e.brain & (e.distance_mm > settings.region_mm)
    seeds = sure_bright(e, settings) & outside & (excess > NEW_SEED_Z * e.noise)
    grown = outside & (excess > EDGE_SHARE_OF_SEED_Z * settings.seed_z * e.noise)
    grown &= excess > settings.boundary_fraction * NEW_CONTRAST
    one_voxel = ball(_one_voxel_mm(e), e.grid.spacing_mm)
    thick = ndimage.binary_erosion(grown, one_voxel)
    depth = [2 * round(NEW_DEPTH_MM / s) + 1 for s in e.grid.spacing_mm]
    deep = ndimage.minimum_filter(e.brain, size=depth, mode="constant")
    grown = keep_touching(grown, seeds & thick & deep, connectivity=settings.connectivity)
    labels, count = label_components(grown, connectivity=settings.connectivity)
    if not count:
        return grown
    sizes = component_sizes(labels, count)
    index = np.arange(1, count + 1)
    inner = np.bincount(labels.ravel(), weights=thick.ravel(), minlength=count + 1)[index]
    large = sizes * e.grid.voxel_volume_ml >= settings.minimum_new_lesion_ml
    return select_components(labels, large & (inner >= NEW_INNER_SHARE * sizes))

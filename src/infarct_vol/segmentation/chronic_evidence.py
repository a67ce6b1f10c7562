"""What a follow-up FLAIR would look like without the infarct, and how far it departs from that."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from infarct_vol.geometry import Grid
from infarct_vol.segmentation.cleanup import bounding_box, distance_to_mm
from infarct_vol.segmentation.normalise import (
    Blocks,
    Mask,
    Volume,
    flatten,
    match_intensity,
    noise_level,
)
from infarct_vol.segmentation.symmetry import find_midplane, reflect
from infarct_vol.settings import FollowUpSettings

# Widths (mm) at which healthy tissue around a lesion is averaged into it, nearest first: a small lesion is
# filled by its neighbours, the middle of a territorial one by tissue further away.
FILL_SIGMAS_MM = (5.0, 10.0, 20.0, 40.0)
# FLAIR below this share of the tissue level is CSF or mixed with it (CSF is nulled).
CSF_SHARE = 0.6
# Normal tissue on FLAIR, grey and white matter together, as shares of its median.
TISSUE_SHARE = (0.75, 1.3)
# Width (mm) over which the mirrored hemisphere is averaged: gyri of both sides do not match voxel by voxel.
MIRROR_SIGMA_MM = 4.0
# Width (mm) over which the brightness of the acute infarct is averaged.
BRIGHTENING_SIGMA_MM = 8.0
# Up to this many times this percentile of its excess the brightness is the infarct's own. The mask may hold a
# third of tissue that is none.
OWN_SHARE, OWN_PERCENTILE = 1.1, 75
# White matter lies this far below the mean of grey and white (tissue = 1).
TISSUE_SPREAD = 0.15
# An infarct less bright than the first (median excess, tissue = 1) is not on the baseline FLAIR, one brighter
# than the second is; between them it counts in part.
VISIBLE = (0.04, 0.10)


@dataclass(frozen=True)
class Evidence:
    """A follow-up scan against its expectation; arrays (I, J, K), intensities in units of brain tissue.

    Parameters
    ----------
    follow
        Follow-up FLAIR.
    healthy
        What it would show without infarct: the baseline, filled in where the baseline lesion was.
    noise
        SD of unchanged brain.
    brain
        Brain seen at both visits.
    core
        The baseline lesion (at least half of the voxel).
    near
        The baseline lesion and the margin within which its mask may be off.
    distance_mm
        Distance to the baseline lesion.
    noise_sd
        Median of ``noise`` over the brain.
    csf
        Level of CSF.
    grid
        Grid of all arrays.
    """

    follow: Volume
    healthy: Volume
    noise: Volume
    brain: Mask
    core: Mask
    near: Mask
    distance_mm: Volume
    noise_sd: float
    csf: float
    grid: Grid

    @property
    def excess(self) -> Volume:
        """Follow-up minus expectation."""
        return np.asarray(self.follow - self.healthy)

    def cropped(self, box: tuple[slice, slice, slice]) -> Evidence:
        """Return the evidence inside a box of its voxels."""
        return replace(
            self,
            follow=self.follow[box],
            healthy=self.healthy[box],
            noise=self.noise[box],
            brain=self.brain[box],
            core=self.core[box],
            near=self.near[box],
            distance_mm=self.distance_mm[box],
            grid=self.grid.crop(box),
        )


def gather_evidence(
    follow: Volume,
    base: Volume,
    prior: Volume,
    brain: Mask,
    *,
    grid: Grid,
    settings: FollowUpSettings,
) -> Evidence:
    """Compare a follow-up with the baseline brought onto its grid.

    Parameters
    ----------
    follow, base
        (I, J, K) FLAIR intensities in scanner units, on the follow-up's grid.
    prior
        (I, J, K) fraction of each voxel inside the baseline lesion.
    brain
        (I, J, K) brain of the follow-up that lies in the baseline's field of view.
    grid
        The follow-up's grid.
    settings
        Follow-up settings of the protocol.
    """
    # a cortical cavity looks like the fluid round the brain, and a brain mask may leave it out
    brain = brain | (prior >= 0.5)
    core = lesion_core(prior, brain)
    distance = distance_within(
        core, grid.spacing_mm, reach_mm=max(settings.region_mm, 3 * settings.mask_tolerance_mm)
    )
    near = ((prior > 0.05) | (distance <= settings.mask_tolerance_mm)) & brain
    away = brain & (distance > 2 * settings.mask_tolerance_mm)
    follow = flatten(follow, away, spacing_mm=grid.spacing_mm)
    base = flatten(base, away, spacing_mm=grid.spacing_mm)
    base = match_intensity(
        base, follow, away, spacing_mm=grid.spacing_mm, local_sigma_mm=settings.local_sigma_mm
    )
    csf = csf_level(follow, base, away)
    healthy = expect_healthy(
        base, prior, core, near, brain, distance, grid=grid, edge_mm=settings.mask_tolerance_mm
    )
    # edges of what is expected, not those of the acute infarct, which are gone
    noise = noise_level(follow - base, healthy, away)
    noise_sd = float(np.median(noise[brain]))
    return Evidence(follow, healthy, noise, brain, core, near, distance, noise_sd, csf, grid)


def lesion_core(prior: Volume, brain: Mask) -> Mask:
    """Voxels mostly inside the baseline lesion; of a lesion thinner than every voxel, its fullest ones."""
    inside = np.where(brain, prior, 0)
    core = inside >= 0.5
    if not core.any():
        core = (inside > 0) & (inside >= 0.5 * inside.max())
    return core


def distance_within(mask: Mask, spacing_mm: NDArray[np.float64], *, reach_mm: float) -> Volume:
    """Distance in mm to ``mask`` as far as ``reach_mm``; infinite beyond and where the mask is empty."""
    distance = np.full(mask.shape, np.inf, dtype=np.float32)
    if mask.any():
        box = bounding_box(mask, margin=[int(reach_mm / s) + 1 for s in spacing_mm])
        near = distance_to_mm(mask[box], spacing_mm)
        distance[box] = np.where(near <= reach_mm, near, np.inf)
    return distance


def csf_level(follow: Volume, base: Volume, away: Mask) -> float:
    """Level of CSF in the follow-up (tissue = 1): the median where the baseline shows CSF.

    A skull-stripped scan may hold hardly any CSF; then 0.25 is assumed.
    """
    fluid = away & (base < 0.5 * CSF_SHARE)
    if np.count_nonzero(fluid) < 200:
        return 0.25
    return float(np.clip(np.median(follow[fluid]), 0.0, 0.5))


def expect_healthy(
    base: Volume,
    prior: Volume,
    core: Mask,
    near: Mask,
    brain: Mask,
    distance_mm: Volume,
    *,
    grid: Grid,
    edge_mm: float,
) -> Volume:
    """Expect the follow-up without infarct: the baseline, with what the acute infarct added taken off.

    By which factor the infarct made the baseline brighter follows from its mean excess over a smooth fill of
    healthy tissue, within `BRIGHTENING_SIGMA_MM`. The baseline is divided by it inside the mask, and less
    and less across the mask's edge, which may be off by ``edge_mm``, but never far below the fill. What is
    left of the baseline is its own anatomy: cortex, sulci, and hyperintensity that the infarct lies over. A
    baseline that does not show the infarct yet stays as it is.

    Parameters
    ----------
    base
        (I, J, K) baseline on the follow-up's intensity scale (tissue = 1).
    prior
        (I, J, K) fraction of each voxel inside the baseline lesion.
    core, near, brain
        (I, J, K) baseline lesion, the same with the margin of its mask, brain.
    distance_mm
        (I, J, K) distance to ``core``.
    grid
        Grid of all arrays.
    edge_mm
        How far the edge of the mask may be off.
    """
    if not core.any():
        return base
    reach = [int(2 * edge_mm / s) + 2 for s in grid.spacing_mm]
    box = bounding_box(near, margin=reach)
    blocks = Blocks(base.shape, grid.spacing_mm)
    fill = blocks.expand(fill_lesion(base, near, brain, blocks=blocks))
    excess = base - fill
    tissue = core & (base > TISSUE_SHARE[0])
    added = _brightening(excess, tissue, blocks)
    if added is None:
        return base
    added = added[box]
    inside = ndimage.gaussian_filter(prior[box], 0.5 * edge_mm / grid.spacing_mm)
    healthy = base.copy()
    # half a voxel lies between the core's outermost centres and its edge
    beyond = np.clip(distance_mm[box] - 0.5 * float(grid.spacing_mm.min()), 0, None)
    share = np.maximum(np.clip(1 - beyond / edge_mm, 0, 1), np.clip(2 * prior[box], 0, 1))
    removed = base[box] * added / (fill[box] + added) * share
    floor = TISSUE_SPREAD * np.clip(2 * inside - 0.5, 0, 1)
    healthy[box] -= np.clip(excess[box] + floor, 0, removed)
    return healthy


def _brightening(excess: Volume, tissue: Mask, blocks: Blocks) -> Volume | None:
    """By how much the acute infarct is brighter than a smooth fill; ``None`` where it does not show.

    Parameters
    ----------
    excess
        (I, J, K) baseline minus fill.
    tissue
        (I, J, K) baseline lesion without fluid.
    blocks
        Blocks of the same arrays.
    """
    typical = float(np.median(excess[tissue])) if tissue.any() else 0.0
    visible = np.clip((typical - VISIBLE[0]) / (VISIBLE[1] - VISIBLE[0]), 0, 1)
    if visible == 0:
        return None
    # what is far brighter was bright before
    own = OWN_SHARE * np.percentile(excess[tissue], OWN_PERCENTILE)
    usual = np.minimum(excess, np.float32(own))
    average, _ = blocks.average(usual, tissue, sigma_mm=BRIGHTENING_SIGMA_MM)
    return np.asarray(np.float32(visible) * np.clip(blocks.expand(average), 0, None), dtype=np.float32)


def fill_lesion(base: Volume, near: Mask, brain: Mask, *, blocks: Blocks) -> Volume:
    """Healthy tissue to expect inside the lesion, smooth over a few mm, as blocks.

    The mirrored hemisphere says whether the place is mostly bright cortex or darker white matter; the
    tissue around the lesion corrects its level. Where the mirror shows lesion or CSF, the surroundings
    serve alone.
    """
    outside = brain & ~near
    normal = outside & (base > TISSUE_SHARE[0]) & (base < TISSUE_SHARE[1])
    # hyperintensity is often alike on both sides, and stays in
    solid = outside & (base > TISSUE_SHARE[0])
    typical = np.float32(np.median(base[normal])) if normal.any() else np.float32(1)
    spacing = blocks.spacing_mm
    # CSF at -3 and tissue about 0: the scale on which the search for the plane weighs differences
    coarse = 4 * (blocks.mean(base) - typical)
    plane = find_midplane(coarse, blocks.mean(brain) > 0.5, spacing)
    twin = reflect(blocks.mean(np.where(solid, base, 0)), plane, spacing, outside=0.0)
    twin_weight = reflect(blocks.mean(solid), plane, spacing, outside=0.0)
    average, support = blocks.smooth(twin, twin_weight, sigma_mm=MIRROR_SIGMA_MM)
    fill = typical + np.clip(support / np.float32(0.3), 0, 1) * (average - typical)
    weight = blocks.mean(normal)
    rest = blocks.mean(np.where(normal, base, 0)) - fill * weight
    correction = np.zeros_like(fill)
    for sigma in reversed(FILL_SIGMAS_MM):
        average, support = blocks.smooth(rest, weight, sigma_mm=sigma)
        correction += np.clip(support / np.float32(0.1), 0, 1) * (average - correction)
    return np.asarray(fill + correction, dtype=np.float32)

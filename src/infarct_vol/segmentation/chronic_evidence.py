"""What a follow-up FLAIR would look like without the infarct, and how far it departs from that."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

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
# The brightest grey matter; what is brighter inside the baseline lesion shows the infarct.
USUAL_PERCENTILE = 95


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
    noise = noise_level(follow - base, base, away)
    csf = csf_level(follow, base, away)
    healthy = expect_healthy(base, near, brain, grid=grid)
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


def expect_healthy(base: Volume, near: Mask, brain: Mask, *, grid: Grid) -> Volume:
    """Expect the follow-up without infarct: the baseline, with the infarct filled in.

    Where the baseline lesion is brighter than any usual tissue, the infarct already shows (it does hours to
    days after onset) and the fill stands in. Where it is of ordinary brightness, it may be healthy cortex or
    a faint infarct, and the mean of both is expected. Where it is darker than the fill it is kept: CSF.
    """
    fill = fill_lesion(base, near, brain, grid=grid)
    around = brain & ~near
    usual = np.float32(np.percentile(base[around], USUAL_PERCENTILE) if around.any() else 1.0)
    doubtful = np.where(base > usual, fill, 0.5 * (base + fill))
    return np.where(near & (base > fill), doubtful, base)


def fill_lesion(base: Volume, near: Mask, brain: Mask, *, grid: Grid) -> Volume:
    """Healthy tissue to expect inside the lesion, smooth over a few mm.

    The mirrored hemisphere says whether the place is mostly bright cortex or darker white matter; the
    tissue around the lesion corrects its level. Where the mirror shows lesion or CSF, the surroundings
    serve alone.
    """
    spacing = grid.spacing_mm
    normal = brain & ~near & (base > TISSUE_SHARE[0]) & (base < TISSUE_SHARE[1])
    typical = np.float32(np.median(base[normal])) if normal.any() else np.float32(1)
    # CSF at -3 and tissue about 0: the scale on which the search for the plane weighs differences
    plane = find_midplane(4 * (base - typical), brain, spacing)
    twin = reflect(base, plane, spacing, outside=0.0)
    # hyperintensity is often alike on both sides, and stays in
    solid = brain & ~near & (base > TISSUE_SHARE[0])
    twin_solid = reflect(solid.astype(np.float32), plane, spacing, outside=0.0) > 0.99
    blocks = Blocks(base.shape, spacing)
    average, support = blocks.average(twin, twin_solid, sigma_mm=MIRROR_SIGMA_MM)
    fill = typical + np.clip(support / np.float32(0.3), 0, 1) * (average - typical)
    weight = blocks.mean(normal)
    rest = blocks.mean(np.where(normal, base, 0)) - fill * weight
    correction = np.zeros_like(fill)
    for sigma in reversed(FILL_SIGMAS_MM):
        average, support = blocks.smooth(rest, weight, sigma_mm=sigma)
        correction += np.clip(support / np.float32(0.1), 0, 1) * (average - correction)
    return blocks.expand(fill + correction)

"""Where an infarct ends: half of its own contrast, so that partial volume neither adds nor loses volume.

Where the contrast is many times the spread of normal tissue each voxel decides for itself. Where it is not, a
voxel's own share says little, and its neighbours are asked, too: they vote, and the weaker the
contrast, the more their vote weighs (mean-field approximation of a Potts model; Zhang 1992, IEEE Trans
Signal Process 40:2570).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from infarct_vol.segmentation.cleanup import bounding_box, distance_to_mm
from infarct_vol.segmentation.gathering import Contrast
from infarct_vol.segmentation.reference import smoothed, weighted_mean
from infarct_vol.settings import AcuteSettings

Volume = NDArray[np.float32]
Mask = NDArray[np.bool_]

# log DWI below this says nothing more: CSF and lost signal
DARKEST = np.float32(-0.7)
# an infarct is at least this much brighter than tissue, and its ADC is not raised
LEAST_EXCESS = np.float32(0.05)
# rounds of level and vote, and votes a round: the mask hardly moves after them
ROUNDS = 4
VOTES = 4
# natural log; a voxel this sure by itself is not outvoted, and more would only overflow
OWN_VOICE = 20.0
# a spread narrower than this is an accident
LEAST_SPREAD = np.float32(0.06)
# share of tissue in a neighbourhood, never taken for less
LEAST_TISSUE = np.float32(1e-3)


@dataclass(frozen=True, eq=False)
class Share:
    """What share of the local lesion contrast each voxel shows, arrays (X, Y, Z).

    Parameters
    ----------
    fraction
        0 normal, 1 like the lesion nearby.
    strength
        Lesion contrast in squared spreads of normal tissue: the log likelihood ratio a full voxel has.
    """

    fraction: Volume
    strength: Volume


@dataclass(frozen=True, eq=False)
class SettledShare:
    """Where the boundary lies, arrays (X, Y, Z); 0 out of the lesion's reach.

    Parameters
    ----------
    fraction
        Share of the lesion contrast that a voxel shows itself.
    settled
        The same with its neighbours' vote: what decides.
    strength
        Lesion contrast in squared spreads of normal tissue, infinite out of reach; see `Share`.
    """

    fraction: Volume
    settled: Volume
    strength: Volume


def lesion_share(
    seen: Contrast, weight: Volume, *, level_mm: float, spacing_mm: NDArray[np.float64]
) -> Share:
    """Compare every voxel with the lesion's own level nearby.

    Parameters
    ----------
    seen
        Contrast to normal tissue; the quieter feature has the larger say (Fisher's discriminant).
    weight
        (X, Y, Z) how much a voxel counts for the lesion's level; 0 outside the lesion.
    level_mm
        Standard deviation in mm of the Gaussian over which the level is taken.
    spacing_mm
        (3,) voxel spacing.
    """
    # signals mix linearly in a voxel, their logarithms do not
    excess = np.expm1(np.maximum(seen.brightness, DARKEST))
    level = weighted_mean(excess, weight, sigma_mm=level_mm, spacing_mm=spacing_mm)
    gain, full = _gain(np.maximum(level, LEAST_EXCESS), seen.brightness_sd)
    shown = excess * gain
    if seen.adc_change is not None and seen.adc_change_sd is not None:
        level = weighted_mean(seen.adc_change, weight, sigma_mm=level_mm, spacing_mm=spacing_mm)
        more, fuller = _gain(np.minimum(level, 0), seen.adc_change_sd)
        shown += seen.adc_change * more
        full += fuller
    return Share(shown / full, full)


def _gain(level: Volume, spread: Volume) -> tuple[Volume, Volume]:
    gain = (level / np.square(np.maximum(spread, LEAST_SPREAD))).astype(np.float32)
    return gain, (level * gain).astype(np.float32)


def settled_share(
    seen: Contrast,
    core: Mask,
    start: Mask,
    *,
    tissue: Mask,
    gain: Volume,
    settings: AcuteSettings,
    spacing_mm: NDArray[np.float64],
) -> SettledShare:
    """Share of the lesion contrast and the neighbours' vote, settled in rounds: level, vote, level again.

    Parameters
    ----------
    seen
        Contrast to normal tissue, arrays (X, Y, Z).
    core
        Voxels with strong evidence: the mask reaches no farther than ``growth_mm`` from them.
    start
        First mask; the lesion's level is taken from it, later from what the rounds find.
    tissue
        Only tissue is lesion.
    gain
        (X, Y, Z) what a share counts: above 1 where the boundary lies at a smaller share.
    settings
        Acute section of the protocol.
    spacing_mm
        (3,) voxel spacing.
    """
    fraction, settled = (np.zeros(core.shape, dtype=np.float32) for _ in range(2))
    out = SettledShare(fraction, settled, np.full(core.shape, np.inf, dtype=np.float32))
    if not core.any():
        return out
    reach_mm = settings.growth_mm + 3.0 * settings.neighbour_mm
    box = bounding_box(core, margin=[int(reach_mm / s) + 1 for s in spacing_mm])
    seen, tissue, gain = _part(seen, box), tissue[box], gain[box]
    near = tissue & (distance_to_mm(core[box], spacing_mm) <= settings.growth_mm)
    lesion = (start[box] & near).astype(np.float32)
    smooth = partial(smoothed, sigma_mm=settings.neighbour_mm, spacing_mm=spacing_mm)
    solid = np.maximum(smooth(tissue.astype(np.float32)), LEAST_TISSUE)
    nearby = smooth(lesion) / solid
    middle = np.float32(settings.boundary_fraction)
    for _ in range(ROUNDS):
        # the inside counts: at the edge are partial voxels, and the brightest alone are not typical
        inside = (lesion * nearby).astype(np.float32)
        share = lesion_share(seen, inside, level_mm=settings.level_mm, spacing_mm=spacing_mm)
        own = (share.fraction * gain - middle) * share.strength
        own = np.clip(own, -OWN_VOICE, OWN_VOICE)
        for _ in range(VOTES):
            nearby = smooth(lesion) / solid
            vote = np.float32(settings.neighbour_evidence) * (2 * nearby - 1)
            lesion = np.where(near, 1 / (1 + np.exp(-(own + vote))), 0).astype(np.float32)
    out.fraction[box] = np.where(near, share.fraction * gain, 0)
    out.strength[box] = np.where(near, share.strength, np.inf)
    out.settled[box] = np.where(near, np.maximum(share.fraction * gain + vote / share.strength, 0), 0)
    return out


def _part(seen: Contrast, box: tuple[slice, ...]) -> Contrast:
    change, change_sd = seen.adc_change, seen.adc_change_sd
    return Contrast(
        seen.brightness[box],
        seen.brightness_sd[box],
        None if change is None else change[box],
        None if change_sd is None else change_sd[box],
    )

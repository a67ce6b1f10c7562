"""Two masks of one lesion on one grid: how well they agree, each empty case with a name and an answer."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from infarct_vol.errors import UsageError
from infarct_vol.images import LesionMask, require_same_grid
from infarct_vol.measurement import dice
from infarct_vol.records import Record
from infarct_vol.segmentation.cleanup import Connectivity, Mask, label_components
from infarct_vol.validation.surfaces import SurfaceAgreement, surface_agreement

DEFAULT_TOLERANCE_MM = 1.0
"""Surface tolerance: about one in-plane voxel of a clinical scan."""

MaskCase = Literal["both_present", "both_empty", "reference_empty", "compared_empty"]
_NO_SURFACE: dict[MaskCase, str] = {
    "both_empty": "both masks are empty: no surface to measure a distance from",
    "reference_empty": "the reference is empty: no surface to measure a distance to",
    "compared_empty": "the compared mask is empty: no surface to measure a distance to",
}


class Overlap(Record):
    """Agreement of a compared mask with a reference; volumes in mL, distances in mm."""

    masks: MaskCase
    reference_ml: float
    compared_ml: float
    dice: float
    lesion_f1: float
    reference_lesions: int
    compared_lesions: int
    surface_dice: float
    tolerance_mm: float
    hd95_mm: float | None
    reason: str = ""


def compare_masks(
    reference: LesionMask,
    compared: LesionMask,
    *,
    tolerance_mm: float = DEFAULT_TOLERANCE_MM,
    connectivity: Connectivity = 26,
) -> Overlap:
    """Compare a mask with a reference on the same grid; nothing is resampled.

    Parameters
    ----------
    reference, compared
        Two masks of one lesion on one voxel grid.
    tolerance_mm
        Distance in mm up to which two surfaces agree.
    connectivity
        Neighbourhood of a lesion: 6, 18 or 26 voxels.

    Returns
    -------
    Overlap
        Dice, lesion counts and lesion-wise F1 as in the ISLES'22 challenge (Hernandez Petzsche et al. 2022,
        Sci Data 9:762): a reference lesion that holds a voxel of the compared mask is found, a compared
        lesion that holds none of the reference is false, ``F1 = tp / (tp + (fp + fn) / 2)``. Surface Dice
        and 95 % Hausdorff distance as in `infarct_vol.validation.surfaces`.
        Both masks empty: Dice, F1 and surface Dice are 1. One empty: they are 0. The Hausdorff distance
        is None in both cases, and ``reason`` says why.

    Raises
    ------
    GridMismatchError
        If the masks lie on different grids.
    UsageError
        If the tolerance is negative or not finite.
    """
    if not (math.isfinite(tolerance_mm) and tolerance_mm >= 0):
        msg = f"the tolerance must be a finite number of mm, 0 at least, got {tolerance_mm:g}"
        raise UsageError(msg)
    require_same_grid(reference, compared, what="two masks that are compared")
    case = _case(reference, compared)
    f1, reference_lesions, compared_lesions = _lesions(reference.data, compared.data, connectivity)
    surface = _surface(reference, compared, case, tolerance_mm)
    return Overlap(
        masks=case,
        reference_ml=reference.volume_ml,
        compared_ml=compared.volume_ml,
        dice=dice(reference, compared),
        lesion_f1=f1,
        reference_lesions=reference_lesions,
        compared_lesions=compared_lesions,
        surface_dice=surface.surface_dice if surface else float(case == "both_empty"),
        tolerance_mm=tolerance_mm,
        hd95_mm=surface.hd95_mm if surface else None,
        reason=_NO_SURFACE.get(case, ""),
    )


def _case(reference: LesionMask, compared: LesionMask) -> MaskCase:
    present = bool(reference.data.any()), bool(compared.data.any())
    cases: dict[tuple[bool, bool], MaskCase] = {
        (True, True): "both_present",
        (False, False): "both_empty",
        (False, True): "reference_empty",
        (True, False): "compared_empty",
    }
    return cases[present]


def _lesions(reference: Mask, compared: Mask, connectivity: Connectivity) -> tuple[float, int, int]:
    """Return lesion-wise F1 and the number of lesions in reference and compared mask."""
    both = reference & compared
    labels, reference_count = label_components(reference, connectivity=connectivity)
    found = len(np.unique(labels[both]))
    labels, compared_count = label_components(compared, connectivity=connectivity)
    false = compared_count - len(np.unique(labels[both]))
    missed = reference_count - found
    wrong = found + (false + missed) / 2
    return (found / wrong if wrong else 1.0), reference_count, compared_count


def _surface(
    reference: LesionMask, compared: LesionMask, case: MaskCase, tolerance_mm: float
) -> SurfaceAgreement | None:
    if case != "both_present":
        return None
    i, j, k = (float(s) for s in reference.grid.spacing_mm)
    return surface_agreement(reference.data, compared.data, spacing_mm=(i, j, k), tolerance_mm=tolerance_mm)

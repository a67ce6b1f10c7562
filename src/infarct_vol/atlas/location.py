"""What the MNI template says about a place in the brain: side, region, grey or white matter.

For a reader's orientation. An affine fit is good to about 5 mm, so that a small lesion near a border may be
named for the neighbour. No atlas of arterial territories with a free licence comes with a dependency;
territories are not named.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from infarct_vol.atlas.fit import BrainMap
from infarct_vol.atlas.template import load_template

Hemisphere = Literal["left", "right", "midline"]
Region = Literal["supratentorial", "infratentorial"]
Points = NDArray[np.float64]

_MIDLINE_MM = 3.0
_MOST = 2 / 3
# the tentorium, and the upper end of the brain stem: see `is_infratentorial`
_BEHIND_MM, _STEM_FRONT_MM = -34.0, -12.0
_TENT_TOP_MM, _TENT_FALL = -8.0, 0.4
_STEM_TOP_MM, _STEM_HALF_WIDTH_MM = -8.0, 16.0


@dataclass(frozen=True)
class Location:
    """Where a lesion lies.

    Parameters
    ----------
    centroid_mni_mm
        Mean of its voxel centres in MNI space, RAS+ mm.
    hemisphere
        ``left`` or ``right`` (of the patient) if two thirds of it lie there, more than 3 mm from the
        mid-plane; otherwise ``midline``.
    region
        Where at least half of it lies; see `is_infratentorial`.
    grey_percent, white_percent
        Mean share of grey and of white matter in the template there, percent; the rest is CSF or beyond
        the brain.
    """

    centroid_mni_mm: tuple[float, float, float]
    hemisphere: Hemisphere
    region: Region
    grey_percent: float
    white_percent: float


def locate(points_mm: Points, brain_map: BrainMap) -> Location:
    """Say where a lesion lies.

    Parameters
    ----------
    points_mm
        (N, 3) its voxel centres in the scan, RAS+ mm; at least one.
    brain_map
        Points of that scan -> MNI.
    """
    mni = brain_map.apply(points_mm)
    x, y, z = (round(float(value), 2) for value in mni.mean(axis=0))
    grey, white = (round(100 * float(share), 1) for share in _tissue(mni))
    return Location(
        centroid_mni_mm=(x, y, z),
        hemisphere=_hemisphere(mni),
        region="infratentorial" if is_infratentorial(mni).mean() >= 0.5 else "supratentorial",
        grey_percent=grey,
        white_percent=white,
    )


def is_infratentorial(mni_mm: Points) -> NDArray[np.bool_]:
    """Tell which of (N, 3) points in MNI space lie below the tentorium.

    A tent of two planes behind y = -34 mm, z < -8 - 0.4 |x|, and a box round pons and midbrain in front of
    it, z < -8 and |x| < 16 to y = -12 mm. Made for this purpose: the planes nearest to the cerebellum and
    brain stem that a watershed of the template's tissue maps separates, with which they overlap by 0.95
    (Dice). Midbrain above z = -8 mm counts as supratentorial.
    """
    x, y, z = np.abs(mni_mm[:, 0]), mni_mm[:, 1], mni_mm[:, 2]
    tent = (y < _BEHIND_MM) & (z < _TENT_TOP_MM - _TENT_FALL * x)
    stem = (y >= _BEHIND_MM) & (y < _STEM_FRONT_MM) & (x < _STEM_HALF_WIDTH_MM) & (z < _STEM_TOP_MM)
    return np.asarray(tent | stem)


def _hemisphere(mni_mm: Points) -> Hemisphere:
    x = mni_mm[:, 0]
    if (x < -_MIDLINE_MM).mean() >= _MOST:
        return "left"
    return "right" if (x > _MIDLINE_MM).mean() >= _MOST else "midline"


def _tissue(mni_mm: Points) -> tuple[float, float]:
    """Mean share of grey and of white matter at (N, 3) points, 0 to 1."""
    template = load_template()
    index = np.rint(template.grid.to_index(mni_mm)).astype(np.intp)
    inside = ((index >= 0) & (index < template.grid.shape)).all(axis=1)
    i, j, k = index[inside].T
    shares = template.tissue[:, i, j, k].sum(axis=1, dtype=np.float64) / len(mni_mm)
    return float(shares[0]), float(shares[1])

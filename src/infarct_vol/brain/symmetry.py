"""The mid-sagittal plane of a brain mask, and what one hemisphere says about the other."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from infarct_vol.brain.morphology import Mask

_SAMPLES = 1000
_SEARCH = ((16.0, 8.0, 9.0, 4.5), (6.0, 3.0, 3.0, 1.5), (2.0, 1.0, 1.5, 0.75))
"""Per round: largest angle and its step in degrees, largest shift and its step in mm."""


@dataclass(frozen=True)
class MirrorPlane:
    """Plane ``normal . x = offset_mm`` in millimetres along the axes of a right-anterior-superior grid."""

    normal: NDArray[np.float64]
    offset_mm: float

    def reflect(self, points_mm: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return (N, 3) points on the other side."""
        distance = points_mm @ self.normal - self.offset_mm
        return np.asarray(points_mm - 2 * distance[:, np.newaxis] * self.normal)


def mirror_plane(brain: Mask, *, spacing_mm: NDArray[np.float64]) -> MirrorPlane:
    """Find the plane that maps most of a brain onto itself.

    Parameters
    ----------
    brain
        (I, J, K) mask whose first axis runs to the right; at least one voxel.
    spacing_mm
        (3,) voxel spacing.

    Returns
    -------
    MirrorPlane
        The best of ever finer searches over yaw, roll and shift.
    """
    voxels = np.argwhere(brain)
    points = voxels[:: max(1, len(voxels) // _SAMPLES)] * spacing_mm
    centre = points.mean(axis=0)
    best = (0.0, 0.0, 0.0)
    for widest, turn, farthest, shift in _SEARCH:
        turns = np.arange(-widest, widest + turn / 2, turn)
        shifts = np.arange(-farthest, farthest + shift / 2, shift)
        trials = [
            (best[0] + yaw, best[1] + roll, best[2] + move)
            for yaw, roll, move in product(turns, turns, shifts)
        ]
        shares = [_overlap(brain, points, _plane(trial, centre), spacing_mm) for trial in trials]
        best = trials[int(np.argmax(shares))]
    return _plane(best, centre)


def mirror_is_in(
    brain: Mask, candidates: Mask, plane: MirrorPlane, *, spacing_mm: NDArray[np.float64]
) -> Mask:
    """Return the candidate voxels whose mirror image lies in ``brain``."""
    voxels = np.argwhere(candidates)
    hit = _look_up(brain, plane.reflect(voxels * spacing_mm), spacing_mm)
    result = np.zeros(brain.shape, dtype=bool)
    result[tuple(voxels[hit].T)] = True
    return result


def _plane(trial: tuple[float, float, float], centre: NDArray[np.float64]) -> MirrorPlane:
    yaw, roll = np.deg2rad(trial[0]), np.deg2rad(trial[1])
    normal = np.array([np.cos(yaw) * np.cos(roll), np.sin(yaw) * np.cos(roll), np.sin(roll)])
    return MirrorPlane(normal, float(normal @ centre) + trial[2])


def _overlap(
    brain: Mask, points_mm: NDArray[np.float64], plane: MirrorPlane, spacing_mm: NDArray[np.float64]
) -> int:
    return int(np.count_nonzero(_look_up(brain, plane.reflect(points_mm), spacing_mm)))


def _look_up(brain: Mask, points_mm: NDArray[np.float64], spacing_mm: NDArray[np.float64]) -> Mask:
    index = np.rint(points_mm / spacing_mm).astype(np.intp)
    inside = ((index >= 0) & (index < brain.shape)).all(axis=1)
    found = np.zeros(len(index), dtype=bool)
    found[inside] = brain[tuple(index[inside].T)]
    return found

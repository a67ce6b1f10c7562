"""A start close enough for refinement: rotations and shifts tried at the coarsest level."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from infarct_vol.registration.engine import Side, Sides, refine, score
from infarct_vol.registration.motion import Matrix, about, inverted
from infarct_vol.registration.pyramid import Pyramid
from infarct_vol.settings import RegistrationSettings

COARSE_MM, MIDDLE_MM = 8.0, 4.0
# mid-sagittal planes tried for the mirrored alignment: yaw and roll of the head in the scanner
_PLANE_TILTS_DEGREES = (0.0, -20.0, 20.0)
_KNOTS_COARSE, _KNOTS_MIDDLE = 16, 32
_POINTS_FULL, _POINTS_MIDDLE = 1500, 4000


class Start(NamedTuple):
    """A candidate alignment (points of fixed -> points of moving) and its symmetric likeness."""

    matrix: Matrix
    score: float


def find_starts(fixed: Pyramid, moving: Pyramid, *, settings: RegistrationSettings) -> list[Start]:
    """Return up to three alignments refined at 4 mm, the best first.

    Heads are put centre on centre under 27 rotations and three shifts along the body axis, and as the
    headers place them; the best 24 are refined on blurred copies, the best six of those at 8 mm, and the
    best three of those at 4 mm.

    Parameters
    ----------
    fixed, moving
        Scans made ready by `prepare`.
    settings
        Range of rotations and shifts tried.
    """
    return _climbed(_candidates(fixed, moving, settings=settings), fixed, moving, tried=24, kept=3)


def find_mirrored(fixed: Pyramid, moving: Pyramid, matrix: Matrix) -> Start:
    """Return the best alignment of the left-right mirrored fixed head, refined at 4 mm.

    Starts from the alignment found, mirrored about sagittal planes through the head's centre.
    """
    tilts = np.radians(_PLANE_TILTS_DEGREES)
    candidates = []
    for roll, yaw in product(tilts, tilts):
        turn = _rotation((0.0, float(roll), float(yaw)))
        mirror = turn @ np.diag([-1.0, 1.0, 1.0]) @ turn.T
        candidates.append(matrix @ about(mirror, np.zeros(3), np.zeros(3)))
    return _climbed(candidates, fixed, moving, tried=4, kept=1)[0]


def _climbed(
    candidates: Sequence[Matrix], fixed: Pyramid, moving: Pyramid, *, tried: int, kept: int
) -> list[Start]:
    """Climb from the ``tried`` best of candidates on blurred copies, and from ``kept`` of them to 4 mm."""
    smooth = (Side(fixed.smooth, _KNOTS_COARSE), Side(moving.smooth, _KNOTS_COARSE))
    full = sides_at(fixed, moving, level_mm=COARSE_MM, knots=_KNOTS_COARSE, count=_POINTS_FULL)
    middle = sides_at(fixed, moving, level_mm=MIDDLE_MM, knots=_KNOTS_MIDDLE, count=_POINTS_MIDDLE)
    places = np.array(candidates)
    starts = _matrices(_ranked(places, score(smooth, places))[:tried])
    ends = refine(smooth, starts, tolerance_mm=1.0, max_steps=10).matrices
    starts = _matrices(_distinct(better(ends, starts, full), fixed)[: 2 * kept])
    ends = refine(full, starts, tolerance_mm=0.5, max_steps=10).matrices
    starts = _matrices(_distinct(better(ends, starts, middle), fixed)[:kept])
    ends = refine(middle, starts, tolerance_mm=0.2, max_steps=15).matrices
    return better(ends, starts, middle)


def better(ends: Matrix, starts: Matrix, sides: Sides) -> list[Start]:
    """Rank the ends of climbs, or their starts where a climb led away from what it was to find."""
    after, before = score(sides, ends), score(sides, starts)
    matrices = np.where((after >= before)[:, None, None], ends, starts)
    return _ranked(matrices, np.maximum(after, before))


def sides_at(fixed: Pyramid, moving: Pyramid, *, level_mm: float, knots: int, count: int) -> Sides:
    """Both scans at one level of 4 mm or more, at most ``count`` points each."""
    first = Side(fixed.levels[level_mm].thinned(count), knots)
    return first, Side(moving.levels[level_mm].thinned(count), knots)


def _matrices(starts: Sequence[Start]) -> Matrix:
    return np.array([start.matrix for start in starts])


def _ranked(matrices: Matrix, scores: NDArray[np.float64]) -> list[Start]:
    return [Start(matrices[c], float(scores[c])) for c in np.argsort(-scores, kind="stable")]


def _distinct(starts: Sequence[Start], fixed: Pyramid) -> list[Start]:
    """Drop candidates that arrived where a better one did (within 4 mm over the head)."""
    kept: list[Start] = []
    for start in starts:
        if all(apart_mm(start.matrix, other.matrix, fixed) > MIDDLE_MM for other in kept):
            kept.append(start)
    return kept


def apart_mm(first: Matrix, second: Matrix, fixed: Pyramid) -> float:
    """Root mean square distance between two transforms over the fixed head, in mm."""
    # six points on the axes have the second moments of the head
    points = np.concatenate((np.eye(3), -np.eye(3))) * fixed.radius_mm
    difference = points @ (first - second)[:3, :3].T + (first - second)[:3, 3]
    return float(np.sqrt((difference**2).sum(axis=1).mean()))


def _candidates(fixed: Pyramid, moving: Pyramid, *, settings: RegistrationSettings) -> list[Matrix]:
    angle, shift = np.radians(settings.start_angle_degrees), settings.start_shift_mm
    matrices = []
    for turn in product((0.0, -angle, angle), repeat=3):
        rotation = _rotation(turn)
        for along in (0.0, -shift, shift):
            # half of the shift belongs to each head, so that exchanging the scans tries the same places
            offset = np.array([0.0, 0.0, along / 2])
            matrices.append(about(rotation, -offset, rotation @ offset))
    return [*matrices, framed(np.eye(4), fixed, moving)]


def framed(matrix: Matrix, fixed: Pyramid, moving: Pyramid) -> Matrix:
    """Bring a transform between the scans' worlds into the frames of their pyramids."""
    return np.asarray(_shift(-moving.centre) @ matrix @ _shift(fixed.centre))


def unframed(matrix: Matrix, fixed: Pyramid, moving: Pyramid) -> Matrix:
    """Bring a transform between the frames of the pyramids back into the scans' worlds."""
    return np.asarray(_shift(moving.centre) @ matrix @ inverted(_shift(fixed.centre)))


def _shift(by: Matrix) -> Matrix:
    return about(np.eye(3), np.zeros(3), by)


def _rotation(turn: tuple[float, ...]) -> Matrix:
    result = np.eye(3)
    for axis, value in enumerate(turn):
        c, s = np.cos(value), np.sin(value)
        one = np.eye(3)
        a, b = (axis + 1) % 3, (axis + 2) % 3
        one[a, a], one[a, b], one[b, a], one[b, b] = c, -s, s, c
        result = one @ result
    return result

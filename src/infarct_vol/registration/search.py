"""A start close enough for refinement: rotations and shifts tried at the coarsest level."""

from __future__ import annotations

from itertools import product
from typing import NamedTuple

import numpy as np

from infarct_vol.registration.engine import Matrix, Side, Sides, refine, score
from infarct_vol.registration.pyramid import Pyramid
from infarct_vol.settings import RegistrationSettings

# mid-sagittal planes tried for the mirrored alignment: yaw and roll of the head in the scanner
_PLANE_TILTS_DEGREES = (0.0, -20.0, 20.0)
COARSE_MM, MIDDLE_MM = 8.0, 4.0
_KNOTS_COARSE = 16
_POINTS_MIDDLE = 12000


class Start(NamedTuple):
    """A candidate alignment (points of fixed -> points of moving) and its symmetric likeness."""

    matrix: Matrix
    score: float


def find_starts(fixed: Pyramid, moving: Pyramid, *, settings: RegistrationSettings) -> list[Start]:
    """Return up to three alignments refined at 4 mm, the best first.

    Heads are put centre on centre under 27 rotations and three shifts along the body axis, and as the
    headers place them; the best twelve are refined on blurred copies, what remains of those at 8 mm, and
    the best three at 4 mm.

    Parameters
    ----------
    fixed, moving
        Scans made ready by `prepare`.
    settings
        Range of rotations and shifts tried.
    """
    return _refined(_candidates(fixed, moving, settings=settings), fixed, moving, settings=settings)


def find_mirrored(
    fixed: Pyramid, moving: Pyramid, matrix: Matrix, *, settings: RegistrationSettings
) -> Start:
    """Return the best alignment of the left-right mirrored fixed head, refined at 4 mm.

    Starts from the alignment found, mirrored about sagittal planes through the head's centre.
    """
    tilts = np.radians(_PLANE_TILTS_DEGREES)
    candidates = []
    for roll, yaw in product(tilts, tilts):
        turn = _rotation((0.0, float(roll), float(yaw)))
        mirror = turn @ np.diag([-1.0, 1.0, 1.0]) @ turn.T
        candidates.append(matrix @ _about(mirror, fixed.centre, fixed.centre))
    return _refined(candidates, fixed, moving, settings=settings, kept=1)[0]


def _refined(
    candidates: list[Matrix],
    fixed: Pyramid,
    moving: Pyramid,
    *,
    settings: RegistrationSettings,
    kept: int = 3,
) -> list[Start]:
    """Climb from candidates, many coarsely and ``kept`` of them to 4 mm."""
    smooth = (Side.of(fixed.smooth, knots=_KNOTS_COARSE), Side.of(moving.smooth, knots=_KNOTS_COARSE))
    full = sides_at(fixed, moving, level_mm=COARSE_MM, knots=_KNOTS_COARSE)
    middle = sides_at(fixed, moving, level_mm=MIDDLE_MM, knots=settings.knots, count=_POINTS_MIDDLE)
    tried = _ranked(candidates, smooth)[: 4 * kept]
    near = [refine(smooth, start.matrix, tolerance_mm=0.5, max_steps=15).matrix for start in tried]
    coarse = [
        refine(full, start.matrix, tolerance_mm=0.3, max_steps=15).matrix
        for start in _distinct(_ranked(near, full), fixed)[: 2 * kept]
    ]
    fine = [
        refine(middle, start.matrix, tolerance_mm=0.1, max_steps=20).matrix
        for start in _distinct(_ranked(coarse, middle), fixed)[:kept]
    ]
    return _ranked(fine, middle)


def sides_at(
    fixed: Pyramid, moving: Pyramid, *, level_mm: float, knots: int, count: int | None = None
) -> Sides:
    """Both scans at one level, at most ``count`` points each."""
    first = Side.of(fixed.levels[level_mm], knots=knots, count=count)
    return first, Side.of(moving.levels[level_mm], knots=knots, count=count)


def _ranked(matrices: list[Matrix], sides: Sides) -> list[Start]:
    starts = [Start(matrix, score(sides, matrix)) for matrix in matrices]
    return sorted(starts, key=lambda start: -start.score)


def _distinct(starts: list[Start], fixed: Pyramid) -> list[Start]:
    """Drop candidates that arrived where a better one did (within 4 mm over the head)."""
    kept: list[Start] = []
    for start in starts:
        if all(apart_mm(start.matrix, other.matrix, fixed) > MIDDLE_MM for other in kept):
            kept.append(start)
    return kept


def apart_mm(first: Matrix, second: Matrix, fixed: Pyramid) -> float:
    """Root mean square distance between two transforms over the fixed head, in mm."""
    # six points on the axes have the second moments of the head
    axes = np.concatenate((np.eye(3), -np.eye(3))) * fixed.radius_mm
    points = fixed.centre + axes
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
            matrices.append(_about(rotation, fixed.centre - offset, moving.centre + rotation @ offset))
    return [*matrices, np.eye(4)]


def _rotation(turn: tuple[float, ...]) -> Matrix:
    result = np.eye(3)
    for axis, value in enumerate(turn):
        c, s = np.cos(value), np.sin(value)
        one = np.eye(3)
        a, b = (axis + 1) % 3, (axis + 2) % 3
        one[a, a], one[a, b], one[b, a], one[b, b] = c, -s, s, c
        result = one @ result
    return result


def _about(linear: Matrix, source: Matrix, target: Matrix) -> Matrix:
    """Transform with a given linear part that takes ``source`` to ``target``."""
    matrix = np.eye(4)
    matrix[:3, :3] = linear
    matrix[:3, 3] = target - linear @ source
    return matrix

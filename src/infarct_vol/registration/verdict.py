"""Judge a registration without knowing the truth: PASS, WARN or FAIL, with reasons.

A rigid fit always ends somewhere; these tests ask whether it ended at the right place, on the right
person, the right way round. All use the 2 mm level inside the brain (or deep in the head), where another
person's brain or a mirrored one fits visibly worse than one's own.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from infarct_vol.registration.engine import Likeness, Matrix, Refined, Side, likeness, moved, refine
from infarct_vol.registration.pyramid import Pyramid
from infarct_vol.registration.quality import RegistrationQuality, Verdict
from infarct_vol.registration.search import Start, apart_mm, find_mirrored, head_sphere
from infarct_vol.settings import RegistrationSettings

JUDGED_MM = 2.0
_POINTS = 12000
_SHARP_MM = 4.0
_FAR_MM = (15.0, 30.0)
_FAR_COUNT = 8
_BLOCK_MM = 20.0


def judge(
    fixed: Pyramid,
    moving: Pyramid,
    matrix: Matrix,
    *,
    starts: list[Start],
    last: Refined,
    settings: RegistrationSettings,
) -> RegistrationQuality:
    """Judge a transform (points of fixed -> points of moving).

    Parameters
    ----------
    fixed, moving
        Scans made ready by `prepare`.
    matrix
        (4, 4) transform to judge.
    starts
        Alignments found at 4 mm, the best first.
    last
        Outcome of the finest level.
    settings
        Limits of the verdict.
    """
    judged = JUDGED_MM if JUDGED_MM in fixed.levels else min(fixed.levels)
    sides = [Side.of(p.levels[judged], knots=settings.knots, count=_POINTS) for p in (fixed, moving)]
    here = _both(*sides, matrix)
    own = _nats(here)
    mirrored = find_mirrored(fixed, moving, matrix, settings=settings).matrix
    mirrored = refine(*sides, mirrored, tolerance_mm=0.05, max_steps=10).matrix
    metrics = {
        "likeness_nats": own,
        "sharpness": _sharpness(sides, matrix, moving, own=own),
        "far_likeness_share": _far(sides, matrix, moving) / max(own, 1e-9),
        "mirrored_likeness_share": _nats(_both(*sides, mirrored)) / max(own, 1e-9),
        "rival_likeness_share": _rival(starts, fixed),
        "coverage_fixed": here[0].inside,
        "coverage_moving": here[1].inside,
        "head_volume_ratio": min(fixed.head_ml, moving.head_ml) / max(fixed.head_ml, moving.head_ml),
        "halves_mm": _halves_mm(fixed, moving, matrix, settings=settings),
        "converged": float(last.converged),
    }
    return RegistrationQuality("PASS", (), metrics)


def _both(fixed: Side, moving: Side, matrix: Matrix) -> tuple[Likeness, Likeness]:
    inverse = np.linalg.inv(matrix)
    return likeness(fixed, moving.level, matrix), likeness(moving, fixed.level, inverse)


def _nats(pair: tuple[Likeness, Likeness]) -> float:
    return 0.5 * (pair[0].nats + pair[1].nats)


def _offset(matrix: Matrix, head: Pyramid, motion: NDArray[np.float64]) -> Matrix:
    """Move by a shift in mm and a rotation about the moving head's centre after a transform."""
    shift, turn = motion[:3], motion[3:]
    return moved(matrix, np.concatenate((shift - np.cross(turn, head.centre), turn)))


def _sharpness(sides: list[Side], matrix: Matrix, head: Pyramid, *, own: float) -> float:
    """Share of the likeness that is lost by moving 4 mm at the head's radius, mean over 12 motions.

    One's own brain has a sharp peak of likeness, another's a blunt one, whatever contrast and noise.
    """
    scale = np.array([_SHARP_MM] * 3 + [_SHARP_MM / head.radius_mm] * 3)
    motions = [sign * row for row in np.diag(scale) for sign in (-1.0, 1.0)]
    moved_away = [_nats(_both(sides[0], sides[1], _offset(matrix, head, motion))) for motion in motions]
    return 1.0 - float(np.mean(moved_away)) / max(own, 1e-9)


def _far(sides: list[Side], matrix: Matrix, head: Pyramid) -> float:
    """Highest likeness after motions of 15 to 30 mm in seeded random directions."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(_FAR_COUNT):
        direction = rng.normal(size=6)
        direction[:3] *= rng.uniform(*_FAR_MM) / np.linalg.norm(direction[:3])
        direction[3:] *= 10.0 / head.radius_mm / np.linalg.norm(direction[3:])
        found.append(_nats(_both(sides[0], sides[1], _offset(matrix, head, direction))))
    return max(found)


def _rival(starts: list[Start], fixed: Pyramid) -> float:
    """Score of the best other place the search ended at, as a share of the chosen one's."""
    best = starts[0]
    others = [s.score for s in starts[1:] if apart_mm(s.matrix, best.matrix, fixed) > 3.0]
    return max(others, default=0.0) / max(best.score, 1e-9)


def _halves_mm(
    fixed: Pyramid, moving: Pyramid, matrix: Matrix, *, settings: RegistrationSettings
) -> float:
    """Error estimated from two fits to separate halves of the points: half their distance in mm."""
    finest = min(fixed.levels)
    sides = [Side.of(p.levels[finest], knots=settings.knots) for p in (fixed, moving)]
    parity = [
        np.floor(side.level.points / _BLOCK_MM).astype(np.int64).sum(axis=1) % 2 == 0 for side in sides
    ]
    ends = [
        refine(*sides, matrix, tolerance_mm=0.01, max_steps=5, keep=(keep[0], keep[1])).matrix
        for keep in (parity, [~half for half in parity])
    ]
    return 0.5 * apart_mm(ends[0], ends[1], fixed)

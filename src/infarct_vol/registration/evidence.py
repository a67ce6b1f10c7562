"""Evidence on a registration, without knowing the truth.

A rigid fit always ends somewhere; these numbers ask whether it ended at the right place, on the right
person, the right way round. Most use the 2 mm level inside the brain (or deep in the head), where another
person's brain or a mirrored one fits visibly worse than one's own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from infarct_vol.registration.engine import Refined, Sides, likenesses, refine
from infarct_vol.registration.motion import Matrix, inverted, moved
from infarct_vol.registration.pyramid import Pyramid
from infarct_vol.registration.quality import NONRIGID
from infarct_vol.registration.remainder import correlation, remaining_displacement
from infarct_vol.registration.search import MIDDLE_MM, Start, apart_mm, find_mirrored, sides_at
from infarct_vol.registration.shading import flattened_sides
from infarct_vol.settings import RegistrationSettings

_JUDGED_MM = 2.0
_POINTS, _POINTS_FEW = 8000, 4000
_SHARP_MM = 4.0
_FAR_MM = (15.0, 30.0)
_FAR_COUNT = 8
_BLOCK_MM = 20.0
_HALF = 0.5
_RESTART_MM, _RESTART_DEGREES = 4.0, 3.0
_RESTART_KNOTS, _RESTART_POINTS = 32, 2500
# below this the ratios of likenesses are noise
_LEAST_NATS = 0.05
_RIVAL_MM = 6.0


def measured(
    fixed: Pyramid,
    moving: Pyramid,
    fit: Refined,
    *,
    starts: Sequence[Start],
    settings: RegistrationSettings,
) -> dict[str, float]:
    """Measure the evidence behind a verdict; units in the names, shares from 0 to 1."""
    matrix = fit.matrices[0]
    sides = _judged_sides(fixed, moving, matrix, count=_POINTS, settings=settings)
    forward, backward = likenesses(sides, matrix[None])
    own = float(0.5 * (forward.nats + backward.nats)[0])
    # without any likeness of their own the scans' other ratios say nothing
    related = own >= _LEAST_NATS
    mirrored_share = _mirrored_nats(fixed, moving, matrix, settings=settings) / max(own, _LEAST_NATS)
    sharpness = _sharpness(sides, matrix, moving, own=own) if related else 0.0
    remains = remaining_displacement(sides, matrix)
    metrics = {
        "match": max(0.0, sharpness) * max(0.0, 1.0 - mirrored_share),
        "likeness_nats": own,
        "correlation": correlation(sides, matrix),
        "sharpness": sharpness,
        "mirrored_share": mirrored_share,
        "far_share": _far(sides, matrix, moving) / own if related else 1.0,
        "rival_share": _rival(starts, fixed),
        "coverage_fixed": float(forward.inside[0]),
        "coverage_moving": float(backward.inside[0]),
        "overlap": _overlap(fixed, moving, matrix),
        "restarts_mm": _restarts_mm(fixed, moving, starts[0]),
        "start_mm": apart_mm(starts[0].matrix, matrix, fixed),
        "estimated_tre_mm": _estimated_tre_mm(sides, matrix, fixed),
        "nonrigid_mm": remains.typical,
        NONRIGID: remains.high,
        "converged": fit.converged[0],
    }
    # plain numbers, so that the report can be written as JSON
    return {name: float(value) for name, value in metrics.items()}


def seen_from_other_scan(metrics: Mapping[str, float]) -> dict[str, float]:
    """Return the evidence with the roles of the fixed and the moving scan exchanged."""
    exchanged = {"coverage_fixed": "coverage_moving", "coverage_moving": "coverage_fixed"}
    return {name: metrics[exchanged.get(name, name)] for name in metrics}


def _judged_sides(
    fixed: Pyramid, moving: Pyramid, matrix: Matrix, *, count: int, settings: RegistrationSettings
) -> Sides:
    level_mm = _JUDGED_MM if _JUDGED_MM in fixed.levels else min(fixed.levels)
    first, second = (pyramid.levels[level_mm].thinned(count) for pyramid in (fixed, moving))
    return flattened_sides(first, second, matrix, knots=settings.knots)


def _nats(sides: Sides, matrices: Matrix) -> NDArray[np.float64]:
    forward, backward = likenesses(sides, matrices)
    return 0.5 * (forward.nats + backward.nats)


def _mirrored_nats(
    fixed: Pyramid, moving: Pyramid, matrix: Matrix, *, settings: RegistrationSettings
) -> float:
    """Likeness of the best left-right mirrored fit."""
    start = find_mirrored(fixed, moving, matrix).matrix
    sides = _judged_sides(fixed, moving, start, count=_POINTS_FEW, settings=settings)
    return float(_nats(sides, refine(sides, start[None], tolerance_mm=0.2, max_steps=4).matrices)[0])


def _offsets(matrix: Matrix, motions: NDArray[np.float64]) -> Matrix:
    """Make (C, 6) motions (shift in mm, rotation about the moving head's centre) after a transform."""
    return moved(matrix, motions)


def _sharpness(sides: Sides, matrix: Matrix, head: Pyramid, *, own: float) -> float:
    """Share of the likeness that is lost by moving 4 mm at the head's radius, mean over 12 motions.

    One's own brain has a sharp peak of likeness, another's a blunt one, whatever contrast and noise.
    """
    scale = np.diag([_SHARP_MM] * 3 + [_SHARP_MM / head.radius_mm] * 3)
    return 1.0 - float(_nats(sides, _offsets(matrix, np.concatenate((scale, -scale)))).mean()) / own


def _far(sides: Sides, matrix: Matrix, head: Pyramid) -> float:
    """Highest likeness after motions of 15 to 30 mm in seeded random directions."""
    directions = np.random.default_rng(0).normal(size=(_FAR_COUNT, 6))
    reach_mm = np.linspace(*_FAR_MM, _FAR_COUNT)[:, None]
    directions[:, :3] *= reach_mm / np.linalg.norm(directions[:, :3], axis=1, keepdims=True)
    turns = 10.0 / head.radius_mm
    directions[:, 3:] *= turns / np.linalg.norm(directions[:, 3:], axis=1, keepdims=True)
    return float(_nats(sides, _offsets(matrix, directions)).max())


def _rival(starts: Sequence[Start], fixed: Pyramid) -> float:
    """Score of the best other place the search ended at, as a share of the chosen one's."""
    best = starts[0]
    others = [s.score for s in starts[1:] if apart_mm(s.matrix, best.matrix, fixed) > _RIVAL_MM]
    return max(others, default=0.0) / max(best.score, 1e-9)


def _overlap(fixed: Pyramid, moving: Pyramid, matrix: Matrix) -> float:
    """Share of each scan's brain (or deep head) that falls on the other's, the smaller of the two."""
    shares = []
    for here, there, through in ((fixed, moving, matrix), (moving, fixed, inverted(matrix))):
        points = here.levels[min(here.levels)].points
        shares.append(float((there.region.at(points, through=through) > _HALF).mean()))
    return min(shares)


def _restarts_mm(fixed: Pyramid, moving: Pyramid, start: Start) -> float:
    """Largest distance from the 4 mm alignment at which fits started 4 mm and 3 degrees off end."""
    sides = sides_at(fixed, moving, level_mm=MIDDLE_MM, knots=_RESTART_KNOTS, count=_RESTART_POINTS)
    corners = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) / np.sqrt(3.0)
    turns = np.roll(corners, 1, axis=0) * np.radians(_RESTART_DEGREES)
    starts = _offsets(start.matrix, np.concatenate((corners * _RESTART_MM, turns), axis=1))
    ends = refine(sides, np.concatenate((start.matrix[None], starts)), tolerance_mm=0.2, max_steps=15)
    return max(apart_mm(end, ends.matrices[0], fixed) for end in ends.matrices[1:])


def _estimated_tre_mm(sides: Sides, matrix: Matrix, fixed: Pyramid) -> float:
    """Error estimated from two fits to separate halves of the brain: half their distance in mm."""
    parity = [np.floor(side.level.points / _BLOCK_MM).astype(np.int64).sum(axis=0) % 2 == 0 for side in sides]
    keep = tuple(np.stack((half, ~half)) for half in parity)
    both = np.array([matrix, matrix])
    ends = refine(sides, both, tolerance_mm=0.02, max_steps=6, keep=(keep[0], keep[1])).matrices
    return 0.5 * apart_mm(ends[0], ends[1], fixed)

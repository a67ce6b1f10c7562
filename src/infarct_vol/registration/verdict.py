"""Judge a registration without knowing the truth: PASS, WARN or FAIL, with reasons.

A rigid fit always ends somewhere; these tests ask whether it ended at the right place, on the right
person, the right way round. All use the 2 mm level inside the brain (or deep in the head), where another
person's brain or a mirrored one fits visibly worse than one's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from infarct_vol.registration.engine import Refined, Sides, likenesses, refine
from infarct_vol.registration.motion import Matrix, applied, inverted, moved
from infarct_vol.registration.pyramid import Pyramid
from infarct_vol.registration.quality import NONRIGID, RegistrationQuality, Verdict
from infarct_vol.registration.remainder import correlation, remaining_displacement
from infarct_vol.registration.sampling import sample
from infarct_vol.registration.search import MIDDLE_MM, Start, apart_mm, find_mirrored, sides_at
from infarct_vol.registration.shading import flattened_sides
from infarct_vol.settings import RegistrationSettings

JUDGED_MM = 2.0
_POINTS = 12000
_SHARP_MM = 4.0
_FAR_MM = (15.0, 30.0)
_FAR_COUNT = 8
_BLOCK_MM = 20.0
_HALF = 0.5
_RESTART_MM, _RESTART_DEGREES = 4.0, 3.0
_RESTART_KNOTS, _RESTART_POINTS = 32, 4000
# correct registrations reached at most 0.2 (far) and 0.94 (rival, at 4 mm) in simulated heads
_FAR_FAIL = 0.7
# below this the ratios of likenesses are noise
_LEAST_NATS = 0.05
_RIVAL_MM, _RIVAL_WARN = 6.0, 0.97


class _Finding(NamedTuple):
    grade: Verdict
    reason: str


def judge(
    fixed: Pyramid,
    moving: Pyramid,
    fit: Refined,
    *,
    starts: Sequence[Start],
    same_contrast: bool,
    settings: RegistrationSettings,
) -> RegistrationQuality:
    """Judge a transform (points of fixed -> points of moving, in the pyramids' frames).

    Parameters
    ----------
    fixed, moving
        Scans made ready by `prepare`.
    fit
        Outcome of the finest level: the transform to judge.
    starts
        Alignments found at 4 mm, the best first.
    same_contrast
        Both scans are known to be of one modality.
    settings
        Limits of the verdict.
    """
    metrics = measured(fixed, moving, fit, starts=starts, settings=settings)
    found = [
        *_match_findings(metrics, same_contrast=same_contrast, settings=settings),
        *_fit_findings(metrics, settings=settings),
    ]
    grades = {finding.grade for finding in found}
    verdict: Verdict = "FAIL" if "FAIL" in grades else "WARN" if grades else "PASS"
    return RegistrationQuality(verdict, tuple(finding.reason for finding in found), metrics)


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
    sides = _judged_sides(fixed, moving, matrix, settings=settings)
    forward, backward = likenesses(sides, matrix[None])
    own = float(_nats(sides, matrix[None])[0])
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
        "halves_mm": _halves_mm(sides, matrix, fixed),
        "nonrigid_mm": remains.typical,
        NONRIGID: remains.high,
        "converged": fit.converged[0],
    }
    # plain numbers, so that the report can be written as JSON
    return {name: float(value) for name, value in metrics.items()}


def _match_findings(
    metrics: dict[str, float], *, same_contrast: bool, settings: RegistrationSettings
) -> list[_Finding]:
    """Ask whether it is the same person, the right way round."""
    share, match = metrics["mirrored_share"], metrics["match"]
    if share >= 1.0:
        text = (
            f"the scans fit better left-right mirrored ({share:.2f} times the likeness): one of them is "
            "flipped, or they show different persons; check both headers against the scanner's export"
        )
        return [_Finding("FAIL", text)]
    nats, least = metrics["likeness_nats"], settings.likeness_fail_nats
    if nats < least:
        text = (
            f"the scans tell nearly nothing of each other where they were aligned ({nats:.2f} nats per "
            f"point, at least {least:g} expected); check that both show this participant's head"
        )
        return [_Finding("FAIL", text)]
    warn, fail = settings.match_warn, settings.match_fail
    if not same_contrast:
        warn, fail = settings.match_warn_cross, settings.match_fail_cross
    if match < fail:
        text = (
            f"the scans do not match as one person's do (match {match:.3f}, at least {fail:g} expected): "
            "another participant's scan, or the registration went astray; check the identity and the overlay"
        )
        return [_Finding("FAIL", text)]
    found = []
    if nats < settings.likeness_warn_nats:
        text = f"the scans tell little of each other ({nats:.2f} nats per point); look at the overlay"
        found.append(_Finding("WARN", text))
    if match < warn:
        text = f"the match is weak ({match:.3f}, {warn:g} or more expected); look at the overlay"
        found.append(_Finding("WARN", text))
    if share > settings.mirrored_warn:
        text = f"the mirrored scan fits nearly as well ({share:.2f} of the likeness); look at left and right"
        found.append(_Finding("WARN", text))
    return found


def _fit_findings(metrics: dict[str, float], *, settings: RegistrationSettings) -> list[_Finding]:
    """Ask whether the fit ended at one place, and on enough of the brain."""
    found = []
    for name in ("fixed", "moving"):
        inside = metrics[f"coverage_{name}"]
        grade = _below(inside, warn=settings.coverage_warn, fail=settings.coverage_fail)
        if grade:
            text = f"only {100 * inside:.0f} % of the {name} scan's brain lies inside the other scan"
            found.append(_Finding(grade, text))
    halves = metrics["halves_mm"]
    grade = _below(-halves, warn=-settings.halves_warn_mm, fail=-settings.halves_fail_mm)
    if grade:
        text = (
            f"two halves of the brain put the transform {halves:.2f} mm off their mean; look at the overlay"
        )
        found.append(_Finding(grade, text))
    if metrics["far_share"] > _FAR_FAIL:
        text = "the scans are hardly more alike here than 15 to 30 mm away: the registration went astray"
        found.append(_Finding("FAIL", text))
    if metrics["rival_share"] > _RIVAL_WARN:
        text = (
            f"another alignment is nearly as good ({metrics['rival_share']:.2f} of the score); look at both"
        )
        found.append(_Finding("WARN", text))
    if not metrics["converged"]:
        found.append(_Finding("WARN", "the last refinement did not settle; look at the overlay"))
    return found


def _below(value: float, *, warn: float, fail: float) -> Verdict | None:
    if value < fail:
        return "FAIL"
    return "WARN" if value < warn else None


def _judged_sides(
    fixed: Pyramid, moving: Pyramid, matrix: Matrix, *, settings: RegistrationSettings
) -> Sides:
    level_mm = JUDGED_MM if JUDGED_MM in fixed.levels else min(fixed.levels)
    first, second = (pyramid.levels[level_mm].thinned(_POINTS) for pyramid in (fixed, moving))
    return flattened_sides(first, second, matrix, knots=settings.knots)


def _nats(sides: Sides, matrices: Matrix) -> NDArray[np.float64]:
    forward, backward = likenesses(sides, matrices)
    return 0.5 * (forward.nats + backward.nats)


def _mirrored_nats(
    fixed: Pyramid, moving: Pyramid, matrix: Matrix, *, settings: RegistrationSettings
) -> float:
    """Likeness of the best left-right mirrored fit."""
    start = find_mirrored(fixed, moving, matrix).matrix
    sides = _judged_sides(fixed, moving, start, settings=settings)
    return float(_nats(sides, refine(sides, start[None], tolerance_mm=0.05, max_steps=8).matrices)[0])


def _offsets(matrix: Matrix, motions: NDArray[np.float64]) -> Matrix:
    """Make (C, 6) motions (shift in mm, rotation about the moving head's centre) after a transform."""
    return np.array([moved(matrix, motion) for motion in motions])


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
        region = there.region
        index = applied((np.linalg.inv(region.affine) @ through)[None], here.levels[min(here.levels)].points)
        shares.append(float((sample(region.values, index, gradient=False).values > _HALF).mean()))
    return min(shares)


def _restarts_mm(fixed: Pyramid, moving: Pyramid, start: Start) -> float:
    """Largest distance from the 4 mm alignment at which fits started 4 mm and 3 degrees off end."""
    sides = sides_at(fixed, moving, level_mm=MIDDLE_MM, knots=_RESTART_KNOTS, count=_RESTART_POINTS)
    corners = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) / np.sqrt(3.0)
    turns = np.roll(corners, 1, axis=0) * np.radians(_RESTART_DEGREES)
    starts = _offsets(start.matrix, np.concatenate((corners * _RESTART_MM, turns), axis=1))
    ends = refine(sides, np.concatenate((start.matrix[None], starts)), tolerance_mm=0.1, max_steps=20)
    return max(apart_mm(end, ends.matrices[0], fixed) for end in ends.matrices[1:])


def _halves_mm(sides: Sides, matrix: Matrix, fixed: Pyramid) -> float:
    """Error estimated from two fits to separate halves of the brain: half their distance in mm."""
    parity = [np.floor(side.level.points / _BLOCK_MM).astype(np.int64).sum(axis=0) % 2 == 0 for side in sides]
    keep = tuple(np.concatenate((half, ~half)) for half in parity)
    both = np.array([matrix, matrix])
    ends = refine(sides, both, tolerance_mm=0.01, max_steps=6, keep=(keep[0], keep[1])).matrices
    return 0.5 * apart_mm(ends[0], ends[1], fixed)

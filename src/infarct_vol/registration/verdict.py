"""Judge a registration without knowing the truth: PASS, WARN or FAIL, with reasons.

A rigid fit always ends somewhere; these tests ask whether it ended at the right place, on the right
person, the right way round. All use the 2 mm level inside the brain (or deep in the head), where another
person's brain or a mirrored one fits visibly worse than one's own.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from infarct_vol.registration.engine import Matrix, Refined, Sides, likenesses, moved, refine
from infarct_vol.registration.pyramid import Pyramid
from infarct_vol.registration.quality import RegistrationQuality, Verdict
from infarct_vol.registration.search import Start, apart_mm, find_mirrored, sides_at
from infarct_vol.settings import RegistrationSettings

JUDGED_MM = 2.0
_POINTS = 12000
_SHARP_MM = 4.0
_FAR_MM = (15.0, 30.0)
_FAR_COUNT = 8
_BLOCK_MM = 20.0
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
    matrix: Matrix,
    *,
    starts: list[Start],
    last: Refined,
    same_contrast: bool,
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
    same_contrast
        Both scans are known to be of one modality.
    settings
        Limits of the verdict.
    """
    metrics = _measured(fixed, moving, matrix, starts=starts, last=last, settings=settings)
    found = [
        *_match_findings(metrics, same_contrast=same_contrast, settings=settings),
        *_fit_findings(metrics, settings=settings),
    ]
    grades = {finding.grade for finding in found}
    verdict: Verdict = "FAIL" if "FAIL" in grades else "WARN" if grades else "PASS"
    return RegistrationQuality(verdict, tuple(finding.reason for finding in found), metrics)


def _measured(
    fixed: Pyramid,
    moving: Pyramid,
    matrix: Matrix,
    *,
    starts: list[Start],
    last: Refined,
    settings: RegistrationSettings,
) -> dict[str, float]:
    judged = JUDGED_MM if JUDGED_MM in fixed.levels else min(fixed.levels)
    sides = sides_at(fixed, moving, level_mm=judged, knots=settings.knots, count=_POINTS)
    forward, backward = likenesses(sides, matrix)
    own = _nats(sides, matrix)
    mirrored = find_mirrored(fixed, moving, matrix, settings=settings).matrix
    mirrored = refine(sides, mirrored, tolerance_mm=0.05, max_steps=10).matrix
    # without any likeness of their own the scans' other ratios say nothing
    related = own >= _LEAST_NATS
    mirrored_share = _nats(sides, mirrored) / max(own, _LEAST_NATS)
    sharpness = _sharpness(sides, matrix, moving, own=own) if related else 0.0
    metrics = {
        "match": max(0.0, sharpness) * max(0.0, 1.0 - mirrored_share),
        "likeness_nats": own,
        "sharpness": sharpness,
        "mirrored_share": mirrored_share,
        "far_share": _far(sides, matrix, moving) / own if related else 1.0,
        "rival_share": _rival(starts, fixed),
        "coverage_fixed": forward.inside,
        "coverage_moving": backward.inside,
        "halves_mm": _halves_mm(fixed, moving, matrix, settings=settings),
        "converged": last.converged,
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


def _nats(sides: Sides, matrix: Matrix) -> float:
    forward, backward = likenesses(sides, matrix)
    return 0.5 * (forward.nats + backward.nats)


def _offset(matrix: Matrix, head: Pyramid, motion: NDArray[np.float64]) -> Matrix:
    """Move by a shift in mm and a rotation about the moving head's centre after a transform."""
    shift, turn = motion[:3], motion[3:]
    return moved(matrix, np.concatenate((shift - np.cross(turn, head.centre), turn)))


def _sharpness(sides: Sides, matrix: Matrix, head: Pyramid, *, own: float) -> float:
    """Share of the likeness that is lost by moving 4 mm at the head's radius, mean over 12 motions.

    One's own brain has a sharp peak of likeness, another's a blunt one, whatever contrast and noise.
    """
    scale = np.array([_SHARP_MM] * 3 + [_SHARP_MM / head.radius_mm] * 3)
    motions = [sign * row for row in np.diag(scale) for sign in (-1.0, 1.0)]
    moved_away = [_nats(sides, _offset(matrix, head, motion)) for motion in motions]
    return 1.0 - float(np.mean(moved_away)) / own


def _far(sides: Sides, matrix: Matrix, head: Pyramid) -> float:
    """Highest likeness after motions of 15 to 30 mm in seeded random directions."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(_FAR_COUNT):
        direction = rng.normal(size=6)
        direction[:3] *= rng.uniform(*_FAR_MM) / np.linalg.norm(direction[:3])
        direction[3:] *= 10.0 / head.radius_mm / np.linalg.norm(direction[3:])
        found.append(_nats(sides, _offset(matrix, head, direction)))
    return max(found)


def _rival(starts: list[Start], fixed: Pyramid) -> float:
    """Score of the best other place the search ended at, as a share of the chosen one's."""
    best = starts[0]
    others = [s.score for s in starts[1:] if apart_mm(s.matrix, best.matrix, fixed) > _RIVAL_MM]
    return max(others, default=0.0) / max(best.score, 1e-9)


def _halves_mm(fixed: Pyramid, moving: Pyramid, matrix: Matrix, *, settings: RegistrationSettings) -> float:
    """Error estimated from two fits to separate halves of the points: half their distance in mm."""
    finest = min(fixed.levels)
    sides = sides_at(fixed, moving, level_mm=finest, knots=settings.knots)
    parity = [np.floor(side.level.points / _BLOCK_MM).astype(np.int64).sum(axis=1) % 2 == 0 for side in sides]
    ends = [
        refine(sides, matrix, tolerance_mm=0.01, max_steps=5, keep=(keep[0], keep[1])).matrix
        for keep in (parity, [~half for half in parity])
    ]
    return 0.5 * apart_mm(ends[0], ends[1], fixed)

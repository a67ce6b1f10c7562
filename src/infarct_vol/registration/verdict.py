"""Judge a registration by its evidence: PASS, WARN or FAIL, with reasons.

The limits are calibrated on registrations with a known answer (bench/registration_verdict.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from infarct_vol.registration.quality import RegistrationQuality, Verdict
from infarct_vol.settings import RegistrationSettings

# right fits reached at most 0.38 (far) and 0.8 (rival, at 4 mm) in simulated heads
_FAR_FAIL, _RIVAL_WARN = 0.7, 0.97


class _Finding(NamedTuple):
    grade: Verdict
    reason: str


def verdict_on(
    metrics: Mapping[str, float], *, same_contrast: bool, settings: RegistrationSettings
) -> RegistrationQuality:
    """Judge the evidence that `measured` gives.

    Parameters
    ----------
    metrics
        Evidence by name.
    same_contrast
        Both scans are known to be of one modality.
    settings
        Limits of the verdict.
    """
    # scans that look of one contrast are held to it, whatever they are called
    alike = same_contrast or metrics["correlation"] >= settings.correlation_alike
    found = [
        *_match_findings(metrics, same_contrast=same_contrast, alike=alike, settings=settings),
        *_contrast_findings(metrics, same_contrast=same_contrast, alike=alike, settings=settings),
        *_fit_findings(metrics, settings=settings),
    ]
    grades = {finding.grade for finding in found}
    verdict: Verdict = "FAIL" if "FAIL" in grades else "WARN" if grades else "PASS"
    return RegistrationQuality(verdict, tuple(finding.reason for finding in found), metrics)


def _match_findings(
    metrics: Mapping[str, float], *, same_contrast: bool, alike: bool, settings: RegistrationSettings
) -> list[_Finding]:
    """Ask whether it is the same person, the right way round."""
    share, nats, match = metrics["mirrored_share"], metrics["likeness_nats"], metrics["match"]
    if share >= 1.0:
        text = (
            f"the scans fit better left-right mirrored ({share:.2f} times the likeness): one of them is "
            "flipped, or they show different persons; check both headers against the scanner's export"
        )
        return [_Finding("FAIL", text)]
    if nats < settings.likeness_fail_nats:
        text = (
            f"the scans tell nearly nothing of each other where they were aligned ({nats:.2f} nats per "
            f"point, at least {settings.likeness_fail_nats:g} expected); check that both show this "
            "participant's head"
        )
        return [_Finding("FAIL", text)]
    if match < settings.match_fail:
        text = (
            f"the scans do not match as one person's do (match {match:.3f}, at least {settings.match_fail:g} "
            "expected): another participant's scan, or the registration went astray; check the identity and "
            "the overlay"
        )
        return [_Finding("FAIL", text)]
    identity = _identity_finding(metrics, same_contrast=same_contrast, settings=settings)
    if identity is not None:
        return [identity]
    found = []
    if nats < settings.likeness_warn_nats:
        text = f"the scans tell little of each other ({nats:.2f} nats per point); look at the overlay"
        found.append(_Finding("WARN", text))
    warn = _match_warn(metrics, alike=alike, settings=settings)
    if match < warn:
        text = (
            f"the match is weak ({match:.3f}, {warn:g} or more expected): moved, damaged or another "
            "participant's scan; look at the overlay"
        )
        found.append(_Finding("WARN", text))
    if share > settings.mirrored_warn:
        text = f"the mirrored scan fits nearly as well ({share:.2f} of the likeness); look at left and right"
        found.append(_Finding("WARN", text))
    return found


def _identity_finding(
    metrics: Mapping[str, float], *, same_contrast: bool, settings: RegistrationSettings
) -> _Finding | None:
    """Refuse scans that can be told from another person's neither by their match nor by their looks."""
    if same_contrast:
        limit = settings.identity_fail
        strange = metrics["correlation"] < settings.correlation_warn
    else:
        limit = settings.identity_fail_cross
        strange = metrics["likeness_nats"] < settings.likeness_warn_nats
    match = metrics["match"]
    if match >= limit or not strange:
        return None
    text = (
        f"the scans cannot be told from two persons' (match {match:.3f}, at least {limit:g} expected, and "
        "they look little alike): another participant's scan, or strong motion; check the identity, or bring "
        "a mask drawn by a reader"
    )
    return _Finding("FAIL", text)


def _match_warn(metrics: Mapping[str, float], *, alike: bool, settings: RegistrationSettings) -> float:
    """Return the match that these contrasts must reach."""
    if alike:
        return settings.match_warn
    clear = metrics["likeness_nats"] >= settings.likeness_clear_nats
    return settings.match_warn_clear if clear else settings.match_warn_cross


def _contrast_findings(
    metrics: Mapping[str, float], *, same_contrast: bool, alike: bool, settings: RegistrationSettings
) -> list[_Finding]:
    """Ask of two scans of one contrast whether they look it, and whether the brain has kept its shape."""
    found = []
    correlation = metrics["correlation"]
    if same_contrast and correlation < settings.correlation_warn:
        text = (
            f"two scans of one modality hardly look it (correlation {correlation:.2f}, "
            f"{settings.correlation_warn:g} or more expected); check the series and the identity"
        )
        found.append(_Finding("WARN", text))
    moved_mm = metrics["nonrigid_mm"]
    warn, fail = settings.nonrigid_warn_mm, settings.nonrigid_fail_mm
    # a sharp fit is one's own, whatever blank slices do to the displacement
    sharp = metrics["match"] >= settings.match_warn
    grade = _below(-moved_mm, warn=-warn, fail=-np.inf if sharp else -fail)
    if grade and alike:
        text = (
            f"the brain is still displaced by {moved_mm:.1f} mm after the fit: another participant's scan, "
            "strong motion or distortion; check the identity and the overlay"
        )
        found.append(_Finding(grade, text))
    return found


def _fit_findings(metrics: Mapping[str, float], *, settings: RegistrationSettings) -> list[_Finding]:
    """Ask whether the fit ended at one place, and on enough of the brain."""
    found = []
    for name in ("fixed", "moving"):
        inside = metrics[f"coverage_{name}"]
        grade = _below(inside, warn=settings.coverage_warn, fail=settings.coverage_fail)
        if grade:
            text = f"only {100 * inside:.0f} % of the {name} scan's brain lies inside the other scan"
            found.append(_Finding(grade, text))
    error_mm = metrics["estimated_tre_mm"]
    grade = _below(-error_mm, warn=-settings.estimated_tre_warn_mm, fail=-settings.estimated_tre_fail_mm)
    if grade:
        text = f"two halves of the brain disagree: estimated error {error_mm:.2f} mm; look at the overlay"
        found.append(_Finding(grade, text))
    if metrics["far_share"] > _FAR_FAIL:
        text = "the scans are hardly more alike here than 15 to 30 mm away: the registration went astray"
        found.append(_Finding("FAIL", text))
    if metrics["rival_share"] > _RIVAL_WARN:
        text = (
            f"another alignment is nearly as good ({metrics['rival_share']:.2f} of the score); look at both"
        )
        found.append(_Finding("WARN", text))
    if metrics["restarts_mm"] > settings.restarts_warn_mm:
        text = f"fits started nearby end up to {metrics['restarts_mm']:.1f} mm apart; look at the overlay"
        found.append(_Finding("WARN", text))
    if not metrics["converged"]:
        found.append(_Finding("WARN", "the last refinement did not settle; look at the overlay"))
    return found


def _below(value: float, *, warn: float, fail: float) -> Verdict | None:
    if value < fail:
        return "FAIL"
    return "WARN" if value < warn else None

"""Whether a follow-up fits another participant's baseline better than its own.

Asked only where the match with its own baseline is weak: another person's scan never had a clear one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from infarct_vol.brain import brain_mask
from infarct_vol.errors import InfarctVolError
from infarct_vol.images import BrainMask, Scan
from infarct_vol.nifti import load_scan
from infarct_vol.protocol import Protocol
from infarct_vol.registration.quality import RegistrationQuality
from infarct_vol.registration.rigid import register
from infarct_vol.registration.transform import RigidTransform


class BaselineScan(NamedTuple):
    """A participant's baseline FLAIR, read only where a follow-up's identity is in doubt."""

    participant_id: str
    path: Path


def compared_with_strangers(
    transform: RigidTransform,
    follow_up: Scan,
    *,
    brain: BrainMask,
    baselines: Iterable[BaselineScan],
    prepare: Callable[[Scan], Scan],
    protocol: Protocol,
) -> RigidTransform:
    """Return a registration to the own baseline, refused where another participant's fits better.

    Parameters
    ----------
    transform
        Points of the own baseline -> points of the follow-up, with its quality.
    follow_up, brain
        The follow-up scan and its brain mask.
    baselines
        Baseline scans of the study; the follow-up's own participant is passed over. One that cannot be read
        is passed over, too: it is refused where it is measured.
    prepare
        What is done to a scan before it is registered.
    protocol
        Settings of brain mask and registration.
    """
    quality = transform.quality
    if quality is None or quality.metrics.get("match", 1.0) >= protocol.registration.match_warn:
        return transform
    best_match, best = quality.metrics["match"], ""
    for baseline in baselines:
        if baseline.participant_id == follow_up.identity.participant_id:
            continue
        match = _match(baseline, follow_up, brain=brain, prepare=prepare, protocol=protocol)
        if match > best_match:
            best_match, best = match, baseline.participant_id
    if not best:
        return transform
    own = quality.metrics["match"]
    reason = (
        f"the scan fits the baseline of {best} better than its own participant's (match {best_match:.3f} "
        f"against {own:.3f}); check whose scan it is"
    )
    refused = RegistrationQuality("FAIL", (reason, *quality.reasons), quality.metrics)
    return replace(transform, quality=refused)


def _match(
    baseline: BaselineScan,
    follow_up: Scan,
    *,
    brain: BrainMask,
    prepare: Callable[[Scan], Scan],
    protocol: Protocol,
) -> float:
    try:
        fixed = load_scan(baseline.path, modality=follow_up.modality, geometry=protocol.geometry)
        quality = register(
            prepare(fixed),
            prepare(follow_up),
            settings=protocol.registration,
            fixed_brain=brain_mask(fixed, settings=protocol.brain),
            moving_brain=brain,
        ).quality
    except InfarctVolError:
        return 0.0
    return quality.metrics["match"] if quality is not None else 0.0

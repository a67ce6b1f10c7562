"""A follow-up whose match is weak is compared with the other participants' baselines."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from infarct_vol.errors import BrainMaskError
from infarct_vol.geometry import Grid
from infarct_vol.images import BrainMask, Identity, Scan
from infarct_vol.protocol import Protocol
from infarct_vol.registration import (
    BaselineScan,
    RegistrationQuality,
    RigidTransform,
    compared_with_strangers,
    strangers,
)

GRID = Grid((6, 6, 6), np.eye(4))
FOLLOW_UP = Scan(np.ones(GRID.shape), GRID, Identity("sub-001", "ses-M01", modality="flair"))
BRAIN = BrainMask(np.ones(GRID.shape, dtype=bool), GRID)
MATCHES = {"sub-002": 0.05, "sub-003": 0.31, "sub-004": 0.22}
BASELINES = tuple(BaselineScan(name, Path(f"{name}.nii.gz")) for name in ("sub-001", *MATCHES))


@pytest.fixture(autouse=True)
def _rules(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(path: Path, **_: object) -> Scan:
        assert path.name != "sub-001.nii.gz", "a participant is no stranger to themselves"
        return Scan(np.ones(GRID.shape), GRID, Identity(path.name.removesuffix(".nii.gz")))

    def register(fixed: Scan, moving: Scan, **_: object) -> RigidTransform:
        assert moving is FOLLOW_UP
        return fit(MATCHES[fixed.identity.participant_id])

    monkeypatch.setattr(strangers, "load_scan", load)
    monkeypatch.setattr(strangers, "register", register)
    monkeypatch.setattr(strangers, "brain_mask", lambda scan, **_: BRAIN)


def fit(match: float) -> RigidTransform:
    return RigidTransform(np.eye(4), RegistrationQuality("WARN", ("the match is weak",), {"match": match}))


def judged(match: float, baselines: tuple[BaselineScan, ...] = BASELINES) -> RegistrationQuality:
    found = compared_with_strangers(
        fit(match),
        FOLLOW_UP,
        brain=BRAIN,
        baselines=baselines,
        prepare=lambda scan: scan,
        protocol=Protocol(),
    )
    assert found.quality is not None
    return found.quality


def test_the_best_other_baseline_is_named_and_the_registration_refused() -> None:
    quality = judged(0.12)
    assert quality.verdict == "FAIL"
    assert quality.reasons[0] == (
        "the scan fits the baseline of sub-003 better than its own participant's (match 0.310 against "
        "0.120); check whose scan it is"
    )
    assert quality.reasons[1] == "the match is weak"


def test_a_clear_match_is_not_compared_with_anybody(monkeypatch: pytest.MonkeyPatch) -> None:
    def unexpected(*_: object, **__: object) -> Scan:
        raise AssertionError

    monkeypatch.setattr(strangers, "load_scan", unexpected)
    assert judged(0.21).verdict == "WARN"


def test_a_weak_match_that_nobody_betters_stays_as_it_is() -> None:
    assert judged(0.12, BASELINES[:2]).verdict == "WARN"
    assert judged(0.12, ()).verdict == "WARN"


def test_a_baseline_that_cannot_be_used_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(scan: Scan, **_: object) -> BrainMask:
        msg = "no brain"
        raise BrainMaskError(msg)

    monkeypatch.setattr(strangers, "brain_mask", none)
    assert judged(0.12).verdict == "WARN"

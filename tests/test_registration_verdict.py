"""What the evidence on a registration leads to."""

import pytest

from infarct_vol.registration.quality import RegistrationQuality
from infarct_vol.registration.verdict import verdict_on
from infarct_vol.settings import RegistrationSettings

# a follow-up FLAIR of the same person, sound
SOUND = {
    "match": 0.40,
    "likeness_nats": 1.9,
    "correlation": 0.97,
    "sharpness": 0.58,
    "mirrored_share": 0.35,
    "far_share": 0.06,
    "rival_share": 0.0,
    "coverage_fixed": 0.98,
    "coverage_moving": 0.99,
    "overlap": 0.93,
    "restarts_mm": 0.05,
    "start_mm": 0.2,
    "estimated_tre_mm": 0.02,
    "nonrigid_mm": 0.2,
    "nonrigid_p95_mm": 0.4,
    "converged": 1.0,
}
CROSS = SOUND | {"correlation": 0.2, "likeness_nats": 0.5, "match": 0.25, "nonrigid_mm": 1.9}


def judged(evidence: dict[str, float], *, same_contrast: bool = True) -> RegistrationQuality:
    return verdict_on(evidence, same_contrast=same_contrast, settings=RegistrationSettings())


def test_sound_evidence_passes_without_a_word() -> None:
    for evidence, same in ((SOUND, True), (SOUND, False), (CROSS, False)):
        assert judged(evidence, same_contrast=same).verdict == "PASS"
        assert judged(evidence, same_contrast=same).reasons == ()


@pytest.mark.parametrize(
    ("change", "verdict", "reason"),
    [
        ({"mirrored_share": 1.2}, "FAIL", "fit better left-right mirrored (1.20 times"),
        ({"mirrored_share": 0.8}, "WARN", "mirrored scan fits nearly as well (0.80"),
        ({"likeness_nats": 0.1}, "FAIL", "nearly nothing of each other where they were aligned (0.10 nats"),
        ({"likeness_nats": 0.25}, "WARN", "tell little of each other (0.25 nats"),
        ({"match": 0.03}, "FAIL", "do not match as one person's do (match 0.030, at least 0.035 expected)"),
        ({"match": 0.19}, "WARN", "the match is weak (0.190, 0.2 or more expected)"),
        ({"correlation": 0.8}, "WARN", "hardly look it (correlation 0.80, 0.85 or more expected)"),
        ({"nonrigid_mm": 1.5}, "WARN", "still displaced by 1.5 mm after the fit"),
        ({"nonrigid_mm": 2.5}, "WARN", "still displaced by 2.5 mm after the fit"),
        ({"coverage_fixed": 0.6}, "WARN", "only 60 % of the fixed scan's brain"),
        ({"coverage_moving": 0.2}, "FAIL", "only 20 % of the moving scan's brain"),
        ({"estimated_tre_mm": 0.5}, "WARN", "estimated error 0.50 mm"),
        ({"estimated_tre_mm": 1.5}, "FAIL", "estimated error 1.50 mm"),
        ({"far_share": 0.8}, "FAIL", "the registration went astray"),
        ({"rival_share": 0.98}, "WARN", "another alignment is nearly as good (0.98"),
        ({"restarts_mm": 3.0}, "WARN", "end up to 3.0 mm apart"),
        ({"converged": 0.0}, "WARN", "did not settle"),
    ],
)
def test_each_limit_has_its_grade_and_its_words(change: dict[str, float], verdict: str, reason: str) -> None:
    found = judged(SOUND | change)
    assert found.verdict == verdict
    assert len(found.reasons) == 1
    assert reason in found.reasons[0]


def test_across_contrasts_displacement_is_not_judged_but_the_match_must_be_clearer() -> None:
    assert judged(CROSS, same_contrast=False).verdict == "PASS"
    weak = CROSS | {"match": 0.16}
    assert judged(weak, same_contrast=False).reasons[0].startswith("the match is weak (0.160, 0.17")
    assert judged(weak | {"likeness_nats": 0.7}, same_contrast=False).verdict == "PASS"


def test_scans_of_unknown_modality_that_look_alike_are_held_to_one_contrast() -> None:
    alike = SOUND | {"match": 0.18}
    assert judged(alike, same_contrast=False).verdict == "WARN"
    assert judged(alike | {"correlation": 0.5}, same_contrast=False).verdict == "PASS"


def test_a_displaced_brain_with_a_weak_match_is_refused() -> None:
    found = judged(SOUND | {"match": 0.12, "nonrigid_mm": 2.5})
    assert found.verdict == "FAIL"
    assert "the match is weak" in found.reasons[0]
    assert "still displaced by 2.5 mm" in found.reasons[1]


def test_every_reason_is_told() -> None:
    found = judged(SOUND | {"coverage_fixed": 0.5, "converged": 0.0, "estimated_tre_mm": 2.0})
    assert found.verdict == "FAIL"
    assert len(found.reasons) == 3


def test_scans_that_may_be_two_persons_are_refused() -> None:
    doubtful = SOUND | {"match": 0.09, "correlation": 0.8, "likeness_nats": 0.4}
    found = judged(doubtful)
    assert found.verdict == "FAIL"
    assert found.reasons[0].startswith(
        "the scans cannot be told from two persons' (match 0.090, at least 0.1"
    )
    assert judged(doubtful | {"match": 0.11}).verdict == "WARN"  # strong motion of one's own reached 0.14
    assert judged(doubtful | {"correlation": 0.9}).verdict == "WARN"


def test_across_contrasts_two_persons_are_refused_by_match_and_likeness() -> None:
    doubtful = CROSS | {"match": 0.06, "likeness_nats": 0.25}
    found = judged(doubtful, same_contrast=False)
    assert found.verdict == "FAIL"
    assert "(match 0.060, at least 0.07 expected" in found.reasons[0]
    assert judged(doubtful | {"match": 0.08}, same_contrast=False).verdict == "WARN"
    assert judged(doubtful | {"likeness_nats": 0.35}, same_contrast=False).verdict == "WARN"

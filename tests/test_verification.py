"""The self-verification: what passes, what fails, and that a failure cannot be overlooked."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

import numpy as np
import pytest
from typer.testing import CliRunner, Result

import infarct_vol as iv
from infarct_vol.errors import SegmentationError, VerificationError
from infarct_vol.geometry import Grid
from infarct_vol.images import LesionMask
from infarct_vol.validation import exact_volumes, verification
from infarct_vol.validation.exact_volumes import ExactTask
from infarct_vol.validation.invariance import Storage
from infarct_vol.validation.judging import judge
from infarct_vol.validation.limits import LIMITS, Limit
from infarct_vol.validation.measuring import measured_case
from infarct_vol.validation.plan import tasks
from infarct_vol.validation.results import Deviation, Observed, VolumeCase
from infarct_vol.validation.verification import require_passed
from infarct_vol_cli.main import app


def command(*arguments: object, code: int = 0) -> Result:
    result = CliRunner().invoke(app, [str(a) for a in arguments], env={"COLUMNS": "200", "TERM": "dumb"})
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    return result


def limit(measure: str, **changes: object) -> Limit:
    fields = {"key": "k", "section": "s", "title": "t", "why": "w", "groups": ("acute_object",), **changes}
    return Limit(measure=measure, **fields)


def case(true_ml: float, measured_ml: float | None, **changes: object) -> VolumeCase:
    fields = {"group": "acute_object", "case": "a lesion", "voxel": "1x1x5 mm", **changes}
    return VolumeCase(true_ml=true_ml, measured_ml=measured_ml, **fields)


def value(cases: list[VolumeCase], measure: str, **changes: object) -> float | None:
    (result,) = judge(Observed(tuple(cases)), [limit(measure, **changes)])
    return result.value


# ---- measures --------------------------------------------------------------------------------------------


def test_mean_error_is_signed_and_of_one_size_class():
    cases = [case(2.0, 2.2), case(2.0, 2.6), case(50.0, 100.0)]
    (result,) = judge(Observed(tuple(cases)), [limit("mean error", size="1-5 mL")])
    assert result.value == pytest.approx(20.0)
    assert result.n == 2
    assert result.note == "median +20.0 %"


def test_sizes_of_errors_count_both_directions_and_large_lesions_only():
    assert value([case(10, 9), case(10, 11), case(1, 5)], "median size of error") == pytest.approx(10.0)


def test_the_slope_is_the_one_furthest_from_1_among_the_voxel_sizes():
    good = [case(v, v, voxel="1x1x1 mm") for v in (1.0, 10.0, 100.0)]
    bad = [case(v, 0.9 * v) for v in (1.0, 10.0, 100.0)]
    (result,) = judge(Observed((*good, *bad)), [limit("slope", at_least=0.95, at_most=1.05)])
    assert result.value == pytest.approx(0.9)
    assert result.note == "1x1x1 mm 1.0000, 1x1x5 mm 0.9000"
    assert result.verdict == "FAIL"


def test_repeatability_is_that_of_pairs_in_percent_of_their_mean():
    pairs = [(10.0, 11.0), (20.0, 19.0)]
    cases = [case(v, v, pair=str(at)) for at, both in enumerate(pairs) for v in both]
    shares = np.array([1 / 10.5, -1 / 19.5])
    assert value(cases, "repeatability") == pytest.approx(277 * np.sqrt((shares**2).sum() / 4))


def test_coverage_counts_truths_between_the_limits():
    inside = case(10, 9, low_ml=8.0, high_ml=10.0)
    outside = case(30, 20, low_ml=18.0, high_ml=29.9)
    (result,) = judge(Observed((inside, outside)), [limit("coverage", at_least=0.9)])
    assert result.value == 0.5
    assert result.note == "5-20 mL 1 of 1, 20-70 mL 0 of 1"
    assert result.verdict == "FAIL"


def test_a_vanished_lesion_is_held_against_its_largest_remnant():
    assert value([case(0, 0.05), case(0, 0.0), case(7, 7.0)], "vanished") == 0.05


def test_a_shift_between_two_scans_is_the_mean_difference():
    cases = [case(v, v + d, pair=str(v)) for v in (10.0, 20.0, 40.0) for d in (0.0, 0.4)]
    assert value(cases, "shift") == pytest.approx(0.4)
    assert value(cases, "ICC") == pytest.approx(1.0, abs=1e-3)


def test_reasons_of_deviations_are_in_the_note():
    found = (Deviation(check="c", case="a", value=0), Deviation(check="c", case="b", value=1, reason="gone"))
    (result,) = judge(Observed(deviations=found), [limit("total", check="c", at_most=0)])
    assert (result.value, result.n, result.note, result.verdict) == (1, 2, "b: gone", "FAIL")


@pytest.mark.parametrize(
    "measure", ["mean error", "median size of error", "median Dice", "slope", "coverage"]
)
def test_a_measure_without_any_value_fails_and_one_without_cases_is_left_out(measure):
    held = limit(measure, at_least=0.0, at_most=1.0)
    refused = case(10.0, None, reason="registration failed its gate")
    (result,) = judge(Observed((refused,)), [held])
    assert (result.value, result.verdict) == (None, "FAIL")
    assert judge(Observed(), [held]) == ()


def test_a_case_without_a_value_is_named():
    refused = case(10.0, None, reason="registration failed its gate")
    (result,) = judge(Observed((refused, case(1, 1.0))), [limit("without value", at_most=0)])
    assert (result.value, result.n) == (1, 2)
    assert result.note == "a lesion: registration failed its gate"


@pytest.mark.parametrize(
    ("low", "high", "words", "verdicts"),
    [
        (-5.0, 5.0, "-5 to 5 %", {"PASS": (-5.0, 5.0), "FAIL": (-5.1, 5.1, None)}),
        (None, 6.0, "at most 6 %", {"PASS": (6.0,), "FAIL": (6.01, None)}),
        (0.9, None, "at least 0.9 %", {"PASS": (0.9,), "FAIL": (0.89, None)}),
        (None, None, "", {"INFO": (1.0, None)}),
    ],
)
def test_verdicts_on_both_sides_of_a_limit(low, high, words, verdicts):
    held = limit("mean error", unit="%", at_least=low, at_most=high)
    for expected, values in verdicts.items():
        assert {held.verdict(v) for v in values} == {expected}
    (result,) = judge(Observed((case(10, 10.0),)), [held])
    assert result.limit_words == words


def test_every_limit_states_its_reason_and_has_a_name_of_its_own():
    assert len({held.key for held in LIMITS}) == len(LIMITS)
    assert all(len(held.why) > 20 for held in LIMITS)


# ---- tasks -----------------------------------------------------------------------------------------------


def test_a_refusal_of_the_method_becomes_the_reason():
    def refuse() -> LesionMask:
        msg = "nothing to see"
        raise SegmentationError(msg)

    found = measured_case(case(5.0, None), refuse, share=np.zeros((2, 2, 2), dtype=np.float32))
    assert (found.measured_ml, found.reason) == (None, "nothing to see")


def test_a_mask_is_compared_with_the_voxels_that_are_half_lesion():
    share = np.zeros((10, 10, 10), dtype=np.float32)
    share[2:6, 2:6, 2:6] = 0.5
    mask = LesionMask(share > 0, Grid(share.shape, np.diag([2.0, 2.0, 5.0, 1.0])))
    found = measured_case(case(1.0, None), lambda: mask, share=share)
    assert found.measured_ml == pytest.approx(1.28)
    assert found.dice == 1.0
    assert found.low_ml < 1.28 < found.high_ml


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 0, 2)])
@pytest.mark.parametrize("flips", [(False, False, False), (True, False, True)])
def test_voxels_stay_where_they_are_when_stored_otherwise(order, flips):
    rng = np.random.default_rng(2)
    affine = np.eye(4)
    affine[:3] = rng.normal(size=(3, 4))
    grid = Grid((3, 4, 5), affine)
    data = rng.random(grid.shape)
    storage = Storage(order, flips)
    places = grid.to_world(np.stack(np.indices(grid.shape), -1))
    moved = storage.grid(grid).to_world(np.stack(np.indices(storage.grid(grid).shape), -1))
    for axis in range(3):
        np.testing.assert_allclose(storage.of(places[..., axis]), moved[..., axis], atol=1e-9)
    assert sorted(storage.of(data).ravel()) == sorted(data.ravel())


def test_exact_volumes_are_exact_as_object_and_as_file():
    found = ExactTask(12, seed=7).work()
    assert len(found.deviations) == 24
    assert max(found.values("exact_object") + found.values("exact_file")) < 1e-12


def test_tasks_have_names_of_their_own():
    for quick in (True, False):
        names = [task.name for task in tasks(quick=quick, seed=1)]
        assert len(set(names)) == len(names)


# ---- the whole -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Faulty:
    """A task that ends with a fault."""

    name: str = "a faulty task"

    def work(self) -> Observed:
        msg = "out of cheese"
        raise RuntimeError(msg)


@pytest.fixture
def small_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verification, "tasks", lambda *, quick, seed: (ExactTask(3 if quick else 6, seed),))


def test_a_set_whose_limits_hold_ends_with_0_and_writes_both_files(small_set, tmp_path):
    result = command("verify", tmp_path / "out", "--json")
    held = json.loads((tmp_path / "out" / "verification.json").read_text())
    assert json.loads(result.stdout) == held
    assert {check["verdict"] for check in held["checks"]} == {"PASS"}
    assert held["protocol_sha256"] == iv.Protocol().sha256
    page = (tmp_path / "out" / "verification.html").read_text()
    assert "PASS: all 3 acceptance limits hold" in page
    assert iv.Protocol().sha256 in page


def test_a_measurement_off_by_a_millionth_ends_with_3(small_set, monkeypatch, tmp_path):
    honest = exact_volumes.measure

    def generous(mask: LesionMask) -> object:
        found = honest(mask)
        return replace(found, volume_ml=found.volume_ml * (1 + 1e-6))

    monkeypatch.setattr(exact_volumes, "measure", generous)
    result = command("verify", tmp_path, code=3)
    assert "2 of 3 checks do not hold" in result.output
    assert "FAIL: 2 of 3" in (tmp_path / "verification.html").read_text()


def test_a_task_that_ends_with_a_fault_fails_the_verification(monkeypatch, tmp_path):
    monkeypatch.setattr(verification, "tasks", lambda *, quick, seed: (Faulty(), ExactTask(2, seed)))
    found = iv.verify(tmp_path)
    assert [check.key for check in found.failed] == ["fault"]
    assert found.failed[0].note == "a faulty task: out of cheese"
    with pytest.raises(VerificationError, match="1 of 3 checks do not hold: The verification"):
        require_passed(found)


def test_the_same_seed_gives_the_same_numbers_and_another_seed_others(small_set, tmp_path):
    first, again, other = (iv.verify(tmp_path, seed=seed) for seed in (1, 1, 2))
    assert first.model_copy(update={"performed_at": ""}) == again.model_copy(update={"performed_at": ""})
    assert first.deviations != other.deviations


def test_options_change_what_they_say(small_set, tmp_path):
    def deviations(*options: object) -> int:
        return len(json.loads(command("verify", tmp_path, "--json", *options).stdout)["deviations"])

    assert (deviations(), deviations("--quick")) == (13, 7)
    assert json.loads(command("verify", tmp_path, "--json", "--seed", 9).stdout)["seed"] == 9


def test_a_hostile_reason_is_escaped(monkeypatch, tmp_path):
    hostile = Faulty(name="<script>alert(1)</script>")
    monkeypatch.setattr(verification, "tasks", lambda *, quick, seed: (hostile,))
    iv.verify(tmp_path)
    page = (tmp_path / "verification.html").read_text()
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)" in page


def test_the_quick_set_passes(tmp_path):
    result = command("verify", tmp_path, "--quick", "--jobs", 2)
    assert "acceptance limits hold" in result.output
    page = (tmp_path / "verification.html").read_text()
    assert page.count("data:image/png;base64,") == 5

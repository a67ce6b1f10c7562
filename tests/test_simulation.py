"""The digital trial: reproducible bytes, exact truth, and every scenario as planned."""

from __future__ import annotations

import csv
import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from infarct_vol.errors import DamagedFileError, UsageError
from infarct_vol.geometry import Grid
from infarct_vol.nifti import load_mask, load_scan
from infarct_vol.simulation.acquisition import HeadVolume, bias_field, rician, sample, sample_part
from infarct_vol.simulation.contrast import lesion_signal
from infarct_vol.simulation.fields import smooth_noise
from infarct_vol.simulation.scenarios import plan_participant
from infarct_vol.simulation.sites import SITES, UM2_PER_S
from infarct_vol.simulation.trial import simulate_participant, simulate_trial

SEED = 4


def _digests(root: Path) -> dict[str, str]:
    files = sorted(p for p in root.rglob("*") if p.is_file())
    return {p.relative_to(root).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def _rows(root: Path) -> list[dict[str, str]]:
    with (root / "derivatives" / "truth" / "truth.csv").open(newline="") as handle:
        return list(csv.DictReader(handle))


@pytest.fixture(scope="module")
def trial(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("trial") / "one"
    told: list[str] = []
    simulate_trial(root, participants=1, seed=SEED, compact=True, jobs=2, on_progress=told.append)
    assert told == ["sub-001 of 1: ordinary, north"]
    return root


@pytest.fixture(scope="module")
def again(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same participant once more, in this process, with two visits of which the second is damaged."""
    root = tmp_path_factory.mktemp("trial") / "again"
    plan = plan_participant(0, participants=1, seed=SEED, compact=True)
    month1 = replace(plan.visits[1], damaged=True)
    rows = simulate_participant(root, replace(plan, visits=(plan.visits[0], month1)), t1w=True)
    assert {row.scan_status for row in rows if row.visit == "month1"} == {"damaged"}
    return root


@pytest.fixture
def box_head() -> tuple[np.ndarray, Grid]:
    """A 20x20x20 mm block (8 mL) inside a 60 mm cube at 1 mm."""
    data = np.zeros((60, 60, 60), dtype=np.float32)
    data[20:40, 20:40, 20:40] = 1
    affine = np.eye(4)
    affine[:3, 3] = -30
    return data, Grid((60, 60, 60), affine)


# ---- planning --------------------------------------------------------------------------------------------


def _plans(participants: int, *, compact: bool = False):
    return [
        plan_participant(k, participants=participants, seed=SEED, compact=compact)
        for k in range(participants)
    ]


def test_large_trial_has_every_scenario_once():
    scenarios = [plan.scenario for plan in _plans(12)]
    for name in ("vanishes", "grows", "new_infarct", "white_matter", "missing_month3", "failed_scan"):
        assert scenarios.count(name) == 1
    assert scenarios.count("ordinary") == 6


def test_small_trial_combines_the_scenarios():
    plans = _plans(4)
    vanishes, grows, white_matter = plans[1], plans[2], plans[3]
    assert [v.visit for v in vanishes.visits] == ["baseline", "month1", "month6"]
    assert vanishes.infarct.volumes_ml[3] == 0
    assert grows.infarct.volumes_ml[3] > 1.3 * grows.infarct.volumes_ml[0]
    assert grows.new_infarct is not None
    assert grows.new_infarct.volumes_ml[:2] == (0, 0)
    assert grows.new_infarct.volumes_ml[2] >= 2
    assert white_matter.hyperintensity_ml >= 30
    assert white_matter.old_infarct is not None
    assert [v.damaged for v in white_matter.visits] == [False, False, False, True]


def test_ordinary_participants_are_ordinary():
    for plan in _plans(30):
        if plan.scenario != "ordinary":
            continue
        assert len(plan.visits) == 4
        assert plan.new_infarct is None
        assert plan.old_infarct is None
        assert not any(v.damaged for v in plan.visits)
        assert plan.hyperintensity_ml < 10
        volumes = plan.infarct.volumes_ml
        assert volumes[0] > volumes[1] > volumes[2] > volumes[3] > 0


def test_typical_shrinkage_is_forty_percent():
    plans = [plan_participant(40, participants=41, seed=s, compact=False) for s in range(200)]
    loss = [1 - p.infarct.volumes_ml[3] / p.infarct.volumes_ml[0] for p in plans]
    assert np.median(loss) == pytest.approx(0.40, abs=0.04)


def test_volumes_span_the_range_of_real_infarcts():
    volumes = [p.infarct.volumes_ml[0] for s in range(8) for p in [*_plans(12)]]
    assert min(volumes) < 2.5
    assert max(volumes) > 120
    assert max(volumes) <= 250
    assert min(volumes) >= 0.2


def test_baseline_precedes_the_first_dose_and_months_lie_near_their_target():
    for plan in _plans(20):
        assert plan.onset_time < plan.visits[0].acq_time < plan.first_dose_time
        days = {v.visit: (v.acq_time.date() - plan.first_dose_time.date()).days + 1 for v in plan.visits}
        assert abs(days["month1"] - 31) <= 7
        assert abs(days.get("month3", 91) - 91) <= 14
        assert abs(days["month6"] - 181) <= 14


def test_sites_differ_in_units_orientation_storage_and_protocol():
    assert {s.adc_unit for s in SITES} == set(UM2_PER_S)
    assert {s.orientation for s in SITES} == {"RAS", "LAS", "LPS"}
    assert {s.flair_storage.dtype for s in SITES} >= {"int16", "uint16"}
    assert any(s.oblique for s in SITES)
    assert any(s.flair_spacing_mm[2] == 1.0 for s in SITES)
    assert any(s.flair_spacing_mm[2] == 5.0 for s in SITES)
    assert {s.diffusion for s in SITES} == {"trace", "series"}
    assert any(not s.states_adc_unit for s in SITES)


# ---- physics ---------------------------------------------------------------------------------------------


def test_signal_follows_the_age_of_the_infarct():
    early, day, month = (lesion_signal(h, lowest_adc_ratio=0.5) for h in (4, 30, 24 * 90))
    assert early.flair < 1.1 < 1.3 < day.flair
    assert day.adc == pytest.approx(0.5, abs=0.03)
    assert month.adc > 1.4
    assert month.flair > 1.4


def test_smooth_noise_is_standardised_and_smooth():
    field = smooth_noise((40, 50, 60), np.random.default_rng(1), knot_spacing_voxels=8)
    assert float(field.mean(dtype=np.float64)) == pytest.approx(0, abs=1e-4)
    assert float(field.std(dtype=np.float64)) == pytest.approx(1, abs=1e-4)
    assert np.abs(np.diff(field, axis=0)).max() < 1.0


@pytest.mark.parametrize("letters", ["RAS", "LAS", "LPS", "PSR"])
def test_sampling_keeps_the_volume_whatever_the_orientation(box_head, letters):
    data, grid = box_head
    columns = {"R": (0, 1), "L": (0, -1), "A": (1, 1), "P": (1, -1), "S": (2, 1), "I": (2, -1)}
    affine = np.eye(4)
    affine[:3, :3] = 0
    for column, letter in enumerate(letters):
        axis, sign = columns[letter]
        affine[axis, column] = sign * 2.0
    affine[:3, 3] = -affine[:3, :3] @ [19.5, 19.5, 19.5] - 0.5
    native = Grid((40, 40, 40), affine)
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(0.2), -np.sin(0.2)], [np.sin(0.2), np.cos(0.2)]]
    image = sample(HeadVolume.of(data, grid), native, pose=turn, subs=(2, 2, 2))
    assert float(image.sum()) * native.voxel_volume_ml == pytest.approx(8.0, rel=0.01)


def test_sampling_a_part_equals_sampling_the_whole(box_head):
    data, grid = box_head
    affine = np.diag([1.1, 1.3, 4.0, 1.0])
    affine[:3, 3] = (-25.0, -27.0, -28.0)
    native = Grid((46, 42, 14), affine)
    whole = sample(HeadVolume.of(data, grid), native, pose=np.eye(4), subs=(2, 2, 4))
    part = sample_part(data, grid, native, pose=np.eye(4), subs=(2, 2, 4))
    np.testing.assert_allclose(part, whole, atol=1e-5)


def test_points_move_with_the_pose(box_head):
    data, grid = box_head
    pose = np.eye(4)
    pose[:3, 3] = (6.0, -4.0, 2.0)
    image = sample(HeadVolume.of(data, grid), grid, pose=pose, subs=(1, 1, 1))
    centre = grid.to_world(np.argwhere(image > 0.5).mean(axis=0))
    np.testing.assert_allclose(centre, [-0.5 + 6, -0.5 - 4, -0.5 + 2], atol=1e-3)


def test_bias_field_stays_within_its_peak(box_head):
    field = bias_field(box_head[1], np.random.default_rng(3), peak=0.2)
    assert np.abs(field - 1).max() == pytest.approx(0.2, abs=1e-4)


def test_rician_noise_in_air_has_the_known_mean():
    # the mean of a Rayleigh distribution is sigma * sqrt(pi / 2)
    noise = rician(np.zeros((50, 50, 50), dtype=np.float32), np.random.default_rng(0), sigma=4.0)
    assert float(noise.mean()) == pytest.approx(4.0 * np.sqrt(np.pi / 2), rel=0.01)


# ---- the trial on disk -----------------------------------------------------------------------------------


def test_same_seed_gives_the_same_bytes_in_another_process(trial, again):
    first, second = _digests(trial), _digests(again)
    shared = {name for name in second if "ses-BL" in name and "T1w" not in name}
    assert len(shared) == 12  # four images with sidecars, two masks of each of the two grids
    assert {name: first[name] for name in shared} == {name: second[name] for name in shared}


def test_true_volumes_are_those_planned_and_those_of_the_masks(trial):
    plan = plan_participant(0, participants=1, seed=SEED, compact=True)
    planned = {v.visit: plan.infarct.volumes_ml[v.number] for v in plan.visits}
    infarcts = [row for row in _rows(trial) if row["parameter"] == "infarct"]
    assert len(infarcts) == 5  # FLAIR at four visits, DWI at baseline
    for row in infarcts:
        assert float(row["volume_ml"]) == pytest.approx(planned[row["visit"]], rel=1e-3)
        mask = load_mask(trial / "derivatives" / "truth" / row["mask_path"])
        assert mask.volume_ml == pytest.approx(float(row["mask_volume_ml"]), rel=1e-5)
        assert mask.volume_ml == pytest.approx(float(row["volume_ml"]), rel=0.08)


def test_cavity_lies_inside_the_infarct_and_is_dark_on_flair(trial):
    truth = trial / "derivatives" / "truth"
    row = next(r for r in _rows(trial) if r["parameter"] == "cavity" and r["visit"] == "month6")
    assert float(row["volume_ml"]) > 1
    cavity = load_mask(truth / row["mask_path"])
    infarct = load_mask(truth / row["mask_path"].replace("cavity", "infarct"))
    brain = load_mask(truth / row["mask_path"].replace("cavity", "brain"))
    assert not (cavity.data & ~infarct.data).any()
    flair = load_scan(trial / "sub-001/ses-M06/anat/sub-001_ses-M06_FLAIR.nii.gz", modality="flair")
    assert flair.grid.is_same_as(cavity.grid)
    rim = infarct.data & ~cavity.data
    tissue = np.median(flair.data[brain.data & ~infarct.data])
    assert np.median(flair.data[cavity.data]) < 0.5 * tissue
    assert np.median(flair.data[rim]) > 1.15 * tissue


def test_acute_infarct_is_bright_on_dwi_and_low_on_adc(trial):
    folder = trial / "sub-001/ses-BL/dwi"
    infarct = load_mask(
        trial / "derivatives/truth/sub-001/ses-BL/dwi/sub-001_ses-BL_desc-infarct_mask.nii.gz"
    )
    brain = load_mask(trial / "derivatives/truth/sub-001/ses-BL/dwi/sub-001_ses-BL_desc-brain_mask.nii.gz")
    dwi = load_scan(folder / "sub-001_ses-BL_trace.nii.gz", modality="dwi")
    adc = load_scan(folder / "sub-001_ses-BL_ADC.nii.gz", modality="adc")
    healthy = brain.data & ~infarct.data
    assert 1.3 < np.median(dwi.data[infarct.data]) / np.median(dwi.data[healthy]) < 2.6
    assert json.loads((folder / "sub-001_ses-BL_ADC.json").read_text())["Units"] == "1e-6 mm2/s"
    assert 700 < np.median(adc.data[healthy]) < 1000
    assert np.median(adc.data[infarct.data]) < 0.82 * np.median(adc.data[healthy])


def test_transforms_carry_the_baseline_brain_onto_each_image(trial):
    truth = trial / "derivatives" / "truth" / "sub-001"
    moves = json.loads((truth / "sub-001_transforms.json").read_text())["points_to"]
    np.testing.assert_allclose(moves["ses-BL_FLAIR"], np.eye(4), atol=1e-8)
    first = load_mask(truth / "ses-BL/anat/sub-001_ses-BL_desc-brain_mask.nii.gz")
    last = load_mask(truth / "ses-M06/anat/sub-001_ses-M06_desc-brain_mask.nii.gz")
    matrix = np.array(moves["ses-M06_FLAIR"])
    np.testing.assert_allclose(matrix[:3, :3] @ matrix[:3, :3].T, np.eye(3), atol=1e-8)
    points = first.grid.to_world(np.argwhere(first.data)) @ matrix[:3, :3].T + matrix[:3, 3]
    index = np.rint(last.grid.to_index(points)).astype(int)
    inside = ((index >= 0) & (index < last.grid.shape)).all(axis=1)
    assert inside.mean() > 0.99
    assert last.data[tuple(index[inside].T)].mean() > 0.96


def test_participants_table_never_names_an_arm(trial):
    header = (trial / "participants.tsv").read_text().splitlines()[0].split("\t")
    assert header == ["participant_id", "first_dose_time", "onset_time", "age", "sex", "site"]


def test_compact_trial_is_small(trial):
    size = sum(p.stat().st_size for p in trial.rglob("*") if p.is_file())
    assert size < 4.5e6


def test_damaged_scan_is_cut_off_and_refused_by_the_reader(trial, again):
    name = "sub-001/ses-M01/anat/sub-001_ses-M01_FLAIR.nii.gz"
    whole, cut = (trial / name).read_bytes(), (again / name).read_bytes()
    assert whole.startswith(cut)
    assert 0.5 * len(whole) < len(cut) < 0.6 * len(whole)
    with pytest.raises(DamagedFileError, match="truncated"):
        load_scan(again / name, modality="flair")


def test_a_folder_in_use_is_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(UsageError, match="not empty"):
        simulate_trial(tmp_path, participants=1, seed=0)
    with pytest.raises(UsageError, match="at least 1"):
        simulate_trial(tmp_path / "new", participants=0, seed=0)


def test_a_t1w_image_is_added_when_asked_for_and_shows_the_infarct_dark(trial: Path, again: Path) -> None:
    assert not list(trial.rglob("*T1w*")), "only when asked for"
    one, truth = again / "sub-001", again / "derivatives" / "truth" / "sub-001"

    def levels(session: str, suffix: str) -> tuple[float, float]:
        """Median of infarct and of healthy brain."""
        masks = [
            load_mask(truth / session / "anat" / f"sub-001_{session}_desc-{name}_mask.nii.gz").data
            for name in ("infarct", "brain")
        ]
        scan = load_scan(one / session / "anat" / f"sub-001_{session}_{suffix}.nii.gz").data
        return float(np.median(scan[masks[0]])), float(np.median(scan[masks[1] & ~masks[0]]))

    infarct, healthy = levels("ses-M01", "T1w")
    assert infarct < 0.9 * healthy
    infarct, healthy = levels("ses-BL", "FLAIR")
    assert infarct > 1.1 * healthy

"""One participant's steps: what follows from a failed, missing or doubtful one.

The image analysis itself is replaced by rules a reader can check by eye; it has tests of its own.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from infarct_vol import pipeline
from infarct_vol.atlas import BrainMap
from infarct_vol.diffusion import assembly
from infarct_vol.errors import BrainMaskError, RegistrationError, SegmentationError
from infarct_vol.geometry import Grid
from infarct_vol.images import BrainMask, LesionMask, Scan
from infarct_vol.ledger import finished_record, save_record
from infarct_vol.measurement import measure
from infarct_vol.nifti import load_mask, load_scan, save_array, save_mask
from infarct_vol.pipeline import process_participant
from infarct_vol.protocol import Protocol
from infarct_vol.records import ParticipantRecord, VolumeRow
from infarct_vol.registration import RegistrationQuality, RigidTransform
from infarct_vol.segmentation.reference import zero_level
from infarct_vol.study import open_study
from infarct_vol.tables import component_rows
from infarct_vol.work import Case

SHAPE, SPACING = (60, 60, 12), (1.0, 1.0, 5.0)
LESION = (slice(10, 20), slice(10, 20), slice(4, 6))
"""10 x 10 x 2 voxels of 5 mm3: 1.0 mL."""
BRIGHT = 1000.0
MNI = BrainMap(np.diag([1.0, 1.0, 1.0, 1.0]), 0.97, 0.8)


def image(*, lesion: bool, seed: int = 3) -> np.ndarray:
    data = np.random.default_rng(seed).normal(100, 5, SHAPE)
    if lesion:
        data[LESION] = BRIGHT
    return data


def bright(scan: Scan, **_: object) -> LesionMask:
    mask = LesionMask(scan.data > BRIGHT / 2, scan.grid, scan.identity, "rule 1")
    return replace(mask, parts={"cavity": mask.with_data(np.zeros(SHAPE)), "new_lesion": mask})


@pytest.fixture(autouse=True)
def _rules(monkeypatch: pytest.MonkeyPatch) -> None:
    def everything(scan: Scan, **_: object) -> BrainMask:
        return BrainMask(np.ones(scan.grid.shape, dtype=bool), scan.grid)

    passed = RigidTransform(np.eye(4), RegistrationQuality("PASS"))
    monkeypatch.setattr(pipeline, "brain_mask", everything)
    monkeypatch.setattr(pipeline, "brain_if_found", everything)
    monkeypatch.setattr(assembly, "require_pair", lambda *_, **__: ())
    monkeypatch.setattr(pipeline, "segment_acute", lambda dwi, adc, **_: bright(dwi))
    monkeypatch.setattr(pipeline, "segment_baseline_flair", bright)
    monkeypatch.setattr(pipeline, "segment_followup", bright)
    monkeypatch.setattr(pipeline, "register", lambda *_, **__: passed)
    monkeypatch.setattr(pipeline, "fit_to_template", lambda *_, **__: MNI)


@pytest.fixture
def case(tmp_path: Path) -> Case:
    """Baseline with DWI, ADC and FLAIR; months 1 and 6 with FLAIR; no month 3."""
    root, grid = tmp_path / "study", Grid(SHAPE, np.diag([*SPACING, 1.0]))
    (root / "sub-01").mkdir(parents=True)
    (root / "participants.tsv").write_text("participant_id\tfirst_dose_time\nsub-01\t2026-03-01T12:00:00\n")
    times = {"BL": "2026-03-01T08:00:00", "M01": "2026-03-31", "M06": "2026-08-28"}
    lines = "".join(f"ses-{session}\t{time}\n" for session, time in times.items())
    (root / "sub-01" / "sub-01_sessions.tsv").write_text("session_id\tacq_time\n" + lines)
    for seed, session in enumerate(times):
        folder = root / "sub-01" / f"ses-{session}"
        flair = folder / "anat" / f"sub-01_ses-{session}_FLAIR.nii.gz"
        save_array(image(lesion=session != "M06", seed=seed), grid, flair, dtype="float32")
    dwi = root / "sub-01" / "ses-BL" / "dwi"
    save_array(image(lesion=True), grid, dwi / "sub-01_ses-BL_trace.nii.gz", dtype="float32")
    save_array(8 * image(lesion=False), grid, dwi / "sub-01_ses-BL_ADC.nii.gz", dtype="float32")
    return Case(open_study(root).participants[0], root, tmp_path / "out", Protocol())


def value(record: ParticipantRecord, visit: str, parameter: str) -> VolumeRow:
    (found,) = [r for r in record.rows if (r.visit, r.parameter) == (visit, parameter)]
    return found


def test_every_visit_and_parameter_has_a_row_with_a_value_or_a_reason(case: Case) -> None:
    record = process_participant(case)
    assert value(record, "baseline", "infarct").volume_ml == pytest.approx(1.0)
    assert value(record, "month1", "infarct").volume_ml == pytest.approx(1.0)
    assert value(record, "month6", "infarct").volume_ml == 0.0, "none found is a value"
    missing = value(record, "month3", "infarct")
    assert (missing.volume_ml, missing.status, missing.reason) == (None, "missing", "no session for month3")
    assert value(record, "baseline", "infarct").study_day == 1
    assert value(record, "month1", "infarct").study_day == 31
    assert len(record.rows) == 3 + 4 + 4 + 4


def test_masks_and_sidecars_are_written_and_their_hashes_kept(case: Case) -> None:
    record = process_participant(case)
    path = value(record, "month1", "infarct").mask_path
    assert path == "sub-01/ses-M01/anat/sub-01_ses-M01_desc-infarct_mask.nii.gz"
    assert path in record.outputs
    sidecar = json.loads((case.out / path.replace(".nii.gz", ".json")).read_text())
    assert sidecar["VolumeML"] == pytest.approx(1.0)
    assert sidecar["ProtocolSHA256"] == case.protocol.sha256
    assert "sub-01/ses-M01/xfm/sub-01_ses-M01_from-BL_to-M01_mode-points_xfm.tfm" in record.outputs


def test_a_registration_is_noted_with_its_turn_and_the_move_of_the_middle_of_its_fixed_image(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = np.eye(4)
    moved[:3, 3] = 3.0, 0.0, 4.0
    found = RigidTransform(moved, RegistrationQuality("PASS"))
    monkeypatch.setattr(pipeline, "register", lambda *_, **__: found)
    record = process_participant(case)
    (noted,) = [r for visit in record.visits if visit.visit == "month1" for r in visit.registrations]
    assert (noted.fixed, noted.moving, noted.angle_degrees) == ("BL", "M01", 0.0)
    assert noted.shift_mm == pytest.approx(5.0)


def test_registrations_see_scans_without_the_offset_of_their_files(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    levels: list[float] = []

    def register(source: Scan, target: Scan, **_: object) -> RigidTransform:
        levels.extend(float(zero_level(scan.data)) for scan in (source, target))
        return RigidTransform(np.eye(4), RegistrationQuality("PASS"))

    monkeypatch.setattr(pipeline, "register", register)
    process_participant(case)
    # FLAIR to DWI, then baseline to month 1 and to month 6; the files have no signal below about 88
    assert levels == [0.0] * 6


def test_a_registration_that_fails_leaves_its_values_empty_and_nothing_uses_it(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = RigidTransform(np.eye(4), RegistrationQuality("FAIL", ("left and right look exchanged",)))
    passed = RigidTransform(np.eye(4), RegistrationQuality("PASS"))

    def register(fixed: Scan, moving: Scan, **_: object) -> RigidTransform:
        return failed if moving.identity.session_id == "ses-M01" else passed

    def forbidden(flair: Scan, **_: object) -> LesionMask:
        assert flair.identity.session_id != "ses-M01"
        return bright(flair)

    monkeypatch.setattr(pipeline, "register", register)
    monkeypatch.setattr(pipeline, "segment_followup", forbidden)
    record = process_participant(case)
    for parameter in ("infarct", "infarct_flair", "cavity", "new_lesion"):
        row = value(record, "month1", parameter)
        assert (row.volume_ml, row.status) == (None, "not_measurable")
        assert "left and right look exchanged" in row.reason
    assert value(record, "month6", "infarct").status == "measured"


def test_without_a_measured_baseline_the_follow_up_says_that_it_works_from_flair_alone(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    (case.root / "sub-01" / "ses-BL" / "dwi" / "sub-01_ses-BL_trace.nii.gz").write_bytes(b"\x1f\x8bdamaged")
    monkeypatch.setattr(pipeline, "segment_flair_alone", bright)
    record = process_participant(case)
    damaged = value(record, "baseline", "infarct")
    assert (damaged.volume_ml, damaged.status) == (None, "failed")
    assert "sub-01_ses-BL_trace.nii.gz" in damaged.reason
    assert value(record, "baseline", "infarct_flair").status == "not_measurable"
    follow_up = value(record, "month1", "infarct")
    assert follow_up.status == "measured"
    assert "no measured baseline" in follow_up.flags


def test_a_session_without_the_image_is_missing_and_says_which(case: Case) -> None:
    (case.root / "sub-01" / "ses-M01" / "anat" / "sub-01_ses-M01_FLAIR.nii.gz").unlink()
    again = replace(case, participant=open_study(case.root).participants[0])
    row = value(process_participant(again), "month1", "infarct")
    assert (row.status, row.reason) == ("missing", "sub-01 ses-M01 FLAIR: the session holds no FLAIR image")


def test_a_file_that_changed_while_the_run_was_at_work_is_refused(case: Case) -> None:
    inputs = case.inputs()
    path = case.root / "sub-01" / "ses-M01" / "anat" / "sub-01_ses-M01_FLAIR.nii.gz"
    save_array(image(lesion=False), Grid(SHAPE, np.diag([*SPACING, 1.0])), path, dtype="float32")
    row = value(process_participant(case, inputs=inputs), "month1", "infarct")
    assert row.status == "failed"
    assert "changed while the run was at work" in row.reason


def test_finished_work_is_kept_until_an_input_an_output_or_the_protocol_changes(case: Case) -> None:
    def kept(one: Case) -> bool:
        print_now = one.fingerprint(one.inputs())
        return finished_record(one.out, label="sub-01", fingerprint=print_now) is not None

    record = process_participant(case)
    assert not kept(case), "the record is written last, by whoever runs the case"
    save_record(record, case.out, label="sub-01")
    assert kept(case)
    assert not kept(replace(case, protocol=Protocol(study_id="another")))
    output = case.out / next(path for path in record.outputs if path.endswith(".nii.gz"))
    content = output.read_bytes()
    output.write_bytes(content[:-1])
    assert not kept(case)
    output.write_bytes(content)
    assert kept(case)
    (case.root / "sub-01" / "ses-M01" / "anat" / "sub-01_ses-M01_FLAIR.json").write_text("{}")
    assert not kept(replace(case, participant=open_study(case.root).participants[0]))


# ---- several scans in one window --------------------------------------------------------------------------


def with_repeat(case: Case, time: str, *, damaged: tuple[str, ...] = ()) -> Case:
    """Give month 1 (day 31) another session, and damage the FLAIR of the sessions named."""
    folder = case.root / "sub-01"
    with (folder / "sub-01_sessions.tsv").open("a") as sessions:
        sessions.write(f"ses-R01\t{time}\n")
    flair = folder / "ses-R01" / "anat" / "sub-01_ses-R01_FLAIR.nii.gz"
    save_array(image(lesion=True, seed=7), GRID, flair, dtype="float32")
    for session in damaged:
        (folder / f"ses-{session}" / "anat" / f"sub-01_ses-{session}_FLAIR.nii.gz").write_bytes(b"\x1f\x8b")
    return replace(case, participant=open_study(case.root).participants[0])


def month_1(record: ParticipantRecord) -> list[tuple[str | None, str, str, float | None]]:
    rows = [r for r in record.rows if r.parameter == "infarct" and r.visit in ("month1", "unscheduled")]
    return [(r.session_id, r.visit, r.status, r.volume_ml) for r in rows]


def test_of_several_scans_in_a_window_the_nearest_counts_and_the_other_keeps_its_volume(case: Case) -> None:
    record = process_participant(with_repeat(case, "2026-04-02"))
    assert month_1(record) == [
        ("ses-M01", "month1", "measured", pytest.approx(1.0)),
        ("ses-R01", "unscheduled", "measured", pytest.approx(1.0)),
    ]
    (repeat,) = [r for r in record.rows if r.session_id == "ses-R01"]
    assert repeat.reason == "another session is nearer to the target day of month1"


def test_a_failed_scan_is_no_candidate_and_the_next_nearest_takes_its_place(case: Case) -> None:
    record = process_participant(with_repeat(case, "2026-04-02", damaged=("M01",)))
    assert month_1(record) == [
        ("ses-R01", "month1", "measured", pytest.approx(1.0)),
        ("ses-M01", "unscheduled", "failed", None),
    ]
    measured, failed = (next(r for r in record.rows if r.session_id == s) for s in ("ses-R01", "ses-M01"))
    assert "ses-M01, nearer to the target day, gave no volume: sub-01 ses-M01 FLAIR" in measured.flags
    assert "sub-01_ses-M01_FLAIR.nii.gz" in failed.reason
    assert "ses-R01 is month1 in its place" in failed.flags
    assert value(record, "month1", "cavity").session_id == "ses-R01"


def test_where_the_last_scan_before_the_dose_fails_the_one_before_it_is_baseline(case: Case) -> None:
    folder = case.root / "sub-01"
    shutil.copytree(folder / "ses-BL", folder / "ses-R01")
    for path in [p for p in (folder / "ses-R01").rglob("*") if p.is_file()]:
        scan, its_own = load_scan(path), path.with_name(path.name.replace("ses-BL", "ses-R01"))
        save_array(scan.data + 1, scan.grid, its_own, dtype="float32")
        path.unlink()
    with (folder / "sub-01_sessions.tsv").open("a") as sessions:
        sessions.write("ses-R01\t2026-02-28T08:00:00\n")
    both = replace(case, participant=open_study(case.root).participants[0])
    record = process_participant(both)
    (earlier,) = [r for r in record.rows if r.session_id == "ses-R01"]
    assert (earlier.visit, earlier.reason) == ("unscheduled", "an earlier scan before first dose")
    assert value(record, "baseline", "infarct").session_id == "ses-BL"
    (folder / "ses-BL" / "dwi" / "sub-01_ses-BL_trace.nii.gz").write_bytes(b"\x1f\x8b")
    found = value(process_participant(both), "baseline", "infarct")
    assert (found.session_id, found.volume_ml, found.study_day) == ("ses-R01", pytest.approx(1.0), -1)
    assert "ses-BL, later before first dose, gave no volume: sub-01 ses-BL DWI" in found.flags


def test_an_unscheduled_scan_is_measured(case: Case) -> None:
    late = process_participant(with_repeat(case, "2026-12-24"))
    assert month_1(late)[-1] == ("ses-R01", "unscheduled", "measured", pytest.approx(1.0))
    (row,) = [r for r in late.rows if r.session_id == "ses-R01"]
    assert (row.study_day, row.reason) == (299, "study day 299 lies in no analysis window")


def test_an_early_scan_is_not_measured(case: Case) -> None:
    early = process_participant(with_repeat(case, "2026-03-06"))
    (row,) = [r for r in early.rows if r.session_id == "ses-R01"]
    assert (row.visit, row.status, row.volume_ml) == ("early", "excluded", None)


def test_an_unscheduled_scan_that_fails_says_both_reasons(case: Case) -> None:
    record = process_participant(with_repeat(case, "2026-12-24", damaged=("R01",)))
    (row,) = [r for r in record.rows if r.session_id == "ses-R01"]
    assert row.status == "failed"
    assert row.reason.endswith("; study day 299 lies in no analysis window")


def test_where_every_scan_of_a_window_fails_the_nearest_says_why(case: Case) -> None:
    record = process_participant(with_repeat(case, "2026-04-02", damaged=("M01", "R01")))
    assert month_1(record) == [
        ("ses-M01", "month1", "failed", None),
        ("ses-R01", "unscheduled", "failed", None),
    ]


# ---- masks made elsewhere --------------------------------------------------------------------------------

GRID = Grid(SHAPE, np.diag([*SPACING, 1.0]))
WIDER = (slice(10, 20), slice(10, 22), slice(4, 6))
"""The lesion and two columns more: 10 x 12 x 2 voxels of 5 mm3, 1.2 mL."""


def with_mask(case: Case, name: str, where: tuple[slice, ...] = WIDER, *, grid: Grid = GRID) -> Case:
    data = np.zeros(grid.shape, dtype=bool)
    data[where] = True
    folder = case.root.parent / "masks"
    save_mask(LesionMask(data, grid), folder / name)
    return replace(case, masks=folder)


def test_an_edited_mask_counts_and_the_automatic_one_stays(case: Case) -> None:
    edited = with_mask(case, "sub-01_ses-M01_desc-reader_mask.nii.gz")
    record = process_participant(edited)
    row = value(record, "month1", "infarct")
    assert row.volume_ml == pytest.approx(1.2)
    assert (row.status, row.method) == ("edited", "external")
    assert row.automatic_volume_ml == pytest.approx(1.0)
    assert row.edit_difference_ml == pytest.approx(0.2)
    assert row.edit_dice == pytest.approx(2 * 200 / 440)
    assert row.source.startswith("external: masks/sub-01_ses-M01_desc-reader_mask.nii.gz, SHA-256 ")
    automatic = "sub-01/ses-M01/anat/sub-01_ses-M01_desc-auto_mask.nii.gz"
    assert load_mask(case.out / automatic).volume_ml == pytest.approx(1.0)
    assert {automatic, row.mask_path} <= set(record.outputs)
    sidecar = json.loads((case.out / str(row.mask_path).replace(".nii.gz", ".json")).read_text())
    assert sidecar["External"]["SHA256"] in row.source
    assert sidecar["AutomaticVolumeML"] == pytest.approx(1.0)
    assert sidecar["EditDifferenceML"] == pytest.approx(0.2)
    visit = record.visit("month1")
    assert visit is not None
    assert visit.status == "measured", "the visit took place and has a value"
    untouched = value(record, "baseline", "infarct")
    assert (untouched.status, untouched.source, untouched.automatic_volume_ml) == (
        "measured",
        "automatic",
        None,
    )


def test_a_mask_that_changes_nothing_is_not_called_edited(case: Case) -> None:
    same = with_mask(case, "sub-01_ses-M01_mask.nii.gz", LESION)
    row = value(process_participant(same), "month1", "infarct")
    assert (row.status, row.edit_difference_ml, row.edit_dice) == ("measured", 0.0, 1.0)
    assert row.source.startswith("external: ")


def test_an_empty_edited_mask_is_zero_and_not_missing(case: Case) -> None:
    empty = with_mask(case, "sub-01_ses-M01_mask.nii.gz", (slice(0, 0),) * 3)
    row = value(process_participant(empty), "month1", "infarct")
    assert (row.volume_ml, row.status, row.edit_dice) == (0.0, "edited", 0.0)
    assert row.edit_difference_ml == pytest.approx(-1.0)


@pytest.mark.parametrize(
    ("step", "error"),
    [
        ("segment_followup", SegmentationError("too bright")),
        ("brain_mask", BrainMaskError("no brain")),
        ("register", RegistrationError("no head")),
    ],
)
def test_a_mask_made_elsewhere_stands_where_the_method_fails(
    case: Case, monkeypatch: pytest.MonkeyPatch, step: str, error: Exception
) -> None:
    edited = with_mask(case, "sub-01_ses-M01_mask.nii.gz")
    working = getattr(pipeline, step)

    def fails(first: Scan, *rest: Scan, **options: object) -> object:
        if "ses-M01" in {scan.identity.session_id for scan in (first, *rest)}:
            raise error
        return working(first, *rest, **options)

    monkeypatch.setattr(pipeline, step, fails)
    record = process_participant(edited)
    row = value(record, "month1", "infarct")
    assert row.volume_ml == pytest.approx(1.2)
    assert (row.status, row.automatic_volume_ml) == ("measured", None)
    assert f"the automatic method failed, the mask made elsewhere stands: {error}" in row.flags
    assert value(record, "month6", "infarct").status == "measured"


def test_a_mask_on_another_grid_is_refused_with_both_grids(case: Case) -> None:
    larger = Grid((61, 60, 12), GRID.affine)
    row = value(
        process_participant(with_mask(case, "sub-01_ses-M01_mask.nii.gz", grid=larger)), "month1", "infarct"
    )
    assert (row.volume_ml, row.status) == (None, "failed")
    assert "61x60x12 voxels" in row.reason
    assert "60x60x12 voxels" in row.reason
    assert "save the mask on the grid of the image" in row.reason


def test_on_one_grid_the_name_tells_dwi_from_flair(case: Case) -> None:
    doubtful = process_participant(with_mask(case, "sub-01_ses-BL_desc-reader_mask.nii.gz"))
    for parameter in ("infarct", "infarct_dwi"):
        row = value(doubtful, "baseline", parameter)
        assert row.status == "failed"
        assert "lies on the grid of DWI and FLAIR; put '_dwi' or '_FLAIR' in its name" in row.reason
    (case.root.parent / "masks" / "sub-01_ses-BL_desc-reader_mask.nii.gz").unlink()
    named = process_participant(with_mask(case, "sub-01_ses-BL_FLAIR_mask.nii.gz"))
    assert value(named, "baseline", "infarct_dwi").volume_ml == pytest.approx(1.0)
    assert value(named, "baseline", "infarct_flair").volume_ml == pytest.approx(1.2)
    (case.root.parent / "masks" / "sub-01_ses-BL_FLAIR_mask.nii.gz").unlink()
    folder = process_participant(with_mask(case, "sub-01/ses-BL/dwi/sub-01_ses-BL_desc-infarct_mask.nii.gz"))
    assert value(folder, "baseline", "infarct").volume_ml == pytest.approx(1.2)
    assert value(folder, "baseline", "infarct_flair").status == "measured"


def test_a_mask_for_an_image_nothing_is_measured_on_is_flagged(case: Case) -> None:
    row = value(process_participant(with_mask(case, "sub-01_ses-M01_dwi_mask.nii.gz")), "month1", "infarct")
    assert row.volume_ml == pytest.approx(1.0)
    assert "mask masks/sub-01_ses-M01_dwi_mask.nii.gz is not used" in row.flags


def test_a_mask_outside_the_brain_is_flagged(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    def left_half(scan: Scan, **_: object) -> BrainMask:
        inside = np.zeros(scan.grid.shape, dtype=bool)
        inside[:15] = True
        return BrainMask(inside, scan.grid)

    monkeypatch.setattr(pipeline, "brain_mask", left_half)
    row = value(process_participant(with_mask(case, "sub-01_ses-M01_mask.nii.gz")), "month1", "infarct")
    assert "50 % of the mask made elsewhere lies outside the brain" in row.flags


def test_what_made_a_mask_is_kept_from_its_sidecar_and_nothing_else(case: Case) -> None:
    network = with_mask(case, "sub-01_ses-M01_mask.nii.gz")
    beside = case.root.parent / "masks" / "sub-01_ses-M01_mask.json"
    beside.write_text(json.dumps({"GeneratedBy": [{"Name": "LesionNet", "Version": "2.1"}], "By": "Dr. X"}))
    record = process_participant(network)
    row = value(record, "month1", "infarct")
    assert row.method == "external: LesionNet 2.1"
    text = (case.out / str(row.mask_path).replace(".nii.gz", ".json")).read_text()
    assert json.loads(text)["External"]["GeneratedBy"] == ["LesionNet 2.1"]
    assert "Dr. X" not in text
    assert "masks/sub-01_ses-M01_mask.json" in record.inputs


def test_a_changed_mask_is_new_work_whatever_folder_it_lies_in(case: Case) -> None:
    name = "sub-01_ses-BL_desc-infarct_mask.nii.gz"
    with_mask(case, f"dwi/{name}")
    edited = with_mask(case, f"anat/{name}", LESION)
    before = edited.fingerprint(edited.inputs())
    for folder in ("dwi", "anat"):
        with_mask(case, f"{folder}/{name}", (slice(1, 3),) * 3)
        after = edited.fingerprint(edited.inputs())
        assert after != before
        before = after
    inputs = edited.inputs()
    with_mask(case, f"dwi/{name}", LESION)
    row = value(process_participant(edited, inputs=inputs), "baseline", "infarct")
    assert row.status == "failed"
    assert "changed while the run was at work" in row.reason


# ---- where it changed, and where it lies -----------------------------------------------------------------


MIRRORED = (slice(40, 50), *LESION[1:])
"""The lesion in the other half of the grid."""


@pytest.mark.parametrize("name", ["sub-01_ses-M01_mask.nii.gz", "sub-01_ses-M01_FLAIR_mask.NII.GZ"])
def test_a_mirrored_mask_is_refused_and_nothing_is_measured_on_it(case: Case, name: str) -> None:
    record = process_participant(with_mask(case, name, MIRRORED))
    row = value(record, "month1", "infarct")
    assert (row.status, row.volume_ml) == ("failed", None)
    assert row.reason.startswith(
        f"sub-01 ses-M01 FLAIR: mask masks/{name} cannot be right: it fits the infarct"
    )
    assert "mirrored left to right" in row.reason
    assert "Confirmed" in row.reason
    assert value(record, "month6", "infarct").status == "measured", "all other visits finish"


def test_a_mask_that_is_confirmed_is_measured_and_flagged(case: Case) -> None:
    edited = with_mask(case, "sub-01_ses-M01_mask.nii.gz", MIRRORED)
    assert edited.masks is not None
    (edited.masks / "sub-01_ses-M01_mask.json").write_text('{"Confirmed": true}')
    row = value(process_participant(edited), "month1", "infarct")
    assert (row.status, row.volume_ml) == ("edited", pytest.approx(1.0))
    assert "was confirmed although it fits the infarct in the image once it is mirrored" in row.flags


def test_where_the_dwi_gave_no_infarct_the_mask_of_the_flair_is_doubted_by_the_image(case: Case) -> None:
    with_mask(case, "sub-01_ses-BL_dwi_mask.nii.gz", MIRRORED)
    record = process_participant(with_mask(case, "sub-01_ses-BL_FLAIR_mask.nii.gz", MIRRORED))
    for parameter in ("infarct_dwi", "infarct_flair"):
        row = value(record, "baseline", parameter)
        assert (row.status, row.volume_ml) == ("failed", None), parameter
    assert "it lies on tissue that looks normal" in row.reason


def test_a_brain_mask_given_as_the_infarct_is_refused(case: Case) -> None:
    most = (slice(0, 60), slice(0, 60), slice(1, 12))
    record = process_participant(with_mask(case, "sub-01_ses-BL_dwi_mask.nii.gz", most))
    row = value(record, "baseline", "infarct")
    assert (row.status, row.volume_ml) == ("failed", None)
    assert "it covers 92 % of the brain, as a brain mask does and no lesion" in row.reason


def test_masks_of_a_run_read_again_give_the_numbers_of_its_table(case: Case) -> None:
    record = process_participant(case)
    row = value(record, "month1", "infarct")
    again = measure(load_mask(case.out / row.mask_path))
    assert (again.volume_ml, again.volume_ml_low, again.volume_ml_high) == (
        row.volume_ml,
        row.volume_ml_low,
        row.volume_ml_high,
    )


def test_the_map_of_change_holds_the_numbers_of_the_table(case: Case) -> None:
    record = process_participant(with_mask(case, "sub-01_ses-M01_mask.nii.gz", (slice(15, 25), *LESION[1:])))
    visit = record.visit("month1")
    assert visit is not None
    path = case.out / visit.masks["change"]
    assert path.name == "sub-01_ses-M01_space-BL_desc-change_dseg.nii.gz"
    counts = np.bincount(load_scan(path).data.astype(int).ravel(), minlength=4)[1:]
    assert counts.tolist() == [100, 100, 100]
    assert (visit.persistent_ml, visit.resolved_ml, visit.new_ml) == pytest.approx((0.5, 0.5, 0.5))
    sidecar = json.loads((case.out / visit.masks["change"].replace(".nii.gz", ".json")).read_text())
    assert sidecar["VoxelCounts"] == {"persistent": 100, "resolved": 100, "new": 100}
    assert sidecar["Labels"] == {"1": "persistent", "2": "resolved", "3": "new"}


def test_follow_ups_lie_where_baseline_lay_in_mni_space(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    shifted = np.eye(4)
    shifted[:3, 3] = -30.0, 0.0, 0.0
    fitted: list[str] = []

    def fit(scan: Scan, **_: object) -> BrainMap:
        fitted.append(f"{scan.identity.session_id} {scan.modality}")
        return BrainMap(shifted, 0.97, 0.8)

    moved = np.eye(4)
    moved[:3, 3] = 4.0, 0.0, 0.0
    monkeypatch.setattr(pipeline, "fit_to_template", fit)
    monkeypatch.setattr(
        pipeline, "register", lambda *_, **__: RigidTransform(moved, RegistrationQuality("PASS"))
    )
    record = process_participant(case)
    assert fitted == ["ses-BL flair"], "one fit a participant"
    places = {(row.visit, row.parameter): row for row in component_rows(record)}
    # the block's middle is at 14.5 mm; every other image lies 4 mm to the right of the baseline FLAIR
    assert places["baseline", "infarct_flair"].centroid_mni_x_mm == pytest.approx(14.5 - 30.0)
    assert places["baseline", "infarct_dwi"].centroid_mni_x_mm == pytest.approx(14.5 - 34.0)
    month1 = places["month1", "infarct_flair"]
    assert month1.centroid_mni_x_mm == pytest.approx(14.5 - 34.0)
    assert (month1.hemisphere, month1.region, month1.component) == ("left", "supratentorial", 1)
    assert (month1.first_slice, month1.last_slice, month1.volume_ml) == (4, 5, pytest.approx(1.0))


def test_a_poor_fit_leaves_the_place_empty_with_its_reason(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "fit_to_template", lambda *_, **__: BrainMap(np.eye(4), 0.5, 0.2))
    row = next(component_rows(process_participant(case)))
    assert (row.hemisphere, row.centroid_mni_x_mm, row.grey_percent) == ("", None, None)
    assert "overlap of the brains 0.50 (at least 0.90)" in row.reason
    assert row.volume_ml == pytest.approx(1.0)


# ---- faults nobody foresaw -------------------------------------------------------------------------------


def test_a_fault_in_one_visit_costs_no_other_and_is_tried_again(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(flair: Scan, **given: object) -> LesionMask:
        if flair.identity.session_id == "ses-M01":
            raise np.linalg.LinAlgError("Eigenvalues did not converge")
        return bright(flair, **given)

    monkeypatch.setattr(pipeline, "segment_followup", broken)
    record = process_participant(case)
    month1 = value(record, "month1", "infarct")
    assert (month1.status, month1.volume_ml) == ("failed", None)
    assert month1.reason.startswith("sub-01 ses-M01: unexpected LinAlgError in test_pipeline.py, line ")
    assert "Eigenvalues did not converge; run again with --jobs 1 -v" in month1.reason
    assert value(record, "baseline", "infarct").volume_ml == pytest.approx(1.0)
    assert value(record, "month6", "infarct").status == "measured"
    assert record.fingerprint == "", "the next run tries again"


def test_a_fault_after_the_volume_is_a_flag(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> BrainMap:
        raise ZeroDivisionError("no template")

    monkeypatch.setattr(pipeline, "fit_to_template", broken)
    monkeypatch.setattr(pipeline, "register_to_baseline", lambda *_: None)
    record = process_participant(case)
    row = value(record, "month1", "infarct")
    assert row.volume_ml == pytest.approx(1.0)
    assert "sub-01 ses-M01: unexpected ZeroDivisionError" in row.flags
    assert value(record, "baseline", "infarct_dwi").volume_ml == pytest.approx(1.0)


def test_a_fault_before_the_first_step_is_the_reason(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(pipeline, "measure_followup", broken)
    record = process_participant(case)
    assert "unexpected MemoryError" in value(record, "month6", "cavity").reason
    assert value(record, "baseline", "infarct").volume_ml == pytest.approx(1.0)

"""One participant's steps: what follows from a failed, missing or doubtful one.

The image analysis itself is replaced by rules a reader can check by eye; it has tests of its own.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from infarct_vol import pipeline
from infarct_vol.geometry import Grid
from infarct_vol.images import BrainMask, LesionMask, Scan
from infarct_vol.ledger import finished_record, save_record
from infarct_vol.nifti import save_array
from infarct_vol.pipeline import Case, process_participant
from infarct_vol.protocol import Protocol
from infarct_vol.records import ParticipantRecord, VolumeRow
from infarct_vol.registration import RegistrationQuality, RigidTransform
from infarct_vol.study import open_study

SHAPE, SPACING = (60, 60, 12), (1.0, 1.0, 5.0)
LESION = (slice(10, 20), slice(10, 20), slice(4, 6))
"""10 x 10 x 2 voxels of 5 mm3: 1.0 mL."""
BRIGHT = 1000.0


def image(*, lesion: bool) -> np.ndarray:
    data = np.random.default_rng(3).normal(100, 5, SHAPE)
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
    monkeypatch.setattr(pipeline, "segment_acute", lambda dwi, adc, **_: bright(dwi))
    monkeypatch.setattr(pipeline, "segment_baseline_flair", bright)
    monkeypatch.setattr(pipeline, "segment_followup", bright)
    monkeypatch.setattr(pipeline, "register", lambda *_, **__: passed)


@pytest.fixture
def case(tmp_path: Path) -> Case:
    """Baseline with DWI, ADC and FLAIR; months 1 and 6 with FLAIR; no month 3."""
    root, grid = tmp_path / "study", Grid(SHAPE, np.diag([*SPACING, 1.0]))
    (root / "sub-01").mkdir(parents=True)
    (root / "participants.tsv").write_text("participant_id\tfirst_dose_time\nsub-01\t2026-03-01T12:00:00\n")
    times = {"BL": "2026-03-01T08:00:00", "M01": "2026-03-31", "M06": "2026-08-28"}
    lines = "".join(f"ses-{session}\t{time}\n" for session, time in times.items())
    (root / "sub-01" / "sub-01_sessions.tsv").write_text("session_id\tacq_time\n" + lines)
    for session in times:
        folder = root / "sub-01" / f"ses-{session}"
        flair = folder / "anat" / f"sub-01_ses-{session}_FLAIR.nii.gz"
        save_array(image(lesion=session != "M06"), grid, flair, dtype="float32")
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

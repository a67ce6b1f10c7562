"""What is left of a review when inputs change, entries are forged, or files are altered."""

from __future__ import annotations

import json
import shutil
import sqlite3
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from desk_trial import item_of, run_toy, shown_voxels
from review_trials import CAVITY, INFARCTS, MONTH3, PROTOCOL, write_review_trial
from toy_trials import GRID, SHAPE, VOXEL_ML

from infarct_vol.audit import AuditTrail
from infarct_vol.batch import output_lock
from infarct_vol.desk import Desk, Judgement
from infarct_vol.errors import AuditError, GridMismatchError, LockedStudyError, ReviewError
from infarct_vol.files import gzip_bytes
from infarct_vol.geometry import Grid
from infarct_vol.nifti import nifti_bytes, save_array
from infarct_vol.protocol import Protocol
from infarct_vol.results import remake_tables
from infarct_vol.review.model import DECISION, EDIT, Decision, Item, MaskVersion
from infarct_vol.review.readers import Readers
from infarct_vol.review.state import Reading
from infarct_vol.review.verification import audit_study
from infarct_vol.review.versions import open_canvas, save_edit
from infarct_vol.settings import ReviewSettings
from infarct_vol.tables import read_tables

PHRASE = "correct horse battery"
FLAIR = Item("sub-001", "ses-M01", "flair")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    return run_toy(tmp_path_factory.mktemp("traces"))


@pytest.fixture
def desk(finished, tmp_path):
    shutil.copytree(finished.parent, tmp_path / "trial")
    return Desk(tmp_path / "trial" / "out")


@pytest.fixture
def ada(desk):
    return desk.readers.enrol("Ada", PHRASE)


def first_case(desk, reader):
    return desk.case(reader, desk.worklist(reader)["cases"][0]["code"])


def judgement(item, verdict="accept", *, reason="because", masks=None):
    given = {mask["key"]: mask["sha256"] for mask in item.get("masks", [])} if masks is None else masks
    return Judgement(
        item=item["item"], verdict=verdict, reason=reason, revision=item["revision"], masks=given
    )


def edit(desk, reader, case, change, *, name="v2.flair", parent=None):
    item = item_of(case, name)
    voxels = shown_voxels(desk.mask(reader, case["code"], name, "flair"))
    change(voxels)
    return desk.save_mask(
        reader,
        *(case["code"], name, "flair", voxels.tobytes(order="F")),
        parent_sha256=parent or item["masks"][0]["sha256"],
        revision=item["revision"],
        reason="rim",
    )


def fill(voxels):
    voxels.fill(1)


def volume_row(out, visit="month1"):
    table = read_tables(out).volumes
    chosen = table[(table["participant_id"] == "sub-001") & (table["visit"] == visit)]
    return chosen[chosen["parameter"] == "infarct"].iloc[0].fillna("")


def automatic_changed(desk):
    """Exchange the run's mask of month 1 of sub-001, as a run with another mask does: 61 to 62 voxels."""
    path = desk.out / "provenance" / "sub-001.json"
    record = json.loads(path.read_text())
    name = record["visits"][1]["masks"]["flair"]
    data = np.zeros(SHAPE, dtype=np.uint8)
    data.ravel()[:62] = 1
    (desk.out / name).write_bytes(gzip_bytes(nifti_bytes(data, GRID, dtype="uint8")))
    import hashlib

    record["outputs"][name] = hashlib.sha256((desk.out / name).read_bytes()).hexdigest()
    record["fingerprint"] = "another"
    for row in record["rows"]:
        if row["mask_path"] == name:
            row["volume_ml"] = 62 * VOXEL_ML
    path.write_text(json.dumps(record))


# ---- measured again --------------------------------------------------------------------------------------


def test_a_mask_measured_again_is_shown_and_can_be_read_again(desk, ada):
    case = first_case(desk, ada)
    desk.judge(ada, case["code"], [judgement(item_of(case, "v2.flair"))])
    automatic_changed(desk)
    item = item_of(desk.case(ada, case["code"]), "v2.flair")
    assert item["stale"]
    assert item["masks"][0]["source"] == "external"
    _, content = desk.download(ada, case["code"], "v2.flair", "flair")
    assert content
    line = desk.worklist(ada)["cases"][0]
    assert (line["status"], line["edited"]) == ("stale", False)
    shown = desk.judge(ada, case["code"], [judgement(item)])
    assert not item_of(shown, "v2.flair")["stale"]
    remake_tables(desk.out)
    assert volume_row(desk.out)["volume_ml"] == pytest.approx(62 * VOXEL_ML)


def test_a_correction_of_a_mask_that_was_measured_again_does_not_go_on(desk, ada):
    case = first_case(desk, ada)
    shown = edit(desk, ada, case, fill)
    old = item_of(shown, "v2.flair")["masks"][0]["sha256"]
    desk.judge(ada, case["code"], [judgement(item_of(shown, "v2.flair"))])
    automatic_changed(desk)
    case = desk.case(ada, case["code"])
    item = item_of(case, "v2.flair")
    assert item["stale"]
    # the run's new mask is in work; the old correction is kept, to be looked at
    assert item["masks"][0]["sha256"] == item["masks"][0]["automatic_sha256"] != old
    assert [v["sha256"] for v in item["versions"]] == [old]
    assert shown_voxels(desk.mask(ada, case["code"], "v2.flair", "flair", old)).all()
    with pytest.raises(ReviewError, match="corrected before the input changed"):
        desk.judge(ada, case["code"], [judgement(item, masks={"flair": old})])
    with pytest.raises(ReviewError, match="corrected before the input changed"):
        edit(desk, ada, case, lambda voxels: voxels.fill(0), parent=old)
    remake_tables(desk.out)
    row = volume_row(desk.out)
    assert (row["status"], row["volume_ml"]) == ("measured", pytest.approx(62 * VOXEL_ML))
    assert "review again" in row["flags"]
    # and the same voxels, drawn again on the new mask, count
    shown = edit(desk, ada, case, fill)
    desk.judge(ada, case["code"], [judgement(item_of(shown, "v2.flair"))])
    remake_tables(desk.out)
    row = volume_row(desk.out)
    assert (row["status"], row["volume_ml"]) == ("edited", pytest.approx(2400 * VOXEL_ML))


def test_equal_voxels_drawn_on_another_mask_do_not_make_an_old_decision_current(desk, ada):
    case = first_case(desk, ada)
    shown = edit(desk, ada, case, fill)
    desk.judge(ada, case["code"], [judgement(item_of(shown, "v2.flair"))])
    automatic_changed(desk)
    shown = edit(desk, ada, desk.case(ada, case["code"]), fill)
    assert item_of(shown, "v2.flair")["stale"]
    remake_tables(desk.out)
    assert "review again" in volume_row(desk.out)["flags"]


def test_a_case_of_another_protocol_is_not_signed(desk, ada):
    case = first_case(desk, ada)
    path = desk.out / "provenance" / "sub-001.json"
    other = Protocol(review=ReviewSettings(reads=2)).sha256
    path.write_text(path.read_text().replace(desk.protocol.sha256, other))
    with pytest.raises(ReviewError, match="measured by another protocol"):
        desk.judge(ada, case["code"], [judgement(item_of(case, "v2.flair"))])
    with pytest.raises(ReviewError, match="measured by another protocol"):
        edit(desk, ada, case, fill)


# ---- what is sent ----------------------------------------------------------------------------------------


def test_two_judgements_of_one_item_are_refused(desk, ada):
    case = first_case(desk, ada)
    item = item_of(case, "v2.flair")
    before = len(desk.trail.entries())
    with pytest.raises(ReviewError, match="two on one item"):
        desk.judge(ada, case["code"], [judgement(item), judgement(item, "reject")])
    assert len(desk.trail.entries()) == before


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_mask_with_flipped_axes_is_refused_with_both_grids(desk, ada, axis):
    case = first_case(desk, ada)
    affine = np.array(GRID.affine)
    affine[:3, 3] = GRID.to_world(np.eye(3)[axis] * (SHAPE[axis] - 1))
    affine[:, axis] *= -1
    data = np.zeros(SHAPE, dtype=np.uint8)
    data[5:10, 5:10, 2] = 1
    content = nifti_bytes(np.flip(data, axis), Grid(SHAPE, affine), dtype="uint8")
    mask = item_of(case, "v2.flair")["masks"][0]
    with pytest.raises(GridMismatchError, match=r"(LAS|RPS|RAI).*RAS"):
        desk.upload_mask(
            ada,
            *(case["code"], "v2.flair", "flair", content, "mask.nii"),
            parent_sha256=mask["sha256"],
            revision=0,
            reason="drawn elsewhere",
        )


def test_a_download_of_an_altered_mask_is_refused(desk, ada):
    case = first_case(desk, ada)
    path = desk.out / "sub-001/ses-M01/anat/sub-001_ses-M01_desc-infarct_mask.nii.gz"
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(AuditError, match="not what it was"):
        desk.download(ada, case["code"], "v2.flair", "flair")


def test_pictures_move_with_the_transform_that_places_them(desk, ada):
    from infarct_vol.desk.pictures import _placing

    record = desk.book.record("sub-001")
    visit = record.visits[1]
    moved = [r.model_copy(update={"path": "a.tfm"}) for r in visit.registrations]
    other = visit.model_copy(update={"registrations": tuple(moved)})
    outputs = {**record.outputs, "a.tfm": "1" * 64}
    assert _placing(record.model_copy(update={"outputs": outputs}), other) == ("1" * 64 if moved else "")


def test_the_adc_of_a_series_is_shown(desk, ada):
    path = desk.out.parent / "study/sub-001/ses-BL/dwi/sub-001_ses-BL_trace.nii.gz"
    data = np.full((*SHAPE, 2), 1000.0, dtype=np.float32)
    data[..., 1] = 1000.0 * np.exp(-0.8)
    save_array(data, GRID, path, dtype="float32")
    assert "v1.adc" not in [panel["id"] for panel in first_case(desk, ada)["panels"]]
    path.with_name("sub-001_ses-BL_trace.bval").write_text("0 1000\n")
    case = first_case(desk, ada)
    assert [panel["id"] for panel in case["panels"]][:3] == ["v1.dwi", "v1.adc", "v1.flair"]
    content = desk.volume(ada, case["code"], "v1.adc")
    slope, intercept = np.frombuffer(content[112:120], dtype="<f4")
    stored = np.frombuffer(content[352:], dtype="<i2")
    # ln(1000 / 449.3) / 1000 s/mm2 is 800e-6 mm2/s
    assert stored.mean() * slope + intercept == pytest.approx(800.0, rel=0.01)


def test_the_adc_of_a_series_whose_bvalues_lie_further_up_is_shown(desk, ada):
    study = desk.out.parent / "study"
    path = study / "sub-001/ses-BL/dwi/sub-001_ses-BL_trace.nii.gz"
    data = np.full((*SHAPE, 2), 1000.0, dtype=np.float32)
    data[..., 1] = 1000.0 * np.exp(-0.8)
    save_array(data, GRID, path, dtype="float32")
    (study / "trace.bval").write_text("0;1000\n")
    case = first_case(desk, ada)
    assert [panel["id"] for panel in case["panels"]][:2] == ["v1.dwi", "v1.adc"]
    content = desk.volume(ada, case["code"], "v1.adc")
    slope, intercept = np.frombuffer(content[112:120], dtype="<f4")
    stored = np.frombuffer(content[352:], dtype="<i2")
    assert stored.mean() * slope + intercept == pytest.approx(800.0, rel=0.01)


# ---- parts -----------------------------------------------------------------------------------------------


def test_a_part_is_never_signed_outside_its_infarct(tmp_path):
    out, case, reading = _review_case(tmp_path)
    from infarct_vol.desk.judging import decided

    record = case.record
    canvas = open_canvas(out, record, MONTH3, protocol=PROTOCOL)
    smaller = INFARCTS["ses-M03"] & ~CAVITY
    trail = AuditTrail(out)
    for version in save_edit(canvas, "flair", smaller):
        trail.append(EDIT, subject=MONTH3.subject, who="Ada", reason="rim", new=version.model_dump_json())
    reading.take(trail.entries(after=reading.sequence))
    facts = case.found("v2.flair")
    in_work = case.in_work(reading, facts)
    one = Judgement(item="v2.flair", verdict="accept", revision=2, masks=in_work)
    assert decided(case, reading, facts, one, out=out).action == DECISION
    mixed = {**in_work, "cavity": facts.masks["cavity"]}
    with pytest.raises(ReviewError, match="'cavity' reaches out of the infarct"):
        decided(case, reading, facts, one.model_copy(update={"masks": mixed}), out=out)


def _review_case(tmp_path):
    from infarct_vol.review.cases import CaseBook

    out = tmp_path / "out"
    write_review_trial(out)
    trail = AuditTrail(out)
    reader = Readers(out, trail).enrol("Ada", PHRASE)
    reading = Reading(PROTOCOL.review, trail.entries())
    return out, CaseBook(out).case(reading, reader, "open", "sub-001"), reading


# ---- entries that are not what they should be ------------------------------------------------------------


def test_an_entry_that_cannot_be_read_stops_the_desk_before_it(desk, ada):
    case = first_case(desk, ada)
    AuditTrail(desk.out).append(DECISION, subject=FLAIR.subject, who="Ada", new="{}")
    history = desk._reading.history("sub-001")
    for _ in range(2):
        with pytest.raises(AuditError, match=r"entry \d+ \(decision\).*does not hold"):
            desk.judge(ada, case["code"], [judgement(item_of(case, "v3.flair"))])
        assert desk._reading.history("sub-001") == history
    with pytest.raises(AuditError, match="does not hold"):
        Desk(desk.out)
    with pytest.raises(AuditError, match="does not hold"):
        remake_tables(desk.out)
    assert any("does not hold" in fault for fault in audit_study(desk.out).faults)


def rewritten(out, change):
    """Write the trail anew with one entry changed and the chain and its head made whole again."""
    trail = AuditTrail(out)
    entries = [change(entry) for entry in trail.entries()]
    previous = ""
    with sqlite3.connect(trail.path) as connection:
        connection.execute("DROP TRIGGER no_update")
        for entry in entries:
            entry = replace(entry, previous_sha256=previous)
            previous = entry.digest()
            connection.execute(
                "UPDATE entries SET subject = ?, new = ?, previous_sha256 = ?, sha256 = ? WHERE sequence = ?",
                (entry.subject, entry.new, entry.previous_sha256, previous, entry.sequence),
            )
        connection.execute(
            "CREATE TRIGGER no_update BEFORE UPDATE ON entries\n"
            "  BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END"
        )
    trail.head_path.write_text(json.dumps({"sequence": entries[-1].sequence, "sha256": previous}))
    assert trail.faults() == ()


def reviewed(desk, ada):
    case = first_case(desk, ada)
    shown = edit(desk, ada, case, fill)
    desk.judge(ada, case["code"], [judgement(item_of(shown, "v2.flair"))])
    remake_tables(desk.out)
    assert audit_study(desk.out).faults == ()


def test_a_decision_moved_to_another_participant_is_named(desk, ada):
    reviewed(desk, ada)

    def moved(entry):
        new = "sub-002/ses-M01/flair"
        return replace(entry, subject=new) if entry.action == DECISION else entry

    rewritten(desk.out, moved)
    assert any(
        "decision of Ada on sub-002/ses-M01/flair" in fault and "signed for another one" in fault
        for fault in audit_study(desk.out).faults
    )


@pytest.mark.parametrize(
    ("action", "model", "words"),
    [
        (DECISION, Decision, "signs 99 mL, the mask has 48 mL"),
        (EDIT, MaskVersion, "the entry says 99 mL, its voxels are 48 mL"),
    ],
)
def test_a_volume_forged_in_a_trail_that_was_written_anew_is_named(desk, ada, action, model, words):
    reviewed(desk, ada)

    def forged(entry):
        if entry.action != action:
            return entry
        found = model.model_validate_json(entry.new).model_copy(update={"volume_ml": 99.0})
        return replace(entry, new=found.model_dump_json())

    rewritten(desk.out, forged)
    assert any(words in fault for fault in audit_study(desk.out).faults)


def test_a_volume_changed_in_a_record_that_was_signed_is_named(desk, ada):
    case = first_case(desk, ada)
    desk.judge(ada, case["code"], [judgement(item_of(case, "v2.flair"))])
    path = desk.out / "provenance" / "sub-001.json"
    record = json.loads(path.read_text())
    for row in record["rows"]:
        if row["visit"] == "month1" and row["volume_ml"] is not None:
            row["volume_ml"] = 7.0
    path.write_text(json.dumps(record))
    assert any("signs 1.22 mL, the mask has 7 mL" in fault for fault in audit_study(desk.out).faults)


# ---- files -----------------------------------------------------------------------------------------------


def one_of(out: Path, pattern: str) -> Path:
    return sorted(out.glob(pattern))[0]


ALTERED = (
    "sub-*/*/*/*desc-infarct_mask.nii.gz",
    "sub-*/*/*/*desc-infarct_mask.json",
    "sub-*/*/*/*desc-edit*_mask.nii.gz",
    "sub-*/*/*/*desc-edit*_mask.json",
    "tables/volumes.csv",
    "tables/adam/adinfvol.csv",
    "protocol.toml",
)


def altered(out, pattern):
    """Alter a file, then take it away; return its name and the faults of both, and put it back."""
    path = one_of(out, pattern)
    before = path.read_bytes()
    toml = path.suffix == ".toml"
    path.write_bytes(before.replace(b"idle_minutes = 30", b"idle_minutes = 31") if toml else before + b" ")
    changed = audit_study(out).faults
    path.unlink()
    gone = audit_study(out).faults
    path.write_bytes(before)
    return path.name, changed, gone


def test_what_was_altered_or_added_is_named(desk, ada):
    reviewed(desk, ada)
    for pattern in ALTERED:
        name, *found = altered(desk.out, pattern)
        assert all(any(name in fault for fault in faults) for faults in found), (name, found)
    desk.lock(ada, passphrase=PHRASE, meaning="frozen")
    assert audit_study(desk.out).faults == ()
    for pattern in (*ALTERED, "provenance/sub-001.json", "provenance/lock-*.json"):
        name, *found = altered(desk.out, pattern)
        assert all(any(name in fault for fault in faults) for faults in found), (name, found)
    added = desk.out / "tables" / "extra.csv"
    added.write_text("a\n")
    assert any("tables/extra.csv is new" in fault for fault in audit_study(desk.out).faults)
    added.unlink()
    desk.unlock(ada, passphrase=PHRASE, reason="a scan came late")
    assert audit_study(desk.out).faults == ()


def test_a_lock_signed_while_tables_wait_refuses_them(desk, ada, monkeypatch):
    reviewed(desk, ada)
    from infarct_vol import results

    entered = output_lock

    def late(out):
        monkeypatch.setattr(results, "output_lock", entered)
        desk.lock(ada, passphrase=PHRASE, meaning="frozen")
        return entered(out)

    monkeypatch.setattr(results, "output_lock", late)
    with pytest.raises(LockedStudyError):
        remake_tables(desk.out)
    assert audit_study(desk.out).faults == ()

from __future__ import annotations

import csv
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from review_trials import (
    BASELINE_DWI,
    BASELINE_FLAIR,
    BASELINE_MOVED,
    GRID,
    INFARCTS,
    MONTH3,
    MONTH3_MOVED,
    PROTOCOL,
    UTC,
    VOXEL_ML,
    WHO,
    block,
    standing,
    write_review_trial,
)
from toy_trials import SHAPE, ToyParticipant, ToySession, write_toy_trial

import infarct_vol as iv
from infarct_vol import results as results_module
from infarct_vol import trial as trial_module
from infarct_vol.audit import AuditTrail
from infarct_vol.change import participant_changes
from infarct_vol.errors import LockedStudyError, StudyError
from infarct_vol.ledger import RecordStore, VerifiedStore, study_of
from infarct_vol.protocol import Protocol, load_protocol
from infarct_vol.results import remake_tables
from infarct_vol.review.effects import reviewed_record
from infarct_vol.review.model import DECISION, EDIT, READING_OPENED, Decision, Item, MaskVersion
from infarct_vol.review.readers import Readers
from infarct_vol.review.standing import Read
from infarct_vol.review.store import ReviewedStore
from infarct_vol.review.versions import open_canvas, save_edit
from infarct_vol.tables import read_tables
from infarct_vol.tables.reads import ReadRows
from infarct_vol.trial import run_study


@pytest.fixture
def trial(tmp_path):
    return tmp_path, write_review_trial(tmp_path)


def edited(trial, item, key, voxels, **given) -> tuple[MaskVersion, ...]:
    out, record = trial
    return save_edit(open_canvas(out, record, item, protocol=PROTOCOL, **given), key, voxels)


def reviewed(trial, *standings):
    out, record = trial
    return reviewed_record(record, {each.item: each for each in standings}, out=out)


def row_of(record, session, parameter):
    return next(r for r in record.rows if (r.session_id, r.parameter) == (session, parameter))


def changes_of(record):
    return {(row.visit, row.parameter): row for row in participant_changes(record, protocol=PROTOCOL)}


# ---------------------------------------------------------------- decisions


def test_nothing_decided_is_the_same_record(trial):
    out, record = trial
    assert reviewed_record(record, {}, out=out) is record
    other = standing(record, MONTH3, "accept").model_copy(
        update={"item": Item("sub-002", "ses-M03", "flair")}
    )
    assert reviewed(trial, other) is record
    assert reviewed(trial, standing(record, MONTH3, None, state="open")) is record


def test_accepted_rows_are_reviewed_and_keep_their_numbers(trial):
    _, record = trial
    found = reviewed(trial, standing(record, MONTH3, "accept"))
    for parameter in ("infarct", "infarct_flair", "cavity", "new_lesion"):
        before, after = row_of(record, "ses-M03", parameter), row_of(found, "ses-M03", parameter)
        assert after == before.model_copy(update={"status": "reviewed"})
    assert row_of(found, "ses-M06", "infarct").status == "measured"
    assert row_of(found, "ses-BL", "infarct").status == "measured"
    assert found.visits == record.visits
    assert changes_of(found)["month3", "infarct"].status == "reviewed"


def test_dwi_and_flair_of_the_baseline_are_judged_apart(trial):
    _, record = trial
    by_dwi = reviewed(trial, standing(record, BASELINE_DWI, "accept"))
    by_flair = reviewed(trial, standing(record, BASELINE_FLAIR, "accept"))
    parameters = ("infarct", "infarct_dwi", "infarct_flair")
    assert [row_of(by_dwi, "ses-BL", p).status for p in parameters] == ["reviewed", "reviewed", "measured"]
    assert [row_of(by_flair, "ses-BL", p).status for p in parameters] == ["measured", "measured", "reviewed"]


def test_an_accepted_edit_gives_the_volume_of_its_mask(trial):
    _, record = trial
    # 80 voxels, 1.6 mL; the cavity keeps 40 of 50
    versions = edited(trial, MONTH3, "flair", block((0, 10), (0, 8), (0, 1)))
    found = reviewed(trial, standing(record, MONTH3, "accept", *versions))
    row = row_of(found, "ses-M03", "infarct")
    assert (row.status, row.volume_ml, row.voxel_count) == ("edited", pytest.approx(1.6), 80)
    assert (row.automatic_volume_ml, row.edit_difference_ml) == (pytest.approx(3.0), pytest.approx(-1.4))
    assert row.edit_dice == pytest.approx(2 * 80 / 230)
    assert row.source == f"edited: {WHO}, {UTC}"
    assert row.mask_path == versions[0].path
    assert (row.volume_ml_low, row.volume_ml_high) == (versions[0].volume_ml_low, versions[0].volume_ml_high)
    cavity = row_of(found, "ses-M03", "cavity")
    assert (cavity.status, cavity.volume_ml) == ("edited", pytest.approx(0.8))
    assert row_of(found, "ses-M03", "new_lesion").status == "reviewed"

    visit = found.visit("month3")
    assert visit.masks["flair"] == versions[0].path
    assert visit.masks["flair_automatic"] == record.visit("month3").masks["flair"]
    assert visit.components["flair"] == versions[0].components
    assert found.outputs[versions[0].path] == versions[0].sha256
    # 80 of the baseline's 200 voxels are still infarct
    assert (visit.persistent_ml, visit.resolved_ml, visit.new_ml) == (
        pytest.approx(1.6),
        pytest.approx(2.4),
        0.0,
    )
    change = changes_of(found)["month3", "infarct"]
    assert (change.status, change.change_ml) == ("edited", pytest.approx(1.6 - 4.0))


def test_an_edit_of_the_baseline_accounts_for_every_follow_up_again(trial):
    _, record = trial
    versions = edited(trial, BASELINE_DWI, "dwi", block((0, 10), (0, 10), (0, 1)))
    found = reviewed(trial, standing(record, BASELINE_DWI, "accept", *versions))
    assert row_of(found, "ses-BL", "infarct").volume_ml == pytest.approx(2.0)
    assert row_of(found, "ses-BL", "infarct_flair").volume_ml == pytest.approx(4.0)
    # month 3 holds 150 voxels, 100 of them in the new baseline; month 6 is the new baseline
    month3, month6 = found.visit("month3"), found.visit("month6")
    assert [month3.persistent_ml, month3.resolved_ml, month3.new_ml] == pytest.approx([2.0, 0.0, 1.0])
    assert [month6.persistent_ml, month6.resolved_ml, month6.new_ml] == pytest.approx([2.0, 0.0, 0.0])
    for visit, infarct in ((month3, 3.0), (month6, 2.0)):
        assert visit.persistent_ml + visit.new_ml == pytest.approx(infarct)
        assert visit.persistent_ml + visit.resolved_ml == pytest.approx(2.0)


def test_without_an_edit_the_accounting_is_that_of_the_run(trial):
    out, record = trial
    versions = edited(trial, MONTH3, "flair", INFARCTS["ses-M03"] | block((11, 12), (11, 12), (3, 4)))
    found = reviewed(trial, standing(record, MONTH3, "accept", *versions)).visit("month3")
    before = record.visit("month3")
    assert found.persistent_ml == pytest.approx(before.persistent_ml)
    assert found.resolved_ml == pytest.approx(before.resolved_ml)
    assert found.new_ml == pytest.approx(VOXEL_ML)


def test_an_edit_that_changes_nothing_is_the_automatic_mask(trial):
    _, record = trial
    versions = edited(trial, MONTH3, "flair", INFARCTS["ses-M03"])
    found = reviewed(trial, standing(record, MONTH3, "accept", *versions))
    assert row_of(found, "ses-M03", "infarct").status == "reviewed"
    assert found.visits == record.visits


def test_an_edit_to_nothing_is_0_ml(trial):
    _, record = trial
    versions = edited(trial, MONTH3, "flair", np.zeros(GRID.shape, dtype=bool))
    found = reviewed(trial, standing(record, MONTH3, "accept", *versions))
    assert [row_of(found, "ses-M03", p).volume_ml for p in ("infarct", "cavity")] == [0.0, 0.0]
    assert found.visit("month3").resolved_ml == pytest.approx(4.0)
    assert changes_of(found)["month3", "infarct"].percent_change == pytest.approx(-100.0)


def test_a_rejected_mask_has_no_volume_and_says_who_and_why(trial):
    _, record = trial
    found = reviewed(trial, standing(record, MONTH3, "reject", reason="motion"))
    for parameter in ("infarct", "infarct_flair", "cavity", "new_lesion"):
        row = row_of(found, "ses-M03", parameter)
        assert (row.status, row.volume_ml, row.voxel_count) == ("excluded", None, None)
        assert row.reason == f"rejected by {WHO}: motion"
    visit = found.visit("month3")
    assert (visit.status, visit.reason) == ("excluded", f"rejected by {WHO}: motion")
    assert (visit.persistent_ml, visit.resolved_ml, visit.new_ml) == (None, None, None)
    assert "flair" not in visit.components
    change = changes_of(found)["month3", "infarct"]
    assert (change.status, change.change_ml, change.reason) == (
        "excluded",
        None,
        f"rejected by {WHO}: motion",
    )


def test_a_rejected_baseline_leaves_no_change(trial):
    _, record = trial
    found = reviewed(trial, standing(record, BASELINE_DWI, "reject", reason="wrong side"))
    change = changes_of(found)["month6", "infarct"]
    assert (change.status, change.change_ml) == ("excluded", None)
    assert change.reason == f"no baseline value: rejected by {WHO}: wrong side"
    assert found.visit("month6").persistent_ml is None
    assert row_of(found, "ses-M06", "infarct").volume_ml == pytest.approx(2.0)


def test_not_measurable_is_never_0(trial):
    _, record = trial
    found = reviewed(trial, standing(record, MONTH3, "not_measurable", reason="metal"))
    row = row_of(found, "ses-M03", "infarct")
    assert (row.status, row.volume_ml) == ("not_measurable", None)
    assert row.reason == f"not measurable, decided by {WHO}: metal"
    assert found.visit("month3").status == "not_measurable"


def test_a_query_leaves_the_value_and_is_flagged(trial):
    _, record = trial
    found = reviewed(trial, standing(record, MONTH3, "query", state="query", reason="old scar?"))
    row = row_of(found, "ses-M03", "cavity")
    assert (row.status, row.volume_ml) == ("measured", pytest.approx(1.0))
    assert row.flags == "query open: old scar? (FLAIR)"
    assert found.visit("month3").flags == ("query open: old scar? (FLAIR)",)


def test_an_edit_without_a_decision_does_not_count(trial):
    _, record = trial
    edited(trial, MONTH3, "flair", np.zeros(GRID.shape, dtype=bool))
    found = reviewed(trial, standing(record, MONTH3, None, state="open", waiting=True))
    row = row_of(found, "ses-M03", "infarct")
    assert (row.status, row.volume_ml) == ("measured", pytest.approx(3.0))
    assert row.flags == "an edit of the FLAIR waits for a decision"


def test_two_reads_that_differ_wait(trial):
    _, record = trial
    found = reviewed(trial, standing(record, BASELINE_DWI, None, state="disagreement"))
    assert row_of(found, "ses-BL", "infarct").flags == "two reads of the DWI differ: waits for adjudication"
    assert row_of(found, "ses-BL", "infarct").status == "measured"


@pytest.mark.parametrize(
    "changes",
    [
        {"scan_sha256": "0" * 64},
        {"judged": {"flair": "0" * 64}},
        {"judged": {"flair": "", "cavity": "1" * 64}},
    ],
)
def test_a_decision_on_something_else_does_not_count(trial, changes):
    _, record = trial
    found = reviewed(trial, standing(record, MONTH3, "reject", **changes))
    row = row_of(found, "ses-M03", "infarct")
    assert (row.status, row.volume_ml) == ("measured", pytest.approx(3.0))
    assert row.flags == "FLAIR: reviewed before the input changed; review again"


def test_an_edit_of_another_automatic_mask_does_not_count(trial):
    _, record = trial
    (version,) = edited(trial, BASELINE_DWI, "dwi", block((0, 1), (0, 1), (0, 1)))
    stale = version.model_copy(update={"automatic_sha256": "0" * 64})
    found = reviewed(trial, standing(record, BASELINE_DWI, "accept", stale))
    row = row_of(found, "ses-BL", "infarct")
    assert (row.status, row.volume_ml) == ("measured", pytest.approx(4.0))
    assert "review again" in row.flags


def test_a_rejected_registration_empties_the_accounting_only(trial):
    _, record = trial
    found = reviewed(trial, standing(record, MONTH3_MOVED, "reject", reason="turned"))
    visit = found.visit("month3")
    assert (visit.persistent_ml, visit.resolved_ml, visit.new_ml) == (None, None, None)
    assert visit.flags == (f"registration of BL to M03 rejected by {WHO}: turned",)
    assert row_of(found, "ses-M03", "infarct").volume_ml == pytest.approx(3.0)
    assert found.visit("month6").persistent_ml == pytest.approx(2.0)
    change = changes_of(found)["month3", "infarct"]
    assert (change.change_ml, change.persistent_ml) == (pytest.approx(-1.0), None)


def test_a_rejected_registration_of_the_baseline_empties_all_of_it(trial):
    _, record = trial
    found = reviewed(trial, standing(record, BASELINE_MOVED, "reject", reason="off"))
    assert [found.visit(name).persistent_ml for name in ("month3", "month6")] == [None, None]
    assert found.visit("month6").flags == (
        "no accounting: the registration of the baseline images was rejected",
    )
    assert reviewed(trial, standing(record, BASELINE_MOVED, "accept")).visits == record.visits


def test_a_transform_that_was_altered_gives_no_accounting(trial):
    out, record = trial
    path = record.visit("month3").registrations[0].path
    (out / path).write_text((out / path).read_text() + "\n")
    versions = edited(trial, MONTH3, "flair", block((0, 10), (0, 8), (0, 1)))
    found = reviewed(trial, standing(record, MONTH3, "accept", *versions)).visit("month3")
    assert found.persistent_ml is None
    assert found.flags[0].startswith(f"no accounting: {path} was altered")


def test_the_mean_of_two_reads_is_the_volume_of_no_single_mask(trial):
    _, record = trial
    (version,) = edited(trial, BASELINE_DWI, "dwi", block((0, 10), (0, 10), (0, 1)))
    mean = standing(
        record,
        BASELINE_DWI,
        "accept",
        version,
        volume_ml=2.5,
        readers=("R. One", "R. Two"),
        sources=(version.path, "other.nii.gz"),
    )
    row = row_of(reviewed(trial, mean), "ses-BL", "infarct")
    assert (row.status, row.volume_ml, row.voxel_count) == ("edited", 2.5, None)
    assert (row.automatic_volume_ml, row.edit_difference_ml) == (pytest.approx(4.0), pytest.approx(-1.5))
    assert row.source == f"mean of two reads: {version.path}, other.nii.gz"
    assert row.mask_path == version.path


def test_the_mean_of_one_mask_with_itself_is_that_mask(trial):
    _, record = trial
    volume_ml = row_of(record, "ses-BL", "infarct").volume_ml
    row = row_of(
        reviewed(trial, standing(record, BASELINE_DWI, "accept", volume_ml=volume_ml)), "ses-BL", "infarct"
    )
    assert (row.status, row.source, row.voxel_count) == ("reviewed", "automatic", 200)


def test_a_row_that_had_no_value_gets_that_of_a_reader(trial):
    _, record = trial
    (version,) = edited(trial, MONTH3, "new_lesion", block((11, 12), (11, 12), (0, 1)))
    without = row_of(record, "ses-M03", "new_lesion").model_copy(
        update={"status": "not_measurable", "volume_ml": None, "reason": "not told apart", "mask_path": None}
    )
    rows = tuple(without if r.parameter == "new_lesion" else r for r in record.rows)
    changed = trial[0], record.model_copy(update={"rows": rows})
    row = row_of(reviewed(changed, standing(record, MONTH3, "accept", version)), "ses-M03", "new_lesion")
    assert (row.status, row.volume_ml, row.reason) == ("edited", pytest.approx(0.02), "")


# ---------------------------------------------------------------- the records of a folder


def entered(out, item, verdict, *versions, who=WHO, reason="because", kind="open"):
    """Enter an edit and a decision as the desk does."""
    trail = AuditTrail(out)
    for version in versions:
        version = version.model_copy(update={"kind": kind})
        trail.append(EDIT, subject=item.subject, who=who, reason=reason, new=version.model_dump_json())
    record = next(r for r in RecordStore(out) if r.participant_id == item.participant_id)
    judged = standing(record, item, verdict, *versions)
    row = next(
        r for r in record.rows if r.session_id == item.session_id and r.parameter == f"infarct_{item.image}"
    )
    volume_ml = versions[0].volume_ml if versions else row.volume_ml
    decision = Decision(
        verdict=verdict, kind=kind, masks=judged.judged, scan_sha256=judged.scan_sha256, volume_ml=volume_ml
    )
    trail.append(DECISION, subject=item.subject, who=who, reason=reason, new=decision.model_dump_json())


def test_a_folder_without_decisions_is_read_as_ever(trial):
    out, record = trial
    AuditTrail(out).append("unblinding", subject="tables")
    assert list(ReviewedStore(out, PROTOCOL)) == list(VerifiedStore(out)) == [record]
    assert ReviewedStore(out, PROTOCOL).reads == ()


def test_decisions_of_the_trail_are_taken_over(trial):
    out, record = trial
    versions = edited(trial, MONTH3, "flair", block((0, 10), (0, 8), (0, 1)))
    entered(out, MONTH3, "accept", *versions)
    store = ReviewedStore(out, PROTOCOL)
    (found,) = store
    assert row_of(found, "ses-M03", "infarct").volume_ml == pytest.approx(1.6)
    assert store.problems == []
    assert [row.status for row in RecordStore(out).__iter__().__next__().rows] == ["measured"] * len(
        record.rows
    )


def test_a_version_that_changed_on_disk_is_no_value_any_more(trial):
    out, _ = trial
    versions = edited(trial, MONTH3, "flair", block((0, 10), (0, 8), (0, 1)))
    entered(out, MONTH3, "accept", *versions)
    (out / versions[0].path).unlink()
    store = ReviewedStore(out, PROTOCOL)
    (found,) = store
    row = row_of(found, "ses-M03", "infarct")
    assert (row.status, row.volume_ml) == ("failed", None)
    assert row.reason.endswith("it is gone or unreadable; put it back from a copy, or review again")
    assert len(store.problems) == 2
    assert found.visit("month3").persistent_ml is None


# ---------------------------------------------------------------- from a decision to the tables

TIMES = {"BL": "2026-03-01T09:00:00", "M01": "2026-03-31", "M03": "2026-05-30"}
BLINDED = Protocol(study_id="TOY", review={"reads": 2, "endpoint_rule": "mean"})


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """Two participants of 100, 60 and 40 voxels: 2.0, 1.2 and 0.8 mL. Pictures have tests of their own."""
    monkeypatch.setattr(trial_module, "render_participant", lambda *_, **__: None)
    monkeypatch.setattr(trial_module, "figure_paths", lambda *_: ())
    monkeypatch.setattr(results_module, "report_run", lambda *_, **__: None)
    monkeypatch.setattr(results_module, "write_report", lambda out, **_: out)
    sessions = tuple(
        ToySession(name, time, voxels)
        for (name, time), voxels in zip(TIMES.items(), (100, 60, 40), strict=True)
    )
    study, masks = write_toy_trial(
        tmp_path, {name: ToyParticipant(sessions) for name in ("sub-001", "sub-002")}
    )
    return study, masks, tmp_path / "out"


def first_voxels(count: int) -> np.ndarray:
    data = np.zeros(SHAPE, dtype=bool)
    data.ravel()[:count] = True
    return data


def toy_edit(out: Path, item: Item, count: int) -> tuple[MaskVersion, ...]:
    record = next(r for r in RecordStore(out) if r.participant_id == item.participant_id)
    canvas = open_canvas(out, record, item, protocol=load_protocol(out / "protocol.toml"))
    return save_edit(canvas, item.image, first_voxels(count))


def tree(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_tables_follow_an_accepted_edit_and_a_run_keeps_it(toy):
    study, masks, out = toy
    run_study(study, out, protocol=Protocol(study_id="TOY"), masks=masks)
    before = tree(out / "tables")
    item = Item("sub-001", "ses-M01", "flair")
    entered(out, item, "accept", *toy_edit(out, item, 50), reason="too large")
    assert remake_tables(out).exit_code == 0

    tables = read_tables(out)
    rows = tables.volumes.set_index(["participant_id", "visit", "parameter"])
    row = rows.loc["sub-001", "month1", "infarct"]
    assert (row["status"], row["volume_ml"]) == ("edited", pytest.approx(1.0))
    assert row["automatic_volume_ml"] == pytest.approx(1.2)
    assert row["source"].startswith(f"edited: {WHO}, 20")
    assert rows.loc["sub-002", "month1", "infarct"]["volume_ml"] == pytest.approx(1.2)
    change = tables.change.set_index(["participant_id", "visit", "parameter"])
    assert change.loc["sub-001", "month1", "infarct"]["change_ml"] == pytest.approx(-1.0)
    assert change.loc["sub-001", "month1", "infarct"]["status"] == "edited"
    parts = tables.components.query("participant_id == 'sub-001' and visit == 'month1'")
    assert parts["volume_ml"].sum() == pytest.approx(1.0)
    assert set(parts["mask_path"]) == {row["mask_path"]}
    summary = tables.summary.query("visit == 'month1' and parameter == 'infarct'")
    assert summary["volume_mean"].iloc[0] == pytest.approx(1.1)
    dataset = list(csv.DictReader((out / "tables" / "adam" / "adinfvol.csv").open(newline="")))
    (analysed,) = (
        r
        for r in dataset
        if (r["SUBJID"], r["AVISIT"], r["PARAMCD"], r["ANL01FL"]) == ("001", "Month 1", "INFVOL", "Y")
    )
    assert (float(analysed["AVAL"]), float(analysed["CHG"])) == pytest.approx((1.0, -1.0))
    assert (analysed["STATUS"], analysed["MASKPATH"]) == ("edited", row["mask_path"])
    assert analysed["MASKSHA"].startswith(row["mask_path"].partition("desc-edit")[2][:12])
    nv = list(csv.DictReader((out / "tables" / "sdtm" / "nv.csv").open(newline="")))
    evaluators = {r["NVEVAL"] for r in nv if r["NVMASK"] == row["mask_path"]}
    assert evaluators == {"READER"}

    after = tree(out / "tables")
    assert after != before
    again = run_study(study, out, protocol=Protocol(study_id="TOY"), masks=masks)
    assert (again.redone, again.kept) == (0, 2)
    assert tree(out / "tables") == after


def test_the_hashes_of_all_tables_are_written_down(toy):
    study, masks, out = toy
    run_study(study, out, protocol=Protocol(study_id="TOY"), masks=masks)
    listed = json.loads((out / "provenance" / "tables.json").read_text())
    assert listed == {f"tables/{name}": digest for name, digest in tree(out / "tables").items()}
    assert "tables/adam/adinfvol.xpt" in listed
    assert not (out / "tables" / "reads.csv").exists()


def test_the_study_is_found_again_from_its_results(toy, tmp_path):
    study, masks, out = toy
    run_study(study, out, protocol=Protocol(study_id="TOY"), masks=masks)
    assert json.loads((out / "provenance" / "study.json").read_text()) == {"study": "../study"}
    assert study_of(out).resolve() == study.resolve()
    assert study_of(out, stated=masks) == masks
    with pytest.raises(StudyError, match="no study folder at"):
        study_of(out, stated=tmp_path / "nowhere")
    (out / "provenance" / "study.json").unlink()
    with pytest.raises(StudyError, match="does not say where its study is; name it with --study"):
        study_of(out)


def test_a_locked_study_is_neither_run_nor_tabulated_but_may_be_unblinded(toy, tmp_path, monkeypatch):
    study, masks, out = toy
    run_study(study, out, protocol=Protocol(study_id="TOY"), masks=masks)

    def refuse(_out: Path) -> None:
        msg = "the study is locked"
        raise LockedStudyError(msg)

    for module in (results_module, trial_module):
        monkeypatch.setattr(module, "require_unlocked", refuse)
    with pytest.raises(LockedStudyError, match="is locked"):
        run_study(study, out, protocol=Protocol(study_id="TOY"), masks=masks)
    with pytest.raises(LockedStudyError, match="is locked"):
        remake_tables(out)
    arms = tmp_path / "arms.csv"
    arms.write_text("participant_id,arm\nsub-001,A\nsub-002,B\n")
    assert remake_tables(out, randomization=arms).exit_code == 0


# ---------------------------------------------------------------- reads


def test_two_blinded_readers_and_a_second_read_are_compared_by_agree(toy):
    study, masks, out = toy
    run_study(study, out, protocol=BLINDED, masks=masks)
    trail = AuditTrail(out)
    trail.append(READING_OPENED, subject="reading", new="key")
    readers = Readers(out, trail)
    for name in ("A. One", "B. Two"):
        readers.enrol(name, "a passphrase of length")
    # reader 1 accepts what the run measured (2.0, 1.2, 0.8 mL), reader 2 draws 10 voxels (0.2 mL) more
    for participant_id in ("sub-001", "sub-002"):
        for session, image, count in (
            ("ses-BL", "dwi", 100),
            ("ses-M01", "flair", 60),
            ("ses-M03", "flair", 40),
        ):
            item = Item(participant_id, session, image)
            entered(out, item, "accept", who="A. One", kind="read")
            entered(out, item, "accept", *toy_edit(out, item, count + 10), who="B. Two", kind="read")
            entered(out, item, "accept", *toy_edit(out, item, count + 2), who="A. One", kind="reread")
    remake_tables(out)

    rows = list(csv.DictReader((out / "tables" / "reads.csv").open(newline="")))
    assert len(rows) == 2 * 3 * 3
    assert {row["reader"] for row in rows} == {"Reader 1", "Reader 2"}
    assert "A. One" not in (out / "tables" / "reads.csv").read_text()
    automatic = next(row for row in rows if row["reader"] == "Reader 1" and row["read_number"] == "1")
    assert hashlib.sha256((out / automatic["mask_path"]).read_bytes()).hexdigest() == automatic["mask_sha256"]
    folder = out / "tables" / "reads"
    assert [path.name for path in sorted(folder.iterdir())] == [
        "reader-1_read-1.csv",
        "reader-1_read-2.csv",
        "reader-2_read-1.csv",
    ]
    inter = iv.agree(folder / "reader-1_read-1.csv", folder / "reader-2_read-1.csv")
    assert len(inter.rows) == 6
    assert [row.difference_ml for row in inter.rows] == pytest.approx([0.2] * 6)
    # 100 of 110 voxels are in both masks
    assert max(row.dice for row in inter.rows) == pytest.approx(2 * 100 / 210)
    intra = iv.agree(folder / "reader-1_read-1.csv", folder / "reader-1_read-2.csv")
    assert [row.difference_ml for row in intra.rows] == pytest.approx([0.04] * 6)

    volumes = read_tables(out).volumes.set_index(["participant_id", "visit", "parameter"])
    row = volumes.loc["sub-001", "month1", "infarct"]
    assert (row["status"], row["volume_ml"]) == ("edited", pytest.approx(1.3))
    assert row["source"].startswith("mean of two reads: ")
    listed = json.loads((out / "provenance" / "tables.json").read_text())
    assert "tables/reads/reader-2_read-1.csv" in listed


def test_tables_of_reads_are_gone_when_there_are_none(toy):
    study, masks, out = toy
    run_study(study, out, protocol=Protocol(study_id="TOY"), masks=masks)
    (out / "tables" / "reads").mkdir()
    (out / "tables" / "reads" / "reader-9_read-1.csv").write_text("x\n")
    (out / "tables" / "reads.csv").write_text("x\n")
    remake_tables(out)
    assert not (out / "tables" / "reads.csv").exists()
    assert not list((out / "tables").rglob("reader-9*"))


def test_reads_are_named_by_role_and_number(trial):
    _, record = trial
    reads = ReadRows(
        [
            Read(item=MONTH3, kind="adjudication", role="adjudicator", verdict="accept", volume_ml=1.0),
            Read(item=MONTH3, kind="read", reader=2, verdict="not_measurable"),
            Read(item=BASELINE_MOVED, kind="read", verdict="reject"),
            Read(item=Item("sub-001", "ses-M99", "flair"), kind="read", verdict="accept", volume_ml=1.0),
        ]
    )
    reads.add(record)
    assert [(r.reader, r.parameter, r.visit, r.volume_ml) for r in reads.rows] == [
        ("Adjudicator 1", "infarct_flair", "month3", 1.0),
        ("Reader 2", "infarct_flair", "month3", None),
    ]
    assert [name for name, _ in reads.tables()] == ["reads/adjudicator-1_read-1", "reads/reader-2_read-1"]

"""The reader's desk: looking, judging, correcting, blinded reading, conflicts; without a page."""

from __future__ import annotations

import json
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
from desk_trial import item_of, run_toy, shown_voxels
from toy_trials import GRID, SHAPE, VOXEL_ML

from infarct_vol.desk import Desk, Judgement
from infarct_vol.errors import (
    ConflictError,
    GridMismatchError,
    LockedStudyError,
    MaskError,
    NotAllowedError,
    ReviewError,
    ScanRefusedError,
    StudyError,
)
from infarct_vol.files import gzip_bytes
from infarct_vol.geometry import Grid
from infarct_vol.nifti import load_mask, load_scan, nifti_bytes
from infarct_vol.protocol import Protocol
from infarct_vol.results import remake_tables
from infarct_vol.review.cases import UnknownCaseError
from infarct_vol.settings import ReviewSettings
from infarct_vol.tables import read_tables

PHRASE = "correct horse battery"
BLINDED = Protocol(review=ReviewSettings(reads=2, reread_percent=50, mask_visit_order=True))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    return run_toy(tmp_path_factory.mktemp("open"))


@pytest.fixture(scope="module")
def finished_blinded(tmp_path_factory):
    return run_toy(tmp_path_factory.mktemp("blinded"), protocol=BLINDED)


def copied(out: Path, tmp_path: Path) -> Desk:
    """Return a desk on a copy of a run, beside its study."""
    shutil.copytree(out.parent, tmp_path / "trial")
    return Desk(tmp_path / "trial" / "out")


@pytest.fixture
def desk(finished, tmp_path):
    return copied(finished, tmp_path)


@pytest.fixture
def ada(desk):
    return desk.readers.enrol("Ada", PHRASE)


@pytest.fixture
def ben(desk):
    return desk.readers.enrol("Ben", PHRASE)


def first_case(desk, reader):
    return desk.case(reader, desk.worklist(reader)["cases"][0]["code"])


def judgement(item, verdict="accept", *, reason="", revision=None, masks=None):
    given = {mask["key"]: mask["sha256"] for mask in item.get("masks", [])} if masks is None else masks
    at = item["revision"] if revision is None else revision
    return Judgement(item=item["item"], verdict=verdict, reason=reason, revision=at, masks=given)


def drawn(desk, reader, code, item, key, change):
    """Return a mask of the page with some voxels changed, as the page sends it."""
    voxels = shown_voxels(desk.mask(reader, code, item, key))
    change(voxels)
    return voxels.tobytes(order="F")


def save(desk, reader, case, name, change, *, key="flair", reason="rim was missed", revision=None):
    item = item_of(case, name)
    parent = next(mask["sha256"] for mask in item["masks"] if mask["key"] == key)
    voxels = drawn(desk, reader, case["code"], name, key, change)
    at = item["revision"] if revision is None else revision
    return desk.save_mask(
        reader, case["code"], name, key, voxels, parent_sha256=parent, revision=at, reason=reason
    )


def add_ten(voxels):
    free = np.flatnonzero(voxels.ravel(order="F") == 0)[:10]
    voxels[np.unravel_index(free, voxels.shape, order="F")] = 1


# ---- looking ---------------------------------------------------------------------------------------------


def test_a_folder_without_results_is_refused(tmp_path):
    with pytest.raises(StudyError, match="no results"):
        Desk(tmp_path)


def test_the_worklist_has_every_participant(desk, ada):
    work = desk.worklist(ada)
    assert work["progress"] == {"done": 0, "total": 2}
    first = work["cases"][0]
    assert (first["title"], first["kind"], first["status"], first["edited"]) == (
        "sub-001",
        "open",
        "todo",
        False,
    )
    assert [v["volume_ml"] for v in first["visits"][:3]] == pytest.approx([101 * 0.02, 61 * 0.02, 51 * 0.02])
    assert first["visits"][1]["change_ml"] == pytest.approx(-40 * VOXEL_ML)
    assert first["visits"][1]["percent_change"] == pytest.approx(-100 * 40 / 101)
    assert first["visits"][3]["status"] == "missing"


def test_a_case_shows_images_masks_and_neighbours(desk, ada):
    case = first_case(desk, ada)
    assert case["previous"] is None
    assert case["next"] == desk.worklist(ada)["cases"][1]["code"]
    assert [panel["id"] for panel in case["panels"]] == ["v1.dwi", "v1.flair", "v2.flair", "v3.flair"]
    assert case["reference"] == "v1.flair"
    mask = item_of(case, "v2.flair")["masks"][0]
    assert (mask["label"], mask["source"], mask["volume_ml"]) == ("Infarct", "external", pytest.approx(1.22))
    assert json.dumps(case)


def test_a_volume_is_the_scan_turned_with_its_window(desk, ada):
    case = first_case(desk, ada)
    content = desk.volume(ada, case["code"], "v2.flair")
    assert tuple(np.frombuffer(content[42:48], dtype="<i2")) == SHAPE
    slope, intercept = np.frombuffer(content[112:120], dtype="<f4")
    stored = np.frombuffer(content[352:], dtype="<i2").astype(np.float64) * slope + intercept
    (path,) = (desk.out.parent / "study").glob("sub-001/ses-M01/anat/*_FLAIR.nii.gz")
    scan = load_scan(path, modality="flair").data
    assert np.abs(stored.reshape(SHAPE, order="F") - scan).max() <= 0.51 * slope
    high, low = np.frombuffer(content[124:132], dtype="<f4")
    assert low < 100 < high


def test_a_mask_is_shown_on_the_grid_of_its_scan(desk, ada):
    case = first_case(desk, ada)
    assert shown_voxels(desk.mask(ada, case["code"], "v2.flair", "flair")).sum() == 61


@pytest.mark.parametrize("name", ["nobody", "", "../x"])
def test_an_unknown_case_is_refused(desk, ada, name):
    with pytest.raises(UnknownCaseError, match="no case"):
        desk.case(ada, name)


@pytest.mark.parametrize("panel", ["v9.flair", "v1", "v1.t1w", "v2.dwi", ""])
def test_an_unknown_panel_is_refused(desk, ada, panel):
    with pytest.raises(UnknownCaseError, match="no panel"):
        desk.volume(ada, first_case(desk, ada)["code"], panel)


@pytest.mark.parametrize(("item", "key"), [("v9.flair", "flair"), ("v2.flair", "dwi"), ("v2.flair", "../x")])
def test_an_unknown_mask_is_refused(desk, ada, item, key):
    with pytest.raises(UnknownCaseError):
        desk.mask(ada, first_case(desk, ada)["code"], item, key)


def test_a_download_is_on_the_native_grid(desk, ada, tmp_path):
    case = first_case(desk, ada)
    name, content = desk.download(ada, case["code"], "v2.flair", "flair")
    assert name == "sub-001_ses-M01_flair_desc-flair_mask.nii.gz"
    (tmp_path / name).write_bytes(content)
    mask = load_mask(tmp_path / name)
    assert mask.grid.is_same_as(GRID)
    assert mask.voxel_count == 61
    name, content = desk.download(ada, case["code"], "v2.flair", "scan")
    assert name == "sub-001_ses-M01_flair.nii.gz"


# ---- judging ---------------------------------------------------------------------------------------------


def test_an_accepted_mask_is_reviewed_in_the_tables(desk, ada):
    case = first_case(desk, ada)
    shown = desk.judge(ada, case["code"], [judgement(item_of(case, "v2.flair"))])
    decision = item_of(shown, "v2.flair")["decision"]
    assert (decision["verdict"], decision["who"], decision["volume_ml"]) == (
        "accept",
        "Ada",
        pytest.approx(1.22),
    )
    remake_tables(desk.out)
    row = volume_row(desk.out, "sub-001", "month1")
    assert (row["status"], row["volume_ml"]) == ("reviewed", pytest.approx(1.22))


def volume_row(out, participant, visit):
    table = read_tables(out).volumes
    chosen = table[(table["participant_id"] == participant) & (table["visit"] == visit)]
    return chosen[chosen["parameter"] == "infarct"].iloc[0]


def test_a_case_is_done_when_all_of_it_was_judged(desk, ada):
    case = first_case(desk, ada)
    items = [*(i for v in case["visits"] for i in v["items"])]
    items += [v["registration"] for v in case["visits"] if v["registration"]]
    shown = desk.judge(ada, case["code"], [judgement(item) for item in items])
    assert {e["action"] for e in shown["history"]} == {"decision"}
    line = desk.worklist(ada)["cases"][0]
    assert (line["status"], line["done"]) == ("done", line["total"])
    assert desk.worklist(ada)["progress"]["done"] == 1


@pytest.mark.parametrize("verdict", ["reject", "query", "not_measurable"])
def test_a_reason_is_needed(desk, ada, verdict):
    case = first_case(desk, ada)
    with pytest.raises(ReviewError, match="a reason is needed"):
        desk.judge(ada, case["code"], [judgement(item_of(case, "v2.flair"), verdict, reason="  ")])


@pytest.mark.parametrize(
    ("verdict", "status", "of_case"),
    [("reject", "excluded", "rejected"), ("not_measurable", "not_measurable", "rejected")],
)
def test_what_has_no_value_is_never_0(desk, ada, verdict, status, of_case):
    case = first_case(desk, ada)
    items = [i for v in case["visits"] for i in [*v["items"], v["registration"]] if i is not None]
    judged = [
        judgement(i, verdict, reason="motion") if i["item"] == "v2.flair" else judgement(i) for i in items
    ]
    desk.judge(ada, case["code"], judged)
    assert desk.worklist(ada)["cases"][0]["status"] == of_case
    remake_tables(desk.out)
    row = volume_row(desk.out, "sub-001", "month1")
    assert row["status"] == status
    assert np.isnan(row["volume_ml"])
    assert "motion" in row["reason"]


def test_a_query_stays_to_be_done(desk, ada):
    case = first_case(desk, ada)
    desk.judge(ada, case["code"], [judgement(item_of(case, "v2.flair"), "query", reason="which side?")])
    assert desk.worklist(ada)["cases"][0]["status"] == "query"
    remake_tables(desk.out)
    row = volume_row(desk.out, "sub-001", "month1")
    assert (row["status"], row["volume_ml"]) == ("measured", pytest.approx(1.22))
    assert "which side?" in row["flags"]


def test_a_signature_replayed_onto_another_mask_is_refused(desk, ada):
    case = first_case(desk, ada)
    other = item_of(case, "v3.flair")["masks"][0]["sha256"]
    before = len(desk.trail.entries())
    with pytest.raises(ReviewError, match="no mask 'flair' with SHA-256"):
        desk.judge(ada, case["code"], [judgement(item_of(case, "v2.flair"), masks={"flair": other})])
    with pytest.raises(ReviewError, match="the item has"):
        desk.judge(ada, case["code"], [judgement(item_of(case, "v2.flair"), masks={})])
    assert len(desk.trail.entries()) == before


def test_a_mask_altered_on_disk_cannot_be_signed(desk, ada):
    case = first_case(desk, ada)
    path = desk.out / "sub-001/ses-M01/anat/sub-001_ses-M01_desc-infarct_mask.nii.gz"
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(ReviewError, match="not what it was"):
        desk.judge(ada, case["code"], [judgement(item_of(case, "v2.flair"))])


def test_decisions_go_together_or_not_at_all(desk, ada):
    case = first_case(desk, ada)
    wrong = judgement(item_of(case, "v3.flair"), revision=99)
    with pytest.raises(ConflictError):
        desk.judge(ada, case["code"], [judgement(item_of(case, "v2.flair")), wrong])
    shown = desk.case(ada, case["code"])
    assert item_of(shown, "v2.flair")["decision"] is None
    assert [e["action"] for e in shown["history"]] == ["decision not taken over"] * 2


def test_of_two_readers_at_once_one_is_told(desk, ada, ben):
    case = first_case(desk, ada)
    desk.judge(ben, case["code"], [judgement(item_of(case, "v2.flair"), "reject", reason="motion")])
    with pytest.raises(ConflictError, match="decided or edited meanwhile"):
        desk.judge(ada, case["code"], [judgement(item_of(case, "v2.flair"))])
    shown = desk.case(ada, case["code"])
    assert item_of(shown, "v2.flair")["decision"]["who"] == "Ben"
    assert [(e["who"], e["action"]) for e in shown["history"]] == [
        ("Ben", "decision"),
        ("Ada", "decision not taken over"),
    ]


def test_twenty_readers_at_once_get_one_answer(desk):
    names = [f"Reader {n}" for n in range(20)]
    readers = [desk.readers.enrol(name, PHRASE) for name in names]
    case = first_case(desk, readers[0])
    one = judgement(item_of(case, "v2.flair"))
    desks = [desk, Desk(desk.out)]
    won: list[str] = []
    told: list[str] = []

    def read(at):
        try:
            desks[at % 2].judge(readers[at], case["code"], [one])
            won.append(names[at])
        except ConflictError:
            told.append(names[at])

    threads = [threading.Thread(target=read, args=(at,)) for at in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(won), len(told)) == (1, 19)
    shown = desk.case(readers[0], case["code"])
    assert item_of(shown, "v2.flair")["decision"]["who"] == won[0]
    assert sorted(e["who"] for e in shown["history"]) == sorted(names)
    assert desk.trail.faults() == ()


# ---- correcting ------------------------------------------------------------------------------------------


def test_a_corrected_mask_counts_once_it_is_accepted(desk, ada):
    case = first_case(desk, ada)
    shown = save(desk, ada, case, "v2.flair", add_ten)
    mask = item_of(shown, "v2.flair")["masks"][0]
    assert (mask["source"], mask["volume_ml"], mask["difference_ml"]) == (
        "edited",
        pytest.approx(71 * VOXEL_ML),
        pytest.approx(10 * VOXEL_ML),
    )
    remake_tables(desk.out)
    before = volume_row(desk.out, "sub-001", "month1")
    assert before["volume_ml"] == pytest.approx(61 * VOXEL_ML)
    assert "waits for a decision" in before["flags"]
    desk.judge(ada, case["code"], [judgement(item_of(shown, "v2.flair"))])
    remake_tables(desk.out)
    row = volume_row(desk.out, "sub-001", "month1")
    assert (row["status"], row["volume_ml"], row["voxel_count"]) == ("edited", pytest.approx(1.42), 71)
    assert "Ada" in row["source"]
    saved = load_mask(desk.out / row["mask_path"])
    assert saved.grid.is_same_as(GRID)
    assert saved.voxel_count == 71
    change = read_tables(desk.out).change
    found = change[(change["participant_id"] == "sub-001") & (change["visit"] == "month1")].iloc[0]
    assert found["change_ml"] == pytest.approx((71 - 101) * VOXEL_ML)


def test_the_automatic_and_every_corrected_mask_are_kept(desk, ada):
    case = first_case(desk, ada)
    before = {p: p.read_bytes() for p in desk.out.rglob("*mask.nii.gz")}
    shown = save(desk, ada, case, "v2.flair", add_ten)
    save(desk, ada, shown, "v2.flair", add_ten)
    after = {p: p.read_bytes() for p in desk.out.rglob("*mask.nii.gz")}
    assert before.items() <= after.items()
    assert len(after) == len(before) + 2
    versions = item_of(desk.case(ada, case["code"]), "v2.flair")["versions"]
    assert [v["difference_ml"] for v in versions] == pytest.approx([0.2, 0.2])
    assert [v["who"] for v in versions] == ["Ada", "Ada"]


def test_a_correction_that_came_too_late_is_kept(desk, ada, ben):
    case = first_case(desk, ada)
    save(desk, ben, case, "v2.flair", add_ten)
    with pytest.raises(ConflictError):
        save(desk, ada, case, "v2.flair", lambda voxels: voxels.fill(0), revision=0, reason="no lesion")
    item = item_of(desk.case(ada, case["code"]), "v2.flair")
    assert [(v["who"], v["counts"]) for v in item["versions"]] == [("Ben", True), ("Ada", False)]
    assert item["masks"][0]["volume_ml"] == pytest.approx(1.42)
    late = item["versions"][1]["sha256"]
    assert shown_voxels(desk.mask(ada, case["code"], "v2.flair", "flair", late)).sum() == 0
    # and may be taken over on purpose
    shown = desk.judge(ada, case["code"], [judgement(item, masks={"flair": late})])
    assert item_of(shown, "v2.flair")["masks"][0]["volume_ml"] == 0.0


def test_an_emptied_mask_is_0_ml(desk, ada):
    case = first_case(desk, ada)
    shown = save(desk, ada, case, "v2.flair", lambda voxels: voxels.fill(0), reason="no lesion left")
    desk.judge(ada, case["code"], [judgement(item_of(shown, "v2.flair"))])
    remake_tables(desk.out)
    row = volume_row(desk.out, "sub-001", "month1")
    assert (row["status"], row["volume_ml"], row["lesion_count"]) == ("edited", 0.0, 0)


@pytest.mark.parametrize("reason", ["", "   ", "x" * 2001])
def test_a_correction_needs_a_reason(desk, ada, reason):
    with pytest.raises(ReviewError, match="a reason of at most"):
        save(desk, ada, first_case(desk, ada), "v2.flair", add_ten, reason=reason)


def test_nothing_changed_is_nothing_saved(desk, ada):
    with pytest.raises(ReviewError, match="nothing was changed"):
        save(desk, ada, first_case(desk, ada), "v2.flair", lambda voxels: None)


@pytest.mark.parametrize(
    ("content", "kind", "words"),
    [
        (b"", GridMismatchError, "0 voxels were sent, the image has 2400"),
        (bytes(2399), GridMismatchError, "2399 voxels"),
        (b"\x02" * 2400, ReviewError, "0 and 1 only, found 2"),
    ],
)
def test_bytes_that_are_no_mask_are_refused(desk, ada, content, kind, words):
    case = first_case(desk, ada)
    mask = item_of(case, "v2.flair")["masks"][0]
    with pytest.raises(kind, match=words):
        desk.save_mask(
            ada,
            *(case["code"], "v2.flair", "flair", content),
            parent_sha256=mask["sha256"],
            revision=0,
            reason="x",
        )


def uploaded(desk, reader, case, content, filename="mask.nii.gz"):
    mask = item_of(case, "v2.flair")["masks"][0]
    return desk.upload_mask(
        reader,
        *(case["code"], "v2.flair", "flair", content, filename),
        parent_sha256=mask["sha256"],
        revision=0,
        reason="drawn in ITK-SNAP",
    )


def test_a_mask_of_another_program_on_the_same_grid_is_taken(desk, ada):
    data = np.zeros(SHAPE, dtype=np.uint8)
    data[5:10, 5:10, 2] = 1
    case = first_case(desk, ada)
    shown = uploaded(desk, ada, case, gzip_bytes(nifti_bytes(data, GRID, dtype="uint8")))
    item = item_of(shown, "v2.flair")
    assert item["masks"][0]["volume_ml"] == pytest.approx(25 * VOXEL_ML)
    assert item["versions"][0]["tool"] == "upload"


def test_a_mask_on_another_grid_is_refused_with_both_grids(desk, ada):
    other = Grid((20, 20, 5), GRID.affine)
    content = gzip_bytes(nifti_bytes(np.ones(other.shape, dtype=np.uint8), other, dtype="uint8"))
    with pytest.raises(GridMismatchError, match=r"20x20x5 voxels.*20x20x6 voxels"):
        uploaded(desk, ada, first_case(desk, ada), content)


def test_an_upload_that_fits_the_infarct_mirrored_is_asked_back(desk, ada):
    case = first_case(desk, ada)
    item = item_of(case, "v2.flair")
    path = desk.out / next(desk.out.rglob("*ses-M01*desc-infarct_mask.nii.gz")).relative_to(desk.out)
    data = np.flip(load_mask(path).data, axis=0).astype(np.uint8)
    content = gzip_bytes(nifti_bytes(data, GRID, dtype="uint8"))
    with pytest.raises(MaskError, match="mirrored left to right.*tick 'It is meant as it is'"):
        uploaded(desk, ada, case, content)
    shown = desk.upload_mask(
        ada,
        *(case["code"], "v2.flair", "flair", content, "mask.nii.gz"),
        parent_sha256=item["masks"][0]["sha256"],
        revision=0,
        reason="seen on T2",
        confirmed=True,
    )
    assert item_of(shown, "v2.flair")["versions"][0]["tool"] == "upload"
    assert desk.trail.entries()[-1].reason.startswith("seen on T2; the mask was confirmed although it fits")


@pytest.mark.parametrize("content", [b"", b"no image", gzip_bytes(b"no image"), b"\x1f\x8b\x08"])
def test_a_file_that_is_no_mask_is_refused(desk, ada, content):
    with pytest.raises(ScanRefusedError):
        uploaded(desk, ada, first_case(desk, ada), content)
    assert not [p for p in desk.out.rglob("upload*")]


# ---- locking ---------------------------------------------------------------------------------------------


def test_a_locked_study_takes_no_change_until_it_is_unlocked(desk, ada):
    case = first_case(desk, ada)
    remake_tables(desk.out)
    with pytest.raises(NotAllowedError):
        desk.lock(ada, passphrase="something else", meaning="I freeze this")
    desk.lock(ada, passphrase=PHRASE, meaning="I freeze this")
    assert desk.case(ada, case["code"])["locked"]
    with pytest.raises(LockedStudyError, match="signed by Ada"):
        desk.judge(ada, case["code"], [judgement(item_of(case, "v2.flair"))])
    with pytest.raises(LockedStudyError):
        save(desk, ada, case, "v2.flair", add_ten)
    with pytest.raises(LockedStudyError):
        remake_tables(desk.out)
    desk.unlock(ada, passphrase=PHRASE, reason="a scan came late")
    desk.judge(ada, case["code"], [judgement(item_of(case, "v2.flair"))])


# ---- blinded reading -------------------------------------------------------------------------------------


@pytest.fixture
def blind(finished_blinded, tmp_path):
    desk = copied(finished_blinded, tmp_path)
    readers = [desk.readers.enrol(name, PHRASE) for name in ("Ada", "Ben")]
    return desk, *readers, desk.readers.enrol("Cy", PHRASE, role="adjudicator")


def judged_all(desk, reader, code):
    case = desk.case(reader, code)
    items = [i for v in case["visits"] for i in [*v["items"], v["registration"]] if i is not None]
    return desk.judge(reader, code, [judgement(i) for i in items if i["due"]])


def test_a_blinded_case_says_nothing_of_who_it_is(blind):
    desk, ada, ben, _ = blind
    line = desk.worklist(ada)["cases"][0]
    text = json.dumps([line, desk.case(ada, line["code"])])
    assert line["title"].startswith("Case ")
    for word in ("sub-001", "sub-002", "ses-", "2026-0", "month", "Month", "Ben"):
        assert word not in text
    assert {c["code"] for c in desk.worklist(ada)["cases"]}.isdisjoint(
        c["code"] for c in desk.worklist(ben)["cases"]
    )


def test_a_reader_cannot_open_the_case_of_another(blind):
    desk, ada, ben, _ = blind
    with pytest.raises(UnknownCaseError):
        desk.case(ben, desk.worklist(ada)["cases"][0]["code"])


def test_readers_do_not_see_each_other(blind):
    desk, ada, ben, cy = blind
    for line in desk.worklist(ada)["cases"]:
        case = desk.case(ada, line["code"])
        name = next(i["item"] for v in case["visits"] for i in v["items"] if i["image"] == "flair")
        save(desk, ada, case, name, add_ten)
        judged_all(desk, ada, line["code"])
    for line in desk.worklist(ben)["cases"]:
        case = desk.case(ben, line["code"])
        assert case["history"] == []
        assert line["done"] == 0
        assert all(i["versions"] == [] and i["decision"] is None for v in case["visits"] for i in v["items"])
    assert desk.worklist(cy)["cases"] == []


def test_a_signed_blinded_read_stands(blind):
    desk, ada, *_ = blind
    code = desk.worklist(ada)["cases"][0]["code"]
    case = judged_all(desk, ada, code)
    with pytest.raises(ReviewError, match="signed and stands"):
        desk.judge(ada, code, [judgement(case["visits"][0]["items"][0])])


def test_two_reads_that_differ_are_adjudicated(blind):
    desk, ada, ben, cy = blind
    for reader in (ada, ben):
        for line in desk.worklist(reader)["cases"]:
            if reader is ben:
                case = desk.case(ben, line["code"])
                for visit in case["visits"]:
                    for item in visit["items"]:
                        if item["image"] == "flair":
                            case = save(desk, ben, case, item["item"], lambda voxels: voxels.fill(1))
            judged_all(desk, reader, line["code"])
    work = desk.worklist(cy)
    assert [(c["kind"], c["status"]) for c in work["cases"]] == [("adjudication", "disagreement")] * 2
    code = work["cases"][0]["code"]
    case = desk.case(cy, code)
    due = [i for v in case["visits"] for i in v["items"] if i["due"]]
    assert all(sorted(r["number"] for r in item["reads"]) == [1, 2] for item in due)
    assert "Ada" not in json.dumps(case)
    chosen = [
        Judgement(
            item=item["item"],
            verdict="accept",
            revision=0,
            reason="the rim",
            masks={m["key"]: m["sha256"] for m in item["reads"][1]["masks"]},
            chosen=2,
        )
        for item in due
    ]
    shown = desk.judge(cy, code, chosen)
    assert all(i["decision"]["chosen"] == 2 for v in shown["visits"] for i in v["items"] if i["due"])
    lines = {c["code"]: c["status"] for c in desk.worklist(cy)["cases"]}
    assert lines[code] == "done"
    remake_tables(desk.out)
    reads = (desk.out / "tables" / "reads.csv").read_text(encoding="utf-8")
    assert "Ada" not in reads


def test_what_agrees_is_not_the_adjudicators(blind):
    desk, ada, ben, cy = blind
    for reader in (ada, ben):
        for line in desk.worklist(reader)["cases"]:
            judged_all(desk, reader, line["code"])
    assert desk.worklist(cy)["cases"] == []
    remake_tables(desk.out)
    assert volume_row(desk.out, "sub-001", "month1")["status"] == "reviewed"


def test_some_are_read_again_once_all_are_read(blind):
    desk, ada, *_ = blind
    first = desk.worklist(ada)["cases"]
    assert {c["kind"] for c in first} == {"read"}
    for line in first:
        judged_all(desk, ada, line["code"])
    again = [c for c in desk.worklist(ada)["cases"] if c["kind"] == "reread"]
    assert len(again) == 1
    assert again[0]["code"] not in {c["code"] for c in first}
    assert again[0]["status"] == "todo"
    judged_all(desk, ada, again[0]["code"])
    assert desk.worklist(ada)["cases"][-1]["status"] == "done"


def test_a_blinded_download_has_the_code_alone(blind):
    desk, ada, *_ = blind
    code = desk.worklist(ada)["cases"][0]["code"]
    item = desk.case(ada, code)["visits"][0]["items"][0]["item"]
    assert desk.download(ada, code, item, "scan")[0] == f"{code}_{item.replace('.', '_')}.nii.gz"


def test_the_same_key_stays_when_the_desk_is_opened_again(blind):
    desk, ada, *_ = blind
    codes = [c["code"] for c in desk.worklist(ada)["cases"]]
    assert [c["code"] for c in Desk(desk.out).worklist(ada)["cases"]] == codes


def test_a_run_with_other_inputs_makes_a_decision_stale(desk, ada):
    case = first_case(desk, ada)
    desk.judge(ada, case["code"], [judgement(item_of(case, "v2.flair"))])
    path = desk.out / "provenance" / "sub-001.json"
    record = json.loads(path.read_text())
    for scan in record["visits"][1]["scans"]:
        scan["sha256"] = "0" * 64
    path.write_text(json.dumps(record))
    item = item_of(desk.case(ada, case["code"]), "v2.flair")
    assert item["stale"]
    assert desk.worklist(ada)["cases"][0]["status"] == "stale"

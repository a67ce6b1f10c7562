"""Blinded reading, attacked: what one reader may learn of another, and whose reads make the endpoint."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from desk_trial import item_of, run_toy, shown_voxels
from test_review_state import ITEM, TWO, Script
from toy_trials import VOXEL_ML

from infarct_vol.desk import Desk, Judgement
from infarct_vol.errors import ReviewError
from infarct_vol.protocol import Protocol
from infarct_vol.results import remake_tables
from infarct_vol.review.cases import UnknownCaseError
from infarct_vol.review.model import Item
from infarct_vol.settings import ReviewSettings
from infarct_vol.tables import read_tables

PHRASE = "correct horse battery"
# a little more than 1 mL differs: 61 voxels are 1.22 mL
BLINDED = Protocol(review=ReviewSettings(reads=2, reread_percent=50, adjudication_ml=0.1))
FLAIR = Item("sub-001", "ses-M01", "flair")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    return run_toy(tmp_path_factory.mktemp("blinded"), protocol=BLINDED)


@pytest.fixture
def desk(finished, tmp_path):
    shutil.copytree(finished.parent, tmp_path / "trial")
    return Desk(tmp_path / "trial" / "out")


@pytest.fixture
def readers(desk):
    names = [("Ada", "reader"), ("Ben", "reader"), ("Cy", "adjudicator")]
    return [desk.readers.enrol(name, PHRASE, role=role) for name, role in names]


def case_of(desk, reader, participant="sub-001", kind="read"):
    """Return one participant's case as a reader sees it."""
    for found, name in desk.book.cases(desk.reading(), reader):
        if (found, name) == (kind, participant):
            return desk.case(reader, desk.book.case(desk.reading(), reader, kind, name).code)
    raise UnknownCaseError(participant)


def judgement(item, verdict="accept", *, reason="because", masks=None, chosen=None):
    given = {mask["key"]: mask["sha256"] for mask in item.get("masks", [])} if masks is None else masks
    return Judgement(
        item=item["item"],
        verdict=verdict,
        reason=reason,
        revision=item["revision"],
        masks=given,
        chosen=chosen,
    )


def items_in(case):
    return [i for v in case["visits"] for i in [*v["items"], v["registration"]] if i is not None]


def judge_all(desk, reader, participant="sub-001", kind="read"):
    case = case_of(desk, reader, participant, kind)
    open_items = [i for i in items_in(case) if i["due"] and (i["decision"] is None or i["stale"])]
    return desk.judge(reader, case["code"], [judgement(item) for item in open_items])


def edit(desk, reader, case, change, *, name="v2.flair"):
    item = item_of(case, name)
    voxels = shown_voxels(desk.mask(reader, case["code"], name, "flair"))
    change(voxels)
    return desk.save_mask(
        reader,
        case["code"],
        name,
        "flair",
        voxels.tobytes(order="F"),
        parent_sha256=item["masks"][0]["sha256"],
        revision=item["revision"],
        reason=f"reason of {reader.name}",
    )


def clear(voxels):
    voxels.fill(0)


def fill(voxels):
    voxels.fill(1)


def measured_again(desk, **changes):
    """Change the record of sub-001 as a run with other inputs would."""
    path = desk.out / "provenance" / "sub-001.json"
    record = json.loads(path.read_text())
    for scan in record["visits"][1]["scans"]:
        scan.update(changes)
    path.write_text(json.dumps(record))


# ---- two readers -----------------------------------------------------------------------------------------


def test_two_readers_who_draw_the_same_mask_each_keep_their_own(desk, readers):
    ada, ben, _ = readers
    edit(desk, ada, case_of(desk, ada), clear)
    edit(desk, ben, case_of(desk, ben), clear)
    for reader in (ada, ben):
        item = item_of(case_of(desk, reader), "v2.flair")
        assert (item["masks"][0]["source"], item["masks"][0]["volume_ml"]) == ("edited", 0.0)
        assert [v["reason"] for v in item["versions"]] == [f"reason of {reader.name}"]
    assert Desk(desk.out).reading().versions(FLAIR).keys() == {item["masks"][0]["sha256"]}


def test_a_mask_drawn_again_in_the_second_read_stays_that_of_the_first(desk, readers):
    ada, *_ = readers
    shown = edit(desk, ada, case_of(desk, ada), clear)
    for name in ("sub-001", "sub-002"):
        judge_all(desk, ada, name)
    (again,) = [n for kind, n in desk.book.cases(desk.reading(), ada) if kind == "reread"]
    if again == "sub-001":
        edit(desk, ada, case_of(desk, ada, again, "reread"), clear)
    item = item_of(case_of(desk, ada), "v2.flair")
    assert item["masks"][0]["sha256"] == item_of(shown, "v2.flair")["masks"][0]["sha256"]
    assert len(item["versions"]) == 1


def test_the_mask_of_the_other_reader_does_not_exist(desk, readers):
    ada, ben, _ = readers
    shown = edit(desk, ada, case_of(desk, ada), fill)
    sha256 = item_of(shown, "v2.flair")["masks"][0]["sha256"]
    case = case_of(desk, ben)
    with pytest.raises(UnknownCaseError, match="no mask 'flair' with SHA-256"):
        desk.mask(ben, case["code"], "v2.flair", "flair", sha256)
    with pytest.raises(ReviewError, match="no mask 'flair' with SHA-256"):
        desk.judge(ben, case["code"], [judgement(item_of(case, "v2.flair"), masks={"flair": sha256})])


def test_numbers_do_not_tell_how_busy_the_other_reader_is(desk, readers):
    ada, ben, _ = readers
    judge_all(desk, ada, "sub-001")
    judge_all(desk, ada, "sub-002")
    shown = judge_all(desk, ben)
    assert {item["revision"] for item in items_in(shown)} == {1}
    numbers = [entry["sequence"] for entry in shown["history"]]
    assert numbers == list(range(1, len(items_in(shown)) + 1))
    assert sorted(item["decision"]["sequence"] for item in items_in(shown)) == numbers


def test_a_blinded_case_has_no_dates(desk, readers):
    ada, *_ = readers
    case = case_of(desk, ada)
    assert [visit["acq_time"] for visit in case["visits"]] == [None] * len(case["visits"])
    assert "2026-0" not in json.dumps(case["visits"])


@pytest.mark.parametrize(
    ("sessions", "text", "told"),
    [
        (("ses-1", "ses-2"), "2 of 3 slices, 1.2 mL", "2 of 3 slices, 1.2 mL"),
        (
            ("ses-2", "ses-1"),
            "registration of 1 to 2 is doubtful",
            "registration of visit 2 to visit 1 is doubtful",
        ),
        (("ses-2", "ses-1"), "session label ses-2 says a", "session label visit 1 says a"),
        (("ses-M03",), "registration of BL to M03 is doubtful", "registration of BL to visit 1 is doubtful"),
        (("ses-M03",), "sub-001_ses-M03_FLAIR of 2026-05-30T09:00", "Case ABCD-EFGH_visit 1_FLAIR of a date"),
        (("ses-1",), "study day 92 is in the window of month3", "a study day is in the window of a visit"),
    ],
)
def test_what_is_told_holds_no_name_and_numbers_stay_numbers(desk, readers, sessions, text, told):
    record = desk.book.record("sub-001")
    case = type(desk.book.case(desk.reading(), readers[0], "read", "sub-001"))(
        record, readers[0], "read", "ABCDEFGH", sessions, hides_order=True
    )
    assert case.told(text) == told


# ---- three readers ---------------------------------------------------------------------------------------


def test_a_case_belongs_to_the_two_who_begin_it(desk, readers):
    ada, ben, _ = readers
    dan = desk.readers.enrol("Dan", PHRASE)
    edit(desk, ada, case_of(desk, ada), fill)
    code = case_of(desk, dan)["code"]
    first = items_in(case_of(desk, ben))[0]
    desk.judge(ben, case_of(desk, ben)["code"], [judgement(first)])
    with pytest.raises(UnknownCaseError):
        desk.case(dan, code)
    assert [n for _, n in desk.book.cases(desk.reading(), dan)] == ["sub-002"]
    judge_all(desk, ada)
    judge_all(desk, ben)
    assert desk.reading().must_adjudicate(FLAIR)


def test_a_third_reader_who_looked_earlier_is_refused_when_it_is_entered(desk, readers):
    ada, ben, _ = readers
    dan = desk.readers.enrol("Dan", PHRASE)
    case = desk.book.case(desk.reading(), dan, "read", "sub-001")
    late = judgement(item_of(case_of(desk, dan), "v2.flair"))
    other = Desk(desk.out)
    for reader in (ada, ben):
        judge_all(other, reader)
    facts = case.found("v2.flair")
    from infarct_vol.desk.judging import decided

    draft = decided(case, desk._reading, facts, late, out=desk.out)
    with pytest.raises(ReviewError, match="two others read this case"):
        desk._enter(case, [draft], {facts: 0}, late="decision not taken over")
    assert {d.entry.who for d in desk.reading().blinded(FLAIR)} == {"Ada", "Ben"}


def test_items_of_one_case_have_the_same_two_readers(tmp_path):
    script = Script(tmp_path)
    other = Item("sub-001", "ses-M06", "flair")
    script.decide("Ada", kind="read")
    script.edit("Ben", "edit1", kind="read")
    script.decide("Dan", kind="read", ml=50.0)
    script.decide("Ben", kind="read", sha="edit1", ml=12.0)
    script.decide("Ada", kind="read", item=other)
    reading = script.reading(TWO)
    assert {d.entry.who for d in reading.blinded(ITEM)} == {"Ada", "Ben"}
    assert reading.standing(ITEM).state == "settled"
    assert [reading.may_read("sub-001", who) for who in ("Ada", "Ben", "Dan")] == [True, True, False]


# ---- what changed since ----------------------------------------------------------------------------------


def test_a_signed_read_of_a_scan_that_changed_is_made_again(desk, readers):
    ada, ben, _ = readers
    for reader in (ada, ben):
        judge_all(desk, reader)
    measured_again(desk, sha256="0" * 64)
    case = case_of(desk, ada)
    assert item_of(case, "v2.flair")["stale"]
    assert desk.reading().standing(FLAIR).state == "settled"
    remake_tables(desk.out)
    assert "review again" in volume_row(desk.out)["flags"]
    desk.judge(ada, case["code"], [judgement(item_of(case, "v2.flair"))])
    # one read of the old scan and one of the new are not two reads of one thing
    assert desk.reading().standing(FLAIR).state == "stale"
    assert not desk.reading().must_adjudicate(FLAIR)
    remake_tables(desk.out)
    row = volume_row(desk.out)
    assert (row["status"], row["volume_ml"]) == ("measured", pytest.approx(61 * VOXEL_ML))
    assert "review again" in row["flags"]
    with pytest.raises(ReviewError, match="signed and stands"):
        desk.judge(ada, case["code"], [judgement(item_of(case_of(desk, ada), "v2.flair"))])
    case = case_of(desk, ben)
    desk.judge(ben, case["code"], [judgement(item_of(case, "v2.flair"))])
    remake_tables(desk.out)
    assert volume_row(desk.out)["status"] == "reviewed"


def volume_row(out, participant="sub-001", visit="month1"):
    table = read_tables(out).volumes
    chosen = table[(table["participant_id"] == participant) & (table["visit"] == visit)]
    return chosen[chosen["parameter"] == "infarct"].iloc[0].fillna("")


def test_reads_of_a_scan_that_changed_are_not_adjudicated(desk, readers):
    ada, ben, cy = readers
    edit(desk, ada, case_of(desk, ada), fill)
    for reader in (ada, ben):
        judge_all(desk, reader)
    assert [kind for kind, _ in desk.book.cases(desk.reading(), cy)] == ["adjudication"]
    measured_again(desk, sha256="0" * 64)
    assert desk.book.cases(desk.reading(), cy) == []


def test_a_query_is_not_a_read(desk, readers):
    ada, *_ = readers
    case = case_of(desk, ada)
    items = items_in(case)
    judged = [judgement(i, "query" if i["item"] == "v2.flair" else "accept") for i in items]
    desk.judge(ada, case["code"], judged)
    judge_all(desk, ada, "sub-002")
    assert {kind for kind, _ in desk.book.cases(desk.reading(), ada)} == {"read"}
    desk.judge(ada, case["code"], [judgement(item_of(case_of(desk, ada), "v2.flair"))])
    assert {kind for kind, _ in desk.book.cases(desk.reading(), ada)} == {"read", "reread"}


# ---- adjudication ----------------------------------------------------------------------------------------


def differing(desk, readers):
    ada, ben, cy = readers
    edit(desk, ada, case_of(desk, ada), fill)
    edit(desk, ada, case_of(desk, ada), lambda voxels: np.put(voxels, [0], 0), name="v3.flair")
    for reader in (ada, ben):
        judge_all(desk, reader)
    return case_of(desk, cy, kind="adjudication")


def test_a_disagreement_is_no_final_value(desk, readers):
    differing(desk, readers)
    remake_tables(desk.out)
    row = volume_row(desk.out)
    assert row["status"] == "measured"
    assert "waits for adjudication" in row["flags"]


def test_the_adjudicator_sees_what_differs_and_no_more(desk, readers):
    case = differing(desk, readers)
    *_, cy = readers
    due = {item["item"] for item in items_in(case) if item["due"]}
    assert due == {"v2.flair"}
    assert len(item_of(case, "v2.flair")["reads"]) == 2
    # the other mask Ada corrected agrees with that of Ben, and is not the adjudicator's
    other = item_of(case, "v3.flair")
    assert (other["reads"], other["versions"]) == ([], [])
    seen = item_of(case, "v2.flair")["versions"]
    assert [(v["who"], v["utc"], v["reason"]) for v in seen] == [("", "", "")]
    with pytest.raises(ReviewError, match="nothing to adjudicate"):
        desk.judge(cy, case["code"], [judgement(other)])


def test_a_read_is_taken_as_it_is_or_not_at_all(desk, readers):
    case = differing(desk, readers)
    *_, cy = readers
    item = item_of(case, "v2.flair")
    first, second = ({m["key"]: m["sha256"] for m in read["masks"]} for read in item["reads"])
    for wrong in (
        judgement(item, masks=first, chosen=2),
        judgement(item, "reject", masks=second, chosen=2),
    ):
        with pytest.raises(ReviewError, match="not what read 2 says"):
            desk.judge(cy, case["code"], [wrong])
    shown = desk.judge(cy, case["code"], [judgement(item, masks=second, chosen=2)])
    assert item_of(shown, "v2.flair")["decision"]["chosen"] == 2


def test_only_an_adjudicator_takes_a_read(desk, readers):
    ada, *_ = readers
    case = case_of(desk, ada)
    with pytest.raises(ReviewError, match="not what read 1 says"):
        desk.judge(ada, case["code"], [judgement(item_of(case, "v2.flair"), chosen=1)])


def test_the_adjudicators_own_mask_counts(desk, readers):
    case = differing(desk, readers)
    *_, cy = readers
    shown = edit(desk, cy, case, clear)
    desk.judge(cy, case["code"], [judgement(item_of(shown, "v2.flair"))])
    remake_tables(desk.out)
    row = volume_row(desk.out)
    assert (row["status"], row["volume_ml"]) == ("edited", 0.0)
    assert "Cy" in row["source"]


def test_what_one_adjudicator_decided_is_not_that_of_another(desk, readers):
    case = differing(desk, readers)
    *_, cy = readers
    eve = desk.readers.enrol("Eve", PHRASE, role="adjudicator")
    desk.judge(cy, case["code"], [judgement(item_of(case, "v2.flair"), "query")])
    seen = case_of(desk, eve, kind="adjudication")
    assert item_of(seen, "v2.flair")["decision"] is None
    case = case_of(desk, cy, kind="adjudication")
    desk.judge(cy, case["code"], [judgement(item_of(case, "v2.flair"))])
    assert desk.book.cases(desk.reading(), eve) == []
    with pytest.raises(UnknownCaseError):
        desk.judge(eve, seen["code"], [judgement(item_of(seen, "v2.flair"), "reject")])
    assert desk.reading().standing(FLAIR).readers == ("Cy",)


def test_reject_and_not_measurable_are_two_verdicts(tmp_path):
    script = Script(tmp_path)
    script.decide("Ada", "reject", kind="read", reason="motion")
    script.decide("Ben", "not_measurable", kind="read", reason="motion")
    assert script.reading(TWO).must_adjudicate(ITEM)

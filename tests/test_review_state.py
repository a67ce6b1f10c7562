"""What counts for an item, made by going through entries of the trail."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infarct_vol.audit import AuditTrail
from infarct_vol.errors import ConflictError
from infarct_vol.review.model import (
    DECISION,
    EDIT,
    ENROLMENT,
    LATE_EDIT,
    LOCK,
    READING_OPENED,
    UNLOCK,
    Decision,
    Item,
    MaskVersion,
)
from infarct_vol.review.reads import Draw, disagree
from infarct_vol.review.state import Reading
from infarct_vol.settings import ReviewSettings

ITEM = Item("sub-001", "ses-M03", "flair")
ONE = ReviewSettings()
TWO = ReviewSettings(reads=2)


class Script:
    """Writes the entries of a reading one after the other."""

    def __init__(self, tmp_path):
        self.trail = AuditTrail(tmp_path)
        self.trail.append(READING_OPENED, subject="review", new="a key")

    def enrol(self, name, role="reader"):
        new = json.dumps({"name": name, "role": role, "credential_sha256": "0"})
        self.trail.append(ENROLMENT, subject=name, new=new, who=name)

    def decide(self, who, verdict="accept", *, kind="open", ml=10.0, sha="auto", item=ITEM, reason=""):
        masks = {} if item.image == "registration" else {"flair": sha}
        new = Decision(verdict=verdict, kind=kind, masks=masks, scan_sha256="scan", volume_ml=ml)
        return self.trail.append(
            DECISION, subject=item.subject, who=who, reason=reason, new=new.model_dump_json()
        )

    def edit(self, who, sha, *, kind="open", ml=12.0, late=False):
        new = MaskVersion(
            key="flair",
            kind=kind,
            path=f"sub-001/{sha}.nii.gz",
            sha256=sha,
            parent_sha256="auto",
            scan_sha256="scan",
            automatic_sha256="auto",
            tool="page",
            volume_ml=ml,
            voxel_count=600,
            voxel_volume_mm3=20.0,
            lesion_count=1,
            volume_ml_low=ml,
            volume_ml_high=ml,
            difference_ml=ml - 10.0,
            automatic_volume_ml=10.0,
            automatic_dice=0.9,
        )
        action = LATE_EDIT if late else EDIT
        return self.trail.append(
            action, subject=ITEM.subject, who=who, reason="rim", new=new.model_dump_json()
        )

    def reading(self, settings=ONE):
        return Reading(settings, self.trail.entries())


@pytest.fixture
def script(tmp_path):
    return Script(tmp_path)


# ---- open reading ----------------------------------------------------------------------------------------


def test_nothing_was_read(script):
    standing = script.reading().standing(ITEM)
    assert (standing.state, standing.verdict, standing.waiting) == ("open", None, False)
    assert script.reading().standings() == {}


def test_the_latest_decision_counts(script):
    script.decide("Ada", "accept")
    last = script.decide("Ben", "reject", reason="motion")
    standing = script.reading().standing(ITEM)
    assert (standing.state, standing.verdict, standing.readers) == ("settled", "reject", ("Ben",))
    assert (standing.reason, standing.utc) == ("motion", last.utc)


def test_a_query_settles_nothing(script):
    script.decide("Ada", "query", reason="which scan?")
    standing = script.reading().standing(ITEM)
    assert (standing.state, standing.verdict) == ("query", "query")


def test_an_edit_waits_until_it_is_accepted(script):
    script.decide("Ada")
    script.edit("Ada", "edit1")
    reading = script.reading()
    assert reading.standing(ITEM).waiting
    assert reading.standing(ITEM).masks == {}
    assert reading.stream(ITEM, "open", "Ben").current == {"flair": "edit1"}
    script.decide("Ada", sha="edit1", ml=12.0)
    standing = script.reading().standing(ITEM)
    assert not standing.waiting
    assert standing.masks["flair"].volume_ml == 12.0


def test_a_version_equal_to_the_automatic_mask_is_no_edit(script):
    script.edit("Ada", "auto")
    script.decide("Ada", sha="auto")
    assert script.reading().standing(ITEM).masks == {}


def test_what_came_too_late_is_kept_and_does_not_count(script):
    script.edit("Ada", "edit1")
    revision = script.reading().stream(ITEM, "open", "").revision
    script.edit("Ben", "edit2", late=True)
    reading = script.reading()
    assert reading.stream(ITEM, "open", "").revision == revision
    assert reading.stream(ITEM, "open", "").current == {"flair": "edit1"}
    assert [saved.counts for saved in reading.versions(ITEM).values()] == [True, False]


def test_going_on_gives_the_state_of_going_through_all(script):
    reading = script.reading()
    script.edit("Ada", "edit1")
    script.decide("Ada", sha="edit1")
    reading.take(script.trail.entries(after=reading.sequence))
    assert reading.standing(ITEM) == script.reading().standing(ITEM)
    assert reading.sequence == 3


def test_a_revision_that_is_not_the_latest_is_a_conflict(script):
    script.decide("Ada")
    stream = script.reading().stream(ITEM, "open", "")
    stream.expect(1, where="here")
    with pytest.raises(ConflictError, match="decided or edited meanwhile"):
        stream.expect(0, where="here")


def test_locks_are_known(script):
    script.trail.append(LOCK, subject="study", who="Ada")
    assert script.reading().lock.who == "Ada"
    script.trail.append(UNLOCK, subject="study", who="Ada")
    assert script.reading().lock is None


# ---- blinded reading -------------------------------------------------------------------------------------


def blinded(script, first_ml, second_ml, settings=TWO):
    script.decide("Ada", kind="read", ml=first_ml)
    script.decide("Ben", kind="read", ml=second_ml)
    return script.reading(settings)


def test_one_blinded_read_settles_nothing(script):
    script.decide("Ada", kind="read")
    assert script.reading(TWO).standing(ITEM).state == "open"


def test_blinded_readers_do_not_share_a_stream(script):
    script.edit("Ada", "edit1", kind="read")
    reading = script.reading(TWO)
    assert reading.stream(ITEM, "read", "Ada").current == {"flair": "edit1"}
    assert reading.stream(ITEM, "read", "Ben").current == {}
    assert reading.stream(ITEM, "read", "Ben").revision == 0


@pytest.mark.parametrize(
    ("first_ml", "second_ml", "differ"),
    [
        (10.0, 12.0, False),  # 2 mL, the limit
        (10.0, 12.3, True),  # more than 2 mL and than 20 % of 11.15
        (40.0, 48.0, False),  # 8 mL, 20 % of 44 is 8.8
        (40.0, 50.0, True),  # 10 mL, 20 % of 45 is 9
        (0.0, 1.9, False),
        (0.0, 0.0, False),
        (None, 5.0, True),
        (None, None, False),
    ],
)
def test_reads_disagree_beyond_both_limits(first_ml, second_ml, differ):
    assert disagree(first_ml, second_ml, ReviewSettings()) is differ
    assert disagree(second_ml, first_ml, ReviewSettings()) is differ


def test_reads_that_agree_give_the_value_of_the_one_drawn_first(script):
    reading = blinded(script, 10.0, 11.0)
    standing = reading.standing(ITEM)
    first = Draw("a key").first(["Ada", "Ben"], participant_id="sub-001")
    assert (standing.state, standing.rule, standing.readers) == ("settled", "first", (first,))
    assert standing.volume_ml is None


def test_the_mean_of_two_reads(script):
    standing = blinded(script, 10.0, 11.0, ReviewSettings(reads=2, endpoint_rule="mean")).standing(ITEM)
    assert (standing.volume_ml, standing.rule) == (10.5, "mean")
    assert sorted(standing.readers) == ["Ada", "Ben"]


def test_reads_that_differ_wait_for_the_adjudicator(script):
    reading = blinded(script, 10.0, 20.0)
    assert reading.standing(ITEM).state == "disagreement"
    assert reading.must_adjudicate(ITEM)
    script.decide("Cy", kind="adjudication", ml=20.0)
    standing = script.reading(TWO).standing(ITEM)
    assert (standing.state, standing.rule, standing.readers) == ("settled", "adjudicated", ("Cy",))


def test_accept_against_reject_is_a_disagreement(script):
    script.decide("Ada", kind="read")
    script.decide("Ben", "reject", kind="read", reason="motion")
    assert script.reading(TWO).standing(ITEM).state == "disagreement"


def test_registrations_disagree_by_verdict_alone(script):
    item = Item("sub-001", "ses-M03", "registration")
    script.decide("Ada", kind="read", ml=None, item=item)
    script.decide("Ben", kind="read", ml=None, item=item)
    assert script.reading(TWO).standing(item).state == "settled"


def test_a_query_of_one_reader_keeps_the_item_open(script):
    script.decide("Ada", kind="read")
    script.decide("Ben", "query", kind="read", reason="left or right?")
    assert script.reading(TWO).standing(ITEM).state == "query"


def test_a_reread_never_counts(script):
    reading = blinded(script, 10.0, 10.0)
    before = reading.standing(ITEM)
    script.decide("Ada", kind="reread", ml=30.0)
    assert script.reading(TWO).standing(ITEM) == before


def test_reads_name_no_reader(script):
    for name, role in (("Ada", "reader"), ("Cy", "adjudicator"), ("Ben", "reader")):
        script.enrol(name, role)
    blinded(script, 10.0, 20.0)
    script.decide("Ada", kind="reread", ml=11.0)
    script.decide("Cy", kind="adjudication", ml=20.0)
    found = [(r.role, r.reader, r.number, r.volume_ml) for r in script.reading(TWO).reads()]
    assert found == [
        ("reader", 1, 1, 10.0),
        ("reader", 2, 1, 20.0),
        ("reader", 1, 2, 11.0),
        ("adjudicator", 1, 1, 20.0),
    ]


# ---- draws -----------------------------------------------------------------------------------------------

NAMES = [f"sub-{n:03d}" for n in range(1, 41)]


def test_codes_are_another_one_for_every_reader_and_say_nothing():
    draw = Draw("a key")
    codes = {
        draw.code(n, reader=r, kind=k) for n in NAMES for r in ("Ada", "Ben") for k in ("read", "reread")
    }
    assert len(codes) == 160
    assert all(len(code) == 8 and code.isalnum() for code in codes)
    assert draw.code("sub-001", reader="Ada", kind="read") != Draw("another").code(
        "sub-001", reader="Ada", kind="read"
    )


def test_every_reader_has_an_order_of_their_own_which_stays():
    draw = Draw("a key")
    first, second = (draw.order(NAMES, reader=r, kind="read") for r in ("Ada", "Ben"))
    assert sorted(first) == sorted(second) == NAMES
    assert first != second != NAMES
    assert first == draw.order(reversed(NAMES), reader="Ada", kind="read")


@pytest.mark.parametrize(("percent", "count"), [(0, 0), (10, 4), (11, 5), (100, 40)])
def test_so_many_are_read_again(percent, count):
    assert len(Draw("a key").reread(NAMES, reader="Ada", percent=percent)) == count


@given(st.lists(st.text(min_size=1, max_size=5), min_size=2, max_size=2, unique=True), st.text(max_size=10))
def test_who_counts_first_does_not_depend_on_who_was_first(readers, name):
    draw = Draw("a key")
    assert draw.first(readers, participant_id=name) == draw.first(readers[::-1], participant_id=name)


def test_either_reader_may_count_first():
    draw = Draw("a key")
    firsts = [draw.first(["Ada", "Ben"], participant_id=n) for n in NAMES]
    assert 8 < firsts.count("Ada") < 32


@pytest.mark.parametrize("subject", ["tables", "sub-001/ses-M03", "sub-001/ses-M03/t1w", ""])
def test_other_subjects_are_no_items(subject):
    assert Item.of(subject) is None


def test_a_subject_names_its_item():
    assert Item.of(ITEM.subject) == ITEM

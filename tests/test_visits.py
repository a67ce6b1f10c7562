"""Sessions become visits by label or by study day."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from pydantic import ValidationError

from infarct_vol.dates import days_from_target, timing
from infarct_vol.settings import VisitSettings, VisitWindow
from infarct_vol.study import Participant, Session
from infarct_vol.visits import assign_visits

DOSE = "2026-03-01T10:00:00"
BY_LABEL = VisitSettings(assign_by="label")


def participant(*sessions: tuple[str, str | None], dose: str | None = DOSE) -> Participant:
    return Participant("sub-001", first_dose_time=dose, sessions=tuple(Session(s, t) for s, t in sessions))


@pytest.mark.parametrize(
    ("date", "day"),
    [
        ("2026-02-28", -1),
        ("2026-03-01", 1),
        ("2026-03-02", 2),
        ("2026-03-31", 31),
        ("2026-03-01T23:59:59", 1),
    ],
)
def test_there_is_no_day_zero_and_thirty_days_after_dosing_is_day_31(date: str, day: int) -> None:
    assert timing(date, DOSE).day == day


def test_study_day_is_unknown_without_both_dates() -> None:
    assert timing(None, DOSE).day is None
    assert timing("2026-03-01", None).day is None


def test_every_visit_of_the_protocol_is_there_and_a_missing_one_says_so() -> None:
    visits = assign_visits(
        participant(("ses-BL", "2026-03-01T08:00:00"), ("ses-M03", "2026-05-30")), VisitSettings()
    )
    assert [v.name for v in visits] == ["baseline", "month1", "month3", "month6"]
    assert [v.session is None for v in visits] == [False, True, False, True]
    assert visits[1].reason == "no session for month1"
    assert visits[2].study_day == 91


def test_labels_are_matched_without_regard_to_case_and_unknown_ones_are_not_analysed() -> None:
    sessions = participant(("ses-bl", "2026-02-28"), ("ses-X9", "2026-04-01"))
    visits = assign_visits(sessions, BY_LABEL)
    assert visits[0].session is not None
    assert (visits[-1].name, visits[-1].reason) == (
        "unscheduled",
        "session label ses-X9 is no visit of the protocol",
    )


def test_a_scan_after_first_dose_is_no_baseline() -> None:
    late = assign_visits(participant(("ses-BL", "2026-03-02")), BY_LABEL)[0]
    assert "later than first dose" in late.reason
    same_day_after = assign_visits(participant(("ses-BL", "2026-03-01T11:00:00")), BY_LABEL)[0]
    assert "later than first dose on the same day" in same_day_after.reason
    same_day_before = assign_visits(participant(("ses-BL", "2026-03-01T09:00:00")), BY_LABEL)[0]
    assert same_day_before.reason == ""
    order_unknown = assign_visits(participant(("ses-BL", "2026-03-01")), BY_LABEL)[0]
    assert "not known to be in order" in order_unknown.reason


def test_by_date_the_nearest_to_target_is_taken_and_a_tie_goes_to_the_earlier() -> None:
    settings = VisitSettings(assign_by="date")
    visits = assign_visits(
        participant(("ses-a", "2026-04-02"), ("ses-b", "2026-03-29"), ("ses-c", "2026-04-20")), settings
    )
    month1 = next(v for v in visits if v.name == "month1")
    assert month1.session is not None
    assert (month1.session.session_id, month1.study_day) == ("ses-b", 29), "29 and 33 tie, 51 is further"
    spare = [v.session.session_id for v in visits if v.name == "unscheduled" and v.session]
    assert spare == ["ses-a", "ses-c"]


def test_by_date_early_and_out_of_window_scans_are_kept_and_not_analysed() -> None:
    settings = VisitSettings(assign_by="date")
    visits = assign_visits(participant(("ses-a", "2026-03-06"), ("ses-b", "2026-10-27")), settings)
    assert [(v.name, v.study_day) for v in visits[4:]] == [("early", 6), ("unscheduled", 241)]
    assert visits[5].reason == "study day 241 lies in no analysis window"


def test_a_scan_far_from_its_target_is_flagged() -> None:
    visits = assign_visits(participant(("ses-M01", "2026-04-20")), BY_LABEL)
    assert visits[1].flags == ("study day 51 is 20 days from the target 31",)
    outside = assign_visits(participant(("ses-M01", "2026-06-20")), BY_LABEL)
    assert outside[1].flags == ("study day 112 is outside the window 16 to 60",)


# ---- windows, by date (the default) -----------------------------------------------------------------------


def named(*sessions: tuple[str, str | None], dose: str | None = DOSE) -> list[tuple[str, str, str]]:
    """(visit, session, reason) of everything that is no missing visit."""
    visits = assign_visits(participant(*sessions, dose=dose), VisitSettings())
    return [(v.name, v.session.session_id, v.reason) for v in visits if v.session]


def test_every_day_of_every_window_by_hand() -> None:
    first = datetime(2026, 3, 1, 9)
    found = {}
    for days in (-40, -1, 0, 1, 14, 15, 59, 60, 134, 135, 224, 225):
        time = (first + timedelta(days=days)).isoformat()
        ((visit, _, _),) = named(("ses-x", time))
        found[timing(time, DOSE).day] = visit
    assert found == {
        -40: "baseline",
        -1: "baseline",
        1: "baseline",
        2: "early",
        15: "early",
        16: "month1",
        60: "month1",
        61: "month3",
        135: "month3",
        136: "month6",
        225: "month6",
        226: "unscheduled",
    }


def test_a_session_whose_date_contradicts_its_label_goes_by_its_date_and_is_flagged() -> None:
    visits = assign_visits(participant(("ses-M06", "2026-10-26")), VisitSettings())
    assert (visits[3].name, visits[3].session) == ("month6", None)
    late = visits[4]
    assert (late.name, late.study_day, late.reason) == (
        "unscheduled",
        240,
        "study day 240 lies in no analysis window",
    )
    assert late.flags == ("session label ses-M06 says month6, study day 240 is in no window",)
    moved = assign_visits(participant(("ses-M03", "2026-04-20")), VisitSettings())[1]
    assert moved.flags[0] == "session label ses-M03 says month3, study day 51 is in the window of month1"


@pytest.mark.parametrize(
    ("session", "date", "dose", "what"),
    [
        ("ses-M01", "2026", DOSE, "the date of acquisition, 2026, is partial"),
        ("ses-M01", "2026-04", DOSE, "the date of acquisition, 2026-04, is partial"),
        ("ses-M01", "2026---01", DOSE, "the date of acquisition, 2026---01, is partial"),
        ("ses-M01", "2026-04-01", "2026-03", "the date of first dose, 2026-03, is partial"),
        ("ses-BL", "2026-03-09", "2026-03", "the date of first dose, 2026-03, is partial"),
        ("ses-M03", "2026-06-01", "2026", "the date of first dose, 2026, is partial"),
    ],
)
def test_where_a_partial_date_leaves_several_visits_the_label_counts_and_says_so(
    session: str, date: str, dose: str, what: str
) -> None:
    visits = assign_visits(participant((session, date), dose=dose), VisitSettings())
    (found,) = [v for v in visits if v.session]
    label = {"ses-BL": "baseline", "ses-M01": "month1", "ses-M03": "month3"}[session]
    told = f"{what}: no study day; state year, month and day; {label} by its label"
    assert (found.name, found.reason, found.study_day) == (label, "", None)
    assert found.flags == (told,)


def test_where_a_partial_date_leaves_several_visits_a_label_of_none_is_not_analysed() -> None:
    ((visit, _, reason),) = named(("ses-x", "2026-04-01"), dose="2026-03")
    assert visit == "unscheduled"
    assert reason == "the date of first dose, 2026-03, is partial: no study day; state year, month and day"


def test_a_partial_date_whose_days_all_lie_in_one_window_is_placed_by_it() -> None:
    # dose on any day of March: 15 April is day 16 to 46, so month 1 whatever the label says
    for session in ("ses-x", "ses-M01"):
        ((visit, _, reason),) = named((session, "2026-04-15"), dose="2026-03")
        assert (visit, reason) == ("month1", "")
    moved = assign_visits(participant(("ses-M03", "2026-04-15"), dose="2026-03"), VisitSettings())[1]
    assert "session label ses-M03 says month3, its date is in the window of month1" in moved.flags


def test_a_partial_dose_date_keeps_the_order_that_is_known() -> None:
    before = named(("ses-BL", "2026-02-27"), dose="2026-03")
    assert before == [("baseline", "ses-BL", "")]
    after = named(("ses-BL", "2026-04-01"), dose="2026-03")
    assert after[0][0] == "unscheduled", "no window of the label holds any day it may be"
    by_label = assign_visits(participant(("ses-BL", "2026-04-01"), dose="2026-03"), BY_LABEL)[0]
    assert by_label.reason == "scan of 2026-04-01 is later than first dose on 2026-03, so it is no baseline"


def test_without_a_date_the_label_counts_and_says_so() -> None:
    visits = assign_visits(participant(("ses-M01", None), ("ses-M03", "2026-05-30")), VisitSettings())
    assert visits[1].session is not None
    assert visits[1].flags == (
        "no study day, because the date of acquisition is not stated: month1 by its label",
    )
    assert visits[2].flags == ()
    undosed = assign_visits(participant(("ses-M01", "2026-03-31"), dose=None), VisitSettings())
    assert undosed[1].flags == (
        "no study day, because the date of first dose is not stated: month1 by its label",
    )


def test_a_scan_after_the_dose_leaves_baseline_to_the_one_before() -> None:
    found = named(("ses-a", "2026-03-01T11:00:00"), ("ses-b", "2026-02-27T08:00:00"))
    assert found[0] == ("baseline", "ses-b", "")
    assert found[1] == (
        "unscheduled",
        "ses-a",
        "scan is later than first dose on the same day, so it is no baseline",
    )


def test_the_next_nearest_stands_by_in_order() -> None:
    visits = assign_visits(
        participant(("ses-a", "2026-04-20"), ("ses-b", "2026-03-30"), ("ses-c", "2026-04-05")),
        VisitSettings(),
    )
    spare = [(v.session.session_id, v.instead_of) for v in visits if v.name == "unscheduled" and v.session]
    assert spare == [("ses-c", "month1"), ("ses-a", "month1")]


@pytest.mark.parametrize(
    ("day", "target", "apart"), [(-1, 1, 1), (1, 1, 0), (-7, 1, 7), (29, 31, 2), (33, 31, 2)]
)
def test_no_day_zero_is_counted_between_a_day_and_its_target(day: int, target: int, apart: int) -> None:
    assert days_from_target(day, target) == apart


def test_windows_that_share_a_day_are_refused() -> None:
    month1 = VisitWindow(labels=("M1",), target_day=31, first_day=16, last_day=61, flag_beyond_days=7)
    with pytest.raises(ValidationError, match=r"month1 \(16 to 61\) and month3 \(61 to 135\) must follow"):
        VisitSettings(month1=month1)


def test_of_two_scans_before_the_dose_the_last_is_baseline_and_the_other_says_so() -> None:
    # day -1 and day 1: admiral takes the last before the dose, whatever the target day is
    window = VisitWindow(labels=("BL",), target_day=-7, first_day=None, last_day=1, flag_beyond_days=30)
    visits = assign_visits(
        participant(("ses-a", "2026-02-22"), ("ses-b", "2026-02-27")), VisitSettings(baseline=window)
    )
    chosen, other = visits[0], visits[4]
    assert (chosen.session and chosen.session.session_id, chosen.study_day) == ("ses-b", -2)
    assert (other.session and other.session.session_id, other.reason, other.instead_of) == (
        "ses-a",
        "an earlier scan before first dose",
        "baseline",
    )


@pytest.mark.parametrize("order", [1, -1])
def test_scans_of_one_day_go_by_their_time_and_not_by_their_label(order: int) -> None:
    times = ("2026-03-01T08:00:00", "2026-03-01T09:30:00")
    sessions = participant(*zip(("ses-a", "ses-b"), times[::order], strict=True))
    visits = assign_visits(sessions, VisitSettings())
    assert visits[0].session is not None
    assert visits[0].session.acq_time == "2026-03-01T09:30:00"
    assert visits[4].reason == "an earlier scan before first dose"


def test_at_follow_up_the_earlier_of_one_day_is_taken_and_the_reason_is_the_true_one() -> None:
    times = ("2026-03-31T16:00:00", "2026-03-31T08:00:00")
    visits = assign_visits(participant(*zip(("ses-a", "ses-b"), times, strict=True)), VisitSettings())
    assert visits[1].session is not None
    assert visits[1].session.session_id == "ses-b"
    assert visits[4].reason == "another session is as near to the target day of month1, and earlier"


def test_scans_of_one_time_go_by_their_label_and_say_so() -> None:
    visits = assign_visits(
        participant(("ses-b", "2026-03-01T08:00:00"), ("ses-a", "2026-03-01T08:00:00")), VisitSettings()
    )
    assert visits[0].session is not None
    assert visits[0].session.session_id == "ses-a"
    assert visits[4].reason == "ses-a has the same time and comes first by its label"


def test_two_undated_baselines_do_not_claim_a_target_day() -> None:
    visits = assign_visits(participant(("ses-BL", None), ("ses-V1", None)), VisitSettings())
    told = "another session of baseline is taken, and no date tells which is the right one"
    assert visits[4].reason == told


@pytest.mark.parametrize(
    ("scan", "dose", "reason"),
    [
        ("2024-09-10T08:00:00+09:00", "2024-09-09T23:30:00Z", ""),
        (
            "2024-09-09T16:30:00Z",
            "2024-09-10T00:30:00+09:00",
            "scan of 2024-09-09T16:30:00Z is later than first dose on 2024-09-10T00:30:00+09:00, by the time "
            "zones that they state, so it is no baseline",
        ),
        (
            "2024-09-09T08:00:00",
            "2024-09-10T08:00:00Z",
            "scan and first dose are at most a day apart, and only one of them states its time zone, so "
            "it is not known to be a baseline; state both",
        ),
        ("2024-09-08T08:00:00", "2024-09-10T08:00:00Z", ""),
    ],
)
def test_a_baseline_precedes_the_dose_as_an_instant(scan: str, dose: str, reason: str) -> None:
    baseline = assign_visits(participant(("ses-BL", scan), dose=dose), VisitSettings())[0]
    assert (baseline.name, baseline.reason) == ("baseline", reason)


def test_the_day_after_the_dose_is_no_day_where_one_zone_alone_is_stated() -> None:
    ((visit, _, reason),) = named(("ses-BL", "2024-09-11T02:00:00+02:00"), dose="2024-09-10T23:30:00")
    assert visit == "unscheduled"
    assert reason == (
        "acquisition and first dose are at most a day apart, and only one of them states its time zone, so "
        "its study day is not known; state both"
    )


def test_the_clock_of_the_first_dose_is_told_where_it_moves_a_scan_to_another_date() -> None:
    (baseline, *_) = assign_visits(
        participant(("ses-BL", "2024-09-10T08:00:00+09:00"), dose="2024-09-09T23:30:00Z"), VisitSettings()
    )
    assert baseline.flags == (
        "acquired 2024-09-10T08:00:00+09:00, which is 2024-09-09T23:00 by the clock of the first dose, "
        "2024-09-09T23:30:00Z",
    )


def test_a_scan_before_the_dose_is_no_later_visit_whatever_its_label_says() -> None:
    month1 = assign_visits(participant(("ses-M01", "2026-02-20")), BY_LABEL)[1]
    assert month1.reason == "scan of 2026-02-20 is no later than first dose on 2026-03-01, so it is no month1"


def test_remarks_of_a_session_reach_its_visit() -> None:
    session = Session("ses-BL", "2026-02-28", remarks=("the tables differ",))
    found = assign_visits(Participant("sub-001", first_dose_time=DOSE, sessions=(session,)), VisitSettings())
    assert found[0].flags == ("the tables differ",)

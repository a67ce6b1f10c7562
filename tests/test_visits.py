"""Sessions become visits by label or by study day."""

from __future__ import annotations

import pytest

from infarct_vol.protocol import VisitSettings
from infarct_vol.study import Participant, Session
from infarct_vol.visits import assign_visits, study_day

DOSE = "2026-03-01T10:00:00"


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
    assert study_day(date, DOSE) == day


def test_study_day_is_unknown_without_both_dates() -> None:
    assert study_day(None, DOSE) is None
    assert study_day("2026-03-01", None) is None


def test_every_visit_of_the_protocol_is_there_and_a_missing_one_says_so() -> None:
    visits = assign_visits(
        participant(("ses-BL", "2026-03-01T08:00:00"), ("ses-M03", "2026-05-30")), VisitSettings()
    )
    assert [v.name for v in visits] == ["baseline", "month1", "month3", "month6"]
    assert [v.session is None for v in visits] == [False, True, False, True]
    assert visits[1].reason == "no session for month1"
    assert visits[2].study_day == 91


def test_labels_are_matched_without_regard_to_case_and_unknown_ones_are_not_analysed() -> None:
    visits = assign_visits(participant(("ses-bl", "2026-02-28"), ("ses-X9", "2026-04-01")), VisitSettings())
    assert visits[0].session is not None
    assert (visits[-1].name, visits[-1].reason) == (
        "unscheduled",
        "session label ses-X9 is no visit of the protocol",
    )


def test_a_scan_after_first_dose_is_no_baseline() -> None:
    late = assign_visits(participant(("ses-BL", "2026-03-02")), VisitSettings())[0]
    assert "later than first dose" in late.reason
    same_day_after = assign_visits(participant(("ses-BL", "2026-03-01T11:00:00")), VisitSettings())[0]
    assert "later than first dose on the same day" in same_day_after.reason
    same_day_before = assign_visits(participant(("ses-BL", "2026-03-01T09:00:00")), VisitSettings())[0]
    assert same_day_before.reason == ""
    order_unknown = assign_visits(participant(("ses-BL", "2026-03-01")), VisitSettings())[0]
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
    visits = assign_visits(participant(("ses-M01", "2026-04-20")), VisitSettings())
    assert visits[1].flags == ("study day 51 is 20 days from the target 31",)
    outside = assign_visits(participant(("ses-M01", "2026-06-20")), VisitSettings())
    assert outside[1].flags == ("study day 112 is outside the window 16 to 60",)

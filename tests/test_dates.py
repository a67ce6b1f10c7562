"""Whole, partial and impossible dates."""

from __future__ import annotations

import pytest

from infarct_vol.dates import in_order, is_whole_date, iso_text, timing

DOSE = "2026-03-01T10:00:00"


@pytest.mark.parametrize("text", ["2026-03-01", "2026-03-01T10:00", "2026-03-01T10:00:00+02:00", "20260301"])
def test_whole_dates(text: str) -> None:
    assert is_whole_date(text)


@pytest.mark.parametrize("text", ["2026", "2026-03", "2026---01", "2026-03T10:00"])
def test_partial_dates(text: str) -> None:
    assert not is_whole_date(text)


@pytest.mark.parametrize(
    "text", ["2026-02-30", "2026-13-01", "01/03/2026", "someday", "", "2026-3-1", "03-2026", "9999-12-31"]
)
def test_what_is_no_date_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        is_whole_date(text)
    with pytest.raises(ValueError, match=r".+"):
        timing(text, DOSE)


@pytest.mark.parametrize(
    ("acquired", "dose", "day", "before"),
    [
        ("2026-02-28", DOSE, -1, True),
        ("2026-03-01T09:59", DOSE, 1, True),
        ("2026-03-01T10:00", DOSE, 1, True),
        ("2026-03-01T10:01", DOSE, 1, False),
        ("2026-03-01", DOSE, 1, None),
        ("2026-03-01T09:59", "2026-03-01", 1, None),
        ("2026-03-01T09:59+01:00", DOSE, 1, None),
        ("2026-03-02", DOSE, 2, False),
        (None, DOSE, None, None),
        ("2026-03-02", None, None, None),
    ],
)
def test_order_against_the_first_dose(
    acquired: str | None, dose: str | None, day: int | None, before: bool | None
) -> None:
    found = timing(acquired, dose)
    assert (found.day, found.before_dose, found.problem) == (day, before, "")


@pytest.mark.parametrize(
    "text",
    [
        *("2024-09-10", "2024-09-10T01:27", "2024-09-10T01:27:00", "2024-09-10T01:27:00.500"),
        *(
            "2024-09-10T01:27:00Z",
            "2024-09-10T01:27:00+02:00",
            "2024-09-10T01",
            "2024-09",
            "2024",
            "2024---10",
        ),
    ],
)
def test_what_dtc_wants_stays_as_it_is_written(text: str) -> None:
    assert iso_text(text) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("20240910", "2024-09-10"),
        ("20240910T012700", "2024-09-10T01:27:00"),
        ("20240910T0127", "2024-09-10T01:27"),
        ("20240910T012700+0200", "2024-09-10T01:27:00+02:00"),
        (" 2024-09-10 01:27 ", "2024-09-10T01:27"),
        ("2024-09-10 01:27:00 +02:00", "2024-09-10T01:27:00+02:00"),
        ("2024-09-10t01:27:00z", "2024-09-10T01:27:00Z"),
        ("2024-09-10T01:27:00+02", "2024-09-10T01:27:00+02:00"),
        ("2024-09-10T01:27:00\N{MINUS SIGN}05:00", "2024-09-10T01:27:00-05:00"),
        ("2024-09-10T01:27:00,25", "2024-09-10T01:27:00.25"),
        ("2024-W37-2", "2024-09-10"),
        ("2024W372", "2024-09-10"),
        ("2024-w37-2T01:27", "2024-09-10T01:27"),
        ("2024-254", "2024-09-10"),
        ("2024254", "2024-09-10"),
        ("2024-09-09T24:00", "2024-09-10T00:00"),
        ("2024-12-31T24:00:00", "2025-01-01T00:00:00"),
    ],
)
def test_other_forms_of_iso_8601_are_brought_to_that_of_dtc(text: str, expected: str) -> None:
    assert iso_text(text) == expected
    assert iso_text(expected) == expected


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("09/10/2024", "day and month of such a date may be mistaken for each other: write the year first"),
        ("10.09.2024", "write the year first"),
        ("2024/09/10", "write the year first"),
        ("45545", "the day number of a spreadsheet: format the cells as yyyy-mm-dd"),
        ("45545.06", "the day number of a spreadsheet"),
        ("10-Sep-2024", "not an ISO 8601 date or time, such as 2026-03-01 or 2026-03-01T09:30:00"),
        ("2024-W37", "it names a week and no day"),
        ("2024-09-10+02:00", "not an ISO 8601"),
        ("2024-09-10X01:27", "not an ISO 8601"),
        ("2024-09-10T25:00", "'25:00' is no time of day"),
        ("2024-09-10T24:01", "'24:01' is no time of day"),
        ("2024-09-10T01:60", "'01:60' is no time of day"),
        ("2024-09-10T01:27+26:00", r"no place on Earth is \+26:00 from UTC"),
        ("2024-09-10T01:27+02:08", r"no place on Earth is \+02:08 from UTC"),
        ("2024 3-10", "not an ISO 8601"),
        ("2024-09T3", "not an ISO 8601"),
        ("2024-09-10T01:27-00:00", "'-00:00' is no offset from UTC"),
        ("2024-09-10T01:27 PM", "not an ISO 8601"),
        ("2024-13", "month 01 to 12"),
        ("2024-09-31", "not an ISO 8601"),
        ("2023-366", "not an ISO 8601"),
        ("2024-09-10/2024-09-12", "not an ISO 8601"),
        ("\u0662\u0660\u0662\u0664-09-10", "not an ISO 8601"),
        ("12102024", "not an ISO 8601"),
        ("10092024", "not an ISO 8601"),
        ("10091224", "year 1009, expected 1583 to 3999"),
        ("2023-W53-1", "not an ISO 8601"),
    ],
)
def test_a_text_that_may_be_another_date_is_refused_with_what_to_write(text: str, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        iso_text(text)


@pytest.mark.parametrize(
    ("acquired", "dose", "day", "before"),
    [
        # half an hour before the dose, on the next local date; an hour after it, on the local date before
        ("2024-09-10T08:00:00+09:00", "2024-09-09T23:30:00Z", 1, True),
        ("2024-09-09T16:30:00Z", "2024-09-10T00:30:00+09:00", 1, False),
        ("2024-09-10T10:00:00+02:00", "2024-09-10T08:00:00Z", 1, True),
        ("2024-09-10T10:01:00+02:00", "2024-09-10T08:00:00Z", 1, False),
        ("2024-09-08T23:00:00-10:00", "2024-09-10T00:30:00+09:00", -1, True),
        # one offset alone: two days apart is safe, one is not
        ("2024-09-08T08:00:00", "2024-09-10T08:00:00Z", -2, True),
        ("2024-09-12T08:00:00", "2024-09-10T08:00:00Z", 3, False),
        ("2024-09-09T08:00:00", "2024-09-10T08:00:00Z", -1, None),
        ("2024-09-11T08:00:00+02:00", "2024-09-10T08:00:00", 2, None),
        ("2024-09-09", "2024-09-10T08:00:00Z", -1, None),
        # an hour without minutes may be any of them
        ("2024-09-10T08", "2024-09-10T08:30", 1, None),
        ("2024-09-10T07", "2024-09-10T08:30", 1, True),
        ("2024-09-10T09", "2024-09-10T08:30", 1, False),
    ],
)
def test_instants_are_compared_where_both_state_their_zone(
    acquired: str, dose: str, day: int, before: bool | None
) -> None:
    found = timing(acquired, dose)
    assert (found.day, found.before_dose) == (day, before)


@pytest.mark.parametrize(
    ("acquired", "dose", "days", "before"),
    [
        ("2024-08-30", "2024-09", (-31, -2), True),
        ("2024-10-01", "2024-09", (2, 31), False),
        ("2024-09-10", "2024-09", (-20, 10), None),
        ("2024-08", "2024-09-10", (-40, -10), True),
        ("2024-09", "2024-09-10", (-9, 21), None),
        ("2023", "2024", (-730, -1), True),
    ],
)
def test_a_partial_date_leaves_what_it_tells(
    acquired: str, dose: str, days: tuple[int, int], before: bool | None
) -> None:
    found = timing(acquired, dose)
    assert (found.day, found.days, found.before_dose) == (None, days, before)
    assert "is partial: no study day; state year, month and day" in found.problem


def test_times_are_sorted_as_instants_where_all_state_their_zone() -> None:
    zoned = in_order(["2024-09-10T08:00:00+09:00", "2024-09-09T23:30:00Z"])
    assert sorted(zoned, key=zoned.__getitem__) == ["2024-09-10T08:00:00+09:00", "2024-09-09T23:30:00Z"]
    local = in_order(["2024-09-10T08:00:00+09:00", "2024-09-09T23:30:00", "2024-09-10"])
    assert sorted(local, key=local.__getitem__) == [
        "2024-09-09T23:30:00",
        "2024-09-10",
        "2024-09-10T08:00:00+09:00",
    ]

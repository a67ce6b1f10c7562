"""Whole, partial and impossible dates."""

from __future__ import annotations

import pytest

from infarct_vol.dates import is_whole_date, timing

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

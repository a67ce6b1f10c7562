"""Numbers of tables are understood where they can mean one thing, and refused with what to write."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infarct_vol.errors import StudyError
from infarct_vol.files import has_decimal_commas, stated_number


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("12", 12.0),
        ("12.5", 12.5),
        (" 12.5 ", 12.5),
        ("12,5", 12.5),
        ("0,123", 0.123),
        ("1234,567", 1234.567),
        ("1,2345", 1.2345),
        ("1.234", 1.234),
        ("+5", 5.0),
        ("-0.5", -0.5),
        ("\N{MINUS SIGN}0.5", -0.5),
        ("5.", 5.0),
        (".5", 0.5),
        ("1e3", 1000.0),
        ("1E-3", 0.001),
        ("007", 7.0),
    ],
)
def test_what_can_mean_one_number_is_that_number(text: str, value: float) -> None:
    assert stated_number(text) == value


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("1,234", r"'1,234' may be 1\.234 or 1234; write it with a decimal point and no thousands mark"),
        ("-1,234", "may be -1.234 or -1234"),
        ("1.234,5", "no thousands mark"),
        ("1,234,567", "no thousands mark"),
        ("1 000", "no thousands mark"),
        ("1\u00a0000", "no thousands mark"),
        ("1\u202f000,5", "no thousands mark"),
        ("1'000", "no thousands mark"),
        ("1_000", "'1_000' is no number; write digits with a decimal point and no thousands mark"),
        ("1_0", "'1_0' is no number; write digits with a decimal point"),
        ("\u0663", "is no number; write digits"),
        ("\uff15", "is no number"),
        ("\u00b2", "is no number"),
        ("inf", "'inf' is no number"),
        ("Infinity", "is no number"),
        ("nan", "'nan' is no number"),
        ("1e999", "beyond the numbers a table can hold"),
        ("1e-999", "beyond the numbers a table can hold"),
        ("0x10", "is no number"),
        ("1d3", "is no number"),
        ("5 mL", "write the digits alone, with a decimal point; a unit has its own column"),
        ("5%", "a unit has its own column"),
        ("<5", "a limit is no value"),
        (">= 5", "a limit is no value"),
        ("(5)", "is no number"),
        ("5-7", "is no number"),
        ("5 7", "is no number"),
        ("--5", "is no number"),
        ("12,5,6", "is no number"),
        ("", "is no number"),
        (".", "is no number"),
    ],
)
def test_what_may_mean_something_else_is_refused_with_what_to_write(text: str, match: str) -> None:
    with pytest.raises(StudyError, match=match):
        stated_number(text)


def test_beside_decimal_commas_a_point_before_three_digits_may_be_a_thousands_mark() -> None:
    assert has_decimal_commas(["7", "12,5"])
    assert not has_decimal_commas(["7", "12.5", "1,234", "a,5"])
    with pytest.raises(StudyError, match=r"'1.234' may be 1.234 or 1234"):
        stated_number("1.234", decimal_commas=True)
    assert stated_number("0.234", decimal_commas=True) == 0.234
    assert stated_number("12.34", decimal_commas=True) == 12.34


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_number_as_python_writes_it_is_read_exactly(value: float) -> None:
    assert stated_number(repr(value)) == value

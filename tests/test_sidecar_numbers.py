"""Numbers in sidecars, as converters write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infarct_vol.errors import HeaderError
from infarct_vol.files import sidecar_number

UNITS = {"s/mm2": 1.0, "ms/um2": 1e3}


@pytest.mark.parametrize(
    "value",
    [
        1000,
        1000.0,
        "1000",
        " 1000 ",
        "1e3",
        [1000],
        ["1000"],
        "1000 s/mm2",
        "1000 s/mm^2",
        "1000s/mm²",
        "1 ms/µm²",
    ],
)
def test_a_number_is_read_however_it_is_wrapped(value: object) -> None:
    assert sidecar_number({"b-value": value}, "b-value", units=UNITS) == 1000.0


@pytest.mark.parametrize("value", [None, "", "n/a", "N/A", [""], [None]])
def test_what_is_not_stated_is_none(value: object) -> None:
    assert sidecar_number({"b-value": value}, "b-value") is None
    assert sidecar_number({}, "b-value") is None


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ([0, 1000], r"field b-value holds \[0, 1000\] where one number is expected"),
        ([], r"holds \[\] where one number is expected"),
        (True, "holds true where a number is expected"),
        ("high", 'holds "high" where a number is expected'),
        ("1_000", "where a number is expected"),
        ("1000,5", "where a number is expected"),
        ("1,000", "where a number is expected"),
        ("1000 tesla", "where a number is expected"),
        ({"value": 1000}, "where a number is expected"),
        (float("nan"), "where a number is expected"),
        ("1e999", "where a number is expected"),
        (10**400, "where a number is expected"),
        ([[1000]], "where one number is expected"),
    ],
)
def test_what_is_no_single_number_is_refused_by_its_field(value: object, found: str) -> None:
    with pytest.raises(HeaderError, match=rf"^sub-01 DWI: sidecar .*{found}.*; correct the sidecar"):
        sidecar_number({"b-value": value}, "b-value", units=UNITS, where="sub-01 DWI")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=6,
)


@given(value=JSON)
def test_any_value_is_a_number_none_or_refused(value: object) -> None:
    try:
        number = sidecar_number({"f": value}, "f")
    except HeaderError:
        return
    assert number is None or isinstance(number, float)

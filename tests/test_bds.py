"""Baseline, change and flags, rule by rule, with the rows a reader of the ADaM guide would write by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infarct_vol.cdisc import sas_date
from infarct_vol.dates import timing
from infarct_vol.errors import UsageError
from infarct_vol.protocol import Protocol
from infarct_vol.tables.bds import derive, with_change
from infarct_vol.visits import window_of

DOSE = "2026-03-01T10:00:00"
WINDOWS = Protocol().visits.windows()
KEYS = ("participant_id", "parameter", "date", "sequence")


def records(*rows: tuple[str, float | None], participant: str = "sub-001") -> pd.DataFrame:
    """Return records of one parameter: (date or time, value), placed in their windows."""
    made = []
    for sequence, (time, value) in enumerate(rows, start=1):
        when = timing(time or None, DOSE)
        visit, _ = window_of(when, WINDOWS)
        if visit == "baseline" and not when.before_dose:
            visit = "unscheduled"
        made.append(
            {
                "participant_id": participant,
                "parameter": "infarct",
                "visit": visit,
                "value": np.nan if value is None else value,
                "date": sas_date(time[:10]) if time else np.nan,
                "day": np.nan if when.day is None else float(when.day),
                "before_dose": np.nan if when.before_dose is None else float(when.before_dose),
                "visit_number": float(sequence),
                "sequence": float(sequence),
            }
        )
    return pd.DataFrame(made)


def derived(*rows: tuple[str, float | None]) -> pd.DataFrame:
    return derive(records(*rows), windows=WINDOWS, keys=KEYS)


def column(frame: pd.DataFrame, name: str) -> list[object]:
    return [None if isinstance(v, float) and np.isnan(v) else v for v in frame[name].tolist()]


def test_the_last_value_before_the_dose_is_the_baseline_and_earlier_ones_have_no_change() -> None:
    found = derived(("2026-02-20", 12.0), ("2026-02-27", 10.0), ("2026-03-31", 7.0))
    assert column(found, "is_baseline") == [False, True, False]
    assert column(found, "base") == [10.0, 10.0, 10.0], "copied to every record, the earlier one too"
    assert column(found, "change") == [None, None, -3.0]
    assert column(found, "percent_change") == [None, None, -30.0]
    assert column(found, "is_analysed") == [False, True, True]


def test_a_record_without_a_value_is_no_baseline() -> None:
    found = derived(("2026-02-20", 12.0), ("2026-02-27", None), ("2026-03-31", 9.0))
    assert column(found, "is_baseline") == [True, False, False]
    assert column(found, "change") == [None, None, -3.0]


def test_without_a_baseline_there_is_no_base_and_no_change() -> None:
    found = derived(("2026-03-31", 9.0), ("2026-05-30", 8.0))
    assert column(found, "base") == [None, None]
    assert column(found, "change") == [None, None]
    assert column(found, "is_analysed") == [True, True]


def test_a_zero_baseline_gives_a_change_and_no_percent() -> None:
    found = derived(("2026-02-27", 0.0), ("2026-03-31", 2.5), ("2026-05-30", 0.0))
    assert column(found, "change") == [None, 2.5, 0.0]
    assert column(found, "percent_change") == [None, None, None]


def test_percent_is_of_the_size_of_a_negative_baseline() -> None:
    found = derived(("2026-02-27", -4.0), ("2026-03-31", -2.0))
    assert column(found, "percent_change") == [None, 50.0]


def test_a_zero_follow_up_is_a_value() -> None:
    found = derived(("2026-02-27", 8.0), ("2026-03-31", 0.0))
    assert column(found, "change") == [None, -8.0]
    assert column(found, "percent_change") == [None, -100.0]


def test_a_missing_value_has_no_change() -> None:
    found = derived(("2026-02-27", 8.0), ("2026-03-31", None))
    assert column(found, "change") == [None, None]
    assert column(found, "base") == [8.0, 8.0]
    assert column(found, "is_analysed") == [True, False]


def test_two_baseline_records_are_an_error() -> None:
    twice = records(("2026-02-26", 8.0), ("2026-02-27", 9.0)).assign(
        is_baseline=True, is_after_baseline=False
    )
    with pytest.raises(UsageError, match="sub-001 has two baseline records of infarct"):
        with_change(twice)


def test_duplicate_keys_are_an_error() -> None:
    one = records(("2026-02-27", 8.0), ("2026-03-31", 6.0))
    with pytest.raises(UsageError, match="2 records where one is expected: participant_id sub-001"):
        derive(pd.concat([one, one.tail(1)], ignore_index=True), windows=WINDOWS, keys=KEYS)


@pytest.mark.parametrize("key", ["date", "visit_number", "sequence"])
def test_a_record_with_a_missing_sort_key_is_filtered_before_the_baseline_is_taken(key: str) -> None:
    rows = records(("2026-02-20", 12.0), ("2026-02-27", 10.0), ("2026-03-31", 7.0))
    rows.loc[1, key] = np.nan
    found = derive(rows, windows=WINDOWS, keys=("participant_id", "parameter", "value"))
    assert column(found, "is_baseline") == [True, False, False]
    assert column(found, "change") == [None, None, -5.0]


def test_one_date_is_ordered_by_visit_number_and_then_by_sequence() -> None:
    rows = records(("2026-02-27", 1.0), ("2026-02-27", 2.0), ("2026-02-27", 3.0))
    rows["visit_number"] = [2.0, 1.0, 2.0]
    found = derive(rows, windows=WINDOWS, keys=KEYS)
    assert column(found, "is_baseline") == [False, False, True]
    rows["visit_number"] = [2.0, 1.0, 1.0]
    assert column(derive(rows, windows=WINDOWS, keys=KEYS), "is_baseline") == [True, False, False]


def test_a_same_day_value_is_baseline_only_where_it_is_known_to_precede_the_dose() -> None:
    known = derived(("2026-03-01T09:59:00", 5.0), ("2026-03-31", 4.0))
    after = derived(("2026-02-27", 6.0), ("2026-03-01T10:01:00", 5.0))
    unknown = derived(("2026-02-27", 6.0), ("2026-03-01", 5.0))
    assert column(known, "is_baseline") == [True, False]
    assert column(after, "is_baseline") == column(unknown, "is_baseline") == [True, False]
    assert column(after, "change") == [None, -1.0], "known to follow the dose: after baseline"
    assert column(unknown, "change") == [None, None], "the order is not known: nothing is claimed"


def test_unscheduled_and_early_values_have_a_change_and_are_not_analysed() -> None:
    found = derived(("2026-02-27", 8.0), ("2026-03-06", 9.0), ("2026-10-27", 4.0))
    assert column(found, "visit") == ["baseline", "early", "unscheduled"]
    assert column(found, "change") == [None, 1.0, -4.0]
    assert column(found, "is_analysed") == [True, False, False]
    assert column(found, "target_day") == [1.0, None, None]


def test_of_several_values_in_a_window_the_nearest_counts_and_a_tie_goes_to_the_earlier() -> None:
    # days 29 and 33 are both 2 from 31; day 51 is 20
    found = derived(("2026-02-27", 8.0), ("2026-04-02", 6.0), ("2026-03-29", 7.0), ("2026-04-20", 5.0))
    assert column(found, "day") == [-2.0, 33.0, 29.0, 51.0]
    assert column(found, "days_from_target") == [2.0, 2.0, 2.0, 20.0]
    assert column(found, "is_analysed") == [True, False, True, False]


def test_a_failed_value_is_no_candidate_for_its_window() -> None:
    found = derived(("2026-02-27", 8.0), ("2026-03-31", None), ("2026-04-20", 5.0))
    assert column(found, "is_analysed") == [True, False, True]


def test_each_participant_and_parameter_has_its_own_baseline() -> None:
    one = records(("2026-02-27", 8.0), ("2026-03-31", 6.0))
    two = records(("2026-03-31", 3.0), participant="sub-002")
    cavity = records(("2026-03-31", 1.0)).assign(parameter="cavity")
    found = derive(pd.concat([one, two, cavity], ignore_index=True), windows=WINDOWS, keys=KEYS)
    assert column(found, "base") == [8.0, 8.0, None, None]


def test_rows_keep_their_order_and_index() -> None:
    rows = records(("2026-03-31", 7.0), ("2026-02-27", 10.0))
    rows.index = pd.Index([7, 3])
    found = derive(rows, windows=WINDOWS, keys=KEYS)
    assert found.index.tolist() == [7, 3]
    assert column(found, "change") == [-3.0, None]


def test_no_records_give_no_rows() -> None:
    empty = records(("2026-03-31", 7.0)).iloc[:0]
    assert len(derive(empty, windows=WINDOWS, keys=KEYS)) == 0


@given(st.lists(st.tuples(st.integers(-40, 420), st.one_of(st.none(), st.floats(0, 200))), max_size=12))
def test_change_is_the_difference_and_never_of_a_record_before_the_dose(
    days: list[tuple[int, float | None]],
) -> None:
    start = pd.Timestamp("2026-03-01")
    rows = [((start + pd.Timedelta(days=day)).strftime("%Y-%m-%d"), value) for day, value in days]
    if not rows:
        return
    found = derived(*rows)
    assert found["is_baseline"].sum() <= 1
    changed = found[found["change"].notna()]
    assert np.array_equal(changed["change"], changed["value"] - changed["base"])
    assert (changed["before_dose"] == 0).all()
    per_visit = found[found["is_analysed"]].groupby("visit").size()
    assert (per_visit == 1).all()

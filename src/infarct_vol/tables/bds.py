"""Baseline, change and analysis flags of an analysis dataset: the same rules for volumes and other outcomes.

The rules are those of ADaM's Basic Data Structure as the R package admiral derives them: the baseline is the
last value by date, visit number and sequence that is not after the first dose; a record without one of those
is no candidate; CHG and PCHG are empty on baseline and earlier records; PCHG is empty where baseline is 0.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from infarct_vol.dates import days_from_target
from infarct_vol.errors import UsageError
from infarct_vol.settings import VisitName, VisitWindow

GROUP = ["participant_id", "parameter"]
SORT_KEYS = ["moment", "visit_number", "sequence"]
"""Order of one participant's records of one parameter; a record that lacks one cannot be a baseline.

The moment is the date with the time of day; a value without a time counts as the first of its day.
"""
ZERO_BASELINE = "baseline is 0: percent change is not defined"


def derive(
    records: pd.DataFrame, *, windows: dict[VisitName, VisitWindow], keys: Sequence[str]
) -> pd.DataFrame:
    """Add baseline, change and flags to records.

    Parameters
    ----------
    records
        One row a measurement: ``participant_id``, ``parameter``, ``visit`` (name of a visit), ``value``
        (float, NaN where there is none), ``date`` (days since 1960-01-01, NaN where unknown), ``day`` (study
        day, NaN where unknown), ``before_dose`` (1.0 known to precede the first dose, 0.0 known not to, NaN
        unknown), ``visit_number`` and ``sequence`` (floats). ``moment`` is the date with the time of day as
        its fraction; without that column the date alone counts.
    windows
        The analysed visits, baseline first.
    keys
        Columns that tell every record from every other.

    Returns
    -------
    pandas.DataFrame
        The rows in their order, with ``is_baseline``, ``is_analysed``, ``is_after_baseline`` (bool),
        ``base``, ``change``, ``percent_change``, ``target_day`` and ``days_from_target`` (float, NaN where
        there is none).

    Raises
    ------
    UsageError
        If two records have one key.
    """
    require_distinct(records, keys=keys)
    if "moment" not in records:
        records = records.assign(moment=records["date"])
    derived = records.assign(is_baseline=_last_before_dose(records))
    derived["is_after_baseline"] = _after_baseline(derived, windows)
    derived = with_change(derived)
    targets = {name: float(window.target_day) for name, window in windows.items()}
    derived["target_day"] = derived["visit"].map(targets).astype("float64")
    derived["days_from_target"] = _days_from_target(derived)
    derived["is_analysed"] = _nearest(derived)
    return derived


def require_distinct(records: pd.DataFrame, *, keys: Sequence[str]) -> None:
    """Raise `UsageError` if two records have one key."""
    repeated = records.duplicated(list(keys))
    if repeated.any():
        first = records.loc[repeated, list(keys)].iloc[0]
        named = ", ".join(f"{name} {value}" for name, value in first.items())
        msg = f"{int(repeated.sum()) + 1} records where one is expected: {named}; keep one of them"
        raise UsageError(msg)


def with_change(records: pd.DataFrame) -> pd.DataFrame:
    """Add ``base``, ``change`` and ``percent_change`` from the record that ``is_baseline``.

    Raises
    ------
    UsageError
        If a participant has two baseline records of one parameter.
    """
    flagged = records[records["is_baseline"]]
    twice = flagged.duplicated(GROUP)
    if twice.any():
        participant, parameter = flagged.loc[twice, GROUP].iloc[0]
        msg = f"{participant} has two baseline records of {parameter}; exactly one can be the baseline"
        raise UsageError(msg)
    baselines = flagged[[*GROUP, "value"]].rename(columns={"value": "base"})
    base = records[GROUP].merge(baselines, on=GROUP, how="left", validate="many_to_one")["base"]
    base.index = records.index
    change = (records["value"] - base).where(records["is_after_baseline"])
    percent = 100.0 * change / base.abs().where(base != 0)
    return records.assign(base=base, change=change, percent_change=percent)


def _last_before_dose(records: pd.DataFrame) -> pd.Series[bool]:
    """Flag the last record by date, visit number and sequence among those that can be a baseline."""
    can_be = (
        records["value"].notna()
        & records[SORT_KEYS].notna().all(axis=1)
        & (records["visit"] == "baseline")
        & (records["before_dose"] == 1)
    )
    last = records[can_be].sort_values(SORT_KEYS, kind="stable").drop_duplicates(GROUP, keep="last")
    return pd.Series(records.index.isin(last.index), index=records.index)


def _after_baseline(records: pd.DataFrame, windows: dict[VisitName, VisitWindow]) -> pd.Series[bool]:
    """Tell the records after the first dose; where no date says so, the visit does."""
    follow_up = records["visit"].isin([name for name in windows if name != "baseline"])
    return (records["before_dose"] == 0) | (records["before_dose"].isna() & follow_up)


def _days_from_target(records: pd.DataFrame) -> np.ndarray:
    pairs = zip(records["day"], records["target_day"], strict=True)
    return np.array([_apart(day, target) for day, target in pairs], dtype=np.float64)


def _apart(day: float, target: float) -> float:
    return float("nan") if np.isnan(day) or np.isnan(target) else days_from_target(int(day), int(target))


def _nearest(records: pd.DataFrame) -> pd.Series[bool]:
    """Flag the record of each analysed visit: the nearest to target, a tie goes to the earlier.

    The baseline visit has its baseline record. A record without a value is no candidate.
    """
    in_window = records["target_day"].notna() & records["value"].notna() & (records["visit"] != "baseline")
    ranked = records[in_window].sort_values(["days_from_target", *SORT_KEYS], kind="stable")
    first = ranked.drop_duplicates([*GROUP, "visit"])
    return records["is_baseline"] | pd.Series(records.index.isin(first.index), index=records.index)

"""Agreement over a set of cases: one row a statistic, for all cases, each size class and each region."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

from infarct_vol.records import Record
from infarct_vol.statistics.agreement import (
    bland_altman,
    icc21,
    linearity,
    median_interval,
    repeatability,
)
from infarct_vol.validation.groups import REGIONS, SIZE_CLASSES, Region, SizeClass
from infarct_vol.validation.overlap import MaskCase

_SHOWN = (
    "case",
    "reference_ml",
    "compared_ml",
    "difference_ml",
    "dice",
    "lesion_f1",
    "lesion_count_difference",
    "surface_dice",
    "hd95_mm",
    "reason",
)

Grouping = Literal["all", "size_class", "region"]
_MEDIANS = (
    "absolute_difference_ml",
    "dice",
    "lesion_f1",
    "lesion_count_difference",
    "surface_dice",
    "hd95_mm",
)


class AgreementRow(Record):
    """One case: the volumes of both sides and, where both have a mask, how the masks agree."""

    case: str
    participant_id: str
    session_id: str
    visit: str
    parameter: str
    region: Region
    size_class: SizeClass
    reference: str
    compared: str
    reference_ml: float
    compared_ml: float
    difference_ml: float
    absolute_difference_ml: float
    dice: float | None = None
    lesion_f1: float | None = None
    reference_lesions: int | None = None
    compared_lesions: int | None = None
    lesion_count_difference: int | None = None
    surface_dice: float | None = None
    tolerance_mm: float | None = None
    hd95_mm: float | None = None
    masks: MaskCase | Literal["not_compared"] = "not_compared"
    reason: str = ""


class StatisticRow(Record):
    """One statistic of one group of cases, from ``n`` of them; what cannot be told is None with a reason."""

    parameter: str
    grouping: Grouping
    group: str
    statistic: str
    n: int
    value: float | None
    low: float | None = None
    high: float | None = None
    reason: str = ""


def summarise(rows: Sequence[AgreementRow]) -> tuple[StatisticRow, ...]:
    """Return the statistics of each parameter: of all its cases, by size class, and by region.

    Size classes are those of the reference. Regions are given apart only where a region is stated at all.
    Differences are compared minus reference; intervals are at 95 %.
    """
    found: list[StatisticRow] = []
    for parameter in dict.fromkeys(row.parameter for row in rows):
        own = [row for row in rows if row.parameter == parameter]
        for grouping, group, members in _groups(own):
            found += [
                StatisticRow(parameter=parameter, grouping=grouping, group=group, **values)
                for values in _statistics(members)
            ]
    return tuple(found)


class TextTable(NamedTuple):
    """A table for reading: numbers rounded, absent ones empty."""

    title: str
    columns: list[str]
    lines: list[list[str]]


def case_table(rows: Sequence[AgreementRow]) -> TextTable:
    """Return the cases with the columns that fit on a screen."""
    lines = [[_short(getattr(row, name)) for name in _SHOWN] for row in rows]
    return TextTable("Cases", list(_SHOWN), lines)


def statistic_table(summary: Sequence[StatisticRow], parameter: str) -> TextTable:
    """Return the statistics of one parameter, a column for each group; a cell is value and interval."""
    own = [row for row in summary if row.parameter == parameter]
    cells = {(row.statistic, row.group): _cell(row) for row in own}
    counts = {row.group: row.n for row in own if row.statistic == "bias_ml"}
    lines = [
        [statistic.replace("_", " "), *(cells[statistic, group] for group in counts)]
        for statistic in dict.fromkeys(row.statistic for row in own if row.value is not None)
    ]
    columns = ["statistic", *(f"{group} (n={n})" for group, n in counts.items())]
    return TextTable(f"Agreement: {parameter}", columns, lines)


def _short(value: object) -> str:
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def _cell(row: StatisticRow) -> str:
    if row.value is None:
        return ""
    interval = "" if row.low is None or row.high is None else f" ({row.low:.3g} to {row.high:.3g})"
    return f"{row.value:.3g}{interval}"


def _groups(rows: Sequence[AgreementRow]) -> Iterator[tuple[Grouping, str, list[AgreementRow]]]:
    yield "all", "all", list(rows)
    for name in SIZE_CLASSES:
        if members := [row for row in rows if row.size_class == name]:
            yield "size_class", name, members
    if all(row.region == "unknown" for row in rows):
        return
    for region in REGIONS:
        if members := [row for row in rows if row.region == region]:
            yield "region", region, members


def _statistics(rows: Sequence[AgreementRow]) -> Iterator[dict[str, object]]:
    for name in _MEDIANS:
        values = [float(value) for row in rows if (value := getattr(row, name)) is not None]
        yield {"statistic": f"median_{name}", **median_interval(values).model_dump()}
    reference, compared = [row.reference_ml for row in rows], [row.compared_ml for row in rows]
    yield from _differences(reference, compared)
    yield from _repeated(reference, compared)
    yield from _line(reference, compared)
    ratings = [[row.reference_ml, row.compared_ml] for row in rows]
    icc = icc21(ratings)
    yield _row("icc_2_1", icc.n, icc.icc, icc.low, icc.high, icc.reason)


def _row(
    statistic: str, n: int, value: float | None, low: float | None, high: float | None, reason: str
) -> dict[str, object]:
    return {"statistic": statistic, "n": n, "value": value, "low": low, "high": high, "reason": reason}


def _differences(reference: list[float], compared: list[float]) -> Iterator[dict[str, object]]:
    ba = bland_altman(reference, compared)
    yield _row("bias_ml", ba.n, ba.bias, ba.bias_low, ba.bias_high, ba.reason)
    yield _row("sd_of_differences_ml", ba.n, ba.sd, None, None, ba.reason)
    yield _row("lower_limit_of_agreement_ml", ba.n, ba.lower, ba.lower_low, ba.lower_high, ba.reason)
    yield _row("upper_limit_of_agreement_ml", ba.n, ba.upper, ba.upper_low, ba.upper_high, ba.reason)


def _repeated(reference: list[float], compared: list[float]) -> Iterator[dict[str, object]]:
    found = repeatability(reference, compared)
    yield _row("within_subject_sd_ml", found.n, found.wsd, None, None, found.reason)
    yield _row("repeatability_coefficient_ml", found.n, found.rc, found.rc_low, found.rc_high, found.reason)
    yield _row(
        "repeatability_coefficient_percent",
        found.n_percent,
        found.rc_percent,
        found.rc_percent_low,
        found.rc_percent_high,
        found.reason,
    )


def _line(reference: list[float], compared: list[float]) -> Iterator[dict[str, object]]:
    line = linearity(reference, compared)
    yield _row("slope", line.n, line.slope, line.slope_low, line.slope_high, line.reason)
    yield _row("intercept_ml", line.n, line.intercept, line.intercept_low, line.intercept_high, line.reason)
    yield _row("r_squared", line.n, line.r_squared, None, None, line.reason)

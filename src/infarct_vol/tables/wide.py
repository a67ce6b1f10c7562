"""The same numbers in another shape: change with a column a visit, the summary with a row a statistic."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from infarct_vol.change import FOLLOW_UPS, ChangeRow
from infarct_vol.statistics.descriptive import Description
from infarct_vol.tables.summary import SummaryRow

_PER_VISIT = (
    *("volume_ml", "change_ml", "percent_change"),
    *("like_for_like", "exceeds_repeatability", "status", "reason"),
)
WIDE_COLUMNS = (
    *("participant_id", "parameter", "baseline_modality", "baseline_volume_ml"),
    *(f"{column}_{visit}" for visit in FOLLOW_UPS for column in _PER_VISIT),
)
"""Columns of ``change_from_baseline_wide.csv``: one row a participant and parameter."""
QUANTITIES: Mapping[str, str] = {"volume": "mL", "change": "mL", "percent": "%"}
"""Prefix of the summary's columns -> unit."""
STATISTICS = tuple(Description.model_fields)
LONG_COLUMNS = ("parameter", "visit", "arm", "quantity", "unit", "statistic", "value", "blinding")
"""Columns of ``summary_long.csv``: one row a statistic."""


def wide_rows(changes: Iterable[ChangeRow]) -> Iterator[dict[str, Any]]:
    """Yield one participant's changes, a row a parameter, in the order of their first occurrence."""
    grouped: dict[str, dict[str, Any]] = {}
    for change in changes:
        row = grouped.setdefault(
            change.parameter,
            {
                "participant_id": change.participant_id,
                "parameter": change.parameter,
                "baseline_modality": change.baseline_modality,
                "baseline_volume_ml": change.baseline_volume_ml,
            },
        )
        row |= {f"{column}_{change.visit}": getattr(change, column) for column in _PER_VISIT}
    yield from grouped.values()


def long_rows(summary: Iterable[SummaryRow]) -> Iterator[dict[str, Any]]:
    """Yield every statistic of the summary as a row of its own, absent ones with an empty value."""
    for row in summary:
        for quantity, unit in QUANTITIES.items():
            for statistic in STATISTICS:
                yield {
                    "parameter": row.parameter,
                    "visit": row.visit,
                    "arm": row.arm,
                    "quantity": quantity,
                    "unit": "" if statistic == "n" else unit,
                    "statistic": statistic,
                    "value": getattr(row, f"{quantity}_{statistic}"),
                    "blinding": row.blinding,
                }

"""Descriptive statistics per parameter, visit and arm.

Only measured values enter. A missing, failed or not measurable visit is counted beside the statistics,
never as 0 mL.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from infarct_vol.change import ChangeRow, valued_ml
from infarct_vol.records import Parameter, Record, VolumeRow
from infarct_vol.tables.order import parameter_rank, visit_rank
from infarct_vol.tables.randomization import ALL_ARMS


class SummaryRow(Record):
    """One parameter x visit x arm: a row of ``summary.csv``, its columns in their order."""

    parameter: Parameter
    visit: str
    arm: str
    volume_n: int
    volume_mean: float | None
    volume_sd: float | None
    volume_median: float | None
    volume_q1: float | None
    volume_q3: float | None
    volume_min: float | None
    volume_max: float | None
    change_n: int
    change_mean: float | None
    change_sd: float | None
    change_median: float | None
    change_q1: float | None
    change_q3: float | None
    change_min: float | None
    change_max: float | None
    percent_n: int
    percent_mean: float | None
    percent_sd: float | None
    percent_median: float | None
    percent_q1: float | None
    percent_q3: float | None
    percent_min: float | None
    percent_max: float | None
    participants_n: int
    missing_n: int
    failed_n: int
    not_measurable_n: int
    excluded_n: int
    like_for_like_n: int
    blinding: Literal["BLINDED", "UNBLINDED"]
    protocol_sha256: str = ""
    version: str = ""


def summary_rows(
    volumes: Sequence[VolumeRow], changes: Sequence[ChangeRow], *, arms: Mapping[str, str] | None = None
) -> list[SummaryRow]:
    """Summarise volumes in mL, change in mL and percent change.

    Parameters
    ----------
    volumes, changes
        All rows of all participants.
    arms
        Participant -> arm. None keeps the trial blinded: pooled rows only.

    Returns
    -------
    list of SummaryRow
        For each parameter and visit that has a row in either table, the pooled row ``all`` and then one
        per arm. A statistic of no values is None, as is the standard deviation of one value. Quantiles
        are SAS definition 5 (the empirical distribution function with averaging).
    """
    groups: dict[tuple[Parameter, str, str], _Group] = {}
    for volume in volumes:
        for arm in _arms_of(volume.participant_id, arms):
            _group(groups, volume.parameter, volume.visit, arm).volumes.append(volume)
    for change in changes:
        for arm in _arms_of(change.participant_id, arms):
            _group(groups, change.parameter, change.visit, arm).changes.append(change)
    blinding: Literal["BLINDED", "UNBLINDED"] = "BLINDED" if arms is None else "UNBLINDED"
    return [_summary_row(key, groups[key], blinding=blinding) for key in sorted(groups, key=_rank)]


@dataclass(frozen=True)
class _Group:
    volumes: list[VolumeRow] = field(default_factory=list)
    changes: list[ChangeRow] = field(default_factory=list)


def _arms_of(participant_id: str, arms: Mapping[str, str] | None) -> tuple[str, ...]:
    return (ALL_ARMS,) if arms is None else (ALL_ARMS, arms[participant_id])


def _group(
    groups: dict[tuple[Parameter, str, str], _Group], parameter: Parameter, visit: str, arm: str
) -> _Group:
    return groups.setdefault((parameter, visit, arm), _Group())


def _rank(key: tuple[Parameter, str, str]) -> tuple[object, ...]:
    parameter, visit, arm = key
    return parameter_rank(parameter), visit_rank(visit), arm != ALL_ARMS, arm


def _summary_row(
    key: tuple[Parameter, str, str], group: _Group, *, blinding: Literal["BLINDED", "UNBLINDED"]
) -> SummaryRow:
    parameter, visit, arm = key
    # a visit may have its status in either table: the change rows also know visits without a volume row
    statuses = {row.participant_id: row.status for row in group.changes}
    statuses |= {row.participant_id: row.status for row in group.volumes}
    counts = Counter(statuses.values())
    described = {
        "volume": _described([valued_ml(row) for row in group.volumes]),
        "change": _described([row.change_ml for row in group.changes]),
        "percent": _described([row.percent_change for row in group.changes]),
    }
    rows: list[VolumeRow | ChangeRow] = [*group.volumes, *group.changes]
    return SummaryRow(
        parameter=parameter,
        visit=visit,
        arm=arm,
        participants_n=len(statuses),
        missing_n=counts["missing"],
        failed_n=counts["failed"],
        not_measurable_n=counts["not_measurable"],
        excluded_n=counts["excluded"],
        like_for_like_n=sum(row.like_for_like is True for row in group.changes),
        blinding=blinding,
        protocol_sha256=next((row.protocol_sha256 for row in rows if row.protocol_sha256), ""),
        version=next((row.version for row in rows if row.version), ""),
        **{f"{what}_{name}": value for what, found in described.items() for name, value in found.items()},
    )


def _described(values: Iterable[float | None]) -> dict[str, Any]:
    """Return n and, of at least one value, mean, sd (two values), median, quartiles and range."""
    found = np.array(sorted(value for value in values if value is not None), dtype=np.float64)
    empty: dict[str, Any] = dict.fromkeys(("mean", "sd", "median", "q1", "q3", "min", "max"))
    if not found.size:
        return {"n": 0, **empty}
    q1, median, q3 = np.quantile(found, [0.25, 0.5, 0.75], method="averaged_inverted_cdf")
    return {
        "n": int(found.size),
        "mean": float(found.mean()),
        "sd": float(found.std(ddof=1)) if found.size > 1 else None,
        "median": float(median),
        "q1": float(q1),
        "q3": float(q3),
        "min": float(found[0]),
        "max": float(found[-1]),
    }

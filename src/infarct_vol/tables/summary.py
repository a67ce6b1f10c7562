"""Descriptive statistics per parameter, visit and arm.

Only measured values enter. A missing, failed or not measurable visit is counted beside the statistics,
never as 0 mL.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from infarct_vol.change import ChangeRow, valued_ml
from infarct_vol.records import Parameter, Record, VolumeRow
from infarct_vol.settings import ANALYSED_VISITS
from infarct_vol.statistics.descriptive import described
from infarct_vol.tables.order import parameter_rank, visit_rank
from infarct_vol.tables.randomization import ALL_ARMS, Blinding, arms_of, blinding_of


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
    blinding: Blinding
    protocol_sha256: str = ""
    version: str = ""
    volume_mean_low: float | None = None
    volume_mean_high: float | None = None
    volume_median_low: float | None = None
    volume_median_high: float | None = None
    change_mean_low: float | None = None
    change_mean_high: float | None = None
    change_median_low: float | None = None
    change_median_high: float | None = None
    percent_mean_low: float | None = None
    percent_mean_high: float | None = None
    percent_median_low: float | None = None
    percent_median_high: float | None = None
    randomized_n: int | None = None
    randomized_without_data_n: int | None = None


class OutcomeSummaryRow(Record):
    """One other outcome x visit x arm: a row of ``outcomes_summary.csv``, its columns in their order."""

    parameter: str
    unit: str
    visit: str
    arm: str
    value_n: int
    value_mean: float | None
    value_sd: float | None
    value_median: float | None
    value_q1: float | None
    value_q3: float | None
    value_min: float | None
    value_max: float | None
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
    value_mean_low: float | None = None
    value_mean_high: float | None = None
    value_median_low: float | None = None
    value_median_high: float | None = None
    change_mean_low: float | None = None
    change_mean_high: float | None = None
    change_median_low: float | None = None
    change_median_high: float | None = None
    percent_mean_low: float | None = None
    percent_mean_high: float | None = None
    percent_median_low: float | None = None
    percent_median_high: float | None = None
    participants_n: int
    missing_n: int
    failed_n: int
    blinding: Blinding
    protocol_sha256: str = ""
    version: str = ""


def summary_rows(
    volumes: Iterable[VolumeRow], changes: Iterable[ChangeRow], *, arms: Mapping[str, str] | None = None
) -> list[SummaryRow]:
    """Summarise volumes in mL, change in mL and percent change; see `Summary`."""
    summary = Summary(arms)
    summary.add(volumes, changes)
    return summary.rows()


class Summary:
    """Statistics per parameter, visit and arm, filled participant by participant.

    Parameters
    ----------
    arms
        Participant -> arm. None keeps the trial blinded: pooled rows only.
    """

    def __init__(self, arms: Mapping[str, str] | None = None) -> None:
        self._arms = arms
        self._groups: dict[tuple[Parameter, str, str], _Group] = {}
        self._with_data: dict[Parameter, set[str]] = {}
        self._made_by: tuple[str, str] = ("", "")

    def add(self, volumes: Iterable[VolumeRow], changes: Iterable[ChangeRow]) -> None:
        """Take over rows of analysed visits; those of one participant belong together."""
        for volume in volumes:
            if volume.visit not in ANALYSED_VISITS:
                continue
            value = valued_ml(volume)
            if value is not None:
                self._with_data.setdefault(volume.parameter, set()).add(volume.participant_id)
            for group in self._of(volume):
                group.statuses[volume.participant_id] = volume.status
                group.take("volume", value)
        for change in changes:
            for group in self._of(change):
                # a visit may have its status in either table: the change rows also know visits without a
                # volume row
                group.statuses.setdefault(change.participant_id, change.status)
                group.take("change", change.change_ml)
                group.take("percent", change.percent_change)
                group.like_for_like_n += change.like_for_like is True

    def rows(self) -> list[SummaryRow]:
        """Return the summary.

        Returns
        -------
        list of SummaryRow
            For each parameter and visit that has a row in either table, the pooled row ``all`` and then
            one per arm. A statistic of no values is None, as is the standard deviation of one value.
            Quantiles and intervals are as `infarct_vol.statistics.descriptive.described` says.
        """
        return [self._row(key, self._groups[key]) for key in sorted(self._groups, key=_rank)]

    def _of(self, row: VolumeRow | ChangeRow) -> list[_Group]:
        if not any(self._made_by):
            self._made_by = (row.protocol_sha256, row.version)
        names = arms_of(row.participant_id, self._arms)
        return [self._groups.setdefault((row.parameter, row.visit, arm), _Group()) for arm in names]

    def _row(self, key: tuple[Parameter, str, str], group: _Group) -> SummaryRow:
        parameter, visit, arm = key
        randomized, without = self._randomized(parameter, arm)
        return SummaryRow(
            parameter=parameter,
            visit=visit,
            arm=arm,
            participants_n=len(group.statuses),
            missing_n=group.count("missing"),
            failed_n=group.count("failed"),
            not_measurable_n=group.count("not_measurable"),
            excluded_n=group.count("excluded"),
            like_for_like_n=group.like_for_like_n,
            blinding=blinding_of(self._arms),
            protocol_sha256=self._made_by[0],
            version=self._made_by[1],
            randomized_n=randomized,
            randomized_without_data_n=without,
            **group.described("volume", "change", "percent"),
        )

    def _randomized(self, parameter: Parameter, arm: str) -> tuple[int | None, int | None]:
        """Return how many were randomised to an arm, and how many of them have no volume at any visit."""
        if self._arms is None:
            return None, None
        own = {name for name, given in self._arms.items() if arm in (ALL_ARMS, given)}
        return len(own), len(own - self._with_data.get(parameter, set()))


@dataclass
class _Group:
    """Values and statuses of one parameter, visit and arm."""

    values: dict[str, list[float]] = field(default_factory=dict)
    statuses: dict[str, str] = field(default_factory=dict)
    like_for_like_n: int = 0

    def take(self, quantity: str, value: float | None) -> None:
        if value is not None:
            self.values.setdefault(quantity, []).append(value)

    def count(self, status: str) -> int:
        """Return the number of participants of one status."""
        return list(self.statuses.values()).count(status)

    def described(self, *quantities: str) -> dict[str, Any]:
        """Return the statistics of quantities by the column they stand in, such as ``change_mean``."""
        return {
            f"{quantity}_{name}": value
            for quantity in quantities
            for name, value in described(self.values.get(quantity, [])).model_dump().items()
        }


def outcome_summary_rows(
    changes: pd.DataFrame, *, arms: Mapping[str, str] | None, protocol_sha256: str, version: str
) -> list[OutcomeSummaryRow]:
    """Summarise the trial's other outcomes.

    Parameters
    ----------
    changes
        Rows of ``outcomes_change.csv`` and of the baseline visit: ``participant_id``, ``parameter``,
        ``unit``, ``visit``, ``status``, ``value``, ``change``, ``percent_change`` (NaN where absent).
    arms, protocol_sha256, version
        As on every table.
    """
    groups: dict[tuple[str, str, str, str], _Group] = {}
    rows: Iterable[Any] = changes.itertuples()
    for row in rows:
        for arm in arms_of(row.participant_id, arms):
            group = groups.setdefault((row.parameter, row.unit, row.visit, arm), _Group())
            group.statuses[row.participant_id] = row.status
            for quantity, value in (
                ("value", row.value),
                ("change", row.change),
                ("percent", row.percent_change),
            ):
                group.take(quantity, None if math.isnan(value) else value)
    places = {name: at for at, name in enumerate(dict.fromkeys(changes["parameter"]))}

    def rank(key: tuple[str, str, str, str]) -> tuple[object, ...]:
        return places[key[0]], visit_rank(key[2]), key[3] != ALL_ARMS, key[3]

    return [
        OutcomeSummaryRow(
            parameter=key[0],
            unit=key[1],
            visit=key[2],
            arm=key[3],
            participants_n=len(groups[key].statuses),
            missing_n=groups[key].count("missing"),
            failed_n=groups[key].count("failed"),
            blinding=blinding_of(arms),
            protocol_sha256=protocol_sha256,
            version=version,
            **groups[key].described("value", "change", "percent"),
        )
        for key in sorted(groups, key=rank)
    ]


def _rank(key: tuple[Parameter, str, str]) -> tuple[object, ...]:
    parameter, visit, arm = key
    return parameter_rank(parameter), visit_rank(visit), arm != ALL_ARMS, arm

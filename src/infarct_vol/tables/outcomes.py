"""The trial's other outcomes - scales and laboratory values - from a long CSV, by the rules of the volumes.

Each line of the file is one value of one participant. Whatever cannot be used is kept, without its value and
with the reason; nothing is dropped.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from infarct_vol.files import file_sha256
from infarct_vol.protocol import Protocol
from infarct_vol.settings import OutcomeSettings, VisitName
from infarct_vol.tables.adam import Parameters, outcome_parameters
from infarct_vol.tables.bds import GROUP, ZERO_BASELINE, derive
from infarct_vol.tables.order import visit_rank
from infarct_vol.tables.outcome_lines import outcome_lines
from infarct_vol.tables.visit_numbers import numbered

_KEYS = ("participant_id", "parameter", "acq_time", "sequence")


class OutcomeRow(NamedTuple):
    """One line of the measures file as it was understood: a row of ``outcomes.csv``."""

    participant_id: str
    visit: str
    acq_time: str
    study_day: int | None
    parameter: str
    label: str
    value: float | None
    unit: str
    lower_limit: float | None
    upper_limit: float | None
    analysed: bool
    status: str
    reason: str
    line: int


class OutcomeChangeRow(NamedTuple):
    """One participant x follow-up visit x outcome: a row of ``outcomes_change.csv``."""

    participant_id: str
    visit: str
    parameter: str
    label: str
    unit: str
    baseline_value: float | None
    value: float | None
    change: float | None
    percent_change: float | None
    status: str
    reason: str
    acq_time: str
    study_day: int | None


@dataclass(frozen=True, eq=False)
class Outcomes:
    """The measures file, read, placed in visits and compared with baseline.

    Parameters
    ----------
    records
        One row a line, as `infarct_vol.tables.bds.derive` returns them.
    parameters
        Names of the outcomes that occur.
    units
        Outcome -> its unit.
    settings
        Outcomes of the protocol by name.
    participants
        Every participant of the trial, with or without a value.
    sha256
        Of the file.
    """

    records: pd.DataFrame
    parameters: Parameters
    units: Mapping[str, str]
    settings: Mapping[str, OutcomeSettings]
    participants: tuple[str, ...]
    sha256: str

    @property
    def problems(self) -> tuple[str, ...]:
        """Every value that was refused: participant, line, outcome and reason."""
        refused = self.records[self.records["status"] == "failed"]
        return tuple(
            f"{row.participant_id} {row.acq_time or 'without a date'} {row.parameter} "
            f"(line {int(row.sequence)}): {row.reason}"
            for row in _tuples(refused)
        )

    def rows(self) -> Iterator[OutcomeRow]:
        """Yield the lines of the file in order of participant, outcome and time."""
        for row in _tuples(self.records):
            yield OutcomeRow(
                participant_id=row.participant_id,
                visit=row.visit,
                acq_time=row.acq_time,
                study_day=_whole(row.day),
                parameter=row.parameter,
                label=self.settings[row.parameter].label,
                value=_present(row.value),
                unit=row.unit,
                lower_limit=_present(row.lower_limit),
                upper_limit=_present(row.upper_limit),
                analysed=row.is_analysed,
                status=row.status,
                reason=row.reason,
                line=int(row.sequence),
            )

    @cached_property
    def visit_rows(self) -> tuple[OutcomeChangeRow, ...]:
        """A row for every participant, outcome and visit, baseline first."""
        return tuple(self._found_at_visits())

    def _found_at_visits(self) -> Iterator[OutcomeChangeRow]:
        """Yield the analysed value of every participant, outcome and visit, baseline first, or why none is.

        Baseline rows have no change; they are summarised, and are no part of the table of changes.
        """
        analysed = self.records[self.records["is_analysed"]]
        found = {(r.participant_id, r.parameter, r.visit): r for r in _tuples(analysed)}
        others = self.records[~self.records["is_analysed"]]
        spare: dict[tuple[str, str, str], Any] = {}
        for row in _tuples(others):
            spare.setdefault((row.participant_id, row.parameter, row.visit), row)
        for participant in self.participants:
            for name in self.units:
                baseline = found.get((participant, name, "baseline"))
                for visit in sorted(self.settings[name].visits, key=visit_rank):
                    key = (participant, name, visit)
                    yield self._visit_row(key, found.get(key), spare.get(key), baseline)

    def change_rows(self) -> Iterator[OutcomeChangeRow]:
        """Yield the rows of the table of changes: the visits after baseline."""
        return (row for row in self.visit_rows if row.visit != "baseline")

    def visits(self) -> pd.DataFrame:
        """Return every visit's row as a frame, numbers as float64 with NaN where absent."""
        names = OutcomeChangeRow._fields
        frame = pd.DataFrame(self.visit_rows, columns=list(names))
        numeric = ("baseline_value", "value", "change", "percent_change")
        return frame.astype(dict.fromkeys(numeric, np.float64))

    def _visit_row(self, key: tuple[str, str, str], row: Any, spare: Any, baseline: Any) -> OutcomeChangeRow:
        participant, name, visit = key
        shown = row if row is not None else spare
        status, reason = _verdict(row, spare, baseline, visit=visit)
        return OutcomeChangeRow(
            participant_id=participant,
            visit=visit,
            parameter=name,
            label=self.settings[name].label,
            unit=self.units[name],
            baseline_value=_present(baseline.value) if baseline is not None else None,
            value=_present(row.value) if row is not None else None,
            change=_present(row.change) if row is not None else None,
            percent_change=_present(row.percent_change) if row is not None else None,
            status=status,
            reason=reason,
            acq_time=shown.acq_time if shown is not None else "",
            study_day=_whole(shown.day) if shown is not None else None,
        )


def read_outcomes(path: Path, *, first_doses: Mapping[str, str | None], protocol: Protocol) -> Outcomes:
    """Read the measures file and derive visits, baseline and change.

    Parameters
    ----------
    path
        Long CSV: participant_id, acq_time (ISO 8601), parameter (a name of the protocol's outcomes), value,
        unit and, where the laboratory states them, lower_limit and upper_limit (its reference range).
    first_doses
        Participant -> first_dose_time, of every participant of the trial.
    protocol
        Windows, and the range of each scale.

    Raises
    ------
    StudyError
        If the file lacks a column, names a participant the trial does not have or an outcome the protocol
        does not have, gives one outcome in two units, or has one value twice.
    """
    settings = protocol.outcomes.parameters
    lines, units = outcome_lines(path, first_doses=first_doses, protocol=protocol)
    records = _frame(lines, settings)
    derived = derive(records, windows=protocol.outcome_windows(), keys=_KEYS)
    return Outcomes(
        _with_reasons(derived),
        outcome_parameters(dict(settings), dict(units)),
        units,
        settings,
        tuple(sorted(first_doses)),
        file_sha256(path),
    )


def _frame(lines: list[dict[str, Any]], settings: Mapping[str, OutcomeSettings]) -> pd.DataFrame:
    """Return the lines in order of participant, outcome and time, with their visits numbered."""
    places = {name: at for at, name in enumerate(settings)}
    lines.sort(key=lambda line: (line["participant_id"], places[line["parameter"]], line["sortable"]))
    grouped: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for line in lines:
        grouped.setdefault((line["participant_id"], line["parameter"]), []).append(line)
    for own in grouped.values():
        labels = numbered([(line["visit"], line["sortable"]) for line in own])
        for line, (label, number) in zip(own, labels, strict=True):
            line |= {"visit_label": label, "visit_number": number}
    numeric = (
        "value",
        "lower_limit",
        "upper_limit",
        "sequence",
        "visit_number",
        "day",
        "before_dose",
        "date",
        "moment",
    )
    text = ("participant_id", "parameter", "acq_time", "unit", "status", "reason", "visit", "visit_label")
    columns: dict[str, Any] = {name: np.array([line[name] for line in lines], dtype=object) for name in text}
    columns |= {name: np.array([line[name] for line in lines], dtype=np.float64) for name in numeric}
    return pd.DataFrame(columns)


def _with_reasons(derived: pd.DataFrame) -> pd.DataFrame:
    """Say why a value in a window is not the one analysed."""
    beaten = derived["value"].notna() & derived["target_day"].notna() & ~derived["is_analysed"]
    baseline = derived["visit"] == "baseline"
    of = [*GROUP, "visit"]
    chosen = derived.loc[derived["is_analysed"], [*of, "days_from_target"]]
    nearest = derived[of].merge(chosen, on=of, how="left", validate="many_to_one")["days_from_target"]
    as_near = derived["days_from_target"].to_numpy() == nearest.to_numpy()
    told = np.select(
        [beaten & baseline, beaten & as_near, beaten],
        [
            "a later value before the first dose is the baseline",
            "another value is as near to the target day, and earlier",
            "another value is nearer to the target day",
        ],
        "",
    )
    reasons = np.where(told != "", told, derived["reason"]).astype(object)
    return derived.assign(reason=reasons, remark=reasons)


def _verdict(row: Any, spare: Any, baseline: Any, *, visit: VisitName | str) -> tuple[str, str]:
    """Return status and reason of a visit's value: why there is none, or no change."""
    if row is None:
        return (spare.status, spare.reason) if spare is not None else ("missing", f"no value at {visit}")
    if visit != "baseline" and baseline is None:
        return "missing", "no baseline value"
    if visit != "baseline" and baseline.value == 0:
        return row.status, "; ".join(part for part in (row.reason, ZERO_BASELINE) if part)
    return row.status, row.reason


def _tuples(frame: pd.DataFrame) -> Iterator[Any]:
    """Yield the rows of a frame by name; their types are those `_frame` gives the columns."""
    yield from frame.itertuples()


def _present(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def _whole(value: float) -> int | None:
    return None if math.isnan(value) else int(value)

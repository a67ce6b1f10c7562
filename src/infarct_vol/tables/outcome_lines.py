"""The lines of the measures file: read, judged by the scale of their outcome, and placed in visits."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from infarct_vol.dates import Moment, Timing, moment, timing
from infarct_vol.errors import StudyError
from infarct_vol.files import has_decimal_commas, stated_number
from infarct_vol.protocol import Protocol
from infarct_vol.settings import OutcomeSettings, VisitName
from infarct_vol.tables.csvtext import one_line
from infarct_vol.tables.listing import read_listing
from infarct_vol.tables.measurements import day_number, moment_number
from infarct_vol.visits import not_after_dose, not_before_dose, window_of

COLUMNS = ("participant_id", "acq_time", "parameter", "value", "unit")
_NUMBERS = ("value", "lower_limit", "upper_limit")


def outcome_lines(
    path: Path, *, first_doses: Mapping[str, str | None], protocol: Protocol
) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Return every line of a measures file with its visit, and the unit of each outcome that occurs.

    Parameters and errors are those of `infarct_vol.tables.outcomes.read_outcomes`.
    """
    settings = protocol.outcomes.parameters
    names = {name.removeprefix("sub-"): name for name in first_doses}
    lines = []
    listed = tuple(
        read_listing(
            path,
            needed=COLUMNS,
            keys=("participant_id", "parameter"),
            known=_NUMBERS,
            what="measures file",
        )
    )
    decimal_commas = has_decimal_commas(cells.get(name, "") for _, cells in listed for name in _NUMBERS)
    for number, cells in listed:
        participant = _participant(cells, number, path.name, names=names, settings=settings)
        outcome = settings[cells["parameter"]]
        lines.append(_line(number, participant, cells, outcome, decimal_commas=decimal_commas))
    units = _units(lines, settings, where=path.name)
    for line in lines:
        _place(line, first_doses[line["participant_id"]], protocol, settings[line["parameter"]])
    _require_distinct(lines, where=path.name)
    return lines, units


def _participant(
    cells: Mapping[str, str],
    number: int,
    file_name: str,
    *,
    names: Mapping[str, str],
    settings: Mapping[str, OutcomeSettings],
) -> str:
    """Return the participant of a line; refuse one or an outcome that is not known."""
    where = f"{file_name} line {number}"
    participant = names.get(cells["participant_id"].removeprefix("sub-"))
    if participant is None:
        msg = f"the trial has no participant '{cells['participant_id']}'; check spelling and leading zeros"
        raise StudyError(msg, where=where)
    if cells["parameter"] not in settings:
        msg = (
            f"'{cells['parameter']}' is no outcome of the protocol ({', '.join(settings)}); add it under "
            "[outcomes.parameters] or correct the name"
        )
        raise StudyError(msg, where=where)
    return participant


def _line(
    number: int,
    participant: str,
    cells: dict[str, str],
    outcome: OutcomeSettings,
    *,
    decimal_commas: bool,
) -> dict[str, Any]:
    line: dict[str, Any] = {
        "participant_id": participant,
        "parameter": cells["parameter"],
        "acq_time": one_line(cells["acq_time"]),
        "unit": one_line(cells["unit"]),
        "sequence": float(number),
        "status": "measured",
        "reason": "",
    }
    problems = []
    for column in _NUMBERS:
        line[column], problem = _parsed(cells.get(column, ""), column, decimal_commas=decimal_commas)
        problems.append(problem)
    if not any(problems) and not math.isnan(line["value"]):
        problems.append(outcome.refusal(line["value"]))
    if outcome.unit and line["unit"] != outcome.unit:
        problems.append(
            f"unit '{line['unit']}', expected '{outcome.unit}' by the protocol: convert the value"
        )
    told = "; ".join(problem for problem in problems if problem)
    if told:
        line |= {"status": "failed", "reason": told, "value": math.nan}
    elif math.isnan(line["value"]):
        line |= {"status": "missing", "reason": "no value stated"}
    return line


def _parsed(text: str, column: str, *, decimal_commas: bool) -> tuple[float, str]:
    """Return the number of a field, NaN without one, and why it has none although something stands there."""
    if not text:
        return math.nan, ""
    try:
        return stated_number(text, decimal_commas=decimal_commas), ""
    except StudyError as error:
        return math.nan, one_line(f"{column} {error.message}")


def _units(
    lines: Sequence[dict[str, Any]], settings: Mapping[str, OutcomeSettings], *, where: str
) -> dict[str, str]:
    """Return the one unit of each outcome that occurs, in the protocol's order."""
    stated: dict[str, set[str]] = {}
    for line in lines:
        stated.setdefault(line["parameter"], set()).add(settings[line["parameter"]].unit or line["unit"])
    for name, units in stated.items():
        if len(units) > 1:
            msg = f"{name} is given in several units ({', '.join(sorted(map(repr, units)))}); convert to one"
            raise StudyError(msg, where=where)
    return {name: stated[name].pop() for name in settings if name in stated}


def _require_distinct(lines: Sequence[dict[str, Any]], *, where: str) -> None:
    """Refuse two values of one time, however that is written."""
    seen: dict[tuple[object, ...], int] = {}
    for line in lines:
        key = (line["participant_id"], line["parameter"], line["instant"])
        first = seen.setdefault(key, int(line["sequence"]))
        if first != line["sequence"]:
            msg = (
                f"lines {first} and {int(line['sequence'])} both give {key[1]} of {key[0]} at "
                f"{line['acq_time'] or 'no date'}; keep one"
            )
            raise StudyError(msg, where=where)


def _instant(stated: Moment) -> tuple[object, ...]:
    """Return what two texts of one time have in common."""
    if not stated.has_time or stated.offset is None:
        return stated.first, stated.has_time, stated.last
    return stated.first - stated.offset, "UTC"


def _place(
    line: dict[str, Any], first_dose_time: str | None, protocol: Protocol, outcome: OutcomeSettings
) -> None:
    """Add visit, study day and order against the first dose to a line, and the reason where it has none."""
    stated = line["acq_time"] or None
    line["instant"] = stated
    try:
        when = timing(stated, first_dose_time)
        if stated is not None:
            line |= {"acq_time": moment(stated).text, "instant": _instant(moment(stated))}
    except ValueError as error:
        when = Timing(None, problem=one_line(f"acq_time {error}"))
        line |= {"status": "failed", "value": math.nan, "acq_time": ""}
    visit, reason = _visit_of(when, line["acq_time"], first_dose_time, protocol)
    if visit not in (*outcome.visits, "early", "unscheduled"):
        visit, reason = "unscheduled", f"{visit} is no visit of {outcome.label} in the protocol"
    line |= {
        "visit": visit,
        "day": math.nan if when.day is None else float(when.day),
        "before_dose": math.nan if when.before_dose is None else float(when.before_dose),
        "date": day_number(when),
        "moment": moment_number(when),
        "sortable": when.sortable or line["acq_time"],
        "reason": "; ".join(part for part in (line["reason"], reason, when.note) if part),
    }


def _visit_of(
    when: Timing, acq_time: str, first_dose_time: str | None, protocol: Protocol
) -> tuple[VisitName, str]:
    """Return the visit of a value, and why it is none that is analysed or what was not known of it."""
    visit, reason = window_of(when, protocol.outcome_windows())
    if visit == "baseline":
        refusal = not_before_dose(when, acq_time=acq_time, first_dose_time=first_dose_time, what="value") or (
            "" if when.before_dose else when.problem
        )
    elif visit not in ("early", "unscheduled"):
        refusal = not_after_dose(
            when, acq_time=acq_time, first_dose_time=first_dose_time, visit=visit, what="value"
        )
    else:
        return visit, reason
    return ("unscheduled", refusal) if refusal else (visit, reason or when.problem)

"""What the report says: records and tables turned into sentences, cards and table rows.

The template only lays out what is prepared here; every value is text already.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from infarct_vol.qa.album import FigureList
from infarct_vol.qa.places import component_lines, edit_lines
from infarct_vol.qa.states import state_label, visit_state
from infarct_vol.qa.wording import (
    ADVICE,
    PARAMETER_LABELS,
    STATUS_LABELS,
    has_value,
    millilitres,
    number,
    percent,
    visit_label,
    visit_rank,
)
from infarct_vol.records import ParticipantRecord, VisitRecord, VolumeRow
from infarct_vol.settings import ANALYSED_VISITS

Cells = dict[str, Any]
FOLLOW_UPS = ANALYSED_VISITS[1:]
PRIMARY: Sequence[str] = ("infarct", "infarct_flair")


def counts(records: Sequence[ParticipantRecord]) -> dict[str, int]:
    """Return numbers of participants and of analysed visits by state."""
    states = [visit_state(v, r.rows) for r in records for v in r.visits if v.visit in ANALYSED_VISITS]
    found = {state: states.count(state) for state in ("measured", "flagged", "reviewed", "edited", *ADVICE)}
    return {"participants": len(records), "visits": len(states), **found}


def cards(found: Mapping[str, int]) -> list[Cells]:
    """Return the numbers at the head of the page."""
    entries = [
        ("participants", "participants", ""),
        ("visits", "visits planned", ""),
        ("measured", "measured", "no remark"),
        ("flagged", "measured, flagged", "a reader should look"),
        ("reviewed", "reviewed", "accepted by a reader"),
        ("edited", "edited", "corrected by a reader"),
        ("failed", "failed or refused", "no value; see what failed"),
        ("not_measurable", "not measurable", "no value; see what failed"),
        ("missing", "missing", "no scan; nothing imputed"),
        ("excluded", "excluded", "on purpose"),
    ]
    always = {"participants", "visits", "measured", "flagged", "failed", "missing"}
    return [
        {"state": key, "label": label, "hint": hint, "number": found[key]}
        for key, label, hint in entries
        if found[key] or key in always
    ]


def sentences(found: Mapping[str, int], summary: pd.DataFrame) -> list[str]:
    """Return the result in words."""
    valued = sum(found[state] for state in ("measured", "flagged", "reviewed", "edited"))
    excluded = f", {found['excluded']} excluded" if found["excluded"] else ""
    lines = [
        f"{_count(found['participants'], 'participant')} with {_count(found['visits'], 'planned visit')}: "
        f"{valued} measured (of which {found['flagged']} flagged for a reader), "
        f"{found['failed']} failed or refused, {found['not_measurable']} not measurable, "
        f"{found['missing']} missing{excluded}."
    ]
    if found["reviewed"] or found["edited"]:
        accepted = _count(found["reviewed"] + found["edited"], "visit")
        lines.append(f"{accepted} accepted by a reader, of which {found['edited']} after a correction.")
    pooled = summary[summary["arm"].isin(("all", "")) & (summary["parameter"] == "infarct")]
    medians = [
        f"{number(row['volume_median'])} mL at {visit_label(row['visit'])} (n = {int(row['volume_n'])})"
        for row in _in_visit_order(pooled)
        if has_value(row["volume_median"])
    ]
    if medians:
        lines.append("Median infarct volume, each visit on its own modality: " + ", ".join(medians) + ".")
    alike = summary[summary["arm"].isin(("all", "")) & (summary["parameter"] == "infarct_flair")]
    changes = [
        f"{number(row['change_median'], sign=True)} mL at {visit_label(row['visit'])} "
        f"(n = {int(row['change_n'])})"
        for row in _in_visit_order(alike)
        if has_value(row["change_median"])
    ]
    if changes:
        lines.append("Median change from baseline, FLAIR against FLAIR: " + ", ".join(changes) + ".")
    return lines


def _count(amount: int, noun: str) -> str:
    return f"{amount} {noun}" if amount == 1 else f"{amount} {noun}s"


def _in_visit_order(table: pd.DataFrame) -> list[dict[str, Any]]:
    rows = [{str(k): v for k, v in row.items()} for row in table.to_dict("records")]
    return sorted(rows, key=lambda row: visit_rank(str(row["visit"])))


def summary_table(summary: pd.DataFrame) -> list[Cells]:
    """Return the rows of the summary by parameter, visit and arm that hold any value."""
    rows = []
    for name in PARAMETER_LABELS:
        for row in _in_visit_order(summary[summary["parameter"] == name]):
            if not (has_value(row["volume_median"]) or has_value(row["change_median"])):
                continue
            cells: Cells = {"parameter": PARAMETER_LABELS[name], "visit": visit_label(str(row["visit"]))}
            cells["arm"] = str(row["arm"])
            for prefix in ("volume", "change", "percent"):
                sign = prefix != "volume"
                cells[prefix] = _statistics(row, prefix, sign=sign)
            rows.append(cells)
    return rows


def _statistics(row: Mapping[str, Any], prefix: str, *, sign: bool) -> Cells:
    write = percent if prefix == "percent" else number

    def show(name: str) -> str:
        return write(row[f"{prefix}_{name}"], sign=sign)

    if not has_value(row[f"{prefix}_median"]):
        return {"n": "", "median": "", "quartiles": "", "range": ""}
    return {
        "n": str(int(row[f"{prefix}_n"])),
        "median": show("median"),
        "quartiles": f"{show('q1')} to {show('q3')}",
        "range": f"{show('min')} to {show('max')}",
    }


def volume_matrix(records: Sequence[ParticipantRecord]) -> list[Cells]:
    """Return one row a participant, one cell a visit: the primary volume or why there is none."""
    return [
        {
            "id": record.participant_id,
            "anchor": f"participant-{at}",
            "cells": [_volume_cell(record, name) for name in ANALYSED_VISITS],
        }
        for at, record in enumerate(records, start=1)
    ]


def _volume_cell(record: ParticipantRecord, name: str) -> Cells:
    visit = record.visit(name)
    row = next((r for r in record.rows if r.visit == name and r.parameter == "infarct"), None)
    if visit is None or row is None:
        return {"state": "missing", "text": "missing", "modality": "", "hint": "no such visit"}
    if has_value(row.volume_ml):
        hint = "; ".join(visit.flags)
        text, modality = millilitres(row.volume_ml), (row.modality or "").upper()
        return {"state": visit_state(visit, record.rows), "text": text, "modality": modality, "hint": hint}
    return {"state": row.status, "text": STATUS_LABELS[row.status], "modality": "", "hint": row.reason}


def change_matrix(change: pd.DataFrame, parameter: str) -> list[Cells]:
    """Return one row a participant, one cell a follow-up visit, of one parameter's change."""
    rows = change[change["parameter"] == parameter]
    table = []
    for person, own in rows.groupby("participant_id", sort=True):
        by_visit = {str(row["visit"]): row for row in _in_visit_order(own)}
        first = next(iter(by_visit.values()))
        table.append(
            {
                "id": str(person),
                "baseline": millilitres(first["baseline_volume_ml"]),
                "baseline_modality": _modality(first["baseline_modality"]),
                "cells": [_change_cell(by_visit.get(visit)) for visit in FOLLOW_UPS],
            }
        )
    return table


def _change_cell(row: Mapping[str, Any] | None) -> Cells:
    if row is None:
        return {"state": "missing", "text": "no row", "hint": ""}
    ends = f"{_modality(row['baseline_modality'])} \N{RIGHTWARDS ARROW} {_modality(row['modality'])}"
    if not has_value(row["change_ml"]):
        status = str(row["status"])
        lacking = status if status in ADVICE else "not_measurable"
        text = STATUS_LABELS[status] if status in ADVICE else "no change"
        return {"state": lacking, "text": text, "hint": str(row["reason"])}
    return {
        "state": "change",
        "text": f"{number(row['change_ml'], sign=True)} mL",
        "percent": f"{percent(row['percent_change'])} %" if has_value(row["percent_change"]) else "",
        "ends": ends,
        "alike": _is_true(row["like_for_like"]),
        "why_not": str(row.get("like_for_like_reason") or row["reason"]),
        "exceeds": _is_true(row["exceeds_repeatability"]),
    }


def _is_true(value: object) -> bool:
    return value is not None and value is not pd.NA and bool(value)


def _modality(value: object) -> str:
    return str(value).upper() if isinstance(value, str) and value else "\N{EM DASH}"


def unlike_reasons(change: pd.DataFrame, parameter: str, *, most: int = 8) -> list[str]:
    """Return why changes of a parameter are not like for like, the most frequent reason first."""
    rows = change[(change["parameter"] == parameter) & change["change_ml"].notna()]
    reasons = rows.loc[rows["like_for_like_reason"] != "", "like_for_like_reason"]
    counted = sorted(reasons.value_counts().items(), key=lambda item: (-item[1], str(item[0])))
    lines = [f"{reason} ({_count(number_of, 'change')})" for reason, number_of in counted[:most]]
    if len(counted) > most:
        lines.append(f"and {len(counted) - most} more, in the table of changes")
    return lines


def problems(records: Sequence[ParticipantRecord]) -> list[Cells]:
    """Return each reason for which values are absent, with the visit and what to do."""
    found: dict[tuple[str, str, str, str], list[str]] = {}
    for record in records:
        for row in record.rows:
            if row.status in ADVICE:
                key = (record.participant_id, row.visit, row.status, row.reason)
                found.setdefault(key, []).append(PARAMETER_LABELS[row.parameter])
    order = {"failed": 0, "not_measurable": 1, "excluded": 2, "missing": 3}
    keys = sorted(found, key=lambda key: (order[key[2]], key[0], visit_rank(key[1])))
    return [
        {
            "id": person,
            "visit": visit_label(visit),
            "state": status,
            "status": STATUS_LABELS[status],
            "concerned": ", ".join(found[person, visit, status, reason]),
            "reason": reason or "no reason given",
            "advice": ADVICE[status],
        }
        for person, visit, status, reason in keys
    ]


def flags(records: Sequence[ParticipantRecord]) -> list[Cells]:
    """Return every remark a reader should look at."""
    return [
        {"id": record.participant_id, "visit": visit_label(visit.visit), "flags": list(visit.flags)}
        for record in records
        for visit in record.visits
        if visit.flags
    ]


def participant(record: ParticipantRecord, drawn: FigureList | None, *, at: int) -> Cells:
    """Return everything the page shows of one participant, but for what the audit trail says."""
    drawn = drawn or FigureList()
    states = [(visit_label(v.visit), visit_state(v, record.rows)) for v in record.visits]
    facts = [("site", record.site), ("first dose", record.first_dose_time)]
    return {
        "id": record.participant_id,
        "anchor": f"participant-{at}",
        "facts": [(name, value) for name, value in facts if value],
        "states": [{"visit": visit, "state": state, "label": state_label(state)} for visit, state in states],
        "needs_look": any(state not in ("measured", "reviewed", "edited") for _, state in states),
        "rows": [_row_cells(row) for row in record.rows],
        "visits": [_visit_cells(visit, drawn, record.rows) for visit in record.visits],
        "overview": [f for f in drawn.figures if not f.visit],
        "registrations": list(_registrations(record)),
        "accounting": list(_accounting(record)),
        "edits": edit_lines(record),
        "components": component_lines(record),
        "inputs": [(path, digest[:12]) for path, digest in sorted(record.inputs.items())],
        "versions": ", ".join(f"{name} {version}" for name, version in sorted(record.versions.items())),
        "fingerprint": record.fingerprint[:12],
        "has_figures": bool(drawn.figures),
    }


def _row_cells(row: VolumeRow) -> Cells:
    low_high = ""
    if has_value(row.volume_ml_low) and has_value(row.volume_ml_high):
        low_high = f"{number(row.volume_ml_low)} to {number(row.volume_ml_high)}"
    return {
        "visit": visit_label(row.visit),
        "day": "" if row.study_day is None else str(row.study_day),
        "parameter": PARAMETER_LABELS[row.parameter],
        "modality": (row.modality or "").upper(),
        "method": row.method or "",
        "volume": number(row.volume_ml),
        "low_high": low_high,
        "voxels": "" if row.voxel_count is None else f"{row.voxel_count:,}",
        "pieces": "" if row.lesion_count is None else str(row.lesion_count),
        "state": row.status,
        "status": STATUS_LABELS[row.status],
        "reason": row.reason,
    }


def _visit_cells(visit: VisitRecord, drawn: FigureList, rows: Sequence[VolumeRow]) -> Cells:
    state = visit_state(visit, rows)
    return {
        "label": visit_label(visit.visit),
        "session": visit.session_id or "",
        "day": visit.study_day,
        "date": visit.acq_time or "",
        "state": state,
        "status": state_label(state),
        "reason": visit.reason,
        "flags": list(visit.flags),
        "scans": [_scan_line(visit, at) for at in range(len(visit.scans))],
        "figures": [f for f in drawn.figures if f.visit == visit.visit],
        "notes": [n.text for n in drawn.notes if n.visit == visit.visit],
    }


def _scan_line(visit: VisitRecord, at: int) -> Cells:
    scan = visit.scans[at]
    spacing = " x ".join(f"{mm:.2f}" for mm in scan.spacing_mm)
    scanner = scan.manufacturer or "scanner not stated"
    if scan.field_strength_t:
        scanner += f" {scan.field_strength_t:g} T"
    text = f"{spacing} mm, {scan.axis_codes}, {scanner}"
    return {"modality": scan.modality.upper(), "text": text, "remarks": "; ".join(scan.remarks)}


def _registrations(record: ParticipantRecord) -> Iterator[Cells]:
    for visit in record.visits:
        for found in visit.registrations:
            turn = f"{number(found.angle_degrees)} degrees" if has_value(found.angle_degrees) else ""
            shift = f"{number(found.shift_mm)} mm" if has_value(found.shift_mm) else ""
            yield {
                "pair": f"{found.fixed} \N{RIGHTWARDS ARROW} {found.moving}",
                "visit": visit_label(visit.visit),
                "verdict": found.verdict,
                "motion": ", ".join(part for part in (turn, shift) if part),
                "metrics": ", ".join(f"{k} {v:.3g}" for k, v in sorted(found.metrics.items())),
                "reasons": "; ".join(found.reasons),
            }


def _accounting(record: ParticipantRecord) -> Iterator[Cells]:
    for visit in record.visits:
        if has_value(visit.persistent_ml):
            yield {
                "visit": visit_label(visit.visit),
                "persistent": number(visit.persistent_ml),
                "resolved": number(visit.resolved_ml),
                "new": number(visit.new_ml),
            }


def truth_table(truth: pd.DataFrame) -> tuple[list[Cells], list[str]]:
    """Return rows of measured against true volumes, and the result in words."""
    rows = []
    for row in _records(without_repeats(truth)):
        state = str(row.get("status") or "measured")
        rows.append(
            {
                "id": str(row["participant_id"]),
                "visit": visit_label(str(row["visit"])),
                "parameter": PARAMETER_LABELS.get(str(row["parameter"]), str(row["parameter"])),
                "true": number(row["true_ml"]),
                "measured": number(row["measured_ml"]) if has_value(row["measured_ml"]) else "",
                "error": number(row["error_ml"], sign=True),
                "percent": percent(row["error_percent"]),
                "state": state if state in ADVICE else "measured",
                "status": STATUS_LABELS.get(state, state),
            }
        )
    known = truth[truth["error_percent"].notna() & (truth["parameter"] == "infarct")]
    words = []
    for label, of_visit in (
        ("baseline", known["visit"] == "baseline"),
        ("follow-up", known["visit"] != "baseline"),
    ):
        errors = known.loc[of_visit & (known["true_ml"] >= 5), "error_percent"].abs()
        if len(errors):
            n = len(errors)
            words.append(
                f"{label}, infarcts of 5 mL and more: median |error| {errors.median():.1f} % (n = {n})"
            )
    return rows, words


def without_repeats(truth: pd.DataFrame) -> pd.DataFrame:
    """Leave out the rows whose number stands in the primary row already: the infarct on its own modality."""
    on_flair_later = (truth["parameter"] == "infarct_flair") & (truth["visit"] != "baseline")
    return truth[~(on_flair_later | (truth["parameter"] == "infarct_dwi"))]


def _records(table: pd.DataFrame) -> Iterator[dict[str, Any]]:
    for row in table.to_dict("records"):
        yield {str(key): value for key, value in row.items()}


def data_cut(records: Sequence[ParticipantRecord]) -> str:
    """Return the date of the latest scan."""
    times = [visit.acq_time for record in records for visit in record.visits if visit.acq_time]
    return max(times)[:10] if times else "no scan has a date"

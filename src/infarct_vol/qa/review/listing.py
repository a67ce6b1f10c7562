"""Changes, hashes and the contact sheet's lines of one participant, as text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from infarct_vol.qa.album import FigureList, embedded_figure, figure_folder, safe_name
from infarct_vol.qa.review.decisions import VERDICT_LABELS, VERDICT_STATES, Reviewed, moment
from infarct_vol.qa.states import state_label, visit_state
from infarct_vol.qa.wording import (
    PARAMETER_LABELS,
    STATUS_LABELS,
    has_value,
    millilitres,
    number,
    percent,
    visit_label,
    visit_rank,
)
from infarct_vol.records import VisitRecord
from infarct_vol.settings import ANALYSED_VISITS

Cells = dict[str, Any]


def participant_file(participant_id: str) -> str:
    """Return where a participant's page is, relative to ``OUT/report``."""
    return f"participants/{safe_name(participant_id)}.html"


def change_lines(change: pd.DataFrame | None) -> list[Cells]:
    """Return a participant's changes from baseline: one line a parameter and follow-up visit.

    Parameters
    ----------
    change
        The participant's rows of ``change_from_baseline.csv``; None where there are none.
    """
    names = list(PARAMETER_LABELS)
    rows = [] if change is None else change.to_dict("records")
    ordered = sorted(rows, key=lambda row: (names.index(row["parameter"]), visit_rank(row["visit"])))
    return [_change_cells(row) for row in ordered]


def _change_cells(row: dict[Any, Any]) -> Cells:
    ends = [
        str(end).upper() if isinstance(end, str) else ""
        for end in (row["baseline_modality"], row["modality"])
    ]
    valued = has_value(row["change_ml"])
    why_not = "" if row["like_for_like"] is True else str(row.get("like_for_like_reason") or "")
    return {
        "parameter": PARAMETER_LABELS[row["parameter"]],
        "visit": visit_label(row["visit"]),
        "ends": " \N{RIGHTWARDS ARROW} ".join(ends),
        "baseline": number(row["baseline_volume_ml"]),
        "volume": number(row["volume_ml"]),
        "change": number(row["change_ml"], sign=True),
        "percent": percent(row["percent_change"]),
        "alike": "" if not valued else "yes" if _is_true(row["like_for_like"]) else "no",
        "exceeds": "" if not valued else "yes" if _is_true(row["exceeds_repeatability"]) else "no",
        "state": str(row["status"]),
        "status": STATUS_LABELS.get(str(row["status"]), str(row["status"])),
        "reason": str(row["reason"] or "") if isinstance(row["reason"], str) else "",
        "why_not": why_not if valued else "",
    }


def _is_true(value: object) -> bool:
    return value is not None and value is not pd.NA and bool(value)


def hash_lines(one: Reviewed) -> list[Cells]:
    """Return every scan, mask and transform of a participant with its SHA-256."""
    lines: list[Cells] = []
    for visit in one.record.visits:
        label = visit_label(visit.visit)
        lines += [
            {
                "visit": label,
                "what": f"scan, {scan.modality.upper()}",
                "path": scan.path,
                "sha256": scan.sha256,
            }
            for scan in visit.scans
        ]
        made = {f"mask, {key.replace('_', ' ')}": path for key, path in sorted(visit.masks.items())}
        made |= {
            f"transform, {r.fixed} to {r.moving}": r.path for r in visit.registrations if r.path is not None
        }
        lines += [
            {"visit": label, "what": what, "path": path, "sha256": _digest(one, path)}
            for what, path in made.items()
        ]
    return lines


def _digest(one: Reviewed, path: str) -> str:
    versions = {version.mask.path: version.mask.sha256 for version in one.history.versions}
    return one.record.outputs.get(path) or versions.get(path, "")


def sheet_row(one: Reviewed, drawn: FigureList | None, out: Path, *, change: Sequence[Cells]) -> Cells:
    """Return a participant's line of the contact sheet: a picture, a volume and a verdict a visit.

    Parameters
    ----------
    change
        As `change_lines` gives them.
    """
    record = one.record
    primary = {line["visit"]: line for line in change if line["parameter"] == PARAMETER_LABELS["infarct"]}
    cells = [
        {**_visit_cell(one, name, drawn or FigureList(), out), **_change_of(primary.get(visit_label(name)))}
        for name in ANALYSED_VISITS
    ]
    looks = {"measured", "reviewed", "edited"}
    return {
        "id": record.participant_id,
        "site": record.site or "",
        "file": participant_file(record.participant_id),
        "cells": cells,
        "look": "no" if all(cell["state"] in looks for cell in cells) else "yes",
    }


def _visit_cell(one: Reviewed, name: str, drawn: FigureList, out: Path) -> Cells:
    record, visit = one.record, one.record.visit(name)
    row = next((r for r in record.rows if r.visit == name and r.parameter == "infarct"), None)
    figure = next((figure for figure in drawn.thumbnails if figure.visit == name), None)
    state = visit_state(visit, record.rows) if visit is not None else "missing"
    cell: Cells = {
        "visit": visit_label(name),
        "state": state,
        "status": state_label(state),
        "figure": figure,
        "path": figure_folder(record.participant_id, out) / figure.file if figure is not None else None,
        "volume": millilitres(row.volume_ml) if row is not None and has_value(row.volume_ml) else "",
        "modality": (row.modality or "").upper() if row is not None else "",
        "reason": (row.reason if row is not None else "") or (visit.reason if visit is not None else ""),
        "flags": len(visit.flags) if visit is not None else 0,
        "verdicts": list(_verdicts(one, visit)),
        "embed": partial(embedded_figure, record.participant_id, out),
    }
    return cell


def _change_of(line: Cells | None) -> Cells:
    change, share = (line["change"], line["percent"]) if line is not None else ("", "")
    return {"change": f"{change} mL" if change else "", "percent": f"{share} %" if share else ""}


def _verdicts(one: Reviewed, visit: VisitRecord | None) -> Iterator[Cells]:
    """Yield what counts of each of a visit's items."""
    if visit is None:
        return
    for item, standing in one.standings.items():
        if item.session_id != visit.session_id:
            continue
        name = item.image.upper() if item.image != "registration" else "registration"
        if standing.state == "disagreement":
            yield {"state": "flagged", "text": f"{name}: reads disagree", "by": ""}
        elif standing.state == "stale":
            yield {"state": "flagged", "text": f"{name}: read again, the input changed", "by": ""}
        elif standing.verdict is not None:
            by = f"{', '.join(standing.readers)}, {moment(standing.utc)[:10]}"
            text = f"{name}: {VERDICT_LABELS[standing.verdict]}"
            yield {"state": VERDICT_STATES[standing.verdict], "text": text, "by": by}

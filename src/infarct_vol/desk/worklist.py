"""One line of the worklist: how far a case is, what it measures, and why it should be looked at."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from infarct_vol.change import participant_changes
from infarct_vol.desk.views import CaseView, Cells
from infarct_vol.protocol import Protocol
from infarct_vol.records import VisitRecord
from infarct_vol.review.cases import Facts
from infarct_vol.review.model import KEYS_OF

CaseStatus = Literal["todo", "done", "query", "rejected", "disagreement", "stale"]


def case_line(view: CaseView, protocol: Protocol) -> Cells:
    """Return a case's line of the worklist.

    Parameters
    ----------
    view
        The case as its reader sees it.
    protocol
        Says how change is judged.
    """
    case = view.case
    items = list(_due(view))
    done = [facts for facts in items if _is_done(view, facts)]
    visits = [view.record.visit(visit.visit) or visit for visit in case.visits.values()]
    flags = list(dict.fromkeys(case.told(flag) for visit in visits for flag in visit.flags))
    return {
        "code": case.code,
        "title": case.title,
        "kind": case.kind,
        "status": _status(view, items, done),
        "flags": flags,
        "visits": _visits(view, protocol),
        "done": len(done),
        "total": len(items),
        "edited": any(case.in_work(view.reading, facts) != facts.masks for facts in items),
    }


def _due(view: CaseView) -> Iterable[Facts]:
    """Return the items that are this reader's to judge."""
    facts = view.case.facts.values()
    if view.case.kind != "adjudication":
        return facts
    return [each for each in facts if each.is_due(view.reading, view.case.reader.name)]


def _is_done(view: CaseView, facts: Facts) -> bool:
    stream = view.case.stream(view.reading, facts)
    return stream.decision is not None and not stream.waiting and facts.fits(view.reading, stream)


def _status(view: CaseView, items: list[Facts], done: list[Facts]) -> CaseStatus:
    streams = [view.case.stream(view.reading, facts) for facts in items]
    if any(not facts.fits(view.reading, stream) for facts, stream in zip(items, streams, strict=True)):
        return "stale"
    verdicts = {stream.decision.decision.verdict for stream in streams if stream.decision}
    if "query" in verdicts:
        return "query"
    if len(done) < len(items):
        return "disagreement" if view.case.kind == "adjudication" else "todo"
    return "rejected" if verdicts & {"reject", "not_measurable"} else "done"


def _visits(view: CaseView, protocol: Protocol) -> list[Cells]:
    changes = {
        row.visit: row
        for row in participant_changes(view.record, protocol=protocol)
        if row.parameter == "infarct" and view.case.kind == "open"
    }
    cells = []
    for name, visit in view.case.visits.items():
        change = changes.get(visit.visit)
        cells.append(
            {
                "id": name,
                "label": view.label(name, visit),
                "volume_ml": _volume_ml(view, name, visit),
                "change_ml": change.change_ml if change else None,
                "percent_change": change.percent_change if change else None,
                "status": _row_status(view, visit),
            }
        )
    return cells


def _volume_ml(view: CaseView, name: str, visit: VisitRecord) -> float | None:
    """Return the visit's volume: the one that counts, or the reader's own where the reading is blinded."""
    if view.case.kind == "open":
        rows = (r for r in view.record.rows if r.visit == visit.visit and r.parameter == "infarct")
        return next((row.volume_ml for row in rows), None)
    image = "dwi" if visit.visit == "baseline" else "flair"
    facts = view.case.facts.get(f"{name}.{image}")
    if facts is None:
        return None
    key = KEYS_OF[facts.item.image][0]
    sha256 = view.case.in_work(view.reading, facts)[key]
    return view.case.volume_ml(view.reading, facts, sha256)


def _row_status(view: CaseView, visit: VisitRecord) -> str:
    rows = (r for r in view.record.rows if r.visit == visit.visit and r.parameter == "infarct")
    return next((row.status for row in rows), visit.status)

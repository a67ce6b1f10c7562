"""Names and numbers of visits in the datasets: planned visits have whole numbers, others lie between them."""

from __future__ import annotations

from collections.abc import Sequence

PLANNED: dict[str, tuple[str, int, float]] = {
    "baseline": ("Baseline", 1, 0),
    "month1": ("Month 1", 2, 1),
    "month3": ("Month 3", 3, 3),
    "month6": ("Month 6", 4, 6),
    "month9": ("Month 9", 5, 9),
    "month12": ("Month 12", 6, 12),
}
"""Visit -> AVISIT, VISITNUM, AVISITN (months)."""
_OTHERS: dict[str, tuple[str, float]] = {"early": ("Early", 0.5), "unscheduled": ("Unscheduled", 99)}
_STEP = 0.01
"""An unscheduled visit's number is that of the planned visit before it, and a hundredth for each since."""


def analysis_visit(visit: str) -> tuple[str, float]:
    """Return AVISIT and AVISITN."""
    if visit in PLANNED:
        label, _, number = PLANNED[visit]
        return label, float(number)
    return _OTHERS[visit]


def numbered(visits: Sequence[tuple[str, str]]) -> list[tuple[str, float]]:
    """Return VISIT and VISITNUM of one participant's visits.

    Parameters
    ----------
    visits
        (visit name, sortable date) of each; a date may be empty.

    Returns
    -------
    list
        In the order given. A visit that is none of the protocol's is numbered after the planned one whose
        date precedes it, in the order of dates.
    """
    planned = {visit: date for visit, date in visits if visit in PLANNED}
    found: dict[int, tuple[str, float]] = {}
    since: dict[float, int] = {}
    for at in sorted(range(len(visits)), key=lambda at: (visits[at][1], at)):
        visit, date = visits[at]
        if visit in PLANNED:
            label, number, _ = PLANNED[visit]
            found[at] = label.upper(), float(number)
            continue
        before = max((PLANNED[v][1] for v, d in planned.items() if d and date and d <= date), default=0)
        since[before] = since.get(before, 0) + 1
        found[at] = f"UNSCHEDULED {before}.{since[before]:02d}", round(before + _STEP * since[before], 2)
    return [found[at] for at in range(len(visits))]

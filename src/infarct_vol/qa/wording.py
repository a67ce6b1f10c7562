"""Words and numbers as a reader sees them: one wording for pictures and pages."""

from __future__ import annotations

import math

VISIT_LABELS = {
    "baseline": "baseline",
    "early": "early",
    "month1": "month 1",
    "month3": "month 3",
    "month6": "month 6",
    "month9": "month 9",
    "month12": "month 12",
    "unscheduled": "unscheduled",
}
VISIT_ORDER = tuple(VISIT_LABELS)
PARAMETER_LABELS = {
    "infarct": "infarct (stage-aware)",
    "infarct_dwi": "infarct on DWI",
    "infarct_flair": "infarct on FLAIR",
    "cavity": "cavity",
    "new_lesion": "new lesion",
}
STATUS_LABELS = {
    "measured": "measured",
    "reviewed": "reviewed",
    "edited": "edited",
    "not_measurable": "not measurable",
    "failed": "failed",
    "missing": "missing",
    "excluded": "excluded",
}
ADVICE = {
    "missing": "No scan is in the study for this visit. If it took place, add the scan and run again; "
    "if not, nothing is to be done: the value stays absent.",
    "failed": "Follow the reason given, repair or replace the file, and run again; "
    "finished participants are not redone.",
    "not_measurable": "A reader should look at the scan and either supply a mask (--masks) or confirm "
    "that it cannot be measured.",
    "excluded": "Excluded on purpose; confirm that the reason stands.",
}


def visit_label(visit: str) -> str:
    """Return a visit's name for a reader."""
    return VISIT_LABELS.get(visit, visit)


def visit_rank(visit: str) -> int:
    """Return a visit's place in time; unknown visits come last."""
    return VISIT_ORDER.index(visit) if visit in VISIT_ORDER else len(VISIT_ORDER)


def has_value(value: object) -> bool:
    """Tell whether a number is there: None and NaN are not numbers to show."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def number(value: object, *, sign: bool = False) -> str:
    """Return a number with about three significant digits; an absent one as an empty text."""
    if not isinstance(value, (int, float)) or not has_value(value):
        return ""
    size = abs(value)
    places = 1 if size >= 10 or size == 0 else 2 if size >= 1 else 3
    text = f"{value:+.{places}f}" if sign and value != 0 else f"{value:.{places}f}"
    return text.replace("-", "\N{MINUS SIGN}")


def percent(value: object, *, sign: bool = True) -> str:
    """Return a percentage with one decimal, without its sign of percent; an absent one as an empty text."""
    if not isinstance(value, (int, float)) or not has_value(value):
        return ""
    text = f"{value:+.1f}" if sign and value != 0 else f"{value:.1f}"
    return text.replace("-", "\N{MINUS SIGN}")


def millilitres(value: object) -> str:
    """Return a volume with its unit; an absent one as a dash."""
    return f"{number(value)} mL" if has_value(value) else "\N{EM DASH}"


def session_label(session_id: str | None) -> str:
    """Return a session's label without its ``ses-`` prefix."""
    return (session_id or "").removeprefix("ses-")

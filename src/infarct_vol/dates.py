"""Dates as trials write them: whole or partial, and the study day they fall on."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

_PARTIAL_DATE = re.compile(r"\d{4}(-\d{2}|---\d{2})?(T.*)?")
"""An ISO 8601 date of reduced precision, also as SDTM writes a day without its month."""
_YEARS = range(1583, 4000)
"""Years of the Gregorian calendar in which SAS and Python count days alike."""


@dataclass(frozen=True)
class Timing:
    """When something was done, relative to the first dose.

    Parameters
    ----------
    day
        Study day; ``None`` where a date is not stated or partial.
    before_dose
        Whether it is known to precede the first dose; ``None`` where that is not known.
    problem
        Why it can be placed in no window although a date is stated; empty otherwise.
    """

    day: int | None
    before_dose: bool | None = None
    problem: str = ""


@lru_cache(maxsize=1000)
def timing(acq_time: str | None, first_dose_time: str | None) -> Timing:
    """Return study day and order against the first dose.

    The CDISC rule for ADY: the difference of dates, plus one from the reference date on. The day of first
    dose is day 1, the day before it day -1; there is no day 0.

    Raises
    ------
    ValueError
        If a text is neither an ISO 8601 date or time nor a partial one.
    """
    for what, text in (("acquisition", acq_time), ("first dose", first_dose_time)):
        if text is not None and not is_whole_date(text):
            problem = f"the date of {what}, {text}, is partial: no study day; state year, month and day"
            return Timing(None, problem=problem)
    if acq_time is None or first_dose_time is None:
        return Timing(None)
    done, dose = datetime.fromisoformat(acq_time), datetime.fromisoformat(first_dose_time)
    days = (done.date() - dose.date()).days
    if days:
        return Timing(days + 1 if days > 0 else days, days < 0)
    if len(acq_time) <= 10 or len(first_dose_time) <= 10 or (done.tzinfo is None) != (dose.tzinfo is None):
        return Timing(1)
    return Timing(1, done <= dose)


def is_whole_date(text: str) -> bool:
    """Tell a whole date or time from a partial one.

    Raises
    ------
    ValueError
        If the text is neither, or its year is none that SAS counts.
    """
    try:
        year = datetime.fromisoformat(text).year
    except ValueError:
        if _PARTIAL_DATE.fullmatch(text):
            return False
        raise
    if year not in _YEARS:
        msg = f"year {year}, expected {_YEARS.start} to {_YEARS.stop - 1}"
        raise ValueError(msg)
    return True


def newest(texts: Iterable[str]) -> datetime | None:
    """Return the newest of the whole dates and times, by the clock each was written by; None without one."""
    whole = (text for text in set(texts) if text and is_whole_date(text))
    times = (datetime.fromisoformat(text).replace(tzinfo=None, microsecond=0) for text in whole)
    return max(times, default=None)


def days_from_target(day: int, target_day: int) -> int:
    """Return the days between a study day and a target, either way (AWTDIFF of ADaM): no day 0 is counted."""
    apart = abs(day - target_day)
    return apart - 1 if (day < 0) != (target_day < 0) else apart

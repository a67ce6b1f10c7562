"""Dates as trials write them, whole or partial, and when something was done relative to the first dose.

The rule of order. Where both the scan and the first dose state a time and its offset from UTC, they are
compared as instants, whatever their local dates are. Where neither states an offset, they are compared by the
clock on the wall, by day where a time is not stated. Where one alone states an offset, they are compared
by date, if those are more than a day apart; closer ones are in no known order, since zones are up to 26 hours
apart.

The rule of days. Study days are counted on the calendar of the first dose: an instant is first brought to the
offset of the dose. So what precedes the dose is never later than day 1, and what follows it never earlier.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache

_YEARS = range(1583, 4000)
"""Years of the Gregorian calendar in which SAS and Python count days alike."""
_PARTIAL_DATE = re.compile(
    r"(\d{4})(?:-(\d{2})|---(\d{2}))?(T(?:\d{2}|-)(?::(?:\d{2}|-)(?::\d{2})?)?)?", re.ASCII
)
"""An ISO 8601 date of reduced precision, also as SDTM writes a day without its month."""
_DATES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, re.ASCII), form)
    for pattern, form in (
        (r"\d{4}-\d{2}-\d{2}", "%Y-%m-%d"),
        (r"\d{8}", "%Y%m%d"),
        (r"\d{4}-W\d{2}-[1-7]", "%G-W%V-%u"),
        (r"\d{4}W\d{2}[1-7]", "%GW%V%u"),
        (r"\d{4}-\d{3}", "%Y-%j"),
        (r"\d{7}", "%Y%j"),
    )
)
"""Forms of ISO 8601 for one day: calendar, week and ordinal dates, extended and basic."""
_TIME = re.compile(r"(\d{2})(?::?(\d{2})(?::?(\d{2})(?:[.,](\d+))?)?)?", re.ASCII)
_OFFSET = re.compile(r"([+-])(\d{2})(?::?(\d{2}))?", re.ASCII)
_WHOLE = re.compile(r"(?P<day>[^T]+?)(?:T(?P<time>[\d:.,]+)(?P<offset>Z|[+-][\d:]+)?)?", re.ASCII)
_LARGEST_OFFSET = timedelta(hours=14)
"""Of any place on Earth: Kiritimati is 14 hours before UTC."""
_OFFSET_STEP = timedelta(minutes=15)
_REMEDY = "write it as 2026-03-01 or 2026-03-01T09:30:00"


@dataclass(frozen=True)
class Moment:
    """A date or time as it was written, understood.

    Parameters
    ----------
    text
        As --DTC of SDTM wants it: ISO 8601, extended.
    first, last
        The earliest and the latest it may be, by its own clock, without an offset.
    offset
        Of its clock from UTC; None where it is not stated.
    is_whole
        Whether year, month and day are known.
    has_time
        Whether at least hour and minute are known.
    """

    text: str
    first: datetime
    last: datetime
    offset: timedelta | None = None
    is_whole: bool = True
    has_time: bool = False

    def on_clock_of(self, other: Moment | None) -> datetime:
        """Return the earliest it may be by the clock of another one; by its own where one has no offset."""
        if other is None or self.offset is None or other.offset is None:
            return self.first
        return self.first - self.offset + other.offset


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
        Why there is no study day although a date is stated; empty otherwise.
    days
        First and last study day it may have, where a date is partial.
    at
        Date and time by the clock of the first dose, where both state an offset; by its own otherwise.
        The earliest it may be where no time is stated; None of a partial date.
    note
        What a reader must know of the clocks; empty where both are one.
    is_zone_open
        Whether order is not known because one of the two alone states its offset from UTC.
    in_utc
        Whether both state their offset, so that they were compared as instants.
    """

    day: int | None
    before_dose: bool | None = None
    problem: str = ""
    days: tuple[int, int] | None = None
    at: datetime | None = None
    note: str = ""
    is_zone_open: bool = False
    in_utc: bool = False

    @property
    def sortable(self) -> str:
        """Text that sorts as the times do; empty of a partial date."""
        return self.at.isoformat() if self.at is not None else ""


@lru_cache(maxsize=10_000)
def moment(text: str) -> Moment:
    """Return a date or time in the forms of ISO 8601, whole or partial.

    Blanks around it and in place of the ``T``, lower case, basic form, week and ordinal dates, ``24:00`` and
    short offsets are understood. What --DTC wants already stays exactly as it is written.

    Raises
    ------
    ValueError
        If the text may be something else, such as ``09/10/2024`` or the day number of a spreadsheet: what to
        write.
    """
    plain = " ".join(text.split()).upper().replace("\N{MINUS SIGN}", "-")
    plain = re.sub(r" (?=[+-]\d{2}:?(\d{2})?$|Z$)", "", plain).replace(" ", "T", 1)
    partial = _partial(plain)
    if partial is not None:
        return partial
    found = _WHOLE.fullmatch(plain)
    day = _day(found["day"]) if found else None
    if found is None or day is None:
        raise ValueError(_not_iso(text, plain))
    _check_year(day.year)
    if found["time"] is None:
        start = datetime.combine(day, datetime.min.time())
        return Moment(day.isoformat(), start, start + timedelta(days=1, microseconds=-1))
    return _timed(day, found["time"], found["offset"], text)


def _check_year(year: int) -> None:
    if year not in _YEARS:
        msg = f"year {year}, expected {_YEARS.start} to {_YEARS.stop - 1}"
        raise ValueError(msg)


def iso_text(text: str) -> str:
    """Return a date or time as --DTC of SDTM wants it.

    Raises
    ------
    ValueError
        As `moment`.
    """
    return moment(text).text


def _partial(plain: str) -> Moment | None:
    found = _PARTIAL_DATE.fullmatch(plain)
    if found is None:
        return None
    year = int(found[1])
    month = int(found[2]) if found[2] else None
    if year not in _YEARS or month not in {None, *range(1, 13)} or int(found[3] or 1) not in range(1, 32):
        msg = f"'{plain}' is no date: year {_YEARS.start} to {_YEARS.stop - 1}, month 01 to 12; {_REMEDY}"
        raise ValueError(msg)
    start = datetime(year, month or 1, 1)  # noqa: DTZ001
    following = datetime(year + (month or 12) // 12, (month or 12) % 12 + 1, 1)  # noqa: DTZ001
    return Moment(plain, start, following - timedelta(microseconds=1), is_whole=False)


def _day(text: str) -> date | None:
    for pattern, form in _DATES:
        if pattern.fullmatch(text):
            try:
                day = datetime.strptime(text, form).date()  # noqa: DTZ007
            except ValueError:
                return None
            # day 366 of a year of 365 would be taken for a day of the next year
            return day if day.strftime(form).zfill(len(text)) == text else None
    return None


def _timed(day: date, time: str, offset: str | None, text: str) -> Moment:
    found = _TIME.fullmatch(time)
    if found is None:
        msg = f"'{text.strip()}': '{time}' is no time of day; {_REMEDY}"
        raise ValueError(msg)
    hour, minute, second = (int(part or 0) for part in found.groups()[:3])
    is_midnight = (hour, minute, second, int(found[4] or 0)) == (24, 0, 0, 0)
    if not is_midnight and (hour > 23 or minute > 59 or second > 59):
        msg = f"'{text.strip()}': '{time}' is no time of day; {_REMEDY}"
        raise ValueError(msg)
    day, hour = (day + timedelta(days=1), 0) if is_midnight else (day, hour)
    _check_year(day.year)  # the midnight that ends a day may be in the next year
    fraction = f".{found[4]}" if found[4] else ""
    clock = ":".join(
        f"{part:02d}" for part, given in zip((hour, minute, second), found.groups(), strict=False) if given
    )
    shift, written = _shift(offset, text)
    first = datetime.combine(day, datetime.min.time()) + timedelta(
        hours=hour, minutes=minute, seconds=second, microseconds=int((found[4] or "0")[:6].ljust(6, "0"))
    )
    # an hour without its minutes may be any of them; a minute is compared as its beginning
    last = first if found[2] else first + timedelta(hours=1, microseconds=-1)
    whole = f"{day.isoformat()}T{clock}{fraction}{written}"
    return Moment(whole, first, last, shift, has_time=found[2] is not None)


def _shift(offset: str | None, text: str) -> tuple[timedelta | None, str]:
    """Return an offset from UTC, and how it is written."""
    if offset is None:
        return None, ""
    if offset == "Z":
        return timedelta(0), "Z"
    found = _OFFSET.fullmatch(offset)
    if found is None or int(found[3] or 0) > 59 or offset[0] == "-" and not int(re.sub(r"\D", "", offset)):
        msg = f"'{text.strip()}': '{offset}' is no offset from UTC; write it as +02:00, or Z"
        raise ValueError(msg)
    size = timedelta(hours=int(found[2]), minutes=int(found[3] or 0))
    if size > _LARGEST_OFFSET or size % _OFFSET_STEP:
        msg = f"'{text.strip()}': no place on Earth is {offset} from UTC; write its offset, such as +02:00"
        raise ValueError(msg)
    return (size if found[1] == "+" else -size), f"{found[1]}{found[2]}:{found[3] or '00'}"


def _not_iso(text: str, plain: str) -> str:
    told = f"'{text.strip()[:40]}' is not an ISO 8601 date or time, such as 2026-03-01 or 2026-03-01T09:30:00"
    if re.fullmatch(r"\d{5}([.,]\d+)?", plain, re.ASCII):
        return f"{told}; it may be the day number of a spreadsheet: format the cells as yyyy-mm-dd"
    if re.fullmatch(r"\d{1,4}[/.]\d{1,2}[/.]\d{1,4}.*", plain, re.ASCII):
        return f"{told}; day and month of such a date may be mistaken for each other: write the year first"
    if re.fullmatch(r"\d{4}-?W\d{2}", plain, re.ASCII):
        return f"{told}; it names a week and no day"
    return told


@lru_cache(maxsize=1000)
def timing(acq_time: str | None, first_dose_time: str | None) -> Timing:
    """Return study day and order against the first dose, by the rules at the head of this module.

    The CDISC rule for ADY: the difference of dates, plus one from the reference date on. The day of first
    dose is day 1, the day before it day -1; there is no day 0.

    Raises
    ------
    ValueError
        If a text is neither an ISO 8601 date or time nor a partial one.
    """
    done = moment(acq_time) if acq_time is not None else None
    dose = moment(first_dose_time) if first_dose_time is not None else None
    for what, stated in (("acquisition", done), ("first dose", dose)):
        if stated is not None and not stated.is_whole:
            problem = (
                f"the date of {what}, {stated.text}, is partial: no study day; state year, month and day"
            )
            return _partial_timing(done, dose, problem)
    if done is None or dose is None:
        return Timing(None, at=done.first if done else None)
    at = done.on_clock_of(dose)
    apart = (at.date() - dose.first.date()).days
    day = _study_day(apart)
    if (done.offset is None) != (dose.offset is None):
        known = abs(apart) > 1
        return Timing(day, apart < 0 if known else None, at=at, is_zone_open=not known)
    note = ""
    if at.date() != done.first.date():
        note = (
            f"acquired {done.text}, which is {at:%Y-%m-%dT%H:%M} by the clock of the first dose, {dose.text}"
        )
    shift = at - done.first
    return Timing(day, _order(at, done.last + shift, dose), at=at, note=note, in_utc=done.offset is not None)


def _study_day(apart: int) -> int:
    return apart + 1 if apart >= 0 else apart


def _order(first: datetime, last: datetime, dose: Moment) -> bool | None:
    """Tell whether what was done between two times precedes the dose; None where it may or may not."""
    if last <= dose.first:
        return True
    return False if first > dose.last else None


def _partial_timing(done: Moment | None, dose: Moment | None, problem: str) -> Timing:
    """Return what is known where a date is partial: order, and the study days there may be."""
    at = done.first if done is not None and done.is_whole else None
    if done is None or dose is None:
        return Timing(None, problem=problem, at=at)
    days = (
        _study_day((done.first.date() - dose.last.date()).days),
        _study_day((done.last.date() - dose.first.date()).days),
    )
    margin = timedelta(days=int((done.offset is None) != (dose.offset is None)))
    before = _order(done.first - margin, done.last + margin, dose)
    return Timing(None, before, problem, days, at)


def is_whole_date(text: str) -> bool:
    """Tell a whole date or time from a partial one.

    Raises
    ------
    ValueError
        If the text is neither, or its year is none that SAS counts.
    """
    return moment(text).is_whole


def newest(texts: Iterable[str]) -> datetime | None:
    """Return the newest of the whole dates and times, by the clock each was written by; None without one."""
    times = (moment(text) for text in set(texts) if text)
    return max((each.first.replace(microsecond=0) for each in times if each.is_whole), default=None)


def in_order(texts: Iterable[str]) -> dict[str, float]:
    """Return a number for each date or time, by which they are sorted in time: seconds.

    Instants are compared where all that state a time state an offset, too; otherwise by the clock each was
    written by. A date without a time counts as the beginning of its day, a partial one as its first day.
    """
    known = {text: moment(text) for text in texts}
    instants = all(each.offset is not None for each in known.values() if each.has_time)
    return {
        text: (each.first - (each.offset if instants and each.offset is not None else timedelta(0)))
        .replace(tzinfo=UTC)
        .timestamp()
        for text, each in known.items()
    }


def days_from_target(day: int, target_day: int) -> int:
    """Return the days between a study day and a target, either way (AWTDIFF of ADaM): no day 0 is counted."""
    apart = abs(day - target_day)
    return apart - 1 if (day < 0) != (target_day < 0) else apart

"""Which session is which visit of the protocol, and on which study day.

The rules of CDISC for study days (there is no day 0) and of the protocol for windows; the trial's other
outcomes are placed by the same functions as the scans.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from infarct_vol.dates import Timing, days_from_target, timing
from infarct_vol.settings import VisitName, VisitSettings, VisitWindow
from infarct_vol.study import Participant, Session


@dataclass(frozen=True)
class Visit:
    """One visit of one participant.

    Parameters
    ----------
    name
        Visit of the protocol, ``early`` or ``unscheduled``.
    session
        The session chosen for it; ``None`` when the visit is missing.
    study_day
        Days from first dose, with no day 0; ``None`` when a date is unknown.
    reason
        Why the visit is missing or excluded; empty when it is to be measured.
    flags
        Sentences for the reader, such as a scan far from its target day.
    instead_of
        Visit this session takes the place of where no better one of its window can be measured.
    """

    name: VisitName
    session: Session | None
    study_day: int | None = None
    reason: str = ""
    flags: tuple[str, ...] = ()
    instead_of: VisitName | None = None


def window_of(when: Timing, windows: Mapping[VisitName, VisitWindow]) -> tuple[VisitName, str]:
    """Return the visit whose window holds a study day, or ``early`` or ``unscheduled`` with the reason."""
    if when.problem or when.day is None:
        return "unscheduled", when.problem or "acquisition or first-dose date unknown, so no study day"
    names = [name for name, window in windows.items() if window.holds(when.day)]
    if names:
        return names[0], ""
    follow_up = next((w.first_day for name, w in windows.items() if name != "baseline"), None)
    reason = f"study day {when.day} lies in no analysis window"
    return ("early" if follow_up is not None and 1 < when.day < follow_up else "unscheduled"), reason


def not_before_dose(
    when: Timing, *, acq_time: str | None, first_dose_time: str | None, what: str = "scan"
) -> str:
    """Say why a scan, or ``what`` it is, cannot be a baseline.

    Empty where it precedes the dose, or no date is known.
    """
    if when.day is None or when.before_dose:
        return ""
    if when.day > 1:
        dates = str(acq_time)[:10], str(first_dose_time)[:10]
        return f"{what} of {dates[0]} is later than first dose on {dates[1]}, so it is no baseline"
    if when.before_dose is False:
        return f"{what} is later than first dose on the same day, so it is no baseline"
    if len(str(acq_time)) <= 10 or len(str(first_dose_time)) <= 10:
        return f"{what} and first dose are on one day and not known to be in order; state both times"
    return f"{what} and first dose are on one day, and only one of them states its time zone; state both"


def assign_visits(participant: Participant, settings: VisitSettings) -> tuple[Visit, ...]:
    """Return every visit of the protocol in time order, then the sessions that are none of them.

    Several sessions in one visit: the nearest to the target day is taken, a tie goes to the earlier one,
    and the others stand by, best first, for the case that it cannot be measured (``instead_of``). A scan
    after first dose, or not known to precede it, is no candidate for baseline.
    """
    windows = settings.windows()
    candidates: dict[VisitName, list[_Placed]] = {name: [] for name in windows}
    others: list[Visit] = []
    for session in participant.sessions:
        placed = _placed(session, participant, settings)
        if placed.name in candidates:
            candidates[placed.name].append(placed)
        else:
            others.append(
                Visit(placed.name, session, placed.when.day, reason=placed.reason, flags=placed.flags)
            )
    visits = []
    for name, window in windows.items():
        ranked = _ranked(candidates[name], window)
        if not ranked:
            visits.append(Visit(name, None, reason=f"no session for {name}"))
            continue
        visits.append(_visit(name, ranked[0], window))
        others.extend(_stand_in(name, placed, window) for placed in ranked[1:])
    return (*visits, *others)


@dataclass(frozen=True)
class _Placed:
    """A session with the visit it belongs to; ``refusal`` says why it cannot be that visit after all."""

    session: Session
    name: VisitName
    when: Timing
    reason: str = ""
    refusal: str = ""
    flags: tuple[str, ...] = ()


def _placed(session: Session, participant: Participant, settings: VisitSettings) -> _Placed:
    when = timing(session.acq_time, participant.first_dose_time)
    named = _visit_of_label(session, settings)
    undated = session.acq_time is None or participant.first_dose_time is None
    by_label = settings.assign_by == "label" or (undated and not when.problem)
    flags: list[str] = []
    if by_label:
        name: VisitName = named or "unscheduled"
        reason = "" if named else f"session label {session.session_id} is no visit of the protocol"
        if settings.assign_by == "date" and named:
            absent = "acquisition" if session.acq_time is None else "first dose"
            flags.append(f"no study day, because the date of {absent} is not stated: {name} by its label")
        elif when.problem and named:
            flags.append(when.problem)
    else:
        name, reason = window_of(when, settings.windows())
        if named and name != named:
            place = f"in the window of {name}" if not reason else "in no window"
            flags.append(f"session label {session.session_id} says {named}, study day {when.day} is {place}")
    refusal = ""
    if name == "baseline":
        refusal = not_before_dose(
            when, acq_time=session.acq_time, first_dose_time=participant.first_dose_time
        )
    return _Placed(session, name, when, reason, refusal, tuple(flags))


def _visit_of_label(session: Session, settings: VisitSettings) -> VisitName | None:
    label = session.session_id.removeprefix("ses-").casefold()
    names = (n for n, w in settings.windows().items() if label in {x.casefold() for x in w.labels})
    return next(names, None)


def _ranked(candidates: list[_Placed], window: VisitWindow) -> list[_Placed]:
    def rank(placed: _Placed) -> tuple[bool, float, str, str]:
        day = placed.when.day
        distance = days_from_target(day, window.target_day) if day is not None else float("inf")
        # a session without a time comes last
        return bool(placed.refusal), distance, placed.session.acq_time or "~", placed.session.session_id

    return sorted(candidates, key=rank)


def _visit(name: VisitName, placed: _Placed, window: VisitWindow) -> Visit:
    if placed.refusal:
        return Visit(name, placed.session, placed.when.day, reason=placed.refusal, flags=placed.flags)
    flags = (*placed.flags, *_distance_flags(placed.when.day, window))
    return Visit(name, placed.session, placed.when.day, flags=flags)


def _stand_in(name: VisitName, placed: _Placed, window: VisitWindow) -> Visit:
    day = placed.when.day
    if placed.refusal:
        return Visit("unscheduled", placed.session, day, reason=placed.refusal, flags=placed.flags)
    reason = f"another session is nearer to the target day of {name}"
    flags = (*placed.flags, *_distance_flags(day, window))
    return Visit("unscheduled", placed.session, day, reason=reason, flags=flags, instead_of=name)


def _distance_flags(day: int | None, window: VisitWindow) -> tuple[str, ...]:
    if day is None:
        return ()
    if not window.holds(day):
        return (f"study day {day} is outside the window {window.text}",)
    apart = days_from_target(day, window.target_day)
    if apart > window.flag_beyond_days:
        return (f"study day {day} is {apart} days from the target {window.target_day}",)
    return ()

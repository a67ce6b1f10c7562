"""Which session is which visit of the protocol, and on which study day."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from infarct_vol.protocol import VisitName, VisitSettings, VisitWindow
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
    """

    name: VisitName
    session: Session | None
    study_day: int | None = None
    reason: str = ""
    flags: tuple[str, ...] = ()


def study_day(acq_time: str | None, first_dose_time: str | None) -> int | None:
    """Return the study day of a scan: the day of first dose is day 1, the day before it day -1.

    CDISC rule for ADY: difference of dates, plus one from the reference date on; there is no day 0.
    """
    if acq_time is None or first_dose_time is None:
        return None
    days = (datetime.fromisoformat(acq_time).date() - datetime.fromisoformat(first_dose_time).date()).days
    return days + 1 if days >= 0 else days


def assign_visits(participant: Participant, settings: VisitSettings) -> tuple[Visit, ...]:
    """Return every visit of the protocol in time order, then the sessions that are none of them.

    Several sessions in one visit: the nearest to the target day is taken, a tie goes to the earlier one.
    A baseline acquired after first dose is excluded.
    """
    candidates: dict[VisitName, list[Session]] = {name: [] for name in settings.windows()}
    others: list[Visit] = []
    for session in participant.sessions:
        day = study_day(session.acq_time, participant.first_dose_time)
        name = _visit_of(session, day, settings)
        if name in candidates:
            candidates[name].append(session)
        else:
            others.append(Visit(name, session, day, reason=_why_not_analysed(session, day, settings)))
    visits = []
    for name, window in settings.windows().items():
        chosen, spare = _nearest(candidates[name], participant, window)
        visits.append(_checked(name, chosen, participant, window))
        for session in spare:
            day = study_day(session.acq_time, participant.first_dose_time)
            reason = f"another session is nearer to the target day of {name}"
            others.append(Visit("unscheduled", session, day, reason=reason))
    return (*visits, *others)


def _visit_of(session: Session, day: int | None, settings: VisitSettings) -> VisitName:
    if settings.assign_by == "label":
        label = session.session_id.removeprefix("ses-").casefold()
        matches = [n for n, w in settings.windows().items() if label in {x.casefold() for x in w.labels}]
        return matches[0] if matches else "unscheduled"
    if day is None:
        return "unscheduled"
    for name, window in settings.windows().items():
        if window.first_day <= day <= window.last_day and not (name == "baseline" and day > 1):
            return name
    return "early" if 1 < day < settings.month1.first_day else "unscheduled"


def _why_not_analysed(session: Session, day: int | None, settings: VisitSettings) -> str:
    if settings.assign_by == "label":
        return f"session label {session.session_id} is no visit of the protocol"
    if day is None:
        return "acquisition or first-dose date unknown, so no study day"
    return f"study day {day} lies in no analysis window"


def _nearest(
    sessions: list[Session], participant: Participant, window: VisitWindow
) -> tuple[Session | None, list[Session]]:
    def rank(session: Session) -> tuple[float, str, str]:
        day = study_day(session.acq_time, participant.first_dose_time)
        distance = abs(day - window.target_day) if day is not None else float("inf")
        return distance, session.acq_time or "~", session.session_id

    ranked = sorted(sessions, key=rank)
    return (ranked[0], ranked[1:]) if ranked else (None, [])


def _checked(
    name: VisitName, session: Session | None, participant: Participant, window: VisitWindow
) -> Visit:
    if session is None:
        return Visit(name, None, reason=f"no session for {name}")
    day = study_day(session.acq_time, participant.first_dose_time)
    if name == "baseline" and day is not None:
        problem = _after_dose(session, participant)
        if problem:
            return Visit(name, session, day, reason=problem)
    flags: tuple[str, ...] = ()
    if day is not None and abs(day - window.target_day) > window.flag_beyond_days:
        flags = (
            f"study day {day} is {abs(day - window.target_day)} days from the target {window.target_day}",
        )
    if day is not None and not window.first_day <= day <= window.last_day:
        flags = (f"study day {day} is outside the window {window.first_day} to {window.last_day}",)
    return Visit(name, session, day, flags=flags)


def _after_dose(session: Session, participant: Participant) -> str:
    """Say why a scan cannot be a baseline, or return an empty text."""
    scan_text, dose_text = str(session.acq_time), str(participant.first_dose_time)
    scan, dose = datetime.fromisoformat(scan_text), datetime.fromisoformat(dose_text)
    if scan.date() < dose.date():
        return ""
    if scan.date() > dose.date():
        return f"scan of {scan.date()} is later than first dose on {dose.date()}, so it is no baseline"
    if len(scan_text) <= 10 or len(dose_text) <= 10:
        return "scan and first dose are on one day and not known to be in order; state both times"
    if (scan.tzinfo is None) != (dose.tzinfo is None):
        return "scan and first dose are on one day, and only one of them states its time zone; state both"
    return "" if scan <= dose else "scan is later than first dose on the same day, so it is no baseline"

"""Which session is which visit of the protocol, and on which study day.

The rules of CDISC for study days (there is no day 0) and of the protocol for windows; the trial's other
outcomes are placed by the same functions as the scans.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import chain, repeat

from infarct_vol.dates import Timing, days_from_target, in_order, timing
from infarct_vol.errors import UsageError
from infarct_vol.protocol import Protocol
from infarct_vol.settings import MAPPED_VISITS, VisitName, VisitSettings, VisitWindow
from infarct_vol.study import Participant, Session, Study
from infarct_vol.study.labels import says_later


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
    """Return the visit whose window holds a study day, or ``early`` or ``unscheduled`` with the reason.

    Where a date is partial, the visit whose window holds every day it may have.
    """
    if when.days is not None:
        held = [name for name, window in windows.items() if all(window.holds(day) for day in when.days)]
        return (held[0], "") if held else ("unscheduled", when.problem)
    if when.problem or when.day is None:
        return "unscheduled", when.problem or "acquisition or first-dose date unknown, so no study day"
    names = [name for name, window in windows.items() if window.holds(when.day)]
    if names:
        return names[0], ""
    if when.is_zone_open:
        return "unscheduled", f"{_ZONE.format(what='acquisition')}, so its study day is not known; state both"
    follow_up = next((w.first_day for name, w in windows.items() if name != "baseline"), None)
    reason = f"study day {when.day} lies in no analysis window"
    return ("early" if follow_up is not None and 1 < when.day < follow_up else "unscheduled"), reason


def not_before_dose(
    when: Timing, *, acq_time: str | None, first_dose_time: str | None, what: str = "scan"
) -> str:
    """Say why a scan, or ``what`` it is, cannot be a baseline.

    Empty where it precedes the dose, or where no date tells.
    """
    if when.before_dose or (when.day is None and when.before_dose is None):
        return ""
    acquired, dosed = str(acq_time), str(first_dose_time)
    if when.before_dose is False:
        if when.day == 1 and not when.in_utc:
            return f"{what} is later than first dose on the same day, so it is no baseline"
        return f"{what} {_against(when, acquired, 'later than', dosed)}, so it is no baseline"
    if not when.is_zone_open:
        return f"{what} and first dose are on one day and not known to be in order; state both times"
    if when.day == 1:
        return f"{what} and first dose are on one day, and only one of them states its time zone; state both"
    return f"{_ZONE.format(what=what)}, so it is not known to be a baseline; state both"


def not_after_dose(
    when: Timing, *, acq_time: str | None, first_dose_time: str | None, visit: VisitName, what: str = "scan"
) -> str:
    """Say why a scan, or ``what`` it is, cannot be a visit after the first dose.

    Empty where it is not known to precede the dose.
    """
    if when.before_dose:
        order = _against(when, str(acq_time), "no later than", str(first_dose_time))
        return f"{what} {order}, so it is no {visit}"
    if when.is_zone_open:
        return f"{_ZONE.format(what=what)}, so it is not known to be {visit}; state both"
    return ""


_ZONE = "{what} and first dose are at most a day apart, and only one of them states its time zone"


def _against(when: Timing, acquired: str, order: str, dosed: str) -> str:
    """Say how two times lie to each other: their dates, or both in full where their time zones count."""
    if when.in_utc:
        return f"of {acquired} is {order} first dose on {dosed}, by the time zones that they state"
    return f"of {acquired[:10]} is {order} first dose on {dosed[:10]}"


def assign_visits(participant: Participant, settings: VisitSettings) -> tuple[Visit, ...]:
    """Return every visit of the protocol in time order, then the sessions that are none of them.

    Several sessions in one visit: at baseline the last before first dose is taken, as the R package admiral
    does; later the nearest to the target day, and of two as near the earlier. Sessions of one time, or
    without one, go by their labels in alphabetical order. The others stand by, best first, for the case that
    the session taken cannot be measured (``instead_of``). A scan after first dose, or not known to precede
    it, is no candidate for baseline; one before it is none for a later visit.

    Where a date is not stated the session's label counts, with a flag. Where one is partial, the visit whose
    window holds every day it may be; without such a visit the label, if its window holds one of the days.
    The only session of a participant is the baseline where neither date nor label tells, unless its label or
    the study speaks against it; that one, and several such sessions, are refused with the question which is
    which.
    """
    windows = settings.windows()
    candidates: dict[VisitName, list[_Placed]] = {name: [] for name in windows}
    others: list[Visit] = []
    untold = _untold_sessions(participant, settings)
    for session in participant.sessions:
        why = _is_no_baseline(session, participant) if untold == (session,) else ""
        if session in untold and (len(untold) > 1 or why):
            asked = replace(session, problem=session.problem or _which_visit(participant, untold, why))
            others.append(Visit("unscheduled", asked, flags=session.remarks))
            continue
        placed = _only_session(session) if session in untold else _placed(session, participant, settings)
        if placed.name in candidates:
            candidates[placed.name].append(placed)
        else:
            others.append(
                Visit(placed.name, session, placed.when.day, reason=placed.reason, flags=placed.flags)
            )
    visits = []
    for name, window in windows.items():
        ranked = _ranked(name, candidates[name], window)
        if not ranked:
            visits.append(Visit(name, None, reason=f"no session for {name}"))
            continue
        visits.append(_visit(name, ranked[0], window))
        others.extend(_stand_in(name, placed, ranked[0], window) for placed in ranked[1:])
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


def _untold_sessions(participant: Participant, settings: VisitSettings) -> tuple[Session, ...]:
    """Return the sessions with images of which neither date nor label says what visit they are.

    One of them counts only where it is the participant's only session with images.
    """
    with_images = [s for s in participant.sessions if s.has_images]
    undated = [s for s in with_images if s.acq_time is None or participant.first_dose_time is None]
    untold = tuple(s for s in undated if _visit_of_label(s, settings) is None)
    return untold if len(untold) > 1 or len(with_images) == 1 else ()


def _is_no_baseline(session: Session, participant: Participant) -> str:
    """Say why the only session with images need not be the baseline; empty where nothing does."""
    if session.comes_after:
        return f"{session.comes_after} comes before it in another participant"
    if says_later(session.session_id):
        return "its label seems to mean a later time"
    absent = [s.session_id for s in participant.sessions if s is not session and s.is_expected]
    return f"{', '.join(absent)} of the table of sessions has no images" if absent else ""


def _only_session(session: Session) -> _Placed:
    whose = "its date" if session.acq_time is None else "the date of first dose"
    flag = f"{session.session_id} is the only session and {whose} is not stated: taken as baseline"
    return _Placed(session, "baseline", Timing(None), flags=(*session.remarks, flag))


def _which_visit(participant: Participant, untold: tuple[Session, ...], why: str = "") -> str:
    names = [session.session_id for session in untold]
    visits = chain(_ASKED, repeat("unscheduled"))
    lines = " ".join(f"--visit {name}={visit}" for name, visit in zip(names, visits, strict=False))
    which = "visits" if len(names) > 1 else "visit"
    return (
        f"neither dates nor labels say which {which} {', '.join(names)} of {participant.participant_id} "
        f"{'are' if len(names) > 1 else 'is'}{f' ({why})' if why else ''}; "
        f"say it, such as {lines}, or by [visits] map in the protocol"
    )


_ASKED = ("baseline", "month1", "month3", "month6")


def with_visit_map(settings: VisitSettings, stated: Iterable[str], sessions: Iterable[str]) -> VisitSettings:
    """Return settings that take sessions for the visits stated, such as ``ses-01=baseline``.

    Parameters
    ----------
    settings
        Visits of the protocol; what is stated is added to its map.
    stated
        Texts ``SESSION=VISIT``.
    sessions
        Session ids of the study.

    Raises
    ------
    UsageError
        If a text is of another form, or names a session or visit that there is none of.
    """
    known = {_label(name): name for name in sessions}
    found: dict[str, VisitName] = {}
    for text in stated:
        label, equals, visit = text.partition("=")
        names = [name for name in MAPPED_VISITS if name == visit.strip()]
        if not equals or not names:
            visits = ", ".join(MAPPED_VISITS)
            msg = f"--visit {text}: expected SESSION=VISIT with a visit of {visits}, such as ses-01=baseline"
            raise UsageError(msg)
        session = known.get(_label(label.strip()))
        if session is None:
            there = ", ".join(known.values()) or "no sessions"
            msg = f"--visit {text}: the study has no session {label.strip()}; it has {there}"
            raise UsageError(msg)
        if found.setdefault(session, names[0]) != names[0]:
            msg = f"--visit {text}: {session} was stated to be {found[session]} before; leave one"
            raise UsageError(msg)
    stays = {name: visit for name, visit in settings.map.items() if known.get(_label(name)) not in found}
    return settings.model_copy(update={"map": {**stays, **found}})


def protocol_with_visits(protocol: Protocol, visits: Iterable[str], study: Study) -> Protocol:
    """Return a protocol that takes the sessions of a study for the visits stated; see `with_visit_map`.

    Raises
    ------
    UsageError
        If a text is not of the form SESSION=VISIT, or names what there is none of.
    """
    stated = tuple(visits)
    if not stated:
        return protocol
    sessions = {session.session_id for one in study.participants for session in one.sessions}
    return protocol.model_copy(update={"visits": with_visit_map(protocol.visits, stated, sessions)})


def _placed(session: Session, participant: Participant, settings: VisitSettings) -> _Placed:
    dosed = participant.first_dose_time
    when = timing(session.acq_time, participant.first_dose_time)
    stated = _labels_stated(settings).get(_label(session.session_id))
    told: list[str] = []
    if stated is not None and stated not in settings.windows():
        name, reason = stated, f"{session.session_id} is stated to be {stated}"
    elif settings.assign_by == "label" or session.acq_time is None or dosed is None:
        name, reason, told = _by_label(session, when, settings)
    elif when.days is not None:
        name, reason, told = _by_partial_date(session, when, settings)
    else:
        name, reason, told = _by_date(session, when, settings)
    refusal = ""
    if name == "baseline":
        refusal = not_before_dose(when, acq_time=session.acq_time, first_dose_time=dosed)
    elif name in settings.windows():
        refusal = not_after_dose(when, acq_time=session.acq_time, first_dose_time=dosed, visit=name)
    flags = (*session.remarks, *([when.note] if when.note else []), *told)
    return _Placed(session, name, when, reason, refusal, flags)


def _by_label(session: Session, when: Timing, settings: VisitSettings) -> tuple[VisitName, str, list[str]]:
    """Return visit, reason and flags of a session whose label counts."""
    named = _visit_of_label(session, settings)
    if named is None:
        return "unscheduled", f"session label {session.session_id} is no visit of the protocol", []
    if settings.assign_by == "date":
        absent = "acquisition" if session.acq_time is None else "first dose"
        how = "as stated" if _label(session.session_id) in _labels_stated(settings) else "by its label"
        return named, "", [f"no study day, because the date of {absent} is not stated: {named} {how}"]
    return named, "", [when.problem] if when.problem else []


def _by_partial_date(
    session: Session, when: Timing, settings: VisitSettings
) -> tuple[VisitName, str, list[str]]:
    """Return visit, reason and flags of a session where its date or that of the first dose is partial."""
    windows = settings.windows()
    name, reason = window_of(when, windows)
    named = _visit_of_label(session, settings)
    if not reason:
        contradicted = named is not None and named != name
        label = [f"session label {session.session_id} says {named}, its date is in the window of {name}"]
        return name, "", [when.problem, *(label if contradicted else [])]
    if named is not None and when.days is not None and windows[named].meets(*when.days):
        return named, "", [f"{when.problem}; {named} by its label"]
    return "unscheduled", reason, []


def _by_date(session: Session, when: Timing, settings: VisitSettings) -> tuple[VisitName, str, list[str]]:
    """Return visit, reason and flags of a session whose study day counts."""
    name, reason = window_of(when, settings.windows())
    named = _visit_of_label(session, settings)
    if named is None or name == named:
        return name, reason, []
    place = f"in the window of {name}" if not reason else "in no window"
    return (
        name,
        reason,
        [f"session label {session.session_id} says {named}, study day {when.day} is {place}"],
    )


def _label(session_id: str) -> str:
    return session_id.removeprefix("ses-").casefold()


def _labels_stated(settings: VisitSettings) -> dict[str, VisitName]:
    """Return the visits of the protocol's map by label, without regard to case and ``ses-``."""
    return {_label(name): visit for name, visit in settings.map.items()}


def _visit_of_label(session: Session, settings: VisitSettings) -> VisitName | None:
    label = _label(session.session_id)
    stated = _labels_stated(settings)
    if label in stated:
        return stated[label]
    names = (n for n, w in settings.windows().items() if label in {x.casefold() for x in w.labels})
    return next(names, None)


def _ranked(name: VisitName, candidates: list[_Placed], window: VisitWindow) -> list[_Placed]:
    """Return the candidates of a visit, best first; those that are refused, or have no date, come last."""
    times = in_order({placed.session.acq_time for placed in candidates if placed.session.acq_time})

    def rank(placed: _Placed) -> tuple[bool, float, float, str]:
        time = times.get(placed.session.acq_time or "", float("inf"))
        if name == "baseline":
            distance = float(placed.when.before_dose is None)
            time = -time if time != float("inf") else time
        else:
            distance = _apart(placed, window)
        return bool(placed.refusal), distance, time, placed.session.session_id

    return sorted(candidates, key=rank)


def _apart(placed: _Placed, window: VisitWindow) -> float:
    """Return the days from the target day; infinite where there is no study day."""
    day = placed.when.day
    return float("inf") if day is None else days_from_target(day, window.target_day)


def _visit(name: VisitName, placed: _Placed, window: VisitWindow) -> Visit:
    if placed.refusal:
        return Visit(name, placed.session, placed.when.day, reason=placed.refusal, flags=placed.flags)
    flags = (*placed.flags, *_distance_flags(placed.when.day, window))
    return Visit(name, placed.session, placed.when.day, flags=flags)


def _stand_in(name: VisitName, placed: _Placed, chosen: _Placed, window: VisitWindow) -> Visit:
    day = placed.when.day
    if placed.refusal:
        return Visit("unscheduled", placed.session, day, reason=placed.refusal, flags=placed.flags)
    flags = (*placed.flags, *_distance_flags(day, window))
    reason = _reason_not_taken(name, placed, chosen, window)
    return Visit("unscheduled", placed.session, day, reason=reason, flags=flags, instead_of=name)


def _reason_not_taken(name: VisitName, placed: _Placed, chosen: _Placed, window: VisitWindow) -> str:
    """Say by which rule another session was taken for the visit."""
    stated = {each.session.acq_time for each in (placed, chosen)}
    if None in stated:
        return f"another session of {name} is taken, and no date tells which is the right one"
    times = in_order(text for text in stated if text is not None)
    is_one_time = len(set(times.values())) == 1
    if name == "baseline":
        if placed.when.before_dose is None and chosen.when.before_dose:
            return "another session is known to precede first dose"
        if not is_one_time:
            known = "an earlier scan before first dose"
            return known if placed.when.before_dose else "an earlier scan; the last of baseline is taken"
    elif _apart(placed, window) > _apart(chosen, window):
        return f"another session is nearer to the target day of {name}"
    elif not is_one_time:
        return f"another session is as near to the target day of {name}, and earlier"
    return f"{chosen.session.session_id} has the same time and comes first by its label"


def _distance_flags(day: int | None, window: VisitWindow) -> tuple[str, ...]:
    if day is None:
        return ()
    if not window.holds(day):
        return (f"study day {day} is outside the window {window.text}",)
    apart = days_from_target(day, window.target_day)
    if apart > window.flag_beyond_days:
        return (f"study day {day} is {apart} days from the target {window.target_day}",)
    return ()

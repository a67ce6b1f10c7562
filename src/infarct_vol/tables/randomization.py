"""The randomisation list: which participant had which arm, read only when the trial is unblinded."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

from infarct_vol.errors import StudyError
from infarct_vol.tables.csvtext import one_line
from infarct_vol.tables.listing import read_listing

ALL_ARMS = "all"
"""Name of the pooled rows of the summary; no arm of a trial may be called so."""
Blinding = Literal["BLINDED", "UNBLINDED"]


def blinding_of(arms: Mapping[str, str] | None) -> Blinding:
    """Return the word on every table: BLINDED unless arms are known."""
    return "BLINDED" if arms is None else "UNBLINDED"


def arms_of(participant_id: str, arms: Mapping[str, str] | None) -> tuple[str, ...]:
    """Return the arms a participant is counted in: all, and the own one where it is known."""
    return (ALL_ARMS,) if arms is None else (ALL_ARMS, arms[participant_id])


def randomized_arms(path: Path, *, participants: Iterable[str], known: Iterable[str] = ()) -> dict[str, str]:
    """Read a randomisation list and return the arm of each participant.

    Parameters
    ----------
    path
        CSV with the columns ``participant_id`` and ``arm``; other columns are not read. Identifiers may
        be written with or without ``sub-``; they are text, so ``007`` and ``7`` are two participants.
    participants
        Participants that are to be tabulated; each must have an arm.
    known
        Further participants of the study, who may be on the list without being tabulated; those who are
        have an arm too, so that participants randomised but without data can be counted.

    Raises
    ------
    StudyError
        If the list is missing or not such a CSV, names a participant twice (also in other case or other
        Unicode form), names one that the study does not have, leaves an arm empty, writes one arm
        in two ways, or lacks a participant.
    """
    arms: dict[str, str] = {}
    spellings: dict[str, str] = {}
    written: dict[str, str] = {}
    keys = ("participant_id", "arm")
    for line, row in read_listing(path, needed=keys, keys=("participant_id",), what="randomisation list"):
        participant_id, arm = row["participant_id"], one_line(row["arm"])
        where = f"{path.name} line {line}"
        bare = _bare(participant_id)
        folded = _bare(unicodedata.normalize("NFKC", participant_id).casefold())
        twin = spellings.setdefault(folded, participant_id)
        if bare in arms or twin != participant_id:
            msg = f"'{participant_id}' is on the list twice (also as '{twin}'); keep one line a participant"
            raise StudyError(msg, where=where)
        if not participant_id or not arm or arm.casefold() == ALL_ARMS:
            msg = (
                f"expected a participant and an arm other than '{ALL_ARMS}', got '{participant_id}', '{arm}'"
            )
            raise StudyError(msg, where=where)
        spelled = written.setdefault(_folded(arm), arm)
        if spelled != arm:
            msg = f"arm '{arm}' and arm '{spelled}' differ in case or blanks alone; write both alike"
            raise StudyError(msg, where=where)
        arms[bare] = arm
    return _matched(arms, participants=tuple(participants), known=tuple(known), where=path.name)


def _matched(
    arms: dict[str, str], *, participants: tuple[str, ...], known: tuple[str, ...], where: str
) -> dict[str, str]:
    unknown = sorted(set(arms) - {_bare(name) for name in (*participants, *known)})
    if unknown:
        msg = f"the study has no participant {', '.join(unknown)}; check the spelling and leading zeros"
        raise StudyError(msg, where=where)
    without = sorted(name for name in participants if _bare(name) not in arms)
    if without:
        msg = f"no arm for {', '.join(without)}; add them to the list or leave them out of the tables"
        raise StudyError(msg, where=where)
    return {name: arms[_bare(name)] for name in (*participants, *known) if _bare(name) in arms}


def _folded(arm: str) -> str:
    return "".join(unicodedata.normalize("NFKC", arm).casefold().split())


def _bare(participant_id: str) -> str:
    return participant_id.removeprefix("sub-")

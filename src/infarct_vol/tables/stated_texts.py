"""Texts a study states of its participants that a format of the tables cannot hold as they are.

Found before the work begins, so that nobody learns of them from a file that is missing at its end.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from infarct_vol.cdisc.values import TEXT_LIMIT_BYTES, text_bytes
from infarct_vol.study import Participant
from infarct_vol.tables.csvtext import is_control, one_line

_AGE_YEARS = re.compile(
    r"0*(\d{1,3}(?:[.,]\d+)?)\s*(?:y|yr|yrs|year|years)?\.?(?:\s*old)?", re.ASCII | re.IGNORECASE
)
"""Digits with or without their unit; also ``079Y``, as DICOM writes an age (PS3.5, type AS)."""
_OLDEST_YEARS = 120
"""More is a year of birth, or a number that stands for a missing value."""


class TextRemark(NamedTuple):
    """One text that a reader of the tables will not find as the study states it, and what to do."""

    participant_id: str
    field: str
    found: str
    remedy: str

    @property
    def sentence(self) -> str:
        """All of it in one line."""
        return f"{self.participant_id} {self.field}: {self.found}; {self.remedy}"


def age_years(text: str) -> float | None:
    """Return the age that a text states in years; None where it is no number of them, such as ``89+``."""
    found = _AGE_YEARS.fullmatch(text.strip())
    years = float(found[1].replace(",", ".")) if found else None
    return years if years is not None and years <= _OLDEST_YEARS else None


def text_remarks(participants: Iterable[Participant], *, study_id: str = "") -> tuple[TextRemark, ...]:
    """Return what the formats of the tables cannot hold of participants as the study states them.

    Parameters
    ----------
    participants
        Of a study.
    study_id
        Of the protocol; it is part of every identifier in the datasets.
    """
    people = tuple(participants)
    found = [remark for each in people for remark in _remarks(each)]
    for each in people:
        name = one_line(f"{study_id}-{each.participant_id}")
        if told := list(_too_long(each.participant_id, "study_id of the protocol with participant_id", name)):
            found += told
            break  # said once, for it concerns them all
    return tuple(found)


def _remarks(participant: Participant) -> Iterator[TextRemark]:
    name = participant.participant_id
    if participant.age is not None and age_years(participant.age) is None:
        found = f"'{one_line(participant.age)[:40]}' is no number of years, so it has no AGE"
        yield TextRemark(name, "age", found, "it stands in AGETXT of ADSL as it is")
    stated = {"site": participant.site, "sex": participant.sex, "age": participant.age}
    stated |= {f"session {each.session_id[:40]}": each.session_id for each in participant.sessions}
    for field, text in stated.items():
        if text is not None and (controls := sorted({c for c in text if is_control(c)})):
            named = ", ".join(f"U+{ord(c):04X}" for c in controls)
            yield TextRemark(
                name, field, f"it holds {named}, shown as an escape or a blank in the tables", "remove it"
            )
        if text is not None:
            yield from _too_long(name, field, one_line(text))


def _too_long(participant_id: str, field: str, text: str) -> Iterator[TextRemark]:
    size = text_bytes(text)
    if size > TEXT_LIMIT_BYTES:
        found = f"{size} bytes of UTF-8, a SAS transport file (XPT) holds {TEXT_LIMIT_BYTES} in a text"
        remedy = "shorten it, or the XPT files that hold it are left out; CSV and JSON hold it whole"
        yield TextRemark(participant_id, field, found, remedy)

"""Participants as the datasets name them, and the minimal subject-level dataset ADSL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from infarct_vol.cdisc import Codelist, Dataset, Variable
from infarct_vol.records import ParticipantRecord
from infarct_vol.tables.csvtext import one_line
from infarct_vol.tables.measurements import date_number
from infarct_vol.tables.randomization import Blinding, blinding_of
from infarct_vol.tables.stated_texts import age_years

YES = Codelist("Yes Only", "text", (("Y", "Yes"),))
YES_NO = Codelist("No Yes Response", "text", (("N", "No"), ("Y", "Yes")))

STUDYID = Variable(
    "STUDYID", "Study Identifier", "text", origin="Protocol", method="study_id of the protocol"
)
USUBJID = Variable(
    "USUBJID",
    "Unique Subject Identifier",
    "text",
    origin="Assigned",
    mandatory=True,
    comment="study identifier and participant, joined by a hyphen",
)
SUBJID = Variable("SUBJID", "Subject Identifier for the Study", "text", origin="Collected", mandatory=True)
SITEID = Variable("SITEID", "Study Site Identifier", "text", origin="Collected")
TRTSDT = Variable(
    "TRTSDT",
    "Date of First Exposure to Treatment",
    "date",
    origin="Collected",
    comment="date part of first_dose_time; empty where it is not stated or partial",
)


def treatment_codes(arms: Mapping[str, str]) -> dict[str, int]:
    """Return the number of each arm: 1, 2, ... in the order of their names."""
    return {arm: number for number, arm in enumerate(sorted(set(arms.values())), start=1)}


def treatment_codelist(arms: Mapping[str, str]) -> Codelist:
    """Return the arms as a codelist."""
    return Codelist("Treatment", "text", tuple((arm, arm) for arm in treatment_codes(arms)))


@dataclass(frozen=True, eq=False)
class Subjects:
    """Every participant of a trial, one row each, in order.

    Parameters
    ----------
    frame
        Index: participant id; columns: ``USUBJID``, ``SUBJID``, ``SITEID``, ``AGE``, ``AGETXT`` (the age
        where it is no number of years), ``SEX``, ``TRTSDT``.
    study_id
        Of the protocol; may be empty.
    arms
        Participant -> arm; None while the trial is blinded.
    """

    frame: pd.DataFrame
    study_id: str
    arms: Mapping[str, str] | None

    @property
    def blinding(self) -> Blinding:
        """BLINDED or UNBLINDED."""
        return blinding_of(self.arms)

    def columns(self, participants: pd.Series[str]) -> dict[str, object]:
        """Return the identifiers of the rows of these participants, and their arms if known."""
        own = self.frame.loc[list(participants)]
        found: dict[str, object] = {"STUDYID": np.full(len(own), self.study_id, dtype=object)}
        found |= {name: own[name].to_numpy() for name in ("USUBJID", "SUBJID", "SITEID")}
        if self.arms is not None:
            codes = treatment_codes(self.arms)
            named = [self.arms[participant] for participant in participants]
            found["TRTP"] = np.array(named, dtype=object)
            found["TRTPN"] = np.array([codes[arm] for arm in named], dtype=np.float64)
        return found | {"TRTSDT": own["TRTSDT"].to_numpy()}

    def variables(self) -> tuple[Variable, ...]:
        """Return what `columns` holds."""
        if self.arms is None:
            return (STUDYID, USUBJID, SUBJID, SITEID, TRTSDT)
        codelist = treatment_codelist(self.arms)
        planned = Variable(
            "TRTP",
            "Planned Treatment",
            "text",
            origin="Predecessor",
            predecessor="ADSL.TRT01P",
            codelist=codelist,
        )
        number = Variable(
            "TRTPN", "Planned Treatment (N)", "integer", origin="Predecessor", predecessor="ADSL.TRT01PN"
        )
        return (STUDYID, USUBJID, SUBJID, SITEID, planned, number, TRTSDT)


class SubjectRows:
    """Collects what the subject-level dataset needs, participant by participant."""

    def __init__(self) -> None:
        self._rows: dict[str, dict[str, object]] = {}

    def add(self, record: ParticipantRecord) -> None:
        """Take over one participant."""
        self.add_without_data(record.participant_id)
        age = age_years(record.age or "")
        self._rows[record.participant_id] |= {
            "SITEID": one_line(record.site or ""),
            "AGE": float("nan") if age is None else age,
            "AGETXT": one_line(record.age or "") if age is None else "",
            "SEX": one_line(record.sex or ""),
            "TRTSDT": date_number(record.first_dose_time),
        }

    def add_without_data(self, participant_id: str) -> None:
        """Take over a participant of whom nothing but the identity is known."""
        self._rows[participant_id] = {
            "SUBJID": one_line(participant_id).removeprefix("sub-"),
            "SITEID": "",
            "AGE": float("nan"),
            "AGETXT": "",
            "SEX": "",
            "TRTSDT": float("nan"),
        }

    def subjects(self, *, study_id: str, arms: Mapping[str, str] | None) -> Subjects:
        """Return the participants taken over, and those who are on the list alone."""
        for participant_id in arms or ():
            if participant_id not in self._rows:
                self.add_without_data(participant_id)
        frame = pd.DataFrame.from_dict(dict(sorted(self._rows.items())), orient="index")
        if frame.empty:
            frame = pd.DataFrame(columns=["SUBJID", "SITEID", "AGE", "AGETXT", "SEX", "TRTSDT"])
        frame = frame.astype({"AGE": np.float64, "TRTSDT": np.float64})
        study_id = one_line(study_id)
        prefix = f"{study_id}-" if study_id else ""
        frame.insert(0, "USUBJID", [prefix + str(name) for name in frame["SUBJID"]])
        return Subjects(frame.astype({"USUBJID": object}), study_id, arms)


def adsl(subjects: Subjects, *, with_baseline: Sequence[str], with_follow_up: Sequence[str]) -> Dataset:
    """Return the minimal subject-level dataset: one row a participant, with or without data.

    Parameters
    ----------
    subjects
        All participants.
    with_baseline, with_follow_up
        Participants with an infarct volume before the first dose, and at any analysed visit after it.
    """
    own = subjects.frame
    names = own.index.to_series()
    columns = subjects.columns(names)
    renamed = {"TRTP": "TRT01P", "TRTPN": "TRT01PN"}
    frame = pd.DataFrame({renamed.get(name, name): column for name, column in columns.items()})
    flags = {
        "BLVOLFL": names.isin(list(with_baseline)),
        "FUVOLFL": names.isin(list(with_follow_up)),
    }
    frame.insert(4, "AGE", own["AGE"].to_numpy())
    frame.insert(5, "AGEU", np.where(own["AGE"].notna(), "YEARS", "").astype(object))
    frame.insert(6, "SEX", own["SEX"].to_numpy())
    if _has_age_texts(subjects):
        frame.insert(6, "AGETXT", own["AGETXT"].to_numpy())
    for name, flag in flags.items():
        frame[name] = np.where(flag, "Y", "N").astype(object)
    if subjects.arms is not None:
        frame["RANDFL"] = np.full(len(frame), "Y", dtype=object)
    return Dataset(
        "ADSL",
        f"Subject-Level Analysis ({subjects.blinding})",
        frame,
        _adsl_variables(subjects),
        keys=("STUDYID", "USUBJID"),
        structure="one record per participant",
        purpose="Analysis",
        class_name="SUBJECT LEVEL ANALYSIS DATASET",
    )


def _adsl_variables(subjects: Subjects) -> tuple[Variable, ...]:
    treatments: tuple[Variable, ...] = ()
    if subjects.arms is not None:
        planned = Variable(
            "TRT01P",
            "Planned Treatment for Period 01",
            "text",
            origin="Collected",
            comment="arm in the randomisation list",
            codelist=treatment_codelist(subjects.arms),
            mandatory=True,
        )
        number = Variable("TRT01PN", "Planned Treatment for Period 01 (N)", "integer", origin="Assigned")
        treatments = (planned, number)
    randomised = () if subjects.arms is None else (_RANDFL,)
    age_text = (_AGETXT,) if _has_age_texts(subjects) else ()
    people = (*_AGE, *age_text, _SEX)
    return (STUDYID, USUBJID, SUBJID, SITEID, *people, *treatments, TRTSDT, *_FLAGS, *randomised)


def _has_age_texts(subjects: Subjects) -> bool:
    """Tell whether any age is no number of years; without one the dataset has no variable for it."""
    return bool((subjects.frame["AGETXT"] != "").any())


_AGE = (
    Variable("AGE", "Age", "float", origin="Collected", comment="as the study states it"),
    Variable("AGEU", "Age Units", "text", origin="Assigned"),
)
_AGETXT = Variable(
    "AGETXT",
    "Age, as Stated",
    "text",
    origin="Collected",
    comment="where it is no number of years, such as 89+; AGE is empty then",
)
_SEX = Variable("SEX", "Sex", "text", origin="Collected")
_FLAGS = (
    Variable(
        "BLVOLFL",
        "Baseline Infarct Volume Flag",
        "text",
        method="Y: an infarct volume before the first dose (ABLFL of INFVOL)",
        codelist=YES_NO,
    ),
    Variable(
        "FUVOLFL",
        "Any Follow-up Infarct Volume Flag",
        "text",
        method="Y: an infarct volume at any analysed follow-up visit (ANL01FL of INFVOL)",
        codelist=YES_NO,
    ),
)
_RANDFL = Variable(
    "RANDFL", "Randomized Population Flag", "text", method="Y: on the randomisation list", codelist=YES
)

"""Who and what a set of files belongs to, and the identifiers by which the files name each other."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from infarct_vol.cdisc.values import DatasetError

METADATA_FILE = "define.xml"


@dataclass(frozen=True)
class StudyInfo:
    """The study as its protocol names it.

    Attributes
    ----------
    study_oid
        Identifier that stays the same over all files of the study.
    """

    study_oid: str
    name: str
    description: str
    protocol_name: str


@dataclass(frozen=True)
class SourceSystem:
    """The program that made the files, and for whom."""

    name: str
    version: str
    originator: str = ""


def metadata_version_oid(study: StudyInfo) -> str:
    """Return the identifier of the one metadata version of a study."""
    return f"MDV.{study.study_oid}"


def dataset_oid(dataset: str) -> str:
    """Return the identifier of a dataset: IG.ADSL."""
    return f"IG.{dataset}"


def variable_oid(dataset: str, variable: str) -> str:
    """Return the identifier of a variable: IT.ADSL.USUBJID."""
    return f"IT.{dataset}.{variable}"


def iso_time(moment: datetime) -> str:
    """Return date and time in ISO 8601 to the second, with the offset where the moment has one."""
    return moment.isoformat(timespec="seconds")


def check_study(study: StudyInfo, *, system: SourceSystem) -> None:
    """Refuse a study or program that leaves a required statement empty or holds control characters.

    Raises
    ------
    DatasetError
        Naming the attribute.
    """
    required = {
        "study_oid": study.study_oid,
        "name": study.name,
        "description": study.description,
        "protocol_name": study.protocol_name,
        "program name": system.name,
        "program version": system.version,
    }
    for what, text in {**required, "originator": system.originator}.items():
        if (what in required and not text.strip()) or re.search(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]", text):
            msg = f"study information: {what} is {text!r}; expected plain text, not empty; state it"
            raise DatasetError(msg)

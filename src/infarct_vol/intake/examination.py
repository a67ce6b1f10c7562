"""Whether the sidecars of two images speak of one examination, or of one person at least.

Only fields are ever named, never their values: they may hold names and dates of birth.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from infarct_vol.errors import PairError
from infarct_vol.images import Scan

_ONE_EXAMINATION = timedelta(hours=12)
"""Images of one visit are made within hours; those of two visits days apart."""
_SAME_IN_ONE_EXAMINATION = ("PatientID", "PatientName", "StudyInstanceUID")
"""Sidecar fields that are one for all images of an examination. Their values are never shown."""
_TIME_FIELDS = ("AcquisitionDateTime", "AcquisitionDate", "StudyDate")
_OF_A_PERSON = ("PatientID", "PatientName", "PatientBirthDate", "PatientSex")
"""Sidecar fields that are one for all visits of a person."""


def require_one_examination(image: Scan, other: Scan) -> None:
    """Refuse two images whose sidecars say that they were made of two persons or on two days.

    Raises
    ------
    PairError
        With the field, never with its values.
    """
    fields = (*_SAME_IN_ONE_EXAMINATION, *_TIME_FIELDS)
    field = next((name for name in fields if _differ(image.sidecar.get(name), other.sidecar.get(name))), "")
    if field:
        files = f"{other.identity.file_name} does not belong to {image.identity.file_name}"
        msg = (
            f"{files}: their sidecars differ in {field}, so they are of two examinations. Put the images of "
            "one examination together, or correct the sidecars"
        )
        raise PairError(msg, where=str(other.identity))


def person_doubts(image: Scan, other: Scan) -> tuple[str, ...]:
    """Return a sentence for the reader where sidecars of two visits state two persons.

    It is a question and no refusal: pseudonyms may be given anew at every visit.
    """
    fields = [name for name in _OF_A_PERSON if _differ(image.sidecar.get(name), other.sidecar.get(name))]
    if not fields:
        return ()
    files = f"{image.identity.file_name} and {other.identity.file_name}"
    return (f"the sidecars of {files} differ in {', '.join(fields)}: check whose scans they are",)


def _differ(ours: object, theirs: object) -> bool:
    """Tell whether two stated values speak against one examination; what is not stated says nothing."""
    if not (isinstance(ours, str) and isinstance(theirs, str) and ours.strip() and theirs.strip()):
        return False
    times = _time(ours), _time(theirs)
    if times[0] is not None and times[1] is not None:
        return abs(times[0] - times[1]) > _ONE_EXAMINATION
    return ours.strip().casefold() != theirs.strip().casefold()


def _time(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text.strip()).replace(tzinfo=None)
    except ValueError:
        return None

"""Whole headers of the volume that was chosen, made fit to be copied from; UIDs that follow from content."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from infarct_vol._version import __version__
from infarct_vol.dicom.headers import carried_over
from infarct_vol.dicom.series import Stack
from infarct_vol.errors import HeaderError

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

MANUFACTURER = "infarct-vol"
_EMPTY_IF_ABSENT = (
    "PatientID",
    "PatientName",
    "PatientBirthDate",
    "PatientSex",
    "AccessionNumber",
    "StudyID",
    "StudyDate",
    "StudyTime",
    "ReferringPhysicianName",
)
"""What DICOM wants to be there, if only as an empty value (type 2)."""
_CHECKED_DATES = ("PatientBirthDate", "StudyDate", "ContentDate", "AcquisitionDate", "SeriesDate")
_CHECKED_TIMES = ("StudyTime", "ContentTime", "AcquisitionTime", "SeriesTime")
_MOMENTS = ("Content", "Acquisition", "Series", "Study")
UNKNOWN_DATE, UNKNOWN_TIME = "19000101", "000000"
_DEFER_BYTES = 1 << 20
_SPATIAL = {
    "PlaneOrientationSequence": "ImageOrientationPatient",
    "PixelMeasuresSequence": "PixelSpacing",
}


def stable_uid(*parts: object) -> str:
    """Return a UID below 2.25 that follows from the parts alone: the same input gives the same object."""
    digest = hashlib.sha256("\0".join(str(part) for part in parts).encode()).digest()
    return f"2.25.{uuid.UUID(bytes=digest[:16], version=5).int}"


def library_versions() -> tuple[str, ...]:
    """Return what, besides the input, decides the bytes written: our version and the writers'."""
    import highdicom
    import pydicom

    return __version__, highdicom.__version__, pydicom.__version__


def source_headers(stack: Stack) -> list[Dataset]:
    """Read the headers of a volume without pixels, in the order of its planes; one for a multi-frame file.

    Private tags are dropped, absent type 2 attributes are there and empty. A multi-frame header holds only
    the frames of the volume, in its order, with orientation and spacing among the shared groups.

    Raises
    ------
    HeaderError
        If a value of the patient or the study cannot stand in a new object; names the attribute.
    """
    from pydicom import dcmread

    paths = list(dict.fromkeys(plane.path for plane in stack.slices))
    headers: list[Dataset] = []
    with carried_over(stack.name):
        for path in paths:
            header = dcmread(path, stop_before_pixels=True, defer_size=_DEFER_BYTES)
            for tag in [tag for tag in header.keys() if tag.is_private]:  # noqa: SIM118 - values stay unread
                del header[tag]
            _complete(header)
            headers.append(header)
        if stack.slices[0].frame is not None:
            _keep_frames(headers[0], stack)
    return headers


def moment_of(header: Dataset) -> tuple[str, str, tuple[str, ...]]:
    """Return the date and time a new object carries, and a remark where the source has none.

    It is the source's moment, not the clock's, so that the same input gives the same bytes; who drew or
    judged the mask, and when, stands in the audit trail.
    """
    for prefix in _MOMENTS:
        if date := str(header.get(f"{prefix}Date") or ""):
            return date, str(header.get(f"{prefix}Time") or "") or UNKNOWN_TIME, ()
    remark = "the source states no date: 1900-01-01 stands in its place"
    return UNKNOWN_DATE, UNKNOWN_TIME, (remark,)


def stamp(dataset: Dataset, *, date: str, time: str) -> None:
    """Put the source's moment where the library put the clock's, and leave out private tags."""
    dataset.remove_private_tags()
    dataset.ContentDate, dataset.ContentTime = date, time
    if "DateOfSecondaryCapture" in dataset:
        dataset.DateOfSecondaryCapture, dataset.TimeOfSecondaryCapture = date, time
    # the last item is the writing library, with the clock's time; the scanner's item is the source's
    for item in dataset.get("ContributingEquipmentSequence", ())[-1:]:
        item.pop("ContributionDateTime", None)
    for keyword in ("InstanceCreationDate", "InstanceCreationTime"):
        if keyword in dataset:
            delattr(dataset, keyword)


def series_number(stack: Stack, *, offset: int) -> int:
    """Return a series number far from those of scanners, near its source's."""
    return offset + max(0, min(stack.slices[0].series_number or 0, 9999))


def _complete(header: Dataset) -> None:
    from pydicom.valuerep import DA, TM

    for keyword in _EMPTY_IF_ABSENT:
        if keyword not in header:
            setattr(header, keyword, "")
    if (header.PatientSex or "") not in ("", "M", "F", "O"):
        raise HeaderError(_not_carried("PatientSex", "M, F, O or nothing"))
    kinds: Sequence[tuple[Sequence[str], Any, str]] = (
        (_CHECKED_DATES, DA, "YYYYMMDD"),
        (_CHECKED_TIMES, TM, "HHMMSS"),
    )
    for keywords, kind, form in kinds:
        for keyword in keywords:
            try:
                kind(str(header.get(keyword) or "") or None)
            except ValueError:
                raise HeaderError(_not_carried(keyword, form)) from None


def _not_carried(keyword: str, expected: str) -> str:
    return f"{keyword} of the source cannot be copied: expected {expected}; correct it in the source"


def _keep_frames(header: Dataset, stack: Stack) -> None:
    from pydicom.dataset import Dataset as New

    groups = header.PerFrameFunctionalGroupsSequence
    kept = [groups[(plane.frame or 1) - 1] for plane in stack.slices]
    header.PerFrameFunctionalGroupsSequence = kept
    header.NumberOfFrames = len(kept)
    if not header.get("SharedFunctionalGroupsSequence"):
        header.SharedFunctionalGroupsSequence = [New()]
    shared = header.SharedFunctionalGroupsSequence[0]
    for name in _SPATIAL:
        if name not in shared and name in kept[0]:
            # alike in all frames of a stack; the library looks for them here
            setattr(shared, name, kept[0][name].value)

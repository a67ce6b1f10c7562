"""DICOM files of a folder, read as far as geometry needs: one `Slice` for every image plane found.

No pixel is read here, and nothing of a header is trusted: what cannot be read is counted and left out.
"""

from __future__ import annotations

import re
import struct
import warnings
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from infarct_vol.errors import HeaderError, InfarctVolError, StudyError, UsageError

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

DEFLATED = "1.2.840.10008.1.2.1.99"
_UID = re.compile(r"[0-9.]{1,64}")
_MOST_FRAMES = 100_000
_NO_SOURCES = frozenset({"SEG", "SR", "PR", "KO", "RTSTRUCT", "OT"})
"""Modalities that are no scan a mask was drawn on; our own files among them."""
_TAGS: list[Any] = [
    "SOPClassUID",
    "SOPInstanceUID",
    "SeriesInstanceUID",
    "StudyInstanceUID",
    "FrameOfReferenceUID",
    "Modality",
    "SeriesNumber",
    "ImageType",
    "EchoTime",
    "AcquisitionNumber",
    "TemporalPositionIdentifier",
    "DiffusionBValue",
    "Rows",
    "Columns",
    "NumberOfFrames",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "SpacingBetweenSlices",
    "SliceThickness",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
]
_PRIVATE_B_VALUES = (
    (0x0019, 0x10, "SIEMENS MR HEADER", 0x0C),
    (0x0043, 0x10, "GEMS_PARM_01", 0x39),
)
"""Group, block, creator and element where scanners of before 2015 state the b-value; read, never copied."""
_UNREADABLE = (
    OSError,
    EOFError,
    ValueError,
    LookupError,
    AttributeError,
    TypeError,
    NotImplementedError,
    ArithmeticError,
    RecursionError,
    MemoryError,
    struct.error,
    zlib.error,
)
"""What pydicom and highdicom raise on bytes that only look like DICOM; see `unreadable`."""


@dataclass(frozen=True, eq=False)
class Slice:
    """One image plane: a single-frame file, or a frame of a multi-frame file.

    Parameters
    ----------
    frame
        Number of the frame in its file, from 1; None in a single-frame file.
    position, orientation
        (3,) centre of the first voxel and (6,) directions along a row and along a column, LPS mm.
    spacing_mm
        Distance between rows, and between columns.
    thickness_mm
        Spacing between slices, or thickness where that is all there is; None where neither is stated.
    traits
        What may tell two planes of one place apart, in the order in which it is tried: name -> value.
    """

    path: Path
    sop_instance_uid: str
    sop_class_uid: str
    series_instance_uid: str
    study_instance_uid: str
    frame_of_reference_uid: str
    modality: str
    series_number: int | None
    frame: int | None
    rows: int
    columns: int
    position: NDArray[np.float64]
    orientation: NDArray[np.float64]
    spacing_mm: tuple[float, float]
    thickness_mm: float | None
    traits: dict[str, Any]

    @property
    def name(self) -> str:
        """The instance, and the frame in it, for messages."""
        return self.sop_instance_uid + (f" frame {self.frame}" if self.frame is not None else "")


@dataclass
class Folder:
    """What a folder holds: image planes, and how many files were left out, by reason."""

    path: Path
    slices: list[Slice] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)

    def remarks(self) -> tuple[str, ...]:
        """One sentence about what was left out; none where nothing was."""
        if not self.left_out:
            return ()
        parts = ", ".join(f"{count} {reason}" for reason, count in sorted(self.left_out.items()))
        return (f"files left out: {parts}",)


def require_dicom() -> None:
    """Raise unless the libraries of the extra ``dicom`` are installed.

    Raises
    ------
    UsageError
        With the command that installs them.
    """
    try:
        import highdicom
        import pydicom  # noqa: F401
    except ImportError:
        msg = (
            "DICOM files need pydicom and highdicom, which are not installed; "
            "install them with: pip install 'infarct-vol[dicom]'"
        )
        raise UsageError(msg) from None
    del highdicom


@contextmanager
def quiet_pydicom() -> Iterator[None]:
    """Keep remarks on a header's values, which may name a person, off the screen."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def unreadable() -> tuple[type[Exception], ...]:
    """Return what pydicom and highdicom raise on bytes that only look like DICOM."""
    from pydicom.errors import BytesLengthException, InvalidDicomError

    return (*_UNREADABLE, BytesLengthException, InvalidDicomError)


@contextmanager
def carried_over(what: str) -> Iterator[None]:
    """Turn whatever a bad header makes the libraries raise into a refusal, without their words.

    Their words may hold values of the header, which may name a person.

    Raises
    ------
    HeaderError
        Naming ``what`` was read, and the attribute that is missing where that is known.
    """
    try:
        with quiet_pydicom():
            yield
    except InfarctVolError:
        raise
    except unreadable() as error:
        keyword = error.name if isinstance(error, AttributeError) and error.name else ""
        found = f"{keyword} is missing" if keyword else type(error).__name__
        msg = f"{what}: the header cannot be carried over ({found}); correct it in the source"
        raise HeaderError(msg) from error


def read_folder(path: Path) -> Folder:
    """Read the headers of every DICOM file in a folder and below; links to folders are not followed.

    Raises
    ------
    StudyError
        If the folder is not there, or holds no DICOM image.
    """
    if not path.is_dir():
        msg = f"no folder at {path}; give the folder that holds the source series (.dcm files)"
        raise StudyError(msg)
    found = Folder(path)
    seen: dict[str, list[Slice]] = {}
    with quiet_pydicom():
        for file in sorted(path.rglob("*")):
            if file.is_file():
                _take(file, found, seen)
    if not found.slices:
        left = "; ".join(found.remarks()) or "it is empty"
        msg = f"{path} holds no DICOM image with a place in the patient ({left})"
        raise StudyError(msg)
    return found


def _take(file: Path, found: Folder, seen: dict[str, list[Slice]]) -> None:
    from pydicom.errors import InvalidDicomError

    try:
        header = _header(file)
        if header is None:
            found.left_out["deflated (unpack them first, dcmconv +te)"] += 1
            return
        if not header.get("SOPInstanceUID") or header.get("Modality") in _NO_SOURCES:
            found.left_out["no scans (DICOMDIR, reports, segmentations)"] += 1
            return
        planes = list(_planes(file, header))
    except InvalidDicomError:
        found.left_out["not DICOM"] += 1
        return
    except unreadable():
        found.left_out["damaged, or without geometry (position, orientation, spacing, size)"] += 1
        return
    uid = str(header.SOPInstanceUID)
    if uid in seen and _same(seen[uid], planes):
        found.left_out["copies of an instance"] += 1
        return
    seen[uid] = planes
    found.slices.extend(planes)


def _header(file: Path) -> Dataset | None:
    from pydicom import dcmread
    from pydicom.filereader import read_file_meta_info

    meta = read_file_meta_info(file)
    # a deflated file is unpacked whole by the reader, whatever its size
    if str(meta.get("TransferSyntaxUID", "")) == DEFLATED:
        return None
    private: list[Any] = [
        tag
        for group, block, _, element in _PRIVATE_B_VALUES
        for tag in (group << 16 | block, group << 16 | block << 8 | element)
    ]
    return dcmread(file, stop_before_pixels=True, specific_tags=[*_TAGS, *private])


def _same(first: Sequence[Slice], second: Sequence[Slice]) -> bool:
    return len(first) == len(second) and all(
        np.array_equal(a.position, b.position) and a.series_instance_uid == b.series_instance_uid
        for a, b in zip(first, second, strict=True)
    )


def _planes(file: Path, header: Dataset) -> Iterator[Slice]:
    groups = header.get("PerFrameFunctionalGroupsSequence")
    if not groups:
        if int(header.get("NumberOfFrames") or 1) > 1:
            # many frames and no place for any of them: a film, a mosaic, a screenshot
            msg = "frames without geometry"
            raise ValueError(msg)
        yield _plane(file, header, [header], frame=None)
        return
    if len(groups) > _MOST_FRAMES:
        msg = "more frames than a scan has"
        raise ValueError(msg)
    shared = list(header.get("SharedFunctionalGroupsSequence") or [])
    for at, own in enumerate(groups):
        yield _plane(file, header, [own, *shared], frame=at + 1)


def _plane(file: Path, header: Dataset, groups: Sequence[Dataset], *, frame: int | None) -> Slice:
    position = _numbers(_look(groups, "PlanePositionSequence", "ImagePositionPatient"), 3)
    orientation = _numbers(_look(groups, "PlaneOrientationSequence", "ImageOrientationPatient"), 6)
    spacing = _numbers(_look(groups, "PixelMeasuresSequence", "PixelSpacing"), 2)
    thickness = _look(groups, "PixelMeasuresSequence", "SpacingBetweenSlices") or _look(
        groups, "PixelMeasuresSequence", "SliceThickness"
    )
    number = header.get("SeriesNumber")
    rows, columns = int(header.Rows), int(header.Columns)
    if min(rows, columns) < 1 or spacing.min() <= 0:
        msg = "rows, columns and spacing must be positive"
        raise ValueError(msg)
    return Slice(
        path=file,
        sop_instance_uid=_uid(header.SOPInstanceUID),
        sop_class_uid=_uid(header.SOPClassUID),
        series_instance_uid=_uid(header.SeriesInstanceUID),
        study_instance_uid=_uid(header.StudyInstanceUID),
        frame_of_reference_uid=_uid(header.get("FrameOfReferenceUID") or "", empty=True),
        modality=re.sub(r"[^A-Z0-9_ ]", "", str(header.get("Modality") or ""))[:16],
        series_number=None if number in (None, "") else int(number),
        frame=frame,
        rows=rows,
        columns=columns,
        position=position,
        orientation=orientation,
        spacing_mm=(float(spacing[0]), float(spacing[1])),
        thickness_mm=abs(float(thickness)) if thickness else None,
        traits=_traits(header, groups),
    )


def _uid(value: Any, *, empty: bool = False) -> str:
    text = str(value)
    if not _UID.fullmatch(text) and not (empty and not text):
        # UIDs stand in messages; anything else could stand there instead
        msg = "digits and dots expected"
        raise ValueError(msg)
    return text


def _look(groups: Sequence[Dataset], sequence: str, keyword: str) -> Any:
    """Return a value of a single-frame header, or of the first functional group that holds it."""
    for group in groups:
        if (value := group.get(keyword)) not in (None, ""):
            return value
        for item in group.get(sequence) or ():
            if (value := item.get(keyword)) not in (None, ""):
                return value
    return None


def _numbers(value: Any, count: int) -> NDArray[np.float64]:
    numbers = np.array([float(v) for v in value], dtype=np.float64)
    if numbers.shape != (count,) or not np.isfinite(numbers).all():
        msg = f"{count} finite numbers expected"
        raise ValueError(msg)
    return numbers


def _traits(header: Dataset, groups: Sequence[Dataset]) -> dict[str, Any]:
    kind = _look(groups, "MRImageFrameTypeSequence", "FrameType") or header.get("ImageType") or ()
    return {
        "b": _b_value(header, groups),
        "kind": tuple(str(part) for part in ([kind] if isinstance(kind, str) else kind)),
        "echo": _float(_look(groups, "MREchoSequence", "EffectiveEchoTime") or header.get("EchoTime")),
        "time point": _float(
            _look(groups, "FrameContentSequence", "TemporalPositionIndex")
            or header.get("TemporalPositionIdentifier")
        ),
        "acquisition": _float(header.get("AcquisitionNumber")),
    }


def _b_value(header: Dataset, groups: Sequence[Dataset]) -> float | None:
    value = _float(_look(groups, "MRDiffusionSequence", "DiffusionBValue"))
    for group, block, creator, element in _PRIVATE_B_VALUES:
        if value is None and str(header.get_item((group, block)) and header[group, block].value) == creator:
            value = _float(header.get((group, block << 8 | element)))
    return value


def _float(value: Any) -> float | None:
    value = getattr(value, "value", value)
    if isinstance(value, (bytes, bytearray)):
        value = value.decode("ascii", "replace").split("\\")[0]
    elif not isinstance(value, (str, int, float)) and hasattr(value, "__getitem__"):
        value = value[0] if len(value) else None
    try:
        # one maker adds 1e9 to say which of several b-values it is
        return float(str(value).strip(" \0")) % 1e9
    except ValueError:
        return None

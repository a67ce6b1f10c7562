"""A mask as DICOM SEG: one binary segment on the frames of its source, the same bytes every time."""

from __future__ import annotations

import hashlib
import io
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from infarct_vol._version import __version__
from infarct_vol.dicom.headers import carried_over
from infarct_vol.dicom.series import Stack
from infarct_vol.dicom.source import (
    MANUFACTURER,
    library_versions,
    moment_of,
    series_number,
    source_headers,
    stable_uid,
    stamp,
)
from infarct_vol.errors import UsageError

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

Algorithm = Literal["automatic", "semiautomatic", "manual"]
_SERIES_OFFSET = 10_000
_ORANGE_LAB = (65.945, 46.02, 68.58)
"""The orange of the report (#ff7a1a) as CIELab, D65."""
_LABEL = re.compile(r"[ -\[\]-~]{1,64}")


@dataclass(frozen=True)
class WrittenSegment:
    """A SEG object, and what is told about it."""

    content: bytes
    sop_instance_uid: str
    series_instance_uid: str
    frame_count: int
    remarks: tuple[str, ...]


def voxel_sha256(data: NDArray[np.bool_]) -> str:
    """Return the SHA-256 of a mask's shape and voxels in the source's order."""
    packed = np.packbits(np.ascontiguousarray(data))
    return hashlib.sha256(repr(data.shape).encode() + packed.tobytes()).hexdigest()


def segmentation_of(
    data: NDArray[np.bool_], stack: Stack, *, label: str = "Infarct", algorithm: Algorithm = "automatic"
) -> WrittenSegment:
    """Make a DICOM SEG of a mask.

    Parameters
    ----------
    data
        (columns, rows, slices) mask in the axes of ``stack``.
    stack
        The volume it was drawn on; every instance of it is referenced.
    label
        Name of the segment; printable ASCII, at most 64 characters.
    algorithm
        How the mask came about; a corrected mask is ``semiautomatic``.

    Raises
    ------
    UsageError
        If the label cannot stand in DICOM.
    HeaderError
        If the source's header cannot be carried over.
    """
    if not _LABEL.fullmatch(label) or not label.strip():
        msg = f"label {label!r} must be 1 to 64 printable ASCII characters without a backslash"
        raise UsageError(msg)
    headers = source_headers(stack)
    identity = (stack.series_instance_uid, stack.part, voxel_sha256(data), label, algorithm)
    uids = {
        kind: stable_uid(kind, *identity, *library_versions())
        for kind in ("series", "instance", "dimensions")
    }
    with carried_over(stack.name):
        segmentation = _built(data, stack, headers, uids=uids, label=label, algorithm=algorithm)
        date, time, remarks = moment_of(headers[0])
        stamp(segmentation, date=date, time=time)
        _settle(segmentation, stack, dimensions_uid=uids["dimensions"])
        buffer = io.BytesIO()
        segmentation.save_as(buffer, enforce_file_format=True)
    if not data.any():
        remarks = (*remarks, "the mask is empty: every frame is written, all voxels 0")
    return WrittenSegment(
        content=buffer.getvalue(),
        sop_instance_uid=uids["instance"],
        series_instance_uid=uids["series"],
        frame_count=int(segmentation.NumberOfFrames),
        remarks=remarks,
    )


def _built(
    data: NDArray[np.bool_],
    stack: Stack,
    headers: list[Dataset],
    *,
    uids: dict[str, str],
    label: str,
    algorithm: Algorithm,
) -> Any:
    from highdicom.seg import Segmentation

    description = _description(stack, label=label, algorithm=algorithm)
    return Segmentation(
        source_images=headers,
        # (columns, rows, slices) to frames of rows of columns
        pixel_array=np.ascontiguousarray(data.transpose(2, 1, 0)).astype(np.uint8),
        segmentation_type="BINARY",
        segment_descriptions=[description],
        series_instance_uid=uids["series"],
        series_number=series_number(stack, offset=_SERIES_OFFSET),
        sop_instance_uid=uids["instance"],
        instance_number=1,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=MANUFACTURER,
        software_versions=__version__,
        device_serial_number="software",
        content_label=re.sub(r"[^A-Z0-9_ ]", "_", label.upper())[:16].strip(),
        content_description=f"{label} of infarct-vol {__version__}"[:64],
        series_description=f"{label} segmentation"[:64],
        # a frame without lesion says nothing that its absence does not; an empty mask needs frames
        omit_empty_frames=bool(data.any()),
    )


def _description(stack: Stack, *, label: str, algorithm: Algorithm) -> Any:
    from highdicom import AlgorithmIdentificationSequence
    from highdicom.color import CIELabColor
    from highdicom.seg import SegmentDescription
    from pydicom.sr.codedict import codes
    from pydicom.sr.coding import Code

    identification = None
    if algorithm != "manual":
        identification = AlgorithmIdentificationSequence(
            name=MANUFACTURER, version=__version__, family=codes.DCM.NeighborhoodAnalysis
        )
    tracking_uid = stable_uid("tracking", stack.series_instance_uid, label)
    return SegmentDescription(
        segment_number=1,
        segment_label=label,
        segmented_property_category=Code("49755003", "SCT", "Morphologically Abnormal Structure"),
        segmented_property_type=Code("55641003", "SCT", "Infarct"),
        algorithm_type=algorithm.upper(),
        algorithm_identification=identification,
        # every mask of this scan under this label is about one thing
        tracking_uid=tracking_uid,
        tracking_id=f"{label[:40]} {tracking_uid[-12:]}",
        anatomic_regions=[Code("12738006", "SCT", "Brain")],
        display_color=CIELabColor(*_ORANGE_LAB),
    )


def _settle(segmentation: Any, stack: Stack, *, dimensions_uid: str) -> None:
    """Replace what the library draws at random or counts anew, and its padding: DICOM pads with 0."""
    bits = int(segmentation.NumberOfFrames) * int(segmentation.Rows) * int(segmentation.Columns)
    used = -(-bits // 8)
    segmentation.PixelData = segmentation.PixelData[:used] + bytes(used % 2)
    for item in (*segmentation.DimensionOrganizationSequence, *segmentation.DimensionIndexSequence):
        item.DimensionOrganizationUID = dimensions_uid
    if stack.slices[0].frame is None:
        return
    # the library saw only the frames of this volume; the references name them as the file does
    for group in segmentation.PerFrameFunctionalGroupsSequence:
        for derivation in group.get("DerivationImageSequence", ()):
            for source in derivation.SourceImageSequence:
                seen = int(source.ReferencedFrameNumber)
                source.ReferencedFrameNumber = stack.slices[seen - 1].frame

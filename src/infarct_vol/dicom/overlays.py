"""Pictures for every viewer: one Secondary Capture per slice with lesion, its outline burnt in.

Not every PACS shows a SEG; a plain colour image is shown by all of them. It has no place in the patient
and says so: derived image, not for diagnosis.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from infarct_vol._version import __version__
from infarct_vol.dicom.headers import Slice, carried_over, quiet_pydicom, unreadable
from infarct_vol.dicom.segmentation import voxel_sha256
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
from infarct_vol.errors import DamagedFileError, HeaderError

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

ORANGE = (255, 122, 26)
"""The infarct's colour in the report, #ff7a1a."""
WARNING = "DERIVED IMAGE, NOT FOR DIAGNOSIS"
_SERIES_OFFSET = 20_000
_LEAST_PX = 512
_MOST_SIDE = 4096
_STRIP_PX = 44
_FONT_PX = 16
_WINDOW_PERCENT = (1.0, 99.5)
_OPPOSITE = {"L": "R", "R": "L", "A": "P", "P": "A", "H": "F", "F": "H"}


def overlays_of(data: NDArray[np.bool_], stack: Stack, *, label: str) -> Iterator[tuple[int, bytes]]:
    """Make one Secondary Capture for every slice with lesion.

    Parameters
    ----------
    data
        (columns, rows, slices) mask in the axes of ``stack``.

    Yields
    ------
    Number of the slice in the volume, from 1, and the bytes of the DICOM file.

    Raises
    ------
    HeaderError
        If the source's pixels are compressed in a way nothing installed can read, or are not grey.
    DamagedFileError
        If the pixels are not what the header says.
    """
    hits = [int(k) for k in np.nonzero(data.any(axis=(0, 1)))[0]]
    if not hits:
        return
    headers = source_headers(stack)
    by_slice = headers if stack.slices[0].frame is None else headers * len(stack.slices)
    grey = [_pixels(stack.slices[k], by_slice[k]) for k in hits]
    low, high = np.percentile(
        np.concatenate([g.ravel()[:: max(1, g.size // 20_000)] for g in grey]), _WINDOW_PERCENT
    )
    drawn_by = (*library_versions(), version("pillow"))
    identity = (stack.series_instance_uid, stack.part, voxel_sha256(data), label, *drawn_by)
    for k, values in zip(hits, grey, strict=True):
        shown = np.clip((values - low) / max(float(high - low), 1e-6), 0, 1) * 255
        words = (WARNING, f"{label}, infarct-vol {__version__}, slice {k + 1} of {len(stack.slices)}")
        picture, factor = _picture(
            shown.astype(np.uint8), data[:, :, k].T, words=words, letters=_letters(stack)
        )
        yield k + 1, _captured(picture, by_slice[k], stack, at=k, factor=factor, identity=identity)


def _pixels(plane: Slice, header: Dataset) -> NDArray[np.float64]:
    from pydicom.pixels.processing import apply_rescale
    from pydicom.pixels.utils import pixel_array

    if max(plane.rows, plane.columns) > _MOST_SIDE:
        msg = f"{plane.name}: {plane.rows} x {plane.columns} pixels; no scan is as large"
        raise HeaderError(msg)
    syntax = getattr(header.file_meta.get("TransferSyntaxUID"), "name", "no stated syntax")
    try:
        with quiet_pydicom():
            values = pixel_array(plane.path, index=(plane.frame or 1) - 1)
            grey = np.nan_to_num(apply_rescale(np.asarray(values), header).astype(np.float64))
    except (RuntimeError, NotImplementedError, ImportError):
        msg = (
            f"{plane.name}: its pixels are in {syntax}, which nothing installed here reads; "
            "decompress the series first (dcmdjpeg, gdcmconv --raw), or leave out --overlays"
        )
        raise HeaderError(msg) from None
    except unreadable() as error:
        msg = f"{plane.name}: its pixels cannot be read ({type(error).__name__}); copy the file again"
        raise DamagedFileError(msg) from None
    if grey.shape != (plane.rows, plane.columns):
        msg = f"{plane.name}: grey pixels of {plane.rows} x {plane.columns} expected, got shape {grey.shape}"
        raise HeaderError(msg)
    return -grey if header.get("PhotometricInterpretation") == "MONOCHROME1" else grey


def _letters(stack: Stack) -> tuple[str, str]:
    """Return the patient's direction along a row and along a column, such as ``("L", "P")``."""
    letters = []
    for direction in (stack.slices[0].orientation[:3], stack.slices[0].orientation[3:]):
        axis = int(np.argmax(np.abs(direction)))
        letters.append(("RL", "AP", "FH")[axis][int(direction[axis] > 0)])
    return letters[0], letters[1]


def _picture(
    grey: NDArray[np.uint8], mask: NDArray[np.bool_], *, words: Sequence[str], letters: tuple[str, str]
) -> tuple[NDArray[np.uint8], int]:
    """Draw a (rows, columns) slice with the outline of its mask; return RGB and the enlargement."""
    from PIL import Image, ImageDraw, ImageFont

    factor = max(1, math.ceil(_LEAST_PX / min(grey.shape)))
    large = grey.repeat(factor, axis=0).repeat(factor, axis=1)
    inside = mask.repeat(factor, axis=0).repeat(factor, axis=1)
    rgb = np.repeat(large[:, :, np.newaxis], 3, axis=2)
    rgb[_rim(inside, width=-(-factor // 2))] = ORANGE
    rows, columns = large.shape
    canvas = Image.new("RGB", (columns, rows + _STRIP_PX))
    canvas.paste(Image.fromarray(rgb), (0, 0))
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(_FONT_PX)
    for line, text in enumerate(words):
        draw.text((6, rows + 3 + 20 * line), text, fill=(255, 255, 255), font=font)
    left, top = _OPPOSITE[letters[0]], _OPPOSITE[letters[1]]
    draw.text((4, rows // 2 - 8), left, fill=(255, 255, 255), font=font)
    draw.text((columns // 2 - 5, 2), top, fill=(255, 255, 255), font=font)
    return np.asarray(canvas, dtype=np.uint8), factor


def _rim(mask: NDArray[np.bool_], *, width: int) -> NDArray[np.bool_]:
    """Return the pixels of a mask within ``width`` of its edge, inside it."""
    inner = np.pad(mask, 1)
    for _ in range(width):
        core = inner[1:-1, 1:-1]
        smaller = core & inner[:-2, 1:-1] & inner[2:, 1:-1] & inner[1:-1, :-2] & inner[1:-1, 2:]
        inner = np.pad(smaller, 1)
    return np.asarray(mask & ~inner[1:-1, 1:-1])


def _captured(
    picture: NDArray[np.uint8],
    header: Dataset,
    stack: Stack,
    *,
    at: int,
    factor: int,
    identity: Sequence[str],
) -> bytes:
    from highdicom.sc import SCImage

    plane = stack.slices[at]
    date, time, _ = moment_of(header)
    # the library says whole numbers and takes any
    spacing_mm: Any = (plane.spacing_mm[0] / factor, plane.spacing_mm[1] / factor)
    with carried_over(plane.name):
        image = SCImage.from_ref_dataset(
            ref_dataset=header,
            pixel_array=picture,
            photometric_interpretation="RGB",
            bits_allocated=8,
            coordinate_system="PATIENT",
            series_instance_uid=stable_uid("overlays", *identity),
            series_number=series_number(stack, offset=_SERIES_OFFSET),
            sop_instance_uid=stable_uid("overlay", plane.name, *identity),
            instance_number=at + 1,
            manufacturer=MANUFACTURER,
            pixel_spacing=spacing_mm,
            patient_orientation=_letters(stack),
            transfer_syntax_uid="1.2.840.10008.1.2.1",
            manufacturer_model_name=MANUFACTURER,
            software_versions=__version__,
            series_description="Infarct outline, not for diagnosis",
        )
        stamp(image, date=date, time=time)
        image.BurnedInAnnotation, image.BodyPartExamined = "YES", "BRAIN"
        image.DerivationDescription = "Outline of a segmentation drawn on the source slice"
        image.SourceImageSequence = [_reference(plane)]
        buffer = io.BytesIO()
        image.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def _reference(plane: Slice) -> Any:
    from pydicom.dataset import Dataset as New

    item = New()
    item.ReferencedSOPClassUID = plane.sop_class_uid
    item.ReferencedSOPInstanceUID = plane.sop_instance_uid
    if plane.frame is not None:
        item.ReferencedFrameNumber = plane.frame
    return item

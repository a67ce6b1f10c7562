"""NIfTI headers settled against the bytes they describe, before a voxel is believed.

nibabel and ITK each repair or overlook contradictions, and not the same ones; here a contradiction is
refused, and what the standard leaves open is remarked.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.spatialimages import HeaderDataError
from numpy.typing import NDArray

from infarct_vol.errors import DamagedFileError, HeaderError
from infarct_vol.files import text_instead_of_image
from infarct_vol.geometry import Grid
from infarct_vol.protocol import GeometrySettings

MAX_VOXELS = 512**3
"""Largest number of voxels that is read; a whole head at 0.5 mm has an eighth fewer."""

_KINDS: dict[int, tuple[Any, bytes, int]] = {
    # length of the header in bytes -> header class, magic, first byte voxels may start at
    348: (nib.Nifti1Header, b"n+1", 352),
    540: (nib.Nifti2Header, b"n+2", 544),
}
LONGEST_HEADER_BYTES = 544
_INTEGER_OR_FLOAT = {2, 4, 8, 16, 64, 256, 512, 768, 1024, 1280}
_MM_UNIT_CODE = 2
_SPACE_UNITS = {1: "metre", 3: "micron"}
_TEMPLATE_SPACES = {3: "Talairach space", 4: "MNI space", 5: "the space of a template"}
"""Form codes of images that were fitted to a template. Code 2, aligned to another scan, keeps the size."""


@dataclass(frozen=True, eq=False)
class Header:
    """What a header says about the voxels that follow it.

    Parameters
    ----------
    shape
        (I, J, K) or (I, J, K, N); spare axes of length one are left out.
    dtype
        Stored number type, with its byte order.
    offset
        Byte at which the voxels start.
    slope, intercept
        Intensity = slope * stored + intercept.
    remarks
        What the header leaves open and how it was read.
    fields
        The header as nibabel's mapping, unchecked by it.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    offset: int
    slope: float
    intercept: float
    remarks: tuple[str, ...]
    fields: Any

    @property
    def voxel_bytes(self) -> int:
        """Number of bytes the voxels take."""
        return math.prod(self.shape) * self.dtype.itemsize


def read_header(content: bytes | bytearray) -> Header:
    """Read the header at the start of a NIfTI file.

    Parameters
    ----------
    content
        The unpacked file, or at least its first 544 bytes.

    Raises
    ------
    DamagedFileError
        If the bytes are not a NIfTI header.
    HeaderError
        If a field has no usable value or contradicts another one.
    """
    fields, first_offset = _parsed(content)
    dtype = _number_type(fields)
    offset = _offset(fields, first=first_offset)
    slope, intercept, remarks = _scale(fields)
    header = Header(
        shape=_shape(fields),
        dtype=dtype,
        offset=offset,
        slope=slope,
        intercept=intercept,
        remarks=(*remarks, *_length_remarks(fields)),
        fields=fields,
    )
    if math.prod(header.shape) > MAX_VOXELS:
        msg = (
            f"the header claims {header.voxel_bytes / 1024**3:.1f} GiB of voxels (shape {header.shape}); "
            f"at most {MAX_VOXELS} voxels are read"
        )
        raise HeaderError(msg)
    return header


def _parsed(content: bytes | bytearray) -> tuple[Any, int]:
    if content[128:132] == b"DICM":
        msg = "this is a DICOM file; convert the series to NIfTI first ('infarct-vol import')"
        raise DamagedFileError(msg)
    for order in ("<", ">"):
        length = int.from_bytes(content[:4], "little" if order == "<" else "big")
        if length not in _KINDS:
            continue
        kind, magic, first_offset = _KINDS[length]
        if len(content) < first_offset:
            msg = f"truncated: {len(content)} bytes do not hold a header; copy it again from its source"
            raise DamagedFileError(msg)
        fields = kind(bytes(content[:length]), endianness=order, check=False)
        found = bytes(fields["magic"].tobytes()).rstrip(b"\0\r\n\x1a")
        if found != magic:
            msg = (
                f"not a single-file NIfTI: magic {found!r}, expected {magic!r}; export it as .nii or .nii.gz"
            )
            raise DamagedFileError(msg)
        return fields, first_offset
    text = text_instead_of_image(content)
    if text:
        raise DamagedFileError(text)
    msg = f"not a NIfTI file: it starts with {bytes(content[:4])!r}, not with the length of a NIfTI header"
    raise DamagedFileError(msg)


def _number_type(fields: Any) -> np.dtype[Any]:
    code, bits = int(fields["datatype"]), int(fields["bitpix"])
    if code not in _INTEGER_OR_FLOAT:
        msg = f"data type code {code} ({_type_label(fields)}); expected integer or real intensities"
        raise HeaderError(msg)
    dtype: np.dtype[Any] = fields.get_data_dtype()
    if bits != 8 * dtype.itemsize:
        msg = f"bitpix {bits} contradicts data type {_type_label(fields)} of {8 * dtype.itemsize} bits"
        raise HeaderError(msg)
    return dtype


def _type_label(fields: Any) -> str:
    return str(fields.get_value_label("datatype"))


def _shape(fields: Any) -> tuple[int, ...]:
    dimensions = [int(n) for n in fields["dim"]]
    count = dimensions[0]
    shape = tuple(dimensions[1 : count + 1]) if 1 <= count <= 7 else ()
    if len(shape) < 3 or min(shape) < 1:
        msg = f"dim {dimensions} are not three or four positive dimensions; repair the header"
        raise HeaderError(msg)
    # a 4-D file of one volume is a 3-D image with a spare axis
    squeezed = shape[:3] + tuple(n for n in shape[3:] if n != 1)
    if len(squeezed) > 4:
        msg = f"dimensions {shape}; expected three, or four for a series"
        raise HeaderError(msg)
    return squeezed


def _offset(fields: Any, *, first: int) -> int:
    offset = float(fields["vox_offset"])
    if not math.isfinite(offset) or offset != int(offset) or offset < first:
        msg = f"vox_offset {offset:g} is not a byte position from {first} on; repair the header"
        raise HeaderError(msg)
    return int(offset)


def _scale(fields: Any) -> tuple[float, float, tuple[str, ...]]:
    slope, intercept = float(fields["scl_slope"]), float(fields["scl_inter"])
    if slope == 0:
        # the standard: no scaling at all, whatever the intercept says
        return 1.0, 0.0, ("scl_slope is 0, read as 1",)
    if not math.isfinite(slope) or not math.isfinite(intercept):
        msg = f"scl_slope {slope} and scl_inter {intercept} are not two numbers; repair the header"
        raise HeaderError(msg)
    if slope < 0:
        msg = f"scl_slope {slope:g} is negative: bright and dark would change places; repair the header"
        raise HeaderError(msg)
    return slope, intercept, ()


def _length_remarks(fields: Any) -> tuple[str, ...]:
    unit = int(fields["xyzt_units"]) & 7
    if unit == 0:
        return ("unit of length not stated, read as mm",)
    if unit != _MM_UNIT_CODE:
        found = _SPACE_UNITS.get(unit, f"unit code {unit}")
        msg = f"xyzt_units states lengths in {found}; expected mm. Repair the header"
        raise HeaderError(msg)
    return ()


# ---- where the voxels are --------------------------------------------------------------------------------


@np.errstate(invalid="ignore")  # a signalling NaN in a field is refused by name below
def settled_grid(header: Header, *, geometry: GeometrySettings) -> tuple[Grid, tuple[str, ...]]:
    """Return the one voxel grid a header states, and remarks.

    Raises
    ------
    HeaderError
        If the header states no orientation, states two that differ, or states one that is singular,
        sheared or contradicts pixdim.
    """
    pixdim = np.asarray(header.fields["pixdim"][1:4], dtype=np.float64)
    if not np.isfinite(pixdim).all() or (pixdim <= 0).any():
        msg = f"pixdim {pixdim.tolist()} are not three positive lengths in mm; repair the header"
        raise HeaderError(msg)
    forms, remarks = _stated_forms(header.fields)
    if not forms:
        msg = "sform and qform codes are both 0, so left and right are unknown; export it again"
        raise HeaderError(msg)
    chosen = geometry.trust if geometry.trust in forms else next(iter(forms))
    if len(forms) == 2:
        if geometry.trust == "agreement":
            _require_agreement(forms, header.shape[:3], tolerance_mm=geometry.tolerance_mm)
        else:
            remarks = (*remarks, f"{chosen} used as the protocol states")
    _require_sound(forms[chosen], pixdim, max_shear_degrees=geometry.max_shear_degrees)
    shape = (header.shape[0], header.shape[1], header.shape[2])
    return Grid(shape, forms[chosen]), (*remarks, *_template_remarks(header.fields))


def _template_remarks(fields: Any) -> tuple[str, ...]:
    codes = {name: int(fields[f"{name}_code"]) for name in ("sform", "qform")}
    found = next(((n, c) for n, c in codes.items() if c in _TEMPLATE_SPACES), None)
    if found is None:
        return ()
    name, code = found
    return (
        f"the header says the image lies in {_TEMPLATE_SPACES[code]} ({name} code {code}): its volumes are "
        "those of a brain fitted to a template, not the patient's",
    )


def _stated_forms(fields: Any) -> tuple[dict[str, NDArray[np.float64]], tuple[str, ...]]:
    forms: dict[str, NDArray[np.float64]] = {}
    remarks: tuple[str, ...] = ()
    if int(fields["sform_code"]) > 0:
        forms["sform"] = np.asarray(fields.get_sform(), dtype=np.float64)
    if int(fields["qform_code"]) > 0:
        if float(fields["pixdim"][0]) == 0:
            fields["pixdim"][0] = 1.0
            remarks = ("qfac (pixdim[0]) is 0, read as 1 as the standard says",)
        try:
            forms["qform"] = np.asarray(fields.get_qform(), dtype=np.float64)
        except (ValueError, HeaderDataError, np.linalg.LinAlgError) as error:
            msg = f"qform cannot be interpreted: {error}; repair the header"
            raise HeaderError(msg) from None
    for name, affine in forms.items():
        if not np.isfinite(affine).all():
            msg = f"{name} holds values that are not numbers; repair the header"
            raise HeaderError(msg)
    return forms, remarks


def _require_agreement(
    forms: dict[str, NDArray[np.float64]], shape: tuple[int, ...], *, tolerance_mm: float
) -> None:
    corners = np.array([[i, j, k, 1] for i in (0, 1) for j in (0, 1) for k in (0, 1)], dtype=np.float64)
    corners[:, :3] *= np.array(shape) - 1.0
    difference = corners @ (forms["sform"] - forms["qform"]).T
    apart_mm = float(np.linalg.norm(difference[:, :3], axis=1).max())
    if apart_mm > tolerance_mm:
        msg = (
            f"sform and qform place the same voxel {apart_mm:.2f} mm apart (at most {tolerance_mm:g} "
            "allowed); repair the header, or state [geometry] trust = 'sform' or 'qform' in the protocol"
        )
        raise HeaderError(msg)


def _require_sound(
    affine: NDArray[np.float64], pixdim: NDArray[np.float64], *, max_shear_degrees: float
) -> None:
    columns = affine[:3, :3]
    spacing = np.linalg.norm(columns, axis=0)
    if (spacing < 1e-6).any() or abs(np.linalg.det(columns / np.maximum(spacing, 1e-6))) < 1e-3:
        msg = "the affine is singular: voxels have no volume; repair the header"
        raise HeaderError(msg)
    if (np.abs(spacing - pixdim) > 0.01 * pixdim).any():
        msg = (
            f"the affine says voxels of {np.round(spacing, 4).tolist()} mm, pixdim says "
            f"{np.round(pixdim, 4).tolist()} mm; repair the header"
        )
        raise HeaderError(msg)
    directions = columns / spacing
    cosine = float(np.abs(directions.T @ directions - np.eye(3)).max())
    shear_degrees = math.degrees(math.asin(min(1.0, cosine)))
    if shear_degrees > max_shear_degrees:
        msg = f"axes are sheared by {shear_degrees:.2f} degrees; resample the scan to a rectangular grid"
        raise HeaderError(msg)

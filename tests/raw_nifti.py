"""NIfTI files made byte by byte, so that tests can write what no library would."""

from __future__ import annotations

import gzip
import math
import struct

import numpy as np

HEADER_FIELDS = {
    # name: (byte, struct code), from the NIfTI-1 definition
    "sizeof_hdr": (0, "i"),
    "dim": (40, "8h"),
    "datatype": (70, "h"),
    "bitpix": (72, "h"),
    "pixdim": (76, "8f"),
    "vox_offset": (108, "f"),
    "scl_slope": (112, "f"),
    "scl_inter": (116, "f"),
    "xyzt_units": (123, "B"),
    "descrip": (148, "80s"),
    "aux_file": (228, "24s"),
    "qform_code": (252, "h"),
    "sform_code": (254, "h"),
    "quatern": (256, "3f"),
    "qoffset": (268, "3f"),
    "srow_x": (280, "4f"),
    "srow_y": (296, "4f"),
    "srow_z": (312, "4f"),
    "magic": (344, "4s"),
}
SHAPE = (4, 5, 6)
VOXELS = np.arange(120, dtype="<i2").reshape(SHAPE)
"""Intensity of every voxel of the sound file: its own number."""


def nifti_bytes(
    *, order: str = "<", voxels: bytes | None = None, tail: bytes = b"", **fields: object
) -> bytes:
    """Return a NIfTI-1 file of 4x5x6 int16 voxels of 1x2x5 mm, LAS, with some fields changed."""
    values: dict[str, object] = {
        "sizeof_hdr": 348,
        "dim": (3, 4, 5, 6, 1, 1, 1, 1),
        "datatype": 4,
        "bitpix": 16,
        "pixdim": (-1.0, 1.0, 2.0, 5.0, 0.0, 0.0, 0.0, 0.0),
        "vox_offset": 352.0,
        "scl_slope": 1.0,
        "scl_inter": 0.0,
        "xyzt_units": 2 | 8,
        "qform_code": 1,
        "sform_code": 1,
        # a turn of 180 degrees about y with qfac -1 is a mirrored first axis: LAS
        "quatern": (0.0, 1.0, 0.0),
        "qoffset": (10.0, -20.0, -30.0),
        "srow_x": (-1.0, 0.0, 0.0, 10.0),
        "srow_y": (0.0, 2.0, 0.0, -20.0),
        "srow_z": (0.0, 0.0, 5.0, -30.0),
        "magic": b"n+1\0",
    }
    values.update(fields)
    header = bytearray(352)
    for name, value in values.items():
        position, code = HEADER_FIELDS[name]
        parts = value if isinstance(value, tuple) else (value,)
        struct.pack_into(order + code, header, position, *parts)
    if voxels is None:
        voxels = VOXELS.astype(order + "i2").tobytes(order="F")
    return bytes(header) + voxels + tail


def nifti2_bytes(*, shape: tuple[int, ...] = SHAPE, vox_offset: int = 544) -> bytes:
    """Return a NIfTI-2 file of the same voxels, sform only."""
    header = bytearray(544)
    struct.pack_into(
        "<i8shh8q", header, 0, 540, b"n+2\0\r\n\x1a\n", 4, 16, len(shape), *shape, *[1] * (7 - len(shape))
    )
    struct.pack_into("<8d", header, 104, 1.0, 1.0, 2.0, 5.0, 0, 0, 0, 0)
    struct.pack_into("<qdd", header, 168, vox_offset, 1.0, 0.0)
    struct.pack_into("<ii", header, 344, 0, 1)
    struct.pack_into("<12d", header, 400, -1, 0, 0, 10, 0, 2, 0, -20, 0, 0, 5, -30)
    struct.pack_into("<i", header, 500, 2 | 8)
    return bytes(header) + VOXELS.tobytes(order="F")


def packed(content: bytes) -> bytes:
    """Return content as a gzip file without a time in it."""
    return gzip.compress(content, mtime=0)


NAN = math.nan
INFINITE = math.inf

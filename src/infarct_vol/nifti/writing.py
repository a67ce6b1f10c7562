"""Writing NIfTI files: clean headers, whole files, equal bytes for equal input."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from infarct_vol.files import gzip_bytes, write_bytes
from infarct_vol.geometry import Grid
from infarct_vol.images import Scan
from infarct_vol.nifti.names import is_gzip_name, require_nifti_name


def save_scan(
    scan: Scan, path: Path, *, dtype: str = "float32", slope: float = 1.0, intercept: float = 0.0
) -> None:
    """Write a scan on its grid; see `save_array`."""
    save_array(scan.data, scan.grid, path, dtype=dtype, slope=slope, intercept=intercept)


def save_array(
    data: NDArray[Any],
    grid: Grid,
    path: Path,
    *,
    dtype: str,
    slope: float = 1.0,
    intercept: float = 0.0,
) -> None:
    """Write (I, J, K) or (I, J, K, N) intensities as NIfTI-1; the same input gives the same bytes.

    Parameters
    ----------
    data
        Intensities; with a slope or intercept the stored number is ``(data - intercept) / slope``, rounded.
    dtype
        Stored numpy type: ``uint8``, ``int16``, ``uint16``, ``float32``.

    Raises
    ------
    UsageError
        If the name of the file is not that of a NIfTI file.
    ValueError
        If the stored numbers do not fit an integer ``dtype``.
    """
    require_nifti_name(path)
    content = nifti_bytes(data, grid, dtype=dtype, slope=slope, intercept=intercept, name=path.name)
    write_bytes(gzip_bytes(content) if is_gzip_name(path) else content, path)


def nifti_bytes(
    data: NDArray[Any],
    grid: Grid,
    *,
    dtype: str,
    slope: float = 1.0,
    intercept: float = 0.0,
    name: str = "an image",
) -> bytes:
    """Return intensities as an uncompressed NIfTI-1 file with a clean header, its voxels from byte 352.

    Parameters and errors as `save_array`; ``name`` is what the image is called in a message.
    """
    target = np.dtype(dtype)
    stored = _stored_numbers(data, target, slope=slope, intercept=intercept, name=name)
    return packed(stored, grid, slope=slope, intercept=intercept)


def packed(
    stored: NDArray[Any],
    grid: Grid,
    *,
    slope: float = 1.0,
    intercept: float = 0.0,
    window: tuple[float, float] = (0.0, 0.0),
) -> bytes:
    """Return stored numbers as uncompressed NIfTI-1; ``window`` is what is shown as black and white."""
    image = nib.Nifti1Image(stored, np.array(grid.affine))
    header = image.header
    header.set_data_dtype(stored.dtype)
    header.set_xyzt_units("mm")
    image.set_sform(grid.affine, code=1)
    image.set_qform(grid.affine, code=1)
    if np.abs(image.get_qform() - grid.affine).max() > 1e-4:
        # a quaternion cannot hold shear; two forms that differ are refused by careful readers
        image.set_qform(None, code=0)
    header.set_slope_inter(slope, intercept)
    header["cal_min"], header["cal_max"] = window
    header["magic"], header["vox_offset"] = b"n+1", 352
    # four bytes say that no extension follows
    return b"".join((header.binaryblock, bytes(4), stored.tobytes(order="F")))


def _stored_numbers(
    data: NDArray[Any], target: np.dtype[Any], *, slope: float, intercept: float, name: str
) -> NDArray[Any]:
    if not math.isfinite(intercept) or not math.isfinite(slope) or slope <= 0:
        msg = f"slope {slope} and intercept {intercept} cannot scale {name}; expected a positive slope"
        raise ValueError(msg)
    stored: NDArray[Any] = np.asarray(data)
    if slope != 1.0 or intercept != 0.0:
        stored = (stored - np.float32(intercept)) / np.float32(slope)
    if target.kind in "iu" and stored.dtype != target:
        stored = np.rint(stored)
        limits = np.iinfo(target)
        # written so that NaN does not fit either
        if stored.size and not (limits.min <= stored.min() and stored.max() <= limits.max):
            msg = f"intensities {stored.min():g} to {stored.max():g} do not fit {target} in {name}"
            raise ValueError(msg)
    return stored.astype(target, copy=False)

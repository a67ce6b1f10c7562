"""The only reader and writer of NIfTI files.

Damaged files reach neither nibabel nor ITK: a gzip stream is read to its trailer (CRC and length) and
the header is checked against the bytes first, because both libraries return wrong voxels from damaged
files without an error.
"""

from __future__ import annotations

import hashlib
import io
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from infarct_vol.errors import DamagedFileError, HeaderError
from infarct_vol.files import gzip_bytes, read_sidecar, write_bytes
from infarct_vol.geometry import Grid
from infarct_vol.images import Identity, LesionMask, Modality, Scan
from infarct_vol.protocol import GeometrySettings

MAX_BYTES = 2 * 1024**3
_GZIP_MAGIC = b"\x1f\x8b"
_MM_UNIT_CODE = 2
_SPACE_UNITS = {0: "unknown", 1: "metre", 2: "mm", 3: "micron"}
_INTEGER_OR_FLOAT = {2, 4, 8, 16, 64, 256, 512, 768, 1024, 1280}


# ---- reading ---------------------------------------------------------------------------------------------


def load_scan(
    path: Path | str,
    *,
    modality: Modality = "unknown",
    identity: Identity | None = None,
    geometry: GeometrySettings | None = None,
) -> Scan:
    """Read one three-dimensional image.

    Parameters
    ----------
    path
        A ``.nii`` or ``.nii.gz`` file; a JSON sidecar of the same stem is read when there is one.
    modality
        What the image is; ignored when ``identity`` is given.
    identity
        Participant, session and modality for messages; path and SHA-256 are filled in here.
    geometry
        What to believe when sform and qform differ. Default: refuse.

    Raises
    ------
    DamagedFileError
        If the file is missing, truncated, corrupt, or not NIfTI.
    HeaderError
        If the header contradicts itself, or the file holds several volumes.
    """
    path = Path(path)
    identity = replace(identity or Identity(modality=modality), path=path)
    data, grid, remarks, digest = _read(path, where=_where(identity), geometry=geometry or GeometrySettings())
    if data.ndim == 4:
        msg = (
            f"{path.name} holds {data.shape[3]} volumes where one is expected; name the volume to use, "
            "or give a diffusion series with its .bval file"
        )
        raise HeaderError(msg, where=_where(identity))
    identity = replace(identity, sha256=digest)
    return Scan(data=data, grid=grid, identity=identity, sidecar=read_sidecar(path), remarks=remarks)


def load_series(
    path: Path | str, *, identity: Identity | None = None, geometry: GeometrySettings | None = None
) -> tuple[NDArray[np.float32], Grid]:
    """Read a four-dimensional series as ((I, J, K, N) float32, grid). Raises as `load_scan` does."""
    path = Path(path)
    where = _where(identity or Identity())
    data, grid, _, _ = _read(path, where=where, geometry=geometry or GeometrySettings())
    return (data if data.ndim == 4 else data[..., np.newaxis]), grid


def load_mask(
    path: Path | str, *, identity: Identity | None = None, geometry: GeometrySettings | None = None
) -> LesionMask:
    """Read a mask: voxels of 0 and one other value (1, 255, ...).

    Raises
    ------
    DamagedFileError, HeaderError
        As `load_scan`; also when the file holds several labels or fractions.
    """
    scan = load_scan(path, identity=identity or Identity(), geometry=geometry)
    values = np.unique(scan.data)
    labels = values[values != 0]
    if labels.size > 1 or (labels.size == 1 and (labels[0] < 0 or labels[0] != round(float(labels[0])))):
        shown = ", ".join(f"{v:g}" for v in labels[:5])
        msg = (
            f"{Path(path).name} is not a binary mask: it holds {labels.size} values besides 0 "
            f"({shown} ...); export one label as 0/1"
        )
        raise HeaderError(msg, where=_where(scan.identity))
    source = f"file:{Path(path).name}"
    return LesionMask(
        data=scan.data > 0, grid=scan.grid, identity=scan.identity, method=source, flags=scan.remarks
    )


def _where(identity: Identity) -> str:
    # every message names the file itself; participant and session are added where they are known
    return str(identity) if identity.participant_id else ""


def _read(
    path: Path, *, where: str, geometry: GeometrySettings
) -> tuple[NDArray[np.float32], Grid, tuple[str, ...], str]:
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        msg = f"no file at {path}"
        raise DamagedFileError(msg, where=where) from None
    except OSError as error:
        msg = f"{path} cannot be read: {error.strerror}"
        raise DamagedFileError(msg, where=where) from None
    digest = hashlib.sha256(raw).hexdigest()
    content = _decompressed(raw, path=path, where=where)
    image, remarks = _checked_image(content, path=path, where=where)
    affine, about_affine = _settled_affine(image, path=path, where=where, geometry=geometry)
    try:
        grid = Grid(image.shape[:3], affine)
    except HeaderError as error:
        msg = f"{path.name}: {error.message}"
        raise HeaderError(msg, where=where) from None
    data = np.asanyarray(image.dataobj).astype(np.float32, copy=False)
    return data.reshape(image.shape), grid, (*remarks, *about_affine), digest


def _decompressed(raw: bytes, *, path: Path, where: str) -> bytes:
    is_gzip = raw[:2] == _GZIP_MAGIC
    if not raw:
        msg = f"{path.name} is empty (0 bytes); copy it again from its source"
        raise DamagedFileError(msg, where=where)
    if is_gzip != (path.suffix == ".gz"):
        found = "gzip data" if is_gzip else "no gzip data"
        msg = f"{path.name} holds {found}, which its name denies; rename or compress it as it is"
        raise DamagedFileError(msg, where=where)
    if not is_gzip:
        return raw
    try:
        return _gunzip(raw, path=path, where=where)
    except zlib.error as error:
        msg = f"{path.name} is damaged: {error}; copy it again from its source"
        raise DamagedFileError(msg, where=where) from None


def _gunzip(raw: bytes, *, path: Path, where: str) -> bytes:
    """Unpack every member of a gzip file to its trailer, where CRC and length are compared."""
    pieces, room = [], MAX_BYTES
    rest = raw
    while rest[:2] == _GZIP_MAGIC:
        engine = zlib.decompressobj(wbits=31)
        pieces.append(engine.decompress(rest, room))
        room -= len(pieces[-1])
        if engine.unconsumed_tail or room <= 0:
            msg = f"{path.name} unpacks to more than {MAX_BYTES // 1024**2} MiB; no scan is that large"
            raise DamagedFileError(msg, where=where)
        if not engine.eof:
            msg = f"{path.name} is truncated: its gzip stream has no end; copy it again from its source"
            raise DamagedFileError(msg, where=where)
        rest = engine.unused_data
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _checked_image(content: bytes, *, path: Path, where: str) -> tuple[Any, tuple[str, ...]]:
    """Return a nibabel image whose header agrees with the bytes, and remarks."""
    if content[128:132] == b"DICM":
        msg = f"{path.name} is a DICOM file; convert the series to NIfTI first"
        raise DamagedFileError(msg, where=where)
    kind = nib.Nifti2Image if content[:4] in (b"\x1c\x02\x00\x00", b"\x00\x00\x02\x1c") else nib.Nifti1Image
    try:
        image = kind.from_bytes(content)
        header = image.header
        datatype, bits = int(header["datatype"]), int(header["bitpix"])
    except Exception as error:  # noqa: BLE001 - nibabel raises many kinds on a hostile header
        msg = f"{path.name} is not a readable NIfTI file: {error}"
        raise DamagedFileError(msg, where=where) from None
    if datatype not in _INTEGER_OR_FLOAT:
        found = header.get_value_label("datatype")
        msg = f"{path.name} has data type {found}; expected integer or real intensities"
        raise HeaderError(msg, where=where)
    if bits != 8 * header.get_data_dtype().itemsize:
        msg = f"{path.name}: bitpix {bits} contradicts data type {header.get_value_label('datatype')}"
        raise HeaderError(msg, where=where)
    _require_voxels(image, content, path=path, where=where)
    return image, _header_remarks(image, content, path=path, where=where)


def _require_voxels(image: Any, content: bytes, *, path: Path, where: str) -> None:
    shape = image.shape
    squeezed = shape[:3] + tuple(n for n in shape[3:] if n != 1)
    if len(shape) < 3 or len(squeezed) > 4 or min(shape, default=0) < 1:
        msg = f"{path.name} has dimensions {shape}; expected three, or four for a series"
        raise HeaderError(msg, where=where)
    needed = int(np.prod(shape, dtype=object)) * image.get_data_dtype().itemsize
    held = len(content) - int(image.dataobj.offset)
    if needed > MAX_BYTES:
        msg = (
            f"{path.name} claims {needed / 1024**3:.0f} GiB of voxels (shape {shape}); no scan is that large"
        )
        raise HeaderError(msg, where=where)
    if held < needed:
        msg = f"{path.name} is truncated: its header promises {needed} bytes of voxels, the file holds {held}"
        raise DamagedFileError(msg, where=where)
    if len(squeezed) != len(shape):
        # a 4-D file of one volume is a 3-D image with a spare axis
        image._dataobj = np.asanyarray(image.dataobj).reshape(squeezed)


def _header_remarks(image: Any, content: bytes, *, path: Path, where: str) -> tuple[str, ...]:
    header = image.header
    remarks = []
    slope, intercept = _stored_scale(image, content)
    if not np.isfinite(slope) or not np.isfinite(intercept):
        msg = f"{path.name}: scl_slope {slope} and scl_inter {intercept} are not numbers; repair the header"
        raise HeaderError(msg, where=where)
    if slope == 0:
        remarks.append("scl_slope is 0, read as 1")
    unit = int(header["xyzt_units"]) & 7
    if unit not in (0, _MM_UNIT_CODE):
        msg = f"{path.name} states lengths in {_SPACE_UNITS.get(unit, unit)}; expected mm. Repair xyzt_units"
        raise HeaderError(msg, where=where)
    if unit == 0:
        remarks.append("unit of length not stated, read as mm")
    return tuple(remarks)


def _stored_scale(image: Any, content: bytes) -> tuple[float, float]:
    """Return scl_slope and scl_inter as they stand in the file; nibabel blanks them after loading."""
    header = type(image.header).from_fileobj(io.BytesIO(content), check=False)
    return float(header["scl_slope"]), float(header["scl_inter"])


def _settled_affine(
    image: Any, *, path: Path, where: str, geometry: GeometrySettings
) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """Return the one affine the header states, or refuse."""
    header = image.header
    pixdim = np.asarray(header["pixdim"][1:4], dtype=np.float64)
    if not np.isfinite(pixdim).all() or (pixdim <= 0).any():
        msg = f"{path.name}: pixdim {pixdim.tolist()} are not three positive lengths; repair the header"
        raise HeaderError(msg, where=where)
    forms = {}
    for name, getter in (("sform", image.get_sform), ("qform", image.get_qform)):
        try:
            affine, code = getter(coded=True)
        except (ValueError, np.linalg.LinAlgError) as error:
            msg = f"{path.name}: {name} cannot be interpreted: {error}"
            raise HeaderError(msg, where=where) from None
        if code > 0:
            forms[name] = np.asarray(affine, dtype=np.float64)
    if not forms:
        msg = f"{path.name}: sform and qform codes are both 0, so left and right are unknown; export it again"
        raise HeaderError(msg, where=where)
    remarks: tuple[str, ...] = ()
    if geometry.trust in forms:
        affine = forms[geometry.trust]
        remarks = (f"{geometry.trust} used as the protocol states",) if len(forms) == 2 else ()
    else:
        affine = _agreed(forms, image.shape[:3], path=path, where=where, geometry=geometry)
    _require_sound(affine, pixdim, path=path, where=where, geometry=geometry)
    return affine, remarks


def _agreed(
    forms: dict[str, NDArray[np.float64]],
    shape: tuple[int, ...],
    *,
    path: Path,
    where: str,
    geometry: GeometrySettings,
) -> NDArray[np.float64]:
    affine = next(iter(forms.values()))
    if len(forms) == 1:
        return affine
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in shape], [1], indexing="ij"), dtype=float).reshape(
        4, -1
    )
    apart_mm = float(np.linalg.norm(((forms["sform"] - forms["qform"]) @ corners)[:3], axis=0).max())
    if not apart_mm <= geometry.tolerance_mm:
        msg = (
            f"{path.name}: sform and qform place the same voxel {apart_mm:.2f} mm apart (at most "
            f"{geometry.tolerance_mm:g} allowed); repair the header, or state [geometry] trust = 'sform' "
            "or 'qform' in the protocol"
        )
        raise HeaderError(msg, where=where)
    return affine


def _require_sound(
    affine: NDArray[np.float64],
    pixdim: NDArray[np.float64],
    *,
    path: Path,
    where: str,
    geometry: GeometrySettings,
) -> None:
    columns = affine[:3, :3]
    spacing = np.linalg.norm(columns, axis=0)
    if not np.isfinite(affine).all() or (spacing < 1e-6).any():
        msg = f"{path.name}: the affine is singular or not finite; repair the header"
        raise HeaderError(msg, where=where)
    if (np.abs(spacing - pixdim) > 0.01 * pixdim).any():
        msg = (
            f"{path.name}: the affine says voxels of {np.round(spacing, 4).tolist()} mm, pixdim says "
            f"{np.round(pixdim, 4).tolist()} mm; repair the header"
        )
        raise HeaderError(msg, where=where)
    cosines = np.abs((columns / spacing).T @ (columns / spacing) - np.eye(3)).max()
    shear = float(np.degrees(np.arcsin(min(1.0, cosines))))
    if shear > geometry.max_shear_degrees:
        msg = f"{path.name}: axes are sheared by {shear:.2f} degrees; resample the scan to a rectangular grid"
        raise HeaderError(msg, where=where)


# ---- writing ---------------------------------------------------------------------------------------------


def save_scan(
    scan: Scan, path: Path, *, dtype: str = "float32", slope: float = 1.0, intercept: float = 0.0
) -> None:
    """Write a scan on its grid; see `save_array`."""
    save_array(scan.data, scan.grid, path, dtype=dtype, slope=slope, intercept=intercept)


def save_mask(mask: LesionMask, path: Path) -> None:
    """Write a mask as uint8 0/1 on its native grid; see `save_array`."""
    save_array(mask.data.view(np.uint8), mask.grid, path, dtype="uint8")


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
    ValueError
        If the stored numbers do not fit an integer ``dtype``.
    """
    target = np.dtype(dtype)
    stored: NDArray[Any] = np.asarray(data)
    if slope != 1.0 or intercept != 0.0:
        stored = (stored - np.float32(intercept)) / np.float32(slope)
    if target.kind in "iu" and stored.dtype != target:
        stored = np.rint(stored)
        limits = np.iinfo(target)
        if stored.size and (stored.min() < limits.min or stored.max() > limits.max):
            msg = f"intensities {stored.min():g} to {stored.max():g} do not fit {target} in {path.name}"
            raise ValueError(msg)
    image = nib.Nifti1Image(stored.astype(target, copy=False), np.array(grid.affine))
    image.header.set_data_dtype(target)
    image.header.set_xyzt_units("mm")
    image.set_sform(grid.affine, code=1)
    image.set_qform(grid.affine, code=1)
    content = bytearray(image.to_bytes())
    if slope != 1.0 or intercept != 0.0:
        # nibabel writes no scale factors for integer arrays given as such; scl_slope is at byte 112
        content[112:120] = np.array([slope, intercept], dtype="<f4").tobytes()
    write_bytes(gzip_bytes(bytes(content)) if path.suffix == ".gz" else bytes(content), path)

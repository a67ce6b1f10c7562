"""Reading NIfTI files.

Damaged files reach neither nibabel nor ITK: a gzip stream is read to its trailer (CRC and length) and
the header is checked against the bytes first, because both libraries return wrong voxels from damaged
files without an error.
"""

from __future__ import annotations

import hashlib
import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from infarct_vol.errors import DamagedFileError, HeaderError, ScanRefusedError
from infarct_vol.files import nifti_stem, read_sidecar, text_instead_of_image
from infarct_vol.geometry import Grid
from infarct_vol.headers import LONGEST_HEADER_BYTES, MAX_VOXELS, Header, read_header, settled_grid
from infarct_vol.images import Identity, Modality, Scan
from infarct_vol.nifti.names import is_gzip_name, refuse_other_format
from infarct_vol.protocol import GeometrySettings

_GZIP_MAGIC = b"\x1f\x8b"
_CHUNK_BYTES = 1024**2
_MAX_EXTRA_BYTES = 16 * 1024**2
"""Room for header extensions and trailing bytes beyond what a header promises."""


# ---- reading ---------------------------------------------------------------------------------------------


def load_scan(
    path: Path | str,
    *,
    modality: Modality = "unknown",
    identity: Identity | None = None,
    geometry: GeometrySettings | None = None,
    sidecars: Sequence[Path] | None = None,
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
    sidecars
        JSON files that hold for the image, the nearest last; default: the one beside it, if there is one.

    Raises
    ------
    DamagedFileError
        If the file is missing, truncated, corrupt, or not NIfTI.
    HeaderError
        If the header contradicts itself, or the file holds several volumes.
    """
    path = Path(path)
    identity = replace(identity or Identity(modality=modality), path=path)
    stored = _read(path, where=where_of(identity), geometry=geometry or GeometrySettings())
    _require_single(stored, path, where=where_of(identity))
    data = scaled_voxels(stored, path, where=where_of(identity))
    identity = replace(identity, sha256=stored.sha256)
    return Scan(data, stored.grid, identity, sidecar=read_sidecar(path, sidecars), remarks=stored.remarks)


class Series(NamedTuple):
    """A four-dimensional series: (I, J, K, N) float32, its grid, identity, sidecar and remarks."""

    data: NDArray[np.float32]
    grid: Grid
    identity: Identity
    sidecar: Mapping[str, object]
    remarks: tuple[str, ...]


def load_series(
    path: Path | str,
    *,
    identity: Identity | None = None,
    geometry: GeometrySettings | None = None,
    sidecars: Sequence[Path] | None = None,
) -> Series:
    """Read a four-dimensional series; one volume gives N = 1. Raises as `load_scan` does."""
    path = Path(path)
    identity = replace(identity or Identity(), path=path)
    where = where_of(identity)
    stored = _read(path, where=where, geometry=geometry or GeometrySettings())
    data = scaled_voxels(stored, path, where=where)
    data = data if data.ndim == 4 else data[..., np.newaxis]
    identity = replace(identity, sha256=stored.sha256)
    return Series(data, stored.grid, identity, read_sidecar(path, sidecars), stored.remarks)


class Stored(NamedTuple):
    """Voxels as they are in a file, (I, J, K): intensity = slope * voxel + intercept."""

    data: NDArray[Any]
    grid: Grid
    slope: float
    intercept: float
    sha256: str
    remarks: tuple[str, ...] = ()


def load_stored(path: Path | str, *, geometry: GeometrySettings | None = None, where: str = "") -> Stored:
    """Read one three-dimensional image without scaling its voxels; checks and errors as `load_scan`."""
    stored = _read(Path(path), where=where, geometry=geometry or GeometrySettings())
    _require_single(stored, Path(path), where=where)
    return stored


def load_grid(path: Path | str, *, geometry: GeometrySettings | None = None) -> Grid:
    """Return the voxel grid of an image by its header alone; its voxels are neither read nor checked.

    Raises
    ------
    DamagedFileError, HeaderError
        If there is no header, or it contradicts itself.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            raw = file.read(8 * LONGEST_HEADER_BYTES)
        if raw[:2] == _GZIP_MAGIC:
            raw = zlib.decompressobj(wbits=31).decompress(raw, LONGEST_HEADER_BYTES)
        grid, _ = settled_grid(read_header(raw), geometry=geometry or GeometrySettings())
    except (OSError, zlib.error) as error:
        msg = f"{path.name} has no header that can be read ({error}); copy it again from its source"
        raise DamagedFileError(msg) from None
    return grid


def where_of(identity: Identity) -> str:
    """Return what is put in front of a message about an image."""
    # every message names the file itself; participant and session are added where they are known
    return str(identity) if identity.participant_id else ""


def _require_single(stored: Stored, path: Path, *, where: str) -> None:
    if stored.data.ndim == 4:
        msg = (
            f"{path.name} holds {stored.data.shape[3]} volumes where one is expected; export the one meant, "
            f"or, of a diffusion series, write one b-value for each volume into {nifti_stem(path)}.bval"
        )
        raise HeaderError(msg, where=where)


def _read(path: Path, *, where: str, geometry: GeometrySettings) -> Stored:
    try:
        raw = _file_bytes(path)
        refuse_other_format(path, raw)
        content, after_bytes = _unpacked(raw, named_gzip=is_gzip_name(path))
        header = read_header(content)
        grid, about_grid = settled_grid(header, geometry=geometry)
        data = _voxels(content, header)
    except ScanRefusedError as error:
        msg = f"{path.name}: {error.message}"
        raise type(error)(msg, where=where) from None
    extra = after_bytes + len(content) - header.offset - header.voxel_bytes
    trailing = (f"{extra} bytes follow the last voxel, ignored",) if extra else ()
    remarks = (*header.remarks, *about_grid, *trailing)
    return Stored(data, grid, header.slope, header.intercept, hashlib.sha256(raw).hexdigest(), remarks)


def _file_bytes(path: Path) -> bytes:
    try:
        if not path.is_file():
            msg = f"no file at {path}"
            if path.is_symlink():
                msg = "a link to a file that is not there; fetch the image ('git annex get' or 'datalad get')"
            raise DamagedFileError(msg)
        if path.stat().st_size > 8 * MAX_VOXELS + _MAX_EXTRA_BYTES:
            msg = (
                f"{path.stat().st_size / 1024**3:.1f} GiB; no scan of at most {MAX_VOXELS} voxels is as large"
            )
            raise DamagedFileError(msg)
        raw = path.read_bytes()
    except (OSError, ValueError) as error:
        if isinstance(error, DamagedFileError):
            raise
        # a name with a NUL byte is a ValueError to Python
        msg = f"cannot be read: {getattr(error, 'strerror', None) or error}"
        raise DamagedFileError(msg) from None
    if not raw:
        msg = "empty (0 bytes); copy it again from its source"
        raise DamagedFileError(msg)
    return raw


def _unpacked(raw: bytes, *, named_gzip: bool) -> tuple[bytes | bytearray, int]:
    """Return the file without its gzip wrapping, and the number of bytes after the wrapping's end."""
    is_gzip = raw[:2] == _GZIP_MAGIC
    if not is_gzip and (text := text_instead_of_image(raw)):
        raise DamagedFileError(text)
    if is_gzip != named_gzip:
        found = "gzip data" if is_gzip else "no gzip data"
        msg = f"holds {found}, which its name denies; rename or compress it as it is"
        raise DamagedFileError(msg)
    if not is_gzip:
        return raw, 0
    try:
        return _gunzip(raw)
    except zlib.error as error:
        msg = f"the gzip stream is damaged ({error}); copy it again from its source"
        raise DamagedFileError(msg) from None


def _gunzip(raw: bytes) -> tuple[bytearray, int]:
    """Unpack every member to its trailer, where zlib compares CRC and length."""
    content, position, limit = bytearray(), 0, _MAX_EXTRA_BYTES
    while raw[position : position + 2] == _GZIP_MAGIC:
        engine = zlib.decompressobj(wbits=31)
        while not engine.eof:
            if limit == _MAX_EXTRA_BYTES:
                limit = _unpacked_limit(content)
            if len(content) > limit:
                read_header(content[:LONGEST_HEADER_BYTES])  # says so itself if it is at fault
                msg = f"unpacks to more than {limit} bytes, far more than its header promises"
                raise DamagedFileError(msg)
            piece = raw[position : position + _CHUNK_BYTES]
            produced = engine.decompress(piece, _CHUNK_BYTES)
            if not piece and not produced and not engine.eof:
                msg = "truncated: the gzip stream has no end; copy it again from its source"
                raise DamagedFileError(msg)
            content += produced
            position += len(piece) - len(engine.unconsumed_tail) - len(engine.unused_data)
    return content, len(raw) - position


def _unpacked_limit(content: bytearray) -> int:
    """Return how many bytes may be unpacked, going by the header once it is there.

    A header that cannot be read is refused later, after the stream's own CRC had its say.
    """
    if len(content) < LONGEST_HEADER_BYTES:
        return _MAX_EXTRA_BYTES
    try:
        header = read_header(content[:LONGEST_HEADER_BYTES])
    except ScanRefusedError:
        return _MAX_EXTRA_BYTES
    return header.offset + header.voxel_bytes + _MAX_EXTRA_BYTES


def _voxels(content: bytes | bytearray, header: Header) -> NDArray[Any]:
    """Return the stored numbers in the order of the file, as a view of its bytes."""
    held = max(0, len(content) - header.offset)
    if held < header.voxel_bytes:
        msg = f"truncated: the header promises {header.voxel_bytes} bytes of voxels, the file holds {held}"
        raise DamagedFileError(msg)
    count = math.prod(header.shape)
    stored = np.frombuffer(content, dtype=header.dtype, count=count, offset=header.offset)
    return stored.reshape(header.shape, order="F")


def scaled_voxels(stored: Stored, path: Path, *, where: str) -> NDArray[np.float32]:
    """Return intensities in C order; ``where`` is put in front of a message."""
    numbers, slope, intercept = stored.data, stored.slope, stored.intercept
    try:
        # one plane at a time keeps the float64 product small
        with np.errstate(over="raise", invalid="ignore"):
            if slope == 1 and intercept == 0:
                return np.array(numbers, dtype=np.float32, order="C")
            data = np.empty(numbers.shape, dtype=np.float32)
            for k in range(numbers.shape[2]):
                data[:, :, k] = numbers[:, :, k].astype(np.float64) * slope + intercept
    except FloatingPointError:
        msg = f"{path.name}: intensities exceed the range of float32; check scl_slope and the stored values"
        raise HeaderError(msg, where=where) from None
    return data

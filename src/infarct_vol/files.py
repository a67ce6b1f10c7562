"""Small files written whole and read with care: hashes, sidecars, deterministic gzip, atomic writes."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from infarct_vol.errors import HeaderError

_PIECE_BYTES = 1 << 20


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes."""
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as handle:
        # a trial has many small files: no buffer larger than the file is made for any of them
        size = min(os.fstat(handle.fileno()).st_size + 1, _PIECE_BYTES)
        while piece := handle.read(size):
            digest.update(piece)
    return digest.hexdigest()


def nifti_stem(path: Path) -> str:
    """Return a NIfTI file's name without ``.nii`` or ``.nii.gz``."""
    return path.name.removesuffix(".gz").removesuffix(".nii")


def read_sidecar(path: Path) -> dict[str, object]:
    """Return the JSON object beside a NIfTI file, or an empty one where there is none.

    Raises
    ------
    HeaderError
        If the sidecar is not a JSON object.
    """
    sidecar = path.with_name(nifti_stem(path) + ".json")
    if not sidecar.is_file():
        return {}
    try:
        value = json.loads(sidecar.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError, OSError) as error:
        # ValueError covers JSON, encoding and numbers of absurd length; RecursionError absurd nesting
        msg = f"sidecar {sidecar.name} is not readable JSON: {error}"
        raise HeaderError(msg) from None
    if not isinstance(value, dict):
        msg = f"sidecar {sidecar.name} holds a {type(value).__name__} where a JSON object is expected"
        raise HeaderError(msg)
    return value


def gzip_bytes(content: bytes) -> bytes:
    """Return a gzip stream without name or time, so that equal content gives equal bytes."""
    engine = zlib.compressobj(level=6, wbits=31)
    return engine.compress(content) + engine.flush()


@contextmanager
def whole_file(path: Path, *, mode: int = 0o644) -> Iterator[io.BufferedWriter]:
    """Open a file to be written so that no reader ever sees half of it: temporary file, fsync, rename.

    Whatever is raised inside leaves the file that was there as it was. ``mode`` says who may read it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".part")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(mode)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def sync_folder(folder: Path) -> None:
    """Wait until the names of the files in a folder are on disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def whole_text(path: Path) -> Iterator[io.TextIOWrapper]:
    """Open a UTF-8 text file as `whole_file` does; line ends are written as they are given."""
    with whole_file(path) as file:
        stream = io.TextIOWrapper(file, encoding="utf-8", newline="")
        yield stream
        stream.flush()
        stream.detach()  # the file below is closed by whoever opened it


def write_bytes(content: bytes, path: Path) -> None:
    """Write a file as `whole_file` does."""
    with whole_file(path) as file:
        file.write(content)


def write_text(text: str, path: Path) -> None:
    """Write UTF-8 text as `write_bytes` does."""
    write_bytes(text.encode(), path)


def write_json(value: object, path: Path) -> None:
    """Write a JSON document with sorted keys as `write_bytes` does."""
    write_text(json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n", path)

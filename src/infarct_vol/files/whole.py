"""Files written whole: deterministic gzip, temporary file, fsync, rename; and the hash of a file."""

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

"""One review server an output folder: readers of one study meet at one desk."""

from __future__ import annotations

import fcntl
import json
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from infarct_vol.errors import OutputLockedError, UsageError

_NAME = ".infarct-vol-review.lock"


@contextmanager
def occupied(out: Path) -> Iterator[Callable[[int], None]]:
    """Hold an output folder for one review server; the function given notes the port it listens on.

    The lock is the operating system's, so a killed server leaves none behind.

    Raises
    ------
    OutputLockedError
        If another server holds it; the message names its process and port.
    UsageError
        If the folder cannot be written: decisions could not be kept.
    """
    path = out / _NAME
    started = datetime.now(UTC).isoformat(timespec="seconds")
    handle = _held(path, out)

    def note(port: int) -> None:
        handle.truncate(0)
        facts = {"pid": os.getpid(), "host": socket.gethostname(), "started": started, "port": port}
        handle.write(json.dumps(facts))
        handle.flush()

    with handle:
        note(0)
        try:
            yield note
        finally:
            path.unlink(missing_ok=True)


def _held(path: Path, out: Path) -> TextIO:
    while True:
        try:
            handle = path.open("a+", encoding="utf-8")
        except OSError as error:
            msg = f"cannot write to {out}: {error.strerror}; decisions could not be kept"
            raise UsageError(msg) from None
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_same(handle, path):
                return handle
        except OSError:
            handle.seek(0)
            other = _told(handle.read())
            handle.close()
            msg = f"{out} is open for review already: {other}; use that page, or stop it first"
            raise OutputLockedError(msg) from None
        handle.close()  # the server before took its file away in between


def _is_same(handle: TextIO, path: Path) -> bool:
    """Tell whether the file that was locked is still the one that others would find."""
    try:
        return os.fstat(handle.fileno()).st_ino == path.stat().st_ino
    except FileNotFoundError:
        return False


def _told(text: str) -> str:
    try:
        facts = json.loads(text)
        return f"process {facts['pid']} on {facts['host']}, port {facts['port'] or 'not known yet'}"
    except (ValueError, TypeError, KeyError):
        return "by a process that is just starting"

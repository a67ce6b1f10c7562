"""Places that results are to be written to, checked before any work is done for them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from infarct_vol.errors import UsageError
from infarct_vol.files.sidecar import nifti_stem


def require_target(
    path: Path, *, inputs: Iterable[Path | None] = (), others: Iterable[Path | None] = ()
) -> None:
    """Raise unless a file can be written at a path.

    Parameters
    ----------
    path
        The file to write.
    inputs
        Files that are read: none of them, nor its sidecar, is written over.
    others
        Further files that are written by the same command.

    Raises
    ------
    UsageError
        If the path is a folder, an input, one of the other outputs, or its folder cannot be made.
    """
    try:
        is_folder, place = path.is_dir(), path.resolve()
    except (OSError, ValueError) as error:
        msg = f"'{path}' is no name of a file: {error}"
        raise UsageError(msg) from None
    if is_folder:
        msg = f"'{path}' is a folder; name the file to write in it"
        raise UsageError(msg)
    for given in (one for one in inputs if one is not None):
        if _is_one_file(given, place) or _shares_sidecar(given, place):
            msg = f"'{path}' would be written over an input, '{given}', or its sidecar; give it another name"
            raise UsageError(msg)
    if any(other is not None and other.resolve() == place for other in others):
        msg = f"'{path}' is named for two outputs; give each a name of its own"
        raise UsageError(msg)
    _require_folder(path, place.parent)


def _is_one_file(given: Path, place: Path) -> bool:
    return given.resolve() == place or (given.exists() and place.exists() and given.samefile(place))


def _shares_sidecar(given: Path, place: Path) -> bool:
    return given.resolve().parent == place.parent and nifti_stem(given) == nifti_stem(place)


def _require_folder(path: Path, folder: Path) -> None:
    """Raise unless the folder of a file is there, or can be made."""
    there = next(place for place in (folder, *folder.parents) if place.exists())
    if not there.is_dir():
        msg = f"'{path}' cannot be written: '{there}' is a file, not a folder"
        raise UsageError(msg)
    if not os.access(there, os.W_OK | os.X_OK):
        msg = f"'{path}' cannot be written: no permission to write into '{there}'"
        raise UsageError(msg)

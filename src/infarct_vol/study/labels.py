"""Labels of participants and sessions as tables write them, and the folders they mean."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from infarct_vol.errors import StudyError

_UNIT = "(?:months?|mon?|m|days?|d|weeks?|wks?|w|years?|yrs?|y|hours?|hrs?|h)"
_SAYS_LATER = re.compile(
    rf"{_UNIT}(?!0*1$)0*[1-9]\d*|(?:months?|mon?|m|weeks?|wks?|w|years?|yrs?|y|hours?|hrs?|h)0*1"
    rf"|0*[1-9]\d*{_UNIT}|(?:v|visit)0*(?:[2-9]|[1-9]\d+)"
    r"|(?:fu|follow|post|late|chronic|subacute|final|end|discharge|unsched).*"
)
"""Labels that speak of a time after the beginning, such as ``M12``, ``24h``, ``V3`` and ``followup``."""


def says_later(session_id: str) -> bool:
    """Tell whether a session's label speaks of a time after the beginning, such as ``ses-M12``."""
    return _SAYS_LATER.fullmatch(session_id.removeprefix("ses-").casefold()) is not None


def folder_of(value: str, key: str, folders: Iterable[str]) -> str:
    """Return the folder a label means: with or without its key, in any case; or the label with its key.

    Parameters
    ----------
    value
        The label as a table writes it.
    key
        ``sub-`` or ``ses-``.
    folders
        Names of the folders that are there.
    """
    bare = value[len(key) :] if value.casefold().startswith(key) else value
    exact = [name for name in folders if name in (value, key + bare)]
    alike = [name for name in folders if name.casefold() == (key + bare).casefold()]
    if exact:
        return exact[0]
    if len(alike) == 1:
        return alike[0]
    # a participant without a folder keeps the id as it is written
    return key + bare if key == "ses-" else value


def natural_key(label: str) -> tuple[tuple[int, str], ...]:
    """Return what labels are sorted by so that 2 comes before 10; leading zeros and case do not count."""
    parts = re.findall(r"\d+|\D+", label.casefold())
    return tuple((int(part), "") if part.isdigit() else (-1, part) for part in parts)


def require_folders(described: Iterable[str], folders: Mapping[str, Path], *, root: Path) -> None:
    """Refuse ids of participants.tsv that have no folder and may mean one that is there.

    Raises
    ------
    StudyError
        If an id differs from a folder in leading zeros alone, or its folder lacks ``sub-``.
    """
    described = set(described)
    unlisted = {natural_key(name): name for name in folders if name not in described}
    for name in sorted(described - set(folders)):
        bare = name.removeprefix("sub-")
        near = unlisted.get(natural_key(f"sub-{bare}"))
        if near is not None:
            msg = f"participants.tsv has {name}, the folder is {near}; write {near} there if they are one"
            raise StudyError(msg)
        if (root / bare).is_dir():
            msg = f"participants.tsv has {name}, and there is a folder {bare}; rename it sub-{bare}"
            raise StudyError(msg)

"""What the small text files of a study state: their rows, and ids and times as they must be."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

from infarct_vol.dates import iso_text
from infarct_vol.errors import StudyError
from infarct_vol.files import TextTable, read_text_table

PARTICIPANT_COLUMNS = ("participant_id", "first_dose_time", "onset_time", "age", "sex", "site")
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_TABLES: dict[str, tuple[str, tuple[str, ...]]] = {
    "participants.tsv": ("participant_id", PARTICIPANT_COLUMNS),
    "_sessions.tsv": ("session_id", ("session_id", "acq_time")),
    "_scans.tsv": ("filename", ("filename", "acq_time")),
}
"""Tables of BIDS by the end of their name: the column that names a row, and the columns understood."""


def checked_id(value: str, *, where: str) -> str:
    """Return a participant id, or refuse what is none."""
    if not _ID.fullmatch(value):
        msg = f"{where}: {value[:40]!r} is not a participant id; use 1-64 letters, digits, '-', '_' or '.'"
        raise StudyError(msg)
    return value


def checked_time(value: str | None, *, where: str) -> str | None:
    """Return a date or time as --DTC of SDTM wants it; a partial one costs later what it leaves unknown."""
    if value is None:
        return None
    try:
        return iso_text(value)
    except ValueError as error:
        raise StudyError(str(error), where=where) from None


def read_table(path: Path) -> list[dict[str, str]]:
    """Return the rows of a table of a BIDS dataset as text; fields that state a missing value are left out.

    A file that is not there has no rows.

    Raises
    ------
    StudyError
        If a line cannot be read without doubt, or names what another line names.
    """
    if not path.is_file():
        return []
    key, known = next(found for end, found in _TABLES.items() if path.name.endswith(end))
    table = read_text_table(path, needed=(key,), known=known, keys=(key,))
    _require_distinct(table, key)
    return [row.filled() for row in table.rows]


def _require_distinct(table: TextTable, key: str) -> None:
    counts = Counter(row.cells[key] for row in table.rows)
    for row in reversed(table.rows):
        if counts[row.cells[key]] > 1:
            msg = f"two lines for one {key}, '{row.cells[key]}'; keep one"
            raise StudyError(msg, where=table.where(row))

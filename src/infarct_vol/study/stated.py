"""What the small text files of a study state: their rows, and ids and times as they must be."""

from __future__ import annotations

import csv
import re
from pathlib import Path

from infarct_vol.dates import is_whole_date
from infarct_vol.errors import StudyError

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def checked_id(value: str, *, where: str) -> str:
    """Return a participant id, or refuse what is none."""
    if not _ID.fullmatch(value):
        msg = f"{where}: {value[:40]!r} is not a participant id; use 1-64 letters, digits, '-', '_' or '.'"
        raise StudyError(msg)
    return value


def checked_time(value: str | None, *, where: str) -> str | None:
    """Return a date or time as it is written; a partial one is refused later, where a day is needed."""
    if value is None:
        return None
    try:
        is_whole_date(value)
    except ValueError:
        msg = f"{where}: {value!r} is not an ISO 8601 date or time, such as 2026-03-01 or 2026-03-01T09:30:00"
        raise StudyError(msg) from None
    return value


def read_table(path: Path) -> list[dict[str, str]]:
    """Return the rows of a TSV or CSV as text; empty fields and ``n/a`` are left out."""
    if not path.is_file():
        return []
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        msg = f"{path.name} is not UTF-8 text; save it as UTF-8"
        raise StudyError(msg) from None
    header = text.partition("\n")[0]
    delimiter = "\t" if "\t" in header else ";" if header.count(";") > header.count(",") else ","
    reader = csv.DictReader(text.splitlines(), delimiter=delimiter)
    if len(set(reader.fieldnames or ())) != len(reader.fieldnames or ()):
        msg = f"{path.name} has a column twice: {', '.join(reader.fieldnames or ())}"
        raise StudyError(msg)
    rows = [_filled(row, path=path, line=reader.line_num) for row in reader]
    key = "session_id" if path.name.endswith("_sessions.tsv") else "participant_id"
    if rows and any(key not in row for row in rows):
        msg = f"{path.name} needs a column {key}, filled on every line"
        raise StudyError(msg)
    if path.suffix == ".tsv" and len({row[key] for row in rows}) != len(rows):
        msg = f"{path.name} has two lines for one {key}"
        raise StudyError(msg)
    return rows


def _filled(row: dict[str | None, str | list[str] | None], *, path: Path, line: int) -> dict[str, str]:
    if None in row or None in row.values():
        msg = f"{path.name} line {line} has more or fewer fields than its header"
        raise StudyError(msg)
    cells = {str(key).strip(): str(value).strip() for key, value in row.items()}
    return {key: value for key, value in cells.items() if value not in ("", "n/a")}

"""Text tables that users bring: CSV with comma, semicolon or tab, UTF-8 with or without a byte-order mark."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

from infarct_vol.errors import StudyError


def read_listing(path: Path, *, needed: Sequence[str], what: str) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield line number and cells of each line, stripped; columns that a line lacks are empty.

    Parameters
    ----------
    path
        The file.
    needed
        Columns that must be there, each once; others are handed on.
    what
        What the file is, for messages.

    Raises
    ------
    StudyError
        If the file is missing, is not UTF-8 text, or lacks a column.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        msg = f"no {what} at {path}"
        raise StudyError(msg) from None
    except (OSError, UnicodeDecodeError) as error:
        msg = f"the {what} cannot be read as UTF-8 text: {error}"
        raise StudyError(msg, where=path.name) from None
    header = text.partition("\n")[0]
    delimiter = max(",;\t", key=header.count)
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, restkey="", restval="")
    columns = [name.strip() for name in reader.fieldnames or []]
    if any(columns.count(name) != 1 for name in needed):
        msg = f"expected the columns {' and '.join(needed)}, got {', '.join(columns) or 'an empty file'}"
        raise StudyError(msg, where=path.name)
    reader.fieldnames = columns
    for row in reader:
        yield reader.line_num, {name: row[name].strip() for name in columns}

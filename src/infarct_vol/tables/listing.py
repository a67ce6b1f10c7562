"""Text tables that users bring to the tables of a run: the randomisation list, the measures file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from infarct_vol.files import read_text_table


def read_listing(
    path: Path, *, needed: Sequence[str], keys: Sequence[str], what: str, known: Sequence[str] = ()
) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield line number and cells of each line, stripped; a missing value is an empty text.

    Parameters
    ----------
    path
        The file.
    needed
        Columns that must be there, each once; others are handed on.
    keys
        Columns that must be filled on every line.
    what
        What the file is, for messages.
    known
        Further columns that are understood.

    Raises
    ------
    StudyError
        As `infarct_vol.files.read_text_table`.
    """
    table = read_text_table(path, needed=needed, known=known, keys=keys, what=what)
    for row in table.rows:
        yield row.line, {name: row.stated(name) or "" for name in table.columns}

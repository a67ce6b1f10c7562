"""CSV tables written row by row: many at once, and none of them unless all are whole."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, TextIO

from infarct_vol.files import whole_text
from infarct_vol.records import Record
from infarct_vol.tables.csvtext import LINE_END, cell


class CsvTable:
    """One table being written: RFC 4180, UTF-8, a row at a time.

    Parameters
    ----------
    columns
        Fields of the rows, in their order.
    constants
        Columns after them that hold the same on every row.
    """

    def __init__(self, stream: TextIO, columns: Sequence[str], constants: Mapping[str, str]) -> None:
        self.columns = (*columns, *constants)
        self._fields = tuple(columns)
        self._constants = [cell(value) for value in constants.values()]
        self._writer = csv.writer(stream, lineterminator=LINE_END)
        self._writer.writerow(self.columns)

    def write(self, rows: Iterable[Record | NamedTuple | Mapping[str, Any]]) -> None:
        """Append rows; a field that a mapping lacks is empty.

        Raises
        ------
        ValueError
            If a number is not finite: an absent value is None, never NaN.
        """
        for row in rows:
            if isinstance(row, tuple):
                cells = [cell(value) for value in row]
            else:
                values = row.__dict__ if isinstance(row, Record) else row
                cells = [cell(values.get(name)) for name in self._fields]
            self._writer.writerow(cells + self._constants)


def csv_text(records: Iterable[Record], *, columns: Sequence[str]) -> str:
    """Return what a `CsvTable` writes, as a text."""
    buffer = io.StringIO(newline="")
    CsvTable(buffer, columns, {}).write(records)
    return buffer.getvalue()


class TableFiles:
    """A folder of tables; leaving the ``with`` block in order puts them all in place."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.columns: dict[str, tuple[str, ...]] = {}
        self._stack = ExitStack()

    def __enter__(self) -> TableFiles:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def open(self, name: str, columns: Sequence[str], constants: Mapping[str, str] | None = None) -> CsvTable:
        """Open ``<name>.csv`` and write its header."""
        stream = self._stack.enter_context(whole_text(self.folder / f"{name}.csv"))
        table = CsvTable(stream, columns, constants or {})
        self.columns[name] = table.columns
        return table

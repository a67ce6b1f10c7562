"""Tables of an output folder, read back as pandas DataFrames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

import pandas as pd

from infarct_vol.change import ChangeRow
from infarct_vol.errors import UsageError
from infarct_vol.files import TextTable, has_decimal_commas, read_text_table, stated_number
from infarct_vol.records import Record, VolumeRow
from infarct_vol.tables.components import ComponentRow
from infarct_vol.tables.csvtext import original
from infarct_vol.tables.summary import SummaryRow

TABLE_FILES: Mapping[str, tuple[str, type[Record]]] = {
    "volumes": ("volumes.csv", VolumeRow),
    "change": ("change_from_baseline.csv", ChangeRow),
    "summary": ("summary.csv", SummaryRow),
    "components": ("components.csv", ComponentRow),
}
"""Table -> its file name and the record whose fields are its columns."""
_YES_OR_NO = {"true": True, "false": False, "": None}


@dataclass(frozen=True, eq=False)
class Tables:
    """The tables of one output folder.

    Text columns are text (``"007"`` keeps its zeros, an absent text is ``""``); volumes are float64 in mL
    with NaN where absent, counts ``Int64`` and yes-or-no columns ``boolean`` with ``<NA>`` where absent.
    """

    volumes: pd.DataFrame
    change: pd.DataFrame
    summary: pd.DataFrame
    components: pd.DataFrame


def read_tables(out: Path | str) -> Tables:
    """Read volumes, change from baseline, summary and components of an output folder.

    Parameters
    ----------
    out
        The output folder, or its ``tables`` folder.

    Raises
    ------
    UsageError
        If a table is not there, lacks a column or holds something else than its column says.
    """
    folder = Path(out)
    if not (folder / "volumes.csv").is_file():
        folder = folder / "tables"
    frames = {name: read_table(folder / file, record) for name, (file, record) in TABLE_FILES.items()}
    return Tables(**frames)


def read_table(path: Path, record: type[Record], *, needed: Sequence[str] | None = None) -> pd.DataFrame:
    """Read one table, its columns typed as in `Tables`; a column that is no field of the record is text.

    Parameters
    ----------
    path
        The CSV file.
    record
        The record whose fields are the columns.
    needed
        Columns that must be there; default: every field.

    Raises
    ------
    UsageError
        As `read_tables`.
    """
    try:
        text = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except FileNotFoundError:
        msg = f"no table {path.name} in {path.parent}; 'infarct-vol run' or 'infarct-vol tables' writes it"
        raise UsageError(msg) from None
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        msg = f"{path.name} is not one of our tables: {error}"
        raise UsageError(msg) from None
    lacking = [name for name in needed or record.model_fields if name not in text.columns]
    if lacking:
        msg = f"{path.name} lacks the columns {', '.join(lacking)}; 'infarct-vol tables' writes it again"
        raise UsageError(msg)
    return pd.DataFrame({name: _typed(text[name], record, where=path.name) for name in text.columns})


def read_stated_table(
    path: Path, record: type[Record], *, needed: Sequence[str], keys: Sequence[str]
) -> pd.DataFrame:
    """Read a table that may have been through other hands, typed as `read_table` does.

    Parameters
    ----------
    path
        CSV with comma, semicolon or tab.
    record
        The record whose fields are the columns; a column that is none is text.
    needed
        Columns that must be there.
    keys
        Columns that must be filled on every line.

    Raises
    ------
    UsageError
        As `infarct_vol.files.read_text_table`, or if a number is none; with the line.
    """
    table = read_text_table(path, needed=needed, known=tuple(record.model_fields), keys=keys)
    columns = {
        name: pd.Series(_cells(table, name, record), name=name, dtype="object") for name in table.columns
    }
    return pd.DataFrame({name: _typed(column, record, where=path.name) for name, column in columns.items()})


def _cells(table: TextTable, name: str, record: type[Record]) -> list[str]:
    """Return the texts of a column; numbers as Python writes them, and empty where missing."""
    field = record.model_fields.get(name)
    kind = _kind(field.annotation) if field else str
    if kind is str:
        return [row.cells[name] for row in table.rows]
    stated = [row.stated(name) or "" for row in table.rows]
    if kind is not float:
        return stated
    decimal_commas = has_decimal_commas(stated)
    found = []
    for row, text in zip(table.rows, stated, strict=True):
        try:
            found.append(repr(stated_number(text, decimal_commas=decimal_commas)) if text else "")
        except UsageError as error:
            msg = f"{name} {error}"
            raise UsageError(msg, where=table.where(row)) from None
    return found


def _typed(column: pd.Series[str], record: type[Record], *, where: str) -> pd.Series[Any]:
    name = str(column.name)
    field = record.model_fields.get(name)
    kind = _kind(field.annotation) if field else str
    present = column.where(column != "")
    try:
        if kind is float:
            return present.astype("float64")
        if kind is int:
            return pd.to_numeric(present).astype("Int64")
        if kind is bool:
            return pd.Series([_YES_OR_NO[text] for text in column], index=column.index, dtype="boolean")
    except (ValueError, TypeError, KeyError) as error:
        msg = f"column {name} holds something that is not of type {kind.__name__}: {error}"
        raise UsageError(msg, where=where) from None
    return column.map(original)


def _kind(annotation: object) -> type:
    """Return bool, int, float or str: what a field holds where it holds something."""
    if get_origin(annotation) in (Union, UnionType):
        kinds = {_kind(part) for part in get_args(annotation) if part is not type(None)}
        return kinds.pop() if len(kinds) == 1 else str
    if get_origin(annotation) is Literal or annotation not in (bool, int, float):
        return str
    return annotation

"""The text files beside a diffusion series: b-values (``.bval``) and directions (``.bvec``).

Read as strictly as they can be: every number in them must be one, and there must be as many as volumes.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from infarct_vol.errors import DamagedFileError, DiffusionError
from infarct_vol.files import PLAIN_NUMBER, decoded_text

Table = NDArray[np.float64]

_MAX_BYTES = 4 * 1024**2
_NUMBER = re.compile(PLAIN_NUMBER, re.ASCII)
_UNDEFINED = re.compile(r"[+-]?nan(?:\(\w*\))?|[+-]?1\.#(?:qnan|ind)\d*", re.ASCII | re.IGNORECASE)
"""How programs write a direction that is not defined."""
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(?:,\d{3})+", re.ASCII)
_COMMA_INSIDE = re.compile(r"(?<=[\d.]),(?=[\d.+-])", re.ASCII)
_COMMENT = re.compile(r"(?:^|\s)#.*")
_UNIT_TOLERANCE = 0.03
_MRTRIX_COLUMNS = 4


class Gradients(NamedTuple):
    """(N,) b-values as written, and (N, 3) directions where they are stated; NaN is no direction."""

    bvalues: Table
    bvectors: Table | None


def read_gradients(bval: Path, bvec: Path | None, *, count: int, where: str = "") -> Gradients:
    """Read the b-values of a series, and its directions.

    A row, a column, blanks, tabs, commas, semicolons and every line end are understood, and the b-values
    in the fourth column of an MRtrix table. A comma between digits is a separator or a decimal comma,
    whichever gives as many numbers as there are volumes.

    Parameters
    ----------
    bval, bvec
        The two files.
    count
        Number of volumes of the series.
    where
        Whose series it is, for messages.

    Raises
    ------
    DamagedFileError
        If a file cannot be read, or something in it is not a number.
    DiffusionError
        If there are not as many numbers as volumes.
    """
    rows = _read_table(bval, sizes=(count, _MRTRIX_COLUMNS * count), where=where)
    if rows.shape == (count, _MRTRIX_COLUMNS):
        bvalues, bvectors = rows[:, 3], rows[:, :3]
    else:
        bvalues, bvectors = _row_of_bvalues(rows, bval, count=count, where=where), None
    for volume in np.flatnonzero(~np.isfinite(bvalues) | (bvalues < 0)):
        msg = (
            f"{bval.name} states a b-value of {bvalues[volume]:g} for volume {volume + 1}; expected 0 or "
            "more, in s/mm2. Export the file again"
        )
        raise DiffusionError(msg, where=where)
    if bvec is not None and bvectors is None:
        table = _read_table(bvec, sizes=(3 * count,), where=where)
        bvectors = _directions(table, bvec, count=count, where=where)
    return Gradients(bvalues, bvectors)


def _row_of_bvalues(rows: Table, path: Path, *, count: int, where: str) -> Table:
    if min(rows.shape) == 1 and rows.size == count:
        return rows.ravel()
    if min(rows.shape) == 1:
        likely = (
            "; a trace or ADC volume may have been dropped or appended when the series was converted"
            if abs(rows.size - count) == 1
            else ""
        )
        msg = (
            f"{path.name} holds {rows.size} b-values for {count} volume{'s' * (count != 1)}{likely}. "
            "Write one b-value for each volume, in the order of the volumes"
        )
    else:
        directions = 3 in rows.shape and count in rows.shape
        likely = "; it looks like a table of directions: are .bval and .bvec exchanged?" if directions else ""
        msg = (
            f"{path.name} holds a table of {rows.shape[0]} rows and {rows.shape[1]} columns where one row of "
            f"{count} b-values is expected{likely}"
        )
    raise DiffusionError(msg, where=where)


def _directions(table: Table, path: Path, *, count: int, where: str) -> Table:
    """Return one row a volume; three volumes leave open which way a table lies, and unit length tells."""
    if table.shape == (3, 3) and count == 3:
        upright = [t for t in (table.T, table) if _unit_or_none(t)]
        if not upright:
            msg = (
                f"{path.name}: neither the columns nor the rows are directions of length 1, so which is "
                "which cannot be told; write 3 rows, one column for each volume, each of length 1 or 0 0 0"
            )
            raise DiffusionError(msg, where=where)
        table = upright[0]  # both: the FSL form that BIDS asks for
    elif table.shape == (3, count):
        table = table.T
    elif table.shape != (count, 3):
        msg = (
            f"{path.name} holds a table of {table.shape[0]} rows and {table.shape[1]} columns; expected 3 "
            f"rows of {count} numbers, one column for each volume"
        )
        raise DiffusionError(msg, where=where)
    undefined = np.isnan(table)
    if (undefined.any(axis=1) & ~undefined.all(axis=1)).any():
        volume = int(np.flatnonzero(undefined.any(axis=1) & ~undefined.all(axis=1))[0])
        msg = f"{path.name}: the direction of volume {volume + 1} is not defined in part; write 3 numbers"
        raise DiffusionError(msg, where=where)
    return table


def _unit_or_none(rows: Table) -> bool:
    lengths = np.linalg.norm(np.nan_to_num(rows), axis=1)
    return bool(((np.abs(lengths - 1) < _UNIT_TOLERANCE) | (lengths < 1e-6)).all())


def _read_table(path: Path, *, sizes: tuple[int, ...], where: str) -> Table:
    """Return the numbers of a text file in rows and columns; ``sizes`` are the counts that may be meant."""
    try:
        return _parsed(_text(path), sizes=sizes)
    except OSError as error:
        msg = f"{path.name} cannot be read: {error.strerror or error}"
        raise DamagedFileError(msg, where=where) from None
    except ValueError as error:
        msg = f"{path.name} is not a table of numbers: {error}"
        raise DamagedFileError(msg, where=where) from None


def _text(path: Path) -> str:
    size = path.stat().st_size
    if size > _MAX_BYTES:
        msg = f"it has {size} bytes, far more than a table of this kind"
        raise ValueError(msg)
    return decoded_text(path.read_bytes())


def _parsed(text: str, *, sizes: tuple[int, ...]) -> Table:
    # str.splitlines knows CRLF and lone CR; comments are what MRtrix and numpy write with '#'
    lines = [_COMMENT.sub("", line).strip() for line in text.splitlines()]
    numbered = [(number, line) for number, line in enumerate(lines, start=1) if line]
    if not numbered:
        msg = "it is empty; export it again"
        raise ValueError(msg)
    if not any(_COMMA_INSIDE.search(line) for _, line in numbered):
        return _rows(numbered, decimal_comma=False)
    readings = []
    for decimal_comma in (False, True):
        try:
            table = _rows(numbered, decimal_comma=decimal_comma)
        except ValueError:
            continue
        if table.size in sizes:
            readings.append(table)
    if len(readings) != 1:
        msg = (
            "whether its commas separate numbers or are decimal commas cannot be told; write numbers with a "
            "decimal point and a blank between them"
        )
        raise ValueError(msg)
    return readings[0]


def _rows(lines: list[tuple[int, str]], *, decimal_comma: bool) -> Table:
    rows = []
    for number, line in lines:
        fields = re.split(r";|,(?=\s|$)|\s", line) if decimal_comma else re.split(r"[;,\s]", line)
        rows.append([_value(field, line=number, decimal_comma=decimal_comma) for field in fields if field])
    if len({len(row) for row in rows}) > 1:
        msg = f"its lines hold {', '.join(str(len(row)) for row in rows[:4])} numbers; expected equal lines"
        raise ValueError(msg)
    return np.array(rows, dtype=np.float64)


def _value(field: str, *, line: int, decimal_comma: bool) -> float:
    if _UNDEFINED.fullmatch(field):
        return float("nan")
    plain = field
    if decimal_comma and "," in field:
        if _THOUSANDS.fullmatch(field):
            msg = f"line {line} holds {field[:20]!r}: a thousands mark or a decimal comma?"
            raise ValueError(msg)
        plain = field.replace(",", ".")
    if not _NUMBER.fullmatch(plain):
        msg = f"line {line} holds {field[:20]!r}; write plain numbers such as 1000"
        raise ValueError(msg)
    return float(plain)

"""The one reader of text tables that users bring: CSV and TSV, strict, so that no row can vanish.

Every line of a file is one row, or is empty, or the file is refused: a quote can never swallow the lines
behind it. What has one meaning is read as meant: encoding by its mark, any line ends, comma, semicolon or
tab, the ``sep=`` line and the empty cells that Excel leaves. Whatever else is found is refused with file and
line.
"""

from __future__ import annotations

import csv
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from infarct_vol.errors import StudyError
from infarct_vol.files.missing import is_missing
from infarct_vol.files.plain_text import decoded_text

_LINE_END = re.compile(r"\r\n|\r|\n")
"""The only line ends there are: a form feed or U+2028 inside a field is part of its text."""
_DELIMITERS = ("\t", ",", ";")
_NAMES = {"\t": "tab", ",": "comma", ";": "semicolon"}
_SEP = re.compile(r'"?sep=(\t|\\t|[^\w\s])"?[,;\s]*', re.IGNORECASE)
_EXCEL_ERRORS = frozenset({"#REF!", "#VALUE!", "#DIV/0!", "#NAME?", "#NUM!", "#NULL!", "#SPILL!", "#CALC!"})


@dataclass(frozen=True)
class TextRow:
    """One line: its number in the file, and the text of each column, without blanks around it."""

    line: int
    cells: Mapping[str, str]

    def stated(self, column: str) -> str | None:
        """Return the text of a column; None where there is none, or a word for a missing value."""
        text = self.cells.get(column)
        return None if text is None or is_missing(text) else text

    def filled(self) -> dict[str, str]:
        """Return the fields that state a value."""
        return {column: text for column, text in self.cells.items() if not is_missing(text)}


@dataclass(frozen=True)
class TextTable:
    """A text table as it was read.

    Parameters
    ----------
    name
        Name of the file, for messages.
    columns
        Names of the columns, in the order of the file.
    rows
        Every line that is not empty, in the order of the file.
    empty_lines
        Lines behind the header that were passed over, because nothing stands in them.
    """

    name: str
    columns: tuple[str, ...]
    rows: tuple[TextRow, ...]
    empty_lines: int = 0

    def where(self, row: TextRow) -> str:
        """Return file and line of a row, for messages."""
        return f"{self.name} line {row.line}"


def read_text_table(
    path: Path,
    *,
    needed: Sequence[str],
    known: Sequence[str] = (),
    keys: Sequence[str] = (),
    what: str = "table",
) -> TextTable:
    """Read a text table.

    Parameters
    ----------
    path
        CSV or TSV: UTF-8, or UTF-16 with a byte-order mark; comma, semicolon or tab between the columns.
    needed
        Columns that must be there.
    known
        Further columns that are understood; a column whose name is nearly that of one is refused, others are
        handed on.
    keys
        Columns that must be filled on every line, such as the identifier.
    what
        What the file is, for messages.

    Raises
    ------
    StudyError
        If the file cannot be read as such a table without doubt: file, line, what was found, what to write.
    """
    table = _Lines(path.name, _text(path, what=what))
    header = table.header(needed=needed, known=(*needed, *known), is_tsv=path.suffix.lower() == ".tsv")
    rows = tuple(header.rows(keys=keys))
    return TextTable(path.name, header.columns, rows, header.empty_lines)


def _text(path: Path, *, what: str) -> str:
    try:
        return decoded_text(path.read_bytes())
    except FileNotFoundError:
        msg = f"no {what} at {path}"
        raise StudyError(msg) from None
    except (OSError, ValueError) as error:
        msg = f"the {what} cannot be read as text: {error}"
        raise StudyError(msg, where=path.name) from None


class _Lines:
    """The lines of a file, with their numbers."""

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.lines = list(enumerate(_LINE_END.split(text), start=1))
        if self.lines[-1][1] == "":
            self.lines.pop()  # what ends a line begins no other

    def header(self, *, needed: Sequence[str], known: Sequence[str], is_tsv: bool) -> _Header:
        """Find the delimiter and the columns in the first line that is not empty."""
        stated = self._stated_delimiter()
        while self.lines and not self.lines[0][1].strip(' \t,;"'):
            self.lines.pop(0)
        if not self.lines:
            msg = f"expected the columns {' and '.join(needed)}, got an empty file"
            raise StudyError(msg, where=self.name)
        line, text = self.lines.pop(0)
        tried = (stated,) if stated else _DELIMITERS
        readings = {delimiter: _columns(text, delimiter) for delimiter in tried}
        wanted = {_folded(name) for name in needed}

        def hits(delimiter: str) -> tuple[int, int, int]:
            columns = readings[delimiter] or ()
            preferred = delimiter == ("\t" if is_tsv else ",")
            return len(wanted.intersection(map(_folded, columns))), len(columns), int(preferred)

        delimiter = max(tried, key=hits)
        columns = readings[delimiter]
        if columns is None or (None in readings.values() and hits(delimiter)[0] < len(wanted)):
            msg = f"line {line}, the header, has a quote that is not closed; remove it"
            raise StudyError(msg, where=self.name)
        header = _Header(self.name, line, delimiter, columns, self.lines)
        header.require(needed=needed, known=known)
        return header

    def _stated_delimiter(self) -> str:
        """Take the line that tells Excel the delimiter, where there is one."""
        found = _SEP.fullmatch(self.lines[0][1]) if self.lines else None
        if found is None:
            return ""
        delimiter = "\t" if found[1] == "\\t" else found[1]
        if delimiter not in _DELIMITERS:
            msg = f"line 1 states the delimiter '{delimiter}'; use a comma, a semicolon or a tab"
            raise StudyError(msg, where=self.name)
        self.lines.pop(0)
        return delimiter


@dataclass
class _Header:
    """The first line of a table, and the lines behind it."""

    name: str
    line: int
    delimiter: str
    named: tuple[str, ...]
    lines: list[tuple[int, str]]
    empty_lines: int = 0

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns; those that Excel leaves without a name are none."""
        return tuple(name for name in self.named if name)

    @property
    def shortest(self) -> int:
        """Fields a line must have: Excel drops cells behind the last column that has a name."""
        return max((at for at, name in enumerate(self.named, start=1) if name), default=0)

    def require(self, *, needed: Sequence[str], known: Sequence[str]) -> None:
        """Refuse a header that lacks a column, has one twice, or one whose name is nearly a known one."""
        self._refuse_near_misses(known)
        twice = [name for name in dict.fromkeys(self.columns) if self.columns.count(name) > 1]
        lacking = [name for name in needed if name not in self.columns]
        if lacking or any(name in needed for name in twice):
            expected = " and ".join(needed)
            msg = f"expected the columns {expected}, got {', '.join(self.columns) or 'none'}"
            raise StudyError(msg, where=self.name)
        if twice:
            msg = f"line {self.line} has a column twice: {', '.join(twice)}; name each column once"
            raise StudyError(msg, where=self.name)

    def _refuse_near_misses(self, known: Sequence[str]) -> None:
        meant = {_folded(name): name for name in known}
        for name in self.columns:
            right = meant.get(_folded(name))
            if right is not None and name != right:
                msg = f"line {self.line} has a column '{name}', expected '{right}'; write it so"
                raise StudyError(msg, where=self.name)
            parts = [part.strip() for part in re.split(r"[\t,;|]", name)]
            if len(parts) > 1 and any(_folded(part) in meant for part in parts):
                msg = (
                    f"line {self.line}: columns are set apart by a {_NAMES[self.delimiter]}, and the column "
                    f"'{name}' holds another mark; use one delimiter in the whole file"
                )
                raise StudyError(msg, where=self.name)

    def rows(self, *, keys: Sequence[str]) -> Iterator[TextRow]:
        """Yield every line that is not empty."""
        for line, text in self.lines:
            where = f"{self.name} line {line}"
            if not text.strip(f' "{self.delimiter}\u00a0\ufeff\t'):
                self.empty_lines += 1
                continue
            yield self._row(line, self._split(text, where=where), keys=keys, where=where)

    def _row(self, line: int, fields: Sequence[str], *, keys: Sequence[str], where: str) -> TextRow:
        for name, value in zip(self.named, fields, strict=False):
            if value and not name:
                msg = f"'{value[:40]}' stands in a column without a name; name the column or remove the value"
                raise StudyError(msg, where=where)
            if value in _EXCEL_ERRORS and name:
                msg = (
                    f"{name} is {value}, an error of a formula in Excel; correct the sheet and save it again"
                )
                raise StudyError(msg, where=where)
        cells = {name: value for name, value in zip(self.named, fields, strict=False) if name}
        if all(name == value for name, value in cells.items()):
            msg = "the header stands here again; remove the line"
            raise StudyError(msg, where=where)
        for key in keys:
            if is_missing(cells[key]):
                found = f"'{cells[key]}', which means a missing value" if cells[key] else "nothing"
                msg = f"{key} must be filled, found {found}; write it, or remove the line"
                raise StudyError(msg, where=where)
        return TextRow(line, cells)

    def _split(self, text: str, *, where: str) -> Sequence[str]:
        """Return the fields of a line, as many as the header has."""
        expected = len(self.named)
        if self.delimiter == "\t":
            # BIDS knows no quotes in a TSV: where the plain fields are as many as the columns, those count
            plain = [_unquoted(field.strip()) for field in text.split("\t")]
            if self.shortest <= len(plain) <= expected and None not in plain:
                return [field for field in plain if field is not None]
        try:
            fields = _fields(text, self.delimiter)
        except csv.Error:
            opened = self._open_quote(text)
            msg = (
                f"a quote opens in the field '{opened}' and is not closed on this line as a quoted field is; "
                "remove it, or write it twice inside a quoted field; a field has no line breaks"
            )
            raise StudyError(msg, where=where) from None
        if not self.shortest <= len(fields) <= expected:
            told = "more" if len(fields) > expected else "fewer"
            msg = (
                f"the line has {told} fields than its header, {len(fields)} where {expected} are expected; "
                f"look for a {_NAMES[self.delimiter]}, a decimal comma or a line break inside a field"
            )
            raise StudyError(msg, where=where)
        return fields

    def _open_quote(self, text: str) -> str:
        """Return the column in which a line stops being a row of whole fields."""
        pieces = text.split(self.delimiter)
        for at in range(len(pieces)):
            if pieces[at].lstrip().startswith('"'):
                try:
                    _fields(self.delimiter.join(pieces[: at + 1]), self.delimiter)
                except csv.Error:
                    return self.named[min(at, len(self.named) - 1)]
        return self.named[-1]


def _columns(text: str, delimiter: str) -> tuple[str, ...] | None:
    """Return the names in a header; None where a quote in it is not closed, so read."""
    try:
        return tuple(_fields(text, delimiter))
    except csv.Error:
        return None


def _fields(text: str, delimiter: str) -> list[str]:
    """Return the fields of one line by RFC 4180; `csv.Error` where a quoted field does not end as one."""
    if '"' not in text:
        return [field.strip() for field in text.split(delimiter)]
    (fields,) = csv.reader([text], delimiter=delimiter, strict=True, skipinitialspace=True)
    return [field.strip() for field in fields]


def _unquoted(field: str) -> str | None:
    """Return a field of a TSV without the quotes that R writes around text; a quote inside it is text.

    None of a field that begins with a quote and does not end with it.
    """
    if not field.startswith('"'):
        return field
    inner = field[1:-1]
    if len(field) < 2 or field[-1] != '"' or '"' in inner.replace('""', ""):
        return None
    return inner.replace('""', '"').strip()


def _folded(name: str) -> str:
    """Return the letters and digits of a name alone, in one case and one Unicode form."""
    plain = unicodedata.normalize("NFKC", name).casefold()
    return "".join(character for character in plain if character.isalnum())

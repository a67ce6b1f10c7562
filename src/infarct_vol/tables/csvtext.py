"""Values to CSV cells and back.

RFC 4180: comma, double quotes where needed, CRLF at line ends; UTF-8 without a byte-order mark. Numbers
are written with 12 significant digits, so that noise in the last bits of an affine does not show; an absent
value is an empty field.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Callable
from functools import lru_cache
from typing import Any

LINE_END = "\r\n"
_RUNS_AS_FORMULA = frozenset("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")
_NEUTRALISER = "'"


def cell(value: object) -> str:
    """Return one value as the text of its field."""
    return _CELLS.get(type(value), _other_cell)(value)


def _float_cell(value: float) -> str:
    if not math.isfinite(value):
        msg = f"a table cannot hold {value}: an absent number is an empty field"
        raise ValueError(msg)
    return format(value + 0.0, ".12g")


def _other_cell(value: object) -> str:
    # subclasses, such as numpy's numbers
    if isinstance(value, float):
        return _float_cell(value)
    return str(value) if isinstance(value, int) else _text_cell(str(value))


@lru_cache(maxsize=50_000)
def _text_cell(text: str) -> str:
    # a table repeats few texts often: names of visits, methods, hashes, reasons
    return neutralised(_printable(text))


_CELLS: dict[type, Callable[[Any], str]] = {
    type(None): lambda _: "",
    bool: lambda value: "true" if value else "false",
    int: str,
    float: _float_cell,
    str: _text_cell,
}
"""A table of a large trial has millions of cells: the type decides, without a chain of questions."""


def neutralised(text: str) -> str:
    """Put an apostrophe before text that a spreadsheet would run as a formula.

    Text that already starts with apostrophes and a formula character gets one more, so that
    `original` undoes exactly what was done here.
    """
    return _NEUTRALISER + text if _is_formula(text.lstrip(_NEUTRALISER)) else text


def original(text: str) -> str:
    """Return the text that `neutralised` was given."""
    stripped = text.removeprefix(_NEUTRALISER)
    return stripped if stripped != text and _is_formula(stripped.lstrip(_NEUTRALISER)) else text


def _is_formula(text: str) -> bool:
    # spreadsheets skip leading blanks before they look for a formula
    return text[:1] in _RUNS_AS_FORMULA or text.lstrip()[:1] in _RUNS_AS_FORMULA


def one_line(text: str) -> str:
    """Return text without line breaks or blanks at its ends; control characters become visible escapes."""
    return _printable(" ".join(text.split()))


def is_control(character: str) -> bool:
    """Tell a control character, half of a surrogate pair, or another character that XML cannot hold."""
    return unicodedata.category(character) in ("Cc", "Cs") or character in "\ufffe\uffff"


def _printable(text: str) -> str:
    """Write control characters and bytes that are no text as visible escapes; line breaks and tabs stay."""
    if text.isprintable():
        return text
    return "".join(f"\\x{ord(c):02x}" if is_control(c) and c not in "\t\r\n" else c for c in text)

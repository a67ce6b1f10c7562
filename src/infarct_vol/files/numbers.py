"""Numbers as tables write them, understood only where they can mean one thing.

Python's ``float`` takes too much for a number: ``1_000``, ``nan``, ``infinity``, digits of other scripts.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

from infarct_vol.errors import StudyError

PLAIN_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
"""A number as every program writes it, for ``re.ASCII``: digits, a decimal point, an exponent."""
_NUMBER = re.compile(PLAIN_NUMBER, re.ASCII)
_COMMA = re.compile(r"[+-]?\d+,\d+", re.ASCII)
_GROUPS = re.compile(r"[+-]?[1-9]\d{0,2}[.,]\d{3}", re.ASCII)
"""Either a decimal number with three decimals, or a whole one with a thousands mark."""
_MARKED = re.compile(r"[+-]?\d{1,3}(?:[.,'_ \u2019\u00a0\u2009\u202f]\d{3})+([.,]\d+)?", re.ASCII)
_UNIT = re.compile(r"([+-]?[\d.,]+)\s*([^\W\d_]|%|\N{DEGREE SIGN}).*", re.ASCII)
_LIMIT = re.compile(r"\s*([<>\N{LESS-THAN OR EQUAL TO}\N{GREATER-THAN OR EQUAL TO}~]|[<>]=).*")


def stated_number(text: str, *, decimal_commas: bool = False) -> float:
    """Return the number that a field states.

    Parameters
    ----------
    text
        Digits 0 to 9 with a decimal point or a decimal comma, a sign, an exponent. Blanks around it and
        the minus sign of typesetters are understood.
    decimal_commas
        Whether other numbers of the same table have decimal commas, as `has_decimal_commas` tells. Then
        a point before three digits may be a thousands mark.

    Raises
    ------
    StudyError
        If the text is no number, not a finite one, or may be two: what was found and what to write.
    """
    plain = text.strip().replace("\N{MINUS SIGN}", "-")
    if _GROUPS.fullmatch(plain) and ("," in plain or decimal_commas):
        digits = re.sub("[.,]", "", plain)
        point = re.sub("[.,]", ".", plain)
        msg = f"'{plain}' may be {point} or {digits}; write it with a decimal point and no thousands mark"
        raise StudyError(msg)
    if _COMMA.fullmatch(plain):
        plain = plain.replace(",", ".")
    if not _NUMBER.fullmatch(plain):
        msg = f"'{text.strip()[:40]}' is no number; {_advice(plain)}"
        raise StudyError(msg)
    value = float(plain)
    if not math.isfinite(value) or (value == 0 and re.search("[1-9]", re.split("[eE]", plain)[0])):
        msg = f"'{text.strip()[:40]}' is beyond the numbers a table can hold; correct it"
        raise StudyError(msg)
    return value


def has_decimal_commas(texts: Iterable[str]) -> bool:
    """Tell whether any of these fields is a number with a decimal comma and nothing else."""
    return any(_COMMA.fullmatch(text.strip()) and not _GROUPS.fullmatch(text.strip()) for text in texts)


def _advice(plain: str) -> str:
    """Return what to write instead."""
    if _LIMIT.fullmatch(plain):
        return "a limit is no value: leave the field empty, or state the value that the analysis plan names"
    if _MARKED.fullmatch(plain):
        return "write digits with a decimal point and no thousands mark"
    if _UNIT.fullmatch(plain):
        return "write the digits alone, with a decimal point; a unit has its own column"
    return "write digits with a decimal point"

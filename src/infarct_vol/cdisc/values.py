"""Single values in the form the files hold them: days, long texts in parts, names within their limit."""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Sequence

from infarct_vol.errors import UsageError

TEXT_LIMIT_BYTES = 200
NAME_LIMIT = 8
SAS_EPOCH = dt.date(1960, 1, 1)

_NAME = re.compile(r"[A-Z_][A-Z0-9_]{0,7}")


class DatasetError(UsageError):
    """Frame and metadata of a dataset disagree, or a limit of a file format is passed."""


def text_bytes(value: str) -> int:
    """Return the length of a text in UTF-8 bytes."""
    return len(value.encode(errors="surrogatepass"))  # surrogates are refused elsewhere, by name


def check_name(name: str, *, what: str, where: str) -> None:
    """Refuse a name the transport format cannot hold.

    Raises
    ------
    DatasetError
        If it is not 1 to 8 of A-Z, 0-9 and _, beginning with no digit.
    """
    if not _NAME.fullmatch(name):
        msg = (
            f"'{name}' is no {what} name: expected 1 to {NAME_LIMIT} of A-Z, 0-9 and _, "
            "not beginning with a digit; rename it"
        )
        raise DatasetError(msg, where=where)


def sas_date(iso_text: str | None) -> float:
    """Return the days since 1960-01-01 of an ISO 8601 date or date and time; NaN of None or "".

    Raises
    ------
    DatasetError
        If the text does not begin with a whole date: a date without its day is nobody's to complete here.
    """
    if not iso_text:
        return float("nan")
    day, rest = iso_text[:10], iso_text[10:]
    try:
        if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", day, re.ASCII) or (rest and rest[0] not in "T "):
            raise ValueError  # noqa: TRY301
        return float((dt.date.fromisoformat(day) - SAS_EPOCH).days)
    except ValueError:
        msg = f"'{iso_text}' is no whole date: expected YYYY-MM-DD; complete it or leave it empty"
        raise DatasetError(msg) from None


def iso_date(days: float) -> str:
    """Return the ISO 8601 text of a number of days since 1960-01-01; "" of NaN."""
    return "" if math.isnan(days) else (SAS_EPOCH + dt.timedelta(days=int(days))).isoformat()


def split_text(
    values: Sequence[str], *, name: str, limit_bytes: int = TEXT_LIMIT_BYTES
) -> dict[str, list[str]]:
    """Split long texts over as many variables as the longest needs: NAME, NAME1, NAME2 and so on.

    A text is cut at a blank, which goes; putting one blank between the parts that are not empty gives the
    text back. A word that is over the limit, with the blanks it may begin the text with, is cut between two
    characters, and there nothing goes. The habit is that of the SDTM Implementation Guide ("Text Strings
    That Exceed the Maximum Length").

    Parameters
    ----------
    values
        One text a row.
    name
        Name of the first variable; the others shorten it where it leaves no room for their number.

    Returns
    -------
    dict of str to list of str
        Variable name to its texts, "" where a row needs fewer parts. One variable if everything fits.

    Raises
    ------
    DatasetError
        If the name is no variable name, or the limit holds no character of four bytes.
    """
    if limit_bytes < 4:
        msg = f"{name}: a limit of {limit_bytes} bytes holds no character of four bytes; allow at least 4"
        raise DatasetError(msg)
    check_name(name, what="variable", where=name)
    parts = [_parts(value, limit_bytes=limit_bytes) for value in values]
    width = max((len(each) for each in parts), default=1)
    return {
        column: [each[index] if index < len(each) else "" for each in parts]
        for index, column in enumerate(_split_names(name, count=width))
    }


def _parts(text: str, *, limit_bytes: int) -> list[str]:
    found = []
    while text_bytes(text) > limit_bytes:
        # a cut inside a character leaves bytes that "ignore" drops, so this ends on a whole one
        head = text.encode()[:limit_bytes].decode(errors="ignore")
        cut = len(head) if text[len(head)] == " " else head.rfind(" ")
        while cut > 0 and text[cut - 1] == " ":
            cut -= 1  # of several blanks the first: no part may end in one
        if cut <= 0:
            found.append(head)
            text = text[len(head) :]
        else:
            found.append(text[:cut])
            text = text[cut + 1 :]
    return [*found, text]


def _split_names(name: str, *, count: int) -> list[str]:
    stem = name[: NAME_LIMIT - len(str(count - 1))]
    if any(name == f"{stem}{number}" for number in range(1, count)):
        stem = stem[:-1]  # shorter than the name with any number behind it, so it meets the name no more
    return [name, *(f"{stem}{number}" for number in range(1, count))]

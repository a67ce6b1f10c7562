"""The text of a small file, in whatever encoding it says it is in; never guessed."""

from __future__ import annotations

import codecs
import re

_MARKS: tuple[tuple[bytes, str], ...] = (
    (codecs.BOM_UTF8, "utf-8"),
    # that of UTF-32 begins with that of UTF-16
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
"""Byte-order marks of Unicode, and the encoding each stands for."""
_NO_TEXT: tuple[tuple[bytes, str], ...] = (
    (b"PK\x03\x04", "a zip file, as Excel and LibreOffice write workbooks: save the sheet as CSV, UTF-8"),
    (b"\xd0\xcf\x11\xe0", "an Excel workbook: save the sheet as CSV, UTF-8"),
    (b"\x1f\x8b", "a gzip file: unpack it"),
    (
        b"version https://git-lfs",
        "a pointer of Git LFS and not the file itself: fetch it with 'git lfs pull'",
    ),
)
_LINE_END = re.compile(rb"\r\n|\r|\n")
_REMEDY = "save the file as UTF-8 (in Excel: 'CSV UTF-8')"


def decoded_text(content: bytes) -> str:
    """Return the text of a file: UTF-8 with or without a byte-order mark, UTF-16 or UTF-32 with one.

    Line ends stay as they are.

    Raises
    ------
    ValueError
        If the bytes are another encoding or no text at all: where that shows, and what to do. A text that
        might be Latin-1, Windows-1252 or another of their kind is refused, since nothing in it says which.
    """
    for start, told in _NO_TEXT:
        if content.startswith(start):
            msg = f"it is {told}"
            raise ValueError(msg)
    encoding, body = "utf-8", content
    for mark, named in _MARKS:
        if content.startswith(mark):
            encoding, body = named, content[len(mark) :]
            break
    try:
        text = body.decode(encoding)
    except UnicodeDecodeError as error:
        line = len(_LINE_END.findall(body[: error.start])) + 1
        found = f"line {line} holds the byte 0x{body[error.start]:02X}"
        msg = f"{found}, which is no {encoding.upper()} text; {_REMEDY}"
        raise ValueError(msg) from None
    if "\0" in text:
        line = len(re.findall(r"\r\n|\r|\n", text[: text.index("\0")])) + 1
        msg = f"line {line} holds a NUL byte, as UTF-16 without a byte-order mark does; {_REMEDY}"
        raise ValueError(msg)
    return text.lstrip("\ufeff")

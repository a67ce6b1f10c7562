"""The text of a small file, whatever Unicode form it was saved in."""

from __future__ import annotations

import codecs

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def text_of_bytes(raw: bytes) -> str:
    """Return the text of UTF-8 bytes, or of UTF-16 or UTF-32 that say so by their byte-order mark.

    Raises
    ------
    ValueError
        If the bytes are none of these; the message says what to do.
    """
    encoding = next((name for mark, name in _MARKS if raw.startswith(mark)), "utf-8")
    try:
        text = raw.decode(encoding)
    except UnicodeDecodeError:
        msg = "it is not UTF-8 text; save it as UTF-8"
        raise ValueError(msg) from None
    if "\0" in text:
        msg = "it holds NUL characters, which no text has; save it as UTF-8"
        raise ValueError(msg)
    return text

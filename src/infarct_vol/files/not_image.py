"""What a file is that was given as an image and is text."""

from __future__ import annotations

import re

_LOOKED_AT_BYTES = 4096
_TEXT = re.compile(rb"[\t\n\r\x20-\x7e\x80-\xff]*")
_FETCH = "the image itself was not downloaded; fetch it"
_KINDS: tuple[tuple[re.Pattern[bytes], str], ...] = (
    (
        re.compile(rb"version https://(?:git-lfs\.github\.com|hawser\.github\.com)/spec/", re.IGNORECASE),
        f"a Git-LFS pointer: {_FETCH} ('git lfs pull')",
    ),
    (
        re.compile(rb"[^\n]{0,300}/?annex/objects/", re.IGNORECASE),
        f"a git-annex pointer: {_FETCH} ('git annex get' or 'datalad get')",
    ),
    (
        re.compile(
            rb"(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*)?<(?:!doctype\s+html|html|head|body)",
            re.IGNORECASE | re.DOTALL,
        ),
        "a web page, such as a site sends instead of a file: download the image again, signed in if need be",
    ),
    (
        re.compile(rb"<\?xml|<[a-z]+>", re.IGNORECASE),
        "XML, such as a server's error message: download the image again",
    ),
    (re.compile(rb"[{\[]"), "JSON, such as a sidecar or a server's error message: give the image itself"),
)
_OTHER_IMAGES = (b"NRRD", b"P5", b"P6")


def text_instead_of_image(content: bytes | bytearray) -> str:
    """Say what text a file holds where an image is expected, and what to do; empty if it holds none."""
    start = bytes(content[:_LOOKED_AT_BYTES])
    if not start or start.startswith(_OTHER_IMAGES) or not _TEXT.fullmatch(start):
        return ""
    if not any(32 < byte < 127 for byte in start) or not _decodes(start):
        return ""
    plain = start.removeprefix(b"\xef\xbb\xbf").lstrip()
    found = next((name for pattern, name in _KINDS if pattern.match(plain)), "")
    return f"this is text, not an image: {found or 'copy the image again from its source'}"


def _decodes(start: bytes) -> bool:
    """Tell whether bytes are UTF-8, but for a character that was cut at the end."""
    try:
        start.decode("utf-8")
    except UnicodeDecodeError as error:
        return error.start >= _LOOKED_AT_BYTES - 4
    return True

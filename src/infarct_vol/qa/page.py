"""What our pages have in common: each carries all it shows, under a policy by which nothing else loads."""

from __future__ import annotations

import base64
import functools
import hashlib
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from infarct_vol.qa.figures import Picture

_ASSETS = Path(__file__).parent / "assets"


def rendered(template: str, *, more_style: str = "", **context: Any) -> bytes:
    """Return a page; everything in the context is escaped.

    Parameters
    ----------
    template
        File in ``qa/templates``; it is given ``style``, ``script`` and ``policy`` too.
    more_style
        Style sheet of the page itself, after that of the house.
    context
        What the template names.
    """
    style = house_style_sheet() + more_style
    script = (_ASSETS / "report.js").read_text(encoding="utf-8")
    page = _environment().get_template(template)
    # style and script are our own files
    own = {"style": Markup(style), "script": Markup(script)}  # noqa: S704
    return page.render(**context, **own, policy=_content_policy(style, script)).encode()


def house_style_sheet() -> str:
    """Return the style sheet every page of ours carries."""
    return (_ASSETS / "report.css").read_text(encoding="utf-8")


def asset(name: str) -> str:
    """Return one of our own files that pages carry."""
    return (_ASSETS / name).read_text(encoding="utf-8")


def css_text(words: str) -> str:
    """Return words as a string of a style sheet; every character but letters, digits and a few is escaped."""
    plain = "".join(c if c.isascii() and (c.isalnum() or c in " .,-_:") else f"\\{ord(c):x} " for c in words)
    return f'"{plain}"'


def policy_hash(text: str) -> str:
    """Return a style or script as a content policy names it."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def embedded(picture: Picture) -> str:
    """Return a picture as an address that holds it."""
    return data_uri(picture.to_bytes(scale=1.5), "image/png")


def data_uri(content: bytes, media_type: str) -> str:
    """Return content as an address that holds it."""
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"


@functools.cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("infarct_vol.qa", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _content_policy(style: str, script: str) -> str:
    """Return a policy under which nothing runs or loads but what this page carries."""
    return (
        f"default-src 'none'; img-src data:; style-src {policy_hash(style)}; "
        f"script-src {policy_hash(script)}; base-uri 'none'; form-action 'none'"
    )

"""The page of a self-verification: every limit with what was measured, why it is what it is, and charts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from infarct_vol.files import write_bytes
from infarct_vol.qa.figures import Picture
from infarct_vol.qa.page import embedded, rendered


class CheckLine(NamedTuple):
    """One limit as it is read on the page."""

    section: str
    title: str
    value: str
    limit: str
    n: int
    verdict: Literal["PASS", "FAIL", "INFO"]
    why: str
    note: str


class CaseLine(NamedTuple):
    """One lesion as it is read on the page; volumes in mL, empty where absent."""

    case: str
    true: str
    measured: str
    limits: str
    error: str
    dice: str
    reason: str


def write_verification_page(
    path: Path,
    *,
    title: str,
    facts: Mapping[str, str],
    checks: Sequence[CheckLine],
    charts: Sequence[tuple[str, Picture]],
    cases: Sequence[CaseLine],
) -> Path:
    """Write the page; it holds every picture itself and loads nothing.

    Parameters
    ----------
    title
        The outcome in a few words.
    facts
        What was verified, where and when.
    checks
        All limits, those of one section together.
    charts
        Caption and picture.
    cases
        Every lesion of known volume.
    """
    sections = {
        name: [c for c in checks if c.section == name] for name in dict.fromkeys(c.section for c in checks)
    }
    page = rendered(
        "verification.html.j2",
        title=title,
        facts=facts,
        counts={word: sum(check.verdict == word for check in checks) for word in ("PASS", "FAIL", "INFO")},
        failed=[check for check in checks if check.verdict == "FAIL"],
        sections=sections,
        charts=[(caption, embedded(picture)) for caption, picture in charts],
        cases=cases,
    )
    write_bytes(page, path)
    return path

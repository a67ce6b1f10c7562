"""The review as one PDF: the contact sheet, then each participant's pictures, volumes, decisions, history."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from reportlab import rl_config
from reportlab.lib.colors import HexColor
from reportlab.platypus import Image, KeepTogether, PageBreak, Table

from infarct_vol.qa.endpoint.content import TextColumn, TextTable, TrialFacts
from infarct_vol.qa.endpoint.pdf_parts import (
    BOLD,
    PAGE_WIDTHS,
    document_bytes,
    paragraph,
    style,
    table_flowable,
)

MOST_PICTURED = 60
"""Participants up to which the PDF has every picture and hash; above, only those of the contact sheet."""
_WIDTH = PAGE_WIDTHS["portrait"]
_NAME_PT = 74.0
_PICTURE_HEIGHTS = {"trajectory": 190.0, "checkerboard": 250.0}
_TALLEST_PT = 560.0
STATE_COLOURS: Mapping[str, str] = {
    "measured": "#5f6b7a",
    "reviewed": "#1b7f4d",
    "edited": "#0b5c7a",
    "flagged": "#a15c00",
    "failed": "#b3261e",
    "not_measurable": "#76478c",
    "missing": "#5f6b7a",
    "excluded": "#b3261e",
}
Cells = Mapping[str, Any]
_Column = tuple[str, str, float]
"""Key of the cells, heading, share of the width."""

_DECISIONS: tuple[_Column, ...] = (
    ("item", "item", 2.0),
    ("verdict", "verdict", 1.1),
    ("who", "reader", 1.3),
    ("utc", "UTC", 1.3),
    ("kind", "read", 1.0),
    ("volume", "mL", 0.7),
    ("reason", "reason", 2.4),
    ("masks", "SHA-256 of what was judged", 2.0),
    ("outcome", "what became of it", 1.7),
)
_VERSIONS: tuple[_Column, ...] = (
    ("mask", "mask", 1.8),
    ("version", "version", 1.6),
    ("volume", "mL", 0.7),
    ("difference", "difference, mL", 1.0),
    ("dice", "Dice with automatic", 1.0),
    ("who", "reader", 1.3),
    ("utc", "UTC", 1.4),
    ("reason", "reason", 2.4),
    ("sha256", "SHA-256", 1.3),
    ("counts", "", 0.8),
)
_VOLUMES: tuple[_Column, ...] = (
    ("visit", "visit", 1.0),
    ("day", "day", 0.5),
    ("parameter", "parameter", 1.6),
    ("modality", "on", 0.7),
    ("volume", "volume, mL", 0.9),
    ("low_high", "low to high", 1.2),
    ("pieces", "pieces", 0.6),
    ("status", "status", 1.0),
    ("reason", "reason", 3.0),
)
_CHANGE: tuple[_Column, ...] = (
    ("parameter", "parameter", 1.6),
    ("visit", "visit", 0.9),
    ("ends", "on", 1.2),
    ("baseline", "baseline, mL", 0.9),
    ("volume", "volume, mL", 0.9),
    ("change", "change, mL", 0.9),
    ("percent", "change, %", 0.9),
    ("alike", "like for like", 0.7),
    ("exceeds", "exceeds repeatability", 1.0),
    ("reason", "reason", 2.2),
)
_REGISTRATIONS: tuple[_Column, ...] = (
    ("visit", "visit", 1.0),
    ("pair", "images", 1.4),
    ("verdict", "verdict", 0.8),
    ("motion", "head moved by", 1.6),
    ("reasons", "remarks", 4.0),
)
_HISTORY: tuple[_Column, ...] = (
    ("sequence", "#", 0.5),
    ("utc", "UTC", 1.4),
    ("who", "who", 1.3),
    ("action", "what", 1.2),
    ("subject", "of", 2.0),
    ("detail", "detail", 2.2),
    ("reason", "reason", 2.2),
    ("sha256", "SHA-256", 1.2),
)
_HASHES: tuple[_Column, ...] = (
    ("visit", "visit", 0.9),
    ("what", "what", 1.4),
    ("path", "file", 3.6),
    ("sha256", "SHA-256", 3.4),
)
_NUMBERS = frozenset({"volume", "difference", "dice", "day", "pieces", "baseline", "change", "percent"})


class ReviewDocument:
    """Takes participants one by one and makes the PDF.

    Parameters
    ----------
    facts
        Head and foot of the pages.
    shared
        What every page of the review is given: protocol, mark, head of the audit trail.
    """

    def __init__(self, facts: TrialFacts, *, shared: Cells) -> None:
        self._facts = facts
        self._shared = shared
        self._parts: list[Any] = []
        heads = {"fontName": BOLD, "keepWithNext": 1}
        self._title = style("title", fontSize=17, leading=22, spaceAfter=4, **heads)
        self._head = style("head", fontSize=14, leading=18, spaceAfter=3, **heads)
        self._under = style("under", fontSize=9.5, leading=13, spaceBefore=7, spaceAfter=3, **heads)
        self._body = style("body", fontSize=8.5, leading=11.5, spaceAfter=3)
        self._small = style("small", fontSize=6.8, leading=8.6)
        self._caption = style("caption", fontSize=7, leading=9, spaceBefore=2, spaceAfter=9)
        self._states = {
            state: style(f"state-{state}", fontSize=6.8, leading=8.6, textColor=HexColor(colour))
            for state, colour in STATE_COLOURS.items()
        }

    def add(self, person: Cells) -> None:
        """Add a participant, as `infarct_vol.qa.review.pages.participant_cells` gives them."""
        name = person["id"]
        self._parts += [PageBreak(), paragraph(f"{name}  ({self._facts.mark})", self._head)]
        states = "; ".join(f"{state['visit']}: {state['label']}" for state in person["states"])
        self._say(states)
        for words in (person["pictures_note"], *_remarks(person)):
            self._say(words)
        self._show(f"{name}: decisions", person["decisions"], _DECISIONS)
        self._show(f"{name}: versions of masks", person["versions_of_masks"], _VERSIONS)
        self._show(f"{name}: volumes", person["rows"], _VOLUMES)
        self._show(f"{name}: change from baseline", person["change"], _CHANGE)
        self._show(f"{name}: registrations", person["registrations"], _REGISTRATIONS)
        if self._facts.participants_n <= MOST_PICTURED:
            self._pictures(person)
        self._show(f"{name}: history in the audit trail", person["history"], _HISTORY)
        if self._facts.participants_n <= MOST_PICTURED:
            self._show(f"{name}: scans and masks", person["hashes"], _HASHES)

    def to_bytes(self, rows: Sequence[Cells], events: Sequence[Cells]) -> bytes:
        """Return the PDF.

        Parameters
        ----------
        rows
            Lines of the contact sheet, as `infarct_vol.qa.review.listing.sheet_row` gives them.
        events
            Entries of the audit trail about no single participant.
        """
        people, self._parts = self._parts, []
        self._front(events)
        self._contact_sheet(rows)
        title = f"Review: {self._shared['study']}"
        with _binary_streams():
            return document_bytes([*self._parts, *people], facts=self._facts, title=title)

    def _front(self, events: Sequence[Cells]) -> None:
        shared = self._shared
        self._parts.append(paragraph(f"Review: {shared['study']}", self._title))
        self._say(
            f"{shared['mark']}. {self._facts.participants_n} participants; data cut {shared['data_cut']}. "
            "For review by qualified readers; not a medical device."
        )
        self._say(f"Protocol SHA-256 {shared['protocol_sha256']}")
        self._say(f"Audit trail: {shared['chain']}; {shared['audit_head']} {shared['audit_sha256']}".rstrip())
        if shared["blinded_reads"]:
            self._say("Names readers and their reads: not for readers who are still reading.")
        if self._facts.participants_n > MOST_PICTURED:
            self._say(
                f"More than {MOST_PICTURED} participants: their full pictures and the hashes of files are "
                "on the pages in the folder participants beside this file."
            )
        self._show("What was done to the study", events, _HISTORY)

    def _say(self, words: str) -> None:
        if words:
            self._parts.append(paragraph(words, self._body))

    def _show(self, title: str, lines: Sequence[Cells], columns: Sequence[_Column]) -> None:
        """Add a table of the columns that have any text; nothing where there is no line."""
        if not lines:
            return
        kept = [column for column in columns if any(line[column[0]] for line in lines)]
        heads = tuple(TextColumn(label, numeric=key in _NUMBERS, width=w) for key, label, w in kept)
        rows = tuple(tuple(str(line[key] or "") for key, _, _ in kept) for line in lines)
        self._parts.append(paragraph(title, self._under))
        self._parts.append(table_flowable(TextTable("", title, heads, rows), width_pt=_WIDTH))

    def _pictures(self, person: Cells) -> None:
        order = {"trajectory": 0, "side_by_side": 1}
        overview = sorted(person["overview"], key=lambda figure: order.get(figure.kind, 2))
        figures = [*overview, *(figure for visit in person["visits"] for figure in visit["figures"])]
        for figure in figures:
            height = _PICTURE_HEIGHTS.get(figure.kind, _TALLEST_PT)
            picture = _image(person["picture"](figure), width=_WIDTH, height=height)
            if picture is not None:
                words = f"{person['id']}: {figure.caption}"
                self._parts.append(KeepTogether([picture, paragraph(words, self._caption)]))

    def _contact_sheet(self, rows: Sequence[Cells]) -> None:
        if not rows:
            return
        visits = [cell["visit"] for cell in rows[0]["cells"]]
        head = [paragraph(words, self._small) for words in ("participant", *visits)]
        lines = [[self._name(row), *(self._cell(cell) for cell in row["cells"])] for row in rows]
        width = (_WIDTH - _NAME_PT) / len(visits)
        table = Table([head, *lines], colWidths=[_NAME_PT, *[width] * len(visits)], repeatRows=1)
        rule = HexColor("#dfe4ea")
        table.setStyle(
            [
                ("VALIGN", (0, 0), (-1, -1), "TOP"),
                ("LINEBELOW", (0, 0), (-1, -1), 0.4, rule),
                ("LEFTPADDING", (0, 0), (-1, -1), 3),
                ("RIGHTPADDING", (0, 0), (-1, -1), 3),
                ("TOPPADDING", (0, 0), (-1, -1), 3),
                ("BOTTOMPADDING", (0, 0), (-1, -1), 3),
            ]
        )
        title = f"Contact sheet ({self._facts.mark})"
        self._parts += [PageBreak(), paragraph(title, self._head), table]

    def _name(self, row: Cells) -> list[Any]:
        bold = style("name", fontName=BOLD, fontSize=7.5, leading=9.5)
        site = [paragraph(f"site {row['site']}", self._small)] if row["site"] else []
        return [paragraph(row["id"], bold), *site]

    def _cell(self, cell: Cells) -> list[Any]:
        content = cell["path"].read_bytes() if cell["path"] is not None and cell["path"].is_file() else b""
        picture = _image(content, width=78.0, height=100.0)
        bold = style("volume", fontName=BOLD, fontSize=7.5, leading=9.5)
        look = self._states.get(cell["state"], self._small)
        change = ", ".join(part for part in (cell["change"], cell["percent"]) if part)
        words: list[tuple[str, Any]] = [(cell["status"], look)]
        if cell["volume"]:
            words.insert(0, (f"{cell['volume']} {cell['modality']}", bold))
        words += [(change, self._small)] if change and cell["volume"] else []
        words += [(_cut(cell["reason"]), self._small)] if not cell["volume"] and cell["reason"] else []
        for verdict in cell["verdicts"]:
            text = f"{verdict['text']}, {verdict['by']}" if verdict["by"] else verdict["text"]
            words.append((text, self._states.get(verdict["state"], self._small)))
        return [*([picture] if picture is not None else []), *(paragraph(*each) for each in words)]


@contextmanager
def _binary_streams() -> Iterator[None]:
    """Have reportlab keep pictures as they are; as text they would be larger and take most of the time."""
    before = rl_config.useA85
    rl_config.useA85 = 0
    try:
        yield
    finally:
        rl_config.useA85 = before


def _cut(text: str, *, most: int = 120) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}\N{HORIZONTAL ELLIPSIS}"


def _remarks(person: Cells) -> list[str]:
    """Return the flags and reasons of every visit."""
    return [
        f"{visit['label']}: {words}"
        for visit in person["visits"]
        for words in (visit["reason"], *visit["flags"], *visit["notes"])
        if words
    ]


def _image(content: bytes, *, width: float, height: float) -> Image | None:
    if not content:
        return None
    return Image(io.BytesIO(content), width=width, height=height, kind="proportional", hAlign="LEFT")

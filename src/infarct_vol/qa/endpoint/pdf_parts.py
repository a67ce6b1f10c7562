"""Parts of the PDF: fonts that hold every letter, paragraphs, tables that repeat their header, pages.

reportlab draws them, with the DejaVu fonts that come with matplotlib, so that nothing but Python packages
is needed.
"""

from __future__ import annotations

import functools
import hashlib
import io
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import matplotlib
from reportlab.lib.colors import HexColor
from reportlab.lib.enums import TA_RIGHT
from reportlab.lib.pagesizes import A4, landscape
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import BaseDocTemplate, Frame, Image, PageTemplate, Paragraph, Table

from infarct_vol.qa.endpoint.content import TextTable, TrialFacts
from infarct_vol.qa.endpoint.marks import MARK_COLOURS
from infarct_vol.qa.figures import INK, MUTED, Picture

FONT, BOLD = "InfarctVolSans", "InfarctVolSans-Bold"
_FILES = {FONT: "DejaVuSans.ttf", BOLD: "DejaVuSans-Bold.ttf"}
_MARGIN = 16 * mm
_HEAD = 12 * mm
PAGE_WIDTHS = {"portrait": A4[0] - 2 * _MARGIN, "landscape": A4[1] - 2 * _MARGIN}
"""Width in points that a table or picture may take."""
_CELL_PT = 6.6
_PAD_PT = 3.4


@functools.cache
def register_fonts() -> None:
    """Make the fonts known to reportlab, once a process."""
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    for name, file in _FILES.items():
        pdfmetrics.registerFont(TTFont(name, str(folder / file)))
    pdfmetrics.registerFontFamily(FONT, normal=FONT, bold=BOLD, italic=FONT, boldItalic=BOLD)


def legible(text: str) -> str:
    """Return text with every letter that the font lacks, and every control character, as its code."""
    register_fonts()
    known = pdfmetrics.getFont(FONT).face.charToGlyph
    flat = " ".join(text.split())
    return "".join(c if ord(c) in known and c.isprintable() else f"\\u{ord(c):04x}" for c in flat)


def style(name: str, **more: Any) -> ParagraphStyle:
    """Return a paragraph style of the house."""
    register_fonts()
    base: dict[str, Any] = {"fontName": FONT, "fontSize": 9, "leading": 12.5, "textColor": HexColor(INK)}
    return ParagraphStyle(name, **{**base, "splitLongWords": 1, **more})


def paragraph(text: str, look: ParagraphStyle) -> Paragraph:
    """Return a paragraph of plain text; markup in it is shown, not followed."""
    return Paragraph(escape(legible(text)), look)


def picture_flowable(picture: Picture, *, width_pt: float) -> Image:
    """Return a picture at the width of the page."""
    width, height = picture.get_figwidth(), picture.get_figheight()
    shown = min(width_pt, width * 72 * 0.78)
    content = io.BytesIO(picture.to_bytes(scale=2.0))
    return Image(content, width=shown, height=shown * height / width)


def table_flowable(table: TextTable, *, width_pt: float) -> Table:
    """Return a table as wide as the page: header on every page, long text wrapped, sections as bands.

    Parameters
    ----------
    table
        Its column widths are shares of the page.
    width_pt
        Width in points.
    """
    total = sum(column.width for column in table.columns)
    widths = [width_pt * column.width / total for column in table.columns]
    looks = _cell_looks()

    def cells(texts: Sequence[str], *, bold: bool = False) -> list[Any]:
        return [
            _cell(text, looks[column.numeric, bold], width)
            for text, column, width in zip(texts, table.columns, widths, strict=True)
        ]

    rows, commands = _header(table, cells)
    starts = dict(table.sections)
    head = len(rows)
    for at, texts in enumerate(table.rows):
        if at in starts:
            line = len(rows)
            band = paragraph(starts[at], looks[False, True])
            rows.append([band, *[""] * (len(widths) - 1)])
            commands += [
                ("SPAN", (0, line), (-1, line)),
                ("BACKGROUND", (0, line), (-1, line), HexColor("#f0f3f6")),
                ("NOSPLIT", (0, line), (-1, line + 1)),
            ]
        rows.append(cells(texts))
    longest = max((len(text) for texts in table.rows for text in texts), default=0)
    return Table(
        rows,
        colWidths=widths,
        repeatRows=head,
        # only text longer than any page could hold is cut inside its row
        splitInRow=1 if longest > 3000 else 0,
        style=[*_frame(head, table), *commands],
        spaceAfter=4,
    )


def _cell_looks() -> dict[tuple[bool, bool], ParagraphStyle]:
    """Return the styles of cells by whether they hold numbers and whether they are bold."""
    return {
        (numeric, bold): style(
            f"cell-{numeric}-{bold}",
            fontName=BOLD if bold else FONT,
            fontSize=_CELL_PT,
            leading=1.25 * _CELL_PT,
            alignment=TA_RIGHT if numeric else 0,
        )
        for numeric in (False, True)
        for bold in (False, True)
    }


def _cell(text: str, look: ParagraphStyle, width: float) -> Any:
    shown = legible(text)
    room = width - 2 * _PAD_PT
    if pdfmetrics.stringWidth(shown, look.fontName, look.fontSize) <= room:
        return shown
    return Paragraph(escape(shown), look)


def _header(table: TextTable, cells: Callable[..., list[Any]]) -> tuple[list[list[Any]], list[Any]]:
    """Return the header rows and, where columns are grouped, the lines under the groups."""
    groups = [column.group for column in table.columns]
    labels = cells([column.label for column in table.columns], bold=True)
    if not any(groups):
        return [labels], []
    commands: list[Any] = []
    first = 0
    top: list[Any] = [""] * len(groups)
    for at in range(1, len(groups) + 1):
        if at == len(groups) or groups[at] != groups[first]:
            if groups[first]:
                top[first] = legible(groups[first])
                commands.append(("SPAN", (first, 0), (at - 1, 0)))
                commands.append(("LINEBELOW", (first, 0), (at - 1, 0), 0.5, HexColor("#bcc5cf")))
            first = at
    return [top, labels], commands


def _frame(head: int, table: TextTable) -> list[Any]:
    line, rule = HexColor("#dfe4ea"), HexColor("#8b95a1")
    aligned = [
        ("ALIGN", (at, 0), (at, -1), "RIGHT" if column.numeric else "LEFT")
        for at, column in enumerate(table.columns)
    ]
    return [
        ("FONT", (0, 0), (-1, -1), FONT, _CELL_PT, 1.25 * _CELL_PT),
        ("FONT", (0, 0), (-1, head - 1), BOLD, _CELL_PT, 1.25 * _CELL_PT),
        ("TEXTCOLOR", (0, 0), (-1, -1), HexColor(INK)),
        ("VALIGN", (0, 0), (-1, -1), "TOP"),
        ("VALIGN", (0, 0), (-1, head - 1), "BOTTOM"),
        ("LEFTPADDING", (0, 0), (-1, -1), _PAD_PT),
        ("RIGHTPADDING", (0, 0), (-1, -1), _PAD_PT),
        ("TOPPADDING", (0, 0), (-1, -1), 1.8),
        ("BOTTOMPADDING", (0, 0), (-1, -1), 2.2),
        ("LINEBELOW", (0, head - 1), (-1, head - 1), 0.8, rule),
        ("LINEBELOW", (0, head), (-1, -1), 0.4, line),
        *aligned,
        *([("ALIGN", (0, 0), (-1, 0), "CENTER")] if head > 1 else []),
    ]


class _CountedCanvas(Canvas):  # type: ignore[misc]
    """A canvas that holds its pages back until their number is known."""

    def __init__(self, *args: Any, facts: TrialFacts, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._facts = facts
        self._held: list[dict[str, Any]] = []
        _set_time(self._doc, facts.data_cut)

    def showPage(self) -> None:  # noqa: N802 - reportlab's name
        """Keep the page."""
        self._held.append(dict(self.__dict__))
        self._startPage()

    def save(self) -> None:
        """Write every page with its mark, its number and the number of pages, then the file."""
        held = self._held
        for number, state in enumerate(held, start=1):
            self.__dict__.update(state)
            self._furnish(number, len(held))
            super().showPage()
        super().save()

    def _furnish(self, number: int, count: int) -> None:
        facts, (width, height) = self._facts, self._pagesize
        self.setFillColor(HexColor(MARK_COLOURS[facts.mark]))
        self.setFont(BOLD, 9)
        self.drawRightString(width - _MARGIN, height - _HEAD, facts.mark)
        self.setFillColor(HexColor(MUTED))
        self.setFont(FONT, 7)
        self.drawString(_MARGIN, height - _HEAD, legible(facts.study_id or "unnamed study")[:90])
        sources = f"infarct-vol {facts.version}, protocol {facts.protocol_sha256[:12]}"
        cut = f", data cut {facts.data_cut}" if facts.data_cut else ""
        self.drawString(_MARGIN, 9 * mm, legible(sources + cut))
        self.drawRightString(width - _MARGIN, 9 * mm, f"Page {number} of {count}")


def _set_time(document: Any, data_cut: str) -> None:
    """Date the file by its data cut, so that it depends on no clock and on no variable of the machine."""
    try:
        moment = datetime.fromisoformat(data_cut)
    except ValueError:
        moment = datetime(2000, 1, 1, tzinfo=UTC)
    stamp = document._timeStamp
    stamp.YMDhms = moment.timetuple()[:6]
    stamp.t, stamp.lt, stamp.tzname = 0, moment.timetuple(), "UTC"
    stamp.dhh = stamp.dmm = 0
    # the file's ID starts from the time reportlab found
    document.signature = hashlib.md5(moment.isoformat().encode(), usedforsecurity=False)


def document_bytes(story: list[Any], *, facts: TrialFacts, title: str) -> bytes:
    """Return a PDF of A4 pages, the mark and ``Page n of N`` on each; ``landscape`` is a template's name."""
    register_fonts()
    buffer = io.BytesIO()
    document = BaseDocTemplate(
        buffer,
        pagesize=A4,
        invariant=1,
        initialFontName=FONT,
        title=legible(title),
        author="infarct-vol",
        subject=facts.mark,
        creator=f"infarct-vol {facts.version}",
        lang="en",
        pageCompression=1,
    )
    for name, size in (("portrait", A4), ("landscape", landscape(A4))):
        frame = Frame(_MARGIN, 14 * mm, size[0] - 2 * _MARGIN, size[1] - 30 * mm, 0, 0, 0, 0, id=name)
        document.addPageTemplates(PageTemplate(id=name, frames=[frame], pagesize=size))
    document.build(story, canvasmaker=functools.partial(_CountedCanvas, facts=facts))
    return buffer.getvalue()

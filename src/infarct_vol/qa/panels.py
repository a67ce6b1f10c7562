"""Many maps of one slice side by side, each with its scale: how a decision came about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from infarct_vol.images import Scan
from infarct_vol.qa.display import Crop, SliceView, close_up_crops, head_slices, slice_view, window
from infarct_vol.qa.figures import Picture, Placed, Sheet, house_style
from infarct_vol.segmentation.canonical import Frame

Mask = NDArray[np.bool_]
Box = tuple[slice, slice, slice]

SHEET_PX = 1720
MARGIN_PX = 12
GAP_PX = 6
HEADER_PX = 34
LINE_PX = 20
TITLE_PX = 17
SCALE_PX = 32
LEAST_COLUMNS = 5
SLICES = 8
LESION_SLICES = 6
CLOSE_UP_MARGIN_MM = 15.0
CLOSE_UP_LEAST_MM = 50.0
TILE_SHAPE = (0.6, 1.3)

GREY = ("#000000", "#ffffff")
# dark where nothing speaks either way, so that what departs stands out on film
TWO_SIDED = ("#9fd0ff", "#2d6fb5", "#14181e", "#c2441c", "#ffc58a")
# the same, but what speaks against stays dark: it is nearly everywhere
FOR_AND_AGAINST = ("#1f4c78", "#1a2f47", "#14181e", "#c2441c", "#ffc58a")
SHARE = ("#14181e", "#5b2a86", "#d1495b", "#f6ae2d", "#fffbe0")


@dataclass(frozen=True)
class Scale:
    """Colours of a map between two limits; values beyond take the colour of the limit."""

    limits: tuple[float, float]
    unit: str
    colours: tuple[str, ...] = GREY


@dataclass(frozen=True)
class Classes:
    """Colours of a map of classes: name and colour of class 0, 1, 2 ...; class 0 is not painted."""

    names: tuple[str, ...]
    colours: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Panel:
    """One map with its scale.

    Parameters
    ----------
    title
        What it shows.
    values
        (X, Y, Z) in the working box, anatomical axes; NaN is not painted.
    look
        Scale, or colours of classes.
    outlines
        Masks of the same shape drawn as outlines: name, mask, colour.
    numbers
        (X, Y, Z) whole numbers; each above 0 is written once a slice, at the middle of its voxels.
    """

    title: str
    values: NDArray[np.generic]
    look: Scale | Classes
    outlines: tuple[tuple[str, Mask, str], ...] = ()
    numbers: NDArray[np.integer] | None = None


def scan_panel(title: str, scan: Scan, frame: Frame) -> Panel:
    """Return a scan in its own window, in the working box of a frame."""
    unit = "1e-6 mm\N{SUPERSCRIPT TWO}/s" if scan.modality == "adc" else "intensity as stored"
    return Panel(title, frame.take(scan.data), Scale(window(slice_view(scan), scan.modality), unit))


@dataclass(frozen=True, eq=False)
class Stage:
    """What is shown of one case.

    Parameters
    ----------
    view
        The scan, turned for the eye.
    box
        The working box the maps are in, in the view's axes.
    lines
        Lines of whole-brain maps with their heading.
    close_up
        Maps of the last line, which shows the lesion closer.
    lesion
        (X, Y, Z) the mask in the box; slices with most of it are shown.
    others
        (X, Y, Z) whole numbers of what was left out, the most important first: 1, 2, 3 ...
    legend
        Classes explained beside the maps.
    """

    view: SliceView
    box: Box
    lines: tuple[tuple[str, tuple[Panel, ...]], ...]
    close_up: tuple[Panel, ...]
    lesion: Mask
    others: NDArray[np.integer]
    legend: Classes | None = None

    @property
    def boxed(self) -> SliceView:
        """The view of the working box alone."""
        return SliceView(
            self.view.data[self.box],
            self.view.grid.crop(self.box),
            self.view.axis,
            self.view.order,
            self.view.flips,
            self.view.head[self.box],
        )

    @property
    def columns(self) -> int:
        """Maps side by side on a sheet; the legend stands at the end of the last whole-brain line."""
        lines = [len(panels) for _, panels in self.lines]
        lines[-1] += self.legend is not None
        return max(LEAST_COLUMNS, len(self.close_up), *lines)

    def label(self, index: int) -> str:
        """Position of a slice of the box, and its index in the file."""
        return self.view.label(index + self.box[self.view.axis].start)


def chosen_slices(stage: Stage) -> list[int]:
    """Return the slices of the box that show most: of the lesion, then of what was left out."""
    view = stage.boxed
    across = tuple(a for a in range(3) if a != view.axis)
    area = np.count_nonzero(stage.lesion, axis=across)
    parts = np.array_split(np.flatnonzero(area), LESION_SLICES)
    chosen = {int(part[np.argmax(area[part])]) for part in parts if part.size}
    for number in range(1, int(stage.others.max(initial=0)) + 1):
        if len(chosen) == SLICES:
            break
        its_area = np.count_nonzero(stage.others == number, axis=across)
        if its_area.any():
            chosen.add(int(np.argmax(its_area)))
    return sorted(chosen) or head_slices(view, most=SLICES // 2)


@house_style
def slice_sheet(stage: Stage, index: int, *, title: str) -> Picture:
    """Draw all maps of one slice of the box."""
    view = stage.boxed
    width = (SHEET_PX - 2 * MARGIN_PX - (stage.columns - 1) * GAP_PX) / stage.columns
    rows, columns = view.plane(index).shape
    shape = rows * view.pixel_mm[0] / (columns * view.pixel_mm[1])
    tile = width, width * min(max(shape, TILE_SHAPE[0]), TILE_SHAPE[1])
    crop = _close_up(stage, view, index)
    below = LINE_PX + TITLE_PX + SCALE_PX + GAP_PX
    height = HEADER_PX + len(stage.lines) * (tile[1] + below) + (width + below if crop else 0) + MARGIN_PX
    sheet = Sheet(SHEET_PX, height)
    sheet.text(f"{title}: {stage.label(index)}", MARGIN_PX, 17, size=11, colour="#ffffff", bold=True)
    words = "radiological convention: patient's right on the left"
    sheet.text(words, SHEET_PX - MARGIN_PX, 17, size=8, align="right")
    top = float(HEADER_PX)
    whole = (slice(0, rows), slice(0, columns))
    for heading, panels in stage.lines:
        _line(sheet, heading, panels, view, index, crop=whole, top=top, tile=tile)
        top += tile[1] + below
    if stage.legend:
        free = len(stage.lines[-1][1])
        left = MARGIN_PX + free * (width + GAP_PX)
        _legend(sheet, stage.legend, left + GAP_PX, top - tile[1] - below + LINE_PX + TITLE_PX)
    if crop:
        size_mm = (crop[0].stop - crop[0].start) * view.pixel_mm[0]
        heading = f"Close-up, {size_mm:.0f} mm wide, voxels as measured"
        _line(sheet, heading, stage.close_up, view, index, crop=crop, top=top, tile=(width, width))
    return sheet.finish()


def _close_up(stage: Stage, view: SliceView, index: int) -> Crop | None:
    """Return the window round the largest piece of lesion in a slice, or of what was left out there."""
    for mask in (stage.lesion, stage.others > 0):
        if view.plane(index, data=mask).any():
            limits = {"margin_mm": CLOSE_UP_MARGIN_MM, "least_mm": CLOSE_UP_LEAST_MM}
            return close_up_crops(view, mask, [index], **limits)[0]
    return None


def _line(
    sheet: Sheet,
    heading: str,
    panels: Sequence[Panel],
    view: SliceView,
    index: int,
    *,
    crop: Crop,
    top: float,
    tile: tuple[float, float],
) -> None:
    sheet.text(heading, MARGIN_PX, top + LINE_PX / 2, size=9, colour="#ffffff", bold=True)
    for at, panel in enumerate(panels):
        left = MARGIN_PX + at * (tile[0] + GAP_PX)
        sheet.text(panel.title, left, top + LINE_PX + TITLE_PX / 2, size=8, colour="#ffffff")
        box = (left, top + LINE_PX + TITLE_PX, *tile)
        _tile(sheet, panel, view, index, crop=crop, box=box)
        _scale(sheet, panel, left, box[1] + tile[1] + 4, tile[0])


def _tile(
    sheet: Sheet,
    panel: Panel,
    view: SliceView,
    index: int,
    *,
    crop: Crop,
    box: tuple[float, float, float, float],
) -> None:
    pixels = np.asarray(view.plane(index, data=panel.values)[crop], dtype=np.float32)
    if isinstance(panel.look, Scale):
        limits, colours = panel.look.limits, panel.look.colours
    else:
        limits, colours = (0.5, len(panel.look.names) - 0.5), panel.look.colours[1:]
        pixels[pixels == 0] = np.nan
    stepped = isinstance(panel.look, Classes)
    placed = sheet.colours(
        pixels, pixel_mm=view.pixel_mm, box=box, limits=limits, colours=colours, stepped=stepped
    )
    for _, mask, colour in panel.outlines:
        sheet.outline(np.asarray(view.plane(index, data=mask)[crop], dtype=np.bool_), placed, colour=colour)
    if panel.numbers is not None:
        _write_numbers(sheet, np.asarray(view.plane(index, data=panel.numbers)[crop], dtype=int), placed)
    left, top, width, _ = box
    sheet.text(view.edge_letters[0], left + 4, top + 9, size=7.5, colour="#ffffff")
    sheet.text(view.edge_letters[1], left + width - 4, top + 9, size=7.5, colour="#ffffff", align="right")


def _write_numbers(sheet: Sheet, numbers: NDArray[np.int_], placed: Placed) -> None:
    for number in np.unique(numbers[numbers > 0]).tolist():
        rows, columns = np.nonzero(numbers == number)
        x = placed.left + (columns.max() + 1.5) * placed.column_px
        y = placed.top + (rows.mean() + 0.5) * placed.row_px
        sheet.text(str(number), float(x), float(y), size=7, colour="#ffffff")


def _scale(sheet: Sheet, panel: Panel, left: float, top: float, width: float) -> None:
    """Explain the colours of a map below it: bar with unit, or the names of few classes and outlines."""
    entries = [(name, colour) for name, _, colour in panel.outlines]
    if isinstance(panel.look, Scale):
        low, high = panel.look.limits
        sheet.bar((left + 34, top, width - 68, 6), colours=panel.look.colours)
        sheet.text(f"{low:.4g}", left + 30, top + 3, size=6.5, align="right")
        sheet.text(f"{high:.4g}", left + width - 30, top + 3, size=6.5)
        sheet.text(panel.look.unit, left + width / 2, top + 12, size=6.5, align="center")
    elif len(panel.look.names) <= 4:
        entries = [*zip(panel.look.names[1:], panel.look.colours[1:], strict=True), *entries]
    for name, colour in entries:
        sheet.patch((left, top + 18, 7, 7), colour=colour)
        sheet.text(name, left + 10, top + 22, size=6.5)
        left += 20 + 4.9 * len(name)


def _legend(sheet: Sheet, classes: Classes, left: float, top: float) -> None:
    for at, (name, colour) in enumerate(zip(classes.names[1:], classes.colours[1:], strict=True)):
        sheet.patch((left, top + 20 * at + 4, 10, 10), colour=colour)
        sheet.text(name, left + 16, top + 20 * at + 9, size=7.5)

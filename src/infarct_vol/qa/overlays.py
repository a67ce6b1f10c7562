"""Pictures of masks on scans: mosaics of one image, matched slices of several visits.

Contours follow voxel edges and are never filled, so that a reader can judge the edge.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from infarct_vol.images import LesionMask, Scan, require_same_grid
from infarct_vol.qa.display import (
    Crop,
    SliceView,
    close_up_crops,
    head_crop,
    head_slices,
    lesion_slices,
    slice_view,
    turned_masks,
    window,
)
from infarct_vol.qa.figures import COLOURS, Picture, Sheet, colour_of, house_style
from infarct_vol.qa.wording import visit_label

Contours = Mapping[str, "LesionMask | None"]

SHEET_PX = 1200
MARGIN_PX = 12
GAP_PX = 6
HEADER_PX = 50
LABEL_PX = 16
SECTION_PX = 22
GUTTER_PX = 70
COLUMNS = 6
DASHED = "automatic"
"""The contour that does not count where another one does; drawn thin and dashed."""
THUMBNAIL_PX = 150
CLOSE_UP_MARGIN_MM = 18.0
CLOSE_UP_LEAST_MM = 64.0


@dataclass(frozen=True)
class _Layer:
    """One scan ready for tiles: its slices, its window, and the contours drawn over it."""

    view: SliceView
    limits: tuple[float, float]
    masks: Mapping[str, NDArray[np.bool_]]
    colours: Mapping[str, str]

    @property
    def union(self) -> NDArray[np.bool_]:
        """All contours together, anatomical axes."""
        union = np.zeros(self.view.grid.shape, dtype=np.bool_)
        for mask in self.masks.values():
            union |= mask
        return union


def _layer(scan: Scan, contours: Contours) -> _Layer:
    present = {name: mask for name, mask in contours.items() if mask is not None}
    view = slice_view(scan)
    colours = {name: colour_of(name, at) for at, name in enumerate(contours)}
    masks = turned_masks(view, scan, present)
    layer = _Layer(view, (0.0, 1.0), masks, colours)
    limits = window(view, scan.modality, lesion=layer.union if masks else None)
    return replace(layer, limits=limits)


@house_style
def lesion_mosaic(
    scan: Scan,
    contours: Contours,
    *,
    title: str = "",
    max_slices: int = 12,
    companions: Mapping[str, Scan] | None = None,
) -> Picture:
    """Draw slices through a lesion: whole slices with the contour, then close-ups without and with it.

    Parameters
    ----------
    scan
        The image measured, on its native grid; no voxel is resampled.
    contours
        Name (``infarct``, ``cavity``, ``new_lesion``) to mask on the scan's grid; None for one that was
        not made. If all are empty, slices spread through the head are shown and the sheet says so.
    title
        Headline, such as ``"sub-003 month 3 FLAIR"``.
    max_slices
        Most whole slices shown.
    companions
        Further images on the same grid (such as the ADC map), shown under the close-ups.

    Raises
    ------
    GridMismatchError
        If a mask or companion is not on the scan's grid.
    """
    companions = companions or {}
    for image in companions.values():
        require_same_grid(scan, image, what="the scan and its companion")
    layer = _layer(scan, contours)
    union = layer.union
    found = bool(union.any())
    pick = lesion_slices(layer.view, union, most=max_slices) if found else None
    indices = pick or head_slices(layer.view, most=max_slices)
    close = _close_up_slices(layer.view, union) if found else []
    crop = head_crop(layer.view)
    tile, columns = _tile_size(layer.view, crop, wanted=len(indices))
    close_top = HEADER_PX + -(-len(indices) // columns) * (tile[1] + LABEL_PX + GAP_PX)
    side = _close_up_side(len(close))
    close_height = SECTION_PX + LABEL_PX + (2 + len(companions)) * (side + GAP_PX) if found else 0
    sheet = Sheet(SHEET_PX, close_top + close_height + MARGIN_PX)
    sheet_header(sheet, title or str(scan.identity), _legend(contours), found=found, drawn=bool(layer.masks))
    for at, index in enumerate(indices):
        left = MARGIN_PX + (at % columns) * (tile[0] + GAP_PX)
        top = HEADER_PX + (at // columns) * (tile[1] + LABEL_PX + GAP_PX)
        _tile(sheet, layer, index, crop, box=(left, top, *tile), smooth=True)
    if found:
        extra = {name: _layer(image, {}) for name, image in companions.items()}
        _close_ups(sheet, layer, extra, close, top=close_top, side=side)
    return sheet.finish()


@house_style
def lesion_thumbnail(scan: Scan, contours: Contours) -> Picture:
    """Draw the slice with the largest lesion area and its contours, small; a middle slice without one.

    Parameters
    ----------
    scan
        The image measured.
    contours
        As `lesion_mosaic` takes them.

    Raises
    ------
    GridMismatchError
        If a mask is not on the scan's grid.
    """
    layer = _layer(scan, contours)
    counted = {name: mask for name, mask in layer.masks.items() if name != DASHED}
    union = replace(layer, masks=counted).union
    others = tuple(axis for axis in range(3) if axis != layer.view.axis)
    area = np.count_nonzero(union, axis=others)
    index = int(np.argmax(area)) if area.any() else head_slices(layer.view, most=1)[0]
    crop = head_crop(layer.view)
    row_mm, column_mm = layer.view.pixel_mm
    rows, columns = (part.stop - part.start for part in crop)
    height = THUMBNAIL_PX * min(max(rows * row_mm / (columns * column_mm), 0.6), 1.3)
    sheet = Sheet(THUMBNAIL_PX, round(height))
    box = (0.0, 0.0, float(THUMBNAIL_PX), float(round(height)))
    _tile(sheet, layer, index, crop, box=box, smooth=True, labelled=False)
    for letter, x in zip(layer.view.edge_letters, (7, THUMBNAIL_PX - 7), strict=True):
        sheet.text(letter, x, 9, size=7, colour="#ffffff", align="center")
    return sheet.finish()


def _close_up_slices(view: SliceView, union: NDArray[np.bool_]) -> list[int]:
    """Return the slice with most lesion in each of up to six equal parts of the lesion."""
    others = tuple(a for a in range(3) if a != view.axis)
    area = np.count_nonzero(union, axis=others)
    parts = np.array_split(np.nonzero(area)[0], COLUMNS)
    return [int(part[np.argmax(area[part])]) for part in parts if part.size]


def _close_up_side(count: int) -> float:
    columns = max(count, 4)
    return (SHEET_PX - 2 * MARGIN_PX - GUTTER_PX - (columns - 1) * GAP_PX) / columns


def _tile_size(view: SliceView, crop: Crop, *, wanted: int) -> tuple[tuple[float, float], int]:
    """Return the size of a whole-slice tile in pixels, and how many stand side by side."""
    columns = min(COLUMNS, max(4, wanted))
    width = (SHEET_PX - 2 * MARGIN_PX - (columns - 1) * GAP_PX) / columns
    row_mm, column_mm = view.pixel_mm
    rows, columns_of_slice = (part.stop - part.start for part in crop)
    shape = rows * row_mm / (columns_of_slice * column_mm)
    return (width, width * min(max(shape, 0.6), 1.3)), columns


def _legend(contours: Contours) -> list[tuple[str, str]]:
    entries = []
    for at, (name, mask) in enumerate(contours.items()):
        volume = "not drawn" if mask is None else f"{mask.volume_ml:.2f} mL" if mask.voxel_count else "0.0 mL"
        entries.append((f"{name.replace('_', ' ')} {volume}", colour_of(name, at)))
    return entries


def sheet_header(
    sheet: Sheet, title: str, legend: Sequence[tuple[str, str]], *, found: bool, drawn: bool
) -> None:
    """Write the headline, the convention, and the legend or why there is none."""
    sheet.text(title, MARGIN_PX, 16, size=10.5, colour="#ffffff", bold=True)
    sheet.text(
        "radiological convention: patient's right on the left",
        SHEET_PX - MARGIN_PX,
        16,
        size=7.5,
        align="right",
    )
    if not drawn:
        sheet.text("no mask: not measured", MARGIN_PX, 36, size=8.5, colour="#ffffff")
        return
    left = float(MARGIN_PX)
    if not found:
        sheet.text("no lesion found: 0.0 mL", left, 36, size=8.5, colour="#ffffff", bold=True)
        return
    for words, colour in legend:
        sheet.frame((left, 31, 10, 10), colour=colour, dashed=colour == COLOURS[DASHED])
        sheet.text(words, left + 16, 36, size=8.5, colour="#ffffff")
        left += 36 + 6.6 * len(words)


def _tile(
    sheet: Sheet,
    layer: _Layer,
    index: int,
    crop: Crop,
    *,
    box: tuple[float, float, float, float],
    smooth: bool = False,
    outlined: bool = True,
    labelled: bool = True,
) -> None:
    """Place one slice with its contours, edge letters and position."""
    view = layer.view
    pixels = np.asarray(view.plane(index)[crop], dtype=np.float32)
    placed = sheet.image(pixels, pixel_mm=view.pixel_mm, box=box, window=layer.limits, smooth=smooth)
    if outlined:
        for name, mask in layer.masks.items():
            outline = np.asarray(view.plane(index, data=mask)[crop], dtype=np.bool_)
            dashed = name == DASHED
            width = 0.6 if dashed else 0.8
            sheet.outline(outline, placed, colour=layer.colours[name], width=width, dashed=dashed)
    if labelled:
        left, top, width, height = box
        sheet.text(view.edge_letters[0], left + 5, top + 10, size=8, colour="#ffffff")
        sheet.text(view.edge_letters[1], left + width - 5, top + 10, size=8, colour="#ffffff", align="right")
        sheet.text(view.label(index), left + width / 2, top + height + LABEL_PX / 2, size=7, align="center")


def _close_ups(
    sheet: Sheet,
    layer: _Layer,
    companions: Mapping[str, _Layer],
    indices: Sequence[int],
    *,
    top: float,
    side: float,
) -> None:
    """Place rows of close-ups: plain, with contours, and each companion with contours."""
    union = layer.union
    limits = {"margin_mm": CLOSE_UP_MARGIN_MM, "least_mm": CLOSE_UP_LEAST_MM}
    crops = close_up_crops(layer.view, union, indices, **limits)
    width_mm = (crops[0][0].stop - crops[0][0].start) * layer.view.pixel_mm[0]
    words = f"Close-ups, {width_mm:.0f} mm wide, voxels as measured: without and with the contour"
    sheet.text(words, MARGIN_PX, top + 8, size=8.5, colour="#ffffff")
    top += SECTION_PX
    lines = [("plain", layer, False), ("contour", layer, True)]
    for name, each in companions.items():
        lines.append((name, _Layer(each.view, each.limits, layer.masks, layer.colours), True))
    for row, (name, each, outlined) in enumerate(lines):
        line_top = top + row * (side + GAP_PX)
        sheet.text(name, MARGIN_PX, line_top + side / 2, size=8.5)
        for at, (index, crop) in enumerate(zip(indices, crops, strict=True)):
            box = (MARGIN_PX + GUTTER_PX + at * (side + GAP_PX), line_top, side, side)
            _tile(sheet, each, index, crop, box=box, outlined=outlined, labelled=False)
    for at, index in enumerate(indices):
        middle = MARGIN_PX + GUTTER_PX + at * (side + GAP_PX) + side / 2
        y = top + len(lines) * (side + GAP_PX) + 2
        sheet.text(layer.view.label(index), middle, y, size=7, align="center")


@house_style
def side_by_side(
    baseline: Scan,
    followups: Mapping[str, Scan | None],
    *,
    contours: Mapping[str, Contours] | None = None,
    notes: Mapping[str, str] | None = None,
    title: str = "",
    max_slices: int = COLUMNS,
) -> Picture:
    """Draw matched slices of baseline and registered follow-ups, one row a visit.

    Parameters
    ----------
    baseline
        Baseline image; slices are taken from its grid.
    followups
        Visit to follow-up image resampled on the baseline grid; None where there is none.
    contours
        Visit (``baseline`` included) to contours on the baseline grid.
    notes
        Visit to words shown under its name, such as ``"missing: not scanned"``.
    title
        Headline.
    max_slices
        Most slices shown.

    Raises
    ------
    GridMismatchError
        If an image or a mask is not on the baseline grid.
    """
    contours = contours or {}
    rows: dict[str, _Layer | None] = {"baseline": _layer(baseline, contours.get("baseline", {}))}
    for visit, scan in followups.items():
        if scan is not None:
            require_same_grid(baseline, scan, what=f"baseline and the registered {visit_label(visit)}")
        rows[visit] = _layer(scan, contours.get(visit, {})) if scan is not None else None
    first = _layer(baseline, {})
    union = np.zeros(first.view.grid.shape, dtype=np.bool_)
    for row in rows.values():
        union |= row.union if row is not None else False
    pick = _close_up_slices if union.any() else lambda view, _: head_slices(view, most=max_slices)
    indices = pick(first.view, union)[:max_slices]
    crop = head_crop(first.view)
    return _visit_rows(rows, indices, crop, view=first.view, title=title, notes=notes or {})


def _visit_rows(
    rows: Mapping[str, _Layer | None],
    indices: Sequence[int],
    crop: Crop,
    *,
    view: SliceView,
    title: str,
    notes: Mapping[str, str],
) -> Picture:
    gutter = 96
    columns = max(4, len(indices))
    tile_px = (SHEET_PX - 2 * MARGIN_PX - gutter - (columns - 1) * GAP_PX) / columns
    shape = (crop[0].stop - crop[0].start) * view.pixel_mm[0]
    shape /= (crop[1].stop - crop[1].start) * view.pixel_mm[1]
    tile = tile_px, tile_px * min(max(shape, 0.6), 1.3)
    # a visit without an image takes one line, not an empty row of tiles
    heights = [tile[1] if row is not None else 40 for row in rows.values()]
    sheet = Sheet(SHEET_PX, HEADER_PX + sum(heights) + len(rows) * GAP_PX + LABEL_PX + MARGIN_PX)
    names = [name for row in rows.values() if row is not None for name in row.masks]
    legend = [(name.replace("_", " "), colour_of(name)) for name in dict.fromkeys(names)]
    sheet_header(sheet, title, legend, found=True, drawn=True)
    top = float(HEADER_PX)
    for (visit, row), height in zip(rows.items(), heights, strict=True):
        middle = top + height / 2
        sheet.text(visit_label(visit), MARGIN_PX, middle - 7, size=9, colour="#ffffff", bold=True)
        note = notes.get(visit, "" if row is not None else "no image")
        sheet.text(note, MARGIN_PX, middle + 9, size=7.5)
        for at, index in enumerate(indices if row is not None else ()):
            box = (MARGIN_PX + gutter + at * (tile[0] + GAP_PX), top, *tile)
            _tile(sheet, row, index, crop, box=box, smooth=True, labelled=False)  # type: ignore[arg-type]
        top += height + GAP_PX
    for at, index in enumerate(indices):
        middle = MARGIN_PX + gutter + at * (tile[0] + GAP_PX) + tile[0] / 2
        sheet.text(view.label(index), middle, top + 5, size=7, align="center")
        for letter, share in zip(view.edge_letters, (0.05, 0.95), strict=True):
            x = middle + (share - 0.5) * tile[0]
            sheet.text(letter, x, HEADER_PX + 10, size=8, colour="#ffffff", align="center")
    return sheet.finish()

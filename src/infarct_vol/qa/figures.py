"""Figures that need no pyplot: equal input gives equal bytes, in a worker process as in a notebook."""

from __future__ import annotations

import functools
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, ParamSpec, TypeVar

import matplotlib
import matplotlib.style
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.colors import Colormap, LinearSegmentedColormap, ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from infarct_vol.files import write_bytes

DPI = 100
INK = "#1d2733"
MUTED = "#5f6b7a"
PAPER = "#ffffff"
FILM = "#0c0f13"

# Okabe-Ito hues (Color Universal Design, 2008), brightened to stand on grey-scale images
COLOURS = {
    "infarct": "#ff7a1a",
    "cavity": "#45c1ff",
    "new_lesion": "#f0e442",
    "automatic": "#ff9ec4",
    "baseline infarct": "#d68fff",
    "true infarct": "#2fd6a3",
}
_SPARE_COLOURS = ("#f0e442", "#2fd6a3", "#ff9ec4", "#ffffff")

Kind = Literal["png", "svg", "jpeg"]
_KINDS: dict[str, Kind] = {".svg": "svg", ".jpg": "jpeg", ".jpeg": "jpeg"}

P = ParamSpec("P")
R = TypeVar("R")


def house_style(function: Callable[P, R]) -> Callable[P, R]:
    """Run a drawing function under one fixed style, whatever the user's matplotlib is set to."""

    @functools.wraps(function)
    def styled(*args: P.args, **kwargs: P.kwargs) -> R:
        with matplotlib.style.context(
            ["default", {"font.size": 9, "text.color": INK, "axes.unicode_minus": True}]
        ):
            return function(*args, **kwargs)

    return styled


def colour_of(name: str, position: int = 0) -> str:
    """Return the fixed colour of a named contour; unknown names take a spare one by position."""
    return COLOURS.get(name, _SPARE_COLOURS[position % len(_SPARE_COLOURS)])


class Picture(Figure):
    """A matplotlib figure of a stated size in pixels; shows itself in a notebook.

    Parameters
    ----------
    width_px, height_px
        Size in pixels at 100 dots per inch.
    background
        Colour behind everything.
    """

    def __init__(self, width_px: float, height_px: float, *, background: str = PAPER) -> None:
        super().__init__(figsize=(width_px / DPI, height_px / DPI), dpi=DPI, facecolor=background)
        FigureCanvasAgg(self)

    @house_style
    def to_bytes(self, *, kind: Kind = "png", scale: float = 1.0) -> bytes:
        """Return the picture as PNG, SVG or JPEG without time or software marks, so that bytes repeat."""
        buffer = io.BytesIO()
        if kind == "png":
            self.savefig(buffer, format="png", dpi=DPI * scale, metadata={"Software": None})
        elif kind == "svg":
            # without a fixed salt the ids in the file would be drawn by chance
            with matplotlib.rc_context({"svg.hashsalt": "infarct-vol"}):
                self.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
        else:
            # no chroma subsampling: it would smear a contour one pixel wide
            options = {"quality": 75, "subsampling": 0, "optimize": True}
            self.savefig(buffer, format="jpeg", dpi=DPI * scale, pil_kwargs=options)
        return buffer.getvalue()

    def save(self, path: Path | str, *, scale: float = 1.0) -> Path:
        """Write the picture as its name says (``.png``, ``.svg``, ``.jpg``) and return the path."""
        path = Path(path)
        write_bytes(self.to_bytes(kind=_KINDS.get(path.suffix.lower(), "png"), scale=scale), path)
        return path

    def _repr_png_(self) -> bytes:
        return self.to_bytes()


@dataclass(frozen=True)
class Placed:
    """Where a slice was put on a sheet: left and top in pixels, size of its pixels on the sheet."""

    left: float
    top: float
    column_px: float
    row_px: float

    def extent(self, shape: tuple[int, ...]) -> tuple[float, float, float, float]:
        """Left, right, bottom and top of a slice of (rows, columns), in pixels of the sheet."""
        rows, columns = shape
        return self.left, self.left + columns * self.column_px, self.top + rows * self.row_px, self.top


def _fitted(
    shape: tuple[int, ...], pixel_mm: tuple[float, float], box: tuple[float, float, float, float]
) -> Placed:
    left, top, width, height = box
    rows, columns = shape
    px_per_mm = min(width / (columns * pixel_mm[1]), height / (rows * pixel_mm[0]))
    column_px, row_px = px_per_mm * pixel_mm[1], px_per_mm * pixel_mm[0]
    left += (width - columns * column_px) / 2
    top += (height - rows * row_px) / 2
    return Placed(left, top, column_px, row_px)


def colour_map(colours: Sequence[str], *, stepped: bool = False) -> Colormap:
    """Return the map through the colours named, or one colour a step."""
    if stepped:
        return ListedColormap(list(colours))
    return LinearSegmentedColormap.from_list("ramp", list(colours))


class Sheet:
    """A dark sheet in pixel coordinates (origin top left) on which slices and text are placed."""

    def __init__(self, width_px: float, height_px: float) -> None:
        self.picture = Picture(width_px, height_px, background=FILM)
        self.axes: Axes = self.picture.add_axes((0.0, 0.0, 1.0, 1.0))
        self.axes.set_axis_off()
        self.width_px, self.height_px = width_px, height_px

    def image(
        self,
        pixels: NDArray[np.float32],
        *,
        pixel_mm: tuple[float, float],
        box: tuple[float, float, float, float],
        window: tuple[float, float],
        smooth: bool = False,
    ) -> Placed:
        """Place (rows, columns) intensities in a box (left, top, width, height), true to millimetres."""
        placed = _fitted(pixels.shape, pixel_mm, box)
        self.axes.imshow(
            np.nan_to_num(pixels),
            cmap="gray",
            vmin=window[0],
            vmax=window[1],
            extent=placed.extent(pixels.shape),
            interpolation="antialiased" if smooth else "nearest",
            aspect="auto",
        )
        return placed

    def colours(
        self,
        values: NDArray[np.generic],
        *,
        pixel_mm: tuple[float, float],
        box: tuple[float, float, float, float],
        limits: tuple[float, float],
        colours: Sequence[str],
        stepped: bool = False,
    ) -> Placed:
        """Place (rows, columns) values as colours from the lower to the upper limit; NaN stays dark.

        ``stepped`` gives each whole number from the lower limit on its own colour.
        """
        placed = _fitted(values.shape, pixel_mm, box)
        self.axes.imshow(
            np.ma.masked_invalid(values),
            cmap=colour_map(colours, stepped=stepped),
            vmin=limits[0],
            vmax=limits[1],
            extent=placed.extent(values.shape),
            interpolation="nearest",
            aspect="auto",
        )
        return placed

    def bar(self, box: tuple[float, float, float, float], *, colours: Sequence[str]) -> None:
        """Draw a horizontal colour bar (left, top, width, height) from the lowest to the highest value."""
        left, top, width, height = box
        ramp = np.linspace(0, 1, 128)[np.newaxis]
        extent = (left, left + width, top + height, top)
        self.axes.imshow(ramp, cmap=colour_map(colours), extent=extent, aspect="auto")

    def patch(self, box: tuple[float, float, float, float], *, colour: str) -> None:
        """Draw a filled rectangle (left, top, width, height)."""
        self.axes.add_patch(Rectangle(box[:2], box[2], box[3], fc=colour, ec="none"))

    def outline(
        self,
        mask: NDArray[np.bool_],
        placed: Placed,
        *,
        colour: str,
        width: float = 0.8,
        dashed: bool = False,
    ) -> None:
        """Draw the voxel edges of a (rows, columns) mask over a placed slice, unfilled.

        ``dashed`` draws every other voxel edge.
        """
        segments = outline_segments(mask)
        if dashed:
            # the first ends of neighbouring edges differ by one in one coordinate
            segments = segments[segments[:, 0].sum(axis=1) % 2 == 0]
        if not len(segments):
            return
        scaled = segments * (placed.column_px, placed.row_px) + (placed.left, placed.top)
        lines = LineCollection(list(scaled), colors=colour, linewidths=width, capstyle="projecting")
        self.axes.add_collection(lines, autolim=False)

    def frame(self, box: tuple[float, float, float, float], *, colour: str, dashed: bool = False) -> None:
        """Draw an empty rectangle (left, top, width, height)."""
        style = (0, (3, 2)) if dashed else "solid"
        self.axes.add_patch(
            Rectangle(box[:2], box[2], box[3], fill=False, ec=colour, lw=0.8, linestyle=style)
        )

    def text(
        self,
        words: str,
        x: float,
        y: float,
        *,
        size: float = 8.0,
        colour: str = "#c8d0d9",
        align: Literal["left", "center", "right"] = "left",
        bold: bool = False,
    ) -> None:
        """Write a line with its vertical middle at ``y``; markup characters stay as they are."""
        self.axes.text(
            x,
            y,
            words,
            fontsize=size,
            color=colour,
            ha=align,
            va="center_baseline",
            fontweight="bold" if bold else "normal",
            parse_math=False,
        )

    def finish(self) -> Picture:
        """Fix the pixel coordinates and return the picture."""
        self.axes.set_xlim(0, self.width_px)
        self.axes.set_ylim(self.height_px, 0)
        return self.picture


def outline_segments(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the voxel edges around a (rows, columns) mask as (N, 2, 2) points (column, row)."""
    padded = np.pad(mask, 1)
    row, column = np.nonzero(padded[1:-1, :-1] != padded[1:-1, 1:])
    upright = np.stack([np.stack([column, row], 1), np.stack([column, row + 1], 1)], 1)
    row, column = np.nonzero(padded[:-1, 1:-1] != padded[1:, 1:-1])
    level = np.stack([np.stack([column, row], 1), np.stack([column + 1, row], 1)], 1)
    return np.concatenate([upright, level]).astype(np.float64)

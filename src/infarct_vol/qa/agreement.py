"""Charts of agreement: differences against means (Bland-Altman), and one measurement against the other.

Groups are told apart by the shape and the filling of their symbols, so that a grey print says the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike, NDArray

from infarct_vol.qa.figures import INK, MUTED, PAPER, Picture, house_style
from infarct_vol.qa.trajectories import clean_axes, cube_root_axes, cube_root_axis

# (marker, edge, face): a group of cases keeps its symbol in both charts
_SYMBOLS = (("o", "#0072b2", "#0072b2"), ("^", "#c2500a", PAPER), ("s", INK, "#d5dbe1"), ("D", INK, PAPER))
_CHART_HEIGHT_PX = 420


class Level(NamedTuple):
    """A level line of the difference chart with the interval drawn as a band, in mL."""

    name: str
    value: float
    low: float
    high: float


@house_style
def difference_chart(
    reference_ml: ArrayLike,
    compared_ml: ArrayLike,
    *,
    levels: Sequence[Level] = (),
    groups: Sequence[str] | None = None,
    title: str = "",
) -> Picture:
    """Draw the difference of paired volumes against their mean (Bland and Altman 1986).

    Parameters
    ----------
    reference_ml, compared_ml
        (n,) volumes in mL; the difference is compared minus reference.
    levels
        Bias and limits of agreement with their intervals.
    groups
        (n,) name of the group of each case; each gets a symbol of its own.
    title
        Headline.
    """
    picture, axes = _chart(title, width_px=640, right_px=130)
    reference, compared = _volumes(reference_ml), _volumes(compared_ml)
    axes.axhline(0, color="#8b95a1", lw=0.9)
    for at, level in enumerate(levels):
        axes.axhspan(level.low, level.high, color="#5f6b7a", alpha=0.16, lw=0)
        axes.axhline(level.value, color=INK, lw=1.1, ls="-" if at == 0 else (0, (5, 3)))
        axes.annotate(
            f"{level.name}: {level.value:+.3g}".replace("-", "\N{MINUS SIGN}"),
            (1.01, level.value),
            xycoords=("axes fraction", "data"),
            va="center",
            fontsize=8,
            color=INK,
            annotation_clip=False,
        )
    mean = (reference + compared) / 2
    axes.set_xlim(cube_root_axis(axes.xaxis, most_ml=float(mean.max(initial=0.0))))
    _points(axes, np.cbrt(mean), compared - reference, groups)
    axes.set_xlabel(
        "mean of both volumes, mL (cube-root scale; bands: 95 % intervals)", color=MUTED, fontsize=8.5
    )
    axes.set_ylabel("compared minus reference, mL", color=MUTED, fontsize=8.5)
    return picture


@house_style
def equality_chart(
    reference_ml: ArrayLike,
    compared_ml: ArrayLike,
    *,
    groups: Sequence[str] | None = None,
    title: str = "",
) -> Picture:
    """Draw compared against reference volumes with the line of equality; parameters as `difference_chart`."""
    picture, axes = _chart(title, width_px=400, right_px=30)
    reference, compared = _volumes(reference_ml), _volumes(compared_ml)
    axes.set_box_aspect(1)
    cube_root_axes(axes, most_ml=float(max(reference.max(initial=0.0), compared.max(initial=0.0))))
    _points(axes, np.cbrt(reference), np.cbrt(compared), groups)
    axes.set_xlabel("reference, mL (cube-root scale; dashed: 20 % off)", color=MUTED, fontsize=8.5)
    axes.set_ylabel("compared, mL", color=MUTED, fontsize=8.5)
    return picture


def _chart(title: str, *, width_px: int, right_px: int) -> tuple[Picture, Axes]:
    """Return a picture and its axes, which end ``right_px`` before its right border."""
    picture = Picture(width_px, _CHART_HEIGHT_PX)
    left = 64 / width_px
    axes = picture.add_axes((left, 0.15, 1 - left - right_px / width_px, 0.73))
    clean_axes(axes)
    axes.set_title(title, loc="left", fontsize=10, fontweight="bold", parse_math=False)
    return picture, axes


def _volumes(values: ArrayLike) -> NDArray[np.float64]:
    return np.asarray(values, dtype=np.float64)


def _points(axes: Axes, x: NDArray[np.float64], y: NDArray[np.float64], groups: Sequence[str] | None) -> None:
    named = list(groups) if groups is not None else [""] * len(x)
    handles: list[Line2D] = []
    for position, name in enumerate(sorted(set(named))):
        marker, edge, face = _SYMBOLS[position % len(_SYMBOLS)]
        own = np.array([group == name for group in named], dtype=np.bool_)
        handles += axes.plot(
            x[own],
            y[own],
            ls="none",
            marker=marker,
            ms=5.5,
            mec=edge,
            mfc=face,
            mew=1.1,
            alpha=0.85,
            label=name,
        )
    if len(handles) > 1:
        axes.legend(handles=handles, loc="upper left", fontsize=8, framealpha=0.9, edgecolor="#e7eaee")

"""Picture of change from baseline by visit: every point, median with quartiles, mean with its interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from numpy.typing import NDArray

from infarct_vol.qa.endpoint.marks import (
    ArmStyle,
    arm_styles,
    count_words,
    headline,
    marked,
    nothing_drawn,
    one_line,
    point_look,
    rank_spread,
    signed,
    with_arm,
)
from infarct_vol.qa.figures import INK, MUTED, PAPER, Picture, house_style
from infarct_vol.qa.trajectories import clean_axes
from infarct_vol.qa.wording import PARAMETER_LABELS, visit_label
from infarct_vol.settings import ANALYSED_VISITS
from infarct_vol.statistics.descriptive import described
from infarct_vol.tables.randomization import ALL_ARMS

FOLLOW_UPS = ANALYSED_VISITS[1:]
CUT_PERCENT = 200.0
"""Percent change above which a bar or point is drawn cut, with its number written."""
_CUT_AT = 1.04 * CUT_PERCENT
_MOST_NUMBERS = 6
Column = Literal["change_ml", "percent_change"]


class _Look(NamedTuple):
    """What a panel's points depend on: how many participants, and whether high values are cut."""

    participants: int
    cut: bool


@house_style
def change_by_visit(
    change: pd.DataFrame, *, arms: Mapping[str, str] | None = None, parameter: str = "infarct"
) -> Picture:
    """Draw change in mL and in percent by visit: points, median with quartiles, mean with 95 % interval.

    Quartiles are SAS definition 5 and the interval of the mean is Student's, as in the summary table.

    Parameters
    ----------
    change
        Rows of ``change_from_baseline.csv``; rows without a number are counted, not drawn.
    arms
        Participant -> arm; None keeps the trial blinded.
    parameter
        Which parameter is drawn.
    """
    styles = arm_styles(arms)
    rows = with_arm(change[change["parameter"] == parameter], arms)
    label = PARAMETER_LABELS.get(parameter, parameter)
    if not rows["change_ml"].notna().any():
        return nothing_drawn(f"no change from baseline of {label} could be computed", arms)
    picture = Picture(1080, 470 + 15 * len(styles))
    panels = picture.subplots(1, 2)
    bottom = 0.11 + 0.03 * len(styles)
    picture.subplots_adjust(
        left=0.06, right=0.99, top=0.86 if len(styles) <= 2 else 0.82, bottom=bottom, wspace=0.14
    )
    columns: tuple[tuple[Column, str], ...] = (("change_ml", "mL"), ("percent_change", "%"))
    for axes, (column, unit) in zip(panels, columns, strict=True):
        _change_panel(axes, rows, column, styles)
        axes.set_ylabel(f"change from baseline, {unit}", color=MUTED, fontsize=8.5)
        axes.set_xlabel("participants with a change, of all; nothing is imputed", color=MUTED, fontsize=8.5)
    headline(panels[0], f"Change of {label}, mL")
    headline(panels[1], f"Change of {label}, percent of baseline")
    _change_legend(picture, styles)
    return marked(picture, arms)


def _change_panel(axes: Axes, rows: pd.DataFrame, column: Column, styles: Sequence[ArmStyle]) -> None:
    clean_axes(axes)
    axes.axhline(0, color="#8b95a1", lw=0.9)
    total = {arm.name: rows[rows["arm"] == arm.name]["participant_id"].nunique() for arm in styles}
    look = _Look(participants=rows["participant_id"].nunique(), cut=column == "percent_change")
    valued = rows[rows[column].notna()]
    slot, labels = 0.84 / len(styles), []
    for at, visit in enumerate(FOLLOW_UPS):
        own = valued[valued["visit"] == visit]
        found = {arm.name: int((own["arm"] == arm.name).sum()) for arm in styles}
        labels.append(f"{visit_label(visit)}\n{count_words(total, found, styles)}")
        for place, arm in enumerate(styles):
            middle = at + (place - (len(styles) - 1) / 2) * slot
            values = np.sort(own.loc[own["arm"] == arm.name, column].to_numpy(dtype=float))
            if len(values):
                _distribution(axes, values, arm, middle=middle, slot=slot, look=look)
    axes.set_xticks(range(len(FOLLOW_UPS)), labels)
    axes.set_xlim(-0.5, len(FOLLOW_UPS) - 0.5)
    if look.cut:
        _cut_note(axes, valued[column].to_numpy(dtype=float))


def _distribution(
    axes: Axes, values: NDArray[np.float64], arm: ArmStyle, *, middle: float, slot: float, look: _Look
) -> None:
    """Draw one arm at one visit: points on the left, quartiles in the middle, mean on the right."""
    shown = np.minimum(values, _CUT_AT) if look.cut else values
    x = middle + slot * (0.42 * rank_spread(values) - 0.2)
    axes.scatter(x, shown, marker=arm.marker, **point_look(arm, look.participants))
    found = described(values)
    left, width = middle + 0.1 * slot, 0.13 * slot
    if found.q1 is not None and found.q3 is not None and found.median is not None:
        box: dict[str, Any] = {"fc": "#dfe4ea", "ec": INK, "lw": 0.8, "hatch": arm.hatch, "zorder": 3}
        axes.add_patch(Rectangle((left, found.q1), width, found.q3 - found.q1, **box))
        axes.plot([left - 0.015, left + width + 0.015], [found.median] * 2, color=INK, lw=2.4, zorder=4)
    at = middle + 0.34 * slot
    if found.mean_low is not None and found.mean_high is not None:
        axes.plot([at, at], [found.mean_low, found.mean_high], color=INK, lw=1.3, zorder=3)
        for end in (found.mean_low, found.mean_high):
            axes.plot([at - 0.02, at + 0.02], [end, end], color=INK, lw=1.3, zorder=3)
    if found.mean is not None:
        axes.plot([at], [found.mean], marker="D", ms=6.5, mfc=arm.face, mec=INK, mew=1.2, ls="none", zorder=5)


def _cut_note(axes: Axes, values: NDArray[np.float64]) -> None:
    """Keep the percent axis readable and say which values stand beyond it."""
    beyond = np.sort(values[values > CUT_PERCENT])[::-1]
    if not beyond.size:
        return
    low, _ = axes.get_ylim()
    axes.set_yticks([tick for tick in axes.get_yticks() if tick <= CUT_PERCENT])
    axes.set_ylim(max(low, -1.1 * CUT_PERCENT), 1.22 * CUT_PERCENT)
    numbers = ", ".join(signed(value) for value in beyond[:_MOST_NUMBERS])
    more = " and more" if beyond.size > _MOST_NUMBERS else ""
    words = f"drawn at +{CUT_PERCENT:.0f} %: {numbers}{more} ({beyond.size}); mean and median use the numbers"
    look: dict[str, Any] = {"ha": "right", "va": "top", "fontsize": 7.5, "color": MUTED, "zorder": 6}
    box = {"fc": PAPER, "ec": "none", "pad": 1.5}
    axes.text(0.995, 0.985, words, transform=axes.transAxes, bbox=box, **look)


def _change_legend(picture: Picture, styles: Sequence[ArmStyle]) -> None:
    blinded = styles[0].name == ALL_ARMS
    handles: list[Line2D | Patch] = []
    for arm in styles:
        words = "one participant" if blinded else one_line(arm.name, most=16)
        look: dict[str, Any] = {"color": arm.colour, "mfc": arm.face, "mew": 1.0, "ms": 5, "ls": "none"}
        handles.append(Line2D([], [], marker=arm.marker, label=words, **look))
    boxes = [(styles[0], "median and quartiles")] if blinded else [(arm, "") for arm in styles]
    for arm, words in boxes:
        name = words or f"{one_line(arm.name, most=16)}: median, quartiles"
        handles.append(Patch(fc="#dfe4ea", ec=INK, lw=0.8, hatch=arm.hatch, label=name))
    face = styles[0].face if blinded else PAPER
    mean: dict[str, Any] = {"marker": "D", "color": INK, "mfc": face, "ms": 6, "lw": 1.3}
    handles.append(Line2D([], [], label="mean with 95 % interval", **mean))
    picture.legend(
        handles=handles, loc="upper left", ncols=5 if len(styles) <= 2 else 4, frameon=False, fontsize=8
    )

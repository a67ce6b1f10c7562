"""Picture of percent change at one visit, a bar a participant, sorted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Patch

from infarct_vol.qa.endpoint.change import CUT_PERCENT
from infarct_vol.qa.endpoint.marks import (
    LARGE_N,
    ArmStyle,
    arm_styles,
    headline,
    marked,
    nothing_drawn,
    one_line,
    signed,
    with_arm,
)
from infarct_vol.qa.figures import INK, MUTED, PAPER, Picture, house_style
from infarct_vol.qa.trajectories import clean_axes
from infarct_vol.qa.wording import PARAMETER_LABELS, STATUS_LABELS, visit_label
from infarct_vol.records import VALUED_STATUSES
from infarct_vol.tables.randomization import ALL_ARMS

_MOST_NAMED = 60
_MOST_MIXED = 150
"""Bars above which the arms stand side by side: narrower bars show no hatch."""


@house_style
def waterfall(
    change: pd.DataFrame,
    *,
    arms: Mapping[str, str] | None = None,
    visit: str = "month6",
    parameter: str = "infarct",
) -> Picture:
    """Draw each participant's percent change at one visit as a bar, largest growth first.

    Parameters
    ----------
    change
        Rows of ``change_from_baseline.csv``.
    arms
        Participant -> arm; None keeps the trial blinded.
    visit
        The visit; participants without a value there are counted by kind, not drawn.
    parameter
        Which parameter is drawn.
    """
    styles = arm_styles(arms)
    rows = with_arm(change[(change["parameter"] == parameter) & (change["visit"] == visit)], arms)
    label = PARAMETER_LABELS.get(parameter, parameter)
    note = absence_note(rows)
    bars = rows[rows["percent_change"].notna()]
    if bars.empty:
        words = f"no percent change of {label} at {visit_label(visit)}"
        return nothing_drawn(f"{words}; {note}" if note else words, arms)
    bars = bars.sort_values(["percent_change", "participant_id"], ascending=[False, True], kind="stable")
    named = len(bars) <= _MOST_NAMED
    picture = Picture(1080, 490 if named else 430)
    axes = picture.add_axes((0.06, 0.25 if named else 0.13, 0.93, 0.6 if named else 0.71))
    clean_axes(axes)
    _bars(axes, bars, styles, named=named)
    axes.axhline(0, color=INK, lw=0.9)
    axes.set_ylabel("change from baseline, % of baseline", color=MUTED, fontsize=8.5)
    headline(axes, f"Percent change of {label} at {visit_label(visit)}: n = {len(bars)}")
    if note:
        picture.text(0.06, 0.02, note, fontsize=8.5, color=INK, va="bottom")
    _legend(picture, styles)
    return marked(picture, arms)


def absence_note(rows: pd.DataFrame) -> str:
    """Say how many participants have no percent change at a visit, by kind; empty where all have one.

    Parameters
    ----------
    rows
        Rows of ``change_from_baseline.csv`` of one visit and parameter.
    """
    absent = rows[rows["percent_change"].isna()]
    if absent.empty:
        return ""
    kinds = Counter(_why_absent(row) for row in absent.to_dict("records"))
    parts = [f"{count} {kind}" for kind, count in sorted(kinds.items(), key=lambda k: (-k[1], k[0]))]
    return f"n = {len(absent)} without a value: {', '.join(parts)}"


def _why_absent(row: Mapping[Any, Any]) -> str:
    status, baseline = str(row["status"]), str(row["baseline_status"])
    if status not in VALUED_STATUSES:
        return STATUS_LABELS.get(status, status)
    if baseline not in VALUED_STATUSES:
        return f"baseline {STATUS_LABELS.get(baseline, baseline)}"
    return "baseline 0 mL" if row["baseline_volume_ml"] == 0 else "not computed"


def _bars(axes: Axes, bars: pd.DataFrame, styles: Sequence[ArmStyle], *, named: bool) -> None:
    """Draw the bars: all mixed while they can be told apart, otherwise arm beside arm."""
    if len(bars) <= _MOST_MIXED:
        _mixed(axes, bars, styles)
    else:
        _side_by_side(axes, bars, styles)
    values = bars["percent_change"].to_numpy(dtype=float)
    shown = np.minimum(values, CUT_PERCENT)
    # room for the numbers above cut bars
    high = 1.28 * CUT_PERCENT if (values > CUT_PERCENT).any() else max(10.0, 1.1 * float(shown.max()))
    low = min(-10.0, 1.1 * float(shown.min()))
    axes.set_ylim(low, high)
    axes.set_yticks([tick for tick in axes.get_yticks() if low <= tick <= min(high, CUT_PERCENT)])
    if named:
        names = [one_line(name, most=16) for name in bars["participant_id"]]
        axes.set_xticks(range(len(bars)), names, rotation=90, fontsize=7, parse_math=False)
    elif len(bars) <= _MOST_MIXED:
        axes.set_xticks([])


def _mixed(axes: Axes, bars: pd.DataFrame, styles: Sequence[ArmStyle]) -> None:
    values = bars["percent_change"].to_numpy(dtype=float)
    shown = np.minimum(values, CUT_PERCENT)
    places = np.arange(len(bars))
    for arm in styles:
        own = (bars["arm"] == arm.name).to_numpy()
        axes.bar(places[own], shown[own], width=0.78, **_bar_look(arm))
    for place in np.flatnonzero(values > CUT_PERCENT).tolist():
        middle = 0.93 * CUT_PERCENT
        axes.plot([place - 0.45, place + 0.45], [middle - 3, middle + 3], color=PAPER, lw=3, zorder=4)
        words = f"{signed(values[place])} %"
        axes.text(place, CUT_PERCENT + 5, words, ha="center", va="bottom", rotation=90, fontsize=7.5)
    axes.set_xlim(-0.8, max(len(bars) - 0.2, 5.0))


def _side_by_side(axes: Axes, bars: pd.DataFrame, styles: Sequence[ArmStyle]) -> None:
    start, gap = 0.0, 0.03 * len(bars)
    ticks, labels = [], []
    for arm in styles:
        values = bars.loc[bars["arm"] == arm.name, "percent_change"].to_numpy(dtype=float)
        if not len(values):
            continue
        edges = start + np.arange(len(values) + 1)
        shown = np.minimum(values, CUT_PERCENT)
        look = {**_bar_look(arm), "rasterized": len(bars) > LARGE_N, "lw": 0.5}
        axes.fill_between(edges, np.append(shown, shown[-1]), step="post", **look)
        name = "all arms pooled" if arm.name == ALL_ARMS else one_line(arm.name, most=24)
        ticks.append(float(start + len(values) / 2))
        labels.append(f"{name}, n = {len(values)}{_cut_words(values)}")
        start = float(edges[-1]) + gap
    axes.set_xticks(ticks, labels, fontsize=8.5, parse_math=False)
    axes.tick_params(axis="x", length=0)
    axes.set_xlim(-gap / 2, start - gap / 2)


def _cut_words(values: np.ndarray[Any, np.dtype[np.float64]]) -> str:
    beyond = int((values > CUT_PERCENT).sum())
    if not beyond:
        return ""
    return f" ({beyond} drawn cut at +{CUT_PERCENT:.0f} %, largest {signed(float(values.max()))} %)"


def _bar_look(arm: ArmStyle) -> dict[str, Any]:
    return {"fc": arm.colour, "ec": PAPER if arm.colour != "#e69f00" else INK, "lw": 0.4, "hatch": arm.hatch}


def _legend(picture: Picture, styles: Sequence[ArmStyle]) -> None:
    if styles[0].name == ALL_ARMS:
        return
    handles = [Patch(label=one_line(arm.name, most=24), **_bar_look(arm)) for arm in styles]
    picture.legend(handles=handles, loc="upper left", ncols=4, frameon=False, fontsize=8.5, handlelength=2.6)

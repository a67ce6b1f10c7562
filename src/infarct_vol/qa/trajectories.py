"""Charts: a participant's volumes over time, change of the whole trial, measured against true volumes.

A missing visit, a failed scan and a lesion that cannot be measured have symbols of their own; none of
them is drawn as a volume.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.lines import Line2D

from infarct_vol.qa.figures import INK, MUTED, Picture, house_style
from infarct_vol.qa.wording import PARAMETER_LABELS, STATUS_LABELS, has_value, visit_label, visit_rank
from infarct_vol.records import VALUED_STATUSES

# Okabe-Ito (Color Universal Design, 2008) on white
PARAMETER_COLOURS = {
    "infarct": "#c2500a",
    "infarct_flair": "#6a5acd",
    "infarct_dwi": "#8a5a9e",
    "cavity": "#1587c9",
    "new_lesion": "#8a7a00",
}
# ordered so that neighbours differ in lightness: a grey print tells them apart
ARM_COLOURS = ("#0072b2", "#e69f00", "#000000", "#cc79a7")
# (marker, colour, word): three kinds of nothing and an exclusion must not look alike
ABSENT_SYMBOLS = {
    "missing": ("x", "#5f6b7a"),
    "failed": ("^", "#b3261e"),
    "not_measurable": ("D", "#8a5a9e"),
    "excluded": ("s", "#5f6b7a"),
}
_MODALITY_MARKERS = {"dwi": "o", "flair": "s"}
TARGET_DAYS: Mapping[str, int] = {"baseline": 1, "month1": 31, "month3": 91, "month6": 181}


def clean_axes(axes: Axes) -> None:
    """Give a chart the plain frame of the house: two sides and level lines."""
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color("#b6bec8")
    axes.tick_params(colors=MUTED, labelsize=8)
    axes.grid(axis="y", color="#e7eaee", linewidth=0.8)
    axes.set_axisbelow(True)


@house_style
def participant_trajectory(
    volumes: pd.DataFrame,
    *,
    parameters: Sequence[str] = ("infarct", "infarct_flair", "cavity"),
    target_days: Mapping[str, int] | None = None,
    title: str = "",
) -> Picture:
    """Draw one participant's volumes in mL against study day.

    Parameters
    ----------
    volumes
        Rows of ``volumes.csv`` of one participant.
    parameters
        Which to draw, each as a line of its own; error bars run from ``volume_ml_low`` to
        ``volume_ml_high``. A line is dotted where its ends come from different modalities and broken
        where a visit has no value.
    target_days
        Visit to study day, for visits without a date.
    title
        Headline.
    """
    picture = Picture(860, 330)
    axes = picture.add_axes((0.075, 0.14, 0.66, 0.74))
    clean_axes(axes)
    table = _with_days(volumes, target_days or TARGET_DAYS)
    shown = [name for name in parameters if (table["parameter"] == name).any()]
    handles: list[Line2D] = []
    for name in sorted(shown, key=lambda name: name == "infarct"):
        rows = table[table["parameter"] == name].sort_values("day")
        if name != "infarct" and not rows["status"].isin(VALUED_STATUSES).any():
            continue
        handles.append(_series(axes, rows, name))
    handles += _absences(axes, table)
    _day_axis(axes, table)
    handles.sort(key=lambda line: str(line.get_label()) != PARAMETER_LABELS["infarct"])
    axes.set_ylim(bottom=0)
    axes.set_ylabel("volume, mL", color=MUTED, fontsize=8.5)
    axes.set_title(title, loc="left", fontsize=10, fontweight="bold", parse_math=False)
    handles += _modality_handles(table)
    axes.legend(handles=handles, loc="upper left", bbox_to_anchor=(1.01, 1.02), frameon=False, fontsize=8)
    return picture


def _with_days(volumes: pd.DataFrame, target_days: Mapping[str, int]) -> pd.DataFrame:
    """Return the rows with a place on the time axis: the study day, else the visit's target day."""
    table = volumes.copy()
    days = pd.to_numeric(table["study_day"], errors="coerce")
    targets = table["visit"].map(lambda visit: target_days.get(visit, 31 * visit_rank(visit)))
    return table.assign(day=days.fillna(targets.astype(float)))


def _series(axes: Axes, rows: pd.DataFrame, name: str) -> Line2D:
    colour = PARAMETER_COLOURS.get(name, INK)
    # at follow-up both infarct series are one number: the FLAIR one is drawn wide, to be seen underneath
    lw, alpha, ms = (5.0, 0.4, 9.0) if name == "infarct_flair" else (1.6, 1.0, 6.0)
    before: tuple[float, float, str] | None = None
    for row in rows.to_dict("records"):
        value, day, modality = row["volume_ml"], float(row["day"]), str(row["modality"] or "").lower()
        if row["status"] not in VALUED_STATUSES or not has_value(value):
            before = None
            continue
        if before is not None:
            style = "-" if before[2] == modality else (0, (1, 1.6))
            axes.plot([before[0], day], [before[1], value], color=colour, lw=lw, alpha=alpha, ls=style)
        low, high = row.get("volume_ml_low"), row.get("volume_ml_high")
        if has_value(low) and has_value(high):
            bars = [[max(0.0, value - low)], [max(0.0, high - value)]]
            axes.errorbar([day], [value], yerr=bars, color=colour, lw=1, capsize=3, fmt="none", alpha=0.75)
        marker = _MODALITY_MARKERS.get(modality, "o")
        axes.plot([day], [value], marker=marker, ms=ms, alpha=alpha, color=colour, mec="white", mew=0.9)
        before = (day, float(value), modality)
    return Line2D([], [], color=colour, lw=lw, alpha=alpha, label=PARAMETER_LABELS.get(name, name))


def _absences(axes: Axes, table: pd.DataFrame) -> list[Line2D]:
    """Mark visits without a value under the zero line, and return what the symbols mean."""
    primary = table[table["parameter"] == "infarct"]
    handles = {}
    for row in primary.to_dict("records"):
        status = str(row["status"])
        if status not in ABSENT_SYMBOLS:
            continue
        marker, colour = ABSENT_SYMBOLS[status]
        word = STATUS_LABELS[status]
        transform = axes.get_xaxis_transform()
        axes.axvline(row["day"], color=colour, lw=0.8, ls=(0, (2, 3)), alpha=0.7)
        symbol: dict[str, Any] = {"marker": marker, "ms": 7, "color": colour, "mew": 1.6, "ls": "none"}
        axes.plot([row["day"]], [0.055], transform=transform, clip_on=False, zorder=5, **symbol)
        axes.text(row["day"], 0.12, word, transform=transform, ha="center", fontsize=7.5, color=colour)
        handles[status] = Line2D([], [], label=f"no value: {word}", **symbol)
    return list(handles.values())


def _modality_handles(table: pd.DataFrame) -> list[Line2D]:
    style: dict[str, Any] = {"color": MUTED, "ls": "none", "ms": 5}
    found = {str(m).lower() for m in table["modality"].dropna()}
    handles = [
        Line2D([], [], marker=marker, label=f"measured on {name.upper()}", **style)
        for name, marker in _MODALITY_MARKERS.items()
        if name in found
    ]
    if len(handles) > 1:
        handles.append(Line2D([], [], color=MUTED, lw=1.2, ls=(0, (1, 1.6)), label="modality changes"))
    return handles


def _day_axis(axes: Axes, table: pd.DataFrame) -> None:
    days = table.groupby("visit")["day"].first().sort_values()
    axes.set_xticks(days.to_numpy(), [f"{visit_label(str(v))}\nday {int(d)}" for v, d in days.items()])
    span = max(float(days.max() - days.min()), 1.0) if len(days) else 1.0
    if len(days):
        axes.set_xlim(days.min() - 0.07 * span, days.max() + 0.07 * span)


@house_style
def trial_change(
    change: pd.DataFrame,
    summary: pd.DataFrame,
    *,
    parameters: Sequence[str] = ("infarct", "infarct_flair"),
    column: Literal["change_ml", "percent_change"] = "change_ml",
) -> Picture:
    """Draw change from baseline by visit: every participant's points, median and quartiles.

    Parameters
    ----------
    change
        Rows of ``change_from_baseline.csv``: one grey line a participant.
    summary
        Rows of ``summary.csv``: median and quartiles, by arm if there are arms; the chart says BLINDED
        if there are none.
    parameters
        One panel each, where anything was measured.
    column
        What is drawn.
    """
    picture = Picture(980, 360)
    panels = [p for p in parameters if change.loc[change["parameter"] == p, column].notna().any()]
    if not panels:
        picture.text(0.5, 0.5, "no change from baseline could be computed", ha="center", color=MUTED)
        return picture
    grid = picture.subplots(1, len(panels), squeeze=False, sharey=True)[0]
    picture.subplots_adjust(left=0.075, right=0.985, top=0.86, bottom=0.13, wspace=0.06)
    arms = arms_of(summary)
    for axes, name in zip(grid, panels, strict=True):
        clean_axes(axes)
        rows = change[(change["parameter"] == name) & change[column].notna()]
        _change_panel(axes, rows, summary[summary["parameter"] == name], column, arms)
        axes.set_title(PARAMETER_LABELS.get(name, name), loc="left", fontsize=9.5, fontweight="bold")
    unit = "mL" if column == "change_ml" else "%"
    grid[0].set_ylabel(f"change from baseline, {unit}", color=MUTED, fontsize=8.5)
    handles = [Line2D([], [], color=_arm_colour(arms, arm), lw=3, label=arm) for arm in arms]
    if handles:
        grid[-1].legend(handles=handles, frameon=False, fontsize=8, loc="upper right")
    else:
        words = "BLINDED: all arms pooled"
        picture.text(0.985, 0.945, words, ha="right", fontsize=9, fontweight="bold", color="#8a1c13")
    return picture


def arms_of(summary: pd.DataFrame) -> list[str]:
    """Return the treatment arms of a summary, without the pooled one; none means blinded."""
    return sorted({str(arm) for arm in summary["arm"]} - {"all", ""})


def _arm_colour(arms: Sequence[str], arm: str) -> str:
    return ARM_COLOURS[arms.index(arm) % len(ARM_COLOURS)] if arm in arms else INK


def _change_panel(
    axes: Axes, rows: pd.DataFrame, summary: pd.DataFrame, column: str, arms: Sequence[str]
) -> None:
    visits = sorted(rows["visit"].unique(), key=visit_rank)
    place = {visit: at for at, visit in enumerate(visits)}
    axes.axhline(0, color="#8b95a1", lw=0.9)
    for _, own in rows.groupby("participant_id"):
        ordered = own.sort_values("visit", key=lambda v: v.map(visit_rank))
        x = ordered["visit"].map(place).to_numpy(dtype=float) - 0.1
        axes.plot(x, ordered[column], color="#6b7785", lw=0.7, alpha=0.55, marker="o", ms=4, mec="none")
    prefix = "change_" if column == "change_ml" else "percent_"
    shown = summary[summary["arm"].isin(arms or ["all", ""]) & summary["visit"].isin(visits)]
    for row in shown.to_dict("records"):
        low, middle, high = (row[f"{prefix}{name}"] for name in ("q1", "median", "q3"))
        if not has_value(middle):
            continue
        arm = str(row["arm"])
        x_middle = place[row["visit"]] + 0.08 + 0.13 * (arms.index(arm) if arm in arms else 0)
        colour = _arm_colour(arms, arm)
        axes.plot([x_middle, x_middle], [low, high], color=colour, lw=6, alpha=0.28, solid_capstyle="butt")
        axes.plot([x_middle - 0.05, x_middle + 0.05], [middle, middle], color=colour, lw=2.4)
    counts = rows.groupby("visit").size()
    axes.set_xticks(range(len(visits)), [f"{visit_label(v)}\nn = {counts[v]}" for v in visits])
    axes.set_xlim(-0.5, max(len(visits) - 0.5, 0.5))


@house_style
def measured_against_true(truth: pd.DataFrame) -> Picture:
    """Draw measured against true volumes with the line of equality (cube-root axes, zero included).

    Parameters
    ----------
    truth
        Columns ``visit``, ``parameter``, ``true_ml``, ``measured_ml``; rows without a measured value are
        left out of the chart.
    """
    picture = Picture(520, 400)
    axes = picture.add_axes((0.12, 0.13, 0.84, 0.82))
    clean_axes(axes)
    rows = truth[truth["true_ml"].notna() & truth["measured_ml"].notna()]
    for name, own in rows.groupby("parameter"):
        colour = PARAMETER_COLOURS.get(str(name), INK)
        label = PARAMETER_LABELS.get(str(name), str(name))
        style: dict[str, Any] = {"ls": "none", "marker": "o", "ms": 5, "mec": "white", "mew": 0.6}
        axes.plot(np.cbrt(own["true_ml"]), np.cbrt(own["measured_ml"]), color=colour, label=label, **style)
    cube_root_axes(axes, most_ml=float(rows[["true_ml", "measured_ml"]].max().max()) if len(rows) else 1.0)
    axes.set_xlabel("true volume, mL (cube-root scale; dashed: 20 % off)", color=MUTED, fontsize=8.5)
    axes.set_ylabel("measured volume, mL", color=MUTED, fontsize=8.5)
    axes.legend(frameon=False, fontsize=8, loc="lower right")
    return picture


def cube_root_axes(axes: Axes, *, most_ml: float) -> None:
    """Give a chart of volumes against volumes cube-root axes in mL, the line of equality and 20 % lines."""
    limits = cube_root_axis(axes.xaxis, most_ml=most_ml)
    cube_root_axis(axes.yaxis, most_ml=most_ml)
    line = np.linspace(0, limits[1], 50)
    axes.plot(line, line, color="#8b95a1", lw=0.9, zorder=0)
    for factor in (0.8, 1.2):
        axes.plot(line, line * np.cbrt(factor), color="#c8ced6", lw=0.8, ls=(0, (4, 3)), zorder=0)
    axes.set(xlim=limits, ylim=limits)


def cube_root_axis(axis: Axis, *, most_ml: float) -> tuple[float, float]:
    """Give an axis, whose values are cube roots of mL, its ticks in mL; return its limits for ``most_ml``."""
    ticks = [t for t in (0, 0.1, 1, 5, 20, 50, 100, 200, 300) if t <= most_ml * 1.1 or t == 0]
    axis.set_ticks(np.cbrt(ticks), [f"{t:g}" for t in ticks])
    limit = float(np.cbrt(max(most_ml, 0.1))) * 1.06
    return -0.04 * limit, limit

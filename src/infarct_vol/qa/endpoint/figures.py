"""Pictures of the endpoint: every participant's volumes, and the method against the mask that counts.

Change from baseline is drawn in `infarct_vol.qa.endpoint.change`, other outcomes in
`infarct_vol.qa.endpoint.outcomes`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.lines import Line2D

from infarct_vol.qa.agreement import Level, difference_chart
from infarct_vol.qa.endpoint.marks import (
    LARGE_N,
    ArmStyle,
    arm_styles,
    headline,
    marked,
    nothing_drawn,
    one_line,
    point_look,
    with_arm,
)
from infarct_vol.qa.figures import INK, MUTED, PAPER, Picture, house_style
from infarct_vol.qa.trajectories import TARGET_DAYS, clean_axes, cube_root_axis
from infarct_vol.qa.wording import PARAMETER_LABELS, visit_label
from infarct_vol.records import VALUED_STATUSES
from infarct_vol.settings import ANALYSED_VISITS
from infarct_vol.statistics.agreement import bland_altman
from infarct_vol.tables.randomization import ALL_ARMS

_MARKERS = {"dwi": "o", "flair": "s"}
_LEAST_PAIRS = 3


@house_style
def spaghetti(
    volumes: pd.DataFrame,
    *,
    arms: Mapping[str, str] | None = None,
    parameter: str = "infarct",
    target_days: Mapping[str, int] | None = None,
) -> Picture:
    """Draw volume in mL against study day, one line a participant, with the median of each visit.

    Volumes stand on a cube-root scale, on which 0.1 and 200 mL can be read and 0 mL has a place.

    Parameters
    ----------
    volumes
        Rows of ``volumes.csv``. A visit without a value is a gap in the line, never 0 mL.
    arms
        Participant -> arm; None keeps the trial blinded.
    parameter
        Which parameter is drawn.
    target_days
        Visit -> study day, for the names under the axis and for volumes without a date.
    """
    styles, targets = arm_styles(arms), dict(target_days or TARGET_DAYS)
    rows = with_arm(volumes[volumes["parameter"] == parameter], arms)
    drawn = _valued(rows, targets)
    label = PARAMETER_LABELS.get(parameter, parameter)
    if drawn.empty:
        return nothing_drawn(f"no volume of {label} was measured", arms)
    height_px = 480 + 17 * len(styles)
    picture = Picture(980, height_px)
    bottom = (76 + 17 * len(styles)) / height_px
    axes = picture.add_axes((0.065, bottom, 0.745, 0.91 - bottom))
    clean_axes(axes)
    for arm in styles:
        _lines(axes, drawn[drawn["arm"] == arm.name], arm, count=rows["participant_id"].nunique())
    for arm in styles:
        _medians(axes, drawn[drawn["arm"] == arm.name], arm)
    axes.set_ylim(cube_root_axis(axes.yaxis, most_ml=float(drawn["volume_ml"].max())))
    axes.set_ylabel("volume, mL (cube-root scale)", color=MUTED, fontsize=8.5)
    axes.set_xlabel("study day of the scan", color=MUTED, fontsize=8.5, labelpad=6 + 13 * len(styles))
    _visit_ticks(axes, rows, drawn, styles, targets)
    headline(axes, f"Volume of {label} by study day")
    _spaghetti_legend(axes, drawn, styles)
    return marked(picture, arms)


def _valued(rows: pd.DataFrame, targets: Mapping[str, int]) -> pd.DataFrame:
    """Return the volumes of the analysed visits with their day and rank, in the order of the lines."""
    ranks = {visit: at for at, visit in enumerate(ANALYSED_VISITS)}
    kept = rows[rows["status"].isin(VALUED_STATUSES) & rows["volume_ml"].notna() & rows["visit"].isin(ranks)]
    days = pd.to_numeric(kept["study_day"], errors="coerce").astype("float64")
    undated = kept["visit"].map(targets).astype("float64")
    table = kept.assign(day=days.fillna(undated), rank=kept["visit"].map(ranks), undated=days.isna())
    table["modality"] = table["modality"].fillna("").astype(str).str.lower()
    return table.sort_values(["participant_id", "rank"], kind="stable")


def _lines(axes: Axes, own: pd.DataFrame, arm: ArmStyle, *, count: int) -> None:
    """Draw one arm's lines and points; only visits that follow each other are joined."""
    points = np.column_stack([own["day"].to_numpy(), np.cbrt(own["volume_ml"].to_numpy(dtype=float))])
    name, rank = own["participant_id"].to_numpy(dtype=object), own["rank"].to_numpy(dtype=int)
    joined = (name[1:] == name[:-1]) & (np.diff(rank) == 1)
    segments = np.stack([points[:-1][joined], points[1:][joined]], axis=1)
    large = count > LARGE_N
    look: dict[str, Any] = {"linestyles": "solid" if large else [arm.line], "rasterized": large}
    opacity, width = (0.06, 0.5) if large else (0.55, 0.9)
    axes.add_collection(LineCollection(list(segments), colors=arm.colour, lw=width, alpha=opacity, **look))
    for modality in sorted(set(own["modality"])):
        chosen = (own["modality"] == modality).to_numpy()
        marker = _MARKERS.get(modality, "o")
        axes.scatter(points[chosen, 0], points[chosen, 1], marker=marker, **point_look(arm, count))


def _medians(axes: Axes, own: pd.DataFrame, arm: ArmStyle) -> None:
    """Draw the median volume of each visit at the median day of its scans, over a white edge."""
    found = own.groupby("rank")[["day", "volume_ml"]].median()
    if found.empty:
        return
    colour = INK if arm.name == ALL_ARMS else arm.colour
    x, y = found["day"].to_numpy(), np.cbrt(found["volume_ml"].to_numpy(dtype=float))
    axes.plot(x, y, color=PAPER, lw=4.4, solid_capstyle="round", zorder=4)
    axes.plot(x, y, color=colour, lw=2.8, ls=arm.line, zorder=5)
    face = colour if arm.filled else PAPER
    axes.plot(x, y, ls="none", marker="D", ms=8, color=colour, mec=colour, mfc=face, mew=1.8, zorder=6)


def _visit_ticks(
    axes: Axes,
    rows: pd.DataFrame,
    drawn: pd.DataFrame,
    styles: Sequence[ArmStyle],
    targets: Mapping[str, int],
) -> None:
    total = rows.groupby("arm")["participant_id"].nunique().to_dict()
    labels = [f"{visit_label(visit)}\nday {targets[visit]}" for visit in ANALYSED_VISITS]
    places = [targets[visit] for visit in ANALYSED_VISITS]
    axes.set_xticks(places, labels)
    for place in places:
        axes.axvline(place, color="#e7eaee", lw=0.8, zorder=0)
    low, high = min(places[0], drawn["day"].min()), max(places[-1], drawn["day"].max())
    axes.set_xlim(low - 0.06 * (high - low), high + 0.06 * (high - low))
    found = drawn.groupby(["arm", "visit"])["participant_id"].nunique().to_dict()
    for line, arm in enumerate(styles):
        look: dict[str, Any] = {"xycoords": axes.get_xaxis_transform(), "textcoords": "offset points"}
        look |= {"va": "center", "fontsize": 8, "color": MUTED, "parse_math": False}
        down = -37 - 12 * line
        for visit, place in zip(ANALYSED_VISITS, places, strict=True):
            words = f"{found.get((arm.name, visit), 0)} of {total.get(arm.name, 0)}"
            axes.annotate(words, (place, 0), (0, down), ha="center", **look)
        name = "with a value" if arm.name == ALL_ARMS else f"{one_line(arm.name, most=16)}: with a value"
        axes.annotate(name, (1, 0), (6, down), ha="left", **{**look, "xycoords": "axes fraction"})


def _spaghetti_legend(axes: Axes, drawn: pd.DataFrame, styles: Sequence[ArmStyle]) -> None:
    blinded = styles[0].name == ALL_ARMS
    handles = []
    for arm in styles:
        words = "one participant" if blinded else one_line(arm.name, most=16)
        handles.append(Line2D([], [], color=arm.colour, ls=arm.line, lw=1.2, label=words))
        colour = INK if blinded else arm.colour
        look: dict[str, Any] = {"color": colour, "mfc": colour if arm.filled else PAPER, "mew": 1.8}
        words = "median" if blinded else f"{words}, median"
        handles.append(Line2D([], [], ls=arm.line, lw=2.8, marker="D", ms=7, label=words, **look))
    for modality in sorted(set(drawn["modality"])):
        words = f"measured on {modality.upper() or 'an unnamed modality'}"
        marker = _MARKERS.get(modality, "o")
        handles.append(Line2D([], [], color=MUTED, ls="none", marker=marker, ms=5, label=words))
    notes = "a gap: no value"
    if undated := int(drawn["undated"].sum()):
        notes += f"\n{undated} without a date stand\nat the day aimed at"
    axes.legend(
        handles=handles,
        loc="upper left",
        bbox_to_anchor=(1.005, 1.0),
        frameon=False,
        fontsize=8,
        title=notes,
        title_fontsize=8,
        alignment="left",
        handlelength=3.2,
    )


@house_style
def reader_difference(
    volumes: pd.DataFrame, *, arms: Mapping[str, str] | None = None, parameter: str = "infarct"
) -> Picture | None:
    """Draw automatic minus counted volume against their mean, where both exist (Bland and Altman 1986).

    Parameters
    ----------
    volumes
        Rows of ``volumes.csv``; a pair has ``automatic_volume_ml`` and, with a mask made elsewhere that
        counts, ``volume_ml``. All visits and arms are pooled.
    arms
        Participant -> arm; None keeps the trial blinded.
    parameter
        Which parameter is compared.

    Returns
    -------
    Picture or None
        None where fewer than 3 pairs exist.
    """
    found = volumes[
        (volumes["parameter"] == parameter)
        & volumes["status"].isin(VALUED_STATUSES)
        & volumes["volume_ml"].notna()
        & volumes["automatic_volume_ml"].notna()
    ]
    if len(found) < _LEAST_PAIRS:
        return None
    # sums must not depend on the order of rows
    found = found.sort_values(["participant_id", "visit"], kind="stable")
    counted = found["volume_ml"].to_numpy(dtype=float)
    automatic = found["automatic_volume_ml"].to_numpy(dtype=float)
    picture = difference_chart(
        counted,
        automatic,
        levels=_levels(counted, automatic),
        groups=found["status"].tolist(),
        title=f"Automatic against the mask that counts: {len(found)} pairs",
    )
    axes = picture.axes[0]
    axes.set_ylabel("automatic minus counted, mL", color=MUTED, fontsize=8.5)
    if len(found) > LARGE_N:
        for line in axes.get_lines():
            if line.get_marker() not in ("None", "", None):
                line.set(rasterized=True, markersize=2.5, alpha=0.4)
    return marked(picture, arms)


def _levels(counted: Any, automatic: Any) -> list[Level]:
    found = bland_altman(counted, automatic)
    limits = (
        ("bias", found.bias, found.bias_low, found.bias_high),
        ("lower limit", found.lower, found.lower_low, found.lower_high),
        ("upper limit", found.upper, found.upper_low, found.upper_high),
    )
    return [
        Level(name, value, low, high)
        for name, value, low, high in limits
        if value is not None and low is not None and high is not None
    ]

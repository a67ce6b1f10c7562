"""Picture of infarct volume and its change against the trial's scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from infarct_vol.qa.endpoint.marks import (
    ArmStyle,
    arm_styles,
    headline,
    marked,
    one_line,
    point_look,
    rank_spread,
    with_arm,
)
from infarct_vol.qa.figures import INK, MUTED, PAPER, Picture, house_style
from infarct_vol.qa.trajectories import clean_axes, cube_root_axis
from infarct_vol.qa.wording import PARAMETER_LABELS, has_value, visit_label
from infarct_vol.records import VALUED_STATUSES
from infarct_vol.tables.randomization import ALL_ARMS

Quantity = Literal["volume", "change"]
_QUANTITIES: tuple[Quantity, ...] = ("volume", "change")
_MANY_TIES = 0.5
"""Share of points that share their score with another one, above which they are drawn side by side."""
_SPREAD = 0.6
"""Points of one score stand within this many points of score around it."""


class Outcomes(Protocol):
    """The trial's other outcomes as tables.

    ``values``: participant_id, visit, parameter, label, unit, value, change, percent_change, status, reason.
    ``correlations``: parameter, outcome, visit, quantity (``volume`` or ``change``), arm, n, rho, low, high,
    p, reason.
    """

    @property
    def values(self) -> pd.DataFrame:
        """One row a participant, visit and outcome."""

    @property
    def correlations(self) -> pd.DataFrame:
        """One row a parameter, outcome, visit, quantity and arm."""


@house_style
def outcome_scatter(
    volumes: pd.DataFrame,
    change: pd.DataFrame,
    *,
    outcomes: Outcomes | None,
    arms: Mapping[str, str] | None = None,
    visit: str = "month6",
    parameter: str = "infarct",
    names: Sequence[str] = ("nihss", "mrs"),
) -> Picture | None:
    """Draw volume against score, and change of volume against change of score, at one visit.

    Parameters
    ----------
    volumes, change
        Rows of ``volumes.csv`` and ``change_from_baseline.csv``, mL.
    outcomes
        Values of the scores, and correlations to write into the panels.
    arms
        Participant -> arm; None keeps the trial blinded.
    visit
        Visit of both.
    parameter
        Which parameter is drawn.
    names
        The scores, one column of panels each; one without any value is left out.

    Returns
    -------
    Picture or None
        None where there is no score at the visit.
    """
    if outcomes is None or outcomes.values.empty:
        return None
    scores = outcomes.values[(outcomes.values["visit"] == visit) & outcomes.values["value"].notna()]
    shown = [name for name in names if (scores["parameter"] == name).any()]
    if not shown:
        return None
    styles, parameter_name = arm_styles(arms), PARAMETER_LABELS.get(parameter, parameter)
    width_px = 74 + 490 * len(shown)
    picture = Picture(width_px, 760)
    grid = picture.subplots(2, len(shown), squeeze=False)
    picture.subplots_adjust(left=76 / width_px, right=0.985, top=0.9, bottom=0.065)
    picture.subplots_adjust(hspace=0.34, wspace=0.18)
    for row, quantity in enumerate(_QUANTITIES):
        sizes = _sizes(volumes, change, quantity=quantity, visit=visit, parameter=parameter)
        for axes, name in zip(grid[row], shown, strict=True):
            own = scores[scores["parameter"] == name]
            pairs = with_arm(_paired(sizes, own, quantity), arms)
            _panel(axes, pairs, styles, quantity=quantity, size=parameter_name)
            words = _correlation_words(outcomes.correlations, styles, (parameter, name, visit, quantity))
            headline(axes, f"{_label(own, name)} and {quantity} at {visit_label(visit)}")
            _written(axes, words, n=len(pairs))
    _legend(picture, styles)
    return marked(picture, arms)


def _label(own: pd.DataFrame, name: str) -> str:
    return one_line(str(own["label"].iloc[0]) or name, most=36)


def _sizes(
    volumes: pd.DataFrame, change: pd.DataFrame, *, quantity: Quantity, visit: str, parameter: str
) -> pd.DataFrame:
    """Return participant_id and x: volume or its change in mL, where there is one."""
    source, column = (volumes, "volume_ml") if quantity == "volume" else (change, "change_ml")
    rows = source[(source["parameter"] == parameter) & (source["visit"] == visit)]
    rows = rows[rows["status"].isin(VALUED_STATUSES) & rows[column].notna()]
    return pd.DataFrame({"participant_id": rows["participant_id"], "x": rows[column].astype(float)})


def _paired(sizes: pd.DataFrame, own: pd.DataFrame, quantity: Quantity) -> pd.DataFrame:
    column = "value" if quantity == "volume" else "change"
    scores = pd.DataFrame({"participant_id": own["participant_id"], "y": own[column].astype(float)})
    pairs = sizes.merge(scores[scores["y"].notna()], on="participant_id", how="inner")
    return pairs.sort_values("participant_id", kind="stable")


def _panel(
    axes: Axes, pairs: pd.DataFrame, styles: Sequence[ArmStyle], *, quantity: Quantity, size: str
) -> None:
    clean_axes(axes)
    y = pairs["y"].to_numpy(dtype=float)
    shown, spread = beside_ties(y)
    x = pairs["x"].to_numpy(dtype=float)
    if quantity == "volume":
        axes.set_xlim(cube_root_axis(axes.xaxis, most_ml=float(x.max(initial=0.1))))
        x = np.cbrt(x)
        axes.set_xlabel(f"volume of {size}, mL (cube-root scale)", color=MUTED, fontsize=8.5)
    else:
        axes.axvline(0, color="#8b95a1", lw=0.9)
        axes.axhline(0, color="#8b95a1", lw=0.9)
        axes.set_xlabel(f"change of {size} from baseline, mL", color=MUTED, fontsize=8.5)
    for arm in styles:
        own = (pairs["arm"] == arm.name).to_numpy()
        axes.scatter(x[own], shown[own], marker=arm.marker, **point_look(arm, len(pairs)))
    words = "score" if quantity == "volume" else "change of score"
    note = "\nequal scores drawn side by side" if spread else ""
    axes.set_ylabel(f"{words}{note}", color=MUTED, fontsize=8.5)
    if len(y) and (y == np.round(y)).all() and np.ptp(y) <= 10:
        axes.set_yticks(np.arange(y.min(), y.max() + 1))


def beside_ties(scores: NDArray[np.float64]) -> tuple[NDArray[np.float64], bool]:
    """Return where scores are drawn, and whether equal ones were moved apart.

    Whole scores move by less than half a point, by rank and not by chance, only where more than half of
    them share their score with another.

    Parameters
    ----------
    scores
        (n,) scores.
    """
    found, place, counts = np.unique(scores, return_inverse=True, return_counts=True)
    tied = float((counts[place] > 1).mean()) if len(scores) else 0.0
    if tied <= _MANY_TIES or not (scores == np.round(scores)).all():
        return scores, False
    moved = scores.astype(np.float64)
    for at, count in enumerate(counts):
        if count > 1:
            moved[place == at] = found[at] + _SPREAD * rank_spread(np.arange(count))
    return moved, True


def _correlation_words(
    table: pd.DataFrame, styles: Sequence[ArmStyle], key: tuple[str, str, str, str]
) -> list[str]:
    """Return a line for all arms together and one per arm: rho, its interval and n, or why there is none."""
    if table.empty:
        return ["no correlation was computed"]
    columns = ("parameter", "outcome", "visit", "quantity")
    chosen = table[np.logical_and.reduce([table[c] == k for c, k in zip(columns, key, strict=True)])]
    wanted = [ALL_ARMS, *(arm.name for arm in styles if arm.name != ALL_ARMS)]
    names = {arm: f"{one_line(arm, most=24)}: " for arm in wanted}
    names[ALL_ARMS] = "all arms: " if len(wanted) > 1 else ""
    lines = []
    for arm in wanted:
        rows = chosen[chosen["arm"].replace("", ALL_ARMS) == arm].to_dict("records")
        if rows:
            lines.append(correlation_line(rows[0], name=names[arm]))
    return lines or ["no correlation was computed"]


def correlation_line(row: Mapping[Any, Any], *, name: str = "") -> str:
    """Return Spearman's rho with its interval and n, or the reason why there is none."""
    rho, low, high = row["rho"], row["low"], row["high"]
    if not has_value(rho):
        return f"{name}no correlation: {one_line(row['reason'], most=60)}"
    interval = ""
    if has_value(low) and has_value(high):
        interval = f" (95 % interval {low:+.2f} to {high:+.2f})"
    text = f"{name}Spearman's \N{GREEK SMALL LETTER RHO} {rho:+.2f}{interval}, n = {int(row['n'])}"
    return text.replace("-", "\N{MINUS SIGN}")


def _written(axes: Axes, lines: Sequence[str], *, n: int) -> None:
    """Write the correlation into the panel, in room of its own above the points."""
    words = "\n".join([*lines, f"{n} points"] if n == 0 else lines)
    low, high = axes.get_ylim()
    axes.set_ylim(low, high + (high - low) * (0.06 + 0.075 * len(lines)))
    look: dict[str, Any] = {"fontsize": 8.5, "color": INK, "ha": "left", "va": "top", "parse_math": False}
    box = {"fc": PAPER, "ec": "none", "pad": 1.5}
    axes.text(0.012, 0.985, words, transform=axes.transAxes, zorder=6, bbox=box, **look)


def _legend(picture: Picture, styles: Sequence[ArmStyle]) -> None:
    handles = []
    for arm in styles:
        name = "one participant" if arm.name == ALL_ARMS else one_line(arm.name, most=24)
        look: dict[str, Any] = {"color": arm.colour, "mfc": arm.face, "ms": 5, "ls": "none"}
        handles.append(Line2D([], [], marker=arm.marker, label=name, **look))
    picture.legend(handles=handles, loc="upper left", ncols=3, frameon=False, fontsize=8)

"""What the pictures of the endpoint share: the blinding mark, the look of each arm, and points side by side.

Arms differ in lightness, line, marker and hatch, so that a grey print says the same as a coloured one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import ArrayLike, NDArray

from infarct_vol.errors import UsageError
from infarct_vol.qa.figures import INK, MUTED, PAPER, Picture
from infarct_vol.qa.trajectories import ARM_COLOURS
from infarct_vol.tables.randomization import ALL_ARMS, Blinding, blinding_of

MARK_COLOURS: Mapping[Blinding, str] = {"BLINDED": "#8a1c13", "UNBLINDED": "#0b5c7a"}
LARGE_N = 500
"""Participants above which points and lines are one raster image inside an SVG."""

Line = str | tuple[int, tuple[float, ...]]
_LOOKS: tuple[tuple[Line, str, str, bool], ...] = (
    ("-", "o", "", True),
    ((0, (4, 1.6)), "^", "////", False),
    ((0, (1, 1.4)), "s", "....", True),
    ((0, (6, 1.5, 1, 1.5)), "D", "xxxx", False),
)
_ARM_LOOKS = tuple((colour, *look) for colour, look in zip(ARM_COLOURS, _LOOKS, strict=True))
_POOLED_LOOK = _ARM_LOOKS[0]


class ArmStyle(NamedTuple):
    """How one arm is drawn; blinded, the one arm is ``all``."""

    name: str
    colour: str
    line: Line
    marker: str
    hatch: str
    filled: bool

    @property
    def face(self) -> str:
        """Colour inside a symbol."""
        return self.colour if self.filled else PAPER


def arm_styles(arms: Mapping[str, str] | None) -> tuple[ArmStyle, ...]:
    """Return the arms in the order of their names with their looks; without arms the pooled one.

    Parameters
    ----------
    arms
        Participant -> arm; None keeps the trial blinded.
    """
    if arms is None:
        return (ArmStyle(ALL_ARMS, *_POOLED_LOOK),)
    names = sorted(set(arms.values()))
    return tuple(ArmStyle(name, *_ARM_LOOKS[at % len(_ARM_LOOKS)]) for at, name in enumerate(names))


def with_arm(frame: pd.DataFrame, arms: Mapping[str, str] | None) -> pd.DataFrame:
    """Return the rows with a column ``arm``: the participant's, or ``all`` while blinded.

    Raises
    ------
    UsageError
        If a participant has no arm.
    """
    if arms is None:
        return frame.assign(arm=ALL_ARMS)
    found = frame["participant_id"].map(arms)
    if found.isna().any():
        without = sorted(set(frame.loc[found.isna(), "participant_id"]))
        msg = (
            f"no arm for {', '.join(without[:5])}{' and others' if len(without) > 5 else ''}; "
            "add them to the randomisation list"
        )
        raise UsageError(msg)
    return frame.assign(arm=found)


def marked(picture: Picture, arms: Mapping[str, str] | None) -> Picture:
    """Write BLINDED or UNBLINDED into the upper right corner and return the picture."""
    mark = blinding_of(arms)
    words = f"{mark}: all arms pooled" if arms is None else mark
    style: dict[str, Any] = {"ha": "right", "va": "top", "fontsize": 9, "fontweight": "bold"}
    height_px = picture.get_figheight() * picture.dpi
    picture.text(0.985, 1 - 8 / height_px, words, color=MARK_COLOURS[mark], **style)
    return picture


def nothing_drawn(words: str, arms: Mapping[str, str] | None) -> Picture:
    """Return a small picture that says why there is nothing to draw."""
    picture = Picture(980, 140)
    picture.text(0.5, 0.5, words, ha="center", va="center", color=MUTED, fontsize=10, parse_math=False)
    return marked(picture, arms)


def headline(axes: Axes, words: str) -> None:
    """Write the title of a chart."""
    axes.set_title(words, loc="left", fontsize=10, fontweight="bold", color=INK, parse_math=False)


def one_line(text: str, *, most: int = 200) -> str:
    """Return text on one line without control characters, cut to ``most`` characters."""
    flat = "".join(c if c.isprintable() else " " for c in " ".join(str(text).split()))
    return flat if len(flat) <= most else f"{flat[: most - 1]}\N{HORIZONTAL ELLIPSIS}"


def signed(value: float, *, places: int = 0) -> str:
    """Return a number with its sign and fixed decimals, thousands apart."""
    return f"{value:+,.{places}f}".replace("-", "\N{MINUS SIGN}")


def rank_spread(values: ArrayLike) -> NDArray[np.float64]:
    """Return offsets in -0.5..0.5 that put points of like value side by side.

    The offset follows from the rank alone (van der Corput 1935, base 2), so neighbours in value lie apart
    and the same values always give the same picture.

    Parameters
    ----------
    values
        (n,) numbers.

    Returns
    -------
    (n,) offsets.
    """
    array = np.asarray(values, dtype=np.float64)
    ranks = np.empty(len(array), dtype=np.int64)
    ranks[np.argsort(array, kind="stable")] = np.arange(1, len(array) + 1)
    offsets = np.zeros(len(array))
    share = 0.5
    while ranks.any():
        offsets += share * (ranks % 2)
        ranks //= 2
        share /= 2
    return offsets - 0.5


def point_look(arm: ArmStyle, count: int) -> dict[str, Any]:
    """Return size, colours and opacity of scatter points, fainter and rastered where there are many."""
    large = count > LARGE_N
    return {
        "edgecolors": "none" if large else arm.colour,
        "facecolors": arm.colour if large else arm.face,
        "linewidths": 0 if large else 0.9,
        "alpha": 0.25 if large else 0.75,
        "s": 5 if large else 18,
        "rasterized": large,
    }


def count_words(total: Mapping[str, int], found: Mapping[str, int], arms: Sequence[ArmStyle]) -> str:
    """Return lines such as ``n = 24 of 27, 3 without``; per arm ``placebo: 12 of 13``."""
    lines = []
    for arm in arms:
        have, of = found.get(arm.name, 0), total.get(arm.name, 0)
        if arm.name != ALL_ARMS:
            lines.append(f"{one_line(arm.name, most=14)}: {have} of {of}")
        else:
            lines.append(f"n = {have} of {of}" + (f", {of - have} without" if have < of else ""))
    return "\n".join(lines)

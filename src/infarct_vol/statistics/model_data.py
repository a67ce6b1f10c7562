"""The rows of a trial as the arrays its models need, checked.

One place decides which visits can be modelled at all, so that the analysis of covariance and the model of
repeated measures leave out the same ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from infarct_vol.errors import UsageError

Scale = Literal["raw", "cube_root"]
SCALES: tuple[Scale, ...] = ("raw", "cube_root")
ROUNDING = 1e-10
"""Spread that is smaller than this share of the numbers it comes from is rounding."""

_COLUMNS = ("participant_id", "visit", "arm", "baseline", "value")

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class VisitData:
    """One visit: (n,) change and baseline, (n, arms) which arm."""

    change: Vector
    baseline: Vector
    arm: Vector


def check_frame(
    frame: pd.DataFrame, *, arms: Sequence[str] | None = None, reference: str | None = None
) -> None:
    """Refuse a frame that the models cannot read.

    Parameters
    ----------
    frame
        Columns participant_id, visit, arm, baseline and value.
    arms, reference
        Arms of the trial and the one of them to compare with; None if they are not settled yet.

    Raises
    ------
    UsageError
        If a column is missing, a participant has a visit twice or two arms, a number is not finite, or an
        arm is not one of ``arms``.
    """
    missing = [name for name in _COLUMNS if name not in frame.columns]
    if missing:
        msg = f"the frame to model has no column {', '.join(missing)}; it needs {', '.join(_COLUMNS)}"
        raise UsageError(msg)
    twice = frame[frame.duplicated(["participant_id", "visit"])]
    if len(twice):
        found = twice.iloc[0]
        msg = f"{found['participant_id']} {found['visit']}: two rows to model; keep one per visit"
        raise UsageError(msg)
    torn = frame.groupby("participant_id")["arm"].nunique()
    if (torn > 1).any():
        msg = f"{torn.index[torn > 1][0]}: two arms in the rows to model; a participant has one"
        raise UsageError(msg)
    if not np.isfinite(frame[["baseline", "value"]].to_numpy(dtype=np.float64)).all():
        msg = "a baseline or value to model is not finite; leave out rows without both ends"
        raise UsageError(msg)
    if arms is not None and not ({reference} | set(frame["arm"])) <= set(arms):
        unknown = sorted(str(arm) for arm in ({reference} | set(frame["arm"])) - set(arms))
        msg = f"{', '.join(unknown)}: not one of the arms {', '.join(arms)}; name all arms of the trial"
        raise UsageError(msg)


def visit_data(rows: pd.DataFrame, *, scale: Scale, arms: Sequence[str]) -> VisitData:
    """Return the rows of one visit as arrays, in the order of participants, on the scale of the model."""
    # the order of rows would show in the last digits of sums
    rows = rows.sort_values("participant_id")
    baseline, value = (rows[name].to_numpy(dtype=np.float64) for name in ("baseline", "value"))
    if scale == "cube_root":
        baseline, value = np.cbrt(baseline), np.cbrt(value)
    arm = np.array([[float(one == arm) for arm in arms] for one in rows["arm"]]).reshape(len(rows), len(arms))
    return VisitData(change=value - baseline, baseline=baseline, arm=arm)


def refusal(data: VisitData, *, arms: Sequence[str]) -> str:
    """Return why a visit cannot be modelled, empty if it can."""
    n = len(data.change)
    if n < len(arms) + 2:
        return f"{n} participants with baseline and this visit: too few ({len(arms) + 2} at least)"
    sizes = data.arm.sum(axis=0)
    if sizes.min() < 2:
        small = arms[int(sizes.argmin())]
        return f"arm {small} has {int(sizes.min())} of the {n} participants: too few (2 at least)"
    within = data.baseline - data.arm @ ((data.arm.T @ data.baseline) / sizes)
    if not np.abs(within).max() > ROUNDING * np.abs(data.baseline).max():
        return "all baselines of each arm are equal: they cannot be told from the arm"
    return ""


@dataclass(frozen=True)
class TrialData:
    """Participants x visits: (n, arms) which arm, (n, t) change and baseline, NaN where missing."""

    arm: Vector
    change: Vector
    baseline: Vector


def trial_data(frame: pd.DataFrame, *, visits: Sequence[str], arms: Sequence[str], scale: Scale) -> TrialData:
    """Return the rows of several visits as arrays of participants x visits, on the scale of the model."""
    rows = frame[frame["visit"].isin(visits)]
    names = sorted(set(rows["participant_id"]))
    change, baseline = np.full((2, len(names), len(visits)), np.nan)
    arm = np.zeros((len(names), len(arms)))
    where = rows["participant_id"].map({name: i for i, name in enumerate(names)}).to_numpy(dtype=np.intp)
    for place, visit in enumerate(visits):
        chosen = (rows["visit"] == visit).to_numpy()
        part = rows[chosen].sort_values("participant_id")
        data = visit_data(part, scale=scale, arms=arms)
        lines = np.sort(where[chosen])
        change[lines, place], baseline[lines, place], arm[lines] = data.change, data.baseline, data.arm
    return TrialData(arm=arm, change=change, baseline=baseline)

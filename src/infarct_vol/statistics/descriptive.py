"""Descriptive statistics of one set of values, in the definitions SAS uses.

A statistic that a set cannot tell is None; it is never NaN and never infinite.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from infarct_vol.errors import UsageError
from infarct_vol.records import Record
from infarct_vol.statistics.agreement import CONFIDENCE, median_interval


class Description(Record):
    """What ``n`` values look like, in the unit given; None where there are too few to tell."""

    n: int
    mean: float | None = None
    sd: float | None = None
    median: float | None = None
    q1: float | None = None
    q3: float | None = None
    min: float | None = None
    max: float | None = None
    mean_low: float | None = None
    mean_high: float | None = None
    median_low: float | None = None
    median_high: float | None = None


def described(values: ArrayLike) -> Description:
    """Return the statistics of a table cell and the 95 % intervals of mean and median.

    Parameters
    ----------
    values
        (n,) finite values of any unit, in any order.

    Returns
    -------
    Description
        Quartiles and median are SAS definition 5, the empirical distribution function with averaging
        (PCTLDEF=5). The interval of the mean is Student's (CLM of PROC MEANS). That of the median is
        distribution-free (CIQUANTDF of PROC UNIVARIATE, after Hahn and Meeker 1991, Statistical
        Intervals, 5.2). No values give None throughout, one value no SD and no interval, fewer than 6
        no interval of the median. Values that are all equal give intervals without width.

    Raises
    ------
    UsageError
        If the values are not one list, or one of them is not finite.
    """
    found = np.asarray(values, dtype=np.float64)
    if found.ndim != 1:
        msg = f"values to describe must be one list, got shape {found.shape}; pass one column at a time"
        raise UsageError(msg)
    if not np.isfinite(found).all():
        msg = "a value to describe is not finite; leave out visits without a value first"
        raise UsageError(msg)
    if not found.size:
        return Description(n=0)
    # sums of sorted values do not depend on the order they came in
    found = np.sort(found)
    q1, median, q3 = (
        float(value) for value in np.quantile(found, [0.25, 0.5, 0.75], method="averaged_inverted_cdf")
    )
    mean, sd = _moments(found)
    half = _half_width(sd, len(found))
    limits = median_interval(found)
    return Description(
        n=len(found),
        mean=mean,
        sd=sd,
        median=median,
        q1=q1,
        q3=q3,
        min=float(found[0]),
        max=float(found[-1]),
        mean_low=None if half is None else mean - half,
        mean_high=None if half is None else mean + half,
        median_low=limits.low,
        median_high=limits.high,
    )


def _moments(found: np.ndarray[tuple[int], np.dtype[np.float64]]) -> tuple[float, float | None]:
    """Return mean and SD of sorted values; equal values have exactly their own mean and no spread."""
    if found[0] == found[-1]:
        return float(found[0]), 0.0 if len(found) > 1 else None
    return float(found.mean()), float(found.std(ddof=1))


def _half_width(sd: float | None, n: int) -> float | None:
    """Return half of Student's interval of a mean, None where there is no SD."""
    if sd is None:
        return None
    return float(stats.t.ppf((1 + CONFIDENCE) / 2, n - 1)) * sd / math.sqrt(n)

"""Agreement of two measurements over a set of cases, with 95 % intervals.

Closed forms only: nothing here draws random numbers. What a set cannot tell (too few cases, no variation)
is None, and ``reason`` says why; it is never NaN and never infinite.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from infarct_vol.errors import UsageError
from infarct_vol.records import Record

CONFIDENCE = 0.95
LIMIT_FACTOR = 1.96
"""Limits of agreement in standard deviations of the differences (Bland and Altman 1986)."""
REPEATABILITY_FACTOR = 2.77
"""Repeatability coefficient in within-subject SD: 1.96 times the root of 2 (Bland and Altman 1999)."""

_TAILS = ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2)
_ROUNDING = 1e-12
"""Spread that is smaller than this share of the numbers it comes from is rounding, not variation."""

Vector = NDArray[np.float64]


class BlandAltman(Record):
    """Differences second minus first: their mean, spread and limits of agreement, in the unit given."""

    n: int
    bias: float | None = None
    bias_low: float | None = None
    bias_high: float | None = None
    sd: float | None = None
    lower: float | None = None
    lower_low: float | None = None
    lower_high: float | None = None
    upper: float | None = None
    upper_low: float | None = None
    upper_high: float | None = None
    reason: str = ""


class Repeatability(Record):
    """Within-subject SD and repeatability coefficient, in the unit given and in percent of the mean."""

    n: int
    wsd: float | None = None
    rc: float | None = None
    rc_low: float | None = None
    rc_high: float | None = None
    n_percent: int = 0
    rc_percent: float | None = None
    rc_percent_low: float | None = None
    rc_percent_high: float | None = None
    reason: str = ""


class Linearity(Record):
    """The line of measured on true volumes."""

    n: int
    slope: float | None = None
    slope_low: float | None = None
    slope_high: float | None = None
    intercept: float | None = None
    intercept_low: float | None = None
    intercept_high: float | None = None
    r_squared: float | None = None
    reason: str = ""


class IccResult(Record):
    """Intraclass correlation coefficient."""

    n: int
    icc: float | None = None
    low: float | None = None
    high: float | None = None
    reason: str = ""


class Interval(Record):
    """An estimate from ``n`` values with its interval."""

    n: int
    value: float | None = None
    low: float | None = None
    high: float | None = None
    reason: str = ""


def bland_altman(first_ml: ArrayLike, second_ml: ArrayLike) -> BlandAltman:
    """Return bias and limits of agreement of paired volumes.

    Parameters
    ----------
    first_ml, second_ml
        (n,) volumes of the same cases in mL; the difference is second minus first.

    Returns
    -------
    BlandAltman
        Limits are ``bias -/+ 1.96 SD``. The interval of the bias is Student's; those of the limits are
        exact for normal differences, from the noncentral t distribution (Carkeet 2015, Optom Vis Sci
        92:e71), and therefore not symmetric.

    Raises
    ------
    UsageError
        If the two are not of one length, or a volume is not finite.
    """
    first, second = _paired(first_ml, second_ml)
    difference = second - first
    n = len(difference)
    if n < 2:
        bias = float(difference[0]) if n else None
        return BlandAltman(n=n, bias=bias, reason=_too_few(n, 2, "limits of agreement"))
    bias, sd = float(difference.mean()), _spread(difference, scale=np.concatenate([first, second]))
    error = sd / math.sqrt(n)
    half = float(stats.t.ppf(_TAILS[1], n - 1)) * error
    near, far = (float(t) * error for t in _limit_quantiles(n))
    return BlandAltman(
        n=n,
        bias=bias,
        bias_low=bias - half,
        bias_high=bias + half,
        sd=sd,
        lower=bias - LIMIT_FACTOR * sd,
        lower_low=bias - far,
        lower_high=bias - near,
        upper=bias + LIMIT_FACTOR * sd,
        upper_low=bias + near,
        upper_high=bias + far,
        reason="" if sd else "all differences are equal: intervals without width",
    )


def repeatability(first_ml: ArrayLike, second_ml: ArrayLike) -> Repeatability:
    """Return the repeatability coefficient of volumes measured twice.

    Parameters
    ----------
    first_ml, second_ml
        (n,) volumes of the same cases in mL, measured under the same conditions.

    Returns
    -------
    Repeatability
        ``wSD^2 = sum d^2 / 2n`` with n degrees of freedom, ``RC = 2.77 wSD``, chi-square interval
        (Bland and Altman 1999; Raunig 2015, Stat Methods Med Res 24:27). In percent: the same of the
        differences divided by the mean of their pair, over the ``n_percent`` pairs without a 0.

    Raises
    ------
    UsageError
        If the two are not of one length, a volume is not finite or is negative.
    """
    first, second = _paired(first_ml, second_ml)
    if len(first) and min(first.min(), second.min()) < 0:
        msg = f"a volume cannot be negative, got {min(first.min(), second.min()):g} mL"
        raise UsageError(msg)
    n = len(first)
    if n < 2:
        return Repeatability(n=n, reason=_too_few(n, 2, "a repeatability coefficient"))
    rc, rc_low, rc_high = _coefficient(second - first)
    nonzero = (first > 0) & (second > 0)
    one, two = first[nonzero], second[nonzero]
    share = 200.0 * (two - one) / (two + one)
    percent = _coefficient(share) if len(share) >= 2 else (None, None, None)
    return Repeatability(
        n=n,
        wsd=rc / REPEATABILITY_FACTOR,
        rc=rc,
        rc_low=rc_low,
        rc_high=rc_high,
        n_percent=len(share),
        rc_percent=percent[0],
        rc_percent_low=percent[1],
        rc_percent_high=percent[2],
        reason=_repeatability_reason(rc, percent[0]),
    )


def linearity(true_ml: ArrayLike, measured_ml: ArrayLike) -> Linearity:
    """Return the least-squares line of measured on true volumes.

    Parameters
    ----------
    true_ml, measured_ml
        (n,) volumes in mL.

    Returns
    -------
    Linearity
        Slope, intercept in mL and R2; intervals are Student's with n - 2 degrees of freedom.

    Raises
    ------
    UsageError
        If the two are not of one length, or a volume is not finite.
    """
    true, measured = _paired(true_ml, measured_ml)
    n = len(true)
    if n < 3:
        return Linearity(n=n, reason=_too_few(n, 3, "a line with its interval"))
    if not _spread(true, scale=true):
        return Linearity(n=n, reason="all true volumes are equal: there is no line")
    line = stats.linregress(true, measured)
    width = float(stats.t.ppf(_TAILS[1], n - 2))
    slope, intercept = float(line.slope), float(line.intercept)
    varies = bool(_spread(measured, scale=measured))
    return Linearity(
        n=n,
        slope=slope,
        slope_low=slope - width * float(line.stderr),
        slope_high=slope + width * float(line.stderr),
        intercept=intercept,
        intercept_low=intercept - width * float(line.intercept_stderr),
        intercept_high=intercept + width * float(line.intercept_stderr),
        r_squared=float(line.rvalue) ** 2 if varies else None,
        reason="" if varies else "all measured volumes are equal: R2 is not defined",
    )


def icc21(ratings: ArrayLike) -> IccResult:
    """Return ICC(2,1): two-way random effects, absolute agreement, single measurement.

    Parameters
    ----------
    ratings
        (n, k) values: one row per case, one column per reader or run.

    Returns
    -------
    IccResult
        Estimate of Shrout and Fleiss 1979 (Psychol Bull 86:420) with the interval of McGraw and Wong 1996
        (Psychol Methods 1:30, case A,1). A negative estimate is returned as it is.

    Raises
    ------
    UsageError
        If the table does not have two dimensions and two columns at least, or a value is not finite.
    """
    table = _finite(ratings)
    if table.ndim != 2 or table.shape[1] < 2:
        msg = f"ICC needs a table of cases x readers with 2 readers at least, got shape {table.shape}"
        raise UsageError(msg)
    n, k = table.shape
    if n < 2:
        return IccResult(n=n, reason=_too_few(n, 2, "an intraclass correlation"))
    rows, columns, error = _mean_squares(table)
    total = rows + (k - 1) * error + k * (columns - error) / n
    if total <= 0:
        return IccResult(n=n, reason="all values are equal: there is no variation to divide")
    icc = (rows - error) / total
    if not rows:
        return IccResult(n=n, icc=icc, reason="the means of all cases are equal: no interval")
    if not error and not columns:
        return IccResult(n=n, icc=1.0, low=1.0, high=1.0, reason="perfect agreement: interval without width")
    low, high = _icc_interval(rows, columns, error, n=n, k=k)
    return IccResult(n=n, icc=icc, low=low, high=high)


def median_interval(values: ArrayLike) -> Interval:
    """Return the median with its distribution-free interval, the order statistics of the binomial.

    Parameters
    ----------
    values
        (n,) values of any unit.

    Returns
    -------
    Interval
        The narrowest pair of order statistics, symmetric in rank, that covers the median with at least
        95 % (Conover 1999, Practical Nonparametric Statistics, 3.2). Fewer than 6 values have none.

    Raises
    ------
    UsageError
        If a value is not finite.
    """
    found = _finite(values).ravel()
    n = len(found)
    if n == 0:
        return Interval(n=0, reason="no value")
    median = float(np.median(found))
    limits: Any = stats.quantile_test(found, q=median, p=0.5).confidence_interval(CONFIDENCE)
    if not math.isfinite(limits.low):
        return Interval(n=n, value=median, reason=_too_few(n, 6, "the interval of a median"))
    return Interval(n=n, value=median, low=float(limits.low), high=float(limits.high))


def _paired(first: ArrayLike, second: ArrayLike) -> tuple[Vector, Vector]:
    one, two = _finite(first), _finite(second)
    if one.ndim != 1 or one.shape != two.shape:
        msg = f"paired volumes must be two lists of one length, got shapes {one.shape} and {two.shape}"
        raise UsageError(msg)
    return one, two


def _finite(values: ArrayLike) -> Vector:
    array = np.asarray(values, dtype=np.float64)
    if not np.isfinite(array).all():
        msg = "a value is not finite; leave out cases without a volume before they are compared"
        raise UsageError(msg)
    return array


def _too_few(n: int, least: int, what: str) -> str:
    noun = "case" if n == 1 else "cases"
    return f"{n} {noun}: too few for {what} ({least} at least)"


def _spread(values: Vector, *, scale: Vector) -> float:
    """Return the SD of values, 0 where it is only the rounding of numbers as large as ``scale``."""
    sd = float(values.std(ddof=1))
    return sd if sd > _ROUNDING * float(np.abs(scale).max()) else 0.0


def _limit_quantiles(n: int) -> Sequence[float]:
    """Return the noncentral t quantiles that bound an upper limit of agreement, in standard errors."""
    return [float(stats.nct.ppf(tail, n - 1, LIMIT_FACTOR * math.sqrt(n))) for tail in _TAILS]


def _coefficient(difference: Vector) -> tuple[float, float, float]:
    """Return the repeatability coefficient of paired differences and its interval."""
    n = len(difference)
    rc = REPEATABILITY_FACTOR * math.sqrt(float(np.square(difference).sum()) / (2 * n))
    low, high = (rc * math.sqrt(n / float(stats.chi2.ppf(tail, n))) for tail in reversed(_TAILS))
    return rc, low, high


def _repeatability_reason(rc: float, rc_percent: float | None) -> str:
    if not rc:
        return "all pairs are equal: interval without width"
    return "" if rc_percent is not None else "fewer than 2 pairs without a 0: no percentage"


def _mean_squares(table: Vector) -> tuple[float, float, float]:
    """Return the mean squares of rows, columns and residual, 0 where they are only rounding."""
    n, k = table.shape
    mean = table.mean()
    by_row, by_column = table.mean(axis=1), table.mean(axis=0)
    residual = table - by_row[:, np.newaxis] - by_column + mean
    found = (
        k * float(np.square(by_row - mean).sum()) / (n - 1),
        n * float(np.square(by_column - mean).sum()) / (k - 1),
        float(np.square(residual).sum()) / ((n - 1) * (k - 1)),
    )
    floor = n * k * (_ROUNDING * float(np.abs(table).max())) ** 2
    rows, columns, error = (square if square > floor else 0.0 for square in found)
    return rows, columns, error


def _icc_interval(rows: float, columns: float, error: float, *, n: int, k: int) -> tuple[float, float]:
    # at the estimate, a * columns + b * error equals rows
    # (a = k icc / n (1 - icc), b = 1 + k icc (n - 1) / n (1 - icc))
    total = rows + (k - 1) * error + k * (columns - error) / n
    icc = (rows - error) / total
    ratio = k * icc / (n * (1 - icc))
    part_columns, part_error = ratio * columns, (1 + ratio * (n - 1)) * error
    freedom = (part_columns + part_error) ** 2 / (
        part_columns**2 / (k - 1) + part_error**2 / ((n - 1) * (k - 1))
    )
    f_low = float(stats.f.ppf(_TAILS[1], n - 1, freedom))
    f_high = float(stats.f.ppf(_TAILS[1], freedom, n - 1))
    others = k * columns + (k * n - k - n) * error
    low = n * (rows - f_low * error) / (f_low * others + n * rows)
    high = n * (f_high * rows - error) / (others + n * f_high * rows)
    return low, high

"""Correlation of an infarct volume with an outcome, by ranks."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from infarct_vol.errors import UsageError
from infarct_vol.records import Record
from infarct_vol.statistics.agreement import CONFIDENCE

FEWEST = 4
"""Pairs below which the standard error of the interval is not defined."""


class CorrelationRow(Record):
    """A rank correlation of ``n`` pairs with its 95 % interval; ``reason`` says why a number is absent."""

    n: int
    rho: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    reason: str = ""


def spearman(x: ArrayLike, y: ArrayLike) -> CorrelationRow:
    """Return Spearman's correlation of paired values, ties at their average rank.

    Parameters
    ----------
    x, y
        (n,) finite values of the same cases, in any unit.

    Returns
    -------
    CorrelationRow
        The interval is Fisher's z with the standard error ``sqrt((1 + rho^2 / 2) / (n - 3))`` of Bonett and
        Wright (2000, Psychometrika 65:23). p is two-sided, from Student's t with n - 2 degrees of freedom,
        as PROC CORR and R's ``cor.test(exact = FALSE)`` give it: an approximation below about 10 pairs, kept
        there too because exact tables do not hold with ties. Fewer than 4 pairs, or values that are all
        equal, have no correlation. Ranks that agree throughout have one of 1 or -1 and no interval.

    Raises
    ------
    UsageError
        If the two are not lists of one length, or a value is not finite.
    """
    one, two = (np.asarray(values, dtype=np.float64) for values in (x, y))
    if one.ndim != 1 or one.shape != two.shape:
        msg = f"values to correlate must be two lists of one length, got shapes {one.shape} and {two.shape}"
        raise UsageError(msg)
    if not (np.isfinite(one).all() and np.isfinite(two).all()):
        msg = "a value to correlate is not finite; leave out cases that lack one of the two"
        raise UsageError(msg)
    n = len(one)
    if n < FEWEST:
        return CorrelationRow(n=n, reason=f"{n} pairs: too few for a correlation ({FEWEST} at least)")
    if np.ptp(one) == 0 or np.ptp(two) == 0:
        return CorrelationRow(n=n, reason="all values of one of the two are equal: there is no correlation")
    return _of_ranks(stats.rankdata(one), stats.rankdata(two))


def _of_ranks(
    one: np.ndarray[tuple[int], np.dtype[np.float64]], two: np.ndarray[tuple[int], np.dtype[np.float64]]
) -> CorrelationRow:
    n = len(one)
    # twice an average rank is a whole number: these sums are exact
    first, second = 2 * one - (n + 1), 2 * two - (n + 1)
    product, squares = float(first @ second), (float(first @ first), float(second @ second))
    if product**2 == squares[0] * squares[1]:
        rho = math.copysign(1.0, product)
        return CorrelationRow(n=n, rho=rho, reason="the ranks agree throughout: no interval and no p")
    rho = product / math.sqrt(squares[0] * squares[1])
    half = float(stats.norm.ppf((1 + CONFIDENCE) / 2)) * math.sqrt((1 + rho**2 / 2) / (n - 3))
    t = rho * math.sqrt((n - 2) / ((1 - rho) * (1 + rho)))
    return CorrelationRow(
        n=n,
        rho=rho,
        low=math.tanh(math.atanh(rho) - half),
        high=math.tanh(math.atanh(rho) + half),
        p=float(2 * stats.t.sf(abs(t), n - 2)),
    )

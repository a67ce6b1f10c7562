from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infarct_vol.errors import UsageError
from infarct_vol.statistics.agreement import median_interval
from infarct_vol.statistics.descriptive import Description, described

# SAS/STAT, the UNIVARIATE procedure, example 4.9: heights of 75 females in inches
HEIGHTS = """
64.1 60.9 64.1 64.7 66.7 65.0 63.7 67.4 64.9 63.7 64.0 67.5 62.8 63.9 65.9 62.3 64.1 60.6 68.6 68.6
63.7 63.0 64.7 68.2 66.7 62.8 64.0 64.1 62.1 62.9 62.7 60.9 61.6 64.6 65.7 66.6 66.7 66.0 68.5 64.4
60.5 63.0 60.0 61.6 64.3 60.2 63.5 64.7 66.0 65.1 63.6 62.0 63.6 65.8 66.0 65.4 63.5 66.3 66.2 67.5
65.8 63.1 65.8 64.4 64.0 64.9 65.7 61.0 64.1 65.5 68.6 66.6 65.7 65.1 70.0
"""


def test_quartiles_and_interval_of_the_mean_are_those_of_sas():
    found = described([float(word) for word in HEIGHTS.split()])
    assert found.n == 75
    # printed there: 95 % interval of the mean (64.06, 65.07); quantiles by definition 5
    assert (round(found.mean_low, 2), round(found.mean_high, 2)) == (64.06, 65.07)
    assert (found.q1, found.median, found.q3) == (63.1, 64.4, 66.0)
    assert (found.min, found.max) == (60.0, 70.0)


# n, lower and upper rank, coverage: the sums of binomial terms with p = 1/2, as in textbook tables of
# intervals of the median (n = 9: 1 - 2 (1 + 9) / 512 = 0.961; (3, 7) would cover only 0.820)
MEDIAN_RANKS = [
    (6, 1, 6, 0.969),
    (7, 1, 7, 0.984),
    (8, 1, 8, 0.992),
    (9, 2, 8, 0.961),
    (10, 2, 9, 0.979),
    (11, 2, 10, 0.988),
    (12, 3, 10, 0.961),
    (17, 5, 13, 0.951),
    (20, 6, 15, 0.959),
    # PROC UNIVARIATE CIQUANTDF printed these ranks for 30 values (rogerjdeangelis,
    # utl-small-one-sample-confidence-intervals-on-the-median: the limits found in its stem-and-leaf plot)
    (30, 10, 21, 0.957),
]


@pytest.mark.parametrize(("n", "low", "high", "coverage"), MEDIAN_RANKS)
def test_interval_of_the_median_has_the_ranks_of_the_binomial(n, low, high, coverage):
    found = described(np.arange(1.0, n + 1))
    assert (found.median_low, found.median_high) == (low, high)
    tail = sum(math.comb(n, k) for k in range(low)) / 2**n
    assert 1 - 2 * tail == pytest.approx(coverage, abs=6e-4)
    one_more = sum(math.comb(n, k) for k in range(low + 1)) / 2**n
    assert 1 - 2 * one_more < 0.95


def test_every_median_interval_is_the_narrowest_symmetric_pair():
    for n in range(6, 201):
        tails = [sum(math.comb(n, k) for k in range(low)) / 2**n for low in range(n // 2 + 1)]
        low = max(rank for rank, tail in enumerate(tails) if 1 - 2 * tail >= 0.95)
        found = median_interval(np.arange(1.0, n + 1))
        assert (found.low, found.high) == (low, n + 1 - low)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5])
def test_fewer_than_six_values_have_no_interval_of_the_median(n):
    found = described(np.arange(n))
    assert found.median_low is None
    assert found.median_high is None
    assert found.median == (n - 1) / 2


def test_numbers_worked_by_hand():
    # mean 5, squares 9 + 1 + 1 + 1 + 0 + 0 + 4 + 16 = 32 over 7; t(0.975, 7) = 2.364624
    found = described([2, 4, 4, 4, 5, 5, 7, 9])
    assert found.mean == 5
    assert found.sd == pytest.approx(math.sqrt(32 / 7))
    assert (found.q1, found.median, found.q3) == (4, 4.5, 6)
    assert found.mean_high - found.mean == pytest.approx(2.364624 * math.sqrt(32 / 7 / 8), rel=1e-6)
    assert (found.median_low, found.median_high) == (2, 9)


def test_nothing_one_and_equal_values():
    assert described([]) == Description(n=0)
    assert described([3.5]) == Description(n=1, mean=3.5, median=3.5, q1=3.5, q3=3.5, min=3.5, max=3.5)
    equal = described([0.1] * 7)
    assert (equal.mean, equal.sd, equal.mean_low, equal.mean_high) == (0.1, 0.0, 0.1, 0.1)
    assert (equal.median_low, equal.median_high) == (0.1, 0.1)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_value_that_is_not_finite_is_refused(bad):
    with pytest.raises(UsageError, match="not finite"):
        described([1.0, bad])


def test_a_table_is_refused():
    with pytest.raises(UsageError, match=r"one list, got shape \(2, 2\)"):
        described([[1, 2], [3, 4]])


VALUES = st.lists(st.floats(-1e4, 1e4).map(lambda x: round(x, 3)), min_size=1, max_size=60)


@given(VALUES, st.randoms(use_true_random=False))
def test_order_does_not_matter(values, random):
    shuffled = list(values)
    random.shuffle(shuffled)
    assert described(values) == described(shuffled)


@given(VALUES)
def test_every_interval_holds_what_it_is_of(values):
    found = described(values)
    slack = 1e-9 * max(1.0, abs(found.min), abs(found.max))
    assert found.min <= found.q1 <= found.median <= found.q3 <= found.max
    assert found.min - slack <= found.mean <= found.max + slack
    if found.mean_low is not None:
        assert found.mean_low <= found.mean <= found.mean_high
    if found.median_low is not None:
        assert found.min <= found.median_low <= found.median <= found.median_high <= found.max


@given(VALUES, st.floats(-100, 100), st.floats(0.1, 10))
def test_shift_and_scale_carry_over(values, shift, scale):
    before, after = described(values), described(np.array(values) * scale + shift)
    for name in Description.model_fields:
        old, new = getattr(before, name), getattr(after, name)
        if name == "n" or old is None:
            assert new == old
        else:
            moved = old * scale + (0 if name == "sd" else shift)
            assert new == pytest.approx(moved, rel=1e-9, abs=1e-6)

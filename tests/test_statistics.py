"""Statistics of agreement: published tables, closed forms, and sets that cannot tell."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infarct_vol.errors import UsageError
from infarct_vol.statistics.agreement import (
    bland_altman,
    icc21,
    linearity,
    median_interval,
    repeatability,
)

# four judges of six targets: Shrout and Fleiss 1979, table 2
JUDGES = [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]]
# peak expiratory flow in L/min of 17 people: Bland and Altman 1986, table 1
LARGE = [494, 395, 516, 434, 476, 557, 413, 442, 650, 433, 417, 656, 267, 478, 178, 423, 427]
LARGE_AGAIN = [490, 397, 512, 401, 470, 611, 415, 431, 638, 429, 420, 633, 275, 492, 165, 372, 421]
MINI = [512, 430, 520, 428, 500, 600, 364, 380, 658, 445, 432, 626, 260, 477, 259, 350, 451]
# Anscombe 1973, first quartet
ANSCOMBE_X = [10, 8, 13, 9, 11, 14, 6, 4, 12, 7, 5]
ANSCOMBE_Y = [8.04, 6.95, 7.58, 8.81, 8.33, 9.96, 7.24, 4.26, 10.84, 4.82, 5.68]

volumes = st.lists(st.floats(0, 300, allow_subnormal=False), min_size=3, max_size=12)


def test_icc_is_that_of_shrout_and_fleiss():
    found = icc21(JUDGES)
    assert (found.n, round(found.icc, 2)) == (6, 0.29)
    # interval of the same table as the R packages psych and irr print it
    assert (round(found.low, 3), round(found.high, 3)) == (0.019, 0.761)


def test_icc_counts_a_constant_offset_as_disagreement():
    case = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
    # rows 2 * 2.5 = 5, columns 5 * 2 * 0.25 = 2.5, no residual: 5 / (5 + 2 * 2.5 / 5)
    found = icc21(np.column_stack([case, case + 1]))
    assert found.icc == pytest.approx(5 / 6)
    assert 0 < found.low < found.icc < found.high < 1


@pytest.mark.parametrize(
    ("ratings", "expected", "reason"),
    [
        (np.empty((0, 2)), (None, None, None), "0 cases: too few for an intraclass correlation (2 at least)"),
        ([[1, 2]], (None, None, None), "1 case: too few for an intraclass correlation"),
        ([[3.3, 3.3], [3.3, 3.3]], (None, None, None), "all values are equal"),
        ([[1, 2], [1, 2], [1, 2]], (0.0, None, None), "means of all cases are equal"),
        ([[0.1, 0.1], [0.7, 0.7], [9.3, 9.3]], (1.0, 1.0, 1.0), "perfect agreement"),
    ],
)
def test_icc_of_a_set_that_cannot_tell(ratings, expected, reason):
    found = icc21(ratings)
    assert (found.icc, found.low, found.high) == expected
    assert reason in found.reason


def test_icc_refuses_one_reader():
    with pytest.raises(UsageError, match=r"2 readers at least, got shape \(3, 1\)"):
        icc21([[1], [2], [3]])


def test_limits_of_agreement_are_those_of_bland_and_altman():
    found = bland_altman(MINI, LARGE)
    assert found.n == 17
    assert (round(found.bias, 1), round(found.sd, 1)) == (-2.1, 38.8)
    # bias interval of the paper, -22.0 to 17.8
    assert (round(found.bias_low, 1), round(found.bias_high, 1)) == (-22.0, 17.8)
    assert found.upper == pytest.approx(found.bias + 1.96 * found.sd)
    assert found.lower == pytest.approx(found.bias - 1.96 * found.sd)


def test_limit_intervals_hold_the_true_limit_in_95_of_100_sets():
    differences = np.random.default_rng(7).normal(1.0, 2.0, size=(400, 8))
    found = [bland_altman(np.zeros(8), d) for d in differences]
    held_upper = np.mean([f.upper_low <= 1 + 1.96 * 2 <= f.upper_high for f in found])
    held_lower = np.mean([f.lower_low <= 1 - 1.96 * 2 <= f.lower_high for f in found])
    # three standard errors of a share of 0.95 in 400
    assert held_upper == pytest.approx(0.95, abs=0.033)
    assert held_lower == pytest.approx(0.95, abs=0.033)


@given(volumes, st.data())
def test_bland_altman_turns_with_the_order_of_the_pair(first, data):
    size = len(first)
    second = data.draw(st.lists(st.floats(0, 300, allow_subnormal=False), min_size=size, max_size=size))
    one, two = bland_altman(first, second), bland_altman(second, first)
    assert one.bias == pytest.approx(-two.bias, abs=1e-9)
    assert one.upper_high == pytest.approx(-two.lower_low, abs=1e-6)
    assert one.lower_low <= one.lower <= one.lower_high
    assert one.upper_low <= one.upper <= one.upper_high


def test_bland_altman_of_few_and_of_equal_differences():
    assert bland_altman([], []).reason == "0 cases: too few for limits of agreement (2 at least)"
    single = bland_altman([1.0], [1.5])
    assert (single.bias, single.sd, single.upper) == (0.5, None, None)
    constant = bland_altman([0.1, 10.7, 203.3], [0.4, 11.0, 203.6])
    assert constant.sd == 0
    assert constant.upper_high == constant.bias == pytest.approx(0.3)
    assert "all differences are equal" in constant.reason


def test_repeatability_is_that_of_bland_and_altman():
    found = repeatability(LARGE, LARGE_AGAIN)
    # the within-subject SD the authors give for the large meter, in L/min
    assert round(found.wsd, 1) == 15.3
    assert found.rc == pytest.approx(2.77 * found.wsd)


def test_repeatability_interval_is_chi_square():
    first = np.arange(10.0, 20.0)
    found = repeatability(first, first + np.tile([1.0, -1.0], 5))
    # each d^2 = 1: wSD^2 = 10 / 20
    assert found.wsd == pytest.approx(math.sqrt(0.5))
    # quantiles of chi-square with 10 degrees of freedom from a printed table: 3.247 and 20.483
    assert found.rc_low == pytest.approx(found.rc * math.sqrt(10 / 20.483), rel=1e-4)
    assert found.rc_high == pytest.approx(found.rc * math.sqrt(10 / 3.247), rel=1e-4)


def test_repeatability_in_percent_leaves_zeros_apart():
    found = repeatability([0.0, 0.0, 99.0, 9.9, 198.0], [0.0, 4.0, 101.0, 10.1, 202.0])
    # the three pairs without a 0 differ by 2 % of their mean each
    assert found.n_percent == 3
    assert found.rc_percent == pytest.approx(2.77 * 2 / math.sqrt(2))
    assert found.rc_percent_low < found.rc_percent < found.rc_percent_high


def test_repeatability_that_cannot_tell():
    assert "1 case" in repeatability([1.0], [2.0]).reason
    equal = repeatability([1.0, 5.0], [1.0, 5.0])
    assert (equal.rc, equal.rc_high, equal.rc_percent) == (0.0, 0.0, 0.0)
    assert "all pairs are equal" in equal.reason
    zeros = repeatability([0.0, 0.0, 2.0], [1.0, 2.0, 2.5])
    assert (zeros.n_percent, zeros.rc_percent) == (1, None)
    assert "no percentage" in zeros.reason
    with pytest.raises(UsageError, match="cannot be negative, got -1 mL"):
        repeatability([-1.0, 2.0], [1.0, 2.0])


def test_linearity_is_that_of_a_textbook():
    found = linearity(ANSCOMBE_X, ANSCOMBE_Y)
    assert found.slope == pytest.approx(0.5001, abs=5e-5)
    assert found.intercept == pytest.approx(3.0001, abs=5e-5)
    assert found.r_squared == pytest.approx(0.6665, abs=5e-5)
    # standard errors 0.1179 and 1.1247; t with 9 degrees of freedom is 2.2622
    assert found.slope_high - found.slope == pytest.approx(2.2622 * 0.1179, abs=1e-4)
    assert found.intercept - found.intercept_low == pytest.approx(2.2622 * 1.1247, abs=1e-4)


def test_linearity_that_cannot_tell():
    assert "2 cases" in linearity([1, 2], [1, 2]).reason
    flat = linearity([5.1, 5.1, 5.1], [1, 2, 3])
    assert (flat.slope, flat.reason) == (None, "all true volumes are equal: there is no line")
    same = linearity([1, 2, 3], [4.2, 4.2, 4.2])
    assert (same.slope, same.r_squared) == (0.0, None)
    assert "R2 is not defined" in same.reason


@pytest.mark.parametrize(("n", "low", "high"), [(6, 1, 6), (10, 2, 9), (25, 8, 18), (100, 40, 61)])
def test_median_interval_is_a_pair_of_order_statistics(n, low, high):
    # ranks of the sign test's interval, printed tables of the binomial
    values = np.random.default_rng(3).permutation(np.arange(1, n + 1))
    found = median_interval(values)
    assert (found.low, found.value, found.high) == (low, (n + 1) / 2, high)


def test_median_of_few_values_has_no_interval():
    found = median_interval([3.0, 1.0, 2.0, 5.0, 4.0])
    assert (found.value, found.low, found.high) == (3.0, None, None)
    assert found.reason == "5 cases: too few for the interval of a median (6 at least)"
    assert median_interval([]).reason == "no value"


@pytest.mark.parametrize("function", [bland_altman, repeatability, linearity])
def test_pairs_that_are_no_pairs_are_refused(function):
    with pytest.raises(UsageError, match=r"one length, got shapes \(3,\) and \(2,\)"):
        function([1, 2, 3], [1, 2])
    with pytest.raises(UsageError, match="not finite"):
        function([1, 2, math.nan], [1, 2, 3])

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from infarct_vol.errors import UsageError
from infarct_vol.statistics.correlation import CorrelationRow, spearman


def test_numbers_worked_by_hand():
    # ranks 1 2 3 4 5 and 2 1 4 3 5: squared differences add up to 4, rho = 1 - 6 * 4 / (5 * 24) = 0.8
    found = spearman([10, 20, 30, 40, 50], [2.5, 1.5, 4.5, 3.5, 5.5])
    assert found.n == 5
    assert found.rho == pytest.approx(0.8)
    # z = atanh 0.8 = 1.098612, error sqrt((1 + 0.32) / 2) = 0.812404, half 1.592283:
    # tanh(-0.493671) and tanh(2.690895)
    assert found.low == pytest.approx(-0.457124, abs=2e-6)
    assert found.high == pytest.approx(0.990843, abs=2e-6)
    # t = 0.8 sqrt(3 / 0.36) = 2.309401 with 3 degrees of freedom
    assert found.p == pytest.approx(0.104088, abs=1e-6)


def test_iq_and_hours_of_television():
    # the worked example of the encyclopaedia article on Spearman's coefficient: rho = -29/165 = -0.1758,
    # p = 0.627188 by Student's t
    iq = [106, 100, 86, 101, 99, 103, 97, 113, 112, 110]
    hours = [7, 27, 2, 50, 28, 29, 20, 12, 6, 17]
    found = spearman(iq, hours)
    assert found.rho == pytest.approx(-29 / 165)
    assert found.p == pytest.approx(0.627188, abs=1e-6)


def test_ties_take_their_average_rank():
    # ranks 1.5 1.5 3 4 and 1 2 3.5 3.5: deviations from 2.5 multiply to 1.5 + 0.5 + 0.5 + 1.5 = 4,
    # squares 4.5 each
    found = spearman([1, 1, 2, 3], [5, 6, 7, 7])
    assert found.rho == pytest.approx(4 / 4.5)


@pytest.mark.parametrize("n", [0, 1, 2, 3])
def test_too_few_pairs(n):
    assert spearman(range(n), range(n)) == CorrelationRow(
        n=n, reason=f"{n} pairs: too few for a correlation (4 at least)"
    )


@pytest.mark.parametrize(("x", "y"), [([1, 1, 1, 1], [1, 2, 3, 4]), ([1, 2, 3, 4], [0, 0, 0, 0])])
def test_constant_values_have_no_correlation(x, y):
    found = spearman(x, y)
    assert (found.n, found.rho, found.p) == (4, None, None)
    assert "equal" in found.reason


@pytest.mark.parametrize(("sign", "n"), [(1, 4), (-1, 7), (1, 101)])
def test_ranks_that_agree_have_no_interval(sign, n):
    x = np.arange(n)
    found = spearman(x, sign * np.exp(x / 10))
    assert found == CorrelationRow(n=n, rho=sign, reason="the ranks agree throughout: no interval and no p")


def test_bad_input_is_refused():
    with pytest.raises(UsageError, match=r"shapes \(2,\) and \(3,\)"):
        spearman([1, 2], [1, 2, 3])
    with pytest.raises(UsageError, match="not finite"):
        spearman([1, 2, 3, math.nan], [1, 2, 3, 4])


@given(st.lists(st.tuples(st.integers(-9, 9), st.integers(-9, 9)), min_size=4, max_size=40))
def test_it_is_scipy_s_and_symmetric(pairs):
    x, y = np.array(pairs, dtype=float).T
    found = spearman(x, y)
    assert found == spearman(y, x)
    if found.rho is None:
        assert np.ptp(x) == 0 or np.ptp(y) == 0
        return
    known = stats.spearmanr(x, y)
    assert found.rho == pytest.approx(known.statistic, abs=1e-12)
    if found.p is not None:
        assert found.p == pytest.approx(known.pvalue, rel=1e-6, abs=1e-12)
        assert -1 <= found.low <= found.rho <= found.high <= 1

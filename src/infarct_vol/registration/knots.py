"""Functions of intensity, learned from points: straight lines between knots."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# as many intensities place the knots as well as all of them
_PLACED_BY = 4096

Values = NDArray[np.float32]


class Knots:
    """Linear hat functions over the intensities of N points, at K knots of equal population.

    Every point has a share in the knot below it and the rest in the knot above. Values come as (..., N)
    and totals as (..., K): as many rows as wanted share the points.

    Parameters
    ----------
    intensities
        (N,) intensities of the points.
    knots
        Knots wanted; fewer where intensities repeat.
    """

    def __init__(self, intensities: Values, *, knots: int) -> None:
        few = np.sort(intensities[:: max(1, intensities.size // _PLACED_BY)])
        places = few[np.linspace(0, few.size - 1, knots).astype(np.intp)]
        places = places[np.append(True, np.diff(places) > 0)]
        if places.size < 2:
            places = np.array([places[0], places[0] + 1], dtype=np.float32)
        self.size = int(places.size)
        self._low = np.clip(np.searchsorted(places, intensities, side="right") - 1, 0, self.size - 2)
        above = (intensities - places[self._low]) / np.diff(places)[self._low]
        self._above = np.clip(above, 0, 1).astype(np.float32)
        # sums between knots run over points in the order of their intensity; empty intervals have no run
        self._order = np.argsort(self._low, kind="stable")
        self._filled, self._runs = np.unique(self._low[self._order], return_index=True)
        self._above_ordered = self._above[self._order]
        self._below_ordered = 1 - self._above_ordered

    def _summed(self, ordered: Values) -> Values:
        """Sum (..., N) ordered values between knots; (..., K - 1)."""
        sums = np.zeros((*ordered.shape[:-1], self.size - 1), dtype=np.float32)
        sums[..., self._filled] = np.add.reduceat(ordered, self._runs, axis=-1)
        return sums

    def totals(self, values: Values) -> Values:
        """Sum (..., N) values into the knots by their shares; (..., K)."""
        ordered = values.take(self._order, axis=-1)
        upper = ordered * self._above_ordered
        ordered -= upper
        return _joined(self._summed(ordered), self._summed(upper))

    def at_points(self, coefficients: NDArray[np.float64] | Values) -> Values:
        """Evaluate (..., K) knot values at the points; (..., N)."""
        coefficients = coefficients.astype(np.float32)
        rise = np.diff(coefficients, axis=-1).take(self._low, axis=-1)
        rise *= self._above
        rise += coefficients.take(self._low, axis=-1)
        return np.asarray(rise)

    def solved(self, weights: Values, totals: Values) -> NDArray[np.float64]:
        """Knot values of weighted least-squares fits.

        Parameters
        ----------
        weights
            (C, N) weights of the points in each of C fits.
        totals
            (C, Q, K) weighted targets, Q in each fit, summed into the knots.
        """
        ordered = weights.take(self._order, axis=-1)
        lower = ordered * self._below_ordered
        upper = ordered * self._above_ordered
        between = self._summed(lower * self._above_ordered)
        lower *= self._below_ordered
        upper *= self._above_ordered
        diagonal = _joined(self._summed(lower), self._summed(upper)).astype(np.float64)
        # a knot without points is tied to zero instead of making the system singular
        diagonal += 1e-6 * np.maximum(diagonal.mean(axis=1, keepdims=True), 1e-12)
        system = np.zeros((len(weights), self.size, self.size))
        knot = np.arange(self.size)
        system[:, knot, knot] = diagonal
        system[:, knot[1:], knot[:-1]] = system[:, knot[:-1], knot[1:]] = between
        targets = totals.astype(np.float64).transpose(0, 2, 1)
        return np.asarray(np.linalg.solve(system, targets).transpose(0, 2, 1))

    def expected(self, weights: Values, targets: Values) -> Values:
        """Weighted least-squares fits of (C, N) targets by functions of intensity, at the points."""
        totals = self.totals(weights * targets)
        return self.at_points(self.solved(weights, totals[:, None])[:, 0])


def _joined(lower: Values, upper: Values) -> Values:
    """Total at the knots what lies in the intervals above (``lower``) and below them (``upper``)."""
    totals = np.zeros((*lower.shape[:-1], lower.shape[-1] + 1), dtype=np.float32)
    totals[..., :-1] = lower
    totals[..., 1:] += upper
    return totals

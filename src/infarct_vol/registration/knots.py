"""Functions of intensity, learned from points: straight lines between knots."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

# as many intensities place the knots as well as all of them
_PLACED_BY = 4096


class Knots:
    """Linear hat functions over the intensities of N points, at knots of equal population.

    Every point has a share in the knot below it and the rest in the knot above. ``copies`` stacks the
    same points several times, each copy with knots of its own: one copy for each transform compared.

    Parameters
    ----------
    intensities
        (N,) intensities of the points.
    knots
        Knots wanted; fewer where intensities repeat.
    copies
        C; all methods then take and give C * N points and C * K knots, copy after copy.
    """

    def __init__(self, intensities: NDArray[np.float32], *, knots: int, copies: int = 1) -> None:
        few = intensities[:: max(1, intensities.size // _PLACED_BY)]
        places = np.unique(np.quantile(few, np.linspace(0.0, 1.0, knots)).astype(np.float32))
        if places.size < 2:
            places = np.array([places[0], places[0] + 1], dtype=np.float32)
        low = np.clip(np.searchsorted(places, intensities, side="right") - 1, 0, places.size - 2)
        above = ((intensities - places[low]) / np.diff(places)[low]).astype(np.float32)
        self.size = int(places.size)
        self.copies = copies
        self._assemble(low, np.clip(above, 0, 1))

    def _assemble(self, low: NDArray[np.intp], above: NDArray[np.float32]) -> None:
        columns = (low + self.size * np.arange(self.copies)[:, None]).ravel().astype(np.int32)
        above = np.tile(above, self.copies)
        below = 1 - above
        total, points = self.size * self.copies, columns.size
        shares = np.stack((below, above), axis=1).ravel()
        where = np.stack((columns, columns + 1), axis=1).ravel()
        ends = np.arange(0, 2 * points + 1, 2, dtype=np.int32)
        self._spread = sp.csr_array((shares, where, ends), shape=(points, total))
        self._gather = self._spread.T
        # products of shares: the two bands of the normal equations, side by side
        products = np.stack((below * below, above * above, below * above), axis=1).ravel()
        where = np.stack((columns, columns + 1, columns + total), axis=1).ravel()
        ends = np.arange(0, 3 * points + 1, 3, dtype=np.int32)
        self._bands = sp.csr_array((products, where, ends), shape=(points, 2 * total)).T

    def totals(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Sum (M,) or (M, Q) values into the knots by their shares."""
        return np.asarray(self._gather @ values)

    def at_points(self, coefficients: NDArray[np.float64]) -> NDArray[np.float32]:
        """Evaluate knot values at the points."""
        return np.asarray(self._spread @ coefficients.astype(np.float32))

    def solved(self, weights: NDArray[np.float32], totals: NDArray[np.float32]) -> NDArray[np.float64]:
        """Knot values of the weighted least-squares fit whose weighted targets sum to ``totals``."""
        both = np.asarray(self._bands @ weights, dtype=np.float64)
        diagonal, off = both.reshape(2, self.copies, self.size)
        # a knot without points is tied to zero instead of making the system singular
        least = 1e-6 * max(float(diagonal.mean()), 1e-12)
        system = np.zeros((self.copies, self.size, self.size))
        knot = np.arange(self.size)
        system[:, knot, knot] = diagonal + least
        system[:, knot[1:], knot[:-1]] = system[:, knot[:-1], knot[1:]] = off[:, :-1]
        targets = totals.astype(np.float64).reshape(self.copies, self.size, -1)
        return np.asarray(np.linalg.solve(system, targets).reshape(totals.shape), dtype=np.float64)

    def expected(self, weights: NDArray[np.float32], targets: NDArray[np.float32]) -> NDArray[np.float32]:
        """Weighted least-squares fit of (M,) targets by a function of intensity, at the points."""
        return self.at_points(self.solved(weights, self.totals(weights * targets)))

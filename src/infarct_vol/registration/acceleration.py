"""Fewer steps to the same end: extrapolation of a converging series of motions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_MEMORY = 3
# further out the motions are no converging series, and extrapolation leads astray
_FAR_MM = 0.25
# Gauss-Newton on noisy gradients falls short by about a third at every step
_FIRST = 1.4
_LARGEST_FACTOR = 6.0

Motion = NDArray[np.float64]


class Accelerator:
    """Anderson acceleration (Walker and Ni 2011) of a vector of parameters.

    Parameters
    ----------
    scale
        Makes the parameters comparable: mm of motion per unit of each.
    """

    def __init__(self, scale: Motion) -> None:
        self._scale = scale
        self._proposed: list[Motion] = []
        self._taken: list[Motion] = []

    def improved(self, motion: Motion) -> Motion:
        """Return the motion to make, given the one that a plain step proposes."""
        wanted = motion * self._scale
        size = float(np.linalg.norm(wanted))
        if size > _FAR_MM or (self._proposed and size > 2 * float(np.linalg.norm(self._proposed[-1]))):
            self._proposed, self._taken = [], []
        made = _FIRST * wanted
        if self._proposed:
            series = [*self._proposed, wanted]
            changes = np.diff(np.array(series), axis=0).T
            steps = np.array(self._taken).T
            share, *_ = np.linalg.lstsq(changes, wanted, rcond=1e-6)
            made = wanted - (steps + changes) @ share
            length = float(np.linalg.norm(made))
            made *= min(1.0, _LARGEST_FACTOR * size / max(length, 1e-12))
        self._proposed = [*self._proposed, wanted][-_MEMORY:]
        self._taken = [*self._taken, made][-_MEMORY:]
        return np.asarray(made / self._scale)

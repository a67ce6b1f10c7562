"""What lies around a head in an image that was stripped of its skull and then normalised."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Volume = NDArray[np.float32]

_LEAST_SHARE = 0.1
"""Share of the image that one value must fill to be background."""
_LEAST_BELOW = 0.2
"""Share of the rest below it that only normalisation gives; resampling rings below zero in far fewer."""
_DARKEST_PERCENT = 0.5


def inner_background(data: Volume) -> NDArray[np.bool_] | None:
    """Return the background of an image whose value lies amid the intensities of the head.

    That is how an image looks whose mean was taken off inside a brain mask (z-score), with 0 left around it.

    Returns
    -------
    numpy.ndarray or None
        (I, J, K) bool; ``None`` for any other image.
    """
    ends = tuple(slice(None, None, max(n - 1, 1)) for n in data.shape)
    values, counts = np.unique(data[ends], return_counts=True)
    outside = data == values[counts.argmax()]
    if np.count_nonzero(outside) < _LEAST_SHARE * data.size:
        return None
    below = np.count_nonzero(data < values[counts.argmax()])
    rest = data.size - np.count_nonzero(outside)
    return outside if rest and below >= _LEAST_BELOW * rest else None


def with_dark_background(data: Volume) -> Volume:
    """Return an image whose background is as dark as its darkest voxels, where it lies amid them."""
    outside = inner_background(data)
    if outside is None:
        return data
    rest = data[~outside & np.isfinite(data)]
    darkest = np.percentile(rest, _DARKEST_PERCENT, method="lower")
    return np.where(outside, np.float32(darkest), data)

"""Smoothing, bodies and distances in images of a few mm: numpy alone.

At these sizes loading scipy.ndimage would cost more than all the work of a registration's coarse levels.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]


def share_below(values: NDArray[Any], share: float) -> float:
    """Return the value that a share of all values is below.

    np.quantile would give the same between two values, and load numpy's masked arrays to do so.
    """
    place = round(share * (values.size - 1))
    return float(np.partition(values, place, axis=None)[place])


def along(values: NDArray[np.float32], weights: NDArray[np.float32], axis: int) -> NDArray[np.float32]:
    """Replace every line along an axis of an (I, J, K) image by ``weights`` (M, n) times that line."""
    if axis == 2:
        return np.asarray(values @ weights.T)
    if axis == 1:
        return np.asarray(weights @ values)
    lines = weights @ values.reshape(len(values), -1)
    return np.asarray(lines.reshape(-1, *values.shape[1:]))


def blurred(
    values: NDArray[np.float32],
    sigma: Sequence[float] | NDArray[np.float64],
    *,
    outside: Literal["nearest", "zero"] = "nearest",
) -> NDArray[np.float32]:
    """Blur by a Gaussian.

    Parameters
    ----------
    values
        (I, J, K) image.
    sigma
        Standard deviation along every axis, in voxels; the kernel ends at four of them.
    outside
        What lies beyond the image: its nearest voxel, or nothing.
    """
    for axis in range(3):
        values = along(values, _gaussian(values.shape[axis], float(sigma[axis]), outside), axis)
    return values


def _gaussian(count: int, sigma: float, outside: str) -> NDArray[np.float32]:
    """(count, count) weights of every voxel of a line in every blurred one."""
    reach = int(4 * sigma + 0.5)
    offsets = np.arange(-reach, reach + 1)
    kernel = np.exp(-0.5 * (offsets / sigma) ** 2)
    kernel /= kernel.sum()
    weights = np.zeros((count, count))
    rows = np.arange(count)
    for offset, weight in zip(offsets, kernel, strict=True):
        columns = np.clip(rows + offset, 0, count - 1)
        inside = outside == "nearest" or columns == rows + offset
        weights[rows, columns] += weight * inside
    return weights.astype(np.float32)


def largest_body(mask: Mask, seed: tuple[int, ...]) -> Mask:
    """Return the largest 6-connected body of a mask, the first of equals.

    Parameters
    ----------
    mask
        (I, J, K), not empty.
    seed
        A voxel of the mask that is likely to be in it: looked at first.
    """
    rest, largest, size = mask.copy(), np.zeros_like(mask), 0
    while np.count_nonzero(rest) > size:
        start = np.zeros_like(mask)
        start[seed] = True
        body = flooded(start, rest)
        count = int(np.count_nonzero(body))
        if count > size:
            largest, size = body, count
        rest &= ~body
        seed = tuple(int(n) for n in np.unravel_index(np.argmax(rest), rest.shape))
    return largest


def without_holes(mask: Mask) -> Mask:
    """Fill what the mask encloses: all that cannot be reached (6-connected) from the image's faces."""
    outside = np.zeros_like(mask)
    for axis in range(3):
        faces = outside.swapaxes(0, axis)
        faces[0] = faces[-1] = True
    return np.asarray(~flooded(outside & ~mask, ~mask))


def flooded(start: Mask, within: Mask) -> Mask:
    """Return what is 6-connected to ``start`` inside ``within``, of which it is a part."""
    found, before = start.copy(), -1
    turns = [np.ascontiguousarray(within.transpose(np.roll((0, 1, 2), -turn))) for turn in range(3)]
    while (count := int(np.count_nonzero(found))) != before:
        before = count
        for allowed in turns:
            for k in range(1, len(found)):
                found[k] |= found[k - 1] & allowed[k]
            for k in range(len(found) - 2, -1, -1):
                found[k] |= found[k + 1] & allowed[k]
            # the next axis in front, where planes are contiguous; after three turns all is as it was
            found = np.ascontiguousarray(found.transpose(1, 2, 0))
    return found


def near(mask: Mask, radius_mm: float, spacing_mm: NDArray[np.float64], *, outside: bool = False) -> Mask:
    """Return the voxels with a voxel of the mask within a distance between their centres.

    Parameters
    ----------
    mask
        (I, J, K).
    radius_mm
        Largest distance.
    spacing_mm
        (3,) distance between voxels along every axis.
    outside
        Whether what lies beyond the image belongs to the mask.
    """
    reach = np.floor(radius_mm / spacing_mm).astype(int)
    wide = np.pad(mask, [(n, n) for n in reach], constant_values=outside)
    found = mask.copy()
    for offset in product(*(range(-n, n + 1) for n in reach)):
        if np.linalg.norm(offset * spacing_mm) <= radius_mm:
            first = reach + offset
            found |= wide[tuple(slice(a, a + n) for a, n in zip(first, mask.shape, strict=True))]
    return found

"""Values and gradients of an image between its voxels, for one transform or many at once."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

# points worked on at a time: small enough for the intermediate arrays to stay in the processor's cache
_BLOCK = 8192


class Samples(NamedTuple):
    """Trilinear samples of M places.

    (M,) values, (3, M) gradient per voxel index (empty where none was asked for), (M,) bool inside.
    """

    values: NDArray[np.float32]
    gradient: NDArray[np.float32]
    inside: NDArray[np.bool_]


def sample(values: NDArray[np.float32], index: NDArray[np.float32], *, gradient: bool) -> Samples:
    """Sample an image trilinearly, with the exact gradient of the interpolant.

    Parameters
    ----------
    values
        (I, J, K) C-contiguous image, at least two voxels along every axis.
    index
        (3, M) continuous voxel indices. Places outside the box of voxel centres get the nearest value
        and ``inside`` False.
    gradient
        Whether the gradient is wanted.
    """
    count = index.shape[1]
    found = np.empty(count, dtype=np.float32)
    slopes = np.empty((3, count if gradient else 0), dtype=np.float32)
    inside = np.empty(count, dtype=np.bool_)
    flat = values.reshape(-1)
    for start in range(0, count, _BLOCK):
        part = slice(start, min(start + _BLOCK, count))
        inside[part] = _sampled(
            flat, values.shape, index[:, part], found[part], slopes[:, part] if gradient else None
        )
    return Samples(found, slopes, inside)


def _sampled(
    flat: NDArray[np.float32],
    shape: tuple[int, ...],
    index: NDArray[np.float32],
    found: NDArray[np.float32],
    slopes: NDArray[np.float32] | None,
) -> NDArray[np.bool_]:
    """Write samples into ``found`` and ``slopes``; return what lies inside."""
    last = np.array(shape, dtype=np.float32)[:, None] - 1
    clipped = np.clip(index, 0, last)
    inside = (clipped == index).all(axis=0)
    low = np.minimum(clipped.astype(np.intp), np.array(shape)[:, None] - 2)
    # integers of 64 bits would make everything below float64
    clipped -= low.astype(np.float32)
    u, v, w = clipped
    row, plane = shape[2], shape[1] * shape[2]
    base = low[0] * plane
    base += low[1] * row
    base += low[2]
    offsets = (0, row, plane, plane + row)
    corners = [flat[offset:].take(base) for offset in offsets]
    edges = [flat[offset + 1 :].take(base) for offset in offsets]
    for near, far in zip(corners, edges, strict=True):
        far -= near
    a00, a01, a10, a11 = (near + far * w for near, far in zip(corners, edges, strict=True))
    a01 -= a00
    a11 -= a10
    a00 += a01 * v
    a10 += a11 * v
    a10 -= a00
    np.multiply(a10, u, out=found)
    found += a00
    if slopes is not None:
        slopes[0] = a10
        slopes[1] = a01 + (a11 - a01) * u
        k00, k01, k10, k11 = edges
        k00 += (k01 - k00) * v
        k10 += (k11 - k10) * v
        slopes[2] = k00 + (k10 - k00) * u
    return np.asarray(inside)

"""Values and gradients of an image between its voxels."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Samples(NamedTuple):
    """Trilinear samples: (N,) values, (3, N) gradient per mm in RAS+, (N,) bool inside the image."""

    values: NDArray[np.float32]
    gradient: NDArray[np.float32]
    inside: NDArray[np.bool_]


def sample(values: NDArray[np.float32], affine: NDArray[np.float64], points: NDArray[np.float64]) -> Samples:
    """Sample an image trilinearly at points, with the exact gradient of the interpolant.

    Parameters
    ----------
    values
        (I, J, K) image, at least two voxels along every axis.
    affine
        (4, 4) voxel index -> RAS+ mm.
    points
        (N, 3) RAS+ mm. Points outside the voxel centres' box get the nearest value and ``inside`` False.
    """
    inverse = np.linalg.inv(affine)
    index = inverse[:3, :3] @ points.T + inverse[:3, 3:]
    last = np.array(values.shape, dtype=np.float64)[:, None] - 1.0
    inside = np.asarray(((index >= 0.0) & (index <= last)).all(axis=0))
    np.clip(index, 0.0, last, out=index)
    low = np.minimum(index.astype(np.int64), last.astype(np.int64) - 1)
    u, v, w = (index - low).astype(np.float32)
    row, plane = values.shape[2], values.shape[1] * values.shape[2]
    flat, base = values.ravel(), low[0] * plane + low[1] * row + low[2]

    def edge(offset: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        start = flat.take(base + offset)
        slope = flat.take(base + (offset + 1)) - start
        return start + slope * w, slope

    a00, k00 = edge(0)
    a01, k01 = edge(row)
    a10, k10 = edge(plane)
    a11, k11 = edge(plane + row)
    j0, j1 = a01 - a00, a11 - a10
    b0, b1 = a00 + j0 * v, a10 + j1 * v
    di = b1 - b0
    dj = j0 + (j1 - j0) * u
    k0, k1 = k00 + (k01 - k00) * v, k10 + (k11 - k10) * v
    dk = k0 + (k1 - k0) * u
    to_world = inverse[:3, :3].T.astype(np.float32)
    return Samples(b0 + di * u, to_world @ np.stack((di, dj, dk)), inside)

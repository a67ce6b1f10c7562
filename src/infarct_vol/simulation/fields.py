"""Smooth random fields and soft shapes that digital anatomy and lesions are made of.

Everything here is plain numpy without linear-algebra calls, so that results do not depend on the number
of threads.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float32]


def smooth_noise(shape: Sequence[int], rng: np.random.Generator, *, knot_spacing_voxels: float) -> Field:
    """Return a random field of mean 0 and standard deviation 1, smooth at the scale of the knots.

    A cubic B-spline over independent normal coefficients, one every ``knot_spacing_voxels``.

    Returns
    -------
    (I, J, K) float32
    """
    knots = [int(np.ceil((n - 1) / knot_spacing_voxels)) + 4 for n in shape]
    field = rng.standard_normal(knots).astype(np.float32)
    for axis, length in enumerate(shape):
        field = _interpolate_axis(field, axis, length, knot_spacing_voxels)
    spread = float(field.std(dtype=np.float64))
    field -= np.float32(field.mean(dtype=np.float64))
    field /= np.float32(spread)
    return field


def _interpolate_axis(field: Field, axis: int, length: int, spacing: float) -> Field:
    position = np.arange(length) / spacing
    start = np.floor(position).astype(np.intp)
    t = position - start
    weights = (
        (1 - t) ** 3 / 6,
        (3 * t**3 - 6 * t**2 + 4) / 6,
        (-3 * t**3 + 3 * t**2 + 3 * t + 1) / 6,
        t**3 / 6,
    )
    along = [1, 1, 1]
    along[axis] = length
    out = np.zeros((*field.shape[:axis], length, *field.shape[axis + 1 :]), dtype=np.float32)
    for offset, weight in enumerate(weights):
        piece = np.take(field, start + offset, axis=axis)
        piece *= weight.astype(np.float32).reshape(along)
        out += piece
    return out


def soft_step(distance: Field, *, width: float) -> Field:
    """Return 0 to 1 across an edge: 0.5 where ``distance`` is 0, linear over ``width``."""
    return np.asarray(np.clip(distance / np.float32(width) + np.float32(0.5), 0, 1), dtype=np.float32)


def ellipsoid_distance(xyz: Sequence[Field], centre: Sequence[float], radii: Sequence[float]) -> Field:
    """Return about the distance in mm inside (positive) an axis-parallel ellipsoid.

    Parameters
    ----------
    xyz
        Three arrays of coordinates in mm that broadcast together.
    """
    squared = sum(
        ((x - np.float32(c)) / np.float32(r)) ** 2 for x, c, r in zip(xyz, centre, radii, strict=True)
    )
    scale = np.float32(np.prod(radii) ** (1 / 3))
    return np.asarray((1 - np.sqrt(squared)) * scale, dtype=np.float32)


def bump(xyz: Sequence[Field], centre: Sequence[float], sigma_mm: Sequence[float]) -> Field:
    """Return a Gaussian bump of height 1."""
    exponent = sum(
        ((x - np.float32(c)) / np.float32(s)) ** 2 for x, c, s in zip(xyz, centre, sigma_mm, strict=True)
    )
    return np.asarray(np.exp(np.float32(-0.5) * exponent), dtype=np.float32)


def bounding_slices(inside: NDArray[np.bool_], *, margin: int = 0) -> tuple[slice, slice, slice]:
    """Return slices around the True voxels, grown by ``margin`` voxels and kept inside the array.

    Raises
    ------
    ValueError
        If nothing is inside.
    """
    found = []
    for axis, length in enumerate(inside.shape):
        others = tuple(a for a in range(3) if a != axis)
        hits = np.flatnonzero(inside.any(axis=others))
        if hits.size == 0:
            msg = "no voxel is inside, so there is no box around them"
            raise ValueError(msg)
        found.append(slice(max(0, int(hits[0]) - margin), min(length, int(hits[-1]) + 1 + margin)))
    return found[0], found[1], found[2]

"""Small rigid motions and stacks of transforms."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]


def applied(matrices: Matrix, points: NDArray[np.float32]) -> NDArray[np.float32]:
    """Apply (C, 4, 4) transforms to (3, N) points; (3, C * N), transform after transform."""
    rows = matrices[:, :3, :3].transpose(1, 0, 2).reshape(-1, 3).astype(np.float32)
    moved_points = rows @ points
    moved_points += matrices[:, :3, 3].T.reshape(-1, 1).astype(np.float32)
    return moved_points.reshape(3, -1)


def inverted(matrices: Matrix) -> Matrix:
    """Return the inverses of (..., 4, 4) transforms."""
    return np.asarray(np.linalg.inv(matrices), dtype=np.float64)


def crossing(vectors: Matrix) -> Matrix:
    """Return the (..., 3, 3) matrices of the cross product with (..., 3) vectors on its left."""
    result = np.zeros((*vectors.shape, 3))
    for axis in range(3):
        after, last = (axis + 1) % 3, (axis + 2) % 3
        result[..., last, after] = vectors[..., axis]
        result[..., after, last] = -vectors[..., axis]
    return result


def turned(rotations: Matrix) -> Matrix:
    """Return the (..., 3, 3) rotations by (..., 3) rotation vectors in radians (Rodrigues)."""
    angles = np.sqrt(np.square(rotations).sum(axis=-1))[..., None, None]
    cross = crossing(rotations)
    # sin(a)/a and (1-cos(a))/a^2 without their 0/0
    first = np.sinc(angles / np.pi)
    second = 0.5 * np.square(np.sinc(angles / (2 * np.pi)))
    return np.asarray(np.eye(3) + first * cross + second * (cross @ cross))


def moved(matrices: Matrix, motions: Matrix) -> Matrix:
    """Apply (..., 6) motions (shift in mm, rotation vector about the origin) after (..., 4, 4) transforms."""
    motion = np.zeros((*motions.shape[:-1], 4, 4))
    motion[..., :3, :3] = turned(motions[..., 3:])
    motion[..., :3, 3] = motions[..., :3]
    motion[..., 3, 3] = 1.0
    return np.asarray(motion @ matrices)


def about(linear: Matrix, source: Matrix, target: Matrix) -> Matrix:
    """Return the transform with a given linear part that takes ``source`` to ``target``."""
    matrix = np.eye(4)
    matrix[:3, :3] = linear
    matrix[:3, 3] = target - linear @ source
    return matrix


def adjoint(matrices: Matrix) -> Matrix:
    """Return the (..., 6, 6) maps from motions of moving points to the same motions of fixed points.

    A motion of moving points by m is, seen through a transform (fixed -> moving), a motion of fixed points.
    """
    rotations = matrices[..., :3, :3]
    inverses = rotations.swapaxes(-1, -2)
    result = np.zeros((*matrices.shape[:-2], 6, 6))
    result[..., :3, :3] = inverses
    result[..., :3, 3:] = -inverses @ crossing(matrices[..., :3, 3])
    # the axis of a rotation is a pseudo-vector: a mirror turns it over
    result[..., 3:, 3:] = np.linalg.det(rotations)[..., None, None] * inverses
    return result

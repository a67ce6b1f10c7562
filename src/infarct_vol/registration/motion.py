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


def crossing(vector: Matrix) -> Matrix:
    """Return the (3, 3) matrix of the cross product with a vector on its left."""
    x, y, z = vector
    return np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])


def turned(rotation: Matrix) -> Matrix:
    """Return the (3, 3) rotation by a rotation vector in radians (Rodrigues)."""
    angle = float(np.linalg.norm(rotation))
    cross = crossing(rotation)
    # sin(a)/a and (1-cos(a))/a^2 without their 0/0
    first = float(np.sinc(angle / np.pi))
    second = 0.5 * float(np.sinc(angle / (2 * np.pi))) ** 2
    return np.asarray(np.eye(3) + first * cross + second * (cross @ cross))


def moved(matrix: Matrix, motion: Matrix) -> Matrix:
    """Apply a motion (shift in mm, rotation vector about the origin) after a (4, 4) transform."""
    result = np.eye(4)
    rotation = turned(motion[3:])
    result[:3, :3] = rotation @ matrix[:3, :3]
    result[:3, 3] = rotation @ matrix[:3, 3] + motion[:3]
    return result


def about(linear: Matrix, source: Matrix, target: Matrix) -> Matrix:
    """Return the transform with a given linear part that takes ``source`` to ``target``."""
    matrix = np.eye(4)
    matrix[:3, :3] = linear
    matrix[:3, 3] = target - linear @ source
    return matrix


def adjoint(matrix: Matrix) -> Matrix:
    """Return the (6, 6) map from motions of moving points to the same motions of fixed points.

    A motion of moving points by m is, seen through ``matrix`` (fixed -> moving), a motion of fixed points.
    """
    rotation = matrix[:3, :3]
    inverse = rotation.T
    result = np.zeros((6, 6))
    result[:3, :3] = inverse
    result[:3, 3:] = -inverse @ crossing(matrix[:3, 3])
    # the axis of a rotation is a pseudo-vector: a mirror turns it over
    result[3:, 3:] = np.linalg.det(rotation) * inverse
    return result

"""Rigid transforms: which points of one scan are which points of another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from infarct_vol.errors import RegistrationError
from infarct_vol.registration.quality import RegistrationQuality

_RIGID_TOLERANCE = 1e-4


@dataclass(frozen=True, eq=False)
class RigidTransform:
    """A rotation and a shift that take points of FIXED to points of MOVING.

    Parameters
    ----------
    matrix
        (4, 4): points of the fixed scan (RAS+ mm) -> points of the moving scan (RAS+ mm).
        This is the direction resampling needs: for every voxel of the fixed grid it names the place in
        the moving scan to read from.
    quality
        Verdict on the registration this transform came from; ``None`` for one from elsewhere.

    Raises
    ------
    RegistrationError
        If the matrix is not a finite 4x4 rotation and shift (scale, shear and mirrors are refused).
    """

    matrix: NDArray[np.float64]
    quality: RegistrationQuality | None = None

    def __post_init__(self) -> None:
        matrix = np.array(self.matrix, dtype=np.float64)
        if matrix.shape != (4, 4) or not np.isfinite(matrix).all():
            msg = "a rigid transform needs a finite 4x4 matrix"
            raise RegistrationError(msg)
        rotation = matrix[:3, :3]
        departure = float(np.abs(rotation @ rotation.T - np.eye(3)).max())
        if departure > _RIGID_TOLERANCE or np.linalg.det(rotation) < 0:
            msg = (
                f"the matrix is not a rotation: R R' departs from identity by {departure:.2g} (at most "
                f"{_RIGID_TOLERANCE:g}) and its determinant is {np.linalg.det(rotation):.4f} (expected 1); "
                "scale, shear and mirrors are not registered within a participant"
            )
            raise RegistrationError(msg)
        if not np.allclose(matrix[3], [0, 0, 0, 1]):
            msg = f"the last row of a rigid transform is 0 0 0 1, got {matrix[3].tolist()}"
            raise RegistrationError(msg)
        matrix.setflags(write=False)
        object.__setattr__(self, "matrix", matrix)

    def __reduce__(self) -> tuple[Any, ...]:
        # rebuilding through the constructor keeps the matrix read-only after unpickling
        return (RigidTransform, (np.array(self.matrix), self.quality))

    @classmethod
    def identity(cls) -> RigidTransform:
        """Return the transform that moves nothing."""
        return cls(np.eye(4))

    def apply(self, points: ArrayLike) -> NDArray[np.float64]:
        """Map (..., 3) points of the fixed scan to points of the moving scan, both RAS+ mm."""
        xyz = np.asarray(points, dtype=np.float64)
        return np.asarray(xyz @ self.matrix[:3, :3].T + self.matrix[:3, 3])

    def inverse(self) -> RigidTransform:
        """Return the transform from points of the moving scan to points of the fixed one."""
        rotation = self.matrix[:3, :3].T
        matrix = np.eye(4)
        matrix[:3, :3] = rotation
        matrix[:3, 3] = -rotation @ self.matrix[:3, 3]
        return RigidTransform(matrix, self.quality)

    def compose(self, after: RigidTransform) -> RigidTransform:
        """Return the transform that applies ``self`` first and ``after`` second, without a quality."""
        return RigidTransform(orthonormal(after.matrix @ self.matrix))

    def passed(self, what: str, *, where: str = "") -> RigidTransform:
        """Return the transform if its verdict allows its use.

        Parameters
        ----------
        what
            What was registered to what, for the message.
        where
            Participant and visit, for the message.

        Raises
        ------
        RegistrationError
            If the verdict is FAIL: nothing may use the transform.
        """
        if self.quality is not None and self.quality.verdict == "FAIL":
            why = "; ".join(self.quality.reasons)
            msg = f"registration of {what} failed its gate: {why}; look at both scans"
            raise RegistrationError(msg, where=where)
        return self

    @property
    def doubts(self) -> tuple[str, ...]:
        """Sentence for the reader where the verdict is WARN; none otherwise."""
        if self.quality is None or self.quality.verdict != "WARN":
            return ()
        return (f"the registration to the baseline is doubtful: {'; '.join(self.quality.reasons)}",)

    @property
    def angle_deg(self) -> float:
        """Angle of the rotation in degrees, 0 to 180."""
        rotation = self.matrix[:3, :3]
        # the antisymmetric part keeps small angles exact where the arc cosine loses half the digits
        sine = 0.5 * np.linalg.norm(rotation - rotation.T) / np.sqrt(2.0)
        cosine = 0.5 * (np.trace(rotation) - 1.0)
        return float(np.degrees(np.arctan2(sine, cosine)))

    def shift_mm(self, point: ArrayLike = (0.0, 0.0, 0.0)) -> float:
        """Return how far the transform moves one point (RAS+ mm) of the fixed scan, in mm."""
        xyz = np.asarray(point, dtype=np.float64)
        return float(np.linalg.norm(self.apply(xyz) - xyz))

    def distance_mm(self, other: RigidTransform, points: ArrayLike) -> NDArray[np.float64]:
        """Return how far apart two transforms put each of (..., 3) fixed points, in mm."""
        return np.asarray(np.linalg.norm(self.apply(points) - other.apply(points), axis=-1))


def orthonormal(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a (4, 4) matrix whose 3x3 part is the nearest orthogonal one; removes rounding drift.

    A mirror stays a mirror: the sign of the determinant is kept.
    """
    left, _, right = np.linalg.svd(matrix[:3, :3])
    result = np.eye(4)
    result[:3, :3] = left @ right
    result[:3, 3] = matrix[:3, 3]
    return result

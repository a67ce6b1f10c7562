"""The mid-sagittal plane of a brain, and images seen in its mirror."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, optimize

Volume = NDArray[np.float32]
Mask = NDArray[np.bool_]

SEARCH_SPACING_MM = 5.0
SEARCH_SMOOTHING_MM = 4.0
OUTSIDE = -3.0
# a difference larger than this (in the units of the searched image) counts no more: lesions are asymmetric
DIFFERENCE_CAP = 1.5


@dataclass(frozen=True)
class MirrorPlane:
    """Plane ``normal . p = offset_mm`` of points p in mm from the centre of a canonical array."""

    normal: tuple[float, float, float]
    offset_mm: float
    asymmetry: float = float("nan")


def centred_axes_mm(
    shape: tuple[int, ...], spacing_mm: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Voxel-centre coordinates in mm from the array's centre, as three broadcastable axes."""
    x, y, z = ((np.arange(n) - (n - 1) / 2) * s for n, s in zip(shape, spacing_mm, strict=True))
    return x[:, None, None], y[None, :, None], z[None, None, :]


def sagittal_plane_through_centroid(brain: Mask, spacing_mm: NDArray[np.float64]) -> MirrorPlane:
    """Return the plane across the first axis through the centroid of a brain mask."""
    x, _, _ = centred_axes_mm(brain.shape, spacing_mm)
    counts = brain.sum(axis=(1, 2))
    return MirrorPlane((1.0, 0.0, 0.0), float((x[:, 0, 0] * counts).sum() / counts.sum()))


def find_midplane(image: Volume, brain: Mask, spacing_mm: NDArray[np.float64]) -> MirrorPlane:
    """Find the plane about which an image is most symmetric.

    Parameters
    ----------
    image
        (X, Y, Z) in canonical order, scaled so that tissue contrast is about 1.
    brain
        (X, Y, Z); only the brain is compared.
    spacing_mm
        (3,) voxel spacing.

    Notes
    -----
    Two angles and an offset are sought by the simplex method on a 5 mm grid, with the mean of capped
    absolute differences, so that a lesion of any size pulls little.
    """
    search = _SymmetrySearch.prepare(image, brain, spacing_mm)
    shift_mm = min((-8.0, -4.0, 0.0, 4.0, 8.0), key=lambda d: search.cost(np.array([0.0, 0.0, d / 10.0])))
    start = np.array([0.0, 0.0, shift_mm / 10.0])
    corners = start + np.array([[0, 0, 0], [0.12, 0, 0], [0, 0.12, 0], [0, 0, 0.4]])
    found = optimize.minimize(
        search.cost,
        start,
        method="Nelder-Mead",
        options={"initial_simplex": corners, "xatol": 2e-3, "fatol": 1e-4, "maxiter": 150},
    )
    normal, offset_mm = search.plane(found.x)
    return MirrorPlane((float(normal[0]), float(normal[1]), float(normal[2])), offset_mm, float(found.fun))


@dataclass(frozen=True, eq=False)
class _SymmetrySearch:
    image: NDArray[np.float64]
    first_mm: NDArray[np.float64]
    spacing_mm: NDArray[np.float64]
    points_mm: NDArray[np.float64]
    values: NDArray[np.float64]
    centre_mm: NDArray[np.float64]

    @classmethod
    def prepare(cls, image: Volume, brain: Mask, spacing_mm: NDArray[np.float64]) -> _SymmetrySearch:
        step = np.array([max(1, round(SEARCH_SPACING_MM / s)) for s in spacing_mm])
        sigma = [SEARCH_SMOOTHING_MM / s for s in spacing_mm]
        filled = np.where(brain, image, np.float32(OUTSIDE)).astype(np.float32)
        smooth = ndimage.gaussian_filter(filled, sigma, mode="nearest", truncate=2.0)
        thinned = tuple(slice(None, None, int(n)) for n in step)
        axes = centred_axes_mm(image.shape, spacing_mm)
        world = np.stack(np.broadcast_arrays(*axes), axis=-1)[thinned]
        coarse = smooth[thinned].astype(np.float64)
        inside = brain[thinned]
        points = world[inside]
        return cls(coarse, world[0, 0, 0], spacing_mm * step, points, coarse[inside], points.mean(axis=0))

    def plane(self, parameters: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
        normal = np.array([1.0, parameters[0], parameters[1]])
        normal /= np.sqrt((normal * normal).sum())
        return normal, float((self.centre_mm * normal).sum() + 10.0 * parameters[2])

    def cost(self, parameters: NDArray[np.float64]) -> float:
        normal, offset_mm = self.plane(parameters)
        distance = (self.points_mm * normal).sum(axis=1) - offset_mm
        mirrored = self.points_mm - 2.0 * distance[:, None] * normal
        index = ((mirrored - self.first_mm) / self.spacing_mm).T
        seen = ndimage.map_coordinates(self.image, index, order=1, mode="constant", cval=OUTSIDE)
        return float(np.minimum(np.abs(seen - self.values), DIFFERENCE_CAP).mean())


def reflect(image: Volume, plane: MirrorPlane, spacing_mm: NDArray[np.float64], *, outside: float) -> Volume:
    """Return the image whose value at a point is the original's value at the point's mirror image."""
    normal = np.array(plane.normal)
    mirror = np.eye(3) - 2.0 * np.outer(normal, normal)
    to_index = np.diag(1.0 / spacing_mm)
    matrix = to_index @ mirror @ np.diag(spacing_mm)
    centre = (np.array(image.shape) - 1) / 2
    offset = centre + to_index @ (2.0 * plane.offset_mm * normal) - matrix @ centre
    seen = ndimage.affine_transform(image, matrix, offset=offset, order=1, mode="constant", cval=outside)
    return np.asarray(seen, dtype=np.float32)


def brightest_nearby(image: Volume, spacing_mm: NDArray[np.float64], *, reach_mm: float) -> Volume:
    """Maximum over voxels up to ``reach_mm`` away: forgives an inexact mirror.

    The neighbourhood is a ball built of three boxes, each long in one axis and half as long in the others,
    because boxes are fast whatever the voxel size.
    """
    brightest = image
    for axis in range(3):
        reach = [reach_mm if a == axis else 0.5 * reach_mm for a in range(3)]
        size = [2 * int(r / s + 1e-6) + 1 for r, s in zip(reach, spacing_mm, strict=True)]
        brightest = np.maximum(brightest, ndimage.maximum_filter(image, size=size, mode="nearest"))
    return np.asarray(brightest, dtype=np.float32)

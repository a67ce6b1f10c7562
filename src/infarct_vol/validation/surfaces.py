"""Distances between the surfaces of two masks, every piece of surface counted by its area.

A surface is taken at the corners of the voxels: where the eight voxels round a corner are not all alike,
the corner carries the area of the marching-cubes triangles between them (Nikolov et al. 2018,
arXiv:1809.04430). Counting voxels instead would count a slanted surface more than a flat one.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree
from skimage.measure import marching_cubes, mesh_surface_area

from infarct_vol.segmentation.cleanup import Mask, bounding_box

_CORNERS = tuple(np.ndindex(2, 2, 2))
_FULL = 2 ** len(_CORNERS) - 1
_ROUNDING_MM = 1e-6


class Surface(NamedTuple):
    """Corners (N, 3) in mm along the array axes and the area (N,) in mm2 that each carries."""

    points_mm: NDArray[np.float64]
    area_mm2: NDArray[np.float64]


class SurfaceAgreement(NamedTuple):
    """Agreement of two surfaces; ``hd95_mm`` is the greater of the two directions."""

    surface_dice: float
    hd95_mm: float


def surface_agreement(
    first: Mask, second: Mask, *, spacing_mm: tuple[float, float, float], tolerance_mm: float
) -> SurfaceAgreement:
    """Return surface Dice and 95 % Hausdorff distance of two masks that are not empty.

    Parameters
    ----------
    first, second
        (I, J, K) masks on one grid; the border of the image counts as outside.
    spacing_mm
        Size of a voxel along each array axis, in mm; the axes are taken to be at right angles.
    tolerance_mm
        Surface at most this far from the other surface counts as agreeing (with 1e-6 mm for rounding).

    Returns
    -------
    SurfaceAgreement
        Surface Dice: the area of both surfaces within the tolerance, divided by the area of both. 95 %
        Hausdorff distance: 95 % of the area of one surface is at most that far from the other surface.

    Raises
    ------
    ValueError
        If a mask is empty: it has no surface.
    """
    one, two = (surface_of(mask, spacing_mm=spacing_mm) for mask in (first, second))
    to_two, to_one = _distance_mm(one, to=two), _distance_mm(two, to=one)
    near = sum(
        float(area[distance <= tolerance_mm + _ROUNDING_MM].sum())
        for distance, area in ((to_two, one.area_mm2), (to_one, two.area_mm2))
    )
    return SurfaceAgreement(
        surface_dice=near / float(one.area_mm2.sum() + two.area_mm2.sum()),
        hd95_mm=max(_percentile_95(to_two, one.area_mm2), _percentile_95(to_one, two.area_mm2)),
    )


def _distance_mm(surface: Surface, *, to: Surface) -> NDArray[np.float64]:
    """Return the distance (N,) in mm of each corner of a surface to the nearest of the other."""
    return np.asarray(KDTree(to.points_mm).query(surface.points_mm)[0], dtype=np.float64)


def surface_of(mask: Mask, *, spacing_mm: tuple[float, float, float]) -> Surface:
    """Return the surface of a mask; corner (0, 0, 0) is the one before voxel (0, 0, 0) on every axis.

    Raises
    ------
    ValueError
        If the mask is empty.
    """
    box = bounding_box(mask)
    inside = np.pad(mask[box], 1)
    code = np.zeros([n - 1 for n in inside.shape], dtype=np.uint8)
    for bit, (i, j, k) in enumerate(_CORNERS):
        x, y, z = (slice(at, at + n) for at, n in zip((i, j, k), code.shape, strict=True))
        code |= inside[x, y, z].astype(np.uint8) << bit
    where = np.argwhere((code > 0) & (code < _FULL))
    points_mm = (where + [s.start for s in box]) * np.asarray(spacing_mm, dtype=np.float64)
    return Surface(points_mm, _area_by_code(tuple(float(s) for s in spacing_mm))[code[tuple(where.T)]])


@functools.lru_cache(maxsize=16)
def _area_by_code(spacing_mm: tuple[float, ...]) -> NDArray[np.float64]:
    """Return the (256,) area in mm2 of the triangles in each of the patterns of eight voxels.

    Triangles of Lorensen and Cline 1987. A pattern of more than four voxels is the surface of the voxels
    it leaves out: turned inside out, a mask keeps its surface.
    """
    area = np.zeros(_FULL + 1)
    for code in range(1, _FULL):
        pattern = code if code.bit_count() <= 4 else _FULL - code
        cell = np.array([float(pattern >> bit & 1) for bit in range(len(_CORNERS))]).reshape(2, 2, 2)
        vertices, faces, _, _ = marching_cubes(cell, 0.5, method="lorensen")
        area[code] = mesh_surface_area(vertices.astype(np.float64) * spacing_mm, faces)
    area.setflags(write=False)
    return area


def _percentile_95(distance_mm: NDArray[np.float64], area_mm2: NDArray[np.float64]) -> float:
    order = np.lexsort((area_mm2, distance_mm))
    covered = np.cumsum(area_mm2[order])
    at = int(np.searchsorted(covered / covered[-1], 0.95))
    return float(distance_mm[order][min(at, len(order) - 1)])

"""Operations on binary masks, in millimetres and with explicit connectivity.

All functions take and return (I, J, K) bool arrays in voxel space and never change their input.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Mask = NDArray[np.bool_]
Connectivity = Literal[6, 18, 26]
_RANK: dict[int, int] = {6: 1, 18: 2, 26: 3}


def neighbourhood(connectivity: Connectivity) -> Mask:
    """Return the (3, 3, 3) structuring element of a 6-, 18- or 26-neighbourhood."""
    if connectivity not in _RANK:
        msg = f"connectivity must be 6, 18 or 26, got {connectivity}"
        raise ValueError(msg)
    return np.asarray(ndimage.generate_binary_structure(3, _RANK[connectivity]), dtype=np.bool_)


def label_components(mask: Mask, *, connectivity: Connectivity = 26) -> tuple[NDArray[np.int32], int]:
    """Give the connected components of a mask numbers from 1; background is 0."""
    labels, count = ndimage.label(mask, neighbourhood(connectivity))
    return labels.astype(np.int32, copy=False), int(count)


def component_sizes(labels: NDArray[np.int32], count: int) -> NDArray[np.int64]:
    """Return the voxel count of components 1..count as a (count,) array."""
    return np.bincount(labels.ravel(), minlength=count + 1)[1:].astype(np.int64)


def select_components(labels: NDArray[np.int32], keep: NDArray[np.bool_]) -> Mask:
    """Return the mask of the components whose entry in ``keep`` (for labels 1..n) is true."""
    table = np.concatenate([np.zeros(1, dtype=np.bool_), np.asarray(keep, dtype=np.bool_)])
    return table[labels]


def drop_small(mask: Mask, *, minimum_voxels: float, connectivity: Connectivity = 26) -> Mask:
    """Remove components of fewer than ``minimum_voxels`` voxels (a fraction is allowed)."""
    labels, count = label_components(mask, connectivity=connectivity)
    # a volume limit that is a whole number of voxels must not fail on rounding
    return select_components(labels, component_sizes(labels, count) >= minimum_voxels - 1e-6)


def keep_touching(mask: Mask, seeds: Mask, *, connectivity: Connectivity = 26) -> Mask:
    """Keep the components of ``mask`` that hold at least one voxel of ``seeds``."""
    labels, count = label_components(mask, connectivity=connectivity)
    keep = np.zeros(count + 1, dtype=np.bool_)
    keep[np.unique(labels[mask & seeds])] = True
    return select_components(labels, keep[1:])


def fill_holes(mask: Mask, *, forbidden: Mask | None = None) -> Mask:
    """Fill holes closed off in three dimensions; a hole holding a forbidden voxel keeps those voxels open.

    Parameters
    ----------
    mask
        Lesion (I, J, K).
    forbidden
        Voxels never filled, such as cerebrospinal fluid.
    """
    filled = np.asarray(ndimage.binary_fill_holes(mask), dtype=np.bool_)
    return filled if forbidden is None else mask | (filled & ~forbidden)


def enclosed_in_slices(
    mask: Mask, spacing_mm: Sequence[float] | NDArray[np.float64], *, largest_mm2: float
) -> Mask:
    """Return the holes of each slice that are no larger than ``largest_mm2``.

    Slices lie across the axis of the largest spacing; among equal ones, across the last.
    """
    axis = max(range(3), key=lambda a: (round(float(spacing_mm[a]), 2), a))
    pixel_mm2 = float(np.prod([s for a, s in enumerate(spacing_mm) if a != axis]))
    holes = np.zeros_like(mask)
    for position in range(mask.shape[axis]):
        plane = tuple(position if a == axis else slice(None) for a in range(3))
        labels, count = ndimage.label(ndimage.binary_fill_holes(mask[plane]) & ~mask[plane])
        if count:
            small = np.bincount(labels.ravel())[1:] * pixel_mm2 <= largest_mm2
            holes[plane] = select_components(labels.astype(np.int32), small)
    return holes


def ball(radius_mm: float, spacing_mm: Sequence[float] | NDArray[np.float64]) -> Mask:
    """Return a ball of ``radius_mm`` as a structuring element on voxels of ``spacing_mm``."""
    reach = [int(radius_mm / s + 1e-6) for s in spacing_mm]
    axes = [np.arange(-n, n + 1) * float(s) for n, s in zip(reach, spacing_mm, strict=True)]
    x, y, z = np.meshgrid(*axes, indexing="ij")
    return np.asarray(x * x + y * y + z * z <= radius_mm * radius_mm + 1e-6, dtype=np.bool_)


def distance_to_mm(mask: Mask, spacing_mm: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float32]:
    """Distance in mm of every voxel centre to the nearest voxel centre of the mask (infinite if empty)."""
    if not mask.any():
        return np.full(mask.shape, np.inf, dtype=np.float32)
    distance = ndimage.distance_transform_edt(~mask, sampling=[float(s) for s in spacing_mm])
    return np.asarray(distance, dtype=np.float32)


def dilate_mm(mask: Mask, *, radius_mm: float, spacing_mm: Sequence[float] | NDArray[np.float64]) -> Mask:
    """Grow a mask by ``radius_mm``: voxel centres at most that far from a centre in the mask."""
    if not mask.any():
        return mask.copy()
    reach = [int(radius_mm / s + 1e-6) + 1 for s in spacing_mm]
    box = bounding_box(mask, margin=reach)
    out = mask.copy()
    out[box] = distance_to_mm(mask[box], spacing_mm) <= radius_mm + 1e-6
    return out


def erode_mm(mask: Mask, *, radius_mm: float, spacing_mm: Sequence[float] | NDArray[np.float64]) -> Mask:
    """Shrink a mask by ``radius_mm``; the border of the image counts as outside the mask."""
    padded = np.pad(mask, 1)
    eroded = mask & (distance_to_mm(~padded, spacing_mm)[1:-1, 1:-1, 1:-1] > radius_mm + 1e-6)
    return np.asarray(eroded, dtype=np.bool_)


def close_mm(mask: Mask, *, radius_mm: float, spacing_mm: Sequence[float] | NDArray[np.float64]) -> Mask:
    """Close gaps narrower than twice ``radius_mm``; never removes a voxel."""
    reach = [int(radius_mm / s + 1e-6) + 1 for s in spacing_mm]
    padded = np.pad(mask, [(n, n) for n in reach])
    grown = dilate_mm(padded, radius_mm=radius_mm, spacing_mm=spacing_mm)
    closed = distance_to_mm(~grown, spacing_mm) > radius_mm + 1e-6 if not grown.all() else grown
    inner = tuple(slice(n, -n) for n in reach)
    return np.asarray(mask | closed[inner], dtype=np.bool_)


def bounding_box(mask: Mask, *, margin: Sequence[int] = (0, 0, 0)) -> tuple[slice, slice, slice]:
    """Return the slices of the smallest box round a mask, widened by ``margin`` voxels inside the image.

    Raises
    ------
    ValueError
        If the mask is empty.
    """
    if not mask.any():
        msg = "an empty mask has no bounding box"
        raise ValueError(msg)
    limits = []
    for axis in range(3):
        hit = np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis)))
        start = max(int(hit[0]) - margin[axis], 0)
        limits.append(slice(start, min(int(hit[-1]) + 1 + margin[axis], mask.shape[axis])))
    return limits[0], limits[1], limits[2]


def half_voxel_range(mask: Mask, *, slice_axis: int) -> tuple[float, float]:
    """Voxels of a mask with its in-plane boundary half a voxel further in, and further out.

    The boundary between slices stays: half a thick slice would say how the scan was planned, not how
    well the edge is seen.
    """
    if not mask.any():
        return 0.0, 0.0
    in_plane = [axis for axis in range(3) if axis != slice_axis]
    inside = np.pad(mask[bounding_box(mask)], 1)
    return _half_eroded(inside, in_plane), inside.size - _half_eroded(~inside, in_plane)


def _half_eroded(inside: Mask, in_plane: list[int]) -> float:
    """Return the voxels left when each in-plane face of a region moves inwards by half a voxel.

    Exactly the region at twice the in-plane resolution less its outermost half-voxels; what lies
    beyond the array is taken to be like its edge.
    """
    kept = inside.astype(np.float32)
    for axis in in_plane:
        before = np.take(inside, [0, *range(inside.shape[axis] - 1)], axis=axis)
        after = np.take(inside, [*range(1, inside.shape[axis]), -1], axis=axis)
        kept *= 0.5 * before + 0.5 * after.astype(np.float32)
    # halves and quarters are exact in float32; their sum is exact in float64
    return float(kept.sum(dtype=np.float64))

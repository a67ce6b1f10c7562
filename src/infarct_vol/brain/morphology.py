"""Morphology in millimetres on an anisotropic grid, by exact Euclidean distances."""

from __future__ import annotations

import math

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy import ndimage

Mask = NDArray[np.bool_]
Volume = NDArray[np.float32]
FAR_MM = 1e6


def distance_to(mask: Mask, *, spacing_mm: NDArray[np.float64]) -> Volume:
    """Return the distance in mm of every voxel centre to the nearest voxel centre of ``mask``, 0 inside.

    An empty mask is `FAR_MM` away. Maurer's exact transform; one work unit, so that no thread count
    can matter.
    """
    if not mask.any():
        return np.full(mask.shape, FAR_MM, dtype=np.float32)
    image = sitk.GetImageFromArray(np.ascontiguousarray(mask).view(np.uint8))
    image.SetSpacing([float(s) for s in spacing_mm[::-1]])
    transform = sitk.SignedMaurerDistanceMapImageFilter()
    transform.SetNumberOfWorkUnits(1)
    transform.SquaredDistanceOff()
    transform.UseImageSpacingOn()
    distance: Volume = sitk.GetArrayFromImage(transform.Execute(image))
    np.maximum(distance, 0, out=distance)
    return distance


def depth_in(mask: Mask, *, spacing_mm: NDArray[np.float64]) -> Volume:
    """Return the distance in mm of every voxel of ``mask`` to the nearest voxel outside it.

    The edge of the array is not an outside: a brain cut by the field of view goes on beyond it.
    """
    return distance_to(~mask, spacing_mm=spacing_mm)


def closed(mask: Mask, radius_mm: float, *, spacing_mm: NDArray[np.float64]) -> Mask:
    """Return the closing of ``mask`` by a ball: gaps narrower than the diameter are filled.

    Beyond the field of view lies more of the same: surfaces cut by it stay flat and whole.
    """
    result = np.zeros(mask.shape, dtype=bool)
    reach = [math.ceil(radius_mm / s) + 1 for s in spacing_mm]
    box = grown_box(mask, reach)
    if box is None:
        return result
    tight = ndimage.find_objects(mask.view(np.int8))[0]
    pad = [
        (r - (t.start - b.start), r - (b.stop - t.stop)) for r, t, b in zip(reach, tight, box, strict=True)
    ]
    padded = np.pad(mask[box], pad, mode="edge")
    grown = distance_to(padded, spacing_mm=spacing_mm) <= radius_mm
    shrunk = depth_in(grown, spacing_mm=spacing_mm) > radius_mm
    inner = tuple(slice(p, n - q) for (p, q), n in zip(pad, padded.shape, strict=True))
    result[box] = shrunk[inner]
    return result


def grown_box(mask: Mask, reach: list[int]) -> tuple[slice, ...] | None:
    """Return the slices of the mask's bounding box grown by ``reach`` voxels; None if it is empty."""
    found = ndimage.find_objects(mask.view(np.int8))
    if not found:
        return None
    return tuple(
        slice(max(0, s.start - r), min(n, s.stop + r))
        for s, r, n in zip(found[0], reach, mask.shape, strict=True)
    )


def largest_component(mask: Mask) -> Mask:
    """Return the largest 6-connected component; the mask itself when it is empty."""
    labels, count = ndimage.label(mask)
    if count < 2:
        return mask
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return np.asarray(labels == sizes.argmax())


def smoothed(volume: Volume, sigma_mm: float, *, spacing_mm: NDArray[np.float64]) -> Volume:
    """Return ``volume`` under a Gaussian of ``sigma_mm``, zero outside the field of view."""
    sigma = [sigma_mm / float(s) for s in spacing_mm]
    return np.asarray(ndimage.gaussian_filter(volume, sigma, mode="constant", truncate=3.0), dtype=np.float32)

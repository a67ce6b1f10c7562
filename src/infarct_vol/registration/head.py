"""Where the head is in a scan, and the slow shading over it. Rough, at 4 mm: enough to compare by."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from infarct_vol.errors import RegistrationError
from infarct_vol.geometry import MM3_PER_ML
from infarct_vol.registration.coarse import blurred, largest_body, near, share_below, without_holes

HEAD_LEVEL_MM = 4.0
_SHADING_SIGMA_MM = 25.0
_LEAST_HEAD_ML = 50.0
_ROUNDING = 1e-5
# scalp and skull are about this thick
_SCALP_MM = 9.0
# a brain with its cerebellum is about 140 mm high
_BRAIN_HEIGHT_MM = 150.0


@dataclass(frozen=True)
class Head:
    """The head in a coarse image.

    Parameters
    ----------
    mask
        (I, J, K) bool head, holes filled.
    affine
        (4, 4) voxel index -> RAS+ mm.
    flat
        (I, J, K) float32 intensities without shading, in units of the head's median.
    shading
        (I, J, K) float32: what intensities are divided by to get ``flat``.
    centre
        (3,) centre of mass on square-root intensities, RAS+ mm.
    radius_mm
        Root mean square distance of head points from the centre.
    """

    mask: NDArray[np.bool_]
    affine: NDArray[np.float64]
    flat: NDArray[np.float32]
    shading: NDArray[np.float32]
    centre: NDArray[np.float64]
    radius_mm: float


def find_head(values: NDArray[np.float32], affine: NDArray[np.float64], *, where: str) -> Head:
    """Find the head in an image of about 4 mm.

    Raises
    ------
    RegistrationError
        If the image is constant or nothing stands out from the air; ``where`` names the scan.
    """
    mask = head_mask(values, affine, where=where)
    flat, shading = _flattened(values, mask, affine)
    scale = np.float32(np.median(flat[mask]))
    flat /= scale
    centre, radius_mm = _centre_of_mass(flat, mask, affine)
    return Head(mask, affine, flat, shading * scale, centre, radius_mm)


def head_mask(values: NDArray[np.float32], affine: NDArray[np.float64], *, where: str) -> NDArray[np.bool_]:
    """Return a rough mask of the head: the largest bright body, holes filled.

    Square-root intensities keep a very bright lesion from lifting the threshold over the brain.

    Raises
    ------
    RegistrationError
        If the image is constant or nothing stands out from the air.
    """
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    root = np.sqrt(np.clip(values, 0, None))
    smooth = blurred(root, HEAD_LEVEL_MM / spacing)
    # rounding alone makes smoothed values differ
    if not float(smooth.max()) * (1 - _ROUNDING) > float(smooth.min()):
        msg = "the image is constant; there is nothing to register"
        raise RegistrationError(msg, where=where)
    mask = smooth > _otsu(smooth)
    if mask.any():
        thick = np.where(mask, blurred(mask.astype(np.float32), _SCALP_MM / spacing), 0)
        seed = tuple(int(n) for n in np.unravel_index(np.argmax(thick), mask.shape))
        mask = without_holes(largest_body(mask, seed))
    volume_ml = np.count_nonzero(mask) * abs(np.linalg.det(affine[:3, :3])) / MM3_PER_ML
    if volume_ml < _LEAST_HEAD_ML:
        msg = f"no head found: the largest bright body measures {volume_ml:.0f} mL; expected a brain or head"
        raise RegistrationError(msg, where=where)
    return mask


def _otsu(values: NDArray[np.float32]) -> float:
    """Threshold that best separates two classes (Otsu 1979), on 128 bins up to the 99.5th percentile."""
    top = share_below(values, 0.995)
    counts, edges = np.histogram(np.minimum(values, top), bins=128)
    middle = 0.5 * (edges[1:] + edges[:-1])
    below = np.cumsum(counts)[:-1].astype(np.float64)
    above = counts.sum() - below
    mass = np.cumsum(counts * middle)
    contrast = mass[:-1] / np.maximum(below, 1) - (mass[-1] - mass[:-1]) / np.maximum(above, 1)
    return float(edges[1 + int(np.argmax(below * above * contrast**2))])


def inner_head(head: Head) -> NDArray[np.bool_]:
    """Head without scalp, face and neck: deep inside, and not far below the vertex.

    Scalp, jaw and neck move against the brain.
    """
    affine = head.affine
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    deep = head.mask & ~near(~head.mask, _SCALP_MM, spacing, outside=True)
    index = np.stack(np.nonzero(head.mask), axis=1)
    height = index @ affine[2, :3] + affine[2, 3]
    keep = deep[head.mask] & (height > height.max() - _BRAIN_HEIGHT_MM)
    inner = np.zeros_like(head.mask)
    inner[tuple(index[keep].T)] = True
    # a slab of few slices has no such depth along its short axis
    return inner if np.count_nonzero(inner) > 0.2 * np.count_nonzero(head.mask) else head.mask


def _flattened(
    values: NDArray[np.float32], head: NDArray[np.bool_], affine: NDArray[np.float64]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Divide by slow shading; return the flattened values and the shading.

    The shading is the local geometric mean inside the head (normalised convolution of log intensities).
    """
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    floor = 0.1 * float(np.median(values[head]))
    bright = head & (values > max(floor, 1e-12))
    logs = np.zeros_like(values)
    logs[bright] = np.log(values[bright])
    mean = float(logs[bright].mean(dtype=np.float64))
    logs[bright] -= np.float32(mean)
    sigma = _SHADING_SIGMA_MM / spacing
    weight = blurred(bright.astype(np.float32), sigma, outside="zero")
    slow = blurred(logs, sigma, outside="zero")
    shading = np.exp(slow / (weight + np.float32(1e-3)))
    return np.asarray(values / shading, dtype=np.float32), np.asarray(shading, dtype=np.float32)


def _centre_of_mass(
    values: NDArray[np.float32], head: NDArray[np.bool_], affine: NDArray[np.float64]
) -> tuple[NDArray[np.float64], float]:
    weight = np.sqrt(np.clip(values[head], 0, None)).astype(np.float64)
    points = np.stack(np.nonzero(head), axis=1) @ affine[:3, :3].T + affine[:3, 3]
    centre = (points * weight[:, None]).sum(axis=0) / weight.sum()
    radius = float(np.sqrt(((points - centre) ** 2).sum(axis=1).mean()))
    return centre, radius

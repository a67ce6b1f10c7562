"""Whether two images on one grid show one head in one place, told by their fine detail.

Two images of one acquisition have their edges at the same voxels; another participant's, a mirrored or a
displaced image has not. The share of one image's fine detail that the other's explains, level by level of
its intensity, needs no common contrast and no unit, and is compared with what the other image explains when
it is mirrored or moved: chance and blur then speak for themselves.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from infarct_vol.geometry import Grid
from infarct_vol.images import BrainMask, Scan, require_same_grid

_DETAIL_MM = 4.0
"""Gaussian sigma in mm; what is slower than this is not detail but shape and shading."""
_LEVELS = 12
"""Levels of the other image's intensity, each with a slope of its own: edges of CSF and of white matter
change sign between contrasts."""
_CLIP = 3.0
"""Robust standard deviations at which detail is cut: vessels and rims of the mask do not decide."""
_STRONG_CLIP = 12.0
"""The same where the strong edges count, those of ventricles and sulci."""
_LEAST_VOXELS = 500
_MOVES_MM = (4.0, 6.0, 9.0, 13.0, 20.0)
"""Displacements the image is tried at, both ways along every axis, in whole voxels and never less: motion
and eddy currents move the images of one acquisition by less than 4 mm."""

_ALONG = {
    "L": "left-right",
    "R": "left-right",
    "A": "front-back",
    "P": "front-back",
    "S": "up-down",
    "I": "up-down",
}

Float = NDArray[np.float32]
Mask = NDArray[np.bool_]


class DetailAgreement(NamedTuple):
    """How much of one image's fine detail another explains.

    Parameters
    ----------
    here
        Square root of the explained share where the grids place both images, 0 to 1.
    elsewhere
        The same for the best mirrored or moved placement.
    placement
        That placement in words, such as ``mirrored left-right``.
    coverage
        Share of the tissue in which the other image has values at all.
    """

    here: float
    elsewhere: float
    placement: str
    coverage: float


class _Detail(NamedTuple):
    """Fine detail in robust standard deviations, level of intensity, and where both are known."""

    detail: Float
    level: NDArray[np.int8]
    known: Mask


class _Placement(NamedTuple):
    """Another place for an image: mirrored along an axis or not, then moved along it by whole voxels."""

    axis: int
    move: int
    mirrored: bool = False

    def of(self, detail: _Detail) -> _Detail:
        """Return detail in this place; what is moved in from outside is not known."""
        return _Detail(*(self._placed(part) for part in detail))

    def _placed(self, array: NDArray[Any]) -> NDArray[Any]:
        if self.mirrored:
            array = np.flip(array, axis=self.axis)
        if not self.move:
            return array
        placed = np.zeros_like(array)
        to: list[slice] = [slice(None)] * array.ndim
        source = list(to)
        count = min(abs(self.move), array.shape[self.axis])
        ahead, behind = slice(count, None), slice(None, array.shape[self.axis] - count)
        to[self.axis], source[self.axis] = (ahead, behind) if self.move > 0 else (behind, ahead)
        placed[tuple(to)] = array[tuple(source)]
        return placed

    def in_words(self, grid: Grid) -> str:
        """Return the place as a reader says it, such as ``mirrored left-right``."""
        along = _ALONG[grid.axis_codes[self.axis]]
        moved = f"moved {abs(self.move) * float(grid.spacing_mm[self.axis]):.0f} mm {along}"
        if not self.mirrored:
            return moved
        return f"mirrored {along}" + (f" and {moved}" if self.move else "")


def detail_agreement(
    image: Scan, other: Scan, *, tissue: BrainMask, strong_edges: bool = False
) -> DetailAgreement:
    """Measure how much of an image's fine detail another image on its grid explains.

    Parameters
    ----------
    image, other
        Two images on one grid, of any contrast and unit.
    tissue
        Head or brain of ``image``, roughly.
    strong_edges
        Whether strong edges count by their height, and not as any other detail: where an image is smooth or
        full of noise, they are all that it shares with another.

    Returns
    -------
    DetailAgreement
        ``here`` is 0 where fewer than 500 voxels are known in both.

    Raises
    ------
    GridMismatchError
        If the images are not on one grid.
    """
    require_same_grid(image, other, what="images compared")
    require_same_grid(image, tissue, what="image and tissue")
    inside = _filled(tissue.data)
    known = inside & np.isfinite(image.data) & np.isfinite(other.data) & (other.data != 0)
    coverage = int(np.count_nonzero(known)) / max(1, int(np.count_nonzero(inside)))
    box = ndimage.find_objects(known.view(np.uint8))
    if np.count_nonzero(known) < _LEAST_VOXELS or not box:
        return DetailAgreement(0.0, 0.0, "", coverage)
    grid, known = image.grid, known[box[0]]
    clip = _STRONG_CLIP if strong_edges else _CLIP
    first, second = (_fine_detail(scan.data[box[0]], known, grid, clip=clip) for scan in (image, other))
    here = _explained(first, second)
    others = [(_explained(first, place.of(second)), place) for place in _placements(grid, known.shape)]
    elsewhere, place = max(others)
    return DetailAgreement(here, elsewhere, place.in_words(grid), coverage)


def _filled(tissue: Mask) -> Mask:
    """Return the largest piece of tissue with its ventricles and sulci, less its rim."""
    closed = ndimage.binary_fill_holes(ndimage.binary_closing(tissue, iterations=2))
    labels, count = ndimage.label(closed)
    if count > 1:
        closed = labels == 1 + int(np.argmax(np.bincount(labels.ravel())[1:]))
    return np.asarray(ndimage.binary_erosion(closed))


def _fine_detail(data: Float, known: Mask, grid: Grid, *, clip: float) -> _Detail:
    sigma = _DETAIL_MM / grid.spacing_mm
    if grid.spacing_mm[grid.slice_axis] > _DETAIL_MM:
        sigma[grid.slice_axis] = 0.0  # between thick slices there is no fine detail to compare
    values = np.where(known, data, np.float32(0))
    share = np.maximum(ndimage.gaussian_filter(known.astype(np.float32), sigma), np.float32(1e-3))
    detail = values - ndimage.gaussian_filter(values, sigma) / share
    spread = 1.4826 * float(np.median(np.abs(detail[known]))) or 1.0
    detail = np.where(known, np.clip(detail / np.float32(spread), -clip, clip), np.float32(0))
    limits = np.quantile(values[known], np.linspace(0, 1, _LEVELS + 1)[1:-1])
    return _Detail(detail.astype(np.float32), np.digitize(values, limits).astype(np.int8), known)


def _explained(first: _Detail, second: _Detail) -> float:
    """Return the root of the share of the first's detail that the second's explains by a line a level."""
    both = first.known & second.known
    if np.count_nonzero(both) < _LEAST_VOXELS:
        return 0.0
    level = second.level[both]
    y, x = first.detail[both].astype(np.float64), second.detail[both].astype(np.float64)
    count, sum_x, sum_y, sum_xx, sum_xy = (
        np.bincount(level, weights=weights, minlength=_LEVELS)
        for weights in (np.ones_like(x), x, y, x * x, x * y)
    )
    least = np.maximum(count, 1.0)
    across, along = sum_xx - sum_x**2 / least, sum_xy - sum_x * sum_y / least
    lines = np.divide(along**2, across, out=np.zeros_like(across), where=across > 1e-9)
    total = float(((y - y.mean()) ** 2).sum())
    means = float((sum_y**2 / least).sum() - y.sum() ** 2 / y.size)
    return float(np.sqrt(min(1.0, (float(lines.sum()) + means) / total))) if total > 0 else 0.0


def _placements(grid: Grid, shape: tuple[int, ...]) -> Iterator[_Placement]:
    """Yield the other places: mirrored along every axis, and moved along every axis both ways."""
    for axis in range(3):
        spacing_mm = float(grid.spacing_mm[axis])
        moves = {math.ceil(mm / spacing_mm - 1e-6) for mm in _MOVES_MM}
        steps = sorted(step for move in moves if move < shape[axis] // 2 for step in (-move, move))
        yield _Placement(axis, 0, mirrored=True)
        yield from (_Placement(axis, step) for step in steps)
        yield from (_Placement(axis, step, mirrored=True) for step in steps if axis != grid.slice_axis)

"""Scans turned for the eye: anatomical axes, radiological convention, windows and crops.

Only array axes are permuted and flipped; no voxel is resampled, so what is seen is what was measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from infarct_vol.geometry import Grid
from infarct_vol.images import LesionMask, Modality, Scan, require_same_grid

_AXIS_OF_LETTER = {"R": 0, "L": 0, "A": 1, "P": 1, "S": 2, "I": 2}
_FLIPPED = "LPI"
_EDGE_LETTERS = {0: "AP", 1: "RL", 2: "RL"}
_AXIS_NAMES = "xyz"
PLANE_NAMES = {0: "sagittal", 1: "coronal", 2: "axial"}
Crop = tuple[slice, slice]
_ENOUGH_VOXELS = 200_000
_WHITE_LIMITS = {"dwi": (2.0, 2.7)}
"""White as multiples of the head's upper quartile: an infarct on DWI is about twice as bright as brain."""


@dataclass(frozen=True)
class SliceView:
    """A scan as a stack of slices to look at.

    Radiological convention: the patient's right is on the left of axial and coronal slices, anterior is
    on the left of sagittal slices, anterior or superior is up.

    Parameters
    ----------
    data
        (X, Y, Z) intensities, axes permuted and flipped to the closest right, anterior, superior.
    grid
        Grid of ``data``, RAS+ mm.
    axis
        Axis of ``data`` along which slices are taken.
    order, flips
        Array axis of the scan behind each axis of ``data``, and whether it runs backwards.
    head
        (X, Y, Z) mask of the head, anatomical axes.
    """

    data: NDArray[np.float32]
    grid: Grid
    axis: int
    order: tuple[int, int, int]
    flips: tuple[bool, bool, bool]
    head: NDArray[np.bool_]

    @property
    def count(self) -> int:
        """Number of slices."""
        return self.grid.shape[self.axis]

    @property
    def pixel_mm(self) -> tuple[float, float]:
        """Height and width of a pixel in mm."""
        first, second = (a for a in range(3) if a != self.axis)
        spacing = self.grid.spacing_mm
        return float(spacing[second]), float(spacing[first])

    @property
    def edge_letters(self) -> str:
        """Directions of the left and the right edge of a slice, such as ``"RL"``."""
        return _EDGE_LETTERS[self.axis]

    def along(self, axis: int) -> SliceView:
        """Return the same scan sliced along another anatomical axis (0 sagittal, 1 coronal, 2 axial)."""
        return replace(self, axis=axis)

    def plane(self, index: int, *, data: NDArray[np.generic] | None = None) -> NDArray[np.generic]:
        """Return one slice as (rows, columns); ``data`` replaces the intensities (anatomical axes)."""
        volume = self.data if data is None else data
        at = tuple(index if axis == self.axis else slice(None, None, -1) for axis in range(3))
        return np.asarray(volume[at].T)

    def turned(self, mask: LesionMask | Scan) -> NDArray[np.generic]:
        """Return a mask or scan of the same grid with its axes turned as this view's are."""
        return _turn(mask.data, self.order, self.flips)

    def position_mm(self, index: int) -> float:
        """Scanner coordinate of a slice's centre along its anatomical axis, in mm."""
        centre = [(n - 1) / 2 for n in self.grid.shape]
        centre[self.axis] = index
        return float(self.grid.to_world(centre)[self.axis])

    def native_index(self, index: int) -> int:
        """Index of a slice in the file's own array."""
        return self.count - 1 - index if self.flips[self.axis] else index

    def label(self, index: int) -> str:
        """Position and file index of a slice, such as ``"z +34.5 mm, k 17"``."""
        native_axis = "ijk"[self.order[self.axis]]
        position = f"{_AXIS_NAMES[self.axis]} {self.position_mm(index):+.1f} mm"
        return f"{position}, {native_axis} {self.native_index(index)}"


def slice_view(scan: Scan) -> SliceView:
    """Turn a scan for display; it is sliced along its thick axis, axially where all are alike."""
    codes = scan.grid.axis_codes
    order = sorted(range(3), key=lambda axis: _AXIS_OF_LETTER[codes[axis]])
    flips = [codes[axis] in _FLIPPED for axis in order]
    settled = (order[0], order[1], order[2]), (flips[0], flips[1], flips[2])
    grid = _turned_grid(scan.grid, *settled)
    data = np.asarray(_turn(scan.data, *settled), dtype=np.float32)
    return SliceView(data, grid, grid.slice_axis, *settled, foreground(data))


def _turn(
    data: NDArray[np.generic], order: tuple[int, int, int], flips: tuple[bool, bool, bool]
) -> NDArray[np.generic]:
    return np.transpose(data, order)[tuple(slice(None, None, -1 if flip else 1) for flip in flips)]


def _turned_grid(grid: Grid, order: tuple[int, int, int], flips: tuple[bool, bool, bool]) -> Grid:
    # columns of `back` say which index of the file one step along a display axis is
    back = np.eye(4)
    back[:3, :3] = 0
    for axis, (source, flip) in enumerate(zip(order, flips, strict=True)):
        back[source, axis] = -1 if flip else 1
        back[source, 3] = grid.shape[source] - 1 if flip else 0
    shape = (grid.shape[order[0]], grid.shape[order[1]], grid.shape[order[2]])
    return Grid(shape, grid.affine @ back)


def foreground(data: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return the head (or the brain, if nothing else is there): voxels brighter than the air around."""
    sample = data[::2, ::2, ::2] if min(data.shape[:3]) > 8 else data
    positive = sample[(sample > 0) & np.isfinite(sample)]
    if not positive.size:
        return np.zeros(data.shape, dtype=np.bool_)
    return np.asarray(data > 0.15 * np.percentile(positive, 98))


def window(
    view: SliceView, modality: Modality, *, lesion: NDArray[np.bool_] | None = None
) -> tuple[float, float]:
    """Return the intensities shown as black and as white, robust against a few bright voxels.

    Parameters
    ----------
    view
        The scan, turned.
    modality
        What black and white stand for: ADC from 0 to 2.4 times the median of the head, which keeps free
        water white; others from 0 to the 99.5th percentile, kept between limits that follow the upper
        quartile, because scalp fat on FLAIR and the sinuses on DWI would darken the brain.
    lesion
        (X, Y, Z) mask, anatomical axes; where it is brighter, the window is opened to keep its texture.
    """
    head = view.data[view.head]
    # some hundred thousand voxels give the same percentiles as all
    head = head[:: max(1, head.size // _ENOUGH_VOXELS)]
    head = head[np.isfinite(head)]
    if not head.size:
        return 0.0, 1.0
    if modality == "adc":
        return 0.0, 2.4 * float(np.median(head))
    quartile, most = (float(q) for q in np.percentile(head, (75, 99.5)))
    low_limit, high_limit = _WHITE_LIMITS.get(modality, (0.0, 2.0))
    high = min(max(most, low_limit * quartile), high_limit * quartile)
    if lesion is not None and lesion.any():
        inside = view.data[lesion]
        high = max(high, 1.1 * float(np.percentile(inside[np.isfinite(inside)], 95)))
    return 0.0, high or 1.0


def turned_masks(view: SliceView, scan: Scan, masks: dict[str, LesionMask]) -> dict[str, NDArray[np.bool_]]:
    """Return masks with their axes turned as the view's.

    Raises
    ------
    GridMismatchError
        If a mask is not on the scan's grid.
    """
    turned = {}
    for name, mask in masks.items():
        require_same_grid(scan, mask, what=f"the scan and the contour '{name}'")
        turned[name] = np.asarray(view.turned(mask), dtype=np.bool_)
    return turned


def head_crop(view: SliceView, *, margin_mm: float = 4.0) -> Crop:
    """Return rows and columns of the slices that hold the head."""
    inside = view.head
    flat = np.asarray(view.plane(0, data=inside.sum(axis=view.axis, keepdims=True)), dtype=float)
    profiles = flat.sum(axis=1), flat.sum(axis=0)
    return _crop_of(profiles[0], profiles[1], view=view, margin_mm=margin_mm, share=0.02)


def close_up_crops(
    view: SliceView, mask: NDArray[np.bool_], indices: Sequence[int], *, margin_mm: float, least_mm: float
) -> list[Crop]:
    """Return a square window for each slice, all of one size, around the largest piece of the mask there.

    Parameters
    ----------
    mask
        (X, Y, Z) mask, anatomical axes; it must be in every slice of ``indices``.
    margin_mm, least_mm
        Room left around the largest of the pieces, and the least width of a window, in mm.
    """
    pieces, side_mm = [], least_mm
    for index in indices:
        labels, _ = ndimage.label(np.asarray(view.plane(index, data=mask)), structure=np.ones((3, 3)))
        largest = labels == 1 + int(np.argmax(np.bincount(labels.ravel())[1:]))
        rows, columns = np.nonzero(largest.any(axis=1))[0], np.nonzero(largest.any(axis=0))[0]
        extents = np.ptp(rows) * view.pixel_mm[0], np.ptp(columns) * view.pixel_mm[1]
        side_mm = max(side_mm, *(float(extent) + 2 * margin_mm for extent in extents))
        pieces.append((rows, columns, labels.shape))
    row_count, column_count = (side_mm / mm for mm in view.pixel_mm)
    return [(_centred(r, row_count, s[0]), _centred(c, column_count, s[1])) for r, c, s in pieces]


def _centred(hits: NDArray[np.intp], length: float, limit: int) -> slice:
    size = min(limit, round(length))
    start = round((int(hits[0]) + int(hits[-1]) + 1 - size) / 2)
    start = min(max(0, start), limit - size)
    return slice(start, start + size)


def _crop_of(
    rows: NDArray[np.float64],
    columns: NDArray[np.float64],
    *,
    view: SliceView,
    margin_mm: float,
    share: float,
) -> Crop:
    crops = []
    for profile, mm in zip((rows, columns), view.pixel_mm, strict=True):
        hits = (
            np.nonzero(profile > share * profile.max())[0] if profile.max() > 0 else np.arange(profile.size)
        )
        margin = round(margin_mm / mm)
        crops.append(slice(max(0, int(hits[0]) - margin), min(profile.size, int(hits[-1]) + 1 + margin)))
    return crops[0], crops[1]


def lesion_slices(view: SliceView, union: NDArray[np.bool_], *, most: int) -> list[int]:
    """Return slices through a mask, with one empty neighbour at either end where there is room."""
    others = tuple(a for a in range(3) if a != view.axis)
    area = np.count_nonzero(union, axis=others)
    hits = np.nonzero(area)[0]
    if hits.size > most - 2:
        picked = spread(hits.tolist(), most)
        largest = int(np.argmax(area))
        if largest not in picked:
            nearest = min(range(len(picked)), key=lambda at: abs(picked[at] - largest))
            picked[nearest] = largest
        return picked
    neighbours = {int(hits[0]) - 1, int(hits[-1]) + 1}
    return sorted({*hits.tolist(), *(n for n in neighbours if 0 <= n < view.count)})


def head_slices(view: SliceView, *, most: int) -> list[int]:
    """Return slices spread evenly through the head."""
    others = tuple(a for a in range(3) if a != view.axis)
    area = np.count_nonzero(view.head, axis=others)
    if not area.max():
        return spread(list(range(view.count)), most)
    return spread(np.nonzero(area > 0.4 * area.max())[0].tolist(), most)


def spread(indices: Sequence[int], most: int) -> list[int]:
    """Return at most ``most`` of the indices, evenly spread."""
    if len(indices) <= most:
        return list(indices)
    # the ends of the range show little; the middle of each of `most` equal parts is taken
    step = len(indices) / most
    return [indices[int((at + 0.5) * step)] for at in range(most)]

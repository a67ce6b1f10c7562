"""Whether a mask can be what it is given for: a lesion of this image, or its brain.

Nothing here changes a mask. A doubt refuses it until a person says that it is meant.

The limits were set on digital trials (the sample trial and seed 71, masks of baseline DWI and FLAIR and of
months 1 to 6), and tried on real scans:

- a true brain mask overlapped the brain found with a Dice of 0.946 (real) and 0.972 to 0.984 (digital), its
  mirror image left to right with one lower by 0.023 to 0.095, the other mirror images with 0.87 at most;
- of a true lesion at most 12 % lay outside the brain found, and it took 3 % of the brain at most;
- it overlapped the automatic mask with a Dice of 0.55 or more, its mirror image with 0.11 or less;
- it was brighter than its mirror image by 1.4 to 10 robust SD of the brain, but for chronic infarcts with a
  cavity, whose mean was at most 0.5 SD darker while their deviation either way was 2.1 SD larger.

Of 43 masks on real images (three with lesions of their own, 40 with the shape of a real infarct put
into a healthy head) none was doubted; of their mirror images 41 were, the other two measured 0.5 mL or
less. Moved by 20 mm, 30 were: what is small and lies on the brain cannot be told.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from infarct_vol.brain.extraction import brain_if_found
from infarct_vol.errors import MaskError
from infarct_vol.geometry import AxisOrder, Grid
from infarct_vol.images import BrainMask, LesionMask, Scan
from infarct_vol.settings import BrainSettings

DoubtKind = Literal["whole_volume", "whole_brain", "outside_brain", "mirrored", "moved", "no_brain"]

LARGEST_LESION_SHARE = 0.5
"""Share of the brain an infarct takes at most: all of one hemisphere."""
LARGEST_LESION_ML = 800.0
"""The same where no brain was found: half of a large brain."""
OUTSIDE_SHARE = 0.5
"""Share of a lesion mask outside the brain from which on it is not of this image."""
_SOME_DICE = 0.1
_GOOD_DICE = 0.4
"""Overlap with the automatic mask from which on a mask is where it belongs, whatever else it may fit."""
_BETTER_DICE = {"mirrored": 0.3, "moved": 0.4}
"""By how much the overlap with the automatic mask must grow before the mask is doubted."""
_MIRROR_REACH_MM = 20.0
"""How far the middle of a head may lie from that of the grid, twice."""
_MOVED_REACH_MM = 60.0
_NORMAL_SD = 1.5
_BRIGHTER_SD = 1.0
_STRANGER_SD = 0.5
_BRAIN_DICE = 0.8
_BETTER_FLIP_DICE = 0.015
_BETTER_MOVED_DICE = 0.05
_DIRECTIONS = ("left to right", "front to back", "upside down")
_Points = NDArray[np.intp]


@dataclass(frozen=True)
class Doubt:
    """One reason why a mask is probably not what it is given for."""

    kind: DoubtKind
    text: str


def lesion_doubts(
    mask: LesionMask,
    *,
    scan: Scan | None = None,
    brain: BrainMask | None = None,
    automatic: LesionMask | None = None,
) -> tuple[Doubt, ...]:
    """Return why a mask is probably no lesion of this image; empty where nothing speaks against it.

    Parameters
    ----------
    mask
        Lesion on the grid of its image. An empty one is never doubted: 0.0 mL is a value.
    scan, brain
        The image and its brain, on the same grid; what is not given is not asked.
    automatic
        What the method found in the image.
    """
    if not mask.data.any():
        return ()
    if mask.data.all():
        return (Doubt("whole_volume", "it labels every voxel of the image"),)
    doubts = [_as_large_as_a_brain(mask, brain), _outside(mask, brain)]
    if not any(doubts):
        doubts.append(_displaced(mask, scan, brain, automatic))
    return tuple(doubt for doubt in doubts if doubt is not None)


def brain_doubts(given: BrainMask, scan: Scan, *, settings: BrainSettings | None = None) -> tuple[Doubt, ...]:
    """Return why a mask is probably not the brain of this image; empty where nothing speaks against it.

    Parameters
    ----------
    given
        Brain on the grid of the image.
    scan
        The image. The brain found in it is the measure; where none is found the volume alone counts.
    settings
        Limits of a brain's volume.
    """
    settings = settings or BrainSettings()
    if not settings.minimum_ml <= given.volume_ml <= settings.maximum_ml:
        limits = f"{settings.minimum_ml:g} to {settings.maximum_ml:g} mL"
        return (Doubt("no_brain", f"it measures {given.volume_ml:.0f} mL, expected {limits} of a brain"),)
    found = brain_if_found(scan, settings=settings)
    if found is None:
        return ()
    overlap = _dice(given.data, found.data)
    flips = {name: _dice(flipped, found.data) for name, flipped in _flips(given.data, given.grid)}
    better = max(flips, key=lambda name: flips[name])
    if flips[better] > overlap + _BETTER_FLIP_DICE:
        dices = _dices(flips[better], overlap)
        text = f"it fits the brain in the image better once it is mirrored {better} ({dices})"
        return (Doubt("mirrored", text),)
    steps = _steps(given.data, found.data)
    moved = _dice(np.roll(given.data, steps, axis=(0, 1, 2)), found.data)
    if moved > overlap + _BETTER_MOVED_DICE:
        far_mm = float(np.linalg.norm(given.grid.affine[:3, :3] @ steps))
        text = f"it fits the brain in the image better {far_mm:.0f} mm away ({_dices(moved, overlap)})"
        return (Doubt("moved", text),)
    if overlap >= _BRAIN_DICE:
        return ()
    inside = int(np.count_nonzero(given.data & found.data))
    missed = 100 * (1 - inside / int(np.count_nonzero(found.data)))
    outside = 100 * (1 - inside / int(np.count_nonzero(given.data)))
    text = (
        f"it measures {given.volume_ml:.0f} mL, the brain found in the image {found.volume_ml:.0f} mL; "
        f"it leaves out {missed:.0f} % of that, and {outside:.0f} % of it lies elsewhere"
    )
    return (Doubt("no_brain", text),)


def settle_doubts(
    doubts: tuple[Doubt, ...], *, name: str, confirmed: bool, remedy: str, where: str = ""
) -> tuple[str, ...]:
    """Return the doubts of a mask that a person has confirmed as flags.

    Parameters
    ----------
    doubts
        What speaks against the mask.
    name
        What the mask is called in messages, such as ``"mask sub-001_ses-BL_mask.nii.gz"``.
    confirmed
        Whether a person said that it is meant as it is.
    remedy
        What to do if it is.
    where
        Whose image it is.

    Raises
    ------
    MaskError
        If there is a doubt and nobody confirmed the mask.
    """
    found = "; ".join(doubt.text for doubt in doubts)
    if doubts and not confirmed:
        msg = f"{name} cannot be right: {found}. Give the mask of this image, or, if it is meant, {remedy}"
        raise MaskError(msg, where=where)
    return (f"{name} was confirmed although {found}",) if doubts else ()


# ---- size and place --------------------------------------------------------------------------------------


def _as_large_as_a_brain(mask: LesionMask, brain: BrainMask | None) -> Doubt | None:
    if brain is None:
        if mask.volume_ml <= LARGEST_LESION_ML:
            return None
        return Doubt("whole_brain", f"it measures {mask.volume_ml:.0f} mL, as much as a brain and no lesion")
    share = int(np.count_nonzero(mask.data & brain.data)) / max(1, int(np.count_nonzero(brain.data)))
    if share <= LARGEST_LESION_SHARE:
        return None
    text = f"it covers {100 * share:.0f} % of the brain, as a brain mask does and no lesion"
    return Doubt("whole_brain", text)


def _outside(mask: LesionMask, brain: BrainMask | None) -> Doubt | None:
    if brain is None:
        return None
    share = np.count_nonzero(mask.data & ~brain.data) / mask.voxel_count
    if share <= OUTSIDE_SHARE:
        return None
    return Doubt("outside_brain", f"{100 * share:.0f} % of it lies outside the brain")


# ---- mirrored or moved -----------------------------------------------------------------------------------


class _Place(NamedTuple):
    """Where else the mask's voxels may belong."""

    kind: DoubtKind
    name: str
    points: _Points


def _displaced(
    mask: LesionMask, scan: Scan | None, brain: BrainMask | None, automatic: LesionMask | None
) -> Doubt | None:
    points = np.argwhere(mask.data)
    look = None if scan is None or brain is None else _Look.of(scan, brain)
    if automatic is not None and automatic.data.any():
        doubt = _better_on_automatic(mask, automatic, look)
        if doubt is not None or _share(points, automatic) >= _SOME_DICE:
            return doubt
    return None if look is None or brain is None else _better_on_image(points, mask.grid, brain, look)


def _better_on_automatic(mask: LesionMask, automatic: LesionMask, look: _Look | None) -> Doubt | None:
    """Return a doubt where the mask fits the automatic one far better once it is turned or moved."""
    points = np.argwhere(mask.data)
    overlap = _share(points, automatic)
    if overlap >= _GOOD_DICE:
        return None
    best = max(_turned(points, automatic.grid), key=lambda place: _share(place.points, automatic))
    if _share(best.points, automatic) < overlap + _BETTER_DICE[best.kind]:
        best = _moved(mask, automatic)
    there = _share(best.points, automatic)
    if there < overlap + _BETTER_DICE[best.kind]:
        return None
    # a reader who marks another lesion than the method marks one that can be seen; not seen, only the
    # mirror image is one idea among few, and places to move to are many
    if look is None and best.kind == "moved":
        return None
    if look is not None and look.stranger(points) >= look.stranger(best.points):
        return None
    return Doubt(best.kind, f"it fits the infarct in the image {best.name} ({_dices(there, overlap)})")


def _better_on_image(points: _Points, grid: Grid, brain: BrainMask, look: _Look) -> Doubt | None:
    """Return a doubt where the mask lies on normal tissue, and its mirror image on a lesion."""
    axis = AxisOrder.of(grid).order[0]
    here = look.mean(points)
    for twice in (float(grid.shape[axis] - 1), 2 * float(_middle(brain.data)[axis])):
        mirrored = _mirrored(points, grid, twice=round(twice))
        if len(mirrored) < len(points):
            continue
        brighter = look.mean(mirrored) - here
        stranger = look.stranger(mirrored) - look.stranger(points)
        if here < _NORMAL_SD and brighter >= _BRIGHTER_SD and stranger >= _STRANGER_SD:
            text = (
                f"it lies on tissue that looks normal ({here:+.1f} SD), and mirrored left to right on "
                f"what looks like the lesion ({here + brighter:+.1f} SD)"
            )
            return Doubt("mirrored", text)
    return None


@dataclass(frozen=True, eq=False)
class _Look:
    """Intensities in robust standard deviations from the brain's median."""

    z: NDArray[np.float32]

    @classmethod
    def of(cls, scan: Scan, brain: BrainMask) -> _Look:
        inside = scan.data[brain.data]
        median = float(np.median(inside))
        spread = 1.4826 * float(np.median(np.abs(inside - median)))
        return cls((scan.data - np.float32(median)) / np.float32(spread if spread > 0 else 1.0))

    def mean(self, points: _Points) -> float:
        """Return how bright voxels are."""
        return float(self.z[tuple(points.T)].mean()) if len(points) else 0.0

    def stranger(self, points: _Points) -> float:
        """Return how far from the median voxels are, brighter or darker."""
        return float(np.abs(self.z[tuple(points.T)]).mean()) if len(points) else 0.0


def _turned(points: _Points, grid: Grid) -> Iterator[_Place]:
    """Yield a mask's voxels mirrored in the grid, and left to right in a head that lies off its middle."""
    order, ends = AxisOrder.of(grid).order, np.array(grid.shape) - 1
    for flips in product((False, True), repeat=3):
        if any(flips):
            turned = points.copy()
            for axis, flip in zip(order, flips, strict=True):
                turned[:, axis] = ends[axis] - turned[:, axis] if flip else turned[:, axis]
            yield _Place("mirrored", _turn_text(flips), turned)
    reach = int(_MIRROR_REACH_MM / grid.spacing_mm[order[0]])
    for shift in range(-reach, reach + 1):
        twice = int(ends[order[0]]) + shift
        yield _Place("mirrored", _turn_text((True, False, False)), _mirrored(points, grid, twice=twice))


def _turn_text(flips: tuple[bool, ...]) -> str:
    names = [name for name, flip in zip(_DIRECTIONS, flips, strict=True) if flip]
    return f"once it is mirrored {' and '.join(names)}"


def _mirrored(points: _Points, grid: Grid, *, twice: int) -> _Points:
    """Return voxels mirrored left to right about half of ``twice``, those that stay on the grid."""
    axis = AxisOrder.of(grid).order[0]
    turned = points.copy()
    turned[:, axis] = twice - turned[:, axis]
    return turned[(turned[:, axis] >= 0) & (turned[:, axis] < grid.shape[axis])]


def _moved(mask: LesionMask, automatic: LesionMask) -> _Place:
    """Return a mask's voxels where they cover most of the automatic mask, not turned."""
    points, others = np.argwhere(mask.data), np.argwhere(automatic.data)
    start, other_start = points.min(axis=0), others.min(axis=0)
    mine = _within(mask.data, points).astype(np.float32)
    covered = signal.fftconvolve(_within(automatic.data, others).astype(np.float32), np.flip(mine))
    first = other_start - start - np.array(mine.shape) + 1
    steps = [n + np.arange(count) for n, count in zip(first, covered.shape, strict=True)]
    world = np.stack(np.meshgrid(*steps, indexing="ij", copy=False), axis=-1) @ mask.grid.affine[:3, :3].T
    far_mm = np.linalg.norm(world, axis=-1)
    covered[far_mm > _MOVED_REACH_MM] = -1
    best = np.unravel_index(int(covered.argmax()), covered.shape)
    moved = points + [step[n] for step, n in zip(steps, best, strict=True)]
    moved = moved[((moved >= 0) & (moved < mask.grid.shape)).all(axis=1)]
    return _Place("moved", f"once it is moved by {far_mm[best]:.0f} mm", moved)


def _within(data: NDArray[np.bool_], points: _Points) -> NDArray[np.bool_]:
    """Return the box of an array that holds all points."""
    low, high = points.min(axis=0), points.max(axis=0) + 1
    return data[low[0] : high[0], low[1] : high[1], low[2] : high[2]]


def _steps(data: NDArray[np.bool_], other: NDArray[np.bool_]) -> tuple[int, int, int]:
    """Return the whole voxels from the middle of one mask to that of another."""
    i, j, k = (int(step) for step in np.rint(_middle(other) - _middle(data)))
    return i, j, k


def _middle(data: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the mean position of a mask's voxels, without a list of all of them."""
    counts = [data.sum(axis=tuple(other for other in range(3) if other != axis)) for axis in range(3)]
    return np.array([float(np.average(np.arange(len(one)), weights=one)) for one in counts])


def _flips(data: NDArray[np.bool_], grid: Grid) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    for axis, name in zip(AxisOrder.of(grid).order, _DIRECTIONS, strict=True):
        yield name, np.flip(data, axis=axis)


def _share(points: _Points, other: LesionMask) -> float:
    """Return the Dice of voxels with a mask."""
    both = int(np.count_nonzero(other.data[tuple(points.T)]))
    return 2 * both / (len(points) + other.voxel_count)


def _dice(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> float:
    total = int(np.count_nonzero(first)) + int(np.count_nonzero(second))
    return 2 * int(np.count_nonzero(first & second)) / total if total else 1.0


def _dices(there: float, here: float) -> str:
    return f"Dice {there:.2f}, as it is {here:.2f}"

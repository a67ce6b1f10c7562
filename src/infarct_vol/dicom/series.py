"""Image planes put together to volumes, and the one volume a mask was drawn on.

A volume is never guessed: planes that repeat, miss or turn are refused by the UID of their instance, and
a mask fits the volume whose voxels are its own. Array axes are swapped and reversed, nothing is resampled.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from infarct_vol.dicom.headers import Folder, Slice
from infarct_vol.errors import GridMismatchError, HeaderError, ScanRefusedError, UsageError
from infarct_vol.geometry import Grid
from infarct_vol.images import LesionMask

TOLERANCE_MM = 0.05
"""Two places closer than this are one: decimal strings and float32 round, a voxel is ten times as large."""
_TO_RAS = np.array([-1.0, -1.0, 1.0])
_LISTED = 12


@dataclass(frozen=True, eq=False)
class Stack:
    """One volume of a series.

    Parameters
    ----------
    slices
        Planes in the order of their place, along the cross product of row and column directions.
    grid
        Voxel grid of an array (columns, rows, slices), scanner RAS+ mm.
    part
        Which volume of its series it is, such as ``"b 1000"``; empty where the series has only one.
    b_value
        In s/mm2, where it is stated.
    """

    slices: tuple[Slice, ...]
    grid: Grid
    part: str = ""
    b_value: float | None = None

    @property
    def series_instance_uid(self) -> str:
        """UID of the series the volume belongs to."""
        return self.slices[0].series_instance_uid

    @property
    def name(self) -> str:
        """Series number, modality, part and UID, for messages; no free text of the header."""
        first = self.slices[0]
        number = "no number" if first.series_number is None else str(first.series_number)
        part = f", {self.part}" if self.part else ""
        return f"series {number} ({first.modality or 'no modality'}{part}, UID {self.series_instance_uid})"


@dataclass(frozen=True)
class Unusable:
    """A series, or a part of one, that is no volume, and why."""

    series_instance_uid: str
    series_number: int | None
    reason: str


def stacks_of(folder: Folder) -> tuple[list[Stack], list[Unusable]]:
    """Put the planes of a folder together, series by series."""
    by_series: dict[str, list[Slice]] = defaultdict(list)
    for plane in folder.slices:
        by_series[plane.series_instance_uid].append(plane)
    stacks, unusable = [], []
    for uid in sorted(by_series):
        for part, planes in _parts(by_series[uid], ""):
            try:
                stacks.append(_stack(planes, part=part))
            except ScanRefusedError as error:
                unusable.append(Unusable(uid, planes[0].series_number, error.message))
    return stacks, unusable


def _parts(planes: list[Slice], part: str) -> Iterator[tuple[str, list[Slice]]]:
    """Split planes that repeat their places by the first trait that tells them apart."""
    if _repeated(planes) is not None:
        for trait in planes[0].traits:
            groups: dict[Hashable, list[Slice]] = defaultdict(list)
            for plane in planes:
                groups[plane.traits[trait]].append(plane)
            if len(groups) > 1:
                for value in sorted(groups, key=str):
                    yield from _parts(groups[value], ", ".join(filter(None, (part, _named(trait, value)))))
                return
    yield part, planes


def _named(trait: str, value: Hashable) -> str:
    if isinstance(value, tuple):
        return "\\".join(str(word) for word in value)
    return f"{trait} {value:g}" if isinstance(value, float) else f"no {trait}"


def _repeated(planes: Sequence[Slice]) -> tuple[Slice, Slice] | None:
    """Return two planes of one orientation and place."""
    seen: dict[Hashable, Slice] = {}
    for plane in planes:
        place = tuple(np.round([*(plane.position / TOLERANCE_MM), *(plane.orientation * 1e3)]).astype(int))
        if place in seen:
            return seen[place], plane
        seen[place] = plane
    return None


def _stack(planes: Sequence[Slice], *, part: str) -> Stack:
    first = planes[0]
    _require_alike(planes)
    along_row, along_column = first.orientation[:3], first.orientation[3:]
    lengths = np.array([np.linalg.norm(along_row), np.linalg.norm(along_column), 1.0])
    if np.abs(lengths - 1).max() > 1e-3 or abs(float(along_row @ along_column)) > 1e-3:
        msg = f"ImageOrientationPatient of {first.name} is not two directions at a right angle"
        raise HeaderError(msg)
    normal = np.cross(along_row, along_column)
    ordered = sorted(planes, key=lambda plane: float(plane.position @ normal))
    step = _step(ordered, normal)
    lps = np.eye(4)
    lps[:3, 0] = along_row * first.spacing_mm[1]
    lps[:3, 1] = along_column * first.spacing_mm[0]
    lps[:3, 2] = step
    lps[:3, 3] = ordered[0].position
    lps[:3] *= _TO_RAS[:, np.newaxis]
    grid = Grid((first.columns, first.rows, len(ordered)), lps)
    return Stack(tuple(ordered), grid, part=part, b_value=first.traits.get("b"))


def _require_alike(planes: Sequence[Slice]) -> None:
    first = planes[0]
    for plane in planes:
        same = {
            "orientation": bool(np.abs(plane.orientation - first.orientation).max() < 1e-3),
            "pixel spacing": bool(np.allclose(plane.spacing_mm, first.spacing_mm, rtol=1e-4)),
            "size": (plane.rows, plane.columns) == (first.rows, first.columns),
            "frame of reference": plane.frame_of_reference_uid == first.frame_of_reference_uid,
            "study": plane.study_instance_uid == first.study_instance_uid,
            "kind of object": plane.sop_class_uid == first.sop_class_uid,
        }
        if differing := [name for name, is_same in same.items() if not is_same]:
            msg = f"{' and '.join(differing)} of {plane.name} differ from those of {first.name}"
            raise HeaderError(msg)
        if plane.frame is not None and plane.path != first.path:
            msg = f"frames are spread over several files, such as {plane.name} and {first.name}"
            raise HeaderError(msg)
    if not first.frame_of_reference_uid:
        msg = f"FrameOfReferenceUID of {first.name} is missing: a segmentation needs it to be placed"
        raise HeaderError(msg)


def _step(ordered: Sequence[Slice], normal: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the vector from one plane to the next, LPS mm.

    Raises
    ------
    HeaderError
        Where planes repeat, miss or stand out of line.
    """
    if len(ordered) == 1:
        return normal * (ordered[0].thickness_mm or 1.0)
    positions = np.array([plane.position for plane in ordered])
    heights = positions @ normal
    gaps_mm = np.diff(heights)
    if (at := int(np.argmin(gaps_mm))) >= 0 and gaps_mm[at] < TOLERANCE_MM:
        msg = (
            f"{ordered[at].name} and {ordered[at + 1].name} lie at one place; export one volume of the series"
        )
        raise HeaderError(msg)
    usual_mm = float(np.median(gaps_mm))
    wide = np.nonzero(np.abs(gaps_mm - usual_mm) > 2 * TOLERANCE_MM)[0]
    if wide.size:
        before, after = ordered[int(wide[0])], ordered[int(wide[0]) + 1]
        msg = (
            f"{gaps_mm[wide[0]]:.2f} mm lie between {before.name} and {after.name}, "
            f"elsewhere {usual_mm:.2f} mm: slices are missing or unevenly spaced; copy the series again"
        )
        raise HeaderError(msg)
    step = np.asarray((positions[-1] - positions[0]) / (len(ordered) - 1))
    off_mm = np.linalg.norm(positions - positions[0] - np.outer(np.arange(len(ordered)), step), axis=1)
    if off_mm.max() > 2 * TOLERANCE_MM:
        msg = f"{ordered[int(np.argmax(off_mm))].name} is {off_mm.max():.2f} mm out of line with its series"
        raise HeaderError(msg)
    return step


# ---- the mask ----------------------------------------------------------------------------------------------


def on_stack(mask: LesionMask, stack: Stack) -> NDArray[np.bool_] | None:
    """Return a mask's voxels in the axes of a stack, (columns, rows, slices); None if the grids differ."""
    for axes in itertools.permutations(range(3)):
        if tuple(mask.grid.shape[axis] for axis in axes) != stack.grid.shape:
            continue
        for flips in itertools.product((False, True), repeat=3):
            affine = np.array(mask.grid.affine)[:, [*axes, 3]]
            for axis, flipped in enumerate(flips):
                if flipped:
                    affine[:3, 3] += affine[:3, axis] * (stack.grid.shape[axis] - 1)
                    affine[:3, axis] *= -1
            if Grid(stack.grid.shape, affine).matches(stack.grid):
                turned = np.transpose(mask.data, axes)
                return np.asarray(turned[tuple(slice(None, None, -1 if flip else 1) for flip in flips)])
    return None


def source_of(
    mask: LesionMask, folder: Folder, *, series: str | None = None
) -> tuple[Stack, NDArray[np.bool_]]:
    """Choose the volume a mask was drawn on; of several b-values of one series the highest.

    Parameters
    ----------
    series
        UID or number of the series, where several have the mask's grid.

    Returns
    -------
    The volume, and the mask's voxels in its axes: (columns, rows, slices).

    Raises
    ------
    UsageError
        If several volumes have the mask's grid, or ``series`` is not in the folder.
    GridMismatchError
        If none has; with all grids in the message.
    """
    stacks, unusable = stacks_of(folder)
    if series is not None:
        stacks = [s for s in stacks if series in _names(s.series_instance_uid, s.slices[0].series_number)]
        unusable = [u for u in unusable if series in _names(u.series_instance_uid, u.series_number)]
        if not stacks and not unusable:
            msg = f"no series {series!r} in {folder.path}; give a SeriesInstanceUID or a SeriesNumber of it"
            raise UsageError(msg)
    fitting = [(stack, data) for stack in stacks if (data := on_stack(mask, stack)) is not None]
    if not fitting:
        raise GridMismatchError(_no_fit(mask, stacks, unusable, folder))
    fitting = _highest_b(fitting)
    if len(fitting) > 1:
        names = "; ".join(stack.name for stack, _ in fitting[:_LISTED])
        one = len({stack.series_instance_uid for stack, _ in fitting}) == 1
        remedy = "copy the files of one into a folder of its own" if one else "choose one with --series"
        msg = f"{len(fitting)} volumes have the mask's grid: {names}; {remedy}"
        raise UsageError(msg)
    return fitting[0]


def _names(uid: str, number: int | None) -> tuple[str, ...]:
    return (uid,) if number is None else (uid, str(number))


def _highest_b(fitting: list[tuple[Stack, NDArray[np.bool_]]]) -> list[tuple[Stack, NDArray[np.bool_]]]:
    one_series = len({stack.series_instance_uid for stack, _ in fitting}) == 1
    b_values = [stack.b_value for stack, _ in fitting]
    known = [b for b in b_values if b is not None]
    if not one_series or len(known) < len(b_values) or not known:
        return fitting
    return [pair for pair, b in zip(fitting, b_values, strict=True) if b == max(known)]


def _no_fit(mask: LesionMask, stacks: list[Stack], unusable: list[Unusable], folder: Folder) -> str:
    lines = [f"{stack.name}: {stack.grid.describe()}" for stack in stacks[:_LISTED]]
    for other in unusable[:_LISTED]:
        number = "no number" if other.series_number is None else other.series_number
        lines.append(f"series {number} cannot be used: {other.reason}")
    more = len(stacks) + len(unusable) - len(lines)
    tail = [*([f"{more} more"] if more > 0 else []), *folder.remarks()]
    return (
        f"no volume in {folder.path} has the mask's grid ({mask.grid.describe()}); found: "
        f"{'; '.join([*lines, *tail])}. A mask is never resampled: give the series it was drawn on"
    )

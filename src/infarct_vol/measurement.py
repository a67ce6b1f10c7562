"""From a lesion mask to its volume: millilitres, components and the range the boundary allows.

The volume is always that of the mask on the grid it was drawn on, ``voxels x |det(affine)|``; the one
conversion from mm3 to mL is in `infarct_vol.geometry`. Nothing here resamples.
"""

from __future__ import annotations

import html
import math
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from infarct_vol.atlas import BrainMap, locate
from infarct_vol.errors import SegmentationError, UsageError
from infarct_vol.geometry import Grid
from infarct_vol.images import LesionMask, require_same_grid
from infarct_vol.records import ComponentRecord, Record
from infarct_vol.segmentation.cleanup import bounding_box, half_voxel_range

_STRUCTURE_RANK = {6: 1, 18: 2, 26: 3}
"""Voxel neighbourhood -> rank of scipy's binary structure (faces, edges, corners)."""


@dataclass(frozen=True)
class LesionVolume:
    """The volume of one lesion mask on its native grid.

    Parameters
    ----------
    volume_ml
        Voxels times ``|det(affine[:3, :3])|``, in mL. An empty mask is 0.0 mL: measured, none found.
    voxel_count
        Number of voxels in the mask.
    voxel_volume_mm3
        Volume of one voxel in mm3.
    lesion_count
        Number of connected components.
    volume_ml_low, volume_ml_high
        Range in mL that always contains ``volume_ml``; see `measure`.
    partial_volume_ml
        Volume in mL with boundary voxels counted by the fraction the method gave them; None where the
        method gives no fractions.
    components
        The connected components, largest first.
    flags
        What a reader should know of the mask.
    """

    volume_ml: float
    voxel_count: int
    voxel_volume_mm3: float
    lesion_count: int
    volume_ml_low: float
    volume_ml_high: float
    partial_volume_ml: float | None
    components: tuple[ComponentRecord, ...]
    flags: tuple[str, ...] = ()

    def __str__(self) -> str:
        noun = "component" if self.lesion_count == 1 else "components"
        limits = f"{self.volume_ml_low:.2f}-{self.volume_ml_high:.2f}"
        return f"{self.volume_ml:.2f} mL ({limits}), {self.lesion_count} {noun}"

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{number}</td><td>{part.volume_ml:.3f}</td>"
            f"<td>{', '.join(f'{x:.1f}' for x in part.centroid_mm)}</td>"
            f"<td>{part.first_slice}-{part.last_slice}</td>"
            f"<td>{place_text(part)}</td></tr>"
            for number, part in enumerate(self.components, start=1)
        )
        head = "<tr><th>#</th><th>mL</th><th>centroid (RAS+ mm)</th><th>slices</th><th>place</th></tr>"
        return f"<p><b>{html.escape(str(self))}</b></p><table>{head}{rows}</table>"


def place_text(part: ComponentRecord) -> str:
    """Return a component's place in words, such as ``left, supratentorial``; empty where it is not known."""
    return ", ".join(name for name in (part.hemisphere, part.region) if name)


class MaskRow(Record):
    """One mask file in the table of ``infarct-vol measure``, its columns in their order."""

    file: str
    volume_ml: float
    voxel_count: int
    voxel_volume_mm3: float
    lesion_count: int
    volume_ml_low: float
    volume_ml_high: float


def measure(mask: LesionMask, *, connectivity: int = 26, brain_map: BrainMap | None = None) -> LesionVolume:
    """Measure a lesion on the grid it was drawn on.

    Parameters
    ----------
    mask
        Lesion on its native grid. ``mask.evidence`` may hold ``volume_ml_low``, ``volume_ml_high`` (the
        method's own range, from moving its thresholds) and ``partial_volume_ml``.
    connectivity
        Neighbourhood of a connected component: 6, 18 or 26 voxels.
    brain_map
        Points of the mask's scan -> MNI. With one that stands, every component says where in the brain it
        lies; volumes never depend on it.

    Returns
    -------
    LesionVolume
        Where the method gives no range, the limits are the volume with the in-plane boundary moved by
        half a voxel inwards and outwards (compare Rana 2003, where a one-pixel shift changed infarct
        volumes by 22 %). The range is widened where needed to contain the measured volume.

    Raises
    ------
    UsageError
        If the connectivity is not 6, 18 or 26, or what is given is no `LesionMask`.
    SegmentationError
        If the mask's own range is not a finite, non-negative number.
    """
    if not isinstance(mask, LesionMask):
        msg = (
            f"measure takes a LesionMask, got {type(mask).__name__}: voxels alone have no volume in mL; "
            "read a file with load_mask(path), or make LesionMask(array, scan.grid)"
        )
        raise UsageError(msg)
    components = find_components(mask, connectivity=connectivity, brain_map=brain_map)
    low_ml, high_ml = _limits_ml(mask)
    return LesionVolume(
        volume_ml=mask.volume_ml,
        voxel_count=mask.voxel_count,
        voxel_volume_mm3=mask.grid.voxel_volume_mm3,
        lesion_count=len(components),
        volume_ml_low=min(low_ml, mask.volume_ml),
        volume_ml_high=max(high_ml, mask.volume_ml),
        partial_volume_ml=_evidence_ml(mask, "partial_volume_ml"),
        components=components,
        flags=mask.flags,
    )


def mask_row(volume: LesionVolume, *, file: str) -> MaskRow:
    """Return one mask's row of the measuring table; ``file`` is the name shown for it."""
    values = {name: getattr(volume, name) for name in MaskRow.model_fields if name != "file"}
    return MaskRow(file=file, **values)


def find_components(
    mask: LesionMask, *, connectivity: int = 26, brain_map: BrainMap | None = None
) -> tuple[ComponentRecord, ...]:
    """Return the connected components of a mask, largest first; parameters and errors as `measure`."""
    if connectivity not in _STRUCTURE_RANK:
        msg = f"connectivity must be 6, 18 or 26, got {connectivity}"
        raise UsageError(msg, where=str(mask.identity))
    if not mask.data.any():
        return ()
    box = bounding_box(mask.data)
    structure = ndimage.generate_binary_structure(3, _STRUCTURE_RANK[connectivity])
    labels = np.empty(tuple(s.stop - s.start for s in box), dtype=np.int32)
    count = int(ndimage.label(mask.data[box], structure=structure, output=labels))
    start = np.array([s.start for s in box])
    usable = brain_map if brain_map is not None and not brain_map.reason else None
    found = [
        _component(labels, label, where, start=start, grid=mask.grid, brain_map=usable)
        for label, where in enumerate(ndimage.find_objects(labels, max_label=count), start=1)
        if where is not None
    ]
    # position breaks ties, rounded so that the last bits of the affine do not decide
    return tuple(sorted(found, key=lambda c: (-c.volume_ml, [round(x, 6) for x in c.centroid_mm])))


def _component(
    labels: NDArray[np.int32],
    label: int,
    where: tuple[slice, ...],
    *,
    start: NDArray[np.int_],
    grid: Grid,
    brain_map: BrainMap | None,
) -> ComponentRecord:
    indices = np.argwhere(labels[where] == label) + start + [s.start for s in where]
    along_slices = indices[:, grid.slice_axis]
    x, y, z = (float(value) for value in grid.to_world(indices.mean(axis=0)))
    return ComponentRecord(
        volume_ml=len(indices) * grid.voxel_volume_ml,
        centroid_mm=(x, y, z),
        first_slice=int(along_slices.min()),
        last_slice=int(along_slices.max()),
        **(asdict(locate(grid.to_world(indices), brain_map)) if brain_map is not None else {}),
    )


def dice(first: LesionMask, second: LesionMask) -> float:
    """Return the Dice overlap of two masks on one grid, 0 to 1; two empty masks agree: 1.

    Raises
    ------
    GridMismatchError
        If the masks do not share one grid.
    """
    require_same_grid(first, second, what="masks compared")
    total = first.voxel_count + second.voxel_count
    return 2 * int(np.count_nonzero(first.data & second.data)) / total if total else 1.0


def _limits_ml(mask: LesionMask) -> tuple[float, float]:
    low_ml = _evidence_ml(mask, "volume_ml_low")
    high_ml = _evidence_ml(mask, "volume_ml_high")
    if low_ml is not None and high_ml is not None:
        return low_ml, high_ml
    inner_ml, outer_ml = _moved_boundary_ml(mask)
    return (inner_ml if low_ml is None else low_ml, outer_ml if high_ml is None else high_ml)


def _evidence_ml(mask: LesionMask, name: str) -> float | None:
    value = mask.evidence.get(name)
    if value is None:
        return None
    if not math.isfinite(value) or value < 0:
        msg = f"{name} given by method '{mask.method}' must be a finite volume in mL, got {value}"
        raise SegmentationError(msg, where=str(mask.identity))
    return float(value)


def _moved_boundary_ml(mask: LesionMask) -> tuple[float, float]:
    """Return the volume in mL with the in-plane boundary half a voxel further in and further out."""
    inner, outer = half_voxel_range(mask.data, slice_axis=mask.grid.slice_axis)
    return inner * mask.grid.voxel_volume_ml, outer * mask.grid.voxel_volume_ml

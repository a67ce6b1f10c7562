"""The one place where voxels move from one grid to another, always by a stated transform."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import lazy_loader
import numpy as np
from numpy.typing import NDArray

from infarct_vol.geometry import Grid
from infarct_vol.images import LesionMask, Scan
from infarct_vol.registration.quality import NONRIGID
from infarct_vol.registration.transform import RigidTransform

Interpolation = Literal["linear", "nearest", "cubic"]
# registering needs no SimpleITK, and loading it costs as much as registering
sitk = lazy_loader.load("SimpleITK")
_INTERPOLATORS = {"linear": "sitkLinear", "nearest": "sitkNearestNeighbor", "cubic": "sitkBSpline3"}


def resample(
    scan: Scan,
    grid: Grid,
    transform: RigidTransform,
    *,
    interpolation: Interpolation = "linear",
    fill: float = 0.0,
) -> Scan:
    """Return the scan on another grid.

    Parameters
    ----------
    scan
        The moving scan.
    grid
        Grid of the fixed scan, on which the result lies.
    transform
        Points of the fixed scan -> points of the moving scan, RAS+ mm.
    interpolation
        ``linear``, ``nearest``, or ``cubic`` (interpolating B-spline; may overshoot at edges).
    fill
        Intensity where the moving scan has no voxel.

    Raises
    ------
    ValueError
        If the interpolation is not one of the three.
    """
    if interpolation not in _INTERPOLATORS:
        msg = f"interpolation is one of {', '.join(_INTERPOLATORS)}, got {interpolation!r}"
        raise ValueError(msg)
    index_map = _index_map(grid, scan.grid, transform)
    data = _sample(scan.data, grid.shape, index_map, kind=interpolation, fill=fill)
    remark = f"resampled ({interpolation}) from {scan.grid.describe()}"
    return replace(scan, data=data, grid=grid, remarks=(*scan.remarks, remark))


def resample_mask(mask: LesionMask, grid: Grid, transform: RigidTransform) -> LesionMask:
    """Return a mask on another grid: voxels of which at least half is covered.

    The covered share of every target voxel is counted on sub-voxels small against the mask's own voxels.
    A linear interpolation at the voxel centre would not do: from 1 mm to 5 mm slices it reads one slice
    in five, and it rounds off corners even where both grids are the same.

    Volumes for tables never come from a resampled mask; ``evidence`` carries ``source_volume_ml`` and
    ``covered_volume_ml`` (before the half-covered rule) to compare with, and ``nonrigid_p95_mm``: how far
    off the mask may lie because the transform is rigid.

    Parameters
    ----------
    mask
        Mask on the moving scan's grid; parts are resampled too.
    grid
        Grid of the fixed scan, on which the result lies.
    transform
        Points of the fixed scan -> points of the moving scan, RAS+ mm.
    """
    share = coverage(mask, grid, transform)
    # a mean of sub-voxels reaches a half only up to float32 rounding
    data = share >= 0.5 - 1e-6
    evidence = {
        **mask.evidence,
        "source_volume_ml": mask.volume_ml,
        "covered_volume_ml": float(share.sum(dtype=np.float64)) * grid.voxel_volume_ml,
    }
    if transform.quality is not None and NONRIGID in transform.quality.metrics:
        evidence[NONRIGID] = transform.quality.metrics[NONRIGID]
    parts = {name: resample_mask(part, grid, transform) for name, part in mask.parts.items()}
    return replace(mask, data=data, grid=grid, evidence=evidence, parts=parts)


def coverage(mask: LesionMask, grid: Grid, transform: RigidTransform) -> NDArray[np.float32]:
    """Return the share (0 to 1) of every voxel of ``grid`` that a mask on another grid covers.

    Parameters and direction as in `resample_mask`. Shape is that of ``grid``.
    """
    share = np.zeros(grid.shape, dtype=np.float32)
    if not mask.data.any():
        return share
    index_map = _index_map(grid, mask.grid, transform)
    box = _target_box(mask.data, grid.shape, index_map)
    if any(s.start >= s.stop for s in box):
        return share
    split = _subdivision(index_map)
    start = np.array([s.start for s in box])
    shape = [s.stop - s.start for s in box]
    fine = _subvoxel_map(index_map, start=start, split=split)
    moving = mask.data.astype(np.float32)
    # one slab of target voxels at a time keeps the fine grid small
    for offset in range(shape[2]):
        slab = fine.copy()
        slab[:3, 3] += fine[:3, 2] * offset * split[2]
        size = (shape[0] * split[0], shape[1] * split[1], split[2])
        sub = _sample(moving, size, slab, kind="nearest", fill=0.0)
        mean = sub.reshape(shape[0], split[0], shape[1], split[1], split[2]).mean(axis=(1, 3, 4))
        share[box[0], box[1], box[2].start + offset] = mean
    return share


def _index_map(grid: Grid, moving: Grid, transform: RigidTransform) -> NDArray[np.float64]:
    """(4, 4) matrix from voxel indices of the target grid to voxel indices of the moving one."""
    return np.asarray(np.linalg.inv(moving.affine) @ transform.matrix @ grid.affine)


def _target_box(
    mask: NDArray[np.bool_], shape: tuple[int, ...], index_map: NDArray[np.float64]
) -> tuple[slice, slice, slice]:
    """Limits of the target voxels that a mask can touch."""
    limits = []
    for axis in range(3):
        hit = np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis)))
        limits.append((hit[0] - 1, hit[-1] + 1))
    corners = np.array([[a, b, c, 1] for a in limits[0] for b in limits[1] for c in limits[2]], dtype=float)
    mapped = corners @ np.linalg.inv(index_map).T
    low = np.floor(mapped[:, :3].min(axis=0) - 0.5).astype(int)
    high = np.ceil(mapped[:, :3].max(axis=0) + 0.5).astype(int) + 1
    first, last = np.maximum(low, 0), np.minimum(high, shape)
    boxes = [slice(int(a), int(b)) for a, b in zip(first, last, strict=True)]
    return boxes[0], boxes[1], boxes[2]


def _subdivision(index_map: NDArray[np.float64]) -> tuple[int, int, int]:
    """Sub-voxels per target axis: steps of at most a third of a moving voxel, at least four."""
    steps = np.abs(index_map[:3, :3]).max(axis=0)
    counts = [int(min(24, max(4, np.ceil(3.0 * step - 1e-6)))) for step in steps]
    return counts[0], counts[1], counts[2]


def _subvoxel_map(
    index_map: NDArray[np.float64], *, start: NDArray[np.int_], split: tuple[int, int, int]
) -> NDArray[np.float64]:
    """Map from indices of the subdivided box to indices of the moving grid."""
    refine = np.eye(4)
    for axis in range(3):
        refine[axis, axis] = 1.0 / split[axis]
        # the first sub-voxel's centre lies half a voxel back and half a sub-voxel forward
        refine[axis, 3] = start[axis] - 0.5 + 0.5 / split[axis]
    return np.asarray(index_map @ refine)


def _sample(
    data: NDArray[np.float32],
    shape: tuple[int, ...],
    index_map: NDArray[np.float64],
    *,
    kind: Interpolation,
    fill: float,
) -> NDArray[np.float32]:
    """Sample an array at ``index_map @ (i, j, k, 1)`` for every index of ``shape``.

    Working on indices keeps handedness and shear of either grid out of ITK, whose directions must be
    rotations.
    """
    mapping = sitk.AffineTransform(3)
    mapping.SetMatrix(np.ascontiguousarray(index_map[:3, :3]).ravel().tolist())
    mapping.SetTranslation(index_map[:3, 3].tolist())
    # ITK counts the first index fastest, numpy the last one
    image = sitk.GetImageFromArray(np.ascontiguousarray(data.transpose(2, 1, 0)))
    engine = sitk.ResampleImageFilter()
    engine.SetSize([int(n) for n in shape])
    engine.SetTransform(mapping)
    engine.SetInterpolator(getattr(sitk, _INTERPOLATORS[kind]))
    engine.SetDefaultPixelValue(float(fill))
    engine.SetOutputPixelType(sitk.sitkFloat32)
    result = sitk.GetArrayFromImage(engine.Execute(image))
    return np.ascontiguousarray(result.transpose(2, 1, 0))

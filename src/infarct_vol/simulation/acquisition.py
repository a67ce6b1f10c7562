"""The scanner: head position, slices thicker than the anatomy is fine, and what makes images imperfect.

Partial volume comes from averaging sub-slices (and in-plane sub-samples) of the 1 mm head, so a voxel's
signal and a mask's fraction of it are known beyond the voxel.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.transform import Rotation

from infarct_vol.geometry import Grid
from infarct_vol.simulation.fields import Field, bounding_slices

Matrix = NDArray[np.float64]
_CORNER_MARGIN_VOXELS = 2
_SAMPLES_AT_ONCE = 3_000_000
_AXES = {"R": (0, 1.0), "L": (0, -1.0), "A": (1, 1.0), "P": (1, -1.0), "S": (2, 1.0), "I": (2, -1.0)}


# ---- position --------------------------------------------------------------------------------------------


def rigid_matrix(rotation_vector_deg: ArrayLike, shift_mm: ArrayLike, *, centre: ArrayLike) -> Matrix:
    """Return a 4x4 rigid matrix: a rotation about ``centre`` (RAS+ mm), then a shift."""
    turn = Rotation.from_rotvec(np.radians(np.asarray(rotation_vector_deg, dtype=float))).as_matrix()
    pivot = np.asarray(centre, dtype=float)
    matrix = np.eye(4)
    matrix[:3, :3] = turn
    matrix[:3, 3] = pivot - turn @ pivot + np.asarray(shift_mm, dtype=float)
    return matrix


def random_pose(
    rng: np.random.Generator,
    *,
    angle_deg: tuple[float, float],
    shift_mm: tuple[float, float],
    centre: ArrayLike,
) -> Matrix:
    """Return a random rigid matrix whose angle and shift lie within the limits."""
    axis = rng.normal(size=3) * (1.0, 0.7, 1.0)
    axis *= rng.uniform(*angle_deg) / np.linalg.norm(axis)
    shift = rng.normal(size=3)
    shift *= rng.uniform(*shift_mm) / np.linalg.norm(shift)
    return rigid_matrix(axis, shift, centre=centre)


# ---- prescription ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Prescription:
    """How a series is laid on a head.

    Parameters
    ----------
    spacing_mm
        Voxel size along left-right, front-back and head-foot.
    in_plane_fov_mm
        Field of view left-right and front-back.
    orientation
        Directions of the array axes, such as ``"LAS"``; the third one runs along the slices.
    tilt_deg
        Rotation vector of the slices against the scanner's axes; zero for straight slices.
    margin_mm
        Coverage below and above the brain.
    """

    spacing_mm: tuple[float, float, float]
    in_plane_fov_mm: tuple[float, float]
    orientation: str = "RAS"
    tilt_deg: tuple[float, float, float] = (0.0, 0.0, 0.0)
    margin_mm: tuple[float, float] = (10.0, 8.0)


def prescribe(plan: Prescription, brain_points: Matrix, rng: np.random.Generator, *, pose: Matrix) -> Grid:
    """Return the grid that covers the brain.

    Parameters
    ----------
    brain_points
        (N, 3) points on the brain's surface in head space, RAS+ mm.
    pose
        (4, 4) head space to scanner space.
    """
    world = brain_points @ pose[:3, :3].T + pose[:3, 3]
    turn = Rotation.from_rotvec(np.radians(plan.tilt_deg)).as_matrix()
    local = world @ turn
    low, high = local.min(axis=0), local.max(axis=0)
    low[2], high[2] = low[2] - plan.margin_mm[0], high[2] + plan.margin_mm[1]
    middle = 0.5 * (low + high) + np.array([*rng.uniform(-3, 3, 2), 0.0])
    spacing = np.asarray(plan.spacing_mm)
    extent = np.array([*plan.in_plane_fov_mm, high[2] - low[2]])
    count = np.ceil(extent / spacing - 1e-6).astype(int)
    count[:2] += count[:2] % 2
    directions, shape = np.zeros((3, 3)), [0, 0, 0]
    for column, letter in enumerate(plan.orientation):
        axis, sign = _AXES[letter]
        directions[:, column] = turn[:, axis] * sign * spacing[axis]
        shape[column] = int(count[axis])
    affine = np.eye(4)
    affine[:3, :3] = directions
    affine[:3, 3] = turn @ middle - directions @ ((np.array(shape) - 1) / 2)
    # scanners write affines in single precision; holding the rounded one keeps truth and file the same
    return Grid((shape[0], shape[1], shape[2]), affine.astype(np.float32).astype(np.float64))


# ---- sampling --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class HeadVolume:
    """A 1 mm map in head space, ready to be sampled.

    SimpleITK takes the last axis of an array as its first. Its coordinates are therefore written here as
    (z, y, x), RAS+ mm, throughout: no array has to be turned around.
    """

    image: sitk.Image

    @classmethod
    def of(cls, data: Field, grid: Grid) -> HeadVolume:
        """Wrap an array on an axis-parallel 1 mm grid."""
        image = sitk.GetImageFromArray(np.ascontiguousarray(data))
        image.SetOrigin([float(v) for v in grid.affine[2::-1, 3]])
        return cls(image)


def sample(volume: HeadVolume, grid: Grid, *, pose: Matrix, subs: tuple[int, int, int]) -> Field:
    """Return the mean of a map over every voxel of a grid.

    Parameters
    ----------
    pose
        (4, 4) head space to scanner space, RAS+ mm.
    subs
        Sub-samples along each array axis.

    Returns
    -------
    (I, J, K) float32; 0 outside the map.
    """
    i, j, k = grid.shape
    out = np.empty(grid.shape, dtype=np.float32)
    slices = max(1, _SAMPLES_AT_ONCE // (i * j * int(np.prod(subs))))
    for start in range(0, k, slices):
        slab = slice(start, min(start + slices, k))
        part = grid.crop((slice(0, i), slice(0, j), slab))
        out[:, :, slab] = _block_mean(_resampled(volume, part, pose, subs), subs)
    return out


def _resampled(volume: HeadVolume, grid: Grid, pose: Matrix, subs: tuple[int, int, int]) -> Field:
    """Return the map at every sub-sample of a grid."""
    fine = np.linalg.inv(pose) @ grid.affine
    step = 1 / np.asarray(subs, dtype=float)
    fine[:3, 3] += fine[:3, :3] @ ((step - 1) / 2)
    fine[:3, :3] *= step
    spacing = np.linalg.norm(fine[:3, :3], axis=0)
    direction = (fine[:3, :3] / spacing)[::-1, ::-1]
    engine = sitk.ResampleImageFilter()
    engine.SetNumberOfWorkUnits(1)
    engine.SetSize([int(n) * s for n, s in zip(grid.shape, subs, strict=True)][::-1])
    engine.SetOutputSpacing(spacing[::-1].tolist())
    engine.SetOutputOrigin(fine[2::-1, 3].tolist())
    engine.SetOutputDirection(direction.ravel().tolist())
    engine.SetInterpolator(sitk.sitkLinear)
    engine.SetOutputPixelType(sitk.sitkFloat32)
    return np.asarray(sitk.GetArrayFromImage(engine.Execute(volume.image)), dtype=np.float32)


def _block_mean(fine: Field, subs: tuple[int, int, int]) -> Field:
    """Average blocks of ``subs`` voxels."""
    out = fine
    for axis, count in enumerate(subs):
        every = [slice(None)] * 3
        every[axis] = slice(0, None, count)
        total = out[tuple(every)].copy()
        for offset in range(1, count):
            every[axis] = slice(offset, None, count)
            total += out[tuple(every)]
        total /= np.float32(count)
        out = total
    return out


def sample_part(data: Field, part: Grid, grid: Grid, *, pose: Matrix, subs: tuple[int, int, int]) -> Field:
    """Do as `sample` for a map that is 0 outside a small part of the head, in the time of that part."""
    out = np.zeros(grid.shape, dtype=np.float32)
    if not data.any():
        return out
    held = bounding_slices(data > 0, margin=1)
    data, part = data[held], part.crop(held)
    i, j, k = (n - 1 for n in part.shape)
    corners = np.array([[a, b, c] for a in (0, i) for b in (0, j) for c in (0, k)], dtype=float)
    index = grid.to_index(part.to_world(corners) @ pose[:3, :3].T + pose[:3, 3])
    low = np.maximum(np.floor(index.min(axis=0)).astype(int) - _CORNER_MARGIN_VOXELS, 0)
    high = np.minimum(np.ceil(index.max(axis=0)).astype(int) + _CORNER_MARGIN_VOXELS + 1, grid.shape)
    if (low >= high).any():
        return out
    window = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    out[window] = sample(HeadVolume.of(data, part), grid.crop(window), pose=pose, subs=subs)
    return out


# ---- imperfections ---------------------------------------------------------------------------------------


def bias_field(grid: Grid, rng: np.random.Generator, *, peak: float) -> Field:
    """Return a smooth multiplicative field around 1, at most ``peak`` above or below it."""
    axes = [np.linspace(-1, 1, n, dtype=np.float32) for n in grid.shape]
    x, y, z = axes[0][:, None, None], axes[1][None, :, None], axes[2][None, None, :]
    c = rng.uniform(-1, 1, 8).astype(np.float32)
    field = c[0] * x + c[1] * y + c[2] * z + c[3] * x * y + c[4] * y * z
    field = field + c[5] * x * x + c[6] * y * y + c[7] * z * z
    field = field - field.mean(dtype=np.float64).astype(np.float32)
    return np.asarray(1 + np.float32(peak) * field / np.abs(field).max(), dtype=np.float32)


def coil_falloff(grid: Grid, head_foot_mm: float) -> Field:
    """Return the loss of signal towards the neck, where the head coil ends.

    Parameters
    ----------
    head_foot_mm
        Height in scanner space, RAS+ mm, at which half the signal is left.
    """
    i, j, k = (np.arange(n, dtype=np.float32) for n in grid.shape)
    a = grid.affine[2].astype(np.float32)
    height = a[0] * i[:, None, None] + a[1] * j[None, :, None] + a[2] * k[None, None, :] + a[3]
    above = (height - np.float32(head_foot_mm)) / np.float32(9)
    return np.asarray(1 / (1 + np.exp(-above)), dtype=np.float32)


def nyquist_ghost(image: Field, *, level: float, axis: int) -> Field:
    """Add the faint copy that echo-planar imaging has half a field of view away along the phase axis."""
    return image + np.float32(level) * np.roll(image, image.shape[axis] // 2, axis=axis)


def rician(image: Field, rng: np.random.Generator, *, sigma: float) -> Field:
    """Return the magnitude of the image with complex Gaussian noise of standard deviation ``sigma``."""
    real = rng.standard_normal(image.shape, dtype=np.float32)
    real *= np.float32(sigma)
    real += image
    other = rng.standard_normal(image.shape, dtype=np.float32)
    other *= np.float32(sigma)
    return np.hypot(real, other)

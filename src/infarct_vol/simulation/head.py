"""What surrounds the brain: cerebrospinal fluid, skull, scalp, face, eyes, sinuses, neck and air.

A label map at 1 mm on the head grid. Layers follow the distance from the brain; the face is built from
ellipsoids. Dimensions are ordinary adult anatomy, varied a little from person to person.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy import ndimage as ndi

from infarct_vol.simulation.anatomy import HEAD_ORIGIN_MM, HEAD_SHAPE, Box, Tissues, head_axes
from infarct_vol.simulation.fields import Field, ellipsoid_distance, smooth_noise

Labels = NDArray[np.uint8]


class Tissue(IntEnum):
    """Tissues outside the brain."""

    AIR = 0
    SKIN = 1
    FAT = 2
    MUSCLE = 3
    BONE = 4
    MARROW = 5
    FLUID = 6
    VITREOUS = 7
    MUCOSA = 8
    CORD = 9


@dataclass(frozen=True)
class HeadSettings:
    """Thickness, in mm, of what lies on one person's brain."""

    fluid_mm: float = 2.0
    skull_mm: float = 6.5
    scalp_mm: float = 6.0
    skin_mm: float = 2.0


def build_head(brain: Tissues, settings: HeadSettings, rng: np.random.Generator) -> Labels:
    """Label the head around a brain.

    Returns
    -------
    (189, 239, 211) uint8
        `Tissue` of every voxel of the head grid, as if the brain were not there: brain fractions are
        laid over it.
    """
    from_brain, from_vault = _distances(brain)
    ripple = smooth_noise(HEAD_SHAPE, rng, knot_spacing_voxels=30) * np.float32(0.6)
    from_vault += ripple
    inside, depth = _outline(from_vault, settings)
    labels = np.zeros(HEAD_SHAPE, dtype=np.uint8)
    labels[inside] = Tissue.MUSCLE
    planes = smooth_noise(HEAD_SHAPE, rng, knot_spacing_voxels=6)
    # fat lies in sheets between the muscles
    labels[inside & (np.abs(planes) < 0.2)] = Tissue.FAT
    _add_face(labels, inside, planes)
    _add_neck(labels, inside)
    labels[inside & (depth < settings.skin_mm + settings.scalp_mm * 0.6)] = Tissue.FAT
    labels[inside & (depth < settings.skin_mm)] = Tissue.SKIN
    _add_skull(labels, from_vault, from_brain, planes, settings)
    _add_sinuses(labels, from_vault, planes)
    return labels


def _distances(brain: Tissues) -> tuple[Field, Field]:
    """Return the distance (mm) from the brain, and from the vault: the brain with its gaps closed."""
    solid = np.zeros(HEAD_SHAPE, dtype=bool)
    solid[brain.box] = brain.whole > 0.5
    small = solid[::2, ::2, ::2]
    outside = _distance_outside(small)
    closed = _distance_outside(outside > 9.0) > 9.0
    vault = _distance_outside(closed) - _distance_outside(~closed)
    return _to_full(outside), _to_full(vault)


def _distance_outside(inside: NDArray[np.bool_]) -> Field:
    """Return the distance in mm to the nearest True voxel of a 2 mm array; 0 inside."""
    image = sitk.GetImageFromArray(inside.astype(np.uint8))
    image.SetSpacing((2.0, 2.0, 2.0))
    engine = sitk.SignedMaurerDistanceMapImageFilter()
    engine.SetNumberOfWorkUnits(1)
    engine.SquaredDistanceOff()
    engine.UseImageSpacingOn()
    signed = sitk.GetArrayFromImage(engine.Execute(image))
    return np.asarray(np.maximum(signed, 0), dtype=np.float32)


def _to_full(half: Field) -> Field:
    """Interpolate from every second voxel of the head grid to all of them."""
    index = [np.minimum(np.arange(n) / 2, m - 1) for n, m in zip(HEAD_SHAPE, half.shape, strict=True)]
    full = half
    for axis, position in enumerate(index):
        low = np.floor(position).astype(np.intp)
        high = np.minimum(low + 1, half.shape[axis] - 1)
        along = [1, 1, 1]
        along[axis] = position.size
        weight = (position - low).astype(np.float32).reshape(along)
        full = np.take(full, low, axis=axis) * (1 - weight) + np.take(full, high, axis=axis) * weight
    return np.ascontiguousarray(full, dtype=np.float32)


def _outline(from_vault: Field, settings: HeadSettings) -> tuple[NDArray[np.bool_], Field]:
    """Return where the head is, and the depth (mm) below its surface."""
    x, y, z = (a[::2, ::2, ::2] for a in head_axes())
    cover = settings.fluid_mm + settings.skull_mm + settings.scalp_mm + settings.skin_mm
    # the temporal muscle makes the head thicker at the sides, above the ears
    temple = 7 * np.exp(-(((np.abs(x) - 66) / 14) ** 2) - ((y - 12) / 28) ** 2 - ((z + 12) / 26) ** 2)
    inside = from_vault[::2, ::2, ::2] < cover + temple
    inside |= ellipsoid_distance((x, y, z), (0, 28, -62), (64, 62, 62)) > 0
    inside |= ellipsoid_distance((x, y, z), (0, 88, -58), (15, 15, 24)) > 0
    inside |= ellipsoid_distance((x, y, z), (0, 52, -100), (44, 44, 34)) > 0
    inside |= ((x / 60) ** 2 + ((y + 34) / 62) ** 2 < 1) & (z < -60)
    inside |= ellipsoid_distance((x, y, z), (0, -20, -75), (74, 78, 44)) > 0
    smooth = ndi.gaussian_filter(inside.astype(np.float32), 2.0)
    inside = smooth > 0.5
    depth = _to_full(_distance_outside(~inside) - _distance_outside(inside))
    return depth > 0, depth


_Triple = tuple[float, float, float]


def _ellipsoid(centre: _Triple, radii: _Triple, *, rim_mm: float = 0.0) -> tuple[Box, Field]:
    """Return the box of the head grid around an ellipsoid, and the distance (mm) inside its surface."""
    x, y, z = (
        slice(max(0, int(c - r - rim_mm - o) - 1), max(0, min(n, int(c + r + rim_mm - o) + 3)))
        for c, r, o, n in zip(centre, radii, HEAD_ORIGIN_MM, HEAD_SHAPE, strict=True)
    )
    box = (x, y, z)
    return box, ellipsoid_distance(head_axes(box), centre, radii)


def _paint(
    labels: Labels, centre: _Triple, radii: _Triple, tissue: Tissue, *, only: NDArray[np.bool_] | None = None
) -> None:
    """Fill an ellipsoid, given in mm of head space, with a tissue."""
    box, depth = _ellipsoid(centre, radii)
    where = depth > 0
    if only is not None:
        where &= only[box]
    labels[box][where] = tissue


def _add_face(labels: Labels, inside: NDArray[np.bool_], planes: Field) -> None:
    for side in (-1, 1):
        _paint(labels, (side * 33, 52, -36), (17, 27, 16), Tissue.FAT, only=inside)
        _paint(labels, (side * 33, 64, -36), (12.2, 12.2, 12.2), Tissue.MUSCLE)
        _paint(labels, (side * 33, 64, -36), (11.2, 11.2, 11.2), Tissue.VITREOUS)
        _paint(labels, (side * 27, 38, -34), (3.5, 18, 3.5), Tissue.MUSCLE)
        _paint(labels, (side * 48, 18, -84), (6, 22, 26), Tissue.MARROW, only=inside)
        _paint(labels, (side * 56, -4, -78), (9, 14, 20), Tissue.FAT, only=inside)
    _paint(labels, (0, 56, -82), (26, 24, 5), Tissue.BONE, only=inside)
    _paint(labels, (0, 40, -102), (24, 30, 16), Tissue.MUSCLE)
    box, depth = _ellipsoid((0, 48, -58), (34, 30, 26))
    lining = (depth > 0) & (planes[box] > -0.2) & (labels[box] == Tissue.MUSCLE)
    labels[box][lining] = Tissue.MUCOSA


def _add_neck(labels: Labels, inside: NDArray[np.bool_]) -> None:
    below = (slice(None), slice(None), slice(0, int(-62 - HEAD_ORIGIN_MM[2])))
    x, y, z = head_axes(below)
    part, within = labels[below], inside[below]
    for tissue, width, height in (
        (Tissue.MARROW, 21.0, 19.0),
        (Tissue.BONE, 15.0, 14.0),
        (Tissue.FLUID, 10.0, 9.0),
        (Tissue.CORD, 6.5, 5.5),
    ):
        part[within & ((x / width) ** 2 + ((y + 46) / height) ** 2 < 1)] = tissue
    part[within & ((x / 13) ** 2 + ((y + 20) / 10) ** 2 < 1)] = Tissue.MARROW
    part[within & ((x / 11) ** 2 + ((y - 4) / 7) ** 2 < 1) & (z < -72)] = Tissue.AIR


def _add_skull(
    labels: Labels, from_vault: Field, from_brain: Field, planes: Field, settings: HeadSettings
) -> None:
    """Lay fluid, the two tables and the marrow between them around the brain."""
    fluid, skull = settings.fluid_mm, settings.skull_mm
    covered = from_vault < fluid + skull
    z = head_axes()[2]
    # below the foramen magnum the canal, not the vault, surrounds the cord
    covered &= (z > -76) | (from_vault < 0)
    labels[covered] = Tissue.BONE
    marrow = covered & (np.abs(from_vault - (fluid + 0.5 * skull)) < 0.24 * skull) & (planes > -1.0)
    labels[marrow] = Tissue.MARROW
    uneven = fluid * (1 + np.float32(0.45) * np.clip(planes, -1.5, 1.5))
    labels[(from_vault < uneven) & (from_brain < fluid + 1.0)] = Tissue.FLUID


def _add_sinuses(labels: Labels, from_vault: Field, planes: Field) -> None:
    """Open the air spaces of the skull: frontal, ethmoid, sphenoid, maxillary, mastoid, nasal, ears."""
    bony = from_vault > 1.5
    spaces: list[tuple[_Triple, _Triple]] = [
        ((0, 14, -38), (13, 11, 9)),
        ((0, 46, -40), (10, 24, 9)),
        ((8, 78, -18), (12, 6, 12)),
        ((-9, 78, -19), (10, 6, 10)),
    ]
    for side in (-1, 1):
        spaces += [((side * 28, 48, -66), (13, 16, 15)), ((side * 60, -12, -44), (14, 4, 4))]
        _paint(labels, (side * 52, -34, -48), (13, 15, 16), Tissue.BONE, only=bony)
        _paint(labels, (side * 52, -34, -48), (13, 15, 16), Tissue.AIR, only=bony & (planes > -0.1))
    for centre, radii in spaces:
        box, depth = _ellipsoid(centre, radii, rim_mm=2.0)
        labels[box][bony[box] & (depth > -1.5)] = Tissue.MUCOSA
        labels[box][bony[box] & (depth > 0)] = Tissue.AIR
    box, depth = _ellipsoid((0, 58, -66), (11, 34, 14))
    slits = np.abs(np.abs(head_axes(box)[0]) - 5) < 2.2
    labels[box][bony[box] & (depth > 0) & slits] = Tissue.AIR

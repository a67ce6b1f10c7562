"""One infarct of real shape: where it lies, how it shrinks and hollows out, what it does to FLAIR."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from scipy import ndimage as ndi
from segmentation_followup_scans import Background, Look, Volume

from infarct_vol.images import LesionMask
from infarct_vol.simulation.fields import bounding_slices, smooth_noise, soft_step

EDGE_MM = 1.4
REACH_MM = 14.0


@dataclass(frozen=True, eq=False)
class Lesion:
    """Depth inside the acute infarct's edge in mm (negative outside), on a box of head space."""

    box: tuple[slice, slice, slice]
    depth: Volume
    core: Volume
    tissue: Volume
    texture: Volume

    def of_volume(self, volume_ml: float) -> Volume:
        """Share of every voxel's tissue that is infarct at a volume."""
        return soft_step(self.depth - np.float32(self._edge(self.depth, volume_ml)), width=EDGE_MM)

    def cavity(self, volume_ml: float, whole_ml: float, rim_mm: float) -> Volume:
        """Share of every voxel's tissue that is cavity, a rim inside the whole infarct left out."""
        if volume_ml <= 0:
            return np.zeros_like(self.depth)
        inner = self.core - np.float32(self._edge(self.core, volume_ml))
        outer = self.depth - np.float32(self._edge(self.depth, whole_ml) + rim_mm)
        return soft_step(np.minimum(inner, outer), width=EDGE_MM)

    def _edge(self, depth: Volume, volume_ml: float) -> float:
        low, high = float(depth.min()), float(depth.max()) + EDGE_MM
        for _ in range(24):
            middle = 0.5 * (low + high)
            held = float((soft_step(depth - np.float32(middle), width=EDGE_MM) * self.tissue).sum()) / 1000
            low, high = (middle, high) if held > volume_ml else (low, middle)
        return 0.5 * (low + high)

    @property
    def acute_ml(self) -> float:
        """Volume of the acute infarct in the tissue that there is."""
        return float((soft_step(self.depth, width=EDGE_MM) * self.tissue).sum()) / 1000


@dataclass(frozen=True, eq=False)
class State:
    """An infarct at one visit: shares of tissue, on the lesion's box, that are scar and cavity.

    Parameters
    ----------
    scar, cavity
        Shares of a voxel; together they are the infarct.
    level
        FLAIR of the scar (tissue = 1); with ``relative`` the factor on what was there.
    swollen
        Share of the infarct's sulci that swelling has closed.
    wider
        CSF around the ventricles that was tissue at baseline, a map of the whole head.
    new
        A second lesion with its box.
    """

    lesion: Lesion
    scar: Volume
    cavity: Volume
    level: float
    relative: bool = False
    swollen: float = 0.0
    wider: Volume | None = None
    new: tuple[tuple[slice, slice, slice], Volume] | None = None

    def share(self, background: Background, look: Look) -> Volume:
        """Share of every voxel that is infarct."""
        return look.part(self.scar + self.cavity, self.lesion.box, background)

    def new_share(self, background: Background, look: Look) -> Volume:
        """Share of every voxel that is new lesion."""
        if self.new is None:
            return np.zeros(look.grid.shape, dtype=np.float32)
        return look.part(self.new[1], self.new[0], background)

    def change(self, background: Background, healthy: Volume) -> Volume:
        """Return what the infarct adds to the head's FLAIR, on the lesion's box.

        Scar and cavity take the place of the tissue in a voxel, the fluid in it stays.
        """
        there, share, fluid = healthy[self.lesion.box], self.lesion.tissue, np.float32(background.csf_level)
        if self.relative:
            added = self.scar * there * (self.level * self.lesion.texture - 1)
        else:
            own = np.clip((there - (1 - share) * fluid) / np.maximum(share, 0.3), 0.7, 1.8)
            target = (self.level + 0.25 * (own - 1)) * self.lesion.texture
            added = self.scar * (target - own) + self.cavity * (fluid - own)
        effaced = self.swollen * (self.scar > 0.02) * (1 - share) * np.maximum(1 - there, 0)
        return np.asarray(added + effaced, dtype=np.float32)

    def picture(self, background: Background, look: Look) -> Volume:
        """Return the FLAIR on a scanner's voxels, without its imperfections."""
        head = background.flair.copy()
        if self.wider is not None:
            head += self.wider * (np.float32(background.csf_level) - head)
        head[self.lesion.box] += self.change(background, head)
        if self.new is not None:
            head[self.new[0]] += self.new[1] * (np.float32(self.level) - head[self.new[0]])
        return look.whole(head, background)


# ---- place -----------------------------------------------------------------------------------------------


def place(
    mask: LesionMask, background: Background, rng: Generator, *, moved: bool, scale: float
) -> Lesion | None:
    """Lay a shape into a brain where it was, or beside a ventricle; ``None`` where there is no room.

    It is made smaller by a factor of ``scale`` about its centroid.
    """
    box = bounding_slices(mask.data, margin=int(REACH_MM / scale) + 2)
    inside = mask.data[box]
    depth = np.where(inside, ndi.distance_transform_edt(inside), 0.5 - ndi.distance_transform_edt(~inside))
    depth = scale * ndi.gaussian_filter(np.where(inside, depth - 0.5, depth), 0.7)
    smaller = np.diag([scale, scale, scale, 1.0])
    smaller[:3, 3] = (1 - scale) * np.argwhere(inside).mean(axis=0)
    to_head = background.from_mni @ mask.grid.crop(box).affine @ smaller
    move = np.zeros(3)
    if moved:
        move = _beside_ventricle(background, to_head, depth, rng)
    to_index = np.linalg.inv(background.grid.affine) @ to_head
    to_index[:3, 3] += move
    whole = _carried(depth, to_index, background.grid.shape)
    kept = bounding_slices(whole > -REACH_MM)
    depth = whole[kept]
    rough = smooth_noise(depth.shape, rng, knot_spacing_voxels=8)
    texture = 1 + 0.06 * smooth_noise(depth.shape, rng, knot_spacing_voxels=5)
    lesion = Lesion(kept, depth, depth + 1.5 * rough, background.tissue[kept], texture)
    size_ml = mask.volume_ml * scale**3 * abs(np.linalg.det(background.from_mni))
    room = lesion.acute_ml / max(size_ml, 1e-6)
    return lesion if room > 0.4 and lesion.acute_ml > 0.25 else None


def _carried(depth: Volume, to_index: np.ndarray, shape: tuple[int, ...]) -> Volume:
    back = np.linalg.inv(to_index)
    return ndi.affine_transform(
        depth.astype(np.float32), back[:3, :3], back[:3, 3], output_shape=shape, order=1, cval=-99.0
    )


def _beside_ventricle(
    background: Background, to_head: np.ndarray, depth: Volume, rng: Generator
) -> np.ndarray:
    """Move (voxels) that brings the infarct's edge to a ventricle's wall, most of it into tissue."""
    distance = background.beside_ventricles_mm
    radius = float(np.cbrt(np.count_nonzero(depth > 0) / 4.19))
    beside = (np.abs(distance - 0.9 * radius) < 0.8) & (background.tissue > 0.99)
    places = np.argwhere(beside)
    points = np.argwhere(depth > 0)
    centre = points.mean(axis=0)
    index = np.linalg.inv(background.grid.affine) @ to_head
    home = index[:3, :3] @ centre + index[:3, 3]
    best, move = -1.0, np.zeros(3)
    for spot in places[rng.choice(len(places), size=min(60, len(places)), replace=False)]:
        there = np.rint(points @ index[:3, :3].T + index[:3, 3] + spot - home).astype(int)
        there = np.clip(there, 0, np.array(background.grid.shape) - 1)
        room = float(background.tissue[tuple(there.T)].mean())
        if room > best:
            best, move = room, spot - home
    return np.asarray(move)

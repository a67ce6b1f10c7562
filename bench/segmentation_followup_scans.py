"""Real brains on FLAIR, and what a scanner makes of them when an infarct is laid into them.

Two backgrounds: a 1 mm FLAIR with white-matter lesions of its own, moved and cut anew for every visit, and
the two visits of another person on their own voxels, with the noise, shading and months that lie between.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.random import Generator
from numpy.typing import NDArray
from registration_motion import Matrix, motion_about
from scipy import ndimage as ndi
from scipy.spatial.transform import Rotation

from infarct_vol.brain import brain_mask
from infarct_vol.geometry import Grid
from infarct_vol.images import Identity, Modality, Scan
from infarct_vol.nifti import load_mask, load_scan
from infarct_vol.simulation.acquisition import HeadVolume, sample, sample_part
from infarct_vol.simulation.fields import bounding_slices

Volume = NDArray[np.float32]
Mask = NDArray[np.bool_]

# voxel size in mm and sub-samples of every voxel; thick slices are averages over their thickness
PLANS = {
    "1 mm": ((1.0, 1.0, 1.0), (1, 1, 1)),
    "thick": ((0.9, 0.9, 5.0), (1, 1, 6)),
    "epi thick": ((1.2, 1.2, 5.0), (1, 1, 6)),
    "epi 2 mm": ((2.0, 2.0, 2.0), (2, 2, 2)),
}
MARGIN_MM = 6.0
# FLAIR of a 1 mm voxel that holds no tissue, and of one that holds nothing else (tissue = 1)
FLUID_TO_TISSUE = (0.35, 0.7)


@dataclass(frozen=True, eq=False)
class Background:
    """A real brain without infarct in head space, RAS+ mm, axis-parallel voxels of 1 mm.

    Parameters
    ----------
    name
        ``p26`` or ``p12``.
    grid
        Head space.
    flair, t1w
        Intensities with brain tissue (T1w: white matter) at 1.
    brain, hyperintensity
        The brain, and the person's own white-matter lesions in it.
    from_mni
        Points of MNI space -> points of head space.
    """

    name: str
    grid: Grid
    flair: Volume
    t1w: Volume
    brain: Mask
    hyperintensity: Mask
    from_mni: Matrix

    @cached_property
    def depth_mm(self) -> Volume:
        """Distance to the brain's surface, 0 outside."""
        return np.asarray(ndi.distance_transform_edt(self.brain), dtype=np.float32)

    @cached_property
    def beside_ventricles_mm(self) -> Volume:
        """Distance to the ventricles."""
        return np.asarray(ndi.distance_transform_edt(~self.ventricles), dtype=np.float32)

    @cached_property
    def surface(self) -> NDArray[np.float64]:
        """(N, 3) points on the brain's surface, RAS+ mm."""
        return self.grid.to_world(np.argwhere((self.depth_mm > 0) & (self.depth_mm <= 1))[::7])

    @cached_property
    def tissue(self) -> Volume:
        """Share of every voxel that is parenchyma."""
        low, high = FLUID_TO_TISSUE
        share = np.clip((self.flair - low) / (high - low), 0, 1)
        return np.where(self.brain, share, 0).astype(np.float32)

    @cached_property
    def csf_level(self) -> float:
        """FLAIR of the ventricles: dark voxels deep inside the brain."""
        deep = self.depth_mm > 25
        return float(np.median(self.flair[deep & (self.flair < FLUID_TO_TISSUE[0])]))

    @cached_property
    def ventricles(self) -> Mask:
        """The largest dark bodies deep inside the brain."""
        dark = (self.flair < 0.5) & (self.depth_mm > 18)
        labels, _ = ndi.label(dark)
        sizes = np.bincount(labels.ravel())
        sizes[0] = 0
        return np.asarray(sizes[labels] > 1000)


@dataclass(frozen=True)
class Look:
    """How one series comes out of the scanner: where the head lies, on which voxels."""

    plan: str
    pose: Matrix
    grid: Grid

    @property
    def subs(self) -> tuple[int, int, int]:
        """Sub-samples of a voxel along its axes."""
        return PLANS[self.plan][1] if self.plan in PLANS else (2, 2, 4)

    def whole(self, data: Volume, background: Background) -> Volume:
        """Sample a map of the whole head."""
        return sample(HeadVolume.of(data, background.grid), self.grid, pose=self.pose, subs=self.subs)

    def part(self, data: Volume, box: tuple[slice, slice, slice], background: Background) -> Volume:
        """Sample a map that is 0 outside a box of head space."""
        subs = (2, 2, 2) if self.plan == "1 mm" else self.subs
        return sample_part(data, background.grid.crop(box), self.grid, pose=self.pose, subs=subs)


def scaled_to_tissue(data: Volume, brain: Mask) -> Volume:
    """Scale so that tissue, CSF left out, reads 1."""
    inside = data[brain]
    return (data / np.median(inside[inside > 0.5 * np.percentile(inside, 75)])).astype(np.float32)


@lru_cache(maxsize=1)
def white_matter_lesions(data: Path) -> Background:
    """Return the 1 mm FLAIR with 8.2 mL of white-matter lesions, in MNI space."""
    folder = data / "ms_flair_mni_p26"
    scans = {name: load_scan(folder / f"{name}.nii.gz") for name in ("FLAIR", "T1w")}
    lesions = load_mask(folder / "lesion_mask.nii.gz")
    # stored left to right; head space runs the other way
    grid = scans["FLAIR"].grid
    turned = [scan.data[::-1].clip(0) for scan in scans.values()]
    box = bounding_slices(turned[0] > 0, margin=12)
    flipped = Grid(grid.shape, grid.affine @ _flip(grid.shape[0])).crop(box)
    flair, t1w = (np.ascontiguousarray(data[box]) for data in turned)
    brain = ndi.binary_fill_holes(flair > 0)
    white = t1w[brain & (t1w > np.percentile(t1w[brain], 60))]
    return Background(
        "p26",
        flipped,
        scaled_to_tissue(flair, brain),
        (t1w / np.median(white)).astype(np.float32),
        brain,
        np.ascontiguousarray(lesions.data[::-1][box]),
        np.eye(4),
    )


def _flip(length: int) -> Matrix:
    turn = np.eye(4)
    turn[0, 0], turn[0, 3] = -1.0, length - 1
    return turn


@dataclass(frozen=True, eq=False)
class TwoVisits:
    """Two real visits of one person: the scans, their brains, and where the head lay."""

    background: Background
    scans: tuple[Scan, Scan]
    looks: tuple[Look, Look]


@lru_cache(maxsize=1)
def two_visits(data: Path) -> TwoVisits:
    """Return the two visits with multiple sclerosis; head space is that of the first visit."""
    folder = data / "ms_p12"
    scans = tuple(load_scan(folder / f"study{n}_FLAIR.nii.gz", modality="flair") for n in (1, 2))
    first = scans[0]
    brains = tuple(brain_mask(scan) for scan in scans)
    common = [_common_space(folder / f"study{n}_FLAIR_to_common_space.txt") for n in (1, 2)]
    corners = first.grid.to_world(np.argwhere(brains[0].data))
    low = np.floor(corners.min(axis=0)) - 10
    affine = np.eye(4)
    affine[:3, 3] = low
    size = np.ceil(corners.max(axis=0) - low).astype(int) + 10
    grid = Grid((int(size[0]), int(size[1]), int(size[2])), affine)
    level = scaled_to_tissue(first.data, brains[0].data)
    flair = _on(grid, level, first.grid)
    brain = _on(grid, brains[0].data.astype(np.float32), first.grid) > 0.5
    background = Background(
        "p12", grid, flair, flair, brain, np.zeros_like(brain), _affine_from_mni(data, flair * brain, grid)
    )
    looks = (
        Look("native", np.eye(4), scans[0].grid),
        Look("native", common[1] @ np.linalg.inv(common[0]), scans[1].grid),
    )
    return TwoVisits(background, scans, looks)


def _on(grid: Grid, data: Volume, source: Grid) -> Volume:
    matrix = np.linalg.inv(source.affine) @ grid.affine
    return ndi.affine_transform(data, matrix[:3, :3], matrix[:3, 3], output_shape=grid.shape, order=1)


def _common_space(path: Path) -> Matrix:
    """Points of the common space -> points of the visit, RAS+ mm, from an ITK file (LPS)."""
    found = sitk.ReadTransform(str(path))
    start = np.array(found.TransformPoint((0.0, 0.0, 0.0)))
    lps = np.diag([-1.0, -1.0, 1.0, 1.0])
    matrix = np.eye(4)
    matrix[:3, :3] = np.array([np.array(found.TransformPoint(row)) - start for row in np.eye(3).tolist()]).T
    matrix[:3, 3] = start
    return lps @ matrix @ lps


def _affine_from_mni(data: Path, flair: Volume, grid: Grid) -> Matrix:
    """Points of MNI space -> points of head space: both brains' boxes laid over one another."""
    mni = white_matter_lesions(data)
    corners = []
    for image, lattice in ((mni.flair, mni.grid), (flair, grid)):
        tissue = ndi.binary_opening(image > 0.6, iterations=2)
        points = lattice.to_world(np.argwhere(tissue))
        corners.append(np.percentile(points, (0.5, 99.5), axis=0))
    scale = (corners[1][1] - corners[1][0]) / (corners[0][1] - corners[0][0])
    matrix = np.diag([*scale, 1.0])
    matrix[:3, 3] = corners[1].mean(axis=0) - scale * corners[0].mean(axis=0)
    return matrix


def look_at(background: Background, plan: str, rng: Generator, *, turn_deg: float, shift_mm: float) -> Look:
    """Lay a head at random into the scanner and cover its brain with voxels."""
    points = background.surface
    axis = rng.normal(size=3)
    turn = Rotation.from_rotvec(np.radians(turn_deg) * axis / np.linalg.norm(axis)).as_matrix()
    pose = motion_about(points.mean(axis=0), turn, rng.uniform(-shift_mm, shift_mm, 3))
    there = points @ pose[:3, :3].T + pose[:3, 3]
    spacing = np.array(PLANS[plan][0])
    low = there.min(axis=0) - MARGIN_MM + rng.uniform(0, 1, 3) * spacing
    size = np.ceil((there.max(axis=0) + MARGIN_MM - low) / spacing).astype(int)
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = low
    return Look(plan, pose, Grid((int(size[0]), int(size[1]), int(size[2])), affine))


def acquired(
    image: Volume, grid: Grid, rng: Generator, *, noise: float, session: str, modality: Modality = "flair"
) -> Scan:
    """Add coil shading, Rician noise and a gain; no signal outside the brain, which comes without skull."""
    axes = [np.linspace(-1, 1, n, dtype=np.float32) for n in grid.shape]
    x, y, z = np.meshgrid(*axes, indexing="ij", sparse=True)
    c = rng.normal(0, 0.06, 9).astype(np.float32)
    field = c[0] * x + c[1] * y + c[2] * z + c[3] * x * y + c[4] * x * z + c[5] * y * z
    shaded = image * np.exp(field + c[6] * x * x + c[7] * y * y + c[8] * z * z)
    one, two = (rng.standard_normal(grid.shape, dtype=np.float32) * np.float32(noise) for _ in range(2))
    noisy = np.where(image > 0.01, np.hypot(shaded + one, two), 0)
    stored = np.rint(noisy * rng.uniform(300, 900)).astype(np.float32)
    return Scan(stored, grid, Identity("sub-bench", session, modality=modality))

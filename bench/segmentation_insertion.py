"""Real infarct shapes put into real diffusion scans, with the exact truth: what no public scan has.

A shape (MNI space, 1 mm) is placed in a scan by the extent of its brain. Inside it the ADC falls by a ratio
and T2 signal rises, both varying smoothly; signals of lesion and tissue mix linearly in voxels that hold
both. Noise, shading, distortion and artefacts stay those of the scanner.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

import infarct_vol as iv
from infarct_vol.brain import brain_mask
from infarct_vol.diffusion import assemble_diffusion
from infarct_vol.geometry import Grid
from infarct_vol.images import BrainMask, Identity, Scan
from infarct_vol.intake.reading import load_diffusion_series
from infarct_vol.nifti import load_mask
from infarct_vol.protocol import Protocol
from infarct_vol.study import scan_file

BACKGROUNDS = ("philips_dwi", "isles22_case0001", "ads_s02")
TUNING_BACKGROUNDS = ("philips_dwi", "isles22_case0001")
# extent of a brain in MNI space, mm: left to right, back to front, bottom to top
MNI_BRAIN_MM = ((-70.0, 70.0), (-105.0, 72.0), (-62.0, 80.0))
# lowest slice of the slab of `philips_dwi`, which does not show the whole brain
SLAB_BOTTOM_MM = -14.0
# fluid holds no infarct
FLUID_ADC_UM2_PER_S = 1500.0
# an inserted lesion stays this far from the scan's own lesions
OWN_LESION_MARGIN_MM = 8.0
BVALUE = 1000.0
FEWEST_VOXELS = 3


@dataclass(frozen=True, eq=False)
class Background:
    """A real scan without, or away from, lesions of its own.

    Arrays are (I, J, K) on ``grid``: trace image of b 1000, ADC in 1e-6 mm2/s, brain, and ``own``, the
    surroundings of the scan's own lesions, which count neither as hit nor as miss.
    """

    name: str
    dwi: NDArray[np.float32]
    adc: NDArray[np.float32]
    brain: NDArray[np.bool_]
    own: NDArray[np.bool_]
    grid: Grid


@dataclass(frozen=True)
class Recipe:
    """How one shape is put into one background.

    Parameters
    ----------
    background, shape
        Name of the background, and index of the shape.
    adc_ratio, t2_effect
        ADC of lesion over ADC of tissue, and natural log of the T2 effect.
    bvalue
        b-value of the DWI in s/mm2.
    merged_slices
        Neighbouring slices averaged into one.
    into_fluid
        Whether fluid inside the shape changes, too, and counts as lesion.
    size
        Shape scaled about its centroid: many shapes are large, many infarcts small.
    texture
        SD of the lesion's own variation, in log ADC and log T2 effect.
    """

    background: str
    shape: int
    adc_ratio: float
    t2_effect: float
    bvalue: float = BVALUE
    merged_slices: int = 1
    into_fluid: bool = False
    size: float = 1.0
    texture: float = 0.08


@dataclass(frozen=True, eq=False)
class Inserted:
    """A scan with an inserted infarct, and what is true of it."""

    recipe: Recipe
    dwi: Scan
    adc: Scan
    brain: BrainMask
    truth: NDArray[np.bool_]
    own: NDArray[np.bool_]

    @property
    def true_ml(self) -> float:
        """True volume in mL: voxels at least half lesion."""
        return int(self.truth.sum()) * self.dwi.grid.voxel_volume_ml


def shape_paths(data: Path) -> list[Path]:
    """Return the files of the infarct shapes, in their order."""
    return sorted((data / "soop_masks").glob("*_lesion.nii.gz"))


@lru_cache(maxsize=4)
def load_background(name: str, data: Path) -> Background:
    """Load one of `BACKGROUNDS` with its brain mask; slow, so kept."""
    protocol = Protocol()
    own: NDArray[np.bool_] | None = None
    if name == "philips_dwi":
        file = scan_file("dwi", next((data / name).glob("*.nii.gz")))
        series = load_diffusion_series(file, identity=Identity(modality="dwi"), protocol=protocol)
        images = assemble_diffusion(series=series)
    elif name == "ads_s02":
        images = assemble_diffusion(
            dwi=iv.load_scan(data / name / "Subject02_DWI.nii.gz", modality="dwi"),
            adc=iv.load_scan(data / name / "Subject02_ADC.nii.gz", modality="adc"),
        )
    else:
        stem = str(data / name / "sub-strokecase0001_ses-0001_")
        images = assemble_diffusion(
            dwi=iv.load_scan(stem + "dwi.nii.gz", modality="dwi"),
            adc=iv.load_scan(stem + "adc.nii.gz", modality="adc"),
        )
        expert = load_mask(stem + "msk.nii.gz").data
        spacing = [float(s) for s in images.dwi.grid.spacing_mm]
        own = ndimage.distance_transform_edt(~expert, sampling=spacing) <= OWN_LESION_MARGIN_MM
    if images.adc is None:
        msg = f"{name} has no ADC"
        raise ValueError(msg)
    dwi = images.dwi
    brain = brain_mask(dwi)
    own = np.zeros(dwi.grid.shape, dtype=np.bool_) if own is None else own
    return Background(name, dwi.data, images.adc.data, brain.data, own, dwi.grid)


def insert(recipe: Recipe, data: Path, *, seed: int) -> Inserted | None:
    """Return the scan with its infarct, or None where little of the shape lies in the scan's tissue."""
    background = load_background(recipe.background, data)
    share = _placed(background, shape_paths(data)[recipe.shape], size=recipe.size)
    allowed = background.brain & np.isfinite(background.adc) & (background.adc > 50)
    fluid = background.adc > FLUID_ADC_UM2_PER_S
    inside = share >= 0.5
    if not recipe.into_fluid:
        allowed &= ~fluid
    share = np.where(allowed, share, 0)
    truth = share >= 0.5
    whole = int(truth.sum())
    if whole < 0.3 * inside.sum() or whole < FEWEST_VOXELS or (truth & background.own).sum() > 0.3 * whole:
        return None
    rng = np.random.default_rng([seed, recipe.shape, BACKGROUNDS.index(recipe.background)])
    dwi, adc = _mixed(background, share.astype(np.float32), recipe, rng)
    case = _merged(background, dwi, adc, share, recipe)
    # thick slices may leave less than half a lesion in every voxel
    return case if case.truth.sum() >= FEWEST_VOXELS else None


def untouched(recipe: Recipe, data: Path) -> Inserted:
    """Return the recipe's background as it is, at its b-value and slice thickness."""
    background = load_background(recipe.background, data)
    nothing = np.zeros(background.grid.shape, dtype=np.float32)
    dwi, adc = _mixed(background, nothing, recipe, np.random.default_rng(0))
    return _merged(background, dwi, adc, nothing, recipe)


def _placed(background: Background, path: Path, *, size: float) -> NDArray[np.float32]:
    """Share of each voxel of the background inside a shape, placed by the extent of the brain."""
    shape = iv.load_mask(path)
    blurred = ndimage.gaussian_filter(shape.data.astype(np.float32), 0.8)
    to_mni = _scaled(shape, size) @ _to_mni(background)
    matrix = np.linalg.inv(shape.grid.affine) @ to_mni @ background.grid.affine
    pieces = [max(1, round(float(s) / 1.0)) for s in background.grid.spacing_mm]
    total = np.zeros(background.grid.shape, dtype=np.float32)
    for number in np.ndindex(*pieces):
        shift = (np.array(number) + 0.5) / pieces - 0.5
        offset = matrix[:3, 3] + matrix[:3, :3] @ shift
        total += ndimage.affine_transform(
            blurred, matrix[:3, :3], offset, output_shape=total.shape, output=np.float32, order=1
        )
    return total / np.float32(np.prod(pieces))


def _scaled(shape: iv.LesionMask, size: float) -> NDArray[np.float64]:
    """Points of the scaled shape to points of the shape."""
    centre = shape.grid.to_world(np.argwhere(shape.data)).mean(axis=0)
    matrix = np.diag([1 / size, 1 / size, 1 / size, 1.0])
    matrix[:3, 3] = centre - centre / size
    return matrix


def _to_mni(background: Background) -> NDArray[np.float64]:
    points = background.grid.to_world(np.argwhere(background.brain))
    low, high = np.percentile(points, 0.2, axis=0), np.percentile(points, 99.8, axis=0)
    matrix = np.eye(4)
    for axis, (bottom, top) in enumerate(MNI_BRAIN_MM):
        scale = (top - bottom) / (high[axis] - low[axis])
        if axis == 2 and background.name == "philips_dwi":
            scale, bottom = 0.5 * (matrix[0, 0] + matrix[1, 1]), SLAB_BOTTOM_MM
        matrix[axis, axis] = scale
        matrix[axis, 3] = bottom - scale * low[axis]
    return matrix


def _mixed(
    background: Background, share: NDArray[np.float32], recipe: Recipe, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return DWI and ADC with the lesion mixed in, at the recipe's b-value."""
    valid = np.isfinite(background.adc)
    adc = np.where(valid, background.adc, 0).astype(np.float64)
    s0 = background.dwi * np.exp(np.clip(BVALUE * adc * 1e-6, -1, 5))
    spacing = background.grid.spacing_mm
    ratio = recipe.adc_ratio * np.exp(recipe.texture * _field(rng, share.shape, spacing))
    t2 = recipe.t2_effect + recipe.texture * _field(rng, share.shape, spacing)
    lesion_s0, lesion_adc = s0 * np.exp(t2), adc * np.clip(ratio, 0.35, 0.95)
    mixed_s0 = (1 - share) * s0 + share * lesion_s0
    b = recipe.bvalue * 1e-6
    mixed_sb = (1 - share) * s0 * np.exp(-b * adc) + share * lesion_s0 * np.exp(-b * lesion_adc)
    positive = (mixed_s0 > 0) & (mixed_sb > 0)
    mixed_adc = np.log(np.where(positive, mixed_s0, 1) / np.where(positive, mixed_sb, 1)) / b
    changed = (share > 0) & positive
    dwi = np.where(positive, mixed_sb, background.dwi).astype(np.float32)
    return dwi, np.where(changed, mixed_adc, background.adc).astype(np.float32)


def _field(
    rng: np.random.Generator, shape: tuple[int, ...], spacing_mm: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Smooth random field of SD 1 that varies over about 8 mm."""
    field = ndimage.gaussian_filter(rng.standard_normal(shape), [8.0 / float(s) for s in spacing_mm])
    return field / field.std()


def _merged(
    background: Background,
    dwi: NDArray[np.float32],
    adc: NDArray[np.float32],
    share: NDArray[np.float32],
    recipe: Recipe,
) -> Inserted:
    n, grid = recipe.merged_slices, background.grid
    brain, own = background.brain, background.own
    axis = grid.slice_axis
    if n > 1:
        b = recipe.bvalue * 1e-6
        s0 = np.where(np.isfinite(adc), dwi * np.exp(np.clip(b * adc, -1, 5)), dwi)
        s0, dwi, share = (_averaged(v, n, axis) for v in (s0, dwi, share))
        positive = (s0 > 0) & (dwi > 0)
        adc = np.where(positive, np.log(np.where(positive, s0, 1) / np.where(positive, dwi, 1)) / b, np.nan)
        brain, own = (_averaged(v.astype(np.float32), n, axis) >= 0.5 for v in (brain, own))
        affine = grid.affine.copy()
        affine[:3, 3] += affine[:3, axis] * (n - 1) / 2
        affine[:3, axis] *= n
        grid = Grid(dwi.shape, affine)
    sidecar = {"DiffusionBValue": recipe.bvalue}
    return Inserted(
        recipe,
        Scan(dwi.astype(np.float32), grid, Identity(modality="dwi"), sidecar),
        Scan(adc.astype(np.float32), grid, Identity(modality="adc")),
        BrainMask(brain, grid, "given"),
        (share >= 0.5) & ~own,
        own,
    )


def _averaged(volume: NDArray[np.float32], n: int, axis: int) -> NDArray[np.float32]:
    moved = np.moveaxis(volume, axis, 0)
    kept = moved[: len(moved) // n * n]
    mean = kept.reshape(-1, n, *moved.shape[1:]).mean(axis=1)
    return np.moveaxis(mean, 0, axis)

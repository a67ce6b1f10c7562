"""Baseline masks as they are in a trial: exact, too small, too large, shifted, or our own from DWI."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np
from numpy.random import Generator
from scipy import ndimage as ndi
from segmentation_followup_cases import Baseline, generator
from segmentation_followup_lesions import EDGE_MM
from segmentation_followup_scans import Background, Mask, Volume, acquired, look_at

import infarct_vol as iv
from infarct_vol.errors import InfarctVolError
from infarct_vol.geometry import Grid
from infarct_vol.images import BrainMask, LesionMask, Scan
from infarct_vol.registration import resample_mask
from infarct_vol.segmentation import segment_acute
from infarct_vol.simulation.fields import smooth_noise, soft_step

KINDS = ("exact", "eroded", "dilated", "shifted", "own DWI")
BVALUE = 1000.0
# S0 and ADC (1e-6 mm2/s) of white matter, grey matter and CSF; hyperintensity and infarct as factors on them
S0 = (0.85, 1.0, 2.3)
ADC = (740.0, 830.0, 3000.0)
HYPERINTENSITY = (1.25, 1.3)
# Largest displacement by the distortion of echo-planar images, at the frontal base, and how wide it is
BEND_MM, BEND_WIDTH_MM = 1.5, 30.0


def baseline_mask(made: Baseline, kind: str, *, seed: int) -> LesionMask | None:
    """Return the baseline mask of a kind on the baseline FLAIR's grid; ``None`` where there is none.

    One voxel is one voxel of the FLAIR's grid; across thick slices nothing is eroded or dilated, but the
    shift may go there too.
    """
    share, grid = made.share, made.scan.grid
    rng = generator(seed, f"{made.name} {kind}")
    if kind == "own DWI":
        # the other person comes without a T1w scan of 1 mm to make tissue classes from
        return None if made.look.plan == "native" else own_mask(made, seed=seed)
    exact = share >= 0.5
    if kind == "exact":
        data = exact
    elif kind == "shifted":
        data = _shifted(share, rng)
    else:
        data = _one_voxel(exact, grid, grow=kind == "dilated")
    # of an infarct that one voxel takes away, the fullest voxels are left
    data = data if data.any() else share >= 0.95 * share.max()
    return LesionMask(data, grid, made.scan.identity, kind)


def _one_voxel(mask: Mask, grid: Grid, *, grow: bool) -> Mask:
    element = ndi.generate_binary_structure(3, 1)
    if grid.spacing_mm[2] > 2 * grid.spacing_mm[0]:
        element[:, :, [0, 2]] = False
    change = ndi.binary_dilation if grow else ndi.binary_erosion
    return np.asarray(change(mask, element))


def _shifted(share: Volume, rng: Generator) -> Mask:
    direction = rng.normal(size=3)
    shift = direction / np.linalg.norm(direction) * rng.uniform(0.5, 1.0)
    return np.asarray(ndi.shift(share, shift, order=1) >= 0.5)


@lru_cache(maxsize=4)
def own_mask(made: Baseline, *, seed: int) -> LesionMask | None:
    """Segment the infarct on a simulated DWI and ADC of the baseline, and carry it over to the FLAIR."""
    rng = generator(seed, f"{made.name} DWI")
    thick = made.scan.grid.spacing_mm.max() > 2
    dwi, adc, brain = diffusion(made, "epi thick" if thick else "epi 2 mm", rng)
    found = segment_acute(dwi, adc, brain=brain)
    if not found.data.any():
        return None
    try:
        transform = iv.register(made.scan, dwi)
    except InfarctVolError:
        return None
    carried = resample_mask(found, made.scan.grid, transform)
    return carried if carried.data.any() else None


def diffusion(made: Baseline, plan: str, rng: Generator) -> tuple[Scan, Scan, BrainMask]:
    """Return DWI, ADC and brain: plain tissue contrast from the classes of the T1w scan, and an infarct.

    The infarct lowers ADC by a factor of 0.5 to 0.7 and has a T2 effect of up to 0.3.
    """
    background, lesion = made.background, made.lesion
    s0, adc = _tissue_maps(background, rng)
    share = soft_step(lesion.depth, width=EDGE_MM) * lesion.tissue
    box = lesion.box
    uneven = lesion.texture * np.float32(rng.uniform(0.5, 0.7))
    adc[box] *= 1 + share * (uneven - 1)
    s0[box] *= 1 + share * np.float32(np.expm1(rng.uniform(0, 0.3)))
    look = look_at(background, plan, rng, turn_deg=rng.uniform(0, 2), shift_mm=2)
    b0, weighted = (_bent(image, background) for image in (s0, s0 * np.exp(-BVALUE * 1e-6 * adc)))
    noise = rng.uniform(0.008, 0.015)
    picture = look.whole(weighted, background)
    dwi = acquired(picture, look.grid, rng, noise=noise, session="ses-BL", modality="dwi")
    # ADC from both images with noise of their own; the shading of the coil divides out
    first, second = (
        np.hypot(look.whole(i, background) + _noise(look.grid, rng, noise), _noise(look.grid, rng, noise))
        for i in (b0, weighted)
    )
    inside = look.whole(_bent(background.brain.astype(np.float32), background), background) > 0.5
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(inside, np.log(first / second) / BVALUE * 1e6, 0)
    named = replace(dwi.identity, modality="adc")
    return dwi, Scan(ratio.astype(np.float32), look.grid, named), BrainMask(inside, look.grid)


def _noise(grid: Grid, rng: Generator, sd: float) -> Volume:
    return rng.standard_normal(grid.shape, dtype=np.float32) * np.float32(sd)


def _tissue_maps(background: Background, rng: Generator) -> tuple[Volume, Volume]:
    solid = background.tissue
    smooth = ndi.gaussian_filter(background.t1w, 0.6)
    # white matter reads 1 on T1w, grey matter about 0.7
    white = np.clip((smooth - 0.7) / 0.3, 0, 1) * solid
    grey, fluid = solid - white, np.where(background.brain, 1 - solid, 0)
    s0 = S0[0] * white + S0[1] * grey + S0[2] * fluid
    whole = np.maximum(white + grey + fluid, 1e-3)
    adc = (ADC[0] * white + ADC[1] * grey + ADC[2] * fluid) / whole
    s0 *= 1 + (HYPERINTENSITY[0] - 1) * background.hyperintensity
    adc *= 1 + (HYPERINTENSITY[1] - 1) * background.hyperintensity
    s0 *= 1 + 0.04 * smooth_noise(s0.shape, rng, knot_spacing_voxels=6)
    adc *= 1 + 0.04 * smooth_noise(s0.shape, rng, knot_spacing_voxels=6)
    return s0.astype(np.float32), adc.astype(np.float32)


def _bent(image: Volume, background: Background) -> Volume:
    """Displace along front to back at the frontal base, as echo-planar images are."""
    grid = background.grid
    middle = grid.to_world(np.argwhere(background.brain)[::50]).mean(axis=0)
    axes = [grid.affine[a, 3] + np.arange(n) - middle[a] for a, n in enumerate(grid.shape)]
    offsets = (0.0, 50.0, -10.0)
    fall = [np.exp(-(((x - o) / BEND_WIDTH_MM) ** 2)) for x, o in zip(axes, offsets, strict=True)]
    bend = BEND_MM * fall[0][:, None, None] * fall[1][None, :, None] * fall[2][None, None, :]
    j = np.arange(grid.shape[1])[None, :, None] + bend
    low = np.clip(np.floor(j).astype(int), 0, grid.shape[1] - 2)
    part = np.clip(j - low, 0, 1).astype(np.float32)
    here = np.take_along_axis(image, low, axis=1)
    return np.asarray(here + part * (np.take_along_axis(image, low + 1, axis=1) - here), dtype=np.float32)

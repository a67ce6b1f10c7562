"""Make pairs of scans of one head, baseline and follow-up, whose rigid move is known exactly.

Each pair starts from one anatomy, the Colin-27 template warped at random, with a lesion that shrinks.
Of 20 pairs, p00-p05 are 3-D FLAIR of 1 mm, p06-p12 thick FLAIR of 0.9 x 0.9 x 5 mm, and p13-p19 thick
FLAIR with a b0 of 1.6 x 1.6 x 5 mm. Slices are averages over their thickness; bias field, coil fall-off,
gamma, Rician noise and gain are drawn anew for each scan. Every odd pair's lesion leaves a cavity.
There is no distortion of echo-planar images and no atrophy. The same seed gives the same voxels.

A folder per pair holds fixed.nii.gz (baseline), moving.nii.gz (follow-up), mask.nii.gz and lesion0.nii.gz
(brain and lesion of the baseline, on its grid) and truth.txt, the 4x4 matrix that takes points of the
baseline to points of the follow-up, both in RAS mm; the b0 pairs have b1000.nii.gz and adc.nii.gz as well.

Example: python bench/registration_pairs.py pairs --seed 1000
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.random import Generator
from registration_motion import motion_about, rotation_about
from registration_scanner import Floats, Grid, Mask, Scanner, save
from scipy import ndimage as ndi
from scipy.spatial.transform import Rotation

Volumes = dict[str, Floats]

TEMPLATE_FOLDER = Path("/usr/share/mricron/templates")
PAD_VOXELS = 24

# The contrasts, as values at the template's tissue levels (see `contrast_levels`)
BRAIN_CONTRAST = {
    "flair": [10, 15, 60, 100, 92, 78, 70, 70],
    "b0": [100, 100, 85, 62, 54, 45, 42, 42],
    "b1000": [4, 6, 25, 48, 46, 42, 40, 40],
    "adc": [3000, 2900, 1600, 850, 800, 740, 730, 730],
}
BASELINE_LESION = {"flair": 150.0, "b0": 85.0, "b1000": 120.0, "adc": 450.0}
FOLLOWUP_LESION = BASELINE_LESION | {"adc": 1400.0}
CAVITY = {"flair": 20.0, "b0": 100.0, "b1000": 8.0, "adc": 2800.0}


@dataclass(frozen=True)
class Template:
    """The head that every pair is warped from; arrays of one shape, `centre` in RAS mm."""

    affine: Floats
    brain: Mask
    contrasts: Volumes
    centre: Floats


@dataclass(frozen=True)
class Lesion:
    """Share of lesion in each voxel of the warped head, 0 to 1."""

    baseline: Floats
    followup: Floats
    core: Floats


@dataclass(frozen=True)
class Pair:
    """What the manifest says about a pair."""

    id: str
    kind: str
    seed: int
    fixed_shape: tuple[int, int, int]
    moving_shape: tuple[int, int, int]
    angle_deg: float
    shift_mm: float
    lesion_ml: tuple[float, float]


def main() -> None:
    """Make the pairs that were asked for and the manifest."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=1000, help="pair n is drawn from seed + n")
    parser.add_argument(
        "--count", type=int, default=20, help="3 of 10 are 3-D; the rest thick and b0 by halves"
    )
    parser.add_argument("--template", type=Path, default=TEMPLATE_FOLDER, help="folder of ch2 and ch2bet")
    parser.add_argument("--largest-angle", type=float, default=15.0, help="degrees")
    parser.add_argument("--largest-shift", type=float, default=20.0, help="mm")
    parser.add_argument("--only", help="make these of the pairs, as p00,p06")
    options = parser.parse_args()
    names = [f"p{number:02d}" for number in range(options.count)]
    wanted = options.only.split(",") if options.only else names
    if unknown := sorted(set(wanted) - set(names)):
        parser.error(f"--only: no such pair: {', '.join(unknown)}; there are {names[0]} to {names[-1]}")
    template = read_template(options.template)
    for number, name in enumerate(names):
        if name in wanted:
            start = time.monotonic()
            pair = make_pair(
                options.out / name,
                template,
                kind=kind_of(number, count=options.count),
                seed=options.seed + number,
                has_cavity=number % 2 == 1,
                largest_angle_deg=options.largest_angle,
                largest_shift_mm=options.largest_shift,
            )
            add_to_manifest(options.out / "manifest.json", pair)
            print(f"{pair} in {time.monotonic() - start:.0f} s", flush=True)


def kind_of(number: int, *, count: int) -> str:
    """Return the kind of a pair: 6, 7 and 7 of 20."""
    place = 20 * number // count
    return "3-D" if place < 6 else "thick" if place < 13 else "cross"


def add_to_manifest(path: Path, pair: Pair) -> None:
    """Write the pair into the list, in the place of one of its name."""
    listed = json.loads(path.read_text()) if path.exists() else []
    kept = [entry for entry in listed if entry["id"] != pair.id]
    path.write_text(json.dumps(sorted([*kept, asdict(pair)], key=lambda e: e["id"]), indent=1) + "\n")


def read_template(folder: Path) -> Template:
    """Return the padded template in all contrasts."""
    paths = folder / "ch2.nii.gz", folder / "ch2bet.nii.gz"
    if absent := [path for path in paths if not path.exists()]:
        sys.exit(f"{absent[0]} is absent: install Debian's package mricron-data, or give --template FOLDER")
    head, extracted = (nib.Nifti1Image.from_filename(path) for path in paths)
    t1 = np.pad(head.get_fdata(dtype=np.float32), PAD_VOXELS)
    extracted_brain = np.pad(extracted.get_fdata() > 0, PAD_VOXELS)
    affine = np.array(head.affine)
    affine[:3, 3] -= PAD_VOXELS  # its voxels are 1 mm along the axes of the world
    closed: Any = ndi.binary_fill_holes(closing(extracted_brain, radius_mm=6))
    centre = (affine @ [*ndi.center_of_mass(closed), 1])[:3]
    return Template(affine, closed, all_contrasts(t1, closed, extracted_brain), centre)


def closing(mask: Mask, *, radius_mm: float) -> Mask:
    """Close a mask of 1 mm voxels with a ball."""
    wide = ndi.distance_transform_edt(~mask) <= radius_mm
    closed: Mask = ndi.distance_transform_edt(wide) > radius_mm
    return closed


def contrast_levels(brain_values: Floats) -> list[float]:
    """Return T1 intensities of air, CSF, its edge, grey, half-way, white, bright and the end of the scale."""
    histogram = ndi.gaussian_filter1d(np.bincount(brain_values.astype(int)).astype(float), 2)
    before, here, after = histogram[4:-2], histogram[5:-1], histogram[6:]
    is_peak = (here > before) & (here >= after) & (here > 0.2 * histogram.max())
    grey, white = (float(peak) for peak in np.flatnonzero(is_peak)[-2:] + 5)
    csf = 0.4 * grey
    return [0, csf, 0.62 * grey + 0.38 * csf, grey, 0.5 * (grey + white), white, 1.3 * white, 300]


def all_contrasts(t1: Floats, brain: Mask, extracted_brain: Mask) -> Volumes:
    """Return the head as FLAIR, b0, b1000 and ADC (1e-6 mm2/s, brain alone), float32."""
    levels = contrast_levels(t1[extracted_brain])
    share = ndi.gaussian_filter(brain.astype(np.float32), 1.0)
    outside: dict[str, Any] = {
        "flair": np.where(t1 > 20, 0.55 * t1, 0.3 * t1),
        "b0": 0.12 * t1,
        "b1000": 0.10 * t1,
        "adc": 0.0,
    }
    inside = {name: np.interp(t1, levels, to).astype(np.float32) for name, to in BRAIN_CONTRAST.items()}
    return {name: share * inside[name] + (1 - share) * outside[name] for name in BRAIN_CONTRAST}


def make_pair(
    folder: Path,
    template: Template,
    *,
    kind: str,
    seed: int,
    has_cavity: bool,
    largest_angle_deg: float,
    largest_shift_mm: float,
) -> Pair:
    """Draw one pair and write it; the order of the draws is what makes a seed mean the same pair."""
    rng = np.random.default_rng(seed)
    head, brain = warped(rng, template, ["flair", "b0", "b1000", "adc"] if kind == "cross" else ["flair"])
    lesion = draw_lesion(rng, brain)
    baseline = {k: mixed(v, lesion.baseline, BASELINE_LESION[k]) for k, v in head.items()}
    followup = {k: mixed(v, lesion.followup, FOLLOWUP_LESION[k]) for k, v in head.items()}
    if has_cavity:
        followup = {k: mixed(v, lesion.core, CAVITY[k]) for k, v in followup.items()}
    placed = draw_move(rng, template.centre, largest_angle_deg=5, largest_shift_mm=5)
    truth = draw_move(
        rng, template.centre, largest_angle_deg=largest_angle_deg, largest_shift_mm=largest_shift_mm
    )
    fixed = draw_scanner(rng, "3-D" if kind == "3-D" else "thick", template, placed)
    moving = draw_scanner(rng, kind, template, truth @ placed)

    folder.mkdir(parents=True, exist_ok=True)
    save(fixed.acquire(rng, baseline["flair"]), fixed.grid, folder / "fixed.nii.gz")
    shown = followup["b0" if kind == "cross" else "flair"]
    save(moving.acquire(rng, shown), moving.grid, folder / "moving.nii.gz")
    if kind == "cross":
        save(moving.acquire(rng, followup["b1000"]), moving.grid, folder / "b1000.nii.gz")
        save(moving.sample(followup["adc"]), moving.grid, folder / "adc.nii.gz")
    for name, share in (("mask", brain.astype(np.float32)), ("lesion0", lesion.baseline)):
        save(fixed.sample_mask(share), fixed.grid, folder / f"{name}.nii.gz", dtype=np.uint8)
    np.savetxt(folder / "truth.txt", truth)
    return Pair(
        id=folder.name,
        kind=kind,
        seed=seed,
        fixed_shape=fixed.grid.shape,
        moving_shape=moving.grid.shape,
        angle_deg=float(np.rad2deg(Rotation.from_matrix(truth[:3, :3]).magnitude())),
        shift_mm=float(np.linalg.norm(moving.head_centre - fixed.head_centre)),
        lesion_ml=(float(lesion.baseline.sum() / 1000), float(lesion.followup.sum() / 1000)),
    )


def mixed(tissue: Floats, share: Floats, value: float) -> Floats:
    """Return tissue with a share of each voxel at another value."""
    return tissue * (1 - share) + value * share


def warped(rng: Generator, template: Template, contrasts: Iterable[str]) -> tuple[Volumes, Mask]:
    """Return an anatomy of its own: the template with smooth displacements of up to 7 mm along each axis."""
    shape = template.brain.shape
    within = tuple(slice(size) for size in shape)
    coarse = tuple(int(np.ceil(size / 8)) + 1 for size in shape)
    points = np.indices(shape, dtype=np.float32)
    for axis in range(3):
        smooth = ndi.zoom(ndi.gaussian_filter(rng.normal(size=coarse), 4.0), 8, order=1)[within]
        points[axis] += (smooth / np.abs(smooth).max() * 7).astype(np.float32)
    head = {k: ndi.map_coordinates(template.contrasts[k], points, order=3).clip(0) for k in contrasts}
    brain = ndi.map_coordinates(template.brain.astype(np.float32), points, order=1) > 0.5
    return head, brain


def draw_lesion(rng: Generator, brain: Mask) -> Lesion:
    """Draw a ragged ball of 4 to 60 mL, more than 14 mm inside the brain, that keeps 40 to 75 % of itself."""
    deep = np.argwhere(ndi.distance_transform_edt(brain) > 14)
    centre = deep[rng.integers(len(deep))].astype(np.float32)
    volume_ml = rng.uniform(4, 60)
    radius_mm = (volume_ml * 1000 * 3 / 4 / np.pi) ** (1 / 3)
    ragged = ndi.gaussian_filter(rng.normal(size=brain.shape).astype(np.float32), 5)
    ragged /= ragged.std()
    voxels = np.indices(brain.shape, dtype=np.float32)
    distance_mm = np.sqrt(((voxels - centre[:, None, None, None]) ** 2).sum(0))
    kept_radius_mm = radius_mm * rng.uniform(0.4, 0.75) ** (1 / 3)

    def within(limit_mm: float) -> Floats:
        inside = (distance_mm + ragged * 2.5 < limit_mm) & brain
        return ndi.gaussian_filter(inside.astype(np.float32), 0.7)

    return Lesion(within(radius_mm), within(kept_radius_mm), within(0.5 * kept_radius_mm))


def draw_move(rng: Generator, centre: Floats, *, largest_angle_deg: float, largest_shift_mm: float) -> Floats:
    """Draw a rotation about `centre`, 15 % of the largest at least, and a shift of 20 % at least."""
    rotation = rotation_about(rng.normal(size=3), rng.uniform(0.15, 1) * largest_angle_deg)
    direction = rng.normal(size=3)
    shift = direction / np.linalg.norm(direction) * rng.uniform(0.2, 1) * largest_shift_mm
    return motion_about(centre, rotation, shift)


def draw_scanner(rng: Generator, kind: str, template: Template, move: Floats) -> Scanner:
    """Draw a grid near the moved head: oblique to 6 degrees, either handed, off by 6 mm along an axis."""
    if kind == "3-D":
        shape, spacing_mm = (176, 240, 176), (1.0, 1.0, 1.0)
    elif kind == "thick":
        shape, spacing_mm = (256, 256, int(rng.integers(24, 31))), (0.9, 0.9, 5.0)
    else:
        shape, spacing_mm = (144, 144, int(rng.integers(25, 31))), (1.6, 1.6, 5.0)
    rotation = rotation_about(rng.normal(size=3), rng.uniform(0, 6))
    handed = np.diag([rng.choice([-1, 1]), 1, 1.0])
    affine = np.eye(4)
    affine[:3, :3] = rotation @ handed @ np.diag(spacing_mm)
    head_centre = (move @ [*template.centre, 1])[:3]
    raised_mm = 0 if kind == "3-D" else 4
    middle = head_centre + rng.uniform(-6, 6, 3) + np.array([0, 0, raised_mm])
    affine[:3, 3] = middle - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return Scanner(template.affine, move, Grid(shape, affine, is_thick=kind != "3-D"), head_centre)


if __name__ == "__main__":
    main()

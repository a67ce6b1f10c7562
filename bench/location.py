"""Measure how far off MNI places are: digital heads whose MNI coordinates are known, and real scans.

Example: python bench/location.py --participants 4 --seed 77

With --trial, scans that ``infarct-vol simulate`` has made already with these numbers are used. Real scans
(--scans) have no truth: two visits and two contrasts of one patient should name one place.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.segmentation import watershed

import infarct_vol as iv
from infarct_vol.atlas import BrainMap, fit_to_template, is_infratentorial, load_template
from infarct_vol.brain import brain_mask
from infarct_vol.images import Scan
from infarct_vol.simulation.anatomy import build_brain, head_grid
from infarct_vol.simulation.scanner import head_pose
from infarct_vol.simulation.scenarios import plan_participant

Points = NDArray[np.float64]
IMAGES = (
    ("FLAIR", "FLAIR", "anat/{}_ses-BL_FLAIR.nii.gz", "flair"),
    ("DWI", "dwi", "dwi/{}_ses-BL_trace.nii.gz", "dwi"),
    ("b0", "dwi", "dwi/{}_ses-BL_S0map.nii.gz", "b0"),
)

# (|x|, y, z) in MNI mm: cerebellum, vermis, pons, medulla; cerebrum down to its basal surface, thalamus
BELOW = (
    *((25, -65, -40), (40, -60, -38), (15, -55, -25), (25, -45, -30), (30, -75, -35), (12, -75, -30)),
    *(
        (0, -60, -25),
        (0, -65, -35),
        (0, -28, -32),
        (0, -38, -48),
        (0, -50, -15),
        (0, -25, -15),
        (6, -25, -15),
    ),
)
ABOVE = (
    *((35, -20, 45), (45, -10, -30), (55, -30, -15), (45, -50, -14), (25, -92, -2), (12, -70, 8)),
    *((30, -75, 10), (40, 30, 5), (20, 40, 30), (10, -20, 5), (55, -50, 10), (28, -10, -28), (40, -75, -8)),
    *((12, -90, 5), (25, -35, -8), (30, -55, -4), (15, -60, 5), (10, -50, 10), (0, -18, 0), (6, -18, 0)),
)


def fitted(scan: Scan) -> tuple[BrainMap, Points, float]:
    """Return the fit, points of the brain (RAS+ mm) and the CPU seconds of the fit."""
    brain = brain_mask(scan)
    start = time.process_time()
    found = fit_to_template(scan, brain=brain)
    seconds = time.process_time() - start
    return found, scan.grid.to_world(np.argwhere(brain.data)[::997]), seconds


def told(name: str, distances_mm: Points, extra: str = "") -> None:
    """Print how far apart places are."""
    mean, p95, most = distances_mm.mean(), np.percentile(distances_mm, 95), distances_mm.max()
    print(f"{name:24s} mean {mean:4.1f}  95 % {p95:4.1f}  most {most:4.1f} mm  {extra}", flush=True)


def apart(first: Points, second: Points) -> Points:
    """Return the distances of (N, 3) points."""
    return np.asarray(np.linalg.norm(first - second, axis=1))


def true_places(brain: object, to_head: Points) -> Callable[[Points], Points]:
    """Return the function from points of a scan to the MNI coordinates the digital head was made from."""
    start = [s.start for s in brain.box]  # type: ignore[attr-defined]

    def places(points: Points) -> Points:
        index = (head_grid().to_index(points @ to_head[:3, :3].T + to_head[:3, 3]) - start).T
        xyz = brain.template_xyz  # type: ignore[attr-defined]
        return np.stack([ndimage.map_coordinates(c, index, order=1, mode="nearest") for c in xyz], -1)

    return places


def digital(trial: Path, *, participants: int, seed: int, compact: bool) -> None:
    """Compare the places of digital heads with what they were made from, and with the best affine map."""
    for number in range(participants):
        plan = plan_participant(number, participants=participants, seed=seed, compact=compact)
        person, brain = plan.participant_id, build_brain(plan.anatomy, plan.rng(1))
        pose = head_pose(plan, plan.visits[0])
        beside = trial / "derivatives" / "truth" / person / f"{person}_transforms.json"
        moves = json.loads(beside.read_text())["points_to"]
        for label, key, name, modality in IMAGES:
            path = trial / person / "ses-BL" / name.format(person)
            if not path.is_file():
                continue
            found, points, seconds = fitted(iv.load_scan(path, modality=modality))
            to_head = np.linalg.inv(np.array(moves[f"ses-BL_{key}"]) @ pose)
            truth = true_places(brain, to_head)(points)
            rows = np.c_[points, np.ones(len(points))]
            best = rows @ np.linalg.lstsq(rows, truth, rcond=None)[0]
            floor = f"(best affine map {apart(best, truth).mean():.1f}); "
            extra = f"overlap {found.overlap:.3f} likeness {found.likeness:.2f} {seconds:.2f} CPU s"
            told(f"{person} {label}", apart(found.apply(points), truth), floor + extra)


def real(folder: Path) -> None:
    """Compare places of one head in several scans."""
    files = {
        "ms_p12 FLAIR": ("ms_p12/study1_FLAIR.nii.gz", "flair"),
        "ms_p12 T1w": ("ms_p12/study1_T1W.nii.gz", "t1w"),
        "ms_flair_mni_p26 FLAIR": ("ms_flair_mni_p26/FLAIR.nii.gz", "flair"),
        "ms_flair_mni_p26 T1w": ("ms_flair_mni_p26/T1w.nii.gz", "t1w"),
        "isles22_case0001 DWI": ("isles22_case0001/sub-strokecase0001_ses-0001_dwi.nii.gz", "dwi"),
        "ads_s02 DWI": ("ads_s02/Subject02_DWI.nii.gz", "dwi"),
        "ads_s02 b0": ("ads_s02/Subject02_b0.nii.gz", "b0"),
    }
    maps = {}
    for name, (path, modality) in files.items():
        maps[name] = found, points, seconds = fitted(iv.load_scan(folder / path, modality=modality))
        print(f"{name:24s} overlap {found.overlap:.3f} likeness {found.likeness:.2f} {seconds:.2f} CPU s")
    for first, second in (
        ("ms_flair_mni_p26 FLAIR", "ms_flair_mni_p26 T1w"),
        ("ads_s02 DWI", "ads_s02 b0"),
    ):
        points = maps[first][1]
        told(f"{first} | {second[-3:]}", apart(maps[first][0].apply(points), maps[second][0].apply(points)))


def same_patient(folder: Path) -> None:
    """Compare two visits, and two contrasts, of a patient with known transforms between them."""
    common = iv.load_scan(folder / "brainmask.nii.gz")
    points = common.grid.to_world(np.argwhere(common.data > 0)[::2999])
    found: dict[str, Points] = {}
    for visit in (1, 2):
        to_flair = itk_affine(folder / f"study{visit}_FLAIR_to_common_space.txt")
        in_flair = points @ to_flair[:3, :3].T + to_flair[:3, 3]
        to_t1w = itk_affine(folder / f"study{visit}_T1W_intrastudy_to_FLAIR.txt")
        in_t1w = in_flair @ to_t1w[:3, :3].T + to_t1w[:3, 3]
        flair = iv.load_scan(folder / f"study{visit}_FLAIR.nii.gz", modality="flair")
        t1w = iv.load_scan(folder / f"study{visit}_T1W.nii.gz", modality="t1w")
        found[f"FLAIR {visit}"] = fitted(flair)[0].apply(in_flair)
        found[f"T1w {visit}"] = fitted(t1w)[0].apply(in_t1w)
    for first, second in (("FLAIR 1", "FLAIR 2"), ("FLAIR 1", "T1w 1"), ("FLAIR 2", "T1w 2")):
        told(f"ms_p12 {first} | {second}", apart(found[first], found[second]))


def itk_affine(path: Path) -> Points:
    """Return an ITK text transform as a 4x4 matrix between RAS+ points."""
    fields = dict(line.split(":", 1) for line in path.read_text().splitlines() if ":" in line)
    parameters = np.array(fields["Parameters"].split(), dtype=float)
    centre = np.array(fields["FixedParameters"].split(), dtype=float)
    matrix = np.eye(4)
    matrix[:3, :3] = parameters[:9].reshape(3, 3)
    matrix[:3, 3] = parameters[9:] + centre - matrix[:3, :3] @ centre
    turn = np.diag([-1.0, -1.0, 1.0, 1.0])
    return np.asarray(turn @ matrix @ turn)


def with_lesions(folder: Path, *, count: int = 3) -> None:
    """Put the largest real infarct shapes into real scans, and print how far places move."""
    shapes = [iv.load_mask(path) for path in sorted((folder / "soop_masks").glob("*.nii.gz"))]
    shapes.sort(key=lambda shape: -shape.volume_ml)
    for path, modality, levels in (
        ("ms_flair_mni_p26/FLAIR.nii.gz", "flair", (1.8, 0.25)),
        ("isles22_case0001/sub-strokecase0001_ses-0001_dwi.nii.gz", "dwi", (2.5,)),
        ("ads_s02/Subject02_DWI.nii.gz", "dwi", (2.5,)),
    ):
        scan = iv.load_scan(folder / path, modality=modality)  # type: ignore[arg-type]
        brain, (plain, points, _) = brain_mask(scan).data, fitted(scan)
        for shape in shapes[:count]:
            index = np.linalg.inv(shape.grid.affine) @ plain.matrix @ scan.grid.affine
            share = ndimage.affine_transform(
                shape.data.astype(np.float32), index[:3, :3], index[:3, 3], scan.grid.shape, order=1
            )
            lesion = (share > 0.5) & brain
            for level in levels:
                data = np.where(lesion, level * np.median(scan.data[brain]), scan.data)
                found = fitted(scan.with_data(data))[0]
                ml = np.count_nonzero(lesion) * scan.grid.voxel_volume_ml
                likeness = f"overlap {found.overlap:.3f} likeness {found.likeness:.2f}"
                told(
                    f"{path[:7]} {ml:.0f} mL x {level:g}",
                    apart(found.apply(points), plain.apply(points)),
                    likeness,
                )


def tentorium() -> None:
    """Compare the rule for cerebellum and brain stem with a watershed of the template's tissue."""
    template = load_template()
    total = template.tissue.sum(axis=0)
    mask, seeds = total > 0.3, np.zeros(total.shape, dtype=np.int32)
    for label, places in ((1, BELOW), (2, ABOVE)):
        for x, y, z in places:
            for side in (-x, x):
                i, j, k = np.rint(template.grid.to_index([side, y, z])).astype(int)
                seeds[i - 1 : i + 2, j - 1 : j + 2, k - 1 : k + 2] = label
    below = watershed(np.round(100 * (1 - total)).astype(np.int32), seeds * mask, mask=mask) == 1
    points = template.grid.to_world(np.argwhere(mask))
    x, y, z = np.abs(points[:, 0]), points[:, 1], points[:, 2]
    # what leaks into midbrain, hypothalamus and along the temporal lobe is cut off
    truth = below[mask] & (((y < -12) & (z < -6)) | (y < -40)) & ~((y > -33) & (x > 16))
    rule = is_infratentorial(points)
    ml = template.grid.voxel_volume_ml
    both = np.count_nonzero(truth & rule)
    print(
        f"below the tentorium: watershed {truth.sum() * ml:.0f} mL, rule {rule.sum() * ml:.0f} mL, ", end=""
    )
    print(f"Dice {2 * both / (truth.sum() + rule.sum()):.3f}")


def main() -> None:
    """Run the bench."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--participants", type=int, default=4)
    parser.add_argument("--seed", type=int, default=77)
    parser.add_argument("--compact", action="store_true")
    parser.add_argument("--trial", type=Path)
    parser.add_argument("--scans", type=Path)
    options = parser.parse_args()
    start = time.process_time()
    load_template()
    print(f"template: {time.process_time() - start:.2f} CPU s, once in a process")
    numbers = {"participants": options.participants, "seed": options.seed, "compact": options.compact}
    tentorium()
    if options.scans:
        real(options.scans)
        same_patient(options.scans / "ms_p12")
        with_lesions(options.scans)
    elif options.trial:
        digital(options.trial, **numbers)
    else:
        with tempfile.TemporaryDirectory() as folder:
            iv.simulate_trial(Path(folder) / "trial", **numbers)
            digital(Path(folder) / "trial", **numbers)


if __name__ == "__main__":
    main()

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

import infarct_vol as iv
from infarct_vol.atlas import BrainMap, fit_to_template, load_template
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
    if options.scans:
        real(options.scans)
    elif options.trial:
        digital(options.trial, **numbers)
    else:
        with tempfile.TemporaryDirectory() as folder:
            iv.simulate_trial(Path(folder) / "trial", **numbers)
            digital(Path(folder) / "trial", **numbers)


if __name__ == "__main__":
    main()

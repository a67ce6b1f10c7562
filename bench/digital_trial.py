"""Measure the main job against a digital trial it has not seen: volume, change, new lesions, registration.

Example: python bench/digital_trial.py --participants 12 --seed 2026 --jobs 2
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

import infarct_vol as iv
from infarct_vol.nifti import load_mask
from infarct_vol.registration import read_tfm
from infarct_vol.segmentation.cleanup import dilate_mm
from infarct_vol.statistics.agreement import bland_altman

LARGE_ML = 5.0
# a voxel farther than this from every true lesion is not a matter of its boundary
AWAY_MM = 5.0


@dataclass(frozen=True)
class Lesion:
    """One measured infarct with its truth."""

    participant_id: str
    visit: str
    scenario: str
    true_ml: float
    measured_ml: float | None
    dice: float | None
    reason: str

    @property
    def error_percent(self) -> float | None:
        """Volume error in percent of the true volume."""
        if self.measured_ml is None or self.true_ml == 0:
            return None
        return 100 * (self.measured_ml - self.true_ml) / self.true_ml


def main() -> None:
    """Simulate, run, compare, print."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--participants", type=int, default=12)
    parser.add_argument("--seed", type=int, nargs="+", default=[2026])
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--keep", type=Path, help="folder to keep the trials and results in")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        root = options.keep or Path(scratch)
        for seed in options.seed:
            study, out = root / f"trial{seed}", root / f"results{seed}"
            if not study.exists():
                iv.simulate_trial(study, participants=options.participants, seed=seed, jobs=options.jobs)
            iv.run_study(study, out, jobs=options.jobs)
            print(f"\n# Digital trial of {options.participants} participants, seed {seed}")
            report(study, out)


def report(study: Path, out: Path) -> None:
    """Print every infarct, then the summary lines."""
    lesions = list(compared(study, out))
    print(f"{'participant':12}{'visit':10}{'true mL':>9}{'measured':>10}{'error %':>9}{'Dice':>7}  scenario")
    for lesion in lesions:
        cells = (lesion.measured_ml, lesion.error_percent, lesion.dice)
        measured, error, dice = ("-" if c is None else f"{c:.2f}" for c in cells)
        note = f" ({lesion.reason})" if lesion.reason else ""
        print(
            f"{lesion.participant_id:12}{lesion.visit:10}{lesion.true_ml:9.2f}{measured:>10}{error:>9}{dice:>7}"
            f"  {lesion.scenario}{note}"
        )
    for title, chosen in (
        ("baseline, 5 mL and more", [x for x in lesions if x.visit == "baseline" and x.true_ml >= LARGE_ML]),
        ("follow-up, 5 mL and more", [x for x in lesions if x.visit != "baseline" and x.true_ml >= LARGE_ML]),
        ("baseline, under 5 mL", [x for x in lesions if x.visit == "baseline" and 0 < x.true_ml < LARGE_ML]),
        ("follow-up, under 5 mL", [x for x in lesions if x.visit != "baseline" and 0 < x.true_ml < LARGE_ML]),
    ):
        print(summary(title, chosen))
    for parameter, title in (("infarct", "DWI to FLAIR"), ("infarct_flair", "FLAIR to FLAIR")):
        print(change_line(study, out, parameter=parameter, title=title))
    print(new_lesion_line(study, out))
    print(false_line(study, out))
    errors = sorted(registration_errors(study, out))
    worst = max(errors, default=(float("nan"),))
    median = float(np.median([e[0] for e in errors])) if errors else float("nan")
    print(
        f"registrations, to baseline and between FLAIR and DWI: {len(errors)} pairs, "
        f"mean error over the brain: median {median:.3f} mm, worst {worst[0]:.3f} mm ({worst[-1]})"
    )


def summary(title: str, lesions: list[Lesion]) -> str:
    """Return one line: number, median |volume error|, median Dice, number without a value."""
    errors = [abs(x.error_percent) for x in lesions if x.error_percent is not None]
    dices = [x.dice for x in lesions if x.dice is not None]
    absent = sum(x.measured_ml is None for x in lesions)
    if not errors:
        return f"{title}: none"
    return (
        f"{title}: n {len(errors)}, median |volume error| {np.median(errors):.1f} %, "
        f"median Dice {np.median(dices):.3f} (lowest {min(dices):.3f}), without a value {absent}"
    )


def paired_volumes(study: Path, out: Path, *, parameter: str) -> pd.DataFrame:
    """Return true and measured mL by participant and visit; ``parameter`` names the measured one."""
    truth = pd.read_csv(study / "derivatives" / "truth" / "truth.csv", keep_default_na=False)
    of = "new_lesion" if parameter == "new_lesion" else "infarct"
    truth = truth[(truth.parameter == of) & (truth.modality == "flair")]
    ours = iv.read_tables(out).volumes
    ours = ours[ours.parameter == parameter]
    keys = ["participant_id", "visit"]
    both = truth[[*keys, "volume_ml"]].merge(ours[[*keys, "volume_ml"]], on=keys, suffixes=("_true", "_ours"))
    return both.dropna()


def change_line(study: Path, out: Path, *, parameter: str, title: str) -> str:
    """Return one line: error of the change from baseline, in mL and in percent of the true baseline."""
    both = paired_volumes(study, out, parameter=parameter)
    first = both[both.visit == "baseline"].set_index("participant_id")
    later = both[(both.visit != "baseline") & both.participant_id.isin(first.index)]
    start = first.loc[later.participant_id]
    true = later.volume_ml_true.to_numpy() - start.volume_ml_true.to_numpy()
    ours = later.volume_ml_ours.to_numpy() - start.volume_ml_ours.to_numpy()
    agreed = bland_altman(true, ours)
    percent = 100 * (ours - true) / start.volume_ml_true.to_numpy()
    large = start.volume_ml_true.to_numpy() >= LARGE_ML
    return (
        f"change from baseline, {title}: n {agreed.n}, bias {agreed.bias:+.2f} mL, limits of agreement "
        f"{agreed.lower:.2f} to {agreed.upper:.2f} mL; in percent of a baseline of 5 mL and more (n "
        f"{int(large.sum())}): mean {percent[large].mean():+.1f} %, median {np.median(percent[large]):+.1f} %"
    )


def new_lesion_line(study: Path, out: Path) -> str:
    """Return one line: new lesions that are there, and the most that is reported where there is none."""
    both = paired_volumes(study, out, parameter="new_lesion")
    there, none = both[both.volume_ml_true > 0], both[both.volume_ml_true == 0]
    pairs = ", ".join(f"{r.volume_ml_ours:.2f} of {r.volume_ml_true:.2f} mL" for r in there.itertuples())
    return (
        f"new remote lesions: {pairs or 'none there'}; where there is none (n {len(none)}): "
        f"most {none.volume_ml_ours.max():.2f} mL"
    )


def false_line(study: Path, out: Path) -> str:
    """Return one line: what is called infarct away from every true lesion, white matter above all."""
    truth_root = study / "derivatives" / "truth"
    truth = pd.read_csv(truth_root / "truth.csv", keep_default_na=False)
    truth = truth[truth.parameter.isin(["infarct", "new_lesion"])]
    volumes = iv.read_tables(out).volumes
    away = {}
    for row in volumes[(volumes.parameter == "infarct") & volumes.volume_ml.notna()].itertuples():
        mask = load_mask(out / row.mask_path)
        modality = "dwi" if row.visit == "baseline" else "flair"
        true = np.zeros_like(mask.data)
        for path in truth[
            (truth.participant_id == row.participant_id)
            & (truth.visit == row.visit)
            & (truth.modality == modality)
            & (truth.mask_path != "")
        ].mask_path:
            true |= load_mask(truth_root / path).data
        near = dilate_mm(true, radius_mm=AWAY_MM, spacing_mm=mask.grid.spacing_mm)
        away[f"{row.participant_id} {row.visit}"] = int((mask.data & ~near).sum()) * mask.grid.voxel_volume_ml
    worst = max(away, key=lambda name: away[name])
    leukoaraiosis = set(truth[truth.scenario == "white_matter"].participant_id)
    of_these = [ml for name, ml in away.items() if name.split()[0] in leukoaraiosis]
    visits = sum(ml > 0 for ml in away.values())
    return (
        f"called infarct more than {AWAY_MM:g} mm from every true lesion: in {visits} of {len(away)} visits, "
        f"most {away[worst]:.2f} mL ({worst}); with white-matter hyperintensity (n {len(of_these)}): most "
        f"{max(of_these, default=float('nan')):.2f} mL"
    )


def compared(study: Path, out: Path) -> Iterator[Lesion]:
    """Yield the primary infarct of every visit in the truth table."""
    truth_root = study / "derivatives" / "truth"
    truth = pd.read_csv(truth_root / "truth.csv", keep_default_na=False)
    volumes = iv.read_tables(out).volumes
    volumes = volumes[volumes.parameter == "infarct"].set_index(["participant_id", "visit"])
    for row in truth[truth.parameter == "infarct"].itertuples():
        if row.modality != ("dwi" if row.visit == "baseline" else "flair"):
            continue
        ours = volumes.loc[(row.participant_id, row.visit)]
        has_value = pd.notna(ours.volume_ml)
        dice = None
        if has_value:
            mask = load_mask(out / ours.mask_path)
            dice = overlap(mask.data, truth_root / row.mask_path if row.mask_path else None)
        yield Lesion(
            row.participant_id,
            row.visit,
            row.scenario,
            float(row.volume_ml),
            float(ours.volume_ml) if has_value else None,
            dice,
            "" if has_value else f"{ours.status}: {ours.reason}",
        )


def overlap(ours: NDArray[np.bool_], truth_path: Path | None) -> float:
    """Return the Dice coefficient; 1 if both are empty."""
    truth = load_mask(truth_path).data if truth_path else np.zeros_like(ours)
    total = int(ours.sum()) + int(truth.sum())
    return 1.0 if total == 0 else 2 * int((ours & truth).sum()) / total


def registration_errors(study: Path, out: Path) -> Iterator[tuple[float, str]]:
    """Yield (mean error in mm over the true brain, pair) of every registration to baseline FLAIR."""
    truth_root = study / "derivatives" / "truth"
    for folder in sorted(truth_root.glob("sub-*")):
        known = json.loads((folder / f"{folder.name}_transforms.json").read_text())["points_to"]
        brain_path = next((folder / "ses-BL" / "anat").glob("*_desc-brain_mask.nii.gz"))
        brain = load_mask(brain_path)
        points = brain.grid.to_world(np.argwhere(brain.data)[::50])
        for path in sorted((out / folder.name).rglob("*_mode-points_xfm.tfm")):
            target = path.name.split("_to-")[1].split("_")[0]
            name = "ses-BL_dwi" if target == "DWI" else f"ses-{target}_FLAIR"
            matrix = np.array(known[name])
            true = points @ matrix[:3, :3].T + matrix[:3, 3]
            error = float(np.linalg.norm(read_tfm(path).apply(points) - true, axis=1).mean())
            yield error, f"{folder.name} to {target}"


if __name__ == "__main__":
    main()

"""A digital trial of two arms, from scans and true masks to the endpoint tables, held against the truth.

    python bench/endpoint_trial.py OUT                          # 27 participants, as the trial plans
    python bench/endpoint_trial.py OUT --participants 6 --jobs 2

Simulates scans, gives every other participant the arm iEPC, brings the true masks along (``--masks``), and
runs the main job with the randomisation list. Every statistic of the infarct in summary.csv must then be that
of the true masks, by a few lines of pandas that share nothing with the package. The automatic masks are made
beside them. Scans that are damaged on purpose have no value, and are counted.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd

import infarct_vol as iv

STATISTICS = ("n", "mean", "sd", "median", "q1", "q3", "min", "max")


def main() -> int:
    """Simulate, measure, compare; return 0 if every statistic agrees to rounding."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path, help="folder of the trial and its results")
    parser.add_argument("--participants", type=int, default=27)
    parser.add_argument("--seed", type=int, default=2028)
    parser.add_argument("--jobs", type=int, default=1)
    options = parser.parse_args()
    study, results = options.out / "trial", options.out / "results"
    if not study.exists():
        iv.simulate_trial(study, participants=options.participants, seed=options.seed, jobs=options.jobs)
    truth = study / "derivatives" / "truth"
    names = sorted(path.name for path in study.glob("sub-*"))
    arms = {name: ("placebo", "iEPC")[at % 2] for at, name in enumerate(names)}
    listed = options.out / "randomisation.csv"
    listed.write_text("participant_id,arm\n" + "".join(f"{name},{arm}\n" for name, arm in arms.items()))
    iv.run_study(
        study,
        results,
        protocol=iv.Protocol(study_id="Digital trial"),
        masks=truth,
        randomization=listed,
        jobs=options.jobs,
    )
    tables = iv.read_tables(results)
    primary = tables.volumes[tables.volumes["parameter"] == "infarct"]
    measured = primary.loc[primary["volume_ml"].notna(), ["participant_id", "session_id", "visit"]]
    worst, compared = compare(tables.summary, expected(truth, measured, arms))
    absent = primary.loc[primary["volume_ml"].isna(), "status"].value_counts().to_dict()
    print(f"{len(measured)} visits with a volume; without: {absent}")
    print(f"{len(arms)} participants; {compared} statistics of the infarct in summary.csv")
    print(f"largest relative difference from those of the true masks: {worst:.1e}")
    changes = tables.change[(tables.change["parameter"] == "infarct") & tables.change["change_ml"].notna()]
    print(f"{len(changes)} changes; tables: {results / 'tables'}; report: {results / 'report'}")
    return 0 if worst < 1e-9 else 1


def expected(masks: Path, measured: pd.DataFrame, arms: dict[str, str]) -> pd.DataFrame:
    """Return the statistics of the true masks of the measured visits, by visit, arm and quantity."""
    known = measured.assign(
        volume=[
            true_volume_ml(masks, name, session.removeprefix("ses-"))
            for name, session in zip(measured["participant_id"], measured["session_id"], strict=True)
        ]
    )
    base = known[known["visit"] == "baseline"].set_index("participant_id")["volume"]
    known["change"] = (known["volume"] - known["participant_id"].map(base)).where(
        known["visit"] != "baseline"
    )
    known["percent"] = 100 * known["change"] / known["participant_id"].map(base).replace(0, np.nan)
    known["arm"] = known["participant_id"].map(arms)
    both = pd.concat([known, known.assign(arm="all")])
    long = both.melt(["visit", "arm"], ["volume", "change", "percent"], "quantity").dropna()
    grouped = long.groupby(["visit", "arm", "quantity"])["value"]
    table = grouped.agg(n="count", mean="mean", sd="std", min="min", max="max")
    for name, q in (("q1", 0.25), ("median", 0.5), ("q3", 0.75)):
        table[name] = grouped.agg(lambda v, q=q: np.quantile(v, q, method="averaged_inverted_cdf"))
    return table


def true_volume_ml(masks: Path, name: str, session: str) -> float:
    """Return voxels times |det(affine)| of a true mask: on DWI at baseline, on FLAIR later."""
    folder = masks / name / f"ses-{session}" / ("dwi" if session == "BL" else "anat")
    (path,) = folder.glob("*_desc-infarct_mask.nii.gz")
    image = nib.load(path)
    voxels = np.count_nonzero(np.asanyarray(image.dataobj))
    return float(voxels * abs(np.linalg.det(image.affine[:3, :3])) / 1000)


def compare(summary: pd.DataFrame, known: pd.DataFrame) -> tuple[float, int]:
    """Return the largest relative difference of any statistic, and how many were compared."""
    infarct = summary[summary["parameter"] == "infarct"].set_index(["visit", "arm"])
    worst, compared = 0.0, 0
    for (visit, arm, quantity), row in known.iterrows():
        for name in STATISTICS:
            found, true = infarct.loc[(visit, arm), f"{quantity}_{name}"], row[name]
            if pd.isna(found) and pd.isna(true):
                continue
            worst = max(worst, abs(found - true) / max(abs(true), 1e-9))
            compared += 1
    return worst, compared


if __name__ == "__main__":
    sys.exit(main())

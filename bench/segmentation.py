"""Measure the acute methods: real infarct shapes in real scans, untouched scans, and a real patient.

Shapes and backgrounds are split: parameters were chosen with shapes of even number in two backgrounds;
the figures to quote are those of the odd shapes ("held"), and of the third background.

Example: python bench/segmentation.py SCANS --jobs 2 --csv cases.csv
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from time import process_time

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from segmentation_insertion import (
    BACKGROUNDS,
    TUNING_BACKGROUNDS,
    Inserted,
    Recipe,
    insert,
    load_background,
    shape_paths,
    untouched,
)
from segmentation_peers import adc_620, otsu, z_above_two

from infarct_vol.images import BrainMask, Identity, LesionMask, Scan
from infarct_vol.nifti import load_mask
from infarct_vol.segmentation import segment_acute, segment_rapid_like
from infarct_vol.statistics.agreement import median_interval
from infarct_vol.validation.overlap import compare_masks

Method = Callable[[Scan, Scan, BrainMask], LesionMask]
METHODS: dict[str, Method] = {
    "local": lambda dwi, adc, brain: segment_acute(dwi, adc, brain=brain),
    "rapid_like": lambda dwi, adc, brain: segment_rapid_like(dwi, adc, brain=brain),
    "ADC <= 620": adc_620,
    "DWI z > 2": z_above_two,
    "Otsu": otsu,
}
CLASSES_ML = ((0.0, 0.5), (0.5, 5.0), (5.0, 20.0), (20.0, 70.0), (70.0, np.inf), (5.0, np.inf))


def main() -> None:
    """Insert, segment, compare, print."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("scans", type=Path, help="folder of the real scans and shapes")
    parser.add_argument("--draws", type=int, default=2, help="lesions made of each shape in each background")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--faint", action="store_true", help="ADC ratio from 0.72, T2 effect up to 0.25 only")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--csv", type=Path, help="also write every case")
    options = parser.parse_args()
    shapes = len(shape_paths(options.scans))
    recipes = list(all_recipes(shapes, draws=options.draws, seed=options.seed, faint=options.faint))
    work = partial(measure_case, scans=options.scans, seed=options.seed)
    with ProcessPoolExecutor(options.jobs) as pool:
        rows = [row for found in pool.map(work, recipes, chunksize=8) for row in found]
        healthy = [
            row
            for found in pool.map(partial(measure_untouched, scans=options.scans), SCANNED)
            for row in found
        ]
    cases = pd.DataFrame(rows)
    if options.csv:
        cases.to_csv(options.csv, index=False)
    for half in ("held", "third background", "tuning"):
        print(f"\n## Inserted infarcts, {half}")
        print(table(cases[cases.half == half]))
    print("\n## Untouched scans, mL called infarct (none there)")
    print(
        pd.DataFrame(healthy)
        .pivot(index=["scan", "bvalue", "merged"], columns="method", values="ml")
        .round(2)
        .to_string()
    )
    print("\n## A real patient: isles22_case0001, expert 6.68 mL in 31 pieces")
    print(pd.DataFrame(real_patient(options.scans)).round(3).to_string(index=False))


SCANNED = [
    (name, b, m)
    for name in BACKGROUNDS
    for b in (800, 1000, 1200)
    for m in (1, 2)
    if (name, m) != ("ads_s02", 2)
]


def all_recipes(shapes: int, *, draws: int, seed: int, faint: bool) -> Iterator[Recipe]:
    """Yield lesions of every shape in every background: first draw in full size, others also smaller."""
    lowest_adc, highest_t2 = (0.72, 0.25) if faint else (0.5, 0.7)
    rng = np.random.default_rng(seed)
    for shape in range(shapes):
        for draw in range(draws):
            recipe = {
                "adc_ratio": float(rng.uniform(lowest_adc, 0.85)),
                "t2_effect": float(rng.uniform(0.0, highest_t2)),
                "bvalue": float(rng.choice([800, 1000, 1000, 1200])),
                "into_fluid": bool(rng.random() < 0.3),
                "texture": float(rng.choice([0.05, 0.12, 0.2])),
                "size": 1.0 if draw == 0 else float(rng.choice([0.35, 0.5, 0.7])),
            }
            merged = int(rng.choice([1, 1, 2]))
            for background in BACKGROUNDS:
                thick = background == "ads_s02"
                yield Recipe(background, shape, merged_slices=1 if thick else merged, **recipe)


def measure_case(recipe: Recipe, *, scans: Path, seed: int) -> list[dict[str, object]]:
    """Return a row a method; none where the shape does not fit."""
    case = insert(recipe, scans, seed=seed)
    if case is None:
        return []
    half = "tuning" if recipe.shape % 2 == 0 else "held"
    if recipe.background not in TUNING_BACKGROUNDS:
        half = "third background" if half == "held" else "unused"
    return [{"half": half, **scored(case, name, method)} for name, method in METHODS.items()]


def scored(case: Inserted, name: str, method: Method) -> dict[str, object]:
    """Return one method's row: the scan's own lesions and their surroundings do not count."""
    began = process_time()
    found = method(case.dwi, case.adc, case.brain)
    spent = process_time() - began
    ours = LesionMask(found.data & ~case.own, case.dwi.grid)
    agreed = compare_masks(LesionMask(case.truth, case.dwi.grid), ours)
    low, high = found.evidence.get("volume_ml_low"), found.evidence.get("volume_ml_high")
    # a range that also holds the scan's own lesions says nothing of the inserted one
    ranged = low is not None and high is not None and not (found.data & case.own).any()
    return {
        "method": name,
        "background": case.recipe.background,
        "shape": case.recipe.shape,
        "adc_ratio": round(case.recipe.adc_ratio, 3),
        "t2_effect": round(case.recipe.t2_effect, 3),
        "bvalue": case.recipe.bvalue,
        "merged": case.recipe.merged_slices,
        "true_ml": case.true_ml,
        "ml": ours.volume_ml,
        "dice": agreed.dice,
        "f1": agreed.lesion_f1,
        "error_percent": 100 * (ours.volume_ml - case.true_ml) / case.true_ml,
        "covered": low <= case.true_ml <= high if ranged else None,
        "cpu_s": spent,
    }


def table(cases: pd.DataFrame) -> str:
    """Return medians with distribution-free 95 % intervals, by method and size."""
    titles = ("true mL", 10), ("n", 5), ("Dice (95 %)", 24), ("missed", 8), ("|error| %", 11), ("bias %", 8)
    more = ("in range", 10), ("CPU s", 7)
    lines = [f"{'method':12}" + "".join(f"{title:>{width}}" for title, width in (*titles, *more))]
    for name in METHODS:
        for low, high in CLASSES_ML:
            part = cases[(cases.method == name) & (cases.true_ml >= low) & (cases.true_ml < high)]
            if not part.empty:
                lines.append(_line(name, f"{low:g}-{high:g}" if np.isfinite(high) else f">={low:g}", part))
    return "\n".join(lines)


def _line(name: str, size: str, part: pd.DataFrame) -> str:
    dice = median_interval(part.dice.to_numpy())
    interval = f"{dice.value:.3f}" + ("" if dice.low is None else f" ({dice.low:.2f} to {dice.high:.2f})")
    covered = part.covered.dropna()
    share = f"{covered.astype(float).mean():.2f}" if len(covered) else "-"
    return (
        f"{name:12}{size:>10}{len(part):5d}{interval:>24}{int((part.dice < 0.05).sum()):8d}"
        f"{part.error_percent.abs().median():11.1f}{part.error_percent.median():8.1f}{share:>10}{part.cpu_s.median():7.2f}"
    )


def measure_untouched(which: tuple[str, int, int], *, scans: Path) -> list[dict[str, object]]:
    """Return what each method calls infarct where there is none (own lesions left out)."""
    name, bvalue, merged = which
    case = untouched(Recipe(name, 0, 1.0, 0.0, float(bvalue), merged), scans)
    return [
        {
            "scan": name,
            "bvalue": bvalue,
            "merged": merged,
            "method": label,
            "ml": LesionMask(
                method(case.dwi, case.adc, case.brain).data & ~case.own, case.dwi.grid
            ).volume_ml,
        }
        for label, method in METHODS.items()
    ]


def real_patient(scans: Path) -> Iterator[dict[str, object]]:
    """Yield each method's agreement with the expert on the one real patient with an expert's mask."""
    background = load_background("isles22_case0001", scans)
    expert: NDArray[np.bool_] = load_mask(next((scans / "isles22_case0001").glob("*msk.nii.gz"))).data
    dwi = Scan(background.dwi, background.grid, Identity(modality="dwi"))
    adc = Scan(background.adc, background.grid, Identity(modality="adc"))
    for name, method in METHODS.items():
        found = method(dwi, adc, BrainMask(background.brain, background.grid))
        agreed = compare_masks(LesionMask(expert, background.grid), found)
        yield {
            "method": name,
            "ml": agreed.compared_ml,
            "dice": agreed.dice,
            "lesion_f1": agreed.lesion_f1,
            "pieces": agreed.compared_lesions,
        }


if __name__ == "__main__":
    main()

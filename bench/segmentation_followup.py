"""Measure follow-up FLAIR: real infarct shapes that evolve in real brains, baseline masks as they are.

The shapes are split in halves by their number: parameters were chosen on the tuning half alone. The truth is
the follow-up's voxels of which at least half is infarct, and its volume is that of this mask. A person's own
white-matter lesions are in the background and must not count. Registrations are done with the exact mask.
True volumes under 0.3 mL have one line of their own, in mL, and are in no other.

Example: python bench/segmentation_followup.py ../shared/data --half held --jobs 2
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from segmentation_followup_cases import SERIES, Baseline, Case, Made, all_cases, make
from segmentation_followup_masks import KINDS, baseline_mask

import infarct_vol as iv
from infarct_vol.brain import brain_mask
from infarct_vol.images import LesionMask
from infarct_vol.segmentation import segment_baseline_flair, segment_followup

INEXACT = ("eroded", "dilated", "shifted")
LARGE_ML = 1.0
# Of a smaller infarct a percentage says nothing: its rows stand apart
TINY_ML = 0.3
SIZES_ML = (TINY_ML, 1.0, 5.0, 300.0)


@dataclass(frozen=True)
class Row:
    """One follow-up visit measured with one baseline mask; ``kind`` is the mask's, volumes in mL."""

    case: Case
    kind: str
    mask_dice: float
    true_ml: float
    measured_ml: float
    low_ml: float
    high_ml: float
    dice: float
    false_new_ml: float
    new_ml: tuple[float, float]
    cpu_s: float
    baseline_error: float | None


def main() -> None:
    """Make the cases, measure them, print the tables."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("data", type=Path, help="folder with ms_flair_mni_p26, ms_p12 and soop_masks")
    parser.add_argument("--half", choices=("tuning", "held", "both"), default="both")
    parser.add_argument("--quick", action="store_true", help="fewer cases of every shape, fewer masks")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--jobs", type=int, default=1)
    options = parser.parse_args()
    shapes = shape_files(options.data)
    halves = ("tuning", "held") if options.half == "both" else (options.half,)
    for half in halves:
        cases = list(all_cases(len(shapes), half=half, quick=options.quick))
        work = partial(measured, shapes=shapes, data=options.data, seed=options.seed, quick=options.quick)
        with ProcessPoolExecutor(options.jobs) as pool:
            rows = [row for found in pool.map(work, cases, chunksize=4) for row in found]
        print(f"\n# {half} half, seed {options.seed}")
        report(rows)


def shape_files(data: Path) -> list[Path]:
    """Return the masks of real infarcts, by name; their number decides the half."""
    return sorted((data / "soop_masks").glob("*_lesion.nii.gz"))


def kinds_of(case: Case, *, quick: bool) -> tuple[str, ...]:
    """Return the masks to try: all for the plain series, for others exact, own and one inexact in turn."""
    turn = INEXACT[(case.shape // 2 + SERIES.index(case.series)) % len(INEXACT)]
    if case.series == "plain":
        return ("exact", turn, "own DWI") if quick else KINDS
    return (turn,) if quick else ("exact", turn, "own DWI")


def measured(case: Case, *, shapes: list[Path], data: Path, seed: int, quick: bool) -> list[Row]:
    """Make a case and measure it with every baseline mask."""
    made = make(case, shapes, data=data, seed=seed)
    if made is None:
        return []
    exact = baseline_mask(made.baseline, "exact", seed=seed)
    start = time.process_time()
    brain = brain_mask(made.follow)
    transform = iv.register(made.baseline.scan, made.follow, moving_brain=brain, fixed_lesion=exact)
    before_s = time.process_time() - start
    rows = []
    for kind in kinds_of(case, quick=quick):
        mask = baseline_mask(made.baseline, kind, seed=seed)
        if mask is None:
            continue
        start = time.process_time()
        found = segment_followup(
            made.follow,
            baseline_flair=made.baseline.scan,
            baseline_mask=mask,
            transform=transform,
            brain=brain,
        )
        seconds = before_s + time.process_time() - start
        once = kind == "exact" and case.series == "plain" and case.month == "M03"
        early = baseline_error(made.baseline, mask) if once else None
        rows.append(compared(made, kind, mask, found, seconds, early))
    return rows


def baseline_error(made: Baseline, mask: LesionMask) -> float | None:
    """Volume error in percent of the baseline FLAIR; ``None`` where it does not show the infarct yet."""
    if made.bright < 1.1:
        return None
    true_ml = np.count_nonzero(made.share >= 0.5) * made.scan.grid.voxel_volume_ml
    found = segment_baseline_flair(made.scan, prior_mask=mask)
    return 100 * (found.volume_ml / true_ml - 1)


def compared(
    made: Made, kind: str, mask: LesionMask, found: LesionMask, cpu_s: float, baseline: float | None
) -> Row:
    """Hold a mask against the truth."""
    voxel_ml = made.follow.grid.voxel_volume_ml
    new = found.parts["new_lesion"].data
    volumes = [np.count_nonzero(m) * voxel_ml for m in (made.new_truth, new & made.new_truth)]
    return Row(
        case=made.case,
        kind=kind,
        mask_dice=dice(mask.data, made.baseline.share >= 0.5),
        true_ml=np.count_nonzero(made.truth) * voxel_ml,
        measured_ml=found.volume_ml,
        low_ml=found.evidence["volume_ml_low"],
        high_ml=found.evidence["volume_ml_high"],
        dice=dice(found.data, made.truth),
        false_new_ml=np.count_nonzero(new & ~made.new_truth) * voxel_ml,
        new_ml=(volumes[0], volumes[1]),
        cpu_s=cpu_s,
        baseline_error=baseline,
    )


def dice(one: np.ndarray, two: np.ndarray) -> float:
    """Dice coefficient; 1 if both are empty."""
    total = np.count_nonzero(one) + np.count_nonzero(two)
    return 2 * np.count_nonzero(one & two) / total if total else 1.0


# ---- report ----------------------------------------------------------------------------------------------


def report(rows: list[Row]) -> None:
    """Print one line per series, grid and mask, then the summary lines."""
    print(
        "| series | grid | baseline mask (its Dice) | n | Dice median, worst (from 1 mL) "
        "| abs. error % mean, median | bias % | change, bias +- SD mL | false new mL mean, max "
        "| truth in low-high |"
    )
    print("|---|---|---|---:|---|---|---:|---|---|---:|")
    every, rows = rows, [r for r in rows if not is_tiny(r)]
    for series in SERIES:
        for plan in sorted({r.case.plans[1] for r in rows}):
            for kind in (*KINDS, "inexact"):
                chosen = [r for r in rows if r.case.series == series and r.case.plans[1] == plan]
                chosen = [r for r in chosen if fits(r, kind, series)]
                if chosen:
                    print(line(series, plan, kind, chosen))
    if small := [r for r in every if is_tiny(r)]:
        print(tiny_line(small))
    summary(rows)


def is_tiny(row: Row) -> bool:
    """Tell whether there is an infarct, and so little of it that a percentage says nothing."""
    return 0 < row.true_ml < TINY_ML


def tiny_line(rows: list[Row]) -> str:
    """Return the line of the infarcts too small for a percentage, with errors in mL."""
    overlap = np.median([r.mask_dice for r in rows])
    errors = [r.measured_ml - r.true_ml for r in rows]
    false = [r.false_new_ml for r in rows]
    return (
        f"| <{TINY_ML:g} mL | all | all ({overlap:.2f}) | {len(rows)} "
        f"| {np.median([r.dice for r in rows]):.3f}, - | {np.mean(np.abs(errors)):.2f} mL, "
        f"{np.median(np.abs(errors)):.2f} mL | {np.mean(errors):+.2f} mL | - "
        f"| {np.mean(false):.2f}, {max(false):.2f} | {covered(rows)} |"
    )


def fits(row: Row, kind: str, series: str) -> bool:
    """Tell whether a row belongs under a kind of mask; inexact ones are one kind but in the plain series."""
    if series == "plain":
        return row.kind == kind
    return (row.kind in INEXACT) if kind == "inexact" else row.kind == kind and kind not in INEXACT


def line(series: str, plan: str, kind: str, rows: list[Row]) -> str:
    """Return one line of the table."""
    overlap = np.median([r.mask_dice for r in rows])
    start = f"| {series} | {plan} | {kind} ({overlap:.2f}) | {len(rows)} |"
    false = [r.false_new_ml for r in rows]
    end = f" {np.mean(false):.2f}, {max(false):.2f} | {covered(rows)} |"
    if series.endswith("vanished"):
        left = [r.measured_ml for r in rows]
        return f"{start} left of 0 mL: mean {np.mean(left):.2f}, max {max(left):.2f} mL | - | - | - |{end}"
    dices = [r.dice for r in rows]
    large = [r.dice for r in rows if r.true_ml >= LARGE_ML]
    errors = np.array([error_percent(r) for r in rows])
    change = "-"
    if series == "plain" and (changes := list(change_errors(rows))):
        change = f"{np.mean(changes):+.2f} +- {np.std(changes, ddof=1) if len(changes) > 1 else 0:.2f}"
    worst, size = min(large, default=float("nan")), np.abs(errors)
    return (
        f"{start} {np.median(dices):.3f}, {worst:.2f} | {size.mean():.1f}, {np.median(size):.1f} "
        f"| {errors.mean():+.1f} | {change} |{end}"
    )


def error_percent(row: Row) -> float:
    """Volume error in percent of the truth."""
    return 100 * (row.measured_ml / row.true_ml - 1) if row.true_ml else float("nan")


def change_errors(rows: list[Row]) -> Iterator[float]:
    """Error in mL of the change from month 1 to each later month of one infarct."""
    first = {r.case.shape: r for r in rows if r.case.month == "M01"}
    for r in rows:
        if r.case.month != "M01" and r.case.shape in first:
            start = first[r.case.shape]
            yield (r.measured_ml - start.measured_ml) - (r.true_ml - start.true_ml)


def covered(rows: list[Row]) -> str:
    """Share of the rows whose truth lies between the low and the high volume."""
    return f"{np.mean([r.low_ml <= r.true_ml <= r.high_ml for r in rows]):.0%}"


def summary(rows: list[Row]) -> None:
    """Print what the table comes to: by grid and mask, by size, and apart from that."""
    for plan in sorted({r.case.plans[1] for r in rows}):
        here = [r for r in rows if r.case.plans[1] == plan]
        shown = [r for r in here if not r.case.series.endswith("vanished")]
        for title, kinds in (("exact", ("exact",)), ("inexact and own", (*INEXACT, "own DWI"))):
            total(f"{plan}, {title} masks", [r for r in shown if r.kind in kinds])
        for low, high in zip(SIZES_ML, SIZES_ML[1:], strict=False):
            total(f"{plan}, {low:g} to {high:g} mL", [r for r in shown if low < r.true_ml <= high])
        seconds = [r.cpu_s for r in here]
        print(
            f"{plan}: CPU of brain, registration and infarct: median {np.median(seconds):.1f} s, "
            f"longest {max(seconds):.1f} s"
        )
    apart(rows)


def total(title: str, rows: list[Row]) -> None:
    """Print one summary line."""
    if not rows:
        return
    errors = np.array([error_percent(r) for r in rows])
    large = [r for r in rows if r.true_ml >= LARGE_ML]
    worst = min((r.dice for r in large), default=float("nan"))
    size = np.abs(errors)
    print(
        f"{title}: n {len(rows)}, median Dice {np.median([r.dice for r in rows]):.3f}, worst from 1 mL "
        f"{worst:.2f}, |volume error| mean {size.mean():.1f} %, median {np.median(size):.1f} %, "
        f"bias {errors.mean():+.1f} %, truth within low-high {covered(rows)}"
    )


def apart(rows: list[Row]) -> None:
    """Print what became of vanished infarcts, new lesions and the baseline FLAIR."""
    gone = [r.measured_ml for r in rows if r.case.series.endswith("vanished")]
    if gone:
        print(f"vanished: n {len(gone)}, left mean {np.mean(gone):.2f} mL, at most {max(gone):.2f} mL")
    found = {r.case: r.new_ml for r in rows if r.new_ml[0] > 0}.values()
    if found:
        print(f"new lesions found: {sum(f > 0.5 * t for t, f in found)} of {len(found)} by half or more")
    baseline = [r.baseline_error for r in rows if r.baseline_error is not None and r.kind == "exact"]
    if baseline:
        print(
            f"baseline FLAIR where it is bright, exact mask: n {len(baseline)}, volume error median "
            f"{np.median(baseline):+.1f} %, absolute mean {np.abs(baseline).mean():.1f} %"
        )


if __name__ == "__main__":
    main()

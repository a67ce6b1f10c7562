"""Count how often the engine finds the transform from far starts.

The moving scan's header is turned and shifted at random, which moves the head in the scanner's world by as
much again as the pair's own transform; nothing else about the scan changes.

Example: python bench/registration_starts.py PAIRS [PAIRS ...] --starts 4
"""

from __future__ import annotations

import argparse
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from registration_motion import Matrix, carried, motion_about, rotation_about
from registration_table import Pair, chosen_pairs
from scipy.spatial.transform import Rotation

import infarct_vol as iv
from infarct_vol.geometry import Grid

SUCCESS_MM = 1.0
FAR_DEGREES = 30.0


@dataclass(frozen=True)
class Outcome:
    """One registration from one start."""

    name: str
    kind: str
    angle_degrees: float
    mean_mm: float
    verdict: str


def main() -> None:
    """Register every pair from several starts, print a table by kind and the failures."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("pairs", type=Path, nargs="+", help="folders made by registration_pairs.py")
    parser.add_argument("--starts", type=int, default=1, help="starts for every pair")
    parser.add_argument("--largest-angle", type=float, default=45.0, help="degrees")
    parser.add_argument("--largest-shift", type=float, default=60.0, help="mm")
    options = parser.parse_args()
    outcomes = list(registered(options))
    print("| pairs | registrations | turned over 30 degrees | under 1 mm | FAIL | median mm | worst mm |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for kind in sorted({outcome.kind for outcome in outcomes}) + ["all"]:
        of_kind = [o for o in outcomes if kind in (o.kind, "all")]
        errors = np.array([o.mean_mm for o in of_kind])
        far = sum(o.angle_degrees > FAR_DEGREES for o in of_kind)
        failed = sum(o.verdict == "FAIL" for o in of_kind)
        print(
            f"| {kind} | {len(of_kind)} | {far} | {int((errors < SUCCESS_MM).sum())} | {failed} "
            f"| {np.median(errors):.3f} | {errors.max():.3f} |"
        )
    for o in outcomes:
        if o.mean_mm >= SUCCESS_MM:
            print(f"- {o.name}: {o.mean_mm:.1f} mm off, turned by {o.angle_degrees:.0f} degrees: {o.verdict}")


def registered(options: argparse.Namespace) -> Iterator[Outcome]:
    """Register every pair from every start."""
    for root in options.pairs:
        for folder, kind in chosen_pairs(root).items():
            pair = Pair.read(folder, kind)
            fixed, moving = (iv.load_scan(folder / f"{name}.nii.gz") for name in ("fixed", "moving"))
            name = f"{root.name}/{pair.name}"
            for number in range(options.starts):
                rng = np.random.default_rng([number, zlib.crc32(name.encode())])
                move = random_move(rng, moving.grid, options.largest_angle, options.largest_shift)
                found = iv.register(fixed, carried(moving, move))
                truth = move @ pair.truth
                angle = float(np.degrees(Rotation.from_matrix(truth[:3, :3]).magnitude()))
                verdict = found.quality.verdict if found.quality else "none"
                mean_mm = float(pair.distances(found.matrix, truth).mean())
                yield Outcome(f"{name} start {number}", pair.kind, angle, mean_mm, verdict)


def random_move(rng: np.random.Generator, grid: Grid, largest_angle: float, largest_shift: float) -> Matrix:
    """Return a rigid move about the middle of a grid."""
    axis, direction = rng.normal(size=(2, 3))
    rotation = rotation_about(axis, rng.uniform(0, largest_angle))
    shift = direction / np.linalg.norm(direction) * rng.uniform(0, largest_shift)
    return motion_about(grid.middle_mm, rotation, shift)


if __name__ == "__main__":
    main()

"""Measure how well the displacement that a rigid fit leaves is told, on scans bent by a known amount.

The moving scan is stretched along its second axis around the frontal base of the head, as echo-planar images
are, by 0, 2 and 5 mm at the worst place.

Example: python bench/registration_remainder.py PAIRS
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from registration_table import Pair, chosen_pairs
from scipy import ndimage as ndi

import infarct_vol as iv
from infarct_vol.images import Scan

BEND_MM = (0.0, 2.0, 5.0)
CENTRE_MM, WIDTH_MM = np.array([0.0, 50.0, -10.0]), 30.0
HIGH = 0.95


def main() -> None:
    """Register every pair with every bend; print the true and the measured displacement by kind."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("pairs", type=Path, help="folder made by registration_pairs.py")
    options = parser.parse_args()
    rows: dict[tuple[str, float], list[tuple[float, float, float, float]]] = {}
    for folder, kind in chosen_pairs(options.pairs).items():
        pair = Pair.read(folder, kind)
        fixed, moving = (iv.load_scan(folder / f"{name}.nii.gz") for name in ("fixed", "moving"))
        for bend_mm in BEND_MM:
            quality = iv.register(fixed, bent(moving, bend_mm)).quality
            measured = quality.metrics if quality else {}
            there = pair.points @ pair.truth[:3, :3].T + pair.truth[:3, 3]
            true = bend(there - moving.grid.middle_mm, bend_mm)
            found = (measured["nonrigid_mm"], measured["nonrigid_p95_mm"])
            rows.setdefault((pair.kind, bend_mm), []).append(
                (float(np.sqrt((true**2).mean())), float(np.quantile(true, HIGH)), *found)
            )
    print("| pairs | bent by, mm | true: rms, 95 % | measured: rms, 95 % (median of the pairs) |")
    print("|---|---:|---|---|")
    for (kind, bend_mm), values in rows.items():
        a, b, c, d = np.median(np.array(values), axis=0)
        print(f"| {kind} ({len(values)}) | {bend_mm:g} | {a:.2f}, {b:.2f} | {c:.2f}, {d:.2f} |")


def bend(offset: np.ndarray, largest_mm: float) -> np.ndarray:
    """Displacement in mm at (..., 3) offsets from the middle."""
    return np.asarray(largest_mm * np.exp(-(((offset - CENTRE_MM) / WIDTH_MM) ** 2).sum(axis=-1)))


def bent(scan: Scan, largest_mm: float) -> Scan:
    """Stretch a scan along its second axis."""
    index = np.indices(scan.grid.shape, dtype=np.float32)
    places = scan.grid.to_world(np.moveaxis(index, 0, -1)) - scan.grid.middle_mm
    index[1] += bend(places, largest_mm) / scan.grid.spacing_mm[1]
    return scan.with_data(ndi.map_coordinates(scan.data, index, order=1, mode="nearest"))


if __name__ == "__main__":
    main()

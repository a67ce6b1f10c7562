"""Pairs of masks made of whole numbers alone, so that every environment makes the same ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

SHAPE = (44, 40, 18)
EXPECTED = Path(__file__).with_name("agreement_panoptica.json")


def ellipsoids(found: list[list[list[int]]]) -> np.ndarray:
    """Return the (44, 40, 18) mask of ellipsoids given as [centre, semi-axes] in voxels."""
    mask = np.zeros(SHAPE, dtype=bool)
    indices = np.indices(SHAPE)
    for centre, axes in found:
        # whole numbers up to the comparison: no rounding decides about a voxel
        product = int(np.prod(axes))
        squares = [
            (product // a * (indices[n] - c)) ** 2 for n, (c, a) in enumerate(zip(centre, axes, strict=True))
        ]
        mask |= sum(squares) <= product**2
    return mask


def drawn_cases() -> list[dict[str, Any]]:
    """Return twelve pairs: one lesion seen twice, several with misses and false finds, thick slices."""
    rng = np.random.default_rng(20260)
    cases = []
    for number in range(12):
        slots = rng.permutation(8)[: 1 + number // 2]
        reference, compared = [], []
        for slot in slots:
            centre = [int(9 + 12 * (slot % 3)), int(9 + 11 * (slot // 3)), int(rng.integers(6, 12))]
            axes = [int(a) for a in rng.integers(2, 5, 3)]
            # most are seen by both, moved and resized by a voxel; some by one alone
            seen = int(rng.integers(0, 5)) if len(slots) > 1 else 4
            if seen != 0:
                reference.append([centre, axes])
            if seen != 1:
                moved = [int(c + m) for c, m in zip(centre, rng.integers(-1, 2, 3), strict=True)]
                compared.append(
                    [moved, [int(max(2, a + g)) for a, g in zip(axes, rng.integers(-1, 2, 3), strict=True)]]
                )
        spacing_mm = [1.0, 1.0, 1.0] if number % 2 else [0.9, 1.1, 5.0]
        cases.append({"spacing_mm": spacing_mm, "reference": reference, "compared": compared})
    return cases


def expected_cases() -> list[dict[str, Any]]:
    """Return the pairs with what panoptica found for each."""
    return json.loads(EXPECTED.read_text(encoding="utf-8"))["cases"]

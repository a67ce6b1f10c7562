"""Masks with a known number of voxels on grids of every kind: the volume must be voxels x |det|."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from infarct_vol.geometry import MM3_PER_ML, Grid
from infarct_vol.images import LesionMask
from infarct_vol.measurement import measure
from infarct_vol.nifti import load_mask, save_mask
from infarct_vol.validation.results import Deviation, Observed

_SPACINGS_MM = ((1.0, 1.0, 1.0), (0.9, 0.9, 5.0), (1.2, 1.2, 6.5), (0.9375, 0.9375, 3.3))
_SHAPE = (23, 31, 17)


@dataclass(frozen=True)
class ExactTask:
    """Masks on ``grids`` random grids: straight and oblique, with flipped and permuted axes."""

    grids: int
    seed: int

    @property
    def name(self) -> str:
        """What the progress bar calls it."""
        return "exact volumes"

    def work(self) -> Observed:
        """Measure each mask as an object and again after it was a file."""
        rng = np.random.default_rng([self.seed, 11])
        with tempfile.TemporaryDirectory() as scratch:
            found = tuple(
                deviation
                for number in range(self.grids)
                for deviation in _deviations(number, rng, Path(scratch))
            )
        return Observed(deviations=found)


def _deviations(number: int, rng: np.random.Generator, folder: Path) -> Iterator[Deviation]:
    grid = _grid(number, rng)
    count = int(rng.integers(1, np.prod(_SHAPE)))
    data = np.zeros(np.prod(_SHAPE), dtype=bool)
    data[rng.permutation(data.size)[:count]] = True
    # the signed volume spelt out, so that the determinant of the measured code is not its own witness
    (a, b, c), (d, e, f), (g, h, i) = grid.affine[:3, :3].tolist()
    voxel_mm3 = abs(a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g))
    true_ml = count * voxel_mm3 / MM3_PER_ML
    mask = LesionMask(data.reshape(_SHAPE), grid)
    path = folder / f"mask{number}.nii.gz"
    save_mask(mask, path)
    for check, held in (("exact_object", mask), ("exact_file", load_mask(path))):
        error = abs(measure(held).volume_ml - true_ml) / true_ml
        yield Deviation(check=check, case=grid.describe(), value=error)


def _grid(number: int, rng: np.random.Generator) -> Grid:
    """Return a grid whose affine is exact in single precision, as files hold it."""
    turn = np.eye(3) if number % 3 == 0 else Rotation.random(random_state=rng).as_matrix()
    flips = rng.choice([-1.0, 1.0], 3)
    affine = np.eye(4)
    affine[:3, :3] = (turn * flips * _SPACINGS_MM[number % len(_SPACINGS_MM)])[:, rng.permutation(3)]
    affine[:3, 3] = rng.uniform(-120, 120, 3)
    return Grid(_SHAPE, affine.astype(np.float32).astype(np.float64))

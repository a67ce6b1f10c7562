"""The same scan again, and the same scan stored otherwise: the same voxels, one for one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from infarct_vol.cases import segment_acute
from infarct_vol.geometry import Grid
from infarct_vol.images import LesionMask, Scan
from infarct_vol.simulation.contrast import lesion_signal
from infarct_vol.simulation.phantom import BVALUE, build_phantom, diffusion_ratio, place_ellipsoid
from infarct_vol.validation.reference_objects import BASELINE_HOURS, head_on_grid, scan_of
from infarct_vol.validation.results import Deviation, Observed

Voxel = TypeVar("Voxel", bound=np.generic)

_SPACING_MM = (1.2, 1.2, 6.5)
_VOLUME_ML, _SNR = 12.0, 30.0


@dataclass(frozen=True)
class Storage:
    """Another order of the same voxels: axes permuted, then some of them flipped."""

    order: tuple[int, int, int]
    flips: tuple[bool, bool, bool]

    @property
    def name(self) -> str:
        """The order in words."""
        flipped = "".join("ijk"[axis] for axis in range(3) if self.flips[axis]) or "none"
        return f"axes {''.join('ijk'[axis] for axis in self.order)}, flipped {flipped}"

    def of(self, data: NDArray[Voxel]) -> NDArray[Voxel]:
        """Return an (I, J, K) array in this order."""
        return data.transpose(self.order)[tuple(slice(None, None, -1 if f else 1) for f in self.flips)]

    def grid(self, grid: Grid) -> Grid:
        """Return the grid of the array in this order: every voxel stays where it is."""
        affine = np.array(grid.affine)
        affine[:3, :3] = affine[:3, self.order]
        shape = tuple(grid.shape[axis] for axis in self.order)
        for axis, flipped in enumerate(self.flips):
            if flipped:
                affine[:3, 3] += affine[:3, axis] * (shape[axis] - 1)
                affine[:3, axis] *= -1
        return Grid((shape[0], shape[1], shape[2]), affine)

    def scan(self, scan: Scan) -> Scan:
        """Return a scan in this order."""
        return Scan(self.of(scan.data), self.grid(scan.grid), scan.identity)


_STORAGES = (
    Storage((0, 1, 2), (False, False, False)),
    Storage((0, 1, 2), (True, False, False)),
    Storage((0, 1, 2), (True, True, True)),
    Storage((2, 0, 1), (False, True, False)),
    Storage((1, 2, 0), (True, False, True)),
)


@dataclass(frozen=True)
class InvarianceTask:
    """One acute case segmented again, and stored in ``storages`` other orders (at most 4)."""

    storages: int
    seed: int

    @property
    def name(self) -> str:
        """What the progress bar calls it."""
        return "the same scan again and stored otherwise"

    def work(self) -> Observed:
        """Count voxels that differ from the first mask."""
        return Observed(deviations=tuple(self._deviations()))

    def _deviations(self) -> Iterator[Deviation]:
        rng = np.random.default_rng([self.seed, 12])
        head = head_on_grid(build_phantom(rng), _SPACING_MM, ("s0", "dwi"), rng, orientation="LAS")
        share = place_ellipsoid(_VOLUME_ML, rng, longest=1.2).fraction(head.grid, pose=head.pose)
        signal = lesion_signal(BASELINE_HOURS, lowest_adc_ratio=0.6)
        dwi = scan_of(head, "dwi", diffusion_ratio(signal), share, rng, snr=_SNR)
        b0 = scan_of(head, "s0", signal.s0, share, rng, snr=_SNR)
        brain = LesionMask(head.brain, head.grid)
        first = _segmented(dwi, b0, brain, _STORAGES[0])
        for storage in _STORAGES[: self.storages + 1]:
            again = _segmented(dwi, b0, brain, storage)
            differing = int(np.count_nonzero(again.data != storage.of(first.data)))
            check = "repeated" if storage is _STORAGES[0] else "stored_otherwise"
            yield Deviation(check=check, case=storage.name, value=differing)


def _segmented(dwi: Scan, b0: Scan, brain: LesionMask, storage: Storage) -> LesionMask:
    held = LesionMask(storage.of(brain.data), storage.grid(brain.grid))
    return segment_acute(storage.scan(dwi), b0=storage.scan(b0), bvalue=BVALUE, brain=held)

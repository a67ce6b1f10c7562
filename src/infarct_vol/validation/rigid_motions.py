"""Known motions of one head: they must be found again, and the way back must undo the way there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from infarct_vol.brain import brain_mask
from infarct_vol.registration import RigidTransform, register
from infarct_vol.simulation.fields import Field
from infarct_vol.simulation.phantom import build_phantom
from infarct_vol.validation.reference_objects import ORIENTATIONS, head_on_grid, scan_of
from infarct_vol.validation.results import Deviation, Observed

_SPACING_MM = (0.9, 0.9, 5.0)
_SNR = 30.0
_EVERY = 50


@dataclass(frozen=True)
class MotionTask:
    """FLAIR of one head in ``positions`` random positions, each registered to the first, there and back."""

    positions: int
    seed: int

    @property
    def name(self) -> str:
        """What the progress bar calls it."""
        return "known motions"

    def work(self) -> Observed:
        """Return mean errors over the brain in mm."""
        return Observed(deviations=tuple(self._deviations()))

    def _deviations(self) -> Iterator[Deviation]:
        rng = np.random.default_rng([self.seed, 13])
        phantom = build_phantom(rng)
        first, *others = (
            head_on_grid(phantom, _SPACING_MM, ("flair",), rng, orientation=ORIENTATIONS[n % 3])
            for n in range(self.positions + 1)
        )
        points = first.grid.to_world(np.argwhere(first.brain)[::_EVERY])
        fixed = scan_of(first, "flair", 1.0, _nothing(first.brain.shape), rng, snr=_SNR)
        fixed_brain = brain_mask(fixed)
        for number, head in enumerate(others, start=1):
            moving = scan_of(head, "flair", 1.0, _nothing(head.brain.shape), rng, snr=_SNR)
            brain = brain_mask(moving)
            there = register(fixed, moving, fixed_brain=fixed_brain, moving_brain=brain)
            back = register(moving, fixed, fixed_brain=brain, moving_brain=fixed_brain)
            known = RigidTransform(head.pose @ np.linalg.inv(first.pose))
            shift_mm = known.shift_mm(points.mean(axis=0))
            case = f"motion {number}: {known.angle_deg:.1f} degrees, {shift_mm:.1f} mm"
            error = float(there.distance_mm(known, points).mean())
            returned = np.linalg.norm(back.apply(there.apply(points)) - points, axis=1)
            yield Deviation(check="motion", case=case, value=error)
            yield Deviation(check="way_back", case=case, value=float(returned.mean()))


def _nothing(shape: tuple[int, ...]) -> Field:
    return np.zeros(shape, dtype=np.float32)

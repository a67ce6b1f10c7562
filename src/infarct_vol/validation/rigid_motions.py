"""Known motions of one head: they must be found again, and the way back must undo the way there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from infarct_vol.brain import brain_mask
from infarct_vol.images import BrainMask, Identity, Scan
from infarct_vol.registration import RigidTransform, register
from infarct_vol.simulation.acquisition import Matrix
from infarct_vol.simulation.patient import Patient, at_visit, build_patient
from infarct_vol.simulation.scanner import position_flair, scan_flair
from infarct_vol.simulation.scenarios import VisitPlan
from infarct_vol.validation.digital_patients import again, planned
from infarct_vol.validation.results import Deviation, Observed

_EVERY = 50


@dataclass(frozen=True)
class MotionTask:
    """FLAIR of one digital patient in ``positions`` other positions of the head, and in its first.

    The head is that of the first participant; it turns by up to 7 degrees and shifts by up to 20 mm against
    a first position that differs too. Nothing else changes.
    """

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
        plan = planned(0, seed=self.seed)
        patient = build_patient(plan)
        fixed = _lying(patient, plan.visits[0])
        points = fixed.scan.grid.to_world(np.argwhere(fixed.brain.data)[::_EVERY])
        for number in range(self.positions):
            moved = replace(patient, plan=again(plan, times=number))
            moving = _lying(moved, plan.visits[1 + number % 3])
            yield from _compared(fixed, moving, points)


@dataclass(frozen=True)
class _Lying:
    """A FLAIR, its brain, and where the head lay; ``pose`` maps head space to scanner space."""

    scan: Scan
    brain: BrainMask
    pose: Matrix


def _lying(patient: Patient, visit: VisitPlan) -> _Lying:
    """Scan a patient as he was at baseline, in the position of a visit."""
    state, _ = at_visit(patient, patient.plan.visits[0])
    position = position_flair(patient, visit)
    image = scan_flair(patient, state, visit, position)
    scan = Scan(image, position.grid, Identity(modality="flair"))
    return _Lying(scan, brain_mask(scan), position.pose)


def _compared(fixed: _Lying, moving: _Lying, points: Matrix) -> Iterator[Deviation]:
    there = register(fixed.scan, moving.scan, fixed_brain=fixed.brain, moving_brain=moving.brain)
    back = register(moving.scan, fixed.scan, fixed_brain=moving.brain, moving_brain=fixed.brain)
    known = RigidTransform(moving.pose @ np.linalg.inv(fixed.pose))
    case = f"{known.angle_deg:.1f} degrees, {known.shift_mm(points.mean(axis=0)):.1f} mm"
    error = float(there.distance_mm(known, points).mean())
    returned = np.linalg.norm(back.apply(there.apply(points)) - points, axis=1)
    yield Deviation(check="motion", case=case, value=error)
    yield Deviation(check="way_back", case=case, value=float(returned.mean()))

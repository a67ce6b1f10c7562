"""What a verification consists of: the tasks of the full and of the quick set."""

from __future__ import annotations

from typing import Protocol

from infarct_vol.validation.digital_patients import RetestTask, TrialTask
from infarct_vol.validation.exact_volumes import ExactTask
from infarct_vol.validation.invariance import InvarianceTask
from infarct_vol.validation.reference_objects import ObjectTask
from infarct_vol.validation.results import Observed
from infarct_vol.validation.rigid_motions import MotionTask

_ISOTROPIC, _ISOTROPIC_2, _USUAL, _THICK = (1.0, 1.0, 1.0), (2.0, 2.0, 2.0), (0.9, 0.9, 5.0), (1.2, 1.2, 6.5)
_ACUTE_ML = (0.1, 0.2, 0.4, 0.8, 1.5, 2.5, 4.0, 7.0, 12.0, 18.0, 30.0, 50.0, 80.0, 100.0)
_FOLLOWUP_ML = (0.8, 2.5, 7.0, 18.0, 50.0, 40.0, 100.0)
_SAMPLE_LABELS = ("sub-002", "sub-003")


class Task(Protocol):
    """An independent piece of a verification, small enough to send to a worker."""

    @property
    def name(self) -> str:
        """What the progress bar calls it."""

    def work(self) -> Observed:
        """Do it."""


def tasks(*, quick: bool, seed: int) -> tuple[Task, ...]:
    """Return the tasks of a verification, the longest first."""
    return _quick(seed) if quick else _full(seed)


def _full(seed: int) -> tuple[Task, ...]:
    return (
        TrialTask(4, seed),
        *(RetestTask(number, (1.0, 0.4, 0.15, 0.05), seed) for number in (0, 2, 3)),
        ObjectTask("acute", _ISOTROPIC, (0.8, 12.0), seed),
        *(ObjectTask("acute", spacing, _ACUTE_ML, seed) for spacing in (_USUAL, _THICK, _ISOTROPIC_2)),
        *(ObjectTask("followup", spacing, _FOLLOWUP_ML, seed) for spacing in (_USUAL, _THICK)),
        MotionTask(6, seed),
        InvarianceTask(4, seed),
        ExactTask(48, seed),
    )


def _quick(seed: int) -> tuple[Task, ...]:
    return (
        TrialTask(0, seed, _SAMPLE_LABELS),
        RetestTask(2, (1.0, 0.4), seed),
        ObjectTask("acute", _THICK, (0.4, 2.5, 12.0, 30.0, 80.0), seed),
        ObjectTask("followup", _THICK, (2.5, 12.0, 50.0), seed),
        MotionTask(1, seed),
        InvarianceTask(1, seed),
        ExactTask(16, seed),
    )

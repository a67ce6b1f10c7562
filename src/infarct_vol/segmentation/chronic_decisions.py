"""Why a voxel is in a follow-up mask or not."""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from infarct_vol.segmentation.chronic import FollowUpTrace
from infarct_vol.segmentation.chronic_lesion import bright_seeds, sure_bright


class FollowUpDecision(IntEnum):
    """What was decided about a voxel; ``SEED``, ``RIM`` and ``CAVITY`` are in the mask."""

    OUTSIDE = 0
    FAR = 1
    REGION = 2
    BASELINE = 3
    NOT_JOINED = 4
    SEED = 5
    RIM = 6
    CAVITY = 7
    NEW_LESION = 8


def followup_decisions(trace: FollowUpTrace) -> NDArray[np.uint8]:
    """Return the `FollowUpDecision` of every voxel of the canonical box, as (X, Y, Z) uint8."""
    e, settings = trace.evidence, trace.settings
    part = {name: trace.frame.take(mask.data) for name, mask in trace.mask.parts.items()}
    reasons = [
        (part["cavity"], FollowUpDecision.CAVITY),
        (part["rim"] & bright_seeds(e, settings), FollowUpDecision.SEED),
        (part["rim"], FollowUpDecision.RIM),
        (part["new_lesion"], FollowUpDecision.NEW_LESION),
        (sure_bright(e, settings), FollowUpDecision.NOT_JOINED),
        (e.near, FollowUpDecision.BASELINE),
        (e.brain & (e.distance_mm <= settings.region_mm), FollowUpDecision.REGION),
        (e.brain, FollowUpDecision.FAR),
    ]
    codes = [np.uint8(code) for _, code in reasons]
    return np.select([where for where, _ in reasons], codes, np.uint8(FollowUpDecision.OUTSIDE))

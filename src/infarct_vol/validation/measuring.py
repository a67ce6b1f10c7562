"""One lesion of known volume through a method, with what became of it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from infarct_vol.errors import InfarctVolError
from infarct_vol.images import LesionMask
from infarct_vol.measurement import measure
from infarct_vol.validation.overlap import compare_masks
from infarct_vol.validation.results import VolumeCase


def measured_case(
    case: VolumeCase, segment: Callable[[], LesionMask], *, share: NDArray[np.float32]
) -> VolumeCase:
    """Return a case with volume, limits and Dice, or with the reason why it has none.

    Parameters
    ----------
    case
        The case, with its true volume.
    segment
        Segments the lesion; what it refuses becomes the reason.
    share
        (I, J, K) true share of lesion in every voxel; voxels with half of it or more are the true mask.
    """
    try:
        mask = segment()
    except InfarctVolError as error:
        return case.model_copy(update={"reason": str(error)})
    volume = measure(mask)
    truth = LesionMask(share >= 0.5, mask.grid, method="truth")
    return case.model_copy(
        update={
            "measured_ml": volume.volume_ml,
            "low_ml": volume.volume_ml_low,
            "high_ml": volume.volume_ml_high,
            "dice": compare_masks(truth, mask).dice,
        }
    )

"""Where an infarct ends: half of its own contrast, so that partial volume neither adds nor loses volume."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from infarct_vol.segmentation.cleanup import distance_to_mm
from infarct_vol.segmentation.reference import weighted_mean

Volume = NDArray[np.float32]
Mask = NDArray[np.bool_]


def lesion_fraction(
    brightness: Volume,
    adc_change: Volume | None,
    *,
    brightness_sd: Volume,
    adc_change_sd: Volume | None,
    core: Mask,
    core_weight: Volume,
    level_mm: float,
    reach_mm: float,
    spacing_mm: NDArray[np.float64],
) -> Volume:
    """Share of the local lesion contrast that each voxel shows: 0 normal, 1 like the core nearby.

    Parameters
    ----------
    brightness, adc_change
        (X, Y, Z) log DWI and log ADC against their references.
    brightness_sd, adc_change_sd
        (X, Y, Z) spread in normal tissue: the quieter feature has the larger say (Fisher's discriminant).
    core
        Voxels with strong evidence; the lesion's level is their local mean.
    core_weight
        (X, Y, Z) positive in the core; full voxels weigh more in that mean than partial ones.
    level_mm
        Standard deviation of the Gaussian of that mean.
    reach_mm
        Voxels farther than this from the core have fraction 0: growth is bounded.
    spacing_mm
        (3,) voxel spacing.
    """
    if not core.any():
        return np.zeros_like(brightness)
    weight = np.where(core, core_weight, 0).astype(np.float32)
    # signals mix linearly in a voxel, their logarithms do not
    excess = np.expm1(np.maximum(brightness, np.float32(-0.7)))
    parts = [(excess, brightness_sd)]
    if adc_change is not None and adc_change_sd is not None:
        parts.append((adc_change, adc_change_sd))
    shown = np.zeros_like(brightness)
    full = np.zeros_like(brightness)
    for feature, spread in parts:
        level = weighted_mean(feature, weight, sigma_mm=level_mm, spacing_mm=spacing_mm)
        gain = level / (spread * spread)
        shown += feature * gain
        full += level * gain
    near = distance_to_mm(core, spacing_mm) <= reach_mm
    return np.where(near & (brightness > 0), shown / np.maximum(full, 1e-6), 0).astype(np.float32)

"""The simple rules everybody knows, as the bench compares them: one threshold, no clean-up."""

from __future__ import annotations

import numpy as np
from skimage.filters import threshold_otsu

from infarct_vol.images import BrainMask, LesionMask, Scan

ADC_LIMIT_UM2_PER_S = 620.0
# at or below this an ADC is noise
INVALID_UM2_PER_S = 50.0
DWI_Z = 2.0


def adc_620(dwi: Scan, adc: Scan, brain: BrainMask) -> LesionMask:
    """ADC at most 620e-6 mm2/s inside the brain."""
    low = (adc.data > INVALID_UM2_PER_S) & (adc.data <= ADC_LIMIT_UM2_PER_S)
    return LesionMask(brain.data & low, dwi.grid, method="ADC <= 620")


def z_above_two(dwi: Scan, adc: Scan, brain: BrainMask) -> LesionMask:
    """DWI more than 2 SD above the brain's mean."""
    values = dwi.data[brain.data]
    bright = dwi.data > values.mean() + DWI_Z * values.std()
    return LesionMask(brain.data & bright, dwi.grid, method="DWI z > 2")


def otsu(dwi: Scan, adc: Scan, brain: BrainMask) -> LesionMask:
    """DWI above Otsu's threshold inside the brain."""
    bright = dwi.data > threshold_otsu(np.asarray(dwi.data[brain.data]))
    return LesionMask(brain.data & bright, dwi.grid, method="Otsu")

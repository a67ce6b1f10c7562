"""How much more likely an acute infarct is than normal tissue, voxel by voxel.

Two features per voxel: log DWI over its local reference, and log ADC over the brain's usual ADC, each in
units of its local spread. Normal tissue is a heavy-tailed cloud round zero; an infarct is the same cloud
moved by physics: an ADC ratio r and a T2 effect t move log ADC by ln r and log DWI by t + b ADC (1 - r).
T2 shine-through moves log DWI alone and counts as normal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float32]

# log DWI excess of T2 shine-through: 1.2, 1.5 and 1.8 times normal
SHINE_THROUGH = (0.2, 0.4, 0.6)
# the shifts above are samples of a continuum: a spread narrower than their spacing would see gaps in it
GRAIN = np.float32(0.06)


@dataclass(frozen=True, eq=False)
class Features:
    """Features of N tissue voxels.

    Parameters
    ----------
    brightness
        (N,) log DWI minus its local reference.
    brightness_sd
        (N,) local spread of ``brightness`` in normal tissue.
    adc_change
        (N,) log ADC minus log of the brain's usual ADC; ``None`` without an ADC map.
    adc_change_sd
        (N,) local spread of ``adc_change``; ``None`` without an ADC map.
    correlation
        Correlation of both standardised features in normal tissue.
    """

    brightness: Values
    brightness_sd: Values
    adc_change: Values | None
    adc_change_sd: Values | None
    correlation: float


@dataclass(frozen=True)
class LesionModel:
    """What an infarct may look like; see `AcuteSettings` for sources."""

    adc_ratios: tuple[float, ...]
    t2_effects: tuple[float, ...]
    shine_through_share: float
    tail_freedom: float
    # b-value times usual ADC, without unit
    diffusion_weight: float


def log_likelihood_ratio(features: Features, model: LesionModel) -> Values:
    """Return the (N,) natural log of p(features | infarct) / p(features | normal or shine-through)."""
    lesion_shifts = [
        (t2 + model.diffusion_weight * (1.0 - ratio), float(np.log(ratio)))
        for ratio in model.adc_ratios
        for t2 in model.t2_effects
    ]
    lesion = _mixture(features, lesion_shifts, freedom=model.tail_freedom)
    normal = _mixture(features, [(0.0, 0.0)], freedom=model.tail_freedom)
    if features.adc_change is not None and model.shine_through_share > 0:
        share = model.shine_through_share
        shine = _mixture(features, [(t2, 0.0) for t2 in SHINE_THROUGH], freedom=model.tail_freedom)
        normal = np.logaddexp(normal + np.float32(np.log1p(-share)), shine + np.float32(np.log(share)))
    return np.asarray(lesion - normal, dtype=np.float32)


def _mixture(features: Features, shifts: Sequence[tuple[float, float]], *, freedom: float) -> Values:
    """Log density, up to a constant, of an equal mixture of shifted Student-t clouds."""
    total: Values | None = None
    for bright, adc in shifts:
        term = _log_student(features, bright, adc, freedom=freedom)
        total = term if total is None else np.logaddexp(total, term)
    if total is None:
        msg = "a mixture needs at least one shift"
        raise ValueError(msg)
    return total - np.float32(np.log(len(shifts)))


def _log_student(features: Features, bright: float, adc: float, *, freedom: float) -> Values:
    a = (features.brightness - np.float32(bright)) / np.maximum(features.brightness_sd, GRAIN)
    if features.adc_change is None or features.adc_change_sd is None:
        return np.asarray(-(freedom + 1) / 2 * np.log1p(a * a / np.float32(freedom)), dtype=np.float32)
    c = (features.adc_change - np.float32(adc)) / np.maximum(features.adc_change_sd, GRAIN)
    rho = np.float32(features.correlation)
    squared = (a * a - 2 * rho * a * c + c * c) / (1 - rho * rho)
    return np.asarray(-(freedom + 2) / 2 * np.log1p(squared / np.float32(freedom)), dtype=np.float32)

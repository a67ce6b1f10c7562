"""Units of ADC maps: everything is held in 1e-6 mm2/s, which is um2/s."""

from __future__ import annotations

import math
import re

import numpy as np

from infarct_vol.errors import UnitError
from infarct_vol.images import BrainMask, Scan, require_same_grid

_UM2_PER_S = {
    "mm2/s": 1e6,
    "um2/s": 1.0,
    "um2/ms": 1e3,
    "cm2/s": 1e8,
    "m2/s": 1e12,
}
_INFERRED = ((300.0, 3000.0, 1.0), (0.3, 3.0, 1e3), (0.0003, 0.003, 1e6))
"""Brain median as stored, from and to, and the factor to 1e-6 mm2/s."""
_NAMES = {1.0: "1e-6 mm2/s", 1e3: "1e-3 mm2/s", 1e6: "mm2/s"}
_TYPICAL_UM2_PER_S = 850.0
"""Typical ADC of adult brain tissue."""
_CONTRADICTION = 10.0
"""A brain median outside 300-3000 by more than this factor contradicts the stated unit."""


def adc_factor(unit: str) -> float:
    """Return what to multiply an ADC in ``unit`` by to hold it in 1e-6 mm2/s.

    Understood are mm2/s, um2/s, um2/ms, cm2/s and m2/s, with a power of ten in front (``1e-3 mm2/s``,
    ``10^-6 mm^2/s``, ``x10-3 mm²/s``) and the usual spellings (``mm²·s⁻¹``, ``mm2/sec``).

    Raises
    ------
    UnitError
        If the text is none of these.
    """
    text = unit.strip().lower().translate(_PLAIN)
    text = re.sub(r"[\s^*·_]", "", text)
    match = _UNIT.fullmatch(text)
    if match is None:
        msg = (
            f"ADC unit {unit!r} is not understood; expected one such as 'mm2/s', '1e-3 mm2/s' or '1e-6 mm2/s'"
        )
        raise UnitError(msg)
    exponent = match["e"] or match["ten"] or "0"
    length, time = match["length"], "ms" if match["time"] == "ms" else "s"
    return 10.0 ** int(exponent) * _UM2_PER_S[f"{length}2/{time}"]


def to_um2_per_s(adc: Scan, brain: BrainMask | None = None, *, unit: str | None = None) -> Scan:
    """Bring an ADC map to 1e-6 mm2/s; the factor is written into the remarks.

    Parameters
    ----------
    adc
        ADC map in any unit. Negative voxels are kept as they are, scaled, and counted in the remarks.
    brain
        Brain mask on the same grid; without one the median is taken over all positive voxels.
    unit
        The stated unit, which wins. Without it the unit is inferred from the brain median: 300-3000 is
        1e-6 mm2/s, 0.3-3 is 1e-3 mm2/s, 0.0003-0.003 is mm2/s.

    Returns
    -------
    Scan
        ADC in 1e-6 mm2/s on the same grid.

    Raises
    ------
    UnitError
        If no unit can be inferred, or the stated one contradicts the brain median by orders of magnitude.
    GridMismatchError
        If the brain mask is on another grid.
    """
    factor, source = settled_factor(adc, brain, unit=unit)
    remarks = [f"ADC unit {_NAMES.get(factor, unit)} ({source}), multiplied by {factor:g} to 1e-6 mm2/s"]
    negative = int(np.count_nonzero(adc.data < 0))
    if negative:
        remarks.append(f"{negative} negative ADC voxels, kept")
    return adc.with_data(adc.data * np.float32(factor), remark="; ".join(remarks))


def settled_factor(
    adc: Scan, brain: BrainMask | None = None, *, unit: str | None = None
) -> tuple[float, str]:
    """Return what to multiply an ADC map by to hold it in 1e-6 mm2/s, and how that is known.

    Parameters and errors as `to_um2_per_s`.
    """
    median = _brain_median(adc, brain)
    if unit is None:
        return _inferred_factor(median, adc), f"inferred from the brain median {median:.4g}"
    factor = adc_factor(unit)
    _require_consistent(median, factor, unit, adc)
    return factor, "stated"


_UNIT = re.compile(
    r"(?:1?(?:\.0+)?e(?P<e>[+-]?\d{1,2})|[x1]?x?10\(?(?P<ten>[+-]?\d{1,2})\)?)?"
    r"(?P<length>mm|um|cm|m)2(?:/(?P<time>ms|sec|s)|(?:s|sec)-1)"
)
_PLAIN = str.maketrans("µμ²⁰¹³⁴⁵⁶⁷⁸⁹⁻−×", "uu20134567" + "89--x")


def _brain_median(adc: Scan, brain: BrainMask | None) -> float:
    usable = np.isfinite(adc.data)
    if brain is None:
        usable &= adc.data > 0
    else:
        require_same_grid(adc, brain, what="ADC map and brain mask")
        usable &= brain.data & (adc.data != 0)
    if not usable.any():
        msg = "the ADC map holds no value in the brain; export it again"
        raise UnitError(msg, where=str(adc.identity))
    return float(np.median(adc.data[usable]))


def _inferred_factor(median: float, adc: Scan) -> float:
    for low, high, factor in _INFERRED:
        if low <= median <= high:
            return factor
    msg = (
        f"the unit of the ADC map cannot be inferred: its brain median is {median:.4g}, expected 300-3000 "
        f"(1e-6 mm2/s), 0.3-3 (1e-3 mm2/s) or 0.0003-0.003 (mm2/s); {_likely(median)}"
    )
    raise UnitError(msg, where=str(adc.identity))


def _require_consistent(median: float, factor: float, unit: str, adc: Scan) -> None:
    scaled = median * factor
    if 300.0 / _CONTRADICTION <= scaled <= 3000.0 * _CONTRADICTION:
        return
    msg = (
        f"the stated ADC unit {unit!r} makes the brain median {scaled:.4g} x 1e-6 mm2/s, expected 300 to "
        f"3000; {_likely(median)}. Correct the unit in the sidecar, manifest or protocol"
    )
    raise UnitError(msg, where=str(adc.identity))


def _likely(median: float) -> str:
    if median <= 0:
        return "it is not positive, so this is not an ADC map of a brain"
    exponent = round(math.log10(_TYPICAL_UM2_PER_S / median))
    name = _NAMES.get(10.0**exponent, f"1e{exponent - 6} mm2/s")
    return f"the values look like {name}"

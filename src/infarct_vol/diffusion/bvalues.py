"""What is stated of the diffusion weighting of an image, and which of several statements holds.

b-values are in s/mm2.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from infarct_vol.errors import DiffusionError
from infarct_vol.files import sidecar_number

B0_MAX = 50.0
"""Weightings up to this count as b0 (scanners write 0, 5 or 50 for it)."""
HIGHEST_BVALUE = 1e5
"""No scanner of the head reaches this; a larger number is a flag of the vendor or not a b-value."""
GE_BIAS = 1e9
"""GE adds this to b-values of some sequences, and converters pass it on (rordenlab/dcm2niix#149)."""
SAME_BVALUE = 0.01
"""Statements that differ by more than this share contradict each other."""
FIELDS = ("DiffusionBValue", "b-value", "bvalue")
_UNITS = {
    unit: factor
    for factor, names in ((1.0, ("s/mm2", "sec/mm2", "smm-2")), (1e3, ("ms/um2", "msum-2")))
    for unit in names
}


class StatedBValue(NamedTuple):
    """One b-value and where it is stated."""

    bvalue: float
    source: str


def plain_bvalues(stated: NDArray[np.float64], *, what: str, where: str) -> tuple[NDArray[np.float64], bool]:
    """Return b-values without the vendor's flag, and whether any had one.

    Raises
    ------
    DiffusionError
        If a number is negative, undefined or larger than any b-value.
    """
    if not np.isfinite(stated).all() or (stated < 0).any():
        msg = f"{what}: negative or undefined b-values; export them again"
        raise DiffusionError(msg, where=where)
    flagged = (stated >= GE_BIAS) & (stated <= GE_BIAS + HIGHEST_BVALUE)
    plain = np.where(flagged, stated - GE_BIAS, stated)
    if (plain > HIGHEST_BVALUE).any():
        msg = (
            f"{what}: {plain.max():.10g} is not a b-value in s/mm2; if it carries a flag of the vendor, "
            "write the b-value alone"
        )
        raise DiffusionError(msg, where=where)
    return plain, bool(flagged.any())


def vendor_flag(what: str) -> str:
    """Return the sentence for a reader about b-values that carried a vendor's flag."""
    return f"{what}: 1e9, which GE adds to b-values, was taken off"


def sidecar_bvalues(sidecar: Mapping[str, object], *, where: str = "") -> tuple[StatedBValue, ...]:
    """Return every b-value a sidecar states, as it is written there.

    Raises
    ------
    HeaderError
        If a field holds something else than one number.
    """
    found = ((field, sidecar_number(sidecar, field, units=_UNITS, where=where)) for field in FIELDS)
    return tuple(StatedBValue(value, f"sidecar field {field}") for field, value in found if value is not None)


def sidecar_bvalue(sidecar: Mapping[str, object], *, where: str = "") -> float | None:
    """Return the b-value a sidecar states without the vendor's flag; ``None`` where it states none."""
    stated = sidecar_bvalues(sidecar, where=where)
    if not stated:
        return None
    return float(plain_bvalues(np.array([stated[0].bvalue]), what=stated[0].source, where=where)[0][0])


def settled_bvalue(
    stated: Sequence[StatedBValue], *, needed: bool, flags: list[str], where: str
) -> float | None:
    """Return the one b-value of an image; the first statement wins.

    Parameters
    ----------
    stated
        What is stated, the most trusted first.
    needed
        Whether an ADC is computed from it: then a contradiction is refused, else it is a flag.
    flags
        Takes a sentence for the reader.

    Raises
    ------
    DiffusionError
        If a number is no b-value, or statements that are needed contradict each other.
    """
    plain = []
    for bvalue, source in stated:
        value, flagged = plain_bvalues(np.array([bvalue]), what=source, where=where)
        flags.extend([vendor_flag(source)] if flagged else [])
        plain.append(StatedBValue(float(value[0]), source))
    for other in plain[1:]:
        if is_same_bvalue(plain[0].bvalue, other.bvalue):
            continue
        found = (
            f"b-value: {plain[0].source} says {plain[0].bvalue:g} s/mm2, {other.source} says {other.bvalue:g}"
        )
        if needed:
            msg = (
                f"{found}; the ADC computed from it would be wrong by as much. Correct the one that is wrong"
            )
            raise DiffusionError(msg, where=where)
        flags.append(f"{found}; no ADC is computed from it")
    return plain[0].bvalue if plain else None


def is_same_bvalue(first: float, second: float) -> bool:
    """Tell whether two statements of a b-value mean one weighting."""
    return abs(first - second) <= SAME_BVALUE * max(first, second)

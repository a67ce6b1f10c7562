"""One session's diffusion images, whatever files they came in, as trace + ADC + b0."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from skimage.filters import threshold_otsu

from infarct_vol.diffusion.adc import adc_from_dwi, compare_adc, onto_grid
from infarct_vol.diffusion.belonging import require_pair
from infarct_vol.diffusion.bvalues import (
    B0_MAX,
    FIELDS,
    StatedBValue,
    is_same_bvalue,
    settled_bvalue,
    sidecar_bvalue,
    sidecar_bvalues,
)
from infarct_vol.diffusion.series import (
    DiffusionSeriesLike,
    SeriesImages,
    images_from_series,
    require_dark_weighting,
)
from infarct_vol.diffusion.units import to_um2_per_s
from infarct_vol.errors import DiffusionError
from infarct_vol.images import BrainMask, Scan, require_same_grid
from infarct_vol.protocol import CheckSettings

BrainFinder = Callable[[Scan], BrainMask]
_UNIT_FIELDS = ("Units", "ADCUnits")
_NO_UNIT = ("", "n/a", "none", "unknown", "arbitrary", "a.u.", "au")
_USUAL_ADC_UM2_PER_S = (600.0, 1050.0)
"""Median ADC of bright DWI tissue; 728 to 882 on the real and digital scans that were looked at."""
_NEGATIVE_SHARE = 0.05
"""Share of the tissue's level by which noise and resampling take an image below zero, at most."""


@dataclass(frozen=True, eq=False)
class DiffusionSet:
    """Diffusion images of one session, ready to be segmented.

    Parameters
    ----------
    dwi
        Trace image.
    adc
        ADC in 1e-6 mm2/s on the DWI's grid; None if there is none and it cannot be computed.
    b0
        Image without diffusion weighting; None if there is none.
    bvalue
        b-value of ``dwi`` in s/mm2; None where it is not known and was not needed.
    flags
        Sentences for the reader who reviews the visit.
    """

    dwi: Scan
    adc: Scan | None
    b0: Scan | None
    bvalue: float | None
    flags: tuple[str, ...] = ()


def assemble_diffusion(
    *,
    dwi: Scan | None = None,
    adc: Scan | None = None,
    b0: Scan | None = None,
    series: DiffusionSeriesLike | None = None,
    bvalue: float | None = None,
    usual_bvalue: float | None = None,
    adc_unit: str | None = None,
    brain: BrainMask | BrainFinder | None = None,
    checks: CheckSettings | None = None,
) -> DiffusionSet:
    """Bring a session's diffusion files together.

    A supplied ADC map wins over a computed one, and is compared with it where both can be had. The unit a
    sidecar states wins over ``adc_unit``. Statements of the b-value that contradict each other are refused
    where an ADC is computed from it, and flagged elsewhere.

    Parameters
    ----------
    dwi, series
        A three-dimensional trace image or a series; exactly one of them.
    adc, b0
        Supplied ADC map (any unit) and b0 image.
    bvalue
        b-value stated for this image (manifest, ``--bvalue``), in s/mm2.
    usual_bvalue
        b-value of images for which none is stated (protocol).
    adc_unit
        Unit of ``adc`` where its sidecar states none; neither: inferred from the brain median.
    brain
        Brain mask of the DWI, or a function that makes one. Without it bright DWI tissue stands in.
    checks
        Limits of b-values and of the agreement of ADC maps.

    Raises
    ------
    DiffusionError
        If there is no trace image, the b-value needed for an ADC is not known, or b0 and DWI are swapped.
    UnitError
        If the unit of the ADC map cannot be settled.
    PairError
        If ADC map or b0 image are of another head, place or examination than the DWI.
    GridMismatchError
        If an ADC must be computed from b0 and DWI on different grids.
    """
    checks = checks or CheckSettings()
    given = _weighted_image(dwi, series, bvalue)
    dwi, own_b0, computed, flags = given.dwi, given.b0, given.adc, list(given.flags)
    needed = adc is None and (own_b0 or b0) is not None
    bvalue = settled_bvalue(given.stated, needed=needed, flags=flags, where=str(dwi.identity))
    bvalue = _or_usual(bvalue, None if series is not None else usual_bvalue, flags)
    _require_weighted(dwi, bvalue)
    if computed is None:
        computed = _computed_adc(dwi, b0, bvalue, flags, needed=needed)
    mask = tissue_of(dwi, brain)
    if computed is not None:
        _require_decay(computed, dwi, own_b0 or b0, series, mask)
    if b0 is not None and own_b0 is None:
        flags.extend(_paired_b0(dwi, b0, mask, checks))
    if bvalue is not None and not checks.bvalue_warn_low <= bvalue <= checks.bvalue_warn_high:
        limits = f"{checks.bvalue_warn_low:g}-{checks.bvalue_warn_high:g}"
        flags.append(f"b-value {bvalue:g} s/mm2 is outside {limits}, where the method was measured")
    if adc is not None:
        supplied = _supplied_adc(adc, dwi, mask, adc_unit, flags)
        flags.extend(require_pair(dwi, supplied, tissue=mask, checks=checks))
        if computed is not None:
            _compare(supplied, computed, mask, limit_percent=checks.adc_agreement_percent, flags=flags)
        computed = supplied
    elif computed is not None:
        flags.extend(_unusual(computed, mask))
    if computed is None:
        flags.append("no ADC map and no b0 image: T2 shine-through cannot be told from acute infarct")
    return DiffusionSet(_with_bvalue(dwi, bvalue), computed, own_b0 or b0, bvalue, tuple(flags))


class _Weighted(NamedTuple):
    """The trace image, what else its series holds, and what is stated of its weighting."""

    dwi: Scan
    b0: Scan | None
    adc: Scan | None
    stated: tuple[StatedBValue, ...]
    flags: tuple[str, ...]


def _weighted_image(dwi: Scan | None, series: DiffusionSeriesLike | None, bvalue: float | None) -> _Weighted:
    given = () if bvalue is None else (StatedBValue(bvalue, "the b-value given for this image"),)
    if series is not None and dwi is None:
        images = images_from_series(series)
        stated = (*_series_bvalues(series, images), *given)
        return _Weighted(images.trace, images.b0, images.adc, stated, images.flags)
    if dwi is not None and series is None:
        return _Weighted(
            dwi, None, None, (*sidecar_bvalues(dwi.sidecar, where=str(dwi.identity)), *given), ()
        )
    msg = "give either a trace image or a diffusion series, not both or neither"
    raise DiffusionError(msg)


def _with_bvalue(dwi: Scan, bvalue: float | None) -> Scan:
    """Return a DWI with its settled b-value in one place for all that read it later."""
    return dwi if bvalue is None else replace(dwi, sidecar={**dwi.sidecar, "DiffusionBValue": bvalue})


def _require_decay(
    computed: Scan, dwi: Scan, b0: Scan | None, series: DiffusionSeriesLike | None, tissue: BrainMask
) -> None:
    """Refuse images that no diffusion gives: brighter with weighting, or without a zero of signal."""
    if series is not None:
        require_dark_weighting(series, tissue)
    _refuse_swapped(computed, tissue)
    for scan in (b0, dwi):
        if scan is not None and scan.grid.is_same_as(dwi.grid):
            _require_signal(scan, tissue)


def _series_bvalues(series: DiffusionSeriesLike, images: SeriesImages) -> tuple[StatedBValue, ...]:
    """Return the b-value of the trace, and what the sidecar states that no volume has."""
    held = np.asarray(series.bvalues, dtype=np.float64).ravel()
    stated = [StatedBValue(images.bvalue, "the .bval file")]
    for name in FIELDS:
        value = series.sidecar.get(name)
        for one in value if isinstance(value, list) else [value]:
            known = sidecar_bvalue({name: one}, where=str(series.identity))
            if known is None or (known <= B0_MAX and (held <= B0_MAX).any()):
                continue
            if not any(is_same_bvalue(known, b) for b in (*held, images.bvalue)):
                stated.append(StatedBValue(known, f"sidecar field {name}"))
    return tuple(stated)


def _or_usual(bvalue: float | None, usual: float | None, flags: list[str]) -> float | None:
    if bvalue is None or usual is None:
        return usual if bvalue is None else bvalue
    if not is_same_bvalue(bvalue, usual):
        flags.append(
            f"b-value: {bvalue:g} s/mm2 is stated beside the DWI and was used, not the usual {usual:g}"
        )
    return bvalue


def _require_weighted(dwi: Scan, bvalue: float | None) -> None:
    if bvalue is None or bvalue > B0_MAX:
        return
    likely = (
        f"if that is in ms/um2, write {1000 * bvalue:g}"
        if 0.5 <= bvalue < 5
        else "if DWI and b0 are exchanged, exchange them; if not, correct the b-value"
    )
    msg = (
        f"the b-value of the image given as DWI is {bvalue:g} s/mm2, which is no diffusion weighting (more "
        f"than {B0_MAX:g} expected); {likely}"
    )
    raise DiffusionError(msg, where=str(dwi.identity))


def _bvalue_of_b0(b0: Scan) -> float:
    bvalue = sidecar_bvalue(b0.sidecar, where=str(b0.identity)) or 0.0
    if bvalue > B0_MAX:
        msg = (
            f"the b-value of the image given as b0 is {bvalue:g} s/mm2 (at most {B0_MAX:g} expected): it is "
            "diffusion-weighted. Are DWI and b0 exchanged? Exchange them, or correct its b-value"
        )
        raise DiffusionError(msg, where=str(b0.identity))
    return bvalue


def _computed_adc(
    dwi: Scan, b0: Scan | None, bvalue: float | None, flags: list[str], *, needed: bool
) -> Scan | None:
    if b0 is None:
        return None
    b0_bvalue = _bvalue_of_b0(b0)
    if bvalue is None:
        if not needed:
            return None
        msg = (
            "an ADC map must be computed but the b-value of the DWI is not known; state it as "
            "DiffusionBValue in the sidecar, in the manifest, in the protocol or with --bvalue"
        )
        raise DiffusionError(msg, where=str(dwi.identity))
    if needed:
        require_same_grid(b0, dwi, what="b0 and DWI")
    if not b0.grid.is_same_as(dwi.grid):
        flags.append("b0 and DWI are on different grids: the supplied ADC map was not checked against them")
        return None
    return adc_from_dwi(b0, dwi, bvalue=bvalue, b0_bvalue=b0_bvalue)


def _paired_b0(dwi: Scan, b0: Scan, tissue: BrainMask, checks: CheckSettings) -> tuple[str, ...]:
    """Refuse a b0 image of another head or place than the DWI's, on whatever grid it lies."""
    on_grid = b0 if b0.grid.is_same_as(dwi.grid) else onto_grid(b0, dwi.grid)
    return require_pair(dwi, replace(on_grid, grid=dwi.grid), tissue=tissue, checks=checks)


def tissue_of(dwi: Scan, brain: BrainMask | BrainFinder | None = None) -> BrainMask:
    """Return the brain given or found, or else the bright tissue of a DWI (Otsu's threshold of the roots).

    Raises
    ------
    DiffusionError
        If the DWI is constant.
    """
    if isinstance(brain, BrainMask):
        require_same_grid(dwi, brain, what="DWI and brain mask")
        return brain
    if brain is not None:
        return brain(dwi)
    positive = np.isfinite(dwi.data) & (dwi.data > 0)
    roots = np.sqrt(dwi.data[positive])
    if roots.size == 0 or roots.min() == roots.max():
        msg = "the DWI is constant; export it again"
        raise DiffusionError(msg, where=str(dwi.identity))
    bright = positive & (dwi.data > float(threshold_otsu(roots)) ** 2)
    return BrainMask(bright, dwi.grid, method="bright DWI tissue")


def _refuse_swapped(computed: Scan, brain: BrainMask) -> None:
    values = computed.data[brain.data & np.isfinite(computed.data)]
    if values.size and float(np.median(values)) < 0:
        msg = (
            "the DWI is brighter than the b0 image over the brain, which diffusion cannot do: b0 and DWI (or "
            "their b-values) are swapped; exchange them. Two series that are scaled differently look like "
            "this, too: then give the ADC map"
        )
        raise DiffusionError(msg, where=str(computed.identity))


def _unusual(computed: Scan, tissue: BrainMask) -> tuple[str, ...]:
    """Say that the computed ADC of the whole brain is not that of a brain; a scale of one image shifts it."""
    values = computed.data[tissue.data & np.isfinite(computed.data)]
    low, high = _USUAL_ADC_UM2_PER_S
    if not values.size or low <= (median := float(np.median(values))) <= high:
        return ()
    return (
        f"the computed ADC has a median of {median:.0f} over the brain, expected {low:g} to {high:g} (1e-6 "
        "mm2/s): look whether b0 and DWI are scaled alike, and whether the b-value is right",
    )


def _require_signal(scan: Scan, tissue: BrainMask) -> None:
    """Refuse to take logarithms of an image whose zero is not the absence of signal."""
    known = np.isfinite(scan.data)
    if not (known & tissue.data).any():
        return
    lowest = float(np.percentile(scan.data[known], 1))
    level = float(np.median(scan.data[known & tissue.data]))
    if lowest < -_NEGATIVE_SHARE * abs(level):
        msg = (
            f"an ADC cannot be computed from it: it has intensities below zero (a hundredth lie below "
            f"{lowest:.3g}, the tissue at {level:.3g}), so it was normalised or shifted. Give the image as "
            "the scanner made it, or the ADC map"
        )
        raise DiffusionError(msg, where=str(scan.identity))


def _supplied_adc(adc: Scan, dwi: Scan, brain: BrainMask, given_unit: str | None, flags: list[str]) -> Scan:
    if not adc.grid.is_same_as(dwi.grid):
        adc = onto_grid(adc, dwi.grid)
        flags.append("the ADC map is on another grid than the DWI and was resampled onto it")
    scan = to_um2_per_s(adc, brain, unit=_stated_unit(adc, flags) or given_unit)
    negative = int(np.count_nonzero(scan.data[brain.data] < 0))
    if negative:
        flags.append(f"{negative} negative ADC voxels in the brain, kept")
    return replace(scan, grid=dwi.grid)


def _stated_unit(adc: Scan, flags: list[str]) -> str | None:
    """Return the unit a sidecar states; one that names none is flagged, and the brain tells."""
    for name in _UNIT_FIELDS:
        value = adc.sidecar.get(name)
        value = value[0] if isinstance(value, list) and len(value) == 1 else value
        if isinstance(value, str) and value.strip().lower() not in _NO_UNIT:
            return value
        if value is not None and value not in ("", "n/a"):
            flags.append(f"sidecar field {name} of the ADC map names no unit of an ADC; it was not used")
    return None


def _compare(
    supplied: Scan, computed: Scan, brain: BrainMask, *, limit_percent: float, flags: list[str]
) -> None:
    difference = compare_adc(supplied, computed, brain)
    if abs(difference) > limit_percent:
        flags.append(
            f"the supplied ADC map differs from ln(S0/Sb)/b by {difference:+.1f} % (median over the brain), "
            f"more than {limit_percent:g} %; the supplied one was used"
        )

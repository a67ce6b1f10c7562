"""One session's diffusion images, whatever files they came in, as trace + ADC + b0."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from skimage.filters import threshold_otsu

from infarct_vol.diffusion.adc import adc_from_dwi, compare_adc, onto_grid
from infarct_vol.diffusion.belonging import require_pair
from infarct_vol.diffusion.series import DiffusionSeriesLike, images_from_series
from infarct_vol.diffusion.units import to_um2_per_s
from infarct_vol.errors import DiffusionError
from infarct_vol.images import BrainMask, Scan, require_same_grid
from infarct_vol.protocol import CheckSettings

BrainFinder = Callable[[Scan], BrainMask]
_BVALUE_FIELDS = ("DiffusionBValue", "b-value", "bvalue")
_UNIT_FIELDS = ("Units", "ADCUnits")


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
    adc_unit: str | None = None,
    brain: BrainMask | BrainFinder | None = None,
    checks: CheckSettings | None = None,
) -> DiffusionSet:
    """Bring a session's diffusion files together.

    A supplied ADC map wins over a computed one, and is compared with it where both can be had. What the
    sidecars state wins over ``bvalue`` and ``adc_unit``.

    Parameters
    ----------
    dwi, series
        A three-dimensional trace image or a series; exactly one of them.
    adc, b0
        Supplied ADC map (any unit) and b0 image.
    bvalue
        b-value of ``dwi`` in s/mm2 where its sidecar states none.
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
    flags: list[str] = []
    computed: Scan | None = None
    if series is not None and dwi is None:
        images = images_from_series(series)
        dwi, b0, computed, bvalue = images.trace, images.b0 or b0, images.adc, images.bvalue
        flags.extend(images.flags)
    elif dwi is not None and series is None:
        bvalue = _stated_bvalue(dwi, bvalue, flags)
        computed = _computed_adc(dwi, b0, bvalue, flags, needed=adc is None)
    else:
        msg = "give either a trace image or a diffusion series, not both or neither"
        raise DiffusionError(msg)
    mask = tissue_of(dwi, brain)
    if computed is not None:
        _refuse_swapped(computed, mask)
    if b0 is not None and series is None:
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
    if computed is None:
        flags.append("no ADC map and no b0 image: T2 shine-through cannot be told from acute infarct")
    return DiffusionSet(dwi=dwi, adc=computed, b0=b0, bvalue=bvalue, flags=tuple(flags))


def _stated_bvalue(dwi: Scan, given: float | None, flags: list[str]) -> float | None:
    for field in _BVALUE_FIELDS:
        stated = dwi.sidecar.get(field)
        if isinstance(stated, (int, float)) and not isinstance(stated, bool):
            if given is not None and abs(given - stated) > 0.01 * abs(stated):
                flags.append(f"b-value: the sidecar's {stated:g} s/mm2 was used, not the stated {given:g}")
            return float(stated)
    return given


def _computed_adc(
    dwi: Scan, b0: Scan | None, bvalue: float | None, flags: list[str], *, needed: bool
) -> Scan | None:
    if b0 is None:
        return None
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
    return adc_from_dwi(b0, dwi, bvalue=bvalue)


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
            "their b-values) are swapped; exchange them"
        )
        raise DiffusionError(msg, where=str(computed.identity))


def _supplied_adc(adc: Scan, dwi: Scan, brain: BrainMask, given_unit: str | None, flags: list[str]) -> Scan:
    if not adc.grid.is_same_as(dwi.grid):
        adc = onto_grid(adc, dwi.grid)
        flags.append("the ADC map is on another grid than the DWI and was resampled onto it")
    stated = next((adc.sidecar[f] for f in _UNIT_FIELDS if isinstance(adc.sidecar.get(f), str)), None)
    scan = to_um2_per_s(adc, brain, unit=str(stated) if stated else given_unit)
    negative = int(np.count_nonzero(scan.data[brain.data] < 0))
    if negative:
        flags.append(f"{negative} negative ADC voxels in the brain, kept")
    return replace(scan, grid=dwi.grid)


def _compare(
    supplied: Scan, computed: Scan, brain: BrainMask, *, limit_percent: float, flags: list[str]
) -> None:
    difference = compare_adc(supplied, computed, brain)
    if abs(difference) > limit_percent:
        flags.append(
            f"the supplied ADC map differs from ln(S0/Sb)/b by {difference:+.1f} % (median over the brain), "
            f"more than {limit_percent:g} %; the supplied one was used"
        )

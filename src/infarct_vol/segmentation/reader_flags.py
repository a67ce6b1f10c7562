"""Sentences for the reader who reviews an acute mask: what may be artefact, cut off, or not acute.

Nothing is removed here. Infarcts of the posterior fossa are real, and so is brightness near the sinuses.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from infarct_vol.segmentation.cleanup import label_components
from infarct_vol.segmentation.symmetry import brightest_nearby, reflect
from infarct_vol.segmentation.tissue import PreparedCase

Mask = NDArray[np.bool_]

LOWEST_SHARE = 0.25
TWIN_SHARE = 0.3
TWIN_REACH_MM = 4.0
# mean ADC over usual ADC from which restriction is not shown
NOT_LOW_ADC_RATIO = 0.95
REPORT_FROM_ML = 0.2


def reader_flags(
    mask: Mask, case: PreparedCase, *, slice_axis: int, doubtful_ml: tuple[float, ...] = ()
) -> tuple[str, ...]:
    """Return what a reader should look at in an acute mask.

    Parameters
    ----------
    mask
        (X, Y, Z) lesion in the canonical box of the case.
    case
        The prepared case.
    slice_axis
        Slice axis of the native grid.
    doubtful_ml
        Volumes of components left out narrowly.
    """
    flags = []
    if case.adc_change is None:
        flags.append(
            "no ADC map: segmented from DWI alone, T2 shine-through cannot be told from infarct; not like "
            "for like with infarcts measured on DWI and ADC"
        )
    flags.extend(_cut_off(mask, case, slice_axis=slice_axis))
    flags.extend(_component_flags(mask, case))
    flags.extend(
        f"a bright component of {volume_ml:.2f} mL was left out, its evidence just too weak: infarct?"
        for volume_ml in doubtful_ml
    )
    return tuple(flags)


def _cut_off(mask: Mask, case: PreparedCase, *, slice_axis: int) -> list[str]:
    frame = case.frame
    axis = frame.axes.order.index(slice_axis)
    slices = np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis))) + frame.box[axis].start
    ends = {0: "lowest", frame.full_shape[axis] - 1: "highest"} if axis == 2 else {}
    if axis != 2:
        ends = {0: "first", frame.full_shape[axis] - 1: "last"}
    return [
        f"the infarct touches the {name} slice: its volume may be cut off"
        for position, name in ends.items()
        if position in slices
    ]


def _component_flags(mask: Mask, case: PreparedCase) -> list[str]:
    labels, count = label_components(mask, connectivity=26)
    if count == 0:
        return []
    voxel_ml = case.frame.voxel_volume_ml
    spacing_mm = case.frame.spacing_mm
    twin = reflect(mask.astype(np.float32), case.plane, spacing_mm, outside=0.0)
    twin = brightest_nearby(twin, spacing_mm, reach_mm=TWIN_REACH_MM)
    low_limit = _lowest_quarter(case.brain)
    flags = []
    for label in range(1, count + 1):
        part = labels == label
        volume_ml = int(part.sum()) * voxel_ml
        if volume_ml < REPORT_FROM_ML:
            continue
        name = f"component of {volume_ml:.2f} mL"
        mirrored = float(np.mean(twin[part] > 0.5)) >= TWIN_SHARE
        low = float(part[:, :, :low_limit].sum()) >= 0.5 * float(part.sum())
        if mirrored and low:
            flags.append(f"{name} low in the brain with a twin on the other side: susceptibility or infarct?")
        elif mirrored:
            flags.append(f"{name} has a twin on the other side: tract, cortex or bilateral infarct?")
        if case.adc_change is not None:
            ratio = float(np.exp(case.adc_change[part].mean(dtype=np.float64)))
            if ratio > NOT_LOW_ADC_RATIO:
                flags.append(
                    f"{name} is bright with an ADC of {100 * ratio:.0f} % of usual: shine-through or infarct?"
                )
    return flags


def _lowest_quarter(brain: Mask) -> int:
    """First slice above the lowest quarter of the brain's volume."""
    below = np.cumsum(brain.sum(axis=(0, 1)))
    return int(np.searchsorted(below, LOWEST_SHARE * below[-1])) + 1

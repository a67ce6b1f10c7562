"""Why a voxel is in an acute mask or not, and what became of every candidate."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from infarct_vol.geometry import Grid
from infarct_vol.segmentation.acute import AcuteTrace
from infarct_vol.segmentation.cleanup import select_components
from infarct_vol.segmentation.components import Component
from infarct_vol.segmentation.normalise import frame_grid


class AcuteDecision(IntEnum):
    """What was decided about a voxel; from ``CORE`` on it is in the mask."""

    OUTSIDE = 0
    NO_SIGNAL = 1
    CSF = 2
    NORMAL = 3
    NO_SEED = 4
    LOW_SHARE = 5
    REJECTED = 6
    SHINE_THROUGH = 7
    DROPPED = 8
    CORE = 9
    GROWN = 10
    FILLED = 11


@dataclass(frozen=True)
class Candidate:
    """A component that was judged, where it lies, and what became of it.

    Parameters
    ----------
    judged
        The component with its numbers.
    in_mask
        Whether it was kept and any of it is in the mask.
    left_out
        Why it is not; empty if it is.
    centroid_mm
        Scanner RAS+ mm.
    slice_index
        Slice of its centroid in the file, counted from 0.
    """

    judged: Component
    in_mask: bool
    left_out: str
    centroid_mm: tuple[float, float, float]
    slice_index: int


def acute_decisions(trace: AcuteTrace) -> NDArray[np.uint8]:
    """Return the `AcuteDecision` of every voxel of the canonical box, as (X, Y, Z) uint8.

    The first reason that holds is given, in the order of the steps from the mask backwards.
    """
    case, drawing, settings = trace.case, trace.drawing, trace.settings
    reached = drawing.share.settled > settings.boundary_fraction
    rejected = select_components(drawing.labels, np.array([not c.kept for c in drawing.components], bool))
    reasons = [
        (drawing.mask & drawing.core, AcuteDecision.CORE),
        (drawing.mask & reached, AcuteDecision.GROWN),
        (drawing.mask, AcuteDecision.FILLED),
        (rejected, AcuteDecision.REJECTED),
        (drawing.shine_through, AcuteDecision.SHINE_THROUGH),
        (reached, AcuteDecision.DROPPED),
        (drawing.share.settled > 0, AcuteDecision.LOW_SHARE),
        (case.tissue & (trace.found.total > settings.grow_evidence), AcuteDecision.NO_SEED),
        (case.tissue, AcuteDecision.NORMAL),
        (case.csf, AcuteDecision.CSF),
        (case.brain, AcuteDecision.NO_SIGNAL),
    ]
    codes = [np.uint8(code) for _, code in reasons]
    return np.select([where for where, _ in reasons], codes, np.uint8(AcuteDecision.OUTSIDE))


def acute_candidates(trace: AcuteTrace, grid: Grid) -> list[Candidate]:
    """Return the candidates: those in the mask by volume, then those left out by their peak evidence.

    Parameters
    ----------
    trace
        What `trace_acute` kept.
    grid
        Native grid of the DWI.
    """
    drawing = trace.drawing
    if not drawing.components:
        return []
    index = np.arange(1, len(drawing.components) + 1)
    centres = ndimage.center_of_mass(drawing.labels > 0, drawing.labels, index)
    centres_mm = frame_grid(grid, trace.case.frame).to_world(centres)
    slices = np.rint(grid.to_index(centres_mm)[:, grid.slice_axis]).astype(int)
    present = set(np.unique(drawing.labels[drawing.mask]).tolist())
    too_small = f"smaller than the {trace.settings.minimum_lesion_ml:g} mL asked for"
    found = [
        Candidate(
            judged=part,
            in_mask=part.kept and part.label in present,
            left_out=part.reason or ("" if part.label in present else too_small),
            centroid_mm=(float(x), float(y), float(z)),
            slice_index=int(at),
        )
        for part, (x, y, z), at in zip(drawing.components, centres_mm, slices, strict=True)
    ]
    kept = sorted((c for c in found if c.in_mask), key=lambda c: -c.judged.volume_ml)
    return kept + sorted((c for c in found if not c.in_mask), key=lambda c: -c.judged.peak_evidence)

"""The fixed ADC threshold everybody knows, as a reference method (``rapid_like``).

ADC at or below 620e-6 mm2/s in the brain without CSF, where DWI is bright, small clusters dropped, gaps
closed. Kept simple on purpose: it is what other methods are compared with, not a copy of any product.
"""

from __future__ import annotations

import numpy as np

from infarct_vol._version import __version__
from infarct_vol.brain import brain_mask
from infarct_vol.errors import SegmentationError
from infarct_vol.images import BrainMask, LesionMask, Scan, require_same_grid
from infarct_vol.segmentation.canonical import Frame, canonical_frame
from infarct_vol.segmentation.cleanup import Mask, close_mm, drop_small, fill_holes, label_components
from infarct_vol.segmentation.reference import robust_centre_and_spread
from infarct_vol.segmentation.tissue import INVALID_ADC_UM2_PER_S, usual_adc
from infarct_vol.settings import AcuteSettings

METHOD = f"rapid_like {__version__}"


def segment_rapid_like(
    dwi: Scan,
    adc: Scan | None,
    *,
    brain: BrainMask | None = None,
    settings: AcuteSettings | None = None,
) -> LesionMask:
    """Segment an acute infarct by a fixed ADC threshold with a DWI gate and clean-up.

    Parameters
    ----------
    dwi
        Trace image.
    adc
        ADC map in 1e-6 mm2/s on the DWI's grid.
    brain
        Brain mask on the DWI's grid; default: `brain_mask` of the DWI.
    settings
        Acute section of the protocol.

    Raises
    ------
    GridMismatchError
        If the images do not share one grid.
    SegmentationError
        If there is no ADC map, the brain mask is empty, or the ADC is not in 1e-6 mm2/s.
    """
    settings = settings or AcuteSettings()
    where = str(dwi.identity)
    if adc is None:
        msg = "'rapid_like' needs an ADC map and found none; supply one or use the method 'local'"
        raise SegmentationError(msg, where=where)
    brain = brain if brain is not None else brain_mask(dwi)
    require_same_grid(dwi, brain, what="DWI and brain mask")
    require_same_grid(dwi, adc, what="DWI and ADC")
    if not brain.data.any():
        msg = "the brain mask is empty: expected brain voxels to look for an infarct in; check the brain mask"
        raise SegmentationError(msg, where=where)
    frame = canonical_frame(dwi.grid, brain.data)
    inside, signal, values = (frame.take(a) for a in (brain.data, dwi.data, adc.data))
    valid = inside & np.isfinite(values) & (values > INVALID_ADC_UM2_PER_S) & np.isfinite(signal)
    csf_limit = settings.csf_adc_ratio * usual_adc(values[valid], where=where)
    csf = valid & (values >= csf_limit)
    centre, spread = robust_centre_and_spread(signal[valid & ~csf])
    gate = centre + settings.rapid_dwi_z * spread
    found = valid & ~csf & (values <= settings.rapid_adc_um2_per_s) & (signal > gate)
    mask = _cleaned(found, inside=inside, csf=csf, frame=frame, settings=settings)
    clusters = label_components(found, connectivity=settings.connectivity)[1]
    return LesionMask(
        data=frame.put_back(mask),
        grid=dwi.grid,
        identity=dwi.identity,
        method=METHOD,
        flags=("reference method: fixed ADC threshold; read it beside 'local', not instead of it",),
        evidence={
            "adc_threshold_um2_per_s": settings.rapid_adc_um2_per_s,
            "dwi_threshold": gate,
            "clusters_before_cleanup": float(clusters),
        },
    )


def _cleaned(found: Mask, *, inside: Mask, csf: Mask, frame: Frame, settings: AcuteSettings) -> Mask:
    """Drop small clusters, close gaps and fill holes, but none of CSF."""
    smallest_ml = max(settings.rapid_minimum_ml, settings.minimum_lesion_ml)
    kept = drop_small(
        found, minimum_voxels=smallest_ml / frame.voxel_volume_ml, connectivity=settings.connectivity
    )
    closed = close_mm(kept, radius_mm=settings.rapid_closing_mm, spacing_mm=frame.spacing_mm)
    return fill_holes((closed & inside & ~csf) | kept, forbidden=csf | ~inside)

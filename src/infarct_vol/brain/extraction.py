"""Brain masks of DWI, b0, FLAIR, T1w and T2w scans, with or without skull.

The brain is the largest body of tissue-bright voxels that survives an erosion: skull and CSF are dark on
DWI and FLAIR, and scalp, marrow, optic nerves and muscle are thin or hang on by thin bridges. Steps, all on
a working grid of about 2.5 mm:

1. tissue level from deep inside the head, tissue = voxels above a fraction of it;
2. cores = tissue deeper than ``erosion_mm``; cores joined through tissue deeper than ``bridge_mm`` belong
   together (cerebellum and cerebrum through the peduncles), all others are left out (eyes, muscle, scalp);
3. the cores grown back within the tissue, closed over sulci and cavities;
4. shading estimated inside that first brain and removed, steps 1-3 again;
5. closed and filled, so that ventricles, cavities and sulci are inside; brought to the native voxels.

A scan that comes without skull is recognised by constant background touching the brain's surface; there
everything that is not background is brain.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.filters import threshold_otsu

from infarct_vol.brain.morphology import (
    Mask,
    Volume,
    closed,
    depth_in,
    distance_to,
    grown_box,
    largest_component,
    smoothed,
)
from infarct_vol.brain.symmetry import mirror_is_in, mirror_plane
from infarct_vol.brain.working_grid import WorkingGrid
from infarct_vol.errors import BrainMaskError
from infarct_vol.geometry import MM3_PER_ML
from infarct_vol.images import BrainMask, Scan
from infarct_vol.intake.background import with_dark_background
from infarct_vol.settings import BrainSettings

METHOD = "morphological-1"
_DEEP_MM = 20.0
_DEEPER_MM = (1.5, 3.0, 4.5)
_CLOSING_MM = 12.0
_CAVITY_REACH_MM = 25.0
_ASYMMETRY_MM = 5.0
_SURFACE_BAND_MM = 10.0
_AIR_MM = 6.0
_FEWEST_SLICES = 2
_SHADING_SIGMA_MM = 25.0
_SHADING_CEILING = 1.5
_STRIPPED_GAP_MM = 8.0
_STRIPPED_BACKGROUND_SHARE = 0.1
_LEAST_DIFFERENCE = 1e-5


@dataclass(frozen=True)
class _Contrast:
    """How the brain shows on one kind of image; intensities are fractions of the typical tissue level.

    Parameters
    ----------
    floor, ceiling
        Range of tissue.
    erosion_mm
        Tissue deeper than this is a core: thicker than scalp, optic nerves and most muscles.
    bridge_mm
        Depth of tissue that may join a second core to the brain.
    second_core_ml, second_core_ceiling
        Size a second core must have, and the median intensity it may have, to count as brain.
    slack_mm
        How much further than they were eroded the cores grow back; 0 where bright tissue hangs on.
    margin_mm
        From the edge of tissue at half intensity to the surface of the brain.
    """

    floor: float
    ceiling: float
    erosion_mm: float
    bridge_mm: float
    second_core_ml: float
    second_core_ceiling: float
    slack_mm: float
    margin_mm: float


# Set by measurement on real and simulated scans. On DWI nothing but brain is bright, so that thin bridges may
# be trusted; on the others orbital fat, marrow and eyes are brighter than the brain, and muscle hangs on.
_T2_WEIGHTED = _Contrast(
    floor=0.4,
    ceiling=2.5,
    erosion_mm=6.0,
    bridge_mm=4.0,
    second_core_ml=10.0,
    second_core_ceiling=1.25,
    slack_mm=1.5,
    margin_mm=0.0,
)
_CONTRASTS = {
    "dwi": _Contrast(
        floor=0.5,
        ceiling=np.inf,
        erosion_mm=5.0,
        bridge_mm=3.0,
        second_core_ml=3.0,
        second_core_ceiling=1.6,
        slack_mm=2.5,
        margin_mm=0.5,
    ),
    "b0": _T2_WEIGHTED,
    "t2w": _T2_WEIGHTED,
    "flair": _Contrast(
        floor=0.55,
        ceiling=np.inf,
        erosion_mm=6.0,
        bridge_mm=4.0,
        second_core_ml=10.0,
        second_core_ceiling=1.25,
        slack_mm=2.5,
        margin_mm=0.3,
    ),
    "t1w": _Contrast(
        floor=0.5,
        ceiling=1.5,
        erosion_mm=7.5,
        bridge_mm=4.5,
        second_core_ml=10.0,
        second_core_ceiling=1.25,
        slack_mm=0.0,
        margin_mm=0.0,
    ),
}


def brain_if_found(scan: Scan, *, settings: BrainSettings | None = None) -> BrainMask | None:
    """Return the brain of a scan as `brain_mask` does, or ``None`` where none is found."""
    try:
        return brain_mask(scan, settings=settings)
    except BrainMaskError:
        return None


def brain_mask(scan: Scan, *, settings: BrainSettings | None = None) -> BrainMask:
    """Find the brain in a scan.

    Ventricles, sulci and dark cavities are inside, and so are bright infarcts at the edge; eyes, scalp,
    skull and neck are outside. The same anatomy gives the same mask in whatever order its voxels are
    stored; gain and offset of the intensities do not matter.

    Parameters
    ----------
    scan
        A DWI (trace), b0, FLAIR, T1w or T2w image. An image of unknown kind is treated as FLAIR, remarked.
    settings
        Working resolution and limits of plausibility.

    Returns
    -------
    BrainMask
        (I, J, K) bool on the scan's grid.

    Raises
    ------
    BrainMaskError
        If the image is an ADC map, a single slice or constant, or what was found is too small or too
        large for a brain.
    """
    settings = settings or BrainSettings()
    contrast, remarks = _contrast_of(scan)
    if min(scan.grid.shape) < _FEWEST_SLICES:
        msg = f"{scan.grid.describe()}: too few slices to find a brain in; give a brain mask"
        raise BrainMaskError(msg, where=str(scan.identity))
    native, about_data = _finite(scan)
    native = with_dark_background(native)
    working = WorkingGrid.of(scan.grid, target_mm=settings.working_mm)
    ordered = working.ordered(native)
    brain = _extract_tight(
        working.reduced(ordered), contrast, working.spacing_mm, scan=scan, settings=settings
    )
    foreground = _foreground(ordered)
    if foreground is not None and _reaches_background(brain, foreground, working):
        found, method = foreground, f"{METHOD}, skull-stripped input"
    else:
        found, method = _to_native(brain, working, margin_mm=contrast.margin_mm + settings.margin_mm), METHOD
    mask = BrainMask(working.restored(found), scan.grid, method, (*remarks, *about_data))
    _require_plausible(mask, scan, settings)
    return mask


def _contrast_of(scan: Scan) -> tuple[_Contrast, tuple[str, ...]]:
    if scan.modality == "adc":
        msg = "a brain mask is not made from an ADC map; give the DWI or b0 image it was computed from"
        raise BrainMaskError(msg, where=str(scan.identity))
    if scan.modality == "unknown":
        return _CONTRASTS["flair"], ("kind of image not stated: brain mask made as for FLAIR",)
    return _CONTRASTS[scan.modality], ()


def _finite(scan: Scan) -> tuple[Volume, tuple[str, ...]]:
    bad = int(scan.data.size - np.count_nonzero(np.isfinite(scan.data)))
    if not bad:
        return scan.data, ()
    data = np.nan_to_num(scan.data, nan=0.0, posinf=0.0, neginf=0.0)
    return data, (f"{bad} voxels that are not finite were taken as background for the brain mask",)


# ---- the brain on the working grid -----------------------------------------------------------------------


def _extract_tight(
    volume: Volume,
    contrast: _Contrast,
    spacing_mm: NDArray[np.float64],
    *,
    scan: Scan,
    settings: BrainSettings,
) -> Mask:
    """Return the brain; one too large has leaked into the face, and is cut off by deeper erosion."""
    voxel_ml = float(np.prod(spacing_mm)) / MM3_PER_ML
    brain = _extract(volume, contrast, spacing_mm, scan=scan)
    for deeper_mm in _DEEPER_MM:
        if np.count_nonzero(brain) * voxel_ml <= settings.leak_ml:
            break
        tighter = replace(
            contrast, erosion_mm=contrast.erosion_mm + deeper_mm, bridge_mm=contrast.bridge_mm + deeper_mm
        )
        brain = _extract(volume, tighter, spacing_mm, scan=scan)
    return brain


def _extract(volume: Volume, contrast: _Contrast, spacing_mm: NDArray[np.float64], *, scan: Scan) -> Mask:
    """Return the filled brain on the working grid."""
    volume = volume - np.float32(np.percentile(volume, 0.5))
    threshold = _foreground_threshold(volume, scan)
    head = largest_component(ndimage.binary_opening(volume > threshold))
    if not head.any():
        msg = "no head found: no connected body of bright voxels; check that the image is a brain scan"
        raise BrainMaskError(msg, where=str(scan.identity))
    # air around the head keeps the box's faces from passing for the edge of the field of view
    box = _box(head, _AIR_MM, spacing_mm)
    relative = volume[box] / _tissue_level(volume[box], head[box], threshold, spacing_mm)
    first = _grown(relative, contrast, spacing_mm, scan=scan)
    inner = _box(first, _CAVITY_REACH_MM, spacing_mm)
    flat = _without_shading(relative[inner], first[inner], contrast, spacing_mm)
    body = _filled(_grown(flat, contrast, spacing_mm, scan=scan), spacing_mm)
    cavity = _open_cavities(flat < contrast.floor, body, spacing_mm)
    brain = np.zeros(volume.shape, dtype=bool)
    brain[box][inner] = _filled(body | cavity, spacing_mm) if cavity.any() else body
    return brain


def _box(mask: Mask, margin_mm: float, spacing_mm: NDArray[np.float64]) -> tuple[slice, ...]:
    return grown_box(mask, [math.ceil(margin_mm / s) for s in spacing_mm]) or (slice(None),) * 3


def _foreground_threshold(volume: Volume, scan: Scan) -> float:
    # square roots even out the long bright tail of fat, eyes and large infarcts before Otsu's split
    roots = np.sqrt(volume[volume > 0])
    if roots.size == 0 or roots.min() == roots.max():
        msg = "the image is constant: there is no brain in it; export it again"
        raise BrainMaskError(msg, where=str(scan.identity))
    return float(threshold_otsu(roots)) ** 2


def _tissue_level(volume: Volume, head: Mask, threshold: float, spacing_mm: NDArray[np.float64]) -> float:
    """Return the median intensity of bright voxels deep inside the head, where most are brain."""
    every_second = (slice(None, None, 2),) * 3  # depth is needed to about 5 mm only
    coarse, filled = volume[every_second], ndimage.binary_fill_holes(head)[every_second]
    depth = depth_in(filled, spacing_mm=2 * spacing_mm)
    deep = depth > min(_DEEP_MM, 0.6 * float(depth.max()))
    bright = deep & (coarse > threshold)
    return float(np.median(coarse[bright] if bright.any() else volume[head]))


def _grown(relative: Volume, contrast: _Contrast, spacing_mm: NDArray[np.float64], *, scan: Scan) -> Mask:
    """Return the brain's tissue voxels, given intensities relative to the tissue level."""
    tissue = (relative > contrast.floor) & (relative < contrast.ceiling)
    core = _joined_cores(relative, depth_in(tissue, spacing_mm=spacing_mm), contrast, spacing_mm)
    if not core.any():
        msg = (
            f"no brain found: no tissue is thicker than {2 * contrast.erosion_mm:g} mm; "
            "check the image's modality, or give a brain mask"
        )
        raise BrainMaskError(msg, where=str(scan.identity))
    reach = contrast.erosion_mm + contrast.slack_mm
    grown = tissue & (distance_to(core, spacing_mm=spacing_mm) <= reach)
    return largest_component(grown)


def _filled(brain: Mask, spacing_mm: NDArray[np.float64]) -> Mask:
    """Return the brain with sulci closed and ventricles filled."""
    return np.asarray(ndimage.binary_fill_holes(closed(brain, _CLOSING_MM, spacing_mm=spacing_mm)))


def _open_cavities(dark: Mask, brain: Mask, spacing_mm: NDArray[np.float64]) -> Mask:
    """Return dark gaps in the surface too wide to close, where the other hemisphere has brain.

    A cavity open to the surface is as dark as skull and CSF. That its mirror image lies well inside the
    brain tells it from the natural hollows, which come in pairs.
    """
    plane = mirror_plane(brain, spacing_mm=spacing_mm)
    near = distance_to(brain, spacing_mm=spacing_mm) <= _CAVITY_REACH_MM
    candidates = near & dark & ~brain
    inner = depth_in(brain, spacing_mm=spacing_mm) > _ASYMMETRY_MM
    certain = mirror_is_in(inner, candidates, plane, spacing_mm=spacing_mm)
    core = depth_in(certain, spacing_mm=spacing_mm) > _ASYMMETRY_MM
    if not core.any():
        return core
    gap = mirror_is_in(brain, candidates, plane, spacing_mm=spacing_mm)
    return gap & (distance_to(core, spacing_mm=spacing_mm) <= 2 * _ASYMMETRY_MM)


def _joined_cores(
    relative: Volume, depth: Volume, contrast: _Contrast, spacing_mm: NDArray[np.float64]
) -> Mask:
    """Return the largest core and every brain-like core joined to it through thick enough tissue."""
    labels, count = ndimage.label(depth > contrast.erosion_mm)
    if count == 0:
        return np.zeros(depth.shape, dtype=bool)
    sizes_ml = np.bincount(labels.ravel()) * float(np.prod(spacing_mm)) / MM3_PER_ML
    sizes_ml[0] = 0
    main = int(sizes_ml.argmax())
    bridged, _ = ndimage.label(depth > contrast.bridge_mm)
    joined = np.unique(labels[bridged == bridged.ravel()[int(np.argmax(labels.ravel() == main))]])
    sizeable = [label for label in joined if label and sizes_ml[label] >= contrast.second_core_ml]
    alike = [x for x in sizeable if np.median(relative[labels == x]) <= contrast.second_core_ceiling]
    return np.isin(labels, [main, *alike])


def _without_shading(
    relative: Volume, brain: Mask, contrast: _Contrast, spacing_mm: NDArray[np.float64]
) -> Volume:
    """Divide by the smooth shading of the tissue inside a first brain; the median stays 1."""
    tissue = brain & (relative > contrast.floor) & (relative < _SHADING_CEILING)
    if not tissue.any():
        return relative
    logs = np.where(tissue, np.log(np.maximum(relative, 1e-3)), 0).astype(np.float32)
    weight = smoothed(tissue.astype(np.float32), _SHADING_SIGMA_MM, spacing_mm=spacing_mm)
    shading = smoothed(logs, _SHADING_SIGMA_MM, spacing_mm=spacing_mm)
    shading /= np.maximum(weight, 1e-4)
    flat = relative / np.exp(np.where(weight > 1e-3, shading, 0))
    return np.asarray(flat / np.median(flat[tissue]), dtype=np.float32)


# ---- skull-stripped input, and the way back to native voxels ---------------------------------------------


def _foreground(ordered: Volume) -> Mask | None:
    """Return what is not background, filled, if a large part of the image is one constant."""
    corners = ordered[
        :: max(ordered.shape[0] - 1, 1), :: max(ordered.shape[1] - 1, 1), :: max(ordered.shape[2] - 1, 1)
    ]
    values, counts = np.unique(corners, return_counts=True)
    background = values[counts.argmax()]
    # what an offset of the intensities would round away is background, too
    least = _LEAST_DIFFERENCE * (float(ordered.max()) - float(ordered.min()))
    different = np.abs(ordered - background) > least
    if 1 - np.count_nonzero(different) / different.size < _STRIPPED_BACKGROUND_SHARE:
        return None
    return np.asarray(ndimage.binary_fill_holes(different))


def _reaches_background(brain: Mask, foreground: Mask, working: WorkingGrid) -> bool:
    """Tell whether the brain's surface lies at the background, with no skull between.

    The lower quartile of the gap counts: on real scans it was 2-5 mm without and 13-23 mm with skull.
    """
    outside = working.reduced((~foreground).astype(np.float32)) > 0.5
    surface = brain & (ndimage.uniform_filter(brain.astype(np.float32), 3, mode="nearest") < 0.999)
    gap = distance_to(outside, spacing_mm=working.spacing_mm)[surface]
    return bool(gap.size) and float(np.percentile(gap, 25)) <= _STRIPPED_GAP_MM


def _to_native(brain: Mask, working: WorkingGrid, *, margin_mm: float) -> Mask:
    spacing = working.spacing_mm
    box = _box(brain, _SURFACE_BAND_MM, spacing)
    # both distances count from voxel centre to voxel centre: the surface lies half a voxel from either
    half = float(spacing.mean()) / 2
    inside = depth_in(brain[box], spacing_mm=spacing) - half
    outside = half - distance_to(brain[box], spacing_mm=spacing)
    signed = np.full(brain.shape, -_SURFACE_BAND_MM, dtype=np.float32)
    signed[box] = np.where(brain[box], inside, outside) + np.float32(margin_mm)
    return working.enlarged(signed) > 0


def _require_plausible(mask: BrainMask, scan: Scan, settings: BrainSettings) -> None:
    volume_ml = mask.volume_ml
    if settings.minimum_ml <= volume_ml <= settings.maximum_ml:
        return
    msg = (
        f"the brain found measures {volume_ml:.0f} mL, expected {settings.minimum_ml:g} to "
        f"{settings.maximum_ml:g} mL; check the image's modality and coverage, or give a brain mask"
    )
    raise BrainMaskError(msg, where=str(scan.identity))

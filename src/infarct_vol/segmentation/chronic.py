"""Follow-up infarct on FLAIR: bright gliotic rim and dark cavity, with the baseline as the reference."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from infarct_vol.brain import brain_mask
from infarct_vol.errors import SegmentationError
from infarct_vol.geometry import Grid
from infarct_vol.images import BrainMask, LesionMask, Scan, require_same_grid
from infarct_vol.registration import NONRIGID, RigidTransform, coverage, register
from infarct_vol.segmentation.canonical import Frame, canonical_frame
from infarct_vol.segmentation.cavity import tissue_at_baseline
from infarct_vol.segmentation.chronic_evidence import Evidence, gather_evidence
from infarct_vol.segmentation.chronic_lesion import (
    METHOD,
    SPECK_SHARE,
    Gliosis,
    Infarct,
    find_gliosis,
    find_infarct,
    find_new_lesions,
    limits_ml,
    region_box,
    without_specks,
)
from infarct_vol.segmentation.cleanup import Mask, bounding_box, dilate_mm
from infarct_vol.segmentation.normalise import frame_grid, project, without_offset
from infarct_vol.settings import FollowUpSettings

# Below this share of the baseline lesion in view, a follow-up volume would be a guess.
MINIMUM_SEEN_SHARE = 0.5
# CSF is less than half as bright as brain tissue on T1w.
T1W_CSF_SHARE = 0.5


@dataclass(frozen=True, eq=False)
class FollowUpTrace:
    """A follow-up mask with what led to it, for a reader who asks why.

    Parameters
    ----------
    mask
        The result with its parts, on the FLAIR's grid.
    evidence
        Follow-up against expectation, in the canonical box of ``frame``.
    frame
        Way from the box to the native grid.
    settings
        Follow-up section of the protocol, its region as wide as it was searched.
    """

    mask: LesionMask
    evidence: Evidence
    frame: Frame
    settings: FollowUpSettings


def segment_followup(
    flair: Scan,
    *,
    baseline_flair: Scan,
    baseline_mask: LesionMask,
    transform: RigidTransform | None = None,
    brain: BrainMask | None = None,
    t1w: Scan | None = None,
    settings: FollowUpSettings | None = None,
) -> LesionMask:
    """Segment the infarct on a follow-up FLAIR as rim and cavity, with the baseline as the reference.

    The baseline FLAIR, brought onto the follow-up's grid and intensity scale, is what the follow-up would
    look like had nothing changed; inside the baseline lesion it is replaced by the healthy tissue to expect
    there. Gliosis is brighter than that expectation by at least half of the lesion's own contrast, cavity
    is as dark as CSF where the baseline showed tissue. Hyperintensity, ventricles and sulci of the baseline
    are part of the expectation and do not count.

    Parameters
    ----------
    flair
        Follow-up FLAIR; the mask lies on its native grid.
    baseline_flair
        FLAIR of the baseline visit.
    baseline_mask
        Baseline infarct on the grid of ``baseline_flair``; may be off by about ``mask_tolerance_mm``.
    transform
        Points of ``baseline_flair`` -> points of ``flair``, RAS+ mm. ``None``: registered here.
    brain
        Brain of ``flair`` on its grid. ``None``: extracted here.
    t1w
        T1-weighted scan on the grid of ``flair``; infarct as dark as CSF on it counts as cavity too.
    settings
        Follow-up section of the protocol.

    Returns
    -------
    LesionMask
        Rim and cavity together; ``parts`` has ``rim``, ``cavity`` and ``new_lesion`` (which is never part
        of the infarct); ``evidence`` has ``volume_ml_low`` and ``volume_ml_high``. Empty where nothing of the
        infarct is left, which is a measured 0.0 mL.

    Raises
    ------
    GridMismatchError
        If a mask or the T1w scan does not lie on its scan's grid.
    RegistrationError
        If the verdict on the registration is FAIL.
    SegmentationError
        If there is no brain, or less than half of the baseline lesion is in the follow-up's field of view.
    """
    return trace_followup(
        flair,
        baseline_flair=baseline_flair,
        baseline_mask=baseline_mask,
        transform=transform,
        brain=brain,
        t1w=t1w,
        settings=settings,
    ).mask


def trace_followup(
    flair: Scan,
    *,
    baseline_flair: Scan,
    baseline_mask: LesionMask,
    transform: RigidTransform | None = None,
    brain: BrainMask | None = None,
    t1w: Scan | None = None,
    settings: FollowUpSettings | None = None,
) -> FollowUpTrace:
    """Segment as `segment_followup` does, and keep what led to the mask."""
    settings = settings or FollowUpSettings()
    require_same_grid(baseline_flair, baseline_mask, what="the baseline FLAIR and the baseline mask")
    flair, baseline_flair = without_offset(flair), without_offset(baseline_flair)
    brain = _checked_brain(flair, brain)
    if t1w is not None:
        require_same_grid(flair, t1w, what="the follow-up FLAIR and the T1w scan")
    if transform is None:
        transform = register(baseline_flair, flair, moving_brain=brain, fixed_lesion=baseline_mask)
    transform.passed("the baseline FLAIR to the follow-up", where=str(flair.identity))
    seen = _seen_share(baseline_mask, flair, transform)
    settings = _widened(settings, baseline_mask, transform)
    frame = canonical_frame(flair.grid, brain.data)
    evidence = _evidence(flair, baseline_flair, baseline_mask, brain, transform, frame, settings)
    dark = None if t1w is None else frame.take(_dark_on_t1w(without_offset(t1w), brain))
    mask = _delineated(flair, evidence, frame, settings, seen_share=seen, dark_on_t1w=dark)
    return FollowUpTrace(mask, evidence, frame, settings)


def _checked_brain(flair: Scan, brain: BrainMask | None) -> BrainMask:
    brain = brain or brain_mask(flair)
    require_same_grid(flair, brain, what="the follow-up FLAIR and its brain mask")
    if not brain.data.any():
        msg = "the brain mask is empty; check the scan and the brain extraction"
        raise SegmentationError(msg, where=str(flair.identity))
    return brain


def _delineated(
    flair: Scan,
    evidence: Evidence,
    frame: Frame,
    settings: FollowUpSettings,
    *,
    seen_share: float,
    dark_on_t1w: Mask | None,
) -> LesionMask:
    new = find_new_lesions(evidence, settings)
    box = region_box(evidence, settings)
    evidence = evidence.cropped(box)
    gliosis = find_gliosis(evidence, settings)
    seen = find_infarct(evidence, settings, gliosis=gliosis, boundary=settings.boundary_fraction)
    infarct = without_specks(seen, evidence, settings)
    if dark_on_t1w is not None:
        dark = infarct.whole & evidence.near & dark_on_t1w[box]
        infarct = Infarct(infarct.whole, infarct.cavity | dark)
    specks = int(np.count_nonzero(seen.whole & ~infarct.whole))
    numbers = _numbers(evidence, infarct, settings, gliosis=gliosis) | {
        "specks_ml": specks * flair.grid.voxel_volume_ml,
        "baseline_lesion_seen_share": seen_share,
        "region_mm": settings.region_mm,
    }
    parts = {name: _placed(part, new.shape, box) for name, part in infarct.parts.items()} | {
        "new_lesion": new
    }
    native = {name: frame.put_back(part) for name, part in parts.items()}
    new_ml = int(np.count_nonzero(new)) * flair.grid.voxel_volume_ml
    return LesionMask(
        native["rim"] | native["cavity"],
        flair.grid,
        flair.identity,
        METHOD,
        flags=_flags(evidence, infarct, numbers, new_ml=new_ml),
        evidence=numbers,
        parts={name: LesionMask(data, flair.grid, flair.identity, METHOD) for name, data in native.items()},
    )


def _widened(
    settings: FollowUpSettings, baseline_mask: LesionMask, transform: RigidTransform
) -> FollowUpSettings:
    """Widen the region by what the registrations behind it could not follow, being rigid."""
    carried_mm = baseline_mask.evidence.get(NONRIGID, 0.0)
    own_mm = transform.quality.metrics.get(NONRIGID, 0.0) if transform.quality is not None else 0.0
    allowed_mm = min(carried_mm + own_mm, settings.nonrigid_allowance_mm)
    return settings.model_copy(update={"region_mm": settings.region_mm + allowed_mm})


def _placed(part: Mask, shape: tuple[int, ...], box: tuple[slice, slice, slice]) -> Mask:
    whole = np.zeros(shape, dtype=np.bool_)
    whole[box] = part
    return whole


def _seen_share(mask: LesionMask, flair: Scan, transform: RigidTransform) -> float:
    """Share of the baseline lesion's voxel centres inside the follow-up's field of view."""
    if not mask.data.any():
        return 1.0
    points = transform.apply(mask.grid.to_world(np.argwhere(mask.data)))
    index = flair.grid.to_index(points)
    inside = ((index > -0.5) & (index < np.array(flair.grid.shape) - 0.5)).all(axis=1)
    share = float(inside.mean())
    if share < MINIMUM_SEEN_SHARE:
        msg = (
            f"only {share:.0%} of the baseline lesion lies in the field of view (at least "
            f"{MINIMUM_SEEN_SHARE:.0%} is needed); check the registration and the coverage of the scan"
        )
        raise SegmentationError(msg, where=str(flair.identity))
    return share


def _evidence(
    flair: Scan,
    baseline_flair: Scan,
    baseline_mask: LesionMask,
    brain: BrainMask,
    transform: RigidTransform,
    frame: Frame,
    settings: FollowUpSettings,
) -> Evidence:
    grid = frame_grid(flair.grid, frame)
    to_baseline = transform.inverse()
    base = project(baseline_flair.data, baseline_flair.grid, grid, source_to_target=transform.matrix)
    prior = coverage(_cut_out(baseline_mask), grid, to_baseline)
    covered = _in_view(baseline_flair.grid, grid, to_baseline)
    return gather_evidence(
        frame.take(flair.data), base, prior, frame.take(brain.data) & covered, grid=grid, settings=settings
    )


def _cut_out(mask: LesionMask) -> LesionMask:
    """Return the box of the mask that holds it, with its grid: less to resample."""
    if not mask.data.any():
        return mask
    box = bounding_box(mask.data, margin=(1, 1, 1))
    return LesionMask(mask.data[box], mask.grid.crop(box), mask.identity)


def _in_view(source: Grid, target: Grid, to_source: RigidTransform) -> Mask:
    """Voxels of ``target`` whose centre lies inside the box of voxel centres of ``source``."""
    matrix = np.linalg.inv(source.affine) @ to_source.matrix @ target.affine
    axes = np.ogrid[tuple(slice(0, n) for n in target.shape)]
    inside = np.ones(target.shape, dtype=np.bool_)
    for row, length in zip(matrix[:3], source.shape, strict=True):
        position = row[0] * axes[0] + row[1] * axes[1] + row[2] * axes[2] + row[3]
        inside &= (position >= -1e-3) & (position <= length - 1 + 1e-3)
    return inside


def _dark_on_t1w(t1w: Scan, brain: BrainMask) -> Mask:
    """Voxels as dark as CSF on a T1w scan."""
    return np.asarray(t1w.data < T1W_CSF_SHARE * np.median(t1w.data[brain.data]))


def _numbers(
    evidence: Evidence, infarct: Infarct, settings: FollowUpSettings, *, gliosis: Gliosis | None
) -> dict[str, float]:
    e, voxel_ml = evidence, evidence.grid.voxel_volume_ml
    shift = settings.boundary_uncertainty
    others = [
        find_infarct(e, settings, gliosis=gliosis, boundary=settings.boundary_fraction + sign * shift).whole
        for sign in (-1, 1)
    ]
    numbers = {
        **limits_ml(infarct.whole, others, e.grid),
        "noise_sd": e.noise_sd,
        "csf_level": e.csf,
        "baseline_lesion_ml": int(np.count_nonzero(e.core)) * voxel_ml,
        "beyond_baseline_ml": int(np.count_nonzero(infarct.whole & ~e.near)) * voxel_ml,
    }
    return numbers if gliosis is None else numbers | {"lesion_level": gliosis.level}


def _flags(
    evidence: Evidence, infarct: Infarct, numbers: dict[str, float], *, new_ml: float
) -> tuple[str, ...]:
    flags = []
    voxel_ml = evidence.grid.voxel_volume_ml
    if numbers["specks_ml"] > 0:
        flags.append(
            f"of the baseline infarct only specks of {numbers['specks_ml']:.2f} mL in all seem left, none "
            f"of them {SPECK_SHARE:.0%} of it: 0 mL, to be confirmed by a reader"
        )
    elif not infarct.whole.any():
        flags.append("nothing of the baseline infarct is visible any more: 0 mL, to be confirmed by a reader")
    if numbers["baseline_lesion_seen_share"] < 0.98:
        share = numbers["baseline_lesion_seen_share"]
        flags.append(
            f"only {share:.0%} of the baseline lesion lies in the field of view; the volume is truncated"
        )
    if _opens_to_csf(evidence, infarct.cavity):
        flags.append("the cavity is open to a ventricle or sulcus; it is cut at the baseline's border of CSF")
    if numbers["beyond_baseline_ml"] > 0.5 * max(numbers["baseline_lesion_ml"], voxel_ml):
        flags.append(
            f"{numbers['beyond_baseline_ml']:.1f} mL lie outside the baseline lesion: growth, or other "
            "disease that touches it"
        )
    if new_ml > 0:
        flags.append(f"new bright lesion of {new_ml:.2f} mL away from the infarct, reported apart")
    return tuple(flags)


def _opens_to_csf(evidence: Evidence, cavity: Mask) -> bool:
    """Tell whether a tenth of the cavity's surface borders on CSF of the baseline."""
    if not cavity.any():
        return False
    spacing = evidence.grid.spacing_mm
    shell = dilate_mm(cavity, radius_mm=1.05 * float(spacing.min()), spacing_mm=spacing) & ~cavity
    fluid = shell & ~tissue_at_baseline(evidence)
    return bool(np.count_nonzero(fluid) > 0.1 * np.count_nonzero(shell))

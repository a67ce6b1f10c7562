"""Registration of two scans of one participant: from start to verdict."""

from __future__ import annotations

import numpy as np
from threadpoolctl import threadpool_limits

from infarct_vol.images import BrainMask, LesionMask, Scan
from infarct_vol.registration.engine import TUKEY, TUKEY_WIDE, Refined, refine
from infarct_vol.registration.evidence import measured, seen_from_other_scan
from infarct_vol.registration.motion import Matrix
from infarct_vol.registration.pyramid import Pyramid, prepare
from infarct_vol.registration.search import MIDDLE_MM, find_starts, unframed
from infarct_vol.registration.shading import flattened_sides
from infarct_vol.registration.transform import RigidTransform, orthonormal
from infarct_vol.registration.verdict import verdict_on
from infarct_vol.settings import RegistrationSettings

# a step below this share of the spacing no longer matters to the next level
_TOLERANCE_SHARE = 0.01
_FINAL_TOLERANCE_MM = 0.01
_MAX_STEPS = 30


def register(
    fixed: Scan,
    moving: Scan,
    *,
    settings: RegistrationSettings | None = None,
    fixed_brain: BrainMask | None = None,
    moving_brain: BrainMask | None = None,
    fixed_lesion: LesionMask | None = None,
) -> RigidTransform:
    """Find the rigid transform between two scans of one participant, of the same or another contrast.

    Both scans are treated alike: exchanging them inverts the answer, exactly. The same input gives the same
    answer on any number of threads.

    Parameters
    ----------
    fixed, moving
        The two scans, with or without skull. Heads may be turned by up to about 45 degrees.
    settings
        Levels, numbers of points and limits of the verdict.
    fixed_brain, moving_brain
        Brain masks on the scans' grids: where fine levels compare. Without one, the depth of the head.
    fixed_lesion
        Left out of the comparison; on the fixed scan's grid. Changed tissue falls out by itself too.

    Returns
    -------
    RigidTransform
        Points of ``fixed`` (RAS+ mm) -> points of ``moving`` (RAS+ mm), with its quality. A quality of
        ``FAIL`` is returned, not raised: the caller must not go on with it.

    Raises
    ------
    RegistrationError
        If a scan holds nothing to register (constant, no head, fewer than 4 slices).
    """
    settings = settings or RegistrationSettings()
    # the products here are too small to gain from threads, and their number must not touch the result
    with threadpool_limits(limits=1, user_api="blas"):
        first = prepare(fixed, settings=settings, brain=fixed_brain, lesion=fixed_lesion)
        second = prepare(moving, settings=settings, brain=moving_brain)
        # one order for either question: exchanging the scans inverts the answer to the last bit
        exchanged = second.order < first.order
        if exchanged:
            first, second = second, first
        starts = find_starts(first, second, settings=settings)
        fit = _refined(first, second, starts[0].matrix, settings=settings)
        metrics = measured(first, second, fit, starts=starts, settings=settings)
    if exchanged:
        metrics = seen_from_other_scan(metrics)
    same = fixed.modality == moving.modality != "unknown"
    quality = verdict_on(metrics, same_contrast=same, settings=settings)
    found = RigidTransform(orthonormal(unframed(fit.matrices[0], first, second)), quality)
    return found.inverse() if exchanged else found


def _refined(fixed: Pyramid, moving: Pyramid, start: Matrix, *, settings: RegistrationSettings) -> Refined:
    """Refine from 4 mm down to the finest level."""
    levels = sorted((mm for mm in settings.levels_mm if mm < MIDDLE_MM), reverse=True) or [MIDDLE_MM]
    result = Refined(start[None], np.zeros(1, dtype=bool))
    for level_mm in levels:
        first, second = fixed.levels[level_mm], moving.levels[level_mm]
        sides = flattened_sides(first, second, result.matrices[0], knots=settings.knots)
        last = level_mm == levels[-1]
        result = refine(
            sides,
            result.matrices,
            tolerance_mm=_FINAL_TOLERANCE_MM if last else _TOLERANCE_SHARE * level_mm,
            max_steps=_MAX_STEPS,
            tukey=TUKEY if last else TUKEY_WIDE,
        )
    return result

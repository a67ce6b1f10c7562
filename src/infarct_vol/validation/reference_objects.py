"""Digital reference objects through the methods: ellipsoids of known volume, each measured twice.

The second measurement is of the same lesion in a head that has moved, under other slices and other noise:
the lesion lies at another part of a voxel.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np

from infarct_vol.cases import segment_acute, segment_followup
from infarct_vol.images import Identity, LesionMask, Modality, Scan
from infarct_vol.simulation.acquisition import random_pose
from infarct_vol.simulation.contrast import lesion_signal
from infarct_vol.simulation.fields import Field
from infarct_vol.simulation.phantom import (
    BVALUE,
    Acquired,
    Contrast,
    Ellipsoid,
    Phantom,
    acquire,
    build_phantom,
    diffusion_ratio,
    phantom_grid,
    place_ellipsoid,
)
from infarct_vol.validation.measuring import measured_case
from infarct_vol.validation.results import Observed, VolumeCase

ORIENTATIONS = ("LAS", "LPS", "RAS")
"""Array directions of the scans of one head, in turn."""
BASELINE_HOURS, FOLLOW_UP_HOURS = 24.0, 31 * 24.0
"""Age of a lesion at the two visits."""

_SNR = (20.0, 30.0, 40.0)
_COURSES = (0.7, 1.3, 0.45)
_LONGEST, _SPHERES_UNDER_ML = 1.35, 1.0
_MODALITIES: dict[Contrast, Modality] = {"flair": "flair", "s0": "b0", "dwi": "dwi"}


@dataclass(frozen=True)
class ObjectTask:
    """Lesions of stated volumes on one voxel size.

    Parameters
    ----------
    stage
        ``acute``: DWI and b0 with the brain's mask. ``followup``: FLAIR at two visits and the baseline's
        lesion mask; brain and registration are found.
    volumes_ml
        True volumes at baseline. At follow-up they are 0.7, 1.3 and 0.45 times these, in turn.
    """

    stage: Literal["acute", "followup"]
    spacing_mm: tuple[float, float, float]
    volumes_ml: tuple[float, ...]
    seed: int

    @property
    def name(self) -> str:
        """What the progress bar calls it."""
        return f"reference objects, {self.stage}, {self.voxel}"

    @property
    def voxel(self) -> str:
        """Voxel size in words."""
        return "x".join(f"{s:g}" for s in self.spacing_mm) + " mm"

    def work(self) -> Observed:
        """Measure every lesion twice."""
        rng = np.random.default_rng([self.seed, *(round(1000 * s) for s in self.spacing_mm)])
        phantom = build_phantom(rng)
        measured = _acute if self.stage == "acute" else _followup
        return Observed(cases=tuple(measured(self, phantom, rng)))


def head_on_grid(
    phantom: Phantom,
    spacing_mm: tuple[float, float, float],
    contrasts: tuple[Contrast, ...],
    rng: np.random.Generator,
    *,
    orientation: str,
) -> Acquired:
    """Return the healthy phantom in a random position, up to 8 degrees and 10 mm from the middle."""
    pose = random_pose(rng, angle_deg=(1.0, 8.0), shift_mm=(1.0, 10.0), centre=(0.0, 0.0, 0.0))
    grid = phantom_grid(spacing_mm, rng, pose=pose, orientation=orientation)
    return acquire(phantom, grid, contrasts, pose=pose)


def scan_of(
    head: Acquired, contrast: Contrast, ratio: float, share: Field, rng: np.random.Generator, *, snr: float
) -> Scan:
    """Return a noisy scan of the phantom with a lesion; see `Acquired.with_lesion`."""
    image = head.with_lesion(contrast, ratio, share, rng, snr=snr)
    return Scan(image, head.grid, Identity(modality=_MODALITIES[contrast]))


def _acute(task: ObjectTask, phantom: Phantom, rng: np.random.Generator) -> Iterator[VolumeCase]:
    heads = [
        head_on_grid(phantom, task.spacing_mm, ("s0", "dwi"), rng, orientation=axes)
        for axes in ORIENTATIONS[:2]
    ]
    for number, volume_ml in enumerate(task.volumes_ml):
        lesion, snr = _placed(volume_ml, rng), _SNR[number % len(_SNR)]
        signal = lesion_signal(BASELINE_HOURS, lowest_adc_ratio=float(rng.uniform(0.5, 0.7)))
        for head in heads:
            share = lesion.fraction(head.grid, pose=head.pose)
            dwi = scan_of(head, "dwi", diffusion_ratio(signal), share, rng, snr=snr)
            b0 = scan_of(head, "s0", signal.s0, share, rng, snr=snr)
            brain = LesionMask(head.brain, head.grid)
            segment = partial(segment_acute, dwi, b0=b0, bvalue=BVALUE, brain=brain)
            yield measured_case(_case(task, number, lesion, snr), segment, share=share)


def _followup(task: ObjectTask, phantom: Phantom, rng: np.random.Generator) -> Iterator[VolumeCase]:
    before, *heads = (
        head_on_grid(phantom, task.spacing_mm, ("flair",), rng, orientation=axes) for axes in ORIENTATIONS
    )
    acute, late = (lesion_signal(h, lowest_adc_ratio=0.6) for h in (BASELINE_HOURS, FOLLOW_UP_HOURS))
    for number, volume_ml in enumerate(task.volumes_ml):
        course, snr = _COURSES[number % len(_COURSES)], _SNR[number % len(_SNR)]
        largest = _placed(volume_ml * max(course, 1.0), rng)
        lesion = largest.scaled(1 / max(course, 1.0))
        prior = lesion.fraction(before.grid, pose=before.pose)
        baseline = scan_of(before, "flair", acute.flair, prior, rng, snr=snr)
        mask, later = LesionMask(prior >= 0.5, before.grid), lesion.scaled(course)
        for head in heads:
            share = later.fraction(head.grid, pose=head.pose)
            flair = scan_of(head, "flair", late.flair, share, rng, snr=snr)
            segment = partial(segment_followup, flair, baseline_flair=baseline, baseline_mask=mask)
            yield measured_case(_case(task, number, later, snr), segment, share=share)


def _placed(volume_ml: float, rng: np.random.Generator) -> Ellipsoid:
    return place_ellipsoid(volume_ml, rng, longest=1.0 if volume_ml < _SPHERES_UNDER_ML else _LONGEST)


def _case(task: ObjectTask, number: int, lesion: Ellipsoid, snr: float) -> VolumeCase:
    name = f"{task.stage} object {number + 1}, {task.voxel}"
    return VolumeCase(
        group="acute_object" if task.stage == "acute" else "followup_object",
        case=f"{name}, SNR {snr:g}",
        voxel=task.voxel,
        pair=name,
        true_ml=lesion.volume_ml,
    )

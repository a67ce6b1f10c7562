"""One digital patient: the head that stays, and the brain as it is at each visit."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from infarct_vol.geometry import MM3_PER_ML, Grid
from infarct_vol.simulation.anatomy import HEAD_SHAPE, Brain, Tissues, build_brain, head_grid
from infarct_vol.simulation.contrast import (
    State,
    add_hyperintensity,
    add_lesion,
    healthy_state,
    lesion_signal,
    outside_image,
    widen_spaces,
)
from infarct_vol.simulation.fields import Field, smooth_noise
from infarct_vol.simulation.head import Labels, build_head
from infarct_vol.simulation.lesions import Lesion, build_lesion, hyperintensity
from infarct_vol.simulation.scenarios import LesionPlan, ParticipantPlan, VisitPlan

_HYPERINTENSITY_GROWTH_PER_VISIT = 0.01
_WIDENING_BY_VISIT = (0.0, 0.25, 0.55, 0.75)


@dataclass(frozen=True)
class TrueLesion:
    """A lesion as it really is at one visit.

    Parameters
    ----------
    fraction
        (I, J, K) float32 fraction of each 1 mm3 voxel that is lesion.
    grid
        The 1 mm grid of ``fraction`` in head space.
    """

    fraction: Field
    grid: Grid

    @property
    def volume_ml(self) -> float:
        """Exact volume: the sum of fraction times voxel volume."""
        return float(self.fraction.sum(dtype=np.float64)) / MM3_PER_ML


@dataclass(frozen=True)
class _Placed:
    """A lesion, its plan and the irregularity of its signal."""

    plan: LesionPlan
    lesion: Lesion
    texture: Field


@dataclass(frozen=True)
class Patient:
    """All that is made once per participant."""

    plan: ParticipantPlan
    brain: Tissues
    labels: Labels
    healthy: State
    infarct: _Placed
    new_infarct: _Placed | None
    old_infarct: _Placed | None
    white_matter: Lesion
    texture: NDArray[np.float16]
    outside: dict[str, NDArray[np.float16]] = field(default_factory=dict)

    def outside_brightness(self, contrast: str) -> NDArray[np.float16]:
        """Return the brightness outside the brain, made once per contrast."""
        if contrast not in self.outside:
            self.outside[contrast] = outside_image(self.labels, self.texture, contrast=contrast)
        return self.outside[contrast]

    @property
    def surface_points(self) -> NDArray[np.float64]:
        """(N, 3) points of the brain in head space, RAS+ mm; enough of them to know its extent."""
        solid = self.brain.whole[::3, ::3, ::3] > 0.5
        start = [s.start for s in self.brain.box]
        return head_grid().to_world(3 * np.argwhere(solid) + start)


def build_patient(plan: ParticipantPlan) -> Patient:
    """Make the head, the brain and the lesions of one participant."""
    brain = build_brain(plan.anatomy, plan.rng(1))
    return Patient(
        plan=plan,
        brain=brain.tissues(),
        labels=build_head(brain, plan.head, plan.rng(2)),
        healthy=healthy_state(brain, plan.rng(3)),
        infarct=_place(brain, plan.infarct, plan.rng(4)),
        new_infarct=None if plan.new_infarct is None else _place(brain, plan.new_infarct, plan.rng(5)),
        old_infarct=None if plan.old_infarct is None else _place(brain, plan.old_infarct, plan.rng(6)),
        white_matter=hyperintensity(brain, plan.rng(7), largest_ml=1.1 * plan.hyperintensity_ml),
        texture=_outside_texture(plan.rng(8)),
    )


def _outside_texture(rng: np.random.Generator) -> NDArray[np.float16]:
    texture = smooth_noise(HEAD_SHAPE, rng, knot_spacing_voxels=3)
    texture *= np.float32(0.13)
    texture += 1
    return texture.astype(np.float16)


def _place(brain: Brain, plan: LesionPlan, rng: np.random.Generator) -> _Placed:
    lesion = build_lesion(brain, plan.kind, rng, side=plan.side, largest_ml=max(plan.volumes_ml))
    shape = lesion.depth.shape
    texture = 1 + np.float32(0.10) * smooth_noise(shape, rng, knot_spacing_voxels=9)
    texture += np.float32(0.10) * smooth_noise(shape, rng, knot_spacing_voxels=4)
    return _Placed(plan, lesion, np.clip(texture, 0.6, 1.4))


def at_visit(patient: Patient, visit: VisitPlan) -> tuple[State, dict[str, TrueLesion]]:
    """Return the brain at one visit, and what is truly infarct, cavity and new lesion in it.

    Returns
    -------
    State
        Tissue and signal ratios on the brain's box.
    dict
        ``infarct`` (rim and cavity of the original infarct), ``cavity`` and ``new_lesion``.
    """
    grown = 1 + _HYPERINTENSITY_GROWTH_PER_VISIT * visit.number
    spots = patient.white_matter.membership(patient.plan.hyperintensity_ml * grown)
    state = patient.healthy.copy()
    add_hyperintensity(state, patient.white_matter, spots)
    if patient.old_infarct is not None:
        _add(state, patient.brain, patient.old_infarct, visit)
    # before the infarct is put in: its cavity is no space that widens
    _shrink_around(state, patient, visit)
    infarct, cavity = _add(state, patient.brain, patient.infarct, visit)
    new = _nothing(patient.brain)
    if patient.new_infarct is not None:
        new, _ = _add(state, patient.brain, patient.new_infarct, visit)
    return state, {"infarct": infarct, "cavity": cavity, "new_lesion": new}


def _add(state: State, brain: Tissues, placed: _Placed, visit: VisitPlan) -> tuple[TrueLesion, TrueLesion]:
    """Put a lesion into the state, and return the whole of it and its cavity."""
    plan, lesion = placed.plan, placed.lesion
    volume_ml, cavity_ml = plan.volumes_ml[visit.number], plan.cavities_ml[visit.number]
    membership = lesion.membership(volume_ml)
    cavity = lesion.cavity(cavity_ml, lesion_ml=volume_ml)
    signal = lesion_signal(
        visit.hours_since_onset - plan.onset_hours,
        lowest_adc_ratio=plan.lowest_adc_ratio,
        strength=plan.strength,
    )
    add_lesion(state, lesion, signal, membership=membership, cavity=cavity, texture=placed.texture)
    box = [slice(b.start + s.start, b.start + s.stop) for b, s in zip(brain.box, lesion.box, strict=True)]
    grid = head_grid().crop(box)
    return TrueLesion(lesion.fraction(membership), grid), TrueLesion(lesion.fraction(cavity), grid)


def _shrink_around(state: State, patient: Patient, visit: VisitPlan) -> None:
    """Widen the spaces around an infarct in proportion to what it has lost."""
    plan, lesion = patient.infarct.plan, patient.infarct.lesion
    now, before = plan.volumes_ml[visit.number], plan.volumes_ml[0]
    lost = 1 - now / before
    if visit.number == 0 or lost <= 0.02 or now == 0:
        return
    amount = _WIDENING_BY_VISIT[visit.number] * min(1.0, 1.6 * lost)
    widen_spaces(state, lesion, lesion.membership(now), amount=amount)


def _nothing(brain: Tissues) -> TrueLesion:
    grid = head_grid().crop([slice(b.start, b.start + 1) for b in brain.box])
    return TrueLesion(np.zeros((1, 1, 1), dtype=np.float32), grid)


def brain_fraction(patient: Patient) -> TrueLesion:
    """Return the fraction of each voxel inside the brain's surface, ventricles and sulci included."""
    return TrueLesion(patient.brain.whole, head_grid().crop(patient.brain.box))

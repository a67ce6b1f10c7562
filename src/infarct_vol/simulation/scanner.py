"""A visit to the scanner: one head, one state of its brain, one site's protocol -> images on native grids."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage as ndi
from scipy.spatial.transform import Rotation

from infarct_vol.geometry import Grid
from infarct_vol.simulation.acquisition import (
    HeadVolume,
    Matrix,
    Prescription,
    bias_field,
    coil_falloff,
    nyquist_ghost,
    prescribe,
    random_pose,
    rician,
    sample,
)
from infarct_vol.simulation.anatomy import CENTRE_MM, Tissues, head_axes, head_grid
from infarct_vol.simulation.contrast import (
    FLAIR_WM,
    S0_WM,
    T1W_WM,
    State,
    diffusion_signal,
    flair_signal,
    t1w_signal,
    whole_head,
)
from infarct_vol.simulation.fields import Field, bump, smooth_noise
from infarct_vol.simulation.patient import Patient
from infarct_vol.simulation.scenarios import ParticipantPlan, VisitPlan
from infarct_vol.simulation.sites import Site

BVALUE = 1000.0
_TILT_FOLLOWS = 0.85
_EPI_SUBS_IN_PLANE = 2
_GOLDEN = (1 + 5**0.5) / 2
# opposite corners of an icosahedron: the mean of (g.v)^2 over them is 1/3 for every v
_SIX_DIRECTIONS = np.array(
    [(1, _GOLDEN, 0), (-1, _GOLDEN, 0), (0, 1, _GOLDEN), (0, -1, _GOLDEN), (_GOLDEN, 0, 1), (_GOLDEN, 0, -1)]
) / np.hypot(1, _GOLDEN)


@dataclass(frozen=True)
class Position:
    """Where a head lies during one series; ``pose`` maps head space to scanner space, both RAS+ mm."""

    pose: Matrix
    grid: Grid
    subs: tuple[int, int, int]


@dataclass(frozen=True)
class Diffusion:
    """Diffusion images of one visit, on one grid.

    Parameters
    ----------
    b0, trace
        (I, J, K) float32 intensities.
    adc_um2_per_s
        (I, J, K) float32, as the scanner computes it from the noisy images; 0 where it does not.
    series, bvalues, directions
        For sites that export the series: (I, J, K, N), (N,) s/mm2 and (N, 3) unit vectors as in a
        ``.bvec`` file: along the array axes, x reversed where the affine's determinant is positive.
    """

    b0: Field
    trace: Field
    adc_um2_per_s: Field
    series: Field | None = None
    bvalues: NDArray[np.float64] | None = None
    directions: NDArray[np.float64] | None = None


def head_pose(plan: ParticipantPlan, visit: VisitPlan) -> Matrix:
    """Return the pose of the head in the FLAIR of a visit: up to 15 degrees and 20 mm from baseline's."""
    first = random_pose(plan.rng(20), angle_deg=(0.5, 5.0), shift_mm=(0.5, 6.0), centre=CENTRE_MM)
    if visit.number == 0:
        return first
    centre = (first @ [*CENTRE_MM, 1.0])[:3]
    limit = 7.0 if plan.compact else 15.0
    moved = random_pose(
        plan.rng(20, visit.number), angle_deg=(1.5, limit), shift_mm=(2.0, 20.0), centre=centre
    )
    return np.asarray(moved @ first)


def position_flair(patient: Patient, visit: VisitPlan) -> Position:
    """Lay the FLAIR slices on the head."""
    site, rng = patient.plan.site, patient.plan.rng(21, visit.number)
    pose = head_pose(patient.plan, visit)
    return _position(patient, pose, site.flair_spacing_mm, site.flair_fov_mm, rng, in_plane=1)


def position_diffusion(patient: Patient, visit: VisitPlan) -> Position:
    """Lay the diffusion slices on the head, which has moved a little since the FLAIR."""
    site, rng = patient.plan.site, patient.plan.rng(22, visit.number)
    flair_pose = head_pose(patient.plan, visit)
    centre = (flair_pose @ [*CENTRE_MM, 1.0])[:3]
    moved = random_pose(rng, angle_deg=(0.1, 2.0), shift_mm=(0.1, 2.0), centre=centre)
    pose = np.asarray(moved @ flair_pose)
    return _position(patient, pose, site.dwi_spacing_mm, site.dwi_fov_mm, rng, in_plane=_EPI_SUBS_IN_PLANE)


def _position(
    patient: Patient,
    pose: Matrix,
    spacing_mm: tuple[float, float, float],
    fov_mm: tuple[float, float],
    rng: np.random.Generator,
    *,
    in_plane: int,
) -> Position:
    site, thick = patient.plan.site, spacing_mm[2] > 2
    tilt = np.zeros(3)
    if site.oblique:
        turned = Rotation.from_matrix(pose[:3, :3]).as_rotvec(degrees=True)
        tilt = _TILT_FOLLOWS * turned + rng.uniform(-3, 3, 3)
    plan = Prescription(
        spacing_mm=spacing_mm,
        in_plane_fov_mm=fov_mm,
        orientation=site.orientation,
        tilt_deg=(float(tilt[0]), float(tilt[1]), float(tilt[2])),
        margin_mm=(5.0, 5.0) if patient.plan.compact else (14.0, 9.0) if thick else (24.0, 14.0),
    )
    if patient.plan.compact:
        plan = replace(plan, in_plane_fov_mm=_tight_fov(patient, pose, plan))
    grid = prescribe(plan, patient.surface_points, rng, pose=pose)
    subs = (in_plane, in_plane, max(1, round(spacing_mm[2])))
    return Position(pose, grid, subs)


def _tight_fov(patient: Patient, pose: Matrix, plan: Prescription) -> tuple[float, float]:
    """Return a field of view that just holds the head."""
    turn = Rotation.from_rotvec(np.radians(plan.tilt_deg)).as_matrix()
    local = (patient.surface_points @ pose[:3, :3].T) @ turn
    width, depth = np.ptp(local, axis=0)[:2] + 40.0
    return min(float(width), plan.in_plane_fov_mm[0]), min(float(depth), plan.in_plane_fov_mm[1])


# ---- FLAIR and T1w ---------------------------------------------------------------------------------------


def scan_flair(patient: Patient, state: State, visit: VisitPlan, position: Position) -> Field:
    """Acquire a FLAIR image; (I, J, K) float32 intensities on the position's grid."""
    outside = patient.outside_brightness("flair_fatsat" if patient.plan.site.fat_saturated_flair else "flair")
    image = _sampled(outside, patient.brain, flair_signal(state), position)
    return _received(image, patient, position, rng=patient.plan.rng(31, visit.number), level=FLAIR_WM)


def scan_t1w(patient: Patient, state: State, visit: VisitPlan, position: Position) -> Field:
    """Acquire a T1w image; (I, J, K) float32 intensities on the position's grid."""
    image = _sampled(patient.outside_brightness("t1w"), patient.brain, t1w_signal(state), position)
    return _received(image, patient, position, rng=patient.plan.rng(37, visit.number), level=T1W_WM)


def _received(
    image: Field, patient: Patient, position: Position, *, rng: np.random.Generator, level: float
) -> Field:
    """Add shading, noise and the scanner's scale; ``level`` is the signal of white matter."""
    site = patient.plan.site
    image *= bias_field(position.grid, rng, peak=float(rng.uniform(0.10, 0.28)))
    image *= _coil(position)
    image = rician(image, rng, sigma=level / float(rng.uniform(*site.snr)))
    image *= np.float32(site.flair_level / level * rng.uniform(0.85, 1.2))
    return _without_air(image, patient, position)


# ---- diffusion -------------------------------------------------------------------------------------------


def scan_diffusion(patient: Patient, state: State, visit: VisitPlan, position: Position) -> Diffusion:
    """Acquire the diffusion images of a visit."""
    site, rng = patient.plan.site, patient.plan.rng(32, visit.number)
    field = bias_field(position.grid, rng, peak=float(rng.uniform(0.08, 0.22))) * _coil(position)
    field *= np.float32(site.dwi_level / S0_WM * rng.uniform(0.85, 1.2))
    ghost = float(rng.uniform(0.01, 0.03))
    sigma = site.dwi_level / float(rng.uniform(*site.snr))
    strain = _susceptibility(patient, rng)
    epi = _Epi(patient, position, field, strain, ghost)
    b0 = epi.clean(diffusion_signal(state, bvalue=0), "s0")
    if site.diffusion == "series":
        return _series(epi, state, b0, sigma, rng)
    trace = epi.clean(diffusion_signal(state, bvalue=BVALUE), "dwi")
    b0 = rician(b0, rng, sigma=sigma)
    trace = rician(trace, rng, sigma=sigma / 3**0.5)
    b0, trace = (_without_air(a, patient, position) for a in (b0, trace))
    return Diffusion(b0, trace, _scanner_adc(b0, trace, site))


@dataclass(frozen=True)
class _Epi:
    """What all echo-planar images of a visit share."""

    patient: Patient
    position: Position
    field: Field
    strain: Field
    ghost: float

    def clean(self, signal: Field, outside: str) -> Field:
        """Return the image before noise."""
        around, brain = self.patient.outside_brightness(outside), self.patient.brain
        signal *= self.strain
        image = _sampled(around, brain, signal, self.position) * self.field
        front_back = int(np.argmax(np.abs(np.linalg.inv(self.position.grid.affine)[:3, 1])))
        return nyquist_ghost(image, level=self.ghost, axis=front_back)


def _series(epi: _Epi, state: State, b0: Field, sigma: float, rng: np.random.Generator) -> Diffusion:
    site = epi.patient.plan.site
    directions = np.eye(3) if site.directions == 3 else _SIX_DIRECTIONS
    fibre = _fibres(epi.patient)
    weighted = []
    for direction in directions:
        stretch = _stretch(epi.patient, fibre, direction, epi.position.pose)
        image = epi.clean(diffusion_signal(state, bvalue=BVALUE, stretch=stretch), "dwi")
        weighted.append(rician(image, rng, sigma=sigma))
    two = [rician(b0, rng, sigma=sigma) for _ in range(2)]
    trace = np.exp(np.mean([np.log(np.maximum(w, 1e-3)) for w in weighted], axis=0, dtype=np.float32))
    mean_b0 = np.asarray(0.5 * (two[0] + two[1]), dtype=np.float32)
    axes = epi.position.grid.affine[:3, :3] / epi.position.grid.spacing_mm
    vectors = np.vstack([np.zeros((2, 3)), directions @ axes])
    if np.linalg.det(axes) > 0:
        vectors[:, 0] *= -1  # .bvec files count x from the patient's right, as radiological images do
    return Diffusion(
        b0=mean_b0,
        trace=trace,
        adc_um2_per_s=_scanner_adc(mean_b0, trace, site),
        series=np.stack([*two, *weighted], axis=-1),
        bvalues=np.array([0.0, 0.0, *([BVALUE] * len(directions))]),
        directions=vectors,
    )


def _fibres(patient: Patient) -> tuple[NDArray[np.float16], ...]:
    """Return a smooth field of unit vectors: the direction in which water moves most in white matter."""
    rng, shape = patient.plan.rng(9), patient.brain.csf.shape
    # half precision: a degree of direction does not matter, memory does
    vector = [smooth_noise(shape, rng, knot_spacing_voxels=20).astype(np.float16) for _ in range(3)]
    length = np.zeros(shape, dtype=np.float32)
    for component in vector:
        length += np.square(component, dtype=np.float32)
    np.sqrt(length, out=length)
    np.maximum(length, np.float32(1e-3), out=length)
    return tuple((component / length).astype(np.float16) for component in vector)


def _stretch(
    patient: Patient, fibre: tuple[NDArray[np.float16], ...], direction: NDArray[np.float64], pose: Matrix
) -> Field:
    """Return diffusion along a direction of the scanner against its mean over all directions."""
    along = np.zeros(patient.brain.wm.shape, dtype=np.float32)
    for component, gradient in zip(fibre, pose[:3, :3].T @ direction, strict=True):
        along += component * np.float32(gradient)
    along *= along
    along *= 3
    along -= 1
    along *= np.float32(0.30) * patient.brain.wm
    along /= np.maximum(patient.brain.parenchyma, np.float32(0.05))
    along += 1
    return along


def _scanner_adc(b0: Field, trace: Field, site: Site) -> Field:
    """Return the ADC map in 1e-6 mm2/s as a scanner makes it from its own noisy images."""
    seen = (b0 > 0) & (trace > 0)
    if site.zeroed_air:
        seen &= b0 > 0.12 * site.dwi_level
    ratio = np.where(seen, np.maximum(b0, 1e-3) / np.maximum(trace, 1e-3), 1)
    return np.asarray(np.log(ratio) * np.float32(1e6 / BVALUE), dtype=np.float32)


def _susceptibility(patient: Patient, rng: np.random.Generator) -> Field:
    """Return brightness and loss of echo-planar signal at the air of frontal sinus and petrous bone."""
    axes = head_axes(patient.brain.box)
    factor = np.ones(patient.brain.csf.shape, dtype=np.float32)
    for side in (-1, 1):
        strength = np.float32(rng.uniform(0.7, 1.25))
        factor += np.float32(0.55) * strength * bump(axes, (side * 12, 48, -17), (9, 8, 6))
        factor -= np.float32(0.60) * strength * bump(axes, (side * 9, 40, -27), (8, 12, 5))
        factor += np.float32(0.50) * strength * bump(axes, (side * 52, -22, -27), (7, 11, 5))
        factor -= np.float32(0.40) * strength * bump(axes, (side * 54, -22, -36), (7, 10, 5))
    return np.asarray(np.clip(factor, 0.1, 2.0), dtype=np.float32)


# ---- shared ----------------------------------------------------------------------------------------------


def _sampled(outside: NDArray[np.float16], brain: Tissues, signal: Field, position: Position) -> Field:
    """Average the head's signal over the voxels of a series."""
    volume = HeadVolume.of(whole_head(outside, brain, signal), head_grid())
    return sample(volume, position.grid, pose=position.pose, subs=position.subs)


def _coil(position: Position) -> Field:
    foot = position.pose @ np.array([0.0, -30.0, -88.0, 1.0])
    return coil_falloff(position.grid, float(foot[2]))


def _without_air(image: Field, patient: Patient, position: Position) -> Field:
    """Set far air to 0 where the vendor does so."""
    if not patient.plan.site.zeroed_air:
        return image
    volume = HeadVolume.of((patient.labels > 0).astype(np.float32), head_grid())
    near = sample(volume, position.grid, pose=position.pose, subs=(1, 1, 1)) > 0.05
    near = ndi.binary_dilation(near, ndi.generate_binary_structure(3, 1), iterations=1)
    near = np.stack([ndi.binary_fill_holes(s) for s in np.moveaxis(near, 2, 0)], axis=2)
    return np.where(near, image, np.float32(0))

"""Digital reference objects: ellipsoids of exactly known volume in a brain made of ellipsoids.

Simpler than a digital patient on purpose: the true volume is a formula, and each voxel's share of the
lesion is counted at sub-samples, so that what differs from the truth is the method's doing. Brightness,
diffusion, shading and noise are those of the digital patients.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from infarct_vol.geometry import MM3_PER_ML, Grid
from infarct_vol.simulation.acquisition import (
    HeadVolume,
    Matrix,
    Prescription,
    bias_field,
    prescribe,
    rician,
    sample,
)
from infarct_vol.simulation.contrast import (
    ADC_WM,
    FLAIR_WM,
    S0_WM,
    LesionSignal,
    State,
    diffusion_signal,
    flair_signal,
)
from infarct_vol.simulation.fields import Field, ellipsoid_distance, smooth_noise, soft_step

Contrast = Literal["flair", "s0", "dwi"]
BVALUE = 1000.0
"""b-value of the diffusion-weighted image, in s/mm2."""
BRAIN_RADII_MM = (66.0, 84.0, 60.0)
"""Half axes of the brain, left-right, front-back and head-foot: 1390 mL."""

_SHAPE = (172, 208, 160)
_CORTEX_MM, _FLUID_MM, _SKULL_MM, _SCALP_MM = 4.0, 2.0, 6.5, 6.0
_FOLDS_MM, _EDGE_MM = 1.5, 1.0
_VENTRICLE_RADII_MM = (4.0, 28.0, 7.0)
_VENTRICLE_CENTRES_MM = ((-8.0, 0.0, 4.0), (8.0, 0.0, 4.0))
# fat of the scalp: bright on FLAIR, nearly dark on echo-planar images, whose fat is saturated
_SCALP: dict[Contrast, float] = {"flair": 60.0, "s0": 6.0, "dwi": 3.0}
_WHITE_MATTER: dict[Contrast, float] = {
    "flair": FLAIR_WM,
    "s0": S0_WM,
    "dwi": float(S0_WM * np.exp(-BVALUE * 1e-6 * ADC_WM)),
}
_STEPS_PER_RADIUS = 20
_STEP_LIMITS_MM = (0.15, 0.5)
_ROOM_MM = 1.0
_TRIES = 5000
_SURFACE_POINTS = 300


# ---- lesions ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ellipsoid:
    """An ellipsoid in head space, RAS+ mm.

    Parameters
    ----------
    centre_mm, radii_mm
        Centre and half axes.
    turn_deg
        Rotation vector of the half axes, in degrees.
    """

    centre_mm: tuple[float, float, float]
    radii_mm: tuple[float, float, float]
    turn_deg: tuple[float, float, float] = (0.0, 0.0, 0.0)

    @property
    def volume_ml(self) -> float:
        """Exact volume, 4/3 pi times the half axes."""
        return float(4 / 3 * np.pi * np.prod(self.radii_mm)) / MM3_PER_ML

    def scaled(self, factor: float) -> Ellipsoid:
        """Return the ellipsoid of ``factor`` times the volume around the same centre."""
        a, b, c = (float(r * np.cbrt(factor)) for r in self.radii_mm)
        return replace(self, radii_mm=(a, b, c))

    def level(self, points_mm: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return, for (..., 3) points in mm, 0 at the centre and 1 on the surface."""
        return np.asarray(np.linalg.norm((points_mm - self.centre_mm) @ self._axes / self.radii_mm, axis=-1))

    def surface_points(self) -> NDArray[np.float64]:
        """(N, 3) points spread evenly over the surface, RAS+ mm."""
        at = np.arange(_SURFACE_POINTS) + 0.5
        height, angle = 1 - 2 * at / _SURFACE_POINTS, np.pi * (1 + 5**0.5) * at
        ring = np.sqrt(1 - height**2)
        unit = np.stack([ring * np.cos(angle), ring * np.sin(angle), height], axis=1)
        return np.asarray(self.centre_mm + (unit * self.radii_mm) @ self._axes.T)

    @property
    def _axes(self) -> Matrix:
        return np.asarray(Rotation.from_rotvec(np.radians(self.turn_deg)).as_matrix())

    def fraction(self, grid: Grid, *, pose: Matrix) -> Field:
        """Return the share of every voxel that lies inside.

        Parameters
        ----------
        grid
            Voxel grid in scanner space.
        pose
            (4, 4) head space to scanner space, RAS+ mm.

        Returns
        -------
        (I, J, K) float32; where the surface passes, sub-samples are counted that lie a twentieth of the
        smallest half axis apart, at most 0.5 mm.
        """
        out = np.zeros(grid.shape, dtype=np.float32)
        box = self._box(grid, pose)
        if all(part.start < part.stop for part in box):
            out[box] = self._fraction_within(grid.crop(box), pose)
        return out

    def _box(self, grid: Grid, pose: Matrix) -> tuple[slice, slice, slice]:
        """Return slices of a grid around the ellipsoid, a voxel wider than its longest half axis."""
        middle = grid.to_index(pose[:3, :3] @ self.centre_mm + pose[:3, 3])
        half = max(self.radii_mm) * np.linalg.norm(np.linalg.inv(grid.affine)[:3, :3], axis=1) + 1
        low = np.maximum(np.floor(middle - half), 0).astype(int)
        high = np.minimum(np.ceil(middle + half) + 1, grid.shape).astype(int)
        x, y, z = (slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
        return x, y, z

    def _fraction_within(self, grid: Grid, pose: Matrix) -> Field:
        to_head = np.linalg.inv(pose) @ grid.affine
        index = np.moveaxis(np.indices(grid.shape, dtype=np.float64), 0, -1)
        level = self.level(index @ to_head[:3, :3].T + to_head[:3, 3])
        reach = 0.5 * float(np.linalg.norm(grid.spacing_mm)) / min(self.radii_mm)
        out = (level <= 1).astype(np.float32)
        edge = np.abs(level - 1) <= reach
        step_mm = np.clip(min(self.radii_mm) / _STEPS_PER_RADIUS, *_STEP_LIMITS_MM)
        counts = np.ceil(grid.spacing_mm / step_mm).astype(int)
        ticks = [(np.arange(n) + 0.5) / n - 0.5 for n in counts]
        steps = np.stack(np.meshgrid(*ticks, indexing="ij"), axis=-1)
        offsets = steps.reshape(-1, 3) @ to_head[:3, :3].T
        middles = index[edge] @ to_head[:3, :3].T + to_head[:3, 3]
        out[edge] = [(self.level(middle + offsets) <= 1).mean() for middle in middles]
        return out


def place_ellipsoid(volume_ml: float, rng: np.random.Generator, *, longest: float = 1.0) -> Ellipsoid:
    """Return an ellipsoid of a stated volume at a random place in the tissue of one hemisphere.

    Parameters
    ----------
    volume_ml
        At most 100 mL.
    longest
        Half axis along front-back against a sphere's; 1 gives a sphere, turned ellipsoids otherwise.

    Raises
    ------
    ValueError
        If the tissue does not hold it.
    """
    radius = float(np.cbrt(volume_ml * MM3_PER_ML * 3 / (4 * np.pi)))
    shape = np.array([longest**-0.6, longest, longest**-0.4])
    a, b, c = (float(r) for r in radius * shape)
    for _ in range(_TRIES):
        x, y, z = (float(v) for v in rng.uniform(-1, 1, 3) * BRAIN_RADII_MM)
        turn = rng.uniform(-20, 20, 3) if longest > 1 else np.zeros(3)
        lesion = Ellipsoid((x, y, z), (a, b, c), (float(turn[0]), float(turn[1]), float(turn[2])))
        if _is_in_tissue(lesion):
            return lesion
    msg = f"the phantom's tissue does not hold an ellipsoid of {volume_ml:g} mL"
    raise ValueError(msg)


def _is_in_tissue(lesion: Ellipsoid) -> bool:
    """Tell whether a lesion keeps clear of midline, ventricles and the fluid around the brain."""
    points = lesion.surface_points()
    if np.abs(points[:, 0]).min() < _ROOM_MM or np.ptp(np.sign(points[:, 0])) > 0:
        return False
    margin = _ROOM_MM + _FOLDS_MM
    brain = Ellipsoid((0.0, 0.0, 0.0), _shrunk(BRAIN_RADII_MM, margin))
    if (brain.level(points) > 1).any():
        return False
    spaces = [Ellipsoid(c, _shrunk(_VENTRICLE_RADII_MM, -_ROOM_MM)) for c in _VENTRICLE_CENTRES_MM]
    apart = all((lesion.level(s.surface_points()) > 1).all() for s in spaces)
    return apart and all((s.level(points) > 1).all() for s in spaces)


def _shrunk(radii_mm: tuple[float, float, float], by_mm: float) -> tuple[float, float, float]:
    return radii_mm[0] - by_mm, radii_mm[1] - by_mm, radii_mm[2] - by_mm


# ---- the phantom -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Phantom:
    """A head of nested ellipsoids: scalp, skull, fluid, folded cortex, white matter, ventricles.

    Parameters
    ----------
    state
        Tissue fractions and signal ratios at 1 mm, on ``grid``.
    scalp
        (I, J, K) float32 fraction of scalp at 1 mm.
    grid
        1 mm grid in head space, RAS+ mm.
    """

    state: State
    scalp: Field
    grid: Grid

    def brightness(self, contrast: Contrast) -> Field:
        """Return the noiseless brightness of the healthy head at 1 mm."""
        if contrast == "flair":
            image = flair_signal(self.state)
        else:
            image = diffusion_signal(self.state, bvalue=BVALUE if contrast == "dwi" else 0)
        image += np.float32(_SCALP[contrast]) * self.scalp
        return image


def build_phantom(rng: np.random.Generator) -> Phantom:
    """Make a phantom with an own cortex and texture."""
    affine = np.eye(4)
    affine[:3, 3] = -(np.array(_SHAPE) - 1) / 2
    axes = _axes_mm(affine)
    origin = (0.0, 0.0, 0.0)
    deep = ellipsoid_distance(axes, origin, BRAIN_RADII_MM)
    folds = np.float32(_FOLDS_MM) * smooth_noise(_SHAPE, rng, knot_spacing_voxels=7)
    whole = soft_step(deep + np.float32(_FLUID_MM), width=_EDGE_MM)
    spaces = [
        soft_step(ellipsoid_distance(axes, c, _VENTRICLE_RADII_MM), width=_EDGE_MM)
        for c in _VENTRICLE_CENTRES_MM
    ]
    tissue = soft_step(deep + np.minimum(folds, 0), width=_EDGE_MM) * (1 - spaces[0]) * (1 - spaces[1])
    white = soft_step(deep - np.float32(_CORTEX_MM) + folds, width=_EDGE_MM) * tissue
    skull = np.float32(_FLUID_MM + _SKULL_MM)
    scalp = soft_step(deep + skull + np.float32(_SCALP_MM), width=_EDGE_MM)
    scalp -= soft_step(deep + skull, width=_EDGE_MM)
    state = State(whole - tissue, tissue - white, white, *_ratios(rng))
    return Phantom(state, scalp, Grid(_SHAPE, affine))


def _axes_mm(affine: Matrix) -> tuple[Field, Field, Field]:
    x, y, z = (
        np.arange(n, dtype=np.float32) + np.float32(o) for n, o in zip(_SHAPE, affine[:3, 3], strict=True)
    )
    return x[:, None, None], y[None, :, None], z[None, None, :]


def _ratios(rng: np.random.Generator) -> tuple[Field, Field, Field]:
    """Return how FLAIR, b0 and diffusion of healthy tissue vary from place to place."""
    flair = 1 + np.float32(0.03) * smooth_noise(_SHAPE, rng, knot_spacing_voxels=10)
    s0 = 1 + np.float32(0.03) * smooth_noise(_SHAPE, rng, knot_spacing_voxels=22)
    adc = 1 + np.float32(0.05) * smooth_noise(_SHAPE, rng, knot_spacing_voxels=6)
    return flair, s0, adc


# ---- images ----------------------------------------------------------------------------------------------


def phantom_grid(
    spacing_mm: tuple[float, float, float],
    rng: np.random.Generator,
    *,
    pose: Matrix,
    orientation: str = "LAS",
) -> Grid:
    """Lay slices on the phantom, a random part of a voxel away from its middle."""
    plan = Prescription(
        spacing_mm=spacing_mm,
        in_plane_fov_mm=(2 * BRAIN_RADII_MM[0] + 40, 2 * BRAIN_RADII_MM[1] + 40),
        orientation=orientation,
        margin_mm=(8.0, 8.0),
    )
    surface = Ellipsoid((0.0, 0.0, 0.0), BRAIN_RADII_MM).surface_points()
    return prescribe(plan, surface, rng, pose=pose)


@dataclass(frozen=True)
class Acquired:
    """The healthy phantom on one native grid, before lesion and noise.

    Parameters
    ----------
    images
        (I, J, K) float32 noiseless images by contrast.
    brain
        (I, J, K) bool: voxels at least half inside the brain's surface.
    """

    images: dict[Contrast, Field]
    brain: NDArray[np.bool_]
    grid: Grid
    pose: Matrix

    def with_lesion(
        self, contrast: Contrast, ratio: float, share: Field, rng: np.random.Generator, *, snr: float
    ) -> Field:
        """Return a noisy image with a lesion.

        Parameters
        ----------
        ratio
            Brightness of the lesion against healthy tissue.
        share
            (I, J, K) share of each voxel that is lesion.
        snr
            White matter on b0 or FLAIR against the noise of one image; a trace image averages three.
        """
        level = _WHITE_MATTER["flair" if contrast == "flair" else "s0"]
        sigma = level / snr / (3**0.5 if contrast == "dwi" else 1)
        image = self.images[contrast] * (1 + share * np.float32(ratio - 1))
        image *= bias_field(self.grid, rng, peak=0.12)
        return rician(image, rng, sigma=sigma)


def acquire(phantom: Phantom, grid: Grid, contrasts: tuple[Contrast, ...], *, pose: Matrix) -> Acquired:
    """Sample the healthy phantom on a native grid."""
    x, y, z = (max(1, round(float(s))) for s in grid.spacing_mm)

    def sampled(data: Field) -> Field:
        return sample(HeadVolume.of(data, phantom.grid), grid, pose=pose, subs=(x, y, z))

    state = phantom.state
    images = {name: sampled(phantom.brightness(name)) for name in contrasts}
    brain = sampled(state.csf + state.gm + state.wm) >= 0.5
    return Acquired(images, brain, grid, pose)


def diffusion_ratio(signal: LesionSignal) -> float:
    """Return the brightness of a lesion on the diffusion-weighted image against healthy white matter."""
    return float(signal.s0 * np.exp(-BVALUE * 1e-6 * ADC_WM * (signal.adc - 1)))

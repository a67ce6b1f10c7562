"""Infarct shapes: irregular, in parenchyma, in the territory they belong to, of a stated volume.

A lesion is a depth field: about the distance in mm inside its edge. Raising the threshold on it shrinks
the lesion to its cores, lowering it lets the lesion grow; the volume asked for settles the threshold.
Places and sizes follow the vascular territories of the MNI brain.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from infarct_vol.geometry import MM3_PER_ML
from infarct_vol.simulation.anatomy import Box, Brain
from infarct_vol.simulation.fields import (
    Field,
    bounding_slices,
    ellipsoid_distance,
    smooth_noise,
    soft_step,
)

LesionKind = Literal[
    "territorial", "wedge", "embolic", "striatocapsular", "lacunar", "brainstem", "cerebellar"
]
EDGE_MM = 1.6
"""Width over which an infarct's edge goes from nothing to all."""
RIM_MM = 1.8
"""Least width of the gliotic rim around a cavity."""
_REACH_MM = 14.0
"""How far beyond its first edge a lesion is kept, so that it can grow later."""
_CAVITY_RAGGED_MM = 2.0
_SOLVER_STEPS = 32


@dataclass(frozen=True)
class Lesion:
    """One lesion of one person.

    Parameters
    ----------
    box
        Slices of the brain's arrays that the fields below fill.
    depth
        (I, J, K) float32: about mm inside the edge.
    core
        (I, J, K) float32: the same with an irregularity of its own; cavities follow it.
    territory
        (I, J, K) float32: share of the voxel's tissue that lies in the lesion's territory.
    tissue
        (I, J, K) float32: fraction of the voxel that can be lesion - tissue in the territory.
    """

    box: Box
    depth: Field
    core: Field
    territory: Field
    tissue: Field

    def membership(self, volume_ml: float) -> Field:
        """Return the share, 0 to 1, of each voxel's parenchyma that is lesion at this volume.

        Raises
        ------
        ValueError
            If the territory does not hold the volume.
        """
        if volume_ml <= 0:
            return np.zeros_like(self.depth)
        return soft_step(
            self.depth - np.float32(_threshold(self.depth, self.tissue, volume_ml)), width=EDGE_MM
        )

    def cavity(self, volume_ml: float, *, lesion_ml: float) -> Field:
        """Return the share of each voxel's parenchyma that is cavity.

        Parameters
        ----------
        volume_ml
            About the cavity's volume; a rim of living scar is left, so it may become less.
        lesion_ml
            Volume of the lesion that the cavity lies in.
        """
        if volume_ml <= 0:
            return np.zeros_like(self.core)
        inner = np.float32(_threshold(self.core, self.tissue, volume_ml))
        outer = np.float32(_threshold(self.depth, self.tissue, lesion_ml) + RIM_MM)
        both = np.minimum(self.core - inner, self.depth - outer)
        return soft_step(both, width=EDGE_MM)

    def fraction(self, membership: Field) -> Field:
        """Return the fraction of each 1 mm3 voxel that is lesion."""
        return membership * self.tissue


def _threshold(depth: Field, tissue: Field, volume_ml: float) -> float:
    """Return the depth beyond which the tissue has the volume."""
    wanted = volume_ml * MM3_PER_ML
    eligible = tissue > 0.01
    depth, tissue = depth[eligible], tissue[eligible]
    low, high = float(depth.min()) - EDGE_MM, float(depth.max()) + EDGE_MM
    held = float(tissue.sum(dtype=np.float64))
    if held < wanted:
        msg = f"a lesion of {volume_ml:g} mL does not fit its territory of {held / MM3_PER_ML:.1f} mL"
        raise ValueError(msg)
    for _ in range(_SOLVER_STEPS):
        middle = 0.5 * (low + high)
        share = soft_step(depth - np.float32(middle), width=EDGE_MM)
        if float((share * tissue).sum(dtype=np.float64)) > wanted:
            low = middle
        else:
            high = middle
    return 0.5 * (low + high)


def build_lesion(
    brain: Brain,
    kind: LesionKind,
    rng: np.random.Generator,
    *,
    side: int,
    largest_ml: float,
) -> Lesion:
    """Place a lesion.

    Parameters
    ----------
    side
        -1 for the left hemisphere, +1 for the right.
    largest_ml
        The largest volume the lesion will ever be asked for.

    Raises
    ------
    ValueError
        If the territory does not hold that volume.
    """
    shape_of, territory_of = _KINDS[kind]
    depth = shape_of(brain, rng, side)
    territory = territory_of(brain, side)
    lesion = _cropped(depth, territory, brain.parenchyma * territory, largest_ml, reach_mm=_REACH_MM)
    noise = smooth_noise(lesion.depth.shape, rng, knot_spacing_voxels=8)
    return replace(lesion, core=lesion.depth + np.float32(_CAVITY_RAGGED_MM) * noise)


def _cropped(depth: Field, territory: Field, tissue: Field, largest_ml: float, *, reach_mm: float) -> Lesion:
    """Keep what a lesion of the largest volume needs, and ``reach_mm`` around it."""
    edge = _threshold(depth, tissue, largest_ml)
    box = bounding_slices((depth > edge - reach_mm) & (tissue > 0.01))
    kept = depth[box].copy()
    return Lesion(box, kept, kept, territory[box].copy(), tissue[box].copy())


# ---- territories -----------------------------------------------------------------------------------------


def _one_side(brain: Brain, side: int) -> Field:
    return soft_step(np.float32(side) * brain.template_xyz[0] - np.float32(1.5), width=2.0)


def _above_tentorium(brain: Brain) -> Field:
    """Return 1 in the cerebrum, 0 in cerebellum and brain stem, from the MNI course of the tentorium."""
    x, y, z = brain.template_xyz
    slope = np.float32(0.3) * np.abs(x) + np.float32(0.35) * np.maximum(-y - 62, 0)
    tent = (-8 - slope).astype(np.float32)
    behind = soft_step(-38 - y, width=4.0)
    stem = (np.abs(x) < 17) & (y > -44) & (y < -6) & (z < -10)
    above: Field = np.maximum(soft_step(z - tent, width=3.0), 1 - behind)
    return np.where(stem, np.float32(0), above)


def _hemisphere(brain: Brain, side: int) -> Field:
    return _one_side(brain, side) * _above_tentorium(brain)


def _hindbrain(brain: Brain, side: int) -> Field:
    return _one_side(brain, side) * (1 - _above_tentorium(brain))


# ---- shapes ----------------------------------------------------------------------------------------------


def _ragged(brain: Brain, rng: np.random.Generator, *, coarse_mm: float, fine_mm: float) -> Field:
    """Return noise, in mm, that makes an edge irregular at two scales."""
    shape = brain.csf.shape
    noise = smooth_noise(shape, rng, knot_spacing_voxels=14) * np.float32(coarse_mm)
    noise += smooth_noise(shape, rng, knot_spacing_voxels=5) * np.float32(fine_mm)
    return noise


def _territorial(brain: Brain, rng: np.random.Generator, side: int) -> Field:
    jitter = rng.uniform(-1, 1, 3) * (3, 14, 9)
    # centred near the cortex, so that shrinking leaves the cortical end of the infarct
    centre = np.array([side * 54.0, -8.0, 16.0]) + jitter
    radii = np.array([36.0, 50.0, 34.0]) * rng.uniform(0.85, 1.15, 3)
    depth = ellipsoid_distance(brain.template_xyz, list(centre), list(radii))
    return depth + _ragged(brain, rng, coarse_mm=4.5, fine_mm=1.6)


def _wedge(brain: Brain, rng: np.random.Generator, side: int) -> Field:
    """Return a cone with its tip near the ventricle that widens towards the cortex."""
    tip = np.array([side * 20.0, rng.uniform(-40, 15), rng.uniform(16, 24)])
    aim = np.array([side * 1.0, rng.uniform(-0.7, 0.7), rng.uniform(-0.15, 0.8)])
    aim /= np.linalg.norm(aim)
    v = [u - np.float32(t) for u, t in zip(brain.template_xyz, tip, strict=True)]
    along = sum(a * np.float32(b) for a, b in zip(v, aim, strict=True))
    across = np.sqrt(np.maximum(sum(a * a for a in v) - along * along, 0))
    depth = np.minimum(np.float32(np.tan(np.radians(26))) * along - across, along - 9)
    return np.asarray(depth + _ragged(brain, rng, coarse_mm=2.5, fine_mm=1.3), dtype=np.float32)


def _embolic(brain: Brain, rng: np.random.Generator, side: int) -> Field:
    """Return many pieces of different size, most of them in the cortex of one hemisphere."""
    region = (brain.gm > 0.6) & (_hemisphere(brain, side) > 0.9)
    region &= ellipsoid_distance(brain.template_xyz, (side * 42, -18, 24), (34, 62, 42)) > 0
    places = np.flatnonzero(region)
    depth = np.full(brain.csf.shape, -60, dtype=np.float32)
    for _ in range(int(rng.integers(7, 16))):
        place = np.unravel_index(rng.choice(places), region.shape)
        centre = [float(u[place]) for u in brain.template_xyz]
        radius = float(np.clip(rng.lognormal(np.log(5.0), 0.45), 2.5, 13))
        radii = radius * rng.uniform(0.75, 1.35, 3)
        piece = ellipsoid_distance(brain.template_xyz, centre, list(radii))
        np.maximum(depth, piece, out=depth)
    return depth + _ragged(brain, rng, coarse_mm=0.5, fine_mm=0.8)


def _blob(
    centres: list[tuple[float, float, float]], radii: tuple[float, float, float], *, ragged_mm: float
) -> Callable[[Brain, np.random.Generator, int], Field]:
    """Return a maker of one irregular ellipsoid at one of the centres (x for the right side)."""

    def shape_of(brain: Brain, rng: np.random.Generator, side: int) -> Field:
        x, y, z = centres[int(rng.integers(len(centres)))]
        centre = np.array([side * x, y, z]) + rng.uniform(-2, 2, 3)
        size = np.array(radii) * rng.uniform(0.85, 1.2, 3)
        depth = ellipsoid_distance(brain.template_xyz, list(centre), list(size))
        return depth + _ragged(brain, rng, coarse_mm=ragged_mm, fine_mm=0.6 * ragged_mm)

    return shape_of


_lacunar = _blob([(13, -18, 8), (25, -6, 8), (24, -14, 24), (20, 6, 18)], (5, 6, 6), ragged_mm=0.7)
_striatocapsular = _blob([(25, 2, 8)], (9, 20, 13), ragged_mm=1.5)
_brainstem = _blob([(6, -26, -31), (5, -24, -26)], (6, 6, 9), ragged_mm=0.8)
_cerebellar = _blob([(22, -66, -44), (22, -56, -26)], (19, 18, 13), ragged_mm=2.0)

_KINDS: dict[
    LesionKind,
    tuple[Callable[[Brain, np.random.Generator, int], Field], Callable[[Brain, int], Field]],
] = {
    "territorial": (_territorial, _hemisphere),
    "wedge": (_wedge, _hemisphere),
    "embolic": (_embolic, _hemisphere),
    "striatocapsular": (_striatocapsular, _hemisphere),
    "lacunar": (_lacunar, _hemisphere),
    "brainstem": (_brainstem, _hindbrain),
    "cerebellar": (_cerebellar, _hindbrain),
}


def hyperintensity(brain: Brain, rng: np.random.Generator, *, largest_ml: float) -> Lesion:
    """Return white-matter hyperintensity: caps and bands at the ventricles, and spots in deep white matter.

    Raises
    ------
    ValueError
        If the white matter does not hold the volume.
    """
    x, y, z = brain.template_xyz
    shape = brain.csf.shape
    ventricle = ellipsoid_distance((np.abs(x), y, z), (14, -12, 18), (13, 44, 17))
    near = np.float32(0.35) * ventricle + smooth_noise(shape, rng, knot_spacing_voxels=9) * np.float32(1.6)
    near += smooth_noise(shape, rng, knot_spacing_voxels=4) * np.float32(0.9)
    spots = smooth_noise(shape, rng, knot_spacing_voxels=6) * np.float32(2.2) - np.float32(7.2)
    depth = np.maximum(near, spots)
    territory = soft_step(brain.wm - np.float32(0.7), width=0.4)
    territory *= _above_tentorium(brain) * soft_step(z - 2, width=4.0)
    return _cropped(depth, territory, brain.parenchyma * territory, largest_ml, reach_mm=2 * EDGE_MM)

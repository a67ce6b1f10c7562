"""From tissue to signal: relaxation-weighted brightness and diffusion of every tissue, healthy and infarcted.

Signals are relative (CSF on a b0 image is 100); diffusion is in 1e-6 mm2/s. Values are those of
ordinary 1.5-3 T images: CSF about 3000, grey matter about 850 and white matter about 750 um2/s.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage as ndi

from infarct_vol.simulation.anatomy import Box, Brain, Tissues
from infarct_vol.simulation.fields import Field, bump, smooth_noise
from infarct_vol.simulation.head import Labels, Tissue
from infarct_vol.simulation.lesions import Lesion

ADC_CSF, ADC_GM, ADC_WM = 3000.0, 850.0, 750.0
S0_CSF, S0_GM, S0_WM = 100.0, 40.0, 34.0
FLAIR_CSF, FLAIR_GM, FLAIR_WM = 8.0, 60.0, 48.0
T1W_CSF, T1W_GM, T1W_WM = 14.0, 50.0, 70.0

# brightness outside the brain, in the order of `Tissue`: air, skin, fat, muscle, bone, marrow, fluid,
# vitreous, mucosa, cord
_S0_OUTSIDE = np.array([0, 7, 5, 9, 1.5, 4, 100, 110, 45, 34], dtype=np.float32)
_ADC_OUTSIDE = np.array([0, 1200, 400, 1400, 800, 500, 3000, 2900, 1700, 800], dtype=np.float32)
_FLAIR_OUTSIDE = np.array([0, 42, 88, 26, 4, 40, 8, 11, 70, 46], dtype=np.float32)
_T1W_OUTSIDE = np.array([0, 52, 110, 40, 8, 80, 14, 16, 44, 62], dtype=np.float32)
_FLAIR_FAT_SATURATED = np.array([0, 40, 26, 26, 3, 16, 8, 11, 70, 46], dtype=np.float32)

# lesion against healthy parenchyma, by hours since onset
_HOURS = np.array([3, 6, 24, 96, 240, 720, 2160, 4320], dtype=np.float64)
_FLAIR_RATIO = np.array([1.03, 1.12, 1.38, 1.62, 1.60, 1.58, 1.62, 1.58])
_S0_RATIO = np.array([1.04, 1.10, 1.30, 1.52, 1.60, 1.48, 1.42, 1.40])
# how much of the brightening on FLAIR is lost on T1w: longer T2 comes with longer T1
_T1W_SHARE = 0.4
# share of the way from the lowest ADC (0) to normal (1); beyond 1 it is raised
_ADC_COURSE = np.array([0.30, 0.10, 0.0, 0.08, 0.95, 2.0, 2.6, 2.8])


@dataclass(frozen=True)
class LesionSignal:
    """Ratios of lesion to healthy parenchyma."""

    flair: float
    s0: float
    adc: float


def lesion_signal(hours: float, *, lowest_adc_ratio: float, strength: float = 1.0) -> LesionSignal:
    """Return what an infarct of this age looks like.

    ADC falls within hours, is normal again around day 10 and raised later (Lansberg 2001); FLAIR turns
    bright after about 6 h.

    Parameters
    ----------
    hours
        Since onset.
    lowest_adc_ratio
        ADC of the infarct at its lowest, against healthy tissue; 0.45 to 0.8.
    strength
        Scales the T2 effect of this infarct.
    """
    at = np.log(np.clip(hours, _HOURS[0], _HOURS[-1]))
    known = np.log(_HOURS)
    course = float(np.interp(at, known, _ADC_COURSE))
    step = 1 - lowest_adc_ratio if course <= 1 else 0.42
    adc = lowest_adc_ratio + course * step if course <= 1 else 1 + (course - 1) * step
    flair = 1 + strength * (float(np.interp(at, known, _FLAIR_RATIO)) - 1)
    s0 = 1 + strength * (float(np.interp(at, known, _S0_RATIO)) - 1)
    return LesionSignal(flair, s0, adc)


@dataclass(frozen=True)
class State:
    """Tissue of one person at one visit, on the brain's box: fractions and ratios to healthy signal.

    The functions below that add to a state change its arrays: they are large, so a visit takes one `copy`.
    """

    csf: Field
    gm: Field
    wm: Field
    flair: Field
    s0: Field
    adc: Field

    def copy(self) -> State:
        """Return a state of its own arrays."""
        return State(*(getattr(self, f.name).copy() for f in fields(self)))


def healthy_state(brain: Brain, rng: np.random.Generator) -> State:
    """Return one person's brain before any lesion, with its physiological differences in brightness.

    Corticospinal tract and splenium are a little bright on DWI, the pallidum dark on T2; a few spots
    shine through (long T2, diffusion not low).
    """
    shape, u = brain.csf.shape, brain.template_xyz
    s0 = 1 + np.float32(0.03) * smooth_noise(shape, rng, knot_spacing_voxels=22)
    s0 += np.float32(0.025) * smooth_noise(shape, rng, knot_spacing_voxels=5)
    adc = 1 + np.float32(0.05) * smooth_noise(shape, rng, knot_spacing_voxels=6)
    flair = 1 + np.float32(0.03) * smooth_noise(shape, rng, knot_spacing_voxels=10)
    folded = (np.abs(u[0]), u[1], u[2])
    for centre, spread, d_flair, d_s0, d_adc in _LANDMARKS:
        near = bump(folded, centre, spread)
        flair += np.float32(d_flair) * near
        s0 += np.float32(d_s0) * near
        adc += np.float32(d_adc) * near
    places = np.flatnonzero((brain.wm > 0.95) & (u[2] > 0))
    for _ in range(int(rng.integers(1, 4))):
        place = np.unravel_index(rng.choice(places), shape)
        spot = bump(u, [float(a[place]) for a in u], tuple(rng.uniform(1.6, 3.2, 3)))
        flair += np.float32(0.45) * spot
        s0 += np.float32(0.75) * spot
        adc += np.float32(0.32) * spot
    return State(brain.csf, brain.gm, brain.wm, flair, s0, adc)


_Landmark = tuple[tuple[float, float, float], tuple[float, float, float], float, float, float]
# place (mirrored), spread, change of FLAIR, S0 and ADC
_LANDMARKS: tuple[_Landmark, ...] = (
    ((24.0, -20.0, 12.0), (3.5, 5.0, 11.0), 0.10, 0.12, -0.07),  # corticospinal tract
    ((0.0, -38.0, 12.0), (11.0, 4.5, 5.0), 0.02, 0.08, -0.08),  # splenium
    ((18.0, -4.0, 0.0), (5.0, 7.0, 4.5), -0.12, -0.22, 0.0),  # pallidum
    ((40.0, 2.0, 2.0), (4.0, 14.0, 10.0), 0.08, 0.08, 0.0),  # insula
    ((4.0, 24.0, 24.0), (5.0, 16.0, 12.0), 0.07, 0.07, 0.0),  # cingulate cortex
)


def add_lesion(
    state: State, lesion: Lesion, signal: LesionSignal, *, membership: Field, cavity: Field, texture: Field
) -> None:
    """Put a lesion into a brain.

    Parameters
    ----------
    membership
        Share of each voxel's parenchyma that is infarct, on the lesion's box.
    cavity
        Share of each voxel's parenchyma that has become CSF; never above ``membership``.
    texture
        Irregularity of the signal, around 1, on the lesion's box.
    """
    box = lesion.box
    gone = cavity * lesion.territory
    state.csf[box] += gone * (state.gm[box] + state.wm[box])
    state.gm[box] *= 1 - gone
    state.wm[box] *= 1 - gone
    share = membership * lesion.territory * texture
    for field, ratio in ((state.flair, signal.flair), (state.s0, signal.s0), (state.adc, signal.adc)):
        field[box] *= 1 + share * np.float32(ratio - 1)


def add_hyperintensity(state: State, lesion: Lesion, membership: Field) -> None:
    """Add white-matter hyperintensity: bright on FLAIR, and on DWI as good as normal."""
    box, share = lesion.box, membership * lesion.territory
    state.flair[box] *= 1 + np.float32(0.55) * share
    state.s0[box] *= 1 + np.float32(0.24) * share
    state.adc[box] *= 1 + np.float32(0.28) * share


def widen_spaces(state: State, lesion: Lesion, membership: Field, *, amount: float) -> None:
    """Widen the ventricle and the sulci around a shrinking infarct, outside of it (ex vacuo)."""
    shape = state.csf.shape
    box = _grown(lesion.box, shape, 14)
    within = np.zeros(tuple(s.stop - s.start for s in box), dtype=np.float32)
    inner = tuple(slice(b.start - g.start, b.stop - g.start) for b, g in zip(lesion.box, box, strict=True))
    within[inner] = membership * lesion.territory
    reach = np.minimum(ndi.gaussian_filter(within, 5.0) * 2.2, 1) * (1 - within) * np.float32(amount)
    csf = state.csf[box]
    wider = np.minimum(ndi.gaussian_filter(csf, 1.4) * np.float32(1.7), 1)
    parenchyma = state.gm[box] + state.wm[box]
    gain = np.minimum(reach * np.maximum(wider - csf, 0), parenchyma)
    keep = 1 - gain / np.maximum(parenchyma, np.float32(1e-6))
    state.csf[box] += gain
    state.gm[box] *= keep
    state.wm[box] *= keep


def _grown(box: Box, shape: tuple[int, ...], margin: int) -> Box:
    x, y, z = (
        slice(max(0, s.start - margin), min(n, s.stop + margin)) for s, n in zip(box, shape, strict=True)
    )
    return x, y, z


# ---- images ----------------------------------------------------------------------------------------------


def outside_image(
    labels: Labels, texture: NDArray[np.float16], *, contrast: str, bvalue: float = 1000.0
) -> NDArray[np.float16]:
    """Return the brightness of everything but the brain, on the head grid.

    Parameters
    ----------
    contrast
        ``flair``, ``flair_fatsat``, ``t1w``, ``s0`` or ``dwi``.
    """
    tables: dict[str, NDArray[np.float32]] = {
        "flair": _FLAIR_OUTSIDE,
        "flair_fatsat": _FLAIR_FAT_SATURATED,
        "t1w": _T1W_OUTSIDE,
        "s0": _S0_OUTSIDE,
        "dwi": _S0_OUTSIDE * np.exp(-np.float32(bvalue * 1e-6) * _ADC_OUTSIDE),
    }
    image = tables[contrast][labels]
    solid = (labels != Tissue.FLUID) & (labels != Tissue.AIR) & (labels != Tissue.VITREOUS)
    np.multiply(image, texture, out=image, where=solid)
    # half precision is finer than any scanner's noise and keeps three of these in memory
    ndi.gaussian_filter(image, 0.6, truncate=2.0, output=image)
    return image.astype(np.float16)


def whole_head(outside: NDArray[np.float16], brain: Tissues, signal: Field) -> Field:
    """Lay the brain's signal (already weighted by its fractions) over the rest of the head."""
    head = outside.astype(np.float32)
    around = brain.whole
    np.subtract(1, around, out=around)
    head[brain.box] *= around
    head[brain.box] += signal
    return head


def _mixed(state: State, gm_value: float, wm_value: float) -> Field:
    """Return a property of parenchyma, weighted by the fractions of grey and white matter."""
    mixed = np.float32(gm_value) * state.gm
    mixed += np.float32(wm_value) * state.wm
    return mixed


def flair_signal(state: State) -> Field:
    """Return the FLAIR signal of the brain."""
    signal = _mixed(state, FLAIR_GM, FLAIR_WM)
    signal *= state.flair
    signal += np.float32(FLAIR_CSF) * state.csf
    return signal


def t1w_signal(state: State) -> Field:
    """Return the T1-weighted signal of the brain: what is bright on FLAIR is moderately dark here."""
    signal = _mixed(state, T1W_GM, T1W_WM)
    signal *= np.clip(1 - np.float32(_T1W_SHARE) * (state.flair - 1), 0.5, 1.2)
    signal += np.float32(T1W_CSF) * state.csf
    return signal


def diffusion_signal(state: State, *, bvalue: float, stretch: Field | None = None) -> Field:
    """Return the diffusion-weighted signal of the brain; ``bvalue`` 0 gives the b0 image.

    Parameters
    ----------
    bvalue
        s/mm2.
    stretch
        Factor on the diffusion of parenchyma along the direction measured; 1 where omitted.
    """
    signal = _mixed(state, S0_GM, S0_WM)
    signal *= state.s0
    if bvalue > 0:
        exponent = _mixed(state, ADC_GM, ADC_WM)
        exponent /= np.maximum(_mixed(state, 1, 1), np.float32(1e-3))
        exponent *= state.adc
        exponent *= np.float32(-bvalue * 1e-6)
        if stretch is not None:
            exponent *= stretch
        np.exp(exponent, out=exponent)
        signal *= exponent
    signal += np.float32(S0_CSF * np.exp(-bvalue * 1e-6 * ADC_CSF)) * state.csf
    return signal

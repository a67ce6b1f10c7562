"""Infarcts of real shape that evolve: swollen and more or less bright at first, then gliosis and cavity.

Everything random is drawn from the name of the case, so a case is the same whatever else is in the list.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.random import Generator
from scipy import ndimage as ndi
from segmentation_followup_lesions import EDGE_MM, REACH_MM, Lesion, State, place
from segmentation_followup_scans import (
    Background,
    Look,
    Mask,
    Volume,
    acquired,
    look_at,
    two_visits,
    white_matter_lesions,
)

from infarct_vol.images import Scan
from infarct_vol.nifti import load_mask
from infarct_vol.simulation.fields import smooth_noise, soft_step

RIM_MM = 1.6
# Share of CSF in a sulcus that the swelling of an acute infarct takes
EFFACED = 0.4
SERIES = (
    "plain",
    "mixed",
    "grown",
    "vanished",
    "new",
    "periventricular",
    "ventricle",
    "faint",
    "rimless",
    "other brain",
    "other vanished",
)
# Months of a series and, for each, volume and cavity as shares of the acute volume, lowest and highest
COURSE = {
    "M01": ((0.85, 1.05), (0.0, 0.15)),
    "M03": ((0.60, 0.90), (0.10, 0.30)),
    "M06": ((0.50, 0.80), (0.20, 0.45)),
}
LARGEST_GROWN_ML, LARGEST_MOVED_ML = 21.0, 35.0
# Shapes of the tuning half are tried again at these sizes, in turn
SMALLER = (0.35, 0.45, 0.55, 0.7)


@dataclass(frozen=True)
class Case:
    """One follow-up visit of one infarct: shape number, series, month, voxels of baseline and follow-up.

    ``scale`` is the factor by which the shape is made smaller.
    """

    shape: int
    series: str
    month: str
    plans: tuple[str, str]
    scale: float = 1.0

    @property
    def name(self) -> str:
        """Unique name."""
        return f"{self.shape:02d} {self.series} {self.month} {self.plans[1]}{scaled(self.scale)}"

    @property
    def held(self) -> bool:
        """Whether no parameter was chosen with this shape in view."""
        return self.shape % 2 == 1

    @property
    def moved(self) -> bool:
        """Whether the shape is laid somewhere else than it was."""
        return self.series == "periventricular"

    def rng(self, what: str, seed: int) -> Generator:
        """Return a generator that depends on the seed, the follow-up and what it is for."""
        return generator(seed, f"{self.shape} {self.series}{scaled(self.scale)} {what}")


def scaled(scale: float) -> str:
    """Return what a name says of a shape's scale: nothing where it is as it was."""
    return "" if scale == 1 else f" x{scale:g}"


def generator(seed: int, name: str) -> Generator:
    """Return a generator that depends on a seed and a name."""
    return np.random.default_rng([seed, zlib.crc32(name.encode())])


@dataclass(frozen=True, eq=False)
class Baseline:
    """The acute infarct in its brain, and its FLAIR.

    ``share`` is the share of every voxel that is infarct, ``bright`` the factor by which it is brighter.
    """

    name: str
    background: Background
    lesion: Lesion
    look: Look
    scan: Scan
    share: Volume
    bright: float


@dataclass(frozen=True, eq=False)
class Made:
    """A case made: baseline, follow-up, and what is true on the follow-up's voxels."""

    case: Case
    baseline: Baseline
    follow: Scan
    truth: Mask
    new_truth: Mask


def all_cases(shapes: int, *, half: str, quick: bool) -> Iterator[Case]:
    """Yield the cases of one half of the shapes (``tuning`` or ``held``).

    Quick: of every shape one month of the plain series, and of the other series every sixth case. The tuning
    half holds every shape once more, made smaller, in the plain or the vanished series.
    """
    for n in range(half == "held", shapes, 2):
        plan, other = ("1 mm", "thick") if n // 2 % 2 == 0 else ("thick", "1 mm")
        for month in ("M03",) if quick else tuple(COURSE):
            yield Case(n, "plain", month, (plan, plan))
        if half == "tuning":
            series = "vanished" if n // 2 % 5 == 4 else "plain"
            yield Case(n, series, "M03", (other, other), SMALLER[n // 2 % 4])
        for number, series in enumerate(SERIES[1:], start=1):
            if quick and (n // 2 + number) % 6:
                continue
            # the other grid, so that every shape is seen on both
            plans = (plan, other) if series == "mixed" else (other, other)
            plans = ("native", "native") if series.startswith("other") else plans
            month = "M01" if series in ("grown", "ventricle") else "M06" if series == "rimless" else "M03"
            yield Case(n, series, month, plans)


def make(case: Case, shapes: list[Path], *, data: Path, seed: int) -> Made | None:
    """Make the scans of a case; ``None`` where the shape does not suit the series."""
    limit_ml = {"grown": LARGEST_GROWN_ML, "periventricular": LARGEST_MOVED_ML}.get(case.series, np.inf)
    if load_mask(shapes[case.shape]).volume_ml > limit_ml:
        return None
    baseline = make_baseline(
        shapes[case.shape], case.plans[0], moved=case.moved, scale=case.scale, data=data, seed=seed
    )
    if baseline is None:
        return None
    state, background = later(case, baseline, seed=seed), baseline.background
    rng = case.rng(f"{case.month} {case.plans[1]}", seed)
    if case.plans[1] == "native":
        look = two_visits(data).looks[1]
        follow = _into_real(two_visits(data).scans[1], state, background, look)
    else:
        look = look_at(background, case.plans[1], rng, turn_deg=rng.uniform(1, 10), shift_mm=8)
        follow = _acquired(state, background, look, rng, session=f"ses-{case.month}")
    return Made(
        case=case,
        baseline=baseline,
        follow=follow,
        truth=state.share(background, look) >= 0.5,
        new_truth=state.new_share(background, look) >= 0.5,
    )


@lru_cache(maxsize=4)
def make_baseline(
    shape: Path, plan: str, *, moved: bool, scale: float, data: Path, seed: int
) -> Baseline | None:
    """Make the acute infarct of a shape and its FLAIR; ``None`` where the shape finds no room."""
    name = f"{shape.name} {plan} {moved}{scaled(scale)}"
    rng = generator(seed, name)
    native = plan == "native"
    background = two_visits(data).background if native else white_matter_lesions(data)
    where = generator(seed, f"{shape.name} {moved}")
    lesion = place(load_mask(shape), background, where, moved=moved, scale=scale)
    if lesion is None:
        return None
    # one infarct in four does not show on FLAIR yet
    bright = 1.0 if rng.random() < 0.25 else rng.uniform(1.1, 1.5)
    acute = soft_step(lesion.depth, width=EDGE_MM) * lesion.tissue
    swollen = EFFACED if bright > 1 else 0.0
    state = State(lesion, acute, np.zeros_like(acute), bright, relative=True, swollen=swollen)
    if native:
        look = two_visits(data).looks[0]
        scan = _into_real(two_visits(data).scans[0], state, background, look)
    else:
        look = look_at(background, plan, rng, turn_deg=rng.uniform(0, 5), shift_mm=4)
        scan = _acquired(state, background, look, rng, session="ses-BL")
    return Baseline(name, background, lesion, look, scan, state.share(background, look), bright)


def _acquired(state: State, background: Background, look: Look, rng: Generator, *, session: str) -> Scan:
    image = state.picture(background, look)
    return acquired(image, look.grid, rng, noise=rng.uniform(0.015, 0.035), session=session)


# ---- course ----------------------------------------------------------------------------------------------


def later(case: Case, baseline: Baseline, *, seed: int) -> State:
    """Return the infarct at the follow-up."""
    lesion, background = baseline.lesion, baseline.background
    then, when = case.rng("gliosis", seed), case.rng(case.month, seed)
    level = then.uniform(1.2, 1.32) if case.series == "faint" else then.uniform(1.35, 1.8)
    scar, cavity = _shares(case, lesion, when)
    state = State(lesion, scar, cavity, level + when.uniform(-0.05, 0.05))
    if case.series == "ventricle":
        return replace(state, wider=_wider_ventricles(background, lesion))
    if case.series == "new":
        return replace(state, new=_elsewhere(background, lesion, when))
    return state


def _shares(case: Case, lesion: Lesion, rng: Generator) -> tuple[Volume, Volume]:
    whole_range, cavity_range = COURSE[case.month]
    acute_ml = lesion.acute_ml
    whole_ml = acute_ml * rng.uniform(*whole_range)
    cavity_ml = acute_ml * rng.uniform(*cavity_range)
    rim_mm = RIM_MM
    if case.series.endswith("vanished"):
        nothing = np.zeros_like(lesion.depth)
        return nothing, nothing
    if case.series == "grown":
        whole_ml, cavity_ml = acute_ml * rng.uniform(1.3, 2.0), 0.0
    if case.series == "rimless":
        cavity_ml, rim_mm = whole_ml, 0.0
        whole = lesion.of_volume(whole_ml)
        return np.zeros_like(whole), whole * lesion.tissue
    whole = lesion.of_volume(whole_ml)
    cavity = np.minimum(lesion.cavity(cavity_ml, whole_ml, rim_mm), whole)
    return (whole - cavity) * lesion.tissue, cavity * lesion.tissue


def _wider_ventricles(background: Background, lesion: Lesion) -> Volume:
    """CSF that ventricles wider by 1 mm take from the tissue around them, outside the infarct."""
    wider = soft_step(1.7 - background.beside_ventricles_mm, width=1.0) * background.tissue
    wider[lesion.box] *= lesion.depth < -2
    return np.asarray(wider, dtype=np.float32)


def _elsewhere(
    background: Background, lesion: Lesion, rng: Generator
) -> tuple[tuple[slice, slice, slice], Volume]:
    """Place an irregular lesion of 0.8 to 6 mL in white matter, 25 mm and more from the infarct."""
    free = (background.flair > 0.75) & (background.depth_mm > 12) & (background.beside_ventricles_mm > 6)
    free[lesion.box] &= lesion.depth < -REACH_MM + 1
    away = np.ones(background.grid.shape, dtype=bool)
    away[lesion.box] = lesion.depth < 0
    free &= ndi.distance_transform_edt(away) > 25
    places = np.argwhere(free)
    spot = places[rng.integers(len(places))]
    radius = float(np.cbrt(rng.uniform(0.8, 6.0) * 1000 / 4.19))
    reach = int(radius) + 6
    starts = np.maximum(spot - reach, 0)
    stops = np.minimum(spot + reach, background.grid.shape)
    box = tuple(slice(int(a), int(b)) for a, b in zip(starts, stops, strict=True))
    axes = [np.arange(s.start, s.stop) - c for s, c in zip(box, spot, strict=True)]
    x, y, z = np.meshgrid(*axes, indexing="ij", sparse=True)
    depth = (radius - np.sqrt(x * x + y * y + z * z)).astype(np.float32)
    depth += 1.2 * smooth_noise(depth.shape, rng, knot_spacing_voxels=6)
    return (box[0], box[1], box[2]), soft_step(depth, width=EDGE_MM) * background.tissue[box]


def _into_real(scan: Scan, state: State, background: Background, look: Look) -> Scan:
    """Lay an infarct into a real scan, on its own voxels, in units of its own tissue."""
    change = state.change(background, background.flair)
    # brighter and darker apart: only what is above 0 is sampled
    more, less = (look.part(np.maximum(c, 0), state.lesion.box, background) for c in (change, -change))
    added = more - less
    brain = look.whole(background.brain.astype(np.float32), background) > 0.5
    inside = scan.data[brain]
    level = np.median(inside[inside > 0.5 * np.percentile(inside, 75)])
    return scan.with_data(np.maximum(scan.data + level * added, 0))

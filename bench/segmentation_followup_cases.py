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

from infarct_vol.images import LesionMask, Scan
from infarct_vol.nifti import load_mask
from infarct_vol.simulation.fields import bounding_slices, smooth_noise, soft_step

EDGE_MM = 1.4
RIM_MM = 1.6
REACH_MM = 14.0
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


@dataclass(frozen=True)
class Case:
    """One follow-up visit of one infarct: shape number, series, month, voxels of baseline and follow-up."""

    shape: int
    series: str
    month: str
    plans: tuple[str, str]

    @property
    def name(self) -> str:
        """Unique name."""
        return f"{self.shape:02d} {self.series} {self.month} {self.plans[1]}"

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
        return generator(seed, f"{self.shape} {self.series} {what}")


def generator(seed: int, name: str) -> Generator:
    """Return a generator that depends on a seed and a name."""
    return np.random.default_rng([seed, zlib.crc32(name.encode())])


@dataclass(frozen=True, eq=False)
class Lesion:
    """Depth inside the acute infarct's edge in mm (negative outside), on a box of head space."""

    box: tuple[slice, slice, slice]
    depth: Volume
    core: Volume
    tissue: Volume
    texture: Volume

    def of_volume(self, volume_ml: float) -> Volume:
        """Share of every voxel's tissue that is infarct at a volume."""
        return soft_step(self.depth - np.float32(self._edge(self.depth, volume_ml)), width=EDGE_MM)

    def cavity(self, volume_ml: float, whole_ml: float, rim_mm: float) -> Volume:
        """Share of every voxel's tissue that is cavity, a rim inside the whole infarct left out."""
        if volume_ml <= 0:
            return np.zeros_like(self.depth)
        inner = self.core - np.float32(self._edge(self.core, volume_ml))
        outer = self.depth - np.float32(self._edge(self.depth, whole_ml) + rim_mm)
        return soft_step(np.minimum(inner, outer), width=EDGE_MM)

    def _edge(self, depth: Volume, volume_ml: float) -> float:
        low, high = float(depth.min()), float(depth.max()) + EDGE_MM
        for _ in range(24):
            middle = 0.5 * (low + high)
            held = float((soft_step(depth - np.float32(middle), width=EDGE_MM) * self.tissue).sum()) / 1000
            low, high = (middle, high) if held > volume_ml else (low, middle)
        return 0.5 * (low + high)

    @property
    def acute_ml(self) -> float:
        """Volume of the acute infarct in the tissue that there is."""
        return float((soft_step(self.depth, width=EDGE_MM) * self.tissue).sum()) / 1000


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


def all_cases(shapes: list[Path], *, half: str, quick: bool) -> Iterator[Case]:
    """Yield the cases of one half of the shapes (``tuning`` or ``held``)."""
    chosen = [n for n in range(len(shapes)) if n % 2 == (half == "held")]
    for n in chosen[::4] if quick else chosen:
        plan, other = ("1 mm", "thick") if n // 2 % 2 == 0 else ("thick", "1 mm")
        months = ("M03",) if quick else tuple(COURSE)
        yield from (Case(n, "plain", month, (plan, plan)) for month in months)
        for series in SERIES[1:]:
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
    baseline = make_baseline(shapes[case.shape], case.plans[0], moved=case.moved, data=data, seed=seed)
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
def make_baseline(shape: Path, plan: str, *, moved: bool, data: Path, seed: int) -> Baseline | None:
    """Make the acute infarct of a shape and its FLAIR; ``None`` where the shape finds no room."""
    name = f"{shape.name} {plan} {moved}"
    rng = generator(seed, name)
    native = plan == "native"
    background = two_visits(data).background if native else white_matter_lesions(data)
    lesion = place(load_mask(shape), background, generator(seed, f"{shape.name} {moved}"), moved=moved)
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


# ---- place -----------------------------------------------------------------------------------------------


def place(mask: LesionMask, background: Background, rng: Generator, *, moved: bool) -> Lesion | None:
    """Lay a shape into a brain where it was, or beside a ventricle; ``None`` where there is no room."""
    box = bounding_slices(mask.data, margin=int(REACH_MM) + 2)
    inside = mask.data[box]
    depth = np.where(inside, ndi.distance_transform_edt(inside), 0.5 - ndi.distance_transform_edt(~inside))
    depth = ndi.gaussian_filter(np.where(inside, depth - 0.5, depth), 0.7)
    to_head = background.from_mni @ mask.grid.crop(box).affine
    move = np.zeros(3)
    if moved:
        move = _beside_ventricle(background, to_head, depth, rng)
    to_index = np.linalg.inv(background.grid.affine) @ to_head
    to_index[:3, 3] += move
    whole = _carried(depth, to_index, background.grid.shape)
    kept = bounding_slices(whole > -REACH_MM)
    depth = whole[kept]
    rough = smooth_noise(depth.shape, rng, knot_spacing_voxels=8)
    texture = 1 + 0.06 * smooth_noise(depth.shape, rng, knot_spacing_voxels=5)
    lesion = Lesion(kept, depth, depth + 1.5 * rough, background.tissue[kept], texture)
    room = lesion.acute_ml / max(mask.volume_ml * abs(np.linalg.det(background.from_mni)), 1e-6)
    return lesion if room > 0.4 and lesion.acute_ml > 0.25 else None


def _carried(depth: Volume, to_index: np.ndarray, shape: tuple[int, ...]) -> Volume:
    back = np.linalg.inv(to_index)
    return ndi.affine_transform(
        depth.astype(np.float32), back[:3, :3], back[:3, 3], output_shape=shape, order=1, cval=-99.0
    )


def _beside_ventricle(
    background: Background, to_head: np.ndarray, depth: Volume, rng: Generator
) -> np.ndarray:
    """Move (voxels) that brings the infarct's edge to a ventricle's wall, most of it into tissue."""
    distance = background.beside_ventricles_mm
    radius = float(np.cbrt(np.count_nonzero(depth > 0) / 4.19))
    beside = (np.abs(distance - 0.9 * radius) < 0.8) & (background.tissue > 0.99)
    places = np.argwhere(beside)
    points = np.argwhere(depth > 0)
    centre = points.mean(axis=0)
    index = np.linalg.inv(background.grid.affine) @ to_head
    home = index[:3, :3] @ centre + index[:3, 3]
    best, move = -1.0, np.zeros(3)
    for spot in places[rng.choice(len(places), size=min(60, len(places)), replace=False)]:
        there = np.rint(points @ index[:3, :3].T + index[:3, 3] + spot - home).astype(int)
        there = np.clip(there, 0, np.array(background.grid.shape) - 1)
        room = float(background.tissue[tuple(there.T)].mean())
        if room > best:
            best, move = room, spot - home
    return np.asarray(move)


# ---- course ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class State:
    """An infarct at one visit: shares of tissue, on the lesion's box, that are scar and cavity.

    Parameters
    ----------
    scar, cavity
        Shares of a voxel; together they are the infarct.
    level
        FLAIR of the scar (tissue = 1); with ``relative`` the factor on what was there.
    swollen
        Share of the infarct's sulci that swelling has closed.
    wider
        CSF around the ventricles that was tissue at baseline, a map of the whole head.
    new
        A second lesion with its box.
    """

    lesion: Lesion
    scar: Volume
    cavity: Volume
    level: float
    relative: bool = False
    swollen: float = 0.0
    wider: Volume | None = None
    new: tuple[tuple[slice, slice, slice], Volume] | None = None

    def share(self, background: Background, look: Look) -> Volume:
        """Share of every voxel that is infarct."""
        return look.part(self.scar + self.cavity, self.lesion.box, background)

    def new_share(self, background: Background, look: Look) -> Volume:
        """Share of every voxel that is new lesion."""
        if self.new is None:
            return np.zeros(look.grid.shape, dtype=np.float32)
        return look.part(self.new[1], self.new[0], background)

    def change(self, background: Background, healthy: Volume) -> Volume:
        """Return what the infarct adds to the head's FLAIR, on the lesion's box.

        Scar and cavity take the place of the tissue in a voxel, the fluid in it stays.
        """
        there, share, fluid = healthy[self.lesion.box], self.lesion.tissue, np.float32(background.csf_level)
        if self.relative:
            added = self.scar * there * (self.level * self.lesion.texture - 1)
        else:
            own = np.clip((there - (1 - share) * fluid) / np.maximum(share, 0.3), 0.7, 1.8)
            target = (self.level + 0.25 * (own - 1)) * self.lesion.texture
            added = self.scar * (target - own) + self.cavity * (fluid - own)
        effaced = self.swollen * (self.scar > 0.02) * (1 - share) * np.maximum(1 - there, 0)
        return np.asarray(added + effaced, dtype=np.float32)

    def picture(self, background: Background, look: Look) -> Volume:
        """Return the FLAIR on a scanner's voxels, without its imperfections."""
        head = background.flair.copy()
        if self.wider is not None:
            head += self.wider * (np.float32(background.csf_level) - head)
        head[self.lesion.box] += self.change(background, head)
        if self.new is not None:
            head[self.new[0]] += self.new[1] * (np.float32(self.level) - head[self.new[0]])
        return look.whole(head, background)


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

"""Registrations with a known answer: pairs of scans, and what can go wrong with them.

A pair is two scans of one person with the exact transform between them. From every pair come cases that
are sound, cases that are damaged and cases that no transform can save. Everything random is drawn from
the name of the case, so a case is the same whatever else is in the list.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from registration_motion import Matrix, carried, motion_about, rotation_about
from scipy import ndimage

import infarct_vol as iv
from infarct_vol.geometry import Grid
from infarct_vol.images import Identity, Modality, Scan
from infarct_vol.nifti import load_mask, load_scan, load_series

Contrast = Literal["flair", "b0", "trace"]

MODALITIES: dict[Contrast, Modality] = {"flair": "flair", "b0": "b0", "trace": "dwi"}
CASE_KINDS = ("own", "own_far", "other", "flipped", "cropped", "blank", "motion", "wrong_modality")
PAIR_KINDS = {"3-D": "f3d", "thick": "f2d", "cross": "x"}
STRANGERS = 2
FAR_DEG, FAR_MM = (15.0, 45.0), (10.0, 60.0)
KEPT_SHARE = 0.6
BLANK_SHARE = (0.3, 0.6)
MOTION_MM, MOTION_DEG = (3.0, 10.0), (3.0, 10.0)
RESTING_SHARE = 0.4
THICK_RATIO = 2.0
_POINTS = 20000
_B0_BELOW, _TRACE_ABOVE = 50, 500


@dataclass(frozen=True, eq=False)
class Pair:
    """Two scans of one person and the true transform, points of fixed -> points of moving (RAS+ mm)."""

    set_name: str
    name: str
    person: str
    kind: str
    contrast: Contrast
    fixed: Path
    moving: Path
    mask: Path
    truth: Matrix
    adc: Path | None = None


@dataclass(frozen=True, eq=False)
class Case:
    """One registration to judge: a pair, what was done to its moving scan, and whose scan that is."""

    kind: str
    variant: str
    pair: Pair
    stranger: Pair | None = None
    seed: int = 0

    @property
    def name(self) -> str:
        """Unique name, such as ``reg/pairs/p03/flair/cropped-top``."""
        ending = f"-{self.variant}" if self.variant else ""
        return f"{self.pair.set_name}/{self.pair.name}/{self.pair.contrast}/{self.kind}{ending}"

    @property
    def rng(self) -> np.random.Generator:
        """Generator that depends on nothing but the seed and the name."""
        return _generator(self.seed, self.name)


@dataclass(frozen=True, eq=False)
class Ready:
    """A case made: two scans, points of the fixed brain, the truth (None: no transform is right)."""

    fixed: Scan
    moving: Scan
    points: NDArray[np.float64]
    truth: Matrix | None


def find_pairs(folders: Iterable[Path]) -> list[Pair]:
    """Read folders of pairs (with ``manifest.json``) and digital trials (with ``derivatives/truth``).

    Raises
    ------
    SystemExit
        If a folder is neither, or two folders have one name.
    """
    found: dict[str, list[Pair]] = {}
    for folder in folders:
        path = folder.resolve()
        name = "/".join(path.parts[-2:])
        if name in found:
            msg = f"two folders are called {name}; rename one"
            raise SystemExit(msg)
        if (path / "manifest.json").exists():
            found[name] = list(_made_pairs(path, name))
        elif (path / "derivatives" / "truth").is_dir():
            found[name] = list(_trial_pairs(path, name))
        else:
            msg = f"{path}: expected manifest.json (pairs, completely made) or derivatives/truth (a trial)"
            raise SystemExit(msg)
    return [pair for pairs in found.values() for pair in pairs]


def _made_pairs(root: Path, set_name: str) -> Iterator[Pair]:
    for entry in json.loads((root / "manifest.json").read_text()):
        folder = root / entry["id"]
        truth = np.loadtxt(folder / "truth.txt")
        kind = PAIR_KINDS.get(entry["kind"], entry["kind"])
        crossed = kind == "x"
        moving: dict[Contrast, str] = {"b0": "moving", "trace": "b1000"} if crossed else {"flair": "moving"}
        for contrast, stem in moving.items():
            yield Pair(
                set_name,
                entry["id"],
                entry["id"],
                kind,
                contrast,
                folder / "fixed.nii.gz",
                folder / f"{stem}.nii.gz",
                folder / "mask.nii.gz",
                truth,
                folder / "adc.nii.gz" if crossed else None,
            )


def _trial_pairs(root: Path, set_name: str) -> Iterator[Pair]:
    truth_root = root / "derivatives" / "truth"
    table = pd.read_csv(truth_root / "truth.csv", keep_default_na=False)
    usable = table[table.scan_status == "ok"]
    scans = set(zip(usable.participant_id, usable.session_id, usable.modality, strict=True))
    for folder in sorted(truth_root.glob("sub-*")):
        sub = folder.name
        fixed = next((root / sub / "ses-BL" / "anat").glob("*_FLAIR.nii.gz"), None)
        mask = next((folder / "ses-BL" / "anat").glob("*_desc-brain_mask.nii.gz"))
        known = json.loads((folder / f"{sub}_transforms.json").read_text())["points_to"]
        for key, matrix in sorted(known.items()):
            session, kind = key.rsplit("_", 1)
            unusable = (sub, session, kind.lower()) not in scans
            if fixed is None or key == "ses-BL_FLAIR" or unusable:
                continue
            for contrast, path in _trial_scans(root / sub / session, kind):
                pair_kind = "x" if kind == "dwi" else _flair_kind(path)
                adc = next((root / sub / session / "dwi").glob("*_ADC.nii.gz"), None)
                truth = np.array(matrix, dtype=np.float64)
                yield Pair(
                    set_name, f"{sub}_{session}", sub, pair_kind, contrast, fixed, path, mask, truth, adc
                )


def _trial_scans(folder: Path, kind: str) -> Iterator[tuple[Contrast, Path]]:
    """Yield the moving scans of a session; both DWI contrasts may come from one 4-D series."""
    patterns: dict[Contrast, tuple[str, ...]] = {"flair": ("anat/*_FLAIR.nii.gz",)}
    if kind == "dwi":
        patterns = {
            "b0": ("dwi/*_S0map.nii.gz", "dwi/*_dwi.nii.gz"),
            "trace": ("dwi/*_trace.nii.gz", "dwi/*_dwi.nii.gz"),
        }
    for contrast, names in patterns.items():
        paths = [path for name in names for path in sorted(folder.glob(name))]
        if paths:
            yield contrast, paths[0]


def _flair_kind(path: Path) -> str:
    return "f2d" if _is_thick(_scan(path, "flair").grid) else "f3d"


def _is_thick(grid: Grid) -> bool:
    return bool(grid.spacing_mm.max() > THICK_RATIO * grid.spacing_mm.min())


def plan_cases(pairs: list[Pair], *, kinds: Iterable[str] = CASE_KINDS, seed: int = 0) -> list[Case]:
    """List every case of every pair, pair by pair."""
    wanted = set(kinds)
    cases: list[Case] = []
    for pair in pairs:
        rng = _generator(seed, f"{pair.set_name}/{pair.name}/{pair.contrast}")
        wrong = ["noise", "t1w"] if pair.contrast == "flair" else ["noise", "adc"]
        if pair.contrast != "flair" and pair.adc is None:
            wrong = ["noise"]
        variants = {
            "own": [""],
            "own_far": [""],
            "flipped": [str(rng.choice(["voxels", "header"]))],
            "cropped": ["top", "bottom"],
            "blank": [""],
            "motion": [""],
            "wrong_modality": [str(rng.choice(wrong))],
        }
        strangers = _strangers(pair, pairs, rng)
        for kind in CASE_KINDS:
            if kind == "other":
                made = [Case(kind, s.name, pair, stranger=s, seed=seed) for s in strangers]
            else:
                made = [Case(kind, variant, pair, seed=seed) for variant in variants[kind]]
            cases += made if kind in wanted else []
    return cases


def _strangers(pair: Pair, pairs: list[Pair], rng: np.random.Generator) -> list[Pair]:
    """Draw pairs of other persons, of the same set, kind and contrast; one pair a person."""
    alike = (pair.set_name, pair.kind, pair.contrast)
    persons: dict[str, list[Pair]] = {}
    for other in pairs:
        if (other.set_name, other.kind, other.contrast) == alike and other.person != pair.person:
            persons.setdefault(other.person, []).append(other)
    names = sorted(persons)
    chosen = rng.permutation(len(names))[:STRANGERS]
    return [persons[names[n]][int(rng.integers(len(persons[names[n]])))] for n in chosen]


def make(case: Case) -> Ready:
    """Load the pair and do to its moving scan what the case asks for."""
    pair = case.pair
    fixed = _scan(pair.fixed, "flair")
    points = _brain_points(pair.mask)
    source = case.stranger or pair
    moving = _scan(source.moving, source.contrast)
    if case.kind == "own_far":
        truth = _far_motion(case.rng, points.mean(axis=0))
        return Ready(fixed, carried(moving, truth @ np.linalg.inv(pair.truth)), points, truth)
    changed = _CHANGES[case.kind](moving, case)
    hopeless = case.kind in ("other", "flipped") or case.variant == "noise"
    return Ready(fixed, changed, points, None if hopeless else pair.truth)


def is_sound(case: Case) -> bool:
    """Tell whether a refusal to register at all stops a pair that is as good as any."""
    return case.kind in ("own", "own_far")


def _generator(seed: int, name: str) -> np.random.Generator:
    return np.random.default_rng([seed, zlib.crc32(name.encode())])


@lru_cache(maxsize=6)
def _scan(path: Path, contrast: Contrast) -> Scan:
    modality = MODALITIES[contrast]
    if not path.name.endswith("_dwi.nii.gz"):
        return iv.load_scan(path, modality=modality)
    series = load_series(path)
    bvalues = np.loadtxt(path.with_name(path.name.replace(".nii.gz", ".bval")))
    if contrast == "b0":
        data = series.data[..., bvalues < _B0_BELOW].mean(axis=-1)
    else:
        logs = np.log(np.maximum(series.data[..., bvalues > _TRACE_ABOVE], 1.0))
        data = np.exp(logs.mean(axis=-1))
    return Scan(data, series.grid, Identity(modality=modality, path=path))


@lru_cache(maxsize=2)
def _brain_points(path: Path) -> NDArray[np.float64]:
    mask = load_mask(path)
    ijk = np.argwhere(mask.data)
    return mask.grid.to_world(ijk[:: max(1, len(ijk) // _POINTS)])


def _far_motion(rng: np.random.Generator, centre: NDArray[np.float64]) -> Matrix:
    return _motion(rng, centre, turn_deg=rng.uniform(*FAR_DEG), shift_mm=rng.uniform(*FAR_MM))


def _motion(
    rng: np.random.Generator, centre: NDArray[np.float64], *, turn_deg: float, shift_mm: float
) -> Matrix:
    """Turn about a centre around a random axis, then shift in a random direction."""
    axis, direction = rng.normal(size=(2, 3))
    shift = shift_mm * (direction / np.linalg.norm(direction))
    return motion_about(centre, rotation_about(axis, turn_deg), shift)


def _as_is(scan: Scan, case: Case) -> Scan:
    return scan


def _flipped(scan: Scan, case: Case) -> Scan:
    if case.variant == "header":
        return carried(scan, np.diag([-1.0, 1.0, 1.0, 1.0]))
    left_right = int(np.argmax(np.abs(scan.grid.affine[0, :3]) / scan.grid.spacing_mm))
    return scan.with_data(np.flip(scan.data, axis=left_right))


def _cropped(scan: Scan, case: Case) -> Scan:
    axis = scan.grid.slice_axis
    count = scan.grid.shape[axis]
    kept = round(KEPT_SHARE * count)
    upward = scan.grid.affine[2, axis] > 0
    start = count - kept if (case.variant == "top") == upward else 0
    slices = [slice(0, n) for n in scan.grid.shape]
    slices[axis] = slice(start, start + kept)
    data = np.ascontiguousarray(scan.data[tuple(slices)])
    return replace(scan, data=data, grid=scan.grid.crop(slices))


def _blanked(scan: Scan, case: Case) -> Scan:
    rng, axis = case.rng, scan.grid.slice_axis
    count = scan.grid.shape[axis]
    length = round(rng.uniform(*BLANK_SHARE) * count)
    start = int(rng.integers(0, count - length + 1))
    data = scan.data.copy()
    np.moveaxis(data, axis, 0)[start : start + length] = 0
    return scan.with_data(data)


def _shaken(scan: Scan, case: Case) -> Scan:
    """Strong motion: slices at places of their own when thick, ghosts of the whole head in 3-D."""
    rng = case.rng
    return scan.with_data(_torn(scan, rng) if _is_thick(scan.grid) else _ghosted(scan, rng))


def _voxel_motion(scan: Scan, rng: np.random.Generator) -> Matrix:
    """Draw a motion of the head about the grid's centre, from voxel index to voxel index."""
    motion = _motion(
        rng, scan.grid.middle_mm, turn_deg=rng.uniform(*MOTION_DEG), shift_mm=rng.uniform(*MOTION_MM)
    )
    return np.asarray(np.linalg.inv(scan.grid.affine) @ motion @ scan.grid.affine)


def _torn(scan: Scan, rng: np.random.Generator) -> NDArray[np.float32]:
    """Move every second slice, or about half of them at random, each by its own motion."""
    axis = scan.grid.slice_axis
    count = scan.grid.shape[axis]
    moved = np.arange(count) % 2 == 0 if rng.random() < 0.5 else rng.random(count) < 0.5
    data = scan.data.copy()
    shape = list(scan.grid.shape)
    shape[axis] = 1
    for k in np.flatnonzero(moved):
        matrix = _voxel_motion(scan, rng)
        ijk = np.indices(shape).reshape(3, -1).astype(np.float64)
        ijk[axis] = k
        places = matrix[:3, :3] @ ijk + matrix[:3, 3:]
        values = ndimage.map_coordinates(scan.data, places, order=1)
        np.moveaxis(data, axis, 0)[k] = np.squeeze(values.reshape(shape), axis)
    return data


def _ghosted(scan: Scan, rng: np.random.Generator, *, copies: int = 3) -> NDArray[np.float32]:
    """Add moved copies to the resting head."""
    data = RESTING_SHARE * scan.data
    for _ in range(copies):
        matrix = _voxel_motion(scan, rng)
        copy = ndimage.affine_transform(scan.data, matrix[:3, :3], matrix[:3, 3], order=1)
        data += (1 - RESTING_SHARE) / copies * copy
    return data.astype(np.float32)


def _replaced(scan: Scan, case: Case) -> Scan:
    """Put other intensities under the same label."""
    if case.variant == "adc" and case.pair.adc is not None:
        adc = load_scan(case.pair.adc, modality=scan.modality)
        return replace(scan, data=adc.data, grid=adc.grid)
    head = _head(scan)
    if case.variant == "noise":
        rng = case.rng
        tissue = 100 + 60 * ndimage.gaussian_filter(rng.normal(size=scan.grid.shape), 0.7)
        return scan.with_data(np.where(head, tissue, np.abs(rng.normal(0, 5, scan.grid.shape))))
    # CSF dark, grey below white matter; in units of the median of the head
    level = scan.data / np.median(scan.data[head])
    return scan.with_data(np.interp(level, [0, 0.2, 0.9, 1.2, 1.8], [0, 25, 110, 65, 35]))


def _head(scan: Scan) -> NDArray[np.bool_]:
    smooth = ndimage.gaussian_filter(scan.data, 2.0 / scan.grid.spacing_mm)
    return np.asarray(smooth > 0.15 * np.percentile(smooth, 98))


_CHANGES: dict[str, Callable[[Scan, Case], Scan]] = {
    "own": _as_is,
    "other": _as_is,
    "flipped": _flipped,
    "cropped": _cropped,
    "blank": _blanked,
    "motion": _shaken,
    "wrong_modality": _replaced,
}

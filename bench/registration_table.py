"""How far registrations are from the truth, and the tables of a comparison."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from registration_engines import ENGINES
from registration_runs import MAIN_REPEAT, Run

KINDS = {"3-D": "3-D FLAIR", "thick": "thick FLAIR", "cross": "cross contrast, thick FLAIR to b0"}
OTHER_NAMES = {"f3d": "3-D", "f2d": "thick", "x": "cross"}
REFERENCE = "sitk_tuned"
BRAIN_POINTS = 50_000
COLUMNS = [
    "engine",
    "mean TRE mm",
    "largest TRE mm",
    "under half a voxel",
    "under 1 mm",
    "CPU s",
    "CPU of tuned",
    "registration CPU s",
    "wall s",
    "peak MB",
    "repeatability mm",
]
LEGEND = """\
TRE: distance between where a brain point is sent and where it belongs, over at most 50,000 points evenly
taken from the brain mask of the fixed scan; median of the pairs / worst pair. Under half a voxel, under 1
mm: pairs whose mean TRE is below; half a voxel is half the smallest spacing of the fixed scan. CPU (user
and system, all threads), wall and peak memory are of the whole process with its start, imports and
reading, median of the pairs; "CPU of tuned" is as a multiple of SimpleITK tuned in this run. Registration
CPU: without start, imports and reading. Repeatability: largest move of a brain point between runs that
differ in the seed, where the engine takes one, or in nothing; infarct-vol also in the number of threads.
A failure counts as under neither limit and shows in brackets; errors and costs are of the runs that did
not fail.
"""


@dataclass(frozen=True)
class Pair:
    """A pair's truth: brain points of the fixed scan and the matrix that takes them to the moving scan."""

    name: str
    kind: str
    half_voxel_mm: float
    points: NDArray[np.float64]
    truth: NDArray[np.float64]

    @classmethod
    def read(cls, folder: Path, kind: str) -> Pair:
        """Read what registration_pairs.py wrote."""
        mask = nib.Nifti1Image.from_filename(folder / "mask.nii.gz")
        brain = np.flatnonzero(np.asarray(mask.dataobj))
        chosen = brain[:: -(-len(brain) // BRAIN_POINTS)]
        indices = np.stack(np.unravel_index(chosen, mask.shape), axis=-1)
        points = indices @ mask.affine[:3, :3].T + mask.affine[:3, 3]
        half_voxel_mm = float(min(mask.header.get_zooms()[:3])) / 2
        truth = np.loadtxt(folder / "truth.txt")
        return cls(folder.name, OTHER_NAMES.get(kind, kind), half_voxel_mm, points, truth)

    def distances(self, a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return how far apart two matrices send each brain point, mm."""
        change = a - b
        moved: NDArray[np.float64] = np.linalg.norm(self.points @ change[:3, :3].T + change[:3, 3], axis=1)
        return moved


def chosen_pairs(root: Path, names: list[str] | None = None) -> dict[Path, str]:
    """Return the folder and kind of the pairs that were asked for, all if none was named."""
    manifest = root / "manifest.json"
    if not manifest.exists():
        message = f"{manifest} is absent: make the pairs with bench/registration_pairs.py {root}"
        raise SystemExit(message)
    kinds = {entry["id"]: entry["kind"] for entry in json.loads(manifest.read_text())}
    if unknown := sorted(set(names or []) - set(kinds)):
        message = f"{manifest} lists no pair {', '.join(unknown)}"
        raise SystemExit(message)
    return {root / name: kind for name, kind in kinds.items() if names is None or name in names}


@dataclass(frozen=True)
class Score:
    """One run and its error; a failed run has no error."""

    run: Run
    pair: Pair
    mean_tre_mm: float
    max_tre_mm: float

    @classmethod
    def of(cls, run: Run, pair: Pair) -> Score:
        """Compare a run with the truth."""
        if run.matrix is None:
            return cls(run, pair, np.nan, np.nan)
        errors = pair.distances(run.matrix, pair.truth)
        return cls(run, pair, float(errors.mean()), float(errors.max()))

    @property
    def is_main(self) -> bool:
        """Whether this is the run that the errors in the tables come from."""
        return self.run.repeat == MAIN_REPEAT and self.run.nominal_threads

    def as_row(self) -> dict[str, object]:
        """Return a row of the CSV file."""
        run = self.run
        numbers = {
            "mean_tre_mm": self.mean_tre_mm,
            "max_tre_mm": self.max_tre_mm,
            "cpu_s": run.cpu_s,
            "load_cpu_s": run.load_cpu_s,
            "register_cpu_s": run.register_cpu_s,
            "wall_s": run.wall_s,
            "peak_mb": run.peak_mb,
        }
        return {
            "pair": run.pair,
            "kind": self.pair.kind,
            "engine": run.engine,
            "repeat": run.repeat,
            "threads": run.threads,
            **{name: f"{value:.6g}" for name, value in numbers.items()},
            "failed": run.matrix is None,
            "note": run.note,
        }


def write_csv(scores: list[Score], path: Path) -> None:
    """Write every run."""
    rows = [score.as_row() for score in scores]
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def tables(scores: list[Score], engines: dict[str, str | None]) -> Iterator[str]:
    """Yield one table in Markdown per kind of pair; `engines` with their versions, None if absent."""
    for kind, title in KINDS.items():
        chosen = [score for score in scores if score.pair.kind == kind]
        if chosen:
            pairs = {score.pair.name for score in chosen}
            yield f"### {title}, {len(pairs)} {'pair' if len(pairs) == 1 else 'pairs'}\n"
            yield line(COLUMNS)
            yield line(["---"] * len(COLUMNS))
            for engine, version in engines.items():
                yield line(row(engine, version, chosen))
            yield ""


def line(cells: Iterable[str]) -> str:
    """Return a line of a Markdown table."""
    return f"| {' | '.join(cells)} |"


def row(engine: str, version: str | None, scores: list[Score]) -> list[str]:
    """Return the cells of one engine among the scores of one kind of pair."""
    title = ENGINES[engine].title
    if version is None:
        return [f"{title} (absent)", *["-"] * (len(COLUMNS) - 1)]
    own = [score for score in scores if score.run.engine == engine]
    main = [score for score in own if score.is_main]
    good = [score for score in main if score.run.matrix is not None]
    failed = len(main) - len(good)
    title = f"{title} {version}" + (f" ({failed} failed)" if failed else "")
    cpu_s = cost(own, lambda run: run.cpu_s)
    reference_s = cost([s for s in scores if s.run.engine == REFERENCE], lambda run: run.cpu_s)
    return [
        title,
        median_and_worst([score.mean_tre_mm for score in good]),
        median_and_worst([score.max_tre_mm for score in good]),
        f"{sum(s.mean_tre_mm < s.pair.half_voxel_mm for s in good)} of {len(main)}",
        f"{sum(s.mean_tre_mm < 1 for s in good)} of {len(main)}",
        number(cpu_s),
        number(cpu_s / reference_s),
        number(cost(own, lambda run: run.register_cpu_s)),
        number(cost(own, lambda run: run.wall_s)),
        number(cost(own, lambda run: run.peak_mb), digits=0),
        repeatability(own),
    ]


def median_and_worst(values: list[float]) -> str:
    """Return both with three decimals, "-" for no values."""
    return f"{np.median(values):.3f} / {max(values):.3f}" if values else "-"


def number(value: float, *, digits: int = 2) -> str:
    """Return a rounded number, "-" for what was not measured."""
    return "-" if np.isnan(value) else f"{value:.{digits}f}"


def cost(scores: list[Score], of: Callable[[Run], float]) -> float:
    """Return the median over pairs of each pair's median, of the runs with the usual threads; nan if none."""
    by_pair: dict[str, list[float]] = {}
    for score in scores:
        if score.run.matrix is not None and score.run.nominal_threads:
            by_pair.setdefault(score.pair.name, []).append(of(score.run))
    return float(np.median([np.median(values) for values in by_pair.values()])) if by_pair else np.nan


def repeatability(scores: list[Score]) -> str:
    """Return the largest distance from the main run of any other run of the same pair, "-" with one run."""
    main = {score.pair.name: score.run.matrix for score in scores if score.is_main}
    largest = []
    for score in scores:
        first = main.get(score.pair.name)
        if not score.is_main and score.run.matrix is not None and first is not None:
            largest.append(score.pair.distances(first, score.run.matrix).max())
    return f"{max(largest):.3g}" if largest else "-"

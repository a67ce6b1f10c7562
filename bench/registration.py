"""Compare our registration with every other engine that is installed, on pairs whose truth is known.

Make the pairs with registration_pairs.py and install the others with the extra `peers`; those that are absent
are listed as such. For each pair all engines run one after the other, each in a process of its own, so that a
busy spell of the machine meets them alike. Before that every engine runs once, untimed, so that none pays for
compiling byte code.

Example: python bench/registration.py pairs --repeats 2 --markdown table.md --csv runs.csv
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path

from registration_engines import ENGINES
from registration_runs import Run, Runner, installed_version
from registration_table import LEGEND, Pair, Score, chosen_pairs, tables, write_csv


def main() -> None:
    """Run everything that was asked for; print each run, then the tables."""
    options = read_options()
    folders = chosen_pairs(options.pairs_folder, options.pairs)
    engines = {engine: installed_version(engine) for engine in options.engines}
    installed = [engine for engine, version in engines.items() if version is not None]
    scores: list[Score] = []
    with tempfile.TemporaryDirectory() as scratch:
        runner = Runner(Path(scratch), threads=options.threads, timeout_s=options.timeout)
        warm_up(runner, installed, list(folders))
        for folder, kind in folders.items():
            pair = Pair.read(folder, kind)
            for run in interleaved(runner, installed, folder, repeats=options.repeats):
                scores.append(Score.of(run, pair))
                print(progress(scores[-1]), flush=True)
                if options.csv:
                    write_csv(scores, options.csv)  # after every run: what is done is kept if this is stopped
    text = "\n".join(
        [
            *tables(scores, engines),
            LEGEND,
            f"Threads: {options.threads}. Runs of each pair: {options.repeats}.\n",
        ]
    )
    print(f"\n{text}")
    if options.markdown:
        options.markdown.write_text(text)


def read_options() -> argparse.Namespace:
    """Return the options of the command line."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("pairs_folder", type=Path)
    parser.add_argument("--engines", type=lambda text: text.split(","), default=list(ENGINES))
    parser.add_argument("--pairs", type=lambda text: text.split(","), help="these only, as p00,p06")
    parser.add_argument("--repeats", type=int, default=1, help="2 and more measure repeatability")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--timeout", type=float, default=300.0, help="seconds for one registration")
    parser.add_argument("--markdown", type=Path, help="write the tables here as well")
    parser.add_argument("--csv", type=Path, help="write every run here")
    options = parser.parse_args()
    if unknown := sorted(set(options.engines) - set(ENGINES)):
        parser.error(f"--engines: {', '.join(unknown)} is none of {', '.join(ENGINES)}")
    return options


def warm_up(runner: Runner, engines: list[str], folders: list[Path]) -> None:
    """Run every engine once on the smallest pair."""
    smallest = min(folders, key=lambda folder: (folder / "moving.nii.gz").stat().st_size)
    for engine in engines:
        run = runner.run(engine, smallest)
        print(f"warm-up  {ENGINES[engine].title:30} {run.wall_s:6.1f} s  {run.note}", flush=True)


def interleaved(runner: Runner, engines: list[str], folder: Path, *, repeats: int) -> Iterator[Run]:
    """Yield the runs of one pair: all engines, then all again; with repeats, ours also on other threads."""
    for repeat in range(repeats):
        for engine in engines:
            yield runner.run(engine, folder, repeat=repeat)
    if repeats > 1 and "ours" in engines:
        yield runner.run("ours", folder, repeat=repeats, threads=1 if runner.threads > 1 else 2)


def progress(score: Score) -> str:
    """Return one line on one run."""
    run = score.run
    return (
        f"{run.pair:5}{score.pair.kind:7}{ENGINES[run.engine].title:30}"
        f"TRE mean {score.mean_tre_mm:7.3f} max {score.max_tre_mm:7.3f} mm  CPU {run.cpu_s:6.2f} s "
        f"(load {run.load_cpu_s:5.2f}, registration {run.register_cpu_s:6.2f})  wall {run.wall_s:6.2f} s  "
        f"{run.peak_mb:5.0f} MB  {run.note}"
    )


if __name__ == "__main__":
    main()

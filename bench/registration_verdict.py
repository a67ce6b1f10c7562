"""Calibrate the verdict on registrations: what passes, what is stopped, and whether rightly.

Sound, damaged and hopeless cases are made from pairs of scans with a known transform. A case is good when
the mean error over the brain is at most 2 mm, and bad when it is more, when the moving scan is another
person's, is mirrored, or holds no tissue. Rows are written as they come; a second run goes on where the
first one stopped.

Usage:
    python bench/registration_verdict.py PAIRS TRIAL --csv verdict.csv --markdown verdict.md
    python bench/registration_verdict.py PAIRS --csv try.csv --quick 25 --jobs 1
    python bench/registration_verdict.py --csv verdict.csv --report --explain

Exit code 3: a limit was missed.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import multiprocessing
import os
import signal
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from registration_cases import CASE_KINDS, Case, Ready, find_pairs, is_sound, make, plan_cases
from registration_report import METRIC, explain, read, report
from registration_runs import THREAD_VARIABLES

import infarct_vol as iv
import infarct_vol.registration
from infarct_vol.registration import RigidTransform
from infarct_vol.settings import RegistrationSettings

LIMIT_MISSED = 3
_QUICK_STREAM = 1
Row = dict[str, object]


def main() -> int:
    """Make the cases, judge them, report."""
    parser = _parser()
    options = parser.parse_args()
    if options.report == bool(options.folders):
        parser.error("name folders of pairs or a trial to run, or --report alone to report what was run")
    if options.report:
        rows = read(options.csv)
    else:
        cases = _chosen(options)
        judge(cases, Ledger.open(options.csv), jobs=options.jobs)
        rows = read(options.csv)
        rows = rows[rows.case.isin([case.name for case in cases])]
    text, kept = report(rows)
    print(text)
    if options.markdown:
        options.markdown.write_text(text + "\n", encoding="utf-8")
    if options.explain:
        print(explain(rows))
    return 0 if kept else LIMIT_MISSED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", type=Path, nargs="*", help="folders of pairs, digital trials")
    parser.add_argument("--csv", type=Path, default=Path("registration_verdict.csv"), help="one row a case")
    parser.add_argument("--markdown", type=Path, help="file to write the tables to")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--seed", type=int, default=0, help="of everything random in the cases")
    parser.add_argument("--kinds", nargs="+", choices=CASE_KINDS, default=CASE_KINDS)
    parser.add_argument("--quick", type=int, metavar="N", help="take N cases at random")
    parser.add_argument("--report", action="store_true", help="run nothing, report the rows of --csv")
    parser.add_argument("--explain", action="store_true", help="ranges and best threshold of every metric")
    return parser


def _chosen(options: argparse.Namespace) -> list[Case]:
    cases = plan_cases(find_pairs(options.folders), kinds=options.kinds, seed=options.seed)
    if options.quick is not None and options.quick < len(cases):
        rng = np.random.default_rng([options.seed, _QUICK_STREAM])
        cases = [cases[n] for n in sorted(rng.choice(len(cases), options.quick, replace=False))]
    return cases


def judge(cases: list[Case], ledger: Ledger, *, jobs: int) -> None:
    """Register the cases that have no row yet, in order."""
    left = [case for case in cases if case.name not in ledger.done]
    print(f"{len(cases)} cases, {len(cases) - len(left)} of them done before", file=sys.stderr)
    for name in THREAD_VARIABLES:
        os.environ[name] = "1"
    # a run that is ended must take its workers with it
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    # spawned workers read the limit on threads before they load a library that has them
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context) as pool:
        try:
            for number, row in enumerate(pool.map(judged, left), start=1):
                ledger.add(row)
                print(f"{number}/{len(left)} {_line(row)}", file=sys.stderr, flush=True)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    if engine_version() != ledger.engine:
        msg = f"the engine's files changed during the run: rows of {ledger.path} may mix two versions"
        raise SystemExit(msg)


def _line(row: Row) -> str:
    error = row["true_error_mm"]
    shown = "-" if error == "" else f"{error:.3f} mm"
    return f"{row['case']}: {row['verdict']}, {shown} {row['reasons']}"


def judged(case: Case) -> Row:
    """Register one case and set its verdict against the truth."""
    ready = make(case)
    pair = case.pair
    row: Row = {
        "case": case.name,
        "case_kind": case.kind,
        "variant": case.variant,
        "pair_kind": pair.kind,
        "contrast": f"flair-{pair.contrast}",
        "engine": "",
        "truth": "none" if ready.truth is None else "known",
        "sound": int(is_sound(case)),
        "true_error_mm": "",
        "true_error_max_mm": "",
        "cpu_seconds": "",
        "verdict": "",
        "reasons": "",
    }
    start = time.process_time()
    try:
        found = iv.register(ready.fixed, ready.moving)
    except iv.InfarctVolError as error:
        row.update(verdict="FAIL", reasons=f"refused: {error}")
        return row
    except (ArithmeticError, LookupError, ValueError) as error:
        # a defect of the engine on a hard case must not end the run, and must not be overlooked
        row.update(verdict="CRASH", reasons=f"{type(error).__name__}: {error}")
        return row
    row["cpu_seconds"] = round(time.process_time() - start, 2)
    row.update(_errors(found, ready))
    if found.quality is not None:
        row.update(verdict=found.quality.verdict, reasons=" | ".join(found.quality.reasons))
        row.update({METRIC + name: float(value) for name, value in found.quality.metrics.items()})
    return row


def _errors(found: RigidTransform, ready: Ready) -> Row:
    if ready.truth is None:
        return {}
    error = found.distance_mm(RigidTransform(ready.truth), ready.points)
    return {"true_error_mm": round(float(error.mean()), 4), "true_error_max_mm": round(float(error.max()), 4)}


def engine_version() -> str:
    """Return a short hash of the engine's code, its settings and the making of the cases."""
    digest = hashlib.sha256(RegistrationSettings().model_dump_json().encode())
    folder = Path(infarct_vol.registration.__file__).parent
    making = [Path(__file__).with_name(f"registration_{name}.py") for name in ("cases", "motion")]
    for path in [*sorted(folder.glob("*.py")), *making]:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


@dataclass
class Ledger:
    """A CSV that grows by a row at a time; rows of different engines do not mix."""

    path: Path
    engine: str
    rows: list[Row] = field(default_factory=list)
    columns: list[str] = field(default_factory=list)

    @classmethod
    def open(cls, path: Path) -> Ledger:
        """Read what is there.

        Raises
        ------
        SystemExit
            If the rows are of another version of the engine.
        """
        ledger = cls(path, engine_version())
        if not path.exists():
            return ledger
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            rows: list[Row] = [dict(row) for row in reader]
            ledger.columns = list(reader.fieldnames or [])
        # a row cut off by an interruption is run again, not glued to the next one
        if not path.read_bytes().endswith(b"\n"):
            rows = rows[:-1]
        ledger.rows = [row for row in rows if None not in row.values()]
        others = {str(row["engine"]) for row in ledger.rows} - {ledger.engine}
        if others:
            msg = (
                f"{path} holds rows of engine {', '.join(sorted(others))}, this is {ledger.engine}: "
                "name another --csv, remove the file, or use --report"
            )
            raise SystemExit(msg)
        ledger._rewrite()
        return ledger

    @property
    def done(self) -> set[str]:
        """Names of the cases with a row."""
        return {str(row["case"]) for row in self.rows}

    def add(self, row: Row) -> None:
        """Append a row; new columns make the file be written anew."""
        row["engine"] = self.engine
        self.rows.append(row)
        fresh = [name for name in row if name not in self.columns]
        if fresh:
            self.columns += fresh
            self._rewrite()
            return
        with self.path.open("a", newline="", encoding="utf-8") as file:
            csv.DictWriter(file, self.columns).writerow(row)

    def _rewrite(self) -> None:
        partial = self.path.with_name(self.path.name + ".part")
        with partial.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, self.columns)
            writer.writeheader()
            writer.writerows(self.rows)
        partial.replace(self.path)


if __name__ == "__main__":
    sys.exit(main())

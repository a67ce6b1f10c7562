"""Start a registration engine as a process of its own and measure all that the process used.

The peak memory of a child counts from the size of the process that starts it: this one stays smaller than any
engine by reading no scans but the brain masks.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from registration_engines import ENGINES

WORKER = Path(__file__).with_name("registration_engines.py")
MAIN_REPEAT = 0

# What other tools would take their number of threads from: none may leak in from the shell
THREAD_VARIABLES = {
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS",
}


@dataclass(frozen=True)
class Run:
    """One registration: who, on which pair, what it found and what the whole process used.

    `matrix` is None if it failed, with the reason in `note`; else `note` is the engine's own verdict, if any.
    """

    engine: str
    pair: str
    repeat: int
    threads: int
    nominal_threads: bool
    matrix: NDArray[np.float64] | None
    note: str
    cpu_s: float
    load_cpu_s: float
    register_cpu_s: float
    wall_s: float
    peak_mb: float


def installed_version(engine: str) -> str | None:
    """Return the version of an engine's distribution, None if it is absent."""
    try:
        return importlib.metadata.version(ENGINES[engine].distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


@dataclass(frozen=True)
class Runner:
    """Runs engines with the same threads and time limit; `scratch` holds their byte code and answers."""

    scratch: Path
    threads: int
    timeout_s: float

    def environment(self, engine: str, threads: int) -> dict[str, str]:
        """Return the shell's variables, but for the threads and where byte code is kept."""
        dropped = THREAD_VARIABLES | {"PYTHONDONTWRITEBYTECODE"}
        kept = {name: value for name, value in os.environ.items() if name not in dropped}
        kept["PYTHONPYCACHEPREFIX"] = str(self.scratch / "bytecode")
        names = ["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"]
        if engine != "ours":
            names += ["NUMBA_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"]
        return kept | dict.fromkeys(names, str(threads))

    def run(self, engine: str, pair: Path, *, repeat: int = MAIN_REPEAT, threads: int | None = None) -> Run:
        """Register once; a repeat has another seed where the engine takes one."""
        threads = threads or self.threads
        answer_path = self.scratch / "answer.json"
        answer_path.unlink(missing_ok=True)
        command = [sys.executable, str(WORKER), engine]
        command += [str((pair / name).resolve()) for name in ("fixed.nii.gz", "moving.nii.gz")]
        command += [str(answer_path), "--threads", str(threads), "--seed", str(1 + repeat)]
        log_path = self.scratch / "log.txt"
        with log_path.open("wb") as log:
            start = time.perf_counter()
            # the scratch folder as a place to work: some engines leave files behind
            process = subprocess.Popen(
                command, cwd=self.scratch, env=self.environment(engine, threads), stdout=log, stderr=log
            )
            status, usage, timed_out = wait(process, self.timeout_s)
            wall_s = time.perf_counter() - start
        answer = json.loads(answer_path.read_text()) if status == 0 and answer_path.exists() else {}
        matrix = np.array(answer["matrix"]) if answer else None
        return Run(
            engine=engine,
            pair=pair.name,
            repeat=repeat,
            threads=threads,
            nominal_threads=threads == self.threads,
            matrix=matrix if matrix is not None and np.isfinite(matrix).all() else None,
            note=answer.get("note") or failure(matrix, log_path, timed_out=timed_out),
            cpu_s=usage.ru_utime + usage.ru_stime,
            load_cpu_s=answer.get("load_cpu_s", np.nan),
            register_cpu_s=answer.get("register_cpu_s", np.nan),
            wall_s=wall_s,
            peak_mb=usage.ru_maxrss * 1024 / 1e6,  # Linux counts kibibytes
        )


def wait(process: subprocess.Popen[bytes], timeout_s: float) -> tuple[int, resource.struct_rusage, bool]:
    """Wait for a process; return its status, what it used and whether it was stopped at the time limit."""
    timed_out = threading.Event()

    def stop() -> None:
        timed_out.set()
        os.kill(process.pid, signal.SIGKILL)

    timer = threading.Timer(timeout_s, stop)
    timer.start()
    _, status, usage = os.wait4(process.pid, 0)
    timer.cancel()
    process.returncode = os.waitstatus_to_exitcode(status)  # it is reaped: Popen shall not look for it
    return process.returncode, usage, timed_out.is_set()


def failure(matrix: NDArray[np.float64] | None, log: Path, *, timed_out: bool) -> str:
    """Return why there is no usable matrix, empty if there is one."""
    if timed_out:
        return "stopped at the time limit"
    if matrix is None:
        lines = log.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "ended without an answer"
    return "" if np.isfinite(matrix).all() else "its matrix is not finite"

"""Many tasks: order, faults, dead workers, and the lock on an output folder."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from infarct_vol.batch import WorkerDiedError, output_lock, run_batch
from infarct_vol.errors import OutputLockedError, UsageError


def square(number: int) -> int:
    if number == 13:
        msg = "unlucky"
        raise ValueError(msg)
    if number == 666:
        os.kill(os.getpid(), signal.SIGKILL)
    return number * number


def outcomes(tasks: list[int], jobs: int, **options: str) -> dict[int, int | str]:
    return {
        done.task: done.result if done.error is None else type(done.error).__name__
        for done in run_batch(tasks, square, jobs=jobs, **options)
    }


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_fault_ends_its_own_task_only(jobs: int) -> None:
    assert outcomes([2, 13, 4], jobs) == {2: 4, 13: "ValueError", 4: 16}


def test_dask_workers_give_the_same_answers() -> None:
    pytest.importorskip("distributed", reason="the extra 'dask' is not installed")
    assert outcomes([2, 13, 4], 2, executor="dask") == {2: 4, 13: "ValueError", 4: 16}


def test_a_killed_worker_ends_its_own_task_only() -> None:
    assert outcomes([1, 2, 666, 3], 2) == {1: 1, 2: 4, 666: WorkerDiedError.__name__, 3: 9}


def test_no_workers_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="--jobs 0"):
        list(run_batch([1], square, jobs=0))


def test_a_second_run_on_one_folder_is_refused_and_names_the_first(tmp_path: Path) -> None:
    with (
        output_lock(tmp_path),
        pytest.raises(OutputLockedError, match=rf'another run .*"pid": {os.getpid()}'),
        output_lock(tmp_path),
    ):
        pass
    with output_lock(tmp_path):
        pass  # free again


def test_a_killed_run_leaves_no_lock_behind(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from infarct_vol.batch import output_lock\n"
        "with output_lock(Path(sys.argv[1])): os.kill(os.getpid(), 9)"
    )
    ended = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    assert ended.returncode == -signal.SIGKILL
    with output_lock(tmp_path):
        pass


def test_an_output_path_that_is_a_file_is_a_usage_error(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(UsageError, match="cannot write to"), output_lock(tmp_path / "out"):
        pass

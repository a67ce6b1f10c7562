"""Many participants: workers, a lock on the output folder, and results in a fixed order.

Parallel over participants, never inside one: results do not depend on the number of workers.
"""

from __future__ import annotations

import fcntl
import importlib
import json
import multiprocessing
import os
import signal
import socket
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Generic, Literal, TypeVar

import SimpleITK as sitk
from threadpoolctl import threadpool_limits

from infarct_vol.errors import InfarctVolError, OutputLockedError, UsageError

ExecutorName = Literal["local", "dask"]
Task = TypeVar("Task")
Result = TypeVar("Result")


class WorkerDiedError(InfarctVolError, RuntimeError):
    """A worker process ended without a result, for want of memory more often than not."""


@dataclass(frozen=True)
class Done(Generic[Task, Result]):
    """One finished task with its result, or the error it ended with."""

    task: Task
    result: Result | None = None
    error: Exception | None = None


def run_batch(
    tasks: Sequence[Task],
    work: Callable[[Task], Result],
    *,
    jobs: int = 1,
    executor: ExecutorName = "local",
    scheduler: str | None = None,
) -> Iterator[Done[Task, Result]]:
    """Yield every task as it finishes.

    Parameters
    ----------
    tasks
        Independent, picklable pieces of work.
    work
        A module-level function of one task.
    jobs
        Worker processes on this machine; 1 works in this process.
    executor
        ``local``, or ``dask`` for workers reached through a dask scheduler.
    scheduler
        Address of the dask scheduler; ``None`` starts workers on this machine.

    Raises
    ------
    UsageError
        If dask is asked for and not installed, or ``jobs`` is below 1.
    """
    if jobs < 1:
        msg = f"--jobs {jobs} is not a number of workers; use 1 or more"
        raise UsageError(msg)
    work = _SingleThreaded(work)
    if executor == "dask":
        with _dask_executor(scheduler, jobs) as pool:
            yield from _with_executor(pool, tasks, work)
    elif jobs == 1 or len(tasks) <= 1:
        for task in tasks:
            yield _attempt(task, work)
    else:
        yield from _local(tasks, work, jobs=jobs)


def _attempt(task: Task, work: Callable[[Task], Result]) -> Done[Task, Result]:
    try:
        return Done(task, result=work(task))
    except Exception as error:  # noqa: BLE001 - a fault in one case must not end the others; it is reported
        return Done(task, error=error)


def _local(
    tasks: Sequence[Task], work: Callable[[Task], Result], *, jobs: int
) -> Iterator[Done[Task, Result]]:
    """Run in a pool; tasks caught in a pool that broke run again one by one, to find the one that breaks."""
    suspects: list[Task] = []
    for done in _with_executor(_pool(min(jobs, len(tasks))), tasks, work):
        if isinstance(done.error, BrokenProcessPool):
            suspects.append(done.task)
        else:
            yield done
    for task in suspects:
        for done in _with_executor(_pool(1), [task], work):
            if isinstance(done.error, BrokenProcessPool):
                msg = "the worker process was killed, most often for want of memory; use fewer --jobs"
                yield Done(task, error=WorkerDiedError(msg))
            else:
                yield done


def _pool(jobs: int) -> Executor:
    # spawned, not forked: a fork of a threaded process may hang, and a spawn starts the same everywhere
    return ProcessPoolExecutor(
        jobs,
        mp_context=multiprocessing.get_context("spawn"),
        # an interruption reaches every process of the terminal: this one ends the workers, in silence
        initializer=signal.signal,
        initargs=(signal.SIGINT, signal.SIG_IGN),
    )


@contextmanager
def single_threaded() -> Iterator[None]:
    """Keep numeric libraries to one thread.

    The cases are the parallel part, and sums must not depend on how many threads shared them.
    """
    before = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    try:
        with threadpool_limits(limits=1):
            yield
    finally:
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(before)


@dataclass(frozen=True)
class _SingleThreaded(Generic[Task, Result]):
    """A picklable call of ``work`` with one numeric thread."""

    work: Callable[[Task], Result]

    def __call__(self, task: Task) -> Result:
        with single_threaded():
            return self.work(task)


def _with_executor(
    executor: Executor, tasks: Sequence[Task], work: Callable[[Task], Result]
) -> Iterator[Done[Task, Result]]:
    with executor:
        futures = {executor.submit(work, task): task for task in tasks}
        try:
            for future in as_completed(futures):
                yield _outcome(futures[future], future)
        except BaseException:
            executor.shutdown(wait=False, cancel_futures=True)
            for worker in multiprocessing.active_children():
                worker.terminate()
            raise


def _outcome(task: Task, future: Future[Result]) -> Done[Task, Result]:
    try:
        return Done(task, result=future.result())
    except Exception as error:  # noqa: BLE001 - raised in a worker; reported with its case
        return Done(task, error=error)


@contextmanager
def _dask_executor(scheduler: str | None, jobs: int) -> Iterator[Executor]:
    """Connect to a scheduler, or start workers on this machine; nothing listens beyond it."""
    try:
        distributed = importlib.import_module("distributed")
    except ImportError:
        msg = "--executor dask needs the extra 'dask': pip install 'infarct-vol[dask]'"
        raise UsageError(msg) from None
    with ExitStack() as opened:
        address = scheduler or opened.enter_context(
            distributed.LocalCluster(
                n_workers=jobs, threads_per_worker=1, host="127.0.0.1", dashboard_address=None
            )
        )
        client = opened.enter_context(distributed.Client(address))
        yield client.get_executor()


@contextmanager
def output_lock(out: Path) -> Iterator[None]:
    """Hold an output folder for one run.

    The lock is the operating system's, so a killed run leaves none behind.

    Raises
    ------
    OutputLockedError
        If another run holds it; the message names that run.
    UsageError
        If the folder cannot be written.
    """
    path = out / ".infarct-vol.lock"
    try:
        out.mkdir(parents=True, exist_ok=True)
        handle = path.open("a+", encoding="utf-8")
    except OSError as error:
        msg = f"cannot write to {out}: {error.strerror}; choose another output folder"
        raise UsageError(msg) from None
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            handle.seek(0)
            msg = f"another run is at work in {out}: {handle.read().strip() or 'unknown'}; wait for it to end"
            raise OutputLockedError(msg) from None
        handle.truncate(0)
        started = datetime.now(UTC).isoformat(timespec="seconds")
        handle.write(json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "started": started}))
        handle.flush()
        try:
            yield
        finally:
            path.unlink(missing_ok=True)

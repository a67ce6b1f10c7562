"""Self-verification: whether this installation, on this machine, measures what is known to be true."""

from __future__ import annotations

import platform
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from infarct_vol._version import __version__
from infarct_vol.batch import Done, run_batch
from infarct_vol.errors import VerificationError
from infarct_vol.files import write_text
from infarct_vol.ledger import library_versions
from infarct_vol.protocol import Protocol
from infarct_vol.validation.judging import judge
from infarct_vol.validation.limits import LIMITS
from infarct_vol.validation.plan import Task, tasks
from infarct_vol.validation.results import Deviation, Observed, Verification, together
from infarct_vol.validation.verification_page import write_page

Progress = Callable[[str], None]
"""Called with what was done as each task ends."""


def verify(
    out: Path | str,
    *,
    quick: bool = False,
    jobs: int = 1,
    seed: int = 1,
    on_progress: Progress | None = None,
) -> Verification:
    """Verify this installation on digital reference objects, and write report and numbers below ``out``.

    Measured are masks of known volume, ellipsoids of known volume in a digital phantom, digital patients,
    the same patients scanned twice, one scan stored in several ways, and known motions. Each number is
    held against an acceptance limit of `infarct_vol.validation.limits.LIMITS`.

    Parameters
    ----------
    out
        Folder for ``verification.html`` and ``verification.json``.
    quick
        A smaller set, about a fifth of the work.
    jobs
        Worker processes; results do not depend on it.
    seed
        Of the simulation; the same seed gives the same numbers.
    on_progress
        Called as each task ends.

    Returns
    -------
    Verification
        Its ``failed`` are the checks whose limit does not hold; `require_passed` raises on them.

    Raises
    ------
    UsageError
        If a number is out of range.
    """
    out = Path(out)
    planned = tasks(quick=quick, seed=seed)
    parts: dict[str, Observed] = {}
    for done in run_batch(planned, _work, jobs=jobs):
        parts[done.task.name] = _observed(done)
        if on_progress is not None:
            on_progress(done.task.name)
    # in the order of the plan, whichever worker was first
    observed = together([parts[task.name] for task in planned])
    verification = Verification(
        version=__version__,
        protocol_sha256=Protocol().sha256,
        quick=quick,
        seed=seed,
        performed_at=datetime.now(UTC).isoformat(timespec="seconds"),
        machine={"system": platform.platform(), "processor": platform.machine()},
        libraries=library_versions(),
        checks=judge(observed, LIMITS),
        cases=observed.cases,
        deviations=observed.deviations,
    )
    write_text(verification.model_dump_json(indent=1) + "\n", out / "verification.json")
    write_page(verification, out / "verification.html")
    return verification


def task_count(*, quick: bool) -> int:
    """Return how many tasks a verification has."""
    return len(tasks(quick=quick, seed=0))


def require_passed(verification: Verification) -> None:
    """Raise unless every limit holds.

    Raises
    ------
    VerificationError
        With the limits that do not hold.
    """
    if verification.failed:
        lines = [
            f"{c.section}, {c.title}: {c.value_words}, limit {c.limit_words}" for c in verification.failed
        ]
        msg = (
            f"{len(lines)} of {len(verification.checks)} checks do not hold: {'; '.join(lines)}. Do not "
            "measure with this installation before the reason is known; see the report and "
            "docs/verification.md"
        )
        raise VerificationError(msg)


def _work(task: Task) -> Observed:
    return task.work()


def _observed(done: Done[Task, Observed]) -> Observed:
    """Return what a task observed, and whether it ended with a fault."""
    fault = Deviation(
        check="fault", case=done.task.name, value=float(done.error is not None), reason=str(done.error or "")
    )
    found = done.result or Observed()
    return Observed(found.cases, (*found.deviations, fault))

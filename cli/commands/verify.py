"""``infarct-vol verify``: self-verification on digital reference objects."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import infarct_vol as iv
from infarct_vol_cli.commands._job import Jobs
from infarct_vol_cli.shell import Shell


def run(
    shell: Shell,
    out: Annotated[Path, typer.Argument(help="Folder for the report.")] = Path("infarct_vol_verification"),
    quick: Annotated[bool, typer.Option("--quick", help="A smaller set, about a fifth of the work.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="Of the simulation; same seed, same numbers.")] = 1,
    as_json: Annotated[
        bool, typer.Option("--json", help="The whole verification as JSON on stdout.")
    ] = False,
    jobs: Jobs = 1,
) -> int:
    """Verify this installation: known volumes, digital patients, repeated scans, known motions.

    Each number is held against an acceptance limit. Writes `verification.html` and `verification.json`.
    Exit code 0 says that every limit holds, 3 that one does not.

    Example: `infarct-vol verify qualification --quick --jobs 2`
    """
    # loaded here to keep --help quick
    from infarct_vol.validation.verification import require_passed, task_count
    from infarct_vol.validation.verification_page import check_lines, outcome

    with shell.progress("Tasks", task_count(quick=quick)) as advance:
        verification = iv.verify(
            out, quick=quick, jobs=jobs, seed=seed, on_progress=lambda task: advance(task, 1)
        )
    if as_json:
        shell.json(verification.model_dump(mode="json"))
    else:
        columns = ("section", "check", "measured", "limit", "n", "verdict")
        lines = check_lines(verification)
        shell.table(
            "Self-verification",
            columns,
            ((c.section, c.title, c.value, c.limit, c.n, c.verdict) for c in lines),
        )
    shell.say(outcome(verification))
    shell.say(f"Report: {(out / 'verification.html').resolve()}")
    require_passed(verification)
    return 0

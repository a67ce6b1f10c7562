"""``infarct-vol report``: the static report again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import infarct_vol as iv
from infarct_vol_cli.shell import Shell


def run(
    shell: Shell,
    out: Annotated[Path, typer.Argument(help="Output folder of a run.")],
    study: Annotated[
        Path | None, typer.Option(help="Study folder, if it is not where the run found it.")
    ] = None,
) -> int:
    """Write the static report of a run again, with every decision, corrected mask and its history.

    One page leads to all: a page a participant, a contact sheet of the trial, and a PDF of both.

    Example: `infarct-vol report results`
    """
    report = iv.remake_report(out, study=study)
    for note in report.notes:
        shell.say(note, level="warning")
    shell.say(f"Report: {report.path.resolve()}")
    return 0

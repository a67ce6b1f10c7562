"""``infarct-vol report``: the static report again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import infarct_vol as iv
from infarct_vol_cli.shell import Shell


def run(shell: Shell, out: Annotated[Path, typer.Argument(help="Output folder of a run.")]) -> int:
    """Write the static HTML report of a run again, from its records, tables and figures.

    Example: `infarct-vol report results`
    """
    shell.say(f"Report: {iv.remake_report(out).resolve()}")
    return 0

"""``infarct-vol tables``: the tables again from what was measured."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import infarct_vol as iv
from infarct_vol_cli.shell import Shell


def run(
    shell: Shell,
    out: Annotated[Path, typer.Argument(help="Output folder of a run.")],
    randomization: Annotated[
        Path | None, typer.Option(help="CSV of participant_id and arm; without it tables are BLINDED.")
    ] = None,
) -> int:
    """Write the tables of a run again, per arm when a randomisation list is given.

    Example: `infarct-vol tables results --randomization list.csv`
    """
    paths = iv.remake_tables(out, randomization=randomization)
    for path in (paths.volumes, paths.change, paths.summary, paths.dictionary):
        shell.say(str(path.resolve()))
    return 0

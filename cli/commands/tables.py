"""``infarct-vol tables``: the tables again from the records of a run."""

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
        Path | None,
        typer.Option(help="Randomisation list (CSV); unblinds, which the audit trail notes. Never copied."),
    ] = None,
    measures: Annotated[
        Path | None,
        typer.Option(
            help="The trial's other outcomes: a long CSV of participant_id, acq_time, parameter, value, "
            "unit, lower_limit, upper_limit."
        ),
    ] = None,
    verification: Annotated[
        Path | None,
        typer.Option(help="verification.json of 'verify': its repeatability coefficient judges changes."),
    ] = None,
) -> int:
    """Write tables, datasets (ADaM) and pictures of a run again; per arm when a randomisation list is given.

    Every mask is held against its hash first: a volume whose mask changed since is left empty, and named.

    Example: `infarct-vol tables results --measures outcomes.csv --randomization arms.csv`
    """
    remade = iv.remake_tables(out, randomization=randomization, measures=measures, verification=verification)
    for problem in remade.problems:
        shell.say(f"refused: {problem}", level="warning")
    for file in remade.paths.left_out:
        shell.say(file, level="warning")
    if randomization is None:
        shell.say("BLINDED: no randomisation list was given, all arms are pooled.")
    else:
        shell.say("UNBLINDED: arms are in the summary and the datasets; the audit trail says when.")
    shell.say(f"Tables: {remade.paths.folder.resolve()}")
    shell.say(f"Summary to hand over: {out.resolve() / 'report' / 'trial_summary.pdf'}")
    return remade.exit_code

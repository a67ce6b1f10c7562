"""``infarct-vol demo``: the whole main job on the embedded sample trial."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import typer

import infarct_vol as iv
from infarct_vol.sample import sample_trial, sample_truth
from infarct_vol_cli.commands._job import Jobs, run_with_progress
from infarct_vol_cli.shell import Shell


def run(
    shell: Shell,
    out: Annotated[Path, typer.Argument(help="Output folder.")] = Path("infarct_vol_demo"),
    jobs: Jobs = 2,
) -> int:
    """Run the main job on the sample trial of four digital participants whose volumes are known.

    Ends with a table of measured against true volumes, and where the tables and the report are.

    Example: `infarct-vol demo my_first_trial`
    """
    charter = iv.Protocol(study_id="Sample trial")
    summary = run_with_progress(shell, sample_trial(), out, jobs=jobs, protocol=charter, truth=sample_truth())
    compared = iv.measured_against_truth(iv.read_tables(out).volumes, sample_truth())
    shell.table(
        "Measured against true volume",
        ("participant", "visit", "parameter", "true mL", "measured mL", "error mL", "error %"),
        (
            (
                r.participant_id,
                r.visit,
                r.parameter,
                *(_number(v) for v in (r.true_ml, r.measured_ml, r.error_ml, r.error_percent)),
            )
            for r in compared.itertuples()
        ),
    )
    # the sample trial holds a damaged scan on purpose: the job did what it should
    shell.say("One scan of the sample is damaged on purpose: it is refused above, and never counted as 0 mL.")
    shell.say(f"Tables: {summary.tables.volumes.parent.resolve()}")
    shell.say(f"Report: {summary.report.resolve()}")
    shell.say(f"Judge and correct the masks with: infarct-vol review {out}")
    return 0


def _number(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.2f}"

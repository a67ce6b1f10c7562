"""``infarct-vol run``: the main job."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from infarct_vol_cli.commands._job import Jobs, ProtocolFile, VisitMap, run_with_progress
from infarct_vol_cli.shell import Shell


def run(
    shell: Shell,
    study: Annotated[Path, typer.Argument(help="BIDS folder, or manifest (CSV).")],
    out: Annotated[Path, typer.Argument(help="Output folder; run again to go on or to update.")],
    protocol: ProtocolFile = None,
    participant_label: Annotated[
        list[str] | None, typer.Option(help="Only this participant; may be repeated.")
    ] = None,
    jobs: Jobs = 1,
    executor: Annotated[Literal["local", "dask"], typer.Option(help="Where workers run.")] = "local",
    scheduler: Annotated[str | None, typer.Option(help="Address of a dask scheduler.")] = None,
    randomization: Annotated[
        Path | None, typer.Option(help="CSV of participant_id and arm; without it tables are BLINDED.")
    ] = None,
    masks: Annotated[Path | None, typer.Option(help="Folder of masks made elsewhere.")] = None,
    visit: VisitMap = None,
) -> int:
    """Measure every visit of a study; write masks, transforms, tables and the report.

    May be repeated: finished work whose inputs, protocol and version are unchanged is not redone.
    Exit code 1 says that something was refused or failed; all else is done.

    Example: `infarct-vol run my_study results --jobs 2`
    """
    summary = run_with_progress(
        shell,
        study,
        out,
        protocol=protocol,
        participant_labels=participant_label or (),
        jobs=jobs,
        executor=executor,
        scheduler=scheduler,
        randomization=randomization,
        masks=masks,
        visits=visit or (),
    )
    shell.say(f"Tables: {summary.tables.volumes.parent.resolve()}")
    shell.say(f"Report: {summary.report.resolve()}")
    shell.say(f"Judge and correct the masks with: infarct-vol review {out}")
    return summary.exit_code

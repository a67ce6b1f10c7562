"""``infarct-vol simulate``: a digital trial with known volumes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import infarct_vol as iv
from infarct_vol.errors import UsageError
from infarct_vol_cli.commands._job import Jobs
from infarct_vol_cli.shell import Shell


def run(
    shell: Shell,
    out: Annotated[Path, typer.Argument(help="New folder for the BIDS dataset.")],
    participants: Annotated[int, typer.Option(min=1, max=999, help="Number of participants.")] = 12,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same bytes.")] = 1,
    compact: Annotated[bool, typer.Option("--compact", help="Small files, as in the sample trial.")] = False,
    t1w: Annotated[bool, typer.Option("--t1w", help="A T1w image at every visit, too.")] = False,
    jobs: Jobs = 1,
) -> int:
    """Make a digital trial: whole heads, infarcts that evolve over four visits, and the truth beside them.

    Example: `infarct-vol simulate trial12 --participants 12 --seed 7`
    """
    if out.exists() and any(out.iterdir()):
        msg = f"{out} is not empty; simulate into a new folder"
        raise UsageError(msg)
    with shell.progress("Participants", participants) as advance:
        iv.simulate_trial(
            out,
            participants=participants,
            seed=seed,
            compact=compact,
            t1w=t1w,
            jobs=jobs,
            on_progress=lambda text: advance(text, 1),
        )
    shell.say(f"Study: {out.resolve()}")
    shell.say(f"True volumes: {(out / 'derivatives' / 'truth' / 'truth.csv').resolve()}")
    return 0

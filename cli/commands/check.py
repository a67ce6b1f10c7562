"""``infarct-vol check``: scan checks only."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import infarct_vol as iv
from infarct_vol_cli.commands._job import ProtocolFile, VisitMap
from infarct_vol_cli.shell import Shell


def run(
    shell: Shell,
    study: Annotated[Path, typer.Argument(help="BIDS folder, or manifest (CSV).")],
    protocol: ProtocolFile = None,
    visit: VisitMap = None,
    as_json: Annotated[bool, typer.Option("--json", help="Every finding as JSON on stdout.")] = False,
    show_all: Annotated[bool, typer.Option("--all", help="Show the checks that passed, too.")] = False,
) -> int:
    """Check every scan of a study, and measure nothing.

    Exit code 1 says that at least one scan would be refused.

    Example: `infarct-vol check my_study --json > checks.json`
    """
    charter = iv.load_protocol(protocol)
    found = iv.open_study(study, images=charter.images)
    rows = list(iv.check_study(found, protocol=charter, visits=visit or ()))
    if as_json:
        shell.json([row.model_dump() for row in rows])
    else:
        shown = [row for row in rows if show_all or row.verdict != "PASS"]
        columns = ("participant", "session", "visit", "scan", "check", "verdict", "found", "remedy")
        shell.table("Scan checks", columns, ([v or "" for v in row.model_dump().values()] for row in shown))
    counts = {verdict: sum(row.verdict == verdict for row in rows) for verdict in ("PASS", "WARN", "FAIL")}
    shell.say(
        f"{counts['PASS']} checks passed, {counts['WARN']} warnings, {counts['FAIL']} failures.", **counts
    )
    return 1 if counts["FAIL"] else 0

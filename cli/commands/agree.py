"""``infarct-vol agree``: how two measurements of the same cases agree."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

import infarct_vol as iv
from infarct_vol.errors import UsageError
from infarct_vol_cli.shell import Shell

_KIND = "Mask, folder of masks, volumes.csv, or output folder of a run."


def run(
    shell: Shell,
    a: Annotated[Path, typer.Argument(metavar="A", help=f"Reference. {_KIND}")],
    b: Annotated[Path, typer.Argument(metavar="B", help=f"Compared with it. {_KIND}")],
    as_csv: Annotated[bool, typer.Option("--csv", help="Cases as CSV on stdout.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Cases and statistics as JSON on stdout.")] = False,
    out: Annotated[
        Path | None, typer.Option(help="Folder for cases, statistics and charts (CSV, JSON, PNG, SVG).")
    ] = None,
    tolerance_mm: Annotated[
        float, typer.Option("--tolerance-mm", help="Distance up to which two surfaces agree (surface Dice).")
    ] = 1.0,
) -> int:
    """Compare two measurements of the same cases: masks, folders of masks, or tables of volumes.

    Per case: Dice, volume and lesion-count difference, lesion-wise F1, surface Dice, 95 % Hausdorff distance.
    Over all cases, by size class and by region: Bland-Altman limits, repeatability coefficient, linearity
    and ICC(2,1) with 95 % intervals. Differences are B minus A.

    Exit code 1 says that a case was refused or has no twin; the others are compared.

    Example: `infarct-vol agree reader1 reader2 --out agreement`
    """
    from infarct_vol.validation.outputs import cases_csv, write_agreement  # loaded here to keep --help quick

    if as_csv and as_json:
        msg = "stdout holds one of the two: give --csv or --json, and --out for everything"
        raise UsageError(msg)
    found = iv.agree(a, b, tolerance_mm=tolerance_mm)
    for sentence in (*found.refused, *found.unpaired):
        shell.say(sentence, level="error")
    if as_csv:
        sys.stdout.write(cases_csv(found))
    elif as_json:
        shell.json(found.to_json())
    else:
        for table in found.overview():
            shell.table(table.title, table.columns, table.lines)
    for path in write_agreement(found, out) if out is not None else ():
        shell.say(str(path.resolve()))
    return 1 if found.refused or found.unpaired else 0

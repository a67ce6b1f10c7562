"""``infarct-vol measure``: volumes of masks."""

from __future__ import annotations

import csv
import sys
from pathlib import Path
from typing import Annotated

import typer

import infarct_vol as iv
from infarct_vol.errors import InfarctVolError
from infarct_vol_cli.shell import Shell


def run(
    shell: Shell,
    masks: Annotated[list[Path], typer.Argument(help="Mask files.")],
    as_csv: Annotated[bool, typer.Option("--csv", help="CSV on stdout.")] = False,
    connectivity: Annotated[int, typer.Option(help="Neighbourhood of a component: 6, 18 or 26.")] = 26,
) -> int:
    """Measure masks on their own grids: mL, voxels, voxel volume, connected components.

    Exit code 1 says that a mask was refused; the others are measured.

    Example: `infarct-vol measure reader1/*.nii.gz --csv > volumes.csv`
    """
    from infarct_vol.measurement import MaskRow, mask_row  # loaded here to keep --help quick

    rows: list[MaskRow] = []
    for path in masks:
        try:
            rows.append(mask_row(iv.load_mask(path), file=str(path), connectivity=connectivity))
        except InfarctVolError as error:
            if error.exit_code != 1:
                raise
            shell.say(str(error), level="error", file=str(path))
    columns = list(MaskRow.model_fields)
    if as_csv:
        writer = csv.DictWriter(sys.stdout, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(row.model_dump() for row in rows)
    else:
        shell.table("Volumes", columns, ([_short(v) for v in row.model_dump().values()] for row in rows))
    return 0 if len(rows) == len(masks) else 1


def _short(value: object) -> object:
    return f"{value:.6g}" if isinstance(value, float) else value

"""``infarct-vol measure``: volumes of masks."""

from __future__ import annotations

import csv
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

import infarct_vol as iv
from infarct_vol.errors import InfarctVolError
from infarct_vol_cli.shell import Shell


def run(
    shell: Shell,
    masks: Annotated[list[Path], typer.Argument(help="Mask files.")],
    as_csv: Annotated[bool, typer.Option("--csv", help="CSV on stdout.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="JSON on stdout, with every component.")] = False,
    scan: Annotated[
        Path | None, typer.Option(help="Image the masks were drawn on: components get their place (MNI).")
    ] = None,
    modality: Annotated[
        Literal["dwi", "b0", "flair", "t1w", "t2w", "unknown"], typer.Option(help="What --scan is.")
    ] = "unknown",
    connectivity: Annotated[int, typer.Option(help="Neighbourhood of a component: 6, 18 or 26.")] = 26,
    label: Annotated[
        int | None,
        typer.Option(help="Label to measure, where a file holds several."),
    ] = None,
) -> int:
    """Measure masks on their own grids: mL, voxels, voxel volume, connected components.

    Exit code 1 says that a mask was refused; the others are measured. With --scan, a mask that cannot be a
    lesion of that image (a brain mask, mirrored, outside the brain) is refused too.

    Example: `infarct-vol measure reader1/*.nii.gz --csv > volumes.csv`

    Example: `infarct-vol measure mask.nii.gz --scan flair.nii.gz --modality flair --json`
    """
    from infarct_vol.cases import measure_on_scan  # loaded here to keep --help quick
    from infarct_vol.measurement import LesionVolume, MaskRow, mask_row

    found: dict[Path, LesionVolume] = {}
    for path in masks:
        try:
            found[path] = (
                iv.measure(iv.load_mask(path, label=label), connectivity=connectivity)
                if scan is None
                else measure_on_scan(path, scan, modality=modality, connectivity=connectivity, label=label)
            )
        except InfarctVolError as error:
            if error.exit_code != 1:
                raise
            shell.say(str(error), level="error", file=str(path))
    for path, volume in found.items():
        for flag in volume.flags:
            shell.say(f"{path}: {flag}", level="warning", file=str(path))
    rows = [mask_row(volume, file=str(path)).model_dump() for path, volume in found.items()]
    columns = list(MaskRow.model_fields)
    if as_json:
        shell.json(
            [
                {
                    **row,
                    "components": [part.model_dump(exclude_none=True) for part in volume.components],
                    "flags": list(volume.flags),
                }
                for row, volume in zip(rows, found.values(), strict=True)
            ]
        )
    elif as_csv:
        writer = csv.DictWriter(sys.stdout, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    else:
        shell.table("Volumes", columns, ([_short(v) for v in row.values()] for row in rows))
    return 0 if len(found) == len(masks) else 1


def _short(value: object) -> object:
    return f"{value:.6g}" if isinstance(value, float) else value

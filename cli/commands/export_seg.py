"""``infarct-vol export-seg``: a mask as DICOM SEG, with overlays, for a PACS."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from infarct_vol.errors import UsageError
from infarct_vol_cli.shell import Shell


def run(
    shell: Shell,
    mask: Annotated[Path, typer.Argument(help="Mask (NIfTI), or the output folder of a run.")],
    dicom_dir: Annotated[Path, typer.Argument(help="Folder with the DICOM series the mask was drawn on.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="SEG file to write (.dcm); a folder if MASK is one.")
    ],
    overlays: Annotated[
        Path | None,
        typer.Option(help="Folder for one colour image per slice with lesion (outline burnt in)."),
    ] = None,
    label: Annotated[str | None, typer.Option(help="Name of the segment.  [default: Infarct]")] = None,
    algorithm: Annotated[
        Literal["automatic", "semiautomatic", "manual"] | None,
        typer.Option(help="How the mask came about.  [default: automatic; of a run: as its table says]"),
    ] = None,
    series: Annotated[
        str | None,
        typer.Option(help="UID or number of the source series, where several have the mask's grid."),
    ] = None,
    participant: Annotated[str | None, typer.Option(help="Of a run: participant, such as sub-001.")] = None,
    session: Annotated[str | None, typer.Option(help="Of a run: session, such as ses-M03.")] = None,
    parameter: Annotated[
        Literal["infarct", "infarct_dwi", "infarct_flair", "cavity", "new_lesion"],
        typer.Option(help="Of a run: whose mask."),
    ] = "infarct",
) -> None:
    """Write a mask as DICOM SEG on the frames of its source series; the same input gives the same bytes.

    The mask must lie on the grid of a series in DICOM_DIR: it is turned if need be, never resampled.

    Example: `infarct-vol export-seg mask.nii.gz dicom/ -o seg.dcm --overlays overlays/`

    Example: `infarct-vol export-seg OUT dicom/ -o pacs/ --participant sub-001 --session ses-M03`
    """
    # loaded here to keep --help quick
    from infarct_vol.dicom import counted_mask, export_segmentation, segmentation_name

    path, target = mask, output
    if mask.is_dir():
        if participant is None or session is None:
            msg = "give --participant and --session with the output folder of a run"
            raise UsageError(msg)
        path, own_label, own_algorithm = counted_mask(
            mask, participant=participant, session=session, parameter=parameter
        )
        label, algorithm = label or own_label, algorithm or own_algorithm
        target = output / segmentation_name(path)
    elif participant is not None or session is not None:
        msg = "--participant and --session go with the output folder of a run, not with a mask file"
        raise UsageError(msg)
    done = export_segmentation(
        path,
        dicom_dir,
        target,
        overlays=overlays,
        label=label or "Infarct",
        algorithm=algorithm or "automatic",
        series=series,
    )
    for remark in done.remarks:
        shell.say(remark, level="warning")
    shell.say(f"drawn on {done.source}", level="debug")
    shell.json(
        {
            "segmentation": str(done.segmentation),
            "overlays": [str(p) for p in done.overlays],
            "source": done.source,
            "series_instance_uid": done.series_instance_uid,
            "sop_instance_uid": done.sop_instance_uid,
            "frame_count": done.frame_count,
            "voxel_count": done.voxel_count,
            "volume_ml": done.volume_ml,
        }
    )

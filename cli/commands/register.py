"""``infarct-vol register``: rigid registration of two scans of one participant."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import infarct_vol as iv
from infarct_vol.files import require_target, write_json
from infarct_vol_cli.commands._job import ProtocolFile
from infarct_vol_cli.shell import Shell


def run(
    shell: Shell,
    fixed: Annotated[Path, typer.Argument(help="Scan to register to (baseline).")],
    moving: Annotated[Path, typer.Argument(help="Scan to register (follow-up).")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Transform to write (.tfm, ITK text).")],
    resampled: Annotated[
        Path | None, typer.Option(help="Also write MOVING on FIXED's grid (linear).")
    ] = None,
    report: Annotated[Path | None, typer.Option(help="Also write the quality verdict (JSON).")] = None,
    protocol: ProtocolFile = None,
) -> int:
    """Find the rigid transform that takes points of FIXED to points of MOVING, with a verdict on it.

    Exit code 1 says that the verdict is FAIL: the transform is written for inspection, not for use.

    Example: `infarct-vol register baseline.nii.gz month3.nii.gz -o month3.tfm --report month3.json`
    """
    # loaded here to keep --help quick
    from infarct_vol.nifti import require_nifti_name, save_scan
    from infarct_vol.registration import require_tfm_name, resample, write_tfm

    require_tfm_name(output)
    require_target(output, inputs=(fixed, moving, protocol))
    if resampled is not None:
        require_nifti_name(resampled)
        require_target(resampled, inputs=(fixed, moving, protocol), others=(output,))
    if report is not None:
        require_target(report, inputs=(fixed, moving, protocol), others=(output, resampled))
    charter = iv.load_protocol(protocol)
    fixed_scan = iv.load_scan(fixed, geometry=charter.geometry)
    moving_scan = iv.load_scan(moving, geometry=charter.geometry)
    transform = iv.register(fixed_scan, moving_scan, settings=charter.registration)
    quality = transform.quality
    verdict = quality.verdict if quality else "WARN"
    write_tfm(transform, output)
    if resampled is not None:
        save_scan(resample(moving_scan, fixed_scan.grid, transform), resampled)
    if report is not None:
        described = quality.as_dict() if quality else {}
        matrix = [[float(x) for x in row] for row in transform.matrix]
        write_json({"fixed": fixed.name, "moving": moving.name, "matrix_ras": matrix, **described}, report)
    for reason in quality.reasons if quality else ():
        shell.say(reason, level="warning")
    shift_mm = transform.shift_mm(fixed_scan.grid.middle_mm)
    moved = f"turned {transform.angle_deg:.2f} degrees, middle moved {shift_mm:.2f} mm"
    shell.say(f"{verdict}: {moved}; {output}", verdict=verdict)
    return 1 if verdict == "FAIL" else 0

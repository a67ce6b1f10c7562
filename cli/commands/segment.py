"""``infarct-vol segment``: one acute case, or one follow-up case."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

import infarct_vol as iv
from infarct_vol.errors import UsageError
from infarct_vol_cli.commands._job import ProtocolFile
from infarct_vol_cli.shell import Shell

if TYPE_CHECKING:
    from infarct_vol.measurement import LesionVolume


def run(
    shell: Shell,
    output: Annotated[Path, typer.Option("--output", "-o", help="Mask to write (.nii or .nii.gz).")],
    dwi: Annotated[
        Path | None, typer.Option(help="DWI: trace image, or series with .bval beside it.")
    ] = None,
    adc: Annotated[Path | None, typer.Option(help="ADC map.")] = None,
    b0: Annotated[
        Path | None, typer.Option(help="Image without diffusion weighting, to compute the ADC.")
    ] = None,
    bvalue: Annotated[float | None, typer.Option(help="b-value of the DWI in s/mm2.")] = None,
    adc_unit: Annotated[str | None, typer.Option(help="Unit of the ADC map, such as '1e-3 mm2/s'.")] = None,
    brain_mask: Annotated[
        Path | None, typer.Option(help="Brain mask on the grid of the DWI or FLAIR that is segmented.")
    ] = None,
    method: Annotated[Literal["local", "rapid_like"] | None, typer.Option(help="Acute method.")] = None,
    flair: Annotated[Path | None, typer.Option(help="Follow-up FLAIR.")] = None,
    t1w: Annotated[Path | None, typer.Option(help="T1w of the same visit.")] = None,
    baseline_flair: Annotated[Path | None, typer.Option(help="FLAIR of the baseline visit.")] = None,
    baseline_mask: Annotated[Path | None, typer.Option(help="Infarct mask of the baseline visit.")] = None,
    baseline_dwi: Annotated[
        Path | None, typer.Option(help="DWI the baseline mask was drawn on, if not the FLAIR.")
    ] = None,
    locate: Annotated[
        bool, typer.Option("--locate/--no-locate", help="Say where in the brain the components lie (MNI).")
    ] = False,
    explain: Annotated[
        Path | None,
        typer.Option(help="Folder to write what each step decided into: a page, pictures, maps."),
    ] = None,
    protocol: ProtocolFile = None,
) -> int:
    """Segment one infarct and print its volume: from DWI (acute), or from FLAIR (follow-up).

    Example: `infarct-vol segment --dwi dwi.nii.gz --adc adc.nii.gz -o mask.nii.gz`

    Example: `infarct-vol segment --flair m3.nii.gz --baseline-flair bl.nii.gz --baseline-mask bl_mask.nii.gz
    -o m3_mask.nii.gz`
    """
    from infarct_vol.nifti import require_mask_target  # loaded here to keep --help quick

    if (dwi is None) == (flair is None):
        msg = "give --dwi for an acute case, or --flair for a follow-up case"
        raise UsageError(msg)
    acute = {"--adc": adc, "--b0": b0, "--bvalue": bvalue, "--adc-unit": adc_unit, "--method": method}
    followup = {
        "--t1w": t1w,
        "--baseline-flair": baseline_flair,
        "--baseline-mask": baseline_mask,
        "--baseline-dwi": baseline_dwi,
    }
    _refuse_unused(followup if dwi is not None else acute, case="--dwi" if dwi is not None else "--flair")
    if adc_unit is not None and adc is None:
        msg = "--adc-unit is the unit of the map given with --adc, and there is none; leave it out"
        raise UsageError(msg)
    images = (dwi, adc, b0, flair, t1w, brain_mask, baseline_flair, baseline_mask, baseline_dwi, protocol)
    require_mask_target(output, inputs=images)
    charter = _with_method(iv.load_protocol(protocol), method)
    if dwi is not None:
        mask = iv.segment_acute(
            dwi,
            adc,
            b0=b0,
            bvalue=bvalue,
            adc_unit=adc_unit,
            brain=brain_mask,
            protocol=charter,
            explain=explain,
        )
    elif flair is not None:
        mask = iv.segment_followup(
            flair,
            baseline_flair=baseline_flair,
            baseline_mask=baseline_mask,
            baseline_dwi=baseline_dwi,
            t1w=t1w,
            brain=brain_mask,
            protocol=charter,
            explain=explain,
        )
    iv.save_mask(mask, output)
    _tell(shell, mask, output, _measured(mask, dwi, flair, charter) if locate else iv.measure(mask))
    return 0


def _refuse_unused(options: dict[str, object], *, case: str) -> None:
    """Raise if an option was given that the case makes no use of."""
    given = [name for name, value in options.items() if value is not None]
    if given:
        msg = f"{', '.join(given)} has no use with {case}: leave it out, nothing that is given is passed over"
        raise UsageError(msg)


def _with_method(protocol: iv.Protocol, method: Literal["local", "rapid_like"] | None) -> iv.Protocol:
    if method is None:
        return protocol
    return protocol.model_copy(update={"acute": protocol.acute.model_copy(update={"method": method})})


def _measured(
    mask: iv.LesionMask, dwi: Path | None, flair: Path | None, charter: iv.Protocol
) -> LesionVolume:
    from infarct_vol.cases import measure_on_scan  # loaded here to keep --help quick

    if flair is not None:
        return measure_on_scan(mask, flair, modality="flair", doubted=False, protocol=charter)
    return measure_on_scan(mask, dwi or "", modality="dwi", doubted=False, protocol=charter)


def _tell(shell: Shell, mask: iv.LesionMask, output: Path, volume: LesionVolume) -> None:
    for flag in mask.flags:
        shell.say(f"for the reader: {flag}", level="warning")
    shell.json(
        {
            "mask": str(output),
            "method": mask.method,
            "volume_ml": volume.volume_ml,
            "volume_ml_low": volume.volume_ml_low,
            "volume_ml_high": volume.volume_ml_high,
            "voxel_count": volume.voxel_count,
            "voxel_volume_mm3": volume.voxel_volume_mm3,
            "lesion_count": volume.lesion_count,
            "parts_ml": {name: part.volume_ml for name, part in sorted(mask.parts.items())},
            "components": [part.model_dump(exclude_none=True) for part in volume.components],
            "flags": list(mask.flags),
        }
    )

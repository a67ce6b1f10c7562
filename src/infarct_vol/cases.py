"""One case without a study around it: what a notebook and the ``segment`` command use.

Scans may be given as objects or as paths; units, brain masks and registrations are settled here.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from infarct_vol.atlas import fit_to_template
from infarct_vol.brain import brain_if_found, brain_mask
from infarct_vol.brain.plausibility import Doubt, brain_doubts, lesion_doubts, settle_doubts
from infarct_vol.diffusion import DiffusionSet, assemble_diffusion, images_from_series
from infarct_vol.errors import GridMismatchError, UsageError
from infarct_vol.images import BrainMask, Identity, LesionMask, Modality, Scan, mask_on
from infarct_vol.intake import check_scan, refuse_failures
from infarct_vol.intake.reading import DiffusionSeries, is_series, load_diffusion_series, load_image
from infarct_vol.measurement import LesionVolume, measure
from infarct_vol.nifti import how_to_confirm, is_confirmed, load_mask
from infarct_vol.protocol import Protocol
from infarct_vol.registration import register, resample, resample_mask
from infarct_vol.segmentation import segment_flair_alone, trace_acute, trace_followup, without_offset
from infarct_vol.segmentation import segment_rapid_like as _segment_rapid_like
from infarct_vol.study import scan_file

ScanLike = Scan | Path | str
MaskLike = LesionMask | Path | str
BrainLike = BrainMask | LesionMask | Path | str


def segment_acute(
    dwi: ScanLike,
    adc: ScanLike | None = None,
    *,
    b0: ScanLike | None = None,
    bvalue: float | None = None,
    adc_unit: str | None = None,
    brain: BrainLike | None = None,
    protocol: Protocol | None = None,
    explain: Path | str | None = None,
) -> LesionMask:
    """Segment the acute infarct of one case.

    Parameters
    ----------
    dwi
        Trace image, or the path of a 4-D series with its ``.bval`` beside it.
    adc
        ADC map in any unit that is stated or can be told from the brain; computed from ``b0`` or the
        series where absent.
    b0
        Image without diffusion weighting.
    bvalue
        b-value of ``dwi`` in s/mm2; needed only to compute an ADC that no sidecar explains.
    adc_unit
        Unit of the ADC map, such as ``"1e-3 mm2/s"``.
    brain
        Brain mask on the DWI's grid; default: extracted. One that does not fit the brain in the image is
        refused, unless the JSON beside it says ``"Confirmed": true``.
    protocol
        Settings; default: the default protocol.
    explain
        Folder to write what each step decided into: one page, pictures, and maps as NIfTI. The mask is the
        same with and without.

    Returns
    -------
    LesionMask
        On the DWI's native grid; ``flags`` holds what a reader should know.

    Raises
    ------
    ScanRefusedError
        If a file is damaged, grids differ, the unit of the ADC map cannot be settled, or the brain mask
        cannot be right.
    UsageError
        If ``explain`` names a file.
    """
    protocol = protocol or Protocol()
    folder = _folder(explain)
    diffusion = _diffusion(dwi, adc, b0, bvalue=bvalue, adc_unit=adc_unit, protocol=protocol)
    found = _brain_of(diffusion.dwi, brain, protocol)
    dwi_scan, adc_scan, settings = diffusion.dwi, diffusion.adc, protocol.acute
    trace = None
    if settings.method == "rapid_like":
        mask = _segment_rapid_like(dwi_scan, adc_scan, brain=found, settings=settings)
    else:
        trace = trace_acute(dwi_scan, adc_scan, brain=found, settings=settings)
        mask = trace.mask
    noticed = (*diffusion.flags, *(found.remarks if brain is not None else ()))
    mask = replace(mask, flags=(*noticed, *(f for f in mask.flags if f not in noticed)))
    if folder is not None:
        from infarct_vol.qa import explain as pages  # loaded here: drawing is slow to load

        if trace is None:
            told = pages.explain_rapid_like(mask, dwi_scan, adc_scan, brain=found, settings=settings)
        else:
            told = pages.explain_acute(replace(trace, mask=mask), dwi_scan, adc_scan)
        pages.write_explanation(told, folder)
    return mask


def segment_followup(
    flair: ScanLike,
    *,
    baseline_flair: ScanLike | None = None,
    baseline_mask: MaskLike | None = None,
    baseline_dwi: ScanLike | None = None,
    t1w: ScanLike | None = None,
    brain: BrainLike | None = None,
    protocol: Protocol | None = None,
    explain: Path | str | None = None,
) -> LesionMask:
    """Segment the follow-up infarct of one case; registers by itself.

    Parameters
    ----------
    flair
        FLAIR of the follow-up visit.
    baseline_flair, baseline_mask
        FLAIR and infarct of the baseline visit. Without them the infarct is segmented from the FLAIR
        alone, and the mask's flags say so.
    baseline_dwi
        The DWI the baseline mask was drawn on, where that is not the baseline FLAIR.
    t1w
        T1w of the follow-up visit, which helps to tell a cavity from its rim.
    brain
        Brain mask on the follow-up FLAIR's grid; otherwise as in `segment_acute`.
    protocol
        Settings; default: the default protocol.
    explain
        Folder to write what each step decided into: one page, pictures, and maps as NIfTI. The mask is the
        same with and without.

    Returns
    -------
    LesionMask
        On the FLAIR's native grid, with ``parts`` rim, cavity and new_lesion.

    Raises
    ------
    UsageError
        If only one of baseline FLAIR and baseline mask is given, a baseline DWI or a T1w without them, or
        ``explain`` names a file.
    ScanRefusedError
        If a file is damaged, grids differ, or a mask cannot be right.
    RegistrationError
        If a registration fails its gate.
    """
    protocol = protocol or Protocol()
    folder = _folder(explain)
    if (baseline_flair is None) != (baseline_mask is None):
        msg = "a baseline needs both its FLAIR and its infarct mask; give both, or neither"
        raise UsageError(msg)
    if baseline_mask is None and (baseline_dwi is not None or t1w is not None):
        name = "baseline DWI" if baseline_dwi is not None else "T1w"
        msg = f"without a baseline FLAIR and its mask the {name} is not used; leave it out, or give both"
        raise UsageError(msg)
    scan = _scan(flair, "flair", protocol)
    warned = _warnings(scan, protocol)
    found = _brain_of(scan, brain, protocol)
    noticed = (*warned, *(found.remarks if brain is not None else ()))
    if baseline_flair is None or baseline_mask is None:
        mask = segment_flair_alone(scan, brain=found, settings=protocol.followup)
        if folder is not None:
            from infarct_vol.qa import explain as pages  # loaded here: drawing is slow to load

            told = pages.explain_flair_alone(mask, scan, brain=found, settings=protocol.followup)
            pages.write_explanation(told, folder)
        return replace(mask, flags=(*noticed, *mask.flags))
    baseline = _scan(baseline_flair, "flair", protocol)
    noticed = (*noticed, *_if_the_same(scan, baseline))
    baseline_brain = brain_mask(baseline, settings=protocol.brain)
    prior = _prior_on_flair(baseline_mask, baseline_dwi, baseline, baseline_brain, protocol)
    transform = register(
        without_offset(baseline),
        without_offset(scan),
        settings=protocol.registration,
        fixed_brain=baseline_brain,
        moving_brain=found,
        fixed_lesion=prior,
    )
    trace = trace_followup(
        scan,
        baseline_flair=baseline,
        baseline_mask=prior,
        transform=transform,
        brain=found,
        t1w=None if t1w is None else _on_grid_of(scan, _scan(t1w, "t1w", protocol), found, protocol),
        settings=protocol.followup,
    )
    if folder is not None:
        from infarct_vol.qa import explain as pages  # loaded here: drawing is slow to load

        pages.write_explanation(pages.explain_followup(trace, scan), folder)
    return replace(trace.mask, flags=(*noticed, *transform.doubts, *trace.mask.flags))


def _if_the_same(scan: Scan, baseline: Scan) -> tuple[str, ...]:
    is_same = scan.grid.is_same_as(baseline.grid) and np.array_equal(scan.data, baseline.data)
    return ("the follow-up is the baseline FLAIR itself, voxel for voxel; see which",) if is_same else ()


def _folder(explain: Path | str | None) -> Path | None:
    """Return the folder of an explanation before any work is done for it."""
    folder = None if explain is None else Path(explain)
    if folder is not None and folder.exists() and not folder.is_dir():
        msg = f"an explanation is a folder of files, and '{folder}' is a file; name a folder"
        raise UsageError(msg)
    return folder


def measure_on_scan(
    mask: MaskLike,
    scan: ScanLike,
    *,
    modality: Modality = "unknown",
    connectivity: int = 26,
    label: int | None = None,
    doubted: bool = True,
    protocol: Protocol | None = None,
) -> LesionVolume:
    """Measure a mask and say where in the brain its components lie.

    Parameters
    ----------
    mask
        Lesion on its native grid; volumes come from it alone.
    scan
        The image it was drawn on, which is fitted to the MNI template; a diffusion series by its trace.
    modality
        What the scan is, for its brain mask; unknown is treated as FLAIR.
    connectivity
        Neighbourhood of a component: 6, 18 or 26 voxels.
    label
        The label to take where a mask's file has several.
    doubted
        Whether a mask that cannot be a lesion of this scan is refused.
    protocol
        Settings of the brain mask; default: the default protocol.

    Raises
    ------
    GridMismatchError
        If the mask lies on another grid than the scan.
    MaskError
        If the mask is a brain mask, mirrored, or of another scan, and nobody confirmed it.
    BrainMaskError
        If no brain is found in the scan.
    """
    protocol = protocol or Protocol()
    image = _image(scan, modality, protocol)
    lesion = mask_on(_mask(mask, label=label), image.grid, image="its scan")
    brain = brain_mask(image, settings=protocol.brain)
    if doubted:
        doubts = lesion_doubts(lesion, scan=image, brain=brain)
        lesion = replace(lesion, flags=(*lesion.flags, *_settled(mask, doubts, "the mask")))
    brain_map = fit_to_template(image, brain=brain)
    return measure(lesion, connectivity=connectivity, brain_map=brain_map)


def _diffusion(
    dwi: ScanLike,
    adc: ScanLike | None,
    b0: ScanLike | None,
    *,
    bvalue: float | None,
    adc_unit: str | None,
    protocol: Protocol,
) -> DiffusionSet:
    file = None if isinstance(dwi, Scan) else scan_file("dwi", Path(dwi))
    series: DiffusionSeries | None = None
    if file is not None and is_series(file):
        series = load_diffusion_series(file, identity=Identity(modality="dwi"), protocol=protocol)
    weighted = _scan(dwi, "dwi", protocol) if series is None else series.first_volume
    adc_scan = None if adc is None else _scan(adc, "adc", protocol)
    b0_scan = None if b0 is None else _scan(b0, "b0", protocol)
    read = [scan for scan in (weighted, adc_scan, b0_scan) if scan is not None]
    flags = [flag for scan in read for flag in _warnings(scan, protocol)]
    found = assemble_diffusion(
        dwi=None if series is not None else weighted,
        series=series,
        adc=adc_scan,
        b0=b0_scan,
        bvalue=bvalue,
        usual_bvalue=protocol.bvalue,
        adc_unit=adc_unit or protocol.adc_unit,
        checks=protocol.checks,
    )
    return replace(found, flags=(*flags, *found.flags))


def _warnings(scan: Scan, protocol: Protocol) -> tuple[str, ...]:
    """Return what a run would flag about a scan, and refuse what it would refuse."""
    return refuse_failures(scan, check_scan(scan, settings=protocol.checks))


def _scan(given: ScanLike, modality: Modality, protocol: Protocol) -> Scan:
    """Return a scan as the modality it was given for."""
    if isinstance(given, Scan):
        return replace(given, identity=replace(given.identity, modality=modality))
    return load_image(
        scan_file(modality, Path(given)), identity=Identity(modality=modality), protocol=protocol
    )


def _image(given: ScanLike, modality: Modality, protocol: Protocol) -> Scan:
    """Return a scan as `_scan` does, or the trace of a diffusion series."""
    # of a kind that is not stated, only what has b-values beside it can be a series
    kind = "dwi" if modality == "unknown" else modality
    file = None if isinstance(given, Scan) else scan_file(kind, Path(given))
    if file is None or not is_series(file):
        return _scan(given, modality, protocol)
    series = load_diffusion_series(file, identity=Identity(modality=modality), protocol=protocol)
    if modality == "unknown" and series.bvalues.size == 1:
        return _scan(given, modality, protocol)
    return images_from_series(series).trace


def _mask(given: MaskLike, *, label: int | None = None) -> LesionMask:
    if isinstance(given, LesionMask):
        return given
    if not isinstance(given, (str, Path)):
        msg = (
            f"a mask is a LesionMask or the path of its file, got {type(given).__name__}; make "
            "LesionMask(array, scan.grid)"
        )
        raise UsageError(msg)
    return load_mask(given, label=label)


def _settled(given: MaskLike, doubts: tuple[Doubt, ...], name: str) -> tuple[str, ...]:
    """Return the doubts that a mask's sidecar settles as flags; refuse the mask for all others."""
    path = given.identity.path if isinstance(given, LesionMask) else Path(given)
    return settle_doubts(
        doubts,
        name=f"{name} {path.name}" if path else name,
        confirmed=path is not None and is_confirmed(path),
        remedy=how_to_confirm(path) if path else "save it, and confirm it in the JSON beside it",
    )


def _brain_of(scan: Scan, given: BrainLike | None, protocol: Protocol) -> BrainMask:
    """Return the brain mask given for a scan, or the brain found in it."""
    if given is None:
        return brain_mask(scan, settings=protocol.brain)
    if isinstance(given, BrainMask):
        given = LesionMask(given.data, given.grid)
    mask = mask_on(_mask(given), scan.grid, name="the brain mask", image="its scan")
    brain = BrainMask(mask.data, scan.grid, method="given")
    doubts = brain_doubts(brain, scan, settings=protocol.brain)
    return replace(brain, remarks=_settled(given, doubts, "the brain mask"))


def _prior_on_flair(
    given: MaskLike, dwi: ScanLike | None, baseline: Scan, brain: BrainMask, protocol: Protocol
) -> LesionMask:
    """Return the baseline mask on the baseline FLAIR's grid, brought over from the DWI if it lies there."""
    mask = _mask(given)
    if mask.grid.matches(baseline.grid):
        _settled(given, lesion_doubts(mask, scan=baseline, brain=brain), "the baseline mask")
        return mask_on(mask, baseline.grid)
    if dwi is None:
        msg = (
            f"the baseline mask has {mask.grid.describe()}, the baseline FLAIR {baseline.grid.describe()}: "
            f"{mask.grid.difference(baseline.grid)}; give the DWI it was drawn on (--baseline-dwi)"
        )
        raise GridMismatchError(msg)
    drawn_on = _image(dwi, "dwi", protocol)
    mask = mask_on(mask, drawn_on.grid, name="the baseline mask", image="the baseline DWI")
    doubts = lesion_doubts(mask, scan=drawn_on, brain=brain_if_found(drawn_on, settings=protocol.brain))
    _settled(given, doubts, "the baseline mask")
    transform = register(
        without_offset(baseline),
        without_offset(drawn_on),
        settings=protocol.registration,
        fixed_brain=brain,
    )
    return resample_mask(mask, baseline.grid, transform.passed("baseline FLAIR to baseline DWI"))


def _on_grid_of(scan: Scan, other: Scan, brain: BrainMask, protocol: Protocol) -> Scan:
    """Return another image of the same visit on the grid of ``scan``."""
    transform = register(
        without_offset(scan), without_offset(other), settings=protocol.registration, fixed_brain=brain
    )
    return resample(other, scan.grid, transform.passed("FLAIR to T1w"))

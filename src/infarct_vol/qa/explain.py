"""A folder that says why a voxel is in a mask or not: one page, its pictures, maps for an image viewer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from infarct_vol._version import __version__
from infarct_vol.files import write_bytes
from infarct_vol.images import BrainMask, LesionMask, Scan
from infarct_vol.nifti import save_array
from infarct_vol.qa.display import slice_view
from infarct_vol.qa.explain_acute import explain_acute
from infarct_vol.qa.explain_followup import explain_followup
from infarct_vol.qa.explanation import Explanation, SettingLine, settings_lines
from infarct_vol.qa.figures import COLOURS, colour_of
from infarct_vol.qa.page import data_uri, rendered
from infarct_vol.qa.panels import Stage, chosen_slices, scan_panel, slice_sheet
from infarct_vol.qa.wording import millilitres, number
from infarct_vol.segmentation.canonical import canonical_frame
from infarct_vol.settings import AcuteSettings, FollowUpSettings

__all__ = [
    "explain_acute",
    "explain_flair_alone",
    "explain_followup",
    "explain_rapid_like",
    "write_explanation",
]

# settings that the fixed threshold uses beside its own, and those that a FLAIR without baseline uses
RAPID = ("method", "minimum_lesion_ml", "connectivity", "csf_adc_ratio")
FLAIR_ALONE = ("boundary_fraction", "boundary_uncertainty", "minimum_lesion_ml", "connectivity")
NO_TRACE = ("This method keeps no maps of its steps: its settings and numbers say what it did.",)
PAGE = "index.html"
# files of ours in the folder begin so; those of an earlier explanation are removed
PREFIX = "explain_"


def explain_rapid_like(
    mask: LesionMask, dwi: Scan, adc: Scan | None, *, brain: BrainMask, settings: AcuteSettings
) -> Explanation:
    """Return what there is to show of the fixed threshold: images, mask, numbers, settings."""
    names = [name for name in AcuteSettings.model_fields if name in RAPID or name.startswith("rapid_")]
    scans = {"DWI": dwi} if adc is None else {"DWI": dwi, "ADC": adc}
    return _without_trace(mask, scans, brain, settings_lines(settings, names))


def explain_flair_alone(
    mask: LesionMask, flair: Scan, *, brain: BrainMask, settings: FollowUpSettings
) -> Explanation:
    """Return what there is to show of a FLAIR without baseline: image, parts of the mask, settings."""
    return _without_trace(mask, {"FLAIR": flair}, brain, settings_lines(settings, FLAIR_ALONE))


def _without_trace(
    mask: LesionMask, scans: Mapping[str, Scan], brain: BrainMask, settings: Sequence[SettingLine]
) -> Explanation:
    measured = next(iter(scans.values()))
    frame = canonical_frame(measured.grid, brain.data)
    outlines = tuple(
        (name.replace("_", " "), frame.take(part.data), COLOURS.get(name, COLOURS["infarct"]))
        for name, part in (dict(mask.parts) or {"infarct": mask}).items()
        if part.voxel_count
    )
    panels = []
    for name, scan in scans.items():
        plain = scan_panel(name, scan, frame)
        panels += [plain, replace(plain, title=f"Mask on the {name}", outlines=outlines)]
    inside = ("brain mask", frame.take(brain.data), colour_of("brain mask"))
    panels.append(replace(panels[0], title="Brain that was searched", outlines=(inside,)))
    lesion = frame.take(mask.data)
    return Explanation(
        mask=mask,
        stage=Stage(
            view=slice_view(measured),
            box=frame.box,
            lines=(("What is seen, and the mask", tuple(panels)),),
            close_up=tuple(panels[:-1]),
            lesion=lesion,
            others=np.zeros(lesion.shape, dtype=np.uint8),
        ),
        steps=NO_TRACE,
        settings=settings,
    )


def write_explanation(explanation: Explanation, folder: Path) -> Path:
    """Write ``index.html``, the slices as PNG and the maps as NIfTI; return the page.

    The page holds every picture itself and loads nothing; equal inputs give equal bytes. Files of an earlier
    explanation in the folder are replaced.
    """
    pictures = _pictures(explanation)
    maps = {f"{PREFIX}{name}.nii.gz": image for name, image in explanation.maps.items()}
    for old in folder.glob(f"{PREFIX}*"):
        if old.name not in pictures and old.name not in maps:
            old.unlink()
    for name, (_, content) in pictures.items():
        write_bytes(content, folder / name)
    for name, image in maps.items():
        save_array(image.data, explanation.mask.grid, folder / name, dtype=image.dtype)
    mask = explanation.mask
    page = rendered(
        "explanation.html.j2",
        title=str(mask.identity),
        version=__version__,
        method=mask.method,
        volume=millilitres(mask.volume_ml),
        low_high=_low_high(mask),
        parts=[(name.replace("_", " "), millilitres(p.volume_ml)) for name, p in sorted(mask.parts.items())],
        flags=mask.flags,
        explanation=explanation,
        numbers=_numbers(mask),
        pictures=[(name, label, data_uri(png, "image/png")) for name, (label, png) in pictures.items()],
        maps={name: image.meaning for name, image in maps.items()},
    )
    write_bytes(page, folder / PAGE)
    return folder / PAGE


def _pictures(explanation: Explanation) -> dict[str, tuple[str, bytes]]:
    """Return the slices shown: file name to position and PNG."""
    stage, title = explanation.stage, str(explanation.mask.identity)
    return {
        f"{PREFIX}slice_{at:02d}.png": (
            stage.label(index),
            slice_sheet(stage, index, title=title).to_bytes(),
        )
        for at, index in enumerate(chosen_slices(stage), start=1)
    }


def _numbers(mask: LesionMask) -> list[SettingLine]:
    return [SettingLine(name, f"{value:.4g}", "") for name, value in sorted(mask.evidence.items())]


def _low_high(mask: LesionMask) -> str:
    limits = [mask.evidence.get(name) for name in ("volume_ml_low", "volume_ml_high")]
    return " to ".join(number(limit) for limit in limits) if None not in limits else ""

"""How an acute mask came about, as maps and words: what was compared, the evidence, the candidates."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from infarct_vol.images import Scan
from infarct_vol.qa.display import slice_view
from infarct_vol.qa.explanation import CandidateLine, DecisionLine, Explanation, Map, settings_lines
from infarct_vol.qa.panels import FOR_AND_AGAINST, SHARE, TWO_SIDED, Classes, Panel, Scale, Stage, scan_panel
from infarct_vol.qa.wording import number
from infarct_vol.segmentation import AcuteTrace
from infarct_vol.segmentation.acute_decisions import (
    AcuteDecision,
    Candidate,
    acute_candidates,
    acute_decisions,
)
from infarct_vol.segmentation.gathering import NO_EVIDENCE, lesion_core
from infarct_vol.segmentation.symmetry import centred_axes_mm
from infarct_vol.settings import AcuteSettings

LISTED_LEFT_OUT = 30
LOG_WINDOW = (-0.6, 0.9)
SD_WINDOW = (-6.0, 6.0)
EVIDENCE_WINDOW = (-10.0, 10.0)
REGIONAL_WINDOW = (-4.0, 4.0)
# in the map of components: a candidate that the table does not list
NOT_LISTED = -1
SEED_COLOUR, BOUNDARY_COLOUR, LIMIT_COLOUR = "#7df0c8", "#45c1ff", "#f0e442"
NORMAL_COLOUR, MASK_COLOUR = "#4a5260", "#ff7a1a"

DECISIONS = {
    AcuteDecision.OUTSIDE: ("outside the brain", "#000000", "not in the brain mask"),
    AcuteDecision.NO_SIGNAL: ("no valid signal", "#4b2e5e", "DWI without signal, or an impossible ADC"),
    AcuteDecision.CSF: ("CSF", "#1f5673", "never part of an infarct"),
    AcuteDecision.NORMAL: ("no evidence", NORMAL_COLOUR, "total evidence at or below grow_evidence"),
    AcuteDecision.NO_SEED: (
        "evidence, no seed",
        "#a9b35c",
        "total evidence above grow_evidence, but no seed is joined to it nearby",
    ),
    AcuteDecision.LOW_SHARE: (
        "below the boundary",
        "#55702f",
        "near a seed, but it shows less than the boundary fraction of the contrast there",
    ),
    AcuteDecision.REJECTED: ("candidate left out", "#c2418c", "its component was judged; see the candidates"),
    AcuteDecision.SHINE_THROUGH: (
        "bright, ADC as usual",
        "#8a5fd0",
        "part of a candidate that is bright without a low ADC, and a fair share of it: T2 or artefact",
    ),
    AcuteDecision.DROPPED: (
        "piece dropped",
        "#ff9ec4",
        "shows enough contrast, but its piece touches no seed or is smaller than minimum_lesion_ml",
    ),
    AcuteDecision.CORE: (
        "in: seed",
        MASK_COLOUR,
        "sure by itself (seed_evidence) or as a region (regional_evidence), component kept",
    ),
    AcuteDecision.GROWN: (
        "in: grown",
        "#ffc27a",
        "joined to a seed, and shows at least the boundary fraction of the contrast there",
    ),
    AcuteDecision.FILLED: ("in: hole filled", "#fff3b0", "closed in by the lesion on all sides, not CSF"),
}
STEPS = (
    "CSF and voxels without signal leave; tissue with an ordinary ADC is the reference.",
    "The coil's shading is taken from the DWI. Every voxel is compared with the reference tissue round it, "
    "in passes from coarse to fine; the lesion found in a pass leaves the reference of the next.",
    "Own evidence: natural log of how much likelier the voxel's brightness and ADC are in an infarct than "
    "in normal tissue, given the spread of both around it. 0 speaks for neither; 5 is 148 to 1.",
    "The mirrored hemisphere adds evidence where it is darker, and takes some where it is as bright.",
    "Unexpected evidence: the same, after what the mirrored hemisphere and the nearness of fluid foretell of "
    "healthy brightness and ADC has been taken away; only tissue outside the lesion found so far foretells.",
    "Seeds are voxels whose total evidence is above seed_evidence, and regions whose unexpected evidence, "
    "averaged over the tissue nearby, is above regional_evidence. A candidate reaches from its seeds to "
    "where the voxels show the boundary fraction of the contrast of its strong evidence.",
    "Where a fair share of a candidate is bright without a low ADC, as tissue over petrous bone is, that "
    "part leaves it. Every candidate is judged as a whole; those left out are listed with the reason.",
    "The boundary of those kept is settled in rounds: the lesion's level is taken from its inside, each "
    "voxel shows a share of it, and its neighbours vote, the more weightily the weaker the contrast is.",
)


def explain_acute(trace: AcuteTrace, dwi: Scan, adc: Scan | None) -> Explanation:
    """Return how an acute mask came about.

    Parameters
    ----------
    trace
        What the segmentation kept.
    dwi, adc
        The images it was given, on one grid.
    """
    candidates = acute_candidates(trace, dwi.grid)
    kept = sum(c.in_mask for c in candidates)
    listed = candidates[: kept + LISTED_LEFT_OUT]
    decisions = acute_decisions(trace)
    numbers = _numbered(trace, listed, unlisted=0)
    voxel_ml = trace.case.frame.voxel_volume_ml
    return Explanation(
        mask=trace.mask,
        stage=_stage(trace, dwi, adc, decisions, numbers, others=np.where(numbers > kept, numbers - kept, 0)),
        steps=STEPS,
        settings=settings_lines(trace.settings, _own_settings()),
        decisions=[
            DecisionLine(name, colour, meaning, f"{int((decisions == code).sum()) * voxel_ml:.2f}")
            for code, (name, colour, meaning) in DECISIONS.items()
            if code is not AcuteDecision.OUTSIDE
        ],
        candidates=[_line(at, c) for at, c in enumerate(listed, start=1)],
        unlisted=len(candidates) - len(listed),
        maps=_maps(trace, decisions, listed),
    )


def _own_settings() -> list[str]:
    """Names of the settings that this method uses."""
    return [name for name in AcuteSettings.model_fields if not name.startswith("rapid_")]


def _numbered(trace: AcuteTrace, listed: Sequence[Candidate], *, unlisted: int) -> NDArray[np.int16]:
    """Return the candidates by their number in the table; those not listed have one number."""
    table = np.full(len(trace.drawing.components) + 1, unlisted, dtype=np.int16)
    table[0] = 0
    for at, candidate in enumerate(listed, start=1):
        table[candidate.judged.label] = at
    return table[trace.drawing.labels]


def _maps(trace: AcuteTrace, decisions: NDArray[np.uint8], listed: Sequence[Candidate]) -> dict[str, Map]:
    frame = trace.case.frame
    total, share, outside = trace.found.total, trace.drawing.share.settled, float(NO_EVIDENCE)
    numbers = _numbered(trace, listed, unlisted=NOT_LISTED)
    return {
        "evidence": Map(
            frame.put_back(total, outside=outside),
            "float32",
            "total evidence, natural log of the likelihood ratio",
        ),
        "regional": Map(
            frame.put_back(np.where(trace.case.tissue, trace.found.regional, NO_EVIDENCE), outside=outside),
            "float32",
            "unexpected evidence averaged over the tissue nearby",
        ),
        "fraction": Map(
            frame.put_back(share),
            "float32",
            "share of the local lesion contrast with the neighbours' vote, 0 normal, 1 like the lesion",
        ),
        "components": Map(
            frame.put_back(numbers), "int16", "candidates by their number in the table, -1: not listed there"
        ),
        "decisions": Map(
            frame.put_back(decisions),
            "uint8",
            ", ".join(f"{code.value} {name}" for code, (name, _, _) in DECISIONS.items()),
        ),
    }


def _line(at: int, candidate: Candidate) -> CandidateLine:
    part = candidate.judged
    x, y, z = candidate.centroid_mm
    return CandidateLine(
        number=at,
        in_mask=candidate.in_mask,
        volume_ml=f"{part.volume_ml:.3f}",
        place=f"{x:+.0f}, {y:+.0f}, {z:+.0f}",
        slice_index=candidate.slice_index,
        peak=f"{part.peak_evidence:.1f}",
        own=f"{part.own_evidence:.1f}",
        mirror=f"{part.mirror_support:+.1f}",
        regional=f"{part.regional:.1f}",
        brightness=f"{part.brightness:.2f}",
        standout=number(part.standout) or "not asked",
        adc_ratio=number(part.adc_ratio) or "no ADC",
        verdict="in the mask" if candidate.in_mask else f"left out: {candidate.left_out}",
    )


def _stage(
    trace: AcuteTrace,
    dwi: Scan,
    adc: Scan | None,
    decisions: NDArray[np.uint8],
    numbers: NDArray[np.int16],
    *,
    others: NDArray[np.int16],
) -> Stage:
    case, drawing = trace.case, trace.drawing
    view = slice_view(dwi)
    scan = {"DWI": scan_panel("DWI", dwi, case.frame)}
    if adc is not None:
        scan["ADC"] = scan_panel("ADC", adc, case.frame)
    seen = _seen(trace)
    evidence = _evidence(trace)
    looks = Classes(tuple(d[0] for d in DECISIONS.values()), tuple(d[1] for d in DECISIONS.values()))
    verdict = Panel("Decision on every voxel", decisions, looks, numbers=numbers)
    contours = Panel(
        "Mask on the DWI",
        scan["DWI"].values,
        scan["DWI"].look,
        outlines=(("high", drawing.high, LIMIT_COLOUR), ("low", drawing.low, BOUNDARY_COLOUR))
        + (("mask", drawing.mask, MASK_COLOUR),),
    )
    z_maps = tuple(p for p in seen if isinstance(p.look, Scale) and p.look.limits == SD_WINDOW)
    return Stage(
        view=view,
        box=case.frame.box,
        lines=(
            ("What is seen, and what each voxel is compared with", (*scan.values(), *seen)),
            ("What it says, and what was decided", (*evidence, verdict, contours)),
        ),
        close_up=(*scan.values(), z_maps[0], *evidence[-3:], verdict, contours),
        lesion=drawing.mask,
        others=others,
        legend=looks,
    )


def _seen(trace: AcuteTrace) -> tuple[Panel, ...]:
    case, found = trace.case, trace.found
    tissue = case.tissue
    classes = np.select([found.reference, tissue, case.csf], [np.uint8(2), np.uint8(1), np.uint8(3)], 0)
    names = ("none", "no reference", "reference", "CSF")
    colours = ("#000000", "#b8862b", NORMAL_COLOUR, "#1f5673")
    panels = [
        Panel(
            "Reference tissue, midplane",
            classes,
            Classes(names, colours),
            outlines=(("midplane", _one_side(trace), "#ffffff"),),
        ),
        Panel("DWI, shading removed", _in(case.flat_dwi, tissue), Scale(LOG_WINDOW, "natural log")),
        Panel(
            "Local reference",
            _in(case.flat_dwi - found.plain.brightness, tissue),
            Scale(LOG_WINDOW, "natural log"),
        ),
        Panel(
            "DWI over reference",
            _in(found.plain.brightness / found.plain.brightness_sd, tissue),
            Scale(SD_WINDOW, "local SD", TWO_SIDED),
        ),
    ]
    if case.adc_change is not None and found.plain.adc_change_sd is not None:
        change = _in(case.adc_change / found.plain.adc_change_sd, tissue)
        panels.append(Panel("ADC against usual ADC", change, Scale(SD_WINDOW, "local SD", TWO_SIDED)))
    return tuple(panels)


def _one_side(trace: AcuteTrace) -> NDArray[np.bool_]:
    """Return the brain on one side of the midplane: its outline shows the plane."""
    plane, brain = trace.case.plane, trace.case.brain
    axes = centred_axes_mm(brain.shape, trace.case.frame.spacing_mm)
    along = sum(n * axis for n, axis in zip(plane.normal, axes, strict=True))
    return np.asarray(brain & (along < plane.offset_mm))


def _evidence(trace: AcuteTrace) -> tuple[Panel, ...]:
    tissue, found, settings = trace.case.tissue, trace.found, trace.settings
    log_ratio = Scale(EVIDENCE_WINDOW, "natural log of the likelihood ratio", FOR_AND_AGAINST)
    most = max(settings.mirror_support, settings.mirror_veto, 1.0)
    seeds = lesion_core(found, settings=settings, seed=settings.seed_evidence)
    region = tissue & (found.regional > settings.regional_evidence)
    boundary = trace.drawing.share.settled > settings.boundary_fraction
    return (
        Panel("Own evidence", _in(found.own, tissue), log_ratio),
        Panel(
            "From the mirrored hemisphere",
            _in(found.total - found.own, tissue),
            Scale((-most, most), "natural log", TWO_SIDED),
        ),
        Panel(
            "Total evidence",
            _in(found.total, tissue),
            log_ratio,
            outlines=(("seed", seeds, SEED_COLOUR),),
        ),
        Panel("Unexpected evidence", _in(found.residual, tissue), log_ratio),
        Panel(
            "Evidence of the region",
            _in(found.regional, tissue),
            Scale(REGIONAL_WINDOW, "mean natural log nearby", FOR_AND_AGAINST),
            outlines=((f"above {settings.regional_evidence:g}", region, SEED_COLOUR),),
        ),
        Panel(
            "Share of lesion contrast",
            _in(trace.drawing.share.settled, tissue),
            Scale((0.0, 1.0), "0 normal, 1 like the lesion", SHARE),
            outlines=((f"boundary: {settings.boundary_fraction:g}", boundary, BOUNDARY_COLOUR),),
        ),
    )


def _in(values: NDArray[np.float32], tissue: NDArray[np.bool_]) -> NDArray[np.float32]:
    return np.where(tissue, values, np.float32(np.nan))

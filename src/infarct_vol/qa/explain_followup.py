"""How a follow-up mask came about, as maps and words: the scan against what was expected without infarct."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from infarct_vol.images import Scan
from infarct_vol.qa.display import slice_view
from infarct_vol.qa.explanation import DecisionLine, Explanation, Map, settings_lines
from infarct_vol.qa.figures import COLOURS
from infarct_vol.qa.panels import SHARE, TWO_SIDED, Classes, Panel, Scale, Stage
from infarct_vol.segmentation import FollowUpTrace
from infarct_vol.segmentation.chronic_decisions import FollowUpDecision, followup_decisions

# intensities are in units of brain tissue
TISSUE_UNIT = "brain tissue = 1"
LEVEL_WINDOW = (0.0, 2.0)
EXCESS_WINDOW = (-1.0, 1.0)
SD_WINDOW = (-8.0, 8.0)
NOISE_WINDOW = (0.0, 0.3)

DECISIONS = {
    FollowUpDecision.OUTSIDE: ("not compared", "#000000", "not brain, or not seen at both visits"),
    FollowUpDecision.FAR: ("beyond the region", "#2b303a", "farther than region_mm from the baseline lesion"),
    FollowUpDecision.REGION: (
        "searched, as expected",
        "#4a5260",
        "within region_mm of the baseline lesion, and not surely different from what was expected",
    ),
    FollowUpDecision.BASELINE: (
        "baseline lesion, left out",
        "#76478c",
        "in the baseline lesion or its margin, and now neither bright rim nor dark cavity",
    ),
    FollowUpDecision.NOT_JOINED: (
        "bright, left out",
        "#c2418c",
        "surely brighter than expected, but below the edge of the lesion, joined to no seed at the baseline "
        "lesion, or too small, as specks of a vanished infarct are",
    ),
    FollowUpDecision.SEED: (
        "in: seed of the rim",
        COLOURS["infarct"],
        "brighter than all expected around it",
    ),
    FollowUpDecision.RIM: (
        "in: rim",
        "#ffc27a",
        "joined to a seed, and past the boundary fraction from expected tissue to the lesion's level",
    ),
    FollowUpDecision.CAVITY: ("in: cavity", COLOURS["cavity"], "tissue at baseline, now as dark as CSF"),
    FollowUpDecision.NEW_LESION: (
        "new lesion, apart",
        COLOURS["new_lesion"],
        "bright beyond the region, not there at baseline; not part of the infarct",
    ),
}
STEPS = (
    "The baseline FLAIR is brought onto this scan and its intensities are matched; inside the baseline "
    "lesion it is replaced by the healthy tissue to expect there. That is the expected healthy image.",
    "The excess is the follow-up minus the expectation; its noise is what unchanged brain shows.",
    "Seeds are surely brighter than anything expected around them. Their inside gives the lesion's level.",
    "The rim ends at the boundary fraction between expected tissue and the lesion's level.",
    "The cavity is tissue of the baseline lesion that has become as dark as CSF.",
    "Bright lesions beyond the region that were not there at baseline are reported apart.",
)


def explain_followup(trace: FollowUpTrace, flair: Scan) -> Explanation:
    """Return how a follow-up mask came about.

    Parameters
    ----------
    trace
        What the segmentation kept.
    flair
        The follow-up FLAIR.
    """
    decisions = followup_decisions(trace)
    voxel_ml = trace.frame.voxel_volume_ml
    return Explanation(
        mask=trace.mask,
        stage=_stage(trace, flair, decisions),
        steps=STEPS,
        settings=settings_lines(trace.settings),
        decisions=[
            DecisionLine(name, colour, meaning, f"{int((decisions == code).sum()) * voxel_ml:.2f}")
            for code, (name, colour, meaning) in DECISIONS.items()
            if code is not FollowUpDecision.OUTSIDE
        ],
        maps={
            "excess": Map(
                trace.frame.put_back(np.where(trace.evidence.brain, trace.evidence.excess, np.float32(0))),
                "float32",
                "follow-up minus expected healthy image, brain tissue = 1",
            ),
            "decisions": Map(
                trace.frame.put_back(decisions),
                "uint8",
                ", ".join(f"{code.value} {name}" for code, (name, _, _) in DECISIONS.items()),
            ),
        },
    )


def _stage(trace: FollowUpTrace, flair: Scan, decisions: NDArray[np.uint8]) -> Stage:
    e = trace.evidence
    part = {name: trace.frame.take(mask.data) for name, mask in trace.mask.parts.items()}
    looks = Classes(tuple(d[0] for d in DECISIONS.values()), tuple(d[1] for d in DECISIONS.values()))
    level = Scale(LEVEL_WINDOW, TISSUE_UNIT)
    baseline = ("baseline lesion", e.core, COLOURS["baseline infarct"])
    region = e.distance_mm <= trace.settings.region_mm
    maps = (
        Panel("Follow-up FLAIR", e.follow, level),
        Panel("Expected healthy image", e.healthy, level, outlines=(baseline, ("region", region, "#ffffff"))),
        Panel("Excess", _in(e.excess, e.brain), Scale(EXCESS_WINDOW, TISSUE_UNIT, TWO_SIDED)),
        Panel("Noise of unchanged brain", _in(e.noise, e.brain), Scale(NOISE_WINDOW, TISSUE_UNIT, SHARE)),
        Panel("Excess over noise", _in(e.excess / e.noise, e.brain), Scale(SD_WINDOW, "SD", TWO_SIDED)),
        Panel("Decision on every voxel", decisions, looks),
        Panel(
            "Parts on the FLAIR",
            e.follow,
            level,
            outlines=tuple((n.replace("_", " "), part[n], _part_colour(n)) for n in part if part[n].any()),
        ),
    )
    lesion = part["rim"] | part["cavity"]
    focus = lesion if lesion.any() else e.core
    left_out = np.where(part["new_lesion"], 1, 2 * (decisions == FollowUpDecision.NOT_JOINED))
    return Stage(
        view=slice_view(flair),
        box=trace.frame.box,
        lines=(("The follow-up against its expectation, and what was decided", maps),),
        close_up=maps,
        lesion=focus,
        others=left_out,
        legend=looks,
    )


def _part_colour(name: str) -> str:
    return COLOURS.get(name, COLOURS["infarct"])


def _in(values: NDArray[np.float32], brain: NDArray[np.bool_]) -> NDArray[np.float32]:
    return np.where(brain, values, np.float32(np.nan))

"""Which bright components are infarcts: how sure their evidence is, and how they stand out.

Evidence of single voxels finds infarcts and, now and then, cortex, iron-rich nuclei (low ADC, hardly bright)
or air near a sinus (bright on both sides). What tells them apart is the component as a whole: a
reader calls what stands out from everything around it, on one side.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from infarct_vol.segmentation.cleanup import component_sizes, distance_to_mm
from infarct_vol.segmentation.gathering import Evidence
from infarct_vol.segmentation.tissue import PreparedCase
from infarct_vol.settings import AcuteSettings

Labels = NDArray[np.int32]

# component volume at which exactly `component_evidence` is asked for
SIZE_OF_FULL_EVIDENCE_ML = 0.1
# surroundings that a component is compared with: beyond its own blurred edge, near enough to be alike
RING_MM = (3.0, 7.0)
RING_VOXELS = 20
# a ring quieter than this share of the local spread is an accident of few voxels
QUIETEST_RING = 0.6
# a component cannot owe more than this to standing out
STANDOUT_CAP = 6.0
# an own mean below this says that DWI and ADC together speak against even a small embolus
FOCAL_OWN = -0.5
# a component this large that misses its evidence by no more than this is named to the reader
DOUBT_FROM_ML = 1.0
NARROW_MISS = 1.0
POSSIBLE_BRIGHTNESS = 0.15
# a component with less mirror support than this has a bright twin, as artefacts have: its ADC must be lower
TWIN_SUPPORT = 1.0
TWIN_ADC_RATIO = 0.05
# peak evidence over `component_evidence`, and evidence of a region, that leave no doubt
CLEARLY = 2.0
CLEAR_REGION = 0.6


@dataclass(frozen=True)
class Component:
    """One candidate, and what became of it.

    Parameters
    ----------
    label
        Its number among the candidates.
    volume_ml
        Volume at the boundary.
    peak_evidence
        Highest log likelihood ratio of a voxel, mirror included.
    own_evidence
        Mean log likelihood ratio of its own DWI and ADC.
    mirror_support
        Mean evidence that the mirrored hemisphere added.
    brightness
        Mean log DWI over its surroundings.
    regional
        Highest evidence of a region in it; see `Evidence`.
    standout
        How many spreads of the tissue 3 to 7 mm away it is brighter than that tissue; NaN where the
        component fell before this was asked.
    adc_ratio
        Mean ADC over the usual ADC; NaN without an ADC map.
    reason
        Why it was left out; empty if it was kept.
    unsure
        Kept or left out narrowly: counts on one side of the volume's range only.
    """

    label: int
    volume_ml: float
    peak_evidence: float
    own_evidence: float
    mirror_support: float
    brightness: float
    regional: float
    standout: float
    adc_ratio: float
    reason: str
    unsure: bool = False

    @property
    def kept(self) -> bool:
        """Whether it is part of the infarct."""
        return not self.reason

    @property
    def doubtful(self) -> bool:
        """Left out narrowly, and large enough for a reader to look."""
        return not self.kept and self.unsure and self.volume_ml >= DOUBT_FROM_ML


def judge_components(
    case: PreparedCase, found: Evidence, labels: Labels, count: int, *, settings: AcuteSettings
) -> list[Component]:
    """Describe and judge the candidates 1 to ``count`` of a label image in the canonical box."""
    if count == 0:
        return []
    index = np.arange(1, count + 1)
    volume_ml = component_sizes(labels, count) * case.frame.voxel_volume_ml
    peak = ndimage.maximum(found.total, labels, index)
    own = ndimage.mean(found.own, labels, index)
    total = ndimage.mean(found.total, labels, index)
    regional = ndimage.maximum(found.regional, labels, index)
    bright = ndimage.mean(found.brightness, labels, index)
    change = np.full(count, np.nan)
    if case.adc_change is not None:
        change = ndimage.mean(case.adc_change, labels, index)
    boxes = ndimage.find_objects(labels, max_label=count)
    judged = []
    for i, box in enumerate(boxes):
        known = _Known(
            float(volume_ml[i]),
            float(peak[i]),
            float(own[i]),
            float(total[i] - own[i]),
            float(bright[i]),
            float(regional[i]),
            float(np.exp(change[i])),
            case.adc_change is not None,
        )
        reason, standout = _early_reason(known, settings), float("nan")
        if not reason:
            standout = _standout(case, found, labels, i + 1, box)
            reason = _late_reason(known, standout, settings)
        judged.append(
            Component(
                label=i + 1,
                volume_ml=known.volume_ml,
                peak_evidence=known.peak,
                own_evidence=known.own,
                mirror_support=known.support,
                brightness=known.brightness,
                regional=known.regional,
                standout=standout,
                adc_ratio=known.adc_ratio,
                reason=reason,
                unsure=known.possible(settings) if reason else not known.clear(settings),
            )
        )
    return judged


@dataclass(frozen=True)
class _Known:
    volume_ml: float
    peak: float
    own: float
    support: float
    brightness: float
    regional: float
    adc_ratio: float
    has_adc: bool

    def needed(self, settings: AcuteSettings) -> float:
        """Peak evidence asked for: noise and cortex make small components."""
        evidence = settings.component_evidence + (0.0 if self.has_adc else settings.without_adc_evidence)
        relief = settings.size_relief * np.log10(self.volume_ml / SIZE_OF_FULL_EVIDENCE_ML)
        return float(max(evidence - relief, settings.seed_evidence))

    def region(self, settings: AcuteSettings) -> bool:
        """Tell whether it is sure as a region."""
        return self.has_adc and self.regional > settings.regional_evidence

    def shines_through(self, settings: AcuteSettings) -> bool:
        """Tell whether it is too large for its ADC to be mixed with tissue, yet hardly lowered."""
        limit = settings.shine_through_adc_ratio - (TWIN_ADC_RATIO if self.support < TWIN_SUPPORT else 0.0)
        return (
            self.has_adc
            and self.volume_ml >= settings.standout_below_ml
            and self.adc_ratio > limit
            and self.brightness < settings.shine_through_brightness
        )

    def clear(self, settings: AcuteSettings) -> bool:
        """Tell whether it is an infarct by a wide margin."""
        return self.peak > settings.component_evidence + CLEARLY or self.regional > CLEAR_REGION

    def possible(self, settings: AcuteSettings) -> bool:
        """Tell whether it may be an infarct though it was left out."""
        return (
            self.brightness >= POSSIBLE_BRIGHTNESS
            and self.own > 0
            and self.peak >= self.needed(settings) - NARROW_MISS
        )

    def may_be_focal(self, settings: AcuteSettings) -> bool:
        """Tell whether it is small and bright enough to be an embolus for its looks."""
        return (
            self.has_adc
            and self.volume_ml < settings.standout_below_ml
            and self.brightness >= settings.focal_brightness
            and self.own > FOCAL_OWN
        )

    def visible(self, settings: AcuteSettings) -> float:
        return settings.component_brightness if self.has_adc else settings.without_adc_brightness


def _early_reason(known: _Known, settings: AcuteSettings) -> str:
    """Say why a component falls whatever its surroundings look like."""
    faint = settings.faint_brightness if known.has_adc else settings.without_adc_brightness
    if known.brightness < faint:
        return f"not bright: {known.brightness:.2f} over its surroundings"
    if known.shines_through(settings):
        return f"not dark on ADC ({100 * known.adc_ratio:.0f} % of usual) and not very bright: T2 or artefact"
    if known.region(settings):
        return ""
    sure = known.peak >= known.needed(settings) and known.own > 0
    if sure or known.may_be_focal(settings):
        return ""
    if known.own <= 0:
        return f"its own DWI and ADC speak against an infarct: mean evidence {known.own:.1f}"
    return f"evidence too weak: peak {known.peak:.1f}, {known.needed(settings):.1f} needed"


def _late_reason(known: _Known, standout: float, settings: AcuteSettings) -> str:
    focal = min(standout, STANDOUT_CAP) + known.support >= settings.focal_score
    if known.region(settings) or (focal and known.may_be_focal(settings)):
        return ""
    if known.peak < known.needed(settings) or known.own <= 0:
        return f"evidence too weak: peak {known.peak:.1f}, and it stands out by {standout:.1f} only"
    if known.brightness < known.visible(settings) and standout < settings.faint_standout:
        return f"faint: {known.brightness:.2f} over its surroundings, stands out by {standout:.1f}"
    if known.volume_ml < settings.standout_below_ml and standout < settings.standout:
        return f"does not stand out: {standout:.1f} spreads of the tissue round it"
    return ""


def _standout(
    case: PreparedCase, found: Evidence, labels: Labels, label: int, box: tuple[slice, ...]
) -> float:
    """Contrast of a component to the ring of tissue round it, in spreads of that ring."""
    spacing_mm = case.frame.spacing_mm
    reach = [int((RING_MM[1] + 1.0) / s) + 1 for s in spacing_mm]
    wide = tuple(slice(max(s.start - r, 0), s.stop + r) for s, r in zip(box, reach, strict=True))
    part = labels[wide] == label
    distance = distance_to_mm(part, spacing_mm)
    ring = (distance > RING_MM[0]) & (distance <= RING_MM[1]) & case.tissue[wide] & (labels[wide] == 0)
    values = found.brightness[wide]
    mean = float(values[part].mean(dtype=np.float64))
    around = values[ring]
    if around.size < RING_VOXELS:
        return 0.0
    middle, high = (float(v) for v in np.percentile(around, (50, 95)))
    # 95th percentile of a normal distribution: 1.64 SD; the upper half alone, CSF darkens the lower
    quietest = QUIETEST_RING * float(found.brightness_sd[wide][part].mean(dtype=np.float64))
    return (mean - middle) / max((high - middle) / 1.64, quietest)

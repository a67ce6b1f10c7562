"""Which bright components are infarcts: how sure their evidence is, and how they stand out.

Evidence of single voxels finds infarcts and, now and then, cortex, iron-rich nuclei (low ADC, hardly bright)
or air near a sinus (bright on both sides). What tells them apart is the component as a whole: a
reader calls what stands out from everything around it, on one side.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from infarct_vol.segmentation.cleanup import (
    bounding_box,
    component_sizes,
    distance_to_mm,
    label_components,
    select_components,
)
from infarct_vol.segmentation.gathering import Evidence
from infarct_vol.segmentation.reference import smoothed
from infarct_vol.segmentation.tissue import PreparedCase
from infarct_vol.settings import AcuteSettings

Labels = NDArray[np.int32]
Mask = NDArray[np.bool_]

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
    adc_ratio
        Mean ADC over the usual ADC; NaN without an ADC map.
    standout
        How many spreads of the tissue 3 to 7 mm away it is brighter than that tissue; NaN where the
        component fell before this was asked.
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
    adc_ratio: float
    standout: float = float("nan")
    reason: str = ""
    unsure: bool = False

    @property
    def has_adc(self) -> bool:
        """Whether there is an ADC map to judge by."""
        return not np.isnan(self.adc_ratio)

    @property
    def kept(self) -> bool:
        """Whether it is part of the infarct."""
        return not self.reason

    @property
    def doubtful(self) -> bool:
        """Left out narrowly, and large enough for a reader to look."""
        return not self.kept and self.unsure and self.volume_ml >= DOUBT_FROM_ML

    def needed(self, settings: AcuteSettings) -> float:
        """Peak evidence asked for: noise and cortex make small components."""
        evidence = settings.component_evidence + (0.0 if self.has_adc else settings.without_adc_evidence)
        relief = settings.size_relief * np.log10(self.volume_ml / SIZE_OF_FULL_EVIDENCE_ML)
        return float(max(evidence - relief, settings.seed_evidence))

    def region(self, settings: AcuteSettings) -> bool:
        """Tell whether it is sure as a region."""
        needed = max(settings.regional_evidence, settings.region_peak_evidence)
        return self.has_adc and self.regional > needed

    def shines_through(self, settings: AcuteSettings) -> bool:
        """Tell whether it is too large for its ADC to be mixed with tissue, yet hardly lowered."""
        limit = settings.shine_through_adc_ratio - (
            TWIN_ADC_RATIO if self.mirror_support < TWIN_SUPPORT else 0.0
        )
        return (
            self.has_adc
            and self.volume_ml >= settings.standout_below_ml
            and self.adc_ratio > limit
            and self.brightness < settings.shine_through_brightness
        )

    def clear(self, settings: AcuteSettings) -> bool:
        """Tell whether it is an infarct by a wide margin."""
        return self.peak_evidence > settings.component_evidence + CLEARLY or self.regional > CLEAR_REGION

    def possible(self, settings: AcuteSettings) -> bool:
        """Tell whether it may be an infarct though it was left out."""
        return (
            self.brightness >= POSSIBLE_BRIGHTNESS
            and self.own_evidence > 0
            and self.peak_evidence >= self.needed(settings) - NARROW_MISS
        )

    def may_be_focal(self, settings: AcuteSettings) -> bool:
        """Tell whether it is small and bright enough to be an embolus for its looks."""
        return (
            self.has_adc
            and self.volume_ml < settings.standout_below_ml
            and self.brightness >= settings.focal_brightness
            and self.own_evidence > FOCAL_OWN
        )

    def visible(self, settings: AcuteSettings) -> float:
        """Brightness a component needs to be called bright."""
        return settings.component_brightness if self.has_adc else settings.without_adc_brightness


def judge_components(
    case: PreparedCase, found: Evidence, labels: Labels, count: int, *, settings: AcuteSettings
) -> list[Component]:
    """Describe and judge the candidates 1 to ``count`` of a label image in the canonical box."""
    boxes = ndimage.find_objects(labels, max_label=count)
    judged = []
    for component, box in zip(_describe(case, found, labels, count), boxes, strict=True):
        reason = _early_reason(component, settings)
        if not reason:
            standout = _standout(case, found, labels, component.label, box)
            component = replace(component, standout=standout)
            reason = _late_reason(component, settings)
        unsure = component.possible(settings) if reason else not component.clear(settings)
        judged.append(replace(component, reason=reason, unsure=unsure))
    return judged


def shine_through_areas(
    case: PreparedCase, found: Evidence, candidates: Mask, *, settings: AcuteSettings
) -> Mask:
    """Parts of large candidates that are bright without a low ADC, as the tissue over petrous bone is.

    An infarct's thin places look like that, too; so such a part counts against a candidate only where it is a
    fair share of it.

    Parameters
    ----------
    case, found
        Images and evidence in the canonical box.
    candidates
        (X, Y, Z) candidates inside their first boundary.
    settings
        Acute section of the protocol.
    """
    if case.adc_change is None:
        return np.zeros_like(candidates)
    labels, count = label_components(candidates, connectivity=settings.connectivity)
    sizes = component_sizes(labels, count)
    large = select_components(labels, sizes * case.frame.voxel_volume_ml >= settings.standout_below_ml)
    if not large.any():
        return large
    box = bounding_box(large)
    weight = large[box].astype(np.float32)
    smooth = partial(smoothed, sigma_mm=settings.regional_mm, spacing_mm=case.frame.spacing_mm)
    share = np.where(large[box], smooth(weight), 1)
    brightness, change = (
        smooth(image[box] * weight) / share for image in (found.plain.brightness, case.adc_change)
    )
    usual = large.copy()
    usual[box] &= change > np.log(settings.shine_through_area_adc_ratio)
    usual[box] &= brightness < settings.shine_through_brightness
    inside = np.bincount(labels[usual], minlength=count + 1)[1:]
    fair = select_components(labels, inside > settings.shine_through_component_share * sizes)
    return np.asarray(usual & fair, dtype=np.bool_)


def _describe(case: PreparedCase, found: Evidence, labels: Labels, count: int) -> list[Component]:
    """Return the candidates as they are, not judged yet."""
    if count == 0:
        return []
    index = np.arange(1, count + 1)
    own = ndimage.mean(found.own, labels, index)
    ratio = np.full(count, np.nan)
    if case.adc_change is not None:
        ratio = np.exp(ndimage.mean(case.adc_change, labels, index))
    mean_total = ndimage.mean(found.total, labels, index)
    volume_ml = component_sizes(labels, count) * case.frame.voxel_volume_ml
    peak = ndimage.maximum(found.total, labels, index)
    brightness = ndimage.mean(found.plain.brightness, labels, index)
    regional = ndimage.maximum(found.regional, labels, index)
    return [
        Component(
            label=n + 1,
            volume_ml=float(volume_ml[n]),
            peak_evidence=float(peak[n]),
            own_evidence=float(own[n]),
            mirror_support=float(mean_total[n] - own[n]),
            brightness=float(brightness[n]),
            regional=float(regional[n]),
            adc_ratio=float(ratio[n]),
        )
        for n in range(count)
    ]


def _early_reason(component: Component, settings: AcuteSettings) -> str:
    """Say why a component falls whatever its surroundings look like."""
    faint = settings.faint_brightness if component.has_adc else settings.without_adc_brightness
    if component.brightness < faint:
        return f"not bright: {component.brightness:.2f} over its surroundings"
    if component.shines_through(settings):
        percent = 100 * component.adc_ratio
        return f"not dark on ADC ({percent:.0f} % of usual) and not very bright: T2 or artefact"
    if component.region(settings):
        return ""
    sure = component.peak_evidence >= component.needed(settings) and component.own_evidence > 0
    if sure or component.may_be_focal(settings):
        return ""
    if component.own_evidence <= 0:
        return f"its own DWI and ADC speak against an infarct: mean evidence {component.own_evidence:.1f}"
    return f"evidence too weak: peak {component.peak_evidence:.1f}, {component.needed(settings):.1f} needed"


def _late_reason(component: Component, settings: AcuteSettings) -> str:
    peak, standout = component.peak_evidence, component.standout
    focal = min(standout, STANDOUT_CAP) + component.mirror_support >= settings.focal_score
    if component.region(settings) or (focal and component.may_be_focal(settings)):
        return ""
    if peak < component.needed(settings) or component.own_evidence <= 0:
        return f"evidence too weak: peak {peak:.1f}, and it stands out by {standout:.1f} only"
    if component.brightness < component.visible(settings) and (
        standout < settings.faint_standout or peak < settings.component_evidence
    ):
        return f"faint: {component.brightness:.2f} over its surroundings, stands out by {standout:.1f}"
    if component.volume_ml < settings.standout_below_ml and standout < settings.standout:
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
    values = found.plain.brightness[wide]
    mean = float(values[part].mean(dtype=np.float64))
    around = values[ring]
    if around.size < RING_VOXELS:
        return 0.0
    middle, high = (float(v) for v in np.percentile(around, (50, 95)))
    # 95th percentile of a normal distribution: 1.64 SD; the upper half alone, CSF darkens the lower
    quietest = QUIETEST_RING * float(found.plain.brightness_sd[wide][part].mean(dtype=np.float64))
    return (mean - middle) / max((high - middle) / 1.64, quietest)

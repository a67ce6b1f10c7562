"""Acute infarct from DWI and ADC."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from infarct_vol.settings.section import Section


class AcuteSettings(Section):
    """Acute infarct from DWI and ADC."""

    method: Literal["local", "rapid_like"] = Field(
        "local",
        description="'local': per-patient local evidence; 'rapid_like': fixed ADC threshold with clean-up",
    )
    minimum_lesion_ml: float = Field(
        0.05,
        ge=0,
        description="mL; smaller connected components are dropped (default, to be set by the trial)",
    )
    connectivity: Literal[6, 18, 26] = Field(26, description="voxel neighbourhood of a connected component")
    csf_adc_ratio: float = Field(
        1.6,
        gt=1,
        description="ADC over the brain's usual ADC (its most frequent value) from which a voxel is CSF, "
        "never infarct (about 1250e-6 mm2/s: CSF is near 3000, parenchyma 700-900)",
    )
    reference_mm: tuple[float, ...] = Field(
        (48.0, 24.0, 12.0),
        min_length=1,
        description="mm; SD of the Gaussian neighbourhoods a voxel is compared with, coarse to fine, one "
        "pass each; the lesion found in a pass leaves the reference of the next (own trials)",
    )
    smoothing_mm: float = Field(
        1.2, ge=0, description="mm; SD of the smoothing inside tissue before comparison (own trials)"
    )
    adc_ratios: tuple[float, ...] = Field(
        (0.5, 0.65, 0.8),
        min_length=1,
        description="ADC of infarct over normal ADC that are looked for (acute infarcts: about 0.45-0.88)",
    )
    t2_effects: tuple[float, ...] = Field(
        (0.0, 0.25, 0.5),
        min_length=1,
        description="natural log of the T2 effect on infarct DWI that are looked for (about 0-0.7)",
    )
    shine_through_share: float = Field(
        0.02,
        ge=0,
        lt=1,
        description="share of normal tissue expected to be T2 shine-through: DWI bright, ADC not low "
        "(own trials)",
    )
    tail_freedom: float = Field(
        8.0, gt=0, description="degrees of freedom of the Student-t spread of normal tissue (own trials)"
    )
    mirror_reach_mm: float = Field(
        4.0, ge=0, description="mm; how inexact the mirrored hemisphere may be (own trials)"
    )
    mirror_support: float = Field(
        4.0, ge=0, description="natural log; most evidence that asymmetry to the mirrored hemisphere may add"
    )
    mirror_veto: float = Field(
        2.0,
        ge=0,
        description="natural log; most evidence that a bright mirror image may take away: a bilateral "
        "infarct with strong evidence of its own survives",
    )
    grow_evidence: float = Field(
        0.5,
        description="natural log of the likelihood ratio a voxel needs to belong to a candidate (own trials)",
    )
    seed_evidence: float = Field(
        5.0, description="natural log; a candidate needs a voxel of at least this (own trials)"
    )
    regional_mm: float = Field(
        4.0,
        gt=0,
        description="mm; SD of the neighbourhood over which evidence is averaged: a faint infarct is sure as "
        "a region, not by any voxel (own trials)",
    )
    regional_evidence: float = Field(
        -0.3,
        description="natural log; averaged unexpected evidence from which a region is lesion (healthy scans "
        "at three b-values and two slice thicknesses reached -1.0, one place beside an infarct -0.38)",
    )
    region_peak_evidence: float = Field(
        0.4,
        description="natural log; what such a region must reach somewhere to be kept as one (petrous bone of "
        "digital patients reached 0.16, cortex of a phantom 0.28)",
    )
    component_evidence: float = Field(
        8.0,
        description="natural log; peak a component of 0.1 mL needs to be kept (own trials: in a healthy scan "
        "no component of visible brightness reached it)",
    )
    size_relief: float = Field(
        0.6,
        ge=0,
        description="natural log; how much less peak evidence a ten times larger component needs, never less "
        "than seed_evidence: noise and cortex make small components (own trials)",
    )
    component_brightness: float = Field(
        0.2,
        ge=0,
        description="mean log DWI over its surroundings a component needs: 0.2 is 22 percent brighter, "
        "about what a reader sees (own trials)",
    )
    faint_brightness: float = Field(
        0.14,
        ge=0,
        description="mean log DWI a fainter component needs; it must also reach 'faint_standout' and, "
        "whatever its size, 'component_evidence' (cortex of a phantom reached 0.11, true ones kept by this "
        "rule 0.18)",
    )
    faint_standout: float = Field(
        3.0,
        ge=0,
        description="contrast of a fainter component to the tissue 3 to 7 mm round it, in spreads of that "
        "tissue: iron-rich nuclei and cortex reached 2.5",
    )
    standout: float = Field(
        2.8, ge=0, description="the same for any component under 'standout_below_ml': cortex reached 2.7"
    )
    standout_below_ml: float = Field(
        1.0,
        ge=0,
        description="mL; larger components need not stand out from a ring of tissue round them, and are not "
        "taken for emboli",
    )
    shine_through_adc_ratio: float = Field(
        0.92,
        gt=0,
        description="mean ADC over usual ADC from which a component of 'standout_below_ml' and more is T2 "
        "shine-through or air near a sinus (0.94 to 0.97 in digital patients), unless it is very bright",
    )
    shine_through_brightness: float = Field(
        0.4,
        ge=0,
        description="mean log DWI (0.4: half as bright again) from which such a component counts all the "
        "same: an infarct of a week or more",
    )
    shine_through_area_adc_ratio: float = Field(
        0.9,
        gt=0,
        description="the same for a part of such a component, within the SD of 'regional_mm': 0.92 to 0.95 "
        "in tissue over petrous bone that a true focus touches, 0.55 to 0.85 in digital infarcts",
    )
    shine_through_component_share: float = Field(
        0.3,
        ge=0,
        lt=1,
        description="share of a component such parts must exceed to leave it: in most faint infarcts they "
        "are less, beside petrous bone two fifths (own trials)",
    )
    focal_brightness: float = Field(
        0.24,
        ge=0,
        description="mean log DWI of a component that may be an infarct for its looks, whatever its ADC: "
        "emboli a few voxels large, or some days old, hardly lower the ADC",
    )
    focal_score: float = Field(
        7.0,
        ge=0,
        description="what such a component needs: its contrast to the tissue round it (in spreads, 6 at "
        "most) plus its mean evidence from the mirrored hemisphere (4 at most); artefacts near sinuses "
        "reached 6.6, on both sides",
    )
    without_adc_evidence: float = Field(
        2.0,
        ge=0,
        description="natural log; peak evidence asked for on top where there is no ADC map (own trials)",
    )
    without_adc_brightness: float = Field(
        0.35,
        ge=0,
        description="component_brightness where there is no ADC map: 0.35 is 42 % brighter (own trials)",
    )
    level_mm: float = Field(
        6.0, gt=0, description="mm; SD of the neighbourhood the lesion's own level is taken from (own trials)"
    )
    growth_mm: float = Field(
        6.0, ge=0, description="mm; farthest the mask may reach from a voxel with seed_evidence (own trials)"
    )
    neighbour_mm: float = Field(
        2.0,
        gt=0,
        description="mm; SD of the neighbourhood that votes on a voxel of the boundary (own trials)",
    )
    neighbour_evidence: float = Field(
        6.0,
        ge=0,
        description="natural log; what neighbours that all agree say about a voxel: next to nothing at an "
        "edge, much where the voxel's own contrast is weak (own trials)",
    )
    boundary_fraction: float = Field(
        0.5,
        gt=0,
        lt=1,
        description="share of the local lesion contrast at the boundary; a half keeps the volume unbiased "
        "under partial volume",
    )
    soft_boundary_fraction: float = Field(
        0.33,
        gt=0,
        lt=1,
        description="the same for a component whose mean ADC is hardly lowered: it fades into the tissue, "
        "and experts draw all of it",
    )
    soft_adc_ratio: float = Field(
        0.9, gt=0, description="mean ADC over usual ADC from which a component counts as hardly lowered"
    )
    boundary_margin: float = Field(
        0.2,
        ge=0,
        lt=0.5,
        description="boundary_fraction plus and minus this goes into volume_ml_low and volume_ml_high",
    )
    rapid_adc_um2_per_s: float = Field(
        620.0,
        gt=0,
        description="1e-6 mm2/s; 'rapid_like' calls ADC up to this infarct (Purushotham 2015 Int J Stroke "
        "10:348)",
    )
    rapid_dwi_z: float = Field(
        1.5, description="SD above the brain's median DWI that 'rapid_like' asks for beside the low ADC"
    )
    rapid_minimum_ml: float = Field(
        0.2, ge=0, description="mL; 'rapid_like' drops smaller clusters before closing (own trials)"
    )
    rapid_closing_mm: float = Field(2.0, ge=0, description="mm; 'rapid_like' closes gaps of twice this")

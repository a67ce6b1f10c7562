"""Settings of the measuring methods; each class is one section of the protocol file.

Every field's description becomes the comment above it in the commented protocol, so it states the unit,
the meaning and where the number comes from.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator


class Section(BaseModel):
    """A frozen section of the protocol: unknown keys and numbers that are not finite are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, defer_build=True)


class BrainSettings(Section):
    """Brain extraction."""

    working_mm: float = Field(
        2.5,
        ge=1,
        le=4,
        description="mm; spacing the brain is looked for at (thin enough for sulci, fast on 1 mm scans)",
    )
    margin_mm: float = Field(
        0.0,
        ge=-5,
        le=5,
        description="mm; moves the brain's surface outward (positive) or inward before it is brought to the "
        "native voxels",
    )
    minimum_ml: float = Field(
        50.0, gt=0, description="mL; a smaller brain is refused (a single 5 mm slice holds about 75 mL)"
    )
    maximum_ml: float = Field(
        2500.0, gt=0, description="mL; a larger brain is refused: the mask would hold more than brain"
    )
    leak_ml: float = Field(
        2000.0,
        gt=0,
        description="mL; a larger brain has leaked into face or neck and is sought again with deeper erosion "
        "(intracranial volumes of adults end near 1900 mL)",
    )


class RegistrationSettings(Section):
    """Rigid registration of follow-up scans to baseline, and the gate a registration must pass."""

    levels_mm: tuple[float, ...] = Field(
        (8.0, 4.0, 2.0, 1.0),
        description="mm; spacing of the copies compared, coarse to fine; 8 and 4 must be there (own trials: "
        "1 mm halves the error of 2 mm on 3-D scans)",
    )

    @field_validator("levels_mm")
    @classmethod
    def _searchable(cls, levels: tuple[float, ...]) -> tuple[float, ...]:
        if not {4.0, 8.0} <= set(levels) or min(levels) <= 0 or max(levels) > 8.0:
            msg = f"levels are positive, at most 8 mm, and 8 and 4 are among them; got {levels}"
            raise ValueError(msg)
        return levels

    knots: int = Field(
        48, ge=8, le=256, description="intensity knots of the expected partner intensity (own trials)"
    )
    points_coarse: int = Field(
        4000, ge=1000, description="points compared per scan at 8 mm and above (own trials)"
    )
    points_fine: int = Field(
        15000, ge=5000, description="points compared per scan at finer levels (own trials)"
    )
    points_finest: int = Field(
        60000, ge=5000, description="points compared per scan at the finest level (own trials)"
    )
    start_angle_degrees: float = Field(
        30.0,
        ge=0,
        le=60,
        description="degrees; rotations of 0 and plus or minus this about every axis are tried first",
    )
    start_shift_mm: float = Field(
        25.0, ge=0, description="mm; shifts along the body axis tried first, for scans that cover less neck"
    )
    match_warn: float = Field(
        0.20,
        ge=0,
        description="match (0 to 1: sharpness of the fit x its lead over the mirrored fit) of two scans of "
        "one contrast below which a reader looks; a sound scan of one's own reached 0.23 and more, another "
        "person's at most 0.14 (bench/registration_verdict.py, as all limits of this section)",
    )
    match_warn_cross: float = Field(
        0.17,
        ge=0,
        description="match_warn for different or unknown contrasts; another person's: at most 0.17",
    )
    match_warn_clear: float = Field(
        0.14,
        ge=0,
        description="match_warn for different or unknown contrasts that tell much of each other, at least "
        "'likeness_clear_nats'",
    )
    likeness_clear_nats: float = Field(
        0.62,
        ge=0,
        description="nats per point; another person's scan reached it only with a match up to 0.14",
    )
    match_fail: float = Field(
        0.035,
        ge=0,
        description="match below which it is refused; right fits of badly moved scans reached down to 0.03",
    )
    correlation_alike: float = Field(
        0.90,
        gt=0,
        le=1,
        description="correlation of the intensities from which two scans are of one contrast, whatever they "
        "are called; another person's reached at most 0.86",
    )
    correlation_warn: float = Field(
        0.85,
        gt=0,
        le=1,
        description="correlation of two scans said to be of one contrast below which a reader looks",
    )
    mirrored_warn: float = Field(
        0.75,
        gt=0,
        description="likeness of the left-right mirrored fit as a share of the fit's own: above it a reader "
        "looks, at 1 the registration is refused; a sound scan of one's own reached at most 0.66",
    )
    likeness_warn_nats: float = Field(
        0.30,
        ge=0,
        description="nats per point; what one scan tells of the other, below which a reader looks; a sound "
        "scan of one's own reached 0.36 and more",
    )
    likeness_fail_nats: float = Field(
        0.15, ge=0, description="nats per point; likeness below which the registration is refused"
    )
    coverage_warn: float = Field(
        0.70,
        ge=0,
        le=1,
        description="share of one scan's brain inside the other scan below which a reader looks",
    )
    coverage_fail: float = Field(
        0.30,
        ge=0,
        le=1,
        description="share of one scan's brain inside the other scan below which it is refused",
    )
    estimated_tre_warn_mm: float = Field(
        0.4,
        gt=0,
        description="mm; error over the brain, estimated from fits to two halves of it, above which a reader "
        "looks; the true error was 1.0 times the estimate in the median and at most 4.4 times in 95 of 100",
    )
    estimated_tre_fail_mm: float = Field(
        1.0, gt=0, description="mm; estimated error above which the registration is refused"
    )
    restarts_warn_mm: float = Field(
        2.0,
        gt=0,
        description="mm; how far apart fits started 4 mm and 3 degrees off may end before a reader looks",
    )
    nonrigid_warn_mm: float = Field(
        1.2,
        gt=0,
        description="mm; displacement that remains between scans of one contrast (root mean square over the "
        "brain) above which a reader looks; 95 in 100 of one's own: at most 1.2; another's: from 1.7",
    )
    nonrigid_fail_mm: float = Field(
        2.2,
        gt=0,
        description="mm; remaining displacement between scans of one contrast whose match is weak: refused "
        "above",
    )


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
        0.1,
        description="natural log; averaged own evidence from which a region is lesion (healthy scans at "
        "three b-values and two slice thicknesses reached -0.2)",
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
        0.1,
        ge=0,
        description="mean log DWI a fainter component needs; it must also reach 'faint_standout' "
        "(bench/segmentation.py, as all of this kind)",
    )
    faint_standout: float = Field(
        3.0,
        ge=0,
        description="contrast of a fainter component to the tissue 3 to 7 mm round it, in spreads of that "
        "tissue: iron-rich nuclei and cortex reached 2.5",
    )
    standout: float = Field(
        2.5, ge=0, description="the same for any component under 'standout_below_ml': cortex reached 2.5"
    )
    standout_below_ml: float = Field(
        1.0,
        ge=0,
        description="mL; larger components need not stand out from a ring of tissue round them, and are not "
        "taken for emboli",
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


class FollowUpSettings(Section):
    """Follow-up infarct from FLAIR with the registered baseline."""

    region_mm: float = Field(
        10.0,
        gt=0,
        description="mm; the follow-up infarct is looked for in the baseline lesion grown by this much; "
        "bright lesion beyond is reported apart as new",
    )
    nonrigid_allowance_mm: float = Field(
        5.0,
        ge=0,
        description="mm; the region grows by the displacement that the registrations left (95th percentile "
        "over the brain: echo-planar distortion, swelling), up to this",
    )
    mask_tolerance_mm: float = Field(
        2.0,
        ge=0,
        description="mm; how far the edge of the baseline mask may be off. Within it the baseline FLAIR is "
        "not taken as healthy tissue (a DWI mask brought over is inexact by about one voxel)",
    )
    baseline_growth_mm: float = Field(
        5.0,
        ge=0,
        description="mm; on the baseline FLAIR the infarct is looked for in the DWI lesion grown by this "
        "much (vasogenic oedema and distortion of the DWI)",
    )
    local_sigma_mm: float = Field(
        14.0, gt=0, description="mm; width of the local average that evens out coil shading between visits"
    )
    seed_z: float = Field(
        3.0, gt=0, description="standard deviations of unchanged brain by which a sure lesion voxel differs"
    )
    minimum_contrast: float = Field(
        0.12,
        gt=0,
        lt=1,
        description="fraction of the brain tissue's FLAIR level by which gliosis must be brighter than the "
        "expected healthy tissue",
    )
    boundary_fraction: float = Field(
        0.5,
        gt=0,
        lt=1,
        description="where the edge lies between healthy (0) and lesion (1) intensity; 0.5 keeps the volume "
        "unbiased under partial volume",
    )
    boundary_uncertainty: float = Field(
        0.2,
        ge=0,
        lt=0.5,
        description="the low and high volumes move the edge by this fraction of the contrast to either side "
        "(default: 0.12 was enough on the cases it was set on, not on others)",
    )
    minimum_lesion_ml: float = Field(
        0.05,
        ge=0,
        description="mL; smaller connected components are dropped (default, to be set by the trial)",
    )
    minimum_new_lesion_ml: float = Field(
        0.3, ge=0, description="mL; a new bright lesion outside the region is reported from this size on"
    )
    connectivity: Literal[6, 18, 26] = Field(26, description="voxel neighbourhood of a connected component")

"""Follow-up infarct from FLAIR."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from infarct_vol.settings.section import Section


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
        0.12,
        ge=0,
        lt=0.5,
        description="the low and high volumes move the edge by this fraction of the contrast to either side, "
        "and half of a half-voxel shift of the edge comes on top",
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

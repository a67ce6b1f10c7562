"""Brain extraction."""

from __future__ import annotations

from pydantic import Field

from infarct_vol.settings.section import Section


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

"""Which image is meant where a session holds several of one kind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from infarct_vol.settings.section import Section

_WHY = (
    'entities of the {label} to use, such as {{ acq = "3d" }}; omitted: any, and of several runs the highest'
)


class ImageSettings(Section):
    """Which image is meant where a session holds several of one kind (entities of BIDS)."""

    several: Literal["highest run", "newest", "refuse"] = Field(
        "highest run",
        description="which of several images of one kind counts. 'highest run': of those whose names differ "
        "in run- alone the highest; 'newest': the one with the latest acq_time in the table of scans; "
        "'refuse': none. What is left in doubt is refused",
    )
    dwi: dict[str, str] = Field(default_factory=dict, description=_WHY.format(label="DWI"))
    adc: dict[str, str] = Field(default_factory=dict, description=_WHY.format(label="ADC map"))
    b0: dict[str, str] = Field(default_factory=dict, description=_WHY.format(label="b0 image"))
    flair: dict[str, str] = Field(default_factory=dict, description=_WHY.format(label="FLAIR"))

    def filters(self, modality: str) -> Mapping[str, str]:
        """Return the entities an image of a kind must have; none for kinds without a rule."""
        rule: Mapping[str, str] = getattr(self, modality, {})
        return rule

"""Settings of the measuring methods; each class is one section of the protocol file.

Every field's description becomes the comment above it in the commented protocol, so it states the unit,
the meaning and where the number comes from.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Section(BaseModel):
    """A frozen section of the protocol: unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class BrainSettings(Section):
    """Brain extraction."""


class RegistrationSettings(Section):
    """Rigid registration of follow-up scans to baseline, and the gate a registration must pass."""


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


class FollowUpSettings(Section):
    """Follow-up infarct from FLAIR with the registered baseline."""

    region_mm: float = Field(
        10.0,
        gt=0,
        description="mm; the follow-up infarct is looked for in the baseline lesion grown by this much",
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

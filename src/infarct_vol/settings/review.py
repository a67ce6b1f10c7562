"""How masks are read: one reader or two blinded ones, adjudication, re-reads, and the value that counts."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from infarct_vol.settings.section import Section

EndpointRule = Literal["first", "mean"]


class ReviewSettings(Section):
    """How masks are read, and which value becomes the endpoint."""

    reads: Literal[1, 2] = Field(
        1,
        description="1: one open reading, the latest decision counts; 2: two blinded readers who do not "
        "see each other, adjudication by a third, as in an imaging charter",
    )
    adjudication_ml: float = Field(
        2.0,
        ge=0,
        description="mL; two reads that differ by more than this and adjudication_percent are adjudicated",
    )
    adjudication_percent: float = Field(
        20.0, ge=0, description="percent of the mean of both reads; see adjudication_ml"
    )
    endpoint_rule: EndpointRule = Field(
        "first",
        description="value of two reads that agree: 'first': that of the reader drawn first for the case, at "
        "random, whose mask can be looked at; 'mean': the mean of both volumes. An adjudicated value counts "
        "in any case",
    )
    reread_percent: float = Field(
        10.0,
        ge=0,
        le=100,
        description="percent of participants, drawn at random, that each blinded reader reads a second time; "
        "for intra-reader agreement, never for the endpoint",
    )
    mask_visit_order: bool = Field(
        False,
        description="true: blinded readers see a participant's visits in random order, without dates",
    )
    idle_minutes: int = Field(
        30, ge=1, le=720, description="minutes without a request after which a reader signs in again"
    )

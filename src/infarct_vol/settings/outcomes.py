"""The trial's other outcomes: their visits, the range of each scale, and their names in the datasets."""

from __future__ import annotations

from pydantic import Field, field_validator, model_validator

from infarct_vol.settings.section import Section
from infarct_vol.settings.visits import VisitName, VisitWindow

_ALL_VISITS: tuple[VisitName, ...] = ("baseline", "month1", "month3", "month6", "month9", "month12")


class OutcomeSettings(Section):
    """One outcome: a scale or a laboratory value."""

    label: str = Field(min_length=1, max_length=40, description="name in tables and figures")
    paramcd: str = Field(pattern=r"^[A-Z][A-Z0-9]{0,7}$", description="PARAMCD in the analysis dataset")
    low: float | None = Field(None, description="smallest value there can be; omitted: no limit")
    high: float | None = Field(None, description="largest value there can be; omitted: no limit")
    whole: bool = Field(False, description="true: whole numbers only, as a score")
    unit: str = Field("", description="unit the file must state; empty: as the file states it, one for all")
    visits: tuple[VisitName, ...] = Field(_ALL_VISITS, description="visits at which it is analysed")

    @model_validator(mode="after")
    def _ordered(self) -> OutcomeSettings:
        if self.low is not None and self.high is not None and self.low >= self.high:
            msg = f"low < high does not hold: {self.low:g}, {self.high:g}"
            raise ValueError(msg)
        return self

    @field_validator("visits")
    @classmethod
    def _analysed(cls, visits: tuple[VisitName, ...]) -> tuple[VisitName, ...]:
        unknown = [name for name in visits if name not in _ALL_VISITS]
        if unknown or "baseline" not in visits:
            msg = f"visits are baseline and some of {', '.join(_ALL_VISITS[1:])}, got {', '.join(visits)}"
            raise ValueError(msg)
        return visits

    def refusal(self, value: float) -> str:
        """Say why a value cannot be one of this scale; empty where it can."""
        if (self.low is not None and value < self.low) or (self.high is not None and value > self.high):
            low = "" if self.low is None else f"{self.low:g}"
            high = "" if self.high is None else f"{self.high:g}"
            return f"{value:g} is outside the range of {self.label}, {low} to {high}".rstrip()
        if self.whole and value != int(value):
            return f"{value:g} is no whole number, as {self.label} must be"
        return ""


class OutcomesSettings(Section):
    """The trial's other change-from-baseline outcomes (``tables --measures FILE``)."""

    month9: VisitWindow = VisitWindow(
        labels=("M09", "M9", "month9"), target_day=271, first_day=226, last_day=315, flag_beyond_days=14
    )
    month12: VisitWindow = VisitWindow(
        labels=("M12", "month12"), target_day=361, first_day=316, last_day=405, flag_beyond_days=14
    )
    parameters: dict[str, OutcomeSettings] = Field(
        {
            "mrs": OutcomeSettings(label="Modified Rankin Scale", paramcd="MRS", low=0, high=6, whole=True),
            "nihss": OutcomeSettings(label="NIHSS Total Score", paramcd="NIHSS", low=0, high=42, whole=True),
            "adl": OutcomeSettings(
                label="Activities of Daily Living (Barthel)", paramcd="ADL", low=0, high=100, whole=True
            ),
            "vegf": OutcomeSettings(label="Serum VEGF", paramcd="VEGF", low=0),
            "bdnf": OutcomeSettings(label="Serum BDNF", paramcd="BDNF", low=0),
            "hla_antibody": OutcomeSettings(label="Plasma HLA Antibody", paramcd="HLAAB", low=0),
            "t_lymphocytes": OutcomeSettings(label="T Lymphocytes", paramcd="TLYM", low=0),
            "iepcs": OutcomeSettings(label="iEPCs", paramcd="IEPC", low=0),
        },
        description="outcomes by the name the measures file gives them",
    )

    @model_validator(mode="after")
    def _distinct(self) -> OutcomesSettings:
        codes = [outcome.paramcd for outcome in self.parameters.values()]
        twice = sorted({code for code in codes if codes.count(code) > 1})
        if twice:
            msg = f"two outcomes have the paramcd {', '.join(twice)}"
            raise ValueError(msg)
        return self

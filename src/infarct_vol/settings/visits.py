"""Visits of the trial: session labels, windows in study days, and how scans are assigned to them."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

from pydantic import Field, model_validator

from infarct_vol.settings.section import Section

VisitName = Literal["baseline", "early", "month1", "month3", "month6", "month9", "month12", "unscheduled"]
"""Every name a visit may have, in time order; months 9 and 12 are visits of the trial's other outcomes."""
ANALYSED_VISITS: tuple[VisitName, ...] = ("baseline", "month1", "month3", "month6")
"""Visits at which the infarct is measured."""
MAPPED_VISITS: tuple[VisitName, ...] = (*ANALYSED_VISITS, "early", "unscheduled")
"""What a session may be stated to be."""


class VisitWindow(Section):
    """One visit: its session labels and its window in study days (there is no day 0)."""

    labels: tuple[str, ...] = Field(
        description="session labels (without 'ses-') that mean this visit; matched without regard to case"
    )
    target_day: int = Field(description="study day aimed at; thirty days after dosing is day 31")
    first_day: int | None = Field(
        None,
        description="first study day of the window; omitted: no limit, which only a baseline may have",
    )
    last_day: int = Field(description="last study day of the window")
    flag_beyond_days: int = Field(
        description="days from the target beyond which the scan is flagged, still analysed"
    )

    @model_validator(mode="after")
    def _ordered(self) -> VisitWindow:
        if not (self.first_day is None or self.first_day <= self.target_day) or (
            self.target_day > self.last_day
        ):
            days = (self.first_day, self.target_day, self.last_day)
            msg = f"first_day <= target_day <= last_day does not hold: {days}"
            raise ValueError(msg)
        return self

    def holds(self, day: int) -> bool:
        """Tell whether a study day lies in the window."""
        return (self.first_day is None or self.first_day <= day) and day <= self.last_day

    def meets(self, first_day: int, last_day: int) -> bool:
        """Tell whether any study day from one to another lies in the window."""
        return first_day <= self.last_day and (self.first_day is None or self.first_day <= last_day)

    @property
    def text(self) -> str:
        """The window in words, such as ``16 to 60``."""
        return f"{self.first_day} to {self.last_day}" if self.first_day is not None else f"to {self.last_day}"


def require_order(windows: dict[VisitName, VisitWindow]) -> None:
    """Raise `ValueError` unless the windows follow each other without sharing a day."""
    for (name, window), (later, following) in pairwise(windows.items()):
        if following.first_day is None or window.last_day >= following.first_day:
            msg = (
                f"the windows of {name} ({window.text}) and {later} ({following.text}) must follow each "
                "other without sharing a day"
            )
            raise ValueError(msg)


class VisitSettings(Section):
    """Visits of the trial and how scans are assigned to them."""

    assign_by: Literal["date", "label"] = Field(
        "date",
        description="'date': by study day and the windows below, and by session label, with a flag, where a "
        "date is not stated; 'label': by session label alone",
    )
    map: dict[str, VisitName] = Field(
        default_factory=dict,
        description="which session label is which visit, for sessions whose dates or labels do not tell: "
        '{ ses-01 = "baseline", ses-02 = "month3" }',
        json_schema_extra={"later": True},
    )
    baseline: VisitWindow = VisitWindow(
        labels=("BL", "baseline", "V0", "V1", "screening"),
        target_day=1,
        first_day=None,
        last_day=1,
        flag_beyond_days=7,
    )
    month1: VisitWindow = VisitWindow(
        labels=("M01", "M1", "month1"), target_day=31, first_day=16, last_day=60, flag_beyond_days=7
    )
    month3: VisitWindow = VisitWindow(
        labels=("M03", "M3", "month3"), target_day=91, first_day=61, last_day=135, flag_beyond_days=14
    )
    month6: VisitWindow = VisitWindow(
        labels=("M06", "M6", "month6"), target_day=181, first_day=136, last_day=225, flag_beyond_days=14
    )

    @model_validator(mode="after")
    def _apart(self) -> VisitSettings:
        require_order(self.windows())
        self._check_map()
        return self

    def _check_map(self) -> None:
        """Raise `ValueError` where the map names no visit, or two of them for one session."""
        by_label: dict[str, VisitName] = {}
        for name, visit in self.map.items():
            label = name.removeprefix("ses-").casefold()
            if visit not in MAPPED_VISITS:
                msg = f"map: {name} is {visit}, expected one of {', '.join(MAPPED_VISITS)}"
                raise ValueError(msg)
            if by_label.setdefault(label, visit) != visit:
                msg = f"map: {name} is stated to be {by_label[label]} and {visit}; leave one"
                raise ValueError(msg)

    def windows(self) -> dict[VisitName, VisitWindow]:
        """Return the visits at which the infarct is measured, in time order."""
        return {name: getattr(self, name) for name in ANALYSED_VISITS}

"""What a verification observes and what it says about it, as records that go to JSON and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from infarct_vol.records import Record

Group = Literal["acute_object", "followup_object", "baseline", "follow_up", "retest"]
Verdict = Literal["PASS", "FAIL", "INFO"]


class VolumeCase(Record):
    """One lesion of known volume and what was measured of it.

    Parameters
    ----------
    voxel
        Voxel size of the scan it was measured on, in words.
    pair
        Shared by the two cases in which one lesion was measured twice; empty where it was measured once.
    reason
        Why there is no measured volume.
    """

    group: Group
    case: str
    true_ml: float
    voxel: str = ""
    measured_ml: float | None = None
    low_ml: float | None = None
    high_ml: float | None = None
    dice: float | None = None
    pair: str = ""
    reason: str = ""

    @property
    def error_percent(self) -> float | None:
        """Measured minus true volume in percent of the true one; None without both."""
        if self.measured_ml is None or self.true_ml == 0:
            return None
        return 100 * (self.measured_ml - self.true_ml) / self.true_ml

    @property
    def is_within_limits(self) -> bool | None:
        """Whether the true volume lies between the limits given; None without limits."""
        if self.low_ml is None or self.high_ml is None:
            return None
        return self.low_ml <= self.true_ml <= self.high_ml


class Deviation(Record):
    """One number that says how far something is from what it must be."""

    check: str
    case: str
    value: float
    reason: str = ""


@dataclass(frozen=True)
class Observed:
    """All that a verification, or a part of it, has observed."""

    cases: tuple[VolumeCase, ...] = ()
    deviations: tuple[Deviation, ...] = ()

    def of(self, *groups: Group) -> tuple[VolumeCase, ...]:
        """Return the cases of some groups, in order."""
        return tuple(case for case in self.cases if case.group in groups)

    def values(self, check: str) -> list[float]:
        """Return the deviations of one check, in order."""
        return [found.value for found in self.deviations if found.check == check]


def together(parts: list[Observed]) -> Observed:
    """Return the observations of all parts, in order."""
    return Observed(
        tuple(case for part in parts for case in part.cases),
        tuple(found for part in parts for found in part.deviations),
    )


class CheckResult(Record):
    """One acceptance limit and what was found.

    Parameters
    ----------
    value
        What was measured, in ``unit``; None where there was too little to measure it from, which fails.
    n
        Number of cases the value is made from.
    at_least, at_most
        Acceptance limits; both None where a number is given for information.
    why
        Reason for the limit.
    note
        What else is known about the value.
    """

    key: str
    section: str
    title: str
    unit: str
    value: float | None
    n: int
    at_least: float | None
    at_most: float | None
    verdict: Verdict
    why: str
    note: str = ""

    @property
    def value_words(self) -> str:
        """The value with its unit."""
        return "no value" if self.value is None else _with_unit(self.value, self.unit)

    @property
    def limit_words(self) -> str:
        """The limit with its unit; empty where there is none."""
        low, high = self.at_least, self.at_most
        if low is not None and high is not None:
            return f"{low:g} to {_with_unit(high, self.unit)}"
        if low is not None:
            return f"at least {_with_unit(low, self.unit)}"
        return "" if high is None else f"at most {_with_unit(high, self.unit)}"


class Verification(Record):
    """One verification of one installation.

    Parameters
    ----------
    performed_at
        When it ended (ISO 8601, UTC): the only field that differs between two runs on one machine.
    machine
        Operating system, processor and Python.
    libraries
        Version of each library that numbers pass through.
    """

    version: str
    protocol_sha256: str
    quick: bool
    seed: int
    performed_at: str
    machine: dict[str, str]
    libraries: dict[str, str]
    checks: tuple[CheckResult, ...]
    cases: tuple[VolumeCase, ...]
    deviations: tuple[Deviation, ...]

    @property
    def failed(self) -> tuple[CheckResult, ...]:
        """The checks whose limit does not hold."""
        return tuple(check for check in self.checks if check.verdict == "FAIL")


def _with_unit(value: float, unit: str) -> str:
    return f"{value:.4g} {unit}".rstrip()

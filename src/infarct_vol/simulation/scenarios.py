"""Who is scanned where and when, and what becomes of each infarct: the plan of a digital trial.

A plan holds no voxels. It depends only on the seed, the participant's number, and whether the trial is
large enough to give every special course a participant of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from infarct_vol.simulation.anatomy import AnatomySettings
from infarct_vol.simulation.head import HeadSettings
from infarct_vol.simulation.lesions import LesionKind
from infarct_vol.simulation.sites import SITES, Site, compact_site

SESSIONS: tuple[tuple[str, str, float, float], ...] = (
    ("ses-BL", "baseline", 0.0, 0.0),
    ("ses-M01", "month1", 31.0, 4.0),
    ("ses-M03", "month3", 91.0, 9.0),
    ("ses-M06", "month6", 181.0, 11.0),
)
"""Session, visit, target study day and how far, in days, the scan may be from it."""
SEPARATE_FROM = 8
"""From this number of participants on, every special course has a participant of its own."""

_COMBINED = ("ordinary", "vanishes+missing_month3", "grows+new_infarct", "white_matter+failed_scan")
_SEPARATE = (
    "ordinary",
    "vanishes",
    "grows",
    "new_infarct",
    "white_matter",
    "missing_month3",
    "failed_scan",
)
_KIND_ORDER: tuple[LesionKind, ...] = (
    "territorial",
    "lacunar",
    "wedge",
    "embolic",
    "territorial",
    "cerebellar",
    "wedge",
    "territorial",
    "striatocapsular",
    "embolic",
    "brainstem",
    "wedge",
)
_VOLUME_ML: dict[LesionKind, tuple[float, float]] = {
    "territorial": (35.0, 110.0),
    "wedge": (6.0, 35.0),
    "embolic": (5.0, 22.0),
    "striatocapsular": (7.0, 20.0),
    "lacunar": (0.3, 1.6),
    "brainstem": (0.4, 2.5),
    "cerebellar": (5.0, 28.0),
}
_LARGE_ML = (130.0, 230.0)
_FIRST_DAY = datetime(2024, 9, 2, 7, 0)


@dataclass(frozen=True)
class LesionPlan:
    """One lesion through the trial; volumes in mL at the four visits of `SESSIONS`.

    Parameters
    ----------
    side
        -1 left, +1 right.
    onset_hours
        Hours from the participant's stroke to this lesion's onset.
    lowest_adc_ratio, strength
        See `infarct_vol.simulation.contrast.lesion_signal`.
    """

    kind: LesionKind
    side: int
    volumes_ml: tuple[float, float, float, float]
    cavities_ml: tuple[float, float, float, float]
    onset_hours: float = 0.0
    lowest_adc_ratio: float = 0.55
    strength: float = 1.0


@dataclass(frozen=True)
class VisitPlan:
    """One scanning session."""

    number: int
    session_id: str
    visit: str
    acq_time: datetime
    hours_since_onset: float
    damaged: bool = False


@dataclass(frozen=True)
class ParticipantPlan:
    """All that is decided about a participant before a voxel is made."""

    number: int
    seed: int
    scenario: str
    site: Site
    age: int
    sex: str
    onset_time: datetime
    first_dose_time: datetime
    visits: tuple[VisitPlan, ...]
    infarct: LesionPlan
    new_infarct: LesionPlan | None
    old_infarct: LesionPlan | None
    hyperintensity_ml: float
    anatomy: AnatomySettings
    head: HeadSettings
    compact: bool

    @property
    def participant_id(self) -> str:
        """BIDS label with its key."""
        return f"sub-{self.number + 1:03d}"

    def rng(self, *purpose: int) -> np.random.Generator:
        """Return the generator for one purpose; purposes do not disturb each other."""
        return np.random.default_rng([self.seed, self.number, *purpose])


def plan_participant(number: int, *, participants: int, seed: int, compact: bool) -> ParticipantPlan:
    """Plan one participant.

    Parameters
    ----------
    number
        Counted from 0.
    participants
        Size of the trial; it matters only for which courses exist (see `SEPARATE_FROM`).
    compact
        Thick slices, small matrices, FLAIR alone at follow-up.
    """
    rng = np.random.default_rng([seed, number, 0])
    courses = _SEPARATE if participants >= SEPARATE_FROM else _COMBINED
    scenario = courses[number] if number < len(courses) else "ordinary"
    heavy = "white_matter" in scenario
    infarct = _plan_infarct(number, scenario, rng)
    site = SITES[number % len(SITES)]
    onset = _FIRST_DAY + timedelta(days=int(number * 13 + rng.integers(9)), minutes=int(rng.integers(720)))
    baseline = onset + timedelta(minutes=int(60 * np.exp(rng.uniform(np.log(7), np.log(90)))))
    first_dose = baseline + timedelta(minutes=int(rng.integers(100, 1000)))
    age = int(rng.integers(66, 84) if heavy else rng.integers(42, 82))
    return ParticipantPlan(
        number=number,
        seed=seed,
        scenario=scenario,
        site=compact_site(site) if compact else site,
        age=age,
        sex=str(rng.choice(["F", "M"])),
        onset_time=onset,
        first_dose_time=first_dose,
        visits=_plan_visits(scenario, onset, baseline, first_dose, rng),
        infarct=infarct,
        new_infarct=_plan_new(infarct, rng) if "new_infarct" in scenario else None,
        old_infarct=_plan_old(infarct, rng) if heavy else None,
        hyperintensity_ml=float(
            rng.uniform(30, 48) if heavy else np.exp(rng.uniform(np.log(0.8), np.log(9)))
        ),
        anatomy=_plan_anatomy(age, rng),
        head=HeadSettings(
            fluid_mm=float(rng.uniform(1.0, 1.8) + max(0, age - 60) * 0.03),
            skull_mm=float(rng.uniform(5.5, 8.0)),
            scalp_mm=float(rng.uniform(4.0, 7.5)),
        ),
        compact=compact,
    )


def _white_matter_ml(rng: np.random.Generator, *, heavy: bool) -> float:
    return float(rng.uniform(30, 48) if heavy else np.exp(rng.uniform(np.log(0.8), np.log(9))))


def _plan_visits(
    scenario: str, onset: datetime, baseline: datetime, first_dose: datetime, rng: np.random.Generator
) -> tuple[VisitPlan, ...]:
    visits = []
    for number, (session, visit, day, spread) in enumerate(SESSIONS):
        offset = int(round(day - 1 + rng.uniform(-spread, spread)))
        midnight = first_dose.replace(hour=0, minute=0)
        time = midnight + timedelta(days=offset, minutes=int(rng.integers(8 * 60, 17 * 60)))
        time = baseline if visit == "baseline" else time
        if visit == "month3" and "missing_month3" in scenario:
            continue
        hours = (time - onset).total_seconds() / 3600
        damaged = visit == "month6" and "failed_scan" in scenario
        visits.append(VisitPlan(number, session, visit, time, hours, damaged))
    return tuple(visits)


def _plan_infarct(number: int, scenario: str, rng: np.random.Generator) -> LesionPlan:
    kind = _KIND_ORDER[number % len(_KIND_ORDER)]
    low, high = _LARGE_ML if number % len(_KIND_ORDER) == 7 else _VOLUME_ML[kind]
    volume = float(np.exp(rng.uniform(np.log(low), np.log(high))))
    loss = float(np.clip(rng.normal(0.40, 0.13), 0.12, 0.70))
    course: tuple[float, float, float, float] = (1.0, 1 - 0.45 * loss, 1 - 0.85 * loss, 1 - loss)
    if "vanishes" in scenario:
        course = (1.0, 0.35, 0.0, 0.0)
    if "grows" in scenario:
        gain = float(rng.uniform(0.35, 0.6))
        course = (1.0, 1 + 0.6 * gain, 1 + 0.9 * gain, 1 + gain)
    hollow = float(rng.uniform(0.18, 0.5))
    if volume < 30 and rng.random() < 0.3:
        hollow = 0.0  # small infarcts often heal to a scar without a cavity
    if volume < 1 or "vanishes" in scenario:
        hollow = 0.0
    v = tuple(volume * c for c in course)
    return LesionPlan(
        kind=kind,
        side=int(rng.choice([-1, 1])),
        volumes_ml=(v[0], v[1], v[2], v[3]),
        cavities_ml=(0.0, 0.22 * hollow * v[1], 0.8 * hollow * v[2], hollow * v[3]),
        lowest_adc_ratio=float(rng.uniform(0.47, 0.72)),
        strength=float(rng.uniform(0.85, 1.2)),
    )


def _plan_new(infarct: LesionPlan, rng: np.random.Generator) -> LesionPlan:
    volume = float(rng.uniform(2.0, 7.0))
    return LesionPlan(
        kind="wedge",
        side=-infarct.side,
        volumes_ml=(0.0, 0.0, volume, 0.86 * volume),
        cavities_ml=(0.0, 0.0, 0.0, 0.0),
        onset_hours=float(rng.uniform(45, 65)) * 24,
        lowest_adc_ratio=float(rng.uniform(0.5, 0.7)),
    )


def _plan_old(infarct: LesionPlan, rng: np.random.Generator) -> LesionPlan:
    volume = float(rng.uniform(4.0, 12.0))
    return LesionPlan(
        kind="wedge",
        side=-infarct.side,
        volumes_ml=(volume, volume, volume, volume),
        cavities_ml=(0.6 * volume, 0.6 * volume, 0.6 * volume, 0.6 * volume),
        onset_hours=-float(rng.uniform(2, 8)) * 365 * 24,
    )


def _plan_anatomy(age: int, rng: np.random.Generator) -> AnatomySettings:
    size = rng.uniform(0.95, 1.02)
    x, y, z = size * rng.uniform(0.975, 1.025, 3)
    atrophy = (age - 40) / 45
    left = float(np.clip(0.55 * atrophy + rng.uniform(-0.18, 0.15), -0.1, 0.6))
    right = float(np.clip(left + rng.uniform(-0.12, 0.12), -0.1, 0.6))
    return AnatomySettings(
        scale=(float(x), float(y), float(z)),
        ventricle_growth=(left, right),
        csf_bias=float(0.55 + 0.6 * atrophy + rng.uniform(-0.15, 0.15)),
    )

"""What a page of explanation holds, whatever the method: maps by slice, decisions, candidates, settings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from numpy.typing import NDArray

from infarct_vol.images import LesionMask
from infarct_vol.qa.panels import Stage
from infarct_vol.settings import Section


class SettingLine(NamedTuple):
    """One setting as it is read on the page."""

    name: str
    value: str
    meaning: str


class DecisionLine(NamedTuple):
    """One decision with its colour in the maps and its share of the brain."""

    name: str
    colour: str
    meaning: str
    volume_ml: str


class CandidateLine(NamedTuple):
    """One candidate as it is read on the page; evidence in natural log, place in scanner RAS+ mm."""

    number: int
    in_mask: bool
    volume_ml: str
    place: str
    slice_index: int
    peak: str
    own: str
    mirror: str
    regional: str
    brightness: str
    standout: str
    adc_ratio: str
    verdict: str


class Map(NamedTuple):
    """One map to write as NIfTI: native (I, J, K) array, stored type, and what its values mean."""

    data: NDArray[Any]
    dtype: str
    meaning: str


@dataclass(frozen=True, eq=False)
class Explanation:
    """How one mask came about.

    Parameters
    ----------
    mask
        The result.
    stage
        The maps, slice by slice.
    steps
        How the method goes, one sentence a step.
    settings
        The settings it ran with.
    decisions
        What may be decided about a voxel, and how many mL were.
    candidates, unlisted
        The components judged, and how many more were left out than are listed.
    maps
        Name to map, for a viewer of images.
    """

    mask: LesionMask
    stage: Stage
    steps: tuple[str, ...]
    settings: Sequence[SettingLine]
    decisions: Sequence[DecisionLine] = ()
    candidates: Sequence[CandidateLine] = ()
    unlisted: int = 0
    maps: Mapping[str, Map] = field(default_factory=dict)


def settings_lines(settings: Section, names: Iterable[str] | None = None) -> list[SettingLine]:
    """Return settings of a section with their values and meaning; by default all."""
    fields = type(settings).model_fields
    lines = []
    for name in names or fields:
        value = getattr(settings, name)
        shown = ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
        lines.append(SettingLine(name, shown, fields[name].description or ""))
    return lines

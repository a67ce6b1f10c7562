"""Names of BIDS files: entities, suffix, and the kind of image they say."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from infarct_vol.files import nifti_stem
from infarct_vol.images import Modality

SUFFIXES: dict[str, Modality] = {
    "trace": "dwi",
    "dwi": "dwi",
    "adc": "adc",
    "s0map": "b0",
    "b0": "b0",
    "flair": "flair",
    "t1w": "t1w",
    "t2w": "t2w",
}
_OF_DWI: tuple[tuple[re.Pattern[str], Modality], ...] = (
    (re.compile(r"^(e|ex|exp|exponential)adc|^exp$"), "unknown"),
    (re.compile(r"adc"), "adc"),
    (re.compile(r"trace|iso"), "dwi"),
    (re.compile(r"^(b0|s0)(map)?$"), "b0"),
    (re.compile(r"^(fa|colfa|ra|md|rd|ad|tensor)$"), "unknown"),
)
"""What ``rec-``, ``acq-`` or ``desc-`` says of an image with suffix ``dwi`` (SOOP, dcm2bids)."""
_LOOKS = re.compile(r"(?<![a-z0-9])(trace|dwi|adc|s0map|b0|flair|t1w|t2w)(?=[a-e]?(?![a-z]))", re.IGNORECASE)
"""A known suffix with something behind it, as converters add: ``FLAIRa``, ``dwi_Eq_1``, ``ADC_ph``."""
_FAMILY: frozenset[Modality] = frozenset({"dwi", "adc", "b0"})
_MAGNITUDE = ("mag", "magnitude")


@dataclass(frozen=True)
class BidsName:
    """Entities and suffix of a file name, such as ``{"sub": "001", "run": "2"}`` and ``FLAIR``."""

    stem: str
    entities: Mapping[str, str]
    suffix: str

    @property
    def modality(self) -> Modality | None:
        """Kind of image by suffix, and of a DWI by ``rec-``, ``acq-``, ``desc-``; None where no kind."""
        if self.entities.get("part", "mag").lower() not in _MAGNITUDE:
            return None
        known = SUFFIXES.get(self.suffix.lower())
        if self.suffix.lower() != "dwi":
            return known
        said = {found for entity in ("rec", "acq", "desc") if (found := self._said_by(entity)) is not None}
        if len(said) > 1 or "unknown" in said:
            return None  # a map that is not measured, or a name that contradicts itself
        return next(iter(said), known)

    def _said_by(self, entity: str) -> Modality | None:
        value = self.entities.get(entity, "").lower()
        return next((modality for pattern, modality in _OF_DWI if pattern.search(value)), None)

    @property
    def is_named_trace(self) -> bool:
        """Whether the name says that a DWI is the scanner's trace image."""
        return self.suffix.lower() == "trace" or "dwi" in map(self._said_by, ("rec", "acq", "desc"))

    @property
    def own_text(self) -> str:
        """The stem without the labels of participant and session, which say nothing of the image."""
        parts = self.stem.split("_")
        return "_".join(part for part in parts if not part.lower().startswith(("sub-", "ses-")))

    @property
    def looks_like(self) -> Modality | None:
        """The kind of image that a name with an unknown suffix seems to mean."""
        found = _LOOKS.search(self.own_text)
        return SUFFIXES[found[1].lower()] if found else None


def says_other_kind(path: Path, modality: Modality) -> Modality | None:
    """Return the kind of image a name says where it is not the one meant; None where it says nothing else.

    Only what cannot be confused counts: one of DWI, ADC map and b0 for another of them does not.
    """
    said = {SUFFIXES[word.lower()] for word in _LOOKS.findall(bids_name(path).own_text)}
    meant = _FAMILY if modality in _FAMILY else {modality}
    return None if said & meant or not said else min(said)


@lru_cache(maxsize=1 << 16)
def bids_name(path: Path) -> BidsName:
    """Return the parts of a file's name; an extension of any case is left out, keys are in lower case."""
    stem = nifti_stem(path)
    for extension in (".json", ".bval", ".bvec"):
        if stem.lower().endswith(extension):
            stem = stem[: -len(extension)]
    *pairs, suffix = stem.split("_")
    split = (pair.split("-", 1) for pair in pairs if "-" in pair)
    return BidsName(stem, {key.lower(): value for key, value in split}, suffix)


def same_label(one: str, other: str) -> bool:
    """Tell whether two labels, without their keys, are the same but for case."""
    return one.casefold() == other.casefold()

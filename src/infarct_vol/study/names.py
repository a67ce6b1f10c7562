"""Names of BIDS files: entities, suffix, and the kind of image they say."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
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
    (re.compile(r"^e(xp)?adc"), "unknown"),
    (re.compile(r"adc"), "adc"),
    (re.compile(r"trace|iso"), "dwi"),
    (re.compile(r"^(b0|s0)(map)?$"), "b0"),
    (re.compile(r"^(fa|colfa|ra|tensor)$"), "unknown"),
)
"""What ``rec-``, ``acq-`` or ``desc-`` says of an image with suffix ``dwi`` (SOOP, dcm2bids)."""
_LOOKS = re.compile(r"(?<![a-z0-9])(trace|dwi|adc|s0map|b0|flair|t1w|t2w)(?=[a-e]?(?![a-z]))", re.IGNORECASE)
"""A known suffix with something behind it, as converters add: ``FLAIRa``, ``dwi_Eq_1``, ``ADC_ph``."""


@dataclass(frozen=True)
class BidsName:
    """Entities and suffix of a file name, such as ``{"sub": "001", "run": "2"}`` and ``FLAIR``."""

    stem: str
    entities: Mapping[str, str]
    suffix: str

    @property
    def modality(self) -> Modality | None:
        """Kind of image by suffix, and of a DWI by ``rec-``, ``acq-``, ``desc-``; None where no kind."""
        known = SUFFIXES.get(self.suffix.lower())
        if self.suffix.lower() != "dwi":
            return known
        if self.entities.get("part", "mag").lower() not in ("mag", "magnitude"):
            return None
        for entity in ("rec", "acq", "desc"):
            value = self.entities.get(entity, "").lower()
            for pattern, modality in _OF_DWI:
                if pattern.search(value):
                    return None if modality == "unknown" else modality
        return known

    @property
    def looks_like(self) -> Modality | None:
        """The kind of image that a name with an unknown suffix seems to mean."""
        own = [part for part in self.stem.split("_") if not part.lower().startswith(("sub-", "ses-"))]
        found = _LOOKS.search("_".join(own))
        return SUFFIXES[found[1].lower()] if found else None


def bids_name(path: Path) -> BidsName:
    """Return the parts of a file's name; an extension of any case is left out."""
    stem = nifti_stem(path)
    for extension in (".json", ".bval", ".bvec"):
        if stem.lower().endswith(extension):
            stem = stem[: -len(extension)]
    *pairs, suffix = stem.split("_")
    entities = dict(pair.split("-", 1) for pair in pairs if "-" in pair)
    return BidsName(stem, entities, suffix)

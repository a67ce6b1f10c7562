"""Masks made elsewhere - by a reader in ITK-SNAP or 3D Slicer, by a network - on their way to being measured.

A mask counts only where there is no doubt which image it was drawn on: by the participant and session in
its name, by an image named in it, or by its grid. Whatever does not fit is refused or reported, and nothing
is resampled.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from infarct_vol.brain.plausibility import lesion_doubts, settle_doubts
from infarct_vol.errors import GridMismatchError, InfarctVolError, ScanRefusedError
from infarct_vol.files import is_nifti_name, read_sidecar
from infarct_vol.geometry import Grid
from infarct_vol.images import MODALITY_LABELS, BrainMask, LesionMask, Modality, Scan, mask_on
from infarct_vol.ledger import mask_name
from infarct_vol.measurement import dice
from infarct_vol.nifti import how_to_confirm, is_confirmed, load_mask, load_scan
from infarct_vol.protocol import GeometrySettings
from infarct_vol.study import Participant
from infarct_vol.study.names import bids_name

OUTSIDE_BRAIN_PERCENT = 10.0
"""Percent of a mask outside the brain beyond which a reader should look; brain masks err at their edge."""
IMAGE_SUFFIXES = (".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd", ".mgz", ".mgh", ".img", ".hdr")
"""Endings of image files that another program may have written a mask to."""
_NOT_INFARCT = re.compile(
    r"_desc-((brain|cavity|newlesion|auto|edit[0-9a-f]{12}\w*)_mask|change_dseg)(?i:\.nii(\.gz)?)$"
)
_NAMED: tuple[tuple[Modality, re.Pattern[str]], ...] = (
    ("dwi", re.compile(r"(?<![a-z])(dwi|trace|adc)(?![a-z])", re.IGNORECASE)),
    ("flair", re.compile(r"(?<![a-z])flair(?![a-z])", re.IGNORECASE)),
)
_FOLDERS: Mapping[str, Modality] = {"dwi": "dwi", "anat": "flair"}
_LONGEST_TEXT = 80


@dataclass(frozen=True, eq=False)
class ExternalMask:
    """A mask made elsewhere, on the grid of its image.

    Parameters
    ----------
    mask
        The lesion.
    file
        Its file as the records name it.
    sha256
        SHA-256 of the file.
    generated_by
        ``name version`` of what made it, from ``GeneratedBy`` in the sidecar beside it.
    confirmed
        Whether the sidecar says that an unlikely mask is meant as it is.
    remedy
        What to do to say so.
    """

    mask: LesionMask
    file: str
    sha256: str
    generated_by: tuple[str, ...] = ()
    confirmed: bool = False
    remedy: str = "confirm it in the JSON beside it"

    @property
    def source(self) -> str:
        """Where the mask comes from, for the table."""
        return f"external: {self.file}, SHA-256 {self.sha256}"

    def facts(self) -> dict[str, object]:
        """Return what the sidecar of the result says of it."""
        return {"File": self.file, "SHA256": self.sha256, "GeneratedBy": list(self.generated_by)}


@dataclass(frozen=True)
class MaskFolder:
    """Where masks made elsewhere are looked for, and what they must be like.

    Parameters
    ----------
    folder
        Folder of masks; ``None`` when none was given.
    geometry
        What to believe of a contradictory header.
    hashes
        SHA-256 of the inputs when the run began, by name: a file that changed since is refused.
    """

    folder: Path | None
    geometry: GeometrySettings
    hashes: Mapping[str, str]


def find_masks(folder: Path, participant: Participant, *, session_id: str | None = None) -> tuple[Path, ...]:
    """Return the files of a participant that may be infarct masks: ``**/<sub>_<ses>_*mask.nii[.gz]``.

    The name of a participant's only session may be left out.
    Those that say they are something else by ``desc-brain``, ``desc-cavity``, ``desc-newlesion`` or
    ``desc-auto``, as our own results do, are left out; so are the versions of a review, ``desc-edit...``.
    """
    sessions = [session_id] if session_id else [s.session_id for s in participant.sessions]
    wanted = [
        re.compile(rf"{re.escape(participant.label)}_{re.escape(s)}_.*(?i:mask\.nii(\.gz)?)")
        for s in sessions
    ]
    if len(participant.sessions) == 1:
        # the only session need not be named, as in a dataset without sessions
        wanted.append(re.compile(rf"{re.escape(participant.label)}_(?!ses-).*(?i:mask\.nii(\.gz)?)"))
    files = sorted(path for path in folder.rglob("[!.]*") if is_nifti_name(path))
    own = [path for path in files if any(pattern.fullmatch(path.name) for pattern in wanted)]
    return tuple(path for path in own if not _NOT_INFARCT.search(path.name))


def unused_masks(folder: Path, participants: Iterable[Participant]) -> tuple[str, ...]:
    """Return the image files of a folder of masks that belong to no session, relative to the folder."""
    used = {path for participant in participants for path in find_masks(folder, participant)}
    images = (path for path in folder.rglob("[!.]*") if path.name.lower().endswith(IMAGE_SUFFIXES))
    unused = (path for path in images if path not in used and not _NOT_INFARCT.search(path.name))
    return tuple(sorted(path.relative_to(folder).as_posix() for path in unused))


def external_mask(
    place: MaskFolder,
    participant: Participant,
    scan: Scan,
    *,
    stated: Path | None = None,
    others: Callable[[], Mapping[Modality, Grid]] = dict,
) -> ExternalMask | None:
    """Return the mask made elsewhere for one image, or ``None`` where there is none.

    Parameters
    ----------
    place
        Where to look.
    participant
        Whose masks are looked for.
    scan
        The image.
    stated
        The mask a manifest names for this session.
    others
        Grids of the session's other images a mask may have been drawn on; asked for only if a mask does
        not name its image.

    Raises
    ------
    GridMismatchError
        If a mask for this image, or one of this session that names no image, lies on another grid; or if
        its grid is that of two images and its name does not say which.
    ScanRefusedError
        If two masks fit the image, a file changed during the run, or it is not a binary mask.
    """
    session_id = scan.identity.session_id
    found = list(find_masks(place.folder, participant, session_id=session_id)) if place.folder else []
    candidates = [(path, _named_image(path, place.folder)) for path in found]
    if stated is not None:
        candidates.append((stated, _named_image(stated, None)))
    fitting = [
        mask
        for path, image in candidates
        if image in (None, scan.modality)
        and (mask := _fitted(path, scan, place, others=dict if image else others)) is not None
    ]
    if len(fitting) > 1:
        names = ", ".join(mask.file for mask in fitting)
        msg = f"{len(fitting)} masks fit this image ({names}); leave the one that counts"
        raise ScanRefusedError(msg, where=str(scan.identity))
    return fitting[0] if fitting else None


def _named_image(path: Path, folder: Path | None) -> Modality | None:
    """Return the image a mask's name, or else its BIDS folder, says it was drawn on."""
    own = bids_name(path).own_text
    named = [modality for modality, pattern in _NAMED if pattern.search(own)]
    if len(named) == 1:
        return named[0]
    return _FOLDERS.get(path.parent.name) if folder is not None and path.parent != folder else None


def _fitted(
    path: Path, scan: Scan, place: MaskFolder, *, others: Callable[[], Mapping[Modality, Grid]]
) -> ExternalMask | None:
    """Read a mask and put it on its image's grid; ``None`` if it was drawn on another image."""
    mask = load_mask(path, identity=scan.identity, geometry=place.geometry, sidecar=False)
    name = mask_name(path, place.folder)
    _require_unchanged(name, mask.identity.sha256, scan, place)
    elsewhere = [
        modality
        for modality, grid in others().items()
        if mask.grid.matches(grid, limit_mm=place.geometry.tolerance_mm)
    ]
    if elsewhere and not mask.grid.matches(scan.grid, limit_mm=place.geometry.tolerance_mm):
        return None
    lesion = mask_on(
        mask,
        scan.grid,
        name=f"mask {path.name}",
        limit_mm=place.geometry.tolerance_mm,
        where=str(scan.identity),
    )
    if elsewhere:
        images = " and ".join(MODALITY_LABELS[m] for m in (scan.modality, *elsewhere))
        msg = f"mask {path.name} lies on the grid of {images}; put '_dwi' or '_FLAIR' in its name"
        raise GridMismatchError(msg, where=str(scan.identity))
    made_by = _generators(path)
    method = ": ".join(["external", ", ".join(made_by)]) if made_by else "external"
    lesion = replace(lesion, identity=scan.identity, method=method)
    return ExternalMask(lesion, name, mask.identity.sha256, made_by, is_confirmed(path), how_to_confirm(path))


def _require_unchanged(name: str, digest: str, scan: Scan, place: MaskFolder) -> None:
    expected = place.hashes.get(name)
    if expected is not None and expected != digest:
        msg = f"mask {name} changed while the run was at work; run again"
        raise ScanRefusedError(msg, where=str(scan.identity))


def _generators(path: Path) -> tuple[str, ...]:
    """Return name and version of what a sidecar says made the mask; its other fields go nowhere."""
    entries = read_sidecar(path).get("GeneratedBy")
    entries = entries if isinstance(entries, list) else [entries]
    made_by = []
    for entry in entries:
        if isinstance(entry, dict) and isinstance(entry.get("Name"), str):
            version = entry.get("Version")
            words = [entry["Name"], version if isinstance(version, str) else ""]
            made_by.append(" ".join(" ".join(words).split())[:_LONGEST_TEXT])
    return tuple(made_by)


def doubts_of(
    external: ExternalMask, scan: Scan, *, brain: BrainMask | None, automatic: LesionMask | None
) -> tuple[str, ...]:
    """Return the flags of a mask made elsewhere that is unlikely, and confirmed.

    Raises
    ------
    MaskError
        If it is unlikely, and nobody confirmed it: a brain mask, mirrored, or of another image.
    """
    return settle_doubts(
        lesion_doubts(external.mask, scan=scan, brain=brain, automatic=automatic),
        name=f"mask {external.file}",
        confirmed=external.confirmed,
        remedy=external.remedy,
        where=str(scan.identity),
    )


def outside_brain(mask: LesionMask, brain: BrainMask) -> str:
    """Return the flag of a mask that reaches out of the brain; empty where it does not."""
    if not mask.voxel_count:
        return ""
    percent = 100.0 * int(np.count_nonzero(mask.data & ~brain.data)) / mask.voxel_count
    if percent <= OUTSIDE_BRAIN_PERCENT:
        return ""
    return f"{percent:.0f} % of the mask made elsewhere lies outside the brain"


def grid_if_readable(
    path: Path | None, *, modality: Modality, geometry: GeometrySettings
) -> dict[Modality, Grid]:
    """Return an image's grid by its modality; nothing where there is none, or it is refused elsewhere."""
    if path is None:
        return {}
    try:
        return {modality: load_scan(path, modality=modality, geometry=geometry).grid}
    except InfarctVolError:
        return {}


def masks_without_image(
    folder: Path | None, participant: Participant, *, session_id: str, measured: Iterable[Modality]
) -> tuple[str, ...]:
    """Return the masks of a session that name an image nothing is measured on, as the records name them."""
    if folder is None:
        return ()
    images = (None, *measured)
    found = find_masks(folder, participant, session_id=session_id)
    return tuple(mask_name(path, folder) for path in found if _named_image(path, folder) not in images)


@dataclass(frozen=True, eq=False)
class Edit:
    """A mask made elsewhere that counts, and the automatic one it is compared with, if there is one."""

    external: ExternalMask
    automatic: LesionMask | None

    @property
    def differs(self) -> bool:
        """Whether anything was changed against the automatic mask."""
        return self.automatic is not None and not np.array_equal(self.automatic.data, self.external.mask.data)

    @property
    def difference_ml(self) -> float | None:
        """Volume of the external less that of the automatic mask, in mL."""
        return None if self.automatic is None else self.external.mask.volume_ml - self.automatic.volume_ml

    @property
    def overlap(self) -> float | None:
        """Dice of both masks."""
        return None if self.automatic is None else dice(self.automatic, self.external.mask)

    def facts(self) -> dict[str, object]:
        """Return what the sidecar of the result says of it."""
        return {
            "External": self.external.facts(),
            "AutomaticVolumeML": None if self.automatic is None else self.automatic.volume_ml,
            "EditDifferenceML": self.difference_ml,
            "EditDice": self.overlap,
        }

"""The image files of one session of a BIDS dataset: what each is, and what is passed over.

Nothing that lies in a session is passed over without a word: an image, table or sidecar that is not used is
listed with the reason, and an image that can only be meant for a measurement is a problem of its kind.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from infarct_vol.files import is_nifti_name
from infarct_vol.images import MODALITY_LABELS, Modality
from infarct_vol.settings import ImageSettings
from infarct_vol.study.choice import Candidate, SessionFiles, choose_images
from infarct_vol.study.inherited import SIDECARS, Inherited
from infarct_vol.study.names import BidsName, bids_name
from infarct_vol.study.places import Owner

_OTHER_FORMATS = {
    ".hdr": "a pair of .hdr and .img",
    ".img": "a pair of .hdr and .img",
    ".mgz": "FreeSurfer's format",
    ".mgh": "FreeSurfer's format",
    ".nrrd": "NRRD",
    ".nhdr": "NRRD",
    ".mha": "MetaImage",
    ".mhd": "MetaImage",
    ".mnc": "MINC",
    ".par": "Philips PAR/REC",
    ".nii.gz.part": "an unfinished download",
}
_DICOM = (".dcm", ".ima")
_TABLES = (".tsv", ".csv", ".tsv.gz", ".xlsx", ".xls", ".ods")
_READ_TABLES = ("_scans.tsv", "_sessions.tsv")
_MEASURED: tuple[Modality, ...] = ("dwi", "adc", "b0", "flair")
_MASKS = frozenset({"mask", "msk", "dseg", "probseg", "seg", "roi", "label", "lesion-msk", "lesion"})
_OF_NO_IMAGE = frozenset({"sbref", "epi", *_MASKS})
"""Suffixes of files that go with an image, whatever their other words say."""
OTHER_IMAGES = (*_OTHER_FORMATS, *_DICOM)
"""Ends of the names of images that are no NIfTI files."""


def visible_files(folder: Path) -> Iterator[Path]:
    """Yield the files below a folder by name; hidden ones, such as ``._`` of macOS, do not count."""
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        links = [name for name in folders if Path(place, name).is_symlink()]
        yield from (Path(place, name) for name in sorted([*names, *links]) if not name.startswith("."))


def session_files(
    paths: Iterable[Path],
    *,
    owner: Owner,
    inherited: Inherited,
    settings: ImageSettings,
    times: Mapping[str, str] | None = None,
) -> SessionFiles:
    """Sort the files of a session.

    Parameters
    ----------
    paths
        Every visible file of the session.
    owner
        Whose files they are.
    inherited
        Sidecars and b-values that hold for several images.
    settings
        Which image is meant where there are several.
    times
        Acquisition time of an image by its file name, where a table of scans states it.
    """
    paths = list(paths)
    found = SessionFiles()
    candidates: dict[Modality, list[Candidate]] = defaultdict(list)
    for path in paths:
        if is_nifti_name(path):
            _take(path, candidates, found, owner=owner, inherited=inherited)
    choose_images(candidates, found, owner=owner, settings=settings, times=times or {})
    _note_others(paths, found, owner=owner, inherited=inherited)
    for modality in found.files:
        found.problems.pop(modality, None)
    return found


def _take(
    path: Path,
    candidates: dict[Modality, list[Candidate]],
    found: SessionFiles,
    *,
    owner: Owner,
    inherited: Inherited,
) -> None:
    """Put an image among the candidates of its kind, or say why it is none."""
    name = bids_name(path)
    modality = name.modality
    reason = owner.contradiction(path, name) or owner.odd_link(path) or owner.odd_folder(path)
    if modality is None and not reason:
        reason, meant = _unknown_suffix(name)
        _pass_over(path, reason, found, owner=owner, problem=meant)
    elif reason:
        meant = modality or _meant(name)
        _pass_over(path, reason, found, owner=owner, problem=meant)
    elif modality is not None and (doubt := inherited.doubt(path)):
        _pass_over(path, doubt, found, owner=owner, problem=modality)
    elif modality is not None:
        scan = inherited.scan_file(modality, path)
        candidates[modality].append(Candidate(scan, name, is_empty=path.stat().st_size == 0))


def _meant(name: BidsName) -> Modality | None:
    return None if name.suffix.lower() in _OF_NO_IMAGE else name.looks_like


def _unknown_suffix(name: BidsName) -> tuple[str, Modality | None]:
    """Say why an image of no kind is not used, and which kind it may be meant for."""
    looks, suffix = _meant(name), name.suffix
    if suffix.lower() in _MASKS:
        return "a mask; give those that count with --masks", None
    if name.entities.get("part", "mag").lower() not in ("mag", "magnitude"):
        return f"part-{name.entities['part']} is no magnitude image", looks
    if looks not in _MEASURED:
        return f"nothing is measured on an image with suffix '{suffix}'", None
    if suffix.lower() == "dwi":
        return "its name says a map that is not measured, or two kinds of image at once", looks
    label = MODALITY_LABELS[looks]
    return f"its suffix '{suffix}' is none of BIDS; if it is the {label}, rename it to end so", looks


def _pass_over(
    path: Path, reason: str, found: SessionFiles, *, owner: Owner, problem: Modality | None = None
) -> None:
    found.pass_over(owner.relative(path), reason)
    if problem in _MEASURED:
        found.problems.setdefault(problem, f"{path.name}: {reason}")


def _note_others(paths: Iterable[Path], found: SessionFiles, *, owner: Owner, inherited: Inherited) -> None:
    """Say what the files are that are no NIfTI images, where they may have been meant for something."""
    paths = list(paths)
    stems = {bids_name(path).stem.casefold() for path in paths if is_nifti_name(path)}
    names = {path.name.casefold() for path in paths}
    dicom: dict[Path, list[Path]] = defaultdict(list)
    for path in paths:
        lower = path.name.lower()
        kind = next((text for end, text in _OTHER_FORMATS.items() if lower.endswith(end)), "")
        if is_nifti_name(path) or (lower.endswith(".hdr") and lower[:-4] + ".img" in names):
            continue  # a pair is named once, by its .img
        if _is_dicom(path):
            dicom[path.parent].append(path)
        elif kind or ".nii" in lower:
            other = f"{kind}; save it as one .nii.gz file" if kind else _ODD_ENDING
            name = bids_name(path.with_name(path.name.split(".")[0]))
            _pass_over(path, other, found, owner=owner, problem=name.modality or name.looks_like)
        elif lower.endswith(SIDECARS):
            if bids_name(path).stem.casefold() not in stems and inherited.holds_for_none(path):
                _pass_over(path, "it holds for no image", found, owner=owner)
        elif lower.endswith(_TABLES) and not lower.endswith(_READ_TABLES):
            _pass_over(path, "a table that is not read", found, owner=owner)
        elif path.is_dir():
            _pass_over(path, "a link to a folder, which is not followed; copy it in", found, owner=owner)
    _note_dicom(dicom, found, owner=owner)


_ODD_ENDING = "not a name of a NIfTI file; rename it to end in .nii or .nii.gz"


def _note_dicom(dicom: Mapping[Path, list[Path]], found: SessionFiles, *, owner: Owner) -> None:
    """Name a folder of DICOM files once; what it holds may be any of the images that are missing."""
    for folder, files in sorted(dicom.items()):
        reason = f"{len(files)} DICOM files; convert them to .nii.gz with their sidecars (dcm2niix)"
        found.pass_over(owner.relative(folder), reason)
        for modality in ("dwi", "flair"):
            if modality not in {*found.files, *found.problems}:
                found.problems.setdefault(modality, f"{folder.name}: {reason}")


def _is_dicom(path: Path) -> bool:
    """Tell whether a file is DICOM by its name, or one without an extension by its first bytes."""
    if path.suffix.lower() in _DICOM:
        return True
    if path.suffix and not path.suffix[1:].isdigit():
        return False
    try:
        with path.open("rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:
        return False

"""The image files of one session of a BIDS dataset: what each is, which is taken, and what is passed over.

Nothing that lies in a session is passed over without a word: an image, table or sidecar that is not used is
listed with the reason, and an image that can only be meant for a measurement is a problem of its kind.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from infarct_vol.images import MODALITY_LABELS, Modality
from infarct_vol.settings import ImageSettings
from infarct_vol.study.inherited import Inherited
from infarct_vol.study.model import PassedOver, ScanFile
from infarct_vol.study.names import BidsName, bids_name

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
    ".dcm": "DICOM",
    ".ima": "DICOM",
    ".nii.gz.part": "an unfinished download",
}
_SIDECARS = (".json", ".bval", ".bvec")
_NIFTI = (".nii", ".nii.gz")
_MEASURED: tuple[Modality, ...] = ("dwi", "adc", "b0", "flair")


@dataclass
class SessionFiles:
    """What a session holds: files taken by kind, kinds that cannot be used and why, remarks, and the rest."""

    files: dict[Modality, ScanFile] = field(default_factory=dict)
    problems: dict[Modality, str] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    passed_over: list[PassedOver] = field(default_factory=list)


@dataclass(frozen=True)
class _Candidate:
    scan: ScanFile
    name: BidsName

    @property
    def run(self) -> int:
        text = self.name.entities.get("run", "")
        return int(text) if text.isascii() and text.isdigit() else 0


def visible_files(folder: Path) -> Iterator[Path]:
    """Yield the files below a folder by name; hidden ones, such as ``._`` of macOS, do not count."""
    for path in sorted(folder.rglob("*")):
        if any(part.startswith(".") for part in path.relative_to(folder).parts):
            continue
        if path.is_symlink() or path.is_file():
            yield path


def session_files(
    paths: Iterable[Path],
    *,
    root: Path,
    owner: Mapping[str, str],
    inherited: Inherited,
    settings: ImageSettings,
) -> SessionFiles:
    """Sort the files of a session.

    Parameters
    ----------
    paths
        Every visible file of the session.
    root
        Study folder.
    owner
        Entities a file must have where it states them: ``sub``, and ``ses`` where there is one.
    inherited
        Sidecars and b-values that hold for several images.
    settings
        Which image is meant where there are several.
    """
    paths = list(paths)
    found = SessionFiles()
    candidates: dict[Modality, list[_Candidate]] = defaultdict(list)
    for path in paths:
        if path.name.lower().endswith(_NIFTI):
            _take(path, candidates, found, root=root, owner=owner, inherited=inherited)
        else:
            _note_other(path, paths, found, root=root)
    for modality in sorted(candidates):
        _choose(modality, candidates[modality], found, root=root, settings=settings)
    for modality in found.files:
        found.problems.pop(modality, None)
    return found


def _take(
    path: Path,
    candidates: dict[Modality, list[_Candidate]],
    found: SessionFiles,
    *,
    root: Path,
    owner: Mapping[str, str],
    inherited: Inherited,
) -> None:
    """Put an image among the candidates of its kind, or say why it is none."""
    name = bids_name(path)
    strange = [f"{k}-{name.entities[k]}" for k, v in owner.items() if name.entities.get(k, v) != v]
    modality = name.modality
    if strange:
        reason = f"its name says {strange[0]}, its folder {_of(owner)}; it is never used: put it in its place"
        _pass_over(path, reason, found, root=root, problem=modality)
    elif path.is_symlink() and not path.exists():
        reason = "a link to a file that is not there; fetch it (git annex get, datalad get)"
        _pass_over(path, reason, found, root=root, problem=modality)
    elif not path.resolve().is_relative_to(root.resolve()):
        reason = "a link to outside the study folder; copy the file in"
        _pass_over(path, reason, found, root=root, problem=modality)
    elif modality is None:
        looks = name.looks_like
        if looks in _MEASURED and name.suffix.lower() not in SUFFIXES_OF_NO_IMAGE:
            label = MODALITY_LABELS[looks]
            reason = f"its suffix '{name.suffix}' is none of BIDS; if it is the {label}, rename it to end so"
            _pass_over(path, reason, found, root=root, problem=looks)
        else:
            _pass_over(path, f"nothing is measured on an image with suffix '{name.suffix}'", found, root=root)
    else:
        candidates[modality].append(_Candidate(inherited.scan_file(modality, path), name))


SUFFIXES_OF_NO_IMAGE = frozenset({"sbref", "mask", "dseg", "probseg", "epi", "msk", "seg", "roi", "label"})
"""Suffixes of files that go with an image, whatever their other words say."""


def _of(owner: Mapping[str, str]) -> str:
    return " ".join(f"{key}-{value}" for key, value in owner.items())


def _pass_over(
    path: Path, reason: str, found: SessionFiles, *, root: Path, problem: Modality | None = None
) -> None:
    found.passed_over.append(PassedOver(path.relative_to(root).as_posix(), reason))
    if problem in _MEASURED:
        found.problems.setdefault(problem, f"{path.name}: {reason}")


def _note_other(path: Path, paths: list[Path], found: SessionFiles, *, root: Path) -> None:
    """Say what a file that is no NIfTI image is, where it may have been meant for one."""
    lower = path.name.lower()
    kind = next((text for end, text in _OTHER_FORMATS.items() if lower.endswith(end)), "")
    if kind:
        if lower.endswith(".hdr") and any(p.name.lower() == lower[:-4] + ".img" for p in paths):
            return  # named once, by its .img
        name = bids_name(path.with_name(path.name.split(".")[0]))
        reason = f"{kind}; save it as one .nii.gz file"
        _pass_over(path, reason, found, root=root, problem=name.modality or name.looks_like)
    elif ".nii" in lower:
        name = bids_name(path.with_name(path.name.split(".")[0]))
        reason = "not a name of a NIfTI file; rename it to end in .nii or .nii.gz"
        _pass_over(path, reason, found, root=root, problem=name.modality or name.looks_like)
    elif lower.endswith(_SIDECARS):
        stem = bids_name(path).stem.lower()
        stems = {bids_name(p).stem.lower() for p in paths if p.name.lower().endswith(_NIFTI)}
        if stem not in stems and not any(_applies(path, p) for p in paths if p.name.lower().endswith(_NIFTI)):
            _pass_over(path, "no image of its name lies beside it", found, root=root)
    elif lower.endswith(".tsv") and not lower.endswith(("_scans.tsv", "_sessions.tsv")):
        _pass_over(path, "a table that is not read", found, root=root)


def _applies(sidecar: Path, image: Path) -> bool:
    """Tell whether a sidecar holds for an image by the inheritance principle."""
    general, own = bids_name(sidecar), bids_name(image)
    inside = sidecar.parent in image.parents
    return (
        inside
        and general.suffix.lower() == own.suffix.lower()
        and general.entities.items() <= own.entities.items()
    )


def _choose(
    modality: Modality,
    candidates: list[_Candidate],
    found: SessionFiles,
    *,
    root: Path,
    settings: ImageSettings,
) -> None:
    """Take the one image of a kind that is meant, or say that it cannot be told."""
    label, rule = MODALITY_LABELS[modality], settings.filters(modality)
    kept = [c for c in candidates if all(c.name.entities.get(k) == v for k, v in rule.items())]
    if rule and not kept:
        wanted = ", ".join(f"{key}-{value}" for key, value in rule.items())
        names = ", ".join(c.scan.path.name for c in candidates)
        found.problems[modality] = f"no {label} with {wanted}, as the protocol asks; found {names}"
        return
    if modality == "dwi" and any(c.scan.bval is None for c in kept):
        # a scanner-made trace image is preferred to the series it was made from
        kept = [c for c in kept if c.scan.bval is None]
    highest = [c for c in kept if c.run == max(k.run for k in kept)]
    if len(highest) > 1 or not _differ_in_run_only(kept):
        names = ", ".join(c.scan.path.name for c in kept)
        found.problems[modality] = (
            f"{_count(len(kept))} {label} images ({names}); leave one, or say in the protocol which is "
            f"meant, such as [images] {modality} = {{ acq = '...' }}"
        )
        return
    chosen = highest[0]
    found.files[modality] = chosen.scan
    for other in candidates:
        if other is chosen:
            continue
        reason = f"{chosen.scan.path.name} is the {label} that is used"
        found.passed_over.append(PassedOver(other.scan.path.relative_to(root).as_posix(), reason))
    if len(kept) > 1:
        found.remarks.append(f"{label}: {chosen.scan.path.name} was taken, the highest run of {len(kept)}")
    elif rule and len(candidates) > 1:
        found.remarks.append(f"{label}: {chosen.scan.path.name} was taken, as the protocol's [images] says")


def _count(number: int) -> str:
    return {2: "two", 3: "three"}.get(number, str(number))


def _differ_in_run_only(candidates: list[_Candidate]) -> bool:
    def without_run(candidate: _Candidate) -> tuple[object, ...]:
        rest = {key: value for key, value in candidate.name.entities.items() if key != "run"}
        return tuple(sorted(rest.items())), candidate.name.suffix

    return len({without_run(c) for c in candidates}) == 1

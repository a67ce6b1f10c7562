"""A study as it lies on disk: participants, their sessions, and the image files of each session."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from infarct_vol.errors import StudyError
from infarct_vol.files import nifti_stem
from infarct_vol.images import Identity, Modality


@dataclass(frozen=True)
class ScanFile:
    """One image file of a session; a diffusion series has its ``.bval`` (and ``.bvec``) with it."""

    modality: Modality
    path: Path
    bval: Path | None = None
    bvec: Path | None = None
    sidecars: tuple[Path, ...] = ()
    """JSON files that hold for the image, the nearest last."""

    @property
    def all_paths(self) -> tuple[Path, ...]:
        """Every file that bears on this image, the sidecars included."""
        return (self.path, *self.sidecars, *(p for p in (self.bval, self.bvec) if p is not None))


@dataclass(frozen=True)
class PassedOver:
    """A file below a participant that is not used: its path relative to the study, and why."""

    path: str
    reason: str


@dataclass(frozen=True)
class Session:
    """The files of one scanning session.

    ``bvalue`` (s/mm2), ``adc_unit`` and ``mask`` are what a manifest states; ``problem`` says why the
    session cannot be used as it lies on disk, ``problems`` why one kind of image cannot, ``remarks`` what a
    reader should know of it.
    """

    session_id: str
    acq_time: str | None = None
    files: Mapping[Modality, ScanFile] = field(default_factory=dict)
    bvalue: float | None = None
    adc_unit: str | None = None
    mask: Path | None = None
    problem: str = ""
    remarks: tuple[str, ...] = ()
    problems: Mapping[Modality, str] = field(default_factory=dict)
    comes_after: str = ""
    """Session that comes before one of this label, in a participant of the study who has both."""

    is_expected: bool = False
    """Whether a table names the session, and nothing of it is there."""

    @property
    def has_images(self) -> bool:
        """Whether anything lies here that a volume may be measured on, usable or not."""
        return bool({"dwi", "flair"} & {*self.files, *self.problems}) or bool(self.problem)


@dataclass(frozen=True)
class Participant:
    """One participant: identity as written by the study, and the sessions found."""

    participant_id: str
    first_dose_time: str | None = None
    onset_time: str | None = None
    site: str | None = None
    age: str | None = None
    sex: str | None = None
    sessions: tuple[Session, ...] = ()
    passed_over: tuple[PassedOver, ...] = ()

    @property
    def label(self) -> str:
        """BIDS label with its key, such as ``sub-01007`` for the id ``01-007``."""
        return "sub-" + re.sub(r"[._-]", "", self.participant_id.removeprefix("sub-"))

    def identity(self, session: Session, modality: Modality) -> Identity:
        """Return who an image of this session belongs to."""
        return Identity(participant_id=self.participant_id, session_id=session.session_id, modality=modality)


@dataclass(frozen=True)
class Study:
    """A study on disk; ``root`` is the folder every recorded path is relative to."""

    root: Path
    participants: tuple[Participant, ...]
    passed_over: tuple[PassedOver, ...] = ()
    """Files outside every participant's folder that are not read."""

    def select(self, labels: Iterable[str]) -> Study:
        """Keep the participants named, with or without ``sub-``.

        Raises
        ------
        StudyError
            If a label names nobody.
        """
        wanted = {"sub-" + re.sub(r"[._-]", "", label.removeprefix("sub-")) for label in labels}
        unknown = wanted - {p.label for p in self.participants}
        if unknown:
            msg = f"no participant {', '.join(sorted(unknown))} in {self.root}"
            raise StudyError(msg)
        return Study(self.root, tuple(p for p in self.participants if p.label in wanted), self.passed_over)


def scan_file(modality: Modality, path: Path) -> ScanFile:
    """Return an image with the sidecar, the ``.bval`` and the ``.bvec`` that lie beside it."""
    stem = nifti_stem(path)
    bval, bvec = path.with_name(stem + ".bval"), path.with_name(stem + ".bvec")
    sidecar = path.with_name(stem + ".json")
    return ScanFile(
        modality=modality,
        path=path,
        bval=bval if bval.is_file() else None,
        bvec=bvec if bvec.is_file() else None,
        sidecars=(sidecar,) if sidecar.is_file() else (),
    )

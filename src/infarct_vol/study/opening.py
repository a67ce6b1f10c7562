"""Open a study, whatever form it lies in."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from infarct_vol.errors import StudyError
from infarct_vol.settings import ImageSettings
from infarct_vol.study.bids import study_from_bids
from infarct_vol.study.copies import with_copies_named
from infarct_vol.study.manifest import study_from_manifest
from infarct_vol.study.model import Participant, Study


def open_study(path: Path | str, *, images: ImageSettings | None = None) -> Study:
    """Find the participants, sessions and images of a BIDS dataset or a manifest (CSV).

    Parameters
    ----------
    path
        Folder of a BIDS dataset, or a manifest.
    images
        Which image is meant where a session holds several of one kind: section ``images`` of the protocol.

    Raises
    ------
    StudyError
        If the path is neither, holds no participants, or names two participants alike.
    """
    path = Path(path)
    if path.is_file():
        study = study_from_manifest(path)
    elif path.is_dir():
        study = study_from_bids(path, images=images or ImageSettings())
    else:
        msg = f"no study at {path}; expected a BIDS folder or a manifest (CSV)"
        raise StudyError(msg)
    if not study.participants:
        inside = sorted({folder.parent.name for folder in path.glob("*/sub-*") if folder.is_dir()})
        hint = f"; there are some in {', '.join(inside)}: give that folder" if inside else ""
        msg = f"no participants in {path}; expected folders sub-<label>, or a manifest with rows{hint}"
        raise StudyError(msg)
    _require_distinct(study.participants)
    return with_copies_named(study)


def _require_distinct(participants: Iterable[Participant]) -> None:
    seen: dict[str, str] = {}
    for participant in participants:
        key = participant.label.casefold()
        if key in seen:
            msg = (
                f"participants {seen[key]!r} and {participant.participant_id!r} cannot be told apart in file "
                "names; rename one"
            )
            raise StudyError(msg)
        seen[key] = participant.participant_id

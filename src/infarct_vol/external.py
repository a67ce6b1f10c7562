"""Masks made elsewhere - by a reader or a network - on their way through the same measuring."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from infarct_vol.errors import GridMismatchError
from infarct_vol.images import LesionMask, Scan
from infarct_vol.nifti import load_mask
from infarct_vol.study import Participant


def find_masks(folder: Path, participant: Participant, *, session_id: str | None = None) -> tuple[Path, ...]:
    """Return the mask files of a participant: ``**/<sub>_<ses>*mask.nii[.gz]``."""
    sessions = [session_id] if session_id else [s.session_id for s in participant.sessions]
    wanted = [
        re.compile(rf"{re.escape(participant.label)}_{re.escape(s)}_.*mask\.nii(\.gz)?") for s in sessions
    ]
    files = sorted([*folder.rglob("*mask.nii.gz"), *folder.rglob("*mask.nii")])
    return tuple(path for path in files if any(pattern.fullmatch(path.name) for pattern in wanted))


def external_mask(
    folder: Path | None, participant: Participant, scan: Scan, *, stated: Path | None = None
) -> LesionMask | None:
    """Return the mask made elsewhere for one image, or ``None`` where there is none.

    Parameters
    ----------
    folder
        Folder of masks named as BIDS derivatives; ``None`` when none was given.
    scan
        The image; a mask belongs to it when both share one voxel grid.
    stated
        The mask a manifest names for this session; it must fit.

    Raises
    ------
    GridMismatchError
        If a mask is stated for this image and lies on another grid.
    """
    identity = scan.identity
    candidates = [stated] if stated else []
    if folder is not None:
        candidates += find_masks(folder, participant, session_id=identity.session_id)
    for path in candidates:
        mask = load_mask(path, identity=identity)
        if mask.grid.is_same_as(scan.grid):
            return replace(mask, identity=identity, method=f"external:{path.name}")
        if path == stated:
            msg = (
                f"mask {path.name} has {mask.grid.describe()}, its image has {scan.grid.describe()}; "
                "save the mask on the grid of the image"
            )
            raise GridMismatchError(msg, where=str(identity))
    return None

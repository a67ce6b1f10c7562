"""Trials of tiny images whose masks are brought along: every volume is a number of voxels known by heart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from zlib import crc32

import numpy as np

from infarct_vol.geometry import Grid
from infarct_vol.images import LesionMask
from infarct_vol.nifti import save_array, save_mask

SHAPE = (20, 20, 6)
GRID = Grid(SHAPE, np.diag([2.0, 2.0, 5.0, 1.0]))
VOXEL_ML = 0.02
"""2 x 2 x 5 mm3."""


@dataclass(frozen=True)
class ToySession:
    """One session: its label, date, and the voxels of its mask; None brings no mask, and a damaged image."""

    label: str
    acq_time: str
    voxels: int | None


@dataclass(frozen=True)
class ToyParticipant:
    """One participant of a toy trial."""

    sessions: tuple[ToySession, ...]
    first_dose_time: str = "2026-03-01T12:00:00"
    facts: Mapping[str, str] = field(default_factory=dict)


def write_toy_trial(root: Path, participants: Mapping[str, ToyParticipant]) -> tuple[Path, Path]:
    """Write a BIDS study and a folder of masks; return both."""
    study, masks = root / "study", root / "masks"
    study.mkdir(parents=True)
    masks.mkdir()
    lines = ["participant_id\tfirst_dose_time\tage\tsex\tsite"]
    for number, (name, one) in enumerate(participants.items()):
        lines.append(f"{name}\t{one.first_dose_time}\t{60 + number}\t{'FM'[number % 2]}\tsite {number % 3}")
        folder = study / name
        folder.mkdir()
        times = "".join(f"ses-{s.label}\t{s.acq_time}\n" for s in one.sessions)
        (folder / f"{name}_sessions.tsv").write_text("session_id\tacq_time\n" + times)
        for session in one.sessions:
            _write_session(folder, masks, name, session)
    (study / "participants.tsv").write_text("\n".join(lines) + "\n")
    return study, masks


def _write_session(folder: Path, masks: Path, name: str, session: ToySession) -> None:
    stem = f"{name}_ses-{session.label}"
    images = {"anat": f"{stem}_FLAIR.nii.gz"}
    if session.label.startswith("BL"):
        images["dwi"] = f"{stem}_trace.nii.gz"
    for modality, file in images.items():
        path = folder / f"ses-{session.label}" / modality / file
        if session.voxels is None:
            path.parent.mkdir(parents=True)
            path.write_bytes(b"\x1f\x8bdamaged")
            continue
        data = np.random.default_rng(crc32(path.name.encode())).normal(100, 5, SHAPE)
        save_array(data, GRID, path, dtype="float32")
        lesion = np.zeros(SHAPE, dtype=bool)
        lesion.ravel()[: session.voxels] = True
        kind = "dwi" if modality == "dwi" else "FLAIR"
        save_mask(LesionMask(lesion, GRID), masks / f"{stem}_{kind}_mask.nii.gz")

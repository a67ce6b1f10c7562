"""A run of a tiny trial for a reader's desk: masks are known to the voxel."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from toy_trials import ToyParticipant, ToySession, write_toy_trial

from infarct_vol import trial
from infarct_vol.protocol import Protocol
from infarct_vol.trial import run_study

TIMES = {"BL": "2026-03-01T09:00:00", "M01": "2026-03-31", "M03": "2026-05-30"}
VOXELS = {"BL": 100, "M01": 60, "M03": 50}


def run_toy(root: Path, *, participants: int = 2, protocol: Protocol | None = None) -> Path:
    """Run a trial of some participants with three visits each; return the output folder."""
    people = {
        f"sub-{n:03d}": ToyParticipant(tuple(ToySession(v, TIMES[v], VOXELS[v] + n) for v in TIMES))
        for n in range(1, participants + 1)
    }
    study, masks = write_toy_trial(root, people)
    patch = pytest.MonkeyPatch()
    patch.setattr(trial, "render_participant", lambda *_, **__: None)
    try:
        run_study(study, root / "out", protocol=protocol or Protocol(), masks=masks)
    finally:
        patch.undo()
    return root / "out"


def item_of(case: dict, name: str) -> dict:
    """Return an item of a case by its name on the page, a registration too."""
    for visit in case["visits"]:
        for item in [*visit["items"], visit["registration"]]:
            if item is not None and item["item"] == name:
                return item
    raise KeyError(name)


def shown_voxels(content: bytes) -> np.ndarray:
    """Return the voxels of uncompressed uint8 NIfTI bytes, (I, J, K)."""
    shape = np.frombuffer(content[42:48], dtype="<i2")
    return np.frombuffer(content[352:], dtype=np.uint8).reshape(shape, order="F").copy()

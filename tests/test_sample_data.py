"""The embedded sample trial: small, described, and what the generator makes of its seed."""

from __future__ import annotations

import csv
import gzip
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from infarct_vol.sample import sample_trial, sample_truth
from infarct_vol.simulation.scenarios import plan_participant
from infarct_vol.simulation.trial import simulate_participant

SEED = 20
"""As stated in ``sample_data/README.md``."""
VOXELS_FROM = 352
"""Byte of an unpacked NIfTI file at which its voxels begin."""
README = Path(__file__).parents[1] / "sample_data" / "README.md"


def stored(path: Path) -> Any:
    """Return the voxels as they are in the file, unscaled."""
    return np.asarray(nib.Nifti1Image.from_filename(path).dataobj.get_unscaled(), dtype=np.int64)


def truth() -> list[dict[str, str]]:
    with sample_truth().open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_sample_is_small_enough_for_git() -> None:
    size = sum(path.stat().st_size for path in sample_trial().rglob("*") if path.is_file())
    assert size <= 15e6


def test_the_readme_states_the_true_volume_of_every_visit() -> None:
    lines = README.read_text().splitlines()
    table = [line.strip("|").split("|") for line in lines if line.startswith("|")]
    stated = {tuple(cell.strip() for cell in cells)[:5] for cells in table}
    for row in truth():
        if row["parameter"] != "infarct" or row["modality"] != "flair":
            continue
        by_parameter = {
            r["parameter"]: f"{float(r['volume_ml']):.2f}"
            for r in truth()
            if (r["participant_id"], r["session_id"], r["modality"])
            == (row["participant_id"], row["session_id"], "flair")
        }
        expected = (
            row["participant_id"],
            row["visit"],
            by_parameter["infarct"],
            by_parameter["cavity"],
            by_parameter["new_lesion"],
        )
        assert expected in stated


def test_the_sample_is_what_the_generator_makes_of_its_seed(tmp_path: Path) -> None:
    if not README.is_file():
        pytest.skip("the README of the sample is in the source tree only")
    simulate_participant(tmp_path, plan_participant(1, participants=4, seed=SEED, compact=True))
    made = sorted(path for path in tmp_path.rglob("*") if path.is_file())
    assert any(path.name.endswith("FLAIR.nii.gz") for path in made)
    for path in made:
        kept = sample_trial() / path.relative_to(tmp_path)
        if path.name.endswith(".nii.gz"):
            # processors round the last bit of a function each in its own way: one stored step, rarely
            new, old = (gzip.decompress(file.read_bytes()) for file in (path, kept))
            assert new[:VOXELS_FROM] == old[:VOXELS_FROM], path.name
            steps = np.abs(stored(path) - stored(kept))
            assert steps.max() <= 1, path.name
            assert np.count_nonzero(steps) <= 1e-4 * steps.size, path.name
        else:
            assert path.read_bytes() == kept.read_bytes(), path.name

"""The embedded sample trial: four digital participants whose true volumes are known."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from infarct_vol.errors import StudyError


def sample_trial() -> Path:
    """Return the folder of the sample trial, a BIDS dataset.

    Raises
    ------
    StudyError
        If the package was installed without its sample data.
    """
    folder = Path(str(files("infarct_vol_sample_data"))) / "trial"
    if not folder.is_dir():
        msg = f"the sample trial is not at {folder}; install the package again"
        raise StudyError(msg)
    return folder


def sample_truth() -> Path:
    """Return the table of true volumes of the sample trial."""
    return sample_trial() / "derivatives" / "truth" / "truth.csv"

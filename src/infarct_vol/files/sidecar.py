"""The JSON sidecar beside an image file."""

from __future__ import annotations

import json
from pathlib import Path

from infarct_vol.errors import HeaderError


def nifti_stem(path: Path) -> str:
    """Return a NIfTI file's name without ``.nii`` or ``.nii.gz``."""
    return path.name.removesuffix(".gz").removesuffix(".nii")


def read_sidecar(path: Path) -> dict[str, object]:
    """Return the JSON object beside a NIfTI file, or an empty one where there is none.

    Raises
    ------
    HeaderError
        If the sidecar is not a JSON object.
    """
    sidecar = path.with_name(nifti_stem(path) + ".json")
    if not sidecar.is_file():
        return {}
    try:
        value = json.loads(sidecar.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError, OSError) as error:
        # ValueError covers JSON, encoding and numbers of absurd length; RecursionError absurd nesting
        msg = f"sidecar {sidecar.name} is not readable JSON: {error}"
        raise HeaderError(msg) from None
    if not isinstance(value, dict):
        msg = f"sidecar {sidecar.name} holds a {type(value).__name__} where a JSON object is expected"
        raise HeaderError(msg)
    return value

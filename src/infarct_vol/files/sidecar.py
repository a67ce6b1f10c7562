"""The JSON sidecar beside an image file."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

from infarct_vol.errors import HeaderError
from infarct_vol.files.plain_text import decoded_text


def nifti_stem(path: Path) -> str:
    """Return a NIfTI file's name without ``.nii`` or ``.nii.gz``."""
    return path.name.removesuffix(".gz").removesuffix(".nii")


def read_sidecar(path: Path) -> dict[str, object]:
    """Return the JSON object beside a NIfTI file, or an empty one where there is none.

    Raises
    ------
    HeaderError
        If the sidecar is not a JSON object, states a field twice with two values, or a number that is none.
    """
    sidecar = path.with_name(nifti_stem(path) + ".json")
    if not sidecar.is_file():
        return {}
    try:
        value = strict_json(decoded_text(sidecar.read_bytes()))
    except (ValueError, RecursionError, OSError) as error:
        # ValueError covers JSON, encoding and numbers of absurd length; RecursionError absurd nesting
        msg = f"sidecar {sidecar.name} is not readable JSON: {error}"
        raise HeaderError(msg) from None
    if not isinstance(value, dict):
        msg = f"sidecar {sidecar.name} holds a {type(value).__name__} where a JSON object is expected"
        raise HeaderError(msg)
    return value


def strict_json(text: str) -> object:
    """Return what a JSON document holds; Python alone would take the last of two fields, and ``NaN``.

    Raises
    ------
    ValueError
        If it is no JSON, has one field with two values, or a number that is not finite.
    """
    return json.loads(
        text, object_pairs_hook=_distinct, parse_constant=_no_constant, parse_float=_finite_number
    )


def _distinct(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    found: dict[str, object] = {}
    for name, value in pairs:
        if name in found and found[name] != value:
            msg = f"the field '{name}' stands there twice, as {found[name]!r} and {value!r}; leave one"
            raise ValueError(msg)
        found[name] = value
    return found


def _no_constant(text: str) -> object:
    msg = f"{text} is no number of JSON; write the number, or leave the field out"
    raise ValueError(msg)


def _finite_number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        _no_constant(text)
    return value

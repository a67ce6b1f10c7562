"""The JSON sidecar beside an image file."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

from infarct_vol.errors import HeaderError
from infarct_vol.files.plain_text import decoded_text


def nifti_stem(path: Path) -> str:
    """Return a NIfTI file's name without ``.nii`` or ``.nii.gz``, in whatever case they are written."""
    name = path.name[:-3] if path.name.lower().endswith(".nii.gz") else path.name
    return name[:-4] if name.lower().endswith(".nii") else name


def is_nifti_name(path: Path) -> bool:
    """Tell whether a file is named ``.nii`` or ``.nii.gz``, in any case."""
    return path.name.lower().endswith((".nii", ".nii.gz"))


def read_sidecar(path: Path, sidecars: Sequence[Path] | None = None) -> dict[str, object]:
    """Return the fields of the JSON beside a NIfTI file, or of those that hold for it; empty without one.

    Parameters
    ----------
    path
        The image.
    sidecars
        JSON files that hold for it, the nearest last, whose fields win; default: the one of its name.

    Raises
    ------
    HeaderError
        If a sidecar is not a JSON object, states a field twice with two values, or a number that is none.
    """
    if sidecars is None:
        beside = path.with_name(nifti_stem(path) + ".json")
        sidecars = (beside,) if beside.is_file() else ()
    fields: dict[str, object] = {}
    for sidecar in sidecars:
        fields |= _json_object(sidecar)
    return fields


def _json_object(sidecar: Path) -> dict[str, object]:
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

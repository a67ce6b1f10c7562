"""The JSON sidecar beside an image file, and the numbers in it."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path

from infarct_vol.errors import HeaderError
from infarct_vol.files.encoding import text_of_bytes

_NUMBER = re.compile(r"(?P<number>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*(?P<unit>.*)", re.ASCII)
_ABSENT = ("", "n/a")


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
        value = json.loads(text_of_bytes(sidecar.read_bytes()))
    except (ValueError, RecursionError, OSError) as error:
        # ValueError covers JSON, encoding and numbers of absurd length; RecursionError absurd nesting
        msg = f"sidecar {sidecar.name} is not readable JSON: {error}"
        raise HeaderError(msg) from None
    if not isinstance(value, dict):
        msg = f"sidecar {sidecar.name} holds a {type(value).__name__} where a JSON object is expected"
        raise HeaderError(msg)
    return value


def sidecar_number(
    sidecar: Mapping[str, object], field: str, *, units: Mapping[str, float] | None = None, where: str = ""
) -> float | None:
    """Return the number a sidecar states, as converters write it: plain, in quotes, or a list of one.

    Parameters
    ----------
    sidecar
        Fields of the JSON beside an image.
    field
        The field's name.
    units
        Units that may follow a number in quotes, in lower case without blanks, and the factor of each.
    where
        Whose sidecar it is, for the message.

    Returns
    -------
    float or None
        ``None`` where the field is absent, null, empty or ``n/a``.

    Raises
    ------
    HeaderError
        If the field holds several numbers, or something else.
    """
    value = sidecar.get(field)
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if value is None or (isinstance(value, str) and value.strip().lower() in _ABSENT):
        return None
    number = _number(value, units or {})
    if number is None or not math.isfinite(number):
        expected = "one number is expected" if isinstance(value, list) else "a number is expected"
        msg = f"sidecar field {field} holds {json.dumps(value)[:60]} where {expected}; correct the sidecar"
        raise HeaderError(msg, where=where)
    return number


def _number(value: object, units: Mapping[str, float]) -> float | None:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            return None
    match = _NUMBER.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        return None
    unit = re.sub(r"[\s^]", "", match["unit"]).lower().replace("²", "2").replace("µ", "u").replace("μ", "u")
    factor = 1.0 if not unit else units.get(unit)
    return None if factor is None else float(match["number"]) * factor

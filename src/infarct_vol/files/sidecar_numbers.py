"""The numbers in a JSON sidecar, as converters write them."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping

from infarct_vol.errors import HeaderError
from infarct_vol.files.numbers import PLAIN_NUMBER

_NUMBER = re.compile(rf"(?P<number>{PLAIN_NUMBER})\s*(?P<unit>.*)", re.ASCII)
_ABSENT = ("", "n/a")


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

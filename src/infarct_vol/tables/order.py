"""The order of rows in every table: participant, visit, parameter."""

from __future__ import annotations

from typing import get_args

from infarct_vol.records import Parameter
from infarct_vol.settings import VisitName

_VISITS: tuple[str, ...] = get_args(VisitName)
_PARAMETERS: tuple[str, ...] = get_args(Parameter)


def visit_rank(visit: str) -> tuple[int, str]:
    """Return a sort key that puts visits in time order; visits without a name of ours come last."""
    return (_VISITS.index(visit) if visit in _VISITS else len(_VISITS), visit)


def parameter_rank(parameter: str) -> int:
    """Return a sort key that puts the primary parameter first."""
    return _PARAMETERS.index(parameter)

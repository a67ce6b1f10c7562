"""From observations to verdicts: what each acceptance limit is held against."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from infarct_vol.statistics.agreement import bland_altman, icc21, linearity, median_interval, repeatability
from infarct_vol.validation.groups import SIZE_CLASSES, size_class
from infarct_vol.validation.limits import LARGE_ML, Limit, Measure
from infarct_vol.validation.results import CheckResult, Observed, VolumeCase


class Found(NamedTuple):
    """A value with the number of cases it is made from; None where those were too few."""

    value: float | None
    n: int
    note: str = ""


def judge(observed: Observed, limits: Sequence[Limit]) -> tuple[CheckResult, ...]:
    """Hold observations against limits.

    Returns
    -------
    tuple of CheckResult
        One a limit, in their order. A limit for which nothing was planned is left out; one for which no
        value came out of what was planned fails.
    """
    return tuple(_judged(observed, limits))


def _judged(observed: Observed, limits: Sequence[Limit]) -> Iterator[CheckResult]:
    for limit in limits:
        found = _MEASURES[limit.measure](observed, limit)
        if found is not None:
            yield CheckResult(
                **limit.model_dump(exclude={"measure", "groups", "size", "check"}),
                value=found.value,
                n=found.n,
                note=found.note,
                verdict=limit.verdict(found.value),
            )


def _chosen(observed: Observed, limit: Limit) -> list[VolumeCase]:
    cases = observed.of(*limit.groups)
    return [case for case in cases if limit.size is None or size_class(case.true_ml) == limit.size]


def _pairs(cases: Sequence[VolumeCase]) -> list[tuple[VolumeCase, VolumeCase]]:
    """Return the cases of one lesion that was measured twice, two by two."""
    held: dict[str, list[VolumeCase]] = {}
    for case in cases:
        held.setdefault(case.pair, []).append(case)
    return [(pair[0], pair[1]) for name, pair in held.items() if name and len(pair) == 2]


def measured_pairs(cases: Sequence[VolumeCase]) -> tuple[list[float], list[float]]:
    """Return first and second volumes, in mL, of the lesions for which both were measured."""
    both = [(a.measured_ml, b.measured_ml) for a, b in _pairs(cases)]
    known = [(a, b) for a, b in both if a is not None and b is not None]
    return [a for a, _ in known], [b for _, b in known]


# ---- measures --------------------------------------------------------------------------------------------


def _largest(observed: Observed, limit: Limit) -> Found | None:
    values = observed.values(limit.check)
    return Found(max(values), len(values)) if values else None


def _total(observed: Observed, limit: Limit) -> Found | None:
    found = [d for d in observed.deviations if d.check == limit.check]
    reasons = "; ".join(f"{d.case}: {d.reason or 'differs'}" for d in found if d.value)
    return Found(sum(d.value for d in found), len(found), reasons) if found else None


def _without_value(observed: Observed, limit: Limit) -> Found | None:
    cases = _chosen(observed, limit)
    absent = [case for case in cases if case.measured_ml is None]
    reasons = "; ".join(f"{case.case}: {case.reason}" for case in absent)
    return Found(len(absent), len(cases), reasons) if cases else None


def _mean_error(observed: Observed, limit: Limit) -> Found | None:
    cases = [case for case in _chosen(observed, limit) if case.true_ml]
    errors = [e for case in cases if (e := case.error_percent) is not None]
    if not errors:
        return Found(None, 0) if cases else None
    middle = median_interval(errors)
    return Found(float(np.mean(errors)), len(errors), f"median {middle.value:+.1f} %")


def _median_size_of_error(observed: Observed, limit: Limit) -> Found | None:
    cases = _large(observed, limit)
    errors = [abs(e) for case in cases if (e := case.error_percent) is not None]
    return _median(errors, len(cases), "%")


def _median_dice(observed: Observed, limit: Limit) -> Found | None:
    cases = _large(observed, limit)
    return _median([case.dice for case in cases if case.dice is not None], len(cases), "")


def _large(observed: Observed, limit: Limit) -> list[VolumeCase]:
    return [case for case in _chosen(observed, limit) if case.true_ml >= LARGE_ML]


def _median(values: list[float], planned: int, unit: str) -> Found | None:
    if not values:
        return Found(None, 0) if planned else None
    middle = median_interval(values)
    note = "" if middle.low is None else f"95 % interval {middle.low:.3g} to {middle.high:.3g} {unit}".strip()
    return Found(middle.value, len(values), note)


def _slope(observed: Observed, limit: Limit) -> Found | None:
    """Return the slope furthest from 1 among the voxel sizes."""
    return _worst_line(observed, limit, "slope", by=lambda value: -abs(value - 1))


def _r_squared(observed: Observed, limit: Limit) -> Found | None:
    return _worst_line(observed, limit, "r_squared", by=lambda value: value)


def _worst_line(observed: Observed, limit: Limit, name: str, *, by: Callable[[float], float]) -> Found | None:
    cases = _chosen(observed, limit)
    if not cases:
        return None
    found: list[tuple[str, float]] = []
    for voxel in dict.fromkeys(case.voxel for case in cases):
        own = [case for case in cases if case.voxel == voxel and case.measured_ml is not None]
        line = linearity([c.true_ml for c in own], [c.measured_ml or 0.0 for c in own])
        value = getattr(line, name)
        if value is None:
            return Found(None, len(own), f"{voxel}: {line.reason}")
        found.append((voxel, value))
    worst = min(found, key=lambda item: by(item[1]))
    each = ", ".join(f"{voxel} {value:.4f}" for voxel, value in found)
    return Found(worst[1], sum(c.measured_ml is not None for c in cases), each)


def _repeatability(observed: Observed, limit: Limit) -> Found | None:
    cases = _chosen(observed, limit)
    if len(_pairs(cases)) < 2:
        return None
    found = repeatability(*measured_pairs(cases))
    note = f"{found.rc:.3g} mL" if found.rc is not None else found.reason
    return Found(found.rc_percent, found.n_percent, note)


def _icc(observed: Observed, limit: Limit) -> Found | None:
    cases = _chosen(observed, limit)
    if len(_pairs(cases)) < 3:
        return None
    found = icc21(np.transpose(measured_pairs(cases)))
    note = found.reason if found.low is None else f"95 % interval {found.low:.4f} to {found.high:.4f}"
    return Found(found.icc, found.n, note)


def _shift(observed: Observed, limit: Limit) -> Found | None:
    cases = _chosen(observed, limit)
    if len(_pairs(cases)) < 2:
        return None
    found = bland_altman(*measured_pairs(cases))
    limits = "" if found.lower is None else f"limits of agreement {found.lower:+.2f} to {found.upper:+.2f} mL"
    return Found(found.bias, found.n, limits or found.reason)


def _coverage(observed: Observed, limit: Limit) -> Found | None:
    cases = _chosen(observed, limit)
    held = [(case, inside) for case in cases if (inside := case.is_within_limits) is not None]
    if not held:
        return Found(None, 0) if cases else None
    share = sum(inside for _, inside in held) / len(held)
    return Found(share, len(held), _by_size(held) if limit.size is None else "")


def _by_size(held: Sequence[tuple[VolumeCase, bool]]) -> str:
    words = []
    for size in SIZE_CLASSES:
        own = [inside for case, inside in held if size_class(case.true_ml) == size]
        if own:
            words.append(f"{size} {sum(own)} of {len(own)}")
    return ", ".join(words)


def _vanished(observed: Observed, limit: Limit) -> Found | None:
    cases = [case for case in _chosen(observed, limit) if case.true_ml == 0]
    measured = [case.measured_ml for case in cases if case.measured_ml is not None]
    if not measured:
        return Found(None, 0) if cases else None
    return Found(max(measured), len(measured))


_MEASURES: dict[Measure, Callable[[Observed, Limit], Found | None]] = {
    "largest": _largest,
    "total": _total,
    "without value": _without_value,
    "mean error": _mean_error,
    "median size of error": _median_size_of_error,
    "median Dice": _median_dice,
    "slope": _slope,
    "R2": _r_squared,
    "repeatability": _repeatability,
    "ICC": _icc,
    "shift": _shift,
    "coverage": _coverage,
    "vanished": _vanished,
}

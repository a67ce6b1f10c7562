"""Change from baseline: what each follow-up visit says against baseline, and whether it may be said.

One row per participant, follow-up visit and parameter, whatever happened: a scan that is missing, failed
or could not be measured gives a row without numbers that says so. Nothing is imputed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from infarct_vol.errors import UsageError
from infarct_vol.images import LesionMask, require_same_grid
from infarct_vol.protocol import ChangeSettings, CheckSettings, Protocol
from infarct_vol.records import (
    VALUED_STATUSES,
    Parameter,
    ParticipantRecord,
    Record,
    ScanRecord,
    Status,
    VisitRecord,
    VolumeRow,
)
from infarct_vol.repeatability import RepeatabilityLimit
from infarct_vol.settings import ANALYSED_VISITS

BASELINE, *FOLLOW_UPS = ANALYSED_VISITS
PARAMETERS: tuple[Parameter, ...] = get_args(Parameter)
BASELINE_EXPECTED: frozenset[str] = frozenset({"infarct", "infarct_dwi", "infarct_flair"})
"""Parameters that have a baseline value when all goes well; a cavity or a new lesion has none."""
CHANGE_LABELS = {1: "persistent", 2: "resolved", 3: "new"}
"""Labels of the change map: lesion at both visits, at baseline only, at follow-up only."""
_ACCOUNTING = ("persistent_ml", "resolved_ml", "new_ml")
_COMPARED = (
    "change_ml",
    "percent_change",
    "repeatability_limit_ml",
    "exceeds_repeatability",
    "like_for_like",
    *_ACCOUNTING,
)
"""Fields that stay empty unless both ends have a value."""


class ChangeRow(Record):
    """One participant x follow-up visit x parameter: a row of ``change_from_baseline.csv``."""

    participant_id: str
    visit: str
    parameter: Parameter
    baseline_modality: str | None
    modality: str | None
    baseline_volume_ml: float | None
    volume_ml: float | None
    change_ml: float | None
    percent_change: float | None
    like_for_like: bool | None
    exceeds_repeatability: bool | None
    status: Status
    reason: str
    like_for_like_reason: str = ""
    repeatability_limit_ml: float | None = Field(None, ge=0)
    baseline_status: Status = "missing"
    baseline_session_id: str | None = None
    session_id: str | None = None
    study_day: int | None = None
    baseline_method: str | None = None
    method: str | None = None
    persistent_ml: float | None = None
    resolved_ml: float | None = None
    new_ml: float | None = None
    protocol_sha256: str = ""
    version: str = ""
    repeatability_source: str = "protocol"


@dataclass(frozen=True)
class Accounting:
    """Where a lesion persisted, resolved and appeared, in voxels of one common grid.

    ``persistent + resolved`` is the baseline lesion and ``persistent + new`` the follow-up lesion, to the
    voxel.
    """

    persistent_voxels: int
    resolved_voxels: int
    new_voxels: int
    voxel_volume_ml: float

    @property
    def persistent_ml(self) -> float:
        """Volume in mL that is lesion at both visits."""
        return self.persistent_voxels * self.voxel_volume_ml

    @property
    def resolved_ml(self) -> float:
        """Volume in mL that is lesion at baseline only."""
        return self.resolved_voxels * self.voxel_volume_ml

    @property
    def new_ml(self) -> float:
        """Volume in mL that is lesion at follow-up only."""
        return self.new_voxels * self.voxel_volume_ml


def spatial_accounting(baseline: LesionMask, followup: LesionMask) -> Accounting:
    """Compare two lesions voxel by voxel in baseline space.

    Parameters
    ----------
    baseline, followup
        Lesions on one grid: the follow-up brought into baseline space by its registration.

    Raises
    ------
    GridMismatchError
        If the masks do not share one grid.
    """
    labels = change_labels(baseline, followup)
    persistent, resolved, new = (int(np.count_nonzero(labels == label)) for label in CHANGE_LABELS)
    return Accounting(
        persistent_voxels=persistent,
        resolved_voxels=resolved,
        new_voxels=new,
        voxel_volume_ml=baseline.grid.voxel_volume_ml,
    )


def change_labels(baseline: LesionMask, followup: LesionMask) -> NDArray[np.uint8]:
    """Return (I, J, K) what became of every voxel: 0 no lesion, otherwise as in `CHANGE_LABELS`.

    Parameters and errors as `spatial_accounting`, whose numbers are the counts of these labels.
    """
    require_same_grid(baseline, followup, what="baseline and follow-up lesion")
    before, after = baseline.data.view(np.uint8), followup.data.view(np.uint8)
    # both is 1, before only is 2, after only is 3
    return np.asarray(2 * before + 3 * after - 4 * (before & after), dtype=np.uint8)


def participant_changes(
    record: ParticipantRecord, *, protocol: Protocol, limit: RepeatabilityLimit | None = None
) -> list[ChangeRow]:
    """Return one participant's change rows by the protocol's rules; see `change_rows`.

    Parameters
    ----------
    record
        The participant.
    protocol
        Limits that a change must exceed, and of what is alike.
    limit
        Takes the place of the protocol's limit, and is named in the rows.
    """
    limit = limit or RepeatabilityLimit(protocol.change)
    rows = change_rows(record.rows, visits=record.visits, settings=limit.settings, checks=protocol.checks)
    if limit.source == "protocol":
        return rows
    return [row.model_copy(update={"repeatability_source": limit.source}) for row in rows]


def change_rows(
    rows: Sequence[VolumeRow],
    *,
    visits: Sequence[VisitRecord],
    settings: ChangeSettings,
    checks: CheckSettings,
) -> list[ChangeRow]:
    """Return change from baseline of one participant, for each follow-up visit and parameter.

    Parameters
    ----------
    rows
        The participant's volumes, all visits and parameters.
    visits
        What happened at each visit; gives the reason where a volume is absent, and the scanner, field
        strength and voxel spacing that decide whether two ends are alike.
    settings
        Limits that a change must exceed.
    checks
        Largest change of voxel spacing that is still alike.

    Returns
    -------
    list of ChangeRow
        In the order of visits and parameters: ``infarct`` always, other parameters where any follow-up
        visit has a row for them. ``change_ml = volume_ml - baseline_volume_ml`` in mL, empty unless both
        ends have a value; ``percent_change`` in percent of baseline, also empty where baseline is 0 mL.

    Raises
    ------
    UsageError
        If the rows are of several participants, or two rows have one visit and parameter.
    """
    if not rows:
        return []
    by_key = _rows_by_key(rows)
    records = {visit.visit: visit for visit in visits}
    present = {row.parameter for row in rows if row.visit in FOLLOW_UPS} | {"infarct"}
    participant_id = rows[0].participant_id
    shown = [parameter for parameter in PARAMETERS if parameter in present]

    def row_at(visit: str, parameter: Parameter) -> VolumeRow:
        return by_key.get((visit, parameter)) or _absent_row(participant_id, visit, parameter, records)

    baselines = {parameter: row_at(BASELINE, parameter) for parameter in shown}
    pairs = (
        _Pair(
            baseline=baselines[parameter],
            followup=row_at(visit, parameter),
            baseline_visit=records.get(BASELINE),
            followup_visit=records.get(visit),
        )
        for visit in FOLLOW_UPS
        for parameter in shown
    )
    return [_change_row(pair, settings=settings, checks=checks) for pair in pairs]


@dataclass(frozen=True)
class _Pair:
    """One parameter at baseline and at one follow-up visit."""

    baseline: VolumeRow
    followup: VolumeRow
    baseline_visit: VisitRecord | None
    followup_visit: VisitRecord | None


def _rows_by_key(rows: Sequence[VolumeRow]) -> dict[tuple[str, str], VolumeRow]:
    by_key: dict[tuple[str, str], VolumeRow] = {}
    for row in rows:
        if row.participant_id != rows[0].participant_id:
            msg = f"rows of one participant are expected, got {rows[0].participant_id}, {row.participant_id}"
            raise UsageError(msg)
        if row.visit in ANALYSED_VISITS and (row.visit, row.parameter) in by_key:
            msg = (
                f"two volumes of '{row.parameter}' at {row.visit}; one row a visit and parameter is expected"
            )
            raise UsageError(msg, where=row.participant_id)
        by_key[row.visit, row.parameter] = row
    return by_key


def _absent_row(
    participant_id: str, visit: str, parameter: Parameter, records: Mapping[str, VisitRecord]
) -> VolumeRow:
    """Stand in for a row that is not there, with the visit's own reason where it has one."""
    record = records.get(visit)
    status: Status = "missing"
    reason = f"no {visit} visit" if record is None else f"no value of this parameter at {visit}"
    if record is not None and record.status not in VALUED_STATUSES:
        status, reason = record.status, record.reason or reason
    empty = dict.fromkeys(VolumeRow.model_fields)
    stated = {
        "participant_id": participant_id,
        "session_id": record.session_id if record else None,
        "visit": visit,
        "study_day": record.study_day if record else None,
        "parameter": parameter,
        "status": status,
        "reason": reason,
        "source": "",
        "flags": "",
        "protocol_sha256": "",
        "version": "",
    }
    return VolumeRow.model_validate({**empty, **stated})


def _change_row(pair: _Pair, *, settings: ChangeSettings, checks: CheckSettings) -> ChangeRow:
    baseline, followup = pair.baseline, pair.followup
    baseline_ml, followup_ml = valued_ml(baseline), valued_ml(followup)
    status, reason = _verdict(baseline, followup)
    compared: dict[str, Any] = dict.fromkeys(_COMPARED) | {"like_for_like_reason": ""}
    if baseline_ml is not None and followup_ml is not None:
        compared |= _compared(baseline_ml, followup_ml, settings=settings)
        alike, alike_reason = _like_for_like(pair, voxel_percent=checks.like_for_like_voxel_percent)
        compared |= {"like_for_like": alike, "like_for_like_reason": alike_reason}
        if followup.parameter == "infarct" and pair.followup_visit is not None:
            compared |= {name: getattr(pair.followup_visit, name) for name in _ACCOUNTING}
    return ChangeRow(
        participant_id=followup.participant_id,
        visit=followup.visit,
        parameter=followup.parameter,
        baseline_modality=baseline.modality,
        modality=followup.modality,
        baseline_volume_ml=baseline_ml,
        volume_ml=followup_ml,
        status=status,
        reason=reason,
        baseline_status=baseline.status,
        baseline_session_id=baseline.session_id,
        session_id=followup.session_id,
        study_day=followup.study_day,
        baseline_method=baseline.method,
        method=followup.method,
        protocol_sha256=followup.protocol_sha256 or baseline.protocol_sha256,
        version=followup.version or baseline.version,
        **compared,
    )


def _compared(baseline_ml: float, followup_ml: float, *, settings: ChangeSettings) -> dict[str, Any]:
    change_ml = followup_ml - baseline_ml
    limit_ml = max(settings.repeatability_ml, settings.repeatability_percent / 100.0 * baseline_ml)
    return {
        "change_ml": change_ml,
        "percent_change": 100.0 * change_ml / baseline_ml if baseline_ml else None,
        "repeatability_limit_ml": limit_ml,
        "exceeds_repeatability": abs(change_ml) > limit_ml,
    }


def valued_ml(row: VolumeRow) -> float | None:
    """Return the volume in mL that a row may be analysed with, or None.

    Raises
    ------
    UsageError
        If the status claims a volume that the row does not hold.
    """
    if row.status not in VALUED_STATUSES:
        return None
    if row.volume_ml is None:
        msg = f"{row.parameter} at {row.visit} has status '{row.status}' but no volume"
        raise UsageError(msg, where=row.participant_id)
    return row.volume_ml


def _verdict(baseline: VolumeRow, followup: VolumeRow) -> tuple[Status, str]:
    """Return the status and reason of the change: those of the end that has no value, if one has none."""
    if followup.status not in VALUED_STATUSES:
        return followup.status, followup.reason or f"{followup.visit} {followup.status}"
    if baseline.status not in VALUED_STATUSES:
        if followup.parameter not in BASELINE_EXPECTED:
            return followup.status, "no baseline value of this parameter"
        return baseline.status, f"no baseline value: {baseline.reason or baseline.status}"
    reasons = [followup.reason] if followup.reason else []
    if baseline.volume_ml == 0:
        reasons.append("baseline volume is 0 mL: percent change is not defined")
    return followup.status, "; ".join(reasons)


def _like_for_like(pair: _Pair, *, voxel_percent: float) -> tuple[bool, str]:
    """Tell whether both ends are the same quantity measured the same way, and what speaks against it."""
    differences = [
        _difference("modality", pair.baseline.modality, pair.followup.modality),
        _difference("method", pair.baseline.method, pair.followup.method),
        _difference("version", pair.baseline.version or None, pair.followup.version or None),
    ]
    first = _scan_of(pair.baseline_visit, pair.baseline.modality)
    second = _scan_of(pair.followup_visit, pair.followup.modality)
    notes: list[str] = []
    if first is None or second is None:
        ends = [row.visit for row, scan in ((pair.baseline, first), (pair.followup, second)) if scan is None]
        differences.append(f"no record of the scan at {' and '.join(ends)}")
    else:
        differences.extend(_scan_differences(first, second, voxel_percent=voxel_percent))
        notes.extend(_unstated(first, second))
    found = [text for text in differences if text]
    return not found, "; ".join([*found, *notes])


def _scan_of(visit: VisitRecord | None, modality: str | None) -> ScanRecord | None:
    return visit.scan(modality) if visit is not None and modality is not None else None


def _scan_differences(first: ScanRecord, second: ScanRecord, *, voxel_percent: float) -> Iterator[str]:
    yield _difference("manufacturer", _vendor(first.manufacturer), _vendor(second.manufacturer))
    fields = first.field_strength_t, second.field_strength_t
    # 2.89 T and 3 T, or 1.494 T and 1.5 T, are ways of writing one kind of scanner
    if None in fields or not math.isclose(*fields, rel_tol=0.1):  # type: ignore[arg-type]
        yield _difference("field strength (T)", *fields)
    # sorted, because the same slices may be stored along other array axes
    before, after = sorted(first.spacing_mm), sorted(second.spacing_mm)
    if any(abs(b - a) > voxel_percent / 100.0 * a for a, b in zip(before, after, strict=True)):
        yield (
            f"voxel spacing differs by more than {voxel_percent:g} %: "
            f"{_spacing_text(before)} mm at baseline, {_spacing_text(after)} mm now"
        )


def _unstated(first: ScanRecord, second: ScanRecord) -> Iterator[str]:
    if _vendor(first.manufacturer) is None and _vendor(second.manufacturer) is None:
        yield "manufacturer not stated at either visit, not compared"
    if first.field_strength_t is None and second.field_strength_t is None:
        yield "field strength not stated at either visit, not compared"


def _difference(what: str, before: object, after: object) -> str:
    if before == after:
        return ""
    named = ["not stated" if value is None else str(value) for value in (before, after)]
    return f"{what} differs: {named[0]} at baseline, {named[1]} now"


def _vendor(name: str | None) -> str | None:
    """Return the vendor in a manufacturer's name: ``SIEMENS`` and ``Siemens Healthineers`` are one."""
    words = name.split() if name is not None else []
    return words[0].upper() if words else None


def _spacing_text(spacing_mm: Sequence[float]) -> str:
    return "x".join(f"{s:.3g}" for s in spacing_mm)

"""Every volume of a trial as columns: what the listing and the analysis dataset are made from.

Filled one participant at a time, so that a trial of any size needs no more than its columns.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from functools import lru_cache
from typing import NamedTuple, get_type_hints

import numpy as np
import pandas as pd

from infarct_vol.cdisc import sas_date
from infarct_vol.change import ChangeRow
from infarct_vol.dates import Timing, moment, timing
from infarct_vol.records import ParticipantRecord, VisitRecord, VolumeRow
from infarct_vol.tables.csvtext import one_line
from infarct_vol.tables.visit_numbers import numbered

BASELINE_SPACE = "baseline_space"
"""Parameter of the infarct in baseline space, whose parts add up with those of baseline to the voxel."""


class Measurement(NamedTuple):
    """One volume, or the reason why there is none, with the trail back to mask and scan."""

    participant_id: str
    parameter: str
    visit: str
    visit_label: str
    visit_number: float
    session_id: str
    acq_time: str
    date: float
    moment: float
    day: float
    before_dose: float
    sequence: float
    value: float
    status: str
    reason: str
    remark: str
    modality: str
    method: str
    evaluator: str
    scan_path: str
    scan_sha256: str
    mask_path: str
    mask_sha256: str
    voxel_count: float
    like_for_like: str
    exceeds_repeatability: str
    derived: bool


class Measurements:
    """Measurements of a trial, taken over participant by participant."""

    def __init__(self) -> None:
        self._rows: list[Measurement] = []

    def add(
        self, record: ParticipantRecord, volumes: Sequence[VolumeRow], changes: Sequence[ChangeRow]
    ) -> None:
        """Take over one participant's volumes, in the order of the table, and what their changes say."""
        self._rows.extend(_measurements(record, volumes, changes))

    def frame(self) -> pd.DataFrame:
        """Return the measurements as columns: text in one line as objects, numbers as float64."""
        kinds = get_type_hints(Measurement)
        names = Measurement._fields
        columns = zip(*self._rows, strict=True) if self._rows else ([] for _ in names)
        return pd.DataFrame(
            {name: _column(values, name, kinds[name]) for name, values in zip(names, columns, strict=True)}
        )


def _column(values: Sequence[object], name: str, kind: type) -> np.ndarray:
    column: np.ndarray = np.array(values, dtype=_DTYPES.get(kind, object))
    if kind is not str or name == "participant_id" or not len(column):
        return column
    codes, texts = pd.factorize(column)
    return np.array([one_line(text) for text in texts], dtype=object)[codes]


_DTYPES: dict[type, type] = {float: np.float64, bool: np.bool_}


def _measurements(
    record: ParticipantRecord, volumes: Sequence[VolumeRow], changes: Sequence[ChangeRow]
) -> Iterator[Measurement]:
    sessions = list(dict.fromkeys((row.visit, row.session_id or "", row.acq_time or "") for row in volumes))
    dated = [(visit, _when(time, record).sortable or time) for visit, _, time in sessions]
    labels = dict(zip(sessions, numbered(dated), strict=True))
    by_session = {(visit.visit, visit.session_id or ""): visit for visit in record.visits}
    said = {(row.visit, row.parameter): row for row in changes}
    for sequence, row in enumerate(volumes, start=1):
        key = (row.visit, row.session_id or "", row.acq_time or "")
        yield _measurement(
            record,
            row,
            visit=by_session.get(key[:2]),
            change=said.get((row.visit, row.parameter)),
            label=labels[key],
            sequence=sequence,
        )
    yield from _in_baseline_space(record, volumes, labels)


def _measurement(
    record: ParticipantRecord,
    row: VolumeRow,
    *,
    visit: VisitRecord | None,
    change: ChangeRow | None,
    label: tuple[str, float],
    sequence: int,
) -> Measurement:
    scan = visit.scan(row.modality) if visit is not None and row.modality is not None else None
    when = _when(row.acq_time, record)
    return Measurement(
        participant_id=row.participant_id,
        parameter=row.parameter,
        visit=row.visit,
        visit_label=label[0],
        visit_number=label[1],
        session_id=row.session_id or "",
        acq_time=row.acq_time or "",
        date=day_number(when),
        moment=moment_number(when),
        day=_number(row.study_day),
        before_dose=_number(when.before_dose),
        sequence=sequence,
        value=_number(row.volume_ml),
        status=row.status,
        reason=row.reason,
        remark=row.reason or (change.reason if change is not None else ""),
        modality=(row.modality or "").upper(),
        method=row.method or "",
        evaluator="" if row.volume_ml is None else "ALGORITHM" if row.source == "automatic" else "READER",
        scan_path=scan.path if scan else "",
        scan_sha256=scan.sha256 if scan else "",
        mask_path=row.mask_path or "",
        mask_sha256=record.outputs.get(row.mask_path, "") if row.mask_path else "",
        voxel_count=_number(row.voxel_count),
        like_for_like=_flag(change.like_for_like if change is not None else None),
        exceeds_repeatability=_flag(change.exceeds_repeatability if change is not None else None),
        derived=False,
    )


def _in_baseline_space(
    record: ParticipantRecord,
    volumes: Sequence[VolumeRow],
    labels: dict[tuple[str, str, str], tuple[str, float]],
) -> Iterator[Measurement]:
    """Yield the infarct in baseline space at every visit that is accounted for against baseline."""
    primary = {row.visit: (at, row) for at, row in enumerate(volumes, start=1) if row.parameter == "infarct"}
    accounted = [visit for visit in record.visits if visit.persistent_ml is not None]
    for visit in [record.visit("baseline"), *accounted] if accounted else []:
        if visit is None or visit.visit not in primary:
            continue
        sequence, row = primary[visit.visit]
        key = (row.visit, row.session_id or "", row.acq_time or "")
        measured = _measurement(record, row, visit=visit, change=None, label=labels[key], sequence=sequence)
        at_baseline = visit.visit == "baseline"
        source = accounted[0] if at_baseline else visit
        other = source.resolved_ml if at_baseline else source.new_ml
        path = source.masks.get("change", "")
        yield measured._replace(
            parameter=BASELINE_SPACE,
            value=_number(source.persistent_ml) + _number(other),
            modality="FLAIR",
            mask_path=path,
            mask_sha256=record.outputs.get(path, ""),
            voxel_count=float("nan"),
            derived=True,
        )


def _when(acq_time: str | None, record: ParticipantRecord) -> Timing:
    return timing(acq_time or None, record.first_dose_time)


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)


def _flag(value: bool | None) -> str:
    return "" if value is None else "Y" if value else "N"


@lru_cache(maxsize=10_000)
def date_number(text: str | None) -> float:
    """Return the days since 1960-01-01 of a date or time; NaN where it is not stated or partial."""
    if not text or not moment(text).is_whole:
        return float("nan")
    return sas_date(moment(text).first.date().isoformat())


def day_number(when: Timing) -> float:
    """Return the days since 1960-01-01 of a date on the calendar of the first dose; NaN where unknown."""
    return float("nan") if when.at is None else sas_date(when.at.date().isoformat())


def has_other_clocks(rows: pd.DataFrame) -> bool:
    """Tell whether the ``date`` of a row, on the calendar of the first dose, differs from ``acq_time``."""
    stated = rows.loc[rows["date"].notna(), ["acq_time", "date"]].drop_duplicates()
    own = [date_number(text) for text in stated["acq_time"]]
    return bool((stated["date"].to_numpy() != np.array(own, dtype=np.float64)).any())


def moment_number(when: Timing) -> float:
    """Return `day_number` with the time of day as its fraction."""
    if when.at is None:
        return float("nan")
    midnight = when.at.replace(hour=0, minute=0, second=0, microsecond=0)
    return day_number(when) + (when.at - midnight) / timedelta(days=1)

"""What reviews do to a record: rows that are reviewed, edited, excluded or not measurable, and why.

The run's own record stays as it is. A participant nobody decided on is passed through untouched.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from infarct_vol.errors import InfarctVolError
from infarct_vol.images import MODALITY_LABELS
from infarct_vol.records import (
    VALUED_STATUSES,
    Parameter,
    ParticipantRecord,
    Status,
    VisitRecord,
    VolumeRow,
)
from infarct_vol.review.accounting import BaselineSpace
from infarct_vol.review.cases import Facts, items_of
from infarct_vol.review.model import KEYS_OF, Item, MaskKey, MaskVersion
from infarct_vol.review.standing import Standing

STALE = "reviewed before the input changed; review again"
_NUMBERS = (
    "volume_ml",
    "voxel_count",
    "voxel_volume_mm3",
    "lesion_count",
    "volume_ml_low",
    "volume_ml_high",
    "partial_volume_ml",
    "edit_difference_ml",
    "edit_dice",
)
_PARAMETER_OF: Mapping[MaskKey, Parameter] = {
    "dwi": "infarct_dwi",
    "flair": "infarct_flair",
    "cavity": "cavity",
    "new_lesion": "new_lesion",
}
_ACCOUNTING = ("persistent_ml", "resolved_ml", "new_ml")
_UNSETTLED = ("disagreement", "stale")
_WITHOUT_VALUE: Mapping[str, Status] = {"reject": "excluded", "not_measurable": "not_measurable"}


def reviewed_record(
    record: ParticipantRecord, standings: Mapping[Item, Standing], *, out: Path
) -> ParticipantRecord:
    """Return a participant's record with everything that was decided on it.

    Parameters
    ----------
    record
        The participant as the run left it.
    standings
        What counts, by item; items of other participants are passed over.
    out
        Output folder. Masks and transforms are read from it only where an infarct was edited.

    Returns
    -------
    ParticipantRecord
        The same object where nothing was decided.
    """
    own = {item: each for item, each in standings.items() if item.participant_id == record.participant_id}
    if not any(each.verdict or each.waiting or each.state in _UNSETTLED for each in own.values()):
        return record
    facts = {each.item: each for each in items_of(record)}
    reviews = {
        visit.session_id: _VisitReview(record, visit, out)
        for visit in record.visits
        if visit.session_id is not None
    }
    for item, standing in own.items():
        if item.session_id in reviews:
            reviews[item.session_id].take(standing, facts.get(item))
    _account(record, reviews, out)
    outputs = dict(record.outputs)
    for review in reviews.values():
        outputs |= review.outputs
    return record.model_copy(
        update={
            "rows": tuple(_row_of(reviews, row) for row in record.rows),
            "visits": tuple(
                reviews[v.session_id].record_of(v) if v.session_id in reviews else v for v in record.visits
            ),
            "outputs": dict(sorted(outputs.items())),
        }
    )


def _row_of(reviews: Mapping[str, _VisitReview], row: VolumeRow) -> VolumeRow:
    review = reviews.get(row.session_id or "")
    return review.rows.get(row.parameter, row) if review is not None else row


@dataclass
class _VisitReview:
    """One session: its rows, masks and flags as the decisions taken over so far leave them."""

    record: ParticipantRecord
    visit: VisitRecord
    out: Path
    rows: dict[str, VolumeRow] = field(init=False)
    masks: dict[str, str] = field(init=False)
    components: dict[str, Any] = field(init=False)
    outputs: dict[str, str] = field(default_factory=dict)
    flags: list[str] = field(default_factory=list)
    accounting: dict[str, float | None] = field(default_factory=dict)
    changed: set[str] = field(default_factory=set)
    """Images whose infarct is no longer the run's, and ``registration`` where it was rejected."""

    def __post_init__(self) -> None:
        self.rows = {r.parameter: r for r in self.record.rows if r.session_id == self.visit.session_id}
        self.masks = dict(self.visit.masks)
        self.components = dict(self.visit.components)

    def take(self, standing: Standing, facts: Facts | None) -> None:
        """Take over what counts for one item."""
        image = standing.item.image
        label = "registration" if image == "registration" else MODALITY_LABELS[image]
        if standing.waiting:
            self.flag(f"an edit of the {label} waits for a decision")
        if standing.state == "disagreement":
            self.flag(f"two reads of the {label} differ: waits for adjudication")
        if standing.state == "stale":
            self.flag(f"{label}: {STALE}")
        if standing.verdict is None:
            return
        if facts is None or not _is_current(standing, facts):
            self.flag(f"{label}: {STALE}")
        elif standing.state == "query":
            self.flag(f"query open: {standing.reason} ({label})")
        elif standing.state == "settled" and image == "registration":
            self._judge_registration(standing, facts)
        elif standing.state == "settled":
            self._judge(standing)

    def flag(self, text: str) -> None:
        """Add a flag to the visit and to its rows."""
        self.flags.append(text)
        self.rows = {
            name: row.model_copy(update={"flags": "; ".join(filter(None, (row.flags, text)))})
            for name, row in self.rows.items()
        }

    def _judge_registration(self, standing: Standing, facts: Facts) -> None:
        if standing.verdict not in _WITHOUT_VALUE:
            return
        pair = f"{facts.registration.fixed} to {facts.registration.moving}" if facts.registration else ""
        who = ", ".join(standing.readers)
        self.flag(f"registration of {pair} rejected by {who}: {standing.reason}")
        self.changed.add("registration")

    def _judge(self, standing: Standing) -> None:
        for key in KEYS_OF[standing.item.image]:
            for parameter in self._parameters(key):
                row = self.rows.get(parameter)
                if row is not None:
                    self.rows[parameter] = self._judged_row(row, key, standing)
            if standing.verdict == "accept" and key in standing.masks:
                self._replace(key, standing.masks[key])
            elif standing.verdict != "accept":
                self.components.pop(key, None)
        infarct = KEYS_OF[standing.item.image][0]
        if standing.verdict != "accept" or self.masks.get(infarct) != self.visit.masks.get(infarct):
            self.changed.add(infarct)

    def _parameters(self, key: MaskKey) -> Iterator[Parameter]:
        """Yield the parameters that are measured on a mask at this visit."""
        yield _PARAMETER_OF[key]
        primary = self.rows.get("infarct")
        # the primary of a baseline is the infarct on DWI, that of a follow-up the one on FLAIR
        at_baseline = "infarct_dwi" in self.rows or (primary is not None and primary.modality == "dwi")
        if key == ("dwi" if at_baseline else "flair"):
            yield "infarct"

    def _judged_row(self, row: VolumeRow, key: MaskKey, standing: Standing) -> VolumeRow:
        version = standing.masks.get(key)
        if standing.verdict != "accept":
            return _without_value(row, standing) if row.status in VALUED_STATUSES else row
        of_infarct = key == KEYS_OF[standing.item.image][0]
        if of_infarct and standing.volume_ml is not None and row.volume_ml is not None:
            return _mean_row(row, version, standing)
        if version is not None and differs(version):
            return _edited_row(row, version, standing)
        # a mask made elsewhere that counted in the run stays what it is
        return row.model_copy(update={"status": "reviewed"}) if row.status == "measured" else row

    def _replace(self, key: MaskKey, version: MaskVersion) -> None:
        if not differs(version):
            return
        if key in self.masks:
            self.masks.setdefault(f"{key}_automatic", self.masks[key])
        self.masks[key] = version.path
        self.components[key] = version.components
        self.outputs[version.path] = version.sha256

    def record_of(self, visit: VisitRecord) -> VisitRecord:
        """Return the visit's record as the decisions leave it."""
        if not (self.flags or self.changed or self.accounting or self.masks != visit.masks):
            return visit
        primary = self.rows.get("infarct")
        update: dict[str, Any] = {
            "flags": (*visit.flags, *self.flags),
            "masks": self.masks,
            "components": self.components,
            **self.accounting,
        }
        if primary is not None:
            valued = primary.status in VALUED_STATUSES
            update["status"] = "measured" if valued else primary.status
            if update["status"] != visit.status:
                update["reason"] = "" if valued else primary.reason
        return visit.model_copy(update=update)

    @property
    def has_infarct(self) -> bool:
        """Whether the primary volume of this visit has a value."""
        primary = self.rows.get("infarct")
        return primary is not None and primary.status in VALUED_STATUSES


def differs(version: MaskVersion) -> bool:
    """Tell whether a version is another mask than the one the run measured."""
    return not version.automatic_sha256 or version.automatic_dice < 1.0


def _is_current(standing: Standing, facts: Facts) -> bool:
    """Tell whether what was judged is what is there now: the scan, and every mask or the one it came from."""
    if standing.scan_sha256 != facts.scan_sha256:
        return False
    for key, digest in standing.judged.items():
        version = standing.masks.get(key)
        if (version.automatic_sha256 if version else digest) != facts.masks.get(key, ""):
            return False
    return True


def _without_value(row: VolumeRow, standing: Standing) -> VolumeRow:
    status = _WITHOUT_VALUE[str(standing.verdict)]
    said = "rejected" if status == "excluded" else "not measurable, decided"
    reason = f"{said} by {', '.join(standing.readers)}: {standing.reason}"
    return row.model_copy(update={**dict.fromkeys(_NUMBERS), "status": status, "reason": reason})


def _edited_row(row: VolumeRow, version: MaskVersion, standing: Standing) -> VolumeRow:
    automatic_ml = row.automatic_volume_ml
    overlap = None
    if automatic_ml is None and version.automatic_sha256:
        automatic_ml, overlap = version.automatic_volume_ml, version.automatic_dice
    return row.model_copy(
        update={
            "volume_ml": version.volume_ml,
            "voxel_count": version.voxel_count,
            "voxel_volume_mm3": version.voxel_volume_mm3,
            "lesion_count": version.lesion_count,
            "volume_ml_low": version.volume_ml_low,
            "volume_ml_high": version.volume_ml_high,
            "partial_volume_ml": None,
            "automatic_volume_ml": automatic_ml,
            "edit_difference_ml": None if automatic_ml is None else version.volume_ml - automatic_ml,
            "edit_dice": overlap,
            "status": "edited",
            "reason": row.reason if row.status in VALUED_STATUSES else "",
            "modality": row.modality or standing.item.image,
            "method": row.method or "reader",
            "source": f"edited: {', '.join(standing.readers)}, {standing.utc}",
            "mask_path": version.path,
        }
    )


def _mean_row(row: VolumeRow, version: MaskVersion | None, standing: Standing) -> VolumeRow:
    """Return the mean of two reads: a volume that is that of no single mask."""
    assert standing.volume_ml is not None
    assert row.volume_ml is not None
    if version is None and abs(standing.volume_ml - row.volume_ml) < 1e-9:
        return row.model_copy(update={"status": "reviewed"})
    automatic_ml = row.automatic_volume_ml if row.automatic_volume_ml is not None else row.volume_ml
    return row.model_copy(
        update={
            **dict.fromkeys(_NUMBERS),
            "volume_ml": standing.volume_ml,
            "voxel_volume_mm3": row.voxel_volume_mm3,
            "automatic_volume_ml": automatic_ml,
            "edit_difference_ml": standing.volume_ml - automatic_ml,
            "status": "edited",
            "source": f"mean of two reads: {', '.join(standing.sources)}",
            "mask_path": version.path if version else row.mask_path,
        }
    )


# ---- accounting ------------------------------------------------------------------------------------------


def _account(record: ParticipantRecord, reviews: Mapping[str, _VisitReview], out: Path) -> None:
    """Account again wherever a mask, a value or a transform that it rests on is no longer the run's."""
    at_baseline = record.visit("baseline")
    baseline = reviews.get(at_baseline.session_id or "") if at_baseline else None
    of_baseline = bool(baseline and baseline.changed & {"dwi", "registration"})
    followups = [each for each in reviews.values() if each is not baseline]
    affected = [each for each in followups if of_baseline or each.changed & {"flair", "registration"}]
    if baseline is None or not affected:
        return
    space = BaselineSpace(
        out,
        record,
        {session: each.masks for session, each in reviews.items()},
        _counted_outputs(record, reviews.values()),
    )
    for each in affected:
        if each.visit.persistent_ml is None and "flair" not in each.changed:
            continue
        each.accounting = dict.fromkeys(_ACCOUNTING)
        each.masks.pop("change", None)
        rejected = "registration" in baseline.changed | each.changed
        if "registration" in baseline.changed:
            each.flag("no accounting: the registration of the baseline images was rejected")
        if not rejected and baseline.has_infarct and each.has_infarct:
            _account_for(each, space)


def _account_for(each: _VisitReview, space: BaselineSpace) -> None:
    try:
        found = space.accounting(each.visit)
    except InfarctVolError as error:
        each.flag(f"no accounting: {error}")
        return
    if found is not None:
        each.accounting = {name: getattr(found, name) for name in _ACCOUNTING}


def _counted_outputs(record: ParticipantRecord, reviews: Iterable[_VisitReview]) -> dict[str, str]:
    counted = dict(record.outputs)
    for review in reviews:
        counted |= review.outputs
    return counted

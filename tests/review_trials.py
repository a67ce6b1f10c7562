"""An output folder with one participant whose masks, grids and transforms are known by heart."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from strategies import participant, scan_record, visit_record, volume_row

from infarct_vol.derivatives import DerivativeWriter
from infarct_vol.geometry import Grid
from infarct_vol.images import LesionMask
from infarct_vol.ledger import save_record
from infarct_vol.measurement import measure
from infarct_vol.protocol import Protocol
from infarct_vol.records import ParticipantRecord, RegistrationRecord
from infarct_vol.registration import RigidTransform
from infarct_vol.review.cases import items_of
from infarct_vol.review.model import Item, MaskVersion
from infarct_vol.review.standing import Standing

PROTOCOL = Protocol(study_id="READ")
GRID = Grid((12, 12, 4), np.diag([2.0, 2.0, 5.0, 1.0]))
VOXEL_ML = 0.02
"""2 x 2 x 5 mm3."""
WHO, UTC = "R. One", "2026-04-01T10:00:00.000+00:00"
BASELINE_DWI = Item("sub-001", "ses-BL", "dwi")
BASELINE_FLAIR = Item("sub-001", "ses-BL", "flair")
BASELINE_MOVED = Item("sub-001", "ses-BL", "registration")
MONTH3 = Item("sub-001", "ses-M03", "flair")
MONTH3_MOVED = Item("sub-001", "ses-M03", "registration")
VISITS = {"ses-BL": "baseline", "ses-M03": "month3", "ses-M06": "month6"}


def block(*limits: tuple[int, int]) -> np.ndarray:
    """Return a block of voxels: first and one past the last index along each axis."""
    data = np.zeros(GRID.shape, dtype=bool)
    data[tuple(slice(*pair) for pair in limits)] = True
    return data


# 200, 150 and 100 voxels: 4, 3 and 2 mL; the follow-ups lie inside the baseline infarct
INFARCTS = {
    "ses-BL": block((0, 10), (0, 10), (0, 2)),
    "ses-M03": block((0, 10), (0, 10), (0, 2)) & ~block((0, 10), (0, 5), (1, 2)),
    "ses-M06": block((0, 10), (0, 10), (0, 1)),
}
CAVITY = block((0, 5), (0, 10), (0, 1))
"""50 voxels: 1 mL."""


def write_review_trial(out: Path) -> ParticipantRecord:
    """Write masks, transforms and record; every transform moves nothing, so that accounting is counting."""
    writer = DerivativeWriter(out, "sub-001", PROTOCOL.sha256)
    rows, visits = [], []
    for session, infarct in INFARCTS.items():
        masks, components = {}, {}
        drawn = {"dwi": infarct, "flair": infarct} if session == "ses-BL" else {"flair": infarct}
        if session == "ses-M03":
            drawn |= {"cavity": CAVITY, "new_lesion": np.zeros_like(CAVITY)}
        for key, data in drawn.items():
            mask = LesionMask(data, GRID, method="known 1")
            desc = {"cavity": "cavity", "new_lesion": "newlesion"}.get(key, "infarct")
            datatype = "dwi" if key == "dwi" else "anat"
            masks[key] = writer.mask(mask, session_id=session, datatype=datatype, desc=desc, facts={})
            volume = measure(mask)
            components[key] = volume.components
            for parameter in _parameters(session, key):
                rows.append(_row(session, parameter, key, volume, masks[key]))
        visits.append(_visit(writer, session, masks, components))
    record = participant(rows=rows, visits=visits).model_copy(
        update={"outputs": writer.written, "protocol_sha256": PROTOCOL.sha256}
    )
    save_record(record, out, label="sub-001")
    return record


def _parameters(session: str, key: str) -> tuple[str, ...]:
    if key in ("cavity", "new_lesion"):
        return (key,)
    primary = key == ("dwi" if session == "ses-BL" else "flair")
    return ("infarct", f"infarct_{key}") if primary else (f"infarct_{key}",)


def _row(session, parameter, key, volume, path):
    numbers = (
        "volume_ml",
        "voxel_count",
        "voxel_volume_mm3",
        "lesion_count",
        "volume_ml_low",
        "volume_ml_high",
    )
    return volume_row(
        participant_id="sub-001",
        session_id=session,
        visit=VISITS[session],
        parameter=parameter,
        modality="dwi" if key == "dwi" else "flair",
        source="automatic",
        mask_path=path,
        protocol_sha256=PROTOCOL.sha256,
        version="1",
        **{name: getattr(volume, name) for name in numbers},
    )


def _visit(writer, session, masks, components):
    at_baseline = session == "ses-BL"
    source, target = ("FLAIR", "DWI") if at_baseline else ("BL", session.removeprefix("ses-"))
    path = writer.transform(
        RigidTransform.identity(), session_id=session, source=source, target=target, facts={}
    )
    before, after = INFARCTS["ses-BL"], INFARCTS[session]
    counts = {
        "persistent_ml": before & after,
        "resolved_ml": before & ~after,
        "new_ml": after & ~before,
    }
    scans = [scan_record("flair", sha256="f" * 64)] + (
        [scan_record("dwi", sha256="d" * 64)] if at_baseline else []
    )
    return visit_record(
        VISITS[session],
        *scans,
        session_id=session,
        masks=masks,
        components=components,
        registrations=(RegistrationRecord(fixed=source, moving=target, path=path, verdict="PASS"),),
        **({} if at_baseline else {name: int(data.sum()) * VOXEL_ML for name, data in counts.items()}),
    )


def standing(
    record: ParticipantRecord,
    item: Item,
    verdict: str | None,
    *versions: MaskVersion,
    state: str = "settled",
    **changes: object,
) -> Standing:
    """Return what counts for an item that one reader judged as it is now, with the versions given."""
    facts = next(each for each in items_of(record) if each.item == item)
    own = {version.key: version for version in versions}
    judged = {**facts.masks, **{key: version.sha256 for key, version in own.items()}}
    fields: Mapping[str, object] = {
        "item": item,
        "state": state,
        "verdict": verdict,
        "readers": (WHO,),
        "utc": UTC,
        "reason": "because",
        "masks": own,
        "judged": judged,
        "scan_sha256": facts.scan_sha256,
    }
    return Standing.model_validate({**fields, **changes})

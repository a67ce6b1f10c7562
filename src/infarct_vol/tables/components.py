"""One row a connected component: how large it is and where it lies."""

from __future__ import annotations

from collections.abc import Iterator

from infarct_vol.records import ComponentRecord, Parameter, ParticipantRecord, Record, VisitRecord

PARAMETER_OF_MASK: dict[str, Parameter] = {
    "dwi": "infarct_dwi",
    "flair": "infarct_flair",
    "cavity": "cavity",
    "new_lesion": "new_lesion",
}
"""Mask of a visit -> the parameter its components are part of; `infarct` is one of the first two."""


class ComponentRow(Record):
    """One component of one mask: a row of ``components.csv`` (its columns, in its order)."""

    participant_id: str
    session_id: str | None
    visit: str
    parameter: Parameter
    component: int
    volume_ml: float
    centroid_x_mm: float
    centroid_y_mm: float
    centroid_z_mm: float
    centroid_mni_x_mm: float | None
    centroid_mni_y_mm: float | None
    centroid_mni_z_mm: float | None
    hemisphere: str
    region: str
    grey_percent: float | None
    white_percent: float | None
    first_slice: int
    last_slice: int
    mask_path: str
    reason: str


def component_rows(record: ParticipantRecord) -> Iterator[ComponentRow]:
    """Yield the components of one participant, in the order of visits, masks and sizes."""
    for visit in record.visits:
        for key, parameter in PARAMETER_OF_MASK.items():
            for number, part in enumerate(visit.components.get(key, ()), start=1):
                yield _row(record.participant_id, visit, key, parameter, number, part)


def _row(
    participant_id: str,
    visit: VisitRecord,
    key: str,
    parameter: Parameter,
    number: int,
    part: ComponentRecord,
) -> ComponentRow:
    x, y, z = part.centroid_mm
    mni = part.centroid_mni_mm or (None, None, None)
    return ComponentRow(
        participant_id=participant_id,
        session_id=visit.session_id,
        visit=visit.visit,
        parameter=parameter,
        component=number,
        volume_ml=part.volume_ml,
        centroid_x_mm=x,
        centroid_y_mm=y,
        centroid_z_mm=z,
        centroid_mni_x_mm=mni[0],
        centroid_mni_y_mm=mni[1],
        centroid_mni_z_mm=mni[2],
        hemisphere=part.hemisphere or "",
        region=part.region or "",
        grey_percent=part.grey_percent,
        white_percent=part.white_percent,
        first_slice=part.first_slice,
        last_slice=part.last_slice,
        mask_path=visit.masks.get(key, ""),
        reason="" if part.centroid_mni_mm else _why_not(visit),
    )


def _why_not(visit: VisitRecord) -> str:
    return visit.atlas.reason if visit.atlas is not None else "no fit to the MNI template"

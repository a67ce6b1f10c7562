"""What the report says of components and of masks made elsewhere; every value is text already."""

from __future__ import annotations

from typing import Any

from infarct_vol.qa.wording import PARAMETER_LABELS, has_value, number, visit_label
from infarct_vol.records import ParticipantRecord
from infarct_vol.tables import ComponentRow, component_rows

MOST_OF_A_MASK = 5
"""Components of a mask shown on the page, the largest; the table has them all."""


def component_lines(record: ParticipantRecord) -> dict[str, Any]:
    """Return the largest components of every mask, and why some have no place."""
    rows = list(component_rows(record))
    shown = [_component_cells(row) for row in rows if row.component <= MOST_OF_A_MASK]
    left = len(rows) - len(shown)
    reasons = {f"{visit_label(row.visit)}: {row.reason}" for row in rows if row.reason}
    more = [f"{left} smaller components are in the table of components"] if left else []
    return {"rows": shown, "notes": [*more, *sorted(reasons)]}


def _component_cells(row: ComponentRow) -> dict[str, str]:
    mni = (row.centroid_mni_x_mm, row.centroid_mni_y_mm, row.centroid_mni_z_mm)
    return {
        "visit": visit_label(row.visit),
        "parameter": PARAMETER_LABELS[row.parameter],
        "number": str(row.component),
        "volume": number(row.volume_ml),
        "mni": ", ".join(f"{x:.0f}" for x in mni if x is not None),
        "side": row.hemisphere,
        "region": row.region,
        "tissue": _shares(row),
        "slices": f"{row.first_slice}-{row.last_slice}",
    }


def _shares(row: ComponentRow) -> str:
    if row.grey_percent is None or row.white_percent is None:
        return ""
    return f"{row.grey_percent:.0f} / {row.white_percent:.0f}"


def edit_lines(record: ParticipantRecord) -> list[dict[str, str]]:
    """Return the volumes of masks made elsewhere beside those of the automatic masks."""
    return [
        {
            "visit": visit_label(row.visit),
            "parameter": PARAMETER_LABELS[row.parameter],
            "volume": number(row.volume_ml),
            "automatic": number(row.automatic_volume_ml),
            "difference": number(row.edit_difference_ml, sign=True),
            "dice": f"{row.edit_dice:.3f}" if row.edit_dice is not None else "",
            "source": row.source,
        }
        for row in record.rows
        if row.source.startswith("external") and has_value(row.volume_ml)
    ]

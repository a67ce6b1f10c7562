"""What several test files need: strategies for grids and masks in all orientations, and records."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from hypothesis import strategies as st

from infarct_vol.geometry import Grid
from infarct_vol.images import LesionMask
from infarct_vol.protocol import Protocol
from infarct_vol.records import ParticipantRecord, ScanRecord, VisitRecord, VolumeRow

spacings_mm = st.floats(0.4, 8.0, allow_nan=False)
permutations = st.sampled_from(list(itertools.permutations(range(3))))
flips = st.tuples(st.booleans(), st.booleans(), st.booleans())


@st.composite
def rotations(draw: st.DrawFn) -> np.ndarray:
    """Random proper rotation matrices, from a unit quaternion."""
    parts = draw(st.tuples(*[st.floats(-1, 1, allow_nan=False)] * 4))
    q = np.array(parts) + [1e-3, 0, 0, 0]
    w, x, y, z = q / np.linalg.norm(q)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


@st.composite
def grids(draw: st.DrawFn, max_side: int = 8) -> Grid:
    """Oblique grids of up to ``max_side`` voxels a side, with either handedness."""
    shape = draw(st.tuples(*[st.integers(1, max_side)] * 3))
    affine = np.eye(4)
    affine[:3, :3] = draw(rotations()) @ np.diag(draw(st.tuples(*[spacings_mm] * 3)))
    if draw(st.booleans()):
        affine[:3, 0] *= -1
    affine[:3, 3] = draw(st.tuples(*[st.floats(-200, 200, allow_nan=False)] * 3))
    return Grid(shape, affine)


@st.composite
def masks(draw: st.DrawFn, max_side: int = 8) -> LesionMask:
    """Masks from empty to full, scattered or dense, on oblique grids."""
    grid = draw(grids(max_side))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return LesionMask(rng.random(grid.shape) < draw(st.sampled_from([0.0, 0.02, 0.2, 0.6, 1.0])), grid)


@st.composite
def mask_pairs(draw: st.DrawFn, max_side: int = 8) -> tuple[LesionMask, LesionMask]:
    """Two masks on one grid."""
    first = draw(masks(max_side))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return first, first.with_data(rng.random(first.grid.shape) < draw(st.sampled_from([0.0, 0.3, 1.0])))


def reoriented(mask: LesionMask, *, axes: tuple[int, ...], flip: tuple[bool, ...]) -> LesionMask:
    """Return the same lesion in the same place with its array axes permuted and flipped."""
    data = np.transpose(mask.data, axes)
    affine = mask.grid.affine[:, [*axes, 3]].copy()
    for axis, flipped in enumerate(flip):
        if flipped:
            data = np.flip(data, axis)
            affine[:3, 3] += affine[:3, axis] * (data.shape[axis] - 1)
            affine[:3, axis] *= -1
    return LesionMask(data, Grid(data.shape, affine), evidence=mask.evidence)


def volume_row(**changes: object) -> VolumeRow:
    """Return a measured volume of 10 mL at baseline on DWI, with the given fields changed."""
    fields: dict[str, object] = {
        "participant_id": "sub-001",
        "session_id": "BL",
        "visit": "baseline",
        "acq_time": "2024-03-01T10:00:00",
        "study_day": 1,
        "parameter": "infarct",
        "modality": "dwi",
        "method": "local 1",
        "volume_ml": 10.0,
        "voxel_count": 2000,
        "voxel_volume_mm3": 5.0,
        "lesion_count": 1,
        "volume_ml_low": 9.0,
        "volume_ml_high": 11.0,
        "status": "measured",
        "reason": "",
        "source": "sub-001/ses-BL/dwi/sub-001_ses-BL_trace.nii.gz",
        "mask_path": "sub-001/ses-BL/dwi/sub-001_ses-BL_desc-infarct_mask.nii.gz",
    }
    return VolumeRow.model_validate({**fields, **changes})


def absent_row(status: str, reason: str, **changes: object) -> VolumeRow:
    """Return a row without a value, such as that of a failed scan."""
    numbers = ("volume_ml", "voxel_count", "voxel_volume_mm3", "lesion_count", "volume_ml_low")
    empty = dict.fromkeys((*numbers, "volume_ml_high", "mask_path", "method"))
    return volume_row(**{**empty, "status": status, "reason": reason, **changes})


def scan_record(modality: str = "flair", **changes: object) -> ScanRecord:
    """Return a scan of 0.9x0.9x5 mm from a 3 T scanner."""
    fields: dict[str, object] = {
        "modality": modality,
        "path": f"{modality}.nii.gz",
        "sha256": "0" * 64,
        "spacing_mm": (0.9, 0.9, 5.0),
        "shape": (256, 256, 30),
        "axis_codes": "RAS",
        "manufacturer": "Siemens",
        "field_strength_t": 3.0,
    }
    return ScanRecord.model_validate({**fields, **changes})


def visit_record(visit: str, *scans: ScanRecord, **changes: object) -> VisitRecord:
    """Return a measured visit with the given scans."""
    fields: dict[str, object] = {
        "visit": visit,
        "session_id": visit,
        "acq_time": None,
        "study_day": None,
        "status": "measured",
        "scans": scans,
    }
    return VisitRecord.model_validate({**fields, **changes})


def participant(
    participant_id: str = "sub-001",
    *,
    rows: Sequence[VolumeRow],
    visits: Sequence[VisitRecord] = (),
    **changes: object,
) -> ParticipantRecord:
    """Return a participant of the default protocol with the given rows."""
    fields: dict[str, object] = {
        "participant_id": participant_id,
        "fingerprint": "f",
        "version": "1",
        "protocol_sha256": Protocol().sha256,
        "visits": tuple(visits),
        "rows": tuple(row.model_copy(update={"participant_id": participant_id}) for row in rows),
        "inputs": {},
        "outputs": {},
    }
    return ParticipantRecord.model_validate({**fields, **changes})

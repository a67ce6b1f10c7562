"""What is written down about a participant: rows of the tables and the trail back to the files.

Plain frozen records that go to JSON and back unchanged; every later table, figure and report is made
from these and from the files they name.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Parameter = Literal["infarct", "infarct_dwi", "infarct_flair", "cavity", "new_lesion"]
Status = Literal["measured", "reviewed", "edited", "not_measurable", "failed", "missing", "excluded"]
VALUED_STATUSES: frozenset[str] = frozenset({"measured", "reviewed", "edited"})
"""Statuses of a row that has a volume; every other row has none, and says why."""


class Record(BaseModel):
    """A frozen record; unknown fields are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ComponentRecord(Record):
    """One connected component of a lesion; what the atlas says is empty where no fit to it stands."""

    volume_ml: float
    centroid_mm: tuple[float, float, float] = Field(description="scanner RAS+ mm")
    first_slice: int
    last_slice: int
    centroid_mni_mm: tuple[float, float, float] | None = Field(None, description="MNI RAS+ mm")
    hemisphere: Literal["left", "right", "midline"] | None = None
    region: Literal["supratentorial", "infratentorial"] | None = None
    grey_percent: float | None = None
    white_percent: float | None = None


class VolumeRow(Record):
    """One participant x visit x parameter: a row of ``volumes.csv`` (its columns, in its order)."""

    participant_id: str
    session_id: str | None
    visit: str
    acq_time: str | None
    study_day: int | None
    parameter: Parameter
    modality: str | None
    method: str | None
    volume_ml: float | None
    voxel_count: int | None
    voxel_volume_mm3: float | None
    lesion_count: int | None
    volume_ml_low: float | None
    volume_ml_high: float | None
    status: Status
    reason: str
    source: str
    mask_path: str | None
    partial_volume_ml: float | None = None
    flags: str = ""
    protocol_sha256: str = ""
    version: str = ""
    automatic_volume_ml: float | None = None
    edit_difference_ml: float | None = None
    edit_dice: float | None = None


class ScanRecord(Record):
    """One input image as it was read."""

    modality: str
    path: str = Field(description="relative to the study folder")
    sha256: str
    spacing_mm: tuple[float, float, float]
    shape: tuple[int, int, int]
    axis_codes: str
    manufacturer: str | None = None
    field_strength_t: float | None = None
    remarks: tuple[str, ...] = ()


class RegistrationRecord(Record):
    """One registration: where its transform is and how good it is."""

    fixed: str = Field(description="modality and session of the fixed image, such as 'BL flair'")
    moving: str
    path: str | None = Field(description="transform file relative to the output folder; None if it failed")
    verdict: Literal["PASS", "WARN", "FAIL"]
    reasons: tuple[str, ...] = ()
    metrics: dict[str, float] = Field(default_factory=dict)
    angle_degrees: float | None = None
    shift_mm: float | None = Field(None, description="move of the middle of the fixed image")


Rows4 = tuple[tuple[float, ...], ...]


class AtlasRecord(Record):
    """How a visit's images lie in MNI space, and how good the fit is."""

    template: str
    image: str = Field(description="modality and session of the image that was fitted, such as 'BL FLAIR'")
    overlap: float = Field(description="Dice of the scan's and the template's brain")
    likeness: float = Field(description="correlation of intensities with what the template's tissues explain")
    reason: str = Field("", description="why no location is given; empty where it is")
    matrices: dict[str, Rows4] = Field(
        default_factory=dict, description="modality -> 4x4, scanner RAS+ mm to MNI RAS+ mm (affine)"
    )


class VisitRecord(Record):
    """What happened at one visit."""

    visit: str
    session_id: str | None
    acq_time: str | None
    study_day: int | None
    status: Literal["measured", "not_measurable", "failed", "missing", "excluded"]
    reason: str = ""
    flags: tuple[str, ...] = ()
    scans: tuple[ScanRecord, ...] = ()
    masks: dict[str, str] = Field(
        default_factory=dict,
        description="paths relative to the output folder; keys: 'dwi' (infarct on the DWI grid), "
        "'flair' (infarct on the FLAIR grid), 'cavity' and 'new_lesion' (FLAIR grid), 'dwi_automatic' and "
        "'flair_automatic' (what the method found where a mask made elsewhere counts), 'change' (labels)",
    )
    components: dict[str, tuple[ComponentRecord, ...]] = Field(default_factory=dict)
    registrations: tuple[RegistrationRecord, ...] = ()
    persistent_ml: float | None = None
    resolved_ml: float | None = None
    new_ml: float | None = None
    atlas: AtlasRecord | None = None

    def scan(self, modality: str) -> ScanRecord | None:
        """Return the visit's image of one modality, if it was read."""
        return next((s for s in self.scans if s.modality == modality), None)


class ParticipantRecord(Record):
    """Everything known about one participant after the main job: ``OUT/provenance/<id>.json``."""

    participant_id: str
    site: str | None = None
    age: str | None = Field(None, description="years, as the study states it")
    sex: str | None = None
    first_dose_time: str | None = None
    fingerprint: str = Field(
        description="SHA-256 over inputs, protocol and version; unchanged means not redone"
    )
    version: str
    protocol_sha256: str
    visits: tuple[VisitRecord, ...]
    rows: tuple[VolumeRow, ...]
    inputs: dict[str, str] = Field(description="path relative to the study -> SHA-256")
    outputs: dict[str, str] = Field(description="path relative to the output folder -> SHA-256")
    versions: dict[str, str] = Field(default_factory=dict, description="library -> version")

    def visit(self, name: str) -> VisitRecord | None:
        """Return one visit by its name."""
        return next((v for v in self.visits if v.visit == name), None)

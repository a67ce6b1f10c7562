"""What is read, and what a reader says of it: the entries of the audit trail that are about reading."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

from pydantic import Field

from infarct_vol.records import ComponentRecord, Record

Image = Literal["dwi", "flair", "registration"]
"""What is judged of a session: the infarct on its DWI, the infarct on its FLAIR, its registration."""
MaskKey = Literal["dwi", "flair", "cavity", "new_lesion"]
"""Masks of a visit, by the names its record gives them."""
KEYS_OF: Mapping[Image, tuple[MaskKey, ...]] = {
    "dwi": ("dwi",),
    "flair": ("flair", "cavity", "new_lesion"),
    "registration": (),
}
"""Image -> the masks drawn on it; first the infarct, then the cavity in it and new lesions beside it."""
Verdict = Literal["accept", "reject", "query", "not_measurable"]
ReadKind = Literal["open", "read", "reread", "adjudication"]
"""How it was read: openly by one reader after the other, blinded, blinded again, or by the adjudicator."""
Role = Literal["reader", "adjudicator"]

DECISION = "decision"
EDIT = "edit"
LATE_DECISION = "decision not taken over"
"""Somebody else had decided meanwhile; kept, and counts for nothing."""
LATE_EDIT = "edit not taken over"
ENROLMENT = "reader enrolled"
SIGNED_IN = "signed in"
READING_OPENED = "reading opened"
"""The first entry of a reading: holds the random key that codes and orders are drawn with."""
UNBLINDING = "unblinding"
LOCK = "lock"
UNLOCK = "unlock"


class Item(NamedTuple):
    """One thing to judge."""

    participant_id: str
    session_id: str
    image: Image

    @property
    def subject(self) -> str:
        """Name in the audit trail, such as ``sub-001/ses-M03/flair``."""
        return "/".join(self)

    @classmethod
    def of(cls, subject: str) -> Item | None:
        """Return the item of an entry's subject; None where it is about something else."""
        parts = subject.rsplit("/", 2)
        if len(parts) != 3 or parts[2] not in KEYS_OF:
            return None
        return cls(parts[0], parts[1], parts[2])  # type: ignore[arg-type]


class Decision(Record):
    """What a reader decided on an item; ``new`` of an entry with the action ``decision``.

    The reason is the entry's own.
    """

    verdict: Verdict
    kind: ReadKind = "open"
    masks: dict[MaskKey, str] = Field(
        default_factory=dict, description="SHA-256 of the masks that were judged; empty for a registration"
    )
    scan_sha256: str = Field("", description="SHA-256 of the scan they lie on")
    volume_ml: float | None = Field(None, description="mL of the infarct that was judged")
    chosen: int | None = Field(
        None, description="adjudication: read 1 or 2 that was taken; None: an own mask"
    )


class MaskVersion(Record):
    """One corrected mask; ``new`` of an entry with the action ``edit``. The reason is the entry's own."""

    key: MaskKey
    kind: ReadKind = "open"
    path: str = Field(description="relative to the output folder")
    sha256: str
    parent_sha256: str = Field(description="SHA-256 of the mask it was made from")
    scan_sha256: str = Field(description="SHA-256 of the scan it lies on")
    automatic_sha256: str = Field(description="SHA-256 of the mask the run measured")
    tool: str = Field(description="'page', 'upload', or 'cut' where a part was cut to the infarct around it")
    volume_ml: float
    voxel_count: int
    voxel_volume_mm3: float
    lesion_count: int
    volume_ml_low: float
    volume_ml_high: float
    difference_ml: float = Field(description="mL less those of the parent")
    automatic_volume_ml: float
    automatic_dice: float
    components: tuple[ComponentRecord, ...] = ()
    sidecar_sha256: str = Field("", description="SHA-256 of the JSON beside it")


class Reader(Record):
    """Somebody who may sign."""

    name: str
    role: Role = "reader"

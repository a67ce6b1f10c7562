"""What counts for an item once everybody has read it, and the reads it comes from."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from infarct_vol.records import Record
from infarct_vol.review.model import Item, MaskKey, MaskVersion, ReadKind, Role, Verdict

State = Literal["open", "query", "settled", "disagreement", "stale"]
"""How far an item is: not all decided, asked about, decided, two reads that wait for a third, or two reads
of which one is of a scan or mask that changed since."""


class Standing(Record):
    """What counts for an item; made from the entries of the audit trail, stored nowhere."""

    item: Item
    state: State = "open"
    verdict: Verdict | None = Field(None, description="empty until it is settled or asked about")
    kind: ReadKind = "open"
    readers: tuple[str, ...] = Field((), description="who decided; both where the mean of two reads counts")
    utc: str = Field("", description="when the decision was made that settled it")
    reason: str = ""
    masks: dict[MaskKey, MaskVersion] = Field(
        default_factory=dict,
        description="versions that count; a mask that is not in it is the one the run made",
    )
    judged: dict[MaskKey, str] = Field(
        default_factory=dict, description="SHA-256 of the masks that were judged"
    )
    scan_sha256: str = Field("", description="SHA-256 of the scan they were judged on")
    volume_ml: float | None = Field(
        None, description="mL of the infarct, where it is not that of one mask: the mean of two reads"
    )
    sources: tuple[str, ...] = Field((), description="paths of the masks a mean is made of")
    rule: str = Field("", description="rule of the protocol the value comes from; empty in an open reading")
    waiting: bool = Field(False, description="an edit was saved that nobody has decided on yet")


class Read(Record):
    """One read of an item by one reader; several of one item make the agreement of readers."""

    item: Item
    kind: ReadKind = "open"
    role: Role = "reader"
    reader: int = Field(1, ge=1, description="number of the reader of this role, by order of enrolment")
    number: int = Field(1, ge=1, description="1: first read of the item by this reader, 2: second")
    verdict: Verdict
    volume_ml: float | None = Field(None, description="mL of the infarct; empty where there is no value")
    mask_path: str = Field("", description="the infarct, relative to the output folder")
    mask_sha256: str = ""

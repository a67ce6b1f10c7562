"""What a reader says of an item, held against what there is, on its way into the audit trail."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from pydantic import Field

from infarct_vol.audit import Draft
from infarct_vol.errors import LockedStudyError, ReviewError
from infarct_vol.files import file_sha256
from infarct_vol.records import Record
from infarct_vol.review.cases import Case, Facts, UnknownCaseError, fits_mask
from infarct_vol.review.model import DECISION, KEYS_OF, Decision, MaskKey, Verdict
from infarct_vol.review.state import Reading, Stream
from infarct_vol.review.versions import load_kept, room_of

LONGEST_REASON = 2000
"""Characters of a reason."""


class Judgement(Record):
    """What a reader says of one item, and of which masks, as the page sends it."""

    item: str
    verdict: Verdict
    reason: str = Field("", max_length=LONGEST_REASON)
    revision: int = Field(ge=0)
    masks: dict[MaskKey, str] = Field(default_factory=dict)
    chosen: int | None = Field(None, ge=1, le=2)


def decided(case: Case, reading: Reading, facts: Facts, one: Judgement, *, out: Path) -> Draft:
    """Return the entry of a decision.

    Raises
    ------
    ReviewError
        If a reason is missing, or what was judged is not a mask of this item as it was measured or saved.
    """
    reason = one.reason.strip()
    if one.verdict != "accept" and not reason:
        msg = f"a reason is needed for '{one.verdict.replace('_', ' ')}'"
        raise ReviewError(msg)
    _require_chosen(case, reading, facts, one)
    decision = Decision(
        verdict=one.verdict,
        kind=case.kind,
        masks=one.masks,
        scan_sha256=facts.scan_sha256,
        volume_ml=_judged_ml(case, reading, facts, one, out=out),
        chosen=one.chosen,
    )
    before = case.stream(reading, facts).decision
    return Draft(
        DECISION,
        subject=facts.item.subject,
        reason=reason,
        old=before.decision.model_dump_json() if before else "",
        new=decision.model_dump_json(),
        who=case.reader.name,
    )


def _require_chosen(case: Case, reading: Reading, facts: Facts, one: Judgement) -> None:
    """Refuse to say that a read is taken where what is signed is not what was read."""
    if one.chosen is None:
        return
    reads = reading.blinded(facts.item) if case.kind == "adjudication" else []
    found = reads[one.chosen - 1].decision if one.chosen <= len(reads) else None
    if found is None or (found.verdict, found.masks) != (one.verdict, one.masks):
        msg = f"this is not what read {one.chosen} says; take the read as it is, or decide without it"
        raise ReviewError(msg, where=case.title)


def _judged_ml(case: Case, reading: Reading, facts: Facts, one: Judgement, *, out: Path) -> float | None:
    """Hold the masks that were judged against the item and the disk; return the infarct's mL."""
    if set(one.masks) != set(facts.masks):
        named = ", ".join(facts.masks) or "none"
        msg = f"the decision names the masks {', '.join(one.masks) or 'none'}; the item has {named}"
        raise ReviewError(msg, where=case.title)
    require_usable(case, reading, facts, one.masks)
    for key, sha256 in one.masks.items():
        try:
            path, digest = case.mask(reading, one.item, key, sha256)
        except UnknownCaseError as error:
            # a signature on the mask of another item, or on one that was never made
            raise ReviewError(error.message, where=case.title) from None
        if not (out / path).is_file() or file_sha256(out / path) != digest:
            msg = f"{path} is not what it was when it was measured or saved; nothing can be signed on it"
            raise ReviewError(msg, where=case.title)
    _require_fitting(case, reading, facts, one, out=out)
    infarct = [one.masks[key] for key in KEYS_OF[facts.item.image][:1]]
    return case.volume_ml(reading, facts, infarct[0]) if infarct else None


def require_usable(case: Case, reading: Reading, facts: Facts, masks: Mapping[MaskKey, str]) -> None:
    """Refuse a version that was corrected from a mask the run has made anew since.

    Raises
    ------
    ReviewError
        If there is one.
    """
    visible = case.visible(reading, facts)
    old = [key for key, sha in masks.items() if sha in visible and sha != facts.masks.get(key)]
    old = [key for key in old if not fits_mask(visible[masks[key]], facts.masks.get(key, ""))]
    if old:
        msg = f"mask '{old[0]}' was corrected before the input changed; correct the mask of the run again"
        raise ReviewError(msg, where=case.title)


def _require_fitting(case: Case, reading: Reading, facts: Facts, one: Judgement, *, out: Path) -> None:
    """Refuse masks put together from several versions where a part does not fit the infarct."""
    parts = [key for key in KEYS_OF[facts.item.image][1:] if key in one.masks]
    if not parts or one.masks in (case.in_work(reading, facts), dict(facts.masks)):
        return
    found = {key: case.mask(reading, one.item, key, sha256) for key, sha256 in one.masks.items()}
    data = {key: load_kept(out, path, digest).data for key, (path, digest) in found.items()}
    infarct = data[KEYS_OF[facts.item.image][0]]
    for key in parts:
        if np.any(data[key] & ~room_of(key, infarct)):
            where = "out of" if key == "cavity" else "into"
            msg = f"mask '{key}' reaches {where} the infarct it is judged with; correct one of them first"
            raise ReviewError(msg, where=case.title)


def require_open(case: Case, reading: Reading, facts: Facts) -> Stream:
    """Return an item's stream, if it may be changed.

    Raises
    ------
    LockedStudyError
        If the study is locked.
    ReviewError
        If it is a blinded read that was signed, a case that two others read, or not the adjudicator's to
        decide. A signed read of a scan or mask that changed since may be made again.
    """
    if reading.lock is not None:
        signed = f"{reading.lock.who}, {reading.lock.utc}"
        msg = f"the study is locked: signed by {signed}; unlock it, with a reason, before anything changes"
        raise LockedStudyError(msg)
    stream = case.stream(reading, facts)
    before = stream.decision
    stands = before is not None and before.decision.verdict != "query" and facts.fits(reading, stream)
    if case.kind in ("read", "reread") and stands:
        msg = "this blinded read is signed and stands; a difference is settled by the adjudicator"
        raise ReviewError(msg, where=case.title)
    if case.kind == "read" and not reading.may_read(facts.item.participant_id, case.reader.name):
        msg = "two others read this case; it is no longer yours"
        raise ReviewError(msg, where=case.title)
    if case.kind == "adjudication" and not facts.is_due(reading, case.reader.name):
        msg = "no two reads of it differ, or another adjudicator decided; there is nothing to adjudicate"
        raise ReviewError(msg, where=case.title)
    return stream

"""What a reader says of an item, held against what there is, on its way into the audit trail."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from infarct_vol.audit import Draft
from infarct_vol.errors import LockedStudyError, ReviewError
from infarct_vol.files import file_sha256
from infarct_vol.records import Record
from infarct_vol.review.cases import Case, Facts, UnknownCaseError
from infarct_vol.review.model import DECISION, KEYS_OF, Decision, MaskKey, Verdict
from infarct_vol.review.state import Reading, Stream

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


def _judged_ml(case: Case, reading: Reading, facts: Facts, one: Judgement, *, out: Path) -> float | None:
    """Hold the masks that were judged against the item and the disk; return the infarct's mL."""
    if set(one.masks) != set(facts.masks):
        named = ", ".join(facts.masks) or "none"
        msg = f"the decision names the masks {', '.join(one.masks) or 'none'}; the item has {named}"
        raise ReviewError(msg, where=case.title)
    for key, sha256 in one.masks.items():
        try:
            path, digest = case.mask(reading, one.item, key, sha256)
        except UnknownCaseError as error:
            # a signature on the mask of another item, or on one that was never made
            raise ReviewError(error.message, where=case.title) from None
        if not (out / path).is_file() or file_sha256(out / path) != digest:
            msg = f"{path} is not what it was when it was measured or saved; nothing can be signed on it"
            raise ReviewError(msg, where=case.title)
    infarct = [one.masks[key] for key in KEYS_OF[facts.item.image][:1]]
    return case.volume_ml(reading, facts, infarct[0]) if infarct else None


def require_open(case: Case, reading: Reading, facts: Facts) -> Stream:
    """Return an item's stream, if it may be changed.

    Raises
    ------
    LockedStudyError
        If the study is locked.
    ReviewError
        If it is a blinded read that was signed, or not the adjudicator's to decide.
    """
    if reading.lock is not None:
        signed = f"{reading.lock.who}, {reading.lock.utc}"
        msg = f"the study is locked: signed by {signed}; unlock it, with a reason, before anything changes"
        raise LockedStudyError(msg)
    stream = case.stream(reading, facts)
    before = stream.decision
    if case.kind in ("read", "reread") and before and before.decision.verdict != "query":
        msg = "this blinded read is signed and stands; a difference is settled by the adjudicator"
        raise ReviewError(msg, where=case.title)
    if case.kind == "adjudication" and not reading.must_adjudicate(facts.item):
        msg = "both reads agree; there is nothing to adjudicate"
        raise ReviewError(msg, where=case.title)
    return stream

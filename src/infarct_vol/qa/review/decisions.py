"""What readers decided of one participant, as text: decisions, versions of masks, and history."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from infarct_vol.audit import Entry
from infarct_vol.qa.review.history import Decided, History, Version
from infarct_vol.qa.wording import has_value, number, session_label, visit_label
from infarct_vol.records import ParticipantRecord
from infarct_vol.review.cases import Facts, items_of
from infarct_vol.review.model import Item
from infarct_vol.review.standing import Standing

Cells = dict[str, str]
VERDICT_LABELS = {
    "accept": "accepted",
    "reject": "rejected",
    "query": "query",
    "not_measurable": "not measurable",
}
VERDICT_STATES = {
    "accept": "reviewed",
    "reject": "failed",
    "query": "flagged",
    "not_measurable": "not_measurable",
}
"""Verdict -> colour of its chip."""
_KIND_LABELS = {
    "open": "",
    "read": "blinded read",
    "reread": "blinded re-read",
    "adjudication": "adjudication",
}
_KEY_LABELS = {"dwi": "infarct", "flair": "infarct", "cavity": "cavity", "new_lesion": "new lesion"}
_IMAGE_LABELS = {"dwi": "infarct on DWI", "flair": "infarct on FLAIR", "registration": "registration"}
_TOOL_LABELS = {"page": "drawn on the page", "upload": "uploaded", "cut": "cut to the infarct"}


def short(sha256: str) -> str:
    """Return the first twelve digits of a hash."""
    return sha256[:12]


def moment(utc: str) -> str:
    """Return a time of the audit trail to the second."""
    return utc[:19].replace("T", " ")


@dataclass(frozen=True)
class Reviewed:
    """A participant with what readers made of it.

    Parameters
    ----------
    record
        The record with its reviews applied.
    before
        The record as the run wrote it.
    history
        What the audit trail says of the participant.
    standings
        What counts, by item.
    """

    record: ParticipantRecord
    before: ParticipantRecord
    history: History
    standings: Mapping[Item, Standing]

    def label(self, item: Item) -> str:
        """Return an item as a reader calls it, such as ``month 3, infarct on FLAIR``."""
        visit = next((v.visit for v in self.record.visits if v.session_id == item.session_id), None)
        place = visit_label(visit) if visit is not None else session_label(item.session_id)
        return f"{place}, {_IMAGE_LABELS[item.image]}"

    @property
    def facts(self) -> dict[Item, Facts]:
        """The items there are to judge."""
        return {facts.item: facts for facts in items_of(self.before)}


def decision_lines(one: Reviewed, *, all_items: bool = False) -> list[Cells]:
    """Return every decision, item by item in the order of visits.

    Parameters
    ----------
    one
        The participant.
    all_items
        Whether an item that nobody decided on has a line, too.
    """
    facts = one.facts
    items = list(dict.fromkeys([*facts, *(decided.item for decided in one.history.decisions)]))
    lines: list[Cells] = []
    for item in items:
        own = [decided for decided in one.history.decisions if decided.item == item]
        lines += [_decision_cells(one, decided, facts.get(item)) for decided in own]
        standing = one.standings.get(item)
        if standing is not None and standing.state == "disagreement":
            lines.append(_plain(one, item, state="flagged", word="reads disagree; waits for adjudication"))
        elif standing is not None and standing.state == "stale":
            lines.append(_plain(one, item, state="flagged", word="read before the input changed; read again"))
        elif not own and all_items:
            lines.append(_plain(one, item, state="missing", word="not reviewed"))
    return lines


def _plain(one: Reviewed, item: Item, *, state: str, word: str) -> Cells:
    empty = dict.fromkeys(("who", "utc", "kind", "reason", "volume", "masks", "outcome", "sequence"), "")
    return {**empty, "item": one.label(item), "state": state, "verdict": word}


def _decision_cells(one: Reviewed, decided: Decided, facts: Facts | None) -> Cells:
    decision, entry = decided.decision, decided.entry
    outcome = _outcome(one, decided, facts)
    counts = outcome.startswith("counts")
    return {
        "item": one.label(decided.item),
        "state": VERDICT_STATES[decision.verdict] if counts else "missing",
        "verdict": VERDICT_LABELS[decision.verdict],
        "who": entry.who,
        "utc": moment(entry.utc),
        "kind": _KIND_LABELS[decision.kind],
        "reason": entry.reason,
        "volume": number(decision.volume_ml),
        "masks": ", ".join(
            f"{_KEY_LABELS[key]} {short(sha256)}" for key, sha256 in sorted(decision.masks.items())
        ),
        "outcome": outcome,
        "sequence": str(entry.sequence),
    }


def _outcome(one: Reviewed, decided: Decided, facts: Facts | None) -> str:
    """Return what became of a decision."""
    if not decided.taken_over:
        return "not taken over: somebody else had decided meanwhile"
    if one.history.superseded(decided):
        return "superseded by a later decision"
    if facts is None or not _fits(decided, facts, one.history):
        return "the scan or mask changed since: review again"
    standing = one.standings.get(decided.item)
    kind = decided.decision.kind
    if standing is None or decided.entry.who not in standing.readers or standing.kind != kind:
        return "for agreement only" if kind == "reread" else "one of two reads"
    more = "; an edit saved later waits for a decision" if standing.waiting else ""
    rule = f" ({standing.rule} of two reads)" if standing.rule in ("first", "mean") else ""
    return f"counts{rule}{more}"


def _fits(decided: Decided, facts: Facts, history: History) -> bool:
    """Tell whether a decision is on the scan and on masks that are there now."""
    known = set(facts.masks.values()) | {
        version.mask.sha256
        for version in history.versions
        if version.item == decided.item
        and version.mask.automatic_sha256 == facts.masks.get(version.mask.key, "")
    }
    decision = decided.decision
    return decision.scan_sha256 == facts.scan_sha256 and set(decision.masks.values()) <= known


def version_lines(one: Reviewed) -> list[Cells]:
    """Return every version of every mask that was ever corrected, the automatic one first."""
    lines: list[Cells] = []
    corrected = {(version.item, version.mask.key) for version in one.history.versions}
    for item, key in sorted(corrected):
        own = [v for v in one.history.versions if v.item == item and v.mask.key == key]
        counted = _counted(one, item, key)
        lines.append(_automatic_cells(one, own[-1], counted=counted))
        lines += [_version_cells(one, version, counted=counted) for version in own]
    return lines


def _counted(one: Reviewed, item: Item, key: str) -> str:
    """Return the path of the mask that counts now."""
    visit = next((v for v in one.record.visits if v.session_id == item.session_id), None)
    return visit.masks.get(key, "") if visit is not None else ""


def _automatic_cells(one: Reviewed, last: Version, *, counted: str) -> Cells:
    visit = next((v for v in one.before.visits if v.session_id == last.item.session_id), None)
    path = visit.masks.get(last.mask.key, "") if visit is not None else ""
    return {
        "mask": _mask_label(one, last),
        "version": "as the run measured it",
        "volume": number(last.mask.automatic_volume_ml),
        "difference": "",
        "dice": "",
        "who": "",
        "utc": "",
        "reason": "",
        "sha256": short(last.mask.automatic_sha256),
        "counts": "counts" if path and path == counted else "",
    }


def _version_cells(one: Reviewed, version: Version, *, counted: str) -> Cells:
    mask, entry = version.mask, version.entry
    late = "" if version.taken_over else " (not taken over)"
    return {
        "mask": _mask_label(one, version),
        "version": _TOOL_LABELS.get(mask.tool, mask.tool) + late,
        "volume": number(mask.volume_ml),
        "difference": number(mask.difference_ml, sign=True) if has_value(mask.difference_ml) else "",
        "dice": f"{mask.automatic_dice:.3f}",
        "who": entry.who,
        "utc": moment(entry.utc),
        "reason": entry.reason,
        "sha256": short(mask.sha256),
        "counts": "counts" if mask.path == counted else "",
    }


def _mask_label(one: Reviewed, version: Version) -> str:
    visit = one.label(version.item).split(",")[0]
    return f"{visit}, {_KEY_LABELS[version.mask.key]} on {version.item.image.upper()}"


def history_lines(one: Reviewed) -> list[Cells]:
    """Return everything the audit trail holds of a participant, in its order."""
    details = {d.entry.sequence: _decision_detail(d) for d in one.history.decisions}
    details |= {v.entry.sequence: _version_detail(v) for v in one.history.versions}
    details |= {at: "cannot be read by this version" for at in one.history.unreadable}
    found: list[Decided | Version] = [*one.history.decisions, *one.history.versions]
    items = {each.item.subject: each.item for each in found}
    lines = []
    for entry in one.history.entries:
        subject = one.label(items[entry.subject]) if entry.subject in items else entry.subject
        lines.append({**entry_cells(entry, detail=details.get(entry.sequence)), "subject": subject})
    return lines


def _decision_detail(decided: Decided) -> str:
    decision = decided.decision
    parts = [VERDICT_LABELS[decision.verdict], _KIND_LABELS[decision.kind]]
    if has_value(decision.volume_ml):
        parts.append(f"{number(decision.volume_ml)} mL")
    return ", ".join(part for part in parts if part)


def _version_detail(version: Version) -> str:
    mask = version.mask
    change = f"{number(mask.difference_ml, sign=True)} mL" if mask.difference_ml else "no change in volume"
    return f"{_KEY_LABELS[mask.key]} {number(mask.volume_ml)} mL ({change}), {short(mask.sha256)}"


def entry_cells(entry: Entry, *, detail: str | None = None) -> Cells:
    """Return an entry of the trail as a line of a table.

    What stood before and after is told of an input file only: elsewhere it may be a key or a secret.
    """
    if detail is None:
        detail = ""
        if entry.action == "input changed":
            detail = f"SHA-256 {short(entry.old) or 'none'} to {short(entry.new) or 'none'}"
    return {
        "sequence": str(entry.sequence),
        "utc": moment(entry.utc),
        "who": entry.who,
        "action": entry.action,
        "subject": entry.subject,
        "reason": entry.reason,
        "detail": detail,
        "sha256": short(entry.sha256),
    }


def entry_lines(entries: Iterable[Entry]) -> list[Cells]:
    """Return entries that are about no single participant."""
    return [entry_cells(entry) for entry in entries]

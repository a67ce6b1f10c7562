"""The review on paper and on disk: a page a participant, a contact sheet of the trial, one PDF of both."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from infarct_vol._version import __version__
from infarct_vol.dates import newest
from infarct_vol.files import write_bytes
from infarct_vol.protocol import Protocol
from infarct_vol.qa import content
from infarct_vol.qa.album import FigureList, embedded_figure, figure_bytes, read_figures
from infarct_vol.qa.endpoint.content import TrialFacts
from infarct_vol.qa.page import asset, css_text, rendered
from infarct_vol.qa.review.decisions import (
    Reviewed,
    decision_lines,
    entry_lines,
    history_lines,
    short,
    version_lines,
)
from infarct_vol.qa.review.figures import BEHIND, pictures_behind, refresh_figures
from infarct_vol.qa.review.listing import Cells, change_lines, hash_lines, participant_file, sheet_row
from infarct_vol.qa.review.source import ReviewSource, open_source
from infarct_vol.qa.states import STATES
from infarct_vol.qa.trajectories import arms_of
from infarct_vol.qa.wording import visit_label
from infarct_vol.records import ParticipantRecord
from infarct_vol.review.model import SIGNED_IN
from infarct_vol.settings import ANALYSED_VISITS
from infarct_vol.tables import read_tables


@dataclass(frozen=True)
class ReviewPages:
    """What was written, and what its pictures lack.

    Parameters
    ----------
    paths
        Contact sheet, PDF, then a page a participant.
    notes
        Participants whose pictures show another mask than the one that counts, and why.
    """

    paths: tuple[Path, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Frame:
    """What all pages of a trial share."""

    out: Path
    protocol: Protocol
    change: Mapping[str, pd.DataFrame]
    facts: TrialFacts
    source: ReviewSource

    @property
    def head_sha256(self) -> str:
        """Hash of the last entry of the audit trail; empty where there is none."""
        head = self.source.trail.head
        return head.sha256 if head is not None else ""

    @property
    def shared(self) -> dict[str, Any]:
        """What every template is given."""
        head = self.source.trail.head
        return {
            "study": self.protocol.study_id or "Unnamed study",
            "version": self.facts.version,
            "protocol_sha256": self.protocol.sha256,
            "data_cut": self.facts.data_cut or "no scan has a date",
            "mark": self.facts.mark,
            "audit_head": f"entry {head.sequence}" if head is not None else "no audit trail",
            "audit_sha256": self.head_sha256,
            "chain": self.source.chain,
            "blinded_reads": self.protocol.review.reads == 2,
        }


def write_review_pages(
    out: Path,
    records: Iterable[ParticipantRecord],
    *,
    protocol: Protocol,
    study_root: Path | None,
) -> ReviewPages:
    """Write the pages of the review below ``OUT/report``; `infarct_vol.qa.write_report` links to them.

    Parameters
    ----------
    out
        Output folder of a run, with its tables, figures and audit trail.
    records
        The records with their reviews applied, read one at a time.
    protocol
        The protocol of the run.
    study_root
        Study folder, from which figures are drawn again after an edit; None where it is not known.

    Returns
    -------
    ReviewPages
        ``contact_sheet.html``, ``review.pdf`` and ``participants/<id>.html``. Each opens from disk and loads
        nothing; equal inputs give equal bytes.
    """
    from infarct_vol.qa.review.pdf import ReviewDocument

    out = Path(out)
    frame = _frame(out, protocol)
    document = ReviewDocument(frame.facts, shared=frame.shared)
    sheet = _Sheet()
    for record in _ordered(records):
        note = refresh_figures(record, study_root=study_root, out=out, protocol=protocol)
        sheet.notes += [note] if note else []
        drawn = read_figures(record.participant_id, out)
        one = frame.source.of(record)
        cells = participant_cells(frame, one, drawn)
        sheet.paths.append(_write_participant(frame, cells))
        sheet.rows.append(sheet_row(one, drawn, out, change=cells["change"]))
        document.add(cells)
    _remove_others(out, sheet.paths)
    events = entry_lines(entry for entry in frame.source.trail.study if entry.action != SIGNED_IN)
    contact = _write_contact_sheet(frame, sheet.rows, events)
    pdf = out / "report" / "review.pdf"
    write_bytes(document.to_bytes(sheet.rows, events), pdf)
    return ReviewPages((contact, pdf, *sheet.paths), tuple(sheet.notes))


@dataclass
class _Sheet:
    """What gathers while the participants go by."""

    paths: list[Path] = field(default_factory=list)
    rows: list[Cells] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def _ordered(records: Iterable[ParticipantRecord]) -> Iterable[ParticipantRecord]:
    if isinstance(records, Sequence):
        return sorted(records, key=lambda record: record.participant_id)
    return records


def _frame(out: Path, protocol: Protocol) -> Frame:
    tables = read_tables(out)
    cut = newest(list(tables.volumes["acq_time"]))
    versions = sorted({str(version) for version in tables.volumes["version"].dropna()} - {""})
    facts = TrialFacts(
        study_id=protocol.study_id,
        protocol_sha256=protocol.sha256,
        version=", ".join(versions) or __version__,
        data_cut=cut.date().isoformat() if cut is not None else "",
        blinded=not arms_of(tables.summary),
        statement="",
        participants_n=int(tables.volumes["participant_id"].nunique()),
    )
    change = {str(name): own for name, own in tables.change.groupby("participant_id")}
    return Frame(out, protocol, change, facts, open_source(out, protocol=protocol))


def participant_cells(frame: Frame, one: Reviewed, drawn: FigureList | None) -> dict[str, Any]:
    """Return everything a participant's page shows."""
    record, out = one.record, frame.out
    behind = pictures_behind(record, drawn, out)
    return {
        **content.participant(record, drawn, at=1),
        "decisions": decision_lines(one, all_items=True),
        "versions_of_masks": version_lines(one),
        "history": history_lines(one),
        "change": change_lines(frame.change.get(record.participant_id)),
        "hashes": hash_lines(one),
        "pictures_note": BEHIND if behind else "",
        "file": participant_file(record.participant_id),
        "embed": partial(embedded_figure, record.participant_id, out),
        "picture": partial(figure_bytes, record.participant_id, out),
    }


def _write_participant(frame: Frame, cells: Mapping[str, Any]) -> Path:
    words = f"protocol {short(frame.protocol.sha256)}, audit head {short(frame.head_sha256) or 'none'}"
    path = frame.out / "report" / str(cells["file"])
    page = rendered(
        "participant_page.html.j2",
        more_style=print_style(f"{cells['id']}  {frame.facts.mark}", f"infarct-vol, {words}"),
        person=cells,
        **frame.shared,
    )
    write_bytes(page, path)
    return path


def _write_contact_sheet(frame: Frame, rows: Sequence[Cells], events: Sequence[Cells]) -> Path:
    path = frame.out / "report" / "contact_sheet.html"
    name = frame.protocol.study_id or "Unnamed study"
    words = f"infarct-vol, protocol {short(frame.protocol.sha256)}"
    page = rendered(
        "contact_sheet.html.j2",
        more_style=print_style(f"{name}  {frame.facts.mark}", words),
        visits=[visit_label(visit) for visit in ANALYSED_VISITS],
        rows=rows,
        totals=list(_totals(rows)),
        events=events,
        **frame.shared,
    )
    write_bytes(page, path)
    return path


def _totals(rows: Sequence[Cells]) -> Iterator[Cells]:
    """Yield how many visits are in each state."""
    cells = [cell for row in rows for cell in row["cells"]]
    labels = {cell["state"]: cell["status"] for cell in cells}
    for state in STATES:
        if state in labels:
            count = sum(cell["state"] == state for cell in cells)
            yield {"state": state, "label": labels[state], "count": str(count)}


def print_style(head: str, foot: str) -> str:
    """Return the style sheet of the review's pages, with what stands on every printed sheet."""
    boxes = f"@top-left {{ content: {css_text(head)}; }} @bottom-left {{ content: {css_text(foot)}; }}"
    return f"{asset('review.css')}@page {{ {boxes} }}\n"


def _remove_others(out: Path, written: Iterable[Path]) -> None:
    """Remove the pages of participants who are no longer there."""
    for old in set((out / "report" / "participants").glob("*.html")) - set(written):
        old.unlink()

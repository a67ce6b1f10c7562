"""The static report: one HTML file that opens from disk, without a network, by a person who was not there."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from infarct_vol._version import __version__
from infarct_vol.files import write_bytes
from infarct_vol.protocol import Protocol
from infarct_vol.qa import content
from infarct_vol.qa.album import embedded_figure, read_figures
from infarct_vol.qa.page import embedded, rendered
from infarct_vol.qa.review.decisions import decision_lines, version_lines
from infarct_vol.qa.review.figures import BEHIND, pictures_behind
from infarct_vol.qa.review.listing import participant_file
from infarct_vol.qa.review.source import ReviewSource, open_source
from infarct_vol.qa.trajectories import arms_of, measured_against_true, trial_change
from infarct_vol.qa.wording import PARAMETER_LABELS, visit_label
from infarct_vol.records import ParticipantRecord
from infarct_vol.settings import ANALYSED_VISITS
from infarct_vol.tables import Tables, read_tables


def write_report(
    out: Path,
    records: Sequence[ParticipantRecord],
    *,
    protocol: Protocol,
    truth: pd.DataFrame | None = None,
) -> Path:
    """Write ``OUT/report/index.html`` from the records, the tables and the figures in ``out``.

    Parameters
    ----------
    out
        Output folder with ``tables/`` and ``report/figures/``.
    records
        One record per participant.
    protocol
        The protocol the records were made by; printed in the report.
    truth
        Measured against true volumes of a simulated trial, as
        `infarct_vol.tables.measured_against_truth` gives it: columns ``participant_id``, ``visit``,
        ``parameter``, ``true_ml``, ``measured_ml``, ``error_ml``, ``error_percent``, ``status``.

    Returns
    -------
    Path
        The page. It holds every picture itself and loads nothing; equal inputs give equal bytes.

    Raises
    ------
    UsageError
        If a table is not there or is not one of ours.
    """
    out = Path(out)
    ordered = sorted(records, key=lambda record: record.participant_id)
    tables = read_tables(out)
    source = open_source(out, protocol=protocol)
    page = rendered(
        "report.html.j2",
        **_head(ordered, tables, protocol),
        **_results(ordered, tables),
        **_truth(truth),
        **_links(out),
        participants=[_participant(r, out, source, at=at) for at, r in enumerate(ordered, start=1)],
    )
    path = out / "report" / "index.html"
    write_bytes(page, path)
    return path


def _head(records: Sequence[ParticipantRecord], tables: Tables, protocol: Protocol) -> dict[str, Any]:
    found = content.counts(records)
    arms = arms_of(tables.summary)
    versions = sorted({record.version for record in records})
    return {
        "study": protocol.study_id or "Unnamed study",
        "version": ", ".join(versions) or __version__,
        "protocol_sha256": protocol.sha256,
        "protocol_toml": protocol.to_toml(),
        "data_cut": content.data_cut(records),
        "arms": arms,
        "cards": content.cards(found),
        "sentences": content.sentences(found, tables.summary),
    }


def _results(records: Sequence[ParticipantRecord], tables: Tables) -> dict[str, Any]:
    charts = [
        embedded(trial_change(tables.change, tables.summary, column=column))
        for column in ("change_ml", "percent_change")
    ]
    return {
        "visits": [visit_label(visit) for visit in ANALYSED_VISITS],
        "volume_matrix": content.volume_matrix(records),
        "summary": content.summary_table(tables.summary),
        "change_charts": charts,
        "change_tables": [
            {
                "title": PARAMETER_LABELS[name],
                "rows": content.change_matrix(tables.change, name),
                "unlike": content.unlike_reasons(tables.change, name),
            }
            for name in content.PRIMARY
        ],
        "follow_ups": [visit_label(visit) for visit in content.FOLLOW_UPS],
        "problems": content.problems(records),
        "flags": content.flags(records),
    }


def _truth(truth: pd.DataFrame | None) -> dict[str, Any]:
    if truth is None or truth.empty:
        return {"truth_rows": [], "truth_words": [], "truth_chart": ""}
    rows, words = content.truth_table(truth)
    chart = measured_against_true(content.without_repeats(truth))
    return {"truth_rows": rows, "truth_words": words, "truth_chart": embedded(chart)}


def _links(out: Path) -> dict[str, str]:
    """Return the pages of the review that are there; an empty text for one that is not."""
    names = {"contact_sheet": "contact_sheet.html", "review_pdf": "review.pdf"}
    return {key: file if (out / "report" / file).is_file() else "" for key, file in names.items()}


def _participant(record: ParticipantRecord, out: Path, source: ReviewSource, *, at: int) -> dict[str, Any]:
    drawn = read_figures(record.participant_id, out)
    one = source.of(record)
    file = participant_file(record.participant_id)
    return {
        **content.participant(record, drawn, at=at),
        "decisions": decision_lines(one),
        "versions_of_masks": version_lines(one),
        "pictures_note": BEHIND if pictures_behind(record, drawn, out) else "",
        "file": file if (out / "report" / file).is_file() else "",
        # a picture is read when the template reaches it, so that few are in memory at once
        "embed": partial(embedded_figure, record.participant_id, out),
    }

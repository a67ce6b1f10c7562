"""The endpoint's tables as one page that opens from disk, without scripts and without a network.

great-tables lays the tables out. Every cell is text that it escapes; the page's policy allows only the
styles it carries, by their hashes.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
from markupsafe import Markup

from infarct_vol.qa.endpoint.content import (
    PRIMARY,
    TextTable,
    TrialFacts,
    change_table,
    status_table,
    summary_tables,
)
from infarct_vol.qa.endpoint.content_models import (
    correlation_table,
    model_tables,
    outcome_labels,
    outcome_tables,
)
from infarct_vol.qa.endpoint.outcomes import Outcomes
from infarct_vol.qa.page import house_style_sheet, policy_hash, rendered

MOST_LISTED = 250
"""Participants listed on the page; all are in the CSV file. Keeps the page of a large trial under 5 MB."""

_LOOK = {
    "table_width": "100%",
    "table_font_size": "12.5px",
    "table_font_color": "#1d2733",
    "table_font_names": ["system-ui", "Segoe UI", "Helvetica Neue", "Arial", "DejaVu Sans", "sans-serif"],
    "table_border_top_style": "none",
    "table_border_bottom_color": "#bcc5cf",
    "table_body_hlines_color": "#dfe4ea",
    "table_body_border_top_color": "#bcc5cf",
    "table_body_border_bottom_color": "#bcc5cf",
    "column_labels_font_weight": "600",
    "column_labels_font_size": "11.5px",
    "column_labels_border_top_style": "none",
    "column_labels_border_bottom_color": "#bcc5cf",
    "row_group_font_weight": "600",
    "row_group_background_color": "#f4f6f8",
    "row_group_border_top_color": "#bcc5cf",
    "row_group_border_bottom_color": "#dfe4ea",
    "data_row_padding": "4px",
    "row_group_padding": "4px",
}
_STYLE = """
section > h3 .blinded { margin-left: 8px; vertical-align: 1px; }
.gt_table td, .gt_table th { white-space: normal; overflow-wrap: break-word; }
.gt_table td.gt_right, .scroll:not(.wordy) td:first-child { white-space: nowrap; }
.wordy td:not(:first-child):not(:last-child) { white-space: nowrap; }
.gt_table .gt_column_spanner { font-size: 12.5px; }
.wordy .gt_table td:last-child { min-width: 30ch; max-width: 60ch; overflow-wrap: anywhere; }
"""


@dataclass(frozen=True)
class _Placed:
    """A table laid out: its heading, its markup and what stands under it."""

    title: str
    markup: Markup
    notes: tuple[str, ...]
    wordy: bool


def tables_page(
    *,
    facts: TrialFacts,
    change: pd.DataFrame,
    summary: pd.DataFrame,
    models: pd.DataFrame | None = None,
    outcomes: Outcomes | None = None,
    arms: Mapping[str, str] | None = None,
    most_listed: int = MOST_LISTED,
) -> bytes:
    """Return the page of tables: visits, summary, change from baseline, models, other outcomes.

    Parameters
    ----------
    facts
        Head of the page.
    change, summary
        Rows of ``change_from_baseline.csv`` and ``summary.csv``.
    models, outcomes
        As `infarct_vol.qa.endpoint.write_endpoint_report` takes them; left out where there are none.
    arms
        Participant -> arm; None keeps the trial blinded.
    most_listed
        Participants whose changes are listed.

    Returns
    -------
    bytes
        HTML in UTF-8. Equal inputs give equal bytes.
    """
    sections = {
        title: list(tables)
        for title, tables in _sections(change, summary, models, outcomes, arms, facts, most_listed)
    }
    numbers = iter(range(1, 1 + sum(map(len, sections.values()))))
    placed = {
        title: [_placed(table, name=f"table-{next(numbers)}") for table in tables]
        for title, tables in sections.items()
    }
    content = [table.markup for tables in placed.values() for table in tables]
    return rendered(
        "endpoint_tables.html.j2",
        title=facts.study_id or "Unnamed study",
        facts=facts.lines(),
        mark=facts.mark,
        sections=placed,
        own_style=Markup(_STYLE),  # noqa: S704 - our own text
        tables_policy=_policy(content),
    )


def _sections(
    change: pd.DataFrame,
    summary: pd.DataFrame,
    models: pd.DataFrame | None,
    outcomes: Outcomes | None,
    arms: Mapping[str, str] | None,
    facts: TrialFacts,
    most: int,
) -> Iterator[tuple[str, Sequence[TextTable]]]:
    """Yield headings and their tables in the order of the page; a section without tables stays."""
    yield "Visits", [status_table(summary)]
    yield "Summary", list(summary_tables(summary))
    listed = [name for name in PRIMARY if (change["parameter"] == name).any()]
    yield (
        "Change from baseline",
        [change_table(change, name, arms=arms, most=most) for name in listed],
    )
    yield "Models", list(model_tables(models, statement=facts.statement))
    if outcomes is not None:
        yield "Other outcomes", list(outcome_tables(outcomes.values, arms=arms))
        found = correlation_table(outcomes.correlations, labels=outcome_labels(outcomes.values))
        yield "Correlations", [found] if found else []


def _placed(table: TextTable, *, name: str) -> _Placed:
    # built of text that great-tables escapes
    markup = Markup(_laid_out(table, name=name))  # noqa: S704
    return _Placed(table.title, markup, table.notes, wordy=not table.columns[-1].numeric)


def _laid_out(table: TextTable, *, name: str) -> str:
    from great_tables import GT

    columns = [f"c{at}" for at in range(len(table.columns))]
    frame = pd.DataFrame(list(table.rows), columns=columns, dtype=object)
    if table.sections:
        starts = dict(table.sections)
        names = pd.Series([starts.get(at) for at in range(len(frame))], dtype=object)
        frame["section"] = names.ffill()
    placed = GT(frame, id=name, groupname_col="section" if table.sections else None)
    placed = placed.cols_label({c: column.label for c, column in zip(columns, table.columns, strict=True)})
    pairs = list(zip(columns, table.columns, strict=True))
    for at, group in enumerate(dict.fromkeys(column.group for column in table.columns if column.group)):
        own = [c for c, column in pairs if column.group == group]
        placed = placed.tab_spanner(label=group, columns=own, id=f"group-{at}")
    placed = placed.cols_align(align="left", columns=[c for c, column in pairs if not column.numeric])
    placed = placed.cols_align(align="right", columns=[c for c, column in pairs if column.numeric])
    return placed.tab_options(**_LOOK).as_raw_html()  # type: ignore[arg-type]


def _policy(tables: Sequence[str]) -> str:
    """Return a policy under which no script runs, nothing loads, and only the page's own styles count."""
    blocks = [
        house_style_sheet(),
        _STYLE,
        *(b for t in tables for b in re.findall(r"<style>(.*?)</style>", t, re.DOTALL)),
    ]
    inline = [html.unescape(a) for t in tables for a in re.findall(r'\sstyle="([^"]*)"', t)]
    hashes = " ".join(dict.fromkeys(policy_hash(text) for text in [*blocks, *inline]))
    return f"default-src 'none'; style-src 'unsafe-hashes' {hashes}; base-uri 'none'; form-action 'none'"

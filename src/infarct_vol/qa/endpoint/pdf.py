"""The trial summary to hand over: one PDF of tables and pictures, how they were made and their faults."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import pandas as pd

from infarct_vol.qa.endpoint.content import (
    PRIMARY,
    TextColumn,
    TextTable,
    TrialFacts,
    change_table,
    narrow_summary_tables,
    status_table,
)
from infarct_vol.qa.endpoint.content_models import (
    correlation_table,
    model_tables,
    outcome_labels,
    outcome_tables,
)
from infarct_vol.qa.endpoint.outcomes import Outcomes
from infarct_vol.qa.figures import Picture

MOST_LISTED = 200
"""Participants up to which every change is listed; above, the PDF names the CSV file."""

METHOD = (
    "Volume is the number of lesion voxels in the native grid of the image measured, times the volume of one "
    "voxel from the image's affine, in mL. No volume comes from a resampled mask.",
    "The primary parameter, infarct, is stage-aware: DWI and ADC at baseline, FLAIR lesion with its cavity "
    "at months 1, 3 and 6. The parameter infarct on FLAIR measures FLAIR at every visit.",
    "Baseline is the scan of the baseline window nearest to the first dose, and known to precede it. Study "
    "day 1 is the day of the first dose and there is no day 0. Of several scans in a window the nearest to "
    "the day aimed at counts.",
    "Change is the volume at the visit minus baseline, in mL; percent change is 100 times change over "
    "baseline and is empty where baseline is 0 mL. Both are empty unless both ends have a volume. Nothing is "
    "imputed or carried forward.",
    "A change is like for like if both ends have the same modality and method version, and scanner, field "
    "strength and voxel size are alike. Where they are not, the reason is written in the listing.",
    "Quartiles are SAS definition 5 (PCTLDEF=5). The 95 % interval of a mean is Student's (CLM of PROC "
    "MEANS), that of a median is distribution-free (CIQUANTDF of PROC UNIVARIATE). Each is empty where there "
    "are too few values.",
)
LIMITATIONS = (
    "A stage-aware change compares DWI with FLAIR. They show different things, and part of every change is "
    "the change of modality; the FLAIR series beside it is like for like where the scanner is.",
    "Infarcts shrink and oedema resolves without treatment. A change says nothing about its cause; only a "
    "comparison of arms can.",
    "Small lesions have large percent changes: a shift of the outline by one voxel can be a fifth of the "
    "volume.",
    "Lesions that are faint on FLAIR around weeks 2 to 3 may be measured too small, and white-matter disease "
    "next to the infarct too large. Flagged visits need a reader.",
    "Only participants with a value enter a statistic. If values are missing for a reason that has to do "
    "with the lesion, the statistics are biased, and nothing here corrects that.",
    "The software is research software and not a medical device.",
)


def trial_summary_pdf(
    *,
    facts: TrialFacts,
    change: pd.DataFrame,
    summary: pd.DataFrame,
    pictures: Mapping[str, Picture],
    models: pd.DataFrame | None = None,
    outcomes: Outcomes | None = None,
    arms: Mapping[str, str] | None = None,
) -> bytes:
    """Return the trial summary as a PDF.

    Parameters
    ----------
    facts
        Title block, visit windows and what the models are worth.
    change, summary
        Rows of ``change_from_baseline.csv`` and ``summary.csv``.
    pictures
        Name -> picture, in the order in which they are shown.
    models, outcomes
        As `infarct_vol.qa.endpoint.write_endpoint_report` takes them.
    arms
        Participant -> arm; None keeps the trial blinded.

    Returns
    -------
    bytes
        A4 pages with embedded fonts; BLINDED or UNBLINDED and ``Page n of N`` stand on each. The file is
        dated by the data cut: equal inputs give equal bytes.
    """
    from infarct_vol.qa.endpoint.pdf_parts import document_bytes

    story = _Story(mark=facts.mark)
    _title_block(story, facts)
    _visits(story, facts, summary)
    _summary(story, summary)
    _pictures(story, pictures)
    _listing(story, change, arms)
    _models(story, facts, models)
    _outcomes(story, outcomes, arms)
    _words(story, facts)
    title = f"Infarct volume, trial summary: {facts.study_id or 'unnamed study'}"
    return document_bytes(story.parts, facts=facts, title=title)


class _Story:
    """What follows what in the document."""

    def __init__(self, *, mark: str) -> None:
        from infarct_vol.qa.endpoint.pdf_parts import BOLD, style

        self.parts: list[Any] = []
        self.mark = mark
        self.body = style("body", spaceAfter=4)
        self.small = style("small", fontSize=7.5, leading=10, spaceAfter=6)
        heads = {"fontName": BOLD, "keepWithNext": 1}
        self.title = style("title", fontSize=18, leading=22, spaceAfter=4, **heads)
        self.head = style("head", fontSize=13, leading=17, spaceBefore=10, spaceAfter=5, **heads)
        self.under = style("under", fontSize=9.5, leading=13, spaceBefore=7, spaceAfter=3, **heads)

    def say(self, text: str, look: Any = None) -> None:
        """Add a paragraph."""
        from infarct_vol.qa.endpoint.pdf_parts import paragraph

        self.parts.append(paragraph(text, look or self.body))

    def show(self, table: TextTable, *, wide: bool = False) -> None:
        """Add a table with its heading, which carries the blinding mark, and its notes."""
        from infarct_vol.qa.endpoint.pdf_parts import PAGE_WIDTHS, table_flowable

        self.say(f"{table.title} ({self.mark})", self.under)
        if table.rows:
            width = PAGE_WIDTHS["landscape" if wide else "portrait"]
            self.parts.append(table_flowable(table, width_pt=width))
        else:
            self.say("No rows.")
        for note in table.notes:
            self.say(note, self.small)

    def turn(self, orientation: str) -> None:
        """Go on with a new page, portrait or landscape."""
        from reportlab.platypus import NextPageTemplate, PageBreak

        self.parts += [NextPageTemplate(orientation), PageBreak()]


def _title_block(story: _Story, facts: TrialFacts) -> None:
    story.say("Infarct volume and its change from baseline", story.title)
    story.say(f"Trial summary of the imaging endpoint. {facts.mark}.")
    columns = (TextColumn("fact", numeric=False, width=1), TextColumn("value", numeric=False, width=3.4))
    story.show(TextTable("facts", "What this summary is of", columns, facts.lines()))


def _visits(story: _Story, facts: TrialFacts, summary: pd.DataFrame) -> None:
    story.say("Participants and visits", story.head)
    without = facts.randomised_without_data_n
    more = "" if without is None else f" {without} more are randomised and have no data."
    story.say(f"{facts.participants_n} participants have data.{more}")
    story.show(status_table(summary))
    if facts.windows:
        columns = (
            TextColumn("visit", numeric=False),
            TextColumn("day aimed at"),
            TextColumn("window, study days"),
            TextColumn("flagged beyond, days"),
        )
        story.show(TextTable("windows", "Visit windows", columns, facts.windows))


def _summary(story: _Story, summary: pd.DataFrame) -> None:
    story.turn("portrait")
    story.say("Summary", story.head)
    found = list(narrow_summary_tables(summary))
    for table in found:
        story.show(table)
    if not found:
        story.say("There is no volume to summarise.")


def _pictures(story: _Story, pictures: Mapping[str, Picture]) -> None:
    from infarct_vol.qa.endpoint.pdf_parts import PAGE_WIDTHS, picture_flowable

    if not pictures:
        return
    story.turn("portrait")
    story.say("Pictures", story.head)
    story.parts += [picture_flowable(each, width_pt=PAGE_WIDTHS["portrait"]) for each in pictures.values()]


def _listing(story: _Story, change: pd.DataFrame, arms: Mapping[str, str] | None) -> None:
    story.turn("landscape")
    story.say("Change from baseline, participant by participant", story.head)
    count = change["participant_id"].nunique()
    if count > MOST_LISTED:
        story.say(
            f"{count:,} participants are too many to list here; the file tables/change_from_baseline.csv has "
            "a row for each participant and visit, with status and reason."
        )
        return
    listed = [name for name in PRIMARY if (change["parameter"] == name).any()]
    for name in listed:
        story.show(change_table(change, name, arms=arms), wide=True)
    if not listed:
        story.say("There is no follow-up visit.")


def _models(story: _Story, facts: TrialFacts, models: pd.DataFrame | None) -> None:
    found = list(model_tables(models, statement=facts.statement))
    if not found:
        return
    story.turn("landscape")
    story.say("Models", story.head)
    story.say(facts.statement)
    for table in found:
        # the statement stands above them all
        story.show(replace(table, notes=table.notes[1:]), wide=True)


def _outcomes(story: _Story, outcomes: Outcomes | None, arms: Mapping[str, str] | None) -> None:
    if outcomes is None or outcomes.values.empty:
        return
    story.turn("landscape")
    story.say("Other outcomes", story.head)
    for table in outcome_tables(outcomes.values, arms=arms):
        story.show(table, wide=True)
    found = correlation_table(outcomes.correlations, labels=outcome_labels(outcomes.values))
    if found:
        story.show(found, wide=True)


def _words(story: _Story, facts: TrialFacts) -> None:
    story.turn("portrait")
    story.say("How it was computed", story.head)
    repeatability = (
        (f"A change exceeds repeatability if it is larger than the limit stated: {facts.repeatability}.",)
        if facts.repeatability
        else ()
    )
    _points(story, (*METHOD, *repeatability))
    story.say("What is wrong with it", story.head)
    _points(story, LIMITATIONS)


def _points(story: _Story, sentences: Iterable[str]) -> None:
    for sentence in sentences:
        story.say(f"\N{EN DASH} {sentence}")

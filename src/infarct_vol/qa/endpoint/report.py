"""The report of the endpoint: pictures, a page of tables and a PDF to hand over, made of the tables alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from infarct_vol.errors import UsageError
from infarct_vol.files import write_bytes
from infarct_vol.qa.endpoint.change import change_by_visit
from infarct_vol.qa.endpoint.content import TrialFacts
from infarct_vol.qa.endpoint.figures import reader_difference, spaghetti
from infarct_vol.qa.endpoint.outcomes import Outcomes, outcome_scatter
from infarct_vol.qa.endpoint.page import tables_page
from infarct_vol.qa.endpoint.pdf import trial_summary_pdf
from infarct_vol.qa.endpoint.waterfall import waterfall
from infarct_vol.qa.figures import Picture
from infarct_vol.tables.randomization import ALL_ARMS

__all__ = ["EndpointPaths", "TrialFacts", "endpoint_pictures", "write_endpoint_report"]


@dataclass(frozen=True)
class EndpointPaths:
    """Files of the endpoint's report."""

    tables_page: Path
    trial_summary: Path
    pictures: tuple[Path, ...]


def write_endpoint_report(
    out: Path,
    *,
    facts: TrialFacts,
    volumes: pd.DataFrame,
    change: pd.DataFrame,
    summary: pd.DataFrame,
    models: pd.DataFrame | None = None,
    outcomes: Outcomes | None = None,
    arms: Mapping[str, str] | None = None,
    target_days: Mapping[str, int] | None = None,
) -> EndpointPaths:
    """Write the pictures, the page of tables and the PDF below ``OUT/report``.

    Parameters
    ----------
    out
        Output folder. Writes ``report/figures/endpoint/*.png`` and ``*.svg``, ``report/tables.html`` and
        ``report/trial_summary.pdf``, each whole or not at all.
    facts
        What the trial is and where the numbers come from.
    volumes, change, summary
        The tables, as `infarct_vol.tables.read_tables` gives them; interval columns of the summary are
        shown where they are there. The tables may be without rows.
    models
        Rows of the models, with the columns `infarct_vol.qa.endpoint.content_models.model_tables` names;
        None or no rows leave them out.
    outcomes
        The trial's other outcomes and their correlations; None leaves them out.
    arms
        Participant -> arm. None keeps the trial blinded: every picture, table and page says so.
    target_days
        Visit -> study day aimed at; None for the default protocol's.

    Raises
    ------
    UsageError
        If the facts and the arms disagree about blinding, a table names arms while the trial is blinded, or
        a participant has no arm. Nothing is written then.
    """
    _require_blinding(facts, summary, models, outcomes, arms)
    pictures = endpoint_pictures(volumes, change, outcomes=outcomes, arms=arms, target_days=target_days)
    page = tables_page(
        facts=facts, change=change, summary=summary, models=models, outcomes=outcomes, arms=arms
    )
    pdf = trial_summary_pdf(
        facts=facts,
        change=change,
        summary=summary,
        pictures=pictures,
        models=models,
        outcomes=outcomes,
        arms=arms,
    )
    report = Path(out) / "report"
    folder = report / "figures" / "endpoint"
    drawn = tuple(
        picture.save(folder / f"{name}.{kind}")
        for name, picture in pictures.items()
        for kind in ("png", "svg")
    )
    _remove_outdated(folder, drawn)
    write_bytes(page, report / "tables.html")
    write_bytes(pdf, report / "trial_summary.pdf")
    return EndpointPaths(report / "tables.html", report / "trial_summary.pdf", drawn)


def endpoint_pictures(
    volumes: pd.DataFrame,
    change: pd.DataFrame,
    *,
    outcomes: Outcomes | None = None,
    arms: Mapping[str, str] | None = None,
    target_days: Mapping[str, int] | None = None,
) -> dict[str, Picture]:
    """Return the pictures by name, in the order of the report, without those that have no ground.

    Parameters and errors as `write_endpoint_report`.
    """
    drawn = {
        "spaghetti": spaghetti(volumes, arms=arms, target_days=target_days),
        "change_by_visit": change_by_visit(change, arms=arms),
        "waterfall": waterfall(change, arms=arms),
        "reader_difference": reader_difference(volumes, arms=arms),
        "outcome_scatter": outcome_scatter(volumes, change, outcomes=outcomes, arms=arms),
    }
    return {name: picture for name, picture in drawn.items() if picture is not None}


def _require_blinding(
    facts: TrialFacts,
    summary: pd.DataFrame,
    models: pd.DataFrame | None,
    outcomes: Outcomes | None,
    arms: Mapping[str, str] | None,
) -> None:
    if facts.blinded != (arms is None):
        given = "no arms are given" if arms is None else "arms are given"
        msg = f"the facts say {facts.mark} but {given}; read the randomisation list for both or for neither"
        raise UsageError(msg)
    if arms is not None:
        return
    frames = {
        "summary": summary,
        "models": models,
        "correlations": outcomes.correlations if outcomes else None,
    }
    for name, frame in frames.items():
        named = _arms_named(frame)
        if named:
            msg = (
                f"the trial is blinded but the table {name} names the arms {', '.join(sorted(named))}; make "
                "the tables again without a randomisation list"
            )
            raise UsageError(msg)


def _arms_named(frame: pd.DataFrame | None) -> set[str]:
    if frame is None or frame.empty:
        return set()
    columns = [name for name in ("arm", "reference_arm") if name in frame.columns]
    return {str(arm) for name in columns for arm in frame[name].dropna()} - {ALL_ARMS, ""}


def _remove_outdated(folder: Path, drawn: tuple[Path, ...]) -> None:
    """Remove pictures of an earlier run that this one has no ground for."""
    for path in sorted(folder.glob("*.*")):
        if path not in drawn and path.suffix in (".png", ".svg"):
            path.unlink()

"""The endpoint's report of a run, from the tables it wrote."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pandas as pd

from infarct_vol._version import __version__
from infarct_vol.dates import newest
from infarct_vol.protocol import Protocol
from infarct_vol.qa.endpoint.content import TrialFacts
from infarct_vol.qa.endpoint.report import EndpointPaths, write_endpoint_report
from infarct_vol.qa.wording import visit_label
from infarct_vol.settings import VisitWindow
from infarct_vol.statistics.models import DESCRIPTIVE_STATEMENT, ModelRow
from infarct_vol.tables import Outcomes, Tables, read_table, read_tables


@dataclass(frozen=True)
class _Outcomes:
    """The other outcomes as the report takes them."""

    values: pd.DataFrame
    correlations: pd.DataFrame


def report_run(
    out: Path,
    *,
    protocol: Protocol,
    arms: Mapping[str, str] | None = None,
    outcomes: Outcomes | None = None,
) -> EndpointPaths:
    """Write pictures, page and PDF of the tables in an output folder.

    Parameters
    ----------
    out
        Output folder with ``tables/``.
    protocol
        The protocol of the run.
    arms
        Participant -> arm where the tables were made with a randomisation list.
    outcomes
        The trial's other outcomes where the tables were made with them.
    """
    tables = read_tables(out)
    folder = Path(out) / "tables"
    times = list(tables.volumes["acq_time"])
    shown = None
    if outcomes is not None:
        correlations = pd.read_csv(folder / "correlations.csv").fillna({"reason": ""})
        shown = _Outcomes(outcomes.visits(), correlations)
        times += list(outcomes.records["acq_time"])
    return write_endpoint_report(
        Path(out),
        facts=_facts(tables, protocol, data_cut=newest(times), blinded=arms is None),
        volumes=tables.volumes,
        change=tables.change,
        summary=tables.summary,
        models=read_table(folder / "models.csv", ModelRow) if arms is not None else None,
        outcomes=shown,
        arms=arms,
        target_days={name: window.target_day for name, window in protocol.visits.windows().items()},
    )


def _facts(tables: Tables, protocol: Protocol, *, data_cut: datetime | None, blinded: bool) -> TrialFacts:
    primary = tables.summary[(tables.summary["parameter"] == "infarct") & (tables.summary["arm"] == "all")]
    without = primary["randomized_without_data_n"].dropna()
    sources = sorted(set(tables.change["repeatability_source"])) or ["protocol"]
    return TrialFacts(
        study_id=protocol.study_id,
        protocol_sha256=protocol.sha256,
        version=__version__,
        data_cut=data_cut.date().isoformat() if data_cut is not None else "",
        blinded=blinded,
        statement=DESCRIPTIVE_STATEMENT,
        participants_n=int(tables.volumes["participant_id"].nunique()),
        randomised_without_data_n=None if blinded or without.empty else int(without.iloc[0]),
        windows=tuple(
            _window_row(visit_label(name), window) for name, window in protocol.visits.windows().items()
        ),
        repeatability=f"{', '.join(sources)} (the larger of a limit in mL and in percent of baseline)",
    )


def _window_row(label: str, window: VisitWindow) -> tuple[str, str, str, str]:
    return label, str(window.target_day), window.text, str(window.flag_beyond_days)

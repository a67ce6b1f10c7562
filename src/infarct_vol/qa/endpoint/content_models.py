"""What the tables of models, other outcomes and their correlations say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from infarct_vol.qa.endpoint.content import (
    Row,
    TextColumn,
    TextTable,
    arm_name,
    fixed,
    span,
    statistic_cells,
    statistic_labels,
)
from infarct_vol.qa.endpoint.marks import with_arm
from infarct_vol.qa.wording import PARAMETER_LABELS, has_value, visit_label
from infarct_vol.statistics.descriptive import described
from infarct_vol.tables.order import visit_rank
from infarct_vol.tables.randomization import ALL_ARMS

_SCALES = {"raw": "mL", "cube_root": "cube root of mL"}
_MODELS = {"ancova": "ANCOVA at each visit", "repeated_measures": "repeated measures"}
_TERMS = {"adjusted_mean": "adjusted mean", "difference": "difference of adjusted means"}
_CORRELATION_COLUMNS = (
    TextColumn("outcome", numeric=False, width=1.8),
    TextColumn("infarct", numeric=False, width=1.9),
    TextColumn("visit", numeric=False, width=0.8),
    TextColumn("arm", numeric=False, width=1.1),
    TextColumn("n", width=0.4),
    TextColumn("rho", width=0.6),
    TextColumn("95 % CI", width=1.2),
    TextColumn("p", width=0.6),
    TextColumn("why no number", numeric=False, width=2.0),
)


def p_value(value: object) -> str:
    """Return a p value with three decimals, small ones as a bound; empty where there is none."""
    if not isinstance(value, float) or not has_value(value):
        return ""
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def model_tables(models: pd.DataFrame | None, *, statement: str) -> Iterator[TextTable]:
    """Yield one table per parameter, model and scale; each carries the statement of what it is worth.

    Parameters
    ----------
    models
        Columns parameter, scale, model, visit, n, term, arm, reference_arm, estimate, se, df, low, high, p,
        residual_sd, shapiro_p, breusch_pagan_p, max_cooks_distance, covariance, note.
    statement
        Written under every table.
    """
    if models is None or models.empty:
        return
    columns = (
        TextColumn("visit", numeric=False, width=0.8),
        TextColumn("term", numeric=False, width=1.9),
        TextColumn("arm", numeric=False, width=1.4),
        TextColumn("n", width=0.4),
        TextColumn("estimate", width=0.9),
        TextColumn("SE", width=0.7),
        TextColumn("df", width=0.6),
        TextColumn("95 % CI", width=1.3),
        TextColumn("p", width=0.7),
        TextColumn("why no number, and what it is worth", numeric=False, width=2.6),
    )
    for (parameter, model, scale), own in models.groupby(["parameter", "model", "scale"], sort=False):
        rows: list[Row] = list(own.to_dict("records"))
        label = PARAMETER_LABELS.get(str(parameter), str(parameter))
        title = f"Change of {label}, {_SCALES.get(str(scale), scale)}: {_MODELS.get(str(model), model)}"
        cells = tuple(_model_cells(row, places=2 if scale == "raw" else 3) for row in rows)
        notes = (statement, *_model_notes(rows))
        yield TextTable(f"model-{parameter}-{model}-{scale}", title, columns, cells, (), notes)


def _model_cells(row: Row, *, places: int) -> tuple[str, ...]:
    arm, reference = str(row["arm"] or ""), str(row["reference_arm"] or "")
    against = f"{arm} minus {reference}" if row["term"] == "difference" and reference else arm
    return (
        visit_label(str(row["visit"])),
        _TERMS.get(str(row["term"]), str(row["term"])),
        against,
        fixed(row["n"], 0),
        fixed(row["estimate"], places),
        fixed(row["se"], places),
        fixed(row["df"], 1),
        span(row["low"], row["high"], places),
        p_value(row["p"]),
        str(row["note"] or ""),
    )


def _model_notes(rows: list[Row]) -> Iterator[str]:
    """Yield how the repeated measures hang together, and the checks of the residuals of each visit."""
    yield from dict.fromkeys(f"Covariance: {row['covariance']}." for row in rows if row["covariance"])
    checks = (
        ("residual_sd", "residual SD", lambda v: fixed(v, 3)),
        ("shapiro_p", "Shapiro-Wilk p", p_value),
        ("breusch_pagan_p", "Breusch-Pagan p", p_value),
        ("max_cooks_distance", "largest Cook's distance", lambda v: fixed(v, 2)),
    )
    said: list[str] = []
    for visit in dict.fromkeys(str(row["visit"]) for row in rows):
        row = next((r for r in rows if str(r["visit"]) == visit and has_value(r["residual_sd"])), None)
        if row:
            found = [f"{name} {write(row[key])}" for key, name, write in checks if has_value(row[key])]
            said.append(f"{visit_label(visit)}: {', '.join(found)}")
    if said:
        yield f"Residuals at {'; '.join(said)}."


def outcome_tables(values: pd.DataFrame, *, arms: Mapping[str, str] | None) -> Iterator[TextTable]:
    """Yield one table per outcome: a row per visit and arm, value and change from baseline.

    Parameters
    ----------
    values
        Columns participant_id, visit, parameter, label, unit, value, change.
    arms
        Participant -> arm; None keeps the trial blinded.
    """
    if values.empty:
        return
    labels = statistic_labels(["mean_low", "median_low"])
    table = with_arm(values, arms)
    wanted = [ALL_ARMS, *(sorted(set(arms.values())) if arms else [])]
    for name in dict.fromkeys(table["parameter"]):
        own = table[table["parameter"] == name]
        unit = next((f", {unit}" for unit in own["unit"] if unit), "")
        groups = (("value", f"Value{unit}"), ("change", f"Change{unit}"))
        columns = (
            TextColumn("arm", numeric=False),
            *(
                TextColumn(label, group=title, width=0.4 if label == "n" else 1.2)
                for _, title in groups
                for label in labels
            ),
        )
        cells: list[tuple[str, ...]] = []
        sections: list[tuple[int, str]] = []
        for visit in sorted(set(own["visit"]), key=lambda visit: visit_rank(str(visit))):
            sections.append((len(cells), visit_label(str(visit))))
            at_visit = own[own["visit"] == visit]
            for arm in wanted:
                rows = at_visit if arm == ALL_ARMS else at_visit[at_visit["arm"] == arm]
                cells.append((arm_name(arm), *_described_cells(rows, [g for g, _ in groups], labels)))
        title = str(own["label"].iloc[0]) or str(name)
        yield TextTable(f"outcome-{name}", title, columns, tuple(cells), tuple(sections))


def _described_cells(rows: pd.DataFrame, columns: list[str], labels: tuple[str, ...]) -> Iterator[str]:
    for column in columns:
        found = described(rows[column].dropna().to_numpy(dtype=float)).model_dump()
        yield from statistic_cells(found, prefix="", places=1, labels=labels)


def outcome_labels(values: pd.DataFrame) -> dict[str, str]:
    """Return the name for a reader of each outcome."""
    if values.empty:
        return {}
    return {
        str(name): str(label or name)
        for name, label in zip(values["parameter"], values["label"], strict=True)
    }


def correlation_table(
    correlations: pd.DataFrame, *, labels: Mapping[str, str] | None = None
) -> TextTable | None:
    """Return the correlations of volume and change with the outcomes; None where there are none.

    Parameters
    ----------
    correlations
        Columns parameter, outcome, visit, quantity, arm, n, rho, low, high, p, reason.
    labels
        Outcome -> its name for a reader.
    """
    if correlations.empty:
        return None
    names = labels or {}
    rows: list[dict[Any, Any]] = correlations.to_dict("records")
    cells = tuple(
        (
            names.get(str(row["outcome"]), str(row["outcome"])),
            f"{row['quantity']}, {PARAMETER_LABELS.get(str(row['parameter']), row['parameter'])}",
            visit_label(str(row["visit"])),
            arm_name(row["arm"]),
            fixed(row["n"], 0),
            fixed(row["rho"]),
            span(row["low"], row["high"]),
            p_value(row["p"]),
            str(row["reason"] or ""),
        )
        for row in rows
    )
    note = "Spearman's rank correlation; many are shown and none is adjusted for that."
    return TextTable("correlations", "Infarct and other outcomes", _CORRELATION_COLUMNS, cells, (), (note,))

"""What the tables of the endpoint say: frames turned into text, once for the page and for the PDF.

A cell is empty where there is no number; the row or a note under the table says why.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from infarct_vol.qa.endpoint.marks import with_arm
from infarct_vol.qa.wording import PARAMETER_LABELS, STATUS_LABELS, has_value, visit_label
from infarct_vol.records import VALUED_STATUSES
from infarct_vol.settings import ANALYSED_VISITS
from infarct_vol.tables.order import visit_rank
from infarct_vol.tables.randomization import ALL_ARMS, Blinding

PRIMARY: Sequence[str] = ("infarct", "infarct_flair")
"""Parameters whose change is listed participant by participant."""
_GROUPS = (("volume", "Volume, mL", 2), ("change", "Change, mL", 2), ("percent", "Change, %", 1))
_INTERVALS = ("mean_low", "mean_high", "median_low", "median_high")
_NO_NUMBER = "An empty cell: too few values for this statistic, or none. Nothing is imputed."

Row = Mapping[Any, Any]


@dataclass(frozen=True)
class TrialFacts:
    """What a reader must know of a trial before its numbers.

    Parameters
    ----------
    study_id, protocol_sha256, version
        Of the study, of the protocol file, and of the software.
    data_cut
        Date of the last scan in ISO form; empty if none has a date.
    blinded
        True while no randomisation list is given.
    statement
        What the models are worth at this number of participants.
    participants_n
        Participants with data.
    randomised_without_data_n
        Participants on the randomisation list without any; None if there is no list.
    windows
        Rows of the table of visits: visit, day aimed at, window, days beyond which a scan is flagged.
    repeatability
        Where the limit comes from that a change must exceed.
    """

    study_id: str
    protocol_sha256: str
    version: str
    data_cut: str
    blinded: bool
    statement: str
    participants_n: int
    randomised_without_data_n: int | None = None
    windows: tuple[tuple[str, str, str, str], ...] = ()
    repeatability: str = ""

    @property
    def mark(self) -> Blinding:
        """BLINDED or UNBLINDED."""
        return "BLINDED" if self.blinded else "UNBLINDED"

    def lines(self) -> tuple[tuple[str, str], ...]:
        """Return names and values for the head of a page."""
        found = [
            ("Study", self.study_id or "unnamed study"),
            ("Participants", str(self.participants_n)),
            ("Data cut", self.data_cut or "no scan has a date"),
            ("Software", f"infarct-vol {self.version}"),
            ("Protocol SHA-256", self.protocol_sha256),
        ]
        if self.randomised_without_data_n is not None:
            found.insert(2, ("Randomised without data", str(self.randomised_without_data_n)))
        return tuple(found)


@dataclass(frozen=True)
class TextColumn:
    """A column of a table of text."""

    label: str
    group: str = ""
    numeric: bool = True
    width: float = 1.0
    """Share of the page's width where widths are fixed."""


@dataclass(frozen=True)
class TextTable:
    """A table in which every cell is text; ``sections`` name runs of rows, by the first row of each."""

    key: str
    title: str
    columns: tuple[TextColumn, ...]
    rows: tuple[tuple[str, ...], ...]
    sections: tuple[tuple[int, str], ...] = ()
    notes: tuple[str, ...] = ()


def fixed(value: object, places: int = 2) -> str:
    """Return a number with fixed decimals; an absent one as an empty text, minus zero as zero."""
    if not isinstance(value, (int, float)) or not has_value(value):
        return ""
    text = f"{value:,.{places}f}"
    if not text.strip("-0.,"):
        text = text.removeprefix("-")
    return text.replace("-", "\N{MINUS SIGN}")


def span(low: object, high: object, places: int = 2) -> str:
    """Return ``low to high``; empty unless both are there."""
    return f"{fixed(low, places)} to {fixed(high, places)}" if has_value(low) and has_value(high) else ""


def with_spread(value: object, spread: object, places: int = 2) -> str:
    """Return ``mean (SD)``, the mean alone where there is no SD."""
    return fixed(value, places) + (f" ({fixed(spread, places)})" if has_value(spread) else "")


def with_quartiles(row: Row, places: int, *, prefix: str = "") -> str:
    """Return ``median [Q1, Q3]``; empty where there is no median."""
    median, q1, q3 = (row.get(f"{prefix}{name}") for name in ("median", "q1", "q3"))
    if not has_value(median):
        return ""
    return f"{fixed(median, places)} [{fixed(q1, places)}, {fixed(q3, places)}]"


def statistic_labels(names: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the statistics shown; intervals only where the frame has their columns."""
    every = ["n", "mean (SD)", "95 % CI of mean", "median [Q1, Q3]", "95 % CI of median", "min to max"]
    have = [True, True, "mean_low" in names, True, "median_low" in names, True]
    return tuple(name for name, there in zip(every, have, strict=True) if there)


def statistic_cells(row: Row, *, prefix: str, places: int, labels: Sequence[str]) -> tuple[str, ...]:
    """Return the statistics of one group in the order of the labels.

    Parameters
    ----------
    row
        Statistics named ``{prefix}n``, ``{prefix}mean`` and so on.
    prefix
        Such as ``volume_``.
    places
        Decimals.
    labels
        As `statistic_labels` gives them.
    """

    def of(name: str) -> Any:
        return row.get(f"{prefix}{name}")

    n = of("n")
    every = {
        "n": str(int(n)) if has_value(n) else "0",
        "mean (SD)": with_spread(of("mean"), of("sd"), places),
        "95 % CI of mean": span(of("mean_low"), of("mean_high"), places),
        "median [Q1, Q3]": with_quartiles(row, places, prefix=prefix),
        "95 % CI of median": span(of("median_low"), of("median_high"), places),
        "min to max": span(of("min"), of("max"), places),
    }
    return tuple(every[label] for label in labels)


def summary_labels(summary: pd.DataFrame) -> tuple[str, ...]:
    """Return the statistics a summary frame holds."""
    return statistic_labels([name.removeprefix("volume_") for name in summary.columns])


def summary_tables(summary: pd.DataFrame) -> Iterator[TextTable]:
    """Yield one table per parameter: a row per visit and arm, columns grouped by volume, change, percent."""
    labels = summary_labels(summary)
    columns = (
        TextColumn("arm", numeric=False),
        *(TextColumn(label, group=title) for _, title, _ in _GROUPS for label in labels),
    )
    for name, rows in _by_parameter(summary):
        cells = [
            (
                arm_name(row["arm"]),
                *(
                    cell
                    for prefix, _, places in _GROUPS
                    for cell in statistic_cells(row, prefix=f"{prefix}_", places=places, labels=labels)
                ),
            )
            for row in rows
        ]
        sections = _sections([visit_label(str(row["visit"])) for row in rows])
        yield TextTable(f"summary-{name}", _title(name), columns, tuple(cells), sections, (_NO_NUMBER,))


def narrow_summary_tables(summary: pd.DataFrame) -> Iterator[TextTable]:
    """Yield the same numbers for a page in portrait: a row per visit, arm and quantity."""
    labels = summary_labels(summary)
    widths = {"n": 0.35, "mean (SD)": 1.1, "min to max": 1.2, "median [Q1, Q3]": 1.6}
    columns = (
        TextColumn("arm", numeric=False, width=0.75),
        TextColumn("quantity", numeric=False, width=0.8),
        *(TextColumn(label, width=widths.get(label, 1.3)) for label in labels),
    )
    for name, rows in _by_parameter(summary):
        cells, visits = [], []
        for row in rows:
            for prefix, title, places in _GROUPS:
                if prefix != "volume" and str(row["visit"]) == ANALYSED_VISITS[0]:
                    continue
                found = statistic_cells(row, prefix=f"{prefix}_", places=places, labels=labels)
                cells.append((arm_name(row["arm"]), title, *found))
                visits.append(visit_label(str(row["visit"])))
        yield TextTable(
            f"summary-{name}", _title(name), columns, tuple(cells), _sections(visits), (_NO_NUMBER,)
        )


def status_table(summary: pd.DataFrame) -> TextTable:
    """Return how many visits have a volume of the primary parameter, and why the others have none."""
    counted = (
        ("volume_n", "with a volume"),
        ("missing_n", "missing"),
        ("failed_n", "failed"),
        ("not_measurable_n", "not measurable"),
        ("excluded_n", "excluded"),
        ("participants_n", "in the table"),
    )
    rows = [row for name, own in _by_parameter(summary) if name == PRIMARY[0] for row in own]
    cells = tuple((arm_name(row["arm"]), *(_count(row.get(name)) for name, _ in counted)) for row in rows)
    columns = (TextColumn("arm", numeric=False), *(TextColumn(label) for _, label in counted))
    sections = _sections([visit_label(str(row["visit"])) for row in rows])
    note = "A visit without a volume is counted here and has no number anywhere else; none is 0 mL."
    return TextTable("status", "Visits by what became of them", columns, cells, sections, (note,))


def change_table(
    change: pd.DataFrame, parameter: str, *, arms: Mapping[str, str] | None, most: int | None = None
) -> TextTable:
    """Return change from baseline participant by participant, whatever happened.

    Parameters
    ----------
    change
        Rows of ``change_from_baseline.csv``.
    parameter
        Which parameter is listed.
    arms
        Participant -> arm; None leaves the column out.
    most
        Participants listed, in the order of their names; None lists all.
    """
    rows = with_arm(change[change["parameter"] == parameter], arms)
    names = sorted(set(rows["participant_id"]))
    kept = names if most is None else names[:most]
    rows = rows[rows["participant_id"].isin(set(kept))]
    order = sorted(
        rows.to_dict("records"), key=lambda row: (row["participant_id"], visit_rank(str(row["visit"])))
    )
    columns = _change_columns(blinded=arms is None)
    cells = tuple(_change_cells(row, blinded=arms is None) for row in order)
    notes = [
        "Every follow-up visit has a row. A change needs a volume at both ends; percent needs a baseline "
        "above 0 mL."
    ]
    if len(kept) < len(names):
        first = f"The first {len(kept):,} of {len(names):,} participants"
        notes.insert(0, f"{first}; the file tables/change_from_baseline.csv has all of them.")
    return TextTable(f"change-{parameter}", _title(parameter), columns, cells, (), tuple(notes))


def _change_columns(*, blinded: bool) -> tuple[TextColumn, ...]:
    arm = () if blinded else (TextColumn("arm", numeric=False, width=0.9),)
    return (
        TextColumn("participant", numeric=False, width=1.3),
        *arm,
        TextColumn("visit", numeric=False, width=0.8),
        TextColumn("day", width=0.55),
        TextColumn("baseline, mL", width=0.8),
        TextColumn("volume, mL", width=0.8),
        TextColumn("change, mL", width=0.8),
        TextColumn("change, %", width=0.8),
        TextColumn("like for like", numeric=False, width=0.6),
        TextColumn("exceeds repeatability", numeric=False, width=0.95),
        TextColumn("status", numeric=False, width=0.95),
        TextColumn("reason", numeric=False, width=3.4),
    )


def _change_cells(row: Row, *, blinded: bool) -> tuple[str, ...]:
    status = str(row["status"])
    reasons = [str(row["reason"] or ""), str(row.get("like_for_like_reason") or "")]
    baseline = str(row["baseline_status"])
    if baseline not in VALUED_STATUSES and not reasons[0]:
        reasons.insert(0, f"baseline {STATUS_LABELS.get(baseline, baseline)}")
    if has_value(row["change_ml"]) and not has_value(row["percent_change"]):
        reasons.insert(0, "baseline 0 mL: no percent change")
    arm = () if blinded else (str(row["arm"]),)
    return (
        str(row["participant_id"]),
        *arm,
        visit_label(str(row["visit"])),
        _count(row.get("study_day")),
        fixed(row["baseline_volume_ml"]),
        fixed(row["volume_ml"]),
        fixed(row["change_ml"]),
        fixed(row["percent_change"], 1),
        yes_or_no(row["like_for_like"]),
        yes_or_no(row["exceeds_repeatability"]),
        STATUS_LABELS.get(status, status),
        "; ".join(reason for reason in reasons if reason),
    )


def yes_or_no(value: object) -> str:
    """Return yes, no, or an empty text where neither is known."""
    return "" if pd.isna(value) else "yes" if bool(value) else "no"  # type: ignore[call-overload]


def arm_name(arm: object) -> str:
    """Return an arm's name; the pooled one in words."""
    return "all arms" if str(arm) in (ALL_ARMS, "") else str(arm)


def _count(value: object) -> str:
    return fixed(value, 0).replace(",", "")


def _title(parameter: str) -> str:
    label = PARAMETER_LABELS.get(parameter, parameter)
    return label[:1].upper() + label[1:]


def _by_parameter(table: pd.DataFrame) -> Iterator[tuple[str, list[Row]]]:
    """Yield parameters in the order of the table, with their rows by visit, the pooled arm first."""
    if table.empty:
        return
    for name in dict.fromkeys(table["parameter"]):
        rows: list[Row] = list(table[table["parameter"] == name].to_dict("records"))
        yield str(name), sorted(rows, key=_visit_then_arm)


def _visit_then_arm(row: Row) -> tuple[object, ...]:
    return visit_rank(str(row["visit"])), str(row["arm"]) != ALL_ARMS, str(row["arm"])


def _sections(names: Sequence[str]) -> tuple[tuple[int, str], ...]:
    """Return where each run of one name begins."""
    return tuple((at, name) for at, name in enumerate(names) if at == 0 or names[at - 1] != name)

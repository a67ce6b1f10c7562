"""Agreement on disk: the cases, the statistics, and a chart of the differences and one of equality."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from infarct_vol._version import __version__
from infarct_vol.files import write_json, write_text
from infarct_vol.qa import Picture, difference_chart, equality_chart
from infarct_vol.qa.agreement import Level
from infarct_vol.statistics.agreement import bland_altman
from infarct_vol.tables.store import csv_text
from infarct_vol.validation.agreement import Agreement
from infarct_vol.validation.summary import AgreementRow, StatisticRow

_FEWEST_IN_A_CHART = 3
"""With two cases the intervals of the limits are 30 times as wide as what they stand beside."""
_FORMATS = (("png", 2.0), ("svg", 1.0))


def cases_csv(agreement: Agreement) -> str:
    """Return the cases as CSV, one line a case."""
    return csv_text(agreement.rows, columns=list(AgreementRow.model_fields))


def write_agreement(agreement: Agreement, out: Path | str) -> list[Path]:
    """Write ``cases.csv``, ``summary.csv``, ``agreement.json`` and, of each parameter, two charts.

    Charts are ``<parameter>_bland_altman`` and ``<parameter>_equality``, as PNG and SVG, for parameters
    with three cases at least.

    Returns
    -------
    list of Path
        What was written.
    """
    out = Path(out)
    texts = {
        "cases.csv": cases_csv(agreement),
        "summary.csv": csv_text(agreement.summary, columns=list(StatisticRow.model_fields)),
    }
    for name, text in texts.items():
        write_text(text, out / name)
    write_json({"version": __version__, **agreement.to_json()}, out / "agreement.json")
    written = [*(out / name for name in texts), out / "agreement.json"]
    for name, picture in _pictures(agreement):
        written += [picture.save(out / f"{name}.{kind}", scale=scale) for kind, scale in _FORMATS]
    return written


def _pictures(agreement: Agreement) -> Iterator[tuple[str, Picture]]:
    for parameter in dict.fromkeys(row.parameter for row in agreement.rows):
        rows = [row for row in agreement.rows if row.parameter == parameter]
        if len(rows) < _FEWEST_IN_A_CHART:
            continue
        reference, compared = [r.reference_ml for r in rows], [r.compared_ml for r in rows]
        regions = [r.region for r in rows]
        groups = regions if set(regions) != {"unknown"} else None
        title = f"{parameter}, {len(rows)} cases"
        stem = re.sub(r"[^\w-]", "_", parameter)
        yield (
            f"{stem}_bland_altman",
            difference_chart(
                reference, compared, levels=chart_levels(reference, compared), groups=groups, title=title
            ),
        )
        yield f"{stem}_equality", equality_chart(reference, compared, groups=groups, title=title)


def chart_levels(reference: list[float], compared: list[float]) -> list[Level]:
    """Return bias and limits of agreement as lines of the difference chart."""
    found = bland_altman(reference, compared)
    lines = [("bias", found.bias, found.bias_low, found.bias_high)]
    if found.sd:
        lines += [
            ("+1.96 SD", found.upper, found.upper_low, found.upper_high),
            ("-1.96 SD", found.lower, found.lower_low, found.lower_high),
        ]
    return [
        Level(name, value, low, high)
        for name, value, low, high in lines
        if value is not None and low is not None and high is not None
    ]

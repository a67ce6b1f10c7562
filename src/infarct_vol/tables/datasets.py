"""Puts the datasets of a trial on disk: CSV, SAS transport, Dataset-JSON, define.xml, and programs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from importlib import resources
from pathlib import Path

import pandas as pd

from infarct_vol._version import __version__
from infarct_vol.cdisc import (
    Dataset,
    SourceSystem,
    StudyInfo,
    checked,
    define_xml,
    write_dataset_json,
    write_xpt,
)
from infarct_vol.cdisc.values import iso_date
from infarct_vol.files import whole_file, write_bytes
from infarct_vol.tables.csvtext import LINE_END, neutralised, one_line

_SYSTEM = SourceSystem("infarct-vol", __version__)
_NO_STUDY = "STUDY NOT STATED"


def write_datasets(
    datasets: Sequence[Dataset], folder: Path, *, study_id: str, created: datetime
) -> tuple[Path, ...]:
    """Write every dataset in each format, and the ``define.xml`` that describes them all.

    Parameters
    ----------
    datasets
        Of one purpose: analysis or tabulation.
    folder
        Where the files go.
    study_id
        Of the protocol.
    created
        Time that stands in the files as theirs. It is that of the data, so that equal data give equal files.

    Returns
    -------
    tuple of Path
        The files written.
    """
    study = study_info(study_id)
    written = []
    for dataset in datasets:
        stem = folder / dataset.name.lower()
        paths = [stem.with_suffix(suffix) for suffix in (".csv", ".xpt", ".json")]
        settled = checked(dataset)
        _write_csv(settled, paths[0])
        write_xpt(settled, paths[1], created=created)
        write_dataset_json(settled, paths[2], study=study, system=_SYSTEM, created=created)
        written += paths
    definition = folder / "define.xml"
    content = define_xml(datasets, study=study, system=_SYSTEM, created=created)
    write_bytes(content, definition)
    return (*written, definition)


def study_info(study_id: str) -> StudyInfo:
    """Return the study as the files name it; a protocol without an identifier is named so."""
    name = one_line(study_id) or _NO_STUDY
    return StudyInfo(name, name, f"Infarct volume and its change from baseline: {name}", name)


def write_programs(folder: Path) -> tuple[Path, ...]:
    """Write the SAS and R programs of the primary analysis, which read the datasets one folder up."""
    written = []
    for source in sorted(resources.files("infarct_vol.programs").iterdir(), key=lambda item: item.name):
        if source.name.endswith((".sas", ".R")):
            write_bytes(source.read_bytes(), folder / source.name)
            written.append(folder / source.name)
    return tuple(written)


def _write_csv(dataset: Dataset, path: Path) -> None:
    """Write a dataset as text: dates as ISO 8601, numbers with all their digits, absent values empty."""
    frame = pd.DataFrame(index=dataset.frame.index)
    for variable in dataset.variables:
        column = dataset.frame[variable.name]
        if variable.kind == "text":
            safe = {text: neutralised(text) for text in column.unique()}
            frame[variable.name] = column.map(safe)
        elif variable.kind == "date":
            days = {day: iso_date(day) for day in column.dropna().unique()}
            frame[variable.name] = column.map(days)
        elif variable.kind == "integer":
            frame[variable.name] = column.astype("Int64")
        else:
            frame[variable.name] = column
    with whole_file(path) as file:
        frame.to_csv(file, index=False, lineterminator=LINE_END, encoding="utf-8")

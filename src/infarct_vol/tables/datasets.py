"""Puts the datasets of a trial on disk: CSV, SAS transport, Dataset-JSON, define.xml, and programs."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from importlib import resources
from pathlib import Path

import numpy as np
import pandas as pd

from infarct_vol._version import __version__
from infarct_vol.cdisc import (
    Dataset,
    DatasetError,
    SourceSystem,
    StudyInfo,
    Variable,
    checked,
    define_xml,
    iso_date,
    write_dataset_json,
    write_xpt,
)
from infarct_vol.files import whole_text, write_bytes
from infarct_vol.tables.csvtext import LINE_END, neutralised, one_line

_SYSTEM = SourceSystem("infarct-vol", __version__)
_SPONSOR_DOMAINS = frozenset({"XM"})
_NO_STUDY = "STUDY NOT STATED"


@dataclass(frozen=True)
class DatasetFiles:
    """Files of datasets: those written, and why the others could not be."""

    written: tuple[Path, ...]
    left_out: tuple[str, ...] = ()


def write_datasets(
    datasets: Sequence[Dataset], folder: Path, *, study_id: str, created: datetime
) -> DatasetFiles:
    """Write every dataset in each format that can hold it, and the ``define.xml`` that describes them all.

    A text that a SAS transport file cannot hold costs that one file: it is left out and named, never cut.

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
    """
    study = study_info(study_id)
    written: list[Path] = []
    left_out: list[str] = []
    settled = []
    for dataset in datasets:
        known, problem = _settled(dataset)
        settled.append(known)
        stem = folder / dataset.name.lower()
        _write_csv(known, stem.with_suffix(".csv"))
        write_dataset_json(known, stem.with_suffix(".json"), study=study, system=_SYSTEM, created=created)
        written += [stem.with_suffix(".csv"), stem.with_suffix(".json")]
        if problem:
            left_out.append(f"{stem.name}.xpt is not written: {problem}; its CSV and JSON are whole")
        else:
            write_xpt(known, stem.with_suffix(".xpt"), created=created)
            written.append(stem.with_suffix(".xpt"))
    definition = folder / "define.xml"
    own = _SPONSOR_DOMAINS & {dataset.name for dataset in datasets}
    content = define_xml(settled, study=study, system=_SYSTEM, created=created, non_standard=own)
    write_bytes(content, definition)
    return DatasetFiles((*written, definition), tuple(left_out))


def _settled(dataset: Dataset) -> tuple[Dataset, str]:
    """Return a checked dataset, and why it does not fit a transport file; empty where it does."""
    try:
        return checked(dataset), ""
    except DatasetError as error:
        # whatever all formats need is refused again here
        return checked(dataset, for_transport=False), str(error)


def stamped(dataset: Dataset, *, protocol_sha256: str) -> Dataset:
    """Return a dataset whose every row says by which protocol it was made, and with which version."""
    count = len(dataset.frame)
    stamp = {
        "PROTSHA": np.full(count, protocol_sha256, dtype=object),
        "SWVER": np.full(count, __version__, dtype=object),
    }
    return replace(dataset, frame=dataset.frame.assign(**stamp), variables=(*dataset.variables, *_STAMP))


_STAMP = (
    Variable("PROTSHA", "SHA-256 of the Effective Protocol", "text", origin="Assigned"),
    Variable("SWVER", "Version of infarct-vol", "text", origin="Assigned"),
)


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
    columns = [_cells(dataset.frame[variable.name], variable) for variable in dataset.variables]
    with whole_text(path) as stream:
        writer = csv.writer(stream, lineterminator=LINE_END)
        writer.writerow(dataset.frame.columns)
        writer.writerows(zip(*columns, strict=True))


def _cells(column: pd.Series, variable: Variable) -> list[str]:
    """Return the fields of one column; each value that occurs is put into words once."""
    codes, values = pd.factorize(column.to_numpy(), use_na_sentinel=False)
    words = np.array([_word(value, variable) for value in values.tolist()], dtype=object)
    return words[codes].tolist() if len(values) else []


def _word(value: str | float, variable: Variable) -> str:
    if isinstance(value, str):
        return neutralised(value)
    if math.isnan(value):
        return ""
    if variable.kind == "date":
        return iso_date(value)
    return str(int(value)) if variable.kind == "integer" else repr(value)

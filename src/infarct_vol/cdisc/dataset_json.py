"""Dataset-JSON 1.1, one dataset a file.

Follows the "CDISC Dataset-JSON v1.1 Specification" (December 2024): a missing value is null, whatever its
kind; a date travels as ISO 8601 text and says that its receiver counts days in an integer. Lengths are bytes,
as in the transport file of the same dataset, so never fewer than the characters the specification counts.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd

from infarct_vol.cdisc.identity import (
    METADATA_FILE,
    SourceSystem,
    StudyInfo,
    check_study,
    dataset_oid,
    iso_time,
    metadata_version_oid,
    variable_oid,
)
from infarct_vol.cdisc.metadata import checked
from infarct_vol.cdisc.model import Dataset, Variable, iso_type, numbers
from infarct_vol.cdisc.values import DatasetError, iso_date
from infarct_vol.files import whole_file

VERSION = "1.1.0"
_ROWS_AT_ONCE = 4096
_TYPES = {"text": "string", "integer": "integer", "float": "float", "date": "date"}


def dataset_json_bytes(
    dataset: Dataset,
    *,
    study: StudyInfo,
    system: SourceSystem,
    created: datetime,
    modified: datetime | None = None,
) -> bytes:
    """Return a dataset as a Dataset-JSON document in UTF-8.

    Parameters
    ----------
    system
        The program that made the dataset.
    created
        When the file counts as made; nothing else in it depends on time.
    modified
        When the data behind it were last changed; None if that is not known.

    Raises
    ------
    DatasetError
        As `checked` and `check_study`; and if the data changed after the file was made.
    """
    known = checked(dataset)
    head = _head(known, study=study, system=system, created=created, modified=modified)
    return b"".join(_chunks(known, head))


def write_dataset_json(
    dataset: Dataset,
    path: Path,
    *,
    study: StudyInfo,
    system: SourceSystem,
    created: datetime,
    modified: datetime | None = None,
) -> None:
    """Write what `dataset_json_bytes` returns, a few thousand rows at a time."""
    known = checked(dataset)
    head = _head(known, study=study, system=system, created=created, modified=modified)
    with whole_file(path) as file:
        file.writelines(_chunks(known, head))


def _head(
    dataset: Dataset, *, study: StudyInfo, system: SourceSystem, created: datetime, modified: datetime | None
) -> dict[str, object]:
    """Return everything but columns and rows, in the order the specification recommends."""
    check_study(study, system=system)
    head: dict[str, object] = {
        "datasetJSONCreationDateTime": iso_time(created),
        "datasetJSONVersion": VERSION,
        "fileOID": f"{study.study_oid}.{dataset.name}",
    }
    if modified is not None:
        _check_order(modified, created, where=dataset.name)
        head["dbLastModifiedDateTime"] = iso_time(modified)
    if system.originator:
        head["originator"] = system.originator
    return head | {
        "sourceSystem": {"name": system.name, "version": system.version},
        "studyOID": study.study_oid,
        "metaDataVersionOID": metadata_version_oid(study),
        "metaDataRef": METADATA_FILE,
        "itemGroupOID": dataset_oid(dataset.name),
        "records": len(dataset.frame),
        "name": dataset.name,
        "label": dataset.label,
    }


def _check_order(modified: datetime, created: datetime, *, where: str) -> None:
    if (modified.tzinfo is None) != (created.tzinfo is None) or modified > created:
        msg = (
            f"data changed {iso_time(modified)}, file made {iso_time(created)}: expected the change first, "
            "both with an offset from UTC or both without; correct one of them"
        )
        raise DatasetError(msg, where=where)


def _column(dataset: Dataset, variable: Variable) -> dict[str, object]:
    iso = iso_type(dataset, variable)
    kind = iso if iso in ("date", "datetime") else _TYPES[variable.kind]
    column: dict[str, object] = {
        "itemOID": variable_oid(dataset.name, variable.name),
        "name": variable.name,
        "label": variable.label,
        "dataType": kind,
    }
    if variable.kind == "date":
        column["targetDataType"] = "integer"
    if variable.kind == "text":
        column["length"] = variable.length
    if variable.display_format:
        column["displayFormat"] = variable.display_format
    if variable.name in dataset.keys:
        column["keySequence"] = dataset.keys.index(variable.name) + 1
    return column


def _chunks(dataset: Dataset, head: dict[str, object]) -> Iterator[bytes]:
    # one line a column and one a row: two versions of a file can be compared with a plain difference
    lines = [f"{_json(name)}: {_json(value)}" for name, value in head.items()]
    columns = ",\n".join(_json(_column(dataset, variable)) for variable in dataset.variables)
    yield ("{\n" + ",\n".join(lines) + ',\n"columns": [\n' + columns + '\n],\n"rows": [').encode()
    for start in range(0, len(dataset.frame), _ROWS_AT_ONCE):
        frame = dataset.frame.iloc[start : start + _ROWS_AT_ONCE]
        cells = [_cells(frame[variable.name], variable) for variable in dataset.variables]
        rows = ",\n".join(f"[{','.join(row)}]" for row in zip(*cells, strict=True))
        yield ((",\n" if start else "\n") + rows).encode()
    yield b"\n]\n}\n"


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _cells(column: pd.Series, variable: Variable) -> list[str]:
    """Return a column's values as JSON text, each different value turned once."""
    if variable.kind == "text":
        codes, values = pd.factorize(column.to_numpy(dtype=object))
        texts = [_json(value) if value else "null" for value in values]
    else:
        codes, values = pd.factorize(numbers(column) + 0.0, use_na_sentinel=False)  # + 0.0: no negative zero
        texts = ["null" if np.isnan(value) else _number(value, variable) for value in values.tolist()]
    return [texts[code] for code in codes.tolist()]


def _number(value: float, variable: Variable) -> str:
    if variable.kind == "date":
        return _json(iso_date(value))
    return repr(int(value)) if variable.kind == "integer" else repr(value)

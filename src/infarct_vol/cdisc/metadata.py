"""A dataset that holds in all three file formats: the checks, and the names the writers and callers need.

The limits are those of the SAS transport format, version 5, which reviewers still ask for (SAS Technical
Support document TS-140, "The Record Layout of a Data Set in SAS Transport (XPORT) Format"): names of 8
characters, labels of 40 bytes, text of 200 bytes.
"""

from __future__ import annotations

import datetime as dt
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from infarct_vol.cdisc.model import (
    Dataset,
    ValueLevel,
    Variable,
    numbers,
    parsed_format,
)
from infarct_vol.cdisc.values import (
    SAS_EPOCH,
    TEXT_LIMIT_BYTES,
    DatasetError,
    check_name,
    text_bytes,
)

LABEL_LIMIT_BYTES = 40
DATE_FORMAT = "DATE9."
"""Display format of a date that states none; without one SAS would show a bare number of days."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_FIRST_DAY = (dt.date(1582, 1, 1) - SAS_EPOCH).days  # SAS dates begin here
_LAST_DAY = (dt.date(3999, 12, 31) - SAS_EPOCH).days  # to SAS the year 4000 is no leap year
_SMALLEST, _LARGEST = 16.0**-65, (1 - 2.0**-53) * 16.0**63  # of a double in IBM hexadecimal floating point


def checked(dataset: Dataset, *, for_transport: bool = True) -> Dataset:
    """Return a dataset that can be written in every format, with lengths and date formats filled in.

    The frame is neither copied nor changed.

    Parameters
    ----------
    for_transport
        False: the limits that the SAS transport format alone has, of the length of a text and the size of a
        number, are not held; the dataset can be written as Dataset-JSON, and described in define.xml.

    Raises
    ------
    DatasetError
        If anything would be cut, replaced or contradicted in a file: names, labels and text over their
        limits in UTF-8 bytes; columns that are not the variables; text with control characters or blanks
        at its end; infinite numbers and fractions of integers or days; values missing where mandatory or
        outside their codelist; duplicate names, labels or keys.
    """
    if dataset.is_checked:
        return dataset
    dataset = replace(dataset, fits_transport=for_transport)
    _check_names(dataset)
    _check_columns(dataset)
    _check_keys(dataset)
    _check_value_level(dataset)
    variables = tuple(_checked_variable(dataset, each) for each in dataset.variables)
    return replace(dataset, variables=variables, is_checked=True)


def _check_label(label: str, *, where: str) -> None:
    size = text_bytes(label)
    if not 0 < size <= LABEL_LIMIT_BYTES or _CONTROL.search(label) or label != label.strip(" "):
        msg = (
            f"label '{label}' of {size} bytes: expected 1 to {LABEL_LIMIT_BYTES} bytes of text "
            "without blanks around it; rewrite it"
        )
        raise DatasetError(msg, where=where)


def _check_names(dataset: Dataset) -> None:
    check_name(dataset.name, what="dataset", where=dataset.name)
    _check_label(dataset.label, where=dataset.name)
    for variable in dataset.variables:
        where = f"{dataset.name}.{variable.name}"
        check_name(variable.name, what="variable", where=where)
        _check_label(variable.label, where=where)
    for what, found in (
        ("name", [each.name for each in dataset.variables]),
        ("label", [each.label for each in dataset.variables]),
    ):
        if twice := _duplicates(found):
            msg = f"two variables have the {what} '{twice[0]}': expected each once; change one of them"
            raise DatasetError(msg, where=dataset.name)


def _duplicates(found: Iterable[str]) -> list[str]:
    return [each for each, count in Counter(found).items() if count > 1]


def _check_columns(dataset: Dataset) -> None:
    expected, found = [each.name for each in dataset.variables], list(dataset.frame.columns)
    if expected and expected == found:
        return
    missing = [each for each in expected if each not in found]
    unknown = [str(each) for each in found if each not in expected]
    told = "; ".join(
        f"{what}: {', '.join(names)}"
        for what, names in (("absent", missing), ("undescribed", unknown))
        if names
    )
    msg = (
        f"the frame's columns are not the variables ({told or 'in another order, or none at all'}): "
        f"expected {', '.join(expected) or 'at least one'}, found {', '.join(map(str, found)) or 'none'}; "
        "select and order the columns, or describe them"
    )
    raise DatasetError(msg, where=dataset.name)


def _check_keys(dataset: Dataset) -> None:
    known = {each.name for each in dataset.variables}
    unknown = [key for key in dataset.keys if key not in known]
    if unknown or not dataset.keys or _duplicates(dataset.keys):
        msg = (
            f"keys {', '.join(dataset.keys) or '(none)'}: expected variables of the dataset, each once, "
            f"at least one; correct {', '.join(unknown) or 'the list'}"
        )
        raise DatasetError(msg, where=dataset.name)
    repeated = dataset.frame.duplicated(subset=list(dataset.keys)).to_numpy()
    if repeated.any():
        row = int(np.argmax(repeated))
        msg = (
            f"{int(repeated.sum())} rows repeat the key of an earlier one, "
            f"the first is {_row_key(dataset, row)}: expected each key once; "
            "remove the rows or name a further key"
        )
        raise DatasetError(msg, where=dataset.name)


def _check_value_level(dataset: Dataset) -> None:
    kinds = {each.name: each.kind for each in dataset.variables}
    for each in dataset.value_level:
        where = f"{dataset.name}.{each.variable} where {each.where_variable} is {each.where_value}"
        unknown = [name for name in (each.variable, each.where_variable) if name not in kinds]
        if unknown:
            msg = f"value level names {unknown[0]}: expected a variable of the dataset; correct the name"
            raise DatasetError(msg, where=where)
        if not each.label:
            msg = "value level without a label: expected what the value is; write it"
            raise DatasetError(msg, where=where)
        if (each.kind == "text") != (kinds[each.variable] == "text"):
            msg = f"value level of {each.kind}: expected {kinds[each.variable]} as the variable; correct it"
            raise DatasetError(msg, where=where)
        if kinds[each.where_variable] != "text":
            _as_number(each.where_value, where=where)
        _check_format(each, where=where)
    places = [
        f"{each.variable} where {each.where_variable} is {each.where_value}" for each in dataset.value_level
    ]
    if twice := _duplicates(places):
        msg = f"value level describes {twice[0]} twice: expected once; remove one"
        raise DatasetError(msg, where=dataset.name)


def _as_number(text: str, *, where: str) -> float:
    try:
        return float(text)
    except ValueError:
        msg = f"'{text}': expected a number, since the variable holds numbers; correct it"
        raise DatasetError(msg, where=where) from None


def _row_key(dataset: Dataset, row: int) -> str:
    cells = dataset.frame.iloc[row]
    return ", ".join(f"{key} = {_short(str(cells[key]))}" for key in dataset.keys)


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:60]}..."


def _refuse(dataset: Dataset, variable: Variable, bad: npt.NDArray[np.bool_], told: str, remedy: str) -> None:
    """Raise if any row is bad, naming the first."""
    if bad.any():
        row = int(np.argmax(bad))
        found = dataset.frame[variable.name].iloc[row]
        shown = _short(repr(found) if isinstance(found, str) else str(found))
        more = f" and {int(bad.sum()) - 1} more rows" if bad.sum() > 1 else ""
        msg = f"row {_row_key(dataset, row)}{more}: expected {told}, found {shown}; {remedy}"
        raise DatasetError(msg, where=f"{dataset.name}.{variable.name}")


def _check_format(described: Variable | ValueLevel, *, where: str) -> None:
    try:
        name, _, _ = parsed_format(described.display_format)
    except DatasetError as error:
        raise DatasetError(error.message, where=where) from None
    if described.display_format and name.startswith("$") != (described.kind == "text"):
        msg = (
            f"format '{described.display_format}' of a {described.kind}: "
            "expected $ before a format of text and of nothing else; correct it"
        )
        raise DatasetError(msg, where=where)


def _checked_variable(dataset: Dataset, variable: Variable) -> Variable:
    _check_format(variable, where=f"{dataset.name}.{variable.name}")
    if variable.codelist and variable.codelist.data_type != variable.kind:
        msg = (
            f"codelist {variable.codelist.name} of {variable.codelist.data_type} on a variable of "
            f"{variable.kind}: expected the same; correct one of them"
        )
        raise DatasetError(msg, where=f"{dataset.name}.{variable.name}")
    if variable.kind == "text":
        return _checked_text(dataset, variable)
    _check_numbers(dataset, variable)
    if variable.kind == "date" and not variable.display_format:
        return replace(variable, length=None, display_format=DATE_FORMAT)
    return replace(variable, length=None)


def _checked_text(dataset: Dataset, variable: Variable) -> Variable:
    column = dataset.frame[variable.name].to_numpy(dtype=object)
    codes, values = pd.factorize(column, use_na_sentinel=False)

    def refuse(bad: Iterable[bool], told: str, remedy: str) -> None:
        found = np.fromiter(bad, dtype=np.bool_, count=len(values))
        _refuse(dataset, variable, found[codes] if len(values) else found, told, remedy)

    refuse((not isinstance(each, str) for each in values), "text", 'make it str, "" where missing')
    refuse((bool(_CONTROL.search(each)) for each in values), "text without control characters", "remove them")
    sizes = [text_bytes(each) for each in values]
    limit = variable.length or (TEXT_LIMIT_BYTES if dataset.fits_transport else max(sizes, default=0))
    refuse((size > limit for size in sizes), f"at most {limit} bytes of UTF-8", "split or shorten it")
    refuse(
        (each.endswith(" ") for each in values), "no blank at the end", "strip it: a transport file loses it"
    )
    if variable.mandatory:
        refuse((not each for each in values), "a value", "fill it or say that it is not mandatory")
    if variable.codelist:
        allowed = {"", *(code for code, _ in variable.codelist.terms)}
        told = f"a term of codelist {variable.codelist.name}"
        refuse((each not in allowed for each in values), told, "add the term or correct the value")
    return replace(variable, length=_text_length(dataset, variable, max(sizes, default=0)))


def _text_length(dataset: Dataset, variable: Variable, longest: int) -> int:
    length = max(longest, 1) if variable.length is None else variable.length
    if length < 1 or (length > TEXT_LIMIT_BYTES and dataset.fits_transport):
        msg = f"length {length}: expected 1 to {TEXT_LIMIT_BYTES} bytes; correct it or leave it out"
        raise DatasetError(msg, where=f"{dataset.name}.{variable.name}")
    return length


def _check_numbers(dataset: Dataset, variable: Variable) -> None:
    column = dataset.frame[variable.name]
    if len(column) and column.dtype != np.float64:
        msg = f"column of {column.dtype}: expected float64 with NaN where missing; convert it with astype"
        raise DatasetError(msg, where=f"{dataset.name}.{variable.name}")
    found = numbers(column)
    known, size = ~np.isnan(found), np.abs(found)
    _refuse(dataset, variable, np.isinf(found), "a finite number", "leave it missing and say why")
    beyond = known & (size > 0) & ((size < _SMALLEST) | (size > _LARGEST))
    if dataset.fits_transport:
        _refuse(dataset, variable, beyond, "a number a transport file can hold", "change its unit")
    if variable.kind != "float":
        whole = "a whole number" if variable.kind == "integer" else "a whole number of days"
        _refuse(dataset, variable, known & (found != np.floor(found)), whole, "round it or make it a float")
    if variable.kind == "date":
        outside = known & ((found < _FIRST_DAY) | (found > _LAST_DAY))
        _refuse(dataset, variable, outside, "a day from 1582 to 3999", "count days since 1960-01-01")
    if variable.mandatory:
        _refuse(dataset, variable, ~known, "a value", "fill it or say that it is not mandatory")
    if variable.codelist:
        where = f"{dataset.name}.{variable.name}, codelist {variable.codelist.name}"
        allowed = [_as_number(code, where=where) for code, _ in variable.codelist.terms]
        told = f"a term of codelist {variable.codelist.name}"
        _refuse(
            dataset, variable, known & ~np.isin(found, allowed), told, "add the term or correct the value"
        )

"""What is said about a dataset: variables, codelists, value levels, and the frame they describe.

Frame conventions: a text column holds str and "" for a missing value; integer, float and date columns are
float64 with NaN for a missing value; a date is the number of days since 1960-01-01, as SAS counts.
"""

from __future__ import annotations

import re
from dataclasses import KW_ONLY, dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from infarct_vol.cdisc.values import DatasetError

Kind = Literal["text", "integer", "float", "date"]
Origin = Literal["Collected", "Derived", "Assigned", "Predecessor", "Protocol"]
Source = Literal["Sponsor", "Investigator", "Vendor", ""]
Purpose = Literal["Analysis", "Tabulation"]

_FORMAT = re.compile(r"(?!\.)(\$?(?:[A-Z_](?:[A-Z0-9_]{0,5}[A-Z_])?)?)(\d{0,3})\.(\d{0,2})")
_ISO: dict[Literal["date", "datetime"], re.Pattern[str]] = {
    "date": re.compile(r"\d{4}-\d{2}-\d{2}"),
    "datetime": re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:\d{2})?"),
}


@dataclass(frozen=True)
class Codelist:
    """The values a variable may take, in order, each with what it means.

    Attributes
    ----------
    terms
        Code and decode. A list whose decodes are all empty, or repeat the code, only enumerates.
    """

    name: str
    data_type: Literal["text", "integer", "float"]
    terms: tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True)
class Described:
    """What is said of a column, or of its values in some rows.

    Attributes
    ----------
    length
        Bytes of a text, None for the longest value found, at least 1; digits of a number at value level.
    display_format
        SAS format, such as ``DATE9.`` or ``8.3``; a date without one gets ``DATE9.``.
    method, comment
        How it is derived and what else to know, as sentences.
    predecessor
        Where it was copied from, such as ``ADSL.TRTSDT``.
    mandatory
        True where a missing value is an error.
    """

    length: int | None = None
    display_format: str = ""
    origin: Origin = "Derived"
    source: Source = "Sponsor"
    method: str = ""
    comment: str = ""
    predecessor: str = ""
    codelist: Codelist | None = None
    mandatory: bool = False


@dataclass(frozen=True)
class Variable(Described):
    """One column."""

    name: str
    label: str
    kind: Kind


@dataclass(frozen=True)
class ValueLevel(Described):
    """What a variable holds in the rows where another variable has one value: AVAL by PARAMCD.

    Attributes
    ----------
    variable
        Name of the variable described.
    where_variable, where_value
        The rows: those where this variable equals this value, written as text.
    significant_digits
        Digits after the point of a float; None for those of the display format.
    """

    variable: str
    where_variable: str
    where_value: str
    label: str
    kind: Kind
    _: KW_ONLY
    significant_digits: int | None = None


@dataclass(frozen=True)
class Dataset:
    """A frame with its metadata.

    Attributes
    ----------
    frame
        Its columns are the variables, in their order.
    keys
        Variables that tell every row from every other, in sorting order.
    structure
        What one row is, such as "one record per subject per parameter per visit".
    class_name
        CDISC class, such as ``BASIC DATA STRUCTURE``.
    is_checked
        Whether `infarct_vol.cdisc.metadata.checked` returned it, so that no writer checks it again.
    fits_transport
        Whether a SAS transport file can hold it; one that does not fit is written in the other formats.
    """

    name: str
    label: str
    frame: pd.DataFrame
    variables: tuple[Variable, ...]
    keys: tuple[str, ...]
    structure: str
    purpose: Purpose
    class_name: str
    value_level: tuple[ValueLevel, ...] = ()
    is_checked: bool = False
    fits_transport: bool = True


def parsed_format(display_format: str) -> tuple[str, int, int]:
    """Return name, width and decimals of a SAS format; 0 where it states none, ("", 0, 0) of "".

    Raises
    ------
    DatasetError
        If SAS would not take it for a format.
    """
    if not display_format:
        return "", 0, 0
    found = _FORMAT.fullmatch(display_format)
    if not found:
        msg = f"format '{display_format}': expected a SAS format such as DATE9. or 8.3; correct it"
        raise DatasetError(msg)
    name, width, decimals = found.groups()
    return name, int(width or 0), int(decimals or 0)


def numbers(column: pd.Series) -> npt.NDArray[np.float64]:
    """Return a column as float64, NaN where missing."""
    return np.asarray(column.to_numpy(dtype=np.float64, na_value=np.nan))


def iso_type(dataset: Dataset, variable: Variable) -> Literal["", "date", "datetime", "partialDatetime"]:
    """Return what a --DTC variable of a tabulation dataset holds; "" of every other variable.

    Their text is ISO 8601 by the SDTM Implementation Guide, and Define-XML names it by the most it may hold:
    date or datetime where every value is whole, partialDatetime otherwise.
    """
    if dataset.purpose != "Tabulation" or variable.kind != "text" or not variable.name.endswith("DTC"):
        return ""
    found = [value for value in dataset.frame[variable.name].unique() if value]
    for name, pattern in _ISO.items():
        if all(pattern.fullmatch(value) for value in found):
            return name
    return "partialDatetime"

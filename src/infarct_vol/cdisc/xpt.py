"""SAS transport files, version 5.

The layout is that of SAS Technical Support document TS-140, "The Record Layout of a Data Set in SAS
Transport (XPORT) Format". The records are written here and not through pyreadstat, because that library
puts the time of the run into the header and passes every cell through Python objects.

Numbers are IBM hexadecimal floating point of 8 bytes: 56 bits of fraction, of which the first hexadecimal
digit may waste three, so 53 bits always remain. Those are the 53 bits of an IEEE double: every double
between 16**-65 (about 5.4e-79) and 16**63 (about 7.2e75) is kept exactly, and `checked` refuses the others.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from infarct_vol.cdisc.metadata import checked
from infarct_vol.cdisc.model import Dataset, Variable, numbers, parsed_format
from infarct_vol.cdisc.values import DatasetError
from infarct_vol.files import whole_file

_RECORD_BYTES = 80
_NUMBER_BYTES = 8
_ROWS_AT_ONCE = 8192
_MISSING = 0x2E << 56  # a full stop and seven zero bytes: the plain missing value of SAS
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
# release and system are those TS-140 shows and ReadStat writes, which SAS is known to read
_RELEASE, _SYSTEM = "6.06", "bsd4.2"


def xpt_bytes(dataset: Dataset, *, created: datetime) -> bytes:
    """Return a dataset as the content of a transport file with one member.

    Parameters
    ----------
    created
        Time put into every header, by its own clock; nothing else in the file depends on time.

    Raises
    ------
    DatasetError
        As `checked`; and if a dataset of text alone ends in a row of none, which would pass for padding.
    """
    return b"".join(_chunks(checked(dataset), created=created))


def write_xpt(dataset: Dataset, path: Path, *, created: datetime) -> None:
    """Write what `xpt_bytes` returns, a few thousand rows at a time; nothing is left if it is refused."""
    chunks = _chunks(checked(dataset), created=created)
    with whole_file(path) as file:
        file.writelines(chunks)


def ibm_bytes(values: npt.NDArray[np.float64]) -> npt.NDArray[np.uint64]:
    """Return doubles as IBM hexadecimal floating point, one unsigned integer each; NaN as missing.

    Parameters
    ----------
    values
        Shape (n,); 0, or from 16**-65 to below 16**63 in size.
    """
    known = np.isfinite(values) & (values != 0)
    fraction, exponent = np.frexp(np.abs(np.where(known, values, 1.0)))
    digits = -(-exponent // 4)  # hexadecimal exponent, rounded up, so that the fraction stays below 1
    spare = (3 - (4 * digits - exponent)).astype(np.uint64)
    bits = (fraction * 2.0**53).astype(np.uint64) << spare
    bits |= (digits + 64).astype(np.uint64) << np.uint64(56)
    bits |= np.signbit(values).astype(np.uint64) << np.uint64(63)
    return np.where(known, bits, np.where(np.isnan(values), np.uint64(_MISSING), np.uint64(0)))


def _chunks(dataset: Dataset, *, created: datetime) -> Iterator[bytes]:
    if not dataset.fits_transport:
        msg = "it was checked for the other formats alone; check it for transport files"
        raise DatasetError(msg, where=dataset.name)
    if _ends_in_blanks(dataset):
        msg = "the last row has no value: expected one, since blank rows at the end are lost; remove the row"
        raise DatasetError(msg, where=dataset.name)
    yield _headers(dataset, created=created)
    size = 0
    for start in range(0, len(dataset.frame), _ROWS_AT_ONCE):
        rows = _rows(dataset, start, start + _ROWS_AT_ONCE)
        size += len(rows)
        yield rows
    yield b" " * (-size % _RECORD_BYTES)


def _ends_in_blanks(dataset: Dataset) -> bool:
    return (
        len(dataset.frame) > 0
        and all(variable.kind == "text" for variable in dataset.variables)
        and not any(dataset.frame.iloc[-1])
    )


def _headers(dataset: Dataset, *, created: datetime) -> bytes:
    stamp = f"{created.day:02d}{_MONTHS[created.month - 1]}{created.year % 100:02d}:{created:%H:%M:%S}"
    origin = f"{_RELEASE:8}{_SYSTEM:8}{'':24}{stamp}"
    described = b"".join(
        _described(variable, number=number, position=position)
        for number, (variable, position) in enumerate(_placed(dataset), start=1)
    )
    return b"".join(
        (
            _header("LIBRARY", "0" * 30),
            _record(f"{'SAS':8}{'SAS':8}{'SASLIB':8}{origin}".encode()),
            _record(stamp.encode()),
            _header("MEMBER", f"{'':0>17}1600000000140"),
            _header("DSCRPTR", "0" * 30),
            _record(f"{'SAS':8}{dataset.name:8}{'SASDATA':8}{origin}".encode()),
            _record(f"{stamp}{'':16}".encode() + dataset.label.encode().ljust(40) + b" " * 8),
            _header("NAMESTR", f"{len(dataset.variables):010d}{'':0>20}"),
            described + b" " * (-len(described) % _RECORD_BYTES),
            _header("OBS", "0" * 30),
        )
    )


def _header(name: str, digits: str) -> bytes:
    return _record(f"HEADER RECORD*******{name:8}HEADER RECORD!!!!!!!{digits}".encode())


def _record(content: bytes) -> bytes:
    return content.ljust(_RECORD_BYTES)


def _placed(dataset: Dataset) -> Iterator[tuple[Variable, int]]:
    """Return each variable with the byte of a row it begins at."""
    position = 0
    for variable in dataset.variables:
        yield variable, position
        position += _width(variable)


def _width(variable: Variable) -> int:
    return (variable.length or 1) if variable.kind == "text" else _NUMBER_BYTES


def _described(variable: Variable, *, number: int, position: int) -> bytes:
    """Return the 140 bytes of one NAMESTR record, fields in the order of TS-140."""
    name, width, decimals = parsed_format(variable.display_format)
    return struct.pack(
        ">hhhh8s40s8shhh2x8shhl52x",
        2 if variable.kind == "text" else 1,
        0,
        _width(variable),
        number,
        variable.name.encode().ljust(8),
        variable.label.encode().ljust(40),
        name.encode().ljust(8),
        width,
        decimals,
        0 if variable.kind == "text" else 1,  # 0 to the left, 1 to the right
        b" " * 8,
        0,
        0,
        position,
    )


def _rows(dataset: Dataset, start: int, stop: int) -> bytes:
    frame = dataset.frame.iloc[start:stop]
    record = np.dtype(
        [(each.name, f"S{_width(each)}" if each.kind == "text" else ">u8") for each in dataset.variables]
    )
    rows = np.empty(len(frame), dtype=record)
    for variable in dataset.variables:
        column = frame[variable.name]
        rows[variable.name] = (
            _texts(column, width=_width(variable)) if variable.kind == "text" else ibm_bytes(numbers(column))
        )
    return rows.tobytes()


def _texts(column: pd.Series, *, width: int) -> npt.NDArray[np.bytes_]:
    # a column repeats its values: each is encoded and padded once
    codes, values = pd.factorize(column.to_numpy(dtype=object))
    padded = np.array([value.encode().ljust(width) for value in values], dtype=f"S{width}")
    return np.asarray(padded[codes])

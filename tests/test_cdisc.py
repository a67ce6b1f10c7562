"""CDISC files: what is refused, what each format holds, and that the three agree with each other."""

from __future__ import annotations

import datetime as dt
import io
import json
import struct
import xml.etree.ElementTree as ET
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infarct_vol.cdisc import (
    Codelist,
    Dataset,
    DatasetError,
    Document,
    SourceSystem,
    Standard,
    StudyInfo,
    ValueLevel,
    Variable,
    checked,
    dataset_json_bytes,
    define_xml,
    sas_date,
    split_text,
    write_dataset_json,
    write_xpt,
    xpt,
    xpt_bytes,
)
from infarct_vol.cdisc.model import parsed_format
from infarct_vol.cdisc.values import iso_date
from infarct_vol.errors import UsageError

NAN = float("nan")
WHEN = dt.datetime(2024, 3, 5, 1, 2, 3)
STUDY = StudyInfo("STROKE1", "Stroke One", "A trial of <early> & late infarcts", "P-001")
SYSTEM = SourceSystem("some-program", "1.2.3", "A sponsor")
ODM, DEF = "{http://www.cdisc.org/ns/odm/v1.3}", "{http://www.cdisc.org/ns/def/v2.1}"


def volumes(**changes: object) -> Dataset:
    """Three rows of an analysis dataset: a volume in mL, a count, and a volume that is missing."""
    frame = pd.DataFrame(
        {
            "USUBJID": ["001", "001", "002"],
            "SITE": ["Charité", "Charité", ""],
            "PARAMCD": ["VOL", "N", "VOL"],
            "AVAL": [1 / 3, 12.0, NAN],
            "ADT": [sas_date("2024-02-29"), sas_date("1959-12-31"), NAN],
            "ASEQ": [1.0, 2.0, 1.0],
        }
    )
    variables = (
        Variable("USUBJID", "Unique Subject Identifier", "text", mandatory=True, origin="Collected"),
        Variable("SITE", "Site", "text", origin="Predecessor", predecessor="ADSL.SITE"),
        Variable(
            "PARAMCD",
            "Parameter Code",
            "text",
            origin="Assigned",
            length=8,
            codelist=Codelist("PARAMCD", "text", (("VOL", "Volume (mL)"), ("N", "Number"))),
        ),
        Variable("AVAL", "Analysis Value", "float", display_format="8.3", comment="Not rounded."),
        Variable("ADT", "Analysis Date", "date", method="The day of the scan."),
        Variable("ASEQ", "Analysis Sequence", "integer", origin="Assigned", source=""),
    )
    levels = (
        ValueLevel("AVAL", "PARAMCD", "VOL", "Volume (mL)", "float", display_format="9.2", method="Sum."),
        ValueLevel("AVAL", "PARAMCD", "N", "Number of Lesions", "integer", method="Count."),
    )
    dataset = Dataset(
        name="ADVOL",
        label="Volumes",
        frame=frame,
        variables=variables,
        keys=("USUBJID", "PARAMCD"),
        structure="one record per subject per parameter",
        purpose="Analysis",
        class_name="BASIC DATA STRUCTURE",
        value_level=levels,
    )
    return replace(dataset, **changes)


def one(values: list[object], variable: Variable) -> Dataset:
    """A dataset of a key and one variable."""
    frame = pd.DataFrame({"ID": np.arange(float(len(values))), variable.name: values})
    return volumes(
        frame=frame, variables=(Variable("ID", "Id", "integer"), variable), keys=("ID",), value_level=()
    )


def with_variable(which: str, /, **changes: object) -> Dataset:
    dataset = volumes()
    return replace(
        dataset,
        variables=tuple(replace(v, **changes) if v.name == which else v for v in dataset.variables),
    )


def text(label: str = "Text", **rest: object) -> Variable:
    return Variable("T", label, "text", **rest)


def number(kind: str = "float", **rest: object) -> Variable:
    return Variable("X", "Number", kind, **rest)


# --- checks


def test_a_dataset_that_holds_gets_its_lengths_and_date_formats():
    dataset = volumes()
    before = dataset.frame.copy(deep=True)
    found = {each.name: (each.length, each.display_format) for each in checked(dataset).variables}
    assert found == {
        "USUBJID": (3, ""),
        "SITE": (8, ""),  # seven characters, the last of two bytes
        "PARAMCD": (8, ""),
        "AVAL": (None, "8.3"),
        "ADT": (None, "DATE9."),
        "ASEQ": (None, ""),
    }
    assert checked(dataset).frame is dataset.frame
    pd.testing.assert_frame_equal(dataset.frame, before)
    assert checked(checked(dataset)) == checked(dataset)


def test_lengths_of_empty_text_are_one():
    assert checked(one(["", ""], text())).variables[1].length == 1
    assert checked(one([], text())).variables[1].length == 1


@pytest.mark.parametrize("name", ["", "aval", "9AVAL", "TOOLONGNAME", "A-B", "Å", "AVAL\n"])
def test_names_the_format_cannot_hold(name):
    with pytest.raises(DatasetError, match="is no dataset name: expected 1 to 8 of A-Z, 0-9 and _"):
        checked(volumes(name=name))
    with pytest.raises(UsageError, match="is no variable name"):
        checked(with_variable("AVAL", name=name))


def test_names_of_eight_characters_and_underscores_hold():
    assert checked(volumes(name="_BCDEFG8")).name == "_BCDEFG8"


@pytest.mark.parametrize("label", ["", "x" * 41, "é" * 21, " x", "x ", "a\tb", "\ud800"])
def test_labels_the_format_cannot_hold(label):
    with pytest.raises(DatasetError, match="expected 1 to 40 bytes"):
        checked(volumes(label=label))
    with pytest.raises(DatasetError, match=r"ADVOL\.AVAL: label .* expected 1 to 40 bytes"):
        checked(with_variable("AVAL", label=label))


@pytest.mark.parametrize("label", ["x", "é" * 20])
def test_labels_of_1_to_40_bytes_hold(label):
    assert checked(volumes(label=label)).label == label


def test_names_and_labels_occur_once():
    with pytest.raises(DatasetError, match="two variables have the name 'ASEQ'"):
        checked(with_variable("AVAL", name="ASEQ"))
    with pytest.raises(DatasetError, match="two variables have the label 'Analysis Date'"):
        checked(with_variable("AVAL", label="Analysis Date"))


def test_columns_are_the_variables_in_their_order():
    frame = volumes().frame
    with pytest.raises(DatasetError, match=r"in another order.*expected USUBJID, SITE.*found ASEQ"):
        checked(volumes(frame=frame[frame.columns[::-1]]))
    with pytest.raises(DatasetError, match="absent: AVAL; undescribed: VALUE"):
        checked(volumes(frame=frame.rename(columns={"AVAL": "VALUE"})))
    with pytest.raises(DatasetError, match="none at all.*expected at least one, found none"):
        checked(volumes(frame=pd.DataFrame(), variables=()))


def test_text_is_counted_in_bytes():
    assert checked(one(["é" * 100], text())).variables[1].length == 200
    with pytest.raises(DatasetError, match=r"ADVOL\.T: row ID = 1\.0: expected at most 200 bytes of UTF-8"):
        checked(one(["", "é" * 100 + "x"], text()))
    with pytest.raises(DatasetError, match="found 'x{58}';"):  # 60 characters with its quotes
        checked(one(["x" * 58], text(length=57)))
    with pytest.raises(DatasetError, match=r"found 'x{59}\.\.\.;"):
        checked(one(["x" * 59], text(length=57)))
    with pytest.raises(DatasetError, match="at most 3 bytes of UTF-8, found 'four'"):
        checked(one(["four"], text(length=3)))
    with pytest.raises(DatasetError, match="length 201: expected 1 to 200"):
        checked(one(["x"], text(length=201)))
    with pytest.raises(DatasetError, match="length 0: expected 1 to 200"):
        checked(one([""], text(length=0)))


@pytest.mark.parametrize("value", ["a\x00b", "a\nb", "a\x1fb", "a\x85b", "a\ud800b"])
def test_control_characters_are_refused(value):
    with pytest.raises(DatasetError, match="row ID = 1.0: expected text without control characters"):
        checked(one(["fine", value], text()))


def test_a_blank_at_the_end_is_refused_and_one_at_the_beginning_is_not():
    with pytest.raises(DatasetError, match="expected no blank at the end, found 'a '"):
        checked(one(["a "], text()))
    assert checked(one([" a"], text())).variables[1].length == 2


@pytest.mark.parametrize("value", [None, NAN, 1.0])
def test_text_is_str_even_where_missing(value):
    with pytest.raises(DatasetError, match='expected text, found .*make it str, "" where missing'):
        checked(one(["a", value], text()))


def test_numbers_are_float64():
    frame = volumes().frame.astype({"ASEQ": "int64"})
    with pytest.raises(DatasetError, match=r"ADVOL\.ASEQ: column of int64: expected float64"):
        checked(volumes(frame=frame))


@pytest.mark.parametrize("value", [np.inf, -np.inf])
def test_infinite_numbers_are_refused(value):
    with pytest.raises(DatasetError, match=r"row ID = 1\.0: expected a finite number, found -?inf"):
        checked(one([0.0, value], number()))


@pytest.mark.parametrize("value", [1e-80, -1e-80, 1e76, -1e76])
def test_numbers_beyond_the_transport_format_are_refused(value):
    with pytest.raises(DatasetError, match="expected a number a transport file can hold"):
        checked(one([value], number()))


def test_the_smallest_and_largest_numbers_of_the_transport_format_hold():
    limits = [16.0**-65, -(16.0**-65), (1 - 2.0**-53) * 16.0**63, 0.0]
    assert checked(one(limits, number()))
    for beyond in (16.0**-65 * (1 - 2.0**-53), 16.0**63):
        with pytest.raises(DatasetError, match="expected a number a transport file can hold"):
            checked(one([beyond], number()))


def test_integers_and_dates_are_whole():
    with pytest.raises(DatasetError, match=r"expected a whole number, found 1\.5"):
        checked(one([NAN, 1.5], number("integer")))
    with pytest.raises(DatasetError, match=r"expected a whole number of days, found 23435\.25"):
        checked(one([23435.25], number("date")))
    # 1582-01-01, SAS's first day, and 3999-12-31: 2,040 years of 365 days and 495 leap days, less one
    assert checked(one([-138061.0, 745094.0], number("date")))
    for beyond in (-138062.0, 745095.0):
        with pytest.raises(DatasetError, match="expected a day from 1582 to 3999"):
            checked(one([beyond], number("date")))


def test_missing_mandatory_values_are_refused():
    with pytest.raises(DatasetError, match="row ID = 1.0: expected a value, found ''"):
        checked(one(["a", ""], text(mandatory=True)))
    with pytest.raises(DatasetError, match="row ID = 0.0 and 1 more rows: expected a value, found nan"):
        checked(one([NAN, NAN], number(mandatory=True)))


def test_values_outside_their_codelist_are_refused():
    letters, ones = (
        Codelist("AB", "text", (("A", ""), ("B", ""))),
        Codelist("ONE", "integer", (("1", "one"),)),
    )
    assert checked(one(["A", ""], text(codelist=letters)))
    assert checked(one([1.0, NAN], number("integer", codelist=ones)))
    with pytest.raises(DatasetError, match="expected a term of codelist AB, found 'C'"):
        checked(one(["A", "C"], text(codelist=letters)))
    with pytest.raises(DatasetError, match=r"expected a term of codelist ONE, found 2\.0"):
        checked(one([2.0], number("integer", codelist=ones)))
    with pytest.raises(DatasetError, match="codelist AB of text on a variable of integer"):
        checked(one([1.0], number("integer", codelist=letters)))
    with pytest.raises(DatasetError, match="codelist BAD: 'one': expected a number"):
        checked(one([1.0], number("integer", codelist=Codelist("BAD", "integer", (("one", ""),)))))


def test_keys_tell_rows_apart():
    frame = volumes().frame.assign(PARAMCD=["VOL", "VOL", "VOL"])
    with pytest.raises(DatasetError, match="1 rows repeat .* first is USUBJID = 001, PARAMCD = VOL"):
        checked(volumes(frame=frame))
    with pytest.raises(DatasetError, match="keys USUBJID, VISIT: .* correct VISIT"):
        checked(volumes(keys=("USUBJID", "VISIT")))
    with pytest.raises(DatasetError, match=r"keys \(none\): .* at least one"):
        checked(volumes(keys=()))
    with pytest.raises(DatasetError, match="keys ASEQ, ASEQ: .* each once"):
        checked(volumes(keys=("ASEQ", "ASEQ")))


@pytest.mark.parametrize(
    ("display_format", "expected"),
    [
        ("", ("", 0, 0)),
        ("DATE9.", ("DATE", 9, 0)),
        ("8.3", ("", 8, 3)),
        ("$20.", ("$", 20, 0)),
        ("E8601DA.", ("E8601DA", 0, 0)),
        ("E8601DA10.", ("E8601DA", 10, 0)),
        ("BEST12.", ("BEST", 12, 0)),
    ],
)
def test_formats_are_taken_apart(display_format, expected):
    assert parsed_format(display_format) == expected


def test_formats_sas_does_not_know_are_refused():
    for wrong in ("DATE9", "8,3", ".", ".3", "date9."):
        with pytest.raises(DatasetError, match="ADVOL.X: format .* expected a SAS format"):
            checked(one([1.0], number(display_format=wrong)))
    with pytest.raises(DatasetError, match=r"format '\$8\.' of a float: expected \$ before a format of text"):
        checked(one([1.0], number(display_format="$8.")))
    with pytest.raises(DatasetError, match=r"format '8\.' of a text"):
        checked(one(["a"], text(display_format="8.")))


def test_value_levels_fit_the_dataset():
    def refused(match: str, *levels: ValueLevel) -> None:
        with pytest.raises(DatasetError, match=match):
            checked(volumes(value_level=levels))

    good = ValueLevel("AVAL", "PARAMCD", "VOL", "Volume", "float")
    refused("value level names BASE: expected a variable", replace(good, variable="BASE"))
    refused("value level names VISIT", replace(good, where_variable="VISIT"))
    refused("without a label", replace(good, label=""))
    refused("value level of text: expected float", replace(good, kind="text"))
    refused("'x': expected a number", replace(good, where_variable="ASEQ", where_value="x"))
    refused("expected a SAS format", replace(good, display_format="8,3"))
    refused("describes AVAL where PARAMCD is VOL twice", good, good)


# --- single values


@pytest.mark.parametrize(
    ("iso", "days"),
    [
        ("1960-01-01", 0.0),
        ("1959-12-31", -1.0),
        ("2000-01-01", 14610.0),  # 40 years of which 10 are leap years
        ("2024-02-29", 23435.0),  # 64 years with 16 leap days to 2024-01-01 (23376), and 59 days
        ("2024-02-29T23:59:59+02:00", 23435.0),
        ("2024-02-29 10:00", 23435.0),
    ],
)
def test_dates_count_days_since_1960(iso, days):
    assert sas_date(iso) == days
    assert iso_date(days) == iso[:10]


def test_a_missing_date_is_missing():
    assert np.isnan(sas_date(None))
    assert np.isnan(sas_date(""))
    assert iso_date(NAN) == ""


@pytest.mark.parametrize("wrong", ["2024-02", "2024", "2023-02-29", "20240229", "2024-02-299", "29.02.2024"])
def test_partial_and_wrong_dates_are_refused(wrong):
    with pytest.raises(DatasetError, match=f"'{wrong}' is no whole date: expected YYYY-MM-DD"):
        sas_date(wrong)


def test_text_that_fits_stays_in_one_variable():
    assert split_text(["a b", "", "x" * 200], name="REASON") == {"REASON": ["a b", "", "x" * 200]}
    assert split_text([], name="REASON") == {"REASON": []}


def test_text_is_cut_at_blanks_and_never_inside_a_character():
    found = split_text(["aa bb cc", "dd", "ééé éé"], name="NOTE", limit_bytes=6)
    assert found == {"NOTE": ["aa bb", "dd", "ééé"], "NOTE1": ["cc", "", "éé"]}
    # a word over the limit: three characters of two bytes fit into seven
    assert split_text(["éééé"], name="NOTE", limit_bytes=7) == {"NOTE": ["ééé"], "NOTE1": ["é"]}


def test_of_several_blanks_one_goes_and_no_part_ends_in_one():
    found = split_text(["aa   bb"], name="NOTE", limit_bytes=4)
    assert found == {"NOTE": ["aa"], "NOTE1": ["  bb"]}
    assert split_text(["aa  bb"], name="NOTE", limit_bytes=4) == {"NOTE": ["aa"], "NOTE1": [" bb"]}
    # blanks before the first word are no place to cut
    assert split_text(["  aaaaaa"], name="NOTE", limit_bytes=4) == {"NOTE": ["  aa"], "NOTE1": ["aaaa"]}


def test_names_of_parts_stay_within_eight_characters():
    assert list(split_text(["a a a"], name="NOTE", limit_bytes=4)) == ["NOTE", "NOTE1"]
    assert list(split_text(["aaaa aaaa"], name="REASONXX", limit_bytes=4)) == ["REASONXX", "REASONX1"]
    many = list(split_text([" ".join(["aaaa"] * 11)], name="REASONXX", limit_bytes=4))
    assert (many[1], many[10]) == ("REASON1", "REASON10")
    # the name itself is what one of its parts would be called
    clash = list(split_text(["aaaa aaaa"], name="REASONX1", limit_bytes=4))
    assert clash == ["REASONX1", "REASON1"]
    clash = list(split_text([" ".join(["aaaa"] * 12)], name="REASON11", limit_bytes=4))
    assert (len(set(clash)), clash[11]) == (12, "REASO11")


def test_splitting_refuses_what_it_cannot_name_or_fit():
    with pytest.raises(DatasetError, match="'note' is no variable name"):
        split_text(["a"], name="note")
    with pytest.raises(DatasetError, match="a limit of 3 bytes holds no character of four bytes"):
        split_text(["a"], name="NOTE", limit_bytes=3)


@given(st.lists(st.text(alphabet="aé漢😀", min_size=1, max_size=3), min_size=1, max_size=60))
def test_parts_joined_by_a_blank_give_the_text_back(words):
    whole = " ".join(words)
    parts = [column[0] for column in split_text([whole], name="NOTE", limit_bytes=12).values()]
    assert " ".join(parts) == whole
    assert all(0 < len(part.encode()) <= 12 for part in parts)


# --- transport files


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.0, "0000000000000000"),
        (-0.0, "0000000000000000"),
        (1.0, "4110000000000000"),
        (-1.0, "C110000000000000"),
        (16.0, "4210000000000000"),
        (0.0625, "4010000000000000"),
        (-118.625, "C276A00000000000"),  # 0x76.A, the usual textbook example
        (0.1, "401999999999999A"),  # 1.999999999999a * 2**-4 in IEEE: the same 53 bits
        (16.0**-65, "0010000000000000"),
        (NAN, "2E00000000000000"),
    ],
)
def test_numbers_are_ibm_floating_point(value, expected):
    assert f"{int(xpt.ibm_bytes(np.array([value]))[0]):016X}" == expected


@given(st.floats(min_value=1e-78, max_value=7e75) | st.floats(min_value=-7e75, max_value=-1e-78))
def test_every_double_in_range_is_kept_exactly(value):
    bits = int(xpt.ibm_bytes(np.array([value]))[0])
    sign, characteristic, fraction = bits >> 63, bits >> 56 & 0x7F, bits & (1 << 56) - 1
    kept = Fraction(fraction, 1 << 56) * Fraction(16) ** (characteristic - 64) * (-1) ** sign
    assert kept == Fraction(value)
    assert fraction >> 52  # normalised: no leading hexadecimal zero


def test_written_bytes_are_those_of_another_writer_but_for_the_time(tmp_path):
    readstat = pytest.importorskip("pyreadstat")
    frame = pd.DataFrame({"ID": [1.0, -2.5, NAN], "T": ["abc", "", "Charité"]})
    dataset = volumes(
        name="OTHER",
        label="A label",
        frame=frame,
        variables=(Variable("ID", "Number", "float", display_format="8.3"), text()),
        keys=("ID",),
        value_level=(),
    )
    path = tmp_path / "other.xpt"
    readstat.write_xport(
        frame,
        str(path),
        table_name="OTHER",
        file_label="A label",
        column_labels=["Number", "Text"],
        variable_format={"ID": "8.3"},
        file_format_version=5,
    )
    other, ours = path.read_bytes(), xpt_bytes(dataset, created=WHEN)
    assert len(ours) == len(other)
    # first and second time of the library at 144 and 160, of the member at 464 and 480
    stamps = {144: 16, 160: 16, 464: 16, 480: 16}
    for start, size in stamps.items():
        assert ours[start : start + size] == b"05MAR24:01:02:03"
        other = other[:start] + b"05MAR24:01:02:03" + other[start + size :]
    assert ours == other


def read_with_readstat(content: bytes, path) -> tuple[pd.DataFrame, object]:
    readstat = pytest.importorskip("pyreadstat")
    path.write_bytes(content)
    return readstat.read_xport(str(path), disable_datetime_conversion=True)


def test_a_transport_file_reads_back_as_it_was(tmp_path):
    dataset = volumes()
    frame, meta = read_with_readstat(xpt_bytes(dataset, created=WHEN), tmp_path / "advol.xpt")
    pd.testing.assert_frame_equal(frame, dataset.frame, check_exact=True)
    assert (meta.table_name, meta.file_label) == ("ADVOL", "Volumes")
    assert meta.column_labels == [each.label for each in dataset.variables]
    assert meta.variable_storage_width == {
        "USUBJID": 3,
        "SITE": 8,
        "PARAMCD": 8,
        "AVAL": 8,
        "ADT": 8,
        "ASEQ": 8,
    }
    assert {k: v for k, v in meta.original_variable_types.items() if v} == {"AVAL": "8.3", "ADT": "DATE9"}
    assert (meta.creation_time, meta.modification_time) == (WHEN, WHEN)


def test_a_transport_file_reads_back_in_pandas():
    frame = pd.read_sas(io.BytesIO(xpt_bytes(volumes(), created=WHEN)), format="xport", encoding="utf-8")
    pd.testing.assert_frame_equal(frame, volumes().frame, check_exact=True)


def test_numbers_of_all_sizes_read_back_exactly(tmp_path):
    random = np.random.default_rng(20240305)
    values = np.concatenate(
        [
            [0.0, 1 / 3, -1 / 3, 1e-9, -1e-9, np.pi, 2.0**53 - 1, 1e-78, 1e75, NAN],
            random.normal(size=20_000) * 10.0 ** random.integers(-70, 70, size=20_000),
        ]
    )
    content = xpt_bytes(one(list(values), number()), created=WHEN)
    frame, _ = read_with_readstat(content, tmp_path / "many.xpt")
    np.testing.assert_array_equal(frame["X"].to_numpy(), values)
    again = pd.read_sas(io.BytesIO(content), format="xport")["X"].to_numpy()
    np.testing.assert_array_equal(again[1:], values[1:])
    # pandas reads the eight zero bytes of 0 as 16**-65; every writer's zero reads so
    assert again[0] == 16.0**-65


def test_a_dataset_without_rows_is_readable(tmp_path):
    dataset = volumes(frame=volumes().frame.iloc[:0])
    content = xpt_bytes(dataset, created=WHEN)
    assert len(content) % 80 == 0
    frame, meta = read_with_readstat(content, tmp_path / "empty.xpt")
    assert len(frame) == 0
    assert meta.column_names == [each.name for each in dataset.variables]
    # columns that were never filled have no type yet
    untyped = volumes(frame=pd.DataFrame(columns=list(dataset.frame.columns)))
    assert len(xpt_bytes(untyped, created=WHEN)) == len(content)


def test_only_the_stamps_depend_on_the_time():
    first = xpt_bytes(volumes(), created=WHEN)
    assert first == xpt_bytes(volumes(), created=WHEN)
    later = xpt_bytes(volumes(), created=dt.datetime(2031, 12, 24, 23, 59, 58))
    assert later.count(b"24DEC31:23:59:58") == 4
    assert later.replace(b"24DEC31:23:59:58", b"05MAR24:01:02:03") == first


def test_records_are_80_bytes_and_descriptions_140():
    content = xpt_bytes(volumes(), created=WHEN)
    assert len(content) % 80 == 0
    start = content.index(b"HEADER RECORD*******NAMESTR") + 80
    kind, _, length, place = struct.unpack(">hhhh", content[start + 140 : start + 148])
    assert (kind, length, place) == (2, 8, 2)
    assert content[start + 148 : start + 156] == b"SITE    "
    assert struct.unpack(">l", content[start + 140 + 84 : start + 140 + 88]) == (3,)  # after three of USUBJID
    assert content[-80:].endswith(b" ")


def test_rows_written_in_pieces_are_the_same(monkeypatch, tmp_path):
    whole = xpt_bytes(volumes(), created=WHEN)
    monkeypatch.setattr("infarct_vol.cdisc.xpt._ROWS_AT_ONCE", 2)
    assert xpt_bytes(volumes(), created=WHEN) == whole
    write_xpt(volumes(), tmp_path / "new" / "advol.xpt", created=WHEN)
    assert (tmp_path / "new" / "advol.xpt").read_bytes() == whole


def test_a_last_row_of_blanks_would_be_lost(tmp_path):
    variables = (text(), Variable("U", "Other", "text"))
    frame = pd.DataFrame({"T": ["a", ""], "U": ["", ""]})
    dataset = volumes(frame=frame, variables=variables, keys=("T",), value_level=())
    for rows in (frame, frame.iloc[1:]):
        with pytest.raises(DatasetError, match="the last row has no value"):
            xpt_bytes(replace(dataset, frame=rows), created=WHEN)
    turned = replace(dataset, frame=frame.iloc[::-1])
    found, _ = read_with_readstat(xpt_bytes(turned, created=WHEN), tmp_path / "turned.xpt")
    assert found["T"].tolist() == ["", "a"]
    assert xpt_bytes(replace(dataset, frame=frame.iloc[:0]), created=WHEN)


def test_a_refused_dataset_writes_nothing(tmp_path):
    for write in (
        lambda: write_xpt(volumes(name="x"), tmp_path / "a", created=WHEN),
        lambda: write_dataset_json(
            volumes(name="x"), tmp_path / "a", study=STUDY, system=SYSTEM, created=WHEN
        ),
    ):
        with pytest.raises(DatasetError, match="is no dataset name"):
            write()
    assert not list(tmp_path.iterdir())


def test_a_failure_midway_leaves_the_earlier_file(monkeypatch, tmp_path):
    path = tmp_path / "advol.xpt"
    write_xpt(volumes(), path, created=WHEN)
    earlier = path.read_bytes()

    def broken(*_: object) -> bytes:
        msg = "no more"
        raise RuntimeError(msg)

    monkeypatch.setattr("infarct_vol.cdisc.xpt._rows", broken)
    with pytest.raises(RuntimeError, match="no more"):
        write_xpt(volumes(), path, created=WHEN)
    assert path.read_bytes() == earlier
    assert [each.name for each in tmp_path.iterdir()] == ["advol.xpt"]


# --- Dataset-JSON


def as_json(dataset: Dataset, **rest: object) -> dict[str, object]:
    return json.loads(dataset_json_bytes(dataset, study=STUDY, system=SYSTEM, created=WHEN, **rest))


def test_attributes_stand_in_the_order_of_the_specification():
    found = as_json(volumes(), modified=dt.datetime(2024, 3, 1, 12, 0))
    assert list(found) == [
        "datasetJSONCreationDateTime",
        "datasetJSONVersion",
        "fileOID",
        "dbLastModifiedDateTime",
        "originator",
        "sourceSystem",
        "studyOID",
        "metaDataVersionOID",
        "metaDataRef",
        "itemGroupOID",
        "records",
        "name",
        "label",
        "columns",
        "rows",
    ]
    assert found["datasetJSONCreationDateTime"] == "2024-03-05T01:02:03"
    assert found["dbLastModifiedDateTime"] == "2024-03-01T12:00:00"
    assert found["datasetJSONVersion"] == "1.1.0"
    assert found["sourceSystem"] == {"name": "some-program", "version": "1.2.3"}
    assert (found["records"], found["name"], found["label"]) == (3, "ADVOL", "Volumes")
    assert found["metaDataRef"] == "define.xml"


def test_columns_say_type_length_format_and_key():
    columns = as_json(volumes())["columns"]
    assert columns[0] == {
        "itemOID": "IT.ADVOL.USUBJID",
        "name": "USUBJID",
        "label": "Unique Subject Identifier",
        "dataType": "string",
        "length": 3,
        "keySequence": 1,
    }
    assert columns[3] == {
        "itemOID": "IT.ADVOL.AVAL",
        "name": "AVAL",
        "label": "Analysis Value",
        "dataType": "float",
        "displayFormat": "8.3",
    }
    assert columns[4] == {
        "itemOID": "IT.ADVOL.ADT",
        "name": "ADT",
        "label": "Analysis Date",
        "dataType": "date",
        "targetDataType": "integer",
        "displayFormat": "DATE9.",
    }
    assert columns[5]["dataType"] == "integer"


def test_rows_hold_iso_dates_and_null_where_missing():
    assert as_json(volumes())["rows"] == [
        ["001", "Charité", "VOL", 1 / 3, "2024-02-29", 1],
        ["001", "Charité", "N", 12.0, "1959-12-31", 2],
        ["002", None, "VOL", None, None, 1],
    ]


def test_integers_have_no_point_and_zero_no_sign():
    content = dataset_json_bytes(
        one([-0.0, 2.0**53], number("integer")), study=STUDY, system=SYSTEM, created=WHEN
    )
    assert b"[0,0],\n[1,9007199254740992]\n" in content
    content = dataset_json_bytes(one([-0.0], number()), study=STUDY, system=SYSTEM, created=WHEN)
    assert b"[0,0.0]\n" in content


@given(st.lists(st.floats(min_value=-1e70, max_value=1e70).filter(lambda x: x == 0 or abs(x) > 1e-70)))
def test_numbers_in_json_are_exact(values):
    rows = as_json(one(values, number()))["rows"]
    assert [row[1] for row in rows] == values


def test_hostile_text_is_escaped():
    value = '"],[null]} \\ </script> \u2028 漢😀'
    assert as_json(one([value], text()))["rows"] == [[0, value]]


def test_no_rows_are_an_empty_list():
    found = as_json(volumes(frame=volumes().frame.iloc[:0]))
    assert (found["records"], found["rows"]) == (0, [])


def test_json_written_in_pieces_is_the_same(monkeypatch, tmp_path):
    whole = dataset_json_bytes(volumes(), study=STUDY, system=SYSTEM, created=WHEN)
    monkeypatch.setattr("infarct_vol.cdisc.dataset_json._ROWS_AT_ONCE", 2)
    assert dataset_json_bytes(volumes(), study=STUDY, system=SYSTEM, created=WHEN) == whole
    write_dataset_json(volumes(), tmp_path / "a.json", study=STUDY, system=SYSTEM, created=WHEN)
    assert (tmp_path / "a.json").read_bytes() == whole


def test_optional_attributes_may_be_absent():
    found = json.loads(
        dataset_json_bytes(
            volumes(),
            study=STUDY,
            system=replace(SYSTEM, originator=""),
            created=WHEN.replace(tzinfo=dt.UTC),
        )
    )
    assert "originator" not in found
    assert "dbLastModifiedDateTime" not in found
    assert found["datasetJSONCreationDateTime"] == "2024-03-05T01:02:03+00:00"


def test_data_do_not_change_after_the_file():
    for modified in (WHEN + dt.timedelta(seconds=1), WHEN.replace(tzinfo=dt.UTC)):
        with pytest.raises(DatasetError, match="expected the change first"):
            as_json(volumes(), modified=modified)
    assert as_json(volumes(), modified=WHEN)["dbLastModifiedDateTime"] == "2024-03-05T01:02:03"


def test_a_study_states_what_is_required():
    for field in ("study_oid", "name", "description", "protocol_name"):
        with pytest.raises(DatasetError, match=f"{field} is ' '; expected plain text"):
            define([volumes()], study=replace(STUDY, **{field: " "}))
    with pytest.raises(DatasetError, match="program version is ''"):
        define([volumes()], system=replace(SYSTEM, version=""))
    with pytest.raises(DatasetError, match="originator is"):
        define([volumes()], system=replace(SYSTEM, originator="a\nb"))


# --- define.xml


def listing(values: list[str] | None = None) -> Dataset:
    times = ["2024-01-01", "2024-01-02"] if values is None else values
    frame = pd.DataFrame({"USUBJID": [f"00{i}" for i in range(len(times))], "XMDTC": times}, dtype="str")
    return Dataset(
        name="XM",
        label="Masks",
        frame=frame,
        variables=(
            Variable("USUBJID", "Unique Subject Identifier", "text", origin="Assigned"),
            Variable("XMDTC", "Date/Time of Scan", "text", origin="Collected", source="Investigator"),
        ),
        keys=("USUBJID",),
        structure="one record per scan",
        purpose="Tabulation",
        class_name="FINDINGS",
    )


def define(datasets: list[Dataset], **rest: object) -> ET.Element:
    return ET.fromstring(defined(datasets, **rest))


def defined(datasets: list[Dataset], **rest: object) -> bytes:
    return define_xml(datasets, **{"study": STUDY, "system": SYSTEM, "created": WHEN} | rest)


def version(root: ET.Element) -> ET.Element:
    return root.find(f"{ODM}Study/{ODM}MetaDataVersion")


def item(root: ET.Element, oid: str) -> ET.Element:
    return next(each for each in root.iter(f"{ODM}ItemDef") if each.get("OID") == oid)


def words(element: ET.Element) -> str:
    return element.findtext(f"{ODM}Description/{ODM}TranslatedText")


def test_the_root_says_what_and_when():
    root = define([volumes()])
    assert {key: root.get(key) for key in ("ODMVersion", "FileType", "CreationDateTime", "SourceSystem")} == {
        "ODMVersion": "1.3.2",
        "FileType": "Snapshot",
        "CreationDateTime": "2024-03-05T01:02:03",
        "SourceSystem": "some-program",
    }
    assert (root.get("SourceSystemVersion"), root.get("Originator")) == ("1.2.3", "A sponsor")
    assert root.get(f"{DEF}Context") == "Submission"
    assert define([volumes()], system=replace(SYSTEM, originator="")).get("Originator") is None
    assert define([volumes()], context="Other").get(f"{DEF}Context") == "Other"
    assert root.findtext(f".//{ODM}StudyDescription") == "A trial of <early> & late infarcts"
    assert version(root).get(f"{DEF}DefineVersion") == "2.1.0"


def test_elements_stand_in_the_order_of_the_schema():
    root = define([volumes(), listing()], documents=(Document("PLAN", "plan.pdf", "Analysis plan"),))
    found = list(dict.fromkeys(each.tag for each in version(root)))
    assert found == [
        f"{DEF}Standards",
        f"{DEF}SupplementalDoc",
        f"{DEF}ValueListDef",
        f"{DEF}WhereClauseDef",
        f"{ODM}ItemGroupDef",
        f"{ODM}ItemDef",
        f"{ODM}CodeList",
        f"{ODM}MethodDef",
        f"{DEF}CommentDef",
        f"{DEF}leaf",
    ]
    group = root.find(f".//{ODM}ItemGroupDef")
    assert list(dict.fromkeys(each.tag for each in group)) == [
        f"{ODM}Description",
        f"{ODM}ItemRef",
        f"{DEF}Class",
        f"{DEF}leaf",
    ]
    assert [each.tag for each in item(root, "IT.ADVOL.PARAMCD")] == [
        f"{ODM}Description",
        f"{ODM}CodeListRef",
        f"{DEF}Origin",
    ]
    assert [each.tag for each in item(root, "IT.ADVOL.AVAL")] == [
        f"{ODM}Description",
        f"{DEF}Origin",
        f"{DEF}ValueListRef",
    ]


def test_every_reference_is_defined_and_every_definition_used():
    root = define([volumes(), listing([])], documents=(Document("PLAN", "plan.pdf", "Analysis plan"),))
    kinds = {f"{name}OID" for name in ("Item", "Standard", "Method", "CodeList", "ValueList", "WhereClause")}
    kinds |= {"CommentOID", "ArchiveLocationID", "leafID"}
    references = {
        (name.removeprefix(DEF), value)
        for each in root.iter()
        for name, value in each.attrib.items()
        if name.removeprefix(DEF) in kinds
    }
    assert {kind for kind, _ in references} == kinds
    definitions = [
        value
        for each in version(root).iter()
        for name, value in each.attrib.items()
        if name in ("OID", "ID") and each.tag not in (f"{ODM}MetaDataVersion", f"{ODM}ItemGroupDef")
    ]
    assert len(definitions) == len(set(definitions))
    assert {value for _, value in references} == set(definitions)


def test_datasets_say_structure_class_and_file():
    root = define([volumes(), listing()])
    first, second = root.iter(f"{ODM}ItemGroupDef")
    assert (first.get("OID"), first.get("Purpose"), first.get("Domain")) == ("IG.ADVOL", "Analysis", None)
    assert (second.get("Domain"), second.get("Repeating")) == ("XM", "Yes")
    assert first.get(f"{DEF}Structure") == "one record per subject per parameter"
    assert words(first) == "Volumes"
    assert first.find(f"{DEF}Class").get("Name") == "BASIC DATA STRUCTURE"
    leaf = first.find(f"{DEF}leaf")
    assert leaf.get("{http://www.w3.org/1999/xlink}href") == "advol.xpt"
    assert leaf.get("ID") == first.get(f"{DEF}ArchiveLocationID")
    subject = define([volumes(class_name="SUBJECT LEVEL ANALYSIS DATASET")])
    assert subject.find(f".//{ODM}ItemGroupDef").get("Repeating") == "No"


def test_only_standards_that_are_followed_are_named():
    def found(root: ET.Element) -> list[tuple[str | None, str | None]]:
        return [(each.get("Name"), each.get("Version")) for each in root.iter(f"{DEF}Standard")]

    assert found(define([volumes()])) == [("ADaMIG", "1.3")]
    assert found(define([volumes(), listing()])) == [("ADaMIG", "1.3"), ("SDTMIG", "3.4")]
    root = define([volumes(), listing()], non_standard={"XM"})
    assert found(root) == [("ADaMIG", "1.3")]
    groups = list(root.iter(f"{ODM}ItemGroupDef"))
    assert [each.get(f"{DEF}IsNonStandard") for each in groups] == [None, "Yes"]
    assert found(define([listing()], non_standard={"XM"})) == []
    other = define([volumes()], standards={"Analysis": Standard("ADaMIG", "1.2")})
    assert found(other) == [("ADaMIG", "1.2")]


def test_references_say_order_key_and_method():
    group = define([with_variable("ADT", mandatory=False)]).find(f".//{ODM}ItemGroupDef")
    found = [
        tuple(each.get(name) for name in ("ItemOID", "OrderNumber", "KeySequence", "Mandatory", "MethodOID"))
        for each in group.iter(f"{ODM}ItemRef")
    ]
    assert found[0] == ("IT.ADVOL.USUBJID", "1", "1", "Yes", None)
    assert found[2] == ("IT.ADVOL.PARAMCD", "3", "2", "No", None)
    assert found[4] == ("IT.ADVOL.ADT", "5", None, "No", "MT.ADVOL.ADT")


def test_types_lengths_and_labels_agree_in_all_three_files(tmp_path):
    dataset = volumes()
    root = define([dataset])
    _, meta = read_with_readstat(xpt_bytes(dataset, created=WHEN), tmp_path / "advol.xpt")
    for column in as_json(dataset)["columns"]:
        element, name = item(root, column["itemOID"]), column["name"]
        assert words(element) == column["label"] == meta.column_names_to_labels[name]
        assert element.get(f"{DEF}DisplayFormat") == column.get("displayFormat")
        if column["dataType"] == "string":
            assert int(element.get("Length")) == column["length"] == meta.variable_storage_width[name]


def test_numbers_say_their_digits():
    root = define([volumes()])

    def size(oid: str) -> tuple[str | None, ...]:
        element = item(root, oid)
        return tuple(element.get(name) for name in ("DataType", "Length", "SignificantDigits"))

    assert size("IT.ADVOL.AVAL") == ("float", "8", "3")
    assert size("IT.ADVOL.AVAL.PARAMCD.VOL") == ("float", "9", "2")
    assert size("IT.ADVOL.AVAL.PARAMCD.N") == ("integer", "2", None)  # the count is 12
    assert size("IT.ADVOL.ADT") == ("integer", "5", None)  # 23435 days
    assert size("IT.ADVOL.ASEQ") == ("integer", "1", None)


def test_a_float_without_a_format_has_the_digits_of_a_double():
    element = item(define([one([123.25, -7.0], number())]), "IT.ADVOL.X")
    # three digits before the point leave 14 of the 17 that tell doubles apart
    assert (element.get("Length"), element.get("SignificantDigits")) == ("17", "14")
    empty = item(define([one([NAN], number())]), "IT.ADVOL.X")
    assert (empty.get("Length"), empty.get("SignificantDigits")) == ("17", "16")
    huge = item(define([one([1e20], number())]), "IT.ADVOL.X")
    assert (huge.get("Length"), huge.get("SignificantDigits")) == ("21", "0")


def test_value_levels_state_their_rows():
    stated = ValueLevel("AVAL", "ASEQ", "2", "Second", "float", length=6, significant_digits=1)
    word = ValueLevel("SITE", "PARAMCD", "VOL", "Site of Volume", "text", comment="Where it was.")
    root = define([volumes(value_level=(*volumes().value_level, stated, word))])
    clauses = {
        each.get("OID"): (
            each.find(f"{ODM}RangeCheck").get(f"{DEF}ItemOID"),
            each.find(f"{ODM}RangeCheck").get("Comparator"),
            each.findtext(f"{ODM}RangeCheck/{ODM}CheckValue"),
        )
        for each in root.iter(f"{DEF}WhereClauseDef")
    }
    assert clauses == {
        "WC.ADVOL.PARAMCD.VOL": ("IT.ADVOL.PARAMCD", "EQ", "VOL"),
        "WC.ADVOL.PARAMCD.N": ("IT.ADVOL.PARAMCD", "EQ", "N"),
        "WC.ADVOL.ASEQ.2": ("IT.ADVOL.ASEQ", "EQ", "2"),
    }
    element = item(root, "IT.ADVOL.AVAL.ASEQ.2")
    assert (element.get("Length"), element.get("SignificantDigits")) == ("6", "1")
    assert item(root, "IT.ADVOL.SITE.PARAMCD.VOL").get("Length") == "8"
    orders = [each.get("OrderNumber") for found in root.iter(f"{DEF}ValueListDef") for each in found]
    assert orders == ["1", "1", "2", "3"]
    nowhere = define(
        [volumes(value_level=(replace(word, where_value="OTHER"), replace(stated, length=None)))]
    )
    assert item(nowhere, "IT.ADVOL.SITE.PARAMCD.OTHER").get("Length") == "1"
    assert item(nowhere, "IT.ADVOL.AVAL.ASEQ.2").get("Length") == "3"  # 12 and one digit
    assert [each.get("OID") for each in root.iter(f"{DEF}ValueListDef")] == ["VL.ADVOL.SITE", "VL.ADVOL.AVAL"]


def test_origins_are_stated():
    root = define([volumes()])

    def origin(name: str) -> ET.Element:
        return item(root, f"IT.ADVOL.{name}").find(f"{DEF}Origin")

    assert (origin("USUBJID").get("Type"), origin("USUBJID").get("Source")) == ("Collected", "Sponsor")
    assert (origin("SITE").get("Type"), origin("SITE").get("Source")) == ("Predecessor", None)
    assert words(origin("SITE")) == "ADSL.SITE"
    assert (origin("ASEQ").get("Type"), origin("ASEQ").get("Source")) == ("Assigned", None)
    with pytest.raises(DatasetError, match=r"IT\.ADVOL\.SITE: origin is Predecessor: expected the name"):
        define([with_variable("SITE", predecessor="")])


def test_codelists_decode_or_enumerate():
    root = define([volumes()])
    element = root.find(f".//{ODM}CodeList")
    assert (element.get("DataType"), element.get(f"{DEF}IsNonStandard")) == ("text", "Yes")
    assert [
        (each.get("OrderNumber"), each.get("CodedValue"), each.findtext(f"{ODM}Decode/{ODM}TranslatedText"))
        for each in element
    ] == [("1", "VOL", "Volume (mL)"), ("2", "N", "Number")]
    plain = Codelist("YN", "text", (("Y", ""), ("N", "N")))
    root = define([one(["Y"], text(codelist=plain))])
    assert [each.get("CodedValue") for each in root.iter(f"{ODM}EnumeratedItem")] == ["Y", "N"]


def test_a_codelist_is_shared_but_has_one_meaning():
    twin = volumes(name="ADTWO")
    assert len(list(define([volumes(), twin]).iter(f"{ODM}CodeList"))) == 1
    other = Codelist("PARAMCD", "text", (("VOL", "Other"), ("N", "Number")))
    changed = tuple(replace(v, codelist=other) if v.codelist else v for v in twin.variables)
    with pytest.raises(DatasetError, match="codelist PARAMCD has two meanings"):
        define([volumes(), replace(twin, variables=changed)])


def test_methods_and_comments_are_written_out():
    root = define([volumes()])
    methods = {each.get("OID"): words(each) for each in root.iter(f"{ODM}MethodDef")}
    assert methods == {
        "MT.ADVOL.ADT": "The day of the scan.",
        "MT.ADVOL.AVAL.PARAMCD.VOL": "Sum.",
        "MT.ADVOL.AVAL.PARAMCD.N": "Count.",
    }
    assert {each.get("OID"): words(each) for each in root.iter(f"{DEF}CommentDef")} == {
        "COM.ADVOL.AVAL": "Not rounded."
    }


def test_a_dataset_without_rows_says_so():
    group = define([volumes(frame=volumes().frame.iloc[:0])]).find(f".//{ODM}ItemGroupDef")
    assert group.get(f"{DEF}HasNoData") == "Yes"
    assert group.get(f"{DEF}CommentOID") == "COM.ADVOL"
    assert define([volumes()]).find(f".//{ODM}ItemGroupDef").get(f"{DEF}HasNoData") is None


@pytest.mark.parametrize(
    ("values", "in_define", "in_json"),
    [
        (["2024-01-01", ""], "date", "date"),
        (["2024-01-01T10:00", "2024-01-01T10:00:00Z"], "datetime", "datetime"),
        (["2024-01-01T10:00", "2024-01-01"], "partialDatetime", "string"),
        (["2024-01"], "partialDatetime", "string"),
    ],
)
def test_iso_text_of_listings_has_its_type(values, in_define, in_json):
    element = item(define([listing(values)]), "IT.XM.XMDTC")
    assert (element.get("DataType"), element.get("Length")) == (in_define, None)
    column = as_json(listing(values))["columns"][1]
    assert (column["dataType"], column.get("targetDataType")) == (in_json, None)
    assert as_json(listing(values))["rows"][0][1] == values[0]


def test_names_occur_once_and_text_can_stand_in_xml():
    with pytest.raises(DatasetError, match="dataset ADVOL is given twice"):
        define([volumes(), volumes()])
    plan = Document("PLAN", "plan.pdf", "Plan")
    with pytest.raises(DatasetError, match="document PLAN is given twice"):
        define([volumes()], documents=(plan, plan))
    with pytest.raises(DatasetError, match="characters that cannot stand in XML"):
        define([with_variable("ADT", method="a\x0bb")])
    with pytest.raises(DatasetError, match="characters that cannot stand in XML"):
        define([volumes(structure="one\nrecord")])
    assert words(item(define([with_variable("ADT", label='<b> & "é"')]), "IT.ADVOL.ADT")) == '<b> & "é"'


def test_define_xml_is_the_same_on_every_run():
    assert defined([volumes(), listing()]) == defined([volumes(), listing()])
    assert defined([volumes()]).startswith(b'<?xml version="1.0" encoding="UTF-8"?>\n<ODM ')


def test_the_published_schema_takes_it(tmp_path):
    manager = pytest.importorskip("odmlib.schema_manager")
    schema = pytest.importorskip("xmlschema").XMLSchema(manager.get_schema_path("define", "2.1"))
    documents = (Document("PLAN", "plan.pdf", "Analysis plan"),)
    for datasets in ([volumes()], [volumes(), listing()], [listing(["2024-01"])], [listing([])]):
        path = tmp_path / "define.xml"
        path.write_bytes(defined(datasets, documents=documents, non_standard={"XM"}))
        assert [error.reason for error in schema.iter_errors(str(path))] == []
    path.write_bytes(path.read_bytes().replace(b'Repeating="Yes"', b'Repeating="Perhaps"'))
    assert list(schema.iter_errors(str(path)))  # the check can fail

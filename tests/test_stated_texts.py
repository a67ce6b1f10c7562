"""A text that one format cannot hold is named before the work, and costs that format alone."""

from __future__ import annotations

import csv
import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pandas as pd
import pyreadstat
import pytest
from strategies import participant, volume_row

from infarct_vol.checking import check_study
from infarct_vol.protocol import Protocol
from infarct_vol.records import ParticipantRecord
from infarct_vol.study import Participant, Study
from infarct_vol.tables import read_outcomes, write_tables
from infarct_vol.tables.stated_texts import age_years, text_remarks
from infarct_vol.tables.write import TablePaths

LONG = "\u75c5\u9662" * 40
"""A site of 80 characters and 240 bytes."""


def record(name: str = "sub-001", **changes: object) -> ParticipantRecord:
    return participant(name, rows=[volume_row()], first_dose_time="2024-03-01T12:00:00", **changes)


def written(tmp_path: Path, *records: ParticipantRecord) -> TablePaths:
    return write_tables(records, tmp_path, protocol=Protocol())


def adsl(paths: TablePaths) -> list[dict[str, str]]:
    with (paths.folder / "adam" / "adsl.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(
    ("text", "years"),
    [
        *(("79", 79.0), ("79.5", 79.5), ("79,5", 79.5), ("79 years", 79.0), ("79Y", 79.0), ("079Y", 79.0)),
        *(("79 y", 79.0), ("79 yrs.", 79.0), ("79 years old", 79.0), (" 79 ", 79.0), ("0", 0.0)),
        *(("89+", None), (">89", None), ("6 months", None), ("006M", None), ("70-79", None), ("-999", None)),
        *(("1945", None), ("999", None), ("\u00b2", None), ("\u0667\u0669", None), ("1e2", None), ("", None)),
    ],
)
def test_an_age_is_a_number_of_years_or_none(text: str, years: float | None) -> None:
    assert age_years(text) == years


def test_an_age_that_is_no_number_is_kept_beside_age(tmp_path: Path) -> None:
    paths = written(tmp_path, record(age="89+"), record("sub-002", age="79 years"), record("sub-003"))
    found = [(row["AGE"], row["AGEU"], row["AGETXT"]) for row in adsl(paths)]
    assert found == [("", "", "89+"), ("79.0", "YEARS", ""), ("", "", "")]
    frame, meta = pyreadstat.read_xport(paths.folder / "adam" / "adsl.xpt")
    assert list(frame["AGETXT"]) == ["89+", "", ""]
    assert meta.column_names_to_labels["AGETXT"] == "Age, as Stated"
    assert b"IT.ADSL.AGETXT" in (paths.folder / "adam" / "define.xml").read_bytes()


def test_ages_that_are_numbers_need_no_variable_of_their_own(tmp_path: Path) -> None:
    (row,) = adsl(written(tmp_path, record(age="79")))
    assert row["AGE"] == "79.0"
    assert "AGETXT" not in row


def test_a_site_over_200_bytes_costs_the_transport_files_alone(tmp_path: Path) -> None:
    paths = written(tmp_path, record(site=LONG))
    assert [told.split(":")[0] for told in paths.left_out] == [
        "adsl.xpt is not written",
        "adinfvol.xpt is not written",
    ]
    assert "ADSL.SITEID: row STUDYID = , USUBJID = 001: expected at most 200 bytes" in paths.left_out[0]
    names = {path.name for path in (paths.folder / "adam").iterdir()}
    assert {"adsl.csv", "adsl.json", "adinfvol.csv", "adinfvol.json", "define.xml"} <= names
    assert not {"adsl.xpt", "adinfvol.xpt"} & names
    assert paths.volumes.is_file()
    assert (paths.folder / "sdtm" / "nv.xpt").is_file()
    assert adsl(paths)[0]["SITEID"] == LONG
    document = json.loads((paths.folder / "adam" / "adsl.json").read_text(encoding="utf-8"))
    assert LONG in document["rows"][0]
    leaves = ET.parse(paths.folder / "adam" / "define.xml").iter("{http://www.cdisc.org/ns/def/v2.1}leaf")
    assert {leaf.get("{http://www.w3.org/1999/xlink}href") for leaf in leaves} == {
        "adsl.json",
        "adinfvol.json",
    }


def test_an_arm_and_a_unit_over_200_bytes_cost_no_other_table(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text(
        f"participant_id,acq_time,parameter,value,unit\nsub-001,2024-02-28,vegf,1e80,{'u' * 250}\n"
    )
    outcomes = read_outcomes(path, first_doses={"sub-001": "2024-03-01"}, protocol=Protocol())
    arms = {"sub-001": "A" * 300}
    paths = write_tables([record()], tmp_path, protocol=Protocol(), outcomes=outcomes, arms=arms)
    named = {told.split(" ")[0] for told in paths.left_out}
    assert named == {"xm.xpt", "adsl.xpt", "adinfvol.xpt", "adoutc.xpt"}
    assert adsl(paths)[0]["TRT01P"] == "A" * 300
    assert max(map(len, paths.left_out)) < 400


def test_a_site_that_was_shortened_has_its_transport_files_again_and_no_stale_one_stays(
    tmp_path: Path,
) -> None:
    written(tmp_path, record(site="north"))
    assert not (written(tmp_path, record(site=LONG)).folder / "adam" / "adsl.xpt").exists()
    paths = written(tmp_path, record(site=LONG[:60]))
    assert paths.left_out == ()
    frame = pd.read_sas(paths.folder / "adam" / "adsl.xpt", encoding="utf-8")
    assert list(frame["SITEID"]) == [LONG[:60]]


@pytest.mark.parametrize("character", ["\x07", "\x0b", "\x1b", "\x85", "\ufffe", "\uffff", "\u2028"])
def test_characters_that_no_format_holds_cost_nothing(tmp_path: Path, character: str) -> None:
    paths = written(tmp_path, record(site=f"no{character}rth", sex=f"F{character}", age=f"{character}89+"))
    assert paths.left_out == ()
    shown = adsl(paths)[0]["SITEID"]
    assert character not in shown
    ET.parse(paths.folder / "adam" / "define.xml")
    frame, _ = pyreadstat.read_xport(paths.folder / "adam" / "adsl.xpt")
    assert list(frame["SITEID"]) == [shown]


def test_what_a_format_cannot_hold_is_named_with_participant_field_and_remedy() -> None:
    people = [
        Participant("sub-001", site=LONG, age="79", sex="F"),
        Participant("sub-002", site="no\x07rth", age="89+"),
        Participant("sub-003", site="H\u00f4pital", age="79 years"),
    ]
    told = [remark.sentence for remark in text_remarks(people)]
    assert told == [
        "sub-001 site: 240 bytes of UTF-8, a SAS transport file (XPT) holds 200 in a text; shorten it, or "
        "the XPT files that hold it are left out; CSV and JSON hold it whole",
        "sub-002 age: '89+' is no number of years, so it has no AGE; it stands in AGETXT of ADSL as it is",
        "sub-002 site: it holds U+0007, shown as an escape or a blank in the tables; remove it",
    ]


def test_the_study_identifier_is_part_of_every_identifier() -> None:
    (told,) = text_remarks([Participant("sub-001"), Participant("sub-002")], study_id="x" * 200)
    assert (told.participant_id, told.field) == ("sub-001", "study_id of the protocol with participant_id")


def test_the_checks_say_it_too(tmp_path: Path) -> None:
    study = Study(tmp_path, (Participant("sub-001", age="89+"),))
    told = [row for row in check_study(study, protocol=Protocol()) if row.check == "text"]
    assert [(row.participant_id, row.verdict, row.found) for row in told] == [
        ("sub-001", "WARN", "age: '89+' is no number of years, so it has no AGE")
    ]

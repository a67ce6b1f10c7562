"""Text files of a study, from the command line to the tables."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from infarct_vol_cli.main import app

HEAD = "participant_id\tfirst_dose_time\tage\tsex\tsite"
LONG = "\u75c5\u9662" * 40
"""A site of 80 characters and 240 bytes."""


def infarct_vol(*arguments: object) -> Result:
    result = CliRunner().invoke(app, [str(a) for a in arguments], env={"COLUMNS": "200", "TERM": "dumb"})
    assert "Traceback" not in result.output
    return result


def study(root: Path, *lines: str, end: str = "\n") -> Path:
    """A study whose participants are listed and have no images."""
    root.mkdir()
    (root / "participants.tsv").write_bytes((end.join((HEAD, *lines)) + end).encode())
    return root


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def run_out(tmp_path: Path) -> Path:
    lines = [f"sub-00{n}\t2024-09-10\t79\tM\tnorth" for n in (1, 2, 3)]
    infarct_vol("run", study(tmp_path / "study", *lines), tmp_path / "out")
    return tmp_path / "out"


def measures(tmp_path: Path, *lines: str, head: str = "participant_id,acq_time,parameter,value,unit") -> Path:
    path = tmp_path / "measures.csv"
    path.write_text("\n".join((head, *lines)) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize("command", ["check", "run"])
def test_an_open_quote_in_the_participants_refuses_the_study_before_anything_is_written(
    tmp_path: Path, command: str
) -> None:
    lines = ['sub-001\t2024-09-10\t79\tM\t"north', "sub-002\t2024-09-22\t70\tF\teast"]
    root = study(tmp_path / "study", *lines)
    result = infarct_vol(command, root, *([tmp_path / "out"] if command == "run" else []))
    assert result.exit_code == 2
    assert "participants.tsv line 2: a quote opens in the field 'site'" in " ".join(result.output.split())
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("end", ["\r", "\r\n", "\n"])
def test_every_line_end_gives_every_participant(tmp_path: Path, end: str) -> None:
    root = study(tmp_path / "study", *(f"sub-00{n}\t2024-09-10\t79\tM\tn" for n in (1, 2, 3)), end=end)
    found = json.loads(infarct_vol("check", root, "--json").stdout)
    assert {row["participant_id"] for row in found} == {"sub-001", "sub-002", "sub-003"}
    assert not [row for row in found if not row["found"].startswith("no session for")]


def test_a_text_no_transport_file_holds_is_told_before_the_work_and_costs_nothing_else(
    tmp_path: Path,
) -> None:
    root = study(tmp_path / "study", f"sub-001\t2024-09-10\t89+\tM\t{LONG}")
    result = infarct_vol("run", root, tmp_path / "out")
    text = " ".join(result.output.split())
    assert result.exit_code == 1
    told, worked, left_out = (
        text.index(part) for part in ("sub-001 site: 240 bytes", "[1/1]", "adsl.xpt is not written")
    )
    assert told < worked < left_out
    assert "sub-001 age: '89+' is no number of years" in text[:worked]
    assert "2 texts of participants are not in every table as stated" in text[worked:]
    tables = tmp_path / "out" / "tables"
    assert (tables / "volumes.csv").is_file()
    assert (tmp_path / "out" / "report" / "index.html").is_file()
    (row,) = rows(tables / "adam" / "adsl.csv")
    assert (row["SITEID"], row["AGE"], row["AGETXT"]) == (LONG, "", "89+")
    again = infarct_vol("tables", tmp_path / "out")
    assert again.exit_code == 1
    assert "adsl.xpt is not written" in again.output


def test_an_open_quote_in_the_measures_is_refused_with_its_line(tmp_path: Path, run_out: Path) -> None:
    lines = [
        'sub-001,2024-09-09,nihss,11,,"seen',
        "sub-002,2024-09-09,nihss,12,,",
        "sub-003,2024-09-09,nihss,13,,",
    ]
    path = measures(tmp_path, *lines, head="participant_id,acq_time,parameter,value,unit,comment")
    result = infarct_vol("tables", run_out, "--measures", path)
    assert result.exit_code == 2
    assert "measures.csv line 2: a quote opens in the field 'comment'" in " ".join(result.output.split())


def test_words_for_a_missing_value_are_missing(tmp_path: Path, run_out: Path) -> None:
    words = ("NA", "NaN", ".")
    path = measures(
        tmp_path, *(f"sub-00{n},2024-09-09,nihss,{w}," for n, w in enumerate(words, start=1)), ",,,,"
    )
    assert infarct_vol("tables", run_out, "--measures", path).exit_code == 0
    found = rows(run_out / "tables" / "outcomes.csv")
    assert [(row["status"], row["reason"], row["value"]) for row in found] == [
        ("missing", "no value stated", "")
    ] * 3


def test_dates_are_brought_to_one_form_in_the_tables(tmp_path: Path, run_out: Path) -> None:
    times = ("20240909", "2024-W37-1", " 2024-09-09 01:27 ")
    lines = [f"sub-00{n},{t},nihss,1{n}," for n, t in enumerate(times, start=1)]
    infarct_vol("tables", run_out, "--measures", measures(tmp_path, *lines))
    found = rows(run_out / "tables" / "outcomes.csv")
    assert [row["acq_time"] for row in found] == ["2024-09-09", "2024-09-09", "2024-09-09T01:27"]
    assert [row["XMDTC"] for row in rows(run_out / "tables" / "sdtm" / "xm.csv")] == [
        *("2024-09-09", "2024-09-09", "2024-09-09T01:27")
    ]
    assert {row["ABLFL"] for row in rows(run_out / "tables" / "adam" / "adoutc.csv")} == {"Y"}


def test_days_are_counted_on_the_calendar_of_the_first_dose_and_the_metadata_says_so(tmp_path: Path) -> None:
    root = study(tmp_path / "study", "sub-001\t2024-09-09T23:30:00Z\t79\tM\tnorth")
    infarct_vol("run", root, tmp_path / "out")
    adam = tmp_path / "out" / "tables" / "adam"
    assert "brought to the UTC offset" not in (adam / "define.xml").read_text(encoding="utf-8")
    path = measures(tmp_path, "sub-001,2024-09-10T08:00:00+09:00,nihss,12,")
    infarct_vol("tables", tmp_path / "out", "--measures", path)
    (row,) = rows(adam / "adoutc.csv")
    found = (row["ADT"], row["ADY"], row["TRTSDT"], row["AVISIT"], row["ABLFL"])
    assert found == ("2024-09-09", "1", "2024-09-09", "Baseline", "Y")
    (listed,) = rows(tmp_path / "out" / "tables" / "sdtm" / "xm.csv")
    assert (listed["XMDTC"], listed["XMDY"]) == ("2024-09-10T08:00:00+09:00", "1")
    assert "brought to the UTC offset" in (adam / "define.xml").read_text(encoding="utf-8")

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import absent_row, participant, scan_record, visit_record, volume_row

from infarct_vol.change import participant_changes
from infarct_vol.errors import MixedOutputError, StudyError, UsageError
from infarct_vol.protocol import ChangeSettings, Protocol
from infarct_vol.records import AtlasRecord, ComponentRecord, ParticipantRecord, VolumeRow
from infarct_vol.tables import (
    measured_against_truth,
    randomized_arms,
    read_tables,
    summary_rows,
    write_tables,
)
from infarct_vol.tables.csvtext import cell, neutralised, original
from infarct_vol.tables.summary import SummaryRow

VOLUME_COLUMNS = (
    "participant_id,session_id,visit,acq_time,study_day,parameter,modality,method,volume_ml,voxel_count,"
    "voxel_volume_mm3,lesion_count,volume_ml_low,volume_ml_high,status,reason,source,mask_path"
)
CHANGE_COLUMNS = (
    "participant_id,visit,parameter,baseline_modality,modality,baseline_volume_ml,volume_ml,change_ml,"
    "percent_change,like_for_like,exceeds_repeatability,status,reason"
)
STATISTICS = ("n", "mean", "sd", "median", "q1", "q3", "min", "max")


def month(number: int, volume_ml: float, **changes: object) -> VolumeRow:
    fields = {"visit": f"month{number}", "modality": "flair", "method": "followup 1", "volume_ml": volume_ml}
    return volume_row(**{**fields, **changes})


def trial() -> list[ParticipantRecord]:
    """Five participants: four values at month 1, one missing month 3, one failed, one vanished."""
    month_1_ml = {"sub-001": 8.0, "sub-002": 2.0, "sub-003": 0.0, "sub-004": 24.0}
    records = [
        participant(name, rows=[volume_row(volume_ml=baseline), month(1, month_1_ml[name])])
        for name, baseline in zip(month_1_ml, (10.0, 4.0, 0.0, 20.0), strict=True)
    ]
    rows = [
        volume_row(volume_ml=30.0),
        absent_row("failed", "gzip cut short", visit="month1", modality="flair"),
        absent_row("missing", "no session", visit="month3", modality=None, session_id=None),
    ]
    return [*records, participant("sub-005", rows=rows)]


def summary_of(records: list[ParticipantRecord], **kwargs: dict[str, str]) -> list[SummaryRow]:
    changes = [row for r in records for row in participant_changes(r, protocol=Protocol())]
    return summary_rows([row for r in records for row in r.rows], changes, **kwargs)


def find(rows: list[SummaryRow], visit: str, arm: str = "all", parameter: str = "infarct") -> SummaryRow:
    (row,) = [r for r in rows if (r.parameter, r.visit, r.arm) == (parameter, visit, arm)]
    return row


def written(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"), newline="")))


# ---------------------------------------------------------------- files


def test_contract_columns_come_first_in_their_order(tmp_path: Path) -> None:
    paths = write_tables(trial(), tmp_path, protocol=Protocol())
    heads = {
        path: path.read_text(encoding="utf-8").splitlines()[0]
        for path in vars(paths).values()
        if isinstance(path, Path)
    }
    assert heads[paths.volumes].startswith(VOLUME_COLUMNS + ",")
    assert heads[paths.change].startswith(CHANGE_COLUMNS + ",")
    statistics = [f"{what}_{name}" for what in ("volume", "change", "percent") for name in STATISTICS]
    assert heads[paths.summary].startswith(",".join(["parameter,visit,arm", *statistics]) + ",")
    assert paths.change == tmp_path / "tables" / "change_from_baseline.csv"


def test_absent_number_is_an_empty_field_and_zero_is_zero(tmp_path: Path) -> None:
    paths = write_tables(trial(), tmp_path, protocol=Protocol())
    volumes = {(r["participant_id"], r["visit"]): r for r in written(paths.volumes)}
    assert volumes["sub-003", "month1"]["volume_ml"] == "0"
    failed = volumes["sub-005", "month1"]
    assert (failed["volume_ml"], failed["voxel_count"], failed["status"]) == ("", "", "failed")
    change = {(r["participant_id"], r["visit"]): r for r in written(paths.change)}
    zero_baseline = change["sub-003", "month1"]
    assert (zero_baseline["change_ml"], zero_baseline["percent_change"]) == ("0", "")
    assert (change["sub-005", "month3"]["status"], change["sub-005", "month3"]["like_for_like"]) == (
        "missing",
        "",
    )
    assert change["sub-001", "month1"]["like_for_like"] == "false"


def test_lines_end_as_rfc_4180_says_and_there_is_no_byte_order_mark(tmp_path: Path) -> None:
    content = write_tables(trial(), tmp_path, protocol=Protocol()).volumes.read_bytes()
    assert content.startswith(b"participant_id")
    assert content.endswith(b"\r\n")
    assert content.count(b"\n") == content.count(b"\r\n") == 1 + 11


def test_rewriting_gives_the_same_bytes_in_any_order_of_records(tmp_path: Path) -> None:
    first = write_tables(trial(), tmp_path / "a", protocol=Protocol())
    second = write_tables(list(reversed(trial())), tmp_path / "b", protocol=Protocol())
    assert first.left_out == second.left_out == ()
    for one, two in zip(sorted(first.folder.glob("*.csv")), sorted(second.folder.glob("*.csv")), strict=True):
        assert one.read_bytes() == two.read_bytes()


def test_rows_are_ordered_by_participant_visit_and_parameter(tmp_path: Path) -> None:
    rows = [
        month(3, 1.0, parameter="cavity"),
        month(3, 3.0),
        volume_row(visit="early"),
        month(1, 2.0),
        volume_row(),
    ]
    paths = write_tables([participant("sub-010", rows=rows), *trial()[:1]], tmp_path, protocol=Protocol())
    keys = [(r["participant_id"], r["visit"], r["parameter"]) for r in written(paths.volumes)]
    assert keys == [
        ("sub-001", "baseline", "infarct"),
        ("sub-001", "month1", "infarct"),
        ("sub-010", "baseline", "infarct"),
        ("sub-010", "early", "infarct"),
        ("sub-010", "month1", "infarct"),
        ("sub-010", "month3", "infarct"),
        ("sub-010", "month3", "cavity"),
    ]


def test_no_participants_give_tables_with_headers_only(tmp_path: Path) -> None:
    write_tables([], tmp_path, protocol=Protocol())
    tables = read_tables(tmp_path)
    assert len(tables.volumes) == len(tables.change) == len(tables.summary) == 0


def test_every_column_is_in_the_data_dictionary(tmp_path: Path) -> None:
    paths = write_tables(trial(), tmp_path, protocol=Protocol())
    described = [(r["table"], r["column"]) for r in written(paths.dictionary)]
    tables = dict.fromkeys(table for table, _ in described)
    assert set(tables) == {path.stem for path in paths.folder.glob("*.csv")} - {"data_dictionary"}
    expected = [
        (table, column)
        for table in tables
        for column in (paths.folder / f"{table}.csv").read_text(encoding="utf-8").splitlines()[0].split(",")
    ]
    assert described == expected
    assert all(r["description"] for r in written(paths.dictionary))
    units = {r["column"]: r["unit"] for r in written(paths.dictionary)}
    assert (units["volume_mean"], units["percent_sd"], units["change_n"]) == ("mL", "%", "")


# ---------------------------------------------------------------- cells


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (0.0, "0"),
        (-0.0, "0"),
        (1.23456789, "1.23456789"),
        (4.999999999999999, "5"),
        (-4.5, "-4.5"),
        (250.123456, "250.123456"),
        (7, "7"),
        (True, "true"),
        (False, "false"),
        ("-4.5", "'-4.5"),
    ],
)
def test_cells(value: object, text: str) -> None:
    assert cell(value) == text


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_number_that_is_none_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="absent number is an empty field"):
        cell(value)


@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", " =1", "\uff1d1", "'=1", "''@"]
)
def test_formulas_are_neutralised(text: str) -> None:
    assert neutralised(text) == "'" + text
    assert original(neutralised(text)) == text


@pytest.mark.parametrize("text", ["", "'", "it's", "a=b", "sub-001", "'quoted'", "1e5", "\u00e9t\u00e9"])
def test_other_text_is_left_alone(text: str) -> None:
    assert neutralised(text) == text


@settings(max_examples=50)
@given(st.text(max_size=12))
def test_neutralising_can_be_undone_and_leaves_no_formula(text: str) -> None:
    safe = neutralised(text)
    assert original(safe) == text
    assert not safe.lstrip().startswith(("=", "+", "-", "@"))


HOSTILE = [
    "=cmd|' /C calc'!A0",
    'a "quoted", comma',
    "two\nlines",
    "<script>alert(1)</script>",
    "NA",
    "007",
    "1e5",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_survives_a_round_trip_and_runs_nowhere(tmp_path: Path, text: str) -> None:
    record = participant(text, rows=[volume_row(reason=text), month(1, 3.0)])
    paths = write_tables([record], tmp_path, protocol=Protocol())
    table = read_tables(tmp_path).volumes
    assert table["participant_id"].tolist() == [text, text]
    assert table["reason"].tolist() == [text, ""]
    assert not written(paths.volumes)[0]["participant_id"].startswith("=")


def test_control_characters_and_undecodable_bytes_become_visible(tmp_path: Path) -> None:
    record = participant(rows=[volume_row(reason="a\x00b", source="\udce9.nii.gz")])
    write_tables([record], tmp_path, protocol=Protocol())
    row = read_tables(tmp_path).volumes.iloc[0]
    assert (row["reason"], row["source"]) == (r"a\x00b", r"\xdce9.nii.gz")


# ---------------------------------------------------------------- mixed outputs


def test_other_protocol_is_refused(tmp_path: Path) -> None:
    strict = Protocol(change=ChangeSettings(repeatability_ml=5.0))
    with pytest.raises(MixedOutputError, match=r"different protocols .*the protocol given.*\(sub-001\)"):
        write_tables(trial(), tmp_path, protocol=strict)
    assert not (tmp_path / "tables").exists()


def test_two_versions_are_refused(tmp_path: Path) -> None:
    records = [*trial(), participant("sub-006", rows=[volume_row()], version="2")]
    with pytest.raises(
        MixedOutputError, match=r"different versions in one table: 1 \(sub-001\), 2 \(sub-006\)"
    ):
        write_tables(records, tmp_path, protocol=Protocol())


def test_row_of_another_version_than_its_record_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MixedOutputError, match="different versions"):
        write_tables([participant(rows=[volume_row(version="0")])], tmp_path, protocol=Protocol())


def test_one_participant_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="two records of sub-001"):
        write_tables([*trial(), trial()[0]], tmp_path, protocol=Protocol())


# ---------------------------------------------------------------- summary


def test_statistics_by_hand() -> None:
    # month 1: volumes 8, 2, 0, 24 mL; changes -2, -2, 0, +4 mL; percents -20, -50, none (baseline 0), +20
    row = find(summary_of(trial()), "month1")
    assert (row.volume_n, row.volume_mean, row.volume_min, row.volume_max) == (4, 8.5, 0.0, 24.0)
    assert (row.volume_q1, row.volume_median, row.volume_q3) == (1.0, 5.0, 16.0)
    assert row.volume_sd == pytest.approx(np.sqrt((0.5**2 + 6.5**2 + 8.5**2 + 15.5**2) / 3))
    assert (row.change_n, row.change_mean, row.change_median) == (4, 0.0, -1.0)
    assert (row.percent_n, row.percent_median, row.percent_q1, row.percent_q3) == (3, -20.0, -50.0, 20.0)
    assert row.percent_mean == pytest.approx(-50 / 3)


def test_failed_and_missing_are_counted_and_never_zero() -> None:
    rows = summary_of(trial())
    month1, month3 = find(rows, "month1"), find(rows, "month3")
    assert (month1.participants_n, month1.volume_n, month1.failed_n, month1.missing_n) == (5, 4, 1, 0)
    assert (month3.volume_n, month3.missing_n, month3.volume_mean, month3.change_min) == (0, 5, None, None)


def test_baseline_has_volumes_and_no_change() -> None:
    row = find(summary_of(trial()), "baseline")
    assert (row.volume_n, row.volume_mean, row.change_n, row.change_mean) == (5, 12.8, 0, None)


def test_one_value_has_no_standard_deviation() -> None:
    row = find(summary_of(trial()[:1]), "month1")
    assert (row.volume_n, row.volume_mean, row.volume_sd, row.volume_q1) == (1, 8.0, None, 8.0)


def test_without_a_list_there_are_pooled_rows_only_and_the_word_blinded() -> None:
    rows = summary_of(trial())
    assert {row.arm for row in rows} == {"all"}
    assert {row.blinding for row in rows} == {"BLINDED"}


def test_arms_are_summarised_apart_and_pooled() -> None:
    arms = {f"sub-00{n}": "iEPC" if n in (1, 4) else "placebo" for n in range(1, 6)}
    rows = summary_of(trial(), arms=arms)
    month1 = [row for row in rows if row.visit == "month1"]
    assert [(row.arm, row.volume_n, row.volume_mean) for row in month1] == [
        ("all", 4, 8.5),
        ("iEPC", 2, 16.0),
        ("placebo", 2, 1.0),
    ]
    assert find(rows, "month1", "placebo").failed_n == 1
    assert {row.blinding for row in rows} == {"UNBLINDED"}


def test_like_for_like_changes_are_counted() -> None:
    visits = [visit_record(v, scan_record("dwi"), scan_record()) for v in ("baseline", "month1")]
    rows = [
        volume_row(),
        month(1, 6.0),
        volume_row(parameter="infarct_flair", modality="flair", method="followup 1"),
        month(1, 6.0, parameter="infarct_flair"),
    ]
    found = summary_of([participant(rows=rows, visits=visits)])
    assert find(found, "month1").like_for_like_n == 0
    assert find(found, "month1", parameter="infarct_flair").like_for_like_n == 1


@given(st.lists(st.floats(0, 300, allow_nan=False), min_size=1, max_size=30))
def test_statistics_are_ordered_and_in_range(values: list[float]) -> None:
    records = [participant(f"sub-{n:03d}", rows=[volume_row(volume_ml=v)]) for n, v in enumerate(values)]
    row = find(summary_of(records), "baseline")
    order = [row.volume_min, row.volume_q1, row.volume_median, row.volume_q3, row.volume_max]
    assert order == sorted(order)
    assert row.volume_median == pytest.approx(float(np.median(values)))


# ---------------------------------------------------------------- randomisation list

NAMES = [f"sub-00{n}" for n in range(1, 6)]
LIST = "participant_id,arm\n001,A\nsub-002,B\nsub-003,A\nsub-004,B\nsub-005,A\n"


def save(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.write_bytes(text.encode(encoding))
    return path


def test_randomization_reaches_the_summary_and_no_other_table(tmp_path: Path) -> None:
    arms = save(tmp_path / "arms.csv", LIST.replace("A", "iEPC-17").replace("B", "saline-9"))
    listed = randomized_arms(arms, participants=NAMES)
    paths = write_tables(trial(), tmp_path / "out", protocol=Protocol(), arms=listed)
    assert {row["arm"] for row in written(paths.summary)} == {"all", "iEPC-17", "saline-9"}
    for path in (paths.volumes, paths.change):
        assert b"iEPC-17" not in path.read_bytes()


@pytest.mark.parametrize(
    "text",
    [LIST.replace(",", ";"), LIST.replace("\n", "\r\n"), LIST.replace(",", "\t"), "\ufeff" + LIST],
)
def test_usual_forms_of_the_list_are_read(tmp_path: Path, text: str) -> None:
    arms = randomized_arms(save(tmp_path / "arms.csv", text), participants=NAMES)
    assert arms == dict(zip(NAMES, "ABABA", strict=True))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (LIST + "sub-001,B\n", "line 7: 'sub-001' is on the list twice"),
        (LIST + "sub-001,A\n", "twice"),
        (LIST + "SUB-001,A\n", "'SUB-001' is on the list twice .also as '001'."),
        (LIST + "sub-\uff10\uff10\uff11,A\n", "twice"),
        (LIST + "sub-009,A\n", "no participant 009"),
        (LIST + "sub-1,A\n", "no participant 1; check the spelling and leading zeros"),
        (LIST.replace("sub-003,A\n", ""), "no arm for sub-003"),
        (LIST.replace("sub-003,A", "sub-003,"), "got 'sub-003', ''"),
        (
            LIST.replace("sub-003,A", "sub-003"),
            "line 4: the line has fewer fields than its header, 1 where 2",
        ),
        (LIST.replace("sub-003,A", "sub-003,NA"), "got 'sub-003', ''"),
        (LIST.replace("sub-003,A", "sub-003,a"), "line 4: arm 'a' and arm 'A' differ in case or blanks"),
        (LIST.replace("sub-003,A", ",A"), "line 4: participant_id must be filled, found nothing"),
        (
            LIST.replace("sub-003,A", 'sub-003,"A'),
            "line 4: a quote opens in the field 'arm' and is not closed",
        ),
        (LIST.replace("arm", "Arm"), "column 'Arm', expected 'arm'"),
        (LIST.replace("sub-003,A", "sub-003,All"), "other than 'all'"),
        ("id,arm\n001,A\n", "expected the columns participant_id and arm, got id, arm"),
        ("", "an empty file"),
    ],
)
def test_a_list_that_does_not_fit_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(StudyError, match=message):
        randomized_arms(save(tmp_path / "arms.csv", text), participants=NAMES)


def test_list_may_name_participants_of_the_study_that_are_not_tabulated(tmp_path: Path) -> None:
    path = save(tmp_path / "arms.csv", LIST)
    # the others were randomised and have no data: they are counted
    expected = dict(zip(NAMES, "ABABA", strict=True))
    assert randomized_arms(path, participants=NAMES[:2], known=NAMES) == expected


def test_no_list_and_no_text_are_refused(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="no randomisation list at"):
        randomized_arms(tmp_path / "none.csv", participants=NAMES)
    with pytest.raises(StudyError, match="line 6 holds the byte 0xE9, which is no UTF-8 text; save the file"):
        randomized_arms(save(tmp_path / "a.csv", LIST[:-1] + "\u00e9\n", "latin-1"), participants=NAMES)
    utf16 = randomized_arms(save(tmp_path / "b.csv", LIST, "utf-16"), participants=NAMES)
    assert utf16 == dict(zip(NAMES, "ABABA", strict=True))


# ---------------------------------------------------------------- reading


def test_tables_come_back_with_their_types(tmp_path: Path) -> None:
    record = participant("007", rows=[volume_row(study_day=-2), month(1, 1 / 3), *trial()[4].rows[2:]])
    write_tables([record], tmp_path, protocol=Protocol())
    for folder in (tmp_path, str(tmp_path / "tables")):
        tables = read_tables(folder)
        assert tables.volumes["participant_id"].tolist() == ["007"] * 3
        assert tables.volumes["volume_ml"].dtype == "float64"
        assert tables.volumes["volume_ml"].tolist()[:2] == [10.0, pytest.approx(1 / 3, rel=1e-11)]
        assert np.isnan(tables.volumes["volume_ml"].iloc[2])
        assert tables.volumes["study_day"].dtype == "Int64"
        assert tables.volumes["study_day"].iloc[0] == -2
        assert tables.volumes["voxel_count"].iloc[2] is pd.NA
        assert tables.volumes["mask_path"].iloc[2] == ""
        assert tables.change["like_for_like"].dtype == "boolean"
        assert tables.change["like_for_like"].tolist() == [False, pd.NA, pd.NA]
        assert tables.summary["volume_n"].dtype == "Int64"


def test_change_in_the_file_is_the_difference_of_the_volumes_in_the_file(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    records = [
        participant(f"sub-{n}", rows=[volume_row(volume_ml=a), month(1, b)])
        for n, (a, b) in enumerate(rng.random((20, 2)) * 100)
    ]
    write_tables(records, tmp_path, protocol=Protocol())
    change = read_tables(tmp_path).change.dropna(subset="change_ml")
    assert len(change) == 20
    difference = change["volume_ml"] - change["baseline_volume_ml"]
    assert np.allclose(change["change_ml"], difference, rtol=0, atol=1e-9)
    assert np.allclose(change["percent_change"], 100 * difference / change["baseline_volume_ml"])


def test_missing_tables_say_how_to_get_them(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no table volumes.csv .* 'infarct-vol run'"):
        read_tables(tmp_path)


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("volume_ml,", "volume,", "volumes.csv lacks the columns volume_ml"),
        (",10,2000,", ",ten,2000,", "volumes.csv: column volume_ml holds something that is not"),
        (",10,2000,", ",10,2000.5,", "volumes.csv: column voxel_count holds something that is not"),
    ],
)
def test_tampered_tables_are_refused(tmp_path: Path, before: str, after: str, message: str) -> None:
    path = write_tables(trial(), tmp_path, protocol=Protocol()).volumes
    save(path, path.read_text(encoding="utf-8").replace(before, after, 1))
    with pytest.raises(UsageError, match=message):
        read_tables(tmp_path)


def test_a_yes_or_no_column_with_something_else_is_refused(tmp_path: Path) -> None:
    path = write_tables(trial(), tmp_path, protocol=Protocol()).change
    save(path, path.read_text(encoding="utf-8").replace(",false,", ",maybe,", 1))
    with pytest.raises(UsageError, match="column like_for_like holds something that is not of type bool"):
        read_tables(tmp_path)


# ---------------------------------------------------------------- measured against true

TRUTH = """participant_id,session_id,visit,modality,parameter,volume_ml,mask_volume_ml,mask_path,scenario
sub-001,BL,baseline,dwi,infarct,9.5,9.4,m.nii.gz,ordinary
sub-001,BL,baseline,flair,infarct,9.6,9.4,m.nii.gz,ordinary
sub-001,M01,month1,flair,infarct,0,0,m.nii.gz,ordinary
sub-001,M01,month1,flair,cavity,2,2,m.nii.gz,ordinary
"""


def test_measured_against_truth_takes_the_truth_of_the_image_measured(tmp_path: Path) -> None:
    rows = [
        volume_row(),
        volume_row(parameter="infarct_flair", modality="flair", volume_ml=12.0),
        month(1, 0.5),
        month(1, 1.5, parameter="cavity"),
        absent_row("failed", "cut short", visit="month3", modality=None),
    ]
    write_tables([participant(rows=rows)], tmp_path, protocol=Protocol())
    found = measured_against_truth(read_tables(tmp_path).volumes, save(tmp_path / "truth.csv", TRUTH))
    assert list(zip(found["visit"], found["parameter"], found["modality"], strict=True)) == [
        ("baseline", "infarct", "dwi"),
        ("baseline", "infarct_flair", "flair"),
        ("month1", "infarct", "flair"),
        ("month1", "cavity", "flair"),
        ("month3", "infarct", "flair"),
    ]
    assert found["true_ml"].tolist()[:4] == [9.5, 9.6, 0.0, 2.0]
    assert found["error_ml"].tolist()[:4] == pytest.approx([0.5, 2.4, 0.5, -0.5])
    assert found["error_percent"].tolist()[:2] == pytest.approx([100 * 0.5 / 9.5, 25.0])
    assert np.isnan(found["error_percent"].iloc[2])  # true volume 0
    assert found.iloc[4][["true_ml", "measured_ml", "error_ml", "error_percent"]].isna().all()
    assert (found["status"].iloc[4], found["reason"].iloc[4]) == ("failed", "cut short")


def test_truth_that_cannot_be_used_is_refused(tmp_path: Path) -> None:
    volumes = pd.DataFrame([volume_row().model_dump()])
    with pytest.raises(UsageError, match="no truth at"):
        measured_against_truth(volumes, tmp_path / "truth.csv")
    with pytest.raises(UsageError, match="expected the columns .* and scenario, got"):
        measured_against_truth(volumes, save(tmp_path / "t.csv", TRUTH.replace("scenario", "story")))
    twice = TRUTH + TRUTH.splitlines()[1] + "\n"
    with pytest.raises(UsageError, match="states sub-001 baseline infarct dwi twice"):
        measured_against_truth(volumes, save(tmp_path / "t.csv", twice))


# ---- components ------------------------------------------------------------------------------------------


def part(volume_ml: float, **place: object) -> ComponentRecord:
    return ComponentRecord.model_validate(
        {"volume_ml": volume_ml, "centroid_mm": (1.5, -2.0, 3.0), "first_slice": 4, "last_slice": 6, **place}
    )


def test_components_have_one_row_each_with_their_place_or_why_there_is_none(tmp_path: Path) -> None:
    place = {
        "centroid_mni_mm": (-30.0, -10.0, 20.0),
        "hemisphere": "left",
        "region": "supratentorial",
        "grey_percent": 12.5,
        "white_percent": 80.0,
    }
    poor = AtlasRecord(template="t", image="M01 FLAIR", overlap=0.5, likeness=0.1, reason="the fit is poor")
    visits = [
        visit_record(
            "baseline",
            masks={"dwi": "a_mask.nii.gz"},
            components={"dwi": (part(2.0, **place), part(0.5, **place))},
        ),
        visit_record("month1", components={"flair": (part(1.0),), "new_lesion": (part(0.25),)}, atlas=poor),
    ]
    write_tables([participant(rows=[volume_row()], visits=visits)], tmp_path, protocol=Protocol())
    table = read_tables(tmp_path).components
    assert table["parameter"].tolist() == ["infarct_dwi", "infarct_dwi", "infarct_flair", "new_lesion"]
    assert table["component"].tolist() == [1, 2, 1, 1]
    assert table["volume_ml"].tolist() == [2.0, 0.5, 1.0, 0.25]
    first, last = table.iloc[0], table.iloc[3]
    assert (first["centroid_x_mm"], first["centroid_mni_x_mm"], first["white_percent"]) == (1.5, -30.0, 80.0)
    assert (first["hemisphere"], first["region"], first["mask_path"]) == (
        "left",
        "supratentorial",
        "a_mask.nii.gz",
    )
    assert (first["first_slice"], first["last_slice"], first["reason"]) == (4, 6, "")
    assert (last["hemisphere"], last["reason"]) == ("", "the fit is poor")
    assert pd.isna(last["centroid_mni_x_mm"])

"""The trial's other outcomes through the rules of the volumes, from a long CSV to the datasets."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import pandas as pd
import pyreadstat
import pytest
from scipy import stats
from strategies import participant, volume_row

from infarct_vol.errors import StudyError
from infarct_vol.protocol import Protocol, load_protocol
from infarct_vol.records import ParticipantRecord
from infarct_vol.settings import OutcomeSettings, OutcomesSettings
from infarct_vol.tables import Outcomes, randomized_arms, read_outcomes, write_tables

DOSE = "2026-03-01T12:00:00"
DOSES = {"sub-001": DOSE, "sub-002": DOSE}
HEAD = "participant_id,acq_time,parameter,value,unit,lower_limit,upper_limit\n"


def measures(tmp_path: Path, text: str, head: str = HEAD) -> Path:
    path = tmp_path / "measures.csv"
    path.write_text(head + text, encoding="utf-8")
    return path


def read(tmp_path: Path, text: str, **options: object) -> Outcomes:
    return read_outcomes(
        measures(tmp_path, text), first_doses=DOSES, protocol=options.get("protocol") or Protocol()
    )


def visit_rows(outcomes: Outcomes, who: str = "sub-001") -> dict[str, tuple[object, ...]]:
    return {
        row.visit: (row.baseline_value, row.value, row.change, row.percent_change, row.status, row.reason)
        for row in outcomes.visit_rows
        if row.participant_id == who
    }


NIHSS = """\
001,2026-02-28,nihss,12,score,,
001,2026-03-31,nihss,6,score,,
001,2026-05-30,nihss,4,score,,
001,2026-08-28,nihss,3,score,,
001,2026-11-26,nihss,3,score,,
001,2027-02-24,nihss,0,score,,
"""


def test_a_scale_has_its_change_at_months_1_3_6_9_and_12(tmp_path: Path) -> None:
    # days 31, 91, 181, 271 and 361
    outcomes = read(tmp_path, NIHSS)
    assert visit_rows(outcomes) == {
        "baseline": (12.0, 12.0, None, None, "measured", ""),
        "month1": (12.0, 6.0, -6.0, -50.0, "measured", ""),
        "month3": (12.0, 4.0, -8.0, pytest.approx(-200 / 3), "measured", ""),
        "month6": (12.0, 3.0, -9.0, -75.0, "measured", ""),
        "month9": (12.0, 3.0, -9.0, -75.0, "measured", ""),
        "month12": (12.0, 0.0, -12.0, -100.0, "measured", ""),
    }
    assert [row.study_day for row in outcomes.rows()] == [-1, 31, 91, 181, 271, 361]
    assert outcomes.problems == ()


def test_a_participant_without_a_value_has_a_row_for_every_visit_that_says_so(tmp_path: Path) -> None:
    rows = visit_rows(read(tmp_path, NIHSS), "sub-002")
    assert rows["month3"] == (None, None, None, None, "missing", "no value at month3")
    assert len(rows) == 6


@pytest.mark.parametrize(
    ("parameter", "value", "reason"),
    [
        ("nihss", "43", "43 is outside the range of NIHSS Total Score, 0 to 42"),
        ("nihss", "-1", "-1 is outside the range of NIHSS Total Score, 0 to 42"),
        ("mrs", "7", "7 is outside the range of Modified Rankin Scale, 0 to 6"),
        ("mrs", "2.5", "2.5 is no whole number, as Modified Rankin Scale must be"),
        ("vegf", "-0.1", "-0.1 is outside the range of Serum VEGF, 0 to"),
        ("nihss", "six", "value 'six' is no number; write digits with a decimal point"),
        ("nihss", "inf", "value 'inf' is no number; write digits with a decimal point"),
        (
            "vegf",
            "1_000",
            "value '1_000' is no number; write digits with a decimal point and no thousands mark",
        ),
        (
            "vegf",
            "<0.5",
            "value '<0.5' is no number; a limit is no value: leave the field empty, or state the "
            "value that the analysis plan names",
        ),
    ],
)
def test_a_value_outside_the_scale_is_refused_and_the_others_stand(
    tmp_path: Path, parameter: str, value: str, reason: str
) -> None:
    text = f"001,2026-02-28,{parameter},3,,,\n001,2026-03-31,{parameter},{value},,,\n"
    outcomes = read(tmp_path, text)
    row = visit_rows(outcomes)["month1"]
    assert row == (3.0, None, None, None, "failed", reason)
    (problem,) = outcomes.problems
    assert problem == f"sub-001 2026-03-31 {parameter} (line 3): {reason}"
    assert visit_rows(outcomes)["baseline"][1] == 3.0


@pytest.mark.parametrize("word", ["n/a", "NA", "NaN", ".", "null", "None", "#N/A", "-"])
def test_a_word_for_a_missing_value_is_missing_and_no_refusal(tmp_path: Path, word: str) -> None:
    outcomes = read(tmp_path, f"001,2026-02-28,mrs,2,,,\n001,2026-03-31,mrs,{word},,{word},\n")
    assert visit_rows(outcomes)["month1"] == (2.0, None, None, None, "missing", "no value stated")
    assert outcomes.problems == ()


def test_a_decimal_comma_is_read_and_a_number_that_may_be_two_is_refused(tmp_path: Path) -> None:
    text = (HEAD + "001,2026-02-28,vegf,3,,,\n").replace(",", ";") + "001;2026-03-31;vegf;12,5;;;\n"
    path = measures(tmp_path, text, head="")
    outcomes = read_outcomes(path, first_doses=DOSES, protocol=Protocol())
    assert visit_rows(outcomes)["month1"][1] == 12.5
    path.write_text(text + "001;2026-05-30;vegf;1.234;;;\n", encoding="utf-8")
    rows = visit_rows(read_outcomes(path, first_doses=DOSES, protocol=Protocol()))
    told = "value '1.234' may be 1.234 or 1234; write it with a decimal point and no thousands mark"
    assert (rows["month1"][1], rows["month3"][4:]) == (12.5, ("failed", told))


def test_the_limits_of_a_scale_are_inside_it(tmp_path: Path) -> None:
    outcomes = read(tmp_path, "001,2026-02-28,mrs,0,,,\n001,2026-03-31,mrs,6,,,\n")
    assert outcomes.problems == ()


def test_an_empty_value_is_missing_and_not_zero(tmp_path: Path) -> None:
    row = visit_rows(read(tmp_path, "001,2026-02-28,mrs,2,,,\n001,2026-03-31,mrs,n/a,,,\n"))["month1"]
    assert row == (2.0, None, None, None, "missing", "no value stated")


def test_a_zero_baseline_has_a_change_and_no_percent(tmp_path: Path) -> None:
    row = visit_rows(read(tmp_path, "001,2026-02-28,mrs,0,,,\n001,2026-03-31,mrs,1,,,\n"))["month1"]
    assert row == (0.0, 1.0, 1.0, None, "measured", "baseline is 0: percent change is not defined")


def test_without_a_baseline_there_is_a_value_and_no_change(tmp_path: Path) -> None:
    row = visit_rows(read(tmp_path, "001,2026-03-31,mrs,1,,,\n"))["month1"]
    assert row == (None, 1.0, None, None, "missing", "no baseline value")


@pytest.mark.parametrize(
    ("date", "visit", "reason"),
    [
        ("2026-03-06", "early", "study day 6 lies in no analysis window"),
        ("2027-05-01", "unscheduled", "study day 427 lies in no analysis window"),
        ("2026-03", "unscheduled", "the date of acquisition, 2026-03, is partial"),
        ("", "unscheduled", "acquisition or first-dose date unknown, so no study day"),
        ("2026-03-01T13:00:00", "unscheduled", "value is later than first dose on the same day"),
        ("2026-03-01", "unscheduled", "value and first dose are on one day and not known to be in order"),
    ],
)
def test_a_value_outside_every_window_is_kept_and_not_analysed(
    tmp_path: Path, date: str, visit: str, reason: str
) -> None:
    (row,) = read(tmp_path, f"001,{date},mrs,2,,,\n").rows()
    assert (row.visit, row.value, row.analysed) == (visit, 2.0, False)
    assert row.reason.startswith(reason)


def test_a_date_that_is_none_is_refused_with_its_value(tmp_path: Path) -> None:
    outcomes = read(tmp_path, "001,31/03/2026,mrs,2,,,\n")
    (row,) = outcomes.rows()
    assert (row.status, row.value) == ("failed", None)
    assert "acq_time '31/03/2026' is not an ISO 8601 date" in outcomes.problems[0]


def test_of_two_values_in_a_window_the_nearest_counts_and_the_other_says_why(tmp_path: Path) -> None:
    text = "001,2026-02-28,mrs,4,,,\n001,2026-04-10,mrs,3,,,\n001,2026-04-02,mrs,2,,,\n"
    outcomes = read(tmp_path, text)
    assert visit_rows(outcomes)["month1"][1] == 2.0
    (other,) = [row for row in outcomes.rows() if row.acq_time == "2026-04-10"]
    assert (other.analysed, other.reason) == (False, "another value is nearer to the target day")


def test_of_two_values_before_the_dose_the_later_is_the_baseline(tmp_path: Path) -> None:
    text = "001,2026-02-20,mrs,4,,,\n001,2026-02-28,mrs,3,,,\n001,2026-03-31,mrs,1,,,\n"
    outcomes = read(tmp_path, text)
    assert visit_rows(outcomes)["month1"][2] == -2.0
    (earlier,) = [row for row in outcomes.rows() if row.acq_time == "2026-02-20"]
    assert earlier.reason == "a later value before the first dose is the baseline"


@pytest.mark.parametrize("order", [1, -1])
def test_values_of_one_day_go_by_their_time_and_not_by_their_line(tmp_path: Path, order: int) -> None:
    lines = [
        "001,2026-03-01T08:00,mrs,4,,,",
        "001,2026-03-01T11:30,mrs,3,,,",
        "001,2026-03-31T08:00,mrs,1,,,",
        "001,2026-03-31T16:00,mrs,2,,,",
    ]
    outcomes = read(tmp_path, "\n".join(lines[::order]) + "\n")
    rows = visit_rows(outcomes)
    assert (rows["baseline"][1], rows["month1"][1], rows["month1"][2]) == (3.0, 1.0, -2.0)
    told = {row.acq_time: row.reason for row in outcomes.rows()}
    assert told["2026-03-01T08:00"] == "a later value before the first dose is the baseline"
    assert told["2026-03-31T16:00"] == "another value is as near to the target day, and earlier"


def test_values_are_compared_with_the_dose_as_instants(tmp_path: Path) -> None:
    text = "001,2024-09-10T08:00:00+09:00,mrs,4,,,\n001,2024-09-10T08:40:00+09:00,mrs,3,,,\n"
    doses = {"sub-001": "2024-09-09T23:30:00Z"}
    outcomes = read_outcomes(measures(tmp_path, text), first_doses=doses, protocol=Protocol())
    assert visit_rows(outcomes)["baseline"][1] == 4.0
    (after,) = [row for row in outcomes.rows() if row.value == 3.0]
    assert (after.visit, after.study_day) == ("unscheduled", 1)
    assert "by the time zones that they state, so it is no baseline" in after.reason


def test_two_values_of_one_instant_are_refused_however_it_is_written(tmp_path: Path) -> None:
    for one, two in (
        ("2026-02-28T08:00:00Z", "2026-02-28T10:00:00+02:00"),
        ("2026-02-28T08:00", "2026-02-28 08:00:00"),
        ("20260228", "2026-02-28"),
    ):
        with pytest.raises(StudyError, match="lines 2 and 3 both give mrs of sub-001 at 2026-02-28"):
            read(tmp_path, f"001,{one},mrs,1,,,\n001,{two},mrs,2,,,\n")


def test_a_partial_date_of_the_dose_costs_a_value_no_more_than_it_must(tmp_path: Path) -> None:
    text = "001,2026-02-27,mrs,4,,,\n001,2026-04-15,mrs,2,,,\n001,2026-04-01,mrs,3,,,\n"
    path = measures(tmp_path, text)
    outcomes = read_outcomes(path, first_doses={"sub-001": "2026-03"}, protocol=Protocol())
    rows = visit_rows(outcomes)
    assert (rows["baseline"][1], rows["month1"][1], rows["month1"][2]) == (4.0, 2.0, -2.0)
    (unknown,) = [row for row in outcomes.rows() if row.value == 3.0]
    assert unknown.visit == "unscheduled"
    assert unknown.reason.startswith("the date of first dose, 2026-03, is partial")


@pytest.mark.parametrize(
    ("text", "match"),
    [
        (
            '001,2026-02-28,mrs,1,"seen late,,\n002,2026-02-28,mrs,2,,,\n',
            "line 2: a quote opens in the field 'unit'",
        ),
        ("NA,2026-02-28,mrs,1,,,\n", "line 2: participant_id must be filled, found 'NA'"),
        ("001,2026-02-28,mrs,1,5,,,\n", "line 2: the line has more fields than its header, 8 where 7"),
    ],
)
def test_a_line_that_may_hide_others_is_refused(tmp_path: Path, text: str, match: str) -> None:
    with pytest.raises(StudyError, match=match):
        read(tmp_path, text)


def test_visits_and_limits_of_an_outcome_come_from_the_protocol(tmp_path: Path) -> None:
    own = OutcomeSettings(
        label="Walking Speed", paramcd="WALK", low=0.5, unit="m/s", visits=("baseline", "month3")
    )
    protocol = Protocol(outcomes=OutcomesSettings(parameters={"walk": own}))
    text = (
        "001,2026-02-28,walk,0.6,m/s,,\n001,2026-03-31,walk,0.7,m/s,,\n001,2026-05-30,walk,0.4,m/s,,\n"
        "002,2026-02-28,walk,60,cm/s,,\n"
    )
    outcomes = read(tmp_path, text, protocol=protocol)
    rows = visit_rows(outcomes)
    assert list(rows) == ["baseline", "month3"]
    assert rows["month3"][4:] == ("failed", "0.4 is outside the range of Walking Speed, 0.5 to")
    (outside,) = [row for row in outcomes.rows() if row.acq_time == "2026-03-31"]
    assert outside.reason == "month1 is no visit of Walking Speed in the protocol"
    assert "unit 'cm/s', expected 'm/s' by the protocol" in visit_rows(outcomes, "sub-002")["baseline"][5]
    written = tmp_path / "protocol.toml"
    written.write_text(protocol.to_toml(), encoding="utf-8")
    assert load_protocol(written) == protocol


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("003,2026-02-28,mrs,1,,,\n", r"line 2: the trial has no participant '003'; check spelling"),
        ("001,2026-02-28,height,1,,,\n", r"line 2: 'height' is no outcome of the protocol \(mrs, nihss, adl"),
        ("001,2026-02-28,bdnf,1,ng/mL,,\n002,2026-02-28,bdnf,1,pg/mL,,\n", "bdnf is given in several units"),
        ("001,2026-02-28,mrs,1,,,\n001,2026-02-28,mrs,2,,,\n", "lines 2 and 3 both give mrs of sub-001"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_with_its_line(tmp_path: Path, text: str, match: str) -> None:
    with pytest.raises(StudyError, match=match):
        read(tmp_path, text)


def test_a_file_without_a_column_or_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="expected the columns participant_id and acq_time and parameter"):
        read_outcomes(
            measures(tmp_path, "", "participant_id,value\n"), first_doses=DOSES, protocol=Protocol()
        )
    with pytest.raises(StudyError, match="no measures file at"):
        read_outcomes(tmp_path / "absent.csv", first_doses=DOSES, protocol=Protocol())


@pytest.mark.parametrize(
    "change", [lambda t: "\ufeff" + t, lambda t: t.replace("\n", "\r\n"), lambda t: t.replace(",", ";")]
)
def test_usual_forms_of_the_file_are_read(tmp_path: Path, change: object) -> None:
    path = measures(tmp_path, change(HEAD + NIHSS), head="")  # type: ignore[operator]
    outcomes = read_outcomes(path, first_doses=DOSES, protocol=Protocol())
    assert visit_rows(outcomes)["month12"][2] == -12.0


# ---------------------------------------------------------------- tables and datasets

NAMES = [f"sub-{n:03d}" for n in range(1, 9)]
SCORES = [2, 3, 4, 5, 6, 8, 10, 14]
VOLUMES_ML = [1.0, 4.0, 3.0, 8.0, 12.0, 10.0, 30.0, 60.0]


def trial() -> list[ParticipantRecord]:
    records = []
    for name, volume in zip(NAMES, VOLUMES_ML, strict=True):
        rows = [
            volume_row(volume_ml=volume, acq_time="2026-02-28", study_day=-1),
            volume_row(
                volume_ml=volume / 2,
                visit="month1",
                session_id="M01",
                modality="flair",
                acq_time="2026-03-31",
                study_day=31,
            ),
        ]
        records.append(participant(name, rows=rows, first_dose_time=DOSE))
    return records


def all_measures() -> str:
    lines = []
    for name, score in zip(NAMES, SCORES, strict=True):
        lines.append(f"{name},2026-02-28,nihss,{score},score,,")
        lines.append(f"{name},2026-03-31,nihss,{score // 2},score,,")
        lines.append(f"{name},2026-02-28,vegf,{100 + score},pg/mL,62,707")
        lines.append(f"{name},2026-03-31,vegf,{score * 20},pg/mL,62,707")
    return "\n".join(lines) + "\n"


@pytest.fixture
def written(tmp_path: Path) -> Path:
    doses = dict.fromkeys(NAMES, DOSE)
    outcomes = read_outcomes(measures(tmp_path, all_measures()), first_doses=doses, protocol=Protocol())
    return write_tables(trial(), tmp_path / "out", protocol=Protocol(), outcomes=outcomes).folder


def rows_of(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"), newline="")))


def test_outcomes_are_summarised_by_the_same_rules(written: Path) -> None:
    rows = {(r["parameter"], r["visit"], r["arm"]): r for r in rows_of(written / "outcomes_summary.csv")}
    baseline, month1 = rows["nihss", "baseline", "all"], rows["nihss", "month1", "all"]
    assert (baseline["value_n"], baseline["value_mean"], baseline["value_median"]) == ("8", "6.5", "5.5")
    changes = [score // 2 - score for score in SCORES]
    assert float(month1["change_mean"]) == pytest.approx(np.mean(changes))
    assert float(month1["change_sd"]) == pytest.approx(np.std(changes, ddof=1))
    assert (month1["unit"], month1["blinding"]) == ("score", "BLINDED")
    assert rows["vegf", "month12", "all"]["missing_n"] == "8"
    assert rows["vegf", "month12", "all"]["value_mean"] == ""


def test_rank_correlation_of_volume_and_scale_is_that_of_scipy(written: Path) -> None:
    rows = {(r["outcome"], r["visit"], r["quantity"]): r for r in rows_of(written / "correlations.csv")}
    expected = stats.spearmanr(VOLUMES_ML, SCORES).statistic
    assert float(rows["nihss", "baseline", "volume"]["rho"]) == pytest.approx(expected)
    changes = [-v / 2 for v in VOLUMES_ML], [s // 2 - s for s in SCORES]
    assert float(rows["nihss", "month1", "change"]["rho"]) == pytest.approx(
        stats.spearmanr(*changes).statistic
    )
    assert set(rows) == {
        ("nihss", "baseline", "volume"),
        ("nihss", "month1", "volume"),
        ("nihss", "month1", "change"),
    }
    low, high = (float(rows["nihss", "baseline", "volume"][name]) for name in ("low", "high"))
    assert low < expected < high


def test_the_dataset_of_outcomes_is_traced_to_the_lines_of_the_file(written: Path) -> None:
    frame, meta = pyreadstat.read_xport(written / "adam" / "adoutc.xpt")
    assert meta.column_names_to_labels["ANRIND"] == "Analysis Reference Range Indicator"
    assert len(frame) == 32
    own = frame[(frame["SUBJID"] == "008") & (frame["PARAMCD"] == "VEGF")]
    assert own["AVAL"].tolist() == [114.0, 280.0]
    assert own["CHG"].tolist()[1] == 166.0
    assert own["ANRIND"].tolist() == ["NORMAL", "NORMAL"]
    assert frame.loc[(frame["SUBJID"] == "001") & (frame["PARAMCD"] == "VEGF"), "ANRIND"].tolist() == [
        "NORMAL",
        "LOW",
    ]
    assert set(frame["PARAM"]) == {"NIHSS Total Score (score)", "Serum VEGF (pg/mL)"}
    source = pd.DataFrame(rows_of(written / "sdtm" / "xm.csv")).astype({"XMSEQ": int, "XMSTRESN": float})
    joined = frame.merge(source, left_on=["USUBJID", "SRCSEQ"], right_on=["USUBJID", "XMSEQ"])
    assert len(joined) == 32
    assert (joined["AVAL"] == joined["XMSTRESN"]).all()
    assert (joined["PARAMCD"] == joined["XMTESTCD"]).all()


def test_tables_without_measures_leave_none_of_an_earlier_call(written: Path) -> None:
    write_tables(trial(), written.parent, protocol=Protocol())
    names = {path.name for path in written.rglob("*") if path.is_file()}
    assert not {name for name in names if "outc" in name or name.startswith("xm.")}
    assert "correlations.csv" not in names


def test_arms_are_told_apart_only_with_a_list(tmp_path: Path, written: Path) -> None:
    listed = tmp_path / "arms.csv"
    listed.write_text("participant_id,arm\n" + "".join(f"{n},{'AB'[i % 2]}\n" for i, n in enumerate(NAMES)))
    doses = dict.fromkeys(NAMES, DOSE)
    outcomes = read_outcomes(tmp_path / "measures.csv", first_doses=doses, protocol=Protocol())
    arms = randomized_arms(listed, participants=NAMES)
    write_tables(trial(), written.parent, protocol=Protocol(), outcomes=outcomes, arms=arms)
    assert {r["arm"] for r in rows_of(written / "outcomes_summary.csv")} == {"all", "A", "B"}
    assert {r["arm"] for r in rows_of(written / "correlations.csv")} == {"all", "A", "B"}

"""The command line: help, options, exit codes, and the main job as an analyst runs it."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

import infarct_vol as iv
from infarct_vol.geometry import Grid
from infarct_vol.images import LesionMask
from infarct_vol.nifti import load_mask, save_mask
from infarct_vol_cli.main import app

COMMANDS = (
    "demo",
    "check",
    "run",
    "segment",
    "register",
    "measure",
    "agree",
    "tables",
    "report",
    "review",
    "lock",
    "unlock",
    "audit",
    "export-seg",
    "simulate",
    "verify",
)


def infarct_vol(*arguments: object, code: int = 0) -> Result:
    result = CliRunner().invoke(app, [str(a) for a in arguments], env={"COLUMNS": "200", "TERM": "dumb"})
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    return result


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def row(path: Path, **keys: str) -> dict[str, str]:
    (found,) = [r for r in rows(path) if all(r[k] == v for k, v in keys.items())]
    return found


@pytest.fixture
def block(tmp_path: Path) -> Path:
    """A 10x10x10 block at 1x1x5 mm: 5.0 mL."""
    data = np.zeros((30, 30, 20), dtype=bool)
    data[5:15, 5:15, 5:15] = True
    path = tmp_path / "block_mask.nii.gz"
    save_mask(LesionMask(data, Grid(data.shape, np.diag([1.0, 1.0, 5.0, 1.0]))), path)
    return path


@pytest.fixture(scope="module")
def small_trial(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two participants of the sample trial: one with a missing month 3, one with a damaged month 6."""
    root = tmp_path_factory.mktemp("study") / "small trial"
    source = iv.sample_trial()
    shutil.copytree(source, root, ignore=shutil.ignore_patterns("derivatives", "sub-001", "sub-003"))
    table = (source / "participants.tsv").read_text().splitlines(keepends=True)
    kept = [line for line in table if not line.startswith(("sub-001", "sub-003"))]
    (root / "participants.tsv").write_text("".join(kept))
    return root


@pytest.fixture(scope="module")
def run_out(small_trial: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out") / "results"
    result = infarct_vol("run", small_trial, out, "--jobs", 2, code=1)
    (out.parent / "messages.txt").write_text(result.output)
    return out


def contents(out: Path) -> dict[str, bytes]:
    """Tables, datasets and report of a run, by path."""
    files = (p for folder in ("tables", "report") for p in (out / folder).rglob("*") if p.is_file())
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in files}


# ---- manners ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [*((c,) for c in COMMANDS), ("protocol", "init"), ("protocol", "show")])
def test_every_command_has_help_with_an_example_and_the_common_options(command: Sequence[str]) -> None:
    text = infarct_vol(*command, "--help").output
    assert "Example" in text
    assert f"infarct-vol {' '.join(command)}" in re.sub(r"[\s│]+", " ", text)
    for option in ("--version", "--quiet", "--verbose", "--log-json"):
        assert option in text
    assert infarct_vol(*command, "--version").output == f"infarct-vol {iv.__version__}\n"


def test_version_at_the_top() -> None:
    assert infarct_vol("--version").output == f"infarct-vol {iv.__version__}\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ("run",),
        ("run", "absent", "out"),
        ("nonsense",),
        ("segment", "-o", "x.nii.gz"),
        ("protocol", "show", "--protocol", "absent.toml"),
        ("tables", "absent"),
        ("report", "absent"),
        ("review", "absent"),
        ("audit", "absent"),
        ("lock", "absent", "--reader", "Ada"),
        ("check", "absent"),
        ("agree", "absent", "absent too", "--out", "agreement"),
    ],
)
def test_wrong_usage_ends_with_2_and_runs_nothing(arguments: Sequence[str], tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        infarct_vol(*arguments, code=2)
        assert list(tmp_path.iterdir()) == []


def test_the_installed_program_runs(block: Path) -> None:
    program = Path(sys.executable).with_name("infarct-vol")
    done = subprocess.run([program, "measure", block, "--csv"], capture_output=True, text=True, check=True)
    (line,) = csv.DictReader(io.StringIO(done.stdout))
    assert float(line["volume_ml"]) == 5.0
    assert done.stderr == ""


# ---- measure, protocol -----------------------------------------------------------------------------------


def test_measure_prints_units_and_csv_has_numbers(block: Path) -> None:
    assert "volume_ml" in infarct_vol("measure", block).output
    (line,) = csv.DictReader(io.StringIO(infarct_vol("measure", block, "--csv").stdout))
    assert float(line["volume_ml"]) == 5.0
    assert int(line["voxel_count"]) == 1000
    assert float(line["voxel_volume_mm3"]) == 5.0
    assert int(line["lesion_count"]) == 1


def test_measure_connectivity_changes_the_count_only(tmp_path: Path) -> None:
    data = np.zeros((10, 10, 10), dtype=bool)
    data[3, 3, 3] = data[4, 4, 4] = True
    path = tmp_path / "corner_mask.nii.gz"
    save_mask(LesionMask(data, Grid(data.shape, np.eye(4))), path)
    counts = {}
    for connectivity in (6, 26):
        out = infarct_vol("measure", path, "--csv", "--connectivity", connectivity).stdout
        (line,) = csv.DictReader(io.StringIO(out))
        counts[connectivity] = (int(line["lesion_count"]), float(line["volume_ml"]))
    assert counts == {6: (2, 0.002), 26: (1, 0.002)}


def test_a_damaged_mask_is_refused_and_the_others_are_measured(block: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged_mask.nii.gz"
    damaged.write_bytes(block.read_bytes()[:-20])
    result = infarct_vol("measure", damaged, block, "--csv", code=1)
    assert len(list(csv.DictReader(io.StringIO(result.stdout)))) == 1
    assert "damaged_mask.nii.gz" in result.stderr


def test_log_json_gives_json_lines_and_quiet_only_errors(tmp_path: Path) -> None:
    path = tmp_path / "p.toml"
    message = json.loads(infarct_vol("protocol", "init", path, "--log-json").stderr)
    assert message["level"] == "info"
    assert infarct_vol("protocol", "init", path, "--force", "--quiet").stderr == ""
    assert "exists" in infarct_vol("protocol", "init", path, "--quiet", code=2).stderr


def test_protocol_show_tells_the_effective_settings_and_their_hash(tmp_path: Path) -> None:
    path = tmp_path / "p.toml"
    path.write_text("[acute]\nminimum_lesion_ml = 0.2\n")
    default = infarct_vol("protocol", "show").stdout
    changed = infarct_vol("protocol", "show", "-p", path).stdout
    assert "minimum_lesion_ml = 0.2" in changed
    assert default.splitlines()[0] != changed.splitlines()[0]
    path.write_text("[acute]\nminimum_lesion = 0.2\n")
    assert "minimum_lesion" in infarct_vol("protocol", "show", "-p", path, code=2).stderr


# ---- the main job ----------------------------------------------------------------------------------------


def test_run_says_what_failed_why_and_where_the_results_are(run_out: Path) -> None:
    text = (run_out.parent / "messages.txt").read_text()
    assert re.search(r"failed: sub-004 month6: sub-004 ses-M06 FLAIR: .*(truncated|damaged)", text)
    assert re.search(
        r"8 visits: 6 measured .* 1 refused or failed, 0 not measurable, 1 missing, 0 excluded", text
    )
    assert str(run_out / "report" / "index.html") in text
    assert (run_out / "report" / "index.html").is_file()


def test_missing_failed_and_zero_are_three_different_things(run_out: Path) -> None:
    volumes = run_out / "tables" / "volumes.csv"
    missing = row(volumes, participant_id="sub-002", visit="month3", parameter="infarct")
    failed = row(volumes, participant_id="sub-004", visit="month6", parameter="infarct")
    zero = row(volumes, participant_id="sub-002", visit="month6", parameter="cavity")
    assert (missing["volume_ml"], missing["status"]) == ("", "missing")
    assert missing["reason"] == "no session for month3"
    assert (failed["volume_ml"], failed["status"]) == ("", "failed")
    assert "sub-004_ses-M06_FLAIR.nii.gz" in failed["reason"]
    assert (float(zero["volume_ml"]), zero["status"], zero["reason"]) == (0.0, "measured", "")


def test_flair_against_dwi_is_never_like_for_like(run_out: Path) -> None:
    change = rows(run_out / "tables" / "change_from_baseline.csv")
    crossed = [r for r in change if r["baseline_modality"] != r["modality"] and r["change_ml"]]
    assert crossed, "the primary series starts on DWI"
    assert {r["like_for_like"] for r in crossed} == {"false"}


def test_the_volume_in_the_table_is_that_of_the_mask_it_names(run_out: Path) -> None:
    measured = [r for r in rows(run_out / "tables" / "volumes.csv") if r["volume_ml"]]
    assert len(measured) >= 20
    for r in measured:
        mask = load_mask(run_out / r["mask_path"])
        assert float(r["volume_ml"]) == pytest.approx(mask.volume_ml, rel=1e-9)
        assert int(r["voxel_count"]) == mask.voxel_count


def test_running_again_redoes_nothing_and_gives_the_same_bytes(small_trial: Path, run_out: Path) -> None:
    before = {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in run_out.rglob("*mask.nii.gz")}
    made = contents(run_out)
    result = infarct_vol("run", small_trial, run_out, code=1)
    assert "0 participants processed, 2 unchanged" in result.output
    assert before == {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in run_out.rglob("*mask.nii.gz")}
    assert {"tables/adam/adinfvol.xpt", "report/trial_summary.pdf", "report/tables.html"} <= set(made)
    assert contents(run_out) == made


def test_one_worker_gives_the_bytes_of_two(small_trial: Path, run_out: Path, tmp_path: Path) -> None:
    out = tmp_path / "one"
    infarct_vol("run", small_trial, out, "--participant-label", "002", "--jobs", 1, "--quiet")
    files = [p for p in run_out.rglob("sub-002*") if p.is_file() and "sub-002" in str(p.parent)]
    assert files
    for path in files:
        twin = out / path.relative_to(run_out)
        assert twin.read_bytes() == path.read_bytes(), path.name


def test_an_interrupted_run_ends_with_130_and_can_go_on(
    small_trial: Path, run_out: Path, tmp_path: Path
) -> None:
    program = Path(sys.executable).with_name("infarct-vol")
    command = [program, "run", small_trial, tmp_path / "out", "--jobs", "2"]
    running = subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # jobs in the background of a script start with the interruption ignored, and pass that on
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )
    started = tmp_path / "out" / "sub-002" / "ses-BL"
    while not started.exists() and running.poll() is None:
        time.sleep(0.1)
    os.killpg(running.pid, signal.SIGINT)
    messages = running.communicate(timeout=60)[1]
    assert running.returncode == 130, messages
    assert "Traceback" not in messages
    assert "run the same command again" in messages
    infarct_vol("run", small_trial, tmp_path / "out", "--jobs", 2, code=1)
    assert contents(tmp_path / "out") == contents(run_out)


def test_participant_label_runs_that_one_only(small_trial: Path, tmp_path: Path) -> None:
    infarct_vol("run", small_trial, tmp_path / "out", "--participant-label", "nobody", code=2)
    assert not (tmp_path / "out").exists()


def test_tables_per_arm_need_a_list_that_fits(run_out: Path, tmp_path: Path) -> None:
    summary = run_out / "tables" / "summary.csv"
    pooled = summary.read_bytes()
    assert {r["arm"] for r in rows(summary)} != {"A", "B"}
    arms = tmp_path / "arms.csv"
    arms.write_text("participant_id,arm\nsub-002,A\nsub-004,B\n")
    infarct_vol("tables", run_out, "--randomization", arms)
    assert {"A", "B"} <= {r["arm"] for r in rows(summary)}
    assert "by arm: A, B" in (run_out / "report" / "index.html").read_text()
    arms.write_text("participant_id,arm\nsub-002,A\nsub-002,B\n")
    infarct_vol("tables", run_out, "--randomization", arms, code=2)
    infarct_vol("tables", run_out)
    assert summary.read_bytes() == pooled
    assert "by arm: A, B" not in (run_out / "report" / "index.html").read_text()


def test_tables_take_the_other_outcomes_and_name_what_is_refused(run_out: Path, tmp_path: Path) -> None:
    measures = tmp_path / "measures.csv"
    head = "participant_id,acq_time,parameter,value,unit,lower_limit,upper_limit\n"
    measures.write_text(head + "002,2024-09-20,nihss,9,,,\n002,2024-10-22,nihss,4,,,\n")
    infarct_vol("tables", run_out, "--measures", measures)
    (row,) = [
        r
        for r in rows(run_out / "tables" / "outcomes_change.csv")
        if (r["participant_id"], r["visit"]) == ("sub-002", "month1")
    ]
    assert (row["baseline_value"], row["value"], row["change"]) == ("9", "4", "-5")
    assert (run_out / "tables" / "adam" / "adoutc.xpt").is_file()
    measures.write_text(head + "002,2024-09-20,nihss,43,,,\n")
    result = infarct_vol("tables", run_out, "--measures", measures, code=1)
    assert "sub-002 2024-09-20 nihss (line 2): 43 is outside the range of NIHSS Total Score, 0 to 42" in (
        result.output
    )
    measures.write_text(head + "002,2024-09-20,height,1,,,\n")
    infarct_vol("tables", run_out, "--measures", measures, code=2)
    infarct_vol("tables", run_out)
    assert not (run_out / "tables" / "adam" / "adoutc.xpt").exists()


def test_tables_judge_change_by_the_repeatability_of_a_verification(run_out: Path, tmp_path: Path) -> None:
    def limits() -> set[tuple[str, str]]:
        found = rows(run_out / "tables" / "change_from_baseline.csv")
        return {(r["repeatability_source"], r["repeatability_limit_ml"]) for r in found if r["change_ml"]}

    def retest(first: float, second: float, pair: str) -> list[dict[str, object]]:
        return [{"group": "retest", "pair": pair, "measured_ml": ml} for ml in (first, second)]

    by_protocol = limits()
    assert {source for source, _ in by_protocol} == {"protocol"}
    # differences of 1 mL: wSD = sqrt(1/2), RC = 2.77 x 0.7071 = 1.9587 mL
    cases = [*retest(100, 101, "a"), *retest(200, 199, "b")]
    path = tmp_path / "verification.json"
    path.write_text(json.dumps({"version": iv.__version__, "cases": cases}))
    infarct_vol("tables", run_out, "--verification", path)
    by_verification = limits()
    assert all(source.startswith("verification ") for source, _ in by_verification)
    assert {limit for _, limit in by_verification} == {format(2.77 * 0.5**0.5, ".12g")}
    infarct_vol("tables", run_out)
    assert limits() == by_protocol


def test_tables_notice_a_mask_that_changed(run_out: Path) -> None:
    mask = next(run_out.glob("sub-002/ses-M01/anat/*_desc-infarct_mask.nii.gz"))
    content = mask.read_bytes()
    mask.write_bytes(content[:-1])
    result = infarct_vol("tables", run_out, code=1)
    assert "sub-002 month1 infarct: the mask changed since it was measured" in result.output
    mask.write_bytes(content)
    infarct_vol("tables", run_out)


def test_report_is_made_again_and_asks_nothing_of_the_network(run_out: Path) -> None:
    page = run_out / "report" / "index.html"
    page.unlink()
    infarct_vol("report", run_out)
    text = page.read_text()
    assert "sub-002" in text
    assert "BLINDED" in text
    assert not re.search(r"""(src|href)=["']?(https?:)?//""", text)


def test_masks_made_elsewhere_go_through_the_same_measuring(
    small_trial: Path, run_out: Path, tmp_path: Path
) -> None:
    masks = tmp_path / "masks"
    masks.mkdir()
    source = run_out / "sub-002" / "ses-BL" / "dwi" / "sub-002_ses-BL_desc-infarct_mask.nii.gz"
    mask = load_mask(source)
    drawn = np.zeros(mask.grid.shape, dtype=bool)
    drawn[40:50, 40:50, 10] = True
    save_mask(mask.with_data(drawn), masks / "sub-002_ses-BL_desc-reader_mask.nii.gz")
    out = tmp_path / "out"
    infarct_vol("run", small_trial, out, "--masks", masks, "--participant-label", "002")
    volumes = out / "tables" / "volumes.csv"
    baseline = row(volumes, visit="baseline", parameter="infarct", participant_id="sub-002")
    assert float(baseline["volume_ml"]) == pytest.approx(100 * mask.grid.voxel_volume_ml, rel=1e-9)
    assert baseline["source"].startswith("external: masks/sub-002_ses-BL_desc-reader_mask.nii.gz, SHA-256 ")
    assert (baseline["method"], baseline["status"]) == ("external", "edited")
    automatic = out / "sub-002" / "ses-BL" / "dwi" / "sub-002_ses-BL_desc-auto_mask.nii.gz"
    assert automatic.read_bytes() == source.read_bytes(), "the automatic mask stays as it would be"
    difference = load_mask(automatic).volume_ml - 100 * mask.grid.voxel_volume_ml
    assert float(baseline["edit_difference_ml"]) == pytest.approx(-difference)
    assert "Masks made elsewhere" in (out / "report" / "index.html").read_text()


def test_a_mask_that_belongs_to_nobody_is_named(small_trial: Path, tmp_path: Path) -> None:
    masks = tmp_path / "masks"
    grid = Grid((4, 4, 4), np.eye(4))
    save_mask(LesionMask(np.zeros(grid.shape, dtype=bool), grid), masks / "sub-2_ses-BL_mask.nii.gz")
    done = infarct_vol(
        "run", small_trial, tmp_path / "out", "--masks", masks, "--participant-label", "002", code=1
    )
    assert "not used: mask sub-2_ses-BL_mask.nii.gz belongs to no session" in done.stderr


# ---- one case --------------------------------------------------------------------------------------------


def test_segment_acute_and_followup_and_register(small_trial: Path, run_out: Path, tmp_path: Path) -> None:
    case = small_trial / "sub-004"
    mask = tmp_path / "bl_mask.nii.gz"
    trace = case / "ses-BL" / "dwi" / "sub-004_ses-BL_trace.nii.gz"
    adc = case / "ses-BL" / "dwi" / "sub-004_ses-BL_ADC.nii.gz"
    told = json.loads(infarct_vol("segment", "--dwi", trace, "--adc", adc, "-o", mask).stdout)
    assert told["volume_ml"] == pytest.approx(load_mask(mask).volume_ml)
    assert sum(part["volume_ml"] for part in told["components"]) == pytest.approx(told["volume_ml"])
    assert "centroid_mni_mm" not in told["components"][0]
    placed = json.loads(infarct_vol("segment", "--dwi", trace, "--adc", adc, "--locate", "-o", mask).stdout)
    assert placed["components"][0]["hemisphere"] in ("left", "right", "midline")
    (measured,) = json.loads(
        infarct_vol("measure", mask, "--scan", trace, "--modality", "dwi", "--json").stdout
    )
    assert measured["components"] == placed["components"]
    in_run = run_out / "sub-004" / "ses-BL" / "dwi" / "sub-004_ses-BL_desc-infarct_mask.nii.gz"
    assert mask.read_bytes() == in_run.read_bytes(), "one case and the whole job agree to the byte"
    other = json.loads(
        infarct_vol("segment", "--dwi", trace, "--adc", adc, "--method", "rapid_like", "-o", mask).stdout
    )
    assert other["method"] != told["method"]


def test_register_writes_transform_resampled_and_report(small_trial: Path, tmp_path: Path) -> None:
    baseline = small_trial / "sub-004" / "ses-BL" / "anat" / "sub-004_ses-BL_FLAIR.nii.gz"
    month1 = small_trial / "sub-004" / "ses-M01" / "anat" / "sub-004_ses-M01_FLAIR.nii.gz"
    xfm, moved, report = tmp_path / "x.tfm", tmp_path / "moved.nii.gz", tmp_path / "q.json"
    infarct_vol("register", baseline, month1, "-o", xfm, "--resampled", moved, "--report", report)
    assert json.loads(report.read_text())["verdict"] in ("PASS", "WARN")
    assert xfm.read_text().startswith("#Insight Transform File")
    assert iv.load_scan(moved).grid.is_same_as(iv.load_scan(baseline).grid)


# ---- check, simulate -------------------------------------------------------------------------------------


def test_check_names_the_damaged_scan_and_measures_nothing(small_trial: Path) -> None:
    found = json.loads(infarct_vol("check", small_trial, "--json", code=1).stdout)
    failed = [f for f in found if f["verdict"] == "FAIL"]
    assert [(f["participant_id"], f["session_id"], f["modality"]) for f in failed] == [
        ("sub-004", "ses-M06", "FLAIR")
    ]
    assert {f["check"] for f in found if f["participant_id"] == "sub-002"} >= {"file", "slices", "thickness"}
    assert "PASS" in infarct_vol("check", small_trial, "--all", code=1).stdout
    assert "PASS" not in infarct_vol("check", small_trial, code=1).stdout


def test_simulate_refuses_a_folder_that_is_not_empty(tmp_path: Path) -> None:
    (tmp_path / "something").write_text("")
    infarct_vol("simulate", tmp_path, code=2)


def test_measure_says_that_a_mask_lies_in_the_space_of_a_template(block: Path) -> None:
    content = bytearray(gzip.decompress(block.read_bytes()))
    content[254:256] = (4).to_bytes(2, "little")  # sform_code
    block.write_bytes(gzip.compress(bytes(content)))
    result = infarct_vol("measure", block, "--json")
    assert "MNI space (sform code 4)" in result.stderr
    assert json.loads(result.stdout)[0]["volume_ml"] == pytest.approx(5.0)


def test_a_fault_is_traced_with_verbose(
    small_trial: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("by nothing")

    monkeypatch.setattr("infarct_vol.pipeline.measure_baseline", broken)
    monkeypatch.setattr("infarct_vol.pipeline.measure_followup", broken)
    arguments = ("run", small_trial, tmp_path / "out", "--participant-label", "002")
    result = CliRunner().invoke(app, [str(a) for a in (*arguments, "-v")])
    assert result.exit_code == 1
    assert "in broken\n    raise ZeroDivisionError" in result.stderr
    assert "unexpected ZeroDivisionError" in (tmp_path / "out" / "tables" / "volumes.csv").read_text()
    assert "Traceback" not in infarct_vol(*arguments, code=1).stderr

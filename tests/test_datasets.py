"""Public stroke data sets run as they are: the commands of docs/datasets.md on the sample."""

from __future__ import annotations

import csv
import re
import shlex
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

import infarct_vol as iv
from infarct_vol_cli.main import app

PAGE = Path(__file__).resolve().parents[1] / "docs" / "datasets.md"
CASE = "sub-strokecase0001"
LAYOUTS: dict[str, dict[str, str]] = {
    "ds004889": {
        "trace": "sub-9/dwi/sub-9_rec-TRACE_dwi.nii.gz",
        "ADC": "sub-9/dwi/sub-9_rec-ADC_dwi.nii.gz",
        "FLAIR": "sub-9/anat/sub-9_FLAIR.nii.gz",
    },
    "ISLES-2022": {
        "trace": f"{CASE}/ses-0001/dwi/{CASE}_ses-0001_dwi.nii.gz",
        "ADC": f"{CASE}/ses-0001/dwi/{CASE}_ses-0001_adc.nii.gz",
        "FLAIR": f"{CASE}/ses-0001/anat/{CASE}_ses-0001_FLAIR.nii.gz",
    },
    "ISLES-2024/raw_data": {
        "trace": "sub-stroke0001/ses-02/sub-stroke0001_ses-02_dwi.nii.gz",
        "ADC": "sub-stroke0001/ses-02/sub-stroke0001_ses-02_adc.nii.gz",
        # CT, of which nothing is measured; any image will do
        "S0map": "sub-stroke0001/ses-01/sub-stroke0001_ses-01_ncct.nii.gz",
    },
}


def lay(root: Path, names: dict[str, str]) -> None:
    for suffix, name in names.items():
        kind = "anat" if suffix == "FLAIR" else "dwi"
        target = root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(
            iv.sample_trial() / "sub-001" / "ses-BL" / kind / f"sub-001_ses-BL_{suffix}.nii.gz", target
        )


def command(name: str) -> list[str]:
    """Return the arguments of the run command that the page gives for a data set."""
    (line,) = re.findall(rf"^infarct-vol (run {re.escape(name)} .+)$", PAGE.read_text(), flags=re.MULTILINE)
    return shlex.split(line)


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(a) for a in arguments], env={"COLUMNS": "400", "TERM": "dumb"})


@pytest.mark.parametrize("name", LAYOUTS)
def test_the_command_of_the_page_measures_the_baseline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    lay(tmp_path / name, LAYOUTS[name])
    monkeypatch.chdir(tmp_path)
    result = invoke(*command(name))
    assert result.exit_code == 0, result.output
    with (tmp_path / "results" / "tables" / "volumes.csv").open(newline="", encoding="utf-8") as file:
        rows = {r["parameter"]: r for r in csv.DictReader(file) if r["visit"] == "baseline"}
    assert rows["infarct"]["status"] == "measured"
    # the sample's sub-001 reads 49.8 mL under its own names
    assert float(rows["infarct"]["volume_ml"]) == pytest.approx(49.8, abs=0.5)
    assert "is the only session and its date is not stated: taken as baseline" in rows["infarct"]["flags"]
    if "FLAIR" in LAYOUTS[name]:
        assert rows["infarct_flair"]["status"] == "measured"
    else:
        assert "_ncct.nii.gz: nothing is measured on an image with suffix 'ncct'" in result.output
    assert "1 measured (1 of them flagged for a reader)" in result.output


def test_a_study_in_which_nothing_was_measured_says_so_and_exits_1(tmp_path: Path) -> None:
    for label in ("01", "02"):
        lay(tmp_path / "study", {"FLAIR": f"sub-9/ses-{label}/anat/sub-9_ses-{label}_FLAIR.nii.gz"})
    result = invoke("run", tmp_path / "study", tmp_path / "out")
    assert result.exit_code == 1
    assert "sub-9: nothing measured" in result.output
    assert "sub-9: measured" not in result.output
    assert "--visit ses-01=baseline --visit ses-02=month1" in result.output
    assert "Nothing was measured." in result.output
    assert "6 visits: 0 measured (0 of them flagged for a reader), 2 refused or failed" in result.output
    assert "4 missing, 0 excluded" in result.output


def test_a_visit_that_there_is_none_of_runs_nothing(tmp_path: Path) -> None:
    lay(tmp_path / "study", {"FLAIR": "sub-9/ses-01/anat/sub-9_ses-01_FLAIR.nii.gz"})
    for text in ("ses-07=baseline", "ses-01=week9"):
        result = invoke("run", tmp_path / "study", tmp_path / "out", "--visit", text)
        assert result.exit_code == 2
    assert not (tmp_path / "out").exists()

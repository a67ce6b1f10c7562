"""A study whose images were mixed up: each is refused by name, none is measured."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import infarct_vol as iv
from infarct_vol.nifti import load_scan, save_scan
from infarct_vol_cli.main import app

DAMAGE = {
    "sub-001": "the ADC map of sub-002",
    "sub-002": "an ADC map that is mirrored",
    "sub-003": "the month 1 FLAIR of sub-002",
}


def invoke(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, [str(a) for a in arguments], env={"COLUMNS": "400", "TERM": "dumb"})
    assert "Traceback" not in result.output
    return result.exit_code, " ".join(result.output.split())


def image(root: Path, person: str, session: str, kind: str, suffix: str) -> Path:
    return root / person / f"ses-{session}" / kind / f"{person}_ses-{session}_{suffix}.nii.gz"


@pytest.fixture(scope="module")
def mixed_up(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Baseline and month 1 of three participants of the sample trial, one image of each exchanged."""
    root, source = tmp_path_factory.mktemp("mixed") / "study", iv.sample_trial()
    for person in DAMAGE:
        for session in ("BL", "M01"):
            shutil.copytree(source / person / f"ses-{session}", root / person / f"ses-{session}")
        shutil.copy(source / person / f"{person}_sessions.tsv", root / person)
    shutil.copy(source / "participants.tsv", root)
    theirs, ours = (image(r, p, "BL", "dwi", "ADC") for r, p in ((source, "sub-002"), (root, "sub-001")))
    for suffix in (".nii.gz", ".json"):
        names = (path.name.removesuffix(".nii.gz") + suffix for path in (theirs, ours))
        shutil.copy(*(path.with_name(name) for path, name in zip((theirs, ours), names, strict=True)))
    adc = load_scan(image(source, "sub-002", "BL", "dwi", "ADC"), modality="adc")
    mirrored = adc.with_data(np.ascontiguousarray(adc.data[::-1]))
    save_scan(mirrored, image(root, "sub-002", "BL", "dwi", "ADC"))
    shutil.copy(
        image(source, "sub-002", "M01", "anat", "FLAIR"), image(root, "sub-003", "M01", "anat", "FLAIR")
    )
    return root


@pytest.fixture(scope="module")
def results(mixed_up: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    out = tmp_path_factory.mktemp("mixed_out") / "out"
    code, text = invoke("run", mixed_up, out)
    assert code == 1
    return out, text


def rows(out: Path, person: str, visit: str) -> list[dict[str, str]]:
    with (out / "tables" / "volumes.csv").open(newline="", encoding="utf-8") as file:
        return [r for r in csv.DictReader(file) if (r["participant_id"], r["visit"]) == (person, visit)]


@pytest.mark.parametrize(
    ("person", "visit", "status", "file", "words"),
    [
        ("sub-001", "baseline", "failed", "sub-001_ses-BL_ADC.nii.gz", "does not belong to"),
        ("sub-002", "baseline", "failed", "sub-002_ses-BL_ADC.nii.gz", "mirrored left-right"),
        ("sub-003", "month1", "not_measurable", "sub-003_ses-M01_FLAIR.nii.gz", "check"),
    ],
)
def test_what_was_mixed_up_is_refused_with_participant_visit_file_and_remedy(
    results: tuple[Path, str], person: str, visit: str, status: str, file: str, words: str
) -> None:
    out, text = results
    found = rows(out, person, visit)
    assert [row["volume_ml"] for row in found if row["parameter"] == "infarct"] == [""]
    assert {row["status"] for row in found if row["parameter"] == "infarct"} == {status}
    reason = next(row["reason"] for row in found if row["parameter"] == "infarct")
    for part in (person, file, words):
        assert part in reason
    assert f"{status}: {person} {visit}: " in text


def test_what_was_not_mixed_up_is_measured(results: tuple[Path, str]) -> None:
    out, _ = results
    assert [row["status"] for row in rows(out, "sub-003", "baseline")] == ["measured"] * 3
    # a participant whose baseline is refused keeps its own follow-up, without a change
    assert {row["status"] for row in rows(out, "sub-001", "month1")} >= {"measured"}


def test_the_checks_refuse_the_same_pairs_before_anything_is_measured(mixed_up: Path) -> None:
    code, text = invoke("check", mixed_up)
    assert code == 1
    assert text.count("does not belong to") == 2

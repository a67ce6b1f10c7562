"""``audit``, ``lock`` and ``unlock`` as a data manager and an inspector run them."""

from __future__ import annotations

import csv
import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from toy_trials import ToyParticipant, ToySession, write_toy_trial
from typer.testing import CliRunner, Result

from infarct_vol import remake_tables, run_study
from infarct_vol.audit import AuditTrail
from infarct_vol.errors import LockedStudyError
from infarct_vol.review.readers import Readers
from infarct_vol_cli.main import app

SECRET = "a long passphrase"
MASK = "sub-001/ses-BL/dwi/sub-001_ses-BL_desc-infarct_mask.nii.gz"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("trial")
    session = ToySession("BL", "2026-03-01T10:00:00", 50)
    study, masks = write_toy_trial(root, {"sub-001": ToyParticipant((session,))})
    run_study(study, root / "out", masks=masks)
    return root / "out"


@pytest.fixture
def out(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "out"))


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "secret.txt"
    path.write_text(SECRET + "\nanother line\n")
    return path


def infarct_vol(*arguments: object, code: int = 0, typed: str = "") -> Result:
    environment = {"COLUMNS": "200", "TERM": "dumb"}
    result = CliRunner().invoke(app, [str(a) for a in arguments], env=environment, input=typed)
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    return result


def audited(out: Path, *options: object, code: int = 0) -> dict[str, object]:
    found: dict[str, object] = json.loads(infarct_vol("audit", out, "--json", *options, code=code).stdout)
    return found


def locked(out: Path, secret: Path, *options: object) -> Result:
    return infarct_vol("lock", out, "--reader", "Anna", "--passphrase-file", secret, *options)


def test_a_run_without_a_trail_is_whole(out: Path) -> None:
    found = audited(out)
    assert (found["entries"], found["faults"], found["head_sha256"]) == (0, [], "")
    assert not (out / "provenance" / "audit.sqlite").exists()


def test_lock_then_change_then_unlock(out: Path, secret: Path) -> None:
    printed = locked(out, secret, "--enrol", "--meaning", "Database lock 1").stdout
    head = AuditTrail(out).head()
    assert head.sha256 in printed
    assert "Database lock 1" in printed
    assert audited(out, "--head", head.sha256)["faults"] == []
    assert (
        "locked already"
        in infarct_vol("lock", out, "--reader", "Anna", "--passphrase-file", secret, code=1).stderr
    )
    with pytest.raises(LockedStudyError):
        remake_tables(out)
    (out / "tables" / "volumes.csv").write_text("forged")
    result = infarct_vol("audit", out, code=3)
    assert "tables/volumes.csv was changed since Anna locked (entry 2)" in result.stdout
    assert "faults were found" in result.stderr or "1 fault was found" in result.stderr
    unlock = ("unlock", out, "--reader", "Anna", "--passphrase-file", secret)
    assert "a reason has 1 to 1000" in infarct_vol(*unlock, "--reason", " ", code=1).stderr
    assert "Unlocked by Anna" in infarct_vol(*unlock, "--reason", "a late scan").stderr
    assert "the study is not locked" in infarct_vol(*unlock, "--reason", "again", code=1).stderr
    remake_tables(out)
    assert audited(out)["faults"] == []


def test_the_passphrase_is_typed_where_no_file_is_named(out: Path) -> None:
    typed = f"{SECRET}\n{SECRET}\n"
    infarct_vol("lock", out, "--reader", "Anna", "--enrol", typed=typed)
    unlock = ("unlock", out, "--reader", "Anna", "--reason", "why")
    result = infarct_vol(*unlock, typed="not the passphrase\n", code=1)
    assert "name or passphrase is wrong" in result.stderr
    assert SECRET not in result.output
    assert "no passphrase was given" in infarct_vol(*unlock, code=2).stderr
    infarct_vol(*unlock, typed=f"{SECRET}\n")


def test_a_passphrase_file_that_is_not_there_is_refused(out: Path, tmp_path: Path) -> None:
    options = ("--reader", "Anna", "--passphrase-file", tmp_path / "none.txt")
    assert "cannot be read" in infarct_vol("lock", out, *options, code=2).stderr


@pytest.mark.parametrize("command", ["audit", "lock", "unlock"])
def test_a_folder_without_results_is_refused_and_stays_empty(tmp_path: Path, command: str) -> None:
    options = {"audit": (), "lock": ("--reader", "A"), "unlock": ("--reader", "A", "--reason", "b")}
    result = infarct_vol(command, tmp_path, *options[command], code=2)
    assert "holds no results" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_seal_kept_elsewhere_shows_a_cut_tail(out: Path, tmp_path: Path) -> None:
    seal = tmp_path / "seal.json"
    assert "no entry to seal yet" in infarct_vol("audit", out, "--seal", seal, code=2).stderr
    trail = AuditTrail(out)
    trail.append("decision not taken over", subject="sub-001/ses-BL/dwi", new='{"verdict": "accept"}')
    assert "Sealed entry 1" in infarct_vol("audit", out, "--seal", seal).stderr
    assert json.loads(seal.read_text())["sha256"] == trail.head().sha256
    warned = infarct_vol("audit", out, "--seal", out / "seal.json").stderr
    assert "lies in the folder it seals" in warned
    assert audited(out, "--head", seal)["faults"] == []
    for path in (trail.path, trail.head_path):
        path.unlink()
    trail.append("decision not taken over", subject="sub-001/ses-BL/dwi", new='{"verdict": "reject"}')
    assert audited(out)["faults"] == []
    (fault,) = audited(out, "--head", seal, code=3)["faults"]  # type: ignore[misc]
    assert fault.startswith("entry 1 is not what the head given vouches for")
    assert "neither a file" in infarct_vol("audit", out, "--head", "abc", code=2).stderr


def test_a_seal_is_not_made_of_what_is_not_whole(out: Path, tmp_path: Path) -> None:
    Readers(out, AuditTrail(out)).enrol("Anna", SECRET)
    (out / MASK).unlink()
    result = infarct_vol("audit", out, "--seal", tmp_path / "seal.json", code=3)
    assert f"sub-001 baseline: {MASK} is gone; put back a copy, or run again" in result.stdout
    assert not (tmp_path / "seal.json").exists()


def test_entries_are_listed_and_written_complete(out: Path, tmp_path: Path) -> None:
    trail = AuditTrail(out)
    trail.append("remark", subject="=1+1", reason="why\x1b[2Jnot", old="o" * 90, new="n\nm", who="Anna")
    printed = infarct_vol("audit", out, "--list", "--csv", tmp_path / "trail.csv").stdout
    assert "Anna" in printed
    assert "\x1b[2J" not in printed
    assert "o" * 91 not in printed
    with (tmp_path / "trail.csv").open(newline="", encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    assert row["sequence"] == "1"
    assert row["subject"] == "'=1+1"
    assert row["old"] == "o" * 90
    assert row["new"] == "n\nm"
    assert row["sha256"] == trail.head().sha256
    (entry,) = audited(out, "--list")["list"]  # type: ignore[misc]
    assert entry["reason"] == "why\x1b[2Jnot"


def test_a_trail_that_cannot_be_listed_is_a_fault(out: Path) -> None:
    trail = AuditTrail(out)
    trail.append("remark", subject="x")
    with closing(sqlite3.connect(trail.path)) as connection:
        connection.executescript("DROP TRIGGER no_update; UPDATE entries SET old = x'00'")
    result = infarct_vol("audit", out, "--list", code=3)
    assert "entry 1 (remark) was altered: old of the wrong type" in result.stdout
    trail.path.write_bytes(b"no database" * 1000)
    assert "audit.sqlite is damaged" in infarct_vol("audit", out, "--list", code=3).stdout

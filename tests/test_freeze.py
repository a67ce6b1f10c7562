"""Locking a study and holding it against its audit trail: whatever changes is named, with what to do."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from toy_trials import ToyParticipant, ToySession, write_toy_trial

from infarct_vol import run_study
from infarct_vol.audit import AuditTrail, Entry, Head
from infarct_vol.batch import output_lock
from infarct_vol.errors import (
    AuditError,
    ConflictError,
    LockedStudyError,
    OutputLockedError,
    ReviewError,
    StudyError,
    UsageError,
)
from infarct_vol.files import file_sha256
from infarct_vol.review import freeze
from infarct_vol.review.freeze import (
    MEANING,
    lock_of,
    lock_study,
    note_tables,
    require_unlocked,
    study_hashes,
    unlock_study,
)
from infarct_vol.review.manifest import TABLES
from infarct_vol.review.model import DECISION, EDIT, LATE_EDIT, Decision, MaskVersion, Reader
from infarct_vol.review.readers import Readers
from infarct_vol.review.verification import TABLES_MADE, audit_study, read_head, seal_head

SECRET = "a long passphrase"
SUBJECT = "sub-001/ses-M03/flair"
MASK = "sub-001/ses-M03/anat/sub-001_ses-M03_desc-infarct_mask.nii.gz"
EDITED = "sub-001/ses-M03/anat/sub-001_ses-M03_desc-edit0123456789ab_mask.nii.gz"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one participant with two visits, and a reader."""
    root = tmp_path_factory.mktemp("trial")
    sessions = (ToySession("BL", "2026-03-01T10:00:00", 50), ToySession("M03", "2026-06-01T10:00:00", 20))
    study, masks = write_toy_trial(root, {"sub-001": ToyParticipant(sessions)})
    run_study(study, root / "out", masks=masks)
    write_list(root / "out")
    Readers(root / "out", AuditTrail(root / "out")).enrol("Anna", SECRET)
    return root / "out"


@pytest.fixture
def out(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "out"))


@pytest.fixture
def trail(out: Path) -> AuditTrail:
    return AuditTrail(out)


ANNA = Reader(name="Anna")


def write_list(out: Path) -> None:
    """Write the list of hashes that the tables step writes."""
    files = sorted(path for path in (out / "tables").rglob("*") if path.is_file())
    (out / TABLES).write_text(json.dumps({p.relative_to(out).as_posix(): file_sha256(p) for p in files}))


def judged(trail: AuditTrail, sha256: str, *, verdict: str = "accept") -> Entry:
    decision = Decision.model_validate({"verdict": verdict, "masks": {"flair": sha256}, "volume_ml": 0.4})
    return trail.append(DECISION, subject=SUBJECT, who="Anna", new=decision.model_dump_json())


def saved(out: Path, *, action: str = EDIT, content: bytes = b"a mask") -> Entry:
    """Save a version as the desk does: the file, its sidecar, then the entry."""
    path = out / EDITED
    path.write_bytes(content)
    path.with_name(path.name.replace(".nii.gz", ".json")).write_text("{}")
    facts = dict.fromkeys(("volume_ml", "voxel_volume_mm3", "volume_ml_low", "volume_ml_high"), 0.0)
    version = MaskVersion.model_validate(
        facts
        | {"key": "flair", "path": EDITED, "sha256": file_sha256(path), "parent_sha256": "", "tool": "page"}
        | {"scan_sha256": "", "automatic_sha256": "", "voxel_count": 0, "lesion_count": 0}
        | {"difference_ml": 0.0, "automatic_volume_ml": 0.0, "automatic_dice": 0.0}
    )
    return AuditTrail(out).append(action, subject=SUBJECT, who="Anna", new=version.model_dump_json())


def altered(path: Path) -> None:
    """Change a file's content and keep its length."""
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def test_a_finished_run_is_whole(out: Path) -> None:
    report = audit_study(out)
    assert (report.faults, report.notes) == ((), ())
    assert report.entries == 1
    assert report.files > 10


def test_hashes_are_of_everything_an_endpoint_is_made_of_and_not_of_reports(out: Path) -> None:
    saved(out)
    hashes = study_hashes(out)
    sidecar = EDITED.replace(".nii.gz", ".json")
    bound = {MASK, EDITED, sidecar, TABLES, "protocol.toml", "provenance/sub-001.json", "tables/volumes.csv"}
    assert bound <= set(hashes)
    assert "tables/adam/define.xml" in hashes
    assert not any(path.startswith("report/") for path in hashes)
    assert not {"provenance/audit.sqlite", "provenance/audit_head.json", "provenance/readers.json"} & set(
        hashes
    )
    assert hashes[MASK] == file_sha256(out / MASK)


def test_a_lock_states_name_time_meaning_and_hashes(out: Path, trail: AuditTrail) -> None:
    before = trail.head()
    entry = lock_study(out, reader=ANNA, trail=trail)
    assert entry.sequence == before.sequence + 1
    lock = lock_of(trail)
    assert lock is not None
    assert (lock.who, lock.utc, lock.meaning, lock.sequence) == ("Anna", entry.utc, MEANING, entry.sequence)
    signed = json.loads(entry.new)
    manifest = out / "provenance" / f"lock-{entry.sequence}.json"
    assert signed["manifest_sha256"] == lock.manifest_sha256 == file_sha256(manifest)
    assert (signed["head_sequence"], signed["head_sha256"]) == before
    assert signed["counts"]["files"] == len(study_hashes(out))
    assert json.loads(manifest.read_text())["files"] == study_hashes(out)
    assert audit_study(out).faults == ()


def test_a_locked_study_refuses_changes_until_it_is_unlocked(out: Path, trail: AuditTrail) -> None:
    require_unlocked(out)
    lock_study(out, reader=ANNA, trail=trail, meaning="Database lock 1")
    with pytest.raises(LockedStudyError, match="Anna signed at .* 'Database lock 1'.*infarct-vol unlock"):
        require_unlocked(out)
    with pytest.raises(ReviewError, match="locked already, by Anna"):
        lock_study(out, reader=ANNA, trail=trail)
    for blank in ("", " \n"):
        with pytest.raises(ReviewError, match="a reason has 1 to 1000 printable characters"):
            unlock_study(out, reader=ANNA, reason=blank, trail=trail)
    entry = unlock_study(out, reader=ANNA, reason="a late scan arrived", trail=trail)
    assert (entry.who, entry.reason) == ("Anna", "a late scan arrived")
    assert lock_of(trail) is None
    require_unlocked(out)
    with pytest.raises(ReviewError, match="the study is not locked"):
        unlock_study(out, reader=ANNA, reason="again", trail=trail)
    assert lock_study(out, reader=ANNA, trail=trail).sequence == entry.sequence + 1
    assert audit_study(out).faults == ()


@pytest.mark.parametrize("meaning", ["", "  ", "x" * 201, "a\u202eb"])
def test_a_meaning_that_says_nothing_is_refused(out: Path, trail: AuditTrail, meaning: str) -> None:
    with pytest.raises(ReviewError, match="a meaning has 1 to 200 printable characters"):
        lock_study(out, reader=ANNA, trail=trail, meaning=meaning)
    assert lock_of(trail) is None


def test_only_an_enrolled_reader_locks_and_only_while_no_run_is_at_work(out: Path, trail: AuditTrail) -> None:
    with pytest.raises(ReviewError, match="no reader 'Bela' is enrolled"):
        lock_study(out, reader=Reader(name="Bela"), trail=trail)
    with output_lock(out), pytest.raises(OutputLockedError, match="another run is at work"):
        lock_study(out, reader=ANNA, trail=trail)


def test_what_is_not_whole_is_not_locked(out: Path, trail: AuditTrail) -> None:
    altered(out / MASK)
    with pytest.raises(AuditError, match="while the audit has 1 fault; the first: sub-001 month3"):
        lock_study(out, reader=ANNA, trail=trail)
    assert lock_of(trail) is None


def test_an_entry_made_meanwhile_stops_a_lock(
    out: Path, trail: AuditTrail, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = freeze.study_hashes

    def slow(folder: Path) -> dict[str, str]:
        judged(trail, file_sha256(out / MASK))
        return real(folder)

    monkeypatch.setattr(freeze, "study_hashes", slow)
    with pytest.raises(ConflictError, match="entered while the files were hashed"):
        lock_study(out, reader=ANNA, trail=trail)
    assert lock_of(trail) is None
    assert not list((out / "provenance").glob("lock-*"))


def test_tables_older_than_a_decision_are_not_locked(out: Path, trail: AuditTrail) -> None:
    note_tables(out, as_of=1)
    assert len(trail.entries()) == 1  # nothing was read yet
    entry = judged(trail, file_sha256(out / MASK))
    with pytest.raises(ReviewError, match="the tables are older than entry 2 .decision of Anna on sub-001/"):
        lock_study(out, reader=ANNA, trail=trail)
    note_tables(out, as_of=1)
    with pytest.raises(ReviewError, match="infarct-vol tables OUT"):
        lock_study(out, reader=ANNA, trail=trail)
    note_tables(out, as_of=entry.sequence)
    assert trail.entries()[-1].new == file_sha256(out / TABLES)
    note_tables(out, as_of=trail.head().sequence)
    assert trail.head().sequence == 4  # nothing new to say
    lock_study(out, reader=ANNA, trail=trail)


LOCKED = {
    MASK: altered,
    MASK.replace(".nii.gz", ".json"): altered,
    EDITED: altered,
    EDITED.replace(".nii.gz", ".json"): altered,
    "provenance/sub-001.json": lambda path: path.write_text(path.read_text() + " "),
    "protocol.toml": lambda path: path.write_text(path.read_text() + "# later\n"),
    "tables/volumes.csv": altered,
    "tables/adam/adsl.xpt": Path.unlink,
    "tables/later.csv": Path.touch,
    TABLES: lambda path: path.write_text("{}"),
    EDITED.replace("0123", "9999"): Path.touch,
}


@pytest.mark.parametrize("path", LOCKED)
def test_every_file_that_changes_after_the_lock_is_named(out: Path, trail: AuditTrail, path: str) -> None:
    entry = saved(out)
    note_tables(out, as_of=entry.sequence)
    lock_study(out, reader=ANNA, trail=trail)
    change: Callable[[Path], object] = LOCKED[path]
    change(out / path)
    report = audit_study(out)
    named = [fault for fault in report.faults if fault.split(": ")[-1].startswith(path)]
    assert named
    assert any("since Anna locked (entry 4)" in fault for fault in named)


@pytest.mark.parametrize("path", [path for path in LOCKED if path != "provenance/sub-001.json"])
def test_without_a_lock_a_change_is_still_a_fault_or_a_note(out: Path, trail: AuditTrail, path: str) -> None:
    saved(out)
    note_tables(out, as_of=trail.head().sequence)
    change: Callable[[Path], object] = LOCKED[path]
    if path in ("protocol.toml", EDITED.replace(".nii.gz", ".json")):
        change = Path.unlink
    change(out / path)
    report = audit_study(out)
    assert any(path in remark for remark in report.faults + report.notes)


def test_a_signature_copied_to_another_study_fails(out: Path, finished: Path, tmp_path: Path) -> None:
    lock_study(out, reader=ANNA, trail=AuditTrail(out))
    (entry,) = (e for e in AuditTrail(out).entries() if e.action == "lock")
    other = Path(shutil.copytree(finished, tmp_path / "other"))
    AuditTrail(other).append("decision not taken over", subject="x", new='{"verdict": "query"}')
    AuditTrail(other).append(entry.action, subject="study", who="Anna", reason=entry.reason, new=entry.new)
    shutil.copy(out / "provenance/lock-2.json", other / "provenance/lock-3.json")
    (fault,) = audit_study(other).faults
    assert fault == "entry 3 (lock) was signed in another trail"
    shutil.copy(out / "provenance/lock-2.json", other / "provenance/lock-3.json")
    altered(other / "provenance/lock-3.json")
    (fault,) = audit_study(other).faults
    assert fault.startswith("provenance/lock-2.json, which entry 3 signs, was changed")
    for name in ("audit.sqlite", "audit_head.json", "readers.json", "lock-2.json"):
        shutil.copy(out / "provenance" / name, other / "provenance" / name)
    assert audit_study(other).faults == ()  # the same files, so the same signature
    altered(other / MASK)
    assert len(audit_study(other).faults) == 2


def test_a_manifest_that_is_gone_or_was_changed_is_named(out: Path, trail: AuditTrail) -> None:
    lock_study(out, reader=ANNA, trail=trail)
    manifest = out / "provenance" / "lock-2.json"
    altered(manifest)
    (fault,) = audit_study(out).faults
    assert fault == "provenance/lock-2.json, which entry 2 signs, was changed; put back a copy"
    manifest.unlink()
    (fault,) = audit_study(out).faults
    assert "is gone" in fault


def test_unblinded_tables_after_a_lock_are_a_note(out: Path, trail: AuditTrail) -> None:
    lock_study(out, reader=ANNA, trail=trail)
    altered(out / "tables/volumes.csv")
    write_list(out)
    assert len(audit_study(out).faults) == 2
    note_tables(out, as_of=trail.head().sequence)
    report = audit_study(out)
    assert report.faults == ()
    assert "tables were made again after the lock" in report.notes[0]
    altered(out / "tables/volumes.csv")
    write_list(out)
    (fault,) = audit_study(out).faults
    assert fault.startswith(f"{TABLES} is not the list that entry 3 ({TABLES_MADE}) vouches for")


def test_an_edited_mask_is_held_against_its_entry(out: Path, trail: AuditTrail) -> None:
    saved(out)
    assert audit_study(out).faults == ()
    altered(out / EDITED)
    (fault,) = audit_study(out).faults
    assert fault.startswith(f"{SUBJECT}, saved by Anna in entry 2: {EDITED} was changed")
    (out / EDITED).unlink()
    (fault,) = audit_study(out).faults
    assert f"{EDITED} is gone" in fault


def test_a_version_that_was_not_taken_over_is_held_too(out: Path) -> None:
    saved(out, action=LATE_EDIT)
    (out / EDITED).unlink()
    (fault,) = audit_study(out).faults
    assert f"{EDITED} is gone" in fault


def test_a_file_without_an_entry_is_a_note(out: Path) -> None:
    (out / EDITED).write_bytes(b"half a save")
    report = audit_study(out)
    assert report.faults == ()
    assert report.notes == (f"{EDITED} has no entry: a save was interrupted; it counts for nothing",)


def test_a_decision_on_a_mask_that_was_measured_again_is_a_note(out: Path, trail: AuditTrail) -> None:
    judged(trail, file_sha256(out / MASK))
    assert audit_study(out).notes == ()
    judged(trail, "0" * 64)
    report = audit_study(out)
    assert report.faults == ()
    assert report.notes[0].startswith(f"the decision of Anna on {SUBJECT} (entry 3) is about a mask")


def test_an_entry_that_holds_something_else_is_a_fault(out: Path, trail: AuditTrail) -> None:
    trail.append(DECISION, subject=SUBJECT, who="Anna", new="{}")
    (fault,) = audit_study(out).faults
    assert fault.startswith("entry 2 (decision) does not hold what such an entry holds")


def test_faults_of_chain_readers_records_and_protocol_stand_together(out: Path, trail: AuditTrail) -> None:
    judged(trail, file_sha256(out / MASK))
    with closing(sqlite3.connect(trail.path)) as connection:
        connection.executescript("DROP TRIGGER no_update; UPDATE entries SET reason = 'x' WHERE sequence = 2")
    (out / "provenance" / "readers.json").write_text("[]")
    (out / "protocol.toml").write_text("[change]\nunknown = 1\n")
    shutil.copy(out / "provenance" / "sub-001.json", out / "provenance" / "sub-002.json")
    (out / "provenance" / "sub-002.json").write_text("{}")
    faults = "\n".join(audit_study(out).faults)
    for text in (
        "trigger no_update is gone",
        "entry 2 (decision) was altered",
        "the credential of 'Anna' in readers.json is not the one",
        "protocol.toml cannot be read",
        "provenance/sub-002.json cannot be read as a record",
    ):
        assert text in faults


def test_another_protocol_is_named(out: Path) -> None:
    (out / "protocol.toml").write_text("")
    text = (out / "provenance" / "sub-001.json").read_text()
    sha256 = json.loads(text)["protocol_sha256"]
    (out / "provenance" / "sub-001.json").write_text(text.replace(sha256, "0" * 64))
    assert "protocol.toml is not the protocol of sub-001" in audit_study(out).faults[0]


def test_a_damaged_trail_gives_faults_and_no_traceback(out: Path, trail: AuditTrail) -> None:
    trail.path.write_bytes(b"no database, but long enough to be taken for one" * 40)
    report = audit_study(out)
    assert any("audit.sqlite is damaged" in fault for fault in report.faults)
    with pytest.raises(UsageError, match="cannot be used as an audit trail"):
        require_unlocked(out)


def test_an_unreadable_lock_entry_keeps_the_study_locked(out: Path, trail: AuditTrail) -> None:
    trail.append("lock", subject="study", who="Anna", new="{}")
    with pytest.raises(AuditError, match="entry 2 .lock. cannot be read as a signature"):
        require_unlocked(out)
    assert "cannot be read as a signature" in audit_study(out).faults[0]


def test_a_folder_without_results_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="holds no results and no audit trail"):
        audit_study(tmp_path)


def test_a_sealed_head_shows_a_chain_written_anew(out: Path, trail: AuditTrail, tmp_path: Path) -> None:
    judged(trail, file_sha256(out / MASK))
    seal = tmp_path / "seal.json"
    seal_head(audit_study(out), seal)
    assert Head(**{k: v for k, v in json.loads(seal.read_text()).items() if k != "utc"}) == trail.head()
    head = read_head(str(seal))
    assert head == trail.head()
    judged(trail, file_sha256(out / MASK), verdict="reject")
    assert audit_study(out, head=head).faults == ()
    assert audit_study(out, head=read_head(head.sha256.upper())).faults == ()
    entries = trail.entries()
    trail.path.unlink()
    trail.head_path.unlink()
    for one in entries[:1] + entries[2:]:
        trail.append(one.action, subject=one.subject, who=one.who, old=one.old, new=one.new)
    assert audit_study(out).faults == ()
    (fault,) = audit_study(out, head=head).faults
    assert fault.startswith("entry 2 is not what the head given vouches for")


def test_what_is_not_whole_is_not_sealed(out: Path, tmp_path: Path) -> None:
    altered(out / MASK)
    with pytest.raises(AuditError, match="not sealed; the first: sub-001 month3"):
        seal_head(audit_study(out), tmp_path / "seal.json")
    assert not (tmp_path / "seal.json").exists()


def test_what_is_no_head_is_refused(tmp_path: Path) -> None:
    for text in ("", "abc", str(tmp_path)):
        with pytest.raises(UsageError, match="neither a file of a sealed head nor a SHA-256"):
            read_head(text)

"""The audit trail: appended to, never edited; an alteration is found wherever it is made."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import datetime, tzinfo
from pathlib import Path
from random import Random

import pytest

from infarct_vol import audit
from infarct_vol.audit import AuditTrail, Entry, Head
from infarct_vol.errors import ConflictError, UsageError


@pytest.fixture
def trail(tmp_path: Path) -> AuditTrail:
    found = AuditTrail(tmp_path)
    for number in range(1, 6):
        found.append(
            "decision", subject=f"sub-{number:03d}", reason="because", old="a", new="b", who="reader"
        )
    return found


def altered(trail: AuditTrail, statement: str) -> tuple[str, ...]:
    """Change the file as somebody would who takes the triggers away, and puts them back."""
    with closing(sqlite3.connect(trail.path)) as connection:
        kept = connection.execute("SELECT sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
        connection.executescript(f"DROP TRIGGER no_update; DROP TRIGGER no_delete; {statement}")
        connection.executescript(";".join(f"{sql}" for (sql,) in kept))
        connection.commit()
    return trail.faults()


def chained(path: Path, *, entries: int) -> AuditTrail:
    """Return a whole trail of another folder."""
    trail = AuditTrail(path)
    for number in range(entries):
        trail.append("decision", subject=f"other-{number}")
    return trail


def test_entries_are_numbered_dated_and_chained(trail: AuditTrail) -> None:
    entries = trail.entries()
    assert [entry.sequence for entry in entries] == [1, 2, 3, 4, 5]
    assert [entry.previous_sha256 for entry in entries] == ["", *(entry.sha256 for entry in entries[:-1])]
    assert entries[2].subject == "sub-003"
    assert entries[0].who == "reader"
    assert entries[0].utc.endswith("+00:00")
    assert trail.faults() == ()


def test_no_trail_is_no_fault_and_makes_no_file(tmp_path: Path) -> None:
    assert AuditTrail(tmp_path).entries() == ()
    assert AuditTrail(tmp_path).faults() == ()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("statement", ["UPDATE entries SET reason = 'x'", "DELETE FROM entries"])
def test_the_file_refuses_to_be_edited(trail: AuditTrail, statement: str) -> None:
    with (
        sqlite3.connect(trail.path) as connection,
        pytest.raises(sqlite3.IntegrityError, match="append-only"),
    ):
        connection.execute(statement)
    assert len(trail.entries()) == 5


@pytest.mark.parametrize("column", ["utc", "who", "action", "subject", "reason", "old", "new"])
def test_an_edited_field_is_named(trail: AuditTrail, column: str) -> None:
    found = altered(trail, f"UPDATE entries SET {column} = 'forged' WHERE sequence = 3")
    assert found[0].startswith("entry 3 (")
    assert found[0].endswith("was altered")


def test_a_removed_entry_is_noticed(trail: AuditTrail) -> None:
    assert altered(trail, "DELETE FROM entries WHERE sequence = 2") == (
        "missing before entry 3 (decision): 2",
        "entry 3 (decision) does not follow the entry before it",
    )


def test_a_removed_run_of_entries_is_named_once(trail: AuditTrail) -> None:
    found = altered(trail, "DELETE FROM entries WHERE sequence IN (1, 2, 3)")
    assert found[0] == "missing before entry 4 (decision): 1 to 3"
    assert len(found) == 2


@pytest.mark.parametrize(
    ("last", "words"), [(5, "1 entry was"), (4, "2 entries were"), (1, "5 entries were")]
)
def test_entries_cut_from_the_end_are_counted(trail: AuditTrail, last: int, words: str) -> None:
    (found,) = altered(trail, f"DELETE FROM entries WHERE sequence >= {last}")
    assert found == f"{words} cut from the end: audit_head.json vouches for entry 5"


def test_a_cut_stays_a_fault_after_more_entries(trail: AuditTrail) -> None:
    altered(trail, "DELETE FROM entries WHERE sequence = 5")
    assert [trail.append("decision", subject=f"later-{n}").sequence for n in range(2)] == [5, 6]
    (found,) = trail.faults()
    assert found.startswith("entry 5 is not what audit_head.json vouches for")


def test_exchanged_entries_are_noticed(trail: AuditTrail) -> None:
    swap = "UPDATE entries SET sequence = CASE sequence WHEN 2 THEN -3 ELSE -2 END WHERE sequence IN (2, 3);"
    found = altered(trail, swap + "UPDATE entries SET sequence = -sequence WHERE sequence < 0")
    assert "entry 2 (decision) was altered" in found
    assert "entry 3 (decision) was altered" in found


def test_an_entry_forged_with_its_hash_breaks_the_chain(trail: AuditTrail) -> None:
    third = trail.entries()[2]
    forged = replace(third, new="c", sha256="")
    statement = f"UPDATE entries SET new = 'c', sha256 = '{forged.digest()}' WHERE sequence = 3"
    assert altered(trail, statement) == ("entry 4 (decision) does not follow the entry before it",)


def test_a_last_entry_forged_with_its_hash_is_missed_by_the_head(trail: AuditTrail) -> None:
    forged = replace(trail.entries()[-1], new="c", sha256="")
    statement = f"UPDATE entries SET new = 'c', sha256 = '{forged.digest()}' WHERE sequence = 5"
    (found,) = altered(trail, statement)
    assert found.startswith("entry 5 is not what audit_head.json vouches for")


@pytest.mark.parametrize("number", [0, -1, 3000])
def test_a_number_out_of_order_is_named(trail: AuditTrail, number: int) -> None:
    found = altered(trail, f"UPDATE entries SET sequence = {number} WHERE sequence = 3")
    assert any(f"entry {number} (decision)" in fault for fault in found)


@pytest.mark.parametrize(
    "value", ["CAST(subject AS BLOB)", "x'ff'", "CAST(x'ff' AS TEXT)", "subject || char(0)"]
)
def test_a_value_that_only_looks_the_same_is_noticed(trail: AuditTrail, value: str) -> None:
    found = altered(trail, f"UPDATE entries SET subject = {value} WHERE sequence = 3")
    assert found[0].startswith("entry 3 (decision) was altered")


def test_a_table_without_its_rules_is_named_and_so_is_what_it_hides(trail: AuditTrail) -> None:
    found = altered(
        trail,
        "CREATE TABLE copy AS SELECT * FROM entries; DROP TABLE entries; ALTER TABLE copy RENAME TO entries;"
        "UPDATE entries SET reason = NULL WHERE sequence = 2;"
        "INSERT INTO entries SELECT * FROM entries WHERE sequence = 4;",
    )
    assert "table entries was changed" in found
    assert "entry 2 (decision) was altered: reason of the wrong type" in found
    assert "entry 4 (decision) stands where entry 5 is expected" in found


@pytest.mark.parametrize(
    ("statement", "fault"),
    [
        ("DROP TRIGGER no_delete", "trigger no_delete is gone"),
        ("DROP TRIGGER no_update", "trigger no_update is gone"),
        ("CREATE TABLE more (x)", "table more was added"),
        ("DROP TABLE entries", "table entries is gone"),
    ],
)
def test_a_change_of_the_schema_is_named_and_never_healed_unseen(
    trail: AuditTrail, statement: str, fault: str
) -> None:
    with closing(sqlite3.connect(trail.path)) as connection:
        connection.executescript(statement)
    assert fault in trail.faults()
    if "entries" not in statement:
        trail.append("decision", subject="later")
        assert fault in trail.faults()


def test_a_trail_exchanged_for_another_whole_one_is_noticed(trail: AuditTrail, tmp_path: Path) -> None:
    other = chained(tmp_path / "other", entries=9)
    trail.path.write_bytes(other.path.read_bytes())
    (found,) = trail.faults()
    assert "entry 5 is not what audit_head.json vouches for" in found
    sealed = AuditTrail(tmp_path / "third").append("x", subject="y")
    (found,) = other.verify(head=Head(1, sealed.sha256)).faults
    assert "entry 1 is not what the head given vouches for" in found


def test_a_trail_that_is_gone_or_has_no_head_is_a_fault(trail: AuditTrail) -> None:
    kept = trail.head_path.read_bytes()
    trail.head_path.unlink()
    (found,) = trail.faults()
    assert found.startswith("audit_head.json is gone")
    trail.append("decision", subject="later")
    assert trail.faults() == (found,)
    trail.head_path.write_text("{}")
    assert "cannot be read as a head" in trail.faults()[0]
    trail.head_path.write_bytes(kept)
    trail.path.unlink()
    assert trail.faults()[0] == "audit.sqlite is gone; audit_head.json vouches for 5 entries"


def test_a_head_behind_the_chain_is_a_note(trail: AuditTrail) -> None:
    kept = trail.head_path.read_bytes()
    trail.append("decision", subject="sub-006")
    trail.head_path.write_bytes(kept)
    chain = trail.verify()
    assert chain.faults == ()
    assert chain.notes == ("audit_head.json is behind: it vouches for the entries up to 5 only",)
    trail.append("decision", subject="sub-007")
    assert trail.verify().notes == ()


def test_the_head_is_the_last_entry(trail: AuditTrail) -> None:
    last = trail.entries()[-1]
    assert trail.head() == Head(5, last.sha256) == Head.of(trail.head_path.read_text())
    assert AuditTrail(trail.path.parent).head() == Head(0, "")


@pytest.mark.parametrize("sequence", [0, 3])
def test_a_sealed_head_is_found_by_number_and_hash_or_by_hash(trail: AuditTrail, sequence: int) -> None:
    third = trail.entries()[2]
    assert trail.verify(head=Head(sequence, third.sha256)).faults == ()
    (found,) = trail.verify(head=Head(sequence, "0" * 64)).faults
    assert "the trail was cut, exchanged or written anew" in found
    assert trail.verify(head=Head(4, third.sha256)).faults


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", "x", '{"sequence": true, "sha256": ""}', '{"sequence": 1, "sha256": ""}']
)
def test_what_is_no_head_is_told(text: str) -> None:
    assert Head.of(text) is None


def test_the_clock_may_step_back_and_the_order_stays(
    trail: AuditTrail, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Earlier(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:
            return datetime(2020, 1, 1, tzinfo=tz)

    monkeypatch.setattr(audit, "datetime", Earlier)
    assert trail.append("decision", subject="sub-006").sequence == 6
    chain = trail.verify()
    assert chain.faults == ()
    assert chain.notes[0].startswith("the clock stepped back before entry 6 (decision)")


def test_a_guard_sees_what_came_after_and_its_refusal_adds_nothing(trail: AuditTrail) -> None:
    seen: list[int] = []

    def guard(after: Callable[[int], tuple[Entry, ...]]) -> None:
        seen.extend(entry.sequence for entry in after(3))
        raise ConflictError("somebody was faster")

    with pytest.raises(ConflictError, match="faster"):
        trail.append("decision", subject="sub-009", guard=guard)
    assert seen == [4, 5]
    assert trail.head().sequence == 5
    assert trail.faults() == ()


def test_the_last_entry_with_an_action_is_found(trail: AuditTrail) -> None:
    assert trail.last("lock", "unlock") is None
    trail.append("lock", subject="study")
    trail.append("decision", subject="sub-001")
    found = trail.last("lock", "unlock")
    assert found is not None
    assert found.sequence == 6
    assert AuditTrail(trail.path).last("lock") is None


def test_names_that_are_no_text_and_odd_characters_are_kept(trail: AuditTrail) -> None:
    entry = trail.append("input changed", subject="a\udcff\x00b\u202e", reason="=1+1")
    assert entry.subject == "a\\udcff\x00b\u202e"
    assert trail.entries()[-1] == entry
    assert trail.faults() == ()


@pytest.mark.parametrize("seed", range(12))
def test_damage_of_the_file_is_a_fault_and_no_traceback(trail: AuditTrail, seed: int) -> None:
    raw = bytearray(trail.path.read_bytes())
    random = Random(seed)
    start = random.randrange(0, len(raw) - 600)
    raw[start : start + 600] = random.randbytes(600) if seed % 2 else bytes(600)
    trail.path.write_bytes(raw[: -random.randrange(1, 5000)] if seed % 3 == 0 else raw)
    before = trail.head_path.read_bytes()
    found = trail.faults()
    assert all(isinstance(fault, str) for fault in found)
    try:
        whole = len(trail.entries()) == 5
    except UsageError:
        whole = False
    assert found or whole  # zeros over zeros change nothing
    assert trail.head_path.read_bytes() == before


def test_an_empty_file_holds_no_entries(tmp_path: Path) -> None:
    trail = AuditTrail(tmp_path)
    trail.path.parent.mkdir()
    trail.path.touch()
    assert trail.entries() == ()
    trail.append("x", subject="y")
    assert len(trail.entries()) == 1


def test_what_was_acknowledged_survives_a_kill(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from infarct_vol.audit import AuditTrail\n"
        "trail = AuditTrail(Path(sys.argv[1]))\n"
        "while True: print(trail.append('decision', subject='s').sequence, flush=True)\n"
    )
    for _ in range(4):
        with subprocess.Popen(
            [sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True
        ) as writer:
            assert writer.stdout is not None
            told = [int(writer.stdout.readline()) for _ in range(5)]
            writer.kill()
            told += [int(line) for line in writer.stdout.read().split()]
        trail = AuditTrail(tmp_path)
        assert trail.faults() == ()
        assert trail.head().sequence >= told[-1]


def test_many_writers_make_one_chain(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: AuditTrail(tmp_path).append("x", subject=str(n)), range(40)))
    trail = AuditTrail(tmp_path)
    assert len(trail.entries()) == 40
    assert trail.faults() == ()


def test_a_file_that_is_no_trail_is_refused(tmp_path: Path) -> None:
    (tmp_path / "provenance").mkdir()
    (tmp_path / "provenance" / "audit.sqlite").write_text("not a database, but long enough to be read as one")
    with pytest.raises(UsageError, match="cannot be used as an audit trail"):
        AuditTrail(tmp_path).entries()

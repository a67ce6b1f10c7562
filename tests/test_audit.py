"""The audit trail: appended to, never edited; an alteration is found wherever it is made."""

from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from infarct_vol.audit import AuditTrail
from infarct_vol.errors import UsageError


@pytest.fixture
def trail(tmp_path: Path) -> AuditTrail:
    found = AuditTrail(tmp_path)
    for number in range(1, 6):
        found.append(
            "decision", subject=f"sub-{number:03d}", reason="because", old="a", new="b", who="reader"
        )
    return found


def altered(trail: AuditTrail, statement: str) -> tuple[str, ...]:
    """Change the file as somebody would who removes the triggers first."""
    with sqlite3.connect(trail.path) as connection:
        connection.executescript(f"DROP TRIGGER no_update; DROP TRIGGER no_delete; {statement}")
    return trail.faults()


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
    found = altered(trail, "DELETE FROM entries WHERE sequence = 2")
    assert "entry 3 stands where 2 is expected" in found
    assert "entry 3 does not follow the one before it" in found


def test_exchanged_entries_are_noticed(trail: AuditTrail) -> None:
    swap = "UPDATE entries SET sequence = CASE sequence WHEN 2 THEN -3 ELSE -2 END WHERE sequence IN (2, 3);"
    assert altered(trail, swap + "UPDATE entries SET sequence = -sequence WHERE sequence < 0")


def test_an_entry_forged_with_its_hash_breaks_the_chain(trail: AuditTrail) -> None:
    third = trail.entries()[2]
    forged = replace(third, new="c", sha256="")
    statement = f"UPDATE entries SET new = 'c', sha256 = '{forged.digest()}' WHERE sequence = 3"
    assert altered(trail, statement) == ("entry 4 does not follow the one before it",)


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

"""Readers: names nobody can confuse, passphrases nobody can read, credentials nobody can exchange."""

from __future__ import annotations

import hashlib
import json
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from infarct_vol.audit import AuditTrail
from infarct_vol.errors import NotAllowedError, ReviewError
from infarct_vol.review.model import ENROLMENT, SIGNED_IN, Reader
from infarct_vol.review.readers import (
    PASSPHRASE_CHANGED,
    SIGN_IN_BLOCKED,
    Enrolment,
    Readers,
    readable_name,
)

SECRET = "a long passphrase"
OTHER = "another passphrase"


class Clock:
    """Seconds that go forward when told to."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def readers(tmp_path: Path, clock: Clock) -> Readers:
    return Readers(tmp_path, AuditTrail(tmp_path), clock=clock)


@pytest.fixture
def trail(tmp_path: Path) -> AuditTrail:
    return AuditTrail(tmp_path)


def failed(readers: Readers, name: str, *, times: int) -> None:
    for _ in range(times):
        with pytest.raises(NotAllowedError, match="name or passphrase is wrong"):
            readers.sign_in(name, "not the passphrase")


def test_a_reader_enrols_and_signs_in(readers: Readers, trail: AuditTrail) -> None:
    assert readers.enrol("  Dr.  Anna Ü ", SECRET) == Reader(name="Dr. Anna Ü", role="reader")
    assert readers.enrol("Bela", OTHER, role="adjudicator").role == "adjudicator"
    assert readers.names() == ("Dr. Anna Ü", "Bela")
    assert readers.sign_in("dr. anna ü", SECRET).name == "Dr. Anna Ü"
    assert readers.get("BELA") == Reader(name="Bela", role="adjudicator")
    assert [entry.action for entry in trail.entries()] == [ENROLMENT, ENROLMENT, SIGNED_IN]
    assert trail.entries()[-1].who == "Dr. Anna Ü"
    assert readers.sign_in("Bela", OTHER, noted=False).role == "adjudicator"
    assert len(trail.entries()) == 3
    assert Readers(trail.path.parent.parent, trail).names() == ("Dr. Anna Ü", "Bela")


def test_the_passphrase_is_nowhere_and_the_file_is_for_its_owner_only(
    readers: Readers, trail: AuditTrail
) -> None:
    readers.enrol("Anna", SECRET)
    readers.sign_in("Anna", SECRET)
    for path in trail.path.parent.iterdir():
        assert SECRET.encode() not in path.read_bytes()
    assert stat.S_IMODE(readers.path.stat().st_mode) == 0o600
    (line,) = json.loads(readers.path.read_text())
    assert (line["n"], line["r"], line["p"]) == (32768, 8, 1)
    key = hashlib.scrypt(
        SECRET.encode(), salt=bytes.fromhex(line["salt"]), n=32768, r=8, p=1, maxmem=1 << 26, dklen=32
    )
    assert line["key"] == key.hex()
    enrolment = Enrolment.model_validate_json(trail.entries()[0].new)
    text = json.dumps(line, sort_keys=True, separators=(",", ":"))
    assert enrolment.credential_sha256 == hashlib.sha256(text.encode()).hexdigest()
    assert line["key"] not in trail.entries()[0].new


@pytest.mark.parametrize("twin", ["anna", "ANNA", " Anna ", "\uff21nna", "A\u006ena"])
def test_twins_are_refused(readers: Readers, twin: str) -> None:
    readers.enrol("Anna", SECRET)
    with pytest.raises(ReviewError, match="is taken by 'Anna'"):
        readers.enrol(twin, OTHER)
    assert readers.names() == ("Anna",)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "1 to 60 characters"),
        ("  \u00a0 ", "1 to 60 characters"),
        ("a" * 61, "this one has 61"),
        ("a\nb", "printable characters only"),
        ("a\tb", "printable characters only"),
        ("a\x00b", "printable characters only"),
        ("a\u202eb", "printable characters only"),
        ("a\u200bb", "printable characters only"),
        ("a\udcffb", "printable characters only"),
    ],
)
def test_a_name_that_cannot_be_read_is_refused(readers: Readers, name: str, message: str) -> None:
    with pytest.raises(ReviewError, match=message):
        readers.enrol(name, SECRET)
    assert not readers.path.exists()


def test_sixty_characters_are_a_name() -> None:
    assert readable_name("é" * 60) == "é" * 60
    assert readable_name("<b>=1+1</b>") == "<b>=1+1</b>"


@pytest.mark.parametrize("passphrase", ["", "elevenchars", " " * 20, "x" * 1025])
def test_a_poor_passphrase_is_refused(readers: Readers, passphrase: str) -> None:
    with pytest.raises(ReviewError, match="at least 12 characters"):
        readers.enrol("Anna", passphrase)


def test_an_unknown_role_is_refused(readers: Readers) -> None:
    with pytest.raises(ReviewError, match="expected one of reader, adjudicator"):
        readers.enrol("Anna", SECRET, role="boss")  # type: ignore[arg-type]


def test_an_unknown_name_is_answered_like_a_wrong_passphrase(
    readers: Readers, monkeypatch: pytest.MonkeyPatch
) -> None:
    readers.enrol("Anna", SECRET)
    worked = []
    real = hashlib.scrypt

    def counted(*args: object, **options: object) -> bytes:
        worked.append(options["n"])
        return real(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(hashlib, "scrypt", counted)
    told = []
    for name in ("Anna", "Nobody", "a\x00b"):
        with pytest.raises(NotAllowedError) as refused:
            readers.sign_in(name, "not the passphrase")
        told.append(str(refused.value))
    assert len(set(told)) == 1
    assert worked == [32768, 32768, 32768]


@pytest.mark.parametrize("name", ["Anna", "Nobody"])
def test_five_failures_stop_a_name_for_a_minute(
    readers: Readers, clock: Clock, trail: AuditTrail, name: str
) -> None:
    readers.enrol("Anna", SECRET)
    readers.enrol("Bela", SECRET)
    failed(readers, name, times=5)
    clock.now += 59.5
    with pytest.raises(NotAllowedError, match="try again in 1 s"):
        readers.sign_in(name.upper(), SECRET)
    assert readers.sign_in("Bela", SECRET, noted=False).name == "Bela"
    entries = [entry for entry in trail.entries() if entry.action == SIGN_IN_BLOCKED]
    assert [entry.reason for entry in entries] == ["5 wrong passphrases in a row"]
    clock.now += 1
    if name == "Anna":
        assert readers.sign_in("Anna", SECRET).name == "Anna"
        failed(readers, "Anna", times=4)
    else:
        failed(readers, name, times=1)


def test_four_failures_are_forgotten_after_the_right_passphrase(readers: Readers) -> None:
    readers.enrol("Anna", SECRET)
    for _ in range(2):
        failed(readers, "Anna", times=4)
        readers.sign_in("Anna", SECRET)


def test_a_credential_that_was_exchanged_is_refused_by_name(
    readers: Readers, trail: AuditTrail, tmp_path: Path
) -> None:
    readers.enrol("Anna", SECRET)
    readers.enrol("Bela", OTHER)
    lines = json.loads(readers.path.read_text())
    lines[0] |= {"salt": lines[1]["salt"], "key": lines[1]["key"]}
    readers.path.write_text(json.dumps(lines))
    with pytest.raises(NotAllowedError, match="credential of 'Anna' in readers.json is not the one"):
        readers.sign_in("Anna", OTHER)
    assert readers.sign_in("Bela", OTHER).name == "Bela"
    faults, notes = readers.faults()
    assert faults[0].startswith("the credential of 'Anna'")
    assert notes[0].startswith("readers.json holds a line for 'Anna' that the trail does not know")
    readers.path.write_text("[]")
    assert len(readers.faults()[0]) == 2
    readers.path.write_text("no JSON")
    assert "cannot be read" in readers.faults()[0][0]


def test_a_line_without_an_entry_lets_nobody_in(readers: Readers, tmp_path: Path) -> None:
    other = Readers(tmp_path / "other", AuditTrail(tmp_path / "other"))
    other.enrol("Anna", SECRET)
    readers.enrol("Bela", OTHER)
    lines = json.loads(readers.path.read_text()) + json.loads(other.path.read_text())
    readers.path.write_text(json.dumps(lines))
    with pytest.raises(NotAllowedError, match="name or passphrase is wrong"):
        readers.sign_in("Anna", SECRET)
    readers.enrol("Anna", OTHER)
    assert len(json.loads(readers.path.read_text())) == 2
    assert readers.faults() == ((), ())


def test_a_passphrase_is_changed(readers: Readers, trail: AuditTrail) -> None:
    readers.enrol("Anna", SECRET)
    with pytest.raises(NotAllowedError, match="name or passphrase is wrong"):
        readers.change_passphrase("Anna", OTHER, "a third passphrase")
    with pytest.raises(ReviewError, match="is the old one"):
        readers.change_passphrase("Anna", SECRET, SECRET)
    with pytest.raises(ReviewError, match="at least 12"):
        readers.change_passphrase("Anna", SECRET, "short")
    readers.change_passphrase("anna", SECRET, OTHER)
    assert trail.entries()[-1].action == PASSPHRASE_CHANGED
    assert readers.sign_in("Anna", OTHER).name == "Anna"
    with pytest.raises(NotAllowedError, match="name or passphrase is wrong"):
        readers.sign_in("Anna", SECRET)
    again = Readers(readers.path.parent.parent, trail)
    assert again.sign_in("Anna", OTHER).name == "Anna"
    assert readers.names() == ("Anna",)


def test_a_kill_before_the_entry_leaves_the_old_passphrase(
    readers: Readers, monkeypatch: pytest.MonkeyPatch
) -> None:
    readers.enrol("Anna", SECRET)
    kept = readers._trail.append

    def killed(action: str, **facts: object) -> object:
        def guard(after: object) -> None:
            facts["guard"](after)  # type: ignore[operator]
            raise KeyboardInterrupt

        return kept(action, **{**facts, "guard": guard})  # type: ignore[arg-type]

    monkeypatch.setattr(readers._trail, "append", killed)
    with pytest.raises(KeyboardInterrupt):
        readers.change_passphrase("Anna", SECRET, OTHER)
    monkeypatch.undo()
    assert len(json.loads(readers.path.read_text())) == 2
    assert readers.sign_in("Anna", SECRET).name == "Anna"


def test_many_enrol_at_once_and_none_is_lost(tmp_path: Path) -> None:
    def enrol(number: int) -> str:
        try:
            return Readers(tmp_path, AuditTrail(tmp_path)).enrol(f"Reader {number % 6}", SECRET).name
        except ReviewError:
            return ""

    with ThreadPoolExecutor(6) as pool:
        done = [name for name in pool.map(enrol, range(12)) if name]
    readers = Readers(tmp_path, AuditTrail(tmp_path))
    assert sorted(done) == sorted(readers.names()) == [f"Reader {n}" for n in range(6)]
    assert readers.faults() == ((), ())
    assert readers.sign_in("Reader 5", SECRET).name == "Reader 5"


def test_an_unknown_reader_is_told(readers: Readers) -> None:
    with pytest.raises(ReviewError, match="no reader 'Anna' is enrolled"):
        readers.get("Anna")

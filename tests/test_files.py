"""Small files: whole or not there at all, the same bytes every time, and read with suspicion."""

from __future__ import annotations

import gzip
import hashlib
import os
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infarct_vol.errors import HeaderError
from infarct_vol.files import (
    file_sha256,
    gzip_bytes,
    nifti_stem,
    read_sidecar,
    write_bytes,
    write_json,
    write_text,
)


def test_hash_is_that_of_the_bytes(tmp_path):
    (tmp_path / "a").write_bytes(b"voxels")
    assert file_sha256(tmp_path / "a") == hashlib.sha256(b"voxels").hexdigest()


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("a.nii.gz", "a"),
        ("a.nii", "a"),
        ("sub-01_ses-BL_dwi.nii.gz", "sub-01_ses-BL_dwi"),
        ("a.b.nii", "a.b"),
    ],
)
def test_stem_of_a_nifti_name(name, stem):
    assert nifti_stem(Path("folder") / name) == stem


@given(content=st.binary(max_size=5000))
def test_gzip_is_undone_by_gzip_and_repeats(content):
    assert gzip.decompress(gzip_bytes(content)) == content
    assert gzip_bytes(content) == gzip_bytes(content)


# ---- sidecars --------------------------------------------------------------------------------------------


def test_sidecar_of_the_same_stem(tmp_path):
    (tmp_path / "a.json").write_text('\ufeff{"DiffusionBValue": 1000}', encoding="utf-8")
    assert read_sidecar(tmp_path / "a.nii.gz") == {"DiffusionBValue": 1000}
    assert read_sidecar(tmp_path / "b.nii.gz") == {}


def test_sidecars_of_other_encodings_with_a_mark_are_read(tmp_path):
    for encoding in ("utf-8-sig", "utf-16", "utf-32"):
        (tmp_path / "a.json").write_bytes('{"DiffusionBValue": 1000, "b": "\u00e9"}'.encode(encoding))
        assert read_sidecar(tmp_path / "a.nii") == {"DiffusionBValue": 1000, "b": "\u00e9"}


def test_a_field_that_stands_twice_with_one_value_is_one(tmp_path):
    (tmp_path / "a.json").write_text('{"DiffusionBValue": 1000, "DiffusionBValue": 1000}', encoding="utf-8")
    assert read_sidecar(tmp_path / "a.nii") == {"DiffusionBValue": 1000}


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b'{"b": 1000, "b": 800}', "the field 'b' stands there twice, as 1000 and 800; leave one"),
        (b'{"b": NaN}', "NaN is no number of JSON; write the number, or leave the field out"),
        (b'{"b": -Infinity}', "-Infinity is no number of JSON"),
        (b'{"b": 1e999}', "1e999 is no number of JSON"),
        (b'{"b": "\xe9"}', "line 1 holds the byte 0xE9, which is no UTF-8 text"),
        (b"{", "not readable JSON"),
        (b"", "not readable JSON"),
        (b"\xff\xfe\x00", "not readable JSON"),
        (b"[1, 2]", "holds a list where a JSON object is expected"),
        (b"null", "holds a NoneType"),
        (b"[" * 100_000, "not readable JSON"),
        (b'{"a": ' + b"9" * 10_000 + b"}", "not readable JSON"),
    ],
)
def test_sidecars_that_are_none_are_refused(tmp_path, content, match):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(HeaderError, match=match):
        read_sidecar(tmp_path / "a.nii")


# ---- writing ---------------------------------------------------------------------------------------------


def test_folders_are_made_and_the_file_is_readable_by_others(tmp_path):
    path = tmp_path / "new" / "folder" / "table.csv"
    write_bytes(b"a,b\n", path)
    assert path.read_bytes() == b"a,b\n"
    assert path.stat().st_mode & 0o777 == 0o644


def test_text_is_utf8_with_the_line_ends_given(tmp_path):
    write_text("größe\n", tmp_path / "a.txt")
    assert (tmp_path / "a.txt").read_bytes() == b"gr\xc3\xb6\xc3\x9fe\n"


def test_json_is_sorted_and_refuses_what_json_cannot_hold(tmp_path):
    write_json({"b": 1, "a": "é"}, tmp_path / "a.json")
    assert (tmp_path / "a.json").read_text(encoding="utf-8") == '{\n  "a": "é",\n  "b": 1\n}\n'
    with pytest.raises(ValueError, match="Out of range float"):
        write_json({"volume_ml": float("nan")}, tmp_path / "b.json")
    assert not (tmp_path / "b.json").exists()


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_failure_at_any_step_keeps_the_old_file(tmp_path, monkeypatch, call):
    path = tmp_path / "a.csv"
    write_bytes(b"old", path)

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os if call == "fsync" else Path, call, fail)
    with pytest.raises(OSError, match="No space left"):
        write_bytes(b"new", path)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.csv"]  # noqa: PTH208 - Path methods are patched here


def test_an_interruption_leaves_no_debris(tmp_path, monkeypatch):
    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_bytes(b"new", tmp_path / "a.csv")
    assert list(tmp_path.iterdir()) == []


def test_no_reader_sees_half_a_file(tmp_path):
    path = tmp_path / "a.bin"
    contents = [bytes([n]) * 200_000 for n in range(40)]
    write_bytes(contents[0], path)
    writer = threading.Thread(target=lambda: [write_bytes(content, path) for content in contents])
    writer.start()
    while writer.is_alive():
        seen = path.read_bytes()
        assert len(seen) == 200_000
        assert len(set(seen)) == 1
    writer.join()
    assert path.read_bytes() == contents[-1]


def test_names_of_255_bytes_can_be_written(tmp_path):
    path = tmp_path / ("é" * 125 + ".json")  # 255 bytes
    write_text("{}", path)
    assert path.read_text() == "{}"

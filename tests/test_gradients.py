"""b-values and directions from text files: read as they are meant, or refused with the file named."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infarct_vol.errors import DamagedFileError, DiffusionError, InfarctVolError
from infarct_vol.intake.gradients import Gradients, read_gradients

AXES = "0 1 0 0\n0 0 1 0\n0 0 0 1\n"
"""No direction, then x, y and z: 3 rows, as FSL and BIDS write them."""


def read(folder: Path, bval: bytes | str, bvec: bytes | str | None = None, *, count: int) -> Gradients:
    paths = folder / "dwi.bval", folder / "dwi.bvec"
    for path, content in zip(paths, (bval, bvec), strict=True):
        if content is not None:
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
    bvec_path = None if bvec is None else paths[1]
    return read_gradients(paths[0], bvec_path, count=count, where="sub-01 ses-BL DWI")


@pytest.mark.parametrize(
    "content",
    [
        "0 1000 995.5",
        "0\n1000\n995.5\n",
        "0\t1000\t995.5\t\n\n",
        "0  1000   995.5  \r\n",
        "0\r1000\r995.5\r",
        "0.000000e+00 1.0E+3 9.955e2",
        "\ufeff0 1000 995.5",
        "0,1000,995.5",
        "0, 1000, 995.5",
        "0;1000;995.5",
        "0,0 1000,0 995,5",
        "0;1000;995,5",
        "# b-values\n0 1000 995.5 # s/mm2",
        "\n\n  0 1000 995.5\n\n",
    ],
)
def test_every_layout_of_bvalues_is_read_alike(tmp_path: Path, content: str) -> None:
    assert read(tmp_path, content, count=3).bvalues.tolist() == [0.0, 1000.0, 995.5]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_text_with_a_byte_order_mark_is_read(tmp_path: Path, encoding: str) -> None:
    assert read(tmp_path, "0 1000\n".encode(encoding), count=2).bvalues.tolist() == [0.0, 1000.0]


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ("0 1_000", "line 1 holds '1_000'; write plain numbers such as 1000"),
        ("0\nb1000", "line 2 holds 'b1000'"),
        ("bvals 0", "line 1 holds 'bvals'"),
        ("0 1000s/mm2", "holds '1000s/mm2'"),
        ("0 0x3E8", "holds '0x3E8'"),
        ("0 inf", "holds 'inf'"),
        ("0 \u0661\u0660\u0660\u0660", "write plain numbers"),
        ("[0, 1000]", "holds '[0'"),
        ("0 1,000", "whether its commas separate numbers or are decimal commas cannot be told"),
        ("", "it is empty"),
        ("\n \n", "it is empty"),
        (b"\xff\xfe0", "is no UTF-16"),
        (b"0\x001\x000\x00", "NUL byte"),
    ],
)
def test_what_is_no_table_of_numbers_is_refused(tmp_path: Path, content: bytes | str, found: str) -> None:
    with pytest.raises(DamagedFileError, match=r"sub-01 ses-BL DWI: dwi\.bval") as refusal:
        read(tmp_path, content, count=2)
    assert found in str(refusal.value)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ("0 1000 1000 1000", "holds 4 b-values for 3 volumes; a trace or ADC volume may have been dropped"),
        ("0 1000", "holds 2 b-values for 3 volumes; a trace or ADC volume may have been dropped or appended"),
        ("1000", "holds 1 b-values for 3 volumes. Write one"),
        ("0 nan 1000", "states a b-value of nan for volume 2"),
        ("0 1000 -1000", "states a b-value of -1000 for volume 3"),
        ("0 1 0\n0 0 1\n0 0 0", "are .bval and .bvec exchanged?"),
        ("0 1000\n1000 1000", "a table of 2 rows and 2 columns where one row of 3 b-values"),
    ],
)
def test_bvalues_that_do_not_fit_the_volumes_are_refused(tmp_path: Path, content: str, found: str) -> None:
    with pytest.raises(DiffusionError, match=r"^sub-01 ses-BL DWI: dwi\.bval") as refusal:
        read(tmp_path, content, count=3)
    assert found in str(refusal.value)


@pytest.mark.parametrize("upright", [True, False])
def test_three_rows_and_three_columns_of_directions_are_read_alike(tmp_path: Path, upright: bool) -> None:
    table = [line.split() for line in AXES.splitlines()]
    table = table if upright else [list(column) for column in zip(*table, strict=True)]
    content = "\r\n".join("  ".join(row) for row in table)
    vectors = read(tmp_path, "0 1000 1000 1000", content, count=4).bvectors
    assert vectors is not None
    assert vectors.tolist() == [[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]


def test_three_volumes_lie_as_their_directions_have_length_1(tmp_path: Path) -> None:
    # directions 0, (0.6, 0.8, 0), (0, 0, 1): neither way of reading is right by its shape
    wanted = [[0, 0, 0], [0.6, 0.8, 0], [0, 0, 1]]
    rows = "\n".join(" ".join(map(str, row)) for row in wanted)
    columns = "\n".join(" ".join(map(str, row)) for row in zip(*wanted, strict=True))
    for content in (rows, columns):
        vectors = read(tmp_path, "0 1000 1000", content, count=3).bvectors
        assert vectors is not None
        assert vectors.tolist() == wanted
    with pytest.raises(DiffusionError, match=r"dwi\.bvec: neither the columns nor the rows are directions"):
        read(tmp_path, "0 1000 1000", "0 .5 0\n0 0 .5\n0 .5 .5", count=3)


@pytest.mark.parametrize("word", ["nan", "NaN", "-nan", "-nan(ind)", "1.#QNAN", "-1.#IND"])
def test_a_direction_that_is_not_defined_is_none(tmp_path: Path, word: str) -> None:
    vectors = read(tmp_path, "0 1000", f"{word} 1\n{word} 0\n{word} 0", count=2).bvectors
    assert vectors is not None
    assert np.isnan(vectors[0]).all()
    assert vectors[1].tolist() == [1, 0, 0]
    with pytest.raises(DiffusionError, match=r"dwi\.bvec: the direction of volume 1 is not defined in part"):
        read(tmp_path, "0 1000", f"{word} 1\n0 0\n0 0", count=2)


@pytest.mark.parametrize("content", ["0 0 0 0\n0 0 0 0", "0 1 0\n0 0 1\n0 0 0", "0 0 0 1"])
def test_directions_that_do_not_fit_the_volumes_are_refused(tmp_path: Path, content: str) -> None:
    with pytest.raises(DiffusionError, match=r"dwi\.bvec holds a table of .*; expected 3 rows of 4 numbers"):
        read(tmp_path, "0 1000 1000 1000", content, count=4)


def test_lines_of_other_lengths_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DamagedFileError, match=r"dwi\.bvec is not a table .* its lines hold 2, 2, 1 numbers"):
        read(tmp_path, "0 1000", "0 1\n0 0\n0", count=2)


def test_a_table_of_mrtrix_gives_both(tmp_path: Path) -> None:
    content = "# command_history: x\n0 0 0 0\n1 0 0 1000\n0,1,0,1000\n"
    bvalues, vectors = read(tmp_path, content.replace(",", " "), count=3)
    assert bvalues.tolist() == [0, 1000, 1000]
    assert vectors is not None
    assert vectors.tolist() == [[0, 0, 0], [1, 0, 0], [0, 1, 0]]


def test_a_file_that_is_gone_or_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DamagedFileError, match=r"none\.bval cannot be read"):
        read_gradients(tmp_path / "none.bval", None, count=1)
    with pytest.raises(DamagedFileError, match="cannot be read"):
        read_gradients(tmp_path, None, count=1)


SCRAPS = st.sampled_from(
    [*"0,; .-_#x\n\r\t", "1000", "nan", "1e3", "1e999", "\ufeff", "1.#"],
)


@given(
    bval=st.binary(max_size=40) | st.lists(SCRAPS, max_size=12).map(lambda parts: "".join(parts).encode()),
    bvec=st.binary(max_size=40) | st.lists(SCRAPS, max_size=16).map(lambda parts: "".join(parts).encode()),
    count=st.integers(1, 4),
)
def test_any_bytes_are_read_or_refused(tmp_path: Path, bval: bytes, bvec: bytes, count: int) -> None:
    try:
        bvalues, vectors = read(tmp_path, bval, bvec, count=count)
    except InfarctVolError as refusal:
        assert re.search(r"dwi\.bv(al|ec)", str(refusal))  # noqa: PT017 - one of two ends
    else:
        assert bvalues.shape == (count,)
        assert np.isfinite(bvalues).all()
        assert vectors is not None
        assert vectors.shape == (count, 3)


@given(
    bvalues=st.lists(st.floats(0, 5000).map(lambda b: round(b, 3)), min_size=1, max_size=8),
    separator=st.sampled_from([" ", "\t", "\n", "\r\n", ";", ", ", "  "]),
    decimal=st.sampled_from([".", ","]),
)
def test_what_is_written_is_read(tmp_path: Path, bvalues: list[float], separator: str, decimal: str) -> None:
    # more than three digits before the comma, or other than three after it: no thousands mark
    words = [f"{b:.2f}".replace(".", decimal) for b in bvalues]
    found = read(tmp_path, separator.join(words), count=len(bvalues)).bvalues
    assert found.tolist() == [round(b, 2) for b in bvalues]

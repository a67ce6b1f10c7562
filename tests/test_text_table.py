"""One strict reader of text tables: no row vanishes, no value is taken for another."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infarct_vol.errors import StudyError
from infarct_vol.files import TextTable, is_missing, read_text_table

HEAD = "participant_id\tage\tnotes\n"
ROWS = "sub-001\t79\tn/a\nsub-002\t70\tn/a\n"


def read(tmp_path: Path, content: str | bytes, name: str = "participants.tsv") -> TextTable:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_text_table(
        path, needed=("participant_id",), known=("age", "site"), keys=("participant_id",), what="list"
    )


def ids(table: TextTable) -> list[str]:
    return [row.cells["participant_id"] for row in table.rows]


# ---- what has one meaning is read as meant ---------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        (HEAD + ROWS).encode("utf-8-sig"),
        (HEAD + ROWS).encode("utf-16"),
        (HEAD + ROWS).encode("utf-32"),
        (HEAD + ROWS).replace("\n", "\r\n").encode(),
        (HEAD + ROWS).replace("\n", "\r").encode(),
        (HEAD + ROWS).replace("\n", "\r", 1).encode(),
        (HEAD + ROWS).replace("\n", "\r\r\n").encode(),
        (HEAD + ROWS).rstrip("\n").encode(),
        (HEAD + ROWS).replace("\t", ",").encode(),
        (HEAD + ROWS).replace("\t", ";").encode(),
        (HEAD + ROWS).replace("\t", " \t ").encode(),
        ("\n\t\t\n" + HEAD + "\n" + ROWS + "\t\t\n\n").encode(),
        ("sep=;\n" + HEAD + ROWS).replace("\t", ";").encode(),
        ("sep=,\r\n" + HEAD + ROWS).replace("\t", ",").encode(),
        (HEAD + ROWS).replace("n/a", '"n/a"').replace("age", '"age"').encode(),
    ],
    ids=[
        *("utf-8 mark", "utf-16", "utf-32", "crlf", "cr", "mixed", "crcrlf", "no end", "comma", "semicolon"),
        *("blanks", "empty lines", "sep semicolon", "sep comma", "quotes of R"),
    ],
)
def test_usual_forms_of_a_table_give_the_same_rows(tmp_path: Path, content: bytes) -> None:
    table = read(tmp_path, content)
    assert table.columns == ("participant_id", "age", "notes")
    assert [dict(row.cells) for row in table.rows] == [
        {"participant_id": "sub-001", "age": "79", "notes": "n/a"},
        {"participant_id": "sub-002", "age": "70", "notes": "n/a"},
    ]
    assert table.rows[0].filled() == {"participant_id": "sub-001", "age": "79"}


def test_empty_lines_and_columns_of_excel_are_passed_over_and_counted(tmp_path: Path) -> None:
    table = read(tmp_path, "participant_id,age,,\nsub-001,79,,\n,,,\nsub-002,70\n,,,\n", "list.csv")
    assert (table.columns, ids(table), table.empty_lines) == (
        ("participant_id", "age"),
        ["sub-001", "sub-002"],
        2,
    )
    assert [row.line for row in table.rows] == [2, 4]


@pytest.mark.parametrize("mark", ["\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029"])
def test_what_ends_no_line_stays_in_its_field(tmp_path: Path, mark: str) -> None:
    # str.splitlines breaks a line at each of these
    table = read(tmp_path, f"{HEAD}sub-001\t79\tseen{mark}late\nsub-002\t70\tn/a\n")
    assert ids(table) == ["sub-001", "sub-002"]
    assert table.rows[0].cells["notes"] == f"seen{mark}late"


def test_a_quote_inside_a_field_of_a_tsv_is_text(tmp_path: Path) -> None:
    table = read(tmp_path, HEAD + "sub-001\t79\t5'10\" tall\nsub-002\t70\tn/a\n")
    assert table.rows[0].cells["notes"] == "5'10\" tall"
    assert ids(table) == ["sub-001", "sub-002"]


@pytest.mark.parametrize(
    "word", ["", "n/a", "N/A", "NA", "NaN", "nan", ".", "null", "None", "#N/A", " na ", "-"]
)
def test_words_for_a_missing_value(word: str) -> None:
    assert is_missing(word)


@pytest.mark.parametrize("word", ["0", "no", "Nan-1", "x", "unknown", "n"])
def test_words_that_are_values(word: str) -> None:
    assert not is_missing(word)


def test_a_name_in_quotes_may_hold_the_mark_of_another_delimiter(tmp_path: Path) -> None:
    table = read(tmp_path, '"participant_id"\t"at home, alone"\nsub-001\t"no, with ""others"""\n')
    assert table.columns == ("participant_id", "at home, alone")
    assert table.rows[0].cells["at home, alone"] == 'no, with "others"'


# ---- whatever else is found is refused with file and line --------------------------------------------------


@pytest.mark.parametrize(
    ("content", "name", "match"),
    [
        (
            HEAD + 'sub-001\t79\t"seen late\nsub-002\t70\tn/a\n',
            "p.tsv",
            r"p.tsv line 2: a quote opens in .* 'notes'",
        ),
        (HEAD + 'sub-001\t"79\tx\nsub-002\t70\tn/a\n', "p.tsv", "line 2: a quote opens in the field 'age'"),
        (HEAD + 'sub-001\t79\t"seen\nlate"\n', "p.tsv", "line 2: a quote opens in the field 'notes'"),
        (
            'participant_id,age\n"sub-001,79\nsub-002,70\n',
            "p.csv",
            "line 2: a quote opens in .*'participant_id'",
        ),
        ('participant_id,age\nsub-001,"79"x\n', "p.csv", "line 2: a quote opens in the field 'age'"),
        ('participant_id,"age\nsub-001,79\n', "p.csv", "line 1, the header, has a quote that is not closed"),
        (HEAD + "sub-001\t79\n", "p.tsv", "line 2: the line has fewer fields than its header, 2 where 3"),
        (
            HEAD + "sub-001\t79\tx\ty\n",
            "p.tsv",
            "line 2: the line has more fields than its header, 4 where 3",
        ),
        (
            "participant_id,age,site\nsub-001,79,5,north\n",
            "p.csv",
            "more fields .* a decimal comma or a line",
        ),
        (
            "participant_id,age,\nsub-001,79,north\n",
            "p.csv",
            "line 2: 'north' stands in a column without a name",
        ),
        ("participant_id,age,age\nsub-001,1,2\n", "p.csv", "line 1 has a column twice: age"),
        ("Participant_ID,age\nsub-001,1\n", "p.csv", "a column 'Participant_ID', expected 'participant_id'"),
        (
            "participant id\tage\nsub-001\t1\n",
            "p.tsv",
            "a column 'participant id', expected 'participant_id'",
        ),
        ("participant_id,Age\nsub-001,1\n", "p.csv", "a column 'Age', expected 'age'"),
        ("name,age\nsub-001,1\n", "p.csv", "expected the columns participant_id, got name, age"),
        (
            "participant_id\tage;site\nsub-001\t1;x\n",
            "p.tsv",
            "set apart by a tab, and the column 'age;site'",
        ),
        ("participant_id|age\nsub-001|1\n", "p.csv", r"the column 'participant_id\|age' holds another mark"),
        ("sep=|\nparticipant_id|age\n", "p.csv", r"line 1 states the delimiter '\|'"),
        (HEAD + "NA\t79\tx\n", "p.tsv", "line 2: participant_id must be filled, found 'NA', which means"),
        (HEAD + "\t79\tx\n", "p.tsv", "line 2: participant_id must be filled, found nothing"),
        (HEAD + ROWS + HEAD, "p.tsv", "line 4: the header stands here again; remove the line"),
        (HEAD + "sub-001\t#REF!\tx\n", "p.tsv", "line 2: age is #REF!, an error of a formula in Excel"),
        ("", "p.tsv", "expected the columns participant_id, got an empty file"),
        ("\n\n", "p.tsv", "got an empty file"),
        (
            b"participant_id\tsite\nsub-001\tPiti\xe9\n",
            "p.tsv",
            "line 2 holds the byte 0xE9, which is no UTF-8",
        ),
        (HEAD.encode() + b"sub-001\t7\x009\tx\n", "p.tsv", "line 2 holds a NUL byte"),
        ((HEAD + ROWS).encode("utf-16-le"), "p.tsv", "line 1 holds a NUL byte, as UTF-16 without"),
        (b"PK\x03\x04 and more", "p.csv", "it is a zip file, as Excel .* save the sheet as CSV"),
        (b"version https://git-lfs.github.com/spec/v1\n", "p.tsv", "a pointer of Git LFS"),
    ],
)
def test_a_file_that_may_mean_something_else_is_refused(
    tmp_path: Path, content: str | bytes, name: str, match: str
) -> None:
    with pytest.raises(StudyError, match=match):
        read(tmp_path, content, name)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="no list at .*absent.csv"):
        read_text_table(tmp_path / "absent.csv", needed=("a",), what="list")


# ---- what always holds -------------------------------------------------------------------------------------

texts = st.text(
    st.characters(exclude_categories=("Cs", "Cc"), include_characters='\t",; \u2028\x0b'), max_size=12
).map(str.strip)
tables = st.lists(st.tuples(texts, texts), min_size=1, max_size=6)


@settings(max_examples=150, deadline=None)
@given(rows=tables, delimiter=st.sampled_from("\t,;"), end=st.sampled_from(["\n", "\r\n", "\r"]))
def test_a_table_written_with_proper_quotes_reads_back_equal(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]], delimiter: str, end: str
) -> None:
    written = [[f"sub-{n:03d}", *row] for n, row in enumerate(rows)]
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, delimiter=delimiter, lineterminator=end, quoting=csv.QUOTE_ALL)
    writer.writerows([["participant_id", "one", "two"], *written])
    path = tmp_path_factory.getbasetemp() / "round_trip.tsv"
    path.write_bytes(buffer.getvalue().encode())
    table = read_text_table(path, needed=("participant_id",), keys=("participant_id",))
    assert [list(row.cells.values()) for row in table.rows] == [
        [text.strip() for text in row] for row in written
    ]
    assert table.empty_lines == 0


@settings(max_examples=300, deadline=None)
@given(
    rows=st.lists(st.sampled_from(["a", '"b"', '"c, d"', "", "79", 'x ""']), min_size=2, max_size=8),
    delimiter=st.sampled_from("\t,;"),
    damage=st.lists(
        st.tuples(st.integers(0, 400), st.sampled_from(['"', "\t", "\n", ",", "\r", ""])),
        min_size=1,
        max_size=3,
    ),
)
def test_damage_never_costs_a_participant_without_a_word(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[str],
    delimiter: str,
    damage: list[tuple[int, str]],
) -> None:
    names = [f"sub-{n:03d}" for n in range(len(rows))]
    lines = [f"{name}{delimiter}{text}{delimiter}end" for name, text in zip(names, rows, strict=True)]
    head = f"participant_id{delimiter}one{delimiter}two\n"
    text = "\n".join(lines) + "\n"
    for at, mark in damage:
        place = at % len(text)
        # an empty mark removes a quote, a delimiter or a line end that stands there
        removed = not mark and text[place] in f'"{delimiter}\n'
        text = text[:place] + mark + text[place + removed :]
    path = tmp_path_factory.getbasetemp() / "damaged.tsv"
    path.write_bytes((head + text).encode())
    try:
        table = read_text_table(path, needed=("participant_id",), keys=("participant_id",))
    except StudyError:
        return
    found = "\n".join(row.cells["participant_id"] for row in table.rows)
    broken = [name for name in names if name not in text]
    assert len(table.rows) >= len(names) - len(broken)
    assert [name for name in names if name not in found] == broken
    plain = text.replace("\r\n", "\n").replace("\r", "\n")
    lines_in = len(plain.removesuffix("\n").split("\n"))
    assert len(table.rows) + table.empty_lines == lines_in

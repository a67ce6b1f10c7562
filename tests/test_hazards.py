"""docs/hazards.md: every kind of input and fault has an answer, and a test of that name shows it."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
PAGE = REPOSITORY / "docs" / "hazards.md"
_ROW = re.compile(r"^\| (?P<kind>[^|]+) \| (?P<answer>[^|]+) \| `(?P<test>[^|`]+)` \|$")
SECTIONS = (
    *("Text files", "Dates and times", "Study folders", "Files and headers", "Images", "Diffusion"),
    *("Pairs of images", "Masks", "Tables", "Faults", "Review page"),
)


def lines() -> list[str]:
    return [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]


def rows() -> list[re.Match[str]]:
    matches = (_ROW.match(line) for line in lines())
    return [match for match in matches if match]


@cache
def names_in(name: str) -> frozenset[str]:
    tree = ast.parse((REPOSITORY / name).read_text(encoding="utf-8"))
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


@pytest.mark.parametrize("row", rows(), ids=lambda row: row["kind"][:60])
def test_the_test_that_is_named_exists(row: re.Match[str]) -> None:
    name, _, function = row["test"].partition("::")
    assert function.startswith("test_")
    assert function in names_in(name), f"{row['kind']}: no {row['test']}"


def test_every_line_of_the_tables_is_a_row() -> None:
    heads = [line for line in lines() if line.startswith("| input or fault |")]
    assert len(rows()) + len(heads) == len(lines())
    assert len(rows()) >= 150


def test_every_section_is_there_and_no_kind_stands_twice() -> None:
    titles = re.findall(r"^## (.+)$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert tuple(titles) == SECTIONS
    kinds = [row["kind"] for row in rows()]
    assert len(set(kinds)) == len(kinds)

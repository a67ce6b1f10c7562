"""The habits of the house that no linter knows: size, places, what a module may say."""

from __future__ import annotations

import ast
import json
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MODULES = sorted(p for folder in ("src", "cli", "sample_data") for p in (ROOT / folder).rglob("*.py"))
MAX_MODULE_LINES = 420
MAX_FUNCTION_LINES = 45


def code_lines(function: ast.FunctionDef | ast.AsyncFunctionDef, source: list[str]) -> int:
    """Count lines of a function without its docstring, comments and blank lines."""
    body = function.body[1:] if ast.get_docstring(function) else function.body
    if not body:
        return 0
    lines = source[body[0].lineno - 1 : function.end_lineno]
    return sum(1 for line in lines if line.strip() and not line.lstrip().startswith("#"))


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_module_is_read_in_one_sitting(path):
    source = path.read_text(encoding="utf-8").splitlines()
    assert len(source) <= MAX_MODULE_LINES
    functions = [
        node
        for node in ast.walk(ast.parse("\n".join(source)))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    ]
    long = {f.name: n for f in functions if (n := code_lines(f, source)) > MAX_FUNCTION_LINES}
    assert not long


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_module_says_what_it_is_for(path):
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))


def test_one_place_turns_mm3_into_ml():
    found = [
        str(p.relative_to(ROOT))
        for p in MODULES
        if re.search(r"(mm3|voxel_volume\w*)\s*(/|\*)\s*(1000|1e-?3|0\.001)", p.read_text(encoding="utf-8"))
    ]
    assert not found


def test_nothing_is_loaded_from_the_network():
    assets = [p for p in (ROOT / "src").rglob("*") if p.suffix in {".html", ".css", ".js", ".jinja", ".j2"}]
    for path in assets:
        # the name of the SVG namespace is no address that is fetched
        text = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert not re.search(
            r"(src|href)\s*=\s*[\"']?(https?:)?//|@import|url\(\s*[\"']?(https?:)?//", text
        ), path


def test_constraints_name_versions_and_no_places():
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    assert all(re.fullmatch(r"[a-z0-9.-]+==[A-Za-z0-9.+!]+( ; .+)?", line) for line in pins)
    pinned = {line.split("==")[0] for line in pins}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    asked = [*project["dependencies"], *(name for group in extras.values() for name in group)]
    names = {re.split(r"[\[<>=]", name)[0].lower() for name in asked} - {"infarct-vol"}
    assert names <= pinned


def test_every_package_is_in_the_wheel():
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    places = setuptools["package-dir"]
    found = {
        ".".join([name, *init.parent.relative_to(ROOT / place).parts])
        for name, place in places.items()
        for init in (ROOT / place).rglob("__init__.py")
    }
    assert set(setuptools["packages"]) == found


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda p: p.name)
def test_notebooks_are_kept_without_their_output(path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    assert not any(cell.get("outputs") for cell in cells)

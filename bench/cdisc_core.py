"""Run downloaded CDISC rules over the ADaM datasets with the CDISC rules engine, offline.

    python3.12 -m venv core_env
    core_env/bin/pip install cdisc-rules-engine==0.17.1
    python bench/cdisc_core.py out/tables/adam --rules rules --python core_env/bin/python

The engine takes Python 3.12 alone and some fifty packages, so it stands in an environment of its own; this
command starts itself again there. RULES_DIR holds rules as YAML or JSON files; none comes with the project.
A rule is *run* on a dataset that it was truly tested on, *skipped* with a reason, or an *error*. Where the
folder has Dataset-JSON or a define.xml, the schemas that the engine and odmlib bring are held against them.
Every connection is refused, so that no answer can come from a server.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import importlib.util
import io
import json
import os
import re
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

STANDARD, VERSION = "adamig", "1-3"
OFFLINE = "no connection: rules run offline"
RUN, SKIPPED, ERROR = "run", "skipped", "error"
LIBRARY = "needs the CDISC Library"
TERMINOLOGY = "needs controlled terminology"
NO_DEFINE = "needs a define.xml"
NO_NAME = "names no variable"
NO_COLUMN = "the dataset lacks a variable of the rule"
PACKAGES = ("cdisc-rules-engine", "odmlib", "pandas")

Rule = dict[str, Any]
Outcome = dict[str, Any]  # rule, message, dataset, status, findings, reason, shown


# --- in the environment of the project ---------------------------------------------------------------------


def main() -> int:
    """Run the rules and print what came of them; 0 unless they could not be run at all."""
    arguments = _arguments()
    if arguments.worker:
        return _work(arguments)
    command = [str(arguments.python), str(Path(__file__).resolve()), "--worker", *sys.argv[1:]]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        sys.stderr.write(f"{arguments.python} cannot be started: {error}; give the engine's Python\n")
        return 2
    if done.returncode:
        sys.stderr.write(done.stderr)
        return done.returncode
    print("\n".join(_lines(json.loads(done.stdout))))
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument(
        "adam_dir", type=Path, help="folder of the datasets, and of define.xml if there is one"
    )
    parser.add_argument("--rules", type=Path, required=True, help="folder of rule files (YAML or JSON)")
    parser.add_argument("--python", type=Path, required=True, help="Python of the engine's environment")
    parser.add_argument("--format", choices=("xpt", "json"), default="xpt", help="datasets to read")
    parser.add_argument("--findings", type=int, default=3, help="findings shown of each rule and dataset")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def _lines(report: dict[str, Any]) -> Iterator[str]:
    yield ", ".join(f"{name} {version}" for name, version in report["versions"].items())
    yield from (f"{what}: {said}" for what, said in report["schemas"])
    yield from (f"{name}: {structure.lower()}" for name, structure in report["datasets"].items())
    yield f"\n{'rule':<21}{'dataset':<10}{'status':<9}{'findings':>8}  what it checks"
    for outcome in report["outcomes"]:
        found = str(outcome["findings"]) if outcome["status"] == RUN else ""
        said = outcome["message"] + (f" [{outcome['reason']}]" if outcome["reason"] else "")
        yield f"{outcome['rule']:<21}{outcome['dataset']:<10}{outcome['status']:<9}{found:>8}  {said}"
        yield from (f"{'':<50}{shown}" for shown in outcome["shown"])
    yield f"\n{_summary(report['outcomes'])}"


def _summary(outcomes: list[Outcome]) -> str:
    by_rule: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        by_rule.setdefault(outcome["rule"], []).append(outcome)
    ends, why = Counter[str](), Counter[str]()
    for each in by_rule.values():
        states = {outcome["status"] for outcome in each}
        ends[next(state for state in (RUN, ERROR, SKIPPED) if state in states)] += 1
        if states == {SKIPPED}:  # of several reasons, the one that is not about scope
            why[min((outcome["reason"] for outcome in each), key=_about_scope)] += 1
    reasons = "; ".join(f"{count} {reason}" for reason, count in sorted(why.items()))
    return (
        f"{len(by_rule)} rules: {ends[RUN]} run on a dataset at least, {ends[SKIPPED]} skipped on all"
        f"{f' ({reasons})' if reasons else ''}, {ends[ERROR]} in error; "
        f"{sum(outcome['findings'] for outcome in outcomes)} findings"
    )


def _about_scope(reason: str) -> tuple[bool, str]:
    return reason.startswith("for another"), reason


# --- in the environment of the engine ----------------------------------------------------------------------


def _work(arguments: argparse.Namespace) -> int:
    folder = arguments.adam_dir.resolve()
    files = sorted(folder.glob(f"*.{arguments.format}"))
    rules = sorted(p for p in arguments.rules.resolve().rglob("*") if p.suffix in {".yml", ".yaml", ".json"})
    engine = importlib.util.find_spec("cdisc_rules_engine")
    if not files or not rules or engine is None or engine.origin is None:
        sys.stderr.write(
            f"{folder} has {len(files)} .{arguments.format} datasets and {arguments.rules} {len(rules)} rule "
            f"files: expected some of both, and cdisc-rules-engine in {sys.executable}\n"
        )
        return 2
    os.chdir(Path(engine.origin).parents[1])  # the engine opens resources/schema/... where it stands
    with contextlib.redirect_stdout(io.StringIO()):  # it prints
        report = _report(files, rules, folder / "define.xml", shown=arguments.findings)
    json.dump(report, sys.stdout)
    return 0


def _report(files: list[Path], rules: list[Path], define: Path, *, shown: int) -> dict[str, Any]:
    _refuse_connections()
    engine = _engine(files, define)
    datasets = engine.data_service.get_datasets()
    _mend(engine, datasets)
    outcomes: list[Outcome] = []
    for path in rules:
        rule = _load_rule(path)
        head = {"rule": path.stem, "message": ""}
        if not isinstance(rule, str):
            head = {
                "rule": rule["Core"].get("Id") or path.stem,
                "message": rule["Outcome"].get("Message") or "",
            }
        for name, outcome in _tested(engine, rule, datasets, has_define=define.is_file()):
            outcomes.append({**head, "dataset": name, **outcome, "shown": outcome["shown"][:shown]})
    return {
        "versions": {name: importlib.metadata.version(name) for name in PACKAGES},
        "schemas": list(_schema_checks(define)),
        "datasets": {each.name: engine.data_service.get_data_structure(each) for each in datasets},
        "outcomes": outcomes,
    }


def _refuse_connections() -> None:
    def refused(*_: object, **__: object) -> None:
        raise OSError(OFFLINE)

    vars(socket)["socket"].connect = refused


def _engine(files: list[Path], define: Path) -> Any:
    from cdisc_rules_engine.models.library_metadata_container import LibraryMetadataContainer
    from cdisc_rules_engine.rules_engine import RulesEngine
    from cdisc_rules_engine.services import logger

    logger.disabled = True
    return RulesEngine(
        standard=STANDARD,
        standard_version=VERSION,
        library_metadata=LibraryMetadataContainer(standard_metadata={"name": STANDARD, "classes": []}),
        dataset_paths=[str(path) for path in files],
        define_xml_path=str(define) if define.is_file() else None,
    )


def _mend(engine: Any, datasets: list[Any]) -> None:
    """Mend two things of 0.17.1 that keep it from ADaM, whose datasets have no domain.

    It tells the structure of a dataset by ``data`` of its metadata, which nothing puts there: rules for a
    structure end in error. And it takes the first dataset of define.xml for any without a domain.
    """
    from cdisc_rules_engine.services.define_xml.base_define_xml_reader import BaseDefineXMLReader

    for each in datasets:
        each.data = engine.data_service.get_dataset(dataset_name=each.name)
    looked_up = BaseDefineXMLReader._get_domain_metadata

    def by_name(reader: Any, metadata: Any, domain_name: str | None = None, name: str | None = None) -> Any:
        named = [] if domain_name else [group for group in metadata.ItemGroupDef if group.Name == name]
        return named[0] if named else looked_up(reader, metadata, domain_name, name)

    BaseDefineXMLReader._get_domain_metadata = by_name


def _load_rule(path: Path) -> Rule | str:
    """Return the rule, or why the file holds none."""
    import yaml

    try:
        rule = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        return f"is no YAML: {str(error).splitlines()[0]}"
    missing = {"Core", "Check", "Outcome"} - set(rule if isinstance(rule, dict) else ())
    return f"is no rule: lacks {', '.join(sorted(missing))}" if missing else rule


def _tested(
    engine: Any, rule: Rule | str, datasets: list[Any], *, has_define: bool
) -> Iterator[tuple[str, Outcome]]:
    from cdisc_rules_engine.models.rule import Rule as EngineRule

    outcome = _ended(ERROR, rule) if isinstance(rule, str) else None
    results: dict[str, list[dict[str, Any]]] = {}
    names = {each.name for each in datasets}
    if outcome is None and (reason := _out_of_reach(rule, names, has_define=has_define)):
        outcome = _ended(SKIPPED, reason)
    if outcome is None:
        try:
            results = engine.validate_single_rule(EngineRule.from_cdisc_metadata(rule))
        except Exception as error:  # noqa: BLE001 - whatever the engine makes of a rule is what is reported
            outcome = _ended(ERROR, f"{type(error).__name__}: {error}")
    for each in datasets:
        found = results.get(each.name) or results.get(each.unsplit_name) or results.get("study")
        yield each.name, outcome or (_read_results(found) if found else _ended(SKIPPED, "not looked at"))


def _out_of_reach(rule: Rule | str, names: set[str], *, has_define: bool) -> str:
    if isinstance(rule, str):
        return ""
    joined = [
        str(each.get("Name")) for each in rule.get("Match Datasets") or rule.get("Match_Datasets") or ()
    ]
    absent = [name for name in joined if name not in names and re.fullmatch("[A-Z]{2,8}", name)]
    if absent:  # the engine would join nothing and find nothing
        return f"needs dataset {absent[0]}"
    kind = rule.get("Rule Type") or rule.get("Rule_Type") or ""
    operations = " ".join(str(step.get("operator")) for step in rule.get("Operations") or ())
    if not all(leaf.get("name") or leaf.get("variables") for leaf in _leaves(rule["Check"])):
        return NO_NAME
    if "Library" in kind or "library" in operations:
        return LIBRARY
    if "codelist" in operations:
        return TERMINOLOGY
    return NO_DEFINE if "Define" in kind and not has_define else ""


def _leaves(check: Any) -> Iterator[dict[str, Any]]:
    if isinstance(check, list):
        for item in check:
            yield from _leaves(item)
    elif isinstance(check, dict):
        groups = [check[key] for key in ("all", "any", "not") if key in check]
        yield from _leaves(groups) if groups else [check]


def _read_results(results: list[dict[str, Any]]) -> Outcome:
    findings: list[str] = []
    for result in results:
        status, errors = result["executionStatus"], result.get("errors") or []
        first = errors[0] if errors else {}
        said = " ".join(
            f"{first.get('error') or ''}: {first.get('message') or result.get('message')}".split()
        )
        if status == "execution error":
            return _ended(SKIPPED, LIBRARY) if OFFLINE in said else _ended(ERROR, said)
        if status == "skipped":
            return _ended(SKIPPED, _in_short(said))
        findings += [_finding(error) for error in errors]
    return {"status": RUN, "findings": len(findings), "reason": "", "shown": findings}


def _in_short(said: str) -> str:
    """Return the engine's reason to skip without the names of rule and dataset, so that reasons add up."""
    if scope := re.search(r"doesn't apply to (.+?) for rule", said):
        return f"for another {scope[1]}"
    if domain := re.search(r"Domain (\w+) does not exist", said):
        return f"needs dataset {domain[1]}"
    return NO_COLUMN if "Column not found" in said else said


def _finding(error: dict[str, Any]) -> str:
    values = ", ".join(f"{key}={value}" for key, value in sorted((error.get("value") or {}).items()))
    return f"row {error['row']}: {values}" if error.get("row") is not None else values


def _ended(status: str, reason: str) -> Outcome:
    return {"status": status, "findings": 0, "reason": reason, "shown": []}


def _schema_checks(define: Path) -> Iterator[tuple[str, str]]:
    """Hold the schemas that come with the packages against Dataset-JSON 1.1 and Define-XML 2.1."""
    import jsonschema
    import odmlib.schema_manager
    import xmlschema

    model = json.loads(Path("resources/schema/dataset.schema.json").read_text(encoding="utf-8"))
    checker = jsonschema.Draft201909Validator(model)
    for path in sorted(define.parent.glob("*.json")):
        faults = [e.message for e in checker.iter_errors(json.loads(path.read_text(encoding="utf-8")))]
        yield f"{path.name}, schema of Dataset-JSON 1.1", "; ".join(faults) or "valid"
    if define.is_file():
        schema = xmlschema.XMLSchema(odmlib.schema_manager.get_schema_path("define", "2.1"))
        reasons = [str(error.reason) for error in schema.iter_errors(str(define))]
        yield "define.xml, schema of Define-XML 2.1", "; ".join(reasons) or "valid"


if __name__ == "__main__":
    sys.exit(main())

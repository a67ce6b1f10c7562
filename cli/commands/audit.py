"""``infarct-vol audit``: hold a study against its audit trail."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from infarct_vol.errors import AuditError, UsageError
from infarct_vol_cli.shell import Shell

if TYPE_CHECKING:
    from infarct_vol.audit import Entry
    from infarct_vol.review.verification import AuditReport

_SHOWN = 80


def run(
    shell: Shell,
    out: Annotated[Path, typer.Argument(help="Output folder of a run.")],
    head: Annotated[
        str, typer.Option(help="Head kept elsewhere, a file or a SHA-256, that must be in the trail.")
    ] = "",
    seal: Annotated[
        Path | None, typer.Option(help="Write the head to this file, to be kept elsewhere.")
    ] = None,
    as_list: Annotated[bool, typer.Option("--list", help="Print every entry.")] = False,
    csv: Annotated[Path | None, typer.Option(help="Write every entry, complete, to this CSV file.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON on stdout.")] = False,
) -> int:
    """Verify the audit trail and the hash of every record, mask and table; name what was altered.

    Exit code 3 says that something is not what it was.

    Example: `infarct-vol audit results --seal /elsewhere/head.json`

    Example: `infarct-vol audit results --head /elsewhere/head.json`
    """
    # loaded here to keep --help quick
    from infarct_vol.review.verification import audit_study, read_head
    from infarct_vol.tables.trail import write_trail

    report = audit_study(out, head=read_head(head) if head else None)
    entries = _entries(shell, out, report) if as_list or csv is not None else ()
    if as_json:
        listed = {"list": [asdict(entry) for entry in entries]} if as_list else {}
        shell.json({**_facts(report), "faults": report.faults, "notes": report.notes, **listed})
    else:
        if as_list:
            columns = ("number", "UTC", "who", "action", "subject", "reason", "old", "new")
            shell.table("Entries", columns, map(_row, entries))
        _print(shell, report)
    if csv is not None:
        shell.say(f"{write_trail(entries, csv)} entries: {csv}")
    if report.faults:
        count = "1 fault was" if len(report.faults) == 1 else f"{len(report.faults)} faults were"
        shell.say(f"{count} found", level="error")
        return AuditError.exit_code
    if seal is not None:
        _seal(shell, report, seal, out=out)
    return 0


def _facts(report: AuditReport) -> dict[str, object]:
    return {
        "entries": report.entries,
        "head_sequence": report.head.sequence,
        "head_sha256": report.head.sha256,
        "files": report.files,
    }


def _print(shell: Shell, report: AuditReport) -> None:
    from infarct_vol.tables.csvtext import one_line

    facts = {**_facts(report), "faults": len(report.faults), "notes": len(report.notes)}
    shell.table(
        "Audit", ("what", "value"), ((name.replace("_", " "), value) for name, value in facts.items())
    )
    for title, lines in (("Faults", report.faults), ("Notes", report.notes)):
        if lines:
            shell.table(title, (title[:-1].lower(),), ([one_line(line)] for line in lines))


def _entries(shell: Shell, out: Path, report: AuditReport) -> tuple[Entry, ...]:
    """Return every entry; those of a trail that is damaged are not listed, its faults are."""
    from infarct_vol.audit import AuditTrail

    try:
        return AuditTrail(out).entries()
    except UsageError as error:
        if not report.faults:
            raise
        shell.say(str(error), level="error")
        return ()


def _row(entry: Entry) -> list[object]:
    texts = (entry.utc, entry.who, entry.action, entry.subject, entry.reason, entry.old, entry.new)
    return [entry.sequence, *map(_short, texts)]


def _short(text: str) -> str:
    from infarct_vol.tables.csvtext import one_line

    line = one_line(text)
    return line if len(line) <= _SHOWN else line[:_SHOWN] + "..."


def _seal(shell: Shell, report: AuditReport, path: Path, *, out: Path) -> None:
    from infarct_vol.review.verification import seal_head

    seal_head(report, path)
    shell.say(f"Sealed entry {report.head.sequence}, SHA-256 {report.head.sha256}: {path}")
    if path.resolve().is_relative_to(out.resolve()):
        shell.say("the seal lies in the folder it seals: who can change one can change both", level="warning")

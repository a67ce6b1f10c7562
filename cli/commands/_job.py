"""The main job with its progress and its closing summary; shared by ``demo`` and ``run``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import infarct_vol as iv
from infarct_vol_cli.shell import Shell

if TYPE_CHECKING:
    from infarct_vol.trial import RunSummary

Jobs = Annotated[
    int, typer.Option("--jobs", "-j", min=1, help="Worker processes; results do not depend on it.")
]
ProtocolFile = Annotated[Path | None, typer.Option("--protocol", "-p", help="Imaging charter (TOML).")]
VisitMap = Annotated[
    list[str] | None,
    typer.Option("--visit", help="Which visit a session is, such as ses-01=baseline; may be repeated."),
]
_WORDS = {"done": "measured", "kept": "unchanged, kept", "failed": "FAILED"}
_SHOWN = 10
"""Files that were not used are told one by one up to this many; all of them are in a file."""


def run_with_progress(shell: Shell, study_path: Path, out: Path, **options: Any) -> RunSummary:
    """Run a study, show progress, and close with what was measured, flagged, refused and missing."""
    given = options.pop("protocol", None)
    protocol = given if isinstance(given, iv.Protocol) else iv.load_protocol(given)
    study = iv.open_study(study_path, images=protocol.images)
    labels = options.get("participant_labels") or ()
    chosen = study.select(labels) if labels else study
    with shell.progress("Participants", len(chosen.participants)) as advance:
        summary = iv.run_study(
            study,
            out,
            protocol=protocol,
            on_progress=lambda participant, state, visits: advance(_became(participant, state, visits), 1),
            on_note=lambda note: shell.say(note, level="warning"),
            **options,
        )
    close(shell, summary)
    return summary


def _became(participant: str, state: str, measured: int) -> str:
    if measured or state == "failed":
        return f"{participant}: {_WORDS[state]}"
    return f"{participant}: nothing measured" + (", unchanged" if state == "kept" else "")


def close(shell: Shell, summary: RunSummary) -> None:
    """Say what the run did, what was refused and why, and what to look at."""
    for change in summary.changed_inputs:
        shell.say(f"changed: {change}", level="warning")
    for participant, visit, status, reason in summary.problems:
        shell.say(
            f"{status}: {participant} {visit}: {reason}",
            level="warning",
            participant=participant,
            visit=visit,
        )
    for name in summary.unused_masks:
        shell.say(
            f"not used: mask {name} belongs to no session; name it <participant>_<session>_mask.nii.gz",
            level="warning",
            mask=name,
        )
    for note in (*summary.tables.left_out, *summary.notes):
        shell.say(note, level="warning")
    if summary.text_remarks:
        shell.say(
            f"{len(summary.text_remarks)} texts of participants are not in every table as stated: see above.",
            level="warning",
        )
    _tell_passed_over(shell, summary)
    for participant, session, reason in summary.excluded:
        shell.say(f"excluded: {participant} {session}: {reason}", participant=participant, session=session)
    statuses = ("measured", "flagged", "failed", "not_measurable", "missing", "excluded")
    counts = {name: len(summary.visits(name)) for name in statuses}
    total = sum(counts.values()) - counts["flagged"]
    shell.say(
        f"{total} visits: {counts['measured']} measured ({counts['flagged']} of them flagged for a reader), "
        f"{counts['failed']} refused or failed, {counts['not_measurable']} not measurable, "
        f"{counts['missing']} missing, {counts['excluded']} excluded; "
        f"{summary.redone} participants processed, {summary.kept} unchanged.",
        **counts,
    )
    partly = summary.partly_measured
    if partly:
        shell.say(f"{partly} values of measured visits could not be had: see above.", level="warning")
    if not counts["measured"]:
        shell.say("Nothing was measured.", level="warning")


def _tell_passed_over(shell: Shell, summary: RunSummary) -> None:
    """Name the files of the study that were not used."""
    for passed in summary.passed_over[:_SHOWN]:
        shell.say(f"not used: {passed.path}: {passed.reason}", level="warning", file=passed.path)
    if summary.passed_over:
        where = summary.out / "provenance" / "passed_over.json"
        shell.say(f"{len(summary.passed_over)} files of the study were not used: {where}", level="warning")

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
_WORDS = {"done": "measured", "kept": "unchanged, kept", "failed": "FAILED"}


def run_with_progress(shell: Shell, study_path: Path, out: Path, **options: Any) -> RunSummary:
    """Run a study, show progress, and close with what was measured, flagged, refused and missing."""
    study = iv.open_study(study_path)
    labels = options.get("participant_labels") or ()
    chosen = study.select(labels) if labels else study
    with shell.progress("Participants", len(chosen.participants)) as advance:
        summary = iv.run_study(
            study,
            out,
            on_progress=lambda participant, state, visits: advance(f"{participant}: {_WORDS[state]}", 1),
            on_note=lambda note: shell.say(note, level="warning"),
            **options,
        )
    close(shell, summary)
    return summary


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
    counts = {
        name: len(summary.visits(name))
        for name in ("measured", "flagged", "failed", "not_measurable", "missing")
    }
    shell.say(
        f"{counts['measured']} visits measured ({counts['flagged']} of them flagged for a reader), "
        f"{counts['failed']} refused or failed, {counts['not_measurable']} not measurable, "
        f"{counts['missing']} missing; {summary.redone} participants processed, {summary.kept} unchanged.",
        **counts,
    )

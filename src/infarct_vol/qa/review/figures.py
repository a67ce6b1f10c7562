"""Figures that follow the masks that count: drawn again after an edit, and only then."""

from __future__ import annotations

from pathlib import Path

from infarct_vol.files import file_sha256
from infarct_vol.ledger import read_record, record_path
from infarct_vol.protocol import Protocol
from infarct_vol.qa.album import FigureList, read_figures
from infarct_vol.qa.participant import drawn_masks, drawn_values, redraw_trajectory, render_participant
from infarct_vol.records import ParticipantRecord
from infarct_vol.study import Participant

_EDITED = "_desc-edit"
_DRAWN = ("dwi", "flair")
BEHIND = (
    "Pictures show the automatic mask, not the one that counts: the study folder was not there, or changed, "
    "when this page was made. Make the report again where the study folder is."
)


def unreviewed(record: ParticipantRecord, out: Path) -> ParticipantRecord:
    """Return the record as the run wrote it, before any review; the record given where there is none."""
    label = Participant(participant_id=record.participant_id).label
    found = read_record(record_path(out, label))
    return found if found is not None and found.participant_id == record.participant_id else record


def pictures_behind(record: ParticipantRecord, drawn: FigureList | None, out: Path) -> bool:
    """Tell whether a participant's pictures show other masks than those that count."""
    if drawn is None or not drawn.figures:
        return False
    if not drawn.made_from:
        # drawn by a version that did not write down which masks it drew: those of the run
        paths = (visit.masks.get(key, "") for visit in record.visits for key in _DRAWN)
        return any(_EDITED in path for path in paths)
    return drawn.made_from != drawn_masks(record, out)


def refresh_figures(
    record: ParticipantRecord, *, study_root: Path | None, out: Path, protocol: Protocol
) -> str:
    """Draw a participant's figures again where they were made from other masks or values.

    Parameters
    ----------
    record
        The record with its reviews applied: its masks are those that count.
    study_root
        Study folder; None where it is not known.
    out
        Output folder.
    protocol
        As `infarct_vol.qa.participant.render_participant` takes it.

    Returns
    -------
    str
        Why the pictures show other masks than those that count; empty where they show the right ones.
    """
    drawn = read_figures(record.participant_id, out)
    if drawn is None:
        return ""
    reason = ""
    if drawn_masks(record, out) != drawn.made_from:
        reason = _unreachable(record, study_root)
        if study_root is not None and not reason:
            render_participant(record, study_root=study_root, out=out, protocol=protocol)
            return ""
    if drawn.values_sha256 != drawn_values(record):
        redraw_trajectory(record, out=out, protocol=protocol)
    if reason and pictures_behind(record, drawn, out):
        return f"{record.participant_id}: pictures show the automatic mask, {reason}"
    return ""


def _unreachable(record: ParticipantRecord, study_root: Path | None) -> str:
    """Return why the scans cannot be drawn again; empty where all are there, as they were measured."""
    if study_root is None or not study_root.is_dir():
        return "the study folder was not there"
    for visit in record.visits:
        for scan in visit.scans:
            path = study_root / scan.path
            if scan.modality not in _DRAWN or not visit.masks:
                continue
            if not path.is_file():
                return f"{scan.path} was not in the study folder"
            if file_sha256(path) != scan.sha256:
                return f"{scan.path} changed since it was measured"
    return ""

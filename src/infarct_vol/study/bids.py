"""A BIDS dataset as a study."""

from __future__ import annotations

from pathlib import Path

from infarct_vol.files import nifti_stem
from infarct_vol.images import MODALITY_LABELS, Modality
from infarct_vol.study.model import SUFFIXES, Participant, ScanFile, Session, Study, scan_file
from infarct_vol.study.scan_times import session_time
from infarct_vol.study.stated import checked_id, checked_time, read_table


def study_from_bids(root: Path) -> Study:
    """Return the study of a BIDS dataset."""
    described = {row["participant_id"]: row for row in read_table(root / "participants.tsv")}
    folders = {p.name: p for p in sorted(root.glob("sub-*")) if p.is_dir()}
    participants = []
    for name in sorted({*folders, *described}):
        checked_id(name, where="participants.tsv" if name in described else str(root))
        row = described.get(name, {})
        sessions = _bids_sessions(folders[name], root=root) if name in folders else ()
        participants.append(
            Participant(
                participant_id=name,
                first_dose_time=checked_time(row.get("first_dose_time"), where=f"{name} first_dose_time"),
                onset_time=checked_time(row.get("onset_time"), where=f"{name} onset_time"),
                site=row.get("site"),
                age=row.get("age"),
                sex=row.get("sex"),
                sessions=sessions,
            )
        )
    return Study(root, tuple(participants))


def _bids_sessions(folder: Path, *, root: Path) -> tuple[Session, ...]:
    times = {
        row["session_id"]: row.get("acq_time") for row in read_table(folder / f"{folder.name}_sessions.tsv")
    }
    folders = {p.name: p for p in sorted(folder.glob("ses-*")) if p.is_dir()}
    sessions = []
    for name in sorted({*folders, *times}):
        files, problem = _session_files(folders[name], root=root) if name in folders else ({}, "")
        acq_time, remarks = session_time(folder / name, stated=times.get(name))
        sessions.append(
            Session(session_id=name, acq_time=acq_time, files=files, problem=problem, remarks=remarks)
        )
    return tuple(sessions)


def _session_files(folder: Path, *, root: Path) -> tuple[dict[Modality, ScanFile], str]:
    found: dict[Modality, ScanFile] = {}
    for path in sorted([*folder.rglob("*.nii"), *folder.rglob("*.nii.gz")]):
        modality = SUFFIXES.get(nifti_stem(path).rpartition("_")[2].lower())
        if modality is None:
            continue
        if not path.resolve().is_relative_to(root.resolve()):
            return {}, f"{path.name} is a link to outside the study folder; copy the file in"
        scan = scan_file(modality, path)
        other = found.get(modality)
        if other is not None and (other.bval is None) == (scan.bval is None):
            label = MODALITY_LABELS[modality]
            return {}, f"two {label} images ({other.path.name}, {path.name}); leave one, or use a manifest"
        if other is None or other.bval is not None:
            # a scanner-made trace image is preferred to the series it was made from
            found[modality] = scan
    return found, ""

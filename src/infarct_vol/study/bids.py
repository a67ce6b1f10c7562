"""A BIDS dataset as a study."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from infarct_vol.errors import StudyError
from infarct_vol.settings import ImageSettings
from infarct_vol.study.inherited import Inherited
from infarct_vol.study.model import Participant, PassedOver, Session, Study
from infarct_vol.study.scan_times import scan_times, session_time, time_of_session
from infarct_vol.study.session_files import SessionFiles, session_files, visible_files
from infarct_vol.study.stated import checked_id, checked_time, read_table

ONLY_SESSION = "ses-01"
"""What the one session of a dataset without session folders is called in the results."""
_IMAGES = (".nii", ".nii.gz", ".img", ".mgz", ".nrrd", ".mha", ".dcm")


def study_from_bids(root: Path, *, images: ImageSettings) -> Study:
    """Return the study of a BIDS dataset; see `infarct_vol.study.open_study`."""
    inherited = Inherited(root)
    folders = {p.name: p for p in sorted(root.glob("sub-*")) if p.is_dir()}
    described = _described(root, folders)
    participants = []
    for name in sorted({*folders, *described}):
        checked_id(name, where="participants.tsv" if name in described else str(root))
        row = described.get(name, {})
        sessions, passed_over = (
            _sessions(folders[name], root=root, inherited=inherited, images=images)
            if name in folders
            else ((), ())
        )
        participants.append(
            Participant(
                participant_id=name,
                first_dose_time=checked_time(row.get("first_dose_time"), where=f"{name} first_dose_time"),
                onset_time=checked_time(row.get("onset_time"), where=f"{name} onset_time"),
                site=row.get("site"),
                age=row.get("age"),
                sex=row.get("sex"),
                sessions=sessions,
                passed_over=passed_over,
            )
        )
    return Study(root, tuple(participants), tuple(_outside_participants(root)))


def _described(root: Path, folders: Mapping[str, Path]) -> dict[str, dict[str, str]]:
    """Return the rows of participants.tsv; an id without ``sub-`` is that of its folder."""
    described: dict[str, dict[str, str]] = {}
    for row in read_table(root / "participants.tsv"):
        name = _labelled(row["participant_id"], "sub-", known=folders)
        if name in described:
            msg = f"participants.tsv has two lines for {name}; keep one"
            raise StudyError(msg)
        described[name] = row
    return described


def _labelled(value: str, key: str, *, known: Iterable[str]) -> str:
    """Return a label with its key where the folder of that name is there, or else as it is written."""
    return key + value if value not in known and key + value in known else value


def _sessions(
    folder: Path, *, root: Path, inherited: Inherited, images: ImageSettings
) -> tuple[tuple[Session, ...], tuple[PassedOver, ...]]:
    """Return the sessions of a participant, and the files that are not used."""
    folders = {p.name: p for p in sorted(folder.glob("ses-*")) if p.is_dir()}
    times, passed_over = _stated_times(folder, folders, root=root)
    loose = [p for p in visible_files(folder) if not any(f in p.parents for f in folders.values())]
    if not folders and any(p.name.lower().endswith(_IMAGES) for p in loose):
        owner = {"sub": folder.name.removeprefix("sub-")}
        found = session_files(loose, root=root, owner=owner, inherited=inherited, settings=images)
        return (_without_sessions(folder, found, times),), (*passed_over, *found.passed_over)
    passed_over.extend(
        PassedOver(p.relative_to(root).as_posix(), "outside a session folder; put it into its ses-<label>")
        for p in loose
        if p.name.lower().endswith(_IMAGES)
    )
    sessions = []
    for name in sorted({*folders, *times}):
        if name not in folders:
            acq_time = checked_time(times[name], where=f"{folder.name} {name} acq_time")
            sessions.append(Session(session_id=name, acq_time=acq_time))
            continue
        owner = {"sub": folder.name.removeprefix("sub-"), "ses": name.removeprefix("ses-")}
        found = session_files(
            visible_files(folders[name]), root=root, owner=owner, inherited=inherited, settings=images
        )
        acq_time, remarks = session_time(folders[name], stated=times.get(name))
        passed_over.extend(found.passed_over)
        sessions.append(
            Session(
                session_id=name,
                acq_time=acq_time,
                files=found.files,
                problems=found.problems,
                remarks=(*remarks, *found.remarks),
            )
        )
    return tuple(sessions), tuple(passed_over)


def _without_sessions(folder: Path, found: SessionFiles, times: Mapping[str, str | None]) -> Session:
    """Return the one session of a participant without session folders; valid BIDS."""
    name, problem = next(iter(times), ONLY_SESSION), ""
    if len(times) > 1:
        problem = (
            f"{folder.name}_sessions.tsv lists {', '.join(times)}, but the images lie in no session folder; "
            "put each into its ses-<label>"
        )
    stated = checked_time(times.get(name), where=f"{folder.name} {name} acq_time")
    acq_time, remarks = time_of_session(stated, scan_times(folder))
    return Session(
        session_id=name,
        acq_time=acq_time,
        files=found.files,
        problems=found.problems,
        problem=problem,
        remarks=(*remarks, *found.remarks),
    )


def _stated_times(
    folder: Path, folders: Mapping[str, Path], *, root: Path
) -> tuple[dict[str, str | None], list[PassedOver]]:
    """Return the times of a participant's table of sessions, and tables of other names that are not read."""
    table = folder / f"{folder.name}_sessions.tsv"
    times: dict[str, str | None] = {}
    for row in read_table(table):
        name = _labelled(row["session_id"], "ses-", known=folders)
        name = name if name.startswith("ses-") else f"ses-{name}"
        if name in times:
            msg = f"{table.name} has two lines for {name}; keep one"
            raise StudyError(msg)
        times[name] = row.get("acq_time")
    others = [p for p in sorted(folder.glob("*.tsv")) if p != table and not p.name.endswith("_scans.tsv")]
    reason = f"not read; the times of sessions stand in {table.name}"
    return times, [PassedOver(p.relative_to(root).as_posix(), reason) for p in others]


def _outside_participants(root: Path) -> Iterator[PassedOver]:
    """Yield what lies beside the participants and was meant for one."""
    for path in sorted(root.iterdir()):
        name = path.name
        if path.is_dir() and name.lower().startswith("sub") and not name.startswith("sub-"):
            yield PassedOver(name, "a participant's folder is called sub-<label>, in lower case; rename it")
        elif path.is_file() and name.lower().endswith(_IMAGES):
            yield PassedOver(name, "outside every participant's folder")
        elif path.is_file() and name.endswith("sessions.tsv"):
            yield PassedOver(name, "not read; the times of sessions stand in sub-<label>_sessions.tsv")

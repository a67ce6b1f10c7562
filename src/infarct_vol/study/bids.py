"""A BIDS dataset as a study."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from infarct_vol.errors import StudyError
from infarct_vol.files import is_nifti_name
from infarct_vol.settings import ImageSettings
from infarct_vol.study.choice import SessionFiles
from infarct_vol.study.inherited import SIDECARS, Inherited
from infarct_vol.study.labels import folder_of, natural_key, require_folders
from infarct_vol.study.model import Participant, PassedOver, Session, Study
from infarct_vol.study.names import SUFFIXES, bids_name
from infarct_vol.study.places import Owner
from infarct_vol.study.scan_times import time_of_session, times_of_files
from infarct_vol.study.session_files import OTHER_IMAGES, session_files, visible_files
from infarct_vol.study.stated import checked_id, checked_time, read_table

ONLY_SESSION = "ses-01"
"""What the one session of a dataset without session folders is called in the results."""


def study_from_bids(root: Path, *, images: ImageSettings) -> Study:
    """Return the study of a BIDS dataset; see `infarct_vol.study.open_study`."""
    inherited = Inherited(root)
    folders = {p.name: p for p in sorted(root.glob("sub-*")) if p.is_dir()}
    described = _described(root, folders)
    participants = []
    for name in sorted({*folders, *described}):
        checked_id(name, where="participants.tsv" if name in described else str(root))
        row = described.get(name, {})
        reader = _Reader(root, folders[name], inherited, images) if name in folders else None
        sessions, passed_over = reader.sessions() if reader else ((), ())
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
    outside = tuple(_outside_participants(root, inherited))
    return Study(root, tuple(_with_order(participants)), outside)


def _described(root: Path, folders: Mapping[str, Path]) -> dict[str, dict[str, str]]:
    """Return the rows of participants.tsv by folder; ids may lack ``sub-`` or be in another case."""
    described: dict[str, dict[str, str]] = {}
    for row in read_table(root / "participants.tsv"):
        name = folder_of(row["participant_id"], "sub-", folders)
        if name in described:
            msg = f"participants.tsv has two lines for {name}; keep one"
            raise StudyError(msg)
        described[name] = row
    require_folders(described, folders, root=root)
    return described


def _with_order(participants: Iterable[Participant]) -> Iterator[Participant]:
    """Say of every session which one comes before it in a participant who has both."""
    participants = list(participants)
    before: dict[str, str] = {}
    for participant in participants:
        labels = sorted((s.session_id for s in participant.sessions if s.has_images), key=natural_key)
        before |= {later: labels[0] for later in labels[1:]}
    for participant in participants:
        sessions = (replace(s, comes_after=before.get(s.session_id, "")) for s in participant.sessions)
        yield replace(participant, sessions=tuple(sessions))


@dataclass
class _Reader:
    """Finds the sessions of one participant, and the files that are not used."""

    root: Path
    folder: Path
    inherited: Inherited
    images: ImageSettings

    def sessions(self) -> tuple[tuple[Session, ...], tuple[PassedOver, ...]]:
        """Return the sessions of a participant, and the files that are not used."""
        folders = {p.name: p for p in sorted(self.folder.glob("ses-*")) if p.is_dir()}
        times, passed_over = self._stated_times(folders)
        files, loose = self._by_session(folders)
        if not files and not folders and any(map(_is_any_image, loose)):
            session, found = self._only_session(loose, times)
            return (session,), (*passed_over, *found.passed_over)
        passed_over.extend(self._loose(loose))
        sessions = []
        for name in sorted({*folders, *files, *times}):
            own = folders.get(name, self.folder / name)
            if name not in folders and name not in files:
                acq_time = self._stated_time(times, name)
                sessions.append(Session(session_id=name, acq_time=acq_time, is_expected=True))
                continue
            scanned = times_of_files(own)
            found = self._files(files.get(name, ()), scanned, session=name.removeprefix("ses-"))
            acq_time, remarks = time_of_session(self._stated_time(times, name), tuple(scanned.values()))
            passed_over.extend(found.passed_over)
            sessions.append(
                Session(
                    session_id=name,
                    acq_time=acq_time,
                    files=found.files,
                    problems=found.problems,
                    problem=_near_label(name, [each for each in times if each not in {*folders, *files}]),
                    remarks=(*remarks, *found.remarks),
                )
            )
        return tuple(sessions), tuple(passed_over)

    def _stated_time(self, times: Mapping[str, str | None], name: str) -> str | None:
        """Return what the table of sessions says of one."""
        return checked_time(times.get(name), where=f"{self.folder.name} {name} acq_time")

    def _files(self, paths: Iterable[Path], scanned: Mapping[str, str], *, session: str) -> SessionFiles:
        owner = Owner(self.root, self.folder, session, has_sessions=bool(session))
        return session_files(
            paths, owner=owner, inherited=self.inherited, settings=self.images, times=scanned
        )

    def _only_session(
        self, loose: Iterable[Path], times: Mapping[str, str | None]
    ) -> tuple[Session, SessionFiles]:
        """Return the one session of a participant without session folders; valid BIDS."""
        scanned = times_of_files(self.folder)
        found = self._files(loose, scanned, session="")
        name, problem = next(iter(times), ONLY_SESSION), ""
        if len(times) > 1:
            problem = (
                f"{self._table.name} lists {', '.join(times)}, but the images lie in no session folder; "
                "put each into its ses-<label>"
            )
        acq_time, remarks = time_of_session(self._stated_time(times, name), tuple(scanned.values()))
        session = Session(
            session_id=name,
            acq_time=acq_time,
            files=found.files,
            problems=found.problems,
            problem=problem,
            remarks=(*remarks, *found.remarks),
        )
        return session, found

    def _by_session(self, folders: Mapping[str, Path]) -> tuple[dict[str, list[Path]], list[Path]]:
        """Return the files of each session, by folder or else by what their names say, and all others."""
        files: dict[str, list[Path]] = defaultdict(list)
        loose = []
        for path in visible_files(self.folder):
            top = path.relative_to(self.folder).parts[0]
            label = bids_name(path).entities.get("ses") if _is_any_image(path) else None
            if top in folders and top != path.name:
                files[top].append(path)
            elif label is not None:
                files[folder_of(label, "ses-", {**folders, **files})].append(path)
            else:
                loose.append(path)
        for path in [p for p in loose if p.name.lower().endswith(SIDECARS)]:
            label = bids_name(path).entities.get("ses")
            name = folder_of(label, "ses-", {**folders, **files}) if label else ""
            if name in files:
                files[name].append(path)
                loose.remove(path)
        return files, loose

    def _loose(self, loose: Iterable[Path]) -> Iterator[PassedOver]:
        """Yield what lies outside every session, and is not used."""
        for path in loose:
            lower = path.name.lower()
            if _is_any_image(path):
                yield self._noted(path, "outside a session folder; put it into its ses-<label>")
            elif lower.endswith(SIDECARS) and self.inherited.holds_for_none(path):
                if not lower.endswith(("_sessions.json", "_scans.json")):
                    yield self._noted(path, "it holds for no image")
            elif lower.endswith("_scans.tsv"):
                yield self._noted(path, "not read; a table of scans lies in its session's folder")

    @property
    def _table(self) -> Path:
        return self.folder / f"{self.folder.name}_sessions.tsv"

    def _stated_times(self, folders: Mapping[str, Path]) -> tuple[dict[str, str | None], list[PassedOver]]:
        """Return the times of the table of sessions, and tables of other names that are not read."""
        times: dict[str, str | None] = {}
        for row in read_table(self._table):
            name = folder_of(row["session_id"], "ses-", folders)
            if name in times:
                msg = f"{self._table.name} has two lines for {name}; keep one"
                raise StudyError(msg)
            times[name] = row.get("acq_time")
        others = [
            path
            for path in sorted(self.folder.iterdir())
            if path.name.lower().endswith((".tsv", ".csv", ".xlsx"))
            and path != self._table
            and not path.name.startswith(".")
            and not path.name.endswith("_scans.tsv")
        ]
        reason = f"not read; the times of sessions stand in {self._table.name}"
        return times, [self._noted(path, reason) for path in others]

    def _noted(self, path: Path, reason: str) -> PassedOver:
        return PassedOver(path.relative_to(self.root).as_posix(), reason)


def _near_label(name: str, stated: Iterable[str]) -> str:
    """Say which session of the table may be meant for a folder; empty where none is."""
    near = [each for each in stated if natural_key(each) == natural_key(name)]
    if not near:
        return ""
    return f"the table of sessions says {near[0]}, the folder is {name}; write {name} there if they are one"


def _is_any_image(path: Path) -> bool:
    return is_nifti_name(path) or path.name.lower().endswith(OTHER_IMAGES)


def _may_hold(path: Path) -> bool:
    """Tell whether a file beside the participants is a sidecar of images that are read."""
    return path.name.lower().endswith(SIDECARS) and bids_name(path).suffix.lower() in SUFFIXES


def _outside_participants(root: Path, inherited: Inherited) -> Iterator[PassedOver]:
    """Yield what lies beside the participants and was meant for one."""
    for path in sorted(root.iterdir()):
        name, lower = path.name, path.name.lower()
        if name.startswith("."):
            continue
        if path.is_dir():
            if lower.startswith("sub") and not name.startswith("sub-"):
                yield PassedOver(
                    name, "a participant's folder is called sub-<label>, in lower case; rename it"
                )
        elif _is_any_image(path):
            yield PassedOver(name, "outside every participant's folder")
        elif lower.endswith("sessions.tsv"):
            yield PassedOver(name, "not read; the times of sessions stand in sub-<label>_sessions.tsv")
        elif lower.endswith("scans.tsv"):
            yield PassedOver(name, "not read; a table of scans lies in its session's folder")
        elif _may_hold(path) and inherited.holds_for_none(path):
            yield PassedOver(name, "it holds for no image")

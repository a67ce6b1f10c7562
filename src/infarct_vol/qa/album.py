"""The figures of one participant: drawn from the record and the files it names, and listed in a manifest."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from infarct_vol.errors import InfarctVolError
from infarct_vol.files import write_json
from infarct_vol.qa.figures import Picture
from infarct_vol.qa.page import data_uri
from infarct_vol.records import ParticipantRecord, Record

MANIFEST = "figures.json"
_MEDIA_TYPES = {".jpg": "image/jpeg", ".png": "image/png"}
FigureKind = Literal["trajectory", "mosaic", "side_by_side", "checkerboard", "thumbnail"]


class FigureEntry(Record):
    """One picture of the report."""

    file: str
    kind: FigureKind
    visit: str
    caption: str


class FigureNote(Record):
    """Why a picture could not be drawn."""

    visit: str
    text: str


class FigureList(Record):
    """``figures.json``: what was drawn for one participant, in reading order."""

    figures: tuple[FigureEntry, ...] = ()
    notes: tuple[FigureNote, ...] = ()
    thumbnails: tuple[FigureEntry, ...] = ()
    made_from: dict[str, str] = Field(
        default_factory=dict, description="masks that were drawn: path in the output folder -> SHA-256"
    )
    values_sha256: str = Field("", description="SHA-256 of the values the trajectory was drawn from")


def safe_name(participant_id: str) -> str:
    """Return a participant's name for files and folders; an unfit id is made fit, unmistakably."""
    safe = re.sub(r"[^A-Za-z0-9_-]", "_", participant_id)[:64]
    if safe != participant_id or not safe:
        safe += "-" + hashlib.sha256(participant_id.encode()).hexdigest()[:8]
    return safe


def figure_folder(participant_id: str, out: Path) -> Path:
    """Return where a participant's figures are."""
    return out / "report" / "figures" / safe_name(participant_id)


def read_figures(participant_id: str, out: Path) -> FigureList | None:
    """Return what was drawn for a participant; None if nothing was, or the list is not readable."""
    try:
        text = (figure_folder(participant_id, out) / MANIFEST).read_text(encoding="utf-8")
        return FigureList.model_validate(json.loads(text))
    except (OSError, ValueError, ValidationError):
        return None


def figure_paths(record: ParticipantRecord, out: Path) -> list[Path]:
    """Return the files that must be there for a participant's figures to be complete."""
    folder = figure_folder(record.participant_id, out)
    listed = read_figures(record.participant_id, out)
    return [folder / MANIFEST, *(folder / f.file for f in (listed.figures if listed else ()))]


def embedded_figure(participant_id: str, out: Path, figure: FigureEntry) -> str:
    """Return a figure as an address that holds it; an empty text where its file is not there."""
    held = figure_bytes(participant_id, out, figure)
    media_type = _MEDIA_TYPES.get(Path(figure.file).suffix)
    return data_uri(held, media_type) if held and media_type else ""


def figure_bytes(participant_id: str, out: Path, figure: FigureEntry) -> bytes:
    """Return the file of a figure; nothing where it is not there."""
    try:
        return (figure_folder(participant_id, out) / Path(figure.file).name).read_bytes()
    except OSError:
        return b""


@dataclass
class Album:
    """Collects one participant's figures; the manifest is written last, and old figures removed."""

    folder: Path
    made_from: dict[str, str] = field(default_factory=dict)
    values_sha256: str = ""
    figures: list[FigureEntry] = field(default_factory=list)
    thumbnails: list[FigureEntry] = field(default_factory=list)
    notes: list[FigureNote] = field(default_factory=list)

    def add(self, picture: Picture, file: str, *, kind: FigureKind, visit: str, caption: str) -> None:
        """Write a picture and list it."""
        picture.save(self.folder / file, scale=1.5 if file.endswith(".png") else 1.0)
        listed = self.thumbnails if kind == "thumbnail" else self.figures
        listed.append(FigureEntry(file=file, kind=kind, visit=visit, caption=caption))

    @contextmanager
    def attempt(self, visit: str, what: str) -> Iterator[None]:
        """Draw something; an image that is refused leaves a note where its picture would be."""
        try:
            yield
        except InfarctVolError as error:
            self.notes.append(FigureNote(visit=visit, text=f"{what} not drawn: {error}"))

    def close(self) -> list[Path]:
        """Write the manifest, remove figures of an earlier run, and return the figures' paths."""
        listed = FigureList(
            figures=tuple(self.figures),
            notes=tuple(self.notes),
            thumbnails=tuple(self.thumbnails),
            made_from=self.made_from,
            values_sha256=self.values_sha256,
        )
        write_json(listed.model_dump(mode="json"), self.folder / MANIFEST)
        paths = [self.folder / figure.file for figure in self.figures]
        small = [self.folder / figure.file for figure in self.thumbnails]
        for old in self.folder.glob("*.[jp][pn]g"):
            if old not in (*paths, *small):
                old.unlink()
        return paths

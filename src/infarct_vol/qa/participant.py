"""Draws everything a reviewer needs to judge one participant: masks, registrations, volumes over time."""

from __future__ import annotations

import hashlib
import itertools
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from infarct_vol.files import file_sha256
from infarct_vol.geometry import Grid
from infarct_vol.images import MODALITY_LABELS, LesionMask, Modality, Scan
from infarct_vol.protocol import Protocol
from infarct_vol.qa.album import Album, FigureList, figure_folder, read_figures
from infarct_vol.qa.checkerboard import checkerboard
from infarct_vol.qa.overlays import lesion_mosaic, lesion_thumbnail, side_by_side
from infarct_vol.qa.trajectories import participant_trajectory
from infarct_vol.qa.wording import STATUS_LABELS, session_label, visit_label
from infarct_vol.records import ParticipantRecord, RegistrationRecord, VisitRecord
from infarct_vol.registration import RigidTransform, resample
from infarct_vol.settings import ANALYSED_VISITS
from infarct_vol.shelf import Shelf

_CONTOURS_OF: dict[str, dict[str, str]] = {
    "dwi": {"infarct": "dwi", "automatic": "dwi_automatic"},
    "flair": {
        "infarct": "flair",
        "cavity": "cavity",
        "new_lesion": "new_lesion",
        "automatic": "flair_automatic",
    },
}


def render_participant(
    record: ParticipantRecord, *, study_root: Path, out: Path, protocol: Protocol
) -> list[Path]:
    """Draw one participant's figures into ``OUT/report/figures/<participant>/``.

    Parameters
    ----------
    record
        What the main job wrote down about the participant.
    study_root
        Study folder; scans are read again from the paths in the record.
    out
        Output folder; masks and transforms are read from it.
    protocol
        What to believe of a contradictory header, and the visits' target days.

    Returns
    -------
    list of Path
        The pictures, in reading order. An image that cannot be read leaves a note in the manifest.
    """
    shelf = Shelf(record, study_root, out, protocol)
    album = Album(
        figure_folder(record.participant_id, out),
        made_from=drawn_masks(record, out),
        values_sha256=drawn_values(record),
    )
    _draw_trajectory(album, record, protocol)
    matched: _Matched | None = None
    for at, visit in enumerate(record.visits):
        shown = _draw_mosaics(album, shelf, visit, prefix=f"{at:02d}")
        with album.attempt(visit.visit, "small picture"):
            _draw_thumbnail(album, visit, shown, prefix=f"{at:02d}")
        if visit.visit == "baseline" and "flair" in shown:
            matched = _Matched(*shown["flair"])
            with album.attempt(visit.visit, "checkerboard of FLAIR and DWI"):
                _draw_within_visit(album, shelf, visit, shown, prefix=f"{at:02d}")
        elif matched is not None and visit.visit in ANALYSED_VISITS:
            matched.scans[visit.visit], matched.notes[visit.visit] = None, _absence(visit)
            with album.attempt(visit.visit, "registered picture"):
                _draw_registered(album, shelf, visit, shown, matched, prefix=f"{at:02d}")
    if matched is not None and matched.scans:
        with album.attempt("baseline", "pictures side by side"):
            _draw_side_by_side(album, record.participant_id, matched)
    return album.close()


def drawn_masks(record: ParticipantRecord, out: Path) -> dict[str, str]:
    """Return the masks a participant's pictures show: path in the output folder -> SHA-256.

    A mask that is gone has an empty one.
    """
    keys = [key for names in _CONTOURS_OF.values() for key in names.values()]
    paths = {visit.masks[key] for visit in record.visits for key in keys if key in visit.masks}
    return {path: record.outputs.get(path) or _sha256(out / path) for path in sorted(paths)}


def _sha256(path: Path) -> str:
    return file_sha256(path) if path.is_file() else ""


def drawn_values(record: ParticipantRecord) -> str:
    """Return the SHA-256 of the values a participant's trajectory shows."""
    shown = ("visit", "parameter", "modality", "study_day", "volume_ml", "volume_ml_low", "volume_ml_high")
    rows = [row.model_dump(include=set(shown)) for row in record.rows]
    words = ["" if row.volume_ml is not None else row.status for row in record.rows]
    return hashlib.sha256(json.dumps([rows, words], sort_keys=True).encode()).hexdigest()


def redraw_trajectory(record: ParticipantRecord, *, out: Path, protocol: Protocol) -> None:
    """Draw a participant's trajectory again, which needs no scan, and leave the other figures as they are."""
    drawn = read_figures(record.participant_id, out) or FigureList()
    album = Album(
        figure_folder(record.participant_id, out),
        made_from=drawn.made_from,
        values_sha256=drawn_values(record),
        thumbnails=list(drawn.thumbnails),
        notes=list(drawn.notes),
    )
    _draw_trajectory(album, record, protocol)
    album.figures += [figure for figure in drawn.figures if figure.kind != "trajectory"]
    album.close()


Masks = dict[str, LesionMask | None]
Shown = dict[str, tuple[Scan, Masks]]


@dataclass
class _Matched:
    """Baseline FLAIR, and what was brought onto its grid for the picture of matched slices."""

    fixed: Scan
    masks: Masks
    scans: dict[str, Scan | None] = field(default_factory=dict)
    contours: dict[str, Masks] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)


def _masks(shelf: Shelf, visit: VisitRecord, modality: str) -> Masks:
    """Return the masks made on one image, by the names of their contours."""
    names = _CONTOURS_OF[modality]
    return {name: mask for name, key in names.items() if (mask := shelf.mask(visit, key)) is not None}


def _draw_trajectory(album: Album, record: ParticipantRecord, protocol: Protocol) -> None:
    table = pd.DataFrame([row.model_dump() for row in record.rows])
    analysed = table[~table["visit"].isin(("early", "unscheduled"))] if len(table) else table
    if analysed.empty:
        return
    days: dict[str, int] = {name: window.target_day for name, window in protocol.visits.windows().items()}
    picture = participant_trajectory(analysed, target_days=days, title=record.participant_id)
    caption = (
        "Volumes against study day. Bars: the volume when thresholds and boundary move within their limits."
    )
    album.add(picture, "trajectory.png", kind="trajectory", visit="", caption=caption)


def _draw_mosaics(album: Album, shelf: Shelf, visit: VisitRecord, *, prefix: str) -> Shown:
    """Draw what was measured at one visit; return the images and masks for the pictures that follow."""
    shown: Shown = {}
    modalities: tuple[Modality, ...] = ("dwi", "flair")
    for modality in modalities:
        if visit.scan(modality) is None:
            continue
        label = MODALITY_LABELS[modality]
        with album.attempt(visit.visit, f"{label} picture"):
            scan, masks = shelf.scan(visit, modality), _masks(shelf, visit, modality)
            adc = shelf.adc_beside(visit, scan) if modality == "dwi" else None
            title = f"{shelf.record.participant_id}, {visit_label(visit.visit)}, {label}"
            companions = {"ADC": adc} if adc is not None else {}
            picture = lesion_mosaic(scan, masks, title=title, companions=companions)
            caption = f"{label} at {visit_label(visit.visit)}, native grid: {scan.grid.describe()}."
            file = f"{prefix}_{visit.visit}_{modality}.jpg"
            album.add(picture, file, kind="mosaic", visit=visit.visit, caption=caption)
            shown[modality] = scan, masks
    return shown


def _draw_thumbnail(album: Album, visit: VisitRecord, shown: Shown, *, prefix: str) -> None:
    """Draw a visit's primary image small, for the sheet that shows the whole trial."""
    order = ("dwi", "flair") if visit.visit == "baseline" else ("flair", "dwi")
    modality = next((name for name in order if name in shown), None)
    if modality is None:
        return
    scan, masks = shown[modality]
    label = MODALITY_LABELS[scan.modality]
    caption = f"{label} at {visit_label(visit.visit)}, slice with the largest lesion area."
    picture = lesion_thumbnail(scan, masks)
    file = f"thumbnail_{prefix}_{visit.visit}.jpg"
    album.add(picture, file, kind="thumbnail", visit=visit.visit, caption=caption)


def _absence(visit: VisitRecord) -> str:
    return "not registered" if visit.status == "measured" else STATUS_LABELS[visit.status]


def _draw_within_visit(
    album: Album, shelf: Shelf, baseline: VisitRecord, shown: Shown, *, prefix: str
) -> None:
    """Draw the checkerboard of baseline FLAIR and DWI: the registration carries the infarct over."""
    for registration in baseline.registrations:
        if registration.moving == "DWI" and registration.path is not None and "dwi" in shown:
            fixed = shown["flair"][0]
            moved = resample(shown["dwi"][0], fixed.grid, shelf.transform(registration))
            _draw_checkerboard(album, fixed, moved, registration, baseline, prefix=prefix)


def _draw_registered(
    album: Album, shelf: Shelf, visit: VisitRecord, shown: Shown, matched: _Matched, *, prefix: str
) -> None:
    """Bring a follow-up onto the baseline grid and draw its checkerboard."""
    own = session_label(visit.session_id)
    registration = next((r for r in visit.registrations if r.moving == own and r.path is not None), None)
    if registration is None or "flair" not in shown:
        return
    scan, masks = shown["flair"]
    transform = shelf.transform(registration)
    moved = resample(scan, matched.fixed.grid, transform)
    contours: Masks = {"baseline infarct": matched.masks.get("infarct")}
    for name, mask in masks.items():
        contours[name] = _contour_on(matched.fixed.grid, mask, transform) if mask is not None else None
    matched.scans[visit.visit], matched.contours[visit.visit] = moved, contours
    matched.notes[visit.visit] = f"registered: {registration.verdict}"
    _draw_checkerboard(album, matched.fixed, moved, registration, visit, prefix=prefix)


def _contour_on(grid: Grid, mask: LesionMask, transform: RigidTransform) -> LesionMask:
    """Return a mask's outline on the baseline grid, for the eye only: half-way level, linear."""
    data = np.zeros(grid.shape, dtype=np.bool_)
    hits = np.argwhere(mask.data)
    if hits.size:
        own = _box(hits, mask.grid.shape)
        near = Scan(mask.data[own].astype(np.float32), mask.grid.crop(own))
        corners = np.array(list(itertools.product(*((-1, n) for n in near.grid.shape))))
        reached = grid.to_index(transform.inverse().apply(near.grid.to_world(corners)))
        box = _box(np.rint(reached), grid.shape)
        if all(part.stop > part.start for part in box):
            data[box] = resample(near, grid.crop(box), transform).data >= 0.5
    return LesionMask(data, grid)


def _box(points: NDArray[Any], shape: tuple[int, ...]) -> tuple[slice, ...]:
    """Return the box around points (N, 3), one voxel wider, within the grid; empty where it lies outside."""
    low, high = points.min(axis=0), points.max(axis=0)
    limits = zip(low, high, shape, strict=True)
    return tuple(slice(max(0, int(a) - 1), max(0, min(n, int(b) + 2))) for a, b, n in limits)


def _draw_side_by_side(album: Album, participant_id: str, matched: _Matched) -> None:
    picture = side_by_side(
        matched.fixed,
        matched.scans,
        contours={"baseline": matched.masks, **matched.contours},
        notes=matched.notes,
        title=f"{participant_id}, baseline FLAIR and registered follow-ups, matched slices",
    )
    caption = (
        "Follow-up FLAIR resampled onto the baseline grid for this picture only; "
        "volumes come from the native grids."
    )
    album.add(picture, "registered.jpg", kind="side_by_side", visit="", caption=caption)


def _draw_checkerboard(
    album: Album,
    fixed: Scan,
    moving: Scan,
    registration: RegistrationRecord,
    visit: VisitRecord,
    *,
    prefix: str,
) -> None:
    who = fixed.identity.participant_id
    names = [MODALITY_LABELS[image.modality] for image in (fixed, moving)]
    ends = zip((registration.fixed, registration.moving), names, strict=True)
    pair = " and ".join(name if end == name else f"{end} {name}" for end, name in ends)
    verdict = f"registration verdict: {registration.verdict}"
    picture = checkerboard(fixed, moving, title=f"{who}, {pair}", subtitle=verdict)
    caption = f"Checkerboard of {pair}: edges should run on from square to square; {verdict}."
    if registration.reasons:
        caption += " " + "; ".join(registration.reasons) + "."
    file = f"{prefix}_{visit.visit}_checkerboard.jpg"
    album.add(picture, file, kind="checkerboard", visit=visit.visit, caption=caption)

"""Draws everything a reviewer needs to judge one participant: masks, registrations, volumes over time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from infarct_vol.diffusion import images_from_series
from infarct_vol.files import nifti_stem
from infarct_vol.images import MODALITY_LABELS, Identity, LesionMask, Modality, Scan
from infarct_vol.intake.reading import load_diffusion_series
from infarct_vol.nifti import load_mask, load_scan
from infarct_vol.protocol import Protocol
from infarct_vol.qa.album import Album, figure_folder
from infarct_vol.qa.overlays import checkerboard, lesion_mosaic, side_by_side
from infarct_vol.qa.trajectories import participant_trajectory
from infarct_vol.qa.wording import STATUS_LABELS, session_label, visit_label
from infarct_vol.records import ParticipantRecord, RegistrationRecord, VisitRecord
from infarct_vol.registration import RigidTransform, read_tfm, resample
from infarct_vol.study import ScanFile

_CONTOURS_OF: dict[str, dict[str, str]] = {
    "dwi": {"infarct": "dwi"},
    "flair": {"infarct": "flair", "cavity": "cavity", "new_lesion": "new_lesion"},
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
    shelf = _Shelf(record, study_root, out, protocol)
    album = Album(figure_folder(record.participant_id, out))
    _draw_trajectory(album, record, protocol)
    for at, visit in enumerate(record.visits):
        for modality in ("dwi", "flair"):
            if visit.scan(modality) is not None:
                with album.attempt(visit.visit, f"{MODALITY_LABELS[modality]} picture"):
                    _draw_mosaic(album, shelf, visit, modality, prefix=f"{at:02d}")
    _draw_registered(album, shelf)
    return album.close()


@dataclass
class _Shelf:
    """Reads a participant's scans, masks and transforms, each at most once while it is kept."""

    record: ParticipantRecord
    study_root: Path
    out: Path
    protocol: Protocol
    kept: dict[tuple[str, str], Scan] = field(default_factory=dict)
    computed_adc: dict[str, Scan] = field(default_factory=dict)

    def scan(self, visit: VisitRecord, modality: Modality, *, keep: bool = False) -> Scan:
        key = (visit.session_id or visit.visit, modality)
        scan = self.kept[key] if key in self.kept else self._read(visit, modality)
        if keep:
            self.kept[key] = scan
        return scan

    def adc_beside(self, visit: VisitRecord, dwi: Scan) -> Scan | None:
        """Return the ADC map on the DWI's grid: the session's own, or the one of its diffusion series."""
        if visit.scan("adc") is not None:
            adc = self.scan(visit, "adc")
            return adc if adc.grid.is_same_as(dwi.grid) else None
        return self.computed_adc.get(visit.visit)

    def _read(self, visit: VisitRecord, modality: Modality) -> Scan:
        found = visit.scan(modality)
        path = self.study_root / (found.path if found else "")
        identity = Identity(
            participant_id=self.record.participant_id,
            session_id=visit.session_id or "",
            visit=visit.visit,
            modality=modality,
        )
        bval = path.with_name(nifti_stem(path) + ".bval")
        if modality != "dwi" or not bval.is_file():
            return load_scan(path, identity=identity, geometry=self.protocol.geometry)
        bvec = bval.with_suffix(".bvec")
        file = ScanFile(modality="dwi", path=path, bval=bval, bvec=bvec if bvec.is_file() else None)
        images = images_from_series(load_diffusion_series(file, identity=identity, protocol=self.protocol))
        if images.adc is not None:
            self.computed_adc[visit.visit] = images.adc
        return images.trace

    def masks(self, visit: VisitRecord, modality: str) -> dict[str, LesionMask | None]:
        names = _CONTOURS_OF[modality]
        return {
            name: load_mask(self.out / visit.masks[key]) for name, key in names.items() if key in visit.masks
        }


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


def _draw_mosaic(album: Album, shelf: _Shelf, visit: VisitRecord, modality: Modality, *, prefix: str) -> None:
    scan = shelf.scan(visit, modality, keep=visit.visit == "baseline")
    adc = shelf.adc_beside(visit, scan) if modality == "dwi" else None
    companions = {"ADC": adc} if adc is not None else {}
    label = MODALITY_LABELS[modality]
    title = f"{shelf.record.participant_id}, {visit_label(visit.visit)}, {label}"
    picture = lesion_mosaic(scan, shelf.masks(visit, modality), title=title, companions=companions)
    caption = f"{label} at {visit_label(visit.visit)}, native grid: {scan.grid.describe()}."
    file = f"{prefix}_{visit.visit}_{modality}.jpg"
    album.add(picture, file, kind="mosaic", visit=visit.visit, caption=caption)


def _draw_registered(album: Album, shelf: _Shelf) -> None:
    """Draw baseline and registered follow-ups side by side, and a checkerboard of every registration."""
    baseline = shelf.record.visit("baseline")
    if baseline is None or baseline.scan("flair") is None:
        return
    with album.attempt("baseline", "registered pictures"):
        fixed = shelf.scan(baseline, "flair", keep=True)
        contours = {"baseline": shelf.masks(baseline, "flair")}
        moved: dict[str, Scan | None] = {}
        notes: dict[str, str] = {}
        _draw_within_visit(album, shelf, baseline, fixed)
        for at, visit in enumerate(shelf.record.visits):
            if visit.visit in {"baseline", "early", "unscheduled"}:
                continue
            moved[visit.visit], notes[visit.visit] = None, _absence(visit)
            for registration in _to_baseline(visit):
                with album.attempt(visit.visit, "registered picture"):
                    scan, masks = _moved(shelf, visit, registration, fixed)
                    moved[visit.visit] = scan
                    notes[visit.visit] = f"registered: {registration.verdict}"
                    contours[visit.visit] = {"baseline infarct": contours["baseline"].get("infarct"), **masks}
                    _draw_checkerboard(album, fixed, scan, registration, visit, prefix=f"{at:02d}")
        if moved:
            title = f"{shelf.record.participant_id}, baseline FLAIR and registered follow-ups, matched slices"
            picture = side_by_side(fixed, moved, contours=contours, notes=notes, title=title)
            caption = (
                "Follow-up FLAIR resampled onto the baseline grid for this picture only; "
                "volumes come from the native grids."
            )
            file = "registered.jpg"
            album.add(picture, file, kind="side_by_side", visit="", caption=caption)


def _absence(visit: VisitRecord) -> str:
    if visit.status == "measured":
        return "not registered"
    return STATUS_LABELS[visit.status]


def _to_baseline(visit: VisitRecord) -> Iterator[RegistrationRecord]:
    own = session_label(visit.session_id)
    for registration in visit.registrations:
        if registration.moving == own and registration.path is not None and visit.scan("flair"):
            yield registration
            return


def _moved(
    shelf: _Shelf, visit: VisitRecord, registration: RegistrationRecord, fixed: Scan
) -> tuple[Scan, dict[str, LesionMask | None]]:
    transform = read_tfm(shelf.out / str(registration.path))
    scan = resample(shelf.scan(visit, "flair"), fixed.grid, transform)
    masks: dict[str, LesionMask | None] = {}
    for name, mask in shelf.masks(visit, "flair").items():
        if mask is not None:
            masks[name] = _contour_on(fixed, mask, transform)
    return scan, masks


def _contour_on(fixed: Scan, mask: LesionMask, transform: RigidTransform) -> LesionMask:
    """Return a mask's outline on the baseline grid, for the eye only: half-way level, linear."""
    share = resample(Scan(mask.data.astype(np.float32), mask.grid), fixed.grid, transform)
    return LesionMask(share.data >= 0.5, fixed.grid)


def _draw_within_visit(album: Album, shelf: _Shelf, baseline: VisitRecord, fixed: Scan) -> None:
    """Draw the checkerboard of baseline FLAIR and DWI, which carries the infarct onto the FLAIR."""
    for registration in baseline.registrations:
        if registration.moving != "DWI" or registration.path is None or baseline.scan("dwi") is None:
            continue
        with album.attempt("baseline", "DWI checkerboard"):
            transform = read_tfm(shelf.out / registration.path)
            moved = resample(shelf.scan(baseline, "dwi"), fixed.grid, transform)
            _draw_checkerboard(album, fixed, moved, registration, baseline, prefix="00")


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

"""What is sent to the page to be looked at: scans and masks turned to anatomical axes, never resampled.

The rigid registration of a follow-up is in the affine of its picture, so that all pictures of a case lie in
one space: the scanner space of the reference image, which is the baseline FLAIR where there is one.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from infarct_vol.diffusion import settled_factor, to_um2_per_s
from infarct_vol.errors import AuditError, InfarctVolError, UnitError
from infarct_vol.geometry import Grid
from infarct_vol.images import Modality, Scan
from infarct_vol.intake.reading import is_series
from infarct_vol.nifti import Stored, load_grid, load_stored, packed
from infarct_vol.protocol import Protocol
from infarct_vol.qa.display import slice_view, window
from infarct_vol.records import ParticipantRecord, VisitRecord
from infarct_vol.registration import read_tfm
from infarct_vol.review.orientation import Display, canonical
from infarct_vol.review.versions import load_kept
from infarct_vol.segmentation.cleanup import bounding_box
from infarct_vol.shelf import Shelf, read_file

KEPT_BYTES = 768 * 1024**2
"""Pictures kept in memory, so that a case that was prepared is sent at once."""
_STEPS = 65_000
"""Levels that real numbers are sent in; half a step is the largest error, for eye and threshold brush."""
_SENT_AS_STORED = (np.dtype("<i2"), np.dtype("u1"))
_SAMPLE_VOXELS = 400_000
"""Voxels that tell the window and the unit of an image."""


@dataclass(frozen=True)
class Link:
    """How an image lies in the reference space."""

    matrix: NDArray[np.float64]
    """(4, 4) points of the image's scanner space -> points of the reference space, RAS+ mm."""
    linked: bool
    note: str = ""


class Pictures:
    """Makes pictures of one output folder and keeps the latest in memory.

    Parameters
    ----------
    out, study
        Output folder, and the study folder that holds the scans.
    protocol
        What to believe of a contradictory header.
    """

    def __init__(self, out: Path, study: Path, protocol: Protocol) -> None:
        self.out = out
        self.study = study
        self.protocol = protocol
        self._kept: OrderedDict[tuple[str, ...], bytes] = OrderedDict()
        self._size = 0
        self._lock = threading.Lock()

    def scan(self, record: ParticipantRecord, visit: VisitRecord, modality: Modality) -> Scan:
        """Return an image as it was measured, an ADC map in 1e-6 mm2/s where its unit can be settled."""
        shelf = Shelf(record, self.study, self.out, self.protocol)
        scan = shelf.scan(visit, modality)
        if modality != "adc":
            return scan
        try:
            return to_um2_per_s(scan, unit=self.protocol.adc_unit)
        except InfarctVolError:
            return scan

    def volume(self, record: ParticipantRecord, visit: VisitRecord, modality: Modality) -> bytes:
        """Return an image as NIfTI bytes; its window is in the header (``cal_min``, ``cal_max``)."""
        found = visit.scan(modality)
        stamp = found.sha256 if found else str(visit.session_id)
        key = (record.participant_id, str(visit.session_id), modality, stamp, _placing(record, visit))
        return self._remembered(key, lambda: self._volume(record, visit, modality))

    def _volume(self, record: ParticipantRecord, visit: VisitRecord, modality: Modality) -> bytes:
        stored = _as_integers(self._stored(record, visit, modality))
        sample = _sample(stored)
        if modality == "adc":
            factor = _factor(sample, self.protocol)
            sample = sample.with_data(sample.data * np.float32(factor))
            stored = stored._replace(slope=stored.slope * factor, intercept=stored.intercept * factor)
        display = canonical(stored.grid)
        return packed(
            display.axes.canonical(stored.data),
            placed(display.grid, link_of(record, visit, modality, self.out).matrix),
            slope=stored.slope,
            intercept=stored.intercept,
            window=window(slice_view(sample), modality),
        )

    def _stored(self, record: ParticipantRecord, visit: VisitRecord, modality: Modality) -> Stored:
        """Return an image as it is in its file, or as the shelf computes it from a series."""
        found = visit.scan(modality)
        path = self.study / (found.path if found else "")
        if found is not None and not is_series(read_file(self.study, path, modality)):
            stored = load_stored(path, geometry=self.protocol.geometry)
            if stored.sha256 == found.sha256:
                return stored
        scan = Shelf(record, self.study, self.out, self.protocol).scan(visit, modality)
        return Stored(scan.data, scan.grid, 1.0, 0.0, scan.identity.sha256)

    def mask(
        self,
        record: ParticipantRecord,
        visit: VisitRecord,
        image: Modality,
        path: str,
        sha256: str,
        *,
        box: bool = False,
    ) -> bytes:
        """Return a mask as uint8 NIfTI bytes on the grid of its image's picture.

        Parameters
        ----------
        box
            Send only the box around its voxels, on that part of the grid; one voxel of an empty mask.

        Raises
        ------
        AuditError
            If the file is not what it was when it was measured or saved.
        """
        key = ("mask", path, sha256, _placing(record, visit), "box" if box else "whole")

        def make() -> bytes:
            voxels, grid = self._kept_voxels(path, sha256)
            if box:
                voxels, grid = _boxed(voxels, grid)
            display = canonical(grid)
            matrix = link_of(record, visit, image, self.out).matrix
            return packed(display.axes.canonical(voxels), placed(display.grid, matrix))

        return self._remembered(key, make)

    def _kept_voxels(self, path: str, sha256: str) -> tuple[NDArray[np.uint8], Grid]:
        """Return a mask as 0 and 1, as it is in its file where that is how it was written."""
        with suppress(InfarctVolError):  # whatever is wrong with it is said below
            stored = load_stored(self.out / path)
            plain = stored.data.dtype == np.uint8 and (stored.slope, stored.intercept) == (1.0, 0.0)
            if plain and stored.sha256 == sha256 and stored.data.max() <= 1:
                return stored.data, stored.grid
        mask = load_kept(self.out, path, sha256)
        return mask.data.view(np.uint8), mask.grid

    def display(self, path: str) -> Display:
        """Return how a mask of the output folder is turned for the eye."""
        try:
            return canonical(load_grid(self.out / path))
        except InfarctVolError as error:
            msg = f"{path} cannot be read ({error.message}); put it back from a copy"
            raise AuditError(msg) from None

    def _remembered(self, key: tuple[str, ...], make: Callable[[], bytes]) -> bytes:
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        content = make()
        with self._lock:
            if key not in self._kept:
                self._kept[key] = content
                self._size += len(content)
            while self._size > KEPT_BYTES and len(self._kept) > 1:
                self._size -= len(self._kept.popitem(last=False)[1])
        return content


def _placing(record: ParticipantRecord, visit: VisitRecord) -> str:
    """Return the hash of the transform that places a visit's pictures; nothing where there is none."""
    paths = (registration.path or "" for registration in visit.registrations)
    return record.outputs.get(next(paths, ""), "")


def _boxed(voxels: NDArray[np.uint8], grid: Grid) -> tuple[NDArray[np.uint8], Grid]:
    mask = voxels.view(np.bool_)
    box = bounding_box(mask) if mask.any() else (slice(0, 1), slice(0, 1), slice(0, 1))
    return voxels[box], grid.crop(box)


def _as_integers(stored: Stored) -> Stored:
    """Return an image in integers: as they are in its file, or its real numbers in fine steps."""
    if stored.data.dtype in _SENT_AS_STORED:
        return stored
    data = stored.data.astype(np.float32) * np.float32(stored.slope) + np.float32(stored.intercept)
    finite = np.isfinite(data)
    least, most = (float(f(data, where=finite, initial=i)) for f, i in ((np.min, np.inf), (np.max, -np.inf)))
    if least > most:
        least = most = 0.0
    slope = (most - least) / _STEPS or 1.0
    data = np.where(finite, data, np.float32(least)) - np.float32((least + most) / 2)
    data *= np.float32(1 / slope)
    integers = np.rint(data, out=data).astype(np.int16)
    return Stored(integers, stored.grid, slope, (least + most) / 2, stored.sha256)


def _sample(stored: Stored) -> Scan:
    """Return every n-th voxel of an image, scaled, on the grid that they make."""
    step = max(1, round((stored.data.size / _SAMPLE_VOXELS) ** (1 / 3)))
    data = stored.data[::step, ::step, ::step].astype(np.float32)
    affine = stored.grid.affine @ np.diag([step, step, step, 1.0])
    grid = Grid((data.shape[0], data.shape[1], data.shape[2]), affine)
    return Scan(data * np.float32(stored.slope) + np.float32(stored.intercept), grid)


def _factor(adc: Scan, protocol: Protocol) -> float:
    """Return what brings an ADC map to 1e-6 mm2/s; 1 where its unit cannot be settled."""
    try:
        return settled_factor(adc, unit=protocol.adc_unit)[0]
    except UnitError:
        return 1.0


def placed(grid: Grid, matrix: NDArray[np.float64]) -> Grid:
    """Return a grid as it lies in the reference space."""
    return Grid(grid.shape, matrix @ grid.affine)


def link_of(record: ParticipantRecord, visit: VisitRecord, modality: Modality, out: Path) -> Link:
    """Return how an image lies in the reference space of its participant.

    An image whose registration failed, or was never made, keeps its own scanner space and is not linked.
    """
    baseline = record.visit("baseline")
    has_flair = baseline is not None and baseline.scan("flair") is not None
    same = np.eye(4)
    if visit.visit == "baseline" and (modality == "flair" or not has_flair):
        return Link(same, linked=True)
    usable = [r for r in visit.registrations if r.path is not None and r.verdict != "FAIL"]
    if not usable:
        at_baseline = visit.visit == "baseline"
        note = "linked by scanner coordinates" if at_baseline else "not registered, not linked"
        return Link(same, linked=at_baseline, note=note)
    transform = read_tfm(out / str(usable[0].path))
    note = "registration is doubtful" if usable[0].verdict == "WARN" else ""
    return Link(np.array(transform.inverse().matrix), linked=True, note=note)

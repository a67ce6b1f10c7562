"""What is sent to the page to be looked at: scans and masks turned to anatomical axes, never resampled.

The rigid registration of a follow-up is in the affine of its picture, so that all pictures of a case lie in
one space: the scanner space of the reference image, which is the baseline FLAIR where there is one.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from infarct_vol.diffusion import to_um2_per_s
from infarct_vol.errors import AuditError, InfarctVolError
from infarct_vol.geometry import Grid
from infarct_vol.images import Modality, Scan
from infarct_vol.nifti import load_grid, nifti_bytes, windowed
from infarct_vol.protocol import Protocol
from infarct_vol.qa.display import slice_view, window
from infarct_vol.records import ParticipantRecord, VisitRecord
from infarct_vol.registration import read_tfm
from infarct_vol.review.orientation import Display, canonical
from infarct_vol.review.versions import load_kept
from infarct_vol.shelf import Shelf

KEPT_BYTES = 768 * 1024**2
"""Pictures kept in memory, so that a case that was prepared is sent at once."""
_STEPS = 65_000
"""Levels an intensity is sent in; half a step is the largest error, for the eye and the threshold brush."""


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
        key = (record.participant_id, str(visit.session_id), modality, stamp)
        return self._remembered(key, lambda: self._volume(record, visit, modality))

    def _volume(self, record: ParticipantRecord, visit: VisitRecord, modality: Modality) -> bytes:
        view = slice_view(self.scan(record, visit, modality))
        low, high = window(view, modality)
        data = np.nan_to_num(view.data, nan=float(np.nanmin(view.data)))
        least, most = float(data.min()), float(data.max())
        slope = (most - least) / _STEPS or 1.0
        middle = (least + most) / 2
        grid = placed(view.grid, link_of(record, visit, modality, self.out).matrix)
        content = nifti_bytes(data, grid, dtype="int16", slope=slope, intercept=middle)
        return windowed(content, low=low, high=high)

    def mask(
        self, record: ParticipantRecord, visit: VisitRecord, image: Modality, path: str, sha256: str
    ) -> bytes:
        """Return a mask as uint8 NIfTI bytes on the grid of its image's picture.

        Raises
        ------
        AuditError
            If the file is not what it was when it was measured or saved.
        """
        return self._remembered(
            ("mask", path, sha256), lambda: self._mask(record, visit, image, path, sha256)
        )

    def _mask(
        self, record: ParticipantRecord, visit: VisitRecord, image: Modality, path: str, sha256: str
    ) -> bytes:
        mask = load_kept(self.out, path, sha256)
        display = canonical(mask.grid)
        grid = placed(display.grid, link_of(record, visit, image, self.out).matrix)
        return nifti_bytes(display.shown(mask.data.view(np.uint8)), grid, dtype="uint8")

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

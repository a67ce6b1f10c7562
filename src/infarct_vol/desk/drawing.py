"""A corrected mask on its way from the page, or from a file, to a version on the native grid."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from infarct_vol.brain.plausibility import lesion_doubts, settle_doubts
from infarct_vol.errors import GridMismatchError, ReviewError
from infarct_vol.geometry import Grid
from infarct_vol.images import LesionMask, mask_on
from infarct_vol.nifti import load_mask
from infarct_vol.protocol import GeometrySettings, Protocol
from infarct_vol.review.cases import Case
from infarct_vol.review.model import KEYS_OF, MaskKey, MaskVersion
from infarct_vol.review.orientation import Display, canonical
from infarct_vol.review.state import Reading
from infarct_vol.review.versions import Canvas, open_canvas, save_edit


class Drawing:
    """One mask of one item while it is corrected.

    Parameters
    ----------
    out
        Output folder.
    case, item, key
        Whose mask it is.
    reading
        What was read so far.
    protocol
        How components are connected.
    parent_sha256
        The mask the reader started from.
    """

    def __init__(
        self,
        out: Path,
        case: Case,
        reading: Reading,
        protocol: Protocol,
        item: str,
        key: str,
        parent_sha256: str,
    ) -> None:
        self.facts = case.found(item)
        self.key: MaskKey = key  # type: ignore[assignment]
        self.remark = ""
        """What the reader has confirmed of a mask that looked wrong."""
        self._case = case
        self._out = out
        self._protocol = protocol
        saved = case.visible(reading, self.facts)
        current = {**case.in_work(reading, self.facts), self.key: parent_sha256}
        self._versions = {
            name: saved[sha256].version
            for name, sha256 in current.items()
            if sha256 in saved and sha256 != self.facts.masks.get(name)
        }

    @cached_property
    def canvas(self) -> Canvas:
        """What the mask is drawn on."""
        return open_canvas(
            self._out, self._case.record, self.facts.item, protocol=self._protocol, versions=self._versions
        )

    @cached_property
    def display(self) -> Display:
        """How the native grid is turned for the page."""
        return canonical(self.canvas.grid)

    def uploaded(
        self, content: bytes, filename: str, geometry: GeometrySettings, *, confirmed: bool
    ) -> NDArray[np.bool_]:
        """Return the voxels of a mask drawn elsewhere; parameters and errors as `read_upload`.

        Raises
        ------
        MaskError
            If an infarct fits the automatic one mirrored, or is as large as a brain, and the reader did not
            confirm it.
        """
        voxels = read_upload(content, filename, self.canvas.grid, geometry)
        is_infarct = self.key == KEYS_OF[self.facts.item.image][0]
        automatic = self.canvas.automatic.get(self.key) if is_infarct else None
        mask = LesionMask(voxels, self.canvas.grid)
        doubts = lesion_doubts(mask, automatic=automatic and replace(automatic, grid=self.canvas.grid))
        remedy = "tick 'It is meant as it is' and upload it again"
        self.remark = " ".join(
            settle_doubts(doubts, name="the mask", confirmed=confirmed, remedy=remedy, where=self._case.title)
        )
        return voxels

    def saved(self, voxels: NDArray[np.bool_], *, tool: str) -> tuple[MaskVersion, ...]:
        """Write the mask as a version, and those of the parts it cuts.

        Raises
        ------
        ReviewError
            If nothing was changed.
        """
        parent = self.canvas.current.get(self.key)
        if parent is not None and np.array_equal(parent.data, voxels):
            msg = "nothing was changed: the mask is the one it was made from"
            raise ReviewError(msg, where=self._case.title)
        return save_edit(self.canvas, self.key, voxels, kind=self._case.kind, tool=tool)


def read_voxels(content: bytes, display: Display) -> NDArray[np.bool_]:
    """Return a mask on the native grid from one byte a voxel, 0 or 1, as the page shows it, i fastest.

    Raises
    ------
    GridMismatchError
        If there are more or fewer voxels than the image has.
    ReviewError
        If a byte is neither 0 nor 1.
    """
    shape = display.grid.shape
    expected = int(np.prod(shape))
    if len(content) != expected:
        msg = f"{len(content)} voxels were sent, the image has {expected} ({display.grid.describe()})"
        raise GridMismatchError(msg)
    voxels = np.frombuffer(content, dtype=np.uint8)
    if voxels.size and voxels.max() > 1:
        msg = f"a mask holds 0 and 1 only, found {int(voxels.max())}"
        raise ReviewError(msg)
    return np.asarray(display.native(voxels.reshape(shape, order="F").view(np.bool_)), dtype=np.bool_)


def read_upload(content: bytes, filename: str, grid: Grid, geometry: GeometrySettings) -> NDArray[np.bool_]:
    """Return a mask from the bytes of a NIfTI file drawn on an image.

    Parameters
    ----------
    content
        The file.
    filename
        Its name; says no more than whether it is compressed, and no file has it.
    grid
        The image's native grid.
    geometry
        What to believe of a contradictory header.

    Raises
    ------
    ScanRefusedError
        If it is damaged, or no binary mask.
    GridMismatchError
        If it is not on the image's grid; it is never resampled.
    """
    name = "upload.nii.gz" if filename.lower().endswith(".gz") else "upload.nii"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(content)
        mask = load_mask(path, geometry=geometry, sidecar=False, full=True)
    return np.asarray(mask_on(mask, grid, limit_mm=geometry.tolerance_mm).data)

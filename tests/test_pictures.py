"""What is sent to be looked at: numbers as they are stored, windows, units, and boxes of masks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from desk_trial import run_toy, shown_voxels
from numpy.typing import NDArray
from toy_trials import GRID, SHAPE

from infarct_vol.desk import Desk
from infarct_vol.desk.pictures import Pictures
from infarct_vol.errors import AuditError
from infarct_vol.files import file_sha256
from infarct_vol.geometry import Grid
from infarct_vol.images import LesionMask, Modality
from infarct_vol.nifti import save_array, save_mask
from infarct_vol.protocol import Protocol
from infarct_vol.records import ParticipantRecord, ScanRecord, VisitRecord

LAS = Grid(SHAPE, np.array([[-2.0, 0, 0, 30], [0, 2, 0, -10], [0, 0, 5, 4], [0, 0, 0, 1]]))
"""The first axis runs to the left."""


class Files:
    """A folder with one baseline image, and pictures of it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.pictures = Pictures(root, root, Protocol())

    def shown(self, data: NDArray[np.generic], modality: Modality = "flair", **stored: object) -> bytes:
        save_array(data, LAS, self.root / "scan.nii.gz", **stored)  # type: ignore[arg-type]
        digest = file_sha256(self.root / "scan.nii.gz")
        facts = {"spacing_mm": (2, 2, 5), "shape": SHAPE, "axis_codes": "LAS"}
        scan = ScanRecord(modality=modality, path="scan.nii.gz", sha256=digest, **facts)  # type: ignore[arg-type]
        visit = VisitRecord(
            visit="baseline",
            session_id="ses-BL",
            acq_time=None,
            study_day=None,
            status="measured",
            scans=(scan,),
        )
        record = ParticipantRecord(
            participant_id="sub-001",
            fingerprint="",
            version="",
            protocol_sha256="",
            visits=(visit,),
            rows=(),
            inputs={},
            outputs={},
        )
        self.record, self.visit = record, visit
        return self.pictures.volume(record, visit, modality)

    def mask(self, data: NDArray[np.bool_], *, box: bool) -> bytes:
        self.shown(np.ones(SHAPE), dtype="int16")
        path = self.root / "mask.nii.gz"
        save_mask(LesionMask(data, LAS), path)
        digest = file_sha256(path)
        return self.pictures.mask(self.record, self.visit, "flair", "mask.nii.gz", digest, box=box)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def numbers(content: bytes, dtype: str) -> NDArray[np.generic]:
    """Return stored numbers of uncompressed NIfTI bytes."""
    shape = np.frombuffer(content[42:48], dtype="<i2")
    return np.frombuffer(content[352:], dtype=dtype).reshape(shape, order="F")


def floats(content: bytes, at: int, count: int) -> list[float]:
    """Return numbers of a header."""
    return np.frombuffer(content[at : at + 4 * count], dtype="<f4").tolist()


def test_integers_are_sent_as_they_are_stored(files: Files) -> None:
    stored = np.arange(np.prod(SHAPE)).reshape(SHAPE).astype(np.int16)
    content = files.shown(stored * 0.5 + 3, dtype="int16", slope=0.5, intercept=3.0)
    # left to right
    assert np.array_equal(numbers(content, "<i2"), stored[::-1])
    assert floats(content, 112, 2) == [0.5, 3.0]
    # the first voxel shown is the last one of the file: 30 - 19 * 2 = -8 mm
    assert floats(content, 280, 4) == [2.0, 0.0, 0.0, -8.0]


def test_real_numbers_are_sent_within_half_a_step(files: Files) -> None:
    data = np.random.default_rng(1).normal(100, 30, SHAPE).astype(np.float32)
    data[0, 0, 0], data[1, 0, 0] = np.nan, np.inf
    content = files.shown(data, dtype="float32")
    slope, middle = floats(content, 112, 2)
    shown = numbers(content, "<i2")[::-1] * slope + middle
    known = np.isfinite(data)
    assert slope == pytest.approx((data[known].max() - data[known].min()) / 65_000)
    assert np.abs(shown[known] - data[known]).max() <= 0.51 * slope
    # what is no number is shown as the least of all
    assert shown[0, 0, 0] == shown[1, 0, 0] == pytest.approx(data[known].min(), abs=slope)


def test_an_image_without_a_number_is_shown_empty(files: Files) -> None:
    content = files.shown(np.full(SHAPE, np.nan, dtype=np.float32), dtype="float32")
    assert not numbers(content, "<i2").any()


@pytest.mark.parametrize(("unit", "factor"), [("1e-3 mm2/s", 1e3), ("1e-6 mm2/s", 1.0)])
def test_an_adc_map_is_sent_in_one_unit(files: Files, unit: str, factor: float) -> None:
    data = np.random.default_rng(1).normal(800, 20, SHAPE) / factor
    content = files.shown(data, "adc", dtype="int16", slope=0.05 / factor)
    slope, intercept = floats(content, 112, 2)
    shown = numbers(content, "<i2")[::-1] * slope + intercept
    assert np.median(shown) == pytest.approx(800, rel=0.01), unit
    # white is 2.4 times the median
    assert floats(content, 124, 2) == pytest.approx([1920, 0], rel=0.01)


def test_a_mask_can_be_sent_as_the_box_around_it(files: Files) -> None:
    lesion = np.zeros(SHAPE, dtype=bool)
    lesion[3:7, 5:8, 2:4] = True
    lesion[3, 5, 2] = False
    whole, box = (files.mask(lesion, box=box) for box in (False, True))
    assert np.array_equal(shown_voxels(whole), lesion[::-1])
    assert np.array_equal(shown_voxels(box), lesion[3:7, 5:8, 2:4][::-1])
    # voxel 6 of the file is the first one shown: 30 - 12 = 18 mm to the right, 0 to the front, 14 up
    assert [floats(box, 280 + 16 * row, 4)[3] for row in range(3)] == [18.0, 0.0, 14.0]


def test_of_an_empty_mask_one_voxel_is_sent(files: Files) -> None:
    content = files.mask(np.zeros(SHAPE, dtype=bool), box=True)
    assert shown_voxels(content).tolist() == [[[0]]]


def test_a_mask_that_was_altered_is_not_shown(files: Files) -> None:
    files.mask(np.zeros(SHAPE, dtype=bool), box=False)
    path = files.root / "mask.nii.gz"
    before = file_sha256(path)
    save_mask(LesionMask(np.ones(SHAPE, dtype=bool), LAS), path)
    fresh = Pictures(files.root, files.root, Protocol())
    with pytest.raises(AuditError, match="mask.nii.gz was altered"):
        fresh.mask(files.record, files.visit, "flair", "mask.nii.gz", before, box=True)


def test_a_desk_sends_boxes_on_the_grid_of_the_panel(tmp_path: Path) -> None:
    desk = Desk(run_toy(tmp_path, participants=1))
    reader = desk.readers.enrol("Dr Ada", "correct horse battery")
    code = desk.worklist(reader)["cases"][0]["code"]
    whole, box = (shown_voxels(desk.mask(reader, code, "v1.dwi", "dwi", box=box)) for box in (False, True))
    assert whole.shape == GRID.shape
    assert box.size < whole.size
    assert box.sum() == whole.sum() == 101

"""Small synthetic DICOM series, written file by file: classic and multi-frame, in any orientation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import ExplicitVRLittleEndian

from infarct_vol.geometry import Grid

MR, ENHANCED_MR = "1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.4.1"
ROOT = "1.2.826.0.1.3680043.8.498.77"
AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
SPACING_MM = (1.5, 1.25)
"""Between rows, between columns."""


def base(sop_class: str, uid: str, *, series: int = 4) -> FileDataset:
    """Return a header of one invented patient and study."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = sop_class, uid
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    item = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    item.SOPClassUID, item.SOPInstanceUID = sop_class, uid
    item.StudyInstanceUID, item.SeriesInstanceUID = f"{ROOT}.1", f"{ROOT}.2.{series}"
    item.FrameOfReferenceUID = f"{ROOT}.3"
    item.PatientID, item.PatientName = "P-17", "Doe^Jo"
    item.PatientBirthDate, item.PatientSex = "", "O"
    item.StudyID, item.AccessionNumber, item.ReferringPhysicianName = "1", "A1", ""
    item.StudyDate, item.StudyTime = "20240910", "101500"
    item.ContentDate, item.ContentTime = "20240910", "102233"
    item.Modality, item.SeriesNumber, item.Manufacturer = "MR", series, "Toy"
    item.SeriesDescription = "Doe secret words"
    item.ImageType = ["ORIGINAL", "PRIMARY", "M"]
    item.SamplesPerPixel, item.PhotometricInterpretation = 1, "MONOCHROME2"
    item.BitsAllocated, item.BitsStored, item.HighBit, item.PixelRepresentation = 16, 12, 11, 0
    return item


def positions(count: int, *, orientation: Sequence[float] = AXIAL, gap_mm: float = 5.0) -> np.ndarray:
    """Return (count, 3) places along the normal, LPS mm."""
    normal = np.cross(orientation[:3], orientation[3:])
    return np.array([-20.0, -31.5, 12.25]) + np.outer(np.arange(count) * gap_mm, normal)


def write_series(
    folder: Path,
    *,
    shape: tuple[int, int, int] = (6, 5, 4),
    orientation: Sequence[float] = AXIAL,
    gap_mm: float = 5.0,
    series: int = 4,
    pixels: np.ndarray | None = None,
    first: int = 0,
    **tags: object,
) -> list[Path]:
    """Write a classic series of (columns, rows, slices); ``pixels`` is (slices, rows, columns)."""
    folder.mkdir(parents=True, exist_ok=True)
    columns, rows, count = shape
    if pixels is None:
        pixels = np.arange(count * rows * columns, dtype=np.uint16).reshape(count, rows, columns)
    paths = []
    # written backwards: the order of files says nothing of the order of slices
    for k in reversed(range(count)):
        item = base(MR, f"{ROOT}.4.{series}.{first + k + 1}", series=series)
        item.Rows, item.Columns, item.InstanceNumber = rows, columns, count - k
        item.ImageOrientationPatient = [f"{v:.10g}" for v in orientation]
        item.ImagePositionPatient = [
            f"{v:.10g}" for v in positions(count, orientation=orientation, gap_mm=gap_mm)[k]
        ]
        item.PixelSpacing, item.SliceThickness = list(SPACING_MM), 4.0
        item.PixelData = pixels[k].astype("<u2").tobytes()
        for name, value in tags.items():
            setattr(item, name, value)
        path = folder / f"{series}_{first + count - k:03d}.dcm"
        item.save_as(path, enforce_file_format=True)
        paths.append(path)
    return paths[::-1]


def write_enhanced(
    folder: Path, *, shape: tuple[int, int, int] = (6, 5, 4), b_values: Sequence[float] = (0.0, 1000.0)
) -> Path:
    """Write one Enhanced MR file: all slices at every b-value, orientation and spacing per frame."""
    folder.mkdir(parents=True, exist_ok=True)
    columns, rows, count = shape
    item = base(ENHANCED_MR, f"{ROOT}.5.1", series=7)
    item.Rows, item.Columns, item.InstanceNumber = rows, columns, 1
    item.NumberOfFrames = count * len(b_values)
    shared = Dataset()
    frames = []
    for k in range(count):
        for b_value in b_values:
            frame = Dataset()
            place, turn, measure, diffusion = Dataset(), Dataset(), Dataset(), Dataset()
            place.ImagePositionPatient = [float(v) for v in positions(count)[k]]
            turn.ImageOrientationPatient = list(AXIAL)
            measure.PixelSpacing, measure.SliceThickness = list(SPACING_MM), 5.0
            diffusion.DiffusionBValue = b_value
            frame.PlanePositionSequence, frame.PlaneOrientationSequence = Items([place]), Items([turn])
            frame.PixelMeasuresSequence, frame.MRDiffusionSequence = Items([measure]), Items([diffusion])
            frames.append(frame)
    item.SharedFunctionalGroupsSequence = Items([shared])
    item.PerFrameFunctionalGroupsSequence = Items(frames)
    item.PixelData = np.arange(len(frames) * rows * columns, dtype="<u2").tobytes()
    path = folder / "enhanced.dcm"
    item.save_as(path, enforce_file_format=True)
    return path


def grid_of(
    *, shape: tuple[int, int, int] = (6, 5, 4), orientation: Sequence[float] = AXIAL, gap_mm: float = 5.0
) -> Grid:
    """Return the grid of `write_series` as its NIfTI conversion has it: (columns, rows, slices), RAS+ mm."""
    affine = np.eye(4)
    affine[:3, 0] = np.array(orientation[:3]) * SPACING_MM[1]
    affine[:3, 1] = np.array(orientation[3:]) * SPACING_MM[0]
    affine[:3, 2] = np.cross(orientation[:3], orientation[3:]) * gap_mm
    affine[:3, 3] = positions(1, orientation=orientation)[0]
    affine[:2] *= -1
    return Grid(shape, affine)

"""Masks made elsewhere: what is taken, what is refused, what is reported."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from infarct_vol.errors import GridMismatchError, HeaderError, ScanRefusedError
from infarct_vol.external import (
    Edit,
    ExternalMask,
    MaskFolder,
    external_mask,
    find_masks,
    masks_without_image,
    outside_brain,
    unused_masks,
)
from infarct_vol.geometry import Grid
from infarct_vol.images import BrainMask, Identity, LesionMask, Scan
from infarct_vol.nifti import save_array
from infarct_vol.protocol import GeometrySettings
from infarct_vol.study import Participant, Session

SHAPE = (20, 20, 8)
GRID = Grid(SHAPE, np.diag([1.0, 1.0, 5.0, 1.0]))
PERSON = Participant("01", sessions=(Session("ses-BL"), Session("ses-M01")))
LESION = (slice(5, 15), slice(5, 15), slice(2, 4))
"""10 x 10 x 2 voxels of 5 mm3: 1.0 mL."""


def scan(modality: str = "flair", grid: Grid = GRID) -> Scan:
    identity = Identity(participant_id="01", session_id="ses-M01", modality=modality)  # type: ignore[arg-type]
    return Scan(np.zeros(grid.shape), grid, identity)


def write(folder: Path, name: str, values: np.ndarray, *, grid: Grid = GRID, dtype: str = "uint8") -> Path:
    path = folder / name
    save_array(values, grid, path, dtype=dtype)
    return path


def block(value: float = 1.0) -> np.ndarray:
    data = np.zeros(SHAPE)
    data[LESION] = value
    return data


def taken(folder: Path, image: Scan | None = None, **options: object) -> ExternalMask | None:
    place = MaskFolder(folder, GeometrySettings(), {})
    return external_mask(place, PERSON, image or scan(), **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(("value", "dtype"), [(1, "uint8"), (255, "uint8"), (3, "uint16"), (1, "float32")])
def test_any_one_label_is_a_mask(tmp_path: Path, value: int, dtype: str) -> None:
    write(tmp_path, "sub-01_ses-M01_mask.nii.gz", block(value), dtype=dtype)
    found = taken(tmp_path)
    assert found is not None
    assert found.mask.volume_ml == pytest.approx(1.0)
    assert found.file == "masks/sub-01_ses-M01_mask.nii.gz"
    assert len(found.sha256) == 64


def test_an_empty_mask_is_a_mask_of_zero_ml(tmp_path: Path) -> None:
    write(tmp_path, "sub-01_ses-M01_mask.nii.gz", block(0))
    found = taken(tmp_path)
    assert found is not None
    assert found.mask.volume_ml == 0.0


def test_fractions_and_several_labels_are_refused_with_the_remedy(tmp_path: Path) -> None:
    path = write(tmp_path, "sub-01_ses-M01_mask.nii.gz", block(0.4), dtype="float32")
    with pytest.raises(HeaderError, match="not a binary mask.*export one label as 0/1"):
        taken(tmp_path)
    labels = block(1)
    labels[0, 0, 0] = 2
    path.unlink()
    write(tmp_path, "sub-01_ses-M01_mask.nii.gz", labels)
    with pytest.raises(HeaderError, match=r"holds 2 labels besides 0 \(1 in 200 voxels, 2 in 1 voxels\)"):
        taken(tmp_path)


def test_a_grid_within_the_rounding_of_a_quaternion_is_the_same_grid(tmp_path: Path) -> None:
    rounded = np.array(GRID.affine)
    rounded[:3, 3] += 0.1
    write(tmp_path, "sub-01_ses-M01_mask.nii.gz", block(), grid=Grid(SHAPE, rounded))
    found = taken(tmp_path)
    assert found is not None
    assert found.mask.grid.is_same_as(GRID, tol_mm=0.0), "it lies on the grid of its image"


@pytest.mark.parametrize("shift_mm", [0.6, 1.0, -1.0])
def test_a_grid_off_by_a_voxel_or_less_is_refused_with_both_grids(tmp_path: Path, shift_mm: float) -> None:
    moved = np.array(GRID.affine)
    moved[0, 3] += shift_mm
    write(tmp_path, "sub-01_ses-M01_mask.nii.gz", block(), grid=Grid(SHAPE, moved))
    with pytest.raises(
        GridMismatchError, match=r"01 ses-M01 FLAIR: .*origin \(-?[01]\.\d+, .*origin \(0\.00, "
    ):
        taken(tmp_path)


def test_small_voxels_allow_a_quarter_of_a_voxel(tmp_path: Path) -> None:
    small = Grid(SHAPE, np.diag([0.4, 0.4, 5.0, 1.0]))
    moved = np.array(small.affine)
    moved[0, 3] += 0.2
    write(tmp_path, "sub-01_ses-M01_mask.nii.gz", block(), grid=Grid(SHAPE, moved))
    with pytest.raises(GridMismatchError, match="save the mask on the grid of the image"):
        taken(tmp_path, scan(grid=small))


def test_a_mask_that_names_no_image_goes_to_the_one_whose_grid_it_has(tmp_path: Path) -> None:
    flair = Grid((30, 30, 8), GRID.affine)
    write(tmp_path, "sub-01_ses-M01_mask.nii.gz", block())
    assert taken(tmp_path, scan("dwi"), others=lambda: {"flair": flair}) is not None
    assert taken(tmp_path, scan(grid=flair), others=lambda: {"dwi": GRID}) is None
    with pytest.raises(GridMismatchError, match="lies on the grid of DWI and FLAIR"):
        taken(tmp_path, scan("dwi"), others=lambda: {"flair": GRID})


@pytest.mark.parametrize(
    ("name", "image"),
    [
        ("sub-01_ses-M01_dwi_mask.nii.gz", "dwi"),
        ("sub-01_ses-M01_space-DWI_desc-reader_mask.nii.gz", "dwi"),
        ("sub-01_ses-M01_trace_mask.nii.gz", "dwi"),
        ("anat/sub-01_ses-M01_FLAIR_mask.nii.gz", "flair"),
        ("anat/sub-01_ses-M01_desc-infarct_mask.nii", "flair"),
        ("dwi/sub-01_ses-M01_desc-infarct_mask.nii.gz", "dwi"),
        ("dwi/sub-01_ses-M01_space-FLAIR_mask.nii.gz", "flair"),
    ],
)
def test_the_name_and_then_the_folder_say_which_image(tmp_path: Path, name: str, image: str) -> None:
    write(tmp_path, name, block())
    both = {modality: taken(tmp_path, scan(modality), others=lambda: {}) for modality in ("dwi", "flair")}
    assert [modality for modality, found in both.items() if found] == [image]


def test_two_masks_for_one_image_are_refused(tmp_path: Path) -> None:
    write(tmp_path, "sub-01_ses-M01_desc-one_mask.nii.gz", block())
    write(tmp_path, "sub-01_ses-M01_desc-two_mask.nii.gz", block())
    with pytest.raises(ScanRefusedError, match="2 masks fit this image .*desc-one.*desc-two"):
        taken(tmp_path)


def test_a_mask_of_a_manifest_is_used_without_a_folder(tmp_path: Path) -> None:
    path = write(tmp_path, "anything.nii.gz", block())
    found = external_mask(MaskFolder(None, GeometrySettings(), {}), PERSON, scan(), stated=path)
    assert found is not None
    assert found.source == f"external: anything.nii.gz, SHA-256 {found.sha256}"


def test_our_own_other_results_are_no_infarct_masks(tmp_path: Path) -> None:
    for desc in ("infarct", "cavity", "newlesion", "auto", "brain"):
        write(tmp_path, f"anat/sub-01_ses-M01_desc-{desc}_mask.nii.gz", block())
    write(tmp_path, "anat/sub-01_ses-M01_space-BL_desc-change_dseg.nii.gz", block())
    assert [path.name for path in find_masks(tmp_path, PERSON)] == ["sub-01_ses-M01_desc-infarct_mask.nii.gz"]
    assert unused_masks(tmp_path, [PERSON]) == ()


def test_files_that_belong_to_nobody_are_named(tmp_path: Path) -> None:
    write(tmp_path, "sub-01_ses-M01_mask.nii.gz", block())
    for name in ("sub-02_ses-M01_mask.nii.gz", "sub-01_ses-M09_mask.nii.gz", "sub-01_ses-M01_edited.nii.gz"):
        write(tmp_path, name, block())
    (tmp_path / "Segmentation.seg.nrrd").write_bytes(b"NRRD0004")
    (tmp_path / "notes.txt").write_text("not an image")
    assert unused_masks(tmp_path, [PERSON]) == (
        "Segmentation.seg.nrrd",
        "sub-01_ses-M01_edited.nii.gz",
        "sub-01_ses-M09_mask.nii.gz",
        "sub-02_ses-M01_mask.nii.gz",
    )


def test_masks_that_name_an_image_nothing_is_measured_on(tmp_path: Path) -> None:
    write(tmp_path, "sub-01_ses-M01_dwi_mask.nii.gz", block())
    write(tmp_path, "sub-01_ses-M01_mask.nii.gz", block())
    found = masks_without_image(tmp_path, PERSON, session_id="ses-M01", measured=["flair"])
    assert found == ("masks/sub-01_ses-M01_dwi_mask.nii.gz",)


def test_a_tenth_outside_the_brain_is_allowed() -> None:
    mask, inside = LesionMask(block(), GRID), np.ones(SHAPE, dtype=bool)
    inside[14] = False
    assert outside_brain(mask, BrainMask(inside, GRID)) == ""
    inside[13] = False
    assert outside_brain(mask, BrainMask(inside, GRID)).startswith("20 % of the mask")
    assert outside_brain(mask.with_data(block(0)), BrainMask(inside, GRID)) == ""


def test_an_edit_is_what_differs_from_the_automatic_mask() -> None:
    mask = LesionMask(block(), GRID)
    grown = block()
    grown[5:15, 15, 2:4] = 1
    external = ExternalMask(mask.with_data(grown), "m.nii.gz", "0" * 64)
    edit = Edit(external, mask)
    assert edit.differs
    assert edit.difference_ml == pytest.approx(0.1)
    assert edit.overlap == pytest.approx(2 * 200 / (200 + 220))
    assert not Edit(ExternalMask(mask, "m.nii.gz", "0" * 64), mask).differs
    alone = Edit(external, None)
    assert (alone.differs, alone.difference_ml, alone.overlap) == (False, None, None)


def test_a_participants_label_says_nothing_of_the_image(tmp_path: Path) -> None:
    person = Participant("DWI000", sessions=(Session("ses-BL"), Session("ses-M01")))
    identity = Identity(participant_id="DWI000", session_id="ses-M01", modality="flair")
    write(tmp_path, "sub-DWI000_ses-M01_mask.nii.gz", block())
    place = MaskFolder(tmp_path, GeometrySettings(), {})
    found = external_mask(place, person, Scan(np.zeros(SHAPE), GRID, identity))
    assert found is not None
    assert found.mask.volume_ml == pytest.approx(1.0)


def test_the_only_session_of_a_participant_need_not_be_named(tmp_path: Path) -> None:
    for name in ("sub-01_mask.nii.gz", "sub-01_desc-lesion_mask.nii.gz", "sub-011_mask.nii.gz"):
        write(tmp_path, name, block())
    only = Participant("01", sessions=(Session("ses-01"),))
    assert [p.name for p in find_masks(tmp_path, only)] == [
        "sub-01_desc-lesion_mask.nii.gz",
        "sub-01_mask.nii.gz",
    ]
    assert find_masks(tmp_path, PERSON) == ()

"""Voxels never travel without their grid, and nobody writes into another's image."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import grids

from infarct_vol.errors import GridMismatchError
from infarct_vol.geometry import Grid
from infarct_vol.images import MODALITY_LABELS, BrainMask, Identity, LesionMask, Scan, require_same_grid

GRID = Grid((20, 30, 12), np.diag([1.0, 1.0, 5.0, 1.0]))


def block() -> np.ndarray:
    data = np.zeros(GRID.shape, dtype=bool)
    data[5:15, 10:20, 1:11] = True
    return data


def test_a_10x10x10_block_at_1x1x5_mm_is_5_ml():
    mask = LesionMask(data=block(), grid=GRID)
    assert mask.voxel_count == 1000
    assert mask.volume_ml == pytest.approx(5.0, rel=1e-12)
    assert BrainMask(data=block(), grid=GRID).volume_ml == pytest.approx(5.0, rel=1e-12)


@given(grid=grids(), axis=st.integers(0, 2), seed=st.integers(0, 99))
def test_flips_and_axis_permutations_leave_the_volume_unchanged(grid, axis, seed):
    data = np.random.default_rng(seed).random(grid.shape) < 0.4
    volume_ml = LesionMask(data=data, grid=grid).volume_ml
    flip = np.eye(4)
    flip[axis, axis], flip[axis, 3] = -1, grid.shape[axis] - 1
    flipped = Grid(grid.shape, grid.affine @ flip)
    assert LesionMask(data=np.flip(data, axis), grid=flipped).volume_ml == pytest.approx(volume_ml)
    order = np.roll([0, 1, 2], axis)
    permuted = Grid(tuple(np.array(grid.shape)[order]), grid.affine[:, [*order, 3]])
    assert LesionMask(data=data.transpose(order), grid=permuted).volume_ml == pytest.approx(volume_ml)


def test_an_empty_mask_is_zero_ml():
    assert LesionMask(data=np.zeros(GRID.shape), grid=GRID).volume_ml == 0.0


@pytest.mark.parametrize("kind", [Scan, BrainMask, LesionMask])
def test_voxels_of_another_shape_are_refused(kind):
    with pytest.raises(GridMismatchError, match=r"shape \(3, 3, 3\) does not fit a grid of shape"):
        kind(data=np.zeros((3, 3, 3)), grid=GRID)


@pytest.mark.parametrize("kind", [Scan, BrainMask, LesionMask])
def test_images_are_read_only(kind):
    image = kind(data=np.zeros(GRID.shape), grid=GRID)
    with pytest.raises(ValueError, match="read-only"):
        image.data[0, 0, 0] = 1
    with pytest.raises(FrozenInstanceError):
        image.grid = GRID


def test_scans_are_float32_and_masks_bool():
    assert Scan(data=np.zeros(GRID.shape, dtype="f8"), grid=GRID).data.dtype == np.float32
    assert LesionMask(data=np.full(GRID.shape, 255, dtype="u1"), grid=GRID).data.all()


def test_other_intensities_keep_grid_identity_and_remarks():
    identity = Identity(participant_id="sub-007", session_id="ses-BL", modality="adc")
    scan = Scan(data=np.ones(GRID.shape), grid=GRID, identity=identity, remarks=("unit unknown",))
    scaled = scan.with_data(scan.data * 2, remark="times 2")
    assert scaled.grid is scan.grid
    assert scaled.identity == identity
    assert scaled.modality == "adc"
    assert scaled.remarks == ("unit unknown", "times 2")
    assert scan.with_data(scan.data).remarks == ("unit unknown",)
    assert float(scan.data.max()) == 1.0


def test_other_voxels_keep_the_mask_s_grid_and_method():
    mask = LesionMask(data=block(), grid=GRID, method="local 1")
    smaller = mask.with_data(np.zeros(GRID.shape))
    assert (smaller.voxel_count, smaller.method, mask.voxel_count) == (0, "local 1", 1000)


@pytest.mark.parametrize(
    ("identity", "text"),
    [
        (Identity(participant_id="sub-003", session_id="ses-M03", modality="flair"), "sub-003 ses-M03 FLAIR"),
        (Identity(participant_id="sub-003", modality="dwi"), "sub-003 DWI"),
        (Identity(path=Path("folder/scan.nii.gz")), "scan.nii.gz"),
        (Identity(), "scan"),
    ],
)
def test_an_identity_names_itself_in_messages(identity, text):
    assert str(identity) == text


def test_every_modality_has_a_label():
    assert set(MODALITY_LABELS) == {"dwi", "adc", "b0", "flair", "t1w", "t2w", "unknown"}


def test_a_mismatch_names_both_grids():
    scan = Scan(data=np.zeros(GRID.shape), grid=GRID)
    mask = LesionMask(data=np.zeros((20, 30, 11)), grid=Grid((20, 30, 11), GRID.affine))
    require_same_grid(scan, scan, what="DWI and mask")
    with pytest.raises(GridMismatchError, match=r"DWI and mask must share.*20x30x12.*20x30x11"):
        require_same_grid(scan, mask, what="DWI and mask")

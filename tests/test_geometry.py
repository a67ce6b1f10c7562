"""Grids: volume and place do not depend on how the array is laid out."""

from __future__ import annotations

import itertools
import pickle

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray
from strategies import grids

from infarct_vol.errors import HeaderError
from infarct_vol.geometry import Grid

ORIENTATIONS = [
    (axes, signs)
    for axes in itertools.permutations(range(3))
    for signs in itertools.product((1, -1), repeat=3)
]
"""All 48 ways of laying array axes along the anatomical ones: RAS, LAS, LPS, ASR ..."""
INDEX = st.tuples(*[st.floats(-20, 20)] * 3)


def rotation(angles_degrees: tuple[float, float, float]) -> NDArray[np.float64]:
    """Return the (3, 3) rotation about x, then y, then z."""
    matrix = np.eye(3)
    for axis, angle in enumerate(np.radians(angles_degrees)):
        first, second = [a for a in range(3) if a != axis]
        turn = np.eye(3)
        turn[first, first] = turn[second, second] = np.cos(angle)
        turn[first, second], turn[second, first] = -np.sin(angle), np.sin(angle)
        matrix = turn @ matrix
    return matrix


def block_grid(spacing_mm: tuple[float, float, float] = (1.0, 1.0, 5.0)) -> Grid:
    return Grid((20, 30, 12), np.diag([*spacing_mm, 1.0]))


def test_a_block_of_1000_voxels_at_1x1x5_mm_is_5_ml():
    assert block_grid().voxel_volume_mm3 == 5.0
    assert 1000 * block_grid().voxel_volume_ml == 5.0
    assert block_grid().spacing_mm == pytest.approx([1, 1, 5])


@pytest.mark.parametrize(("axes", "signs"), ORIENTATIONS)
def test_every_orientation_has_the_same_voxel_volume(axes, signs):
    affine = np.eye(4)
    affine[:3, :3] = np.eye(3)[:, axes] * np.array(signs) * np.array([0.9, 1.1, 5.0])
    grid = Grid((4, 5, 6), affine)
    assert grid.voxel_volume_mm3 == pytest.approx(4.95)
    assert grid.slice_axis == 2
    letters = [("LR", "PA", "IS")[axis][sign > 0] for axis, sign in zip(axes, signs, strict=True)]
    assert grid.axis_codes == "".join(letters)


@given(grid=grids(), angles=st.tuples(*[st.floats(-180, 180)] * 3))
def test_turning_the_head_leaves_spacing_and_volume_unchanged(grid, angles):
    turn = np.eye(4)
    turn[:3, :3] = rotation(angles)
    turned = Grid(grid.shape, turn @ grid.affine)
    assert turned.voxel_volume_ml == pytest.approx(grid.voxel_volume_ml, rel=1e-9)
    assert turned.spacing_mm == pytest.approx(grid.spacing_mm, rel=1e-9)


@given(grid=grids())
def test_volume_is_the_product_of_spacings_on_rectangular_grids(grid):
    assert grid.voxel_volume_mm3 == pytest.approx(float(np.prod(grid.spacing_mm)), rel=1e-9)


def test_a_sheared_voxel_has_the_volume_of_its_determinant():
    affine = np.array([[1.0, 0.5, 0, 0], [0, 1, 0, 0], [0, 0, 5, 0], [0, 0, 0, 1]])
    assert Grid((2, 2, 2), affine).voxel_volume_mm3 == pytest.approx(5.0)


@given(grid=grids(), index=INDEX)
def test_world_and_index_are_each_others_inverse(grid, index):
    assert grid.to_index(grid.to_world(index)) == pytest.approx(np.array(index), abs=1e-6)


@given(grid=grids())
def test_the_middle_is_as_far_from_the_first_voxel_as_from_the_last(grid):
    first, last = grid.to_world([0, 0, 0]), grid.to_world(np.array(grid.shape) - 1)
    assert grid.middle_mm == pytest.approx((first + last) / 2, abs=1e-6)


def test_points_keep_the_shape_of_their_array():
    points = np.zeros((7, 2, 3))
    assert block_grid().to_world(points).shape == (7, 2, 3)
    assert block_grid().to_world([1, 2, 3]) == pytest.approx([1, 2, 15])


@given(grid=grids(), data=st.data())
def test_a_crop_keeps_every_voxel_where_it_was(grid, data):
    start = [data.draw(st.integers(0, n - 1)) for n in grid.shape]
    stop = [data.draw(st.integers(a + 1, n)) for a, n in zip(start, grid.shape, strict=True)]
    crop = grid.crop([slice(a, b) for a, b in zip(start, stop, strict=True)])
    assert crop.shape == tuple(b - a for a, b in zip(start, stop, strict=True))
    assert crop.to_world([0, 0, 0]) == pytest.approx(grid.to_world(start), abs=1e-9)
    assert crop.voxel_volume_ml == pytest.approx(grid.voxel_volume_ml)


@given(grid=grids(), shift_mm=st.tuples(*[st.floats(-5, 5)] * 3))
def test_same_means_every_voxel_within_tolerance(grid, shift_mm):
    distance = float(np.abs(shift_mm).max())
    assume(abs(distance - 1e-3) > 1e-6)
    affine = np.array(grid.affine)
    affine[:3, 3] += shift_mm
    assert grid.is_same_as(Grid(grid.shape, affine)) == (distance <= 1e-3)


def test_a_small_turn_shows_at_the_far_corner():
    grid = Grid((256, 256, 20), np.eye(4))
    turn = np.eye(4)
    turn[:3, :3] = rotation((0, 0, 0.01))
    assert not grid.is_same_as(Grid(grid.shape, turn @ grid.affine))
    assert grid.is_same_as(Grid(grid.shape, turn @ grid.affine), tol_mm=0.1)


def test_grids_of_another_shape_are_not_the_same():
    assert not block_grid().is_same_as(Grid((20, 30, 11), block_grid().affine))


@pytest.mark.parametrize(
    ("spacing_mm", "axis"),
    [((1, 1, 5), 2), ((5, 1, 1), 0), ((1, 5, 1), 1), ((1, 1, 1), 2), ((1, 1, 0.98), 2), ((2, 1, 1.99), 2)],
)
def test_slices_are_stacked_along_the_largest_spacing(spacing_mm, axis):
    assert block_grid(spacing_mm).slice_axis == axis


def test_grids_are_frozen_and_stay_so_across_processes():
    grid = block_grid()
    copy = pickle.loads(pickle.dumps(grid))
    assert copy.is_same_as(grid)
    for one in (grid, copy):
        with pytest.raises(ValueError, match="read-only"):
            one.affine[0, 0] = 2


def test_the_caller_keeps_no_hand_on_the_affine():
    affine = np.eye(4)
    grid = Grid((2, 2, 2), affine)
    affine[0, 0] = 9
    assert grid.voxel_volume_mm3 == 1.0


@pytest.mark.parametrize(
    ("shape", "affine", "match"),
    [
        ((2, 2), np.eye(4), "three positive dimensions"),
        ((2, 0, 2), np.eye(4), "three positive dimensions"),
        ((2, 2, 2), np.eye(3), "not a finite 4x4 matrix"),
        ((2, 2, 2), np.diag([1, np.nan, 1, 1]), "not a finite 4x4 matrix"),
        ((2, 2, 2), np.diag([1, 0, 1, 1]), "voxels have no volume"),
    ],
)
def test_grids_that_are_none_are_refused(shape, affine, match):
    with pytest.raises(HeaderError, match=match):
        Grid(shape, affine)


def test_description_names_shape_spacing_and_orientation():
    assert block_grid().describe() == "20x30x12 voxels of 1x1x5 mm, RAS, origin (0.00, 0.00, 0.00) mm"

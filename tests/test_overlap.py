"""Overlap of two masks: blocks with known answers, empty masks by name, and two other libraries."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import surface_distance
from agreement_cases import SHAPE, ellipsoids, expected_cases
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from strategies import flips, mask_pairs, permutations

from infarct_vol.errors import GridMismatchError, UsageError
from infarct_vol.geometry import Grid
from infarct_vol.images import LesionMask
from infarct_vol.validation import compare_masks
from infarct_vol.validation.groups import size_class
from infarct_vol.validation.surfaces import surface_agreement, surface_of

BLOCK_GRID = Grid((30, 30, 12), np.diag([1.0, 1.0, 5.0, 1.0]))


def mask(*blocks: tuple[slice, slice, slice], grid: Grid = BLOCK_GRID) -> LesionMask:
    data = np.zeros(grid.shape, dtype=bool)
    for block in blocks:
        data[block] = True
    return LesionMask(data, grid)


def cube(i: int, j: int, k: int, side: int = 4) -> tuple[slice, slice, slice]:
    return slice(i, i + side), slice(j, j + side), slice(k, k + side)


# ---- known answers ---------------------------------------------------------------------------------------


def test_a_block_moved_by_half_its_length():
    found = compare_masks(mask(cube(4, 4, 4)), mask(cube(6, 4, 4)))
    # 64 voxels of 5 mm3 each, 32 of them shared
    assert (found.reference_ml, found.compared_ml, found.dice) == (0.32, 0.32, 0.5)
    assert (found.lesion_f1, found.reference_lesions, found.compared_lesions) == (1.0, 1, 1)
    assert (found.masks, found.reason) == ("both_present", "")
    # a block's far end is more than 5 % of its surface, and 2 mm from the other block
    assert found.hd95_mm == 2.0


def test_lesions_are_found_by_one_voxel_and_false_without_any():
    reference = mask(cube(2, 2, 2), cube(12, 2, 2), cube(22, 2, 2))
    compared = mask(cube(5, 5, 5), cube(12, 12, 2), cube(22, 12, 2), cube(12, 22, 2))
    found = compare_masks(reference, compared)
    # one of three found by the voxel (5, 5, 5); three of four false: 1 / (1 + (3 + 2) / 2)
    assert found.lesion_f1 == pytest.approx(1 / 3.5)
    assert (found.reference_lesions, found.compared_lesions) == (3, 4)


def test_one_large_find_counts_every_lesion_it_touches():
    reference = mask(cube(2, 2, 2), cube(8, 2, 2))
    compared = mask((slice(2, 12), slice(2, 6), slice(2, 6)))
    assert compare_masks(reference, compared).lesion_f1 == 1.0


def test_lesions_touching_at_a_corner_are_one_with_26_and_two_with_6_neighbours():
    corner = mask(cube(2, 2, 2), cube(6, 6, 6))
    assert compare_masks(corner, corner).reference_lesions == 1
    assert compare_masks(corner, corner, connectivity=6).reference_lesions == 2


def test_the_surface_of_a_plate_is_that_of_its_faces():
    plate = mask((slice(5, 25), slice(5, 25), slice(4, 5)))
    surface = surface_of(plate.data, spacing_mm=(1.0, 1.0, 5.0))
    # marching cubes bevel the edges: less than a box of 20 x 20 x 5 mm, more than its two faces
    assert 2 * 19 * 19 < surface.area_mm2.sum() < 2 * 20 * 20 + 4 * 20 * 5


def test_surface_dice_rises_with_the_tolerance():
    one, two = mask(cube(4, 4, 4, side=6)), mask(cube(6, 4, 4, side=6))
    found = [compare_masks(one, two, tolerance_mm=t).surface_dice for t in (0.0, 1.0, 2.0)]
    assert found[0] < found[1] < found[2] == 1.0
    assert compare_masks(one, two).surface_dice == found[1]


@pytest.mark.parametrize(
    ("reference", "compared", "name", "score", "reason"),
    [
        ((), (), "both_empty", 1.0, "both masks are empty"),
        ((), (cube(4, 4, 4),), "reference_empty", 0.0, "the reference is empty"),
        ((cube(4, 4, 4),), (), "compared_empty", 0.0, "the compared mask is empty"),
    ],
)
def test_empty_masks_have_a_name_and_an_answer(reference, compared, name, score, reason):
    found = compare_masks(mask(*reference), mask(*compared))
    assert found.masks == name
    assert (found.dice, found.lesion_f1, found.surface_dice) == (score, score, score)
    assert found.hd95_mm is None
    assert reason in found.reason
    assert found.reference_ml == (0.32 if reference else 0.0)


def test_different_grids_are_refused_with_both():
    affine = np.array(BLOCK_GRID.affine)
    affine[0, 3] = 0.5
    moved = Grid(BLOCK_GRID.shape, affine)
    with pytest.raises(GridMismatchError, match=r"share one voxel grid, got .*origin \(0.00.* and .*\(0.50"):
        compare_masks(mask(cube(4, 4, 4)), mask(cube(4, 4, 4), grid=moved))


@pytest.mark.parametrize("tolerance_mm", [-1.0, float("nan"), float("inf")])
def test_a_tolerance_that_is_none_is_refused(tolerance_mm):
    with pytest.raises(UsageError, match="finite number of mm"):
        compare_masks(mask(), mask(), tolerance_mm=tolerance_mm)


@pytest.mark.parametrize(
    ("volume_ml", "expected"),
    [
        (0.0, "<1 mL"),
        (0.999, "<1 mL"),
        (1.0, "1-5 mL"),
        (5.0, "5-20 mL"),
        (19.99, "5-20 mL"),
        (20.0, "20-70 mL"),
        (70.0, ">=70 mL"),
        (300.0, ">=70 mL"),
        # 5000 voxels of an oblique grid of 1 mm: the last bits of the determinant do not decide
        (5000 * 0.9999999999999998 / 1e3, "5-20 mL"),
    ],
)
def test_a_volume_on_an_edge_belongs_to_the_class_above(volume_ml, expected):
    assert size_class(volume_ml) == expected


# ---- what always holds -----------------------------------------------------------------------------------


@given(mask_pairs())
def test_exchanging_the_masks_exchanges_only_the_sides(pair):
    one, two = compare_masks(*pair), compare_masks(*reversed(pair))
    assert one.dice == two.dice
    assert one.surface_dice == pytest.approx(two.surface_dice, abs=1e-12)
    assert one.hd95_mm == two.hd95_mm
    assert (one.reference_ml, one.reference_lesions) == (two.compared_ml, two.compared_lesions)
    assert 0 <= one.dice <= 1
    assert 0 <= one.lesion_f1 <= 1
    assert 0 <= one.surface_dice <= 1 + 1e-12


@given(mask_pairs(), permutations, flips)
def test_the_order_and_sense_of_the_axes_do_not_matter(pair, order, flip):
    spacing_mm = tuple(float(s) for s in pair[0].grid.spacing_mm)
    assume(pair[0].data.any() and pair[1].data.any())
    turned = [np.flip(m.data.transpose(order), axis=[axis for axis in range(3) if flip[axis]]) for m in pair]
    straight = surface_agreement(pair[0].data, pair[1].data, spacing_mm=spacing_mm, tolerance_mm=1.0)
    found = surface_agreement(*turned, spacing_mm=tuple(spacing_mm[a] for a in order), tolerance_mm=1.0)
    assert found.surface_dice == pytest.approx(straight.surface_dice, abs=1e-9)
    assert found.hd95_mm == pytest.approx(straight.hd95_mm, abs=1e-9)


@given(mask_pairs())
def test_a_mask_agrees_with_itself(pair):
    found = compare_masks(pair[0], pair[0])
    assert (found.dice, found.lesion_f1, found.surface_dice) == (1.0, 1.0, 1.0)
    assert found.hd95_mm == (0.0 if pair[0].voxel_count else None)


# ---- other libraries -------------------------------------------------------------------------------------


@settings(max_examples=40)
@given(mask_pairs(max_side=9), st.sampled_from([0.5, 1.0, 3.0]))
def test_distances_are_those_of_surface_distance(pair, tolerance_mm):
    one, two = pair[0].data, pair[1].data
    assume(one.any() and two.any())
    spacing_mm = tuple(float(s) for s in pair[0].grid.spacing_mm)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # it uses the old names of scipy
        peer = surface_distance.compute_surface_distances(one, two, spacing_mm)
    found = surface_agreement(one, two, spacing_mm=spacing_mm, tolerance_mm=tolerance_mm)
    assert found.hd95_mm == pytest.approx(surface_distance.compute_robust_hausdorff(peer, 95), rel=1e-9)
    # a distance that is the tolerance but for rounding is within it here
    expected = surface_distance.compute_surface_dice_at_tolerance(peer, tolerance_mm + 1e-6)
    assert found.surface_dice == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("case", expected_cases(), ids=range(len(expected_cases())))
def test_overlap_is_that_of_panoptica(case):
    grid = Grid(SHAPE, np.diag([*case["spacing_mm"], 1.0]))
    found = compare_masks(*(LesionMask(ellipsoids(case[name]), grid) for name in ("reference", "compared")))
    expected = case["expected"]
    assert found.dice == pytest.approx(expected["dice"], rel=1e-12)
    assert found.lesion_f1 == pytest.approx(expected["lesion_f1"], rel=1e-12)
    assert found.reference_lesions == expected["reference_lesions"]
    assert found.compared_lesions == expected["compared_lesions"]
    if case["spacing_mm"] == [1.0, 1.0, 1.0]:
        # it counts border voxels where surface is weighed here: alike to the diagonal of a voxel
        assert found.hd95_mm == pytest.approx(expected["hd95_voxels"], abs=3**0.5)

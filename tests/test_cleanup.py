"""Binary masks in millimetres: known blocks, named connectivities, invariants."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from infarct_vol.segmentation.cleanup import (
    ball,
    bounding_box,
    close_mm,
    component_sizes,
    dilate_mm,
    distance_to_mm,
    drop_small,
    erode_mm,
    fill_holes,
    keep_touching,
    label_components,
    neighbourhood,
    select_components,
)

masks = hnp.arrays(np.bool_, hnp.array_shapes(min_dims=3, max_dims=3, min_side=2, max_side=7))


def empty(*shape: int) -> np.ndarray:
    return np.zeros(shape or (12, 12, 12), dtype=bool)


@pytest.mark.parametrize(("connectivity", "count"), [(6, 3), (18, 2), (26, 1)])
def test_connectivity_counts_edge_and_corner_contacts(connectivity, count):
    mask = empty(4, 4, 4)
    mask[0, 0, 0] = mask[1, 1, 0] = mask[2, 2, 1] = True  # an edge contact, then a corner contact
    assert label_components(mask, connectivity=connectivity)[1] == count


@pytest.mark.parametrize(("connectivity", "voxels"), [(6, 7), (18, 19), (26, 27)])
def test_neighbourhood_sizes(connectivity, voxels):
    assert neighbourhood(connectivity).sum() == voxels


def test_unknown_connectivity_is_refused():
    with pytest.raises(ValueError, match="6, 18 or 26, got 8"):
        neighbourhood(8)


@given(masks)
def test_components_add_up_to_the_mask(mask):
    labels, count = label_components(mask, connectivity=26)
    sizes = component_sizes(labels, count)
    assert sizes.sum() == mask.sum()
    assert np.array_equal(select_components(labels, np.ones(count, dtype=bool)), mask)


@given(masks, st.integers(0, 6))
def test_a_larger_minimum_never_adds_voxels(mask, minimum):
    kept = drop_small(mask, minimum_voxels=minimum)
    stricter = drop_small(mask, minimum_voxels=minimum + 1)
    assert not (stricter & ~kept).any()
    assert not (kept & ~mask).any()


def test_component_of_exactly_the_minimum_is_kept():
    mask = empty()
    mask[1:3, 1:3, 1:3] = True  # 8 voxels
    # 0.4 mL in voxels of 0.05 mL is 8.000000000000002 in floating point
    assert drop_small(mask, minimum_voxels=0.4 / 0.05 + 2e-15).sum() == 8
    assert drop_small(mask, minimum_voxels=8.5).sum() == 0


def test_only_components_with_a_seed_stay():
    mask, seeds = empty(), empty()
    mask[0:3, 0:3, 0:3] = True
    mask[6:8, 6:8, 6:8] = True
    seeds[7, 7, 7] = True
    seeds[11, 11, 11] = True  # a seed outside the mask adds nothing
    kept = keep_touching(mask, seeds)
    assert kept.sum() == 8
    assert kept[6, 6, 6]


def test_holes_are_filled_but_not_into_forbidden_voxels():
    shell = empty()
    shell[2:7, 2:7, 2:7] = True
    shell[3:6, 3:6, 3:6] = False  # a closed hole of 27 voxels
    forbidden = empty()
    forbidden[4, 4, 4] = True
    assert fill_holes(shell).sum() == 125
    filled = fill_holes(shell, forbidden=forbidden)
    assert filled.sum() == 124
    assert not filled[4, 4, 4]


def test_hole_open_to_the_outside_stays():
    cup = empty()
    cup[2:7, 2:7, 2:7] = True
    cup[4, 4, 4:] = False
    assert np.array_equal(fill_holes(cup), cup)


def test_dilation_is_in_millimetres_on_thick_slices():
    point = empty()
    point[6, 6, 6] = True
    grown = dilate_mm(point, radius_mm=4.0, spacing_mm=(2.0, 2.0, 5.0))
    assert grown[8, 6, 6]  # 4 mm in plane
    assert not grown[6, 6, 7]  # 5 mm through plane
    assert np.array_equal(grown[4:9, 4:9, 6:7], ball(4.0, (2.0, 2.0, 5.0)))


@given(masks, st.floats(0, 4))
def test_dilation_of_the_box_equals_dilation_of_the_whole(mask, radius_mm):
    grown = dilate_mm(mask, radius_mm=radius_mm, spacing_mm=(1.0, 1.5, 3.0))
    assert np.array_equal(grown, distance_to_mm(mask, (1.0, 1.5, 3.0)) <= radius_mm + 1e-6)


@given(masks, st.floats(0, 4))
def test_closing_never_removes_and_erosion_never_adds(mask, radius_mm):
    spacing_mm = (1.0, 1.5, 3.0)
    assert not (mask & ~close_mm(mask, radius_mm=radius_mm, spacing_mm=spacing_mm)).any()
    assert not (erode_mm(mask, radius_mm=radius_mm, spacing_mm=spacing_mm) & ~mask).any()


def test_closing_bridges_a_gap_of_twice_the_radius():
    mask = empty()
    mask[2:5, 4:8, 4:8] = True
    mask[6:9, 4:8, 4:8] = True  # a gap of one 2 mm voxel
    closed = close_mm(mask, radius_mm=2.0, spacing_mm=(2.0, 2.0, 2.0))
    assert closed[5, 5:7, 5:7].all()


def test_erosion_treats_the_image_border_as_outside():
    full = np.ones((5, 5, 5), dtype=bool)
    assert erode_mm(full, radius_mm=1.0, spacing_mm=(1.0, 1.0, 1.0)).sum() == 27


def test_distance_to_an_empty_mask_is_infinite():
    assert np.isinf(distance_to_mm(empty(), (1.0, 1.0, 1.0))).all()


def test_bounding_box_has_a_margin_inside_the_image():
    mask = empty()
    mask[0:2, 5:7, 11] = True
    assert bounding_box(mask, margin=(1, 2, 3)) == (slice(0, 3), slice(3, 9), slice(8, 12))
    with pytest.raises(ValueError, match="no bounding box"):
        bounding_box(empty())

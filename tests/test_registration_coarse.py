"""Smoothing, bodies and distances in coarse images, against scipy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage as ndi

from infarct_vol.registration.coarse import (
    along,
    blurred,
    flooded,
    largest_body,
    near,
    share_below,
    without_holes,
)

SHAPE = (7, 9, 8)


@st.composite
def masks(draw: st.DrawFn) -> np.ndarray:
    share = draw(st.sampled_from([0.02, 0.3, 0.6, 0.9]))
    return np.random.default_rng(draw(st.integers(0, 10_000))).random(SHAPE) < share


@pytest.mark.parametrize(("outside", "mode"), [("nearest", "nearest"), ("zero", "constant")])
@pytest.mark.parametrize("sigma", [(1.0, 0.6, 2.5), (0.3, 4.0, 1.0)])
def test_blur_is_the_gaussian_of_scipy(outside, mode, sigma) -> None:
    values = np.random.default_rng(0).random(SHAPE, dtype=np.float32)
    # a kernel wider than the image repeats its nearest voxel, as scipy's does
    expected = ndi.gaussian_filter(values.astype(float), sigma, mode=mode)
    assert np.allclose(blurred(values, sigma, outside=outside), expected, atol=1e-6)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_lines_are_replaced_along_the_axis_named(axis) -> None:
    values = np.random.default_rng(0).random(SHAPE, dtype=np.float32)
    weights = np.random.default_rng(1).random((3, SHAPE[axis]), dtype=np.float32)
    expected = np.moveaxis(np.tensordot(weights, values, axes=(1, axis)), 0, axis)
    assert np.allclose(along(values, weights, axis), expected, atol=1e-5)


@settings(max_examples=60, deadline=None)
@given(masks())
def test_the_largest_body_is_found_from_any_seed(mask) -> None:
    labels, count = ndi.label(mask)
    if not count:
        return
    sizes = np.bincount(labels.ravel())[1:]
    for seed in (np.argwhere(mask)[0], np.argwhere(mask)[-1]):
        found = largest_body(mask, tuple(seed))
        assert np.count_nonzero(found) == sizes.max()
        assert np.array_equal(found, labels == labels[found][0])


@settings(max_examples=60, deadline=None)
@given(masks())
def test_holes_are_those_of_scipy(mask) -> None:
    assert np.array_equal(without_holes(mask), ndi.binary_fill_holes(mask))


def test_a_flood_follows_a_winding_path() -> None:
    path = np.zeros((5, 5, 1), dtype=bool)
    path[0], path[2], path[4] = True, True, True
    path[1, 4], path[3, 0] = True, True
    start = np.zeros_like(path)
    start[0, 0] = True
    assert np.array_equal(flooded(start, path), path)
    path[3, 0] = False
    assert np.count_nonzero(flooded(start, path)) == 11


@settings(max_examples=40, deadline=None)
@given(masks(), st.floats(0.5, 9.0))
def test_near_is_the_distance_transform_below_a_limit(mask, radius_mm) -> None:
    spacing = np.array([3.6, 4.0, 5.0])
    distance = ndi.distance_transform_edt(~mask, sampling=spacing)
    expected = (distance <= radius_mm) & mask.any()
    assert np.array_equal(near(mask, radius_mm, spacing), expected)
    padded = np.pad(mask, 3, constant_values=True)
    beyond = ndi.distance_transform_edt(~padded, sampling=spacing)[3:-3, 3:-3, 3:-3]
    assert np.array_equal(near(mask, radius_mm, spacing, outside=True), beyond <= radius_mm)


def test_share_below_is_a_value_that_is_there() -> None:
    values = np.arange(1001.0)[::-1].reshape(7, 11, 13)
    assert share_below(values, 0.995) == 995.0
    assert (share_below(values, 0.0), share_below(values, 1.0)) == (0.0, 1000.0)

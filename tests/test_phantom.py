"""Digital reference objects: their volume is a formula, and the voxels add up to it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infarct_vol.geometry import Grid
from infarct_vol.simulation.acquisition import rigid_matrix
from infarct_vol.simulation.contrast import lesion_signal
from infarct_vol.simulation.phantom import (
    BRAIN_RADII_MM,
    Ellipsoid,
    acquire,
    build_phantom,
    diffusion_ratio,
    phantom_grid,
    place_ellipsoid,
)

STILL = np.eye(4)


def grid(spacing: tuple[float, float, float], extent_mm: float = 60.0) -> Grid:
    shape = tuple(int(np.ceil(extent_mm / s)) for s in spacing)
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = -np.multiply(spacing, np.array(shape) - 1) / 2
    return Grid(shape, affine)


def test_a_sphere_of_10_mm_is_4_1888_ml():
    assert Ellipsoid((0, 0, 0), (10.0, 10.0, 10.0)).volume_ml == pytest.approx(4.18879, abs=1e-5)


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.9, 0.9, 5.0), (1.2, 1.2, 6.5)])
@pytest.mark.parametrize(("radii", "tolerance"), [((2.88, 2.88, 2.88), 0.01), ((9.0, 14.0, 11.0), 0.002)])
def test_shares_of_voxels_add_up_to_the_formula(spacing, radii, tolerance):
    lesion = Ellipsoid((1.3, -2.1, 0.4), radii, (10.0, -5.0, 20.0))
    held = grid(spacing)
    share = lesion.fraction(held, pose=rigid_matrix((4, 2, -3), (1, 2, 3), centre=(0, 0, 0)))
    assert float(share.sum()) * held.voxel_volume_ml == pytest.approx(lesion.volume_ml, rel=tolerance)
    assert 0 == share.min() < share.max() <= 1


@settings(max_examples=15)
@given(st.tuples(*[st.floats(-0.5, 0.5)] * 3))
def test_moving_lesion_and_head_against_each_other_changes_nothing(shift):
    held = grid((2.0, 2.0, 2.0), 40.0)
    moved = Ellipsoid(shift, (6.0, 7.0, 5.0)).fraction(held, pose=STILL)
    still = Ellipsoid((0.0, 0.0, 0.0), (6.0, 7.0, 5.0))
    posed = still.fraction(held, pose=rigid_matrix((0, 0, 0), shift, centre=(0, 0, 0)))
    np.testing.assert_allclose(moved, posed, atol=0.03)


def test_scaling_keeps_the_centre_and_multiplies_the_volume():
    lesion = Ellipsoid((5.0, 6.0, 7.0), (10.0, 12.0, 8.0))
    assert lesion.scaled(0.45).volume_ml == pytest.approx(0.45 * lesion.volume_ml)
    assert lesion.scaled(0.45).centre_mm == lesion.centre_mm


@pytest.mark.parametrize("volume_ml", [0.1, 5.0, 100.0])
def test_lesions_are_placed_in_the_tissue_of_one_hemisphere(volume_ml):
    rng = np.random.default_rng(3)
    for _ in range(5):
        lesion = place_ellipsoid(volume_ml, rng, longest=1.35)
        points = lesion.surface_points()
        assert lesion.volume_ml == pytest.approx(volume_ml)
        assert len(set(np.sign(points[:, 0]))) == 1
        assert (np.linalg.norm(points / BRAIN_RADII_MM, axis=1) < 1).all()


def test_a_lesion_larger_than_a_hemisphere_is_refused():
    with pytest.raises(ValueError, match="does not hold an ellipsoid of 900 mL"):
        place_ellipsoid(900.0, np.random.default_rng(0))


def test_an_image_has_brain_lesion_and_noise_in_their_places():
    rng = np.random.default_rng(5)
    phantom = build_phantom(rng)
    held = phantom_grid((2.0, 2.0, 5.0), rng, pose=STILL)
    head = acquire(phantom, held, ("s0", "dwi"), pose=STILL)
    assert float(head.brain.sum()) * held.voxel_volume_ml == pytest.approx(1500, rel=0.05)
    signal = lesion_signal(24, lowest_adc_ratio=0.6)
    share = Ellipsoid((35.0, 0.0, 10.0), (12.0, 12.0, 12.0)).fraction(held, pose=STILL)
    dwi = head.with_lesion("dwi", diffusion_ratio(signal), share, rng, snr=30)
    ratio = dwi[share == 1].mean() / head.images["dwi"][share == 1].mean()
    assert ratio == pytest.approx(diffusion_ratio(signal), rel=0.1)
    assert dwi[0, 0, 0] > 0
    again = head.with_lesion("dwi", diffusion_ratio(signal), share, np.random.default_rng(5), snr=30)
    assert (again != dwi).any()


def test_a_lesion_beyond_the_slices_has_no_share_and_one_at_their_edge_its_part():
    held = grid((2.0, 2.0, 5.0), 40.0)
    assert not Ellipsoid((200.0, 0.0, 0.0), (5.0, 5.0, 5.0)).fraction(held, pose=STILL).any()
    at_the_edge = Ellipsoid((20.0, 0.0, 0.0), (6.0, 6.0, 6.0))
    inside_ml = float(at_the_edge.fraction(held, pose=STILL).sum()) * held.voxel_volume_ml
    assert inside_ml == pytest.approx(at_the_edge.volume_ml / 2, rel=0.01)

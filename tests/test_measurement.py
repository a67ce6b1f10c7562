from __future__ import annotations

import numpy as np
import pytest
import strategies as own
from hypothesis import given, settings

from infarct_vol.atlas import BrainMap
from infarct_vol.errors import SegmentationError, UsageError
from infarct_vol.geometry import Grid
from infarct_vol.images import Identity, LesionMask
from infarct_vol.measurement import dice, mask_row, measure


def block(
    size: tuple[int, int, int] = (10, 10, 10),
    spacing_mm: tuple[float, float, float] = (1.0, 1.0, 5.0),
    start: tuple[int, int, int] = (3, 4, 2),
    shape: tuple[int, int, int] = (20, 22, 16),
    **kwargs: object,
) -> LesionMask:
    data = np.zeros(shape, dtype=bool)
    data[tuple(slice(a, a + n) for a, n in zip(start, size, strict=True))] = True
    return LesionMask(data, Grid(shape, np.diag([*spacing_mm, 1.0])), **kwargs)


def test_block_of_1000_voxels_at_1x1x5_mm_is_5_ml() -> None:
    volume = measure(block())
    assert volume.volume_ml == pytest.approx(5.0, rel=1e-12)
    assert (volume.voxel_count, volume.lesion_count) == (1000, 1)
    assert volume.voxel_volume_mm3 == pytest.approx(5.0)


def test_component_has_its_centre_in_scanner_mm_and_its_slices() -> None:
    (part,) = measure(block()).components
    assert part.centroid_mm == pytest.approx((7.5, 8.5, 32.5))
    assert (part.first_slice, part.last_slice) == (2, 11)


def test_slices_are_counted_along_the_thick_axis() -> None:
    (part,) = measure(block(spacing_mm=(5.0, 1.0, 1.0))).components
    assert (part.first_slice, part.last_slice) == (3, 12)


def test_limits_move_the_in_plane_boundary_by_half_a_voxel() -> None:
    # 10 x 10 in plane: 9 x 9 after moving in; out, 11 x 11 without its four corner quarters
    volume = measure(block())
    assert volume.volume_ml_low == pytest.approx(9 * 9 * 10 * 5 / 1000)
    assert volume.volume_ml_high == pytest.approx((11 * 11 - 4 * 0.25) * 10 * 5 / 1000)


def test_limits_reach_zero_for_a_single_voxel_and_beyond_the_field_of_view() -> None:
    volume = measure(block(size=(1, 1, 1), start=(0, 0, 0), shape=(1, 1, 1)))
    assert volume.volume_ml_low == 0.0
    assert volume.volume_ml_high == pytest.approx(3 * 0.005)


def test_full_mask_is_all_of_the_grid() -> None:
    volume = measure(block(size=(4, 4, 4), start=(0, 0, 0), shape=(4, 4, 4)))
    assert volume.volume_ml == pytest.approx(64 * 5 / 1000)
    assert volume.volume_ml_low == pytest.approx(9 * 4 * 5 / 1000)


def test_empty_mask_is_zero_ml_measured() -> None:
    volume = measure(block(size=(0, 0, 0)))
    assert (volume.volume_ml, volume.volume_ml_low, volume.volume_ml_high) == (0.0, 0.0, 0.0)
    assert (volume.voxel_count, volume.lesion_count, volume.components) == (0, 0, ())
    assert str(volume) == "0.00 mL (0.00-0.00), 0 components"


def test_empty_mask_keeps_the_upper_limit_its_method_gives() -> None:
    volume = measure(block(size=(0, 0, 0), evidence={"volume_ml_high": 0.2}))
    assert (volume.volume_ml_low, volume.volume_ml_high) == (0.0, 0.2)


def test_limits_of_the_method_are_used() -> None:
    volume = measure(block(evidence={"volume_ml_low": 4.5, "volume_ml_high": 7.0, "partial_volume_ml": 5.2}))
    assert (volume.volume_ml_low, volume.volume_ml_high, volume.partial_volume_ml) == (4.5, 7.0, 5.2)


def test_limits_are_widened_to_contain_the_volume() -> None:
    volume = measure(block(evidence={"volume_ml_low": 6.0, "volume_ml_high": 7.0}))
    assert volume.volume_ml_low == volume.volume_ml == pytest.approx(5.0)


def test_no_partial_volume_unless_the_method_gives_one() -> None:
    assert measure(block()).partial_volume_ml is None


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0])
def test_impossible_limit_is_refused_with_the_scan_it_belongs_to(value: float) -> None:
    mask = block(evidence={"volume_ml_low": value}, identity=Identity("sub-003", "ses-M03", modality="flair"))
    with pytest.raises(SegmentationError, match="sub-003 ses-M03 FLAIR: volume_ml_low .* finite"):
        measure(mask)


@pytest.mark.parametrize(("connectivity", "expected"), [(6, 3), (18, 2), (26, 1)])
def test_connectivity_decides_what_touches(connectivity: int, expected: int) -> None:
    data = np.zeros((5, 5, 5), dtype=bool)
    data[1, 1, 1] = data[2, 2, 1] = data[3, 3, 2] = True  # an edge, then a corner
    mask = LesionMask(data, Grid((5, 5, 5), np.eye(4)))
    assert measure(mask, connectivity=connectivity).lesion_count == expected


@pytest.mark.parametrize("connectivity", [0, 4, 8, 27])
def test_other_connectivity_is_refused(connectivity: int) -> None:
    with pytest.raises(UsageError, match="6, 18 or 26"):
        measure(block(), connectivity=connectivity)


def test_components_come_largest_first_then_by_position() -> None:
    data = np.zeros((12, 5, 5), dtype=bool)
    data[9, 1, 1] = data[1, 3, 3] = True
    data[4:6, 1, 1] = True
    parts = measure(LesionMask(data, Grid((12, 5, 5), np.eye(4)))).components
    assert [round(p.volume_ml * 1000) for p in parts] == [2, 1, 1]
    assert [p.centroid_mm[0] for p in parts] == pytest.approx([4.5, 1.0, 9.0])


def test_notebook_and_text_forms_state_ml() -> None:
    volume = measure(block())
    assert str(volume) == "5.00 mL (4.05-6.00), 1 component"
    assert "5.00 mL" in volume._repr_html_()
    assert "7.5, 8.5, 32.5" in volume._repr_html_()


def test_mask_row_names_the_file() -> None:
    row = mask_row(measure(block()), file="reader.nii.gz")
    assert (row.file, row.voxel_count, row.lesion_count) == ("reader.nii.gz", 1000, 1)
    assert row.volume_ml == pytest.approx(5.0)


def test_mask_row_uses_the_connectivity_given() -> None:
    data = np.zeros((3, 3, 3), dtype=bool)
    data[0, 0, 0] = data[1, 1, 1] = True
    mask = LesionMask(data, Grid((3, 3, 3), np.eye(4)))
    assert [mask_row(measure(mask, connectivity=c), file="m").lesion_count for c in (6, 26)] == [2, 1]


@given(own.masks())
def test_components_add_up_and_limits_contain_the_volume(mask: LesionMask) -> None:
    volume = measure(mask)
    assert sum(p.volume_ml for p in volume.components) == pytest.approx(volume.volume_ml)
    assert 0 <= volume.volume_ml_low <= volume.volume_ml <= volume.volume_ml_high
    assert volume.volume_ml == pytest.approx(mask.data.sum() * abs(np.linalg.det(mask.grid.affine)) / 1000)


@settings(max_examples=60)
@given(own.masks(max_side=6), own.permutations, own.flips)
def test_storage_orientation_changes_nothing(
    mask: LesionMask, axes: tuple[int, ...], flip: tuple[bool, ...]
) -> None:
    turned = own.reoriented(mask, axes=axes, flip=flip)
    first, second = measure(mask), measure(turned)
    assert first.volume_ml == pytest.approx(second.volume_ml)
    assert first.lesion_count == second.lesion_count
    for part in first.components:
        away = [np.subtract(other.centroid_mm, part.centroid_mm) for other in second.components]
        assert min(np.linalg.norm(away, axis=1)) < 1e-3
    if np.ptp(np.sort(mask.grid.spacing_mm)[-2:]) > 0.1 * mask.grid.spacing_mm.max():
        # with one clearly thickest axis the plane is the same plane
        assert first.volume_ml_low == pytest.approx(second.volume_ml_low)
        assert first.volume_ml_high == pytest.approx(second.volume_ml_high)


@given(own.mask_pairs())
def test_a_larger_mask_never_has_a_smaller_range(pair: tuple[LesionMask, LesionMask]) -> None:
    small, other = pair
    large = small.with_data(small.data | other.data)
    first, second = measure(small), measure(large)
    assert first.volume_ml <= second.volume_ml
    assert first.volume_ml_low <= second.volume_ml_low
    assert first.volume_ml_high <= second.volume_ml_high * (1 + 1e-12)


def test_a_map_to_mni_gives_components_a_place_and_changes_no_volume() -> None:
    mask = block()
    shift = np.eye(4)
    shift[:3, 3] = -60.0, 0.0, 0.0
    plain, placed = measure(mask), measure(mask, brain_map=BrainMap(shift, 0.97, 0.8))
    (first,), (second,) = plain.components, placed.components
    assert (first.hemisphere, first.centroid_mni_mm, first.region) == (None, None, None)
    assert second.hemisphere == "left"
    assert second.centroid_mni_mm is not None
    assert second.centroid_mni_mm[0] == pytest.approx(first.centroid_mm[0] - 60.0, abs=0.01)
    assert (plain.volume_ml, first.volume_ml) == (placed.volume_ml, second.volume_ml)
    assert "left, " in placed._repr_html_()


def test_a_map_of_a_poor_fit_gives_no_place() -> None:
    (found,) = measure(block(), brain_map=BrainMap(np.eye(4), 0.5, 0.8)).components
    assert (found.hemisphere, found.centroid_mni_mm, found.grey_percent) == (None, None, None)


@given(own.mask_pairs())
def test_dice_is_symmetric_and_one_for_equal_masks(pair: tuple[LesionMask, LesionMask]) -> None:
    first, second = pair
    assert dice(first, second) == dice(second, first)
    assert 0.0 <= dice(first, second) <= 1.0
    assert dice(first, first) == 1.0


def test_dice_of_a_block_and_its_half() -> None:
    whole = block()
    half = whole.with_data(whole.data & (np.indices(whole.data.shape)[0] % 2 == 0))
    assert dice(whole, half) == pytest.approx(2 / 3)

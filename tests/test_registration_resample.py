import numpy as np
import pytest
from numpy.typing import NDArray

from infarct_vol.geometry import Grid
from infarct_vol.images import LesionMask, Scan
from infarct_vol.registration import RigidTransform, coverage, resample, resample_mask

FINE = Grid((60, 60, 60), np.diag([1.0, 1, 1, 1]))


def thick_grid(first_slice_mm: float = 2.0) -> Grid:
    affine = np.diag([1.0, 1, 5, 1])
    affine[2, 3] = first_slice_mm
    return Grid((60, 60, 12), affine)


def block(grid: Grid, low: tuple[int, int, int], high: tuple[int, int, int]) -> LesionMask:
    data = np.zeros(grid.shape, dtype=bool)
    data[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] = True
    return LesionMask(data, grid)


def shifted(x: float, y: float, z: float) -> RigidTransform:
    matrix = np.eye(4)
    matrix[:3, 3] = x, y, z
    return RigidTransform(matrix)


@pytest.mark.parametrize("flip", [(1, 1, 1), (-1, 1, 1), (-1, -1, 1), (-1, -1, -1)])
def test_linear_resampling_reads_the_named_point(flip: tuple[int, int, int]) -> None:
    affine = np.diag([*(np.array(flip) * [0.8, 1.2, 2.0]), 1.0])
    affine[:3, 3] = 10, -20, 30
    moving = Grid((40, 30, 20), affine)
    index = np.stack(np.meshgrid(*[np.arange(n) for n in moving.shape], indexing="ij"), axis=-1)
    ramp = moving.to_world(index) @ [1.0, 2.0, 3.0]
    fixed = Grid((5, 5, 5), np.diag([1.0, 1, 1, 1]))
    centre = moving.to_world([20, 15, 10])
    result = resample(Scan(ramp, moving), fixed, shifted(*centre))
    there = fixed.to_world(np.stack(np.meshgrid(*[np.arange(5)] * 3, indexing="ij"), axis=-1)) + centre
    assert np.allclose(result.data, there @ [1.0, 2.0, 3.0], atol=1e-3)
    assert result.grid is fixed
    assert "resampled (linear)" in result.remarks[-1]


def test_outside_the_moving_scan_is_fill() -> None:
    scan = Scan(np.ones(FINE.shape), FINE)
    result = resample(scan, FINE, shifted(30.0, 0, 0), fill=-1.0)
    assert (result.data[:29] == 1).all()
    assert (result.data[31:] == -1).all()


def test_interpolations_differ_and_unknown_ones_are_refused() -> None:
    data = np.zeros(FINE.shape)
    data[30, 30, 30] = 8.0
    scan = Scan(data, FINE)
    half = shifted(0.5, 0.0, 0.0)
    linear = resample(scan, FINE, half).data[29:31, 30, 30]
    cubic = resample(scan, FINE, half, interpolation="cubic").data[29:31, 30, 30]
    nearest = resample(scan, FINE, shifted(0.4, 0, 0), interpolation="nearest").data[30, 30, 30]
    assert linear == pytest.approx([4.0, 4.0])
    assert (cubic > 4.5).all()
    assert nearest == 8.0
    with pytest.raises(ValueError, match="linear, nearest, cubic"):
        resample(scan, FINE, half, interpolation="sinc")  # type: ignore[arg-type]


@pytest.mark.parametrize("grid", [FINE, thick_grid()])
def test_identity_returns_the_mask_to_the_voxel(grid: Grid) -> None:
    data = np.random.default_rng(3).random(grid.shape) > 0.7
    result = resample_mask(LesionMask(data, grid), grid, RigidTransform.identity())
    assert (result.data == data).all()


def test_fine_mask_on_thick_slices_is_averaged_not_sampled() -> None:
    # 5 of 10 fine slices lie in each of two thick slices whose centres are outside the block
    mask = block(FINE, (10, 10, 13), (20, 20, 17))
    share = coverage(mask, thick_grid(), RigidTransform.identity())
    # thick slices end at 14.5 and 19.5 mm; the block spans 12.5 to 16.5 mm
    assert share[15, 15, 2] == pytest.approx(0.4, abs=0.04)
    assert share[15, 15, 3] == pytest.approx(0.4, abs=0.04)
    result = resample_mask(mask, thick_grid(), RigidTransform.identity())
    assert result.voxel_count == 0
    assert result.evidence["source_volume_ml"] == pytest.approx(0.4)
    assert result.evidence["covered_volume_ml"] == pytest.approx(0.4, abs=0.02)


def test_covered_volume_is_kept_under_rotation() -> None:
    mask = block(FINE, (20, 20, 20), (40, 40, 40))
    angle = np.radians(20.0)
    matrix = np.eye(4)
    matrix[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    centre = np.array([29.5, 29.5, 29.5])
    matrix[:3, 3] = centre - matrix[:3, :3] @ centre
    result = resample_mask(mask, thick_grid(), RigidTransform(matrix))
    assert mask.volume_ml == pytest.approx(8.0)
    assert result.evidence["covered_volume_ml"] == pytest.approx(8.0, abs=0.04)
    assert result.volume_ml == pytest.approx(8.0, abs=0.4)


def test_thick_mask_keeps_its_volume_on_a_fine_grid() -> None:
    # a 10x10x10 block of 1x1x5 mm voxels is 5.0 mL
    grid = thick_grid()
    mask = block(grid, (10, 10, 1), (20, 20, 11))
    result = resample_mask(mask, FINE, RigidTransform.identity())
    assert mask.volume_ml == pytest.approx(5.0)
    assert result.volume_ml == pytest.approx(5.0)


def test_parts_travel_along_and_empty_or_distant_masks_stay_empty() -> None:
    whole, part = block(FINE, (10, 10, 10), (30, 30, 30)), block(FINE, (15, 15, 15), (25, 25, 25))
    mask = LesionMask(whole.data, FINE, parts={"cavity": part})
    result = resample_mask(mask, FINE, shifted(2.0, 0.0, -3.0))
    assert result.parts["cavity"].volume_ml == pytest.approx(1.0)
    moved: NDArray[np.int_] = np.argwhere(result.parts["cavity"].data).min(axis=0)
    # points of the target move by (2, 0, -3) to points of the source
    assert moved.tolist() == [13, 15, 18]
    empty = LesionMask(np.zeros(FINE.shape, dtype=bool), FINE)
    assert resample_mask(empty, thick_grid(), RigidTransform.identity()).volume_ml == 0.0
    assert resample_mask(whole, FINE, shifted(500.0, 0, 0)).volume_ml == 0.0

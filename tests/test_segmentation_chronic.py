"""Follow-up FLAIR: blocks and balls of known volume in a plain brain of 2 mm voxels (8 mm3 each)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from infarct_vol.brain import brain_mask
from infarct_vol.errors import GridMismatchError, SegmentationError
from infarct_vol.geometry import Grid
from infarct_vol.images import BrainMask, Identity, LesionMask, Scan
from infarct_vol.nifti import load_scan
from infarct_vol.registration import RigidTransform, register
from infarct_vol.segmentation import segment_baseline_flair, segment_flair_alone, segment_followup
from infarct_vol.segmentation.canonical import canonical_frame
from infarct_vol.segmentation.chronic_evidence import Evidence
from infarct_vol.segmentation.chronic_lesion import find_gliosis, infarct_seeds, limits_ml
from infarct_vol.segmentation.cleanup import enclosed_in_slices
from infarct_vol.segmentation.normalise import (
    Blocks,
    flatten,
    frame_grid,
    match_intensity,
    noise_level,
    project,
    without_offset,
)
from infarct_vol.settings import FollowUpSettings

SHAPE = (72, 88, 60)
GRID = Grid(SHAPE, np.array([[2.0, 0, 0, -71], [0, 2, 0, -87], [0, 0, 2, -59], [0, 0, 0, 1]]))
LESION = (34.0, 0.0, 8.0)
HYPERINTENSITY = (-34.0, -14.0, 8.0)
NEW = (-36.0, 30.0, 0.0)
CSF, TISSUE, GLIOSIS = 0.15, 1.0, 1.6
NO_MOVE = RigidTransform.identity()


def world(grid: Grid) -> NDArray[np.float64]:
    return grid.to_world(np.moveaxis(np.indices(grid.shape), 0, -1))


def ball(centre: tuple[float, float, float], radius_mm: float, at: NDArray[np.float64]) -> NDArray[np.bool_]:
    return np.asarray(np.linalg.norm(at - np.array(centre), axis=-1) <= radius_mm)


def ball_ml(radius_mm: float) -> float:
    return 4.0 / 3.0 * np.pi * radius_mm**3 / 1000.0


@dataclass(frozen=True)
class Head:
    """A symmetric brain with two ventricles, folds, and one white-matter hyperintensity."""

    grid: Grid = GRID
    move: RigidTransform = NO_MOVE

    @property
    def points(self) -> NDArray[np.float64]:
        return self.move.inverse().apply(world(self.grid))

    @property
    def brain(self) -> BrainMask:
        scaled = self.points / np.array([62.0, 78.0, 52.0])
        return BrainMask(np.linalg.norm(scaled, axis=-1) <= 1, self.grid)

    @property
    def ventricles(self) -> NDArray[np.bool_]:
        folded = self.points * np.array([1, 1, 1]) - np.array([0, 0, 6])
        folded[..., 0] = np.abs(folded[..., 0]) - 12
        return np.asarray(np.linalg.norm(folded / np.array([7.0, 24.0, 9.0]), axis=-1) <= 1)

    def picture(self) -> NDArray[np.float32]:
        at = self.points
        folds = 0.06 * np.sin(np.abs(at[..., 0]) / 3.5) * np.sin(at[..., 1] / 4.0) * np.cos(at[..., 2] / 5.0)
        image = np.where(self.brain.data, TISSUE + folds, 0.0)
        image[self.ventricles] = CSF
        image[ball(HYPERINTENSITY, 9, at)] = 1.5
        return image.astype(np.float32)

    def scan(self, image: NDArray[np.float32], *, seed: int, gain: float = 300.0) -> Scan:
        noise = 0.02 * np.random.default_rng(seed).standard_normal(image.shape)
        identity = Identity("sub-001", f"ses-{seed}", modality="flair")
        return Scan((gain * np.abs(image + noise)).astype(np.float32), self.grid, identity)

    def mask(self, centre: tuple[float, float, float], radius_mm: float) -> LesionMask:
        return LesionMask(ball(centre, radius_mm, self.points) & self.brain.data, self.grid)

    def with_balls(self, *balls: tuple[tuple[float, float, float], float, float]) -> NDArray[np.float32]:
        image = self.picture()
        for centre, radius_mm, level in balls:
            image[ball(centre, radius_mm, self.points) & self.brain.data] = level
        return image


HEAD = Head()
BASELINE = HEAD.scan(HEAD.with_balls((LESION, 14, 1.4)), seed=1)
BASELINE_MASK = HEAD.mask(LESION, 14)
# 160 voxels of 8 mm3 have their centre within 7 mm
CAVITY_ML = 1.28


def follow(image: NDArray[np.float32], *, head: Head = HEAD, **options: object) -> LesionMask:
    settings = {
        "baseline_flair": BASELINE,
        "baseline_mask": BASELINE_MASK,
        "transform": head.move,
        "brain": head.brain,
        **options,
    }
    return segment_followup(head.scan(image, seed=2, gain=77.0), **settings)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def hollow() -> LesionMask:
    """A ball of 12 mm with a cavity of 7 mm, inside a baseline lesion of 14 mm."""
    return follow(HEAD.with_balls((LESION, 12, GLIOSIS), (LESION, 7, CSF)))


def test_rim_and_cavity_add_up_to_the_known_ball(hollow: LesionMask) -> None:
    assert hollow.volume_ml == pytest.approx(ball_ml(12), rel=0.05)
    assert hollow.parts["cavity"].volume_ml == pytest.approx(CAVITY_ML, rel=0.05)
    rim, cavity = hollow.parts["rim"].data, hollow.parts["cavity"].data
    assert not (rim & cavity).any()
    assert np.array_equal(rim | cavity, hollow.data)


def test_neither_hyperintensity_nor_ventricle_is_counted(hollow: LesionMask) -> None:
    assert not (hollow.data & ball(HYPERINTENSITY, 12, world(GRID))).any()
    assert not (hollow.data & HEAD.ventricles).any()
    assert hollow.parts["new_lesion"].voxel_count == 0


def test_the_volume_lies_between_low_and_high(hollow: LesionMask) -> None:
    assert hollow.evidence["volume_ml_low"] <= hollow.volume_ml <= hollow.evidence["volume_ml_high"]
    assert hollow.evidence["lesion_level"] == pytest.approx(GLIOSIS, abs=0.1)
    assert hollow.evidence["csf_level"] == pytest.approx(CSF, abs=0.05)


def test_a_vanished_infarct_is_a_measured_zero() -> None:
    result = follow(HEAD.picture())
    assert result.volume_ml == 0.0
    assert any("0 mL" in flag for flag in result.flags)


def test_specks_are_no_infarct_but_named_and_inside_the_range() -> None:
    """0.10 mL are less than a hundredth of the baseline's 11.5 mL, 0.26 mL are more."""
    speck = follow(HEAD.with_balls((LESION, 2.9, GLIOSIS)))
    assert speck.volume_ml == 0.0
    assert speck.evidence["specks_ml"] == pytest.approx(0.10, abs=0.06)
    assert speck.evidence["volume_ml_high"] >= speck.evidence["specks_ml"]
    assert any("specks" in flag and "reader" in flag for flag in speck.flags)
    left = follow(HEAD.with_balls((LESION, 4.0, GLIOSIS)))
    assert left.volume_ml > 0.15
    assert left.evidence["specks_ml"] == 0.0


def test_a_cavity_without_a_rim_is_found() -> None:
    result = follow(HEAD.with_balls((LESION, 9, CSF)))
    # 360 voxels of 8 mm3 have their centre within 9 mm; without a rim there is no seam to add
    assert result.volume_ml == pytest.approx(2.88, rel=0.03)
    assert result.parts["cavity"].volume_ml == pytest.approx(2.88, rel=0.03)


def test_ventricle_inside_the_baseline_mask_is_never_cavity() -> None:
    wide = HEAD.mask((18.0, 0.0, 8.0), 14)
    assert (wide.data & HEAD.ventricles).any()
    result = follow(HEAD.picture(), baseline_mask=wide, baseline_flair=HEAD.scan(HEAD.picture(), seed=1))
    assert result.volume_ml == 0.0


def test_a_new_lesion_is_reported_apart(hollow: LesionMask) -> None:
    image = HEAD.with_balls((LESION, 12, GLIOSIS), (LESION, 7, CSF), (NEW, 8, 1.7))
    result = follow(image)
    # 2.14 mL
    assert result.parts["new_lesion"].volume_ml == pytest.approx(ball_ml(8), rel=0.10)
    assert result.volume_ml == pytest.approx(hollow.volume_ml, rel=0.02)
    assert any("new bright lesion" in flag for flag in result.flags)


def test_a_new_lesion_below_the_minimum_is_not_reported() -> None:
    settings = FollowUpSettings(minimum_new_lesion_ml=3.0)
    result = follow(HEAD.with_balls((LESION, 12, GLIOSIS), (NEW, 8, 1.7)), settings=settings)
    assert result.parts["new_lesion"].voxel_count == 0


def test_growth_within_the_region_counts_and_is_flagged() -> None:
    result = follow(HEAD.with_balls((LESION, 19, GLIOSIS)))
    assert result.volume_ml == pytest.approx(HEAD.mask(LESION, 19).volume_ml, rel=0.05)
    assert any("outside the baseline lesion" in flag for flag in result.flags)


@pytest.mark.parametrize("radius_mm", [12.0, 16.0])
def test_an_inexact_baseline_mask_is_tolerated(hollow: LesionMask, radius_mm: float) -> None:
    image = HEAD.with_balls((LESION, 12, GLIOSIS), (LESION, 7, CSF))
    result = follow(image, baseline_mask=HEAD.mask(LESION, radius_mm))
    assert result.volume_ml == pytest.approx(hollow.volume_ml, rel=0.10)


def test_another_head_position_and_thick_slices_give_the_same_volume() -> None:
    turn = np.radians(9.0)
    matrix = np.eye(4)
    matrix[:2, :2] = [[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]
    matrix[:3, 3] = (5.0, -4.0, 6.0)
    affine = np.array([[0.0, 0, 2, -76], [1.5, 0, 0, -90], [0, 4, 0, -56], [0, 0, 0, 1]])
    head = Head(Grid((120, 30, 76), affine), RigidTransform(matrix))
    image = head.with_balls((LESION, 12, GLIOSIS), (LESION, 7, CSF))
    result = follow(image, head=head)
    assert result.grid is not GRID
    assert result.volume_ml == pytest.approx(ball_ml(12), rel=0.12)


def test_flipped_and_permuted_axes_leave_the_mask_unchanged(hollow: LesionMask) -> None:
    turn = np.array([[0.0, -1, 0, SHAPE[0] - 1], [0, 0, 1, 0], [1, 0, 0, 0], [0, 0, 0, 1]])

    def turned(data: NDArray[np.generic]) -> NDArray[np.generic]:
        return np.ascontiguousarray(np.transpose(data, (2, 0, 1))[:, ::-1])

    grid = Grid((SHAPE[2], SHAPE[0], SHAPE[1]), GRID.affine @ turn)
    scan = HEAD.scan(HEAD.with_balls((LESION, 12, GLIOSIS), (LESION, 7, CSF)), seed=2, gain=77.0)
    result = segment_followup(
        Scan(turned(scan.data), grid, scan.identity),
        baseline_flair=BASELINE,
        baseline_mask=BASELINE_MASK,
        transform=NO_MOVE,
        brain=BrainMask(turned(HEAD.brain.data), grid),
    )
    assert np.array_equal(result.data, turned(hollow.data))


def test_gain_and_coil_shading_do_not_move_the_edge(hollow: LesionMask) -> None:
    shading = np.exp(0.25 * np.sin(world(GRID)[..., 0] / 50.0 + world(GRID)[..., 2] / 70.0)).astype(
        np.float32
    )
    result = follow(HEAD.with_balls((LESION, 12, GLIOSIS), (LESION, 7, CSF)) * shading * 5)
    assert result.volume_ml == pytest.approx(hollow.volume_ml, rel=0.04)


def test_a_stricter_boundary_never_adds_volume() -> None:
    image = HEAD.with_balls((LESION, 12, GLIOSIS))
    volumes = [
        follow(image, settings=FollowUpSettings(boundary_fraction=b, boundary_uncertainty=0.0)).volume_ml
        for b in (0.35, 0.5, 0.65)
    ]
    assert volumes[0] >= volumes[1] >= volumes[2] > 0


def test_the_same_scans_give_the_same_bytes(hollow: LesionMask) -> None:
    again = follow(HEAD.with_balls((LESION, 12, GLIOSIS), (LESION, 7, CSF)))
    assert again.data.tobytes() == hollow.data.tobytes()
    assert again.evidence == hollow.evidence


def test_dark_on_t1w_is_cavity_though_flair_shows_it_bright() -> None:
    image = HEAD.with_balls((LESION, 12, GLIOSIS))
    t1w = HEAD.scan(HEAD.with_balls((LESION, 7, CSF)), seed=5)
    result = follow(image, t1w=t1w)
    assert result.parts["cavity"].volume_ml == pytest.approx(CAVITY_ML, rel=0.05)
    assert result.volume_ml == pytest.approx(ball_ml(12), rel=0.05)


def test_an_empty_baseline_mask_gives_zero() -> None:
    empty = LesionMask(np.zeros(SHAPE, dtype=np.bool_), GRID)
    result = follow(HEAD.picture(), baseline_mask=empty, baseline_flair=HEAD.scan(HEAD.picture(), seed=1))
    assert result.volume_ml == 0.0
    assert result.parts["new_lesion"].voxel_count == 0
    assert all(np.isfinite(value) for value in result.evidence.values())


def test_masks_on_other_grids_are_refused() -> None:
    other = Grid(SHAPE, GRID.affine @ np.diag([1.0, 1.0, 1.1, 1.0]))
    with pytest.raises(GridMismatchError, match="baseline FLAIR and the baseline mask"):
        follow(HEAD.picture(), baseline_mask=LesionMask(BASELINE_MASK.data, other))
    with pytest.raises(GridMismatchError, match="follow-up FLAIR and its brain mask"):
        follow(HEAD.picture(), brain=BrainMask(HEAD.brain.data, other))


def test_a_lesion_out_of_view_is_refused_and_a_cut_one_flagged() -> None:
    away, shift = np.eye(4), np.eye(4)
    away[2, 3] = 200.0
    shift[2, 3] = 46.0
    with pytest.raises(SegmentationError, match=r"sub-001 ses-2 FLAIR: only 0% of the baseline lesion"):
        follow(HEAD.picture(), transform=RigidTransform(away))
    head = Head(move=RigidTransform(shift))
    result = follow(head.with_balls((LESION, 12, GLIOSIS)), head=head)
    assert 0.5 <= result.evidence["baseline_lesion_seen_share"] < 0.98
    assert any("truncated" in flag for flag in result.flags)


def test_an_empty_brain_is_refused() -> None:
    nothing = BrainMask(np.zeros(SHAPE, dtype=np.bool_), GRID)
    with pytest.raises(SegmentationError, match="brain mask is empty"):
        follow(HEAD.picture(), brain=nothing)
    with pytest.raises(SegmentationError, match="brain mask is empty"):
        segment_flair_alone(BASELINE, brain=nothing)


def test_baseline_flair_shows_the_bright_part_of_the_infarct() -> None:
    result = segment_baseline_flair(BASELINE, prior_mask=BASELINE_MASK, brain=HEAD.brain)
    # 11.49 mL
    assert result.volume_ml == pytest.approx(ball_ml(14), rel=0.08)
    assert result.evidence["volume_ml_low"] <= result.volume_ml <= result.evidence["volume_ml_high"]


def test_a_flair_negative_baseline_is_a_measured_zero() -> None:
    early = HEAD.scan(HEAD.picture(), seed=1)
    result = segment_baseline_flair(early, prior_mask=BASELINE_MASK, brain=HEAD.brain)
    assert result.volume_ml == 0.0
    assert any("not visible" in flag for flag in result.flags)


def test_the_digital_ball_has_the_stated_volume() -> None:
    assert HEAD.mask(LESION, 7).volume_ml == pytest.approx(CAVITY_ML)
    assert HEAD.mask(LESION, 12).volume_ml == pytest.approx(ball_ml(12), rel=0.03)


def test_flair_alone_finds_all_bright_lesions_and_says_so() -> None:
    scan = HEAD.scan(HEAD.with_balls((LESION, 12, GLIOSIS), (LESION, 7, CSF)), seed=2)
    result = segment_flair_alone(scan, brain=HEAD.brain)
    # the infarct and the hyperintensity of 3.05 mL, which cannot be told apart
    assert result.volume_ml == pytest.approx(ball_ml(12) + ball_ml(9), rel=0.10)
    assert result.parts["cavity"].volume_ml == pytest.approx(ball_ml(7), rel=0.15)
    assert any("without a baseline" in flag for flag in result.flags)


def test_flair_alone_finds_nothing_in_a_plain_brain() -> None:
    image = HEAD.picture()
    image[ball(HYPERINTENSITY, 9, world(GRID))] = TISSUE
    result = segment_flair_alone(HEAD.scan(image, seed=3), brain=HEAD.brain)
    assert result.volume_ml == 0.0


def test_flair_alone_never_says_0_ml_of_a_cavity() -> None:
    """One that is open to the cortex looks as CSF does."""
    scan = HEAD.scan(HEAD.with_balls((LESION, 12, GLIOSIS)), seed=2)
    assert set(segment_flair_alone(scan, brain=HEAD.brain).parts) == {"rim"}


def test_projection_averages_thin_slices_into_thick_ones() -> None:
    source = Grid((4, 4, 10), np.diag([1.0, 1.0, 1.0, 1.0]))
    target = Grid((4, 4, 2), np.array([[1.0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 5, 2], [0, 0, 0, 1]]))
    data = np.broadcast_to(np.arange(10.0), (4, 4, 10))
    result = project(data, source, target, source_to_target=np.eye(4))
    # means of 0-4 and 5-9
    assert result[1, 1].tolist() == pytest.approx([2.0, 7.0])


def test_the_frame_grid_keeps_every_voxel_in_its_place() -> None:
    affine = np.array([[0.0, -2, 0, 50], [1.5, 0, 0, -60], [0, 0, -4, 30], [0, 0, 0, 1]])
    grid = Grid((20, 24, 12), affine)
    brain = np.zeros(grid.shape, dtype=np.bool_)
    brain[5:12, 6:18, 3:9] = True
    frame = canonical_frame(grid, brain)
    inner = frame_grid(grid, frame)
    places = frame.take(world(grid)[..., 1].astype(np.float32))
    assert np.allclose(world(inner)[..., 1], places, atol=1e-4)
    assert inner.axis_codes == "RAS"


def test_matching_removes_gain_and_contrast() -> None:
    base = flatten(BASELINE.data, HEAD.brain.data & ~BASELINE_MASK.data, spacing_mm=GRID.spacing_mm)
    usable = HEAD.brain.data & ~ball(LESION, 18, world(GRID))
    other = 0.1 + 0.8 * base
    matched = match_intensity(base, other, usable, spacing_mm=GRID.spacing_mm, local_sigma_mm=14.0)
    assert np.abs(matched - other)[usable].mean() < 0.01


def test_noise_is_larger_at_edges() -> None:
    rng = np.random.default_rng(4)
    base = np.ones((40, 40, 40), dtype=np.float32)
    base[20:] = 0.2
    base += 0.01 * rng.standard_normal(base.shape).astype(np.float32)
    residual = 0.05 * rng.standard_normal(base.shape).astype(np.float32)
    residual[18:22] *= 4
    noise = noise_level(residual, base, np.ones(base.shape, dtype=np.bool_))
    assert noise[5, 20, 20] == pytest.approx(0.05, rel=0.15)
    assert noise[20, 20, 20] > 0.1


def test_block_average_of_a_constant_is_the_constant() -> None:
    blocks = Blocks((31, 20, 9), np.array([1.0, 1.5, 5.0]))
    data = np.full((31, 20, 9), 3.0, dtype=np.float32)
    average, support = blocks.average(data, data > 0, sigma_mm=6.0)
    assert np.allclose(blocks.expand(average), 3.0, atol=1e-5)
    assert blocks.expand(support).shape == data.shape


def test_two_real_visits_without_infarct_give_next_to_nothing(real_scans: Path) -> None:
    first, second = (
        load_scan(real_scans / "ms_p12" / f"study{n}_FLAIR.nii.gz", modality="flair") for n in (1, 2)
    )
    brains = [brain_mask(scan) for scan in (first, second)]
    transform = register(first, second, fixed_brain=brains[0], moving_brain=brains[1])
    centre = first.grid.to_world(np.argwhere(brains[0].data).mean(axis=0)) + np.array([-40.0, -20.0, 15.0])
    prior = ball((centre[0], centre[1], centre[2]), 18, world(first.grid)) & brains[0].data
    result = segment_followup(
        second,
        baseline_flair=first,
        baseline_mask=LesionMask(prior, first.grid),
        transform=transform,
        brain=brains[1],
    )
    # the mask holds 24 mL
    assert result.volume_ml < 0.5
    assert result.parts["new_lesion"].volume_ml == 0.0


@pytest.mark.parametrize(("gain", "offset"), [(3.7, 0.0), (1.0, 250.0), (3.7, 250.0)])
def test_gain_and_offset_of_either_scan_leave_every_voxel_of_the_mask(
    hollow: LesionMask, gain: float, offset: float
) -> None:
    def scaled(scan: Scan) -> Scan:
        return scan.with_data(scan.data * gain + offset)

    scan = HEAD.scan(HEAD.with_balls((LESION, 12, GLIOSIS), (LESION, 7, CSF)), seed=2, gain=77.0)
    common = {"baseline_mask": BASELINE_MASK, "transform": NO_MOVE, "brain": HEAD.brain}
    for follow_up, baseline in ((scaled(scan), BASELINE), (scan, scaled(BASELINE))):
        result = segment_followup(follow_up, baseline_flair=baseline, **common)  # type: ignore[arg-type]
        assert np.array_equal(result.data, hollow.data)
        assert np.array_equal(result.parts["cavity"].data, hollow.parts["cavity"].data)


def test_an_offset_does_not_matter_to_a_baseline_or_to_flair_alone() -> None:
    shifted = BASELINE.with_data(BASELINE.data * 3.7 + 250)
    bright = [
        segment_baseline_flair(scan, prior_mask=BASELINE_MASK, brain=HEAD.brain)
        for scan in (BASELINE, shifted)
    ]
    assert np.array_equal(bright[0].data, bright[1].data)
    alone = [segment_flair_alone(scan, brain=HEAD.brain) for scan in (BASELINE, shifted)]
    assert np.array_equal(alone[0].data, alone[1].data)


def test_an_offset_is_taken_off_and_a_scan_without_one_left_alone() -> None:
    data = np.arange(1000, dtype=np.float32).reshape(10, 10, 10)
    grid = Grid((10, 10, 10), np.eye(4))
    # of 1000 values the hundredth part lies below the value 9 or 10
    assert without_offset(Scan(data + 50, grid)).data.min() == pytest.approx(-9, abs=1)
    air = Scan(np.where(data < 100, 0, data).astype(np.float32), grid)
    assert without_offset(air) is air


def test_hyperintensity_under_an_acute_infarct_is_not_what_is_left_of_it() -> None:
    over = HYPERINTENSITY
    acute = HEAD.picture()
    acute[HEAD.mask(over, 15).data] *= 1.35
    for baseline in (HEAD.picture(), acute):
        result = follow(
            HEAD.picture(), baseline_mask=HEAD.mask(over, 15), baseline_flair=HEAD.scan(baseline, seed=1)
        )
        # the hyperintensity of 3.05 mL was there before, on a baseline that shows the infarct and on one
        # that does not show it yet
        assert result.volume_ml <= 0.2


@pytest.mark.parametrize("radius_mm", [12.0, 14.0, 16.0])
def test_cortex_beside_an_inexact_mask_is_expected_as_bright_as_it_was(radius_mm: float) -> None:
    band = ball(LESION, 20, world(GRID)) & ~ball(LESION, 14, world(GRID))

    def with_cortex(*balls: tuple[tuple[float, float, float], float, float]) -> NDArray[np.float32]:
        image = HEAD.with_balls(*balls)
        image[band] = 1.25
        return image

    result = follow(
        with_cortex((LESION, 12, GLIOSIS)),
        baseline_flair=HEAD.scan(with_cortex((LESION, 14, 1.4)), seed=1),
        baseline_mask=HEAD.mask(LESION, radius_mm),
    )
    # 7.24 mL
    assert result.volume_ml == pytest.approx(ball_ml(12), rel=0.06)


def test_gliosis_that_shares_voxels_with_a_sulcus_is_measured_by_its_tissue() -> None:
    mixed = ball(LESION, 12, world(GRID)) & (np.indices(SHAPE)[0] % 4 == 0)
    healthy, late = HEAD.picture(), HEAD.with_balls((LESION, 12, GLIOSIS))
    # 0.7 tissue and 0.3 CSF: 0.745 healthy, 1.165 gliosis: little more than tissue
    healthy[mixed] = 0.7 * TISSUE + 0.3 * CSF
    late[mixed] = 0.7 * GLIOSIS + 0.3 * CSF
    result = follow(late, baseline_flair=HEAD.scan(healthy, seed=1))
    assert (result.data & mixed).sum() >= 0.95 * mixed.sum()
    assert result.volume_ml == pytest.approx(ball_ml(12), rel=0.05)


def test_a_small_hole_of_the_old_infarct_is_hidden_lesion_and_a_large_one_is_tissue() -> None:
    def hollowed(radius_mm: float) -> LesionMask:
        return follow(HEAD.with_balls((LESION, 12, GLIOSIS), (LESION, radius_mm, TISSUE)))

    # a slice of a ball of 4 mm has at most 50 mm2, one of 8 mm 201 mm2
    assert hollowed(4).data[ball(LESION, 4, world(GRID))].all()
    spared = hollowed(8)
    assert spared.data[ball(LESION, 4, world(GRID))].sum() == 0
    assert spared.volume_ml == pytest.approx(ball_ml(12) - ball_ml(8), rel=0.10)


def test_small_holes_lie_within_slices_of_the_thick_axis() -> None:
    mask = np.zeros((9, 9, 9), dtype=np.bool_)
    mask[2:7, 2:7, 4] = True
    mask[4, 4, 4] = False
    hole = enclosed_in_slices(mask, (1.0, 1.0, 5.0), largest_mm2=1.0)
    assert np.argwhere(hole).tolist() == [[4, 4, 4]]
    assert not enclosed_in_slices(mask, (1.0, 1.0, 5.0), largest_mm2=0.5).any()
    # across the first axis the hole is open
    assert not enclosed_in_slices(mask, (5.0, 1.0, 1.0), largest_mm2=9.0).any()


def test_the_range_of_a_block_is_half_of_a_half_voxel_shift_in_plane() -> None:
    block = np.zeros((20, 20, 6), dtype=bool)
    block[5:15, 5:15, 2:4] = True
    grid = Grid(block.shape, np.diag([1.0, 1.0, 5.0, 1.0]))
    # 10 x 10 x 2 voxels of 5 mm3 are 1.0 mL; half a voxel further in 0.81,
    # further out (round corners) 1.20, and half of either counts
    assert limits_ml(block, [], grid) == pytest.approx({"volume_ml_low": 0.905, "volume_ml_high": 1.1})
    wider = np.zeros_like(block)
    wider[4:16, 5:15, 2:4] = True
    assert limits_ml(block, [wider], grid) == pytest.approx({"volume_ml_low": 0.905, "volume_ml_high": 1.3})
    assert limits_ml(np.zeros_like(block), [], grid) == {"volume_ml_low": 0.0, "volume_ml_high": 0.0}


def evidence_of(block: tuple[slice, ...], *, excess: float, spacing_mm: float = 1.0) -> Evidence:
    """A baseline lesion all over a brain of which one in eight voxels is brighter, and gliosis in a block."""
    shape = (30, 30, 12)
    healthy = np.full(shape, 0.96, dtype=np.float32)
    healthy[::2, ::2, ::2] = 1.04
    follow = healthy.copy()
    follow[block] += np.float32(excess)
    everywhere = np.ones(shape, dtype=np.bool_)
    return Evidence(
        follow=follow,
        healthy=healthy,
        noise=np.full(shape, 0.03, dtype=np.float32),
        brain=everywhere,
        core=everywhere,
        near=everywhere,
        distance_mm=np.zeros(shape, dtype=np.float32),
        noise_sd=0.03,
        csf=0.15,
        grid=Grid(shape, np.diag([1.0, 1.0, spacing_mm, 1.0])),
    )


def test_few_seeds_make_a_large_piece_gliosis_and_not_a_small_one() -> None:
    """0.8 mL and 0.3 mL, as bright as each other, with one seed in eight voxels."""
    settings = FollowUpSettings()
    large = evidence_of((slice(5, 15), slice(5, 15), slice(2, 10)), excess=0.19)
    small = evidence_of((slice(5, 11), slice(5, 15), slice(2, 7)), excess=0.19)
    assert infarct_seeds(large, settings).sum() == 100
    assert infarct_seeds(small, settings).sum() == 0


@pytest.mark.parametrize(("side", "level"), [(14, 1.30), (7, 1.40)])
def test_in_thick_slices_a_large_inside_says_how_bright_gliosis_is(side: int, level: float) -> None:
    """Two slices have no inside across slices: 14 x 14 voxels have one within them, 7 x 7 are too few."""
    block = (slice(5, 5 + side), slice(5, 5 + side), slice(4, 6))
    found = find_gliosis(evidence_of(block, excess=0.34, spacing_mm=5.0), FollowUpSettings())
    assert found is not None
    assert found.level == pytest.approx(level, abs=0.01)

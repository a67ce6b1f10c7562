"""Acute infarct on a digital head with known spheres: found, measured, and not invented."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace

import nibabel as nib
import numpy as np
import pytest
from pydantic import ValidationError
from scipy import ndimage

from infarct_vol import segment_acute as segment_files
from infarct_vol.errors import GridMismatchError, SegmentationError
from infarct_vol.geometry import Grid
from infarct_vol.images import BrainMask, Identity, LesionMask, Scan
from infarct_vol.nifti import load_mask, load_scan
from infarct_vol.segmentation import segment_acute, segment_rapid_like
from infarct_vol.segmentation.acute import trace_acute
from infarct_vol.segmentation.canonical import canonical_frame
from infarct_vol.segmentation.reference import histogram_mode, local_reference, smooth_trend
from infarct_vol.segmentation.symmetry import MirrorPlane, find_midplane, reflect
from infarct_vol.settings import AcuteSettings

SHAPE = (60, 72, 24)
SPACING_MM = np.array([2.5, 2.5, 5.0])
ORDERS = list(itertools.permutations(range(3)))


@dataclass(frozen=True)
class Case:
    dwi: Scan
    adc: Scan
    brain: BrainMask
    truth: np.ndarray

    @property
    def true_ml(self) -> float:
        return float(self.truth.sum()) * self.dwi.grid.voxel_volume_ml


def identity(modality: str = "dwi") -> Identity:
    return Identity(participant_id="sub-003", session_id="ses-BL", modality=modality)


def head(*spheres, adc_ratio=0.6, t2=1.3, seed=5, noise=0.02) -> Case:
    """Make an ellipsoid brain with ventricles, cortical folds, shading and noise.

    ``spheres`` are (centre in mm from the brain's centre, radius in mm) of infarct.
    """
    rng = np.random.default_rng(seed)
    grid = Grid(SHAPE, np.diag([*SPACING_MM, 1.0]))
    axes = [(np.arange(n) - (n - 1) / 2) * s for n, s in zip(SHAPE, SPACING_MM, strict=True)]
    x, y, z = np.meshgrid(*axes, indexing="ij")
    radius = np.sqrt((x / 66) ** 2 + (y / 82) ** 2 + (z / 54) ** 2)
    brain = radius < 1
    csf = (np.abs(np.abs(x) - 10) < 5) & (np.abs(y) < 25) & (np.abs(z) < 12)
    folds = np.sin(np.abs(x) / 5) * np.sin(y / 6) * np.sin(z / 7)
    csf |= brain & (radius > 0.86) & (folds > 0.6)
    grey = brain & (radius > 0.8)
    distance = [np.sqrt(((np.stack([x, y, z], -1) - np.array(c)) ** 2).sum(-1)) - r for c, r in spheres]
    share = np.zeros(SHAPE)
    for d in distance:
        share = np.maximum(share, np.clip(0.5 - d / 2.5, 0, 1))
    share[csf | ~brain] = 0
    adc = np.where(csf, 3000.0, np.where(grey, 850.0, 760.0)) * (1 - share * (1 - adc_ratio))
    t2_signal = np.where(csf, 900.0, np.where(grey, 320.0, 280.0)) * (1 + share * (t2 - 1))
    shading = np.exp(0.15 * x / 66 + 0.2 * z / 54)
    clean = np.where(brain, t2_signal * np.exp(-adc / 1000) * shading, 0)
    level = noise * 140
    dwi = np.hypot(clean + rng.normal(0, level, SHAPE), rng.normal(0, level, SHAPE))
    adc = np.where(brain, adc * np.exp(rng.normal(0, 2 * noise, SHAPE)), 0)
    return Case(
        Scan(dwi, grid, identity()),
        Scan(adc, grid, identity("adc")),
        BrainMask(brain, grid),
        share >= 0.5,
    )


def segment(case: Case, **changes) -> LesionMask:
    return segment_acute(case.dwi, case.adc, brain=case.brain, settings=AcuteSettings(**changes))


def dice(mask: LesionMask, truth: np.ndarray) -> float:
    return float(2 * (mask.data & truth).sum() / (mask.data.sum() + truth.sum()))


@pytest.fixture(scope="module")
def stroke() -> Case:
    """One infarct of about 21 mL in the right hemisphere."""
    return head(((35, 10, 10), 17.0))


@pytest.fixture(scope="module")
def found(stroke) -> LesionMask:
    return segment(stroke)


def test_a_sphere_is_measured_within_ten_percent(stroke, found):
    assert 19 < stroke.true_ml < 23
    assert found.volume_ml == pytest.approx(stroke.true_ml, rel=0.10)
    assert dice(found, stroke.truth) > 0.9


def test_a_healthy_brain_is_zero_millilitres():
    assert segment(head()).volume_ml == 0.0


def test_a_lacune_is_found():
    case = head(((-24, -6, 2.5), 5.5))
    mask = segment(case)
    assert 0.3 < case.true_ml < 1.2
    assert mask.volume_ml == pytest.approx(case.true_ml, rel=0.5)


def test_a_territorial_infarct_is_not_taken_for_its_own_reference():
    case = head(((42, 12, 5), 36.0))
    mask = segment(case)
    assert case.true_ml > 110
    assert mask.volume_ml == pytest.approx(case.true_ml, rel=0.10)
    assert dice(mask, case.truth) > 0.9


def test_bilateral_infarcts_survive_each_others_mirror():
    case = head(((35, 10, 10), 14.0), ((-35, 10, 10), 14.0))
    mask = segment(case)
    assert dice(mask, case.truth) > 0.85
    assert any("twin on the other side" in flag for flag in mask.flags)


def test_midline_infarct_is_found():
    case = head(((0, -5, -25), 9.0))
    assert dice(segment(case), case.truth) > 0.8


def test_shine_through_is_not_infarct():
    assert segment(head(((35, 10, 10), 12.0), adc_ratio=1.0, t2=1.5)).volume_ml == 0.0


@pytest.mark.parametrize("order", ORDERS)
def test_axis_order_and_flips_change_no_voxel(stroke, found, order):
    turned = turn(stroke, order, flipped=order[0])
    mask = segment(turned)
    assert np.array_equal(mask.data, flip(np.transpose(found.data, order), order[0]))


def flip(data: np.ndarray, axis: int) -> np.ndarray:
    return np.flip(data, axis)


def turn(case: Case, order: tuple[int, int, int], *, flipped: int) -> Case:
    affine = np.array(case.dwi.grid.affine)
    affine[:3, :3] = affine[:3, list(order)]
    length = case.dwi.data.shape[order[flipped]]
    affine[:3, 3] += affine[:3, flipped] * (length - 1)
    affine[:3, flipped] *= -1
    grid = Grid(tuple(case.dwi.data.shape[a] for a in order), affine)

    def moved(data: np.ndarray) -> np.ndarray:
        return flip(np.transpose(data, order), flipped)

    return Case(
        Scan(moved(case.dwi.data), grid, identity()),
        Scan(moved(case.adc.data), grid, identity("adc")),
        BrainMask(moved(case.brain.data), grid),
        moved(case.truth),
    )


@pytest.mark.parametrize("gain", [0.01, 37.0])
def test_the_gain_of_the_scanner_does_not_matter(stroke, found, gain):
    louder = replace(stroke, dwi=stroke.dwi.with_data(stroke.dwi.data * gain))
    assert segment(louder).volume_ml == pytest.approx(found.volume_ml, rel=0.002)


def test_the_same_scan_gives_the_same_mask(stroke, found):
    again = segment(stroke)
    assert np.array_equal(again.data, found.data)
    assert again.evidence == found.evidence


def test_the_stated_range_contains_the_volume(found):
    low, high = found.evidence["volume_ml_low"], found.evidence["volume_ml_high"]
    assert 0 < low <= found.volume_ml <= high
    assert found.evidence["partial_volume_ml"] == pytest.approx(found.volume_ml, rel=0.1)
    assert found.evidence["usual_adc_um2_per_s"] == pytest.approx(770, rel=0.05)
    assert found.evidence["mean_adc_ratio"] < 0.75
    assert found.evidence["candidates"] >= 1


def test_a_stricter_boundary_never_adds_volume(stroke):
    masks = [segment(stroke, boundary_fraction=f).volume_ml for f in (0.35, 0.5, 0.65)]
    assert masks[0] >= masks[1] >= masks[2] > 0


def test_components_below_the_minimum_are_dropped():
    case = head(((-24, -6, 2.5), 5.5))
    assert segment(case, minimum_lesion_ml=3.0).volume_ml == 0.0


def test_a_component_needs_the_stated_evidence_and_brightness(stroke):
    single = {"regional_evidence": 1000.0}  # no region is sure as a whole
    assert segment(stroke, component_evidence=1000.0).volume_ml > 0
    assert segment(stroke, component_evidence=1000.0, **single).volume_ml == 0.0
    rejected = segment(stroke, component_brightness=3.0, faint_standout=1000.0, **single)
    assert rejected.volume_ml == 0.0
    assert rejected.evidence["rejected_components"] >= 1


def test_a_narrowly_rejected_component_is_named(stroke):
    kept, left_out = 8.0, 40.0
    while left_out - kept > 0.5:
        middle = (kept + left_out) / 2
        if segment(stroke, component_evidence=middle, regional_evidence=1000.0).volume_ml > 0:
            kept = middle
        else:
            left_out = middle
    mask = segment(stroke, component_evidence=left_out, regional_evidence=1000.0)
    assert mask.volume_ml == 0.0
    assert any("was left out, its evidence just too weak" in flag for flag in mask.flags)


def test_growth_is_bounded(stroke):
    # with no growth the mask is what already has strong evidence
    assert segment(stroke, growth_mm=0.0).volume_ml <= segment(stroke).volume_ml


def test_without_adc_the_dwi_is_used_and_a_flag_says_so(stroke):
    mask = segment_acute(stroke.dwi, brain=stroke.brain)
    assert dice(mask, stroke.truth) > 0.8
    assert any("no ADC map" in flag for flag in mask.flags)
    assert "mean_adc_ratio" not in mask.evidence


def test_holes_are_filled_but_not_into_csf():
    case = head(((14, 0, 0), 14.0))  # reaches into the ventricle
    mask = segment(case)
    csf = case.brain.data & (case.adc.data > 2000)
    assert mask.volume_ml > 5
    assert not (mask.data & ndimage.binary_erosion(csf)).any()


def test_an_infarct_on_the_lowest_slice_is_flagged():
    case = head(((25, 0, -30), 14.0))
    cut = crop_below(case, first=6)
    mask = segment(cut)
    assert mask.volume_ml > 1
    assert any("touches the lowest slice" in flag for flag in mask.flags)


def crop_below(case: Case, *, first: int) -> Case:
    grid = case.dwi.grid.crop((slice(0, SHAPE[0]), slice(0, SHAPE[1]), slice(first, SHAPE[2])))
    keep = np.s_[:, :, first:]
    return Case(
        Scan(case.dwi.data[keep], grid, identity()),
        Scan(case.adc.data[keep], grid, identity("adc")),
        BrainMask(case.brain.data[keep], grid),
        case.truth[keep],
    )


def test_low_bilateral_brightness_is_flagged_and_kept():
    mask = segment(head(((30, 5, -34), 10.0), ((-30, 5, -34), 10.0)))
    assert mask.volume_ml > 3
    assert any("low in the brain with a twin" in flag for flag in mask.flags)


def test_identity_grid_and_method_travel_with_the_mask(stroke, found):
    assert found.identity == stroke.dwi.identity
    assert found.grid.is_same_as(stroke.dwi.grid)
    assert found.method.startswith("local ")


def test_unsettled_adc_units_are_refused(stroke):
    thousandth = stroke.adc.with_data(stroke.adc.data / 1000)
    with pytest.raises(SegmentationError, match=r"sub-003 ses-BL DWI: .*does not look like a brain in 1e-6"):
        segment_acute(stroke.dwi, thousandth, brain=stroke.brain)


def test_an_empty_brain_is_not_a_zero_volume(stroke):
    nothing = BrainMask(np.zeros(SHAPE, dtype=bool), stroke.dwi.grid)
    with pytest.raises(SegmentationError, match="brain mask is empty"):
        segment_acute(stroke.dwi, stroke.adc, brain=nothing)
    with pytest.raises(SegmentationError, match="brain mask is empty"):
        segment_rapid_like(stroke.dwi, stroke.adc, brain=nothing)


def test_a_dwi_without_signal_is_refused(stroke):
    blank = stroke.dwi.with_data(np.zeros(SHAPE))
    with pytest.raises(SegmentationError, match="only 0 brain voxels have signal"):
        segment_acute(blank, brain=stroke.brain)


def test_images_of_other_grids_are_refused(stroke):
    other = crop_below(stroke, first=1)
    with pytest.raises(GridMismatchError, match="DWI and ADC"):
        segment_acute(stroke.dwi, other.adc, brain=stroke.brain)
    with pytest.raises(GridMismatchError, match="DWI and brain mask"):
        segment_acute(stroke.dwi, stroke.adc, brain=other.brain)


def test_unknown_settings_are_refused():
    with pytest.raises(ValidationError, match="Extra inputs"):
        AcuteSettings(threshold=3)


def test_rapid_like_measures_what_is_below_its_threshold(stroke):
    # normal white matter has 760: an infarct of ratio 0.6 has 456, below 620
    mask = segment_rapid_like(stroke.dwi, stroke.adc, brain=stroke.brain)
    assert dice(mask, stroke.truth) > 0.8
    assert mask.evidence["adc_threshold_um2_per_s"] == 620.0
    # a ratio of 0.9 is above the fixed threshold: the known blind spot of the method
    mild = head(((35, 10, 10), 17.0), adc_ratio=0.9, t2=1.6)
    assert segment_rapid_like(mild.dwi, mild.adc, brain=mild.brain).volume_ml < 0.2 * mild.true_ml


def test_rapid_like_needs_dark_adc_and_bright_dwi(stroke):
    no_gate = AcuteSettings(rapid_dwi_z=50.0)
    assert segment_rapid_like(stroke.dwi, stroke.adc, brain=stroke.brain, settings=no_gate).volume_ml == 0.0
    with pytest.raises(SegmentationError, match="needs an ADC map"):
        segment_rapid_like(stroke.dwi, None, brain=stroke.brain)


def test_frame_brings_any_order_to_ras_and_back():
    rng = np.random.default_rng(1)
    data = rng.random((5, 6, 7)) > 0.4
    for order in ORDERS:
        affine = np.eye(4)
        affine[:3, :3] = (np.diag([2.0, 3.0, 4.0]) * np.array([-1, 1, -1]))[:, list(order)]
        frame = canonical_frame(Grid((5, 6, 7), affine), np.ones((5, 6, 7), dtype=bool))
        assert tuple(frame.spacing_mm) == (2.0, 3.0, 4.0)
        assert np.array_equal(frame.put_back(frame.take(data)), data)
        assert frame.voxel_volume_ml == pytest.approx(0.024)


def test_midplane_of_a_turned_head_is_found():
    spacing_mm = np.array([2.0, 2.0, 5.0])
    axes = [(np.arange(n) - (n - 1) / 2) * s for n, s in zip((70, 84, 24), spacing_mm, strict=True)]
    x, y, z = np.meshgrid(*axes, indexing="ij")
    normal = np.array([1.0, 0.1, -0.06]) / np.sqrt(1 + 0.01 + 0.0036)
    u = normal[0] * x + normal[1] * y + normal[2] * z - 5.0
    brain = (u / 55) ** 2 + (y / 75) ** 2 + (z / 52) ** 2 < 1
    image = (np.cos(np.abs(u) / 7) * np.cos(y / 9) - 2.0 * (np.abs(u) < 6)).astype(np.float32)
    plane = find_midplane(np.where(brain, image, 0).astype(np.float32), brain, spacing_mm)
    angle = np.degrees(np.arccos(np.clip(normal @ np.array(plane.normal), -1, 1)))
    assert angle < 1.0
    assert plane.offset_mm == pytest.approx(5.0, abs=1.0)


def test_reflecting_twice_gives_the_image_back():
    rng = np.random.default_rng(2)
    image = ndimage.gaussian_filter(rng.random((20, 20, 10)), 2).astype(np.float32)
    plane = MirrorPlane((1.0, 0.0, 0.0), 0.0)
    spacing_mm = np.array([2.0, 2.0, 5.0])
    once = reflect(image, plane, spacing_mm, outside=0.0)
    assert np.allclose(once, image[::-1], atol=1e-5)
    assert np.allclose(reflect(once, plane, spacing_mm, outside=0.0), image, atol=1e-5)


def test_local_reference_of_a_constant_is_the_constant():
    values = np.full((20, 24, 10), 0.3, dtype=np.float32)
    reference = np.ones(values.shape, dtype=bool)
    reference[5:9] = False  # the mean does not drop where tissue is left out
    mean = local_reference(values, reference, sigmas_mm=(48.0, 24.0, 12.0), spacing_mm=SPACING_MM)
    assert np.allclose(mean, 0.3, atol=0.02)  # drawn to 0 by a few percent at the corners


def test_trend_ignores_a_bright_hemisphere_half():
    shape = (30, 36, 12)
    spacing_mm = np.array([4.0, 4.0, 8.0])
    y = ((np.arange(36) - 17.5) * 4 / 80)[None, :, None]
    slope = np.broadcast_to(0.3 * y, shape).astype(np.float32)
    bright = slope.copy()
    bright[22:28, 10:20, 3:9] += 0.8
    plane = MirrorPlane((1.0, 0.0, 0.0), 0.0)
    everywhere = np.ones(shape, dtype=bool)
    trend = smooth_trend(bright, everywhere, plane=plane, spacing_mm=spacing_mm)
    assert np.abs(trend - slope).max() < 0.05


def test_histogram_mode_stays_with_the_larger_tissue():
    rng = np.random.default_rng(3)
    values = np.concatenate([rng.normal(780, 60, 8000), rng.normal(450, 60, 3000)]).astype(np.float32)
    assert histogram_mode(values, low=350, high=1400, width=10) == pytest.approx(780, abs=20)


def test_healthy_real_scan_is_near_zero(real_scans):
    series = real_scans / "philips_dwi" / "701_DTI_Biobank_2mm_MB3S2_EPI.nii.gz"
    assert segment_files(series).volume_ml <= 0.1


def test_embolic_shower_of_a_real_patient(real_scans):
    stem = str(real_scans / "isles22_case0001" / "sub-strokecase0001_ses-0001_")
    mask = segment_files(stem + "dwi.nii.gz", stem + "adc.nii.gz")
    truth = load_mask(real_scans / "isles22_case0001" / "sub-strokecase0001_ses-0001_msk.nii.gz")
    assert truth.volume_ml == pytest.approx(6.68, abs=0.01)
    assert dice(mask, truth.data) >= 0.55
    assert nib.aff2axcodes(mask.grid.affine) == ("L", "A", "S")


@pytest.mark.parametrize(("gain", "offset"), [(3.7, 0.0), (1.0, 250.0), (0.01, -5.0), (3.7, 250.0)])
def test_gain_and_offset_of_the_dwi_change_no_voxel(stroke, found, gain, offset):
    dwi = stroke.dwi.with_data(stroke.dwi.data * np.float32(gain) + np.float32(offset))
    mask = segment_acute(dwi, stroke.adc, brain=stroke.brain)
    assert np.array_equal(mask.data, found.data)


def test_an_offset_changes_no_voxel_of_a_real_scan(real_scans):
    stem = str(real_scans / "isles22_case0001" / "sub-strokecase0001_ses-0001_")
    dwi, adc = load_scan(stem + "dwi.nii.gz", modality="dwi"), load_scan(stem + "adc.nii.gz", modality="adc")
    mask = segment_files(dwi, adc)
    assert mask.volume_ml > 1
    shifted = dwi.with_data(dwi.data * np.float32(3.7) + np.float32(250))
    assert np.array_equal(segment_files(shifted, adc).data, mask.data)


def test_a_faint_territorial_infarct_is_sure_as_a_region():
    # no voxel of it is sure: 17 % brighter by its ADC alone
    case = head(((30, -10, 8), 22.0), adc_ratio=0.8)
    mask = segment(case)
    assert dice(mask, case.truth) > 0.8
    assert segment(case, regional_evidence=1000.0).volume_ml <= mask.volume_ml


def test_dwi_alone_is_another_method(stroke):
    alone = segment_acute(stroke.dwi, brain=stroke.brain)
    both = segment_acute(stroke.dwi, stroke.adc, brain=stroke.brain)
    assert alone.method != both.method
    assert any("not like for like" in flag for flag in alone.flags)


def test_an_unsure_component_widens_the_range_on_its_side(stroke, found):
    kept = segment(stroke)
    # asked for more evidence than it has, by a little: left out, and counted in the upper limit alone
    peak = max(
        c.peak_evidence
        for c in trace_acute(stroke.dwi, stroke.adc, brain=stroke.brain).drawing.components
        if c.kept
    )
    left_out = segment(stroke, component_evidence=peak + 1.9, size_relief=0.0, regional_evidence=1000.0)
    assert left_out.volume_ml == 0.0
    narrowly = segment(stroke, component_evidence=peak + 0.5, size_relief=0.0, regional_evidence=1000.0)
    assert narrowly.volume_ml == 0.0
    assert left_out.evidence["volume_ml_high"] < kept.volume_ml
    assert narrowly.evidence["volume_ml_high"] >= 0.5 * kept.volume_ml

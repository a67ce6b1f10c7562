"""What is expected of healthy tissue, and where a faint infarct ends, on volumes of known content."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from infarct_vol.segmentation.boundary import lesion_share, settled_share
from infarct_vol.segmentation.components import shine_through_areas
from infarct_vol.segmentation.expectation import without_expected
from infarct_vol.segmentation.gathering import Contrast
from infarct_vol.segmentation.symmetry import MirrorPlane
from infarct_vol.settings import AcuteSettings

SHAPE = (60, 60, 30)
SPACING_MM = np.array([2.0, 2.0, 2.0])
MIDDLE = MirrorPlane((1.0, 0.0, 0.0), 0.0)
EVERYWHERE = np.ones(SHAPE, dtype=np.bool_)


def ball(centre, radius) -> np.ndarray:
    index = np.indices(SHAPE)
    squared = sum((i - c) ** 2 for i, c in zip(index, centre, strict=True))
    return squared <= radius**2


@pytest.fixture(scope="module")
def anatomy() -> np.ndarray:
    """Bright and dark bands 16 mm wide, alike on both sides, with noise a third as strong."""
    x, y, z = np.indices(SHAPE)
    away = np.abs(x - (SHAPE[0] - 1) / 2)
    bands = 0.1 * np.sin(2 * np.pi * away / 16) * np.cos(2 * np.pi * y / 16)
    noise = np.random.default_rng(3).normal(0, 0.03, SHAPE)
    return (bands + noise).astype(np.float32)


def expected_away(values: np.ndarray, reference: np.ndarray) -> np.ndarray:
    return without_expected((values,), EVERYWHERE, reference, plane=MIDDLE, spacing_mm=SPACING_MM)[0]


def test_what_both_hemispheres_share_is_expected(anatomy):
    left = expected_away(anatomy, EVERYWHERE)
    assert left.std() < 0.7 * anatomy.std()


def test_an_infarct_on_one_side_is_not_expected(anatomy):
    infarct = ball((18, 30, 15), 8)
    left = expected_away(anatomy + 0.3 * infarct.astype(np.float32), ~infarct)
    assert left[infarct].mean() == pytest.approx(0.3, abs=0.05)


def test_its_mirror_image_is_not_darkened_once_it_is_found(anatomy):
    infarct, image = ball((18, 30, 15), 8), ball((SHAPE[0] - 1 - 18, 30, 15), 7)
    seen = anatomy + 0.3 * infarct.astype(np.float32)
    assert expected_away(seen, ~infarct)[image].mean() == pytest.approx(0.0, abs=0.04)
    assert expected_away(seen, EVERYWHERE)[image].mean() < -0.05


def test_neither_side_of_a_found_bilateral_infarct_explains_the_other_away(anatomy):
    both = ball((18, 30, 15), 8) | ball((SHAPE[0] - 1 - 18, 30, 15), 8)
    left = expected_away(anatomy + 0.3 * both.astype(np.float32), ~both)
    assert left[both].mean() == pytest.approx(0.3, abs=0.06)


def contrast(infarct: np.ndarray, level: float, spread: float = 0.1) -> Contrast:
    rng = np.random.default_rng(8)
    brightness, change = (rng.normal(0, spread, SHAPE) + sign * level * infarct for sign in (1, -1))
    flat = np.full(SHAPE, spread, dtype=np.float32)
    return Contrast(brightness.astype(np.float32), flat, change.astype(np.float32), flat)


def settled(seen: Contrast, infarct: np.ndarray, **changes):
    settings = AcuteSettings(growth_mm=12, **changes)
    core = ball((30, 30, 15), 3)
    start = ball((30, 30, 15), 5)
    return settled_share(
        seen,
        core & infarct,
        start,
        tissue=EVERYWHERE,
        gain=np.ones(SHAPE, dtype=np.float32),
        settings=settings,
        spacing_mm=SPACING_MM,
    )


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    return 2 * (a & b).sum() / (a.sum() + b.sum())


def test_neighbours_settle_a_faint_infarct():
    infarct = ball((30, 30, 15), 8)
    share = settled(contrast(infarct, level=0.15), infarct)
    assert overlap(share.settled > 0.5, infarct) > 0.95
    assert overlap(share.fraction > 0.5, infarct) < 0.9
    assert share.strength[infarct].mean() == pytest.approx(2 * 1.5**2, rel=0.2)


def test_neighbours_do_not_move_a_clear_edge():
    infarct = ball((30, 30, 15), 8)
    infarct[30:40, 30, 15] = False
    share = settled(contrast(infarct, level=0.8, spread=0.04), infarct)
    near = share.settled > 0
    assert np.array_equal((share.settled > 0.5) & near, infarct)


def test_nothing_is_settled_out_of_reach():
    infarct = ball((30, 30, 15), 14)
    share = settled(contrast(infarct, level=0.8, spread=0.04), infarct)
    far = ~ball((30, 30, 15), 9.1)
    assert not share.settled[far].any()
    assert np.isinf(share.strength[far]).all()


def test_without_a_core_there_is_no_infarct():
    nothing = np.zeros(SHAPE, dtype=np.bool_)
    assert not settled(contrast(nothing, level=0.5), nothing).settled.any()


def test_the_share_of_a_half_filled_voxel_is_a_half():
    filled = np.zeros(SHAPE, dtype=np.float32)
    filled[20:30] = 1.0
    filled[30] = 0.5
    spread = np.full(SHAPE, 0.1, dtype=np.float32)
    seen = Contrast(np.log1p(0.8 * filled).astype(np.float32), spread, None, None)
    weight = (filled == 1).astype(np.float32)
    share = lesion_share(seen, weight, level_mm=6.0, spacing_mm=SPACING_MM)
    assert share.fraction[30].mean() == pytest.approx(0.5, abs=1e-4)
    assert share.fraction[25].mean() == pytest.approx(1.0, abs=1e-4)


INFARCT, BESIDE = ball((20, 30, 15), 6), ball((31, 30, 15), 7)
"""7.2 mL with a low ADC, and 11.5 mL beside it, bright alone; a few voxels are in both."""


def areas(candidates: np.ndarray, *, beside: float, **changes) -> np.ndarray:
    """Return what leaves the candidates where the ADC beside the infarct is a given share of the usual."""
    brightness = np.where(INFARCT, 0.5, np.where(BESIDE, 0.3, 0)).astype(np.float32)
    change = np.where(INFARCT, np.log(0.6), np.where(BESIDE, np.log(beside), 0)).astype(np.float32)
    case = SimpleNamespace(
        adc_change=change, frame=SimpleNamespace(spacing_mm=SPACING_MM, voxel_volume_ml=0.008)
    )
    found = SimpleNamespace(plain=SimpleNamespace(brightness=brightness))
    return shine_through_areas(case, found, candidates, settings=AcuteSettings(**changes))


def test_what_is_bright_without_a_low_adc_leaves_a_candidate_and_the_infarct_stays():
    left = areas(INFARCT | BESIDE, beside=0.97)
    assert left[BESIDE & ~INFARCT].mean() > 0.7
    assert not left[INFARCT].any()


def test_a_low_adc_or_a_small_share_stays():
    assert not areas(INFARCT | BESIDE, beside=0.8).any()
    assert not areas(INFARCT | BESIDE, beside=0.97, shine_through_component_share=0.9).any()


def test_a_small_candidate_is_judged_by_its_looks_instead():
    assert not areas(BESIDE & ball((34, 30, 15), 2), beside=0.97).any()

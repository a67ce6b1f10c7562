"""ADC, trace, units and the assembly of a session's diffusion files."""

from __future__ import annotations

import numpy as np
import pytest
from fake_series import GRID, SHAPE, Series
from hypothesis import given
from hypothesis import strategies as st

from infarct_vol.diffusion import (
    adc_factor,
    adc_from_dwi,
    assemble_diffusion,
    assembly,
    compare_adc,
    images_from_series,
    to_um2_per_s,
)
from infarct_vol.errors import DiffusionError, GridMismatchError, UnitError
from infarct_vol.geometry import Grid
from infarct_vol.images import BrainMask, Identity, Scan

BRAIN = np.zeros(SHAPE, dtype=bool)
BRAIN[2:6, 2:6, 1:5] = True


@pytest.fixture(autouse=True)
def _pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Toys have no anatomy by which two images would be known as a pair; tests/test_belonging.py has."""
    monkeypatch.setattr(assembly, "require_pair", lambda *_, **__: ())


def scan(data: object, modality: str, *, grid: Grid = GRID, **sidecar: object) -> Scan:
    data = np.broadcast_to(np.asarray(data, dtype=np.float32), grid.shape)
    return Scan(data, grid, Identity("sub-003", "ses-BL", modality=modality), sidecar)


def head(level: float, air: float = 2.0) -> np.ndarray:
    return np.where(BRAIN, level, air)


BRAIN_MASK = BrainMask(BRAIN, GRID)


def tensor_series(
    tensor: np.ndarray, bvalues: list[float], vectors: np.ndarray, s0: float = 1000.0
) -> Series:
    """Noise-free signals S0 exp(-b g' D g) in the brain, D in mm2/s; 2 outside."""
    signal = [s0 * np.exp(-b * g @ tensor @ g) for b, g in zip(bvalues, vectors, strict=True)]
    data = np.stack([head(s) for s in signal], axis=-1).astype(np.float32)
    return Series(data, np.array(bvalues), vectors)


TRACT = np.diag([1.7e-3, 0.35e-3, 0.35e-3])  # mean diffusivity 0.8e-3 mm2/s
AXES = np.eye(3)


# ---- ADC -------------------------------------------------------------------------------------------------


def test_adc_of_known_signals() -> None:
    # S0 1000, S 449.329 at b 1000: ADC = ln(1000/449.329)/1000 = 0.8e-3 mm2/s
    adc = adc_from_dwi(scan(1000, "b0"), scan(449.329, "dwi"), bvalue=1000)
    assert adc.data == pytest.approx(np.full(SHAPE, 800), abs=0.01)
    assert adc.modality == "adc"
    assert adc.remarks == ("computed from b0 and DWI at b = 1000 s/mm2",)


def test_adc_is_undefined_where_a_signal_is_not_positive() -> None:
    b0, dwi = np.full(SHAPE, 1000.0), np.full(SHAPE, 500.0)
    b0[0, 0, 0], dwi[1, 0, 0], dwi[2, 0, 0], dwi[3, 0, 0] = 0, 0, -3, 2000
    adc = adc_from_dwi(scan(b0, "b0"), scan(dwi, "dwi"), bvalue=1000).data
    assert np.isnan(adc[:3, 0, 0]).all()
    assert adc[3, 0, 0] == pytest.approx(-693.147, abs=0.01)  # noise below zero is kept
    assert np.isfinite(adc).sum() == adc.size - 3


@given(bvalue=st.floats(200, 3000), adc=st.floats(100, 3500), gain=st.floats(0.1, 50))
def test_adc_inverts_the_decay_at_any_gain(bvalue: float, adc: float, gain: float) -> None:
    signal = 1000 * np.exp(-bvalue * adc * 1e-6)
    found = adc_from_dwi(scan(1000 * gain, "b0"), scan(signal * gain, "dwi"), bvalue=bvalue)
    assert found.data[0, 0, 0] == pytest.approx(adc, rel=2e-3, abs=2)


def test_adc_needs_one_grid_and_a_positive_bvalue() -> None:
    other = Grid(SHAPE, np.diag([2.0, 2.0, 4.0, 1.0]))
    with pytest.raises(GridMismatchError, match="b0 and DWI must share one voxel grid"):
        adc_from_dwi(scan(10, "b0", grid=other), scan(5, "dwi"), bvalue=1000)
    for bad in (0.0, -1000.0, float("nan")):
        with pytest.raises(DiffusionError, match="b-value must be a positive number"):
            adc_from_dwi(scan(10, "b0"), scan(5, "dwi"), bvalue=bad)


def test_agreement_is_the_median_relative_difference_in_percent() -> None:
    computed = scan(800, "adc")
    values = np.full(SHAPE, 840.0)
    values[0] = 40  # invalid, does not count
    assert compare_adc(scan(values, "adc"), computed) == pytest.approx(5.0, abs=1e-3)
    values = np.where(BRAIN, 760.0, 2000.0)
    assert compare_adc(scan(values, "adc"), computed, BRAIN_MASK) == pytest.approx(-5.0, abs=1e-3)
    with pytest.raises(DiffusionError, match="no valid voxel in common"):
        compare_adc(scan(10, "adc"), computed)


# ---- units -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "factor"),
    [
        ("mm2/s", 1e6),
        ("mm^2/s", 1e6),
        ("mm²/s", 1e6),
        ("mm2/sec", 1e6),
        ("mm2 s-1", 1e6),
        ("mm²·s⁻¹", 1e6),
        ("1e-3 mm2/s", 1e3),
        ("10^-3 mm^2/s", 1e3),
        ("x10-3 mm2/s", 1e3),
        ("×10⁻³ mm²/s", 1e3),
        ("1 x 10^-3 mm2/s", 1e3),
        ("1E-6 mm2/s", 1.0),
        ("10^-6 mm2/s", 1.0),
        ("um2/s", 1.0),
        ("µm²/s", 1.0),
        ("μm2/s", 1.0),
        ("um2/ms", 1e3),
        ("m2/s", 1e12),
        ("cm2/s", 1e8),
    ],
)
def test_unit_texts(text: str, factor: float) -> None:
    assert adc_factor(text) == pytest.approx(factor)


@pytest.mark.parametrize("text", ["", "mm2", "mm/s", "s/mm2", "1e-3", "banana", "mm3/s"])
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(UnitError, match="is not understood; expected one such as 'mm2/s'"):
        adc_factor(text)


@pytest.mark.parametrize("factor", [1.0, 1e3, 1e6])
@pytest.mark.parametrize("median", [310.0, 850.0, 2900.0])
def test_unit_is_inferred_from_the_brain_median(factor: float, median: float) -> None:
    data = head(median, air=0.0)
    data[0, 0, 0] = -7
    adc = to_um2_per_s(scan(data / factor, "adc"), BRAIN_MASK)
    assert np.median(adc.data[BRAIN]) == pytest.approx(median, rel=1e-5)
    assert adc.data[0, 0, 0] == pytest.approx(-7, rel=1e-5)  # kept, scaled
    assert f"multiplied by {factor:g} to 1e-6 mm2/s; 1 negative ADC voxels, kept" in adc.remarks[-1]
    assert "inferred from the brain median" in adc.remarks[-1]


@pytest.mark.parametrize(
    ("median", "likely"),
    [(8.5e-10, "1e0 mm2/s|m2/s|1e6"), (30.0, "1e-"), (8.5e-6, "1e2 mm2/s"), (85000.0, "1e-8 mm2/s")],
)
def test_other_medians_are_refused_with_the_likely_unit(median: float, likely: str) -> None:
    with pytest.raises(UnitError, match=rf"sub-003 ses-BL ADC: .*cannot be inferred.*look like .*({likely})"):
        to_um2_per_s(scan(head(median, air=0.0), "adc"), BRAIN_MASK)


def test_stated_unit_wins_and_is_checked() -> None:
    stored = scan(head(0.85, air=0.0), "adc")
    assert np.median(to_um2_per_s(stored, BRAIN_MASK, unit="1e-3 mm2/s").data[BRAIN]) == pytest.approx(850)
    with pytest.raises(UnitError, match=r"'mm2/s' makes the brain median 8.5e\+05.*look like 1e-3 mm2/s"):
        to_um2_per_s(stored, BRAIN_MASK, unit="mm2/s")
    # a median of 250 fits no inference, but the unit is stated and possible
    low = scan(head(250, air=0.0), "adc")
    assert np.median(to_um2_per_s(low, BRAIN_MASK, unit="1e-6 mm2/s").data[BRAIN]) == pytest.approx(250)


def test_map_without_values_is_refused() -> None:
    with pytest.raises(UnitError, match="holds no value in the brain"):
        to_um2_per_s(scan(0, "adc"), BRAIN_MASK)


# ---- series ----------------------------------------------------------------------------------------------


def test_trace_is_the_geometric_mean_and_adc_the_mean_diffusivity() -> None:
    series = tensor_series(TRACT, [0, 1000, 1000, 1000], np.vstack([np.zeros(3), AXES]))
    images = images_from_series(series)
    # exp(-1.7), exp(-0.35), exp(-0.35): product exp(-2.4), cube root exp(-0.8) = 0.449329
    assert images.trace.data[BRAIN] == pytest.approx(449.329, rel=1e-4)
    assert images.b0.data[BRAIN] == pytest.approx(1000)
    assert images.adc.data[BRAIN] == pytest.approx(800, rel=1e-4)
    assert (images.bvalue, images.flags) == (1000.0, ())
    assert images.trace.remarks == ("trace of 3 volumes at b = 1000 s/mm2",)


@given(seed=st.integers(0, 1000))
def test_uneven_directions_are_weighted_to_the_mean_diffusivity(seed: int) -> None:
    rng = np.random.default_rng(seed)
    golden = (1 + 5**0.5) / 2
    # six even directions (through the corners of an icosahedron), and three more along one axis
    six = [[0, 1, golden], [0, 1, -golden], [1, golden, 0], [1, -golden, 0], [golden, 0, 1], [-golden, 0, 1]]
    vectors = np.array([*six, [0.1, 0, 1], [0, 0.1, 1], [-0.1, 0, 1]], dtype=float)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    tensor = turn @ TRACT @ turn.T
    images = images_from_series(tensor_series(tensor, [0] + [1000] * 9, np.vstack([np.zeros(3), vectors])))
    assert images.flags == ()
    assert np.median(images.adc.data[BRAIN]) == pytest.approx(800, rel=1e-3)
    along_z = float(tensor[2, 2]) * 1e6
    plain = float(np.mean([g @ tensor @ g for g in vectors])) * 1e6
    assert plain == pytest.approx(800 + (along_z - 800) / 3, abs=25)  # what even weights would have given


def test_directions_that_cannot_give_a_trace_are_flagged() -> None:
    vectors = np.array([[0, 0, 0], [1, 0, 0], [1, 0, 0], [0, 1, 0]], dtype=float)
    flags = images_from_series(tensor_series(TRACT, [0, 1000, 1000, 1000], vectors)).flags
    assert len(flags) == 1
    assert flags[0].startswith("3 uneven diffusion directions cannot give a trace")


def test_missing_directions_are_flagged_and_a_single_volume_is_a_trace() -> None:
    series = tensor_series(TRACT, [0, 1000, 1000], np.vstack([np.zeros(3), AXES[:2]]))
    unknown = Series(series.data, series.bvalues)
    assert images_from_series(unknown).flags == (
        "no b-vectors: whether 2 volumes make a trace cannot be checked",
    )
    single = Series(series.data[..., :2], series.bvalues[:2])
    assert "taken as the scanner's trace image" in images_from_series(single).flags[0]
    as_trace = Series(series.data[..., :2], series.bvalues[:2], np.zeros((2, 3)))
    assert images_from_series(as_trace).flags == ()


def test_several_bvalues_give_the_least_squares_slope() -> None:
    bvalues = [0.0, 5.0, 500.0, 1000.0]
    data = np.stack([head(1000 * np.exp(-b * 0.9e-3)) for b in bvalues], axis=-1).astype(np.float32)
    images = images_from_series(Series(data, np.array(bvalues), np.zeros((4, 3))))
    # the two lowest count as b0, with their mean b of 2.5
    assert images.adc.data[BRAIN] == pytest.approx(900, rel=1e-3)
    assert images.adc.remarks == ("ADC by least squares at b = 2.5, 500, 1000",)


def test_least_squares_of_a_bent_decay_is_the_regression_line() -> None:
    bvalues, logs = np.array([0.0, 500.0, 1000.0]), np.array([7.0, 6.4, 6.2])
    data = np.stack([head(np.exp(x)) for x in logs], axis=-1).astype(np.float32)
    images = images_from_series(Series(data, bvalues, np.zeros((3, 3))))
    # slope of (0, 7), (500, 6.4), (1000, 6.2): -0.8/1000 per s/mm2
    assert images.adc.data[BRAIN] == pytest.approx(800, rel=1e-3)


def test_high_shells_do_not_enter_the_adc() -> None:
    bvalues = [0.0, 1000.0, 2500.0]
    data = np.stack([head(s) for s in (1000.0, 449.329, 300.0)], axis=-1).astype(np.float32)
    images = images_from_series(Series(data, np.array(bvalues), np.zeros((3, 3))))
    assert images.bvalue == 1000
    assert images.adc.data[BRAIN] == pytest.approx(800, rel=1e-4)
    assert "left out above the linear range: 2500" in images.adc.remarks[0]


def test_signals_of_zero_and_below() -> None:
    series = tensor_series(TRACT, [0, 1000, 1000, 1000], np.vstack([np.zeros(3), AXES]))
    data = series.data.copy()
    data[3, 3, 3, 1], data[4, 4, 4, 2] = 0, -5
    images = images_from_series(Series(data, series.bvalues, series.bvectors))
    assert images.trace.data[3, 3, 3] == 0
    assert np.isnan(images.trace.data[4, 4, 4])
    assert np.isnan(images.adc.data[[3, 4], [3, 4], [3, 4]]).all()


@pytest.mark.parametrize(
    ("bvalues", "message"),
    [
        ([0, 1000], "2 b-values for a series of shape"),
        ([0, -1000, 1000], "negative or undefined"),
        ([0, np.nan, 1000], "negative or undefined"),
        ([0, 0, 20], "the highest b-value is 20 s/mm2"),
        ([0, 1, 1], "look like ms/um2"),
    ],
)
def test_bvalues_that_do_not_fit_are_refused(bvalues: list[float], message: str) -> None:
    with pytest.raises(DiffusionError, match=message):
        images_from_series(Series(np.ones((*SHAPE, 3), np.float32), np.array(bvalues, dtype=float)))


# ---- assembly --------------------------------------------------------------------------------------------

DWI, B0, ADC = head(449.329), head(1000.0), head(800.0, air=0.0)


def test_supplied_adc_is_used_and_agrees() -> None:
    found = assemble_diffusion(
        dwi=scan(DWI, "dwi", DiffusionBValue=1000.0),
        b0=scan(B0, "b0"),
        adc=scan(ADC * 1e-6, "adc", Units="mm2/s"),
        brain=BRAIN_MASK,
    )
    assert found.adc.data[BRAIN] == pytest.approx(800, rel=1e-4)
    assert (found.bvalue, found.flags) == (1000.0, ())
    assert "ADC unit mm2/s (stated), multiplied by 1e+06" in found.adc.remarks[-1]


def test_supplied_adc_that_differs_is_flagged() -> None:
    found = assemble_diffusion(
        dwi=scan(DWI, "dwi"), b0=scan(B0, "b0"), adc=scan(ADC * 1.08, "adc"), bvalue=1000, brain=BRAIN_MASK
    )
    assert found.flags == (
        "the supplied ADC map differs from ln(S0/Sb)/b by +8.0 % (median over the brain), more than 5 %; "
        "the supplied one was used",
    )
    assert found.adc.data[BRAIN] == pytest.approx(864, rel=1e-4)


def test_adc_is_computed_where_none_is_supplied() -> None:
    found = assemble_diffusion(dwi=scan(DWI, "dwi"), b0=scan(B0, "b0"), bvalue=1000)
    assert found.adc.data[BRAIN] == pytest.approx(800, rel=1e-4)
    assert found.flags == ()


def test_sidecar_bvalue_wins_over_the_usual_one_and_that_is_said() -> None:
    found = assemble_diffusion(
        dwi=scan(DWI, "dwi", DiffusionBValue=1000), b0=scan(B0, "b0"), usual_bvalue=800
    )
    assert found.bvalue == 1000
    assert found.flags == ("b-value: 1000 s/mm2 is stated beside the DWI and was used, not the usual 800",)


def test_negative_adc_in_the_brain_is_flagged_and_kept() -> None:
    adc = ADC.copy()
    adc[3, 3, 3] = -40
    adc[0, 0, 0] = -90  # air
    found = assemble_diffusion(dwi=scan(DWI, "dwi"), adc=scan(adc, "adc"), brain=BRAIN_MASK)
    assert found.flags == ("1 negative ADC voxels in the brain, kept",)
    assert found.adc.data[3, 3, 3] == -40


def test_bvalue_is_never_assumed() -> None:
    with pytest.raises(DiffusionError, match=r"sub-003 ses-BL DWI: .*b-value of the DWI is not known"):
        assemble_diffusion(dwi=scan(DWI, "dwi"), b0=scan(B0, "b0"))
    # where the ADC map is supplied it is not needed
    assert assemble_diffusion(dwi=scan(DWI, "dwi"), b0=scan(B0, "b0"), adc=scan(ADC, "adc")).bvalue is None


def test_unusual_bvalue_is_flagged() -> None:
    # 1000 exp(-1500 x 800e-6) is 301.194
    found = assemble_diffusion(dwi=scan(head(301.194), "dwi"), b0=scan(B0, "b0"), bvalue=1500)
    assert found.flags == ("b-value 1500 s/mm2 is outside 800-1200, where the method was measured",)


def test_dwi_alone_says_what_is_missing() -> None:
    found = assemble_diffusion(dwi=scan(DWI, "dwi"))
    assert found.adc is None
    assert found.flags == ("no ADC map and no b0 image: T2 shine-through cannot be told from acute infarct",)


def test_swapped_b0_and_dwi_are_refused() -> None:
    with pytest.raises(DiffusionError, match="b0 and DWI .* are swapped; exchange them"):
        assemble_diffusion(dwi=scan(B0, "dwi"), b0=scan(DWI, "b0"), bvalue=1000)
    series = Series(
        np.stack([DWI, B0, B0, B0], axis=-1).astype(np.float32), np.array([0.0, 1000, 1000, 1000])
    )
    with pytest.raises(DiffusionError, match="swapped"):
        assemble_diffusion(series=series)


def test_series_gives_everything() -> None:
    series = tensor_series(TRACT, [0, 1000, 1000, 1000], np.vstack([np.zeros(3), AXES]))
    found = assemble_diffusion(series=series, brain=lambda dwi: BrainMask(dwi.data > 100, dwi.grid))
    assert found.adc.data[BRAIN] == pytest.approx(800, rel=1e-4)
    assert found.b0 is not None
    assert (found.bvalue, found.flags) == (1000.0, ())


def test_adc_on_another_grid_is_resampled_in_place() -> None:
    fine = Grid((16, 16, 12), np.diag([1.0, 1.0, 2.5, 1.0]))
    ramp = np.indices(fine.shape)[0] * 20.0 + 700  # 20 per mm along x
    found = assemble_diffusion(dwi=scan(DWI, "dwi"), adc=scan(ramp, "adc", grid=fine), brain=BRAIN_MASK)
    assert found.adc.grid.is_same_as(GRID)
    assert found.flags == ("the ADC map is on another grid than the DWI and was resampled onto it",)
    assert found.adc.data[:, 3, 3] == pytest.approx([700, 740, 780, 820, 860, 900, 940, 980], rel=1e-5)
    # the last slice of DWI, at z 25, is inside the map's 0 to 27.5 mm; a map that ends before gives NaN
    short = Grid((16, 16, 6), np.diag([1.0, 1.0, 2.5, 1.0]))
    part = assemble_diffusion(dwi=scan(DWI, "dwi"), adc=scan(800, "adc", grid=short), brain=BRAIN_MASK)
    assert np.isnan(part.adc.data[:, :, 3:]).all()


def test_b0_on_another_grid() -> None:
    other = Grid(SHAPE, np.diag([2.0, 2.0, 4.0, 1.0]))
    b0 = scan(B0, "b0", grid=other)
    found = assemble_diffusion(dwi=scan(DWI, "dwi"), b0=b0, adc=scan(ADC, "adc"), bvalue=1000)
    assert found.flags == (
        "b0 and DWI are on different grids: the supplied ADC map was not checked against them",
    )
    with pytest.raises(GridMismatchError, match="b0 and DWI must share one voxel grid"):
        assemble_diffusion(dwi=scan(DWI, "dwi"), b0=b0, bvalue=1000)


def test_either_an_image_or_a_series() -> None:
    with pytest.raises(DiffusionError, match="either a trace image or a diffusion series"):
        assemble_diffusion()
    with pytest.raises(DiffusionError, match="constant"):
        assemble_diffusion(dwi=scan(5, "dwi"))

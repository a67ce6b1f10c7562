"""Diffusion that contradicts itself: settled where only one thing can be meant, refused where not."""

from __future__ import annotations

import numpy as np
import pytest
from fake_series import GRID, SHAPE, Series
from hypothesis import given
from hypothesis import strategies as st

from infarct_vol.diffusion import assemble_diffusion, assembly, images_from_series, sidecar_bvalue
from infarct_vol.errors import DiffusionError, HeaderError, InfarctVolError, UnitError
from infarct_vol.images import BrainMask, Identity, Scan

BRAIN = np.zeros(SHAPE, dtype=bool)
BRAIN[2:6, 2:6, 1:5] = True
B0, B1000, ADC = (np.where(BRAIN, level, 2.0).astype(np.float32) for level in (1000.0, 449.329, 800.0))
"""ln(1000 / 449.329) / 1000 s/mm2 is 800e-6 mm2/s."""
TISSUE = BrainMask(BRAIN, GRID)


@pytest.fixture(autouse=True)
def _one_head(monkeypatch: pytest.MonkeyPatch) -> None:
    """The toy images have no fine detail to compare."""
    monkeypatch.setattr(assembly, "require_pair", lambda *_, **__: ())


def scan(data: object, modality: str, **sidecar: object) -> Scan:
    identity = Identity("sub-003", "ses-BL", modality=modality)
    return Scan(np.broadcast_to(np.asarray(data, dtype=np.float32), SHAPE), GRID, identity, sidecar)


def series(
    bvalues: list[float], vectors: object = None, *, levels: list[float] | None = None, **sidecar: object
) -> Series:
    """Volumes of an isotropic brain of 800e-6 mm2/s, or of the levels given."""
    levels = levels or [1000 * float(np.exp(-0.8e-3 * (b % 1e9))) for b in bvalues]
    data = np.stack([np.where(BRAIN, level, 2.0) for level in levels], axis=-1).astype(np.float32)
    directions = None if vectors is None else np.array(vectors, dtype=float)
    return Series(data, np.array(bvalues, dtype=float), directions, sidecar=sidecar)


def brain_adc(found: Scan | None) -> float:
    assert found is not None
    return float(np.median(found.data[BRAIN]))


# ---- vendors ---------------------------------------------------------------------------------------------


def test_the_flag_of_ge_is_taken_off_and_said() -> None:
    images = images_from_series(series([0, 1000001000], np.zeros((2, 3))))
    assert images.bvalue == 1000
    assert brain_adc(images.adc) == pytest.approx(800, rel=1e-3)
    assert images.flags == ("the .bval file: 1e9, which GE adds to b-values, was taken off",)
    found = assemble_diffusion(dwi=scan(B1000, "dwi", DiffusionBValue="1000001000"), b0=scan(B0, "b0"))
    assert (found.bvalue, brain_adc(found.adc)) == (1000, pytest.approx(800, rel=1e-3))
    assert "field DiffusionBValue: 1e9, which GE adds" in found.flags[0]
    assert sidecar_bvalue({"DiffusionBValue": [1000000050]}) == 50


@pytest.mark.parametrize("bvalue", [123456789.0, 2000001000.0, 100001.0])
def test_a_number_beyond_every_bvalue_is_refused(bvalue: float) -> None:
    with pytest.raises(DiffusionError, match=r"the \.bval file: \d+ is not a b-value in s/mm2"):
        images_from_series(series([0, bvalue], levels=[1000, 400]))
    with pytest.raises(DiffusionError, match=r"field DiffusionBValue: \d+ is not a b-value"):
        assemble_diffusion(dwi=scan(B1000, "dwi", DiffusionBValue=bvalue), b0=scan(B0, "b0"))


def test_true_bvalues_are_one_b0_and_one_shell() -> None:
    images = images_from_series(series([5, 995, 1000, 1005], [[0.3, 0.9, 0.3], *np.eye(3)]))
    assert (images.bvalue, images.flags) == (1000, ())
    assert brain_adc(images.adc) == pytest.approx(800, rel=1e-3)


# ---- directions ------------------------------------------------------------------------------------------


def test_directions_that_are_not_defined_are_none() -> None:
    undefined = [np.nan] * 3
    images = images_from_series(series([0, 1000], [undefined, undefined]))
    assert (images.flags, brain_adc(images.adc)) == ((), pytest.approx(800, rel=1e-3))
    directed = [undefined, [1, 0, 0], [0, 1, 0], [0, 0, 1]]
    assert images_from_series(series([0, 1000, 1000, 1000], directed)).flags == ()
    mixed = images_from_series(series([0, *[1000] * 4], [*directed, undefined]))
    assert mixed.flags == (
        "1 of 4 weighted volumes have no direction in the .bvec file: the trace may mix kinds of images",
    )


def test_directions_of_volumes_without_weighting_do_not_count() -> None:
    vectors = [[9, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]
    assert images_from_series(series([0, 1000, 1000, 1000], vectors)).flags == ()


@pytest.mark.parametrize(
    "vectors", [[[0.7071, 0, 0], [0, 1, 0], [0, 0, 1]], np.eye(3) * 2, [[1, 1, 0], [0, 1, 1], [1, 0, 1]]]
)
def test_directions_of_another_length_are_refused_with_what_they_may_mean(vectors: object) -> None:
    with pytest.raises(
        DiffusionError, match=r"sub-003 ses-BL DWI: the direction of volume 2 in the \.bvec"
    ) as no:
        images_from_series(series([0, 1000, 1000, 1000], [[0, 0, 0], *vectors]))
    assert "as the .bval file says, or" in str(no.value)
    assert "Write directions of length 1" in str(no.value)


def test_lengths_that_repeat_the_bvalues_are_read() -> None:
    # b 500 with a squared length of 0.5, b 1000 with 1: both files say the same
    half = np.eye(3) * 0.5**0.5
    images = images_from_series(series([0, *[500] * 3, *[1000] * 3], [[0, 0, 0], *half, *np.eye(3)]))
    assert (images.bvalue, images.flags) == (1000, ())
    assert brain_adc(images.adc) == pytest.approx(800, rel=1e-3)


@pytest.mark.parametrize("vectors", [[[0, 0, 0]], [[0, 0, 0], [np.inf, 0, 0]]])
def test_directions_that_are_not_one_a_volume_are_refused(vectors: object) -> None:
    with pytest.raises(DiffusionError, match=r"the \.bvec file must give 2 volumes 3 finite numbers"):
        images_from_series(series([0, 1000], vectors))


@given(
    bvalues=st.lists(
        st.sampled_from([0.0, 5.0, 500.0, 1000.0, 1000001000.0, 3000.0, -1.0, 1e12]), min_size=1, max_size=4
    ),
    number=st.sampled_from([0.0, 1.0, -1.0, 0.5, float("nan"), float("inf"), 1e200, 1e-200]),
)
def test_any_directions_are_read_or_refused(bvalues: list[float], number: float) -> None:
    vectors = np.where(np.eye(3, dtype=bool)[[n % 3 for n in range(len(bvalues))]], number, 0.0)
    try:
        found = images_from_series(series(bvalues, vectors, levels=[500.0] * len(bvalues)))
    except InfarctVolError:
        return
    assert found.trace.data.shape == SHAPE


# ---- the order of volumes --------------------------------------------------------------------------------


def test_bvalues_in_another_order_than_the_volumes_are_refused() -> None:
    # the mean b0 (725) is still brighter than the mean of the weighted volumes (633)
    moved = series([0, 0, 1000, 1000, 1000], levels=[1000, 449, 1000, 449, 449])
    with pytest.raises(DiffusionError, match=r"volume 3 \(b = 1000\) is brighter .* than volume 2 \(b = 0\)"):
        assemble_diffusion(series=moved, brain=TISSUE)


# ---- a 3-D image with a .bval ----------------------------------------------------------------------------


def test_one_volume_with_its_bvalue_is_a_trace_image_as_it_is() -> None:
    one = series([1000])
    found = assemble_diffusion(series=one, b0=scan(B0, "b0"))
    assert (found.dwi.data == one.data[..., 0]).all()
    assert (found.bvalue, found.flags, brain_adc(found.adc)) == (1000, (), pytest.approx(800, rel=1e-3))
    assert found.dwi.sidecar["DiffusionBValue"] == 1000


def test_weighted_volumes_alone_use_the_b0_that_is_given() -> None:
    found = assemble_diffusion(series=series([1000] * 3, np.eye(3)), b0=scan(B0, "b0"))
    assert (found.flags, brain_adc(found.adc)) == ((), pytest.approx(800, rel=1e-3))


def test_a_weighting_of_b0_counts() -> None:
    # S0 at b 50 is 1000 exp(-0.04) = 960.79
    at_50 = scan(np.where(BRAIN, 960.789, 2), "b0", DiffusionBValue=50)
    found = assemble_diffusion(dwi=scan(B1000, "dwi"), b0=at_50, bvalue=1000)
    assert brain_adc(found.adc) == pytest.approx(800, rel=1e-3)


@pytest.mark.parametrize("supplied", [None, scan(ADC, "adc")])
def test_exchanged_images_are_refused_by_their_bvalues(supplied: Scan | None) -> None:
    b0 = scan(B0, "b0", DiffusionBValue=1000)
    with pytest.raises(
        DiffusionError, match="the image given as b0 is 1000 s/mm2 .* Are DWI and b0 exchanged"
    ):
        assemble_diffusion(dwi=scan(B1000, "dwi", DiffusionBValue=1000), b0=b0, adc=supplied)
    with pytest.raises(
        DiffusionError, match="the image given as DWI is 0 s/mm2, which is no diffusion weight"
    ):
        assemble_diffusion(dwi=scan(B1000, "dwi", DiffusionBValue=0), b0=scan(B0, "b0"), adc=supplied)
    with pytest.raises(DiffusionError, match="highest b-value is 0 s/mm2; are DWI and b0 exchanged"):
        assemble_diffusion(series=series([0]), b0=b0, adc=supplied)


@pytest.mark.parametrize("bvalue", [0, -1000, float("nan"), float("inf")])
def test_a_given_bvalue_that_is_none_is_refused(bvalue: float) -> None:
    with pytest.raises(
        DiffusionError, match="which is no diffusion weighting|negative or undefined b-values"
    ):
        assemble_diffusion(dwi=scan(B1000, "dwi"), b0=scan(B0, "b0"), bvalue=bvalue)


def test_a_bvalue_in_another_unit_is_refused_with_the_number_to_write() -> None:
    with pytest.raises(DiffusionError, match=r"if that is in ms/um2, write 1000"):
        assemble_diffusion(dwi=scan(B1000, "dwi", DiffusionBValue=1), b0=scan(B0, "b0"))
    assert assemble_diffusion(dwi=scan(B1000, "dwi", DiffusionBValue="1 ms/um2")).bvalue == 1000


# ---- several statements ----------------------------------------------------------------------------------


@pytest.mark.parametrize("stated", ["1000", [1000], "1000 s/mm2", 1004])
def test_statements_that_agree_within_a_hundredth_are_one(stated: object) -> None:
    found = assemble_diffusion(dwi=scan(B1000, "dwi", DiffusionBValue=stated), b0=scan(B0, "b0"), bvalue=1000)
    assert found.flags == ()
    assert brain_adc(found.adc) == pytest.approx(800, rel=5e-3)


def test_statements_that_contradict_are_refused_where_an_adc_is_computed() -> None:
    both = {"DiffusionBValue": 1000, "b-value": 900}
    found = (
        r"field DiffusionBValue says 1000 s/mm2, the b-value given for this image says 800; the ADC computed"
    )
    with pytest.raises(DiffusionError, match=found):
        assemble_diffusion(dwi=scan(B1000, "dwi", DiffusionBValue=1000), b0=scan(B0, "b0"), bvalue=800)
    with pytest.raises(
        DiffusionError, match=r"the \.bval file says 1000 s/mm2, sidecar field b-value says 800"
    ):
        assemble_diffusion(series=series([1000], **{"b-value": 800}), b0=scan(B0, "b0"))
    with pytest.raises(
        DiffusionError, match=r"the \.bval file says 1000 s/mm2, the b-value given .* says 800"
    ):
        assemble_diffusion(series=series([0, 1000], np.zeros((2, 3))), bvalue=800, brain=TISSUE)
    with pytest.raises(
        DiffusionError, match=r"DiffusionBValue says 1000 s/mm2, sidecar field b-value says 900"
    ):
        assemble_diffusion(dwi=scan(B1000, "dwi", **both), b0=scan(B0, "b0"))


def test_statements_that_contradict_are_said_where_none_is_computed() -> None:
    supplied = scan(ADC, "adc")
    found = assemble_diffusion(dwi=scan(B1000, "dwi", DiffusionBValue=1000), adc=supplied, bvalue=800)
    assert found.flags == (
        "b-value: sidecar field DiffusionBValue says 1000 s/mm2, the b-value given for this image says 800; "
        "no ADC is computed from it",
    )


def test_a_list_of_bvalues_in_the_sidecar_of_a_series_must_be_that_of_its_volumes() -> None:
    found = assemble_diffusion(
        series=series([0, 1000], np.zeros((2, 3)), DiffusionBValue=[0, 1000]), brain=TISSUE
    )
    assert (found.bvalue, found.flags) == (1000, ())
    with pytest.raises(DiffusionError, match=r"sidecar field DiffusionBValue says 800"):
        assemble_diffusion(series=series([0, 1000], np.zeros((2, 3)), DiffusionBValue=[0, 800]), brain=TISSUE)
    with pytest.raises(
        HeaderError, match=r"field DiffusionBValue holds \[0, 1000\] where one number is expected"
    ):
        assemble_diffusion(dwi=scan(B1000, "dwi", DiffusionBValue=[0, 1000]))


# ---- images that were normalised, units that are none ----------------------------------------------------


def test_no_logarithm_is_taken_of_an_image_without_a_zero_of_signal() -> None:
    ramp = np.linspace(0, 40, SHAPE[0], dtype=np.float32)[:, None, None]
    moved = scan(B1000 + ramp - 200, "dwi", DiffusionBValue=1000)
    with pytest.raises(DiffusionError, match="it has intensities below zero .* it was normalised or shifted"):
        assemble_diffusion(dwi=moved, b0=scan(B0, "b0"))
    assert assemble_diffusion(dwi=moved, adc=scan(ADC, "adc")).adc is not None, "its ADC map is not computed"


@pytest.mark.parametrize("unit", ["a.u.", "arbitrary", "none", 1e-6, ["x", "y"]])
def test_a_text_that_is_no_unit_is_said_and_the_brain_tells(unit: object) -> None:
    found = assemble_diffusion(dwi=scan(B1000, "dwi"), adc=scan(ADC / 1000, "adc", Units=unit), brain=TISSUE)
    assert found.flags == ("sidecar field Units of the ADC map names no unit of an ADC; it was not used",)
    assert brain_adc(found.adc) == pytest.approx(800, rel=1e-3)


def test_a_unit_in_a_list_of_one_is_read_and_one_that_cannot_be_is_refused() -> None:
    found = assemble_diffusion(
        dwi=scan(B1000, "dwi"), adc=scan(ADC / 1000, "adc", Units=["1e-3 mm2/s"]), brain=TISSUE
    )
    assert (found.flags, brain_adc(found.adc)) == ((), pytest.approx(800, rel=1e-3))
    with pytest.raises(UnitError, match="stated ADC unit 'mm2/s' makes the brain median"):
        assemble_diffusion(dwi=scan(B1000, "dwi"), adc=scan(ADC, "adc", Units="mm2/s"), brain=TISSUE)


@pytest.mark.parametrize(("gain", "median"), [(1.5, 1205), (0.7, 443)])
def test_images_that_are_scaled_differently_are_said(gain: float, median: int) -> None:
    # ln(gain) / 1000 s/mm2 is added to every ADC: +405 and -357
    found = assemble_diffusion(dwi=scan(B1000, "dwi"), b0=scan(B0 * gain, "b0"), bvalue=1000)
    assert found.flags == (
        f"the computed ADC has a median of {median} over the brain, expected 600 to 1050 (1e-6 mm2/s): look "
        "whether b0 and DWI are scaled alike, and whether the b-value is right",
    )

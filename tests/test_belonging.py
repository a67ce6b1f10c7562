"""DWI, ADC and b0 of one visit belong together: right pairs pass, wrong ones are refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from infarct_vol.diffusion import assemble_diffusion
from infarct_vol.diffusion.adc import onto_grid
from infarct_vol.diffusion.belonging import pair_agreement
from infarct_vol.diffusion.detail import detail_agreement
from infarct_vol.errors import PairError
from infarct_vol.geometry import Grid
from infarct_vol.images import BrainMask, Identity, Scan
from infarct_vol.intake.examination import person_doubts, require_one_examination
from infarct_vol.nifti import load_scan
from infarct_vol.protocol import CheckSettings
from infarct_vol.sample import sample_trial

PEOPLE = ("sub-001", "sub-002", "sub-003", "sub-004")
SUFFIXES = {"dwi": "trace", "adc": "ADC", "b0": "S0map"}


def read(person: str, modality: str) -> Scan:
    name = f"{person}_ses-BL_{SUFFIXES[modality]}.nii.gz"
    identity = Identity(person, "ses-BL", modality=modality)  # type: ignore[arg-type]
    return load_scan(sample_trial() / person / "ses-BL" / "dwi" / name, identity=identity)


@pytest.fixture(scope="module")
def images() -> dict[str, Scan]:
    return {modality: read("sub-001", modality) for modality in SUFFIXES}


def shown_as(scan: Scan, data: np.ndarray) -> Scan:
    return replace(scan, data=np.ascontiguousarray(data))


def moved(scan: Scan, *, voxels: int, axis: int) -> Scan:
    return shown_as(scan, np.roll(scan.data, voxels, axis))


# ---- right pairs -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("person", PEOPLE)
def test_images_of_one_acquisition_belong_together_without_a_word(person: str) -> None:
    found = assemble_diffusion(dwi=read(person, "dwi"), adc=read(person, "adc"), b0=read(person, "b0"))
    assert found.flags == ()


def test_a_smoothed_or_scaled_map_is_the_same_map(images: dict[str, Scan]) -> None:
    adc = images["adc"]
    smooth = ndimage.gaussian_filter(adc.data, 3.0 / adc.grid.spacing_mm)
    assert assemble_diffusion(dwi=images["dwi"], adc=shown_as(adc, smooth)).flags == ()
    in_mm2_per_s = replace(shown_as(adc, adc.data * np.float32(1e-6)), sidecar={})
    assert assemble_diffusion(dwi=images["dwi"], adc=in_mm2_per_s).flags == ()


def test_a_map_on_a_finer_grid_is_brought_over_and_belongs(images: dict[str, Scan]) -> None:
    adc = images["adc"]
    finer = Grid((117, 146, 33), adc.grid.affine @ np.diag([90 / 117, 112 / 146, 1, 1]))
    found = assemble_diffusion(dwi=images["dwi"], adc=replace(onto_grid(adc, finer), grid=finer))
    assert [flag for flag in found.flags if "another grid" not in flag] == []


@pytest.mark.parametrize(
    ("dwi", "adc"),
    [
        ("ads_s02/Subject02_DWI.nii.gz", "ads_s02/Subject02_ADC.nii.gz"),
        ("scanner_philips/philips_trace.nii.gz", "scanner_philips/philips_ADC.nii.gz"),
        (
            "isles22_case0001/sub-strokecase0001_ses-0001_dwi.nii.gz",
            "isles22_case0001/sub-strokecase0001_ses-0001_adc.nii.gz",
        ),
    ],
)
def test_real_pairs_belong_and_mirrored_ones_do_not(real_scans: Path, dwi: str, adc: str) -> None:
    image, own = load_scan(real_scans / dwi, modality="dwi"), load_scan(real_scans / adc, modality="adc")
    assert not [flag for flag in assemble_diffusion(dwi=image, adc=own).flags if "agree" in flag]
    with pytest.raises(PairError, match="mirrored left-right"):
        assemble_diffusion(dwi=image, adc=shown_as(own, own.data[::-1]))


# ---- wrong pairs -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("modality", ["adc", "b0"])
@pytest.mark.parametrize("person", PEOPLE[1:])
def test_another_participants_image_is_refused(images: dict[str, Scan], modality: str, person: str) -> None:
    """Whether its header places it, or it is laid over the DWI voxel by voxel."""
    other = read(person, modality)
    shape = images["dwi"].grid.shape
    pad = [(0, max(0, n - m)) for n, m in zip(shape, other.grid.shape, strict=True)]
    cut = np.pad(other.data, pad)[: shape[0], : shape[1], : shape[2]]
    own = {} if modality == "adc" else {"adc": images["adc"]}
    for image in (other, Scan(cut, images["dwi"].grid, other.identity)):
        with pytest.raises(PairError, match="does not belong to"):
            assemble_diffusion(dwi=images["dwi"], **own, **{modality: image})


@pytest.mark.parametrize(
    ("axis", "words"), [(0, "mirrored left-right"), (1, "mirrored front-back"), (2, "mirrored up-down")]
)
@pytest.mark.parametrize("modality", ["adc", "b0"])
def test_a_mirrored_image_is_refused(images: dict[str, Scan], modality: str, axis: int, words: str) -> None:
    wrong = images | {modality: shown_as(images[modality], np.flip(images[modality].data, axis))}
    with pytest.raises(PairError, match=f"fits better {words}"):
        assemble_diffusion(dwi=wrong["dwi"], adc=wrong["adc"], b0=wrong["b0"] if modality == "b0" else None)


@pytest.mark.parametrize(
    ("axis", "voxels", "words"),
    [
        (0, 10, "moved 20 mm left-right"),
        (1, -10, "moved 20 mm front-back"),
        (1, 4, "moved 6 mm front-back|moved 10 mm front-back"),
        (2, 1, "moved 5 mm up-down"),
    ],
)
def test_a_displaced_map_is_refused(images: dict[str, Scan], axis: int, voxels: int, words: str) -> None:
    with pytest.raises(PairError, match=words):
        assemble_diffusion(dwi=images["dwi"], adc=moved(images["adc"], voxels=voxels, axis=axis))


def test_a_header_20_mm_off_is_refused(images: dict[str, Scan]) -> None:
    affine = images["adc"].grid.affine.copy()
    affine[0, 3] += 20.0
    displaced = replace(images["adc"], grid=Grid(images["adc"].grid.shape, affine))
    with pytest.raises(PairError, match="fits better moved 20 mm left-right"):
        assemble_diffusion(dwi=images["dwi"], adc=displaced)


def test_a_map_that_covers_a_corner_is_refused(images: dict[str, Scan]) -> None:
    data = images["adc"].data.copy()
    data[:, :, 8:] = 0
    with pytest.raises(PairError, match="it has values in .* of the head, at least 30 % expected"):
        assemble_diffusion(dwi=images["dwi"], adc=shown_as(images["adc"], data))


def test_the_refusal_names_participant_visit_both_files_and_what_to_do(images: dict[str, Scan]) -> None:
    with pytest.raises(PairError) as refused:
        assemble_diffusion(dwi=images["dwi"], adc=read("sub-002", "adc"))
    text = str(refused.value)
    for part in ("sub-002 ses-BL ADC", "sub-002_ses-BL_ADC.nii.gz", "sub-001_ses-BL_trace.nii.gz", "export"):
        assert part in text


# ---- what the sidecars say -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "ours", "theirs"),
    [
        ("PatientID", "A17", "A18"),
        ("StudyInstanceUID", "1.2.3", "1.2.4"),
        ("AcquisitionDateTime", "2024-09-09T22:18:00", "2024-10-09T22:18:00"),
        ("AcquisitionDate", "20240909", "20241009"),
    ],
)
def test_sidecars_of_two_examinations_are_refused_by_field_not_by_value(
    images: dict[str, Scan], field: str, ours: str, theirs: str
) -> None:
    first = replace(images["dwi"], sidecar={field: ours})
    second = replace(images["adc"], sidecar={field: theirs})
    with pytest.raises(PairError, match=f"differ in {field}") as refused:
        require_one_examination(first, second)
    assert ours not in str(refused.value)
    assert theirs not in str(refused.value)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ({"PatientID": "A17"}, {}),
        ({"PatientID": ""}, {"PatientID": "A17"}),
        ({"PatientID": "a17 "}, {"PatientID": "A17"}),
        ({"AcquisitionDateTime": "2024-09-09T23:50:00"}, {"AcquisitionDateTime": "2024-09-10T00:10:00"}),
        ({"AcquisitionDate": "today"}, {"AcquisitionDate": "today"}),
    ],
)
def test_what_is_not_stated_or_agrees_says_nothing(
    images: dict[str, Scan], ours: dict[str, object], theirs: dict[str, object]
) -> None:
    require_one_examination(replace(images["dwi"], sidecar=ours), replace(images["adc"], sidecar=theirs))


def test_sidecars_of_two_persons_at_two_visits_are_a_question(images: dict[str, Scan]) -> None:
    first = replace(images["dwi"], sidecar={"PatientID": "A17", "PatientSex": "F"})
    (doubt,) = person_doubts(first, replace(images["adc"], sidecar={"PatientID": "A18", "PatientSex": "M"}))
    assert "differ in PatientID, PatientSex" in doubt
    assert "A17" not in doubt
    assert person_doubts(first, replace(images["adc"], sidecar={"PatientID": "a17"})) == ()


# ---- the measure -----------------------------------------------------------------------------------------


def test_agreement_is_one_for_an_image_and_its_negative_and_near_zero_for_noise() -> None:
    rng = np.random.default_rng(5)
    grid = Grid((40, 40, 12), np.diag([2.0, 2.0, 4.5, 1.0]))
    image = Scan(rng.normal(100, 10, grid.shape), grid)
    tissue = BrainMask(np.ones(grid.shape, dtype=bool), grid)
    negative = image.with_data(500 - image.data)
    assert detail_agreement(image, negative, tissue=tissue).here == pytest.approx(1.0, abs=0.03)
    noise = image.with_data(rng.normal(100, 10, grid.shape))
    assert detail_agreement(image, noise, tissue=tissue).here < 0.1


def test_a_noisy_pair_belongs_by_the_strong_edges_it_shares() -> None:
    grid = Grid((60, 60, 16), np.diag([2.0, 2.0, 4.5, 1.0]))
    rng = np.random.default_rng(7)
    cysts = ndimage.zoom(rng.random((30, 30, 8)) < 0.01, 2, order=0)
    first, second, third = (rng.normal(0, 10, grid.shape) for _ in range(3))
    dwi = Scan(300 + first - 200.0 * cysts, grid, Identity(modality="dwi"))
    b0 = Scan(300 + second + 200.0 * cysts, grid, Identity(modality="b0"))
    tissue, checks = BrainMask(np.ones(grid.shape, dtype=bool), grid), CheckSettings(pair_b0_warn=0.6)
    fine = detail_agreement(dwi, b0, tissue=tissue)
    strong = pair_agreement(dwi, b0, tissue=tissue, checks=checks)
    assert fine.here < 0.5 < 0.8 < strong.here
    assert strong.elsewhere < 0.5
    noise = b0.with_data(300 + third)
    assert pair_agreement(dwi, noise, tissue=tissue, checks=checks).here < 0.1


def test_agreement_of_nothing_in_common_is_zero() -> None:
    grid = Grid((10, 10, 5), np.diag([2.0, 2.0, 5.0, 1.0]))
    image = Scan(np.ones(grid.shape), grid)
    found = detail_agreement(
        image, image.with_data(np.zeros(grid.shape)), tissue=BrainMask(np.ones(grid.shape, dtype=bool), grid)
    )
    assert (found.here, found.coverage) == (0.0, 0.0)

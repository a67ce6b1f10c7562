"""``check``, ``segment`` and ``run`` give one answer about the diffusion images of a session."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import infarct_vol as iv
from infarct_vol import segmentation
from infarct_vol.brain import brain_mask
from infarct_vol.cases import segment_acute, segment_followup
from infarct_vol.checking import CheckRow, check_study
from infarct_vol.errors import DiffusionError, InfarctVolError
from infarct_vol.images import Scan
from infarct_vol.intake.reading import SessionReader
from infarct_vol.nifti import load_scan, save_array
from infarct_vol.protocol import Protocol
from infarct_vol.study import open_study
from infarct_vol.work import Case, read_diffusion

Images = dict[str, Scan]


@pytest.fixture(scope="module")
def images() -> Images:
    """DWI, b0 and ADC of a digital baseline."""
    folder = iv.sample_trial() / "sub-001" / "ses-BL" / "dwi"
    names = {"dwi": "trace", "b0": "S0map", "adc": "ADC"}
    return {kind: load_scan(folder / f"sub-001_ses-BL_{name}.nii.gz") for kind, name in names.items()}


@pytest.fixture
def study(tmp_path: Path, images: Images) -> Callable[..., Path]:
    """A manifest of one baseline; what it names besides the DWI is written beside it."""

    def made(dwi: np.ndarray, bval: str = "", bvec: str = "", **files: object) -> Path:
        grid, row = images["dwi"].grid, {"dwi": "dwi.nii.gz"}
        save_array(dwi, grid, tmp_path / "dwi.nii.gz", dtype="float32")
        for name, text in (("dwi.bval", bval), ("dwi.bvec", bvec)):
            if text:
                (tmp_path / name).write_text(text)
        for kind in ("adc", "b0"):
            if isinstance(files.get(kind), np.ndarray):
                row[kind] = f"{kind}.nii.gz"
                save_array(files[kind], grid, tmp_path / row[kind], dtype="float32")  # type: ignore[arg-type]
        row |= {"bvalue": str(files["bvalue"])} if "bvalue" in files else {}
        columns = ",".join(["participant_id", "visit", "acq_time", *row])
        values = ",".join(["001", "baseline", "2024-09-09", *row.values()])
        (tmp_path / "manifest.csv").write_text(f"{columns}\n{values}\n")
        return tmp_path / "manifest.csv"

    return made


def answers(manifest: Path) -> tuple[list[str], str, str]:
    """Return the findings of ``check`` that fail, and the refusals of ``segment`` and of a run's reading."""
    study = open_study(manifest)
    failed = [row.found for row in findings(manifest) if row.verdict == "FAIL"]
    folder = manifest.parent
    given = {kind: p for kind in ("adc", "b0") if (p := folder / f"{kind}.nii.gz").is_file()}
    session = study.participants[0].sessions[0]

    def segmented() -> None:
        segment_acute(folder / "dwi.nii.gz", bvalue=session.bvalue, **given)

    def run() -> None:
        case = Case(study.participants[0], study.root, folder / "out", Protocol())
        diffusion = read_diffusion(SessionReader(case.participant, session, case.root, case.protocol))
        segmentation.segment_acute(diffusion.dwi, diffusion.adc)

    return failed, refusal(segmented), refusal(run)


def findings(manifest: Path) -> list[CheckRow]:
    rows = check_study(open_study(manifest), protocol=Protocol())
    return [row for row in rows if row.visit == "baseline"]


def refusal(work: Callable[[], None]) -> str:
    try:
        work()
    except InfarctVolError as error:
        return error.message
    return ""


def test_a_sound_pair_is_sound_for_all_three(study: Callable[..., Path], images: Images) -> None:
    manifest = study(images["dwi"].data, "1000\n", b0=images["b0"].data)
    (manifest.parent / "b0.bval").write_text("0\n")
    assert answers(manifest) == ([], "", "")
    (manifest.parent / "b0.bval").write_text("1000\n")
    failed, segmented, run = answers(manifest)
    assert len(failed) == 1
    assert "the image given as b0 is 1000 s/mm2" in failed[0]
    assert failed[0] == segmented == run


def test_bvalues_beside_an_adc_map_say_nothing(study: Callable[..., Path], images: Images) -> None:
    manifest = study(images["dwi"].data, adc=images["adc"].data, bvalue=1000)
    (manifest.parent / "adc.bval").write_text("0 1000 x\n")
    assert answers(manifest) == ([], "", "")


def test_a_computed_map_that_is_no_brains_adc_fails_for_all_three(
    study: Callable[..., Path], images: Images
) -> None:
    # a weighting of 100 where 1000 was meant makes the ADC ten times too high
    manifest = study(images["dwi"].data, b0=images["b0"].data, bvalue=100)
    failed, segmented, run = answers(manifest)
    assert len(failed) == 1
    assert "the ADC map does not look like a brain" in failed[0]
    assert failed[0] == segmented
    assert "the ADC map does not look like a brain" in run


@pytest.mark.parametrize(
    ("bval", "bvec", "found"),
    [
        ("0 1000 1000", "", "dwi.bval holds 3 b-values for 2 volumes"),
        ("0 1_000", "", "dwi.bval is not a table of numbers"),
        ("0 1000", "0 .5\n0 0\n0 0", "in the .bvec file has length 0.5"),
        ("1000 0", "", "brighter"),
        ("", "", "holds 2 volumes where one is expected"),
    ],
)
def test_a_series_that_contradicts_itself_fails_for_all_three(
    study: Callable[..., Path], images: Images, bval: str, bvec: str, found: str
) -> None:
    both = np.stack([images["b0"].data, images["dwi"].data], axis=-1)
    failed, segmented, run = answers(study(both, bval, bvec))
    assert failed
    assert all(found in said for said in (failed[0], segmented, run)), (failed, segmented, run)


@settings(max_examples=10)
@given(content=st.binary(max_size=60), name=st.sampled_from(["dwi.bval", "dwi.bvec", "dwi.json"]))
def test_any_bytes_beside_a_series_are_read_or_refused(tmp_path_factory, content: bytes, name: str) -> None:
    folder = tmp_path_factory.mktemp("fuzz")
    grid = iv.load_scan(iv.sample_trial() / "sub-001/ses-BL/dwi/sub-001_ses-BL_trace.nii.gz").grid.crop(
        (slice(0, 12), slice(0, 12), slice(0, 4))
    )
    data = np.random.default_rng(1).uniform(50, 100, (*grid.shape, 2)).astype(np.float32)
    save_array(data, grid, folder / "dwi.nii.gz", dtype="float32")
    (folder / "dwi.bval").write_text("0 1000\n")
    (folder / name).write_bytes(content)
    with pytest.raises(InfarctVolError):  # there is no brain in it, whatever the text says
        segment_acute(folder / "dwi.nii.gz")


def test_a_field_strength_is_read_as_a_number_or_flagged(study: Callable[..., Path], images: Images) -> None:
    manifest = study(images["dwi"].data, adc=images["adc"].data)
    read: list[tuple[float | None, list[str]]] = []
    for stated in ("1.5 T", ["3"], "three"):
        (manifest.parent / "dwi.json").write_text(json.dumps({"MagneticFieldStrength": stated}))
        opened = open_study(manifest)
        participant = opened.participants[0]
        reader = SessionReader(participant, participant.sessions[0], opened.root, Protocol())
        reader.scan("dwi")
        read.append((reader.records[0].field_strength_t, reader.flags))
    assert read[0] == (1.5, [])
    assert read[1] == (3.0, [])
    assert read[2][0] is None
    assert 'DWI: sidecar field MagneticFieldStrength holds "three"' in read[2][1][0]


def test_undefined_and_infinite_intensities_are_said_without_a_warning_of_numpy(images: Images) -> None:
    dwi, adc = (images[kind].data.copy() for kind in ("dwi", "adc"))
    dwi[:3, :3], adc[30, 30, 5], adc[31, 30, 5] = np.nan, np.inf, -np.inf
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mask = segment_acute(images["dwi"].with_data(dwi), images["adc"].with_data(adc))
    assert mask.volume_ml == pytest.approx(49.8, rel=0.01)
    assert any("voxels (" in flag and "are not numbers" in flag for flag in mask.flags)


# ---- images that were normalised -------------------------------------------------------------------------


def normalised(scan: Scan, inside: np.ndarray | None = None) -> Scan:
    """Return a z-scored image: over the whole of it, or inside a brain mask with 0 around it."""
    values = scan.data if inside is None else scan.data[inside]
    scores = (scan.data - values.mean()) / values.std()
    return scan.with_data(scores if inside is None else np.where(inside, scores, 0))


def test_a_normalised_dwi_gives_the_volume_of_the_scanners(images: Images) -> None:
    adc = images["adc"]
    dwi = replace(images["dwi"], identity=replace(images["dwi"].identity, modality="dwi"))
    plain = segment_acute(dwi, adc)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        whole = segment_acute(normalised(dwi), adc)
        stripped = segment_acute(normalised(dwi, brain_mask(dwi).data), adc)
    assert (whole.data == plain.data).all()
    assert stripped.volume_ml == pytest.approx(plain.volume_ml, rel=0.02)
    assert any("the background lies amid the intensities" in flag for flag in stripped.flags)
    with pytest.raises(DiffusionError, match="it was normalised or shifted"):
        segment_acute(normalised(dwi), b0=images["b0"], bvalue=1000)


def test_a_normalised_flair_gives_the_volume_of_the_scanners() -> None:
    folder = iv.sample_trial() / "sub-001" / "ses-M03" / "anat"
    flair = load_scan(folder / "sub-001_ses-M03_FLAIR.nii.gz", modality="flair")
    plain = segment_followup(flair)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        whole = segment_followup(normalised(flair))
        stripped = segment_followup(normalised(flair, brain_mask(flair).data))
    assert (whole.data == plain.data).all()
    assert stripped.volume_ml == pytest.approx(plain.volume_ml, rel=0.03)
    assert any("the background lies amid the intensities" in flag for flag in stripped.flags)

"""Masks that are none, and masks that cannot be right: refused with the remedy, or read right."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from typer.testing import CliRunner, Result

import infarct_vol as iv
from infarct_vol.brain import extraction
from infarct_vol.brain.plausibility import brain_doubts, lesion_doubts, settle_doubts
from infarct_vol.cases import segment_followup
from infarct_vol.errors import (
    BrainMaskError,
    DamagedFileError,
    GridMismatchError,
    MaskError,
    UsageError,
)
from infarct_vol.files import require_target
from infarct_vol.geometry import SAME_GRID_MM, Grid
from infarct_vol.images import BrainMask, LesionMask, Scan, label_voxels, mask_on
from infarct_vol.nifti import load_mask, save_array, save_mask, save_scan
from infarct_vol.protocol import load_protocol
from infarct_vol.validation import agree
from infarct_vol_cli.main import app

SHAPE = (40, 40, 10)
GRID = Grid(SHAPE, np.diag([4.0, 4.0, 8.0, 1.0]))
"""Voxels of 0.128 mL; the whole grid is 2048 mL."""
LESION = (slice(8, 13), slice(12, 20), slice(3, 6))
"""5 x 8 x 3 voxels on the left: 15.36 mL."""


def infarct_vol(*arguments: object, code: int = 0) -> Result:
    result = CliRunner().invoke(app, [str(a) for a in arguments], env={"COLUMNS": "200", "TERM": "dumb"})
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    return result


def block(where: tuple[slice, ...] = LESION) -> np.ndarray:
    data = np.zeros(SHAPE, dtype=bool)
    data[where] = True
    return data


def lesion(where: tuple[slice, ...] = LESION) -> LesionMask:
    return LesionMask(block(where), GRID)


def brain() -> BrainMask:
    return BrainMask(block((slice(4, 36), slice(4, 36), slice(1, 9))), GRID)


def head(*bright: tuple[slice, ...], level: float = 200.0) -> Scan:
    data = np.random.default_rng(5).normal(100, 10, SHAPE)
    for where in bright:
        data[where] = level
    return Scan(data, GRID)


def kinds(*arguments: object, **named: object) -> list[str]:
    return [doubt.kind for doubt in lesion_doubts(*arguments, **named)]  # type: ignore[arg-type]


# ---- values ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "match"),
    [
        ((0.01,), "1 of its voxels hold fractions, from 0.01 to 0.01, .*threshold it, at 0.5 for example"),
        ((0.3, 0.9), "2 of its voxels hold fractions, from 0.3 to 0.9"),
        ((1.0, 0.999), "1 of its voxels hold fractions, from 0.999 to 0.999"),
        ((np.nan,), "1 of its voxels are NaN or infinite; set the background to 0"),
        ((1.0, -np.inf), "1 of its voxels are NaN or infinite"),
        ((-1.0, 1.0), "its lowest value is -1 .in 1 voxels.; expected 0 for the background"),
        ((1, 2), r"2 labels besides 0 \(1 in 1 voxels, 2 in 1 voxels\); export one label as 0/1"),
        ((1, 255), r"2 labels besides 0 \(1 in 1 voxels, 255 in 1 voxels\)"),
    ],
)
@pytest.mark.parametrize("kind", [LesionMask, BrainMask])
def test_an_array_of_no_labels_is_no_mask(
    kind: Callable[..., object], values: tuple[float, ...], match: str
) -> None:
    data = np.zeros(SHAPE)
    data.ravel()[: len(values)] = values
    with pytest.raises(MaskError, match=f"the array given as a mask is not a binary mask: .*{match}"):
        kind(data, GRID)


def test_a_hundredth_everywhere_is_not_seven_litres() -> None:
    with pytest.raises(MaskError, match="16000 of its voxels hold fractions, from 0.01 to 0.01"):
        LesionMask(np.full(SHAPE, 0.01), GRID)
    with pytest.raises(MaskError, match="hold fractions"):
        lesion().with_data(np.full(SHAPE, 0.01))


def test_labels_without_any_background_are_named() -> None:
    with pytest.raises(MaskError, match="2 labels and no voxel of 0 .1 in 15880 voxels, 2 in 120 voxels"):
        label_voxels(1 + block().astype(int))


@pytest.mark.parametrize(
    "kind", ["bool", "uint8", "int8", "int64", "uint64", "float16", "float32", "float64"]
)
@pytest.mark.parametrize("label", [1, 7])
def test_one_label_of_any_number_type_is_a_mask(kind: str, label: int) -> None:
    if kind == "bool" and label != 1:
        label = 1
    mask = LesionMask((block() * label).astype(kind), GRID)
    assert mask.volume_ml == pytest.approx(15.36)


def test_text_and_objects_are_no_mask() -> None:
    with pytest.raises(MaskError, match="its values are of type <U1; expected 0 and one label"):
        LesionMask(np.full(SHAPE, "1"), GRID)


@pytest.mark.parametrize("stored", ["int8", "uint8", "int16", "uint16", "int32"])
@pytest.mark.parametrize("label", [1, 3, 255])
def test_a_label_stored_in_scaled_integers_is_read(tmp_path: Path, stored: str, label: int) -> None:
    header = nib.Nifti1Header()
    header.set_data_dtype(stored)
    image = nib.Nifti1Image(block().astype("float32") * label, GRID.affine, header)
    image.header.set_xyzt_units("mm")
    nib.save(image, tmp_path / "scaled.nii.gz")
    assert load_mask(tmp_path / "scaled.nii.gz").voxel_count == 120


def test_fractions_are_not_hidden_by_a_coarse_slope(tmp_path: Path) -> None:
    data = block() * 1.0
    data[0, 0, 0] = 0.4
    save_array(data, GRID, tmp_path / "coarse.nii.gz", dtype="int16", slope=0.2)
    with pytest.raises(MaskError, match="coarse.nii.gz is not a binary mask: 1 of its voxels hold fractions"):
        load_mask(tmp_path / "coarse.nii.gz")


def test_ones_and_almost_ones_are_one_label(tmp_path: Path) -> None:
    data = block().astype("float32")
    data[LESION][::2] = np.nextafter(np.float32(1), np.float32(0))
    save_array(data, GRID, tmp_path / "almost.nii.gz", dtype="float32")
    assert load_mask(tmp_path / "almost.nii.gz").voxel_count == 120


def test_one_of_several_labels_may_be_named(tmp_path: Path) -> None:
    data = block().astype("uint8")
    data[30, 30, 5:9] = 2
    path = tmp_path / "labels.nii.gz"
    save_array(data, GRID, path, dtype="uint8")
    assert load_mask(path, label=1).voxel_count == 120
    assert ",4," in infarct_vol("measure", path, "--label", 2, "--csv").stdout
    with pytest.raises(MaskError, match="holds no label 3; it holds 1 in 120 voxels, 2 in 4 voxels"):
        load_mask(path, label=3)
    assert "'measure --label N'" in infarct_vol("measure", path, code=1).stderr


def test_a_file_that_labels_everything_is_refused_until_it_is_confirmed(tmp_path: Path) -> None:
    path = tmp_path / "all.nii.gz"
    save_array(np.ones(SHAPE, dtype="uint8"), GRID, path, dtype="uint8")
    with pytest.raises(MaskError, match='labels every voxel .*write "Confirmed": true into all.json'):
        load_mask(path)
    (tmp_path / "all.json").write_text('{"Confirmed": true}')
    assert load_mask(path).volume_ml == pytest.approx(2048.0)


def test_measure_asks_for_a_mask_not_for_voxels() -> None:
    with pytest.raises(UsageError, match="measure takes a LesionMask, got ndarray: .*load_mask"):
        iv.measure(block())  # type: ignore[arg-type]


# ---- grids -----------------------------------------------------------------------------------------------


def shifted(step_mm: float, *, grid: Grid = GRID) -> Grid:
    affine = np.array(grid.affine)
    affine[0, 3] += step_mm
    return Grid(grid.shape, affine)


def test_the_tolerance_is_half_a_millimetre_or_a_quarter_of_a_voxel() -> None:
    assert SAME_GRID_MM == 0.5
    assert GRID.matches(shifted(0.49))
    assert not GRID.matches(shifted(0.51))
    small = Grid(SHAPE, np.diag([0.8, 0.8, 5.0, 1.0]))
    assert small.matches(shifted(0.19, grid=small))
    assert not small.matches(shifted(0.21, grid=small))


def test_the_message_says_in_what_two_grids_differ() -> None:
    turned = np.array(GRID.affine)
    turned[:2, :2] = [[4 * np.cos(0.1), -4 * np.sin(0.1)], [4 * np.sin(0.1), 4 * np.cos(0.1)]]
    assert "axes turned by 5.7 degrees; corners up to 22.1 mm apart" in GRID.difference(Grid(SHAPE, turned))
    assert GRID.difference(shifted(2.0)) == (
        "first voxel 2 mm away; corners up to 2 mm apart (at most 0.5 mm is rounding)"
    )
    assert "shape 40x40x10 against 40x40x9" in GRID.difference(Grid((40, 40, 9), GRID.affine))
    assert "4x4x8 against 4x4x7 mm voxels" in GRID.difference(Grid(SHAPE, np.diag([4.0, 4.0, 7.0, 1.0])))
    flipped = np.diag([-4.0, 4.0, 8.0, 1.0])
    assert "axes RAS against LAS" in GRID.difference(Grid(SHAPE, flipped))


def test_a_mask_within_rounding_takes_the_grid_of_its_image() -> None:
    rounded = Grid(SHAPE, np.array(GRID.affine) * np.array([1.0001, 1, 1, 1]))
    found = mask_on(LesionMask(block(), rounded), GRID)
    assert found.volume_ml == pytest.approx(15.36, rel=1e-12)
    with pytest.raises(GridMismatchError, match="the mask has .*its image has .*2 mm away.*save the mask on"):
        mask_on(LesionMask(block(), shifted(2.0)), GRID)


@pytest.mark.parametrize(("step_mm", "code"), [(0.4, 0), (0.6, 1)])
def test_two_masks_are_compared_within_the_same_tolerance(tmp_path: Path, step_mm: float, code: int) -> None:
    save_mask(lesion(), tmp_path / "a.nii.gz")
    save_mask(LesionMask(block(), shifted(step_mm)), tmp_path / "b.nii.gz")
    told = infarct_vol("agree", tmp_path / "a.nii.gz", tmp_path / "b.nii.gz", code=code)
    assert ("at most 0.5 mm is rounding" in told.stderr) == bool(code)


def test_a_rounded_header_is_no_difference_in_volume() -> None:
    rounded = Grid(SHAPE, np.array(GRID.affine) * np.array([1.0001, 1, 1, 1]))
    (row,) = agree(lesion(), LesionMask(block(), rounded)).rows
    assert row.difference_ml == 0.0


# ---- what is kept beside a mask --------------------------------------------------------------------------


def kept() -> LesionMask:
    evidence = {"volume_ml_low": 12.0, "volume_ml_high": 19.5, "partial_volume_ml": 15.1}
    return replace(lesion(), method="method 3", flags=("touches the last slice",), evidence=evidence)


def test_a_mask_written_and_read_again_measures_the_same(tmp_path: Path) -> None:
    iv.save_mask(kept(), tmp_path / "mask.nii.gz")
    found = iv.load_mask(tmp_path / "mask.nii.gz")
    assert (found.method, found.flags) == ("method 3", ("touches the last slice",))
    assert iv.measure(found) == iv.measure(kept())
    assert iv.measure(found).volume_ml_high == 19.5
    told = infarct_vol("measure", tmp_path / "mask.nii.gz", "--csv")
    assert ",12.0,19.5" in told.stdout
    assert "touches the last slice" in told.stderr


def test_a_sidecar_beside_an_edited_mask_is_not_believed(tmp_path: Path) -> None:
    path = tmp_path / "mask.nii.gz"
    save_mask(kept(), path)
    # as many voxels, elsewhere
    save_mask(lesion((slice(9, 14), *LESION[1:])), path, sidecar=False)
    found = load_mask(path)
    assert found.method == "file:mask.nii.gz"
    assert found.evidence == {}
    assert found.flags == (
        "mask.json describes other voxels than mask.nii.gz has: its method, flags and range are not used",
    )


def test_a_sidecar_of_an_earlier_version_is_believed_by_its_counts(tmp_path: Path) -> None:
    path = tmp_path / "mask.nii.gz"
    save_mask(kept(), path)
    facts = json.loads((tmp_path / "mask.json").read_text())
    del facts["VoxelSHA256"]
    (tmp_path / "mask.json").write_text(json.dumps(facts))
    assert load_mask(path).method == "method 3"
    (tmp_path / "mask.json").write_text(json.dumps(facts | {"VoxelCount": 119}))
    assert load_mask(path).method == "file:mask.nii.gz"


def test_a_sidecar_of_something_else_stays(tmp_path: Path) -> None:
    (tmp_path / "mask.json").write_text('{"EchoTime": 0.1}')
    with pytest.raises(UsageError, match=r"mask\.json is there and belongs to something else"):
        save_mask(kept(), tmp_path / "mask.nii.gz")
    assert (tmp_path / "mask.json").read_text() == '{"EchoTime": 0.1}'
    assert not (tmp_path / "mask.nii.gz").exists()


# ---- names of files --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("mask.mha", "a MetaImage file; images are written as NIfTI: name it 'mask.nii.gz'"),
        ("mask.seg.nrrd", "an NRRD file; .*'mask.nii.gz'"),
        ("mask.img", "one half of a pair"),
        ("mask.h5", "a name of no image format; .*'mask.nii.gz'"),
        ("mask", "a name of no image format"),
        (".nii.gz", "name it 'mask.nii.gz'"),
    ],
)
def test_a_name_of_another_format_is_refused(tmp_path: Path, name: str, match: str) -> None:
    with pytest.raises(UsageError, match=match):
        save_mask(lesion(), tmp_path / name)
    with pytest.raises(UsageError, match=match):
        save_scan(head(), tmp_path / name)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["mask.nii", "mask.NII", "mask.nii.gz", "mask.NII.GZ", "mask.Nii.gz"])
def test_names_of_nifti_in_any_case_are_written_and_read(tmp_path: Path, name: str) -> None:
    save_mask(lesion(), tmp_path / name)
    assert ((tmp_path / name).read_bytes()[:2] == b"\x1f\x8b") == name.lower().endswith(".gz")
    assert load_mask(tmp_path / name).voxel_count == 120


@pytest.mark.parametrize(
    ("name", "content", "match"),
    [
        ("m.hdr", b"\x5c\x01\x00\x00" + bytes(340) + b"ni1\0", "half of a pair.*one .nii.gz file"),
        ("m.img", bytes(1000), "half of a pair"),
        ("m.nii", b"\x5c\x01\x00\x00" + bytes(340) + b"ni1\0", "half of a pair"),
        ("m.mgz", b"\x1f\x8b\x08\x00", "a FreeSurfer volume"),
        ("m.seg.nrrd", b"NRRD0004\n", "an NRRD file, not NIfTI; save the image as one .nii.gz"),
        ("m.nii.gz", b"NRRD0004\n", "an NRRD file, not NIfTI"),
        ("m.mha", b"ObjectType = Image\n", "a MetaImage file, not NIfTI"),
        ("m.nii.gz", b"PK\x03\x04", "a zip archive, not NIfTI"),
        ("m.npy", b"\x93NUMPY", "a numpy array without a grid"),
    ],
)
def test_files_of_other_formats_are_named(tmp_path: Path, name: str, content: bytes, match: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DamagedFileError, match=f"{name}: .*{match}"):
        load_mask(tmp_path / name)
    assert "Traceback" not in infarct_vol("measure", tmp_path / name, code=1).output


def test_outputs_are_not_folders_inputs_or_out_of_reach(tmp_path: Path) -> None:
    given = tmp_path / "dwi.nii.gz"
    given.write_bytes(b"x")
    (tmp_path / "link.nii.gz").symlink_to(given)
    for path in (given, tmp_path / "x" / ".." / "dwi.nii.gz", tmp_path / "link.nii.gz", tmp_path / "dwi.nii"):
        with pytest.raises(UsageError, match="would be written over an input"):
            require_target(path, inputs=(given, None))
    with pytest.raises(UsageError, match="is a folder; name the file"):
        require_target(tmp_path)
    with pytest.raises(UsageError, match=r"dwi\.nii\.gz' is a file, not a folder"):
        require_target(given / "deep" / "out.nii.gz")
    with pytest.raises(UsageError, match="is named for two outputs"):
        require_target(tmp_path / "a.tfm", others=(tmp_path / "a.tfm",))
    with pytest.raises(UsageError, match="is no name of a file"):
        require_target(Path("a\0b.nii.gz"))
    require_target(tmp_path / "new" / "out.nii.gz", inputs=(given,))


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A FLAIR, a DWI and an ADC map of no brain: whoever looks at them is refused with exit code 1."""
    for name in ("flair", "dwi", "adc"):
        save_scan(head(), tmp_path / f"{name}.nii.gz")
    return tmp_path


@pytest.mark.parametrize("name", ["out.mha", "out", "out.h5", "flair.nii.gz", "flair.nii", "."])
def test_segment_refuses_a_name_it_cannot_write_before_it_reads_anything(images: Path, name: str) -> None:
    told = infarct_vol("segment", "--flair", images / "flair.nii.gz", "-o", images / name, code=2)
    assert "mL" not in told.stdout


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (("--dwi", "dwi.nii.gz", "--t1w", "adc.nii.gz"), "--t1w has no use with --dwi"),
        (("--dwi", "dwi.nii.gz", "--baseline-mask", "adc.nii.gz"), "--baseline-mask has no use with --dwi"),
        (("--flair", "flair.nii.gz", "--bvalue", "1000"), "--bvalue has no use with --flair"),
        (("--flair", "flair.nii.gz", "--method", "local"), "--method has no use with --flair"),
        (("--flair", "flair.nii.gz", "--adc", "a", "--b0", "b"), "--adc, --b0 has no use with --flair"),
        (
            ("--dwi", "dwi.nii.gz", "--adc-unit", "mm2/s"),
            "the unit of the map given with --adc, and",
        ),
        (("--flair", "flair.nii.gz", "--t1w", "adc.nii.gz"), "without a baseline FLAIR and its mask the T1w"),
        (("--flair", "flair.nii.gz", "--baseline-dwi", "dwi.nii.gz"), "the baseline DWI is not used"),
    ],
)
def test_an_option_without_use_is_refused(images: Path, options: tuple[str, ...], named: str) -> None:
    given = [images / word if word.endswith(".nii.gz") else word for word in options]
    assert named in infarct_vol("segment", *given, "-o", images / "out.nii.gz", code=2).stderr
    assert not (images / "out.nii.gz").exists()


@pytest.mark.parametrize(
    ("output", "more", "match"),
    [
        ("x.h5", (), "is no name of an ITK text transform; name it 'x.tfm'"),
        ("flair.nii.gz", (), "is no name of an ITK text transform"),
        ("x.tfm", ("--resampled", "moved.mha"), "a MetaImage file"),
        ("x.tfm", ("--resampled", "flair.nii.gz"), "would be written over an input"),
        ("x.tfm", ("--report", "x.tfm"), "is named for two outputs"),
    ],
)
def test_register_refuses_names_it_cannot_write(
    images: Path, output: str, more: tuple[str, ...], match: str
) -> None:
    rest = [images / word if "." in word else word for word in more]
    told = infarct_vol(
        "register", images / "flair.nii.gz", images / "dwi.nii.gz", "-o", images / output, *rest, code=2
    )
    assert match in told.stderr


def test_agree_names_masks_it_cannot_read(tmp_path: Path) -> None:
    for reader in ("a", "b"):
        save_mask(lesion(), tmp_path / reader / "one_mask.NII.GZ", sidecar=False)
    (tmp_path / "a" / "two.seg.nrrd").write_bytes(b"NRRD0004\n")
    told = infarct_vol("agree", tmp_path / "a", tmp_path / "b", code=1)
    assert "two.seg.nrrd: not NIfTI, not compared; save the image as one .nii.gz file" in told.stderr


@pytest.mark.parametrize("output", ["seg.nii.gz", "seg", "."])
def test_export_seg_refuses_a_name_it_cannot_write(tmp_path: Path, output: str) -> None:
    pytest.importorskip("highdicom")
    save_mask(lesion(), tmp_path / "mask.nii.gz")
    (tmp_path / "dicom").mkdir()
    told = infarct_vol(
        "export-seg", tmp_path / "mask.nii.gz", tmp_path / "dicom", "-o", tmp_path / output, code=2
    )
    assert "is not the name of a DICOM file; name it" in told.stderr


# ---- a lesion that cannot be one -------------------------------------------------------------------------

MIRRORED = (slice(27, 32), *LESION[1:])
"""The lesion in the other half of the grid."""


def test_a_right_mask_raises_no_doubt() -> None:
    scan = head(LESION)
    assert kinds(lesion(), scan=scan, brain=brain(), automatic=lesion()) == []
    assert kinds(lesion(), scan=scan, brain=brain()) == []
    assert kinds(lesion().with_data(np.zeros(SHAPE)), scan=scan, brain=brain(), automatic=lesion()) == []


def test_a_mirrored_mask_is_told_by_the_automatic_one_and_by_the_image() -> None:
    scan, automatic = head(LESION), lesion()
    (doubt,) = lesion_doubts(lesion(MIRRORED), scan=scan, brain=brain(), automatic=automatic)
    assert doubt.kind == "mirrored"
    assert doubt.text == (
        "it fits the infarct in the image once it is mirrored left to right (Dice 1.00, as it is 0.00)"
    )
    (doubt,) = lesion_doubts(lesion(MIRRORED), scan=scan, brain=brain())
    assert doubt.text.startswith("it lies on tissue that looks normal (")
    assert kinds(lesion(MIRRORED), automatic=automatic) == ["mirrored"]


def test_a_mask_mirrored_in_a_head_off_the_middle_and_other_turns_are_told() -> None:
    off = (slice(24, 29), *LESION[1:])
    assert kinds(lesion(off), scan=head(LESION), brain=brain(), automatic=lesion()) == ["mirrored"]
    turned = LesionMask(np.flip(block(), axis=1), GRID)
    (doubt,) = lesion_doubts(turned, scan=head(LESION), brain=brain(), automatic=lesion())
    assert "mirrored front to back" in doubt.text


def test_a_mask_moved_off_the_lesion_is_told() -> None:
    moved = lesion((slice(14, 19), slice(16, 24), LESION[2]))
    (doubt,) = lesion_doubts(moved, scan=head(LESION), brain=brain(), automatic=lesion())
    assert (doubt.kind, doubt.text[:58]) == (
        "moved",
        "it fits the infarct in the image once it is moved by 29 mm",
    )


def test_a_reader_may_mark_what_the_method_missed() -> None:
    """The mirror image fits the automatic mask, and yet the reader's own lesion can be seen."""
    both = head(LESION, MIRRORED)
    both = both.with_data(np.where(block(MIRRORED), 240.0, both.data))
    assert kinds(lesion(MIRRORED), scan=both, brain=brain(), automatic=lesion()) == []
    empty = lesion().with_data(np.zeros(SHAPE))
    assert kinds(lesion(MIRRORED), scan=head(MIRRORED), brain=brain(), automatic=empty) == []
    dark = head(LESION, level=20.0)
    assert kinds(lesion(), scan=dark, brain=brain()) == [], "a cavity is dark"


def test_a_mask_that_overlaps_the_automatic_one_is_where_it_belongs() -> None:
    half = lesion((slice(10, 15), *LESION[1:]))
    assert kinds(half, scan=head(LESION), brain=brain(), automatic=lesion()) == []


def test_a_brain_mask_and_a_mask_beside_the_brain_are_no_lesion() -> None:
    scan = head(LESION)
    (doubt,) = lesion_doubts(LesionMask(brain().data, GRID), scan=scan, brain=brain())
    assert (doubt.kind, doubt.text) == (
        "whole_brain",
        "it covers 100 % of the brain, as a brain mask does and no lesion",
    )
    hemisphere = lesion((slice(4, 20), slice(4, 36), slice(1, 9)))
    assert kinds(hemisphere, brain=brain()) == [], "half of the brain is the largest infarct"
    assert kinds(LesionMask(brain().data, GRID)) == ["whole_brain"], "1049 mL without a brain to compare"
    assert kinds(LesionMask(np.ones(SHAPE, dtype=bool), GRID)) == ["whole_volume"]
    beside = lesion((slice(0, 7), slice(12, 20), slice(3, 6)))
    (doubt,) = lesion_doubts(beside, scan=scan, brain=brain())
    assert (doubt.kind, doubt.text) == ("outside_brain", "57 % of it lies outside the brain")


def test_a_doubt_refuses_until_a_person_confirms() -> None:
    doubts = lesion_doubts(lesion(MIRRORED), automatic=lesion())
    with pytest.raises(MaskError, match="sub-01 FLAIR: mask m.nii.gz cannot be right: .*meant, say so"):
        settle_doubts(doubts, name="mask m.nii.gz", confirmed=False, remedy="say so", where="sub-01 FLAIR")
    (flag,) = settle_doubts(doubts, name="mask m.nii.gz", confirmed=True, remedy="say so")
    assert flag.startswith("mask m.nii.gz was confirmed although it fits the infarct")
    assert settle_doubts((), name="m", confirmed=False, remedy="") == ()


# ---- a brain that cannot be one --------------------------------------------------------------------------

EGG = np.indices(SHAPE).astype(float)
EGG = ((EGG[0] - 17) / 14) ** 2 + ((EGG[1] - 20 - 0.12 * (EGG[0] - 17)) / 17) ** 2 + (
    (EGG[2] - 5) / 4.2
) ** 2 < 1
"""A brain that lies 2.5 voxels left of the grid's middle."""


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extraction, "brain_mask", lambda scan, **_: BrainMask(EGG, GRID))


@pytest.mark.usefixtures("found")
@pytest.mark.parametrize(
    ("given", "kind", "text"),
    [
        (np.flip(EGG, axis=0), "mirrored", "better once it is mirrored left to right"),
        (np.roll(EGG, 3, axis=1), "moved", "better 12 mm away"),
        (EGG & (np.arange(40) < 17)[:, None, None], "no_brain", "it leaves out 5[0-9] % of that, and 0 %"),
        (block(), "no_brain", "it measures 15 mL, expected 50 to 2500 mL of a brain"),
        (np.zeros(SHAPE, dtype=bool), "no_brain", "it measures 0 mL"),
        (np.ones(SHAPE, dtype=bool), "no_brain", "% of it lies elsewhere"),
    ],
)
def test_a_brain_mask_that_is_none_is_doubted(given: np.ndarray, kind: str, text: str) -> None:
    (doubt,) = brain_doubts(BrainMask(given, GRID), head())
    assert doubt.kind == kind
    assert re.search(text, doubt.text), doubt.text


@pytest.mark.usefixtures("found")
def test_a_brain_mask_of_another_program_is_taken() -> None:
    tighter = EGG & np.roll(EGG, 1, axis=0) & np.roll(EGG, -1, axis=0)
    for given in (EGG, tighter):
        assert brain_doubts(BrainMask(given, GRID), head()) == ()


def test_where_no_brain_is_found_the_one_given_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(scan: Scan, **_: object) -> BrainMask:
        msg = "no brain found"
        raise BrainMaskError(msg)

    monkeypatch.setattr(extraction, "brain_mask", none)
    assert brain_doubts(BrainMask(EGG, GRID), head()) == ()


@pytest.mark.usefixtures("found")
def test_a_brain_mask_holds_for_flair_and_a_lesion_mask_is_refused(images: Path) -> None:
    save_mask(lesion(), images / "lesion.nii.gz")
    charter = images / "thick.toml"
    charter.write_text("[checks]\nthickness_fail_mm = 9.0\n")
    told = infarct_vol(
        *("segment", "--flair", images / "flair.nii.gz", "--brain-mask", images / "lesion.nii.gz"),
        *("--protocol", charter, "-o", images / "out.nii.gz"),
        code=1,
    )
    assert "the brain mask lesion.nii.gz cannot be right: it measures 15 mL, expected 50 to" in told.stderr
    assert 'write "Confirmed": true into lesion.json beside it' in told.stderr
    for kind in (LesionMask, BrainMask):
        with pytest.raises(GridMismatchError, match="the brain mask has .*, its scan has "):
            segment_followup(head(), brain=kind(EGG, shifted(2.0)), protocol=load_protocol(charter))
    with pytest.raises(UsageError, match="the path of its file, got ndarray; make LesionMask"):
        segment_followup(head(), brain=EGG, protocol=load_protocol(charter))  # type: ignore[arg-type]

from __future__ import annotations

import builtins
import itertools
import json

import numpy as np
import pydicom
import pytest
import typer
from dicom_series import AXIAL, ROOT, base, grid_of, positions, write_enhanced, write_series
from highdicom.seg import segread
from strategies import reoriented
from typer.testing import CliRunner

from infarct_vol.dicom import counted_mask, export_segmentation, segmentation_name
from infarct_vol.dicom.headers import quiet_pydicom, read_folder
from infarct_vol.dicom.overlays import ORANGE
from infarct_vol.dicom.series import source_of, stacks_of
from infarct_vol.dicom.source import stable_uid
from infarct_vol.errors import (
    DamagedFileError,
    GridMismatchError,
    HeaderError,
    InfarctVolError,
    StudyError,
    UsageError,
)
from infarct_vol.geometry import Grid
from infarct_vol.images import LesionMask
from infarct_vol.nifti import save_mask
from infarct_vol_cli.commands import export_seg
from infarct_vol_cli.shell import command

SHAPE = (6, 5, 4)
VOXELS = ((1, 2, 1), (2, 2, 1), (4, 0, 2))
TURNS = [
    (np.eye(3)[a] * sa, np.eye(3)[b] * sb)
    for a, b in itertools.permutations(range(3), 2)
    for sa, sb in itertools.product((1, -1), repeat=2)
]
ALL_48 = [
    (axes, flip) for axes in itertools.permutations(range(3)) for flip in itertools.product((0, 1), repeat=3)
]
app = typer.Typer()
app.command(name="export-seg")(command(export_seg.run))


def lesion(voxels=VOXELS, **grid):
    data = np.zeros(grid.get("shape", SHAPE), dtype=bool)
    for voxel in voxels:
        data[voxel] = True
    return LesionMask(data, grid_of(**grid))


def places_mm(seg):
    """Return the RAS places of a SEG's set pixels, from nothing but its own attributes."""
    shared = seg.SharedFunctionalGroupsSequence[0]
    along = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, dtype=float)
    rows_mm, columns_mm = (float(v) for v in shared.PixelMeasuresSequence[0].PixelSpacing)
    bits = np.unpackbits(np.frombuffer(seg.PixelData, dtype=np.uint8), bitorder="little")
    frames = bits[: seg.NumberOfFrames * seg.Rows * seg.Columns].reshape(-1, seg.Rows, seg.Columns)
    found = []
    for frame, group in zip(frames, seg.PerFrameFunctionalGroupsSequence, strict=True):
        origin = np.array(group.PlanePositionSequence[0].ImagePositionPatient, dtype=float)
        for row, column in np.argwhere(frame):
            lps = origin + along[:3] * columns_mm * column + along[3:] * rows_mm * row
            found.append(lps * (-1, -1, 1))
    return np.array(sorted(map(tuple, np.round(found, 3))))


def expected_mm(mask):
    return np.array(sorted(map(tuple, np.round(mask.grid.to_world(np.argwhere(mask.data)), 3))))


@pytest.fixture
def classic(tmp_path):
    write_series(tmp_path / "dicom")
    return tmp_path / "dicom"


def test_the_same_voxels_at_the_same_places(classic, tmp_path):
    done = export_segmentation(lesion(), classic, tmp_path / "seg.dcm")
    seg = pydicom.dcmread(tmp_path / "seg.dcm")
    assert seg.SOPClassUID == "1.2.840.10008.5.1.4.1.1.66.4"
    assert np.allclose(places_mm(seg), expected_mm(lesion()), atol=1e-3)
    # three voxels of 1.25 x 1.5 x 5 mm
    assert (done.voxel_count, done.frame_count) == (3, 2)
    assert done.volume_ml == pytest.approx(0.028125)
    # voxel (1, 2, 1): column 1, row 2, slice 1 at z 17.25
    assert (18.75, 28.5, 17.25) in {tuple(p) for p in places_mm(seg)}


@pytest.mark.parametrize(("axes", "flip"), ALL_48)
def test_a_mask_in_any_of_48_orientations(classic, tmp_path, axes, flip):
    turned = reoriented(lesion(), axes=axes, flip=flip)
    assert np.allclose(expected_mm(turned), expected_mm(lesion()), atol=1e-3)
    export_segmentation(turned, classic, tmp_path / "seg.dcm")
    assert np.allclose(places_mm(pydicom.dcmread(tmp_path / "seg.dcm")), expected_mm(lesion()), atol=1e-3)


@pytest.mark.parametrize("at", range(len(TURNS)))
def test_a_series_in_any_of_24_orientations(tmp_path, at):
    orientation = tuple(float(v) for v in np.concatenate(TURNS[at]))
    write_series(tmp_path / "dicom", orientation=orientation)
    mask = lesion(orientation=orientation)
    axes, flip = ALL_48[(7 * at) % 48]
    export_segmentation(reoriented(mask, axes=axes, flip=flip), tmp_path / "dicom", tmp_path / "seg.dcm")
    assert np.allclose(places_mm(pydicom.dcmread(tmp_path / "seg.dcm")), expected_mm(mask), atol=1e-3)


def test_an_oblique_series(tmp_path):
    tilt, turn = np.deg2rad(11.0), np.deg2rad(-7.0)
    orientation = (np.cos(turn), np.sin(turn), 0.0)
    column = np.cross((np.sin(tilt) * -np.sin(turn), np.sin(tilt) * np.cos(turn), np.cos(tilt)), orientation)
    orientation = (*orientation, *(column / np.linalg.norm(column)))
    write_series(tmp_path / "dicom", orientation=orientation)
    mask = lesion(orientation=orientation)
    export_segmentation(mask, tmp_path / "dicom", tmp_path / "seg.dcm")
    assert np.allclose(places_mm(pydicom.dcmread(tmp_path / "seg.dcm")), expected_mm(mask), atol=2e-3)


def test_what_the_segment_says(classic, tmp_path):
    export_segmentation(lesion(), classic, tmp_path / "seg.dcm", label="Infarct", algorithm="semiautomatic")
    seg = segread(tmp_path / "seg.dcm")
    (segment,) = seg.SegmentSequence
    assert segment.SegmentedPropertyCategoryCodeSequence[0].CodeValue == "49755003"
    kind = segment.SegmentedPropertyTypeCodeSequence[0]
    assert (kind.CodeValue, kind.CodingSchemeDesignator, kind.CodeMeaning) == ("55641003", "SCT", "Infarct")
    assert (segment.SegmentLabel, segment.SegmentAlgorithmType) == ("Infarct", "SEMIAUTOMATIC")
    algorithm = segment.SegmentationAlgorithmIdentificationSequence[0]
    assert algorithm.AlgorithmName == "infarct-vol"
    assert segment.TrackingUID.startswith("2.25.")
    assert (seg.FrameOfReferenceUID, seg.StudyInstanceUID) == (f"{ROOT}.3", f"{ROOT}.1")
    assert (seg.PatientID, seg.StudyDate, seg.Modality) == ("P-17", "20240910", "SEG")
    named = {i.ReferencedSOPInstanceUID for i in seg.ReferencedSeriesSequence[0].ReferencedInstanceSequence}
    assert named == {f"{ROOT}.4.4.{k}" for k in (1, 2, 3, 4)}
    frames = seg.get_pixels_by_source_instance(
        [f"{ROOT}.4.4.{k}" for k in (1, 2, 3, 4)], assert_missing_frames_are_empty=True
    )[..., 0]
    assert np.array_equal(frames.transpose(2, 1, 0), lesion().data)


def test_a_manual_mask_names_no_algorithm(classic, tmp_path):
    export_segmentation(lesion(), classic, tmp_path / "seg.dcm", algorithm="manual")
    (segment,) = pydicom.dcmread(tmp_path / "seg.dcm").SegmentSequence
    assert segment.SegmentAlgorithmType == "MANUAL"
    assert "SegmentationAlgorithmIdentificationSequence" not in segment


def test_the_same_input_gives_the_same_bytes(classic, tmp_path):
    first = export_segmentation(lesion(), classic, tmp_path / "a.dcm", overlays=tmp_path / "a")
    export_segmentation(lesion(), classic, tmp_path / "b.dcm", overlays=tmp_path / "b")
    assert (tmp_path / "a.dcm").read_bytes() == (tmp_path / "b.dcm").read_bytes()
    for path in first.overlays:
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()
    other = export_segmentation(lesion(VOXELS[:2]), classic, tmp_path / "c.dcm")
    manual = export_segmentation(lesion(), classic, tmp_path / "d.dcm", algorithm="manual")
    named = export_segmentation(lesion(), classic, tmp_path / "e.dcm", label="Lesion")
    uids = {first.sop_instance_uid, other.sop_instance_uid, manual.sop_instance_uid, named.sop_instance_uid}
    assert len(uids) == 4
    seg = pydicom.dcmread(tmp_path / "a.dcm")
    assert (seg.ContentDate, seg.ContentTime) == ("20240910", "102233")
    assert "InstanceCreationDate" not in seg


def test_uids_are_stable_and_valid():
    assert stable_uid("a", "b") == stable_uid("a", "b") != stable_uid("ab", "")
    assert pydicom.uid.UID(stable_uid("a")).is_valid


def test_an_empty_mask_is_a_finding(classic, tmp_path):
    done = export_segmentation(lesion(()), classic, tmp_path / "seg.dcm", overlays=tmp_path / "overlays")
    seg = pydicom.dcmread(tmp_path / "seg.dcm")
    # none found is not the same as not looked at: all four slices are there, all voxels 0
    assert (seg.NumberOfFrames, done.frame_count, done.volume_ml) == (4, 4, 0.0)
    assert not any(seg.PixelData)
    assert done.overlays == ()
    assert any("empty" in remark for remark in done.remarks)


def test_a_source_without_dates_says_so(tmp_path):
    dates = dict.fromkeys(("StudyDate", "StudyTime", "ContentDate", "ContentTime"), "")
    write_series(tmp_path / "dicom", **dates)
    done = export_segmentation(lesion(), tmp_path / "dicom", tmp_path / "seg.dcm")
    seg = pydicom.dcmread(tmp_path / "seg.dcm")
    assert (seg.ContentDate, seg.StudyDate) == ("19000101", "")
    assert any("no date" in remark for remark in done.remarks)


def test_private_tags_are_not_copied(tmp_path):
    for path in write_series(tmp_path / "dicom"):
        item = pydicom.dcmread(path)
        item.private_block(0x0019, "SECRET MAKER", create=True).add_new(1, "LO", "private words")
        code = pydicom.Dataset()
        code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "1", "99X", "x"
        code.private_block(0x0021, "SECRET MAKER", create=True).add_new(1, "LO", "private words")
        item.ProcedureCodeSequence = [code]
        item.save_as(path, enforce_file_format=True)
    export_segmentation(lesion(), tmp_path / "dicom", tmp_path / "seg.dcm", overlays=tmp_path / "o")
    for path in (tmp_path / "seg.dcm", *(tmp_path / "o").iterdir()):
        assert b"SECRET" not in path.read_bytes()
        assert b"private words" not in path.read_bytes()


# ---- which series ------------------------------------------------------------------------------------------


def test_the_series_on_the_masks_grid_is_chosen(tmp_path):
    write_series(tmp_path / "dicom", series=4)
    write_series(tmp_path / "dicom", series=5, gap_mm=6.0)
    write_series(tmp_path / "dicom" / "more", series=6, shape=(6, 5, 7))
    done = export_segmentation(lesion(), tmp_path / "dicom", tmp_path / "seg.dcm")
    assert done.source.startswith("series 4 (MR")
    done = export_segmentation(lesion(gap_mm=6.0), tmp_path / "dicom", tmp_path / "seg.dcm")
    assert done.source.startswith("series 5 (MR")


def test_two_series_on_one_grid_are_named(tmp_path):
    write_series(tmp_path / "dicom", series=4)
    write_series(tmp_path / "dicom", series=5)
    with pytest.raises(UsageError, match=r"2 volumes have the mask's grid: series 4 .*series 5 .*--series"):
        export_segmentation(lesion(), tmp_path / "dicom", tmp_path / "seg.dcm")
    for series in ("5", f"{ROOT}.2.5"):
        done = export_segmentation(lesion(), tmp_path / "dicom", tmp_path / "seg.dcm", series=series)
        assert f"UID {ROOT}.2.5" in done.source
    with pytest.raises(UsageError, match="no series '9'"):
        export_segmentation(lesion(), tmp_path / "dicom", tmp_path / "seg.dcm", series="9")


def test_a_mask_on_another_grid_is_refused_with_both(classic, tmp_path):
    grid = lesion().grid
    moved = np.array(grid.affine)
    moved[0, 3] += 1.25
    with pytest.raises(GridMismatchError, match=r"6x5x4 voxels.*found: series 4 .*6x5x4.*never resampled"):
        export_segmentation(LesionMask(lesion().data, Grid(SHAPE, moved)), classic, tmp_path / "seg.dcm")
    with pytest.raises(GridMismatchError, match="5x5x4 voxels"):
        export_segmentation(
            LesionMask(np.ones((5, 5, 4), dtype=bool), Grid((5, 5, 4), grid.affine)),
            classic,
            tmp_path / "s.dcm",
        )
    assert not (tmp_path / "seg.dcm").exists()


def test_rounding_of_decimal_strings_is_no_other_grid(classic, tmp_path):
    affine = np.array(lesion().grid.affine) + 0.003
    affine[3] = (0, 0, 0, 1)
    export_segmentation(LesionMask(lesion().data, Grid(SHAPE, affine)), classic, tmp_path / "seg.dcm")
    assert np.allclose(places_mm(pydicom.dcmread(tmp_path / "seg.dcm")), expected_mm(lesion()), atol=1e-3)


def test_several_b_values_of_one_series(tmp_path):
    for at, b_value in enumerate((0.0, 1000.0, 500.0)):
        write_series(tmp_path / "dicom", first=10 * at, DiffusionBValue=b_value)
    stacks, unusable = stacks_of(read_folder(tmp_path / "dicom"))
    assert ([s.part for s in stacks], unusable) == (["b 0", "b 1000", "b 500"], [])
    export_segmentation(lesion(), tmp_path / "dicom", tmp_path / "seg.dcm")
    seg = pydicom.dcmread(tmp_path / "seg.dcm")
    named = {i.ReferencedSOPInstanceUID for i in seg.ReferencedSeriesSequence[0].ReferencedInstanceSequence}
    assert named == {f"{ROOT}.4.4.{k}" for k in (11, 12, 13, 14)}


def test_a_private_b_value_tells_volumes_apart(tmp_path):
    for at, b_value in enumerate(("0", "1000")):
        for path in write_series(tmp_path / "dicom", first=10 * at):
            item = pydicom.dcmread(path)
            item.private_block(0x0019, "SIEMENS MR HEADER", create=True).add_new(0x0C, "IS", b_value)
            item.save_as(path, enforce_file_format=True)
    stack, _ = source_of(lesion(), read_folder(tmp_path / "dicom"))
    assert stack.part == "b 1000"


def test_planes_that_repeat_are_refused_by_name(tmp_path):
    write_series(tmp_path / "dicom")
    write_series(tmp_path / "dicom", first=10)
    with pytest.raises(GridMismatchError, match=rf"{ROOT}.4.4.1 and {ROOT}.4.4.11 lie at one place"):
        export_segmentation(lesion(), tmp_path / "dicom", tmp_path / "seg.dcm")


def test_a_missing_slice_is_refused_by_name(tmp_path):
    write_series(tmp_path / "dicom", shape=(6, 5, 6))[2].unlink()
    with pytest.raises(
        GridMismatchError, match=rf"10.00 mm lie between {ROOT}.4.4.2 and {ROOT}.4.4.4, elsewhere 5.00 mm"
    ):
        export_segmentation(lesion(), tmp_path / "dicom", tmp_path / "seg.dcm")


@pytest.mark.parametrize(
    ("keyword", "value", "reason"),
    [
        ("ImageOrientationPatient", [0, 1, 0, 0, 0, 1], "orientation of .* differ"),
        ("PixelSpacing", [1.0, 1.0], "pixel spacing of .* differ"),
        ("FrameOfReferenceUID", "1.2.3", "frame of reference of .* differ"),
        ("StudyInstanceUID", "1.2.3", "study of .* differ"),
        ("ImagePositionPatient", [-18, -31.5, 22.25], "2.00 mm out of line"),
    ],
)
def test_one_odd_slice_is_refused_by_name(tmp_path, keyword, value, reason):
    path = write_series(tmp_path / "dicom")[2]
    item = pydicom.dcmread(path)
    setattr(item, keyword, value)
    item.save_as(path, enforce_file_format=True)
    with pytest.raises(GridMismatchError, match=reason):
        export_segmentation(lesion(), tmp_path / "dicom", tmp_path / "seg.dcm")


def test_no_frame_of_reference(tmp_path):
    write_series(tmp_path / "dicom", FrameOfReferenceUID="")
    with pytest.raises(GridMismatchError, match="FrameOfReferenceUID of .* is missing"):
        export_segmentation(lesion(), tmp_path / "dicom", tmp_path / "seg.dcm")


def test_enhanced_mr(tmp_path):
    write_enhanced(tmp_path / "dicom")
    done = export_segmentation(lesion(), tmp_path / "dicom", tmp_path / "seg.dcm", overlays=tmp_path / "o")
    assert "b 1000" in done.source
    seg = pydicom.dcmread(tmp_path / "seg.dcm")
    assert np.allclose(places_mm(seg), expected_mm(lesion()), atol=1e-3)
    frames = {
        float(group.PlanePositionSequence[0].ImagePositionPatient[2]): int(
            group.DerivationImageSequence[0].SourceImageSequence[0].ReferencedFrameNumber
        )
        for group in seg.PerFrameFunctionalGroupsSequence
    }
    # slice 1 at b 1000 is frame 4 of the file, slice 2 is frame 6
    assert frames == {17.25: 4, 22.25: 6}
    assert [p.name for p in done.overlays] == ["overlay_0002.dcm", "overlay_0003.dcm"]
    picture = pydicom.dcmread(done.overlays[0])
    assert picture.SourceImageSequence[0].ReferencedFrameNumber == 4


def test_one_slice(tmp_path):
    write_series(tmp_path / "dicom", shape=(6, 5, 1))
    mask = lesion([(1, 2, 0)], shape=(6, 5, 1))
    export_segmentation(mask, tmp_path / "dicom", tmp_path / "seg.dcm")
    assert np.allclose(places_mm(pydicom.dcmread(tmp_path / "seg.dcm")), expected_mm(mask), atol=1e-3)


# ---- hostile folders ---------------------------------------------------------------------------------------


def test_files_that_are_no_scans_are_counted(classic, tmp_path):
    (classic / "notes.txt").write_text("hello")
    (classic / "empty.dcm").write_bytes(b"")
    (classic / "half.dcm").write_bytes((classic / "4_001.dcm").read_bytes()[:300])
    (classic / "copy.dcm").write_bytes((classic / "4_001.dcm").read_bytes())
    report = base("1.2.840.10008.5.1.4.1.1.88.11", f"{ROOT}.9")
    report.Modality = "SR"
    report.save_as(classic / "report.dcm", enforce_file_format=True)
    done = export_segmentation(lesion(), classic, tmp_path / "seg.dcm")
    (remark,) = done.remarks
    for words in ("2 not DICOM", "1 copies of an instance", "no scans (DICOMDIR"):
        assert words in remark


def test_a_missing_tag_leaves_a_file_out(tmp_path):
    path = write_series(tmp_path / "dicom")[3]
    item = pydicom.dcmread(path)
    del item.PixelSpacing
    item.save_as(path, enforce_file_format=True)
    with pytest.raises(GridMismatchError, match=r"6x5x3 voxels.*1 damaged, or without geometry"):
        export_segmentation(lesion(), tmp_path / "dicom", tmp_path / "seg.dcm")


def test_folders_without_images(tmp_path):
    with pytest.raises(StudyError, match="no folder at"):
        read_folder(tmp_path / "absent")
    (tmp_path / "empty").mkdir()
    with pytest.raises(StudyError, match="holds no DICOM image"):
        read_folder(tmp_path / "empty")


def test_a_uid_that_is_none_reaches_no_message(tmp_path):
    write_series(tmp_path / "dicom")
    with quiet_pydicom():
        write_series(tmp_path / "dicom", series=5, SeriesInstanceUID="<b>x</b>")
    found = read_folder(tmp_path / "dicom")
    assert len(found.slices) == 4
    assert "4 damaged" in found.remarks()[0]


def test_a_deflated_file_is_not_unpacked(tmp_path):
    path = write_series(tmp_path / "dicom")[0]
    item = pydicom.dcmread(path)
    item.file_meta.TransferSyntaxUID = pydicom.uid.DeflatedExplicitVRLittleEndian
    item.save_as(path, enforce_file_format=True)
    assert "1 deflated" in read_folder(tmp_path / "dicom").remarks()[0]


def test_words_of_the_header_reach_no_message(tmp_path):
    with quiet_pydicom():
        write_series(tmp_path / "dicom", PatientSex="secret")
    with pytest.raises(
        HeaderError, match="PatientSex of the source cannot be copied: expected M, F, O"
    ) as info:
        export_segmentation(lesion(), tmp_path / "dicom", tmp_path / "seg.dcm")
    assert "secret" not in str(info.value)
    with quiet_pydicom():
        write_series(tmp_path / "dicom", ContentDate="31.12.2024")
    with pytest.raises(HeaderError, match="ContentDate .* expected YYYYMMDD"):
        export_segmentation(lesion(), tmp_path / "dicom", tmp_path / "seg.dcm")


@pytest.mark.parametrize("damage", range(40))
def test_damaged_files_end_in_a_refusal_or_in_the_same_segment(classic, tmp_path, damage):
    rng = np.random.default_rng(damage)
    path = classic / "4_002.dcm"
    content = bytearray(path.read_bytes())
    for at in rng.integers(132, len(content), size=8):
        content[at] = rng.integers(256)
    path.write_bytes(content[: rng.integers(200, len(content))] if damage % 4 == 0 else content)
    try:
        export_segmentation(lesion(), classic, tmp_path / "seg.dcm", overlays=tmp_path / "o")
    except InfarctVolError:
        assert not (tmp_path / "seg.dcm").exists()
    else:
        assert np.allclose(places_mm(pydicom.dcmread(tmp_path / "seg.dcm")), expected_mm(lesion()), atol=1e-3)


def test_geometry_is_enough_where_pixels_cannot_be_read(tmp_path):
    for path in write_series(tmp_path / "dicom"):
        item = pydicom.dcmread(path)
        item.file_meta.TransferSyntaxUID = pydicom.uid.MPEG2MPML
        item.PixelData = pydicom.encaps.encapsulate([b"no picture"])
        item["PixelData"].VR = "OB"
        item.save_as(path, enforce_file_format=True)
    export_segmentation(lesion(), tmp_path / "dicom", tmp_path / "seg.dcm")
    with pytest.raises(HeaderError, match="MPEG2 Main Profile .*nothing installed here reads.*--overlays"):
        export_segmentation(lesion(), tmp_path / "dicom", tmp_path / "s.dcm", overlays=tmp_path / "o")
    assert not (tmp_path / "s.dcm").exists()


def test_damaged_pixels(classic, tmp_path):
    for path in classic.iterdir():
        path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(DamagedFileError, match="its pixels cannot be read"):
        export_segmentation(lesion(), classic, tmp_path / "seg.dcm", overlays=tmp_path / "o")


def test_the_source_folder_stays_as_it_is(classic, tmp_path):
    with pytest.raises(UsageError, match="write elsewhere"):
        export_segmentation(lesion(), classic, classic / "seg.dcm")
    with pytest.raises(UsageError, match="write elsewhere"):
        export_segmentation(lesion(), classic, tmp_path / "seg.dcm", overlays=classic / "o")


@pytest.mark.parametrize("label", ["", "  ", "a" * 65, "two\nlines", "back\\slash", "Infärkt"])
def test_labels_that_dicom_cannot_hold(classic, tmp_path, label):
    with pytest.raises(UsageError, match="1 to 64 printable ASCII"):
        export_segmentation(lesion(), classic, tmp_path / "seg.dcm", label=label)


def test_without_highdicom_the_extra_is_named(classic, tmp_path, monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name == "highdicom":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UsageError, match=r"pip install 'infarct-vol\[dicom\]'"):
        export_segmentation(lesion(), classic, tmp_path / "seg.dcm")


# ---- overlays ----------------------------------------------------------------------------------------------


def test_an_overlay_outlines_the_lesion(tmp_path):
    pixels = np.full((4, 5, 6), 500, dtype=np.uint16)
    write_series(tmp_path / "dicom", pixels=pixels)
    done = export_segmentation(lesion(), tmp_path / "dicom", tmp_path / "seg.dcm", overlays=tmp_path / "o")
    assert [p.name for p in done.overlays] == ["overlay_0002.dcm", "overlay_0003.dcm"]
    picture = pydicom.dcmread(done.overlays[0])
    assert (picture.Modality, picture.BurnedInAnnotation, picture.PhotometricInterpretation) == (
        "OT",
        "YES",
        "RGB",
    )
    assert picture.SourceImageSequence[0].ReferencedSOPInstanceUID == f"{ROOT}.4.4.2"
    assert list(picture.PatientOrientation) == ["L", "P"]
    assert picture.InstanceNumber == 2
    # 5 rows become 515 pixels: every voxel 103 x 103, and a strip of 44 below
    assert (picture.Rows, picture.Columns) == (559, 618)
    assert [float(v) for v in picture.PixelSpacing] == pytest.approx([1.5 / 103, 1.25 / 103], rel=1e-6)
    rgb = picture.pixel_array
    orange = np.all(rgb == ORANGE, axis=2)
    # voxels (1, 2) and (2, 2): columns 103 to 308, rows 206 to 308
    rows, columns = np.nonzero(orange)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (206, 308, 103, 308)
    assert (rgb[515:] == 255).all(axis=2).sum() > 200  # words are burnt in
    assert not orange[:206].any()


def test_the_orange_is_the_reports():
    from infarct_vol.qa.figures import COLOURS

    assert COLOURS["infarct"] == "#{:02x}{:02x}{:02x}".format(*ORANGE)


def test_letters_follow_the_orientation(tmp_path):
    orientation = (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)
    write_series(tmp_path / "dicom", orientation=orientation)
    mask = lesion(orientation=orientation)
    done = export_segmentation(mask, tmp_path / "dicom", tmp_path / "seg.dcm", overlays=tmp_path / "o")
    assert list(pydicom.dcmread(done.overlays[0]).PatientOrientation) == ["P", "F"]


def test_overlays_of_an_earlier_export_go(classic, tmp_path):
    export_segmentation(lesion(), classic, tmp_path / "seg.dcm", overlays=tmp_path / "o")
    (tmp_path / "o" / "mine.txt").write_text("stays")
    export_segmentation(lesion([(0, 0, 3)]), classic, tmp_path / "seg.dcm", overlays=tmp_path / "o")
    assert sorted(p.name for p in (tmp_path / "o").iterdir()) == ["mine.txt", "overlay_0004.dcm"]


# ---- a run, and the command --------------------------------------------------------------------------------


def run_output(tmp_path, **changes):
    row = {
        "participant_id": "sub-001",
        "session_id": "ses-M03",
        "parameter": "infarct",
        "status": "measured",
        "reason": "",
        "source": "automatic",
        "mask_path": "sub-001/ses-M03/anat/sub-001_ses-M03_desc-infarct_mask.nii.gz",
    } | changes
    out = tmp_path / "out"
    (out / "tables").mkdir(parents=True, exist_ok=True)
    text = ",".join(row) + "\n" + ",".join(f'"{v}"' for v in row.values()) + "\n"
    (out / "tables" / "volumes.csv").write_text(text)
    save_mask(lesion(), out / "sub-001/ses-M03/anat/sub-001_ses-M03_desc-infarct_mask.nii.gz")
    return out


@pytest.mark.parametrize(
    ("changes", "algorithm"),
    [
        ({}, "automatic"),
        ({"status": "reviewed"}, "automatic"),
        ({"status": "edited", "source": "edited: A. Reader, 2024"}, "semiautomatic"),
        ({"source": "external: mine.nii.gz, SHA-256 00"}, "manual"),
    ],
)
def test_the_mask_that_counts(tmp_path, changes, algorithm):
    found = counted_mask(run_output(tmp_path, **changes), participant="sub-001", session="ses-M03")
    assert (found.path.name, found.label) == ("sub-001_ses-M03_desc-infarct_mask.nii.gz", "Infarct")
    assert found.algorithm == algorithm
    assert segmentation_name(found.path) == "sub-001_ses-M03_desc-infarct_seg.dcm"


def test_no_mask_that_counts(tmp_path):
    wanted = {"participant": "sub-001", "session": "ses-M03"}
    with pytest.raises(StudyError, match="give the output folder of a finished run"):
        counted_mask(tmp_path, **wanted)
    out = run_output(tmp_path, status="excluded", reason="rejected by B: motion")
    with pytest.raises(StudyError, match="excluded, rejected by B: motion"):
        counted_mask(out, **wanted)
    with pytest.raises(StudyError, match="0 rows of sub-002 ses-M03 infarct, expected one"):
        counted_mask(out, participant="sub-002", session="ses-M03")
    with pytest.raises(StudyError, match="leads out of the folder"):
        counted_mask(run_output(tmp_path, mask_path="../../etc/x.nii.gz"), **wanted)


def test_the_command_on_a_mask(classic, tmp_path):
    save_mask(lesion(), tmp_path / "mask.nii.gz")
    options = ["--overlays", str(tmp_path / "o"), "--label", "Core", "--algorithm", "manual", "--series", "4"]
    result = CliRunner().invoke(
        app, [str(tmp_path / "mask.nii.gz"), str(classic), "-o", str(tmp_path / "seg.dcm"), *options]
    )
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert (told["voxel_count"], told["frame_count"], len(told["overlays"])) == (3, 2, 2)
    segment = pydicom.dcmread(tmp_path / "seg.dcm").SegmentSequence[0]
    assert (segment.SegmentLabel, segment.SegmentAlgorithmType) == ("Core", "MANUAL")
    assert "Doe" not in result.output


def test_the_command_on_a_run(classic, tmp_path):
    out = run_output(tmp_path, parameter="cavity", status="edited")
    arguments = [str(out), str(classic), "-o", str(tmp_path / "pacs")]
    chosen = ["--participant", "sub-001", "--session", "ses-M03", "--parameter", "cavity"]
    result = CliRunner().invoke(app, [*arguments, *chosen])
    assert result.exit_code == 0, result.output
    seg = pydicom.dcmread(tmp_path / "pacs" / "sub-001_ses-M03_desc-infarct_seg.dcm")
    assert (seg.SegmentSequence[0].SegmentLabel, seg.SegmentSequence[0].SegmentAlgorithmType) == (
        "Cavity",
        "SEMIAUTOMATIC",
    )
    assert CliRunner().invoke(app, arguments).exit_code == 2


def test_the_commands_refusals(classic, tmp_path):
    save_mask(lesion(gap_mm=7.0), tmp_path / "mask.nii.gz")
    arguments = [str(tmp_path / "mask.nii.gz"), str(classic), "-o", str(tmp_path / "seg.dcm")]
    assert CliRunner().invoke(app, arguments).exit_code == 1
    assert CliRunner().invoke(app, [*arguments, "--participant", "sub-001"]).exit_code == 2


def test_what_the_toy_series_says_of_itself():
    assert positions(2)[1].tolist() == [-20.0, -31.5, 17.25]
    assert grid_of().axis_codes == "LPS"
    assert AXIAL[0] == 1.0

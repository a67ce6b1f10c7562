"""Every way a single file can be wrong, and what the reader answers; and that what we write reads back."""

from __future__ import annotations

import errno
import gzip
import os
import tracemalloc
import zlib
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from raw_nifti import INFINITE, NAN, SHAPE, VOXELS, nifti2_bytes, nifti_bytes, packed
from strategies import grids

from infarct_vol import files
from infarct_vol.errors import DamagedFileError, HeaderError, ScanRefusedError
from infarct_vol.geometry import Grid
from infarct_vol.images import Identity, LesionMask, Scan
from infarct_vol.nifti import load_mask, load_scan, load_series, save_array, save_mask, save_scan
from infarct_vol.protocol import GeometrySettings

LAS = np.array([[-1.0, 0, 0, 10], [0, 2, 0, -20], [0, 0, 5, -30], [0, 0, 0, 1]])
IDENTITY = Identity(participant_id="sub-003", session_id="ses-M03", modality="flair")


@pytest.fixture
def scan_file(tmp_path: Path):
    """Write bytes under a name and return the path."""

    def write(content: bytes, name: str = "scan.nii") -> Path:
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return write


# ---- a sound file ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (nifti_bytes(), "scan.nii"),
        (packed(nifti_bytes()), "scan.nii.gz"),
        (packed(nifti_bytes()), "SCAN.NII.GZ"),
        (nifti_bytes(order=">"), "big_endian.nii"),
        (packed(nifti_bytes(order=">")), "big_endian.nii.gz"),
        (nifti2_bytes(), "nifti2.nii"),
        (packed(nifti_bytes()[:400]) + packed(nifti_bytes()[400:]), "two_members.nii.gz"),
        (nifti_bytes(dim=(4, 4, 5, 6, 1, 1, 1, 1)), "singleton.nii"),
        (nifti_bytes(dim=(5, 4, 5, 6, 1, 1, 1, 1)), "singletons.nii"),
        (nifti_bytes(qform_code=0, quatern=(NAN, NAN, NAN)), "sform_only.nii"),
        (nifti_bytes(sform_code=0, srow_x=(NAN, 0.0, 0.0, 0.0)), "qform_only.nii"),
    ],
)
def test_sound_files_read_to_the_same_voxels_on_the_same_grid(scan_file, content, name):
    scan = load_scan(scan_file(content, name))
    assert np.array_equal(scan.data, VOXELS)
    assert scan.data.dtype == np.float32
    assert np.allclose(scan.grid.affine, LAS, atol=1e-5)
    assert scan.grid.voxel_volume_ml == pytest.approx(0.010)
    assert scan.remarks == ()


def test_scan_carries_identity_hash_and_sidecar(scan_file):
    path = scan_file(nifti_bytes(), "sub-003_ses-M03_FLAIR.nii")
    scan_file(b'{"EchoTime": 0.08}', "sub-003_ses-M03_FLAIR.json")
    scan = load_scan(path, identity=IDENTITY)
    assert str(scan.identity) == "sub-003 ses-M03 FLAIR"
    assert scan.identity.sha256 == files.file_sha256(path)
    assert scan.sidecar == {"EchoTime": 0.08}


def test_mixed_spacing_and_scale_are_read_as_stored(scan_file):
    scan = load_scan(scan_file(nifti_bytes(scl_slope=0.5, scl_inter=-10.0)))
    assert np.array_equal(scan.data, VOXELS * 0.5 - 10)


def test_scaling_is_exact_where_float32_products_are_not(scan_file):
    slope = float(np.float32(0.1))
    scan = load_scan(scan_file(nifti_bytes(scl_slope=slope, scl_inter=1000.0)))
    assert np.array_equal(scan.data, (VOXELS.astype(np.float64) * slope + 1000).astype(np.float32))


@pytest.mark.parametrize(
    ("dtype", "code"),
    [("u1", 2), ("i2", 4), ("i4", 8), ("f4", 16), ("f8", 64), ("i1", 256), ("u2", 512), ("u4", 768)]
    + [("i8", 1024), ("u8", 1280)],
)
@pytest.mark.parametrize("order", ["<", ">"])
def test_every_number_type_and_byte_order(scan_file, dtype, code, order):
    voxels = VOXELS.astype(order + dtype)
    content = nifti_bytes(
        order=order, datatype=code, bitpix=8 * voxels.itemsize, voxels=voxels.tobytes(order="F")
    )
    assert np.array_equal(load_scan(scan_file(content)).data, VOXELS)


# ---- damage ----------------------------------------------------------------------------------------------


def _noise_file() -> bytes:
    voxels = np.random.default_rng(7).integers(0, 1000, size=120, dtype="<i2")
    return packed(nifti_bytes(voxels=voxels.tobytes()))


def test_no_flipped_bit_changes_a_voxel_unnoticed(scan_file):
    raw = _noise_file()
    expected = load_scan(scan_file(raw, "sound.nii.gz")).data
    refused = 0
    for position in range(len(raw)):
        damaged = bytearray(raw)
        damaged[position] ^= 1 << (position % 8)
        try:
            data = load_scan(scan_file(bytes(damaged), "damaged.nii.gz")).data
        except ScanRefusedError:
            refused += 1
        else:
            assert np.array_equal(data, expected)
    # the flips that pass sit in the ten bytes of the gzip header that say nothing about the content
    assert refused >= len(raw) - 10


@pytest.mark.parametrize("compressed", [True, False])
def test_a_file_cut_anywhere_is_refused(scan_file, compressed):
    raw = _noise_file() if compressed else nifti_bytes()
    name = "cut.nii.gz" if compressed else "cut.nii"
    for length in range(0, len(raw), 3):
        with pytest.raises(DamagedFileError, match="cut.nii"):
            load_scan(scan_file(raw[:length], name))


@pytest.mark.parametrize("tenth", range(10))
def test_a_zeroed_stretch_is_refused(scan_file, tenth):
    damaged = bytearray(_noise_file())
    start = tenth * len(damaged) // 10
    damaged[start : start + 40] = bytes(len(damaged[start : start + 40]))
    with pytest.raises(ScanRefusedError):
        load_scan(scan_file(bytes(damaged), "zeroed.nii.gz"))


def test_a_missing_gzip_trailer_is_refused(scan_file):
    with pytest.raises(DamagedFileError, match="truncated: the gzip stream has no end"):
        load_scan(scan_file(packed(nifti_bytes())[:-8], "scan.nii.gz"))


def test_a_damaged_second_member_is_refused(scan_file):
    second = bytearray(packed(nifti_bytes()[400:]))
    second[20] ^= 1
    with pytest.raises(DamagedFileError, match="gzip stream is damaged"):
        load_scan(scan_file(packed(nifti_bytes()[:400]) + bytes(second), "scan.nii.gz"))


@pytest.mark.parametrize(
    ("content", "name", "match"),
    [
        (b"", "empty.nii.gz", r"empty \(0 bytes\)"),
        (b"", "empty.nii", r"empty \(0 bytes\)"),
        (nifti_bytes(), "plain.nii.gz", "holds no gzip data, which its name denies"),
        (packed(nifti_bytes()), "packed.nii", "holds gzip data, which its name denies"),
        (bytes(128) + b"DICM" + bytes(400), "image.nii", "DICOM file; convert"),
        (packed(bytes(128) + b"DICM" + bytes(400)), "image.nii.gz", "DICOM file; convert"),
        (b"<html>404 not found</html>" * 40, "page.nii", "text, not an image: a web page"),
        (packed(b"<!DOCTYPE html><p>sign in</p>"), "page.nii.gz", "text, not an image: a web page"),
        (b"\xef\xbb\xbf<!-- x -->\n<html>", "page.nii.gz", "text, not an image: a web page"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64,
            "lfs.nii.gz",
            "text, not an image: a Git-LFS pointer: .*'git lfs pull'",
        ),
        (b"/annex/objects/MD5E-s87--0.nii.gz\n", "annex.nii.gz", "a git-annex pointer: .*'git annex get'"),
        (b"../.git/annex/objects/a/b/MD5E-s1.nii.gz", "annex.nii", "a git-annex pointer"),
        (b'<?xml version="1.0"?><Error>NoSuchKey</Error>', "s3.nii.gz", "XML, such as a server's error"),
        (b'{"message": "not found"}', "answer.nii.gz", "JSON, such as a sidecar"),
        (
            b"Zugriff verweigert, f\xc3\xbcr immer\n",
            "note.nii.gz",
            "text, not an image: copy the image again",
        ),
        (packed(b""), "nothing.nii.gz", "not a NIfTI file"),
        (nifti_bytes()[:348], "header_only.nii", "do not hold a header"),
        (nifti_bytes(magic=b"ni1\0"), "pair.nii", "not a single-file NIfTI"),
        (nifti_bytes(magic=b"\0\0\0\0"), "analyze.nii", "not a single-file NIfTI"),
        (nifti_bytes(magic=b"n+2\0"), "magic.nii", "not a single-file NIfTI"),
        (nifti_bytes(sizeof_hdr=347), "size.nii", "not a NIfTI file"),
        (nifti_bytes(sizeof_hdr=0), "size.nii", "not a NIfTI file"),
    ],
)
def test_what_is_not_an_intact_nifti_file_is_refused(scan_file, content, name, match):
    with pytest.raises(DamagedFileError, match=match):
        load_scan(scan_file(content, name))


def test_missing_file_folder_and_impossible_name(tmp_path):
    with pytest.raises(DamagedFileError, match="no file at"):
        load_scan(tmp_path / "absent.nii.gz")
    (tmp_path / "folder.nii.gz").mkdir()
    with pytest.raises(DamagedFileError, match="no file at"):
        load_scan(tmp_path / "folder.nii.gz")
    with pytest.raises(DamagedFileError):
        load_scan("scan\0.nii")


def test_a_link_to_a_file_that_was_not_fetched_says_so(tmp_path):
    path = tmp_path / "scan.nii.gz"
    path.symlink_to(tmp_path / ".git" / "annex" / "objects" / "x.nii.gz")
    with pytest.raises(
        DamagedFileError, match=r"scan\.nii\.gz: a link to a file that is not there; .*annex get"
    ):
        load_scan(path)


@pytest.mark.parametrize(
    ("fields", "space"),
    [
        ({"sform_code": 4}, "MNI space (sform code 4)"),
        ({"sform_code": 3, "qform_code": 0}, "Talairach space (sform code 3)"),
        ({"qform_code": 4}, "MNI space (qform code 4)"),
        ({"sform_code": 5}, "the space of a template (sform code 5)"),
    ],
)
def test_an_image_in_the_space_of_a_template_is_remarked(scan_file, fields, space):
    (remark,) = load_scan(scan_file(nifti_bytes(**fields), "scan.nii")).remarks
    assert f"the image lies in {space}: its volumes are those of a brain fitted to a template" in remark


def test_a_mask_in_the_space_of_a_template_carries_the_remark(scan_file):
    voxels = (VOXELS > 60).astype("<i2").tobytes(order="F")
    mask = load_mask(scan_file(nifti_bytes(voxels=voxels, sform_code=4), "mask.nii"))
    assert any("MNI space" in flag for flag in mask.flags)


@pytest.mark.parametrize("code", [1, 2])
def test_scanner_and_aligned_space_are_not_remarked(scan_file, code):
    assert load_scan(scan_file(nifti_bytes(sform_code=code, qform_code=code), "scan.nii")).remarks == ()


def test_a_gzip_bomb_is_refused_in_little_memory(scan_file):
    engine = zlib.compressobj(wbits=31)
    parts = [engine.compress(nifti_bytes())]
    parts += [engine.compress(bytes(1024**2)) for _ in range(200)]
    path = scan_file(b"".join([*parts, engine.flush()]), "bomb.nii.gz")
    tracemalloc.start()
    with pytest.raises(DamagedFileError, match="far more than its header promises"):
        load_scan(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 64 * 1024**2


@pytest.mark.parametrize("compressed", [True, False])
def test_dimensions_of_terabytes_are_refused_before_allocating(scan_file, compressed):
    content = nifti_bytes(dim=(4, 32767, 32767, 32767, 32767, 1, 1, 1))
    path = scan_file(packed(content), "huge.nii.gz") if compressed else scan_file(content, "huge.nii")
    tracemalloc.start()
    with pytest.raises(HeaderError, match=r"claims 2147\d+\.\d GiB of voxels"):
        load_series(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * 1024**2


def test_dimensions_beyond_every_integer_type(scan_file):
    content = nifti2_bytes(shape=(2**62, 2**62, 2**62))
    with pytest.raises(HeaderError, match="GiB of voxels"):
        load_scan(scan_file(content))


def test_fewer_voxels_than_promised(scan_file):
    with pytest.raises(DamagedFileError, match="promises 240 bytes of voxels, the file holds 238"):
        load_scan(scan_file(nifti_bytes()[:-2]))


@pytest.mark.parametrize(
    ("content", "name", "count"),
    [
        (nifti_bytes(tail=b"abc"), "scan.nii", 3),
        (packed(nifti_bytes(tail=b"abc")), "scan.nii.gz", 3),
        (packed(nifti_bytes()) + bytes(512), "padded.nii.gz", 512),
        (packed(nifti_bytes(tail=b"abc")) + b"junk", "both.nii.gz", 7),
    ],
)
def test_trailing_bytes_are_remarked(scan_file, content, name, count):
    scan = load_scan(scan_file(content, name))
    assert np.array_equal(scan.data, VOXELS)
    assert scan.remarks == (f"{count} bytes follow the last voxel, ignored",)


# ---- header fields ---------------------------------------------------------------------------------------

SINGULAR = {"qform_code": 0, "srow_y": (1.0, 0.0, 0.0, 0.0), "srow_x": (1.0, 0.0, 0.0, 0.0)}


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ({"dim": (0, 4, 5, 6, 1, 1, 1, 1)}, "not three or four positive dimensions"),
        ({"dim": (9, 4, 5, 6, 1, 1, 1, 1)}, "not three or four positive dimensions"),
        ({"dim": (-3, 4, 5, 6, 1, 1, 1, 1)}, "not three or four positive dimensions"),
        ({"dim": (2, 4, 5, 6, 1, 1, 1, 1)}, "not three or four positive dimensions"),
        ({"dim": (3, 4, -5, 6, 1, 1, 1, 1)}, "not three or four positive dimensions"),
        ({"dim": (3, 4, 0, 6, 1, 1, 1, 1)}, "not three or four positive dimensions"),
        ({"dim": (5, 4, 5, 2, 3, 2, 1, 1)}, "expected three, or four for a series"),
        ({"datatype": 128, "bitpix": 24}, "data type code 128 .*expected integer or real"),
        ({"datatype": 2304, "bitpix": 32}, "data type code 2304"),
        ({"datatype": 32, "bitpix": 64}, "data type code 32 .*expected integer or real"),
        ({"datatype": 1792, "bitpix": 128}, "data type code 1792"),
        ({"datatype": 0}, "data type code 0"),
        ({"datatype": 1, "bitpix": 1}, "data type code 1 "),
        ({"datatype": 999}, "data type code 999 .<unknown code 999>"),
        ({"bitpix": 32}, "bitpix 32 contradicts data type int16 of 16 bits"),
        ({"bitpix": 0}, "bitpix 0 contradicts"),
        ({"vox_offset": -352.0}, "vox_offset -352 is not a byte position"),
        ({"vox_offset": NAN}, "vox_offset nan is not a byte position"),
        ({"vox_offset": INFINITE}, "vox_offset inf is not a byte position"),
        ({"vox_offset": 0.0}, "vox_offset 0 is not a byte position from 352 on"),
        ({"vox_offset": 352.5}, "vox_offset 352.5 is not a byte position"),
        ({"pixdim": (-1.0, 0.0, 2.0, 5.0, 0, 0, 0, 0)}, "pixdim .*not three positive lengths"),
        ({"pixdim": (-1.0, 1.0, NAN, 5.0, 0, 0, 0, 0)}, "pixdim .*not three positive lengths"),
        ({"pixdim": (-1.0, 1.0, 2.0, -5.0, 0, 0, 0, 0)}, "pixdim .*not three positive lengths"),
        ({"pixdim": (-1.0, INFINITE, 2.0, 5.0, 0, 0, 0, 0)}, "pixdim .*not three positive lengths"),
        ({"pixdim": (-1.0, 1.0, 2.0, 3.0, 0, 0, 0, 0), "qform_code": 0}, "affine says .*pixdim says"),
        ({"xyzt_units": 1}, "lengths in metre; expected mm"),
        ({"xyzt_units": 3}, "lengths in micron; expected mm"),
        ({"xyzt_units": 5}, "lengths in unit code 5; expected mm"),
        ({"scl_slope": NAN}, "scl_slope nan .*not two numbers"),
        ({"scl_slope": INFINITE}, "scl_slope inf .*not two numbers"),
        ({"scl_inter": NAN}, "scl_inter nan are not two numbers"),
        ({"scl_slope": -1.0}, "scl_slope -1 is negative"),
        ({"scl_slope": 3e38, "scl_inter": 0.0}, "exceed the range of float32"),
        ({"sform_code": 0, "qform_code": 0}, "codes are both 0, so left and right are unknown"),
        ({"srow_x": (1.0, 0.0, 0.0, -7.0)}, "sform and qform place the same voxel .* mm apart"),
        ({"qoffset": (10.0, -20.0, -29.0)}, r"same voxel 1.00 mm apart \(at most [0-9.]+ allowed\)"),
        ({"srow_y": (0.0, NAN, 0.0, 0.0)}, "sform holds values that are not numbers"),
        ({"srow_y": (0.0, INFINITE, 0.0, 0.0)}, "sform holds values that are not numbers"),
        ({"sform_code": 0, "quatern": (NAN, 0.0, 0.0)}, "qform"),
        ({"sform_code": 0, "quatern": (1.0, 1.0, 1.0)}, "qform cannot be interpreted"),
        ({"pixdim": (0.5, 1.0, 2.0, 5.0, 0, 0, 0, 0)}, "qform cannot be interpreted"),
        ({"pixdim": (NAN, 1.0, 2.0, 5.0, 0, 0, 0, 0)}, "qform cannot be interpreted"),
        (SINGULAR, "affine is singular"),
        ({"qform_code": 0, "srow_z": (0.0, 0.0, 0.0, 0.0)}, "affine is singular"),
        ({"qform_code": 0, "srow_x": (-0.9962, 0.1743, 0.0, 10.0)}, "sheared by 4.98 degrees"),
    ],
)
def test_a_contradicting_header_is_refused_by_every_reader(scan_file, fields, match):
    path = scan_file(nifti_bytes(**fields), "odd.nii")
    for read in (load_scan, load_mask, load_series):
        with pytest.raises(HeaderError, match=match):
            read(path)
        with pytest.raises(HeaderError, match="^sub-003 ses-M03 FLAIR: odd.nii: "):
            read(path, identity=IDENTITY)


def test_voxels_placed_beyond_the_file_are_refused(scan_file):
    with pytest.raises(DamagedFileError, match="promises 240 bytes of voxels, the file holds 0"):
        load_scan(scan_file(nifti_bytes(vox_offset=1e9)))


def test_a_mirrored_sform_is_refused_and_the_protocol_can_settle_it(scan_file):
    path = scan_file(nifti_bytes(srow_x=(1.0, 0.0, 0.0, 7.0)))
    with pytest.raises(HeaderError, match="trust = 'sform' or 'qform' in the protocol"):
        load_scan(path)
    by_sform = load_scan(path, geometry=GeometrySettings(trust="sform"))
    by_qform = load_scan(path, geometry=GeometrySettings(trust="qform"))
    assert (by_sform.grid.axis_codes, by_qform.grid.axis_codes) == ("RAS", "LAS")
    assert by_sform.remarks == ("sform used as the protocol states",)
    assert by_qform.remarks == ("qform used as the protocol states",)


def test_a_trusted_form_that_is_absent_gives_way_to_the_other(scan_file):
    path = scan_file(nifti_bytes(qform_code=0))
    scan = load_scan(path, geometry=GeometrySettings(trust="qform"))
    assert np.allclose(scan.grid.affine, LAS)


@pytest.mark.parametrize(
    ("fields", "remark"),
    [
        ({"xyzt_units": 0}, "unit of length not stated, read as mm"),
        ({"scl_slope": 0.0, "scl_inter": 40.0}, "scl_slope is 0, read as 1"),
        ({"scl_slope": 0.0, "scl_inter": NAN}, "scl_slope is 0, read as 1"),
    ],
)
def test_what_the_standard_leaves_open_is_remarked(scan_file, fields, remark):
    scan = load_scan(scan_file(nifti_bytes(**fields)))
    assert np.array_equal(scan.data, VOXELS)
    assert scan.remarks == (remark,)


def test_qfac_of_zero_is_read_as_one(scan_file):
    fields = {"pixdim": (0.0, 1.0, 2.0, 5.0, 0.0, 0.0, 0.0, 0.0), "sform_code": 0, "quatern": (0.0, 0.0, 0.0)}
    scan = load_scan(scan_file(nifti_bytes(**fields)))
    assert scan.grid.axis_codes == "RAS"
    assert scan.remarks == ("qfac (pixdim[0]) is 0, read as 1 as the standard says",)


def test_values_beyond_float32_are_refused(scan_file):
    voxels = np.full(SHAPE, 1e300)
    with pytest.raises(HeaderError, match="exceed the range of float32"):
        load_scan(scan_file(nifti_bytes(datatype=64, bitpix=64, voxels=voxels.tobytes())))


def test_voxels_that_are_not_numbers_are_handed_on_for_the_checks_to_count(scan_file):
    voxels = np.zeros(SHAPE, dtype="<f4")
    voxels[0, 0, 0], voxels[1, 0, 0] = NAN, INFINITE
    scan = load_scan(scan_file(nifti_bytes(datatype=16, bitpix=32, voxels=voxels.tobytes(order="F"))))
    assert np.count_nonzero(~np.isfinite(scan.data)) == 2


@pytest.mark.parametrize("value", [0, 1, 127, 255])
def test_any_changed_header_byte_is_read_or_refused_never_a_crash(scan_file, value):
    sound = nifti_bytes()
    for position in range(352):
        content = bytearray(sound)
        content[position] = value
        try:
            scan = load_scan(scan_file(bytes(content), "fuzzed.nii"))
        except ScanRefusedError:
            continue
        assert np.isfinite(scan.grid.affine).all()
        assert scan.grid.voxel_volume_mm3 == pytest.approx(10.0, rel=0.02)


# ---- several volumes, masks ------------------------------------------------------------------------------


def test_a_series_is_read_whole_and_not_as_one_scan(scan_file):
    voxels = np.arange(240, dtype="<i2").reshape((*SHAPE, 2))
    path = scan_file(nifti_bytes(dim=(4, 4, 5, 6, 2, 1, 1, 1), voxels=voxels.tobytes(order="F")))
    data, grid, *_ = load_series(path)
    assert np.array_equal(data, voxels)
    assert grid.shape == SHAPE
    with pytest.raises(HeaderError, match="holds 2 volumes where one is expected"):
        load_scan(path)


def test_a_scan_is_a_series_of_one(scan_file):
    data, *_ = load_series(scan_file(nifti_bytes()))
    assert data.shape == (4, 5, 6, 1)


@pytest.mark.parametrize(("label", "slope"), [(1, 1.0), (255, 1.0), (7, 1.0), (255, 1 / 255)])
def test_masks_of_any_single_label(scan_file, label, slope):
    block = np.zeros(SHAPE, dtype="u1")
    block[1:3, 1:4, 2:4] = label  # 12 voxels of 10 mm3
    content = nifti_bytes(datatype=2, bitpix=8, scl_slope=slope, voxels=block.tobytes(order="F"))
    mask = load_mask(scan_file(content, "lesion.nii"))
    assert mask.voxel_count == 12
    assert mask.volume_ml == pytest.approx(0.12)
    assert mask.method == "file:lesion.nii"


def test_an_empty_mask_is_zero_ml(scan_file):
    content = nifti_bytes(datatype=2, bitpix=8, voxels=bytes(120))
    assert load_mask(scan_file(content)).volume_ml == 0.0


@pytest.mark.parametrize("values", [(0.5,), (1, 2), (-1,), (NAN,), (INFINITE,), (0.25, 0.5, 1), (1, NAN)])
def test_masks_that_are_not_binary_are_refused(scan_file, values):
    voxels = np.zeros(120, dtype="<f4")
    voxels[: len(values)] = values
    content = nifti_bytes(datatype=16, bitpix=32, voxels=voxels.tobytes())
    with pytest.raises(HeaderError, match="is not a binary mask"):
        load_mask(scan_file(content))


# ---- writing ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["out.nii", "out.nii.gz"])
def test_the_same_scan_gives_the_same_bytes_twice(tmp_path, name):
    scan = Scan(data=VOXELS, grid=Grid(SHAPE, LAS))
    written = []
    for folder in ("first", "second"):
        save_scan(scan, tmp_path / folder / name)
        written.append((tmp_path / folder / name).read_bytes())
    assert written[0] == written[1]


def test_gzip_holds_no_name_and_no_time(tmp_path):
    save_scan(Scan(data=VOXELS, grid=Grid(SHAPE, LAS)), tmp_path / "sub-secret.nii.gz")
    raw = (tmp_path / "sub-secret.nii.gz").read_bytes()
    assert raw[3] == 0  # flags: no name, no comment
    assert raw[4:8] == bytes(4)  # time


def test_no_text_of_the_input_reaches_an_output(scan_file, tmp_path):
    extension = (
        b"\1\0\0\0" + (32).to_bytes(4, "little") + (6).to_bytes(4, "little") + b"DOE^JANE 1950".ljust(24)
    )
    content = nifti_bytes(descrip=b"DOE^JANE 1950", aux_file=b"DOE^JANE", vox_offset=384.0)
    content = content[:348] + extension + content[352:]
    scan = load_scan(scan_file(content))
    assert np.array_equal(scan.data, VOXELS)
    save_scan(scan, tmp_path / "out.nii")
    written = (tmp_path / "out.nii").read_bytes()
    assert b"JANE" not in written
    assert bytes(nib.load(tmp_path / "out.nii").header["descrip"].item()) == b""
    assert bytes(nib.load(tmp_path / "out.nii").header["aux_file"].item()) == b""


@given(grid=grids(), fraction=st.floats(0, 1))
def test_masks_come_back_with_the_same_voxels_and_millilitres(tmp_path, grid, fraction):
    data = np.random.default_rng(3).random(grid.shape) < fraction
    mask = LesionMask(data=data, grid=grid)
    path = tmp_path / "mask.nii.gz"
    save_mask(mask, path)
    back = load_mask(path)
    assert np.array_equal(back.data, data)
    assert back.grid.is_same_as(grid)
    assert back.volume_ml == pytest.approx(mask.volume_ml, rel=1e-5)
    assert back.flags == ()


@given(
    grid=grids(),
    dtype=st.sampled_from(["uint8", "int16", "uint16", "float32"]),
    slope=st.sampled_from([1.0, 0.5, 0.001, 3.7]),
    intercept=st.sampled_from([0.0, -100.0, 12.5]),
    seed=st.integers(0, 9),
)
def test_every_type_slope_and_orientation_comes_back(tmp_path, grid, dtype, slope, intercept, seed):
    stored = np.random.default_rng(seed).integers(0, 256, grid.shape)
    data = (stored * slope + intercept).astype(np.float32)
    if slope == 1.0 and dtype != "float32":
        intercept, data = 0.0, stored.astype(np.float32)
    path = tmp_path / "scan.nii"
    save_array(data, grid, path, dtype=dtype, slope=slope, intercept=intercept)
    back = load_scan(path)
    assert np.allclose(back.data, data, atol=slope * 1e-3 + 1e-4)
    assert back.grid.is_same_as(grid)
    assert nib.load(path).get_data_dtype() == np.dtype(dtype)
    # another reader sees the same intensities and the same place
    assert np.allclose(nib.load(path).get_fdata(), data, atol=slope * 1e-3 + 1e-4)
    assert np.allclose(nib.load(path).affine, grid.affine, atol=1e-3)


@given(
    data=npst.arrays(np.float32, (3, 2, 2, 2), elements=st.floats(-1e6, 1e6, width=32)),
    grid=grids(),
)
def test_series_come_back_exactly(tmp_path, data, grid):
    grid = Grid((3, 2, 2), grid.affine)
    save_array(data, grid, tmp_path / "series.nii.gz", dtype="float32")
    back, back_grid, *_ = load_series(tmp_path / "series.nii.gz")
    assert np.array_equal(back, data)
    assert back_grid.is_same_as(grid)


def test_a_slightly_sheared_scan_is_written_so_that_it_can_be_read_again(scan_file, tmp_path):
    # half a degree: within tolerance for reading, but a quaternion cannot hold it
    path = scan_file(nifti_bytes(qform_code=0, srow_x=(-1.0, 0.0157, 0.0, 10.0)))
    scan = load_scan(path, geometry=GeometrySettings(max_shear_degrees=0.5))
    large = Scan(data=np.zeros((60, 60, 6)), grid=replace(scan.grid, shape=(60, 60, 6)))
    save_scan(large, tmp_path / "again.nii")
    assert load_scan(tmp_path / "again.nii").grid.is_same_as(large.grid)


@pytest.mark.parametrize(
    ("values", "dtype"),
    [([0, 300], "uint8"), ([-1, 5], "uint8"), ([0, 40000], "int16"), ([NAN, 1], "int16")],
)
def test_intensities_that_do_not_fit_are_not_clipped(tmp_path, values, dtype):
    with pytest.raises(ValueError, match=f"do not fit {dtype} in out.nii"):
        save_array(
            np.array(values, dtype=np.float32).reshape(2, 1, 1),
            Grid((2, 1, 1), LAS),
            tmp_path / "out.nii",
            dtype=dtype,
        )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("slope", [0.0, -1.0, NAN, INFINITE])
def test_slopes_that_no_reader_could_undo_are_refused(tmp_path, slope):
    with pytest.raises(ValueError, match="expected a positive slope"):
        save_array(VOXELS, Grid(SHAPE, LAS), tmp_path / "out.nii", dtype="int16", slope=slope)


def test_a_failed_write_leaves_the_old_file_and_no_debris(tmp_path, monkeypatch):
    path = tmp_path / "mask.nii.gz"
    grid = Grid(SHAPE, LAS)
    save_mask(LesionMask(data=VOXELS > 60, grid=grid), path)
    before = path.read_bytes()

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        save_mask(LesionMask(data=VOXELS > 10, grid=grid), path)
    assert path.read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mask.json", "mask.nii.gz"]


# ---- real files ------------------------------------------------------------------------------------------


def test_real_scans_read_as_nibabel_reads_them(real_scans):
    paths = sorted((real_scans / "isles22_case0001").glob("*.nii.gz"))
    paths += sorted((real_scans / "ads_s02").glob("*.nii.gz"))
    assert paths
    for path in paths:
        scan = load_scan(path)
        image = nib.load(path)
        assert np.array_equal(scan.data, image.get_fdata().astype(np.float32).reshape(scan.grid.shape))
        assert np.allclose(scan.grid.affine, image.affine, atol=1e-4)


def test_the_expert_mask_of_a_real_stroke_measures_what_was_published(real_scans):
    mask = load_mask(next((real_scans / "isles22_case0001").glob("*msk.nii.gz")))
    assert mask.volume_ml == pytest.approx(6.680, abs=0.001)


def test_gzip_written_here_is_read_by_the_standard_library(tmp_path):
    files.write_bytes(files.gzip_bytes(b"voxels" * 1000), tmp_path / "x.gz")
    assert gzip.decompress((tmp_path / "x.gz").read_bytes()) == b"voxels" * 1000

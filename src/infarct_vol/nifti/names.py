"""Names and first bytes of image files: which are NIfTI, and what the others are."""

from __future__ import annotations

from pathlib import Path

from infarct_vol.errors import DamagedFileError, UsageError
from infarct_vol.files import is_nifti_name

_PAIR = "one half of a pair of .hdr and .img"
SAVE_AS_NIFTI = "save the image as one .nii.gz file"
"""What to do with an image of another format."""
_OTHER_NAMES = {
    ".hdr": _PAIR,
    ".img": _PAIR,
    ".img.gz": _PAIR,
    ".hdr.gz": _PAIR,
    ".mgz": "a FreeSurfer volume (MGH)",
    ".mgh": "a FreeSurfer volume (MGH)",
    ".nrrd": "an NRRD file",
    ".nhdr": "an NRRD file",
    ".mha": "a MetaImage file",
    ".mhd": "a MetaImage file",
    ".mnc": "a MINC file",
    ".dcm": "a DICOM file",
    ".zip": "a zip archive",
    ".bz2": "a bzip2 archive",
    ".xz": "an xz archive",
    ".npy": "a numpy array without a grid",
    ".npz": "a numpy archive without a grid",
    ".mat": "a MATLAB file",
    ".png": "a picture without a grid",
    ".jpg": "a picture without a grid",
    ".tif": "a picture without a grid",
    ".tiff": "a picture without a grid",
}
_OTHER_STARTS = (
    (b"NRRD0", "an NRRD file"),
    (b"ObjectType", "a MetaImage file"),
    (b"NDims", "a MetaImage file"),
    (b"PK\x03\x04", "a zip archive"),
    (b"BZh", "a bzip2 archive"),
    (b"\xfd7zXZ", "an xz archive"),
    (b"\x89HDF", "an HDF5 file"),
    (b"\x93NUMPY", "a numpy array without a grid"),
    (b"\x89PNG", "a picture without a grid"),
)
_PAIR_MAGIC = (b"ni1\0", b"ni2\0")


def is_gzip_name(path: Path) -> bool:
    """Tell whether a file is named as gzip, in any case."""
    return path.name.lower().endswith(".gz")


def require_nifti_name(path: Path) -> None:
    """Raise unless an image can be written under this name.

    Raises
    ------
    UsageError
        If the name ends in neither ``.nii`` nor ``.nii.gz``.
    """
    stem = path.name.lower().removesuffix(".gz").removesuffix(".nii")
    if not is_nifti_name(path) or not stem:
        ending = _format_of_name(path)
        found = f"a name of {ending}" if ending else "a name of no image format"
        msg = f"'{path.name}' is {found}; images are written as NIfTI: name it '{_stem(path)}.nii.gz'"
        raise UsageError(msg)


def refuse_other_format(path: Path, raw: bytes) -> None:
    """Raise if a file is not NIfTI by its name or its first bytes, and say what it is.

    Raises
    ------
    DamagedFileError
        With the format found, and the remedy.
    """
    # the pair is told by its magic or by the file beside it: the header alone has no voxels
    pair = raw[344:348] in _PAIR_MAGIC and len(raw) <= 352
    by_start = next((kind for start, kind in _OTHER_STARTS if raw.startswith(start)), "")
    found = by_start or (_PAIR if pair else _format_of_name(path))
    if not found:
        return
    if found == _PAIR:
        msg = f"{found} files, and only a single file is read; {SAVE_AS_NIFTI}"
    else:
        msg = f"{found}, not NIfTI; {SAVE_AS_NIFTI}"
    raise DamagedFileError(msg)


def _format_of_name(path: Path) -> str:
    name = path.name.lower()
    return next((kind for ending, kind in _OTHER_NAMES.items() if name.endswith(ending)), "")


def _stem(path: Path) -> str:
    name = path.name
    for ending in (".seg.nrrd", ".nii.gz", ".gz", *_OTHER_NAMES):
        if name.lower().endswith(ending):
            return name[: -len(ending)] or "mask"
    return name.partition(".")[0] or "mask"

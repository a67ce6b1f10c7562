"""The only reader and writer of image files.

Damaged files reach neither nibabel nor ITK, see `infarct_vol.nifti.reading`.
"""

from infarct_vol.nifti.masks import (
    how_to_confirm,
    is_confirmed,
    load_mask,
    mask_bytes,
    mask_facts,
    require_mask_target,
    save_mask,
)
from infarct_vol.nifti.names import SAVE_AS_NIFTI, require_nifti_name
from infarct_vol.nifti.reading import Series, Stored, load_grid, load_scan, load_series, load_stored
from infarct_vol.nifti.writing import nifti_bytes, packed, save_array, save_scan

__all__ = [
    "SAVE_AS_NIFTI",
    "Series",
    "Stored",
    "how_to_confirm",
    "is_confirmed",
    "load_grid",
    "load_mask",
    "load_scan",
    "load_series",
    "load_stored",
    "mask_bytes",
    "mask_facts",
    "nifti_bytes",
    "packed",
    "require_mask_target",
    "require_nifti_name",
    "save_array",
    "save_mask",
    "save_scan",
]

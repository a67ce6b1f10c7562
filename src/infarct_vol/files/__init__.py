"""Small files written whole and read with care: hashes, sidecars, deterministic gzip, atomic writes."""

from infarct_vol.files.missing import is_missing
from infarct_vol.files.not_image import text_instead_of_image
from infarct_vol.files.numbers import PLAIN_NUMBER, has_decimal_commas, stated_number
from infarct_vol.files.plain_text import decoded_text
from infarct_vol.files.sidecar import is_nifti_name, nifti_stem, read_sidecar
from infarct_vol.files.sidecar_numbers import sidecar_number
from infarct_vol.files.targets import require_target
from infarct_vol.files.text_table import TextRow, TextTable, read_text_table
from infarct_vol.files.whole import (
    file_sha256,
    gzip_bytes,
    sync_folder,
    whole_file,
    whole_text,
    write_bytes,
    write_json,
    write_text,
)

__all__ = [
    "PLAIN_NUMBER",
    "TextRow",
    "TextTable",
    "decoded_text",
    "file_sha256",
    "gzip_bytes",
    "has_decimal_commas",
    "is_missing",
    "is_nifti_name",
    "nifti_stem",
    "read_sidecar",
    "read_text_table",
    "sidecar_number",
    "stated_number",
    "require_target",
    "sync_folder",
    "text_instead_of_image",
    "whole_file",
    "whole_text",
    "write_bytes",
    "write_json",
    "write_text",
]

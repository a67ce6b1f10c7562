"""Small files written whole and read with care: hashes, sidecars, deterministic gzip, atomic writes."""

from infarct_vol.files.sidecar import nifti_stem, read_sidecar
from infarct_vol.files.targets import require_target
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
    "file_sha256",
    "gzip_bytes",
    "nifti_stem",
    "read_sidecar",
    "require_target",
    "sync_folder",
    "whole_file",
    "whole_text",
    "write_bytes",
    "write_json",
    "write_text",
]

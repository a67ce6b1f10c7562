"""Results on disk: BIDS-Derivatives names, masks with their sidecars, transforms with theirs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from infarct_vol._version import __version__
from infarct_vol.files import file_sha256, write_json, write_text
from infarct_vol.geometry import Grid
from infarct_vol.images import LesionMask
from infarct_vol.nifti import mask_facts, save_array, save_mask
from infarct_vol.registration import RigidTransform, write_tfm

BIDS_VERSION = "1.11.0"


@dataclass
class DerivativeWriter:
    """Writes one participant's results below ``out`` and remembers the hash of every file written.

    Parameters
    ----------
    out
        The output folder.
    label
        BIDS label of the participant, with ``sub-``.
    protocol_sha256
        Hash of the effective protocol; written into every sidecar.
    """

    out: Path
    label: str
    protocol_sha256: str
    written: dict[str, str] = field(default_factory=dict)

    def mask(
        self, mask: LesionMask, *, session_id: str, datatype: str, desc: str, facts: Mapping[str, object]
    ) -> str:
        """Write a mask on its native grid and its sidecar; return its path relative to ``out``."""
        stem = self.out / self.label / session_id / datatype / f"{self.label}_{session_id}_desc-{desc}_mask"
        path = stem.with_name(stem.name + ".nii.gz")
        save_mask(mask, path, sidecar=False)
        return self._noted(path, {**mask_facts(mask), **facts})

    def labels(
        self,
        labels: NDArray[np.uint8],
        grid: Grid,
        *,
        session_id: str,
        space: str,
        desc: str,
        facts: Mapping[str, object],
    ) -> str:
        """Write a map of labels in another image's space and its sidecar; return its path."""
        name = f"{self.label}_{session_id}_space-{space}_desc-{desc}_dseg.nii.gz"
        path = self.out / self.label / session_id / "anat" / name
        save_array(labels, grid, path, dtype="uint8")
        return self._noted(path, facts)

    def transform(
        self,
        transform: RigidTransform,
        *,
        session_id: str,
        source: str,
        target: str,
        facts: Mapping[str, object],
    ) -> str:
        """Write a points transform (ITK text, RAS/LPS handled there) and its sidecar; return its path."""
        name = f"{self.label}_{session_id}_from-{source}_to-{target}_mode-points_xfm.tfm"
        path = self.out / self.label / session_id / "xfm" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_tfm(transform, path)
        matrix = [[float(x) for x in row] for row in transform.matrix]
        direction = f"points of {source} (RAS+ mm) to points of {target} (RAS+ mm)"
        return self._noted(path, {"Direction": direction, "MatrixRAS": matrix, **facts})

    def _noted(self, path: Path, sidecar: Mapping[str, object]) -> str:
        stem = path.name.removesuffix(".gz").removesuffix(".nii").removesuffix(".tfm")
        beside = path.with_name(stem + ".json")
        common = {"ProtocolSHA256": self.protocol_sha256, "Version": __version__}
        write_json({**sidecar, **common}, beside)
        for file in (path, beside):
            self.written[file.relative_to(self.out).as_posix()] = file_sha256(file)
        return path.relative_to(self.out).as_posix()


def write_dataset_description(out: Path) -> None:
    """Write ``dataset_description.json`` of a BIDS derivative."""
    description = {
        "Name": "Infarct volumes",
        "BIDSVersion": BIDS_VERSION,
        "DatasetType": "derivative",
        "GeneratedBy": [{"Name": "infarct-vol", "Version": __version__}],
    }
    write_json(description, out / "dataset_description.json")


def write_protocol(toml: str, out: Path) -> None:
    """Write the protocol as used."""
    write_text(toml, out / "protocol.toml")

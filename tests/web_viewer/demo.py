"""Serve a case of a finished run in the viewer alone: python demo.py STUDY OUT sub-003 [port]."""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from viewer_page import CaseBuilder, served

from infarct_vol.geometry import AxisOrder, Grid
from infarct_vol.nifti import load_grid, load_mask, load_scan

PARTS = {"flair": "infarct", "cavity": "cavity", "new_lesion": "newlesion"}


def matrix(path: Path) -> np.ndarray:
    """Read a transform's sidecar."""
    return np.array(json.loads(path.read_text())["MatrixRAS"])


def turned(grid: Grid, to_reference: np.ndarray) -> tuple[AxisOrder, np.ndarray]:
    """Return the order of canonical axes, and canonical voxel -> mm of the reference space."""
    order = AxisOrder.of(grid)
    back = np.eye(4)
    back[:3, :3] = 0
    for axis, (source, flip) in enumerate(zip(order.order, order.flip, strict=True)):
        back[source, axis] = -1 if flip else 1
        back[source, 3] = grid.shape[source] - 1 if flip else 0
    return order, to_reference @ grid.affine @ back


def demo_case(study: Path, out: Path, participant: str) -> CaseBuilder:
    """Build the case of a participant from a study and its results; the baseline FLAIR is the reference."""
    case = CaseBuilder(participant, reference="BL-flair")
    for folder in sorted((study / participant).glob("ses-*"), key=lambda f: (f.name != "ses-BL", f.name)):
        visit, label = folder.name, folder.name.removeprefix("ses-")
        to_reference = np.eye(4)
        xfm = out / participant / visit / "xfm"
        if label != "BL":
            to_reference = np.linalg.inv(
                matrix(xfm / f"{participant}_{visit}_from-BL_to-{label}_mode-points_xfm.json")
            )
        for modality, place in (("dwi", "dwi/*trace"), ("adc", "dwi/*ADC"), ("flair", "anat/*FLAIR")):
            for path in folder.glob(f"{place}.nii.gz"):
                to = to_reference
                if modality != "flair" and label == "BL":
                    name = f"{participant}_{visit}_from-FLAIR_to-DWI_mode-points_xfm.json"
                    to = np.linalg.inv(matrix(xfm / name))
                scan = load_scan(path, modality=modality)
                order, affine = turned(load_grid(path), to)
                name = f"{label}-{modality}"
                data = order.canonical(scan.data)
                title = "Baseline" if label == "BL" else f"Month {int(label[1:])}"
                case.panel(
                    name, data, affine, visit=visit, modality=modality, label=f"{title} {modality.upper()}"
                )
                names = {"dwi": {"dwi": "infarct"}, "flair": PARTS, "adc": {}}[modality]
                masks = {}
                for key, word in names.items():
                    kind = "dwi" if modality == "dwi" else "anat"
                    found = (
                        out / participant / visit / kind / f"{participant}_{visit}_desc-{word}_mask.nii.gz"
                    )
                    if found.is_file():
                        masks[key] = order.canonical(load_mask(found).data)
                if names:
                    case.item(visit, modality, name, masks, affine=affine)
    order = ["BL-dwi", "BL-adc", "BL-flair"]
    case.view["panels"].sort(
        key=lambda p: (order.index(p["id"]) if p["id"] in order else len(order), p["id"])
    )
    return case


if __name__ == "__main__":
    made = demo_case(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
    with served(made.content(), port=int(sys.argv[4]) if len(sys.argv) > 4 else 0) as address:
        sys.stdout.write(f"{address}\n")
        sys.stdout.flush()
        threading.Event().wait()

"""What panoptica finds on the pairs of masks of the tests, written to ``tests/agreement_panoptica.json``.

    python -m venv panoptica_env
    panoptica_env/bin/pip install panoptica==2.1.7
    panoptica_env/bin/python bench/agreement_panoptica.py

panoptica holds numpy below 2.3, so that it cannot stand in the environment of the project.
A lesion is found when any of its voxels is (threshold 0, strict). Its distances over whole images are in
voxels, whatever the spacing.
"""

from __future__ import annotations

import importlib.metadata
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from panoptica import (
    ConnectedComponentsInstanceApproximator,
    InputType,
    Metric,
    NaiveThresholdMatching,
    Panoptica_Evaluator,
)

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from agreement_cases import EXPECTED, drawn_cases, ellipsoids  # noqa: E402 - tests are no package


def main() -> None:
    """Write the expected values."""
    evaluator = Panoptica_Evaluator(
        expected_input=InputType.SEMANTIC,
        instance_approximator=ConnectedComponentsInstanceApproximator(),
        instance_matcher=NaiveThresholdMatching(matching_threshold=0.0, strict_threshold=True),
        instance_metrics=[Metric.DSC, Metric.IOU],
        global_metrics=[Metric.DSC, Metric.HD95],
    )
    document = {
        "panoptica": importlib.metadata.version("panoptica"),
        "cases": [{**case, "expected": _found(evaluator, case)} for case in drawn_cases()],
    }
    EXPECTED.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def _found(evaluator: Panoptica_Evaluator, case: dict[str, Any]) -> dict[str, float]:
    reference, compared = (ellipsoids(case[name]).astype(np.uint8) for name in ("reference", "compared"))
    result = evaluator.evaluate(compared, reference, voxelspacing=tuple(case["spacing_mm"]), verbose=False)
    result = result["ungrouped"] if isinstance(result, dict) else result
    return {
        "dice": float(result.global_bin_dsc),
        "lesion_f1": float(result.rq),
        "reference_lesions": int(result.n_ref_instances),
        "compared_lesions": int(result.n_pred_instances),
        "hd95_voxels": float(result.global_bin_hd95),
    }


if __name__ == "__main__":
    main()

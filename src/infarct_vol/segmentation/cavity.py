"""The cavity of an old infarct: dark as CSF now, tissue at baseline."""

from __future__ import annotations

import numpy as np

from infarct_vol.segmentation.chronic_evidence import Evidence
from infarct_vol.segmentation.cleanup import keep_touching
from infarct_vol.segmentation.normalise import Mask

# Share of the way from CSF to tissue above which the baseline showed mostly tissue.
TISSUE_THEN = 0.5
# Share of the way from tissue to CSF that is surely cavity now.
SURE_DARK = 0.7


def find_cavity(evidence: Evidence, *, boundary: float, seed_z: float) -> Mask:
    """Voxels of the baseline lesion that turned from tissue to CSF.

    CSF that was ventricle or sulcus at baseline is never cavity, nor is anything outside the baseline
    lesion. Voxels are kept where they join a seed that is surely dark.

    Parameters
    ----------
    evidence
        Follow-up against expectation.
    boundary
        Share of a voxel that has turned to CSF.
    seed_z
        Standard deviations by which a seed is darker than expected.

    Returns
    -------
    NDArray[np.bool_]
        (I, J, K) mask; empty where no cavity is seen.
    """
    e = evidence
    # what goes is tissue; fluid in the same voxel stays
    depth = np.maximum(e.healthy, 1) - e.csf
    tissue_then = e.near & tissue_at_baseline(e)
    lost = -e.excess
    dark = tissue_then & (lost > boundary * depth) & (lost > 0.67 * seed_z * e.noise)
    seeds = dark & e.core & (lost > SURE_DARK * (e.healthy - e.csf)) & (lost > seed_z * e.noise)
    return keep_touching(dark, seeds)


def tissue_at_baseline(evidence: Evidence) -> Mask:
    """Voxels that held more tissue than CSF at baseline."""
    e = evidence
    return np.asarray(e.healthy - e.csf > TISSUE_THEN * (1 - e.csf))

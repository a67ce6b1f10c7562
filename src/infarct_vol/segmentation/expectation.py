"""What this patient's healthy tissue would show: its mirror image, and how near to fluid it lies.

Much of the spread of normal tissue is anatomy, not noise: cortex is brighter than white matter, tissue beside
a sulcus is darker. Both hemispheres share it, so each voxel's healthy look is foretold from the other side
by a line fitted to the patient's own reference tissue, and what is left is evidence.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from infarct_vol.segmentation.reference import robust_fit, smoothed
from infarct_vol.segmentation.symmetry import MirrorPlane, reflect

Volume = NDArray[np.float32]
Mask = NDArray[np.bool_]

# no mirror is exact to less than this, SD in mm
NEARBY_MM = 2.0
# log units: a vessel, a sulcus or an artefact on the other side foretells no more than this
MOST_FORETOLD = 0.3
# share of reference tissue round the mirror point at which it is trusted by half
HALF_TRUST = 0.15


def without_expected(
    features: Sequence[Volume],
    tissue: Mask,
    reference: Mask,
    *,
    plane: MirrorPlane,
    spacing_mm: NDArray[np.float64],
) -> list[Volume]:
    """Take away what the mirrored hemisphere and the nearness of fluid foretell.

    Parameters
    ----------
    features
        (X, Y, Z) each: log DWI and log ADC over their references.
    tissue
        (X, Y, Z) brain without fluid; elsewhere the result is 0.
    reference
        (X, Y, Z) tissue without the provisional lesion: only it foretells, so that of a bilateral infarct
        neither side explains the other away once it has been found.
    plane
        Mid-sagittal plane.
    spacing_mm
        (3,) voxel spacing.
    """
    weight = reference.astype(np.float32)
    one = np.ones((1, 1, 1), dtype=np.float32)
    solid = smoothed(tissue.astype(np.float32), sigma_mm=NEARBY_MM, spacing_mm=spacing_mm)
    share = smoothed(weight, sigma_mm=NEARBY_MM, spacing_mm=spacing_mm)
    seen = np.maximum(reflect(share, plane, spacing_mm, outside=0.0), 0) + np.float32(HALF_TRUST)
    left = []
    for values in features:
        usual = np.clip(values, -MOST_FORETOLD, MOST_FORETOLD) * weight
        total = smoothed(usual, sigma_mm=NEARBY_MM, spacing_mm=spacing_mm)
        terms = [one, solid, (reflect(total, plane, spacing_mm, outside=0.0) / seen).astype(np.float32)]
        rest = values.copy()
        for coefficient, term in zip(robust_fit(values, terms, where=reference), terms, strict=True):
            rest -= np.float32(coefficient) * term
        left.append(np.where(tissue, rest, 0).astype(np.float32))
    return left

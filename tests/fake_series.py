"""A diffusion series in memory, as the reader of files would give it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from infarct_vol.geometry import Grid
from infarct_vol.images import Identity

SHAPE = (8, 8, 6)
GRID = Grid(SHAPE, np.diag([2.0, 2.0, 5.0, 1.0]))


@dataclass(frozen=True)
class Series:
    """(I, J, K, N) intensities with b-values and directions."""

    data: np.ndarray
    bvalues: np.ndarray
    bvectors: np.ndarray | None = None
    grid: Grid = GRID
    identity: Identity = field(default_factory=lambda: Identity("sub-003", "ses-BL", modality="dwi"))
    sidecar: dict[str, object] = field(default_factory=dict)

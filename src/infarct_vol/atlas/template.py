"""The ICBM 152 template (MNI space) that nilearn installs: grey matter, white matter, brain.

The symmetric nonlinear template of 2009, release a (Fonov 2011, NeuroImage 54:313-327). Its licence lets
anyone use, copy, modify and distribute it for any purpose without fee as long as its notice stays:
Copyright (C) 1993-2004 Louis Collins, McConnell Brain Imaging Centre, Montreal Neurological Institute,
McGill University. It is read from where nilearn put it, and no copy of it is part of this package.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from infarct_vol.brain.morphology import closed
from infarct_vol.errors import DamagedFileError
from infarct_vol.geometry import Grid
from infarct_vol.nifti import load_scan

NAME = "ICBM 152 nonlinear symmetric 2009a"
_FILE = "mni_icbm152_{}_tal_nlin_sym_09a_converted.nii.gz"
_FULL = 255.0
_MAP_BLOCK, _FIT_BLOCK = 2, 2
# as far as the sulci of scans are closed, so that both surfaces are the same surface
_CLOSING_MM = 12.0

Maps = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Template:
    """The template at two resolutions, RAS+ mm in MNI space.

    Parameters
    ----------
    tissue
        (2, I, J, K) share of grey and of white matter in every voxel of ``grid``, 2 mm.
    grid
        Grid of ``tissue``.
    coarse
        (3, I, J, K) share of grey matter, white matter, and the rest of the brain (ventricles and sulci)
        in every voxel of ``coarse_grid``, 4 mm.
    coarse_grid
        Grid of ``coarse``.
    """

    tissue: Maps
    grid: Grid
    coarse: Maps
    coarse_grid: Grid

    @property
    def brain(self) -> NDArray[np.bool_]:
        """(I, J, K) the brain on ``coarse_grid``, ventricles and sulci inside."""
        return np.asarray(self.coarse.sum(axis=0) > 0.5)


@cache
def load_template() -> Template:
    """Read the template, once in a process.

    Raises
    ------
    DamagedFileError
        If nilearn's files are not where nilearn puts them, or not intact.
    """
    scans = [load_scan(_path(name)) for name in ("gm", "wm")]
    tissue = np.stack([_block_mean(scan.data, _MAP_BLOCK) for scan in scans]) / np.float32(_FULL)
    grid = _coarser(scans[0].grid, _MAP_BLOCK)
    coarse_grid = _coarser(grid, _FIT_BLOCK)
    coarse = np.stack([_block_mean(part, _FIT_BLOCK) for part in tissue])
    total = coarse.sum(axis=0)
    inside = ndimage.binary_fill_holes(closed(total > 0.5, _CLOSING_MM, spacing_mm=coarse_grid.spacing_mm))
    rest = np.where(inside, np.clip(1 - total, 0, 1), 0).astype(np.float32)
    parts = np.concatenate([coarse, rest[None]])
    for kept in (tissue, parts):
        kept.setflags(write=False)
    return Template(tissue, grid, parts, coarse_grid)


def _path(tissue: str) -> Path:
    # importing nilearn takes seconds and 60 MB; the place of its files is enough
    spec = find_spec("nilearn")
    places = list(spec.submodule_search_locations or ()) if spec else []
    if not places:
        msg = "nilearn, which brings the MNI template, is not installed; install infarct-vol again"
        raise DamagedFileError(msg)
    return Path(places[0]) / "datasets" / "data" / _FILE.format(tissue)


def _block_mean(values: Maps, block: int) -> Maps:
    """Mean over cubes of voxels; voxels that fill no cube at the far ends are left out."""
    for axis in range(3):
        count = values.shape[axis] // block
        kept = np.take(values, np.arange(count * block), axis=axis)
        shape = (*kept.shape[:axis], count, block, *kept.shape[axis + 1 :])
        values = kept.reshape(shape).mean(axis=axis + 1, dtype=np.float32)
    return values


def _coarser(grid: Grid, block: int) -> Grid:
    affine = np.array(grid.affine)
    affine[:3, 3] = grid.to_world([(block - 1) / 2] * 3)
    affine[:3, :3] *= block
    i, j, k = (n // block for n in grid.shape)
    return Grid((i, j, k), affine)

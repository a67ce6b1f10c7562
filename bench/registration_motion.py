"""Rigid motions of heads and of headers, for everything that makes pairs and cases."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from infarct_vol.geometry import Grid
from infarct_vol.images import Scan

Floats = NDArray[np.floating]
Matrix = NDArray[np.float64]


def rotation_about(axis: Floats, angle_deg: float) -> Matrix:
    """Return the 3x3 rotation about an axis of any length."""
    return np.asarray(Rotation.from_rotvec(np.deg2rad(angle_deg) * (axis / np.linalg.norm(axis))).as_matrix())


def motion_about(centre: Floats, rotation: Floats, shift: Floats) -> Matrix:
    """Return the 4x4 motion that turns about a centre and then shifts, mm."""
    matrix = np.eye(4)
    matrix[:3, :3] = rotation
    matrix[:3, 3] = centre - rotation @ centre + shift
    return matrix


def carried(scan: Scan, motion: Matrix) -> Scan:
    """Move a scan by its header alone."""
    return replace(scan, grid=Grid(scan.grid.shape, motion @ scan.grid.affine))

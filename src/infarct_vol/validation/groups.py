"""Classes that results are given apart for: how large the infarct is, and where it lies."""

from __future__ import annotations

from typing import Literal, get_args

SizeClass = Literal["<1 mL", "1-5 mL", "5-20 mL", "20-70 mL", ">=70 mL"]
Region = Literal["supratentorial", "infratentorial", "unknown"]
SIZE_CLASSES: tuple[SizeClass, ...] = get_args(SizeClass)
REGIONS: tuple[Region, ...] = get_args(Region)

_EDGES_ML = (1.0, 5.0, 20.0, 70.0)
_ROUNDING = 1e-9


def size_class(volume_ml: float) -> SizeClass:
    """Return the class of a reference volume in mL; a volume on an edge belongs to the class above it.

    Edges: 1, 5, 20 and 70 mL; an infarct core of 70 mL is where a trial of late thrombectomy drew the
    line to large ones (Albers 2018, N Engl J Med 378:708).
    """
    # 5000 voxels of 1 mm3 are 5 mL, whatever the last bits of the affine say
    return SIZE_CLASSES[sum(volume_ml >= edge * (1 - _ROUNDING) for edge in _EDGES_ML)]

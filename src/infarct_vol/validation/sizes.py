"""Size classes of lesions: what is said of small lesions is not true of large ones."""

from __future__ import annotations

from bisect import bisect_right

SIZE_LIMITS_ML = (1.0, 5.0, 20.0, 70.0)
SIZE_CLASSES = ("<1 mL", "1-5 mL", "5-20 mL", "20-70 mL", ">70 mL")


def size_class(volume_ml: float) -> str:
    """Return the class of a volume; a limit belongs to the class above it."""
    return SIZE_CLASSES[bisect_right(SIZE_LIMITS_ML, volume_ml)]

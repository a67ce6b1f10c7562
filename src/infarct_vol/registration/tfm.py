"""ITK text transforms (``.tfm``): written so that ITK, ANTs, 3D Slicer and nitransforms read them.

ITK works in LPS+ mm; everything else in this package in RAS+ mm. The direction is the same in both:
points of the fixed scan to points of the moving scan.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from infarct_vol.errors import RegistrationError, UsageError
from infarct_vol.files import write_text
from infarct_vol.registration.transform import RigidTransform, orthonormal

_HEADER = "#Insight Transform File V1.0"
_KIND = "AffineTransform_double_3_3"
# these store twelve matrix parameters and a centre; Euler and versor forms store angles and are refused
_READABLE = ("AffineTransform", "MatrixOffsetTransformBase")
_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
# a matrix written with six digits is a rotation to about 1e-5 only
_ROUNDING_TOLERANCE = 1e-3


def require_tfm_name(path: Path) -> None:
    """Raise unless a transform can be written under this name.

    Raises
    ------
    UsageError
        If the name does not end in ``.tfm`` or ``.txt``: other programs tell the format by the name.
    """
    if path.suffix.lower() not in (".tfm", ".txt") or not path.stem:
        msg = (
            f"'{path.name}' is no name of an ITK text transform; name it '{path.name.partition('.')[0]}.tfm'"
        )
        raise UsageError(msg)


def write_tfm(transform: RigidTransform, path: Path) -> None:
    """Write a transform (points of FIXED -> points of MOVING) as an ITK text file, LPS+ mm.

    The affine form is used because every reader knows it, nitransforms knows no other.
    """
    lps = _LPS @ transform.matrix @ _LPS
    # adding zero turns -0.0 into 0.0
    parameters = [*(lps[:3, :3] + 0.0).ravel(), *(lps[:3, 3] + 0.0)]
    lines = [
        _HEADER,
        "#Transform 0",
        f"Transform: {_KIND}",
        "Parameters: " + " ".join(repr(float(value)) for value in parameters),
        "FixedParameters: 0 0 0",
    ]
    write_text("\n".join(lines) + "\n", Path(path))


def read_tfm(path: Path) -> RigidTransform:
    """Read a rigid ITK text transform with matrix parameters.

    Raises
    ------
    RegistrationError
        If the file is missing, holds several transforms, another kind, or a matrix that is not rigid.
    """
    path = Path(path)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        msg = f"no readable transform at {path}: {error}"
        raise RegistrationError(msg) from None
    fields: dict[str, list[str]] = {}
    for line in lines:
        key, colon, value = line.partition(":")
        if colon and not line.startswith("#"):
            fields.setdefault(key.strip(), []).append(value.strip())
    kinds = fields.get("Transform", [])
    if len(kinds) != 1 or not kinds[0].startswith(_READABLE):
        msg = (
            f"{path.name} holds {kinds or 'no transform'}; expected one of kind {' or '.join(_READABLE)} "
            "(3D Slicer and ITK save it as 'Affine')"
        )
        raise RegistrationError(msg)
    parameters = _numbers(fields.get("Parameters", []), count=12, path=path)
    centre = _numbers(fields.get("FixedParameters", ["0 0 0"]), count=3, path=path)
    lps = np.eye(4)
    lps[:3, :3] = parameters[:9].reshape(3, 3)
    lps[:3, 3] = parameters[9:] + centre - lps[:3, :3] @ centre
    return RigidTransform(_without_rounding(_LPS @ lps @ _LPS, path=path))


def _numbers(texts: list[str], *, count: int, path: Path) -> NDArray[np.float64]:
    try:
        values = np.array([float(text) for text in texts[0].split()]) if len(texts) == 1 else np.empty(0)
    except ValueError:
        values = np.empty(0)
    if values.size != count or not np.isfinite(values).all():
        msg = f"{path.name}: expected {count} finite numbers in a parameter line, got {texts}"
        raise RegistrationError(msg)
    return values


def _without_rounding(matrix: NDArray[np.float64], *, path: Path) -> NDArray[np.float64]:
    """Mend what a few written digits did to a rotation; anything more is left to be refused."""
    nearest = orthonormal(matrix)
    departure = float(np.abs(nearest - matrix).max())
    if departure > _ROUNDING_TOLERANCE or np.linalg.det(nearest[:3, :3]) < 0:
        msg = (
            f"{path.name} is not rigid: the nearest rotation is {departure:.2g} away (at most "
            f"{_ROUNDING_TOLERANCE:g}); register without scale and shear"
        )
        raise RegistrationError(msg)
    return nearest

"""Registration checkerboards: whether edges run on from one image to the other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from infarct_vol.images import MODALITY_LABELS, Scan, require_same_grid
from infarct_vol.qa.display import PLANE_NAMES, SliceView, head_crop, head_slices, slice_view, window
from infarct_vol.qa.figures import Picture, Sheet, house_style
from infarct_vol.qa.overlays import GAP_PX, HEADER_PX, LABEL_PX, MARGIN_PX, SHEET_PX, sheet_header

SQUARE_MM = 24.0


@house_style
def checkerboard(fixed: Scan, moving: Scan, *, title: str = "", subtitle: str = "") -> Picture:
    """Draw a checkerboard of two registered images on three planes, isotropic on the page.

    Parameters
    ----------
    fixed
        The image registered to.
    moving
        The other image, resampled on the fixed image's grid.
    title, subtitle
        Headline, and a line such as the registration's verdict.

    Raises
    ------
    GridMismatchError
        If the images do not share one grid.
    """
    require_same_grid(fixed, moving, what="both images of a checkerboard")
    views = [slice_view(image) for image in (fixed, moving)]
    pairs = zip(views, (fixed, moving), strict=True)
    limits = [window(view, image.modality) for view, image in pairs]
    planes = []
    for axis in (2, 1, 0):
        along = [view.along(axis) for view in views]
        crop = head_crop(along[0])
        index = head_slices(along[0], most=1)[0]
        pixels = [
            _isotropic(np.asarray(v.plane(index)[crop], dtype=np.float32), v.pixel_mm, fixed) for v in along
        ]
        scaled = [(p - low) / max(high - low, 1e-6) for p, (low, high) in zip(pixels, limits, strict=True)]
        planes.append((along[0], index, _checkers(scaled[0], scaled[1], fixed)))
    return _checker_sheet(planes, fixed, moving, title=title, subtitle=subtitle)


def _isotropic(pixels: NDArray[np.float32], pixel_mm: tuple[float, float], scan: Scan) -> NDArray[np.float32]:
    finest = float(scan.grid.spacing_mm.min())
    zoom = (pixel_mm[0] / finest, pixel_mm[1] / finest)
    return np.asarray(ndimage.zoom(np.nan_to_num(pixels), zoom, order=1, mode="nearest", grid_mode=True))


def _checkers(first: NDArray[np.float32], second: NDArray[np.float32], scan: Scan) -> NDArray[np.float32]:
    side = max(2, round(SQUARE_MM / float(scan.grid.spacing_mm.min())))
    row, column = np.indices(first.shape) // side
    return np.where((row + column) % 2 == 0, first, second).astype(np.float32)


def _checker_sheet(
    planes: Sequence[tuple[SliceView, int, NDArray[np.float32]]],
    fixed: Scan,
    moving: Scan,
    *,
    title: str,
    subtitle: str,
) -> Picture:
    widths = [pixels.shape[1] for _, _, pixels in planes]
    scale = (SHEET_PX - 2 * MARGIN_PX - 2 * GAP_PX) / sum(widths)
    height = max(pixels.shape[0] for _, _, pixels in planes) * scale
    sheet = Sheet(SHEET_PX, HEADER_PX + height + LABEL_PX + MARGIN_PX)
    pair = " and ".join(MODALITY_LABELS[image.modality] for image in (fixed, moving))
    words = f"squares of {SQUARE_MM:.0f} mm take turns between the two images ({pair})"
    sheet_header(sheet, title, [], found=True, drawn=True)
    sheet.text(" · ".join(part for part in (subtitle, words) if part), MARGIN_PX, 36, size=8.5)
    left = float(MARGIN_PX)
    for view, index, pixels in planes:
        width = pixels.shape[1] * scale
        sheet.image(
            pixels, pixel_mm=(1.0, 1.0), box=(left, HEADER_PX, width, height), window=(0.0, 1.0), smooth=True
        )
        label = f"{PLANE_NAMES[view.axis]}, {view.label(index)}"
        sheet.text(label, left + width / 2, HEADER_PX + height + LABEL_PX / 2, size=7, align="center")
        top = HEADER_PX + (height - pixels.shape[0] * scale) / 2
        for letter, x in zip(view.edge_letters, (left + 9, left + width - 9), strict=True):
            sheet.text(letter, x, top + 10, size=8, colour="#ffffff", align="center")
        left += width + GAP_PX
    return sheet.finish()

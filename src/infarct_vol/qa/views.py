"""Pictures for notebooks: a mask on its scan, volumes over time, and an interactive viewer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from infarct_vol.images import LesionMask, Scan, require_same_grid
from infarct_vol.qa.figures import INK, MUTED, Picture, house_style
from infarct_vol.qa.overlays import lesion_mosaic
from infarct_vol.qa.trajectories import participant_trajectory
from infarct_vol.qa.wording import has_value, visit_label, visit_rank
from infarct_vol.records import VALUED_STATUSES


def plot_overlay(scan: Scan, mask: LesionMask | None = None, *, max_slices: int = 12) -> Picture:
    """Draw a mask, and its cavity and new lesion if it has them, as contours on its scan.

    Parameters
    ----------
    scan
        The image.
    mask
        Mask on the scan's grid; None draws the scan alone.
    max_slices
        Most whole slices shown.

    Returns
    -------
    Picture
        A matplotlib figure; shows itself in a notebook, ``.save(path)`` writes it.

    Raises
    ------
    GridMismatchError
        If the mask is not on the scan's grid.
    """
    contours: dict[str, LesionMask | None] = {"infarct": mask} if mask is not None else {}
    for name in ("cavity", "new_lesion"):
        part = mask.parts.get(name) if mask is not None else None
        if part is not None:
            contours[name] = part
    return lesion_mosaic(scan, contours, max_slices=max_slices)


@house_style
def plot_trajectories(table: pd.DataFrame, *, parameter: str = "infarct") -> Picture:
    """Draw volumes over the visits: one participant in detail, several as one line each.

    Parameters
    ----------
    table
        Rows of ``volumes.csv``.
    parameter
        Which volume is drawn when the table holds several participants.

    Raises
    ------
    ValueError
        If the table lacks a column or holds no row of the parameter.
    """
    needed = {"participant_id", "visit", "parameter", "study_day", "modality", "volume_ml", "status"}
    if absent := sorted(needed - set(table.columns)):
        msg = f"the table of volumes lacks {', '.join(absent)}; give rows of volumes.csv"
        raise ValueError(msg)
    rows = table[table["parameter"] == parameter]
    if rows.empty:
        found = ", ".join(sorted(map(str, table["parameter"].unique())))
        msg = f"no row of parameter '{parameter}' in the table, which holds: {found or 'nothing'}"
        raise ValueError(msg)
    people = sorted(map(str, rows["participant_id"].unique()))
    if len(people) == 1:
        own = table[table["participant_id"] == rows["participant_id"].iloc[0]]
        return participant_trajectory(own, title=people[0])
    return _many(rows, people, parameter)


def _many(rows: pd.DataFrame, people: list[str], parameter: str) -> Picture:
    picture = Picture(860, 420)
    axes = picture.add_axes((0.08, 0.1, 0.74, 0.82))
    visits = sorted(rows["visit"].unique(), key=visit_rank)
    place = {visit: at for at, visit in enumerate(visits)}
    hues = np.linspace(0.08, 0.92, len(people))
    for person, hue in zip(people, hues, strict=True):
        own = rows[rows["participant_id"].astype(str) == person].sort_values(
            "visit", key=lambda v: v.map(visit_rank)
        )
        # a visit without a value breaks the line
        values = [
            v if s in VALUED_STATUSES and has_value(v) else np.nan
            for v, s in zip(own["volume_ml"], own["status"], strict=True)
        ]
        colour = _colour(float(hue))
        axes.plot(own["visit"].map(place), values, marker="o", ms=4.5, lw=1.4, color=colour, label=person)
    axes.set_xticks(range(len(visits)), [visit_label(v) for v in visits])
    axes.set_ylabel(f"{parameter.replace('_', ' ')}, mL", color=MUTED)
    axes.set_ylim(bottom=0)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(colors=INK)
    axes.legend(frameon=False, fontsize=7.5, loc="upper left", bbox_to_anchor=(1.01, 1.0))
    return picture


def _colour(share: float) -> Any:
    from matplotlib import colormaps

    return colormaps["viridis"](share)


def view(scan: Scan, mask: LesionMask | None = None) -> Any:
    """Return nilearn's interactive viewer of a scan and its mask; shows itself in a notebook.

    The page is self-contained: it works without a network. ``.save_as_html(path)`` writes it.

    Raises
    ------
    GridMismatchError
        If the mask is not on the scan's grid, or holds no voxel to show.
    ImportError
        If nilearn's plotting cannot be imported, with what to install.
    """
    try:
        from nibabel.nifti1 import Nifti1Image
        from nilearn import plotting
    except ImportError as error:
        msg = f"the interactive viewer needs nilearn with matplotlib ({error}); install 'nilearn[plotting]'"
        raise ImportError(msg) from error
    affine = np.array(scan.grid.affine)
    background = Nifti1Image(np.nan_to_num(scan.data), affine)
    if mask is not None:
        require_same_grid(scan, mask, what="the scan and its mask")
    title = str(scan.identity) + (f": {mask.volume_ml:.2f} mL" if mask is not None else "")
    overlay = np.zeros(scan.grid.shape, np.float32) if mask is None else mask.data.astype(np.float32)
    # nilearn's viewer wants something to show: an empty mask is shown as the scan alone
    shown = Nifti1Image(overlay, affine) if overlay.any() else background
    options: dict[str, Any] = {"title": title, "symmetric_cmap": False, "colorbar": False}
    options |= {"threshold": 0.5, "cmap": "autumn", "opacity": 0.5} if overlay.any() else {"cmap": "gray"}
    return plotting.view_img(shown, bg_img=background, resampling_interpolation="nearest", **options)

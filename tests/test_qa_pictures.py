"""Pictures: orientation, contours, the three kinds of nothing, and bytes that repeat."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb
from numpy.typing import NDArray
from PIL import Image

from infarct_vol.errors import GridMismatchError
from infarct_vol.geometry import Grid
from infarct_vol.images import Identity, LesionMask, Modality, Scan
from infarct_vol.qa import (
    Picture,
    checkerboard,
    lesion_mosaic,
    measured_against_true,
    participant_trajectory,
    plot_overlay,
    plot_trajectories,
    side_by_side,
    trial_change,
    view,
)
from infarct_vol.qa.display import head_slices, lesion_slices, slice_view, spread, window
from infarct_vol.qa.figures import COLOURS, outline_segments
from infarct_vol.qa.trajectories import ABSENT_SYMBOLS

SHAPE = (40, 48, 12)
SPACING = (4.0, 4.0, 6.0)


def head_scan(codes: str = "RAS", *, modality: Modality = "flair") -> Scan:
    """Return one head, stored along the axes named: a bright spot is right, anterior and superior."""
    x, y, z = np.indices(SHAPE)
    data = np.where(((x - 20) / 16) ** 2 + ((y - 24) / 20) ** 2 + ((z - 6) / 7) ** 2 < 1, 100.0, 0.0)
    data[28:31, 32:35, 8:10] = 200.0
    ras = np.diag([*SPACING, 1.0])
    ras[:3, 3] = (-80, -96, -36)
    order = ["RAS".index({"L": "R", "P": "A", "I": "S"}.get(c, c)) for c in codes]
    stored = np.transpose(data, order)
    back = np.eye(4)
    back[:3, :3] = 0
    for axis, (code, source) in enumerate(zip(codes, order, strict=True)):
        flip = code in "LPI"
        if flip:
            stored = np.flip(stored, axis)
        back[source, axis] = -1 if flip else 1
        back[source, 3] = SHAPE[source] - 1 if flip else 0
    grid = Grid(stored.shape, ras @ back)
    return Scan(stored.astype(np.float32), grid, Identity("sub-001", "ses-BL", "baseline", modality))


def spot(scan: Scan) -> LesionMask:
    return LesionMask(scan.data > 150, scan.grid)


def nothing(scan: Scan) -> LesionMask:
    return LesionMask(np.zeros(scan.grid.shape, dtype=bool), scan.grid)


def words(picture: Picture) -> str:
    return " | ".join(text.get_text() for axes in picture.axes for text in axes.texts)


def pixels(picture: Picture) -> NDArray[np.int_]:
    import io

    return np.asarray(Image.open(io.BytesIO(picture.to_bytes())).convert("RGB"), dtype=int)


def close_to(picture: Picture, name: str) -> int:
    """Count pixels of a contour's colour."""
    wanted = np.array([255 * part for part in to_rgb(COLOURS[name])])
    return int((np.abs(pixels(picture) - wanted).max(axis=2) < 12).sum())


# ---- display ---------------------------------------------------------------------------------------------


def test_outline_of_a_block_has_its_perimeter_in_voxel_edges() -> None:
    mask = np.zeros((6, 7), dtype=bool)
    mask[1:4, 2:4] = True
    segments = outline_segments(mask)
    assert len(segments) == 2 * (3 + 2)
    # columns 2 to 4 and rows 1 to 4, as edges
    assert segments[..., 0].min() == 2
    assert segments[..., 0].max() == 4
    assert segments[..., 1].min() == 1
    assert segments[..., 1].max() == 4


def test_outline_runs_around_a_hole_and_along_the_image_border() -> None:
    mask = np.ones((3, 3), dtype=bool)
    mask[1, 1] = False
    assert len(outline_segments(mask)) == 12 + 4
    assert len(outline_segments(np.zeros((3, 3), dtype=bool))) == 0


@pytest.mark.parametrize("codes", ["RAS", "LAS", "LPS", "LPI", "PSR", "ASL", "SRP"])
def test_every_storage_order_shows_the_same_slices(codes: str) -> None:
    expected, shown = slice_view(head_scan("RAS")), slice_view(head_scan(codes))
    assert shown.axis == 2
    assert shown.count == SHAPE[2]
    assert shown.pixel_mm == pytest.approx((4.0, 4.0))
    for index in (3, 8):
        np.testing.assert_array_equal(shown.plane(index), expected.plane(index))
        assert shown.position_mm(index) == pytest.approx(-36 + 6 * index)


def test_right_is_on_the_left_and_anterior_is_up() -> None:
    shown = slice_view(head_scan("LPS"))
    row, column = np.argwhere(shown.plane(8) == 200).mean(axis=0)
    # the spot is at x 28-30 of 40 (right) and y 32-34 of 48 (anterior)
    assert column == pytest.approx(39 - 29)
    assert row == pytest.approx(47 - 33)
    assert shown.edge_letters == "RL"
    assert shown.along(0).edge_letters == "AP"


def test_label_names_the_slice_of_the_file() -> None:
    assert slice_view(head_scan("RAS")).label(8) == "z +12.0 mm, k 8"
    assert slice_view(head_scan("LPI")).label(8) == "z +12.0 mm, k 3"
    assert slice_view(head_scan("SRP")).label(8) == "z +12.0 mm, i 8"


def test_thick_axis_is_sliced_and_equal_axes_are_shown_axially() -> None:
    thick_sagittal = Scan(np.zeros((8, 20, 20), np.float32), Grid((8, 20, 20), np.diag([5.0, 1, 1, 1])))
    assert slice_view(thick_sagittal).axis == 0
    isotropic = Scan(
        np.zeros((20, 20, 20), np.float32),
        Grid((20, 20, 20), np.array([[0, 0, -1.0, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]])),
    )
    assert isotropic.grid.axis_codes == "ASL"
    assert slice_view(isotropic).axis == 2


@pytest.mark.parametrize("fill", [0.0, np.nan, 7.0])
def test_a_scan_without_contrast_still_has_a_window(fill: float) -> None:
    scan = Scan(np.full((9, 9, 9), fill, np.float32), Grid((9, 9, 9), np.eye(4)))
    low, high = window(slice_view(scan), "flair")
    assert np.isfinite([low, high]).all()
    assert high > low
    assert lesion_mosaic(scan, {}).to_bytes()[:4] == b"\x89PNG"


def test_slices_through_a_lesion_have_an_empty_neighbour_and_keep_the_largest() -> None:
    view_ = slice_view(head_scan())
    mask = np.zeros(SHAPE, dtype=bool)
    mask[20, 20, 4:6] = True
    assert lesion_slices(view_, mask, most=12) == [3, 4, 5, 6]
    mask[20, 20, :] = True
    mask[18:22, 18:22, 7] = True
    picked = lesion_slices(view_, mask, most=4)
    assert len(picked) == 4
    assert 7 in picked


def test_spread_keeps_order_and_number() -> None:
    assert spread(range(5), 12) == [0, 1, 2, 3, 4]
    assert spread(range(12), 3) == [2, 6, 10]
    assert len(head_slices(slice_view(head_scan()), most=6)) == 6


# ---- mosaics ---------------------------------------------------------------------------------------------


def test_contour_is_drawn_in_its_colour_and_the_volume_is_written() -> None:
    scan = head_scan("LAS")
    # 3 x 3 x 2 voxels of 96 mm3 are 1.73 mL
    picture = lesion_mosaic(scan, {"infarct": spot(scan)}, title="sub-001")
    assert close_to(picture, "infarct") > 100
    assert close_to(picture, "cavity") == 0
    assert "infarct 1.73 mL" in words(picture)
    assert "patient's right on the left" in words(picture)


def test_contour_is_not_filled() -> None:
    scan = head_scan()
    mask = LesionMask(scan.data > 50, scan.grid)
    drawn = close_to(lesion_mosaic(scan, {"infarct": mask}), "infarct")
    height, width, _ = pixels(lesion_mosaic(scan, {"infarct": mask})).shape
    # the head fills most of the sheet; its outline does not
    assert 0 < drawn < 0.05 * height * width


def test_infarct_and_cavity_differ_in_colour() -> None:
    scan = head_scan()
    cavity = np.zeros(SHAPE, dtype=bool)
    cavity[29, 33, 8] = True
    contours = {"infarct": spot(scan), "cavity": LesionMask(cavity, scan.grid)}
    picture = lesion_mosaic(scan, contours)
    assert close_to(picture, "infarct") > 50
    assert close_to(picture, "cavity") > 10


def test_no_lesion_and_no_mask_are_two_things() -> None:
    scan = head_scan()
    assert "no lesion found: 0.0 mL" in words(lesion_mosaic(scan, {"infarct": nothing(scan)}))
    unmeasured = words(lesion_mosaic(scan, {}))
    assert "no mask: not measured" in unmeasured
    assert "0.0 mL" not in unmeasured


def test_mask_and_companion_of_another_grid_are_refused() -> None:
    scan = head_scan()
    other = head_scan("LPS")
    with pytest.raises(GridMismatchError, match="contour 'infarct' must share one voxel grid"):
        lesion_mosaic(scan, {"infarct": spot(other)})
    with pytest.raises(GridMismatchError, match="companion must share one voxel grid"):
        lesion_mosaic(scan, {}, companions={"ADC": other})


def test_companion_adds_a_row() -> None:
    scan = head_scan(modality="dwi")
    adc = head_scan(modality="adc")
    alone = lesion_mosaic(scan, {"infarct": spot(scan)})
    both = lesion_mosaic(scan, {"infarct": spot(scan)}, companions={"ADC": adc})
    assert both.get_figheight() > alone.get_figheight()
    assert "ADC" in words(both)


def test_markup_in_a_title_stays_text() -> None:
    title = r"$\frac{1}{0}$ <b>"
    picture = lesion_mosaic(head_scan(), {}, title=title)
    picture.to_bytes()
    assert title in words(picture)


def test_side_by_side_says_why_a_row_is_empty() -> None:
    scan = head_scan()
    contours = {"baseline": {"infarct": spot(scan)}, "month1": {"infarct": nothing(scan)}}
    picture = side_by_side(
        scan,
        {"month1": scan, "month3": None},
        contours=contours,
        notes={"month3": "missing"},
        title="sub-001",
    )
    assert "missing" in words(picture)
    assert "month 3" in words(picture)
    with pytest.raises(GridMismatchError, match="registered month 1 must share"):
        side_by_side(scan, {"month1": head_scan("LPS")})


def test_checkerboard_takes_turns_between_the_images() -> None:
    fixed = head_scan()
    black = fixed.with_data(np.zeros(SHAPE, np.float32))
    picture = checkerboard(fixed, black, title="sub-001")
    axial = picture.axes[0].images[0].get_array()
    assert axial is not None
    inside = np.asarray(axial)[axial.shape[0] // 4 : -axial.shape[0] // 4]
    assert 0.25 < (inside > 0.2).mean() < 0.75
    with pytest.raises(GridMismatchError, match="both images of a checkerboard"):
        checkerboard(fixed, head_scan("LPS"))


def test_checkerboard_is_isotropic_on_every_plane() -> None:
    scan = head_scan()
    picture = checkerboard(scan, scan)
    for image, (rows_mm, columns_mm) in zip(
        picture.axes[0].images, [(192, 160), (72, 160), (72, 192)], strict=True
    ):
        left, right, bottom, top = image.get_extent()
        # the crop to the head keeps a margin: within two voxels of the whole field
        assert (bottom - top) / (right - left) == pytest.approx(rows_mm / columns_mm, rel=0.25)


def test_same_scan_gives_the_same_bytes_under_any_user_style() -> None:
    scan = head_scan()
    first = lesion_mosaic(scan, {"infarct": spot(scan)}).to_bytes(kind="jpeg")
    with mpl.rc_context({"font.size": 22, "savefig.dpi": 300, "lines.linewidth": 9, "image.cmap": "jet"}):
        assert lesion_mosaic(scan, {"infarct": spot(scan)}).to_bytes(kind="jpeg") == first
    png = lesion_mosaic(scan, {}).to_bytes()
    assert b"Software" not in png
    assert b"tEXt" not in png


# ---- charts ----------------------------------------------------------------------------------------------


def volumes(statuses: Sequence[str] = ("measured", "measured", "missing", "failed")) -> pd.DataFrame:
    visits = ("baseline", "month1", "month3", "month6")
    rows = []
    for visit, day, status, volume in zip(
        visits, (1, 31, None, 180), statuses, (10.0, 8.0, 6.0, 5.0), strict=True
    ):
        for parameter in ("infarct", "infarct_flair"):
            valued = status == "measured"
            modality = "dwi" if visit == "baseline" and parameter == "infarct" else "flair"
            rows.append(
                {
                    "participant_id": "sub-001",
                    "visit": visit,
                    "study_day": day if status != "missing" else None,
                    "parameter": parameter,
                    "modality": modality if valued else None,
                    "volume_ml": volume if valued else None,
                    "volume_ml_low": 0.9 * volume if valued else None,
                    "volume_ml_high": 1.2 * volume if valued else None,
                    "status": status,
                }
            )
    return pd.DataFrame(rows)


def test_three_kinds_of_nothing_have_three_symbols() -> None:
    markers = [ABSENT_SYMBOLS[status][0] for status in ("missing", "failed", "not_measurable", "excluded")]
    assert len(set(markers)) == 4
    picture = participant_trajectory(volumes(("measured", "missing", "failed", "not_measurable")))
    assert {"missing", "failed", "not measurable"} <= set(words(picture).split(" | "))


def test_a_visit_without_a_value_is_no_point_and_breaks_the_line() -> None:
    picture = participant_trajectory(volumes(("measured", "failed", "measured", "measured")))
    axes = picture.axes[0]
    data = [line for line in axes.get_lines() if line.get_transform() == axes.transData]
    spans = [tuple(line.get_xdata()) for line in data if len(line.get_xdata()) == 2]
    joined = [span for span in spans if span[0] != span[1]]
    # month 3 has no date: it stands at its target day; nothing is joined across month 1
    assert set(joined) == {(91.0, 180.0)}
    assert not any(0.0 in line.get_ydata() for line in data if line.get_marker() in ("o", "s"))


def test_a_line_between_modalities_is_dotted() -> None:
    picture = participant_trajectory(volumes(), parameters=("infarct",))
    joined = [line for line in picture.axes[0].get_lines() if list(line.get_xdata()) == [1.0, 31.0]]
    assert [line.get_linestyle() for line in joined] == ["--"]
    alike = participant_trajectory(volumes(), parameters=("infarct_flair",))
    joined = [line for line in alike.axes[0].get_lines() if list(line.get_xdata()) == [1.0, 31.0]]
    assert [line.get_linestyle() for line in joined] == ["-"]


def change_and_summary(arms: Sequence[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    change = pd.DataFrame(
        {
            "participant_id": ["sub-001", "sub-002", "sub-003"],
            "visit": "month1",
            "parameter": "infarct",
            "change_ml": [-1.0, -3.0, np.nan],
            "percent_change": [-10.0, -30.0, np.nan],
        }
    )
    quartiles = {"change_q1": -3.0, "change_median": -2.0, "change_q3": -1.0}
    rows = [{"parameter": "infarct", "visit": "month1", "arm": arm, **quartiles} for arm in arms]
    return change, pd.DataFrame(rows)


def test_pooled_change_says_blinded_and_counts_values_only() -> None:
    picture = trial_change(*change_and_summary(["all"]))
    assert "BLINDED" in " ".join(text.get_text() for text in picture.texts)
    assert [label.get_text() for label in picture.axes[0].get_xticklabels()] == ["month 1\nn = 2"]
    medians = [line.get_ydata()[0] for line in picture.axes[0].get_lines() if line.get_linewidth() == 2.4]
    assert medians == [-2.0]


def test_change_by_arm_shows_each_arm_and_is_not_blinded() -> None:
    picture = trial_change(*change_and_summary(["A", "B", "all"]))
    assert "BLINDED" not in " ".join(text.get_text() for text in picture.texts)
    legend = picture.axes[0].get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["A", "B"]


def test_change_without_any_value_says_so() -> None:
    change, summary = change_and_summary(["all"])
    empty = trial_change(change.assign(change_ml=np.nan), summary)
    assert "no change from baseline" in empty.texts[0].get_text()


def test_measured_against_true_shows_only_measured() -> None:
    table = pd.DataFrame(
        {"visit": "baseline", "parameter": "infarct", "true_ml": [8.0, 1.0], "measured_ml": [27.0, np.nan]}
    )
    points = [line for line in measured_against_true(table).axes[0].get_lines() if line.get_marker() == "o"]
    assert len(points) == 1
    # cube-root axes
    assert points[0].get_xdata() == pytest.approx([2.0])
    assert points[0].get_ydata() == pytest.approx([3.0])


# ---- notebooks -------------------------------------------------------------------------------------------


def test_plot_overlay_shows_parts_and_saves(tmp_path: object) -> None:
    scan = head_scan()
    whole = spot(scan)
    mask = LesionMask(whole.data, scan.grid, parts={"cavity": nothing(scan)})
    picture = plot_overlay(scan, mask)
    assert "infarct 1.73 mL" in words(picture)
    assert "cavity 0.0 mL" in words(picture)
    assert picture._repr_png_()[:4] == b"\x89PNG"


def test_plot_trajectories_of_one_and_of_many() -> None:
    one = volumes()
    assert plot_trajectories(one).axes[0].get_ylabel() == "volume, mL"
    two = pd.concat([one, one.assign(participant_id="sub-002")])
    lines = plot_trajectories(two).axes[0].get_lines()
    assert [line.get_label() for line in lines] == ["sub-001", "sub-002"]
    assert np.isnan(np.asarray(lines[0].get_ydata(), dtype=float)[2])
    with pytest.raises(ValueError, match="lacks status, study_day"):
        plot_trajectories(one.drop(columns=["status", "study_day"]))
    with pytest.raises(ValueError, match="no row of parameter 'oedema'"):
        plot_trajectories(one, parameter="oedema")


@pytest.mark.parametrize("make", [spot, nothing])
def test_view_is_a_page_without_network(make: object) -> None:
    scan = head_scan()
    page = view(scan, make(scan)).html  # type: ignore[operator]
    assert "mL" in page
    assert 'src="http' not in page
    with pytest.raises(GridMismatchError, match="the scan and its mask"):
        view(scan, spot(head_scan("LPS")))

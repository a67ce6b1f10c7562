"""Pictures of the endpoint: what is drawn, what is a gap, what is counted, and who may know the arm."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from endpoint_frames import Trial, trial
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.colors import to_rgb
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from PIL import Image

from infarct_vol.errors import UsageError
from infarct_vol.qa.endpoint.change import change_by_visit
from infarct_vol.qa.endpoint.figures import reader_difference, spaghetti
from infarct_vol.qa.endpoint.marks import arm_styles, one_line, rank_spread, with_arm
from infarct_vol.qa.endpoint.outcomes import beside_ties, outcome_scatter
from infarct_vol.qa.endpoint.report import endpoint_pictures
from infarct_vol.qa.endpoint.waterfall import absence_note, waterfall
from infarct_vol.qa.figures import Picture
from infarct_vol.qa.wording import visit_label


@pytest.fixture(scope="module")
def made() -> Trial:
    return trial()


@pytest.fixture(scope="module")
def open_trial() -> Trial:
    return trial(blinded=False)


def words(picture: Picture) -> str:
    axes = [text.get_text() for each in picture.axes for text in (*each.texts, each.title)]
    titles = [each.get_title(loc="left") for each in picture.axes]
    return " | ".join([*(text.get_text() for text in picture.texts), *titles, *axes])


def segments(picture: Picture) -> np.ndarray[Any, Any]:
    drawn = [c for c in picture.axes[0].collections if isinstance(c, LineCollection)]
    return np.array([segment for each in drawn for segment in each.get_segments()])


def points(picture: Picture, panel: int = 0) -> np.ndarray[Any, Any]:
    drawn = [c for c in picture.axes[panel].collections if isinstance(c, PathCollection)]
    return np.concatenate([np.asarray(each.get_offsets()) for each in drawn])


# ---- marks -----------------------------------------------------------------------------------------------


def test_every_picture_is_marked(made: Trial, open_trial: Trial) -> None:
    closed = endpoint_pictures(made.volumes, made.change, outcomes=made.outcomes)
    assert list(closed) == [
        "spaghetti",
        "change_by_visit",
        "waterfall",
        "reader_difference",
        "outcome_scatter",
    ]
    for picture in closed.values():
        assert "BLINDED: all arms pooled" in words(picture)
        assert "UNBLINDED" not in words(picture)
        assert "placebo" not in picture.to_bytes(kind="svg").decode()
    opened = endpoint_pictures(
        open_trial.volumes, open_trial.change, outcomes=open_trial.outcomes, arms=open_trial.arms
    )
    for picture in opened.values():
        assert "UNBLINDED" in words(picture)


def test_arms_differ_in_lightness_line_marker_and_hatch() -> None:
    looks = arm_styles({"1": "A", "2": "B", "3": "C"})
    lightness = [float(np.dot(to_rgb(arm.colour), (0.299, 0.587, 0.114))) for arm in looks]
    # blue 0.34, orange 0.64, black 0
    assert lightness == pytest.approx([0.342, 0.636, 0.0], abs=0.01)
    for name in ("line", "marker", "hatch"):
        assert len({str(getattr(arm, name)) for arm in looks}) == 3


def test_a_participant_without_an_arm_is_refused(made: Trial) -> None:
    with pytest.raises(UsageError, match=r"no arm for sub-002, sub-003.* and others; add them"):
        spaghetti(made.volumes, arms={"sub-001": "A"})
    with pytest.raises(UsageError, match="no arm for sub-009; add"):
        with_arm(pd.DataFrame({"participant_id": ["sub-009"]}), {})


def test_points_are_spread_by_rank_and_not_by_chance() -> None:
    # ranks 1 to 4 in base 2 mirrored: 1/2, 1/4, 3/4, 1/8
    assert rank_spread([10.0, 20.0, 30.0, 40.0]) == pytest.approx([0.0, -0.25, 0.25, -0.375])
    assert rank_spread([40.0, 10.0]) == pytest.approx([-0.25, 0.0])
    assert rank_spread([]).shape == (0,)
    assert np.abs(rank_spread(np.zeros(1000))).max() < 0.5


def test_text_of_others_is_one_harmless_line() -> None:
    assert one_line("a\n\tb\x07c") == "a b c"
    assert one_line("x" * 30, most=10) == "x" * 9 + "…"
    assert [visit_label(name) for name in ("month9", "month1", "monthly")] == [
        "month 9",
        "month 1",
        "monthly",
    ]


# ---- volumes by day --------------------------------------------------------------------------------------


def test_a_visit_without_a_value_is_a_gap_and_no_zero(made: Trial) -> None:
    picture = spaghetti(made.volumes)
    # 27 participants x 4 visits, three of them without month 6
    assert len(points(picture)) == 27 * 4 - 3
    assert len(segments(picture)) == 27 * 3 - 3
    broken = made.volumes.copy()
    broken.loc[(broken["participant_id"] == "sub-001") & (broken["visit"] == "month3"), "volume_ml"] = np.nan
    # month 1 and month 6 are not joined across it
    assert len(segments(spaghetti(broken))) == 27 * 3 - 3 - 2


def test_volumes_stand_on_a_cube_root_scale_at_their_own_day(made: Trial) -> None:
    own = made.volumes[made.volumes["participant_id"] == "sub-008"]
    drawn = points(spaghetti(own))
    # participant 8: 8 mL at day 1, 6.4 at day 33, 4.8 at day 93; month 6 failed
    assert sorted(drawn[:, 0]) == [1.0, 33.0, 93.0]
    assert sorted(drawn[:, 1]) == pytest.approx([4.8 ** (1 / 3), 6.4 ** (1 / 3), 2.0])


def test_a_volume_without_a_date_stands_at_the_day_aimed_at_and_is_said(made: Trial) -> None:
    own = made.volumes[made.volumes["participant_id"] == "sub-001"].assign(study_day=pd.NA)
    picture = spaghetti(own)
    assert sorted(points(picture)[:, 0]) == [1.0, 31.0, 91.0, 181.0]
    legend = picture.axes[0].get_legend()
    assert legend is not None
    assert "4 without a date" in legend.get_title().get_text()


def test_median_of_each_visit_and_counts_are_shown(made: Trial) -> None:
    picture = spaghetti(made.volumes)
    medians = [line for line in picture.axes[0].get_lines() if line.get_marker() == "D"]
    # baselines 1 to 27 mL with 0 in place of 4: the middle one is 14 mL
    assert np.asarray(medians[0].get_ydata())[0] == pytest.approx(14 ** (1 / 3))
    assert "27 of 27" in words(picture)
    assert "24 of 27" in words(picture)


def test_nothing_measured_says_so(made: Trial) -> None:
    nothing = made.volumes.assign(volume_ml=np.nan, status="missing")
    assert "no volume of infarct (stage-aware) was measured" in words(spaghetti(nothing))
    assert "no volume" in words(spaghetti(made.volumes.iloc[:0]))


# ---- change by visit -------------------------------------------------------------------------------------


def test_change_shows_quartiles_mean_and_counts() -> None:
    change = trial(6).change
    rows = change[(change["parameter"] == "infarct") & (change["visit"] != "month6")].copy()
    rows.loc[rows["visit"] == "month1", "change_ml"] = [-1.0, -2.0, -3.0, -4.0, -5.0, np.nan]
    rows["percent_change"] = np.nan
    picture = change_by_visit(rows)
    panel = picture.axes[0]
    boxes = [patch for patch in panel.patches if isinstance(patch, Rectangle)]
    # quartiles of 1 to 5, SAS definition 5: 2 and 4
    assert (boxes[0].get_y(), boxes[0].get_height()) == pytest.approx((-4.0, 2.0))
    means = [line for line in panel.get_lines() if line.get_marker() == "D"]
    assert list(means[0].get_ydata()) == [-3.0]
    bars = [np.asarray(line.get_ydata()) for line in panel.get_lines() if _upright(line)]
    # SD 1.5811, t(0.975, 4) = 2.7764: 2.7764 x 1.5811 / sqrt 5 = 1.9632
    assert bars[0] == pytest.approx([-4.9632, -1.0368], abs=1e-4)
    labels = [label.get_text() for label in panel.get_xticklabels()]
    assert labels[0] == "month 1\nn = 5 of 6, 1 without"
    assert labels[2] == "month 6\nn = 0 of 6, 6 without"


def _upright(line: Line2D) -> bool:
    x = np.asarray(line.get_xdata(), dtype=float)
    return len(x) == 2 and x[0] == x[1] and bool(np.diff(np.asarray(line.get_ydata()))[0] > 0)


def test_counts_are_given_per_arm(open_trial: Trial) -> None:
    picture = change_by_visit(open_trial.change, arms=open_trial.arms)
    labels = [label.get_text() for label in picture.axes[0].get_xticklabels()]
    # month 6 is missing for participants 6 and 7 and failed for 8: two of B, one of A
    assert labels[2] == "month 6\nA placebo: 13 of 14\nB active: 11 of 13"


def test_percent_beyond_200_is_drawn_cut_and_written(made: Trial) -> None:
    picture = change_by_visit(made.change)
    assert points(picture, panel=1)[:, 1].max() == pytest.approx(208.0)
    # participant 9: 9 mL to 31.5 mL
    assert "+250 (1)" in words(picture)
    assert picture.axes[1].get_ylim()[1] == pytest.approx(244.0)


def test_no_change_says_so(made: Trial) -> None:
    assert "no change from baseline" in words(change_by_visit(made.change.assign(change_ml=np.nan)))
    assert "no change from baseline" in words(change_by_visit(made.change.iloc[:0]))


# ---- waterfall -------------------------------------------------------------------------------------------


def test_waterfall_is_sorted_cut_and_counts_who_is_absent(made: Trial) -> None:
    picture = waterfall(made.change)
    heights = [patch.get_height() for patch in picture.axes[0].patches]
    assert heights == [200.0, *[-50.0] * 22]
    assert "+250 %" in words(picture)
    assert "n = 4 without a value: 2 missing, 1 baseline 0 mL, 1 failed" in words(picture)
    assert [t.get_text() for t in picture.axes[0].get_xticklabels()][:2] == ["sub-009", "sub-001"]


def test_waterfall_tells_arms_apart_by_hatch(open_trial: Trial) -> None:
    bars = waterfall(open_trial.change, arms=open_trial.arms).axes[0].patches
    assert {patch.get_hatch() or "" for patch in bars} == {"", "////"}
    assert sum(patch.get_hatch() == "////" for patch in bars) == 10


def test_many_bars_stand_arm_beside_arm_and_count_what_is_cut() -> None:
    made = trial(160, blinded=False)
    axes = waterfall(made.change, arms=made.arms).axes[0]
    labels = [label.get_text() for label in axes.get_xticklabels()]
    # absent: baseline 0 mL (4, B), missing (6, B and 7, A), failed (8, B); +250 % is 9, A
    assert labels == ["A placebo, n = 79 (1 drawn cut at +200 %, largest +250 %)", "B active, n = 77"]
    own = made.change[made.change["participant_id"].map(made.arms) == "A placebo"]
    one = waterfall(pd.concat([own, made.change]).drop_duplicates(["participant_id", "visit", "parameter"]))
    assert [label.get_text() for label in one.axes[0].get_xticklabels()] == [
        "all arms pooled, n = 156 (1 drawn cut at +200 %, largest +250 %)"
    ]


def test_waterfall_without_any_value_says_why(made: Trial) -> None:
    gone = made.change.assign(percent_change=np.nan, status="missing")
    text = words(waterfall(gone))
    assert "no percent change of infarct (stage-aware) at month 6; n = 27 without a value: 27 missing" in text
    assert "no percent change" in words(waterfall(made.change.iloc[:0]))


def test_absence_names_the_baseline_where_it_is_the_reason() -> None:
    rows = pd.DataFrame(
        {
            "percent_change": [np.nan, np.nan, 5.0],
            "status": ["measured", "not_measurable", "measured"],
            "baseline_status": ["failed", "measured", "measured"],
            "baseline_volume_ml": [np.nan, 4.0, 4.0],
        }
    )
    assert absence_note(rows) == "n = 2 without a value: 1 baseline failed, 1 not measurable"
    assert absence_note(rows.iloc[2:]) == ""


# ---- automatic against the mask that counts --------------------------------------------------------------


def test_reader_difference_is_automatic_minus_counted(made: Trial) -> None:
    picture = reader_difference(made.volumes)
    assert picture is not None
    line = next(line for line in picture.axes[0].get_lines() if line.get_marker() == "o")
    # month 3 of the first six: 0, 0.1 ... 0.5 mL more
    assert sorted(line.get_ydata()) == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4, 0.5])
    assert "6 pairs" in words(picture)
    # mean 0.25, SD 0.18708: limits 0.25 -/+ 0.36668
    assert "bias: +0.25" in words(picture)
    assert "upper limit: +0.617" in words(picture)


def test_fewer_than_three_pairs_give_no_picture(made: Trial) -> None:
    assert reader_difference(made.volumes[made.volumes["participant_id"] <= "sub-002"]) is None
    assert reader_difference(made.volumes[made.volumes["participant_id"] <= "sub-003"]) is not None


# ---- scores ----------------------------------------------------------------------------------------------


def test_scores_show_rho_and_pairs_only(made: Trial) -> None:
    picture = outcome_scatter(made.volumes, made.change, outcomes=made.outcomes)
    assert picture is not None
    assert len(picture.axes) == 4
    assert "Spearman's ρ −0.42 (95 % interval −0.70 to +0.03), n = 24" in words(picture)
    # 27 participants, three without a volume at month 6
    assert [len(points(picture, panel)) for panel in range(4)] == [24] * 4
    assert "equal scores drawn side by side" in picture.axes[0].get_ylabel()


def test_scores_by_arm_say_why_there_is_no_rho(open_trial: Trial) -> None:
    picture = outcome_scatter(
        open_trial.volumes, open_trial.change, outcomes=open_trial.outcomes, arms=open_trial.arms
    )
    assert picture is not None
    assert "all arms: Spearman" in words(picture)
    assert "A placebo: no correlation: 3 participants: too few" in words(picture)


def test_no_scores_give_no_picture_and_no_correlations_are_said(made: Trial) -> None:
    assert outcome_scatter(made.volumes, made.change, outcomes=None) is None
    none = type(made.outcomes)(made.outcomes.values.iloc[:0], made.outcomes.correlations)
    assert outcome_scatter(made.volumes, made.change, outcomes=none) is None
    assert outcome_scatter(made.volumes, made.change, outcomes=made.outcomes, visit="month9") is None
    bare = type(made.outcomes)(made.outcomes.values, made.outcomes.correlations.iloc[:0])
    picture = outcome_scatter(made.volumes, made.change, outcomes=bare)
    assert picture is not None
    assert "no correlation was computed" in words(picture)


def test_only_scores_with_many_ties_move_and_by_less_than_half_a_point() -> None:
    few = np.array([1.0, 2.0, 3.0, 3.0])
    shown, moved = beside_ties(few)
    assert not moved
    assert shown is few
    shown, moved = beside_ties(np.array([2.0, 2.0, 2.0, 5.0]))
    assert moved
    assert shown == pytest.approx([2.0, 1.85, 2.15, 5.0])
    assert beside_ties(np.array([1.5, 1.5, 1.5]))[1] is False
    assert beside_ties(np.array([]))[1] is False


# ---- bytes -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["png", "svg"])
def test_pictures_repeat_byte_for_byte_whatever_the_order_of_rows(made: Trial, kind: Any) -> None:
    first = endpoint_pictures(made.volumes, made.change, outcomes=made.outcomes)
    turned = made.volumes.iloc[::-1], made.change.iloc[::-1]
    again = endpoint_pictures(*turned, outcomes=made.outcomes)
    for name in first:
        assert again[name].to_bytes(kind=kind) == first[name].to_bytes(kind=kind)


def test_a_hostile_name_is_text_and_no_formula() -> None:
    name = "sub-$x^2$<script>"
    made = trial(3, first_id=name)
    drawn = waterfall(made.change).to_bytes(kind="svg").decode()
    assert "<script>" not in drawn


def test_large_trials_are_rastered_and_stay_small() -> None:
    made = trial(600, blinded=False)
    made = replace(made, volumes=made.volumes.assign(automatic_volume_ml=1.0))
    for name, picture in endpoint_pictures(
        made.volumes, made.change, outcomes=made.outcomes, arms=made.arms
    ).items():
        svg = picture.to_bytes(kind="svg")
        assert b"<image" in svg, name
        assert len(svg) < 1_000_000, name
    assert Image.open(io.BytesIO(picture.to_bytes())).size[0] > 500

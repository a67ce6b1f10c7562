"""Agreement of sets: which is compared with which, statistics by group, files, and the command."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

import infarct_vol as iv
from infarct_vol.errors import GridMismatchError, UsageError
from infarct_vol.geometry import Grid
from infarct_vol.images import LesionMask
from infarct_vol.nifti import save_mask
from infarct_vol.qa import difference_chart, equality_chart
from infarct_vol.statistics.agreement import bland_altman, icc21, linearity, repeatability
from infarct_vol.validation.outputs import write_agreement
from infarct_vol.validation.overlap import DEFAULT_TOLERANCE_MM
from infarct_vol_cli.main import app

GRID = Grid((24, 24, 12), np.diag([1.0, 1.0, 5.0, 1.0]))
OTHER_GRID = Grid((24, 24, 12), np.diag([1.0, 1.0, 6.0, 1.0]))
COLUMNS = ("participant_id", "visit", "parameter", "volume_ml", "status", "mask_path", "region")


def block(i: int = 4, *, length: int = 10, grid: Grid = GRID) -> LesionMask:
    """A block of length x 10 x 2 voxels: at 1x1x5 mm and length 10, 1.0 mL."""
    data = np.zeros(grid.shape, dtype=bool)
    data[i : i + length, 4:14, 4:6] = True
    return LesionMask(data, grid)


def save(mask: LesionMask, *places: Path | str) -> Path:
    path = Path(*places)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_mask(mask, path)
    return path


def table(path: Path, *rows: Mapping[str, object]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = [name for name in COLUMNS if any(name in row for row in rows)]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)
    return path


def volume(number: int, volume_ml: object, **more: object) -> dict[str, object]:
    key = {"participant_id": f"sub-{number:03}", "visit": "month3", "parameter": "infarct"}
    return {**key, "volume_ml": volume_ml, **more}


def statistic(found: iv.Agreement, name: str, group: str = "all", parameter: str = "infarct") -> object:
    (row,) = [r for r in found.summary if (r.statistic, r.group, r.parameter) == (name, group, parameter)]
    return row


def agree(*arguments: object, code: int = 0) -> Result:
    names = ["agree", *(str(a) for a in arguments)]
    result = CliRunner().invoke(app, names, env={"COLUMNS": "200", "TERM": "dumb"})
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    return result


# ---- two masks -------------------------------------------------------------------------------------------


def test_two_masks_in_memory_or_in_files_agree_alike(tmp_path):
    one, two = block(4), block(6, length=12)
    (in_memory,) = iv.agree(one, two).rows
    (in_files,) = iv.agree(save(one, tmp_path, "a.nii.gz"), save(two, tmp_path, "b.nii.gz")).rows
    # 200 and 240 voxels of 5 mm3, 160 shared
    assert (in_memory.reference_ml, in_memory.compared_ml) == (1.0, 1.2)
    assert in_memory.difference_ml == pytest.approx(0.2)
    assert in_memory.dice == pytest.approx(320 / 440)
    assert in_files.case == "a"
    ours = {"case", "reference", "compared"}
    assert in_files.model_dump(exclude=ours) == in_memory.model_dump(exclude=ours)


def test_the_order_of_the_pair_is_the_sign_of_the_difference():
    (found,) = iv.agree(block(6, length=12), block(4)).rows
    assert found.difference_ml == pytest.approx(-0.2)
    assert found.absolute_difference_ml == pytest.approx(0.2)


def test_two_masks_on_different_grids_are_refused_by_name(tmp_path):
    a, b = save(block(), tmp_path, "reader1.nii.gz"), save(block(grid=OTHER_GRID), tmp_path, "reader2.nii.gz")
    with pytest.raises(GridMismatchError, match="reader1: two masks that are compared must share one voxel"):
        iv.agree(a, b)
    assert "must share one voxel grid" in agree(a, b, code=1).stderr


# ---- two folders -----------------------------------------------------------------------------------------


def test_folders_are_paired_by_path_then_name_then_session(tmp_path):
    a, b = tmp_path / "a", tmp_path / "b"
    for path in ("sub-1/ses-1/dwi/sub-1_ses-1_desc-infarct_mask.nii.gz", "two_mask.nii.gz"):
        save(block(), a, path)
    save(block(), a, "sub-3/sub-3_ses-M03_msk.nii.gz")
    save(block(5), b, "sub-1/ses-1/dwi/sub-1_ses-1_desc-infarct_mask.nii.gz")
    save(block(6), b, "deeper/two_mask.nii.gz")
    save(block(7), b, "sub-3_ses-M03_desc-infarct_mask.nii.gz")
    found = iv.agree(a, b)
    assert (found.unpaired, found.refused) == ((), ())
    # 10 voxels long, moved by 1, 2 and 3
    assert {row.case: round(row.dice, 6) for row in found.rows} == {
        "sub-1/ses-1/dwi/sub-1_ses-1_desc-infarct_mask": 0.9,
        "two_mask": 0.8,
        "sub-3/sub-3_ses-M03_msk": 0.7,
    }
    assert [row.parameter for row in found.rows] == ["infarct_dwi", "infarct", "infarct"]
    identified = [(r.participant_id, r.session_id) for r in found.rows]
    assert identified == [("sub-1", "ses-1"), ("sub-3", "ses-M03"), ("", "")]


def test_what_has_no_twin_is_named_and_ends_with_1(tmp_path):
    a, b = tmp_path / "a", tmp_path / "b"
    save(block(), a, "sub-1_mask.nii.gz")
    save(block(), b, "sub-1_mask.nii.gz")
    save(block(), a, "sub-2_mask.nii.gz")
    save(block(), b, "sub-3_run-1_mask.nii.gz")
    save(block(), b, "sub-3_run-2_mask.nii.gz")
    save(block(), a, "sub-3_mask.nii.gz")
    found = iv.agree(a, b)
    assert len(found.rows) == 1
    assert f"{a / 'sub-2_mask.nii.gz'}: no mask of that name or session in {b}" in found.unpaired
    assert any(
        "several masks of one session" in text and "sub-3_run-2_mask" in text for text in found.unpaired
    )
    result = agree(a, b, "--csv", code=1)
    assert "sub-2_mask.nii.gz" in result.stderr
    assert len(list(csv.DictReader(io.StringIO(result.stdout)))) == 1


def test_a_cavity_never_pairs_with_an_infarct_and_a_brain_is_no_lesion(tmp_path):
    a, b = tmp_path / "a", tmp_path / "b"
    for folder in (a, b):
        save(block(), folder, "sub-1_desc-brain_mask.nii.gz")
    save(block(), a, "sub-1_desc-infarct_mask.nii.gz")
    save(block(), b, "sub-1_desc-reader_mask.nii.gz")
    save(block(), a, "sub-1_desc-cavity_mask.nii.gz")
    save(block(), b, "sub-1_desc-newlesion_mask.nii.gz")
    found = iv.agree(a, b)
    assert [(row.case, row.parameter) for row in found.rows] == [("sub-1_desc-infarct_mask", "infarct")]
    assert len(found.unpaired) == 2


def test_images_beside_masks_are_left_alone_and_a_folder_without_masks_uses_all(tmp_path):
    a, b = tmp_path / "a", tmp_path / "b"
    for folder in (a, b):
        save(block(), folder, "sub-1_mask.nii.gz")
        (folder / "sub-1_FLAIR.nii.gz").write_bytes(b"not read")
    assert len(iv.agree(a, b).rows) == 1
    save(block(), tmp_path, "c", "case1.nii")
    save(block(), tmp_path, "d", "case1.nii.gz")
    assert [row.case for row in iv.agree(tmp_path / "c", tmp_path / "d").rows] == ["case1"]


def test_one_refused_case_leaves_the_others(tmp_path):
    a, b = tmp_path / "a", tmp_path / "b"
    save(block(), a, "one.nii.gz")
    save(block(), b, "one.nii.gz")
    save(block(), a, "two.nii.gz")
    (b / "two.nii.gz").write_bytes((b / "one.nii.gz").read_bytes()[:-20])
    save(block(), a, "three.nii.gz")
    save(block(grid=OTHER_GRID), b, "three.nii.gz")
    found = iv.agree(a, b)
    assert [row.case for row in found.rows] == ["one"]
    assert len(found.refused) == 2
    assert any(text.startswith("three: two masks") for text in found.refused)
    assert "two.nii.gz" in agree(a, b, code=1).stderr


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        ("a", "empty", "has a twin"),
        ("a", "absent", "no mask, folder or table"),
        ("a", "a/one.nii.gz", "not of one kind"),
        ("a/one.nii.gz", "t.csv", "not of one kind"),
    ],
)
def test_what_cannot_be_compared_is_wrong_usage(tmp_path, first, second, words):
    save(block(), tmp_path, "a", "one.nii.gz")
    (tmp_path / "empty").mkdir()
    table(tmp_path / "t.csv", volume(1, 2.0))
    with pytest.raises(UsageError, match=words):
        iv.agree(tmp_path / first, tmp_path / second)
    assert words in agree(tmp_path / first, tmp_path / second, code=2).stderr


# ---- two tables ------------------------------------------------------------------------------------------


def test_a_table_with_decimal_commas_and_missing_values_is_read_as_meant(tmp_path):
    a = table(tmp_path / "a.csv", volume(1, 2.5), volume(2, 3.5))
    b = tmp_path / "b.csv"
    lines = (
        "participant_id;visit;parameter;volume_ml",
        "sub-001;month3;infarct;2,5",
        "sub-002;month3;infarct;NA",
    )
    b.write_text("\n".join(lines) + "\n", encoding="utf-8")
    (row,) = iv.agree(a, b).rows
    assert (row.case, row.difference_ml) == ("sub-001 month3 infarct", 0.0)


@pytest.mark.parametrize(
    ("line", "match"),
    [
        ("sub-002,month3,infarct,1_000", "b.csv line 3: volume_ml '1_000' is no number"),
        ("sub-002,month3,infarct,inf", "b.csv line 3: volume_ml 'inf' is no number"),
        ('"sub-002,month3,infarct,3', "b.csv line 3: a quote opens in the field 'participant_id'"),
        ("sub-002,month3,infarct", "b.csv line 3: the line has fewer fields"),
        (",month3,infarct,3", "b.csv line 3: participant_id must be filled"),
    ],
)
def test_a_table_that_may_hide_rows_is_refused_with_its_line(tmp_path, line, match):
    a, b = table(tmp_path / "a.csv", volume(1, 2.0)), table(tmp_path / "b.csv", volume(1, 2.0))
    with b.open("a", encoding="utf-8") as file:
        file.write(line + "\n")
    with pytest.raises(UsageError, match=match):
        iv.agree(a, b)


def test_tables_are_paired_by_participant_visit_and_parameter(tmp_path):
    first = [1.5, 4.0, 30.0, 90.0, 0.0, 12.0]
    second = [1.8, 4.2, 27.0, 99.0, 0.1, 12.5]
    a = table(tmp_path / "a.csv", *(volume(n, v) for n, v in enumerate(first)))
    b = table(tmp_path / "b.csv", *(volume(n, v) for n, v in reversed(list(enumerate(second)))))
    found = iv.agree(a, b)
    assert [row.compared_ml for row in found.rows] == second
    assert {row.masks for row in found.rows} == {"not_compared"}
    assert {row.reason for row in found.rows} == {"no mask on both sides: volumes only"}
    limits, repeated = bland_altman(first, second), repeatability(first, second)
    bias, upper = statistic(found, "bias_ml"), statistic(found, "upper_limit_of_agreement_ml")
    assert (bias.n, bias.value, bias.low, bias.high) == (6, limits.bias, limits.bias_low, limits.bias_high)
    assert (upper.value, upper.low, upper.high) == (limits.upper, limits.upper_low, limits.upper_high)
    percent = statistic(found, "repeatability_coefficient_percent")
    assert (percent.n, percent.value) == (5, repeated.rc_percent)
    assert statistic(found, "repeatability_coefficient_ml").high == repeated.rc_high
    assert statistic(found, "slope").value == linearity(first, second).slope
    assert statistic(found, "icc_2_1").low == icc21(list(zip(first, second, strict=True))).low
    # |differences| 0.1 0.2 0.3 0.5 3 9
    assert statistic(found, "median_absolute_difference_ml").value == pytest.approx(0.4)
    assert statistic(found, "median_dice").value is None


def test_size_classes_are_those_of_the_reference_and_regions_stand_apart(tmp_path):
    rows = [(0.5, "supratentorial"), (0.9, "Infratentorial"), (4.0, "infratentorial"), (80.0, "")]
    a = table(tmp_path / "a.csv", *(volume(n, v, region=r) for n, (v, r) in enumerate(rows)))
    b = table(tmp_path / "b.csv", *(volume(n, v + 1) for n, (v, _) in enumerate(rows)))
    found = iv.agree(a, b)
    counts = {(r.grouping, r.group): r.n for r in found.summary if r.statistic == "bias_ml"}
    assert counts == {
        ("all", "all"): 4,
        ("size_class", "<1 mL"): 2,
        ("size_class", "1-5 mL"): 1,
        ("size_class", ">=70 mL"): 1,
        ("region", "supratentorial"): 1,
        ("region", "infratentorial"): 2,
        ("region", "unknown"): 1,
    }
    assert sum(n for (kind, _), n in counts.items() if kind == "size_class") == 4
    table(tmp_path / "c.csv", volume(1, 2.0, region="cerebellum"))
    with pytest.raises(UsageError, match="a region is one of supratentorial, .* got 'cerebellum'"):
        iv.agree(tmp_path / "c.csv", b)


def test_the_region_is_where_most_of_the_reference_mask_lies(tmp_path):
    paths = ["one.nii.gz", "two.nii.gz", "none.nii.gz"]
    rows = [volume(n, 2.0, mask_path=path) for n, path in enumerate(paths)]
    a, b = (table(tmp_path / run / "volumes.csv", *rows) for run in ("a", "b"))
    lines = ["mask_path,region,volume_ml", "one.nii.gz,infratentorial,1.2", "one.nii.gz,supratentorial,0.8"]
    lines += [
        f"two.nii.gz,{region},{ml}" for region, ml in (("infratentorial", 0.9), ("supratentorial", 1.1))
    ]
    a.with_name("components.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    found = {case.participant_id: case.region for case in iv.agree(a, b).rows}
    assert found == {"sub-000": "infratentorial", "sub-001": "supratentorial", "sub-002": "unknown"}


def test_parameters_are_never_pooled(tmp_path):
    rows = [volume(1, 5.0), {**volume(1, 1.0), "parameter": "cavity"}]
    a, b = table(tmp_path / "a.csv", *rows), table(tmp_path / "b.csv", *rows)
    found = iv.agree(a, b)
    assert {(r.parameter, r.n) for r in found.summary if r.statistic == "bias_ml"} == {
        ("infarct", 1),
        ("cavity", 1),
    }


def test_a_row_without_a_value_is_no_zero(tmp_path):
    states = [("measured", 2.0), ("edited", 3.0), ("failed", ""), ("missing", ""), ("excluded", 7.0)]
    a = table(tmp_path / "a.csv", *(volume(n, v, status=s) for n, (s, v) in enumerate(states)))
    b = table(tmp_path / "b.csv", *(volume(n, 2.5, status="measured") for n in (0, 1, 2)))
    found = iv.agree(a, b)
    assert [row.participant_id for row in found.rows] == ["sub-000", "sub-001"]
    assert found.unpaired == (f"sub-002 month3 infarct: a volume in {b}, none in {a}",)
    assert "sub-002 month3 infarct" in agree(a, b, code=1).stderr


def test_a_volume_stated_twice_is_refused(tmp_path):
    a = table(tmp_path / "a.csv", volume(1, 2.0), volume(1, 3.0))
    with pytest.raises(UsageError, match="states sub-001 month3 infarct twice"):
        iv.agree(a, a)


@pytest.fixture
def two_runs(tmp_path: Path) -> tuple[Path, Path]:
    """Output folders of two runs with a mask each for three participants; the third on two grids."""
    for run, shift in (("run1", 0), ("run2", 1)):
        rows = []
        for number in (1, 2, 3):
            mask = block(4 + shift, grid=OTHER_GRID if (run, number) == ("run2", 3) else GRID)
            path = save(mask, tmp_path, run, f"sub-{number:03}_mask.nii.gz")
            rows.append(volume(number, f"{mask.volume_ml:.12g}", status="measured", mask_path=path.name))
        table(tmp_path / run / "tables" / "volumes.csv", *rows)
    return tmp_path / "run1", tmp_path / "run2"


def test_tables_bring_their_masks(two_runs):
    found = iv.agree(*two_runs)
    assert [row.dice for row in found.rows] == [0.9, 0.9, None]
    # measured twice on two grids: the volumes are compared, the masks are not resampled
    assert found.rows[2].compared_ml == pytest.approx(1.2)
    assert found.rows[2].reason.startswith("volumes only: two masks that are compared must share")
    assert (found.refused, found.unpaired) == ((), ())
    by_file = iv.agree(two_runs[0] / "tables" / "volumes.csv", two_runs[1] / "tables" / "volumes.csv")
    assert by_file.rows == found.rows


def test_a_table_that_is_older_than_its_mask_is_refused(two_runs):
    save(block(4, length=12), two_runs[0], "sub-001_mask.nii.gz")
    (sentence,) = iv.agree(*two_runs).refused
    assert sentence.startswith("sub-001 month3 infarct: ")
    assert "states 1 mL, its mask" in sentence
    assert "has 1.2 mL" in sentence


# ---- output ----------------------------------------------------------------------------------------------


def test_the_same_pairs_give_the_same_bytes(two_runs, tmp_path):
    written = [write_agreement(iv.agree(*two_runs), tmp_path / name) for name in ("x", "y")]
    assert [path.name for path in written[0]] == [
        "cases.csv",
        "summary.csv",
        "agreement.json",
        "infarct_bland_altman.png",
        "infarct_bland_altman.svg",
        "infarct_equality.png",
        "infarct_equality.svg",
    ]
    for one, two in zip(*written, strict=True):
        assert one.read_bytes() == two.read_bytes(), one.name


def test_two_cases_make_no_chart(tmp_path):
    a = table(tmp_path / "a.csv", volume(1, 2.0), volume(2, 3.0))
    written = write_agreement(iv.agree(a, a), tmp_path / "out")
    assert [path.name for path in written] == ["cases.csv", "summary.csv", "agreement.json"]


def test_a_parameter_with_a_strange_name_stays_in_its_folder(tmp_path):
    rows = [{**volume(n, 2.0 + n), "parameter": "../up"} for n in range(3)]
    a = table(tmp_path / "a.csv", *rows)
    written = write_agreement(iv.agree(a, a), tmp_path / "out")
    assert {path.parent for path in written} == {tmp_path / "out"}
    assert (tmp_path / "out" / "___up_equality.svg").is_file()


def test_the_command_writes_what_it_is_asked_for(two_runs, tmp_path):
    out = tmp_path / "out"
    stdout = json.loads(agree(*two_runs, "--json", "--out", out).stdout)
    stored = json.loads((out / "agreement.json").read_text())
    assert stored.pop("version") == iv.__version__
    assert stored == stdout
    assert len(stdout["cases"]) == 3
    text = (out / "cases.csv").read_text(encoding="utf-8")
    assert agree(*two_runs, "--csv").stdout.splitlines() == text.splitlines()
    shown = agree(*two_runs).stdout
    assert "Cases" in shown
    assert "Agreement: infarct" in shown
    assert "give --csv or --json" in agree(*two_runs, "--csv", "--json", code=2).stderr


def test_the_tolerance_changes_the_surface_dice_alone(two_runs):
    def cases(*options: object) -> list[dict[str, object]]:
        return json.loads(agree(*two_runs, "--json", *options).stdout)["cases"]

    default, strict = cases(), cases("--tolerance-mm", 0.5)
    assert default[0]["tolerance_mm"] == DEFAULT_TOLERANCE_MM
    assert strict[0]["surface_dice"] < default[0]["surface_dice"]
    changed = {key for key in default[0] if default[0][key] != strict[0][key]}
    assert changed == {"surface_dice", "tolerance_mm"}


def test_charts_have_a_symbol_for_each_group_and_do_not_need_colour():
    volumes = [0.0, 2.0, 30.0, 80.0]
    groups = ["supratentorial", "infratentorial", "supratentorial", "supratentorial"]
    for chart in (difference_chart, equality_chart):
        grouped = chart(volumes, [v * 1.1 for v in volumes], groups=groups)
        lines = [line for line in grouped.axes[0].get_lines() if line.get_marker() not in ("", "None")]
        assert {(line.get_marker(), len(line.get_xdata())) for line in lines} == {("o", 1), ("^", 3)}
        assert [t.get_text() for t in grouped.axes[0].get_legend().get_texts()] == sorted(set(groups))
        assert chart(volumes, volumes).axes[0].get_legend() is None
    # the volumes of the chart are on the cube-root scale it names
    (points,) = [ln for ln in equality_chart([8.0], [27.0]).axes[0].get_lines() if ln.get_marker() == "o"]
    assert (points.get_xdata()[0], points.get_ydata()[0]) == pytest.approx((2.0, 3.0))


def test_a_chart_is_a_picture_of_its_size_and_svg_names_no_time(tmp_path):
    picture = difference_chart([1.0, 2.0], [1.5, 2.5], title="$ is no markup")
    with Image.open(picture.save(tmp_path / "chart.png")) as image:
        assert image.size == (640, 420)
    svg = picture.save(tmp_path / "chart.svg").read_text()
    assert svg.startswith("<?xml")
    assert "<dc:date>" not in svg
    assert "Matplotlib" not in svg

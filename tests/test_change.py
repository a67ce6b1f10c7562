from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from strategies import absent_row, mask_pairs, participant, scan_record, visit_record, volume_row

from infarct_vol.change import ChangeRow, change_labels, change_rows, participant_changes, spatial_accounting
from infarct_vol.errors import GridMismatchError, UsageError
from infarct_vol.geometry import Grid
from infarct_vol.images import LesionMask
from infarct_vol.protocol import ChangeSettings, CheckSettings, Protocol
from infarct_vol.records import VisitRecord, VolumeRow

CONTRACT_COLUMNS = [
    "participant_id",
    "visit",
    "parameter",
    "baseline_modality",
    "modality",
    "baseline_volume_ml",
    "volume_ml",
    "change_ml",
    "percent_change",
    "like_for_like",
    "exceeds_repeatability",
    "status",
    "reason",
]


def flair(visit: str, volume_ml: float, **changes: object) -> VolumeRow:
    fields = {"visit": visit, "modality": "flair", "method": "followup 1", "volume_ml": volume_ml}
    return volume_row(**{**fields, **changes})


def changes_of(
    rows: Sequence[VolumeRow],
    visits: Sequence[VisitRecord] = (),
    settings: ChangeSettings | None = None,
    checks: CheckSettings | None = None,
) -> dict[tuple[str, str], ChangeRow]:
    found = change_rows(
        rows, visits=visits, settings=settings or ChangeSettings(), checks=checks or CheckSettings()
    )
    return {(row.visit, row.parameter): row for row in found}


def flair_series(first: dict[str, object], second: dict[str, object], **row: object) -> ChangeRow:
    """Change of FLAIR at month 1 between two scans with the given fields."""
    rows = [
        flair("baseline", 10.0, parameter="infarct_flair"),
        flair("month1", 6.0, parameter="infarct_flair", **row),
    ]
    visits = [
        visit_record("baseline", scan_record(**first)),
        visit_record("month1", scan_record(**second)),
    ]
    return changes_of(rows, visits)["month1", "infarct_flair"]


def test_columns_of_the_contract_come_first() -> None:
    assert list(ChangeRow.model_fields)[: len(CONTRACT_COLUMNS)] == CONTRACT_COLUMNS


def test_ten_to_six_ml_is_minus_four_ml_and_minus_forty_percent() -> None:
    row = changes_of([volume_row(), flair("month1", 6.0)])["month1", "infarct"]
    assert (row.baseline_volume_ml, row.volume_ml) == (10.0, 6.0)
    assert row.change_ml == pytest.approx(-4.0)
    assert row.percent_change == pytest.approx(-40.0)
    assert (row.status, row.reason) == ("measured", "")


def test_every_follow_up_visit_has_a_row_in_time_order() -> None:
    rows = change_rows([volume_row()], visits=[], settings=ChangeSettings(), checks=CheckSettings())
    assert [(r.visit, r.parameter, r.status) for r in rows] == [
        (visit, "infarct", "missing") for visit in ("month1", "month3", "month6")
    ]
    assert rows[0].reason == "no month1 visit"


def test_early_and_unscheduled_visits_are_not_analysed() -> None:
    found = changes_of([volume_row(), flair("early", 5.0), flair("unscheduled", 5.0)])
    assert {visit for visit, _ in found} == {"month1", "month3", "month6"}


def test_missing_failed_and_zero_are_three_things() -> None:
    rows = [
        volume_row(),
        absent_row("missing", "no session", visit="month1"),
        absent_row("failed", "FLAIR.nii.gz is cut short", visit="month3"),
        flair("month6", 0.0),
    ]
    found = changes_of(rows)
    month1, month3, month6 = (found[f"month{n}", "infarct"] for n in (1, 3, 6))
    assert (month1.status, month1.reason, month1.volume_ml, month1.change_ml) == (
        "missing",
        "no session",
        None,
        None,
    )
    assert (month3.status, month3.reason, month3.change_ml) == ("failed", "FLAIR.nii.gz is cut short", None)
    assert (month6.status, month6.volume_ml, month6.change_ml) == ("measured", 0.0, -10.0)
    assert month6.percent_change == pytest.approx(-100.0)
    assert month1.like_for_like is month3.like_for_like is None
    assert month1.exceeds_repeatability is month3.exceeds_repeatability is None


@pytest.mark.parametrize("status", ["not_measurable", "excluded"])
def test_not_measurable_and_excluded_give_no_change(status: str) -> None:
    rows = [volume_row(), absent_row(status, "motion", visit="month1")]
    row = changes_of(rows)["month1", "infarct"]
    assert (row.status, row.reason, row.change_ml) == (status, "motion", None)


def test_excluded_volume_that_is_still_written_down_is_not_used() -> None:
    row = changes_of([volume_row(), flair("month1", 6.0, status="excluded")])["month1", "infarct"]
    assert (row.volume_ml, row.change_ml, row.status) == (None, None, "excluded")


@pytest.mark.parametrize("status", ["reviewed", "edited"])
def test_reviewed_and_edited_volumes_count(status: str) -> None:
    row = changes_of([volume_row(), flair("month1", 6.0, status=status)])["month1", "infarct"]
    assert (row.change_ml, row.status) == (-4.0, status)


def test_zero_baseline_has_a_change_but_no_percent() -> None:
    row = changes_of([volume_row(volume_ml=0.0), flair("month1", 3.0)])["month1", "infarct"]
    assert (row.change_ml, row.percent_change) == (3.0, None)
    assert "baseline volume is 0 mL" in row.reason
    assert row.exceeds_repeatability is True


def test_failed_baseline_gives_no_change_and_its_reason() -> None:
    rows = [absent_row("failed", "bit flipped", visit="baseline"), flair("month1", 3.0)]
    row = changes_of(rows)["month1", "infarct"]
    assert (row.volume_ml, row.baseline_volume_ml, row.change_ml) == (3.0, None, None)
    assert (row.status, row.reason) == ("failed", "no baseline value: bit flipped")


def test_no_baseline_visit_is_missing() -> None:
    row = changes_of([flair("month1", 3.0)])["month1", "infarct"]
    assert (row.status, row.reason) == ("missing", "no baseline value: no baseline visit")
    assert row.baseline_status == "missing"


def test_reason_of_the_visit_is_used_where_a_row_is_not_there() -> None:
    visits = [visit_record("month3", status="failed", reason="truncated gzip", study_day=95)]
    row = changes_of([volume_row(), flair("month1", 6.0)], visits)["month3", "infarct"]
    assert (row.status, row.reason, row.study_day) == ("failed", "truncated gzip", 95)


@pytest.mark.parametrize("parameter", ["cavity", "new_lesion"])
def test_parameters_without_a_baseline_have_a_volume_and_no_change(parameter: str) -> None:
    found = changes_of([volume_row(), flair("month1", 6.0), flair("month1", 2.0, parameter=parameter)])
    row = found["month1", parameter]
    assert (row.volume_ml, row.change_ml, row.status) == (2.0, None, "measured")
    assert row.reason == "no baseline value of this parameter"
    assert found["month3", parameter].status == "missing"


def test_parameter_seen_at_baseline_only_has_no_rows() -> None:
    found = changes_of([volume_row(), volume_row(parameter="infarct_dwi"), flair("month1", 6.0)])
    assert {parameter for _, parameter in found} == {"infarct"}


@pytest.mark.parametrize(
    ("baseline_ml", "volume_ml", "limit_ml", "exceeds"),
    [(5.0, 6.9, 2.0, False), (5.0, 7.1, 2.0, True), (100.0, 85.0, 20.0, False), (100.0, 75.0, 20.0, True)],
)
def test_change_counts_beyond_the_larger_limit(
    baseline_ml: float, volume_ml: float, limit_ml: float, exceeds: bool
) -> None:
    settings = ChangeSettings(repeatability_ml=2.0, repeatability_percent=20.0)
    rows = [volume_row(volume_ml=baseline_ml), flair("month1", volume_ml)]
    row = changes_of(rows, settings=settings)["month1", "infarct"]
    assert row.repeatability_limit_ml == pytest.approx(limit_ml)
    assert row.exceeds_repeatability is exceeds


def test_a_change_equal_to_the_limit_does_not_exceed_it() -> None:
    settings = ChangeSettings(repeatability_ml=2.0, repeatability_percent=0.0)
    row = changes_of([volume_row(), flair("month1", 8.0)], settings=settings)["month1", "infarct"]
    assert row.exceeds_repeatability is False


def test_dwi_against_flair_is_not_like_for_like() -> None:
    visits = [
        visit_record("baseline", scan_record("dwi"), scan_record("flair")),
        visit_record("month1", scan_record("flair")),
    ]
    row = changes_of([volume_row(), flair("month1", 6.0, method="local 1")], visits)["month1", "infarct"]
    assert (row.baseline_modality, row.modality, row.like_for_like) == ("dwi", "flair", False)
    assert row.like_for_like_reason == "modality differs: dwi at baseline, flair now"


def test_flair_against_flair_of_one_scanner_is_like_for_like() -> None:
    row = flair_series({}, {})
    assert (row.like_for_like, row.like_for_like_reason) == (True, "")


@pytest.mark.parametrize(
    ("first", "second", "text"),
    [
        ({}, {"manufacturer": "Philips"}, "manufacturer differs: SIEMENS at baseline, PHILIPS now"),
        ({}, {"manufacturer": None}, "manufacturer differs: SIEMENS at baseline, not stated now"),
        ({}, {"field_strength_t": 1.5}, "field strength .T. differs: 3.0 at baseline, 1.5 now"),
        ({"field_strength_t": None}, {}, "field strength .T. differs: not stated at baseline"),
        ({}, {"spacing_mm": (0.9, 0.9, 3.0)}, "spacing differs by more than 20 %: 0.9x0.9x5 mm at baseline"),
        ({}, {"spacing_mm": (0.9, 1.1, 5.0)}, "0.9x1.1x5 mm now"),
    ],
)
def test_other_scanner_or_voxels_are_not_like_for_like(
    first: dict[str, object], second: dict[str, object], text: str
) -> None:
    row = flair_series(first, second)
    assert row.like_for_like is False
    assert re.search(text, row.like_for_like_reason)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({}, {"manufacturer": "SIEMENS Healthineers"}),
        ({}, {"field_strength_t": 2.89362}),
        ({}, {"spacing_mm": (5.0, 0.9, 0.9), "axis_codes": "SAR"}),
        ({}, {"spacing_mm": (1.0, 1.0, 5.5)}),
    ],
)
def test_other_spelling_storage_or_small_differences_stay_alike(
    first: dict[str, object], second: dict[str, object]
) -> None:
    assert flair_series(first, second).like_for_like is True


def test_spacing_limit_comes_from_the_protocol() -> None:
    rows = [flair("baseline", 10.0), flair("month1", 6.0)]
    visits = [
        visit_record("baseline", scan_record()),
        visit_record("month1", scan_record(spacing_mm=(1.0, 1.0, 5.0))),
    ]
    limits = (5.0, 20.0)
    found = [
        changes_of(rows, visits, checks=CheckSettings(like_for_like_voxel_percent=limit))["month1", "infarct"]
        for limit in limits
    ]
    assert [row.like_for_like for row in found] == [False, True]


def test_other_method_is_not_like_for_like() -> None:
    row = flair_series({}, {}, method="followup 2")
    assert row.like_for_like is False
    assert row.like_for_like_reason == "method differs: followup 1 at baseline, followup 2 now"


def test_what_neither_scan_states_is_said_and_does_not_decide() -> None:
    unknown = {"manufacturer": None, "field_strength_t": None}
    row = flair_series(unknown, unknown)
    assert row.like_for_like is True
    assert row.like_for_like_reason == (
        "manufacturer not stated at either visit, not compared; "
        "field strength not stated at either visit, not compared"
    )


def test_without_a_record_of_the_scan_nothing_is_claimed() -> None:
    row = changes_of([flair("baseline", 10.0), flair("month1", 6.0)])["month1", "infarct"]
    assert row.like_for_like is False
    assert row.like_for_like_reason == "no record of the scan at baseline and month1"


def test_spatial_accounting_of_the_visit_stands_beside_the_primary_parameter() -> None:
    visits = [visit_record("month1", persistent_ml=5.0, resolved_ml=5.0, new_ml=1.0)]
    rows = [volume_row(), flair("month1", 6.0), flair("month1", 1.0, parameter="cavity")]
    found = changes_of(rows, visits)
    primary, cavity = found["month1", "infarct"], found["month1", "cavity"]
    assert (primary.persistent_ml, primary.resolved_ml, primary.new_ml) == (5.0, 5.0, 1.0)
    assert cavity.persistent_ml is None


def test_two_rows_of_one_visit_and_parameter_are_refused() -> None:
    with pytest.raises(UsageError, match="sub-001: two volumes of 'infarct' at baseline"):
        changes_of([volume_row(), volume_row()])


def test_rows_of_two_participants_are_refused() -> None:
    with pytest.raises(UsageError, match="one participant"):
        changes_of([volume_row(), volume_row(participant_id="sub-002")])


def test_measured_without_a_volume_is_refused() -> None:
    with pytest.raises(UsageError, match="month1 has status 'measured' but no volume"):
        changes_of([volume_row(), absent_row("measured", "", visit="month1")])


def test_participant_without_rows_has_no_change() -> None:
    assert changes_of([]) == {}


def test_participant_changes_follow_the_protocol() -> None:
    record = participant(rows=[volume_row(), flair("month1", 6.0)])
    strict = Protocol(change=ChangeSettings(repeatability_ml=5.0))
    assert participant_changes(record, protocol=Protocol())[0].exceeds_repeatability is True
    assert participant_changes(record, protocol=strict)[0].exceeds_repeatability is False


def test_shifted_block_is_half_persistent() -> None:
    grid = Grid((30, 10, 10), np.diag([1.0, 1.0, 5.0, 1.0]))
    first, second = np.zeros(grid.shape, dtype=bool), np.zeros(grid.shape, dtype=bool)
    first[0:10], second[5:20] = True, True
    found = spatial_accounting(LesionMask(first, grid), LesionMask(second, grid))
    assert found.persistent_ml == pytest.approx(2.5)
    assert found.resolved_ml == pytest.approx(2.5)
    assert found.new_ml == pytest.approx(5.0)


@given(mask_pairs())
def test_accounting_identities_hold_to_the_voxel(pair: tuple[LesionMask, LesionMask]) -> None:
    baseline, followup = pair
    found = spatial_accounting(baseline, followup)
    back = spatial_accounting(followup, baseline)
    assert found.persistent_voxels + found.resolved_voxels == baseline.voxel_count
    assert found.persistent_voxels + found.new_voxels == followup.voxel_count
    assert (found.persistent_voxels, found.resolved_voxels) == (back.persistent_voxels, back.new_voxels)


@given(mask_pairs())
def test_labels_of_change_are_counted_by_the_accounting(pair: tuple[LesionMask, LesionMask]) -> None:
    baseline, followup = pair
    labels = change_labels(baseline, followup)
    found = spatial_accounting(baseline, followup)
    counts = np.bincount(labels.ravel(), minlength=4)
    assert counts[1:].tolist() == [found.persistent_voxels, found.resolved_voxels, found.new_voxels]
    assert np.array_equal((labels == 1) | (labels == 2), baseline.data)
    assert np.array_equal((labels == 1) | (labels == 3), followup.data)


def test_accounting_needs_one_grid() -> None:
    first = LesionMask(np.ones((2, 2, 2), dtype=bool), Grid((2, 2, 2), np.eye(4)))
    second = LesionMask(np.ones((2, 2, 2), dtype=bool), Grid((2, 2, 2), np.diag([2.0, 1, 1, 1])))
    with pytest.raises(GridMismatchError, match="baseline and follow-up lesion"):
        spatial_accounting(first, second)

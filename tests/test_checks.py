"""Checks of one scan before anything is measured on it."""

from __future__ import annotations

import numpy as np
import pytest

from infarct_vol.errors import ScanRefusedError
from infarct_vol.geometry import Grid
from infarct_vol.images import Identity, Scan
from infarct_vol.intake import check_scan, refuse_failures
from infarct_vol.protocol import CheckSettings


def scan(
    *, shape: tuple[int, int, int] = (60, 60, 20), spacing: tuple[float, float, float] = (1.0, 1.0, 5.0)
) -> Scan:
    data = np.random.default_rng(1).normal(100, 20, shape)
    identity = Identity("sub-003", "ses-M03", modality="flair")
    return Scan(data, Grid(shape, np.diag([*spacing, 1.0])), identity)


def verdicts(one: Scan) -> dict[str, str]:
    return {f.check: f.verdict for f in check_scan(one, settings=CheckSettings())}


def test_an_ordinary_scan_passes_every_check() -> None:
    assert set(verdicts(scan()).values()) == {"PASS"}
    assert refuse_failures(scan(), check_scan(scan(), settings=CheckSettings())) == ()


@pytest.mark.parametrize(
    ("thickness", "verdict"), [(5.0, "PASS"), (6.0, "WARN"), (7.0, "WARN"), (7.5, "FAIL")]
)
def test_thick_slices(thickness: float, verdict: str) -> None:
    assert verdicts(scan(spacing=(1, 1, thickness)))["thickness"] == verdict


def test_blank_slices_inside_are_refused_and_at_the_ends_are_not() -> None:
    one = scan()
    data = np.array(one.data)
    data[:, :, :2] = 0
    data[:, :, -1] = 0
    assert verdicts(one.with_data(data))["slices"] == "PASS"
    data[:, :, 9] = 0
    findings = check_scan(one.with_data(data), settings=CheckSettings())
    assert "slices 9 are blank" in next(str(f) for f in findings if f.check == "slices")


def test_a_repeated_slice_is_refused_with_participant_and_remedy() -> None:
    one = scan()
    data = np.array(one.data)
    data[:, :, 8] = data[:, :, 7]
    repeated = one.with_data(data)
    with pytest.raises(
        ScanRefusedError, match=r"sub-003 ses-M03 FLAIR: slices: slices 8 repeat .*; export it again"
    ):
        refuse_failures(repeated, check_scan(repeated, settings=CheckSettings()))


def test_numbers_that_are_not_numbers_are_counted() -> None:
    one = scan()
    data = np.array(one.data)
    data[:2, 0, 0] = np.nan
    data[2, 0, 0] = np.inf
    findings = check_scan(one.with_data(data), settings=CheckSettings())
    values = next(f for f in findings if f.check == "values")
    assert values.verdict == "WARN"
    assert values.found.startswith("3 voxels")


def test_a_constant_image_and_too_few_slices_are_refused() -> None:
    one = scan()
    assert verdicts(one.with_data(np.full(one.grid.shape, 7.0)))["values"] == "FAIL"
    assert verdicts(scan(shape=(60, 60, 1)))["extent"] == "FAIL"


def test_saturation_is_flagged() -> None:
    one = scan()
    assert verdicts(one.with_data(np.minimum(one.data, 110)))["saturation"] == "WARN"


def test_the_protocol_decides_what_is_too_thick() -> None:
    strict = CheckSettings(thickness_warn_mm=3, thickness_fail_mm=4)
    assert {f.check: f.verdict for f in check_scan(scan(), settings=strict)}["thickness"] == "FAIL"

"""The repeatability coefficient of a self-verification takes the place of the protocol's limit."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from infarct_vol._version import __version__
from infarct_vol.errors import UsageError
from infarct_vol.repeatability import read_repeatability

PAIRS = {"a": (10.0, 11.0), "b": (20.0, 19.0), "c": (40.0, 42.0)}


def report(
    tmp_path: Path, *, version: str = __version__, pairs: dict[str, tuple[float, ...]] = PAIRS
) -> Path:
    cases: list[dict[str, object]] = [{"group": "acute_object", "pair": "", "measured_ml": 500.0}]
    for pair, volumes in pairs.items():
        cases += [{"group": "retest", "pair": pair, "measured_ml": volume} for volume in volumes]
    path = tmp_path / "verification.json"
    path.write_text(json.dumps({"version": version, "cases": cases}))
    return path


def test_the_coefficient_is_that_of_the_patients_scanned_twice(tmp_path: Path) -> None:
    limit = read_repeatability(report(tmp_path))
    # sum of squared differences 1 + 1 + 4 = 6, n 3: wSD = sqrt(6 / 6) = 1
    assert limit.settings.repeatability_ml == pytest.approx(2.77)
    # in percent of the mean: 100/10.5, 100/19.5, 200/41
    shares = [100 / 10.5, 100 / 19.5, 200 / 41]
    assert limit.settings.repeatability_percent == pytest.approx(
        2.77 * (sum(s**2 for s in shares) / 6) ** 0.5
    )
    assert limit.source.startswith("verification ")
    assert "2.77 mL" in limit.source
    assert "n 3" in limit.source


def test_a_patient_with_one_volume_does_not_count(tmp_path: Path) -> None:
    limit = read_repeatability(report(tmp_path, pairs=PAIRS | {"d": (100.0,)}))
    assert limit.settings.repeatability_ml == pytest.approx(2.77)


def test_another_version_and_too_few_patients_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="was made by version 0.0.0, this is"):
        read_repeatability(report(tmp_path, version="0.0.0"))
    with pytest.raises(UsageError, match="gives no repeatability coefficient: 1 case"):
        read_repeatability(report(tmp_path, pairs={"a": (1.0, 2.0)}))


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"version": "1", "cases": [{}]}'])
def test_a_file_that_is_no_verification_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "other.json"
    path.write_text(text)
    with pytest.raises(UsageError, match="is no report of a self-verification"):
        read_repeatability(path)
    with pytest.raises(UsageError, match="is no report of a self-verification"):
        read_repeatability(tmp_path / "absent.json")

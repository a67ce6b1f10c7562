"""Measured against true volumes of a digital trial."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from infarct_vol.errors import UsageError
from infarct_vol.files import TextTable, has_decimal_commas, read_text_table, stated_number

_KEY = ["participant_id", "visit", "truth_parameter", "truth_modality"]
_TRUTH_COLUMNS = ("participant_id", "visit", "modality", "parameter", "volume_ml", "scenario")


def measured_against_truth(volumes: pd.DataFrame, truth_csv: Path) -> pd.DataFrame:
    """Set each measured volume beside the true one.

    Parameters
    ----------
    volumes
        ``volumes.csv`` as `infarct_vol.tables.read_tables` gives it.
    truth_csv
        ``derivatives/truth/truth.csv`` of a digital trial.

    Returns
    -------
    pandas.DataFrame
        One row per row of ``volumes``, in its order: participant_id, visit, parameter, modality, scenario,
        true_ml, measured_ml, error_ml (measured minus true), error_percent (of the true volume; NaN where
        that is 0), status, reason. NaN where there is no measurement or no truth.

    Raises
    ------
    UsageError
        If the truth is missing, lacks a column or states a volume twice.
    """
    truth = _read_truth(truth_csv)
    # the same infarct has one true volume per image: DWI at baseline, FLAIR later, unless the row says
    modality = volumes["modality"].where(volumes["modality"] != "", _expected_modality(volumes))
    keyed = volumes.assign(
        truth_parameter=volumes["parameter"].str.replace(r"_(dwi|flair)$", "", regex=True),
        truth_modality=modality,
    )
    joined = keyed.merge(truth, on=_KEY, how="left", validate="many_to_one")
    measured_ml, true_ml = joined["volume_ml"], joined["true_ml"]
    return pd.DataFrame(
        {
            "participant_id": joined["participant_id"],
            "visit": joined["visit"],
            "parameter": joined["parameter"],
            "modality": joined["truth_modality"],
            "scenario": joined["scenario"].fillna(""),
            "true_ml": true_ml,
            "measured_ml": measured_ml,
            "error_ml": measured_ml - true_ml,
            "error_percent": 100.0 * (measured_ml - true_ml) / true_ml.where(true_ml != 0),
            "status": joined["status"],
            "reason": joined["reason"],
        }
    )


def _expected_modality(volumes: pd.DataFrame) -> pd.Series[str]:
    primary_baseline = (volumes["visit"] == "baseline") & (volumes["parameter"] == "infarct")
    on_dwi = primary_baseline | (volumes["parameter"] == "infarct_dwi")
    return on_dwi.map({True: "dwi", False: "flair"})


def _read_truth(path: Path) -> pd.DataFrame:
    if not path.is_file():
        msg = f"no truth at {path}; 'infarct-vol simulate' writes it beside the trial it makes"
        raise UsageError(msg)
    table = read_text_table(path, needed=_TRUTH_COLUMNS, keys=("participant_id", "visit"), what="truth")
    columns = {name: [row.cells[name] for row in table.rows] for name in _TRUTH_COLUMNS}
    truth = pd.DataFrame(
        {
            "participant_id": columns["participant_id"],
            "visit": columns["visit"],
            "truth_parameter": columns["parameter"],
            "truth_modality": columns["modality"],
            "true_ml": pd.Series(_volumes_ml(table), dtype="float64"),
            "scenario": columns["scenario"],
        }
    )
    twice = truth[truth.duplicated(_KEY)]
    if len(twice):
        msg = f"{path.name} states {' '.join(twice.iloc[0][_KEY])} twice"
        raise UsageError(msg)
    return truth


def _volumes_ml(table: TextTable) -> list[float]:
    """Return the true volumes; NaN where none is stated."""
    decimal_commas = has_decimal_commas(row.cells["volume_ml"] for row in table.rows)
    volumes = []
    for row in table.rows:
        text = row.stated("volume_ml")
        try:
            volumes.append(
                float("nan") if text is None else stated_number(text, decimal_commas=decimal_commas)
            )
        except UsageError as error:
            msg = f"volume_ml {error}"
            raise UsageError(msg, where=table.where(row)) from None
    return volumes

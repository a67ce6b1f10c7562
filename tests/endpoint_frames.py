"""A made-up trial as the tables of the endpoint: a zero baseline, growth beyond +200 %, missing values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from infarct_vol.statistics.descriptive import described

VISITS = ("baseline", "month1", "month3", "month6")
DAYS = {"baseline": -1, "month1": 31, "month3": 91, "month6": 181}
SHRINKAGE = {"baseline": 1.0, "month1": 0.8, "month3": 0.6, "month6": 0.5}
SHA = "0123456789ab" + "c" * 52
VOLUME_COLUMNS = [
    "participant_id",
    "visit",
    "study_day",
    "parameter",
    "modality",
    "volume_ml",
    "status",
    "reason",
    "automatic_volume_ml",
]
CHANGE_COLUMNS = [
    "participant_id",
    "visit",
    "parameter",
    "baseline_volume_ml",
    "volume_ml",
    "change_ml",
    "percent_change",
    "like_for_like",
    "exceeds_repeatability",
    "status",
    "reason",
    "like_for_like_reason",
    "baseline_status",
    "study_day",
]
SUMMARY_TEXT = ("parameter", "visit", "arm", "blinding")


@dataclass(frozen=True)
class MadeOutcomes:
    values: pd.DataFrame
    correlations: pd.DataFrame


@dataclass(frozen=True)
class Trial:
    volumes: pd.DataFrame
    change: pd.DataFrame
    summary: pd.DataFrame
    outcomes: MadeOutcomes
    arms: dict[str, str]


def trial(n: int = 27, *, blinded: bool = True, first_id: str = "sub-001") -> Trial:
    """Return ``n`` participants of two arms.

    Participant k (from 0) has a baseline of k + 1 mL, 0 mL for k = 3; month 6 is missing for k = 5 and 6,
    failed for k = 7, three times baseline plus the rest for k = 8 (+250 %), else half of baseline.
    """
    names = [first_id, *(f"sub-{k + 1:03d}" for k in range(1, n))][:n]
    arms = {name: "B active" if k % 2 else "A placebo" for k, name in enumerate(names)}
    volumes = [row for k, name in enumerate(names) for row in _volumes(k, name)]
    frame = pd.DataFrame(volumes, columns=VOLUME_COLUMNS)
    frame["study_day"] = frame["study_day"].astype("Int64")
    change = _changes(frame)
    given = None if blinded else arms
    return Trial(frame, change, _summary(frame, change, given), _outcomes(names, given), arms)


def _volumes(k: int, name: str) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for visit in VISITS:
        status = "measured"
        if visit == "month6" and k in (5, 6, 7):
            status = "failed" if k == 7 else "missing"
        elif visit == "month3" and k < 6:
            status = "edited"
        base = 0.0 if k == 3 else float(k + 1)
        value = base * (3.5 if (k, visit) == (8, "month6") else SHRINKAGE[visit])
        gone = status in ("missing", "failed")
        for parameter in ("infarct", "infarct_flair"):
            modality = "dwi" if visit == "baseline" and parameter == "infarct" else "flair"
            rows.append(
                {
                    "participant_id": name,
                    "visit": visit,
                    "study_day": None if status == "missing" else DAYS[visit] + k % 5,
                    "parameter": parameter,
                    "modality": "" if gone else modality,
                    "volume_ml": np.nan if gone else value,
                    "status": status,
                    "reason": f"the scan is {status}" if gone else "",
                    "automatic_volume_ml": value + 0.1 * k if status == "edited" else np.nan,
                }
            )
    return rows


def _changes(volumes: pd.DataFrame) -> pd.DataFrame:
    first = volumes[volumes["visit"] == "baseline"].to_dict("records")
    base = {(row["participant_id"], row["parameter"]): row for row in first}
    rows = []
    for row in volumes[volumes["visit"] != "baseline"].to_dict("records"):
        start = base[row["participant_id"], row["parameter"]]
        change = row["volume_ml"] - start["volume_ml"]
        known = bool(np.isfinite(change))
        like = row["parameter"] != "infarct"
        percent = 100 * change / start["volume_ml"] if known and start["volume_ml"] else np.nan
        rows.append(
            {
                **{name: row[name] for name in CHANGE_COLUMNS if name in row},
                "baseline_volume_ml": start["volume_ml"],
                "change_ml": change,
                "percent_change": percent,
                "like_for_like": like if known else None,
                "exceeds_repeatability": abs(change) > 1 if known else None,
                "like_for_like_reason": "modality differs" if known and not like else "",
                "baseline_status": start["status"],
            }
        )
    frame = pd.DataFrame(rows, columns=CHANGE_COLUMNS)
    frame["study_day"] = frame["study_day"].astype("Int64")
    for name in ("like_for_like", "exceeds_repeatability"):
        frame[name] = frame[name].astype("boolean")
    return frame


def _summary(volumes: pd.DataFrame, change: pd.DataFrame, arms: Mapping[str, str] | None) -> pd.DataFrame:
    rows = []
    for parameter in dict.fromkeys(volumes["parameter"]):
        for visit in VISITS:
            for arm in ("all", *sorted(set((arms or {}).values()))):
                own, changed = (
                    frame[
                        (frame["parameter"] == parameter)
                        & (frame["visit"] == visit)
                        & ((arm == "all") | (frame["participant_id"].map(arms or {}) == arm))
                    ]
                    for frame in (volumes, change)
                )
                groups = {"volume": own["volume_ml"], "change": changed["change_ml"]}
                groups["percent"] = changed["percent_change"]
                row: dict[str, object] = {"parameter": parameter, "visit": visit, "arm": arm}
                for prefix, values in groups.items():
                    found = described(values.dropna().to_numpy(dtype=float)).model_dump()
                    row |= {f"{prefix}_{name}": value for name, value in found.items()}
                row["participants_n"] = len(own)
                for status in ("missing", "failed", "not_measurable", "excluded"):
                    row[f"{status}_n"] = int((own["status"] == status).sum())
                rows.append({**row, "blinding": "BLINDED" if arms is None else "UNBLINDED"})
    frame = pd.DataFrame(rows, columns=None if rows else [*SUMMARY_TEXT, "volume_n"])
    kinds = {
        name: "Int64" if name.endswith("_n") else "float64" for name in frame if name not in SUMMARY_TEXT
    }
    return frame.astype(kinds)


def _outcomes(names: list[str], arms: Mapping[str, str] | None) -> MadeOutcomes:
    scales = {"nihss": "NIHSS Total Score", "mrs": "Modified Rankin Scale"}
    values = [
        {
            "participant_id": name,
            "visit": visit,
            "parameter": scale,
            "label": label,
            "unit": "",
            "value": float(k % 6) if visit == "baseline" else float(k % 6) / 2 // 1,
            "change": np.nan if visit == "baseline" else float(k % 6) / 2 // 1 - k % 6,
        }
        for scale, label in scales.items()
        for k, name in enumerate(names)
        for visit in VISITS
    ]
    correlations = [
        {
            "parameter": "infarct",
            "outcome": scale,
            "visit": "month6",
            "quantity": quantity,
            "arm": arm,
            "n": 24 if arm == "all" else 3,
            "rho": -0.42 if arm == "all" else np.nan,
            "low": -0.7 if arm == "all" else np.nan,
            "high": 0.03 if arm == "all" else np.nan,
            "p": 0.0004 if arm == "all" else np.nan,
            "reason": "" if arm == "all" else "3 participants: too few",
        }
        for scale in scales
        for quantity in ("volume", "change")
        for arm in ("all", *sorted(set((arms or {}).values())))
    ]
    return MadeOutcomes(pd.DataFrame(values), pd.DataFrame(correlations))


def models() -> pd.DataFrame:
    """Return the rows of one ANCOVA: two adjusted means, a difference, and a visit without a model."""
    empty = dict.fromkeys(("estimate", "se", "df", "low", "high", "p", "residual_sd", "shapiro_p"), np.nan)
    base = {"parameter": "infarct", "scale": "raw", "model": "ancova", "visit": "month1", "n": 24}
    base |= {"reference_arm": "", "covariance": "", "note": "", **empty}
    base |= {"breusch_pagan_p": np.nan, "max_cooks_distance": np.nan}
    mean = {"term": "adjusted_mean", "estimate": -3.214, "se": 1.1, "df": 21.0, "low": -5.5, "high": -0.93}
    difference = {"term": "difference", "arm": "B active", "reference_arm": "A placebo", "p": 0.0004}
    return pd.DataFrame(
        [
            {**base, **mean, "arm": "A placebo", "residual_sd": 4.2, "shapiro_p": 0.031},
            {**base, **mean, "arm": "B active"},
            {**base, **mean, **difference},
            {**base, "visit": "month6", **difference, "p": np.nan, "note": "an arm with fewer than 2"},
        ]
    )

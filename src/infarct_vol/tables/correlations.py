"""Infarct volume and its change against clinical scales: rank correlations, visit by visit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from infarct_vol.statistics.correlation import CorrelationRow, spearman
from infarct_vol.tables.order import visit_rank
from infarct_vol.tables.randomization import ALL_ARMS

SCALES = ("nihss", "mrs")
"""Outcomes the infarct is set against, where the trial has them."""
COLUMNS = ("parameter", "outcome", "visit", "quantity", "arm", *CorrelationRow.model_fields)
"""Columns of ``correlations.csv``."""


def pairs(volumes: pd.DataFrame, outcomes: pd.DataFrame) -> pd.DataFrame:
    """Return the participants who have both a volume and a scale at a visit.

    Parameters
    ----------
    volumes
        ``participant_id``, ``visit``, ``parameter``, ``value`` (mL) of the trial's volumes.
    outcomes
        ``participant_id``, ``visit``, ``parameter``, ``value``, ``change`` of its other outcomes.

    Returns
    -------
    pandas.DataFrame
        ``participant_id``, ``visit``, ``outcome``, ``volume``, ``volume_change`` (mL), ``score``,
        ``score_change``; NaN where there is no change.
    """
    infarct = volumes.loc[
        (volumes["parameter"] == "infarct") & volumes["value"].notna(), ["participant_id", "visit", "value"]
    ].rename(columns={"value": "volume"})
    base = infarct.loc[infarct["visit"] == "baseline", ["participant_id", "volume"]]
    infarct = infarct.merge(base.rename(columns={"volume": "base"}), on="participant_id", how="left")
    infarct["volume_change"] = (infarct["volume"] - infarct["base"]).where(infarct["visit"] != "baseline")
    scored = outcomes.loc[
        outcomes["parameter"].isin(SCALES) & outcomes["value"].notna(),
        ["participant_id", "visit", "parameter", "value", "change"],
    ].rename(columns={"parameter": "outcome", "value": "score", "change": "score_change"})
    both = scored.merge(infarct.drop(columns="base"), on=["participant_id", "visit"])
    return both.sort_values(["outcome", "visit", "participant_id"], kind="stable").reset_index(drop=True)


def rows(
    volumes: pd.DataFrame, outcomes: pd.DataFrame, *, arms: Mapping[str, str] | None
) -> Iterator[dict[str, Any]]:
    """Yield Spearman's rho with its interval for every scale and visit; pooled, and by arm where known.

    ``quantity`` is ``volume`` (volume against score) or ``change`` (change in mL against change of score).
    """
    both = pairs(volumes, outcomes)
    both["arm"] = "" if arms is None else [arms[name] for name in both["participant_id"]]
    named = [ALL_ARMS, *sorted(set(both["arm"]) - {""})]
    for outcome in SCALES:
        own = both[both["outcome"] == outcome]
        for visit in sorted(set(own["visit"]), key=visit_rank):
            at_visit = own[own["visit"] == visit]
            for quantity, x, y in (
                ("volume", "volume", "score"),
                ("change", "volume_change", "score_change"),
            ):
                if quantity == "change" and visit == "baseline":
                    continue
                for arm in named:
                    counted = at_visit if arm == ALL_ARMS else at_visit[at_visit["arm"] == arm]
                    known = counted[[x, y]].dropna()
                    key = {"parameter": "infarct", "outcome": outcome, "visit": visit}
                    found = spearman(known[x].to_numpy(), known[y].to_numpy())
                    yield key | {"quantity": quantity, "arm": arm} | found.model_dump()

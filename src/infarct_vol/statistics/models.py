"""Change from baseline between the arms of a trial: analysis of covariance per visit, and the MMRM.

Volumes are skewed, so every model stands twice: on millilitres and on cube roots. A model that the data
cannot carry gives rows without an estimate, whose note says why.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from infarct_vol.records import Record
from infarct_vol.statistics.agreement import CONFIDENCE
from infarct_vol.statistics.model_data import (
    ROUNDING,
    SCALES,
    Scale,
    TrialData,
    VisitData,
    check_frame,
    refusal,
    trial_data,
    visit_data,
)
from infarct_vol.statistics.repeated import RepeatedFit, Structure, fitted

Model = Literal["ancova", "repeated_measures"]

DESCRIPTIVE_STATEMENT = (
    "With about 27 participants the trial is not powered for these models: their estimates, intervals and "
    "p-values describe the data and confirm nothing. Nothing is adjusted for multiple comparisons."
)
SHAPIRO_MOST = 5000
"""Participants up to which the p-value of Shapiro and Wilk holds (Royston 1995, Appl Stat 44:547)."""

Vector = NDArray[np.float64]


class ModelRow(Record):
    """One adjusted mean, or one difference of two; change in mL, or in cube roots of mL.

    ``residual_sd`` is that of the model (of this visit, in the MMRM). The checks of residuals are those of
    the analysis of covariance: p of Shapiro and Wilk, p of Breusch and Pagan (as Koenker studentised it),
    largest distance of Cook.
    """

    parameter: str
    scale: Scale
    model: Model
    visit: str
    n: int
    term: Literal["adjusted_mean", "difference"]
    arm: str
    reference_arm: str = ""
    estimate: float | None = None
    se: float | None = None
    df: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    residual_sd: float | None = None
    shapiro_p: float | None = None
    breusch_pagan_p: float | None = None
    max_cooks_distance: float | None = None
    covariance: str = ""
    note: str = ""


def model_rows(
    frame: pd.DataFrame, *, parameter: str, visits: Sequence[str], reference: str | None = None
) -> list[ModelRow]:
    """Return every model of one parameter, on both scales.

    Parameters
    ----------
    frame
        Columns participant_id, visit, arm, baseline and value (mL): one row per participant and visit where
        both ends are measured.
    parameter
        What was measured, as it shall stand in the rows.
    visits
        Visits after baseline, in their order. Rows of other visits are not read.
    reference
        Arm the others are compared with; None for ``default_reference``.

    Returns
    -------
    list of ModelRow
        Raw scale first; on each the analyses of covariance and then the MMRM; visit by visit the adjusted
        means of the arms in alphabetical order, then the differences. An empty frame has no rows.

    Raises
    ------
    UsageError
        As ``ancova_rows``.
    """
    check_frame(frame)
    arms = sorted(set(frame["arm"]))
    if not arms:
        return []
    named = default_reference(arms) if reference is None else reference
    rows: list[ModelRow] = []
    for scale in SCALES:
        for made in (ancova_rows, repeated_measures_rows):
            rows += made(frame, parameter=parameter, visits=visits, arms=arms, reference=named, scale=scale)
    return rows


def default_reference(arms: Sequence[str]) -> str:
    """Return the arm to compare with if nobody names one.

    Parameters
    ----------
    arms
        Names of the arms, at least one.

    Returns
    -------
    str
        The first in alphabetical order that has "placebo" or "control" in its name, else the last.
    """
    ordered = sorted(arms)
    told = [arm for arm in ordered if any(word in arm.casefold() for word in ("placebo", "control"))]
    return told[0] if told else ordered[-1]


def ancova_rows(
    frame: pd.DataFrame,
    *,
    parameter: str,
    visits: Sequence[str],
    arms: Sequence[str],
    reference: str,
    scale: Scale = "raw",
) -> list[ModelRow]:
    """Return the analysis of covariance of each visit: change on arm and baseline.

    Parameters
    ----------
    frame, parameter, visits
        As for ``model_rows``.
    arms
        Arms of the trial; one arm has an adjusted mean and no difference.
    reference
        The arm of ``arms`` that the others are compared with.
    scale
        "cube_root" models the change of cube roots on the cube root of baseline.

    Returns
    -------
    list of ModelRow
        Least-squares means at the mean baseline of the participants in the model and differences to the
        reference, with Student's intervals, as LSMEANS of PROC GLM gives them. No estimate where a visit has
        fewer than arms + 2 participants, an arm fewer than 2, or all baselines are equal.

    Raises
    ------
    UsageError
        If a column is missing, a participant has a visit twice or two arms, a number is not finite, an arm
        is not one of ``arms``, or the reference is not.
    """
    check_frame(frame, arms=arms, reference=reference)
    rows: list[ModelRow] = []
    for visit in visits:
        data = visit_data(frame[frame["visit"] == visit], scale=scale, arms=arms)
        blank = _Blank(parameter, scale, "ancova", visit, n=len(data.change), arms=arms, reference=reference)
        reason = refusal(data, arms=arms)
        rows += blank.rows(note=reason) if reason else _ancova(data, blank)
    return rows


def repeated_measures_rows(
    frame: pd.DataFrame,
    *,
    parameter: str,
    visits: Sequence[str],
    arms: Sequence[str],
    reference: str,
    scale: Scale = "raw",
) -> list[ModelRow]:
    """Return the mixed model for repeated measures: change on arm x visit and baseline x visit.

    Parameters
    ----------
    frame, parameter, visits, arms, reference, scale
        As for ``ancova_rows``.

    Returns
    -------
    list of ModelRow
        Least-squares means at the mean baseline of all rows in the model and differences to the reference,
        by restricted maximum likelihood with unstructured covariance and Kenward-Roger errors and degrees of
        freedom (PROC MIXED, TYPE=UN, DDFM=KR). Where that cannot be fitted, compound symmetry (TYPE=CS)
        stands in and ``covariance`` says so. A visit that could have no analysis of covariance is left out
        of the model.

    Raises
    ------
    UsageError
        As ``ancova_rows``.
    """
    check_frame(frame, arms=arms, reference=reference)
    refusals = {
        visit: refusal(visit_data(frame[frame["visit"] == visit], scale=scale, arms=arms), arms=arms)
        for visit in visits
    }
    used = [visit for visit in visits if not refusals[visit]]
    wide = trial_data(frame, visits=used, arms=arms, scale=scale)
    fit, structure = _fit(wide) if len(used) > 1 else (None, "")
    rows: list[ModelRow] = []
    for visit in visits:
        blank = _Blank(
            parameter, scale, "repeated_measures", visit, n=len(wide.arm), arms=arms, reference=reference
        )
        if refusals[visit] or fit is None:
            rows += blank.rows(note=refusals[visit] or _unfitted(len(used)))
        else:
            rows += _repeated(fit, blank, place=used.index(visit), visits=len(used), structure=structure)
    return rows


@dataclass(frozen=True)
class _Blank:
    """What all rows of one model and visit say."""

    parameter: str
    scale: Scale
    model: Model
    visit: str
    n: int
    arms: Sequence[str]
    reference: str

    def rows(self, *, note: str = "", **common: Any) -> list[ModelRow]:
        return [
            ModelRow(
                parameter=self.parameter,
                scale=self.scale,
                model=self.model,
                visit=self.visit,
                n=self.n,
                term="difference" if against else "adjusted_mean",
                arm=arm,
                reference_arm=against,
                note=note,
                **common,
            )
            for arm, against in self.terms()
        ]

    def terms(self) -> list[tuple[str, str]]:
        """Return the arm of each row and the arm it is compared with, none for an adjusted mean."""
        others = [(arm, self.reference) for arm in self.arms if arm != self.reference]
        return [(arm, "") for arm in self.arms] + others

    def weights(self) -> Vector:
        """Return (rows, arms): how the adjusted means of the arms make up each row."""
        return np.array(
            [
                [float(arm == one) - float(against == one) for one in self.arms]
                for arm, against in self.terms()
            ]
        )


def _ancova(data: VisitData, blank: _Blank) -> list[ModelRow]:
    import statsmodels.api as sm
    from statsmodels.stats.diagnostic import het_breuschpagan

    # baseline centred on its mean: the coefficients of the arms are their adjusted means
    design = np.column_stack([data.arm, data.baseline - data.baseline.mean()])
    fit = sm.OLS(data.change, design).fit()
    means, size = blank.weights(), max(np.abs(data.change).max(), np.abs(data.baseline).max())
    df, sd = float(fit.df_resid), math.sqrt(float(fit.mse_resid))
    if not sd > ROUNDING * size:
        note = "the model fits without residual: no standard error, interval or p"
        rows = blank.rows(note=note, df=df, residual_sd=0.0)
        values = means @ fit.params[:-1]
        return [row.model_copy(update={"estimate": float(v)}) for row, v in zip(rows, values, strict=True)]
    many = len(data.change) > SHAPIRO_MOST
    rows = blank.rows(
        note=f"Shapiro-Wilk is not given above {SHAPIRO_MOST} participants" if many else "",
        residual_sd=sd,
        shapiro_p=None if many else float(stats.shapiro(fit.resid).pvalue),
        breusch_pagan_p=_number(het_breuschpagan(fit.resid, sm.add_constant(_regressors(design)))[1]),
        max_cooks_distance=_cooks_distance(design, fit.resid, variance=sd**2),
    )
    parts = fit.cov_params()[:-1, :-1]
    return [
        _estimated(row, float(w @ fit.params[:-1]), se=math.sqrt(float(w @ parts @ w)), df=df)
        for row, w in zip(rows, means, strict=True)
    ]


def _regressors(design: Vector) -> Vector:
    """Return the design without the column that, beside a constant, the others add up to."""
    return design[:, 1:]


def _cooks_distance(design: Vector, residual: Vector, *, variance: float) -> float | None:
    """Return the largest distance of Cook (1977, Technometrics 19:15); None where leverage is 1."""
    leverage = np.square(np.linalg.qr(design)[0]).sum(axis=1)
    if not leverage.max() < 1 - ROUNDING:
        return None
    distance = np.square(residual / (1 - leverage)) * leverage / (design.shape[1] * variance)
    return _number(distance.max())


def _estimated(row: ModelRow, estimate: float, *, se: float, df: float, **more: Any) -> ModelRow:
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, df)) * se
    numbers = {
        "estimate": estimate,
        "se": se,
        "df": df,
        "low": estimate - half,
        "high": estimate + half,
        "p": float(2 * stats.t.sf(abs(estimate) / se, df)),
    }
    return row.model_copy(update=numbers | more)


def _number(value: Any) -> float | None:
    return float(value) if math.isfinite(value) else None


def _fit(wide: TrialData) -> tuple[RepeatedFit | None, str]:
    """Fit with unstructured covariance, else with compound symmetry; None where neither can be."""
    n, visits = wide.change.shape
    arms = wide.arm.shape[1]
    centred = np.nan_to_num(wide.baseline - np.nanmean(wide.baseline))
    spread = float(centred.std())
    design = np.zeros((n, visits, (arms + 1) * visits))
    for place in range(visits):
        design[:, place, place * arms : (place + 1) * arms] = wide.arm
        design[:, place, arms * visits + place] = centred[:, place] / spread
    structures: tuple[Structure, ...] = ("unstructured", "compound symmetry")
    for structure in structures:
        fit = fitted(design, wide.change, structure=structure)
        if fit is not None:
            return fit, structure
    return None, ""


def _unfitted(visits: int) -> str:
    if visits < 2:
        return f"{visits} of the visits can be modelled: a model of repeated measures needs 2"
    return "neither unstructured covariance nor compound symmetry could be fitted to these data"


def _repeated(fit: RepeatedFit, blank: _Blank, *, place: int, visits: int, structure: str) -> list[ModelRow]:
    arms = len(blank.arms)
    note = "residual checks: see the analysis of covariance of this visit"
    if structure == "compound symmetry":
        note = f"an unstructured covariance could not be fitted; {note}"
    common = {
        "covariance": f"{structure}, REML, Kenward-Roger",
        "residual_sd": math.sqrt(fit.visits[place, place]),
    }
    rows = blank.rows(note=note, **common)
    found = []
    for row, weights in zip(rows, blank.weights(), strict=True):
        whole = np.zeros((arms + 1) * visits)
        whole[place * arms : (place + 1) * arms] = weights
        estimate, se, df = fit.contrast(whole)
        found.append(_estimated(row, estimate, se=se, df=df))
    return found

from __future__ import annotations

import math
import time

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from infarct_vol.errors import UsageError
from infarct_vol.statistics.models import (
    DESCRIPTIVE_STATEMENT,
    ancova_rows,
    default_reference,
    model_rows,
    repeated_measures_rows,
)
from infarct_vol.statistics.repeated import fitted

VISITS = ("month_1", "month_3", "month_6")
DRUGS = """
A 11 6 A 8 0 A 5 2 A 14 8 A 19 11 A 6 4 A 10 13 A 6 1 A 11 8 A 3 0
D 6 0 D 6 2 D 7 3 D 8 1 D 18 18 D 8 4 D 19 14 D 8 9 D 5 1 D 15 9
F 16 13 F 13 10 F 11 18 F 9 5 F 21 23 F 16 12 F 12 5 F 12 16 F 7 1 F 12 20
"""


def frame_of(rows, visit="month_1"):
    table = [
        (f"sub-{number:03}", visit, arm, float(baseline), float(value))
        for number, (arm, baseline, value) in enumerate(rows)
    ]
    return pd.DataFrame(table, columns=["participant_id", "visit", "arm", "baseline", "value"])


def trial(n=27, missing=0.15, seed=3, arms=("active", "placebo")):
    rng = np.random.default_rng(seed)
    root = np.linalg.cholesky(np.array([[4, 2, 1.5], [2, 5, 3], [1.5, 3, 7]]))
    rows = []
    for number in range(n):
        baseline, noise = float(rng.lognormal(2.8, 0.6)), root @ rng.normal(size=3)
        for place, visit in enumerate(VISITS):
            if rng.random() >= missing:
                value = abs(0.7 * baseline + (number % len(arms)) * place + noise[place])
                rows.append((f"sub-{number:05}", visit, arms[number % len(arms)], baseline, value))
    return pd.DataFrame(rows, columns=["participant_id", "visit", "arm", "baseline", "value"])


def by_term(rows):
    return {(row.visit, row.term, row.arm): row for row in rows}


# 3 + 3 participants, baselines 1 2 3 in both arms; changes 0 2 1 and 3 3 6
SMALL = [("a", 1, 1), ("a", 2, 4), ("a", 3, 4), ("b", 1, 4), ("b", 2, 5), ("b", 3, 9)]


def test_the_drugs_of_snedecor_and_cochran_as_printed_by_sas():
    # SAS/STAT, the GLM procedure, example "Analysis of Covariance" (Snedecor and Cochran 1967, p. 422):
    # error mean square 16.046254 with 26 degrees of freedom, least-squares means after treatment, and the
    # differences of A and D to the control F
    words = DRUGS.split()
    frame = frame_of(zip(words[::3], words[1::3], words[2::3], strict=True))
    rows = ancova_rows(frame, parameter="score", visits=["month_1"], arms=["A", "D", "F"], reference="F")
    found = by_term(rows)
    before = 322 / 30
    printed = {"A": (6.7149635, 1.2884943), "D": (6.8239348, 1.2724690), "F": (10.1611017, 1.3159234)}
    for arm, (mean, error) in printed.items():
        row = found["month_1", "adjusted_mean", arm]
        assert (row.estimate + before, row.se) == (pytest.approx(mean), pytest.approx(error))
        assert row.reference_arm == ""
    for arm, estimate, error, p in (
        ("A", -3.44613828, 1.88678065, 0.0793),
        ("D", -3.33716695, 1.85386642, 0.0835),
    ):
        row = found["month_1", "difference", arm]
        assert (row.estimate, row.se) == (pytest.approx(estimate), pytest.approx(error))
        assert (row.p, row.df, row.n, row.reference_arm) == (pytest.approx(p, abs=5e-5), 26, 30, "F")
        assert row.residual_sd**2 == pytest.approx(16.046254)
    assert len(rows) == 5


def test_a_small_trial_worked_by_hand():
    rows = ancova_rows(frame_of(SMALL), parameter="x", visits=["month_1"], arms=["a", "b"], reference="a")
    found = by_term(rows)
    # slope (1 + 3) / 4 = 1, residual sum 2 + 6 - 4 = 4 with 3 degrees of freedom, t(0.975, 3) = 3.182446
    row = found["month_1", "difference", "b"]
    assert row.estimate == pytest.approx(3)
    assert row.se == pytest.approx(math.sqrt(4 / 3 * 2 / 3))
    assert row.low == pytest.approx(3 - 3.182446 * 0.942809, abs=1e-5)
    assert row.high == pytest.approx(3 + 3.182446 * 0.942809, abs=1e-5)
    assert row.p == pytest.approx(0.0500, abs=5e-5)
    assert found["month_1", "adjusted_mean", "a"].estimate == pytest.approx(1)
    assert found["month_1", "adjusted_mean", "a"].se == pytest.approx(2 / 3)
    # residuals 0 1 -1 and 0 -1 1, leverage 1/3 + (x - 2)^2 / 4: at the ends 0.84 = 7/12 / (5/12)^2 / 4
    assert row.max_cooks_distance == pytest.approx(0.84)
    # squared residuals on arm and baseline: R2 = 3/4, 6 R2 = 4.5, exp(-4.5 / 2)
    assert row.breusch_pagan_p == pytest.approx(math.exp(-2.25))
    assert row.shapiro_p == pytest.approx(stats.shapiro([0, 1, -1, 0, -1, 1]).pvalue)


def test_the_residual_checks_are_those_of_statsmodels():
    sm = pytest.importorskip("statsmodels.api")
    frame = trial(missing=0)
    one = frame[frame["visit"] == "month_3"]
    fit = sm.OLS(
        one["value"] - one["baseline"],
        np.column_stack([one["arm"] == "active", one["arm"] == "placebo", one["baseline"]]).astype(float),
    ).fit()
    rows = ancova_rows(
        frame, parameter="x", visits=["month_3"], arms=["active", "placebo"], reference="placebo"
    )
    assert rows[0].max_cooks_distance == pytest.approx(fit.get_influence().cooks_distance[0].max())
    assert rows[0].shapiro_p == pytest.approx(stats.shapiro(fit.resid).pvalue)
    assert rows[-1].p == pytest.approx(float(fit.t_test([1, -1, 0]).pvalue))


def test_cube_roots_are_modelled_as_cube_roots():
    cubes = [(arm, b**3, v**3) for arm, b, v in SMALL]
    rows = ancova_rows(
        frame_of(cubes), parameter="x", visits=["month_1"], arms=["a", "b"], reference="a", scale="cube_root"
    )
    assert by_term(rows)["month_1", "difference", "b"].estimate == pytest.approx(3)
    assert {row.scale for row in rows} == {"cube_root"}


REFUSED = [
    ([("a", 1, 1), ("a", 2, 4), ("b", 1, 4)], "3 participants with baseline and this visit: too few"),
    ([("a", i, i * i) for i in range(5)] + [("b", 1, 4)], "arm b has 1 of the 6 participants: too few"),
    ([("a", i, i * i) for i in range(5)], "arm b has 0 of the 5 participants: too few"),
    ([("a", 4, 1), ("a", 4, 3), ("b", 4, 2), ("b", 4, 5)], "all baselines of each arm are equal"),
    ([("a", 4, 1), ("a", 4, 3), ("b", 6, 2), ("b", 6, 5)], "all baselines of each arm are equal"),
    ([], "0 participants"),
]


@pytest.mark.parametrize(("rows", "note"), REFUSED)
@pytest.mark.parametrize("made", [ancova_rows, repeated_measures_rows])
def test_what_cannot_be_modelled_says_why(made, rows, note):
    found = made(frame_of(rows), parameter="x", visits=["month_1"], arms=["a", "b"], reference="b")
    assert [(r.term, r.arm, r.reference_arm) for r in found] == [
        ("adjusted_mean", "a", ""),
        ("adjusted_mean", "b", ""),
        ("difference", "a", "b"),
    ]
    for row in found:
        assert note in row.note
        assert (row.estimate, row.se, row.df, row.low, row.high, row.p) == (None,) * 6


def test_a_model_without_residual_has_no_interval():
    exact = [("a", b, 2 * b) for b in (1, 2, 4)] + [("b", b, 2 * b + 1) for b in (1, 3, 5)]
    found = ancova_rows(frame_of(exact), parameter="x", visits=["month_1"], arms=["a", "b"], reference="a")
    row = by_term(found)["month_1", "difference", "b"]
    assert row.estimate == pytest.approx(1)
    assert (row.se, row.low, row.high, row.p, row.residual_sd) == (None, None, None, None, 0.0)
    assert "without residual" in row.note


def test_one_arm_has_an_adjusted_mean_and_no_difference():
    rows = ancova_rows(
        frame_of([("all", 1, 2), ("all", 2, 1), ("all", 3, 5)]),
        parameter="x",
        visits=["month_1"],
        arms=["all"],
        reference="all",
    )
    # changes 1, -1, 2 at their mean baseline: the mean
    assert [(row.term, row.estimate) for row in rows] == [("adjusted_mean", pytest.approx(2 / 3))]


def test_complete_mmrm_is_the_analysis_of_covariance_of_each_visit():
    # with nothing missing and every effect crossed with visit the regressors of all visits are the same, so
    # that generalised least squares are ordinary ones and Kenward and Roger give n - arms - 1 = 24
    frame = trial(missing=0)
    common = {"parameter": "x", "visits": VISITS, "arms": ["active", "placebo"], "reference": "placebo"}
    one, two = by_term(ancova_rows(frame, **common)), by_term(repeated_measures_rows(frame, **common))
    for key, row in one.items():
        other = two[key]
        assert (other.estimate, other.se) == (pytest.approx(row.estimate), pytest.approx(row.se))
        assert (other.df, row.df) == (pytest.approx(24), 24)
        assert (other.low, other.high) == (pytest.approx(row.low), pytest.approx(row.high))
        assert (other.p, other.residual_sd) == (pytest.approx(row.p), pytest.approx(row.residual_sd))
        assert other.covariance == "unstructured, REML, Kenward-Roger"


def dense(design, response, theta, bases):
    """Return the restricted likelihood and Kenward-Roger's covariance from whole matrices, row by row."""
    seen = np.isfinite(response)
    x, y = design[seen], response[seen]
    who = np.repeat(np.arange(len(seen)), seen.sum(axis=1))
    visit = np.tile(np.arange(seen.shape[1]), len(seen))[seen.ravel()]
    same = who[:, None] == who
    parts = [np.where(same, base[np.ix_(visit, visit)], 0.0) for base in bases]
    inverse = np.linalg.inv(sum(t * part for t, part in zip(theta, parts, strict=True)))
    phi = np.linalg.inv(x.T @ inverse @ x)
    project = inverse - inverse @ x @ phi @ x.T @ inverse
    determinants = np.linalg.slogdet(inverse)[1] + np.linalg.slogdet(phi)[1]
    information = np.array([[np.trace(project @ a @ project @ b) / 2 for b in parts] for a in parts])
    precision = np.linalg.inv(information)
    middle = np.zeros_like(phi)
    slopes = [x.T @ inverse @ part @ inverse @ x for part in parts]
    for i, a in enumerate(parts):
        for j, b in enumerate(parts):
            q = x.T @ inverse @ a @ inverse @ b @ inverse @ x
            middle += precision[i, j] * (q - slopes[i] @ phi @ slopes[j])
    adjusted = phi + 2 * phi @ middle @ phi
    return (determinants - y @ project @ y) / 2, phi @ x.T @ inverse @ y, adjusted


def cells(frame):
    """Return the design with a column for each visit and arm, and the changes, for ``fitted``."""
    wide = frame.assign(change=frame["value"] - frame["baseline"]).pivot(
        index="participant_id", columns="visit", values="change"
    )
    arm = frame.drop_duplicates("participant_id").set_index("participant_id")["arm"][wide.index]
    design = np.zeros((*wide.shape, 6))
    for place in range(3):
        design[:, place, 2 * place] = arm == "active"
        design[:, place, 2 * place + 1] = arm == "placebo"
    return design, wide[list(VISITS)].to_numpy()


@pytest.mark.parametrize("structure", ["unstructured", "compound symmetry"])
def test_incomplete_mmrm_agrees_with_whole_matrices(structure):
    design, response = cells(trial(missing=0.2))
    assert np.isnan(response).sum() > 8
    fit = fitted(design, response, structure=structure)
    if structure == "unstructured":
        pairs = [(i, j) for i in range(3) for j in range(i, 3)]
        bases = [np.zeros((3, 3)) for _ in pairs]
        for base, (i, j) in zip(bases, pairs, strict=True):
            base[i, j] = base[j, i] = 1
        theta = np.array([fit.visits[pair] for pair in pairs])
    else:
        bases = [np.eye(3), np.ones((3, 3))]
        theta = np.array([fit.visits[0, 0] - fit.visits[0, 1], fit.visits[0, 1]])
    best, coefficients, adjusted = dense(design, response, theta, bases)
    np.testing.assert_allclose(fit.coefficients, coefficients, rtol=1e-8)
    np.testing.assert_allclose(fit.adjusted, adjusted, rtol=1e-7, atol=1e-12)
    for place in range(len(theta)):
        for factor in (0.98, 1.02):
            moved = theta.copy()
            moved[place] *= factor
            assert dense(design, response, moved, bases)[0] < best


def test_compound_symmetry_compares_the_means_of_participants():
    # complete data without a covariate: the arms averaged over visits differ by a two-sample t test of the
    # participants' means, n - 2 = 25 degrees of freedom
    design, response = cells(trial(missing=0))
    fit = fitted(design, response, structure="compound symmetry")
    active = design[:, 0, 0] == 1
    one, two = response[active].mean(axis=1), response[~active].mean(axis=1)
    known = stats.ttest_ind(one, two)
    estimate, se, df = fit.contrast(np.tile([1.0, -1.0], 3) / 3)
    assert estimate == pytest.approx(one.mean() - two.mean())
    assert estimate / se == pytest.approx(known.statistic)
    assert df == pytest.approx(25)


def test_compound_symmetry_is_the_random_intercept_of_statsmodels():
    sm = pytest.importorskip("statsmodels.api")
    design, response = cells(trial(missing=0.2))
    seen = np.isfinite(response)
    who = np.repeat(np.arange(len(seen)), seen.sum(axis=1))
    known = sm.MixedLM(response[seen], design[seen], groups=who).fit(reml=True)
    fit = fitted(design, response, structure="compound symmetry")
    np.testing.assert_allclose(fit.coefficients, known.fe_params, rtol=1e-4)
    assert fit.visits[0, 1] == pytest.approx(float(known.cov_re.squeeze()), rel=1e-3)
    assert fit.visits[0, 0] - fit.visits[0, 1] == pytest.approx(known.scale, rel=1e-3)


def test_compound_symmetry_stands_in_where_two_visits_never_meet():
    # nobody has both the first and the last visit: their covariance cannot be told
    frame = trial(n=30, missing=0)
    number = frame["participant_id"].str[-5:].astype(int)
    left_out = np.where(number % 4 < 2, "month_1", "month_6")
    rows = repeated_measures_rows(
        frame[frame["visit"] != left_out],
        parameter="x",
        visits=VISITS,
        arms=["active", "placebo"],
        reference="placebo",
    )
    assert {row.covariance for row in rows} == {"compound symmetry, REML, Kenward-Roger"}
    assert all(row.note.startswith("an unstructured covariance could not be fitted") for row in rows)
    assert all(row.estimate is not None and row.low < row.estimate < row.high for row in rows)


def test_visits_of_different_participants_cannot_be_fitted_together():
    frame = trial(n=30, missing=0)
    number = frame["participant_id"].str[-5:].astype(int)
    own = np.array(VISITS)[(number // 2) % 3]
    rows = repeated_measures_rows(
        frame[frame["visit"] == own],
        parameter="x",
        visits=VISITS,
        arms=["active", "placebo"],
        reference="placebo",
    )
    assert {row.estimate for row in rows} == {None}
    assert {row.note for row in rows} == {
        "neither unstructured covariance nor compound symmetry could be fitted to these data"
    }


def test_one_visit_is_no_repeated_measure():
    rows = repeated_measures_rows(
        frame_of(SMALL), parameter="x", visits=["month_1"], arms=["a", "b"], reference="a"
    )
    assert {row.note for row in rows} == {
        "1 of the visits can be modelled: a model of repeated measures needs 2"
    }


def test_changes_that_are_all_equal_are_not_fitted():
    design = cells(trial(missing=0))[0]
    assert fitted(design, np.full(design.shape[:2], 2.0), structure="unstructured") is None


def test_a_design_of_another_shape_is_refused():
    with pytest.raises(UsageError, match=r"got \(4, 3, 2\) and \(4, 2\)"):
        fitted(np.zeros((4, 3, 2)), np.zeros((4, 2)), structure="unstructured")


@pytest.mark.parametrize(
    ("arms", "reference"),
    [
        (["x", "Placebo"], "Placebo"),
        (["CONTROL group", "drug"], "CONTROL group"),
        (["placebo b", "placebo a", "x"], "placebo a"),
        (["b", "c", "a"], "c"),
        (["all"], "all"),
    ],
)
def test_the_reference_nobody_named(arms, reference):
    assert default_reference(arms) == reference


def test_rows_come_in_one_order_whatever_that_of_the_frame():
    frame = trial()
    rows = model_rows(frame, parameter="infarct", visits=VISITS)
    assert rows == model_rows(frame.sample(frac=1, random_state=1), parameter="infarct", visits=VISITS)
    keys = [(row.scale, row.model, row.visit, row.term, row.arm) for row in rows]
    assert keys == [
        (scale, model, visit, *term)
        for scale in ("raw", "cube_root")
        for model in ("ancova", "repeated_measures")
        for visit in VISITS
        for term in (("adjusted_mean", "active"), ("adjusted_mean", "placebo"), ("difference", "active"))
    ]
    assert {row.reference_arm for row in rows if row.term == "difference"} == {"placebo"}
    turned = model_rows(frame, parameter="infarct", visits=VISITS, reference="active")
    assert turned[2].estimate == pytest.approx(-rows[2].estimate)
    assert (turned[2].arm, turned[2].reference_arm) == ("placebo", "active")


def test_an_empty_frame_has_no_rows():
    assert model_rows(trial().iloc[:0], parameter="infarct", visits=VISITS) == []


def test_no_number_is_infinite_or_nan():
    for frame in (trial(), trial(n=6), trial(n=4, arms=("a", "b", "c")), frame_of(SMALL)):
        for row in model_rows(frame, parameter="x", visits=VISITS):
            numbers = [value for value in row.model_dump().values() if isinstance(value, float)]
            assert all(math.isfinite(value) for value in numbers)
            assert row.estimate is not None or row.note


def test_ten_thousand_participants_take_seconds():
    frame = trial(n=10_000)
    start = time.perf_counter()
    rows = model_rows(frame, parameter="infarct", visits=VISITS)
    assert time.perf_counter() - start < 10
    assert {row.shapiro_p for row in rows} == {None}
    assert "Shapiro-Wilk is not given above 5000 participants" in {row.note for row in rows}
    # the arms were drawn 0, 1 and 2 mL apart
    shown = [row for row in rows if row.term == "difference" and row.scale == "raw"]
    assert [row.estimate for row in shown[3:]] == pytest.approx([0, -1, -2], abs=0.2)


BAD = [
    (lambda f: f.drop(columns="arm"), "no column arm"),
    (lambda f: pd.concat([f, f.iloc[:1]]), "sub-00000 month_1: two rows to model"),
    (lambda f: f.assign(arm=["active", "placebo"] * 40 + ["active"]), "sub-00000: two arms"),
    (lambda f: f.assign(value=math.nan), "not finite"),
    (lambda f: f.assign(baseline=math.inf), "not finite"),
]


@pytest.mark.parametrize(("spoil", "message"), BAD)
def test_a_frame_that_cannot_be_read_is_refused(spoil, message):
    with pytest.raises(UsageError, match=message):
        model_rows(spoil(trial(missing=0)), parameter="x", visits=VISITS)


def test_an_unknown_arm_is_refused():
    with pytest.raises(UsageError, match="sham: not one of the arms active, placebo"):
        model_rows(trial(), parameter="x", visits=VISITS, reference="sham")
    with pytest.raises(UsageError, match="placebo: not one of the arms active"):
        ancova_rows(trial(), parameter="x", visits=VISITS, arms=["active"], reference="active")


def test_the_statement_says_what_the_models_are_worth():
    assert "not powered" in DESCRIPTIVE_STATEMENT
    assert "27 participants" in DESCRIPTIVE_STATEMENT

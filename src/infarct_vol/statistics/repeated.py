"""The mixed model for repeated measures (MMRM): one normal model of all visits of a trial.

Restricted maximum likelihood by Fisher scoring, with the small-sample standard errors and degrees of freedom
of Kenward and Roger (1997, Biometrics 53:983). Participants enter only as sums over those with the same
visits, so that the time to fit does not grow with their number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from infarct_vol.errors import UsageError

Matrix = NDArray[np.float64]
Structure = Literal["unstructured", "compound symmetry"]

MAX_ITERATIONS = 200
_CONVERGED = 1e-9
"""Size of a Fisher step, in standard errors of the covariance parameters, that moves nothing any more."""
_SINGULAR = 1e-10
"""Reciprocal condition of a matrix from which its inverse is not believed."""


@dataclass(frozen=True)
class RepeatedFit:
    """A fitted model.

    Attributes
    ----------
    coefficients
        (q,) fixed effects.
    covariance
        (q, q) covariance of the fixed effects, unadjusted.
    adjusted
        (q, q) the same with the adjustment of Kenward and Roger.
    visits
        (t, t) covariance of one participant's visits.
    gradients
        (k, q, q) change of ``covariance`` with each covariance parameter.
    precision
        (k, k) asymptotic covariance of the covariance parameters.
    log_likelihood
        Restricted log likelihood, without its constant.
    """

    coefficients: Matrix
    covariance: Matrix
    adjusted: Matrix
    visits: Matrix
    gradients: Matrix
    precision: Matrix
    log_likelihood: float

    def contrast(self, weights: Matrix) -> tuple[float, float, float]:
        """Return estimate, standard error and degrees of freedom of one combination of the coefficients.

        Parameters
        ----------
        weights
            (q,) what each coefficient counts for.

        Returns
        -------
        tuple of float
            For one combination the scale of Kenward and Roger is 1 and their degrees of freedom are those
            of Satterthwaite, ``2 v^2 / var(v)`` with the unadjusted variance v.
        """
        estimate = float(weights @ self.coefficients)
        error = float(np.sqrt(weights @ self.adjusted @ weights))
        variance = float(weights @ self.covariance @ weights)
        slope = np.einsum("a,kab,b->k", weights, self.gradients, weights)
        return estimate, error, 2 * variance**2 / float(slope @ self.precision @ slope)


def fitted(design: Matrix, response: Matrix, *, structure: Structure) -> RepeatedFit | None:
    """Fit the model.

    Parameters
    ----------
    design
        (n, t, q) fixed effects of each participant and visit; what stands at a missing visit is not read.
    response
        (n, t) values; NaN where a visit is missing.
    structure
        How the visits of one participant vary together: every variance and covariance free, or one of each.

    Returns
    -------
    RepeatedFit or None
        None where the model cannot be told from these data: too few participants share two visits, there is
        no residual variation, or the scoring did not converge within ``MAX_ITERATIONS``.

    Raises
    ------
    UsageError
        If the shapes do not fit together.
    """
    if design.ndim != 3 or response.shape != design.shape[:2]:
        msg = (
            f"a design (n, t, q) and a response (n, t) are expected, got {design.shape} and {response.shape}"
        )
        raise UsageError(msg)
    scale = float(np.nanstd(response))
    if not scale > 0:
        return None
    groups = _groups(design, response / scale)
    bases = _bases(response.shape[1], structure=structure)
    if np.linalg.matrix_rank(np.concatenate([g.root for g in groups])) < design.shape[2]:
        return None
    try:
        found = _scored(groups, bases)
    except np.linalg.LinAlgError:
        return None
    if found is None:
        return None
    fit = _fit(found, bases, scale=scale)
    return fit if float(np.diag(fit.adjusted).min()) > 0 else None


@dataclass(frozen=True)
class _Group:
    """Participants with the same visits: how many, which, and the sums of their products."""

    count: int
    rows: NDArray[np.intp]
    products: Matrix
    root: Matrix


@dataclass(frozen=True)
class _State:
    """Everything the scoring needs at one value of the covariance parameters."""

    theta: Matrix
    coefficients: Matrix
    covariance: Matrix
    first: Matrix
    second: Matrix
    score: Matrix
    information: Matrix
    log_likelihood: float


def _groups(design: Matrix, response: Matrix) -> list[_Group]:
    seen = np.isfinite(response)
    groups = []
    for pattern in np.unique(seen, axis=0):
        rows = np.flatnonzero(pattern)
        if not len(rows):
            continue
        chosen = (seen == pattern).all(axis=1)
        both = np.concatenate([design[chosen][:, rows], response[chosen][:, rows, np.newaxis]], axis=2)
        products = np.einsum("nsa,ntb->stab", both, both)
        own = np.einsum("ssab->ab", products)[:-1, :-1]
        groups.append(_Group(count=int(chosen.sum()), rows=rows, products=products, root=own))
    return groups


def _bases(visits: int, *, structure: Structure) -> Matrix:
    """Return (k, t, t) matrices of which the covariance of the visits is a sum."""
    if structure == "compound symmetry":
        return np.stack([np.eye(visits), np.ones((visits, visits))])
    found = []
    for first in range(visits):
        for second in range(first, visits):
            one = np.zeros((visits, visits))
            one[first, second] = one[second, first] = 1.0
            found.append(one)
    return np.stack(found)


def _scored(groups: Sequence[_Group], bases: Matrix) -> _State | None:
    """Return the state where the restricted likelihood is greatest, None if there is none to be found."""
    start = np.einsum("kss->k", bases) * np.array([np.array_equal(b, np.diag(np.diag(b))) for b in bases])
    state = _state(groups, bases, np.where(start > 0, 1.0, 0.0))
    for _ in range(MAX_ITERATIONS):
        if state is None or not _invertible(state.information):
            return None
        step = _inverse(state.information) @ state.score
        if float(step @ state.information @ step) < _CONVERGED**2:
            return state
        state = _moved(groups, bases, state, step=step)
    return None


def _moved(groups: Sequence[_Group], bases: Matrix, state: _State, *, step: Matrix) -> _State | None:
    """Return the state one step on; the step is halved until the likelihood does not fall."""
    for halving in range(40):
        tried = _state(groups, bases, state.theta + step / 2**halving)
        # close to the top a step that gains nothing but rounding is as good as one that gains
        if tried is not None and tried.log_likelihood >= state.log_likelihood - 1e-9:
            return tried
    return None


def _state(groups: Sequence[_Group], bases: Matrix, theta: Matrix) -> _State | None:
    """Return likelihood, score and expected information; None where a covariance is not positive."""
    whole = np.einsum("k,kst->st", theta, bases)
    if not _positive(whole):
        return None
    count, size = len(theta), groups[0].products.shape[-1]
    normal, first = np.zeros((size, size)), np.zeros((count, size, size))
    second = np.zeros((count, count, size, size))
    traces, pairs, log_det = np.zeros(count), np.zeros((count, count)), 0.0
    for group in groups:
        inverse = _inverse(whole[np.ix_(group.rows, group.rows)])
        single = np.einsum("st,ktu->ksu", inverse, bases[:, group.rows][:, :, group.rows])
        double = np.einsum("kst,ltu->klsu", single, single)
        normal += np.einsum("st,stab->ab", inverse, group.products)
        first += np.einsum("kst,tu,suab->kab", single, inverse, group.products)
        second += np.einsum("klst,tu,suab->klab", double, inverse, group.products)
        traces += group.count * np.einsum("kss->k", single)
        pairs += group.count * np.einsum("klss->kl", double)
        log_det += group.count * float(np.linalg.slogdet(inverse)[1])
    return _assembled(theta, normal, first, second, traces=traces, pairs=pairs, log_det=log_det)


def _assembled(
    theta: Matrix,
    normal: Matrix,
    first: Matrix,
    second: Matrix,
    *,
    traces: Matrix,
    pairs: Matrix,
    log_det: float,
) -> _State:
    """Turn the sums over all participants into the quantities of the restricted likelihood."""
    inner = normal[:-1, :-1]
    covariance = _inverse(inner)
    coefficients = covariance @ normal[:-1, -1]
    residual = np.append(-coefficients, 1.0)
    square = float(residual @ normal @ residual)
    own_first, own_second = first[:, :-1, :-1], second[:, :, :-1, :-1]
    spread = np.einsum("ab,kbc->kac", covariance, own_first)
    score = -0.5 * (traces - np.einsum("kaa->k", spread) - np.einsum("a,kab,b->k", residual, first, residual))
    information = 0.5 * (
        pairs
        - 2 * np.einsum("ab,klba->kl", covariance, own_second)
        + np.einsum("kab,lba->kl", spread, spread)
    )
    return _State(
        theta=theta,
        coefficients=coefficients,
        covariance=covariance,
        first=own_first,
        second=own_second,
        score=score,
        information=information,
        log_likelihood=0.5 * (log_det - float(np.linalg.slogdet(inner)[1]) - square),
    )


def _fit(state: _State, bases: Matrix, *, scale: float) -> RepeatedFit:
    precision = _inverse(state.information)
    # the first derivative of X'V^-1X is -first; its sign cancels in every product of two
    crossed = np.einsum("kab,bc,lcd->klad", state.first, state.covariance, state.first)
    middle = np.einsum("kl,klab->ab", precision, state.second - crossed)
    adjusted = state.covariance + 2 * state.covariance @ middle @ state.covariance
    return RepeatedFit(
        coefficients=state.coefficients * scale,
        covariance=state.covariance * scale**2,
        adjusted=adjusted * scale**2,
        visits=np.einsum("k,kst->st", state.theta, bases) * scale**2,
        gradients=np.einsum("ab,kbc,cd->kad", state.covariance, state.first, state.covariance),
        precision=precision * scale**4,
        log_likelihood=state.log_likelihood,
    )


def _inverse(matrix: Matrix) -> Matrix:
    return np.asarray(np.linalg.inv(matrix), dtype=np.float64)


def _positive(matrix: Matrix) -> bool:
    values = np.linalg.eigvalsh(matrix)
    return bool(values[0] > _SINGULAR * max(values[-1], 1.0))


def _invertible(matrix: Matrix) -> bool:
    """Tell if a symmetric matrix can be inverted, whatever the units of its rows."""
    diagonal = np.sqrt(np.abs(np.diag(matrix)))
    if not diagonal.min() > 0:
        return False
    values = np.linalg.eigvalsh(matrix / np.outer(diagonal, diagonal))
    return bool(values[0] > _SINGULAR * values[-1])

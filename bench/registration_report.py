"""Tables on the verdict from the rows of `registration_verdict.py`: what passed, what was stopped, why."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from registration_cases import CASE_KINDS
from scipy import stats

LIMIT_MM = 2.0
BAD_PASSED_LIMIT = 0.01
GOOD_STOPPED_LIMIT = 0.02
VERDICTS = ("PASS", "WARN", "FAIL")
METRIC = "metric."
SHOWN = 30


def read(path: Path) -> pd.DataFrame:
    """Read the rows and call each case good or bad."""
    rows = pd.read_csv(path, dtype={"reasons": str, "variant": str})
    rows["reasons"] = rows["reasons"].fillna("")
    off = rows.true_error_mm > LIMIT_MM
    # refused before a transform was found: wrong for a pair without fault, right for a damaged one
    refused = rows.true_error_mm.isna() & (rows.sound == 0)
    rows["good"] = (rows.truth == "known") & ~off & ~refused
    return rows


def report(rows: pd.DataFrame) -> tuple[str, bool]:
    """Return the tables in Markdown, and whether every limit was kept."""
    bad, good = rows[~rows.good], rows[rows.good]
    passed, stopped = bad[bad.verdict == "PASS"], good[good.verdict == "FAIL"]
    crashed = rows[rows.verdict == "CRASH"]
    warned = int((good.verdict == "WARN").sum())
    kept = (
        len(passed) <= BAD_PASSED_LIMIT * len(bad)
        and len(stopped) <= GOOD_STOPPED_LIMIT * len(good)
        and crashed.empty
    )
    lines = [
        f"{len(rows)} registrations: {len(good)} good (mean error over the brain at most {LIMIT_MM:g} mm, "
        f"same person, same side), {len(bad)} bad.",
        "",
        *_verdict_table(rows),
        "",
        f"- bad that pass: {_share(len(passed), len(bad))} (limit {100 * BAD_PASSED_LIMIT:g} %)",
        f"- bad that pass or warn: {_share(int(bad.verdict.isin(['PASS', 'WARN']).sum()), len(bad))}",
        f"- good that are stopped: {_share(len(stopped), len(good))} (limit {100 * GOOD_STOPPED_LIMIT:g} %)",
        f"- good that warn: {_share(warned, len(good))}",
        f"- crashes: {len(crashed)} (limit 0)",
        f"- CPU seconds per registration: median {rows.cpu_seconds.median():.1f}, "
        f"longest {rows.cpu_seconds.max():.1f}",
        *_estimate_lines(rows),
        *_named("Bad that pass", passed),
        *_named("Good that are stopped", stopped),
        *_named("Crashes", crashed),
        "",
        f"Limits {'kept' if kept else 'MISSED'}. Upper bounds: Clopper-Pearson, 95 %, one-sided.",
    ]
    return "\n".join(lines), kept


def _share(count: int, total: int) -> str:
    """Write a share with its exact one-sided 95 % upper bound (Clopper and Pearson 1934)."""
    if total == 0:
        return "no case"
    bound = 1.0 if count == total else float(stats.beta.ppf(0.95, count + 1, total - count))
    return f"{count} of {total}, {100 * count / total:.2f} %, at most {100 * bound:.2f} %"


def _verdict_table(rows: pd.DataFrame) -> Iterator[str]:
    heads = [
        "case",
        "cases",
        *(f"good {v}" for v in VERDICTS),
        *(f"bad {v}" for v in VERDICTS),
        "worst mm passed",
    ]
    yield "| " + " | ".join(heads) + " |"
    yield "|---|" + "---:|" * (len(heads) - 1)
    labels = rows.case_kind.where(
        rows.case_kind != "wrong_modality", rows.case_kind + " (" + rows.variant.fillna("") + ")"
    )
    groups = {label: rows[labels == label] for label in _in_order(labels)}
    grids = rows.pair_kind + " " + rows.contrast
    groups |= {grid: rows[grids == grid] for grid in sorted(grids.unique())}
    for label, group in {**groups, "all": rows}.items():
        counts = [
            str(int(((group.good == good) & (group.verdict == verdict)).sum()))
            for good in (True, False)
            for verdict in VERDICTS
        ]
        worst = group[group.verdict == "PASS"].true_error_mm.max()
        shown = "-" if pd.isna(worst) else f"{worst:.2f}"
        yield "| " + " | ".join([label, str(len(group)), *counts, shown]) + " |"


def _in_order(labels: pd.Series[str]) -> list[str]:
    return sorted(labels.unique(), key=lambda label: (CASE_KINDS.index(label.split(" ")[0]), label))


def _estimate_lines(rows: pd.DataFrame) -> Iterator[str]:
    column = METRIC + "estimated_tre_mm"
    if column not in rows:
        yield "- estimated error: the engine states none"
        return
    known = rows[rows.true_error_mm.notna() & rows[column].notna()]
    for label, group in (("good", known[known.good]), ("off by more than 2 mm", known[~known.good])):
        if len(group) < 3:
            continue
        true, estimated = group.true_error_mm, group[column]
        ratio = (estimated / true.clip(lower=1e-3)).quantile([0.05, 0.5, 0.95])
        low, middle, high = (f"{value:.2g}" for value in ratio)
        yield (
            f"- estimated error, {label} ({len(group)}): median true {true.median():.3f} mm, estimated "
            f"{estimated.median():.3f} mm; estimated/true 5 % {low}, median {middle}, 95 % {high}; "
            f"at least the true error in {100 * (estimated >= true).mean():.0f} %, over 2 mm in "
            f"{100 * (estimated > LIMIT_MM).mean():.0f} %; rank correlation {_rank(true, estimated)}"
        )


def _rank(first: pd.Series[float], second: pd.Series[float]) -> str:
    if first.nunique() < 2 or second.nunique() < 2:
        return "-"
    return f"{stats.spearmanr(first, second).statistic:.2f}"


def _named(title: str, rows: pd.DataFrame) -> Iterator[str]:
    if rows.empty:
        return
    yield ""
    yield f"{title}:"
    shown = rows.head(SHOWN)
    for case, error, reasons in zip(shown.case, shown.true_error_mm, shown.reasons, strict=True):
        known = "no truth" if np.isnan(error) else f"{error:.2f} mm"
        yield f"- {case}: {known}{'; ' if reasons else ''}{reasons}"
    if len(rows) > SHOWN:
        yield f"- and {len(rows) - SHOWN} more"


def explain(rows: pd.DataFrame) -> str:
    """List the ranges of every metric in good and bad cases, and where a limit would separate them best."""
    lines: list[str] = []
    groups = {"all": rows} | {c: rows[rows.contrast == c] for c in sorted(rows.contrast.unique())}
    heads = (
        "metric | good 2 % | 50 % | 98 % | bad 2 % | 50 % | 98 % | AUC | good is | best limit | "
        "bad passing | good stopped | beyond 1 % of bad | good stopped | 2 % of good | bad passing"
    )
    for label, group in groups.items():
        good, bad = group[group.good], group[~group.good]
        lines += ["", f"## {label}: {len(good)} good, {len(bad)} bad", "", f"| {heads} |"]
        lines.append("|---|" + "---:|" * heads.count("|"))
        for name in (c for c in rows.columns if c.startswith(METRIC)):
            first, second = good[name].dropna(), bad[name].dropna()
            if len(first) and len(second):
                cells = separation(first.to_numpy(float), second.to_numpy(float))
                lines.append(f"| {name.removeprefix(METRIC)} | {' | '.join(cells)} |")
    return "\n".join([*lines, *_telling(rows)])


def _telling(rows: pd.DataFrame) -> Iterator[str]:
    """Yield how well each metric tells each kind of bad case from all good ones."""
    good, bad = rows[rows.good], rows[~rows.good]
    kinds = _in_order(bad.case_kind)
    yield from ("", "## AUC against the kinds of bad case (0.5: tells nothing)", "")
    yield "| metric | " + " | ".join(f"{k} ({int((bad.case_kind == k).sum())})" for k in kinds) + " |"
    yield "|---|" + "---:|" * len(kinds)
    for name in (c for c in rows.columns if c.startswith(METRIC)):
        areas = [_auc(good[name].dropna(), bad[bad.case_kind == kind][name].dropna()) for kind in kinds]
        shown = ("-" if area is None else f"{max(area, 1 - area):.3f}" for area in areas)
        yield f"| {name.removeprefix(METRIC)} | {' | '.join(shown)} |"


def _auc(good: ArrayLike, bad: ArrayLike) -> float | None:
    """Return the chance that a good case has the higher value; None without values."""
    first, second = np.asarray(good, dtype=float), np.asarray(bad, dtype=float)
    if not first.size or not second.size:
        return None
    return float(stats.mannwhitneyu(first, second).statistic / (first.size * second.size))


def separation(good: NDArray[np.float64], bad: NDArray[np.float64]) -> list[str]:
    """Return quantiles of (G,) good and (B,) bad values, and what three limits would let through."""
    higher = _auc(good, bad) or 0.0
    sign = 1.0 if higher >= 0.5 else -1.0
    up, down = sign * good, sign * bad
    places = np.unique(np.concatenate((up, down)))
    between = np.concatenate((places[:1], 0.5 * (places[1:] + places[:-1])))
    # a case passes at or above the limit
    passing = np.array([(down >= limit).mean() for limit in between])
    stopped = np.array([(up < limit).mean() for limit in between])
    best = int(np.argmin(passing + stopped))
    strict = float(np.quantile(down, 1 - BAD_PASSED_LIMIT, method="higher"))
    lenient = float(np.quantile(up, GOOD_STOPPED_LIMIT, method="lower"))
    numbers = [*np.quantile(good, [0.02, 0.5, 0.98]), *np.quantile(bad, [0.02, 0.5, 0.98])]
    return [
        *(f"{value:.3g}" for value in numbers),
        f"{max(higher, 1 - higher):.3f}",
        "higher" if sign > 0 else "lower",
        f"{sign * between[best]:.3g}",
        f"{100 * passing[best]:.1f} %",
        f"{100 * stopped[best]:.1f} %",
        f"{sign * strict:.3g}",
        f"{100 * (up <= strict).mean():.1f} %",
        f"{sign * lenient:.3g}",
        f"{100 * (down >= lenient).mean():.1f} %",
    ]

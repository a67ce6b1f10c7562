"""Do the models of the package and of R agree? Both on one simulated trial.

    python bench/models_in_r.py [--keep FOLDER]

Needs Rscript with haven, emmeans and nlme (Debian: r-base-core r-recommended r-cran-haven r-cran-emmeans).
Runs ``primary_analysis.R`` of the package on the trial as XPT. Without the R package mmrm the program fits
its MMRM with nlme::gls, whose standard errors are not adjusted: then estimates are compared, and the
adjustment is checked on a model that pbkrtest knows (compound symmetry as a random intercept), if lme4 and
pbkrtest are there. Ends with 1 if R is missing, 2 if the two differ by more than the tolerances below.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from importlib import resources
from pathlib import Path

import numpy as np
import pandas as pd
import pyreadstat

from infarct_vol.statistics.models import default_reference, model_rows
from infarct_vol.statistics.repeated import fitted

VISITS = ("Month 1", "Month 3", "Month 6")
ARMS = ("Active 10 mg", "Active 20 mg", "Placebo")
SEED = 20240
PARTICIPANTS = 45
TOLERANCE = {"ancova": 1e-6, "repeated_measures": 1e-3, "repeated_measures_gls": 1e-3, "kenward_roger": 1e-4}
"""Largest difference, as a share of the standard error: one fit is closed, the others stop at a tolerance."""
NUMBERS = ("estimate", "se", "df", "low", "high", "p")

KENWARD_ROGER = """
rows <- read.csv("rows.csv")
rows$arm <- factor(rows$arm)
rows$visit <- factor(rows$visit)
rows$centred <- rows$baseline - mean(rows$baseline)
fit <- lme4::lmer(change ~ 0 + arm:visit + centred:visit + (1 | participant_id), data = rows,
                  control = lme4::lmerControl(optCtrl = list(ftol_abs = 1e-14, xtol_abs = 1e-12)))
names <- names(lme4::fixef(fit))
adjusted <- as.matrix(pbkrtest::vcovAdj(fit))
for (visit in levels(rows$visit)) {
  weights <- (names == paste0("armActive 10 mg:visit", visit)) - (names == paste0("armPlacebo:visit", visit))
  df <- pbkrtest::Lb_ddf(weights, vcov(fit), pbkrtest::vcovAdj(fit))
  numbers <- c(sum(weights * lme4::fixef(fit)), sqrt(sum(weights * (adjusted %*% weights))), df)
  cat("RESULT", visit, formatC(numbers, digits = 12, format = "g"), sep = "\\t")
  cat("\\n")
}
"""


def main() -> int:
    """Run R, print the differences, return the exit code."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--keep", type=Path, help="folder to leave the datasets and the output of R in")
    keep = options.parse_args().keep
    if shutil.which("Rscript") is None:
        print("Rscript is not installed: nothing was compared")
        return 1
    with tempfile.TemporaryDirectory() as drawer:
        folder = Path(keep or drawer)
        (folder / "programs").mkdir(parents=True, exist_ok=True)
        frame = trial()
        write_xpt(frame, folder)
        text = resources.files("infarct_vol.programs").joinpath("primary_analysis.R").read_text("utf-8")
        (folder / "programs" / "primary_analysis.R").write_text(text, encoding="utf-8")
        printed = run("primary_analysis.R", folder / "programs")
        if printed is None:
            return 1
        (folder / "primary_analysis.txt").write_text(printed, encoding="utf-8")
        good = [compared(frame, printed), kenward_roger(frame, folder)]
    return 0 if all(good) else 2


def trial() -> pd.DataFrame:
    """Return the rows of a trial with missing visits, skewed volumes and correlated months."""
    rng = np.random.default_rng(SEED)
    root = np.linalg.cholesky(np.array([[9.0, 5, 4], [5, 12, 9], [4, 9, 16]]))
    rows = []
    for number in range(PARTICIPANTS):
        baseline = float(rng.lognormal(3, 0.7))
        noise = root @ rng.normal(size=3)
        for place, visit in enumerate(VISITS):
            effect = (0.0, -1.5, 0.5)[number % 3] * place
            value = max(0.0, baseline * (0.9 - 0.12 * place) + effect + noise[place])
            if rng.random() > 0.12:
                rows.append((f"sub-{number:03}", visit, ARMS[number % 3], baseline, value))
    return pd.DataFrame(rows, columns=["participant_id", "visit", "arm", "baseline", "value"])


def write_xpt(frame: pd.DataFrame, folder: Path) -> None:
    """Write the trial as the two datasets that the program reads, as far as it reads them."""
    long = pd.DataFrame(
        {
            "STUDYID": "SIM",
            "USUBJID": frame["participant_id"],
            "TRTP": frame["arm"],
            "PARAMCD": "INFVOL",
            "AVAL": frame["value"],
            "AVISIT": frame["visit"],
            "AVISITN": frame["visit"].str.removeprefix("Month ").astype(float),
            "ANL01FL": "Y",
            "BASE": frame["baseline"],
            "CHG": frame["value"] - frame["baseline"],
        }
    )
    people = long[["STUDYID", "USUBJID"]].drop_duplicates()
    for name, table in (("ADINFVOL", long), ("ADSL", people)):
        pyreadstat.write_xport(table, folder / f"{name.lower()}.xpt", table_name=name, file_format_version=5)


def run(program: str, folder: Path) -> str | None:
    """Return what an R program printed, None if it failed."""
    done = subprocess.run(["Rscript", program], cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"{program} failed:\n{done.stderr}")
        return None
    return done.stdout


def results(printed: str) -> list[list[str]]:
    """Return the fields of the lines that stand for one number of the tables each."""
    return [line.split("\t")[1:] for line in printed.splitlines() if line.startswith("RESULT\t")]


def compared(frame: pd.DataFrame, printed: str) -> bool:
    """Print the largest differences of each model and scale; tell if they hold the tolerances."""
    reference = default_reference(ARMS)
    rows = model_rows(frame, parameter="infarct", visits=VISITS)
    known = {(r.model, r.scale, r.visit, r.term, r.arm, r.reference_arm): r for r in rows}
    worst: dict[tuple[str, str], dict[str, float]] = {}
    for model, scale, visit, term, arm, against, *numbers in results(printed):
        row = known.pop((model.removesuffix("_gls"), scale, visit, term, arm, against))
        for name, number in zip(NUMBERS, numbers, strict=True):
            size = 1.0 if name in ("df", "p") else float(row.se or 0)
            difference = abs(float(number) - getattr(row, name)) / size
            spot = worst.setdefault((model, scale), {})
            spot[name] = max(spot.get(name, 0.0), difference)
    print(f"{PARTICIPANTS} participants, {len(frame)} rows, reference {reference}")
    print("largest difference (estimate, se, low, high in standard errors; df and p as they are)")
    good = not known
    for (model, scale), spot in worst.items():
        judged = ("estimate",) if model.endswith("_gls") else NUMBERS
        good &= all(spot[name] <= TOLERANCE[model] for name in judged)
        print(f"  {model:22} {scale:10}", "  ".join(f"{name} {spot[name]:.1e}" for name in NUMBERS))
    if known:
        print(f"  R gave no number for {len(known)} rows of the package")
    return good


def kenward_roger(frame: pd.DataFrame, folder: Path) -> bool:
    """Compare adjusted errors and degrees of freedom with pbkrtest under compound symmetry."""
    ask = "q(status = !all(sapply(c('lme4', 'pbkrtest'), requireNamespace, quietly = TRUE)))"
    if subprocess.run(["Rscript", "-e", ask], capture_output=True, check=False).returncode:
        print("lme4 or pbkrtest is not installed: Kenward-Roger was not compared")
        return True
    frame.assign(change=frame["value"] - frame["baseline"]).to_csv(folder / "rows.csv", index=False)
    (folder / "kenward_roger.R").write_text(KENWARD_ROGER, encoding="utf-8")
    printed = run("kenward_roger.R", folder)
    if printed is None:
        return False
    wide = frame.pivot(index="participant_id", columns="visit", values=["value", "baseline"])
    change = (wide["value"] - wide["baseline"])[list(VISITS)].to_numpy()
    before = np.nan_to_num((wide["baseline"] - frame["baseline"].mean())[list(VISITS)].to_numpy())
    arm = frame.drop_duplicates("participant_id").set_index("participant_id")["arm"][wide.index]
    design = np.zeros((*change.shape, 12))
    for place in range(3):
        for number, name in enumerate(ARMS):
            design[:, place, 4 * place + number] = arm == name
        design[:, place, 4 * place + 3] = before[:, place]
    fit = fitted(design, change, structure="compound symmetry")
    if fit is None:
        print("compound symmetry could not be fitted")
        return False
    worst = 0.0
    for visit, *numbers in results(printed):
        weights = np.zeros(12)
        weights[4 * VISITS.index(visit) + np.array([0, 2])] = 1, -1
        own = fit.contrast(weights)
        worst = max([worst, *(abs(float(n) / o - 1) for n, o in zip(numbers, own, strict=True))])
    print(f"Kenward-Roger, compound symmetry, against pbkrtest: largest relative difference {worst:.1e}")
    return worst <= TOLERANCE["kenward_roger"]


if __name__ == "__main__":
    sys.exit(main())

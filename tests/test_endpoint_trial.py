"""From masks to endpoint tables: a trial whose volumes are known, and one of every degenerate case."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import shutil
from collections.abc import Mapping
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pyreadstat
import pytest
from scipy import stats
from toy_trials import VOXEL_ML, ToyParticipant, ToySession, write_toy_trial

from infarct_vol import trial
from infarct_vol.audit import AuditTrail
from infarct_vol.errors import StudyError
from infarct_vol.protocol import Protocol
from infarct_vol.results import remake_tables
from infarct_vol.tables import read_tables
from infarct_vol.trial import RunSummary, run_study

pytestmark = pytest.mark.usefixtures("_no_figures")

PROTOCOL = Protocol(study_id="TOY")
VISITS = {"baseline": "BL", "month1": "M01", "month3": "M03", "month6": "M06"}
TIMES = {"BL": "2026-03-01T09:00:00", "M01": "2026-03-31", "M03": "2026-05-30", "M06": "2026-08-28"}


@pytest.fixture(scope="module")
def _no_figures() -> object:
    """Leave out the pictures of single participants, which have tests of their own."""
    patch = pytest.MonkeyPatch()
    patch.setattr(trial, "render_participant", lambda *_, **__: None)
    yield
    patch.undo()


def rows_of(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"), newline="")))


# ---------------------------------------------------------------- 27 participants, two arms, known effects

ARMS = {f"sub-{n:03d}": "iEPC" if n % 2 else "placebo" for n in range(1, 28)}


def known_voxels() -> pd.DataFrame:
    """Voxels of every mask: infarcts shrink to 70, 50 and 40 %, under iEPC by 15 points more."""
    rng = np.random.default_rng(20260301)
    rows = []
    for name, arm in ARMS.items():
        baseline = int(rng.integers(50, 2000))
        for visit, left in (("baseline", 1.0), ("month1", 0.7), ("month3", 0.5), ("month6", 0.4)):
            effect = 0.15 if arm == "iEPC" and visit != "baseline" else 0.0
            noise = rng.normal(0, 0.05) if visit != "baseline" else 0.0
            rows.append((name, arm, visit, max(0, round(baseline * (left - effect + noise)))))
    known = pd.DataFrame(rows, columns=["participant_id", "arm", "visit", "voxels"])
    # as available: three visits did not take place
    gone = {("sub-004", "month3"), ("sub-009", "month6"), ("sub-020", "month1")}
    there = [(p, v) not in gone for p, v in zip(known["participant_id"], known["visit"], strict=True)]
    return known[there].assign(volume=known["voxels"] * VOXEL_ML)


@pytest.fixture(scope="module")
def arms_trial(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Output folder of the trial with its randomisation list, and the folder of its inputs."""
    root = tmp_path_factory.mktemp("arms")
    known = known_voxels()
    people = {
        name: ToyParticipant(
            tuple(ToySession(VISITS[r.visit], TIMES[VISITS[r.visit]], r.voxels) for r in own.itertuples())
        )
        for name, own in known.groupby("participant_id")
    }
    study, masks = write_toy_trial(root, people)
    listed = root / "arms.csv"
    listed.write_text("participant_id,arm\n" + "".join(f"{name},{arm}\n" for name, arm in ARMS.items()))
    run_study(study, root / "out", protocol=PROTOCOL, masks=masks, randomization=listed)
    return root / "out", root


def independent_summary() -> pd.DataFrame:
    """The few lines a statistician would write over the known volumes."""
    known = known_voxels()
    base = known[known["visit"] == "baseline"].set_index("participant_id")["volume"]
    known["change"] = known["volume"] - known["participant_id"].map(base)
    known["percent"] = 100 * known["change"] / known["participant_id"].map(base)
    known.loc[known["visit"] == "baseline", ["change", "percent"]] = np.nan
    pooled = pd.concat([known, known.assign(arm="all")])
    long = pooled.melt(["visit", "arm"], ["volume", "change", "percent"], "quantity").dropna()
    grouped = long.groupby(["visit", "arm", "quantity"])["value"]
    table = grouped.agg(["count", "mean", "std", "min", "max"])
    for name, q in (("q1", 0.25), ("median", 0.5), ("q3", 0.75)):
        table[name] = grouped.agg(lambda v, q=q: np.quantile(v, q, method="averaged_inverted_cdf"))
    half = stats.t.ppf(0.975, table["count"] - 1) * table["std"] / np.sqrt(table["count"])
    return table.assign(mean_low=table["mean"] - half, mean_high=table["mean"] + half)


def test_every_number_of_the_summary_is_that_of_an_independent_script(arms_trial: tuple[Path, Path]) -> None:
    summary = read_tables(arms_trial[0]).summary
    infarct = summary[summary["parameter"] == "infarct"].set_index(["visit", "arm"])
    compared = 0
    for (visit, arm, quantity), expected in independent_summary().iterrows():
        row = infarct.loc[(visit, arm)]
        assert row[f"{quantity}_n"] == expected["count"]
        for name, other in (("mean", "mean"), ("sd", "std"), *((n, n) for n in ("min", "max", "median"))):
            assert row[f"{quantity}_{name}"] == pytest.approx(expected[other], rel=1e-9, abs=1e-9)
        for name in ("q1", "q3", "mean_low", "mean_high"):
            assert row[f"{quantity}_{name}"] == pytest.approx(expected[name], rel=1e-9, abs=1e-9)
        compared += 1
    assert compared == 3 * (1 + 3 * 3), "three arms; volumes at four visits, two changes at three"
    assert set(infarct["blinding"]) == {"UNBLINDED"}
    assert infarct.loc[("month3", "all"), "missing_n"] == 1


def test_the_change_table_and_the_dataset_hold_the_known_volumes(arms_trial: tuple[Path, Path]) -> None:
    out = arms_trial[0]
    known = known_voxels().set_index(["participant_id", "visit"])["volume"]
    change = read_tables(out).change
    primary = change[change["parameter"] == "infarct"]
    measured = primary[primary["change_ml"].notna()]
    assert len(measured) == 27 * 3 - 3
    frame, _ = pyreadstat.read_xport(out / "tables" / "adam" / "adinfvol.xpt")
    rows = frame[(frame["PARAMCD"] == "INFVOL") & (frame["ANL01FL"] == "Y")]
    by_key = rows.set_index(["SUBJID", "AVISIT"])
    visits = {"month1": "Month 1", "month3": "Month 3", "month6": "Month 6"}
    for row in measured.itertuples():
        expected = known[row.participant_id, row.visit] - known[row.participant_id, "baseline"]
        assert row.change_ml == pytest.approx(expected, rel=1e-9, abs=1e-9)
        analysed = by_key.loc[(row.participant_id.removeprefix("sub-"), visits[row.visit])]
        assert analysed["AVAL"] == pytest.approx(row.volume_ml, rel=1e-11, abs=0)
        assert analysed["CHG"] == analysed["AVAL"] - analysed["BASE"]
        assert analysed["CHG"] == pytest.approx(row.change_ml, rel=1e-9, abs=1e-9)
        assert analysed["PCHG"] == pytest.approx(row.percent_change, rel=1e-9, abs=1e-9)
        assert analysed["TRTP"] == ARMS[row.participant_id]
        assert analysed["CRIT1FL"] == ("Y" if row.exceeds_repeatability else "N")


def test_wide_and_long_hold_the_numbers_of_their_contract_tables(arms_trial: tuple[Path, Path]) -> None:
    folder = arms_trial[0] / "tables"
    change = {
        (r["participant_id"], r["parameter"], r["visit"]): r
        for r in rows_of(folder / "change_from_baseline.csv")
    }
    wide = {
        (r["participant_id"], r["parameter"]): r for r in rows_of(folder / "change_from_baseline_wide.csv")
    }
    assert {key[:2] for key in change} == set(wide)
    for (participant, parameter, visit), row in change.items():
        for column in ("volume_ml", "change_ml", "percent_change", "status", "reason", "like_for_like"):
            assert wide[participant, parameter][f"{column}_{visit}"] == row[column]
    summary = {(r["parameter"], r["visit"], r["arm"]): r for r in rows_of(folder / "summary.csv")}
    long = rows_of(folder / "summary_long.csv")
    assert len(long) == len(summary) * 3 * 12
    for row in long:
        key = row["parameter"], row["visit"], row["arm"]
        assert summary[key][f"{row['quantity']}_{row['statistic']}"] == row["value"]


def test_the_analysis_of_covariance_is_that_of_the_normal_equations(arms_trial: tuple[Path, Path]) -> None:
    known = known_voxels()
    base = known[known["visit"] == "baseline"].set_index("participant_id")["volume"]
    models = pd.read_csv(arms_trial[0] / "tables" / "models.csv")
    found = models[
        (models["parameter"] == "infarct")
        & (models["scale"] == "raw")
        & (models["model"] == "ancova")
        & (models["term"] == "difference")
    ].set_index("visit")
    for visit in ("month1", "month3", "month6"):
        own = known[known["visit"] == visit]
        covariate = own["participant_id"].map(base)
        treated = (own["arm"] == "iEPC").astype(float)
        design = np.column_stack([np.ones(len(own)), treated, covariate])
        solution, *_ = np.linalg.lstsq(design, own["volume"] - covariate, rcond=None)
        assert found.loc[visit, "estimate"] == pytest.approx(solution[1], rel=1e-8)
        assert (found.loc[visit, "arm"], found.loc[visit, "reference_arm"]) == ("iEPC", "placebo")
        assert found.loc[visit, "n"] == len(own)


def test_the_list_is_not_copied_and_its_hash_and_time_are_in_the_audit_trail(
    arms_trial: tuple[Path, Path],
) -> None:
    out, root = arms_trial
    (entry,) = AuditTrail(out).entries()
    assert (entry.action, entry.subject) == ("unblinding", "tables")
    digest = hashlib.sha256((root / "arms.csv").read_bytes()).hexdigest()
    assert entry.new == f"SHA-256 {digest}"
    assert entry.utc.endswith("+00:00")
    assert AuditTrail(out).faults() == ()
    assert not [path for path in out.rglob("*") if path.is_file() and path.name == "arms.csv"]
    assert b"iEPC" not in (out / "tables" / "volumes.csv").read_bytes()


def test_without_the_list_nothing_tells_the_arms_and_everything_says_blinded(
    arms_trial: tuple[Path, Path], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    shutil.copytree(arms_trial[0], out)
    remake_tables(out)
    for path in (out / "tables").rglob("*"):
        if path.is_file() and path.parent.name != "programs":
            content = path.read_bytes()
            assert b"iEPC" not in content, path
            assert b"TRT01P" not in content, path
    for path in (out / "tables").glob("*.csv"):
        if path.stem != "data_dictionary":
            assert {row["blinding"] for row in rows_of(path)} == {"BLINDED"}, path
    assert b"(BLINDED)" in (out / "tables" / "adam" / "define.xml").read_bytes()
    assert not (out / "tables" / "models.csv").exists()


def test_remaking_the_tables_gives_the_same_bytes(arms_trial: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(arms_trial[0], out)
    before = {p.relative_to(out): p.read_bytes() for p in (out / "tables").rglob("*") if p.is_file()}
    remake_tables(out, randomization=arms_trial[1] / "arms.csv")
    after = {p.relative_to(out): p.read_bytes() for p in (out / "tables").rglob("*") if p.is_file()}
    assert after == before


def test_a_mask_changed_after_the_tables_were_made_is_noticed(
    arms_trial: tuple[Path, Path], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    shutil.copytree(arms_trial[0], out)
    mask = out / "sub-002" / "ses-M03" / "anat" / "sub-002_ses-M03_desc-infarct_mask.nii.gz"
    other = out / "sub-005" / "ses-M03" / "anat" / "sub-005_ses-M03_desc-infarct_mask.nii.gz"
    mask.write_bytes(other.read_bytes())
    remade = remake_tables(out)
    assert remade.exit_code == 1
    assert len(remade.problems) == 2, "the primary series and the FLAIR series"
    assert remade.problems[0].startswith(
        "sub-002 month3 infarct: the mask changed since it was measured: sub-002/ses-M03/anat/"
    )
    volumes = read_tables(out).volumes
    row = volumes[
        (volumes["participant_id"] == "sub-002")
        & (volumes["visit"] == "month3")
        & (volumes["parameter"] == "infarct")
    ].iloc[0]
    assert (row["status"], np.isnan(row["volume_ml"])) == ("failed", True)
    mask.unlink()
    assert "it is gone or unreadable" in remake_tables(out).problems[0]


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda t: t + "sub-999,iEPC\n", "the study has no participant 999"),
        (lambda t: t.replace("sub-003,iEPC\n", ""), "no arm for sub-003"),
        (lambda t: t + "sub-003,placebo\n", "'sub-003' is on the list twice"),
    ],
)
def test_a_list_that_does_not_fit_is_refused_and_unblinds_nothing(
    arms_trial: tuple[Path, Path], tmp_path: Path, change: object, match: str
) -> None:
    listed = tmp_path / "list.csv"
    listed.write_text(change((arms_trial[1] / "arms.csv").read_text()))  # type: ignore[operator]
    before = (arms_trial[0] / "tables" / "summary.csv").read_bytes()
    with pytest.raises(StudyError, match=match):
        remake_tables(arms_trial[0], randomization=listed)
    assert (arms_trial[0] / "tables" / "summary.csv").read_bytes() == before


# ---------------------------------------------------------------- one dataset in every format

DATASETS = ("adam/adsl", "adam/adinfvol", "sdtm/nv")


def fields(value: object) -> str | float | None:
    """Return what a reader found as the text or number it stands for; None where there is nothing."""
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, str):
        return value or None
    if value is None or pd.isna(value):
        return None
    # pandas reads the zero of a transport file as the smallest number there is
    return 0.0 if abs(float(value)) < 1e-70 else float(value)  # type: ignore[arg-type]


def in_csv(text: str, *, numeric: bool) -> str | float | None:
    return None if not text else float(text) if numeric else text


@pytest.mark.parametrize("name", DATASETS)
def test_a_dataset_reads_back_as_it_was_written_in_every_format(
    arms_trial: tuple[Path, Path], name: str
) -> None:
    stem = arms_trial[0] / "tables" / name
    found = pd.read_csv(stem.with_suffix(".csv"), dtype=str, keep_default_na=False)
    by_stat, meta = pyreadstat.read_xport(stem.with_suffix(".xpt"))
    by_pandas = pd.read_sas(stem.with_suffix(".xpt"), format="xport", encoding="utf-8")
    content = json.loads(stem.with_suffix(".json").read_text(encoding="utf-8"))
    assert list(found.columns) == meta.column_names == list(by_pandas.columns)
    assert [c["name"] for c in content["columns"]] == meta.column_names
    assert [c["label"] for c in content["columns"]] == meta.column_labels
    assert content["records"] == len(found) == len(by_stat) == len(by_pandas) == len(content["rows"])
    assert len(found) >= 27
    for at, column in enumerate(content["columns"]):
        numeric = column["dataType"] in ("float", "double", "integer")
        written = [in_csv(text, numeric=numeric) for text in found[column["name"]]]
        assert [fields(value) for value in by_stat[column["name"]]] == written, column["name"]
        assert [fields(row[at]) for row in content["rows"]] == written, column["name"]
        if column["dataType"] != "date":
            assert [fields(value) for value in by_pandas[column["name"]]] == written, column["name"]
        if not numeric and column["dataType"] == "string":
            assert max(len((text or "").encode()) for text in written) <= column["length"] <= 200  # type: ignore[union-attr]


@pytest.mark.parametrize("folder", ["adam", "sdtm"])
def test_the_metadata_are_valid_by_the_published_schema_and_fit_the_files(
    arms_trial: tuple[Path, Path], folder: str
) -> None:
    path = arms_trial[0] / "tables" / folder / "define.xml"
    manager = pytest.importorskip("odmlib.schema_manager")
    schema = pytest.importorskip("xmlschema").XMLSchema(manager.get_schema_path("define", "2.1"))
    assert [error.reason for error in schema.iter_errors(str(path))] == []
    text = path.read_text(encoding="utf-8")
    for dataset in path.parent.glob("*.xpt"):
        _, meta = pyreadstat.read_xport(dataset, metadataonly=True)
        for name, label in zip(meta.column_names, meta.column_labels, strict=True):
            assert f'OID="IT.{dataset.stem.upper()}.{name}"' in text
            assert label.replace("&", "&amp;") in text
    assert "UNBLINDED" in text if folder == "adam" else "iEPC" not in text


# ---------------------------------------------------------------- every degenerate case

FULL = {"BL": 500, "M01": 300, "M03": 200, "M06": 100}
"""10, 6, 4 and 2 mL."""


def sessions(times: Mapping[str, str] = TIMES, **voxels: int | None) -> ToyParticipant:
    counts = {**FULL, **voxels}
    return ToyParticipant(tuple(ToySession(label, time, counts[label]) for label, time in times.items()))


def without(*labels: str) -> dict[str, str]:
    return {label: time for label, time in TIMES.items() if label not in labels}


DEGENERATE = {
    "sub-001": sessions(),
    "sub-002": sessions(without("BL")),
    "sub-003": sessions(without("M03")),
    "sub-004": sessions(BL=0),
    "sub-005": sessions(M06=0),
    "sub-006": sessions(TIMES | {"M01b": "2026-04-02"}, M01b=290),
    "sub-007": sessions(M01=None),
    "sub-008": sessions(TIMES | {"E1": "2026-03-06", "U1": "2026-12-24"}, E1=450, U1=80),
    "sub-009": sessions(TIMES | {"BL": "2026-03-01T15:00:00"}),
    "sub-010": sessions(TIMES | {"M06": "2026-10-26"}),
}
# participant, visit: baseline, volume, change, percent, status, reason
NO = ""
WRITTEN_OUT = """
sub-001 month1: 10 6 -4 -40 measured
sub-001 month3: 10 4 -6 -60 measured
sub-001 month6: 10 2 -8 -80 measured
sub-002 month1: - 6 - - missing | no baseline value: no session for baseline
sub-002 month3: - 4 - - missing | no baseline value: no session for baseline
sub-002 month6: - 2 - - missing | no baseline value: no session for baseline
sub-003 month1: 10 6 -4 -40 measured
sub-003 month3: 10 - - - missing | no session for month3
sub-003 month6: 10 2 -8 -80 measured
sub-004 month1: 0 6 6 - measured | baseline volume is 0 mL: percent change is not defined
sub-004 month3: 0 4 4 - measured | baseline volume is 0 mL: percent change is not defined
sub-004 month6: 0 2 2 - measured | baseline volume is 0 mL: percent change is not defined
sub-005 month1: 10 6 -4 -40 measured
sub-005 month3: 10 4 -6 -60 measured
sub-005 month6: 10 0 -10 -100 measured
sub-006 month1: 10 6 -4 -40 measured
sub-006 month3: 10 4 -6 -60 measured
sub-006 month6: 10 2 -8 -80 measured
sub-007 month1: 10 - - - failed | sub-007 ses-M01 FLAIR: sub-007_ses-M01_FLAIR.nii.gz: *
sub-007 month3: 10 4 -6 -60 measured
sub-007 month6: 10 2 -8 -80 measured
sub-008 month1: 10 6 -4 -40 measured
sub-008 month3: 10 4 -6 -60 measured
sub-008 month6: 10 2 -8 -80 measured
sub-009 month1: - 6 - - excluded | no baseline value: scan is later than first dose on the same day*
sub-009 month3: - 4 - - excluded | no baseline value: scan is later than first dose on the same day*
sub-009 month6: - 2 - - excluded | no baseline value: scan is later than first dose on the same day*
sub-010 month1: 10 6 -4 -40 measured
sub-010 month3: 10 4 -6 -60 measured
sub-010 month6: 10 - - - missing | no session for month6
"""
# SUBJID, session: AVISIT AVAL BASE CHG PCHG ABLFL ANL01FL STATUS, of INFVOL
DATASET = """
001 BL: Baseline 10 10 - - Y Y measured
001 M01: Month 1 6 10 -4 -40 - Y measured
001 M03: Month 3 4 10 -6 -60 - Y measured
001 M06: Month 6 2 10 -8 -80 - Y measured
002 M01: Month 1 6 - - - - Y measured
002 M03: Month 3 4 - - - - Y measured
002 M06: Month 6 2 - - - - Y measured
003 BL: Baseline 10 10 - - Y Y measured
003 M01: Month 1 6 10 -4 -40 - Y measured
003 M06: Month 6 2 10 -8 -80 - Y measured
004 BL: Baseline 0 0 - - Y Y measured
004 M01: Month 1 6 0 6 - - Y measured
004 M03: Month 3 4 0 4 - - Y measured
004 M06: Month 6 2 0 2 - - Y measured
005 BL: Baseline 10 10 - - Y Y measured
005 M01: Month 1 6 10 -4 -40 - Y measured
005 M03: Month 3 4 10 -6 -60 - Y measured
005 M06: Month 6 0 10 -10 -100 - Y measured
006 BL: Baseline 10 10 - - Y Y measured
006 M01: Month 1 6 10 -4 -40 - Y measured
006 M01b: Unscheduled 5.8 10 -4.2 -42 - - measured
006 M03: Month 3 4 10 -6 -60 - Y measured
006 M06: Month 6 2 10 -8 -80 - Y measured
007 BL: Baseline 10 10 - - Y Y measured
007 M01: Month 1 - 10 - - - - failed
007 M03: Month 3 4 10 -6 -60 - Y measured
007 M06: Month 6 2 10 -8 -80 - Y measured
008 BL: Baseline 10 10 - - Y Y measured
008 E1: Early - 10 - - - - excluded
008 M01: Month 1 6 10 -4 -40 - Y measured
008 M03: Month 3 4 10 -6 -60 - Y measured
008 M06: Month 6 2 10 -8 -80 - Y measured
008 U1: Unscheduled 1.6 10 -8.4 -84 - - measured
009 BL: Baseline - - - - - - excluded
009 M01: Month 1 6 - - - - Y measured
009 M03: Month 3 4 - - - - Y measured
009 M06: Month 6 2 - - - - Y measured
010 BL: Baseline 10 10 - - Y Y measured
010 M01: Month 1 6 10 -4 -40 - Y measured
010 M03: Month 3 4 10 -6 -60 - Y measured
010 M06: Unscheduled 2 10 -8 -80 - - measured
"""


@pytest.fixture(scope="module")
def degenerate(tmp_path_factory: pytest.TempPathFactory) -> RunSummary:
    root = tmp_path_factory.mktemp("degenerate")
    study, masks = write_toy_trial(root, DEGENERATE)
    return run_study(study, root / "out", protocol=PROTOCOL, masks=masks)


def shown(value: object) -> str:
    """Return a number as it is written out above: a hyphen where there is none."""
    if value is None or value == "" or (isinstance(value, float) and np.isnan(value)):
        return "-"
    return f"{float(value):.6g}"


def test_every_degenerate_case_has_exactly_the_rows_written_out_by_hand(degenerate: RunSummary) -> None:
    expected = []
    for line in WRITTEN_OUT.strip().splitlines():
        numbers, _, reason = line.partition(" | ")
        expected.append((numbers, reason))
    found = []
    for row in rows_of(degenerate.tables.change):
        if row["parameter"] == "infarct":
            values = (row[c] for c in ("baseline_volume_ml", "volume_ml", "change_ml", "percent_change"))
            numbers = " ".join(shown(value) for value in values)
            found.append(
                (f"{row['participant_id']} {row['visit']}: {numbers} {row['status']}", row["reason"])
            )
    assert [numbers for numbers, _ in found] == [numbers for numbers, _ in expected]
    for (_, reason), (_, wanted) in zip(found, expected, strict=True):
        assert reason.startswith(wanted.removesuffix("*")) if wanted.endswith("*") else reason == wanted


def test_the_dataset_of_every_degenerate_case_is_as_written_out_by_hand(degenerate: RunSummary) -> None:
    folder = degenerate.tables.folder
    sources = {(r["USUBJID"], r["NVSEQ"]): r["NVSPID"] for r in rows_of(folder / "sdtm" / "nv.csv")}
    found = []
    for row in rows_of(folder / "adam" / "adinfvol.csv"):
        if row["PARAMCD"] == "INFVOL":
            session = sources[row["USUBJID"], row["SRCSEQ"]].removeprefix("ses-")
            numbers = " ".join(shown(row[name]) for name in ("AVAL", "BASE", "CHG", "PCHG"))
            flags = " ".join(row[name] or "-" for name in ("ABLFL", "ANL01FL"))
            found.append(f"{row['SUBJID']} {session}: {row['AVISIT']} {numbers} {flags} {row['STATUS']}")
    assert sorted(found) == sorted(DATASET.strip().splitlines())


def test_why_a_scan_is_not_analysed_stands_in_the_dataset(degenerate: RunSummary) -> None:
    rows = rows_of(degenerate.tables.folder / "adam" / "adinfvol.csv")
    reasons = {
        (r["SUBJID"], r["ADY"]): r["REASON"]
        for r in rows
        if r["PARAMCD"] == "INFVOL" and not r["ANL01FL"] and r["STATUS"] != "failed"
    }
    assert reasons == {
        ("006", "33"): "another session is nearer to the target day of month1",
        ("008", "6"): "study day 6 lies in no analysis window",
        ("008", "299"): "study day 299 lies in no analysis window",
        ("009", "1"): "scan is later than first dose on the same day, so it is no baseline",
        ("010", "240"): "study day 240 lies in no analysis window",
    }
    zero = [r for r in rows if r["SUBJID"] == "004" and r["PARAMCD"] == "INFVOL" and r["CHG"]]
    assert len(zero) == 3
    assert all("percent change is not defined" in r["REASON"] for r in zero)


def test_a_visit_that_did_not_take_place_is_in_the_listing_and_not_in_the_dataset(
    degenerate: RunSummary,
) -> None:
    rows = rows_of(degenerate.tables.folder / "sdtm" / "nv.csv")
    (gone,) = [
        r for r in rows if r["USUBJID"] == "TOY-003" and r["VISIT"] == "MONTH 3" and r["NVTESTCD"] == "INFVOL"
    ]
    assert (gone["NVSTAT"], gone["NVREASND"], gone["NVSTRESN"], gone["STATUS"]) == (
        "NOT DONE",
        "no session for month3",
        "",
        "missing",
    )


def test_missing_failed_and_excluded_are_counted_and_never_zero(degenerate: RunSummary) -> None:
    summary = read_tables(degenerate.out).summary
    rows = summary[summary["parameter"] == "infarct"].set_index("visit")
    assert rows.loc["baseline", ["volume_n", "missing_n", "excluded_n"]].tolist() == [8, 1, 1]
    assert rows.loc["month1", ["volume_n", "change_n", "percent_n", "failed_n"]].tolist() == [9, 7, 6, 1]
    assert rows.loc["month6", ["volume_n", "change_n", "percent_n", "missing_n"]].tolist() == [9, 7, 6, 1]
    assert rows.loc["month6", "volume_min"] == 0.0


def test_exit_code_and_problems_name_what_was_refused(degenerate: RunSummary) -> None:
    assert degenerate.exit_code == 1
    refused = {
        (participant, visit) for participant, visit, status, _ in degenerate.problems if status == "failed"
    }
    assert refused == {("sub-007", "month1")}


def test_without_dates_the_labels_give_a_change_and_the_dataset_says_why_it_has_none(tmp_path: Path) -> None:
    study, masks = write_toy_trial(tmp_path, {"sub-001": sessions()})
    (study / "sub-001" / "sub-001_sessions.tsv").unlink()
    summary = run_study(study, tmp_path / "out", masks=masks)
    changes = [r["change_ml"] for r in rows_of(summary.tables.change) if r["parameter"] == "infarct"]
    assert changes == ["-4", "-6", "-8"]
    rows = [r for r in rows_of(summary.tables.folder / "adam" / "adinfvol.csv") if r["PARAMCD"] == "INFVOL"]
    assert [(r["AVISIT"], r["AVAL"], r["ABLFL"], r["BASE"], r["CHG"]) for r in rows] == [
        ("Baseline", "10.0", "", "", ""),
        ("Month 1", "6.0", "", "", ""),
        ("Month 3", "4.0", "", "", ""),
        ("Month 6", "2.0", "", "", ""),
    ]
    assert rows[0]["REASON"] == (
        "no baseline record, because its date or that of the first dose is not stated"
    )


# ---------------------------------------------------------------- inputs that change


def test_an_input_mask_that_changed_is_named_measured_again_and_in_the_audit_trail(tmp_path: Path) -> None:
    study, masks = write_toy_trial(tmp_path, {"sub-001": sessions()})
    out = tmp_path / "out"
    first = run_study(study, out, masks=masks)
    assert first.changed_inputs == ()
    write_toy_trial(tmp_path / "other", {"sub-001": sessions(M01=400)})
    name = "sub-001_ses-M01_FLAIR_mask.nii.gz"
    (masks / name).write_bytes((tmp_path / "other" / "masks" / name).read_bytes())
    second = run_study(study, out, masks=masks)
    assert second.changed_inputs == (f"sub-001: masks/{name} changed since the last run; measured again",)
    (entry,) = AuditTrail(out).entries()
    assert (entry.action, entry.subject) == ("input changed", f"sub-001 masks/{name}")
    assert len(entry.old) == len(entry.new) == 64
    volumes = read_tables(out).volumes
    assert volumes.loc[
        (volumes["visit"] == "month1") & (volumes["parameter"] == "infarct"), "volume_ml"
    ].item() == (pytest.approx(8.0))


def test_a_bad_list_is_refused_before_anything_is_measured(tmp_path: Path) -> None:
    study, masks = write_toy_trial(tmp_path, {"sub-001": sessions()})
    listed = tmp_path / "arms.csv"
    listed.write_text("participant_id,arm\nsub-002,A\n")
    with pytest.raises(StudyError, match="the study has no participant 002"):
        run_study(study, tmp_path / "out", masks=masks, randomization=listed)
    assert not (tmp_path / "out").exists()


def test_participants_randomised_but_without_data_are_counted(tmp_path: Path) -> None:
    people = {"sub-001": sessions(), "sub-002": sessions(), "sub-003": ToyParticipant(())}
    study, masks = write_toy_trial(tmp_path, people)
    listed = tmp_path / "arms.csv"
    listed.write_text("participant_id,arm\nsub-001,A\nsub-002,B\nsub-003,B\n")
    out = tmp_path / "out"
    run_study(study, out, masks=masks, participant_labels=("001", "002"), randomization=listed)
    summary = read_tables(out).summary
    rows = summary[(summary["parameter"] == "infarct") & (summary["visit"] == "month1")].set_index("arm")
    assert rows["randomized_n"].to_dict() == {"all": 3, "A": 1, "B": 2}
    assert rows["randomized_without_data_n"].to_dict() == {"all": 1, "A": 0, "B": 1}
    adsl = {r["SUBJID"]: r for r in rows_of(out / "tables" / "adam" / "adsl.csv")}
    assert (adsl["003"]["TRT01P"], adsl["003"]["RANDFL"], adsl["003"]["BLVOLFL"]) == ("B", "Y", "N")
    assert (adsl["001"]["AGE"], adsl["001"]["SEX"], adsl["001"]["SITEID"]) == ("60.0", "F", "site 0")

from __future__ import annotations

import re
from importlib import resources

import pytest

SAS, R = (
    resources.files("infarct_vol.programs").joinpath(f"primary_analysis.{kind}").read_text("utf-8")
    for kind in ("sas", "R")
)
BOTH = pytest.mark.parametrize("text", [SAS, R], ids=["sas", "R"])
VARIABLES = set(
    re.findall(
        r"\w+",
        "STUDYID USUBJID SUBJID SITEID TRTP TRTPN TRTSDT PARAM PARAMCD PARAMN AVAL ADT ADY VISIT VISITNUM "
        "AVISIT AVISITN ABLFL ANL01FL BASE BASETYPE CHG PCHG DTYPE",
    )
)
MADE = {"CBASE", "CCHG"}
"""Cube roots, which the programs make themselves."""
WORDS = {"ERROR", "NOTE", "TRUE", "FALSE", "NULL", "NA", "SE", "DF"}
"""What %put begins with in SAS, constants of R, and columns of what emmeans and PROC MIXED return."""


@BOTH
def test_it_reads_the_datasets_above_its_own_folder_and_nothing_else(text):
    paths = re.findall(r"[\"'`]((?:\.{0,2}/|[A-Za-z]:)[\w./\\-]+)", text)
    assert set(paths) == {"../adinfvol.xpt", "../adsl.xpt"}
    assert not re.search(r"https?://|setwd|/home|/tmp|\.\./\.\.", text)


@BOTH
def test_every_name_in_capitals_is_a_variable_of_the_dataset(text):
    code = re.sub(r"/\*.*?\*/|#[^\n]*|\"[^\"\n]*\"", "", text, flags=re.DOTALL)
    names = set(re.findall(r"\b_?([A-Z][A-Z0-9]+)\b", code))
    assert names - VARIABLES - MADE - WORDS == set()
    assert {"USUBJID", "TRTP", "PARAMCD", "AVAL", "BASE", "CHG", "AVISIT", "AVISITN", "ANL01FL"} <= names


@BOTH
def test_rows_are_the_analysed_ones_after_baseline(text):
    assert re.search(r"PARAMCD ==? \"INFVOL\"", text)
    assert re.search(r"ANL01FL ==? \"Y\"", text)
    assert "AVISITN > 0" in text


@BOTH
def test_a_blinded_trial_stops_with_a_message(text):
    assert "has no TRTP: the trial is blinded" in text


@BOTH
def test_both_choose_the_reference_of_the_tables(text):
    assert re.search(r"\"placebo\W.*\bcontrol\"", text)


@BOTH
def test_it_says_that_the_models_are_descriptive(text):
    assert "With about 27 participants the models are descriptive" in text


def test_both_name_the_same_models():
    assert "model &change = TRTP &base /" in SAS
    assert "change ~ TRTP + before else" in R
    assert "model &change = TRTP AVISIT TRTP*AVISIT &base &base*AVISIT / ddfm=kr" in SAS
    assert "change ~ TRTP + AVISIT + TRTP:AVISIT + before + before:AVISIT + us(AVISIT | USUBJID)" in R
    assert 'method = "Kenward-Roger", reml = TRUE' in R
    assert "repeated AVISIT / subject=USUBJID type=un" in SAS
    assert "type=cs" in SAS
    assert "corCompSymm" in R
    for change, base in (("CHG", "BASE"), ("CCHG", "CBASE")):
        assert f"%models(change={change}, base={base}," in SAS
        assert f"analysis${change}" in R
        assert f"analysis${base}" in R


def test_both_use_the_definitions_of_the_tables():
    assert "qntldef=5" in SAS
    assert "clm alpha=0.05" in SAS
    assert "ciquantdf(alpha=0.05)" in SAS
    assert "type = 2" in R
    # without it SAS adjusts differences to a control for their number (Dunnett)
    assert "adjust=t" in SAS
    assert 'adjust = "none"' in R

"""The endpoint's page of tables and its PDF: complete, marked, inert, self-contained, the same every time."""

from __future__ import annotations

import base64
import hashlib
import html
import io
import re
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from endpoint_frames import SHA, MadeOutcomes, Trial, models, trial
from pypdf import PdfReader

from infarct_vol.errors import UsageError
from infarct_vol.protocol import Protocol
from infarct_vol.qa.endpoint import run
from infarct_vol.qa.endpoint.content import (
    TextColumn,
    TextTable,
    change_table,
    fixed,
    narrow_summary_tables,
    span,
    status_table,
    summary_tables,
    with_spread,
    yes_or_no,
)
from infarct_vol.qa.endpoint.content_models import correlation_table, model_tables, outcome_tables, p_value
from infarct_vol.qa.endpoint.page import tables_page
from infarct_vol.qa.endpoint.pdf import trial_summary_pdf
from infarct_vol.qa.endpoint.pdf_parts import document_bytes, legible, table_flowable
from infarct_vol.qa.endpoint.report import (
    EndpointPaths,
    TrialFacts,
    endpoint_pictures,
    write_endpoint_report,
)
from infarct_vol.settings import VisitSettings, VisitWindow
from infarct_vol.tables import write_tables

HOSTILE = '<img src=x onerror="alert(1)">**b** [l](http://x.example)/../../=cmd'
STATEMENT = "With 27 participants these models are descriptive."
WINDOWS = (("baseline", "1", "to 1", "7"), ("month 1", "31", "16 to 60", "7"))


def facts(*, blinded: bool = True, n: int = 12) -> TrialFacts:
    return TrialFacts(
        study_id="TRIAL-1 <script>alert(2)</script>",
        protocol_sha256=SHA,
        version="9.9.9",
        data_cut="2024-12-05T12:59:00",
        blinded=blinded,
        statement=STATEMENT,
        participants_n=n,
        randomised_without_data_n=None if blinded else 2,
        windows=WINDOWS,
        repeatability="20 % of baseline",
    )


def write(made: Trial, out: Path, *, blinded: bool = True, n: int = 12) -> EndpointPaths:
    return write_endpoint_report(
        out,
        facts=facts(blinded=blinded, n=n),
        volumes=made.volumes,
        change=made.change,
        summary=made.summary,
        models=None if blinded else models(),
        outcomes=made.outcomes,
        arms=None if blinded else made.arms,
    )


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> EndpointPaths:
    return write(trial(12, blinded=False, first_id=HOSTILE), tmp_path_factory.mktemp("open"), blinded=False)


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> EndpointPaths:
    return write(trial(12), tmp_path_factory.mktemp("closed"))


def pages(path: Path) -> list[str]:
    return [page.extract_text() for page in PdfReader(path).pages]


# ---- text ------------------------------------------------------------------------------------------------


def test_numbers_have_fixed_places_and_absent_ones_are_empty() -> None:
    assert [fixed(v) for v in (1.005e3, -0.001, -1.5, None, float("nan"), pd.NA)] == [
        "1,005.00",
        "0.00",
        "−1.50",
        "",
        "",
        "",
    ]
    assert span(-1.0, 2.0) == "−1.00 to 2.00"
    assert span(None, 2.0) == ""
    assert with_spread(3.0, None) == "3.00"
    assert [p_value(p) for p in (0.0004, 0.0451, None, float("nan"))] == ["<0.001", "0.045", "", ""]
    assert [yes_or_no(v) for v in (True, False, pd.NA, None)] == ["yes", "no", "", ""]


def test_summary_says_what_the_frame_says() -> None:
    table = next(summary_tables(trial().summary))
    labels = [column.label for column in table.columns][:7]
    assert labels == [
        "arm",
        "n",
        "mean (SD)",
        "95 % CI of mean",
        "median [Q1, Q3]",
        "95 % CI of median",
        "min to max",
    ]
    # baselines 1 to 27 mL with 0 in place of 4: sum 374, mean 13.85; quartiles are the 7th and 21st
    assert table.rows[0][1] == "27"
    assert table.rows[0][2].startswith("13.85 (")
    assert table.rows[0][4] == "14.00 [7.00, 21.00]"
    assert table.rows[0][6] == "0.00 to 27.00"
    assert table.rows[0][7:9] == ("0", "")
    assert table.sections == ((0, "baseline"), (1, "month 1"), (2, "month 3"), (3, "month 6"))


def test_intervals_are_left_out_where_the_summary_has_none() -> None:
    summary = trial().summary
    bare = summary.drop(columns=[c for c in summary if c.endswith(("_low", "_high"))])
    table = next(narrow_summary_tables(bare))
    assert [c.label for c in table.columns][2:] == ["n", "mean (SD)", "median [Q1, Q3]", "min to max"]
    # one row of volume at baseline, three quantities at each follow-up
    assert len(table.rows) == 1 + 3 * 3


def test_visits_are_counted_by_what_became_of_them() -> None:
    table = status_table(trial().summary)
    assert table.rows[3] == ("all arms", "24", "2", "1", "0", "0", "27")


def test_listing_has_every_participant_and_visit_with_its_reason() -> None:
    made = trial()
    table = change_table(made.change, "infarct", arms=None)
    assert len(table.rows) == 27 * 3
    by_key = {(row[0], row[1]): row for row in table.rows}
    assert by_key["sub-006", "month 6"][3:] == (
        "6.00", "", "", "", "", "", "missing", "the scan is missing",
    )  # fmt: skip
    assert by_key["sub-004", "month 1"][5:] == (
        "0.00", "", "no", "no", "measured", "baseline 0 mL: no percent change; modality differs",
    )  # fmt: skip
    assert by_key["sub-009", "month 6"][3:9] == ("9.00", "31.50", "22.50", "250.0", "no", "yes")


def test_a_cut_listing_says_how_many_and_where_all_are() -> None:
    table = change_table(trial().change, "infarct", arms=None, most=5)
    assert len(table.rows) == 15
    assert table.notes[0] == (
        "The first 5 of 27 participants; the file tables/change_from_baseline.csv has all of them."
    )


def test_models_carry_the_statement_and_say_why_there_is_no_number() -> None:
    (table,) = model_tables(models(), statement=STATEMENT)
    assert table.title == "Change of infarct (stage-aware), mL: ANCOVA at each visit"
    assert table.rows[2][1:] == (
        "difference of adjusted means", "B active minus A placebo", "24", "−3.21", "1.10", "21.0",
        "−5.50 to −0.93", "<0.001", "",
    )  # fmt: skip
    assert table.rows[3][4:] == ("", "", "", "", "", "an arm with fewer than 2")
    assert table.notes == (STATEMENT, "Residuals at month 1: residual SD 4.200, Shapiro-Wilk p 0.031.")
    assert list(model_tables(None, statement="")) == []


def test_outcomes_and_correlations_are_tables_too() -> None:
    made = trial()
    tables = list(outcome_tables(made.outcomes.values, arms=None))
    assert [table.title for table in tables] == ["NIHSS Total Score", "Modified Rankin Scale"]
    # baseline scores k mod 6 of 27: 4 rounds of 0 to 5, then 0, 1, 2: sum 63, mean 2.33
    assert tables[0].rows[0][1:3] == ("27", "2.3 (1.7)")
    found = correlation_table(made.outcomes.correlations, labels={"nihss": "NIHSS Total Score"})
    assert found is not None
    assert found.rows[0][4:] == ("24", "−0.42", "−0.70 to 0.03", "<0.001", "")
    assert found.rows[0][0] == "NIHSS Total Score"
    assert correlation_table(made.outcomes.correlations.iloc[:0]) is None


# ---- page ------------------------------------------------------------------------------------------------


def test_page_is_marked_at_every_table(closed: EndpointPaths, opened: EndpointPaths) -> None:
    for paths, mark in ((closed, "BLINDED"), (opened, "UNBLINDED")):
        page = paths.tables_page.read_text(encoding="utf-8")
        headings = re.findall(r"<h3>.*?</h3>", page)
        assert len(headings) == page.count("<table") > 4
        assert all(f'<span class="blinded">{mark}</span>' in heading for heading in headings)
    assert "placebo" not in closed.tables_page.read_text(encoding="utf-8")


def test_page_says_where_its_numbers_come_from(opened: EndpointPaths) -> None:
    page = opened.tables_page.read_text(encoding="utf-8")
    for fact in (SHA, "infarct-vol 9.9.9", "2024-12-05T12:59:00", "<dd>12</dd>", "<dd>2</dd>", STATEMENT):
        assert fact in page
    for at in range(1, 7):
        assert f'<a href="#part-{at}">' in page
        assert f'<section id="part-{at}">' in page


def test_names_of_others_stay_text(opened: EndpointPaths) -> None:
    page = opened.tables_page.read_text(encoding="utf-8")
    assert "<img" not in page
    assert "<script" not in page
    assert '<a href="http' not in page
    assert "<strong>" not in page
    assert html.escape(HOSTILE, quote=False) in page or html.escape(HOSTILE) in page


def test_page_loads_nothing_and_its_policy_allows_only_its_own_styles(opened: EndpointPaths) -> None:
    page = opened.tables_page.read_text(encoding="utf-8")
    assert not re.search(r"@import|url\(|src=\"|<link", page)
    policy = html.unescape(re.search(r'Content-Security-Policy" content="([^"]*)"', page).group(1))  # type: ignore[union-attr]
    assert policy.startswith("default-src 'none'; style-src 'unsafe-hashes' 'sha256-")
    assert "unsafe-inline" not in policy
    assert "script-src" not in policy
    blocks = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    inline = [html.unescape(text) for text in re.findall(r'\sstyle="([^"]*)"', page)]
    assert len(blocks) > 4
    for text in {*blocks, *inline}:
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy


def test_a_large_listing_is_cut_on_the_page() -> None:
    made = trial(30)
    page = tables_page(facts=facts(n=30), change=made.change, summary=made.summary, most_listed=4).decode()
    assert "The first 4 of 30 participants" in page
    assert "sub-004" in page
    assert "sub-005" not in page


# ---- PDF -------------------------------------------------------------------------------------------------


def test_every_pdf_page_has_the_mark_and_its_number(closed: EndpointPaths, opened: EndpointPaths) -> None:
    for paths, mark in ((closed, "BLINDED"), (opened, "UNBLINDED")):
        texts = pages(paths.trial_summary)
        assert len(texts) >= 6
        for number, text in enumerate(texts, start=1):
            assert re.search(rf"(?<!UN){mark}\b" if mark == "BLINDED" else mark, text)
            assert f"Page {number} of {len(texts)}" in text
    assert not any("placebo" in text for text in pages(closed.trial_summary))


def test_pdf_holds_facts_tables_method_and_limitations(opened: EndpointPaths) -> None:
    text = " ".join(" ".join(pages(opened.trial_summary)).split())
    for part in (
        "12 participants have data. 2 more are randomised and have no data.",
        SHA,
        "16 to 60",
        "PCTLDEF=5",
        "What is wrong with it",
        "20 % of baseline",
        STATEMENT,
        "the scan is missing",
        "<script>alert(2)</script>",
        "NIHSS Total Score",
    ):
        assert part in text, part


def test_pdf_fonts_are_embedded_and_its_date_is_the_data_cut(opened: EndpointPaths) -> None:
    reader = PdfReader(opened.trial_summary)
    fonts = [
        font.get_object()
        for page in reader.pages
        for font in page["/Resources"]["/Font"].values()  # type: ignore[index]
    ]
    assert fonts
    assert all("/FontFile2" in font["/FontDescriptor"] for font in fonts)
    assert reader.metadata is not None
    assert str(reader.metadata["/CreationDate"]).startswith("D:20241205125900")
    assert reader.metadata.subject == "UNBLINDED"


def one_table(rows: list[tuple[str, ...]]) -> list[str]:
    columns = (TextColumn("number", width=0.3), TextColumn("reason", numeric=False))
    flowable = table_flowable(TextTable("t", "t", columns, tuple(rows)), width_pt=300)
    content = document_bytes([flowable], facts=facts(), title="t")
    return [page.extract_text() for page in PdfReader(io.BytesIO(content)).pages]


def test_no_letter_is_lost_in_long_reasons() -> None:
    reason = "Größe 3,5 µm² – Łódź, Ω ≤ 0; " + "unteilbar" * 60 + " \u4e2d\u6587 <b>end</b>"
    text = re.sub(r"\s", "", "".join(one_table([("1", reason)])))
    assert "Größe3,5µm²–Łódź,Ω≤0;" + "unteilbar" * 60 in text
    # letters that the font lacks are written as their code
    assert "\\u4e2d\\u6587<b>end</b>" in text
    assert legible("a\x07b") == "a\\u0007b"


def test_a_reason_longer_than_a_page_does_not_stop_the_pdf() -> None:
    texts = one_table([("1", "word " * 4000), ("2", "short")])
    assert len(texts) > 2
    assert "".join(texts).count("word") == 4000


def test_long_tables_repeat_their_header() -> None:
    texts = one_table([(str(at), "reason") for at in range(200)])
    assert len(texts) > 2
    assert all("number" in text for text in texts)
    assert "199" in texts[-1]


def test_above_200_participants_the_pdf_names_the_file() -> None:
    made = trial(201)
    parts = {"facts": facts(n=201), "summary": made.summary, "pictures": {}}
    content = trial_summary_pdf(change=made.change, **parts)  # type: ignore[arg-type]
    text = " ".join(page.extract_text() for page in PdfReader(io.BytesIO(content)).pages)
    assert "201 participants are too many to list here; the file" in " ".join(text.split())
    assert "modality differs" not in text
    fewer = made.change[made.change["participant_id"] <= "sub-012"]
    content = trial_summary_pdf(change=fewer, **parts)  # type: ignore[arg-type]
    assert any("modality differs" in page.extract_text() for page in PdfReader(io.BytesIO(content)).pages)


# ---- report ----------------------------------------------------------------------------------------------


def test_files_are_where_they_belong_and_repeat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = trial(9, blinded=False)
    first = write(made, tmp_path / "a", blinded=False, n=9)
    # what the machine says of the time must not reach the files
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    again = write(made, tmp_path / "b", blinded=False, n=9)
    names = sorted(str(p.relative_to(tmp_path / "a")) for p in (tmp_path / "a").rglob("*") if p.is_file())
    assert names[-2:] == ["report/tables.html", "report/trial_summary.pdf"]
    assert len([n for n in names if n.startswith("report/figures/endpoint/")]) == 10
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name
    assert first.pictures[0].name == again.pictures[0].name == "spaghetti.png"


@pytest.mark.parametrize("n", [0, 1])
def test_an_empty_trial_and_one_participant_have_a_report(tmp_path: Path, n: int) -> None:
    paths = write(trial(n), tmp_path, n=n)
    text = " ".join(pages(paths.trial_summary))
    assert "Page 1 of" in text
    assert not re.search(r"\b(nan|inf|None)\b", text)
    page = paths.tables_page.read_text(encoding="utf-8")
    assert "BLINDED" in page
    assert not re.search(r">(nan|NaN|inf|None|&lt;NA&gt;)<", page)


def test_a_picture_without_ground_is_removed(tmp_path: Path) -> None:
    stale = tmp_path / "report" / "figures" / "endpoint" / "outcome_scatter.png"
    stale.parent.mkdir(parents=True)
    stale.write_bytes(b"old")
    made = trial(4)
    nothing = MadeOutcomes(made.outcomes.values.iloc[:0], made.outcomes.correlations.iloc[:0])
    write(replace(made, outcomes=nothing), tmp_path, n=4)
    assert not stale.exists()


def test_arms_and_facts_that_disagree_are_refused(tmp_path: Path) -> None:
    made = trial(4, blinded=False)
    tables = {"volumes": made.volumes, "change": made.change}
    with pytest.raises(UsageError, match="the facts say BLINDED but arms are given"):
        write_endpoint_report(tmp_path, facts=facts(), summary=made.summary, arms=made.arms, **tables)
    with pytest.raises(UsageError, match="the facts say UNBLINDED but no arms are given"):
        write_endpoint_report(tmp_path, facts=facts(blinded=False), summary=made.summary, **tables)
    with pytest.raises(UsageError, match="the table summary names the arms A placebo, B active"):
        write_endpoint_report(tmp_path, facts=facts(), summary=made.summary, **tables)
    with pytest.raises(UsageError, match="the table models names the arms"):
        write_endpoint_report(tmp_path, facts=facts(), summary=trial(4).summary, models=models(), **tables)
    assert not list(tmp_path.iterdir())


def test_a_study_without_name_or_date_is_said(tmp_path: Path) -> None:
    bare = replace(facts(), study_id="", data_cut="", windows=(), repeatability="")
    assert ("Data cut", "no scan has a date") in bare.lines()
    made = trial(2)
    paths = write_endpoint_report(
        tmp_path, facts=bare, volumes=made.volumes, change=made.change, summary=made.summary
    )
    reader = PdfReader(io.BytesIO(paths.trial_summary.read_bytes()))
    assert "unnamed study" in reader.pages[0].extract_text()
    assert reader.metadata is not None
    assert str(reader.metadata["/CreationDate"]).startswith("D:20000101000000")


def test_days_aimed_at_are_those_of_the_protocol(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    month6 = VisitWindow(labels=("M06",), target_day=200, first_day=136, last_day=225, flag_beyond_days=9)
    protocol = Protocol(visits=VisitSettings(month6=month6))
    taken: dict[str, int] = {}
    monkeypatch.setattr(run, "write_endpoint_report", lambda _, **given: taken.update(given["target_days"]))
    write_tables([], tmp_path, protocol=protocol)
    run.report_run(tmp_path, protocol=protocol)
    assert taken == {"baseline": 1, "month1": 31, "month3": 91, "month6": 200}
    made = trial(6)
    drawn = endpoint_pictures(made.volumes, made.change, target_days=taken)["spaghetti"]
    assert drawn.axes[0].get_xticks().tolist() == [1, 31, 91, 200]

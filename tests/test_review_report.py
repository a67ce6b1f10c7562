"""The static report of a review: who decided what, when and why, on pages that load and run nothing else."""

from __future__ import annotations

import re
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from infarct_vol.audit import AuditTrail, Entry
from infarct_vol.files import file_sha256
from infarct_vol.geometry import Grid
from infarct_vol.images import LesionMask, Scan
from infarct_vol.ledger import load_participants, read_record, record_path, save_participants, save_record
from infarct_vol.nifti import load_mask, save_array, save_mask
from infarct_vol.protocol import Protocol
from infarct_vol.qa import render_participant, write_report
from infarct_vol.qa.album import figure_folder, read_figures, safe_name
from infarct_vol.qa.figures import COLOURS, Sheet
from infarct_vol.qa.overlays import lesion_mosaic, lesion_thumbnail
from infarct_vol.qa.page import css_text
from infarct_vol.qa.review.figures import BEHIND, refresh_figures
from infarct_vol.qa.review.history import read_trail
from infarct_vol.qa.review.pages import ReviewPages, write_review_pages
from infarct_vol.qa.states import visit_state
from infarct_vol.records import ParticipantRecord, ScanRecord, VisitRecord, VolumeRow
from infarct_vol.review.effects import reviewed_record
from infarct_vol.review.model import (
    DECISION,
    EDIT,
    ENROLMENT,
    LATE_DECISION,
    LOCK,
    SIGNED_IN,
    Decision,
    Item,
)
from infarct_vol.review.readers import Enrolment
from infarct_vol.review.state import Reading
from infarct_vol.review.versions import open_canvas, save_edit
from infarct_vol.tables import randomized_arms, write_tables

SHAPE = (36, 44, 10)
GRID = Grid(SHAPE, np.diag([4.0, 4.0, 6.0, 1.0]))
PROTOCOL = Protocol(study_id="TRIAL-2 <b>")
BLINDED_READS = PROTOCOL.model_copy(update={"review": PROTOCOL.review.model_copy(update={"reads": 2})})
HOSTILE = 'Dr. <img src=x onerror="alert(1)">'
HOSTILE_REASON = '</td><script>alert("why")</script> & {{ 7 * 7 }}'
FLAIR = Item("sub-001", "ses-M03", "flair")
DWI = Item("sub-001", "ses-BL", "dwi")


# ---- a trial of two participants -------------------------------------------------------------------------


def head(bright: float) -> np.ndarray:
    x, y, z = np.indices(SHAPE)
    inside = ((x - 18) / 15) ** 2 + ((y - 22) / 18) ** 2 + ((z - 5) / 6) ** 2 < 1
    data = np.where(inside, 100.0, 0.0)
    data[22:26, 20:24, 4:6] = bright
    return data.astype(np.float32)


def lesion(size: int) -> LesionMask:
    """Return size x size x 2 voxels of 96 mm3."""
    data = np.zeros(SHAPE, dtype=bool)
    data[22 : 22 + size, 20 : 20 + size, 4:6] = True
    return LesionMask(data, GRID)


def row(person: str, visit: str, session: str, parameter: str, path: str, volume_ml: float) -> VolumeRow:
    return VolumeRow(
        participant_id=person,
        session_id=session,
        visit=visit,
        acq_time=None,
        study_day={"baseline": 1, "month3": 91}[visit],
        parameter=parameter,  # type: ignore[arg-type]
        modality="dwi" if visit == "baseline" else "flair",
        method="m 1",
        volume_ml=volume_ml,
        voxel_count=round(volume_ml / 0.096),
        voxel_volume_mm3=96.0,
        lesion_count=1,
        volume_ml_low=volume_ml,
        volume_ml_high=volume_ml,
        status="measured",
        reason="",
        source="automatic",
        mask_path=path,
        protocol_sha256=PROTOCOL.sha256,
        version="0.1.0",
    )


def visit(study: Path, out: Path, person: str, name: str, size: int) -> VisitRecord:
    session, modality = {"baseline": ("ses-BL", "dwi"), "month3": ("ses-M03", "flair")}[name]
    folder = f"{person}/{session}/{'dwi' if modality == 'dwi' else 'anat'}"
    path = f"{folder}/{person}_{session}_{modality}.nii.gz"
    save_array(head(200.0), GRID, study / path, dtype="float32")
    mask = f"{folder}/{person}_{session}_desc-infarct_mask.nii.gz"
    save_mask(lesion(size), out / mask)
    scan = ScanRecord(
        modality=modality,
        path=path,
        sha256=file_sha256(study / path),
        spacing_mm=(4.0, 4.0, 6.0),
        shape=SHAPE,
        axis_codes="RAS",
    )
    return VisitRecord(
        visit=name,
        session_id=session,
        acq_time=None,
        study_day={"baseline": 1, "month3": 91}[name],
        status="measured",
        flags=("edge of the field of view",) if name == "month3" else (),
        scans=(scan,),
        masks={modality: mask},
    )


def person(study: Path, out: Path, name: str) -> ParticipantRecord:
    # 4x4x2 voxels are 3.072 mL, 3x3x2 are 1.728 mL
    first = visit(study, out, name, "baseline", 4)
    later = visit(study, out, name, "month3", 3)
    baseline, month3 = first.masks["dwi"], later.masks["flair"]
    rows = (
        row(name, "baseline", "ses-BL", "infarct", baseline, 3.072),
        row(name, "baseline", "ses-BL", "infarct_dwi", baseline, 3.072),
        row(name, "month3", "ses-M03", "infarct", month3, 1.728),
        row(name, "month3", "ses-M03", "infarct_flair", month3, 1.728),
    )
    return ParticipantRecord(
        participant_id=name,
        site="north",
        fingerprint="ab" * 32,
        version="0.1.0",
        protocol_sha256=PROTOCOL.sha256,
        visits=(first, later),
        rows=rows,
        inputs={scan.path: scan.sha256 for v in (first, later) for scan in v.scans},
        outputs={path: file_sha256(out / path) for path in (baseline, month3)},
    )


@dataclass
class Trial:
    study: Path
    out: Path
    protocol: Protocol = PROTOCOL

    @property
    def before(self) -> list[ParticipantRecord]:
        found = (read_record(record_path(self.out, name)) for name in load_participants(self.out))
        return [record for record in found if record is not None]

    @property
    def trail(self) -> AuditTrail:
        return AuditTrail(self.out)

    @property
    def records(self) -> list[ParticipantRecord]:
        standings = Reading(self.protocol.review, self.trail.entries()).standings()
        return [reviewed_record(record, standings, out=self.out) for record in self.before]

    def pages(self, *, study: Path | None = None) -> ReviewPages:
        write_tables(self.records, self.out, protocol=PROTOCOL)
        return write_review_pages(self.out, self.records, protocol=self.protocol, study_root=study)

    def text(self, name: str) -> str:
        return (self.out / "report" / name).read_text(encoding="utf-8")

    def enrol(self, *names: str) -> None:
        for name in names:
            new = Enrolment(name=name, credential_sha256="5ec4e7" * 10).model_dump_json()
            self.trail.append(ENROLMENT, subject=name, who=name, new=new)

    def decide(
        self,
        item: Item = FLAIR,
        verdict: str = "accept",
        *,
        who: str = "Dr. One",
        reason: str = "",
        mask: str = "",
        volume_ml: float = 1.728,
        action: str = DECISION,
        kind: str = "open",
    ) -> Entry:
        own = next(v for v in self.before[0].visits if v.session_id == item.session_id)
        scan = own.scan(item.image)
        assert scan is not None
        sha256 = mask or self.before[0].outputs[own.masks[item.image]]
        decision = Decision.model_validate(
            {
                "verdict": verdict,
                "kind": kind,
                "masks": {item.image: sha256},
                "scan_sha256": scan.sha256,
                "volume_ml": volume_ml,
            }
        )
        new = decision.model_dump_json()
        return self.trail.append(action, subject=item.subject, reason=reason, who=who, new=new)

    def edit(self, size: int, *, who: str = "Dr. One", reason: str = "rim was left out") -> str:
        """Save a corrected mask of month 3 and return its hash."""
        canvas = open_canvas(self.out, self.before[0], FLAIR, protocol=PROTOCOL)
        (version,) = save_edit(canvas, "flair", lesion(size).data)
        self.trail.append(EDIT, subject=FLAIR.subject, reason=reason, who=who, new=version.model_dump_json())
        return version.sha256

    def accept_edit(self, size: int = 5) -> str:
        # 5x5x2 voxels of 96 mm3 are 4.8 mL
        sha256 = self.edit(size)
        self.decide(mask=sha256, volume_ml=4.8, reason="follows the gliosis now")
        return sha256


@pytest.fixture
def trial(tmp_path: Path) -> Trial:
    made = Trial(tmp_path / "study", tmp_path / "out")
    for name in ("sub-001", "sub-002"):
        record = person(made.study, made.out, name)
        save_record(record, made.out, label=name)
        render_participant(record, study_root=made.study, out=made.out, protocol=PROTOCOL)
    save_participants(["sub-001", "sub-002"], made.out)
    return made


class Elements(HTMLParser):
    """Collects what a browser would make of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.found if name == tag]


def cells(page: str, marker: str) -> list[str]:
    """Return the texts of the cells of the first row that holds a text."""
    for line in re.findall(r"<tr.*?</tr>", page, flags=re.DOTALL):
        if marker in line:
            found = re.findall(r"<td.*?</td>", line, flags=re.DOTALL)
            return [" ".join(re.sub(r"<[^>]+>", " ", cell).split()) for cell in found]
    raise AssertionError(marker)


# ---- pages -----------------------------------------------------------------------------------------------


def test_every_page_is_written_before_anybody_reviews(trial: Trial) -> None:
    pages = trial.pages()
    report = trial.out / "report"
    assert pages.paths == (
        report / "contact_sheet.html",
        report / "review.pdf",
        report / "participants" / "sub-001.html",
        report / "participants" / "sub-002.html",
    )
    assert pages.notes == ()
    page = trial.text("participants/sub-001.html")
    assert page.count("not reviewed") == 2
    assert "nobody has reviewed anything yet" in page
    assert "Nothing is entered about this participant." in page
    assert '<strong class="blinded">BLINDED</strong>' in page
    assert PROTOCOL.sha256 in page


def test_pages_say_who_decided_what_when_and_why(trial: Trial) -> None:
    trial.enrol("Dr. One")
    entry = trial.decide(verdict="reject", reason="follows an artefact")
    trial.pages()
    page = trial.text("participants/sub-001.html")
    utc = entry.utc[:19].replace("T", " ")
    line = cells(page, "follows an artefact")
    sha256 = trial.before[0].outputs[trial.before[0].visits[1].masks["flair"]]
    assert line == [
        "month 3, infarct on FLAIR",
        "rejected",
        f"Dr. One {utc}",
        "1.73",
        "follows an artefact",
        f"infarct {sha256[:12]}",
        "counts; entry 2",
    ]
    assert "chain whole" in page
    assert entry.sha256 in page, "the head of the trail stands on the page"
    sheet = trial.text("contact_sheet.html")
    assert "FLAIR: rejected" in sheet
    assert "rejected by Dr. One: follows an artefact" in sheet
    assert f"Dr. One, {entry.utc[:10]}" in sheet


def test_an_edit_shows_both_versions_and_the_one_that_counts(trial: Trial) -> None:
    sha256 = trial.accept_edit()
    trial.pages(study=trial.study)
    page = trial.text("participants/sub-001.html")
    versions = page[page.index("Versions of masks") :]
    first = cells(versions, "as the run measured it")
    assert first[:4] == ["month 3, infarct on FLAIR", "as the run measured it", "1.73", ""]
    # 4.8 - 1.728 mL; Dice 2 * 18 / (50 + 18)
    second = cells(versions, "drawn on the page")
    assert second[1:5] == ["drawn on the page counts", "4.80", "+3.07", "0.529"]
    assert second[5].startswith("Dr. One ")
    assert second[6:] == ["rim was left out", sha256[:12]]
    history = cells(page[page.index('id="history"') :], "rim was left out")
    assert "infarct 4.80 mL (+3.07 mL)" in history[4]
    assert "month 3: edited" in page


def test_a_superseded_a_late_and_a_stale_decision_do_not_count(trial: Trial) -> None:
    trial.decide(reason="first look")
    trial.decide(reason="second look")
    trial.decide(reason="too late", action=LATE_DECISION)
    trial.decide(item=DWI, reason="on another mask", mask="77" * 32)
    trial.pages()
    page = trial.text("participants/sub-001.html")
    assert cells(page, "first look")[-1] == "superseded by a later decision; entry 1"
    assert cells(page, "second look")[-1] == "counts; entry 2"
    assert cells(page, "too late")[-1] == "not taken over: somebody else had decided meanwhile; entry 3"
    assert cells(page, "on another mask")[-1] == "the scan or mask changed since: review again; entry 4"


def test_an_edit_after_the_decision_waits(trial: Trial) -> None:
    trial.decide(reason="fine as it is")
    trial.edit(5)
    trial.pages()
    page = trial.text("participants/sub-001.html")
    assert "counts; an edit saved later waits for a decision" in cells(page, "fine as it is")[-1]
    assert "month 3: measured, flagged" in page


def test_blinded_reads_that_disagree_wait_for_a_third(trial: Trial) -> None:
    trial.protocol = BLINDED_READS
    trial.decide(who="Dr. One", kind="read", reason="clear")
    trial.decide(who="Dr. Two", kind="read", verdict="reject", reason="not the infarct")
    trial.pages()
    page = trial.text("participants/sub-001.html")
    assert cells(page, "clear")[-1] == "one of two reads; entry 1"
    assert "reads disagree; waits for adjudication" in page
    assert "FLAIR: reads disagree" in trial.text("contact_sheet.html")
    assert "not for readers who are still reading" in page
    trial.decide(who="Dr. Three", kind="adjudication", reason="the first is right")
    trial.pages()
    page = trial.text("participants/sub-001.html")
    assert cells(page, "the first is right")[-1] == "counts; entry 3"
    assert "reads disagree" not in page


# ---- inert and self-contained ----------------------------------------------------------------------------


def test_pages_load_nothing_and_hostile_words_are_inert(trial: Trial) -> None:
    trial.enrol(HOSTILE)
    trial.edit(5, who=HOSTILE, reason=HOSTILE_REASON)
    trial.decide(who=HOSTILE, reason=HOSTILE_REASON, verdict="query")
    trial.trail.append(LOCK, subject=HOSTILE, who=HOSTILE, reason=HOSTILE_REASON)
    trial.pages()
    write_report(trial.out, trial.records, protocol=PROTOCOL)
    for name in ("participants/sub-001.html", "contact_sheet.html", "index.html"):
        page = trial.text(name)
        elements = Elements(page)
        assert {tag for tag, _ in elements.found}.isdisjoint({"link", "iframe", "object", "embed", "base"})
        assert len(elements.all("script")) == len(elements.all("style")) == 1
        sources = [attrs["src"] or "" for attrs in elements.all("img") if "src" in attrs]
        assert sources
        assert all(source.startswith("data:image/") for source in sources)
        every = [attribute for _, attrs in elements.found for attribute in attrs]
        assert not any(attribute.startswith("on") or attribute == "style" for attribute in every)
        assert "&lt;img src=x onerror=" in page
        assert "{{ 7 * 7 }}" in page
        assert not re.search(r"https?://", page)
        (policy,) = (a["content"] for a in elements.all("meta") if a.get("http-equiv"))
        assert (policy or "").startswith("default-src 'none'; img-src data:; style-src 'sha256-")


def test_secrets_of_the_trail_are_on_no_page(trial: Trial) -> None:
    trial.enrol("Dr. One")
    trial.trail.append("reading opened", subject="reading", who="Dr. One", new="the-key-of-all-codes")
    trial.trail.append(SIGNED_IN, subject="Dr. Quiet", who="Dr. Quiet")
    trial.pages()
    sheet = trial.text("contact_sheet.html")
    assert "reader enrolled" in sheet
    assert "Dr. Quiet" not in sheet
    for path in (trial.out / "report").rglob("*.html"):
        page = path.read_text(encoding="utf-8")
        assert "5ec4e7" not in page
        assert "the-key-of-all-codes" not in page


@pytest.mark.parametrize("words", ['a"; } body { display: none } "', "</style><script>", "a\nb\\c", "Ł ´"])
def test_words_in_a_style_sheet_stay_words(words: str) -> None:
    text = css_text(words)
    assert re.fullmatch(r'"([A-Za-z0-9 .,_:-]|\\[0-9a-f]+ )*"', text)


def test_an_id_unfit_for_a_file_name_stays_inside_the_folder(trial: Trial) -> None:
    name = '../../<script>alert("id")</script>'
    record = trial.before[0]
    rows = tuple(each.model_copy(update={"participant_id": name}) for each in record.rows)
    hostile = record.model_copy(update={"participant_id": name, "rows": rows})
    write_tables([hostile], trial.out, protocol=PROTOCOL)
    pages = write_review_pages(trial.out, [hostile], protocol=PROTOCOL, study_root=None)
    assert pages.paths[2:] == (trial.out / "report" / "participants" / f"{safe_name(name)}.html",)
    assert "<script>alert" not in pages.paths[2].read_text(encoding="utf-8")
    assert f'href="participants/{safe_name(name)}.html"' in trial.text("contact_sheet.html")


def test_a_broken_chain_is_named(trial: Trial) -> None:
    trial.decide(reason="kept")
    with closing(sqlite3.connect(trial.trail.path, isolation_level=None)) as connection:
        (trigger,) = connection.execute("SELECT sql FROM sqlite_master WHERE name = 'no_update'").fetchone()
        connection.execute("DROP TRIGGER no_update")
        connection.execute("UPDATE entries SET reason = 'made up' WHERE sequence = 1")
        connection.execute(trigger)
    trial.pages()
    assert "CHAIN BROKEN: entry 1" in trial.text("contact_sheet.html")
    trial.trail.path.unlink()
    trial.pages()
    assert "CHAIN BROKEN: audit.sqlite is gone" in trial.text("participants/sub-001.html")


def test_pages_of_participants_who_are_gone_are_removed(trial: Trial) -> None:
    trial.pages()
    write_tables(trial.before[:1], trial.out, protocol=PROTOCOL)
    write_review_pages(trial.out, trial.before[:1], protocol=PROTOCOL, study_root=None)
    assert [p.name for p in (trial.out / "report" / "participants").iterdir()] == ["sub-001.html"]


def test_arms_are_never_shown_only_that_they_are_known(trial: Trial, tmp_path: Path) -> None:
    randomization = tmp_path / "arms.csv"
    randomization.write_text("participant_id,arm\nsub-001,verum\nsub-002,placebo\n")
    arms = randomized_arms(randomization, participants=["sub-001", "sub-002"])
    write_tables(trial.records, trial.out, protocol=PROTOCOL, arms=arms)
    write_review_pages(trial.out, trial.records, protocol=PROTOCOL, study_root=None)
    for name in ("participants/sub-001.html", "contact_sheet.html"):
        page = trial.text(name)
        assert '<strong class="blinded">UNBLINDED</strong>' in page
        assert "verum" not in page
        assert "placebo" not in page


# ---- pictures follow the mask that counts ----------------------------------------------------------------


def stamps(out: Path, name: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in figure_folder(name, out).iterdir()}


def test_pictures_are_drawn_again_only_where_another_mask_counts(trial: Trial) -> None:
    trial.accept_edit()
    first, second = stamps(trial.out, "sub-001"), stamps(trial.out, "sub-002")
    assert trial.pages(study=trial.study).notes == ()
    now = stamps(trial.out, "sub-001")
    changed = {name for name in first if now[name] != first[name]}
    assert changed == {
        "01_month3_flair.jpg",
        "figures.json",
        "thumbnail_01_month3.jpg",
        "trajectory.png",
    }
    assert stamps(trial.out, "sub-002") == second
    drawn = read_figures("sub-001", trial.out)
    assert drawn is not None
    shown = trial.records[0].visits[1].masks
    assert set(drawn.made_from) == {
        trial.before[0].visits[0].masks["dwi"],
        shown["flair"],
        shown["flair_automatic"],
    }
    assert all(file_sha256(trial.out / path) == sha256 for path, sha256 in drawn.made_from.items())
    assert refresh_figures(trial.records[0], study_root=trial.study, out=trial.out, protocol=PROTOCOL) == ""
    assert stamps(trial.out, "sub-001") == now


def break_nothing(trial: Trial) -> Path | None:
    return None


def break_folder(trial: Trial) -> Path | None:
    return trial.study / "moved"


def break_scan(trial: Trial) -> Path | None:
    path = trial.study / trial.before[0].visits[1].scans[0].path
    save_array(head(10.0), GRID, path, dtype="float32")
    return trial.study


@pytest.mark.parametrize(
    ("breaking", "why"),
    [
        (break_nothing, "the study folder was not there"),
        (break_folder, "the study folder was not there"),
        (break_scan, "sub-001_ses-M03_flair.nii.gz changed since it was measured"),
    ],
)
def test_pages_say_that_pictures_show_the_automatic_mask(
    trial: Trial, breaking: Callable[[Trial], Path | None], why: str
) -> None:
    trial.accept_edit()
    before = stamps(trial.out, "sub-001")
    pages = trial.pages(study=breaking(trial))
    (note,) = pages.notes
    assert note.startswith("sub-001: pictures show the automatic mask, ")
    assert note.endswith(why)
    assert stamps(trial.out, "sub-001")["01_month3_flair.jpg"] == before["01_month3_flair.jpg"]
    assert stamps(trial.out, "sub-001")["trajectory.png"] != before["trajectory.png"], "needs no scan"
    assert BEHIND in trial.text("participants/sub-001.html")
    assert BEHIND not in trial.text("participants/sub-002.html")


def test_the_mask_that_does_not_count_is_dashed() -> None:
    square = np.zeros((6, 6), dtype=bool)
    square[1:5, 1:5] = True
    counts = []
    for dashed in (False, True):
        sheet = Sheet(60, 60)
        box = (0.0, 0.0, 60.0, 60.0)
        placed = sheet.image(np.zeros((6, 6), np.float32), pixel_mm=(1, 1), box=box, window=(0, 1))
        sheet.outline(square, placed, colour="#ff0000", dashed=dashed)
        (lines,) = sheet.axes.collections
        counts.append(len(lines.get_paths()))
    # a square of four voxels has 16 edges; every other one of each side is drawn
    assert counts == [16, 8]


def test_a_mosaic_shows_both_contours_in_their_colours() -> None:
    scan = Scan(head(200.0), GRID)
    picture = lesion_mosaic(scan, {"infarct": lesion(5), "automatic": lesion(3)})
    words = {text.get_text() for text in picture.axes[0].texts}
    # 5x5x2 and 3x3x2 voxels of 0.096 mL
    assert {"infarct 4.80 mL", "automatic 1.73 mL"} <= words
    frames = {patch.get_linestyle() for patch in picture.axes[0].patches if not patch.get_fill()}
    assert len(frames) == 2, "solid for the one that counts, dashed for the other"
    drawn = {tuple(c.get_color()[0][:3]) for c in picture.axes[0].collections}
    wanted = {
        tuple(int(COLOURS[n][i : i + 2], 16) / 255 for i in (1, 3, 5)) for n in ("infarct", "automatic")
    }
    assert drawn == wanted


def test_a_thumbnail_shows_the_slice_with_most_lesion_and_is_small() -> None:
    data = np.zeros(SHAPE, dtype=bool)
    data[20:22, 20:22, 3] = True
    data[18:26, 18:26, 7] = True
    scan = Scan(head(200.0), GRID)
    picture = lesion_thumbnail(scan, {"infarct": LesionMask(data, GRID)})
    (lines,) = picture.axes[0].collections
    assert len(lines.get_paths()) == 32, "eight voxels a side"
    assert len(picture.to_bytes(kind="jpeg")) < 10_000
    empty = lesion_thumbnail(scan, {"infarct": LesionMask(np.zeros(SHAPE, dtype=bool), GRID)})
    assert not empty.axes[0].collections


def test_the_contact_sheet_has_one_small_picture_a_visit(trial: Trial) -> None:
    trial.pages()
    sheet = trial.text("contact_sheet.html")
    sources = [attrs.get("src") for attrs in Elements(sheet).all("img") if "src" in attrs]
    assert len(sources) == 4
    assert len(sheet) < 100_000
    # 1.728 - 3.072 mL, over 3.072 mL
    assert "\N{MINUS SIGN}1.34 mL, \N{MINUS SIGN}43.8 %" in sheet
    assert sheet.count(">missing</span>") == 4, "months 1 and 6 of both"


# ---- the index, the PDF, and the same bytes --------------------------------------------------------------


def test_the_index_links_to_the_pages_that_are_there(trial: Trial) -> None:
    write_tables(trial.records, trial.out, protocol=PROTOCOL)
    bare = write_report(trial.out, trial.records, protocol=PROTOCOL).read_text(encoding="utf-8")
    assert "contact_sheet.html" not in bare
    assert 'class="chip reviewed"' not in bare
    trial.accept_edit()
    trial.pages(study=trial.study)
    page = write_report(trial.out, trial.records, protocol=PROTOCOL).read_text(encoding="utf-8")
    links = {attrs.get("href") for attrs in Elements(page).all("a")}
    assert {"contact_sheet.html", "review.pdf", "participants/sub-001.html"} <= links
    assert cells(page[page.index("What readers decided") :], "follows the gliosis now")[1] == "accepted"
    assert "1 visit accepted by a reader, of which 1 after a correction." in page


def test_equal_inputs_give_equal_bytes_in_another_folder(trial: Trial, tmp_path: Path) -> None:
    trial.accept_edit()
    pages = trial.pages(study=trial.study)
    moved = tmp_path / "elsewhere"
    shutil.copytree(trial.out, moved)
    again = write_review_pages(moved, Trial(trial.study, moved).records, protocol=PROTOCOL, study_root=None)
    assert again.notes == ()
    for path, other in zip(pages.paths, again.paths, strict=True):
        assert path.read_bytes() == other.read_bytes(), path.name


def test_the_pdf_holds_decisions_history_and_pictures(trial: Trial) -> None:
    pypdf = pytest.importorskip("pypdf")
    trial.enrol(HOSTILE)
    trial.accept_edit()
    trial.decide(item=DWI, who=HOSTILE, reason=HOSTILE_REASON, verdict="query")
    pages = trial.pages(study=trial.study)
    document = pypdf.PdfReader(pages.paths[1])
    text = " ".join(" ".join(page.extract_text() for page in document.pages).split())
    for words in ("Contact sheet (BLINDED)", "sub-001: decisions", "sub-001: history", "sub-002: volumes"):
        assert words in text
    assert "rim was left out" in text
    assert "follows the gliosis" in text
    assert "<script>alert" in text, "markup is shown, not followed"
    assert PROTOCOL.sha256 in text.replace(" ", "")
    assert f"Page 1 of {len(document.pages)}" in text
    # small pictures, of which those of both baselines are alike; a trajectory and two mosaics each
    assert sum(len(page.images) for page in document.pages) == 3 + 2 * 3


# ---- history and states ----------------------------------------------------------------------------------


def test_entries_are_told_apart_by_participant(trial: Trial) -> None:
    trial.decide()
    trial.trail.append("input changed", subject="sub-002 sub-002/ses-BL/x.nii.gz", old="aa" * 32, new="")
    trial.trail.append("unblinding", subject="tables", reason="a list was given")
    trail = read_trail(trial.trail.entries())
    assert [entry.action for entry in trail.of("sub-001").entries] == ["decision"]
    assert [entry.action for entry in trail.of("sub-002").entries] == ["input changed"]
    assert [entry.action for entry in trail.study] == ["unblinding"]
    assert trail.of("sub-003").entries == []
    assert trail.head is not None
    assert trail.head.sequence == 3
    trial.pages()
    history = cells(trial.text("participants/sub-002.html"), "input changed")
    assert history[4] == f"SHA-256 {'aa' * 6} to none"


def test_an_entry_of_another_version_is_named_not_fatal(trial: Trial) -> None:
    trial.trail.append(DECISION, subject=FLAIR.subject, who="Dr. One", new='{"verdict": "maybe"}')
    trail = read_trail(trial.trail.entries())
    assert trail.of("sub-001").unreadable == [1]
    assert trail.of("sub-001").decisions == []


def test_a_reviewed_visit_is_no_longer_flagged(trial: Trial) -> None:
    flagged = trial.before[0]
    assert visit_state(flagged.visits[1], flagged.rows) == "flagged"
    trial.decide()
    reviewed = trial.records[0]
    assert visit_state(reviewed.visits[1], reviewed.rows) == "reviewed"
    assert visit_state(reviewed.visits[0], reviewed.rows) == "measured"
    trial.accept_edit()
    edited = trial.records[0]
    assert visit_state(edited.visits[1], edited.rows) == "edited"
    corrected = load_mask(trial.out / edited.visits[1].masks["flair"])
    assert corrected.volume_ml == pytest.approx(4.8)

"""A participant's figures and the report: complete, inert, self-contained, and the same bytes every time."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from infarct_vol.errors import UsageError
from infarct_vol.files import file_sha256
from infarct_vol.geometry import Grid
from infarct_vol.images import LesionMask
from infarct_vol.nifti import save_array, save_mask
from infarct_vol.protocol import Protocol
from infarct_vol.qa import figure_paths, render_participant, write_report
from infarct_vol.qa.album import MANIFEST, figure_folder, read_figures
from infarct_vol.qa.wording import number, percent
from infarct_vol.records import ParticipantRecord, RegistrationRecord, ScanRecord, VisitRecord, VolumeRow
from infarct_vol.registration import RigidTransform, write_tfm
from infarct_vol.tables import randomized_arms, write_tables

SHAPE = (36, 44, 10)
GRID = Grid(SHAPE, np.diag([4.0, 4.0, 6.0, 1.0]))
HOSTILE = '<img src=x onerror="alert(1)">/../../=cmd'
PROTOCOL = Protocol(study_id="TRIAL-1 <script>alert(2)</script>")


@dataclass(frozen=True)
class Trial:
    study: Path
    out: Path
    records: tuple[ParticipantRecord, ...]

    def page(self, **more: object) -> str:
        path = write_report(self.out, self.records, protocol=PROTOCOL, **more)  # type: ignore[arg-type]
        return path.read_text(encoding="utf-8")


def head(bright: float) -> np.ndarray:
    x, y, z = np.indices(SHAPE)
    inside = ((x - 18) / 15) ** 2 + ((y - 22) / 18) ** 2 + ((z - 5) / 6) ** 2 < 1
    data = np.where(inside, 100.0, 0.0)
    data[22:26, 20:24, 4:6] = bright
    return data.astype(np.float32)


def lesion(size: int) -> LesionMask:
    data = np.zeros(SHAPE, dtype=bool)
    data[22 : 22 + size, 20 : 20 + size, 4:6] = True
    return LesionMask(data, GRID)


def scan(study: Path, path: str, modality: str, bright: float) -> ScanRecord:
    save_array(head(bright), GRID, study / path, dtype="float32")
    return ScanRecord(
        modality=modality,
        path=path,
        sha256=file_sha256(study / path),
        spacing_mm=(4.0, 4.0, 6.0),
        shape=SHAPE,
        axis_codes="RAS",
        manufacturer="Siemens",
        field_strength_t=3.0,
    )


def rows(person: str, visit: str, parameters: Sequence[str], **given: object) -> list[VolumeRow]:
    common: dict[str, object] = {
        "participant_id": person,
        "session_id": f"ses-{visit}",
        "visit": visit,
        "acq_time": None,
        "study_day": None,
        "modality": None,
        "method": None,
        "volume_ml": None,
        "voxel_count": None,
        "voxel_volume_mm3": None,
        "lesion_count": None,
        "volume_ml_low": None,
        "volume_ml_high": None,
        "status": "measured",
        "reason": "",
        "source": "segmentation",
        "mask_path": None,
        "version": "0.1.0",
        "protocol_sha256": PROTOCOL.sha256,
    }
    return [VolumeRow.model_validate({**common, "parameter": name, **given}) for name in parameters]


def participant(study: Path, out: Path, person: str, folder: str) -> ParticipantRecord:
    """Return a participant with a baseline, a follow-up, a zero, a missing and a failed visit."""
    masks = {"dwi": 3, "flair": 4, "m1": 2, "m3": 0}
    for name, size in masks.items():
        save_mask(lesion(size), out / folder / f"{name}.nii.gz")
    write_tfm(RigidTransform.identity(), out / folder / "m1.tfm")
    dwi = scan(study, f"{folder}/dwi.nii.gz", "dwi", 220.0)
    adc = scan(study, f"{folder}/adc.nii.gz", "adc", 50.0)
    flair = scan(study, f"{folder}/flair.nii.gz", "flair", 170.0)
    later = scan(study, f"{folder}/later.nii.gz", "flair", 150.0)
    registered = RegistrationRecord(
        fixed="BL", moving="M01", path=f"{folder}/m1.tfm", verdict="WARN", reasons=("coverage 0.8",)
    )
    reason = "ses-M06 FLAIR: truncated: the gzip stream has no end; copy it again from its source"
    baseline = VisitRecord(
        visit="baseline",
        session_id="ses-BL",
        acq_time="2024-01-02T10:00:00",
        study_day=1,
        status="measured",
        scans=(dwi, adc, flair),
        masks={"dwi": f"{folder}/dwi.nii.gz", "flair": f"{folder}/flair.nii.gz"},
    )
    month1 = VisitRecord(
        visit="month1",
        session_id="ses-M01",
        acq_time="2024-02-02T10:00:00",
        study_day=32,
        status="measured",
        flags=("lesion touches the last slice",),
        scans=(later,),
        masks={"flair": f"{folder}/m1.nii.gz"},
        registrations=(registered,),
        persistent_ml=0.768,
        resolved_ml=2.304,
        new_ml=0.0,
    )
    missing = VisitRecord(
        visit="month3", session_id=None, acq_time=None, study_day=None, status="missing", reason="no session"
    )
    failed = VisitRecord(
        visit="month6", session_id="ses-M06", acq_time=None, study_day=180, status="failed", reason=reason
    )
    follow_up = ("infarct", "infarct_flair")
    # voxels of 96 mm3: 3x3x2 are 1.728 mL, 4x4x2 are 3.072 mL, 2x2x2 are 0.768 mL
    volumes = [
        *rows(person, "baseline", ("infarct", "infarct_dwi"), modality="dwi", volume_ml=1.728, study_day=1),
        *rows(person, "baseline", ("infarct_flair",), modality="flair", volume_ml=3.072, study_day=1),
        *rows(person, "month1", follow_up, modality="flair", volume_ml=0.768, study_day=32),
        *rows(person, "month3", follow_up, status="missing", reason="no session"),
        *rows(person, "month6", follow_up, status="failed", reason=reason, study_day=180),
    ]
    return ParticipantRecord(
        participant_id=person,
        site="north",
        fingerprint="ab" * 32,
        version="0.1.0",
        protocol_sha256=PROTOCOL.sha256,
        visits=(baseline, month1, missing, failed),
        rows=tuple(volumes),
        inputs={f"{folder}/dwi.nii.gz": "cd" * 32},
        outputs={},
        versions={"numpy": "2.0"},
    )


@pytest.fixture(scope="module")
def trial(tmp_path_factory: pytest.TempPathFactory) -> Trial:
    study, out = tmp_path_factory.mktemp("study"), tmp_path_factory.mktemp("out")
    people = (("sub-001", "one"), (HOSTILE, "two"))
    records = tuple(participant(study, out, person, folder) for person, folder in people)
    write_tables(records, out, protocol=PROTOCOL)
    for record in records:
        render_participant(record, study_root=study, out=out, protocol=PROTOCOL)
    return Trial(study, out, records)


class Elements(HTMLParser):
    """Collects what a browser would make of the page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.found if name == tag]


# ---- figures of a participant ----------------------------------------------------------------------------


def test_every_picture_of_a_participant_is_drawn_and_listed(trial: Trial) -> None:
    record = trial.records[0]
    paths = figure_paths(record, trial.out)
    assert [path.name for path in paths] == [
        MANIFEST,
        "trajectory.png",
        "00_baseline_dwi.jpg",
        "00_baseline_flair.jpg",
        "01_month1_flair.jpg",
        "01_month1_checkerboard.jpg",
        "registered.jpg",
    ]
    assert all(path.is_file() for path in paths)
    listed = read_figures(record.participant_id, trial.out)
    assert listed is not None
    assert listed.notes == ()
    checker = next(figure for figure in listed.figures if figure.kind == "checkerboard")
    assert "registration verdict: WARN. coverage 0.8." in checker.caption


def test_figures_are_the_same_bytes_again(trial: Trial, tmp_path: Path) -> None:
    record = trial.records[0]
    folder = figure_folder(record.participant_id, trial.out)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    stale = folder / "09_old.jpg"
    stale.write_bytes(b"old")
    render_participant(record, study_root=trial.study, out=trial.out, protocol=PROTOCOL)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_hostile_id_stays_inside_the_figures_folder(trial: Trial) -> None:
    folder = figure_folder(HOSTILE, trial.out)
    assert folder.parent == trial.out / "report" / "figures"
    assert re.fullmatch(r"[A-Za-z0-9_-]+", folder.name)
    assert folder.is_dir()
    assert figure_folder("a/b", trial.out) != figure_folder("a_b", trial.out)


def test_a_scan_that_cannot_be_read_leaves_a_note(trial: Trial, tmp_path: Path) -> None:
    study, out = tmp_path / "study", tmp_path / "out"
    record = participant(study, out, "sub-009", "nine")
    later = study / "nine" / "later.nii.gz"
    later.write_bytes(later.read_bytes()[:-40])
    paths = render_participant(record, study_root=study, out=out, protocol=PROTOCOL)
    assert "01_month1_flair.jpg" not in [path.name for path in paths]
    assert "registered.jpg" in [path.name for path in paths]
    listed = read_figures("sub-009", out)
    assert listed is not None
    assert all(note.visit == "month1" for note in listed.notes)
    assert "FLAIR picture not drawn" in listed.notes[0].text
    assert "later.nii.gz" in listed.notes[0].text


def test_figures_of_nobody_are_incomplete(tmp_path: Path, trial: Trial) -> None:
    assert [path.is_file() for path in figure_paths(trial.records[0], tmp_path)] == [False]


# ---- the page --------------------------------------------------------------------------------------------


def test_page_loads_nothing_and_runs_only_its_own_script(trial: Trial) -> None:
    page = trial.page()
    elements = Elements(page)
    assert {tag for tag, _ in elements.found}.isdisjoint({"link", "iframe", "object", "embed", "base"})
    sources = [attrs["src"] or "" for attrs in elements.all("img") if "src" in attrs]
    assert len(sources) == 2 * 6 + 2
    assert all(source.startswith("data:image/") for source in sources)
    assert not re.search(r"https?://", page)
    assert not any(name.startswith("on") or name == "style" for _, attrs in elements.found for name in attrs)
    policy = next(a["content"] for a in elements.all("meta") if a.get("http-equiv"))
    assert policy is not None
    assert policy.startswith("default-src 'none'; img-src data:")
    for tag in ("style", "script"):
        (text,) = re.findall(f"<{tag}>(.*?)</{tag}>", page, flags=re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy


def test_hostile_texts_are_inert(trial: Trial) -> None:
    page = trial.page()
    assert "<script>alert" not in page
    assert "<img src=x" not in page
    assert "&lt;img src=x onerror=" in page
    assert "TRIAL-1 &lt;script&gt;alert(2)&lt;/script&gt;" in page
    assert all(attrs.get("src") != "x" for attrs in Elements(page).all("img"))


def test_missing_failed_and_measured_are_counted_apart(trial: Trial) -> None:
    page = trial.page()
    assert (
        "2 participants with 8 planned visits: 4 measured (of which 2 flagged for a reader), "
        "2 failed or refused, 0 not measurable, 2 missing."
    ) in page
    assert 'class="state missing" title="no session"' in page
    assert 'class="state failed" title="ses-M06 FLAIR: truncated' in page
    assert "copy it again from its source" in page
    assert "nothing is to be done: the value stays absent" in page
    assert "lesion touches the last slice" in page


def test_change_says_both_modalities_and_like_for_like(trial: Trial) -> None:
    page = trial.page()
    # 0.768 - 1.728 mL from DWI to FLAIR; 0.768 - 3.072 mL on FLAIR alone
    section = page[page.index('id="change"') : page.index('id="problems"')]
    cells = re.findall(
        r'<td class="num"><b>([^<]*)</b>.*?<small>(.*?)</small></td>', section, flags=re.DOTALL
    )
    ends = {(volume, " ".join(re.sub(r"<[^>]*>", "", words).split())) for volume, words in cells}
    assert ("\N{MINUS SIGN}0.960 mL", "DWI \N{RIGHTWARDS ARROW} FLAIR, not like for like") in ends
    assert ("\N{MINUS SIGN}2.30 mL", "FLAIR \N{RIGHTWARDS ARROW} FLAIR") in ends


def test_page_is_blinded_until_there_are_arms(trial: Trial, tmp_path: Path) -> None:
    assert "BLINDED" in trial.page()
    listed = tmp_path / "arms.csv"
    quoted = '"' + HOSTILE.replace('"', '""') + '"'
    listed.write_text(f"participant_id,arm\nsub-001,A\n{quoted},B\n", encoding="utf-8")
    try:
        names = [record.participant_id for record in trial.records]
        arms = randomized_arms(listed, participants=names)
        write_tables(trial.records, trial.out, protocol=PROTOCOL, arms=arms)
        page = trial.page()
        assert "BLINDED" not in page
        assert "by arm: A, B" in page
    finally:
        write_tables(trial.records, trial.out, protocol=PROTOCOL)


def test_page_carries_provenance_and_protocol(trial: Trial) -> None:
    page = trial.page()
    assert PROTOCOL.sha256 in page
    assert "infarct-vol 0.1.0" in page
    assert "2024-02-02" in page
    assert "cdcdcdcdcdcd" in page
    assert "minimum_lesion_ml" in page
    assert "Not a medical device" in page


def test_page_is_the_same_bytes_again_in_any_order(trial: Trial) -> None:
    first = trial.page()
    path = write_report(trial.out, trial.records[::-1], protocol=PROTOCOL)
    assert path.read_text(encoding="utf-8") == first


def test_truth_is_shown_beside_measured(trial: Trial) -> None:
    assert 'id="truth"' not in trial.page()
    truth = pd.DataFrame(
        {
            "participant_id": "sub-001",
            "visit": ["baseline", "month1", "month3"],
            "parameter": "infarct",
            "true_ml": [8.0, 5.0, 4.0],
            "measured_ml": [8.8, 4.0, np.nan],
            "error_ml": [0.8, -1.0, np.nan],
            "error_percent": [10.0, -20.0, np.nan],
            "status": ["measured", "measured", "missing"],
        }
    )
    page = trial.page(truth=truth)
    assert "baseline, infarcts of 5 mL and more: median |error| 10.0 % (n = 1)" in page
    assert "follow-up, infarcts of 5 mL and more: median |error| 20.0 % (n = 1)" in page
    section = page[page.index('id="truth"') : page.index('id="participants"')]
    assert "\N{MINUS SIGN}20.0" in section
    assert '<span class="chip missing">missing</span>' in section


def test_a_lost_picture_is_said_to_be_lost(trial: Trial) -> None:
    lost = figure_folder("sub-001", trial.out) / "registered.jpg"
    content = lost.read_bytes()
    lost.unlink()
    try:
        assert "A picture named in the list of figures is not on disk" in trial.page()
    finally:
        lost.write_bytes(content)


def test_report_without_tables_is_refused(trial: Trial, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no table volumes\.csv"):
        write_report(tmp_path, trial.records, protocol=PROTOCOL)


# ---- wording ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.0, "0.0"), (123.456, "123.5"), (1.234, "1.23"), (0.1234, "0.123"), (-2.5, "\N{MINUS SIGN}2.50")],
)
def test_numbers_have_about_three_digits(value: float, shown: str) -> None:
    assert number(value) == shown


@pytest.mark.parametrize("value", [None, float("nan"), float("inf"), pd.NA, True, "7"])
def test_what_is_not_a_number_is_never_shown_as_one(value: object) -> None:
    assert number(value) == ""
    assert percent(value) == ""

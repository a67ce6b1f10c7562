"""Why a voxel is in or out: decisions that add up to the mask, and a folder that shows them."""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from test_segmentation_acute import Case, head
from test_segmentation_chronic import BASELINE, BASELINE_MASK, CSF, GLIOSIS, HEAD, LESION, NEW, NO_MOVE
from typer.testing import CliRunner

import infarct_vol as iv
from infarct_vol.geometry import Grid
from infarct_vol.images import BrainMask, LesionMask, Scan
from infarct_vol.nifti import load_scan, save_mask, save_scan
from infarct_vol.qa import explain_acute as acute_page
from infarct_vol.qa import panels
from infarct_vol.qa.explain import (
    explain_acute,
    explain_flair_alone,
    explain_followup,
    explain_rapid_like,
    write_explanation,
)
from infarct_vol.segmentation import (
    AcuteTrace,
    FollowUpTrace,
    segment_acute,
    segment_flair_alone,
    segment_followup,
    segment_rapid_like,
    trace_acute,
    trace_followup,
)
from infarct_vol.segmentation.acute_decisions import AcuteDecision, acute_candidates, acute_decisions
from infarct_vol.segmentation.chronic_decisions import FollowUpDecision, followup_decisions
from infarct_vol.settings import AcuteSettings, FollowUpSettings
from infarct_vol_cli.main import app

HOSTILE = "<img src=x onerror=alert(1)> $x_1$ & co.nii.gz"
# asks for so much that of three infarcts the two of 0.25 mL fall
STRICT = AcuteSettings(component_evidence=16, focal_score=100, regional_evidence=50)
MAPS = ("components", "decisions", "evidence", "fraction", "regional")
# asks for more than any voxel has
BLIND = AcuteSettings(seed_evidence=50, component_evidence=60, regional_evidence=50)


def trace_of(case: Case, settings: AcuteSettings = STRICT) -> AcuteTrace:
    return trace_acute(case.dwi, case.adc, brain=case.brain, settings=settings)


@pytest.fixture(scope="module")
def case() -> Case:
    """Infarcts of about 11, 0.25 and 0.25 mL."""
    return head(((35, 10, 10), 14.0), ((-30, -30, 0), 4.0), ((-40, 20, -10), 3.0))


@pytest.fixture(scope="module")
def trace(case: Case) -> AcuteTrace:
    return trace_of(case)


@pytest.fixture(scope="module")
def written(case: Case, trace: AcuteTrace, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Explanation of a case whose file has a hostile name and whose mask has a hostile flag."""
    identity = replace(trace.mask.identity, participant_id="", session_id="", path=Path(HOSTILE))
    mask = replace(trace.mask, identity=identity, flags=("<script>alert(2)</script>",))
    folder = tmp_path_factory.mktemp("explained") / "why"
    page = write_explanation(explain_acute(replace(trace, mask=mask), case.dwi, case.adc), folder)
    assert page == folder / "index.html"
    return folder


# ---- decisions -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", [AcuteSettings(), STRICT, AcuteSettings(minimum_lesion_ml=0.3)])
def test_decisions_from_core_on_are_the_mask(case: Case, settings: AcuteSettings) -> None:
    trace = trace_of(case, settings)
    decisions = acute_decisions(trace)
    in_mask = trace.case.frame.put_back(decisions >= AcuteDecision.CORE)
    assert np.array_equal(in_mask, trace.mask.data)
    assert np.array_equal(decisions == AcuteDecision.OUTSIDE, ~trace.case.brain)
    assert not (trace.case.csf & (decisions >= AcuteDecision.CORE)).any()
    plain = segment_acute(case.dwi, case.adc, brain=case.brain, settings=settings)
    assert np.array_equal(plain.data, trace.mask.data)
    assert plain.evidence == trace.mask.evidence


def test_what_grew_has_no_seed_evidence_but_the_share_of_the_boundary(case: Case) -> None:
    trace = trace_of(case, AcuteSettings(seed_evidence=14, regional_evidence=50))
    grown = acute_decisions(trace) == AcuteDecision.GROWN
    assert grown.any()
    assert trace.found.total[grown].max() <= 14
    assert trace.drawing.share.settled[grown].min() > trace.settings.boundary_fraction


def test_a_region_sure_as_a_whole_is_a_seed(case: Case) -> None:
    trace = trace_of(case, AcuteSettings(seed_evidence=50))
    core = acute_decisions(trace) == AcuteDecision.CORE
    assert core.any()
    assert trace.found.total[core].max() < 50
    assert trace.found.regional[core].min() > trace.settings.regional_evidence


def test_candidates_are_in_the_mask_or_have_a_reason(case: Case, trace: AcuteTrace) -> None:
    first, *others = acute_candidates(trace, case.dwi.grid)
    assert first.in_mask
    assert first.left_out == ""
    # the sphere of 14 mm lies 35, 10, 10 mm from the middle of the grid
    assert first.centroid_mm == pytest.approx(case.dwi.grid.middle_mm + (35, 10, 10), abs=1.5)
    assert first.slice_index == 13
    assert [c.in_mask for c in others] == [False, False]
    assert [c.judged.peak_evidence for c in others] == pytest.approx([15.0, 9.7], abs=0.1)
    assert all("evidence too weak" in c.left_out for c in others)
    decisions = acute_decisions(trace)
    rejected = np.isin(trace.drawing.labels, [c.judged.label for c in others])
    assert np.array_equal(decisions == AcuteDecision.REJECTED, rejected)


def test_a_piece_kept_and_then_too_small_says_so(case: Case) -> None:
    trace = trace_of(case, AcuteSettings(minimum_lesion_ml=0.3))
    assert all(part.kept for part in trace.drawing.components)
    left_out = [c.left_out for c in acute_candidates(trace, case.dwi.grid)]
    assert left_out == ["", *["smaller than the 0.3 mL asked for"] * 2]
    dropped = acute_decisions(trace) == AcuteDecision.DROPPED
    assert int(dropped.sum()) * case.dwi.grid.voxel_volume_ml >= 0.5


def test_no_candidate_is_no_error() -> None:
    case = head()
    trace = trace_of(case, BLIND)
    assert acute_candidates(trace, case.dwi.grid) == []
    assert set(np.unique(acute_decisions(trace))) <= {code.value for code in AcuteDecision if code <= 4}


# ---- the folder ------------------------------------------------------------------------------------------


def test_the_page_carries_all_it_shows_and_names_every_reason(
    written: Path, case: Case, trace: AcuteTrace
) -> None:
    page = (written / "index.html").read_text(encoding="utf-8")
    assert "default-src &#39;none&#39;; img-src data:;" in page
    sources = re.findall(r'\b(?:src|href)="([^"]*)"', page)
    assert sources
    assert all(s.startswith(("data:image/png;base64,", "#")) for s in sources)
    pictures = sorted(written.glob("explain_slice_*.png"))
    assert page.count('src="data:image/png') == len(pictures)
    for candidate in acute_candidates(trace, case.dwi.grid):
        assert candidate.left_out in page
    for name in AcuteSettings.model_fields:
        assert (f"<code>{name}</code>" in page) == (not name.startswith("rapid_"))
    assert f"{trace.mask.volume_ml:.1f} mL" in page


def test_hostile_names_are_words_on_the_page(written: Path) -> None:
    page = (written / "index.html").read_text(encoding="utf-8")
    assert "<img src=x" not in page
    assert "&lt;img src=x onerror=alert(1)&gt;" in page
    assert "<script>alert(2)" not in page
    assert "&lt;script&gt;alert(2)" in page


def test_maps_lie_on_the_native_grid(written: Path, case: Case, trace: AcuteTrace) -> None:
    maps = {name: load_scan(written / f"explain_{name}.nii.gz") for name in MAPS}
    assert all(image.grid.is_same_as(case.dwi.grid) for image in maps.values())
    assert np.array_equal(maps["decisions"].data >= AcuteDecision.CORE, trace.mask.data)
    assert np.unique(maps["components"].data).tolist() == [0, 1, 2, 3]
    seeds = maps["evidence"].data > STRICT.seed_evidence
    assert seeds[maps["decisions"].data == AcuteDecision.CORE].all()
    assert maps["evidence"].data[~case.brain.data].max() == -10
    below = maps["fraction"].data[maps["decisions"].data == AcuteDecision.LOW_SHARE]
    assert 0 < below.min() < below.max() <= STRICT.boundary_fraction


def test_the_same_scan_stored_otherwise_gets_the_same_decisions(case: Case, trace: AcuteTrace) -> None:
    """Axes in the order z, x, y, the first backwards."""
    turn = np.array([[0, 1, 0, 0], [0, 0, 1, 0], [-1, 0, 0, case.dwi.grid.shape[2] - 1], [0, 0, 0, 1.0]])

    def stored(data: np.ndarray) -> np.ndarray:
        return np.transpose(data, (2, 0, 1))[::-1]

    grid = Grid(stored(case.dwi.data).shape, case.dwi.grid.affine @ turn)
    other = Case(
        Scan(stored(case.dwi.data), grid, case.dwi.identity),
        Scan(stored(case.adc.data), grid, case.adc.identity),
        BrainMask(stored(case.brain.data), grid),
        stored(case.truth),
    )
    turned = trace_of(other)
    assert np.array_equal(acute_decisions(turned), acute_decisions(trace))
    native = trace.case.frame.put_back(acute_decisions(trace))
    assert np.array_equal(turned.case.frame.put_back(acute_decisions(turned)), stored(native))
    here, there = acute_candidates(trace, case.dwi.grid)[0], acute_candidates(turned, grid)[0]
    assert there.centroid_mm == pytest.approx(here.centroid_mm)
    assert there.slice_index == case.dwi.grid.shape[2] - 1 - here.slice_index


def test_a_folder_explained_again_holds_nothing_old_and_the_same_bytes(
    case: Case, trace: AcuteTrace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(panels, "SLICES", 2)
    monkeypatch.setattr(panels, "LESION_SLICES", 1)
    (tmp_path / "explain_slice_09.png").write_bytes(b"old")
    (tmp_path / "notes.txt").write_text("the reader's own")

    def hashes() -> dict[str, str]:
        write_explanation(explain_acute(trace, case.dwi, case.adc), tmp_path)
        return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in tmp_path.iterdir()}

    first = hashes()
    pictures = {f"explain_slice_0{at}.png" for at in (1, 2)}
    assert set(first) == {*pictures, *(f"explain_{m}.nii.gz" for m in MAPS), "index.html", "notes.txt"}
    assert hashes() == first


def test_of_many_candidates_the_strongest_are_listed_and_the_rest_counted(
    case: Case, trace: AcuteTrace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acute_page, "LISTED_LEFT_OUT", 1)
    told = explain_acute(trace, case.dwi, case.adc)
    assert [line.in_mask for line in told.candidates] == [True, False]
    assert told.candidates[1].peak == "15.0"
    assert told.unlisted == 1
    assert np.unique(told.maps["components"].data).tolist() == [-1, 0, 1, 2]


def test_slices_show_the_lesion_and_what_was_left_out(case: Case, trace: AcuteTrace) -> None:
    stage = explain_acute(trace, case.dwi, case.adc).stage
    chosen = panels.chosen_slices(stage)
    assert len(chosen) <= panels.SLICES
    area = stage.lesion.sum(axis=(0, 1))
    assert int(area.argmax()) in chosen
    shown = np.unique(stage.others[:, :, chosen])
    assert shown.tolist() == [0, 1, 2]


def test_with_nothing_found_slices_of_the_head_are_shown() -> None:
    case = head()
    trace = trace_of(case, BLIND)
    stage = explain_acute(trace, case.dwi, case.adc).stage
    chosen = panels.chosen_slices(stage)
    assert len(chosen) == panels.SLICES // 2
    words = [text.get_text() for text in panels.slice_sheet(stage, chosen[0], title="x").axes[0].texts]
    assert "Decision on every voxel" in words
    assert not any("Close-up" in line for line in words)


def test_without_an_adc_map_there_is_no_panel_of_it(case: Case, tmp_path: Path) -> None:
    trace = trace_acute(case.dwi, None, brain=case.brain)
    told = explain_acute(trace, case.dwi, None)
    titles = [panel.title for _, line in told.stage.lines for panel in line]
    assert not any("ADC" in title for title in titles)
    assert {line.adc_ratio for line in told.candidates} == {"no ADC"}


# ---- methods without a trace -----------------------------------------------------------------------------


def test_the_fixed_threshold_shows_what_it_has(case: Case) -> None:
    mask = segment_rapid_like(case.dwi, case.adc, brain=case.brain)
    told = explain_rapid_like(mask, case.dwi, case.adc, brain=case.brain, settings=AcuteSettings())
    names = {line.name for line in told.settings}
    assert "rapid_adc_um2_per_s" in names
    assert "seed_evidence" not in names
    assert [p.title for p in told.stage.lines[0][1]][:3] == ["DWI", "Mask on the DWI", "ADC"]
    assert not told.maps


# ---- follow-up -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def followed() -> tuple[Scan, FollowUpTrace]:
    """Rim with a cavity at the baseline lesion, and a new lesion of the other side."""
    image = HEAD.with_balls((LESION, 12, GLIOSIS), (LESION, 7, CSF), (NEW, 7, GLIOSIS))
    flair = HEAD.scan(image, seed=2)
    trace = trace_followup(
        flair, baseline_flair=BASELINE, baseline_mask=BASELINE_MASK, transform=NO_MOVE, brain=HEAD.brain
    )
    return flair, trace


def test_followup_decisions_are_the_parts(followed: tuple[Scan, FollowUpTrace]) -> None:
    flair, trace = followed
    native = trace.frame.put_back(followup_decisions(trace))
    parts = {name: mask.data for name, mask in trace.mask.parts.items()}
    assert all(part.any() for part in parts.values())
    rim = (native == FollowUpDecision.SEED) | (native == FollowUpDecision.RIM)
    assert np.array_equal(rim, parts["rim"])
    assert np.array_equal(native == FollowUpDecision.CAVITY, parts["cavity"])
    assert np.array_equal(native == FollowUpDecision.NEW_LESION, parts["new_lesion"])
    plain = segment_followup(
        flair, baseline_flair=BASELINE, baseline_mask=BASELINE_MASK, transform=NO_MOVE, brain=HEAD.brain
    )
    assert np.array_equal(plain.data, trace.mask.data)


def test_the_followup_page_shows_expectation_and_levels(
    followed: tuple[Scan, FollowUpTrace], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(panels, "SLICES", 2)
    monkeypatch.setattr(panels, "LESION_SLICES", 1)
    flair, trace = followed
    page = write_explanation(explain_followup(trace, flair), tmp_path).read_text(encoding="utf-8")
    for words in ("lesion_level", "csf_level", "new lesion, apart", "region_mm", "in: cavity"):
        assert words in page
    excess = load_scan(tmp_path / "explain_excess.nii.gz")
    # gliosis of 1.6 where tissue of about 1 was to be expected
    assert np.median(excess.data[trace.mask.parts["rim"].data]) == pytest.approx(0.6, abs=0.1)


def test_a_flair_alone_shows_what_it_has(followed: tuple[Scan, FollowUpTrace]) -> None:
    flair, _ = followed
    mask = segment_flair_alone(flair, brain=HEAD.brain)
    told = explain_flair_alone(mask, flair, brain=HEAD.brain, settings=FollowUpSettings())
    outlines = [name for name, _, _ in told.stage.lines[0][1][1].outlines]
    assert outlines[0] == "rim"
    assert "region_mm" not in {line.name for line in told.settings}


# ---- what a user calls -----------------------------------------------------------------------------------


@pytest.fixture
def files(case: Case, tmp_path: Path) -> dict[str, Path]:
    paths = {name: tmp_path / f"{name}.nii.gz" for name in ("dwi", "adc", "brain")}
    save_scan(case.dwi, paths["dwi"])
    save_scan(case.adc, paths["adc"])
    save_mask(LesionMask(case.brain.data, case.brain.grid), paths["brain"])
    return paths


def run(files: dict[str, Path], out: Path, *more: object, code: int = 0) -> None:
    asked = ["segment", "--dwi", files["dwi"], "--adc", files["adc"], "--brain-mask", files["brain"]]
    result = CliRunner().invoke(app, [str(a) for a in (*asked, "-o", out, *more)])
    assert result.exit_code == code, result.output


@pytest.mark.parametrize("method", ["local", "rapid_like"])
def test_the_mask_is_the_same_with_and_without(
    method: str, files: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(panels, "SLICES", 2)
    monkeypatch.setattr(panels, "LESION_SLICES", 1)
    plain, explained, why = tmp_path / "a.nii.gz", tmp_path / "b.nii.gz", tmp_path / "why"
    run(files, plain, "--method", method)
    assert not why.exists()
    run(files, explained, "--method", method, "--explain", why)
    assert plain.read_bytes() == explained.read_bytes()
    page = (why / "index.html").read_text(encoding="utf-8")
    assert f"<dd>{method} " in page
    assert (why / "explain_evidence.nii.gz").exists() == (method == "local")


def test_the_library_explains_a_flair_alone(
    followed: tuple[Scan, FollowUpTrace], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(panels, "SLICES", 2)
    monkeypatch.setattr(panels, "LESION_SLICES", 1)
    mask = iv.segment_followup(followed[0], explain=tmp_path / "why")
    assert mask.flags[0] in (tmp_path / "why" / "index.html").read_text(encoding="utf-8")


def test_a_file_is_no_folder_and_nothing_is_written(files: dict[str, Path], tmp_path: Path) -> None:
    out = tmp_path / "m.nii.gz"
    run(files, out, "--explain", files["dwi"], code=2)
    assert not out.exists()


def test_help_names_the_option() -> None:
    shown = CliRunner().invoke(app, ["segment", "--help"], env={"COLUMNS": "200", "TERM": "dumb"})
    assert "--explain" in shown.output

"""From scans to a signed endpoint in a real browser: run, page, trail, tables and report."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from desk_trial import run_toy  # noqa: E402

import infarct_vol as iv  # noqa: E402
from infarct_vol.desk import Desk  # noqa: E402
from infarct_vol.nifti import load_mask  # noqa: E402
from infarct_vol.protocol import Protocol  # noqa: E402
from infarct_vol.review.verification import audit_study  # noqa: E402
from infarct_vol.server.serving import serve  # noqa: E402
from infarct_vol.settings import ReviewSettings  # noqa: E402

CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
FLAGS = [
    "--no-sandbox",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
]
PHRASE = "correct horse battery"
ORANGE = "(r > 180 && g > 60 && g < 190 && b < 110 && r - b > 110)"
expect = sync_api.expect


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield opened
        opened.close()


class Page:
    """One reader at the real page."""

    def __init__(self, browser: Any, url: str, name: str) -> None:
        self.page = browser.new_context(viewport={"width": 1280, "height": 800}).new_page()
        self.problems: list[str] = []
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("console", self._console)
        self.page.goto(url)
        self.page.get_by_label("Name").fill(name)
        self.page.get_by_label("Passphrase").fill(PHRASE)
        self.press("Enter")
        expect(self.page.locator(".cases tbody")).to_be_visible()

    def _console(self, message: Any) -> None:
        if message.type == "error" and "Failed to load resource" not in message.text:
            self.problems.append(message.text)

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def state(self) -> dict[str, Any]:
        return self.page.evaluate("() => infarctVolReview.state()")

    def look(self) -> dict[str, Any]:
        return self.page.evaluate("() => infarctVolReview.viewer.state()")

    def until(self, fits: Any) -> None:
        for _ in range(800):
            if fits():
                return
            self.page.wait_for_timeout(25)
        pytest.fail(f"it never came: {self.state()}")

    def open_first(self) -> str:
        self.press("Enter")
        self.until(lambda: self.state()["drawn"])
        return str(self.state()["code"])

    def says(self, text: str) -> None:
        expect(self.page.locator(".message", has_text=text).last).to_be_visible()

    def orange(self, panel: str) -> int:
        """Count the pixels of a panel that have the colour of the infarct's contour."""
        return self.page.evaluate(
            "(id) => { const c = infarctVolReview.viewer.panelCanvas(id);"
            " const d = c.getContext('2d').getImageData(0, Math.round(c.height * 0.1), c.width,"
            " Math.round(c.height * 0.8)).data; let n = 0; for (let i = 0; i < d.length; i += 4) {"
            f" const r = d[i], g = d[i + 1], b = d[i + 2]; if ({ORANGE}) n++; }} return n; }}",
            panel,
        )

    def click_voxel(self, panel: str, voxel: list[int]) -> None:
        place = self.page.evaluate(
            "([id, voxel]) => { const v = infarctVolReview.viewer;"
            " const box = v.panelCanvas(id).getBoundingClientRect(); const p = v.pointOf(id, voxel);"
            " return [box.left + p[0], box.top + p[1]]; }",
            [panel, voxel],
        )
        self.page.mouse.click(*place)

    def finish(self, status: str = "done") -> None:
        """Accept what is left of the case that is open, and wait until all of it is judged."""
        code = self.state()["code"]
        if code is not None:
            self.press("Shift+A")
        self.until(lambda: all(case["status"] == status for case in self.cases()))

    def cases(self) -> list[dict[str, Any]]:
        return self.page.evaluate("async () => (await (await fetch('/api/worklist')).json()).cases")


# ---- one reader ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sample_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One participant of the sample trial, with the scans beside it."""
    root = tmp_path_factory.mktemp("sample")
    shutil.copytree(iv.sample_trial(), root / "trial")
    iv.run_study(root / "trial", root / "out", participant_labels=["sub-004"])
    return root / "out"


def volume_row(out: Path, visit: str, parameter: str = "infarct") -> Any:
    table = iv.read_tables(out).volumes
    return table[(table["visit"] == visit) & (table["parameter"] == parameter)].iloc[0]


def test_a_mask_is_corrected_judged_and_locked(browser: Any, sample_run: Path) -> None:
    out = sample_run
    desk = Desk(out)
    desk.readers.enrol("Dr Ada", PHRASE)
    automatic = load_mask(out / volume_row(out, "month3")["mask_path"])
    with serve(desk) as running:
        one = Page(browser, running.url, "Dr Ada")
        expect(one.page.locator(".cases tbody tr")).to_have_count(1)
        expect(one.page.locator(".cases tbody")).to_contain_text(
            f"{volume_row(out, 'month3')['volume_ml']:.2f} mL"
        )
        one.open_first()

        # the contour is drawn, and a key takes it away
        drawn = one.orange("v3.flair")
        assert drawn > 100
        one.press("m")
        one.until(lambda: one.orange("v3.flair") < drawn / 10)
        one.press("m")
        one.until(lambda: one.orange("v3.flair") == drawn)

        # the baseline's masks and registration are accepted with one key, then month 1 is rejected
        one.press("a")
        one.until(lambda: one.state()["visit"] == "v2" and not one.state()["busy"])
        accepted = desk.trail.head().sequence
        one.press("r", "1", "Enter")
        one.until(lambda: desk.trail.head().sequence > accepted and not one.state()["busy"])
        one.press("a")  # its registration is sound
        one.until(lambda: one.state()["visit"] == "v3")

        # the mask of month 3 is painted on, on the native grid
        one.press("e", "1")
        one.until(lambda: one.state()["editing"] is not None)
        before = one.state()["editing"]["voxels"]
        centre = one.look()["voxel"]
        one.click_voxel(one.look()["focused"], [centre[0] + 25, centre[1] + 20, centre[2]])
        painted = one.state()["editing"]
        assert painted["voxels"] > before
        assert one.orange("v3.flair") != drawn
        one.press("Control+s", "1", "Enter")
        one.says("Saved")
        one.press("a")
        one.until(lambda: not one.state()["busy"] and one.state()["visit"] != "v3")
        one.finish("rejected")

        # locked: signed once more, and nothing goes any more
        one.press("Shift+L")
        one.page.get_by_label("Passphrase").fill(PHRASE)
        one.press("Enter")
        expect(one.page.get_by_role("button", name="Unlock")).to_be_visible(timeout=60_000)
        if one.state()["code"] is None:
            one.press("Enter")
        one.until(lambda: one.state()["drawn"])
        expect(one.page.locator(".notice.locked")).to_contain_text("Locked by Dr Ada")
        before = desk.trail.head()
        one.press("a")
        one.says("locked by Dr Ada")
        assert desk.trail.head() == before
        assert one.problems == []

    row = volume_row(out, "month3")
    saved = load_mask(out / row["mask_path"])
    assert row["status"] == "edited"
    assert row["voxel_count"] == saved.voxel_count == painted["voxels"]
    assert row["volume_ml"] == pytest.approx(saved.voxel_count * automatic.grid.voxel_volume_ml)
    assert saved.grid.is_same_as(automatic.grid)
    assert np.all(saved.data[automatic.data])
    assert row["edit_difference_ml"] == pytest.approx(saved.volume_ml - automatic.volume_ml)
    rejected = volume_row(out, "month1")
    assert rejected["status"] == "excluded"
    assert np.isnan(rejected["volume_ml"])
    assert volume_row(out, "baseline")["status"] == "reviewed"
    change = iv.read_tables(out).change
    later = change[(change["visit"] == "month3") & (change["parameter"] == "infarct")].iloc[0]
    assert later["change_ml"] == pytest.approx(row["volume_ml"] - volume_row(out, "baseline")["volume_ml"])

    # who, when and why are in the report, and the trail is whole
    iv.remake_report(out)
    page = (out / "report" / "participants" / "sub-004.html").read_text(encoding="utf-8")
    entry = next(e for e in desk.trail.entries() if e.action == "edit")
    for told in ("Dr Ada", entry.reason, entry.utc[:10], f"{saved.volume_ml:.2f}"):
        assert told in page
    report = audit_study(out)
    assert report.faults == ()
    assert [e.action for e in desk.trail.entries()].count("lock") == 1
    with pytest.raises(iv.InfarctVolError, match="locked"):
        iv.remake_tables(out)


# ---- two blinded readers and an adjudicator --------------------------------------------------------------


def test_two_readers_differ_and_a_third_decides(browser: Any, tmp_path: Path) -> None:
    # a limit so low that a stroke of the brush is a difference
    review = ReviewSettings(reads=2, adjudication_ml=0.1, adjudication_percent=1.0, reread_percent=0)
    out = run_toy(tmp_path, participants=1, protocol=Protocol(review=review))
    desk = Desk(out)
    for name in ("Dr Ada", "Dr Ben"):
        desk.readers.enrol(name, PHRASE)
    desk.readers.enrol("Dr Cy", PHRASE, role="adjudicator")
    with serve(desk) as running:
        ada = Page(browser, running.url, "Dr Ada")
        ada.open_first()
        assert "sub-001" not in ada.page.content()
        ada.finish()
        ben = Page(browser, running.url, "Dr Ben")
        ben.open_first()
        assert "Dr Ada" not in ben.page.content()
        ben.press("a")
        ben.until(lambda: ben.state()["visit"] == "v2")
        ben.press("e", "1", ".", ".", ".")
        ben.until(lambda: ben.state()["editing"] is not None)
        place = ben.look()["voxel"]
        ben.click_voxel(ben.look()["focused"], [10, 14, place[2]])
        drawn = ben.state()["editing"]
        assert drawn["difference_ml"] > 0.1
        ben.press("Control+s", "1", "Enter")
        ben.says("Saved")
        ben.finish()
        cy = Page(browser, running.url, "Dr Cy")
        expect(cy.page.locator(".cases tbody tr")).to_have_count(1)
        code = cy.open_first()
        assert not {"Dr Ada", "Dr Ben"} & set(cy.page.inner_text("body").split("\n"))
        shown = desk.case(desk.readers.get("Dr Cy"), code)
        reads = next(i["reads"] for v in shown["visits"] for i in v["items"] if i["due"])
        larger = max(reads, key=lambda read: read["volume_ml"])
        cy.press(str(larger["number"]))
        cy.finish()
        assert [page.problems for page in (ada, ben, cy)] == [[], [], []]
    iv.remake_tables(out)
    row = volume_row(out, "month1")
    assert (row["status"], row["voxel_count"]) == ("edited", drawn["voxels"])
    assert "Dr Cy" in row["source"]
    baseline = volume_row(out, "baseline")
    assert baseline["status"] == "reviewed"
    decided = [json.loads(e.new) for e in desk.trail.entries() if e.action == "decision"]
    assert [d["chosen"] for d in decided if d["kind"] == "adjudication"] == [larger["number"]]
    first, second = (out / "tables" / "reads" / f"reader-{n}_read-1.csv" for n in (1, 2))
    agreement = iv.agree(first, second)
    assert agreement is not None
    assert audit_study(out).faults == ()

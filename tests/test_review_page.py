"""The review page in a real browser, over a made-up study: keys, refusals and lost races."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from web_app.fake_api import FakeServer, served  # noqa: E402
from web_app.fake_study import PASSPHRASE, VOXEL_ML, FakeStudy, square  # noqa: E402

CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
FLAGS = [
    "--no-sandbox",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
expect = sync_api.expect


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield opened
        opened.close()


class Desk:
    """A browser page on a served study, and what tests ask of both."""

    def __init__(self, page: Any, server: FakeServer) -> None:
        self.page, self.server, self.study = page, server, server.study
        self.problems: list[str] = []
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.on("console", self._console)

    def _console(self, message: Any) -> None:
        # a refused request is reported by the browser itself; the page has to say it in words
        if message.type == "error" and "Failed to load resource" not in message.text:
            self.problems.append(message.text)

    def state(self) -> dict[str, Any]:
        return self.page.evaluate("() => infarctVolReview.state()")

    def look(self) -> dict[str, Any]:
        return self.page.evaluate("() => infarctVolReview.viewer.state()")

    def until(self, fits: Callable[[], object]) -> None:
        """Wait until something holds; the page's policy forbids to wait inside of it."""
        for _ in range(200):
            if fits():
                return
            self.page.wait_for_timeout(25)
        pytest.fail(f"it never came: {self.state()}")

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def sign_in(self) -> None:
        self.page.goto(self.server.url)
        self.page.get_by_label("Passphrase").fill(PASSPHRASE)
        self.press("Enter")
        expect(self.page.locator(".cases tbody tr")).to_have_count(len(self.study.cases))

    def open_first(self) -> str:
        self.sign_in()
        self.press("Enter")
        self.drawn(code := next(iter(self.study.cases)))
        return code

    def drawn(self, code: str) -> None:
        self.until(lambda: self.state()["drawn"] and self.state()["code"] == code)

    def at(self, visit: str) -> None:
        self.until(lambda: self.state()["visit"] == visit and not self.state()["busy"])

    def says(self, text: str) -> None:
        expect(self.page.locator(".message", has_text=text).last).to_be_visible()

    def paint(self, panel: str, voxel: tuple[int, int, int]) -> None:
        """Click with the tool on a voxel of the panel's slice."""
        place = self.page.evaluate(
            "([id, voxel]) => { const v = infarctVolReview.viewer;"
            " const box = v.panelCanvas(id).getBoundingClientRect(); const p = v.pointOf(id, voxel);"
            " return [box.left + p[0], box.top + p[1]]; }",
            [panel, list(voxel)],
        )
        self.page.mouse.click(*place)

    def decisions(self) -> list[Any]:
        return [one for what, *rest in self.server.sent if what == "decisions" for one in rest[0]]


Opened = Callable[..., Any]


@pytest.fixture
def desk(browser: Any) -> Iterator[Opened]:
    """Open the page on a study; at the end nothing may have gone wrong unseen."""
    opened: list[Desk] = []

    @contextmanager
    def make(cases: int = 3, **options: Any) -> Iterator[Desk]:
        context = browser.new_context(viewport={"width": 1280, "height": 800})
        with served(FakeStudy(cases, **options)) as server:
            opened.append(one := Desk(context.new_page(), server))
            try:
                yield one
            finally:
                context.close()

    yield make
    assert [problem for one in opened for problem in one.problems] == []


# ---- signing in ------------------------------------------------------------------------------------------


def test_a_wrong_passphrase_is_said_and_the_right_one_opens_the_list(desk: Opened) -> None:
    with desk() as one:
        one.page.goto(one.server.url)
        expect(one.page.get_by_label("Name")).to_have_value("Dr A")
        one.page.get_by_label("Passphrase").fill("wrong")
        one.press("Enter")
        expect(one.page.get_by_role("alert").filter(has_text="name or passphrase is wrong")).to_be_visible()
        one.sign_in()
        assert one.state()["place"] == "list"


def test_enrolment_asks_twice_and_for_the_meaning_of_a_signature(desk: Opened) -> None:
    with desk() as one:
        page = one.page
        page.goto(one.server.url)
        page.get_by_role("button", name="enrol").click()
        page.get_by_label("Name", exact=True).fill("Dr New")
        page.get_by_label("Passphrase", exact=True).fill("a long passphrase")
        page.get_by_label("Passphrase once more").fill("another passphrase")
        enrol = page.get_by_role("button", name="Enrol", exact=True)
        enrol.click()
        expect(page.get_by_text("The two passphrases differ")).to_be_visible()
        page.get_by_label("Passphrase once more").fill("a long passphrase")
        enrol.click()
        expect(page.get_by_text("Confirm what a signature means")).to_be_visible()
        assert "Dr New" not in one.study.readers
        page.get_by_role("checkbox").check()
        page.get_by_label("Adjudicator").check()
        enrol.click()
        expect(page.locator(".who")).to_have_text("Dr New (adjudicator)")
        assert one.study.roles["Dr New"] == "adjudicator"


def test_a_lost_session_asks_again_and_keeps_the_edit(desk: Opened) -> None:
    with desk() as one:
        one.open_first()
        one.press("e")
        one.paint("v1.dwi", (34, 30, 6))
        before_ml = one.state()["editing"]["volume_ml"]
        one.until(lambda: len(one.state()["kept"]) == 2)  # so that no request but the saving is refused
        one.server.reader = None
        one.press("Control+s", "1", "Enter")
        cover = one.page.get_by_role("dialog", name="You were signed out")
        expect(cover).to_be_visible()
        one.page.keyboard.type("wrong")
        one.press("Enter")
        expect(cover.get_by_role("alert")).to_have_text("name or passphrase is wrong")
        one.page.get_by_label("Passphrase of Dr A").fill(PASSPHRASE)
        one.press("Enter")
        expect(cover).to_be_hidden()
        expect(one.page.get_by_text("You are signed in again now: do it once more")).to_be_visible()
        assert one.state()["editing"]["volume_ml"] == before_ml
        assert one.study.cases["sub-001"].items["v1.dwi"].versions == []
        one.page.get_by_role("dialog").get_by_role("button", name="Save").click()
        one.says("Saved")
        assert len(one.study.cases["sub-001"].items["v1.dwi"].versions) == 1


def test_idle_time_covers_the_page(desk: Opened) -> None:
    with desk() as one:
        one.page.clock.install()
        one.open_first()
        one.page.clock.fast_forward(31 * 60 * 1000)
        expect(one.page.get_by_role("dialog", name="You were signed out")).to_be_visible()
        assert one.server.asked("POST", "/api/sign-out") == 1


# ---- the worklist ----------------------------------------------------------------------------------------


def test_the_list_shows_volumes_filters_and_resumes_at_the_first_to_do(desk: Opened) -> None:
    with desk(4) as one:
        case = one.study.cases["sub-001"]
        for item in case.items.values():
            item.decision = {"verdict": "accept", "reason": "", "who": "Dr A", "utc": "2026", "sequence": 1}
        one.study.cases["sub-003"].items["v1.dwi"].stale = True
        one.sign_in()
        rows = one.page.locator(".cases tbody tr")
        # 12 x 12 x 3 voxels of 0.08 mL are 34.56 mL, 10 x 10 x 3 are 24.00 mL
        expect(rows.nth(0)).to_contain_text("34.56 mL")
        expect(rows.nth(0)).to_contain_text("−10.56 mL · −30.6 %")
        expect(one.page.locator("tr[aria-selected=true]")).to_have_attribute("data-code", "sub-002")
        for key, codes in {"2": 3, "3": 2, "4": 0, "5": 1, "1": 4}.items():
            one.press(key)
            expect(rows).to_have_count(codes)
        one.press("/")
        one.page.keyboard.type("sub-004")
        expect(rows).to_have_count(1)
        one.press("Escape", "Escape")
        expect(rows).to_have_count(4)
        one.press("Home", "ArrowDown", "ArrowDown")
        expect(one.page.locator("tr[aria-selected=true]")).to_have_attribute("data-code", "sub-003")
        one.press("Enter")
        one.drawn("sub-003")


def test_markup_in_names_is_inert(desk: Opened) -> None:
    hostile = '<img src=x onerror="document.title=1"><script>document.title=2</script>'
    with desk(hostile=hostile) as one:
        one.sign_in()
        expect(one.page.locator(".case-name").first).to_contain_text(hostile)
        one.press("Enter")
        one.drawn("sub-001")
        expect(one.page.locator("h1")).to_have_text(hostile)
        one.press("ArrowRight")
        expect(one.page.locator(".visit-body .flags").first).to_contain_text(hostile)
        assert one.page.locator("img, #app script").count() == 0
        assert one.page.title() == "infarct-vol review"


# ---- decisions -------------------------------------------------------------------------------------------


def test_thirty_cases_are_judged_in_a_row_by_the_keyboard(desk: Opened) -> None:
    with desk(30) as one:
        one.sign_in()
        one.press("Enter")
        for number in range(1, 31):
            one.drawn(code := f"sub-{number:03d}")
            for visit in ("v1", "v2", "v3") if number % 2 else ("v1",):
                one.at(visit)
                one.press("a" if number % 2 else "Shift+A")
            one.until(lambda code=code: one.state()["code"] != code)
        one.says("All cases of this list are judged.")
        verdicts = [i.decision["verdict"] for c in one.study.cases.values() for i in c.items.values()]
        assert verdicts == ["accept"] * 30 * 7
        expect(one.page.locator(".progress-words")).to_have_text("30 of 30 cases done")


def test_reject_query_and_not_measurable_need_a_reason(desk: Opened) -> None:
    with desk() as one:
        one.open_first()
        one.press("r", "Enter")
        expect(one.page.locator(".dialog-problem")).to_contain_text("A reason is needed")
        one.press("Escape")
        assert one.decisions() == []
        one.press("r", "5")
        one.page.keyboard.type("spills into the ventricle")
        one.press("Enter")
        one.says("Rejected: sub-001, Baseline (DWI infarct)")
        one.until(lambda: not one.state()["busy"])
        one.press("q")
        one.page.keyboard.type("Which scanner?")
        one.press("Enter")
        one.says("Query open")
        one.press("n", "1", "2", "Enter")
        one.until(lambda: len(one.decisions()) == 3 or one.state()["busy"])
        sent = [(d["item"], d["verdict"], d["reason"]) for d in one.decisions()]
        assert sent[:2] == [
            ("v1.dwi", "reject", "Mask too large; spills into the ventricle"),
            ("v1.flair", "query", "Which scanner?"),
        ]
        assert list(one.decisions()[0]["masks"]) == ["dwi"]
        assert list(one.decisions()[1]["masks"]) == ["flair", "cavity"]


def test_the_registration_is_judged_apart(desk: Opened) -> None:
    with desk() as one:
        one.open_first()
        one.press("ArrowRight")
        one.at("v2")
        one.press("g")
        dialog = one.page.get_by_role("dialog")
        expect(dialog).to_contain_text("mutual information is lower")
        one.press("r")
        expect(dialog.locator(".dialog-problem")).to_contain_text("A reason is needed")
        one.press("2", "r")
        one.says("Rejected: Month 1, registration")
        items = one.study.cases["sub-001"].items
        assert items["v2.registration"].decision["reason"] == "Shifted"
        assert items["v2.flair"].decision is None
        one.until(lambda: not one.state()["busy"])
        one.press("a")
        one.until(lambda: items["v2.flair"].decision is not None)
        assert items["v2.registration"].decision["verdict"] == "reject"
        assert items["v2.flair"].decision["verdict"] == "accept"


def test_accept_with_comment_says_the_comment(desk: Opened) -> None:
    with desk() as one:
        one.open_first()
        one.press("c", "1", "Enter")
        one.says("Accepted")
        assert {d["reason"] for d in one.decisions()} == {"Edge uncertain, within tolerance"}
        assert {d["item"] for d in one.decisions()} == {"v1.dwi", "v1.flair", "v1.registration"}


def test_a_failed_decision_is_said_and_sent_again_only_by_hand(desk: Opened) -> None:
    with desk() as one:
        one.open_first()
        one.server.failing["/decisions"] = (500, "the disk is full")
        one.press("a")
        expect(one.page.locator(".message.failed")).to_contain_text("Not saved. the disk is full")
        assert one.server.asked("POST", "/decisions") == 1
        assert one.state()["visit"] == "v1"
        one.server.failing.clear()
        one.press("a")
        one.at("v2")
        assert one.server.asked("POST", "/decisions") == 2


def test_a_decision_that_came_late_is_shown_beside_the_other(desk: Opened) -> None:
    with desk() as one:
        code = one.open_first()
        theirs = [{"item": "v1.dwi", "verdict": "reject", "reason": "old lesion", "revision": 0}]
        assert one.study.judge("Dr B", code, theirs)
        one.press("a")
        dialog = one.page.get_by_role("dialog")
        expect(dialog.get_by_role("heading")).to_have_text("Dr B decided or edited meanwhile")
        expect(dialog).to_contain_text("Dr B decided: reject")
        expect(dialog).to_contain_text("old lesion")
        one.press("d")
        one.says("Accepted")
        decision = one.study.cases[code].items["v1.dwi"].decision
        assert (decision["who"], decision["verdict"]) == ("Dr A", "accept")


def test_a_late_decision_on_a_mask_that_changed_must_be_made_anew(desk: Opened) -> None:
    with desk() as one:
        code = one.open_first()
        one.study.save("Dr B", code, "v1.dwi", "dwi", square(4), reason="edge", tool="page")
        one.press("a")
        dialog = one.page.get_by_role("dialog")
        expect(dialog).to_contain_text("The mask is another one now")
        assert dialog.get_by_role("button", name="Decide again on top").count() == 0
        one.press("t")
        # 8 x 8 x 3 voxels of 0.08 mL
        expect(one.page.locator(".card").first.locator(".masks")).to_contain_text("15.36")
        assert one.study.cases[code].items["v1.dwi"].decision is None


def test_a_part_that_was_cut_is_not_what_somebody_drew(desk: Opened) -> None:
    with desk() as one:
        code = one.open_first()
        one.press("ArrowRight", "e")
        one.paint("v2.flair", (34, 30, 6))
        one.study.save("Dr B", code, "v2.flair", "flair", square(4), reason="too large", tool="page")
        one.study.save("Dr B", code, "v2.flair", "cavity", square(1), reason="too large", tool="cut")
        one.press("Control+s", "1", "Enter")
        # 8 x 8 x 3 voxels of 0.08 mL, not the 0.96 mL of the cavity
        dialog = one.page.get_by_role("dialog", name="Dr B changed this mask meanwhile")
        expect(dialog).to_contain_text("Dr B saved another mask of 15.36 mL")
        one.press("t")


# ---- dialogs beside the images ---------------------------------------------------------------------------


def boxes_apart(one: Any, dialog: Any) -> bool:
    """Whether a dialog leaves the images free."""
    images = one.page.locator(".viewer-frame").bounding_box()
    shown = dialog.bounding_box()
    return shown["x"] >= images["x"] + images["width"] - 1 and shown["y"] + shown["height"] <= 801


@pytest.mark.parametrize("key", ["c", "r", "q", "n", "g"])
def test_a_dialog_leaves_the_images_free(desk: Opened, key: str) -> None:
    with desk() as one:
        one.open_first()
        one.press("ArrowRight")
        one.at("v2")
        one.press(key)
        dialog = one.page.get_by_role("dialog")
        expect(dialog).to_be_visible()
        assert boxes_apart(one, dialog)
        before = one.look()["slice"]
        one.press("ArrowUp")
        assert one.look()["slice"] == before + 1
        # the column is out of reach, the wheel is not
        assert one.page.locator(".column").evaluate("(e) => e.inert")
        box = one.page.locator("canvas[data-panel='v2.flair']").bounding_box()
        one.page.mouse.move(box["x"] + 90, box["y"] + 90)
        one.page.mouse.wheel(0, 100)
        one.until(lambda: one.look()["slice"] == before)
        for _ in range(20):
            one.press("Tab")
            assert dialog.evaluate("(e) => e.contains(document.activeElement)")
        one.press("Escape")
        expect(dialog).to_have_count(0)
        assert not one.page.locator(".column").evaluate("(e) => e.inert")


def test_the_registration_is_compared_while_its_dialog_is_open(desk: Opened) -> None:
    with desk() as one:
        one.open_first()
        one.press("ArrowRight")
        one.at("v2")
        one.press("g", "x")
        assert one.look()["compare"]["name"] == "checkerboard"
        # a click on an image takes the focus; keys still are the dialog's
        box = one.page.locator("canvas[data-panel='v2.flair']").bounding_box()
        one.page.mouse.click(box["x"] + 90, box["y"] + 90)
        one.press("2", "r")
        one.says("Rejected: Month 1, registration")
        assert one.study.cases["sub-001"].items["v2.registration"].decision["reason"] == "Shifted"
        one.until(lambda: not one.state()["busy"])


def test_nothing_is_painted_while_the_reason_is_asked(desk: Opened) -> None:
    with desk() as one:
        one.open_first()
        one.press("e")
        one.paint("v1.dwi", (34, 30, 6))
        painted = one.state()["editing"]["voxels"]
        one.press("Control+s")
        assert boxes_apart(one, one.page.get_by_role("dialog"))
        one.paint("v1.dwi", (20, 20, 6))
        assert one.state()["editing"]["voxels"] == painted
        one.press("Escape", "Escape", "d")
        one.until(lambda: one.state()["editing"] is None)


# ---- editing ---------------------------------------------------------------------------------------------


def test_the_tools_take_one_row_and_the_images_keep_their_size(desk: Opened) -> None:
    with desk() as one:
        one.open_first()
        before = one.page.locator(".viewer-frame").bounding_box()
        one.press("e", "3")
        expect(one.page.locator(".edit-bar input").first).to_be_visible()
        assert one.page.locator(".viewer-frame").bounding_box() == before
        one.paint("v1.dwi", (34, 30, 6))
        # 12 x 12 x 3 voxels of 0.08 mL before
        expect(one.page.locator(".edit-foot")).to_contain_text("before 34.56 mL")
        one.press("Escape", "d")


def test_an_edit_is_saved_with_a_reason_and_accepted(desk: Opened) -> None:
    with desk() as one:
        code = one.open_first()
        before_ml = square(6).sum() * VOXEL_ML
        one.press("e", "1")
        one.paint("v1.dwi", (34, 30, 6))
        painted = one.state()["editing"]
        assert painted["dirty"] is True
        assert painted["difference_ml"] > 0
        one.press("Control+z")
        assert one.state()["editing"]["difference_ml"] == 0
        one.press("Control+y", "a")
        one.says("Save the edit")
        one.press("Control+s")
        table = one.page.locator(".change-table")
        expect(table).to_contain_text(f"Before{before_ml:.2f} mL")
        expect(table).to_contain_text(f"Difference+{painted['difference_ml']:.2f} mL")
        one.press("Enter")
        expect(one.page.locator(".dialog-problem")).to_contain_text("A reason is needed")
        one.press("2", "Enter")
        one.says("Saved: Baseline, DWI infarct")
        item = one.study.cases[code].items["v1.dwi"]
        saved = item.current["dwi"]
        assert saved[34, 30, 6] == 1
        assert saved.sum() == painted["voxels"]
        assert saved[:, :, :5].sum() + saved[:, :, 8:].sum() == 0
        assert one.server.sent[-1][-1] == "Missed part added"
        assert one.state()["editing"] is None
        one.press("a")
        one.at("v2")
        mine = next(d for d in one.decisions() if d["item"] == "v1.dwi")
        assert mine["masks"]["dwi"] == item.versions[0]["sha256"]


def test_an_unsaved_edit_is_never_left_without_asking(desk: Opened) -> None:
    with desk() as one:
        one.open_first()
        one.press("e")
        one.paint("v1.dwi", (34, 30, 6))
        for key in ("k", "u", "Escape"):
            one.press(key)
            dialog = one.page.get_by_role("dialog", name="Unsaved edit")
            expect(dialog).to_be_visible()
            one.press("Escape")
            expect(dialog).to_be_hidden()
        assert one.state()["editing"]["dirty"] is True
        one.press("Escape", "d")
        one.until(lambda: one.state()["editing"] is None)
        assert one.server.sent == []


@pytest.mark.parametrize("key", ["d", "t"])
def test_an_edit_that_came_late_is_kept(desk: Opened, key: str) -> None:
    with desk() as one:
        code = one.open_first()
        one.press("e")
        one.paint("v1.dwi", (34, 30, 6))
        mine = one.state()["editing"]["voxels"]
        one.study.save("Dr B", code, "v1.dwi", "dwi", square(4), reason="too large", tool="page")
        one.press("Control+s", "1", "Enter")
        dialog = one.page.get_by_role("dialog", name="Dr B changed this mask meanwhile")
        expect(dialog).to_contain_text("Dr B saved another mask of 15.36 mL")
        one.press(key)
        item = one.study.cases[code].items["v1.dwi"]
        if key == "t":
            notice = one.page.locator(".notice.shelf")
            expect(notice).to_contain_text("is not saved yet")
            expect(one.page.locator(".card").first.locator(".masks")).to_contain_text("15.36")
            notice.get_by_role("button", name="Save mine on top").click()
        one.says("Saved")
        assert item.current["dwi"].sum() == mine
        assert [v["who"] for v in item.versions] == ["Dr B", "Dr A"]
        expect(one.page.locator(".notice.shelf")).to_have_count(0)


def test_a_version_is_shown_over_the_mask(desk: Opened) -> None:
    with desk() as one:
        code = one.open_first()
        one.study.save("Dr B", code, "v2.flair", "flair", square(3), reason="edge", tool="page")
        one.page.reload()
        one.drawn(code)
        one.press("ArrowRight")
        automatic = one.page.get_by_role("button", name="automatic mask")
        automatic.click()
        expect(automatic).to_have_attribute("aria-pressed", "true")
        kinds = "() => infarctVolReview.viewer.extra.map((layer) => [layer.item, layer.label])"
        assert one.page.evaluate(kinds) == [["v2.flair", "automatic"]]
        automatic.click()
        expect(automatic).to_have_attribute("aria-pressed", "false")
        assert one.page.evaluate(kinds) == []


def test_masks_go_out_and_come_back_as_files(desk: Opened, tmp_path: Path) -> None:
    with desk() as one:
        code = one.open_first()
        one.page.get_by_text("ITK-SNAP, 3D Slicer").first.click()
        with one.page.expect_download() as got:
            one.page.get_by_role("button", name="Download infarct").first.click()
        assert got.value.suggested_filename == f"{code}_v1.dwi_dwi.nii.gz"
        for content, said in ((b"wrong grid", "mask 40 x 40 x 8\nscan 48 x 56 x 12"), (b"sound", "")):
            file = tmp_path / "<b>mask.nii.gz"
            file.write_bytes(content)
            with one.page.expect_file_chooser() as chooser:
                one.page.get_by_role("button", name="Upload infarct").first.click()
            chooser.value.set_files(file)
            expect(one.page.locator(".file-name")).to_have_text("<b>mask.nii.gz")
            one.press("1", "Enter")
            if said:
                expect(one.page.locator(".dialog-problem")).to_contain_text(said)
                one.press("Escape")
        one.says("Uploaded")
        assert one.study.cases[code].items["v1.dwi"].versions[0]["tool"] == "upload"


# ---- blinded reads, adjudication, lock -------------------------------------------------------------------


def test_a_blinded_read_shows_a_code_and_no_other_reader(desk: Opened) -> None:
    with desk(kind="read") as one:
        one.open_first()
        expect(one.page.locator("h1")).to_have_text(re.compile(r"^Case [0-9a-f]{4}-[0-9a-f]{4}$"))
        expect(one.page.locator(".notice.blinded")).to_have_text("Blinded read: you see no other reader.")
        assert "sub-001" not in one.page.content()
        assert "study day" not in one.page.content()


@pytest.mark.parametrize(("key", "half_width"), [("1", 5), ("2", 3)])
def test_the_adjudicator_takes_a_read(desk: Opened, key: str, half_width: int) -> None:
    with desk(kind="adjudication") as one:
        code = one.open_first()
        reads = one.page.locator(".reads")
        # 24.00 and 8.64 mL differ by 15.36 mL, 94.1 % of their mean of 16.32 mL
        expect(reads).to_contain_text("They differ by 15.36 mL, 94.1 % of the mean.")
        one.press("a")
        one.says("Press 1 or 2 to take a read")
        assert one.decisions() == []
        one.press(key)
        one.until(lambda: len(one.decisions()) == 1)
        (sent,) = one.decisions()
        assert (sent["item"], sent["verdict"], sent["chosen"]) == ("v2.flair", "accept", int(key))
        taken = one.study.cases[code].items["v2.flair"].reads[int(key) - 1]
        assert sent["masks"] == {"flair": taken["masks"][0]["sha256"]}
        assert taken["volume_ml"] == pytest.approx((2 * half_width) ** 2 * 3 * VOXEL_ML)


def test_the_adjudicator_draws_an_own_mask(desk: Opened) -> None:
    with desk(1, kind="adjudication") as one:
        code = one.open_first()
        one.press("e")
        one.paint("v2.flair", (34, 30, 6))
        one.press("Control+s", "1", "Enter")
        one.says("Saved")
        one.press("a")
        one.until(lambda: len(one.decisions()) == 1)
        (sent,) = one.decisions()
        assert sent["chosen"] is None
        assert sent["masks"]["flair"] == one.study.cases[code].items["v2.flair"].versions[0]["sha256"]


def test_a_locked_study_refuses_changes_until_it_is_unlocked(desk: Opened) -> None:
    with desk() as one:
        one.open_first()
        one.press("Shift+L")
        dialog = one.page.get_by_role("dialog", name="Lock the study")
        expect(dialog).to_contain_text("Dr A")
        expect(dialog).to_contain_text("3 of your cases are not done yet")
        one.page.get_by_label("Passphrase").fill("wrong")
        one.press("Enter")
        expect(dialog.locator(".dialog-problem")).to_have_text("the passphrase is wrong")
        one.page.get_by_label("Passphrase").fill(PASSPHRASE)
        one.press("Enter")
        expect(one.page.locator(".notice.locked")).to_contain_text("Locked by Dr A")
        for key in ("a", "r", "e", "g"):
            one.press(key)
            one.says("The study is locked by Dr A")
        assert one.decisions() == []
        expect(one.page.get_by_role("button", name="Accept")).to_be_disabled()
        one.press("Shift+L")
        one.page.get_by_label("Passphrase").fill(PASSPHRASE)
        one.press("Enter")
        expect(one.page.locator(".dialog-problem")).to_have_text("A reason is needed.")
        one.page.get_by_label("Reason (needed)").fill("a scan came late")
        one.press("Enter")
        expect(one.page.locator(".notice.locked")).to_have_count(0)
        assert one.server.sent[-1] == ("unlock", {"passphrase": PASSPHRASE, "reason": "a scan came late"})
        one.press("a")
        one.at("v2")


def test_a_lock_by_somebody_else_is_noticed(desk: Opened) -> None:
    with desk() as one:
        one.open_first()
        one.study.lock = {"who": "Dr B", "utc": "2026-03-01T13:00:00Z", "meaning": "done", "sequence": 9}
        one.press("a")
        expect(one.page.locator(".message.failed")).to_contain_text("the study is locked")
        expect(one.page.locator(".notice.locked")).to_contain_text("Locked by Dr B")


# ---- loading ---------------------------------------------------------------------------------------------


def test_a_preloaded_case_is_drawn_before_the_network_is_asked(desk: Opened) -> None:
    with desk(5) as one:
        one.open_first()
        one.until(lambda: set(one.state()["kept"]) == {"sub-001", "sub-002"})
        one.server.log.clear()
        one.server.wait_s = 0.3
        drawn = one.page.evaluate(
            "() => { document.dispatchEvent(new KeyboardEvent('keydown', {key: 'k', bubbles: true}));"
            " return new Promise((keep) => setTimeout(() => keep(infarctVolReview.state()), 60)); }"
        )
        assert (drawn["code"], drawn["drawn"]) == ("sub-002", True)
        one.server.wait_s = 0.0
        one.until(lambda: set(one.state()["kept"]) == {"sub-001", "sub-002", "sub-003"})
        assert one.server.asked("GET", "/api/cases/sub-002/volumes") == 0
        for code in ("sub-003", "sub-004", "sub-005"):
            one.press("k")
            one.drawn(code)
            one.until(lambda: len(one.state()["kept"]) <= 3)
        measures = one.page.evaluate("() => performance.getEntriesByName('case-drawn', 'measure').length")
        assert measures == 5


def test_an_image_that_cannot_be_loaded_is_said_and_the_others_are_shown(desk: Opened) -> None:
    with desk() as one:
        one.server.failing["volumes/v2.flair"] = (500, "the scan cannot be read")
        one.open_first()
        trouble = one.page.locator(".trouble")
        expect(trouble).to_contain_text("Month 1 FLAIR: the scan cannot be read")
        assert one.page.evaluate("() => Boolean(infarctVolReview.viewer.panelCanvas('v3.flair'))")
        one.server.failing.clear()
        trouble.get_by_role("button", name="Try again").click()
        expect(trouble).to_be_hidden()


def test_a_case_that_cannot_be_loaded_offers_a_way_on(desk: Opened) -> None:
    with desk() as one:
        one.server.failing["/api/cases/sub-001"] = (500, "something broke")
        one.sign_in()
        one.press("Enter")
        cover = one.page.locator(".viewer-cover")
        expect(cover).to_contain_text("something broke")
        one.server.failing.clear()
        cover.get_by_role("button", name="Try again").click()
        one.drawn("sub-001")


# ---- keys ------------------------------------------------------------------------------------------------


def test_the_help_lists_every_key_of_the_table(desk: Opened) -> None:
    with desk() as one:
        one.open_first()
        one.press("?")
        dialog = one.page.get_by_role("dialog", name="Keys")
        expect(dialog).to_be_visible()
        table = one.page.evaluate(
            "async () => (await import('/static/app/keymap.js')).KEY_MAP.map((row) => [row.keys, row.text])"
        )
        shown = dialog.locator("dl > dd").all_inner_texts()
        assert len(table) > 60
        assert [text for _, text in table] == [text for text in shown if text in {t for _, t in table}]
        one.press("h")
        expect(dialog).to_be_hidden()


def test_keys_reach_the_viewer_wherever_the_focus_is(desk: Opened) -> None:
    with desk() as one:
        one.open_first()
        one.page.get_by_role("tab", name="Month 1").click()
        one.at("v2")

        def viewer() -> dict[str, Any]:
            return one.page.evaluate("() => infarctVolReview.viewer.state()")

        start = viewer()["slice"]
        one.press("ArrowUp")
        assert viewer()["slice"] == start + 1
        one.press("Space")
        assert viewer()["slice"] == start + 2
        one.press("ArrowDown", "Shift+Space")
        assert viewer()["slice"] == start
        one.press("m", "b", "f")
        toggles = viewer()["toggles"]
        assert (toggles["mask"], toggles["baseline"], toggles["maximised"]) == (False, True, True)
        one.press("x")
        assert viewer()["compare"]["name"] == "checkerboard"
        one.press("v")
        assert viewer()["compare"]["name"] == "blink"
        one.press("v", "o")
        assert viewer()["toggles"]["mosaic"] is True
        one.press("o", "p")
        assert viewer()["plane"] != "axial"
        one.press("w")
        assert viewer()["windowName"] == "DWI"


@pytest.mark.parametrize("size", [(1280, 800), (1920, 1080)])
def test_everything_fits_without_scrolling_the_page(desk: Opened, size: tuple[int, int]) -> None:
    with desk() as one:
        one.page.set_viewport_size({"width": size[0], "height": size[1]})
        one.open_first()
        one.press("e")
        sizes = one.page.evaluate(
            "() => [document.documentElement.scrollWidth, document.documentElement.scrollHeight,"
            " document.querySelector('.viewer-root').clientWidth,"
            " document.querySelector('.decide').getBoundingClientRect().bottom]"
        )
        assert sizes[:2] == list(size)
        assert sizes[2] >= 0.74 * size[0]
        assert sizes[3] <= size[1]

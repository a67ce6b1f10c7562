"""The viewer in a real browser: what is on the canvas, what the mouse does, which voxels an edit changes."""

from __future__ import annotations

import base64
import shutil
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from viewer_page import BROWSER_ARGS, CaseBuilder, served

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")

SHAPE = (40, 48, 7)
SPACING_MM = (2.0, 2.0, 5.0)
ORANGE, BLUE, YELLOW, PURPLE, GREEN = "#ff7a1a", "#45c1ff", "#f0e442", "#d68fff", "#2fd6a3"
PINK = "#ff9ec4"
TURN_DEGREES = 10.0


def affine_of(*, degrees: float = 0.0, shift: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> np.ndarray:
    """Voxel -> mm: the middle of the grid near 0, turned about the long axis."""
    turn = np.deg2rad(degrees)
    affine = np.eye(4)
    affine[:2, :2] = [[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]
    affine[:3, :3] = affine[:3, :3] @ np.diag(SPACING_MM)
    affine[:3, 3] = np.array(shift) - affine[:3, :3] @ (np.array(SHAPE) / 2)
    return affine


BASELINE_AFFINE = affine_of()
FOLLOWUP_AFFINE = affine_of(degrees=TURN_DEGREES, shift=(3.0, -2.0, 1.5))


def block(*ranges: tuple[int, int]) -> np.ndarray:
    """A mask that is one block of voxels."""
    mask = np.zeros(SHAPE, dtype=bool)
    mask[tuple(slice(*r) for r in ranges)] = True
    return mask


INFARCT = block((8, 16), (20, 30), (2, 5))
"""8 x 10 x 3 voxels of 20 mm3 = 4.8 mL, on the patient's left."""
SECOND = block((28, 31), (20, 24), (3, 4))
"""3 x 4 x 1 voxels = 0.24 mL, on the right."""
CAVITY = block((10, 13), (22, 26), (3, 4))
RING = block((4, 11), (4, 11), (1, 2)) & ~block((6, 9), (6, 9), (1, 2))


def head(value: int = 100) -> np.ndarray:
    """A box of one value in air."""
    image = np.zeros(SHAPE, dtype=np.int16)
    image[2:38, 2:46, :] = value
    return image


def two_visits() -> CaseBuilder:
    """Baseline and a turned month 3, both with masks; an unlinked month 6."""
    case = CaseBuilder("sub-001", reference="BL")
    left_front = head()
    left_front[4:9, 36:42, :] = 250  # low i is left, high j is front
    left_front[20:, :20, :] = 160
    window = (0.0, 255.0)
    add = {"modality": "flair", "window": window}
    case.panel("BL", left_front, BASELINE_AFFINE, visit="ses-BL", label="Baseline FLAIR", **add)
    case.panel("M03", head(180), FOLLOWUP_AFFINE, visit="ses-M03", label="Month 3 FLAIR", **add)
    case.panel("M06", head(60), affine_of(), visit="ses-M06", label="Month 6 FLAIR", linked=False, **add)
    case.item("ses-BL", "flair", "BL", {"flair": INFARCT | SECOND, "cavity": CAVITY}, affine=BASELINE_AFFINE)
    case.item("ses-M03", "flair", "M03", {"flair": INFARCT | RING}, affine=FOLLOWUP_AFFINE)
    case.item("ses-M06", "flair", "M06", {"flair": INFARCT}, affine=affine_of())
    return case


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as player:
        yield player.chromium.launch(executable_path=CHROMIUM, args=BROWSER_ARGS)


class Desk:
    """One page with one case, and short words for what the tests do with it."""

    def __init__(self, page: Any) -> None:
        self.page = page

    def run(self, code: str) -> Any:
        """Run a line of JavaScript on the page."""
        return self.page.evaluate(code)

    def do(self, command: str) -> None:
        """Run a command of the viewer and draw."""
        self.run(f"(() => {{ viewer.commands.{command}; viewer.drawNow(); }})()")

    def state(self) -> dict[str, Any]:
        """What the viewer says of itself."""
        return self.run("viewer.state()")

    def pixels(self, panel: str) -> np.ndarray:
        """Canvas of a panel as (height, width, 3)."""
        self.run("viewer.drawNow()")
        flat = self.run(
            f"(() => {{ const c = viewer.panelCanvas('{panel}');"
            "const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;"
            "let s = ''; for (let i = 0; i < d.length; i += 4)"
            "s += String.fromCharCode(d[i], d[i + 1], d[i + 2]);"
            "return [c.width, c.height, btoa(s)]; })()"
        )
        width, height, content = flat
        return np.frombuffer(base64.b64decode(content), dtype=np.uint8).reshape(height, width, 3)

    def count(self, panel: str, colour: str) -> int:
        """Pixels of a panel in a colour; the words in the corners are left out."""
        wanted = np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)])
        inner = self.pixels(panel)[60:-50].astype(int)
        return int((np.abs(inner - wanted).max(axis=2) < 30).sum())

    def point(self, panel: str, voxel: tuple[float, float, float]) -> tuple[float, float]:
        """Where a voxel stands on the page."""
        x, y = self.run(f"viewer.pointOf('{panel}', {list(voxel)})")
        box = self.run(f"(({{ x, y }}) => [x, y])(viewer.panelCanvas('{panel}').getBoundingClientRect())")
        return box[0] + x, box[1] + y

    def grey(self, panel: str, voxel: tuple[float, float, float]) -> int:
        """Grey value on the canvas at a voxel."""
        x, y = self.run(f"viewer.pointOf('{panel}', {list(voxel)})")
        return int(self.pixels(panel)[round(y), round(x), 1])

    def click(self, panel: str, voxel: tuple[float, float, float]) -> None:
        """Press and release the left button on a voxel."""
        self.page.mouse.click(*self.point(panel, voxel))

    def drag(self, points: list[tuple[float, float]], *, button: str = "left", shift: bool = False) -> None:
        """Draw a line with the mouse."""
        if shift:
            self.page.keyboard.down("Shift")
        self.page.mouse.move(*points[0])
        self.page.mouse.down(button=button)
        for point in points[1:]:
            self.page.mouse.move(*point, steps=4)
        self.page.mouse.up(button=button)
        if shift:
            self.page.keyboard.up("Shift")

    def edit(self, item: str, key: str, *, tool: str = "paint", radius_mm: float = 5.0) -> None:
        """Begin to edit."""
        self.run(
            f"(() => {{ viewer.edit.start('{item}', '{key}'); viewer.edit.tool = '{tool}';"
            f"viewer.edit.radius_mm = {radius_mm}; viewer.drawNow(); }})()"
        )

    def voxels(self) -> np.ndarray:
        """The mask being edited, (I, J, K)."""
        flat = self.run("Array.from(viewer.edit.voxels())")
        return np.array(flat, dtype=np.uint8).reshape(SHAPE, order="F").astype(bool)


@pytest.fixture
def desk(browser: Any) -> Iterator[Desk]:
    yield from open_case(browser, two_visits())


def open_case(browser: Any, case: CaseBuilder) -> Iterator[Desk]:
    """Open a case; afterwards nothing may have offended the policy or thrown."""
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    thrown: list[str] = []
    page.on("pageerror", lambda error: thrown.append(str(error)))
    with served(case.content()) as address:
        page.goto(address)
        page.wait_for_selector("body[data-ready]")
        yield Desk(page)
        messages = page.evaluate("told.messages")
        page.close()
    assert not thrown
    assert not [text for text in messages if text.startswith("policy")]


def test_all_images_stand_side_by_side_at_the_largest_component(desk):
    state = desk.state()
    assert (state["focused"], state["plane"], state["zoom"]) == ("BL", "axial", 1)
    assert state["voxel"][2] in (2, 3, 4)
    boxes = desk.run("viewer.panels.map((p) => [p.box.offsetLeft, p.box.offsetTop, ...p.size])")
    assert len({tuple(box[:2]) for box in boxes}) == 3
    assert all(box[0] + box[2] <= 1280.5 and box[1] + box[3] <= 800.5 for box in boxes)


def test_the_mask_is_an_outline_that_a_command_takes_off(desk):
    assert desk.count("BL", ORANGE) > 100
    assert desk.count("BL", BLUE) > 20
    desk.do("toggleParts()")
    assert desk.count("BL", BLUE) == 0
    desk.do("toggleMask()")
    assert desk.count("BL", ORANGE) == 0
    # the middle of a mask is not covered
    assert desk.grey("BL", (14.5, 21, 3)) == pytest.approx(100, abs=3)
    desk.do("toggleMask()")
    assert desk.count("BL", ORANGE) > 100


def test_the_outline_lies_on_the_edges_of_the_voxels(desk):
    desk.do("focusPanel(0)")
    left = desk.run("viewer.pointOf('BL', [15.5, 25, 3])")
    pixels = desk.pixels("BL").astype(int)
    row, column = round(left[1]), round(left[0])
    near = pixels[row, column - 1 : column + 2]
    assert (np.abs(near - [255, 122, 26]).max(axis=1) < 130).any()
    assert pixels[row, column + 4, 0] == pixels[row, column + 4, 2]


def test_the_patients_left_is_on_the_right_and_the_front_is_up(desk):
    letters = desk.run(
        "import('/static/viewer/slices.js').then((m) => ['axial', 'coronal', 'sagittal'].map("
        "(n) => Object.values(m.edgeLetters(viewer.panels[0].volume, m.PLANES[n])).join('')))"
    )
    assert letters == ["RLAP", "RLSI", "APSI"]
    desk.do("toggleMask()")
    pixels = desk.pixels("BL")
    bright = np.argwhere((pixels[60:-60, 30:-30] > 240).all(axis=2))
    height, width = pixels.shape[:2]
    assert bright[:, 1].mean() + 30 > width / 2
    assert bright[:, 0].mean() + 60 < height / 2
    desk.do("setPlane('sagittal')")
    desk.do("goTo(viewer.panels[0].volume.toMm([6, 20, 3]))")
    assert desk.grey("BL", (6, 38, 4)) == pytest.approx(250, abs=3)
    assert desk.point("BL", (6, 38, 4))[0] < desk.point("BL", (6, 10, 4))[0]


def test_voxels_have_their_true_aspect(desk):
    a, b = desk.point("BL", (10, 10, 3)), desk.point("BL", (20, 20, 3))
    assert abs(a[0] - b[0]) == pytest.approx(abs(a[1] - b[1]))
    desk.do("setPlane('coronal')")
    a, b = desk.point("BL", (10, 10, 0)), desk.point("BL", (20, 10, 4))
    assert abs(a[0] - b[0]) == pytest.approx(abs(a[1] - b[1]))  # 10 x 2 mm and 4 x 5 mm


def test_shift_drag_and_presets_change_the_grey(desk):
    before = desk.grey("BL", (20, 30, 3))
    x, y = desk.point("BL", (20, 30, 3))
    desk.drag([(x, y), (x, y + 60)], shift=True)
    assert desk.grey("BL", (20, 30, 3)) > before + 30
    low, high = desk.state()["window"]
    assert (low, high) == pytest.approx((-51, 204), abs=1)
    assert desk.state()["windowName"] == "own"
    # the other FLAIR images follow
    assert desk.run("viewer.windowOf(viewer.panels[1])") == pytest.approx([-51, 204], abs=1)
    desk.do("windowPreset('DWI')")
    assert desk.state()["windowName"] == "DWI"
    assert desk.grey("M03", (20, 30, 3)) == pytest.approx(255 / 2.4, abs=3)
    desk.do("windowPreset('auto')")
    assert desk.grey("BL", (20, 30, 3)) == before


def test_right_drag_to_the_right_widens_the_window(desk):
    x, y = desk.point("BL", (20, 30, 3))
    desk.drag([(x, y), (x + 60, y)], button="right")
    low, high = desk.state()["window"]
    assert high - low == pytest.approx(255 * 1.2, abs=3)


def test_the_wheel_turns_slices_and_with_ctrl_zooms_about_the_pointer(desk):
    start = desk.state()["slice"]
    desk.page.mouse.move(*desk.point("BL", (20, 30, 3)))
    desk.page.mouse.wheel(0, -100)
    desk.page.wait_for_timeout(50)
    assert desk.state()["slice"] == start + 1
    x, y = desk.point("BL", (12, 25, 3))
    desk.page.mouse.move(x, y)
    desk.page.keyboard.down("Control")
    desk.page.mouse.wheel(0, -100)
    desk.page.keyboard.up("Control")
    desk.page.wait_for_timeout(50)
    assert desk.state()["zoom"] == pytest.approx(1.25)
    assert desk.point("BL", (12, 25, 3)) == pytest.approx((x, y), abs=1.0)
    desk.do("resetView()")
    assert desk.state()["zoom"] == 1


def test_linked_images_show_the_same_place_through_a_turned_affine(desk):
    desk.click("BL", (12, 25, 3))
    mm = desk.state()["mm"]
    assert mm == pytest.approx((BASELINE_AFFINE @ [12, 25, 3, 1])[:3], abs=1.0)
    desk.do("focusPanel(1)")
    state = desk.state()
    assert state["mm"] == mm
    expected = (np.linalg.inv(FOLLOWUP_AFFINE) @ [*mm, 1])[:3].tolist()
    assert state["voxel"] == [round(v) for v in expected]
    x, y = desk.run(f"viewer.pointOf('M03', {expected})")
    pixels = desk.pixels("M03").astype(int)
    # below and right of the free middle the crosshair is blue-grey on a grey image
    assert pixels[round(y) + 30, round(x), 2] - pixels[round(y) + 30, round(x), 0] > 20
    assert pixels[round(y), round(x) + 30, 2] - pixels[round(y), round(x) + 30, 0] > 20


def test_an_unlinked_image_keeps_its_own_place(desk):
    desk.do("focusPanel(2)")
    own = desk.state()["mm"]
    desk.click("BL", (30, 40, 3))
    desk.do("focusPanel(2)")
    assert desk.state()["mm"] == own
    desk.do("checkerboard()")
    assert desk.state()["compare"]["name"] == "plain"
    assert "no other linked image" in desk.run("told.messages.at(-1)")


def test_the_baseline_contour_lies_on_follow_ups_only_when_asked(desk):
    assert desk.count("M03", PURPLE) == 0
    desk.do("toggleBaselineContour()")
    dashed = desk.count("M03", PURPLE)
    assert dashed > 50
    assert desk.count("BL", PURPLE) == 0
    desk.do("toggleMask()")
    assert desk.count("M03", ORANGE) == 0
    assert desk.count("M03", PURPLE) > 50


def test_the_checkerboard_mixes_both_images(desk):
    desk.do("toggleMask()")
    desk.do("focusPanel(1)")
    desk.do("checkerboard()")
    assert desk.state()["compare"] == {"name": "checkerboard", "phase": 0, "partner": "BL"}
    inner = desk.pixels("M03")[120:-120, 80:-80, 1]
    own, others = np.mean(np.abs(inner.astype(int) - 180) < 4), np.mean(np.abs(inner.astype(int) - 100) < 4)
    assert own > 0.2
    assert others > 0.1
    desk.do("checkerboard()")
    assert np.mean(np.abs(desk.pixels("M03")[120:-120, 80:-80, 1].astype(int) - 100) < 4) < 0.05


def test_blink_shows_the_partner_and_then_the_image_again(desk):
    desk.do("toggleMask()")
    desk.do("focusPanel(1)")
    assert desk.grey("M03", (15, 30, 3)) == pytest.approx(180, abs=3)
    desk.do("blink()")
    desk.run("clearInterval(viewer.compare.timer)")
    assert desk.grey("M03", (15, 30, 3)) == pytest.approx(100, abs=3)
    desk.run("viewer.compare.phase = 0")
    assert desk.grey("M03", (15, 30, 3)) == pytest.approx(180, abs=3)
    desk.do("blink()")
    assert desk.state()["compare"]["name"] == "plain"


def test_the_partners_squares_are_tinted(desk):
    desk.do("toggleMask()")
    desk.do("toggleCrosshair()")
    desk.do("focusPanel(1)")
    desk.do("checkerboard()")
    inner = desk.pixels("M03")[120:-120, 80:-80].astype(int)
    violet = inner[..., 2] - inner[..., 1]
    own, others = np.abs(inner[..., 1] - 180) < 4, np.abs(inner[..., 1] - 100) < 4
    assert np.median(violet[own]) == 0
    assert np.median(violet[others]) == pytest.approx(22, abs=2)


def test_the_crosshair_is_taken_off_by_a_command(desk):
    x, y = desk.run("viewer.pointOf('M03', viewer.panels[1].volume.toVoxel(viewer.panels[1].place.mm))")

    def blue() -> int:
        pixel = desk.pixels("M03")[round(y), round(x) + 40].astype(int)
        return int(pixel[2] - pixel[0])

    assert blue() > 20
    desk.do("toggleCrosshair()")
    assert blue() == 0


def test_slices_are_numbered_as_the_file_counts_them(browser):
    case = two_visits()
    case.view["panels"][0]["backwards"] = [True, False, True]
    for desk in open_case(browser, case):
        desk.do("goTo(viewer.panels[0].volume.toMm([12, 25, 1]))")
        state = desk.state()
        # 7 slices: the second from below is the sixth of the file, which counts from 0 at the top
        assert (state["slice"], state["sliceNumber"], state["slices"]) == (1, SHAPE[2] - 2, SHAPE[2])
        desk.do("setPlane('coronal')")
        assert desk.state()["sliceNumber"] == 25
        desk.do("focusPanel(1)")
        assert desk.state()["sliceNumber"] == desk.state()["slice"]


def test_a_component_is_gone_to_by_number_and_one_after_the_other(desk):
    desk.do("goToComponent('ses-BL/flair', 'flair', 2)")
    assert SECOND[tuple(desk.state()["voxel"])]
    desk.do("goToComponent('ses-BL/flair', 'flair', 1)")
    assert INFARCT[tuple(desk.state()["voxel"])]
    desk.do("nextComponent()")
    assert SECOND[tuple(desk.state()["voxel"])]
    desk.do("nextComponent()")
    assert CAVITY[tuple(desk.state()["voxel"])]


def test_one_panel_alone_and_all_again(desk):
    width = desk.run("viewer.panelCanvas('BL').width")
    desk.do("maximise()")
    assert desk.run("viewer.panelCanvas('BL').width") > 2 * width
    assert desk.run("viewer.panels.map((p) => p.box.hidden)") == [False, True, True]
    desk.do("nextPanel()")
    assert desk.run("viewer.panels.map((p) => p.box.hidden)") == [True, False, True]
    desk.do("maximise()")
    assert desk.run("viewer.panelCanvas('BL').width") == width


def test_the_mosaic_shows_slices_with_lesion_and_goes_to_one(desk):
    desk.do("mosaic()")
    assert desk.run("viewer.mosaic.slices") == [1, 2, 3, 4, 5]
    left, top, width, height = desk.run("viewer.mosaic.tiles[4].box")
    desk.page.mouse.click(left + width / 2, top + height / 2)
    state = desk.state()
    assert (state["slice"], state["toggles"]["mosaic"]) == (5, False)


def test_the_brush_turns_on_the_voxels_under_it_and_undo_takes_them_back(desk):
    before = INFARCT | SECOND
    desk.edit("ses-BL/flair", "flair")
    desk.do("goTo(viewer.panels[0].volume.toMm([20, 35, 3]))")
    desk.click("BL", (24, 36, 3))
    added = desk.voxels() & ~before
    # centres within 5 mm at 2 mm: no further than 2.5 voxels
    i, j = np.meshgrid(np.arange(40), np.arange(48), indexing="ij")
    disc = np.zeros(SHAPE, dtype=bool)
    disc[:, :, 3] = (i - 24) ** 2 + (j - 36) ** 2 <= 6.25
    assert disc.sum() == 21
    assert np.array_equal(added, disc)
    info = desk.run("viewer.edit.info()")
    assert info["difference_ml"] == pytest.approx(0.42)
    assert info["volume_ml"] == pytest.approx(5.46)
    assert info["dirty"]
    assert desk.count("BL", GREEN) > 50
    desk.run("viewer.edit.undo()")
    assert np.array_equal(desk.voxels(), before)
    assert not desk.run("viewer.edit.dirty")
    desk.run("viewer.edit.redo()")
    assert np.array_equal(desk.voxels(), before | disc)
    desk.run("viewer.edit.stop()")
    assert desk.count("BL", GREEN) == 0


def test_a_stroke_has_no_gaps_and_is_one_undo(desk):
    desk.edit("ses-BL/flair", "flair", radius_mm=1.0)
    desk.do("goTo(viewer.panels[0].volume.toMm([20, 35, 3]))")
    desk.drag([desk.point("BL", (5, 42, 3)), desk.point("BL", (34, 42, 3))])
    added = desk.voxels() & ~(INFARCT | SECOND)
    assert added[5:35, 42, 3].all()
    assert added.sum() == 30
    desk.run("viewer.edit.undo()")
    assert not desk.run("viewer.edit.dirty")


def test_a_ball_reaches_the_neighbouring_slices(desk):
    desk.edit("ses-BL/flair", "flair", radius_mm=5.6)
    desk.do("goTo(viewer.panels[0].volume.toMm([20, 35, 3]))")
    desk.run("viewer.edit.three_d = true")
    desk.click("BL", (24, 36, 3))
    added = desk.voxels() & ~(INFARCT | SECOND)
    assert [int(n) for n in added.sum(axis=(0, 1))] == [0, 0, 5, 21, 5, 0, 0]


def test_erase_turns_voxels_off(desk):
    desk.edit("ses-BL/flair", "flair", tool="erase", radius_mm=1.0)
    desk.do("goTo(viewer.panels[0].volume.toMm([12, 25, 3]))")
    desk.click("BL", (12, 25, 3))
    gone = (INFARCT | SECOND) & ~desk.voxels()
    assert np.argwhere(gone).tolist() == [[12, 25, 3]]


def test_the_threshold_brush_paints_only_values_in_its_range(desk):
    desk.edit("ses-BL/flair", "flair", tool="threshold")
    assert desk.run("viewer.edit.range") == [100, 100]  # the lesion's own values
    desk.run("viewer.edit.range = [180, 140]")
    assert desk.run("viewer.edit.range") == [140, 180]
    desk.do("goTo(viewer.panels[0].volume.toMm([20, 10, 3]))")
    desk.click("BL", (20, 10, 3))  # from i = 20 on the image is 160, before it 100
    added = np.argwhere(desk.voxels() & ~(INFARCT | SECOND))
    assert len(added) == 13
    assert added[:, 0].min() == 20


def test_fill_closes_the_hole_that_is_clicked(desk):
    desk.edit("ses-M03/flair", "flair", tool="fill")
    desk.do("goTo(viewer.panels[1].volume.toMm([7, 7, 1]))")
    desk.click("M03", (7, 7, 1))
    filled = desk.voxels() & ~(INFARCT | RING)
    assert np.array_equal(filled, block((6, 9), (6, 9), (1, 2)))
    desk.click("M03", (30, 30, 1))
    assert "not enclosed" in desk.run("told.messages.at(-1)")
    assert desk.run("viewer.edit.info().voxels") == (INFARCT | RING).sum() + 9


def test_remove_deletes_the_component_that_is_clicked(desk):
    desk.edit("ses-BL/flair", "flair", tool="remove")
    desk.do("goTo(viewer.panels[0].volume.toMm([29, 21, 3]))")
    desk.click("BL", (29, 21, 3))
    assert np.array_equal(desk.voxels(), INFARCT)
    assert desk.run("viewer.edit.difference_ml") == pytest.approx(-0.24)
    desk.click("BL", (20, 40, 3))
    assert "no component" in desk.run("told.messages.at(-1)")
    desk.run("viewer.edit.undo()")
    assert np.array_equal(desk.voxels(), INFARCT | SECOND)


def test_a_cavity_is_painted_inside_the_infarct_only(desk):
    desk.edit("ses-BL/flair", "cavity", radius_mm=1.0)
    desk.do("goTo(viewer.panels[0].volume.toMm([14, 24, 3]))")
    desk.drag([desk.point("BL", (14, 24, 3)), desk.point("BL", (20, 24, 3))])
    added = np.argwhere(desk.voxels() & ~CAVITY)
    assert added.tolist() == [[14, 24, 3], [15, 24, 3]]
    assert "inside the infarct" in desk.run("told.messages.at(-1)")
    assert desk.run("viewer.edit.info().refused") > 0


def test_a_new_lesion_is_painted_away_from_the_infarct(desk):
    desk.edit("ses-BL/flair", "new_lesion", radius_mm=0.5)
    desk.do("goTo(viewer.panels[0].volume.toMm([30, 40, 3]))")
    desk.click("BL", (30, 40, 3))
    assert np.argwhere(desk.voxels()).tolist() == [[30, 40, 3]]
    assert desk.run("viewer.edit.info().refused") == 0


def test_a_mask_that_does_not_exist_begins_empty(desk):
    desk.edit("ses-M03/flair", "new_lesion", radius_mm=0.5)
    assert not desk.voxels().any()
    assert desk.run("viewer.edit.parent_sha256") is None
    desk.do("goTo(viewer.panels[1].volume.toMm([12, 25, 3]))")
    desk.click("M03", (12, 25, 3))
    assert np.argwhere(desk.voxels()).tolist() == [[12, 25, 3]]


def test_an_open_edit_is_not_replaced_and_lives_through_a_new_reading_of_its_case(desk):
    desk.edit("ses-BL/flair", "flair", radius_mm=0.5)
    desk.do("goTo(viewer.panels[0].volume.toMm([20, 35, 3]))")
    desk.do("windowPreset('FLAIR')")
    desk.click("BL", (24, 36, 3))
    refused = desk.run(
        "(() => { try { viewer.edit.start('ses-M03/flair', 'flair'); } catch (e) { return e.message; } })()"
    )
    assert "not saved" in refused
    before = desk.state()
    desk.run("viewer.show(structuredClone(caseView), buffers, { keepPlace: true })")
    after = desk.state()
    assert desk.voxels()[24, 36, 3]
    assert (after["mm"], after["window"], after["edit"]) == (before["mm"], before["window"], before["edit"])
    desk.run("viewer.show({ ...caseView, code: 'sub-002' }, buffers, { keepPlace: true })")
    assert desk.state()["edit"] is None
    assert desk.state()["windowName"] == "auto"


def test_editing_another_image_leaves_the_crosshair_to_the_mouse(desk):
    desk.edit("ses-BL/flair", "flair")
    desk.click("M03", (20, 30, 3))
    assert desk.state()["focused"] == "M03"
    assert not desk.run("viewer.edit.dirty")


def test_a_version_is_shown_beside_the_mask_and_taken_off(desk):
    desk.run(
        "viewer.showContour('ses-BL/flair', 'flair', buffers.get(caseView.visits[2].items[0].masks[0].url))"
    )
    assert desk.count("BL", PINK) > 50
    desk.run("viewer.showContour('ses-BL/flair', 'flair', null)")
    assert desk.count("BL", PINK) == 0
    other = (
        "viewer.showContour('ses-BL/flair', 'flair', buffers.get(caseView.visits[1].items[0].masks[0].url))"
    )
    assert "another grid" in desk.run(f"(() => {{ try {{ {other} }} catch (e) {{ return e.message; }} }})()")


def test_what_is_missing_or_damaged_is_said_on_its_panel_and_the_rest_is_shown(browser):
    case = two_visits()
    case.files[case.view["panels"][1]["volume"]] = b"\x1f\x8bdamaged"
    del case.files[case.view["panels"][2]["volume"]]
    wrong = case.view["visits"][1]["items"][0]["masks"][0]["url"]
    case.view["visits"][0]["items"][0]["masks"][0]["url"] = wrong
    for desk in open_case(browser, case):
        assert desk.run("viewer.model.panels.map((p) => p.error ?? null)") == [
            None,
            "the image is shorter than a NIfTI-1 header",
            "not found (404)",
        ]
        assert desk.run("viewer.model.panels[0].problems") == ["infarct: is on another grid"]
        assert desk.count("BL", ORANGE) == 0
        assert desk.count("BL", BLUE) > 20
        assert desk.grey("BL", (20, 30, 3)) == pytest.approx(100, abs=3)
        assert desk.pixels("M03").max() > 100


def test_a_hostile_label_is_only_words(browser):
    case = two_visits()
    case.view["panels"][0]["label"] = "<img src=x onerror=document.title='bad'>"
    case.view["visits"][0]["items"][0]["masks"][0]["label"] = "<script>document.title='bad'</script>"
    for desk in open_case(browser, case):
        desk.do("mosaic()")
        assert desk.page.title() == "Viewer"
        assert desk.run("document.querySelectorAll('img, #viewer script').length") == 0


def test_two_reads_stand_over_the_scan_in_two_colours(browser):
    case = CaseBuilder("case-7F3A", reference="BL")
    case.panel("BL", head(), BASELINE_AFFINE, visit="v", modality="flair", label="Scan", window=(0, 255))
    moved = np.roll(INFARCT, 4, axis=1)
    masks = {"flair": INFARCT}
    case.item("v", "flair", "BL", masks, affine=BASELINE_AFFINE, reads=[{"flair": INFARCT}, {"flair": moved}])
    mask = case.view["visits"][0]["items"][0]["masks"][0]
    mask["automatic_sha256"] = mask["sha256"]
    for desk in open_case(browser, case):
        assert desk.count("BL", ORANGE) == 0  # the automatic mask would hide what the reads differ by
        desk.do("goTo(viewer.panels[0].volume.toMm([12, 25, 3]))")
        assert desk.count("BL", GREEN) > 100
        assert desk.count("BL", PINK) > 100
        desk.do("toggleMask()")
        assert desk.count("BL", GREEN) == 0


def test_the_acute_infarct_is_also_drawn_on_the_adc_map(browser):
    case = CaseBuilder("sub-001", reference="dwi")
    for name in ("dwi", "adc"):
        case.panel(name, head(), BASELINE_AFFINE, visit="v", modality=name, label=name, window=(0, 255))
    case.item("v", "dwi", "dwi", {"dwi": INFARCT}, affine=BASELINE_AFFINE)
    for desk in open_case(browser, case):
        assert desk.count("adc", ORANGE) == pytest.approx(desk.count("dwi", ORANGE), rel=0.05)
        assert desk.count("adc", ORANGE) > 100


def test_outlines_are_closed_lines_of_corners(desk):
    def outlines(mask: list[int]) -> list[list[int]]:
        return desk.run(
            "import('/static/viewer/contour.js').then((m) => "
            f"m.outlines(Uint8Array.from({mask}), 3, 3).map((line) => Array.from(line)))"
        )

    assert outlines([0] * 9) == []
    assert outlines([0, 0, 0, 0, 1, 0, 0, 0, 0]) == [[1, 1, 2, 1, 2, 2, 1, 2]]
    assert outlines([1] * 9) == [[0, 0, 3, 0, 3, 3, 0, 3]]
    assert len(outlines([1, 1, 1, 1, 0, 1, 1, 1, 1])) == 2  # and the hole
    assert len(outlines([1, 0, 0, 0, 1, 0, 0, 0, 0])) == 1  # two that touch at a corner are one piece


def test_undo_forgets_the_oldest_strokes_when_they_grow_too_many(desk):
    left = desk.run(
        "import('/static/viewer/strokes.js').then(({ Strokes }) => { const s = new Strokes(10);"
        "for (let n = 0; n < 5; n++) s.push([n, n, n, n]);"
        "return [s.size, s.undo().length, s.undo()[0], s.undo()]; })"
    )
    assert left == [8, 4, 3, None]


def test_the_3d_view_shows_the_lesion_and_gives_its_memory_back(desk):
    desk.run("viewer.commands.threeD()")
    assert desk.state()["toggles"]["threeD"]
    orange = desk.run(
        "(() => { const nv = viewer.solid.niivue, gl = nv.gl; nv.drawScene();"
        "const d = new Uint8Array(4 * gl.canvas.width * gl.canvas.height);"
        "gl.readPixels(0, 0, gl.canvas.width, gl.canvas.height, gl.RGBA, gl.UNSIGNED_BYTE, d);"
        "let n = 0; for (let i = 0; i < d.length; i += 4) if (d[i] > 150 && d[i] > d[i + 2] + 80) n++;"
        "window.lost = () => gl.isContextLost(); return n; })()"
    )
    assert orange > 100
    # the head is cut open on the lesion's side, the left: voxel 11.5 of 40
    depth, turn = desk.run("viewer.solid.niivue.scene.clipPlaneDepthAziElevs[0]")[:2]
    assert (depth, turn) == (pytest.approx(0.5 - 12 / 40, abs=0.03), 270)
    desk.run("viewer.commands.threeD()")
    assert not desk.state()["toggles"]["threeD"]
    assert desk.run("window.lost()")
    assert desk.run("document.querySelectorAll('.iv-over').length") == 0

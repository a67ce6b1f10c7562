// The one table of keys: what a key does and where. The help overlay shows this table and nothing else.
//
// where: "page" everywhere, "list" worklist, "case" case page, "edit" while a mask is edited,
// "dialog" in a dialog (there the dialog itself acts; `run` is not called).

import { checkedKeyMap } from "./keys.js";

const inDialog = () => {};
const view =
  (name, ...given) =>
  (app) =>
    app.page.look(name, ...given);
const judge =
  (name, ...given) =>
  (app) =>
    app.page.judging[name](...given);
const tool = (name) => (app) => app.page.editing.choose(name);
const filter = (at) => (app) => app.page.filterAt(at);

const row = (where, group, keys, text, run, more = {}) => ({ where, group, keys, text, run, ...more });

export const KEY_MAP = checkedKeyMap([
  row("case", "Judge", ["A"], "accept the visit: all of it that is not decided yet", judge("accept")),
  row("case", "Judge", ["Shift+A"], "accept all visits of the case, go to the next case", judge("acceptAll")),
  row("case", "Judge", ["C"], "accept with a comment", judge("acceptWithComment")),
  row("case", "Judge", ["R"], "reject the mask, with a reason", judge("reject")),
  row("case", "Judge", ["Q"], "query: ask a question about the mask", judge("query")),
  row("case", "Judge", ["N"], "not measurable, with a reason", judge("notMeasurable")),
  row("case", "Judge", ["G"], "judge the registration", judge("judgeRegistration")),
  row("case", "Judge", ["1"], "adjudication: take read 1", judge("takeRead", 1)),
  row("case", "Judge", ["2"], "adjudication: take read 2", judge("takeRead", 2)),
  row("case", "Judge", ["E"], "edit the mask of the focused image", (app) => app.page.editing.start()),

  row("case", "Move", ["K", "]"], "next case", (app) => app.page.step(1)),
  row("case", "Move", ["J", "["], "previous case", (app) => app.page.step(-1)),
  row("case", "Move", ["→"], "next visit", (app) => app.page.stepVisit(1)),
  row("case", "Move", ["←"], "previous visit", (app) => app.page.stepVisit(-1)),
  row("case", "Move", ["↑", "Space"], "next slice", view("nextSlice"), { repeats: true }),
  row("case", "Move", ["↓", "Shift+Space"], "previous slice", view("previousSlice"), { repeats: true }),
  row("case", "Move", ["L"], "next component", view("nextComponent"), { repeats: true }),
  row("case", "Move", ["T"], "next panel", view("nextPanel")),
  row("case", "Move", ["U"], "back to the worklist", (app) => app.page.leave()),

  row("case", "Look", ["M"], "mask on or off", view("toggleMask")),
  row("case", "Look", ["Shift+M"], "cavity and new lesion on or off", view("toggleParts")),
  row("case", "Look", ["B"], "contour of the baseline on or off", view("toggleBaselineContour")),
  row("case", "Look", ["I"], "crosshair on or off", view("toggleCrosshair")),
  row("case", "Look", ["X"], "checkerboard with the baseline", view("checkerboard")),
  row("case", "Look", ["V"], "blink with the baseline", view("blink")),
  row("case", "Look", ["S"], "other image for blink and checkerboard", view("swapSource")),
  row("case", "Look", ["O"], "mosaic of the slices with lesion", view("mosaic")),
  row("case", "Look", ["D"], "3-D view", view("threeD")),
  row("case", "Look", ["P"], "next plane: axial, coronal, sagittal", view("nextPlane")),
  row("case", "Look", ["F"], "focused panel alone, or all panels", view("maximise")),
  row("case", "Look", ["W"], "next window: auto, DWI, ADC, FLAIR", (app) => app.page.nextWindow()),
  row("case", "Look", ["+", "="], "zoom in", view("zoomIn"), { repeats: true }),
  row("case", "Look", ["-"], "zoom out", view("zoomOut"), { repeats: true }),
  row("case", "Look", ["Z"], "whole slice, window as at the start", view("resetView")),

  row("edit", "Edit", ["1"], "paint", tool("paint")),
  row("edit", "Edit", ["2"], "erase", tool("erase")),
  row("edit", "Edit", ["3"], "brush limited to the threshold range", tool("threshold")),
  row("edit", "Edit", ["4"], "fill a hole", tool("fill")),
  row("edit", "Edit", ["5"], "remove the component that is clicked", tool("remove")),
  row("edit", "Edit", [","], "smaller brush", (app) => app.page.editing.resize(-1), { repeats: true }),
  row("edit", "Edit", ["."], "larger brush", (app) => app.page.editing.resize(1), { repeats: true }),
  row("edit", "Edit", ["Y"], "brush as a ball over several slices, or a disc", (app) => app.page.editing.toggleBall()),
  row("edit", "Edit", ["7"], "draw the infarct", (app) => app.page.editing.chooseMask(0)),
  row("edit", "Edit", ["8"], "draw the cavity", (app) => app.page.editing.chooseMask(1)),
  row("edit", "Edit", ["9"], "draw the new lesion", (app) => app.page.editing.chooseMask(2)),
  row("edit", "Edit", ["Ctrl+Z"], "undo", (app) => app.page.editing.undo(), { repeats: true }),
  row("edit", "Edit", ["Ctrl+Y", "Ctrl+Shift+Z"], "redo", (app) => app.page.editing.redo(), { repeats: true }),
  row("edit", "Edit", ["Ctrl+S"], "save as a new version", (app) => app.page.editing.save()),
  row("edit", "Edit", ["Esc", "E"], "end editing", (app) => app.page.editing.cancel()),

  row("list", "Worklist", ["↓"], "next case", (app) => app.page.move(1), { repeats: true }),
  row("list", "Worklist", ["↑"], "previous case", (app) => app.page.move(-1), { repeats: true }),
  row("list", "Worklist", ["Home"], "first case", (app) => app.page.move(-Infinity)),
  row("list", "Worklist", ["End"], "last case", (app) => app.page.move(Infinity)),
  row("list", "Worklist", ["Enter"], "open the case", (app) => app.page.open()),
  row("list", "Worklist", ["1"], "filter: all", filter(0)),
  row("list", "Worklist", ["2"], "filter: to do", filter(1)),
  row("list", "Worklist", ["3"], "filter: flagged", filter(2)),
  row("list", "Worklist", ["4"], "filter: disagreement", filter(3)),
  row("list", "Worklist", ["5"], "filter: re-review", filter(4)),
  row("list", "Worklist", ["6"], "filter: rejected or query", filter(5)),
  row("list", "Worklist", ["7"], "filter: edited", filter(6)),
  row("list", "Worklist", ["/"], "search", (app) => app.page.focusSearch()),
  row("list", "Worklist", ["Esc"], "leave the search", (app) => app.page.leaveSearch()),
  row("list", "Worklist", ["R"], "load the list again", (app) => app.page.reload()),

  row("page", "Everywhere", ["H", "?"], "this help", (app) => app.help()),
  row("page", "Everywhere", ["Shift+L"], "lock or unlock the study", (app) => app.lock()),

  row("dialog", "In a dialog", ["1–9"], "take a reason from the list", inDialog),
  row("dialog", "In a dialog", ["Tab"], "next field", inDialog),
  row("dialog", "In a dialog", ["Enter"], "confirm", inDialog),
  row("dialog", "In a dialog", ["Shift+Enter"], "new line in a text", inDialog),
  row("dialog", "In a dialog", ["↑", "↓"], "next and previous slice", inDialog),
  row("dialog", "In a dialog", ["X", "V"], "registration: compare; all keys of Look work there", inDialog),
  row("dialog", "In a dialog", ["Esc"], "close without doing it", inDialog),
]);

// The help overlay: the table of keys, and what the mouse does.

import { el } from "./dom.js";
import { KEY_MAP } from "./keymap.js";
import { Dialog } from "./dialog.js";

const LICENCE = "/static/vendor/LICENSE-niivue.txt";
const MOUSE = [
  ["Click", "place of the crosshair, on all linked images"],
  ["Right drag", "window and level; also Shift drag"],
  ["Wheel", "slices"],
  ["Ctrl wheel", "zoom"],
  ["Ctrl drag", "move the image; also middle drag"],
  ["Alt click", "place of the crosshair while editing"],
];

/** Show every key there is. */
export function showHelp() {
  const groups = new Map();
  for (const row of KEY_MAP) groups.set(row.group, [...(groups.get(row.group) ?? []), row]);
  const blocks = [...groups].map(([name, rows]) =>
    block(
      name,
      rows.map((row) => [row.keys, row.text]),
    ),
  );
  blocks.push(
    block(
      "Mouse on an image",
      MOUSE.map(([what, text]) => [[what], text]),
    ),
  );
  const dialog = new Dialog("Keys", { wide: true, closeLabel: "Close" });
  dialog.body.append(
    el("div", { class: "help-groups" }, blocks),
    el(
      "p",
      { class: "quiet small" },
      "Slices are numbered as in the scan's file, from 0. The 3-D view is drawn by NiiVue (",
      el("a", { href: LICENCE, target: "_blank", rel: "noopener", text: "its licence" }),
      ").",
    ),
  );
  dialog.closeOn(["H", "?"]);
  return dialog.open();
}

function block(name, rows) {
  const lines = rows.map(([keys, text]) => [
    el(
      "dt",
      {},
      keys.map((key) => el("kbd", { text: key })),
    ),
    el("dd", { text }),
  ]);
  return el("section", { class: "help-group" }, el("h3", { text: name }), el("dl", {}, lines));
}

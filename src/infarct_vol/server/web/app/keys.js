// From a key press to an action, by one table (keymap.js). The help is made of the same table.

import { isTextField } from "./dom.js";

const NAMES = {
  " ": "Space",
  ArrowUp: "↑",
  ArrowDown: "↓",
  ArrowLeft: "←",
  ArrowRight: "→",
  Escape: "Esc",
};

/** Name a press as the table does: `Shift+A`, `Ctrl+S`, `?`, `Space`, `↑`. */
export function nameOf(event) {
  const typed = event.getModifierState?.("AltGraph");
  const control = (event.ctrlKey || event.metaKey) && !typed;
  if (event.altKey && !typed) return "";
  const letter = /^[a-z]$/i.test(event.key);
  const named = event.key.length > 1 || event.key === " ";
  const key = letter ? event.key.toUpperCase() : (NAMES[event.key] ?? event.key);
  const shift = event.shiftKey && (letter || named);
  return `${control ? "Ctrl+" : ""}${shift ? "Shift+" : ""}${key}`;
}

/** Refuse a table in which one key has two meanings in the same place. */
export function checkedKeyMap(rows) {
  const taken = new Set();
  for (const row of rows) {
    for (const key of row.keys) {
      const place = `${row.where} ${key}`;
      if (taken.has(place)) throw new Error(`The key ${key} has two meanings on ${row.where}.`);
      taken.add(place);
    }
  }
  return rows;
}

/**
 * Listen for keys. `places()` names where the reader is, the closest first, such as ["edit", "case", "page"];
 * the first row of the table that fits is run.
 */
export function listenForKeys(rows, places, context) {
  document.addEventListener("keydown", (event) => {
    if (event.isComposing || event.key === "Process" || belongsElsewhere(event)) return;
    const row = rowFor(rows, nameOf(event), places());
    if (!row || (event.repeat && !row.repeats && !row.keys.includes("Space"))) return;
    event.preventDefault();
    if (row.keys.length) row.run(context, event);
  });
}

export function rowFor(rows, name, places) {
  if (!name) return null;
  for (const place of places) {
    const row = rows.find((one) => one.where === place && one.keys.includes(name));
    if (row) return row;
  }
  return null;
}

/** Text fields keep their keys; so do a slider its arrows and a focused button Space and Enter. */
function belongsElsewhere(event) {
  const target = event.target;
  const control = event.ctrlKey || event.metaKey;
  if (isTextField(target)) return !(control && event.key.toLowerCase() === "s") && event.key !== "Escape";
  if (!(target instanceof HTMLElement)) return false;
  const arrows = event.key.startsWith("Arrow");
  if (target.tagName === "SELECT") return arrows || event.key.length === 1;
  if (target.tagName === "INPUT") return arrows || event.key === " ";
  if (["BUTTON", "A", "SUMMARY"].includes(target.tagName)) return event.key === " " || event.key === "Enter";
  return false;
}

/** After a click the focus leaves the button, so that Space and Enter mean what the table says. */
export function releaseFocusAfterClick() {
  document.addEventListener("click", (event) => {
    const clicked = event.target instanceof Element ? event.target.closest("button, summary, a") : null;
    if (event.detail > 0 && clicked && document.activeElement === clicked && !clicked.closest("dialog")) clicked.blur();
  });
}

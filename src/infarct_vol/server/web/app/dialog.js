// Dialogs: driven by keys, closed by Esc. A failed action keeps the dialog and says why in it.
//
// A dialog about a case stands beside the images (`side`), so that they are seen and looked through while it is
// open; all else is out of reach. Every other dialog is modal.

import { button, el, fill, isTextField } from "./dom.js";
import { nameOf } from "./keys.js";

let numbered = 0;
const SLOW_MS = 600;
const OUT_OF_REACH = ".top, .column, .view-bar, .edit-bar, .trouble";
const IMAGES = ".viewer-frame";

/**
 * A dialog; `open()` gives a promise of what it was closed with, null if it was given up.
 * `side`: beside the images, of which the mouse turns the slices; with `still` the images only are seen.
 */
export class Dialog {
  constructor(title, { wide = false, closeLabel = "Cancel", kind = "", mayClose = true, side = false, still = false } = {}) {
    const name = `dialog-${++numbered}`;
    this.body = el("div", { class: "dialog-body" });
    this.problem = el("p", { class: "dialog-problem", role: "alert" });
    this.actions = el("div", { class: "dialog-actions" });
    this.mayClose = mayClose;
    this.side = side;
    this.held = [];
    this.look = null;
    this.still = still;
    if (closeLabel && mayClose) this.actions.append(button(closeLabel, () => this.close(null), { keys: "Esc" }));
    this.element = el(
      "dialog",
      { class: ["dialog", wide && "wide", side && "side", kind].filter(Boolean).join(" "), "aria-labelledby": name },
      el("h2", { id: name, text: title, tabindex: "-1" }),
      this.body,
      this.problem,
      this.actions,
    );
    this.busy = false;
    this.alsoClosing = [];
    this.element.addEventListener("cancel", (event) => {
      event.preventDefault();
      if (this.mayClose && !this.busy) this.close(null);
    });
    this.element.addEventListener("keydown", (event) => this.#key(event));
    this.outside = (event) => this.#keyOutside(event);
  }

  /** Add a button that does something and closes the dialog if that went well. */
  action(label, act, { keys = "", main = false, kind = "" } = {}) {
    const made = button(label, () => this.run(act), { keys, kind: main ? `main ${kind}` : kind });
    this.actions.append(made);
    if (main) this.main = act;
    return made;
  }

  /** Keys that close it besides Esc. */
  closeOn(keys) {
    this.alsoClosing = keys;
  }

  open(focused = null) {
    document.body.append(this.element);
    if (this.side) this.#openBeside();
    else this.element.showModal();
    (focused ?? this.element.querySelector("h2")).focus();
    return new Promise((keep) => {
      this.keep = keep;
    });
  }

  #openBeside() {
    const all = document.querySelectorAll(this.still ? `${OUT_OF_REACH}, ${IMAGES}` : OUT_OF_REACH);
    this.held = [...all].filter((one) => !one.inert);
    for (const one of this.held) one.inert = true;
    document.addEventListener("keydown", this.outside, true);
    this.element.show();
  }

  close(value) {
    for (const one of this.held) one.inert = false;
    document.removeEventListener("keydown", this.outside, true);
    this.element.close();
    this.element.remove();
    this.keep?.(value);
  }

  /** Do it; close with its answer, or stay and say what went wrong. */
  async run(act) {
    if (this.busy) return;
    this.setBusy(true);
    fill(this.problem);
    const slow = setTimeout(() => this.problem.textContent || this.working("One moment …"), SLOW_MS);
    try {
      const answer = await act();
      if (answer !== undefined) this.close(answer);
    } catch (error) {
      this.say(error.message);
    } finally {
      clearTimeout(slow);
      if (this.problem.classList.contains("working")) this.say("");
      this.setBusy(false);
    }
  }

  say(text) {
    this.problem.classList.remove("working");
    this.problem.textContent = text;
  }

  /** Say what takes its time. */
  working(text) {
    this.problem.classList.add("working");
    this.problem.textContent = text;
  }

  setBusy(busy) {
    this.busy = busy;
    this.element.setAttribute("aria-busy", String(busy));
    for (const one of this.actions.querySelectorAll("button")) one.disabled = busy;
  }

  /** The mouse took the focus to an image: keys are the dialog's all the same. */
  #keyOutside(event) {
    if (event.target instanceof Element && event.target.closest("dialog")) return;
    this.element.querySelector("h2").focus();
    this.#key(event);
  }

  /** Tab stays in the dialog. */
  #nextField(event) {
    const fields = fieldsOf(this.element);
    const at = fields.indexOf(document.activeElement);
    const to = at < 0 ? (event.shiftKey ? fields.length - 1 : 0) : at + (event.shiftKey ? -1 : 1);
    fields.at(to % fields.length)?.focus();
    event.preventDefault();
  }

  #key(event) {
    event.stopPropagation();
    const typing = isTextField(event.target);
    if (event.key === "Escape") {
      event.preventDefault();
      if (this.mayClose && !this.busy) this.close(null);
    } else if (!typing && this.alsoClosing.includes(nameOf(event))) {
      event.preventDefault();
      this.close(null);
    } else if (event.key === "Enter" && this.main && !event.shiftKey && confirms(event.target)) {
      event.preventDefault();
      if (!event.repeat) this.run(this.main);
    } else if (event.key === "Tab" && this.side) this.#nextField(event);
    else if (typing) return;
    else if (this.look?.(event)) event.preventDefault();
    else this.keys?.(event);
  }
}

/** What Tab goes through. */
function fieldsOf(element) {
  const all = element.querySelectorAll("button, input, textarea, summary, a[href]");
  return [...all].filter((one) => !one.disabled && one.getClientRects().length);
}

/** Enter confirms from anywhere but a button that does something else. */
function confirms(target) {
  return !(target instanceof HTMLElement) || !["BUTTON", "A", "SUMMARY"].includes(target.tagName) || target.ariaPressed;
}

/** Tell whether a dialog is open. */
export const dialogIsOpen = () => document.querySelector("dialog[open]") !== null;

/** Ask one question with a few answers, each with a key; null where it was given up. */
export function choose(title, text, answers, { closeLabel = "Cancel", ...more } = {}) {
  const dialog = new Dialog(title, { closeLabel, ...more });
  dialog.body.append(...[text].flat().map((one) => (one instanceof Node ? one : el("p", { text: one }))));
  for (const [value, label, keys, kind] of answers) dialog.action(label, () => value, { keys, kind });
  dialog.keys = (event) => {
    const found = answers.find(([, , keys]) => keys === nameOf(event));
    if (!found) return;
    event.preventDefault();
    dialog.run(() => found[0]);
  };
  return dialog.open();
}

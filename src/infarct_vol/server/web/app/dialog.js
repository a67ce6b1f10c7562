// Dialogs: modal, driven by keys, closed by Esc. A failed action keeps the dialog and says why in it.

import { button, el, fill, isTextField } from "./dom.js";
import { nameOf } from "./keys.js";

let numbered = 0;

/** A modal dialog; `open()` gives a promise of what it was closed with, null if it was given up. */
export class Dialog {
  constructor(title, { wide = false, closeLabel = "Cancel", kind = "", mayClose = true } = {}) {
    const name = `dialog-${++numbered}`;
    this.body = el("div", { class: "dialog-body" });
    this.problem = el("p", { class: "dialog-problem", role: "alert" });
    this.actions = el("div", { class: "dialog-actions" });
    this.mayClose = mayClose;
    if (closeLabel && mayClose) this.actions.append(button(closeLabel, () => this.close(null), { keys: "Esc" }));
    this.element = el(
      "dialog",
      { class: `dialog ${wide ? "wide" : ""} ${kind}`.trim(), "aria-labelledby": name },
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
    this.element.showModal();
    (focused ?? this.element.querySelector("h2")).focus();
    return new Promise((keep) => {
      this.keep = keep;
    });
  }

  close(value) {
    this.element.close();
    this.element.remove();
    this.keep?.(value);
  }

  /** Do it; close with its answer, or stay and say what went wrong. */
  async run(act) {
    if (this.busy) return;
    this.setBusy(true);
    fill(this.problem);
    try {
      const answer = await act();
      if (answer !== undefined) this.close(answer);
    } catch (error) {
      this.say(error.message);
    } finally {
      this.setBusy(false);
    }
  }

  say(text) {
    this.problem.textContent = text;
  }

  setBusy(busy) {
    this.busy = busy;
    this.element.setAttribute("aria-busy", String(busy));
    for (const one of this.actions.querySelectorAll("button")) one.disabled = busy;
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
    } else if (!typing) this.keys?.(event);
  }
}

/** Enter confirms from anywhere but a button that does something else. */
function confirms(target) {
  return !(target instanceof HTMLElement) || !["BUTTON", "A", "SUMMARY"].includes(target.tagName) || target.ariaPressed;
}

/** Tell whether a dialog is open. */
export const dialogIsOpen = () => document.querySelector("dialog[open]") !== null;

/** Ask one question with a few answers, each with a key; null where it was given up. */
export function choose(title, text, answers, { closeLabel = "Cancel" } = {}) {
  const dialog = new Dialog(title, { closeLabel });
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

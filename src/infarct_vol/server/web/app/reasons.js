// The dialog that asks why: numbered reasons, free text, what it is about.

import { el } from "./dom.js";
import { Dialog } from "./dialog.js";

export const QUICK = {
  accept: ["Edge uncertain, within tolerance", "Small part doubtful", "Artefact seen, mask not touched by it"],
  reject: [
    "Infarct missed in part",
    "Infarct missed altogether",
    "Artefact taken for infarct",
    "Older lesion or leukoaraiosis counted",
    "Mask too large",
    "Mask too small",
    "Cavity drawn wrongly",
    "New lesion drawn wrongly",
  ],
  query: [
    "Is this the right scan for the visit?",
    "Was there a second stroke?",
    "Is a better scan at the site?",
    "Infarct or older lesion: is there an earlier scan?",
  ],
  not_measurable: [
    "Motion hides the edge",
    "Infarct not fully covered",
    "Artefact hides the infarct",
    "Haemorrhage hides the infarct",
    "Wrong sequence or contrast",
    "Damaged or incomplete scan",
  ],
  registration: [
    "Rotated",
    "Shifted",
    "Does not fit at the infarct",
    "Does not fit at the ventricles",
    "Brain has changed shape since",
    "Scan too damaged to tell",
  ],
  edit: [
    "Edge corrected",
    "Missed part added",
    "Artefact removed",
    "Older lesion removed",
    "Cavity corrected",
    "New lesion marked",
  ],
};

/** Numbered reasons and a text; `text()` is all of it in one line. */
export class ReasonField {
  constructor(dialog, picks, { required, label = "Reason", hint = placeholder(required) }) {
    this.required = required;
    this.buttons = picks.slice(0, 9).map((text, at) => this.#pick(text, at + 1));
    this.area = el("textarea", {
      rows: "2",
      maxlength: "1500",
      "aria-label": label,
      placeholder: hint,
    });
    this.element = el(
      "fieldset",
      { class: "reason" },
      el("legend", { text: required ? `${label} (needed)` : label }),
      el("div", { class: "picks" }, this.buttons),
      this.area,
    );
    dialog.keys = (event) => this.#key(event);
  }

  text() {
    const taken = this.buttons.filter((one) => one.ariaPressed === "true").map((one) => one.dataset.text);
    return [...taken, this.area.value.trim()].filter(Boolean).join("; ");
  }

  /** The text, or an error that says that it is needed. */
  checked() {
    const text = this.text();
    if (this.required && !text) throw new Error("A reason is needed: press a number or write one.");
    return text;
  }

  #pick(text, number) {
    const made = el(
      "button",
      { type: "button", class: "pick", "aria-pressed": "false", dataset: { text }, on: { click: () => toggle(made) } },
      el("kbd", { text: number }),
      el("span", { text }),
    );
    return made;
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.key.length !== 1) return;
    const picked = /^[1-9]$/.test(event.key) ? this.buttons[Number(event.key) - 1] : null;
    if (picked) {
      event.preventDefault();
      toggle(picked);
    } else if (event.key !== " ") this.area.focus();
  }
}

function placeholder(required) {
  return required ? "Numbers pick a reason, letters write one" : "May stay empty";
}

function toggle(pick) {
  pick.setAttribute("aria-pressed", String(pick.ariaPressed !== "true"));
}

/**
 * Ask for a reason, beside the images, and then do it: `act(reason, chosen targets)` is awaited while the dialog is open, so that a
 * refusal is read where it was caused. `targets`: [{value, label, checked}], at least one must stay.
 */
export function askReason(
  title,
  act,
  { picks = [], required = true, label, confirm, targets = [], about = [], still = false, look = null } = {},
) {
  const dialog = new Dialog(title, { side: true, still });
  dialog.look = look;
  const field = new ReasonField(dialog, picks, { required, label });
  const boxes = targets.map((one) => ({
    ...one,
    box: el("input", { type: "checkbox", checked: one.checked, disabled: targets.length === 1 }),
  }));
  if (boxes.length) {
    const lines = boxes.map((one) => el("label", { class: "target" }, one.box, one.label));
    dialog.body.append(el("fieldset", { class: "targets" }, el("legend", { text: "What" }), lines));
  }
  dialog.body.append(...about, field.element);
  const go = async () => {
    const chosen = boxes.filter((one) => one.box.checked).map((one) => one.value);
    if (boxes.length && !chosen.length) throw new Error("Nothing is chosen: tick what this is about.");
    return (await act(field.checked(), chosen)) ?? true;
  };
  dialog.action(confirm ?? title, go, { keys: "Enter", main: true });
  return dialog.open(picks.length ? null : field.area);
}

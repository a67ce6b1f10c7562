// Editing: the tool bar, saving as a new version, and what happens to an edit that is not saved.

import { casePath, gzip } from "./api.js";
import { conflictOverEdit } from "./conflict.js";
import { append, button, el, fill } from "./dom.js";
import { choose } from "./dialog.js";
import { findPart, nameOfItem, nameOfMask, visitOf } from "./facts.js";
import { hint, tell, warn } from "./messages.js";
import { QUICK, askReason } from "./reasons.js";
import { MASK_WORDS, capital, isNumber, millilitres, number } from "./words.js";

const TOOLS = [
  ["paint", "Paint", "1"],
  ["erase", "Erase", "2"],
  ["threshold", "Threshold", "3"],
  ["fill", "Fill", "4"],
  ["remove", "Remove", "5"],
];
const MASK_KEYS = ["7", "8", "9"];
const STEP = 1.25;

export class Editing {
  constructor(page) {
    this.page = page;
    this.info = null;
    this.shelf = null; // an edit that was refused because somebody was faster
    this.element = el("div", { class: "edit-bar", role: "toolbar", "aria-label": "Editing", hidden: true });
    this.#build();
  }

  get active() {
    return this.info !== null;
  }

  get dirty() {
    return Boolean(this.info?.dirty);
  }

  /** Tell whether work would be lost if the page were left. */
  get unsaved() {
    return this.dirty || this.shelf !== null;
  }

  #build() {
    const group = (label, ...children) =>
      el("div", { class: "tool-group", role: "group", "aria-label": label }, children);
    this.tools = new Map(
      TOOLS.map(([name, label, keys]) => [
        name,
        button(label, () => this.choose(name), { keys, "aria-pressed": "false" }),
      ]),
    );
    this.ball = button("3-D", () => this.toggleBall(), {
      keys: "Y",
      "aria-pressed": "false",
      title: "Brush over several slices",
    });
    this.radius = el("output", { class: "tool-value" });
    this.low = this.#rangeField("Least value the threshold brush paints");
    this.high = this.#rangeField("Greatest value the threshold brush paints");
    this.masks = el("div", { class: "tool-group", role: "group", "aria-label": "Mask" });
    this.size = el("output", { class: "tool-size", "aria-label": "Volume" });
    this.undoButton = button("Undo", () => this.undo(), { keys: "Ctrl+Z" });
    this.redoButton = button("Redo", () => this.redo(), { keys: "Ctrl+Y" });
    this.saveButton = button("Save", () => this.save(), { keys: "Ctrl+S", kind: "main" });
    const end = button("End", () => this.cancel(), { keys: "Esc" });
    // the tools are over the images; what becomes of the edit is where the decisions are
    this.foot = el("div", { class: "edit-foot" }, this.masks, this.size, this.undoButton, this.redoButton);
    append(this.foot, [end, this.saveButton]);
    fill(
      this.element,
      group("Tool", [...this.tools.values()]),
      group(
        "Brush",
        button("−", () => this.resize(-1), { keys: ",", "aria-label": "Smaller brush" }),
        this.radius,
        button("+", () => this.resize(1), { keys: ".", "aria-label": "Larger brush" }),
        this.ball,
      ),
      group("Threshold", el("span", { text: "paints" }), this.low, el("span", { text: "to" }), this.high),
    );
  }

  #rangeField(label) {
    const leave = (event) => {
      if (!["Enter", "Escape"].includes(event.key)) return;
      event.stopPropagation();
      event.target.blur();
    };
    const take = () => {
      const [low, high] = [Number(this.low.value), Number(this.high.value)];
      if (this.low.value && this.high.value && Number.isFinite(low + high)) this.page.viewer.edit.range = [low, high];
    };
    return el("input", { type: "number", step: "any", "aria-label": label, on: { change: take, keydown: leave } });
  }

  // ---- what keys and buttons do ------------------------------------------------------------------------

  /** Begin with the infarct of the focused image. */
  start(item = this.page.target(), key = null) {
    if (!this.page.mayChange()) return;
    if (!item?.masks.length) {
      hint("There is no mask on this image to edit.");
      return;
    }
    this.#open(item.item, key ?? item.masks[0].key);
  }

  #open(item, key) {
    try {
      this.page.viewer.edit.start(item, key);
    } catch (error) {
      warn(`Editing cannot begin: ${error.message}.`);
      return;
    }
    this.revision = findPart(this.page.view, item).revision;
    this.changed(this.page.viewer.state().edit);
    this.page.column.draw();
  }

  choose(tool) {
    this.page.viewer.edit.tool = tool;
  }

  resize(way) {
    const { edit } = this.page.viewer;
    edit.radius_mm = Math.round(edit.radius_mm * STEP ** way * 10) / 10;
  }

  toggleBall() {
    const { edit } = this.page.viewer;
    edit.three_d = !edit.three_d;
  }

  undo() {
    this.page.viewer.edit.undo();
  }

  redo() {
    this.page.viewer.edit.redo();
  }

  /** Edit another mask of the same image. */
  async chooseMask(at) {
    const part = findPart(this.page.view, this.info.item);
    const mask = part.masks[at];
    if (!mask || mask.key === this.info.key) return;
    if (this.dirty) {
      hint("Save this mask first (Ctrl+S), then draw the other one.");
      return;
    }
    this.page.viewer.edit.stop();
    this.#open(part.item, mask.key);
  }

  /** End editing; asks where something would be lost. */
  async cancel() {
    if (await this.mayLeave({ shelf: false })) this.stop();
  }

  stop() {
    this.page.viewer.edit.stop();
    this.changed(null);
    this.page.column.draw();
  }

  /** Tell whether the case may be left; where something is not saved the reader is asked. */
  async mayLeave({ shelf = true } = {}) {
    if (!this.dirty && !(shelf && this.shelf)) return true;
    const text = "The mask was changed and is not saved. Without saving the changes are gone.";
    const answer = await choose(
      "Unsaved edit",
      text,
      [
        ["drop", "Drop the changes", "D", "danger"],
        ["save", "Save", "S", "main"],
      ],
      { closeLabel: "Go on editing", side: true, still: true },
    );
    if (answer === "save") await (this.dirty ? this.save() : this.putOnTop());
    if (answer !== "drop") return answer === "save" && !this.unsaved;
    if (shelf) this.shelf = null;
    return true;
  }

  /** Another case is opened: nothing of the old one stays. */
  forget() {
    if (this.active) this.page.viewer.edit.stop();
    this.shelf = null;
    this.changed(null);
  }

  // ---- saving ------------------------------------------------------------------------------------------

  async save() {
    if (!this.active || this.page.busy) return;
    if (!this.dirty) {
      hint("Nothing was changed yet.");
      return;
    }
    const { item, key, parent_sha256, volume_ml, difference_ml } = this.info;
    const part = findPart(this.page.view, item);
    const mask = part.masks.find((one) => one.key === key);
    const edit = {
      code: this.page.code,
      item,
      key,
      volume_ml,
      parent: parent_sha256 ?? mask.sha256,
      revision: this.revision,
      voxels: this.page.viewer.edit.voxels().slice(),
    };
    const title = `Save the ${MASK_WORDS[key] ?? key}: ${this.page.view.title}, ${visitOf(this.page.view, item).label}`;
    const act = (reason) => this.#send({ ...edit, reason });
    const outcome = await askReason(title, act, {
      picks: QUICK.edit,
      confirm: "Save",
      still: true,
      about: [changeTable(volume_ml - difference_ml, volume_ml)],
    });
    if (outcome?.conflict) await this.#conflict(outcome.edit, outcome.conflict);
  }

  /** Save the kept edit on top of what somebody else saved. */
  async putOnTop() {
    const edit = { ...this.shelf, revision: findPart(this.page.view, this.shelf.item).revision };
    try {
      const outcome = await this.#send(edit);
      if (outcome.conflict) await this.#conflict(outcome.edit, outcome.conflict);
    } catch (error) {
      warn(`Not saved, your mask is still kept. ${error.message}`);
      this.page.column.draw();
    }
  }

  dropShelf() {
    this.shelf = null;
    this.page.column.draw();
  }

  async #send(edit) {
    const { page } = this;
    const address = `${casePath(edit.code, "masks", edit.item, edit.key)}?revision=${edit.revision}&parent=${edit.parent}`;
    const headers = { "Content-Type": "application/gzip", "X-Reason": encodeURIComponent(edit.reason) };
    page.busy = true;
    try {
      const view = await page.app.api.send(address, await gzip(edit.voxels), headers);
      this.shelf = null;
      if (this.active) page.viewer.edit.stop();
      this.changed(null);
      await page.take(view);
      tell(`Saved: ${nameOfItem(view, edit.item)}, ${millilitres(edit.volume_ml)}. A accepts it.`);
      return { done: true };
    } catch (error) {
      if (error.status !== 409 || !error.body?.current) throw error;
      return { conflict: error, edit };
    } finally {
      page.busy = false;
    }
  }

  async #conflict(edit, error) {
    this.shelf = edit;
    const { current } = error.body;
    const answer = await conflictOverEdit(current, edit);
    if (this.active) this.page.viewer.edit.stop();
    this.changed(null);
    await this.page.take(current);
    if (answer === "mine") await this.putOnTop();
    else this.page.column.draw();
  }

  // ---- drawing -----------------------------------------------------------------------------------------

  /** The viewer tells of every change of the edit; null when there is none. */
  changed(info) {
    const before = this.info;
    this.info = info ?? null;
    this.element.hidden = !info;
    this.page.bar.element.hidden = Boolean(info);
    if (!info) return;
    for (const [name, made] of this.tools) made.setAttribute("aria-pressed", String(name === info.tool));
    this.ball.setAttribute("aria-pressed", String(info.three_d));
    this.radius.textContent = `${number(info.radius_mm, { digits: 1 })} mm`;
    this.undoButton.disabled = !info.canUndo;
    this.redoButton.disabled = !info.canRedo;
    this.saveButton.disabled = !info.dirty;
    this.#drawRange(info);
    fill(
      this.size,
      el("b", { text: millilitres(info.volume_ml) }),
      ` before ${millilitres(info.volume_ml - info.difference_ml)}, `,
      el("b", { text: millilitres(info.difference_ml, { sign: true }) }),
    );
    if (before?.item !== info.item || before?.key !== info.key) this.#drawMasks(info);
  }

  #drawRange({ tool, range }) {
    [this.low, this.high].forEach((field, at) => {
      field.parentElement.hidden = tool !== "threshold";
      if (document.activeElement !== field)
        field.value = isNumber(range?.[at]) ? String(Number(range[at].toPrecision(4))) : "";
    });
  }

  #drawMasks(info) {
    const { masks } = findPart(this.page.view, info.item);
    fill(
      this.masks,
      masks.map((mask, at) =>
        button(capital(nameOfMask(mask)), () => this.chooseMask(at), {
          keys: MASK_KEYS[at],
          "aria-pressed": String(mask.key === info.key),
          kind: `mask-${mask.key}`,
        }),
      ),
    );
  }
}

function changeTable(before_ml, after_ml) {
  const rows = [
    ["Before", millilitres(before_ml)],
    ["After", millilitres(after_ml)],
    ["Difference", millilitres(after_ml - before_ml, { sign: true })],
  ];
  return el(
    "dl",
    { class: "change-table" },
    rows.map(([name, value]) => el("div", {}, el("dt", { text: name }), el("dd", { text: value }))),
  );
}

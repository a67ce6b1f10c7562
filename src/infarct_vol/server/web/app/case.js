// The case page: the viewer on the left, what is known and decided on the right.

import { casePath } from "./api.js";
import { Column } from "./column.js";
import { button, el, fill } from "./dom.js";
import { Editing } from "./editing.js";
import { isOpen, nameOfItem, openOfCase, partsOf, stateOf } from "./facts.js";
import { Files } from "./files.js";
import { Judging } from "./judging.js";
import { hint, warn } from "./messages.js";
import { isLoaded, neededUrls } from "./store.js";
import { ViewBar } from "./viewbar.js";

const WINDOWS = ["auto", "DWI", "ADC", "FLAIR"];

export class CasePage {
  place = "case";

  constructor(app, Viewer) {
    this.app = app;
    this.root = el("div", { class: "viewer-root" });
    this.cover = el("div", { class: "viewer-cover", hidden: true });
    this.viewer = new Viewer(this.root, {
      changed: (state) => this.#changed(state),
      edited: (info) => this.editing.changed(info),
      message: hint,
    });
    this.bar = new ViewBar(this);
    this.editing = new Editing(this);
    this.judging = new Judging(this);
    this.files = new Files(this);
    this.column = new Column(this);
    this.trouble = el("div", { class: "trouble", role: "alert", hidden: true });
    this.element = el(
      "main",
      { class: "case" },
      el(
        "section",
        { class: "stage", "aria-label": "Images" },
        this.bar.element,
        this.editing.element,
        this.trouble,
        el("div", { class: "viewer-frame" }, this.root, this.cover),
      ),
      this.column.element,
    );
    this.entry = null;
    this.visitIndex = 0;
    this.focused = null;
    this.busy = false;
    this.drawn = false;
    this.turn = 0;
  }

  get view() {
    return this.entry?.view ?? null;
  }

  get visit() {
    return this.view?.visits[this.visitIndex] ?? null;
  }

  get locked() {
    return Boolean(this.app.session.lock);
  }

  // ---- opening -----------------------------------------------------------------------------------------

  /** Open a case; one that is in memory is drawn before the network is asked for anything. */
  async open(code) {
    const turn = ++this.turn;
    performance.mark("case-open");
    this.code = code;
    this.drawn = false;
    this.editing.forget();
    const kept = this.app.store.peek(code);
    if (kept) {
      this.#show(kept);
      setTimeout(() => this.#afterShowing(turn, true));
      return;
    }
    this.#wait(`Loading ${this.app.titleOf(code)} …`);
    try {
      const entry = await this.app.store.open(code);
      if (turn !== this.turn) return;
      this.#show(entry);
      this.#afterShowing(turn, false);
    } catch (error) {
      if (turn === this.turn && error.name !== "AbortError") this.#failed(error);
    }
  }

  #wait(text) {
    this.cover.hidden = false;
    fill(this.cover, el("p", { text }));
  }

  #failed(error) {
    this.cover.hidden = false;
    fill(
      this.cover,
      el("p", { class: "cover-problem", text: `The case could not be loaded. ${error.message}` }),
      button("Try again", () => this.open(this.code)),
      button("Back to the worklist", () => this.leave()),
    );
  }

  #show(entry) {
    this.entry = entry;
    this.cover.hidden = true;
    this.focused = null;
    const { visits, kind } = entry.view;
    const first = visits.findIndex((visit) => partsOf(visit).some((part) => isOpen(part, kind)));
    this.visitIndex = Math.max(0, first);
    this.#draw({ keepPlace: false });
    this.selectVisit(this.visitIndex);
    this.drawn = true;
    requestAnimationFrame(() => setTimeout(() => this.#measure(entry.code)));
  }

  #measure(code) {
    if (code !== this.code) return;
    performance.mark("case-drawn");
    performance.measure("case-drawn", { start: "case-open", end: "case-drawn", detail: code });
  }

  /** What may use the network, once the case is on the screen. */
  async #afterShowing(turn, revalidate) {
    if (turn !== this.turn) return;
    if (revalidate) await this.refresh({ quiet: true });
    if (turn !== this.turn) return;
    const { app, code } = this;
    await app.noteLock(this.view.locked);
    await app.store.preload(code, [app.nextOpen(code), app.neighbour(code, 1), app.neighbour(code, -1)]);
  }

  /** Ask the server whether the case changed meanwhile, and show it as it is now. */
  async refresh({ quiet = false } = {}) {
    const { entry } = this;
    const before = stateOf(entry.view);
    try {
      const view = await this.app.api.get(casePath(entry.code), { priority: "low" });
      if (entry !== this.entry || this.busy || stateOf(entry.view) !== before || stateOf(view) === before) return;
      if (this.editing.active) return; // saving will say so
      await this.take(view);
      hint("This case was changed meanwhile; it is shown as it is now.");
    } catch (error) {
      if (!quiet) warn(`The case could not be loaded again. ${error.message}`);
    }
  }

  /** Show a newer view of the same case, as the server gave it after a change. */
  async take(view) {
    const { entry } = this;
    const before = neededUrls(entry.view).join();
    await this.app.store.update(entry, view);
    this.app.judged(view.code, openOfCase(view).length);
    if (entry !== this.entry) return;
    this.app.noteLock(view.locked);
    if (neededUrls(view).join() === before) this.column.draw();
    else this.#draw({ keepPlace: true });
  }

  #draw(options) {
    this.viewer.show(this.view, this.entry.buffers, options);
    this.column.draw();
    this.bar.draw(this.viewer.state());
    this.#drawTrouble();
    this.app.drawTop();
  }

  /** Say what could not be loaded; what was loaded is shown all the same. */
  #drawTrouble() {
    const failed = [...this.entry.buffers].filter(([, buffer]) => !isLoaded(buffer));
    this.trouble.hidden = failed.length === 0;
    const retry = async () => {
      await this.app.store.retry(this.entry);
      this.#draw({ keepPlace: true });
    };
    const lines = failed.map(([url, error]) => el("li", { text: `${this.#nameOfUrl(url)}: ${error.message}` }));
    fill(
      this.trouble,
      failed.length ? [el("span", { text: "Not loaded:" }), el("ul", {}, lines), button("Try again", retry)] : [],
    );
  }

  #nameOfUrl(url) {
    const panel = this.view.panels.find((one) => one.volume === url);
    if (panel) return panel.label;
    const items = this.view.visits.flatMap((visit) => visit.items);
    const all = (item) => [...item.masks, ...(item.reads ?? []).flatMap((read) => read.masks ?? [])];
    const item = items.find((one) => all(one).some((mask) => mask.url === url));
    return item ? `mask of ${nameOfItem(this.view, item.item)}` : "a mask";
  }

  // ---- moving ------------------------------------------------------------------------------------------

  /** Choose a visit; the image of its first undecided part gets the focus. */
  selectVisit(at, item = null) {
    this.visitIndex = at;
    const parts = partsOf(this.visit);
    const part = parts.find((one) => one.item === item) ?? parts.find((one) => isOpen(one, this.view.kind)) ?? parts[0];
    this.focusPanel(part?.panel ?? parts[0]?.panel ?? this.view.panels.find((one) => one.visit === this.visit.id)?.id);
    this.column.draw();
  }

  focusPanel(id) {
    const at = this.view.panels.findIndex((panel) => panel.id === id);
    if (at < 0) return;
    this.focused = id;
    this.viewer.commands.focusPanel(at);
  }

  #changed(state) {
    this.bar.draw(state);
    if (!this.drawn || !state.focused || state.focused === this.focused) return;
    this.focused = state.focused;
    const panel = this.view.panels.find((one) => one.id === state.focused);
    const at = this.view.visits.findIndex((visit) => visit.id === panel?.visit);
    if (at >= 0) this.visitIndex = at;
    this.column.draw();
  }

  /** The image part of the visit that the focus is on: what is rejected, queried or edited. */
  target() {
    const items = this.visit?.items ?? [];
    return items.find((item) => item.panel === this.focused) ?? items[0] ?? null;
  }

  stepVisit(way) {
    const count = this.view?.visits.length ?? 0;
    if (count) this.selectVisit((this.visitIndex + way + count) % count);
  }

  async step(way) {
    const code = this.app.neighbour(this.code, way);
    if (!code) hint(way > 0 ? "This is the last case of the list." : "This is the first case of the list.");
    else if (await this.editing.mayLeave()) this.app.openCase(code);
  }

  async leave() {
    if (await this.editing.mayLeave()) this.app.showWorklist();
  }

  /** After a decision: what is left of the visit, the next undecided visit, the next case. */
  goOn() {
    const { visits, kind } = this.view;
    const order = visits.map((_, at) => (this.visitIndex + at) % visits.length);
    const next = order.find((at) => partsOf(visits[at]).some((part) => isOpen(part, kind)));
    if (next !== undefined) this.selectVisit(next);
    else this.app.goOn(this.code);
  }

  // ---- looking -----------------------------------------------------------------------------------------

  /** Ask something of the viewer by name. */
  look(name, ...given) {
    if (this.drawn) this.viewer.commands[name](...given);
  }

  nextWindow() {
    const now = this.viewer.state().windowName;
    this.look("windowPreset", WINDOWS[(WINDOWS.indexOf(now) + 1) % WINDOWS.length]);
  }

  /** Tell whether something may be changed now; if not, say why. */
  mayChange() {
    const { lock } = this.app.session;
    if (!this.drawn || this.busy) return false;
    if (this.locked) hint(`The study is locked by ${lock.who}: unlock it first.`);
    else if (this.editing.active) hint("Save the edit (Ctrl+S) or end it (Esc) first.");
    return !this.locked && !this.editing.active;
  }
}

// The worklist: every case, what is known of it, and how far the reading is.

import { button, chip, el, fill, isTextField, reveal } from "./dom.js";
import { KIND_WORDS, STATUS_WORDS, capital, count, millilitres, percent } from "./words.js";

const isFlagged = (one) => one.flags.length > 0;

/** The filters in the order of their number keys. */
export const FILTERS = [
  ["all", () => true],
  ["to do", (one) => ["todo", "stale"].includes(one.status) || one.done < one.total],
  ["flagged", isFlagged],
  ["disagreement", (one) => one.status === "disagreement" || one.kind === "adjudication"],
  ["re-review", (one) => one.status === "stale"],
  ["rejected or query", (one) => ["rejected", "query"].includes(one.status)],
  ["edited", (one) => Boolean(one.edited)],
];

export class WorklistPage {
  place = "list";

  constructor(app) {
    this.app = app;
    this.selected = app.lastCode;
    this.rows = new Map();
    this.search = el("input", {
      type: "search",
      placeholder: "Search",
      "aria-label": "Search the worklist",
      value: app.searched,
      on: { input: () => this.#searched(), keydown: (event) => this.#searchKey(event) },
    });
    this.filters = el("div", { class: "filters", role: "group", "aria-label": "Filters" });
    this.body = el("tbody");
    this.empty = el("p", { class: "empty" });
    this.progress = el("div", { class: "progress" });
    this.element = el(
      "main",
      { class: "worklist" },
      el(
        "div",
        { class: "worklist-head" },
        this.progress,
        this.filters,
        el("div", { class: "search" }, this.search, el("kbd", { text: "/" })),
      ),
      el("div", { class: "worklist-scroll" }, this.#table(), this.empty),
    );
    this.draw();
  }

  #table() {
    const heads = ["", "Case", "Status", "Judged", "Visits: mL, change from baseline", "Flags"];
    return el(
      "table",
      { class: "cases" },
      el(
        "thead",
        {},
        el(
          "tr",
          {},
          heads.map((text) => el("th", { scope: "col", text })),
        ),
      ),
      this.body,
    );
  }

  /** Draw the list anew from what the app knows. */
  draw() {
    const { cases, progress } = this.app.worklist;
    this.#drawProgress(progress);
    this.#drawFilters(cases);
    const shown = this.shown();
    this.rows.clear();
    fill(
      this.body,
      shown.map((one, at) => this.#row(one, at)),
    );
    this.empty.textContent = shown.length ? "" : emptyWords(cases, FILTERS[this.app.filter][0], this.app.searched);
    const still = shown.some((one) => one.code === this.selected);
    if (!still) this.selected = (shown.find(FILTERS[1][1]) ?? shown[0])?.code ?? null;
    this.#mark();
  }

  /** The cases of the current filter and search, in reading order. */
  shown() {
    const [, fits] = FILTERS[this.app.filter];
    const words = this.app.searched.toLowerCase().split(/\s+/).filter(Boolean);
    return this.app.worklist.cases.filter((one) => fits(one) && words.every((word) => textOf(one).includes(word)));
  }

  #drawProgress({ done, total }) {
    fill(
      this.progress,
      el("span", { class: "progress-words", text: `${done} of ${count(total, "case")} done` }),
      el("progress", { max: total || 1, value: done, "aria-label": "Progress of the reading" }),
    );
  }

  #drawFilters(cases) {
    const made = FILTERS.map(([name, fits], at) => {
      const label = `${capital(name)} ${cases.filter(fits).length}`;
      const pressed = String(this.app.filter === at);
      return button(label, () => this.filterAt(at), { keys: String(at + 1), kind: "filter", "aria-pressed": pressed });
    });
    fill(this.filters, made);
  }

  #row(one, at) {
    const row = el(
      "tr",
      { dataset: { code: one.code }, on: { click: () => this.#choose(one.code), dblclick: () => this.open() } },
      el("td", { class: "number", text: at + 1 }),
      el(
        "td",
        { class: "case-name" },
        el("a", { href: "#", text: one.title, on: { click: (event) => this.#follow(event, one.code) } }),
        KIND_WORDS[one.kind] && el("small", { text: KIND_WORDS[one.kind] }),
      ),
      el(
        "td",
        {},
        chip(STATUS_WORDS[one.status] ?? one.status, one.status),
        Boolean(one.edited) && chip("edited", "edited"),
      ),
      el("td", { class: "number", text: `${one.done}/${one.total}` }),
      el("td", {}, el("div", { class: "visit-cells" }, one.visits.map(visitCell))),
      el("td", { class: "flag-cell" }, flagWords(one.flags)),
    );
    this.rows.set(one.code, row);
    return row;
  }

  #follow(event, code) {
    event.preventDefault();
    event.stopPropagation();
    this.selected = code;
    this.open();
  }

  #choose(code) {
    this.selected = code;
    this.#mark();
  }

  #mark() {
    for (const [code, row] of this.rows) row.setAttribute("aria-selected", String(code === this.selected));
    reveal(this.rows.get(this.selected));
    this.app.preloadSoon(this.selected);
  }

  #searched() {
    this.app.searched = this.search.value;
    this.draw();
  }

  #searchKey(event) {
    const way = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (way) this.move(way);
    else if (event.key === "Enter") this.open();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  // ---- what keys do ----

  move(way) {
    const codes = [...this.rows.keys()];
    if (!codes.length) return;
    const at = codes.indexOf(this.selected) + way;
    this.#choose(codes[Math.max(0, Math.min(codes.length - 1, at))]);
  }

  open() {
    if (this.selected)
      this.app.openCase(
        this.selected,
        this.shown().map((one) => one.code),
      );
  }

  filterAt(at) {
    this.app.filter = at;
    this.draw();
  }

  focusSearch() {
    this.search.focus();
    this.search.select();
  }

  leaveSearch() {
    if (isTextField(document.activeElement)) document.activeElement.blur();
    else if (this.app.searched) {
      this.search.value = "";
      this.#searched();
    }
  }

  reload() {
    this.app.refreshWorklist({ told: true });
  }
}

function visitCell(visit) {
  const change =
    visit.change_ml === null || visit.change_ml === undefined ? "" : millilitres(visit.change_ml, { sign: true });
  const relative = percent(visit.percent_change);
  const status = STATUS_WORDS[visit.status] ?? visit.status;
  const plain = visit.status === "measured";
  return el(
    "div",
    { class: `visit-cell ${visit.status}`, title: `${visit.label}: ${status}` },
    el("span", { class: "visit-name", text: capital(visit.label) }),
    el("b", { text: millilitres(visit.volume_ml) }),
    el("span", {
      class: "visit-change",
      text: [change, relative].filter(Boolean).join(" · ") || (plain ? "" : status),
    }),
  );
}

function flagWords(flags) {
  if (!flags.length) return "";
  const more = flags.length > 1 ? ` (+${flags.length - 1} more)` : "";
  return el("span", { title: flags.join("\n"), text: flags[0] + more });
}

function textOf(one) {
  return [one.title, STATUS_WORDS[one.status], ...one.flags, ...one.visits.map((visit) => visit.label)]
    .join(" ")
    .toLowerCase();
}

function emptyWords(cases, name, searched) {
  if (!cases.length) return "There is no case to read for you now.";
  return searched
    ? `No case fits the search "${searched}" in the filter "${name}".`
    : `No case in the filter "${name}".`;
}

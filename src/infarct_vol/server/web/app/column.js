// The right column of a case: participant, visits, flags, registration, masks, versions, history, decisions.

import { imageCard, registrationCard } from "./cards.js";
import { button, chip, el, fill } from "./dom.js";
import { isOpen, nameOfItem, partsOf } from "./facts.js";
import { decisionButtons } from "./judging.js";
import { KIND_WORDS, STATUS_WORDS, capital, isNumber, millilitres, moment, percent } from "./words.js";

const MOST_HISTORY = 200;

export class Column {
  constructor(page) {
    this.page = page;
    this.head = el("header", { class: "case-head" });
    this.notices = el("div", { class: "notices" });
    this.tabs = el("div", { class: "visit-tabs", role: "tablist", "aria-label": "Visits" });
    this.body = el("div", { class: "visit-body", role: "tabpanel", tabindex: "-1" });
    this.foot = el("footer", { class: "decide", role: "group", "aria-label": "Decision or edit" });
    this.element = el(
      "aside",
      { class: "column", "aria-label": "Case" },
      this.head,
      this.notices,
      this.tabs,
      this.body,
      this.foot,
    );
    this.opened = new Set();
    this.closed = new Set();
    this.shownVersion = null;
    this.place = "";
  }

  /** Draw all of it from the case that is shown. */
  draw() {
    const { page } = this;
    if (!page.view) return;
    this.#drawHead();
    this.#drawNotices();
    this.#drawTabs();
    this.#drawBody();
    if (page.editing.active) fill(this.foot, page.editing.foot);
    else fill(this.foot, decisionButtons(page.judging, { disabled: page.locked }));
  }

  #drawHead() {
    const { page } = this;
    const { app, view } = page;
    const { at, count } = app.placeOf(page.code);
    const kind = KIND_WORDS[view.kind];
    fill(
      this.head,
      button("‹", () => page.step(-1), {
        keys: "J",
        "aria-label": "Previous case",
        disabled: !app.neighbour(page.code, -1),
      }),
      el(
        "div",
        { class: "case-title" },
        el("h1", { text: view.title, title: view.title }),
        el("small", { text: [at >= 0 && `${at + 1} of ${count}`, kind].filter(Boolean).join(" · ") }),
      ),
      button("›", () => page.step(1), { keys: "K", "aria-label": "Next case", disabled: !app.neighbour(page.code, 1) }),
    );
  }

  #drawNotices() {
    const { page } = this;
    const { lock } = page.app.session;
    const notices = [];
    if (lock)
      notices.push(
        el("p", {
          class: "notice locked",
          text: `Locked by ${lock.who}, ${moment(lock.utc)}. Nothing can be changed.`,
        }),
      );
    if (page.view.kind === "adjudication")
      notices.push(
        el("p", { class: "notice blinded", text: "Adjudication: two reads differ. Take one, or draw an own mask." }),
      );
    else if (page.view.blinded)
      notices.push(el("p", { class: "notice blinded", text: "Blinded read: you see no other reader." }));
    const { shelf } = page.editing;
    if (shelf) {
      notices.push(
        el(
          "div",
          { class: "notice shelf", role: "status" },
          el("p", {
            text: `Your mask of ${millilitres(shelf.volume_ml)} (${nameOfItem(page.view, shelf.item)}) is not saved yet.`,
          }),
          button("Save mine on top", () => page.editing.putOnTop(), { kind: "main" }),
          button("Drop it", () => page.editing.dropShelf()),
        ),
      );
    }
    fill(this.notices, notices);
  }

  #drawTabs() {
    const { page } = this;
    const known = new Map((page.app.caseOf(page.code)?.visits ?? []).map((visit) => [visit.id, visit]));
    fill(
      this.tabs,
      page.view.visits.map((visit, at) => {
        const selected = at === page.visitIndex;
        const numbers = known.get(visit.id);
        const open = partsOf(visit).filter((part) => isOpen(part, page.view.kind)).length;
        const state = markOf(visit, open);
        return el(
          "button",
          {
            type: "button",
            role: "tab",
            class: `tab ${state}`,
            "aria-selected": String(selected),
            title: `${visit.label}: ${MARK_WORDS[state]}`,
            on: { click: () => page.selectVisit(at) },
          },
          el("span", { class: "tab-name", text: visit.label }),
          el("b", { text: volumeOf(visit, numbers) }),
          el("small", { text: changeOf(numbers) }),
        );
      }),
    );
  }

  #drawBody() {
    const { page } = this;
    const { visit } = page;
    const place = `${page.code}/${visit?.id}`;
    const top = place === this.place ? this.body.scrollTop : 0;
    this.place = place;
    if (!visit) {
      fill(this.body, el("p", { text: "This case has no visits." }));
      return;
    }
    const when = [
      visit.acq_time && moment(visit.acq_time).replace(" UTC", ""),
      isNumber(visit.study_day) && `study day ${visit.study_day}`,
    ];
    fill(
      this.body,
      el(
        "p",
        { class: "visit-line" },
        el("b", { text: visit.label }),
        " ",
        chip(STATUS_WORDS[visit.status] ?? visit.status, visit.status),
        " ",
        el("small", { text: when.filter(Boolean).join(" · ") }),
      ),
      visit.reason && el("p", { class: "visit-reason", text: visit.reason }),
      visit.flags.length > 0 &&
        el(
          "ul",
          { class: "flags" },
          visit.flags.map((text) => el("li", { text })),
        ),
      visit.items.map((item) => imageCard(this, item)),
      visit.registration &&
        registrationCard(
          this,
          partsOf(visit).find((part) => part.image === "registration"),
        ),
      this.#history(),
    );
    this.body.scrollTop = top;
  }

  #history() {
    const { history } = this.page.view;
    const rows = [...history]
      .reverse()
      .slice(0, MOST_HISTORY)
      .map((one) =>
        el(
          "li",
          {},
          el("span", { class: "when", text: moment(one.utc) }),
          el("b", { text: one.who }),
          ` ${one.text || one.action}`,
          one.reason && el("q", { text: one.reason }),
        ),
      );
    return this.details(
      "history",
      `History (${history.length})`,
      rows.length ? el("ul", { class: "history" }, rows) : el("p", { text: "Nothing yet." }),
    );
  }

  /** A part that opens and closes, and stays so while the column is drawn anew. */
  details(name, title, ...content) {
    return this.#foldable(this.opened, true, name, title, content);
  }

  /** The same, open until it is closed. */
  shown(name, title, ...content) {
    return this.#foldable(this.closed, false, name, title, content);
  }

  #foldable(kept, whenKept, name, title, content) {
    const made = el("details", { open: kept.has(name) === whenKept }, el("summary", { text: title }), content);
    made.addEventListener("toggle", () => (made.open === whenKept ? kept.add(name) : kept.delete(name)));
    return made;
  }

  /** Show the contour of a version over the mask in work, or take it away again. */
  async showVersion(item, version) {
    const { page } = this;
    const same = this.shownVersion?.sha256 === version.sha256 && this.shownVersion?.item === item;
    const before = this.shownVersion;
    this.shownVersion = null;
    if (before && before.code === page.code) page.viewer.showContour(before.item, before.key, null);
    if (!same) {
      try {
        const { entry } = page;
        const buffer = await page.app.store.add(entry, version.url);
        if (entry !== page.entry) return;
        page.viewer.showContour(item, version.key, buffer, { label: version.label });
        this.shownVersion = { code: page.code, item, key: version.key, sha256: version.sha256 };
      } catch (error) {
        page.app.warn(`The version could not be shown. ${error.message}`);
      }
    }
    this.draw();
  }

  isShown(item, sha256) {
    const { shownVersion } = this;
    return shownVersion?.code === this.page.code && shownVersion.item === item && shownVersion.sha256 === sha256;
  }
}

const MARK_WORDS = {
  open: "to be judged",
  accept: "accepted",
  reject: "rejected",
  query: "query open",
  not_measurable: "not measurable",
  none: "nothing to judge",
};

/** One word for a visit: open as long as anything of it is, else the gravest decision. */
function markOf(visit, open) {
  if (open) return "open";
  const verdicts = partsOf(visit)
    .map((part) => part.decision?.verdict)
    .filter(Boolean);
  return ["query", "reject", "not_measurable", "accept"].find((one) => verdicts.includes(one)) ?? "none";
}

function volumeOf(visit, numbers) {
  const own = visit.items[0]?.masks[0]?.volume_ml;
  const value = numbers ? numbers.volume_ml : own;
  return isNumber(value) ? millilitres(value) : capital(STATUS_WORDS[numbers?.status ?? visit.status] ?? "–");
}

function changeOf(numbers) {
  if (!isNumber(numbers?.change_ml)) return "";
  return [millilitres(numbers.change_ml, { sign: true }), percent(numbers.percent_change)].filter(Boolean).join(" ");
}

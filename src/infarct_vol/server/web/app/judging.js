// Decisions: what a key or a button means for the parts of a visit, and how it is sent.

import { casePath } from "./api.js";
import { conflictOverDecisions } from "./conflict.js";
import { button, chip, el } from "./dom.js";
import { Dialog } from "./dialog.js";
import { hasOwnEdit, judgement, openOfCase, openParts, partsOf, nameOfItem } from "./facts.js";
import { lookingKeys } from "./looking.js";
import { hint, tell, warn } from "./messages.js";
import { QUICK, ReasonField, askReason } from "./reasons.js";
import { VERDICT_WORDS, capital, metric, millilitres } from "./words.js";

export class Judging {
  constructor(page) {
    this.page = page;
  }

  // ---- what keys and buttons do ------------------------------------------------------------------------

  /** Accept what is not decided yet at this visit. */
  async accept() {
    const { page } = this;
    if (!page.mayChange()) return;
    const parts = openParts(page.visit, page.view.kind);
    if (!parts.length) {
      this.#nothingOpen();
      return;
    }
    if (this.#mustTakeRead(parts)) return;
    await this.#direct(
      parts.map((part) => judgement(part, "accept", "")),
      `Accepted: ${this.#names(parts)}.`,
    );
  }

  /** Accept everything that is not decided yet, and go to the next case. */
  async acceptAll() {
    const { page } = this;
    if (!page.mayChange()) return;
    const parts = openOfCase(page.view);
    if (this.#mustTakeRead(parts)) return;
    if (!parts.length) page.app.goOn(page.code);
    else {
      const words = `Accepted: all of ${page.view.title}.`;
      await this.#direct(
        parts.map((part) => judgement(part, "accept", "")),
        words,
      );
    }
  }

  async acceptWithComment() {
    const { page } = this;
    if (!page.mayChange()) return;
    const open = openParts(page.visit, page.view.kind);
    if (this.#mustTakeRead(open)) return;
    const parts = page.view.kind === "adjudication" ? open : partsOf(page.visit);
    if (!parts.length) hint("There is nothing to accept at this visit.");
    else
      await this.#ask("Accept with a comment", "accept", parts, {
        ticked: open.length ? open : parts,
        required: false,
      });
  }

  reject() {
    return this.#askAboutImage("Reject the mask", "reject");
  }

  query() {
    return this.#askAboutImage("Query", "query", { label: "Question", confirm: "Send the query" });
  }

  notMeasurable() {
    return this.#askAboutImage("Not measurable", "not_measurable");
  }

  /** Judge the registration of the visit: its verdict, reasons and numbers are in the dialog. */
  async judgeRegistration() {
    const { page } = this;
    if (!page.mayChange()) return;
    const part = partsOf(page.visit).find((one) => one.image === "registration");
    if (!part) {
      hint("This visit has no registration.");
      return;
    }
    const outcome = await this.#registrationDialog(part);
    await this.#finish(outcome);
  }

  /** Adjudication: take one of the two reads of the focused image, or of the first that waits. */
  async takeRead(number) {
    const { page } = this;
    if (page.view?.kind !== "adjudication" || !page.mayChange()) return;
    const all = partsOf(page.visit).filter((part) => (part.reads ?? []).length);
    const target = page.target();
    const part = all.find((one) => one.item === target?.item) ?? all[0];
    await this.take(part, number);
  }

  async take(part, number) {
    const read = part?.reads.find((one) => one.number === number);
    if (!read || !this.page.mayChange()) return;
    const reason = read.verdict === "accept" ? "" : read.reason || `read ${number} taken`;
    const words = `Read ${number} taken: ${nameOfItem(this.page.view, part.item)}.`;
    await this.#direct([judgement(part, read.verdict, reason, number)], words);
  }

  // ---- dialogs -----------------------------------------------------------------------------------------

  async #askAboutImage(title, verdict, more = {}) {
    const { page } = this;
    if (!page.mayChange()) return;
    const target = page.target();
    const waiting = openParts(page.visit, page.view.kind).map((part) => part.item);
    const parts = partsOf(page.visit).filter((part) => part.image !== "registration");
    const usable = page.view.kind === "adjudication" ? parts.filter((part) => (part.reads ?? []).length) : parts;
    if (!usable.length) {
      hint("There is no mask to judge at this visit. The registration is judged with G.");
      return;
    }
    const ticked = usable.filter((part) => part.item === target?.item);
    const first = usable.filter((part) => waiting.includes(part.item)).slice(0, 1);
    await this.#ask(title, verdict, usable, {
      ticked: ticked.length ? ticked : first.length ? first : usable,
      ...more,
    });
  }

  async #ask(title, verdict, parts, { ticked, required = true, label, confirm }) {
    const { page } = this;
    const { visit } = page;
    const names = ticked.map((part) => part.item);
    const targets = parts.map((part) => ({
      value: part,
      label: el("span", {}, capital(part.label), this.#said(part)),
      checked: names.includes(part.item),
    }));
    const act = (reason, chosen) =>
      this.#attempt(
        chosen.map((part) => judgement(part, verdict, reason)),
        `${capital(VERDICT_WORDS[verdict])}: ${this.#names(chosen, visit)}.`,
      );
    const heading = `${title}: ${page.view.title}, ${visit.label}`;
    await this.#finish(
      await askReason(heading, act, {
        picks: QUICK[verdict],
        required,
        label,
        targets,
        confirm: confirm ?? title,
        look: lookingKeys(page),
      }),
    );
  }

  #registrationDialog(part) {
    const { page } = this;
    const dialog = new Dialog(`Registration: ${page.view.title}, ${page.visit.label}`, { side: true });
    const field = new ReasonField(dialog, QUICK.registration, {
      required: false,
      hint: "Numbers pick a reason, Tab goes to this field",
      label: "Reason (needed to reject or query)",
    });
    const send = (verdict) => () => {
      field.required = verdict !== "accept";
      const reason = field.checked();
      return this.#attempt(
        [judgement(part, verdict, reason)],
        `${capital(VERDICT_WORDS[verdict])}: ${nameOfItem(page.view, part.item)}.`,
      );
    };
    dialog.body.append(
      registrationFacts(part, (title, numbers) => el("details", {}, el("summary", { text: title }), numbers)),
      el(
        "p",
        { class: "quiet small" },
        el("kbd", { text: "X" }),
        " checkerboard, ",
        el("kbd", { text: "V" }),
        " blink, ",
        el("kbd", { text: "↑" }),
        el("kbd", { text: "↓" }),
        " slices, ",
        el("kbd", { text: "F" }),
        " alone",
      ),
      field.element,
    );
    dialog.action("Query", send("query"), { keys: "Q" });
    dialog.action("Reject", send("reject"), { keys: "R", kind: "danger" });
    dialog.action("Accept", send("accept"), { keys: "A", main: true });
    const typing = dialog.keys;
    const looking = lookingKeys(page, { letters: true });
    dialog.look = (event) => !["q", "r", "a"].includes(event.key.toLowerCase()) && looking(event);
    dialog.keys = (event) => {
      const verdict = { q: "query", r: "reject", a: "accept" }[event.key.toLowerCase()];
      if (!verdict || event.ctrlKey || event.metaKey || event.altKey) return typing(event);
      event.preventDefault();
      return event.repeat ? undefined : dialog.run(send(verdict));
    };
    return dialog.open();
  }

  // ---- sending -----------------------------------------------------------------------------------------

  /** Send at once; a refusal becomes a message. */
  async #direct(decisions, words) {
    let outcome = null;
    try {
      outcome = await this.#attempt(decisions, words);
    } catch (error) {
      warn(`Not saved. ${error.message}`);
    }
    await this.#finish(outcome);
  }

  /** Send; somebody who was faster is an outcome, every other refusal is thrown. */
  async #attempt(decisions, words) {
    const { page } = this;
    const { code } = page;
    page.busy = true;
    try {
      const view = await page.app.api.post(casePath(code, "decisions"), { decisions });
      await page.take(view);
      tell(words);
      return { done: true };
    } catch (error) {
      if (error.status === 423) page.app.noteLock(true);
      if (error.status !== 409 || !error.body?.current) throw error;
      return { conflict: error, decisions, words };
    } finally {
      page.busy = false;
    }
  }

  async #finish(outcome) {
    if (outcome?.done) this.page.goOn();
    if (!outcome?.conflict) return;
    const again = await conflictOverDecisions(this.page, outcome);
    if (again) await this.#direct(again, outcome.words);
  }

  // ---- words -------------------------------------------------------------------------------------------

  #mustTakeRead(parts) {
    if (this.page.view.kind !== "adjudication") return false;
    const bare = parts.filter((part) => part.reads.length && !hasOwnEdit(part));
    if (bare.length) hint("Press 1 or 2 to take a read, or E to draw an own mask and accept that.");
    return bare.length > 0;
  }

  #nothingOpen() {
    const { page } = this;
    const parts = partsOf(page.visit);
    const other = parts.filter((part) => part.decision && part.decision.verdict !== "accept");
    if (page.view.kind !== "adjudication" && other.length) {
      this.acceptWithComment();
      return;
    }
    hint(parts.length ? "All of this visit is decided already." : `Nothing to judge at ${page.visit.label}.`);
    page.goOn();
  }

  #said(part) {
    return part.decision ? el("small", { text: ` now: ${VERDICT_WORDS[part.decision.verdict]}` }) : null;
  }

  #names(parts, visit = this.page.visit) {
    const labels = parts.map((part) => part.label).join(", ");
    return `${this.page.view.title}, ${visit.label} (${labels})`;
  }
}

/** What the run says of a registration; `hide` may put its numbers behind a title. */
export function registrationFacts(part, hide = (title, numbers) => numbers) {
  const metrics = Object.entries(part.metrics ?? {}).map(([name, value]) => metric(name, value));
  return el(
    "div",
    { class: "registration-facts" },
    el(
      "p",
      {},
      el("b", { text: String(part.pair ?? "").replace("->", "→") }),
      " ",
      chip(part.verdict, `verdict-${part.verdict}`),
    ),
    (part.reasons ?? []).length > 0 &&
      el(
        "ul",
        { class: "flags" },
        part.reasons.map((text) => el("li", { text })),
      ),
    metrics.length > 0 &&
      hide(
        `Numbers (${metrics.length})`,
        el(
          "dl",
          { class: "metrics" },
          metrics.map(([name, value]) => el("div", {}, el("dt", { text: name }), el("dd", { text: value }))),
        ),
      ),
  );
}

/** A read in few words: its verdict and mL. */
export const readWords = (read) =>
  read.verdict === "accept" ? millilitres(read.volume_ml) : VERDICT_WORDS[read.verdict];

/** The buttons under the column. */
export function decisionButtons(judging, { disabled }) {
  const one = (label, keys, act, kind = "") => button(label, act, { keys, kind, disabled });
  return [
    one("Accept", "A", () => judging.accept(), "main"),
    one("Comment", "C", () => judging.acceptWithComment()),
    one("Reject", "R", () => judging.reject()),
    one("Query", "Q", () => judging.query()),
    one("Not measurable", "N", () => judging.notMeasurable()),
    one("Edit", "E", () => judging.page.editing.start()),
  ];
}

// The review page: who is signed in, which page is shown, and what pages share.

import { Api, ApiError } from "./api.js";
import { CasePage } from "./case.js";
import { button, chip, el, fill } from "./dom.js";
import { dialogIsOpen } from "./dialog.js";
import { openOfCase } from "./facts.js";
import { showHelp } from "./help.js";
import { KEY_MAP } from "./keymap.js";
import { listenForKeys, releaseFocusAfterClick } from "./keys.js";
import { lockDialog } from "./lock.js";
import { clearMessages, hint, tell, warn } from "./messages.js";
import { SignInPage, askAgain, studyLine } from "./signin.js";
import { CaseStore } from "./store.js";
import { FILTERS, WorklistPage } from "./worklist.js";

const LOOK_EVERY_MS = 10000;
const REFRESH_AFTER_MS = 400;
const PRELOAD_AFTER_MS = 250;
const isToDo = FILTERS[1][1];

class App {
  constructor(root) {
    this.api = new Api(() => this.signInAgain());
    this.store = new CaseStore(this.api);
    this.top = el("header", { class: "top" });
    this.frame = el("div", { class: "frame" });
    this.session = null;
    this.worklist = { progress: { done: 0, total: 0 }, cases: [] };
    this.filter = 0;
    this.searched = "";
    this.lastCode = null;
    this.order = [];
    this.judgedHere = new Map();
    this.page = null;
    this.lastInput = Date.now();
    this.warn = warn;
    fill(root, this.top, this.frame);
  }

  /** Begin: sign-in, or the list, or the case that was open before the page was loaded again. */
  async start() {
    this.#listen();
    this.#useSession(await this.api.get("/api/session"));
    if (this.session.reader) await this.#enterReading(history.state?.code);
    else this.#show(new SignInPage(this));
  }

  #listen() {
    listenForKeys(KEY_MAP, () => this.#places(), this);
    releaseFocusAfterClick();
    for (const event of ["keydown", "pointerdown", "wheel", "pointermove"]) {
      window.addEventListener(event, () => (this.lastInput = Date.now()), { passive: true, capture: true });
    }
    setInterval(() => this.#watchTime(), LOOK_EVERY_MS);
    window.addEventListener("popstate", (event) => this.#wentBack(event.state));
    window.addEventListener("beforeunload", (event) => {
      if (this.casePage?.editing.unsaved) event.preventDefault();
    });
  }

  #places() {
    if (dialogIsOpen() || !this.session?.reader || !this.page) return [];
    const editing = this.page === this.casePage && this.casePage.editing.active;
    return [...(editing ? ["edit"] : []), this.page.place, "page"];
  }

  #show(page) {
    this.page = page;
    fill(this.frame, page.element);
    this.drawTop();
  }

  // ---- session -----------------------------------------------------------------------------------------

  #useSession(session) {
    this.session = session;
    this.api.csrf = session.csrf;
  }

  /** Sign in or enrol; throws what the server said. */
  async enter(path, body) {
    this.#useSession(await this.api.signIn(path, body));
    if (!this.session.reader) throw new ApiError(401, "The server signed nobody in: try again.");
    await this.#enterReading(null);
  }

  async #enterReading(code) {
    this.worklist = await this.api.get("/api/worklist");
    this.order = this.worklist.cases.map((one) => one.code);
    await this.#loadViewer();
    if (code && this.caseOf(code)) this.openCase(code, this.order, { push: false });
    else this.showWorklist();
  }

  async #loadViewer() {
    if (this.casePage) return;
    const { Viewer } = await import("../viewer/viewer.js");
    this.casePage = new CasePage(this, Viewer);
  }

  /** After a time-out: the same reader signs in again over the open page. */
  signInAgain() {
    this.again ??= this.#askAgain().finally(() => (this.again = null));
    return this.again;
  }

  async #askAgain() {
    const { name } = this.session.reader;
    const enter = async (passphrase) => {
      const fresh = await this.api.peekSession();
      this.api.csrf = fresh.csrf;
      this.#useSession(await this.api.signIn("/api/sign-in", { name, passphrase }));
      this.lastInput = Date.now();
    };
    await askAgain(name, enter, () => this.#giveUpPlace());
    this.drawTop();
  }

  /** Somebody else wants to sign in: what is not saved is gone, so it takes a second press. */
  async #giveUpPlace() {
    if (this.casePage?.editing.unsaved && !this.warnedOfLoss) {
      this.warnedOfLoss = true;
      throw new Error("There is an unsaved edit. Press once more to drop it.");
    }
    this.casePage?.editing.forget();
    history.replaceState(null, "");
    location.reload();
    return new Promise(() => {});
  }

  async signOut() {
    if (this.page === this.casePage && !(await this.casePage.editing.mayLeave())) return;
    try {
      this.#useSession(await this.api.post("/api/sign-out"));
    } catch (error) {
      warn(`Not signed out. ${error.message}`);
      return;
    }
    history.replaceState(null, "");
    location.reload();
  }

  /** Without input for long the page is covered; with input the server is told that somebody is here. */
  #watchTime() {
    if (!this.session?.reader || this.again) return;
    const limit = this.session.idle_minutes * 60000;
    const now = Date.now();
    if (now - this.lastInput > limit) this.#timeOut();
    else if (this.lastInput > this.api.lastRequest && now - this.api.lastRequest > limit / 4) this.refreshWorklist();
  }

  async #timeOut() {
    const asked = this.signInAgain();
    try {
      await this.api.signIn("/api/sign-out", {});
    } catch {
      // the server ends the session by its own clock, too
    }
    await asked;
  }

  // ---- pages -------------------------------------------------------------------------------------------

  showWorklist({ push = true } = {}) {
    if (push && history.state?.code) history.pushState(null, "");
    if (this.page === this.casePage) this.casePage.editing.forget();
    if (this.page !== this.listPage || !this.listPage) {
      this.listPage = new WorklistPage(this);
      this.#show(this.listPage);
      this.refreshWorklist();
    }
    this.listPage.draw();
  }

  /** Open a case; `order` is the list it is read in, where a new one begins. */
  openCase(code, order = null, { push = true } = {}) {
    if (order) this.order = order;
    clearTimeout(this.preloading);
    if (push) history[history.state?.code ? "replaceState" : "pushState"]({ code }, "");
    this.lastCode = code;
    if (this.page !== this.casePage) {
      clearMessages();
      this.#show(this.casePage);
    }
    return this.casePage.open(code);
  }

  async #wentBack(state) {
    if (!this.session?.reader) return;
    if (state?.code && this.caseOf(state.code)) {
      this.openCase(state.code, null, { push: false });
      return;
    }
    if (this.page === this.casePage && !(await this.casePage.editing.mayLeave()))
      history.pushState({ code: this.casePage.code }, "");
    else this.showWorklist({ push: false });
  }

  /** The case that is chosen in the list is fetched before it is opened. */
  preloadSoon(code) {
    clearTimeout(this.preloading);
    this.preloading = setTimeout(() => {
      if (code && this.page === this.listPage) this.store.preload(null, [code]);
    }, PRELOAD_AFTER_MS);
  }

  // ---- the list ----------------------------------------------------------------------------------------

  caseOf(code) {
    return this.worklist.cases.find((one) => one.code === code) ?? null;
  }

  titleOf(code) {
    return this.caseOf(code)?.title ?? "the case";
  }

  placeOf(code) {
    return { at: this.order.indexOf(code), count: this.order.length };
  }

  neighbour(code, way) {
    const at = this.order.indexOf(code);
    return at < 0 ? null : (this.order[at + way] ?? null);
  }

  /** The next case of the list, from here on and then from its start, that is not judged yet. */
  nextOpen(code) {
    const at = this.order.indexOf(code);
    const later = [...this.order.slice(at + 1), ...this.order.slice(0, Math.max(0, at))];
    return later.find((one) => this.#isToDo(one)) ?? null;
  }

  #isToDo(code) {
    if (this.judgedHere.has(code)) return this.judgedHere.get(code) > 0;
    const known = this.caseOf(code);
    return known ? isToDo(known) : false;
  }

  /** A case was judged or edited here: so many parts of it are left. */
  judged(code, left) {
    this.judgedHere.set(code, left);
    clearTimeout(this.refreshing);
    this.refreshing = setTimeout(() => this.refreshWorklist(), REFRESH_AFTER_MS);
  }

  /** All of a case is decided: the next one that is not, or the list. */
  goOn(code) {
    const next = this.nextOpen(code);
    if (next) {
      this.openCase(next);
      return;
    }
    this.showWorklist();
    tell("All cases of this list are judged.");
  }

  async refreshWorklist({ told = false } = {}) {
    try {
      const worklist = await this.api.get("/api/worklist", { priority: "low" });
      this.worklist = worklist;
      this.judgedHere.clear();
      if (this.page === this.listPage) this.listPage?.draw();
      else if (this.casePage?.drawn) {
        this.judgedHere.set(this.casePage.code, openOfCase(this.casePage.view).length);
        this.casePage.column.draw();
      }
      this.drawTop();
      if (told) tell("The list is up to date.");
    } catch (error) {
      warn(`The list could not be loaded again. ${error.message}`);
    }
  }

  // ---- the top bar -------------------------------------------------------------------------------------

  drawTop() {
    const { session } = this;
    if (!session?.reader) {
      fill(this.top);
      this.top.hidden = true;
      return;
    }
    this.top.hidden = false;
    const { done, total } = this.worklist.progress;
    const inCase = this.page === this.casePage;
    fill(
      this.top,
      inCase && button("Worklist", () => this.casePage.leave(), { keys: "U" }),
      el("b", { class: "study-name", text: session.study.name || "Infarct volumes", title: studyLine(session.study) }),
      blindingChip(session.study.blinding),
      session.lock && chip("locked", "locked"),
      el("span", { class: "grow" }),
      el("span", { class: "top-progress", text: `${done} of ${total} done` }),
      el("span", { class: "who", text: `${session.reader.name} (${session.reader.role})` }),
      button(session.lock ? "Unlock …" : "Lock …", () => this.lock(), { keys: "⇧L" }),
      button("Keys", () => this.help(), { keys: "?" }),
      button("Sign out", () => this.signOut()),
    );
  }

  /** A case says whether the study is locked; where that is news, ask who did it. */
  async noteLock(locked) {
    if (Boolean(locked) === Boolean(this.session.lock)) return;
    try {
      this.#useSession(await this.api.peekSession());
    } catch (error) {
      warn(error.message);
      return;
    }
    this.drawTop();
    if (this.page === this.casePage) this.casePage.column.draw();
  }

  help() {
    showHelp();
  }

  async lock() {
    if (this.casePage?.editing.active) {
      hint("Save the edit (Ctrl+S) or end it (Esc) first.");
      return;
    }
    const session = await lockDialog(this);
    if (!session) return;
    this.#useSession(session);
    tell(session.lock ? `Locked by ${session.lock.who}.` : "The study is unlocked; this is in the audit trail.");
    this.store.clear();
    this.drawTop();
    if (this.page === this.casePage) this.casePage.column.draw();
    await this.refreshWorklist();
  }
}

/** Whether anybody may know by now who got what treatment; not how the masks are read. */
function blindingChip(blinding) {
  const opened = blinding === "UNBLINDED";
  const made = chip(opened ? "arms unblinded" : "arms blinded", "blinding");
  made.title = opened
    ? "The treatment arms of this study were unblinded; the audit trail says by whom and why."
    : "The treatment arms of this study are blinded: no page and no table here tells who got what.";
  return made;
}

async function begin() {
  const root = document.getElementById("app");
  const app = new App(root);
  window.infarctVolReview = {
    get viewer() {
      return app.casePage?.viewer ?? null;
    },
    state: () => ({
      place: app.page?.place ?? null,
      reader: app.session?.reader?.name ?? null,
      code: app.page === app.casePage ? app.casePage.code : null,
      visit: app.page === app.casePage ? (app.casePage.visit?.id ?? null) : null,
      drawn: app.page === app.casePage && app.casePage.drawn,
      busy: Boolean(app.casePage?.busy),
      editing: app.casePage?.editing.info ?? null,
      kept: [...app.store.entries.values()].filter((one) => one.ready).map((one) => one.code),
    }),
  };
  try {
    await app.start();
  } catch (error) {
    fill(
      root,
      el(
        "main",
        { class: "starting", role: "alert" },
        el("h1", { text: "The review page could not start" }),
        el("p", { text: error.message }),
        button("Try again", () => location.reload()),
      ),
    );
  }
}

begin();

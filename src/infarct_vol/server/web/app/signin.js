// Who reads: sign in, enrol, and sign in again after a pause.

import { button, el, fill } from "./dom.js";
import { Dialog } from "./dialog.js";

const MEANING =
  "My decisions, edits and signatures carry my name and the time. They mean that I looked at the images myself. " +
  "My passphrase stands for my signature: I keep it to myself.";

/** The page that is shown while nobody is signed in. */
export class SignInPage {
  place = "sign-in";

  constructor(app) {
    this.app = app;
    this.element = el("main", { class: "sign-in" });
    this.form(app.session.enrolled.length ? "enter" : "enrol");
  }

  /** Show one of the two forms. */
  form(which) {
    const { study, enrolled, version } = this.app.session;
    const made = which === "enrol" ? this.#enrolForm() : this.#signInForm();
    const other =
      which === "enrol"
        ? enrolled.length > 0 && button("I am enrolled already: sign in", () => this.form("enter"), { kind: "plain" })
        : button("I am new here: enrol", () => this.form("enrol"), { kind: "plain" });
    fill(
      this.element,
      el(
        "div",
        { class: "sign-in-box" },
        el("p", { class: "eyebrow", text: "infarct-vol review" }),
        el("h1", { text: study.name }),
        el("p", { class: "quiet", text: studyLine(study) }),
        made,
        other,
        el("p", { class: "quiet small", text: `Version ${version}. Everything stays on this computer.` }),
      ),
    );
    const empty = [...this.element.querySelectorAll("input")].find((one) => !one.value && one.type !== "radio");
    queueMicrotask(() => empty?.focus());
  }

  #signInForm() {
    const name = nameField(this.app.session.suggested ?? "", this.app.session.enrolled);
    const pass = passField("Passphrase", "current-password");
    const submit = async () => {
      await this.app.enter("/api/sign-in", { name: name.input.value.trim(), passphrase: pass.input.value });
    };
    return form("Sign in", [name, pass], submit);
  }

  #enrolForm() {
    const name = nameField(this.app.session.suggested ?? "", []);
    const roles = roleField();
    const pass = passField("Passphrase", "new-password");
    const again = passField("Passphrase once more", "new-password");
    const agreed = el("input", { type: "checkbox", required: true });
    const agree = { element: el("label", { class: "agree" }, agreed, el("span", { text: MEANING })), input: agreed };
    const submit = async () => {
      if (pass.input.value !== again.input.value) throw new Error("The two passphrases differ: type them again.");
      if (!agreed.checked) throw new Error("Confirm what a signature means.");
      const body = { name: name.input.value.trim(), role: roles.value(), passphrase: pass.input.value };
      await this.app.enter("/api/enrol", body);
    };
    return form("Enrol", [name, roles, pass, again, agree], submit);
  }
}

/** One line about how this study is read. */
export function studyLine(study) {
  const how = study.reads === 2 ? "two blinded readers and an adjudicator" : "open reading";
  return `${how}, ${String(study.blinding ?? "").toLowerCase()} to treatment`;
}

function form(label, fields, submit) {
  const problem = el("p", { class: "dialog-problem", role: "alert" });
  const send = el("button", { type: "submit", class: "button main" }, label);
  return el(
    "form",
    { class: "fields", novalidate: true, on: { submit: (event) => handle(event, { problem, send, submit, fields }) } },
    fields.map((one) => one.element),
    problem,
    send,
  );
}

async function handle(event, { problem, send, submit, fields }) {
  event.preventDefault();
  const empty = fields.find((one) => one.input?.type !== "checkbox" && one.input && !one.input.value.trim());
  problem.textContent = empty ? "Fill in every field." : "";
  if (empty) {
    empty.input.focus();
    return;
  }
  send.disabled = true;
  try {
    await submit();
  } catch (error) {
    problem.textContent = error.message;
    const pass = fields.find((one) => one.input?.type === "password");
    if (error.status === 401) pass.input.value = "";
    pass.input.focus();
  } finally {
    send.disabled = false;
  }
}

function nameField(value, known) {
  const input = el("input", { type: "text", autocomplete: "username", spellcheck: "false", value, maxlength: "100" });
  const list = el(
    "datalist",
    { id: "known-readers" },
    known.map((name) => el("option", { value: name })),
  );
  if (known.length) input.setAttribute("list", list.id);
  return { input, element: el("label", { class: "field" }, el("span", { text: "Name" }), input, list) };
}

function passField(label, autocomplete) {
  const input = el("input", { type: "password", autocomplete, maxlength: "512" });
  return { input, element: el("label", { class: "field" }, el("span", { text: label }), input) };
}

function roleField() {
  const one = (value, text, checked) => {
    const input = el("input", { type: "radio", name: "role", value, checked });
    return { input, element: el("label", { class: "choice" }, input, el("span", { text })) };
  };
  const reader = one("reader", "Reader: judges and corrects masks", true);
  const third = one("adjudicator", "Adjudicator: decides where two blinded readers differ", false);
  return {
    element: el("fieldset", { class: "field" }, el("legend", { text: "Role" }), reader.element, third.element),
    value: () => (third.input.checked ? "adjudicator" : "reader"),
  };
}

/**
 * Cover the page and ask the same reader for the passphrase; whatever is open stays as it is.
 * `enter(passphrase)` signs in; `leave()` gives the place to somebody else.
 */
export function askAgain(name, enter, leave) {
  const dialog = new Dialog("You were signed out", { mayClose: false, kind: "cover" });
  const pass = passField(`Passphrase of ${name}`, "current-password");
  dialog.body.append(
    el("p", { text: "There was no activity for a while, or the session ended. What is open is still here." }),
    pass.element,
  );
  dialog.action("Somebody else", async () => ((await leave()) ? true : undefined), { kind: "plain" });
  const go = async () => {
    await enter(pass.input.value);
    return true;
  };
  dialog.action("Sign in", go, { keys: "Enter", main: true });
  return dialog.open(pass.input);
}

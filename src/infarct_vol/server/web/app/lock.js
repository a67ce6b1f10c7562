// Locking and unlocking the study: a signature with name, meaning and time.

import { el } from "./dom.js";
import { Dialog } from "./dialog.js";
import { moment } from "./words.js";

const MEANING = "I have reviewed the masks and decisions of this study and release them for analysis.";

function passField() {
  return el("input", {
    type: "password",
    autocomplete: "current-password",
    maxlength: "512",
    "aria-label": "Passphrase",
  });
}

const field = (label, input) => el("label", { class: "field" }, el("span", { text: label }), input);

/** Sign and lock, or unlock with a reason; gives the new session, or null. */
export function lockDialog(app) {
  return app.session.lock ? unlock(app) : lock(app);
}

function lock(app) {
  const { session, worklist } = app;
  const { done, total } = worklist.progress;
  const dialog = new Dialog("Lock the study");
  const meaning = el("textarea", { rows: "2", maxlength: "200" }, MEANING);
  const pass = passField();
  const facts = [
    ["Name", session.reader.name],
    ...(session.study.name ? [["Study", session.study.name]] : []),
    ["Time", `${moment(new Date().toISOString())} (the server's time is what counts)`],
    ["Your cases", `${done} of ${total} done`],
  ];
  dialog.body.append(
    el("p", {
      text: "You sign all decisions, masks and tables as they are now, by their hashes. After that nothing can be changed until somebody unlocks the study with a reason.",
    }),
    done < total ? el("p", { class: "notice", text: `${total - done} of your cases are not done yet.` }) : "",
    el(
      "dl",
      { class: "facts" },
      facts.map(([name, value]) => el("div", {}, el("dt", { text: name }), el("dd", { text: value }))),
    ),
    field("What your signature means", meaning),
    field("Passphrase", pass),
  );
  const sign = () => {
    if (!meaning.value.trim()) throw new Error("Say what the signature means.");
    if (!pass.value) throw new Error("The passphrase is needed to sign.");
    dialog.working("Signing: the tables are brought up to date, then every file is hashed. This may take a minute.");
    return app.api.signIn("/api/lock", { passphrase: pass.value, meaning: meaning.value.trim() });
  };
  dialog.action("Sign and lock", sign, { keys: "Enter", main: true });
  return dialog.open(pass);
}

function unlock(app) {
  const { lock: held } = app.session;
  const dialog = new Dialog("Unlock the study");
  const reason = el("textarea", { rows: "2", maxlength: "1500" });
  const pass = passField();
  dialog.body.append(
    el("p", { text: `Locked by ${held.who}, ${moment(held.utc)}, entry ${held.sequence}.` }),
    el("blockquote", { text: held.meaning }),
    field("Reason (needed)", reason),
    field("Passphrase", pass),
  );
  const open = () => {
    if (!reason.value.trim()) throw new Error("A reason is needed.");
    if (!pass.value) throw new Error("The passphrase is needed to sign.");
    return app.api.signIn("/api/unlock", { passphrase: pass.value, reason: reason.value.trim() });
  };
  dialog.action("Unlock", open, { keys: "Enter", main: true });
  return dialog.open(reason);
}

// Short messages: what was saved, in the top bar; what failed, over the images, until it is closed.

import { el } from "./dom.js";

const STAY_MS = 4500;
const MOST = { messages: 1, alerts: 3 };

/** Say that something was done. */
export function tell(text) {
  return show("messages", text, "said");
}

/** Say that something failed or cannot be done; stays until closed. */
export function warn(text) {
  return show("alerts", text, "failed");
}

/** Say why a key does nothing now. */
export function hint(text) {
  return show("messages", text, "hint");
}

export function clearMessages() {
  for (const id of ["messages", "alerts"]) document.getElementById(id).replaceChildren();
}

function show(id, text, kind) {
  const place = document.getElementById(id);
  for (const old of [...place.children]) if (old.dataset.text === text) old.remove();
  const message = el(
    "div",
    { class: `message ${kind}`, dataset: { text } },
    el("span", { class: "message-text", text }),
    el("button", { type: "button", class: "close", "aria-label": "Close this message", on: { click: close } }, "×"),
  );
  function close() {
    message.remove();
  }
  place.append(message);
  while (place.children.length > MOST[id]) place.firstElementChild.remove();
  if (kind !== "failed") setTimeout(close, STAY_MS);
  return close;
}

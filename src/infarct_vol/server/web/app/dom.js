// Elements are made here and nowhere else: text goes in as text, never as markup.

/**
 * Make an element. Properties: `class`, `text`, `dataset`, `on` (event -> function), the rest are attributes;
 * an attribute that is null or false is left out, true is an empty one.
 */
export function el(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "class") element.className = value;
    else if (name === "text") element.textContent = value;
    else if (name === "dataset") Object.assign(element.dataset, value);
    else if (name === "on") for (const [event, act] of Object.entries(value)) element.addEventListener(event, act);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, String(value));
  }
  append(element, children);
  return element;
}

/** Append nodes and text; null and false are passed over, lists are opened. */
export function append(element, children) {
  for (const child of [children].flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
}

/** Put these children in the place of all others. */
export function fill(element, ...children) {
  element.replaceChildren();
  append(element, children);
  return element;
}

/** A real button; `keys` is the key that does the same and is shown on it. */
export function button(label, act, { keys = "", title = null, kind = "", disabled = false, ...rest } = {}) {
  return el(
    "button",
    { type: "button", class: `button ${kind}`.trim(), title, disabled, on: { click: act }, ...rest },
    el("span", { class: "button-label", text: label }),
    keys && el("kbd", { text: keys, "aria-hidden": "true" }),
  );
}

/** A small coloured word. */
export function chip(text, kind = "") {
  return el("span", { class: `chip ${kind}`.trim(), text });
}

/** Tell whether typing belongs to this element. */
export function isTextField(element) {
  if (!(element instanceof HTMLElement)) return false;
  if (element.isContentEditable || element.tagName === "TEXTAREA") return true;
  const free = ["checkbox", "radio", "range", "button", "submit", "file", "color"];
  return element.tagName === "INPUT" && !free.includes(element.type);
}

/** Scroll only the box that scrolls, so that the page itself never moves. */
export function reveal(element) {
  element?.scrollIntoView({ block: "nearest", inline: "nearest" });
}

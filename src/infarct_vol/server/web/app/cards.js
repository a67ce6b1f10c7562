// Cards of the right column: an image with its masks, components, versions and reads; a registration.

import { button, chip, el } from "./dom.js";
import { isOpen, nameOfMask, readDifference } from "./facts.js";
import { readWords, registrationFacts } from "./judging.js";
import { maskUrl } from "./store.js";
import { SOURCE_WORDS, TOOL_WORDS, VERDICT_WORDS, capital, isNumber, millilitres, moment, number, percent } from "./words.js";

/** An image of the visit. */
export function imageCard(column, item) {
  const { page } = column;
  const focused = page.target()?.item === item.item;
  const panel = page.view.panels.find((one) => one.id === item.panel);
  const part = { ...item, label: "" };
  return el(
    "section",
    { class: `card ${focused ? "focused" : ""}`, "aria-label": panel?.label ?? item.image },
    el(
      "h2",
      {},
      el(
        "button",
        { type: "button", class: "link", on: { click: () => page.focusPanel(item.panel) } },
        panel?.label ?? item.image.toUpperCase(),
      ),
    ),
    decisionLine(part, page.view.kind),
    (item.reads ?? []).length > 0 && readsBlock(column, item),
    item.masks.length > 0 && maskTable(item),
    componentList(column, item),
    versionList(column, item),
    fileButtons(column, item),
  );
}

function maskTable(item) {
  const rows = item.masks.map((mask) => {
    const changed = mask.source === "edited" && isNumber(mask.difference_ml);
    return el(
      "tr",
      {},
      el("th", { scope: "row" }, el("i", { class: `swatch ${mask.key}` }), nameOfMask(mask)),
      el("td", {}, el("b", { text: number(mask.volume_ml) })),
      el("td", { text: isNumber(mask.low) && isNumber(mask.high) ? `${number(mask.low)}–${number(mask.high)}` : "" }),
      el(
        "td",
        {},
        changed ? number(mask.difference_ml, { sign: true }) : (SOURCE_WORDS[mask.source] ?? mask.source),
      ),
    );
  });
  return el(
    "table",
    { class: "masks" },
    el(
      "thead",
      {},
      el(
        "tr",
        {},
        ["mask", "mL", "range", "change"].map((text) => el("th", { scope: "col", text })),
      ),
    ),
    el("tbody", {}, rows),
  );
}

function componentList(column, item) {
  const all = item.masks.flatMap((mask) => (mask.components ?? []).map((one) => ({ mask, ...one })));
  if (!all.length) return null;
  const rows = all.map((one) =>
    el(
      "li",
      {},
      el(
        "button",
        {
          type: "button",
          class: "component",
          title: "Go there. Slices are numbered as in the file, from 0.",
          on: { click: () => column.page.look("goToComponent", item.item, one.mask.key, one.number) },
        },
        el("i", { class: `swatch ${one.mask.key}` }),
        el("b", { text: one.number }),
        el("span", { class: "component-size", text: millilitres(one.volume_ml) }),
        el("span", { class: "component-slices", text: slicesOf(one) }),
        el("span", { class: "component-place", text: one.place ?? "" }),
      ),
    ),
  );
  const list = el("ul", { class: "components" }, rows);
  if (all.length <= 5) return list;
  return column.details(`components ${item.item}`, `${all.length} components`, list);
}

/** Slices as the file counts them, from 0, along its slice axis. */
function slicesOf({ slices, axis = 2 }) {
  if (!slices) return "";
  const [first, last] = slices;
  const plane = ["sagittal ", "coronal ", ""][axis];
  return first === last ? `${plane}slice ${first}` : `${plane}slices ${first}–${last}`;
}

function versionList(column, item) {
  const { page } = column;
  const versions = item.versions ?? [];
  if (!versions.length) return null;
  const edited = new Set(versions.map((one) => one.key));
  const first = item.masks
    .filter((mask) => edited.has(mask.key) && mask.automatic_sha256)
    .map((mask) => ({
      key: mask.key,
      sha256: mask.automatic_sha256,
      url: maskUrl(page.code, item.item, mask.key, mask.automatic_sha256),
      who: "",
      label: "automatic",
    }));
  const later = [...versions].reverse().map((one) => ({ ...one, label: `version of ${moment(one.utc)}` }));
  const rows = [...later, ...first].map((one) => {
    const inWork = item.masks.some((mask) => mask.key === one.key && mask.sha256 === one.sha256);
    const size = isNumber(one.volume_ml)
      ? `${millilitres(one.volume_ml)} (${millilitres(one.difference_ml, { sign: true })})`
      : "";
    return el(
      "li",
      { class: "version" },
      el(
        "button",
        {
          type: "button",
          class: "link",
          "aria-pressed": String(column.isShown(item.item, one.sha256)),
          title: "Show its contour",
          on: { click: () => column.showVersion(item.item, one) },
        },
        el("i", { class: `swatch ${one.key}` }),
        versionWords(one, item, page.view.kind),
      ),
      el("small", { text: [size, TOOL_WORDS[one.tool] ?? one.tool].filter(Boolean).join(" · ") }),
      inWork && chip("in work", "edited"),
      one.counts === false && chip("does not count", "stale"),
      one.reason && el("q", { text: one.reason }),
    );
  });
  return column.shown(
    `versions ${item.item}`,
    `Versions (${versions.length + first.length})`,
    el("ul", { class: "versions" }, rows),
  );
}

/** Who drew it and when; where the reader may not know who: whether it is the own mask or which read's. */
function versionWords(version, item, kind) {
  if (!version.tool) return "automatic mask";
  if (version.who) return `${version.who}, ${moment(version.utc)}`;
  const holds = (read) => (read.masks ?? []).some((one) => one.key === version.key && one.sha256 === version.sha256);
  const reads = (item.reads ?? []).filter(holds).map((read) => `Read ${read.number}`);
  if (reads.length) return reads.join(" and ");
  const whose = kind === "adjudication" ? "another mask" : "your mask";
  return version.utc ? `${whose}, ${moment(version.utc)}` : whose;
}

function fileButtons(column, item) {
  const { page } = column;
  const files = item.masks.flatMap((mask) => [
    button(`Download ${nameOfMask(mask)}`, () => page.files.download(item.item, mask.key)),
    button(`Upload ${nameOfMask(mask)} …`, () => page.files.choose(item, mask), {
      disabled: page.locked || page.editing.active,
    }),
  ]);
  const scan = button("Download the scan", () => page.files.download(item.item, "scan"));
  return column.details(`files ${item.item}`, "ITK-SNAP, 3D Slicer", el("div", { class: "file-buttons" }, scan, files));
}

/** Adjudication: both reads, what they differ by, and keys that take one. */
function readsBlock(column, item) {
  const { page } = column;
  const difference = readDifference(item.reads);
  const rows = item.reads.map((read) =>
    el(
      "li",
      { class: `read read-${read.number}` },
      el("i", { class: `swatch read${read.number}` }),
      el("span", { class: "read-name", text: `Read ${read.number}` }),
      el("b", { text: readWords(read) }),
      button("Take", () => page.judging.take({ ...item, label: capital(item.image) }, read.number), {
        keys: String(read.number),
        "aria-label": `Take read ${read.number}`,
        disabled: page.locked || page.editing.active,
      }),
      read.reason && el("q", { text: read.reason }),
    ),
  );
  const verdicts = new Set(item.reads.map((read) => VERDICT_WORDS[read.verdict]));
  const words = difference
    ? `They differ by ${millilitres(difference.ml)}, ${percent(difference.percent).replace("+", "")} of the mean.`
    : verdicts.size > 1
      ? `They differ in kind: ${[...verdicts].join(" and ")}.`
      : "";
  return el("div", { class: "reads" }, el("ul", {}, rows), el("p", { text: words }));
}

/** The registration of the visit to the baseline. */
export function registrationCard(column, part) {
  const { page } = column;
  const disabled = page.locked || page.editing.active;
  return el(
    "section",
    { class: "card", "aria-label": "Registration" },
    el(
      "h2",
      {},
      "Registration",
      button("Judge", () => page.judging.judgeRegistration(), { keys: "G", disabled }),
    ),
    decisionLine(part, page.view.kind),
    (part.reads ?? []).length > 0 && readsBlock(column, part),
    registrationFacts(part, (title, numbers) => column.details("registration numbers", title, numbers)),
  );
}

/** A decision in one line: what, who, when, why. */
function decisionLine(part, kind) {
  const { decision } = part;
  const waits = isOpen(part, kind);
  if (!decision) return waits ? el("p", { class: "decision" }, chip("to be judged", "todo")) : null;
  const why = part.stale ? "the input changed since: judge again" : waits ? "a newer mask waits for a decision" : "";
  return el(
    "p",
    { class: "decision" },
    chip(VERDICT_WORDS[decision.verdict], decision.verdict),
    el("small", { text: ` ${decision.who}, ${moment(decision.utc)}` }),
    decision.reason && el("q", { text: decision.reason }),
    why && el("strong", { class: "again", text: why }),
  );
}

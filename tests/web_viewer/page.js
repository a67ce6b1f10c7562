// The viewer alone on a page: loads /case.json and everything it names; keys for trying it by hand.

import { Viewer } from "/static/viewer/viewer.js";

const KEYS = {
  ArrowUp: "nextSlice", ArrowDown: "previousSlice", p: "nextPlane", m: "toggleMask", b: "toggleBaselineContour",
  v: "blink", x: "checkerboard", s: "swapSource", o: "mosaic", d: "threeD", f: "maximise", l: "nextComponent",
  t: "nextPanel", z: "resetView", "+": "zoomIn", "-": "zoomOut",
};

const told = { messages: [], changed: 0, edited: [] };
const viewer = new Viewer(document.getElementById("viewer"), {
  message: (text) => told.messages.push(text),
  changed: () => { told.changed += 1; },
  edited: (info) => told.edited.push(info),
});
document.addEventListener("securitypolicyviolation", (event) => {
  told.messages.push(`policy: ${event.violatedDirective} ${event.blockedURI.slice(0, 60)}`);
});

const caseView = await (await fetch("/case.json")).json();
const urls = [
  ...caseView.panels.map((panel) => panel.volume),
  ...caseView.visits.flatMap((visit) => visit.items.flatMap((item) => [
    ...item.masks.map((mask) => mask.url), ...item.reads.flatMap((read) => read.masks.map((mask) => mask.url)),
  ])),
];
const buffers = new Map();
await Promise.all(urls.map(async (url) => {
  const answer = await fetch(url);
  buffers.set(url, answer.ok ? await answer.arrayBuffer() : new Error(`not found (${answer.status})`));
}));
const began = performance.now();
viewer.show(caseView, buffers);
told.shown_ms = performance.now() - began;
document.addEventListener("keydown", (event) => viewer.commands[KEYS[event.key]]?.());
Object.assign(window, { viewer, told, caseView, buffers });
document.body.dataset.ready = "yes";

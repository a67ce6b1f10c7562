// The viewer: all images of a case side by side on linked crosshairs, contours, comparison and editing.

import { COLOURS } from "./colours.js";
import { makeCommands } from "./commands.js";
import { Editor } from "./editor.js";
import { presetWindow } from "./grey.js";
import { boxes } from "./layout.js";
import { buildCase, Layer, openingPlace, partnersOf } from "./model.js";
import { Mosaic } from "./mosaic.js";
import { Panel } from "./panel.js";
import { headCentre, headSize, Place } from "./place.js";
import { listenOn } from "./pointer.js";
import { planeOfAxis } from "./slices.js";
import { ThreeD } from "./threed.js";
import { parseNifti } from "./volume.js";

const BLINK_MS = 600;
const TOGGLES = { mask: true, parts: true, baseline: false, crosshair: true, maximised: false };
const SWITCH_OF = { mask: "mask", part: "parts", read: "mask", edit: "mask", extra: "mask", baseline: "baseline" };

export { COLOURS };

/**
 * Shows one case in an element.
 *
 * callbacks, all optional: `changed(state)` after anything the reader sees of the state changed,
 * `edited(info|null)` while a mask is edited, `message(text)` to be shown to the reader.
 */
export class Viewer {
  constructor(root, callbacks = {}) {
    this.root = root;
    this.callbacks = callbacks;
    root.classList.add("iv-viewer");
    this.model = null;
    this.panels = [];
    this.focused = null;
    this.plane = planeOfAxis(2);
    this.smooth = true;
    this.toggles = { ...TOGGLES };
    this.windows = new Map();
    this.compare = { name: "plain", phase: 0, partner: 0, timer: 0 };
    this.extra = [];
    this.px_per_mm = 1;
    this.dirty = new Set();
    this.frameAsked = 0;
    this.edit = new Editor(this);
    this.mosaic = new Mosaic(this);
    this.solid = new ThreeD(this);
    this.commands = makeCommands(this);
    new ResizeObserver(() => this.layout()).observe(root);
  }

  /**
   * Show a case at once.
   * @param {object} caseView as the server gives it
   * @param {Map<string, ArrayBuffer|Error>} buffers by URL; an Error is shown on its panel
   * @param {{keepPlace?: boolean}} options keep position, zoom, windows and an open edit of the same case
   */
  show(caseView, buffers, { keepPlace = false } = {}) {
    const model = buildCase(caseView, buffers);
    const same = keepPlace && this.model?.caseView.code === caseView.code;
    const before = new Map(this.panels.map((panel) => [panel.id, panel.place]));
    const focusedId = this.focused?.id;
    this.#forget(same);
    this.model = model;
    if (same) this.edit.rebind(model);
    const reference = model.panels.find((p) => p.spec.id === caseView.reference && p.volume);
    const first = reference ?? model.panels.find((p) => p.volume);
    if (first && !same) this.plane = planeOfAxis(first.spec.slice_axis ?? 2);
    const linked = first ? placeOf(model, first) : new Place([0, 0, 0], [0, 0, 0]);
    this.panels = model.panels.map((data) => {
      const own = data.spec.linked === false && data.volume ? placeOf(model, data) : linked;
      return new Panel(this, data, (same && before.get(data.spec.id)) || own);
    });
    this.root.replaceChildren(...this.panels.map((panel) => panel.box));
    this.panels.forEach(listenOn);
    this.focusById(same ? focusedId : first?.spec.id);
    this.layout();
  }

  #forget(same) {
    this.mosaic.close();
    this.solid.close();
    if (same) return;
    this.edit.stop();
    this.extra = [];
    this.windows.clear();
    this.toggles.maximised = false;
    this.setCompare("plain");
  }

  /** Take everything off the screen; an edit that is not saved is gone. */
  clear() {
    this.#forget(false);
    this.model = null;
    this.panels = [];
    this.focused = null;
    this.root.replaceChildren();
  }

  /** What tests and the page ask for. */
  state() {
    const panel = this.focused?.volume ? this.focused : null;
    return {
      code: this.model?.caseView.code ?? null,
      focused: this.focused?.id ?? null,
      plane: this.plane.name,
      slice: panel ? panel.index : null,
      sliceNumber: panel ? panel.numberOf(panel.index) : null,
      slices: panel ? panel.volume.shape[this.plane.axis] : null,
      window: panel ? this.windowOf(panel) : null,
      windowName: panel ? windowName(this.windows.get(panel.data.spec.modality)) : null,
      mm: panel ? [...panel.place.mm] : null,
      voxel: panel ? panel.volume.toVoxel(panel.place.mm).map(Math.round) : null,
      zoom: panel ? panel.place.zoom : null,
      toggles: { ...this.toggles, smooth: this.smooth, mosaic: this.mosaic.open, threeD: this.solid.open },
      compare: { name: this.compare.name, phase: this.compare.phase, partner: this.partner()?.spec.id ?? null },
      edit: this.edit.info(),
    };
  }

  /** Canvas of a panel by the panel's id. */
  panelCanvas(id) {
    return this.panels.find((panel) => panel.id === id)?.canvas ?? null;
  }

  /** Voxel of a panel -> point of its canvas in CSS pixels; for tests. */
  pointOf(id, voxel) {
    return this.panels.find((panel) => panel.id === id).pointOf(voxel);
  }

  /**
   * Show a further contour of an item, such as an earlier version; null takes it away again.
   * @param {ArrayBuffer|null} buffer the mask's file
   */
  showContour(itemId, key, buffer, { label = "version", colour = COLOURS.automatic, dashed = false } = {}) {
    this.extra = this.extra.filter((one) => one.item !== itemId || one.key !== key);
    if (buffer) {
      const sent = parseNifti(buffer);
      const panel = this.model.items.find((one) => one.id === itemId)?.panel;
      const mask = panel?.volume ? panel.volume.whole(sent) : sent;
      if (!mask) throw new Error(`${label}: is on another grid`);
      this.extra.push(new Layer("extra", mask, { item: itemId, key, label, colour, dashed }));
    }
    this.redraw();
  }

  /** Contours that are switched on for a panel, in the order they are drawn. */
  layersOf(panel) {
    const own = new Set(panel.data.items.map((item) => item.id));
    const all = [...panel.data.layers, ...this.extra.filter((layer) => own.has(layer.item))];
    const edit = this.edit.layerOn(panel);
    if (edit) all.push(edit);
    // a part is shown only where the mask is, too
    return all.filter((layer) => this.toggles[SWITCH_OF[layer.kind]] && (layer.kind !== "part" || this.toggles.mask));
  }

  /** Image that the focused panel is compared with. */
  partner() {
    const all = this.focused && this.model ? partnersOf(this.model, this.focused.data) : [];
    return all.length ? all[this.compare.partner % all.length] : null;
  }

  /** How a panel's image is drawn now: plain, or with the partner. */
  modeOf(panel) {
    const { name, phase } = this.compare;
    const partner = panel === this.focused && name !== "plain" ? this.partner() : null;
    if (!partner || (name === "blink" && !phase)) return { name: "plain", key: "" };
    const limits = this.windowOfData(partner);
    const key = [name, partner.spec.id, ...limits].join();
    return { name, key, label: partner.spec.label ?? partner.spec.id, partner: { volume: partner.volume, limits } };
  }

  /** Compare the focused panel: "plain", "blink" or "checkerboard". */
  setCompare(name) {
    clearInterval(this.compare.timer);
    this.compare.name = name;
    this.compare.phase = name === "blink" ? 1 : 0;
    if (name === "plain") this.compare.partner = 0;
    if (name === "blink") this.compare.timer = setInterval(() => this.#blink(), BLINK_MS);
    this.changed();
  }

  #blink() {
    this.compare.phase = 1 - this.compare.phase;
    this.redraw(this.focused);
  }

  /** Black and white of a panel. */
  windowOf(panel) {
    return this.windowOfData(panel.data);
  }

  /** Black and white of a part of the case; images of one modality are changed together. */
  windowOfData(data) {
    const chosen = this.windows.get(data.spec.modality);
    if (chosen?.name && data.volume) return presetWindow(data.volume, chosen.name);
    const [low, high] = data.auto;
    const [a, b] = chosen?.share ?? [0, 1];
    return [low + a * (high - low), low + b * (high - low)];
  }

  /** Set black and white of a panel; the others of its modality follow in proportion. */
  setWindow(panel, [low, high]) {
    const [from, to] = panel.data.auto;
    const share = [low, high].map((value) => (value - from) / (to - from || 1));
    this.windows.set(panel.data.spec.modality, { share });
    this.changed();
  }

  /** Put the crosshair on a voxel of a panel; linked panels follow. */
  moveTo(panel, voxel) {
    const on = voxel.map((v, a) => Math.min(panel.volume.shape[a] - 0.5, Math.max(-0.5, v)));
    panel.place.mm = panel.volume.toMm(on);
    this.changed();
  }

  /** Go a number of slices of a panel up (or down). */
  step(panel, count) {
    if (!panel?.volume) return;
    const voxel = panel.volume.toVoxel(panel.place.mm);
    const { axis } = this.plane;
    voxel[axis] = Math.min(panel.volume.shape[axis] - 1, Math.max(0, panel.index + count));
    panel.place.mm = panel.volume.toMm(voxel);
    this.changed();
  }

  /** Zoom the panels of a place; `fixed` (mm) stays where it is. */
  zoomBy(panel, steps, fixed) {
    if (!panel?.volume) return;
    panel.place.zoomBy(steps, fixed ?? panel.place.mm);
    this.changed();
  }

  /** Move the image by mm. */
  shift(panel, by) {
    panel.place.centre = panel.place.centre.map((c, a) => c + by[a]);
    this.changed();
  }

  focus(panel) {
    if (!panel || panel === this.focused) return;
    const before = this.focused;
    this.focused = panel;
    before?.box.classList.remove("iv-focused");
    panel.box.classList.add("iv-focused");
    if (this.toggles.maximised) this.layout();
    this.changed();
  }

  focusById(id) {
    this.focus(this.panels.find((panel) => panel.id === id) ?? this.panels[0]);
  }

  /** Fit the panels into the root and draw them. */
  layout() {
    const { clientWidth: width, clientHeight: height } = this.root;
    if (!this.panels.length || !width || !height) return;
    const sizes = this.panels.filter((p) => p.volume).map((p) => headSize(p.volume, p.data.auto, this.plane));
    const wide = Math.max(1, ...sizes.map((size) => size[0]));
    const high = Math.max(1, ...sizes.map((size) => size[1]));
    const shown = this.toggles.maximised ? [this.focused] : this.panels;
    const places = boxes(shown.length, width, height, wide / high);
    this.px_per_mm = Math.min(places[0][2] / wide, (places[0][3] - 30) / high);
    for (const panel of this.panels) panel.box.hidden = !shown.includes(panel);
    shown.forEach((panel, at) => panel.setBox(...places[at]));
    this.mosaic.resize();
    this.drawNow();
    this.tellChanged();
  }

  /** Draw one panel, or all, in the next frame. */
  redraw(panel) {
    for (const each of panel ? [panel] : this.panels) this.dirty.add(each);
    this.frameAsked ||= requestAnimationFrame(() => this.#frame());
  }

  #frame() {
    this.frameAsked = 0;
    const waiting = [...this.dirty];
    this.dirty.clear();
    for (const panel of waiting) if (!panel.box.hidden && panel.size[0]) panel.draw();
    if (this.asked) this.tellChanged();
  }

  /** Draw all panels at once, without waiting for a frame. */
  drawNow() {
    this.panels.forEach((panel) => this.dirty.add(panel));
    cancelAnimationFrame(this.frameAsked);
    this.#frame();
  }

  changed() {
    this.asked = true;
    this.redraw();
  }

  tellChanged() {
    this.asked = false;
    this.callbacks.changed?.(this.state());
  }

  /** The editor tells of a change. */
  edited() {
    this.changed();
    this.callbacks.edited?.(this.edit.info());
  }

  say(text) {
    this.callbacks.message?.(text);
  }
}

/** "auto", a preset, or "own" for what was set with the mouse. */
const windowName = (chosen) => (chosen ? (chosen.name ?? "own") : "auto");

function placeOf(model, data) {
  const centre = headCentre(data.volume, data.auto);
  return new Place(openingPlace(model, data) ?? centre, centre);
}

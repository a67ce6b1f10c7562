// One image on one canvas: slice, contours, crosshair, words.

import { paintCheckerboard, paintPartner } from "./compare.js";
import { COLOURS } from "./colours.js";
import { outlines } from "./contour.js";
import { fitted, strokeCrosshair, strokeOutlines, write, writeLetters, writeLines, writeScale } from "./draw.js";
import { fromSlice, maskSlice, paintSlice, sliceSize, toSlice } from "./slices.js";

const FILL_ALPHA = 26;
// pixels are written by hand for every slice; sending them to a graphics card and back would cost more
const IN_MEMORY = { willReadFrequently: true };

/** A panel of the viewer. `data` is its part of the case (model.js), `place` where it stands (place.js). */
export class Panel {
  constructor(viewer, data, place) {
    this.viewer = viewer;
    this.data = data;
    this.place = place;
    this.volume = data.volume;
    this.id = data.spec.id;
    this.box = document.createElement("div");
    this.box.className = "iv-panel";
    this.canvas = document.createElement("canvas");
    this.canvas.setAttribute("role", "img");
    this.canvas.setAttribute("aria-label", data.spec.label ?? this.id);
    this.canvas.dataset.panel = this.id;
    this.box.append(this.canvas);
    this.size = [0, 0];
    this.image = document.createElement("canvas");
    this.tint = document.createElement("canvas");
    this.painted = "";
    this.traced = new WeakMap();
    this.pointer = null;
    this.pixels = null;
  }

  get plane() {
    return this.viewer.plane;
  }

  /** Slice that the place is in, kept on the grid. */
  get index() {
    const most = this.volume.shape[this.plane.axis] - 1;
    return Math.min(most, Math.max(0, Math.round(this.volume.toVoxel(this.place.mm)[this.plane.axis])));
  }

  /** Number of a slice as the file counts it, from 0; the table of components counts the same way. */
  numberOf(index) {
    const { axis } = this.plane;
    return this.data.spec.backwards?.[axis] ? this.volume.shape[axis] - 1 - index : index;
  }

  get px_per_mm() {
    return this.viewer.px_per_mm * this.place.zoom;
  }

  /** Where the slice lies on the screen. */
  get frame() {
    const middle = toSlice(this.volume, this.plane, this.volume.toVoxel(this.place.centre));
    const column_px = this.volume.spacing_mm[this.plane.column] * this.px_per_mm;
    const row_px = this.volume.spacing_mm[this.plane.row] * this.px_per_mm;
    const [width, height] = this.size;
    return { left: width / 2 - middle[0] * column_px, top: height / 2 - middle[1] * row_px, column_px, row_px };
  }

  /** Point of the canvas (CSS pixels) -> fractional voxel of the slice shown. */
  voxelAt(x, y) {
    const { left, top, column_px, row_px } = this.frame;
    return fromSlice(this.volume, this.plane, this.index, (x - left) / column_px, (y - top) / row_px);
  }

  /** Voxel -> point of the canvas (CSS pixels). */
  pointOf(voxel) {
    const { left, top, column_px, row_px } = this.frame;
    const [column, row] = toSlice(this.volume, this.plane, voxel);
    return [left + column * column_px, top + row * row_px];
  }

  /** Give the panel its place in the viewer, in CSS pixels. */
  setBox(left, top, width, height) {
    const { style } = this.box;
    style.left = `${left}px`;
    style.top = `${top}px`;
    style.width = `${width}px`;
    style.height = `${height}px`;
    this.size = [width, height];
    const ratio = window.devicePixelRatio || 1;
    this.canvas.width = Math.round(width * ratio);
    this.canvas.height = Math.round(height * ratio);
  }

  /** Draw everything anew. */
  draw() {
    const context = this.canvas.getContext("2d", IN_MEMORY);
    const ratio = window.devicePixelRatio || 1;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.fillStyle = "#000";
    context.fillRect(0, 0, ...this.size);
    if (!this.volume) {
      this.#title(context);
      writeLines(context, `cannot be shown: ${this.data.error}`, 8, 40, this.size[0] - 16, { colour: COLOURS.alarm });
      return;
    }
    this.#drawImage(context);
    this.#drawLayers(context);
    if (this.viewer.toggles.crosshair && !this.viewer.edit.isOn(this)) {
      strokeCrosshair(context, this.pointOf(this.volume.toVoxel(this.place.mm)), this.size);
    }
    this.#drawRing(context);
    writeLetters(context, this.volume, this.plane, this.size);
    writeScale(context, this.px_per_mm, this.size);
    this.#title(context);
    this.#foot(context);
    this.#legend(context);
  }

  #drawImage(context) {
    const [columns, rows] = sliceSize(this.volume, this.plane);
    const mode = this.viewer.modeOf(this);
    const key = [this.plane.name, this.index, this.viewer.windowOf(this), mode.key].join();
    if (key !== this.painted) {
      this.painted = key;
      if (this.pixels?.width !== columns || this.pixels.height !== rows) {
        this.pixels = new ImageData(columns, rows);
        this.image.width = columns;
        this.image.height = rows;
      }
      this.#paint(mode, new Uint32Array(this.pixels.data.buffer));
      this.image.getContext("2d", IN_MEMORY).putImageData(this.pixels, 0, 0);
    }
    const { left, top, column_px, row_px } = this.frame;
    context.imageSmoothingEnabled = this.viewer.smooth && !this.viewer.edit.isOn(this);
    context.drawImage(this.image, left, top, columns * column_px, rows * row_px);
  }

  #paint(mode, pixels) {
    const own = { volume: this.volume, limits: this.viewer.windowOf(this) };
    if (mode.name === "checkerboard") {
      paintCheckerboard(this.volume, this.plane, this.index, own, mode.partner, pixels);
    } else if (mode.name === "blink") {
      paintPartner(this.volume, this.plane, this.index, mode.partner.volume, mode.partner.limits, pixels);
    } else paintSlice(this.volume, this.plane, this.index, own.limits, pixels);
  }

  #drawLayers(context) {
    for (const layer of this.viewer.layersOf(this)) {
      const { lines, bytes } = this.#traceOf(layer);
      if (!lines.length) continue;
      if (layer.filled) this.#fill(context, bytes, layer.colour);
      strokeOutlines(context, lines, this.frame, layer);
    }
  }

  /** Outlines of a layer in the slice shown; kept until the slice or the mask changes. */
  #traceOf(layer) {
    const key = [layer.version, this.plane.name, this.index].join();
    const kept = this.traced.get(layer);
    if (kept?.key === key) return kept;
    const bytes = maskSlice(this.volume, this.plane, this.index, layer.mask);
    const made = { key, bytes, lines: outlines(bytes, ...sliceSize(this.volume, this.plane)) };
    this.traced.set(layer, made);
    return made;
  }

  #fill(context, bytes, colour) {
    const [columns, rows] = sliceSize(this.volume, this.plane);
    const { left, top, column_px, row_px } = this.frame;
    const channels = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
    const word = (FILL_ALPHA << 24) | (channels[2] << 16) | (channels[1] << 8) | channels[0];
    const pixels = new ImageData(columns, rows);
    const words = new Uint32Array(pixels.data.buffer);
    for (let at = 0; at < bytes.length; at++) if (bytes[at]) words[at] = word;
    this.tint.width = columns;
    this.tint.height = rows;
    this.tint.getContext("2d", IN_MEMORY).putImageData(pixels, 0, 0);
    context.imageSmoothingEnabled = false;
    context.drawImage(this.tint, left, top, columns * column_px, rows * row_px);
  }

  #drawRing(context) {
    const ring = this.pointer && this.viewer.edit.ringOn(this);
    if (!ring) return;
    const [x, y] = this.pointer;
    context.save();
    context.strokeStyle = ring.colour;
    context.lineWidth = 1.5;
    context.beginPath();
    context.arc(x, y, Math.max(2, ring.radius_mm * this.px_per_mm), 0, 2 * Math.PI);
    context.stroke();
    context.restore();
  }

  #title(context) {
    const { spec } = this.data;
    const mode = this.viewer.modeOf(this);
    const words = mode.name === "blink" ? mode.label : (spec.label ?? this.id);
    const colour = mode.name === "blink" ? COLOURS.baseline : COLOURS.text;
    const width = this.size[0] - 92;
    write(context, fitted(context, words, width, 12, true), 8, 12, { size: 12, bold: true, colour });
    let y = 28;
    if (mode.name === "checkerboard") y = writeLines(context, `violet squares: ${mode.label}`, 8, y, width, { size: 10, colour: COLOURS.baseline });
    const own = spec.linked === false ? ["not linked: own position"] : [];
    for (const note of [...own, spec.note, ...this.data.problems].filter(Boolean)) {
      y = writeLines(context, note, 8, y, width, { size: 10, colour: COLOURS.alarm });
    }
  }

  #foot(context) {
    const { axis } = this.plane;
    const [low, high] = this.viewer.windowOf(this);
    const fractional = this.volume.toVoxel(this.place.mm)[axis];
    const most = this.volume.shape[axis] - 1;
    const outside = fractional < -0.5 || fractional > most + 0.5;
    const mm = this.place.mm[axis];
    const words = `${"xyz"[axis]} ${mm < 0 ? "−" : "+"}${Math.abs(mm).toFixed(1)} mm`;
    const size = this.size[1] < 220 ? 10 : 11;
    write(context, `W ${short(high - low)}  L ${short((low + high) / 2)}`, 8, this.size[1] - 26, { size, colour: COLOURS.quiet });
    write(context, `${this.numberOf(this.index)} of 0–${most}  ${words}`, 8, this.size[1] - 11, { size });
    if (outside) write(context, "outside this image", 8, this.size[1] - 41, { size, colour: COLOURS.alarm });
  }

  /** Names of the contours that are in this slice, in their colours. */
  #legend(context) {
    let y = 12;
    for (const layer of this.viewer.layersOf(this)) {
      if (!this.#traceOf(layer).lines.length) continue;
      const words = fitted(context, layer.label, 84, 10);
      write(context, words, this.size[0] - 8, y, { size: 10, align: "right", colour: layer.colour });
      y += 13;
    }
  }
}

/** A number with about three digits. */
export function short(value) {
  const size = Math.abs(value);
  return size >= 100 || size === 0 ? value.toFixed(0) : size >= 1 ? value.toFixed(1) : value.toPrecision(2);
}

// All slices with lesion of the focused image side by side; a click goes to its slice.

import { outlines } from "./contour.js";
import { strokeOutlines, write } from "./draw.js";
import { headBox } from "./grey.js";
import { boxes } from "./layout.js";
import { maskSlice, paintSlice, sliceSize, slicesWith, toSlice } from "./slices.js";

const MOST = 48;
const WITHOUT_LESION = 24;

/** The mosaic over the panels of a viewer; it shows the slices with lesion and one more at either end. */
export class Mosaic {
  constructor(viewer) {
    this.viewer = viewer;
    this.open = false;
  }

  toggle() {
    if (this.open) this.close();
    else this.#show();
  }

  close() {
    if (!this.open) return;
    this.open = false;
    this.box.remove();
    this.viewer.changed();
  }

  /** Fit the size of the viewer. */
  resize() {
    if (this.open) this.#draw();
  }

  #show() {
    this.panel = this.viewer.focused;
    if (!this.panel?.volume) return;
    this.open = true;
    this.box = document.createElement("div");
    this.box.className = "iv-over";
    this.canvas = document.createElement("canvas");
    this.canvas.setAttribute("aria-label", `mosaic of ${this.panel.data.spec.label ?? this.panel.id}`);
    this.canvas.addEventListener("click", (event) => this.#pick(event));
    this.box.append(this.canvas);
    this.viewer.root.append(this.box);
    this.#draw();
    this.viewer.changed();
  }

  /** Slices shown, from the lowest index to the highest. */
  get slices() {
    const { panel, viewer } = this;
    const count = panel.volume.shape[viewer.plane.axis];
    const found = new Set();
    for (const layer of viewer.layersOf(panel)) {
      if (layer.kind === "baseline" || !panel.volume.sameGrid(layer.mask)) continue;
      for (const n of slicesWith(layer.mask, viewer.plane)) [n - 1, n, n + 1].forEach((m) => found.add(m));
    }
    const hits = [...found].filter((n) => n >= 0 && n < count).sort((a, b) => a - b);
    if (!hits.length) return spread([...Array(count).keys()], WITHOUT_LESION);
    return spread(hits, MOST);
  }

  #draw() {
    const { viewer, panel, canvas } = this;
    const { clientWidth: width, clientHeight: height } = viewer.root;
    const ratio = window.devicePixelRatio || 1;
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    const crop = cropOf(panel, viewer.plane);
    const top = 26;
    const slices = this.slices;
    const places = boxes(slices.length, width, height - top, crop.width_mm / crop.height_mm);
    this.tiles = slices.map((index, at) => ({ index, box: [places[at][0], places[at][1] + top, places[at][2], places[at][3]] }));
    for (const tile of this.tiles) this.#tile(context, tile, crop);
    const words = `${panel.data.spec.label ?? panel.id}: ${slices.length} ${viewer.plane.name} slices; a click goes there`;
    write(context, words, 8, 13, { size: 12, bold: true });
  }

  #tile(context, { index, box: [left, top, width, height] }, crop) {
    const { panel, viewer } = this;
    const { plane } = viewer;
    const [columns, rows] = sliceSize(panel.volume, plane);
    const pixels = new ImageData(columns, rows);
    paintSlice(panel.volume, plane, index, viewer.windowOf(panel), new Uint32Array(pixels.data.buffer));
    panel.tint.width = columns;
    panel.tint.height = rows;
    panel.tint.getContext("2d", { willReadFrequently: true }).putImageData(pixels, 0, 0);
    const scale = Math.min(width / crop.width_mm, height / crop.height_mm);
    const frame = {
      column_px: panel.volume.spacing_mm[plane.column] * scale,
      row_px: panel.volume.spacing_mm[plane.row] * scale,
    };
    frame.left = left + width / 2 - crop.middle[0] * frame.column_px;
    frame.top = top + height / 2 - crop.middle[1] * frame.row_px;
    context.save();
    context.beginPath();
    context.rect(left, top, width, height);
    context.clip();
    context.drawImage(panel.tint, frame.left, frame.top, columns * frame.column_px, rows * frame.row_px);
    for (const layer of viewer.layersOf(panel)) {
      const lines = outlines(maskSlice(panel.volume, plane, index, layer.mask), columns, rows);
      strokeOutlines(context, lines, frame, { ...layer, width: 1.2 });
    }
    write(context, String(panel.numberOf(index)), left + 5, top + 10, { size: 10 });
    context.restore();
  }

  #pick(event) {
    const bounds = this.canvas.getBoundingClientRect();
    const [x, y] = [event.clientX - bounds.left, event.clientY - bounds.top];
    const hit = this.tiles.find(({ box: [l, t, w, h] }) => x >= l && y >= t && x < l + w && y < t + h);
    this.close();
    if (hit) this.viewer.step(this.panel, hit.index - this.panel.index);
  }
}

/** The head in a plane: middle in columns and rows, width and height in mm. */
function cropOf(panel, plane) {
  const box = headBox(panel.volume, panel.data.auto);
  const middle = toSlice(panel.volume, plane, box.map(([low, high]) => (low + high) / 2));
  const [width_mm, height_mm] = [plane.column, plane.row].map(
    (axis) => (box[axis][1] - box[axis][0] + 3) * panel.volume.spacing_mm[axis],
  );
  return { middle, width_mm, height_mm };
}

/** At most so many of a list, evenly spread, the ends kept. */
function spread(list, most) {
  if (list.length <= most) return list;
  return Array.from({ length: most }, (_, n) => list[Math.round((n * (list.length - 1)) / (most - 1))]);
}

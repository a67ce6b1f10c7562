// Correcting a mask on its own grid: voxels are turned on and off, never resampled.

import { COLOURS } from "./colours.js";
import { percentile } from "./grey.js";
import { Layer } from "./model.js";
import { Strokes } from "./strokes.js";
import { brushVoxels, componentAt, holesAt, strokePoints } from "./tools.js";

export const TOOLS = ["paint", "erase", "threshold", "fill", "remove"];
const PARTS = ["cavity", "new_lesion"];
const BRUSHES = ["paint", "erase", "threshold"];
const REFUSED = {
  part: "Not painted: a cavity lies inside the infarct. Draw the infarct first.",
  fill: "Nothing filled: the place is not enclosed by the mask in this slice.",
  remove: "Nothing removed: there is no component under the pointer.",
};

/** The editing of one mask at a time. Changes are told by `viewer.callbacks.edited`. */
export class Editor {
  #tool = "paint";
  #radius_mm = 4;
  #three_d = false;
  #range = [0, 0];

  constructor(viewer) {
    this.viewer = viewer;
    this.session = null;
    this.stroke = null;
    this.refused = 0;
  }

  get active() {
    return this.session !== null;
  }

  get item() {
    return this.session?.item.id ?? null;
  }

  get key() {
    return this.session?.key ?? null;
  }

  /** SHA-256 of the mask the editing began with; null if there was none. */
  get parent_sha256() {
    return this.session?.parent_sha256 ?? null;
  }

  get tool() {
    return this.#tool;
  }

  set tool(name) {
    if (!TOOLS.includes(name)) throw new Error(`tool is one of ${TOOLS.join(", ")}, got ${name}`);
    this.#tool = name;
    this.#tell();
  }

  get radius_mm() {
    return this.#radius_mm;
  }

  set radius_mm(radius) {
    this.#radius_mm = Math.min(50, Math.max(0.5, Number(radius) || 0.5));
    this.#tell();
  }

  /** True: the brush is a ball over several slices; false: a disc in the slice shown. */
  get three_d() {
    return this.#three_d;
  }

  set three_d(on) {
    this.#three_d = Boolean(on);
    this.#tell();
  }

  /** Least and greatest value that the threshold tool paints, in units of the image. */
  get range() {
    return [...this.#range];
  }

  set range([low, high]) {
    this.#range = [Math.min(low, high), Math.max(low, high)];
    this.#tell();
  }

  /** True if a voxel differs from the mask the editing began with. */
  get dirty() {
    return (this.session?.changed ?? 0) > 0;
  }

  get volume_ml() {
    return this.session ? this.session.count * this.session.grid.voxel_ml : 0;
  }

  /** mL more (or less, negative) than the mask the editing began with. */
  get difference_ml() {
    return this.session ? (this.session.count - this.session.began) * this.session.grid.voxel_ml : 0;
  }

  /**
   * Begin to edit a mask of an item; one that does not exist yet begins empty.
   * @throws {Error} if the item has no image on a panel, or another edit is not saved
   */
  start(itemId, key) {
    if (this.dirty) throw new Error("the edit that is open is not saved; save or cancel it first");
    const item = this.viewer.model?.items.find((one) => one.id === itemId);
    if (!item?.panel?.volume) throw new Error(`${itemId} has no image to draw on`);
    this.stop();
    const grid = item.panel.volume;
    const kept = item.masks.get(key);
    const original = kept ? Uint8Array.from(kept.volume.data, (v) => (v ? 1 : 0)) : new Uint8Array(grid.data.length);
    const mask = grid.withData(original.slice());
    const count = original.reduce((sum, v) => sum + v, 0);
    const label = `edit: ${PARTS.includes(key) ? key.replace("_", " ") : "infarct"}`;
    const layer = new Layer("edit", mask, { item: itemId, key, label, colour: COLOURS.edit, filled: true });
    const parent_sha256 = kept?.spec.sha256 ?? null;
    this.session = { item, key, grid, mask, original, layer, count, began: count, changed: 0, parent_sha256 };
    this.session.strokes = new Strokes();
    this.#range = lesionRange(grid, original, this.viewer.windowOfData(item.panel));
    this.viewer.focusById(item.panel.spec.id);
    this.#tell();
  }

  /** End the editing; what is not saved is gone. */
  stop() {
    if (!this.session) return;
    this.session = null;
    this.stroke = null;
    this.#tell();
  }

  /** Bind the editing to a case that was read anew; it ends if its image is gone or on another grid. */
  rebind(model) {
    if (!this.session) return;
    const item = model.items.find((one) => one.id === this.item);
    if (!item?.panel?.volume || !item.panel.volume.sameGrid(this.session.grid)) this.stop();
    else this.session.item = item;
  }

  /** Voxels as they are now: bytes 0 or 1, i fastest; a copy. */
  voxels() {
    return this.session ? this.session.mask.data.slice() : null;
  }

  undo() {
    this.#turn(this.session?.strokes.undo());
  }

  redo() {
    this.#turn(this.session?.strokes.redo());
  }

  /** What the page shows of the editing; null when nothing is edited. */
  info() {
    if (!this.session) return null;
    const { item, key, strokes } = this.session;
    return {
      item: item.id,
      key,
      panel: item.panel.spec.id,
      tool: this.tool,
      radius_mm: this.radius_mm,
      three_d: this.three_d,
      range: this.range,
      dirty: this.dirty,
      volume_ml: this.volume_ml,
      difference_ml: this.difference_ml,
      voxels: this.session.count,
      refused: this.refused,
      canUndo: strokes.done.length > 0,
      canRedo: strokes.undone.length > 0,
      parent_sha256: this.parent_sha256,
    };
  }

  /** True if a panel shows the image whose mask is edited. */
  isOn(panel) {
    return this.session?.item.panel === panel.data;
  }

  /** The layer of the edit on a panel; it is also shown where the mask itself would be. */
  layerOn(panel) {
    if (!this.session) return null;
    const shown = this.isOn(panel) || panel.data.layers.some((l) => l.item === this.item && l.kind === "mask");
    return shown ? this.session.layer : null;
  }

  /** Ring around the pointer: radius and colour; null when the tool needs none. */
  ringOn(panel) {
    if (!this.isOn(panel)) return null;
    const colour = this.stroke?.refused ? COLOURS.alarm : this.tool === "erase" ? "#ffffff" : COLOURS.edit;
    return { radius_mm: BRUSHES.includes(this.tool) ? this.radius_mm : 0, colour };
  }

  /** Pointer pressed at a fractional voxel. */
  down(panel, voxel) {
    this.stroke = { voxels: [], last: voxel, refused: 0 };
    if (this.tool === "fill") this.#whole(holesAt(this.session.mask.data, this.session.grid, panel.plane, voxel), 1);
    else if (this.tool === "remove") this.#whole(componentAt(this.session.mask.data, this.session.grid, voxel), 0);
    else this.#dab(panel, voxel);
    this.#tell();
  }

  /** Pointer moved while pressed. */
  move(panel, voxel) {
    if (!this.stroke || !BRUSHES.includes(this.tool)) return;
    for (const point of strokePoints(this.session.grid, this.stroke.last, voxel)) this.#dab(panel, point);
    this.stroke.last = voxel;
    this.#tell();
  }

  /** Pointer released: the stroke is complete. */
  up() {
    if (!this.stroke || !this.session) return;
    const { voxels, refused } = this.stroke;
    this.stroke = null;
    this.refused += refused;
    if (voxels.length) this.session.strokes.push(voxels);
    if (refused) this.viewer.say(REFUSED.part);
    this.#tell();
  }

  #dab(panel, centre) {
    const axis = this.three_d ? null : panel.plane.axis;
    const to = this.tool === "erase" ? 0 : 1;
    const [low, high] = this.tool === "threshold" ? this.#range : [-Infinity, Infinity];
    const { data, slope, inter } = this.session.grid;
    brushVoxels(this.session.grid, centre, this.#radius_mm, axis, (index) => {
      const value = data[index] * slope + inter;
      if (value >= low && value <= high) this.#set(index, to);
    });
  }

  #whole(indices, to) {
    if (!indices) this.viewer.say(REFUSED[this.tool]);
    else for (const index of indices) this.#set(index, to);
  }

  #set(index, to) {
    const { mask } = this.session;
    if (mask.data[index] === to) return;
    if (to && this.key === "cavity" && !this.#infarct()?.[index]) {
      this.stroke.refused++;
      return;
    }
    this.#flip(index);
    this.stroke.voxels.push(index);
  }

  #infarct() {
    const { item } = this.session;
    return item.masks.get(item.spec.masks?.[0]?.key ?? "flair")?.volume.data;
  }

  #flip(index) {
    const { session } = this;
    const now = (session.mask.data[index] ^= 1);
    session.count += now ? 1 : -1;
    session.changed += now === session.original[index] ? -1 : 1;
  }

  #turn(voxels) {
    if (!voxels || this.stroke) return;
    for (const index of voxels) this.#flip(index);
    this.#tell();
  }

  #tell() {
    if (this.session) this.session.layer.version++;
    this.viewer.edited();
  }
}

/** The middle 95 % of the lesion's own values; for no lesion the upper half of the window. */
function lesionRange(scan, mask, [low, high]) {
  const values = [];
  for (let at = 0; at < mask.length; at++) if (mask[at]) values.push(scan.data[at] * scan.slope + scan.inter);
  if (!values.length) return [(low + high) / 2, high];
  const sorted = Float64Array.from(values).sort();
  return [percentile(sorted, 2.5), percentile(sorted, 97.5)];
}

// A case as the viewer holds it: panels with their volumes, and the contours that are drawn on them.

import { COLOURS, colourOf } from "./colours.js";
import { autoWindow } from "./grey.js";
import { parseNifti } from "./volume.js";

const PARTS = ["cavity", "new_lesion"];

/**
 * A contour on a panel. `kind` says which switch shows it: mask, part, baseline, read, extra or edit.
 * `version` counts up when its voxels change.
 */
export class Layer {
  constructor(kind, mask, options = {}) {
    this.kind = kind;
    this.mask = mask;
    this.item = options.item ?? "";
    this.key = options.key ?? "";
    this.label = options.label ?? "";
    this.colour = options.colour ?? colourOf(this.key);
    this.dashed = options.dashed ?? false;
    this.filled = options.filled ?? false;
    this.width = options.width ?? 1.5;
    this.version = 0;
  }
}

/**
 * Read the volumes of a case. What is missing or damaged is said on its panel; the rest is shown.
 * @param {object} caseView
 * @param {Map<string, ArrayBuffer|Error>} buffers by URL
 */
export function buildCase(caseView, buffers) {
  const panels = (caseView.panels ?? []).map((spec) => {
    const read = attempt(buffers, spec.volume);
    const given = spec.window?.length === 2 && spec.window[1] > spec.window[0];
    const auto = given ? spec.window : read.volume ? (read.volume.window ?? autoWindow(read.volume)) : [0, 1];
    if (read.volume) trueVolume(read.volume, spec.spacing_mm);
    return { spec, volume: read.volume, error: read.error, auto: [...auto], layers: [], problems: [], items: [] };
  });
  const found = new Map(panels.map((panel) => [panel.spec.id, panel]));
  const items = (caseView.visits ?? []).flatMap((visit) =>
    (visit.items ?? []).map((item) => readItem(item, visit, found.get(item.panel), buffers)),
  );
  const model = { caseView, panels, items };
  shareWithAdc(model);
  addBaseline(model);
  return model;
}

/** mL of a voxel by the spacing of the file itself; the numbers of the affine that was sent are short ones. */
function trueVolume(volume, spacing_mm) {
  const ml = (spacing_mm ?? []).reduce((product, mm) => product * mm, 1e-3);
  if (spacing_mm?.length === 3 && Math.abs(ml / volume.voxel_ml - 1) < 1e-4) volume.voxel_ml = ml;
}

function attempt(buffers, url) {
  const buffer = buffers.get(url);
  if (!buffer) return { error: "not loaded" };
  if (buffer instanceof Error) return { error: buffer.message };
  try {
    return { volume: parseNifti(buffer) };
  } catch (error) {
    return { error: error.message };
  }
}

function readItem(spec, visit, panel, buffers) {
  const item = { spec, id: spec.item, visit: visit.id, panel, masks: new Map() };
  if (!panel) return item;
  panel.items.push(item);
  for (const each of spec.masks ?? []) {
    const volume = maskOn(panel, attempt(buffers, each.url), each.label ?? each.key);
    if (!volume) continue;
    item.masks.set(each.key, { spec: each, volume });
    // two reads are compared with each other, not with the automatic mask that lies under both
    if (spec.reads?.length && each.sha256 === each.automatic_sha256) continue;
    const kind = PARTS.includes(each.key) ? "part" : "mask";
    panel.layers.push(new Layer(kind, volume, { item: item.id, key: each.key, label: each.label }));
  }
  for (const one of spec.reads ?? []) addRead(one, item, panel, buffers);
  return item;
}

function addRead(read, item, panel, buffers) {
  for (const each of read.masks ?? []) {
    const volume = maskOn(panel, attempt(buffers, each.url), `read ${read.number}`);
    if (!volume) continue;
    const part = PARTS.includes(each.key);
    const label = `Read ${read.number}${part ? ` ${each.key.replace("_", " ")}` : ""}`;
    const colour = COLOURS[`read${read.number}`];
    // dashed over whole: where both agree, both are seen
    const options = { item: item.id, key: each.key, label, colour, dashed: read.number === 2, width: 2 };
    panel.layers.push(new Layer(part ? "part" : "read", volume, options));
  }
}

/** The mask if it is on the grid of its panel; what is wrong is said on the panel. */
function maskOn(panel, { volume, error }, name) {
  const whole = volume && panel.volume ? panel.volume.whole(volume) : null;
  if (volume && panel.volume && !whole) error = "is on another grid";
  if (error) panel.problems.push(`${name}: ${error}`);
  return error ? null : whole;
}

/** The infarct of the DWI is also shown on the ADC map of its visit. */
function shareWithAdc({ panels, items }) {
  for (const panel of panels) {
    if (panel.spec.modality !== "adc" || panel.items.length || !panel.volume) continue;
    const item = items.find((one) => one.visit === panel.spec.visit && one.panel?.spec.modality === "dwi");
    if (item?.panel) panel.layers.push(...item.panel.layers);
  }
}

/** The baseline contour on the panels of the other visits; `baseline` names the item it is from. */
function addBaseline(model) {
  const { caseView, panels, items } = model;
  const first = items[0]?.visit;
  const infarct = (item) => item.masks.get(item.spec.masks[0]?.key);
  const ofFirst = items.filter((item) => item.visit === first && item.panel && infarct(item));
  const baseline = ofFirst.find((item) => item.panel.spec.id === caseView.reference) ?? ofFirst[0];
  model.baseline = baseline ?? null;
  if (!baseline) return;
  for (const panel of panels) {
    if (panel.spec.visit === first || !panel.volume || panel.spec.linked === false) continue;
    const options = { item: baseline.id, key: "baseline", label: "baseline", colour: COLOURS.baseline, dashed: true };
    panel.layers.push(new Layer("baseline", infarct(baseline).volume, options));
  }
}

/**
 * Images a panel can be compared with, the most useful first: the baseline's image of the same modality,
 * then the baseline's others, then all others. Only linked images share a space.
 */
export function partnersOf(model, panel) {
  const first = model.panels[0]?.spec.visit;
  const rank = (other) => (other.spec.visit === first ? 0 : 2) + (other.spec.modality === panel.spec.modality ? 0 : 1);
  if (panel.spec.linked === false) return [];
  return model.panels
    .filter((other) => other !== panel && other.volume && other.spec.linked !== false)
    .sort((a, b) => rank(a) - rank(b));
}

/** Place in mm where a case is opened: its largest component on the reference panel, or on the first item. */
export function openingPlace(model, panel) {
  const own = panel.items.length ? panel.items : model.items.filter((item) => item.panel);
  for (const item of own) {
    const component = item.spec.masks?.[0]?.components?.[0];
    if (component && item.panel.volume) return item.panel.volume.toMm(component.voxel);
  }
  return null;
}

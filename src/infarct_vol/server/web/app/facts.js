// What a case view says, in the terms of the page. Nothing is drawn or sent here.

import { IMAGE_WORDS, MASK_WORDS, capital } from "./words.js";

/** Everything of a visit that is judged: its images, then its registration. */
export function partsOf(visit) {
  const parts = visit.items.map((item) => ({ ...item, label: `${IMAGE_WORDS[item.image] ?? item.image} infarct` }));
  const { registration } = visit;
  if (registration) parts.push({ ...registration, image: "registration", label: "registration", masks: [] });
  return parts;
}

/** Tell whether a mask was saved after the decision, so that the decision is not about it. */
export function isWaiting(part) {
  if (!part.decision) return false;
  if (typeof part.waiting === "boolean") return part.waiting;
  const saved = part.versions ?? [];
  return (part.masks ?? []).some((mask) => {
    const times = saved.filter((one) => one.sha256 === mask.sha256 && one.key === mask.key).map((one) => one.utc);
    return times.some((utc) => utc > part.decision.utc);
  });
}

/** Tell whether a part waits for a decision; an adjudicator decides only on what was read twice. */
export function isOpen(part, kind) {
  if (kind === "adjudication" && !(part.reads ?? []).length) return false;
  return !part.decision || Boolean(part.stale) || isWaiting(part);
}

/** Tell whether the reader of this case drew an own mask of a part that is not decided yet. */
export function hasOwnEdit(part) {
  const after = part.decision?.utc ?? "";
  return (part.masks ?? []).some((mask) =>
    (part.versions ?? []).some((one) => one.sha256 === mask.sha256 && one.key === mask.key && one.utc > after),
  );
}

export const openParts = (visit, kind) => partsOf(visit).filter((part) => isOpen(part, kind));

export const openOfCase = (view) => view.visits.flatMap((visit) => openParts(visit, view.kind));

/** A decision as the server takes it: on these masks, seen at this revision. */
export function judgement(part, verdict, reason, chosen = null) {
  const read = chosen ? part.reads.find((one) => one.number === chosen) : null;
  const masks = read ? (read.masks ?? []) : (part.masks ?? []);
  const hashes = Object.fromEntries(masks.map((mask) => [mask.key, mask.sha256]));
  return { item: part.item, verdict, reason, revision: part.revision, masks: hashes, chosen };
}

/** A part of a case by its item's name. */
export function findPart(view, item) {
  return view.visits.flatMap(partsOf).find((part) => part.item === item) ?? null;
}

/** The visit that an item belongs to. */
export const visitOf = (view, item) => view.visits.find((visit) => partsOf(visit).some((part) => part.item === item));

/** Name of an item for a sentence: `Month 3, FLAIR infarct`. */
export function nameOfItem(view, item) {
  const part = findPart(view, item);
  return part ? `${capital(visitOf(view, item).label)}, ${part.label}` : item;
}

export const nameOfMask = (mask) => (mask.label || MASK_WORDS[mask.key] || mask.key).toLowerCase();

/** The view as the page shows it: names of visits and images begin with a capital letter. */
export function tidied(view) {
  const named = (one) => ({ ...one, label: capital(one.label) });
  return { ...view, panels: view.panels.map(named), visits: view.visits.map(named) };
}

/** mL and percent of the mean that two reads differ by; null where one has no volume. */
export function readDifference(reads) {
  const [first, second] = reads.map((one) => one.volume_ml);
  if (typeof first !== "number" || typeof second !== "number") return null;
  const mean_ml = (first + second) / 2;
  const ml = Math.abs(first - second);
  return { ml, percent: mean_ml > 0 ? (100 * ml) / mean_ml : 0 };
}

/** What tells one state of a case from another. */
export function stateOf(view) {
  const parts = view.visits.flatMap(partsOf);
  return JSON.stringify([
    view.locked,
    parts.map((one) => [one.item, one.revision, one.stale, one.decision, one.masks.map((mask) => mask.sha256)]),
  ]);
}

/**
 * Who entered something about an item last, and what: for a conflict; with `key` of one mask of it. A part that
 * was cut to its infarct is no entry of its own.
 */
export function lastEntry(view, item, key = null) {
  const part = findPart(view, item);
  const inWork = new Set((part?.masks ?? []).map((mask) => mask.sha256));
  const drawn = (part?.versions ?? []).filter((one) => inWork.has(one.sha256) && one.tool !== "cut");
  const own = drawn.filter((one) => one.key === key);
  const saved = own.length ? own : drawn;
  const made = saved.map((one) => ({ ...one, what: "saved another mask", text: one.reason }));
  if (part?.decision) {
    const { verdict, reason } = part.decision;
    made.push({ ...part.decision, what: `decided: ${verdict.replace("_", " ")}`, text: reason });
  }
  return made.sort((a, b) => (a.utc < b.utc ? 1 : -1))[0] ?? null;
}

// Somebody was faster (409): say who and what, lose nothing.

import { el } from "./dom.js";
import { choose } from "./dialog.js";
import { findPart, lastEntry, nameOfItem } from "./facts.js";
import { VERDICT_WORDS, millilitres, moment } from "./words.js";

const FASTER = "Yours came later: it is kept in the audit trail, but does not count.";

/**
 * Decisions that were not taken over. Gives the decisions to send again on top of theirs, or null.
 * They can be sent again only where the masks are still those that were judged.
 */
export async function conflictOverDecisions(page, { conflict, decisions }) {
  const { current } = conflict.body;
  const same = decisions.every(
    (one) => one.chosen !== null || masksOf(current, one.item) === JSON.stringify(sorted(one.masks)),
  );
  const answers = [["theirs", "Show theirs", "T"]];
  if (same) answers.push(["mine", "Decide again on top", "D", "main"]);
  const items = decisions.map((one) => one.item);
  const text = [
    el("p", { text: FASTER }),
    whoChanged(current, items),
    el("p", {
      text: same
        ? `You decided: ${decisions.map((one) => VERDICT_WORDS[one.verdict]).join(", ")}. Both decisions stay in the history.`
        : "The mask is another one now. Look at it, then decide on it.",
    }),
  ];
  const answer = await choose(`${nameOfFaster(current, items)} decided or edited meanwhile`, text, answers, { closeLabel: null, side: true, still: true });
  await page.take(current);
  if (answer !== "mine") return null;
  return decisions.map((one) => ({ ...one, revision: findPart(current, one.item).revision }));
}

/** An edit that was not taken over: "theirs", "mine", or null where the dialog was left. */
export async function conflictOverEdit(current, { item, key, volume_ml }) {
  const text = [
    el("p", { text: FASTER }),
    whoChanged(current, [item], key),
    el("p", {
      text:
        `Your mask${volume_ml === null ? "" : ` of ${millilitres(volume_ml)}`} is kept here until you decide. ` +
        "If you save it on top, both masks stay in the history and yours is the one in work.",
    }),
  ];
  const answers = [
    ["theirs", "Show theirs", "T"],
    ["mine", "Save mine on top", "D", "main"],
  ];
  return choose(`${nameOfFaster(current, [item], key)} changed this mask meanwhile`, text, answers, { closeLabel: null, side: true, still: true });
}

/** Who was faster, by name where the page may know it. */
function nameOfFaster(current, items, key = null) {
  const entries = items.map((item) => lastEntry(current, item, key)).filter(Boolean);
  return entries.sort((a, b) => (a.utc < b.utc ? 1 : -1))[0]?.who || "Somebody";
}

function whoChanged(current, items, key = null) {
  const known = [...new Set(items)].filter((item) => lastEntry(current, item, key));
  if (!known.length) return el("p", { text: "The history says what was changed." });
  const lines = known.map((item) => {
    const last = lastEntry(current, item, key);
    const size = last.volume_ml === undefined ? "" : ` of ${millilitres(last.volume_ml)}`;
    const why = last.text ? `: ${last.text}` : "";
    return el("li", {
      text: `${nameOfItem(current, item)}: ${last.who || "somebody"} ${last.what}${size}, ${moment(last.utc)}${why}`,
    });
  });
  return el("ul", { class: "who-changed" }, lines);
}

const sorted = (masks) => Object.entries(masks).sort(([a], [b]) => (a < b ? -1 : 1));

function masksOf(view, item) {
  const masks = findPart(view, item)?.masks ?? [];
  return JSON.stringify(sorted(Object.fromEntries(masks.map((mask) => [mask.key, mask.sha256]))));
}

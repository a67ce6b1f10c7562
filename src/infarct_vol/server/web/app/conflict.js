// Somebody was faster (409): say who and what, lose nothing.

import { el } from "./dom.js";
import { choose } from "./dialog.js";
import { findPart, lastEntry, nameOfItem } from "./facts.js";
import { VERDICT_WORDS, millilitres, moment } from "./words.js";

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
  const text = [
    el("p", { text: conflict.message }),
    whoChanged(
      current,
      decisions.map((one) => one.item),
    ),
    el("p", {
      text: same
        ? `You decided: ${decisions.map((one) => VERDICT_WORDS[one.verdict]).join(", ")}. Both decisions stay in the history.`
        : "The mask is another one now. Look at it, then decide on it.",
    }),
  ];
  const answer = await choose("Somebody decided or edited meanwhile", text, answers, { closeLabel: null });
  await page.take(current);
  if (answer !== "mine") return null;
  return decisions.map((one) => ({ ...one, revision: findPart(current, one.item).revision }));
}

/** An edit that was not taken over: "theirs", "mine", or null where the dialog was left. */
export async function conflictOverEdit(current, { item, volume_ml, message }) {
  const text = [
    el("p", { text: message }),
    whoChanged(current, [item]),
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
  return choose("Somebody changed this mask meanwhile", text, answers, { closeLabel: null });
}

function whoChanged(current, items) {
  const lines = [...new Set(items)].map((item) => {
    const last = lastEntry(current, item);
    if (!last) return el("li", { text: `${nameOfItem(current, item)}: see the history.` });
    const size = last.volume_ml === undefined ? "" : ` of ${millilitres(last.volume_ml)}`;
    const why = last.text ? `: ${last.text}` : "";
    return el("li", {
      text: `${nameOfItem(current, item)}: ${last.who} ${last.what}${size}, ${moment(last.utc)}${why}`,
    });
  });
  return el("ul", { class: "who-changed" }, lines);
}

const sorted = (masks) => Object.entries(masks).sort(([a], [b]) => (a < b ? -1 : 1));

function masksOf(view, item) {
  const masks = findPart(view, item)?.masks ?? [];
  return JSON.stringify(sorted(Object.fromEntries(masks.map((mask) => [mask.key, mask.sha256]))));
}

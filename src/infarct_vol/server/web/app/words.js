// Words and numbers as a reader sees them.

export const VERDICT_WORDS = {
  accept: "accepted",
  reject: "rejected",
  query: "query open",
  not_measurable: "not measurable",
};
export const STATUS_WORDS = {
  todo: "to do",
  done: "done",
  query: "query open",
  rejected: "rejected",
  disagreement: "disagreement",
  stale: "re-review",
  measured: "measured",
  reviewed: "reviewed",
  edited: "edited",
  not_measurable: "not measurable",
  failed: "failed",
  missing: "missing",
  excluded: "excluded",
};
export const KIND_WORDS = { open: "", read: "blinded read", reread: "blinded read", adjudication: "adjudication" };
export const IMAGE_WORDS = { dwi: "DWI", flair: "FLAIR", registration: "registration" };
export const SOURCE_WORDS = { automatic: "automatic", edited: "edited", external: "brought along" };
export const TOOL_WORDS = { page: "drawn here", upload: "uploaded", cut: "cut to fit the infarct" };
export const MASK_WORDS = { dwi: "infarct", flair: "infarct", cavity: "cavity", new_lesion: "new lesion" };

export const isNumber = (value) => typeof value === "number" && Number.isFinite(value);

/** A number with so many decimals, a true minus and, if asked, a plus. */
export function number(value, { digits = 2, sign = false } = {}) {
  if (!isNumber(value)) return "–";
  const text = Math.abs(value).toFixed(digits);
  const zero = Number(text) === 0;
  return (value < 0 && !zero ? "−" : sign && !zero ? "+" : "") + text;
}

/** A volume with its unit; two decimals, one above 100 mL. */
export function millilitres(value, { sign = false } = {}) {
  if (!isNumber(value)) return "–";
  return `${number(value, { digits: Math.abs(value) >= 100 ? 1 : 2, sign })} mL`;
}

export function percent(value) {
  return isNumber(value) ? `${number(value, { digits: 1, sign: true })} %` : "";
}

/** A time in UTC to the minute: 2026-03-01 12:00 UTC. */
export function moment(utc) {
  const match = /^(\d{4}-\d{2}-\d{2})[T ](\d{2}:\d{2})/.exec(String(utc ?? ""));
  return match ? `${match[1]} ${match[2]} UTC` : String(utc ?? "");
}

export function capital(text) {
  const words = String(text ?? "");
  return words.charAt(0).toUpperCase() + words.slice(1);
}

/** A metric as the run names it, such as `shift_mm`, in words with its unit. */
export function metric(name, value) {
  const unit = /_(mm|ml|deg|percent|ms|s)$/.exec(name);
  const units = { mm: " mm", ml: " mL", deg: "°", percent: " %", ms: " ms", s: " s" };
  const words = (unit ? name.slice(0, -unit[0].length) : name).replaceAll("_", " ");
  const shown = isNumber(value) ? number(value, { digits: Number.isInteger(value) ? 0 : 2 }) : String(value ?? "–");
  return [words, shown + (unit && isNumber(value) ? units[unit[1]] : "")];
}

/** How many of something: `1 flag`, `2 flags`. */
export function count(amount, word) {
  return `${amount} ${word}${amount === 1 ? "" : "s"}`;
}

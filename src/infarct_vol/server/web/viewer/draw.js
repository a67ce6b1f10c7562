// What stands on a panel besides its image: contours, crosshair, letters, scale bar, words.

import { COLOURS } from "./colours.js";
import { edgeLetters } from "./slices.js";

const FONT = "system-ui, sans-serif";
const PAD_PX = 7;

/** Stroke closed outlines; `frame` is {left, top, column_px, row_px} of the slice on the screen. */
export function strokeOutlines(context, lines, frame, { colour, dashed, width = 1.5 }) {
  context.save();
  context.strokeStyle = colour;
  context.lineWidth = width;
  context.lineJoin = "miter";
  context.setLineDash(dashed ? [5, 3] : []);
  context.beginPath();
  for (const line of lines) {
    for (let at = 0; at < line.length; at += 2) {
      const x = frame.left + line[at] * frame.column_px;
      const y = frame.top + line[at + 1] * frame.row_px;
      if (at) context.lineTo(x, y);
      else context.moveTo(x, y);
    }
    context.closePath();
  }
  context.stroke();
  context.restore();
}

/** Cross with a free middle, so that it hides nothing where the reader looks. */
export function strokeCrosshair(context, [x, y], [width, height]) {
  context.save();
  context.globalAlpha = 0.75;
  context.fillStyle = COLOURS.crosshair;
  const free = 9;
  const [cx, cy] = [Math.round(x), Math.round(y)];
  context.fillRect(cx, 0, 1, Math.max(0, cy - free));
  context.fillRect(cx, cy + free, 1, Math.max(0, height - cy - free));
  context.fillRect(0, cy, Math.max(0, cx - free), 1);
  context.fillRect(cx + free, cy, Math.max(0, width - cx - free), 1);
  context.restore();
}

/** Letters of the four edges. */
export function writeLetters(context, volume, plane, [width, height]) {
  const letters = edgeLetters(volume, plane);
  const style = { size: 12, bold: true };
  write(context, letters.left, PAD_PX, height / 2, style);
  write(context, letters.right, width - PAD_PX, height / 2, { ...style, align: "right" });
  write(context, letters.top, width / 2, 26, { ...style, align: "center" });
  write(context, letters.bottom, width / 2, height - 11, { ...style, align: "center" });
}

/** Scale bar in the lower right corner: the longest of 100, 50, 20, 10, 5 or 2 mm that fits. */
export function writeScale(context, px_per_mm, [width, height]) {
  const length_mm = [100, 50, 20, 10, 5, 2, 1].find((mm) => mm * px_per_mm < width * 0.28) ?? 1;
  const length = length_mm * px_per_mm;
  context.fillStyle = COLOURS.text;
  context.fillRect(width - PAD_PX - length, height - 8, length, 2);
  write(context, `${length_mm} mm`, width - PAD_PX, height - 16, { align: "right", size: 10 });
}

/** Words with a dark edge, readable on white and on black. */
export function write(context, words, x, y, { align = "left", size = 11, bold = false, colour = COLOURS.text } = {}) {
  context.save();
  context.font = `${bold ? "600 " : ""}${size}px ${FONT}`;
  context.textAlign = align;
  context.textBaseline = "middle";
  context.lineJoin = "round";
  context.lineWidth = 3;
  context.strokeStyle = "rgba(8, 11, 15, 0.85)";
  context.strokeText(words, x, y);
  context.fillStyle = colour;
  context.fillText(words, x, y);
  context.restore();
}

/** Words over several lines, cut to a width; returns the y below them. */
export function writeLines(context, words, x, y, width, options) {
  context.font = `${options?.size ?? 11}px ${FONT}`;
  let line = "";
  for (const word of String(words).split(/\s+/)) {
    const longer = line ? `${line} ${word}` : word;
    if (line && context.measureText(longer).width > width) {
      write(context, line, x, y, options);
      y += 15;
      line = word;
    } else line = longer;
  }
  write(context, line, x, y, options);
  return y + 15;
}

/** Cut words so that they fit a width. */
export function fitted(context, words, width, size = 11, bold = false) {
  context.font = `${bold ? "600 " : ""}${size}px ${FONT}`;
  let cut = String(words);
  while (cut.length > 4 && context.measureText(cut).width > width) cut = `${cut.slice(0, -2).trimEnd()}…`;
  return cut;
}

// Panels side by side: the number of columns that makes them largest.

const GAP_PX = 3;

/**
 * Boxes of equal size for a number of panels.
 * @param {number} aspect width by height of what is shown in a panel
 * @returns {number[][]} left, top, width, height of each, in CSS pixels
 */
export function boxes(count, width, height, aspect) {
  let best = null;
  for (let columns = 1; columns <= count; columns++) {
    const rows = Math.ceil(count / columns);
    const w = (width - (columns - 1) * GAP_PX) / columns;
    const h = (height - (rows - 1) * GAP_PX) / rows;
    const scale = Math.min(w, h * aspect);
    if (!best || scale > best.scale + 0.5) best = { scale, columns, w, h };
  }
  if (!best) return [];
  return Array.from({ length: count }, (_, at) => {
    const column = at % best.columns;
    const row = Math.floor(at / best.columns);
    return [column * (best.w + GAP_PX), row * (best.h + GAP_PX), best.w, best.h];
  });
}

// Outlines of a mask along the edges of its voxels, never through them.

// out of a corner of the pixel raster: to the right, down, to the left, up
const STEPS = [
  [1, 0],
  [0, 1],
  [-1, 0],
  [0, -1],
];

/**
 * Trace the outlines of a slice of a mask.
 * @param {Uint8Array} mask 0 or 1, rows from the top
 * @returns {Int32Array[]} closed lines of corners x0, y0, x1, y1, ...; only where the direction changes
 */
export function outlines(mask, columns, rows) {
  if (!mask.includes(1)) return [];
  const wide = columns + 1;
  const ways = new Uint8Array(wide * (rows + 1));
  const starts = directedEdges(mask, columns, rows, ways);
  const lines = [];
  for (const start of starts) {
    for (let direction = 0; direction < 4; direction++) {
      if (ways[start] & (1 << direction)) lines.push(trace(ways, wide, start, direction));
    }
  }
  return lines;
}

/** Mark every edge at its starting corner, the inside on the right hand; return corners with edges. */
function directedEdges(mask, columns, rows, ways) {
  const wide = columns + 1;
  const starts = [];
  const mark = (corner, direction) => {
    if (!ways[corner]) starts.push(corner);
    ways[corner] |= 1 << direction;
  };
  for (let row = 0, at = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++, at++) {
      if (!mask[at]) continue;
      const corner = row * wide + column;
      if (row === 0 || !mask[at - columns]) mark(corner, 0);
      if (column === columns - 1 || !mask[at + 1]) mark(corner + 1, 1);
      if (row === rows - 1 || !mask[at + columns]) mark(corner + wide + 1, 2);
      if (column === 0 || !mask[at - 1]) mark(corner + wide, 3);
    }
  }
  return starts;
}

function trace(ways, wide, start, direction) {
  const points = [];
  let corner = start;
  let heading = direction;
  let before = -1;
  do {
    ways[corner] &= ~(1 << heading);
    if (heading !== before) points.push(corner % wide, Math.floor(corner / wide));
    before = heading;
    corner += STEPS[heading][0] + wide * STEPS[heading][1];
    // the left turn first: pixels that touch at a corner are one piece, as the components are counted
    heading = [3, 0, 1].map((turn) => (before + turn) % 4).find((way) => ways[corner] & (1 << way)) ?? -1;
  } while (heading >= 0);
  return Int32Array.from(points);
}

// What the editing tools touch: lists of voxels, no state.

/**
 * Voxels whose centre is no further than a radius from a point; always the voxel the point is in.
 * @param {object} grid shape, spacing_mm, index()
 * @param {number[]} centre fractional voxel
 * @param {number|null} axis axis of the slice for a flat brush; null for a ball
 * @param {(index: number) => void} visit
 */
export function brushVoxels(grid, centre, radius_mm, axis, visit) {
  const nearest = centre.map((v) => Math.round(v));
  const own = grid.index(...nearest);
  const reach = grid.spacing_mm.map((mm, a) => (a === axis ? 0 : radius_mm / mm));
  const range = centre.map((v, a) =>
    a === axis
      ? [nearest[a], nearest[a]]
      : [Math.max(0, Math.ceil(v - reach[a])), Math.min(grid.shape[a] - 1, Math.floor(v + reach[a]))],
  );
  const square = radius_mm ** 2 + 1e-9;
  const far = (v, a) => (a === axis ? 0 : ((v - centre[a]) * grid.spacing_mm[a]) ** 2);
  for (let k = range[2][0]; k <= range[2][1]; k++) {
    for (let j = range[1][0]; j <= range[1][1]; j++) {
      for (let i = range[0][0]; i <= range[0][1]; i++) {
        const index = grid.index(i, j, k);
        if (index < 0 || index === own) continue;
        if (far(i, 0) + far(j, 1) + far(k, 2) <= square) visit(index);
      }
    }
  }
  if (own >= 0) visit(own);
}

/** Points along a stroke, no further apart than half a voxel; without its start. */
export function strokePoints(grid, from, to) {
  const length = Math.max(...from.map((v, a) => Math.abs(to[a] - v)));
  const steps = Math.max(1, Math.ceil(2 * length));
  return Array.from({ length: steps }, (_, n) => from.map((v, a) => v + ((to[a] - v) * (n + 1)) / steps));
}

/**
 * Voxels of a slice to fill for a click: the hole that was clicked, or all holes of the slice if the click
 * was on the mask. A hole does not touch the border of the slice. Null if the place is not enclosed.
 */
export function holesAt(mask, grid, plane, voxel) {
  const at = voxel.map((v) => Math.round(v));
  const start = grid.index(...at);
  if (start < 0) return null;
  if (!mask[start]) return enclosed(mask, grid, plane, at, new Set());
  const seen = new Set();
  const found = [];
  const place = [...at];
  for (place[plane.row] = 0; place[plane.row] < grid.shape[plane.row]; place[plane.row]++) {
    for (place[plane.column] = 0; place[plane.column] < grid.shape[plane.column]; place[plane.column]++) {
      const index = grid.index(...place);
      if (!mask[index] && !seen.has(index)) found.push(...(enclosed(mask, grid, plane, place, seen) ?? []));
    }
  }
  return found.length ? found : null;
}

/** Background of a slice that is joined to a voxel over edges; null if it reaches the border. */
function enclosed(mask, grid, plane, start, seen) {
  const todo = [[start[plane.column], start[plane.row]]];
  const [columns, rows] = [grid.shape[plane.column], grid.shape[plane.row]];
  const base = start[plane.axis] * grid.steps[plane.axis];
  const found = [];
  let open = false;
  const indexOf = (c, r) => base + c * grid.steps[plane.column] + r * grid.steps[plane.row];
  seen.add(indexOf(...todo[0]));
  while (todo.length) {
    const [c, r] = todo.pop();
    found.push(indexOf(c, r));
    if (c === 0 || r === 0 || c === columns - 1 || r === rows - 1) open = true;
    for (const [x, y] of [[c + 1, r], [c - 1, r], [c, r + 1], [c, r - 1]]) {
      if (x < 0 || y < 0 || x >= columns || y >= rows) continue;
      const index = indexOf(x, y);
      if (mask[index] || seen.has(index)) continue;
      seen.add(index);
      todo.push([x, y]);
    }
  }
  return open ? null : found;
}

/** Voxels of the component a voxel belongs to; voxels that share a corner are joined (26). Null off the mask. */
export function componentAt(mask, grid, voxel) {
  const start = grid.index(...voxel.map((v) => Math.round(v)));
  if (start < 0 || !mask[start]) return null;
  const [nx, ny, nz] = grid.shape;
  const seen = new Set([start]);
  const found = [start];
  for (let at = 0; at < found.length; at++) {
    const index = found[at];
    const i = index % nx;
    const j = Math.floor(index / nx) % ny;
    const k = Math.floor(index / (nx * ny));
    for (let z = Math.max(0, k - 1); z <= Math.min(nz - 1, k + 1); z++) {
      for (let y = Math.max(0, j - 1); y <= Math.min(ny - 1, j + 1); y++) {
        for (let x = Math.max(0, i - 1); x <= Math.min(nx - 1, i + 1); x++) {
          const next = x + nx * (y + ny * z);
          if (mask[next] && !seen.has(next)) {
            seen.add(next);
            found.push(next);
          }
        }
      }
    }
  }
  return found;
}

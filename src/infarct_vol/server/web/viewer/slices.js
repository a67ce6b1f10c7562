// Slices of a volume as they stand on the screen.
//
// Radiological convention: the patient's left is on the right of axial and coronal slices; anterior is on
// the left of sagittal slices. In every plane the columns and the rows of the screen run against the axes
// of the volume, so one rule serves all three.

import { multiply } from "./volume.js";

/** The planes: the axis that is cut, and the axes along the columns and the rows of the screen. */
export const PLANES = {
  axial: { name: "axial", axis: 2, column: 0, row: 1 },
  coronal: { name: "coronal", axis: 1, column: 0, row: 2 },
  sagittal: { name: "sagittal", axis: 0, column: 1, row: 2 },
};

/** The plane that cuts an axis. */
export const planeOfAxis = (axis) => Object.values(PLANES).find((plane) => plane.axis === axis) ?? PLANES.axial;

const LETTERS = ["RL", "AP", "SI"];

/** Letters of the left, right, top and bottom edge of a slice, read from the affine. */
export function edgeLetters(volume, plane) {
  const along = (axis) => {
    const direction = [0, 4, 8].map((at) => volume.affine[at + axis]);
    const widest = [0, 1, 2].reduce((best, a) => (Math.abs(direction[a]) > Math.abs(direction[best]) ? a : best));
    const [plus, minus] = LETTERS[widest];
    return direction[widest] > 0 ? [plus, minus] : [minus, plus];
  };
  const [left, right] = along(plane.column);
  const [top, bottom] = along(plane.row);
  return { left, right, top, bottom };
}

/** Columns and rows of a slice. */
export function sliceSize(volume, plane) {
  return [volume.shape[plane.column], volume.shape[plane.row]];
}

/** Fractional voxel -> column and row of the slice; the middle of the first pixel is 0.5, 0.5. */
export function toSlice(volume, plane, voxel) {
  return [plane.column, plane.row].map((axis) => volume.shape[axis] - 0.5 - voxel[axis]);
}

/** Column and row of a slice -> fractional voxel. */
export function fromSlice(volume, plane, index, column, row) {
  const voxel = [0, 0, 0];
  voxel[plane.axis] = index;
  voxel[plane.column] = volume.shape[plane.column] - 0.5 - column;
  voxel[plane.row] = volume.shape[plane.row] - 0.5 - row;
  return voxel;
}

/** Paint a slice in grey into 32-bit pixels; `limits` are shown as black and as white. */
export function paintSlice(volume, plane, index, limits, pixels) {
  const { data, slope, inter } = volume;
  const [columns, rows] = sliceSize(volume, plane);
  const stepColumn = volume.steps[plane.column];
  const stepRow = volume.steps[plane.row];
  const scale = (255 * slope) / (limits[1] - limits[0] || 1);
  const shift = (255 * (inter - limits[0])) / (limits[1] - limits[0] || 1);
  let pixel = 0;
  for (let row = 0; row < rows; row++) {
    let at = index * volume.steps[plane.axis] + (rows - 1 - row) * stepRow + (columns - 1) * stepColumn;
    for (let column = 0; column < columns; column++, at -= stepColumn) {
      const grey = data[at] * scale + shift;
      const byte = grey > 255 ? 255 : grey > 0 ? grey | 0 : 0;
      pixels[pixel++] = 0xff000000 | (byte << 16) | (byte << 8) | byte;
    }
  }
}

/** Step through another volume along a slice of `volume`: start and steps in its voxels. */
function walk(volume, plane, index, source) {
  const m = multiply(source.inverse, volume.affine);
  const first = fromSlice(volume, plane, index, 0.5, 0.5);
  const start = [0, 4, 8].map((r) => m[r] * first[0] + m[r + 1] * first[1] + m[r + 2] * first[2] + m[r + 3]);
  const column = [0, 4, 8].map((r) => -m[r + plane.column]);
  const row = [0, 4, 8].map((r) => -m[r + plane.row]);
  return { start, column, row };
}

/**
 * Slice of a mask as bytes 0 or 1, rows from the top. A mask of another grid is read at its nearest voxel
 * through both affines.
 */
export function maskSlice(volume, plane, index, mask) {
  const [columns, rows] = sliceSize(volume, plane);
  const out = new Uint8Array(columns * rows);
  if (volume.sameGrid(mask)) {
    copySlice(volume, plane, index, mask.data, out);
    return out;
  }
  const way = walk(volume, plane, index, mask);
  const [nx, ny, nz] = mask.shape;
  let pixel = 0;
  for (let r = 0; r < rows; r++) {
    let x = way.start[0] + r * way.row[0] + 0.5;
    let y = way.start[1] + r * way.row[1] + 0.5;
    let z = way.start[2] + r * way.row[2] + 0.5;
    for (let c = 0; c < columns; c++, pixel++) {
      if (x >= 0 && y >= 0 && z >= 0 && x < nx && y < ny && z < nz) {
        out[pixel] = mask.data[(x | 0) + nx * ((y | 0) + ny * (z | 0))] ? 1 : 0;
      }
      x += way.column[0];
      y += way.column[1];
      z += way.column[2];
    }
  }
  return out;
}

function copySlice(volume, plane, index, data, out) {
  const [columns, rows] = sliceSize(volume, plane);
  const stepColumn = volume.steps[plane.column];
  const stepRow = volume.steps[plane.row];
  let pixel = 0;
  for (let row = 0; row < rows; row++) {
    let at = index * volume.steps[plane.axis] + (rows - 1 - row) * stepRow + (columns - 1) * stepColumn;
    for (let column = 0; column < columns; column++, at -= stepColumn) out[pixel++] = data[at] ? 1 : 0;
  }
}

/** Values of another scan at the pixels of a slice, read between its voxels; NaN outside of it. */
export function resampledSlice(volume, plane, index, source) {
  const [columns, rows] = sliceSize(volume, plane);
  const out = new Float32Array(columns * rows);
  const way = walk(volume, plane, index, source);
  let pixel = 0;
  for (let r = 0; r < rows; r++) {
    for (let c = 0; c < columns; c++) {
      const x = way.start[0] + c * way.column[0] + r * way.row[0];
      const y = way.start[1] + c * way.column[1] + r * way.row[1];
      const z = way.start[2] + c * way.column[2] + r * way.row[2];
      out[pixel++] = between(source, x, y, z);
    }
  }
  return out;
}

function between(source, x, y, z) {
  const [nx, ny, nz] = source.shape;
  if (!(x > -0.5 && y > -0.5 && z > -0.5 && x < nx - 0.5 && y < ny - 0.5 && z < nz - 0.5)) return NaN;
  const i = Math.max(0, Math.min(nx - 1, Math.floor(x)));
  const j = Math.max(0, Math.min(ny - 1, Math.floor(y)));
  const k = Math.max(0, Math.min(nz - 1, Math.floor(z)));
  const di = i < nx - 1 ? 1 : 0;
  const dj = j < ny - 1 ? nx : 0;
  const dk = k < nz - 1 ? nx * ny : 0;
  const fx = Math.max(0, x - i);
  const fy = Math.max(0, y - j);
  const fz = Math.max(0, z - k);
  const { data } = source;
  const at = i + nx * (j + ny * k);
  const low = mix(mix(data[at], data[at + di], fx), mix(data[at + dj], data[at + dj + di], fx), fy);
  const up = at + dk;
  const high = mix(mix(data[up], data[up + di], fx), mix(data[up + dj], data[up + dj + di], fx), fy);
  return mix(low, high, fz) * source.slope + source.inter;
}

const mix = (a, b, share) => a + (b - a) * share;

/** Slices along a plane's axis that hold mask voxels, in ascending order. */
export function slicesWith(mask, plane) {
  const found = new Uint8Array(mask.shape[plane.axis]);
  const [nx, ny, nz] = mask.shape;
  let at = 0;
  for (let k = 0; k < nz; k++) {
    for (let j = 0; j < ny; j++) {
      for (let i = 0; i < nx; i++, at++) {
        if (mask.data[at]) found[plane.axis === 2 ? k : plane.axis === 1 ? j : i] = 1;
      }
    }
  }
  return [...found.keys()].filter((n) => found[n]);
}

// A NIfTI-1 volume in memory: voxels and the affine that takes them to mm of the reference space.

const KINDS = { 2: Uint8Array, 4: Int16Array, 16: Float32Array, 512: Uint16Array };
const HEADER_BYTES = 348;

/** Voxels of a scan or a mask with their grid; axes run to the right, anterior and superior. */
export class Volume {
  /**
   * @param {number[]} shape voxels along i, j, k
   * @param {number[]} affine 16 numbers, row by row: voxel -> mm of the reference space
   * @param {ArrayLike<number>} data voxels, i fastest
   */
  constructor(shape, affine, data, slope = 1, inter = 0) {
    this.shape = shape;
    this.affine = affine;
    this.inverse = invert(affine);
    this.data = data;
    this.slope = slope;
    this.inter = inter;
    this.spacing_mm = [0, 1, 2].map((a) => Math.hypot(affine[a], affine[4 + a], affine[8 + a]));
    this.voxel_ml = Math.abs(determinant(affine)) / 1000;
    this.steps = [1, shape[0], shape[0] * shape[1]];
    this.window = null; // what the file says is shown as black and as white
  }

  /** Index in the data of a voxel, or -1 outside. */
  index(i, j, k) {
    const [nx, ny, nz] = this.shape;
    if (i < 0 || j < 0 || k < 0 || i >= nx || j >= ny || k >= nz) return -1;
    return i + nx * (j + ny * k);
  }

  /** Stored number of a voxel; NaN outside. */
  at(i, j, k) {
    const index = this.index(i, j, k);
    return index < 0 ? NaN : this.data[index];
  }

  /** Value of a voxel in the units of the image; NaN outside. */
  value(i, j, k) {
    return this.at(i, j, k) * this.slope + this.inter;
  }

  /** Voxel (may be fractional) -> mm of the reference space. */
  toMm(voxel) {
    return apply(this.affine, voxel);
  }

  /** mm of the reference space -> voxel, fractional. */
  toVoxel(mm) {
    return apply(this.inverse, mm);
  }

  /** True if the nearest voxel of a fractional voxel is on the grid. */
  holds(voxel) {
    return voxel.every((v, a) => Math.round(v) >= 0 && Math.round(v) < this.shape[a]);
  }

  /** True if both grids are one: same shape, corners no further apart than 0.01 mm. */
  sameGrid(other) {
    if (this === other) return true;
    if (this.shape.some((n, a) => n !== other.shape[a])) return false;
    const far = this.shape.map((n) => n - 1);
    return [[0, 0, 0], far].every((v) => distance(this.toMm(v), other.toMm(v)) < 0.01);
  }

  /** A mask on this grid, of which perhaps only a box was sent; null if it is on another grid. */
  whole(mask) {
    if (this.sameGrid(mask)) return mask;
    if (!wholes.has(mask)) wholes.set(mask, this.#unboxed(mask));
    const found = wholes.get(mask);
    return found && this.sameGrid(found) ? found : null;
  }

  #unboxed(box) {
    const m = multiply(this.inverse, box.affine);
    const from = [m[3], m[7], m[11]].map(Math.round);
    const apart = [1, 0, 0, from[0], 0, 1, 0, from[1], 0, 0, 1, from[2]].map((v, n) => Math.abs(v - m[n]));
    if (apart.some((d) => d > 1e-3) || from.some((v, a) => v < 0 || v + box.shape[a] > this.shape[a])) return null;
    const data = new Uint8Array(this.shape[0] * this.shape[1] * this.shape[2]);
    const [ni, nj, nk] = box.shape;
    for (let k = 0, at = 0; k < nk; k++) {
      for (let j = 0; j < nj; j++, at += ni) {
        data.set(box.data.subarray(at, at + ni), this.index(from[0], from[1] + j, from[2] + k));
      }
    }
    return this.withData(data);
  }

  /** A volume of other voxels on this grid. */
  withData(data) {
    return new Volume(this.shape, this.affine, data);
  }
}

const parsed = new WeakMap();
const wholes = new WeakMap();

/**
 * Read an uncompressed NIfTI-1 file. The voxels are looked at in place, not copied.
 * The same buffer gives the same volume.
 * @param {ArrayBuffer} buffer
 * @returns {Volume}
 */
export function parseNifti(buffer) {
  if (!parsed.has(buffer)) parsed.set(buffer, read(buffer));
  return parsed.get(buffer);
}

function read(buffer) {
  if (!(buffer instanceof ArrayBuffer) || buffer.byteLength < HEADER_BYTES) {
    throw new Error("the image is shorter than a NIfTI-1 header");
  }
  const view = new DataView(buffer);
  if (view.getInt32(0, true) !== HEADER_BYTES) throw new Error("the image is no little-endian NIfTI-1");
  const kind = view.getInt16(70, true);
  const Kind = KINDS[kind];
  if (!Kind) throw new Error(`NIfTI data type ${kind} is not shown; expected 2, 4, 16 or 512`);
  const shape = [42, 44, 46].map((at) => view.getInt16(at, true));
  const count = shape[0] * shape[1] * shape[2];
  const offset = view.getFloat32(108, true);
  if (!(Math.min(...shape) > 0) || !(offset >= HEADER_BYTES)) throw new Error("the image has a damaged header");
  if (buffer.byteLength < offset + count * Kind.BYTES_PER_ELEMENT) {
    throw new Error(`the image is cut: ${shape.join(" x ")} voxels expected`);
  }
  const affine = Array.from({ length: 12 }, (_, n) => view.getFloat32(280 + 4 * n, true));
  affine.push(0, 0, 0, 1);
  if (!affine.every(Number.isFinite) || Math.abs(determinant(affine)) < 1e-9) {
    throw new Error("the image has no usable sform");
  }
  const slope = view.getFloat32(112, true);
  const inter = view.getFloat32(116, true);
  const scaled = Number.isFinite(slope) && slope !== 0;
  const data = new Kind(buffer, offset, count);
  const volume = new Volume(shape, affine, data, scaled ? slope : 1, scaled ? inter || 0 : 0);
  const window = [view.getFloat32(128, true), view.getFloat32(124, true)];
  if (window[1] > window[0]) volume.window = window;
  return volume;
}

/** Bytes of a NIfTI-1 file of a mask (0 or 1) on a volume's grid; for the 3-D view. */
export function maskNifti(grid, voxels) {
  const buffer = new ArrayBuffer(352 + voxels.length);
  const view = new DataView(buffer);
  view.setInt32(0, HEADER_BYTES, true);
  [3, ...grid.shape, 1, 1, 1, 1].forEach((n, at) => view.setInt16(40 + 2 * at, n, true));
  view.setInt16(70, 2, true);
  view.setInt16(72, 8, true);
  [1, ...grid.spacing_mm, 1, 1, 1, 1].forEach((n, at) => view.setFloat32(76 + 4 * at, n, true));
  view.setFloat32(108, 352, true);
  view.setFloat32(112, 1, true);
  view.setUint8(123, 2);
  view.setInt16(254, 1, true);
  grid.affine.slice(0, 12).forEach((n, at) => view.setFloat32(280 + 4 * at, n, true));
  [0x6e, 0x2b, 0x31, 0].forEach((byte, at) => view.setUint8(344 + at, byte));
  new Uint8Array(buffer, 352).set(voxels);
  return buffer;
}

/** Apply a 4x4 matrix (row by row) to a point. */
export function apply(m, [x, y, z]) {
  return [
    m[0] * x + m[1] * y + m[2] * z + m[3],
    m[4] * x + m[5] * y + m[6] * z + m[7],
    m[8] * x + m[9] * y + m[10] * z + m[11],
  ];
}

/** Product of two 4x4 matrices (row by row) whose last row is 0 0 0 1. */
export function multiply(a, b) {
  const out = new Array(16).fill(0);
  for (let r = 0; r < 4; r++) {
    for (let c = 0; c < 4; c++) {
      for (let n = 0; n < 4; n++) out[4 * r + c] += a[4 * r + n] * b[4 * n + c];
    }
  }
  return out;
}

/** Determinant of the upper left 3x3 part. */
export function determinant(m) {
  return (
    m[0] * (m[5] * m[10] - m[6] * m[9]) -
    m[1] * (m[4] * m[10] - m[6] * m[8]) +
    m[2] * (m[4] * m[9] - m[5] * m[8])
  );
}

/** Inverse of an affine (row by row). */
export function invert(m) {
  const d = determinant(m);
  const r = [
    [m[5] * m[10] - m[6] * m[9], m[2] * m[9] - m[1] * m[10], m[1] * m[6] - m[2] * m[5]],
    [m[6] * m[8] - m[4] * m[10], m[0] * m[10] - m[2] * m[8], m[2] * m[4] - m[0] * m[6]],
    [m[4] * m[9] - m[5] * m[8], m[1] * m[8] - m[0] * m[9], m[0] * m[5] - m[1] * m[4]],
  ].map((row) => row.map((v) => v / d));
  const shift = r.map((row) => -(row[0] * m[3] + row[1] * m[7] + row[2] * m[11]));
  return [...r[0], shift[0], ...r[1], shift[1], ...r[2], shift[2], 0, 0, 0, 1];
}

/** Distance of two points in mm. */
export function distance(a, b) {
  return Math.hypot(a[0] - b[0], a[1] - b[1], a[2] - b[2]);
}

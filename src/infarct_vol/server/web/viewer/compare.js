// Two images in one plane: squares of either in turn, or one after the other.

import { paintSlice, resampledSlice, sliceSize } from "./slices.js";

export const SQUARE_MM = 12;

/** Paint the partner's slice, read between its voxels in the plane of the panel. */
export function paintPartner(volume, plane, index, partner, limits, pixels) {
  const values = resampledSlice(volume, plane, index, partner);
  const scale = 255 / (limits[1] - limits[0] || 1);
  for (let pixel = 0; pixel < values.length; pixel++) {
    const grey = (values[pixel] - limits[0]) * scale;
    const byte = grey > 255 ? 255 : grey > 0 ? grey | 0 : 0;
    pixels[pixel] = 0xff000000 | (byte << 16) | (byte << 8) | byte;
  }
}

/** A breath of the baseline's violet, so that squares of an image that fits well are told apart. */
function tinted(word) {
  const grey = word & 0xff;
  return 0xff000000 | (Math.min(255, (grey * 1.22) | 0) << 16) | (grey << 8) | Math.min(255, (grey * 1.09) | 0);
}

/** Paint squares of the panel's own image and, tinted, of its partner in turn; the first square is its own. */
export function paintCheckerboard(volume, plane, index, own, partner, pixels) {
  paintSlice(volume, plane, index, own.limits, pixels);
  const other = new Uint32Array(pixels.length);
  paintPartner(volume, plane, index, partner.volume, partner.limits, other);
  const [columns, rows] = sliceSize(volume, plane);
  const step = [plane.column, plane.row].map((axis) => volume.spacing_mm[axis] / SQUARE_MM);
  for (let row = 0, pixel = 0; row < rows; row++) {
    const odd = Math.floor((row + 0.5) * step[1]);
    for (let column = 0; column < columns; column++, pixel++) {
      if ((odd + Math.floor((column + 0.5) * step[0])) % 2) pixels[pixel] = tinted(other[pixel]);
    }
  }
}

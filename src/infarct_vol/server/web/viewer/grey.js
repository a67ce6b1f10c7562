// What is shown as black and as white, and where the head is.

const SAMPLES = 40000;

// black and white as multiples of the upper quartile of the head; ADC: of its median
const PRESETS = {
  DWI: { low: 0, high: 2.4, of: "quartile" },
  FLAIR: { low: 0.2, high: 1.7, of: "quartile" },
  ADC: { low: 0.1, high: 1.7, of: "median" },
};

const statistics = new WeakMap();

/** Percentiles of the head of a scan, from some ten thousand of its voxels. */
function headOf(volume) {
  if (!statistics.has(volume)) {
    const { data, slope, inter } = volume;
    // an odd step does not fall on the same column again and again
    const step = Math.max(1, Math.floor(data.length / SAMPLES)) | 1;
    const sample = [];
    for (let at = 0; at < data.length; at += step) {
      const value = data[at] * slope + inter;
      if (value > 0 && Number.isFinite(value)) sample.push(value);
    }
    const sorted = Float64Array.from(sample).sort();
    const floor = 0.15 * percentile(sorted, 98);
    const head = sorted.filter((value) => value > floor);
    statistics.set(volume, { quartile: percentile(head, 75), median: percentile(head, 50), most: percentile(head, 99.5) });
  }
  return statistics.get(volume);
}

/** Percentile of sorted numbers; 0 of none. */
export function percentile(sorted, share) {
  return sorted.length ? sorted[Math.min(sorted.length - 1, Math.round((share / 100) * (sorted.length - 1)))] : 0;
}

/** Black and white of a preset ("DWI", "FLAIR", "ADC") for a scan; undefined for other names. */
export function presetWindow(volume, name) {
  const preset = PRESETS[name];
  if (!preset) return undefined;
  const unit = headOf(volume)[preset.of] || 1;
  return [preset.low * unit, preset.high * unit];
}

/** Black and white for a scan without a stated window. */
export function autoWindow(volume) {
  const { most, quartile } = headOf(volume);
  return [0, Math.min(most, 2.7 * quartile) || 1];
}

const boxes = new WeakMap();

/** First and last voxel of the head along each axis: `[[i0, i1], [j0, j1], [k0, k1]]`. */
export function headBox(volume, limits) {
  if (!boxes.has(volume)) boxes.set(volume, findBox(volume, limits));
  return boxes.get(volume);
}

function findBox(volume, limits) {
  const { shape, data, slope, inter } = volume;
  const steps = shape.map((n) => Math.max(1, Math.floor(n / 64)));
  const profiles = shape.map((n) => new Float64Array(n));
  const floor = (limits[0] + 0.12 * (limits[1] - limits[0]) - inter) / slope;
  for (let k = 0; k < shape[2]; k += steps[2]) {
    for (let j = 0; j < shape[1]; j += steps[1]) {
      for (let i = 0, at = shape[0] * (j + shape[1] * k); i < shape[0]; i += steps[0], at += steps[0]) {
        if (data[at] > floor) {
          profiles[0][i]++;
          profiles[1][j]++;
          profiles[2][k]++;
        }
      }
    }
  }
  return profiles.map((profile, axis) => {
    const least = 0.02 * Math.max(...profile);
    const first = profile.findIndex((n) => n > least);
    const last = profile.findLastIndex((n) => n > least);
    return first < 0 ? [0, shape[axis] - 1] : [first, Math.min(shape[axis] - 1, last + steps[axis] - 1)];
  });
}

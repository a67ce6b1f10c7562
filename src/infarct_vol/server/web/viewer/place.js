// Where the reader is: crosshair, middle of the view and zoom. Linked panels share one place.

import { headBox } from "./grey.js";

const MARGIN_MM = 6;
const ZOOM_STEP = 1.25;
const MOST_ZOOM = 24;

/** A point in mm, the point in the middle of the panels, and how far it is zoomed in. */
export class Place {
  constructor(mm, centre) {
    this.mm = mm;
    this.home = centre;
    this.reset();
  }

  /** Whole slice. */
  reset() {
    this.zoom = 1;
    this.centre = [...this.home];
  }

  /** Zoom by a number of steps; `fixed` (mm) stays where it is on the screen. */
  zoomBy(steps, fixed) {
    const zoom = Math.min(MOST_ZOOM, Math.max(1, this.zoom * ZOOM_STEP ** steps));
    const share = this.zoom / zoom;
    this.centre = this.centre.map((c, a) => fixed[a] + (c - fixed[a]) * share);
    this.zoom = zoom;
    if (zoom === 1) this.centre = [...this.home];
  }
}

/** Middle of the head of a scan, in mm. */
export function headCentre(volume, limits) {
  return volume.toMm(headBox(volume, limits).map(([low, high]) => (low + high) / 2));
}

/** Width and height in mm that the head of a scan takes in a plane. */
export function headSize(volume, limits, plane) {
  const box = headBox(volume, limits);
  return [plane.column, plane.row].map(
    (axis) => (box[axis][1] - box[axis][0] + 1) * volume.spacing_mm[axis] + 2 * MARGIN_MM,
  );
}

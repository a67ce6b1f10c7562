// Strokes that can be taken back: which voxels each of them turned over.

const MOST_VOXELS = 8_000_000;

/** Undo and redo over whole strokes; the oldest are forgotten when they hold too many voxels together. */
export class Strokes {
  constructor(most = MOST_VOXELS) {
    this.most = most;
    this.done = [];
    this.undone = [];
    this.size = 0;
  }

  /** Remember a stroke; what was taken back before it is gone. */
  push(voxels) {
    for (const stroke of this.undone) this.size -= stroke.length;
    this.undone = [];
    this.done.push(Uint32Array.from(voxels));
    this.size += voxels.length;
    while (this.size > this.most && this.done.length > 1) this.size -= this.done.shift().length;
  }

  /** Voxels of the last stroke, which is now taken back; null if there is none. */
  undo() {
    const stroke = this.done.pop() ?? null;
    if (stroke) this.undone.push(stroke);
    return stroke;
  }

  /** Voxels of the stroke that was taken back last; null if there is none. */
  redo() {
    const stroke = this.undone.pop() ?? null;
    if (stroke) this.done.push(stroke);
    return stroke;
  }
}

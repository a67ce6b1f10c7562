// Colours of the contours: those of the report, so that a colour means the same in both.

export const COLOURS = {
  infarct: "#ff7a1a",
  cavity: "#45c1ff",
  new_lesion: "#f0e442",
  automatic: "#ff9ec4",
  baseline: "#d68fff",
  edit: "#2fd6a3",
  read1: "#2fd6a3",
  read2: "#ff9ec4",
  crosshair: "#8fa3b8",
  text: "#e6edf3",
  quiet: "#93a1b0",
  alarm: "#ff6b6b",
};

/** Colour of a mask by its key. */
export const colourOf = (key) => COLOURS[key] ?? COLOURS.infarct;

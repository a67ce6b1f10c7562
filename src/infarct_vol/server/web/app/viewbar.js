// The bar over the images: what is switched on, for the mouse and for the eye.

import { button, el } from "./dom.js";
import { capital } from "./words.js";

const SWITCHES = [
  ["Mask", "M", "toggleMask", (state) => state.toggles.mask],
  ["Baseline", "B", "toggleBaselineContour", (state) => state.toggles.baseline],
  ["Checker", "X", "checkerboard", (state) => state.compare?.name === "checkerboard"],
  ["Blink", "V", "blink", (state) => state.compare?.name === "blink"],
  ["Mosaic", "O", "mosaic", (state) => state.toggles.mosaic],
  ["3-D", "D", "threeD", (state) => state.toggles.threeD],
  ["Alone", "F", "maximise", (state) => state.toggles.maximised],
];

export class ViewBar {
  constructor(page) {
    this.page = page;
    this.switches = SWITCHES.map(([label, keys, command, on]) => ({
      on,
      button: button(label, () => page.look(command), { keys, kind: "switch", "aria-pressed": "false" }),
    }));
    this.plane = button("", () => page.look("nextPlane"), { keys: "P", kind: "switch", title: "Next plane" });
    this.window = button("", () => page.nextWindow(), { keys: "W", kind: "switch", title: "Next window" });
    this.place = el("span", { class: "place", title: "Slices are numbered as in the file, from 0" });
    this.element = el(
      "div",
      { class: "view-bar", role: "toolbar", "aria-label": "View" },
      this.switches.map((one) => one.button),
      this.plane,
      this.window,
      this.place,
    );
  }

  draw(state) {
    for (const one of this.switches) one.button.setAttribute("aria-pressed", String(Boolean(one.on(state))));
    this.plane.firstElementChild.textContent = capital(state.plane ?? "axial");
    this.window.firstElementChild.textContent = `Window ${state.windowName ?? "auto"}`;
    const somewhere = state.slice !== null && state.slice !== undefined;
    this.place.textContent = somewhere ? `Slice ${state.sliceNumber ?? state.slice} of 0–${state.slices - 1}` : "";
  }
}

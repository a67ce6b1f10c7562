// What a key or a button can ask of the viewer, by plain names.

import { PLANES, planeOfAxis } from "./slices.js";

/** Names -> functions; each ends with the new state drawn. */
export function makeCommands(viewer) {
  const toggle = (name) => () => {
    viewer.toggles[name] = !viewer.toggles[name];
    viewer.changed();
  };
  const compare = (name) => () => {
    if (!viewer.partner()) viewer.say("There is no other linked image to compare this one with.");
    else viewer.setCompare(viewer.compare.name === name ? "plain" : name);
  };
  return {
    nextSlice: () => viewer.step(viewer.focused, 1),
    previousSlice: () => viewer.step(viewer.focused, -1),
    nextPlane: () => setPlane(viewer, planeOfAxis((viewer.plane.axis + 2) % 3)),
    setPlane: (name) => setPlane(viewer, PLANES[name]),
    toggleMask: toggle("mask"),
    toggleParts: toggle("parts"),
    toggleBaselineContour: toggle("baseline"),
    toggleCrosshair: toggle("crosshair"),
    toggleSmooth() {
      viewer.smooth = !viewer.smooth;
      viewer.changed();
    },
    windowPreset: (name) => windowPreset(viewer, name),
    mosaic: () => viewer.mosaic.toggle(),
    blink: compare("blink"),
    checkerboard: compare("checkerboard"),
    swapSource() {
      viewer.compare.partner += 1;
      viewer.changed();
    },
    threeD: () => viewer.solid.toggle(),
    zoomIn: () => viewer.zoomBy(viewer.focused, 1),
    zoomOut: () => viewer.zoomBy(viewer.focused, -1),
    resetView: () => resetView(viewer),
    focusPanel: (n) => viewer.focus(viewer.panels[n]),
    nextPanel: () => viewer.focus(viewer.panels[(viewer.panels.indexOf(viewer.focused) + 1) % viewer.panels.length]),
    maximise() {
      viewer.toggles.maximised = !viewer.toggles.maximised;
      viewer.layout();
    },
    goTo(mm) {
      for (const panel of viewer.panels) if (panel.data.spec.linked !== false) panel.place.mm = [...mm];
      viewer.changed();
    },
    goToComponent: (item, key, number) => goToComponent(viewer, item, key, number),
    nextComponent: () => nextComponent(viewer),
  };
}

function setPlane(viewer, plane) {
  viewer.plane = plane;
  viewer.mosaic.close();
  viewer.layout();
}

/** Give the images of the focused panel's modality a preset; "auto" is the window of the start. */
function windowPreset(viewer, name) {
  if (!viewer.focused) return;
  const { modality } = viewer.focused.data.spec;
  if (name === "auto") viewer.windows.delete(modality);
  else if (["DWI", "ADC", "FLAIR"].includes(name)) viewer.windows.set(modality, { name });
  viewer.changed();
}

function resetView(viewer) {
  for (const panel of viewer.panels) panel.place.reset();
  viewer.windows.clear();
  viewer.changed();
}

function goToComponent(viewer, itemId, key, number) {
  const item = viewer.model?.items.find((one) => one.id === itemId);
  const mask = item?.spec.masks?.find((one) => one.key === key);
  const component = mask?.components?.find((one) => one.number === number);
  const panel = viewer.panels.find((one) => one.data === item?.panel);
  if (!component || !panel?.volume) return;
  viewer.focus(panel);
  viewer.moveTo(panel, component.voxel);
}

/** The component after the one the crosshair is nearest to, on the focused image or the first that has any. */
function nextComponent(viewer) {
  const all = (panel) =>
    panel.data.items.flatMap((item) =>
      (item.spec.masks ?? []).flatMap((mask) => (mask.components ?? []).map((c) => [item.id, mask.key, c])),
    );
  const panel = [viewer.focused, ...viewer.panels].find((one) => one?.volume && all(one).length);
  if (!panel) return;
  const list = all(panel);
  const here = panel.volume.toVoxel(panel.place.mm);
  const at = list.findIndex(([, , c]) => c.voxel.every((v, a) => Math.abs(v - here[a]) < 0.51));
  const [item, key, component] = list[(at + 1) % list.length];
  goToComponent(viewer, item, key, component.number);
}

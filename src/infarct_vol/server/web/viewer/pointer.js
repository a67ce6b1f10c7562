// Mouse and pen on a panel.
//
// click or drag: crosshair (while editing: the tool; with Alt the crosshair) - right or Shift drag: window -
// wheel: slice - Ctrl wheel: zoom - middle or Ctrl drag: move the image

const WHEEL_PX = 40;

/** Listen on a panel's canvas until the canvas is gone. */
export function listenOn(panel) {
  const { canvas, viewer } = panel;
  let drag = null;
  let rolled = 0;
  const point = (event) => {
    const box = canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };

  canvas.addEventListener("contextmenu", (event) => event.preventDefault());
  canvas.addEventListener("pointerdown", (event) => {
    if (drag || !panel.volume) return;
    event.preventDefault();
    capture(canvas, event);
    viewer.focus(panel);
    drag = { kind: kindOf(event, panel), from: point(event), last: point(event) };
    begin(panel, drag);
  });
  canvas.addEventListener("pointermove", (event) => {
    panel.pointer = point(event);
    if (drag) {
      // a fast stroke has more points than events
      const all = drag.kind === "edit" ? (event.getCoalescedEvents?.() ?? []) : [];
      for (const one of all.length ? all : [event]) proceed(panel, drag, point(one));
    } else if (viewer.edit.isOn(panel)) viewer.redraw(panel);
  });
  const finish = () => {
    if (drag?.kind === "edit") viewer.edit.up();
    drag = null;
  };
  canvas.addEventListener("pointerup", finish);
  canvas.addEventListener("pointercancel", finish);
  canvas.addEventListener("pointerleave", () => {
    panel.pointer = null;
    if (viewer.edit.isOn(panel)) viewer.redraw(panel);
  });
  canvas.addEventListener("wheel", (event) => {
    if (!panel.volume) return;
    event.preventDefault();
    viewer.focus(panel);
    const step = event.deltaMode === 0 ? event.deltaY / WHEEL_PX : event.deltaY;
    rolled = Math.sign(step) === Math.sign(rolled) ? rolled + step : step;
    if (Math.abs(rolled) < 1) return;
    const way = -Math.sign(rolled);
    rolled = 0;
    if (event.ctrlKey) viewer.zoomBy(panel, way, panel.volume.toMm(panel.voxelAt(...point(event))));
    else viewer.step(panel, way);
  }, { passive: false });
}

function capture(canvas, event) {
  try {
    canvas.setPointerCapture(event.pointerId);
  } catch {
    // a pointer that is gone already needs no capture
  }
}

function kindOf(event, panel) {
  if (event.button === 1 || (event.button === 0 && event.ctrlKey)) return "move";
  if (event.button === 2 || event.shiftKey) return "window";
  return panel.viewer.edit.isOn(panel) && !event.altKey ? "edit" : "crosshair";
}

function begin(panel, drag) {
  const { viewer } = panel;
  if (drag.kind === "edit") viewer.edit.down(panel, panel.voxelAt(...drag.from));
  if (drag.kind === "crosshair") viewer.moveTo(panel, panel.voxelAt(...drag.from));
  if (drag.kind === "window") drag.window = viewer.windowOf(panel);
}

function proceed(panel, drag, at) {
  const { viewer } = panel;
  if (drag.kind === "edit") viewer.edit.move(panel, panel.voxelAt(...at));
  if (drag.kind === "crosshair") viewer.moveTo(panel, panel.voxelAt(...at));
  if (drag.kind === "window") viewer.setWindow(panel, dragged(drag, at));
  if (drag.kind === "move") {
    const [before, now] = [drag.last, at].map((p) => panel.volume.toMm(panel.voxelAt(...p)));
    viewer.shift(panel, [0, 1, 2].map((a) => before[a] - now[a]));
  }
  drag.last = at;
}

/** To the right: wider; down: brighter. 300 pixels are one width of the window at the start. */
function dragged(drag, [x, y]) {
  const [low, high] = drag.window;
  const width = high - low;
  const wider = Math.max(0.02 * width, width * (1 + (x - drag.from[0]) / 300));
  const level = (low + high) / 2 - (width * (y - drag.from[1])) / 300;
  return [level - wider / 2, level + wider / 2];
}

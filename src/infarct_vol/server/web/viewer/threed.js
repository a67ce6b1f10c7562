// The 3-D view of the focused image with its lesion; NiiVue draws it and is loaded when first asked for.

import { maskNifti } from "./volume.js";

const LIBRARY = new URL("../vendor/niivue.umd.js", import.meta.url);
const OPACITY = 0.9;
const FROM_THE_SIDE = 20; // degrees in front of a straight look from the side
const MOST_VOXELS = { hardware: 8_000_000, software: 1_500_000 };
const SOFTWARE_PIXELS = 0.4;

let loading = null;

/** Load NiiVue once. */
function library() {
  loading ??= new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = LIBRARY;
    script.addEventListener("load", () => resolve(globalThis.niivue));
    script.addEventListener("error", () => {
      loading = null;
      reject(new Error("the 3-D library could not be loaded"));
    });
    document.head.append(script);
  });
  return loading;
}

/** The 3-D view over the panels of a viewer; everything it holds is given back when it is closed. */
export class ThreeD {
  constructor(viewer) {
    this.viewer = viewer;
    this.open = false;
    this.ready = null;
  }

  /** Open or close; the promise is kept once the view is drawn. */
  toggle() {
    if (this.open) this.close();
    else this.ready = this.#show();
    return this.ready;
  }

  close() {
    if (!this.open) return;
    this.open = false;
    this.ready = null;
    const { niivue, box } = this;
    box.remove();
    this.niivue = null;
    if (niivue) {
      niivue.cleanup?.();
      // browsers keep few drawing contexts: this one is not waited for
      niivue.gl?.getExtension("WEBGL_lose_context")?.loseContext();
    }
    this.viewer.changed();
  }

  async #show() {
    const panel = this.viewer.focused;
    if (!panel?.volume) return;
    this.open = true;
    const box = document.createElement("div");
    box.className = "iv-over";
    this.box = box;
    const canvas = document.createElement("canvas");
    const caption = document.createElement("div");
    caption.className = "iv-caption";
    caption.textContent = `${panel.data.spec.label ?? panel.id}, 3-D: drag to turn, wheel to zoom. Drawn by NiiVue`;
    box.append(canvas, caption);
    this.viewer.root.append(box);
    this.viewer.changed();
    try {
      await this.#load(canvas, panel, box);
    } catch (error) {
      if (this.box !== box || !this.open) return;
      this.close();
      this.viewer.say(`The 3-D view cannot be shown: ${error.message}`);
    }
  }

  async #load(canvas, panel, box) {
    const software = drawsInSoftware();
    const { Niivue, NVImage } = await library();
    if (this.box !== box || !this.open) return;
    const niivue = new Niivue({
      backColor: [0.047, 0.059, 0.075, 1],
      show3Dcrosshair: false,
      clipPlaneColor: [0, 0, 0, 0],
      isOrientCube: true,
      dragAndDropEnabled: false,
      isResizeCanvas: true,
      // without a graphics card every pixel costs: fewer of them turn more smoothly
      forceDevicePixelRatio: software ? SOFTWARE_PIXELS : 0,
      logLevel: "error",
      loadingText: "",
    });
    this.niivue = niivue;
    await niivue.attachToCanvas(canvas);
    niivue.setSliceType(niivue.sliceTypeRender);
    const scan = coarse(panel.volume, software ? MOST_VOXELS.software : MOST_VOXELS.hardware);
    const [low, high] = this.viewer.windowOf(panel);
    const image = await NVImage.loadFromUrl({
      url: scanNifti(scan, low, high), name: "scan.nii", colormap: "gray", opacity: OPACITY, cal_min: 35, cal_max: 255,
    });
    niivue.addVolume(image);
    // the baseline would hide the lesion of the follow-up
    for (const layer of this.viewer.layersOf(panel).filter(({ kind }) => kind !== "baseline")) {
      const name = `iv-${layer.colour.slice(1)}`;
      niivue.addColormap(name, colourMap(layer.colour));
      const url = maskNifti(layer.mask, layer.mask.data);
      const options = { url, name: "mask.nii", colormap: name, opacity: 1, cal_min: 0.5, cal_max: 1 };
      niivue.addVolume(await NVImage.loadFromUrl(options));
    }
    this.#cutOpen(niivue, panel);
    niivue.drawScene();
  }

  /** Take the head away on the side of the lesion, down to the lesion's middle, and look from there. */
  #cutOpen(niivue, panel) {
    const masks = this.viewer.layersOf(panel).filter(({ kind }) => kind !== "baseline").map(({ mask }) => mask);
    const across = middleAcross(panel.volume, masks);
    const left = across < 0.5;
    niivue.setRenderAzimuthElevation(left ? 90 + FROM_THE_SIDE : 270 - FROM_THE_SIDE, 15);
    niivue.setClipPlane([Math.min(0.45, Math.abs(0.5 - across)), left ? 270 : 90, 0]);
  }
}

/** Where the middle of the first mask that is not empty lies, from 0 at the left to 1 at the right edge of a scan. */
function middleAcross(volume, masks) {
  const width = volume.shape[0];
  for (const { data } of masks) {
    let sum = 0;
    let count = 0;
    for (let at = 0; at < data.length; at++) {
      if (data[at]) {
        sum += at % width;
        count++;
      }
    }
    if (count) return (sum / count + 0.5) / width;
  }
  return 0.5;
}

/** True where no graphics card draws. */
function drawsInSoftware() {
  const gl = document.createElement("canvas").getContext("webgl2");
  if (!gl) throw new Error("this browser has no WebGL 2");
  const known = gl.getExtension("WEBGL_debug_renderer_info");
  const renderer = known ? gl.getParameter(known.UNMASKED_RENDERER_WEBGL) : "";
  gl.getExtension("WEBGL_lose_context")?.loseContext();
  return /swiftshader|llvmpipe|software/i.test(renderer);
}

function colourMap(colour) {
  const [r, g, b] = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
  return { R: [r, r], G: [g, g], B: [b, b], A: [0, 255], I: [0, 255], min: 0, max: 0 };
}

/** Every second voxel along axes with many: the 3-D view is an overview, nothing is measured on it. */
function coarse(volume, most) {
  const shape = [...volume.shape];
  const step = [1, 1, 1];
  while (shape[0] * shape[1] * shape[2] > most) {
    const longest = shape.indexOf(Math.max(...shape));
    step[longest] *= 2;
    shape[longest] = Math.ceil(volume.shape[longest] / step[longest]);
  }
  const data = new Float32Array(shape[0] * shape[1] * shape[2]);
  let at = 0;
  for (let k = 0; k < shape[2]; k++) {
    for (let j = 0; j < shape[1]; j++) {
      for (let i = 0; i < shape[0]; i++) data[at++] = volume.value(i * step[0], j * step[1], k * step[2]);
    }
  }
  const affine = volume.affine.map((v, n) => (n < 12 && n % 4 < 3 ? v * step[n % 4] : v));
  const spacing_mm = volume.spacing_mm.map((mm, a) => mm * step[a]);
  return { shape, affine, spacing_mm, data };
}

function scanNifti({ data, ...grid }, low, high) {
  const bytes = new Uint8Array(data.length);
  const scale = 255 / (high - low || 1);
  for (let at = 0; at < data.length; at++) bytes[at] = Math.min(255, Math.max(0, (data[at] - low) * scale));
  return maskNifti(grid, bytes);
}

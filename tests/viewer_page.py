"""A page that holds the viewer alone, served with the review page's own security policy; and cases for it."""

from __future__ import annotations

import functools
import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from infarct_vol.geometry import Grid
from infarct_vol.nifti import nifti_bytes

WEB = Path(__file__).resolve().parents[1] / "src/infarct_vol/server/web"
PAGE = Path(__file__).resolve().parent / "web_viewer"
TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".json": "application/json"}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
BROWSER_ARGS = [
    "--headless",
    "--no-sandbox",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, files: Mapping[str, bytes], *args: Any) -> None:
        self.files = files
        super().__init__(*args)

    def do_GET(self) -> None:
        """Answer from the case, the viewer's files and the page's."""
        name = self.path.split("?")[0]
        content = self.files.get(name)
        if content is None:
            path = WEB / name.removeprefix("/static/") if name.startswith("/static/") else PAGE / name[1:]
            path = PAGE / "index.html" if name == "/" else path
            content = path.read_bytes() if path.is_file() else None
        self.send_response(200 if content is not None else 404)
        kind = "text/html" if name == "/" else TYPES.get(Path(name).suffix, "application/octet-stream")
        self.send_header("Content-Type", kind)
        self.send_header("Content-Security-Policy", POLICY)
        self.send_header("Content-Length", str(len(content or b"")))
        self.end_headers()
        self.wfile.write(content or b"")

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextmanager
def served(files: Mapping[str, bytes], *, port: int = 0) -> Iterator[str]:
    """Serve the page and a case on a free port; give the address."""
    server = ThreadingHTTPServer(("127.0.0.1", port), functools.partial(_Handler, files))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class CaseBuilder:
    """Puts a CaseView and its files together, panel by panel."""

    def __init__(self, code: str, *, reference: str) -> None:
        self.files: dict[str, bytes] = {}
        self.view: dict[str, Any] = {
            "code": code,
            "title": code,
            "kind": "open",
            "blinded": False,
            "previous": None,
            "next": None,
            "locked": False,
            "reference": reference,
            "panels": [],
            "visits": [],
            "history": [],
        }

    def panel(
        self,
        name: str,
        data: NDArray[Any],
        affine: NDArray[np.float64],
        *,
        visit: str,
        modality: str,
        label: str,
        window: tuple[float, float] | None = None,
        linked: bool = True,
        note: str = "",
    ) -> None:
        """Add a panel; ``data`` has its axes to the right, to the front and up."""
        url = f"/api/cases/{self.view['code']}/volumes/{name}"
        grid = Grid(data.shape, affine)
        slope = 1.0 if data.dtype.kind in "iu" else max(float(data.max()), 1e-6) / 30000
        stored = np.asarray(data, dtype=np.float32)
        self.files[url] = nifti_bytes(stored, grid, dtype="int16", slope=slope)
        head = data[data > 0.15 * np.percentile(data, 98)]
        high = 2.4 * np.median(head) if modality == "adc" else 2.2 * np.percentile(head, 75)
        self.view["panels"].append(
            {
                "id": name,
                "visit": visit,
                "label": label,
                "modality": modality,
                "shape": list(data.shape),
                "spacing_mm": [float(mm) for mm in grid.spacing_mm],
                "slice_axis": grid.slice_axis,
                "window": list(window or (0.0, float(high))),
                "linked": linked,
                "note": note,
                "volume": url,
            }
        )

    def item(
        self,
        visit: str,
        image: str,
        panel: str,
        masks: Mapping[str, NDArray[np.bool_]],
        *,
        affine: NDArray[np.float64],
        reads: Sequence[Mapping[str, NDArray[np.bool_]]] = (),
    ) -> None:
        """Add what is judged of a visit, with its masks on the grid of a panel."""
        entry = {"item": f"{visit}/{image}", "image": image, "panel": panel, "revision": 0, "stale": False}
        entry |= {"decision": None, "versions": []}
        entry["masks"] = [self._mask(entry["item"], key, mask, affine) for key, mask in masks.items()]
        entry["reads"] = [
            {
                "number": number,
                "verdict": "accept",
                "reason": "",
                "masks": [self._mask(f"{entry['item']}/{number}", k, m, affine) for k, m in one.items()],
            }
            for number, one in enumerate(reads, start=1)
        ]
        for each in self.view["visits"]:
            if each["id"] == visit:
                each["items"].append(entry)
                return
        self.view["visits"].append(
            {"id": visit, "label": visit, "status": "measured", "flags": [], "items": [entry]}
        )

    def _mask(
        self, item: str, key: str, mask: NDArray[np.bool_], affine: NDArray[np.float64]
    ) -> dict[str, Any]:
        grid = Grid(mask.shape, affine)
        url = f"/api/cases/{self.view['code']}/masks/{item}/{key}"
        self.files[url] = nifti_bytes(mask.astype(np.float32), grid, dtype="uint8")
        labels, count = ndimage.label(mask, structure=np.ones((3, 3, 3)))
        components = []
        for number in range(1, count + 1):
            voxels = np.argwhere(labels == number)
            middle = voxels[np.argmin(((voxels - voxels.mean(axis=0)) ** 2).sum(axis=1))]
            volume_ml = len(voxels) * grid.voxel_volume_ml
            components.append({"number": number, "volume_ml": volume_ml, "voxel": [int(v) for v in middle]})
        components.sort(key=lambda c: -c["volume_ml"])
        for number, component in enumerate(components, start=1):
            component["number"] = number
        label = {"dwi": "infarct", "flair": "infarct"}.get(key, key.replace("_", " "))
        volume_ml = float(mask.sum() * grid.voxel_volume_ml)
        return {
            "key": key,
            "label": label,
            "sha256": f"{hash(url) & 0xFFFFFFFF:064x}",
            "source": "automatic",
            "url": url,
            "volume_ml": volume_ml,
            "components": components,
        }

    def content(self) -> dict[str, bytes]:
        """All files of the case by the path they are served under."""
        return {"/case.json": json.dumps(self.view).encode(), **self.files}

"""The review page's HTTP interface over a made-up study: `python tests/web_app/fake_api.py [kind]`."""

from __future__ import annotations

import gzip
import json
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))

from fake_study import PASSPHRASE, SHAPE, VISITS, FakeStudy, head, nifti

WEB = Path(__file__).resolve().parents[2] / "src" / "infarct_vol" / "server" / "web"
TYPES = {".js": "text/javascript", ".css": "text/css", ".html": "text/html", ".txt": "text/plain"}
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self'; font-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)


class FakeServer(ThreadingHTTPServer):
    """The server of one study; tests set its fields to make it fail.

    Parameters
    ----------
    study
        What is served.
    """

    daemon_threads = True

    def __init__(self, study: FakeStudy) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.study = study
        self.turn = threading.RLock()
        self.reader: str | None = None
        self.csrf = "csrf-0"
        self.sign_ins = 0
        self.idle_minutes: float = 30
        self.failing: dict[str, tuple[int, str]] = {}
        """Part of a path -> status and message that is answered for it."""
        self.log: list[tuple[str, str]] = []
        self.sent: list[Any] = []
        self.wait_s = 0.0

    @property
    def url(self) -> str:
        """Address of the page."""
        return f"http://127.0.0.1:{self.server_address[1]}/"

    def session(self) -> dict[str, Any]:
        """Return the session."""
        study = self.study
        name = self.reader
        return {
            "reader": {"name": name, "role": study.roles[name]} if name else None,
            "csrf": self.csrf,
            "study": {"name": "TRIAL-1", "reads": 1 if study.kind == "open" else 2, "blinding": "BLINDED"},
            "lock": study.lock,
            "enrolled": list(study.readers),
            "idle_minutes": self.idle_minutes,
            "suggested": "Dr A",
            "version": "0.0.0",
        }

    def asked(self, method: str, part: str) -> int:
        """Return how many requests there were whose path holds this part."""
        return sum(1 for one, path in self.log if one == method and part in path)


class Handler(BaseHTTPRequestHandler):
    """Answers one request."""

    server: FakeServer
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        """Answer a GET."""
        self._handle("GET", b"")

    def do_POST(self) -> None:
        """Answer a POST."""
        self._handle("POST", self.rfile.read(int(self.headers.get("Content-Length", 0))))

    def _handle(self, method: str, body: bytes) -> None:
        parts = urlsplit(self.path)
        server = self.server
        server.log.append((method, self.path))
        if server.wait_s and parts.path.startswith("/api/cases"):
            time.sleep(server.wait_s)
        for part, (status, message) in list(server.failing.items()):
            if part in self.path:
                self._error(status, message)
                return
        with server.turn:
            if not parts.path.startswith("/api/"):
                self._asset(parts.path)
            elif method == "POST" and self.headers.get("X-CSRF-Token") != server.csrf:
                self._error(403, "the token of the session is wrong")
            elif parts.path in ("/api/session", "/api/sign-in", "/api/enrol"):
                self._enter(parts.path, body)
            elif server.reader is None:
                self._error(401, "nobody is signed in")
            else:
                path = [unquote(one) for one in parts.path.split("/")[2:]]
                self._signed_in(method, path, parse_qs(parts.query), body)

    # ---- answers ------------------------------------------------------------------------------------------

    def _answer(self, status: int, content: bytes, kind: str, **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Content-Security-Policy", CSP)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(content)

    def _json(self, data: object, status: int = 200) -> None:
        self._answer(status, json.dumps(data, default=float).encode(), "application/json")

    def _error(self, status: int, message: str, **more: object) -> None:
        self._json({"error": {"status": status, "message": message}, **more}, status)

    def _asset(self, path: str) -> None:
        name = "index.html" if path == "/" else path.removeprefix("/static/")
        file = WEB / name
        if ".." in name or not file.is_file():
            self._error(404, "there is nothing here")
        else:
            self._answer(200, file.read_bytes(), TYPES[file.suffix])

    # ---- the interface ------------------------------------------------------------------------------------

    def _enter(self, path: str, body: bytes) -> None:
        server, study = self.server, self.server.study
        if path != "/api/session":
            sent = json.loads(body)
            if path == "/api/enrol":
                study.readers[sent["name"]] = sent["passphrase"]
                study.roles[sent["name"]] = sent["role"]
            if study.readers.get(sent["name"]) != sent["passphrase"]:
                self._error(401, "name or passphrase is wrong")
                return
            server.sign_ins += 1
            server.reader, server.csrf = sent["name"], f"csrf-{server.sign_ins}"
        self._json(server.session())

    def _signed_in(self, method: str, path: list[str], query: dict[str, list[str]], body: bytes) -> None:
        server, study = self.server, self.server.study
        if path == ["sign-out"]:
            server.reader = None
            self._json(server.session())
        elif path in (["lock"], ["unlock"]):
            self._lock(path[0], json.loads(body))
        elif path == ["worklist"]:
            self._json(study.worklist())
        elif path[1] not in study.cases:
            self._error(404, "there is no such case")
        elif method == "GET":
            self._read(path[1], path[2:], query)
        elif study.lock:
            self._error(423, "the study is locked")
        else:
            self._change(path[1], path[2:], query, body)

    def _lock(self, what: str, sent: dict[str, str]) -> None:
        server, study = self.server, self.server.study
        if sent["passphrase"] != PASSPHRASE:
            self._error(401, "the passphrase is wrong")
            return
        lock = {
            "who": server.reader,
            "utc": "2026-03-01T13:00:00+00:00",
            "meaning": sent.get("meaning"),
            "sequence": 99,
        }
        study.lock = lock if what == "lock" else None
        server.sent.append((what, sent))
        self._json(server.session())

    def _read(self, code: str, path: list[str], query: dict[str, list[str]]) -> None:
        study = self.server.study
        if not path:
            self._json(study.view(code))
        elif path[0] == "volumes":
            visit, modality = path[1].split(".")
            at = [name for name, _, _ in VISITS].index(visit)
            self._answer(200, head(modality, at), "application/octet-stream")
        elif path[0] == "masks":
            self._answer(200, nifti(study.masks[query["sha256"][0]]), "application/octet-stream")
        else:
            name = f"{code}_{path[1]}_{path[2]}.nii.gz"
            headers = {"Content_Disposition": f'attachment; filename="{name}"'}
            self._answer(200, gzip.compress(b"voxels"), "application/gzip", **headers)

    def _change(self, code: str, path: list[str], query: dict[str, list[str]], body: bytes) -> None:
        server, study = self.server, self.server.study
        reader = str(server.reader)
        if path[0] == "decisions":
            decisions = json.loads(body)["decisions"]
            server.sent.append(("decisions", decisions))
            fits = study.judge(reader, code, decisions)
        else:
            kind, name, key = path
            reason = unquote(self.headers["X-Reason"])
            server.sent.append((kind, name, key, int(query["revision"][0]), query["parent"][0], reason))
            fits = study.cases[code].items[name].revision == int(query["revision"][0])
            if kind == "uploads":
                if b"wrong grid" in body:
                    self._error(422, "the grids differ:\nmask 40 x 40 x 8\nscan 48 x 56 x 12")
                    return
                mask = np.ones(SHAPE, np.uint8)
            else:
                mask = np.frombuffer(gzip.decompress(body), np.uint8).reshape(SHAPE, order="F")
            if fits:
                tool = "upload" if kind == "uploads" else "page"
                study.save(reader, code, name, key, mask, reason=reason, tool=tool)
        if fits:
            self._json(study.view(code))
        else:
            self._error(409, "it was decided or edited meanwhile", current=study.view(code))


@contextmanager
def served(study: FakeStudy) -> Iterator[FakeServer]:
    """Serve a study in a thread."""
    server = FakeServer(study)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


if __name__ == "__main__":
    with served(FakeStudy(12, kind=sys.argv[1] if len(sys.argv) > 1 else "open")) as running:
        sys.stdout.write(f"{running.url} (Dr A, {PASSPHRASE})\n")
        while True:
            time.sleep(60)

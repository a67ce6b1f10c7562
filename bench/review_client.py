"""A reader without a browser: signs in, looks at cases, judges and corrects them over HTTP."""

from __future__ import annotations

import gzip
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import numpy as np

from infarct_vol.audit import AuditTrail
from infarct_vol.review.readers import Readers

PASSPHRASE = "a passphrase for the bench"


def enrolled(out: Path, names: list[str]) -> None:
    """Enrol readers who are not yet."""
    readers = Readers(out, AuditTrail(out))
    for name in names:
        if name not in readers.names():
            readers.enrol(name, PASSPHRASE)


class Client:
    """One reader at the page.

    Parameters
    ----------
    url
        Address with the launch token, as the command prints it.
    name
        An enrolled reader.
    """

    def __init__(self, url: str, name: str) -> None:
        base, _, token = url.partition("/?token=")
        # the cookie is kept by hand: it is bound to one port, and many readers share this process
        self.http = httpx.Client(base_url=base, timeout=60, headers={"Origin": base})
        self.http.get("/", params={"token": token})
        self.csrf = self.http.get("/api/session").json()["csrf"]
        session = self.post("/api/sign-in", json={"name": name, "passphrase": PASSPHRASE})
        session.raise_for_status()
        self.csrf = session.json()["csrf"]

    def post(self, path: str, **sent: Any) -> httpx.Response:
        """Send a change."""
        headers = {"X-CSRF-Token": self.csrf, **sent.pop("headers", {})}
        return self.http.post(path, headers=headers, **sent)

    def codes(self) -> list[str]:
        """Return the codes of all cases."""
        return [case["code"] for case in self.http.get("/api/worklist").raise_for_status().json()["cases"]]

    def case(self, code: str) -> dict[str, Any]:
        """Return a case."""
        found: dict[str, Any] = self.http.get(f"/api/cases/{code}").raise_for_status().json()
        return found

    def judge(self, code: str, item: Mapping[str, Any], verdict: str, reason: str) -> httpx.Response:
        """Send one decision."""
        masks = {mask["key"]: mask["sha256"] for mask in item["masks"]}
        one = {
            "item": item["item"],
            "verdict": verdict,
            "reason": reason,
            "revision": item["revision"],
            "masks": masks,
        }
        return self.post(f"/api/cases/{code}/decisions", json={"decisions": [one]})

    def voxels(self, mask: Mapping[str, Any]) -> np.ndarray:
        """Return a mask's voxels, one byte each, i fastest."""
        content = self.http.get(mask["url"]).raise_for_status().content
        return np.frombuffer(content[352:], dtype=np.uint8).copy()

    def save(
        self, code: str, item: Mapping[str, Any], mask: Mapping[str, Any], voxels: np.ndarray, reason: str
    ) -> httpx.Response:
        """Send a corrected mask."""
        place = f"/api/cases/{code}/masks/{quote(item['item'], safe='')}/{mask['key']}"
        return self.post(
            place,
            params={"revision": item["revision"], "parent": mask["sha256"]},
            content=gzip.compress(voxels.tobytes(), compresslevel=1),
            headers={"X-Reason": quote(reason), "Content-Type": "application/octet-stream"},
        )


def infarcts(case: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the items of a case that have a mask."""
    return [item for visit in case["visits"] for item in visit["items"]]


@contextmanager
def review_server(out: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Run ``infarct-vol review`` as a process of its own; give its address, and kill it at the end."""
    command = [sys.executable, "-m", "infarct_vol_cli.main", "review", str(out), "--no-browser"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        assert process.stderr is not None
        lines: list[str] = []
        for line in process.stderr:
            lines.append(line)
            if found := re.search(r"http://\S+", line):
                yield found.group(), process
                break
        else:
            raise SystemExit("the server did not start: " + "".join(lines))
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

"""The files of the page, read once; a name that is not among them does not exist."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable

_TYPE_OF: Mapping[str, str] = {
    "css": "text/css; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "json": "application/json",
    "png": "image/png",
    "svg": "image/svg+xml",
    "txt": "text/plain; charset=utf-8",
    "woff2": "font/woff2",
}
INDEX = "index.html"


@dataclass(frozen=True)
class Asset:
    """One file of the page: bytes, content type, and a tag that changes with the bytes.

    Parameters
    ----------
    kept
        Whether a browser may keep it and ask whether it changed; True for what others made.
    """

    content: bytes
    content_type: str
    kept: bool

    @property
    def tag(self) -> str:
        """Entity tag."""
        return f'"{hashlib.sha256(self.content).hexdigest()[:32]}"'


def load_assets(folder: Traversable | None = None) -> dict[str, Asset]:
    """Return every file of the page by its name, such as ``viewer/viewer.js``.

    Parameters
    ----------
    folder
        Default: the files that are installed with the package.

    Raises
    ------
    FileNotFoundError
        If the page itself is missing, as after an incomplete installation.
    """
    folder = folder or files("infarct_vol.server") / "web"
    found = dict(_walk(folder, ""))
    if INDEX not in found:
        msg = f"the review page has no {INDEX}: the installation is incomplete, install infarct-vol again"
        raise FileNotFoundError(msg)
    return found


def _walk(folder: Traversable, above: str) -> Iterator[tuple[str, Asset]]:
    for entry in folder.iterdir():
        name = f"{above}{entry.name}"
        kind = entry.name.rpartition(".")[2]
        if entry.is_dir():
            yield from _walk(entry, f"{name}/")
        elif kind in _TYPE_OF and not entry.name.startswith("."):
            yield name, Asset(entry.read_bytes(), _TYPE_OF[kind], kept=name.startswith("vendor/"))

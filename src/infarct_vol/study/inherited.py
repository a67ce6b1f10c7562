"""Sidecars and b-values that hold for several images: the inheritance principle of BIDS 1.11.

A file in a folder above an image holds for it where its suffix is the same and its entities are among the
image's. Fields of a nearer sidecar win over those of one further up; of b-values the nearest file counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from infarct_vol.images import Modality
from infarct_vol.study.model import ScanFile
from infarct_vol.study.names import BidsName, bids_name


class Inherited:
    """Finds what holds for an image; every folder is listed once.

    Parameters
    ----------
    root
        Study folder; nothing above it is looked at.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._listed = cache(self._list)

    def scan_file(self, modality: Modality, path: Path) -> ScanFile:
        """Return an image with its sidecars, furthest first, and the nearest ``.bval`` and ``.bvec``."""
        name = bids_name(path)
        sidecars = tuple(self._applying(path, name, ".json"))
        bvals, bvecs = (list(self._applying(path, name, end)) for end in (".bval", ".bvec"))
        return ScanFile(
            modality=modality,
            path=path,
            bval=bvals[-1] if bvals else None,
            bvec=bvecs[-1] if bvecs else None,
            sidecars=sidecars,
        )

    def _applying(self, path: Path, name: BidsName, extension: str) -> Iterator[Path]:
        """Yield the files of a kind that hold for an image, from the study folder down to its own."""
        between = path.parent.relative_to(self._root).parts
        folders = [self._root.joinpath(*between[:depth]) for depth in range(len(between) + 1)]
        for folder in folders:
            matching = (
                (file, its)
                for file, its in self._listed(folder)
                if file.name.lower().endswith(extension)
                and its.suffix.lower() == name.suffix.lower()
                and its.entities.items() <= name.entities.items()
            )
            yield from (file for file, _ in sorted(matching, key=lambda pair: len(pair[1].entities)))

    def _list(self, folder: Path) -> tuple[tuple[Path, BidsName], ...]:
        return tuple(_sidecars(folder.iterdir()))


def _sidecars(paths: Iterable[Path]) -> Iterator[tuple[Path, BidsName]]:
    for path in sorted(paths):
        if path.name.lower().endswith((".json", ".bval", ".bvec")) and not path.name.startswith("."):
            yield path, bids_name(path)

"""Sidecars and b-values that hold for several images: the inheritance principle of BIDS 1.11.

A file in a folder above an image holds for it where its suffix is the same and its entities are among the
image's. Fields of a nearer sidecar win over those of one further up; of b-values the nearest file counts.
A file that has an image of its own name beside it is that image's alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from infarct_vol.files import is_nifti_name
from infarct_vol.images import Modality
from infarct_vol.study.model import ScanFile
from infarct_vol.study.names import BidsName, bids_name

SIDECARS = (".json", ".bval", ".bvec")
"""Ends of the names of files that state something of an image."""


@dataclass(frozen=True)
class _Folder:
    """What lies directly in a folder: sidecars with their names, and the names of images."""

    sidecars: tuple[tuple[Path, BidsName], ...]
    images: frozenset[str]


class Inherited:
    """Finds what holds for an image; every folder is listed once.

    Parameters
    ----------
    root
        Study folder; nothing above it is looked at.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._listed = cache(_listed)
        self._held: set[Path] = set()

    def scan_file(self, modality: Modality, path: Path) -> ScanFile:
        """Return an image with its sidecars, furthest first, and the nearest ``.bval`` and ``.bvec``."""
        levels = list(self._levels(path, bids_name(path)))
        sidecars = tuple(file for level in levels for file in level if file.name.lower().endswith(".json"))
        nearest = {
            end: [file for level in levels for file in level if file.name.lower().endswith(end)][-1:]
            for end in (".bval", ".bvec")
        }
        self._held.update(file for level in levels for file in level)
        return ScanFile(
            modality=modality,
            path=path,
            bval=next(iter(nearest[".bval"]), None),
            bvec=next(iter(nearest[".bvec"]), None),
            sidecars=sidecars,
        )

    def doubt(self, path: Path) -> str:
        """Say which files of one folder hold for an image alike, so that none of them is the nearest."""
        name = bids_name(path)
        for level in self._levels(path, name):
            for end in SIDECARS:
                alike = [file for file in level if file.name.lower().endswith(end)]
                most = max((len(bids_name(file).entities) for file in alike), default=0)
                top = [file.name for file in alike if len(bids_name(file).entities) == most]
                if len(top) > 1:
                    return f"{' and '.join(top)} hold for it alike; leave one"
        return ""

    def holds_for_none(self, path: Path) -> bool:
        """Tell whether a sidecar holds for none of the images that were looked at."""
        return path not in self._held

    def _levels(self, path: Path, name: BidsName) -> Iterator[list[Path]]:
        """Yield the files that hold for an image, folder by folder, from the study to its own."""
        between = path.parent.relative_to(self._root).parts
        for depth in range(len(between) + 1):
            here = self._listed(self._root.joinpath(*between[:depth]))
            matching = [
                (len(its.entities), file)
                for file, its in here.sidecars
                if its.suffix.casefold() == name.suffix.casefold()
                and its.entities.items() <= name.entities.items()
                and (its.stem.casefold() == name.stem.casefold() or its.stem.casefold() not in here.images)
            ]
            yield [file for _, file in sorted(matching)]


def _listed(folder: Path) -> _Folder:
    paths = sorted(folder.iterdir())
    images = (bids_name(path).stem.casefold() for path in paths if is_nifti_name(path))
    return _Folder(tuple(_sidecars(paths)), frozenset(images))


def _sidecars(paths: Iterable[Path]) -> Iterator[tuple[Path, BidsName]]:
    for path in paths:
        if path.name.lower().endswith(SIDECARS) and not path.name.startswith("."):
            yield path, bids_name(path)

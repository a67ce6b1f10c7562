"""Do DWI, ADC and b0 belong together? Right pairs, and wrong ones a study may hold, judged by the product.

Every session of the studies given that holds DWI, ADC and b0 (or two of them) is a right pair; wrong ones are
made from it: mirrored, displaced, another session's of the same participant, another participant's, placed by
its header and voxel over voxel. Printed are the agreement of fine detail, and what became of the pair.

Usage:
    python bench/belonging.py STUDY [STUDY ...]
    python bench/belonging.py STUDY --manifest pairs.csv    # also the pairs of a manifest of real scans
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from infarct_vol.diffusion.adc import onto_grid
from infarct_vol.diffusion.assembly import tissue_of
from infarct_vol.diffusion.belonging import pair_agreement, require_pair
from infarct_vol.errors import InfarctVolError, PairError
from infarct_vol.images import Scan
from infarct_vol.nifti import load_scan
from infarct_vol.protocol import CheckSettings
from infarct_vol.study import open_study

PER_KIND = 3
"""Other participants' images that are tried on each DWI."""


@dataclass
class Tally:
    """What became of the pairs of one kind."""

    agreements: list[float] = field(default_factory=list)
    kept: int = 0
    flagged: int = 0
    refused: int = 0


@dataclass(frozen=True, eq=False)
class Acute:
    """The diffusion images of one session."""

    participant: str
    session: str
    dwi: Scan
    others: dict[str, Scan]


def sessions(paths: list[Path]) -> Iterator[Acute]:
    """Yield the diffusion images of every session that can be read."""
    for path in paths:
        for participant in open_study(path).participants:
            for session in participant.sessions:
                scans = {}
                for modality in ("dwi", "adc", "b0"):
                    file = session.files.get(modality)
                    if file is None or file.bval is not None:
                        continue
                    try:
                        scans[modality] = load_scan(file.path, modality=modality)
                    except InfarctVolError:
                        continue
                if "dwi" in scans and len(scans) > 1:
                    dwi = scans.pop("dwi")
                    yield Acute(f"{path}/{participant.participant_id}", session.session_id, dwi, scans)


def wrong(image: Scan) -> Iterator[tuple[str, Scan]]:
    """Yield an image mirrored along every axis, and displaced along two."""
    for axis, name in enumerate(("left-right", "front-back", "up-down")):
        yield f"mirrored {name}", replace(image, data=np.ascontiguousarray(np.flip(image.data, axis)))
    for mm in (20.0, 10.0, 5.0):
        for axis in (0, 1):
            step = max(1, round(mm / float(image.grid.spacing_mm[axis])))
            yield f"displaced {mm:.0f} mm", replace(image, data=np.roll(image.data, step, axis))


def as_laid(image: Scan, dwi: Scan) -> Iterator[Scan]:
    """Yield another session's image where its header places it, and voxel over voxel."""
    yield replace(onto_grid(image, dwi.grid), grid=dwi.grid)
    shape = dwi.grid.shape
    pad = [(0, max(0, n - m)) for n, m in zip(shape, image.grid.shape, strict=True)]
    yield replace(image, data=np.pad(image.data, pad)[: shape[0], : shape[1], : shape[2]], grid=dwi.grid)


def judge(tally: Tally, dwi: Scan, other: Scan) -> None:
    """Add one pair to its tally."""
    if not other.grid.is_same_as(dwi.grid):
        other = replace(onto_grid(other, dwi.grid), grid=dwi.grid)
    tissue, checks = tissue_of(dwi), CheckSettings()
    tally.agreements.append(pair_agreement(dwi, other, tissue=tissue, checks=checks).here)
    try:
        flags = require_pair(dwi, other, tissue=tissue, checks=checks)
    except PairError:
        tally.refused += 1
    else:
        tally.flagged += bool(flags)
        tally.kept += not flags


def tallies(found: list[Acute]) -> dict[tuple[str, str], Tally]:
    """Judge right and wrong pairs of every session."""
    by_kind: dict[tuple[str, str], Tally] = defaultdict(Tally)
    for one in found:
        for modality, image in one.others.items():
            judge(by_kind[modality, "right"], one.dwi, image)
            for kind, bad in wrong(image):
                judge(by_kind[modality, kind], one.dwi, bad)
            visits = [o for o in found if o.participant == one.participant and o.session != one.session]
            strangers = [o for o in found if o.participant != one.participant]
            for kind, others in (("another visit", visits), ("another participant", strangers[:PER_KIND])):
                for other in others:
                    for bad in as_laid(other.others[modality], one.dwi) if modality in other.others else ():
                        judge(by_kind[modality, kind], one.dwi, replace(bad, sidecar={}))
    return by_kind


def main() -> None:
    """Print one line a kind."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("studies", type=Path, nargs="+")
    parser.add_argument("--manifest", type=Path, action="append", default=[])
    options = parser.parse_args()
    found = list(sessions([*options.studies, *options.manifest]))
    print(f"{len(found)} sessions with a DWI and its ADC map or b0\n")
    print("| image | pair | n | agreement: lowest, median, highest | kept | flagged | refused |")
    print("|---|---|---:|---|---:|---:|---:|")
    for (modality, kind), tally in sorted(
        tallies(found).items(), key=lambda item: (item[0][0], item[0][1] != "right")
    ):
        low, middle, high = np.min(tally.agreements), np.median(tally.agreements), np.max(tally.agreements)
        shares = f"{low:.2f}, {middle:.2f}, {high:.2f}"
        counts = f"{tally.kept} | {tally.flagged} | {tally.refused}"
        print(f"| {modality} | {kind} | {len(tally.agreements)} | {shares} | {counts} |")


if __name__ == "__main__":
    main()

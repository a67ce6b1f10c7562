"""Many readers at one server at once, all judging and correcting the same few items.

    python bench/review_readers.py OUT [--readers 20] [--seconds 60]

Every answer must be 200, 409 (somebody was faster), or 422 (nothing was changed). Of all changes sent on one
revision of an item exactly one may be taken over. Whatever was sent must be in the audit trail, late or not,
and every corrected mask on disk as it was sent. OUT is a run; it is copied, not changed.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import shutil
import statistics
import tempfile
import threading
import time
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from review_client import Client, enrolled, infarcts, review_server
from review_scans import point_to_study

from infarct_vol.audit import AuditTrail, Entry
from infarct_vol.files import file_sha256
from infarct_vol.ledger import study_of
from infarct_vol.nifti import load_mask
from infarct_vol.review.model import EDIT, LATE_EDIT, MaskVersion
from infarct_vol.review.orientation import canonical
from infarct_vol.review.verification import audit_study

_ITEMS = 2
"""Items that all readers fight for."""


@dataclass(frozen=True)
class Sent:
    """One change that was sent, and its answer."""

    item: str
    revision: int
    reason: str
    voxels_sha256: str
    status: int
    seconds: float
    text: str


def main() -> int:
    """Run the readers and print what was found; return 1 where anything was wrong."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--readers", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    names = [f"Reader {number:02d}" for number in range(1, options.readers + 1)]
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        shutil.copytree(options.out, out)
        point_to_study(out, study_of(options.out))
        enrolled(out, names)
        before = AuditTrail(out).head().sequence
        with review_server(out) as (url, _):
            clients = [Client(url, name) for name in names]
            sent, looks = _at_once(clients, seconds=options.seconds, seed=options.seed)
        print(f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}, {len(names)} readers")
        _print_rates(sent, looks, options.seconds)
        faults = [*_wrong_answers(sent), *_wrong_files(out, sent, after=before), *audit_study(out).faults]
    print(f"{len(faults)} faults")
    for fault in faults[:20]:
        print(f"  {fault}")
    return 1 if faults else 0


def _at_once(clients: list[Client], *, seconds: float, seed: int) -> tuple[list[Sent], int]:
    sent: list[Sent] = []
    looks: list[int] = []
    end = time.monotonic() + seconds
    threads = [
        threading.Thread(target=_read, args=(client, random.Random(seed + at), end, sent, looks))
        for at, client in enumerate(clients)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sent, len(looks)


def _read(client: Client, rng: random.Random, end: float, sent: list[Sent], looks: list[int]) -> None:
    """Look at the case and change one of its items, until the time is over."""
    code = client.codes()[0]
    while time.monotonic() < end:
        case = client.case(code)
        looks.append(1)
        item = rng.choice(infarcts(case)[:_ITEMS])
        reason = f"{rng.random():.17f}"
        began = time.monotonic()
        # a decision is sent much faster than a mask; were there as many, hardly a mask would be in time
        if rng.random() < 0.1:
            digest = ""
            answer = client.judge(code, item, rng.choice(["accept", "reject"]), reason)
        else:
            voxels = client.voxels(item["masks"][0])
            looks.append(1)
            voxels[rng.randrange(len(voxels))] ^= 1
            digest = hashlib.sha256(voxels.tobytes()).hexdigest()
            began = time.monotonic()
            answer = client.save(code, item, item["masks"][0], voxels, reason)
        sent.append(_noted(item, reason, digest, answer, time.monotonic() - began))


def _noted(item: dict[str, Any], reason: str, digest: str, answer: httpx.Response, seconds: float) -> Sent:
    text = "" if answer.status_code == 200 else answer.text[:200]
    return Sent(item["item"], item["revision"], reason, digest, answer.status_code, seconds, text)


def _print_rates(sent: list[Sent], looks: int, seconds: float) -> None:
    edits = [one for one in sent if one.voxels_sha256]
    for name, some in (("decisions", [one for one in sent if not one.voxels_sha256]), ("edits", edits)):
        answers = dict(sorted(Counter(one.status for one in some).items()))
        median_s = statistics.median(one.seconds for one in some) if some else 0.0
        print(f"{name}: {len(some)} sent, answers {answers}, median {median_s:.2f} s")
    print(f"{looks} cases and masks asked for; {(len(sent) + looks) / seconds:.1f} requests a second")


def _wrong_answers(sent: list[Sent]) -> list[str]:
    """Return what no reader may be told, and revisions that were taken over more than once, or never."""
    faults = [f"answer {one.status}: {one.text}" for one in sent if one.status not in (200, 409, 422)]
    taken: dict[tuple[str, int], Counter[int]] = defaultdict(Counter)
    for one in sent:
        taken[one.item, one.revision][one.status] += 1
    for (item, revision), answers in taken.items():
        if answers[200] != 1 and answers[200] + answers[409]:
            faults.append(f"{item} revision {revision}: {dict(answers)}")
    print(f"{len(taken)} revisions, most changes sent on one: {max(c.total() for c in taken.values())}")
    return faults


def _wrong_files(out: Path, sent: list[Sent], *, after: int) -> list[str]:
    """Return changes that are not in the trail once and as they were sent, and masks that are not on disk."""
    entries: dict[str, list[Entry]] = defaultdict(list)
    for entry in AuditTrail(out).entries(after=after):
        if entry.reason:
            entries[entry.reason].append(entry)
    faults, late = [], 0
    for one in sent:
        own = [entry for entry in entries[one.reason] if not one.voxels_sha256 or _is_drawn(entry)]
        if len(own) != (one.status != 422):
            faults.append(f"{one.item}, answered {one.status}: {len(own)} entries")
            continue
        for entry in own:
            is_late = entry.action.endswith("not taken over")
            late += is_late
            if is_late != (one.status == 409):
                faults.append(f"{one.item}, answered {one.status}, is the entry '{entry.action}'")
            if one.voxels_sha256 and _shown_sha256(out, entry) != one.voxels_sha256:
                faults.append(f"{one.item}: the mask of entry {entry.sequence} is not what was sent")
    print(f"{late} changes that came too late, kept in the trail")
    return faults


def _is_drawn(entry: Entry) -> bool:
    """Tell whether an entry is the mask that was drawn, not a part that it cut."""
    is_edit = entry.action in (EDIT, LATE_EDIT)
    return is_edit and MaskVersion.model_validate_json(entry.new).tool == "page"


def _shown_sha256(out: Path, entry: Entry) -> str:
    """Return the hash of a version's voxels as a page shows them; nothing where the file was altered."""
    version = MaskVersion.model_validate_json(entry.new)
    path = out / version.path
    if file_sha256(path) != version.sha256:
        return ""
    mask = load_mask(path)
    shown = canonical(mask.grid).shown(mask.data.view(np.uint8))
    return hashlib.sha256(shown.tobytes(order="F")).hexdigest()


if __name__ == "__main__":
    raise SystemExit(main())

"""Kill the review server at random moments and see whether anything that was acknowledged is lost.

    python bench/review_kills.py OUT [--kills 200] [--seed 1]

A client decides and corrects masks as fast as the server answers; after a random time the server is killed
with SIGKILL and started again. At the end every acknowledged decision and correction must be in the audit
trail, every mask must have its hash, and the chain must be whole. OUT is a run; it is copied, not changed.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import httpx
from review_client import Client, enrolled, infarcts, review_server

from infarct_vol.audit import AuditTrail
from infarct_vol.ledger import study_of
from infarct_vol.review.verification import audit_study

_ANY_KILL_AFTER_S = (0.0, 1.5)


def main() -> None:
    """Run the stress and print what was found; exit code 1 where anything was lost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        shutil.copytree(options.out, out)
        _point_to_study(options.out, out)
        enrolled(out, ["Bench Reader"])
        acknowledged = _stressed(out, kills=options.kills, rng=random.Random(options.seed))
        raise SystemExit(_judged(out, acknowledged, kills=options.kills))


def _point_to_study(source: Path, out: Path) -> None:
    relative = os.path.relpath(study_of(source).resolve(), out.resolve())
    (out / "provenance" / "study.json").write_text(json.dumps({"study": relative}), encoding="utf-8")


def _stressed(out: Path, *, kills: int, rng: random.Random) -> list[dict[str, Any]]:
    acknowledged: list[dict[str, Any]] = []
    for kill in range(kills):
        with review_server(out) as (url, process):
            work = threading.Thread(target=_work, args=(url, acknowledged, rng.random()), daemon=True)
            work.start()
            # wait for the work to begin, then for any moment of it
            before, limit = len(acknowledged), time.monotonic() + 30
            while len(acknowledged) == before and work.is_alive() and time.monotonic() < limit:
                time.sleep(0.005)
            time.sleep(rng.uniform(*_ANY_KILL_AFTER_S))
            os.killpg(process.pid, signal.SIGKILL)
            work.join(30)
        if (kill + 1) % 20 == 0:
            print(f"{kill + 1} kills, {len(acknowledged)} acknowledged", flush=True)
    return acknowledged


def _work(url: str, acknowledged: list[dict[str, Any]], seed: float) -> None:
    """Decide and correct until the server is gone; note what it acknowledged."""
    rng = random.Random(seed)
    try:
        client = Client(url, "Bench Reader")
        codes = client.codes()
        while True:
            case = client.case(rng.choice(codes))
            item = rng.choice(infarcts(case))
            reason = f"{rng.random():.17f}"
            if rng.random() < 0.5:
                answer = client.judge(case["code"], item, rng.choice(["accept", "reject"]), reason)
            else:
                mask = item["masks"][0]
                voxels = client.voxels(mask)
                voxels[rng.randrange(len(voxels))] ^= 1
                answer = client.save(case["code"], item, mask, voxels, reason)
            if answer.status_code == 200:
                acknowledged.append({"reason": reason})
            elif answer.status_code != 409:
                print("unexpected answer", answer.status_code, answer.text[:200], flush=True)
    except (httpx.HTTPError, OSError):
        return


def _judged(out: Path, acknowledged: list[dict[str, Any]], *, kills: int) -> int:
    kept = {entry.reason for entry in AuditTrail(out).entries()}
    lost = [one for one in acknowledged if one["reason"] not in kept]
    report = audit_study(out)
    # a table that is older than the latest decision is no fault of the trail
    print(f"{kills} kills; {len(acknowledged)} acknowledged, {len(lost)} lost; {report.entries} entries")
    print(f"faults of trail and masks: {len(report.faults)}")
    for fault in report.faults[:10]:
        print(f"  {fault}")
    return 1 if lost or report.faults else 0


if __name__ == "__main__":
    main()

"""Kill the review server at random moments and see whether anything that was acknowledged is lost.

    python bench/review_kills.py OUT [--kills 200] [--seed 1]
    python bench/review_kills.py OUT --what sign [--kills 40]     # enrolment, lock with its tables, unlock
    python bench/review_kills.py OUT --what tables [--kills 40]   # the command 'tables' itself

A client decides and corrects masks as fast as the server answers; after a random time the server is killed
with SIGKILL and started again. At the end everything that was acknowledged must be in the audit trail, every
mask must have its hash, and the chain must be whole. OUT is a run; it is copied, not changed.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path

import httpx
from review_client import PASSPHRASE, Client, enrolled, infarcts, review_server
from review_scans import point_to_study

import infarct_vol as iv
from infarct_vol.audit import AuditTrail
from infarct_vol.errors import LockedStudyError
from infarct_vol.ledger import study_of
from infarct_vol.review.verification import audit_study

READER = "Bench Reader"
_ANY_KILL_AFTER_S = {"masks": (0.0, 1.5), "sign": (0.0, 6.0)}


def main() -> None:
    """Run the stress and print what was found; exit code 1 where anything was lost."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--what", choices=["masks", "sign", "tables"], default="masks")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        shutil.copytree(options.out, out)
        point_to_study(out, study_of(options.out))
        enrolled(out, [READER])
        rng = random.Random(options.seed)
        if options.what == "tables":
            acknowledged = _tables(out, kills=options.kills, rng=rng)
        else:
            acknowledged = _stressed(out, kills=options.kills, rng=rng, what=options.what)
        raise SystemExit(_judged(out, acknowledged, kills=options.kills))


def _tables(out: Path, *, kills: int, rng: random.Random) -> list[str]:
    """Kill the command that makes the tables; it acknowledges nothing."""
    command = [sys.executable, "-m", "infarct_vol_cli.main", "tables", str(out), "-q"]
    began = time.monotonic()
    subprocess.run(command, check=True)
    whole_s, ended = time.monotonic() - began, 0
    for _ in range(kills):
        process = subprocess.Popen(command, start_new_session=True, stderr=subprocess.DEVNULL)
        time.sleep(rng.uniform(0.1, 1.0) * whole_s)
        ended += process.poll() is not None
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for fault in audit_study(out).faults:
            print(f"  after a kill: {fault}")
    print(f"the command takes {whole_s:.1f} s; {ended} of {kills} kills came after its end")
    return []


def _stressed(out: Path, *, kills: int, rng: random.Random, what: str) -> list[str]:
    acknowledged: list[str] = []
    work = _work if what == "masks" else _sign
    for kill in range(kills):
        with review_server(out) as (url, process):
            at_work = threading.Thread(target=work, args=(url, acknowledged, rng.random()), daemon=True)
            at_work.start()
            # wait for the work to begin, then for any moment of it
            before, limit = len(acknowledged), time.monotonic() + 30
            while len(acknowledged) == before and at_work.is_alive() and time.monotonic() < limit:
                time.sleep(0.005)
            time.sleep(rng.uniform(*_ANY_KILL_AFTER_S[what]))
            os.killpg(process.pid, signal.SIGKILL)
            at_work.join(30)
        if (kill + 1) % 20 == 0:
            print(f"{kill + 1} kills, {len(acknowledged)} acknowledged", flush=True)
    return acknowledged


def _work(url: str, acknowledged: list[str], seed: float) -> None:
    """Decide and correct until the server is gone; note what it acknowledged."""
    rng = random.Random(seed)
    try:
        client = Client(url, READER)
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
            _note(answer, reason, acknowledged)
    except (httpx.HTTPError, OSError):
        return


def _sign(url: str, acknowledged: list[str], seed: float) -> None:
    """Enrol, lock and unlock until the server is gone; note what it acknowledged."""
    rng = random.Random(seed)
    try:
        client = Client(url, READER)
        locked = client.http.get("/api/session").json()["lock"] is not None
        while True:
            word = f"{rng.random():.17f}"
            if rng.random() < 0.3:
                answer = client.post("/api/enrol", json={"name": f"Dr {word}", "passphrase": PASSPHRASE})
            elif locked:
                answer = client.post("/api/unlock", json={"passphrase": PASSPHRASE, "reason": word})
            else:
                answer = client.post("/api/lock", json={"passphrase": PASSPHRASE, "meaning": word})
            _note(answer, word, acknowledged)
            if answer.status_code == 200:
                client.csrf = answer.json()["csrf"]
                locked = answer.json()["lock"] is not None
    except (httpx.HTTPError, OSError):
        return


def _note(answer: httpx.Response, word: str, acknowledged: list[str]) -> None:
    if answer.status_code == 200:
        acknowledged.append(word)
    elif answer.status_code != 409:
        print("unexpected answer", answer.status_code, answer.text[:200], flush=True)


def _judged(out: Path, acknowledged: list[str], *, kills: int) -> int:
    entries = AuditTrail(out).entries()
    kept = "\n".join(" ".join((entry.who, entry.reason, entry.new)) for entry in entries)
    lost = [word for word in acknowledged if word not in kept]
    report = audit_study(out)
    print(f"{kills} kills; {len(acknowledged)} acknowledged, {len(lost)} lost; {report.entries} entries")
    print(f"faults of trail, masks and tables: {len(report.faults)}")
    for fault in report.faults[:10]:
        print(f"  {fault}")
    return 1 if lost or _left(out, report.faults) else 0


def _left(out: Path, faults: tuple[str, ...]) -> int:
    """Return how many faults there are once the tables, which a kill may leave half made, are made again."""
    if not faults:
        return 0
    try:
        iv.remake_tables(out)
    except LockedStudyError:
        print("the study is locked, so the tables cannot be made again")
        return len(faults)
    left = audit_study(out).faults
    print(f"faults once the tables were made again: {len(left)}")
    for fault in left[:10]:
        print(f"  {fault}")
    return len(left)


if __name__ == "__main__":
    main()

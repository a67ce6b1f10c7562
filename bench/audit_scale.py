"""How fast a long audit trail is verified, and whether every alteration of one entry is found.

    python bench/audit_scale.py [--entries 100000] [--seeds 40]

Appends that many entries (a part of them one by one, the rest in one transaction), goes along the chain and
prints seconds and MB; then alters, deletes, moves or exchanges one entry of a short trail in every way, for
each seed, and prints how many of these were found.
"""

from __future__ import annotations

import argparse
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, fields, replace
from pathlib import Path
from random import Random

from infarct_vol.audit import AuditTrail, Entry
from infarct_vol.files import write_json

COLUMNS = [field.name for field in fields(Entry)]
TEXTS = COLUMNS[1:]
TRIGGERS = ("no_update", "no_delete")
SHORT = 60
LOOK = """
import resource, sys, time
from pathlib import Path
from infarct_vol.audit import AuditTrail
mb = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
before_mb, start = mb(), time.perf_counter()
chain = AuditTrail(Path(sys.argv[1])).verify()
print(f"{chain.entries} entries verified in {time.perf_counter() - start:.2f} s, {len(chain.faults)} faults,",
      f"memory from {before_mb:.0f} to {mb():.0f} MB")
"""


def follow(entry: Entry, number: int) -> Entry:
    """Return an entry that follows another, as long as one of a corrected mask."""
    after = Entry(
        sequence=entry.sequence + 1,
        utc=f"2026-01-01T{number // 3600 % 24:02d}:{number // 60 % 60:02d}:{number % 60:02d}.000+00:00",
        who=f"Reader {number % 20}",
        action=("decision", "edit", "signed in")[number % 3],
        subject=f"sub-{number % 10000:05d}/ses-M03/flair",
        reason="the edge of the infarct was corrected",
        old="",
        new='{"components":[' + "0.5," * (number % 100) + "0]}",
        previous_sha256=entry.sha256,
    )
    return replace(after, sha256=after.digest())


def filled(out: Path, entries: int) -> tuple[AuditTrail, float]:
    """Return a trail of that many entries, and the seconds one ordinary entry took."""
    trail = AuditTrail(out)
    first = min(entries, 50)
    start = time.perf_counter()
    for number in range(first):
        trail.append("decision", subject=f"sub-{number:05d}/ses-M03/flair", who="Reader", new="{}")
    one_s = (time.perf_counter() - start) / first
    last = trail.entries()[-1]
    rows = []
    for number in range(first, entries):
        last = follow(last, number)
        rows.append(tuple(asdict(last).values()))
    with closing(sqlite3.connect(trail.path)) as connection, connection:
        connection.executemany(f"INSERT INTO entries VALUES ({','.join('?' * len(COLUMNS))})", rows)
    write_json({"sequence": last.sequence, "sha256": last.sha256}, trail.head_path)
    return trail, one_s


def alterations(random: Random) -> Iterator[tuple[str, str]]:
    """Yield a name and the SQL of every way to alter one entry, or to exchange two."""
    number = random.randint(1, SHORT)
    other = random.choice([n for n in range(1, SHORT + 1) if n != number])
    for column in TEXTS:
        for kind, value in {
            "forged": f"'forged {random.random()}'",
            "emptied": "''",
            "one character more": f"{column} || '{random.choice('aZ0 .')}'",
            "a hidden character": f"{column} || char({random.choice([0, 8203, 8238])})",
            "other case": f"upper({column})",
            "as bytes": f"CAST({column} AS BLOB)",
            "of the other": f"(SELECT {column} FROM entries WHERE sequence = {other})",
        }.items():
            yield f"{column} {kind}", f"UPDATE entries SET {column} = {value} WHERE sequence = {number}"
        pair = f"WHERE sequence IN ({number}, {other})"
        exchanged = f"(SELECT {column} FROM was WHERE was.sequence = {number + other} - entries.sequence)"
        yield (
            f"{column} exchanged",
            "CREATE TEMP TABLE was AS SELECT * FROM entries;"
            f"UPDATE entries SET {column} = {exchanged} {pair}",
        )
    yield "deleted", f"DELETE FROM entries WHERE sequence = {number}"
    yield "last deleted", f"DELETE FROM entries WHERE sequence = {SHORT}"
    yield "first deleted", "DELETE FROM entries WHERE sequence = 1"
    yield "tail deleted", f"DELETE FROM entries WHERE sequence > {random.randint(0, SHORT - 1)}"
    yield "renumbered 0", f"UPDATE entries SET sequence = 0 WHERE sequence = {number}"
    yield "renumbered below 0", f"UPDATE entries SET sequence = -{number} WHERE sequence = {number}"
    yield "renumbered last", f"UPDATE entries SET sequence = {SHORT + number} WHERE sequence = {number}"
    yield (
        "two exchanged",
        f"UPDATE entries SET sequence = -{number} - {other} + sequence WHERE sequence IN ({number}, {other});"
        "UPDATE entries SET sequence = -sequence WHERE sequence < 0",
    )
    yield (
        "doubled",
        "INSERT INTO entries SELECT max_sequence + 1, utc, who, action, subject, reason, old, new, "
        "previous_sha256, sha256 FROM entries, (SELECT max(sequence) AS max_sequence FROM entries) "
        f"WHERE sequence = {number}",
    )


def was_found(trail: AuditTrail, statement: str) -> bool | None:
    """Alter a trail, triggers put back afterwards; return None where nothing was altered."""
    before = trail.entries()
    with closing(sqlite3.connect(trail.path)) as connection:
        kept = connection.execute("SELECT sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
        connection.executescript("".join(f"DROP TRIGGER {name};" for name in TRIGGERS) + statement)
        for (sql,) in kept:
            connection.execute(sql)
        connection.commit()
        same = [tuple(asdict(e).values()) for e in before] == connection.execute(
            "SELECT * FROM entries ORDER BY sequence"
        ).fetchall()
    return None if same else bool(trail.faults())


def main() -> None:
    """Run both parts and print what was measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=100_000)
    parser.add_argument("--seeds", type=int, default=40)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        trail, one_s = filled(Path(folder) / "long", options.entries)
        size_mb = trail.path.stat().st_size / 1e6
        looked = subprocess.run(
            [sys.executable, "-c", LOOK, str(Path(folder) / "long")],
            check=True,
            capture_output=True,
            text=True,
        )
        print(f"appended one by one: {1000 * one_s:.1f} ms an entry")
        print(f"a trail of {size_mb:.0f} MB: {looked.stdout.strip()}")
        short, _ = filled(Path(folder) / "short", SHORT)
        found: Counter[bool] = Counter()
        missed = []
        for seed in range(options.seeds):
            for name, statement in alterations(Random(seed)):
                copy = AuditTrail(Path(shutil.copytree(Path(folder) / "short", Path(folder) / "copy")))
                known = was_found(copy, statement)
                shutil.rmtree(Path(folder) / "copy")
                if known is not None:
                    found[known] += 1
                    missed += [] if known else [f"{name} (seed {seed})"]
        print(f"alterations found: {found[True]} of {found.total()}", *missed, sep="\n  ")


if __name__ == "__main__":
    main()

"""The audit trail as a table for people: one row an entry, in CSV, complete."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import asdict, fields
from pathlib import Path

from infarct_vol.audit import Entry
from infarct_vol.files import whole_text
from infarct_vol.tables.csvtext import LINE_END, cell


def write_trail(entries: Iterable[Entry], path: Path) -> int:
    """Write entries to a CSV file; return how many there are."""
    count = 0
    with whole_text(path) as file:
        writer = csv.writer(file, lineterminator=LINE_END)
        writer.writerow(field.name for field in fields(Entry))
        for entry in entries:
            writer.writerow(cell(value) for value in asdict(entry).values())
            count += 1
    return count

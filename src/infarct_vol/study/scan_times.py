"""When a session was scanned: what its table of scans says, beside what the table of sessions says."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from infarct_vol.dates import Moment, in_order, moment
from infarct_vol.study.names import SUFFIXES
from infarct_vol.study.stated import checked_time, read_table

_ONE_TIME = timedelta(minutes=1)
"""Times of the two tables that lie no further apart are one time."""


def times_of_files(folder: Path) -> dict[str, str]:
    """Return when each image was acquired, by its file name, as the tables of scans of a folder say it.

    Rows of images that are never read, such as a CT or a localiser, do not count.
    """
    found: dict[str, str] = {}
    for path in sorted(folder.glob("*_scans.tsv")):
        if path.name.startswith("."):
            continue  # a copy that macOS leaves
        for row in read_table(path):
            name = Path(row["filename"]).name
            if name.split(".")[0].rpartition("_")[2].lower() in SUFFIXES:
                time = checked_time(row.get("acq_time"), where=f"{path.name} {row['filename']} acq_time")
                found |= {} if time is None else {name: time}
    return found


def time_of_session(stated: str | None, scans: Sequence[str]) -> tuple[str | None, tuple[str, ...]]:
    """Return the time that counts for a session, and remarks on times that differ.

    The table of sessions counts. Where it says nothing, or the date of a scan alone without its time, the
    earliest of the session's scans does.

    Parameters
    ----------
    stated
        acq_time of the table of sessions, as --DTC wants it.
    scans
        acq_time of the session's images in the table of scans.
    """
    if not scans:
        return stated, ()
    order = in_order(scans)
    first, last = min(scans, key=order.__getitem__), max(scans, key=order.__getitem__)
    remarks = []
    if _days_apart(moment(first), moment(last)) > 1:
        remarks.append(f"the table of scans gives {first} and {last} for images of one session; check both")
    if stated is None:
        return first, tuple(remarks)
    if all(_differ(moment(stated), moment(scan)) for scan in scans):
        remarks.append(
            f"the table of sessions says {stated}, that of scans {first}; the former counts: correct one"
        )
        return stated, tuple(remarks)
    is_finer = moment(stated).is_whole and not moment(stated).has_time and moment(first).has_time
    counts = first if is_finer and not _differ(moment(stated), moment(first)) else stated
    return counts, tuple(remarks)


def _days_apart(one: Moment, two: Moment) -> int:
    return abs((one.first.date() - two.first.date()).days)


def _differ(one: Moment, two: Moment) -> bool:
    """Tell whether two texts cannot mean one time; what one leaves out does not differ."""
    if not (one.is_whole and two.is_whole):
        return one.last < two.first or two.last < one.first
    if not (one.has_time and two.has_time):
        return _days_apart(one, two) > 0
    return abs(one.on_clock_of(two) - two.first) > _ONE_TIME

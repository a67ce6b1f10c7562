"""The time of a session where its own table, or that of its scans, states it."""

from __future__ import annotations

from pathlib import Path

import pytest

from infarct_vol.errors import StudyError
from infarct_vol.study import open_study
from infarct_vol.study.scan_times import time_of_session


@pytest.mark.parametrize(
    ("stated", "scans", "expected", "remarks"),
    [
        (None, (), None, 0),
        ("2024-09-09", (), "2024-09-09", 0),
        (None, ("2024-09-09T08:20:00", "2024-09-09T08:00:00"), "2024-09-09T08:00:00", 0),
        ("2024-09-09T08:00:00", ("2024-09-09T08:00:30",), "2024-09-09T08:00:00", 0),
        ("2024-09-09T08:20:00", ("2024-09-09T08:00:00", "2024-09-09T08:20:00"), "2024-09-09T08:20:00", 0),
        ("2024-09-09", ("2024-09-09T08:00:00",), "2024-09-09T08:00:00", 0),
        ("2024-09-09T08:00:00", ("2024-09-09",), "2024-09-09T08:00:00", 0),
        ("2024-09-09T08:00:00Z", ("2024-09-09T10:00:00+02:00",), "2024-09-09T08:00:00Z", 0),
        ("2024-09", ("2024-09-09",), "2024-09", 0),
        ("2024-09-09T08:00:00", ("2024-09-09T08:05:00",), "2024-09-09T08:00:00", 1),
        ("2024-09-09", ("2024-09-10T08:00:00",), "2024-09-09", 1),
        (None, ("2024-09-09", "2024-09-19"), "2024-09-09", 1),
    ],
)
def test_which_time_counts(
    stated: str | None, scans: tuple[str, ...], expected: str | None, remarks: int
) -> None:
    time, told = time_of_session(stated, scans)
    assert (time, len(told)) == (expected, remarks)


def study(root: Path, *, sessions: str = "", scans: str) -> Path:
    folder = root / "sub-001" / "ses-BL"
    (folder / "anat").mkdir(parents=True)
    (folder / "anat" / "sub-001_ses-BL_FLAIR.nii.gz").write_bytes(b"")
    (folder / "sub-001_ses-BL_scans.tsv").write_text("filename\tacq_time\n" + scans, encoding="utf-8")
    if sessions:
        table = root / "sub-001" / "sub-001_sessions.tsv"
        table.write_text("session_id\tacq_time\n" + sessions, encoding="utf-8")
    return root


def test_the_table_of_scans_counts_where_that_of_sessions_says_nothing(tmp_path: Path) -> None:
    scans = (
        "anat/sub-001_ses-BL_FLAIR.nii.gz\t2024-09-09T08:00:00\n"
        "ct/sub-001_ses-BL_ct.nii.gz\t2024-09-08T08:00:00\n"
    )
    for sessions in ("", "ses-BL\tn/a\n"):
        root = study(tmp_path / str(len(sessions)), sessions=sessions, scans=scans)
        (session,) = open_study(root).participants[0].sessions
        assert (session.acq_time, session.remarks) == ("2024-09-09T08:00:00", ())


def test_where_both_speak_and_differ_it_is_said(tmp_path: Path) -> None:
    root = study(
        tmp_path, sessions="ses-BL\t2024-09-09\n", scans="anat/sub-001_ses-BL_FLAIR.nii.gz\t2024-09-10\n"
    )
    (session,) = open_study(root).participants[0].sessions
    assert session.acq_time == "2024-09-09"
    assert session.remarks == (
        "the table of sessions says 2024-09-09, that of scans 2024-09-10; the former counts: correct one",
    )


def test_a_time_of_a_scan_that_is_none_is_refused_with_its_file(tmp_path: Path) -> None:
    root = study(tmp_path, scans="anat/sub-001_ses-BL_FLAIR.nii.gz\t09/10/2024\n")
    with pytest.raises(StudyError, match=r"sub-001_ses-BL_scans.tsv anat/.*'09/10/2024' is not an ISO 8601"):
        open_study(root)

"""Studies found from BIDS folders and manifests."""

from __future__ import annotations

from pathlib import Path

import pytest

from infarct_vol.errors import StudyError
from infarct_vol.study import open_study


def touch(path: Path, text: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def bids(tmp_path: Path) -> Path:
    root = tmp_path / "study"
    touch(
        root / "participants.tsv",
        "participant_id\tfirst_dose_time\tsite\nsub-001\t2026-01-10T09:00:00\tA\nsub-007\tn/a\tB\n",
    )
    touch(root / "sub-001" / "sub-001_sessions.tsv", "session_id\tacq_time\nses-BL\t2026-01-10T08:00:00\n")
    for name in ("trace", "ADC", "S0map"):
        touch(root / "sub-001" / "ses-BL" / "dwi" / f"sub-001_ses-BL_{name}.nii.gz")
    touch(root / "sub-001" / "ses-BL" / "anat" / "sub-001_ses-BL_FLAIR.nii.gz")
    touch(root / "sub-007" / "ses-M01" / "dwi" / "sub-007_ses-M01_dwi.nii.gz")
    touch(root / "sub-007" / "ses-M01" / "dwi" / "sub-007_ses-M01_dwi.bval", "0 1000\n")
    return root


def test_bids_files_are_found_by_their_suffix(bids: Path) -> None:
    study = open_study(bids)
    first, second = study.participants
    assert (first.participant_id, second.participant_id) == ("sub-001", "sub-007")
    session = first.sessions[0]
    assert {m: f.path.name for m, f in session.files.items()} == {
        "flair": "sub-001_ses-BL_FLAIR.nii.gz",
        "dwi": "sub-001_ses-BL_trace.nii.gz",
        "adc": "sub-001_ses-BL_ADC.nii.gz",
        "b0": "sub-001_ses-BL_S0map.nii.gz",
    }
    assert session.acq_time == "2026-01-10T08:00:00"
    assert second.first_dose_time is None, "n/a is absent"
    assert second.sessions[0].files["dwi"].bval is not None, "a series comes with its b-values"


def test_isles_style_lower_case_names_are_found(tmp_path: Path) -> None:
    for name in ("dwi", "adc", "flair"):
        touch(tmp_path / "sub-s1" / "ses-0001" / name / f"sub-s1_ses-0001_{name}.nii.gz")
    session = open_study(tmp_path).participants[0].sessions[0]
    assert set(session.files) == {"dwi", "adc", "flair"}


def test_a_trace_image_is_preferred_to_the_series_it_was_made_from(bids: Path) -> None:
    folder = bids / "sub-007" / "ses-M01" / "dwi"
    touch(folder / "sub-007_ses-M01_trace.nii.gz")
    session = open_study(bids).participants[1].sessions[0]
    assert session.files["dwi"].path.name == "sub-007_ses-M01_trace.nii.gz"
    assert session.problem == ""


def test_two_images_of_one_kind_are_a_problem_of_that_kind_only(bids: Path) -> None:
    touch(bids / "sub-001" / "ses-BL" / "anat" / "sub-001_ses-BL_acq-3d_FLAIR.nii.gz")
    first, second = open_study(bids).participants
    assert "two FLAIR images" in first.sessions[0].problems["flair"]
    assert set(first.sessions[0].files) == {"dwi", "adc", "b0"}
    assert second.sessions[0].problems == {}


def test_a_participant_listed_without_a_folder_is_kept(bids: Path) -> None:
    with (bids / "participants.tsv").open("a") as table:
        table.write("sub-009\tn/a\tB\n")
    assert [p.participant_id for p in open_study(bids).participants] == ["sub-001", "sub-007", "sub-009"]


def test_a_link_out_of_the_study_is_a_problem(bids: Path, tmp_path: Path) -> None:
    outside = touch(tmp_path / "elsewhere_FLAIR.nii.gz")
    link = bids / "sub-007" / "ses-M01" / "anat" / "sub-007_ses-M01_FLAIR.nii.gz"
    link.parent.mkdir(parents=True)
    link.symlink_to(outside)
    assert "outside the study folder" in open_study(bids).participants[1].sessions[0].problems["flair"]


@pytest.mark.parametrize(
    ("table", "match"),
    [
        ("participant_id\tsite\nsub-001\tA\nsub-001\tB\n", "two lines for one participant_id"),
        ("participant_id\tfirst_dose_time\nsub-001\t10/01/2026\n", "not an ISO 8601"),
        ("participant_id\tsite\nsub-001\n", "fewer fields than its header, 1 where 2"),
        ("name\nsub-001\n", "expected the columns participant_id, got name"),
        ("participant_id\tsite\nsub-../etc\tA\n", "is not a participant id"),
        ("participant_id\tsite\tsite\nsub-001\tA\tB\n", "a column twice"),
    ],
)
def test_a_wrong_participants_table_is_refused(bids: Path, table: str, match: str) -> None:
    (bids / "participants.tsv").write_text(table)
    with pytest.raises(StudyError, match=match):
        open_study(bids)


def test_case_twins_are_refused(tmp_path: Path) -> None:
    for name in ("sub-a1", "sub-A1"):
        touch(tmp_path / name / "ses-BL" / "anat" / f"{name}_ses-BL_FLAIR.nii.gz")
    with pytest.raises(StudyError, match="cannot be told apart"):
        open_study(tmp_path)


def test_an_empty_folder_or_no_folder_is_no_study(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="no participants"):
        open_study(tmp_path)
    with pytest.raises(StudyError, match="no study at"):
        open_study(tmp_path / "absent")


def test_a_manifest_with_bom_semicolons_and_crlf_keeps_leading_zeros(tmp_path: Path) -> None:
    touch(tmp_path / "a" / "flair one.nii.gz")
    text = "\ufeffparticipant_id;visit;acq_time;flair;bvalue\r\n"
    text += "007;month1;2026-02-10;a/flair one.nii.gz;1000\r\n"
    manifest = tmp_path / "manifest.csv"
    manifest.write_bytes(text.encode())
    participant = open_study(manifest).participants[0]
    assert participant.participant_id == "007"
    assert participant.label == "sub-007"
    session = participant.sessions[0]
    assert (session.session_id, session.bvalue) == ("ses-month1", 1000.0)
    assert session.files["flair"].path.name == "flair one.nii.gz"


@pytest.mark.parametrize(
    ("row", "match"),
    [
        ("../x,BL,,f.nii.gz,", "is not a participant id"),
        ("001,BL,,../outside.nii.gz,", "outside the manifest's folder"),
        ("001,BL,,f.nii.gz,one thousand", "line 2: bvalue 'one thousand' is no number"),
        ("001,BL,,f.nii.gz,1_000", "line 2: bvalue '1_000' is no number"),
        ('001,BL,,f.nii.gz,"1,000"', r"line 2: bvalue '1,000' may be 1.000 or 1000; write it with a decimal"),
        ("001,BL,,f.nii.gz,0", "line 2: bvalue is 0, expected that of the diffusion-weighted image, above 0"),
        ("001,BL,,f.nii.gz,-1000", "line 2: bvalue is -1000, expected"),
        ("001,BL,09/10/2024,f.nii.gz,", "m.csv: 001 BL acq_time: '09/10/2024' .* write the year first"),
        (
            "NA,BL,,f.nii.gz,",
            "line 2: participant_id must be filled, found 'NA', which means a missing value",
        ),
        ('"001,BL,,f.nii.gz,\n002,BL,,f.nii.gz,', "line 2: a quote opens in the field 'participant_id'"),
        ("001,BL,someday,f.nii.gz,", "not an ISO 8601"),
        ("001,,,f.nii.gz,", "must be filled"),
        ("001,BL,,f.nii.gz,\n001,BL,,g.nii.gz,", "two rows for ses-BL"),
        ("=1+1,BL,,f.nii.gz,", "is not a participant id"),
        ("a" * 300 + ",BL,,f.nii.gz,", "is not a participant id"),
    ],
)
def test_a_wrong_manifest_row_is_refused(tmp_path: Path, row: str, match: str) -> None:
    manifest = touch(tmp_path / "m.csv", f"participant_id,visit,acq_time,flair,bvalue\n{row}\n")
    with pytest.raises(StudyError, match=match):
        open_study(manifest)


def test_empty_rows_and_words_for_a_missing_value_are_passed_over_in_a_manifest(tmp_path: Path) -> None:
    text = "participant_id,visit,acq_time,flair,bvalue,,\n001,BL,NaN,f.nii.gz,.,,\n"
    text += ",,,,,,\n\n002,BL,20260110,n/a,NA\n"
    one, two = open_study(touch(tmp_path / "m.csv", text)).participants
    assert (one.sessions[0].acq_time, one.sessions[0].bvalue) == (None, None)
    assert (two.sessions[0].acq_time, dict(two.sessions[0].files)) == ("2026-01-10", {})


@pytest.mark.parametrize(
    ("table", "match"),
    [
        ("Participant_ID\tsite\nsub-001\tA\n", "a column 'Participant_ID', expected 'participant_id'"),
        ("participant_id\tFirst dose time\nsub-001\t2026-01-10\n", "expected 'first_dose_time'; write it so"),
        (
            "participant_id\tsite\nsub-001\tA\nsub-001\tB\n",
            "line 3: two lines for one participant_id, 'sub-001'",
        ),
        ('participant_id\tsite\nsub-001\t"A\nsub-007\tB\n', "line 2: a quote opens in the field 'site'"),
        ("participant_id\tfirst_dose_time\nsub-001\t45545\n", "sub-001 first_dose_time: .* a spreadsheet"),
        ("participant_id\tfirst_dose_time\nsub-001\t2026-01-10+01:00\n", "is not an ISO 8601 date"),
    ],
)
def test_participants_that_may_be_misread_are_refused(bids: Path, table: str, match: str) -> None:
    touch(bids / "participants.tsv", table)
    with pytest.raises(StudyError, match=match):
        open_study(bids)


def test_times_of_a_study_are_kept_in_the_form_of_dtc(bids: Path) -> None:
    touch(bids / "participants.tsv", "participant_id\tfirst_dose_time\nsub-001\t20260110T090000+0100\n")
    touch(bids / "sub-001" / "sub-001_sessions.tsv", "session_id\tacq_time\nses-BL\t2026-W02-6 08:00\n")
    first = open_study(bids).participants[0]
    assert first.first_dose_time == "2026-01-10T09:00:00+01:00"
    assert first.sessions[0].acq_time == "2026-01-10T08:00"


def test_unknown_manifest_columns_are_refused(tmp_path: Path) -> None:
    manifest = touch(tmp_path / "m.csv", "participant_id,visit,flaire\n001,BL,x.nii\n")
    with pytest.raises(StudyError, match="unknown columns flaire"):
        open_study(manifest)


def test_select_takes_labels_with_and_without_prefix(bids: Path) -> None:
    study = open_study(bids)
    assert [p.participant_id for p in study.select(["007"]).participants] == ["sub-007"]
    assert [p.participant_id for p in study.select(["sub-001"]).participants] == ["sub-001"]
    with pytest.raises(StudyError, match="no participant sub-999"):
        study.select(["999"])

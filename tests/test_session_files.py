"""What lies in a study: which image is taken, which sidecar holds, and what is listed as not used."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from infarct_vol.checking import check_study
from infarct_vol.errors import StudyError, UsageError
from infarct_vol.images import Modality
from infarct_vol.ledger import fingerprint
from infarct_vol.protocol import Protocol
from infarct_vol.settings import ImageSettings, VisitSettings
from infarct_vol.study import Participant, Session, Study, open_study
from infarct_vol.study.names import bids_name, says_other_kind
from infarct_vol.visits import Visit, assign_visits, with_visit_map

STEM = "sub-001_ses-BL"


def touch(path: Path, text: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def session(root: Path, *names: str, images: ImageSettings | None = None) -> Session:
    for name in names:
        touch(root / "sub-001" / "ses-BL" / ("anat" if "FLAIR" in name else "dwi") / name)
    return open_study(root, images=images).participants[0].sessions[0]


def not_used(root: Path) -> dict[str, str]:
    found = open_study(root)
    every = [*found.passed_over, *(p for one in found.participants for p in one.passed_over)]
    return {Path(passed.path).name: passed.reason for passed in every}


# ---- names -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "modality"),
    [
        ("sub-9_rec-TRACE_dwi.nii.gz", "dwi"),
        ("sub-9_rec-ADC_dwi.nii.gz", "adc"),
        ("sub-9_acq-trace_dwi.nii", "dwi"),
        ("sub-9_acq-adc_dwi.NII.GZ", "adc"),
        ("sub-9_acq-b0_dwi.nii.gz", "b0"),
        ("sub-9_acq-b1000_dwi.nii.gz", "dwi"),
        ("sub-9_rec-eADC_dwi.nii.gz", None),
        ("sub-9_rec-FA_dwi.nii.gz", None),
        ("sub-9_part-phase_dwi.nii.gz", None),
        ("sub-9_part-mag_dwi.nii.gz", "dwi"),
        ("sub-ADC2_ses-0001_adc.nii.gz", "adc"),
        ("sub-ADC2_ses-0001_dwi.nii.gz", "dwi"),
        ("sub-DWI000_FLAIR.nii.gz", "flair"),
        ("sub-9_sbref.nii.gz", None),
    ],
)
def test_the_kind_of_image_a_name_says(name: str, modality: str | None) -> None:
    assert bids_name(Path(name)).modality == modality


@pytest.mark.parametrize(
    ("name", "looks"),
    [
        ("sub-1_FLAIRa.nii.gz", "flair"),
        ("sub-1_dwi_Eq_1.nii.gz", "dwi"),
        ("sub-1_FLAIR__dup-01.nii.gz", "flair"),
        ("sub-1_ADC_ph.nii.gz", "adc"),
        ("sub-FLAIR1_bold.nii.gz", None),
        ("sub-1_task-dwiing_bold.nii.gz", None),
    ],
)
def test_what_a_name_of_a_converter_seems_to_mean(name: str, looks: str | None) -> None:
    assert bids_name(Path(name)).looks_like == looks


# ---- which image is taken --------------------------------------------------------------------------------


def test_of_several_runs_the_highest_is_taken_and_said(tmp_path: Path) -> None:
    names = [f"{STEM}_run-{n}_FLAIR.nii.gz" for n in ("1", "2", "10")]
    found = session(tmp_path, *names)
    assert found.files["flair"].path.name == f"{STEM}_run-10_FLAIR.nii.gz"
    assert found.remarks == (f"FLAIR: {STEM}_run-10_FLAIR.nii.gz was taken, the highest run of 3",)
    assert set(not_used(tmp_path)) == set(names[:2])


def test_a_rule_of_the_protocol_says_which_image_is_meant(tmp_path: Path) -> None:
    names = (f"{STEM}_acq-2d_FLAIR.nii.gz", f"{STEM}_acq-3d_FLAIR.nii.gz")
    found = session(tmp_path, *names, images=ImageSettings(flair={"acq": "3d"}))
    assert found.files["flair"].path.name == names[1]
    assert found.remarks == (f"FLAIR: {names[1]} was taken, as the protocol's [images] says",)


def test_a_rule_that_fits_nothing_refuses_that_kind(tmp_path: Path) -> None:
    found = session(tmp_path, f"{STEM}_FLAIR.nii.gz", images=ImageSettings(flair={"acq": "3d"}))
    assert found.problems["flair"].startswith("no FLAIR with acq-3d, as the protocol asks; found")


def test_images_that_no_rule_tells_apart_refuse_that_kind_only(tmp_path: Path) -> None:
    found = session(tmp_path, f"{STEM}_FLAIR.nii.gz", f"{STEM}_acq-3d_FLAIR.nii.gz", f"{STEM}_trace.nii.gz")
    assert found.problems["flair"].startswith("two FLAIR images (")
    assert "[images] flair = { acq = '...' }" in found.problems["flair"]
    assert set(found.files) == {"dwi"}


def test_the_newest_is_taken_where_the_protocol_says_so(tmp_path: Path) -> None:
    newest = ImageSettings(several="newest")
    names = [f"{STEM}_acq-{label}_FLAIR.nii.gz" for label in ("a", "b")]
    table = tmp_path / "sub-001/ses-BL" / f"{STEM}_scans.tsv"
    session(tmp_path, *names)
    first, second = (f"anat/{name}\t2026-01-10T{11 - n}:00\n" for n, name in enumerate(names))
    touch(table, f"filename\tacq_time\n{first}{second}")
    found = open_study(tmp_path, images=newest).participants[0].sessions[0]
    assert found.files["flair"].path.name == names[0]
    assert any(f"{names[0]} was taken, the newest of 2" in remark for remark in found.remarks)
    touch(table, f"filename\tacq_time\n{first}")
    found = open_study(tmp_path, images=newest).participants[0].sessions[0]
    assert "the newest is not known" in found.problems["flair"]


def test_several_runs_are_refused_where_the_protocol_says_so(tmp_path: Path) -> None:
    runs = [f"{STEM}_run-{n}_FLAIR.nii.gz" for n in (1, 2)]
    found = session(tmp_path, *runs, images=ImageSettings(several="refuse"))
    assert "two FLAIR images" in found.problems["flair"]
    assert "flair" not in found.files


def test_dwi_and_adc_are_taken_from_one_run_where_both_have_it(tmp_path: Path) -> None:
    names = [f"{STEM}_run-1_dwi", f"{STEM}_run-2_dwi", f"{STEM}_run-1_ADC"]
    found = session(tmp_path, *(f"{name}.nii.gz" for name in names))
    assert found.files["dwi"].path.name == f"{STEM}_run-1_dwi.nii.gz"
    assert any("of which there are both DWI and ADC" in remark for remark in found.remarks)


def test_compressed_and_plain_twins_are_not_told_apart(tmp_path: Path) -> None:
    found = session(tmp_path, f"{STEM}_FLAIR.nii.gz", f"{STEM}_FLAIR.nii")
    assert "two FLAIR images" in found.problems["flair"]


# ---- what is not used ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        (f"{STEM}_FLAIRa.nii.gz", "its suffix 'FLAIRa' is none of BIDS; if it is the FLAIR, rename it"),
        (f"{STEM}_FLAIR__dup-01.nii.gz", "its suffix 'dup-01' is none of BIDS"),
        (f"{STEM}_FLAIR.img", "a pair of .hdr and .img; save it as one .nii.gz file"),
        (f"{STEM}_FLAIR.mgz", "FreeSurfer's format; save it as one .nii.gz file"),
        (f"{STEM}_FLAIR.nrrd", "NRRD; save it as one .nii.gz file"),
        (f"{STEM}_FLAIR.nii.gz.gz", "not a name of a NIfTI file"),
        (f"{STEM}_FLAIR.nii.nii.gz", "its suffix 'FLAIR.nii' is none of BIDS"),
        ("sub-002_ses-BL_FLAIR.nii.gz", "its name says sub-002, its folder sub-001 ses-BL; it is never used"),
        (
            "sub-001_ses-M01_FLAIR.nii.gz",
            "its name says ses-M01, its folder sub-001 ses-BL; it is never used",
        ),
    ],
)
def test_an_image_that_may_be_meant_is_named_and_refuses_its_kind(
    tmp_path: Path, name: str, reason: str
) -> None:
    found = session(tmp_path, name, f"{STEM}_trace.nii.gz")
    assert reason in not_used(tmp_path)[name]
    assert found.problems["flair"].startswith(f"{name}: ")
    assert set(found.files) == {"dwi"}


def test_beside_the_right_image_an_odd_one_is_listed_and_refuses_nothing(tmp_path: Path) -> None:
    odd = (f"{STEM}_FLAIRa.nii.gz", f"{STEM}_FLAIR.mgz", f"{STEM}_sbref.nii.gz", f"{STEM}_phase.nii.gz")
    found = session(tmp_path, f"{STEM}_FLAIR.nii.gz", *odd)
    assert found.problems == {}
    assert set(not_used(tmp_path)) == set(odd)


def test_a_link_to_nothing_says_how_to_fetch_it(tmp_path: Path) -> None:
    link = tmp_path / "sub-001" / "ses-BL" / "anat" / f"{STEM}_FLAIR.nii.gz"
    link.parent.mkdir(parents=True)
    link.symlink_to(".git/annex/objects/MD5E")
    assert "git annex get, datalad get" in session(tmp_path).problems["flair"]


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        ("dwi/sub-002_ses-BL_dwi.nii.gz", "its name says sub-002, its folder sub-001 ses-BL"),
        ("dwi/sub-001_ses-M01_dwi.nii.gz", "its name says ses-M01, its folder sub-001 ses-BL"),
        (f"dwi/old/{STEM}_dwi.nii.gz", "lies in a folder 'old'"),
        (f"dwi/{STEM}_rec-TRACE_acq-adc_dwi.nii.gz", "two kinds of image at once"),
    ],
)
def test_an_image_that_says_it_is_anothers_is_never_used(tmp_path: Path, place: str, reason: str) -> None:
    touch(tmp_path / "sub-001/ses-BL" / place)
    found = session(tmp_path, f"{STEM}_FLAIR.nii.gz")
    assert set(found.files) == {"flair"}
    assert reason in found.problems["dwi"]
    assert reason in not_used(tmp_path)[Path(place).name]


def test_a_link_into_another_participant_is_never_used(tmp_path: Path) -> None:
    other = touch(tmp_path / "sub-002/ses-BL/dwi/sub-002_ses-BL_dwi.nii.gz")
    link = tmp_path / "sub-001/ses-BL/dwi" / f"{STEM}_dwi.nii.gz"
    link.parent.mkdir(parents=True)
    link.symlink_to(other)
    assert "a link into sub-002" in open_study(tmp_path).participants[0].sessions[0].problems["dwi"]


def test_a_folder_of_dicom_files_is_named_once_with_what_to_do(tmp_path: Path) -> None:
    for number in range(3):
        touch(tmp_path / "sub-001/ses-BL/dwi/series" / f"{number}.dcm")
    found = session(tmp_path, f"{STEM}_FLAIR.nii.gz")
    assert "3 DICOM files; convert them" in found.problems["dwi"]
    assert "flair" not in found.problems
    assert not_used(tmp_path)["series"].startswith("3 DICOM files")


def test_check_names_what_the_tables_list_and_the_study_lacks(tmp_path: Path) -> None:
    session(tmp_path, f"{STEM}_FLAIR.nii.gz")
    touch(
        tmp_path / "participants.tsv",
        "participant_id\tfirst_dose_time\nsub-001\t2026-01-10\nsub-002\t2026-01-10\n",
    )
    listed = "ses-BL\t2026-01-09\nses-M01\t2026-02-09\n"
    touch(tmp_path / "sub-001/sub-001_sessions.tsv", f"session_id\tacq_time\n{listed}")
    rows = [row for row in check_study(open_study(tmp_path), protocol=Protocol()) if row.check == "visit"]
    absent = {(row.participant_id, row.found): row.remedy for row in rows}
    assert absent["sub-001", "no session for month1"].endswith("lists ses-M01, which is not there")
    assert absent["sub-001", "no session for month3"] == "it will be a missing value"
    assert absent["sub-002", "no session for baseline"].endswith("nothing of sub-002 is there")


@pytest.mark.parametrize("written", ["sub-1", "sub-01", "1"])
def test_an_id_that_differs_from_a_folder_in_zeros_is_a_question(tmp_path: Path, written: str) -> None:
    session(tmp_path, f"{STEM}_FLAIR.nii.gz")
    touch(tmp_path / "participants.tsv", f"participant_id\n{written}\n")
    with pytest.raises(StudyError, match="the folder is sub-001; write sub-001 there if they are one"):
        open_study(tmp_path)


def test_hidden_files_are_no_images(tmp_path: Path) -> None:
    found = session(tmp_path, f"{STEM}_FLAIR.nii.gz", f"._{STEM}_FLAIR.nii.gz", ".DS_Store")
    assert found.problems == {}
    assert not_used(tmp_path) == {}


def test_what_lies_in_no_session_or_in_no_participant_is_listed(tmp_path: Path) -> None:
    session(tmp_path, f"{STEM}_FLAIR.nii.gz")
    touch(tmp_path / "sub-001" / "anat" / "sub-001_T1w.nii.gz")
    touch(tmp_path / "sub-001" / "ses-BL" / "dwi" / f"{STEM}_dwi.bval")
    touch(tmp_path / "sub-001" / "sessions.tsv")
    touch(tmp_path / "Sub-002" / "x.txt")
    touch(tmp_path / "sessions.tsv")
    touch(tmp_path / "lesion.nii.gz")
    found = not_used(tmp_path)
    assert "outside a session folder" in found["sub-001_T1w.nii.gz"]
    assert found[f"{STEM}_dwi.bval"] == "it holds for no image"
    assert "in lower case" in found["Sub-002"]
    assert found["lesion.nii.gz"] == "outside every participant's folder"
    assert found["sessions.tsv"].startswith("not read; the times of sessions stand in")


# ---- sidecars that hold for several images ---------------------------------------------------------------


def test_sidecars_further_up_hold_and_nearer_ones_win(tmp_path: Path) -> None:
    session(tmp_path, f"{STEM}_trace.nii.gz")
    own = tmp_path / "sub-001" / "ses-BL" / "dwi"
    files = [
        touch(tmp_path / "trace.json", "{}"),
        touch(tmp_path / "sub-001" / "sub-001_trace.json", "{}"),
        touch(own / f"{STEM}_trace.json", "{}"),
    ]
    touch(tmp_path / "sub-002_trace.json", "{}")
    touch(tmp_path / "FLAIR.json", "{}")
    assert session(tmp_path).files["dwi"].sidecars == tuple(files)


def test_bvalues_of_the_dataset_hold_for_every_series_of_that_name(tmp_path: Path) -> None:
    session(tmp_path, f"{STEM}_dwi.nii.gz")
    bval, bvec = touch(tmp_path / "dwi.bval", "0 1000"), touch(tmp_path / "dwi.bvec")
    found = session(tmp_path).files["dwi"]
    assert (found.bval, found.bvec) == (bval, bvec)
    nearer = touch(tmp_path / "sub-001" / "ses-BL" / "dwi" / f"{STEM}_dwi.bval", "0 900")
    assert session(tmp_path).files["dwi"].bval == nearer
    assert nearer in session(tmp_path).files["dwi"].all_paths


# ---- labels ----------------------------------------------------------------------------------------------


def test_labels_without_their_keys_are_those_of_their_folders(tmp_path: Path) -> None:
    session(tmp_path, f"{STEM}_FLAIR.nii.gz")
    touch(tmp_path / "participants.tsv", "participant_id\tsite\n001\tnorth\n")
    touch(tmp_path / "sub-001" / "sub-001_sessions.tsv", "session_id\tacq_time\nBL\t2026-01-10\n")
    (participant,) = open_study(tmp_path).participants
    assert (participant.participant_id, participant.site) == ("sub-001", "north")
    assert [(s.session_id, s.acq_time) for s in participant.sessions] == [("ses-BL", "2026-01-10")]


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("participants.tsv", "participant_id\n001\nsub-001\n"),
        ("sub-001/sub-001_sessions.tsv", "session_id\nBL\nses-BL\n"),
    ],
)
def test_one_label_with_and_without_its_key_is_two_lines_for_one(
    tmp_path: Path, file: str, text: str
) -> None:
    session(tmp_path, f"{STEM}_FLAIR.nii.gz")
    touch(tmp_path / file, text)
    with pytest.raises(StudyError, match="two lines for"):
        open_study(tmp_path)


# ---- datasets without sessions, and sessions that nothing tells ------------------------------------------


def without_sessions(root: Path) -> Participant:
    for name in ("dwi/sub-9_rec-TRACE_dwi", "dwi/sub-9_rec-ADC_dwi", "anat/sub-9_FLAIR"):
        touch(root / "sub-9" / f"{name}.nii.gz")
    return open_study(root).participants[0]


def visits(participant: Participant, **settings: object) -> list[Visit]:
    return list(assign_visits(participant, VisitSettings(**settings)))  # type: ignore[arg-type]


def test_a_dataset_without_sessions_has_one_which_is_the_baseline(tmp_path: Path) -> None:
    participant = without_sessions(tmp_path)
    (only,) = participant.sessions
    assert set(only.files) == {"dwi", "adc", "flair"}
    baseline = visits(participant)[0]
    assert (baseline.name, baseline.session) == ("baseline", only)
    assert baseline.flags == ("ses-01 is the only session and its date is not stated: taken as baseline",)


def test_the_table_of_sessions_names_and_dates_the_only_one(tmp_path: Path) -> None:
    without_sessions(tmp_path)
    table = tmp_path / "sub-9" / "sub-9_sessions.tsv"
    touch(table, "session_id\tacq_time\nses-V7\t2026-01-10\n")
    (only,) = open_study(tmp_path).participants[0].sessions
    assert (only.session_id, only.acq_time) == ("ses-V7", "2026-01-10")
    touch(table, "session_id\nses-V7\nses-V8\n")
    assert "lie in no session folder" in open_study(tmp_path).participants[0].sessions[0].problem


def two_undated(root: Path) -> Participant:
    for label in ("01", "02"):
        touch(root / "sub-9" / f"ses-{label}" / "anat" / f"sub-9_ses-{label}_FLAIR.nii.gz")
    return open_study(root).participants[0]


def test_several_sessions_that_nothing_tells_are_refused_with_the_line_to_write(tmp_path: Path) -> None:
    found = visits(two_undated(tmp_path))
    assert [v.session for v in found[:4]] == [None] * 4
    problems = [v.session.problem for v in found[4:] if v.session]
    assert len(problems) == 2
    assert all("--visit ses-01=baseline --visit ses-02=month1" in text for text in problems)


@pytest.mark.parametrize("label", ["M12", "24h", "V3", "followup", "d90", "week04", "1y"])
def test_the_only_session_of_a_later_label_is_asked_for(tmp_path: Path, label: str) -> None:
    touch(tmp_path / "sub-9" / f"ses-{label}" / "anat" / f"sub-9_ses-{label}_FLAIR.nii.gz")
    found = visits(open_study(tmp_path).participants[0])
    assert found[0].session is None
    (problem,) = (v.session.problem for v in found if v.session)
    assert f"--visit ses-{label}=baseline" in problem


@pytest.mark.parametrize("label", ["02", "0001", "A", "visit01", "scan1", "MR", "acute"])
def test_the_only_session_is_the_baseline_where_nothing_speaks_against_it(tmp_path: Path, label: str) -> None:
    touch(tmp_path / "sub-9" / f"ses-{label}" / "anat" / f"sub-9_ses-{label}_FLAIR.nii.gz")
    (baseline, *_) = visits(open_study(tmp_path).participants[0])
    assert baseline.session is not None
    assert "is the only session" in baseline.flags[0]


def test_the_only_session_is_no_baseline_where_another_participant_has_one_before_it(tmp_path: Path) -> None:
    two_undated(tmp_path)
    touch(tmp_path / "sub-8/ses-02/anat/sub-8_ses-02_FLAIR.nii.gz")
    (problem,) = (v.session.problem for v in visits(open_study(tmp_path).participants[0]) if v.session)
    assert "(ses-01 comes before it in another participant)" in problem


def test_the_only_session_is_no_baseline_where_the_table_knows_another(tmp_path: Path) -> None:
    touch(tmp_path / "sub-8/ses-02/anat/sub-8_ses-02_FLAIR.nii.gz")
    touch(tmp_path / "sub-8/sub-8_sessions.tsv", "session_id\nses-01\nses-02\n")
    found = visits(open_study(tmp_path).participants[0])
    assert any(
        "ses-01 of the table of sessions has no images" in v.session.problem for v in found if v.session
    )


@pytest.mark.parametrize(
    ("stated", "match"),
    [({"ses-01": "month9"}, "expected one of"), ({"ses-01": "baseline", "01": "month3"}, "leave one")],
)
def test_a_map_that_contradicts_itself_is_refused(stated: dict[str, str], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        VisitSettings(map=stated)
    with pytest.raises(UsageError):
        with_visit_map(VisitSettings(), [f"{k}={v}" for k, v in stated.items()], ["ses-01"])


def test_a_session_stated_to_be_unscheduled_is_analysed_nowhere(tmp_path: Path) -> None:
    participant = two_undated(tmp_path)
    settings = with_visit_map(
        VisitSettings(), ["ses-01=baseline", "ses-02=unscheduled"], ["ses-01", "ses-02"]
    )
    found = {v.session.session_id: v.name for v in assign_visits(participant, settings) if v.session}
    assert found == {"ses-01": "baseline", "ses-02": "unscheduled"}


def test_a_map_says_which_session_is_which_visit(tmp_path: Path) -> None:
    participant = two_undated(tmp_path)
    settings = with_visit_map(VisitSettings(), ["ses-01=baseline", "02=month3"], ["ses-01", "ses-02"])
    found = {v.name: v.session.session_id for v in assign_visits(participant, settings) if v.session}
    assert found == {"baseline": "ses-01", "month3": "ses-02"}
    again = Protocol.model_validate({"visits": {"map": {"ses-01": "baseline", "02": "month3"}}})
    assert {v.name for v in assign_visits(participant, again.visits) if v.session} == {"baseline", "month3"}


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("ses-01", "expected SESSION=VISIT"),
        ("ses-01=week9", "with a visit of baseline, month1, month3, month6"),
        ("ses-09=baseline", "the study has no session ses-09; it has ses-01, ses-02"),
    ],
)
def test_a_map_of_what_there_is_none_of_is_refused(text: str, match: str) -> None:
    with pytest.raises(UsageError, match=match):
        with_visit_map(VisitSettings(), [text], ["ses-01", "ses-02"])


def test_a_session_of_ct_images_does_not_count_beside_the_only_one_of_mri(tmp_path: Path) -> None:
    for name in ("ncct", "cta"):
        touch(tmp_path / "sub-s1" / "ses-01" / f"sub-s1_ses-01_{name}.nii.gz")
    for name in ("dwi", "adc"):
        touch(tmp_path / "sub-s1" / "ses-02" / f"sub-s1_ses-02_{name}.nii.gz")
    baseline = visits(open_study(tmp_path).participants[0])[0]
    assert baseline.session is not None
    assert baseline.session.session_id == "ses-02"
    assert (
        not_used(tmp_path)["sub-s1_ses-01_ncct.nii.gz"]
        == "nothing is measured on an image with suffix 'ncct'"
    )


# ---- what lies in two places, and what is given for another kind -----------------------------------------


def two_visits(root: Path, *, times: tuple[str, str] | None, other: str = "sub-001") -> Study:
    """Write one FLAIR into two sessions, compressed in two ways, and another into a third."""
    first = root / "sub-001/ses-BL/anat/sub-001_ses-BL_FLAIR.nii.gz"
    second = root / f"{other}/ses-M01/anat/{other}_ses-M01_FLAIR.nii.gz"
    third = root / "sub-001/ses-M03/anat/sub-001_ses-M03_FLAIR.nii.gz"
    head = b"head" * 900
    for path, content, level in ((first, head, 1), (second, head, 9), (third, head[::-1], 9)):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(content, compresslevel=level))
    if times is not None:
        touch(root / "sub-001/sub-001_sessions.tsv", f"session_id\tacq_time\nses-BL\t{times[0]}\n")
        with (root / other / f"{other}_sessions.tsv").open("a", encoding="utf-8") as table:
            header = "" if other == "sub-001" else "session_id\tacq_time\n"
            table.write(f"{header}ses-M01\t{times[1]}\n")
    return open_study(root)


def test_an_image_of_two_visits_is_refused_at_the_later_and_asked_for_at_the_earlier(tmp_path: Path) -> None:
    (participant,) = two_visits(tmp_path, times=("2026-01-09", "2026-02-09")).participants
    baseline, month1, month3 = participant.sessions
    assert "the same image as ses-M01 FLAIR; one of them" in baseline.remarks[0]
    assert "the same image as ses-BL FLAIR, of another time" in month1.problems["flair"]
    assert "flair" not in month1.files
    assert (month3.remarks, dict(month3.problems)) == ((), {})


def test_an_image_of_two_sessions_without_dates_is_asked_for(tmp_path: Path) -> None:
    baseline, month1, _ = two_visits(tmp_path, times=None).participants[0].sessions
    assert "the same image as" in baseline.remarks[0]
    assert "the same image as" in month1.remarks[0]
    assert not {**baseline.problems, **month1.problems}


def test_an_image_of_two_participants_is_asked_for_at_both(tmp_path: Path) -> None:
    one, two = two_visits(tmp_path, times=("2026-01-09", "2026-02-09"), other="sub-002").participants
    assert "the same image as sub-002 ses-M01 FLAIR" in one.sessions[0].remarks[0]
    assert "the same image as sub-001 ses-BL FLAIR" in two.sessions[0].remarks[0]
    assert set(one.sessions[0].files) == set(two.sessions[0].files) == {"flair"}


def test_a_copy_in_another_participant_excuses_no_later_visit(tmp_path: Path) -> None:
    two_visits(tmp_path, times=("2026-01-09", "2026-02-09"))
    copied = tmp_path / "sub-001/ses-BL/anat/sub-001_ses-BL_FLAIR.nii.gz"
    touch(tmp_path / "sub-002/ses-BL/anat/sub-002_ses-BL_FLAIR.nii.gz").write_bytes(copied.read_bytes())
    one, two = open_study(tmp_path).participants
    assert "sub-002 ses-BL FLAIR" in one.sessions[0].remarks[0]
    assert "ses-BL FLAIR, sub-002 ses-BL FLAIR, of another time" in one.sessions[1].problems["flair"]
    assert "sub-001 ses-BL FLAIR, sub-001 ses-M01 FLAIR; one of them" in two.sessions[0].remarks[0]


def test_images_of_one_size_that_differ_within_are_no_copies(tmp_path: Path) -> None:
    for label, middle in (("BL", b"a"), ("M01", b"b")):
        path = tmp_path / f"sub-001/ses-{label}/anat/sub-001_ses-{label}_FLAIR.nii"
        path.parent.mkdir(parents=True)
        path.write_bytes(b"0" * 200_000 + middle + b"0" * 400_000)
    assert not [s.remarks for s in open_study(tmp_path).participants[0].sessions if s.remarks]
    path.write_bytes((tmp_path / "sub-001/ses-BL/anat/sub-001_ses-BL_FLAIR.nii").read_bytes())
    assert all(s.remarks for s in open_study(tmp_path).participants[0].sessions)


def test_a_copy_that_is_gone_makes_the_work_of_the_other_be_done_again(tmp_path: Path) -> None:
    def of_the_first() -> str:
        return fingerprint(open_study(tmp_path).participants[0], inputs={}, protocol_sha256="")

    two_visits(tmp_path, times=None, other="sub-002")
    before = of_the_first()
    (tmp_path / "sub-002/ses-M01/anat/sub-002_ses-M01_FLAIR.nii.gz").write_bytes(gzip.compress(b"own" * 900))
    assert of_the_first() != before


@pytest.mark.parametrize(
    ("name", "modality", "says"),
    [
        ("sub-1_FLAIR.nii.gz", "dwi", "flair"),
        ("p07_T1w.nii.gz", "flair", "t1w"),
        ("p07_dwi.nii.gz", "flair", "dwi"),
        ("p07_dwi_in_FLAIR.nii.gz", "dwi", None),
        ("p07_ADC.nii.gz", "dwi", None),
        ("sub-FLAIR1_dwi.nii.gz", "dwi", None),
        ("p07.nii.gz", "flair", None),
    ],
)
def test_a_name_that_says_another_kind_is_noticed(name: str, modality: Modality, says: str | None) -> None:
    assert says_other_kind(Path(name), modality) == says

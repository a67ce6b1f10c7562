"""Scan checks of a whole study, without measuring anything."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from infarct_vol.brain import brain_mask
from infarct_vol.diffusion import DiffusionSet, assemble_diffusion
from infarct_vol.errors import InfarctVolError
from infarct_vol.images import MODALITY_LABELS, Modality, Scan
from infarct_vol.intake.checks import Verdict, check_scan
from infarct_vol.intake.reading import DiffusionSeries, is_series, load_diffusion_series, load_image
from infarct_vol.protocol import Protocol
from infarct_vol.records import Record
from infarct_vol.segmentation import prepare_case
from infarct_vol.study import Participant, PassedOver, Session, Study
from infarct_vol.tables.stated_texts import TextRemark, text_remarks
from infarct_vol.visits import Visit, assign_visits, protocol_with_visits


class CheckRow(Record):
    """One finding of the scan checks."""

    participant_id: str
    session_id: str | None
    visit: str
    modality: str
    check: str
    verdict: Verdict
    found: str
    remedy: str = ""


def check_study(study: Study, *, protocol: Protocol, visits: Iterable[str] = ()) -> Iterator[CheckRow]:
    """Yield the finding of every check of every scan of a study, in order of participant and visit.

    Parameters
    ----------
    study
        The study, opened.
    protocol
        Limits, and what to believe of a contradictory header.
    visits
        Which session is which visit where neither dates nor labels tell, such as ``ses-01=baseline``.
    """
    protocol = protocol_with_visits(protocol, visits, study)
    remarks: dict[str, list[TextRemark]] = {}
    for remark in text_remarks(study.participants, study_id=protocol.study_id):
        remarks.setdefault(remark.participant_id, []).append(remark)
    for participant in study.participants:
        for told in remarks.get(participant.participant_id, ()):
            yield _Rows(participant, None, "").row(
                "text", "WARN", f"{told.field}: {told.found}", remedy=told.remedy
            )
        for visit in assign_visits(participant, protocol.visits):
            yield from _check_visit(participant, visit, protocol)
        yield from _not_used(participant, participant.passed_over)
    yield from _not_used(None, study.passed_over)


def _not_used(participant: Participant | None, files: Iterable[PassedOver]) -> Iterator[CheckRow]:
    rows = _Rows(participant, None, "")
    yield from (rows.row("not used", "WARN", passed.path, remedy=passed.reason) for passed in files)


def _absence(participant: Participant, visit: Visit) -> str:
    """Say what a visit without anything in the study will be; empty for one that is there."""
    missing = "it will be a missing value"
    if visit.session is not None and visit.session.is_expected:
        return f"{missing}; the table of sessions lists {visit.session.session_id}, which is not there"
    if visit.session is not None:
        return ""
    return missing if participant.sessions else f"{missing}; nothing of {participant.participant_id} is there"


def _check_visit(participant: Participant, visit: Visit, protocol: Protocol) -> Iterator[CheckRow]:
    rows = _Rows(participant, visit.session, visit.name)
    absent = _absence(participant, visit)
    if absent:
        found = visit.reason if visit.session is None else f"no session for {visit.name}"
        yield rows.row("visit", "WARN", found, remedy=absent)
    if absent or visit.session is None:
        return
    if visit.session.problem:
        yield from (rows.row("visit", "WARN", flag) for flag in visit.session.remarks)
        yield rows.row("session", "FAIL", visit.session.problem)
        return
    if visit.reason:
        yield rows.row("visit", "WARN", visit.reason, remedy="it will not be analysed")
    yield from (rows.row("visit", "WARN", flag) for flag in visit.flags)
    for modality, problem in visit.session.problems.items():
        yield rows.row("file", "FAIL", problem, modality=MODALITY_LABELS[modality])
    yield from _check_session(participant, visit.session, rows, protocol)


class _Rows:
    """Makes the rows of one visit."""

    def __init__(self, participant: Participant | None, session: Session | None, visit: str) -> None:
        self._where = {
            "participant_id": participant.participant_id if participant else "",
            "session_id": session.session_id if session else None,
            "visit": visit,
        }

    def row(
        self, check: str, verdict: Verdict, found: str, *, modality: str = "", remedy: str = ""
    ) -> CheckRow:
        return CheckRow(
            **self._where, modality=modality, check=check, verdict=verdict, found=found, remedy=remedy
        )


def _check_session(
    participant: Participant, session: Session, rows: _Rows, protocol: Protocol
) -> Iterator[CheckRow]:
    scans: dict[Modality, Scan] = {}
    series: DiffusionSeries | None = None
    for modality, file in session.files.items():
        label = MODALITY_LABELS[modality]
        identity = participant.identity(session, modality)
        try:
            if is_series(file):
                series = load_diffusion_series(file, identity=identity, protocol=protocol)
                scan = series.first_volume
            else:
                scan = scans[modality] = load_image(file, identity=identity, protocol=protocol)
        except InfarctVolError as error:
            yield rows.row("file", "FAIL", error.message, modality=label)
            continue
        yield rows.row("file", "PASS", file.path.name, modality=label)
        for finding in check_scan(scan, settings=protocol.checks):
            yield rows.row(
                finding.check, finding.verdict, finding.found, modality=label, remedy=finding.remedy
            )
    if series is not None or "dwi" in scans:
        yield from _check_diffusion(session, scans, series, rows, protocol)


def _check_diffusion(
    session: Session,
    scans: dict[Modality, Scan],
    series: DiffusionSeries | None,
    rows: _Rows,
    protocol: Protocol,
) -> Iterator[CheckRow]:
    """Check what only shows when the diffusion images are put together: units, grids, b-values."""
    try:
        diffusion = assemble_diffusion(
            dwi=scans.get("dwi") if series is None else None,
            series=series,
            adc=scans.get("adc"),
            b0=scans.get("b0"),
            bvalue=session.bvalue,
            usual_bvalue=protocol.bvalue,
            adc_unit=session.adc_unit or protocol.adc_unit,
            checks=protocol.checks,
        )
        _require_measurable(diffusion, session, protocol)
    except InfarctVolError as error:
        yield rows.row("diffusion", "FAIL", error.message, modality="DWI")
        return
    for flag in diffusion.flags:
        yield rows.row("diffusion", "WARN", flag, modality="DWI")
    if not diffusion.flags:
        yield rows.row("diffusion", "PASS", "DWI, ADC and b-values fit together", modality="DWI")


def _require_measurable(diffusion: DiffusionSet, session: Session, protocol: Protocol) -> None:
    """Raise what would be raised before the infarct is looked for: no brain, or no ADC of a brain.

    With a mask made elsewhere the visit is measured nevertheless.
    """
    if session.mask is not None:
        return
    brain = brain_mask(diffusion.dwi, settings=protocol.brain)
    prepare_case(diffusion.dwi, diffusion.adc, brain=brain, settings=protocol.acute)

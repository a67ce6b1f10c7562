"""One participant, from scans to volumes; the steps read from top to bottom.

1. Sessions become visits (`infarct_vol.visits`).
2. Baseline: the infarct is segmented on DWI and ADC, brought onto the baseline FLAIR, and measured there too.
3. Each follow-up: its FLAIR is registered to the baseline FLAIR, and the infarct segmented from it with the
   baseline as prior.
4. Every volume comes from the native grid of the image it was drawn on.

A refused image or a failed step leaves its own values empty, with the reason; everything else goes on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from infarct_vol.atlas import BrainMap, fit_to_template
from infarct_vol.brain import brain_if_found, brain_mask
from infarct_vol.diffusion import DiffusionSet
from infarct_vol.external import Edit, external_mask, grid_if_readable
from infarct_vol.images import BrainMask, LesionMask, Modality, Scan
from infarct_vol.intake.reading import SessionReader
from infarct_vol.ledger import participant_record
from infarct_vol.records import Parameter, ParticipantRecord
from infarct_vol.registration import RigidTransform, compared_with_strangers, register, resample_mask
from infarct_vol.segmentation import (
    segment_acute,
    segment_baseline_flair,
    segment_flair_alone,
    segment_followup,
    segment_rapid_like,
    without_offset,
)
from infarct_vol.settings import ANALYSED_VISITS
from infarct_vol.visit_log import FOLLOWUP_PARAMETERS, NotMeasurableError, VisitLog, visit_logs
from infarct_vol.work import Case, read_diffusion

PARTS: tuple[tuple[Parameter, str], ...] = (("cavity", "cavity"), ("new_lesion", "newlesion"))


@dataclass(frozen=True, eq=False)
class Acute:
    """The baseline's diffusion images with their infarct, and their brain where it was found."""

    diffusion: DiffusionSet
    infarct: LesionMask
    edit: Edit | None
    brain: BrainMask | None


@dataclass(frozen=True, eq=False)
class Baseline:
    """What the follow-ups need of the baseline visit."""

    session_id: str
    flair: Scan
    brain: BrainMask
    infarct: LesionMask
    from_dwi: RigidTransform
    """Points of the FLAIR -> points of the diffusion images."""
    brain_map: BrainMap
    """Points of the FLAIR -> MNI."""

    @property
    def image(self) -> str:
        """What the map to MNI was made with."""
        return f"{self.session_id.removeprefix('ses-')} FLAIR"


def process_participant(case: Case, *, inputs: dict[str, str] | None = None) -> ParticipantRecord:
    """Measure every visit of one participant and write masks and transforms below ``case.out``.

    Parameters
    ----------
    case
        Participant, folders and protocol.
    inputs
        Hashes from ``case.inputs()`` where they are known already.

    Returns
    -------
    ParticipantRecord
        Rows and trail of every visit; refused and failed steps are in it, not raised.
    """
    inputs = case.inputs() if inputs is None else inputs
    logs = measure_visits(case, inputs)
    # after a fault the next run tries again
    fingerprint = "" if any(log.faulty for log in logs) else case.fingerprint(inputs)
    return _participant_record(case, logs, inputs=inputs, fingerprint=fingerprint)


def measure_visits(case: Case, inputs: Mapping[str, str]) -> list[VisitLog]:
    """Measure the visits of the protocol in time order; return their logs, then those of other sessions.

    Where the session chosen for a visit gives no volume, the next of its window takes its place:
    a failed scan is no candidate. The failed one stays in the record, as unscheduled, with its reason.
    """
    logs = visit_logs(case.participant, case.protocol, case.writer())
    others = [log for log in logs if log.visit.name not in ANALYSED_VISITS]
    baseline: Baseline | None = None
    measured: list[VisitLog] = []
    set_aside: list[VisitLog] = []
    for log in logs[: len(ANALYSED_VISITS)]:
        baseline = measure_visit(case, log, inputs, baseline)
        chosen = log
        for spare in [other for other in others if other.visit.instead_of == log.visit.name]:
            if chosen.has_value:
                break
            others.remove(spare)
            spare.takes_place_of(chosen)
            baseline = measure_visit(case, spare, inputs, baseline)
            if spare.has_value:
                chosen, spare = spare, chosen
            spare.set_aside(chosen)
            set_aside.append(spare)
        measured.append(chosen)
    for log in others:
        measure_unscheduled(case, log, inputs, baseline)
    return [*measured, *set_aside, *others]


def measure_unscheduled(
    case: Case, log: VisitLog, inputs: Mapping[str, str], baseline: Baseline | None
) -> None:
    """Measure a session that is no visit of the protocol, where the infarct is old enough for FLAIR.

    Its volume is kept and never analysed; an early scan, or one without a study day, is not measured.
    """
    session, day = log.visit.session, log.visit.study_day
    first_day = case.protocol.visits.month1.first_day
    old_enough = day is not None and first_day is not None and day >= first_day
    holds_flair = session is not None and "flair" in {*session.files, *session.problems}
    if session is None or session.problem or not holds_flair or not old_enough:
        log.not_analysed()
        return
    reader = SessionReader(case.participant, session, case.root, case.protocol, inputs)
    with log.step(*log.parameters):
        measure_followup(case, reader, log, baseline)
        log.close(reader, masks=case.masks)


def measure_visit(
    case: Case, log: VisitLog, inputs: Mapping[str, str], baseline: Baseline | None
) -> Baseline | None:
    """Measure one session as the visit it is; return the baseline the next visits need."""
    session = log.visit.session
    if session is None or log.visit.reason or session.problem:
        log.not_analysed()
        return baseline
    reader = SessionReader(case.participant, session, case.root, case.protocol, inputs)
    with log.step(*log.parameters):
        if log.visit.name == "baseline":
            baseline = measure_baseline(case, reader, log)
        else:
            measure_followup(case, reader, log, baseline)
        log.close(reader, masks=case.masks)
    return baseline


def failed_record(case: Case, *, reason: str) -> ParticipantRecord:
    """Return the record of a participant whose processing ended with a fault.

    Its fingerprint is empty, so that the next run tries again.
    """
    logs = visit_logs(case.participant, case.protocol, case.writer())
    for log in logs:
        log.not_analysed(fault=reason)
    return _participant_record(case, logs, inputs={}, fingerprint="")


# ---- baseline --------------------------------------------------------------------------------------------


def measure_baseline(case: Case, reader: SessionReader, log: VisitLog) -> Baseline | None:
    """Measure the infarct on DWI and ADC, then on the baseline FLAIR; return what follow-ups need."""
    acute: Acute | None = None
    with log.step("infarct", "infarct_dwi"):
        acute = segment_baseline_dwi(case, reader, log)
        log.measured(
            acute.infarct,
            *("infarct", "infarct_dwi"),
            modality="dwi",
            key="dwi",
            datatype="dwi",
            desc="infarct",
            edit=acute.edit,
        )
    baseline = measure_baseline_flair(case, reader, log, acute)
    with log.step():
        locate_baseline(log, acute, baseline)
    return baseline


def segment_baseline_dwi(case: Case, reader: SessionReader, log: VisitLog) -> Acute:
    """Read the diffusion images and segment the acute infarct on the DWI grid."""
    log.require(reader, "dwi")
    reader.require_readable("adc", "b0")
    diffusion = read_diffusion(reader)
    log.flags.extend(diffusion.flags)
    external = external_mask(
        case.external(reader.hashes),
        case.participant,
        diffusion.dwi,
        stated=reader.session.mask,
        others=lambda: grid_if_readable(
            reader.session.files["flair"].path if reader.has("flair") else None,
            modality="flair",
            geometry=case.protocol.geometry,
        ),
    )
    brain: BrainMask | None = None
    automatic: LesionMask | None = None
    with log.excused(external):
        brain = brain_mask(diffusion.dwi, settings=case.protocol.brain)
        segment = segment_rapid_like if case.protocol.acute.method == "rapid_like" else segment_acute
        automatic = segment(diffusion.dwi, diffusion.adc, brain=brain, settings=case.protocol.acute)
    mask, edit = log.counted(external, automatic, diffusion.dwi, brain)
    return Acute(diffusion, mask, edit, brain)


def measure_baseline_flair(
    case: Case, reader: SessionReader, log: VisitLog, acute: Acute | None
) -> Baseline | None:
    """Carry the infarct over to the FLAIR and measure it there."""
    baseline: Baseline | None = None
    with log.step("infarct_flair"):
        log.require(reader, "flair")
        flair = reader.scan("flair")
        external = external_mask(
            case.external(reader.hashes),
            case.participant,
            flair,
            stated=reader.session.mask,
            others=lambda: {"dwi": acute.diffusion.dwi.grid} if acute else {},
        )
        automatic: LesionMask | None = None
        with log.excused(external):
            if acute is None:
                msg = "the baseline DWI gave no infarct to look for on FLAIR"
                raise NotMeasurableError(msg)
            baseline = register_baseline(case, log, acute, flair)
            automatic = segment_baseline_flair(
                flair,
                prior_mask=baseline.infarct,
                brain=baseline.brain,
                settings=case.protocol.followup,
            )
        brain = baseline.brain if baseline else None
        if brain is None and external is not None:
            # without an automatic mask the image alone can tell whether the mask is one of it
            brain = brain_if_found(flair, settings=case.protocol.brain)
        mask, edit = log.counted(external, automatic, flair, brain)
        log.measured(
            mask, "infarct_flair", modality="flair", key="flair", datatype="anat", desc="infarct", edit=edit
        )
    return baseline


def locate_baseline(log: VisitLog, acute: Acute | None, baseline: Baseline | None) -> None:
    """Say where the infarct lies: by the FLAIR's fit to the template, or by the DWI's where there is none."""
    if baseline is not None:
        of_dwi = baseline.brain_map.of_moved(baseline.from_dwi.matrix)
        maps: dict[Modality, BrainMap] = {"flair": baseline.brain_map, "dwi": of_dwi}
        log.located(baseline.brain_map, image=baseline.image, maps=maps)
    elif acute is not None and acute.brain is not None:
        own = fit_to_template(acute.diffusion.dwi, brain=acute.brain)
        session = acute.diffusion.dwi.identity.session_id.removeprefix("ses-")
        log.located(own, image=f"{session} DWI", maps={"dwi": own})


def register_baseline(case: Case, log: VisitLog, acute: Acute, flair: Scan) -> Baseline:
    """Register FLAIR to the diffusion images of the same visit, carry the infarct over, and fit to MNI."""
    brain = brain_mask(flair, settings=case.protocol.brain)
    target = acute.diffusion.b0 or acute.diffusion.dwi
    transform = register(
        without_offset(flair),
        without_offset(target),
        settings=case.protocol.registration,
        fixed_brain=brain,
    )
    log.registered(transform, flair, target, source="FLAIR", target="DWI")
    prior = resample_mask(acute.infarct, flair.grid, transform)
    brain_map = fit_to_template(flair, brain=brain)
    return Baseline(flair.identity.session_id, flair, brain, prior, transform, brain_map)


# ---- follow-up -------------------------------------------------------------------------------------------


def measure_followup(case: Case, reader: SessionReader, log: VisitLog, baseline: Baseline | None) -> None:
    """Register the FLAIR to baseline, segment the infarct with its prior, and measure its parts."""
    with log.step(*FOLLOWUP_PARAMETERS):
        log.require(reader, "flair")
        flair = reader.scan("flair")
        external = external_mask(
            case.external(reader.hashes), case.participant, flair, stated=reader.session.mask
        )
        brain: BrainMask | None = None
        transform: RigidTransform | None = None
        automatic: LesionMask | None = None
        with log.excused(external):
            brain = brain_mask(flair, settings=case.protocol.brain)
            transform = register_to_baseline(case, log, baseline, flair, brain)
            automatic = segment_visit(case, flair, brain, baseline, transform)
        mask, edit = log.counted(external, automatic, flair, brain)
        measure_parts(log, mask, edit)
        compare_with_baseline(log, flair, brain, mask, baseline, transform)


def segment_visit(
    case: Case, flair: Scan, brain: BrainMask, baseline: Baseline | None, transform: RigidTransform | None
) -> LesionMask:
    """Segment the infarct of a follow-up: with the baseline as prior, or from the FLAIR alone."""
    if baseline is None or transform is None:
        return segment_flair_alone(flair, brain=brain, settings=case.protocol.followup)
    return segment_followup(
        flair,
        baseline_flair=baseline.flair,
        baseline_mask=baseline.infarct,
        transform=transform,
        brain=brain,
        settings=case.protocol.followup,
    )


def compare_with_baseline(
    log: VisitLog,
    flair: Scan,
    brain: BrainMask | None,
    mask: LesionMask,
    baseline: Baseline | None,
    transform: RigidTransform | None,
) -> None:
    """Account for the infarct in baseline space, and say where it lies by the baseline's fit to MNI."""
    if baseline is not None and transform is not None:
        in_baseline_space = resample_mask(mask, baseline.flair.grid, transform)
        log.accounted(baseline.infarct, in_baseline_space, baseline_session=baseline.session_id)
        here = baseline.brain_map.of_moved(transform.matrix)
        log.located(baseline.brain_map, image=baseline.image, maps={"flair": here})
    elif brain is not None:
        own = fit_to_template(flair, brain=brain)
        session = flair.identity.session_id.removeprefix("ses-")
        log.located(own, image=f"{session} FLAIR", maps={"flair": own})


def register_to_baseline(
    case: Case, log: VisitLog, baseline: Baseline | None, flair: Scan, brain: BrainMask
) -> RigidTransform | None:
    """Return the transform from baseline to this visit; nothing downstream uses one that failed."""
    if baseline is None:
        log.flags.append("no measured baseline: pre-existing lesions cannot be told from the infarct")
        return None
    transform = register(
        without_offset(baseline.flair),
        without_offset(flair),
        settings=case.protocol.registration,
        fixed_brain=baseline.brain,
        moving_brain=brain,
        fixed_lesion=baseline.infarct,
    )
    transform = compared_with_strangers(
        transform,
        flair,
        brain=brain,
        baselines=case.baselines,
        prepare=without_offset,
        protocol=case.protocol,
    )
    log.registered(
        transform,
        baseline.flair,
        flair,
        source=baseline.session_id,
        target=flair.identity.session_id,
    )
    return transform


def measure_parts(log: VisitLog, mask: LesionMask, edit: Edit | None) -> None:
    """Measure the infarct and, where the method tells them apart, its cavity and new lesions."""
    log.measured(
        mask,
        *("infarct", "infarct_flair"),
        modality="flair",
        key="flair",
        datatype="anat",
        desc="infarct",
        edit=edit,
    )
    for parameter, desc in PARTS:
        part = mask.parts.get(parameter)
        if part is None:
            log.not_measured(parameter, reason=f"the method '{mask.method}' does not tell {parameter} apart")
        else:
            log.measured(part, parameter, modality="flair", key=parameter, datatype="anat", desc=desc)


def _participant_record(
    case: Case, logs: list[VisitLog], *, inputs: dict[str, str], fingerprint: str
) -> ParticipantRecord:
    return participant_record(
        case.participant,
        visits=[log.record() for log in logs],
        rows=[row for log in logs for row in log.rows()],
        inputs=inputs,
        outputs={path: digest for log in logs for path, digest in log.writer.written.items()},
        fingerprint=fingerprint,
        protocol_sha256=case.protocol.sha256,
    )

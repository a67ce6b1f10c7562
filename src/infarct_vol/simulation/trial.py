"""A whole digital trial on disk: a BIDS dataset of scans, and the truth beside it."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from infarct_vol.errors import UsageError
from infarct_vol.files import write_json, write_text
from infarct_vol.images import LesionMask
from infarct_vol.nifti import save_array, save_mask
from infarct_vol.simulation.acquisition import Matrix, sample_part
from infarct_vol.simulation.contrast import State, lesion_signal
from infarct_vol.simulation.dataset import (
    TRUTH_FOLDER,
    TrialTruth,
    TruthRow,
    sidecar,
    write_participant_files,
    write_trial_files,
    write_truth_files,
)
from infarct_vol.simulation.patient import Patient, TrueLesion, at_visit, brain_fraction, build_patient
from infarct_vol.simulation.scanner import (
    BVALUE,
    Diffusion,
    Position,
    head_pose,
    position_diffusion,
    position_flair,
    scan_diffusion,
    scan_flair,
    scan_t1w,
)
from infarct_vol.simulation.scenarios import ParticipantPlan, VisitPlan, plan_participant
from infarct_vol.simulation.sites import UM2_PER_S, Storage

_LABELS = {"infarct": "infarct", "cavity": "cavity", "new_lesion": "newlesion"}
_TRUTH_SUBS_IN_PLANE = 2
_KEPT_OF_DAMAGED_FILE = 0.55


def simulate_trial(
    out: Path,
    *,
    participants: int = 12,
    seed: int,
    compact: bool = False,
    t1w: bool = False,
    jobs: int = 1,
    on_progress: Callable[[str], None] | None = None,
) -> TrialTruth:
    """Make a digital trial: baseline, month 1, 3 and 6 of patients whose infarct volumes are known.

    The same seed gives the same bytes, whatever the number of jobs. A participant depends only on the seed
    and its own number, and on whether the trial has at least 8 participants: from there on every special
    course (vanishes, grows, new infarct elsewhere, heavy white-matter hyperintensity with an old cavity,
    month 3 missing, a damaged scan) has a participant of its own; smaller trials combine them in four.

    Parameters
    ----------
    out
        New or empty folder for the BIDS dataset; the truth goes to ``derivatives/truth`` in it.
    compact
        Thick slices, cropped matrices and few grey levels, diffusion at baseline only: about 3 MB each.
    t1w
        Add a T1w image to every visit, on the grid of its FLAIR.
    jobs
        Processes that make participants at the same time; each needs about 1 GB of memory.
    on_progress
        Called with one line of text as each participant is finished.

    Raises
    ------
    UsageError
        If a number is out of range or the folder is not empty.
    """
    if participants < 1 or jobs < 1 or seed < 0:
        msg = (
            f"participants ({participants}) and jobs ({jobs}) must be at least 1, and the seed ({seed}) at "
            "least 0"
        )
        raise UsageError(msg)
    if out.exists() and any(out.iterdir()):
        msg = f"{out} is not empty; name a new folder for the digital trial"
        raise UsageError(msg)
    plans = [
        plan_participant(number, participants=participants, seed=seed, compact=compact)
        for number in range(participants)
    ]
    write_trial_files(out, plans, seed=seed)
    rows: list[TruthRow] = []
    for plan, made in zip(plans, _made(plans, out, t1w=t1w, jobs=jobs), strict=True):
        rows += made
        if on_progress is not None:
            on_progress(f"{plan.participant_id} of {participants}: {plan.scenario}, {plan.site.name}")
    truth = TrialTruth(out, tuple(rows))
    write_truth_files(truth, plans)
    return truth


def _made(plans: list[ParticipantPlan], out: Path, *, t1w: bool, jobs: int) -> Iterator[list[TruthRow]]:
    make = partial(simulate_participant, out, t1w=t1w)
    if jobs == 1:
        yield from map(make, plans)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=min(jobs, len(plans)), mp_context=context) as pool:
        yield from pool.map(make, plans)


def simulate_participant(out: Path, plan: ParticipantPlan, *, t1w: bool = False) -> list[TruthRow]:
    """Make one participant's scans and truth, and return the true volumes."""
    patient = build_patient(plan)
    write_participant_files(out, plan)
    baseline = head_pose(plan, plan.visits[0])
    rows: list[TruthRow] = []
    transforms: dict[str, list[list[float]]] = {}
    for visit in plan.visits:
        state, lesions = at_visit(patient, visit)
        flair = position_flair(patient, visit)
        _write_flair(out, patient, state, visit, flair)
        if t1w:
            _write_t1w(out, patient, state, visit, flair)
        rows += _write_truth(out, patient, visit, flair, lesions, modality="flair")
        transforms[f"{visit.session_id}_FLAIR"] = _moved(baseline, flair.pose)
        if visit.number == 0 or plan.site.diffusion_at_followup:
            diffusion = position_diffusion(patient, visit)
            _write_diffusion(out, plan, visit, diffusion, scan_diffusion(patient, state, visit, diffusion))
            rows += _write_truth(out, patient, visit, diffusion, lesions, modality="dwi")
            transforms[f"{visit.session_id}_dwi"] = _moved(baseline, diffusion.pose)
    name = plan.participant_id
    write_json(
        {"points_from": "ses-BL_FLAIR, RAS+ mm", "points_to": transforms},
        out / TRUTH_FOLDER / name / f"{name}_transforms.json",
    )
    return rows


def _moved(baseline: Matrix, pose: Matrix) -> list[list[float]]:
    return [[round(float(v), 9) for v in row] for row in pose @ np.linalg.inv(baseline)]


# ---- scans -----------------------------------------------------------------------------------------------


def _path(out: Path, plan: ParticipantPlan, visit: VisitPlan, folder: str, suffix: str) -> Path:
    name, session = plan.participant_id, visit.session_id
    return out / name / session / folder / f"{name}_{session}_{suffix}"


def _write_flair(out: Path, patient: Patient, state: State, visit: VisitPlan, position: Position) -> None:
    plan = patient.plan
    path = _path(out, plan, visit, "anat", "FLAIR.nii.gz")
    image = scan_flair(patient, state, visit, position)
    _save(image, position, path, plan.site.flair_storage)
    write_json(sidecar(plan.site, "flair"), path.with_name(path.name.replace(".nii.gz", ".json")))
    if visit.damaged:
        whole = path.read_bytes()
        path.write_bytes(whole[: int(len(whole) * _KEPT_OF_DAMAGED_FILE)])


def _write_t1w(out: Path, patient: Patient, state: State, visit: VisitPlan, position: Position) -> None:
    plan = patient.plan
    path = _path(out, plan, visit, "anat", "T1w.nii.gz")
    _save(scan_t1w(patient, state, visit, position), position, path, plan.site.flair_storage)
    write_json(sidecar(plan.site, "t1w"), path.with_name(path.name.replace(".nii.gz", ".json")))


def _write_diffusion(
    out: Path, plan: ParticipantPlan, visit: VisitPlan, position: Position, images: Diffusion
) -> None:
    site = plan.site
    held = {}
    if images.series is None:
        held = {"trace": (images.trace, "trace"), "S0map": (images.b0, "b0")}
    else:
        held = {"dwi": (images.series, "series")}
        _write_gradients(out, plan, visit, images)
    for suffix, (image, kind) in held.items():
        path = _path(out, plan, visit, "dwi", f"{suffix}.nii.gz")
        _save(image, position, path, site.dwi_storage)
        write_json(sidecar(site, kind), path.with_name(path.name.replace(".nii.gz", ".json")))
    if site.supplies_adc:
        path = _path(out, plan, visit, "dwi", "ADC.nii.gz")
        adc = images.adc_um2_per_s * np.float32(UM2_PER_S[site.adc_unit])
        _save(adc, position, path, site.adc_storage)
        write_json(sidecar(site, "adc"), path.with_name(path.name.replace(".nii.gz", ".json")))


def _write_gradients(out: Path, plan: ParticipantPlan, visit: VisitPlan, images: Diffusion) -> None:
    if images.bvalues is None or images.directions is None:
        return
    values = " ".join(f"{b:g}" for b in images.bvalues)
    write_text(values + "\n", _path(out, plan, visit, "dwi", "dwi.bval"))
    vectors = "".join(" ".join(f"{v:.6f}" for v in axis) + "\n" for axis in images.directions.T)
    write_text(vectors, _path(out, plan, visit, "dwi", "dwi.bvec"))


def _save(image: NDArray[np.float32], position: Position, path: Path, storage: Storage) -> None:
    save_array(
        image, position.grid, path, dtype=storage.dtype, slope=storage.slope, intercept=storage.intercept
    )


# ---- truth -----------------------------------------------------------------------------------------------


def _write_truth(
    out: Path,
    patient: Patient,
    visit: VisitPlan,
    position: Position,
    lesions: dict[str, TrueLesion],
    *,
    modality: str,
) -> list[TruthRow]:
    """Write the masks of one image and return its rows of the truth table."""
    plan, folder = patient.plan, "anat" if modality == "flair" else "dwi"
    root = out / TRUTH_FOLDER
    brain = _native_mask(brain_fraction(patient), position)
    save_mask(brain, _path(root, plan, visit, folder, "desc-brain_mask.nii.gz"), sidecar=False)
    rows = []
    for parameter, lesion in lesions.items():
        mask = _native_mask(lesion, position)
        path = _path(root, plan, visit, folder, f"desc-{_LABELS[parameter]}_mask.nii.gz")
        written = parameter == "infarct" or bool(mask.data.any())
        if written:
            save_mask(mask, path, sidecar=False)
        rows.append(
            TruthRow(
                participant_id=plan.participant_id,
                session_id=visit.session_id,
                visit=visit.visit,
                modality=modality,
                parameter=parameter,
                volume_ml=lesion.volume_ml,
                mask_volume_ml=mask.volume_ml,
                signal_ratio=_signal_ratio(plan, visit, parameter, modality),
                mask_path=path.relative_to(root).as_posix() if written else "",
                scan_status="damaged" if visit.damaged and modality == "flair" else "ok",
                scenario=plan.scenario,
            )
        )
    return rows


def _native_mask(lesion: TrueLesion, position: Position) -> LesionMask:
    """Return the voxels of an image that are at least half lesion."""
    in_plane = max(_TRUTH_SUBS_IN_PLANE, position.subs[0])
    subs = (in_plane, in_plane, max(2, position.subs[2]))
    fraction = sample_part(lesion.fraction, lesion.grid, position.grid, pose=position.pose, subs=subs)
    return LesionMask(data=fraction >= 0.5, grid=position.grid, method="truth")


def _signal_ratio(plan: ParticipantPlan, visit: VisitPlan, parameter: str, modality: str) -> float | None:
    lesion = plan.infarct if parameter == "infarct" else plan.new_infarct
    if parameter == "cavity" or lesion is None or lesion.volumes_ml[visit.number] == 0:
        return None
    signal = lesion_signal(
        visit.hours_since_onset - lesion.onset_hours,
        lowest_adc_ratio=lesion.lowest_adc_ratio,
        strength=lesion.strength,
    )
    if modality == "flair":
        return signal.flair
    healthy_adc = 800e-6
    return float(signal.s0 * np.exp(-BVALUE * healthy_adc * (signal.adc - 1)))

"""Digital patients through the whole main job, and scanned twice, against what is true of them."""

from __future__ import annotations

import csv
import json
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from infarct_vol.cases import segment_acute
from infarct_vol.images import Identity, LesionMask, Scan
from infarct_vol.nifti import load_mask
from infarct_vol.registration import RigidTransform, read_tfm
from infarct_vol.sample import sample_trial
from infarct_vol.simulation import simulate_trial
from infarct_vol.simulation.acquisition import sample_part
from infarct_vol.simulation.dataset import TRUTH_FOLDER
from infarct_vol.simulation.fields import Field
from infarct_vol.simulation.patient import Patient, TrueLesion, at_visit, build_patient
from infarct_vol.simulation.scanner import Position, position_diffusion, scan_diffusion
from infarct_vol.simulation.scenarios import ParticipantPlan, plan_participant
from infarct_vol.tables import read_tables
from infarct_vol.trial import run_study
from infarct_vol.validation.measuring import measured_case
from infarct_vol.validation.overlap import compare_masks
from infarct_vol.validation.results import Deviation, Observed, VolumeCase

_EVERY = 50
_TRUTH_SUBS = 2
_SEED_STEP = 1000
_PARTICIPANTS_IN_PLAN = 12


# ---- the main job ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class TrialTask:
    """A small digital trial through `infarct_vol.run_study`.

    Parameters
    ----------
    participants
        Number of simulated participants; 0 takes participants from the embedded sample trial.
    labels
        Participants to run; all where empty.
    """

    participants: int
    seed: int
    labels: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """What the progress bar calls it."""
        return "digital patients" if self.participants else "patients of the sample trial"

    def work(self) -> Observed:
        """Measure the trial and compare with its truth."""
        with tempfile.TemporaryDirectory() as scratch:
            study, out = sample_trial(), Path(scratch) / "results"
            if self.participants:
                study = Path(scratch) / "trial"
                simulate_trial(study, participants=self.participants, seed=self.seed, compact=True)
            run_study(study, out, participant_labels=self.labels)
            cases, refusals = [], []
            for row in _true_infarcts(study, self.labels):
                if row["scan_status"] == "ok":
                    cases.append(_volume_case(row, study, out))
                else:
                    refusals.append(_refusal(row, out))
            return Observed(tuple(cases), (*refusals, *_registrations(study, out, self.labels)))


def _true_infarcts(study: Path, labels: tuple[str, ...]) -> Iterator[Mapping[str, str]]:
    """Yield the truth of the primary infarct: on DWI at baseline, on FLAIR later."""
    with (study / TRUTH_FOLDER / "truth.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            chosen = not labels or row["participant_id"] in labels
            modality = "dwi" if row["visit"] == "baseline" else "flair"
            if chosen and row["parameter"] == "infarct" and row["modality"] == modality:
                yield row


def _measured_row(row: Mapping[str, str], out: Path) -> pd.Series[Any]:
    volumes = read_tables(out).volumes
    own = (volumes["participant_id"] == row["participant_id"]) & (volumes["visit"] == row["visit"])
    return volumes[own & (volumes["parameter"] == "infarct")].iloc[0]


def _volume_case(row: Mapping[str, str], study: Path, out: Path) -> VolumeCase:
    ours = _measured_row(row, out)
    case = VolumeCase(
        group="baseline" if row["visit"] == "baseline" else "follow_up",
        case=f"{row['participant_id']} {row['visit']} ({row['scenario']})",
        true_ml=float(row["volume_ml"]),
    )
    if pd.isna(ours["volume_ml"]):
        return case.model_copy(update={"reason": f"{ours['status']}: {ours['reason']}"})
    mask = load_mask(out / str(ours["mask_path"]), sidecar=False)
    truth = LesionMask(np.zeros_like(mask.data), mask.grid)
    if row["mask_path"]:
        truth = load_mask(study / TRUTH_FOLDER / row["mask_path"], sidecar=False)
    update = {
        "measured_ml": float(ours["volume_ml"]),
        "low_ml": float(ours["volume_ml_low"]),
        "high_ml": float(ours["volume_ml_high"]),
        "dice": compare_masks(truth, mask).dice,
    }
    return case.model_copy(update=update)


def _refusal(row: Mapping[str, str], out: Path) -> Deviation:
    ours = _measured_row(row, out)
    has_value = bool(pd.notna(ours["volume_ml"]))
    case = f"{row['participant_id']} {row['visit']}: {row['scan_status']} scan"
    return Deviation(check="damaged", case=case, value=float(has_value), reason=str(ours["reason"]))


def _registrations(study: Path, out: Path, labels: tuple[str, ...]) -> Iterator[Deviation]:
    """Yield the mean error over the true brain, in mm, of every transform the job wrote."""
    for folder in sorted((study / TRUTH_FOLDER).glob("sub-*")):
        if labels and folder.name not in labels:
            continue
        known = json.loads((folder / f"{folder.name}_transforms.json").read_text(encoding="utf-8"))
        brain = load_mask(next((folder / "ses-BL" / "anat").glob("*_desc-brain_mask.nii.gz")))
        points = brain.grid.to_world(np.argwhere(brain.data)[::_EVERY])
        for path in sorted((out / folder.name).rglob("*_mode-points_xfm.tfm")):
            target = path.name.split("_to-")[1].split("_")[0]
            to = "ses-BL_dwi" if target == "DWI" else f"ses-{target}_FLAIR"
            true = RigidTransform(np.array(known["points_to"][to]))
            error = float(read_tfm(path).distance_mm(true, points).mean())
            yield Deviation(
                check="trial_registration", case=f"{folder.name}, baseline to {target}", value=error
            )


# ---- scanned twice ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class RetestTask:
    """One digital patient scanned twice: the head lies otherwise, slices, shading and noise are others.

    Parameters
    ----------
    number
        Which participant of a trial of 12; it decides the kind of infarct.
    shares
        The infarct is cut down to these shares of its volume, each scanned twice.
    """

    number: int
    shares: tuple[float, ...]
    seed: int

    @property
    def name(self) -> str:
        """What the progress bar calls it."""
        return f"test and retest, patient {self.number + 1}"

    def work(self) -> Observed:
        """Measure DWI and ADC of both scans of every infarct."""
        plan = planned(self.number, seed=self.seed)
        patient = build_patient(plan)
        cases = [
            _scanned(_with_volume(patient, share), again(plan, times=2 * at + which))
            for at, share in enumerate(self.shares)
            for which in range(2)
        ]
        return Observed(cases=tuple(cases))


def planned(number: int, *, seed: int) -> ParticipantPlan:
    """Return the plan of one participant of a trial of 12."""
    return plan_participant(number, participants=_PARTICIPANTS_IN_PLAN, seed=seed, compact=True)


def again(plan: ParticipantPlan, *, times: int) -> ParticipantPlan:
    """Return the plan with other chance: of the same head another position, other shading and noise."""
    return replace(plan, seed=plan.seed + _SEED_STEP * (1 + times))


def _with_volume(patient: Patient, share: float) -> Patient:
    """Return the patient with the core of the infarct that has a share of its volume."""
    plan = patient.infarct.plan
    a, b, c, d = (share * volume_ml for volume_ml in plan.volumes_ml)
    smaller = replace(plan, volumes_ml=(a, b, c, d))
    return replace(patient, infarct=replace(patient.infarct, plan=smaller))


def _scanned(patient: Patient, plan: ParticipantPlan) -> VolumeCase:
    """Scan a patient at baseline with position and noise of another plan, and measure."""
    patient, visit = replace(patient, plan=plan), plan.visits[0]
    state, lesions = at_visit(patient, visit)
    position = position_diffusion(patient, visit)
    images = scan_diffusion(patient, state, visit, position)
    dwi = Scan(images.trace, position.grid, Identity(modality="dwi"))
    adc = Scan(images.adc_um2_per_s, position.grid, Identity(modality="adc"))
    name = f"patient {plan.number + 1}, {plan.infarct.kind}, {lesions['infarct'].volume_ml:.2f} mL"
    return measured_case(
        VolumeCase(group="retest", case=name, pair=name, true_ml=lesions["infarct"].volume_ml),
        partial(segment_acute, dwi, adc, adc_unit="1e-6 mm2/s"),
        share=_share(lesions["infarct"], position),
    )


def _share(lesion: TrueLesion, position: Position) -> Field:
    subs = (_TRUTH_SUBS, _TRUTH_SUBS, max(_TRUTH_SUBS, position.subs[2]))
    return sample_part(lesion.fraction, lesion.grid, position.grid, pose=position.pose, subs=subs)

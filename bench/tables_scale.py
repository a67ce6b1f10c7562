"""Time and memory of the tables of a large trial: 10,000 participants, 4 visits, 6 parameters.

    python bench/tables_scale.py OUT                   # makes the records once, then times the command
    python bench/tables_scale.py OUT --participants 500 --arms

Every record is complete, with scans, components, registrations and masks (small files: only their hashes
are read). The command is ``infarct-vol tables OUT`` in a process of its own; --arms gives it a randomisation
list, so that models are fitted, and --measures the trial's other outcomes.
"""

from __future__ import annotations

import argparse
import hashlib
import resource
import subprocess
import sys
import time
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np

from infarct_vol._version import __version__
from infarct_vol.ledger import save_participants, save_record
from infarct_vol.protocol import Protocol
from infarct_vol.records import (
    ComponentRecord,
    Parameter,
    ParticipantRecord,
    RegistrationRecord,
    ScanRecord,
    VisitRecord,
    VolumeRow,
)

VISITS = {"baseline": ("BL", -1), "month1": ("M01", 31), "month3": ("M03", 91), "month6": ("M06", 181)}
PROTOCOL = Protocol(study_id="SCALE")
FIRST_DOSE = datetime(2024, 1, 1, 12)
NO_VALUE = "the brain found measures 7 mL, expected 50 to 2500 mL; check the image's modality and coverage"


def main() -> int:
    """Make the records where they are not there yet, and time the command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path, help="output folder of the artificial run")
    parser.add_argument("--participants", type=int, default=10_000)
    parser.add_argument("--arms", action="store_true", help="with a randomisation list of two arms")
    parser.add_argument("--measures", action="store_true", help="with NIHSS and mRS at six visits")
    options = parser.parse_args()
    if not (options.out / "protocol.toml").is_file():
        make_run(options.out, options.participants)
    command = [str(Path(sys.executable).with_name("infarct-vol")), "tables", str(options.out), "-q"]
    names = [f"sub-{number:05d}" for number in range(1, options.participants + 1)]
    if options.arms:
        command += ["--randomization", str(write_list(options.out, names))]
    if options.measures:
        command += ["--measures", str(write_measures(options.out, names))]
    began = time.monotonic()
    code = subprocess.run(command, check=False).returncode
    wall_s = time.monotonic() - began
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    size_mb = sum(p.stat().st_size for p in (options.out / "tables").rglob("*") if p.is_file()) / 1e6
    records = sum(1 for _ in (options.out / "provenance").glob("sub-*.json"))
    masks = sum(1 for _ in options.out.glob("sub-*/ses-*/*/*.nii.gz"))
    print(f"exit code {code}; {records} participants, 4 visits, 6 parameters, {masks} masks")
    print(
        f"wall {wall_s:.1f} s, CPU {used.ru_utime + used.ru_stime:.1f} s, peak {used.ru_maxrss / 1024:.0f} MB"
    )
    print(f"tables written: {size_mb:.0f} MB")
    return code


def make_run(out: Path, participants: int) -> None:
    """Write the records and masks of an artificial run, and its protocol last."""
    rng = np.random.default_rng(1)
    for number in range(1, participants + 1):
        record = made(out, f"sub-{number:05d}", rng)
        save_record(record, out, label=record.participant_id)
    save_participants([f"sub-{number:05d}" for number in range(1, participants + 1)], out)
    (out / "protocol.toml").write_text(PROTOCOL.to_toml(), encoding="utf-8")


def made(out: Path, name: str, rng: np.random.Generator) -> ParticipantRecord:
    """Return one participant's record: infarcts shrink, one visit in twenty fails."""
    dose = FIRST_DOSE + timedelta(days=int(rng.integers(700)))
    start_ml = float(rng.lognormal(2.0, 1.2))
    outputs: dict[str, str] = {}
    visits, rows = [], []
    for visit, (session, day) in VISITS.items():
        left = 1.0 if visit == "baseline" else float(rng.uniform(0.3, 1.0))
        failed = bool(rng.random() < 0.05)
        masks = {} if failed else write_masks(out, name, session, visit, outputs, rng)
        facts = dict(
            session_id=f"ses-{session}",
            visit=visit,
            acq_time=(dose + timedelta(days=day if day < 0 else day - 1)).isoformat(),
            study_day=day,
        )
        rows += [
            volume(name, facts, parameter, None if failed else start_ml * left * share, masks)
            for parameter, share in parameters_of(visit)
        ]
        visits.append(visit_record(facts, start_ml, left, masks, failed=failed))
    return ParticipantRecord(
        participant_id=name,
        site=f"site {int(rng.integers(1, 40)):02d}",
        age=str(int(rng.integers(40, 90))),
        sex="FM"[int(rng.integers(2))],
        first_dose_time=dose.isoformat(),
        fingerprint=hashlib.sha256(name.encode()).hexdigest(),
        version=__version__,
        protocol_sha256=PROTOCOL.sha256,
        visits=tuple(visits),
        rows=tuple(rows),
        inputs={},
        outputs=outputs,
    )


def parameters_of(visit: str) -> list[tuple[Parameter, float]]:
    """Return the parameters of a visit, each with its share of the infarct."""
    if visit == "baseline":
        return [("infarct", 1.0), ("infarct_dwi", 1.0), ("infarct_flair", 0.9)]
    return [("infarct", 1.0), ("infarct_flair", 1.0), ("cavity", 0.2), ("new_lesion", 0.01)]


def write_masks(
    out: Path, name: str, session: str, visit: str, outputs: dict[str, str], rng: np.random.Generator
) -> dict[str, str]:
    """Write a visit's masks as small files and note their hashes."""
    folder = f"{name}/ses-{session}"
    stem = f"{folder}/anat/{name}_ses-{session}"
    masks = {"flair": f"{stem}_desc-infarct_mask.nii.gz"}
    if visit == "baseline":
        masks["dwi"] = f"{folder}/dwi/{name}_ses-{session}_desc-infarct_mask.nii.gz"
    else:
        masks |= {
            "cavity": f"{stem}_desc-cavity_mask.nii.gz",
            "new_lesion": f"{stem}_desc-newlesion_mask.nii.gz",
            "change": f"{stem}_space-BL_desc-change_dseg.nii.gz",
        }
    for path in masks.values():
        content = rng.bytes(64)
        (out / path).parent.mkdir(parents=True, exist_ok=True)
        (out / path).write_bytes(content)
        outputs[path] = hashlib.sha256(content).hexdigest()
    return masks


def volume(
    name: str, facts: dict[str, object], parameter: Parameter, volume_ml: float | None, masks: dict[str, str]
) -> VolumeRow:
    """Return one row of volumes.csv."""
    key = {"cavity": "cavity", "new_lesion": "new_lesion"}.get(parameter, "flair")
    on_dwi = facts["visit"] == "baseline" and parameter != "infarct_flair"
    measured = volume_ml is not None
    return VolumeRow(
        participant_id=name,
        **facts,
        parameter=parameter,
        modality="dwi" if on_dwi else "flair",
        method="local 0.1.0" if on_dwi else "flair_prior 3",
        volume_ml=volume_ml,
        voxel_count=round(volume_ml * 200) if measured else None,
        voxel_volume_mm3=5.0,
        lesion_count=3 if measured else None,
        volume_ml_low=volume_ml * 0.8 if measured else None,
        volume_ml_high=volume_ml * 1.2 if measured else None,
        status="measured" if measured else "failed",
        reason="" if measured else NO_VALUE,
        source="automatic" if measured else "",
        mask_path=masks.get("dwi" if on_dwi else key),
        flags="study day 31 is 9 days from the target 31",
        protocol_sha256=PROTOCOL.sha256,
        version=__version__,
    )


def visit_record(
    facts: dict[str, object], start_ml: float, left: float, masks: dict[str, str], *, failed: bool
) -> VisitRecord:
    """Return what happened at a visit."""
    scans = tuple(
        ScanRecord(
            modality=modality,
            path=f"{modality}.nii.gz",
            sha256=hashlib.sha256(f"{facts}{modality}".encode()).hexdigest(),
            spacing_mm=(0.9, 0.9, 5.0),
            shape=(256, 256, 30),
            axis_codes="LAS",
            manufacturer="Siemens",
            field_strength_t=3.0,
        )
        for modality in ("dwi", "flair")
    )
    part = ComponentRecord(
        volume_ml=start_ml * left / 3, centroid_mm=(1.0, 2.0, 3.0), first_slice=1, last_slice=4
    )
    at_follow_up = facts["visit"] != "baseline" and not failed
    return VisitRecord(
        **facts,
        status="failed" if failed else "measured",
        reason=NO_VALUE if failed else "",
        scans=scans,
        masks=masks,
        components={} if failed else {"flair": (part, part, part)},
        registrations=(
            RegistrationRecord(fixed="BL", moving="M01", path="x.tfm", verdict="PASS", metrics={"mi": 0.5}),
        ),
        persistent_ml=start_ml * left if at_follow_up else None,
        resolved_ml=start_ml * (1 - left) if at_follow_up else None,
        new_ml=0.0 if at_follow_up else None,
    )


def write_list(out: Path, names: list[str]) -> Path:
    """Write a randomisation list beside the run."""
    path = out.with_name(out.name + "_arms.csv")
    lines = [f"{name},{('iEPC', 'placebo')[at % 2]}\n" for at, name in enumerate(names)]
    path.write_text("participant_id,arm\n" + "".join(lines))
    return path


def write_measures(out: Path, names: list[str]) -> Path:
    """Write NIHSS and mRS of every participant at six visits, beside the run."""
    rng = np.random.default_rng(1)
    path = out.with_name(out.name + "_measures.csv")
    lines = ["participant_id,acq_time,parameter,value,unit,lower_limit,upper_limit\n"]
    for name in names:
        dose = FIRST_DOSE + timedelta(days=int(rng.integers(700)))
        for day in (-1, 30, 90, 180, 270, 360):
            time = (dose + timedelta(days=day)).date().isoformat()
            lines.append(f"{name},{time},nihss,{int(rng.integers(0, 20))},,,\n")
            lines.append(f"{name},{time},mrs,{int(rng.integers(0, 7))},,,\n")
    path.write_text("".join(lines))
    return path


if __name__ == "__main__":
    sys.exit(main())

"""The text files of a digital trial: BIDS descriptions, tables, sidecars, and the truth beside them."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from infarct_vol._version import __version__
from infarct_vol.files import write_json, write_text
from infarct_vol.simulation.scanner import BVALUE
from infarct_vol.simulation.scenarios import ParticipantPlan
from infarct_vol.simulation.sites import Site

TRUTH_FOLDER = Path("derivatives") / "truth"
_BIDS_VERSION = "1.10.1"


@dataclass(frozen=True)
class TruthRow:
    """One true volume: a lesion of a visit on the grid of one of its images.

    Parameters
    ----------
    parameter
        ``infarct`` (rim and cavity of the original infarct), ``cavity`` or ``new_lesion``.
    volume_ml
        Exact volume, from fractions of 1 mm3; the same for every image of the visit.
    mask_volume_ml
        Volume of the mask of voxels at least half lesion, on the image's native grid.
    signal_ratio
        Lesion against healthy tissue in that image's contrast; ``None`` for a cavity.
    mask_path
        Relative to the truth's folder; empty where there is nothing.
    scan_status
        ``ok`` or ``damaged``.
    """

    participant_id: str
    session_id: str
    visit: str
    modality: str
    parameter: str
    volume_ml: float
    mask_volume_ml: float
    signal_ratio: float | None
    mask_path: str
    scan_status: str
    scenario: str


@dataclass(frozen=True)
class TrialTruth:
    """All true volumes of a digital trial and where they are written."""

    root: Path
    rows: tuple[TruthRow, ...]

    @property
    def table_path(self) -> Path:
        """Path of ``truth.csv``."""
        return self.root / TRUTH_FOLDER / "truth.csv"


def write_trial_files(root: Path, plans: Iterable[ParticipantPlan], *, seed: int) -> None:
    """Write what describes the trial as a whole."""
    plans = list(plans)
    write_json(
        {
            "Name": "Digital stroke trial with known infarct volumes",
            "BIDSVersion": _BIDS_VERSION,
            "DatasetType": "raw",
            "License": "Apache-2.0",
            "Authors": ["infarct-vol"],
            "GeneratedBy": [{"Name": "infarct-vol", "Version": __version__}],
        },
        root / "dataset_description.json",
    )
    write_text(_README.format(count=len(plans), seed=seed, version=__version__), root / "README.md")
    write_text(_tsv(_participant_row(plan) for plan in plans), root / "participants.tsv")
    write_json(_PARTICIPANT_COLUMNS, root / "participants.json")


def write_participant_files(root: Path, plan: ParticipantPlan) -> None:
    """Write the participant's table of sessions."""
    rows = ({"session_id": v.session_id, "acq_time": v.acq_time.isoformat()} for v in plan.visits)
    name = plan.participant_id
    write_text(_tsv(rows), root / name / f"{name}_sessions.tsv")


def write_truth_files(truth: TrialTruth, plans: Iterable[ParticipantPlan]) -> None:
    """Write the table of true volumes and the scenarios."""
    folder = truth.root / TRUTH_FOLDER
    write_json(
        {
            "Name": "True lesions of a digital stroke trial",
            "BIDSVersion": _BIDS_VERSION,
            "DatasetType": "derivative",
            "License": "Apache-2.0",
            "GeneratedBy": [{"Name": "infarct-vol", "Version": __version__}],
        },
        folder / "dataset_description.json",
    )
    write_text(_TRUTH_README, folder / "README.md")
    write_text(
        _csv((_truth_fields(row) for row in truth.rows), [f.name for f in fields(TruthRow)]), truth.table_path
    )
    write_text(
        _csv((_scenario_row(plan) for plan in plans), list(_SCENARIO_COLUMNS)), folder / "scenarios.csv"
    )


def sidecar(site: Site, kind: str) -> dict[str, object]:
    """Return the BIDS sidecar of an image.

    Parameters
    ----------
    kind
        ``flair``, ``t1w``, ``trace``, ``b0``, ``adc`` or ``series``.
    """
    is_anatomy = kind in ("flair", "t1w")
    spacing = site.flair_spacing_mm if is_anatomy else site.dwi_spacing_mm
    fields_of: dict[str, object] = {
        "Manufacturer": site.manufacturer,
        "ManufacturersModelName": site.model,
        "MagneticFieldStrength": site.field_t,
        "InstitutionName": f"Digital hospital {site.name}",
        "MRAcquisitionType": "3D" if spacing[2] < 2 else "2D",
        "SliceThickness": spacing[2],
        "SpacingBetweenSlices": spacing[2],
    }
    if kind == "t1w":
        fields_of |= {"RepetitionTime": 0.6, "EchoTime": 0.012, "FlipAngle": 70}
    elif kind == "flair":
        fields_of |= {"RepetitionTime": 9.0, "EchoTime": 0.12, "InversionTime": 2.5, "FlipAngle": 150}
    else:
        fields_of |= {"RepetitionTime": 5.2, "EchoTime": 0.085, "PhaseEncodingDirection": "j"}
    if kind == "trace":
        fields_of["DiffusionBValue"] = BVALUE
    if kind == "adc" and site.states_adc_unit:
        fields_of["Units"] = site.adc_unit
    return fields_of


def _participant_row(plan: ParticipantPlan) -> dict[str, str]:
    return {
        "participant_id": plan.participant_id,
        "first_dose_time": plan.first_dose_time.isoformat(),
        "onset_time": plan.onset_time.isoformat(),
        "age": str(plan.age),
        "sex": plan.sex,
        "site": plan.site.name,
    }


_SCENARIO_COLUMNS = ("participant_id", "scenario", "site", "infarct_kind", "infarct_side", "white_matter_ml")


def _scenario_row(plan: ParticipantPlan) -> dict[str, str]:
    values = (
        plan.participant_id,
        plan.scenario,
        plan.site.name,
        plan.infarct.kind,
        "left" if plan.infarct.side < 0 else "right",
        f"{plan.hyperintensity_ml:.3f}",
    )
    return dict(zip(_SCENARIO_COLUMNS, values, strict=True))


def _truth_fields(row: TruthRow) -> dict[str, str]:
    values = asdict(row)
    for name in ("volume_ml", "mask_volume_ml"):
        values[name] = f"{values[name]:.6f}"
    ratio = values["signal_ratio"]
    values["signal_ratio"] = "" if ratio is None else f"{ratio:.3f}"
    return {key: str(value) for key, value in values.items()}


def _tsv(rows: Iterable[Mapping[str, str]]) -> str:
    listed = list(rows)
    return "".join("\t".join(line) + "\n" for line in [list(listed[0]), *(list(r.values()) for r in listed)])


def _csv(rows: Iterable[Mapping[str, str]], columns: list[str]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


_PARTICIPANT_COLUMNS = {
    "first_dose_time": {"Description": "date and time of the first dose (ISO 8601)"},
    "onset_time": {"Description": "date and time of stroke onset (ISO 8601)"},
    "age": {"Description": "age at onset", "Units": "year"},
    "sex": {"Description": "sex at birth", "Levels": {"F": "female", "M": "male"}},
    "site": {"Description": "hospital that scanned the participant"},
}

_README = """# Digital stroke trial

{count} digital patients, made by infarct-vol {version} with seed {seed}. Nobody real was scanned: the heads
are built on the MNI ICBM 152 template, the infarcts are drawn by rules, the images by a model of a scanner.

Sessions: ses-BL (before the first dose), ses-M01, ses-M03, ses-M06.
The true lesions and their volumes are in `derivatives/truth`.
"""

_TRUTH_README = """# True lesions of the digital trial

- `truth.csv`: one row per visit, image and parameter. `volume_ml` is exact, the sum of lesion fractions at
  1 mm. `mask_volume_ml` is that of the mask on the image's grid: voxels at least half lesion. `infarct` is
  the original infarct (at follow-up its rim and cavity); `new_lesion` is apart from it.
- `scenarios.csv`: what was planned for each participant.
- `sub-*/ses-*/*/*_desc-{infarct,cavity,newlesion,brain}_mask.nii.gz`: masks on the native grid of each image.
- `sub-*/sub-*_transforms.json`: rigid 4x4 matrices, points of the baseline FLAIR (RAS+ mm) to points of each
  image (RAS+ mm).
"""

"""The data dictionary: what every column of every table means, with its unit."""

from __future__ import annotations

from pydantic import Field

from infarct_vol.change import ChangeRow
from infarct_vol.records import Record, VolumeRow
from infarct_vol.tables.components import ComponentRow
from infarct_vol.tables.summary import SummaryRow


class DictionaryRow(Record):
    """One column of one table: a row of ``data_dictionary.csv``."""

    table: str
    column: str
    unit: str = Field(description="empty for text, counts and yes-or-no columns")
    description: str


_SHARED: dict[str, tuple[str, str]] = {
    "participant_id": ("", "participant, as the study names it"),
    "session_id": ("", "session of the images at this visit"),
    "visit": ("", "baseline, early, month1, month3, month6 or unscheduled, by the protocol"),
    "acq_time": ("", "date and time of acquisition, ISO 8601"),
    "study_day": ("", "day relative to the first dose, which is day 1; there is no day 0"),
    "parameter": (
        "",
        "infarct: the stage-aware primary (acute DWI at baseline, FLAIR later); infarct_dwi, infarct_flair: "
        "the infarct on that image; cavity: its CSF-like part; new_lesion: bright lesion apart from it",
    ),
    "modality": ("", "image the volume was measured on"),
    "method": ("", "method and version that made the mask"),
    "volume_ml": (
        "mL",
        "voxels x |det(affine)| on the native grid of the image measured; 0 means measured, none found",
    ),
    "voxel_count": ("", "voxels in the mask"),
    "voxel_volume_mm3": ("mm3", "volume of one voxel"),
    "lesion_count": ("", "connected components, by the protocol's neighbourhood"),
    "volume_ml_low": ("mL", "lower limit when thresholds or the boundary move within stated limits"),
    "volume_ml_high": ("mL", "upper limit when thresholds or the boundary move within stated limits"),
    "status": ("", "measured, reviewed, edited (with a volume); not_measurable, failed, missing, excluded"),
    "reason": ("", "why a number is absent, or what to know about it"),
    "source": (
        "",
        "who drew the mask that counts: automatic, or external with the mask's file name and SHA-256",
    ),
    "mask_path": ("", "mask file, relative to the output folder"),
    "partial_volume_ml": (
        "mL",
        "volume with boundary voxels counted by their fraction, where the method has it",
    ),
    "flags": ("", "what a reader should look at"),
    "protocol_sha256": ("", "SHA-256 of the effective protocol"),
    "version": ("", "version of infarct-vol that measured"),
    "automatic_volume_ml": ("mL", "volume of the automatic mask, where a mask made elsewhere counts"),
    "edit_difference_ml": ("mL", "volume_ml - automatic_volume_ml, where a mask made elsewhere counts"),
    "edit_dice": ("", "overlap (Dice) of both masks, 0 to 1, where a mask made elsewhere counts"),
    "component": ("", "number of the connected component in its mask, the largest first"),
    "centroid_x_mm": ("mm", "mean of its voxel centres, scanner space, to the patient's right"),
    "centroid_y_mm": ("mm", "mean of its voxel centres, scanner space, to the front"),
    "centroid_z_mm": ("mm", "mean of its voxel centres, scanner space, upwards"),
    "centroid_mni_x_mm": ("mm", "the same in MNI space by an affine fit, good to about 5 mm"),
    "centroid_mni_y_mm": ("mm", "the same in MNI space by an affine fit, good to about 5 mm"),
    "centroid_mni_z_mm": ("mm", "the same in MNI space by an affine fit, good to about 5 mm"),
    "hemisphere": (
        "",
        "left or right of the patient: two thirds of it lie there, over 3 mm from the mid-plane; or midline",
    ),
    "region": ("", "supratentorial or infratentorial (cerebellum, brain stem), by a rule in MNI space"),
    "grey_percent": ("%", "mean share of grey matter in the MNI template where it lies; approximate"),
    "white_percent": ("%", "mean share of white matter in the MNI template where it lies; approximate"),
    "first_slice": ("", "first slice it is in, along the thickest axis of the native grid, counted from 0"),
    "last_slice": ("", "last slice it is in, counted from 0"),
    "baseline_modality": ("", "image the baseline volume was measured on"),
    "baseline_volume_ml": ("mL", "volume of the same parameter at baseline"),
    "change_ml": ("mL", "volume_ml - baseline_volume_ml; empty unless both ends have a value"),
    "percent_change": ("%", "100 x change_ml / baseline_volume_ml; empty where baseline is 0"),
    "like_for_like": (
        "",
        "true if modality, method, version, manufacturer, field strength and voxel spacing are alike at both "
        "ends; false is a comparison of different quantities; empty without a change",
    ),
    "exceeds_repeatability": ("", "true if |change_ml| > repeatability_limit_ml; empty without a change"),
    "like_for_like_reason": ("", "what differs between both ends, and what could not be compared"),
    "repeatability_limit_ml": ("mL", "larger of the protocol's limit in mL and in percent of baseline"),
    "baseline_status": ("", "status of the baseline end"),
    "baseline_session_id": ("", "session of the baseline images"),
    "baseline_method": ("", "method and version that made the baseline mask"),
    "persistent_ml": ("mL", "infarct at both visits, in baseline space; primary parameter only"),
    "resolved_ml": ("mL", "infarct at baseline only, in baseline space; primary parameter only"),
    "new_ml": ("mL", "infarct at this visit only, in baseline space; primary parameter only"),
    "arm": ("", "'all' for pooled rows; otherwise the arm in the randomisation list"),
    "participants_n": ("", "participants with a row for this parameter and visit, with or without a value"),
    "missing_n": ("", "participants without the visit or image"),
    "failed_n": ("", "participants whose scan was refused or whose processing failed"),
    "not_measurable_n": ("", "participants whose image could not be measured"),
    "excluded_n": ("", "participants whose volume was excluded by a reader or the protocol"),
    "like_for_like_n": ("", "changes that compare like with like"),
    "blinding": ("", "BLINDED: no randomisation list was given, pooled rows only; otherwise UNBLINDED"),
}
_QUANTITIES = {
    "volume": ("mL", "volume_ml"),
    "change": ("mL", "change_ml"),
    "percent": ("%", "percent_change"),
}
_STATISTICS = {
    "n": "number of values of",
    "mean": "arithmetic mean of",
    "sd": "standard deviation (n - 1) of two values or more of",
    "median": "median (SAS definition 5) of",
    "q1": "first quartile (SAS definition 5) of",
    "q3": "third quartile (SAS definition 5) of",
    "min": "smallest",
    "max": "largest",
}


def dictionary_rows() -> list[DictionaryRow]:
    """Return one row per column of every table, in the order of tables and columns."""
    tables: dict[str, type[Record]] = {
        "volumes": VolumeRow,
        "change_from_baseline": ChangeRow,
        "summary": SummaryRow,
        "components": ComponentRow,
    }
    meanings = {**_SHARED, **_statistic_meanings()}
    return [
        DictionaryRow(table=table, column=column, unit=meanings[column][0], description=meanings[column][1])
        for table, record in tables.items()
        for column in record.model_fields
    ]


def _statistic_meanings() -> dict[str, tuple[str, str]]:
    return {
        f"{prefix}_{name}": ("" if name == "n" else unit, f"{text} {column}")
        for prefix, (unit, column) in _QUANTITIES.items()
        for name, text in _STATISTICS.items()
    }

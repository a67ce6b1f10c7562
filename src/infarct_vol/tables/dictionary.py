"""The data dictionary: what every column of every table means, with its unit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic import Field

from infarct_vol.records import Record


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
    "status": (
        "",
        "measured; reviewed: accepted by a reader; edited: drawn by a reader (all with a volume); "
        "not_measurable, failed, missing, excluded: rejected by a reader, or by the protocol",
    ),
    "reason": ("", "why a number is absent, or what to know about it"),
    "source": (
        "",
        "who drew the mask that counts: automatic; external with the mask's file name and SHA-256; edited "
        "with reader and time of the decision; or the mean of two reads",
    ),
    "mask_path": ("", "mask file, relative to the output folder"),
    "partial_volume_ml": (
        "mL",
        "volume with boundary voxels counted by their fraction, where the method has it",
    ),
    "flags": ("", "what a reader should look at"),
    "protocol_sha256": ("", "SHA-256 of the effective protocol"),
    "version": ("", "version of infarct-vol that measured"),
    "automatic_volume_ml": ("mL", "volume of the automatic mask, where a reader's mask counts"),
    "edit_difference_ml": ("mL", "volume_ml - automatic_volume_ml, where a reader's mask counts"),
    "edit_dice": ("", "overlap (Dice) of both masks, 0 to 1, where a reader's mask counts"),
    "reader": ("", "role and number of the reader, by order of enrolment"),
    "kind": ("", "open; read: blinded; reread: blinded again; adjudication"),
    "read_number": ("", "1: first read of the item by this reader; 2: second"),
    "verdict": ("", "accept, reject, query or not_measurable"),
    "mask_sha256": ("", "SHA-256 of the mask that was judged"),
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
    "repeatability_source": ("", "where the limit comes from: the protocol, or a self-verification"),
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
    "randomized_n": ("", "participants on the randomisation list; empty without one"),
    "randomized_without_data_n": ("", "those of them without a volume of this parameter at any visit"),
}
_OUTCOMES: dict[str, tuple[str, str]] = {
    "parameter": ("", "outcome, as the protocol and the measures file name it"),
    "label": ("", "the outcome's name in the protocol"),
    "unit": ("", "unit of value, baseline_value and change"),
    "value": ("see unit", "value in the measures file; empty where it was refused or not stated"),
    "baseline_value": ("see unit", "the last value before the first dose"),
    "change": ("see unit", "value - baseline_value; empty unless both are there"),
    "percent_change": ("%", "100 x change / baseline_value; empty where baseline is 0"),
    "lower_limit": ("see unit", "lower limit of the laboratory's reference range, as the file states it"),
    "upper_limit": ("see unit", "upper limit of the laboratory's reference range, as the file states it"),
    "analysed": ("", "true for the value that stands for its visit: nearest to target, a tie to the earlier"),
    "status": ("", "measured; missing: no value; failed: the value was refused"),
    "line": ("", "line of the measures file"),
    "acq_time": ("", "date and time of the value, ISO 8601, as the file states it"),
    "visit": ("", "baseline, early, month1, month3, month6, month9, month12 or unscheduled, by the protocol"),
}
_SUMMARY_LONG: dict[str, tuple[str, str]] = {
    "quantity": ("", "volume: volume_ml; change: change_ml; percent: percent_change"),
    "unit": ("", "unit of value; empty for n"),
    "statistic": ("", "as the columns of the summary"),
    "value": ("see unit", "the statistic; empty where there are too few values"),
}
_MODELS: dict[str, tuple[str, str]] = {
    "scale": ("", "raw: change in mL on baseline mL; cube_root: the same of cube roots"),
    "model": (
        "",
        "ancova: change on arm and baseline; repeated_measures: MMRM, change on arm x visit and "
        "baseline x visit",
    ),
    "n": ("", "participants in the model at this visit"),
    "term": ("", "adjusted_mean: of the arm at the mean baseline; difference: arm minus reference_arm"),
    "reference_arm": ("", "arm that others are compared with"),
    "estimate": ("mL, or its cube root", "adjusted mean or difference; empty where it cannot be had"),
    "se": ("mL, or its cube root", "standard error"),
    "df": ("", "degrees of freedom (Kenward-Roger in the MMRM)"),
    "low": ("mL, or its cube root", "lower limit of the 95 % interval"),
    "high": ("mL, or its cube root", "upper limit of the 95 % interval"),
    "p": ("", "two-sided p of the hypothesis that it is 0; descriptive"),
    "residual_sd": ("mL, or its cube root", "standard deviation of the residuals"),
    "shapiro_p": ("", "p of Shapiro and Wilk's test that residuals are normal"),
    "breusch_pagan_p": ("", "p of Breusch and Pagan's test that the variance of residuals is constant"),
    "max_cooks_distance": ("", "largest influence of one participant (Cook's distance)"),
    "covariance": ("", "how a participant's visits are correlated in the model"),
    "note": ("", "why a number is absent, and what it is worth"),
}
_CORRELATIONS: dict[str, tuple[str, str]] = {
    "outcome": ("", "scale the infarct is set against"),
    "quantity": ("", "volume: volume against score; change: change of volume against change of score"),
    "n": ("", "participants with both"),
    "rho": ("", "Spearman's rank correlation"),
    "low": ("", "lower limit of its 95 % interval (Fisher z, Bonett and Wright 2000)"),
    "high": ("", "upper limit of its 95 % interval"),
    "p": ("", "two-sided p by the t approximation; descriptive"),
}
_OWN: dict[str, dict[str, tuple[str, str]]] = {
    "outcomes": _OUTCOMES,
    "outcomes_change": _OUTCOMES,
    "outcomes_summary": _OUTCOMES,
    "summary_long": _SUMMARY_LONG,
    "models": _MODELS,
    "correlations": _CORRELATIONS,
}
"""Table -> meanings that differ from the shared ones."""
_QUANTITIES = {
    "volume": ("mL", "volume_ml"),
    "value": ("see unit", "value"),
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
    "mean_low": "lower limit of Student's 95 % interval of the mean (SAS CLM) of",
    "mean_high": "upper limit of Student's 95 % interval of the mean (SAS CLM) of",
    "median_low": "lower limit of the distribution-free 95 % interval of the median (SAS CIQUANTDF) of",
    "median_high": "upper limit of the distribution-free 95 % interval of the median (SAS CIQUANTDF) of",
}


def dictionary_rows(tables: Mapping[str, Sequence[str]]) -> list[DictionaryRow]:
    """Return one row per column of every table, in the order of tables and columns.

    Parameters
    ----------
    tables
        Table -> its columns.
    """
    return [
        DictionaryRow(table=table, column=column, unit=meaning[0], description=meaning[1])
        for table, columns in tables.items()
        for column in columns
        for meaning in [_meaning(table, column)]
    ]


def _meaning(table: str, column: str) -> tuple[str, str]:
    """Return unit and description of a column."""
    own = _OWN.get(table, {})
    if column in own:
        return own[column]
    if column in _SHARED:
        return _SHARED[column]
    head, _, tail = column.partition("_")
    if tail in _STATISTICS and head in _QUANTITIES:
        unit, quantity = _QUANTITIES[head]
        if table == "outcomes_summary" and head == "change":
            unit, quantity = "see unit", "change"
        return ("" if tail == "n" else unit, f"{_STATISTICS[tail]} {quantity}")
    # a column a visit: volume_ml_month1
    column, _, visit = column.rpartition("_")
    unit, description = _SHARED[column]
    return unit, f"at {visit}: {description}"

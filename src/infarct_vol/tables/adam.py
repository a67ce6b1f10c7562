"""The analysis datasets (ADaM BDS): ADINFVOL, infarct volumes, and ADOUTC, the trial's other outcomes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import get_args

import numpy as np
import pandas as pd

from infarct_vol.cdisc import Codelist, Dataset, ValueLevel, Variable
from infarct_vol.records import Status
from infarct_vol.settings import OutcomeSettings, VisitName, VisitWindow
from infarct_vol.tables.bds import ZERO_BASELINE
from infarct_vol.tables.blocks import Block, joined, long_text
from infarct_vol.tables.measurements import BASELINE_SPACE, has_other_clocks
from infarct_vol.tables.subjects import TRTSDT, YES, YES_NO, Subjects
from infarct_vol.tables.visit_numbers import analysis_visit

VOLUME_PARAMETERS: dict[str, tuple[str, int, str]] = {
    "infarct": ("INFVOL", 1, "Infarct Volume (mL)"),
    "infarct_dwi": ("INFVDWI", 2, "Infarct Volume on DWI (mL)"),
    "infarct_flair": ("INFVFLR", 3, "Infarct Volume on FLAIR (mL)"),
    "cavity": ("INFVCAV", 4, "Cavity Volume (mL)"),
    "new_lesion": ("INFVNEW", 5, "New Lesion Volume (mL)"),
    BASELINE_SPACE: ("INFVBSP", 6, "Infarct Volume in Baseline Space (mL)"),
}
"""Parameter -> PARAMCD, PARAMN, PARAM."""
BASETYPE = "LAST BEFORE FIRST DOSE"
_UNDATED = "no baseline record, because its date or that of the first dose is not stated"
CRITERION = "|CHG| exceeds the repeatability limit"
STATUS = Codelist(
    "Measurement Status", "text", tuple((name, name.replace("_", " ")) for name in get_args(Status))
)


_SHARED_VARIABLES: tuple[Variable, ...] = (
    Variable("AVAL", "Analysis Value", "float", method="Not rounded; see the parameter."),
    Variable("ADT", "Analysis Date", "date", origin="Collected", comment="date part of acq_time"),
    Variable(
        "ADY", "Analysis Relative Day", "integer", method="ADT - TRTSDT, plus 1 from TRTSDT on: no day 0."
    ),
    Variable("VISIT", "Visit Name", "text", origin="Assigned"),
    Variable("VISITNUM", "Visit Number", "float", origin="Assigned"),
    Variable(
        "AVISIT",
        "Analysis Visit",
        "text",
        method="Window of the protocol that holds ADY; by the session label where a date is not stated.",
    ),
    Variable("AVISITN", "Analysis Visit (N)", "float", origin="Assigned", comment="months; 99 unscheduled"),
    Variable("AWTARGET", "Analysis Window Target", "integer", origin="Protocol"),
    Variable(
        "AWTDIFF",
        "Analysis Window Diff from Target",
        "integer",
        method="|ADY - AWTARGET|, less 1 where they lie on both sides of the absent day 0.",
    ),
    Variable("AWLO", "Analysis Window Beginning Timepoint", "integer", origin="Protocol"),
    Variable("AWHI", "Analysis Window Ending Timepoint", "integer", origin="Protocol"),
    Variable("AWU", "Analysis Window Unit", "text", origin="Assigned"),
    Variable(
        "ABLFL",
        "Baseline Record Flag",
        "text",
        method="Y: the last record by ADT, VISITNUM and sequence among those of the baseline visit that have "
        "AVAL and are known to precede the first dose.",
        codelist=YES,
    ),
    Variable(
        "ANL01FL",
        "Analysis Flag 01",
        "text",
        method="Y: the baseline record, and of each analysed visit the record nearest to AWTARGET that has "
        "AVAL; a tie goes to the earlier.",
        codelist=YES,
    ),
    Variable("BASE", "Baseline Value", "float", method="AVAL of the record with ABLFL = Y, on every record."),
    Variable("BASETYPE", "Baseline Type", "text", origin="Assigned"),
    Variable(
        "CHG", "Change from Baseline", "float", method="AVAL - BASE; empty on baseline and earlier records."
    ),
    Variable(
        "PCHG", "Percent Change from Baseline", "float", method="100 x CHG / |BASE|; empty where BASE is 0."
    ),
    Variable(
        "DTYPE", "Derivation Type", "text", origin="Assigned", comment="always empty: nothing is imputed"
    ),
    Variable("ASEQ", "Analysis Sequence Number", "integer", origin="Assigned", mandatory=True),
    Variable("SRCDOM", "Source Data", "text", origin="Assigned"),
    Variable("SRCSEQ", "Source Sequence Number", "integer", method="Sequence number in SRCDOM."),
    Variable("STATUS", "Measurement Status", "text", origin="Assigned", codelist=STATUS),
)


@dataclass(frozen=True)
class Parameters:
    """Names of a dataset's parameters: PARAMCD, PARAMN and PARAM of each, and how a value comes about."""

    named: dict[str, tuple[str, int, str]]
    methods: dict[str, str]

    def terms(self, present: set[str]) -> tuple[tuple[str, str], ...]:
        """Return PARAMCD and PARAM of the parameters that occur, in their order."""
        return tuple((code, label) for name, (code, _, label) in self.named.items() if name in present)


VOLUMES = Parameters(
    VOLUME_PARAMETERS,
    {
        "infarct": "Voxels of the infarct mask times |det(affine)| on the native grid, of the DWI at "
        "baseline, of the FLAIR later.",
        "infarct_dwi": "Voxels of the infarct mask times |det(affine)| on the native grid of the DWI.",
        "infarct_flair": "Voxels of the infarct mask times |det(affine)| on the native grid of the FLAIR.",
        "cavity": "Voxels of the cavity mask times |det(affine)| on the native grid of the FLAIR.",
        "new_lesion": "Voxels of the new-lesion mask times |det(affine)| on the native grid of the FLAIR.",
        BASELINE_SPACE: "Infarct resampled into baseline space: persistent plus resolved voxels at baseline, "
        "persistent plus new voxels later, times |det(affine)| of the baseline FLAIR.",
    },
)


def outcome_parameters(outcomes: dict[str, OutcomeSettings], units: dict[str, str]) -> Parameters:
    """Return the names of the trial's other outcomes; their numbers are their places in the protocol."""
    named = {
        name: (
            outcome.paramcd,
            number,
            f"{outcome.label} ({units[name]})" if units.get(name) else outcome.label,
        )
        for number, (name, outcome) in enumerate(outcomes.items(), start=1)
    }
    return Parameters(named, dict.fromkeys(named, "As stated in the measures file."))


def adinfvol(derived: pd.DataFrame, subjects: Subjects, windows: dict[VisitName, VisitWindow]) -> Dataset:
    """Return the analysis dataset of infarct volumes.

    Parameters
    ----------
    derived
        `infarct_vol.tables.measurements.Measurements.frame` after `infarct_vol.tables.bds.derive`.
    subjects
        Identifiers, and arms where there is a randomisation list.
    windows
        Analysed visits.

    Returns
    -------
    Dataset
        One row a parameter and scan, measured or not; a visit that did not take place has no row. AVAL is
        in mL and not rounded. Extra to the standard: STATUS, REASON, METHOD, MODALITY, LIKEFL, MASKPATH,
        MASKSHA.
    """
    rows = derived[derived["session_id"] != ""]
    judged = {
        "CRIT1": np.where(rows["exceeds_repeatability"] != "", CRITERION, "").astype(object),
        "CRIT1FL": rows["exceeds_repeatability"].to_numpy(),
        "LIKEFL": rows["like_for_like"].to_numpy(),
        "MODALITY": rows["modality"].to_numpy(),
        "METHOD": rows["method"].to_numpy(),
    }
    return _bds(
        rows,
        subjects,
        windows,
        name="ADINFVOL",
        label="Infarct Volume Analysis",
        source="NV",
        parameters=VOLUMES,
        extra=joined(
            Block(judged, _JUDGED),
            long_text(list(rows["mask_path"]), name="MASKPATH", label="Mask File"),
            Block({"MASKSHA": rows["mask_sha256"].to_numpy()}, (MASKSHA,)),
        ),
    )


_JUDGED = (
    Variable("CRIT1", "Analysis Criterion 1", "text", origin="Assigned"),
    Variable(
        "CRIT1FL",
        "Criterion 1 Evaluation Result Flag",
        "text",
        method="Y where |CHG| is above the larger of the protocol's limits in mL and in percent of BASE",
        codelist=YES_NO,
    ),
    Variable(
        "LIKEFL",
        "Baseline Compared Like for Like",
        "text",
        method="Y where modality, method, version, scanner, field strength and voxel spacing are alike",
        codelist=YES_NO,
    ),
    Variable("MODALITY", "Modality of the Image Measured", "text", origin="Assigned"),
    Variable("METHOD", "Segmentation Method and Version", "text", origin="Assigned"),
)
MASKSHA = Variable("MASKSHA", "SHA-256 of the Mask File", "text", origin="Assigned")


def adoutc(
    derived: pd.DataFrame,
    subjects: Subjects,
    windows: dict[VisitName, VisitWindow],
    parameters: Parameters,
) -> Dataset:
    """Return the analysis dataset of the trial's other outcomes: one row a line of the measures file.

    Parameters
    ----------
    derived
        Rows of the measures file after `infarct_vol.tables.bds.derive`.
    subjects, windows, parameters
        As `adinfvol`; ANRLO and ANRHI are the limits the file states.
    """
    low, high, value = derived["lower_limit"], derived["upper_limit"], derived["value"]
    known = value.notna() & (low.notna() | high.notna())
    indicator = np.select(
        [known & (value < low), known & (value > high), known], ["LOW", "HIGH", "NORMAL"], ""
    )
    limits = {"ANRLO": low.to_numpy(), "ANRHI": high.to_numpy(), "ANRIND": indicator.astype(object)}
    return _bds(
        derived,
        subjects,
        windows,
        name="ADOUTC",
        label="Other Outcomes Analysis",
        source="XM",
        parameters=parameters,
        extra=Block(limits, _REFERENCE_RANGE),
    )


_REFERENCE_RANGE = (
    Variable("ANRLO", "Analysis Normal Range Lower Limit", "float", origin="Collected"),
    Variable("ANRHI", "Analysis Normal Range Upper Limit", "float", origin="Collected"),
    Variable("ANRIND", "Analysis Reference Range Indicator", "text", method="AVAL against ANRLO and ANRHI"),
)


def _bds(
    rows: pd.DataFrame,
    subjects: Subjects,
    windows: dict[VisitName, VisitWindow],
    *,
    name: str,
    label: str,
    source: str,
    parameters: Parameters,
    extra: Block,
) -> Dataset:
    """Return a dataset in the Basic Data Structure; ``extra`` columns stand at its end."""
    identifiers = subjects.columns(rows["participant_id"])
    end = joined(long_text(_reasons(rows), name="REASON", label="Reason or Remark"), extra)
    columns = identifiers | _parameter_columns(rows, parameters) | _value_columns(rows)
    columns |= _visit_columns(rows, windows) | _flag_columns(rows)
    columns |= {"ASEQ": np.zeros(len(rows)), "SRCDOM": np.full(len(rows), source, dtype=object)}
    columns |= {"SRCSEQ": rows["sequence"].to_numpy(), "STATUS": rows["status"].to_numpy(), **end.columns}
    frame = pd.DataFrame(columns)
    frame = frame.sort_values(["USUBJID", "PARAMN", "ADT", "VISITNUM", "SRCSEQ"], kind="stable")
    frame = frame.reset_index(drop=True)
    frame["ASEQ"] = frame.groupby("USUBJID").cumcount().astype(np.float64) + 1
    terms = parameters.terms(set(rows["parameter"]))
    variables = (
        *(
            replace(v, origin="Predecessor", predecessor="ADSL.TRTSDT", comment="") if v is TRTSDT else v
            for v in subjects.variables()
        ),
        *_parameter_variables(name, terms, parameters),
        *_shared_variables(rows),
        *end.variables,
    )
    return Dataset(
        name,
        f"{label} ({subjects.blinding})",
        frame,
        variables,
        keys=("STUDYID", "USUBJID", "PARAMCD", "VISITNUM", "ASEQ"),
        structure="one record per participant per parameter per analysis visit and scan",
        purpose="Analysis",
        class_name="BASIC DATA STRUCTURE",
        value_level=tuple(_value_level(term, parameters) for term in terms),
    )


def _shared_variables(rows: pd.DataFrame) -> tuple[Variable, ...]:
    """Return the variables of every dataset; they say where clocks differ, and where times of day count."""
    found = {v.name: v for v in _SHARED_VARIABLES}
    if has_other_clocks(rows):
        told = "date part of acq_time; brought to the UTC offset of first_dose_time where both state theirs"
        found["ADT"] = replace(found["ADT"], comment=told)
    by_day = rows.dropna(subset=["date"]).groupby(["participant_id", "parameter", "date"])
    if (by_day["moment"].nunique() > 1).any():
        method = found["ABLFL"].method.replace("by ADT,", "by ADT, the time of acq_time,")
        found["ABLFL"] = replace(found["ABLFL"], method=method)
    return tuple(found.values())


def _reasons(rows: pd.DataFrame) -> list[str]:
    """Return the remark of each row, which says why there is no percent change or no baseline."""
    has_value = rows["value"].notna()
    undefined = rows["is_after_baseline"] & has_value & (rows["base"] == 0)
    unflagged = (rows["visit"] == "baseline") & has_value & ~rows["is_baseline"]
    remarks = []
    for text, zero, undated in zip(rows["remark"], undefined, unflagged, strict=True):
        if zero and "percent change is not defined" not in text:
            text = "; ".join(part for part in (text, ZERO_BASELINE) if part)
        remarks.append(text or (_UNDATED if undated else ""))
    return remarks


def _parameter_columns(rows: pd.DataFrame, parameters: Parameters) -> dict[str, object]:
    named = [parameters.named[parameter] for parameter in rows["parameter"]]
    return {
        "PARAM": np.array([label for _, _, label in named], dtype=object),
        "PARAMCD": np.array([code for code, _, _ in named], dtype=object),
        "PARAMN": np.array([number for _, number, _ in named], dtype=np.float64),
    }


def _value_columns(rows: pd.DataFrame) -> dict[str, object]:
    return {
        "AVAL": rows["value"].to_numpy(),
        "ADT": rows["date"].to_numpy(),
        "ADY": rows["day"].to_numpy(),
        "VISIT": rows["visit_label"].to_numpy(),
        "VISITNUM": rows["visit_number"].to_numpy(),
    }


def _visit_columns(rows: pd.DataFrame, windows: dict[VisitName, VisitWindow]) -> dict[str, object]:
    named = [analysis_visit(visit) for visit in rows["visit"]]
    placed = rows["day"].notna() & rows["target_day"].notna()
    first = {name: np.nan if w.first_day is None else w.first_day for name, w in windows.items()}
    last = {name: w.last_day for name, w in windows.items()}
    return {
        "AVISIT": np.array([label for label, _ in named], dtype=object),
        "AVISITN": np.array([number for _, number in named], dtype=np.float64),
        "AWTARGET": rows["target_day"].where(placed).to_numpy(dtype=np.float64),
        "AWTDIFF": rows["days_from_target"].to_numpy(dtype=np.float64),
        "AWLO": rows["visit"].map(first).where(placed).to_numpy(dtype=np.float64),
        "AWHI": rows["visit"].map(last).where(placed).to_numpy(dtype=np.float64),
        "AWU": np.where(placed, "DAYS", "").astype(object),
    }


def _flag_columns(rows: pd.DataFrame) -> dict[str, object]:
    return {
        "ABLFL": np.where(rows["is_baseline"], "Y", "").astype(object),
        "ANL01FL": np.where(rows["is_analysed"], "Y", "").astype(object),
        "BASE": rows["base"].to_numpy(),
        "BASETYPE": np.where(rows["base"].notna(), BASETYPE, "").astype(object),
        "CHG": rows["change"].to_numpy(),
        "PCHG": rows["percent_change"].to_numpy(),
        "DTYPE": np.full(len(rows), "", dtype=object),
    }


def _parameter_variables(
    dataset: str, terms: tuple[tuple[str, str], ...], parameters: Parameters
) -> tuple[Variable, ...]:
    present = {label for _, label in terms}
    numbers = tuple(
        (str(number), label) for _, number, label in parameters.named.values() if label in present
    )
    return (
        Variable("PARAM", "Parameter", "text", origin="Assigned", mandatory=True),
        Variable(
            "PARAMCD",
            "Parameter Code",
            "text",
            origin="Assigned",
            codelist=Codelist(f"Parameter Code of {dataset}", "text", terms),
            mandatory=True,
        ),
        Variable(
            "PARAMN",
            "Parameter (N)",
            "integer",
            origin="Assigned",
            codelist=Codelist(f"Parameter Number of {dataset}", "integer", numbers),
            mandatory=True,
        ),
    )


def _value_level(term: tuple[str, str], parameters: Parameters) -> ValueLevel:
    name = next(name for name, (code, _, _) in parameters.named.items() if code == term[0])
    return ValueLevel("AVAL", "PARAMCD", term[0], term[1], "float", method=parameters.methods[name])

"""Listings of what was measured, in the manner of SDTM findings: what the analysis datasets are traced to.

NV (nervous system findings) has one row a volume, with the scan and the mask it comes from; XM, a domain of
the sponsor, one row a line of the measures file. Their sequence numbers are SRCSEQ of the analysis datasets.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from infarct_vol.cdisc import Codelist, Dataset, Variable
from infarct_vol.tables.adam import MASKSHA, STATUS, VOLUMES, Parameters
from infarct_vol.tables.blocks import Block, joined, long_text
from infarct_vol.tables.csvtext import cell
from infarct_vol.tables.measurements import has_other_clocks
from infarct_vol.tables.subjects import STUDYID, USUBJID, Subjects

NOT_DONE = Codelist("Not Done", "text", (("NOT DONE", "Not done"),))


def nv(measurements: pd.DataFrame, subjects: Subjects) -> Dataset:
    """Return the listing of volumes: participant, visit, scan, parameter, result, method, evaluator, status.

    Parameters
    ----------
    measurements
        `infarct_vol.tables.measurements.Measurements.frame`; derived rows are left out.
    subjects
        Identifiers. No arm is ever in a listing.
    """
    rows = measurements[~measurements["derived"]]
    method = np.where(rows["modality"] != "", rows["modality"] + " MRI", "").astype(object)
    examined = {
        "NVMETHOD": method,
        "NVEVAL": rows["evaluator"].to_numpy(),
        "VOXELS": rows["voxel_count"].to_numpy(),
    }
    made = {"MASKSHA": rows["mask_sha256"].to_numpy(), "NVALGO": rows["method"].to_numpy()}
    return _findings(
        rows,
        subjects,
        prefix="NV",
        label="Nervous System Findings",
        parameters=VOLUMES,
        units=np.full(len(rows), "mL", dtype=object),
        before=Block({"NVSPID": rows["session_id"].to_numpy()}, (_NVSPID,)),
        after=joined(
            Block(examined, _EXAMINED),
            long_text(list(rows["scan_path"]), name="NVSCAN", label="Scan File"),
            Block({"SCANSHA": rows["scan_sha256"].to_numpy()}, (_SCANSHA,)),
            long_text(list(rows["mask_path"]), name="NVMASK", label="Mask File"),
            Block(made, (MASKSHA, _NVALGO)),
        ),
    )


def xm(records: pd.DataFrame, subjects: Subjects, parameters: Parameters) -> Dataset:
    """Return the listing of the measures file: one row a line, refused values empty with the reason."""
    limits = {"XMSTNRLO": records["lower_limit"].to_numpy(), "XMSTNRHI": records["upper_limit"].to_numpy()}
    return _findings(
        records,
        subjects,
        prefix="XM",
        label="Other Outcomes",
        parameters=parameters,
        units=records["unit"].to_numpy(),
        before=Block({}, ()),
        after=Block(limits, _REFERENCE_RANGE),
    )


_NVSPID = Variable("NVSPID", "Sponsor-Defined Identifier", "text", origin="Collected", comment="session")
_REFERENCE_RANGE = (
    Variable("XMSTNRLO", "Reference Range Lower Limit-Std Units", "float", origin="Collected"),
    Variable("XMSTNRHI", "Reference Range Upper Limit-Std Units", "float", origin="Collected"),
)


_EXAMINED = (
    Variable("NVMETHOD", "Method of Test or Examination", "text", origin="Collected"),
    Variable(
        "NVEVAL",
        "Evaluator",
        "text",
        origin="Assigned",
        comment="ALGORITHM, or READER where a reader's mask counts",
    ),
    Variable("VOXELS", "Voxels in the Mask", "integer", method="Count of the voxels of the mask."),
)
_SCANSHA = Variable("SCANSHA", "SHA-256 of the Scan File", "text", origin="Assigned")
_NVALGO = Variable("NVALGO", "Segmentation Method and Version", "text", origin="Assigned")


def _findings(
    rows: pd.DataFrame,
    subjects: Subjects,
    *,
    prefix: str,
    label: str,
    parameters: Parameters,
    units: np.ndarray,
    before: Block,
    after: Block,
) -> Dataset:
    """Return a findings domain whose variables start with ``prefix``."""
    identifiers = subjects.columns(rows["participant_id"])
    not_done = list(rows["reason"].where(rows["value"].isna(), ""))
    reasons = long_text(not_done, name=f"{prefix}REASND", label="Reason Not Done")
    columns: dict[str, object] = {
        "STUDYID": identifiers["STUDYID"],
        "DOMAIN": np.full(len(rows), prefix, dtype=object),
        "USUBJID": identifiers["USUBJID"],
        f"{prefix}SEQ": rows["sequence"].to_numpy(),
        **before.columns,
        **_result_columns(rows, prefix=prefix, parameters=parameters, units=units),
        **reasons.columns,
        "VISITNUM": rows["visit_number"].to_numpy(),
        "VISIT": rows["visit_label"].to_numpy(),
        f"{prefix}DTC": rows["acq_time"].to_numpy(),
        f"{prefix}DY": rows["day"].to_numpy(),
        "STATUS": rows["status"].to_numpy(),
        **after.columns,
    }
    domain = Variable("DOMAIN", "Domain Abbreviation", "text", origin="Assigned", mandatory=True)
    variables = (
        *(STUDYID, domain, USUBJID),
        *_identity(prefix, before.variables),
        *_result(prefix),
        *reasons.variables,
        *_visit(prefix, has_other_clocks=has_other_clocks(rows)),
        *after.variables,
    )
    return Dataset(
        prefix,
        label,
        pd.DataFrame(columns).reset_index(drop=True),
        variables,
        keys=("STUDYID", "USUBJID", f"{prefix}SEQ"),
        structure="one record per participant, visit and measurement",
        purpose="Tabulation",
        class_name="FINDINGS",
    )


def _result_columns(
    rows: pd.DataFrame, *, prefix: str, parameters: Parameters, units: np.ndarray
) -> dict[str, object]:
    """Return test and result: the value as text and as number, or that it was not done."""
    values = rows["value"].to_numpy()
    has_value = ~np.isnan(values)
    texts = (cell(float(value)) if known else "" for value, known in zip(values, has_value, strict=True))
    result = np.array(list(texts), dtype=object)
    unit = np.where(has_value, units, "").astype(object)
    named = [parameters.named[parameter] for parameter in rows["parameter"]]
    return {
        f"{prefix}TESTCD": np.array([code for code, _, _ in named], dtype=object),
        f"{prefix}TEST": np.array([text.split(" (")[0] for _, _, text in named], dtype=object),
        f"{prefix}ORRES": result,
        f"{prefix}ORRESU": unit,
        f"{prefix}STRESC": result,
        f"{prefix}STRESN": values,
        f"{prefix}STRESU": unit,
        f"{prefix}STAT": np.where(has_value, "", "NOT DONE").astype(object),
    }


def _identity(prefix: str, others: tuple[Variable, ...]) -> tuple[Variable, ...]:
    return (
        Variable(f"{prefix}SEQ", "Sequence Number", "integer", origin="Assigned", mandatory=True),
        *others,
        Variable(
            f"{prefix}TESTCD", "Test or Examination Short Name", "text", origin="Assigned", mandatory=True
        ),
        Variable(f"{prefix}TEST", "Test or Examination Name", "text", origin="Assigned", mandatory=True),
    )


def _result(prefix: str) -> tuple[Variable, ...]:
    return (
        Variable(f"{prefix}ORRES", "Result or Finding in Original Units", "text", origin="Collected"),
        Variable(f"{prefix}ORRESU", "Original Units", "text", origin="Collected"),
        Variable(f"{prefix}STRESC", "Character Result/Finding in Std Format", "text", origin="Assigned"),
        Variable(f"{prefix}STRESN", "Numeric Result/Finding in Standard Units", "float", origin="Assigned"),
        Variable(f"{prefix}STRESU", "Standard Units", "text", origin="Assigned"),
        Variable(f"{prefix}STAT", "Completion Status", "text", origin="Collected", codelist=NOT_DONE),
    )


def _visit(prefix: str, *, has_other_clocks: bool) -> tuple[Variable, ...]:
    method = "Date of collection less date of first dose, plus 1 from that date on."
    if has_other_clocks:
        method += " Both on the calendar of the first dose where both state their offset from UTC."
    return (
        Variable("VISITNUM", "Visit Number", "float", origin="Assigned"),
        Variable("VISIT", "Visit Name", "text", origin="Assigned"),
        Variable(f"{prefix}DTC", "Date/Time of Collection", "text", origin="Collected", comment="ISO 8601"),
        Variable(
            f"{prefix}DY",
            "Study Day of Visit/Collection/Exam",
            "integer",
            method=method,
        ),
        Variable("STATUS", "Measurement Status", "text", origin="Assigned", codelist=STATUS),
    )

"""Agreement of two measurements of the same cases: masks, folders of masks, or tables of volumes."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from infarct_vol.errors import GridMismatchError, ScanRefusedError
from infarct_vol.images import LesionMask
from infarct_vol.nifti import load_mask
from infarct_vol.validation.groups import size_class
from infarct_vol.validation.overlap import DEFAULT_TOLERANCE_MM, Overlap, compare_masks
from infarct_vol.validation.pairing import Drawn, MaskLike, Pair, Side, find_pairs
from infarct_vol.validation.summary import (
    AgreementRow,
    StatisticRow,
    TextTable,
    case_table,
    statistic_table,
    summarise,
)

_SAME_VOLUME = 1e-6
"""Relative difference between a table's volume and its mask's that is only rounding of the table."""


@dataclass(frozen=True)
class Agreement:
    """How two measurements of the same cases agree.

    Parameters
    ----------
    rows
        One row a case.
    summary
        Statistics over the cases; see `infarct_vol.validation.summary.summarise`.
    refused
        One sentence for each case that could not be compared.
    unpaired
        One sentence for each mask or row without a twin.
    """

    rows: tuple[AgreementRow, ...]
    summary: tuple[StatisticRow, ...]
    refused: tuple[str, ...] = ()
    unpaired: tuple[str, ...] = ()

    @property
    def table(self) -> pd.DataFrame:
        """The cases as a table; volumes in mL, distances in mm."""
        return pd.DataFrame([row.model_dump() for row in self.rows], columns=list(AgreementRow.model_fields))

    @property
    def statistics(self) -> pd.DataFrame:
        """The summary as a table, one row a statistic."""
        rows = [row.model_dump() for row in self.summary]
        return pd.DataFrame(rows, columns=list(StatisticRow.model_fields))

    def overview(self) -> list[TextTable]:
        """Return tables for reading: the cases and, of each parameter with several, the statistics."""
        parameters = [row.parameter for row in self.rows]
        several = [name for name in dict.fromkeys(parameters) if parameters.count(name) > 1]
        return [case_table(self.rows), *(statistic_table(self.summary, name) for name in several)]

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain values."""
        return {
            "cases": [row.model_dump() for row in self.rows],
            "summary": [row.model_dump() for row in self.summary],
            "refused": list(self.refused),
            "unpaired": list(self.unpaired),
        }


def agree(
    reference: MaskLike, compared: MaskLike, *, tolerance_mm: float = DEFAULT_TOLERANCE_MM
) -> Agreement:
    """Compare two masks, two folders of masks, or the volumes of two tables.

    Parameters
    ----------
    reference, compared
        Masks or mask files; folders of masks; ``volumes.csv`` of two runs or their output folders. The
        reference is the truth or the first reader: differences are compared minus reference.
    tolerance_mm
        Distance in mm up to which two surfaces agree, for the surface Dice.

    Returns
    -------
    Agreement
        Masks are compared on their own grid, never resampled. Two masks or two files of folders on
        different grids are refused. Rows of tables are compared by their volumes in any case, and by
        their masks where both are there and share a grid; where not, the row's ``reason`` says so.

    Raises
    ------
    UsageError
        If the two are not of one kind, cannot be read, or have no pair.
    InfarctVolError
        If the only pair is refused.
    """
    pairing = find_pairs(reference, compared)
    rows: list[AgreementRow] = []
    refused: list[str] = []
    for pair in pairing.pairs:
        try:
            rows.append(_compared(pair, tolerance_mm))
        except ScanRefusedError as error:
            named = type(error)(error.message, where=error.where or pair.case)
            if len(pairing.pairs) == 1 and not pairing.unpaired:
                raise named from None
            refused.append(str(named))
    return Agreement(tuple(rows), summarise(rows), tuple(refused), pairing.unpaired)


def _compared(pair: Pair, tolerance_mm: float) -> AgreementRow:
    one, reference_ml = _measured(pair.reference, pair.case)
    two, compared_ml = _measured(pair.compared, pair.case)
    if (
        one is not None
        and two is not None
        and isinstance(pair.compared, Drawn)
        and one.grid.matches(two.grid)
    ):
        # what a header lost by rounding is no difference of two readers
        two = replace(two, grid=one.grid)
        compared_ml = two.volume_ml
    overlap, reason = _overlap(pair, one, two, tolerance_mm)
    return AgreementRow(
        case=pair.case,
        participant_id=pair.participant_id,
        session_id=pair.session_id,
        visit=pair.visit,
        parameter=pair.parameter,
        region=pair.region,
        size_class=size_class(reference_ml),
        reference=pair.reference.name,
        compared=pair.compared.name,
        reference_ml=reference_ml,
        compared_ml=compared_ml,
        difference_ml=compared_ml - reference_ml,
        absolute_difference_ml=abs(compared_ml - reference_ml),
        reason=reason,
        **_overlap_columns(overlap),
    )


def _overlap(
    pair: Pair, one: LesionMask | None, two: LesionMask | None, tolerance_mm: float
) -> tuple[Overlap | None, str]:
    """Return how the masks overlap and what there is to say about it."""
    if one is None or two is None:
        return None, "no mask on both sides: volumes only"
    try:
        overlap = compare_masks(one, two, tolerance_mm=tolerance_mm)
    except GridMismatchError as error:
        if isinstance(pair.reference, Drawn):
            raise
        return None, f"volumes only: {error}"
    return overlap, overlap.reason


def _overlap_columns(overlap: Overlap | None) -> dict[str, Any]:
    if overlap is None:
        return {}
    shared = overlap.model_dump(exclude={"reference_ml", "compared_ml", "reason"})
    difference = abs(overlap.compared_lesions - overlap.reference_lesions)
    return {**shared, "lesion_count_difference": difference}


def _measured(side: Side, case: str) -> tuple[LesionMask | None, float]:
    """Return the mask of a side, where it has one, and its volume in mL."""
    if isinstance(side, Drawn):
        mask = side.mask if isinstance(side.mask, LesionMask) else load_mask(side.mask, sidecar=False)
        return mask, mask.volume_ml
    if side.mask is None:
        return None, side.volume_ml
    mask = load_mask(side.mask, sidecar=False)
    if not math.isclose(mask.volume_ml, side.volume_ml, rel_tol=_SAME_VOLUME):
        msg = (
            f"{side.name} states {side.volume_ml:.6g} mL, its mask {side.mask} has {mask.volume_ml:.6g} mL; "
            "make table and mask again from one run"
        )
        raise ScanRefusedError(msg, where=case)
    return mask, side.volume_ml

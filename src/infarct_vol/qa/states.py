"""Whether a visit was measured, flagged or accepted by a reader, in one word that has a colour."""

from __future__ import annotations

from collections.abc import Sequence

from infarct_vol.qa.wording import STATUS_LABELS
from infarct_vol.records import VisitRecord, VolumeRow

STATES = ("reviewed", "edited", "measured", "flagged", "not_measurable", "excluded", "failed", "missing")
"""Every state, in the order they are counted up."""


def visit_state(visit: VisitRecord, rows: Sequence[VolumeRow] = ()) -> str:
    """Return a visit's state as the page colours it.

    Its status; ``reviewed`` or ``edited`` once a reader accepted it; ``flagged`` if a reader should look.

    Parameters
    ----------
    rows
        The participant's rows; without them nothing is known of a review.
    """
    if visit.status != "measured":
        return visit.status
    judged = next((r.status for r in rows if _is_judged(r, visit)), None)
    waits = any(word in flag for flag in visit.flags for word in ("waits for a decision", "review again"))
    if judged is not None and not waits:
        return judged
    return "flagged" if visit.flags else visit.status


def _is_judged(row: VolumeRow, visit: VisitRecord) -> bool:
    """Tell whether a row is a visit's primary volume, and accepted by a reader of the review."""
    own = row.visit == visit.visit and row.session_id == visit.session_id and row.parameter == "infarct"
    return own and row.status in ("reviewed", "edited") and not row.source.startswith("external")


def state_label(state: str) -> str:
    """Return the word for a visit's state."""
    return "measured, flagged" if state == "flagged" else STATUS_LABELS.get(state, state)

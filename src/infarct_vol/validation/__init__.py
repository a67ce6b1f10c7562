"""Agreement of masks and volumes: with a truth, between readers, between two runs; self-verification."""

from infarct_vol.validation.agreement import Agreement, agree
from infarct_vol.validation.overlap import Overlap, compare_masks

__all__ = ["Agreement", "Overlap", "agree", "compare_masks"]

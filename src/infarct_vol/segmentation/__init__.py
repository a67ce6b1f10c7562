"""From scans to lesion masks: acute infarct on DWI and ADC, follow-up infarct on FLAIR."""

from infarct_vol.segmentation.acute import AcuteTrace, segment_acute, trace_acute
from infarct_vol.segmentation.chronic import FollowUpTrace, segment_followup, trace_followup
from infarct_vol.segmentation.chronic_alone import segment_baseline_flair, segment_flair_alone
from infarct_vol.segmentation.normalise import without_offset
from infarct_vol.segmentation.rapid_like import segment_rapid_like
from infarct_vol.segmentation.tissue import prepare_case

__all__ = [
    "AcuteTrace",
    "FollowUpTrace",
    "prepare_case",
    "segment_acute",
    "segment_baseline_flair",
    "segment_flair_alone",
    "segment_followup",
    "segment_rapid_like",
    "trace_acute",
    "trace_followup",
    "without_offset",
]

"""A study as it lies on disk: participants, their visits, and the files of each visit.

Found from a BIDS dataset or from a manifest. Nothing is opened here but the small text files; which
session is which visit is settled in `infarct_vol.visits`.
"""

from infarct_vol.study.manifest import MANIFEST_COLUMNS
from infarct_vol.study.model import Participant, PassedOver, ScanFile, Session, Study, scan_file
from infarct_vol.study.opening import open_study

__all__ = [
    "MANIFEST_COLUMNS",
    "Participant",
    "PassedOver",
    "ScanFile",
    "Session",
    "Study",
    "open_study",
    "scan_file",
]

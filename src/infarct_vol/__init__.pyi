from ._version import __version__
from .cases import segment_acute, segment_followup
from .checking import check_study
from .errors import InfarctVolError
from .images import LesionMask, Scan
from .measurement import measure
from .nifti import load_mask, load_scan, save_mask
from .protocol import Protocol, load_protocol
from .qa import plot_overlay, plot_trajectories, view
from .registration import register
from .results import remake_report, remake_tables
from .sample import sample_trial
from .simulation import simulate_trial
from .study import open_study
from .tables import measured_against_truth, read_tables
from .trial import run_study
from .validation import agree
from .validation.verification import verify

__all__ = [
    "InfarctVolError",
    "LesionMask",
    "Protocol",
    "Scan",
    "__version__",
    "agree",
    "check_study",
    "load_mask",
    "load_protocol",
    "load_scan",
    "measure",
    "measured_against_truth",
    "open_study",
    "plot_overlay",
    "plot_trajectories",
    "read_tables",
    "register",
    "remake_report",
    "remake_tables",
    "run_study",
    "sample_trial",
    "save_mask",
    "segment_acute",
    "segment_followup",
    "simulate_trial",
    "verify",
    "view",
]

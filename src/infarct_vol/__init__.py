"""Infarct volume in mL from DWI and FLAIR, and its change from baseline.

    import infarct_vol as iv

    mask = iv.segment_acute(dwi="trace.nii.gz", adc="ADC.nii.gz")
    print(iv.measure(mask))

Arrays are (I, J, K); points are scanner RAS+ millimetres; volumes are mL; ADC is in 1e-6 mm2/s.
"""

from infarct_vol._version import __version__
from infarct_vol.cases import segment_acute, segment_followup
from infarct_vol.errors import InfarctVolError
from infarct_vol.images import LesionMask, Scan
from infarct_vol.measurement import measure
from infarct_vol.nifti import load_mask, load_scan, save_mask
from infarct_vol.protocol import Protocol, load_protocol
from infarct_vol.qa import plot_overlay, plot_trajectories, view
from infarct_vol.registration import register
from infarct_vol.sample import sample_trial
from infarct_vol.simulation import simulate_trial
from infarct_vol.study import open_study
from infarct_vol.tables import read_tables
from infarct_vol.trial import run_study

__all__ = [
    "InfarctVolError",
    "LesionMask",
    "Protocol",
    "Scan",
    "__version__",
    "load_mask",
    "load_protocol",
    "load_scan",
    "measure",
    "open_study",
    "plot_overlay",
    "plot_trajectories",
    "read_tables",
    "register",
    "run_study",
    "sample_trial",
    "save_mask",
    "segment_acute",
    "segment_followup",
    "simulate_trial",
    "view",
]

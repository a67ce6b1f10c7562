"""Digital trials: whole heads whose infarct volumes are known."""

from infarct_vol.simulation.dataset import TrialTruth
from infarct_vol.simulation.trial import simulate_trial

__all__ = ["TrialTruth", "simulate_trial"]

"""Pictures of masks, registrations and volumes over time, and the static report."""

from infarct_vol.qa.agreement import difference_chart, equality_chart
from infarct_vol.qa.album import figure_paths
from infarct_vol.qa.checkerboard import checkerboard
from infarct_vol.qa.figures import Picture
from infarct_vol.qa.overlays import lesion_mosaic, side_by_side
from infarct_vol.qa.participant import render_participant
from infarct_vol.qa.report import write_report
from infarct_vol.qa.trajectories import measured_against_true, participant_trajectory, trial_change
from infarct_vol.qa.views import plot_overlay, plot_trajectories, view

__all__ = [
    "Picture",
    "checkerboard",
    "difference_chart",
    "equality_chart",
    "figure_paths",
    "lesion_mosaic",
    "measured_against_true",
    "participant_trajectory",
    "plot_overlay",
    "plot_trajectories",
    "render_participant",
    "side_by_side",
    "trial_change",
    "view",
    "write_report",
]

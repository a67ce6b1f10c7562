"""Where in the brain a lesion lies: a scan's fit to the MNI template, and what the template says there."""

from infarct_vol.atlas.fit import BrainMap, fit_to_template
from infarct_vol.atlas.location import Hemisphere, Location, Region, is_infratentorial, locate
from infarct_vol.atlas.template import NAME, load_template

__all__ = [
    "NAME",
    "BrainMap",
    "Hemisphere",
    "Location",
    "Region",
    "fit_to_template",
    "is_infratentorial",
    "load_template",
    "locate",
]

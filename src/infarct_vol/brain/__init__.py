"""Where the brain is in a scan, how its intensities are shaded, and what normal tissue looks like."""

from infarct_vol.brain.extraction import brain_if_found, brain_mask
from infarct_vol.brain.tissue import flatten_bias, tissue_reference

__all__ = ["brain_if_found", "brain_mask", "flatten_bias", "tissue_reference"]

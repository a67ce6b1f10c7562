"""Diffusion images: trace from a series, ADC from b-values, units, and what a session's files add up to."""

from infarct_vol.diffusion.adc import adc_from_dwi, compare_adc
from infarct_vol.diffusion.assembly import DiffusionSet, assemble_diffusion
from infarct_vol.diffusion.bvalues import sidecar_bvalue
from infarct_vol.diffusion.series import DiffusionSeriesLike, SeriesImages, images_from_series
from infarct_vol.diffusion.units import adc_factor, settled_factor, to_um2_per_s

__all__ = [
    "DiffusionSeriesLike",
    "DiffusionSet",
    "SeriesImages",
    "adc_factor",
    "adc_from_dwi",
    "assemble_diffusion",
    "compare_adc",
    "images_from_series",
    "settled_factor",
    "sidecar_bvalue",
    "to_um2_per_s",
]

"""Infarct volume in mL from DWI and FLAIR, and its change from baseline."""

from infarct_vol._version import __version__

__all__ = ["__version__"]

"""Checks made on every scan before anything is measured on it."""

from infarct_vol.intake.checks import Finding, check_scan, refuse_failures

__all__ = ["Finding", "check_scan", "refuse_failures"]

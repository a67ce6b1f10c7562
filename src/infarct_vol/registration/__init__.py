"""Rigid registration of two scans of one participant, its verdict, and resampling."""

from infarct_vol.registration.quality import NONRIGID, RegistrationQuality, Verdict
from infarct_vol.registration.resample import Interpolation, coverage, resample, resample_mask
from infarct_vol.registration.rigid import register
from infarct_vol.registration.strangers import BaselineScan, compared_with_strangers
from infarct_vol.registration.tfm import read_tfm, require_tfm_name, write_tfm
from infarct_vol.registration.transform import RigidTransform

__all__ = [
    "NONRIGID",
    "BaselineScan",
    "Interpolation",
    "RegistrationQuality",
    "RigidTransform",
    "Verdict",
    "compared_with_strangers",
    "coverage",
    "read_tfm",
    "register",
    "require_tfm_name",
    "resample",
    "resample_mask",
    "write_tfm",
]

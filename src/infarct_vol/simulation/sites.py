"""The hospitals of a digital trial: scanners, protocols and file habits that differ as real ones do."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

AdcUnit = Literal["1e-6 mm2/s", "1e-3 mm2/s", "mm2/s"]
UM2_PER_S: dict[AdcUnit, float] = {"1e-6 mm2/s": 1.0, "1e-3 mm2/s": 1e-3, "mm2/s": 1e-6}
"""What 1e-6 mm2/s reads in each unit."""


@dataclass(frozen=True)
class Storage:
    """How intensities are written: numpy type, slope and intercept of the NIfTI header."""

    dtype: str = "int16"
    slope: float = 1.0
    intercept: float = 0.0


@dataclass(frozen=True)
class Site:
    """One hospital.

    Parameters
    ----------
    flair_spacing_mm, flair_fov_mm, dwi_spacing_mm, dwi_fov_mm
        Voxel size along left-right, front-back, head-foot and field of view in the slice.
    orientation
        Array directions of its files.
    oblique
        Whether slices are turned to follow the head.
    diffusion
        ``trace``: trace image, b0 and ADC map; ``series``: 4-D with b-values and directions.
    supplies_adc, states_adc_unit
        Whether an ADC map is exported, and whether its sidecar says in which unit.
    snr
        Range of the ratio of white matter to noise.
    directions
        Diffusion directions of a series; 3 or 6.
    diffusion_at_followup
        Whether the months after baseline have diffusion images too.
    flair_level, dwi_level
        What white matter on FLAIR and on b0 roughly reads in the files.
    """

    name: str
    manufacturer: str
    model: str
    field_t: float
    flair_spacing_mm: tuple[float, float, float]
    flair_fov_mm: tuple[float, float]
    dwi_spacing_mm: tuple[float, float, float]
    dwi_fov_mm: tuple[float, float]
    orientation: str
    oblique: bool
    diffusion: Literal["trace", "series"]
    adc_unit: AdcUnit
    supplies_adc: bool
    states_adc_unit: bool
    flair_storage: Storage
    dwi_storage: Storage
    adc_storage: Storage
    fat_saturated_flair: bool = False
    zeroed_air: bool = False
    snr: tuple[float, float] = (20.0, 40.0)
    flair_level: float = 320.0
    dwi_level: float = 260.0
    directions: int = 6
    diffusion_at_followup: bool = True


SITES: tuple[Site, ...] = (
    Site(
        name="north",
        manufacturer="Siemens",
        model="Skyra",
        field_t=3.0,
        flair_spacing_mm=(0.9, 0.9, 5.0),
        flair_fov_mm=(208.8, 230.4),
        dwi_spacing_mm=(1.8, 1.8, 5.0),
        dwi_fov_mm=(230.4, 230.4),
        orientation="LAS",
        oblique=False,
        diffusion="trace",
        adc_unit="1e-6 mm2/s",
        supplies_adc=True,
        states_adc_unit=True,
        flair_storage=Storage(),
        dwi_storage=Storage(),
        adc_storage=Storage(),
        zeroed_air=True,
    ),
    Site(
        name="east",
        manufacturer="GE",
        model="Signa HDxt",
        field_t=1.5,
        flair_spacing_mm=(0.9375, 0.9375, 5.0),
        flair_fov_mm=(240.0, 240.0),
        dwi_spacing_mm=(1.875, 1.875, 5.0),
        dwi_fov_mm=(240.0, 240.0),
        orientation="RAS",
        oblique=False,
        diffusion="trace",
        adc_unit="mm2/s",
        supplies_adc=True,
        states_adc_unit=False,
        flair_storage=Storage("uint16"),
        dwi_storage=Storage("int16"),
        adc_storage=Storage("float32"),
        fat_saturated_flair=True,
        snr=(20.0, 30.0),
        flair_level=900.0,
        dwi_level=500.0,
    ),
    Site(
        name="south",
        manufacturer="Philips",
        model="Ingenia",
        field_t=3.0,
        flair_spacing_mm=(1.0, 1.0, 1.0),
        flair_fov_mm=(190.0, 240.0),
        dwi_spacing_mm=(2.0, 2.0, 4.0),
        dwi_fov_mm=(224.0, 240.0),
        orientation="LPS",
        oblique=True,
        diffusion="series",
        adc_unit="1e-3 mm2/s",
        supplies_adc=True,
        states_adc_unit=False,
        flair_storage=Storage("int16", slope=0.5, intercept=0.0),
        dwi_storage=Storage("int16", slope=0.25, intercept=0.0),
        adc_storage=Storage("int16", slope=0.001, intercept=0.0),
        fat_saturated_flair=True,
        snr=(22.0, 34.0),
    ),
    Site(
        name="west",
        manufacturer="Siemens",
        model="Avanto",
        field_t=1.5,
        flair_spacing_mm=(0.9, 0.9, 5.0),
        flair_fov_mm=(219.6, 230.4),
        dwi_spacing_mm=(1.6, 1.6, 4.0),
        dwi_fov_mm=(230.4, 230.4),
        orientation="LAS",
        oblique=True,
        diffusion="series",
        adc_unit="1e-6 mm2/s",
        supplies_adc=False,
        states_adc_unit=False,
        flair_storage=Storage("int16", slope=2.0, intercept=-8.0),
        dwi_storage=Storage("uint16"),
        adc_storage=Storage(),
        snr=(20.0, 32.0),
    ),
)


def compact_site(site: Site) -> Site:
    """Return the same hospital with what keeps files small: thick slices, scanner-made maps, few grey levels.

    Units, orientation, number types and coverage stay those of the site.
    """
    thick = (0.95, 0.95, 5.0) if site.flair_spacing_mm[2] > 2 else (1.0, 1.0, 5.0)
    coarse = replace(site.adc_storage, slope=_coarse_adc_slope(site))
    return replace(
        site,
        flair_spacing_mm=thick,
        dwi_spacing_mm=(2.0, 2.0, 5.0),
        diffusion="trace",
        supplies_adc=True,
        adc_storage=replace(coarse, dtype="int16"),
        flair_storage=replace(site.flair_storage, dtype="int16", slope=1.0, intercept=0.0),
        dwi_storage=replace(site.dwi_storage, slope=1.0, intercept=0.0),
        zeroed_air=True,
        flair_level=54.0,
        dwi_level=56.0,
        snr=(24.0, 32.0),
        diffusion_at_followup=False,
    )


def _coarse_adc_slope(site: Site) -> float:
    return 10.0 * UM2_PER_S[site.adc_unit]

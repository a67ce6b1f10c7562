"""Rigid registration and its gate."""

from __future__ import annotations

from pydantic import Field, field_validator

from infarct_vol.settings.section import Section


class RegistrationSettings(Section):
    """Rigid registration of follow-up scans to baseline, and the gate a registration must pass."""

    levels_mm: tuple[float, ...] = Field(
        (8.0, 4.0, 2.0, 1.0),
        description="mm; spacing of the copies compared, coarse to fine; 8 and 4 must be there (own trials: "
        "1 mm halves the error of 2 mm on 3-D scans)",
    )

    @field_validator("levels_mm")
    @classmethod
    def _searchable(cls, levels: tuple[float, ...]) -> tuple[float, ...]:
        if not {4.0, 8.0} <= set(levels) or min(levels) <= 0 or max(levels) > 8.0:
            msg = f"levels are positive, at most 8 mm, and 8 and 4 are among them; got {levels}"
            raise ValueError(msg)
        return levels

    knots: int = Field(
        48, ge=8, le=256, description="intensity knots of the expected partner intensity (own trials)"
    )
    points_coarse: int = Field(
        4000, ge=1000, description="points compared per scan at 8 mm and above (own trials)"
    )
    points_fine: int = Field(
        15000, ge=5000, description="points compared per scan at finer levels (own trials)"
    )
    points_finest: int = Field(
        60000, ge=5000, description="points compared per scan at the finest level (own trials)"
    )
    start_angle_degrees: float = Field(
        30.0,
        ge=0,
        le=60,
        description="degrees; rotations of 0 and plus or minus this about every axis are tried first",
    )
    start_shift_mm: float = Field(
        25.0, ge=0, description="mm; shifts along the body axis tried first, for scans that cover less neck"
    )
    match_warn: float = Field(
        0.20,
        ge=0,
        description="match (0 to 1: sharpness of the fit x its lead over the mirrored fit) of two scans of "
        "one contrast below which a reader looks; a sound scan of one's own reached 0.23 and more, another "
        "person's at most 0.14 (bench/registration_verdict.py, as all limits of this section)",
    )
    match_warn_cross: float = Field(
        0.17,
        ge=0,
        description="match_warn for different or unknown contrasts; another person's: at most 0.17",
    )
    match_warn_clear: float = Field(
        0.14,
        ge=0,
        description="match_warn for different or unknown contrasts that tell much of each other, at least "
        "'likeness_clear_nats'",
    )
    likeness_clear_nats: float = Field(
        0.62,
        ge=0,
        description="nats per point; another person's scan reached it only with a match up to 0.14",
    )
    match_fail: float = Field(
        0.035,
        ge=0,
        description="match below which it is refused; right fits of badly moved scans reached down to 0.03",
    )
    identity_fail: float = Field(
        0.10,
        ge=0,
        description="match of two scans of one modality below which, with a correlation under "
        "'correlation_warn', they are refused as perhaps two persons'; another person's reached 0.04 in "
        "digital and 0.02 in real heads, strong motion of one's own went down to 0.14",
        json_schema_extra={"later": True},
    )
    identity_fail_cross: float = Field(
        0.07,
        ge=0,
        description="the same for other pairs of contrasts, with a likeness under 'likeness_warn_nats'; "
        "another person's reached 0.067, strong motion of one's own 0.08",
        json_schema_extra={"later": True},
    )
    correlation_alike: float = Field(
        0.90,
        gt=0,
        le=1,
        description="correlation of the intensities from which two scans are of one contrast, whatever they "
        "are called; another person's reached at most 0.86",
    )
    correlation_warn: float = Field(
        0.85,
        gt=0,
        le=1,
        description="correlation of two scans said to be of one contrast below which a reader looks",
    )
    mirrored_warn: float = Field(
        0.75,
        gt=0,
        description="likeness of the left-right mirrored fit as a share of the fit's own: above it a reader "
        "looks, at 1 the registration is refused; a sound scan of one's own reached at most 0.66",
    )
    likeness_warn_nats: float = Field(
        0.30,
        ge=0,
        description="nats per point; what one scan tells of the other, below which a reader looks; a sound "
        "scan of one's own reached 0.36 and more",
    )
    likeness_fail_nats: float = Field(
        0.15, ge=0, description="nats per point; likeness below which the registration is refused"
    )
    coverage_warn: float = Field(
        0.70,
        ge=0,
        le=1,
        description="share of one scan's brain inside the other scan below which a reader looks",
    )
    coverage_fail: float = Field(
        0.30,
        ge=0,
        le=1,
        description="share of one scan's brain inside the other scan below which it is refused",
    )
    estimated_tre_warn_mm: float = Field(
        0.4,
        gt=0,
        description="mm; error over the brain, estimated from fits to two halves of it, above which a reader "
        "looks; the true error was 1.0 times the estimate in the median and at most 4.4 times in 95 of 100",
    )
    estimated_tre_fail_mm: float = Field(
        1.0, gt=0, description="mm; estimated error above which the registration is refused"
    )
    restarts_warn_mm: float = Field(
        2.0,
        gt=0,
        description="mm; how far apart fits started 4 mm and 3 degrees off may end before a reader looks",
    )
    nonrigid_warn_mm: float = Field(
        1.2,
        gt=0,
        description="mm; displacement that remains between scans of one contrast (root mean square over the "
        "brain) above which a reader looks; 95 in 100 of one's own: at most 1.2; another's: from 1.7",
    )
    nonrigid_fail_mm: float = Field(
        2.2,
        gt=0,
        description="mm; remaining displacement between scans of one contrast whose match is weak: refused "
        "above",
    )

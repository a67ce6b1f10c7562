"""The imaging charter: one TOML file, read into one frozen, validated object with a hash."""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import Field, JsonValue, ValidationError, model_validator

from infarct_vol.errors import ProtocolError
from infarct_vol.geometry import SAME_GRID_MM
from infarct_vol.settings import (
    AcuteSettings,
    BrainSettings,
    FollowUpSettings,
    ImageSettings,
    OutcomesSettings,
    RegistrationSettings,
    ReviewSettings,
    Section,
    VisitName,
    VisitSettings,
    VisitWindow,
    require_order,
)

_LATER: dict[str, JsonValue] = {"later": True}
"""Marks a setting that was added later; see `Protocol.sha256`."""


class GeometrySettings(Section):
    """What to believe when a header contradicts itself."""

    trust: Literal["agreement", "sform", "qform"] = Field(
        "agreement",
        description="'agreement': refuse a scan whose sform and qform differ; 'sform' or 'qform': use that "
        "one, remarked",
    )
    tolerance_mm: float = Field(
        SAME_GRID_MM,
        gt=0,
        description="mm; largest distance of any voxel between sform and qform that counts as agreement "
        "(a qform is stored in single precision: 0.2 mm arises by itself)",
    )
    max_shear_degrees: float = Field(
        0.5, ge=0, description="degrees; axes further than this from perpendicular are refused as sheared"
    )


class CheckSettings(Section):
    """Limits of the scan checks made before measuring."""

    thickness_warn_mm: float = Field(5.0, gt=0, description="mm; thicker slices are flagged")
    thickness_fail_mm: float = Field(7.0, gt=0, description="mm; thicker slices are refused")
    bvalue_warn_low: float = Field(800.0, ge=0, description="s/mm2; lower b-values are flagged")
    bvalue_warn_high: float = Field(1200.0, ge=0, description="s/mm2; higher b-values are flagged")
    adc_agreement_percent: float = Field(
        5.0,
        gt=0,
        description="percent; median difference of the supplied from the recomputed ADC that is flagged",
    )
    pair_adc_fail: float = Field(
        0.30,
        ge=0,
        le=1,
        description="agreement of fine detail (0 to 1) of DWI and ADC map below which they are refused as no "
        "pair; right pairs reached 0.61 and more, another participant's at most 0.19 (bench/belonging.py, as "
        "the other limits of a pair)",
        json_schema_extra=_LATER,
    )
    pair_adc_warn: float = Field(
        0.45,
        ge=0,
        le=1,
        description="agreement of DWI and ADC map below which a reader looks at both",
        json_schema_extra=_LATER,
    )
    pair_b0_fail: float = Field(
        0.20,
        ge=0,
        le=1,
        description="agreement of DWI and b0 image below which they are refused as no pair; right pairs "
        "reached 0.33 and more, another participant's at most 0.19",
        json_schema_extra=_LATER,
    )
    pair_b0_warn: float = Field(
        0.25,
        ge=0,
        le=1,
        description="agreement of DWI and b0 image below which a reader looks at both",
        json_schema_extra=_LATER,
    )
    pair_elsewhere_ratio: float = Field(
        1.2,
        gt=0,
        description="a pair is refused where the second image, mirrored or moved by 4 mm and more, agrees so "
        "many times better than where it lies",
        json_schema_extra=_LATER,
    )
    pair_coverage_fail: float = Field(
        0.30,
        ge=0,
        le=1,
        description="share of the head in which the second image must have values",
        json_schema_extra=_LATER,
    )
    like_for_like_voxel_percent: float = Field(
        20.0, gt=0, description="percent; a voxel spacing that changed by more is not like for like"
    )


class ChangeSettings(Section):
    """How change from baseline is judged."""

    repeatability_ml: float = Field(
        2.0,
        ge=0,
        description="mL; a change must exceed this and repeatability_percent of baseline to count. Default: "
        "the inter-reader figure of Luby 2006 (DWI); replace by the coefficient of your own test-retest",
    )
    repeatability_percent: float = Field(
        20.0, ge=0, description="percent of the baseline volume; see repeatability_ml"
    )


class Protocol(Section):
    """The effective protocol of one run."""

    study_id: str = Field("", description="study identifier written on every table, such as NCT05993884")
    bvalue: float | None = Field(
        None, description="s/mm2; b-value of 3-D DWI images whose sidecar does not state one (omit if all do)"
    )
    adc_unit: Literal["mm2/s", "1e-3 mm2/s", "1e-6 mm2/s"] | None = Field(
        None,
        description="unit of ADC maps whose sidecar does not state one; omitted: inferred from the brain "
        "median",
    )
    visits: VisitSettings = VisitSettings()
    images: ImageSettings = Field(ImageSettings(), json_schema_extra=_LATER)
    geometry: GeometrySettings = GeometrySettings()
    checks: CheckSettings = CheckSettings()
    brain: BrainSettings = BrainSettings()
    registration: RegistrationSettings = RegistrationSettings()
    acute: AcuteSettings = AcuteSettings()
    followup: FollowUpSettings = FollowUpSettings()
    change: ChangeSettings = ChangeSettings()
    review: ReviewSettings = ReviewSettings()
    outcomes: OutcomesSettings = OutcomesSettings()

    @model_validator(mode="after")
    def _apart(self) -> Protocol:
        require_order(self.outcome_windows())
        return self

    def outcome_windows(self) -> dict[VisitName, VisitWindow]:
        """Return the visits of the trial's other outcomes, in time order."""
        later: dict[VisitName, VisitWindow] = {
            "month9": self.outcomes.month9,
            "month12": self.outcomes.month12,
        }
        return self.visits.windows() | later

    @property
    def sha256(self) -> str:
        """SHA-256 of the effective settings, independent of comments and key order in the file.

        A setting that was added later (``later`` in its field) counts only where it is not at its default:
        a protocol that does not use it keeps the hash it had.
        """
        canonical = json.dumps(hashed_settings(self), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()

    def to_toml(self) -> str:
        """Return the commented TOML text that reads back as this protocol."""
        return "\n".join(_toml_lines(self, prefix="")).lstrip("\n") + "\n"


def hashed_settings(section: Section) -> dict[str, object]:
    """Return the settings that enter the hash, as plain values."""
    values: dict[str, object] = section.model_dump(mode="json")
    for name, info in type(section).model_fields.items():
        value = getattr(section, name)
        extra = info.json_schema_extra
        if (
            isinstance(extra, dict)
            and extra.get("later")
            and value == info.get_default(call_default_factory=True)
        ):
            del values[name]
        elif isinstance(value, Section):
            values[name] = hashed_settings(value)
    return values


def load_protocol(path: Path | None) -> Protocol:
    """Read a protocol file; ``None`` gives the default protocol.

    Raises
    ------
    ProtocolError
        If the file is missing, is not TOML, has an unknown key or a value out of range.
    """
    if path is None:
        return Protocol()
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8-sig"))
        return Protocol.model_validate(values)
    except FileNotFoundError:
        msg = f"no protocol file at {path}; write the default with 'infarct-vol protocol init {path.name}'"
        raise ProtocolError(msg) from None
    except OSError as error:
        msg = f"protocol {path} cannot be read: {error.strerror}"
        raise ProtocolError(msg) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        msg = f"{path} is not a TOML file: {error}"
        raise ProtocolError(msg) from None
    except ValidationError as error:
        found = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        msg = f"{path} is refused: {found}. See 'infarct-vol protocol show' for the keys that exist"
        raise ProtocolError(msg) from None


def _toml_lines(section: Section, *, prefix: str) -> Iterator[str]:
    nested: list[tuple[str, Section]] = []
    if prefix:
        title = (type(section).__doc__ or "").strip().splitlines()[0]
        yield from ("", f"# {title}", f"[{prefix}]")
    for name, info in type(section).model_fields.items():
        value = getattr(section, name)
        key = f"{prefix}.{name}" if prefix else name
        if isinstance(value, Section):
            nested.append((key, value))
            continue
        if isinstance(value, dict) and any(isinstance(part, Section) for part in value.values()):
            yield f"# {info.description or name}"
            nested.extend((f"{key}.{part}", section) for part, section in value.items())
            continue
        yield f"# {info.description or name}"
        yield f"# {name} =" if value is None else f"{name} = {_toml_value(value)}"
    for key, section in nested:
        yield from _toml_lines(section, prefix=key)


def _toml_value(value: object) -> str:
    if isinstance(value, dict):
        pairs = ", ".join(f"{json.dumps(key)} = {_toml_value(item)}" for key, item in value.items())
        return f"{{ {pairs} }}" if pairs else "{}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_toml_value(item) for item in value) + "]"
    # JSON numbers, booleans and strings are valid TOML, but for characters written as surrogate pairs
    # and for the unescaped DEL
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")

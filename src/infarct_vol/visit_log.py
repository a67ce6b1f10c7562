"""What is learnt about one visit while it is processed, turned into its rows and its record.

A step that fails leaves the parameters it was to give without a value, and with the reason.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from infarct_vol._version import __version__
from infarct_vol.atlas import NAME as TEMPLATE
from infarct_vol.atlas import BrainMap
from infarct_vol.change import CHANGE_LABELS, Accounting, change_labels, spatial_accounting
from infarct_vol.derivatives import DerivativeWriter
from infarct_vol.errors import InfarctVolError, RegistrationError, fault_reason
from infarct_vol.external import Edit, ExternalMask, doubts_of, masks_without_image, outside_brain
from infarct_vol.images import MODALITY_LABELS, BrainMask, LesionMask, Modality, Scan
from infarct_vol.intake.examination import person_doubts
from infarct_vol.intake.reading import SessionReader
from infarct_vol.measurement import LesionVolume, find_components, measure
from infarct_vol.protocol import Protocol
from infarct_vol.records import (
    VALUED_STATUSES,
    AtlasRecord,
    ComponentRecord,
    Parameter,
    RegistrationRecord,
    ScanRecord,
    Status,
    VisitRecord,
    VolumeRow,
)
from infarct_vol.registration import RigidTransform
from infarct_vol.study import Participant
from infarct_vol.visits import Visit, assign_visits

BASELINE_PARAMETERS: tuple[Parameter, ...] = ("infarct", "infarct_dwi", "infarct_flair")
FOLLOWUP_PARAMETERS: tuple[Parameter, ...] = ("infarct", "infarct_flair", "cavity", "new_lesion")


class MissingScanError(InfarctVolError):
    """The visit took place, but without the image a value needs."""


class NotMeasurableError(InfarctVolError):
    """The images are there and sound, but the value cannot be had from them."""


_STATUS_OF_ERROR: tuple[tuple[type[InfarctVolError], Status], ...] = (
    (MissingScanError, "missing"),
    (NotMeasurableError, "not_measurable"),
    (RegistrationError, "not_measurable"),
)


@dataclass(frozen=True)
class _Outcome:
    """Value or reason of one parameter."""

    status: Status
    reason: str = ""
    modality: Modality | None = None
    mask: LesionMask | None = None
    volume: LesionVolume | None = None
    path: str | None = None
    edit: Edit | None = None


@dataclass
class VisitLog:
    """Collects one visit's volumes, masks, registrations, flags and failures."""

    visit: Visit
    participant: Participant
    protocol: Protocol
    writer: DerivativeWriter
    parameters: Sequence[Parameter]
    flags: list[str] = field(default_factory=list)
    accounting: Accounting | None = None
    faulty: bool = False  # a fault of the program or the machine, not a refusal, left a value empty
    _outcomes: dict[Parameter, _Outcome] = field(default_factory=dict)
    _masks: dict[str, str] = field(default_factory=dict)
    _components: dict[str, tuple[ComponentRecord, ...]] = field(default_factory=dict)
    _registrations: list[RegistrationRecord] = field(default_factory=list)
    _scans: tuple[ScanRecord, ...] = ()
    _measured: dict[str, LesionMask] = field(default_factory=dict)
    _atlas: AtlasRecord | None = None

    def __post_init__(self) -> None:
        self.flags.extend(self.visit.flags)

    # ---- steps -------------------------------------------------------------------------------------------

    @contextmanager
    def step(self, *parameters: Parameter) -> Iterator[None]:
        """Run a step that gives ``parameters``; a refusal inside it becomes their status and reason."""
        try:
            yield
        except InfarctVolError as error:
            status: Status = next((s for kind, s in _STATUS_OF_ERROR if isinstance(error, kind)), "failed")
            self._without_value(parameters, status, str(error))
        except Exception as error:  # noqa: BLE001 - a fault in one step must not cost another's result
            self._without_value(parameters, "failed", self._fault(error))

    def _fault(self, error: Exception) -> str:
        self.faulty = True
        return fault_reason(error, where=f"{self.participant.participant_id} {self.session_id}")

    def _without_value(self, parameters: Sequence[Parameter], status: Status, reason: str) -> None:
        """Leave parameters without a value; where all have theirs already, the reason is a flag."""
        missing = {p: _Outcome(status, reason=reason) for p in parameters if p not in self._outcomes}
        self._outcomes.update(missing)
        self.flags.extend([] if missing else [reason])

    @contextmanager
    def excused(self, external: ExternalMask | None) -> Iterator[None]:
        """Run the automatic method; where a mask made elsewhere counts, a refusal is a flag and no more."""
        try:
            yield
        except Exception as error:
            if external is None:
                raise
            reason = str(error) if isinstance(error, InfarctVolError) else self._fault(error)
            self.flags.append(f"the automatic method failed, the mask made elsewhere stands: {reason}")

    def counted(
        self,
        external: ExternalMask | None,
        automatic: LesionMask | None,
        scan: Scan,
        brain: BrainMask | None,
    ) -> tuple[LesionMask, Edit | None]:
        """Return the mask to be measured: the one made elsewhere, if there is one, beside the automatic one.

        Raises
        ------
        MaskError
            If the one made elsewhere cannot be a lesion of this image, and nobody confirmed it.
        NotMeasurableError
            If there is neither.
        """
        if external is not None:
            self.flags.extend(doubts_of(external, scan, brain=brain, automatic=automatic))
            remark = outside_brain(external.mask, brain) if brain is not None else ""
            self.flags.extend([remark] if remark else [])
            return external.mask, Edit(external, automatic)
        if automatic is None:
            msg = "there is neither an automatic mask nor one made elsewhere"
            raise NotMeasurableError(msg)
        return automatic, None

    def require(self, reader: SessionReader, modality: Modality) -> None:
        """Raise unless the session holds an image of this modality that can be used.

        Raises
        ------
        ScanRefusedError
            If there is one, or several, and the session's problem with it says why it cannot be used.
        MissingScanError
            If there is none.
        """
        reader.require_readable(modality)
        if not reader.has(modality):
            where = str(self.participant.identity(reader.session, modality))
            msg = f"the session holds no {MODALITY_LABELS[modality]} image"
            raise MissingScanError(msg, where=where)

    def measured(
        self,
        mask: LesionMask,
        *parameters: Parameter,
        modality: Modality,
        key: str,
        datatype: str,
        desc: str,
        edit: Edit | None = None,
    ) -> None:
        """Measure a mask on its native grid, write it, and note its volume under ``parameters``."""
        volume = measure(mask, connectivity=self.protocol.followup.connectivity)
        facts = {"LesionCount": volume.lesion_count, "VoxelCount": volume.voxel_count}
        path = self._written(mask, datatype=datatype, desc=desc, facts=facts | (edit.facts() if edit else {}))
        if edit is not None and edit.automatic is not None:
            self._masks[f"{key}_automatic"] = self._written(edit.automatic, datatype=datatype, desc="auto")
        self._masks[key], self._measured[key] = path, mask
        self._components[key] = volume.components
        self.flags.extend(flag for flag in mask.flags if flag not in self.flags)
        status: Status = "edited" if edit is not None and edit.differs else "measured"
        for parameter in parameters:
            self._outcomes[parameter] = _Outcome(status, "", modality, mask, volume, path, edit)

    def _written(
        self, mask: LesionMask, *, datatype: str, desc: str, facts: Mapping[str, object] | None = None
    ) -> str:
        session_id = self.session_id or ""
        return self.writer.mask(mask, session_id=session_id, datatype=datatype, desc=desc, facts=facts or {})

    def accounted(self, baseline: LesionMask, followup: LesionMask, *, baseline_session: str) -> None:
        """Account for the infarct against baseline, in baseline space, and write the map of it."""
        self.accounting = spatial_accounting(baseline, followup)
        space = baseline_session.removeprefix("ses-")
        counts = (
            self.accounting.persistent_voxels,
            self.accounting.resolved_voxels,
            self.accounting.new_voxels,
        )
        self._masks["change"] = self.writer.labels(
            change_labels(baseline, followup),
            baseline.grid,
            session_id=self.session_id or "",
            space=space,
            desc="change",
            facts={
                "Labels": {str(label): name for label, name in CHANGE_LABELS.items()},
                "VoxelCounts": dict(zip(CHANGE_LABELS.values(), counts, strict=True)),
                "VoxelVolumeMM3": baseline.grid.voxel_volume_mm3,
                "Space": f"{baseline_session} FLAIR",
                "Remark": "resampled into baseline space: where the infarct changed, not how large it is",
            },
        )

    def located(self, brain_map: BrainMap, *, image: str, maps: Mapping[Modality, BrainMap]) -> None:
        """Say where the components lie.

        Parameters
        ----------
        brain_map
            The fit to the template everything rests on.
        image
            Session and modality it was made with.
        maps
            Points of the DWI and of the FLAIR -> MNI.
        """
        for key, mask in self._measured.items():
            known = maps.get("dwi" if key == "dwi" else "flair")
            if known is not None:
                connectivity = self.protocol.followup.connectivity
                self._components[key] = find_components(mask, connectivity=connectivity, brain_map=known)
        self._atlas = AtlasRecord(
            template=TEMPLATE,
            image=image,
            overlap=round(brain_map.overlap, 4),
            likeness=round(brain_map.likeness, 4),
            reason=brain_map.reason,
            matrices={name: _rows(known.matrix) for name, known in maps.items()},
        )

    def not_measured(self, parameter: Parameter, *, reason: str) -> None:
        """Note that a parameter cannot be had from this visit's images."""
        self._outcomes[parameter] = _Outcome("not_measurable", reason)

    def registered(
        self, transform: RigidTransform, fixed: Scan, moving: Scan, *, source: str, target: str
    ) -> None:
        """Write a transform from points of ``fixed`` to points of ``moving`` with its verdict.

        Raises
        ------
        RegistrationError
            If the verdict is FAIL: nothing may use the transform.
        """
        source, target = source.removeprefix("ses-"), target.removeprefix("ses-")
        quality = transform.quality
        verdict = quality.verdict if quality else "WARN"
        reasons = quality.reasons if quality else ("no quality verdict",)
        metrics = {k: float(v) for k, v in sorted(quality.metrics.items())} if quality else {}
        facts = {"Verdict": verdict, "Reasons": list(reasons), "Metrics": metrics}
        path = self.writer.transform(
            transform, session_id=self.session_id or "", source=source, target=target, facts=facts
        )
        self._registrations.append(
            RegistrationRecord(
                fixed=source,
                moving=target,
                path=path,
                verdict=verdict,
                reasons=tuple(reasons),
                metrics=metrics,
                angle_degrees=float(transform.angle_deg),
                shift_mm=transform.shift_mm(fixed.grid.middle_mm),
            )
        )
        where = f"{self.participant.participant_id} {self.session_id}"
        self.flags.extend(person_doubts(fixed, moving))
        files = f"{fixed.identity.file_name}, {moving.identity.file_name}"
        transform.passed(f"{source} to {target} ({files})", where=where)
        if verdict == "WARN":
            self.flags.append(f"registration of {source} to {target} is doubtful: {'; '.join(reasons)}")

    def close(self, reader: SessionReader, *, masks: Path | None = None) -> None:
        """Take over what the reader learnt about the images, and flag masks made elsewhere for no image."""
        images: tuple[Modality, ...] = ("dwi", "flair") if self.visit.name == "baseline" else ("flair",)
        measured = [image for image in images if reader.has(image)]
        session_id = reader.session.session_id
        for name in masks_without_image(masks, self.participant, session_id=session_id, measured=measured):
            self.flags.append(f"mask {name} is not used: nothing is measured on the image it names")
        self._scans = tuple(reader.records)
        self.flags.extend(flag for flag in reader.flags if flag not in self.flags)

    def not_analysed(self, *, fault: str = "") -> None:
        """Note why this visit is not measured at all: missing, excluded, unusable, or ``fault``."""
        session = self.visit.session
        if session is None:
            outcome = _Outcome("missing", reason=self.visit.reason)
        elif self.visit.reason:
            outcome = _Outcome("excluded", reason=self.visit.reason)
        else:
            outcome = _Outcome("failed", reason=fault or session.problem)
        for parameter in self.parameters:
            self._outcomes[parameter] = outcome

    @property
    def has_value(self) -> bool:
        """Whether the primary parameter has a volume."""
        return self._outcomes[self.parameters[0]].status in VALUED_STATUSES

    def takes_place_of(self, nearer: VisitLog) -> None:
        """Make this session the visit of one nearer to the target day that gave no volume."""
        primary = nearer._outcomes[nearer.parameters[0]]
        rank = "later before first dose" if nearer.visit.name == "baseline" else "nearer to the target day"
        reason = f"{nearer.session_id}, {rank}, gave no volume: {primary.reason}"
        self.visit = replace(self.visit, name=nearer.visit.name, reason="", flags=(*self.visit.flags, reason))
        self.flags.append(reason)

    def set_aside(self, chosen: VisitLog) -> None:
        """Make this session, which gave no volume, none of the protocol's visits."""
        self.visit = replace(self.visit, name="unscheduled", instead_of=chosen.visit.name)
        self.flags.append(f"{chosen.session_id} is {chosen.visit.name} in its place")

    # ---- results -----------------------------------------------------------------------------------------

    @property
    def session_id(self) -> str | None:
        """Session of this visit, with ``ses-``."""
        return self.visit.session.session_id if self.visit.session else None

    def rows(self) -> Iterator[VolumeRow]:
        """Yield one row a parameter; a visit that is none of the protocol's has only its primary row."""
        analysed = self.visit.name not in ("early", "unscheduled")
        for parameter in self.parameters if analysed else self.parameters[:1]:
            yield self._row(parameter, self._outcomes[parameter])

    def _row(self, parameter: Parameter, outcome: _Outcome) -> VolumeRow:
        volume, mask, edit = outcome.volume, outcome.mask, outcome.edit
        return VolumeRow(
            participant_id=self.participant.participant_id,
            session_id=self.session_id,
            visit=self.visit.name,
            acq_time=self.visit.session.acq_time if self.visit.session else None,
            study_day=self.visit.study_day,
            parameter=parameter,
            modality=outcome.modality,
            method=mask.method if mask else None,
            volume_ml=volume.volume_ml if volume else None,
            voxel_count=volume.voxel_count if volume else None,
            voxel_volume_mm3=volume.voxel_volume_mm3 if volume else None,
            lesion_count=volume.lesion_count if volume else None,
            volume_ml_low=volume.volume_ml_low if volume else None,
            volume_ml_high=volume.volume_ml_high if volume else None,
            automatic_volume_ml=edit.automatic.volume_ml if edit and edit.automatic else None,
            edit_difference_ml=edit.difference_ml if edit else None,
            edit_dice=edit.overlap if edit else None,
            status=outcome.status,
            reason=self._reason(outcome),
            source=edit.external.source if edit else "automatic" if mask else "",
            mask_path=outcome.path,
            partial_volume_ml=volume.partial_volume_ml if volume else None,
            flags="; ".join(self.flags),
            protocol_sha256=self.protocol.sha256,
            version=__version__,
        )

    def _reason(self, outcome: _Outcome) -> str:
        """Return why there is no value, or why one that is there is not analysed."""
        parts = dict.fromkeys((outcome.reason, self.visit.reason))
        return "; ".join(part for part in parts if part)

    def record(self) -> VisitRecord:
        """Return the visit's record; its status is that of the primary parameter.

        A visit with a value was measured, whoever drew the mask; rows say who did.
        """
        primary = self._outcomes[self.parameters[0]]
        return VisitRecord(
            visit=self.visit.name,
            session_id=self.session_id,
            acq_time=self.visit.session.acq_time if self.visit.session else None,
            study_day=self.visit.study_day,
            status="measured" if primary.status in VALUED_STATUSES else primary.status,
            reason=primary.reason,
            flags=tuple(self.flags),
            scans=self._scans,
            masks=self._masks,
            components=self._components,
            registrations=tuple(self._registrations),
            persistent_ml=self.accounting.persistent_ml if self.accounting else None,
            resolved_ml=self.accounting.resolved_ml if self.accounting else None,
            new_ml=self.accounting.new_ml if self.accounting else None,
            atlas=self._atlas,
        )


def _rows(matrix: NDArray[np.float64]) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(round(float(value), 9) for value in row) for row in matrix)


def visit_logs(participant: Participant, protocol: Protocol, writer: DerivativeWriter) -> list[VisitLog]:
    """Return an empty log for every visit of the protocol, then for every other session."""
    logs = []
    for visit in assign_visits(participant, protocol.visits):
        at_baseline = "baseline" in (visit.name, visit.instead_of)
        parameters = BASELINE_PARAMETERS if at_baseline else FOLLOWUP_PARAMETERS
        logs.append(VisitLog(visit, participant, protocol, writer, parameters))
    return logs

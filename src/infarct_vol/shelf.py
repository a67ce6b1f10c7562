"""A participant's images and results, read again from the files that the record names."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from infarct_vol.diffusion import images_from_series
from infarct_vol.errors import ScanRefusedError
from infarct_vol.images import Identity, LesionMask, Modality, Scan
from infarct_vol.intake.reading import is_series, load_diffusion_series
from infarct_vol.nifti import load_mask, load_scan
from infarct_vol.protocol import Protocol
from infarct_vol.records import ParticipantRecord, RegistrationRecord, VisitRecord
from infarct_vol.registration import RigidTransform, read_tfm
from infarct_vol.study import ScanFile, scan_file
from infarct_vol.study.inherited import Inherited


def read_file(study_root: Path, path: Path, modality: Modality) -> ScanFile:
    """Return an image with the files that hold for it, beside it or further up in the study."""
    if path.is_relative_to(study_root) and path.parent.is_dir():
        return Inherited(study_root).scan_file(modality, path)
    return scan_file(modality, path)


@dataclass
class Shelf:
    """Reads a participant's scans, masks and transforms.

    Parameters
    ----------
    record
        What the main job wrote down about the participant.
    study_root
        Study folder; scans are read from the paths in the record.
    out
        Output folder; masks and transforms are read from it.
    protocol
        What to believe of a contradictory header.
    """

    record: ParticipantRecord
    study_root: Path
    out: Path
    protocol: Protocol
    computed_adc: dict[str, Scan] = field(default_factory=dict)

    def scan(self, visit: VisitRecord, modality: Modality) -> Scan:
        """Return one image; a diffusion series as its trace, and the ADC computed from one by its name.

        Raises
        ------
        ScanRefusedError
            If the file is not there, is refused, or is not the one that was measured.
        """
        if modality == "adc" and visit.scan("adc") is None:
            self.scan(visit, "dwi")
            return self._computed(visit)
        found = visit.scan(modality)
        path = self.study_root / (found.path if found else "")
        identity = Identity(
            participant_id=self.record.participant_id,
            session_id=visit.session_id or "",
            visit=visit.visit,
            modality=modality,
        )
        file = read_file(self.study_root, path, modality)
        if is_series(file):
            return self._trace(visit, file, identity)
        scan = load_scan(
            path, identity=identity, geometry=self.protocol.geometry, sidecars=file.sidecars or None
        )
        if found is not None and scan.identity.sha256 != found.sha256:
            msg = f"{path.name} is not the file that was measured (its SHA-256 differs); run again"
            raise ScanRefusedError(msg, where=str(identity))
        return scan

    def _trace(self, visit: VisitRecord, file: ScanFile, identity: Identity) -> Scan:
        images = images_from_series(load_diffusion_series(file, identity=identity, protocol=self.protocol))
        if images.adc is not None:
            self.computed_adc[visit.visit] = images.adc
        return images.trace

    def _computed(self, visit: VisitRecord) -> Scan:
        try:
            return self.computed_adc[visit.visit]
        except KeyError:
            msg = f"{visit.session_id} holds no ADC map and none can be computed"
            raise ScanRefusedError(msg, where=self.record.participant_id) from None

    def adc_beside(self, visit: VisitRecord, dwi: Scan) -> Scan | None:
        """Return the ADC map on the DWI's grid: the session's own, or the one of its diffusion series."""
        if visit.scan("adc") is not None:
            adc = self.scan(visit, "adc")
            return adc if adc.grid.is_same_as(dwi.grid) else None
        return self.computed_adc.get(visit.visit)

    def transform(self, registration: RegistrationRecord) -> RigidTransform:
        """Return points of the fixed image -> points of the moving image."""
        return read_tfm(self.out / str(registration.path))

    def mask(self, visit: VisitRecord, key: str) -> LesionMask | None:
        """Return the visit's mask of one name; None where it has none."""
        return load_mask(self.out / visit.masks[key], sidecar=False) if key in visit.masks else None

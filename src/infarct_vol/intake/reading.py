"""Reads the images of one session, each file once, checked before anything else sees it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from infarct_vol.errors import DamagedFileError, DiffusionError, ScanRefusedError
from infarct_vol.geometry import Grid
from infarct_vol.images import MODALITY_LABELS, Identity, Modality, Scan
from infarct_vol.intake.checks import check_scan, refuse_failures
from infarct_vol.ledger import relative_to
from infarct_vol.nifti import load_scan, load_series
from infarct_vol.protocol import Protocol
from infarct_vol.records import ScanRecord
from infarct_vol.study import Participant, ScanFile, Session


@dataclass(frozen=True, eq=False)
class DiffusionSeries:
    """A 4-D diffusion series: (I, J, K, N) float32, b-values in s/mm2, (N, 3) b-vectors if stated."""

    data: NDArray[np.float32]
    grid: Grid
    bvalues: NDArray[np.float64]
    bvectors: NDArray[np.float64] | None
    identity: Identity
    sidecar: Mapping[str, object]
    remarks: tuple[str, ...] = ()

    @property
    def first_volume(self) -> Scan:
        """The first volume, as the scan the checks look at."""
        return Scan(self.data[..., 0], self.grid, self.identity, self.sidecar, self.remarks)


@dataclass
class SessionReader:
    """Reads one session's images and keeps a record of each and of every warning.

    Parameters
    ----------
    participant, session
        Whose images they are.
    root
        Study folder; recorded paths are relative to it.
    protocol
        Limits of the checks, and what to believe of a contradictory header.
    hashes
        SHA-256 of the inputs when the run began, by path relative to ``root``: a file that changed
        since is refused.
    """

    participant: Participant
    session: Session
    root: Path
    protocol: Protocol
    hashes: Mapping[str, str] = field(default_factory=dict)
    records: list[ScanRecord] = field(default_factory=list)
    flags: list[str] = field(default_factory=list)

    def has(self, modality: Modality) -> bool:
        """Tell whether the session holds an image of this modality."""
        return modality in self.session.files

    def scan(self, modality: Modality) -> Scan:
        """Read and check one 3-D image.

        Raises
        ------
        ScanRefusedError
            If the file is damaged, its header contradicts itself, or a check fails.
        """
        file = self.session.files[modality]
        identity = self.participant.identity(self.session, modality)
        scan = load_scan(
            file.path, identity=identity, geometry=self.protocol.geometry, sidecars=file.sidecars
        )
        self._require_unchanged(file.path, scan.identity.sha256, identity)
        self.flags.extend(refuse_failures(scan, check_scan(scan, settings=self.protocol.checks)))
        self._record(scan)
        return scan

    def has_series(self) -> bool:
        """Tell whether the diffusion image is a series with b-values beside it."""
        return self.has("dwi") and self.session.files["dwi"].bval is not None

    def series(self) -> DiffusionSeries:
        """Read and check a 4-D diffusion series with its ``.bval`` and, if there, ``.bvec``."""
        series = load_diffusion_series(
            self.session.files["dwi"],
            identity=self.participant.identity(self.session, "dwi"),
            protocol=self.protocol,
        )
        self._require_unchanged(self.session.files["dwi"].path, series.identity.sha256, series.identity)
        first = series.first_volume
        self.flags.extend(refuse_failures(first, check_scan(first, settings=self.protocol.checks)))
        self._record(first)
        return series

    def _require_unchanged(self, path: Path, digest: str, identity: Identity) -> None:
        expected = self.hashes.get(relative_to(path, self.root))
        if expected is not None and expected != digest:
            msg = f"{path.name} changed while the run was at work; run again"
            raise ScanRefusedError(msg, where=str(identity))

    def _record(self, scan: Scan) -> None:
        path = scan.identity.path
        manufacturer, field_strength = (
            scan.sidecar.get("Manufacturer"),
            scan.sidecar.get("MagneticFieldStrength"),
        )
        spacing = scan.grid.spacing_mm
        self.records.append(
            ScanRecord(
                modality=scan.modality,
                path=relative_to(path, self.root) if path else "",
                sha256=scan.identity.sha256,
                spacing_mm=(float(spacing[0]), float(spacing[1]), float(spacing[2])),
                shape=scan.grid.shape,
                axis_codes=scan.grid.axis_codes,
                manufacturer=manufacturer if isinstance(manufacturer, str) else None,
                field_strength_t=float(field_strength) if isinstance(field_strength, (int, float)) else None,
                remarks=scan.remarks,
            )
        )


def load_diffusion_series(file: ScanFile, *, identity: Identity, protocol: Protocol) -> DiffusionSeries:
    """Read a 4-D series with the b-values (and b-vectors) beside it.

    Raises
    ------
    DiffusionError
        If the text files do not fit the number of volumes.
    """
    series = load_series(file.path, identity=identity, geometry=protocol.geometry, sidecars=file.sidecars)
    if file.bval is None:
        msg = f"{file.path.name} has no .bval file beside it; a diffusion series needs its b-values"
        raise DiffusionError(msg, where=str(identity))
    bvalues = _numbers(file.bval, identity).ravel()
    count = series.data.shape[3]
    if bvalues.size != count:
        msg = f"{file.bval.name} holds {bvalues.size} b-values for {count} volumes"
        raise DiffusionError(msg, where=str(identity))
    bvectors = None
    if file.bvec is not None:
        bvectors = _numbers(file.bvec, identity)
        bvectors = bvectors.T if bvectors.shape == (3, count) else bvectors
        if bvectors.shape != (count, 3):
            msg = f"{file.bvec.name} holds a {bvectors.shape} table; expected 3 rows of {count} numbers"
            raise DiffusionError(msg, where=str(identity))
    return DiffusionSeries(
        series.data, series.grid, bvalues, bvectors, series.identity, series.sidecar, series.remarks
    )


def _numbers(path: Path, identity: Identity) -> NDArray[np.float64]:
    try:
        return np.atleast_2d(np.loadtxt(path, dtype=np.float64))
    except (OSError, ValueError) as error:
        label = MODALITY_LABELS[identity.modality]
        msg = f"{path.name} beside the {label} series is not a table of numbers: {error}"
        raise DamagedFileError(msg, where=str(identity)) from None

"""Reads the images of one session, each file once, checked before anything else sees it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from infarct_vol.errors import DiffusionError, HeaderError, ScanRefusedError
from infarct_vol.files import nifti_stem, sidecar_number
from infarct_vol.geometry import Grid
from infarct_vol.images import Identity, Modality, Scan
from infarct_vol.intake.checks import check_scan, refuse_failures
from infarct_vol.intake.gradients import read_gradients
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
        scan = load_image(file, identity=identity, protocol=self.protocol)
        self._require_unchanged(file.path, scan.identity.sha256, identity)
        self.flags.extend(refuse_failures(scan, check_scan(scan, settings=self.protocol.checks)))
        self._record(scan)
        return scan

    def has_series(self) -> bool:
        """Tell whether the diffusion image is a series with b-values beside it."""
        return self.has("dwi") and is_series(self.session.files["dwi"])

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

    def require_readable(self, *modalities: Modality) -> None:
        """Raise where an image is there and cannot be used; without it another number would come out.

        Raises
        ------
        ScanRefusedError
            With the session's problem with that kind of image.
        """
        for modality in modalities:
            if modality in self.session.problems:
                where = str(self.participant.identity(self.session, modality))
                raise ScanRefusedError(self.session.problems[modality], where=where)

    def _require_unchanged(self, path: Path, digest: str, identity: Identity) -> None:
        expected = self.hashes.get(relative_to(path, self.root))
        if expected is not None and expected != digest:
            msg = f"{path.name} changed while the run was at work; run again"
            raise ScanRefusedError(msg, where=str(identity))

    def _record(self, scan: Scan) -> None:
        path = scan.identity.path
        manufacturer = scan.sidecar.get("Manufacturer")
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
                field_strength_t=self._field_strength(scan),
                remarks=scan.remarks,
            )
        )

    def _field_strength(self, scan: Scan) -> float | None:
        """Return the field strength in tesla; what is no number is flagged, and costs no image."""
        try:
            return sidecar_number(scan.sidecar, "MagneticFieldStrength", units={"t": 1.0, "tesla": 1.0})
        except HeaderError as error:
            self.flags.append(f"{scan.identity}: {error.message}")
            return None


def is_series(file: ScanFile) -> bool:
    """Tell whether a file is read with the b-values beside it; of other images they say nothing."""
    return file.modality == "dwi" and file.bval is not None


def load_image(file: ScanFile, *, identity: Identity, protocol: Protocol) -> Scan:
    """Read one 3-D image; what converters leave beside ADC maps and other images is not looked at.

    The b-value beside an image that was given as b0 is kept as its ``DiffusionBValue``, unless its sidecar
    states one: it may say that the two images are swapped.

    Raises
    ------
    ScanRefusedError
        As `infarct_vol.nifti.load_scan`.
    """
    scan = load_scan(file.path, identity=identity, geometry=protocol.geometry, sidecars=file.sidecars)
    if file.modality != "b0" or file.bval is None or "DiffusionBValue" in scan.sidecar:
        return scan
    try:
        bvalue = float(read_gradients(file.bval, None, count=1).bvalues[0])
    except ScanRefusedError:
        return scan  # of the series it was made from, as converters leave it
    return replace(scan, sidecar={**scan.sidecar, "DiffusionBValue": bvalue})


def load_diffusion_series(file: ScanFile, *, identity: Identity, protocol: Protocol) -> DiffusionSeries:
    """Read a 4-D series with the b-values (and b-vectors) beside it; a 3-D image is a series of one.

    Raises
    ------
    DiffusionError
        If the text files do not fit the number of volumes.
    DamagedFileError
        If one of them is not a table of numbers.
    """
    series = load_series(file.path, identity=identity, geometry=protocol.geometry, sidecars=file.sidecars)
    if file.bval is None:
        msg = (
            f"{file.path.name} has no .bval file beside it; write its b-values, one for each volume, into "
            f"{nifti_stem(file.path)}.bval"
        )
        raise DiffusionError(msg, where=str(identity))
    count = series.data.shape[3]
    bvalues, bvectors = read_gradients(file.bval, file.bvec, count=count, where=str(identity))
    return DiffusionSeries(
        series.data, series.grid, bvalues, bvectors, series.identity, series.sidecar, series.remarks
    )

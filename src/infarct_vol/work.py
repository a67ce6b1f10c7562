"""One participant's work: everything its result depends on, and the diffusion images of a session."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from infarct_vol.derivatives import DerivativeWriter
from infarct_vol.diffusion import DiffusionSet, assemble_diffusion
from infarct_vol.external import MaskFolder, find_masks
from infarct_vol.intake.reading import SessionReader
from infarct_vol.ledger import fingerprint, input_hashes, with_sidecar
from infarct_vol.protocol import Protocol
from infarct_vol.registration import BaselineScan
from infarct_vol.study import Participant


@dataclass(frozen=True)
class Case:
    """Everything one participant's processing depends on.

    Parameters
    ----------
    participant
        Identity, dates and files.
    root, out
        Study folder and output folder.
    protocol
        The effective protocol.
    masks
        Folder of masks made elsewhere, which count in place of the automatic ones.
    baselines
        Baseline FLAIR of every participant of the study, for follow-ups that may be somebody else's.
    """

    participant: Participant
    root: Path
    out: Path
    protocol: Protocol
    masks: Path | None = None
    baselines: tuple[BaselineScan, ...] = ()

    def inputs(self) -> dict[str, str]:
        """Return the hash of every file that bears on the result."""
        given = find_masks(self.masks, self.participant) if self.masks else ()
        files = [file for path in given for file in with_sidecar(path)]
        return input_hashes(self.participant, root=self.root, masks=self.masks, given=files)

    def external(self, hashes: Mapping[str, str]) -> MaskFolder:
        """Return where masks made elsewhere are, and what they must be like."""
        return MaskFolder(self.masks, self.protocol.geometry, hashes)

    def writer(self) -> DerivativeWriter:
        """Return a writer of this participant's results."""
        return DerivativeWriter(self.out, self.participant.label, self.protocol.sha256)

    def fingerprint(self, inputs: dict[str, str]) -> str:
        """Return what must be unchanged for finished work to be kept."""
        return fingerprint(self.participant, inputs=inputs, protocol_sha256=self.protocol.sha256)


def read_diffusion(reader: SessionReader) -> DiffusionSet:
    """Return trace, ADC in 1e-6 mm2/s and b0 from whatever the session holds."""
    session, protocol = reader.session, reader.protocol
    return assemble_diffusion(
        dwi=None if reader.has_series() else reader.scan("dwi"),
        series=reader.series() if reader.has_series() else None,
        adc=reader.scan("adc") if reader.has("adc") else None,
        b0=reader.scan("b0") if reader.has("b0") else None,
        bvalue=session.bvalue,
        usual_bvalue=protocol.bvalue,
        adc_unit=session.adc_unit or protocol.adc_unit,
        checks=protocol.checks,
    )

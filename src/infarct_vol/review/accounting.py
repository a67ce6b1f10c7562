"""Persistent, resolved and new infarct again, where a review changed one of the masks they come from.

As in the run: both infarcts are brought onto the baseline FLAIR by the run's own transforms, and counted
there. Nothing is written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from infarct_vol.change import Accounting, spatial_accounting
from infarct_vol.errors import AuditError, RegistrationError
from infarct_vol.files import file_sha256
from infarct_vol.geometry import Grid
from infarct_vol.images import LesionMask
from infarct_vol.nifti import load_grid
from infarct_vol.records import ParticipantRecord, VisitRecord
from infarct_vol.registration import RigidTransform, read_tfm, resample_mask
from infarct_vol.review.versions import HASH_DIGITS, load_kept


@dataclass(frozen=True, eq=False)
class BaselineSpace:
    """One participant's infarcts on the grid of the baseline FLAIR.

    Parameters
    ----------
    out
        Output folder.
    record
        The participant as the run left it: its transforms, and its masks for their grid.
    masks
        Session -> the masks that count, by key.
    outputs
        Path relative to ``out`` -> SHA-256, of everything that counts.
    """

    out: Path
    record: ParticipantRecord
    masks: Mapping[str, Mapping[str, str]]
    outputs: Mapping[str, str]

    def accounting(self, visit: VisitRecord) -> Accounting | None:
        """Account for the infarct of one visit against baseline; None where the run had no way to.

        Raises
        ------
        AuditError
            If a mask or a transform is not what it was.
        """
        moved = self._transform(visit)
        path = self._path(visit, "flair")
        if self.baseline is None or moved is None or path is None:
            return None
        followup = resample_mask(load_kept(self.out, path, self.outputs.get(path, "")), self._grid, moved)
        return spatial_accounting(self.baseline, followup)

    @cached_property
    def baseline(self) -> LesionMask | None:
        """The baseline infarct, as it was drawn on the DWI, on the grid of the FLAIR."""
        visit = self.record.visit("baseline")
        moved = self._transform(visit)
        path = self._path(visit, "dwi")
        if path is None or moved is None:
            return None
        return resample_mask(load_kept(self.out, path, self.outputs.get(path, "")), self._grid, moved)

    @cached_property
    def _grid(self) -> Grid:
        """Grid of the baseline FLAIR, from any file that lies on it."""
        own = self.record.visit("baseline")
        maps = (visit.masks.get("change") for visit in self.record.visits)
        paths = [own.masks.get("flair") if own else None, *maps]
        path = next((path for path in paths if path is not None), None)
        if path is None:
            msg = "no file of the run lies on the grid of the baseline FLAIR; run again"
            raise AuditError(msg, where=self.record.participant_id)
        return load_grid(self.out / path)

    def _path(self, visit: VisitRecord | None, key: str) -> str | None:
        return self.masks.get(visit.session_id or "", {}).get(key) if visit else None

    def _transform(self, visit: VisitRecord | None) -> RigidTransform | None:
        """Return the run's transform from the baseline FLAIR to an image; None where none may be used."""
        registration = next(iter(visit.registrations), None) if visit else None
        if registration is None or registration.path is None or registration.verdict == "FAIL":
            return None
        path = self.out / registration.path
        expected = self.record.outputs.get(registration.path, "")
        try:
            if file_sha256(path) == expected:
                return read_tfm(path)
        except (OSError, RegistrationError) as error:
            msg = f"{registration.path} cannot be read ({error}); run again"
            raise AuditError(msg) from None
        msg = f"{registration.path} was altered: it had SHA-256 {expected[:HASH_DIGITS]}; run again"
        raise AuditError(msg)

"""The reader's desk: what there is to read, what was decided, and everything that changes it.

Every change is an entry of the audit trail, checked against what others did while nobody else can write.
What came too late is kept as an entry that counts for nothing, and refused.
"""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from infarct_vol.audit import AuditTrail, Draft, Entry
from infarct_vol.desk.drawing import Drawing, read_voxels
from infarct_vol.desk.judging import LONGEST_REASON, Judgement, decided, require_open, require_usable
from infarct_vol.desk.pictures import Pictures
from infarct_vol.desk.views import CaseView, Cells, file_stem, shown_scan
from infarct_vol.desk.worklist import case_line
from infarct_vol.errors import AuditError, ConflictError, ReviewError
from infarct_vol.files import gzip_bytes
from infarct_vol.images import Modality
from infarct_vol.ledger import study_of
from infarct_vol.nifti import nifti_bytes
from infarct_vol.records import ParticipantRecord
from infarct_vol.results import protocol_of, update_tables
from infarct_vol.review.cases import Case, CaseBook, Facts, UnknownCaseError
from infarct_vol.review.effects import reviewed_record
from infarct_vol.review.freeze import lock_study, unlock_study
from infarct_vol.review.model import (
    EDIT,
    LATE_DECISION,
    LATE_EDIT,
    READING_OPENED,
    MaskVersion,
    Reader,
)
from infarct_vol.review.readers import Readers
from infarct_vol.review.state import Reading


class Desk:
    """One output folder to be read.

    Parameters
    ----------
    out
        Output folder of a run.
    study
        Study folder that holds the scans; default: where the run found them.

    Raises
    ------
    StudyError
        If ``out`` holds no run, or the study folder is not there.
    AuditError
        If the audit trail is not whole: nothing may be signed on top of it.
    """

    def __init__(self, out: Path, *, study: Path | None = None) -> None:
        self.out = out
        self.protocol = protocol_of(out)
        self.book = CaseBook(out)
        self.pictures = Pictures(out, study_of(out, stated=study), self.protocol)
        self.trail = AuditTrail(out)
        if faults := self.trail.faults():
            msg = f"the audit trail of {out} is not whole: {faults[0]}; see 'infarct-vol audit {out}'"
            raise AuditError(msg)
        self.readers = Readers(out, self.trail)
        self._reading = Reading(self.protocol.review, self.trail.entries())
        self._counted: dict[str, tuple[int, ParticipantRecord]] = {}
        self._mutex = threading.RLock()
        if not self._reading.key:
            self._open()

    def _open(self) -> None:
        """Write the key that codes and orders are drawn with, unless another desk did so meanwhile."""

        def guard(later: Callable[[int], tuple[Entry, ...]]) -> None:
            self._reading.take(later(self._reading.sequence))
            if self._reading.key:
                raise ConflictError(self._reading.key)

        try:
            self.trail.append(READING_OPENED, subject="review", new=secrets.token_hex(16), guard=guard)
        except ConflictError:
            return
        self.reading()

    def reading(self) -> Reading:
        """Return what was read so far, by this desk and by others."""
        with self._mutex:
            self._reading.take(self.trail.entries(after=self._reading.sequence))
            return self._reading

    @property
    def participant_ids(self) -> tuple[str, ...]:
        """Every participant with a record."""
        return self.book.participant_ids

    # ---- looking -----------------------------------------------------------------------------------------

    def worklist(self, reader: Reader) -> Cells:
        """Return the cases of one reader in the order they are read, and how many are done."""
        with self._mutex:
            reading = self.reading()
            lines = [
                case_line(CaseView(case, reading, self.pictures, self._record(case)), self.protocol)
                for case in self._cases(reader)
            ]
        done = sum(line["status"] not in ("todo", "stale", "query", "disagreement") for line in lines)
        return {"progress": {"done": done, "total": len(lines)}, "cases": lines}

    def case(self, reader: Reader, code: str) -> Cells:
        """Return a case as one reader sees it.

        Raises
        ------
        UnknownCaseError
            If the reader has no such case.
        """
        with self._mutex:
            return self._shown(reader, self._case(reader, code))

    def volume(self, reader: Reader, code: str, panel: str) -> bytes:
        """Return the scan of a panel as NIfTI bytes."""
        case = self._case(reader, code)
        name, _, modality = panel.partition(".")
        visit = case.visits.get(name)
        known = visit is not None and modality in ("dwi", "adc", "flair")
        if visit is None or not known or shown_scan(self.pictures.study, visit, modality) is None:
            msg = f"there is no panel '{panel}' in {case.title}"
            raise UnknownCaseError(msg)
        return self.pictures.volume(case.record, visit, modality)  # type: ignore[arg-type]

    def mask(
        self,
        reader: Reader,
        code: str,
        item: str,
        key: str,
        sha256: str | None = None,
        *,
        box: bool = False,
    ) -> bytes:
        """Return a mask as NIfTI bytes on its panel's grid; without a hash the one in work.

        With ``box`` only the voxels around the lesion are sent, on a part of that grid.
        """
        case = self._case(reader, code)
        path, digest = case.mask(self._reading, item, key, sha256)
        facts = case.found(item)
        image: Modality = facts.item.image  # type: ignore[assignment]
        return self.pictures.mask(case.record, facts.visit, image, path, digest, box=box)

    def download(self, reader: Reader, code: str, item: str, key: str) -> tuple[str, bytes]:
        """Return name and ``.nii.gz`` bytes of a mask in work, or of the scan (``scan``), native grid."""
        case = self._case(reader, code)
        facts = case.found(item)
        stem = file_stem(case, item)
        if key != "scan":
            path, digest = case.mask(self._reading, item, key)
            content = (self.out / path).read_bytes()
            if sha256(content).hexdigest() != digest:
                msg = f"{path} is not what it was when it was measured or saved; put it back from a copy"
                raise AuditError(msg)
            return f"{stem}_desc-{key}_mask.nii.gz", content
        if facts.item.image == "registration":
            msg = f"'{item}' is a registration; it has no scan of its own"
            raise UnknownCaseError(msg)
        scan = self.pictures.scan(case.record, facts.visit, facts.item.image)
        return f"{stem}.nii.gz", gzip_bytes(nifti_bytes(scan.data, scan.grid, dtype="float32"))

    # ---- changing ----------------------------------------------------------------------------------------

    def judge(self, reader: Reader, code: str, judgements: Sequence[Judgement]) -> Cells:
        """Sign decisions on items of a case, all or none; return the case as it is then.

        Raises
        ------
        ReviewError
            If a reason is missing, or what was judged is not a mask of the item.
        ConflictError
            If somebody else decided or edited meanwhile; what was sent is kept in the trail.
        LockedStudyError
            If the study is locked.
        """
        with self._mutex:
            self.reading()
            case = self._case(reader, code)
            self._require_protocol(case)
            if not judgements or len({one.item for one in judgements}) < len(judgements):
                msg = "no decision was sent, or two on one item"
                raise ReviewError(msg)
            told = [(case.found(one.item), one) for one in judgements]
            drafts = [decided(case, self._reading, facts, one, out=self.out) for facts, one in told]
            revisions = {facts: one.revision for facts, one in told}
            self._enter(case, drafts, revisions, late=LATE_DECISION)
            return self._shown(reader, case)

    def save_mask(
        self,
        reader: Reader,
        code: str,
        item: str,
        key: str,
        voxels: bytes,
        *,
        parent_sha256: str,
        revision: int,
        reason: str,
    ) -> Cells:
        """Save a mask drawn on the page: one byte a voxel, 0 or 1, in the order of its panel, i fastest.

        Raises
        ------
        ReviewError
            If the bytes are no mask of the panel, nothing was changed, or the reason is blank.
        ConflictError
            If somebody else was faster; the mask is kept and its entry says that it does not count.
        """
        return self._edit(
            self._case(reader, code),
            *(item, key, parent_sha256, revision, reason, "page"),
            read=lambda drawing: read_voxels(voxels, drawing.display),
        )

    def upload_mask(
        self,
        reader: Reader,
        code: str,
        item: str,
        key: str,
        file: bytes,
        filename: str,
        *,
        parent_sha256: str,
        revision: int,
        reason: str,
        confirmed: bool = False,
    ) -> Cells:
        """Save a mask drawn elsewhere, from the bytes of its NIfTI file; errors as `save_mask`.

        Raises
        ------
        GridMismatchError
            If it is not on the image's native grid.
        MaskError
            If it looks mirrored or too large, and ``confirmed`` does not say that it is meant.
        """
        return self._edit(
            self._case(reader, code),
            *(item, key, parent_sha256, revision, reason, "upload"),
            read=lambda drawing: drawing.uploaded(
                file, filename, self.protocol.geometry, confirmed=confirmed
            ),
        )

    def lock(self, reader: Reader, *, passphrase: str, meaning: str) -> Entry:
        """Freeze the study under a signature; the reader signs with the passphrase once more.

        The tables are made again first where they are older than the latest decision.

        Raises
        ------
        ReviewError
            If they need what they were made with, such as a randomisation list.
        """
        signer = self.readers.sign_in(reader.name, passphrase, noted=False)
        if old := update_tables(self.out):
            raise ReviewError(old)
        return lock_study(self.out, reader=signer, meaning=meaning, trail=self.trail)

    def unlock(self, reader: Reader, *, passphrase: str, reason: str) -> Entry:
        """Open a locked study again, with a reason."""
        signer = self.readers.sign_in(reader.name, passphrase, noted=False)
        return unlock_study(self.out, reader=signer, reason=reason, trail=self.trail)

    # ---- inside ------------------------------------------------------------------------------------------

    def _cases(self, reader: Reader) -> list[Case]:
        cases = self.book.cases(self._reading, reader)
        return [self.book.case(self._reading, reader, kind, name) for kind, name in cases]

    def _case(self, reader: Reader, code: str) -> Case:
        with self._mutex:
            for case in self._cases(reader):
                if case.code == code:
                    return case
        msg = f"there is no case '{code[:40]}' for {reader.name} to read"
        raise UnknownCaseError(msg)

    def _shown(self, reader: Reader, case: Case) -> Cells:
        reading = self.reading()
        codes = [each.code for each in self._cases(reader)]
        at = codes.index(case.code) if case.code in codes else -1
        return {
            **CaseView(case, reading, self.pictures, self._record(case)).cells(),
            "previous": codes[at - 1] if at > 0 else None,
            "next": codes[at + 1] if 0 <= at < len(codes) - 1 else None,
            "locked": reading.lock is not None,
        }

    def _record(self, case: Case) -> ParticipantRecord:
        """Return a participant with what counts by now; a blinded reader sees what the run made."""
        if case.kind != "open":
            return case.record
        name = case.record.participant_id
        history = self._reading.history(name)
        stamp = history[-1].sequence if history else 0
        known = self._counted.get(name)
        if known is None or known[0] != stamp or known[1].fingerprint != case.record.fingerprint:
            standings = {f.item: self._reading.standing(f.item) for f in case.facts.values()}
            record = reviewed_record(case.record, standings, out=self.out)
            known = self._counted[name] = stamp, record
        return known[1]

    def _edit(
        self,
        case: Case,
        item: str,
        key: str,
        parent_sha256: str,
        revision: int,
        reason: str,
        tool: str,
        *,
        read: Callable[[Drawing], Any],
    ) -> Cells:
        reason = reason.strip()
        if not reason or len(reason) > LONGEST_REASON:
            msg = f"a reason of at most {LONGEST_REASON} characters is needed to save a mask"
            raise ReviewError(msg)
        self._require_protocol(case)
        with self._mutex:
            self.reading()
            require_open(case, self._reading, case.found(item))
            case.mask(self._reading, item, key, parent_sha256)
            require_usable(case, self._reading, case.found(item), {key: parent_sha256})  # type: ignore[dict-item]
            drawing = Drawing(self.out, case, self._reading, self.protocol, item, key, parent_sha256)
        versions = drawing.saved(read(drawing), tool=tool)
        drafts = [self._edited(case, drawing, version, reason) for version in versions]
        with self._mutex:
            self._enter(case, drafts, {drawing.facts: revision}, late=LATE_EDIT)
            return self._shown(case.reader, case)

    def _require_protocol(self, case: Case) -> None:
        """Refuse to change a case that a later run measured by other rules than this desk reads by."""
        if case.record.protocol_sha256 != self.protocol.sha256:
            msg = (
                "this case was measured by another protocol than the one this page was started with; run "
                "again so that all are of one, then start the page again"
            )
            raise ReviewError(msg, where=case.title)

    @staticmethod
    def _edited(case: Case, drawing: Drawing, version: MaskVersion, reason: str) -> Draft:
        return Draft(
            EDIT,
            subject=drawing.facts.item.subject,
            reason="; ".join(filter(None, (reason, drawing.remark))),
            old=json.dumps({"sha256": version.parent_sha256}),
            new=version.model_dump_json(),
            who=case.reader.name,
        )

    def _enter(
        self, case: Case, drafts: Sequence[Draft], revisions: Mapping[Facts, int], *, late: str
    ) -> None:
        """Append entries, all or none, if nobody else was faster; else append them as what came too late."""

        def guard(later: Callable[[int], tuple[Entry, ...]]) -> None:
            self._reading.take(later(self._reading.sequence))
            for facts, revision in revisions.items():
                require_open(case, self._reading, facts).expect(revision, where=case.title)

        try:
            self.trail.extend(drafts, guard=guard)
        except ConflictError:
            self.trail.extend([draft.renamed(late) for draft in drafts])
            raise
        self.reading()

"""A desk of one small case, for tests of the server: it keeps what it is asked, and has a real trail."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from infarct_vol.audit import AuditTrail
from infarct_vol.errors import (
    ConflictError,
    GridMismatchError,
    LockedStudyError,
    NotAllowedError,
    ReviewError,
)
from infarct_vol.protocol import Protocol
from infarct_vol.review.cases import UnknownCaseError
from infarct_vol.review.manifest import Signature
from infarct_vol.review.model import DECISION, EDIT, LOCK, UNLOCK, Reader, Role
from infarct_vol.server.assets import Asset
from infarct_vol.settings import ReviewSettings

SHAPE = (4, 3, 2)
VOXELS = 24
PARENT = "a" * 64
VOLUME = bytes(range(256)) * 4000
PASSPHRASE = "a long enough phrase"


class FakeReaders:
    """Readers whose passphrases are only compared; the real ones take half a second each."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[Reader, str]] = {}

    def enrol(self, name: str, passphrase: str, *, role: Role = "reader") -> Reader:
        if not name.strip():
            msg = "a reader needs a name"
            raise ReviewError(msg)
        reader = Reader(name=name.strip(), role=role)
        self._known[reader.name] = reader, passphrase
        return reader

    def sign_in(self, name: str, passphrase: str) -> Reader:
        reader, expected = self._known.get(name, (None, ""))
        if reader is None or passphrase != expected:
            msg = "name or passphrase is wrong"
            raise NotAllowedError(msg)
        return reader

    def names(self) -> tuple[str, ...]:
        return tuple(self._known)


class FakeDesk:
    """Answers as a desk does, about ``case-1`` with the item ``ses-M03/flair`` on the panel ``m03-flair``."""

    participant_ids = ("sub-001",)

    def __init__(self, out: Path, *, reads: int = 1, study_id: str = "Toy") -> None:
        self.protocol = Protocol(study_id=study_id, review=ReviewSettings(reads=reads))
        self.turn = threading.Lock()
        self.begin(out)

    def begin(self, out: Path) -> None:
        """Forget everything, and go on in another folder."""
        self.out = out
        self.study = out / "study"
        self.trail = AuditTrail(out)
        self.readers = FakeReaders()
        self.asked: list[tuple[Any, ...]] = []
        self.revision = 0
        self.locked = False
        self.trouble: Exception | None = None

    def worklist(self, reader: Reader) -> dict[str, Any]:
        self._noted("worklist", reader.name)
        return {"progress": {"done": 0, "total": 1}, "cases": [{"code": "case-1", "title": "sub-001"}]}

    def case(self, reader: Reader, code: str) -> dict[str, Any]:
        self._noted("case", reader.name, code)
        item = {"item": "ses-M03/flair", "panel": "m03-flair", "revision": self.revision}
        return {
            "code": code,
            "panels": [{"id": "m03-flair", "shape": list(SHAPE)}],
            "visits": [{"id": "v1", "items": [item]}],
        }

    def volume(self, reader: Reader, code: str, panel: str) -> bytes:
        self._noted("volume", reader.name, code, panel)
        return VOLUME

    def mask(self, reader: Reader, code: str, item: str, key: str, sha256: str | None) -> bytes:
        self._noted("mask", reader.name, code, item, key, sha256)
        return b"mask"

    def download(self, reader: Reader, code: str, item: str, key: str) -> tuple[str, bytes]:
        self._noted("download", reader.name, code, item, key)
        return 'case-1 "flair"\r\nX: y.nii.gz', b"\x1f\x8bfile"

    def judge(self, reader: Reader, code: str, decisions: list[Any]) -> dict[str, Any]:
        return self._changed("judge", DECISION, decisions[0].revision, reader, code, decisions)

    def save_mask(
        self, reader: Reader, code: str, item: str, key: str, voxels: bytes, **said: Any
    ) -> dict[str, Any]:
        return self._changed("save_mask", EDIT, said["revision"], reader, code, item, key, voxels, said)

    def upload_mask(
        self, reader: Reader, code: str, item: str, key: str, file: bytes, filename: str, **said: Any
    ) -> dict[str, Any]:
        if file == b"other grid":
            msg = "the mask's grid is (9, 9, 9), the image's is (4, 3, 2)"
            raise GridMismatchError(msg, where="sub-001 ses-M03 FLAIR")
        name = "upload_mask"
        return self._changed(name, EDIT, said["revision"], reader, code, item, key, file, filename, said)

    def lock(self, reader: Reader, *, passphrase: str, meaning: str) -> dict[str, Any]:
        self.readers.sign_in(reader.name, passphrase)
        said = Signature(
            meaning=meaning,
            reader=reader.name,
            role=reader.role,
            manifest="provenance/lock-1.json",
            manifest_sha256=PARENT,
            head_sequence=0,
            head_sha256="",
            counts={},
        )
        self.trail.append(LOCK, subject="study", who=reader.name, new=said.model_dump_json())
        self.locked = True
        return {"meaning": meaning}

    def unlock(self, reader: Reader, *, passphrase: str, reason: str) -> dict[str, Any]:
        self.readers.sign_in(reader.name, passphrase)
        self.trail.append(UNLOCK, subject="study", who=reader.name, reason=reason)
        self.locked = False
        return {"reason": reason}

    def calls(self, name: str) -> list[tuple[Any, ...]]:
        return [each[1:] for each in self.asked if each[0] == name]

    def _noted(self, name: str, who: str, code: str = "case-1", *rest: Any) -> None:
        self.asked.append((name, who, code, *rest))
        if self.trouble is not None:
            raise self.trouble
        if code != "case-1":
            msg = f"there is no case {code}"
            raise UnknownCaseError(msg)

    def _changed(
        self, name: str, action: str, revision: int, reader: Reader, code: str, *rest: Any
    ) -> dict[str, Any]:
        self._noted(name, reader.name, code, *rest)
        if self.locked:
            msg = "the study is locked"
            raise LockedStudyError(msg)
        with self.turn:
            if revision != self.revision:
                msg = f"revision {revision} is old"
                raise ConflictError(msg)
            self.revision = self.trail.append(
                action, subject="sub-001/ses-M03/flair", who=reader.name
            ).sequence
        return self.case(reader, code)


def small_assets() -> dict[str, Asset]:
    """Files of a page that does nothing."""
    return {
        "index.html": Asset(b"<!doctype html><title>t</title>", "text/html; charset=utf-8", kept=False),
        "app/main.js": Asset(b"export {};", "text/javascript; charset=utf-8", kept=False),
        "vendor/big.js": Asset(b"big", "text/javascript; charset=utf-8", kept=True),
    }

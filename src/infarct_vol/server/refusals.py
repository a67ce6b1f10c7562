"""Every refusal and error as one JSON answer, without a path, a traceback or a detail nobody should see."""

from __future__ import annotations

import logging
import re
import tempfile
import traceback
from collections.abc import Iterable, Mapping
from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response

from infarct_vol.errors import (
    AuditError,
    ConflictError,
    InfarctVolError,
    LockedStudyError,
    NotAllowedError,
    OutputLockedError,
    ReviewError,
    ScanRefusedError,
    UsageError,
)
from infarct_vol.review.cases import UnknownCaseError

log = logging.getLogger("infarct_vol.server")
_STATUS_OF: tuple[tuple[type[InfarctVolError], int], ...] = (
    # the first that fits counts, so the special ones stand first
    (UnknownCaseError, 404),
    (NotAllowedError, 403),
    (ConflictError, 409),
    (ReviewError, 422),
    (ScanRefusedError, 422),
    (LockedStudyError, 423),
    (OutputLockedError, 503),
    (UsageError, 422),
)
_UNEXPECTED = "the server could not do this; nothing was changed, and the terminal it runs in says more"
_ALTERED = (
    "a file of the study is not what the audit trail says; nothing was changed. 'infarct-vol audit' names it"
)
_FOLDERS = re.compile(r"(?<![\w.:/])(?:/[^\s/'\"]+)+/|\b[A-Za-z]:\\(?:[^\s\\'\"]+\\)+")
_PARTICIPANT = re.compile(r"(?<![0-9A-Za-z])sub-[0-9A-Za-z]+")
_SESSION = re.compile(r"(?<![0-9A-Za-z])ses-[0-9A-Za-z]+")


class RefusedRequestError(Exception):
    """A request that never reaches the desk."""

    def __init__(self, status: int, message: str, *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = dict(headers or {})


def refusal(
    status: int, message: str, *, headers: Mapping[str, str] | None = None, **more: object
) -> Response:
    """Return the JSON answer of a refusal."""
    content = {"error": {"status": status, "message": message}, **more}
    return JSONResponse(content, status_code=status, headers=dict(headers or {}))


class Wording:
    """What a message may say to the page.

    Parameters
    ----------
    folders
        Folders whose places are nobody's business.
    blinded
        Whether participants and sessions are coded, so that no message may name them.
    hidden
        Identifiers of participants, which need not look like BIDS labels.
    """

    def __init__(self, folders: Iterable[Path], *, blinded: bool, hidden: Iterable[str] = ()) -> None:
        places = [*folders, Path(tempfile.gettempdir())]
        known = {str(place) for folder in places for place in (folder, folder.resolve())} - {"/", "."}
        self._places = sorted(known, key=len, reverse=True)
        self._blinded = blinded
        self._hidden = [
            re.compile(rf"(?<![0-9A-Za-z]){re.escape(name)}(?![0-9A-Za-z])")
            for name in sorted(hidden, key=len, reverse=True)
        ]

    def plain(self, message: str) -> str:
        """Return a message without folders and, where the reading is blinded, without hidden names."""
        for place in self._places:
            message = message.replace(f"{place}/", "").replace(place, "the folder")
        message = _FOLDERS.sub("", message)
        if self._blinded:
            for name in self._hidden:
                message = name.sub("the participant", message)
            message = _SESSION.sub("the session", _PARTICIPANT.sub("the participant", message))
        return message

    def answer(self, error: Exception) -> Response:
        """Return the answer to whatever was raised."""
        if isinstance(error, RefusedRequestError):
            return refusal(error.status, error.message, headers=error.headers)
        if isinstance(error, HTTPException):
            said = (
                "this address is asked in another way"
                if error.status_code == 405
                else "there is nothing here"
            )
            return refusal(error.status_code, said, headers=error.headers)
        if isinstance(error, ClientDisconnect):
            return refusal(400, "the request was broken off")
        for kind, status in _STATUS_OF:
            if isinstance(error, kind):
                return refusal(status, self.plain(error.message))
        log.error("%s", place_of(error))
        if isinstance(error, AuditError):
            return refusal(500, _ALTERED)
        if isinstance(error, OSError) and not isinstance(error, InfarctVolError):
            said = (
                f"a file could not be read or written ({error.strerror or 'unknown'}); nothing was taken over"
            )
            return refusal(500, said)
        return refusal(500, _UNEXPECTED)


def place_of(error: Exception) -> str:
    """Return what kind of error it is and where it arose; never what it says, which may name a patient."""
    frames = traceback.extract_tb(error.__traceback__)[-6:]
    where = " < ".join(f"{Path(f.filename).name}:{f.lineno} {f.name}" for f in reversed(frames))
    return f"unexpected {type(error).__name__} at {where or 'an unknown place'}"

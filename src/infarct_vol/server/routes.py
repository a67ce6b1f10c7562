"""The addresses of the page: each asks the desk, in a thread, and puts its answer into JSON or bytes."""

from __future__ import annotations

import functools
import re
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, TypeVar, cast

import anyio
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from infarct_vol.desk import Desk, Judgement
from infarct_vol.errors import ConflictError, NotAllowedError
from infarct_vol.review.model import Reader
from infarct_vol.server.assets import INDEX, Asset
from infarct_vol.server.bodies import (
    BODY_SECONDS,
    MAX_UPLOAD_BYTES,
    DecisionsBody,
    EmptyBody,
    EnrolBody,
    LockBody,
    SignInBody,
    UnlockBody,
    is_revision,
    is_sha256,
    mask_voxels,
    max_gzip_bytes,
    query,
    read_body,
    read_json,
    shown_name,
    stated_reason,
)
from infarct_vol.server.facts import StudyFacts
from infarct_vol.server.gate import set_cookie
from infarct_vol.server.refusals import RefusedRequestError, Wording, refusal
from infarct_vol.server.sessions import Session, Sessions

_PIECE_BYTES = 256 * 1024
_DESK_THREADS = 4
_BODIES_AT_ONCE = 4
"""Masks and uploads held in memory at the same time."""
Answer = TypeVar("Answer")
View = Mapping[str, Any]


class Pages:
    """Handlers of one server.

    Parameters
    ----------
    desk
        Does the work; its calls block.
    sessions, facts, assets, wording, port
        What the handlers need besides.
    """

    def __init__(
        self,
        desk: Desk,
        *,
        sessions: Sessions,
        facts: StudyFacts,
        assets: Mapping[str, Asset],
        wording: Wording,
        port: int,
    ) -> None:
        self._desk = desk
        self._sessions = sessions
        self._facts = facts
        self._assets = assets
        self._wording = wording
        self._port = port
        self._threads = anyio.CapacityLimiter(_DESK_THREADS)
        self._bodies = anyio.CapacityLimiter(_BODIES_AT_ONCE)

    def routes(self) -> list[Route]:
        """Return every address that is served."""
        case, item = "/api/cases/{code}", "{item:path}/{key}"
        return [
            Route("/", self.index, methods=["GET"]),
            Route("/static/{name:path}", self.static, methods=["GET"]),
            Route("/api/session", self.session, methods=["GET"]),
            Route("/api/enrol", self.enrol, methods=["POST"]),
            Route("/api/sign-in", self.sign_in, methods=["POST"]),
            Route("/api/sign-out", self.sign_out, methods=["POST"]),
            Route("/api/lock", self.lock, methods=["POST"]),
            Route("/api/unlock", self.unlock, methods=["POST"]),
            Route("/api/worklist", self.worklist, methods=["GET"]),
            Route(case, self.case, methods=["GET"]),
            Route(f"{case}/volumes/{{panel}}", self.volume, methods=["GET"]),
            Route(f"{case}/masks/{item}", self.mask, methods=["GET"]),
            Route(f"{case}/masks/{item}", self.save_mask, methods=["POST"]),
            Route(f"{case}/uploads/{item}", self.upload, methods=["POST"]),
            Route(f"{case}/download/{item}", self.download, methods=["GET"]),
            Route(f"{case}/decisions", self.decide, methods=["POST"]),
        ]

    # ---- the page itself ---------------------------------------------------------------------------------

    async def index(self, request: Request) -> Response:
        """Return the page."""
        return _asset(request, self._assets[INDEX])

    async def static(self, request: Request) -> Response:
        """Return one of its files, by a name known from the start."""
        asset = self._assets.get(request.path_params["name"])
        if asset is None or asset is self._assets[INDEX]:
            raise RefusedRequestError(404, "there is nothing here")
        return _asset(request, asset)

    # ---- readers -----------------------------------------------------------------------------------------

    async def session(self, request: Request) -> Response:
        """Return who is signed in, and what the study is."""
        return await self._session_answer(_session(request))

    async def enrol(self, request: Request) -> Response:
        """Add a reader, who is signed in then."""
        sent = await read_json(request, EnrolBody)
        readers = self._desk.readers
        await self._ask(readers.enrol, sent.name, sent.passphrase, role=sent.role)
        return await self._signed_in(request, sent)

    async def sign_in(self, request: Request) -> Response:
        """Sign a reader in, in a new session."""
        return await self._signed_in(request, await read_json(request, SignInBody))

    async def sign_out(self, request: Request) -> Response:
        """Sign the reader out, into a new session."""
        await read_json(request, EmptyBody)
        return await self._renewed(self._sessions.sign_out(_session(request)))

    async def lock(self, request: Request) -> Response:
        """Freeze the study with a signature."""
        reader, sent = _reader(request), await read_json(request, LockBody)
        await self._ask(self._desk.lock, reader, passphrase=sent.passphrase, meaning=sent.meaning)
        return await self._session_answer(_session(request))

    async def unlock(self, request: Request) -> Response:
        """Open the study again, with a reason."""
        reader, sent = _reader(request), await read_json(request, UnlockBody)
        await self._ask(self._desk.unlock, reader, passphrase=sent.passphrase, reason=sent.reason)
        return await self._session_answer(_session(request))

    async def _signed_in(self, request: Request, sent: SignInBody) -> Response:
        try:
            reader = await self._ask(self._desk.readers.sign_in, sent.name, sent.passphrase)
        except NotAllowedError as error:
            return refusal(401, self._wording.plain(error.message))
        return await self._renewed(self._sessions.sign_in(_session(request), reader))

    async def _renewed(self, session: Session) -> Response:
        response = await self._session_answer(session)
        set_cookie(response, session, port=self._port)
        return response

    async def _session_answer(self, session: Session) -> Response:
        return JSONResponse(await self._ask(self._facts.session, session))

    # ---- reading -----------------------------------------------------------------------------------------

    async def worklist(self, request: Request) -> Response:
        """Return the reader's cases in the order they are read."""
        return JSONResponse(await self._ask(self._desk.worklist, _reader(request)))

    async def case(self, request: Request) -> Response:
        """Return one case."""
        return JSONResponse(await self._view(_reader(request), _path(request, "code")))

    async def volume(self, request: Request) -> Response:
        """Return the image of a panel."""
        code, panel = _path(request, "code"), _path(request, "panel")
        return _bytes(await self._ask(self._desk.volume, _reader(request), code, panel))

    async def mask(self, request: Request) -> Response:
        """Return a mask on the grid of its panel; the one in work, or any by its SHA-256, or a box of it."""
        sha256: str | None = request.query_params.get("sha256")
        if sha256 is not None and not is_sha256(sha256):
            raise RefusedRequestError(422, "sha256 is not a SHA-256")
        boxed = {"box": True} if request.query_params.get("box") == "1" else {}
        return _bytes(await self._ask(self._desk.mask, _reader(request), *_place(request), sha256, **boxed))

    async def download(self, request: Request) -> Response:
        """Return a scan or mask on its native grid, for another program."""
        name, content = await self._ask(self._desk.download, _reader(request), *_place(request))
        plain = re.sub(r"[^0-9A-Za-z._-]", "_", name)
        headers = {"Content-Disposition": f'attachment; filename="{plain}"'}
        return _bytes(content, content_type="application/gzip", headers=headers)

    # ---- changing ----------------------------------------------------------------------------------------

    async def decide(self, request: Request) -> Response:
        """Take over a reader's judgements, all or none."""
        reader, code = _reader(request), _path(request, "code")
        sent = await read_json(request, DecisionsBody)
        judgements = [Judgement(**dict(judged)) for judged in sent.decisions]
        return await self._changed(reader, code, self._desk.judge, reader, code, judgements)

    async def save_mask(self, request: Request) -> Response:
        """Save a mask that was corrected on the page."""
        reader, (code, item, key) = _reader(request), _place(request)
        said = _said(request)
        count = _voxels_of(await self._view(reader, code), item)
        async with self._bodies:
            raw = await read_body(request, limit_bytes=max_gzip_bytes(count), seconds=BODY_SECONDS)
            voxels = await self._ask(mask_voxels, raw, count=count)
            return await self._changed(
                reader, code, self._desk.save_mask, reader, code, item, key, voxels, **said
            )

    async def upload(self, request: Request) -> Response:
        """Save a mask that was corrected in another program."""
        reader, (code, item, key) = _reader(request), _place(request)
        said = _said(request) | {"confirmed": request.query_params.get("confirmed") == "1"}
        name = shown_name(request.query_params.get("name", ""))
        if not name:
            raise RefusedRequestError(422, "the address needs name=FILE, the name of the uploaded file")
        async with self._bodies:
            raw = await read_body(request, limit_bytes=MAX_UPLOAD_BYTES, seconds=BODY_SECONDS)
            return await self._changed(
                reader, code, self._desk.upload_mask, reader, code, item, key, raw, name, **said
            )

    # ---- the desk ----------------------------------------------------------------------------------------

    async def _ask(self, call: Callable[..., Answer], *args: object, **named: object) -> Answer:
        """Call the desk in a thread; a call that began is never broken off."""
        return await anyio.to_thread.run_sync(
            functools.partial(call, *args, **named), limiter=self._threads, abandon_on_cancel=False
        )

    async def _view(self, reader: Reader, code: str) -> View:
        return await self._ask(self._desk.case, reader, code)

    async def _changed(
        self, reader: Reader, code: str, change: Callable[..., View], *args: object, **named: object
    ) -> Response:
        """Make a change and return the case after it; where somebody was faster, the case as it is now."""
        try:
            return JSONResponse(await self._ask(change, *args, **named))
        except ConflictError as error:
            current = await self._view(reader, code)
            return refusal(409, self._wording.plain(error.message), current=current)


def _session(request: Request) -> Session:
    return cast(Session, request.state.session)


def _reader(request: Request) -> Reader:
    reader = _session(request).reader
    if reader is None:
        raise RefusedRequestError(401, "nobody is signed in; sign in, then do it again")
    return reader


def _path(request: Request, name: str) -> str:
    return cast(str, request.path_params[name])


def _place(request: Request) -> tuple[str, str, str]:
    return _path(request, "code"), _path(request, "item"), _path(request, "key")


def _said(request: Request) -> dict[str, object]:
    """Return what comes with every mask: what it was made from, what the reader saw last, and why."""
    revision = query(
        request, "revision", fits=is_revision, expected="the number of the revision it was made on"
    )
    parent = query(request, "parent", fits=is_sha256, expected="the SHA-256 of the mask it was made from")
    return {"parent_sha256": parent, "revision": int(revision), "reason": stated_reason(request)}


def _voxels_of(view: View, item: str) -> int:
    """Return how many voxels a mask of an item has: those of the panel it lies on."""
    items = [each for visit in view["visits"] for each in visit["items"] if each["item"] == item]
    panels = [panel for panel in view["panels"] if items and panel["id"] == items[0]["panel"]]
    if not panels:
        raise RefusedRequestError(404, "there is no such image in this case")
    i, j, k = panels[0]["shape"]
    return int(i) * int(j) * int(k)


def _asset(request: Request, asset: Asset) -> Response:
    if not asset.kept:
        return Response(asset.content, headers={"Content-Type": asset.content_type})
    headers = {"ETag": asset.tag, "Cache-Control": "private, no-cache"}
    if request.headers.get("if-none-match") == asset.tag:
        return Response(status_code=304, headers=headers)
    return Response(asset.content, headers={**headers, "Content-Type": asset.content_type})


def _bytes(
    content: bytes,
    *,
    content_type: str = "application/octet-stream",
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Answer with bytes in pieces, so that one large answer does not hold up the others."""
    view = memoryview(content)

    async def pieces() -> AsyncIterator[memoryview]:
        for start in range(0, len(view), _PIECE_BYTES):
            yield view[start : start + _PIECE_BYTES]

    named = {"Content-Length": str(len(content)), "Content-Type": content_type, **(headers or {})}
    return StreamingResponse(pieces(), headers=named)

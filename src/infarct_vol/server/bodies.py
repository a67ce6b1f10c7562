"""What comes in: bodies with a limit of size and time, and JSON that is what it should be."""

from __future__ import annotations

import unicodedata
import zlib
from collections.abc import Callable
from typing import Annotated, Literal, TypeVar
from urllib.parse import unquote_to_bytes

import anyio
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import ClientDisconnect, Request

from infarct_vol.review.model import MaskKey, Role, Verdict
from infarct_vol.server.refusals import RefusedRequestError

MAX_JSON_BYTES = 64 * 1024
MAX_UPLOAD_BYTES = 64 * 1024**2
JSON_SECONDS = 15.0
BODY_SECONDS = 60.0
_LONGEST_REASON = 2000
_MAX_GZIP_EXTRA_BYTES = 64 * 1024
"""Headers and stored blocks that a gzip stream may add to what it holds."""
_DRAIN_SECONDS = 1.0
_DRAIN_BYTES = 16 * 1024**2
_ALLOWED_CONTROLS = "\n\t"


class Body(BaseModel):
    """A JSON object sent by the page; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


Name = Annotated[str, Field(max_length=200)]
Passphrase = Annotated[str, Field(max_length=1024, repr=False)]


def _text(value: str) -> str:
    if _has_controls(value):
        msg = "control characters are no text"
        raise ValueError(msg)
    return value


Text = Annotated[str, Field(max_length=_LONGEST_REASON), AfterValidator(_text)]


class EmptyBody(Body):
    """Nothing is said."""


class SignInBody(Body):
    """Who wants to sign in."""

    name: Name
    passphrase: Passphrase


class EnrolBody(SignInBody):
    """Who wants to be a reader."""

    role: Role = "reader"


class LockBody(Body):
    """A signature under the study."""

    passphrase: Passphrase
    meaning: Text


class UnlockBody(Body):
    """Why a study is opened again."""

    passphrase: Passphrase
    reason: Text


class Judged(Body):
    """A reader's judgement of one item, as the page sends it."""

    item: Name
    verdict: Verdict
    reason: Text = ""
    revision: Annotated[int, Field(ge=0)]
    masks: dict[MaskKey, Annotated[str, Field(pattern="^[0-9a-f]{64}$")]] = Field(default_factory=dict)
    chosen: Literal[1, 2] | None = None


class DecisionsBody(Body):
    """Judgements that are taken over all together or not at all."""

    decisions: Annotated[list[Judged], Field(min_length=1, max_length=64)]


Sent = TypeVar("Sent", bound=BaseModel)


async def read_json(request: Request, kind: type[Sent]) -> Sent:
    """Return the JSON body of a request as a checked model.

    Raises
    ------
    RefusedRequestError
        415 for another content type, 413 and 408 as `read_body`, 422 for anything unexpected in it.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise RefusedRequestError(415, "expected a body of application/json")
    raw = await read_body(request, limit_bytes=MAX_JSON_BYTES, seconds=JSON_SECONDS)
    try:
        return kind.model_validate_json(raw)
    except ValidationError as error:
        # the places and the reasons, never the values: there may be a passphrase among them
        told = "; ".join(
            f"{'.'.join(str(part)[:40] for part in each['loc']) or 'body'}: {each['msg']}"
            for each in error.errors(include_url=False, include_context=False, include_input=False)[:5]
        )
        raise RefusedRequestError(422, f"not what is expected here: {told}") from None


async def read_body(request: Request, *, limit_bytes: int, seconds: float) -> bytes:
    """Return the body of a request, counted as it comes in.

    Raises
    ------
    RefusedRequestError
        413 if it is larger than the limit, whatever it said of its length; 408 if it does not end in time.
    """
    content = bytearray()
    declared = request.headers.get("content-length", "")
    too_large = declared.isdigit() and int(declared) > limit_bytes
    more = True
    with anyio.move_on_after(seconds) as scope:
        while more and not too_large:
            piece, more = await _piece(request)
            content += piece
            too_large = len(content) > limit_bytes
    if too_large:
        await _drain(request, more=more)
        msg = f"the body is larger than the {limit_bytes} bytes allowed here"
        raise RefusedRequestError(413, msg, headers={"Connection": "close"})
    if scope.cancelled_caught:
        msg = f"the body did not arrive within {seconds:g} s; send it again"
        raise RefusedRequestError(408, msg, headers={"Connection": "close"})
    return bytes(content)


async def _piece(request: Request) -> tuple[bytes, bool]:
    """Return the next piece of a body, and whether there is more."""
    message = await request.receive()
    if message["type"] == "http.disconnect":
        raise ClientDisconnect
    return message.get("body", b""), message.get("more_body", False)


async def _drain(request: Request, *, more: bool) -> None:
    """Take in some of the rest unseen: a sender who is cut off at once may never see the answer."""
    drained = 0
    with anyio.move_on_after(_DRAIN_SECONDS):
        while more and drained < _DRAIN_BYTES:
            piece, more = await _piece(request)
            drained += len(piece)


def max_gzip_bytes(voxels: int) -> int:
    """Return the largest gzip stream of a mask that is worth reading."""
    return voxels + _MAX_GZIP_EXTRA_BYTES


def mask_voxels(raw: bytes, *, count: int) -> bytes:
    """Unpack the voxels of a mask, never more than there should be.

    Parameters
    ----------
    raw
        gzip of one byte a voxel, 0 or 1.
    count
        Number of voxels.

    Raises
    ------
    RefusedRequestError
        413 if more comes out; 422 if less does, if it is no whole gzip stream, or holds other values.
    """
    engine = zlib.decompressobj(wbits=31)
    try:
        voxels = engine.decompress(raw, count + 1)
        if len(voxels) == count and not engine.eof:
            # the trailer may still be waiting: nothing more may come out with it
            voxels += engine.decompress(engine.unconsumed_tail, 1)
    except zlib.error:
        raise RefusedRequestError(422, "the mask is not a whole gzip stream; nothing was saved") from None
    if len(voxels) > count:
        raise RefusedRequestError(413, f"the mask unpacks to more than the {count} voxels of its image")
    if not engine.eof or engine.unused_data:
        raise RefusedRequestError(422, "the mask is not one whole gzip stream; nothing was saved")
    if len(voxels) < count:
        raise RefusedRequestError(422, f"the mask has {len(voxels)} voxels, its image has {count}")
    if voxels.translate(None, b"\x00\x01"):
        raise RefusedRequestError(422, "a mask holds nothing but 0 and 1")
    return voxels


def stated_reason(request: Request) -> str:
    """Return the reason in the header ``X-Reason``, which is percent-encoded UTF-8.

    Raises
    ------
    RefusedRequestError
        422 if it is blank, too long, or not text.
    """
    try:
        reason = unquote_to_bytes(request.headers.get("x-reason", "")).decode("utf-8").strip()
    except UnicodeDecodeError:
        raise RefusedRequestError(422, "the reason is not UTF-8 text") from None
    if not reason:
        raise RefusedRequestError(422, "a reason is needed; nothing was saved")
    if len(reason) > _LONGEST_REASON:
        raise RefusedRequestError(422, f"the reason is longer than {_LONGEST_REASON} characters")
    if _has_controls(reason):
        raise RefusedRequestError(422, "the reason holds control characters")
    return reason


def _has_controls(text: str) -> bool:
    return any(unicodedata.category(c) in ("Cc", "Cs") and c not in _ALLOWED_CONTROLS for c in text)


def query(request: Request, name: str, *, fits: Callable[[str], bool], expected: str) -> str:
    """Return one parameter of the address.

    Raises
    ------
    RefusedRequestError
        422 if it is missing or not what is expected.
    """
    value = request.query_params.get(name, "")
    if not fits(value):
        raise RefusedRequestError(422, f"the address needs {name}={expected}")
    return value


def is_revision(value: str) -> bool:
    """Tell whether a parameter is the revision of an item: a whole number of at most 18 digits."""
    return value.isascii() and value.isdigit() and len(value) <= 18


def is_sha256(value: str) -> bool:
    """Tell whether a parameter is a SHA-256 in hexadecimal."""
    return len(value) == 64 and all(c in "0123456789abcdef" for c in value)


def shown_name(name: str) -> str:
    """Return the name of an uploaded file as it may stand in the trail; it never becomes a file's name."""
    last = name.replace("\\", "/").rpartition("/")[2]
    return "".join(c for c in last if c.isprintable())[:120]

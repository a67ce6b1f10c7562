"""What every request passes before anything is done: host, method, path, origin, token or session, CSRF.

It also puts the security headers on every answer, refusals included.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from infarct_vol.server.refusals import RefusedRequestError, Wording, log, place_of
from infarct_vol.server.sessions import Session, Sessions, same_secret

HEADERS: MutableMapping[str, str] = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data: blob:; connect-src 'self'; font-src 'self'; frame-ancestors 'none'; "
    "base-uri 'none'; form-action 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
MAX_HEADER_BYTES = 16 * 1024
_METHODS = ("GET", "HEAD", "POST")
_QUIET_PATHS = frozenset({"/api/session"})
"""A page asks for these by itself: they do not keep a reader signed in."""
# a page of another site that leads here sends no cookie along a redirection; a page of ours that goes on
# to itself does
_ONWARDS = (
    '<!doctype html><html lang="en"><meta charset="utf-8"><meta http-equiv="refresh" content="0; url=/">'
    '<title>infarct-vol review</title><p><a href="/">Go on to the review page</a></p></html>'
)
_STRANGER = (
    "this browser is not known here; open the address that 'infarct-vol review' printed, with its token"
)


def cookie_name(port: int) -> str:
    """Return the name of the session cookie; cookies do not know ports, so the name says it."""
    return f"infarct_vol_review_{port}"


def set_cookie(response: Response, session: Session, *, port: int) -> None:
    """Give a browser its session; scripts cannot read it, other sites cannot send it."""
    response.set_cookie(cookie_name(port), session.secret, path="/", httponly=True, samesite="strict")


class Gate:
    """Lets a request through to the application, or answers it.

    Parameters
    ----------
    app
        Gets only requests of known browsers, with ``request.state.session``.
    sessions
        Launch token and sessions.
    port
        The port the server listens on; part of every host name that is accepted.
    wording
        How errors are put to the page.
    """

    def __init__(self, app: ASGIApp, *, sessions: Sessions, port: int, wording: Wording) -> None:
        self._app = app
        self._sessions = sessions
        self._port = port
        self._wording = wording
        self._hosts = (f"127.0.0.1:{port}", f"localhost:{port}")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            msg = f"{scope['type']} is not served"
            raise RuntimeError(msg)
        started = False

        async def sending(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                _secured(message)
            await send(message)

        try:
            answer = self._admitted(scope)
            if answer is None:
                await self._app(scope, receive, sending)
            else:
                await answer(scope, receive, sending)
        except Exception as error:  # noqa: BLE001 - whatever it is, the page gets an answer without detail
            if started:
                log.error("%s, while answering", place_of(error))
                return
            await self._wording.answer(error)(scope, receive, sending)

    def _admitted(self, scope: Scope) -> Response | None:
        """Return an answer where the gate itself gives one; None where the request may pass.

        Raises
        ------
        RefusedRequestError
            If it may not.
        """
        headers = Headers(scope=scope)
        self._require_host(headers)
        if scope["method"] not in _METHODS:
            raise RefusedRequestError(
                405, "only GET, HEAD and POST are served", headers={"Allow": ", ".join(_METHODS)}
            )
        if sum(len(name) + len(value) for name, value in scope["headers"]) > MAX_HEADER_BYTES:
            raise RefusedRequestError(431, "the header is too long")
        if not is_plain(scope["path"]):
            raise RefusedRequestError(404, "there is nothing here")
        if "transfer-encoding" in headers and "content-length" in headers:
            raise RefusedRequestError(400, "two lengths of one body")
        self._require_own_page(scope, headers)
        tokens = parse_qs(scope["query_string"].decode("latin-1"), max_num_fields=32).get("token")
        if tokens and scope["path"] == "/" and scope["method"] == "GET":
            return self._entered(headers, tokens[0])
        session = self._session(scope, headers)
        if session is None and scope["path"] == "/":
            return PlainTextResponse(_STRANGER, status_code=403)
        if session is None:
            raise RefusedRequestError(403, _STRANGER)
        if scope["method"] == "POST" and not same_secret(headers.get("x-csrf-token", ""), session.csrf):
            raise RefusedRequestError(403, "the page is out of date (wrong CSRF token); load it again")
        scope.setdefault("state", {})["session"] = session
        scope["app"] = self._app  # with it, the router raises what it does not find, and it is put into JSON
        return None

    def _require_host(self, headers: Headers) -> None:
        given = headers.getlist("host")
        if len(given) != 1 or given[0].lower() not in self._hosts:
            expected = " or ".join(self._hosts)
            raise RefusedRequestError(
                403, f"wrong Host header; expected {expected} (the same port on both ends)"
            )

    def _require_own_page(self, scope: Scope, headers: Headers) -> None:
        """Refuse what a page of another site, or of another port of this machine, sends or embeds."""
        own = f"http://{headers['host'].lower()}"
        origin = headers.get("origin")
        site = headers.get("sec-fetch-site", "")
        if scope["method"] == "POST":
            # every browser states the origin of a POST; nothing else has a reason to post here
            if origin != own or site not in ("", "same-origin"):
                raise RefusedRequestError(403, "this was not sent by the review page")
            return
        if origin is not None and origin != own:
            raise RefusedRequestError(403, "this was not asked for by the review page")
        if site in ("", "none", "same-origin"):
            return
        if scope["path"] != "/" or headers.get("sec-fetch-mode") != "navigate" or _is_framed(headers):
            raise RefusedRequestError(403, "this was not asked for by the review page")

    def _entered(self, headers: Headers, token: str) -> Response:
        """Exchange the launch token, or a ticket, for a session."""
        if not self._sessions.admits(token):
            raise RefusedRequestError(403, _STRANGER)
        led_here = headers.get("sec-fetch-site", "none") not in ("none", "same-origin")
        response = HTMLResponse(_ONWARDS) if led_here else RedirectResponse("/", status_code=303)
        known = self._sessions.find(self._cookie(headers))
        if known is None:
            set_cookie(response, self._sessions.open(), port=self._port)
        return response

    def _session(self, scope: Scope, headers: Headers) -> Session | None:
        return self._sessions.find(self._cookie(headers), active=scope["path"] not in _QUIET_PATHS)

    def _cookie(self, headers: Headers) -> str:
        cookies: dict[str, str] = {}
        for line in headers.getlist("cookie"):
            cookies |= cookie_parser(line)
        return cookies.get(cookie_name(self._port), "")


def is_plain(path: str) -> bool:
    """Tell whether a decoded path has only names in it: no way up, no backslash, no control character."""
    parts = path.split("/")
    return (
        path.startswith("/")
        and path.isprintable()
        and "\\" not in path
        and not any(part in (".", "..") for part in parts)
        and all(parts[1:-1])
    )


def _is_framed(headers: Headers) -> bool:
    return headers.get("sec-fetch-dest", "document") != "document"


def _secured(message: Message) -> None:
    headers = MutableHeaders(scope=message)
    for name, value in HEADERS.items():
        headers[name] = value
    headers.setdefault("Cache-Control", "no-store")

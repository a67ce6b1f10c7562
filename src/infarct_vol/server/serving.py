"""The server at work: a socket of this machine alone, in a thread, until it is told to stop."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import uvicorn
from starlette.types import ASGIApp

from infarct_vol.desk import Desk
from infarct_vol.errors import InfarctVolError, UsageError
from infarct_vol.server.app import make_app
from infarct_vol.server.assets import Asset
from infarct_vol.server.connections import Patience, protocol_with
from infarct_vol.server.gate import MAX_HEADER_BYTES
from infarct_vol.server.sessions import Sessions

HOST = "127.0.0.1"
"""The only address that is ever listened on."""
_MAX_CONNECTIONS = 256
_KEEP_ALIVE_SECONDS = 30
_STOP_SECONDS = 10
_START_SECONDS = 30.0


@dataclass
class Running:
    """A server that answers.

    Parameters
    ----------
    port
        Where it listens on 127.0.0.1.
    sessions
        Its launch token and sessions.
    """

    port: int
    sessions: Sessions
    _server: uvicorn.Server
    _thread: threading.Thread

    @property
    def token(self) -> str:
        """The launch token; holds as long as the server runs."""
        return self.sessions.launch_token

    @property
    def url(self) -> str:
        """Address that opens the page."""
        return f"http://{HOST}:{self.port}/?token={self.token}"

    def ticket_url(self) -> str:
        """Return an address that opens the page once, for the command line of a browser."""
        return f"http://{HOST}:{self.port}/?token={self.sessions.ticket()}"

    @property
    def alive(self) -> bool:
        """Whether it still answers."""
        return self._thread.is_alive()

    def stop(self) -> None:
        """Finish the answers that are under way, and end."""
        self._server.should_exit = True
        self._thread.join(_STOP_SECONDS + 5)


@contextmanager
def serve(
    desk: Desk,
    *,
    port: int = 0,
    suggested: str = "",
    patience: Patience | None = None,
    assets: Mapping[str, Asset] | None = None,
    idle_seconds: float | None = None,
) -> Iterator[Running]:
    """Serve a desk on 127.0.0.1 while the context is open.

    Parameters
    ----------
    desk
        Where masks are read.
    port
        0 takes a free one.
    suggested
        Name that the sign-in form starts with; nobody is signed in by it.
    patience
        How long clients may take.
    assets
        Files of the page; default: those of the package.
    idle_seconds
        Default: as the protocol says.

    Raises
    ------
    UsageError
        If the port cannot be had.
    """
    listener = _listener(port)
    try:
        port = listener.getsockname()[1]
        minutes = desk.protocol.review.idle_minutes
        sessions = Sessions(idle_seconds=60.0 * minutes if idle_seconds is None else idle_seconds)
        app = make_app(desk, port=port, sessions=sessions, suggested=suggested, assets=assets)
        server = uvicorn.Server(_config(app, patience or Patience()))
        thread = threading.Thread(
            target=server.run, kwargs={"sockets": [listener]}, name="review server", daemon=True
        )
        thread.start()
        _await_start(server, thread)
    except BaseException:
        listener.close()
        raise
    running = Running(port, sessions, server, thread)
    try:
        yield running
    finally:
        running.stop()
        listener.close()


def _listener(port: int) -> socket.socket:
    # the protocol is stated so that asyncio sends small answers at once: without it each waits 40 ms
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((HOST, port))
        listener.listen(128)
    except (OSError, OverflowError) as error:
        listener.close()
        said = error.strerror if isinstance(error, OSError) else "no such port"
        msg = f"cannot listen on port {port}: {said}; choose another --port, or leave it out"
        raise UsageError(msg) from None
    return listener


def _config(app: ASGIApp, patience: Patience) -> uvicorn.Config:
    # its own messages repeat what clients sent, ids among them
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
    return uvicorn.Config(
        app,
        http=protocol_with(patience),
        ws="none",
        lifespan="off",
        loop="asyncio",
        interface="asgi3",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=_MAX_CONNECTIONS,
        h11_max_incomplete_event_size=MAX_HEADER_BYTES,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=_STOP_SECONDS,
    )


def _await_start(server: uvicorn.Server, thread: threading.Thread) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not server.started:
        if not thread.is_alive() or time.monotonic() > deadline:
            msg = "the review server did not start; run again with -v"
            raise InfarctVolError(msg)
        time.sleep(0.01)

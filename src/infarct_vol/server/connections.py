"""HTTP/1.1 connections that wait for nobody for ever.

uvicorn limits the size of a header and the time between two requests. A client that sends half a header,
half a body, or never reads the answer would keep its connection; here each of them has a time.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol


@dataclass(frozen=True)
class Patience:
    """How long a client may take, in seconds.

    Parameters
    ----------
    header_seconds
        From the connection, or the end of the last answer, to the whole header of the next request.
    body_seconds
        From there to the end of the body.
    rest_seconds
        For the rest of a body whose answer was given already.
    unread_seconds
        Until an answer that the client does not read is given up.
    """

    header_seconds: float = 10.0
    body_seconds: float = 90.0
    rest_seconds: float = 5.0
    unread_seconds: float = 60.0


class PatientProtocol(H11Protocol):
    """One connection, with a timer for what is awaited of the client."""

    patience = Patience()
    _awaited = ""
    _timer: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for the first header."""
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Take in data, and wait for what is still missing."""
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        """Wait for the rest of the body, or for the next request."""
        super().on_response_complete()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing more."""
        self._wait_for("", 0.0)
        self._read_on()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Start to wait for a client that does not read."""
        super().pause_writing()
        self._read_on()
        self._unread = self.loop.call_later(self.patience.unread_seconds, self._give_up)

    def resume_writing(self) -> None:
        """Go on with a client that reads again."""
        self._read_on()
        super().resume_writing()

    def _read_on(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def _watch(self) -> None:
        state = self.conn.their_state
        if self.transport.is_closing():
            self._wait_for("", 0.0)
        elif state is h11.SEND_BODY and self.cycle is not None and self.cycle.response_complete:
            self._wait_for("rest", self.patience.rest_seconds)
        elif state is h11.SEND_BODY:
            self._wait_for("body", self.patience.body_seconds)
        elif state is h11.IDLE and self.timeout_keep_alive_task is None:
            self._wait_for("header", self.patience.header_seconds)
        else:
            self._wait_for("", 0.0)  # the answer is ours to give, or the pause between requests has its timer

    def _wait_for(self, what: str, seconds: float) -> None:
        """Start a timer unless it runs already: a client gains no time by sending a byte now and then."""
        if what == self._awaited:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._awaited = what
        self._timer = self.loop.call_later(seconds, self._give_up) if what else None

    def _give_up(self) -> None:
        if not self.transport.is_closing():
            self.transport.abort()


def protocol_with(patience: Patience) -> type[asyncio.Protocol]:
    """Return the protocol with other times."""
    return type("PatientProtocol", (PatientProtocol,), {"patience": patience})

"""Who may talk to the server: the launch token, sessions of browsers, and readers signed in to them."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from infarct_vol.review.model import Reader

LONGEST_SIGN_IN_SECONDS = 12 * 3600
"""A reader signs in again after this, however busy they were."""
MAX_SESSIONS = 256
"""Sessions kept; one without a reader goes first, then the one that was silent longest."""
_RANDOM_BYTES = 32


def now_seconds() -> float:
    """Return seconds of a clock that nobody can set and that goes on while the machine sleeps."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)  # other systems than Linux have no such clock
    return time.monotonic() if clock is None else time.clock_gettime(clock)


def new_secret() -> str:
    """Return a fresh random word that can stand in an address, a header or a cookie."""
    return secrets.token_urlsafe(_RANDOM_BYTES)


def same_secret(given: str, expected: str) -> bool:
    """Compare two words in a time that does not tell how much of them is equal."""
    return hmac.compare_digest(given.encode("utf-8", "replace"), expected.encode())


@dataclass
class Session:
    """One browser that knew the launch token.

    Parameters
    ----------
    secret
        What the cookie holds.
    csrf
        What every POST states in its header.
    reader
        Who is signed in; None before and after.
    signed_in_at, active_at
        Seconds of the clock of `Sessions`.
    """

    secret: str = field(default_factory=new_secret, repr=False)
    csrf: str = field(default_factory=new_secret, repr=False)
    reader: Reader | None = None
    signed_in_at: float = 0.0
    active_at: float = 0.0


class Sessions:
    """Sessions of one server; they end with it.

    Parameters
    ----------
    idle_seconds
        A reader who asks for nothing for this long is signed out. The browser stays known, so that the
        reader can sign in again without the launch token.
    clock
        Seconds that only grow.
    """

    def __init__(self, *, idle_seconds: float, clock: Callable[[], float] = now_seconds) -> None:
        self.launch_token = new_secret()
        self._tickets: set[str] = set()
        self._idle_seconds = idle_seconds
        self._clock = clock
        self._sessions: dict[str, Session] = {}

    def ticket(self) -> str:
        """Return a word that opens the page as the launch token does, once.

        It is for the command line of a browser, which others on the machine can read.
        """
        word = new_secret()
        self._tickets.add(_digest(word))
        return word

    def admits(self, token: str) -> bool:
        """Tell whether a word opens the page; a ticket is used up."""
        digest = _digest(token)
        if digest in self._tickets:
            self._tickets.discard(digest)
            return True
        return same_secret(token, self.launch_token)

    def open(self) -> Session:
        """Return a new session in which nobody is signed in."""
        return self._kept(Session())

    def find(self, secret: str, *, active: bool = True) -> Session | None:
        """Return the session of a cookie, its reader signed out where the time is over; None for a stranger.

        Parameters
        ----------
        active
            Whether the request counts as something the reader did.
        """
        session = self._sessions.get(_digest(secret))
        if session is None:
            return None
        now = self._clock()
        idle = now - session.active_at > self._idle_seconds
        if session.reader is not None and (idle or now - session.signed_in_at > LONGEST_SIGN_IN_SECONDS):
            session.reader = None
        if active:
            session.active_at = now
        return session

    def sign_in(self, session: Session, reader: Reader) -> Session:
        """Return a new session for a reader; the one before is no longer valid."""
        return self._renewed(session, Session(reader=reader, signed_in_at=self._clock()))

    def sign_out(self, session: Session) -> Session:
        """Return a new session in which nobody is signed in; the one before is no longer valid."""
        return self._renewed(session, Session())

    def _renewed(self, old: Session, new: Session) -> Session:
        self._sessions.pop(_digest(old.secret), None)
        return self._kept(new)

    def _kept(self, session: Session) -> Session:
        session.active_at = self._clock()
        while len(self._sessions) >= MAX_SESSIONS:
            del self._sessions[min(self._sessions, key=self._worth)]
        self._sessions[_digest(session.secret)] = session
        return session

    def _worth(self, digest: str) -> tuple[bool, float]:
        session = self._sessions[digest]
        return session.reader is not None, session.active_at


def _digest(word: str) -> str:
    return hashlib.sha256(word.encode("utf-8", "replace")).hexdigest()

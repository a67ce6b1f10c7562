"""What the page is told of the study and of who is signed in."""

from __future__ import annotations

from collections.abc import Mapping

from infarct_vol import __version__
from infarct_vol.desk import Desk
from infarct_vol.review.freeze import lock_of
from infarct_vol.server.sessions import Session

_UNBLINDING = "unblinding"


class StudyFacts:
    """Lock and blinding of a study, as its audit trail has them.

    Parameters
    ----------
    desk
        Where the study is read.
    suggested
        Name that the sign-in form starts with; nobody is signed in by it.
    """

    def __init__(self, desk: Desk, *, suggested: str = "") -> None:
        self._desk = desk
        self._suggested = suggested

    def session(self, session: Session) -> Mapping[str, object]:
        """Return the JSON of a session; reads the trail, so it is called off the event loop."""
        reader, protocol, trail = session.reader, self._desk.protocol, self._desk.trail
        unblinded = trail.last(_UNBLINDING) is not None
        return {
            "reader": None if reader is None else {"name": reader.name, "role": reader.role},
            "csrf": session.csrf,
            "study": {
                "name": protocol.study_id,
                "reads": protocol.review.reads,
                "blinding": "UNBLINDED" if unblinded else "BLINDED",
            },
            "lock": self._lock(),
            "enrolled": list(self._desk.readers.names()),
            "idle_minutes": protocol.review.idle_minutes,
            "suggested": self._suggested,
            "version": __version__,
        }

    def _lock(self) -> dict[str, object] | None:
        lock = lock_of(self._desk.trail)
        return None if lock is None else lock.model_dump(include={"who", "utc", "meaning", "sequence"})

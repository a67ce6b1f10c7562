"""Blinded reading: codes for identities, orders drawn at random, re-reads, and when two reads disagree.

Everything random is drawn from one key that is written into the audit trail when a reading opens, so that
an inspector can draw it again.
"""

from __future__ import annotations

import hashlib
import hmac
import math
from collections.abc import Iterable
from dataclasses import dataclass

from infarct_vol.review.model import ReadKind
from infarct_vol.settings import ReviewSettings

_ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"
"""No letter that looks like a digit."""
_CODE_LENGTH = 8


@dataclass(frozen=True)
class Draw:
    """Draws codes and orders from a reading's key.

    Parameters
    ----------
    key
        Random text of the entry that opened the reading.
    """

    key: str

    def number(self, *words: str) -> int:
        """Return a number that nobody can tell without the key, the same for the same words."""
        text = "\x1f".join(words).encode()
        return int.from_bytes(hmac.new(self.key.encode(), text, hashlib.sha256).digest()[:16], "big")

    def code(self, participant_id: str, *, reader: str, kind: ReadKind) -> str:
        """Return the code of a case as one reader sees it: eight characters, another one for each reader."""
        number = self.number("code", participant_id, reader, kind)
        letters = [_ALPHABET[(number >> 5 * at) & 31] for at in range(_CODE_LENGTH)]
        return "".join(letters)

    def order(self, participant_ids: Iterable[str], *, reader: str, kind: ReadKind) -> list[str]:
        """Return the participants in the order one reader reads them."""
        return sorted(participant_ids, key=lambda name: (self.number("order", name, reader, kind), name))

    def visit_order(self, sessions: Iterable[str], *, participant_id: str, reader: str) -> list[str]:
        """Return a participant's sessions in the order one reader sees them."""
        return sorted(sessions, key=lambda name: (self.number("visits", participant_id, name, reader), name))

    def reread(self, participant_ids: Iterable[str], *, reader: str, percent: float) -> set[str]:
        """Return the participants one reader reads a second time: ``percent`` of them, rounded up."""
        ranked = sorted(participant_ids, key=lambda name: (self.number("reread", name, reader), name))
        # the product of exact settings must not gain a participant by rounding
        return set(ranked[: math.ceil(round(len(ranked) * percent / 100.0, 9))])

    def first(self, readers: Iterable[str], *, participant_id: str) -> str:
        """Return the reader whose value counts where both agree."""
        return min(readers, key=lambda name: (self.number("first", participant_id, name), name))


def disagree(first_ml: float | None, second_ml: float | None, settings: ReviewSettings) -> bool:
    """Tell whether two reads of one infarct must be adjudicated.

    Parameters
    ----------
    first_ml, second_ml
        Volumes in mL; None where a read gave no volume (rejected, not measurable).
    settings
        The limits: more than ``adjudication_ml`` and more than ``adjudication_percent`` of the mean.
    """
    if first_ml is None or second_ml is None:
        return first_ml is not second_ml
    mean_ml = (first_ml + second_ml) / 2
    limit_ml = max(settings.adjudication_ml, settings.adjudication_percent / 100.0 * mean_ml)
    return abs(first_ml - second_ml) > limit_ml

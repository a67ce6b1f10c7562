"""What is known about how well two scans were registered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

# metric: displacement in mm that a rigid fit leaves, 95th percentile over the brain
NONRIGID = "nonrigid_p95_mm"

Verdict = Literal["PASS", "WARN", "FAIL"]


@dataclass(frozen=True)
class RegistrationQuality:
    """Verdict on one registration.

    Parameters
    ----------
    verdict
        ``PASS``: use it. ``WARN``: use it, a reader looks at the overlay. ``FAIL``: do not use it.
    reasons
        One sentence per limit that was not met, for the reader; empty for ``PASS``.
    metrics
        Numbers behind the verdict, units in their names.
    """

    verdict: Verdict
    reasons: tuple[str, ...] = ()
    metrics: Mapping[str, float] = field(default_factory=dict)

    def as_dict(self) -> dict[str, object]:
        """Return plain JSON values."""
        return {"verdict": self.verdict, "reasons": list(self.reasons), "metrics": dict(self.metrics)}

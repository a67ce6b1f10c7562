"""The repeatability coefficient of a self-verification, in place of the protocol's."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from infarct_vol._version import __version__
from infarct_vol.errors import UsageError
from infarct_vol.files import file_sha256
from infarct_vol.protocol import ChangeSettings
from infarct_vol.statistics.agreement import repeatability


@dataclass(frozen=True)
class RepeatabilityLimit:
    """What a change must exceed, and where that comes from."""

    settings: ChangeSettings
    source: str = "protocol"


def read_repeatability(path: Path) -> RepeatabilityLimit:
    """Return the coefficient of the patients that a self-verification scanned twice.

    Parameters
    ----------
    path
        ``verification.json`` of ``infarct-vol verify``.

    Returns
    -------
    RepeatabilityLimit
        Coefficient in mL and in percent of the mean of a pair (Bland and Altman 1999); the larger counts.

    Raises
    ------
    UsageError
        If the file is no verification, was made by another version, or measured too few patients twice.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        version = content["version"]
        pairs: dict[str, list[float]] = defaultdict(list)
        for case in content["cases"]:
            if case["group"] == "retest" and case["measured_ml"] is not None:
                pairs[case["pair"]].append(float(case["measured_ml"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        msg = f"{path} is no report of a self-verification ({error}); 'infarct-vol verify OUT' writes one"
        raise UsageError(msg) from None
    if version != __version__:
        msg = f"{path.name} was made by version {version}, this is {__version__}; verify this version"
        raise UsageError(msg)
    whole = [pair for pair in pairs.values() if len(pair) == 2]
    found = repeatability([first for first, _ in whole], [second for _, second in whole])
    if found.rc is None or found.rc_percent is None:
        msg = f"{path.name} gives no repeatability coefficient: {found.reason}; run 'infarct-vol verify'"
        raise UsageError(msg)
    limits = ChangeSettings(repeatability_ml=found.rc, repeatability_percent=found.rc_percent)
    return RepeatabilityLimit(
        limits,
        f"verification {file_sha256(path)[:12]}: {found.rc:.3g} mL, {found.rc_percent:.3g} %, n {found.n}",
    )

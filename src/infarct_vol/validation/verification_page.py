"""A verification as it is read: lines, charts and the page made of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from infarct_vol.qa.agreement import difference_chart, equality_chart
from infarct_vol.qa.figures import Picture
from infarct_vol.qa.verification import CaseLine, CheckLine, write_verification_page
from infarct_vol.validation.groups import size_class
from infarct_vol.validation.judging import measured_pairs
from infarct_vol.validation.outputs import chart_levels
from infarct_vol.validation.results import Group, Verification, VolumeCase

_CHARTS: tuple[tuple[tuple[Group, ...], str], ...] = (
    (("acute_object",), "Acute reference objects: measured against true volume"),
    (("followup_object",), "Follow-up reference objects: measured against true volume"),
    (("baseline", "follow_up"), "Digital patients through the whole job: measured against true volume"),
)
_PAIR_CHARTS: tuple[tuple[Group, str], ...] = (
    ("retest", "Digital patients scanned twice: difference against mean"),
    ("acute_object", "Acute reference objects measured twice: difference against mean"),
)
_GROUP_WORDS: dict[Group, str] = {"baseline": "baseline (DWI)", "follow_up": "follow-up (FLAIR)"}


def write_page(verification: Verification, path: Path) -> Path:
    """Write ``verification.html`` of a verification."""
    return write_verification_page(
        path,
        title=outcome(verification),
        facts=_facts(verification),
        checks=check_lines(verification),
        charts=list(_charts(verification)),
        cases=[_case_line(case) for case in verification.cases],
    )


def outcome(verification: Verification) -> str:
    """Return the outcome in a few words."""
    limits = [check for check in verification.checks if check.verdict != "INFO"]
    if not verification.failed:
        return f"PASS: all {len(limits)} acceptance limits hold"
    return f"FAIL: {len(verification.failed)} of {len(limits)} acceptance limits do not hold"


def check_lines(verification: Verification) -> list[CheckLine]:
    """Return every check as it is read."""
    return [
        CheckLine(c.section, c.title, c.value_words, c.limit_words, c.n, c.verdict, c.why, c.note)
        for c in verification.checks
    ]


def _facts(verification: Verification) -> dict[str, str]:
    return {
        "Software": f"infarct-vol {verification.version}",
        "Set": f"{'quick' if verification.quick else 'full'}, seed {verification.seed}",
        "Performed (UTC)": verification.performed_at,
        "Default protocol SHA-256": verification.protocol_sha256,
        "Machine": ", ".join(verification.machine.values()),
        "Libraries": ", ".join(f"{name} {number}" for name, number in verification.libraries.items()),
    }


def _charts(verification: Verification) -> Iterator[tuple[str, Picture]]:
    for groups, caption in _CHARTS:
        cases = [c for c in verification.cases if c.group in groups and c.measured_ml is not None]
        if cases:
            names = [_GROUP_WORDS.get(c.group, c.voxel) for c in cases]
            true_ml, measured_ml = [c.true_ml for c in cases], [c.measured_ml or 0.0 for c in cases]
            yield caption, equality_chart(true_ml, measured_ml, groups=names, title=f"{len(cases)} lesions")
    for group, caption in _PAIR_CHARTS:
        first, second = measured_pairs([c for c in verification.cases if c.group == group])
        if len(first) > 1:
            levels = chart_levels(first, second)
            yield (
                caption,
                difference_chart(
                    first, second, levels=levels, title=f"{len(first)} lesions, each measured twice"
                ),
            )


def _case_line(case: VolumeCase) -> CaseLine:
    limits = "" if case.low_ml is None else f"{case.low_ml:.3g} - {case.high_ml:.3g}"
    return CaseLine(
        case=f"{case.case} ({size_class(case.true_ml)})",
        true=f"{case.true_ml:.3f}",
        measured="" if case.measured_ml is None else f"{case.measured_ml:.3f}",
        limits=limits,
        error="" if case.error_percent is None else f"{case.error_percent:+.1f} %",
        dice="" if case.dice is None else f"{case.dice:.3f}",
        reason=case.reason,
    )

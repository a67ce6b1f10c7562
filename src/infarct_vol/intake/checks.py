"""Checks of one scan: each gives PASS, WARN or FAIL with what was found and what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from infarct_vol.errors import ScanRefusedError
from infarct_vol.images import MODALITY_LABELS, Scan
from infarct_vol.intake.background import inner_background
from infarct_vol.protocol import CheckSettings
from infarct_vol.study.names import says_other_kind

Verdict = Literal["PASS", "WARN", "FAIL"]


@dataclass(frozen=True)
class Finding:
    """The outcome of one check of one scan."""

    check: str
    verdict: Verdict
    found: str
    remedy: str = ""

    def __str__(self) -> str:
        return f"{self.check}: {self.found}" + (f"; {self.remedy}" if self.remedy else "")


def check_scan(scan: Scan, *, settings: CheckSettings) -> tuple[Finding, ...]:
    """Return the finding of every check that applies to one three-dimensional scan.

    The file itself and its header are checked by the reader, which refuses what it cannot trust.
    """
    return (*(check(scan, settings) for check in _CHECKS), *_check_name(scan))


def refuse_failures(scan: Scan, findings: Iterable[Finding]) -> tuple[str, ...]:
    """Return the warnings as sentences for the reader.

    Raises
    ------
    ScanRefusedError
        If a check failed; the message holds every failed check.
    """
    findings = tuple(findings)
    failed = [str(f) for f in findings if f.verdict == "FAIL"]
    if failed:
        raise ScanRefusedError("; ".join(failed), where=str(scan.identity))
    label = str(scan.identity).split(" ")[-1]
    return tuple(f"{label} {f}" for f in findings if f.verdict == "WARN")


def _check_name(scan: Scan) -> Iterator[Finding]:
    """Ask where the file's name says another kind of image than it is given for."""
    path, modality = scan.identity.path, scan.modality
    said = says_other_kind(path, modality) if path is not None and modality != "unknown" else None
    if said is not None:
        meant, found = MODALITY_LABELS[modality], MODALITY_LABELS[said]
        yield Finding("name", "WARN", f"given as {meant}, its name says {found}", "look which image it is")


def _check_header(scan: Scan, settings: CheckSettings) -> Finding:
    if scan.remarks:
        return Finding("header", "WARN", "; ".join(scan.remarks), "confirm with the site's export settings")
    return Finding("header", "PASS", scan.grid.describe())


def _check_extent(scan: Scan, settings: CheckSettings) -> Finding:
    slices = scan.grid.shape[scan.grid.slice_axis]
    extent_mm = np.array(scan.grid.shape) * scan.grid.spacing_mm
    if slices < 3 or min(scan.grid.shape) < 3:
        return Finding(
            "extent", "FAIL", f"{slices} slices", "a volume needs at least 3; export the whole series"
        )
    if extent_mm.min() < 50:
        return Finding(
            "extent", "WARN", f"covers {extent_mm.min():.0f} mm along one axis", "a head needs about 120"
        )
    return Finding("extent", "PASS", " x ".join(f"{e:.0f}" for e in extent_mm) + " mm")


def _check_thickness(scan: Scan, settings: CheckSettings) -> Finding:
    thickness = float(scan.grid.spacing_mm[scan.grid.slice_axis])
    found = f"slices every {thickness:.2f} mm"
    # a hundredth of a millimetre is the rounding of affines in headers
    if thickness > settings.thickness_fail_mm + 0.01:
        limit = f"at most {settings.thickness_fail_mm:g} mm can be measured under this protocol"
        return Finding("thickness", "FAIL", found, limit)
    if thickness > settings.thickness_warn_mm + 0.01:
        return Finding("thickness", "WARN", found, f"the protocol asks for {settings.thickness_warn_mm:g} mm")
    return Finding("thickness", "PASS", found)


def _check_values(scan: Scan, settings: CheckSettings) -> Finding:
    bad = int(scan.data.size - np.count_nonzero(np.isfinite(scan.data)))
    if bad:
        share = 100 * bad / scan.data.size
        found = f"{bad} voxels ({share:.2g} %) are not numbers"
        verdict: Verdict = "FAIL" if share > 50 else "WARN"
        return Finding("values", verdict, found, "they count as outside; look at where they are")
    low, high = float(scan.data.min()), float(scan.data.max())
    if low == high:
        return Finding("values", "FAIL", f"every voxel is {low:g}", "the image is empty; export it again")
    if scan.modality != "adc" and inner_background(scan.data) is not None:
        found = "the background lies amid the intensities, as after normalisation inside a brain mask"
        remedy = "its darkest voxels were taken as no signal; better give the image as the scanner made it"
        return Finding("values", "WARN", found, remedy)
    return Finding("values", "PASS", f"{low:.4g} to {high:.4g}")


def _check_saturation(scan: Scan, settings: CheckSettings) -> Finding:
    if scan.modality == "adc":
        return Finding("saturation", "PASS", "does not apply to ADC maps")
    finite = scan.data[np.isfinite(scan.data)]
    share = np.count_nonzero(finite == finite.max()) / finite.size if finite.size else 0.0
    if share > 1e-3:
        return Finding(
            "saturation", "WARN", f"{100 * share:.2g} % of voxels are at the maximum", "may be clipped"
        )
    return Finding("saturation", "PASS", f"{100 * share:.2g} % of voxels at the maximum")


def _check_slices(scan: Scan, settings: CheckSettings) -> Finding:
    stack = np.moveaxis(scan.data, scan.grid.slice_axis, 0)
    blank = [k for k, plane in enumerate(stack) if _is_constant(plane)]
    inside = [
        k
        for k in blank
        if any(j not in blank for j in range(k)) and k < len(stack) - _tail(blank, len(stack))
    ]
    repeated = [k for k in range(1, len(stack)) if k not in blank and np.array_equal(stack[k], stack[k - 1])]
    if repeated:
        return Finding(
            "slices", "FAIL", f"slices {_listed(repeated)} repeat the one before", "export it again"
        )
    if inside:
        return Finding(
            "slices", "FAIL", f"slices {_listed(inside)} are blank between filled ones", "export it again"
        )
    return Finding("slices", "PASS", f"{len(stack) - len(blank)} of {len(stack)} slices filled")


def _tail(blank: list[int], count: int) -> int:
    """Return how many slices at the end are blank."""
    length = 0
    while count - 1 - length in blank:
        length += 1
    return length


def _is_constant(plane: NDArray[np.float32]) -> bool:
    return bool((plane == plane.flat[0]).all())


def _listed(numbers: Iterable[int]) -> str:
    return ", ".join(_shortened(list(numbers)))


def _shortened(numbers: list[int]) -> Iterator[str]:
    yield from (str(n) for n in numbers[:6])
    if len(numbers) > 6:
        yield f"... ({len(numbers)} in all)"


_CHECKS: tuple[Callable[[Scan, CheckSettings], Finding], ...] = (
    _check_header,
    _check_extent,
    _check_thickness,
    _check_values,
    _check_saturation,
    _check_slices,
)

"""Whether two images of one session belong together: one head, one place, one examination.

The ADC map of another participant, of another visit, mirrored or displaced lies on the same grid as the
right one, and gives a volume like any other. It is refused here, by what both images show.
"""

from __future__ import annotations

from infarct_vol.diffusion.detail import DetailAgreement, detail_agreement
from infarct_vol.errors import PairError
from infarct_vol.images import MODALITY_LABELS, BrainMask, Scan
from infarct_vol.intake.examination import require_one_examination
from infarct_vol.protocol import CheckSettings


def require_pair(image: Scan, other: Scan, *, tissue: BrainMask, checks: CheckSettings) -> tuple[str, ...]:
    """Refuse another image that was not made of the same head in the same place.

    Parameters
    ----------
    image, other
        Two images on one grid, such as DWI and ADC map.
    tissue
        Head or brain of ``image``, roughly.
    checks
        Limits.

    Returns
    -------
    tuple of str
        Sentences for the reader where the agreement is doubtful.

    Raises
    ------
    PairError
        If the sidecars say that the images are of two examinations, if the other image covers too little of
        the head, or if its fine detail does not lie where the image's does.
    """
    require_one_examination(image, other)
    found = pair_agreement(image, other, tissue=tissue, checks=checks)
    fail, warn = _limits(other, checks)
    problem = _problem(found, fail=fail, checks=checks)
    if problem:
        ours, theirs = MODALITY_LABELS[image.modality], MODALITY_LABELS[other.modality]
        msg = (
            f"{_pair(image, other)}: {problem}. Expected: {theirs} and {ours} of one acquisition. Check "
            "participant, visit, left and right, and export both images again"
        )
        raise PairError(msg, where=str(other.identity))
    return _doubts(image, other, found, warn=warn, checks=checks)


def pair_agreement(image: Scan, other: Scan, *, tissue: BrainMask, checks: CheckSettings) -> DetailAgreement:
    """Return the agreement of two images' fine detail, or that of their strong edges where it is greater.

    A smooth or noisy image shares little detail with its own partner; only then the strong edges are asked.
    """
    found = detail_agreement(image, other, tissue=tissue)
    if found.here >= _limits(other, checks)[1]:
        return found
    strong = detail_agreement(image, other, tissue=tissue, strong_edges=True)
    return max(found, strong, key=lambda agreement: agreement.here)


def _limits(other: Scan, checks: CheckSettings) -> tuple[float, float]:
    """Return the agreement below which a pair is refused, and that below which a reader looks."""
    if other.modality == "adc":
        return checks.pair_adc_fail, checks.pair_adc_warn
    return checks.pair_b0_fail, checks.pair_b0_warn


def _problem(found: DetailAgreement, *, fail: float, checks: CheckSettings) -> str:
    """Say why two images are no pair; empty where they are one."""
    if found.coverage < checks.pair_coverage_fail:
        return (
            f"it has values in {100 * found.coverage:.0f} % of the head, at least "
            f"{100 * checks.pair_coverage_fail:.0f} % expected"
        )
    agreements = f"agreement {found.elsewhere:.2f}, as it lies {found.here:.2f}"
    if found.elsewhere >= max(fail, checks.pair_elsewhere_ratio * found.here):
        return f"it fits better {found.placement} ({agreements})"
    if found.here < fail:
        return (
            f"their edges do not lie in the same places (agreement {found.here:.2f}, at least "
            f"{fail:g} expected), as with another participant's or another visit's image"
        )
    return ""


def _doubts(
    image: Scan, other: Scan, found: DetailAgreement, *, warn: float, checks: CheckSettings
) -> tuple[str, ...]:
    """Return what a reader should look at in a pair that is not refused."""
    pair = f"{MODALITY_LABELS[image.modality]} and {MODALITY_LABELS[other.modality]}"
    doubts = []
    if found.here < warn:
        limit = f"{warn:g} or more expected"
        doubts.append(f"{pair} agree little in their fine detail ({found.here:.2f}, {limit}); look at both")
    elif found.here < checks.pair_elsewhere_ratio * found.elsewhere:
        doubts.append(f"{pair} agree nearly as well {found.placement}; look whether they lie over each other")
    return tuple(doubts)


def _pair(image: Scan, other: Scan) -> str:
    return f"{other.identity.file_name} does not belong to {image.identity.file_name}"

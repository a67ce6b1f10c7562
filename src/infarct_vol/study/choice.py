"""Which image of a session is meant where there are several of one kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from infarct_vol.dates import in_order
from infarct_vol.images import MODALITY_LABELS, Modality
from infarct_vol.settings import ImageSettings
from infarct_vol.study.model import PassedOver, ScanFile
from infarct_vol.study.names import BidsName, same_label
from infarct_vol.study.places import Owner

_DIFFUSION: tuple[Modality, ...] = ("dwi", "adc", "b0")


@dataclass
class SessionFiles:
    """What a session holds: files taken by kind, kinds that cannot be used and why, remarks, and the rest."""

    files: dict[Modality, ScanFile] = field(default_factory=dict)
    problems: dict[Modality, str] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    passed_over: list[PassedOver] = field(default_factory=list)

    def pass_over(self, path: str, reason: str) -> None:
        """Note a file that is not used."""
        self.passed_over.append(PassedOver(path, reason))


@dataclass(frozen=True)
class Candidate:
    """An image that may be the one of its kind."""

    scan: ScanFile
    name: BidsName
    is_empty: bool = False

    @property
    def run(self) -> int:
        """Number of the run; 0 where the name states none."""
        text = self.name.entities.get("run", "")
        return int(text) if text.isascii() and text.isdigit() else 0

    @property
    def but_run(self) -> tuple[object, ...]:
        """What its name says besides the run."""
        rest = {key: value for key, value in self.name.entities.items() if key != "run"}
        return self.name.suffix, tuple(sorted(rest.items()))


def choose_images(
    candidates: Mapping[Modality, list[Candidate]],
    found: SessionFiles,
    *,
    owner: Owner,
    settings: ImageSettings,
    times: Mapping[str, str],
) -> None:
    """Take the one image of each kind that is meant, or say that it cannot be told.

    The protocol's filters come first. Of several images that differ in their run alone, the highest run is
    taken, or the newest where the protocol says so; DWI, ADC map and b0 are taken from one run where there
    is one that all of them have. What is left in doubt refuses that kind of image alone.
    """
    kept = {modality: _meant(modality, candidates[modality], found, settings) for modality in candidates}
    run = _common_run({m: kept[m] for m in _DIFFUSION if kept.get(m)})
    for modality in sorted(kept):
        wanted = run if modality in _DIFFUSION else None
        if kept[modality]:
            is_filtered = bool(settings.filters(modality)) and len(candidates[modality]) > 1
            _choose(modality, kept[modality], found, settings=settings, times=times, run=wanted)
            if is_filtered and len(kept[modality]) == 1:
                _note_filter(modality, found)
        _list_others(modality, candidates[modality], found, owner=owner)
    _compare_runs(kept, found)


def _meant(
    modality: Modality, candidates: Sequence[Candidate], found: SessionFiles, settings: ImageSettings
) -> list[Candidate]:
    """Return the candidates that the protocol's filters leave, without empty files and made-from series."""
    label, rule = MODALITY_LABELS[modality], settings.filters(modality)
    kept = [c for c in candidates if all(same_label(c.name.entities.get(k, ""), v) for k, v in rule.items())]
    if rule and not kept:
        wanted = ", ".join(f"{key}-{value}" for key, value in rule.items())
        names = ", ".join(c.scan.path.name for c in candidates)
        found.problems[modality] = f"no {label} with {wanted}, as the protocol asks; found {names}"
        return []
    kept = [c for c in kept if not c.is_empty] or kept
    if modality == "dwi":
        # a scanner-made trace image is preferred to the series it was made from
        traces = [c for c in kept if c.name.is_named_trace]
        kept = [c for c in traces if c.scan.bval is None] or traces or kept
    return kept


def _common_run(kept: Mapping[Modality, Sequence[Candidate]]) -> int | None:
    """Return the highest run that every kind of diffusion image has; None where there is none."""
    runs = [{c.run for c in candidates} for candidates in kept.values()]
    common = set.intersection(*runs) if runs else set()
    return max(common, default=None)


def _choose(
    modality: Modality,
    kept: Sequence[Candidate],
    found: SessionFiles,
    *,
    settings: ImageSettings,
    times: Mapping[str, str],
    run: int | None,
) -> None:
    label = MODALITY_LABELS[modality]
    names = ", ".join(c.scan.path.name for c in kept)
    is_told = len({c.but_run for c in kept}) == 1 and len({c.run for c in kept}) == len(kept)
    if settings.several == "newest" and len(kept) > 1:
        newest = _newest(kept, times)
        if newest is None:
            found.problems[modality] = (
                f"{_count(len(kept))} {label} images ({names}), and no table of scans states a time for "
                "each, so that the newest is not known"
            )
            return
        chosen, how = newest, f"the newest of {len(kept)}"
    elif len(kept) > 1 and (not is_told or settings.several == "refuse"):
        found.problems[modality] = (
            f"{_count(len(kept))} {label} images ({names}); leave one, or say in the protocol which is "
            f"meant, such as [images] {modality} = {{ {_telling_entity(kept)} = '...' }}"
        )
        return
    else:
        chosen = next((c for c in kept if c.run == run), max(kept, key=lambda c: c.run))
        how = f"the highest run of {len(kept)}"
        if chosen.run != max(c.run for c in kept):
            how = f"the highest run of {len(kept)} of which there are both DWI and ADC"
    found.files[modality] = chosen.scan
    if len(kept) > 1:
        found.remarks.append(f"{label}: {chosen.scan.path.name} was taken, {how}")


def _note_filter(modality: Modality, found: SessionFiles) -> None:
    name = found.files[modality].path.name
    found.remarks.append(f"{MODALITY_LABELS[modality]}: {name} was taken, as the protocol's [images] says")


def _newest(kept: Sequence[Candidate], times: Mapping[str, str]) -> Candidate | None:
    stated = [times.get(c.scan.path.name) for c in kept]
    known = [time for time in stated if time is not None]
    if len(known) < len(kept):
        return None
    order = in_order(set(known))
    ranks = [order[time] for time in known]
    return kept[ranks.index(max(ranks))] if len(set(ranks)) == len(ranks) else None


def _telling_entity(kept: Sequence[Candidate]) -> str:
    """Return an entity in which the images differ."""
    keys = sorted({key for c in kept for key in c.name.entities})
    telling = [key for key in keys if len({c.name.entities.get(key) for c in kept}) > 1]
    return next((key for key in telling if key != "run"), "acq")


def _list_others(
    modality: Modality, candidates: Sequence[Candidate], found: SessionFiles, *, owner: Owner
) -> None:
    """List the candidates that were not taken."""
    taken = found.files.get(modality)
    for other in candidates:
        if other.scan is taken:
            continue
        reason = f"{taken.path.name} is the {MODALITY_LABELS[modality]} that is used" if taken else ""
        found.pass_over(owner.relative(other.scan.path), reason or found.problems[modality])


def _compare_runs(kept: Mapping[Modality, Sequence[Candidate]], found: SessionFiles) -> None:
    """Say where DWI and ADC map are taken from different runs."""
    runs = {
        modality: next(c.run for c in kept[modality] if c.scan is found.files[modality])
        for modality in ("dwi", "adc")
        if modality in found.files and modality in kept
    }
    if (
        len(runs) == 2
        and len(set(runs.values())) > 1
        and any(len(kept[m]) > 1 for m in _DIFFUSION if m in kept)
    ):
        found.remarks.append("DWI and ADC map are of different runs")


def _count(number: int) -> str:
    return {2: "two", 3: "three"}.get(number, str(number))
